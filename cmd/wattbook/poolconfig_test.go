package main

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest/pool"
)

const goodSite = `
site:
  id: cedar-bend
  name: Cedar Bend
  zone: America/Chicago
  step: 5m
  currency: USD
  node: hb_south
  revenue_meter: m1
  loss_portion: 0.012
  dispatch: {limit_kw: 12000}
devices:
  - {id: m1, kind: meter, rated_kw: 14000}
sources:
  - {name: meters, type: modbus, every: 5m, meters: [{device: m1, address: "127.0.0.1:1", registers: sunspec, provenance: revenue-meter}]}
`

const poolKeys = `  pool:
    id: ocean
    account: west
    scheme: tides
    fee_portion: 0.02
    pool_petahash_per_second: 14.5
    threshold_btc: 0.01048576
    day_start: 16h
    rates:
      - {from: 2026-10-14T12:00:00Z, fee_portion: 0.01}
`

const poolSources = `  - {name: s1, type: f2pool, every: 1h, subaccount: west, key_env: KEY}
  - {name: s2, type: braiins, every: 1h, subaccount: west, key_env: KEY}
  - {name: s3, type: ocean, every: 1h, subaccount: bc1q}
  - {name: s4, type: viabtc, every: 1h, subaccount: west, key: k, zone: Asia/Shanghai}
  - {name: s5, type: luxor, every: 1h, subaccount: west, key: k}
  - {name: s6, type: antpool, every: 1h, subaccount: west, key_env: KEY, secret_env: SECRET}
  - {name: s7, type: binance, every: 1h, subaccount: west, key: k, secret: s, zone: Asia/Shanghai}
  - {name: s8, type: node, every: 10m, url: "http://127.0.0.1:8332", user: u, key_env: KEY, chain: true, payees: [{address: bc1q}]}
  - {name: s9, type: node-wallet, every: 10m, url: "http://127.0.0.1:8332/wallet/w", user: u, key_env: KEY, confirmations: 3, payees: [{address: bc1q}]}
`

func TestPoolTermsAndSourcesOfAConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.yaml")
	text := strings.Replace(goodSite, "  dispatch:", poolKeys+"  dispatch:", 1) + poolSources
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	in := inspectSite(path, path)
	if err := in.err(); err != nil {
		t.Fatal(err)
	}
	c := in.config
	terms, _, err := c.poolTerms()
	dec := domain.MustDecimal
	want := domain.PoolTerms{
		Pool: "ocean", Account: "west", Scheme: "tides", Fee: dec("0.02"), Hashrate: domain.Int(14_500_000_000_000_000), Threshold: 1_048_576, DayStart: 16 * domain.Hour,
		Rates: []domain.PoolRate{{From: domain.Unix(1_791_979_200), Fee: dec("0.01")}},
	}
	if diff := cmp.Diff(want, terms); err != nil || diff != "" {
		t.Errorf("error %v, terms (-want +got):\n%s", err, diff)
	}
	env := map[string]string{"KEY": "k", "SECRET": "s"}
	b := builder{config: c, now: systemClock, logger: slog.New(slog.DiscardHandler), client: http.DefaultClient, getenv: func(k string) string { return env[k] }}
	all, err := b.sources(in)
	if err != nil || len(all) != 3+len(pool.Dialects()) {
		t.Fatalf("%d sources, %v", len(all), err)
	}
	delete(env, "SECRET")
	if _, err := b.sources(inspectSite(path, path)); err == nil || !strings.Contains(err.Error(), "the environment variable SECRET is empty") {
		t.Errorf("without a secret: %v", err)
	}
	for _, row := range []struct{ change, to, want string }{
		{"scheme: tides", "scheme: tide", `"tide" is no scheme that can be reconciled`},
		{"fee_portion: 0.02", "fee_portion: 2", "0.02 for a fee of 2 %"},
		{"threshold_btc: 0.01048576", "threshold_btc: 0.010485765", "not whole satoshi"},
		{"day_start: 16h", "day_start: 24h", "want less than 24h"},
		{"zone: Asia/Shanghai}\n  - {name: s5", "zone: Peking}\n  - {name: s5", `"Peking" is not an IANA time zone`},
	} {
		if err := os.WriteFile(path, []byte(strings.Replace(text, row.change, row.to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		again := inspectSite(path, path)
		err := again.err()
		if err == nil {
			b.config = again.config
			_, err = b.sources(again)
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: got %v, want %q", row.to, err, row.want)
		}
	}
}
