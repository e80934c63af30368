package journal

import (
	"fmt"
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/availability"
	"wattbook/projections/facts"
)

// standing is what the service credits of a contract and period rest on, up to
// an instant, and what is given so far.
type standing struct {
	interval  domain.Interval     // of the period
	contracts []*accrual.Contract // in force in it
	until     domain.Instant
	lines     map[line]*big.Rat
	silent    map[domain.DeviceID][]domain.Interval
	given     map[string]int64 // by charge, in minor units; negative
}

// still names what a device did not report in.
type still struct {
	device domain.DeviceID
	domain.Interval
}

// claim names a credit of a period that is given on claim.
type claim struct {
	contract domain.ContractID
	charge   string
	period   domain.Period
}

// claimed says when a credit was claimed.
type claimed struct {
	position domain.Position
	at       domain.Instant
}

// credits makes the entries of the service credits of a contract: for each day
// that is over and each credit, the change of what the contract would give back
// for its period so far. The base are the charges that have accrued, rounded as
// an invoice rounds its lines. A credit that is given on claim is given from
// the day of the claim on; if that comes after the period, on its last day.
func (b *builder) credits(out *accrued, f *facts.Facts, id domain.ContractID, iv domain.Interval, pieces []piece, d drawing) error {
	if !slices.ContainsFunc(f.ContractVersions(id), promises) {
		return nil
	}
	terms, err := accrual.Terms(f, id, iv)
	if err != nil {
		return err
	}
	table, zone := f.Table(b.site), zoneOf(f, b.site)
	for day, part := range b.days(f, iv) {
		if d.pending && part.End == table.End() && dateIn(zone, part.End) == day {
			break // the day is not over
		}
		for t := part.Start; t < part.End; {
			rest := domain.Interval{Start: t, End: part.End}
			i := slices.IndexFunc(terms, func(c *accrual.Contract) bool { return c.Within(rest).Valid() })
			if i < 0 {
				break
			}
			rest = terms[i].Within(rest)
			of := billed{id, terms[i].Period(rest.Start)}
			s := d.credits[of]
			if s == nil {
				if s, err = b.standing(f, terms[i], of, rest.Start, d); err != nil {
					return err
				}
				d.credits[of] = s
			}
			s.earn(pieces, day, of.period)
			t = min(part.End, s.interval.End)
			b.listen(f, s, t)
			if !b.invoiced(of, d.asOf) {
				b.grant(out, f, of, s, day, d)
			}
		}
	}
	return nil
}

func promises(c domain.ContractSigned) bool {
	return slices.ContainsFunc(c.Charges, func(ch domain.Charge) bool { return ch.Kind == domain.ChargeSLACredit })
}

// standing returns how the credits of a contract's period stand at an instant.
// What was given by then is booked already.
func (b *builder) standing(f *facts.Facts, c *accrual.Contract, of billed, at domain.Instant, d drawing) (*standing, error) {
	zone, err := f.Zone(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("contract %s: %w", c.Contract, err)
	}
	s := &standing{interval: of.period.In(zone), lines: map[line]*big.Rat{}, silent: map[domain.DeviceID][]domain.Interval{}, given: map[string]int64{}}
	s.until = s.interval.Start
	if s.contracts, err = accrual.Terms(f, of.contract, s.interval); err != nil {
		return nil, err
	}
	before := domain.Interval{Start: max(s.interval.Start, f.Table(b.site).Start()), End: at}
	if !before.Valid() {
		return s, nil
	}
	pieces, err := b.earned(f, of.contract, c.Currency, before)
	if err != nil {
		return nil, err
	}
	for _, p := range pieces {
		s.earn([]piece{p}, p.day, of.period)
	}
	b.listen(f, s, at)
	b.grant(&accrued{unbilled: map[billed]map[string]int64{}}, f, of, s, "", d)
	return s, nil
}

// earn adds what accrued for a period on a day.
func (s *standing) earn(pieces []piece, day string, period domain.Period) {
	for _, p := range pieces {
		if p.day == day && p.period == period {
			for l, amount := range p.lines {
				add(s.lines, l, amount)
			}
		}
	}
}

// listen moves a standing on to an instant: it learns when devices were silent.
func (b *builder) listen(f *facts.Facts, s *standing, to domain.Instant) {
	iv := domain.Interval{Start: s.until, End: to}
	heard := map[domain.DeviceID]bool{}
	for _, c := range s.contracts {
		for _, ch := range c.Charges {
			if ch.Kind != domain.ChargeSLACredit {
				continue
			}
			for _, device := range ch.SLA.Devices {
				if heard[device] {
					continue
				}
				heard[device] = true
				k := still{device, iv}
				silence, ok := b.silence[k]
				if !ok {
					silence = availability.Silence(f, b.site, device, iv)
				}
				if b.freshSilence != nil {
					b.freshSilence[k] = silence
				}
				for _, down := range silence {
					s.silent[device] = availability.Join(s.silent[device], down)
				}
			}
		}
	}
	s.until = to
}

// grant makes the entries of a day of what the credits of a period have changed
// by, at the standing's instant.
func (b *builder) grant(out *accrued, f *facts.Facts, of billed, s *standing, day string, d drawing) {
	to := domain.Interval{Start: s.interval.Start, End: s.until}
	var so []*accrual.Contract
	for _, c := range s.contracts {
		if c.Within(to).Valid() {
			so = append(so, c)
		}
	}
	over := s.until >= s.contracts[len(s.contracts)-1].Within(s.interval).End
	for i, c := range so {
		for _, ch := range c.Charges {
			if ch.Kind != domain.ChargeSLACredit || slices.ContainsFunc(so[i+1:], func(o *accrual.Contract) bool { _, ok := o.Same(ch); return ok }) {
				continue
			}
			if ch.SLA.OnClaim {
				c, ok := b.claims[claim{of.contract, ch.ID, of.period}]
				if !ok || c.position >= d.asOf || c.at >= s.until && !over {
					continue
				}
			}
			amount, detail := s.credit(f, so, ch, to)
			change := amount - s.given[ch.ID]
			if change == 0 {
				continue
			}
			s.given[ch.ID] = amount
			account, last := incomeOf(ch.Kind, ""), so[len(so)-1]
			if out.unbilled[of] == nil {
				out.unbilled[of] = map[string]int64{}
			}
			out.unbilled[of][account] += change
			from := b.refs[fmt.Sprintf("contract %s %d", of.contract, last.Version)]
			out.entries = append(out.entries, Entry{
				Date: day, Narration: fmt.Sprintf("Service credit %s of contract %s: %s", ch.ID, of.contract, detail), Pending: d.pending, Event: from.event, Position: from.position,
				Postings: []Posting{minor(unbilled(of.contract), change, last.Currency), minor(account, -change, last.Currency)},
			})
		}
	}
}

// credit returns what a charge of versions of a contract gives back for an
// interval, in minor units and negative, and why. Where that cannot be said,
// since a device is not registered, it is nothing.
func (s *standing) credit(f *facts.Facts, contracts []*accrual.Contract, ch domain.Charge, iv domain.Interval) (amount int64, detail string) {
	var span domain.Interval
	for _, c := range contracts {
		own, ok := c.Same(ch)
		if in := own.InForce(c.Within(iv)); ok && in.Valid() {
			if span.End == 0 {
				span.Start = in.Start
			}
			span.End = in.End
		}
	}
	last := contracts[len(contracts)-1]
	silence := func(d domain.DeviceID, _ domain.Interval) []domain.Interval { return s.silent[d] }
	a, err := availability.From(f, last.Site, ch.SLA.Devices, span, last.Maintenance, ch.SLA.MinimumOutage, silence)
	if err != nil || !span.Valid() {
		return 0, ""
	}
	base := domain.Money{Currency: last.Currency}
	for l, exact := range s.lines {
		if len(ch.Of) == 0 || slices.Contains(ch.Of, l.charge) {
			base.Minor += units(exact, last.Currency.Digits())
		}
	}
	portion := ch.SLA.Credit(a.Portion())
	back, err := last.Currency.Round(base.Decimal().Mul(portion).Neg())
	if err != nil {
		return 0, ""
	}
	percent := domain.RoundRat(new(big.Rat).Mul(a.Portion(), big.NewRat(100, 1)), 4)
	return back.Minor, fmt.Sprintf("available for %s %% so far, %s %% of %s", percent, portion.Shift(2), base)
}
