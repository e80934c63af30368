package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/ingest/counter"
)

// ErrUnrecordable means that a round can never be recorded, whatever is tried:
// it is to be parked where a person finds it, with its bytes.
var ErrUnrecordable = errors.New("round cannot be recorded")

// Evidence keeps raw bytes by their digest.
type Evidence interface {
	// Put keeps the blobs and returns their digests. They are durable when
	// durable has returned no error. Keeping the same bytes again costs
	// nothing.
	Put(ctx context.Context, blobs ...[]byte) (digests []domain.Digest, durable func() error, err error)
}

// Door turns rounds into events and appends them. It remembers where every
// register stood, which intervals are booked and which facts are on record;
// all of it is recovered from the log when the door is opened. A door is not
// safe for concurrent use, and a log has one door at a time: a second writer
// is noticed by the revisions of the streams.
type Door struct {
	log      eventlog.Log
	evidence Evidence
	logger   *slog.Logger

	registry  domain.Registry
	counters  map[series]counter.State
	booked    map[series]runs
	estimated map[series]runs   // what of it is estimated by a method, and not delivered since
	silences  map[series]runs   // the boundaries at which it did not answer, each as the step from there
	facts     map[string]string // what is on record, by what it is about
	lengths   map[eventlog.Stream]eventlog.Revision
	polled    map[domain.SiteID]domain.Instant   // last boundary with readings
	batched   map[eventlog.Stream]domain.Instant // likewise, by stream
	position  domain.Position                    // all before it is remembered; what is after it may be
	told      telling
}

// Report counts what became of a round.
type Report struct {
	Readings   int // rows recorded, whatever their mark
	Marks      map[domain.Mark]int
	Facts      int // facts that were new
	Duplicates int // readings and facts that were on record already
	Conflicts  int // facts that contradict the record
	Rejected   int // replies that could not be understood
	Events     int // events appended
}

// Add adds the counts of another report. Marks must not be nil.
func (r *Report) Add(more Report) {
	r.Readings += more.Readings
	r.Facts += more.Facts
	r.Duplicates += more.Duplicates
	r.Conflicts += more.Conflicts
	r.Rejected += more.Rejected
	r.Events += more.Events
	for m, n := range more.Marks {
		r.Marks[m] += n
	}
}

// OpenDoor recovers the door's memory from the log.
func OpenDoor(ctx context.Context, log eventlog.Log, evidence Evidence, logger *slog.Logger) (*Door, error) {
	d := &Door{
		log: log, evidence: evidence, logger: logger,
		counters:  map[series]counter.State{},
		booked:    map[series]runs{},
		estimated: map[series]runs{},
		silences:  map[series]runs{},
		facts:     map[string]string{},
		lengths:   map[eventlog.Stream]eventlog.Revision{},
		polled:    map[domain.SiteID]domain.Instant{},
		batched:   map[eventlog.Stream]domain.Instant{},
		told:      telling{silent: map[domain.DeviceKey]domain.Instant{}, refused: map[domain.SourceID][]string{}},
	}
	return d, d.catchUp(ctx)
}

// catchUp folds what the log holds beyond the door's memory.
func (d *Door) catchUp(ctx context.Context) error {
	var opener wire.Opener
	for r, err := range d.log.ReadAll(ctx, d.position) {
		if err != nil {
			return fmt.Errorf("recover the state of ingestion: %w", err)
		}
		rec, err := opener.Open(r)
		if err != nil {
			return fmt.Errorf("recover the state of ingestion: %w", err)
		}
		d.remember(rec.Event)
		d.lengths[r.Stream] = r.Revision + 1
		d.position = r.Position + 1
	}
	return nil
}

// remember folds one recorded event.
func (d *Door) remember(e domain.Event) {
	d.registry.Apply(e)
	if batch, ok := e.(domain.ReadingsRecorded); ok {
		for _, r := range batch.Readings {
			k := series{batch.Site, r.Device, r.Channel}
			if r.Mark.Books() && len(d.estimated[k]) > 0 {
				d.estimated[k] = d.estimated[k].remove(r.Interval)
			}
			if r.Mark == domain.MarkEstimated {
				d.estimated[k] = d.estimated[k].add(r.Interval)
			}
			if r.Mark != domain.MarkDelivered && r.Mark != domain.MarkCorrected {
				s := d.counters[k]
				s.Recall(r)
				d.counters[k] = s
			}
			switch {
			case r.Mark == domain.MarkSilent:
				d.silences[k] = d.silences[k].add(d.from(batch.Site, r.Interval.Start))
			case r.Mark == domain.MarkConflict:
				d.facts[contradiction(batch.Site, r)] = ""
			case r.Mark.Books() && r.Mark != domain.MarkCorrected:
				d.booked[k] = d.booked[k].add(r.Interval)
			}
		}
		d.polled[batch.Site] = max(d.polled[batch.Site], batch.At)
		stream := readingStream(batch.Site, batch.Origin.Source)
		d.batched[stream] = max(d.batched[stream], batch.At)
		return
	}
	if c, ok := e.(domain.FactConflicted); ok {
		d.facts[conflict(c.Fact, c.Offered)] = ""
		return
	}
	if _, ids, _, err := describe(e); err == nil {
		for _, id := range ids {
			d.facts[id.about] = id.says
		}
	}
}

// from returns the step of the site that begins at a boundary.
func (d *Door) from(id domain.SiteID, at domain.Instant) domain.Interval {
	step := domain.Duration(1)
	if site, ok := d.registry.Site(id); ok && site.Step > 0 {
		step = site.Step
	}
	return domain.Interval{Start: at, End: at.Add(step)}
}

// contradiction is the key of a reading that contradicts the record.
func contradiction(site domain.SiteID, r domain.Reading) string {
	return conflict(fmt.Sprintf("reading %s %s %s %s", site, r.Device, r.Channel, r.Interval), fmt.Sprintf("%s %s", r.Value, r.Register))
}

// Polled returns the last boundary for which readings of the site are on
// record, or 0: polling goes on after it.
func (d *Door) Polled(site domain.SiteID) domain.Instant { return d.polled[site] }

// Registry returns what is registered, for callers that set up sources.
func (d *Door) Registry() *domain.Registry { return &d.registry }

// Record keeps the round's evidence and appends its events, all at once. It
// returns when they are durable. Recording the same round again, after an
// error or a restart, records nothing twice.
func (d *Door) Record(ctx context.Context, round Round) (Report, error) {
	var report Report
	if err := domain.CheckID("site", round.Site); err != nil {
		return report, fmt.Errorf("%w: %w", ErrUnrecordable, err)
	}
	raws := make([][]byte, len(round.Deliveries))
	for i, del := range round.Deliveries {
		if err := domain.CheckID("source", del.Source); err != nil {
			return report, fmt.Errorf("%w: %w", ErrUnrecordable, err)
		}
		raws[i] = del.Raw
	}
	kept := keeping{}
	var err error
	if kept.digests, kept.durable, err = d.evidence.Put(ctx, raws...); err != nil {
		return report, fmt.Errorf("keep evidence of %s at %s: %w", round.Site, round.At, err)
	}
	defer kept.durable() //nolint:errcheck // a round that is given up waits too, since its bytes are still being read
	for attempt := 0; ; attempt++ {
		report = Report{Marks: map[domain.Mark]int{}}
		err := d.record(ctx, round, kept, &report)
		if attempt > 0 || !errors.Is(err, eventlog.ErrIdempotencyConflict) && !errors.Is(err, eventlog.ErrWrongExpectedRevision) {
			return report, err
		}
		// The log knows more than the door: an append whose answer was lost
		// was recorded after all. Learn what is there and plan again.
		if err := d.catchUp(ctx); err != nil {
			return report, err
		}
	}
}

// keeping is evidence on its way to the disk.
type keeping struct {
	digests []domain.Digest
	durable func() error
}

// record plans the events of a round while its evidence is being kept, and
// appends them once it is: an event never names bytes that may yet be lost.
func (d *Door) record(ctx context.Context, round Round, kept keeping, report *Report) error {
	p := &plan{
		door: d, round: round, report: report,
		counters: map[series]counter.State{}, said: map[string]string{},
	}
	for i, del := range round.Deliveries {
		origin := domain.Origin{Source: del.Source, Observed: del.Observed, Decoder: del.Decoder}
		if len(del.Raw) > 0 {
			origin.Evidence = kept.digests[i]
		}
		if err := p.delivery(ctx, del, origin); err != nil {
			return fmt.Errorf("record %s of %s at %s: %w", del.Source, round.Site, round.At, err)
		}
	}
	if err := kept.durable(); err != nil {
		return fmt.Errorf("keep evidence of %s at %s: %w", round.Site, round.At, err)
	}
	if len(p.order) > 0 {
		if err := p.append(ctx); err != nil {
			return err
		}
	}
	d.told.round(d.logger, round, p.refused)
	return nil
}

// Park records that a message which carried a round can never be recorded, and
// keeps its bytes. A site that cannot be told is "unknown".
func (d *Door) Park(ctx context.Context, site domain.SiteID, at domain.Instant, payload []byte, reason string) error {
	if domain.CheckID("site", site) != nil {
		site = "unknown"
	}
	_, err := d.Record(ctx, Round{Site: site, At: at, Deliveries: []Delivery{{
		Source: "bus", Observed: at, Decoder: "round/1", Raw: payload,
		Rejected: []Rejection{{Reason: reason + " (digest " + domain.DigestOf(payload).Short() + ")"}},
	}}})
	return err
}

// plan collects the events of a round without touching the door's memory, so
// that a failed append changes nothing.
type plan struct {
	door     *Door
	round    Round
	report   *Report
	order    []eventlog.Stream
	drafts   map[eventlog.Stream][]eventlog.Draft
	events   []domain.Event
	counters map[series]counter.State // moved by this round
	said     map[string]string        // facts of this round
	passed   map[series]domain.Int128 // registers on record for the round's boundary, once they are asked for
	refused  []refusal                // observations of this round
}

func (p *plan) add(stream eventlog.Stream, e domain.Event, about ...string) error {
	draft, err := wire.Draft(domain.EventIDOf(append([]string{string(stream)}, about...)...), e, nil)
	if err == nil && len(draft.Payload) > eventlog.MaxEventBytes {
		err = fmt.Errorf("event of type %s has %d bytes, limit %d", draft.Type, len(draft.Payload), eventlog.MaxEventBytes)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnrecordable, err)
	}
	if p.drafts == nil {
		p.drafts = map[eventlog.Stream][]eventlog.Draft{}
	}
	if p.drafts[stream] == nil {
		p.order = append(p.order, stream)
	}
	p.drafts[stream] = append(p.drafts[stream], draft)
	p.events = append(p.events, e)
	p.report.Events++
	return nil
}

func (p *plan) delivery(ctx context.Context, del Delivery, origin domain.Origin) error {
	batch := domain.ReadingsRecorded{Site: p.round.Site, At: p.round.At, Origin: origin}
	var rejected []Rejection
	for _, s := range del.Samples {
		reading, ok, err := p.sample(s)
		if ok && reading.Mark == domain.MarkConflict {
			if ok, err = p.contradicts(ctx, reading); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			rejected = append(rejected, Rejection{s.Device, err.Error()})
		case ok:
			batch.Readings = append(batch.Readings, reading)
		default:
			p.report.Duplicates++
		}
	}
	for _, s := range del.Silent {
		if k := (series{p.round.Site, s.Device, s.Channel}); p.door.silences[k].overlaps(p.door.from(p.round.Site, p.round.At)) {
			p.report.Duplicates++
			continue
		}
		batch.Readings = append(batch.Readings, domain.Reading{
			Device: s.Device, Channel: s.Channel, Mark: domain.MarkSilent, Provenance: domain.ProvenanceEstimated,
			Interval: domain.Interval{Start: p.round.At, End: p.round.At},
		})
	}
	values, bad, err := p.values(ctx, del)
	if err != nil {
		return err
	}
	batch.Readings = append(batch.Readings, values...)
	rejected = append(append(rejected, bad...), del.Rejected...)
	for _, r := range batch.Readings {
		p.report.Marks[r.Mark]++
		p.report.Readings++
	}
	if len(batch.Readings) > 0 {
		if err := p.readings(del, batch); err != nil {
			return err
		}
	}
	for _, r := range rejected {
		if err := p.reject(origin, r); err != nil {
			return err
		}
	}
	for i, fact := range del.Facts {
		if err := p.fact(withOrigin(fact, origin), origin, del.Corrects); err != nil {
			var bad *badFact
			if !errors.As(err, &bad) {
				return err
			}
			if err := p.reject(origin, Rejection{Reason: fmt.Sprintf("fact %d: %v", i+1, bad.err)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// readingsPerEvent bounds a batch, so that an event stays far below the log's
// limit; only imported files reach it.
const readingsPerEvent = 8192

// readings adds a batch of readings as one event, or a large one as several.
func (p *plan) readings(del Delivery, batch domain.ReadingsRecorded) error {
	stream := readingStream(p.round.Site, del.Source)
	about := []string{p.round.At.String(), ""}
	if at, ok := p.door.batched[stream]; ok && p.round.At <= at {
		// The boundary was recorded before: these rows say how they differ.
		_, payload, err := wire.Encode(batch)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnrecordable, err)
		}
		about = append(about, domain.DigestOf(payload).String())
	}
	rows := batch.Readings
	for part := 0; len(rows) > 0; part++ {
		n := min(len(rows), readingsPerEvent)
		batch.Readings, rows = rows[:n:n], rows[n:]
		about[1] = fmt.Sprint(part)
		if err := p.add(stream, batch, about...); err != nil {
			return err
		}
	}
	return nil
}

func readingStream(site domain.SiteID, source domain.SourceID) eventlog.Stream {
	return eventlog.Stream(fmt.Sprintf("readings-%s.%s", site, source))
}

// sample interprets one observation of a register. It reports false if the
// observation is on record already.
func (p *plan) sample(s Sample) (domain.Reading, bool, error) {
	reading := domain.Reading{Device: s.Device, Channel: s.Channel, Register: s.Register, Provenance: s.Provenance}
	if s.Register.Sign() < 0 || s.Register.Cmp(domain.ReadingLimit) > 0 {
		return reading, false, fmt.Errorf("register %s of %s is outside 0 to 2^96", s.Register, s.Channel)
	}
	site, ok := p.door.registry.Site(p.round.Site)
	if !ok {
		return reading, false, fmt.Errorf("site %s is not registered", p.round.Site)
	}
	device, ok := p.door.registry.Device(p.round.Site, s.Device)
	if !ok {
		return reading, false, fmt.Errorf("device %s is not registered at %s", s.Device, p.round.Site)
	}
	register, err := s.register(device)
	if err != nil {
		return reading, false, err
	}
	if p.round.At.Floor(site.Step) != p.round.At {
		return reading, false, fmt.Errorf("boundary %s is not a multiple of the site's step %s", p.round.At, site.Step)
	}
	var exchange *counter.Exchange
	if e, ok := p.door.registry.Exchange(p.round.Site, s.Device, s.Channel); ok {
		exchange = &counter.Exchange{At: e.At, Serial: e.Serial, Final: e.Final, Initial: e.Initial}
	}
	k := series{p.round.Site, s.Device, s.Channel}
	state, moved := p.counters[k]
	if !moved {
		state = p.door.counters[k]
	}
	before := state
	result, err := state.Step(register, site.Step, device.Serial, exchange, counter.Sample{
		At: p.round.At, Register: s.Register, Started: s.Started, Serial: s.Serial,
	})
	if errors.Is(err, counter.ErrOld) {
		same := before.At == p.round.At && before.Register == s.Register ||
			before.Suspect && before.SuspectAt == p.round.At && before.SuspectOn == s.Register
		reading.Interval, reading.Mark = domain.Interval{Start: p.round.At, End: p.round.At}, domain.MarkConflict
		_, known := p.door.facts[contradiction(p.round.Site, reading)]
		return reading, !same && !known, nil
	}
	if err != nil {
		return reading, false, err
	}
	reading.Interval, reading.Value, reading.Mark = result.Interval, result.Value, result.Mark
	if err := reading.Validate(); err != nil {
		return reading, false, err
	}
	p.counters[k] = state
	return reading, true, nil
}

// contradicts reports whether a register for a boundary that has been passed
// is another one than is on record for it. That is found in the log.
func (p *plan) contradicts(ctx context.Context, r domain.Reading) (bool, error) {
	if p.passed == nil {
		var err error
		if p.passed, err = p.door.registersAt(ctx, p.round.Site, p.round.At); err != nil {
			return false, err
		}
	}
	was, ok := p.passed[series{p.round.Site, r.Device, r.Channel}]
	return !ok || was != r.Register, nil
}

// conflict is the key under which a contradiction is known, so that the same
// one, offered at every poll, is recorded once.
func conflict(fact, offered string) string { return "conflict\n" + fact + "\n" + offered }

// badFact is a fact that cannot be recorded whatever is tried.
type badFact struct{ err error }

func (b *badFact) Error() string { return b.err.Error() }

// fact adds a fact if it is new, and as a conflict if it contradicts the
// record. A price series is split: each interval is a fact of its own.
func (p *plan) fact(e domain.Event, origin domain.Origin, corrects bool) error {
	stream, ids, how, err := describe(e)
	if err != nil {
		return &badFact{err}
	}
	const (
		fresh = iota
		same
		restates
		conflicts
	)
	kinds := make([]int, len(ids))
	for i, id := range ids {
		known, ok := p.said[id.about]
		if !ok {
			known, ok = p.door.facts[id.about]
		}
		switch {
		case !ok:
			kinds[i] = fresh
		case known == id.says:
			kinds[i] = same
			p.report.Duplicates++
		case how == always && !p.changesNature(e) || how == onRequest && corrects:
			kinds[i] = restates
		default:
			kinds[i] = conflicts
			p.report.Conflicts++
			c := domain.FactConflicted{Fact: strings.TrimSpace(id.about), Known: known, Offered: id.says, Origin: origin}
			p.door.logger.Warn("fact contradicts the record", "fact", c.Fact, "known", c.Known, "offered", c.Offered, "source", origin.Source)
			said := conflict(c.Fact, id.says)
			if _, ok := p.door.facts[said]; !ok {
				p.said[said] = ""
				if err := p.add(stream2("conflict", p.round.Site), c, id.about, id.says); err != nil {
					return err
				}
			}
		}
	}
	for from := 0; from < len(ids); {
		to := from + 1
		for to < len(ids) && kinds[to] == kinds[from] {
			to++
		}
		if kinds[from] == fresh || kinds[from] == restates {
			about := []string{}
			for _, id := range ids[from:to] {
				p.said[id.about] = id.says
				about = append(about, id.about, id.says)
			}
			if kinds[from] == restates { // the same value may come back after another
				about = append(about, p.round.At.String())
			}
			if err := p.add(stream, cut(e, from, to, kinds[from] == restates), about...); err != nil {
				return &badFact{err}
			}
			p.report.Facts++
		}
		from = to
	}
	return nil
}

func (p *plan) reject(origin domain.Origin, r Rejection) error {
	p.report.Rejected++
	reason := r.Reason
	if r.Device != "" {
		reason = string(r.Device) + ": " + reason
	}
	reason = clip(reason)
	said := "rejected\n" + string(origin.Source) + "\n" + reason
	if _, ok := p.said[said]; ok {
		return nil // two quantities of one device, refused for one reason
	}
	p.said[said] = ""
	p.refused = append(p.refused, refusal{origin.Source, reason})
	e := domain.ObservationRejected{Site: p.round.Site, At: p.round.At, Reason: reason, Origin: origin}
	return p.add(stream2("rejection", p.round.Site), e, string(origin.Source), p.round.At.String(), reason)
}

// clip keeps a message from outside short and printable.
func clip(s string) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s), "?")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

// append records the plan's events and, once they are durable, moves the
// door's memory.
func (p *plan) append(ctx context.Context) error {
	d := p.door
	writes := make([]eventlog.Write, len(p.order))
	for i, s := range p.order {
		writes[i] = eventlog.Write{Stream: s, Expect: eventlog.After(d.lengths[s]), Events: p.drafts[s]}
	}
	receipt, err := d.log.Append(ctx, writes...)
	if errors.Is(err, eventlog.ErrWrongExpectedRevision) {
		return fmt.Errorf("somebody else records for %s on this log; stop one of the two: %w", p.round.Site, err)
	}
	if err != nil {
		return err
	}
	if receipt.Known { // a retry after an answer that was lost
		return d.catchUp(ctx)
	}
	for _, e := range p.events {
		d.remember(e)
	}
	// Recall gives what Step left; the round's own states are exact.
	maps.Copy(d.counters, p.counters)
	for _, s := range p.order {
		d.lengths[s] += eventlog.Revision(len(p.drafts[s]))
	}
	if receipt.First == d.position {
		d.position += domain.Position(receipt.Count)
	}
	return nil
}

// String says what became of a round, in words.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d readings, %d facts in %d events", r.Readings, r.Facts, r.Events)
	for _, m := range slices.Sorted(maps.Keys(r.Marks)) {
		if m != domain.MarkNormal && m != domain.MarkDelivered {
			fmt.Fprintf(&b, ", %d %s", r.Marks[m], m)
		}
	}
	for _, c := range []struct {
		n    int
		what string
	}{{r.Duplicates, "on record already"}, {r.Conflicts, "conflicting"}, {r.Rejected, "rejected"}} {
		if c.n > 0 {
			fmt.Fprintf(&b, ", %d %s", c.n, c.what)
		}
	}
	return b.String()
}
