package ingest

import (
	"fmt"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
)

// identity says what a fact is about and what it says of it, so that the same
// fact is recognised whoever brings it, and another value for it is noticed.
type identity struct {
	about string
	says  string
}

// restated says how a fact may change after it is on record.
type restated uint8

const (
	never     restated = iota // another value is a conflict
	onRequest                 // another value counts if its source says that it corrects
	always                    // a later value replaces the earlier one by its nature
)

// ahead is how far the time of a payout or a statement may lie beyond when its
// source had it: as far as the network lets a block's time be.
const ahead = 2 * domain.Hour

// describe returns the stream that a fact belongs to, what it is about and
// how it may be restated. A price series is about each of its intervals.
func describe(e domain.Event) (stream eventlog.Stream, ids []identity, how restated, err error) {
	said := withOrigin(e, domain.Origin{}) // all of it but where it comes from
	switch s := said.(type) {
	case domain.PoolStatementReceived:
		s.Credits = 0 // a statement that tells of how many credits it is says nothing else of the day
		said = s
	case domain.UtilityBilled:
		s.Corrects = false // a bill that corrects another says what it would say if it were the first
		said = s
	}
	_, payload, err := wire.Encode(said)
	if err != nil {
		return "", nil, never, err
	}
	one := func(about ...any) []identity { return []identity{{fmt.Sprintln(about...), string(payload)}} }
	if stream, ids, how, err = about(e, one); err != nil {
		return "", nil, never, err
	}
	return stream, ids, how, stream.Check()
}

// about is describe for one kind of fact after the other, which it also
// checks. One makes the identity of a fact that is told whole.
func about(e domain.Event, one func(about ...any) []identity) (eventlog.Stream, []identity, restated, error) {
	switch e := e.(type) {
	case domain.SiteRegistered:
		return stream2("site", e.Site), one("site", e.Site), always, e.Validate()
	case domain.DeviceRegistered:
		return stream2("site", e.Site), one("device", e.Site, e.Device), always, e.Validate()
	case domain.DeviceReplaced:
		return stream2("site", e.Site), one("exchange", e.Site, e.Device, e.Channel, e.At), never, nil
	case domain.ReadingsEstimated:
		return stream2("estimate", e.Site), one("estimate", e.Site, e.Device, e.Channel, e.Interval, e.AsOf), never, e.Validate()
	case domain.ContractSigned:
		return stream2("contract", e.Contract), one("contract", e.Contract, e.Version), never, e.Validate()
	case domain.PowerPriced:
		return stream2("power_price", e.Node), priced(e.Series, "power", e.Node, e.Currency), onRequest, e.Series.Validate()
	case domain.BitcoinPriced:
		return stream2("bitcoin_price", e.Currency), priced(e.Series, "bitcoin", e.Currency), onRequest, e.Series.Validate()
	case domain.DifficultyAdjusted:
		if _, err := e.Bits.Target(); err != nil {
			return "", nil, never, err
		}
		return "bitcoin-difficulty", one("difficulty", e.Height), never, nil
	case domain.BlockFeesPublished:
		if !e.Interval.Valid() || e.Blocks < 0 || e.Fees < 0 {
			return "", nil, never, fmt.Errorf("block fees of %s: %d blocks, %d sat", e.Interval, e.Blocks, e.Fees)
		}
		return "bitcoin-block_fees", one("block fees", e.Interval), never, nil
	case domain.GPUAllocationStarted:
		if e.GPUs < 1 {
			return "", nil, never, fmt.Errorf("allocation %s has %d GPUs", e.Allocation, e.GPUs)
		}
		return stream2("gpu_allocation", e.Site), one("allocation", e.Site, e.Allocation, "start"), never, nil
	case domain.GPUAllocationEnded:
		return stream2("gpu_allocation", e.Site), one("allocation", e.Site, e.Allocation, "end"), never, nil
	case domain.PoolStatementReceived:
		switch {
		case !e.Interval.Valid():
			return "", nil, never, fmt.Errorf("pool statement for %s", e.Interval)
		case e.Origin.Observed > 0 && e.Interval.Start > e.Origin.Observed.Add(ahead):
			return "", nil, never, fmt.Errorf("pool statement for %s, which is still to come", e.Interval)
		}
		return stream2("pool", fmt.Sprintf("%s.%s", e.Pool, e.Account)), one("statement", e.Pool, e.Account, e.Interval.Start), always, nil
	case domain.PoolPayoutStated:
		return stream2("pool", fmt.Sprintf("%s.%s", e.Pool, e.Account)), one("stated payout", e.Pool, e.Account, e.Reference), always, e.Validate()
	case domain.PayoutReceived:
		switch {
		case e.Amount <= 0:
			return "", nil, never, fmt.Errorf("payout %s of %d sat", e.Transaction, e.Amount)
		case e.Origin.Observed > 0 && e.At > e.Origin.Observed.Add(ahead):
			return "", nil, never, fmt.Errorf("payout %s of %s is still to come", e.Transaction, e.At)
		}
		how := never
		if e.Block != "" { // blocks are undone
			how = always
		}
		return stream2("pool", fmt.Sprintf("%s.%s", e.Pool, e.Account)), one("payout", e.Transaction, e.Address), how, nil
	case domain.PayoutReversed:
		if e.Amount <= 0 || e.Block == "" {
			return "", nil, never, fmt.Errorf("reversal of payout %s of %d sat in block %q", e.Transaction, e.Amount, e.Block)
		}
		return stream2("pool", fmt.Sprintf("%s.%s", e.Pool, e.Account)), one("payout", e.Transaction, e.Address), always, nil
	case domain.PaymentReceived:
		return stream2("payment", e.Contract), one("payment", e.Contract, e.Reference), never, paid(e.Reference, e.Amount)
	case domain.PaymentReversed:
		err := paid(e.Payment, e.Amount)
		if err == nil && e.Reason == "" {
			err = fmt.Errorf("reversal of payment %s does not say why", e.Payment)
		}
		return stream2("payment", e.Contract), one("payment reversed", e.Contract, e.Payment), never, err
	case domain.PrepaymentReceived:
		return stream2("payment", e.Contract), one("prepayment", e.Contract, e.Reference), never, paid(e.Reference, e.Amount)
	case domain.ServiceCreditClaimed:
		return stream2("payment", e.Contract), one("claim", e.Contract, e.Charge, e.Period), never, nil
	case domain.UtilityBilled:
		if !e.Interval.Valid() || e.Reference == "" {
			return "", nil, never, fmt.Errorf("utility bill %q for %s", e.Reference, e.Interval)
		}
		return stream2("utility_bill", e.Site), one("utility bill", e.Site, e.Reference), onRequest, nil
	case domain.CoinSold:
		return stream2("coin", e.Site), one("sale of coin", e.Site, e.Reference), never, e.Validate()
	}
	return "", nil, never, fmt.Errorf("%T is not a fact that a source may bring", e)
}

// FactFits reports why a fact could not be recorded, whatever is on record.
func FactFits(e domain.Event) error {
	_, _, _, err := describe(e)
	return err
}

// paid checks money that arrived.
func paid(reference string, amount domain.Money) error {
	if reference == "" || amount.Minor <= 0 {
		return fmt.Errorf("payment %q of %s; want a reference and an amount above zero", reference, amount)
	}
	return nil
}

func stream2[S ~string](category string, id S) eventlog.Stream {
	return eventlog.Stream(category + "-" + string(id))
}

func errOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func priced(s domain.PriceSeries, about ...any) []identity {
	ids := make([]identity, len(s.Prices))
	for i, p := range s.Prices {
		start := s.Start.Add(s.Step * domain.Duration(i))
		ids[i] = identity{fmt.Sprintln(append(about[:len(about):len(about)], start, s.Step)...), p.String()}
	}
	return ids
}

// cut returns the part of a priced event that covers intervals [from, to) of
// its series; other facts have one part. Facts that tell that they correct what
// is on record do so.
func cut(e domain.Event, from, to int, corrects bool) domain.Event {
	part := func(s domain.PriceSeries) domain.PriceSeries {
		return domain.PriceSeries{Start: s.Start.Add(s.Step * domain.Duration(from)), Step: s.Step, Prices: s.Prices[from:to]}
	}
	switch e := e.(type) {
	case domain.PowerPriced:
		e.Series, e.Corrects = part(e.Series), corrects
		return e
	case domain.BitcoinPriced:
		e.Series, e.Corrects = part(e.Series), corrects
		return e
	case domain.UtilityBilled:
		e.Corrects = corrects
		return e
	}
	return e
}

// withOrigin returns the fact with its origin set, where it has one.
func withOrigin(e domain.Event, o domain.Origin) domain.Event {
	switch e := e.(type) {
	case domain.DeviceReplaced:
		e.Origin = o
		return e
	case domain.ReadingsEstimated:
		e.Origin = o
		return e
	case domain.PowerPriced:
		e.Origin = o
		return e
	case domain.BitcoinPriced:
		e.Origin = o
		return e
	case domain.DifficultyAdjusted:
		e.Origin = o
		return e
	case domain.BlockFeesPublished:
		e.Origin = o
		return e
	case domain.GPUAllocationStarted:
		e.Origin = o
		return e
	case domain.GPUAllocationEnded:
		e.Origin = o
		return e
	case domain.PoolStatementReceived:
		e.Origin = o
		return e
	case domain.PayoutReceived:
		e.Origin = o
		return e
	case domain.PoolPayoutStated:
		e.Origin = o
		return e
	case domain.PayoutReversed:
		e.Origin = o
		return e
	case domain.PaymentReceived:
		e.Origin = o
		return e
	case domain.PrepaymentReceived:
		e.Origin = o
		return e
	case domain.ServiceCreditClaimed:
		e.Origin = o
		return e
	case domain.UtilityBilled:
		e.Origin = o
		return e
	case domain.CoinSold:
		e.Origin = o
		return e
	case domain.PaymentReversed:
		e.Origin = o
		return e
	}
	return e
}

// changesNature reports whether a registration changes what a site or a device
// is, which the readings on record rest on: a later one may restate anything
// else. It looks at what this round registers, and then at what is on record.
func (p *plan) changesNature(e domain.Event) bool {
	switch e := e.(type) {
	case domain.SiteRegistered:
		known, ok := p.door.registry.Site(e.Site)
		for _, planned := range p.events {
			if s, is := planned.(domain.SiteRegistered); is && s.Site == e.Site {
				known, ok = s, true
			}
		}
		return ok && known.Step != e.Step
	case domain.DeviceRegistered:
		known, ok := p.door.registry.Device(e.Site, e.Device)
		for _, planned := range p.events {
			if d, is := planned.(domain.DeviceRegistered); is && d.Site == e.Site && d.Device == e.Device {
				known, ok = d, true
			}
		}
		return ok && known.Kind != e.Kind
	}
	return false
}
