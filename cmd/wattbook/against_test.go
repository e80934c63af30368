package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/ingest"
)

// begunBook is a folder of a book that was begun with a configuration, and of
// a meter that was exchanged since.
func begunBook(t *testing.T, config string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "begun")
	logger := (&program{stderr: os.Stderr}).logger(settings{LogLevel: 8})
	e, err := openEngine(t.Context(), settings{Data: dir}, systemClock, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	c, err := readSite(config)
	if err != nil {
		t.Fatal(err)
	}
	events, err := c.events()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.register(t.Context(), c.Site.ID, events); err != nil {
		t.Fatal(err)
	}
	october := domain.Unix(1_790_830_800) // 2026-10-01T05:00:00Z
	exchange := domain.DeviceReplaced{Site: c.Site.ID, Device: "c1", Channel: domain.ChannelEnergyImport, At: october, Serial: "C1-2"}
	if err := e.publish(t.Context(), c.Site.ID, ingest.Delivery{Source: "operator", Facts: ingest.Facts{exchange}}); err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation(c.Site.Zone)
	if err != nil {
		t.Fatal(err)
	}
	month := domain.Period{Year: 2026, Month: time.October}
	draft, err := wire.Draft(domain.EventIDOf("closed"), domain.PeriodClosed{Site: c.Site.ID, Period: month, Interval: month.In(zone)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.log.Append(t.Context(), eventlog.Write{Stream: "period-" + eventlog.Stream(c.Site.ID), Expect: eventlog.Any, Events: []eventlog.Draft{draft}}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestConfigurationsThatContradictTheBook holds what is said to
// testdata/contradictions.txt, and that nothing is recorded.
func TestConfigurationsThatContradictTheBook(t *testing.T) {
	const file = "contradictions.txt"
	head, cases := readScript(t, file)
	site, err := os.ReadFile("testdata/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	began := begunBook(t, filepath.Join("testdata", "site.yaml"))
	t.Chdir(t.TempDir())
	if err := os.Rename(began, "begun"); err != nil {
		t.Fatal(err)
	}
	before := headOf(t, "begun")
	now := strings.Replace(string(site), "C1-1", "C1-2", 1)
	for i, c := range cases {
		c.edit(t, now)
		got := wattbook(t, "check", "--config", "site.yaml", "--data", "begun")
		if len(c.says) == 0 && !*update || *update && got.code == exitOK {
			if got.code != exitOK || !strings.Contains(got.out, "site.yaml is sound") {
				t.Errorf("%s: exit %d\n%s%s", c.name, got.code, got.out, got.errors)
			}
			cases[i].says = nil
			continue
		}
		says := strings.Split(strings.TrimSpace(got.out), "\n")
		if got.code != exitFinding || got.errors != "" {
			t.Errorf("%s: exit %d, %q; want exit %d\n%s", c.name, got.code, got.errors, exitFinding, got.out)
		}
		if *update {
			cases[i].says = says
		} else if d := cmp.Diff(c.says, says); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		if got.code == exitOK {
			continue // it would serve until it is stopped
		}
		served := wattbook(t, "serve", "--config", "site.yaml", "--data", "begun")
		if served.code != exitFinding || !strings.Contains(served.errors, says[len(says)-1]) {
			t.Errorf("%s: serve: exit %d, %q", c.name, served.code, served.errors)
		}
		if head := headOf(t, "begun"); head != before {
			t.Fatalf("%s: the log goes from %d to %d", c.name, before, head)
		}
	}
	if *update {
		t.Chdir(home)
		writeScript(t, file, head, cases)
	}
}
