package chain_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest/chain"
)

func TestReadBlockFees(t *testing.T) {
	got, err := chain.ReadBlockFees(strings.NewReader("\ufeffday,x,blocks,fees_btc\n2026-10-01,a, 144 ,6.30319950\n2026-10-02,b,150,0\n"), "f.csv")
	want := []domain.BlockFeesPublished{
		{Interval: domain.Interval{Start: dawn, End: dawn.Add(domain.Day)}, Blocks: 144, Fees: 630_319_950},
		{Interval: domain.Interval{Start: dawn.Add(domain.Day), End: dawn.Add(2 * domain.Day)}, Blocks: 150},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, facts (-want +got):\n%s", err, diff)
	}
	const head = "day,blocks,fees_btc\n"
	for _, row := range []struct{ name, file, want string }{
		{"nothing", "", "f.csv:1: line of column names: EOF"},
		{"no columns", "day,fees\n", `f.csv:1: columns are ["day" "fees"]; want day, blocks and fees_btc`},
		{"no day", head + "1 Oct,144,1\n", `f.csv:2: day "1 Oct" is not a day such as 2026-10-14`},
		{"a day twice", head + "2026-10-01,144,1\n2026-10-01,144,1\n", "f.csv:3: day 2026-10-01 is there twice; remove one of the two"},
		{"no blocks", head + "2026-10-01,0,1\n", `f.csv:2: blocks "0" are not a number from 1 to 1000`},
		{"a part of a satoshi", head + "2026-10-01,144,0.000000001\n", "f.csv:2: fees_btc 0.000000001 is negative, more than there can be, or not whole satoshi"},
		{"an exponent", head + "2026-10-01,144,1e-3\n2026-10-02,144,x\n", `f.csv:2: fees_btc: "1e-3" is written with an exponent; write it out as a plain decimal` + "\n" + `f.csv:3: fees_btc: "x" is not a plain decimal number`},
		{"too few fields", head + "2026-10-01,144\n", "f.csv:2: wrong number of fields"},
	} {
		if _, err := chain.ReadBlockFees(strings.NewReader(row.file), "f.csv"); err == nil || err.Error() != row.want {
			t.Errorf("%s: got  %v\nwant %s", row.name, err, row.want)
		}
	}
}

func FuzzReadBlockFees(f *testing.F) {
	f.Add("day,blocks,fees_btc\n2026-10-01,144,6.3031995\n")
	f.Fuzz(func(t *testing.T, file string) {
		all, err := chain.ReadBlockFees(strings.NewReader(file), "f.csv")
		for _, e := range all {
			if err != nil || !e.Interval.Valid() || e.Blocks < 1 || e.Fees < 0 {
				t.Fatalf("bad fact %+v, %v", e, err)
			}
		}
	})
}
