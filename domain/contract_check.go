package domain

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TermError is a term of a contract that cannot be billed.
type TermError struct {
	Contract ContractID
	Path     string // of the term in the contract: "charges/2/tiers/1/up_to"
	Rule     string // what it breaks, and the cure
}

func (e *TermError) Error() string {
	if e.Contract == "" {
		return "contract: " + e.Rule
	}
	return fmt.Sprintf("contract %s: %s", e.Contract, e.Rule)
}

// Validate reports the first term that cannot be billed, as a *[TermError].
func (c ContractSigned) Validate() error {
	if all := c.Mistakes(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// Mistakes returns all terms that cannot be billed: those of the contract's
// head first, then those of its charges in their order.
func (c ContractSigned) Mistakes() (all []*TermError) {
	fail := func(path, format string, args ...any) {
		all = append(all, &TermError{c.Contract, path, fmt.Sprintf(format, args...)})
	}
	when := func(wrong bool, path, format string, args ...any) {
		if wrong {
			fail(path, format, args...)
		}
	}
	for _, e := range []struct {
		path string
		err  error
	}{{"id", CheckID("contract", c.Contract)}, {"buyer/id", CheckID("customer", c.Buyer.ID)}} {
		when(e.err != nil, e.path, "%v", e.err)
	}
	_, err := ParseCurrency(string(c.Currency))
	when(err != nil, "currency", "%v", err)
	when(c.Series == "" || strings.Trim(c.Series, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "", "series", "series %q; invoice numbers start with capital letters and digits", c.Series)
	when(c.Version < 1, "version", "version %d; versions count from 1", c.Version)
	when(c.End != 0 && c.End <= c.Start, "end", "ends at %s, before it starts", c.End)
	when(c.PaymentDays < 0, "payment_days", "payment_days %d is negative", c.PaymentDays)
	when(c.PrepaidPortion.Sign() < 0 || c.PrepaidPortion.Cmp(NewDecimal(1, 0)) > 0, "prepaid_portion", "prepaid_portion %s; want 0 to 1", c.PrepaidPortion)
	when(len(c.Charges) == 0, "charges", "has no charges")
	c.Tax.check(func(path, rule string) { fail(path, "%s", rule) })
	for i, m := range c.Maintenance {
		when(!m.Valid(), fmt.Sprintf("maintenance/%d", i), "maintenance %s is empty", m)
	}
	ids := map[string]Charge{}
	for i, ch := range c.Charges {
		_, twice := ids[ch.ID]
		ch.check(c, ids, func(path, rule string) {
			fail(fmt.Sprintf("charges/%d/%s", i, path), "charge %d (%s): %s", i+1, ch.ID, rule)
		}, twice)
		ids[ch.ID] = ch
	}
	return all
}

// check reports the rules that the tax breaks, and where.
func (t Tax) check(report func(path, rule string)) {
	categories := []TaxCategory{"", TaxStandard, TaxZeroRated, TaxExempt, TaxReverseCharge, TaxExport, TaxOutOfScope}
	switch {
	case t.Rate.Sign() < 0:
		report("tax/rate", fmt.Sprintf("tax rate %s is negative", t.Rate))
	case t.Rate.Cmp(NewDecimal(1, 0)) >= 0:
		report("tax/rate", fmt.Sprintf("tax rate %s is no portion below 1; write 0.0825 for a tax of 8.25 %%", t.Rate))
	case t.Rate.IsZero() && t.Reason == "":
		report("tax/rate", "tax rate is zero without a reason")
	}
	switch {
	case !slices.Contains(categories, t.Category):
		report("tax/category", fmt.Sprintf("tax category %q; want S, Z, E, AE, G or O", t.Category))
	case t.Kind() == TaxStandard && t.Rate.IsZero():
		report("tax/category", "tax category S needs a rate that is not zero")
	case t.Kind() != TaxStandard && !t.Rate.IsZero():
		report("tax/category", fmt.Sprintf("tax category %s has no rate, %s is given", t.Category, t.Rate))
	}
}

// check reports the rules that the charge breaks, and where: of those that are
// about the same, the first. Before holds the charges before it.
func (c Charge) check(k ContractSigned, before map[string]Charge, report func(path, rule string), twice bool) {
	if c.ID == "" || twice {
		report("id", "its id is empty or used twice")
	}
	for _, r := range []struct {
		path string
		rate Decimal
	}{{"rate", c.Rate}, {"overage_rate", c.Overage}} {
		if r.rate.Sign() < 0 {
			report(r.path, "a rate is negative")
		}
	}
	c.checkForce(k, report)
	if c.OverageFactor.Sign() < 0 || !c.OverageFactor.IsZero() && !c.Overage.IsZero() {
		report("overage_factor", "overage_factor is negative, or stands beside overage_rate")
	}
	c.checkKind(before, report)
	if _, err := ParseCurrency(string(k.Currency)); err != nil {
		return // which is said
	}
	if v, digits := c.Amount, k.Currency.Digits(); !v.Round(digits).Equal(v) {
		report("amount", fmt.Sprintf("amount %s has more digits than %s has, which are %d", v, k.Currency, digits))
	}
}

// checkKind checks what a charge of its kind needs.
func (c Charge) checkKind(before map[string]Charge, report func(path, rule string)) {
	when := func(wrong bool, path, rule string) {
		if wrong {
			report(path, rule)
		}
	}
	switch c.Kind {
	case ChargeReservedGPUs, ChargeReservedPower:
		when((c.Quantity <= 0 || c.Rate.IsZero()) && len(c.Ramp) == 0, "quantity", "needs a quantity and a rate")
		when(c.Kind == ChargeReservedPower && !c.OverageFactor.IsZero() && len(c.Meters) == 0, "meters", "needs the meters that an overage is measured by")
	case ChargeOnDemandGPUs, ChargeFixed:
		when(c.Rate.IsZero(), "rate", "needs a rate")
	case ChargePassThrough:
		when(len(c.Meters) == 0 || c.LossPortion.Sign() < 0, "meters", "needs meters, and losses that are not negative")
		c.checkPUE(report)
		c.checkIndex(report)
	case ChargeUsage:
		c.checkUsage(report)
	case ChargeDemand:
		when(len(c.Meters) == 0 || c.Rate.IsZero(), "meters", "needs meters and a rate per kW-month")
	case ChargePercentage, ChargeMinimum, ChargeMaximum, ChargeCommitment, ChargeSLACredit:
		c.checkDerived(before, report)
	default:
		report("kind", fmt.Sprintf("kind %q is not known; want one of %q", c.Kind, ChargeKinds()))
	}
}

// checkForce checks when a charge is in force, and its ramp.
func (c Charge) checkForce(k ContractSigned, report func(path, rule string)) {
	switch {
	case c.Until != 0 && c.Until <= max(c.From, k.Start):
		report("until", fmt.Sprintf("is in force until %s, before it begins", c.Until))
	case k.End != 0 && c.From >= k.End:
		report("from", fmt.Sprintf("begins at %s, when the contract has ended", c.From))
	}
	for i, r := range c.Ramp {
		path := fmt.Sprintf("ramp/%d/from", i)
		switch {
		case c.Kind != ChargeReservedGPUs && c.Kind != ChargeReservedPower:
			report(path, "only what is reserved has a ramp")
			return
		case i > 0 && r.From <= c.Ramp[i-1].From:
			report(path, fmt.Sprintf("its ramp overlaps: step %d begins at %s, which is not after the step before it", i+1, r.From))
		case c.Until != 0 && r.From >= c.Until:
			report(path, fmt.Sprintf("step %d of its ramp begins at %s, when the charge has ended", i+1, r.From))
		}
		if r.Quantity < 0 || r.Rate.Sign() < 0 || r.Rate.IsZero() && c.Rate.IsZero() {
			report(fmt.Sprintf("ramp/%d/quantity", i), fmt.Sprintf("step %d of its ramp needs a quantity that is not negative, and a rate", i+1))
		}
	}
}

func (c Charge) checkPUE(report func(path, rule string)) {
	switch {
	case c.PUE == nil:
	case (len(c.PUE.Facility) == 0) != (len(c.PUE.IT) == 0):
		report("pue", "an actual PUE needs facility meters and IT meters")
	case len(c.PUE.Facility) == 0 && c.PUE.Cap.Sign() <= 0, c.PUE.Cap.Sign() < 0:
		report("pue", "needs facility and IT meters, or a factor that is above zero")
	}
}

func (c Charge) checkIndex(report func(path, rule string)) {
	if c.IndexFloor != nil && c.IndexCap != nil && c.IndexCap.Cmp(*c.IndexFloor) < 0 {
		report("index_cap", fmt.Sprintf("its index_cap %s is below its index_floor %s", c.IndexCap, c.IndexFloor))
	}
	if c.Index != "" {
		if err := CheckID("index", c.Index); err != nil {
			report("index", err.Error())
		}
	}
}

func (c Charge) checkUsage(report func(path, rule string)) {
	switch {
	case c.Measure != MeasureGPUHours && c.Measure != MeasureEnergy:
		report("measure", fmt.Sprintf("measure %q; want gpu-hours or kwh", c.Measure))
	case (c.Measure == MeasureEnergy) != (len(c.Meters) > 0):
		report("meters", "kwh are of meters, and gpu-hours are not")
	}
	if c.Free.Sign() < 0 || c.Block.Sign() < 0 {
		report("block_quantity", "a quantity is negative")
	}
	switch {
	case c.Model != PerUnit && (len(c.Windows) > 0 || c.Index != ""):
		report("model", "windows and an index price each interval; tiers and packages price the period")
	case len(c.Windows) > 0 && (c.Index != "" || !c.Rate.IsZero()):
		report("windows", "windows have their own rates; leave rate and index out")
	case c.ByPeriod() && (len(c.Windows) > 0 || c.Index != ""):
		report("free_quantity", "windows and an index price each interval; a free quantity is of the period")
	}
	switch c.Model {
	case PerUnit:
		switch {
		case len(c.Windows) > 0:
			c.checkWindows(report)
		case c.Rate.IsZero() && c.Index == "":
			report("rate", "needs a rate, windows or an index")
		}
		c.checkIndex(report)
	case Package:
		if c.Block.IsZero() || c.Rate.IsZero() {
			report("block_quantity", "a package needs block_quantity and rate")
		}
	case Graduated, Volume:
		c.checkTiers(report)
	default:
		report("model", fmt.Sprintf("model %q; want graduated, volume or package, or none for a rate per unit", c.Model))
	}
}

func (c Charge) checkTiers(report func(path, rule string)) {
	if len(c.Tiers) == 0 {
		report("tiers", "needs tiers")
	}
	for i, t := range c.Tiers {
		path := fmt.Sprintf("tiers/%d/up_to", i)
		if t.Rate.Sign() < 0 || t.Flat.Sign() < 0 {
			report(path, fmt.Sprintf("tier %d has a negative price", i+1))
		}
		switch last := i == len(c.Tiers)-1; {
		case last && t.UpTo != nil:
			report(path, fmt.Sprintf("tier gap: nothing prices what is beyond %s; leave up_to of the last tier out", t.UpTo))
		case !last && t.UpTo == nil:
			report(path, fmt.Sprintf("tier %d has no end, and others follow it", i+1))
		case !last && (t.UpTo.Sign() <= 0 || i > 0 && c.Tiers[i-1].UpTo != nil && t.UpTo.Cmp(*c.Tiers[i-1].UpTo) <= 0):
			report(path, fmt.Sprintf("tier %d ends at %s, which is not above where it begins", i+1, t.UpTo))
		}
	}
}

// checkWindows checks that each minute of the week is in exactly one window. Of
// windows that overlap it tells each pair once.
func (c Charge) checkWindows(report func(path, rule string)) {
	var week [7 * 24 * 60]int // number of the window, from 1
	told, sound := map[[2]int]bool{}, true
	for i, w := range c.Windows {
		path := fmt.Sprintf("windows/%d", i)
		from, to, days, err := w.Minutes()
		if err != nil {
			report(path, err.Error())
			sound = false
			continue
		}
		if w.Name == "" || w.Rate.Sign() < 0 {
			report(path, fmt.Sprintf("window %d needs a name, and a rate that is not negative", i+1))
		}
		for _, day := range days {
			for m := from; m < to; m++ {
				at := &week[(int(day)*24*60+m)%len(week)]
				if pair := [2]int{*at, i}; *at != 0 && !told[pair] {
					told[pair] = true
					report(path, fmt.Sprintf("windows %q and %q overlap on %s at %02d:%02d", c.Windows[*at-1].Name, w.Name, (day+time.Weekday(m/1440))%7, m/60%24, m%60))
				}
				if *at == 0 {
					*at = i + 1
				}
			}
		}
	}
	if m := slices.Index(week[:], 0); m >= 0 && sound {
		report("windows", fmt.Sprintf("no window covers %s at %02d:%02d", time.Weekday(m/1440), m/60%24, m%60))
	}
}

func (c Charge) checkDerived(before map[string]Charge, report func(path, rule string)) {
	for i, id := range c.Of {
		other, ok := before[id]
		switch {
		case !ok:
			report(fmt.Sprintf("of/%d", i), fmt.Sprintf("charge %q is not before it", id))
		case c.Kind == ChargeSLACredit && other.Kind == ChargeSLACredit:
			report(fmt.Sprintf("of/%d", i), "a credit is not given for a credit")
		}
	}
	switch c.Kind {
	case ChargePercentage:
		if c.Portion.Sign() <= 0 {
			report("portion", "needs a portion, such as 0.05 for 5 %")
		}
		return
	case ChargeSLACredit:
		c.SLA.check(report)
		return
	}
	if c.Amount.Sign() <= 0 {
		report("amount", "needs an amount")
	}
	if c.Kind != ChargeCommitment {
		return
	}
	if c.Months < 0 {
		report("months", fmt.Sprintf("months %d is negative", c.Months))
	}
	if c.Rollover && !c.TrueUp {
		report("rollover", "rollover is of what true_up charged; set true_up")
	}
}

func (s *SLA) check(report func(path, rule string)) {
	one := NewDecimal(1, 0)
	if s == nil || len(s.Devices) == 0 || len(s.Bands) == 0 {
		report("sla", "needs devices and bands")
	}
	if s == nil {
		return
	}
	if s.MinimumOutage < 0 {
		report("sla/minimum_outage", fmt.Sprintf("minimum_outage %s is negative", s.MinimumOutage))
	}
	if s.Cap.Sign() < 0 || s.Cap.Cmp(one) > 0 {
		report("sla/cap_portion", fmt.Sprintf("cap_portion %s; want 0 to 1, such as 0.5 for 50 %%", s.Cap))
	}
	for i, b := range s.Bands {
		if b.Below.Sign() <= 0 || b.Below.Cmp(one) > 0 || i > 0 && b.Below.Cmp(s.Bands[i-1].Below) >= 0 {
			report(fmt.Sprintf("sla/bands/%d/below_portion", i), fmt.Sprintf("band %d is below %s; bands fall, from 1 to above 0", i+1, b.Below))
		}
		if b.Portion.Sign() < 0 || b.Portion.Cmp(one) > 0 {
			report(fmt.Sprintf("sla/bands/%d/credit_portion", i), fmt.Sprintf("band %d gives %s back; want 0 to 1, such as 0.25 for 25 %%", i+1, b.Portion))
		}
	}
}

// Minutes returns when the window opens and closes, in minutes from local
// midnight (the end may be after the next one), and on which days it opens.
func (w Window) Minutes() (from, to int, days []time.Weekday, err error) {
	if from, err = minuteOfDay(w.From); err != nil {
		return 0, 0, nil, fmt.Errorf("window %q: from: %w", w.Name, err)
	}
	if to, err = minuteOfDay(w.To); err != nil {
		return 0, 0, nil, fmt.Errorf("window %q: to: %w", w.Name, err)
	}
	if to <= from {
		to += 24 * 60
	}
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	for _, d := range w.Days {
		i := slices.Index(names, d)
		if i < 0 {
			return 0, 0, nil, fmt.Errorf("window %q: day %q; want one of %v", w.Name, d, names)
		}
		days = append(days, time.Weekday(i))
	}
	if len(w.Days) == 0 {
		for d := range time.Weekday(7) {
			days = append(days, d)
		}
	}
	return from, to, days, nil
}

// minuteOfDay reads "22:30". 24:00 is the end of the day.
func minuteOfDay(s string) (int, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time of day such as 22:00", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}
