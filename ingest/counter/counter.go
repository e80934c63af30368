// Package counter turns the observations of a register into readings.
//
// A register counts up, wraps, restarts, is exchanged with its hardware, and
// now and then says something that cannot be. What each movement means is
// decided here once, for watt-hours, hashes, shares and joules alike; see
// [State.Step] for the order of the decisions.
package counter

import (
	"errors"
	"fmt"

	"wattbook/domain"
)

// Register says what a register counts and how it can move.
type Register struct {
	// A value in the channel's unit is register × Num / Den, rounded down.
	// Converting the cumulative register, not its movements, never drifts.
	Num, Den int64
	// Modulus is the number at which the register wraps to 0; 0 if it never
	// does within the device's life.
	Modulus domain.Int128
	// ZeroIsNull means that 0 stands for "not accumulated", as in SunSpec's
	// acc32.
	ZeroIsNull bool
	// PerSecond is the greatest movement that is physically possible, in the
	// channel's unit. Movements beyond it are not believed.
	PerSecond domain.Int128
}

// Validate reports why r cannot describe a register, or nil.
func (r Register) Validate() error {
	switch {
	case r.Num <= 0 || r.Den <= 0:
		return fmt.Errorf("register scale %d/%d is not positive", r.Num, r.Den)
	case r.Modulus.Sign() < 0:
		return fmt.Errorf("register modulus %s is negative", r.Modulus)
	case r.PerSecond.Sign() <= 0:
		return errors.New("register has no bound on its movement")
	}
	return nil
}

// value converts a register into the channel's unit.
func (r Register) value(v domain.Int128) domain.Int128 { return v.MulDiv(r.Num, r.Den) }

// senseless reports whether v is not a value at all: a zero that means null,
// or a number that the register cannot show.
func (r Register) senseless(v domain.Int128) bool {
	return r.ZeroIsNull && v.Sign() == 0 || r.Modulus.Sign() > 0 && v.Cmp(r.Modulus) >= 0
}

// limit is the greatest movement in d, in the channel's unit.
func (r Register) limit(d domain.Duration) domain.Int128 {
	return r.PerSecond.MulDiv(int64(d), int64(domain.Second))
}

// Sample is one observation of a register.
type Sample struct {
	At       domain.Instant // the boundary that it was observed for
	Register domain.Int128
	// Started is when the register last started from zero, if the device says
	// so (a miner's uptime); 0 if it does not.
	Started domain.Instant
	// Serial is the hardware's serial number, if the device tells.
	Serial string
}

// Exchange is an exchange of hardware that people recorded.
type Exchange struct {
	At             domain.Instant
	Serial         string
	Final, Initial domain.Int128 // last index of the old register, first of the new
}

// State is what must be remembered of a register between observations. The
// zero value has seen nothing. It can be recovered from the readings alone:
// see [State.Recall].
type State struct {
	Seen     bool
	At       domain.Instant // end of the last interval
	Register domain.Int128  // the register then
	// Suspect is an observation that was not believed, kept until the next
	// one shows whether the register really moved there.
	Suspect   bool
	SuspectAt domain.Instant
	SuspectOn domain.Int128
}

// Result is what one observation amounts to.
type Result struct {
	Mark     domain.Mark
	Interval domain.Interval
	Value    domain.Int128
}

// ErrOld means that an observation is for a boundary that has been passed.
var ErrOld = errors.New("observation is not after the last one")

// startTolerance is how far a device's account of its uptime may be off:
// uptimes are whole seconds and polls take time.
const startTolerance = 15 * domain.Second

// Step interprets an observation and moves the state. Step is the metering
// interval; serial is the hardware's number on record, and exchange what
// people recorded of its last exchange, if anything. In this order:
//
//  1. Nothing seen yet: first, or a glitch if it is not a value at all.
//  2. Another serial number than on record: replaced, if the exchange is on
//     record with its indexes; unallocated otherwise, since what the old
//     hardware counted to the end cannot be known.
//  3. The device says that it restarted since: reset. What it counted since
//     is booked; what it counted before the restart is lost to this register.
//  4. Zero that means null, or a number above the modulus: glitch.
//  5. It rose, or it fell and wrapping explains it, by no more than is
//     physically possible: normal over one interval, gap over several,
//     rollover through the modulus. But where the time passed would allow
//     half a turn of the register or more, the number of turns is a guess:
//     unallocated.
//  6. Anything else is not believed: glitch. Only when the next observation
//     continues plausibly from the disbelieved one is it believed after all:
//     a reset (from below) books the movement between the two; a jump (from
//     above) is unallocated.
func (s *State) Step(r Register, step domain.Duration, serial string, exchange *Exchange, o Sample) (Result, error) {
	if s.Seen && o.At <= s.At || s.Suspect && o.At <= s.SuspectAt {
		return Result{}, fmt.Errorf("%w: %s", ErrOld, o.At)
	}
	if s.Suspect && r.senseless(s.SuspectOn) {
		s.Suspect = false // recalled from the log: not a value to go on from
	}
	here := domain.Interval{Start: o.At, End: o.At}
	span := domain.Interval{Start: s.At, End: o.At}
	switch {
	case !s.Seen:
		if r.senseless(o.Register) {
			return Result{Mark: domain.MarkGlitch, Interval: here}, nil
		}
		s.accept(o)
		return Result{Mark: domain.MarkFirst, Interval: here}, nil

	case o.Serial != "" && serial != "" && o.Serial != serial:
		s.accept(o)
		return Result{Mark: domain.MarkUnallocated, Interval: here}, nil

	case exchange != nil && exchange.At > s.At && exchange.At <= o.At && (o.Serial == "" || o.Serial == exchange.Serial):
		old := r.value(exchange.Final).Sub(r.value(s.Register))
		fresh := r.value(o.Register).Sub(r.value(exchange.Initial))
		total := old.Add(fresh)
		s.accept(o)
		if old.Sign() < 0 || fresh.Sign() < 0 || total.Cmp(r.limit(span.Length())) > 0 {
			return Result{Mark: domain.MarkUnallocated, Interval: here}, nil
		}
		return Result{Mark: domain.MarkReplaced, Interval: span, Value: total}, nil

	case o.Started > s.At.Add(startTolerance):
		value := r.value(o.Register)
		if value.Cmp(r.limit(o.At.Sub(o.Started)+startTolerance)) > 0 {
			break // it counted more than its uptime allows: not believed
		}
		span.Start = max(s.At, min(o.Started.Floor(step), o.At-domain.Instant(step)))
		s.accept(o)
		return Result{Mark: domain.MarkReset, Interval: span, Value: value}, nil

	case r.senseless(o.Register):
		return Result{Mark: domain.MarkGlitch, Interval: here}, nil
	}

	if moved, wrapped, ok := s.plausible(r, s.Register, o.Register, span.Length()); ok {
		turns := r.Modulus.Sign() > 0 && r.limit(span.Length()).Add(r.limit(span.Length())).Cmp(r.value(r.Modulus)) >= 0
		mark := domain.MarkNormal
		switch {
		case turns:
			s.accept(o)
			return Result{Mark: domain.MarkUnallocated, Interval: here}, nil
		case wrapped:
			mark = domain.MarkRollover
		case span.Length() > step:
			mark = domain.MarkGap
		}
		s.accept(o)
		return Result{Mark: mark, Interval: span, Value: moved}, nil
	}

	if s.Suspect {
		since := domain.Interval{Start: s.SuspectAt, End: o.At}
		if moved, _, ok := s.plausible(Register{Num: r.Num, Den: r.Den, PerSecond: r.PerSecond}, s.SuspectOn, o.Register, since.Length()); ok {
			below := s.SuspectOn.Cmp(s.Register) < 0
			s.accept(o)
			if below {
				return Result{Mark: domain.MarkReset, Interval: since, Value: moved}, nil
			}
			return Result{Mark: domain.MarkUnallocated, Interval: here}, nil
		}
	}
	s.Suspect, s.SuspectAt, s.SuspectOn = true, o.At, o.Register
	return Result{Mark: domain.MarkGlitch, Interval: here}, nil
}

// plausible returns the movement from one register to another, whether it
// went through the modulus, and whether it is physically possible in d.
func (s *State) plausible(r Register, from, to domain.Int128, d domain.Duration) (moved domain.Int128, wrapped, ok bool) {
	if to.Cmp(from) < 0 {
		if r.Modulus.Sign() == 0 {
			return moved, false, false
		}
		to, wrapped = to.Add(r.Modulus), true
	}
	moved = r.value(to).Sub(r.value(from))
	return moved, wrapped, moved.Cmp(r.limit(d)) <= 0
}

// accept makes an observation the new baseline.
func (s *State) accept(o Sample) {
	*s = State{Seen: true, At: o.At, Register: o.Register}
}

// Recall moves the state as the reading's recording did, so that a restarted
// program goes on where the log ends.
func (s *State) Recall(r domain.Reading) {
	switch r.Mark {
	case domain.MarkFirst, domain.MarkNormal, domain.MarkRollover, domain.MarkReset, domain.MarkReplaced, domain.MarkGap, domain.MarkUnallocated:
		s.accept(Sample{At: r.Interval.End, Register: r.Register})
	case domain.MarkGlitch:
		if s.Seen {
			s.Suspect, s.SuspectAt, s.SuspectOn = true, r.Interval.End, r.Register
		}
	}
}
