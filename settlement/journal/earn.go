package journal

import (
	"fmt"
	"maps"
	"slices"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/availability"
	"wattbook/projections/facts"
	"wattbook/settlement/rating"
)

// standing is what a contract comes to in a period, up to an instant.
type standing struct {
	*rating.Progress
	of      billed
	until   domain.Instant
	ahead   []rating.Piece // up to until, and not added to the progress yet
	silent  map[domain.DeviceID][]domain.Interval
	accrued came
}

// came is what a period comes to up to an instant, in minor units.
type came struct {
	accounts map[string]int64  // of income, but for service credits
	credits  map[string]credit // by charge
}

// credit is what a service credit gives back, and why.
type credit struct {
	amount int64 // negative
	detail string
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

// earn makes the entries of what a contract earns in an interval: for each local
// day, the change of what the contract would come to for its period so far. The
// service credits of a day are booked when it is over. A period that is invoiced
// earns nothing more.
func (b *builder) earn(out *accrued, f *facts.Facts, id domain.ContractID, iv domain.Interval, days []localDay, d drawing) error {
	terms, err := accrual.Terms(f, id, iv)
	if err != nil || len(terms) == 0 {
		return err
	}
	table, zone := f.Table(b.site), zoneOf(f, b.site)
	for _, day := range days {
		over := !d.pending || day.End != table.End() || dateIn(zone, day.End) != day.date
		for t := day.Start; t < day.End; {
			i := slices.IndexFunc(terms, func(c *accrual.Contract) bool { return c.Within(domain.Interval{Start: t, End: day.End}).Valid() })
			if i < 0 {
				break
			}
			c := terms[i]
			part := domain.Interval{Start: c.Within(domain.Interval{Start: t, End: day.End}).Start, End: day.End}
			of := billed{id, c.Period(part.Start)}
			s := d.periods[of]
			if s == nil {
				if s, err = b.standing(f, c, of, part.Start, d); err != nil {
					return err
				}
				d.periods[of] = s
			}
			part.End = min(part.End, s.Interval().End)
			t = part.End
			if b.invoiced(of, d.asOf) {
				continue
			}
			if err := b.advance(f, s, part); err != nil {
				return err
			}
			b.change(out, s, b.come(f, s, over, d), day.date, d.pending)
		}
	}
	return nil
}

// standing returns how a contract's period stands at an instant. What it came
// to by then is booked already, or is of before the book began.
func (b *builder) standing(f *facts.Facts, c *accrual.Contract, of billed, at domain.Instant, d drawing) (*standing, error) {
	progress, err := d.rater.Begin(c, of.period)
	if err != nil {
		return nil, fmt.Errorf("contract %s: %w", of.contract, err)
	}
	s := &standing{Progress: progress, of: of, until: progress.Interval().Start, silent: map[domain.DeviceID][]domain.Interval{}}
	before := domain.Interval{Start: s.until, End: at}
	if b.invoiced(of, d.asOf) || !before.Valid() {
		return s, nil
	}
	if err := b.advance(f, s, before); err != nil {
		return nil, err
	}
	s.accrued = b.come(f, s, true, d)
	return s, nil
}

// advance moves a standing on by an interval: it collects what the contract comes
// to in it, and learns when devices were silent.
func (b *builder) advance(f *facts.Facts, s *standing, iv domain.Interval) error {
	k := span{s.of.contract, iv}
	now, ok := b.kept.pieces[k]
	if !ok {
		var err error
		if now, err = s.Collect(iv); err != nil {
			return err
		}
	}
	if b.fresh != nil {
		b.fresh.pieces[k] = now
	}
	s.ahead = append(s.ahead, now)
	iv.Start, s.until = s.until, iv.End
	heard := map[domain.DeviceID]bool{}
	for _, c := range s.Contracts() {
		for _, ch := range c.Charges {
			if ch.Kind != domain.ChargeSLACredit {
				continue
			}
			for _, device := range ch.SLA.Devices {
				if !heard[device] {
					heard[device] = true
					b.listen(f, s, device, iv)
				}
			}
		}
	}
	return nil
}

// listen learns when a device was silent in an interval.
func (b *builder) listen(f *facts.Facts, s *standing, device domain.DeviceID, iv domain.Interval) {
	k := still{device, iv}
	silence, ok := b.kept.silence[k]
	if !ok {
		silence = availability.Silence(f, b.site, device, iv)
	}
	if b.fresh != nil {
		b.fresh.silence[k] = silence
	}
	for _, down := range silence {
		s.silent[device] = availability.Join(s.silent[device], down)
	}
}

// come returns what a period comes to up to where it stands. The service
// credits of a day that is not over stay as they were.
func (b *builder) come(f *facts.Facts, s *standing, over bool, d drawing) came {
	k := mark{s.of, s.until, over}
	from := basis{len(f.ContractVersions(s.of.contract)), b.claimsOf[s.of]}
	now, ok := b.kept.came(k, from)
	if !ok {
		for _, p := range s.ahead {
			s.Add(p)
		}
		s.ahead = nil
		now = b.compute(s, over, d)
	}
	if b.fresh != nil {
		b.fresh.stood[k] = reached{now, from}
	}
	if !over {
		now.credits = s.accrued.credits
	}
	return now
}

// compute is come of pieces that are all added. A credit that is given on claim
// is given from the day of the claim on; if that comes after the period, on its
// last day.
func (b *builder) compute(s *standing, over bool, d drawing) came {
	contracts := s.Contracts()
	ended := s.until >= contracts[len(contracts)-1].Within(s.Interval()).End
	known := rating.Known{Claimed: func(charge string) bool {
		c, ok := b.claims[claim{s.of.contract, charge, s.of.period}]
		return ok && c.position < d.asOf && (c.at < s.until || ended)
	}}
	if over {
		known.Silence = func(d domain.DeviceID, _ domain.Interval) []domain.Interval { return s.silent[d] }
	}
	now := came{map[string]int64{}, map[string]credit{}}
	for _, l := range s.Lines(s.until, known) {
		if l.Kind == domain.ChargeSLACredit {
			now.credits[l.Charge] = credit{l.Amount.Minor, l.Detail}
		} else {
			now.accounts[incomeOf(l.Kind)] += l.Amount.Minor
		}
	}
	return now
}

// change makes the entries of a day: what a period comes to now, less what it
// came to before. They follow from the last version that is in force by then.
func (b *builder) change(out *accrued, s *standing, now came, day string, pending bool) {
	last := s.Contracts()[0]
	for _, c := range s.Contracts() {
		if c.Within(domain.Interval{Start: s.Interval().Start, End: s.until}).Valid() {
			last = c
		}
	}
	from := b.refs[fmt.Sprintf("contract %s %d", s.of.contract, last.Version)]
	entry := func(narration string, changes map[string]int64) {
		e := Entry{Date: day, Narration: narration, Pending: pending, Event: from.event, Position: from.position}
		sum := int64(0)
		for _, account := range slices.Sorted(maps.Keys(changes)) {
			v := changes[account]
			if v == 0 {
				continue
			}
			sum += v
			e.Postings = append(e.Postings, minor(account, -v, last.Currency))
			if out.unbilled[s.of] == nil {
				out.unbilled[s.of] = map[string]int64{}
			}
			out.unbilled[s.of][account] += v
		}
		if sum != 0 {
			e.Postings = append([]Posting{minor(unbilled(s.of.contract), sum, last.Currency)}, e.Postings...)
		}
		if len(e.Postings) > 0 {
			out.entries = append(out.entries, e)
		}
	}
	changes := maps.Clone(now.accounts)
	for account, v := range s.accrued.accounts {
		changes[account] -= v
	}
	entry(fmt.Sprintf("Accrual of contract %s", s.of.contract), changes)
	charges := maps.Clone(s.accrued.credits)
	if charges == nil {
		charges = map[string]credit{}
	}
	maps.Copy(charges, now.credits)
	for _, charge := range slices.Sorted(maps.Keys(charges)) {
		detail := "none so far"
		if c, ok := now.credits[charge]; ok {
			detail = c.detail
		}
		entry(fmt.Sprintf("Service credit %s of contract %s: %s", charge, s.of.contract, detail),
			map[string]int64{incomeOf(domain.ChargeSLACredit): now.credits[charge].amount - s.accrued.credits[charge].amount})
	}
	s.accrued = now
}
