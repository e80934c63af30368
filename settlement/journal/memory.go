package journal

import (
	"maps"

	"wattbook/domain"
	"wattbook/settlement/rating"
)

// memory is what was computed of days, for as long as nothing of them changes.
// The zero value remembers nothing, and cannot learn.
type memory struct {
	pieces  map[span]rating.Piece
	stood   map[mark]reached
	silence map[still][]domain.Interval
	cost    map[domain.Interval]piece
	work    map[work]domain.Satoshi
}

// span names what a contract comes to in an interval.
type span struct {
	contract domain.ContractID
	domain.Interval
}

// mark names what a contract comes to in a period up to an instant, with the
// service credits of a day that is over or without them.
type mark struct {
	of    billed
	until domain.Instant
	over  bool
}

// basis is what changes what a period comes to beside what is known of its days:
// how many versions its contract has, and how many credits are claimed.
type basis struct{ versions, claims int }

// reached is what a period came to, and what that rests on.
type reached struct {
	came
	basis
}

// still names what a device did not report in.
type still struct {
	device domain.DeviceID
	domain.Interval
}

// work names what a pool account's work should earn.
type work struct {
	pool    domain.PoolID
	account string
	domain.Interval
}

func newMemory() memory {
	return memory{map[span]rating.Piece{}, map[mark]reached{}, map[still][]domain.Interval{}, map[domain.Interval]piece{}, map[work]domain.Satoshi{}}
}

// came returns what a period came to, if it rests on the same still.
func (m memory) came(k mark, from basis) (came, bool) {
	r, ok := m.stood[k]
	return r.came, ok && r.basis == from
}

// forget lets go of what reaches beyond an instant.
func (m memory) forget(since domain.Instant) {
	maps.DeleteFunc(m.pieces, func(k span, _ rating.Piece) bool { return k.End > since })
	maps.DeleteFunc(m.stood, func(k mark, _ reached) bool { return k.until > since })
	maps.DeleteFunc(m.silence, func(k still, _ []domain.Interval) bool { return k.End > since })
	maps.DeleteFunc(m.cost, func(k domain.Interval, _ piece) bool { return k.End > since })
	maps.DeleteFunc(m.work, func(k work, _ domain.Satoshi) bool { return k.End > since })
}
