// Package server is an EventStoreDB server in the process of a test: it speaks
// the gRPC protocol of the real one, as far as a log needs it, and fails on
// demand.
//
// # What it speaks
//
// Streams: Append with every kind of expected revision and with the real
// server's idempotency, Read of a stream and of $all in both directions,
// catch-up subscriptions to both, filters by prefix or expression on stream
// names and event types with their checkpoints, Delete and Tombstone. The
// metadata of stream s are the events of stream $$s, and of what they say
// $tb and $maxCount are heeded. Gossip and server features are answered, so that
// clients discover the node, or several nodes of one cluster. Batch appends,
// persistent subscriptions and projections are not offered, nor are links
// resolved; a client learns that from the features.
//
// It speaks plaintext, or TLS with names and passwords as in Config.
//
// # What it keeps
//
// One list of events, in a [Store]; the index of the streams is made of it. An
// eventlog.Log cannot be that store: it refuses the streams whose name begins
// with '$' and a second event with the same id, and both are the protocol's
// business. Restarting a server keeps the store, as a real one keeps its disk.
//
// # How it fails
//
// A [Fault] says at which call, counted from when it was set, what goes wrong,
// and whether before or after the call took effect. Faults are data: a test can
// print the script that it ran.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
)

// Config says what a server is like. The zero Config is an empty node of its
// own.
type Config struct {
	Store  Store             // nil: an empty one in memory
	Now    func() time.Time  // clock that stamps events; nil: time.Now
	Leader *Server           // node that this one follows, sharing its store; nil: it leads
	TLS    *tls.Config       // nil: plaintext
	Users  map[string]string // passwords by name; empty: nobody is asked

	// Address is the host and port to listen on; empty: a free port of the
	// loopback interface.
	Address string

	// MaxAppendBytes is the most that one append may hold; 0: 1 MiB, as servers
	// of 2022 have it.
	MaxAppendBytes int

	// BehindEvents is how many events a live subscriber may be behind before it
	// is told so; 0: 4096.
	BehindEvents int

	// Version is what the features say; empty: "24.10.0".
	Version string

	// Watch, if set, is told of every call with its headers.
	Watch func(call Call, header map[string][]string)

	Faults []Fault
}

// Server is a node that is listening.
type Server struct {
	cfg     Config
	cluster *cluster
	address string // host:port, the same after a restart

	mu       sync.Mutex
	serving  *grpc.Server
	conns    map[string]net.Conn // by the client's address
	script   []Fault
	refusing time.Time // until then every call is refused
	closed   bool
	later    sync.WaitGroup // what happens after the call that caused it

	sent atomic.Int64 // events
}

// cluster is what the nodes of one cluster share.
type cluster struct {
	book *book

	mu     sync.Mutex
	leader *Server
	nodes  []*Server
}

// Start starts a server.
func Start(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxAppendBytes == 0 {
		cfg.MaxAppendBytes = 1 << 20
	}
	if cfg.BehindEvents == 0 {
		cfg.BehindEvents = 4096
	}
	if cfg.Version == "" {
		cfg.Version = "24.10.0"
	}
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	s := &Server{cfg: cfg, address: cfg.Address, conns: map[string]net.Conn{}, script: cfg.Faults}
	if cfg.Leader != nil {
		s.cluster = cfg.Leader.cluster
	} else {
		if cfg.Store == nil {
			cfg.Store = &Memory{}
		}
		s.cluster = &cluster{book: newBook(cfg.Store, cfg.Now), leader: s}
	}
	listener, err := s.listen()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	s.address = listener.Addr().String()
	if err := s.answer(listener); err != nil {
		return nil, err
	}
	s.cluster.mu.Lock()
	s.cluster.nodes = append(s.cluster.nodes, s)
	s.cluster.mu.Unlock()
	return s, nil
}

// Address returns the host and port that the server listens on.
func (s *Server) Address() string { return s.address }

// URL returns the connection string for this node alone, without credentials.
func (s *Server) URL() string { return s.url("esdb") }

// DiscoverURL returns the connection string that lets a client ask this node
// for its cluster.
func (s *Server) DiscoverURL() string { return s.url("esdb+discover") }

func (s *Server) url(scheme string) string {
	return fmt.Sprintf("%s://%s?tls=%t", scheme, s.address, s.cfg.TLS != nil)
}

// Lead makes this node the leader of its cluster.
func (s *Server) Lead() {
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	s.cluster.leader = s
}

func (s *Server) leader() *Server {
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	return s.cluster.leader
}

// serve listens again, and answers.
func (s *Server) serve() error {
	listener, err := s.listen()
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	return s.answer(listener)
}

// answer answers whoever connects.
func (s *Server) answer(listener net.Listener) error {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(17 << 20),
		grpc.WaitForHandlers(true),
		// Clients ask whether the connection lives, every ten seconds by default.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	}
	if s.cfg.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.cfg.TLS)))
	}
	g := grpc.NewServer(options...)
	streams.RegisterStreamsServer(g, &streamsService{s: s})
	gossip.RegisterGossipServer(g, &gossipService{s: s})
	serverfeatures.RegisterServerFeaturesServer(g, &featuresService{s: s})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.Join(errors.New("start server: it is closed"), listener.Close())
	}
	s.serving = g
	s.mu.Unlock()
	go func() { _ = g.Serve(tracked{listener, s}) }() // it ends with Stop, which says nothing new
	return nil
}

// listen takes the server's port, which a connection of the server before may
// hold for a moment.
func (s *Server) listen() (listener net.Listener, err error) {
	for range 50 {
		if listener, err = net.Listen("tcp", s.address); err == nil {
			return listener, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, err
}

// Stop closes the port and every connection. The store stays as it is.
func (s *Server) Stop() {
	s.mu.Lock()
	g := s.serving
	s.serving = nil
	s.mu.Unlock()
	if g != nil {
		g.Stop()
	}
}

// Restart stops the server and starts it again, on the same port, after a
// pause.
func (s *Server) Restart(pause time.Duration) error {
	s.Stop()
	time.Sleep(pause)
	return s.serve()
}

// Close stops the server for good.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Stop()
	s.later.Wait()
}

// Inject adds faults, which count the calls from now on.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, faults...)
}

// Pending returns the faults that have not come to pass.
func (s *Server) Pending() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault(nil), s.script...)
}

// Events returns every event, in the order of $all.
func (s *Server) Events() []Event { return s.cluster.book.everything() }

// Sent returns how many events were sent to clients.
func (s *Server) Sent() int64 { return s.sent.Load() }

// Add writes events to a stream behind the back of all clients, whatever their
// ids.
func (s *Server) Add(stream string, events ...Event) error {
	b := s.cluster.book
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.write(stream, events)
	return err
}

// Drop closes every connection that clients have.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// drop closes the connection that a call came by.
func (s *Server) drop(ctx context.Context) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.conns[p.Addr.String()]; ok {
		_ = c.Close()
	}
}

// tracked is a listener whose connections the server knows.
type tracked struct {
	net.Listener
	s *Server
}

func (t tracked) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.conns[c.RemoteAddr().String()] = c
	return known{c, t.s}, nil
}

// known is a connection that the server forgets when it is closed.
type known struct {
	net.Conn
	s *Server
}

func (k known) Close() error {
	k.s.mu.Lock()
	delete(k.s.conns, k.RemoteAddr().String())
	k.s.mu.Unlock()
	return k.Conn.Close()
}
