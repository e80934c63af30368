package domain

import (
	"fmt"
	"slices"
)

// CoinSold records that a site sold bitcoin, as the venue confirms it.
type CoinSold struct {
	Site     SiteID  `json:"site"`
	Amount   Satoshi `json:"amount_satoshi"`
	Proceeds Money   `json:"proceeds"` // before the venue's fee
	// Fee is what the venue kept of the proceeds.
	Fee Money `json:"fee,omitzero"`
	// NetworkFee left the holdings beside the amount, to bring it to the venue.
	NetworkFee Satoshi `json:"network_fee_satoshi,omitempty"`
	At         Instant `json:"at"`
	Reference  string  `json:"reference"` // of the venue: unique in the site
	// Basis says which lots left: "fifo", "specific" or "average".
	Basis string `json:"cost_basis"`
	// Lots are those that left, by the specific basis; they sum to the amount
	// and the network fee.
	Lots   []CoinPart `json:"lots,omitempty"`
	Origin Origin     `json:"origin"`
}

// CoinPart is an amount of a lot of bitcoin.
type CoinPart struct {
	Lot    string  `json:"lot"`
	Amount Satoshi `json:"amount_satoshi"`
}

// Validate reports the first field that no sale can have.
func (s CoinSold) Validate() error {
	var named Satoshi
	for _, p := range s.Lots {
		if p.Amount <= 0 {
			return fmt.Errorf("sale %s of %d sat of lot %q", s.Reference, p.Amount, p.Lot)
		}
		named += p.Amount
	}
	switch {
	case s.Reference == "" || len(s.Reference) > 128:
		return fmt.Errorf("sale has a reference of %d characters, want 1 to 128", len(s.Reference))
	case s.Amount <= 0 || s.NetworkFee < 0:
		return fmt.Errorf("sale %s of %d sat with a network fee of %d sat", s.Reference, s.Amount, s.NetworkFee)
	case s.Proceeds.Minor < 0 || s.Fee.Minor < 0 || s.Fee.Minor != 0 && s.Fee.Currency != s.Proceeds.Currency:
		return fmt.Errorf("sale %s for %s with a fee of %s", s.Reference, s.Proceeds, s.Fee)
	case !slices.Contains([]string{"fifo", "specific", "average"}, s.Basis):
		return fmt.Errorf("sale %s by the cost basis %q; want fifo, specific or average", s.Reference, s.Basis)
	case (s.Basis == "specific") != (len(s.Lots) > 0):
		return fmt.Errorf("sale %s by the cost basis %s names %d lots", s.Reference, s.Basis, len(s.Lots))
	case s.Basis == "specific" && named != s.Amount+s.NetworkFee:
		return fmt.Errorf("the lots of sale %s sum to %d sat, not to %d", s.Reference, named, s.Amount+s.NetworkFee)
	}
	return nil
}
