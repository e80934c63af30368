package rating_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/rating"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestCharges(t *testing.T)    { logscript.Run(t, "testdata/charges.txt", *rewrite, answer) }
func TestModels(t *testing.T)     { logscript.Run(t, "testdata/models.txt", *rewrite, answer) }
func TestCalendar(t *testing.T)   { logscript.Run(t, "testdata/calendar.txt", *rewrite, answer) }
func TestMonths(t *testing.T)     { logscript.Run(t, "testdata/months.txt", *rewrite, answer) }
func TestAmendments(t *testing.T) { logscript.Run(t, "testdata/amendments.txt", *rewrite, answer) }
func TestTax(t *testing.T)        { logscript.Run(t, "testdata/tax.txt", *rewrite, answer) }
func TestRefusals(t *testing.T)   { logscript.Run(t, "testdata/refusals.txt", *rewrite, answer) }

// answer shows the invoice of a contract for a period ("invoice aurora
// 2026-10"), or the days of its annex from one to another ("daily aurora
// 2026-10 2026-10-30 2026-10-31"), what of it is prepaid, or how commitments
// stand after it.
func answer(p *logscript.Player, question []string) (string, error) {
	f, err := p.Facts()
	if err != nil {
		return "", err
	}
	period, err := domain.ParsePeriod(question[2])
	if err != nil {
		return "", err
	}
	inv, err := rating.Draft(f, domain.ContractID(question[1]), period)
	switch {
	case errors.Is(err, rating.ErrIncomplete):
		return "not yet: " + err.Error(), nil
	case err != nil:
		return "", err
	case inv.Contract == "":
		return "no invoice", nil
	case question[0] == "daily":
		return daily(inv, question[3], question[4]), nil
	case question[0] == "prepaid":
		return fmt.Sprintf("total %s, %s of it prepaid, %s to pay", inv.Total, inv.Prepaid, inv.Payable()), nil
	case question[0] == "balances":
		return balances(inv), nil
	}
	return show(inv)
}

// show prints lines and totals. A line's time stands on it where it is not the
// whole period, in the contract's zone.
func show(inv domain.Invoice) (string, error) {
	zone, err := time.LoadLocation(inv.Zone)
	if err != nil {
		return "", err
	}
	local := func(t domain.Instant) string { return t.Time().In(zone).Format("01-02T15:04") }
	var rows []string
	for _, l := range inv.Lines {
		price := "each at its price"
		if l.UnitPrice != nil {
			price = "x " + l.UnitPrice.String()
		}
		var notes []string
		if !l.Estimated.IsZero() {
			notes = append(notes, fmt.Sprintf("%s of it estimated", l.Estimated))
		}
		if l.Interval != inv.Interval {
			notes = append(notes, local(l.Interval.Start)+".."+local(l.Interval.End))
		}
		if l.Detail != "" {
			notes = append(notes, l.Detail)
		}
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s %s\t%s\t%s\t%s", l.Line, l.Description, l.Quantity, l.Unit, price, l.Amount.Amount(), strings.Join(notes, "; ")))
	}
	tax := inv.Tax.Rate.Shift(2).String() + " %"
	if inv.Tax.Reason != "" {
		tax = inv.Tax.Reason
	}
	return logscript.Table(rows...) + fmt.Sprintf("subtotal %s, tax %s (%s), total %s\n", inv.Subtotal, inv.TaxDue, tax, inv.Total), nil
}

// balances shows how commitments stand after the period.
func balances(inv domain.Invoice) string {
	var rows []string
	for _, b := range inv.Balances {
		rows = append(rows, fmt.Sprintf("%s\t%s opening\t+ %s\t− %s drawn\t− %s expired\t= %s\t%s of it paid", b.Charge, b.Opening.Amount(), b.Added.Amount(), b.Drawn.Amount(), b.Expired.Amount(), b.Closing.Amount(), b.Rolled.Amount()))
	}
	return logscript.Table(rows...)
}

func daily(inv domain.Invoice, first, last string) string {
	var rows []string
	for _, d := range inv.Daily {
		if first <= d.Day && d.Day <= last {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s", d.Day, d.GPU, d.Energy))
		}
	}
	return logscript.Table(rows...)
}

// drawn plays lines and drafts the invoice of aurora for October 2026.
func drawn(t *testing.T, lines ...string) domain.Invoice {
	t.Helper()
	p := logscript.New()
	if err := p.Play(lines...); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	inv, err := rating.Draft(f, "aurora", domain.Period{Year: 2026, Month: time.October})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestAnInvoiceIsHeadedByTheLastVersionInForce(t *testing.T) {
	inv := drawn(
		t,
		"now 2026-11-02T09:00", "site s step=1h", "meter revenue",
		"contract aurora zone=America/Chicago tax=0.0825 days=15", "charge used reserved-power 1 x 1",
		"contract aurora version=2 zone=America/Chicago tax=0.0825 days=30 from=2026-10-10", "charge used reserved-power 2 x 1",
		"contract aurora version=3 zone=America/Chicago tax=0.0825 days=60 from=2026-11-10", "charge used reserved-power 3 x 1",
	)
	if inv.Version != 2 || inv.Contract != "aurora" || inv.Site != "s" || inv.Buyer.ID != "aurora" || inv.Seller.ID != "seller" || inv.Zone != "America/Chicago" {
		t.Errorf("got %+v", inv)
	}
	if inv.Tax.Name != "Sales tax" || inv.Tax.Rate.String() != "0.0825" || inv.Period.String() != "2026-10" {
		t.Errorf("got %+v", inv)
	}
	if got, want := inv.Interval.String(), "[2026-10-01T05:00:00Z, 2026-11-01T05:00:00Z)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if inv.AsOf != 5 { // a site, a meter and three versions were known
		t.Errorf("got position %d, want 5", inv.AsOf)
	}
	if inv.Number != "" || inv.Issued != 0 || inv.Due != 0 {
		t.Errorf("a draft has number %q and dates %s, %s", inv.Number, inv.Issued, inv.Due)
	}
}

func TestLinesNameTheirCharge(t *testing.T) {
	inv := drawn(
		t,
		"now 2026-11-02T09:00", "site s step=1h", "meter revenue", "meter n4 under=revenue use=ai",
		"read n4 2026-10@UTC 1kWh every=1h", "price hb_south 2026-10@UTC 1h 40",
		"contract aurora",
		"charge a power-pass-through n4", "charge b reserved-gpus 1 x 1 overage=2", "charge c reserved-power 1 x 1", "charge d reserved-gpus 1 x 1", "charge e on-demand-gpus 1",
		"start job-1 aurora 2 2026-10-01", "contract borealis", "charge f on-demand-gpus 1",
	)
	var got []string
	for i, l := range inv.Lines {
		if l.Line != int64(i+1) {
			t.Errorf("line %d is numbered %d", i+1, l.Line)
		}
		got = append(got, l.Charge+" "+string(l.Kind))
	}
	want := "a power-pass-through; b reserved-gpus; b reserved-gpus; c reserved-power; d reserved-gpus"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}
