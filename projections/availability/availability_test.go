package availability_test

import (
	"fmt"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections/availability"
	"wattbook/projections/logscript"
)

// TestOutages plays a day of a GPU: what is silent, what maintenance excuses,
// what a later reading fills, and what is too short to count.
func TestOutages(t *testing.T) {
	for _, c := range []struct {
		name, lines, maintenance, minimum, want string
	}{
		{"always there", "read g 00:00..24:00 1kWh every=1h", "", "1h", "24h0m0s down 0s"},
		{"nothing is known of it", "", "", "1h", "24h0m0s down 24h0m0s, [00:00 24:00) counts 24h0m0s"},
		{"two outages", "read g 00:00..05:00 1kWh every=1h\nread g 06:00..20:00 1kWh every=1h", "", "1h", "24h0m0s down 5h0m0s, [05:00 06:00) counts 1h0m0s, [20:00 24:00) counts 4h0m0s"},
		{"the shorter one is too short", "read g 00:00..05:00 1kWh every=1h\nread g 06:00..20:00 1kWh every=1h", "", "2h", "24h0m0s down 4h0m0s, [05:00 06:00) counts 0s, [20:00 24:00) counts 4h0m0s"},
		{"an estimate does not mend an outage", "read g 00:00..05:00 1kWh every=1h\nread g 05:00..08:00 3kWh mark=gap\nread g 08:00..24:00 1kWh every=1h", "", "1h", "24h0m0s down 3h0m0s, [05:00 08:00) counts 3h0m0s"},
		{"maintenance is taken out, once where it overlaps", "read g 00:00..05:00 1kWh every=1h\nread g 09:00..24:00 1kWh every=1h", "04:00..07:00 06:30..08:00", "1h", "20h0m0s down 1h0m0s, [05:00 09:00) counts 1h0m0s"},
		{"what is left of an outage in maintenance may be too short", "read g 00:00..05:00 1kWh every=1h\nread g 09:00..24:00 1kWh every=1h", "05:00..08:30", "1h", "20h30m0s down 0s, [05:00 09:00) counts 0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := logscript.New()
			if err := p.Play("day 2026-10-14\nnow 2026-10-13\nsite s step=1h\nmeter revenue\ngpu g under=revenue\nnow 2026-10-16", c.lines); err != nil {
				t.Fatal(err)
			}
			f, err := p.Facts()
			if err != nil {
				t.Fatal(err)
			}
			var maintenance []domain.Interval
			for _, m := range strings.Fields(c.maintenance) {
				iv, err := p.Interval(m)
				if err != nil {
					t.Fatal(err)
				}
				maintenance = append(maintenance, iv)
			}
			var minimum domain.Duration
			if err := minimum.UnmarshalText([]byte(c.minimum)); err != nil {
				t.Fatal(err)
			}
			day, err := p.Interval("00:00..24:00")
			if err != nil {
				t.Fatal(err)
			}
			a, err := availability.Of(f, "s", []domain.DeviceID{"g"}, day, maintenance, minimum)
			if err != nil {
				t.Fatal(err)
			}
			clock := func(at domain.Instant) string {
				if at == day.End {
					return "24:00"
				}
				return at.Time().Format("15:04")
			}
			got := fmt.Sprintf("%s down %s", a.Promised, a.Down)
			for _, o := range a.Outages {
				got += fmt.Sprintf(", [%s %s) counts %s", clock(o.Interval.Start), clock(o.Interval.End), o.Counted)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWhatIsNotRegisteredHasNoAvailability(t *testing.T) {
	p := logscript.New()
	if err := p.Play("site s step=1h", "meter revenue"); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	day := domain.Interval{Start: 0, End: domain.Instant(domain.Day)}
	if _, err := availability.Of(f, "s", []domain.DeviceID{"nobody"}, day, nil, 0); err == nil || !strings.Contains(err.Error(), "nobody is not registered") {
		t.Errorf("got %v", err)
	}
	if a, err := availability.Of(f, "s", nil, day, nil, 0); err != nil || a.Portion().FloatString(0) != "1" {
		t.Errorf("of no devices: %v, %v", a.Portion(), err)
	}
}
