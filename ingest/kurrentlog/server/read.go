package server

import (
	"context"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// pageEvents is how many events are taken from the store at a time.
const pageEvents = 256

// Read implements the streams service: reads and subscriptions.
func (v *streamsService) Read(req *streams.ReadReq, stream streams.Streams_ReadServer) error {
	ctx := stream.Context()
	o := req.GetOptions()
	call := Read
	if o.GetSubscription() != nil {
		call = Subscribe
	}
	v.s.watch(ctx, call)
	f := v.s.fault(call)
	if err := v.s.led(ctx); err != nil {
		return err
	}
	if err := v.s.strike(ctx, f, false); err != nil {
		return err
	}
	filter, err := filterOf(o.GetFilter())
	if err != nil {
		return err
	}
	r := &reader{s: v.s, book: v.s.cluster.book, options: o, filter: filter, out: stream, fault: f}
	backwards := o.GetReadDirection() == streams.ReadReq_Options_Backwards
	switch {
	case o.GetUuidOption() == nil:
		return status.Error(codes.InvalidArgument, "'uuidOption' is a required argument")
	case call == Subscribe && backwards, o.GetStream() != nil && filter != nil, o.GetStream() == nil && o.GetAll() == nil:
		return status.Error(codes.InvalidArgument, "The combination of options is invalid.")
	case call == Subscribe:
		return r.subscribe(ctx)
	case o.GetStream() != nil && f.is(Behind):
		return r.notFound(string(o.GetStream().GetStreamIdentifier().GetStreamName()))
	case o.GetStream() != nil:
		return r.stream(ctx, backwards)
	}
	return r.all(ctx, backwards)
}

// reader answers one read or subscription.
type reader struct {
	s       *Server
	book    *book
	options *streams.ReadReq_Options
	filter  *filter
	out     streams.Streams_ReadServer
	fault   *Fault
	sent    int // events
}

// wanted returns how many events are asked for.
func (r *reader) wanted() int {
	return int(min(r.options.GetCount(), math.MaxInt32))
}

func (r *reader) stream(ctx context.Context, backwards bool) error {
	o := r.options.GetStream()
	name := string(o.GetStreamIdentifier().GetStreamName())
	from := int64(0)
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		from = int64(min(at.Revision, math.MaxInt64))
	case *streams.ReadReq_Options_StreamOptions_End:
		from = math.MaxInt64
	}
	for {
		events, err := r.book.page(name, from, backwards, min(pageEvents, r.wanted()-r.sent))
		switch {
		case errors.Is(err, errNoStream):
			return r.notFound(name)
		case err != nil:
			return streamDeleted(ctx, name)
		case len(events) == 0:
			return r.ended(name)
		}
		for _, e := range events {
			if err := r.send(ctx, e); err != nil {
				return err
			}
		}
		if from = int64(events[len(events)-1].Revision) + 1; backwards {
			from -= 2
		}
	}
}

func (r *reader) notFound(name string) error {
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: identifier(name)},
	}})
}

// ended tells a client that knows the word where the stream ends.
func (r *reader) ended(name string) error {
	if r.options.GetControlOption().GetCompatibility() == 0 {
		return nil
	}
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(r.book.last(name))}})
}

// all reads $all: forwards from an event on, backwards from before it.
func (r *reader) all(ctx context.Context, backwards bool) error {
	size, _ := r.book.size()
	at := 0
	switch p := r.options.GetAll().GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		at = r.book.before(p.Position.GetCommitPosition(), p.Position.GetPreparePosition(), false)
	case *streams.ReadReq_Options_AllOptions_End:
		at = size
	}
	for at < size && !backwards || at > 0 && backwards {
		if r.sent == r.wanted() {
			return nil
		}
		from := at
		if backwards {
			from--
		}
		e := r.book.slice(from, 1)[0]
		if at++; backwards {
			at -= 2
		}
		if !r.filter.admits(e) {
			continue
		}
		if err := r.send(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// subscribe confirms, sends what there is, says that the subscriber is caught
// up, and sends what comes, until the client goes away.
func (r *reader) subscribe(ctx context.Context) error {
	name := string(r.options.GetStream().GetStreamIdentifier().GetStreamName())
	next := r.start(name)
	if err := r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: inWords(newID()).GetString_()},
	}}); err != nil {
		return err
	}
	if r.fault.is(Silence) {
		<-ctx.Done()
		return ctx.Err()
	}
	live, considered := false, 0
	for {
		size, grown := r.book.size()
		var events []Event
		if r.options.GetStream() == nil {
			events = r.book.slice(next, pageEvents)
		} else {
			var err error
			if events, err = r.book.page(name, int64(next), false, pageEvents); errors.Is(err, errDeleted) {
				return streamDeleted(ctx, name)
			}
			size = int(r.book.last(name)) + 1
		}
		if live && size-next > r.s.cfg.BehindEvents {
			live = false
			if err := r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_FellBehind_{FellBehind: &streams.ReadResp_FellBehind{}}}); err != nil {
				return err
			}
		}
		if len(events) == 0 {
			if !live {
				live = true
				if err := r.caughtUp(next); err != nil {
					return err
				}
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		for _, e := range events {
			if next++; r.options.GetStream() != nil {
				next = int(e.Revision) + 1
			}
			considered++
			if r.filter.admits(e) {
				if err := r.send(ctx, e); err != nil {
					return err
				}
			} else if considered%r.filter.interval == 0 {
				if err := r.checkpoint(e); err != nil {
					return err
				}
			}
		}
	}
}

// start returns the first event's place in what is subscribed to. The event
// at the place that the client names is the last that it knows.
func (r *reader) start(name string) int {
	if o := r.options.GetStream(); o != nil {
		switch at := o.GetRevisionOption().(type) {
		case *streams.ReadReq_Options_StreamOptions_Revision:
			return int(at.Revision) + 1
		case *streams.ReadReq_Options_StreamOptions_End:
			return int(r.book.last(name)) + 1
		}
		return 0
	}
	switch p := r.options.GetAll().GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		return r.book.before(p.Position.GetCommitPosition(), p.Position.GetPreparePosition(), true)
	case *streams.ReadReq_Options_AllOptions_End:
		size, _ := r.book.size()
		return size
	}
	return 0
}

// caughtUp says so, and where a filter has got to.
func (r *reader) caughtUp(next int) error {
	if r.filter != nil && next > 0 {
		if err := r.checkpoint(r.book.slice(next-1, 1)[0]); err != nil {
			return err
		}
	}
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (r *reader) checkpoint(e Event) error {
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: e.Commit, PreparePosition: e.Prepare},
	}})
}

// send sends an event, and lets the fault happen that waits for the first.
func (r *reader) send(ctx context.Context, e Event) error {
	if r.sent == 0 && r.fault.is(Unknown) {
		if err := r.out.Send(&streams.ReadResp{}); err != nil { // what a message of a later version looks like
			return err
		}
	}
	if r.sent == 0 && r.fault.is(Garble) {
		e.Metadata = []byte(`{"wattbook.`)
	}
	recorded := r.recorded(e)
	read := &streams.ReadResp_ReadEvent{Event: recorded, Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: e.Commit}}
	if err := r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: read}}); err != nil {
		return err
	}
	r.s.sent.Add(1)
	if r.sent++; r.sent == 1 {
		return r.s.strike(ctx, r.fault, true)
	}
	return nil
}

func (r *reader) recorded(e Event) *streams.ReadResp_ReadEvent_RecordedEvent {
	id := structured(e.ID)
	if _, words := r.options.GetUuidOption().GetContent().(*streams.ReadReq_Options_UUIDOption_String_); words {
		id = inWords(e.ID)
	}
	content := "application/octet-stream"
	if e.JSON {
		content = "application/json"
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id: id, StreamIdentifier: identifier(e.Stream), StreamRevision: e.Revision,
		CommitPosition: e.Commit, PreparePosition: e.Prepare,
		Metadata: map[string]string{
			"type": e.Type, "content-type": content,
			"created": strconv.FormatInt(e.Created.UnixNano()/100, 10), // in units of 100 ns
		},
		CustomMetadata: e.Metadata, Data: e.Data,
	}
}

func identifier(name string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(name)}
}

// filter admits events by the stream's name or their type. A nil filter admits
// all.
type filter struct {
	byType     bool
	prefixes   []string
	expression *regexp.Regexp
	interval   int // events between checkpoints
}

func filterOf(o *streams.ReadReq_Options_FilterOptions) (*filter, error) {
	if o == nil {
		return nil, nil
	}
	window := 32
	if m, ok := o.GetWindow().(*streams.ReadReq_Options_FilterOptions_Max); ok {
		window = int(m.Max)
	}
	f := &filter{interval: max(1, window*int(o.GetCheckpointIntervalMultiplier()))}
	expression := o.GetStreamIdentifier()
	if t := o.GetEventType(); t != nil {
		f.byType, expression = true, t
	}
	f.prefixes = expression.GetPrefix()
	if pattern := expression.GetRegex(); pattern != "" {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		f.expression = compiled
	}
	return f, nil
}

func (f *filter) admits(e Event) bool {
	if f == nil {
		return true
	}
	name := e.Stream
	if f.byType {
		name = e.Type
	}
	if f.expression != nil {
		return f.expression.MatchString(name)
	}
	for _, p := range f.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
