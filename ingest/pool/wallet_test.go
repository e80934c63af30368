package pool_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/pool"
)

// Addresses of the examples in BIP 173 and of the first block.
const (
	west   = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	east   = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
	office = "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3"
)

var payees = []pool.Payee{
	{Address: west, Pool: "foundry", Account: "west"},
	{Address: east, Pool: "braiins", Account: "east"},
}

// tx returns an id.
func tx(n int) string { return fmt.Sprintf("%064x", n) }

func payout(p pool.Payee, n int, at domain.Instant, amount domain.Satoshi) domain.PayoutReceived {
	return domain.PayoutReceived{Pool: p.Pool, Account: p.Account, Transaction: tx(n), Address: p.Address, At: at, Amount: amount}
}

func walletConfig(url string) pool.WalletConfig {
	return pool.WalletConfig{
		Name: "treasury", Every: domain.Hour, URL: url + "/export.csv?start={start}&end={end}", Lookback: 7 * domain.Day, Key: "Bearer " + secret,
		Payees: payees, Client: http.DefaultClient, Now: at(noon), Logger: slog.New(slog.DiscardHandler),
	}
}

func wallet(t *testing.T, receipts func(domain.Interval) ([]fake.Receipt, error), change ...func(*pool.WalletConfig)) *pool.Wallet {
	t.Helper()
	server, err := fake.ServeWallet(receipts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c := walletConfig(server.URL())
	for _, f := range change {
		f(&c)
	}
	w, err := pool.NewWallet(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWalletDeliversWhatArrivedForAccounts(t *testing.T) {
	var said leaky
	var asked domain.Interval
	w := wallet(t, func(iv domain.Interval) ([]fake.Receipt, error) {
		asked = iv
		return []fake.Receipt{
			{At: monday, Transaction: tx(1), Address: strings.ToUpper(west), Amount: 98_001},
			{At: monday, Transaction: tx(1), Output: 1, Address: east, Amount: 5},
			{At: monday, Transaction: tx(1), Output: 2, Address: office, Amount: 7},
			{At: monday.Add(domain.Hour), Transaction: strings.ToUpper(tx(0xab)), Address: west, Amount: 21 * domain.Bitcoin},
			{At: monday, Transaction: tx(1), Output: 3, Address: west, Amount: 2},
			{At: monday, Transaction: tx(1), Output: 4, Address: west, Amount: 3},
		}, nil
	}, func(c *pool.WalletConfig) { c.Logger = slog.New(slog.NewTextHandler(&said, nil)) })
	d, err := w.Poll(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := ingest.Facts{
		payout(payees[0], 1, monday, 98_006), payout(payees[1], 1, monday, 5), payout(payees[0], 0xab, monday.Add(domain.Hour), 21*domain.Bitcoin),
	}
	if diff := cmp.Diff(want, d.Facts); diff != "" || len(d.Rejected) > 0 {
		t.Errorf("rejected %v, facts (-want +got):\n%s", d.Rejected, diff)
	}
	if want := (domain.Interval{Start: noon.Add(-7 * domain.Day), End: noon}); asked != want {
		t.Errorf("wallet was asked for %s, want %s", asked, want)
	}
	if d.Decoder != pool.WalletDecoder || d.Observed != noon || len(d.Raw) == 0 {
		t.Errorf("got delivery %+v", d)
	}
	if !strings.Contains(said.String(), "receipts=1") {
		t.Errorf("log does not count what is left out: %q", said.String())
	}
	again, _, others := pool.DecodeWallet(d.Raw, payees, pool.Columns{})
	if diff := cmp.Diff(d.Facts, again); diff != "" || others != 1 {
		t.Errorf("decoding the evidence again leaves out %d and gives other facts (-poll +again):\n%s", others, diff)
	}
}

func TestWalletErrorsDoNotShowTheQuery(t *testing.T) {
	c := walletConfig("http://127.0.0.1:1")
	c.URL += "&token=hunter2"
	w, err := pool.NewWallet(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Poll(t.Context(), noon); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "http://127.0.0.1:1/export.csv") {
		t.Errorf("got error %v, want one that names the place without the query", err)
	}
}

const header = "time,txid,vout,address,amount_btc\n"

func line(n int, output, address, amount string) string {
	return strings.Join([]string{"2026-10-05T00:00:00Z", tx(n), output, address, amount}, ",") + "\n"
}

// A payout whose lines cannot all be read must not be booked in part: the book
// takes no second value for it.
func TestPayoutWithADoubtfulLineIsLeftOutWhole(t *testing.T) {
	for _, row := range []struct{ name, bad, want string }{
		{"an amount that cannot be read", line(1, "1", west, "1e-8"), "exponent"},
		{"an output that is there twice", line(1, "0", west, "0.5"), "on an earlier line too"},
		{"a line without a number", line(1, "", west, "0.5"), "give the numbers of the outputs"},
		{"another time", strings.Replace(line(1, "1", west, "0.5"), "2026", "2025", 1), "has the time 2025-10-05T00:00:00Z here"},
		{"no time yet", strings.Replace(line(1, "1", west, "0.5"), "2026-10-05T00:00:00Z", "", 1), "not confirmed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := header + line(1, "0", west, "0.5") + row.bad + line(2, "0", west, "0.25")
			w := wallet(t, func(domain.Interval) ([]fake.Receipt, error) { return nil, &fake.HTTPOutage{Status: 200, Body: body} })
			d, err := w.Poll(t.Context(), noon)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ingest.Facts{payout(payees[0], 2, monday, 25_000_000)}, d.Facts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, row.want) || !strings.Contains(d.Rejected[0].Reason, "export:3:") {
				t.Errorf("got rejections %v, want one of line 3 with %q", d.Rejected, row.want)
			}
		})
	}
}

func TestWalletOutagesAreErrorsOrRejections(t *testing.T) {
	answer := func(o fake.HTTPOutage) func(domain.Interval) ([]fake.Receipt, error) {
		return func(domain.Interval) ([]fake.Receipt, error) { return nil, &o }
	}
	if d, err := wallet(t, answer(fake.HTTPOutage{Status: 500})).Poll(t.Context(), noon); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %+v, %v; want an error", d, err)
	}
	d, err := wallet(t, answer(fake.HTTPOutage{Status: 200, Body: "<html>Log in</html>"})).Poll(t.Context(), noon)
	if err != nil || len(d.Rejected) != 1 || len(d.Raw) == 0 || len(d.Facts) > 0 {
		t.Errorf("got %+v, %v; want a rejection with its bytes", d, err)
	}
	d, err = wallet(t, answer(fake.HTTPOutage{Status: 200, Body: header + strings.Repeat(line(1, "0", west, "x"), 50)})).Poll(t.Context(), noon)
	if err != nil || len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, "more than 20 lines") {
		t.Errorf("got %+v, %v; want one rejection", d.Rejected, err)
	}
}

func TestReadPayouts(t *testing.T) {
	got, others, err := pool.ReadPayouts(strings.NewReader("\ufeffConfirmed,Hash, To ,BTC\n"+
		"2026-10-05T02:00:00+02:00,"+tx(1)+", "+west+",0.00098001\n"+
		"2026-10-05T00:00:00Z,"+tx(2)+","+office+",-1\n"+ // nobody's business
		"2026-10-05T00:00:00Z,"+tx(2)+","+east+",1.0000000000\n"),
		"wallet.csv", payees, pool.Columns{Time: "Confirmed", Transaction: "Hash", Address: "To", Amount: "BTC"})
	want := []domain.PayoutReceived{payout(payees[0], 1, monday, 98_001), payout(payees[1], 2, monday, domain.Bitcoin)}
	if diff := cmp.Diff(want, got); err != nil || others != 1 || diff != "" {
		t.Errorf("error %v, %d others, payouts (-want +got):\n%s", err, others, diff)
	}
}

func TestErrorsOfWalletFilesNameTheLineAndTheFix(t *testing.T) {
	for _, row := range []struct{ name, file, want string }{
		{"nothing", "", "w.csv:1: line of column names: EOF"},
		{"no such column", "time,txid,address,value\n", `w.csv:1: there is no column "amount_btc"; the file has ["time" "txid" "address" "value"]`},
		{"a column twice", "time,time,txid,address,amount_btc\n", `w.csv:1: column "time" is there twice`},
		{"a number that is no id", header + strings.Replace(line(1, "0", west, "1"), tx(1), "12", 1), `w.csv:2:22: txid "12" is not 64 hexadecimal digits`},
		{"no time", header + strings.Replace(line(1, "0", west, "1"), "2026-10-05T00:00:00Z", "", 1), "w.csv:2:1: transaction " + tx(1) + " has no time; leave out what is not confirmed"},
		{"a time without offset", header + strings.Replace(line(1, "0", west, "1"), "00Z", "00", 1), `w.csv:2:1: time: "2026-10-05T00:00:00" is not a time such as 2026-10-14T17:35:00Z`},
		{"an exponent", header + line(1, "0", west, "1e-8"), `w.csv:2:132: amount_btc: "1e-8" is written with an exponent; write it out as a plain decimal`},
		{"a part of a satoshi", header + line(1, "0", west, "0.000000015"), "w.csv:2:132: amount_btc 0.000000015 is not a whole number of satoshi"},
		{"nothing received", header + line(1, "0", west, "-0.5"), "w.csv:2:132: amount_btc -0.5 is not above zero; leave out what the wallet sent"},
		{"too much", header + line(1, "0", west, "21000001"), "w.csv:2:132: amount_btc: 21000001 BTC are more than there can be"},
		{"too few fields", header + "1,2\n", "w.csv:2: wrong number of fields"},
		{"two bad lines", header + line(1, "0", west, "x") + line(2, "0", east, "y"), "2 bad lines:\n  " + `w.csv:2:132: amount_btc: "x" is not a plain decimal number` + "\n  " + `w.csv:3:124: amount_btc: "y" is not a plain decimal number`},
		{"an output without a number", header + line(1, "", west, "1") + line(1, "1", west, "1"), "w.csv:3:22: transaction " + tx(1) + " pays " + west + ` on an earlier line too; give the numbers of the outputs in a column "vout", or remove one of the two`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := pool.ReadPayouts(strings.NewReader(row.file), "w.csv", payees, pool.Columns{})
			if err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
	for _, row := range []struct {
		name string
		to   []pool.Payee
		want string
	}{
		{"nobody to pay", nil, "w.csv: there are no addresses of pool accounts"},
		{"an address twice", []pool.Payee{payees[0], {Address: strings.ToUpper(west), Pool: "p", Account: "a"}}, `w.csv: address "` + west + `" is empty or there twice`},
		{"an account that is no identifier", []pool.Payee{{Address: west, Pool: "p"}}, `w.csv: address "` + west + `": account is empty`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := pool.ReadPayouts(strings.NewReader(header), "w.csv", row.to, pool.Columns{})
			if err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

func TestWalletSourceThatCannotWorkIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*pool.WalletConfig)
		want   string
	}{
		{"no name", func(c *pool.WalletConfig) { c.Name = "" }, "name is empty"},
		{"nobody to pay", func(c *pool.WalletConfig) { c.Payees = nil }, "no addresses"},
		{"a key in the clear", func(c *pool.WalletConfig) { c.URL = "http://wallet.example" }, "use https"},
		{"never polled", func(c *pool.WalletConfig) { c.Every = 0 }, "polling interval"},
		{"looking ahead", func(c *pool.WalletConfig) { c.Lookback = -1 }, "negative"},
		{"no logger", func(c *pool.WalletConfig) { c.Logger = nil }, "required"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := walletConfig("https://wallet.example")
			row.change(&c)
			_, err := pool.NewWallet(c)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
}

func FuzzReadPayouts(f *testing.F) {
	f.Add(header + line(1, "0", west, "0.00098001") + line(1, "1", west, "0.5") + line(2, "", east, "1"))
	f.Fuzz(func(t *testing.T, file string) {
		got, others, err := pool.ReadPayouts(strings.NewReader(file), "f.csv", payees, pool.Columns{})
		facts, rejected, others2 := pool.DecodeWallet([]byte(file), payees, pool.Columns{})
		if err == nil && (len(rejected) > 0 || len(facts) != len(got) || others != others2) {
			t.Fatalf("a file without errors is decoded in another way: %v", rejected)
		}
		seen := map[string]bool{}
		for _, e := range facts {
			p := e.(domain.PayoutReceived)
			if id := p.Transaction + p.Address; p.Amount <= 0 || p.Amount > 21_000_000*domain.Bitcoin || seen[id] {
				t.Fatalf("bad payout %+v", p)
			} else {
				seen[id] = true
			}
		}
	})
}
