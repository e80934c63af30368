package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/ingest/miner"
)

// sourceKeys are the keys that mean something to a type of source, beside
// name, type and every. A type that is not here takes them all.
func sourceKeys() map[string][]string {
	prices := []string{"url", "lookback", "lookahead", "price_step", "revised"}
	statements := []string{"url", "subaccount", "account", "key", "key_env", "zone", "lookback_days"}
	signed := append(slices.Clone(statements), "secret", "secret_env")
	return map[string][]string{
		"modbus":         {"timeout", "meters"},
		"cgminer":        {"timeout", "miners"},
		"nvml":           {"library", "host", "gpus"},
		"interval-file":  {"url", "provenance", "lookback_days"},
		"sacct":          {"timeout", "command", "file", "zone", "customers", "unbilled_accounts"},
		"power-prices":   prices,
		"bitcoin-prices": prices,
		"blocks":         {"url"},
		"foundry":        {"url", "subaccount", "account", "key", "key_env", "lookback_days"},
		"wallet-csv":     {"url", "lookback", "key", "account", "payees"},
		"node":           {"url", "user", "key", "key_env", "network", "confirmations", "chain", "account", "payees"},
		"node-wallet":    {"url", "user", "key", "key_env", "network", "confirmations", "account", "payees"},
		"f2pool":         statements,
		"braiins":        statements,
		"ocean":          {"url", "subaccount", "account", "lookback_days"},
		"viabtc":         statements,
		"luxor":          statements,
		"antpool":        signed,
		"binance":        signed,
	}
}

func (in *inspection) checkSources() {
	lines := map[domain.SourceID]int{}
	polled := map[string]place{} // devices, and the registers that they are read from
	step := in.config.Site.Step
	if in.root.at("site").at("step").troubled() {
		step = domain.Second // which is all that can be asked of every
	}
	for i, p := range in.root.at("sources").items() {
		s := &in.config.Sources[i]
		if checkName(p.at("name"), "source name", s.Name) && lines[s.Name] > 0 {
			p.at("name").failf("%s is described on line %d already; give each source a name of its own", s.Name, lines[s.Name])
		} else {
			lines[s.Name] = p.line
		}
		switch every := p.at("every"); {
		case !every.given():
			every.failf("is missing; write how often to ask, such as %s", max(step, domain.Second))
		case s.Every <= 0 || s.Every > domain.Day || step > 0 && s.Every%step != 0:
			every.failf("%s is not a multiple of the site's step %s up to 24h; write one such as %s", s.Every, step, max(step, domain.Second))
		}
		if timeout := p.at("timeout"); timeout.given() && (s.Timeout <= 0 || s.Timeout > domain.Hour) {
			timeout.failf("%s is not above 0s and at most 1h; write a time such as 2s", s.Timeout)
		}
		for _, t := range []struct {
			key   string
			value domain.Duration
		}{{"lookback", s.Lookback}, {"lookahead", s.Lookahead}} {
			if t.value < 0 || t.value > 366*domain.Day {
				p.at(t.key).failf("%s is not from 0s to 366 days; write a time such as 48h", t.value)
			}
		}
		in.checkSourceKeys(p, s)
		in.checkMeters(p.at("meters"), s, polled)
		in.checkMiners(p.at("miners"), s, polled)
		in.checkGPUs(p, s, polled)
		in.checkAccounts(p, s)
	}
}

// checkSourceKeys refuses keys that would do nothing.
func (in *inspection) checkSourceKeys(p place, s *sourceConfig) {
	all := sourceKeys()
	if !p.at("type").given() {
		p.at("type").failf("is missing; write one of %s", strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		return
	}
	known, ok := all[s.Type]
	if !ok {
		return // it is refused where the source is made
	}
	if list := map[string]string{"modbus": "meters", "cgminer": "miners", "nvml": "gpus", "wallet-csv": "payees", "node": "payees", "node-wallet": "payees"}[s.Type]; list != "" && !p.at(list).given() {
		p.at(list).failf("is missing; list what a source of type %s asks", s.Type)
	}
	if s.KeyEnv != "" && s.Key != "" {
		p.at("key").failf("is given beside key_env; remove one of the two")
	}
	for _, key := range slices.Sorted(maps.Keys(fieldsOf(reflect.TypeFor[sourceConfig]()))) {
		if at := p.at(key); at.given() && !slices.Contains([]string{"name", "type", "every"}, key) && !slices.Contains(known, key) {
			at.failf("does nothing for a source of type %s, which takes %s; remove it", s.Type, strings.Join(known, ", "))
		}
	}
	if s.SecretEnv != "" && s.Secret != "" {
		p.at("secret").failf("is given beside secret_env; remove one of the two")
	}
	if s.Zone != "" {
		checkZone(p.at("zone"), s.Zone)
	}
	if strings.HasSuffix(s.Type, "-prices") {
		if s.PriceStep <= 0 || domain.Day%s.PriceStep != 0 {
			p.at("price_step").failf("%s does not divide a day; write how long a price holds, such as 15m", s.PriceStep)
		}
	}
	if slices.Contains(known, "subaccount") || slices.Contains(known, "payees") {
		if in.config.Site.Pool.ID == "" {
			p.at("type").failf("%s needs to know the pool; describe it under site.pool", s.Type)
			return
		}
		in.checkPoolAccounts(p, s)
	}
}

// checkDeviceRef checks that a source names a device of the kind that it
// reads, which nothing else reads.
func (in *inspection) checkDeviceRef(p place, id domain.DeviceID, kind domain.DeviceKind, polled map[string]place) {
	at := p.at("device")
	d, ok := in.device(id)
	switch {
	case !at.given():
		at.failf("is missing; name the device that answers there")
		return
	case len(in.config.Devices) == 0: // which is said
	case !ok:
		at.failf("%q is not one of the devices; %s", id, in.didYouMean(id))
	case known(d.Kind) && d.Kind != string(kind):
		at.failf("%s is a %s; name a %s", id, d.Kind, kind)
	}
	once(at, "device "+string(id), "the same registers would count twice: remove one", polled)
}

// checkAddress checks where a device answers.
func checkAddress(p place, address, port string) {
	host, number, err := net.SplitHostPort(address)
	if err != nil || host == "" || number == "" {
		p.failf("%q is no host and port; write them as 10.0.0.7:%s", address, port)
	}
}

// once refuses what is there already.
func once(p place, what, cure string, seen map[string]place) {
	if first, ok := seen[what]; ok {
		p.failf("%s is read on line %d already; %s", what, first.line, cure)
		return
	}
	seen[what] = p
}

func (in *inspection) checkMeters(p place, s *sourceConfig, polled map[string]place) {
	for i, item := range p.items() {
		m := &s.Meters[i]
		in.checkDeviceRef(item, m.Device, domain.KindMeter, polled)
		checkAddress(item.at("address"), m.Address, "502")
		if m.Address != "" && !item.troubled() {
			once(item.at("address"), fmt.Sprintf("%s unit %d", m.Address, max(1, m.Unit)), "tell meters behind one gateway apart by unit_id", polled)
		}
		if !item.at("provenance").given() {
			item.at("provenance").failf("is missing; write revenue-meter, sub-meter or pdu")
		} else if _, err := domain.ParseProvenance(m.Provenance); err != nil {
			item.at("provenance").failf("%q is no provenance of a meter; write revenue-meter, sub-meter or pdu", m.Provenance)
		}
		if !item.at("registers").given() {
			item.at("registers").failf("is missing; write sunspec, the name of a register map, or its file")
		} else if m.Registers != "sunspec" {
			name := m.Registers
			if isFile(name) {
				name = in.resolve(name)
			}
			if _, err := registerMap(name); err != nil {
				item.at("registers").failf("%v; the names of files count from the folder of the configuration", err)
			}
		}
	}
}

func (in *inspection) checkMiners(p place, s *sourceConfig, polled map[string]place) {
	for i, item := range p.items() {
		m := &s.Miners[i]
		in.checkDeviceRef(item, m.Device, domain.KindMiner, polled)
		checkAddress(item.at("address"), m.Address, "4028")
		if _, err := miner.ParseDialect(m.Dialect); err != nil {
			item.at("dialect").failf("%q is no firmware that is known; write antminer, whatsminer or luxos", m.Dialect)
		}
		if m.Address != "" {
			once(item.at("address"), m.Address, "each miner has an address of its own", polled)
		}
	}
}

func (in *inspection) checkGPUs(p place, s *sourceConfig, polled map[string]place) {
	for i, item := range p.at("gpus").items() {
		g := &s.GPUs[i]
		in.checkDeviceRef(item, g.Device, domain.KindGPU, polled)
		if g.UUID != "" {
			once(item.at("uuid"), g.UUID, "each device is a GPU of its own", polled)
		}
		if d, ok := in.device(g.Device); ok && d.Host != "" && s.Host != "" && d.Host != s.Host {
			item.at("device").failf("%s is built into %s, and this source reads %s; correct one of the two", g.Device, d.Host, s.Host)
		}
	}
}

// checkAccounts checks whose a scheduler's accounts are.
func (in *inspection) checkAccounts(p place, s *sourceConfig) {
	var buyers []string
	for _, c := range in.config.Contracts {
		buyers = append(buyers, string(c.Buyer.ID))
	}
	seen := map[string]int{}
	for i, item := range p.at("customers").items() {
		k := &s.Customers[i]
		if strings.TrimSpace(k.Account) == "" {
			item.at("account").failf("is missing; write the scheduler's name of the account")
		} else if line := seen[k.Account]; line > 0 {
			item.at("account").failf("%q is on line %d already; an account has one customer", k.Account, line)
		}
		seen[k.Account] = item.line
		if checkName(item.at("customer"), "customer", k.Customer) && len(buyers) > 0 && !slices.Contains(buyers, string(k.Customer)) {
			item.at("customer").failf("%q is the buyer of no contract; %s", k.Customer,
				suggest(string(k.Customer), buyers, "add the contract, or name the account under unbilled_accounts"))
		}
	}
}

func (in *inspection) checkContracts() {
	type version struct {
		id     domain.ContractID
		number int64
	}
	lines := map[version]int{}
	for i, p := range in.root.at("contracts").items() {
		k := &in.config.Contracts[i]
		v := version{k.ID, k.Version}
		if checkName(p.at("id"), "contract", k.ID) && lines[v] > 0 {
			p.at("version").failf("version %d of %s is on line %d already; number the versions of a contract 1, 2, 3", k.Version, k.ID, lines[v])
		} else {
			lines[v] = p.line
		}
		if k.Version < 1 {
			p.at("version").failf("%d; the versions of a contract count from 1", k.Version)
		}
		checkParty(p.at("seller"), k.Seller)
		checkParty(p.at("buyer"), k.Buyer)
		checkCurrency(p.at("currency"), k.Currency)
		checkZone(p.at("zone"), k.Zone)
		signed, wrong := k.event("site")
		switch {
		case !p.at("start").given():
			p.at("start").failf("is missing; write when the contract begins, such as 2026-07-01T05:00:00Z")
		case signed.End != 0 && signed.End <= signed.Start:
			p.at("end").failf("%s is not after start, %s; correct one of the two", signed.End, signed.Start)
		}
		if k.PaymentDays < 0 || k.PaymentDays > 366 {
			p.at("payment_days").failf("%d is not from 0 to 366; write after how many days an invoice is due", k.PaymentDays)
		}
		tax := p.at("tax")
		checkPortion(tax.at("rate_portion"), k.Tax.Rate, "0.0825 for a tax of 8.25 %")
		if k.Tax.Rate.IsZero() && strings.TrimSpace(k.Tax.Reason) == "" {
			tax.at("reason").failf("is missing; a tax of nothing needs the reason that the invoice gives")
		}
		in.checkCharges(p.at("charges"), k)
		for _, m := range signed.Mistakes() {
			wrong = append(wrong, m)
		}
		for _, err := range wrong { // what is said already in other words is not said again
			var term *domain.TermError
			if errors.As(err, &term) {
				if at := p.walk(term.Path); !at.troubled() && !(strings.HasPrefix(term.Path, "tax/") && tax.troubled()) {
					at.failf("%s", term.Rule)
				}
			}
		}
	}
}

func checkParty(p place, party partyFile) {
	checkName(p.at("id"), "customer", party.ID)
	if strings.TrimSpace(party.Name) == "" {
		p.at("name").failf("is missing; write the name that the invoice shows")
	}
	if err := domain.CheckCountry(party.Country); err != nil {
		p.at("country").failf("%q is no country of ISO 3166; write two capital letters such as US", party.Country)
	}
}

func (in *inspection) checkCharges(p place, k *contractFile) {
	for i, item := range p.items() {
		c := &k.Charges[i]
		for _, m := range c.Meters {
			at := item.at("meters")
			switch d, ok := in.device(m); {
			case len(in.config.Devices) == 0: // which is said
			case !ok:
				at.failf("%q is not one of the devices; %s", m, in.didYouMean(m))
			case d.Kind != string(domain.KindMeter):
				at.failf("%s is a %s; name meters", m, d.Kind)
			}
		}
		checkPortion(item.at("loss_portion"), c.LossPortion, "0.012 for losses of 1.2 %")
		for _, r := range []struct {
			key   string
			value domain.Decimal
		}{{"rate", c.Rate}, {"overage_rate", c.Overage}} {
			if r.value.Sign() < 0 {
				item.at(r.key).failf("%s is negative; write what a unit costs", r.value)
			}
		}
		if at := item.at("quantity"); at.given() && c.Quantity <= 0 {
			at.failf("%d; write how many are reserved, 1 or more", c.Quantity)
		}
		if c.Kind == string(domain.ChargePassThrough) && k.Currency != in.config.Site.Currency && !in.root.at("site").at("currency").troubled() {
			item.at("kind").failf("power is priced in the site's %s, and this contract is in %s; write the contract in %s", in.config.Site.Currency, k.Currency, in.config.Site.Currency)
		}
	}
}
