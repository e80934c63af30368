package wire_test

import (
	"fmt"
	"time"

	"wattbook/domain"
)

// at is the instant of the samples: hh:mm on 14 October 2026, UTC.
func at(hour, minute int) domain.Instant {
	return domain.At(time.Date(2026, 10, 14, hour, minute, 0, 0, time.UTC))
}

func between(h1, m1, h2, m2 int) domain.Interval {
	return domain.Interval{Start: at(h1, m1), End: at(h2, m2)}
}

func dec(s string) domain.Decimal { return domain.MustDecimal(s) }

func decp(s string) *domain.Decimal { d := dec(s); return &d }

func integer(s string) domain.Int128 {
	v, err := domain.ParseInt(s)
	if err != nil {
		panic(err)
	}
	return v
}

// poll is a poll of twelve racks with two registers each.
func poll() domain.ReadingsRecorded {
	e := domain.ReadingsRecorded{
		Site: "cedar-bend", At: at(17, 35),
		Origin: domain.Origin{Source: "miners-c1", Observed: at(17, 35) + 137_000, Decoder: "cgminer/1", Evidence: domain.DigestOf([]byte("raw"))},
	}
	for i := range 12 {
		r := domain.Reading{
			Device: domain.DeviceID(fmt.Sprintf("c1-r%02d", i+1)), Interval: between(17, 30, 17, 35),
			Mark: domain.MarkNormal, Provenance: domain.ProvenanceFirmwareMeasured,
		}
		r.Channel, r.Value, r.Register = domain.ChannelShares, domain.Int(83_886_080_000_000_000+int64(i)*1_000_000_007), domain.Int(753_312_998_400_000_000+int64(i)*77_777_777_777)
		e.Readings = append(e.Readings, r)
		r.Channel, r.Value, r.Register = domain.ChannelHashes, domain.Int(3_600_000_000_000_000_000), integer(fmt.Sprintf("32400000000123%06d", i*7919))
		e.Readings = append(e.Readings, r)
	}
	return e
}

func samples() []domain.Event { return append(firstSamples(), billingSamples()...) }

// firstSamples are events as they were when their forms were first written.
func firstSamples() []domain.Event {
	origin := domain.Origin{Source: "feed", Observed: at(17, 30) + 250_000, Decoder: "feed/1", Evidence: domain.DigestOf([]byte("raw"))}
	rule := domain.DispatchRule{
		Limit: 12 * domain.Megawatt, Ramp: 6 * domain.Megawatt, MinOn: 15 * domain.Minute, MinOff: 10 * domain.Minute,
		Adder: dec("6.5"), Reserve: 300 * domain.Kilowatt,
	}
	usd := func(cents int64) domain.Money { return domain.Money{Minor: cents, Currency: "USD"} }
	seller := domain.Party{ID: "cedar-bend-power", Name: "Cedar Bend Power & Compute LLC", Address: []string{"1 Substation Road", "Abilene, TX 79601"}, Country: "US", TaxID: "12-3456789"}
	buyer := domain.Party{ID: "aurora", Name: "Aurora Labs <AI>", Address: []string{"Zürcher Straße 5"}, Country: "DE"}
	tax := domain.Tax{Name: "Sales tax", Rate: dec("0.0825")}
	month := domain.Interval{Start: domain.Unix(1790830800), End: domain.Unix(1793509200)}
	return []domain.Event{
		domain.SiteRegistered{
			Site: "cedar-bend", Name: "Cedar Bend", Zone: "America/Chicago", Step: 5 * domain.Minute, Currency: "USD",
			Node: "hb_south", RevenueMeter: "revenue", LossPortion: dec("0.012"),
			Pool: domain.PoolTerms{Pool: "foundry", Account: "cedarbend", Scheme: "fpps", Fee: dec("0.02")}, Dispatch: rule,
		},
		domain.DeviceRegistered{
			Site: "cedar-bend", Device: "c1-r01", Kind: domain.KindMiner, Model: "S21 rack", Serial: "A17", Under: "c1", Use: domain.UseMining,
			Units: 61, RatedPower: 240 * domain.Kilowatt, RatedHashes: integer("15000000000000000"), TypicalPower: 213 * domain.Kilowatt,
			TypicalHashes: integer("12200000000000000"), Host: "",
		},
		domain.DeviceReplaced{
			Site: "cedar-bend", Device: "c1", Channel: domain.ChannelEnergyImport, At: at(9, 12), Serial: "B2",
			Final: integer("4294967290"), Initial: integer("0"), Origin: origin,
		},
		poll(),
		domain.ObservationRejected{Site: "cedar-bend", At: at(17, 35), Reason: `c1-r03: reply is cut short after 412 bytes`, Origin: origin},
		domain.FactConflicted{Fact: "power hb_south USD 2026-10-14T17:30:00Z 15m0s", Known: "41.27", Offered: "4127", Origin: origin},
		domain.PowerPriced{
			Node: "hb_south", Currency: "USD", Corrects: true, Origin: origin,
			Series: domain.PriceSeries{Start: at(17, 30), Step: 15 * domain.Minute, Prices: []domain.Decimal{dec("41.27"), dec("-12.5"), dec("0"), dec("4999.99")}},
		},
		domain.BitcoinPriced{
			Currency: "USD", Origin: origin,
			Series: domain.PriceSeries{Start: at(17, 0), Step: domain.Hour, Prices: []domain.Decimal{dec("98211.42")}},
		},
		domain.DifficultyAdjusted{Height: 969_696, At: at(11, 7), Bits: 0x17023c7e, Origin: origin},
		domain.BlockFeesPublished{Interval: between(0, 0, 23, 59), Blocks: 147, Fees: 643_451_616, Origin: origin},
		domain.GPUAllocationStarted{Site: "cedar-bend", Allocation: "4103947/2026-10-14T16:58:11Z", Customer: "brightwater", Host: "gpu-n3", GPUs: 4, At: at(17, 0) + 1_000_000, Origin: origin},
		domain.GPUAllocationEnded{Site: "cedar-bend", Allocation: "4103947/2026-10-14T16:58:11Z", At: at(19, 2), State: "COMPLETED", Origin: origin},
		domain.ContractSigned{
			Site: "cedar-bend", Contract: "aurora-2026", Version: 2, Seller: seller, Buyer: buyer, Series: "CB", Currency: "USD", Zone: "America/Chicago",
			Start: month.Start, End: month.End, PaymentDays: 30, Tax: tax,
			Charges: []domain.Charge{
				{ID: "reserved", Kind: domain.ChargeReservedGPUs, Description: "16 H100, take-or-pay", Quantity: 16, Rate: dec("1450"), Overage: dec("2.75")},
				{ID: "on-demand", Kind: domain.ChargeOnDemandGPUs, Description: "H100 by the hour", Rate: dec("2.49")},
				{ID: "space", Kind: domain.ChargeReservedPower, Description: "12 kW", Quantity: 12, Rate: dec("155.6")},
				{ID: "power", Kind: domain.ChargePassThrough, Description: "metered power", Meters: []domain.DeviceID{"n4"}, Adder: dec("6.5"), LossPortion: dec("0.012")},
			},
		},
		domain.AllocationDecided{
			Site: "cedar-bend", Interval: between(17, 35, 17, 40), AsOf: 123_456, Rule: "merit-order/1",
			Inputs: domain.AllocationInputs{
				PowerPrice: decp("412.5"), BitcoinPrice: decp("98211.42"), Bits: 0x17023c7e, Height: 969_696, FeesPerBlock: decp("4377221.875"),
				PoolFee: dec("0.02"), LossPortion: dec("0.012"), Dispatch: rule,
				Loads: []domain.LoadInput{
					{Load: "ai", Use: domain.UseAI, Power: 44 * domain.Kilowatt, Value: decp("1684.22"), Basis: "contracts in force", Committed: true, On: true, Since: at(0, 0)},
					{Load: "c1", Use: domain.UseMining, Power: 2600 * domain.Kilowatt, Shares: decp("4786.3301"), Basis: "measured over 288 intervals", On: true, Since: at(3, 5)},
				},
			},
			Choices: []domain.LoadChoice{
				{Load: "ai", Use: domain.UseAI, On: true, Power: 44 * domain.Kilowatt, Value: decp("1684.22"), Cost: decp("424.028"), Reason: domain.ReasonCommitted},
				{Load: "c1", Use: domain.UseMining, Value: decp("106.2"), Cost: decp("424.028"), Reason: domain.ReasonUnprofitable},
			},
		},
		domain.PoolStatementReceived{
			Pool: "foundry", Account: "cedarbend", Interval: between(0, 0, 23, 59), Subsidy: 35_851_600, Fees: 502_200, PoolFee: 727_076,
			Other: -3, Net: 35_626_721, Hashrate: integer("601500000000000000"), Complete: true, Origin: origin,
		},
		domain.PoolStatementReceived{
			Pool: "ocean", Account: "cedar-bend", Interval: between(0, 0, 23, 59), Subsidy: 9_817_061, PoolFee: 196_339, Net: 9_620_722, Complete: true, Origin: origin,
			Shares: domain.ShareDifficulty{Int128: integer("196974596150600000000")}, Unsplit: true, Zone: "Asia/Singapore", Credits: 3,
		},
		domain.PayoutReceived{Pool: "foundry", Account: "cedarbend", Transaction: "f4184fc5", Address: "bc1qcedar", At: at(6, 0), Amount: 35_626_721, Origin: origin},
		domain.PoolPayoutStated{
			Pool: "foundry", Account: "cedarbend", Reference: "8812", Rail: domain.RailChain, Status: domain.PayoutPaid, At: at(6, 0),
			Amount: 35_626_721, NetworkFee: 141, Transaction: "f4184fc5", Address: "bc1qcedar", Origin: origin,
		},
		domain.PayoutReversed{
			Pool: "foundry", Account: "cedarbend", Transaction: "f4184fc5", Address: "bc1qcedar", Amount: 35_626_721, Block: "0000000000000001",
			Reason: "the block was undone", Origin: origin,
		},
		domain.DifferenceMarked{
			Site: "cedar-bend", AsOf: 200_002, Pool: "foundry", Account: "cedarbend", Interval: between(0, 0, 23, 59), Unexplained: 73_280,
			Status: domain.DifferenceDisputed, By: "ana", Note: "ticket 4711",
		},
		domain.ReadingsEstimated{
			Site: "cedar-bend", Device: "n4", Channel: domain.ChannelEnergyImport, Interval: between(0, 0, 1, 0), Intervals: 12, Value: integer("31000000"),
			Method: domain.MeanOfNeighbours, AsOf: 200_000, By: "ana", Reason: "the meter was exchanged", Origin: origin,
		},
		domain.PeriodClosed{
			Site: "cedar-bend", Period: domain.Period{Year: 2026, Month: 10}, Interval: month, AsOf: 200_000, Metered: 98_000, Estimated: 32, Missing: 1,
			Balance: domain.DigestOf([]byte("b")), Usage: domain.DigestOf([]byte("u")), Margin: domain.DigestOf([]byte("m")),
		},
		domain.InvoiceIssued{
			Invoice: domain.Invoice{
				Number: "CB-2026-000001", Site: "cedar-bend", Contract: "aurora-2026", Version: 2, Seller: seller, Buyer: buyer,
				Period: domain.Period{Year: 2026, Month: 10}, Interval: month, Zone: "America/Chicago", AsOf: 200_000,
				Issued: month.End, Due: month.End.Add(30 * domain.Day),
				Lines: []domain.InvoiceLine{
					{Line: 1, Charge: "reserved", Kind: domain.ChargeReservedGPUs, Description: "16 H100, take-or-pay", Interval: month, Quantity: dec("16"), Unit: "GPU-month", UnitPrice: decp("1450"), Amount: usd(2_320_000)},
					{Line: 2, Charge: "power", Kind: domain.ChargePassThrough, Description: "metered power", Interval: month, Quantity: dec("8123.456789"), Unit: "kWh", Amount: usd(-4_217), Estimated: dec("12.25"), Detail: "8,928 intervals"},
				},
				Subtotal: usd(2_315_783), Tax: tax, TaxDue: usd(191_052), Total: usd(2_506_835),
				Daily: []domain.DailyUsage{{Day: "2026-10-01", GPU: 16 * 24 * domain.GPUHour, Energy: 262 * domain.KilowattHour}},
			},
			Documents: []domain.DocumentDigest{{Name: "CB-2026-000001.pdf", Digest: domain.DigestOf([]byte("pdf"))}},
		},
		domain.PayoutReconciled{
			Site: "cedar-bend", AsOf: 200_001,
			Reconciliation: domain.Reconciliation{
				Pool: "foundry", Account: "cedarbend", Interval: between(0, 0, 23, 59), Shares: domain.ShareDifficulty{Int128: integer("120000000000000000000")},
				Expected: 35_700_000, Stated: 35_626_721, Received: 35_626_721,
				Lines:   []domain.BridgeLine{{Cause: domain.CauseUncredited, Satoshi: 73_280}, {Cause: domain.CauseRounding, Satoshi: -1}},
				Finding: "the pool credits less work than the miners report",
			},
		},
	}
}
