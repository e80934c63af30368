package warehouse

import (
	"context"
	"fmt"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement/journal"
)

// books keep the double-entry books of the sites as the log is read: what is
// booked for good goes into the table in memory once, and what is pending into
// each database that is published.
type books struct {
	sites   []domain.SiteID
	keepers map[domain.SiteID]*journal.Keeper
	pending map[domain.SiteID][]journal.Entry
}

// newBooks returns the books of all sites before the first event.
func newBooks(f *facts.Facts) *books {
	b := &books{keepers: map[domain.SiteID]*journal.Keeper{}, pending: map[domain.SiteID][]journal.Entry{}}
	for _, s := range f.Sites() {
		b.sites, b.keepers[s.Site] = append(b.sites, s.Site), journal.NewKeeper(s.Site)
	}
	return b
}

// of reports whether the books are of all sites that there are.
func (b *books) of(f *facts.Facts) bool { return len(f.Sites()) == len(b.sites) }

func (b *books) tell(rec domain.Recorded) {
	for _, k := range b.keepers {
		k.Tell(rec)
	}
}

func (b *books) forget(since domain.Instant) {
	for _, k := range b.keepers {
		k.Forget(since)
	}
}

// draw accrues a closed period from facts that are those of its closing.
func (b *books) draw(f *facts.Facts, c closing) error {
	k := b.keepers[c.Site]
	if k == nil {
		return fmt.Errorf("closing of %s at position %d: site %s is not registered", c.Period, c.position, c.Site)
	}
	return k.Draw(c.position, c.PeriodClosed, f)
}

// book brings the books to where the facts are.
func (b *books) book(ctx context.Context, t *tables, f *facts.Facts) error {
	for _, site := range b.sites {
		booked, pending, err := b.keepers[site].Entries(f)
		if err != nil {
			return err
		}
		b.pending[site] = pending
		if err := postings(t, site, booked); err != nil {
			return err
		}
	}
	return t.flush(ctx)
}

// rows adds the rows of what is pending.
func (b *books) rows(t *tables) error {
	for _, site := range b.sites {
		if err := postings(t, site, b.pending[site]); err != nil {
			return err
		}
	}
	return nil
}

// postings adds the rows of entries, counted by the event that they follow
// from: those of one event come together.
func postings(t *tables, site domain.SiteID, entries []journal.Entry) error {
	count := map[domain.Position]int64{}
	for _, e := range entries {
		date, err := time.Parse(time.DateOnly, e.Date)
		if err != nil {
			return fmt.Errorf("journal entry at position %d: date %q: %w", e.Position, e.Date, err)
		}
		count[e.Position]++
		priced := ""
		if !e.Priced.IsZero() {
			priced = e.Priced.String()
		}
		for i, p := range e.Postings {
			value, currency := p.Weight()
			var lotDay, price any
			if !p.Cost.IsZero() {
				day, err := time.Parse(time.DateOnly, p.Cost.Date)
				if err != nil {
					return fmt.Errorf("journal entry at position %d: date of lot %s: %w", e.Position, p.Cost.Lot, err)
				}
				lotDay, price = dayOf(domain.At(day)), p.Cost.Price
			}
			err := t.add("journal", e.Position, e.Event.String(), count[e.Position], int64(i+1), string(site), dayOf(domain.At(date)), text(e.Narration), e.Pending,
				p.Account, p.Commodity, p.Amount, value, currency, text(p.Cost.Lot), lotDay, price, text(priced))
			if err != nil {
				return err
			}
		}
	}
	return nil
}
