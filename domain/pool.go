package domain

import (
	"fmt"
	"slices"
)

// PoolStatementReceived records what a pool says it owes an account for an
// earning period, in the one normal form that every pool is brought into. A
// later one for the same account and period is the pool's correction.
type PoolStatementReceived struct {
	Pool     PoolID   `json:"pool"`
	Account  string   `json:"account"`
	Interval Interval `json:"interval"` // the earning period, in the pool's own day
	Subsidy  Satoshi  `json:"subsidy_satoshi"`
	Fees     Satoshi  `json:"fees_satoshi"`
	PoolFee  Satoshi  `json:"pool_fee_satoshi"` // positive: what the pool keeps
	Other    Satoshi  `json:"other_satoshi"`
	Net      Satoshi  `json:"net_satoshi"`
	// Hashrate is the average hashes per second that the pool credits; 0 if it
	// credits none, or does not say.
	Hashrate Int128 `json:"hashrate_hashes_per_second"`
	Complete bool   `json:"complete"` // false: the earning period was not over
	Origin   Origin `json:"origin"`
	// Shares is the share difficulty that the pool credits; 0: it does not say.
	Shares ShareDifficulty `json:"credited_share_difficulty,omitzero"`
	// Unsplit is true if the pool does not tell fees from subsidy: then Subsidy
	// holds both.
	Unsplit bool `json:"unsplit,omitempty"`
	// NetOnly is true if the pool states its net and what is beside the work
	// alone: then subsidy, fees and pool fee say nothing.
	NetOnly bool `json:"net_only,omitempty"`
	// Zone is the zone in whose midnights the pool counts its days; empty: UTC.
	Zone string `json:"zone,omitempty"`
	// Credits is of how many credits the amounts are the sums, such as the
	// pool's blocks of the day: it rounds each to the satoshi. 0: that was not
	// kept, and no amount is taken to be rounded.
	Credits int64 `json:"credits,omitempty"`
}

// PayoutReceived records bitcoin that arrived for an account.
type PayoutReceived struct {
	Pool        PoolID  `json:"pool"`
	Account     string  `json:"account"`
	Transaction string  `json:"transaction"`
	Address     string  `json:"address"`
	At          Instant `json:"at"`
	Amount      Satoshi `json:"amount_satoshi"`
	Origin      Origin  `json:"origin"`
	// Block is the id of the block that confirms the transaction, and Height
	// its height, where the chain was read; a later one takes its place, since
	// blocks are undone.
	Block  string `json:"block,omitempty"`
	Height int64  `json:"height,omitempty"`
	// Generation is true for an output of a coinbase, which can be spent after
	// [CoinbaseMaturity] blocks.
	Generation bool `json:"generation,omitempty"`
	// Matured is true once such an output can be spent.
	Matured bool `json:"matured,omitempty"`
}

// CoinbaseMaturity is how many blocks must lie on top of a coinbase before its
// outputs can be spent.
const CoinbaseMaturity = 100

// PayoutReversed records that bitcoin which had arrived did not: the block that
// confirmed the transaction was undone, and the transaction is in no other, or
// was replaced by one that pays a higher fee. It compensates [PayoutReceived].
type PayoutReversed struct {
	Pool        PoolID  `json:"pool"`
	Account     string  `json:"account"`
	Transaction string  `json:"transaction"`
	Address     string  `json:"address"`
	Amount      Satoshi `json:"amount_satoshi"`
	Block       string  `json:"block"` // that confirmed it
	Reason      string  `json:"reason"`
	Origin      Origin  `json:"origin"`
}

// PayoutRail is the way that a payout takes.
type PayoutRail string

// The rails.
const (
	RailChain      PayoutRail = "on-chain"   // an output of a transaction
	RailGeneration PayoutRail = "generation" // an output of a coinbase: spendable after 100 blocks
	RailLightning  PayoutRail = "lightning"  // has no transaction
	RailInternal   PayoutRail = "internal"   // a credit in the pool's or an exchange's own books
)

// PayoutStatus is what a pool says of a payout.
type PayoutStatus string

// The statuses.
const (
	PayoutPending PayoutStatus = "pending"
	PayoutPaid    PayoutStatus = "paid"
	PayoutFailed  PayoutStatus = "failed" // the balance has it back
)

// PoolPayoutStated records what a pool says that it paid out of an account's
// balance. A later one with the same reference replaces it: payouts change
// their status, and their transaction when its fee is raised.
type PoolPayoutStated struct {
	Pool        PoolID       `json:"pool"`
	Account     string       `json:"account"`
	Reference   string       `json:"reference"` // the pool's own name of the payout
	Rail        PayoutRail   `json:"rail"`
	Status      PayoutStatus `json:"status"`
	At          Instant      `json:"at"`
	Amount      Satoshi      `json:"amount_satoshi"`                // that should arrive
	NetworkFee  Satoshi      `json:"network_fee_satoshi,omitempty"` // that left the balance beside it
	Transaction string       `json:"transaction,omitempty"`
	Address     string       `json:"address,omitempty"`
	Origin      Origin       `json:"origin"`
}

// Validate reports the first field that no pool can mean.
func (p PoolPayoutStated) Validate() error {
	switch {
	case p.Reference == "" || len(p.Reference) > 128:
		return fmt.Errorf("stated payout has a reference of %d characters, want 1 to 128", len(p.Reference))
	case p.Amount <= 0 || p.NetworkFee < 0:
		return fmt.Errorf("stated payout %s of %d sat with a fee of %d sat", p.Reference, p.Amount, p.NetworkFee)
	case !slices.Contains([]PayoutRail{RailChain, RailGeneration, RailLightning, RailInternal}, p.Rail):
		return fmt.Errorf("stated payout %s takes the rail %q", p.Reference, p.Rail)
	case !slices.Contains([]PayoutStatus{PayoutPending, PayoutPaid, PayoutFailed}, p.Status):
		return fmt.Errorf("stated payout %s has the status %q", p.Reference, p.Status)
	}
	return nil
}

// BridgeCause names a line between what was expected and what arrived.
type BridgeCause string

// The causes, in the order in which a bridge lists them. Expected − Received
// equals the sum of all lines.
const (
	CauseUncredited BridgeCause = "work-not-credited"         // accepted difficulty that the statement does not pay for
	CauseFees       BridgeCause = "fee-window"                // fees per block: expected against paid
	CausePoolFee    BridgeCause = "pool-fee"                  // fee kept: agreed against taken
	CauseOther      BridgeCause = "bonus-or-other"            // credits and debits beside the work
	CauseUnstated   BridgeCause = "no-statement"              // nothing is known of what the pool says
	CauseUnpaid     BridgeCause = "stated-but-not-received"   // unpaid balance
	CauseBalance    BridgeCause = "unpaid-balance"            // stated, and not paid out yet
	CauseNetworkFee BridgeCause = "network-fee"               // kept of the balance for the transaction
	CauseOffChain   BridgeCause = "paid-off-chain"            // credited by Lightning or in a book: no transaction shows it
	CauseTransit    BridgeCause = "paid-not-arrived"          // the pool says that it paid; the chain does not
	CauseLuck       BridgeCause = "luck"                      // blocks that the pool found: mean against what they paid
	CauseArithmetic BridgeCause = "statement-does-not-add-up" // its parts against its net, beyond rounding
	CauseRounding   BridgeCause = "rounding"                  // the pool's arithmetic, up to one satoshi for each part of each credit
)

// BridgeCauses returns the causes in their order.
func BridgeCauses() []BridgeCause {
	return []BridgeCause{
		CauseUncredited, CauseFees, CausePoolFee, CauseOther, CauseUnstated, CauseUnpaid,
		CauseBalance, CauseNetworkFee, CauseOffChain, CauseTransit, CauseLuck, CauseArithmetic, CauseRounding,
	}
}

// Explained reports whether a line of this cause explains itself: what is on
// the others is unexplained until a person says what became of it.
func (c BridgeCause) Explained() bool {
	switch c {
	case CauseUncredited, CausePoolFee, CauseUnstated, CauseUnpaid, CauseTransit, CauseArithmetic:
		return false
	}
	return true
}

// BridgeLine is one named part of the difference.
type BridgeLine struct {
	Cause   BridgeCause `json:"cause"`
	Satoshi Satoshi     `json:"satoshi"`
}

// Reconciliation compares, for one account and earning period, own work with
// the pool's statement and with what arrived.
type Reconciliation struct {
	Pool     PoolID          `json:"pool"`
	Account  string          `json:"account"`
	Interval Interval        `json:"interval"`
	Shares   ShareDifficulty `json:"own_share_difficulty"`
	Expected Satoshi         `json:"expected_satoshi"` // net of the agreed pool fee
	Stated   Satoshi         `json:"stated_satoshi"`
	Received Satoshi         `json:"received_satoshi"`
	// Sigma is the standard deviation of what is stated around Expected, rounded
	// up, under a scheme that depends on luck; 0 if it does not, or if the
	// pool's size is not known.
	Sigma Satoshi `json:"sigma_satoshi,omitempty"`
	// Lines sum to Expected − Received.
	Lines   []BridgeLine `json:"lines"`
	Finding string       `json:"finding,omitempty"` // what a person should look at, in words
}

// PayoutReconciled records a reconciliation drawn at a position.
type PayoutReconciled struct {
	Site SiteID   `json:"site"`
	AsOf Position `json:"as_of"`
	Reconciliation
}

// Unexplained returns the sum of the lines that do not explain themselves.
func (r Reconciliation) Unexplained() (sum Satoshi) {
	for _, l := range r.Lines {
		if !l.Cause.Explained() {
			sum += l.Satoshi
		}
	}
	return sum
}

// DifferenceStatus says what people have done about an unexplained difference.
type DifferenceStatus string

// The statuses. A difference that nobody has marked is open.
const (
	DifferenceOpen       DifferenceStatus = "open"
	DifferenceDisputed   DifferenceStatus = "disputed"    // claimed from the pool
	DifferenceAccepted   DifferenceStatus = "accepted"    // the pool is right
	DifferenceWrittenOff DifferenceStatus = "written-off" // not worth more work
)

// DifferenceStatuses returns the statuses that there are.
func DifferenceStatuses() []DifferenceStatus {
	return []DifferenceStatus{DifferenceOpen, DifferenceDisputed, DifferenceAccepted, DifferenceWrittenOff}
}

// DifferenceMarked records what a person decided about the unexplained
// difference of an account's earning day. The last one for a day counts, and
// only while the difference is what it was: one that has changed is open again.
type DifferenceMarked struct {
	Site        SiteID           `json:"site"`
	AsOf        Position         `json:"as_of"`
	Pool        PoolID           `json:"pool"`
	Account     string           `json:"account"`
	Interval    Interval         `json:"interval"`
	Unexplained Satoshi          `json:"unexplained_satoshi"`
	Status      DifferenceStatus `json:"status"`
	By          string           `json:"by"`
	Note        string           `json:"note,omitempty"`
}
