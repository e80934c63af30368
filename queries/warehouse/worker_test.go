package warehouse_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/queries/warehouse"
)

// TestMain lets a test start a process that answers queries.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == workArgument {
		if err := warehouse.Work(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const workArgument = "answer-queries"

func workCommand() *exec.Cmd { return exec.Command(os.Args[0], workArgument) }

// all runs a query and returns its columns and rows.
func all(query func(columns func([]warehouse.Column) error, each func([]any) error) error) (columns []warehouse.Column, rows [][]any, err error) {
	err = query(func(all []warehouse.Column) error {
		columns = all
		return nil
	}, func(row []any) error {
		rows = append(rows, append([]any(nil), row...))
		return nil
	})
	return columns, rows, err
}

// TestAWorkerAnswersAsAClientDoes asks both the same.
func TestAWorkerAnswersAsAClientDoes(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	client, err := warehouse.OpenClient(t.Context(), s.dir, warehouse.Limits{Variables: map[string]string{"x": "it's"}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	worker := warehouse.NewWorker(workCommand)
	defer worker.Close()
	for _, statement := range []string{
		"SELECT NULL AS n, true AS b, 7 AS i, CAST(7 AS HUGEINT) AS h, CAST('1.50' AS DECIMAL(9,2)) AS d, DATE '2026-10-14' AS day, [1, NULL] AS l, getvariable('x') AS v",
		"FROM readings ORDER BY ALL", "SELECT * FROM sites WHERE false", "DESCRIBE margins", "SELEC 1", "SELECT nope FROM sites", "DROP VIEW readings", "",
	} {
		columns, rows, err := all(func(columns func([]warehouse.Column) error, each func([]any) error) error {
			return client.Query(t.Context(), statement, columns, each)
		})
		gotColumns, gotRows, got := all(func(columns func([]warehouse.Column) error, each func([]any) error) error {
			return worker.Query(t.Context(), s.dir, warehouse.Limits{Variables: map[string]string{"x": "it's"}}, statement, columns, each)
		})
		same := cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
		if diff := cmp.Diff([]any{columns, rows}, []any{gotColumns, gotRows}, same); diff != "" {
			t.Errorf("%s: %s", statement, diff)
		}
		if fmt.Sprint(got) != fmt.Sprint(err) || errors.Is(got, warehouse.ErrRefused) != errors.Is(err, warehouse.ErrRefused) {
			t.Errorf("%s: %v, want %v", statement, got, err)
		}
	}
	if err := worker.Query(t.Context(), t.TempDir(), warehouse.Limits{}, "SELECT 1", nil, nil); !errors.Is(err, warehouse.ErrNothingPublished) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestAWorkerIsStoppedWhereDuckDBIsNot runs queries that take memory beside
// DuckDB's limit, or time before they can be interrupted. This process takes
// none of it, and the same worker answers the next query.
func TestAWorkerIsStoppedWhereDuckDBIsNot(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	worker := warehouse.NewWorker(workCommand)
	defer worker.Close()
	for _, c := range []struct {
		limits          warehouse.Limits
		statement, want string
	}{
		{warehouse.Limits{Memory: "128MB"}, "SELECT len(range(150000000))", "more than 128MB of memory"},
		{warehouse.Limits{Memory: "128MB"}, "SELECT length(repeat('x',2000000000)||repeat('y',2000000000))", "more than 128MB of memory"},
		{warehouse.Limits{Memory: "128MB"}, "SELECT repeat('x',100000000) FROM range(40)", "more than 128MB of memory"},
		{warehouse.Limits{Memory: "1GB", Bytes: 1 << 20}, "SELECT repeat('x',1000000) FROM range(40)", "more than 1048576 bytes"},
		{warehouse.Limits{Memory: "4GB", Time: 50 * time.Millisecond}, "SELECT length(repeat('x',1000000000)||repeat('y',1000000000))||length(repeat('z',1000000000))", "ran for 50ms"},
		{warehouse.Limits{Rows: 1000}, "SELECT range FROM range(1000000000)", "more than 1000 rows"},
		{warehouse.Limits{Memory: "64MB"}, "SELECT count(*) FROM (SELECT DISTINCT range, hash(range) FROM range(20000000))", "more than 64MB of memory"},
	} {
		var log strings.Builder
		c.limits.Logger = slog.New(slog.NewTextHandler(&log, nil))
		start := time.Now()
		_, _, err := all(func(columns func([]warehouse.Column) error, each func([]any) error) error {
			return worker.Query(t.Context(), s.dir, c.limits, c.statement, columns, each)
		})
		t.Logf("%s: %s, %v", c.statement, time.Since(start), err)
		if !errors.Is(err, warehouse.ErrLimit) || !strings.Contains(err.Error(), c.want) || !strings.Contains(log.String(), c.want) {
			t.Errorf("%s: %v, want %q; logged %q", c.statement, err, c.want, log.String())
		}
		start = time.Now()
		_, rows, err := all(func(columns func([]warehouse.Column) error, each func([]any) error) error {
			return worker.Query(t.Context(), s.dir, warehouse.Limits{}, "SELECT site FROM sites", columns, each)
		})
		t.Logf("next: %s", time.Since(start))
		if err != nil || len(rows) != 1 {
			t.Errorf("the query after %s: %v, %v", c.statement, rows, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := worker.Query(ctx, s.dir, warehouse.Limits{}, "SELECT range FROM range(100000)", func([]warehouse.Column) error { return nil }, func([]any) error {
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an asker who is gone: %v", err)
	}
}
