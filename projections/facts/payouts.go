package facts

import (
	"cmp"
	"slices"

	"wattbook/domain"
)

// payoutKey names a payout as its pool does.
type payoutKey struct {
	pool      domain.PoolID
	account   string
	reference string
}

// paidOut is what pools say that they paid. The zero value knows of nothing.
type paidOut struct {
	latest map[payoutKey]domain.PoolPayoutStated
}

func (p *paidOut) apply(e domain.PoolPayoutStated) {
	if p.latest == nil {
		p.latest = map[payoutKey]domain.PoolPayoutStated{}
	}
	p.latest[payoutKey{e.Pool, e.Account, e.Reference}] = e
}

// StatedPayouts returns what a pool says that it paid out of an account, the
// latest of each, by time and reference.
func (f *Facts) StatedPayouts(pool domain.PoolID, account string) []domain.PoolPayoutStated {
	var all []domain.PoolPayoutStated
	for k, e := range f.paidOut.latest {
		if k.pool == pool && k.account == account {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b domain.PoolPayoutStated) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Reference, b.Reference))
	})
	return all
}
