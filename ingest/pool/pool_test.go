package pool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/pool"
)

const secret = "s3cr3t-0000"

var monday = must(domain.ParseInstant("2026-10-05T00:00:00Z"))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// at returns a clock that stands.
func at(t domain.Instant) func() domain.Instant { return func() domain.Instant { return t } }

func config(url string, now domain.Instant) pool.FoundryConfig {
	return pool.FoundryConfig{
		Name: "foundry", Every: domain.Hour, URL: url, Subaccount: "West 1", Key: secret,
		Pool: "foundry", Account: "west", Lookback: 3,
		Client: http.DefaultClient, Now: at(now), Logger: slog.New(slog.DiscardHandler),
	}
}

// foundry returns a source of the fake's earnings, at noon of the third day.
func foundry(t *testing.T, earnings func(domain.Instant) ([]fake.Earnings, error), change ...func(*pool.FoundryConfig)) *pool.Foundry {
	t.Helper()
	server, err := fake.ServeFoundry(secret, "West 1", earnings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c := config(server.URL(), noon)
	for _, f := range change {
		f(&c)
	}
	s, err := pool.NewFoundry(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var noon = monday.Add(2*domain.Day + 12*domain.Hour)

// day returns earnings whose parts add up.
func day(n int, subsidy domain.Satoshi) fake.Earnings {
	e := fake.Earnings{
		Day: monday.Add(domain.Day * domain.Duration(n)), Subsidy: subsidy, Fees: subsidy / 70, PoolFee: subsidy / 50,
		Hashrate: domain.Int(1_234_567_890_123_456),
	}
	e.Net = e.Subsidy + e.Fees - e.PoolFee
	return e
}

func statement(e fake.Earnings, complete bool) domain.PoolStatementReceived {
	return domain.PoolStatementReceived{
		Pool: "foundry", Account: "west", Interval: domain.Interval{Start: e.Day, End: e.Day.Add(domain.Day)},
		Subsidy: e.Subsidy, Fees: e.Fees, PoolFee: e.PoolFee, Net: e.Net, Other: e.Net - e.Subsidy - e.Fees + e.PoolFee,
		Hashrate: e.Hashrate, Complete: complete, Credits: 1,
	}
}

func TestStatementsInEveryFormThatThePoolWrites(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*fake.Earnings)
	}{
		{"amounts as JSON numbers", func(*fake.Earnings) {}},
		{"amounts as strings", func(e *fake.Earnings) { e.Strings = true }},
		{"the fee under its old name", func(e *fake.Earnings) { e.OldName = true }},
		{"a bonus beside the work", func(e *fake.Earnings) { e.Net += 777 }},
		{"a day without work", func(e *fake.Earnings) { *e = fake.Earnings{Day: e.Day} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			days := []fake.Earnings{day(0, 12_345_678), day(1, 4_321), day(2, 1)} // 4.321E-5 and 1.0E-8 BTC
			row.change(&days[1])
			var asked domain.Instant
			s := foundry(t, func(from domain.Instant) ([]fake.Earnings, error) { asked = from; return days, nil })
			d, err := s.Poll(t.Context(), noon)
			if err != nil {
				t.Fatal(err)
			}
			want := ingest.Facts{statement(days[0], true), statement(days[1], true), statement(days[2], false)}
			if diff := cmp.Diff(want, d.Facts); diff != "" || len(d.Rejected) > 0 {
				t.Errorf("rejected %v, facts (-want +got):\n%s", d.Rejected, diff)
			}
			if want := monday.Add(-domain.Day); asked != want {
				t.Errorf("pool was asked from %s on, want %s", asked, want)
			}
			if d.Decoder != pool.FoundryDecoder || d.Observed != noon || len(d.Raw) == 0 || d.Corrects {
				t.Errorf("got delivery %+v", d)
			}
			again, _ := pool.DecodeFoundry(d.Raw, "foundry", "west", d.Observed)
			if diff := cmp.Diff(d.Facts, again); diff != "" {
				t.Errorf("decoding the evidence again gives other facts (-poll +again):\n%s", diff)
			}
		})
	}
}

func TestLaterReplyOfThePoolIsItsCorrection(t *testing.T) {
	days := []fake.Earnings{day(0, 1_000_000), day(1, 2_000_000)}
	s := foundry(t, func(domain.Instant) ([]fake.Earnings, error) { return days, nil })
	if d := must(s.Poll(t.Context(), noon)); len(d.Facts) != 2 {
		t.Fatalf("got %d facts, want 2", len(d.Facts))
	}
	days[0] = day(0, 999_000)
	d := must(s.Poll(t.Context(), noon.Add(domain.Hour)))
	if diff := cmp.Diff(domain.Event(statement(days[0], true)), d.Facts[0]); diff != "" {
		t.Errorf("corrected day (-want +got):\n%s", diff)
	}
}

func TestLastDayIsIncompleteUntilAnotherFollowsOrADayHasPassed(t *testing.T) {
	rows := []fake.Earnings{day(0, 10_000_000), day(1, 10_000_000)}
	for _, row := range []struct {
		name string
		now  domain.Duration // after the end of the last day
		want []bool
	}{
		{"before it is over", -domain.Second, []bool{true, false}},
		{"as it is over", 0, []bool{true, false}},
		{"just before a day has passed", domain.Day - 1, []bool{true, false}},
		{"when a day has passed", domain.Day, []bool{true, true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := foundry(t, func(domain.Instant) ([]fake.Earnings, error) { return rows, nil },
				func(c *pool.FoundryConfig) { c.Now = at(monday.Add(2*domain.Day + row.now)) })
			var got []bool
			for _, e := range must(s.Poll(t.Context(), noon)).Facts {
				got = append(got, e.(domain.PoolStatementReceived).Complete)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("complete (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRowThatEndsBeforeItsDayIsIncomplete(t *testing.T) {
	body := reply(`"2026-10-06T00:00:00.000+00:00"`, `"2026-10-05T18:00:00.000+00:00"`)
	facts, rejected := pool.DecodeFoundry([]byte(body), "foundry", "west", monday.Add(30*domain.Day))
	if len(facts) != 1 || len(rejected) > 0 {
		t.Fatalf("got facts %v, rejected %v", facts, rejected)
	}
	want := domain.Interval{Start: monday, End: monday.Add(domain.Day)}
	if s := facts[0].(domain.PoolStatementReceived); s.Complete || s.Interval != want {
		t.Errorf("got %+v, want an incomplete statement of %s", s, want)
	}
}

// reply is a row with a field changed.
func reply(change string, to string) string {
	const row = `{"startTime":"2026-10-05T00:00:00.000+00:00","endTime":"2026-10-06T00:00:00.000+00:00",
		"totalAmount":0.00098,"hashrate":1000,"ppsBaseAmount":0.00099,"txFeeRewardAmount":0.00001,"poolFeeAmount":0.00002}`
	return "[" + strings.Replace(row, change, to, 1) + "]"
}

func TestAmountsAreRoundedToTheSatoshiHalfAwayFromZero(t *testing.T) {
	for _, row := range []struct {
		amount string
		want   domain.Satoshi
	}{
		{`0.00098`, 98_000},
		{`"0.00098000"`, 98_000},
		{`9.8E-4`, 98_000},
		{`9.8e-04`, 98_000},
		{`98E-5`, 98_000},
		{`0.000980004999999999`, 98_000},
		{`0.000980005`, 98_001},
		{`0.00098000500000000001`, 98_001},
		{`-0.000980005`, -98_001},
		{`9.80005E-4`, 98_001},
		{`1.0E-9`, 0},
		{`5.0E-9`, 1},
		{`0.0`, 0},
		{`21000000`, 21_000_000 * domain.Bitcoin},
		{`0.12345678901234567`, 12_345_679}, // what a double prints
	} {
		t.Run(row.amount, func(t *testing.T) {
			facts, rejected := pool.DecodeFoundry([]byte(reply(`"totalAmount":0.00098`, `"totalAmount":`+row.amount)), "foundry", "west", noon)
			if len(facts) != 1 || len(rejected) > 0 {
				t.Fatalf("got facts %v, rejected %v", facts, rejected)
			}
			s := facts[0].(domain.PoolStatementReceived)
			if s.Net != row.want || s.Subsidy+s.Fees-s.PoolFee+s.Other != s.Net {
				t.Errorf("got %+v, want net %d and parts that add up", s, row.want)
			}
		})
	}
}

func TestHashrateIsAWholeNumber(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{`1000`, "1000"},
		{`"1000.5"`, "1001"},
		{`1.2345678901234E15`, "1234567890123400"},
		{`0`, "0"},
		{`79228162514264337593543950336`, "79228162514264337593543950336"},
	} {
		facts, rejected := pool.DecodeFoundry([]byte(reply(`"hashrate":1000`, `"hashrate":`+row.text)), "foundry", "west", noon)
		if len(facts) != 1 || facts[0].(domain.PoolStatementReceived).Hashrate.String() != row.want {
			t.Errorf("hashrate %s: got %v, rejected %v, want %s", row.text, facts, rejected, row.want)
		}
	}
}

func TestRepliesThatMakeNoSenseSayNothing(t *testing.T) {
	for _, row := range []struct{ name, body, want string }{
		{"a web page", "<!DOCTYPE html><html>Log in</html>", "web page"},
		{"nothing", "", "not a list of earnings"},
		{"null", "null", "no list of earnings"},
		{"an error", `{"status":500,"error":"x"}`, "not a list of earnings"},
		{"something after the list", "[] []", "goes on"},
		{"another coin", reply(`{"startTime"`, `{"coin":"LTC","startTime"`), `coin "LTC", want BTC`},
		{"a day twice", strings.Replace(reply("", ""), "]", ",", 1) + reply("", "")[1:], "twice"},
		{"an amount beyond all bitcoin", reply(`0.00098`, `21000000.00000001`), "more than there can be"},
		{"an amount of text", reply(`0.00098`, `"NaN"`), `"NaN" is not a plain decimal`},
		{"an amount of null", reply(`0.00098`, `null`), "totalAmount: there is none"},
		{"an absurd exponent", reply(`0.00098`, `1E99999`), "exponent"},
		{"an exponent that is none", reply(`0.00098`, `"1E"`), "exponent"},
		{"an amount that is a list", reply(`0.00098`, `[1]`), "not a plain decimal"},
		{"no fee", reply(`"poolFeeAmount"`, `"unknown"`), "poolFeeAmount: there is none"},
		{"two fees", reply(`"poolFeeAmount"`, `"feeAmount":0.00003,"poolFeeAmount"`), "differ"},
		{"no hashrate", reply(`"hashrate"`, `"rate"`), "hashrate: there is none"},
		{"a hashrate below zero", reply(`1000`, `-1`), "hashrate: -1 is not between"},
		{"a subsidy below zero", reply(`0.00099`, `-0.00099`), "negative"},
		{"a day that is not one of UTC", reply(`00:00:00.000+00:00","end`, `00:00:00.000+08:00","end`), "not the start of a UTC day"},
		{"two days in one", reply(`2026-10-06T`, `2026-10-07T`), "not in the day"},
		{"a day without end", reply(`"2026-10-06T00:00:00.000+00:00"`, `""`), "endTime"},
		{"a day to come", strings.ReplaceAll(reply("", ""), "2026-10-0", "2027-10-0"), "still to come"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := foundry(t, func(domain.Instant) ([]fake.Earnings, error) {
				return nil, &fake.HTTPOutage{Status: http.StatusOK, Body: row.body}
			})
			d, err := s.Poll(t.Context(), noon)
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Facts) > 0 || len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, row.want) {
				t.Errorf("got facts %v and rejections %q, want one with %q", d.Facts, d.Rejected, row.want)
			}
			if string(d.Raw) != row.body {
				t.Errorf("got evidence %q, want %q", d.Raw, row.body)
			}
		})
	}
}

func TestRowThatCannotBeReadIsRejectedAlone(t *testing.T) {
	body := strings.Replace(reply("", ""), "]", ",", 1) + strings.ReplaceAll(reply(`0.00098`, `"?"`), "2026-10-0", "2026-09-0")[1:]
	facts, rejected := pool.DecodeFoundry([]byte(body), "foundry", "west", noon)
	if len(facts) != 1 || len(rejected) != 1 || !strings.Contains(rejected[0].Reason, `row 2, from "2026-09-05`) {
		t.Errorf("got facts %v, rejected %v", facts, rejected)
	}
}

// leaky is everything a source may say, gathered.
type leaky struct{ bytes.Buffer }

func TestOutagesAreErrorsAndTheKeyNeverShows(t *testing.T) {
	var said leaky
	logger := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, row := range []struct {
		name   string
		outage fake.HTTPOutage
		want   string
	}{
		{"the pool is down", fake.HTTPOutage{Status: 502}, "status 502 Bad Gateway"},
		{"too many requests", fake.HTTPOutage{Status: 429, Header: http.Header{"Retry-After": {"30"}}}, `status 429 Too Many Requests, retry after "30"`},
		{"a refusal that repeats the key", fake.HTTPOutage{Status: 403, Header: http.Header{"Retry-After": {secret}}, Body: "no such key: " + secret}, "status 403"},
		{"a reply that repeats the key", fake.HTTPOutage{Status: 200, Body: `{"key":"` + secret + `"}`}, "repeats the key"},
		{"a redirect to another host", fake.HTTPOutage{Status: 302, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}}, "status 302"},
		{"no answer", fake.HTTPOutage{Hang: true}, "deadline"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			if row.outage.Hang {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			s := foundry(t, func(domain.Instant) ([]fake.Earnings, error) { return nil, &row.outage }, func(c *pool.FoundryConfig) { c.Logger = logger })
			d, err := s.Poll(ctx, noon)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %+v and error %v, want one with %q", d, err, row.want)
			}
			fmt.Fprintf(&said, "%v %+v %v", err, d, errors.Unwrap(err))
		})
	}
	t.Run("a wrong key", func(t *testing.T) {
		s := foundry(t, nil, func(c *pool.FoundryConfig) { c.Key = secret + "x" })
		_, err := s.Poll(t.Context(), noon)
		if err == nil || !strings.Contains(err.Error(), "status 401") {
			t.Errorf("got error %v, want status 401", err)
		}
		fmt.Fprint(&said, err)
	})
	t.Run("no earnings is worth a warning and no statement", func(t *testing.T) {
		s := foundry(t, func(domain.Instant) ([]fake.Earnings, error) { return nil, nil }, func(c *pool.FoundryConfig) { c.Logger = logger })
		d, err := s.Poll(t.Context(), noon)
		if err != nil || len(d.Facts) > 0 || len(d.Rejected) > 0 || string(d.Raw) != "[]" {
			t.Errorf("got %+v, %v; want an empty delivery with its bytes", d, err)
		}
		if !strings.Contains(said.String(), "pool has no earnings") {
			t.Error("got no warning")
		}
	})
	t.Run("a configuration that is printed", func(t *testing.T) {
		c := config("https://pool.example", noon)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&said, verb, c)
			fmt.Fprintf(&said, verb, c.Key)
		}
		logger.Info("starting", "key", c.Key)
		said.Write(must(json.Marshal(c.Key)))
	})
	if strings.Contains(said.String(), secret) || strings.Contains(said.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("the key shows in %q", said.String())
	}
}

func TestFoundrySourceThatCannotWorkIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*pool.FoundryConfig)
		want   string
	}{
		{"no name", func(c *pool.FoundryConfig) { c.Name = "" }, "name is empty"},
		{"no pool", func(c *pool.FoundryConfig) { c.Pool = "" }, "pool is empty"},
		{"an account that is no identifier", func(c *pool.FoundryConfig) { c.Account = "" }, `account "West 1"`},
		{"no key", func(c *pool.FoundryConfig) { c.Key = "" }, "key is empty"},
		{"a key with a line end", func(c *pool.FoundryConfig) { c.Key += "\n" }, "line end"},
		{"a key in the clear", func(c *pool.FoundryConfig) { c.URL = "http://pool.example" }, "use https"},
		{"no scheme", func(c *pool.FoundryConfig) { c.URL = "pool.example" }, "https://host/path"},
		{"no subaccount", func(c *pool.FoundryConfig) { c.Subaccount = "" }, "subaccount is empty"},
		{"never polled", func(c *pool.FoundryConfig) { c.Every = 0 }, "polling interval"},
		{"looking ahead", func(c *pool.FoundryConfig) { c.Lookback = -1 }, "lookback"},
		{"no client", func(c *pool.FoundryConfig) { c.Client = nil }, "required"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := config("https://pool.example", noon)
			row.change(&c)
			_, err := pool.NewFoundry(c)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
	c := config("", noon)
	if _, err := pool.NewFoundry(c); err != nil {
		t.Errorf("the pool's own address: got error %v", err)
	}
}

// Whatever the amounts, they arrive to the satoshi in each form.
func TestAmountsArriveExactly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		amount := rapid.Int64Range(0, 1e12)
		e := fake.Earnings{
			Day: monday, Subsidy: domain.Satoshi(amount.Draw(rt, "subsidy")), Fees: domain.Satoshi(amount.Draw(rt, "fees")),
			PoolFee: domain.Satoshi(amount.Draw(rt, "pool fee") - 1e11), Net: domain.Satoshi(amount.Draw(rt, "net") - 1e11),
			Hashrate: domain.Int(amount.Draw(rt, "hashrate")), Strings: rapid.Bool().Draw(rt, "strings"),
		}
		server, err := fake.ServeFoundry(secret, "West 1", func(domain.Instant) ([]fake.Earnings, error) { return []fake.Earnings{e}, nil })
		if err != nil {
			rt.Fatal(err)
		}
		defer server.Close()
		s, err := pool.NewFoundry(config(server.URL(), noon.Add(domain.Day)))
		if err != nil {
			rt.Fatal(err)
		}
		d, err := s.Poll(t.Context(), noon)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(ingest.Facts{statement(e, true)}, d.Facts); diff != "" {
			rt.Fatalf("rejected %v, facts (-want +got):\n%s", d.Rejected, diff)
		}
	})
}

func FuzzDecodeFoundry(f *testing.F) {
	f.Add([]byte(reply("", "")))
	f.Add([]byte(reply("0.00098", "9.8E-4")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		facts, _ := pool.DecodeFoundry(raw, "foundry", "west", noon)
		for i, e := range facts {
			s := e.(domain.PoolStatementReceived)
			if s.Net != s.Subsidy+s.Fees-s.PoolFee+s.Other || s.Subsidy < 0 || s.Fees < 0 || s.Hashrate.Sign() < 0 {
				t.Fatalf("bad statement %+v", s)
			}
			if s.Interval.Length() != domain.Day || s.Complete && s.Interval.End > noon {
				t.Fatalf("bad period in %+v", s)
			}
			if i > 0 && s.Interval.Start < facts[i-1].(domain.PoolStatementReceived).Interval.End {
				t.Fatal("statements overlap")
			}
		}
	})
}
