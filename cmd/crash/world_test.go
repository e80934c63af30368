package crash_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// The world is a site of three meters and a miner in October 2026, polled once
// an hour. Its sources misbehave as sources do; what they say is fixed before
// anything breaks.
const (
	site = domain.SiteID("s")
	step = domain.Hour
)

var october = domain.Period{Year: 2026, Month: time.October}

func begins() domain.Instant { return october.In(time.UTC).Start }

// register is a register of a fake device.
type register struct {
	sample  ingest.Sample
	now     int64
	modulus int64
	most    int64 // movement in an hour
	odd     int   // the last hour in which it misbehaved
}

func (r *register) move(rng *rand.Rand) {
	r.now += rng.Int64N(r.most)
	if r.modulus > 0 {
		r.now %= r.modulus
	}
}

// world makes the rounds of a month.
func world(rng *rand.Rand) []ingest.Round {
	meter := func(id domain.DeviceID, most int64) *register {
		r := &register{most: most, now: rng.Int64N(most), sample: ingest.Sample{Device: id, Channel: domain.ChannelEnergyImport, Provenance: domain.ProvenanceSubMeter, Scale: ingest.Scale{Num: 1000, Den: 1}}}
		return r
	}
	revenue, c1, ai := meter("revenue", 900_000), meter("c1", 600_000), meter("ai", 200_000)
	c1.modulus = 10_000_000 // wraps every day or so
	c1.sample.Scale.Modulus = domain.Int(c1.modulus)
	shares := &register{most: 4_000_000, sample: ingest.Sample{Device: "m1", Channel: domain.ChannelShares, Provenance: domain.ProvenanceFirmwareMeasured, Scale: ingest.Scale{Num: 1_000_000, Den: 1}}}

	rounds := []ingest.Round{{Site: site, At: begins(), Deliveries: []ingest.Delivery{setUp()}}}
	var late []ingest.Delivery
	hours := int(october.In(time.UTC).Length() / domain.Hour)
	for h := range hours + 1 {
		at := begins().Add(domain.Hour * domain.Duration(h))
		round := ingest.Round{Site: site, At: at}
		grid := ingest.Delivery{Source: "grid", Observed: at, Decoder: "fake/1", Raw: fmt.Appendf(nil, "grid %d %d", h, rng.Uint64())}
		for _, r := range []*register{revenue, c1, ai} {
			if h > 0 {
				r.move(rng)
			}
			// Not twice in a row: a register that says so again is believed.
			odd := h > 0 && h < hours-1 && h > r.odd+2
			switch s := r.sample; {
			case odd && rng.IntN(60) == 0:
				r.odd = h
				grid.Silent = append(grid.Silent, ingest.Silence{Device: s.Device, Channel: s.Channel, Reason: "no answer"})
			case odd && rng.IntN(90) == 0: // a glitch
				r.odd = h
				s.Register = domain.Int(r.now + 1<<40)
				grid.Samples = append(grid.Samples, s)
			default:
				s.Register = domain.Int(r.now)
				grid.Samples = append(grid.Samples, s)
			}
		}
		round.Deliveries = append(round.Deliveries, grid)

		mining := ingest.Delivery{Source: "miners", Observed: at, Decoder: "fake/1", Raw: fmt.Appendf(nil, "miners %d", h)}
		if rng.IntN(50) == 0 {
			shares.now = 0
		}
		s := shares.sample
		shares.move(rng)
		s.Register, s.Started = domain.Int(shares.now), begins()
		mining.Samples = []ingest.Sample{s}
		round.Deliveries = append(round.Deliveries, mining)

		round.Deliveries = append(round.Deliveries, late...)
		late = nil
		if h%24 == 0 && h < hours {
			d := market(rng, at)
			if rng.IntN(3) == 0 {
				late = append(late, d) // with the next round
			} else {
				round.Deliveries = append(round.Deliveries, d)
			}
		}
		rounds = append(rounds, round)
		if rng.IntN(12) == 0 {
			rounds = append(rounds, rounds[rng.IntN(len(rounds))]) // comes again, whenever it was
		}
	}
	return rounds
}

// setUp registers the site, and signs its contract.
func setUp() ingest.Delivery {
	rated := domain.Megawatt
	return ingest.Delivery{Source: "config", Observed: begins(), Decoder: "config/1", Facts: ingest.Facts{
		domain.SiteRegistered{
			Site: site, Name: "Site", Zone: "UTC", Step: step, Currency: "USD", Node: "hb", RevenueMeter: "revenue",
			Pool: domain.PoolTerms{Pool: "foundry", Account: "s", Scheme: "fpps"},
		},
		domain.DeviceRegistered{Site: site, Device: "revenue", Kind: domain.KindMeter, Units: 1, RatedPower: rated},
		domain.DeviceRegistered{Site: site, Device: "c1", Kind: domain.KindMeter, Under: "revenue", Use: domain.UseMining, Units: 1, RatedPower: rated},
		domain.DeviceRegistered{Site: site, Device: "ai", Kind: domain.KindMeter, Under: "revenue", Use: domain.UseAI, Units: 1, RatedPower: rated},
		domain.DeviceRegistered{Site: site, Device: "m1", Kind: domain.KindMiner, Under: "c1", Use: domain.UseMining, Units: 1, RatedHashes: domain.Int(900_000_000_000_000)},
		domain.DifficultyAdjusted{Height: 917_280, At: begins().Add(-domain.Day), Bits: 0x1d00ffff},
		domain.ContractSigned{
			Site: site, Contract: "c", Version: 1, Series: "S", Currency: "USD", Zone: "UTC", Start: begins(), PaymentDays: 30,
			Seller: domain.Party{ID: "seller", Name: "Seller", Country: "US"}, Buyer: domain.Party{ID: "buyer", Name: "Buyer", Country: "US"},
			Tax: domain.Tax{Name: "none", Reason: "exempt"},
			Charges: []domain.Charge{
				{ID: "space", Kind: domain.ChargeReservedPower, Description: "Space", Quantity: 100, Rate: domain.NewDecimal(15575, -2)},
				{ID: "power", Kind: domain.ChargePassThrough, Description: "Power", Meters: []domain.DeviceID{"ai"}, Adder: domain.NewDecimal(65, -1)},
			},
		},
	}}
}

// market is what is published of a day, and what the pool says of it.
func market(rng *rand.Rand, day domain.Instant) ingest.Delivery {
	d := ingest.Delivery{Source: "market", Observed: day, Decoder: "fake/1", Raw: fmt.Appendf(nil, "market %s %d", day, rng.Uint64())}
	prices := domain.PriceSeries{Start: day, Step: domain.Hour}
	for range 24 {
		prices.Prices = append(prices.Prices, domain.NewDecimal(rng.Int64N(20_000)-2_000, -2))
	}
	iv := domain.Interval{Start: day, End: day.Add(domain.Day)}
	stated := domain.Satoshi(rng.Int64N(1_000_000))
	d.Facts = ingest.Facts{
		domain.PowerPriced{Node: "hb", Currency: "USD", Series: prices},
		domain.BitcoinPriced{Currency: "USD", Series: domain.PriceSeries{Start: day, Step: domain.Day, Prices: []domain.Decimal{domain.NewDecimal(100_000, 0)}}},
		domain.BlockFeesPublished{Interval: iv, Blocks: 144, Fees: 1_440_000_000},
		domain.PoolStatementReceived{Pool: "foundry", Account: "s", Interval: iv, Subsidy: stated, Net: stated, Complete: true},
		domain.PayoutReceived{Pool: "foundry", Account: "s", Transaction: fmt.Sprintf("tx-%d", day), Address: "bc1q", At: day.Add(domain.Day), Amount: stated},
	}
	return d
}
