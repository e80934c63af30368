package usage_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/usage"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestUsage(t *testing.T) {
	logscript.Run(t, "testdata/usage.txt", *rewrite, answer)
}

// answer shows GPU time by customer, or what devices counted.
func answer(p *logscript.Player, question []string) (string, error) {
	f, err := p.Facts()
	if err != nil {
		return "", err
	}
	iv, err := p.Interval(question[1])
	if err != nil {
		return "", err
	}
	var rows []string
	if question[0] == "gpu" {
		for r := range usage.GPU(f, p.Site(), iv) {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%d ms", r.Interval.Start.Time().Format("15:04"), r.Customer, int64(r.GPU)))
		}
		if rows == nil {
			return "nothing", nil
		}
		return logscript.Table(rows...), nil
	}
	for _, d := range usage.Devices(f, p.Site(), iv) {
		what := map[domain.DeviceKind]string{
			domain.KindMeter: d.Energy.String(), domain.KindMiner: d.Shares.Decimal().String() + " shares", domain.KindGPU: fmt.Sprintf("%s, %s", d.Energy, d.GPU),
		}[d.Kind]
		rows = append(rows, fmt.Sprintf("%s\t%s, known %d, unknown %d", d.Device, what, d.Known, d.Unknown))
	}
	return logscript.Table(rows...), nil
}

func TestDigestsTellUsageApart(t *testing.T) {
	base := []string{"day 2026-10-14", "site s", "meter revenue", "miner m1 under=revenue", "read revenue 12:00..12:10 8kWh every=5m", "start job-1 aurora 4 12:01"}
	seen := map[domain.Digest]string{}
	for _, change := range []string{
		"", "read revenue 12:05..12:10 8.000001kWh", "read m1 12:05..12:10 0shares", "read m1 12:05..12:10 0.00000001shares",
		"end job-1 12:09:59", "start job-2 brightwater 1 12:05", "start job-2 aurora 1 12:05", "gpu g1 under=revenue",
	} {
		p := logscript.New()
		if err := p.Play(append(base[:len(base):len(base)], change)...); err != nil {
			t.Fatal(err)
		}
		f, _ := p.Facts()
		iv, _ := p.Interval("12:00..12:10")
		d := usage.Digest(f, "s", iv)
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have the same digest", strings.TrimSpace(change), other)
		}
		seen[d] = change
	}
}

func TestASiteThatIsNotKnownUsesNothing(t *testing.T) {
	f, iv := facts.New(), domain.Interval{End: domain.Instant(domain.Hour)}
	for r := range usage.GPU(f, "nowhere", iv) {
		t.Errorf("got %v", r)
	}
	if all := usage.Devices(f, "nowhere", iv); all != nil {
		t.Errorf("got %v", all)
	}
}
