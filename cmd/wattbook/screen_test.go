package main

import (
	"strings"
	"testing"

	"wattbook/domain"
)

func TestSumsThatAreRoundedSaySo(t *testing.T) {
	margin := func(use string, energy domain.Energy, cost string) marginReport {
		return marginReport{Use: use, Energy: energy, Cost: domain.MustDecimal(cost), Revenue: domain.MustDecimal("0"), Margin: domain.MustDecimal("-" + cost)}
	}
	for _, c := range []struct {
		name    string
		margins []marginReport
		want    string
	}{
		{
			"lines that add up",
			[]marginReport{margin("mining", 1_500*domain.MegawattHour, "10.25"), margin("ai", domain.MegawattHour, "1.00"), margin("site", 1_501*domain.MegawattHour, "11.25")},
			"",
		},
		{
			"lines that do not",
			[]marginReport{margin("mining", 1_040*domain.KilowattHour, "0.014"), margin("ai", 2_040*domain.KilowattHour, "0.014"), margin("site", 3_080*domain.KilowattHour, "0.028")},
			"the lines above add up to 0.1 less in MWh and 0.01 less in energy cost and 0.01 more in margin)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := screen{currency: "USD", Margins: c.margins}
			var b strings.Builder
			s.printMargins(&b)
			if got := b.String(); (c.want == "") == strings.Contains(got, "rounded") || !strings.Contains(got, c.want) {
				t.Errorf("got\n%swant %q", got, c.want)
			}
		})
	}
}
