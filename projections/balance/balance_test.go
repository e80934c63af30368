package balance_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestBalance(t *testing.T) {
	logscript.Run(t, "testdata/balance.txt", *rewrite, answer)
}

// answer shows "balance 17:30..17:40", the rows of an interval, or "totals",
// their sums.
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
		t := balance.Sum(balance.Rows(f, p.Site(), iv))
		return fmt.Sprintf("%d intervals, %d closed, %d estimated\nrevenue %s = mining %s + ai %s + overhead %s + losses %s + residual %s (closed ones)",
			t.Intervals, t.Closed, t.Estimated, t.Revenue, t.Uses[domain.UseMining], t.Uses[domain.UseAI], t.Uses[domain.UseOverhead], t.Losses, t.Residual), nil
	}
	all := slices.Collect(balance.Rows(f, p.Site(), iv))
	var meters []domain.DeviceID
	for _, b := range all[len(all)-1].Branches {
		meters = append(meters, b.Meter)
	}
	rows := []string{fmt.Sprintf("interval\trevenue\t%s\tlosses\tresidual", strings.Join(names(meters), "\t"))}
	for _, r := range all {
		row := fmt.Sprintf("%s\t%s", r.Interval.Start.Time().Format("15:04"), energy(r.Revenue, r.State))
		for _, m := range meters {
			i := slices.IndexFunc(r.Branches, func(b balance.Branch) bool { return b.Meter == m })
			if i < 0 {
				row += "\tnot there"
			} else {
				row += "\t" + energy(r.Branches[i].Energy, r.Branches[i].State)
			}
		}
		residual := "open"
		if r.Closed() {
			residual = r.Residual.String()
		}
		rows = append(rows, row+"\t"+r.Losses.String()+"\t"+residual)
	}
	return logscript.Table(rows...), nil
}

func names(meters []domain.DeviceID) (all []string) {
	for _, m := range meters {
		all = append(all, string(m))
	}
	return all
}

func energy(e domain.Energy, s facts.State) string {
	switch s {
	case facts.Unknown:
		return "unknown"
	case facts.Estimated:
		return "~" + e.String()
	}
	return e.String()
}

// TestRevenueIsWhatMetersAndLossesAndResidualSumTo holds the identity of every
// row, exactly, whatever the meters say.
func TestRevenueIsWhatMetersAndLossesAndResidualSumTo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := logscript.New()
		play := func(format string, args ...any) {
			if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
				t.Fatal(err)
			}
		}
		play("day 2026-10-14\nsite s loss=0.0%d", rapid.IntRange(0, 99999).Draw(t, "loss"))
		play("meter revenue rated=20MW\nmeter c1 under=revenue use=mining rated=9MW\nmeter ai under=revenue use=ai rated=9MW")
		for i := range rapid.IntRange(0, 30).Draw(t, "readings") {
			meter := rapid.SampledFrom([]string{"revenue", "c1", "ai"}).Draw(t, fmt.Sprint("meter", i))
			start := rapid.IntRange(0, 11).Draw(t, fmt.Sprint("start", i))
			length := rapid.IntRange(1, 12-start).Draw(t, fmt.Sprint("length", i))
			play("read %s 12:%02d..1%d:%02d %dmWh mark=gap", meter, 5*start, 2+(start+length)/12, 5*(start+length)%60, rapid.Int64Range(0, 1<<50).Draw(t, fmt.Sprint("value", i)))
		}
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		iv, err := p.Interval("12:00..13:00")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for r := range balance.Rows(f, "s", iv) {
			var metered domain.Energy
			for _, b := range r.Branches {
				metered += b.Energy
			}
			if n++; metered != r.Metered || r.Revenue != r.Metered+r.Losses+r.Residual {
				t.Fatalf("%s: revenue %d, metered %d of %d, losses %d, residual %d", r.Interval, r.Revenue, r.Metered, metered, r.Losses, r.Residual)
			}
		}
		if n != 12 {
			t.Fatalf("got %d rows, want 12", n)
		}
	})
}

func TestASiteThatIsNotKnownHasNoRows(t *testing.T) {
	for r := range balance.Rows(facts.New(), "nowhere", domain.Interval{Start: 0, End: domain.Instant(domain.Hour)}) {
		t.Errorf("got %v", r)
	}
}

// TestDigestsTellRowsApart changes one thing at a time.
func TestDigestsTellRowsApart(t *testing.T) {
	base := []string{"day 2026-10-14", "site s loss=0.01", "meter revenue", "meter c1 under=revenue use=mining", "read revenue 12:00..12:10 8kWh every=5m", "read c1 12:00..12:10 7kWh every=5m"}
	seen := map[domain.Digest]string{}
	for _, change := range []string{
		"", "read c1 12:05..12:10 7.000001kWh", "read revenue 12:05..12:10 8.000001kWh", "read c1 12:05..12:10 7kWh mark=estimated",
		"site s loss=0.01001", "meter c2 under=revenue use=mining\nread c2 12:00..12:05 0kWh", "meter c1 under=revenue use=ai",
	} {
		p := logscript.New()
		if err := p.Play(append(slices.Clone(base), change)...); err != nil {
			t.Fatal(err)
		}
		f, _ := p.Facts()
		iv, _ := p.Interval("12:00..12:10")
		d := balance.Digest(balance.Rows(f, "s", iv))
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have the same digest", strings.TrimSpace(change), other)
		}
		seen[d] = change
	}
}
