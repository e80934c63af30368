package facts

import (
	"cmp"
	"maps"
	"slices"

	"wattbook/domain"
)

// payoutKey names a payout as its pool does.
type payoutKey struct {
	pool      domain.PoolID
	account   string
	reference string
}

// paidOut is what pools say that they paid, and what people decided of it. The
// zero value knows of nothing.
type paidOut struct {
	latest map[payoutKey]domain.PoolPayoutStated
	marked map[day]domain.DifferenceMarked
}

// receive adds what arrived; what arrives again, in another block, counts as
// it arrived last.
func (p *paidOut) receive(all []domain.PayoutReceived, e domain.PayoutReceived) []domain.PayoutReceived {
	if e.Block != "" {
		if i := slices.IndexFunc(all, func(r domain.PayoutReceived) bool { return r.Transaction == e.Transaction && r.Address == e.Address }); i >= 0 {
			all[i] = e
			return all
		}
	}
	return append(all, e)
}

// reverse takes away what did not arrive after all.
func (p *paidOut) reverse(all []domain.PayoutReceived, e domain.PayoutReversed) []domain.PayoutReceived {
	return slices.DeleteFunc(all, func(r domain.PayoutReceived) bool {
		return r.Transaction == e.Transaction && r.Address == e.Address && r.Block == e.Block
	})
}

func (p *paidOut) mark(e domain.DifferenceMarked) {
	if p.marked == nil {
		p.marked = map[day]domain.DifferenceMarked{}
	}
	p.marked[day{e.Pool, e.Account, e.Interval.Start}] = e
}

// Marked returns what was decided last of the difference of the earning day
// that begins at an instant.
func (f *Facts) Marked(pool domain.PoolID, account string, start domain.Instant) (domain.DifferenceMarked, bool) {
	m, ok := f.paidOut.marked[day{pool, account, start}]
	return m, ok
}

// AllPayouts returns what arrived for all accounts, in the order of the log.
func (f *Facts) AllPayouts() []domain.PayoutReceived { return f.payouts }

// AllStatedPayouts returns what all pools say that they paid, by pool, account
// and reference.
func (f *Facts) AllStatedPayouts() []domain.PoolPayoutStated {
	all := slices.Collect(maps.Values(f.paidOut.latest))
	slices.SortFunc(all, func(a, b domain.PoolPayoutStated) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Reference, b.Reference))
	})
	return all
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
