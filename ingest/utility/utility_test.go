package utility_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest/utility"
)

func chicago(t testing.TB) utility.Terms {
	t.Helper()
	zone, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Fatal(err)
	}
	return utility.Terms{Site: "cedar-bend", Currency: "USD", Zone: zone, Now: domain.Unix(1_793_880_000)} // 2026-11-05T12:00:00Z
}

const head = "site,from,to,amount,currency,reference,date\n"

func TestRead(t *testing.T) {
	file := "\ufeffReference, Site ,from,to,amount,currency,date,remark\n" +
		"INV-77,cedar-bend,2026-10-01,2026-11-01, 24310.55 ,USD,2026-11-03,delivery\n" +
		"CR-1,cedar-bend,2026-10-14T06:00,2026-10-14T12:00:00Z,-12,USD,2026-10-20,curtailed\n"
	got, err := chicago(t).Read(strings.NewReader(file), "bills.csv")
	day := func(s string) domain.Instant {
		at, err := domain.ParseInstant(s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	want := []domain.UtilityBilled{
		{
			Site: "cedar-bend", Reference: "INV-77", Amount: domain.Money{Minor: 2_431_055, Currency: "USD"}, At: day("2026-11-03T06:00:00Z"),
			Interval: domain.Interval{Start: day("2026-10-01T05:00:00Z"), End: day("2026-11-01T05:00:00Z")},
		},
		{
			Site: "cedar-bend", Reference: "CR-1", Amount: domain.Money{Minor: -1_200, Currency: "USD"}, At: day("2026-10-20T05:00:00Z"),
			Interval: domain.Interval{Start: day("2026-10-14T11:00:00Z"), End: day("2026-10-14T12:00:00Z")},
		},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, bills (-want +got):\n%s", err, diff)
	}
}

func TestReadRefusesAFileWhole(t *testing.T) {
	for _, row := range []struct{ name, file, want string }{
		{"nothing", "", "b.csv:1: line of column names: EOF"},
		{
			"semicolons", "site;from;to\n",
			`b.csv:1: columns are ["site;from;to"] and there is no site; want site,from,to,amount,currency,reference,date, with commas between them`,
		},
		{
			"another site", head + "elm,2026-10-01,2026-11-01,1,USD,a,2026-11-03\n",
			`b.csv:2: site "elm" is not cedar-bend; name the site of the file with --site, and split the file if it is of several`,
		},
		{"no day", head + "cedar-bend,1 Oct,2026-11-01,1,USD,a,2026-11-03\n", `b.csv:2: from "1 Oct" is not a day such as 2026-10-01`},
		{"a year of two digits", head + "cedar-bend,0026-10-01,2026-11-01,1,USD,a,2026-11-03\n", `b.csv:2: from "0026-10-01" is not a day such as 2026-10-01`},
		{"a bill of nothing", head + "cedar-bend,2026-10-01,2026-10-01,1,USD,a,2026-11-03\n", "b.csv:2: to 2026-10-01 is not after from 2026-10-01; it is the day after the last that is billed"},
		{
			"the last day of the month", head + "cedar-bend,2026-10-01,2026-10-31,1,USD,a,2026-11-03\n",
			"b.csv:2: to is the day after the last that is billed: write 2026-11-01 if 2026-10-31 is billed, and 2026-10-31T00:00 if it is not",
		},
		{"what is not over", head + "cedar-bend,2026-11-01,2026-12-01,1,USD,a,2026-11-03\n", "b.csv:2: to 2026-12-01 is still to come: it is 2026-11-05T12:00:00Z; correct the day, or wait until what is billed is over"},
		{"a bill to come", head + "cedar-bend,2026-10-01,2026-11-01,1,USD,a,2027-11-03\n", "b.csv:2: date 2027-11-03 is still to come: it is 2026-11-05T12:00:00Z; correct it"},
		{"another currency", head + "cedar-bend,2026-10-01,2026-11-01,1,EUR,a,2026-11-03\n", `b.csv:2: currency "EUR" is not that of the books of cedar-bend; want USD`},
		{
			"a comma in a number", head + "cedar-bend,2026-10-01,2026-11-01,\"24,310.55\",USD,a,2026-11-03\n",
			`b.csv:2: amount: "24,310.55" is not a plain decimal number; want a number such as 24310.55, without thousands separators`,
		},
		{"no reference", head + "cedar-bend,2026-10-01,2026-11-01,1,USD, ,2026-11-03\n", "b.csv:2: reference is empty; it is the number that the utility gives the bill"},
		{
			"a bill twice", head + "cedar-bend,2026-10-01,2026-11-01,1,USD,a,2026-11-03\ncedar-bend,2026-09-01,2026-10-01,2,USD,a,2026-11-03\n",
			"b.csv:3: reference a is in line 2 already; remove one of the two, or give each bill its own",
		},
		{
			"all mistakes", head + "elm,2026-10-01,2026-11-01,x,USD,,2026-11-03\nshort\ncedar-bend,x,2026-11-01,1,USD,a,2026-11-03\ncedar-bend,\"2026\n",
			"6 bad lines:\n" +
				`  b.csv:2: site "elm" is not cedar-bend; name the site of the file with --site, and split the file if it is of several` + "\n" +
				`  b.csv:2: amount: "x" is not a plain decimal number; want a number such as 24310.55, without thousands separators` + "\n" +
				`  b.csv:2: reference is empty; it is the number that the utility gives the bill` + "\n" +
				`  b.csv:3: wrong number of fields` + "\n" +
				`  b.csv:4: from "x" is not a day such as 2026-10-01` + "\n" +
				`  b.csv:5: extraneous or missing " in quoted-field`,
		},
	} {
		got, err := chicago(t).Read(strings.NewReader(row.file), "b.csv")
		if err == nil || err.Error() != row.want || got != nil {
			t.Errorf("%s: got %v, error\n%v\nwant\n%s", row.name, got, err, row.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(head + "cedar-bend,2026-10-01,2026-11-01,24310.55,USD,INV-77,2026-11-03\n")
	f.Fuzz(func(t *testing.T, file string) {
		terms := chicago(t)
		all, err := terms.Read(strings.NewReader(file), "b.csv")
		for _, b := range all {
			if err != nil || !b.Interval.Valid() || b.Interval.End > terms.Now || b.Reference == "" || b.Amount.Currency != "USD" {
				t.Fatalf("bad bill %+v, %v", b, err)
			}
		}
	})
}
