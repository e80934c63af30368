package domain

import (
	"math/big"
	"slices"
)

// ChargeKind is how a charge is computed.
type ChargeKind string

// The kinds of charge. Those up to ChargeFixed earn interval by interval;
// those after it are rated over the whole period, from what the intervals
// counted or from the lines of other charges.
const (
	// ChargeReservedGPUs is take-or-pay: Quantity GPUs at Rate per GPU-month,
	// whatever was used; GPU-hours beyond Quantity in an interval cost Overage
	// or, with OverageFactor, the hourly part of Rate times that.
	ChargeReservedGPUs ChargeKind = "reserved-gpus"
	// ChargeOnDemandGPUs is Rate per GPU-hour allocated.
	ChargeOnDemandGPUs ChargeKind = "on-demand-gpus"
	// ChargeReservedPower is Quantity kW at Rate per kW-month. With Meters,
	// what they draw beyond Quantity in an interval costs Rate times
	// OverageFactor.
	ChargeReservedPower ChargeKind = "reserved-power"
	// ChargePassThrough is the energy of Meters at each interval's published
	// price, plus Adder per MWh, scaled by the losses up to the revenue meter
	// and by PUE.
	ChargePassThrough ChargeKind = "power-pass-through"
	// ChargeFixed is Rate per month.
	ChargeFixed ChargeKind = "fixed"
	// ChargeUsage is what Measure counts, priced by Model: per unit, in tiers,
	// in packages, by Windows of the day or by a published index. Per unit it
	// earns interval by interval, else over the period.
	ChargeUsage ChargeKind = "usage"
	// ChargeDemand is the greatest mean power of Meters in an interval of the
	// period, at Rate per kW-month.
	ChargeDemand ChargeKind = "demand"
	// ChargePercentage is Portion of what the charges of Of come to.
	ChargePercentage ChargeKind = "percentage"
	// ChargeMinimum brings the charges of Of up to Amount per month.
	ChargeMinimum ChargeKind = "minimum"
	// ChargeMaximum brings the charges of Of down to Amount per month.
	ChargeMaximum ChargeKind = "maximum"
	// ChargeCommitment is a committed spend of Amount in each term of Months on
	// the charges of Of. What is spent beyond it costs OverageFactor times as
	// much; with TrueUp, what is not spent is due at the term's end and, with
	// Rollover, pays for use in the next term.
	ChargeCommitment ChargeKind = "commitment"
	// ChargeSLACredit gives a portion of the charges of Of back if Devices were
	// available for less than the bands say.
	ChargeSLACredit ChargeKind = "sla-credit"
)

// ChargeKinds returns the kinds that there are.
func ChargeKinds() []ChargeKind {
	return []ChargeKind{
		ChargeReservedGPUs, ChargeOnDemandGPUs, ChargeReservedPower, ChargePassThrough, ChargeFixed, ChargeUsage,
		ChargeDemand, ChargePercentage, ChargeMinimum, ChargeMaximum, ChargeCommitment, ChargeSLACredit,
	}
}

// Charge is one priced term of a contract. Only the fields that its kind names
// are set.
type Charge struct {
	ID          string     `json:"id"` // unique in the contract: "reserved"
	Kind        ChargeKind `json:"kind"`
	Description string     `json:"description"`
	Quantity    int64      `json:"quantity,omitempty"`
	Rate        Decimal    `json:"rate,omitzero"`
	Overage     Decimal    `json:"overage_rate,omitzero"`
	Meters      []DeviceID `json:"meters,omitempty"`
	Adder       Decimal    `json:"adder_per_megawatt_hour,omitzero"`
	LossPortion Decimal    `json:"loss_portion,omitzero"`

	// From and Until bound when the charge is in force; zero: as the contract.
	From  Instant `json:"from,omitzero"`
	Until Instant `json:"until,omitzero"`
	// Ramp changes Quantity and Rate at the instants of its steps.
	Ramp []RampStep `json:"ramp,omitempty"`
	// OverageFactor times Rate is the price beyond what is reserved or
	// committed.
	OverageFactor Decimal `json:"overage_factor,omitzero"`

	// Measure is what a usage charge counts, Model how it is priced.
	Measure Measure    `json:"measure,omitempty"`
	Model   PriceModel `json:"model,omitempty"`
	// Free is how much of a period's use costs nothing. What is beyond is
	// counted in started blocks of Block, if that is set, and then priced.
	Free    Decimal  `json:"free_quantity,omitzero"`
	Block   Decimal  `json:"block_quantity,omitzero"`
	Tiers   []Tier   `json:"tiers,omitempty"`
	Windows []Window `json:"windows,omitempty"`
	// Index links the price to what is published for a node. Of a pass-through
	// it names the node instead of the site's; of a usage charge, IndexFactor
	// times the published price is added to Rate. The published price is first
	// brought into the collar of IndexFloor and IndexCap.
	Index       NodeID   `json:"index,omitempty"`
	IndexFactor Decimal  `json:"index_factor,omitzero"`
	IndexFloor  *Decimal `json:"index_floor,omitempty"`
	IndexCap    *Decimal `json:"index_cap,omitempty"`
	PUE         *PUE     `json:"pue,omitempty"`

	// Of names the charges that this one is computed from; empty: all that are
	// not computed from others.
	Of       []string `json:"of,omitempty"`
	Portion  Decimal  `json:"portion,omitzero"`
	Amount   Decimal  `json:"amount,omitzero"`
	Months   int64    `json:"months,omitempty"` // of a commitment's term; 0: one
	TrueUp   bool     `json:"true_up,omitempty"`
	Rollover bool     `json:"rollover,omitempty"`
	SLA      *SLA     `json:"sla,omitempty"`
}

// RampStep is what a charge's terms are from an instant on.
type RampStep struct {
	From     Instant `json:"from"`
	Quantity int64   `json:"quantity"`
	Rate     Decimal `json:"rate,omitzero"` // zero: the charge's
}

// Measure is what a usage charge counts.
type Measure string

// The measures.
const (
	MeasureGPUHours Measure = "gpu-hours" // allocated, and not taken by a charge before it
	MeasureEnergy   Measure = "kwh"       // of the charge's meters
)

// PriceModel is how a quantity is priced.
type PriceModel string

// The price models.
const (
	// PerUnit is Rate for each unit.
	PerUnit PriceModel = ""
	// Graduated prices each part of the quantity by the tier that it is in.
	Graduated PriceModel = "graduated"
	// Volume prices all of it by the tier that its end is in.
	Volume PriceModel = "volume"
	// Package is Rate for each started block.
	Package PriceModel = "package"
)

// Tier is a span of quantities: from the tier before it (exclusive) up to UpTo
// (inclusive).
type Tier struct {
	UpTo *Decimal `json:"up_to,omitempty"` // absent in the last one
	Rate Decimal  `json:"rate,omitzero"`
	// Flat is due once when the tier is entered; the first one is entered by a
	// use of nothing.
	Flat Decimal `json:"flat,omitzero"`
}

// Window is a rate for a part of the local day.
type Window struct {
	Name string `json:"name"`
	// Days are the days on which the window opens, by their English names in
	// short ("mon"); empty: every day.
	Days []string `json:"days,omitempty"`
	// From and To are local times of day, "22:00"; a window whose To is not
	// after its From goes on past midnight. To may be 24:00.
	From string  `json:"from"`
	To   string  `json:"to"`
	Rate Decimal `json:"rate"`
}

// PUE scales metered IT energy up to what the hall drew for it.
type PUE struct {
	// Facility and IT are the meters whose sums' quotient is the actual
	// factor of an interval. Without them Cap is the agreed factor.
	Facility []DeviceID `json:"facility,omitempty"`
	IT       []DeviceID `json:"it,omitempty"`
	Cap      Decimal    `json:"cap,omitzero"` // greatest factor; zero: none
}

// SLA is what is promised, and what is given back if it is not kept.
type SLA struct {
	Devices []DeviceID `json:"devices"`
	// MinimumOutage is how long a device must be down without a break for it
	// to count.
	MinimumOutage Duration `json:"minimum_outage"`
	// Bands are in falling order; the last one that the availability is below
	// of counts.
	Bands []SLABand `json:"bands"`
	Cap   Decimal   `json:"cap_portion,omitzero"` // greatest portion; zero: none
	// OnClaim gives credit only where a ServiceCreditClaimed is on record.
	OnClaim bool `json:"on_claim,omitempty"`
}

// SLABand is what is given back below an availability.
type SLABand struct {
	Below   Decimal `json:"below_portion"` // 0.999 is 99.9 %
	Portion Decimal `json:"credit_portion"`
}

// Credit returns the portion that is given back at an availability of 0 to 1.
func (s SLA) Credit(available *big.Rat) (portion Decimal) {
	for _, b := range s.Bands {
		if available.Cmp(b.Below.Rat()) < 0 {
			portion = b.Portion
		}
	}
	if !s.Cap.IsZero() && portion.Cmp(s.Cap) > 0 {
		return s.Cap
	}
	return portion
}

// ByPeriod reports whether the charge can only be rated over a whole period.
func (c Charge) ByPeriod() bool {
	switch c.Kind {
	case ChargeReservedGPUs, ChargeOnDemandGPUs, ChargeReservedPower, ChargePassThrough, ChargeFixed:
		return false
	case ChargeUsage:
		return c.Model != PerUnit || !c.Free.IsZero() || !c.Block.IsZero()
	}
	return true
}

// Devices returns the devices that the charge is computed from.
func (c Charge) Devices() []DeviceID {
	all := slices.Clone(c.Meters)
	if c.PUE != nil {
		all = append(append(all, c.PUE.Facility...), c.PUE.IT...)
	}
	if c.SLA != nil {
		all = append(all, c.SLA.Devices...)
	}
	return all
}

// Derived reports whether the charge is computed from the lines of others.
func (c Charge) Derived() bool {
	switch c.Kind {
	case ChargePercentage, ChargeMinimum, ChargeMaximum, ChargeCommitment, ChargeSLACredit:
		return true
	}
	return false
}

// TakesGPUs reports whether the charge is for GPU time.
func (c Charge) TakesGPUs() bool {
	return c.Kind == ChargeReservedGPUs || c.Kind == ChargeOnDemandGPUs || c.Kind == ChargeUsage && c.Measure == MeasureGPUHours
}

// At returns the charge's quantity and rate at an instant, and the number of
// the ramp's step that is in force: 0 before the first.
func (c Charge) At(t Instant) (quantity int64, rate Decimal, step int) {
	quantity, rate = c.Quantity, c.Rate
	for _, r := range c.Ramp {
		if r.From > t {
			break
		}
		quantity, step = r.Quantity, step+1
		rate = c.Rate
		if !r.Rate.IsZero() {
			rate = r.Rate
		}
	}
	return quantity, rate, step
}

// InForce returns the part of an interval in which the charge is in force.
func (c Charge) InForce(iv Interval) Interval {
	iv.Start = max(iv.Start, c.From)
	if c.Until != 0 {
		iv.End = min(iv.End, c.Until)
	}
	return iv
}
