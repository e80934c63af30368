package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/domain/wire"
	"wattbook/settlement"
	"wattbook/settlement/audit"
	"wattbook/settlement/journal"
	"wattbook/settlement/pools"
)

// poolDay is all that is known of an earning day.
type poolDay struct {
	Reconciliation domain.Reconciliation `json:"reconciliation"`
	Difference     settlement.Difference `json:"difference"`
	Scheme         domain.Scheme         `json:"scheme"`
	FeePortion     domain.Decimal        `json:"fee_portion"`
	Subsidy        domain.Decimal        `json:"expected_subsidy_satoshi"` // before rounding, to a millionth
	Fees           domain.Decimal        `json:"expected_fees_satoshi"`
	PoolFee        domain.Decimal        `json:"expected_pool_fee_satoshi"`
	Epochs         []poolEpoch           `json:"epochs"`
	Hashes         domain.Hashes         `json:"own_hashes"`
	Off            *domain.Decimal       `json:"shares_over_hashes_portion,omitempty"`
	Alarm          string                `json:"alarm,omitempty"`
	Missing        int64                 `json:"intervals_without_a_report"`

	Statement *domain.PoolStatementReceived `json:"statement,omitempty"`
	Payouts   []pools.Payout                `json:"payouts,omitempty"`

	Margin   pools.Margin    `json:"margin"`
	Currency domain.Currency `json:"currency"`
}

type poolEpoch struct {
	Interval   domain.Interval        `json:"interval"`
	Difficulty domain.Decimal         `json:"network_difficulty"` // to a hundredth
	Subsidy    domain.Satoshi         `json:"block_subsidy_satoshi"`
	Shares     domain.ShareDifficulty `json:"own_share_difficulty"`
	Portion    domain.Decimal         `json:"portion_of_a_block"` // to 12 places
}

// dayFacts gathers what is known of an earning day.
func dayFacts(b *book, a pools.Account, day domain.Instant) (poolDay, error) {
	r, err := settlement.DayOf(b.facts, a, day)
	if err != nil {
		return poolDay{}, fmt.Errorf("%s of %s/%s: %w", day.Time().Format(time.DateOnly), a.Terms.Pool, a.Terms.Account, err)
	}
	e, err := pools.Expect(b.facts, a, r.Interval)
	if err != nil {
		return poolDay{}, err
	}
	m := pools.Compare(b.facts, a, r.Interval)
	d := poolDay{
		Reconciliation: r, Difference: settlement.Standing(b.facts, r, b.now()), Scheme: e.Subsidies[0].Scheme, FeePortion: domain.RoundRat(e.FeePortion(), 6),
		Subsidy: domain.RoundRat(e.Base, 6), Fees: domain.RoundRat(e.Fees, 6), PoolFee: domain.RoundRat(e.Fee, 6),
		Hashes: m.Hashes, Off: m.Off(), Alarm: m.Alarm(), Missing: e.Missing,
	}
	if d.Margin, err = pools.MarginOf(b.facts, a, r); err != nil {
		return d, err
	}
	if site, ok := b.facts.Site(a.Site); ok {
		d.Currency = site.Currency
	}
	for _, x := range e.Subsidies {
		d.Epochs = append(d.Epochs, poolEpoch{x.Interval, domain.RoundRat(x.Bits.Difficulty(), 2), x.Subsidy, x.Shares, domain.RoundRat(x.Portion, 12)})
	}
	statements := b.facts.Statements(a.Terms.Pool, a.Terms.Account, domain.Interval{End: 1<<63 - 1})
	for _, s := range statements {
		if s.Interval == r.Interval {
			d.Statement = &s.PoolStatementReceived
		}
	}
	for _, p := range pools.Settle(b.facts, a, statements).Payouts {
		if slices.Contains(p.Days, r.Interval.Start) {
			d.Payouts = append(d.Payouts, p)
		}
	}
	return d, nil
}

// poolAccount returns the site and the one account of it that are named.
func (b *book) poolAccount(o poolFlags) (domain.SiteRegistered, pools.Account, error) {
	reg, err := b.siteNamed(o.site)
	if err != nil {
		return reg, pools.Account{}, err
	}
	terms, err := oneAccount(b.facts.PoolAccounts(reg.Site), o.account, "--account")
	if err != nil {
		return reg, pools.Account{}, usagef("%v", err)
	}
	return reg, pools.Account{Site: reg.Site, Terms: terms}, nil
}

func poolExplain(ctx context.Context, p *program, o poolFlags, day domain.Instant) error {
	return p.withBook(ctx, func(b *book) error {
		_, a, err := b.poolAccount(o)
		if err != nil {
			return err
		}
		d, err := dayFacts(b, a, day)
		if err != nil {
			return err
		}
		if p.common.json {
			return p.printJSON(d)
		}
		_, err = p.stdout.Write([]byte(d.text()))
		return err
	})
}

// text writes the day in words and numbers.
func (d poolDay) text() string {
	var b strings.Builder
	r := d.Reconciliation
	sat := func(v domain.Satoshi) string { return thousands(int64(v)) }
	fmt.Fprintf(&b, "%s, account %s, %s to %s\n\nOWN WORK\n", r.Pool, r.Account, r.Interval.Start, r.Interval.End)
	for _, e := range d.Epochs {
		fmt.Fprintf(&b, "  from %s  difficulty %s of the network's %s = %s of a block, whose subsidy is %s\n", e.Interval.Start.Time().Format("15:04Z"),
			group(e.Shares.Decimal().Fixed(0)), group(e.Difficulty.Fixed(0)), e.Portion, sat(e.Subsidy))
	}
	if d.Off != nil {
		off, word := d.Off.Shift(2), "more"
		if off.Sign() < 0 {
			off, word = off.Neg(), "less"
		}
		fmt.Fprintf(&b, "  the miners count %s hashes; the shares stand for %s %% %s\n", group(d.Hashes.String()), off.Fixed(3), word)
	}
	if d.Missing > 0 {
		fmt.Fprintf(&b, "  in %d intervals no miner reported\n", d.Missing)
	}
	fmt.Fprintf(&b, "\nEXPECTED under %s less %s %%: subsidy %s + fees %s - pool fee %s = %s sat", strings.ToUpper(string(d.Scheme)), d.FeePortion.Shift(2),
		group(d.Subsidy.Fixed(2)), group(d.Fees.Fixed(2)), group(d.PoolFee.Fixed(2)), sat(r.Expected))
	if r.Sigma > 0 {
		fmt.Fprintf(&b, ", with a sigma of %s", sat(r.Sigma))
	}
	b.WriteString("\n")
	if s := d.Statement; s == nil {
		b.WriteString("STATED   nothing: what the pool owes is unknown\n")
	} else {
		parts := fmt.Sprintf("subsidy %s + fees %s - pool fee %s + other %s = ", sat(s.Subsidy), sat(s.Fees), sat(s.PoolFee), sat(s.Other))
		switch {
		case s.NetOnly:
			parts = "its net alone: "
		case s.Unsplit:
			parts = fmt.Sprintf("subsidy and fees %s - pool fee %s + other %s = ", sat(s.Subsidy), sat(s.PoolFee), sat(s.Other))
		}
		if s.Credits > 1 {
			parts = fmt.Sprintf("of %d credits: %s", s.Credits, parts)
		}
		fmt.Fprintf(&b, "STATED   %s%s sat\n         observed by %s at %s, reply with SHA-256 %s\n", parts, sat(s.Net), s.Origin.Source, s.Origin.Observed, s.Origin.Evidence)
	}
	fmt.Fprintf(&b, "RECEIVED %s sat\n", sat(r.Received))
	for _, x := range d.Payouts {
		told := ""
		if x.Stated != nil {
			told = fmt.Sprintf(" told by the pool as %s, %s, %s", x.Stated.Reference, x.Stated.Rail, x.Stated.Status)
		}
		fmt.Fprintf(&b, "  payout of %s: %s received%s %s\n", x.At, sat(x.Received), told, strings.Join(x.Transactions, " "))
	}
	m := d.Margin
	fmt.Fprintf(&b, "REVENUE  %s: %s sat, %s %s; less energy of %s, a margin of %s", m.Basis, sat(m.Satoshi), group(m.Revenue.Fixed(2)), d.Currency, group(m.Cost.Fixed(2)), group(m.Margin().Fixed(2)))
	if m.Basis != pools.Estimated {
		fmt.Fprintf(&b, "; %s were estimated", group(m.Estimated.Fixed(2)))
	}
	if m.Unknown > 0 {
		fmt.Fprintf(&b, "; without %d intervals of which a price or the energy is not known", m.Unknown)
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "\nDIFFERENCE %s sat\n", sat(r.Expected-r.Received))
	for _, l := range r.Lines {
		mark := sigmas(l, r.Sigma)
		if !l.Cause.Explained() {
			mark = "unexplained"
		}
		if mark != "" {
			mark = "  " + mark
		}
		fmt.Fprintf(&b, "  %-24s %14s%s\n", strings.ReplaceAll(string(l.Cause), "-", " "), sat(l.Satoshi), mark)
	}
	if d.Difference.Status != "" {
		fmt.Fprintf(&b, "  unexplained: %s sat, %d days old, %s%s\n", sat(d.Difference.Unexplained), d.Difference.Days, strings.ReplaceAll(string(d.Difference.Status), "-", " "), standing(d.Difference))
	}
	for _, f := range slices.Compact([]string{r.Finding, d.Alarm}) {
		if f != "" {
			fmt.Fprintf(&b, "  ! %s\n", f)
		}
	}
	return b.String()
}

// poolDispute records what a person decides about a day, and prints the claim.
func poolDispute(ctx context.Context, p *program, o poolFlags, day domain.Instant) error {
	if o.by == "" {
		return usagef("--by is missing: name who decides it")
	}
	if !slices.Contains(domain.DifferenceStatuses(), domain.DifferenceStatus(o.status)) {
		return usagef("--status %q is not known; want one of %q", o.status, domain.DifferenceStatuses())
	}
	return p.withBook(ctx, func(b *book) error {
		reg, a, err := b.poolAccount(o)
		if err != nil {
			return err
		}
		s := &settlement.Settler{Log: b.log, Facts: b.facts, Now: b.now}
		// The claim is about a reconciliation on record.
		start := day.Floor(domain.Day)
		if _, err := s.Reconcile(ctx, a, domain.Interval{Start: start, End: start.Add(2 * domain.Day)}); err != nil && !errors.Is(err, settlement.ErrIncomplete) {
			return err
		}
		m, err := s.Mark(ctx, a, day, domain.DifferenceStatus(o.status), o.by, o.note)
		if err != nil {
			return err
		}
		d, err := dayFacts(b, a, day)
		if err != nil {
			return err
		}
		paidBy := map[string]bool{}
		for _, x := range d.Payouts {
			for _, tx := range x.Transactions {
				paidBy[tx] = true
			}
		}
		claim, events, err := b.claim(ctx, m, paidBy)
		if err != nil {
			return err
		}
		key := ""
		if o.out != "" {
			if key, err = b.proveClaim(ctx, p, claim, m, o.out); err != nil {
				return err
			}
		}
		booked, err := b.bookedBy(ctx, m)
		if err != nil {
			return fmt.Errorf("the decision is on record, and what it books is not known: %w", err)
		}
		if p.common.json {
			return p.printJSON(map[string]any{"marked": m, "day": d, "events": events, "proof": o.out, "key": key, "booked": booked})
		}
		defer func() { printBooked(p, booked) }()
		if m.Status != domain.DifferenceDisputed {
			fmt.Fprintf(p.stdout, "%s of %s/%s: %s sat are %s: %s\n", day.Time().Format(time.DateOnly), m.Pool, m.Account, thousands(int64(m.Unexplained)), strings.ReplaceAll(string(m.Status), "-", " "),
				bridgeLines(unexplained(d.Reconciliation.Lines), 0))
			return nil
		}
		fmt.Fprintf(p.stdout, "CLAIM of %s sat (%s) by %s, %s: %s\n\n%s\nEVIDENCE\n", thousands(int64(m.Unexplained)), m.Unexplained, reg.Name, m.By,
			bridgeLines(unexplained(d.Reconciliation.Lines), 0), d.text())
		for _, e := range events {
			fmt.Fprintf(p.stdout, "  position %-9d %s  %s\n", e.Position, e.ID, e.What)
		}
		if o.out != "" {
			fmt.Fprintf(p.stdout, "\nPROOF in %s: every event that this follows from, under a checkpoint that the log signed. Check it with\n  wattbook prove --check %s --key %s\n", o.out, o.out, key)
		}
		return nil
	})
}

// bookedEntry is an entry of the books that follows from a decision.
type bookedEntry struct {
	Date      string          `json:"date"`
	Narration string          `json:"narration"`
	Postings  []bookedPosting `json:"postings"`
}

type bookedPosting struct {
	Account   string         `json:"account"`
	Amount    domain.Decimal `json:"amount"`
	Commodity string         `json:"commodity"`
}

// bookedBy returns the entries that follow from a mark.
func (b *book) bookedBy(ctx context.Context, m domain.DifferenceMarked) ([]bookedEntry, error) {
	books, err := b.books(ctx, m.Site)
	if err != nil {
		return nil, err
	}
	id, all := settlement.MarkID(m), []bookedEntry{}
	for _, e := range books.Entries {
		if e.Event != id {
			continue
		}
		entry := bookedEntry{Date: e.Date, Narration: e.Narration}
		for _, x := range e.Postings {
			entry.Postings = append(entry.Postings, bookedPosting{x.Account, x.Amount, x.Commodity})
		}
		all = append(all, entry)
	}
	return all, nil
}

// printBooked says what a decision did to the books.
func printBooked(p *program, entries []bookedEntry) {
	if len(entries) == 0 {
		fmt.Fprintln(p.stdout, "\nBOOKED nothing: what the day comes to in the books stays what it was")
		return
	}
	for _, e := range entries {
		fmt.Fprintf(p.stdout, "\nBOOKED %s  %s\n", e.Date, e.Narration)
		for _, x := range e.Postings {
			fmt.Fprintf(p.stdout, "  %-52s %20s %s\n", x.Account, group(journal.Text(x.Amount, x.Commodity)), x.Commodity)
		}
	}
}

// claimedEvent is an event that a claim names.
type claimedEvent struct {
	Position domain.Position `json:"position"`
	ID       domain.EventID  `json:"event"`
	What     string          `json:"what"`
}

// claim finds the reconciliation that a mark is about, and the statements of
// the whole day, the payments and the data of the network that it rests on.
func (b *book) claim(ctx context.Context, m domain.DifferenceMarked, paidBy map[string]bool) (claim *audit.Claim, events []claimedEvent, err error) {
	for r, err := range b.log.ReadAll(ctx, 0) {
		if err != nil {
			return nil, nil, err
		}
		rec, err := wire.Open(r)
		if err != nil {
			return nil, nil, err
		}
		what := ""
		switch e := rec.Event.(type) {
		case domain.PayoutReconciled:
			if e.Pool == m.Pool && e.Account == m.Account && e.Interval == m.Interval {
				claim, what = audit.ClaimOf(rec.Position, e), "reconciliation"
			}
		case domain.PoolStatementReceived:
			if e.Pool == m.Pool && e.Account == m.Account && e.Interval == m.Interval && e.Complete {
				what = fmt.Sprintf("statement of %s sat, reply %s", thousands(int64(e.Net)), e.Origin.Evidence)
			}
		case domain.DifficultyAdjusted:
			if m.Interval.Contains(e.At) {
				what = fmt.Sprintf("difficulty of block %d", e.Height)
			}
		case domain.BlockFeesPublished:
			if e.Interval.Overlap(m.Interval).Valid() {
				what = fmt.Sprintf("fees of %d blocks, %s sat", e.Blocks, thousands(int64(e.Fees)))
			}
		case domain.PayoutReceived:
			if e.Pool == m.Pool && e.Account == m.Account && paidBy[e.Transaction] {
				what = fmt.Sprintf("payment of %s sat in %s", thousands(int64(e.Amount)), e.Transaction)
			}
		}
		if what != "" {
			events = append(events, claimedEvent{rec.Position, rec.ID, what})
		}
	}
	if claim == nil {
		return nil, nil, fmt.Errorf("claim for %s: no reconciliation is on record", m.Interval)
	}
	return claim, events, nil
}

// proveClaim writes the proof of a claim, and returns the key that checks it.
func (b *book) proveClaim(ctx context.Context, p *program, c *audit.Claim, m domain.DifferenceMarked, path string) (key string, err error) {
	n, err := b.notary()
	if err != nil {
		return "", err
	}
	s, err := n.covering(b.facts.Next - 1)
	if err != nil {
		return "", err
	}
	about := fmt.Sprintf("pool claim %s/%s %s, %d sat", m.Pool, m.Account, m.Interval.Start, m.Unexplained)
	var file bytes.Buffer
	if err := proof.WriteBundle(&file, about, s, b.log, b.claimed(ctx, c)); err != nil {
		return "", err
	}
	if err := writeFile(p.path(path), file.Bytes()); err != nil {
		return "", err
	}
	return n.key()
}

// claimed yields the events that a claim follows from.
func (b *book) claimed(ctx context.Context, c *audit.Claim) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range b.log.ReadAll(ctx, 0) {
			if err == nil {
				var rec domain.Recorded
				if rec, err = wire.Open(r); err == nil && !c.Picks(rec) {
					continue
				}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// checkClaim says that a claim was proved.
func (p *program) checkClaim(b proof.Bundle) error {
	again, err := audit.RecomputeClaim(b.Records)
	if err != nil {
		return p.unproven(err)
	}
	d := again.Drawn
	if p.common.json {
		return p.printJSON(map[string]any{
			"proved": true, "reconciliation": d, "unexplained_satoshi": d.Unexplained(), "events": len(b.Records), "readings": again.Readings,
			"log": b.Signed.Origin, "checkpoint": b.Signed.Size,
		})
	}
	fmt.Fprintf(p.stdout, "PROVED   %s/%s, %s: expected %s, stated %s, received %s sat; %s sat unexplained\n", d.Pool, d.Account, d.Interval,
		thousands(int64(d.Expected)), thousands(int64(d.Stated)), thousands(int64(d.Received)), thousands(int64(d.Unexplained())))
	fmt.Fprintf(p.stdout, "         %s events with %s readings are in the log %s, under its checkpoint of %s events\n",
		thousands(int64(len(b.Records))), thousands(again.Readings), b.Signed.Origin, thousands(b.Signed.Size))
	fmt.Fprintf(p.stdout, "         computed again from them, the day comes out to the satoshi\n")
	return nil
}
