package domain

// Position is a place in the log, counted from 0 without gaps. Used as
// knowledge time it means "the events before this position".
type Position uint64

// AllocationDecided records which loads a site runs in an interval, with the
// inputs that the decision was drawn from: deciding again from Inputs alone
// gives Choices.
type AllocationDecided struct {
	Site     SiteID           `json:"site"`
	Interval Interval         `json:"interval"`
	AsOf     Position         `json:"as_of"`
	Rule     string           `json:"rule"` // name and version of the deciding function
	Inputs   AllocationInputs `json:"inputs"`
	Choices  []LoadChoice     `json:"choices"`
}

// AllocationInputs are everything that a decision depends on. A nil price or
// revenue is unknown, never zero.
type AllocationInputs struct {
	PowerPrice   *Decimal     `json:"power_price_per_megawatt_hour"`
	BitcoinPrice *Decimal     `json:"bitcoin_price"`
	Bits         Bits         `json:"bits"`
	Height       int64        `json:"height"` // of the last known change of difficulty; sets the subsidy
	FeesPerBlock *Decimal     `json:"fees_per_block_satoshi"`
	PoolFee      Decimal      `json:"pool_fee_portion"`
	LossPortion  Decimal      `json:"loss_portion"`
	Dispatch     DispatchRule `json:"dispatch"`
	Loads        []LoadInput  `json:"loads"`
}

// LoadInput is what is known of one load when a decision is made.
type LoadInput struct {
	Load  DeviceID `json:"load"` // the sub-meter that counts it
	Use   Use      `json:"use"`
	Power Power    `json:"power_milliwatts"` // what it draws when it runs
	// Shares is the accepted share difficulty per MWh of a mining load.
	Shares *Decimal `json:"share_difficulty_per_megawatt_hour,omitempty"`
	// Value is what an AI load earns per MWh under its contracts.
	Value     *Decimal `json:"value_per_megawatt_hour,omitempty"`
	Basis     string   `json:"basis"`           // where Power, Shares and Value come from, in words
	Committed bool     `json:"committed"`       // customers are promised it: it may not be switched off
	On        bool     `json:"on"`              // in the interval before
	Since     Instant  `json:"since,omitempty"` // start of the interval in which it was last switched
	// PoolFee and FeesPerBlock take the place of the decision's for a mining load
	// that works for another pool account than the site's first; nil: they do not.
	PoolFee      *Decimal `json:"pool_fee_portion,omitempty"`
	FeesPerBlock *Decimal `json:"fees_per_block_satoshi,omitempty"`
}

// PoolTerms returns the pool's fee, and the fees of a block that a mining load
// gets its part of; they are nil if they are not known.
func (i AllocationInputs) PoolTerms(l LoadInput) (fee Decimal, feesPerBlock *Decimal) {
	if l.PoolFee == nil {
		return i.PoolFee, i.FeesPerBlock
	}
	return *l.PoolFee, l.FeesPerBlock
}

// Reason is why a load runs or rests.
type Reason string

// The reasons.
const (
	ReasonCommitted    Reason = "committed"     // customers are promised it
	ReasonProfitable   Reason = "profitable"    // it earns more than its energy costs
	ReasonUnprofitable Reason = "unprofitable"  // not consuming is worth more
	ReasonMinimumOn    Reason = "minimum-on"    // unprofitable, but started too recently to stop
	ReasonMinimumOff   Reason = "minimum-off"   // profitable, but stopped too recently to start
	ReasonRamp         Reason = "ramp"          // the site's power may not change faster
	ReasonLimit        Reason = "limit"         // the grid connection is full with loads that earn more
	ReasonPriceUnknown Reason = "price-unknown" // nothing to decide by: stay as it was
)

// LoadChoice is a decision's outcome for one load. Choices stand in merit
// order: what earns most per MWh first.
type LoadChoice struct {
	Load   DeviceID `json:"load"`
	Use    Use      `json:"use"`
	On     bool     `json:"on"`
	Power  Power    `json:"power_milliwatts"`        // planned for the interval: 0 when off
	Value  *Decimal `json:"value_per_megawatt_hour"` // what a MWh of it earns
	Cost   *Decimal `json:"cost_per_megawatt_hour"`  // what a MWh of it costs, losses and adders included: the worth of not consuming
	Reason Reason   `json:"reason"`
}
