package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
)

// against notes what in a sound configuration contradicts the book of a
// folder. A site that the book does not have is one only if it has another,
// and nobody said that one is added.
func (in *inspection) against(f *facts.Facts, dir string, adding bool) error {
	c, site := &in.config, in.root.at("site")
	known, ok := f.Site(c.Site.ID)
	if !ok {
		if sites := f.Sites(); len(sites) > 0 && !adding {
			site.at("id").contradicts("the book in %s is of site %s; write that, name another folder with --data, or say --add-site to keep both in one book", dir, sites[0].Site)
		}
		return nil
	}
	if known.Step != c.Site.Step {
		site.at("step").contradicts("the book meters %s every %s, for as long as it goes on; write %s, or begin another book", known.Site, known.Step, known.Step)
	}
	if string(known.Currency) != c.Site.Currency {
		site.at("currency").contradicts("the book counts the margins of %s in %s; write %s, or begin another book", known.Site, known.Currency, known.Currency)
	}
	if known.Zone != c.Site.Zone && slices.ContainsFunc(f.Periods(), func(p domain.PeriodClosed) bool { return p.Site == known.Site }) {
		site.at("zone").contradicts("the book has closed months of %s by the days of %s; write %s", known.Site, known.Zone, known.Zone)
	}
	if known.RevenueMeter != c.Site.RevenueMeter {
		site.at("revenue_meter").contradicts("the revenue meter in the book is %s; write %s: a meter that is exchanged keeps its id", known.RevenueMeter, known.RevenueMeter)
	}
	for _, closed := range f.Periods() {
		if closed.Site == known.Site && c.Site.From != known.From && closed.Interval.Contains(c.Site.From) {
			site.at("from").contradicts("%s lies in %s, which is closed; write %s or later, or remove the key to let the terms hold from now on", c.Site.From, closed.Period, closed.Interval.End)
		}
	}
	for i, p := range in.root.at("devices").items() {
		in.deviceAgainst(p, c.Devices[i], f)
	}
	for i, p := range in.root.at("contracts").items() {
		signed, _ := c.Contracts[i].event(c.Site.ID) // what is wrong with it is said
		if err := contractAgainst(p, signed, f); err != nil {
			return err
		}
	}
	in.sorted()
	return nil
}

func (in *inspection) deviceAgainst(p place, d deviceConfig, f *facts.Facts) {
	site := in.config.Site.ID
	known, ok := f.Device(site, d.ID)
	if !ok {
		return
	}
	if string(known.Kind) != d.Kind {
		p.at("kind").contradicts("%s is a %s in the book; write %s, or give what is there now an id of its own", d.ID, known.Kind, known.Kind)
	}
	for channel := domain.ChannelEnergyImport; channel <= domain.ChannelGPUTime; channel++ {
		if e, ok := f.Exchange(site, d.ID, channel); ok && d.Serial != "" && d.Serial != known.Serial {
			p.at("serial").contradicts("%s was exchanged at %s, and is %q in the book since; write that", d.ID, e.At, known.Serial)
			return
		}
	}
}

// contractAgainst compares a version of a contract with that of the book: what
// was signed is not changed.
func contractAgainst(p place, offered domain.ContractSigned, f *facts.Facts) error {
	for _, known := range f.ContractVersions(offered.Contract) {
		if known.Version != offered.Version {
			continue
		}
		differ, err := differences(known, offered)
		if err != nil {
			return err
		}
		if len(differ) > 0 {
			versions := f.ContractVersions(offered.Contract)
			p.at("version").contradicts("version %d of %s is in the book, which differs in %s; write it as it was signed, and the new terms as version %d with a start of their own",
				offered.Version, offered.Contract, strings.Join(differ, ", "), versions[len(versions)-1].Version+1)
		}
	}
	return nil
}

// differences names the fields in which two events of one type differ.
func differences(a, b domain.Event) ([]string, error) {
	fields := make([]map[string]json.RawMessage, 2)
	for i, e := range []domain.Event{a, b} {
		_, payload, err := wire.Encode(e)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(payload, &fields[i]); err != nil {
			return nil, err
		}
	}
	all := maps.Clone(fields[0])
	maps.Copy(all, fields[1])
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(fields[0][name], fields[1][name]) {
			differ = append(differ, name)
		}
	}
	return differ, nil
}
