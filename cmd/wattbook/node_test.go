package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/evidence"
	"wattbook/ingest/node"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/settlement/pools"
)

// btcd starts a real node, and skips the test where btcd is not installed.
func btcd(t *testing.T) *fake.Btcd {
	t.Helper()
	program := os.Getenv("BTCD")
	for _, place := range []string{filepath.Join("..", "..", ".ci", "peers", "bin", "btcd"), "btcd"} {
		if found, err := exec.LookPath(place); err == nil && program == "" {
			program = found
		}
	}
	if program == "" {
		t.Skipf("%s: btcd is not installed; set BTCD", t.Name())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := fake.StartBtcd(ctx, program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// chainBook is a log that a follower of a node writes.
type chainBook struct {
	t        *testing.T
	node     *fake.Btcd
	log      *eventlog.Mem
	door     *ingest.Door
	evidence *evidence.Store
	facts    *facts.Facts
	follower *node.Follower
	polled   domain.Instant
}

const (
	west  = "1111111111111111111111111111111111111111"
	east  = "2222222222222222222222222222222222222222"
	other = "3333333333333333333333333333333333333333"
)

func newChainBook(t *testing.T) *chainBook {
	t.Helper()
	c := &chainBook{t: t, node: btcd(t), facts: facts.New()}
	c.log = eventlog.NewMem(systemClock)
	var err error
	if c.evidence, err = evidence.Open(t.TempDir(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.evidence.Close() })
	if c.door, err = ingest.OpenDoor(t.Context(), c.log, c.evidence, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	c.restart()
	return c
}

// restart makes the follower anew, as a service does that starts again.
func (c *chainBook) restart() {
	c.t.Helper()
	client, err := node.NewClient(http.DefaultClient, c.node.URL(), c.node.User(), c.node.Password())
	if err != nil {
		c.t.Fatal(err)
	}
	c.follower, err = node.NewFollower(node.Config{
		Name: "node", Every: domain.Minute, Client: client, Network: "simnet", Confirmations: 1,
		Payees: []node.Payee{{Address: fake.SimnetAddress(west), Pool: "p", Account: "west"}, {Address: fake.SimnetAddress(east), Pool: "p", Account: "east"}, {Address: fake.SimnetAddress(fake.MinedTo), Pool: "p", Account: "mine"}},
		Now:    func() domain.Instant { return systemClock().Add(domain.Hour) }, // blocks are mined ahead of the clock, one a second
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.follower.Remember(c.facts.AllPayouts())
}

// poll follows the chain and records what it says.
func (c *chainBook) poll() {
	c.t.Helper()
	c.polled = c.polled.Add(domain.Minute)
	d, err := c.follower.Poll(c.t.Context(), c.polled)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(d.Rejected) > 0 {
		c.t.Fatalf("rejected: %v", d.Rejected)
	}
	if _, err := c.door.Record(c.t.Context(), ingest.Round{Site: "s", At: c.polled, Deliveries: []ingest.Delivery{d}}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := projections.Fold(c.t.Context(), c.log, c.facts.Next, projections.Head, c.facts); err != nil {
		c.t.Fatal(err)
	}
}

// state says what has arrived for an account.
func (c *chainBook) state(account string) string {
	var parts []string
	for _, r := range c.facts.Payouts("p", account) {
		part := fmt.Sprint(int64(r.Amount))
		if r.Generation {
			part += map[bool]string{true: " mature", false: " immature"}[r.Matured]
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func (c *chainBook) want(what, westState, eastState string) {
	c.t.Helper()
	if w, e := c.state("west"), c.state("east"); w != westState || e != eastState {
		c.t.Errorf("%s: west has %q and east %q, want %q and %q", what, w, e, westState, eastState)
	}
}

// TestARealNode mines, pays, reorganises and raises a fee on btcd, and holds
// what the log knows against it.
func TestARealNode(t *testing.T) {
	c := newChainBook(t)
	must := func(hashes []string, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return hashes
	}
	pay := func(coin string, outputs ...fake.Output) string {
		t.Helper()
		id, err := c.node.Pay(coin, outputs...)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	coin := func() string {
		t.Helper()
		id, err := c.node.Coin()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	must(c.node.Generate(110))
	c.poll()
	c.want("before anything is paid", "", "")

	// A batch: two outputs to one account, one to the other, one to nobody here.
	batch := pay(coin(), fake.Output{To: west, Amount: 100_000_001}, fake.Output{To: east, Amount: 7}, fake.Output{To: west, Amount: 23}, fake.Output{To: other, Amount: 4_000_000_000})
	c.poll()
	c.want("in no block yet", "", "")
	block := must(c.node.Generate(1))[0]
	c.poll()
	c.want("in a block", "100000024", "7")
	head := c.facts.Next
	c.poll()
	if c.facts.Next != head {
		t.Errorf("polling again recorded %d events", c.facts.Next-head)
	}

	// The block is undone, and another, without the payment, takes its place.
	if err := c.node.Invalidate(block); err != nil {
		t.Fatal(err)
	}
	c.poll()
	c.want("undone", "", "")
	again := must(c.node.Generate(1))[0] // holds it again, from the node's memory
	c.poll()
	c.want("in another block", "100000024", "7")

	// Back to the first branch, which must grow to be the longer one.
	if err := c.node.Invalidate(again); err != nil {
		t.Fatal(err)
	}
	if err := c.node.Reconsider(block); err != nil {
		t.Fatal(err)
	}
	must(c.node.Generate(2))
	c.poll()
	c.want("back in the first block", "100000024", "7")
	for _, r := range c.facts.Payouts("p", "west") {
		if r.Block != block || r.Transaction != batch {
			t.Errorf("%s is confirmed by %s, want %s by %s", r.Transaction, r.Block, batch, block)
		}
	}

	// The service is down while a block is undone for good: the coin is spent in
	// another way, for a higher fee.
	spent := coin()
	first := pay(spent, fake.Output{To: east, Amount: 1_000_000_000}, fake.Output{To: other, Amount: 3_999_990_000})
	undone := must(c.node.Generate(1))[0]
	c.poll()
	c.want("before the fee is raised", "100000024", "7, 1000000000")
	if err := c.node.Invalidate(undone); err != nil {
		t.Fatal(err)
	}
	second := pay(spent, fake.Output{To: east, Amount: 1_000_000_000}, fake.Output{To: other, Amount: 3_999_000_000})
	must(c.node.Generate(2))
	c.restart()
	c.poll()
	c.want("after the fee was raised", "100000024", "7, 1000000000")
	if got := c.facts.Payouts("p", "east"); got[1].Transaction != second || first == second {
		t.Errorf("the receipt is in %s, want %s", got[1].Transaction, second)
	}
	c.reconciles(first)
}

// TestCoinbasesOfARealNode mines to an account.
func TestCoinbasesOfARealNode(t *testing.T) {
	c := newChainBook(t)
	if _, err := c.node.Generate(2); err != nil {
		t.Fatal(err)
	}
	c.poll()
	if got := c.state("mine"); got != "5000000000 immature, 5000000000 immature" {
		t.Errorf("two blocks: %s", got)
	}
	if _, err := c.node.Generate(98); err != nil {
		t.Fatal(err)
	}
	c.restart()
	c.poll()
	if got := c.state("mine"); !strings.HasPrefix(got, "5000000000 mature, 5000000000 immature, ") || strings.Count(got, "mature") != 100 {
		t.Errorf("a hundred blocks: %s", got)
	}
	branch, err := c.node.Generate(1)
	if err != nil {
		t.Fatal(err)
	}
	c.poll()
	if got := c.state("mine"); strings.Count(got, " mature") != 2 {
		t.Errorf("one more: %s", got)
	}
	if err := c.node.Invalidate(branch[0]); err != nil {
		t.Fatal(err)
	}
	c.poll()
	if got := c.state("mine"); strings.Count(got, "5000000000") != 100 {
		t.Errorf("one less: %s", got)
	}
}

// reconciles holds that the payout which the pool names by its first
// transaction is found in the one that replaced it, and that no satoshi is lost.
func (c *chainBook) reconciles(named string) {
	c.t.Helper()
	today := systemClock().Floor(domain.Day)
	day := domain.Interval{Start: today.Add(-domain.Day), End: today}
	stated := ingest.Facts{
		domain.PoolStatementReceived{Pool: "p", Account: "east", Interval: day, Net: 1_000_000_141, NetOnly: true, Complete: true},
		domain.PoolPayoutStated{Pool: "p", Account: "east", Reference: "1", Rail: domain.RailChain, Status: domain.PayoutPaid, At: today, Amount: 1_000_000_000, NetworkFee: 141, Transaction: named, Address: fake.SimnetAddress(east)},
	}
	if _, err := c.door.Record(c.t.Context(), ingest.Round{Site: "s", At: today, Deliveries: []ingest.Delivery{{Source: "pool", Observed: systemClock(), Facts: stated}}}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := projections.Fold(c.t.Context(), c.log, c.facts.Next, projections.Head, c.facts); err != nil {
		c.t.Fatal(err)
	}
	a := pools.Account{Site: "s", Terms: domain.PoolTerms{Pool: "p", Account: "east"}}
	settled := pools.Settle(c.facts, a, c.facts.Statements("p", "east", domain.Interval{End: 1<<63 - 1}))
	got := settled.Days[day.Start]
	// The seven satoshi of the batch are told by nobody.
	if got.Received != 1_000_000_000 || got.Fee != 141 || got.Transit != 0 || settled.Unmatched.Received != 7 || settled.Balance != 0 {
		c.t.Errorf("day %+v, unmatched %+v, balance %d", got, settled.Unmatched, settled.Balance)
	}
}
