// Package settlement closes billing periods, issues their invoices and
// reconciles what pools paid, each as one event in the log.
//
// Every conclusion names the position that it was drawn at and can be drawn
// again from the log up to there, to the byte: see package audit. Running
// twice, or beside another run, issues nothing twice: an invoice's event id is
// its contract and period, and its number is its place in the stream of its
// series, given in the same append.
package settlement

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/projections/usage"
	"wattbook/settlement/pools"
	"wattbook/settlement/rating"
)

// Errors that callers branch on.
var (
	// ErrIncomplete means that something that the period needs is not known
	// yet. The error says what and what to do.
	ErrIncomplete = rating.ErrIncomplete
	// ErrNotClosed means that the period has to be closed first.
	ErrNotClosed = errors.New("the period is not closed")
)

// Document is a file made from an invoice.
type Document struct {
	Name    string
	Content []byte
}

// Settler draws conclusions from a log and appends them to it.
type Settler struct {
	Log   eventlog.Log
	Facts *facts.Facts // kept at the head by Refresh
	Now   func() domain.Instant
	// Render makes the documents of an invoice: the same bytes every time.
	Render func(domain.Invoice) ([]Document, error)
	// Partial allows a period that begins before the site's book does: what
	// was before is not in it.
	Partial bool
	// RenderNote makes the documents of a note likewise.
	RenderNote func(domain.Note) ([]Document, error)
	// Layout is how the documents of what is issued are laid out.
	Layout int64
	// Signed returns what the log has signed, at least of the events that the
	// documents of a run are drawn from; nil: they do not name it.
	Signed func() (domain.Checkpoint, error)
}

// signed returns the checkpoint that a document names.
func (s *Settler) signed() (domain.Checkpoint, error) {
	if s.Signed == nil {
		return domain.Checkpoint{}, nil
	}
	return s.Signed()
}

// Refresh folds what the log holds beyond the facts.
func (s *Settler) Refresh(ctx context.Context) error {
	_, err := projections.Fold(ctx, s.Log, s.Facts.Next, projections.Head, s.Facts)
	return err
}

// Close closes a site's billing period in the site's zone. It is an error that
// wraps [ErrIncomplete] while a meter has an interval without a reading, the
// period is not over, or it begins before the book does. A period that is
// closed already is returned as it is.
func (s *Settler) Close(ctx context.Context, site domain.SiteID, period domain.Period) (domain.PeriodClosed, error) {
	if err := s.Refresh(ctx); err != nil {
		return domain.PeriodClosed{}, err
	}
	if c, ok := s.Facts.Closed(site, period); ok {
		return c, nil
	}
	c, gaps, err := Closing(s.Facts, site, period)
	if err != nil {
		return domain.PeriodClosed{}, err
	}
	if err := s.whole(site, c, gaps); err != nil {
		return c, fmt.Errorf("close %s of %s: %w: %w", period, site, ErrIncomplete, err)
	}
	stream := eventlog.Stream("period-" + string(site))
	if err := s.append(ctx, stream, c, string(site), period.String()); err != nil {
		return c, fmt.Errorf("close %s of %s: %w", period, site, err)
	}
	c, _ = s.Facts.Closed(site, period)
	return c, nil
}

// Begun reports why a period cannot be closed because of when the site's book
// begins: before, nothing is known.
func (s *Settler) Begun(site domain.SiteID, period domain.Period) error {
	reg, _ := s.Facts.Site(site)
	zone, err := s.Facts.Zone(reg.Zone)
	if err != nil {
		return err
	}
	iv := period.In(zone)
	begins, meters := s.Facts.Begins(site)
	switch {
	case !meters || begins <= iv.Start || s.Partial && begins < iv.End:
		return nil
	case begins >= iv.End:
		return fmt.Errorf("close %s of %s: %w: all of it is before the book of the site, which begins at %s; import what was before (--partial is for the month in which the book begins)", period, site, ErrIncomplete, begins)
	}
	return fmt.Errorf("close %s of %s: %w: it begins at %s, and the book of the site begins at %s; import what was before, or say --partial to close it without that", period, site, ErrIncomplete, iv.Start, begins)
}

// whole reports why a period is not all there.
func (s *Settler) whole(site domain.SiteID, c domain.PeriodClosed, gaps []Gap) error {
	begins, meters := s.Facts.Begins(site)
	switch reached := s.Facts.Reached(site); {
	case c.Missing > 0:
		return fmt.Errorf("%s readings are missing: %s; wait for the meter, import them (wattbook import readings), or have them estimated: %s",
			thousands(c.Missing), listed(gaps), rating.HowToEstimate(gaps[0].Meter, gaps[0].Interval))
	case meters && c.Metered+c.Estimated == 0:
		return errors.New("no meter was in service in it")
	case meters && begins > c.Interval.Start && !s.Partial:
		return fmt.Errorf("it begins at %s, and the book of the site begins at %s; import what was before, or say --partial to close it without that", c.Interval.Start, begins)
	case reached < c.Interval.End:
		return fmt.Errorf("it ends at %s, and what is known reaches to %s", c.Interval.End, reached)
	}
	return nil
}

func isMeter(d domain.DeviceRegistered) bool { return d.Kind == domain.KindMeter }

// Gap is a run of intervals without a reading of a meter.
type Gap struct {
	Meter    domain.DeviceID
	Interval domain.Interval
}

// thousands writes a number with separators.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// String names the meter and the interval.
func (g Gap) String() string { return fmt.Sprintf("%s %s", g.Meter, g.Interval) }

// gapsShown is how many gaps an error names.
const gapsShown = 8

// listed names the gaps, and how many more there are.
func listed(gaps []Gap) string {
	var names []string
	for _, g := range gaps[:min(len(gaps), gapsShown)] {
		names = append(names, g.String())
	}
	if more := len(gaps) - gapsShown; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// Closing draws the closing of a period from the facts, without recording it,
// and the gaps that keep it from being complete. A meter counts from when it
// went into service on.
func Closing(f *facts.Facts, id domain.SiteID, period domain.Period) (domain.PeriodClosed, []Gap, error) {
	site, ok := f.Site(id)
	if !ok {
		return domain.PeriodClosed{}, nil, fmt.Errorf("close %s: site %s is not registered", period, id)
	}
	zone, err := f.Zone(site.Zone)
	if err != nil {
		return domain.PeriodClosed{}, nil, fmt.Errorf("close %s of %s: %w", period, id, err)
	}
	c := domain.PeriodClosed{Site: id, Period: period, Interval: period.In(zone), AsOf: f.Next}
	table := f.Table(id)
	first, end := table.Slots(c.Interval)
	var gaps []Gap
	for _, d := range f.Devices(id) {
		if !isMeter(d) {
			continue
		}
		since, _ := f.Since(id, d.Device)
		for slot := first; slot < end; slot++ {
			if table.Interval(slot).Start < since {
				continue
			}
			switch _, state := table.Energy(d.Device, slot); state {
			case facts.Metered:
				c.Metered++
			case facts.Estimated:
				c.Estimated++
			default:
				c.Missing++
				iv := table.Interval(slot)
				if n := len(gaps); n > 0 && gaps[n-1].Meter == d.Device && gaps[n-1].Interval.End == iv.Start {
					gaps[n-1].Interval.End = iv.End
				} else {
					gaps = append(gaps, Gap{d.Device, iv})
				}
			}
		}
	}
	c.Balance = balance.Digest(balance.Rows(f, id, c.Interval))
	c.Usage = usage.Digest(f, id, c.Interval)
	c.Margin, err = margin.Digest(margin.Rows(f, id, c.Interval))
	return c, gaps, err
}

// Issued is the outcome of issuing an invoice.
type Issued struct {
	domain.InvoiceIssued
	Before    bool // it had been issued by an earlier run
	Documents []Document
}

// Issue issues the invoices of a site's contracts for a closed period, or of
// those that are named, and returns those that there are, by
// contract. Contracts that were not in force have none, and neither have those
// for which there is nothing to bill: an invoice has at least one line (EN
// 16931, BR-16). An invoice that was issued before is returned as it was; it is
// an error if its documents do not come out as they were issued. A contract
// whose invoice cannot be drawn keeps no other from being billed: the error
// names it after the others are issued.
func (s *Settler) Issue(ctx context.Context, site domain.SiteID, period domain.Period, only ...domain.ContractID) ([]Issued, error) {
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	if _, ok := s.Facts.Closed(site, period); !ok {
		return nil, fmt.Errorf("issue invoices of %s for %s: %w", site, period, ErrNotClosed)
	}
	contracts, drafts, failed := s.Drafts(site, period, only...)
	var all []Issued
	for i, id := range contracts {
		out, ok, err := s.issue(ctx, id, period, drafts[i])
		if err != nil {
			return all, errors.Join(err, failed)
		}
		if ok {
			all = append(all, out)
		}
	}
	return all, failed
}

// Drafts draws the invoices of a site's contracts for a period, or of those
// that are named, from the facts as they are, and records nothing. All
// are drawn at one position, so that they know the same; a contract whose
// invoice is on record has a zero draft, and so has one whose invoice cannot be
// drawn, which the error names. All cores draw.
func (s *Settler) Drafts(site domain.SiteID, period domain.Period, only ...domain.ContractID) ([]domain.ContractID, []domain.Invoice, error) {
	contracts := s.Facts.Contracts(site)
	for _, id := range only {
		if !slices.Contains(contracts, id) {
			return nil, nil, fmt.Errorf("issue invoices of %s: contract %s is not known; known are %v", site, id, contracts)
		}
	}
	if len(only) > 0 {
		contracts = only
	}
	drafts, failed := make([]domain.Invoice, len(contracts)), make([]error, len(contracts))
	s.rate(len(contracts), func(rater *rating.Rater, i int) {
		if _, ok := s.Facts.Invoice(contracts[i], period); !ok {
			drafts[i], failed[i] = rater.Draft(contracts[i], period)
		}
	})
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	if more := len(failed) - failuresShown; more > 0 {
		failed = append(failed[:failuresShown], fmt.Errorf("%d more contracts cannot be billed either", more))
	}
	for i, err := range failed {
		failed[i] = fmt.Errorf("issue invoices of %s for %s: %w", site, period, err)
	}
	return contracts, drafts, errors.Join(failed...)
}

// failuresShown is how many of the contracts that cannot be billed an error
// tells why.
const failuresShown = 8

// rate does something n times with a rater of what is known, on all cores.
func (s *Settler) rate(n int, do func(rater *rating.Rater, i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			rater := rating.New(s.Facts)
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(rater, int(i))
			}
		})
	}
	workers.Wait()
}

// issue gives a draft its number and records it. The number is the next place
// in the series' stream: an append that loses a race is refused by the
// stream's revision and tried with the next number, so that numbers have no
// gaps and no number burns.
func (s *Settler) issue(ctx context.Context, id domain.ContractID, period domain.Period, draft domain.Invoice) (Issued, bool, error) {
	fail := func(err error) (Issued, bool, error) {
		return Issued{}, false, fmt.Errorf("issue invoice of %s for %s: %w", id, period, err)
	}
	if _, ok := s.Facts.Invoice(id, period); ok {
		out, err := s.reprint(id, period)
		if err != nil {
			return fail(err)
		}
		return out, true, nil
	}
	if len(draft.Lines) == 0 {
		return Issued{}, false, nil
	}
	signed, err := version(s.Facts, id, draft.Version)
	if err != nil {
		return fail(err)
	}
	draft.Issued, draft.Layout = s.Now(), s.Layout
	draft.Due = Due(signed, draft.Issued)
	if draft.Checkpoint, err = s.signed(); err != nil {
		return fail(err)
	}
	stream := Series(signed, draft.Issued)
	for {
		n, err := s.Log.Next(ctx, stream)
		if err != nil {
			return fail(err)
		}
		draft.Number = Number(signed, draft.Issued, n)
		out := Issued{InvoiceIssued: domain.InvoiceIssued{Invoice: draft}}
		if out.Documents, err = s.Render(draft); err != nil {
			return fail(err)
		}
		out.InvoiceIssued.Documents = Digests(out.Documents)
		event, err := wire.Draft(s.invoiceID(id, period), out.InvoiceIssued, nil)
		if err != nil {
			return fail(err)
		}
		_, err = s.Log.Append(ctx, eventlog.Write{Stream: stream, Expect: eventlog.After(n), Events: []eventlog.Draft{event}})
		switch {
		case errors.Is(err, eventlog.ErrWrongExpectedRevision):
			continue // another run took the number
		case errors.Is(err, eventlog.ErrIdempotencyConflict):
			// Another run issued this very invoice: what it issued stands.
			if err := s.Refresh(ctx); err != nil {
				return fail(err)
			}
			out, err := s.reprint(id, period)
			if err != nil {
				return fail(err)
			}
			return out, true, nil
		case err != nil:
			return fail(err)
		}
		return out, true, s.Refresh(ctx)
	}
}

// invoiceID is the id of the event that issues a contract's invoice for a
// period: one for each time that the invoice before it was voided.
func (s *Settler) invoiceID(id domain.ContractID, period domain.Period) domain.EventID {
	about := []string{"invoice", string(id), period.String()}
	voided := 0
	for _, v := range s.Facts.Voids() {
		if v.Contract == id && v.Period == period {
			voided++
		}
	}
	if voided > 0 {
		about = append(about, fmt.Sprint(voided))
	}
	return domain.EventIDOf(about...)
}

// reprint returns an invoice that is on record, with its documents.
func (s *Settler) reprint(id domain.ContractID, period domain.Period) (Issued, error) {
	before, ok := s.Facts.Invoice(id, period)
	if !ok {
		return Issued{}, errors.New("its event id is on record for something else")
	}
	documents, err := s.Render(before.Invoice)
	if err == nil {
		documents, err = asIssued("invoice "+before.Invoice.Number, documents, before.Documents)
	}
	return Issued{before, true, documents}, err
}

// asIssued returns those of the documents that a record names. It is an error
// if they are not those that were issued.
func asIssued(what string, documents []Document, record []domain.DocumentDigest) ([]Document, error) {
	documents = Named(documents, record)
	if !slices.Equal(Digests(documents), record) {
		return nil, fmt.Errorf("the documents of %s do not come out as they were issued; print them with the version that issued them", what)
	}
	return documents, nil
}

// version returns a version of a contract by its number.
func version(f *facts.Facts, id domain.ContractID, number int64) (domain.ContractSigned, error) {
	for _, c := range slices.Backward(f.ContractVersions(id)) {
		if c.Version == number {
			return c, nil
		}
	}
	return domain.ContractSigned{}, fmt.Errorf("contract %s has no version %d", id, number)
}

// Series returns the stream of the invoices that a contract's seller numbers
// together: those of a series and year (UTC).
func Series(c domain.ContractSigned, issued domain.Instant) eventlog.Stream {
	return eventlog.Stream(fmt.Sprintf("invoice-%s.%d", c.Series, issued.Time().Year()))
}

// Number returns the number of the invoice at a revision of its series.
func Number(c domain.ContractSigned, issued domain.Instant, n eventlog.Revision) string {
	return fmt.Sprintf("%s-%d-%06d", c.Series, issued.Time().Year(), n+1)
}

// Due returns when an invoice is to be paid.
func Due(c domain.ContractSigned, issued domain.Instant) domain.Instant {
	return issued.Add(domain.Day * domain.Duration(c.PaymentDays))
}

// Named returns those of the documents that a record names, in its order: what
// was issued before a kind of document was made has none of it.
func Named(documents []Document, record []domain.DocumentDigest) []Document {
	var all []Document
	for _, r := range record {
		if i := slices.IndexFunc(documents, func(d Document) bool { return d.Name == r.Name }); i >= 0 {
			all = append(all, documents[i])
		}
	}
	return all
}

// Digests names documents by their digests.
func Digests(documents []Document) []domain.DocumentDigest {
	var all []domain.DocumentDigest
	for _, d := range documents {
		all = append(all, domain.DocumentDigest{Name: d.Name, Digest: domain.DigestOf(d.Content)})
	}
	return all
}

// Reconcile reconciles each earning day of the interval that is over and
// records those that are new or differ from what is on record. It returns all
// of them, and an error that wraps [ErrIncomplete] if there are days whose
// expectation is not known: nothing is recorded of those.
func (s *Settler) Reconcile(ctx context.Context, a pools.Account, iv domain.Interval) ([]domain.PayoutReconciled, error) {
	fail := func(err error) ([]domain.PayoutReconciled, error) {
		return nil, fmt.Errorf("reconcile %s: %w", a.Terms.Pool, err)
	}
	stream := eventlog.Stream(fmt.Sprintf("reconciliation-%s.%s", a.Terms.Pool, a.Terms.Account))
	for {
		// The length of the stream is read before the facts, so that a run
		// that records in between is noticed.
		n, err := s.Log.Next(ctx, stream)
		if err != nil {
			return fail(err)
		}
		if err := s.Refresh(ctx); err != nil {
			return fail(err)
		}
		all, events, unknown, err := s.reconcile(a, iv)
		if err != nil {
			return fail(err)
		}
		if len(events) > 0 {
			_, err := s.Log.Append(ctx, eventlog.Write{Stream: stream, Expect: eventlog.After(n), Events: events})
			if errors.Is(err, eventlog.ErrWrongExpectedRevision) || errors.Is(err, eventlog.ErrIdempotencyConflict) {
				continue // another run reconciled, some of the days perhaps: see what is left to do
			}
			if err != nil {
				return fail(err)
			}
		}
		if unknown != nil {
			unknown = fmt.Errorf("reconcile %s: %w: %w", a.Terms.Pool, ErrIncomplete, unknown)
		}
		return all, errors.Join(unknown, s.Refresh(ctx))
	}
}

// reconcile draws the reconciliations of the interval, and the events of those
// that say something new.
func (s *Settler) reconcile(a pools.Account, iv domain.Interval) (all []domain.PayoutReconciled, events []eventlog.Draft, unknown, err error) {
	known := map[domain.Instant]domain.PayoutReconciled{}
	for _, r := range s.Facts.Reconciled(a.Terms.Pool, a.Terms.Account, iv) {
		known[r.Interval.Start] = r
	}
	drawn, unknown := pools.Draw(s.Facts, a, iv)
	for _, r := range drawn {
		if before, ok := known[r.Interval.Start]; ok && Same(before.Reconciliation, r) {
			all = append(all, before)
			continue
		}
		out := domain.PayoutReconciled{Site: a.Site, AsOf: s.Facts.Next, Reconciliation: r}
		event, err := wire.Draft(domain.EventIDOf("reconciliation", string(a.Terms.Pool), a.Terms.Account, r.Interval.String(), fmt.Sprint(out.AsOf)), out, nil)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", r.Interval, err)
		}
		events = append(events, event)
		all = append(all, out)
	}
	return all, events, unknown, nil
}

// Same reports whether two reconciliations say the same.
func Same(a, b domain.Reconciliation) bool {
	return a.Shares == b.Shares && a.Expected == b.Expected && a.Stated == b.Stated && a.Received == b.Received &&
		a.Sigma == b.Sigma && a.Finding == b.Finding && slices.Equal(a.Lines, b.Lines)
}

// append records one event under an id made of what it is about, and folds it.
func (s *Settler) append(ctx context.Context, stream eventlog.Stream, e domain.Event, about ...string) error {
	draft, err := wire.Draft(domain.EventIDOf(append([]string{string(stream)}, about...)...), e, nil)
	if err != nil {
		return err
	}
	_, err = s.Log.Append(ctx, eventlog.Write{Stream: stream, Expect: eventlog.Any, Events: []eventlog.Draft{draft}})
	if err != nil && !errors.Is(err, eventlog.ErrIdempotencyConflict) { // a conflict: another run was first
		return err
	}
	return s.Refresh(ctx)
}
