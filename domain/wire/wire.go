// Package wire writes events as bytes and reads them back.
//
// Every form has a name such as "power.priced/1" that is frozen once released:
// a change of form is a new number, and the old number stays readable for
// ever. Business events are canonical JSON: the fields in the order of their
// declaration, no white space, decimals and 128-bit integers as strings. A
// batch of readings is columns of integers (see readings.go). The same event
// is the same bytes on every machine and in every build: no general-purpose
// compressor is involved, so a retry after an upgrade is still the same event.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// The wire names. A name is never reused and never changed.
const (
	SiteRegistered        = "site.registered/1"
	DeviceRegistered      = "device.registered/1"
	DeviceReplaced        = "device.replaced/1"
	ReadingsRecorded      = "readings.recorded/1"
	ReadingsEstimated     = "readings.estimated/1"
	ObservationRejected   = "observation.rejected/1"
	FactConflicted        = "fact.conflicted/1"
	PowerPriced           = "power.priced/1"
	BitcoinPriced         = "bitcoin.priced/1"
	DifficultyAdjusted    = "difficulty.adjusted/1"
	BlockFeesPublished    = "block-fees.published/1"
	GPUAllocationStarted  = "gpu-allocation.started/1"
	GPUAllocationEnded    = "gpu-allocation.ended/1"
	ContractSigned        = "contract.signed/1"
	AllocationDecided     = "allocation.decided/1"
	PoolStatementReceived = "pool-statement.received/1"
	PayoutReceived        = "payout.received/1"
	PoolPayoutStated      = "pool-payout.stated/1"
	PayoutReversed        = "payout.reversed/1"
	DifferenceMarked      = "pool-difference.marked/1"
	PeriodClosed          = "period.closed/1"
	InvoiceIssued         = "invoice.issued/1"
	PayoutReconciled      = "payout.reconciled/1"
	InvoiceVoided         = "invoice.voided/1"
	NoteIssued            = "note.issued/1"
	PaymentReceived       = "payment.received/1"
	PrepaymentReceived    = "prepayment.received/1"
	ServiceCreditClaimed  = "service-credit.claimed/1"
	UtilityBilled         = "utility-bill.received/1"
	CoinSold              = "coin.sold/1"
	PaymentReversed       = "payment.reversed/1"
)

// ErrUnknownType means that the log holds an event of a form that this build
// does not know: it was written by a newer one.
var ErrUnknownType = errors.New("event type is not known to this version")

// Encode returns the wire name and the canonical bytes of e.
func Encode(e domain.Event) (name string, payload []byte, err error) {
	switch e := e.(type) {
	case domain.ReadingsRecorded:
		payload, err = encodeReadings(e)
		return ReadingsRecorded, payload, err
	case domain.SiteRegistered:
		name = SiteRegistered
	case domain.DeviceRegistered:
		name = DeviceRegistered
	case domain.ReadingsEstimated:
		name = ReadingsEstimated
	case domain.DeviceReplaced:
		name = DeviceReplaced
	case domain.ObservationRejected:
		name = ObservationRejected
	case domain.FactConflicted:
		name = FactConflicted
	case domain.PowerPriced:
		name = PowerPriced
	case domain.BitcoinPriced:
		name = BitcoinPriced
	case domain.DifficultyAdjusted:
		name = DifficultyAdjusted
	case domain.BlockFeesPublished:
		name = BlockFeesPublished
	case domain.GPUAllocationStarted:
		name = GPUAllocationStarted
	case domain.GPUAllocationEnded:
		name = GPUAllocationEnded
	case domain.ContractSigned:
		name = ContractSigned
	case domain.AllocationDecided:
		name = AllocationDecided
	case domain.PoolStatementReceived:
		name = PoolStatementReceived
	case domain.PayoutReceived:
		name = PayoutReceived
	case domain.PoolPayoutStated:
		name = PoolPayoutStated
	case domain.PayoutReversed:
		name = PayoutReversed
	case domain.DifferenceMarked:
		name = DifferenceMarked
	case domain.PeriodClosed:
		name = PeriodClosed
	case domain.InvoiceIssued:
		name = InvoiceIssued
	case domain.PayoutReconciled:
		name = PayoutReconciled
	case domain.InvoiceVoided:
		name = InvoiceVoided
	case domain.NoteIssued:
		name = NoteIssued
	case domain.PaymentReceived:
		name = PaymentReceived
	case domain.PrepaymentReceived:
		name = PrepaymentReceived
	case domain.ServiceCreditClaimed:
		name = ServiceCreditClaimed
	case domain.UtilityBilled:
		name = UtilityBilled
	case domain.CoinSold:
		name = CoinSold
	case domain.PaymentReversed:
		name = PaymentReversed
	default:
		return "", nil, fmt.Errorf("encode %T: %w", e, ErrUnknownType)
	}
	payload, err = encodeJSON(e)
	return name, payload, err
}

// Decode reads the event of the wire name from its bytes. Bytes that Encode
// did not write are an error, never a panic. Raising an old form to today's
// happens here and nowhere else.
func Decode(name string, payload []byte) (domain.Event, error) {
	switch name {
	case ReadingsRecorded:
		return new(Opener).readings(payload)
	case SiteRegistered:
		return decodeJSON[domain.SiteRegistered](name, payload)
	case DeviceRegistered:
		return decodeJSON[domain.DeviceRegistered](name, payload)
	case ReadingsEstimated:
		return decodeJSON[domain.ReadingsEstimated](name, payload)
	case DeviceReplaced:
		return decodeJSON[domain.DeviceReplaced](name, payload)
	case ObservationRejected:
		return decodeJSON[domain.ObservationRejected](name, payload)
	case FactConflicted:
		return decodeJSON[domain.FactConflicted](name, payload)
	case PowerPriced:
		return decodeJSON[domain.PowerPriced](name, payload)
	case BitcoinPriced:
		return decodeJSON[domain.BitcoinPriced](name, payload)
	case DifficultyAdjusted:
		return decodeJSON[domain.DifficultyAdjusted](name, payload)
	case BlockFeesPublished:
		return decodeJSON[domain.BlockFeesPublished](name, payload)
	case GPUAllocationStarted:
		return decodeJSON[domain.GPUAllocationStarted](name, payload)
	case GPUAllocationEnded:
		return decodeJSON[domain.GPUAllocationEnded](name, payload)
	case ContractSigned:
		return decodeJSON[domain.ContractSigned](name, payload)
	case AllocationDecided:
		return decodeJSON[domain.AllocationDecided](name, payload)
	case PoolStatementReceived:
		return decodeJSON[domain.PoolStatementReceived](name, payload)
	case PayoutReceived:
		return decodeJSON[domain.PayoutReceived](name, payload)
	case PoolPayoutStated:
		return decodeJSON[domain.PoolPayoutStated](name, payload)
	case PayoutReversed:
		return decodeJSON[domain.PayoutReversed](name, payload)
	case DifferenceMarked:
		return decodeJSON[domain.DifferenceMarked](name, payload)
	case PeriodClosed:
		return decodeJSON[domain.PeriodClosed](name, payload)
	case InvoiceIssued:
		return decodeJSON[domain.InvoiceIssued](name, payload)
	case PayoutReconciled:
		return decodeJSON[domain.PayoutReconciled](name, payload)
	case InvoiceVoided:
		return decodeJSON[domain.InvoiceVoided](name, payload)
	case NoteIssued:
		return decodeJSON[domain.NoteIssued](name, payload)
	case PaymentReceived:
		return decodeJSON[domain.PaymentReceived](name, payload)
	case PrepaymentReceived:
		return decodeJSON[domain.PrepaymentReceived](name, payload)
	case ServiceCreditClaimed:
		return decodeJSON[domain.ServiceCreditClaimed](name, payload)
	case UtilityBilled:
		return decodeJSON[domain.UtilityBilled](name, payload)
	case CoinSold:
		return decodeJSON[domain.CoinSold](name, payload)
	case PaymentReversed:
		return decodeJSON[domain.PaymentReversed](name, payload)
	}
	return nil, fmt.Errorf("decode %s: %w", name, ErrUnknownType)
}

// Draft returns e as an event that a log can record.
func Draft(id domain.EventID, e domain.Event, metadata eventlog.Metadata) (eventlog.Draft, error) {
	name, payload, err := Encode(e)
	return eventlog.Draft{ID: id, Type: name, Payload: payload, Metadata: metadata}, err
}

// Open decodes a record of the log. Bytes that do not decode are a
// *eventlog.CorruptError; an unknown type is [ErrUnknownType].
func Open(r eventlog.Record) (domain.Recorded, error) { return new(Opener).Open(r) }

// Opener opens the records of a log one after the other. It remembers what the
// batches of a source have in common, so that who reads a whole log reads the
// names of its devices once. The zero value remembers nothing yet. An Opener is
// not safe for concurrent use.
type Opener struct {
	last      map[domain.SourceID]batch
	in        []int32
	registers []domain.Int128
}

// Open is [Open], with what is remembered of the records before.
func (o *Opener) Open(r eventlog.Record) (domain.Recorded, error) {
	var e domain.Event
	var err error
	if r.Type == ReadingsRecorded {
		e, err = o.readings(r.Payload)
	} else {
		e, err = Decode(r.Type, r.Payload)
	}
	if errors.Is(err, ErrUnknownType) {
		return domain.Recorded{}, fmt.Errorf("event at position %d: %w", r.Position, err)
	}
	if err != nil {
		return domain.Recorded{}, &eventlog.CorruptError{Place: fmt.Sprintf("event at position %d", r.Position), Err: err}
	}
	return domain.Recorded{
		Position: r.Position, ID: r.ID, Stream: string(r.Stream), Revision: uint64(r.Revision),
		RecordedAt: r.RecordedAt, Event: e,
	}, nil
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decodeJSON[E domain.Event](name string, payload []byte) (domain.Event, error) {
	var e E
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("decode %s: more bytes after the event", name)
	}
	return e, nil
}
