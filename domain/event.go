package domain

// Event is anything that the log records: a fact from outside or a conclusion
// of ours. The events of this package are the only ones.
type Event interface{ event() }

func (SiteRegistered) event()        {}
func (DeviceRegistered) event()      {}
func (DeviceReplaced) event()        {}
func (ReadingsRecorded) event()      {}
func (ReadingsEstimated) event()     {}
func (ObservationRejected) event()   {}
func (FactConflicted) event()        {}
func (PowerPriced) event()           {}
func (BitcoinPriced) event()         {}
func (DifficultyAdjusted) event()    {}
func (BlockFeesPublished) event()    {}
func (GPUAllocationStarted) event()  {}
func (GPUAllocationEnded) event()    {}
func (ContractSigned) event()        {}
func (AllocationDecided) event()     {}
func (PoolStatementReceived) event() {}
func (PayoutReceived) event()        {}
func (PoolPayoutStated) event()      {}
func (PayoutReversed) event()        {}
func (DifferenceMarked) event()      {}
func (PeriodClosed) event()          {}
func (InvoiceIssued) event()         {}
func (PayoutReconciled) event()      {}
func (InvoiceVoided) event()         {}
func (NoteIssued) event()            {}
func (PaymentReceived) event()       {}
func (PrepaymentReceived) event()    {}
func (ServiceCreditClaimed) event()  {}
func (UtilityBilled) event()         {}
func (CoinSold) event()              {}
func (PaymentReversed) event()       {}

// ObservationRejected records that something arrived which could not be
// understood. The raw bytes are kept as evidence, so a mended decoder can read
// them again.
type ObservationRejected struct {
	Site   SiteID  `json:"site"`
	At     Instant `json:"at"`
	Reason string  `json:"reason"`
	Origin Origin  `json:"origin"`
}

// FactConflicted records that a source offered another value for a fact that
// is on record, without saying that it corrects it. The value on record stands.
type FactConflicted struct {
	Fact    string `json:"fact"` // the fact's identity: "power hb_south 2026-10-14T17:30:00Z"
	Known   string `json:"known"`
	Offered string `json:"offered"`
	Origin  Origin `json:"origin"`
}

// Recorded is an event with its place in the log.
type Recorded struct {
	Position   Position
	ID         EventID
	Stream     string
	Revision   uint64
	RecordedAt Instant // strictly increasing with Position
	Event      Event
}
