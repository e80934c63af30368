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

func (e *TermError) Error() string { return fmt.Sprintf("contract %s: %s", e.Contract, e.Rule) }

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
	if path, rule := c.Tax.check(); rule != "" {
		fail(path, "%s", rule)
	}
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

// check returns the first rule that the tax breaks, and where.
func (t Tax) check() (path, rule string) {
	categories := []TaxCategory{"", TaxStandard, TaxZeroRated, TaxExempt, TaxReverseCharge, TaxExport, TaxOutOfScope}
	switch {
	case t.Rate.Sign() < 0:
		return "tax/rate", fmt.Sprintf("tax rate %s is negative", t.Rate)
	case t.Rate.Cmp(NewDecimal(1, 0)) >= 0:
		return "tax/rate", fmt.Sprintf("tax rate %s is no portion below 1; write 0.0825 for a tax of 8.25 %%", t.Rate)
	case t.Rate.IsZero() && t.Reason == "":
		return "tax/rate", "tax rate is zero without a reason"
	case !slices.Contains(categories, t.Category):
		return "tax/category", fmt.Sprintf("tax category %q; want S, Z, E, AE, G or O", t.Category)
	case t.Kind() == TaxStandard && t.Rate.IsZero():
		return "tax/category", "tax category S needs a rate that is not zero"
	case t.Kind() != TaxStandard && !t.Rate.IsZero():
		return "tax/category", fmt.Sprintf("tax category %s has no rate, %s is given", t.Category, t.Rate)
	}
	return "", ""
}

// check reports the rules that the charge breaks, and where: of those that are
// about the same, the first. Before holds the charges before it.
func (c Charge) check(k ContractSigned, before map[string]Charge, report func(path, rule string), twice bool) {
	if c.ID == "" || twice {
		report("id", "its id is empty or used twice")
	}
	if c.Rate.Sign() < 0 || c.Overage.Sign() < 0 {
		report("rate", "a rate is negative")
	}
	if path, rule := c.checkForce(k); rule != "" {
		report(path, rule)
	}
	if c.OverageFactor.Sign() < 0 || !c.OverageFactor.IsZero() && !c.Overage.IsZero() {
		report("overage_factor", "overage_factor is negative, or stands beside overage_rate")
	}
	if path, rule := c.checkKind(before); rule != "" {
		report(path, rule)
	}
	if v, digits := c.Amount, k.Currency.Digits(); !v.Round(digits).Equal(v) {
		report("amount", fmt.Sprintf("amount %s has more digits than %s has, which are %d", v, k.Currency, digits))
	}
}

// checkKind checks what a charge of its kind needs.
func (c Charge) checkKind(before map[string]Charge) (path, rule string) {
	switch c.Kind {
	case ChargeReservedGPUs, ChargeReservedPower:
		if (c.Quantity <= 0 || c.Rate.IsZero()) && len(c.Ramp) == 0 {
			return "quantity", "needs a quantity and a rate"
		}
		if c.Kind == ChargeReservedPower && !c.OverageFactor.IsZero() && len(c.Meters) == 0 {
			return "meters", "needs the meters that an overage is measured by"
		}
	case ChargeOnDemandGPUs, ChargeFixed:
		if c.Rate.IsZero() {
			return "rate", "needs a rate"
		}
	case ChargePassThrough:
		if len(c.Meters) == 0 || c.LossPortion.Sign() < 0 {
			return "meters", "needs meters, and losses that are not negative"
		}
		return c.checkPUE()
	case ChargeUsage:
		return c.checkUsage()
	case ChargeDemand:
		if len(c.Meters) == 0 || c.Rate.IsZero() {
			return "meters", "needs meters and a rate per kW-month"
		}
	case ChargePercentage, ChargeMinimum, ChargeMaximum, ChargeCommitment, ChargeSLACredit:
		return c.checkDerived(before)
	default:
		return "kind", fmt.Sprintf("kind %q is not known", c.Kind)
	}
	return "", ""
}

// checkForce checks when a charge is in force, and its ramp.
func (c Charge) checkForce(k ContractSigned) (path, rule string) {
	switch {
	case c.Until != 0 && c.Until <= max(c.From, k.Start):
		return "until", fmt.Sprintf("is in force until %s, before it begins", c.Until)
	case k.End != 0 && c.From >= k.End:
		return "from", fmt.Sprintf("begins at %s, when the contract has ended", c.From)
	}
	for i, r := range c.Ramp {
		path := fmt.Sprintf("ramp/%d/from", i)
		switch {
		case c.Kind != ChargeReservedGPUs && c.Kind != ChargeReservedPower:
			return path, "only what is reserved has a ramp"
		case i > 0 && r.From <= c.Ramp[i-1].From:
			return path, fmt.Sprintf("its ramp overlaps: step %d begins at %s, which is not after the step before it", i+1, r.From)
		case c.Until != 0 && r.From >= c.Until:
			return path, fmt.Sprintf("step %d of its ramp begins at %s, when the charge has ended", i+1, r.From)
		case r.Quantity < 0 || r.Rate.Sign() < 0 || r.Rate.IsZero() && c.Rate.IsZero():
			return fmt.Sprintf("ramp/%d/quantity", i), fmt.Sprintf("step %d of its ramp needs a quantity that is not negative, and a rate", i+1)
		}
	}
	return "", ""
}

func (c Charge) checkPUE() (path, rule string) {
	switch {
	case c.PUE == nil:
	case (len(c.PUE.Facility) == 0) != (len(c.PUE.IT) == 0):
		return "pue", "an actual PUE needs facility meters and IT meters"
	case len(c.PUE.Facility) == 0 && c.PUE.Cap.Sign() <= 0, c.PUE.Cap.Sign() < 0:
		return "pue", "needs facility and IT meters, or a factor that is above zero"
	}
	return c.checkIndex()
}

func (c Charge) checkIndex() (path, rule string) {
	if c.IndexFloor != nil && c.IndexCap != nil && c.IndexCap.Cmp(*c.IndexFloor) < 0 {
		return "index_cap", fmt.Sprintf("its index_cap %s is below its index_floor %s", c.IndexCap, c.IndexFloor)
	}
	if c.Index != "" {
		if err := CheckID("index", c.Index); err != nil {
			return "index", err.Error()
		}
	}
	return "", ""
}

func (c Charge) checkUsage() (path, rule string) {
	switch {
	case c.Measure != MeasureGPUHours && c.Measure != MeasureEnergy:
		return "measure", fmt.Sprintf("measure %q; want gpu-hours or kwh", c.Measure)
	case (c.Measure == MeasureEnergy) != (len(c.Meters) > 0):
		return "meters", "kwh are of meters, and gpu-hours are not"
	case c.Free.Sign() < 0 || c.Block.Sign() < 0:
		return "block_quantity", "a quantity is negative"
	case c.Model != PerUnit && (len(c.Windows) > 0 || c.Index != ""):
		return "model", "windows and an index price each interval; tiers and packages price the period"
	case len(c.Windows) > 0 && (c.Index != "" || !c.Rate.IsZero()):
		return "windows", "windows have their own rates; leave rate and index out"
	case c.ByPeriod() && (len(c.Windows) > 0 || c.Index != ""):
		return "free_quantity", "windows and an index price each interval; a free quantity is of the period"
	}
	switch c.Model {
	case PerUnit:
		if len(c.Windows) > 0 {
			return c.checkWindows()
		}
		if c.Rate.IsZero() && c.Index == "" {
			return "rate", "needs a rate, windows or an index"
		}
		return c.checkIndex()
	case Package:
		if c.Block.IsZero() || c.Rate.IsZero() {
			return "block_quantity", "a package needs block_quantity and rate"
		}
	case Graduated, Volume:
		return c.checkTiers()
	default:
		return "model", fmt.Sprintf("model %q; want graduated, volume or package, or none for a rate per unit", c.Model)
	}
	return "", ""
}

func (c Charge) checkTiers() (path, rule string) {
	if len(c.Tiers) == 0 {
		return "tiers", "needs tiers"
	}
	for i, t := range c.Tiers {
		path := fmt.Sprintf("tiers/%d/up_to", i)
		switch last := i == len(c.Tiers)-1; {
		case t.Rate.Sign() < 0 || t.Flat.Sign() < 0:
			return path, fmt.Sprintf("tier %d has a negative price", i+1)
		case last && t.UpTo != nil:
			return path, fmt.Sprintf("tier gap: nothing prices what is beyond %s; leave up_to of the last tier out", t.UpTo)
		case !last && t.UpTo == nil:
			return path, fmt.Sprintf("tier %d has no end, and others follow it", i+1)
		case !last && (t.UpTo.Sign() <= 0 || i > 0 && t.UpTo.Cmp(*c.Tiers[i-1].UpTo) <= 0):
			return path, fmt.Sprintf("tier %d ends at %s, which is not above where it begins", i+1, t.UpTo)
		}
	}
	return "", ""
}

// checkWindows checks that each minute of the week is in exactly one window.
func (c Charge) checkWindows() (path, rule string) {
	var week [7 * 24 * 60]int // number of the window, from 1
	for i, w := range c.Windows {
		path := fmt.Sprintf("windows/%d", i)
		from, to, days, err := w.Minutes()
		if err != nil {
			return path, err.Error()
		}
		if w.Name == "" || w.Rate.Sign() < 0 {
			return path, fmt.Sprintf("window %d needs a name, and a rate that is not negative", i+1)
		}
		for _, day := range days {
			for m := from; m < to; m++ {
				at := &week[(int(day)*24*60+m)%len(week)]
				if *at != 0 {
					return path, fmt.Sprintf("windows %q and %q overlap on %s at %02d:%02d", c.Windows[*at-1].Name, w.Name, (day+time.Weekday(m/1440))%7, m/60%24, m%60)
				}
				*at = i + 1
			}
		}
	}
	if m := slices.Index(week[:], 0); m >= 0 {
		return "windows", fmt.Sprintf("no window covers %s at %02d:%02d", time.Weekday(m/1440), m/60%24, m%60)
	}
	return "", ""
}

func (c Charge) checkDerived(before map[string]Charge) (path, rule string) {
	for i, id := range c.Of {
		other, ok := before[id]
		switch {
		case !ok:
			return fmt.Sprintf("of/%d", i), fmt.Sprintf("charge %q is not before it", id)
		case c.Kind == ChargeSLACredit && other.Kind == ChargeSLACredit:
			return fmt.Sprintf("of/%d", i), "a credit is not given for a credit"
		}
	}
	switch {
	case c.Kind == ChargePercentage && c.Portion.Sign() <= 0:
		return "portion", "needs a portion, such as 0.05 for 5 %"
	case c.Kind == ChargeSLACredit:
		return c.SLA.check()
	case c.Kind != ChargePercentage && c.Amount.Sign() <= 0:
		return "amount", "needs an amount"
	case c.Kind == ChargeCommitment && c.Months < 0:
		return "months", fmt.Sprintf("months %d is negative", c.Months)
	case c.Kind == ChargeCommitment && c.Rollover && !c.TrueUp:
		return "rollover", "rollover is of what true_up charged; set true_up"
	}
	return "", ""
}

func (s *SLA) check() (path, rule string) {
	one := NewDecimal(1, 0)
	switch {
	case s == nil || len(s.Devices) == 0 || len(s.Bands) == 0:
		return "sla", "needs devices and bands"
	case s.MinimumOutage < 0:
		return "sla/minimum_outage", fmt.Sprintf("minimum_outage %s is negative", s.MinimumOutage)
	case s.Cap.Sign() < 0 || s.Cap.Cmp(one) > 0:
		return "sla/cap_portion", fmt.Sprintf("cap_portion %s; want 0 to 1", s.Cap)
	}
	for i, b := range s.Bands {
		switch {
		case b.Below.Sign() <= 0 || b.Below.Cmp(one) > 0 || i > 0 && b.Below.Cmp(s.Bands[i-1].Below) >= 0:
			return fmt.Sprintf("sla/bands/%d/below_portion", i), fmt.Sprintf("band %d is below %s; bands fall, from 1 to above 0", i+1, b.Below)
		case b.Portion.Sign() < 0 || b.Portion.Cmp(one) > 0:
			return fmt.Sprintf("sla/bands/%d/credit_portion", i), fmt.Sprintf("band %d gives %s back; want 0 to 1", i+1, b.Portion)
		}
	}
	return "", ""
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
