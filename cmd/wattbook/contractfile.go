package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement/rating"
)

// contractFile is a contract as a file says it. Times are instants
// ("2026-10-01T05:00:00Z") or local to the contract's zone ("2026-10-01").
type contractFile struct {
	ID             domain.ContractID `yaml:"id"`
	Site           domain.SiteID     `yaml:"site"`
	Version        int64             `yaml:"version"`
	Seller         partyFile         `yaml:"seller"`
	Buyer          partyFile         `yaml:"buyer"`
	Series         string            `yaml:"series"`
	Currency       string            `yaml:"currency"`
	Zone           string            `yaml:"zone"`
	Start          string            `yaml:"start"`
	End            string            `yaml:"end"`
	PaymentDays    int64             `yaml:"payment_days"`
	BuyerReference string            `yaml:"buyer_reference"`
	OrderReference string            `yaml:"order_reference"`
	PrepaidPortion domain.Decimal    `yaml:"prepaid_portion"`
	Tax            struct {
		Name     string             `yaml:"name"`
		Rate     domain.Decimal     `yaml:"rate_portion"`
		Reason   string             `yaml:"reason"`
		Category domain.TaxCategory `yaml:"category"`
	} `yaml:"tax"`
	Maintenance []spanFile   `yaml:"maintenance"`
	Charges     []chargeFile `yaml:"charges"`
}

type spanFile struct {
	Start string `yaml:"start"`
	End   string `yaml:"end"`
}

type partyFile struct {
	ID       domain.CustomerID `yaml:"id"`
	Name     string            `yaml:"name"`
	Address  []string          `yaml:"address"`
	Country  string            `yaml:"country"`
	TaxID    string            `yaml:"tax_id"`
	Endpoint string            `yaml:"endpoint"`
	Bank     *struct {
		Holder  string `yaml:"holder"`
		Name    string `yaml:"name"`
		Account string `yaml:"account"`
		Routing string `yaml:"routing"`
	} `yaml:"bank"`
}

type chargeFile struct {
	ID            string            `yaml:"id"`
	Kind          string            `yaml:"kind"`
	Description   string            `yaml:"description"`
	Quantity      int64             `yaml:"quantity"`
	Rate          domain.Decimal    `yaml:"rate"`
	Overage       domain.Decimal    `yaml:"overage_rate"`
	OverageFactor domain.Decimal    `yaml:"overage_factor"`
	Meters        []domain.DeviceID `yaml:"meters"`
	Adder         domain.Decimal    `yaml:"adder_per_mwh"`
	LossPortion   domain.Decimal    `yaml:"loss_portion"`
	From          string            `yaml:"from"`
	Until         string            `yaml:"until"`
	Ramp          []struct {
		From     string         `yaml:"from"`
		Until    string         `yaml:"until"`
		Quantity int64          `yaml:"quantity"`
		Rate     domain.Decimal `yaml:"rate"`
	} `yaml:"ramp"`
	Measure domain.Measure    `yaml:"measure"`
	Model   domain.PriceModel `yaml:"model"`
	Free    domain.Decimal    `yaml:"free_quantity"`
	Block   domain.Decimal    `yaml:"block_quantity"`
	Tiers   []struct {
		From *domain.Decimal `yaml:"from"`
		UpTo *domain.Decimal `yaml:"up_to"`
		Rate domain.Decimal  `yaml:"rate"`
		Flat domain.Decimal  `yaml:"flat"`
	} `yaml:"tiers"`
	Windows []struct {
		Name string         `yaml:"name"`
		Days []string       `yaml:"days"`
		From string         `yaml:"from"`
		To   string         `yaml:"to"`
		Rate domain.Decimal `yaml:"rate"`
	} `yaml:"windows"`
	Index       domain.NodeID   `yaml:"index"`
	IndexFactor domain.Decimal  `yaml:"index_factor"`
	IndexFloor  *domain.Decimal `yaml:"index_floor"`
	IndexCap    *domain.Decimal `yaml:"index_cap"`
	PUE         *struct {
		Facility []domain.DeviceID `yaml:"facility"`
		IT       []domain.DeviceID `yaml:"it"`
		Cap      domain.Decimal    `yaml:"cap"`
	} `yaml:"pue"`
	Of       []string       `yaml:"of"`
	Portion  domain.Decimal `yaml:"portion"`
	Amount   domain.Decimal `yaml:"amount"`
	Months   int64          `yaml:"months"`
	TrueUp   bool           `yaml:"true_up"`
	Rollover bool           `yaml:"rollover"`
	SLA      *struct {
		Devices       []domain.DeviceID `yaml:"devices"`
		MinimumOutage domain.Duration   `yaml:"minimum_outage"`
		Bands         []struct {
			Below   domain.Decimal `yaml:"below_portion"`
			Portion domain.Decimal `yaml:"credit_portion"`
		} `yaml:"bands"`
		Cap     domain.Decimal `yaml:"cap_portion"`
		OnClaim bool           `yaml:"on_claim"`
	} `yaml:"sla"`
}

// contractDocument is a contract that was read, with where its terms stand and
// all that is wrong with it.
type contractDocument struct {
	path   string
	in     *inspection
	signed domain.ContractSigned
}

// readContract reads a contract's file, with all of its mistakes: each has the
// file, the line and the rule. Of a value that cannot be read only that is told,
// and nothing that follows from it.
func readContract(name string, raw []byte) *contractDocument {
	d := &contractDocument{path: name, in: newInspection(name, name)}
	var c contractFile
	if d.in.parse(raw, &c, "contract", "fixtures/contracts has an example for each kind of charge"); d.in.root.in == nil {
		return d
	}
	rules := d.read(c)
	// A version that is left out is given when the contract is signed.
	check := d.signed
	check.Version = max(check.Version, 1)
	for _, m := range append(rules, check.Mistakes()...) {
		d.tell(m)
	}
	return d
}

// readContractFile is [readContract] of a file of the verb's folder.
func (p *program) readContractFile(name string) (*contractDocument, error) {
	raw, err := os.ReadFile(p.path(name))
	if err != nil {
		return nil, usagef("%v", err)
	}
	return readContract(name, raw), nil
}

// err returns all mistakes, in the order of the file, or nil.
func (d *contractDocument) err() error {
	d.in.sorted()
	var all []error
	for _, p := range d.in.problems {
		all = append(all, configf("%s", p))
	}
	return errors.Join(all...)
}

// tell notes a term that breaks a rule, unless that follows from a value that
// could not be read or from a key that is misspelt.
func (d *contractDocument) tell(m *domain.TermError) {
	if !d.follows(m) {
		d.in.problems = append(d.in.problems, problem{File: d.path, Line: d.in.root.walk(m.Path).line, Text: m.Error()})
	}
}

// follows reports whether a mistake may be there only because something in the
// term, or a term beside it that the rule names, could not be read.
func (d *contractDocument) follows(m *domain.TermError) bool {
	parent, key := "", m.Path
	if i := strings.LastIndexByte(m.Path, '/'); i >= 0 {
		parent, key = m.Path[:i], m.Path[i+1:]
	}
	words := strings.FieldsFunc(m.Rule, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) })
	names := func(term string) bool {
		if term == key || term == key+"_portion" {
			return true
		}
		return len(term) >= len("rate") && term != "start" && slices.Contains(words, strings.TrimSuffix(term, "_portion"))
	}
	at, rest := d.in.root, parent
	if d.in.bad[at.node] {
		return true
	}
	for rest != "" {
		k, more, _ := strings.Cut(rest, "/")
		next, ok := below(at, k)
		if !ok {
			return slices.Contains(d.in.meant[at.node], k)
		}
		if at, rest = next, more; d.in.bad[at.node] {
			return true
		}
	}
	if slices.ContainsFunc(d.in.meant[at.node], names) {
		return true
	}
	for i := 0; at.node.Kind == yaml.MappingNode && i+1 < len(at.node.Content); i += 2 {
		if names(at.node.Content[i].Value) && d.unread(at.node.Content[i+1]) {
			return true
		}
	}
	own, ok := below(at, key)
	return ok && d.unread(own.node)
}

// below returns the value of a key or the element of a number, if it is there.
func below(p place, key string) (place, bool) {
	next := p.walk(key)
	return next, next.node != p.node
}

// unread reports whether anything in a value could not be read. An alias is not
// followed below what it stands for, which may hold the alias.
func (d *contractDocument) unread(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		return d.in.bad[n.Alias]
	}
	return d.in.bad[n] || len(d.in.meant[n]) > 0 || slices.ContainsFunc(n.Content, d.unread)
}

// read makes the event of a file, and returns the rules that only a file can
// break.
func (d *contractDocument) read(c contractFile) (all []*domain.TermError) {
	fail := func(path, format string, args ...any) {
		all = append(all, &domain.TermError{Contract: c.ID, Path: path, Rule: fmt.Sprintf(format, args...)})
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil || c.Zone == "" || c.Zone == "Local" {
		fail("zone", "zone %q is not an IANA time zone such as America/Chicago", c.Zone)
		zone = time.UTC
	}
	at := func(path, s string) domain.Instant {
		t, err := localTime(s, zone)
		if err == nil {
			return t
		}
		if fail(path, "%v", err); d.in != nil {
			d.tell(all[len(all)-1])
			all = all[:len(all)-1]
			if term := d.in.root.walk(path); term.node != d.in.root.node {
				d.in.bad[term.node] = true // nothing more is said of it
			}
		}
		return t
	}
	d.signed = domain.ContractSigned{
		Site: c.Site, Contract: c.ID, Version: c.Version, Seller: c.Seller.party(), Buyer: c.Buyer.party(), Series: c.Series,
		Currency: domain.Currency(c.Currency), Zone: c.Zone, PaymentDays: c.PaymentDays,
		Tax:            domain.Tax{Name: c.Tax.Name, Rate: c.Tax.Rate, Reason: c.Tax.Reason, Category: c.Tax.Category},
		BuyerReference: c.BuyerReference, OrderReference: c.OrderReference, PrepaidPortion: c.PrepaidPortion,
	}
	if c.Start != "" {
		d.signed.Start = at("start", c.Start)
	} else {
		fail("start", "start is missing; write when the contract begins, such as 2026-10-01")
	}
	if c.End != "" {
		d.signed.End = at("end", c.End)
	}
	for i, m := range c.Maintenance {
		path := fmt.Sprintf("maintenance/%d", i)
		d.signed.Maintenance = append(d.signed.Maintenance, domain.Interval{Start: at(path, m.Start), End: at(path, m.End)})
	}
	for i, f := range c.Charges {
		path := fmt.Sprintf("charges/%d/", i)
		ch, rules := f.charge(func(key, s string) domain.Instant { return at(path+key, s) })
		for _, r := range rules {
			fail(path+r.path, "charge %d (%s): %s", i+1, f.ID, r.text)
		}
		d.signed.Charges = append(d.signed.Charges, ch)
	}
	return all
}

// event returns the contract of a file, or of a site's configuration, and the
// rules that only a file can break.
func (c contractFile) event(site domain.SiteID) (domain.ContractSigned, []error) {
	var d contractDocument
	var wrong []error
	for _, m := range d.read(c) {
		wrong = append(wrong, m)
	}
	d.signed.Site = site
	return d.signed, wrong
}

// broken is a rule that only a file can break.
type broken struct{ path, text string }

// charge makes the charge of a file. The ends that tiers and steps of a ramp
// state twice must agree.
func (f chargeFile) charge(at func(key, s string) domain.Instant) (domain.Charge, []broken) {
	var rules []broken
	wrong := func(path, format string, args ...any) {
		rules = append(rules, broken{path, fmt.Sprintf(format, args...)})
	}
	c := domain.Charge{
		ID: f.ID, Kind: domain.ChargeKind(f.Kind), Description: f.Description, Quantity: f.Quantity, Rate: f.Rate, Overage: f.Overage,
		OverageFactor: f.OverageFactor, Meters: f.Meters, Adder: f.Adder, LossPortion: f.LossPortion, Measure: f.Measure, Model: f.Model,
		Free: f.Free, Block: f.Block, Index: f.Index, IndexFactor: f.IndexFactor, IndexFloor: f.IndexFloor, IndexCap: f.IndexCap,
		Of: f.Of, Portion: f.Portion, Amount: f.Amount, Months: f.Months, TrueUp: f.TrueUp, Rollover: f.Rollover,
	}
	if f.From != "" {
		c.From = at("from", f.From)
	}
	if f.Until != "" {
		c.Until = at("until", f.Until)
	}
	for i, r := range f.Ramp {
		path := fmt.Sprintf("ramp/%d/from", i)
		step := domain.RampStep{From: at(path, r.From), Quantity: r.Quantity, Rate: r.Rate}
		if i > 0 && f.Ramp[i-1].Until != "" && at(fmt.Sprintf("ramp/%d/until", i-1), f.Ramp[i-1].Until) != step.From {
			wrong(path, "its ramp overlaps or has a gap: step %d ends at %s, and step %d begins at %s", i, f.Ramp[i-1].Until, i+1, r.From)
		}
		c.Ramp = append(c.Ramp, step)
	}
	for i, t := range f.Tiers {
		if t.From != nil && i == 0 && !t.From.IsZero() {
			wrong("tiers/0/from", "tier gap: nothing prices what is below %s", t.From)
		}
		if t.From != nil && i > 0 && (f.Tiers[i-1].UpTo == nil || !t.From.Equal(*f.Tiers[i-1].UpTo)) {
			wrong(fmt.Sprintf("tiers/%d/from", i), "tier gap: tier %d begins at %s, which is not where tier %d ends", i+1, t.From, i)
		}
		c.Tiers = append(c.Tiers, domain.Tier{UpTo: t.UpTo, Rate: t.Rate, Flat: t.Flat})
	}
	for _, w := range f.Windows {
		c.Windows = append(c.Windows, domain.Window{Name: w.Name, Days: w.Days, From: w.From, To: w.To, Rate: w.Rate})
	}
	if f.PUE != nil {
		c.PUE = &domain.PUE{Facility: f.PUE.Facility, IT: f.PUE.IT, Cap: f.PUE.Cap}
	}
	if f.SLA != nil {
		c.SLA = &domain.SLA{Devices: f.SLA.Devices, MinimumOutage: f.SLA.MinimumOutage, Cap: f.SLA.Cap, OnClaim: f.SLA.OnClaim}
		for _, b := range f.SLA.Bands {
			c.SLA.Bands = append(c.SLA.Bands, domain.SLABand{Below: b.Below, Portion: b.Portion})
		}
	}
	return c, rules
}

func (f partyFile) party() domain.Party {
	p := domain.Party{ID: f.ID, Name: f.Name, Address: f.Address, Country: f.Country, TaxID: f.TaxID, Endpoint: f.Endpoint}
	if b := f.Bank; b != nil {
		p.Bank = &domain.Bank{Holder: b.Holder, Name: b.Name, Account: b.Account, Routing: b.Routing}
	}
	return p
}

// localTime reads an instant, or a date or time in a zone.
func localTime(s string, zone *time.Location) (domain.Instant, error) {
	if t, err := domain.ParseInstant(s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return domain.At(t), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 2026-10-01 (local) or 2026-10-01T05:00:00Z", s)
}

// beside checks that a version which is not on record can be billed beside those
// that are. What has no zone or start that can be read is not looked at.
func (d *contractDocument) beside(f *facts.Facts, c domain.ContractSigned) {
	last := int64(0)
	for _, v := range f.ContractVersions(c.Contract) {
		last = max(last, v.Version)
	}
	if c.Version == 0 {
		c.Version = last + 1
	}
	if _, err := f.Zone(c.Zone); err != nil || c.Version <= last || c.Start == 0 || d.err() != nil {
		return
	}
	if m, err := rating.Beside(f, c); err == nil && m != nil {
		d.tell(m)
	}
}

// against checks a contract against what the log knows: its site, its devices,
// its indexes, that its windows change where metering intervals do, and that
// months can be billed with the versions before it and beside other contracts.
func (d *contractDocument) against(f *facts.Facts, site domain.SiteRegistered) {
	c := d.signed
	c.Site = site.Site
	d.beside(f, c)
	fail := func(path, format string, args ...any) {
		d.tell(&domain.TermError{Contract: c.Contract, Path: path, Rule: fmt.Sprintf(format, args...)})
	}
	var known []string
	for _, dev := range f.Devices(site.Site) {
		known = append(known, string(dev.Device))
	}
	_, err := domain.ParseCurrency(string(c.Currency))
	priced := func(index domain.NodeID) bool { return err != nil || f.Priced(index, c.Currency) } // what is no currency is said
	for i, ch := range c.Charges {
		path := "meters"
		if ch.SLA != nil {
			path = "sla/devices"
		}
		for _, dev := range ch.Devices() {
			if !slices.Contains(known, string(dev)) {
				fail(fmt.Sprintf("charges/%d/%s", i, path), "charge %d (%s): device %s is not registered at %s; did you mean %q?", i+1, ch.ID, dev, site.Site, nearest(string(dev), known))
			}
		}
		index := ch.Index
		if ch.Kind == domain.ChargePassThrough && index == "" {
			index = site.Node
		}
		if index != "" && !priced(index) {
			fail(fmt.Sprintf("charges/%d/index", i), "charge %d (%s): index %s has no published price in %s; import some first: wattbook import prices FILE --node %s", i+1, ch.ID, index, c.Currency, index)
		}
		for j, w := range ch.Windows {
			from, to, _, err := w.Minutes()
			step := int(site.Step / domain.Minute)
			if err == nil && step > 0 && (from%step != 0 || to%step != 0) {
				fail(fmt.Sprintf("charges/%d/windows/%d", i, j), "charge %d (%s): window %q changes inside a metering interval of %s", i+1, ch.ID, w.Name, site.Step)
			}
		}
	}
}
