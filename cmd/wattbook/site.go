package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/chain"
	"wattbook/ingest/gpu"
	"wattbook/ingest/market"
	"wattbook/ingest/meter"
	"wattbook/ingest/miner"
	"wattbook/ingest/node"
	"wattbook/ingest/pool"
	"wattbook/ingest/scheduler"
)

// siteConfig is the description of a site in a configuration file.
type siteConfig struct {
	Data         string `yaml:"data"`
	LogLevel     string `yaml:"log_level"`
	PublishEvery string `yaml:"publish_every"`
	SQLListen    string `yaml:"sql_listen"`
	SQLToken     string `yaml:"sql_token"`
	Settle       string `yaml:"settle"`
	Timeout      string `yaml:"timeout"`
	SignEvery    string `yaml:"sign_every"`
	Wait         string `yaml:"wait"`
	Origin       string `yaml:"origin"`

	Cluster          string `yaml:"cluster"`
	ClusterUser      string `yaml:"cluster_user"`
	ClusterPassword  string `yaml:"cluster_password"`
	ClusterStream    string `yaml:"cluster_stream"`
	ClusterLeader    bool   `yaml:"cluster_leader"`
	ClusterPlaintext bool   `yaml:"cluster_plaintext"`

	Site struct {
		ID           domain.SiteID   `yaml:"id"`
		Name         string          `yaml:"name"`
		Zone         string          `yaml:"zone"`
		Step         domain.Duration `yaml:"step"`
		Currency     string          `yaml:"currency"`
		Node         domain.NodeID   `yaml:"node"`
		RevenueMeter domain.DeviceID `yaml:"revenue_meter"`
		LossPortion  domain.Decimal  `yaml:"loss_portion"`
		From         domain.Instant  `yaml:"from"` // when these terms begin to hold; absent: when they are recorded
		Pool         poolConfig      `yaml:"pool"`
		PoolAccounts []poolConfig    `yaml:"pool_accounts"` // further ones
		Dispatch     struct {
			Limit   domain.Decimal  `yaml:"limit_kw"`
			Ramp    domain.Decimal  `yaml:"ramp_kw_per_step"`
			MinOn   domain.Duration `yaml:"min_on"`
			MinOff  domain.Duration `yaml:"min_off"`
			Adder   domain.Decimal  `yaml:"adder_per_mwh"`
			Reserve domain.Decimal  `yaml:"reserve_kw"`
		} `yaml:"dispatch"`
	} `yaml:"site"`
	Devices   []deviceConfig `yaml:"devices"`
	Contracts []contractFile `yaml:"contracts"`
	Sources   []sourceConfig `yaml:"sources"`
}

type deviceConfig struct {
	ID            domain.DeviceID `yaml:"id"`
	Kind          string          `yaml:"kind"`
	Under         domain.DeviceID `yaml:"under"`
	Use           string          `yaml:"use"`
	Model         string          `yaml:"model"`
	Serial        string          `yaml:"serial"`
	Host          string          `yaml:"host"`
	Units         int64           `yaml:"units"`
	RatedPower    domain.Decimal  `yaml:"rated_kw"`
	TypicalPower  domain.Decimal  `yaml:"typical_kw"`
	RatedHashes   domain.Decimal  `yaml:"rated_terahash_per_second"`
	TypicalHashes domain.Decimal  `yaml:"typical_terahash_per_second"`
}

// sourceConfig describes a source. Which keys apply depends on its type.
type sourceConfig struct {
	Name       domain.SourceID `yaml:"name"`
	Type       string          `yaml:"type"`
	Every      domain.Duration `yaml:"every"`
	Timeout    domain.Duration `yaml:"timeout"`
	URL        string          `yaml:"url"`
	File       string          `yaml:"file"`
	Command    []string        `yaml:"command"`
	Lookback   domain.Duration `yaml:"lookback"`
	Lookahead  domain.Duration `yaml:"lookahead"`
	PriceStep  domain.Duration `yaml:"price_step"`
	Revised    bool            `yaml:"revised"`
	Subaccount string          `yaml:"subaccount"`
	Account    string          `yaml:"account"` // of the site, where it has several
	Key        string          `yaml:"key"`
	KeyEnv     string          `yaml:"key_env"`
	User       string          `yaml:"user"`
	Network    string          `yaml:"network"`
	Confirmed  int             `yaml:"confirmations"`
	Chain      bool            `yaml:"chain"`
	Secret     string          `yaml:"secret"`
	SecretEnv  string          `yaml:"secret_env"`
	Days       int             `yaml:"lookback_days"`
	Library    string          `yaml:"library"`
	Host       string          `yaml:"host"`
	Zone       string          `yaml:"zone"`
	Provenance string          `yaml:"provenance"`
	Meters     []struct {
		Device     domain.DeviceID `yaml:"device"`
		Address    string          `yaml:"address"`
		Unit       uint8           `yaml:"unit_id"`
		Registers  string          `yaml:"registers"` // "sunspec", the name of a map, or a map's file
		Provenance string          `yaml:"provenance"`
	} `yaml:"meters"`
	Miners []struct {
		Device  domain.DeviceID `yaml:"device"`
		Address string          `yaml:"address"`
		Dialect string          `yaml:"dialect"`
	} `yaml:"miners"`
	GPUs []struct {
		Device domain.DeviceID `yaml:"device"`
		UUID   string          `yaml:"uuid"`
		Index  int             `yaml:"index"`
	} `yaml:"gpus"`
	Customers []struct {
		Account  string            `yaml:"account"`
		Customer domain.CustomerID `yaml:"customer"`
	} `yaml:"customers"`
	Unbilled []string `yaml:"unbilled_accounts"`
	Payees   []struct {
		Address string `yaml:"address"`
		Account string `yaml:"account"`
	} `yaml:"payees"`
}

// events returns the events that register the site, its devices and its
// contracts.
func (c siteConfig) events() ([]domain.Event, error) {
	s := c.Site
	currency, err := domain.ParseCurrency(s.Currency)
	if err != nil {
		return nil, fmt.Errorf("site.currency: %w", err)
	}
	site := domain.SiteRegistered{
		Site: s.ID, Name: s.Name, Zone: s.Zone, Step: s.Step, Currency: currency, Node: s.Node,
		RevenueMeter: s.RevenueMeter, LossPortion: s.LossPortion, From: s.From,
		Dispatch: domain.DispatchRule{MinOn: s.Dispatch.MinOn, MinOff: s.Dispatch.MinOff, Adder: s.Dispatch.Adder},
	}
	if site.Pool, site.Accounts, err = c.poolTerms(); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		name string
		from domain.Decimal
		to   *domain.Power
	}{{"limit_kw", s.Dispatch.Limit, &site.Dispatch.Limit}, {"ramp_kw_per_step", s.Dispatch.Ramp, &site.Dispatch.Ramp}, {"reserve_kw", s.Dispatch.Reserve, &site.Dispatch.Reserve}} {
		if *p.to, err = powerOf(p.from); err != nil {
			return nil, fmt.Errorf("site.dispatch.%s: %w", p.name, err)
		}
	}
	if err := site.Validate(); err != nil {
		return nil, err
	}
	events := []domain.Event{site}
	for _, d := range c.Devices {
		e, err := d.event(s.ID)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	for _, k := range c.Contracts {
		e, wrong := k.event(s.ID)
		if err := errors.Join(wrong...); err != nil {
			return nil, err
		}
		if err := e.Validate(); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func (d deviceConfig) event(site domain.SiteID) (e domain.DeviceRegistered, err error) {
	e = domain.DeviceRegistered{
		Site: site, Device: d.ID, Kind: domain.DeviceKind(d.Kind), Model: d.Model, Serial: d.Serial,
		Under: d.Under, Use: domain.Use(d.Use), Units: max(1, d.Units), Host: d.Host,
	}
	if e.RatedPower, err = powerOf(d.RatedPower); err != nil {
		return e, fmt.Errorf("device %s: rated_kw: %w", d.ID, err)
	}
	if e.TypicalPower, err = powerOf(d.TypicalPower); err != nil {
		return e, fmt.Errorf("device %s: typical_kw: %w", d.ID, err)
	}
	if e.RatedHashes, err = hashesOf(d.RatedHashes); err != nil {
		return e, fmt.Errorf("device %s: rated_terahash_per_second: %w", d.ID, err)
	}
	if e.TypicalHashes, err = hashesOf(d.TypicalHashes); err != nil {
		return e, fmt.Errorf("device %s: typical_terahash_per_second: %w", d.ID, err)
	}
	return e, e.Validate()
}

// powerOf returns kilowatts as a power; they must be whole milliwatts.
func powerOf(kw domain.Decimal) (domain.Power, error) {
	v, whole := kw.Scaled(6)
	if !whole || !v.IsInt64() || v.Sign() < 0 {
		return 0, fmt.Errorf("%s kW is negative, too large or not whole milliwatts", kw)
	}
	return domain.Power(v.Int64()), nil
}

// hashesOf returns TH/s as hashes per second.
func hashesOf(tera domain.Decimal) (domain.Int128, error) {
	v, whole := tera.Scaled(12)
	if !whole || v.Sign() < 0 {
		return domain.Int128{}, fmt.Errorf("%s TH/s is negative or not whole hashes", tera)
	}
	return domain.IntFromBig(v)
}

// builder makes the sources of a site.
type builder struct {
	config siteConfig
	now    func() domain.Instant
	logger *slog.Logger
	client *http.Client
	getenv func(string) string
	// gpus returns the management library that a source names.
	gpus func(library, host string) (nvml.Interface, error)
}

// sources makes all sources, in the order of the file, and notes those that
// cannot be made.
func (b builder) sources(in *inspection) ([]ingest.Source, error) {
	var all []ingest.Source
	for i, p := range in.root.at("sources").items() {
		s, err := b.source(b.config.Sources[i])
		if err != nil {
			p.failf("%v", err)
			continue
		}
		all = append(all, s)
	}
	return all, in.err()
}

func (b builder) source(c sourceConfig) (ingest.Source, error) {
	switch c.Type {
	case "modbus":
		return b.meters(c)
	case "cgminer":
		return b.miners(c)
	case "nvml":
		return b.nvml(c)
	case "interval-file":
		provenance, err := domain.ParseProvenance(c.Provenance)
		if err != nil {
			return nil, err
		}
		return meter.NewDaily(meter.DailyConfig{Name: c.Name, Every: c.Every, URL: c.URL, Days: c.Days, Provenance: provenance, Client: b.client, Now: b.now, Logger: b.logger})
	case "sacct":
		return b.sacct(c)
	case "power-prices", "bitcoin-prices":
		return b.prices(c)
	case "blocks":
		return chain.NewSource(chain.Config{Name: c.Name, Every: c.Every, URL: c.URL, Client: b.client, Now: b.now, Logger: b.logger})
	case "foundry":
		key, err := b.secret(c.Key, c.KeyEnv)
		if err != nil {
			return nil, err
		}
		of, err := b.account(c.Account)
		if err != nil {
			return nil, err
		}
		return pool.NewFoundry(pool.FoundryConfig{
			Name: c.Name, Every: c.Every, URL: c.URL, Subaccount: c.Subaccount, Key: key, Pool: of.Pool,
			Account: of.Account, Lookback: c.Days, Client: b.client, Now: b.now, Logger: b.logger,
		})
	case "f2pool", "braiins", "ocean", "viabtc", "luxor", "antpool", "binance":
		return b.statements(c)
	case "node", "node-wallet":
		return b.node(c)
	case "wallet-csv":
		var payees []pool.Payee
		for _, p := range c.Payees {
			of, err := b.account(cmp.Or(p.Account, c.Account))
			if err != nil {
				return nil, err
			}
			payees = append(payees, pool.Payee{Address: p.Address, Pool: of.Pool, Account: of.Account})
		}
		return pool.NewWallet(pool.WalletConfig{Name: c.Name, Every: c.Every, URL: c.URL, Lookback: c.Lookback, Key: pool.Key(c.Key), Payees: payees, Client: b.client, Now: b.now, Logger: b.logger})
	}
	return nil, fmt.Errorf("type %q is no type of source; did you mean %q?", c.Type, nearest(c.Type, []string{
		"modbus", "cgminer", "nvml", "interval-file", "sacct", "power-prices", "bitcoin-prices", "blocks", "foundry", "wallet-csv",
		"f2pool", "braiins", "ocean", "viabtc", "luxor", "antpool", "binance", "node", "node-wallet",
	}))
}

// secret returns a key that is written in the file, or that a variable of the
// environment holds.
func (b builder) secret(written, variable string) (pool.Key, error) {
	if variable == "" {
		return pool.Key(written), nil
	}
	key := b.getenv(variable)
	if key == "" {
		return "", fmt.Errorf("the environment variable %s is empty; set it to the key", variable)
	}
	return pool.Key(key), nil
}

// statements makes the source of statements of a pool.
func (b builder) statements(c sourceConfig) (ingest.Source, error) {
	key, err := b.secret(c.Key, c.KeyEnv)
	if err != nil {
		return nil, err
	}
	secret, err := b.secret(c.Secret, c.SecretEnv)
	if err != nil {
		return nil, err
	}
	of, err := b.account(c.Account)
	if err != nil {
		return nil, err
	}
	config := pool.StatementsConfig{
		Name: c.Name, Every: c.Every, Dialect: c.Type, URL: c.URL, Subaccount: c.Subaccount, Key: key, Secret: secret,
		Pool: of.Pool, Account: of.Account, Lookback: c.Days, Wait: pause, Client: b.client, Now: b.now, Logger: b.logger,
	}
	if c.Zone != "" {
		zone, err := time.LoadLocation(c.Zone)
		if err != nil {
			return nil, fmt.Errorf("zone %q is not an IANA time zone", c.Zone)
		}
		config.Zone = zone
	}
	return pool.NewStatements(config)
}

// node makes the source that follows the chain on a node, or in its wallet.
func (b builder) node(c sourceConfig) (ingest.Source, error) {
	password, err := b.secret(c.Key, c.KeyEnv)
	if err != nil {
		return nil, err
	}
	client, err := node.NewClient(b.client, c.URL, c.User, string(password))
	if err != nil {
		return nil, err
	}
	config := node.Config{
		Name: c.Name, Every: c.Every, Client: client, Network: cmp.Or(c.Network, "main"), Confirmations: c.Confirmed, Chain: c.Chain, Now: b.now, Logger: b.logger,
	}
	for _, p := range c.Payees {
		of, err := b.account(cmp.Or(p.Account, c.Account))
		if err != nil {
			return nil, err
		}
		config.Payees = append(config.Payees, node.Payee{Address: p.Address, Pool: of.Pool, Account: of.Account})
	}
	if c.Type == "node-wallet" {
		return node.NewWalletFollower(config)
	}
	return node.NewFollower(config)
}

// pause waits, or returns the error of a context that ends before.
func pause(ctx context.Context, d domain.Duration) error {
	t := time.NewTimer(d.Std())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b builder) meters(c sourceConfig) (ingest.Source, error) {
	config := meter.Config{Name: c.Name, Every: c.Every, Timeout: c.Timeout.Std(), Now: b.now, Logger: b.logger}
	for _, m := range c.Meters {
		provenance, err := domain.ParseProvenance(m.Provenance)
		if err != nil {
			return nil, fmt.Errorf("meter %s: %w", m.Device, err)
		}
		out := meter.Meter{Device: m.Device, Address: m.Address, Unit: m.Unit, Provenance: provenance}
		if m.Registers != "sunspec" {
			layout, err := registerMap(m.Registers)
			if err != nil {
				return nil, fmt.Errorf("meter %s: %w", m.Device, err)
			}
			out.Map = &layout
		}
		config.Meters = append(config.Meters, out)
	}
	return meter.New(config)
}

// isFile reports whether a register map is named by its file.
func isFile(registers string) bool { return strings.ContainsAny(registers, "./") }

// registerMap reads a map by name, or from a file.
func registerMap(name string) (meter.Map, error) {
	if !isFile(name) {
		return meter.NamedMap(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return meter.Map{}, err
	}
	defer f.Close()
	return meter.ReadMap(f, name)
}

func (b builder) miners(c sourceConfig) (ingest.Source, error) {
	config := miner.Config{Name: c.Name, Every: c.Every, Timeout: c.Timeout.Std(), Now: b.now}
	for _, m := range c.Miners {
		dialect, err := miner.ParseDialect(m.Dialect)
		if err != nil {
			return nil, fmt.Errorf("miner %s: %w", m.Device, err)
		}
		config.Miners = append(config.Miners, miner.Miner{Device: m.Device, Address: m.Address, Dialect: dialect})
	}
	return miner.New(config)
}

func (b builder) nvml(c sourceConfig) (ingest.Source, error) {
	library, err := b.gpus(c.Library, c.Host)
	if err != nil {
		return nil, err
	}
	config := gpu.Config{Name: c.Name, Every: c.Every, Node: c.Host, Library: library, Now: b.now, Logger: b.logger}
	for _, g := range c.GPUs {
		config.GPUs = append(config.GPUs, gpu.GPU{Device: g.Device, UUID: g.UUID, Index: g.Index})
	}
	return gpu.New(config)
}

func (b builder) sacct(c sourceConfig) (ingest.Source, error) {
	config := scheduler.Config{
		Name: c.Name, Every: c.Every, Command: c.Command, File: c.File, Timeout: c.Timeout, Now: b.now, Logger: b.logger,
		Terms: scheduler.Terms{Site: b.config.Site.ID, Customers: map[string]domain.CustomerID{}, Unbilled: c.Unbilled},
	}
	if c.Zone != "" {
		zone, err := time.LoadLocation(c.Zone)
		if err != nil {
			return nil, fmt.Errorf("zone %q is not an IANA time zone", c.Zone)
		}
		config.Terms.Zone = zone
	}
	for _, k := range c.Customers {
		config.Terms.Customers[k.Account] = k.Customer
	}
	return scheduler.New(config)
}

func (b builder) prices(c sourceConfig) (ingest.Source, error) {
	config := market.Config{
		Name: c.Name, Every: c.Every, URL: c.URL, Currency: domain.Currency(b.config.Site.Currency), Step: c.PriceStep,
		Lookback: c.Lookback, Lookahead: c.Lookahead, Revised: c.Revised, Client: b.client, Now: b.now, Logger: b.logger,
	}
	if c.Type == "bitcoin-prices" {
		return market.NewBitcoinFeed(config)
	}
	config.Node = b.config.Site.Node
	return market.NewPowerFeed(config)
}
