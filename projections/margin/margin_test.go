package margin_test

import (
	"flag"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/margin"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestMargin(t *testing.T) {
	logscript.Run(t, "testdata/margin.txt", *rewrite, answer)
}

// answer shows the margin of an interval, its AI revenue alone, or totals.
func answer(p *logscript.Player, question []string) (string, error) {
	f, err := p.Facts()
	if err != nil {
		return "", err
	}
	iv, err := p.Interval(question[1])
	if err != nil {
		return "", err
	}
	if question[0] == "totals" {
		t, err := margin.Total(margin.Rows(f, p.Site(), iv))
		return totals(t), err
	}
	var b strings.Builder
	for r, err := range margin.Rows(f, p.Site(), iv) {
		if err != nil {
			return "", err
		}
		at := r.Interval.Start.Time().Format("15:04")
		if question[0] == "ai" {
			fmt.Fprintf(&b, "%s  %s\n", at, text(r.AI.Revenue))
		} else {
			b.WriteString(show(at, r))
		}
	}
	return b.String(), nil
}

func show(at string, r margin.Row) string {
	rows := []string{at + "\tenergy\trevenue\tcost\tmargin"}
	for _, u := range []struct {
		name string
		margin.Use
	}{{"mining", r.Mining}, {"ai", r.AI}, {"overhead", r.Overhead}} {
		energy := map[facts.State]string{facts.Unknown: "?", facts.Estimated: "~" + u.Energy.String(), facts.Metered: u.Energy.String()}[u.State]
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", u.name, energy, text(u.Revenue), text(u.Cost), text(u.Margin)))
	}
	var revenue *domain.Decimal
	if r.Mining.Revenue != nil && r.AI.Revenue != nil {
		sum := r.Mining.Revenue.Add(*r.AI.Revenue)
		revenue = &sum
	}
	rows = append(rows, fmt.Sprintf("site\t\t%s\t%s\t%s", text(revenue), text(r.Cost), text(r.Margin)))
	foot := fmt.Sprintf("price %s, work %s of %d of %d miners, expected %s", text(r.Price), r.Mined.Shares.Decimal(), r.Mined.Reported, r.Mined.Miners, satoshi(r.Mined.Expected))
	if r.Mined.Basis == margin.Stated {
		foot += ", stated " + satoshi(r.Mined.Earned)
	}
	if r.Mined.Provisional {
		foot += ", provisional"
	}
	if r.Estimated {
		foot += ", estimated"
	}
	for _, a := range r.Mined.Accounts {
		if len(r.Mined.Accounts) > 1 {
			foot += fmt.Sprintf("\n%s/%s: work %s, expected %s", a.Pool, a.Account, a.Shares.Decimal(), satoshi(a.Expected))
			if a.Basis == margin.Stated {
				foot += ", stated " + satoshi(a.Earned)
			}
		}
	}
	return logscript.Table(rows...) + foot + "\n"
}

func totals(t margin.Totals) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d intervals, %d of them unknown, %d estimated\n", t.Intervals, t.Unknown, t.Estimated)
	for _, u := range []struct {
		name string
		margin.Sum
	}{{"mining", t.Mining}, {"ai", t.AI}, {"overhead", t.Overhead}} {
		fmt.Fprintf(&b, "%-8s  %s  revenue %s  cost %s  margin %s\n", u.name, u.Energy, u.Revenue, u.Cost, u.Margin)
	}
	fmt.Fprintf(&b, "site cost %s, margin %s, work %s, expected %s\n", t.Cost, t.Margin, t.Shares.Decimal(), satoshi(t.Expected))
	fmt.Fprintf(&b, "prices of %d intervals from %s to %s, %d negative\n", t.Priced, t.LowestPrice, t.HighestPrice, t.NegativePrices)
	return b.String()
}

func text(v *domain.Decimal) string {
	if v == nil {
		return "?"
	}
	return v.String()
}

func satoshi(r *big.Rat) string {
	if r == nil {
		return "?"
	}
	return domain.RoundRat(r, 4).String() + " sat"
}

// TestRowsRoundWhatIsAccruedExactly compares the AI revenue of all rows with
// the exact accrual: each row is rounded once, by half of 1e-10 at most.
func TestRowsRoundWhatIsAccruedExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := logscript.New()
		play := func(format string, args ...any) {
			if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
				t.Fatal(err)
			}
		}
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		play("day 2026-10-14\nsite s\nmeter revenue\nmeter n4 under=revenue use=ai")
		play("read n4 12:00..13:00 %dmWh every=5m", draw("energy", 0, 1<<45))
		play("price hb_south 12:00..13:00 5m %d.%03d", draw("price", -300, 5000), draw("mills", 0, 999))
		minutes := []int64{0, draw("first", 0, 59), draw("second", 0, 59), draw("third", 0, 59)}
		for v := 1; v <= 3; v++ {
			play("contract aurora version=%d from=12:%02d:%02d zone=America/Chicago", v, minutes[v], draw("second of start", 0, 59))
			play("charge reserved reserved-gpus %d x %d.%02d overage=%d", draw("quantity", 1, 16), draw("rate", 1, 3000), draw("cents", 0, 99), draw("overage", 0, 3))
			play("charge space reserved-power 12 x 155.6\ncharge used on-demand-gpus 2.49\ncharge power power-pass-through n4 adder=6.5 loss=0.0123")
		}
		for job := range draw("jobs", 0, 5) {
			play("start job-%d aurora %d 12:%02d", job, draw("gpus", 1, 8), draw("minute", 0, 59))
			play("end job-%d 12:%02d", job, draw("minute", 0, 59))
		}
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		iv, _ := p.Interval("12:00..13:00")
		terms, err := accrual.Terms(f, "aurora", iv)
		if err != nil {
			t.Fatal(err)
		}
		rounded, exact, rows := new(big.Rat), new(big.Rat), int64(0)
		for r, err := range margin.Rows(f, "s", iv) {
			if err != nil {
				t.Fatal(err)
			}
			rounded.Add(rounded, r.AI.Revenue.Rat())
			rows++
			for _, c := range terms {
				for _, part := range c.Over(r.Interval) {
					exact.Add(exact, part.Amount)
				}
			}
		}
		diff := new(big.Rat).Sub(rounded, exact)
		if bound := big.NewRat(rows, 20_000_000_000); diff.Abs(diff).Cmp(bound) > 0 {
			t.Fatalf("rows sum to %s, the accrual to %s", rounded.FloatString(12), exact.FloatString(12))
		}
	})
}

func TestMarginsOfASiteThatIsNotKnownAreAnError(t *testing.T) {
	_, err := margin.Digest(margin.Rows(facts.New(), "nowhere", domain.Interval{End: domain.Instant(domain.Hour)}))
	if err == nil || err.Error() != "margins of nowhere: the site is not registered" {
		t.Errorf("got %v", err)
	}
}
