package wire_test

import "wattbook/domain"

// billingSamples are the events of billing beyond an invoice, and a contract
// with every term there is.
func billingSamples() []domain.Event {
	origin := domain.Origin{Source: "bank", Observed: at(17, 30), Decoder: "camt/1", Evidence: domain.DigestOf([]byte("raw"))}
	usd := func(cents int64) domain.Money { return domain.Money{Minor: cents, Currency: "USD"} }
	month := domain.Interval{Start: domain.Unix(1790830800), End: domain.Unix(1793509200)}
	october := domain.Period{Year: 2026, Month: 10}
	seller := domain.Party{
		ID: "cedar-bend-power", Name: "Cedar Bend Power & Compute LLC", Address: []string{"1 Substation Road"}, Country: "US", Endpoint: "0060:123456789",
		Bank: &domain.Bank{Holder: "Cedar Bend", Name: "First Bank", Account: "DE02120300000000202051", Routing: "BYLADEM1001"},
	}
	buyer := domain.Party{ID: "aurora", Name: "Aurora Labs", Address: []string{"Zürcher Straße 5"}, Country: "DE", TaxID: "DE123456789", Endpoint: "0204:991-1234512345-06"}
	tax := domain.Tax{Name: "VAT", Rate: dec("0"), Reason: "Reverse charge", Category: domain.TaxReverseCharge}
	return []domain.Event{
		domain.ContractSigned{
			Site: "cedar-bend", Contract: "aurora-2026", Version: 3, Seller: seller, Buyer: buyer, Series: "CB", Currency: "USD", Zone: "America/Chicago",
			Start: month.Start, PaymentDays: 30, Tax: tax, BuyerReference: "CC-17", OrderReference: "PO-4711", PrepaidPortion: dec("0.5"),
			Maintenance: []domain.Interval{between(3, 0, 5, 0)},
			Charges: []domain.Charge{
				{
					ID: "reserved", Kind: domain.ChargeReservedGPUs, Description: "H100, take-or-pay", Quantity: 8, Rate: dec("1450"), OverageFactor: dec("1.25"),
					From: month.Start, Until: month.End, Ramp: []domain.RampStep{{From: at(0, 0), Quantity: 16, Rate: dec("1400")}},
				},
				{ID: "power", Kind: domain.ChargePassThrough, Description: "power", Meters: []domain.DeviceID{"n4"}, Index: "hb_west", IndexFloor: decp("0"), IndexCap: decp("500"), PUE: &domain.PUE{Facility: []domain.DeviceID{"revenue"}, IT: []domain.DeviceID{"n4"}, Cap: dec("1.3")}},
				{ID: "gpu", Kind: domain.ChargeUsage, Description: "H100 by the hour", Measure: domain.MeasureGPUHours, Model: domain.Graduated, Free: dec("10"), Block: dec("1"), Tiers: []domain.Tier{{UpTo: decp("100"), Rate: dec("2.5"), Flat: dec("5")}, {Rate: dec("2")}}},
				{ID: "night", Kind: domain.ChargeUsage, Description: "by the time of day", Measure: domain.MeasureEnergy, Meters: []domain.DeviceID{"n4"}, Windows: []domain.Window{{Name: "all day", Days: []string{"mon"}, From: "00:00", To: "24:00", Rate: dec("0.1")}}},
				{ID: "index", Kind: domain.ChargeUsage, Description: "linked", Measure: domain.MeasureGPUHours, Rate: dec("1"), Index: "hb_south", IndexFactor: dec("0.01")},
				{ID: "support", Kind: domain.ChargePercentage, Description: "support", Of: []string{"reserved"}, Portion: dec("0.05")},
				{ID: "commit", Kind: domain.ChargeCommitment, Description: "commitment", Amount: dec("50000"), Months: 3, TrueUp: true, Rollover: true, OverageFactor: dec("1.5")},
				{ID: "sla", Kind: domain.ChargeSLACredit, Description: "SLA credit", Of: []string{"reserved"}, SLA: &domain.SLA{Devices: []domain.DeviceID{"gpu-n1-0"}, MinimumOutage: 5 * domain.Minute, Bands: []domain.SLABand{{Below: dec("0.999"), Portion: dec("0.1")}}, Cap: dec("0.5"), OnClaim: true}},
			},
		},
		domain.InvoiceIssued{Invoice: domain.Invoice{
			Number: "CB-2026-000002", Site: "cedar-bend", Contract: "aurora-2026", Version: 3, Seller: seller, Buyer: buyer, Period: october, Interval: month,
			Zone: "America/Chicago", AsOf: 7, Issued: month.End, Due: month.End, Lines: []domain.InvoiceLine{}, Subtotal: usd(100), Tax: tax, TaxDue: usd(0), Total: usd(100),
			Prepaid: usd(40), Balances: []domain.Balance{{Charge: "commit", Opening: usd(1), Added: usd(2), Drawn: usd(1), Expired: usd(1), Closing: usd(1), Rolled: usd(1)}},
			BuyerReference: "CC-17", OrderReference: "PO-4711",
		}},
		domain.InvoiceVoided{Invoice: "CB-2026-000002", Contract: "aurora-2026", Period: october, At: month.End, Reason: "sent to the wrong buyer"},
		domain.NoteIssued{
			Note: domain.Note{
				Invoice: domain.Invoice{
					Number: "CB-2026-000003", Site: "cedar-bend", Contract: "aurora-2026", Version: 3, Seller: seller, Buyer: buyer, Period: october, Interval: month,
					Zone: "America/Chicago", AsOf: 9, Issued: month.End, Due: month.End,
					Lines:    []domain.InvoiceLine{{Line: 1, Charge: "power", Kind: domain.ChargePassThrough, Description: "power", Interval: month, Quantity: dec("-1.5"), Unit: "kWh", Amount: usd(-7)}},
					Subtotal: usd(-7), Tax: tax, TaxDue: usd(0), Total: usd(-7),
				},
				Kind: domain.CreditNote, Corrects: "CB-2026-000001", Causes: []string{"a reading of n4 is corrected"},
			},
			Documents: []domain.DocumentDigest{{Name: "CB-2026-000003.pdf", Digest: domain.DigestOf([]byte("pdf"))}},
		},
		domain.NoteIssued{
			Note: domain.Note{
				Invoice: domain.Invoice{
					Number: "CB-2026-000004", Site: "cedar-bend", Contract: "aurora-2026", Version: 4, Seller: seller, Buyer: buyer, Period: october, Interval: month,
					Zone: "America/Chicago", AsOf: 11, Issued: month.End, Due: month.End,
					Lines: []domain.InvoiceLine{
						{Line: 1, Charge: "power", Kind: domain.ChargePassThrough, Description: "power", Interval: month, Quantity: dec("-9"), Unit: "kWh", Amount: usd(-93), Tax: tax},
						{Line: 2, Charge: "power", Kind: domain.ChargePassThrough, Description: "power", Interval: month, Quantity: dec("9"), Unit: "kWh", Amount: usd(100)},
					},
					Subtotal: usd(7), Tax: domain.Tax{Name: "VAT", Rate: dec("0.19")}, TaxDue: usd(19), Total: usd(26),
					Taxes:  []domain.TaxPart{{Tax: tax, Base: usd(-93), Due: usd(0)}, {Tax: domain.Tax{Name: "VAT", Rate: dec("0.19")}, Base: usd(100), Due: usd(19)}},
					Layout: 4, Checkpoint: domain.Checkpoint{Log: "cedar-bend.example", Size: 10, Root: domain.DigestOf([]byte("root"))},
				},
				Kind: domain.DebitNote, Corrects: "CB-2026-000001", Causes: []string{"version 4 of the contract is in force"},
			},
			Documents: []domain.DocumentDigest{{Name: "CB-2026-000004.pdf", Digest: domain.DigestOf([]byte("pdf"))}},
		},
		domain.PaymentReceived{Contract: "aurora-2026", Invoice: "CB-2026-000001", Amount: usd(2_500_000), At: month.End, Reference: "TRX-1", Origin: origin},
		domain.PrepaymentReceived{Contract: "aurora-2026", Amount: usd(1_000_000), At: month.Start, Reference: "TRX-0", Origin: origin},
		domain.ServiceCreditClaimed{Contract: "aurora-2026", Charge: "sla", Period: october, At: month.End, Origin: origin},
		domain.UtilityBilled{Site: "cedar-bend", Interval: month, Amount: usd(24_000_000), At: month.End, Reference: "INV-77", Origin: origin},
		domain.UtilityBilled{Site: "cedar-bend", Interval: month, Amount: usd(24_000_100), At: month.End, Reference: "INV-77", Corrects: true, Origin: origin},
		domain.PaymentReversed{Contract: "aurora-2026", Invoice: "CB-2026-000001", Payment: "TRX-1", Amount: usd(2_500_000), At: month.End, Reason: "returned by the bank", Origin: origin},
		domain.CoinSold{
			Site: "cedar-bend", Amount: 50_000_000, Proceeds: usd(4_910_571), Fee: usd(1_473), NetworkFee: 1_410, At: at(18, 0), Reference: "T-88",
			Basis: "specific", Lots: []domain.CoinPart{{Lot: "foundry/cedarbend 2026-10-12", Amount: 50_001_410}}, Origin: origin,
		},
	}
}
