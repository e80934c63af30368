package facts_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestFacts(t *testing.T) {
	logscript.Run(t, "testdata/facts.txt", *rewrite, answer)
}

// answer shows what is known of one thing.
func answer(p *logscript.Player, question []string) (string, error) {
	f, err := p.Facts()
	if err != nil {
		return "", err
	}
	var at domain.Instant
	var iv domain.Interval
	switch last := question[len(question)-1]; question[0] {
	case "work", "bitcoin", "fees", "difficulty":
		at, err = p.Instant(last)
	case "price":
		iv, err = p.Interval(question[1])
	case "findings":
	default:
		iv, err = p.Interval(last)
	}
	if err != nil {
		return "", err
	}
	switch question[0] {
	case "work":
		return work(f, p.Site(), at), nil
	case "price":
		v, ok := f.PowerPrice("hb_south", iv)
		currency := domain.Currency("USD")
		if len(question) > 2 {
			currency = domain.Currency(question[2])
			v, ok = f.PowerPriceIn("hb_south", currency, iv)
		}
		return orUnknown(v, ok) + " " + string(currency), nil
	case "bitcoin":
		now, ok := f.BitcoinPrice("USD", domain.Interval{Start: at, End: at + 1})
		last, found := f.LastBitcoinPrice("USD", at)
		return orUnknown(now, ok) + ", last known " + orUnknown(last, found), nil
	case "fees":
		v, exact, ok := f.FeesPerBlock(at)
		switch {
		case !ok:
			return "unknown", nil
		case !exact:
			return v.RatString() + " satoshi a block, of an earlier day", nil
		}
		return v.RatString() + " satoshi a block", nil
	case "difficulty":
		d, ok := f.Difficulty(at)
		if !ok {
			return "unknown", nil
		}
		return fmt.Sprintf("height %d, bits %08x", d.Height, uint32(d.Bits)), nil
	case "epochs":
		return lines(f.Epochs(iv), domain.Interval.String), nil
	case "contract":
		terms := f.InForce(domain.ContractID(question[1]), iv)
		if len(terms) == 0 {
			return "not in force", nil
		}
		return lines(terms, func(t facts.Term) string { return fmt.Sprintf("version %d %s", t.Version, t.Interval) }), nil
	case "gpus":
		return gpus(f, p.Site(), iv), nil
	case "statements":
		return lines(f.Statements("foundry", "s", iv), func(s facts.Stated) string {
			text := fmt.Sprintf("%s net %d", s.Interval.Start.Time().Format("2006-01-02"), s.Net)
			if !s.Complete {
				text += ", not complete"
			}
			if s.Restated {
				text += ", restated"
			}
			return text
		}), nil
	case "findings":
		return lines(f.Findings(), func(v facts.Finding) string {
			if v.Device == "" {
				return v.Kind + ": " + v.What
			}
			return strings.TrimSpace(fmt.Sprintf("%s: %s %s row %d %s", v.Kind, v.Device, v.Channel, v.Row, v.What))
		}), nil
	}
	return "", fmt.Errorf("no such question: %v", question)
}

func orUnknown(v domain.Decimal, ok bool) string {
	if !ok {
		return "unknown"
	}
	return v.String()
}

func lines[E any](all []E, text func(E) string) string {
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintln(&b, text(e))
	}
	return b.String()
}

func work(f *facts.Facts, site domain.SiteID, at domain.Instant) string {
	table := f.Table(site)
	s := table.SlotOf(at)
	var rows []string
	row := func(name string, c facts.Cell) {
		rows = append(rows, fmt.Sprintf("%s\t%s shares of %d miners, %s", name, domain.ShareDifficulty{Int128: c.Value}.Decimal(), c.Reported, c.State))
	}
	for _, m := range []domain.DeviceID{"pdu", "c1", "c2", "revenue"} {
		row(string(m), table.Group(m, domain.ChannelShares, s))
	}
	row("site", table.Total(domain.ChannelShares, s))
	return logscript.Table(rows...)
}

// gpus asks the calendar, and checks it against all allocations.
func gpus(f *facts.Facts, site domain.SiteID, iv domain.Interval) string {
	var b, slow strings.Builder
	names := map[facts.Allocation]string{}
	for e, end := range f.GPUAllocations(site) {
		names[facts.Allocation{Customer: e.Customer, GPUs: e.GPUs, At: e.At, End: end}] = e.Allocation
	}
	show := func(to *strings.Builder, a facts.Allocation) {
		if t := a.During(iv); t > 0 {
			fmt.Fprintf(to, "%s %s %d ms\n", names[a], a.Customer, int64(t))
		}
	}
	day := domain.Interval{Start: iv.Start.Floor(domain.Day), End: iv.End}
	for a := range f.Calendar(site, day).During(iv) {
		show(&b, a)
	}
	for a := range f.Allocations(site) {
		show(&slow, a)
	}
	switch {
	case b.String() != slow.String():
		return "the calendar differs: " + b.String() + " and " + slow.String()
	case b.Len() == 0:
		return "nothing"
	}
	return b.String()
}
