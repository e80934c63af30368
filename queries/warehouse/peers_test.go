package warehouse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wattbook/queries/sql"
	"wattbook/queries/warehouse"
)

// peers returns the folder in which the clients of others are installed, or
// skips the test. WATTBOOK_PEERS names it; .ci/run installs what is in it.
func peers(t *testing.T, module string) string {
	t.Helper()
	dir := os.Getenv("WATTBOOK_PEERS")
	if dir == "" {
		dir = filepath.Join("..", "..", ".ci", "peers")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", module)); err != nil {
		t.Skipf("the npm module %s is not installed in %s: .ci/run installs it", module, dir)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	return dir
}

// report is what testdata/client.mjs prints.
type report struct {
	Version   string            `json:"version"`
	Asked     int               `json:"asked"`
	Positions []string          `json:"positions"`
	Wrong     []json.RawMessage `json:"wrong"`
}

// TestClientsOfOthersReadWhileItIsPublished lets DuckDB clients that we did
// not write, of today and of two years ago, query in a loop while readings
// arrive and the warehouse is published, compacted and swept.
func TestClientsOfOthersReadWhileItIsPublished(t *testing.T) {
	for _, c := range []struct{ module, mode, version string }{
		{"@duckdb/node-api", "reattach", "v1.5"},
		{"@duckdb/node-api", "keep", "v1.5"},
		{"duckdb-two-years-ago", "reattach", "v1.1"},
	} {
		t.Run(c.module+" "+c.mode, func(t *testing.T) {
			t.Parallel()
			dir := peers(t, c.module)
			s := newSite(t, func(c *warehouse.Config) { c.Parts, c.Merge = 4, 3 })
			s.readDay("2026-10-14")
			s.publish()
			cmd := exec.Command("node", "testdata/client.mjs", dir, c.module, filepath.Join(s.dir, "warehouse.duckdb"), c.mode)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			published := 1
			for began := time.Now(); time.Since(began) < 6*time.Second || published < 10; published++ {
				minute := published * 5
				s.play(fmt.Sprintf("day 2026-10-15\nread revenue %[1]s 300kWh\nread c1 %[1]s 200kWh\nread ai %[1]s 40kWh\nread aux %[1]s 50kWh\nread m1 %[1]s 0.0001shares",
					fmt.Sprintf("%02d:%02d..%02d:%02d", minute/60, minute%60, (minute+5)/60, (minute+5)%60)))
				s.publish()
			}
			if _, err := stdin.Write([]byte("stop\n")); err != nil {
				t.Fatalf("the client is gone: %v\n%s%s", err, out.String(), errs.String())
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
			}
			var r report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
			}
			t.Logf("%s: %d queries saw %d of %d publications", r.Version, r.Asked, len(r.Positions), published)
			for _, w := range r.Wrong {
				t.Errorf("wrong: %s", w)
			}
			if !strings.HasPrefix(r.Version, c.version) || r.Asked < 5 || c.mode == "reattach" && len(r.Positions) < 3 || c.mode == "keep" && len(r.Positions) != 1 {
				t.Errorf("version %s, %d queries, %d positions", r.Version, r.Asked, len(r.Positions))
			}
		})
	}
}

// TestClientsOfOthersRunTheCatalogue lets DuckDB clients that we did not write
// run every question, and a macro, on the file as it is published.
func TestClientsOfOthersRunTheCatalogue(t *testing.T) {
	for _, module := range []string{"@duckdb/node-api", "duckdb-two-years-ago"} {
		t.Run(module, func(t *testing.T) {
			dir := peers(t, module)
			s := newSite(t, nil)
			s.readDay("2026-10-14")
			s.publish()
			out, err := exec.Command("node", "testdata/catalogue.mjs", dir, module, filepath.Join(s.dir, "warehouse.duckdb"), filepath.Join("..", "sql")).CombinedOutput()
			var r report
			if err != nil || json.Unmarshal(out, &r) != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, w := range r.Wrong {
				t.Errorf("wrong: %s", w)
			}
			if want := len(sql.Questions()) + 1; r.Asked != want {
				t.Errorf("%d of %d statements were answered", r.Asked, want)
			}
		})
	}
}
