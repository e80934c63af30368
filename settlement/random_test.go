package settlement_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/receivables"
	"wattbook/settlement/rating"
)

// ledger is two months of a buyer under a random contract, which random things
// correct.
type ledger struct {
	*logscript.Player
	t       *rapid.T
	zone    string
	charges string
	version int
	taxes   [2]string // of September and October
	played  int
}

var september = october.Previous()

func (l *ledger) number(name string, from, to int64) int64 {
	return rapid.Int64Range(from, to).Draw(l.t, name)
}

func (l *ledger) cents(name string, from, to int64) string {
	return domain.NewDecimal(l.number(name, from, to), -2).String()
}

func (l *ledger) yes(name string) bool { return rapid.Bool().Draw(l.t, name) }

func (l *ledger) play(format string, args ...any) {
	if err := l.Play(fmt.Sprintf(format, args...)); err != nil {
		l.t.Fatal(err)
	}
}

// terms draws the charges of a contract, of every kind. A demand charge and
// what is reserved may not be divided without a change of what they come to.
func (l *ledger) terms(divisible bool) string {
	var all, of []string
	add := func(format string, args ...any) { all = append(all, "charge "+fmt.Sprintf(format, args...)) }
	earns := func(name string) bool {
		if l.yes(name) {
			of = append(of, name)
			return true
		}
		return false
	}
	if earns("gpus") {
		if l.yes("reserved") {
			add("gpus reserved-gpus %d x %s overage=%s", l.number("GPUs", 1, 8), l.cents("rate", 1, 200_000), l.cents("overage", 0, 500))
		} else {
			add("gpus on-demand-gpus %s", l.cents("rate", 1, 500))
		}
	}
	if earns("space") {
		add("space reserved-power %d x %s", l.number("kW", 1, 20), l.cents("rate", 1, 20_000))
	}
	if earns("base") {
		add("base fixed %s", l.cents("rate", 1, 90_000))
	}
	if earns("power") {
		add("power power-pass-through n4 loss=%s adder=%s", l.cents("loss", 0, 9), l.cents("adder", 0, 900))
	}
	if earns("energy") {
		tiers := fmt.Sprintf("tiers=1000:%s+%s,2500:%s,:%s", l.cents("rate", 1, 40), l.cents("flat", 0, 5000), l.cents("rate", 1, 40), l.cents("rate", 1, 40))
		add("energy usage kwh %s", rapid.SampledFrom([]string{
			l.cents("rate", 1, 40) + " meters=n4", "meters=n4 model=graduated " + tiers, "meters=n4 model=volume " + tiers,
			fmt.Sprintf("%s meters=n4 model=package block=%d free=%d", l.cents("rate", 1, 900), l.number("block", 1, 900), l.number("free", 0, 900)),
			fmt.Sprintf("meters=n4 windows=day@00:00-24:00@%s", l.cents("rate", 1, 40)),
		}).Draw(l.t, "model"))
	}
	if !divisible && earns("peak") {
		add("peak demand %s meters=n4", l.cents("rate", 1, 900))
	}
	if len(of) == 0 {
		add("base fixed 7.77")
		of = append(of, "base")
	}
	some := strings.Join(of[:l.number("of", 1, int64(len(of)))], ",")
	if l.yes("support") {
		add("support percentage %s of=%s", l.cents("portion", 1, 30), some)
	}
	if l.yes("committed") {
		terms := rapid.SampledFrom([]string{"", " true-up", " true-up rollover"}).Draw(l.t, "terms")
		add("committed commitment %s%s months=%d factor=%s of=%s", l.cents("amount", 1, 900_000), terms, l.number("months", 1, 2), l.cents("factor", 100, 150), some)
	}
	if l.yes("least") {
		add("least minimum %s", l.cents("amount", 1, 500_000))
	}
	if l.yes("most") {
		add("most maximum %s", l.cents("amount", 1, 900_000))
	}
	if l.yes("sla") {
		claim := ""
		if l.yes("on claim") {
			claim = " on-claim"
		}
		add("sla sla-credit g%s outage=1h bands=0.999:0.1,0.95:0.25 cap=0.2 of=%s", claim, some)
	}
	return strings.Join(all, "\n")
}

// sign signs the next version of the contract from an instant of a month on. Its
// tax is that of the month.
func (l *ledger) sign(month int64, from, terms string) {
	l.version++
	l.charges, l.taxes[1] = terms, l.taxes[month-9]
	l.play("contract aurora version=%d zone=%s tax=%s from=%s prepaid=0.9\n%s", l.version, l.zone, l.taxes[1], from, terms)
	if _, err := l.Facts(); err != nil { // it is signed
		l.t.Fatal(err)
	}
}

// drawLedger plays September and October, and signs a contract from September
// on.
func drawLedger(t *rapid.T, divisible bool) *ledger {
	l := &ledger{Player: logscript.New(), t: t, zone: rapid.SampledFrom([]string{"UTC", "America/Chicago"}).Draw(t, "zone"), taxes: [2]string{"0.0825", "0.0825"}}
	l.play("site s step=24h zone=%s\nmeter revenue\nmeter n4 under=revenue use=ai\ngpu g under=n4", l.zone)
	l.play("read revenue 2026-08-31..2026-11-03 310kWh every=24h\nprice hb_south 2026-08-31..2026-11-03 24h 50")
	for _, span := range []string{"2026-08-31..2026-09-11", "2026-09-11..2026-10-07", "2026-10-07..2026-11-03"} {
		l.play("read n4 %s %dkWh every=24h", span, l.number("kWh", 0, 150))
	}
	l.play("read g 2026-08-31..2026-09-20 1kWh every=24h\nread g 2026-09-22..2026-10-13 1kWh every=24h\nread g 2026-10-14..2026-11-03 1kWh every=24h")
	for range l.number("jobs", 0, 4) {
		l.job()
	}
	if l.yes("prepaid") {
		l.play("prepay aurora %s 2026-09-01", l.cents("prepayment", 1, 900_000))
	}
	l.play("now 2026-11-04T09:00")
	l.sign(9, "2026-09-01@"+l.zone, l.terms(divisible))
	return l
}

func (l *ledger) job() {
	l.played++
	day, month := l.number("day", 1, 28), l.number("month", 9, 10)
	l.play("start j%d aurora %d 2026-%02d-%02dT03:00\nend j%d 2026-%02d-%02dT%02d:30", l.played, l.number("GPUs", 1, 16), month, day, l.played, month, day+1, l.number("hour", 0, 23))
}

// correct plays something that comes on record late. Money of the bank does not
// correct; it is drawn apart.
func (l *ledger) correct() {
	month, day := l.number("month", 9, 10), l.number("day", 1, 29)
	span := fmt.Sprintf("2026-%02d-%02d..2026-%02d-%02d", month, day, month, day+1)
	switch l.number("what", 0, 7) {
	case 0:
		l.play("read n4 %s %dWh mark=corrected", span, l.number("Wh", 0, 500_000))
	case 1:
		l.play("price hb_south %s 24h %s corrects=yes", span, l.cents("price", -9999, 99_999))
	case 2:
		l.job()
	case 3:
		l.play("read g %s 1kWh", rapid.SampledFrom([]string{"2026-09-20..2026-09-21", "2026-09-21..2026-09-22", "2026-10-13..2026-10-14"}).Draw(l.t, "outage"))
	case 4:
		l.play("claim aurora sla 2026-%02d", month)
	case 5:
		l.play("prepay aurora %s 2026-11-03", l.cents("prepayment", 1, 90_000))
	case 6: // amended within the month, under the same tax
		l.sign(month, fmt.Sprintf("2026-%02d-%02dT05:00", month, day), l.terms(false))
	default: // from the first of a month, under any
		l.taxes[month-9] = rapid.SampledFrom([]string{"0.0825", "0.19", "0"}).Draw(l.t, "tax")
		l.sign(month, fmt.Sprintf("2026-%02d-01@%s", month, l.zone), l.terms(false))
	}
}

// run issues and corrects as a run of a month does, and may be cut off.
func (l *ledger) run(period domain.Period, cut bool) {
	log := &faulty{Log: l.Log}
	if cut {
		log.reads, log.plan = true, rapid.SliceOfN(rapid.SampledFrom([]fault{works, works, refused, lost}), 0, 6).Draw(l.t, "plan")
	}
	s := settler(log, l.Now())
	_, err := s.Close(l.t.Context(), "s", period)
	if err == nil {
		_, err = s.Issue(l.t.Context(), "s", period)
	}
	if err == nil {
		_, err = s.Correct(l.t.Context(), "s", period)
	}
	if err != nil && !(cut && errors.Is(err, errCut)) {
		l.t.Fatal(err)
	}
}

// TestNotesOfRandomContracts bills two months under random contracts, with
// corrections of both before, between and after the runs, some of which are cut
// off: in the end each month's invoice and notes sum to what its invoice would
// be, each note comes out again from where it was drawn, and what was prepaid is
// drawn once.
func TestNotesOfRandomContracts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLedger(t, false)
		for range l.number("corrections", 0, 5) {
			l.correct()
			if l.yes("run") {
				l.run(rapid.SampledFrom([]domain.Period{september, october}).Draw(t, "period"), l.yes("cut"))
			}
		}
		l.run(september, false)
		l.run(october, false)
		s := settler(l.Log, l.Now())
		if again, err := s.Correct(t.Context(), "s", october); err != nil || len(again) > 0 {
			t.Fatalf("a second run issues %d notes, %v\n%s\n%s", len(again), err, notes(again), l.charges)
		}
		prepaid := rating.Prepaid(s.Facts, "aurora", "USD")
		if prepaid.Minor < 0 {
			t.Fatalf("of what was prepaid %s is left", prepaid)
		}
		for _, standing := range receivables.All(s.Facts, "s") { // the bank paid nothing
			if standing.State == receivables.Overpaid {
				t.Fatalf("invoice %s: %s are paid from prepayments, and %s open", standing.Invoice.Number, standing.Paid, standing.Open)
			}
		}
		for _, period := range []domain.Period{september, october} {
			if _, issued := s.Facts.Invoice("aurora", period); issued {
				checkCorrected(t, l.Player, s, period)
			} else if inv, err := rating.Draft(s.Facts, "aurora", period); err != nil || len(inv.Lines) > 0 {
				t.Fatalf("%s is not issued, and has %d lines, %v", period, len(inv.Lines), err)
			}
		}
	})
}

// TestDraftsOfRandomContractsAreTheSameBytes drafts twice from the same facts,
// and from a log that is folded anew in two parts.
func TestDraftsOfRandomContractsAreTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLedger(t, false)
		for range l.number("corrections", 0, 3) {
			l.correct()
		}
		f, err := l.Facts()
		if err != nil {
			t.Fatal(err)
		}
		anew := facts.New()
		for _, to := range []domain.Position{domain.Position(l.number("stop", 0, int64(f.Next))), projections.Head} {
			if _, err := projections.Fold(t.Context(), l.Log, anew.Next, to, anew); err != nil {
				t.Fatal(err)
			}
		}
		text := func(r *rating.Rater, period domain.Period) string {
			inv, err := r.Draft("aurora", period)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(inv)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		once, other := rating.New(f), rating.New(anew)
		for _, period := range []domain.Period{october, september, october} {
			want := text(once, period)
			if again := text(once, period); again != want {
				t.Fatalf("drafting again gives\n%s\nnot\n%s", again, want)
			}
			if again := text(other, period); again != want {
				t.Fatalf("from a log in two parts\n%s\nnot\n%s", again, want)
			}
		}
	})
}

// TestDividingRandomContractsChangesOnlyTheRounding divides a contract into
// versions with the same terms, between metering intervals: the months come to
// the same, but for a minor unit on each line that there is more.
func TestDividingRandomContractsChangesOnlyTheRounding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLedger(t, true)
		draft := func(period domain.Period) domain.Invoice {
			f, err := l.Facts()
			if err != nil {
				t.Fatal(err)
			}
			inv, err := rating.Draft(f, "aurora", period)
			if err != nil {
				t.Fatal(err)
			}
			return inv
		}
		whole := map[domain.Period]domain.Invoice{september: draft(september), october: draft(october)}
		for range l.number("cuts", 1, 3) {
			month := l.number("month", 9, 10)
			l.sign(month, fmt.Sprintf("2026-%02d-%02d", month, l.number("day", 2, 29)), l.charges)
		}
		for period, w := range whole {
			parts := draft(period)
			// A percentage, a factor and a term that rolls over take the units on.
			most := 2 * int64(len(parts.Lines)+2)
			if period == october {
				most *= 2
			}
			if moved := parts.Subtotal.Minor - w.Subtotal.Minor; max(moved, -moved) > most {
				t.Fatalf("%s comes to %s, divided %s:\n%s", period, w.Subtotal, parts.Subtotal, l.charges)
			}
		}
	})
}
