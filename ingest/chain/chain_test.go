package chain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/chain"
)

var dawn = must(domain.ParseInstant("2026-10-01T00:00:00Z"))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Bits of two real epochs, of difficulties 138,955,357,012,247.3 and
// 124,932,866,006,548.16.
const (
	bitsBefore = domain.Bits(0x1702068f)
	bitsAfter  = domain.Bits(0x170240c3)
)

// retarget is the height at which the test chain changes its bits.
const retarget = 460 * domain.RetargetInterval

// testChain is a chain that can be seen up to a tip. It is safe for concurrent
// use.
type testChain struct {
	mu     sync.Mutex
	first  int64 // height of blocks[0]
	blocks []fake.Block
	tip    int64
	err    map[int64]error // by height
}

func (c *testChain) Tip() (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tip, c.err[c.tip]
}

func (c *testChain) Block(height int64) (fake.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks[height-c.first], c.err[height]
}

// see moves the tip.
func (c *testChain) see(tip int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tip = tip
}

// change changes the chain between polls.
func (c *testChain) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// seeUntil moves the tip to the newest block up to the time.
func (c *testChain) seeUntil(t domain.Instant) {
	i := slices.IndexFunc(c.blocks, func(b fake.Block) bool { return b.Time > t })
	c.see(c.first + int64(i) - 1)
}

// newChain returns blocks from the height first on, ten minutes apart. The
// first one at or after dawn is that at the height morning.
func newChain(first, morning int64, n int) *testChain {
	c := &testChain{first: first, tip: first + int64(n) - 1, err: map[int64]error{}}
	for h := first; h <= c.tip; h++ {
		c.blocks = append(c.blocks, fake.Block{
			Time: dawn.Add(10 * domain.Minute * domain.Duration(h-morning)), Bits: bitsAt(h), Fees: domain.Satoshi(4_000_000 + h),
		})
	}
	return c
}

func bitsAt(height int64) domain.Bits {
	if height < retarget {
		return bitsBefore
	}
	return bitsAfter
}

// fees sums the fees of all blocks of the day, seen or not.
func (c *testChain) fees(day domain.Instant) domain.BlockFeesPublished {
	f := domain.BlockFeesPublished{Interval: domain.Interval{Start: day, End: day.Add(domain.Day)}}
	for _, b := range c.blocks {
		if f.Interval.Contains(b.Time) {
			f.Blocks++
			f.Fees += b.Fees
		}
	}
	return f
}

func (c *testChain) adjusted(height int64) domain.DifficultyAdjusted {
	b := c.blocks[height-c.first]
	return domain.DifficultyAdjusted{Height: height, At: b.Time, Bits: b.Bits}
}

// source returns a source of the chain and its server.
func source(t *testing.T, c fake.Chain, change ...func(*chain.Config)) (*chain.Source, *fake.HTTPServer) {
	t.Helper()
	server, err := fake.ServeBlocks(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	config := chain.Config{
		Name: "mempool", Every: 10 * domain.Minute, URL: server.URL() + "/",
		Client: http.DefaultClient, Now: func() domain.Instant { return dawn.Add(400 * domain.Day) },
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&config)
	}
	s, err := chain.NewSource(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, server
}

func poll(t *testing.T, s *chain.Source, at domain.Instant) ingest.Delivery {
	t.Helper()
	d, err := s.Poll(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Raw) > 0 {
		facts, rejected := chain.Decode(d.Raw, 6)
		if diff := cmp.Diff(d.Facts, facts); len(d.Facts) > 0 && diff != "" {
			t.Errorf("decoding the evidence again gives other facts (-poll +again), and rejects %v:\n%s", rejected, diff)
		}
	}
	return d
}

func expect(t *testing.T, d ingest.Delivery, want ...domain.Event) {
	t.Helper()
	if diff := cmp.Diff(ingest.Facts(want), d.Facts); diff != "" || len(d.Rejected) > 0 {
		t.Errorf("rejected %v, facts (-want +got):\n%s", d.Rejected, diff)
	}
}

func TestDaysAndDifficultyAreDeliveredOnceTheyAreFinal(t *testing.T) {
	const lower, morning = retarget - domain.RetargetInterval, retarget - 4*144 - 3 // the retarget is at 00:30 of the fifth day
	c := newChain(lower-20, morning, domain.RetargetInterval+4*144)
	s, server := source(t, c)

	c.seeUntil(dawn.Add(3*domain.Day + 12*domain.Hour))
	d := poll(t, s, 2)
	expect(t, d, c.adjusted(lower), c.fees(dawn.Add(domain.Day)), c.fees(dawn.Add(2*domain.Day)))
	if n := server.Requests(); n > 30 { // of 2.5 days, and one for the epoch
		t.Errorf("first poll made %d requests", n)
	}

	// The same boundary again gets the same again.
	expect(t, poll(t, s, 2), d.Facts...)

	// Nothing new: one request, no evidence.
	before := server.Requests()
	c.seeUntil(dawn.Add(3*domain.Day + 20*domain.Hour))
	if d := poll(t, s, 3); len(d.Facts) > 0 || len(d.Rejected) > 0 || d.Raw != nil {
		t.Errorf("got %d facts and %d bytes of evidence, want none", len(d.Facts), len(d.Raw))
	}
	if n := server.Requests() - before; n != 1 {
		t.Errorf("idle poll made %d requests, want 1", n)
	}

	// The day is over, but blocks to come may still be stamped with it.
	c.seeUntil(dawn.Add(4*domain.Day + domain.Hour))
	expect(t, poll(t, s, 4))

	// It is over for good once the median of eleven believed blocks has
	// reached midnight: five blocks above it, and six confirmations on those.
	const midnight = morning + 4*144
	c.see(midnight + 10)
	expect(t, poll(t, s, 5), c.adjusted(retarget)) // which is the third block of the day
	c.see(midnight + 11)
	before = server.Requests()
	d = poll(t, s, 6)
	expect(t, d, c.adjusted(lower), c.adjusted(retarget), c.fees(dawn.Add(2*domain.Day)), c.fees(dawn.Add(3*domain.Day)))
	if n := server.Requests() - before; n > 14 {
		t.Errorf("a day's poll made %d requests", n)
	}
	t.Logf("a day's poll made %d requests and has %d bytes of evidence", server.Requests()-before, len(d.Raw))
}

func TestDifficultyIsDeliveredWithItsSixthConfirmation(t *testing.T) {
	const lower = retarget - domain.RetargetInterval
	c := newChain(lower-20, retarget-5*144-72, domain.RetargetInterval+300) // the retarget is at noon
	s, _ := source(t, c)
	c.see(retarget - 20)
	expect(t, poll(t, s, 1), c.adjusted(lower), c.fees(dawn.Add(3*domain.Day)), c.fees(dawn.Add(4*domain.Day)))
	c.see(retarget + 5)
	expect(t, poll(t, s, 2))
	c.see(retarget + 6)
	expect(t, poll(t, s, 3), c.adjusted(retarget))
	c.see(retarget + 7)
	expect(t, poll(t, s, 4))
	expect(t, poll(t, s, 3), c.adjusted(retarget)) // the boundary of its delivery again
}

// Miners stamp blocks as they like, within the network's rules. Each day that
// is delivered must hold just the blocks that the whole chain has for it.
func TestFeesOfADayAreThoseOfAllItsBlocksWhateverTheirOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		n := rapid.IntRange(300, 900).Draw(rt, "blocks")
		tip := rapid.IntRange(100, n).Draw(rt, "seen")
		days := rapid.IntRange(1, 3).Draw(rt, "days")
		c := &testChain{first: 0, tip: int64(tip) - 1, err: map[int64]error{}}
		real := dawn
		for len(c.blocks) < n {
			real = real.Add(domain.Duration(random.ExpFloat64()*600) * domain.Second)
			stamp := real.Add(domain.Duration(random.IntN(3*3600)-3600) * domain.Second)
			var last []domain.Instant
			for _, b := range c.blocks[max(0, len(c.blocks)-11):] {
				last = append(last, b.Time)
			}
			slices.Sort(last)
			if len(last) > 0 {
				stamp = max(stamp, last[len(last)/2].Add(domain.Second))
			}
			c.blocks = append(c.blocks, fake.Block{Time: stamp, Bits: bitsBefore, Fees: domain.Satoshi(random.IntN(1e9))})
		}
		s, _ := source(t, c, func(c *chain.Config) { c.Days = days })
		d := poll(t, s, 1)
		if len(d.Rejected) > 0 {
			rt.Fatal(d.Rejected)
		}
		published := 0
		for _, e := range d.Facts {
			if f, ok := e.(domain.BlockFeesPublished); ok {
				published++
				if want := c.fees(f.Interval.Start); f != want {
					rt.Fatalf("got %+v, want %+v", f, want)
				}
			}
		}
		newest := c.blocks[tip-1].Time
		if over := int(newest.Add(-6*domain.Hour).Sub(dawn) / domain.Day); published < min(over, days) {
			rt.Fatalf("%d days are published of %d that are over", published, over)
		}
	})
}

// plain is a chain without a retarget after its first block, which is at dawn.
func plain(n int) *testChain {
	c := newChain(0, 0, n)
	for i := range c.blocks {
		c.blocks[i].Bits = bitsBefore
	}
	return c
}

// A block may be stamped with a day that has not begun, while those above it
// are stamped with the day before. It is found wherever pages begin.
func TestBlockThatIsStampedWithTheNextDayIsCounted(t *testing.T) {
	for offset := range int64(15) {
		c := plain(5*144 - 20)
		for i := range c.blocks {
			c.blocks[i].Time = c.blocks[i].Time.Add(10 * domain.Minute * domain.Duration(offset))
		}
		early := 3*144 - offset - 11 // at 22:10
		c.blocks[early].Time = dawn.Add(3*domain.Day + 5*domain.Minute)
		s, _ := source(t, c, func(c *chain.Config) { c.Days = 1 })
		d := poll(t, s, 1)
		want := c.fees(dawn.Add(3 * domain.Day))
		if len(d.Facts) == 0 || d.Facts[len(d.Facts)-1] != domain.Event(want) {
			t.Errorf("offset %d: rejected %v, got %+v, want %+v last", offset, d.Rejected, d.Facts, want)
		}
	}
}

func TestRetargetAmongTheNewestBlocksWaitsThoughADayIsDelivered(t *testing.T) {
	const lower, midnight = retarget - domain.RetargetInterval, retarget - 8
	c := newChain(lower-20, midnight-3*144, domain.RetargetInterval+100)
	s, _ := source(t, c)
	c.see(midnight + 11)
	expect(t, poll(t, s, 1), c.adjusted(lower), c.fees(dawn.Add(domain.Day)), c.fees(dawn.Add(2*domain.Day)))
	c.see(retarget + 6)
	expect(t, poll(t, s, 2), c.adjusted(retarget))
}

// Blocks without their confirmations are not kept from one poll to the next:
// when some of them are replaced, which happens every few weeks, the source
// must not notice.
func TestReplacedNewestBlocksDoNotDisturb(t *testing.T) {
	c := plain(5 * 144)
	s, _ := source(t, c)
	const tip = 3*144 + 78 // the page below the newest blocks goes up to the one below the tip
	c.see(tip)
	expect(t, poll(t, s, 1), c.adjusted(0), c.fees(dawn.Add(domain.Day)), c.fees(dawn.Add(2*domain.Day)))
	c.change(func() {
		for h := tip - 3; h < len(c.blocks); h++ {
			c.blocks[h].ID = fmt.Sprintf("%064x", h)
			if h > tip-3 {
				c.blocks[h].Previous = fmt.Sprintf("%064x", h-1)
			}
		}
	})
	c.see(5*144 - 1)
	expect(t, poll(t, s, 2), c.adjusted(0), c.fees(dawn.Add(2*domain.Day)), c.fees(dawn.Add(3*domain.Day)))
}

func TestPollGoesOnWhereAnOutageStoppedIt(t *testing.T) {
	c := plain(6 * 144)
	s, server := source(t, c)
	c.err[3*144] = &fake.HTTPOutage{Hang: true}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Poll(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got error %v, want the deadline", err)
	}
	before := server.Requests()
	c.change(func() { delete(c.err, 3*144) })
	expect(t, poll(t, s, 2), c.adjusted(0), c.fees(dawn.Add(3*domain.Day)), c.fees(dawn.Add(4*domain.Day)))
	if n := server.Requests() - before; n > 20 {
		t.Errorf("second poll made %d requests, want only those that were left", n)
	}
	t.Logf("%d requests before the outage, %d after", before, server.Requests()-before)
}

func TestChainThatContradictsItselfIsRejectedWithItsBytes(t *testing.T) {
	const tip = 5*144 - 1
	for _, row := range []struct {
		name   string
		change func(*testChain)
		want   string
	}{
		{"a block that follows another", func(c *testChain) { c.blocks[tip-20].Previous = fake.BlockID(1) }, "the chain changed while it was read"},
		{"a block of another target", func(c *testChain) { c.blocks[tip-20].Bits = bitsAfter }, fmt.Sprintf("in an epoch of bits %08x", uint32(bitsBefore))},
		{"bits that are no target", func(c *testChain) { c.blocks[tip-3].Bits = 0x1d80ffff }, "not a valid target"},
		{"an id without work", func(c *testChain) { c.blocks[tip-3].ID = strings.Repeat("f", 64) }, "does not meet the target"},
		{"an id that is none", func(c *testChain) { c.blocks[tip-3].ID = "0x00" }, "64 hexadecimal digits"},
		{"fees below zero", func(c *testChain) { c.blocks[tip-3].Fees = -1 }, "cannot be"},
		{"a time before the median", func(c *testChain) { c.blocks[tip-3].Time = dawn }, "not after the median time"},
		{"a time ahead of the clock", func(c *testChain) { c.blocks[tip-3].Time = dawn.Add(800 * domain.Day) }, "ahead of the clock"},
		{"a web page", func(c *testChain) {
			c.err[tip] = &fake.HTTPOutage{Status: 200, Body: "<!doctype html>"}
		}, "web page"},
		{"an empty list", func(c *testChain) { c.err[tip] = &fake.HTTPOutage{Status: 200, Body: "[]"} }, "without blocks"},
		{"no list", func(c *testChain) { c.err[tip] = &fake.HTTPOutage{Status: 200, Body: `{"error":"x"}`} }, "not a list of blocks"},
		{"no blocks in the list", func(c *testChain) { c.err[tip] = &fake.HTTPOutage{Status: 200, Body: `[{"id":"00"}]`} }, "no height"},
		{"another page than was asked for", func(c *testChain) {
			c.err[tip-30] = &fake.HTTPOutage{Status: 200, Body: page(c, tip-16, 15)}
		}, "holds 703 to 689; want 689 to 675"},
		{"a short page", func(c *testChain) {
			c.err[tip-30] = &fake.HTTPOutage{Status: 200, Body: page(c, 689, 10)}
		}, "holds 689 to 680; want 689 to 675"},
		{"a page with a hole", func(c *testChain) {
			c.err[tip] = &fake.HTTPOutage{Status: 200, Body: strings.Replace(page(c, tip, 15), fmt.Sprintf(`"height":%d,`, tip-2), `"height":9,`, 1)}
		}, "goes from height"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := plain(tip + 1)
			row.change(c)
			s, _ := source(t, c)
			d := poll(t, s, 1)
			if len(d.Facts) > 0 || len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, row.want) {
				t.Errorf("got %d facts and rejections %q, want one with %q", len(d.Facts), d.Rejected, row.want)
			}
			if len(d.Raw) == 0 {
				t.Error("got no evidence of the rejected reply")
			}
		})
	}
}

// page renders the blocks of a chain as the server would.
func page(c *testChain, top int64, n int) string {
	view := &testChain{first: c.first, blocks: c.blocks, tip: top, err: map[int64]error{}}
	server, err := fake.ServeBlocks(view)
	if err != nil {
		panic(err)
	}
	defer server.Close()
	resp, err := http.Get(server.URL() + fmt.Sprintf("/api/v1/blocks/%d", top+15-int64(n))) // cut at the tip
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		panic(err)
	}
	return b.String()
}

func TestRewardAboveSubsidyAndFeesIsRejected(t *testing.T) {
	c := plain(20)
	body := strings.Replace(page(c, 19, 15), `"reward":5004000019`, `"reward":5004000020`, 1)
	_, rejected := chain.Decode([]byte(body), 6)
	if len(rejected) != 1 || !strings.Contains(rejected[0].Reason, "more than subsidy and fees") {
		t.Errorf("got rejections %v", rejected)
	}
}

func TestDayWithAnUnindexedBlockIsRejectedAlone(t *testing.T) {
	c := plain(6 * 144)
	c.blocks[3*144+7].Unindexed = true
	s, _ := source(t, c)
	d := poll(t, s, 1)
	if diff := cmp.Diff(ingest.Facts{c.adjusted(0), c.fees(dawn.Add(4 * domain.Day))}, d.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, "does not know those of block 439") {
		t.Errorf("got rejections %v, want one of block 439", d.Rejected)
	}
}

func TestChainThatChangedIsReadAnew(t *testing.T) {
	c := plain(7 * 144)
	s, _ := source(t, c)
	c.seeUntil(dawn.Add(5*domain.Day + 12*domain.Hour))
	poll(t, s, 1)
	// Everything from the fourth day on is another chain: far deeper than any
	// reorganisation was, so what is cached must not survive it.
	c.change(func() {
		for h := int64(4*144 - 30); h < int64(len(c.blocks)); h++ {
			c.blocks[h].ID = fmt.Sprintf("%064x", h)
			c.blocks[h].Fees += 1000
			if h > 4*144-30 {
				c.blocks[h].Previous = fmt.Sprintf("%064x", h-1)
			}
		}
	})
	c.seeUntil(dawn.Add(6*domain.Day + 12*domain.Hour))
	if d := poll(t, s, 2); len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, "the chain changed") {
		t.Fatalf("got %+v, want a rejection", d.Rejected)
	}
	expect(t, poll(t, s, 3), c.adjusted(0), c.fees(dawn.Add(4*domain.Day)), c.fees(dawn.Add(5*domain.Day)))
}

func TestOutagesAreErrors(t *testing.T) {
	for _, row := range []struct {
		name   string
		outage fake.HTTPOutage
		want   string
	}{
		{"the server is down", fake.HTTPOutage{Status: 502}, "status 502"},
		{"too many requests", fake.HTTPOutage{Status: 429, Header: http.Header{"Retry-After": {"60"}}}, `retry after "60"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newChain(0, 0, 50)
			c.err[49] = &row.outage
			s, _ := source(t, c)
			if d, err := s.Poll(t.Context(), 1); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %+v and error %v, want one with %q", d, err, row.want)
			}
		})
	}
}

func TestEndlessDayIsGivenUp(t *testing.T) {
	c := newChain(0, 0, 8000)
	for i := range c.blocks { // ten seconds apart, until two days later
		c.blocks[i].Time, c.blocks[i].Bits = dawn.Add(10*domain.Second*domain.Duration(i)+12*domain.Hour), bitsBefore
	}
	for i := range 50 {
		c.blocks[len(c.blocks)-1-i].Time = dawn.Add(3*domain.Day - domain.Second*domain.Duration(i))
	}
	s, server := source(t, c, func(c *chain.Config) { c.Days = 1 })
	if _, err := s.Poll(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "more than 120 pages") {
		t.Errorf("got error %v, want one of too many pages", err)
	}
	if n := server.Requests(); n != 121 {
		t.Errorf("poll made %d requests, want 121", n)
	}
}

func TestSourceThatCannotWorkIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*chain.Config)
		want   string
	}{
		{"no name", func(c *chain.Config) { c.Name = "" }, "name is empty"},
		{"no scheme", func(c *chain.Config) { c.URL = "mempool.example" }, "https://host"},
		{"never polled", func(c *chain.Config) { c.Every = 0 }, "polling interval"},
		{"too many confirmations", func(c *chain.Config) { c.Confirmations = 101 }, "confirmations"},
		{"too many days", func(c *chain.Config) { c.Days = 32 }, "days"},
		{"no clock", func(c *chain.Config) { c.Now = nil }, "required"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := chain.Config{
				Name: "mempool", Every: domain.Minute, URL: "https://mempool.example", Client: http.DefaultClient,
				Now: func() domain.Instant { return 0 }, Logger: slog.New(slog.DiscardHandler),
			}
			row.change(&c)
			if _, err := chain.NewSource(c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	c := newChain(0, 0, 40)
	for i := range c.blocks {
		c.blocks[i].Bits, c.blocks[i].Time = bitsBefore, dawn.Add(3*domain.Hour*domain.Duration(i))
	}
	f.Add([]byte(page(c, 39, 15)+"\n"+page(c, 29, 15)+"\n"+page(c, 14, 15)), int64(6))
	f.Fuzz(func(t *testing.T, raw []byte, confirmations int64) {
		facts, rejected := chain.Decode(raw, confirmations)
		if len(facts) > 0 && len(rejected) > 0 && !strings.HasPrefix(rejected[0].Reason, "fees of ") {
			t.Fatalf("facts are drawn from pages that are rejected: %v", rejected)
		}
		for _, e := range facts {
			switch e := e.(type) {
			case domain.DifficultyAdjusted:
				if _, err := e.Bits.Target(); err != nil || e.Height < 0 || e.Height%domain.RetargetInterval != 0 {
					t.Fatalf("bad fact %+v: %v", e, err)
				}
			case domain.BlockFeesPublished:
				if e.Interval.Length() != domain.Day || e.Interval.Start.Floor(domain.Day) != e.Interval.Start || e.Blocks < 0 || e.Fees < 0 {
					t.Fatalf("bad fact %+v", e)
				}
			}
		}
	})
}
