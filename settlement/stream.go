package settlement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
	"wattbook/settlement/rating"
)

// Scratch is a place for what is not held in memory: a file, as a rule.
type Scratch interface {
	io.ReadWriteSeeker
	io.Closer
}

// Stream drafts invoices from a log whose readings do not fit into memory. It
// reads the log twice: once for the contracts and what they share, and once for
// readings and allocations, which it puts aside by groups of contracts. Then
// it folds and rates one group after the other. What it holds in memory grows
// with the contracts, and not with what is read of their meters.
type Stream struct {
	Events  Events
	Scratch func() (Scratch, error)
	Group   int // contracts that are rated together; 0: 128
	Workers int // groups that are in memory at the same time; 0: 1
}

// Events yields what is known, in the order of the log and from its beginning.
// Events whose wire names are not asked for have a position and a time of
// recording, and may lack what they say.
type Events func(ctx context.Context, names ...string) iter.Seq2[domain.Recorded, error]

// Known returns the events of a log before a position.
func Known(log eventlog.Log, to domain.Position) Events {
	return func(ctx context.Context, names ...string) iter.Seq2[domain.Recorded, error] {
		return func(yield func(domain.Recorded, error) bool) {
			var opener wire.Opener
			for r, err := range log.ReadAll(ctx, 0) {
				if err == nil && r.Position >= to {
					return
				}
				rec := domain.Recorded{Position: r.Position, RecordedAt: r.RecordedAt}
				if err == nil && slices.Contains(names, r.Type) {
					rec, err = opener.Open(r)
				}
				if !yield(rec, err) || err != nil {
					return
				}
			}
		}
	}
}

// Drafted is the draft of a contract, or why there is none.
type Drafted struct {
	Contract domain.ContractID
	Invoice  domain.Invoice // zero if the contract was not in force
	Err      error
}

// Drafts drafts the invoices of a site's contracts for a period, equal to those
// of [rating.Rater.Draft]. They come in no order, one at a time. An error of
// yield ends it.
func (s Stream) Drafts(ctx context.Context, site domain.SiteID, period domain.Period, yield func(Drafted) error) error {
	fail := func(err error) error { return fmt.Errorf("draft invoices of %s for %s: %w", site, period, err) }
	shared, err := s.share(ctx, site, period)
	if err != nil {
		return fail(err)
	}
	defer shared.close()
	if err := s.putAside(ctx, shared); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var one sync.Mutex // of yield, and of what failed
	var failed error
	next := make(chan *group)
	var workers sync.WaitGroup
	for range max(1, s.Workers) {
		workers.Go(func() {
			for g := range next {
				err := g.rate(ctx, shared, period, func(d Drafted) error {
					one.Lock()
					defer one.Unlock()
					return yield(d)
				})
				if err != nil {
					one.Lock()
					failed = errors.Join(failed, err)
					one.Unlock()
					cancel()
				}
			}
		})
	}
	for _, g := range shared.groups {
		if ctx.Err() != nil {
			break
		}
		next <- g
	}
	close(next)
	workers.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	if failed != nil {
		return fail(failed)
	}
	return nil
}

// shared is what all contracts have in common.
type shared struct {
	site     domain.SiteID
	step     domain.Duration
	events   []domain.Recorded // without readings and allocations
	next     domain.Position
	recorded domain.Instant // of the last event
	end      domain.Instant // of the last reading
	groups   []*group
	devices  map[domain.DeviceID][]member
	buyers   map[domain.CustomerID][]member
}

// group is contracts that are rated together.
type group struct {
	spill
	contracts []domain.ContractID
	reads     domain.Interval // of the readings that count
}

// member is a group and a number in it.
type member struct {
	*group
	number int
}

func (s *shared) close() {
	for _, g := range s.groups {
		if g.file != nil {
			_ = g.file.Close()
		}
	}
}

// groupSize is how many contracts are rated together if nobody says.
const groupSize = 128

// share reads what contracts have in common, and groups them.
func (s Stream) share(ctx context.Context, site domain.SiteID, period domain.Period) (*shared, error) {
	all := &shared{site: site, devices: map[domain.DeviceID][]member{}, buyers: map[domain.CustomerID][]member{}}
	known := facts.New()
	// What a draft follows from, besides readings and allocations.
	for rec, err := range s.Events(ctx, wire.SiteRegistered, wire.DeviceRegistered, wire.DeviceReplaced, wire.PowerPriced, wire.ContractSigned,
		wire.PrepaymentReceived, wire.InvoiceIssued, wire.InvoiceVoided, wire.ServiceCreditClaimed) {
		if err != nil {
			return nil, err
		}
		all.next, all.recorded = rec.Position+1, rec.RecordedAt
		if !common(rec.Event) {
			continue
		}
		if i, ok := rec.Event.(domain.InvoiceIssued); ok { // only what it drew of prepayments counts
			i.Invoice.Lines, i.Invoice.Daily, i.Documents = nil, nil, nil
			rec.Event = i
		}
		known.Skip(rec.Position)
		if err := known.Apply(rec); err != nil {
			return nil, fmt.Errorf("event at position %d: %w", rec.Position, err)
		}
		all.events = append(all.events, rec)
	}
	reg, ok := known.Site(site)
	if !ok {
		return nil, fmt.Errorf("site %s is not registered", site)
	}
	all.step = reg.Step
	return all, s.divide(all, known, period)
}

// common reports whether an event is kept for all groups.
func common(e domain.Event) bool {
	switch e.(type) {
	case nil, domain.ReadingsRecorded, domain.GPUAllocationStarted, domain.GPUAllocationEnded:
		return false
	}
	return true
}

// divide puts the contracts of a site into groups, those of a buyer together.
func (s Stream) divide(all *shared, known *facts.Facts, period domain.Period) error {
	buyer := func(id domain.ContractID) domain.CustomerID { return known.ContractVersions(id)[0].Buyer.ID }
	contracts := known.Contracts(all.site)
	slices.SortStableFunc(contracts, func(a, b domain.ContractID) int {
		if buyer(a) < buyer(b) {
			return -1
		} else if buyer(a) > buyer(b) {
			return 1
		}
		return 0
	})
	size := s.Group
	if size <= 0 {
		size = groupSize
	}
	var g *group
	for i, id := range contracts {
		if g == nil || len(g.contracts) >= size && buyer(id) != buyer(contracts[i-1]) {
			file, err := s.Scratch()
			if err != nil {
				return fmt.Errorf("scratch file: %w", err)
			}
			g = &group{spill: newSpill(file, all.step), reads: domain.Interval{Start: 1<<63 - 1}}
			all.groups = append(all.groups, g)
		}
		g.contracts = append(g.contracts, id)
		for _, c := range known.ContractVersions(id) {
			zone, err := known.Zone(c.Zone)
			if err != nil {
				return fmt.Errorf("contract %s: %w", id, err)
			}
			in := period.In(zone)
			g.reads = domain.Interval{Start: min(g.reads.Start, in.Start), End: max(g.reads.End, in.End)}
			if !slices.ContainsFunc(all.buyers[c.Buyer.ID], func(m member) bool { return m.group == g }) {
				all.buyers[c.Buyer.ID] = append(all.buyers[c.Buyer.ID], member{g, len(g.buyers)})
				g.buyers = append(g.buyers, c.Buyer.ID)
			}
			for _, ch := range c.Charges {
				if ch.Kind == domain.ChargeCommitment { // months before are rated for what is left of it
					g.reads.Start = -1 << 63
				}
				for _, d := range ch.Devices() {
					if !slices.ContainsFunc(all.devices[d], func(m member) bool { return m.group == g }) {
						all.devices[d] = append(all.devices[d], member{g, len(g.devices)})
						g.devices = append(g.devices, device{id: d, first: 1<<63 - 1})
					}
				}
			}
		}
	}
	return nil
}

// putAside reads readings and allocations, and puts each aside for the groups
// that it concerns.
func (s Stream) putAside(ctx context.Context, all *shared) error {
	opened := map[string]facts.Allocation{} // whose end is not known
	early := map[string]domain.Instant{}    // ends that are told before their start
	allocated := func(a facts.Allocation) {
		for _, m := range all.buyers[a.Customer] {
			if in := m.reads.Overlap(domain.Interval{Start: a.At, End: 1<<63 - 1}); in.Valid() && (a.End == 0 || a.End > in.Start) {
				m.allocation(m.number, a)
			}
		}
	}
	for rec, err := range s.Events(ctx, wire.ReadingsRecorded, wire.GPUAllocationStarted, wire.GPUAllocationEnded) {
		if err != nil {
			return err
		}
		switch e := rec.Event.(type) {
		case domain.ReadingsRecorded:
			if e.Site == all.site {
				all.read(rec.Position, e)
			}
		case domain.GPUAllocationStarted:
			if e.Site != all.site || len(all.buyers[e.Customer]) == 0 {
				continue
			}
			a := facts.Allocation{GPUAllocationStarted: e}
			if at, ok := early[e.Allocation]; ok {
				delete(early, e.Allocation)
				a.End = at
				allocated(a)
			} else if _, again := opened[e.Allocation]; !again { // what is on record stands
				opened[e.Allocation] = a
			}
		case domain.GPUAllocationEnded:
			if e.Site != all.site {
				continue
			}
			if a, ok := opened[e.Allocation]; ok {
				delete(opened, e.Allocation)
				a.End = e.At
				allocated(a)
			} else if early[e.Allocation] == 0 {
				early[e.Allocation] = e.At
			}
		}
	}
	for _, a := range opened { // in any order: they are only added up
		allocated(a)
	}
	for _, g := range all.groups {
		if err := g.flush(); err != nil {
			return err
		}
	}
	return nil
}

// read puts readings aside. What is before the period counts only as the first
// of a device, which says since when it is in service.
func (s *shared) read(p domain.Position, e domain.ReadingsRecorded) {
	for _, r := range e.Readings {
		if !r.Mark.Books() || facts.TooLong(&r, s.step) {
			continue
		}
		s.end = max(s.end, r.Interval.End)
		for _, m := range s.devices[r.Device] {
			if d := &m.devices[m.number]; r.Interval.Start < d.first {
				d.first = r.Interval.Start
			} else if !r.Interval.Overlap(m.reads).Valid() {
				continue
			}
			m.reading(p, m.number, r)
		}
	}
}

// rate folds what concerns a group, and drafts its invoices.
func (g *group) rate(ctx context.Context, all *shared, period domain.Period, yield func(Drafted) error) error {
	f := facts.New()
	apply := func(rec domain.Recorded) error {
		f.Skip(rec.Position)
		return f.Apply(rec)
	}
	events := all.events
	err := g.replay(all.site, f.Allocated, func(rec domain.Recorded) error {
		for len(events) > 0 && events[0].Position < rec.Position {
			if g.concerns(events[0].Event) {
				if err := apply(events[0]); err != nil {
					return err
				}
			}
			events = events[1:]
		}
		return apply(rec)
	})
	for i := 0; err == nil && i < len(events); i++ {
		if g.concerns(events[i].Event) {
			err = apply(events[i])
		}
	}
	if err != nil {
		return err
	}
	f.Next, f.Recorded = all.next, max(all.recorded, all.end)
	rater := rating.New(f)
	for _, id := range g.contracts {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := Drafted{Contract: id}
		d.Invoice, d.Err = rater.Draft(id, period)
		if err := yield(d); err != nil {
			return err
		}
	}
	return nil
}

// concerns reports whether a group needs an event: those of other buyers'
// contracts it does not.
func (g *group) concerns(e domain.Event) bool {
	switch e := e.(type) {
	case domain.ContractSigned:
		return slices.Contains(g.contracts, e.Contract) || slices.Contains(g.buyers, e.Buyer.ID)
	case domain.InvoiceIssued:
		return slices.Contains(g.contracts, e.Invoice.Contract)
	case domain.PrepaymentReceived:
		return slices.Contains(g.contracts, e.Contract)
	}
	return true
}
