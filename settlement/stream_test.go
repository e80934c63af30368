package settlement_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement"
	"wattbook/settlement/rating"
)

// scratch makes files in a folder of a test.
func scratch(tb testing.TB) func() (settlement.Scratch, error) {
	dir := tb.TempDir()
	return func() (settlement.Scratch, error) { return os.CreateTemp(dir, "group") }
}

// drawTenants plays a month of a site with several customers, day by day: late
// readings, corrections, holes, ends before starts, and months before.
func drawTenants(t *testing.T, random *rand.Rand) *logscript.Player {
	t.Helper()
	draw := func(from, to int) int { return from + random.IntN(to-from+1) }
	buyer := func(own int) string { return []string{"x", "y", fmt.Sprint("b", own)}[random.IntN(3)] }
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	customers := draw(1, 6)
	play("now 2026-08-20\nsite s step=6h\nmeter hall\nprice hb_south 2026-08-01..2026-11-05 6h 41.27")
	charges := []string{
		"reserved-gpus 4 x 1450 overage=2.75", "on-demand-gpus 2.49", "power-pass-through %s adder=5 loss=0.01", "power-pass-through %s pue=hall/%[1]s/1.6",
		"usage kwh meters=%s model=graduated tiers=100:0.1,:0.2", "demand 9 meters=%s", "minimum 90000", "commitment 70000 months=2 true-up rollover", "sla-credit %s,hall bands=0.999:0.1 outage=6h", "fixed 100",
	}
	for c := range customers {
		play("meter m%d under=hall use=ai", c)
		play("contract c%d buyer=%s series=CB from=2026-0%d-01", c, buyer(c), draw(8, 9))
		play("charge base fixed 1")
		for i, ch := range charges {
			if strings.Contains(ch, "%") {
				ch = fmt.Sprintf(ch, fmt.Sprintf("m%d", draw(0, c)))
			}
			if draw(0, 2) == 0 {
				play("charge k%d %s", i, ch)
			}
		}
		if draw(0, 2) == 0 {
			play("prepay c%d 500 2026-09-01", c)
		}
	}
	day := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	for d := range 65 {
		at := day.AddDate(0, 0, d)
		play("now %s", at.AddDate(0, 0, 1).Format(time.DateOnly))
		for c := range customers {
			for _, m := range []string{fmt.Sprint("m", c), "hall"} {
				if random.IntN(300) > 0 && (m != "hall" || c == 0) {
					play("read %s %s..%s %dkWh every=6h", m, at.Format(time.DateOnly), at.AddDate(0, 0, 1).Format(time.DateOnly), random.IntN(900))
				}
			}
			if random.IntN(3) == 0 {
				start, end := fmt.Sprintf("start j%d-%d %s %d %s", d, c, buyer(c), 1+random.IntN(8), at.Format(time.DateOnly)), fmt.Sprintf("end j%d-%d %s", d, c, at.AddDate(0, 0, 2).Format(time.DateOnly))
				if random.IntN(4) == 0 {
					start, end = end, start
				}
				play("%s\n%s", start, end)
			}
		}
		if random.IntN(9) == 0 {
			play("read m0 %s..%s 77kWh mark=corrected", day.Format(time.DateOnly)+"T06:00", day.Format(time.DateOnly)+"T12:00")
		}
	}
	return p
}

// TestAStreamDraftsWhatIsInTheBook compares drafts from a log that is read
// group by group with those from all that is known.
func TestAStreamDraftsWhatIsInTheBook(t *testing.T) {
	complete := 0
	dir := scratch(t)
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 0))
		p := drawTenants(t, random)
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		period := domain.Period{Year: 2026, Month: time.Month(9 + random.IntN(3))}
		s := settlement.Stream{Events: settlement.Known(p.Log, f.Next), Scratch: dir, Group: 1 + random.IntN(4), Workers: 1 + random.IntN(3)}
		var got []settlement.Drafted
		if err := s.Drafts(context.Background(), "s", period, func(d settlement.Drafted) error { got = append(got, d); return nil }); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b settlement.Drafted) int { return cmp.Compare(a.Contract, b.Contract) })
		if len(got) != len(f.Contracts("s")) {
			t.Fatalf("%d drafts for %d contracts", len(got), len(f.Contracts("s")))
		}
		for i, id := range f.Contracts("s") {
			want, failed := rating.Draft(f, id, period)
			a, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(got[i].Invoice)
			if err != nil {
				t.Fatal(err)
			}
			if got[i].Contract != id || string(a) != string(b) || fmt.Sprint(failed) != fmt.Sprint(got[i].Err) {
				t.Fatalf("seed %d, %s: the book says\n%s\n%v\nand the stream\n%s\n%v", seed, id, a, failed, b, got[i].Err)
			}
			if failed == nil && len(want.Lines) > 0 {
				complete++
			}
		}
	}
	if complete < 100 {
		t.Errorf("only %d invoices were complete: the test shows little", complete)
	}
}

// brokenScratch fails after some bytes.
type brokenScratch struct {
	settlement.Scratch
	left int
}

func (s *brokenScratch) Write(b []byte) (int, error) {
	if s.left -= len(b); s.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return s.Scratch.Write(b)
}

func TestAStreamSaysWhatFails(t *testing.T) {
	p := logscript.New()
	if err := p.Play("now 2026-11-02\nsite s step=15m\nmeter m0\ncontract c\ncharge used usage kwh 0.1 meters=m0\nread m0 2026-10@UTC 1kWh every=15m"); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	october, files := domain.Period{Year: 2026, Month: 10}, scratch(t)
	for _, row := range []struct {
		name    string
		site    domain.SiteID
		scratch func() (settlement.Scratch, error)
		yield   error
		want    string
	}{
		{"the disk is full", "s", func() (settlement.Scratch, error) { f, err := files(); return &brokenScratch{f, 100}, err }, nil, "draft invoices of s for 2026-10: write the scratch file: no space left on device"},
		{"there is no scratch", "s", func() (settlement.Scratch, error) { return nil, errors.New("permission denied") }, nil, "draft invoices of s for 2026-10: scratch file: permission denied"},
		{"the site is not known", "nowhere", files, nil, "draft invoices of nowhere for 2026-10: site nowhere is not registered"},
		{"the caller has had enough", "s", files, errors.New("enough"), "draft invoices of s for 2026-10: enough"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := settlement.Stream{Events: settlement.Known(p.Log, f.Next), Scratch: row.scratch}
			if err := s.Drafts(t.Context(), row.site, october, func(settlement.Drafted) error { return row.yield }); fmt.Sprint(err) != row.want {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
		})
	}
}
