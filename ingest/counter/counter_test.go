package counter_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/ingest/counter"
)

const step = 5 * domain.Minute

// clockOf reads hh:mm or hh:mm:ss on an arbitrary day.
func clockOf(t *testing.T, s string) domain.Instant {
	t.Helper()
	if strings.Count(s, ":") == 1 {
		s += ":00"
	}
	v, err := domain.ParseInstant("2026-10-14T" + s + "Z")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func intOf(t *testing.T, s string) domain.Int128 {
	t.Helper()
	v, err := domain.ParseInt(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// scriptCase is one case of testdata/register.txt.
type scriptCase struct {
	name     string
	register counter.Register
	serial   string
	exchange *counter.Exchange
	lines    []string
}

func readScript(t *testing.T, path string) []*scriptCase {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []*scriptCase
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
		case word == "case":
			cases = append(cases, &scriptCase{name: rest, register: counter.Register{Num: 1000, Den: 1}})
		case word == "register":
			c := cases[len(cases)-1]
			for _, option := range strings.Fields(rest) {
				key, value, _ := strings.Cut(option, "=")
				switch key {
				case "wrap":
					c.register.Modulus = intOf(t, value)
				case "num":
					fmt.Sscan(value, &c.register.Num)
				case "den":
					fmt.Sscan(value, &c.register.Den)
				case "limit": // kW into mWh a second: 1 kW is 1000000/3600
					c.register.PerSecond = intOf(t, strings.TrimSuffix(value, "kW")).MulDiv(1_000_000, 3600).Add(domain.Int(1))
				case "zero":
					c.register.ZeroIsNull = value == "null"
				case "serial":
					c.serial = value
				default:
					t.Fatalf("unknown option %s", option)
				}
			}
		case word == "exchange":
			var at, serial, final, initial string
			fmt.Sscan(rest, &at, &serial, &final, &initial)
			cases[len(cases)-1].exchange = &counter.Exchange{
				At: clockOf(t, at), Serial: serial,
				Final: intOf(t, strings.TrimPrefix(final, "final=")), Initial: intOf(t, strings.TrimPrefix(initial, "initial=")),
			}
		default:
			cases[len(cases)-1].lines = append(cases[len(cases)-1].lines, line)
		}
	}
	return cases
}

// TestRegister plays the script. After every observation the state is thrown
// away and recovered from the readings, as a restarted program does.
func TestRegister(t *testing.T) {
	for _, c := range readScript(t, "testdata/register.txt") {
		t.Run(c.name, func(t *testing.T) {
			var live, recalled counter.State
			for _, line := range c.lines {
				f := strings.Fields(line)
				sample := counter.Sample{At: clockOf(t, f[0]), Register: intOf(t, f[1])}
				want := counter.Result{Interval: domain.Interval{Start: sample.At, End: sample.At}}
				rest := f[3:]
				if len(rest) >= 2 && !strings.Contains(rest[0], "=") {
					from, to, _ := strings.Cut(rest[0], "-")
					want.Interval = domain.Interval{Start: clockOf(t, from), End: clockOf(t, to)}
					want.Value = intOf(t, rest[1])
					rest = rest[2:]
				}
				for _, option := range rest {
					if v, ok := strings.CutPrefix(option, "started="); ok {
						sample.Started = clockOf(t, v)
					} else if v, ok := strings.CutPrefix(option, "serial="); ok {
						sample.Serial = v
					} else {
						t.Fatalf("unknown option %s", option)
					}
				}
				got, err := live.Step(c.register, step, c.serial, c.exchange, sample)
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				if got.Mark.String() != f[2] {
					t.Fatalf("%s: got %s", line, got.Mark)
				}
				got.Mark = 0
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s (-want +got):\n%s", line, diff)
				}
				again, err := recalled.Step(c.register, step, c.serial, c.exchange, sample)
				if again.Mark.String() != f[2] || again.Value != got.Value || err != nil {
					t.Fatalf("%s: after a restart got %s %s, %v", line, again.Mark, again.Value, err)
				}
				recalled = recall(live, again, sample)
			}
		})
	}
}

// recall rebuilds a state from what the log holds: the last reading that moved
// the register, and the glitch after it if there is one.
func recall(live counter.State, last counter.Result, o counter.Sample) counter.State {
	var s counter.State
	if live.Seen {
		s.Recall(domain.Reading{Mark: domain.MarkFirst, Interval: domain.Interval{Start: live.At, End: live.At}, Register: live.Register})
	}
	if last.Mark == domain.MarkGlitch {
		s.Recall(domain.Reading{Mark: domain.MarkGlitch, Interval: domain.Interval{Start: o.At, End: o.At}, Register: o.Register})
	}
	return s
}

func TestAnObservationForAPassedBoundaryIsRefused(t *testing.T) {
	r := counter.Register{Num: 1, Den: 1, PerSecond: domain.Int(10)}
	var s counter.State
	at := clockOf(t, "12:00")
	for _, o := range []counter.Sample{{At: at, Register: domain.Int(5)}, {At: at.Add(step), Register: domain.Int(9)}} {
		if _, err := s.Step(r, step, "", nil, o); err != nil {
			t.Fatal(err)
		}
	}
	before := s
	for _, back := range []domain.Duration{0, step, 2 * step} {
		_, err := s.Step(r, step, "", nil, counter.Sample{At: at.Add(step - back), Register: domain.Int(7)})
		if !errors.Is(err, counter.ErrOld) || s != before {
			t.Errorf("%s back: got %v, state %+v", back, err, s)
		}
	}
}

// TestNothingIsBookedTwice drives a register with random loads, wraps, polls
// that are missed and readings that lie, and checks that what is booked equals
// what flowed between the first and the last observation that was believed.
func TestNothingIsBookedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const modulus = 1 << 24
		limit := domain.Int(1000)
		r := counter.Register{Num: 1, Den: 1, Modulus: domain.Int(modulus), PerSecond: limit}
		var s counter.State
		at := clock0
		flowed := rapid.Int64Range(0, modulus-1).Draw(t, "start")
		var booked domain.Int128
		base, believed := int64(-1), int64(0)
		for range rapid.IntRange(2, 60).Draw(t, "polls") {
			missed := rapid.IntRange(0, 3).Draw(t, "missed")
			d := step * domain.Duration(1+missed)
			flowed += rapid.Int64Range(0, 1000*int64(d/domain.Second)).Draw(t, "flow")
			at = at.Add(d)
			shown := flowed % modulus
			lie := rapid.IntRange(0, 9).Draw(t, "lie") == 0
			if lie {
				shown = modulus + 5 // above what the register can show
			}
			got, err := s.Step(r, step, "", nil, counter.Sample{At: at, Register: domain.Int(shown)})
			if err != nil {
				t.Fatal(err)
			}
			if lie {
				if got.Mark != domain.MarkGlitch {
					t.Fatalf("a lie was booked as %s", got.Mark)
				}
				continue
			}
			switch {
			case base < 0:
				base = flowed
			case got.Mark == domain.MarkUnallocated: // so long a gap that the turns are a guess
				base += flowed - believed
			case got.Mark.Books():
				booked = booked.Add(got.Value)
			default:
				t.Fatalf("a true observation was marked %s", got.Mark)
			}
			believed = flowed
		}
		if base >= 0 && booked != domain.Int(believed-base) {
			t.Fatalf("booked %s, flowed %d", booked, believed-base)
		}
	})
}

var clock0 = domain.Unix(1_790_000_000).Floor(step)
