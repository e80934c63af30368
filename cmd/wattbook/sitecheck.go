package main

import (
	"slices"
	"strings"
	"time"

	"wattbook/domain"
)

// inspectSite reads a configuration file and says everything that is wrong
// with the site that it describes.
func inspectSite(path, name string) *inspection {
	in := readDocument(path, name)
	if in.root.node != nil {
		in.checkValues()
	}
	return in
}

// checkValues says what is wrong with what the document means.
func (in *inspection) checkValues() {
	in.checkSettings()
	if site := in.root.at("site"); !site.given() {
		site.failf(`is missing; describe the site as the example does that "wattbook demo --devices" writes`)
	} else {
		in.checkSite(site)
		in.checkDevices()
		in.checkContracts()
		in.checkSources()
	}
	in.sorted()
	in.resolveFiles()
}

// readSite reads a site that can be used.
func readSite(path string) (siteConfig, error) {
	in := inspectSite(path, path)
	return in.config, in.err()
}

// resolveFiles makes the names of files count from where the program runs.
func (in *inspection) resolveFiles() {
	for i := range in.config.Sources {
		s := &in.config.Sources[i]
		s.File = in.resolve(s.File)
		if len(s.Command) > 0 && strings.ContainsRune(s.Command[0], '/') {
			s.Command[0] = in.resolve(s.Command[0])
		}
		for k := range s.Meters {
			if m := &s.Meters[k]; isFile(m.Registers) {
				m.Registers = in.resolve(m.Registers)
			}
		}
	}
}

// checkSettings checks how the program is to run.
func (in *inspection) checkSettings() {
	c := &in.config
	for name, value := range map[string]string{
		"log_level": c.LogLevel, "publish_every": c.PublishEvery, "settle": c.Settle, "timeout": c.Timeout, "sign_every": c.SignEvery, "wait": c.Wait,
	} {
		if p := in.root.at(name); p.given() {
			var ignored settings
			if wrong := ignored.set(name, value); wrong != "" {
				p.failf("%s", wrong)
			}
		}
	}
	if p := in.root.at("cluster"); p.given() && !isCluster(c.Cluster) { // it may hold a password, and is not shown
		p.failf("%s", noCluster)
	}
	if p := in.root.at("sql_listen"); p.given() {
		if wrong := noAddress(c.SQLListen); wrong != "" {
			p.failf("%s", wrong)
		}
	}
	if p := in.root.at("data"); p.given() && strings.TrimSpace(c.Data) == "" {
		p.failf("is empty; write the folder of the book, or remove the key")
	}
}

// checkName checks an identifier that must be given.
func checkName[S ~string](p place, what string, id S) bool {
	if !p.given() {
		p.failf("is missing; write a name of lower-case letters and digits")
		return false
	}
	if err := domain.CheckID(what, id); err != nil {
		p.failf("%v", err)
		return false
	}
	return true
}

// checkText refuses a text that is given and empty.
func checkText(p place, text, cure string) {
	if p.given() && strings.TrimSpace(text) == "" {
		p.failf("is empty; %s", cure)
	}
}

func checkZone(p place, zone string) {
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		p.failf("%q is not an IANA time zone; write one such as America/Chicago", zone)
	}
}

func checkCurrency(p place, code string) {
	if _, err := domain.ParseCurrency(code); err != nil {
		if upper := strings.ToUpper(code); upper != code && domain.Currency(upper).Digits() > 0 {
			p.failf("currency %q; write %s, in capital letters", code, upper)
			return
		}
		p.failf("%v", err)
	}
}

// checkPortion checks a fraction of a whole.
func checkPortion(p place, v domain.Decimal, example string) {
	if v.Sign() < 0 || v.Cmp(domain.NewDecimal(1, 0)) >= 0 {
		p.failf("%s is no portion from 0 to below 1; write %s", v, example)
	}
}

// checkPositive checks a quantity that may be left out, but not be nothing.
func checkPositive(p place, v domain.Decimal, cure string) {
	if p.given() && v.Sign() <= 0 {
		p.failf("%s is not above 0; %s", v, cure)
	}
}

func (in *inspection) checkSite(p place) {
	s := &in.config.Site
	checkName(p.at("id"), "site", s.ID)
	checkText(p.at("name"), s.Name, "write the name that reports show, or remove the key")
	checkZone(p.at("zone"), s.Zone)
	checkCurrency(p.at("currency"), s.Currency)
	checkName(p.at("node"), "node", s.Node)
	checkPortion(p.at("loss_portion"), s.LossPortion, "0.012 for losses of 1.2 %")
	switch step := p.at("step"); {
	case !step.given():
		step.failf("is missing; write the metering interval, such as 5m")
	case s.Step < domain.Second || s.Step > domain.Hour || domain.Day%s.Step != 0:
		step.failf("%s is no metering interval from 1s to 1h that divides a day; write 5m", s.Step)
	}
	in.checkRevenueMeter(p.at("revenue_meter"))
	in.checkPools(p)
	d := p.at("dispatch")
	checkPower(d.at("limit_kw"), s.Dispatch.Limit, "write what the grid connection carries in kW, or remove the key")
	checkPower(d.at("ramp_kw_per_step"), s.Dispatch.Ramp, "write how far the site's power may change from one interval to the next in kW, or remove the key")
	if s.Dispatch.Reserve.Sign() != 0 {
		checkPower(d.at("reserve_kw"), s.Dispatch.Reserve, "write the overhead that is always drawn in kW")
	}
	if s.Dispatch.Limit.Sign() > 0 && s.Dispatch.Reserve.Cmp(s.Dispatch.Limit) >= 0 {
		d.at("reserve_kw").failf("%s kW is all of limit_kw, %s kW, and leaves nothing to allocate; write the overhead alone", s.Dispatch.Reserve, s.Dispatch.Limit)
	}
	for _, t := range []struct {
		key   string
		value domain.Duration
	}{{"min_on", s.Dispatch.MinOn}, {"min_off", s.Dispatch.MinOff}} {
		if t.value < 0 || t.value > 7*domain.Day {
			d.at(t.key).failf("%s is not from 0s to 168h; write a time such as 15m", t.value)
		}
	}
}

// checkPower checks kilowatts that are above 0 if they are given.
func checkPower(p place, kw domain.Decimal, cure string) {
	checkPositive(p, kw, cure)
	if _, err := powerOf(kw); err != nil && kw.Sign() > 0 {
		p.failf("%v; %s", err, cure)
	}
}

func (in *inspection) checkRevenueMeter(p place) {
	s := &in.config.Site
	d, ok := in.device(s.RevenueMeter)
	switch {
	case !p.given():
		p.failf("is missing; name the device that the utility bills by")
	case len(in.config.Devices) == 0: // which is said
	case !ok:
		p.failf("%q is not one of the devices; %s", s.RevenueMeter, in.didYouMean(s.RevenueMeter))
	case known(d.Kind) && d.Kind != string(domain.KindMeter):
		p.failf("%s is a %s; name a device of kind meter", s.RevenueMeter, d.Kind)
	}
}

// device returns the first description of a device.
func (in *inspection) device(id domain.DeviceID) (deviceConfig, bool) {
	i := slices.IndexFunc(in.config.Devices, func(d deviceConfig) bool { return d.ID == id })
	if i < 0 {
		return deviceConfig{}, false
	}
	return in.config.Devices[i], true
}

// didYouMean names the device that is meant, or says what to do.
func (in *inspection) didYouMean(id domain.DeviceID) string {
	var known []string
	for _, d := range in.config.Devices {
		known = append(known, string(d.ID))
	}
	return suggest(string(id), known, "describe it under devices")
}

// suggest names the known word that is meant, if one is near.
func suggest(word string, known []string, otherwise string) string {
	if best := nearest(word, known); best != "" && distance(word, best) <= max(1, len(word)/3) {
		return "did you mean " + best + "?"
	}
	return otherwise
}

func (in *inspection) checkDevices() {
	p := in.root.at("devices")
	if len(in.config.Devices) == 0 {
		p.failf("is missing; describe the revenue meter and what hangs on it")
		return
	}
	lines, serials := map[domain.DeviceID]int{}, map[string]place{}
	for i, item := range p.items() {
		d := &in.config.Devices[i]
		if checkName(item.at("id"), "device", d.ID) && lines[d.ID] > 0 {
			item.at("id").failf("%s is described on line %d already; give each device an id of its own", d.ID, lines[d.ID])
		} else {
			lines[d.ID] = item.line
		}
		if serial := item.at("serial"); d.Serial != "" {
			if other, ok := serials[d.Serial]; ok {
				serial.failf("%q is the serial number of %s too (line %d); write each device's own, or none", d.Serial, other.key, other.line)
			}
			serials[d.Serial] = item
		}
		in.checkDevice(item, d)
		in.checkPlace(item, i)
		if _, err := d.event("site"); err != nil && !item.troubled() {
			item.failf("%v", err)
		}
	}
}

// known reports whether a kind of device is one.
func known(kind string) bool {
	return slices.Contains([]domain.DeviceKind{domain.KindMeter, domain.KindMiner, domain.KindGPU}, domain.DeviceKind(kind))
}

func (in *inspection) checkDevice(p place, d *deviceConfig) {
	if !known(d.Kind) {
		p.at("kind").failf("%q is no kind of device; want meter, miner or gpu", d.Kind)
	}
	if units := p.at("units"); units.given() && d.Units < 1 {
		units.failf("%d; write how many machines answer behind the address, 1 or more", d.Units)
	}
	rated, hashes := p.at("rated_kw"), p.at("rated_terahash_per_second")
	switch {
	case d.Kind != string(domain.KindMiner) && !rated.given():
		rated.failf("is missing; write the most that the device can draw or count in kW: register movements beyond it are not believed")
	case d.Kind == string(domain.KindMiner) && !hashes.given():
		hashes.failf("is missing; write the most that the miner can do in TH/s: work beyond it is not believed")
	}
	checkPower(rated, d.RatedPower, "write the most that the device can draw in kW")
	checkPower(p.at("typical_kw"), d.TypicalPower, "write what the miner draws when it runs in kW, or remove the key")
	checkPositive(hashes, d.RatedHashes, "write the most that the miner can do in TH/s")
	checkPositive(p.at("typical_terahash_per_second"), d.TypicalHashes, "write what the miner does when it runs in TH/s, or remove the key")
	if d.RatedPower.Sign() > 0 && d.TypicalPower.Cmp(d.RatedPower) > 0 {
		p.at("typical_kw").failf("%s kW is more than rated_kw, %s kW; exchange the two, or correct one", d.TypicalPower, d.RatedPower)
	}
	if d.RatedHashes.Sign() > 0 && d.TypicalHashes.Cmp(d.RatedHashes) > 0 {
		p.at("typical_terahash_per_second").failf("%s TH/s is more than rated_terahash_per_second, %s TH/s; exchange the two, or correct one", d.TypicalHashes, d.RatedHashes)
	}
}

// checkPlace checks the place of a device in the metering tree.
func (in *inspection) checkPlace(p place, i int) {
	d, under := in.config.Devices[i], p.at("under")
	if d.ID == in.config.Site.RevenueMeter {
		if d.Under != "" {
			under.failf("%s is the revenue meter, which nothing is upstream of; remove the key", d.ID)
		}
		return
	}
	above, ok := in.device(d.Under)
	_, rooted := in.device(in.config.Site.RevenueMeter)
	switch {
	case !under.given() && !rooted: // it may be the revenue meter
		return
	case !under.given():
		under.failf("is missing; name the meter upstream of %s", d.ID)
		return
	case !ok:
		under.failf("%q is not one of the devices; %s", d.Under, in.didYouMean(d.Under))
	case known(above.Kind) && above.Kind != string(domain.KindMeter):
		under.failf("%s is a %s; name the meter that counts the energy of %s", d.Under, above.Kind, d.ID)
	}
	if !slices.Contains(domain.Uses(), domain.Use(d.Use)) {
		p.at("use").failf("%q is no use of energy; want mining, ai or overhead", d.Use)
	}
	// A circle is told once, where its first device is described.
	circle := []string{string(d.ID)}
	for up := above; ok && len(circle) <= len(in.config.Devices); up, ok = in.device(up.Under) {
		circle = append(circle, string(up.ID))
		if up.ID == d.ID {
			under.failf("%s: a circle, so that nothing leads to the revenue meter; name the meter upstream of %s", strings.Join(circle, " under "), d.ID)
			return
		}
		if slices.IndexFunc(in.config.Devices, func(o deviceConfig) bool { return o.ID == up.ID }) < i {
			return
		}
	}
}
