package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// streamsService reads and writes streams.
type streamsService struct {
	streams.UnimplementedStreamsServer
	s *Server
}

// Append implements the streams service.
func (v *streamsService) Append(stream streams.Streams_AppendServer) error {
	ctx := stream.Context()
	v.s.watch(ctx, Append)
	f := v.s.fault(Append)
	name, expect, events, err := v.proposed(stream)
	if err != nil {
		return err
	}
	if err := v.s.led(ctx); err != nil {
		return err
	}
	if err := v.s.strike(ctx, f, false); err != nil {
		return err
	}
	if f.is(Lie) {
		n := v.s.cluster.book.last(name) + int64(len(events))
		return stream.SendAndClose(accepted(written{revision: n}))
	}
	if f.is(Late) {
		v.s.later.Go(func() {
			time.Sleep(f.For)
			_, _ = v.s.cluster.book.append(name, expect, events) // nobody is there to be told
		})
		return aborted()
	}
	w, err := v.s.cluster.book.append(name, expect, events)
	if f.is(Duplicate) {
		w, err = v.s.cluster.book.append(name, expect, events)
	}
	var wrong wrongRevision
	switch {
	case errors.As(err, &wrong):
		return stream.SendAndClose(refused(wrong.current, expect))
	case errors.Is(err, errDeleted):
		return streamDeleted(ctx, name)
	case err != nil:
		return status.Error(codes.Internal, err.Error())
	}
	if err := v.s.strike(ctx, f, true); err != nil {
		return err
	}
	return stream.SendAndClose(accepted(w))
}

// proposed receives an append: options, then one message an event.
func (v *streamsService) proposed(stream streams.Streams_AppendServer) (name string, expect int64, events []Event, err error) {
	req, err := stream.Recv()
	if err != nil {
		return "", 0, nil, err
	}
	options := req.GetOptions()
	if options == nil {
		return "", 0, nil, status.Error(codes.InvalidArgument, "the first message has no options")
	}
	switch o := options.ExpectedStreamRevision.(type) {
	case *streams.AppendReq_Options_Revision:
		expect = int64(o.Revision)
	case *streams.AppendReq_Options_NoStream:
		expect = expectNone
	case *streams.AppendReq_Options_Any:
		expect = expectAny
	case *streams.AppendReq_Options_StreamExists:
		expect = expectExists
	default:
		return "", 0, nil, status.Error(codes.InvalidArgument, "the options expect no revision")
	}
	name = string(options.GetStreamIdentifier().GetStreamName())
	size := 0
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return name, expect, events, nil
		}
		if err != nil {
			return "", 0, nil, err
		}
		e, err := eventOf(stream.Context(), req.GetProposedMessage())
		if err != nil {
			return "", 0, nil, err
		}
		// The real server counts characters of the type as two bytes.
		if size += len(e.Data) + len(e.Metadata) + 2*len(e.Type); size > v.s.cfg.MaxAppendBytes {
			return "", 0, nil, tooLarge(stream.Context(), v.s.cfg.MaxAppendBytes)
		}
		events = append(events, e)
	}
}

func eventOf(ctx context.Context, m *streams.AppendReq_ProposedMessage) (Event, error) {
	e := Event{Data: m.GetData(), Metadata: m.GetCustomMetadata()}
	for _, key := range []string{"type", "content-type"} {
		if _, ok := m.GetMetadata()[key]; !ok {
			return e, exception(ctx, codes.InvalidArgument, fmt.Sprintf("Required Metadata Property '%s' is missing", key),
				"exception", "missing-required-metadata-property", "required-metadata-properties", "type,content-type")
		}
	}
	e.Type = m.GetMetadata()["type"]
	e.JSON = m.GetMetadata()["content-type"] == "application/json"
	var ok bool
	if e.ID, ok = idOf(m.GetId()); !ok {
		return e, status.Error(codes.InvalidArgument, "an event has no id")
	}
	return e, nil
}

// Delete implements the streams service.
func (v *streamsService) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	expect := int64(expectAny)
	switch r := o.GetExpectedStreamRevision().(type) {
	case *streams.DeleteReq_Options_Revision:
		expect = int64(r.Revision)
	case *streams.DeleteReq_Options_NoStream:
		expect = expectNone
	case *streams.DeleteReq_Options_StreamExists:
		expect = expectExists
	}
	w, err := v.remove(ctx, string(o.GetStreamIdentifier().GetStreamName()), expect, false)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: w.commit, PreparePosition: w.prepare},
	}}, nil
}

// Tombstone implements the streams service.
func (v *streamsService) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	expect := int64(expectAny)
	switch r := o.GetExpectedStreamRevision().(type) {
	case *streams.TombstoneReq_Options_Revision:
		expect = int64(r.Revision)
	case *streams.TombstoneReq_Options_NoStream:
		expect = expectNone
	case *streams.TombstoneReq_Options_StreamExists:
		expect = expectExists
	}
	w, err := v.remove(ctx, string(o.GetStreamIdentifier().GetStreamName()), expect, true)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: w.commit, PreparePosition: w.prepare},
	}}, nil
}

func (v *streamsService) remove(ctx context.Context, name string, expect int64, forGood bool) (written, error) {
	if err := v.s.led(ctx); err != nil {
		return written{}, err
	}
	w, err := v.s.cluster.book.remove(name, expect, forGood)
	var wrong wrongRevision
	switch {
	case errors.As(err, &wrong):
		return w, exception(ctx, codes.FailedPrecondition, "Delete failed due to WrongExpectedVersion.",
			"exception", "wrong-expected-version", "stream-name", name,
			"expected-version", strconv.FormatInt(expect, 10), "actual-version", strconv.FormatInt(wrong.current, 10))
	case errors.Is(err, errDeleted):
		return w, streamDeleted(ctx, name)
	}
	return w, err
}

func accepted(w written) *streams.AppendResp {
	success := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(w.revision)},
		PositionOption: &streams.AppendResp_Success_Position{
			Position: &streams.AppendResp_Position{CommitPosition: w.commit, PreparePosition: w.prepare},
		},
	}
	if w.revision < 0 {
		success.CurrentRevisionOption = &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}}
}

func refused(current, expect int64) *streams.AppendResp {
	wrong := &streams.AppendResp_WrongExpectedVersion{}
	switch expect {
	case expectNone:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
	case expectAny:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
	case expectExists:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
	default:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(expect)}
	}
	if current < 0 {
		wrong.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
	} else {
		wrong.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(current)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: wrong}}
}

// newID returns a random UUID.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // it never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func structured(id [16]byte) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func inWords(id [16]byte) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{
		String_: fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16]),
	}}
}

func idOf(u *shared.UUID) (id [16]byte, ok bool) {
	switch v := u.GetValue().(type) {
	case *shared.UUID_Structured_:
		binary.BigEndian.PutUint64(id[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(id[8:], uint64(v.Structured.GetLeastSignificantBits()))
		return id, true
	case *shared.UUID_String_:
		raw, err := hex.DecodeString(strings.ReplaceAll(v.String_, "-", ""))
		if err != nil || len(raw) != len(id) {
			return id, false
		}
		return [16]byte(raw), true
	}
	return id, false
}
