package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"wattbook/domain"
)

// poolConfig describes a pool account of a site.
type poolConfig struct {
	ID      domain.PoolID  `yaml:"id"`
	Account string         `yaml:"account"`
	Scheme  string         `yaml:"scheme"`
	Fee     domain.Decimal `yaml:"fee_portion"`
	// The pool's own hashrate, the balance below which it pays nothing out,
	// when its day begins after midnight UTC, and later terms.
	Hashrate  domain.Decimal  `yaml:"pool_petahash_per_second"`
	Threshold domain.Decimal  `yaml:"threshold_btc"`
	DayStart  domain.Duration `yaml:"day_start"`
	Rates     []struct {
		From     domain.Instant `yaml:"from"`
		Scheme   string         `yaml:"scheme"`
		Fee      domain.Decimal `yaml:"fee_portion"`
		Hashrate domain.Decimal `yaml:"pool_petahash_per_second"`
	} `yaml:"rates"`
	// Miners work for the account, or all miners below a meter; only further
	// accounts name them.
	Miners []domain.DeviceID `yaml:"miners"`
}

// terms returns the account as the book has it.
func (p poolConfig) terms() (t domain.PoolTerms, err error) {
	t = domain.PoolTerms{Pool: p.ID, Account: p.Account, Scheme: p.Scheme, Fee: p.Fee, DayStart: p.DayStart, Miners: p.Miners}
	if t.Hashrate, err = hashesOf(p.Hashrate.Shift(3)); err != nil {
		return t, fmt.Errorf("pool_petahash_per_second: %w", err)
	}
	threshold, whole := p.Threshold.Scaled(8)
	if !whole || !threshold.IsInt64() {
		return t, fmt.Errorf("threshold_btc: %s is too large or not whole satoshi", p.Threshold)
	}
	t.Threshold = domain.Satoshi(threshold.Int64())
	for _, r := range p.Rates {
		rate := domain.PoolRate{From: r.From, Scheme: r.Scheme, Fee: r.Fee}
		if rate.Hashrate, err = hashesOf(r.Hashrate.Shift(3)); err != nil {
			return t, fmt.Errorf("rates from %s: pool_petahash_per_second: %w", r.From, err)
		}
		t.Rates = append(t.Rates, rate)
	}
	return t, t.Validate()
}

// poolTerms returns the pool accounts of the site: its first one, and others.
func (c siteConfig) poolTerms() (first domain.PoolTerms, others []domain.PoolTerms, err error) {
	if first, err = c.Site.Pool.terms(); err != nil {
		return first, nil, fmt.Errorf("site.pool: %w", err)
	}
	for i, p := range c.Site.PoolAccounts {
		t, err := p.terms()
		if err != nil {
			return first, nil, fmt.Errorf("site.pool_accounts[%d]: %w", i, err)
		}
		others = append(others, t)
	}
	return first, others, nil
}

// accountsNamed returns those of a site's pool accounts that a name means: an
// account, a pool, or both with a slash between them. No name means all.
func accountsNamed(all []domain.PoolTerms, name string) (named []domain.PoolTerms) {
	for _, t := range all {
		if name == t.Name() {
			return []domain.PoolTerms{t}
		}
		if name == "" || name == t.Account || name == string(t.Pool) {
			named = append(named, t)
		}
	}
	return named
}

// oneAccount returns the one account that a name means. The error says how to
// name one; flag is what names it.
func oneAccount(all []domain.PoolTerms, name, flag string) (domain.PoolTerms, error) {
	named := accountsNamed(all, name)
	if len(named) == 1 {
		return named[0], nil
	}
	var names []string
	for _, t := range all {
		names = append(names, t.Name())
	}
	switch {
	case len(all) == 0:
		return domain.PoolTerms{}, errors.New("the site works for no pool; name one in its configuration, site.pool")
	case name == "":
		return domain.PoolTerms{}, fmt.Errorf("the site works for several pool accounts; say which by %s: %s", flag, strings.Join(names, " or "))
	case len(named) == 0:
		return domain.PoolTerms{}, fmt.Errorf("%s %q is no pool account of the site; want %s", flag, name, strings.Join(names, " or "))
	}
	return domain.PoolTerms{}, fmt.Errorf("%s %q is the name of several pool accounts; write %s", flag, name, strings.Join(names, " or "))
}

// account returns the pool account that a source is about.
func (b builder) account(name string) (domain.PoolTerms, error) {
	first, others, err := b.config.poolTerms()
	if err != nil {
		return first, err
	}
	return oneAccount(append([]domain.PoolTerms{first}, others...), name, "account")
}

// checkPools checks the pool accounts of a site.
func (in *inspection) checkPools(site place) {
	first, others := site.at("pool"), site.at("pool_accounts")
	if first.given() {
		in.checkPool(first, &in.config.Site.Pool)
	} else if others.given() {
		first.failf("is missing; describe the account that gets the work of all miners which no other account names")
	}
	if miners := first.at("miners"); miners.given() {
		miners.failf("means nothing for the first account, which gets the work of all miners that no other names; remove it")
	}
	names, miners := map[string]place{}, map[domain.DeviceID]place{}
	names[string(in.config.Site.Pool.ID)+"/"+in.config.Site.Pool.Account] = first
	for i, item := range others.items() {
		p := &in.config.Site.PoolAccounts[i]
		in.checkPool(item, p)
		name := string(p.ID) + "/" + p.Account
		if before, ok := names[name]; ok && !item.troubled() {
			item.failf("%s is described on line %d already; give each account once", name, before.line)
		}
		names[name] = item
		if len(p.Miners) == 0 {
			item.at("miners").failf("is missing; name the miners that work for the account, or the meters above them")
		}
		for _, m := range p.Miners {
			in.checkMinerOf(item.at("miners"), m, miners)
		}
	}
}

// checkMinerOf checks that what works for an account is a miner, or a meter
// above miners, and works for no other.
func (in *inspection) checkMinerOf(p place, id domain.DeviceID, seen map[domain.DeviceID]place) {
	d, ok := in.device(id)
	switch {
	case !ok && len(in.config.Devices) > 0:
		p.failf("%q is not one of the devices; %s", id, in.didYouMean(id))
		return
	case known(d.Kind) && d.Kind == string(domain.KindGPU):
		p.failf("%s is a gpu; name miners, or meters above them", id)
		return
	}
	for other, before := range seen {
		if slices.Contains(in.upstream(id), other) || slices.Contains(in.upstream(other), id) {
			p.failf("%s and %s, named on line %d, have miners in common, whose work would count twice; remove one", id, other, before.line)
		}
	}
	seen[id] = p
}

// upstream returns a device and the meters above it.
func (in *inspection) upstream(id domain.DeviceID) (all []domain.DeviceID) {
	for range in.config.Devices {
		d, ok := in.device(id)
		if !ok {
			break
		}
		all = append(all, id)
		id = d.Under
	}
	return all
}

func (in *inspection) checkPool(p place, pool *poolConfig) {
	checkName(p.at("id"), "pool", pool.ID)
	checkName(p.at("account"), "pool account", pool.Account)
	if _, err := domain.ParseScheme(pool.Scheme); err != nil || pool.Scheme == "" {
		var names []string
		for _, s := range domain.Schemes() {
			names = append(names, string(s))
		}
		p.at("scheme").failf("%q is no scheme that can be reconciled; write %s", pool.Scheme, strings.Join(names, " or "))
	}
	checkPortion(p.at("fee_portion"), pool.Fee, "0.02 for a fee of 2 %")
	if !p.at("scheme").troubled() && !p.at("fee_portion").troubled() {
		if _, err := pool.terms(); err != nil {
			p.failf("%v", err)
		}
	}
}

// checkPoolAccounts checks which pool account a source, or each of its addresses,
// is about.
func (in *inspection) checkPoolAccounts(p place, s *sourceConfig) {
	var all []domain.PoolTerms
	for _, c := range append([]poolConfig{in.config.Site.Pool}, in.config.Site.PoolAccounts...) {
		all = append(all, domain.PoolTerms{Pool: c.ID, Account: c.Account})
	}
	if len(s.Payees) == 0 {
		if _, err := oneAccount(all, s.Account, "account"); err != nil {
			p.at("account").failf("%v", err)
		}
		return
	}
	for i, item := range p.at("payees").items() {
		if _, err := oneAccount(all, cmp.Or(s.Payees[i].Account, s.Account), "account"); err != nil {
			item.at("account").failf("%v", err)
		}
	}
}
