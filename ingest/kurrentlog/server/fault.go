package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Call is a kind of call that a fault waits for.
type Call string

// The calls.
const (
	Append    Call = "append"
	Read      Call = "read"
	Subscribe Call = "subscribe"
	Delete    Call = "delete"
	Gossip    Call = "gossip"
	Features  Call = "features"
)

// Kind is what goes wrong.
type Kind string

// The kinds of fault.
const (
	Drop      Kind = "drop"       // the connection is closed
	Delay     Kind = "delay"      // the answer comes later
	NotLeader Kind = "not leader" // the answer names the leader, in trailers
	Refuse    Kind = "refuse"     // this and every call for a while are refused as unavailable
	Hang      Kind = "hang"       // there is never an answer
	Abort     Kind = "abort"      // the server timed out over it
	Late      Kind = "late"       // the server timed out over the append, and records it after a while
	Deny      Kind = "deny"       // the credentials are wrong
	TooLarge  Kind = "too large"  // the append is too large
	Restart   Kind = "restart"    // the server stops and starts again after a while
	Unknown   Kind = "unknown"    // a message that no client knows comes in between (reads and subscriptions)
	Duplicate Kind = "duplicate"  // the append is delivered twice, and the second answer counts
	Lie       Kind = "lie"        // the append is acknowledged, and not recorded
	Behind    Kind = "behind"     // the node has nothing of the stream yet (reads)
	Silence   Kind = "silence"    // the subscription is confirmed, and nothing comes
	Garble    Kind = "garble"     // the first event's metadata arrive damaged (reads and subscriptions)
)

// Fault is one thing that goes wrong, once.
type Fault struct {
	On    Call
	Nth   int  // at the n-th such call since the fault was set; 0 and 1: at the next
	Do    Kind // what goes wrong
	After bool // once the call took effect: the append is recorded, the first event sent
	For   time.Duration
}

// String writes f in words: "append 3: drop after".
func (f Fault) String() string {
	s := fmt.Sprintf("%s %d: %s", f.On, max(f.Nth, 1), f.Do)
	if f.After {
		s += " after"
	}
	if f.For > 0 {
		s += " for " + f.For.String()
	}
	return s
}

// fault counts a call and returns what goes wrong with it, or nil.
func (s *Server) fault(call Call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var struck *Fault
	var left []Fault
	for _, f := range s.script {
		if f.On == call {
			f.Nth--
			if f.Nth <= 0 && struck == nil {
				struck = &f
				continue
			}
		}
		left = append(left, f)
	}
	s.script = left
	return struck
}

// strike lets the fault happen if this is its moment. The error, if there is
// one, is the call's answer.
func (s *Server) strike(ctx context.Context, f *Fault, after bool) error {
	if f == nil || f.After != after {
		return nil
	}
	switch f.Do {
	case Drop:
		s.drop(ctx)
		return status.Error(codes.Unavailable, "the connection was dropped")
	case Delay:
		select {
		case <-time.After(f.For):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	case NotLeader:
		return s.notLeader(ctx)
	case Refuse:
		s.mu.Lock()
		s.refusing = time.Now().Add(f.For)
		s.mu.Unlock()
		return refusal()
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	case Abort:
		return aborted()
	case Deny:
		return unauthenticated()
	case TooLarge:
		return tooLarge(ctx, s.cfg.MaxAppendBytes)
	case Restart:
		// The call cannot wait for the restart, which waits for the call.
		s.later.Go(func() { _ = s.Restart(f.For) }) // it fails only if the server was closed meanwhile
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// is reports whether the fault is of a kind that strike leaves to the caller.
func (f *Fault) is(kind Kind) bool { return f != nil && f.Do == kind }

// unary admits or refuses gossip, features and deletions.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	call := Features
	switch {
	case strings.Contains(info.FullMethod, ".gossip."):
		call = Gossip
	case strings.Contains(info.FullMethod, ".streams."):
		call = Delete
	}
	if err := s.admit(ctx, call); err != nil {
		return nil, err
	}
	f := s.fault(call)
	if err := s.strike(ctx, f, false); err != nil {
		return nil, err
	}
	answer, err := handle(ctx, req)
	if err == nil {
		err = s.strike(ctx, f, true)
	}
	return answer, err
}

// stream admits or refuses appends, reads and subscriptions, whose handlers
// look for faults themselves.
func (s *Server) stream(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := s.admit(stream.Context(), ""); err != nil {
		return err
	}
	return handle(service, stream)
}

// admit refuses a call while the server is not ready, and one without the
// right name and password. Who says nothing is anonymous, and has no access;
// the cluster's addresses and features are for everybody, as by default.
func (s *Server) admit(ctx context.Context, call Call) error {
	s.mu.Lock()
	refusing := time.Now().Before(s.refusing)
	s.mu.Unlock()
	if refusing {
		return refusal()
	}
	header, _ := metadata.FromIncomingContext(ctx)
	if call != "" {
		s.watch(ctx, call)
	}
	if len(s.cfg.Users) == 0 || call == Gossip || call == Features {
		return nil
	}
	values := header.Get("authorization")
	if len(values) == 0 {
		return exception(ctx, codes.PermissionDenied, "Access Denied", "exception", "access-denied")
	}
	encoded, ok := strings.CutPrefix(values[0], "Basic ")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	name, password, colon := strings.Cut(string(raw), ":")
	if want, known := s.cfg.Users[name]; !ok || err != nil || !colon || !known || want != password {
		return unauthenticated()
	}
	return nil
}

// watch tells whoever wants to know of a call.
func (s *Server) watch(ctx context.Context, call Call) {
	if s.cfg.Watch != nil {
		header, _ := metadata.FromIncomingContext(ctx)
		s.cfg.Watch(call, header)
	}
}

// led refuses a call that asks for the leader, where this node is not it.
func (s *Server) led(ctx context.Context) error {
	header, _ := metadata.FromIncomingContext(ctx)
	if v := header.Get("requires-leader"); len(v) == 0 || !strings.EqualFold(v[0], "true") || s.leader() == s {
		return nil
	}
	return s.notLeader(ctx)
}

func (s *Server) notLeader(ctx context.Context) error {
	host, port, _ := strings.Cut(s.leader().Address(), ":")
	return exception(ctx, codes.NotFound, "Leader info available",
		"exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port)
}

func refusal() error { return status.Error(codes.Unavailable, "Server Is Not Ready") }

func aborted() error { return status.Error(codes.Aborted, "Operation timed out: commit timeout") }

func unauthenticated() error { return status.Error(codes.Unauthenticated, "Unauthenticated") }

func tooLarge(ctx context.Context, limit int) error {
	return exception(ctx, codes.InvalidArgument, fmt.Sprintf("Maximum Append Size of %d Exceeded.", limit),
		"exception", "maximum-append-size-exceeded", "maximum-append-size", strconv.Itoa(limit))
}

func streamDeleted(ctx context.Context, stream string) error {
	return exception(ctx, codes.FailedPrecondition, fmt.Sprintf("Event stream '%s' is deleted.", stream),
		"exception", "stream-deleted", "stream-name", stream)
}

// exception returns a status whose particulars are in trailers, as clients
// look for them.
func exception(ctx context.Context, code codes.Code, message string, pairs ...string) error {
	_ = grpc.SetTrailer(ctx, metadata.Pairs(pairs...)) // it fails only after the call has ended
	return status.Error(code, message)
}
