package estimation_test

import (
	"fmt"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections/estimation"
	"wattbook/projections/logscript"
)

// TestMethods computes gaps of meter n4 by hand. The site has hourly intervals
// and losses of 25 %.
func TestMethods(t *testing.T) {
	for _, row := range []struct {
		name   string
		lines  string
		method domain.EstimateMethod
		want   string // value of each interval, or the error
	}{
		{"the day before", "read n4 2026-10-13T12:00..2026-10-13T14:00 7kWh every=1h\nread n4 2026-10-13T13:00..2026-10-13T14:00 8kWh mark=corrected", domain.PreviousDay, "12:00 7 kWh, 13:00 8 kWh"},
		{"a day on which it was read", "read n4 2026-10-11T12:00..2026-10-11T14:00 5kWh every=1h\nread n4 2026-10-13T12:00..2026-10-13T13:00 7kWh", domain.PreviousDay, "12:00 7 kWh, 13:00 5 kWh"},
		{"an estimate is no basis", "read n4 2026-10-11T12:00..2026-10-11T14:00 5kWh every=1h\nread n4 2026-10-13T12:00..2026-10-13T14:00 7kWh mark=gap", domain.PreviousDay, "12:00 5 kWh, 13:00 5 kWh"},
		{
			"a week is too long ago", "read n4 2026-10-06T12:00..2026-10-06T14:00 5kWh every=1h", domain.PreviousDay,
			"estimate [2026-10-14T12:00:00Z, 2026-10-14T13:00:00Z) of n4 by previous-day-same-interval: on none of the 7 days before it was the meter read in this interval",
		},
		{"between its neighbours", "read n4 11:00..12:00 3mWh\nread n4 14:00..15:00 6mWh", domain.MeanOfNeighbours, "12:00 0.000005 kWh, 13:00 0.000005 kWh"},
		{
			"nothing comes after", "read n4 11:00..12:00 3kWh", domain.MeanOfNeighbours,
			"estimate [2026-10-14T12:00:00Z, 2026-10-14T13:00:00Z) of n4 by mean-of-neighbours: it has no neighbour within 24h0m0s",
		},
		{
			"the neighbour is estimated", "read n4 10:00..12:00 3kWh mark=gap\nread n4 14:00..15:00 6kWh", domain.MeanOfNeighbours,
			"estimate [2026-10-14T12:00:00Z, 2026-10-14T13:00:00Z) of n4 by mean-of-neighbours: its neighbour at 2026-10-14T11:00:00Z is an estimate itself",
		},
		{"what no other meter counted", "read revenue 12:00..14:00 100kWh every=1h\nread n5 12:00..14:00 30kWh every=1h", domain.BalanceResidual, "12:00 50 kWh, 13:00 50 kWh"}, // 100 ÷ 1.25 − 30
		{
			"a meter beside it is silent", "read revenue 12:00..14:00 100kWh every=1h\nread n5 11:00..13:00 30kWh every=1h", domain.BalanceResidual,
			"estimate [2026-10-14T13:00:00Z, 2026-10-14T14:00:00Z) of n4 by residual-of-balance: meter n5 beside it was not read",
		},
		{
			"the meter above is silent", "read n5 12:00..14:00 30kWh every=1h", domain.BalanceResidual,
			"estimate [2026-10-14T12:00:00Z, 2026-10-14T13:00:00Z) of n4 by residual-of-balance: meter revenue above it was not read",
		},
		{
			"the others counted more", "read revenue 12:00..14:00 30kWh every=1h\nread n5 12:00..14:00 30kWh every=1h", domain.BalanceResidual,
			"estimate [2026-10-14T12:00:00Z, 2026-10-14T13:00:00Z) of n4 by residual-of-balance: the meters beside it counted more than the meter above it, by 6 kWh",
		},
		{"nothing is missing", "read n4 12:00..14:00 1kWh every=1h", domain.BalanceResidual, ""},
		{"no such method", "", "guess", `method "guess" is not known; want one of ["previous-day-same-interval" "mean-of-neighbours" "residual-of-balance"]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := logscript.New()
			if err := p.Play("now 2026-10-01", "day 2026-10-14", "site s step=1h loss=0.25 revenue=revenue", "meter revenue", "meter n4 under=revenue use=ai", "meter n5 under=revenue use=ai"); err != nil {
				t.Fatal(err)
			}
			if err := p.Play(strings.Split(row.lines, "\n")...); err != nil {
				t.Fatal(err)
			}
			f, err := p.Facts()
			if err != nil {
				t.Fatal(err)
			}
			in, err := p.Interval("12:00..14:00")
			if err != nil {
				t.Fatal(err)
			}
			values, err := estimation.Of(f, "s", "n4", in, row.method)
			var got []string
			for _, v := range values {
				got = append(got, fmt.Sprintf("%s %s", v.Interval.Start.Time().Format("15:04"), v.Energy))
			}
			said := strings.Join(got, ", ")
			if err != nil {
				said = err.Error()
			}
			if said != row.want {
				t.Errorf("got  %s\nwant %s", said, row.want)
			}
		})
	}
}
