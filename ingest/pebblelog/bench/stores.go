package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	bolt "go.etcd.io/bbolt"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/pebblelog"
)

// payloads are random events of 256 bytes.
func payloads(seed uint64, n int) [][]byte {
	rng := rand.NewPCG(seed, 1)
	all := make([][]byte, n)
	for i := range all {
		b := make([]byte, 256)
		for k := 0; k < 256; k += 8 {
			binary.LittleEndian.PutUint64(b[k:], rng.Uint64())
		}
		all[i] = b
	}
	return all
}

// file is a file to which everybody who waits is written with one sync.
type file struct {
	f       *os.File
	mu      sync.Mutex
	pending []byte
	waiting []chan error
	wake    chan struct{}
	done    chan struct{}
}

func openFile(dir string) (store, error) {
	f, err := os.Create(filepath.Join(dir, "events"))
	if err != nil {
		return nil, err
	}
	s := &file{f: f, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.write()
	return s, nil
}

func (s *file) write() {
	defer close(s.done)
	for range s.wake {
		s.mu.Lock()
		pending, waiting := s.pending, s.waiting
		s.pending, s.waiting = nil, nil
		s.mu.Unlock()
		if len(waiting) == 0 {
			continue
		}
		_, err := s.f.Write(pending)
		if err == nil {
			err = s.f.Sync()
		}
		for _, w := range waiting {
			w <- err
		}
	}
}

func (s *file) add(_ context.Context, _ int, events [][]byte) error {
	done := make(chan error, 1)
	s.mu.Lock()
	for _, e := range events {
		s.pending = append(s.pending, e...)
	}
	s.waiting = append(s.waiting, done)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return <-done
}

func (s *file) close() error {
	close(s.wake)
	<-s.done
	return s.f.Close()
}

// ourLog is the embedded log: positions, streams, an index of ids and a Merkle
// tree with every event.
type ourLog struct {
	log *pebblelog.Log
	ids atomic.Uint64
}

func openLog(dir string) (store, error) {
	log, err := openPebble(dir)
	return &ourLog{log: log}, err
}

func openPebble(dir string) (*pebblelog.Log, error) {
	return openPebbleAt(dir, func() domain.Instant { return domain.At(time.Now()) })
}

func openPebbleAt(dir string, now func() domain.Instant) (*pebblelog.Log, error) {
	return pebblelog.Open(pebblelog.Config{Dir: filepath.Join(dir, "log"), Now: now, Logger: slog.New(slog.DiscardHandler)})
}

func (s *ourLog) add(ctx context.Context, producer int, events [][]byte) error {
	first := s.ids.Add(uint64(len(events)))
	w := eventlog.Write{Stream: eventlog.Stream(fmt.Sprintf("things-%d", producer)), Expect: eventlog.Any, Events: make([]eventlog.Draft, len(events))}
	for i, e := range events {
		w.Events[i] = eventlog.Draft{ID: idOf(first - uint64(i)), Type: "thing.happened/1", Payload: e}
	}
	_, err := s.log.Append(ctx, w)
	return err
}

// idOf spreads ids over their space, as those made by a digest are.
func idOf(n uint64) (id domain.EventID) {
	rng := rand.NewPCG(n, 2)
	binary.LittleEndian.PutUint64(id[:], rng.Uint64())
	binary.LittleEndian.PutUint64(id[8:], rng.Uint64())
	return id
}

func (s *ourLog) close() error { return s.log.Close() }

// boltDB keeps events by position; producers share transactions, as its Batch
// does.
type boltDB struct{ db *bolt.DB }

func openBolt(dir string) (store, error) {
	db, err := bolt.Open(filepath.Join(dir, "bolt"), 0o644, nil)
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = time.Millisecond
	return &boltDB{db}, db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("events"))
		return err
	})
}

func (s *boltDB) add(_ context.Context, _ int, events [][]byte) error {
	put := func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("events"))
		b.FillPercent = 1 // keys only grow
		for _, e := range events {
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			if err := b.Put(binary.BigEndian.AppendUint64(nil, n), e); err != nil {
				return err
			}
		}
		return nil
	}
	if len(events) > 1 {
		return s.db.Update(put)
	}
	return s.db.Batch(put)
}

func (s *boltDB) close() error { return s.db.Close() }

// sqlite is SQLite with a write-ahead log and full synchronisation.
type sqlite struct {
	db *sql.DB
	mu sync.Mutex // it has one writer
}

func openSQLite(dir string) (store, error) {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "events.db")+"?_journal_mode=WAL&_synchronous=FULL")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE events (position INTEGER PRIMARY KEY, payload BLOB)")
	return &sqlite{db: db}, err
}

func (s *sqlite) add(ctx context.Context, _ int, events [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO events (payload) VALUES (?)")
	if err != nil {
		return err
	}
	for _, e := range events {
		if _, err := insert.ExecContext(ctx, e); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *sqlite) close() error { return s.db.Close() }

// jetStream is an embedded NATS server that syncs every message.
type jetStream struct {
	server *server.Server
	conn   *nats.Conn
	js     nats.JetStreamContext
}

func openJetStream(dir string) (store, error) {
	srv, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: dir, SyncAlways: true, DontListen: true, NoLog: true, NoSigs: true, JetStreamMaxStore: 8 << 30,
	})
	if err != nil {
		return nil, err
	}
	go srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		return nil, fmt.Errorf("the NATS server does not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return nil, err
	}
	js, err := conn.JetStream(nats.PublishAsyncMaxPending(4096))
	if err != nil {
		return nil, err
	}
	_, err = js.AddStream(&nats.StreamConfig{Name: "events", Subjects: []string{"events"}, Storage: nats.FileStorage})
	return &jetStream{srv, conn, js}, err
}

func (s *jetStream) add(_ context.Context, _ int, events [][]byte) error {
	acks := make([]nats.PubAckFuture, 0, len(events))
	for _, e := range events {
		ack, err := s.js.PublishAsync("events", e)
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	for _, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			return err
		}
	}
	return nil
}

func (s *jetStream) close() error {
	s.conn.Close()
	s.server.Shutdown()
	s.server.WaitForShutdown()
	return nil
}
