package rating_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/settlement/rating"
)

// month is a month of random use under a random contract, for at most a day.
// Metering intervals are hours; all times are whole seconds.
type month struct {
	zone     *time.Location
	period   domain.Period
	force    domain.Interval // of the contract
	currency domain.Currency
	tax      string

	reserved, kilowatts                      int64
	gpuMonth, overage, gpuHour, kilowattRate string // rates; "0": no such charge
	adder, loss                              string
	first                                    domain.Instant    // of the hours that the contract touches
	energy                                   [2][]int64        // mWh of n4 and n5 in each of them
	prices                                   []string          // of each half of them, per MWh
	jobs                                     []domain.Interval // of GPUs
	gpus                                     []int64
}

// drawn from the whole range of terms that a contract can have.
func drawMonth(t *rapid.T) month {
	draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
	decimal := func(name string, from, to int64, places int32) string {
		return domain.NewDecimal(draw(name, from, to), -places).String()
	}
	zone, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "America/Chicago", "Europe/Berlin", "Asia/Kolkata"}).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	m := month{zone: zone, period: domain.Period{Year: 2026, Month: time.Month(draw("month", 1, 12))}}
	all := m.period.In(zone)
	m.force.Start = all.Start.Add(domain.Second * domain.Duration(draw("start", -3600, int64(all.Length()/domain.Second)-1)))
	m.force.End = max(m.force.Start, all.Start).Add(domain.Second * domain.Duration(draw("length", 1, 24*3600)))
	m.currency = rapid.SampledFrom([]domain.Currency{"USD", "JPY", "KWD"}).Draw(t, "currency")
	m.tax = decimal("tax", 0, 3000, 4)
	m.reserved, m.gpuMonth = draw("reserved", 1, 16), decimal("rate of a GPU-month", 0, 300_000, 2)
	m.overage, m.gpuHour = decimal("overage", 0, 9_999, 3), decimal("rate of a GPU-hour", 0, 9_999, 3)
	m.kilowatts, m.kilowattRate = draw("kW", 1, 5000), decimal("rate of a kW-month", 1, 30_000, 2)
	m.adder, m.loss = decimal("adder", 0, 2000, 2), decimal("loss", 0, 999, 4)
	m.first = m.force.Start.Floor(domain.Hour)
	for at := m.first; at < m.force.End; at = at.Add(domain.Hour) {
		m.energy[0], m.energy[1] = append(m.energy[0], draw("n4", 0, 1<<34)), append(m.energy[1], draw("n5", 0, 1<<34))
		m.prices = append(m.prices, decimal("price", -30_000, 500_000, 2), decimal("price", -30_000, 500_000, 2))
	}
	for range draw("jobs", 0, 6) {
		start := m.force.Start.Add(domain.Second * domain.Duration(draw("job", -7200, 24*3600)))
		m.jobs = append(m.jobs, domain.Interval{Start: start, End: start.Add(domain.Second * domain.Duration(draw("seconds", 0, 8*3600)))})
		m.gpus = append(m.gpus, draw("gpus", 1, 16))
	}
	return m
}

// instant writes t as scripts do.
func instant(t domain.Instant) string { return strings.TrimSuffix(t.String(), "Z") }

// play records what happened, and a version of the contract from each of the
// instants on.
func (m month) play(t *rapid.T, from ...domain.Instant) *logscript.Player {
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	play("now 2027-02-01\nsite s step=1h\nmeter revenue\nmeter n4 under=revenue use=ai\nmeter n5 under=revenue use=ai")
	for i := range m.energy[0] {
		at := m.first.Add(domain.Hour * domain.Duration(i))
		for n, name := range []string{"n4", "n5"} {
			play("read %s %s..%s %dmWh", name, instant(at), instant(at.Add(domain.Hour)), m.energy[n][i])
		}
	}
	play("price hb_south %s 30m %s currency=%s", instant(m.first), strings.Join(m.prices, " "), m.currency)
	for i, job := range m.jobs {
		play("start job-%d aurora %d %s\nend job-%d %s", i, m.gpus[i], instant(job.Start), i, instant(job.End))
	}
	for i, at := range from {
		play("contract aurora version=%d zone=%s currency=%s tax=%s from=%s until=%s", i+1, m.zone, m.currency, m.tax, instant(at), instant(m.force.End))
		if m.gpuMonth != "0" {
			play("charge reserved reserved-gpus %d x %s overage=%s", m.reserved, m.gpuMonth, m.overage)
		}
		if m.gpuHour != "0" {
			play("charge used on-demand-gpus %s", m.gpuHour)
		}
		play("charge space reserved-power %d x %s\ncharge power power-pass-through n4,n5 adder=%s loss=%s", m.kilowatts, m.kilowattRate, m.adder, m.loss)
	}
	if _, err := p.Facts(); err != nil { // the last version is signed
		t.Fatal(err)
	}
	return p
}

func (m month) draft(t *rapid.T, f *facts.Facts) domain.Invoice {
	inv, err := rating.Draft(f, "aurora", m.period)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func (m month) invoice(t *rapid.T, from ...domain.Instant) domain.Invoice {
	f, err := m.play(t, from...).Facts()
	if err != nil {
		t.Fatal(err)
	}
	return m.draft(t, f)
}

// amount is what a line should say.
type amount struct{ quantity, money *big.Rat }

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

func mul(first *big.Rat, more ...*big.Rat) *big.Rat {
	p := new(big.Rat).Set(first)
	for _, r := range more {
		p.Mul(p, r)
	}
	return p
}

// seconds returns how long two intervals have in common.
func seconds(a, b domain.Interval) int64 {
	return max(0, int64(min(a.End, b.End)-max(a.Start, b.Start))) / 1_000_000
}

// amounts computes the invoice by hand, from what was drawn alone.
func (m month) amounts() map[string]amount {
	all := m.period.In(m.zone)
	portion := big.NewRat(seconds(m.force, all), seconds(all, all))
	months := func(quantity int64, rate string) amount {
		q := mul(portion, big.NewRat(quantity, 1))
		return amount{q, mul(q, rat(rate))}
	}
	out := map[string]amount{"space": months(m.kilowatts, m.kilowattRate)}
	if m.gpuMonth != "0" {
		out["reserved"] = months(m.reserved, m.gpuMonth)
	}
	beyond, power := new(big.Rat), amount{new(big.Rat), new(big.Rat)}
	for i := range m.energy[0] {
		hour := domain.Interval{Start: m.first.Add(domain.Hour * domain.Duration(i)), End: m.first.Add(domain.Hour * domain.Duration(i+1))}
		in := domain.Interval{Start: max(hour.Start, m.force.Start, all.Start), End: min(hour.End, m.force.End, all.End)}
		if in.Start >= in.End {
			continue
		}
		used := int64(0) // GPU-seconds
		for n, job := range m.jobs {
			used += m.gpus[n] * seconds(job, in)
		}
		if m.gpuMonth != "0" {
			used = max(0, used-m.reserved*seconds(in, in))
		}
		beyond.Add(beyond, big.NewRat(used, 3600))
		kWh := mul(big.NewRat(m.energy[0][i]+m.energy[1][i], 1_000_000), big.NewRat(seconds(in, in), 3600), new(big.Rat).Add(rat("1"), rat(m.loss)))
		price := new(big.Rat).Add(rat(m.prices[2*i]), rat(m.prices[2*i+1])) // halves of an hour: the mean
		price.Add(price.Quo(price, rat("2")), rat(m.adder))
		power.quantity.Add(power.quantity, kWh)
		power.money.Add(power.money, mul(kWh, price, rat("1/1000")))
	}
	out["power"] = power
	switch {
	case m.gpuMonth != "0" && m.overage != "0":
		out["reserved, beyond the reservation"] = amount{beyond, mul(beyond, rat(m.overage))}
	case m.gpuHour != "0":
		out["used"] = amount{beyond, mul(beyond, rat(m.gpuHour))}
	}
	for k, a := range out {
		if a.quantity.Sign() == 0 && a.money.Sign() == 0 {
			delete(out, k)
		}
	}
	return out
}

// rounded returns r × 10^places, rounded half away from zero.
func rounded(r *big.Rat, places int32) int64 {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)
	twice := mul(r, new(big.Rat).SetInt(scale), rat("2"))
	n := new(big.Int).Abs(twice.Num())
	n.Add(n, twice.Denom()).Quo(n, new(big.Int).Lsh(twice.Denom(), 1)) // floor of |x| + 1/2
	return n.Int64() * int64(r.Sign())
}

// TestLinesAreWhatIsComputedByHand compares every line with the same figure
// from fractions, computed apart.
func TestLinesAreWhatIsComputedByHand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMonth(t)
		inv, want := m.invoice(t, m.force.Start), m.amounts()
		for _, l := range inv.Lines {
			w, ok := want[l.Description]
			if !ok {
				t.Fatalf("line %s: %s %s for %s, want none", l.Description, l.Quantity, l.Unit, l.Amount)
			}
			delete(want, l.Description)
			if cents := rounded(w.money, m.currency.Digits()); l.Amount.Minor != cents || l.Amount.Currency != m.currency {
				t.Fatalf("line %s: got %s, want %d minor units: %s", l.Description, l.Amount, cents, w.money.FloatString(9))
			}
			if q := domain.NewDecimal(rounded(w.quantity, 6), -6); !l.Quantity.Equal(q) {
				t.Fatalf("line %s: got quantity %s, want %s: %s", l.Description, l.Quantity, q, w.quantity.FloatString(9))
			}
		}
		if len(want) > 0 {
			t.Fatalf("there are no lines for %v", want)
		}
	})
}

func TestTotalsAreSumsOfRoundedAmounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMonth(t)
		inv := m.invoice(t, m.force.Start)
		sum := int64(0)
		for _, l := range inv.Lines {
			sum += l.Amount.Minor
		}
		if inv.Subtotal != (domain.Money{Minor: sum, Currency: m.currency}) {
			t.Fatalf("subtotal is %s, the lines sum to %d", inv.Subtotal, sum)
		}
		if tax := rounded(mul(big.NewRat(sum, 1), rat(m.tax)), 0); inv.TaxDue != (domain.Money{Minor: tax, Currency: m.currency}) {
			t.Fatalf("tax is %s, want %d", inv.TaxDue, tax)
		}
		if want := (domain.Money{Minor: inv.Subtotal.Minor + inv.TaxDue.Minor, Currency: m.currency}); inv.Total != want {
			t.Fatalf("total is %s, want %s", inv.Total, want)
		}
	})
}

// TestTheAnnexSumsToWhatWasUsed compares the days of the annex with the use of
// the whole period. A part of a milliwatt-hour at each end is rounded.
func TestTheAnnexSumsToWhatWasUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMonth(t)
		inv := m.invoice(t, m.force.Start)
		all := m.period.In(m.zone)
		in := domain.Interval{Start: max(m.force.Start, all.Start), End: min(m.force.End, all.End)}
		gpu, energy, days := int64(0), new(big.Rat), map[string]bool{}
		for i, job := range m.jobs {
			gpu += m.gpus[i] * 1000 * seconds(job, in)
		}
		for i := range m.energy[0] {
			hour := domain.Interval{Start: m.first.Add(domain.Hour * domain.Duration(i)), End: m.first.Add(domain.Hour * domain.Duration(i+1))}
			energy.Add(energy, big.NewRat((m.energy[0][i]+m.energy[1][i])*seconds(hour, in), 3600))
		}
		for _, d := range inv.Daily {
			if days[d.Day] {
				t.Fatalf("day %s is there twice", d.Day)
			}
			days[d.Day] = true
			gpu -= int64(d.GPU)
			energy.Sub(energy, big.NewRat(int64(d.Energy), 1))
		}
		if gpu != 0 || energy.Abs(energy).Cmp(rat("4")) > 0 { // two meters, two ends
			t.Fatalf("of the use, %d GPU-milliseconds and %s mWh are not in the annex", gpu, energy.FloatString(1))
		}
	})
}

// TestRatingTwiceGivesEqualInvoices rates from the same facts, which rating
// must not change, and from a log that is folded anew.
func TestRatingTwiceGivesEqualInvoices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMonth(t)
		p := m.play(t, m.force.Start)
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		first, again, anew := m.draft(t, f), m.draft(t, f), facts.New()
		stop := domain.Position(rapid.Uint64Range(0, uint64(f.Next)).Draw(t, "stop"))
		for _, to := range []domain.Position{stop, projections.Head} {
			if _, err := projections.Fold(t.Context(), p.Log, anew.Next, to, anew); err != nil {
				t.Fatal(err)
			}
		}
		for name, other := range map[string]domain.Invoice{"again": again, "from a new fold": m.draft(t, anew)} {
			if diff := cmp.Diff(first, other); diff != "" {
				t.Fatalf("rating %s differs (-first +other):\n%s", name, diff)
			}
			if a, b := text(t, first), text(t, other); a != b {
				t.Fatalf("rating %s gives other bytes:\n%s\n%s", name, a, b)
			}
		}
	})
}

func text(t *rapid.T, inv domain.Invoice) string {
	b, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAmendingAContractWithItsOwnTermsChangesOnlyTheRounding divides a
// contract into two versions with the same terms, at any microsecond. What is
// used beyond a reservation is counted by metering interval or a part of one,
// so a contract with a reservation is divided between intervals.
func TestAmendingAContractWithItsOwnTermsChangesOnlyTheRounding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMonth(t)
		m.force.Start = max(m.force.Start, m.period.In(m.zone).Start) // version 1 is for this month
		m.first = m.force.Start.Floor(domain.Hour)
		at, grid := m.force.Start, domain.Duration(1)
		if m.gpuMonth != "0" && (m.overage != "0" || m.gpuHour != "0") {
			at, grid = m.first, domain.Hour
		}
		steps := int64((m.force.End - 1).Sub(at) / grid)
		if steps == 0 {
			t.Skip("it is in force for one interval")
		}
		cut := at.Add(grid * domain.Duration(rapid.Int64Range(1, steps).Draw(t, "cut")))
		whole, parts := m.invoice(t, m.force.Start), m.invoice(t, m.force.Start, cut)
		type total struct {
			money    int64
			quantity domain.Decimal
			lines    int64
		}
		totals := func(inv domain.Invoice) map[string]total {
			out := map[string]total{}
			for _, l := range inv.Lines {
				sum := out[l.Description]
				out[l.Description] = total{sum.money + l.Amount.Minor, sum.quantity.Add(l.Quantity), sum.lines + 1}
			}
			return out
		}
		before, after := totals(whole), totals(parts)
		for name, b := range before {
			a := after[name]
			delete(after, name)
			extra := a.lines - b.lines
			if extra < 0 || extra > 1 || max(a.money-b.money, b.money-a.money) > extra {
				t.Fatalf("%s: %d minor units on %d lines, divided %d on %d", name, b.money, b.lines, a.money, a.lines)
			}
			moved := a.quantity.Sub(b.quantity)
			if bound := domain.NewDecimal(extra, -6); moved.Cmp(bound) > 0 || moved.Neg().Cmp(bound) > 0 {
				t.Fatalf("%s: a quantity of %s, divided %s", name, b.quantity, a.quantity)
			}
		}
		if len(after) > 0 {
			t.Fatalf("dividing makes lines out of nothing: %v", after)
		}
	})
}
