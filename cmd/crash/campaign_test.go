package crash_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/domain/wire"
	"wattbook/ingest"
	"wattbook/ingest/evidence"
	"wattbook/ingest/pebblelog"
	"wattbook/ingest/pebblelog/powercut"
	"wattbook/projections/facts"
	"wattbook/settlement"
	"wattbook/settlement/pools"
)

// number returns a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s=%q is not a number", name, s)
	}
	return n
}

// TestCrashes plays months at a site whose computer loses its power at syncs
// chosen by chance, whose disk gets full, whose stored bytes change and whose
// clock is set. It holds after every crash, and at the end:
//
//   - what was acknowledged is there, once, and nothing else is: the log holds
//     the same events, in the same order, as that of a month without a crash;
//   - positions are dense, and the tree of the log is, at every size that was
//     signed, the one that was signed;
//   - the bytes of every reply that an event names are there;
//   - the closing, the invoice and the reconciliation are the same;
//   - a changed byte is reported, or changes no answer.
//
// WATTBOOK_CRASHES says how many crashes there are; WATTBOOK_SEED plays the
// months of a run again.
func TestCrashes(t *testing.T) {
	seed := uint64(number(t, "WATTBOOK_SEED", int(time.Now().UnixNano()&0xffff_ffff)))
	crashes := number(t, "WATTBOOK_CRASHES", 120)
	var done tally
	for month := 0; done.crashes < crashes; month++ {
		again := fmt.Sprintf("WATTBOOK_SEED=%d WATTBOOK_CRASHES=1 go test -run TestCrashes ./cmd/crash", seed+uint64(month))
		c := newCampaign(t, seed+uint64(month))
		c.play()
		if t.Failed() {
			t.Fatalf("again: %s", again)
		}
		done.add(c.tally)
	}
	t.Logf("%d months from seed %d: %d crashes, %d of them with events that nobody had been told of; %d changed bytes, %d reported; the disk was full %d times; the clock was set %d times",
		done.months, seed, done.crashes, done.untold, done.changed, done.reported, done.full, done.clocks)
	if done.untold == 0 && crashes > 100 {
		t.Error("no crash came between the disk and the answer: the campaign does not reach there")
	}
}

type tally struct{ months, crashes, untold, changed, reported, full, clocks int }

func (a *tally) add(b tally) {
	a.months++
	a.crashes += b.crashes
	a.untold += b.untold
	a.changed += b.changed
	a.reported += b.reported
	a.full += b.full
	a.clocks += b.clocks
}

// campaign is a month that is played with crashes beside one without.
type campaign struct {
	*testing.T
	tally
	rng    *rand.Rand
	rounds []ingest.Round
	want   []domain.Digest // of the events, from the month without a crash

	disk     *powercut.Disk
	clock    domain.Instant
	log      *pebblelog.Log
	evidence *evidence.Store
	door     *ingest.Door
	told     domain.Position // events before it were acknowledged
	signed   []proof.Checkpoint
}

func newCampaign(t *testing.T, seed uint64) *campaign {
	rng := rand.New(rand.NewPCG(seed, 7))
	c := &campaign{T: t, rng: rng, clock: begins(), rounds: world(rng), disk: powercut.New(rng)}
	c.want = undisturbed(t, c.rounds)
	return c
}

// fingerprint is the digest of what an event says: all but when it was
// recorded.
func fingerprint(r eventlog.Record) domain.Digest {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.Position))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Revision))
	b = fmt.Appendf(b, "%s\n%s\n%s\n%v\n", r.Stream, r.ID, r.Type, r.Metadata)
	return domain.Digest(sha256.Sum256(append(b, r.Payload...)))
}

// blobs keeps evidence in memory.
type blobs struct{}

func (blobs) Put(_ context.Context, raws ...[]byte) ([]domain.Digest, func() error, error) {
	ds := make([]domain.Digest, len(raws))
	for i, r := range raws {
		if len(r) > 0 {
			ds[i] = domain.DigestOf(r)
		}
	}
	return ds, func() error { return nil }, nil
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// undisturbed plays the month on a log in memory that never fails.
func undisturbed(t *testing.T, rounds []ingest.Round) (events []domain.Digest) {
	t.Helper()
	clock := begins()
	log := eventlog.NewMem(func() domain.Instant { clock++; return clock })
	door, err := ingest.OpenDoor(t.Context(), log, blobs{}, discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rounds {
		if _, err := door.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := settle(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	invoices := 0
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Type == "invoice.issued/1" {
			invoices++
		}
		events = append(events, fingerprint(r))
	}
	if invoices != 1 {
		t.Fatalf("the month without a crash has %d invoices", invoices)
	}
	return events
}

// settle closes the month, issues its invoice and reconciles the pool.
func settle(ctx context.Context, log eventlog.Log) error {
	s := &settlement.Settler{
		Log: log, Facts: facts.New(), Now: func() domain.Instant { return october.In(time.UTC).End.Add(domain.Day) },
		Render: func(i domain.Invoice) ([]settlement.Document, error) {
			content, err := json.Marshal(i)
			return []settlement.Document{{Name: i.Number + ".json", Content: content}}, err
		},
	}
	if _, err := s.Close(ctx, site, october); err != nil {
		return err
	}
	if _, err := s.Issue(ctx, site, october); err != nil {
		return err
	}
	a := pools.Account{Site: site, Terms: domain.PoolTerms{Pool: "foundry", Account: "s", Scheme: "fpps"}}
	_, err := s.Reconcile(ctx, a, october.In(time.UTC))
	return err
}

// play plays the month: every step is tried until it is done on a disk whose
// power was on all the while.
func (c *campaign) play() {
	c.open()
	for _, round := range c.rounds {
		c.trouble()
		c.until(func() error { _, err := c.door.Record(c.Context(), round); return err })
		if c.Failed() {
			return
		}
		if c.rng.IntN(40) == 0 {
			c.sign()
		}
	}
	for range 3 {
		c.trouble()
		c.disk.CutAt(c.rng.IntN(8))
		c.until(func() error { return settle(c.Context(), c.log) })
	}
	c.sign()
	c.hold(true)
	if err := c.close(); err != nil {
		c.Error(err)
	}
}

// trouble chooses what goes wrong next.
func (c *campaign) trouble() {
	c.clock += domain.Instant(c.rng.Int64N(int64(domain.Hour)))
	switch c.rng.IntN(30) {
	case 0, 1:
		c.disk.CutAt(c.rng.IntN(4))
	case 2:
		c.full++
		c.disk.Fill(true)
	case 3:
		c.clocks++
		c.clock += domain.Instant(c.rng.Int64N(int64(4*domain.Day))) - domain.Instant(2*domain.Day)
	}
}

// until does something until it is done and the power was on.
func (c *campaign) until(do func() error) {
	for !c.Failed() {
		err := do()
		switch {
		case c.disk.Off():
			c.restart()
		case errors.Is(err, pebblelog.ErrDiskFull):
			c.disk.Fill(false)
		case err != nil:
			c.Errorf("with the power on: %v", err)
		default:
			head, err := c.log.Head(c.Context())
			if err != nil {
				c.Error(err)
			}
			c.told = head
			return
		}
	}
}

func (c *campaign) open() {
	var err error
	if c.log, err = pebblelog.Open(c.config(c.disk)); err != nil {
		c.Fatal(err)
	}
	if c.evidence, err = evidence.OpenOn(c.disk.FS(), "evidence", discard()); err != nil {
		c.Fatal(err)
	}
	if c.door, err = ingest.OpenDoor(c.Context(), c.log, c.evidence, discard()); err != nil {
		c.Fatal(err)
	}
}

func (c *campaign) config(disk *powercut.Disk) pebblelog.Config {
	return pebblelog.Config{Dir: "log", FS: disk.FS(), Now: func() domain.Instant { return c.clock }, Logger: discard()}
}

func (c *campaign) close() error { return errors.Join(c.log.Close(), c.evidence.Close()) }

// restart opens the book on what the disk holds after the power cut.
func (c *campaign) restart() {
	c.crashes++
	if err := c.close(); err != nil { // on the disk that is gone
		c.Error(err)
	}
	c.disk = c.disk.Restart()
	c.open()
	c.hold(false)
	if c.rng.IntN(4) == 0 {
		c.change()
	}
}

// hold holds what the log has against the month without a crash.
func (c *campaign) hold(whole bool) {
	n := 0
	for r, err := range c.log.ReadAll(c.Context(), 0) {
		if err != nil {
			c.Errorf("read: %v", err)
			return
		}
		if n >= len(c.want) || fingerprint(r) != c.want[n] {
			c.Errorf("event %d is %s of %s, which is not what comes there without a crash", n, r.Type, r.Stream)
			return
		}
		n++
		if whole {
			c.evidenceOf(r)
		}
	}
	switch {
	case n < int(c.told):
		c.Errorf("%d events are there, and %d were acknowledged", n, c.told)
	case whole && n != len(c.want):
		c.Errorf("%d events at the end, want %d", n, len(c.want))
	case n > int(c.told):
		c.untold++
	}
	for _, s := range c.signed {
		if root, err := tlog.TreeHash(s.Size, c.log); err != nil || root != s.Root {
			c.Errorf("the tree of %d events is not the one that was signed: %v", s.Size, err)
		}
	}
	if whole {
		if _, err := proof.Verify(c.Context(), c.log, c.log, c.signed, nil); err != nil {
			c.Error(err)
		}
		if err := c.log.VerifyIndexes(c.Context()); err != nil {
			c.Error(err)
		}
	}
}

// evidenceOf looks for the bytes that an event names.
func (c *campaign) evidenceOf(r eventlog.Record) {
	rec, err := wire.Open(r)
	if err != nil {
		c.Error(err)
		return
	}
	if batch, ok := rec.Event.(domain.ReadingsRecorded); ok {
		if _, err := c.evidence.Get(c.Context(), batch.Origin.Evidence); err != nil {
			c.Errorf("position %d names evidence that is not there: %v", r.Position, err)
		}
	}
}

// sign keeps the size and the root of the log as they are now.
func (c *campaign) sign() {
	size, root, err := c.log.Tree()
	if err != nil {
		c.Error(err)
		return
	}
	if size > c.told { // of what was acknowledged alone can one be sure
		c.Errorf("the tree is of %d events, and %d were acknowledged", size, c.told)
	}
	c.signed = append(c.signed, proof.Checkpoint{Origin: "crash", Size: int64(size), Root: root})
}

// change changes a stored byte of the log, in a copy: either somebody says so,
// or every event is the one that it was.
func (c *campaign) change() {
	disk, where, err := c.disk.Changed("log")
	if err != nil {
		c.Error(err)
		return
	}
	c.changed++
	log, err := pebblelog.Open(c.config(disk))
	if err != nil {
		c.reported++
		var corrupt *eventlog.CorruptError
		if !errors.As(err, &corrupt) {
			c.Errorf("%s: %v", where, err)
		}
		return
	}
	n := 0
	for r, err := range log.ReadAll(c.Context(), 0) {
		if err != nil {
			c.reported++
			n = int(c.told)
			break
		}
		if n >= len(c.want) || fingerprint(r) != c.want[n] {
			c.Errorf("%s: event %d silently reads otherwise", where, n)
			break
		}
		n++
	}
	if n < int(c.told) {
		c.Errorf("%s: %d events are left of %d, and nobody says so", where, n, c.told)
	}
	if err := log.Close(); err != nil {
		c.Logf("%s: close: %v", where, err)
	}
}
