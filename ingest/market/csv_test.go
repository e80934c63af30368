package market_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/ingest/market"
)

// central is UTC−6 all year.
var central = time.FixedZone("UTC-6", -6*3600)

func options() market.CSV {
	return market.CSV{
		TimeColumn: "interval_start", PriceColumn: "price",
		Node: "hb_south", Currency: "USD", Step: quarter, Location: central,
	}
}

func TestReadPowerPricesJoinsConsecutiveIntervals(t *testing.T) {
	o := options()
	o.AllowGaps, o.Corrects = true, true
	got, err := market.ReadPowerPrices(strings.NewReader("\ufeffinterval_start, load ,price\n"+
		"2026-10-01 06:00:00,7,24.57\n"+
		"2026-10-01T06:15,7, -0.10\n"+
		"2026-10-01 12:30:00+00:00,7,\n"+ // unknown
		"2026-10-01T12:45:00Z,7,3\n"), "prices.csv", o)
	if err != nil {
		t.Fatal(err)
	}
	want := []domain.PowerPriced{
		{Node: "hb_south", Currency: "USD", Corrects: true, Series: domain.PriceSeries{Start: noon, Step: quarter, Prices: []domain.Decimal{dec("24.57"), dec("-0.1")}}},
		{Node: "hb_south", Currency: "USD", Corrects: true, Series: domain.PriceSeries{Start: noon.Add(3 * quarter), Step: quarter, Prices: []domain.Decimal{dec("3")}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
}

func TestReadBitcoinPrices(t *testing.T) {
	o := market.CSV{TimeColumn: "time", PriceColumn: "close", Currency: "EUR", Step: domain.Hour}
	got, err := market.ReadBitcoinPrices(strings.NewReader("time,close\n2026-10-01T12:00:00Z,61000.25\n2026-10-01T15:00:00+02:00,61001\n"), "btc.csv", o)
	want := []domain.BitcoinPriced{{Currency: "EUR", Series: domain.PriceSeries{Start: noon, Step: domain.Hour, Prices: []domain.Decimal{dec("61000.25"), dec("61001")}}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, prices (-want +got):\n%s", err, diff)
	}
	if _, err := market.ReadBitcoinPrices(strings.NewReader("time,close\n2026-10-01T12:00:00Z,0\n"), "btc.csv", o); err == nil || err.Error() != "btc.csv:2:22: column close: price 0 of a bitcoin is not positive" {
		t.Errorf("price of zero: got error %v", err)
	}
}

func TestErrorsOfPriceFilesNameTheLineAndTheFix(t *testing.T) {
	const head = "interval_start,price\n2026-10-01 06:00:00,1\n"
	for _, row := range []struct{ name, file, want string }{
		{"an exponent", head + "2026-10-01 06:15:00,1e5\n", `prices.csv:3:21: column price: "1e5" is written with an exponent; write it out as a plain decimal`},
		{"not a number", head + "2026-10-01 06:15:00,NaN\n", `prices.csv:3:21: column price: "NaN" is not a plain decimal number`},
		{"a gap", head + "2026-10-01 07:00:00,1\n", `prices.csv:3:1: gap of 45m before line 3: there are no prices from 2026-10-01T12:15:00Z to 2026-10-01T13:00:00Z; fill it or pass --allow-gaps`},
		{"a long gap", head + "2026-10-01 12:15:00,1\n", `prices.csv:3:1: gap of 6h before line 3: there are no prices from 2026-10-01T12:15:00Z to 2026-10-01T18:15:00Z; fill it or pass --allow-gaps`},
		{"an empty price", head + "2026-10-01 06:15:00,\n", `prices.csv:3:21: price of 2026-10-01T12:15:00Z is empty; fill it or pass --allow-gaps`},
		{"a repeated time", head + "2026-10-01 06:00:00,1\n", `prices.csv:3:1: time 2026-10-01T12:00:00Z is that of line 2 again; remove one of the two`},
		{"a time out of order", head + "2026-10-01 05:45:00,1\n", `prices.csv:3:1: time 2026-10-01T11:45:00Z is before that of line 2, 2026-10-01T12:00:00Z; sort the file by time`},
		{"a time off the grid", head + "2026-10-01 06:20:00,1\n", `prices.csv:3:1: time 2026-10-01T12:20:00Z is not a multiple of the step 15m`},
		{"a time that is none", head + "1 Oct,1\n", `prices.csv:3:1: "1 Oct" is not a time such as 2026-10-14T17:35:00Z`},
		{"a price that is a time", head + "2026-10-01 06:15:00,1790812800\n", `prices.csv:3:21: column price: 1790812800 is beyond any price, 1000000000; is it that of another column?`},
		{"two bad lines, and a good one", head + "2026-10-01 06:15:00,x\n2026-10-01 06:30:00,2\n2026-10-01 06:45:00,y\n", "2 bad lines:\n  prices.csv:3:21: column price: \"x\" is not a plain decimal number\n  prices.csv:5:21: column price: \"y\" is not a plain decimal number"},
		{"hours read as quarters", head + "2026-10-01 07:00:00,1\n2026-10-01 08:00:00,1\n2026-10-01 09:00:00,1\n", "prices.csv: lines are 1h apart and the step is 15m; pass --step 1h"},
		{"minutes read as quarters", head + "2026-10-01 06:05:00,1\n2026-10-01 06:10:00,1\n2026-10-01 06:15:00,1\n", "prices.csv: lines are 5m apart and the step is 15m; pass --step 5m"},
		{"too few fields", head + "2026-10-01 06:15:00\n", `prices.csv:3: wrong number of fields`},
		{"an open quote", head + "\"2026,1\n", `prices.csv:3: extraneous or missing " in quoted-field`},
		{"no such column", "time,price\n", `prices.csv:1: there is no column "interval_start"; the file has ["time" "price"]`},
		{"a column twice", "interval_start,price,price\n", `prices.csv:1: column "price" is there twice`},
		{"an empty file", "", `prices.csv:1: line of column names: EOF`},
		{"no lines", "interval_start,price\n", `prices.csv: file has no prices`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := market.ReadPowerPrices(strings.NewReader(row.file), "prices.csv", options())
			if err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
	for _, row := range []struct {
		name   string
		change func(*market.CSV)
		want   string
	}{
		{"a local time without a zone", func(o *market.CSV) { o.Location = nil }, `prices.csv:2:1: time "2026-10-01T06:00:00" has no offset; pass the zone of the file`},
		{"a time that is to come", func(o *market.CSV) { o.Until = noon.Add(-domain.Minute) }, `prices.csv:2:1: time 2026-10-01T12:00:00Z is later than 2026-10-01T11:59:00Z, up to which a price can be known; correct the date or the zone`},
		{"no node", func(o *market.CSV) { o.Node = "" }, "prices.csv: node is empty"},
		{"no currency", func(o *market.CSV) { o.Currency = "" }, `prices.csv: currency "" is not known; use an ISO 4217 code such as USD`},
		{"no step", func(o *market.CSV) { o.Step = 0 }, "prices.csv: step 0s is not positive"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := options()
			row.change(&o)
			_, err := market.ReadPowerPrices(strings.NewReader(head), "prices.csv", o)
			if err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

// Clocks in Chicago went from 02:00 to 03:00 on 2024-03-10, at 08:00 UTC, and
// from 02:00 back to 01:00 on 2024-11-03, at 07:00 UTC.
func TestLocalTimesThroughAChangeOfClocks(t *testing.T) {
	chicago, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Skipf("no zone data: %v", err)
	}
	o := options()
	o.Location, o.Step = chicago, 30*domain.Minute
	read := func(times ...string) ([]domain.PowerPriced, error) {
		file := "interval_start,price\n"
		for _, at := range times {
			file += at + ",1\n"
		}
		return market.ReadPowerPrices(strings.NewReader(file), "p.csv", o)
	}
	for _, row := range []struct {
		name  string
		times []string
		start string
	}{
		{"an hour is left out in spring", []string{"2024-03-10 01:30", "2024-03-10 03:00"}, "2024-03-10T07:30:00Z"},
		{"an hour comes twice in autumn", []string{"2024-11-03 00:30", "2024-11-03 01:00", "2024-11-03 01:30", "2024-11-03 01:00", "2024-11-03 01:30", "2024-11-03 02:00"}, "2024-11-03T05:30:00Z"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := read(row.times...)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Series.Start.String() != row.start || len(got[0].Series.Prices) != len(row.times) {
				t.Errorf("got %v, want one series of %d prices from %s", got, len(row.times), row.start)
			}
		})
	}
	for _, row := range []struct {
		name  string
		times []string
		want  string
	}{
		{"a time that was left out", []string{"2024-03-10 02:30"}, "does not exist in America/Chicago"},
		{"a time that came twice, with nothing before it", []string{"2024-11-03 01:30"}, "occurs twice in America/Chicago"},
		{"an hour that should be there twice", []string{"2024-11-03 01:00-05:00", "2024-11-03 01:30", "2024-11-03 02:00"}, "gap of 1h before line 4"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := read(row.times...); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
}

// Every instant is shown by a clock, and comes back from what it shows as long
// as the file goes on without a gap.
func TestLocalTimesComeBack(t *testing.T) {
	var zones []*time.Location
	for _, name := range []string{"UTC", "America/Chicago", "Australia/Lord_Howe", "Europe/London", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Skipf("no zone data: %v", err)
		}
		zones = append(zones, zone)
	}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		start := domain.Unix(rapid.Int64Range(1_300_000_000/1800, 1_900_000_000/1800).Draw(t, "half hours") * 1800)
		var file strings.Builder
		n := rapid.IntRange(1, 100).Draw(t, "rows")
		fmt.Fprintf(&file, "interval_start,price\n%s,0\n", start)
		for i := 1; i <= n; i++ {
			fmt.Fprintf(&file, "%s,%d\n", start.Add(30*domain.Minute*domain.Duration(i)).Time().In(zone).Format("2006-01-02 15:04:05"), i)
		}
		o := options()
		o.Location, o.Step = zone, 30*domain.Minute
		got, err := market.ReadPowerPrices(strings.NewReader(file.String()), "p.csv", o)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Series.Start != start || len(got[0].Series.Prices) != n+1 {
			t.Fatalf("got %v, want one series of %d prices from %s", got, n+1, start)
		}
	})
}

func TestLongFileIsSplitIntoSeriesThatTheBookHolds(t *testing.T) {
	var file strings.Builder
	file.WriteString("interval_start,price\n")
	price := "0." + strings.Repeat("7", domain.DecimalDigits-1)
	const rows = 20_000
	for i := range rows {
		fmt.Fprintf(&file, "%s,%s\n", noon.Add(quarter*domain.Duration(i)), price)
	}
	got, err := market.ReadPowerPrices(strings.NewReader(file.String()), "p.csv", options())
	if err != nil {
		t.Fatal(err)
	}
	checkSeries(t, got)
	n := 0
	for _, p := range got {
		n += len(p.Series.Prices)
	}
	if n != rows || len(got) != 3 {
		t.Errorf("got %d prices in %d series, want %d in 3", n, len(got), rows)
	}
}

// fieldData returns the folder of files that others made, and skips the test
// where it is absent.
func fieldData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("WATTBOOK_FIELD_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for root != filepath.Dir(root) {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%s: no field data; set WATTBOOK_FIELD_DATA", t.Name())
	}
	return dir
}

func TestFieldDataERCOT(t *testing.T) {
	const name = "ercot-hb-south-2024-06-to-2024-10.csv"
	file := filepath.Join(fieldData(t), "prices", name)
	for _, row := range []struct{ column, first, last, sum string }{
		{"real_time_usd_per_megawatt_hour", "17.69", "20.09", "400003.18"},
		{"day_ahead_usd_per_megawatt_hour", "24.57", "21.69", "414354.48"},
	} {
		t.Run(row.column, func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			o := options()
			o.PriceColumn = row.column
			got, err := market.ReadPowerPrices(f, name, o)
			if err != nil {
				t.Fatal(err)
			}
			var prices []domain.Decimal
			for i, p := range got {
				prices = append(prices, p.Series.Prices...)
				if i > 0 && got[i-1].Series.Interval().End != p.Series.Start {
					t.Errorf("series %d does not continue the one before", i)
				}
			}
			// 150 days of 96 quarters of an hour.
			if len(prices) != 14_400 || got[0].Series.Start.String() != "2024-06-01T06:00:00Z" {
				t.Fatalf("got %d prices from %s", len(prices), got[0].Series.Start)
			}
			var sum domain.Decimal
			for _, p := range prices {
				sum = sum.Add(p)
			}
			if !sum.Equal(dec(row.sum)) {
				t.Errorf("prices sum to %s, want %s", sum, row.sum)
			}
			if first, last := prices[0].String(), prices[len(prices)-1].String(); first != row.first || last != row.last {
				t.Errorf("got prices from %s to %s, want %s to %s", first, last, row.first, row.last)
			}
		})
	}
}

func FuzzReadPrices(f *testing.F) {
	f.Add("interval_start,price\n2026-10-01 06:00:00,24.57\n2026-10-01 06:15:00,-1\n2026-10-01T13:00:00Z,3\n", true)
	f.Add("price,interval_start\n1,2026-10-01T12:00:00+02:00\n", false)
	f.Fuzz(func(t *testing.T, file string, gaps bool) {
		o := options()
		o.AllowGaps = gaps
		if power, err := market.ReadPowerPrices(strings.NewReader(file), "f.csv", o); err == nil {
			checkSeries(t, power)
			if !gaps && len(power) > 1 && power[0].Series.Interval().End != power[1].Series.Start {
				t.Fatal("a gap was read without being allowed")
			}
		}
		o.Node = ""
		if bitcoin, err := market.ReadBitcoinPrices(strings.NewReader(file), "f.csv", o); err == nil {
			checkSeries(t, bitcoin)
		}
	})
}
