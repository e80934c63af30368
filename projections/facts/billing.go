package facts

import (
	"fmt"
	"slices"
	"strings"

	"wattbook/domain"
)

// billing is what became of invoices, and what was paid.
type billing struct {
	notes       []domain.NoteIssued // in the order of the log, like all here
	voids       []domain.InvoiceVoided
	payments    []domain.PaymentReceived
	prepayments []domain.PrepaymentReceived
	claims      []domain.ServiceCreditClaimed
	bills       []domain.UtilityBilled
	sales       []domain.CoinSold
	changes     []change

	notesOf    map[string][]int // by the invoice's number, like all with numbers
	voided     map[string]bool
	paymentsOf map[string][]int
	prepaid    map[domain.ContractID][]int
	paid       map[transfer]bool // that arrived
	taken      map[transfer]domain.PaymentReversed
	ahead      map[transfer]bool // prepayments
}

// transfer is money of a contract under the bank's reference.
type transfer struct {
	contract  domain.ContractID
	reference string
}

func newBilling() billing {
	return billing{
		notesOf: map[string][]int{}, voided: map[string]bool{}, paymentsOf: map[string][]int{}, prepaid: map[domain.ContractID][]int{},
		paid: map[transfer]bool{}, taken: map[transfer]domain.PaymentReversed{}, ahead: map[transfer]bool{},
	}
}

// change is an event that may change what an invoice of a contract would come
// to. Readings and prices that correct are findings already, and allocations
// know where they stand in the log.
type change struct {
	position domain.Position
	contract domain.ContractID
	what     string
}

// Changes says what has come on record from a position on that may change what
// an invoice comes to: versions of its contract, allocations and claims, and
// what [Facts.Restated] says of its interval.
func (f *Facts) Changes(inv domain.Invoice, since domain.Position) []string {
	var causes []string
	say := func(c string) {
		if !slices.Contains(causes, c) {
			causes = append(causes, c)
		}
	}
	const lately = "GPU allocations came on record late"
	allocated, late := f.allocatedSince(inv, since)
	for _, c := range f.billing.changes {
		if late && allocated < c.position {
			say(lately)
		}
		if c.position >= since && c.contract == inv.Contract {
			say(c.what)
		}
	}
	if late {
		say(lately)
	}
	return append(causes, f.Restated(inv, inv.Interval, since)...)
}

// Restated says which readings of the meters of an invoice's contract and which
// prices came on record for an interval from a position on, after others or
// after a gap.
func (f *Facts) Restated(inv domain.Invoice, in domain.Interval, since domain.Position) []string {
	var causes []string
	meters := map[domain.DeviceID]bool{}
	indexes := map[string]bool{}
	if s, ok := f.Site(inv.Site); ok {
		indexes[string(s.Node)] = true
	}
	for _, c := range f.contracts[inv.Contract] {
		for _, ch := range c.Charges {
			for _, m := range ch.Devices() {
				meters[m] = true
			}
			indexes[string(ch.Index)] = true
		}
	}
	type of struct {
		device domain.DeviceID
		kind   string
	}
	readings := map[of]int{}
	var order []of
	for _, n := range f.findings {
		if n.Position < since || !n.Interval.Overlap(in).Valid() {
			continue
		}
		switch {
		case n.Kind == "restated":
			if _, node, _ := strings.Cut(n.What, " prices of "); indexes[node] && !slices.Contains(causes, n.What) {
				causes = append(causes, n.What)
			}
		case meters[n.Device]:
			k := of{n.Device, n.Kind}
			if readings[k] == 0 {
				order = append(order, k)
			}
			readings[k] += n.Readings
		}
	}
	for _, k := range order {
		causes = append(causes, fmt.Sprintf("readings of %s came on record: %d %s", k.device, readings[k], k.kind))
	}
	return causes
}

// allocatedSince returns the first position from one on at which an allocation
// of an invoice's buyer started or ended before the end of its period.
func (f *Facts) allocatedSince(inv domain.Invoice, since domain.Position) (first domain.Position, any bool) {
	g := f.gpus[inv.Site]
	if g == nil {
		return 0, false
	}
	for n := range g.chain(inv.Buyer.ID) {
		a := g.on(n)
		if a.started >= since && a.at < inv.Interval.End && (!any || a.started < first) {
			first, any = a.started, true
		}
		if a.ended >= since && a.ended > a.started && a.end < inv.Interval.End && (!any || a.ended < first) {
			first, any = a.ended, true
		}
	}
	return first, any
}

// changed keeps what may change an invoice.
func (f *Facts) changed(rec domain.Recorded) {
	c := change{position: rec.Position}
	switch e := rec.Event.(type) {
	case domain.ContractSigned:
		c.contract, c.what = e.Contract, fmt.Sprintf("version %d of the contract is in force from %s", e.Version, e.Start)
	case domain.ServiceCreditClaimed:
		c.contract, c.what = e.Contract, fmt.Sprintf("the credit %s is claimed for %s", e.Charge, e.Period)
	default:
		return
	}
	f.billing.changes = append(f.billing.changes, c)
}

// bill folds what concerns billing beyond contracts and invoices.
func (f *Facts) bill(rec domain.Recorded) {
	b := &f.billing
	switch e := rec.Event.(type) {
	case domain.NoteIssued:
		b.notesOf[e.Note.Corrects] = append(b.notesOf[e.Note.Corrects], len(b.notes))
		b.notes = append(b.notes, e)
	case domain.InvoiceVoided:
		if !b.voided[e.Invoice] {
			b.voided[e.Invoice] = true
			b.voids = append(b.voids, e)
		}
	case domain.PaymentReceived:
		k := transfer{e.Contract, e.Reference}
		if b.paid[k] {
			f.contradict("", rec, e.Origin, fmt.Sprintf("payment %s of contract %s is on record", e.Reference, e.Contract))
			return
		}
		b.paid[k] = true
		b.paymentsOf[e.Invoice] = append(b.paymentsOf[e.Invoice], len(b.payments))
		b.payments = append(b.payments, e)
	case domain.PaymentReversed:
		k := transfer{e.Contract, e.Payment}
		if _, ok := b.taken[k]; ok {
			f.contradict("", rec, e.Origin, fmt.Sprintf("payment %s of contract %s is reversed", e.Payment, e.Contract))
			return
		}
		b.taken[k] = e
	case domain.PrepaymentReceived:
		k := transfer{e.Contract, e.Reference}
		if b.ahead[k] {
			f.contradict("", rec, e.Origin, fmt.Sprintf("prepayment %s of contract %s is on record", e.Reference, e.Contract))
			return
		}
		b.ahead[k] = true
		b.prepaid[e.Contract] = append(b.prepaid[e.Contract], len(b.prepayments))
		b.prepayments = append(b.prepayments, e)
	case domain.ServiceCreditClaimed:
		b.claims = append(b.claims, e)
	case domain.UtilityBilled:
		i := slices.IndexFunc(b.bills, func(o domain.UtilityBilled) bool { return o.Site == e.Site && o.Reference == e.Reference })
		switch {
		case i < 0:
			b.bills = append(b.bills, e)
		case e.Corrects:
			b.bills[i] = e
		default:
			f.contradict(e.Site, rec, e.Origin, fmt.Sprintf("utility bill %s is on record", e.Reference))
		}
	case domain.CoinSold:
		if slices.ContainsFunc(b.sales, func(s domain.CoinSold) bool { return s.Site == e.Site && s.Reference == e.Reference }) {
			f.contradict(e.Site, rec, e.Origin, fmt.Sprintf("sale %s of coin is on record", e.Reference))
			return
		}
		b.sales = append(b.sales, e)
	}
}

// Voided reports whether an invoice counts for nothing.
func (f *Facts) Voided(number string) bool { return f.billing.voided[number] }

// Voids returns the invoices that were voided, in the order of the log.
func (f *Facts) Voids() []domain.InvoiceVoided { return f.billing.voids }

// Notes returns the notes that correct an invoice, in the order of the log; of
// all invoices, if number is empty.
func (f *Facts) Notes(number string) []domain.NoteIssued {
	if number == "" {
		return slices.Clone(f.billing.notes)
	}
	return picked(f.billing.notes, f.billing.notesOf[number])
}

// NoteNumbered returns the note of a number.
func (f *Facts) NoteNumbered(number string) (domain.NoteIssued, bool) {
	for _, n := range f.billing.notes {
		if n.Note.Number == number {
			return n, true
		}
	}
	return domain.NoteIssued{}, false
}

// picked returns the elements of a list by their numbers.
func picked[E any](list []E, numbers []int) []E {
	var some []E
	for _, n := range numbers {
		some = append(some, list[n])
	}
	return some
}

// Payments returns what arrived for an invoice and was not taken back; for all,
// if number is empty.
func (f *Facts) Payments(number string) []domain.PaymentReceived {
	all := slices.Clone(f.billing.payments)
	if number != "" {
		all = picked(f.billing.payments, f.billing.paymentsOf[number])
	}
	return slices.DeleteFunc(all, func(p domain.PaymentReceived) bool { return f.Reversed(p.Contract, p.Reference) })
}

// Payment returns what arrived for an invoice under a reference, taken back or
// not.
func (f *Facts) Payment(number, reference string) (domain.PaymentReceived, bool) {
	for _, n := range f.billing.paymentsOf[number] {
		if p := f.billing.payments[n]; p.Reference == reference {
			return p, true
		}
	}
	return domain.PaymentReceived{}, false
}

// Reversed reports whether a payment of a contract was taken back.
func (f *Facts) Reversed(id domain.ContractID, reference string) bool {
	_, taken := f.Reversal(id, reference)
	return taken
}

// Reversal returns what took back a payment of a contract.
func (f *Facts) Reversal(id domain.ContractID, reference string) (domain.PaymentReversed, bool) {
	e, taken := f.billing.taken[transfer{id, reference}]
	return e, taken
}

// Arrived returns what arrived for an invoice, taken back or not.
func (f *Facts) Arrived(number string) []domain.PaymentReceived {
	return picked(f.billing.payments, f.billing.paymentsOf[number])
}

// Prepayments returns the prepayments on a contract; on all, if id is empty.
func (f *Facts) Prepayments(id domain.ContractID) []domain.PrepaymentReceived {
	if id == "" {
		return slices.Clone(f.billing.prepayments)
	}
	return picked(f.billing.prepayments, f.billing.prepaid[id])
}

// Claimed reports whether a buyer claims the credit of a charge for a period.
func (f *Facts) Claimed(id domain.ContractID, charge string, period domain.Period) bool {
	return slices.ContainsFunc(f.billing.claims, func(c domain.ServiceCreditClaimed) bool {
		return c.Contract == id && c.Charge == charge && c.Period == period
	})
}

// UtilityBills returns the utility's bills for a site, as it restated them last.
func (f *Facts) UtilityBills(site domain.SiteID) []domain.UtilityBilled {
	return slices.DeleteFunc(slices.Clone(f.billing.bills), func(b domain.UtilityBilled) bool { return b.Site != site })
}

// CoinSales returns the sales of a site's bitcoin, in the order of the log.
func (f *Facts) CoinSales(site domain.SiteID) []domain.CoinSold {
	return slices.DeleteFunc(slices.Clone(f.billing.sales), func(s domain.CoinSold) bool { return s.Site != site })
}

// Priced reports whether anything is published for a node in a currency.
func (f *Facts) Priced(node domain.NodeID, c domain.Currency) bool {
	return f.power[market{node, c}] != nil
}
