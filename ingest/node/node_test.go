package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/node"
)

const (
	mainGenesis = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
	ours        = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	password    = "s3cr3t-0000"
)

var noon = domain.Unix(1_791_374_400)

func id(n int) string { return fmt.Sprintf("%064x", n) }

// rpc is a node that answers from a table: a method with its parameters, or a
// method alone. An answer is a result or, as an error, the whole reply.
type rpc map[string]any

func (r rpc) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, pass, _ := req.BasicAuth()
		if user != "u" || pass != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var call struct {
			Method string `json:"method"`
			Params []any  `json:"params"`
		}
		if err := json.NewDecoder(req.Body).Decode(&call); err != nil {
			t.Error(err)
		}
		answer, ok := r[fmt.Sprint(call.Method, call.Params)]
		if !ok {
			answer, ok = r[call.Method]
		}
		if whole, is := answer.(error); is {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, whole)
			return
		}
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"result":null,"error":{"code":-8,"message":"Block height out of range"},"id":1}`)
			return
		}
		text, is := answer.(string)
		if !is || text == "" || text[0] != '{' {
			b, _ := json.Marshal(answer)
			text = string(b)
		}
		fmt.Fprintf(w, `{"result":%s,"error":null,"id":1}`, text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// healthy is a node of two blocks, the second of which pays us. What is changed
// is given.
func healthy(change rpc) rpc {
	r := rpc{
		"getblockhash[0]":                          mainGenesis,
		"getblockhash[1]":                          id(0xb1),
		"getblockchaininfo":                        `{"chain":"main","blocks":1,"headers":1,"initialblockdownload":false}`,
		"getblockheader":                           fmt.Sprintf(`{"hash":%q,"time":%d}`, id(0xb1), int64(noon)/1e6-600),
		fmt.Sprintf("getblock[%s 2]", mainGenesis): fmt.Sprintf(`{"hash":%q,"height":0,"time":1231006505,"tx":[{"txid":%q,"vin":[{"coinbase":"00"}],"vout":[]}]}`, mainGenesis, id(1)),
		fmt.Sprintf("getblock[%s 2]", id(0xb1)):    block(`{"value":1e-08,"n":0,"scriptPubKey":{"address":"` + strings.ToUpper(ours) + `"}},{"value":0.1,"n":1,"scriptPubKey":{"addresses":["` + ours + `"]}},{"value":1,"n":2,"scriptPubKey":{}}`),
	}
	for k, v := range change {
		r[k] = v
	}
	return r
}

func block(outs string) string {
	return fmt.Sprintf(`{"hash":%q,"height":1,"time":%d,"previousblockhash":%q,"tx":[{"txid":%q,"vin":[{"coinbase":"00"}],"vout":[{"value":50.00000000,"n":0,"scriptPubKey":{"address":"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"}}]},{"txid":%q,"vin":[{"txid":%q,"vout":0}],"vout":[%s]}]}`,
		id(0xb1), int64(noon)/1e6-600, mainGenesis, id(2), id(3), id(1), outs)
}

func config(t *testing.T, r rpc) node.Config {
	t.Helper()
	client, err := node.NewClient(http.DefaultClient, r.serve(t), "u", password)
	if err != nil {
		t.Fatal(err)
	}
	return node.Config{
		Name: "node", Every: domain.Minute, Client: client, Network: "main", Confirmations: 1,
		Payees: []node.Payee{{Address: ours, Pool: "p", Account: "a"}},
		Now:    func() domain.Instant { return noon }, Logger: slog.New(slog.DiscardHandler),
	}
}

func received(block string, height int64, amount domain.Satoshi) domain.PayoutReceived {
	return domain.PayoutReceived{Pool: "p", Account: "a", Transaction: id(3), Address: ours, At: noon.Add(-10 * domain.Minute), Amount: amount, Block: block, Height: height}
}

func TestOutputsToOurAddressesAreReceipts(t *testing.T) {
	f, err := node.NewFollower(config(t, healthy(nil)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Poll(t.Context(), noon)
	if diff := cmp.Diff(ingest.Facts{received(id(0xb1), 1, 10_000_001)}, d.Facts); err != nil || diff != "" || len(d.Raw) == 0 {
		t.Errorf("error %v, facts (-want +got):\n%s", err, diff)
	}
	again, err := f.Poll(t.Context(), noon)
	if err != nil || cmp.Diff(d, again) != "" {
		t.Errorf("the same boundary again gets %v, %v", again, err)
	}
	next, err := f.Poll(t.Context(), noon.Add(domain.Minute))
	if err != nil || len(next.Facts) > 0 || next.Raw != nil {
		t.Errorf("nothing new gets %v, %v", next, err)
	}
}

func TestANodeThatCannotBeBelievedIsUnknown(t *testing.T) {
	for _, row := range []struct {
		name   string
		change rpc
		want   string
	}{
		{"another network", rpc{"getblockhash[0]": id(7)}, "not on the network main"},
		{"Core is syncing", rpc{"getblockchaininfo": `{"blocks":1,"headers":1,"initialblockdownload":true}`}, "syncing"},
		{"btcd is syncing", rpc{"getblockchaininfo": `{"blocks":1,"headers":900000}`}, "it has 1 of 900000 blocks"},
		{"cut off", rpc{"getblockheader": fmt.Sprintf(`{"time":%d}`, int64(noon)/1e6-3*86_400)}, "cut off"},
		{"a block of the future", rpc{"getblockheader": fmt.Sprintf(`{"time":%d}`, int64(noon)/1e6+3*3600)}, "ahead of the clock"},
		{"loading", rpc{"getblockchaininfo": errors.New(`{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":1}`)}, "error -28: Loading"},
		{"no JSON", rpc{"getblockchaininfo": errors.New("<html>busy</html>")}, "the reply is no JSON"},
		{"no result", rpc{"getblockchaininfo": errors.New("{}")}, "without a result"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, err := node.NewFollower(config(t, healthy(row.change)))
			if err != nil {
				t.Fatal(err)
			}
			d, err := f.Poll(t.Context(), noon)
			if err == nil || len(d.Facts) > 0 || !strings.Contains(err.Error(), row.want) || strings.Contains(fmt.Sprintf("%v %+v", err, f), password) {
				t.Errorf("got %v, %v; want %q", d.Facts, err, row.want)
			}
		})
	}
}

func TestABlockThatCannotBeUnderstoodIsRejectedWithItsBytes(t *testing.T) {
	at := fmt.Sprintf("getblock[%s 2]", id(0xb1))
	out := func(value string) string {
		return block(`{"value":` + value + `,"scriptPubKey":{"address":"` + ours + `"}}`)
	}
	for _, row := range []struct{ name, reply, want string }{
		{"a part of a satoshi", out("0.000000001"), "not a whole number of satoshi"},
		{"more than there can be", out("21000001"), "more than there can be"},
		{"a negative amount", out("-1"), "negative"},
		{"an exponent of the stars", out("1e99"), "exponent"},
		{"another block", strings.Replace(block(""), id(0xb1), id(9), 1), "node gives block"},
		{"no transactions", fmt.Sprintf(`{"hash":%q,"height":1,"time":5}`, id(0xb1)), "verbosity 2"},
		{"ids alone, as verbosity 1 has them", fmt.Sprintf(`{"hash":%q,"height":1,"time":5,"tx":["aa"]}`, id(0xb1)), "not as documented"},
		{"no coinbase", strings.Replace(block(""), `"coinbase":"00"`, `"txid":"00"`, 1), "does not begin with a coinbase"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, err := node.NewFollower(config(t, healthy(rpc{at: row.reply})))
			if err != nil {
				t.Fatal(err)
			}
			d, err := f.Poll(t.Context(), noon)
			if err != nil || len(d.Facts) > 0 || len(d.Rejected) != 1 || len(d.Raw) == 0 || !strings.Contains(d.Rejected[0].Reason, row.want) {
				t.Errorf("got %v, %v, rejected %v; want %q", d.Facts, err, d.Rejected, row.want)
			}
		})
	}
}

// TestAfterARestart has a receipt on record whose block is gone, and one whose
// block is there.
func TestAfterARestart(t *testing.T) {
	gone := received(id(0xb9), 1, 5)
	gone.Transaction = id(5)
	f, err := node.NewFollower(config(t, healthy(nil)))
	if err != nil {
		t.Fatal(err)
	}
	f.Remember([]domain.PayoutReceived{gone, received(id(0xb1), 1, 10_000_001)})
	d, err := f.Poll(t.Context(), noon)
	want := ingest.Facts{domain.PayoutReversed{Pool: "p", Account: "a", Transaction: id(5), Address: ours, Amount: 5, Block: id(0xb9), Reason: "block " + id(0xb9) + " was undone"}}
	if diff := cmp.Diff(want, d.Facts); err != nil || diff != "" {
		t.Errorf("error %v, facts (-want +got):\n%s", err, diff)
	}
}

func TestAWalletThatWatchesTheAddresses(t *testing.T) {
	entry := func(tx int, category string, amount string, confirmations int, block string) string {
		return fmt.Sprintf(`{"address":%q,"category":%q,"amount":%s,"vout":%d,"confirmations":%d,"blockhash":%q,"blockheight":1,"blocktime":%d,"txid":%q,"walletconflicts":["%s"]}`,
			ours, category, amount, tx, confirmations, block, int64(noon)/1e6-600, id(tx), id(77))
	}
	list := func(transactions, removed string) string {
		return fmt.Sprintf(`{"transactions":[%s],"removed":[%s],"lastblock":%q}`, transactions, removed, id(0xb1))
	}
	r := healthy(rpc{"listsinceblock": list(entry(3, "receive", "0.10000001", 1, id(0xb1))+","+entry(4, "immature", "3.125", 1, id(0xb1))+","+entry(5, "receive", "1", 0, "")+","+entry(6, "send", "-1", 1, id(0xb1)), "")})
	f, err := node.NewWalletFollower(config(t, r))
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Poll(t.Context(), noon)
	mined := received(id(0xb1), 1, 312_500_000)
	mined.Transaction, mined.Generation = id(4), true
	if diff := cmp.Diff(ingest.Facts{received(id(0xb1), 1, 10_000_001), mined}, d.Facts); err != nil || diff != "" {
		t.Errorf("error %v, facts (-want +got):\n%s", err, diff)
	}
	// The block is undone: one is confirmed again, the other replaced.
	r["listsinceblock"] = list(entry(3, "receive", "0.10000001", 1, id(0xb2))+","+entry(4, "orphan", "3.125", -1, ""), entry(3, "receive", "0.10000001", 1, id(0xb2))+","+entry(4, "orphan", "3.125", -1, ""))
	d, err = f.Poll(t.Context(), noon.Add(domain.Minute))
	reverse := func(p domain.PayoutReceived, reason string) domain.PayoutReversed {
		return domain.PayoutReversed{Pool: "p", Account: "a", Transaction: p.Transaction, Address: ours, Amount: p.Amount, Block: p.Block, Reason: "block " + p.Block + " was undone" + reason}
	}
	want := ingest.Facts{reverse(received(id(0xb1), 1, 10_000_001), ""), reverse(mined, ", and transaction "+id(77)+" took its place"), received(id(0xb2), 1, 10_000_001)}
	if diff := cmp.Diff(want, d.Facts); err != nil || diff != "" {
		t.Errorf("error %v, facts (-want +got):\n%s", err, diff)
	}
	r["listsinceblock"] = list(entry(8, "receive", "0.000000001", 1, id(0xb2)), "")
	d, err = f.Poll(t.Context(), noon.Add(2*domain.Minute))
	if err != nil || len(d.Rejected) != 1 || len(d.Facts) > 0 {
		t.Errorf("a part of a satoshi: %+v, %v", d, err)
	}
}

func TestFollowersThatCannotWorkAreRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*node.Config)
		want   string
	}{
		{"no name", func(c *node.Config) { c.Name = "" }, "name is empty"},
		{"nobody to pay", func(c *node.Config) { c.Payees = nil }, "no addresses"},
		{"an address twice", func(c *node.Config) {
			c.Payees = append(c.Payees, node.Payee{Address: strings.ToUpper(ours), Pool: "p", Account: "b"})
		}, "there twice"},
		{"no account", func(c *node.Config) { c.Payees[0].Account = "" }, "account is empty"},
		{"a network that nobody knows", func(c *node.Config) { c.Network = "mainnet" }, `network "mainnet" is not known`},
		{"too many confirmations", func(c *node.Config) { c.Confirmations = 101 }, "between 1 and 100"},
		{"no node", func(c *node.Config) { c.Client = nil }, "required"},
		{"never polled", func(c *node.Config) { c.Every = 0 }, "polling interval"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := config(t, healthy(nil))
			row.change(&c)
			if _, err := node.NewFollower(c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
	for _, address := range []string{"127.0.0.1:8332", "http://node.example:8332", "ftp://x", "http://u:p@127.0.0.1"} {
		if _, err := node.NewClient(http.DefaultClient, address, "u", password); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

// FuzzBlock has a node that answers anything for the block that pays us.
func FuzzBlock(f *testing.F) {
	f.Add(block(`{"value":1e-08,"n":0,"scriptPubKey":{"address":"` + ours + `"}}`))
	f.Add(block(`{"value":0.1,"n":0,"scriptPubKey":{"addresses":["` + ours + `"]}}`))
	f.Fuzz(func(t *testing.T, reply string) {
		facts, err := node.DecodeBlock([]byte(reply), []node.Payee{{Address: ours, Pool: "p", Account: "a"}})
		if err != nil {
			return
		}
		for _, e := range facts {
			if r := e.(domain.PayoutReceived); r.Amount <= 0 || len(r.Transaction) != 64 || len(r.Block) != 64 || r.Address != ours {
				t.Fatalf("bad receipt %+v", r)
			}
		}
	})
}

// TestTheNetworkIsDeliveredToo walks 500 blocks, ten minutes apart, from an hour
// before midnight on, over a change of difficulty.
func TestTheNetworkIsDeliveredToo(t *testing.T) {
	const first, n = 3*domain.RetargetInterval - 200, 500
	start := noon.Floor(domain.Day).Add(-4*domain.Day - domain.Hour)
	r := rpc{"getblockhash[0]": mainGenesis, "getblockchaininfo": fmt.Sprintf(`{"blocks":%d,"headers":%d}`, first+n-1, first+n-1)}
	at := func(h int64) domain.Instant { return start.Add(10 * domain.Minute * domain.Duration(h-first)) }
	add := func(h int64, bits string) {
		r[fmt.Sprintf("getblockhash[%d]", h)] = id(int(h))
		r["getblockheader"] = fmt.Sprintf(`{"time":%d}`, int64(at(h))/1e6)
		r[fmt.Sprintf("getblock[%s 2]", id(int(h)))] = fmt.Sprintf(
			`{"hash":%q,"height":%d,"time":%d,"bits":%q,"previousblockhash":%q,"tx":[{"txid":%q,"vin":[{"coinbase":"00"}],"vout":[{"value":%s}]}]}`,
			id(int(h)), h, int64(at(h))/1e6, bits, id(int(h-1)), id(int(h+1_000_000)), (domain.Subsidy(h) + domain.Satoshi(h)).BTC())
	}
	add(2*domain.RetargetInterval, "1d00ffff")
	for h := int64(first); h < first+n; h++ {
		bits := "1d00ffff"
		if h >= 3*domain.RetargetInterval {
			bits = "1c7fff80"
		}
		add(h, bits)
	}
	c := config(t, r)
	c.Chain, c.Lookback, c.Blocks = true, n, 150
	c.Now = func() domain.Instant { return at(first + n) }
	f, err := node.NewFollower(c)
	if err != nil {
		t.Fatal(err)
	}
	var got ingest.Facts
	for k := range 4 { // 150 blocks at a time
		d, err := f.Poll(t.Context(), noon.Add(domain.Minute*domain.Duration(k)))
		if err != nil || len(d.Rejected) > 0 {
			t.Fatal(err, d.Rejected)
		}
		got = append(got, d.Facts...)
	}
	want := map[string]bool{}
	for _, h := range []int64{2 * domain.RetargetInterval, 3 * domain.RetargetInterval} {
		bits := map[int64]domain.Bits{2 * domain.RetargetInterval: 0x1d00ffff, 3 * domain.RetargetInterval: 0x1c7fff80}[h]
		want[fmt.Sprint(domain.DifficultyAdjusted{Height: h, At: at(h), Bits: bits})] = true
	}
	// The first blocks are less than two hours before the first midnight, so
	// that whole days begin with the next; 500 blocks reach into the fourth.
	for day := start.Floor(domain.Day).Add(2 * domain.Day); day < start.Floor(domain.Day).Add(4*domain.Day); day = day.Add(domain.Day) {
		e := domain.BlockFeesPublished{Interval: domain.Interval{Start: day, End: day.Add(domain.Day)}}
		for h := int64(first); h < first+n; h++ {
			if e.Interval.Contains(at(h)) {
				e.Blocks++
				e.Fees += domain.Satoshi(h)
			}
		}
		if e.Blocks == 144 && day.Add(26*domain.Hour) <= at(first+n-1) {
			want[fmt.Sprint(e)] = true
		}
	}
	for _, e := range got {
		if !want[fmt.Sprint(e)] {
			t.Errorf("got %v", e)
		}
		delete(want, fmt.Sprint(e))
	}
	if len(want) > 0 {
		t.Errorf("missing %v", want)
	}
}
