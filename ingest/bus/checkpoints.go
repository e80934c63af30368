package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Checkpoints remember how far each group is on each topic. One member of a
// group at a time receives a topic, so that order is kept.
type Checkpoints interface {
	// Acquire waits until no other member of the group receives the topic.
	Acquire(ctx context.Context, group, topic string) (Checkpoint, error)
}

// Checkpoint is a group's place on a topic, held by one of its members.
type Checkpoint interface {
	// Next returns the place of the first event that was not handled.
	Next() uint64
	// Save remembers that everything before next was handled. It may be lazy
	// unless it is told that nothing more comes for now: what is not saved is
	// delivered again.
	Save(next uint64, now bool) error
	// Release saves what is not saved yet, and lets another member go on.
	Release() error
}

// forgotten is the checkpoint of who belongs to no group.
type forgotten struct{}

func (*forgotten) Next() uint64            { return 0 }
func (*forgotten) Save(uint64, bool) error { return nil }
func (*forgotten) Release() error          { return nil }

// Files keeps checkpoints in a folder, one small file each. The groups of one
// folder live in one process.
type Files struct {
	dir  string
	mu   sync.Mutex
	held map[string]chan struct{} // by path: full while a member holds it
}

var _ Checkpoints = (*Files)(nil)

// NewFiles returns the checkpoints in a folder, which is made if needed.
func NewFiles(dir string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	return &Files{dir: dir, held: map[string]chan struct{}{}}, nil
}

// saveEvery is how long an acknowledged message may be forgotten by a crash.
const saveEvery = 200 * time.Millisecond

// Acquire implements [Checkpoints].
func (f *Files) Acquire(ctx context.Context, group, topic string) (Checkpoint, error) {
	path := filepath.Join(f.dir, url.QueryEscape(group)+"@"+url.QueryEscape(topic))
	f.mu.Lock()
	turn := f.held[path]
	if turn == nil {
		turn = make(chan struct{}, 1)
		f.held[path] = turn
	}
	f.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := &fileCheckpoint{path: path, turn: turn, saved: time.Now()}
	raw, err := os.ReadFile(path)
	if err == nil {
		c.next, err = strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		<-turn
		return nil, fmt.Errorf("checkpoint of group %s on %s: %w; remove the file to deliver everything again", group, topic, err)
	}
	c.kept = c.next
	return c, nil
}

type fileCheckpoint struct {
	path       string
	turn       chan struct{}
	next, kept uint64
	saved      time.Time
}

func (c *fileCheckpoint) Next() uint64 { return c.next }

func (c *fileCheckpoint) Save(next uint64, now bool) error {
	c.next = next
	if c.next == c.kept || !now && time.Since(c.saved) < saveEvery {
		return nil
	}
	return c.write()
}

func (c *fileCheckpoint) Release() error {
	defer func() { <-c.turn }()
	if c.next == c.kept {
		return nil
	}
	return c.write()
}

// write replaces the file whole. It is synced before it gets its name: an
// older place only delivers again, a torn one would stop the group.
func (c *fileCheckpoint) write() error {
	temporary := c.path + ".new"
	file, err := os.Create(temporary)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	_, err = fmt.Fprintln(file, c.next)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(temporary, c.path)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	c.kept, c.saved = c.next, time.Now()
	return nil
}
