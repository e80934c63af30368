package market_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/market"
)

const quarter = 15 * domain.Minute

var noon = must(domain.ParseInstant("2026-10-01T12:00:00Z"))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func dec(s string) domain.Decimal { return domain.MustDecimal(s) }

// config is a feed of the power prices at hb_south, a quarter of an hour each.
func config(url string) market.Config {
	return market.Config{
		Name: "ercot", Every: 5 * domain.Minute,
		URL:  url + "/prices?start={start}&end={end}&key=hunter2",
		Node: "hb_south", Currency: "USD", Step: quarter,
		Lookback: domain.Hour, Lookahead: domain.Hour,
		Client: http.DefaultClient, Now: func() domain.Instant { return noon + 1 },
		Logger: slog.New(slog.DiscardHandler),
	}
}

// feed returns a feed of the fake's prices.
func feed(t *testing.T, prices func(domain.Interval) ([]fake.Price, error), change ...func(*market.Config)) *market.Feed {
	t.Helper()
	server, err := fake.ServePowerPrices("hb_south", "USD", quarter, prices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c := config(server.URL())
	for _, f := range change {
		f(&c)
	}
	f, err := market.NewPowerFeed(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// says returns a callback that answers with one body.
func says(body string) func(domain.Interval) ([]fake.Price, error) {
	return func(domain.Interval) ([]fake.Price, error) {
		return nil, &fake.HTTPOutage{Status: http.StatusOK, Body: body}
	}
}

func TestPollDeliversEachRunOfPricesAsOneFact(t *testing.T) {
	var asked domain.Interval
	f := feed(t, func(iv domain.Interval) ([]fake.Price, error) {
		asked = iv
		return []fake.Price{
			{Start: noon, Price: dec("41.27")},
			{Start: noon.Add(quarter), Price: dec("-3.50"), Number: true},
			{Start: noon.Add(3 * quarter), Price: dec("0"), Number: true}, // nothing for a quarter of an hour
			{Start: noon.Add(4 * quarter), Price: dec("9"), Revised: true},
		}, nil
	})
	got, err := f.Poll(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if want := (domain.Interval{Start: noon.Add(-domain.Hour), End: noon.Add(domain.Hour)}); asked != want {
		t.Errorf("feed was asked for %s, want %s", asked, want)
	}
	want := ingest.Facts{
		domain.PowerPriced{Node: "hb_south", Currency: "USD", Series: domain.PriceSeries{Start: noon, Step: quarter, Prices: []domain.Decimal{dec("41.27"), dec("-3.5")}}},
		domain.PowerPriced{Node: "hb_south", Currency: "USD", Series: domain.PriceSeries{Start: noon.Add(3 * quarter), Step: quarter, Prices: []domain.Decimal{dec("0")}}},
	}
	if diff := cmp.Diff(want, got.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if got.Source != "ercot" || got.Decoder != market.PowerDecoder || got.Observed != noon+1 || got.Corrects || len(got.Rejected) > 0 {
		t.Errorf("got delivery %+v", got)
	}
	again, rejected := f.Decode(got.Raw)
	if diff := cmp.Diff(got.Facts, again); diff != "" || len(rejected) > 0 {
		t.Errorf("decoding the evidence again gives other facts (-poll +again), and rejects %v:\n%s", rejected, diff)
	}
}

func TestWindowHoldsWholeIntervalsOnly(t *testing.T) {
	at := noon.Add(7 * domain.Minute)
	for _, row := range []struct {
		name                string
		lookback, lookahead domain.Duration
		start, end          domain.Duration // after noon
	}{
		{"without looking ahead only what is over is asked for", domain.Hour, 0, -45 * domain.Minute, 0},
		{"looking ahead by a step reaches over the boundary", 0, quarter, quarter, quarter},
		{"looking both ways", 7 * domain.Minute, 30 * domain.Minute, 0, 30 * domain.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			var asked []domain.Interval
			f := feed(t, func(iv domain.Interval) ([]fake.Price, error) { asked = append(asked, iv); return nil, nil },
				func(c *market.Config) { c.Lookback, c.Lookahead = row.lookback, row.lookahead })
			if _, err := f.Poll(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			var want []domain.Interval
			if row.start < row.end {
				want = []domain.Interval{{Start: noon.Add(row.start), End: noon.Add(row.end)}}
			}
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRepliesThatMakeNoSenseAreRejectedWithTheirBytes(t *testing.T) {
	const head = `{"node":"hb_south","currency":"USD","unit":"MWh","step":"15m","prices":[`
	for _, row := range []struct{ name, body, want string }{
		{"a web page", "\n<html>please log in</html>", "web page"},
		{"nothing", "", "not a price list"},
		{"an error in place of prices", `{"error":"maintenance"}`, `step`},
		{"no list", `{"node":"hb_south","currency":"USD","unit":"MWh","step":"15m"}`, "no list of prices"},
		{"something after the list", head + `]} {}`, "goes on"},
		{"another node", strings.Replace(head, "hb_south", "hb_north", 1) + `]}`, `node "hb_north", want "hb_south"`},
		{"another currency", strings.Replace(head, "USD", "EUR", 1) + `]}`, `currency "EUR", want "USD"`},
		{"another unit", strings.Replace(head, "MWh", "kWh", 1) + `]}`, `per "kWh", want "MWh"`},
		{"another step", strings.Replace(head, "15m", "1h", 1) + `]}`, "step of 1h0m0s, want 15m0s"},
		{"a start that is no time", head + `{"start":"now","price":"1"}]}`, "price 1: start"},
		{"a start off the grid", head + `{"start":"2026-10-01T12:01:00Z","price":"1"}]}`, "not a multiple"},
		{"a start twice", head + `{"start":"2026-10-01T12:00:00Z","price":"1"},{"start":"2026-10-01T07:00:00-05:00","price":"2"}]}`, "price 2: start 2026-10-01T12:00:00Z is there twice"},
		{"starts out of order", head + `{"start":"2026-10-01T12:15:00Z","price":"1"},{"start":"2026-10-01T12:00:00Z","price":"2"}]}`, "comes after"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := feed(t, says(row.body)).Poll(t.Context(), noon)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Facts) > 0 || len(got.Rejected) != 1 || !strings.Contains(got.Rejected[0].Reason, row.want) {
				t.Errorf("got facts %v and rejections %q, want one with %q", got.Facts, got.Rejected, row.want)
			}
			if string(got.Raw) != row.body {
				t.Errorf("got evidence %q, want %q", got.Raw, row.body)
			}
		})
	}
}

func TestPriceThatCannotBeReadIsRejectedAlone(t *testing.T) {
	for _, row := range []struct{ name, price, want string }{
		{"an exponent", `1e5`, "written with an exponent"},
		{"an exponent in a string", `"1.5E2"`, "written with an exponent"},
		{"not a number", `"NaN"`, "not a plain decimal"},
		{"a thousands separator", `"1,000"`, "not a plain decimal"},
		{"a list", `[1]`, "not a plain decimal"},
		{"an empty string", `""`, "not a plain decimal"},
		{"null is unknown, as nothing is", `null`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := `{"node":"hb_south","currency":"USD","unit":"MWh","step":"15m","prices":[
				{"start":"2026-10-01T12:00:00Z","price":"1"},
				{"start":"2026-10-01T12:15:00Z","price":` + row.price + `},
				{"start":"2026-10-01T12:30:00Z","price":3}]}`
			got, err := feed(t, says(body)).Poll(t.Context(), noon)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Facts) != 2 {
				t.Errorf("got %d series, want the two beside the bad price", len(got.Facts))
			}
			switch {
			case row.want == "" && len(got.Rejected) > 0:
				t.Errorf("got rejections %q, want none", got.Rejected)
			case row.want != "" && (len(got.Rejected) != 1 || !strings.Contains(got.Rejected[0].Reason, "2026-10-01T12:15:00Z") || !strings.Contains(got.Rejected[0].Reason, row.want)):
				t.Errorf("got rejections %q, want one with %q", got.Rejected, row.want)
			}
		})
	}
}

func TestEntryWithoutPriceIsRejected(t *testing.T) {
	got, err := feed(t, says(`{"node":"hb_south","currency":"USD","unit":"MWh","step":"15m","prices":[{"start":"2026-10-01T12:00:00Z"}]}`)).Poll(t.Context(), noon)
	if err != nil || len(got.Facts) > 0 || len(got.Rejected) != 1 {
		t.Errorf("got %+v, %v; want one rejection", got, err)
	}
}

func TestOutagesAreErrorsThatShowNoKey(t *testing.T) {
	for _, row := range []struct {
		name   string
		outage fake.HTTPOutage
		want   string
	}{
		{"the server is down", fake.HTTPOutage{}, "status 503"},
		{"too many requests", fake.HTTPOutage{Status: 429, Header: http.Header{"Retry-After": {"120"}}}, `status 429 Too Many Requests, retry after "120"`},
		{"a redirect to elsewhere", fake.HTTPOutage{Status: 302, Header: http.Header{"Location": {"http://127.0.0.1:1/login"}}}, "status 302"},
		{"no answer", fake.HTTPOutage{Hang: true}, "deadline"},
		{"a reply without end", fake.HTTPOutage{Status: 200, Body: strings.Repeat(" ", 16<<20+1)}, "more than"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			if row.outage.Hang {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			f := feed(t, func(domain.Interval) ([]fake.Price, error) { return nil, &row.outage })
			got, err := f.Poll(ctx, noon)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("got %+v and error %v, want one with %q and without the key", got, err, row.want)
			}
			if row.outage.Hang && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v does not wrap the deadline", err)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		f, err := market.NewPowerFeed(config("http://127.0.0.1:1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Poll(t.Context(), noon); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got error %v, want one without the key", err)
		}
	})
}

func TestHeaderIsSent(t *testing.T) {
	var got string
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("Authorization")
		return nil, errors.New("no network")
	})}
	c := config("https://prices.example")
	c.Client, c.Header = client, http.Header{"authorization": {"Bearer x"}}
	f, err := market.NewPowerFeed(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Poll(t.Context(), noon); err == nil {
		t.Error("got no error from a client without a network")
	}
	if got != "Bearer x" {
		t.Errorf("got header %q, want %q", got, "Bearer x")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// evidence keeps nothing.
type evidence struct{}

func (evidence) Put(_ context.Context, blobs ...[]byte) ([]domain.Digest, func() error, error) {
	digests := make([]domain.Digest, len(blobs))
	for i, b := range blobs {
		digests[i] = domain.DigestOf(b)
	}
	return digests, func() error { return nil }, nil
}

func TestRevisedPriceCountsAndAnUnmarkedChangeIsAConflict(t *testing.T) {
	prices := []fake.Price{{Start: noon, Price: dec("40")}, {Start: noon.Add(quarter), Price: dec("41")}}
	list := func(domain.Interval) ([]fake.Price, error) { return prices, nil }
	site := ingest.Collector{
		Site: "west", Timeout: time.Minute, Now: func() domain.Instant { return noon }, Logger: slog.New(slog.DiscardHandler),
		Sources: []ingest.Source{
			feed(t, list),
			feed(t, list, func(c *market.Config) { c.Name, c.Revised = "ercot-revised", true }),
		},
	}
	log := eventlog.NewMem(func() domain.Instant { return noon })
	door, err := ingest.OpenDoor(t.Context(), log, evidence{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	record := func(at domain.Instant) ingest.Report {
		t.Helper()
		round, err := site.Collect(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		report, err := door.Record(t.Context(), round)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if r := record(noon); r.Facts != 1 || r.Conflicts != 0 || r.Rejected != 0 {
		t.Errorf("first round: %+v, want one fact", r)
	}
	prices = []fake.Price{{Start: noon, Price: dec("39"), Revised: true}, {Start: noon.Add(quarter), Price: dec("77")}}
	if r := record(noon.Add(5 * domain.Minute)); r.Facts != 1 || r.Conflicts != 1 || r.Rejected != 0 {
		t.Errorf("second round: %+v, want one fact and one conflict", r)
	}
	var got []domain.PowerPriced
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := must(wire.Open(r)).Event.(domain.PowerPriced); ok {
			e.Origin = domain.Origin{}
			got = append(got, e)
		}
	}
	want := []domain.PowerPriced{
		{Node: "hb_south", Currency: "USD", Series: domain.PriceSeries{Start: noon, Step: quarter, Prices: []domain.Decimal{dec("40"), dec("41")}}},
		{Node: "hb_south", Currency: "USD", Series: domain.PriceSeries{Start: noon, Step: quarter, Prices: []domain.Decimal{dec("39")}}, Corrects: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prices on record (-want +got):\n%s", diff)
	}
}

func bitcoinConfig(url string) market.Config {
	c := config(url)
	c.Name, c.Node, c.Step, c.Lookahead = "btc", "", domain.Hour, 0
	return c
}

func TestBitcoinPrices(t *testing.T) {
	server, err := fake.ServeBitcoinPrices("USD", domain.Hour, func(iv domain.Interval) ([]fake.Price, error) {
		return []fake.Price{{Start: iv.Start, Price: dec("67001.5")}, {Start: iv.Start.Add(domain.Hour), Price: dec("-1")}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	f, err := market.NewBitcoinFeed(bitcoinConfig(server.URL()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Poll(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := ingest.Facts{domain.BitcoinPriced{Currency: "USD", Series: domain.PriceSeries{Start: noon.Add(-domain.Hour), Step: domain.Hour, Prices: []domain.Decimal{dec("67001.5")}}}}
	if diff := cmp.Diff(want, got.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if got.Decoder != market.BitcoinDecoder || len(got.Rejected) != 1 || !strings.Contains(got.Rejected[0].Reason, "not positive") {
		t.Errorf("got decoder %q and rejections %v, want the negative price rejected", got.Decoder, got.Rejected)
	}
}

func TestFeedThatCannotWorkIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*market.Config)
		want   string
	}{
		{"no name", func(c *market.Config) { c.Name = "" }, "name is empty"},
		{"no node", func(c *market.Config) { c.Node = "" }, "node is empty"},
		{"unknown currency", func(c *market.Config) { c.Currency = "usd" }, "ISO 4217"},
		{"no scheme", func(c *market.Config) { c.URL = "prices.example/list" }, "https://host/path"},
		{"url that does not parse", func(c *market.Config) { c.URL = "http://a b?key=hunter2" }, "does not parse"},
		{"no step", func(c *market.Config) { c.Step = 0 }, "step"},
		{"never polled", func(c *market.Config) { c.Every = 0 }, "polling interval"},
		{"a window below a step", func(c *market.Config) { c.Lookback, c.Lookahead = domain.Minute, 0 }, "do not span"},
		{"no client", func(c *market.Config) { c.Client = nil }, "required"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := config("http://127.0.0.1:1")
			row.change(&c)
			if _, err := market.NewPowerFeed(c); err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
	c := bitcoinConfig("http://127.0.0.1:1")
	c.Node = "hb_south"
	if _, err := market.NewBitcoinFeed(c); err == nil || !strings.Contains(err.Error(), "no node") {
		t.Errorf("bitcoin feed with a node: got error %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"node":"hb_south","currency":"USD","unit":"MWh","step":"15m","prices":[{"start":"2026-10-01T00:00:00Z","price":"41.27"},{"start":"2026-10-01T00:15:00Z","price":-3.5},{"start":"2026-10-01T00:45:00+00:00","price":0,"revised":true}]}`))
	f.Add([]byte(`{"currency":"USD","step":"15m","prices":[{"start":"2026-10-01T00:00:00Z","price":"41.27"}]}`))
	power, err := market.NewPowerFeed(config("http://127.0.0.1:1"))
	if err != nil {
		f.Fatal(err)
	}
	c := bitcoinConfig("http://127.0.0.1:1")
	c.Step = quarter
	bitcoin, err := market.NewBitcoinFeed(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, feed := range []*market.Feed{power, bitcoin} {
			facts, _ := feed.Decode(raw)
			checkSeries(t, facts)
		}
	})
}

// checkSeries fails unless the facts are valid series that do not overlap and
// that the book can hold.
func checkSeries[E domain.Event](t *testing.T, facts []E) {
	t.Helper()
	var end domain.Instant
	for i, e := range facts {
		var s domain.PriceSeries
		switch e := domain.Event(e).(type) {
		case domain.PowerPriced:
			s = e.Series
		case domain.BitcoinPriced:
			s = e.Series
		}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		if i > 0 && s.Start < end {
			t.Fatalf("series %d starts at %s, before %s", i, s.Start, end)
		}
		end = s.Interval().End
		name, payload, err := wire.Encode(e)
		if err != nil || len(payload) > eventlog.MaxEventBytes {
			t.Fatalf("series %d is encoded in %d bytes: %v", i, len(payload), err)
		}
		again, err := wire.Decode(name, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, p, err := wire.Encode(again); err != nil || !bytes.Equal(p, payload) {
			t.Fatalf("series %d does not come back from its bytes: %v", i, err)
		}
	}
}
