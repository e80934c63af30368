// Package logscript plays a site's month from a text script into a log, for
// tests.
//
// A script is lines of words that a site operator or a finance reader can
// check. A line records one event, or says how the next ones are to be read:
//
//	day 2026-10-14                the day of times such as 17:35, in UTC
//	now 2026-11-02T09:00          when the log records what follows
//	site cedar-bend step=5m zone=America/Chicago currency=USD node=hb_south
//	     revenue=revenue loss=0.012 pool=foundry/cedarbend fee=0.02
//	     limit=12MW ramp=6MW min-on=15m min-off=10m adder=6.5 reserve=300kW
//	     scheme=fpps pool-hash=2E day-start=16h threshold=1000000 later=2026-10-14T12:00:0.015
//	account ocean/west miners=c2,c3-r1 scheme=tides fee=0.01   a further pool
//	     account of the site, from now on or from=2026-10-14T12:00 on
//	meter c1 under=revenue use=mining rated=3MW
//	miner c1-r1 under=c1 rated=300kW rated-hash=20P typical=200kW typical-hash=12P
//	gpu n1-0 under=n1
//	read c1 17:30..17:35 12.5kWh mark=gap     one reading; a mark other than normal
//	read c1 17:00..18:00 12.5kWh every=5m     one for each five minutes of it
//	read c1-r1 17:30..17:35 838860.8shares    accepted share difficulty
//	read c1-r1 17:30..17:35 3600Phashes       hashes that the miner counted
//	silent c1-r1 17:35
//	estimate n4 17:00..18:00 mean-of-neighbours by=ana reason=fuse   what is missing of it
//	price hb_south 17:30 15m 41.27 -12.5      power per MWh, interval by interval
//	price hb_south 17:00..18:00 15m 41.27     the same one for all of it
//	bitcoin USD 17:00 1h 98211.42
//	difficulty 969696 11:07 17023c7e          height, time, bits
//	fees 2026-10-14 147 643451616             day, blocks, satoshi
//	contract aurora version=1 buyer=aurora series=CB zone=America/Chicago
//	     from=2026-10-01@America/Chicago tax=0.0825 days=30
//	charge reserved reserved-gpus 16 x 1450 overage=2.75
//	charge used on-demand-gpus 2.49
//	charge space reserved-power 12 x 155.6
//	charge power power-pass-through n4,n5 adder=6.5 loss=0.012
//	charge used usage gpu-hours model=graduated tiers=100:2.5+5,:2
//	prepay aurora 1000 2026-09-30             money for use to come
//	pay aurora CB-2026-000001 500 2026-11-20  money for an invoice
//	bounce aurora CB-2026-000001 tx7 500 2026-11-25    a payment that was taken back
//	claim aurora sla 2026-10                  a credit that is given on claim
//	bill 2026-10@America/Chicago 244000.10    the utility's, for the site
//	     at=2026-10-31 reference=INV-77 corrects
//	start job-1 aurora 4 17:00                GPUs of a customer
//	end job-1 19:02
//	statement foundry/cedarbend 2026-10-14 subsidy=1000 fees=20 fee=20 other=0 net=1000 partial
//	statement foundry/cedarbend 2026-10-14 net=1000 shares=0.024 net-only
//	payout foundry/cedarbend 2026-10-15T06:00 35626721 tx=t1 address=bc1q block=b1
//	paid foundry/cedarbend 4711 2026-10-15T06:00 35626721 fee=141 rail=on-chain
//	     status=paid tx=t1 address=bc1q       what the pool says that it paid
//	reversed foundry/cedarbend t1 b1          the block b1 was undone
//	marked foundry/cedarbend 2026-10-14 disputed 73280    what somebody decided of a difference
//	sell 0.05 BTC 4910.57 2026-10-20T18:00 basis=specific lots=foundry/cedarbend_2026-10-14:0.05
//	     fee=1.47 network=1410            bitcoin that the site sold
//	decide 17:35..17:40                       the allocation, from what is known
//
// Charges belong to the contract above them. A time is hh:mm on the day, a
// date, or a date and time; with @zone behind it, it is local. An interval is
// two times with two dots between them, or a month with its zone:
// 2026-10@America/Chicago. Long lines go on in lines that are indented.
package logscript

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
)

// Player plays lines into a log in memory.
type Player struct {
	Log *eventlog.Mem

	facts *facts.Facts
	now   domain.Instant
	day   time.Time
	site  domain.SiteID
	// registered is the site as it was registered last.
	registered domain.SiteRegistered
	contract   *domain.ContractSigned // whose charges are being told
	played     int
}

// New returns a player with an empty log, which records from 2026-01-01 on.
func New() *Player {
	p := &Player{facts: facts.New(), day: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	p.now = domain.At(p.day)
	p.Log = eventlog.NewMem(func() domain.Instant { return p.now })
	return p
}

// Play plays lines of a script.
func (p *Player) Play(lines ...string) error {
	for _, line := range join(lines) {
		if err := p.line(line); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

// Facts returns what is known at the end of the log.
func (p *Player) Facts() (*facts.Facts, error) {
	if err := p.sign(); err != nil {
		return nil, err
	}
	_, err := projections.Fold(context.Background(), p.Log, p.facts.Next, projections.Head, p.facts)
	return p.facts, err
}

// Site returns the site that the script is about.
func (p *Player) Site() domain.SiteID { return p.site }

// Now returns when the log records.
func (p *Player) Now() domain.Instant { return p.now }

// Append records an event as it is, whatever it says.
func (p *Player) Append(stream eventlog.Stream, e domain.Event) error {
	if err := p.sign(); err != nil {
		return err
	}
	return p.append(stream, e)
}

func (p *Player) append(stream eventlog.Stream, e domain.Event) error {
	p.played++
	draft, err := wire.Draft(domain.EventIDOf("logscript", fmt.Sprint(p.played)), e, nil)
	if err != nil {
		return err
	}
	_, err = p.Log.Append(context.Background(), eventlog.Write{Stream: stream, Expect: eventlog.Any, Events: []eventlog.Draft{draft}})
	return err
}

// sign records the contract whose charges have been told.
func (p *Player) sign() error {
	c := p.contract
	if c == nil {
		return nil
	}
	p.contract = nil
	if err := c.Validate(); err != nil {
		return err
	}
	return p.append("facts-script", *c)
}

// join takes comments out and puts continued lines together.
func join(lines []string) []string {
	var all []string
	for _, block := range lines {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), "#")
			words := strings.TrimSpace(line)
			switch {
			case words == "":
			case line[0] == ' ' && len(all) > 0:
				all[len(all)-1] += " " + words
			default:
				all = append(all, words)
			}
		}
	}
	return all
}

// words are what a line says: plain words, and those of the form key=value.
type words struct {
	plain []string
	keys  map[string]string
	used  map[string]bool
}

func wordsOf(line string) *words {
	w := &words{keys: map[string]string{}, used: map[string]bool{}}
	for _, f := range strings.Fields(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			w.keys[k] = v
		} else {
			w.plain = append(w.plain, f)
		}
	}
	return w
}

func (w *words) key(k, otherwise string) string {
	w.used[k] = true
	if v, ok := w.keys[k]; ok {
		return v
	}
	return otherwise
}

// unused reports a key that nobody asked for: a typing error.
func (w *words) unused() error {
	for _, k := range slices.Sorted(maps.Keys(w.keys)) {
		if !w.used[k] {
			return fmt.Errorf("nothing is done with %s=", k)
		}
	}
	return nil
}

// verb is how a kind of line is played, and how many plain words it needs.
type verb struct {
	words int
	play  func(*Player, *words) error
}

func verbs() map[string]verb {
	return map[string]verb{
		"day": {2, (*Player).playDay}, "now": {2, (*Player).playNow},
		"site": {2, (*Player).playSite}, "account": {2, (*Player).playAccount},
		"meter": {2, (*Player).playDevice}, "miner": {2, (*Player).playDevice}, "gpu": {2, (*Player).playDevice},
		"read": {4, (*Player).playRead}, "silent": {3, (*Player).playSilent}, "estimate": {4, (*Player).playEstimate},
		"price": {5, (*Player).playPrice}, "bitcoin": {5, (*Player).playPrice},
		"difficulty": {4, (*Player).playDifficulty}, "fees": {4, (*Player).playFees},
		"contract": {2, (*Player).playContract}, "charge": {4, (*Player).playCharge},
		"prepay": {4, (*Player).playPrepay}, "pay": {5, (*Player).playPay}, "bounce": {6, (*Player).playBounce}, "claim": {4, (*Player).playClaim}, "bill": {3, (*Player).playBill},
		"start": {5, (*Player).playStart}, "end": {3, (*Player).playEnd},
		"statement": {3, (*Player).playStatement}, "payout": {4, (*Player).playPayout},
		"paid": {5, (*Player).playPaid}, "reversed": {4, (*Player).playReversed},
		"marked": {5, (*Player).playMarked}, "sell": {5, (*Player).playSell},
		"decide": {2, (*Player).playDecide},
	}
}

func (p *Player) line(line string) error {
	w := wordsOf(line)
	v, ok := verbs()[w.plain[0]]
	if !ok {
		return fmt.Errorf("no such line; known are %v", slices.Sorted(maps.Keys(verbs())))
	}
	if len(w.plain) < v.words {
		return fmt.Errorf("a line of this kind has %d words", v.words)
	}
	if w.plain[0] != "charge" {
		if err := p.sign(); err != nil {
			return err
		}
	}
	if err := v.play(p, w); err != nil {
		return err
	}
	return w.unused()
}

// Instant reads a time as scripts write them.
func (p *Player) Instant(s string) (domain.Instant, error) {
	text, name, local := strings.Cut(s, "@")
	zone := time.UTC
	if local {
		var err error
		if zone, err = time.LoadLocation(name); err != nil {
			return 0, err
		}
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04:05.999999"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return domain.At(t), nil
		}
	}
	if text == "24:00" {
		return domain.At(p.day.AddDate(0, 0, 1)), nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return domain.At(time.Date(p.day.Year(), p.day.Month(), p.day.Day(), t.Hour(), t.Minute(), t.Second(), 0, zone)), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 17:35 or 2026-10-14T17:35", s)
}

// Interval reads an interval as scripts write them.
func (p *Player) Interval(s string) (domain.Interval, error) {
	if month, name, ok := strings.Cut(s, "@"); ok && !strings.Contains(s, "..") {
		period, err := domain.ParsePeriod(month)
		if err != nil {
			return domain.Interval{}, err
		}
		zone, err := time.LoadLocation(name)
		if err != nil {
			return domain.Interval{}, err
		}
		return period.In(zone), nil
	}
	from, to, ok := strings.Cut(s, "..")
	if !ok {
		return domain.Interval{}, fmt.Errorf("%q is not an interval such as 17:30..17:35", s)
	}
	start, err := p.Instant(from)
	if err != nil {
		return domain.Interval{}, err
	}
	end, err := p.Instant(to)
	if err == nil && end <= start {
		err = fmt.Errorf("interval %q is empty", s)
	}
	return domain.Interval{Start: start, End: end}, err
}
