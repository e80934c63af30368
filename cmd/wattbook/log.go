package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
)

func logVerb() verb {
	return verb{
		name: "log", args: "stat | tail [--count N] [--from POSITION] | export -o FILE | import FILE [--key KEY] | copy --from LOG --to LOG",
		summary: "show what the log holds; carry it in one file, or to a cluster",
		help: `
stat counts the events by type and says where the log ends. tail prints the last
events, or those from a position on: one line each, with the payload in JSON;
readings are printed row by row. With --json it is one array, an event a line.

export writes the whole log, up to a new checkpoint, into one file; import makes
a new data folder of it. What comes in is checked against the root that was
signed, and against the signature if --key names the log's public key: the two
logs are the same, to the byte.

copy brings a log from a data folder to an EventStoreDB or KurrentDB server, or
back: one of --from and --to is a folder, the other a connection string such as
esdb://host:2113?tls=true. Every event keeps its position, its id and the time at
which it was recorded, so that both have one Merkle root; the copy is read back
and must have it. A target that has the first events already is continued: run
it again after it was interrupted. A target with another history is refused. Keys,
checkpoints and evidence stay where they are. Name and password of the server
are best given as the settings cluster_user and cluster_password
(WATTBOOK_CLUSTER_PASSWORD), its stream as cluster_stream.

With the setting cluster (WATTBOOK_CLUSTER) every verb works with the log on that
server instead of the one in the data folder, which holds all the rest.

Example: wattbook log tail --count 3`,
		run: logShow,
	}
}

func logShow(ctx context.Context, p *program, args []string) error {
	count := p.flags.Uint64("count", 10, "`number` of events that tail prints")
	from := p.flags.String("from", "", "`position` that tail prints from, instead of the last ones; the log that copy reads")
	to := p.flags.String("to", "", "`log` that copy brings the events to")
	out := p.flags.String("o", "", "`file` that export writes")
	key := p.flags.String("key", "", "public `key` of the log that import reads, or the file that it is in")
	rest, err := p.parse(args, 1, 2)
	if err != nil {
		return err
	}
	if len(rest) == 2 && rest[0] != "import" {
		return usagef("%s takes no argument, got %q", rest[0], rest[1])
	}
	switch rest[0] {
	case "export":
		if *out == "" {
			return usagef("-o is missing: name the file to write")
		}
		return p.withLog(ctx, func(l *logFolder) error { return logExport(ctx, p, l, *out) })
	case "import":
		if len(rest) != 2 {
			return usagef("name the file to import")
		}
		return logImport(ctx, p, rest[1], *key)
	case "stat":
		return p.withLog(ctx, func(l *logFolder) error { return logStat(ctx, p, l) })
	case "tail":
		start := int64(-1)
		if *from != "" {
			if start, err = strconv.ParseInt(*from, 10, 64); err != nil || start < 0 {
				return usagef("--from is %q; want a position such as 0", *from)
			}
		}
		return p.withLog(ctx, func(l *logFolder) error { return logTail(ctx, p, l, domain.Position(*count), start) })
	case "copy":
		return logCopy(ctx, p, *from, *to)
	}
	return usagef("want stat, tail, export, import or copy, got %q", rest[0])
}

// logStats is what the log holds.
type logStats struct {
	Events   domain.Position           `json:"events"`
	Streams  int                       `json:"streams"`
	Readings int64                     `json:"readings"`
	Payload  int64                     `json:"payload_bytes"`
	Disk     int64                     `json:"disk_bytes"`
	First    domain.Instant            `json:"first_recorded"`
	Last     domain.Instant            `json:"last_recorded"`
	Types    map[string]int64          `json:"types"`
	Marks    map[string]int64          `json:"marks"`
	streams  map[eventlog.Stream]int64 // events
}

func logStat(ctx context.Context, p *program, l *logFolder) error {
	s := logStats{Types: map[string]int64{}, Marks: map[string]int64{}, streams: map[eventlog.Stream]int64{}}
	for r, err := range l.log.ReadAll(ctx, 0) {
		if err != nil {
			return err
		}
		if s.Events == 0 {
			s.First = r.RecordedAt
		}
		s.Last = r.RecordedAt
		s.Events++
		s.Payload += int64(len(r.Payload))
		s.Types[r.Type]++
		s.streams[r.Stream]++
		if r.Type != wire.ReadingsRecorded {
			continue
		}
		rec, err := wire.Open(r)
		if err != nil {
			return err
		}
		for _, row := range rec.Event.(domain.ReadingsRecorded).Readings {
			s.Readings++
			s.Marks[row.Mark.String()]++
		}
	}
	s.Streams = len(s.streams)
	if _, err := l.embedded(); err == nil {
		s.Disk = diskSize(l.folder.log())
	}
	if p.common.json {
		return p.printJSON(s)
	}
	fmt.Fprintf(p.stdout, "%s events in %s streams, recorded %s to %s\n", thousands(int64(s.Events)), thousands(int64(s.Streams)), s.First, s.Last)
	fmt.Fprintf(p.stdout, "%s readings; %s bytes of payload", thousands(s.Readings), thousands(s.Payload))
	if s.Disk > 0 {
		fmt.Fprintf(p.stdout, ", %s on disk", thousands(s.Disk))
	}
	if s.Readings > 0 && s.Disk > 0 {
		fmt.Fprintf(p.stdout, ", %s a reading", domain.Quo(domain.NewDecimal(s.Disk, 0), domain.NewDecimal(s.Readings, 0), 1))
	}
	fmt.Fprint(p.stdout, "\n\n")
	for _, t := range slices.Sorted(maps.Keys(s.Types)) {
		fmt.Fprintf(p.stdout, "%12s  %s\n", thousands(s.Types[t]), t)
	}
	fmt.Fprint(p.stdout, "\nreadings by mark\n")
	for _, m := range slices.Sorted(maps.Keys(s.Marks)) {
		fmt.Fprintf(p.stdout, "%12s  %s\n", thousands(s.Marks[m]), m)
	}
	return nil
}

func diskSize(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

func logTail(ctx context.Context, p *program, l *logFolder, count domain.Position, from int64) error {
	head, err := l.log.Head(ctx)
	if err != nil {
		return err
	}
	start := head - min(head, count)
	if from >= 0 {
		start = domain.Position(from)
	}
	if from >= 0 && start >= head {
		return fmt.Errorf("the log has %s events: the last is at position %d, and none is at %d", thousands(int64(head)), head-1, start)
	}
	t := tail{p: p, sep: "["}
	for r, err := range l.log.ReadAll(ctx, start) {
		if err != nil {
			return err
		}
		if r.Position >= start+count {
			break
		}
		if err := t.print(r); err != nil {
			return err
		}
	}
	return t.end()
}

// tail writes events as text, or as one JSON array with an event a line.
type tail struct {
	p   *program
	sep string // that goes before the next event
}

func (t *tail) end() error {
	if !t.p.common.json {
		return nil
	}
	text := "\n]\n"
	if t.sep == "[" { // there was none
		text = "[]\n"
	}
	_, err := io.WriteString(t.p.stdout, text)
	return err
}

// print writes an event.
func (t *tail) print(r eventlog.Record) error {
	rec, err := wire.Open(r)
	if err != nil {
		return err
	}
	payload := json.RawMessage(r.Payload)
	batch, readings := rec.Event.(domain.ReadingsRecorded)
	if readings {
		if payload, err = json.Marshal(readable(batch)); err != nil {
			return err
		}
	}
	out := t.p.stdout
	if t.p.common.json {
		line, err := json.Marshal(map[string]any{
			"position": r.Position, "stream": r.Stream, "revision": r.Revision, "id": r.ID, "type": r.Type, "recorded_at": r.RecordedAt, "payload": payload,
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n%s", t.sep, line)
		t.sep = ","
		return err
	}
	fmt.Fprintf(out, "%d  %s  %s  %s/%d\n", r.Position, r.RecordedAt, r.Type, r.Stream, r.Revision)
	if !readings {
		fmt.Fprintf(out, "    %s\n", payload)
		return nil
	}
	fmt.Fprintf(out, "    %d readings for %s, %s, evidence %s\n", len(batch.Readings), batch.At, batch.Origin.Decoder, batch.Origin.Evidence.Short())
	for _, row := range batch.Readings {
		fmt.Fprintf(out, "    %-12s %-15s %-11s %24s  register %s\n", row.Device, row.Channel, row.Mark, row.Value, row.Register)
	}
	return nil
}

// readable is a batch of readings as JSON shows it.
func readable(b domain.ReadingsRecorded) any {
	type row struct {
		Device     domain.DeviceID `json:"device"`
		Channel    string          `json:"channel"`
		Interval   domain.Interval `json:"interval"`
		Value      domain.Int128   `json:"value"`
		Unit       string          `json:"unit"` // of the value
		Register   domain.Int128   `json:"register"`
		Mark       string          `json:"mark"`
		Provenance string          `json:"provenance"`
	}
	rows := make([]row, len(b.Readings))
	for i, r := range b.Readings {
		rows[i] = row{r.Device, r.Channel.String(), r.Interval, r.Value, unitOf(r.Channel), r.Register, r.Mark.String(), r.Provenance.String()}
	}
	return map[string]any{"site": b.Site, "at": b.At, "origin": b.Origin, "readings": rows}
}

// unitOf names the unit of a channel's values.
func unitOf(c domain.Channel) string {
	switch c {
	case domain.ChannelHashes:
		return "hashes"
	case domain.ChannelShares:
		return "hundred_millionths_of_share_difficulty"
	case domain.ChannelGPUTime:
		return "milliseconds"
	}
	return "milliwatt_hours"
}
