package allocation_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections"
	"wattbook/projections/allocation"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestDecide(t *testing.T) {
	logscript.Run(t, "testdata/decide.txt", *rewrite, decide)
}

func TestInputs(t *testing.T) {
	logscript.Run(t, "testdata/inputs.txt", *rewrite, inputs)
}

// decide answers a question that tells all inputs of a decision.
func decide(p *logscript.Player, question []string) (string, error) {
	parts := strings.Split(strings.Join(question, " "), "|")
	head := strings.Fields(parts[0])
	at, err := p.Instant(head[0])
	if err != nil {
		return "", err
	}
	in := domain.AllocationInputs{}
	for _, option := range head[1:] {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "price":
			in.PowerPrice = known(value)
		case "adder":
			in.Dispatch.Adder = domain.MustDecimal(value)
		case "loss":
			in.LossPortion = domain.MustDecimal(value)
		case "limit":
			in.Dispatch.Limit, err = megawatts(value)
		case "ramp":
			in.Dispatch.Ramp, err = megawatts(value)
		case "reserve":
			in.Dispatch.Reserve, err = megawatts(value)
		case "min-on":
			err = in.Dispatch.MinOn.UnmarshalText([]byte(value))
		case "min-off":
			err = in.Dispatch.MinOff.UnmarshalText([]byte(value))
		default:
			err = fmt.Errorf("no such option: %s", option)
		}
		if err != nil {
			return "", err
		}
	}
	for _, part := range parts[1:] {
		l, err := load(p, strings.Fields(part))
		if err != nil {
			return "", err
		}
		in.Loads = append(in.Loads, l)
	}
	return choices(allocation.Decide(in, domain.Interval{Start: at, End: at.Add(5 * domain.Minute)})), nil
}

// load reads "c1 3MW 60 on since 11:50" and "ai 1MW ? off committed".
func load(p *logscript.Player, words []string) (l domain.LoadInput, err error) {
	l = domain.LoadInput{Load: domain.DeviceID(words[0]), Use: domain.UseAI, Value: known(words[2]), On: words[3] == "on"}
	if l.Power, err = megawatts(words[1]); err != nil {
		return l, err
	}
	switch rest := words[4:]; {
	case len(rest) == 0:
	case rest[0] == "committed":
		l.Committed = true
	case rest[0] == "since":
		l.Since, err = p.Instant(rest[1])
	default:
		err = fmt.Errorf("no such word: %s", rest[0])
	}
	return l, err
}

func known(s string) *domain.Decimal {
	if s == "?" {
		return nil
	}
	d := domain.MustDecimal(s)
	return &d
}

func megawatts(s string) (domain.Power, error) {
	d, err := domain.ParseDecimal(strings.TrimSuffix(s, "MW"))
	if err != nil {
		return 0, err
	}
	v, _ := d.Scaled(9)
	return domain.Power(v.Int64()), nil
}

func choices(all []domain.LoadChoice) string {
	var rows []string
	for _, c := range all {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\tearns %s\tcosts %s\t%s", c.Load, onOff(c.On), c.Power, text(c.Value), text(c.Cost), c.Reason))
	}
	return logscript.Table(rows...)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func text(v *domain.Decimal) string {
	if v == nil {
		return "?"
	}
	return v.String()
}

// inputs shows what is gathered from the log, or the decisions on record.
func inputs(p *logscript.Player, question []string) (string, error) {
	f, err := p.Facts()
	if err != nil {
		return "", err
	}
	if question[0] == "decisions" {
		return decisions(p)
	}
	iv, err := p.Interval(question[1])
	if err != nil {
		return "", err
	}
	in, err := allocation.Inputs(f, p.Site(), iv)
	if err != nil {
		return "", err
	}
	var rows []string
	for _, l := range in.Loads {
		earns := "worth " + text(l.Value)
		if l.Use == domain.UseMining {
			earns = "work " + text(l.Shares) + " a MWh"
		}
		state := onOff(l.On)
		if l.Committed {
			state += ", committed"
		}
		if l.PoolFee != nil {
			state += fmt.Sprintf(", pool fee %s, fees %s a block", l.PoolFee, text(l.FeesPerBlock))
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s: %s", l.Load, l.Use, l.Power, earns, state, l.Basis))
	}
	return fmt.Sprintf("price %s, bitcoin %s, bits %08x, height %d, fees %s a block, pool fee %s, loss %s\n", text(in.PowerPrice), text(in.BitcoinPrice),
		uint32(in.Bits), in.Height, text(in.FeesPerBlock), in.PoolFee, in.LossPortion) + logscript.Table(rows...), nil
}

// decisions shows what became of the mining loads.
func decisions(p *logscript.Player) (string, error) {
	var b strings.Builder
	clock := func(t domain.Instant) string { return t.Time().Format("15:04") }
	for rec, err := range projections.Read(context.Background(), p.Log, 0, projections.Head) {
		if err != nil {
			return "", err
		}
		d, ok := rec.Event.(domain.AllocationDecided)
		if !ok || d.Site != p.Site() {
			continue
		}
		for _, c := range d.Choices {
			for _, l := range d.Inputs.Loads {
				if l.Load != c.Load || l.Use != domain.UseMining {
					continue
				}
				fmt.Fprintf(&b, "%s  %s %s %s, %s before", clock(d.Interval.Start), c.Load, onOff(c.On), c.Reason, onOff(l.On))
				if l.Since != 0 {
					fmt.Fprintf(&b, " since %s", clock(l.Since))
				}
				b.WriteString("\n")
			}
		}
	}
	return b.String(), nil
}

// TestAMegawattHourOfMining checks the published example: 43.34 USD a PH and
// day at 20 J/TH are 90.29 USD a MWh; the hash price is 0.000560357 BTC a PH
// and day at this difficulty, subsidy and fees. (Hash prices are published
// with 2^32 hashes to a difficulty of 1, which is 15 ppm below 2^48/65535.)
func TestAMegawattHourOfMining(t *testing.T) {
	dec := domain.MustDecimal
	bits, err := domain.BitsOfDifficulty(dec("113757508810854"))
	if err != nil {
		t.Fatal(err)
	}
	fees, price := dec("4377221.875"), domain.Quo(dec("43.34"), dec("0.000560357"), 8)
	shares := domain.Quo(dec("180000000000000000000").Mul(dec("65535")), dec("281474976710656"), 4) // of 1 PH/s for 3,600 s at 20 kW: 50 h a MWh
	in := domain.AllocationInputs{
		PowerPrice: &domain.Decimal{}, BitcoinPrice: &price, Bits: bits, Height: 890_000, FeesPerBlock: &fees,
		Loads: []domain.LoadInput{{Load: "c1", Use: domain.UseMining, Power: 20 * domain.Kilowatt, Shares: &shares}},
	}
	got := allocation.Decide(in, domain.Interval{})[0].Value
	if low, high := dec("90.285"), dec("90.295"); got == nil || got.Cmp(low) < 0 || got.Cmp(high) > 0 {
		t.Errorf("got %s, want 90.29", text(got))
	}
	for name, forget := range map[string]func(*domain.AllocationInputs){
		"the price of bitcoin": func(in *domain.AllocationInputs) { in.BitcoinPrice = nil },
		"the difficulty":       func(in *domain.AllocationInputs) { in.Bits = 0 },
		"the fees":             func(in *domain.AllocationInputs) { in.FeesPerBlock = nil },
		"the work":             func(in *domain.AllocationInputs) { in.Loads = []domain.LoadInput{{Load: "c1", Use: domain.UseMining}} },
	} {
		less := in
		forget(&less)
		if c := allocation.Decide(less, domain.Interval{})[0]; c.Value != nil || c.Reason != domain.ReasonPriceUnknown {
			t.Errorf("without %s: got %s, %s", name, text(c.Value), c.Reason)
		}
	}
}

func TestNothingIsDecidedForASiteThatIsNotKnown(t *testing.T) {
	_, err := allocation.For(facts.New(), "nowhere", domain.Interval{})
	if err == nil || err.Error() != "decide for nowhere: the site is not registered" {
		t.Errorf("got %v", err)
	}
}
