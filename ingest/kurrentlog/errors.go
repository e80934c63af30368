package kurrentlog

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrPlaintextCredentials means that the connection string has a name and a
// password, and tls=false. The client would leave them out without a word and
// the server would refuse every call. Use TLS, or set Config.Plaintext.
var ErrPlaintextCredentials = errors.New("credentials are not sent without TLS")

// class is what an error of the client means for what was called.
type class int

const (
	fine      class = iota
	transient       // it may have been done or not; what is there tells
	behind          // the stream is not at the expected revision
	severed         // the call ended while it was being sent: too large, or the connection went
	large           // the append is too large for the server
	missing         // the stream does not exist
	deleted         // the stream is deleted
	refused         // it was not done, and trying again will not help
)

// classify finds the client's error in err, however it is wrapped.
func classify(err error) class {
	if err == nil {
		return fine
	}
	if errors.Is(err, io.EOF) {
		return severed
	}
	var e *esdb.Error
	if !errors.As(err, &e) {
		return transient
	}
	switch e.Code() {
	case esdb.ErrorCodeWrongExpectedVersion:
		return behind
	case esdb.ErrorCodeResourceNotFound:
		return missing
	case esdb.ErrorCodeStreamDeleted:
		return deleted
	case esdb.ErrorCodeUnauthenticated, esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnsupportedFeature:
		return refused
	}
	s, _ := status.FromError(e.Err())
	switch {
	case s.Code() == codes.InvalidArgument && strings.Contains(s.Message(), "Maximum Append"), s.Code() == codes.ResourceExhausted:
		return large
	case s.Code() == codes.InvalidArgument:
		return refused
	}
	return transient
}

// usable reports whether a client can be used again after an error. What is
// not known to be harmless is not: a new client costs a millisecond, and one
// that is dead stays dead.
func usable(err error) bool {
	switch classify(err) {
	case fine, behind, large, missing, deleted, refused:
		return true
	}
	var e *esdb.Error
	return errors.As(err, &e) && e.Code() == esdb.ErrorCodeNotLeader // the client goes to the leader by itself
}

// explain adds to an error of the client what its text leaves out.
func explain(what string, err error) error {
	var e *esdb.Error
	if errors.As(err, &e) && e.Code() == esdb.ErrorAborted {
		return fmt.Errorf("%s: the server gave up before it was done: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// hungError says that the client did not return when its time was over.
type hungError struct{ cause error }

func (e *hungError) Error() string { return "the client hangs past its deadline: " + e.cause.Error() }
func (e *hungError) Unwrap() error { return e.cause }

// panicError carries what the client panicked with.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("the client panicked: %v", e.value) }
