package warehouse

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// CopySorted writes the readings that a folder publishes into one Parquet file
// of it, sorted as nobody who follows a log could keep them: what queries on
// the parts are measured against.
func CopySorted(ctx context.Context, dir, name string) (err error) {
	e, err := newEngine(engineLimits{Memory: "4GB", Threads: 2, Spill: filepath.Join(dir, "tmp")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	return e.exec(ctx, fmt.Sprintf("ATTACH %s AS wh (READ_ONLY); COPY (FROM wh.readings ORDER BY %s) TO %s (FORMAT parquet, COMPRESSION zstd)",
		quoted(filepath.Join(dir, publishedName)), partOrder(lastParted), quoted(filepath.Join(dir, name))))
}

// Alter changes the database that a folder publishes, as nobody may.
func Alter(ctx context.Context, dir, statement string) (err error) {
	e, err := newEngine(engineLimits{Memory: "256MB", Threads: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	return e.exec(ctx, fmt.Sprintf("ATTACH %s AS wh; USE wh; %s; USE memory; DETACH wh", quoted(filepath.Join(dir, publishedName)), statement))
}

// Joined waits for a join that goes on beside the publications, if there is
// one: the next publication takes it over.
func Joined(p *Publisher) {
	if j := p.joining; j != nil {
		j.done <- <-j.done
	}
}

// PartBytes returns the size of the files of readings, without what is only
// kept for its grace.
func PartBytes(p *Publisher) (sum int64, err error) {
	return sizeOf(p.layout.parts()), p.layout.missing()
}
