package warehouse

import (
	"encoding/json"
	"fmt"
	"time"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// history fills the tables whose rows are events of the log, in its order. It
// also remembers where things stand in the log that the facts do not.
type history struct {
	tables  *tables
	next    domain.Position // of the log: all before it is told
	touched touches         // which conclusions the events since an earlier position touch

	rows  int           // in the part that is being filled
	count int64         // readings that were told
	sum   domain.Int128 // of their values
	last  domain.EventID

	zones       map[domain.SiteID]*zone
	sites       map[domain.SiteID]sitePlace
	devices     map[domain.DeviceKey]domain.Position
	allocations map[allocationKey]allocationPlace
	reconciled  map[reconciledKey]domain.Position
	received    map[receiptKey]domain.PayoutReceived // with the block that confirms it
	bills       map[billKey]domain.UtilityBilled
	billed      map[string]*zone // whose days an invoice has, by number
	closings    []closing
	contracts   map[domain.ContractID][]domain.ContractSigned // their versions, in the order of the log
}

type billKey struct {
	site      domain.SiteID
	reference string
}

type allocationKey struct {
	site       domain.SiteID
	allocation string
}

// sitePlace is where a site's last registration stands.
type sitePlace struct {
	position domain.Position
	currency domain.Currency
}

// allocationPlace is where an allocation's events stand. The first start and
// the first end count, as they do for the facts.
type allocationPlace struct {
	start, end     domain.Position
	started, ended bool
	state          string
}

// receiptKey names an output to an address.
type receiptKey struct{ transaction, address string }

type reconciledKey struct {
	pool    domain.PoolID
	account string
	start   domain.Instant
}

func newHistory(t *tables) *history {
	return &history{
		tables: t, zones: map[domain.SiteID]*zone{}, sites: map[domain.SiteID]sitePlace{}, devices: map[domain.DeviceKey]domain.Position{},
		allocations: map[allocationKey]allocationPlace{}, reconciled: map[reconciledKey]domain.Position{}, received: map[receiptKey]domain.PayoutReceived{}, bills: map[billKey]domain.UtilityBilled{},
		contracts: map[domain.ContractID][]domain.ContractSigned{}, billed: map[string]*zone{},
	}
}

// tell fills in what an event says.
func (h *history) tell(rec domain.Recorded) error {
	if rec.Position != h.next {
		return fmt.Errorf("event at position %d is out of turn, want %d", rec.Position, h.next)
	}
	h.next, h.last = rec.Position+1, rec.ID
	h.touched.add(rec.Position, rec.Event)
	switch e := rec.Event.(type) {
	case domain.SiteRegistered:
		z, err := time.LoadLocation(e.Zone)
		if err != nil {
			return fmt.Errorf("site %s: zone %q: %w", e.Site, e.Zone, err)
		}
		h.zones[e.Site] = &zone{location: z}
		h.sites[e.Site] = sitePlace{rec.Position, e.Currency}
	case domain.DeviceRegistered:
		h.devices[domain.DeviceKey{Site: e.Site, Device: e.Device}] = rec.Position
	case domain.ReadingsRecorded:
		h.count += int64(len(e.Readings))
		for _, r := range e.Readings {
			h.sum = h.sum.Add(r.Value)
		}
	case domain.GPUAllocationStarted:
		k := allocationKey{e.Site, e.Allocation}
		if a := h.allocations[k]; !a.started {
			a.start, a.started = rec.Position, true
			h.allocations[k] = a
		}
	case domain.GPUAllocationEnded:
		k := allocationKey{e.Site, e.Allocation}
		if a := h.allocations[k]; !a.ended {
			a.end, a.ended, a.state = rec.Position, true, e.State
			h.allocations[k] = a
		}
	case domain.PayoutReconciled:
		h.reconciled[reconciledKey{e.Pool, e.Account, e.Interval.Start}] = rec.Position
		return h.reconciliation(rec.Position, e)
	default:
		return h.row(rec)
	}
	return nil
}

// row adds the rows of an event that is a row, or several.
func (h *history) row(rec domain.Recorded) error {
	p, at := rec.Position, rec.RecordedAt
	switch e := rec.Event.(type) {
	case domain.PowerPriced:
		return h.prices("power_price_history", rec, e.Series, e.Corrects, e.Origin, string(e.Node), string(e.Currency))
	case domain.BitcoinPriced:
		return h.prices("bitcoin_price_history", rec, e.Series, e.Corrects, e.Origin, string(e.Currency))
	case domain.DifficultyAdjusted:
		return h.tables.add("difficulty", p, e.Height, e.At, fmt.Sprintf("%08x", uint32(e.Bits)), rounded{domain.RoundRat(e.Bits.Difficulty(), 8)},
			int64(domain.Subsidy(e.Height)), text(e.Origin.Source), at, digest(e.Origin.Evidence))
	case domain.BlockFeesPublished:
		return h.tables.add("block_fees", p, e.Interval.Start, e.Interval.End, e.Blocks, int64(e.Fees), text(e.Origin.Source), at, digest(e.Origin.Evidence))
	case domain.ContractSigned:
		h.contracts[e.Contract] = append(h.contracts[e.Contract], e)
		return h.contract(rec, e)
	case domain.PoolStatementReceived:
		return h.tables.add("pool_statements", p, string(e.Pool), e.Account, dayOf(e.Interval.Start), e.Interval.Start, e.Interval.End,
			known(int64(e.Subsidy), !e.NetOnly), known(int64(e.Fees), !e.NetOnly && !e.Unsplit), known(int64(e.PoolFee), !e.NetOnly), int64(e.Other), int64(e.Net), e.Hashrate, e.Complete, text(e.Origin.Source), instant(e.Origin.Observed), at, digest(e.Origin.Evidence))
	case domain.PayoutReceived:
		return h.receipt(rec, e)
	case domain.PayoutReversed:
		return h.reversal(rec, e)
	case domain.PoolPayoutStated:
		return h.tables.add("pool_payouts", p, string(e.Pool), e.Account, e.Reference, string(e.Rail), string(e.Status), e.At, int64(e.Amount), int64(e.NetworkFee),
			text(e.Transaction), text(e.Address), text(e.Origin.Source), at, digest(e.Origin.Evidence))
	case domain.DifferenceMarked:
		return h.tables.add("pool_difference_marks", p, e.AsOf, string(e.Site), string(e.Pool), e.Account, e.Interval.Start, e.Interval.End, int64(e.Unexplained),
			string(e.Status), e.By, text(e.Note), at)
	case domain.PeriodClosed:
		h.closings = append(h.closings, closing{PeriodClosed: e, position: p})
	case domain.InvoiceIssued:
		return h.invoice(p, e.Invoice)
	case domain.NoteIssued:
		return h.note(p, e.Note)
	case domain.InvoiceVoided:
		return h.tables.add("voided_invoices", p, e.Invoice, string(e.Contract), e.Period.String(), e.At, h.billedDay(e.Invoice, e.At), text(e.Reason))
	case domain.PaymentReceived:
		return h.tables.add("payments", p, "payment", string(e.Contract), e.Invoice, string(e.Amount.Currency), e.Amount.Decimal(), e.At, dayOf(e.At),
			text(e.Reference), text(e.Origin.Source), at, digest(e.Origin.Evidence))
	case domain.PaymentReversed:
		return h.tables.add("payments", p, "reversal", string(e.Contract), e.Invoice, string(e.Amount.Currency), e.Amount.Neg().Decimal(), e.At, dayOf(e.At),
			text(e.Payment), text(e.Origin.Source), at, digest(e.Origin.Evidence))
	case domain.PrepaymentReceived:
		if err := h.prepayment(p, e); err != nil {
			return err
		}
		return h.tables.add("payments", p, "prepayment", string(e.Contract), nil, string(e.Amount.Currency), e.Amount.Decimal(), e.At, dayOf(e.At),
			text(e.Reference), text(e.Origin.Source), at, digest(e.Origin.Evidence))
	case domain.UtilityBilled:
		return h.utilityBill(rec, e)
	}
	return nil
}

// receipt adds the row of what arrived. What arrives again, in another block,
// counts once: a row says by how much it changed.
func (h *history) receipt(rec domain.Recorded, e domain.PayoutReceived) error {
	k := receiptKey{e.Transaction, e.Address}
	before := h.received[k]
	if e.Block != "" {
		if h.received[k] = e; before.Amount == e.Amount {
			return nil
		}
		e.Amount -= before.Amount
	}
	return h.tables.add("payouts", rec.Position, string(e.Pool), e.Account, e.Transaction, text(e.Address), e.At, dayOf(e.At), int64(e.Amount),
		text(e.Origin.Source), rec.RecordedAt, digest(e.Origin.Evidence))
}

// utilityBill adds the row of a bill. One that restates another takes it back by
// a row of its own; one that contradicts another does not count.
func (h *history) utilityBill(rec domain.Recorded, e domain.UtilityBilled) error {
	add := func(b domain.UtilityBilled, amount domain.Money) error {
		return h.tables.add("utility_bills", rec.Position, string(b.Site), b.Interval.Start, b.Interval.End, string(amount.Currency), amount.Decimal(), b.At,
			text(b.Reference), text(e.Origin.Source), rec.RecordedAt, digest(e.Origin.Evidence))
	}
	k := billKey{e.Site, e.Reference}
	if before, ok := h.bills[k]; ok {
		if !e.Corrects {
			return nil
		}
		if err := add(before, before.Amount.Neg()); err != nil {
			return err
		}
	}
	h.bills[k] = e
	return add(e, e.Amount)
}

// reversal adds the row that takes back what did not arrive after all.
func (h *history) reversal(rec domain.Recorded, e domain.PayoutReversed) error {
	k := receiptKey{e.Transaction, e.Address}
	before, ok := h.received[k]
	if !ok || before.Block != e.Block {
		return nil // of a block that is not the one that counts
	}
	delete(h.received, k)
	return h.tables.add("payouts", rec.Position, string(e.Pool), e.Account, e.Transaction, text(e.Address), before.At, dayOf(before.At), -int64(before.Amount),
		text(e.Origin.Source), rec.RecordedAt, digest(e.Origin.Evidence))
}

func (h *history) prices(table string, rec domain.Recorded, s domain.PriceSeries, corrects bool, o domain.Origin, named ...string) error {
	for i, price := range s.Prices {
		start := s.Start.Add(s.Step * domain.Duration(i))
		row := []any{rec.Position, int64(i)}
		for _, n := range named {
			row = append(row, n)
		}
		row = append(row, start, start.Add(s.Step), rounded{price}, price.String(), corrects,
			text(o.Source), instant(o.Observed), rec.RecordedAt, digest(o.Evidence))
		if err := h.tables.add(table, row...); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) contract(rec domain.Recorded, c domain.ContractSigned) error {
	err := h.tables.add("contracts", rec.Position, string(c.Site), string(c.Contract), c.Version, string(c.Buyer.ID), text(c.Buyer.Name), text(c.Seller.Name),
		text(c.Series), string(c.Currency), int64(c.Currency.Digits()), c.Zone, c.Start, instant(c.End), h.localDay(c.Site, c.Start), c.PaymentDays,
		text(c.Tax.Name), rounded{c.Tax.Rate}, text(c.Tax.Reason), rec.RecordedAt)
	if err != nil {
		return err
	}
	for i, ch := range c.Charges {
		terms, err := json.Marshal(ch)
		if err != nil {
			return fmt.Errorf("charge %s: %w", ch.ID, err)
		}
		var meters any
		if len(ch.Meters) > 0 {
			names := make([]string, len(ch.Meters))
			for k, m := range ch.Meters {
				names[k] = string(m)
			}
			meters = names
		}
		err = h.tables.add("contract_charges", rec.Position, int64(i+1), string(c.Site), string(c.Contract), c.Version, ch.ID, string(ch.Kind), text(ch.Description),
			known(ch.Quantity, ch.Quantity != 0), string(c.Currency), positive(ch.Rate), positive(ch.Overage), positive(ch.Adder), positive(ch.LossPortion), meters, string(terms))
		if err != nil {
			return err
		}
	}
	return nil
}

// positive returns a term of a charge, or nil where the charge has none.
func positive(d domain.Decimal) any {
	if d.IsZero() {
		return nil
	}
	return rounded{d}
}

func (h *history) decision(rec domain.Recorded, d domain.AllocationDecided) error {
	in := d.Inputs
	loads := map[domain.DeviceID]domain.LoadInput{}
	for _, l := range in.Loads {
		loads[l.Load] = l
	}
	for i, c := range d.Choices {
		l := loads[c.Load]
		poolFee, feesPerBlock := in.PoolTerms(l)
		err := h.tables.add("decisions", rec.Position, d.AsOf, string(d.Site), d.Interval.Start, d.Interval.End, h.localDay(d.Site, d.Interval.Start), d.Rule,
			int64(i+1), string(c.Load), string(c.Use), c.On, string(c.Reason), int64(c.Power), optionalRounded(c.Value), optionalRounded(c.Cost), optionalRounded(foregone(c)),
			int64(l.Power), optionalRounded(l.Shares), text(l.Basis), l.Committed, l.On, instant(l.Since), text(h.sites[d.Site].currency),
			optionalRounded(in.PowerPrice), rounded{in.Dispatch.Adder}, rounded{in.LossPortion}, optionalRounded(in.BitcoinPrice),
			known(fmt.Sprintf("%08x", uint32(in.Bits)), in.Bits != 0), known(in.Height, in.Bits != 0), optionalRounded(feesPerBlock), rounded{poolFee})
		if err != nil {
			return err
		}
	}
	return nil
}

// foregone returns what a MWh would have been worth if the load had rested, or
// run, instead.
func foregone(c domain.LoadChoice) *domain.Decimal {
	if c.On {
		return c.Cost
	}
	return c.Value
}

func (h *history) invoice(p domain.Position, inv domain.Invoice) error {
	location, err := time.LoadLocation(inv.Zone)
	if err != nil {
		return fmt.Errorf("invoice %s: zone %q: %w", inv.Number, inv.Zone, err)
	}
	z := &zone{location: location}
	h.billed[inv.Number] = z
	err = h.tables.add("invoices", p, inv.AsOf, inv.Number, string(inv.Site), string(inv.Contract), inv.Version, string(inv.Buyer.ID), text(inv.Buyer.Name),
		inv.Period.String(), inv.Interval.Start, inv.Interval.End, inv.Zone, z.of(inv.Interval.Start), z.of(inv.Interval.End-1), z.of(inv.Issued), z.of(inv.Due),
		inv.Issued, inv.Due, string(inv.Total.Currency),
		int64(inv.Total.Currency.Digits()), inv.Subtotal.Decimal(), text(inv.Tax.Name), rounded{inv.Tax.Rate}, inv.TaxDue.Decimal(), inv.Total.Decimal(), inv.Prepaid.Decimal())
	if err != nil {
		return err
	}
	for _, l := range inv.Lines {
		err := h.tables.add("invoice_lines", p, inv.Number, l.Line, string(inv.Site), string(inv.Contract), l.Charge, string(l.Kind), text(l.Description),
			l.Interval.Start, l.Interval.End, z.of(l.Interval.Start), z.of(l.Interval.End-1), rounded{l.Quantity}, l.Unit, optionalRounded(l.UnitPrice),
			string(inv.Total.Currency), l.Amount.Decimal(), rounded{l.Estimated}, text(l.Detail))
		if err != nil {
			return err
		}
	}
	if err := h.focus(p, "focus_cost_and_usage", document.FOCUSRows(inv)); err != nil {
		return err
	}
	return h.focus(p, "focus_invoice_detail", document.FOCUSDetails(inv))
}

// billedDay returns the day of an instant in the zone of an invoice, or nil if
// there is no such invoice.
func (h *history) billedDay(number string, t domain.Instant) any {
	if z := h.billed[number]; z != nil {
		return z.of(t)
	}
	return nil
}

func (h *history) note(p domain.Position, n domain.Note) error {
	location, err := time.LoadLocation(n.Zone)
	if err != nil {
		return fmt.Errorf("note %s: zone %q: %w", n.Number, n.Zone, err)
	}
	z := &zone{location: location}
	err = h.tables.add("credit_notes", p, n.AsOf, n.Number, string(n.Kind), n.Corrects, string(n.Site), string(n.Contract), string(n.Buyer.ID), text(n.Buyer.Name),
		n.Period.String(), n.Zone, z.of(n.Interval.Start), z.of(n.Interval.End-1), z.of(n.Issued), z.of(n.Due), n.Issued, string(n.Total.Currency),
		n.Subtotal.Decimal(), n.TaxDue.Decimal(), n.Total.Decimal(), n.Prepaid.Decimal(), known(n.Causes, len(n.Causes) > 0))
	if err != nil {
		return err
	}
	for _, l := range n.Lines {
		err := h.tables.add("credit_note_lines", p, n.Number, l.Line, l.Charge, string(l.Kind), text(l.Description), l.Interval.Start, l.Interval.End,
			rounded{l.Quantity}, l.Unit, optionalRounded(l.UnitPrice), string(n.Total.Currency), l.Amount.Decimal())
		if err != nil {
			return err
		}
	}
	if err := h.focus(p, "focus_cost_and_usage", document.NoteFOCUSRows(n)); err != nil {
		return err
	}
	return h.focus(p, "focus_invoice_detail", document.NoteFOCUSDetails(n))
}

func (h *history) reconciliation(p domain.Position, r domain.PayoutReconciled) error {
	earned := dayOf(r.Interval.Start)
	err := h.tables.add("reconciliations", p, r.AsOf, string(r.Site), string(r.Pool), r.Account, earned, r.Interval.Start, r.Interval.End, r.Shares.Decimal(),
		int64(r.Expected), int64(r.Stated), int64(r.Received), int64(r.Expected-r.Received), text(r.Finding))
	if err != nil {
		return err
	}
	for i, l := range r.Lines {
		if err := h.tables.add("reconciliation_lines", p, int64(i+1), string(r.Site), string(r.Pool), r.Account, earned, string(l.Cause), int64(l.Satoshi)); err != nil {
			return err
		}
	}
	return nil
}

// zone finds local days; instants mostly come in order.
type zone struct {
	location *time.Location
	day      day
	span     domain.Interval // of the day
}

// of returns the local day of an instant.
func (z *zone) of(t domain.Instant) day {
	if !z.span.Contains(t) {
		local := t.Time().In(z.location)
		midnight := func(n int) domain.Instant {
			return domain.At(time.Date(local.Year(), local.Month(), local.Day()+n, 0, 0, 0, 0, z.location))
		}
		z.day = day(time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86_400)
		z.span = domain.Interval{Start: midnight(0), End: midnight(1)}
	}
	return z.day
}

// localDay returns the day at the site, in the zone that is registered at this
// place of the log, or nil if none is.
func (h *history) localDay(site domain.SiteID, t domain.Instant) any {
	if z := h.zones[site]; z != nil {
		return z.of(t)
	}
	return nil
}

// clock returns what the clock at the site shows at an instant, as an instant.
func (z *zone) clock(t domain.Instant) domain.Instant {
	_, offset := t.Time().In(z.location).Zone()
	return t.Add(domain.Duration(offset) * domain.Second)
}

// dayOf returns the UTC day of an instant, which is the day of pools and of the
// chain.
func dayOf(t domain.Instant) day { return day(t.Floor(domain.Day) / domain.Instant(domain.Day)) }
