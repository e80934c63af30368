package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/pebblelog"
	"wattbook/projections/logscript"
)

// scriptedBook is a data folder whose log holds what a script plays.
func scriptedBook(t *testing.T, lines ...string) string {
	t.Helper()
	p := logscript.New()
	if err := p.Play(lines...); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Facts(); err != nil { // the last contract is signed
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "book")
	var now domain.Instant
	log, err := pebblelog.Open(pebblelog.Config{Dir: folder(data).log(), Now: func() domain.Instant { return now }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range p.Log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		now = r.RecordedAt
		draft := eventlog.Draft{ID: r.ID, Type: r.Type, Payload: r.Payload, Metadata: r.Metadata}
		if _, err := log.Append(t.Context(), eventlog.Write{Stream: r.Stream, Expect: eventlog.Any, Events: []eventlog.Draft{draft}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "fixtures", "contracts", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	return files
}

// TestExampleContractsCanBeBilled checks the examples, and that together they
// show every kind of charge.
func TestExampleContractsCanBeBilled(t *testing.T) {
	all := ""
	for _, file := range examples(t) {
		got := wattbook(t, "contract", "check", file, "--data", filepath.Join(t.TempDir(), "none"))
		if got.code != exitOK || !strings.Contains(got.out, "can be billed (checked by itself") {
			t.Errorf("%s: exit %d\n%s%s", file, got.code, got.out, got.errors)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all += string(raw)
	}
	for _, kind := range []domain.ChargeKind{
		domain.ChargeReservedGPUs, domain.ChargeOnDemandGPUs, domain.ChargeReservedPower, domain.ChargePassThrough, domain.ChargeFixed, domain.ChargeUsage,
		domain.ChargeDemand, domain.ChargePercentage, domain.ChargeMinimum, domain.ChargeMaximum, domain.ChargeCommitment, domain.ChargeSLACredit,
	} {
		if !strings.Contains(all, "kind: "+string(kind)) {
			t.Errorf("no example shows %s", kind)
		}
	}
}

// TestTheTermsOfContractsAreShown holds what contract show says of the examples
// and of a contract with what they do not show.
func TestTheTermsOfContractsAreShown(t *testing.T) {
	var got strings.Builder
	show := func(name string, raw []byte) {
		d := readContract(name, raw)
		if err := d.err(); err != nil {
			t.Fatal(err)
		}
		zone, err := time.LoadLocation(d.signed.Zone)
		if err != nil {
			t.Fatal(err)
		}
		terms(&got, d.signed, zone)
	}
	for _, file := range examples(t) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		show(file, raw)
	}
	show("other", []byte(strings.NewReplacer("payment_days: 30", "payment_days: 30\nbuyer_reference: CC-7\nversion: 2").Replace(small)+`
  - {id: blocks, kind: usage, description: blocks, measure: gpu-hours, block_quantity: 8, rate: 12, until: 2027-01-01}
  - {id: all, kind: usage, description: volume, measure: kwh, meters: [n4], model: volume, tiers: [{up_to: 10000, rate: 0.09}, {rate: 0.085}]}
  - {id: agreed, kind: power-pass-through, description: agreed PUE, meters: [n4], pue: {cap: 1.2}}
  - {id: measured, kind: power-pass-through, description: measured PUE, meters: [n4], index: hb_north, index_cap: 90, pue: {facility: [ai], it: [n4]}}
  - {id: gpus, kind: reserved-gpus, description: reserved, quantity: 8, rate: 1460, overage_rate: 2.85, from: 2026-11-01}
  - {id: most, kind: maximum, description: most, of: [used], amount: 500}
  - {id: sla, kind: sla-credit, description: availability, of: [used], sla: {devices: [n4], minimum_outage: 10m, on_claim: true, bands: [{below_portion: 0.99, credit_portion: 0.1}]}}
`))
	golden := filepath.Join("testdata", "terms.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if diff := cmp.Diff(string(want), got.String()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestContractsThatCannotBeBilled changes the examples, one line each, and
// holds the file, the line and the rule that the error names.
func TestContractsThatCannotBeBilled(t *testing.T) {
	for _, c := range []struct{ file, change, to, want string }{
		{"usage", "{from: 1000, up_to: 5000", "{from: 1200, up_to: 5000", ":22: contract ember-usage: charge 1 (gpu-hours): tier gap: tier 2 begins at 1200"},
		{"usage", "{from: 5000, rate: 1.99}", "{from: 5000, up_to: 9000, rate: 1.99}", ":23: contract ember-usage: charge 1 (gpu-hours): tier gap: nothing prices what is beyond 9000"},
		{"usage", `to: "22:00", rate: 0.11`, `to: "23:00", rate: 0.11`, `:31: contract ember-usage: charge 2 (energy): windows "peak" and "night" overlap on Monday at 22:00`},
		{"usage", "zone: America/Chicago", "zone: America/Springfield", `:8: contract ember-usage: zone "America/Springfield" is not an IANA time zone`},
		{"usage", "currency: USD", "currency: USX", `:7: contract ember-usage: `},
		{"usage", "category: AE", "category: S", `:12: contract ember-usage: tax category S needs a rate`},
		{"usage", "measure: gpu-hours", "mesure: gpu-hours", `:17: charges[gpu-hours].mesure: there is no such key here; did you mean "measure"?`},
		{"usage", "start: 2026-11-01", "start: next week", `:9: contract ember-usage: "next week" is not a time such as 2026-10-01`},
		{"reserved", "2027-07-01", "2026-12-01", `:28: contract dawn-reserved: charge 1 (gpus): its ramp overlaps`},
		{"reserved", "quantity: 16}", "quantity: 16, until: 2027-08-01}", `:28: contract dawn-reserved: charge 1 (gpus): its ramp overlaps or has a gap`},
		{"reserved", "quantity: 24", "quantity: 7.5", ":32: charges[space].quantity: 7.5 is no whole number; a contract reserves whole GPUs and whole kW"},
		{"reserved", "quantity: 16}", "quantity: 16.5}", ":27: charges[gpus].ramp[#1].quantity: 16.5 is no whole number; a contract reserves whole GPUs"},
		{"reserved", "payment_days: 30", "payment_days: 30.5", ":16: payment_days: 30.5 is no whole number; write whole days"},
		{"reserved", "series: CB", "version: 1.5\nseries: CB", ":12: version: 1.5 is no whole number; write a whole number"},
		{"commitment", "months: 3", "months: 2.5", ":21: charges[commitment].months: 2.5 is no whole number; write whole months"},
		{"commitment", "amount: 1000}", "amount: 1000.005}", `:25: contract fjord-committed: charge 5 (least): amount 1000.005 has more digits than USD has, which are 2`},
		{"commitment", "of: [gpu-hours, platform]", "of: [gpu-hours, patform]", `:15: contract fjord-committed: charge 3 (support): charge "patform" is not before it`},
	} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "fixtures", "contracts", c.file+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), c.change) {
			t.Fatalf("%s does not hold %q", c.file, c.change)
		}
		path := filepath.Join(t.TempDir(), "contract.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(string(raw), c.change, c.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		got := wattbook(t, "contract", "check", path, "--data", filepath.Join(t.TempDir(), "none"))
		if got.code != exitUsage || !strings.Contains(got.errors, path+c.want) {
			t.Errorf("%s with %q: exit %d\n%swant %s", c.file, c.to, got.code, got.errors, c.want)
		}
	}
}

const small = `
id: aurora
seller: {id: seller, name: Seller, country: US}
buyer: {id: aurora, name: Aurora, country: US}
series: CB
currency: USD
zone: UTC
start: 2026-10-01
payment_days: 30
tax: {name: Sales tax, rate_portion: 0.1}
charges:
  - {id: used, kind: usage, description: used, measure: kwh, meters: [n4], rate: 0.1}
`

// TestSigningAndAmending signs a contract, signs it again, contradicts it,
// amends it and shows it.
func TestSigningAndAmending(t *testing.T) {
	data := scriptedBook(t, "now 2026-09-01", "site s step=1h", "meter revenue", "meter n4 under=revenue use=ai")
	file := filepath.Join(t.TempDir(), "aurora.yaml")
	write := func(replace ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(small)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		replace []string
		args    []string
		code    int
		want    string
	}{
		{"nothing is signed", nil, []string{"show"}, exitFinding, "no contract is signed"},
		{"amended before it is signed", nil, []string{"amend"}, exitFinding, "is not signed; do that with"},
		{"of a meter that is not there", []string{"[n4]", "[n5]"}, []string{"sign"}, exitUsage, `aurora.yaml:12: contract aurora: charge 1 (used): device n5 is not registered at s; did you mean "n4"?`},
		{"checked beside the book", nil, []string{"check"}, exitOK, "can be billed (checked against " + data},
		{"signed", nil, []string{"sign"}, exitOK, "contract aurora version 1 is signed, in force from 2026-10-01T00:00:00Z"},
		{"signed again without a version", nil, []string{"sign"}, exitFinding, "is signed, version 1 is in force; change it with"},
		{"the same version again", []string{"series", "version: 1\nseries"}, []string{"sign"}, exitOK, "version 1 was signed before"},
		{"the same version with other terms", []string{"series", "version: 1\nseries", "0.1}", "0.2}"}, []string{"sign"}, exitFinding, "version 1 is on record with other terms"},
		{"amended", []string{"2026-10-01", "2026-10-16", "rate: 0.1}", "rate: 0.2}"}, []string{"amend"}, exitOK, "contract aurora version 2 is signed, in force from 2026-10-16"},
		{"another tax from the middle of a month", []string{"2026-10-01", "2026-11-10", "rate_portion: 0.1", "rate_portion: 0.2"}, []string{"amend"}, exitUsage, "aurora.yaml:8: contract aurora: version 3 begins inside 2026-11 and has another tax than version 2, and an invoice has one tax; start it at the first of a month in UTC: 2026-11-01 or 2026-12-01"},
		{"checked likewise", []string{"2026-10-01", "2026-11-10", "rate_portion: 0.1", "rate_portion: 0.2"}, []string{"check"}, exitUsage, "aurora.yaml:8: contract aurora: version 3 begins inside 2026-11 and has another tax"},
		{"another currency from the middle of a month", []string{"2026-10-01", "2026-11-10", "USD", "EUR"}, []string{"check"}, exitUsage, "aurora.yaml:8: contract aurora: version 3 begins inside 2026-11 and has another currency than version 2"},
		{"in another zone", []string{"2026-10-01", "2026-11-01", "zone: UTC", "zone: Europe/Berlin"}, []string{"check"}, exitUsage, "aurora.yaml:7: contract aurora: version 3 is of another zone than version 1, which is in force in 2026-10 too; end the contract and sign a new one"},
		{"another tax from the first of a month", []string{"2026-10-01", "2026-11-01", "rate_portion: 0.1", "rate_portion: 0.2"}, []string{"check"}, exitOK, "can be billed"},
		{"another tax from the start of all", []string{"rate_portion: 0.1", "rate_portion: 0.2"}, []string{"check"}, exitOK, "can be billed"},
		{"a version is left out", []string{"series", "version: 9\nseries"}, []string{"amend"}, exitUsage, "version 9 of contract aurora leaves 3 out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(c.replace...)
			args := append([]string{"contract"}, c.args...)
			if c.args[0] != "show" {
				args = append(args, file)
			}
			got := wattbook(t, append(args, "--data", data)...)
			if got.code != c.code || !strings.Contains(got.out+got.errors, c.want) {
				t.Errorf("exit %d, want %d and %q\n%s%s", got.code, c.code, c.want, got.out, got.errors)
			}
		})
	}
	shown := wattbook(t, "contract", "show", "aurora", "--data", data)
	if shown.code != exitOK || !strings.Contains(shown.out, "aurora version 1: Seller for Aurora, from 2026-10-01 00:00 (UTC), USD, 30 days to pay") || !strings.Contains(shown.out, "aurora version 2") {
		t.Errorf("show: exit %d\n%s%s", shown.code, shown.out, shown.errors)
	}
	for _, want := range []string{"tax Sales tax 10 %, category S; invoices CB", "0.10 USD per kWh", "0.20 USD per kWh"} {
		if !strings.Contains(shown.out, want) {
			t.Errorf("show lacks %q:\n%s", want, shown.out)
		}
	}
	if got := wattbook(t, "contract", "show", "aurora", "--version", "2", "--json", "--data", data); got.code != exitOK || strings.Contains(got.out, `"version": 1`) || !strings.Contains(got.out, `"version": 2`) {
		t.Errorf("show one version as JSON: exit %d\n%s", got.code, got.out)
	}
}

// TestNoHourIsSignedTwice refuses a contract that charges a customer's GPU time
// beside another one that does, until that is ended.
func TestNoHourIsSignedTwice(t *testing.T) {
	data := scriptedBook(t, "now 2026-09-01", "site s step=1h", "meter revenue", "contract old buyer=aurora", "charge used on-demand-gpus 3", "contract free buyer=aurora", "charge flat fixed 3", "contract other buyer=b", "charge used on-demand-gpus 3")
	gpus := strings.NewReplacer("measure: kwh, meters: [n4]", "measure: gpu-hours").Replace(small)
	file := filepath.Join(t.TempDir(), "aurora.yaml")
	sign := func(text string, code int, want string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := wattbook(t, "contract", "sign", file, "--data", data); got.code != code || !strings.Contains(got.out+got.errors, want) {
			t.Errorf("exit %d, want %d and %q\n%s%s", got.code, code, want, got.out, got.errors)
		}
	}
	sign(gpus, exitUsage, "aurora.yaml:8: contract aurora: contract old charges the GPU time of customer aurora from 2026-10-01T00:00:00Z on, too, and no hour may be billed twice; end that one first")
	ended := strings.NewReplacer("id: aurora\nseller", "id: old\nseller", "start: 2026-10-01", "start: 2020-01-01\nend: 2026-10-01").Replace(gpus)
	if err := os.WriteFile(file, []byte(ended), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := wattbook(t, "contract", "amend", file, "--data", data); got.code != exitOK {
		t.Fatalf("exit %d\n%s%s", got.code, got.out, got.errors)
	}
	sign(gpus, exitOK, "contract aurora version 1 is signed")
}

// FuzzReadContract holds that no file panics, and that each of its mistakes
// names the file and one of its lines.
func FuzzReadContract(f *testing.F) {
	for _, name := range []string{"commitment", "power", "reserved", "usage"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "fixtures", "contracts", name+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	for _, text := range []string{
		small, "", "- id: a", "id: [", "id: a\n---\nid: b", "charges: &a [*a]\nmaintenance: *a", "charges: [{sla: &a {bands: [*a]}}]", "start: 2026-13-01\nend: x\nmaintenance: [{start: soon}]",
		"charges:\n- {id: g, kind: reserved-gpus, rate: 1460.O, ramp: [{from: y}]}\n- {sla: 3, pue: [], tiers: [{up_to: z}], windows: [a]}", "tax: {rate_portion: 8.25, rate: 1}\ncurency: USD",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := readContract("c.yaml", []byte(text))
		err := d.err()
		if err == nil {
			if err := d.signed.Validate(); err != nil && d.signed.Version > 0 {
				t.Errorf("no mistake is told of a contract that cannot be billed: %v", err)
			}
			return
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(line, "c.yaml:") {
				t.Errorf("%q does not name the file", line)
			}
		}
	})
}
