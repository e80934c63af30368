package main

import (
	"cmp"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/projections/usage"
	"wattbook/settlement"
)

// screen is what a month came to, on one screen.
type screen struct {
	Site     string        `json:"site"`
	Period   domain.Period `json:"period"`
	Seed     uint64        `json:"seed"`
	Readings int64         `json:"readings"`
	Events   int64         `json:"events"`
	Played   string        `json:"played_in"`
	Folder   string        `json:"folder"`

	Energy   energyReport    `json:"energy"`
	Margins  []marginReport  `json:"margins"`
	Invoices []invoiceReport `json:"invoices"`
	Pools    []poolReport    `json:"pools"`
	Findings []findingReport `json:"findings"`
	TryNext  []string        `json:"try_next"`
	currency domain.Currency
	zone     *time.Location
}

type energyReport struct {
	Metered      domain.Energy  `json:"revenue_meter_milliwatt_hours"`
	Branches     domain.Energy  `json:"sub_meters_milliwatt_hours"`
	Losses       domain.Energy  `json:"losses_milliwatt_hours"`
	Residual     domain.Energy  `json:"residual_milliwatt_hours"`
	Closed       int64          `json:"closed_intervals"`
	Intervals    int64          `json:"intervals"`
	Estimated    int64          `json:"estimated_intervals"`
	Mined        domain.Decimal `json:"expected_bitcoin"`
	Hashrate     domain.Decimal `json:"mean_petahash_per_second"`
	Served       domain.GPUTime `json:"gpu_milliseconds"`
	Customers    int            `json:"customers"`
	Curtailed    domain.Energy  `json:"curtailed_milliwatt_hours"`
	CurtailedIn  int64          `json:"curtailed_intervals"`
	LowestPrice  domain.Decimal `json:"lowest_price_per_megawatt_hour"`
	HighestPrice domain.Decimal `json:"highest_price_per_megawatt_hour"`
	Negative     int64          `json:"intervals_with_negative_price"`
}

type marginReport struct {
	Use     string          `json:"use"`
	Energy  domain.Energy   `json:"energy_milliwatt_hours"`
	Revenue domain.Decimal  `json:"revenue"`
	Cost    domain.Decimal  `json:"cost"`
	Margin  domain.Decimal  `json:"margin"`
	PerMWh  *domain.Decimal `json:"margin_per_megawatt_hour"`
	// Stated counts the intervals whose mining revenue a pool states; that of
	// the others is estimated from accepted work.
	Stated    int64 `json:"stated_intervals,omitempty"`
	intervals int64
}

type invoiceReport struct {
	Number   string         `json:"number"`
	Customer string         `json:"customer"`
	Subtotal domain.Money   `json:"subtotal"`
	Total    domain.Money   `json:"total"`
	Due      domain.Instant `json:"due"`
	File     string         `json:"file"`
}

type poolReport struct {
	Pool     domain.PoolID  `json:"pool"`
	Account  string         `json:"account"`
	Scheme   domain.Scheme  `json:"scheme"`
	Days     int            `json:"days"`
	Expected domain.Satoshi `json:"expected_satoshi"`
	Stated   domain.Satoshi `json:"stated_satoshi"`
	Received domain.Satoshi `json:"received_satoshi"`
	// Sigma is the spread of what is stated over all days, 0 if it does not
	// depend on luck.
	Sigma    domain.Satoshi      `json:"sigma_satoshi,omitempty"`
	Lines    []domain.BridgeLine `json:"lines"`
	Findings []string            `json:"findings"`
}

type findingReport struct {
	At     domain.Instant  `json:"at"`
	Kind   string          `json:"kind"`
	Device domain.DeviceID `json:"device,omitempty"`
	What   string          `json:"what"`
}

// monthScreen gathers what a closed month came to.
func monthScreen(f *facts.Facts, site domain.SiteRegistered, closed domain.PeriodClosed, pool domain.Interval, issued []settlement.Issued) (*screen, error) {
	s := &screen{Site: site.Name, Period: closed.Period, currency: site.Currency}
	zone, err := time.LoadLocation(site.Zone)
	if err != nil {
		return nil, err
	}
	s.zone = zone
	totals, err := margin.Total(margin.Rows(f, site.Site, closed.Interval))
	if err != nil {
		return nil, err
	}
	s.energy(f, site, closed.Interval, totals)
	s.margins(totals)
	for _, i := range issued {
		s.Invoices = append(s.Invoices, invoiceReport{i.Invoice.Number, i.Invoice.Buyer.Name, i.Invoice.Subtotal, i.Invoice.Total, i.Invoice.Due, "invoices/" + i.Invoice.Number + ".pdf"})
	}
	s.Findings = summarize(f.Findings())
	for _, terms := range f.PoolAccounts(site.Site) {
		s.Pools = append(s.Pools, poolSummary(f, terms, pool))
		s.Findings = withDays(s.Findings, f.Reconciled(terms.Pool, terms.Account, pool))
	}
	return s, nil
}

func (s *screen) energy(f *facts.Facts, site domain.SiteRegistered, iv domain.Interval, t margin.Totals) {
	b := balance.Sum(balance.Rows(f, site.Site, iv))
	e := energyReport{
		Metered: b.Revenue, Losses: b.Losses, Residual: b.Residual, Closed: b.Closed, Intervals: b.Intervals, Estimated: b.Estimated,
		Mined:       domain.RoundRat(new(big.Rat).Quo(t.Expected, big.NewRat(int64(domain.Bitcoin), 1)), 8),
		LowestPrice: t.LowestPrice, HighestPrice: t.HighestPrice, Negative: t.NegativePrices,
	}
	seconds := big.NewRat(int64(iv.Length()/domain.Second), 1)
	rate := new(big.Rat).SetInt(t.Shares.Hashes().Big())
	e.Hashrate = domain.RoundRat(rate.Quo(rate, seconds.Mul(seconds, big.NewRat(1_000_000_000_000_000, 1))), 1)
	customers := map[domain.CustomerID]bool{}
	for r := range usage.GPU(f, site.Site, iv) {
		e.Served += r.GPU
		customers[r.Customer] = true
	}
	e.Customers = len(customers)
	for _, energy := range b.Uses {
		e.Branches += energy
	}
	for _, d := range f.Decisions(site.Site) {
		if !iv.Contains(d.Interval.Start) {
			continue
		}
		if d.Rests > 0 {
			e.CurtailedIn++
			e.Curtailed += d.Rests.Over(d.Interval.Length())
		}
	}
	s.Energy = e
}

func (s *screen) margins(t margin.Totals) {
	row := func(use string, sum margin.Sum) {
		m := marginReport{Use: use, Energy: sum.Energy, Revenue: sum.Revenue, Cost: sum.Cost, Margin: sum.Margin}
		if sum.Energy > 0 {
			v := domain.Quo(sum.Margin, sum.Energy.MegawattHours(), 2)
			m.PerMWh = &v
		}
		s.Margins = append(s.Margins, m)
	}
	row("mining", t.Mining)
	s.Margins[0].Stated, s.Margins[0].intervals = t.Stated, t.Intervals
	row("ai", t.AI)
	row("overhead", t.Overhead)
	row("site", margin.Sum{
		Energy: t.Mining.Energy + t.AI.Energy + t.Overhead.Energy, Revenue: t.Mining.Revenue.Add(t.AI.Revenue), Cost: t.Cost, Margin: t.Margin,
	})
}

// poolSummary adds up the reconciliations on record for an account.
func poolSummary(f *facts.Facts, terms domain.PoolTerms, iv domain.Interval) poolReport {
	r := poolReport{Pool: terms.Pool, Account: terms.Account}
	r.Scheme, _ = domain.ParseScheme(terms.At(iv.Start).Scheme)
	variance := new(big.Rat) // days are independent
	for _, d := range f.Reconciled(terms.Pool, terms.Account, iv) {
		r.Days++
		r.Expected += d.Expected
		r.Stated += d.Stated
		r.Received += d.Received
		variance.Add(variance, new(big.Rat).SetInt(new(big.Int).Mul(big.NewInt(int64(d.Sigma)), big.NewInt(int64(d.Sigma)))))
		r.Lines = addLines(r.Lines, d.Lines)
		if d.Finding != "" {
			r.Findings = append(r.Findings, fmt.Sprintf("%s: %s", d.Interval.Start.Time().Format("_2 Jan"), d.Finding))
		}
	}
	_, high := domain.Sigma(variance, 0)
	if v, _ := high.Scaled(0); variance.Sign() > 0 {
		r.Sigma = domain.Satoshi(v.Int64())
	}
	return r
}

// summarize joins findings of one kind at one device that follow each other.
func summarize(all []facts.Finding) []findingReport {
	type key struct {
		kind   string
		device domain.DeviceID
		source domain.SourceID
	}
	type run struct {
		first, last facts.Finding
		n           int
	}
	var order []key
	runs := map[key]*run{}
	for _, f := range all {
		k := key{f.Kind, f.Device, f.Source}
		if r := runs[k]; r != nil {
			r.last = f
			r.n += max(f.Readings, 1)
			continue
		}
		order = append(order, k)
		runs[k] = &run{first: f, last: f, n: max(f.Readings, 1)}
	}
	var out []findingReport
	for _, k := range order {
		r := runs[k]
		out = append(out, findingReport{At: r.first.At, Kind: k.kind, Device: k.device, What: words(r.first, r.n)})
	}
	slices.SortStableFunc(out, func(a, b findingReport) int { return cmp.Compare(a.At, b.At) })
	return out
}

// withDays adds the days that have a finding about the pool to what went wrong.
func withDays(all []findingReport, days []domain.PayoutReconciled) []findingReport {
	for _, d := range days {
		if d.Finding != "" {
			all = append(all, findingReport{At: d.Interval.Start, Kind: "pool", Device: domain.DeviceID(d.Pool), What: clipped(d.Finding, 90)})
		}
	}
	slices.SortStableFunc(all, func(a, b findingReport) int { return cmp.Compare(a.At, b.At) })
	return all
}

// words says what a finding means, and how often it was found.
func words(f facts.Finding, n int) string {
	times := ""
	switch {
	case n > 1 && f.Device == "":
		times = fmt.Sprintf(", %s times", thousands(int64(n)))
	case n > 1:
		times = fmt.Sprintf(", %s readings", thousands(int64(n)))
	}
	switch f.Kind {
	case "rollover":
		if n > 1 {
			return fmt.Sprintf("the register wrapped %d times; the rise through each wrap is booked", n)
		}
		return fmt.Sprintf("the register wrapped; %s booked through the wrap", quantity(f))
	case "reset":
		return fmt.Sprintf("restarted; what it counted since is booked%s", times)
	case "replaced":
		return fmt.Sprintf("hardware exchanged; %s booked from both registers", quantity(f))
	case "gap":
		return fmt.Sprintf("no reading for %s; the register's rise is spread evenly%s", f.Interval.Length(), times)
	case "glitch":
		return fmt.Sprintf("register %s is not believed%s", f.Register, times)
	case "silent":
		return "did not answer" + times
	case "corrected":
		return "the source's own log replaces estimates" + times
	case "late":
		return "read late, booked where it belongs" + times
	case "conflict":
		return "another value for what is on record; the record stands" + times
	case "unallocated":
		return "moved by an amount that cannot be known; booked to nobody" + times
	}
	return clipped(f.What, 90-len(times)) + times
}

// clipped cuts a text that is too long for a line.
func clipped(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

func quantity(f facts.Finding) string {
	if v, ok := f.Value.Int64(); ok && f.Channel == domain.ChannelEnergyImport {
		return domain.Energy(v).KilowattHours().Fixed(1) + " kWh"
	}
	return f.Value.String()
}

// print writes the screen as text.
func (s *screen) print(out io.Writer) error {
	var b strings.Builder
	e := s.Energy
	fmt.Fprintf(&b, "%s, %s (seed %d): %s readings in %s events, played in %s\n\n", s.Site, s.Period, s.Seed, thousands(s.Readings), thousands(s.Events), s.Played)
	if e.Closed == e.Intervals {
		rounded, sum := "", domain.Decimal{}
		for _, part := range []domain.Energy{e.Branches, e.Losses, e.Residual} {
			sum = sum.Add(part.MegawattHours().Round(1))
		}
		if sum.Cmp(e.Metered.MegawattHours().Round(1)) != 0 {
			rounded = ", each rounded by itself"
		}
		fmt.Fprintf(&b, "METERED    %s MWh = sub-meters %s + losses %s + residual %s%s; all %s intervals closed\n",
			mwh(e.Metered), mwh(e.Branches), mwh(e.Losses), mwh(e.Residual), rounded, thousands(e.Closed))
	} else {
		fmt.Fprintf(&b, "METERED    %s MWh; residual %s MWh after %s MWh of losses; %s of %s intervals closed\n",
			mwh(e.Metered), mwh(e.Residual), mwh(e.Losses), thousands(e.Closed), thousands(e.Intervals))
	}
	fmt.Fprintf(&b, "MINED      %s BTC expected from the month's accepted work, %s PH/s on average\n", e.Mined.Fixed(8), e.Hashrate.Fixed(1))
	fmt.Fprintf(&b, "SERVED     %s GPU-hours to %d customers\n", group(domain.Quo(domain.NewDecimal(int64(e.Served), 0), domain.NewDecimal(int64(domain.GPUHour), 0), 1).Fixed(1)), e.Customers)
	fmt.Fprintf(&b, "CURTAILED  %s MWh in %s intervals; power was %s to %s %s/MWh, negative in %s intervals\n\n",
		mwh(e.Curtailed), thousands(e.CurtailedIn), e.LowestPrice.Fixed(2), group(e.HighestPrice.Fixed(2)), s.currency, thousands(e.Negative))
	s.printMargins(&b)
	s.printInvoices(&b)
	b.WriteString("\nPOOLS, by UTC day\n")
	for _, p := range s.Pools {
		p.print(&b)
	}
	fmt.Fprintf(&b, "\nWHAT WENT WRONG, AND HOW IT IS BOOKED\n")
	for _, f := range s.Findings {
		fmt.Fprintf(&b, "  %s  %-11s %-9s %s\n", f.At.Time().Format("_2 Jan 15:04Z"), f.Kind, f.Device, f.What)
	}
	fmt.Fprintf(&b, "\nFILES in %s: log/ (the book), checkpoints/ (signed), keys/, evidence/ (raw replies), warehouse/ (DuckDB), invoices/, site.yaml\n", s.Folder)
	fmt.Fprintf(&b, "TRY NEXT\n")
	for _, t := range s.tryNext() {
		fmt.Fprintf(&b, "  %s\n", t)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// printMargins writes the margins. Each figure is rounded by itself, as it is
// in SQL: where a column does not add up as it is shown, that is said.
func (s *screen) printMargins(b *strings.Builder) {
	fmt.Fprintf(b, "MARGIN (%s)  %12s %14s %14s %14s %10s\n", s.currency, "MWh", "revenue", "energy cost", "margin", "per MWh")
	columns := []struct {
		name   string
		places int32
		of     func(marginReport) domain.Decimal
		sum    domain.Decimal // of the figures as they are shown
	}{
		{"MWh", 1, func(m marginReport) domain.Decimal { return m.Energy.MegawattHours() }, domain.Decimal{}},
		{"revenue", 2, func(m marginReport) domain.Decimal { return m.Revenue }, domain.Decimal{}},
		{"energy cost", 2, func(m marginReport) domain.Decimal { return m.Cost }, domain.Decimal{}},
		{"margin", 2, func(m marginReport) domain.Decimal { return m.Margin }, domain.Decimal{}},
	}
	var off []string
	for i, m := range s.Margins {
		per := ""
		if m.PerMWh != nil {
			per = group(m.PerMWh.Fixed(2))
		}
		fmt.Fprintf(b, "  %-11s %12s %14s %14s %14s %10s\n", m.Use, mwh(m.Energy), group(m.Revenue.Fixed(2)), group(m.Cost.Fixed(2)), group(m.Margin.Fixed(2)), per)
		for c := range columns {
			shown := columns[c].of(m).Round(columns[c].places)
			if i < len(s.Margins)-1 {
				columns[c].sum = columns[c].sum.Add(shown)
				continue
			}
			switch d := columns[c].sum.Sub(shown); d.Sign() {
			case 1:
				off = append(off, fmt.Sprintf("%s more in %s", d.Fixed(columns[c].places), columns[c].name))
			case -1:
				off = append(off, fmt.Sprintf("%s less in %s", d.Neg().Fixed(columns[c].places), columns[c].name))
			}
		}
	}
	if m := s.Margins[0]; m.Stated > 0 && m.Stated == m.intervals {
		b.WriteString("  (mining revenue is what the pool states)\n")
	} else if m.Stated > 0 {
		fmt.Fprintf(b, "  (mining revenue is what the pool states in %s of %s intervals, and what accepted work should earn in the others)\n", thousands(m.Stated), thousands(m.intervals))
	}
	if len(off) > 0 {
		fmt.Fprintf(b, "  (each figure is rounded by itself: the lines above add up to %s)\n", strings.Join(off, " and "))
	}
}

// printInvoices writes the invoices, and what they come to without tax.
func (s *screen) printInvoices(b *strings.Builder) {
	b.WriteString("\nINVOICES, with tax\n")
	net, same := domain.Money{Currency: s.currency}, true
	for _, i := range s.Invoices {
		fmt.Fprintf(b, "  %-15s %-30s %16s %s   due %s\n", i.Number, i.Customer, group(i.Total.Amount()), i.Total.Currency, i.Due.Time().In(s.zone).Format("2 Jan 2006"))
		if same = same && i.Subtotal.Currency == net.Currency; same {
			net = net.Add(i.Subtotal)
		}
	}
	if same && len(s.Invoices) > 0 {
		fmt.Fprintf(b, "  without tax they come to %s %s\n", group(net.Amount()), net.Currency)
	}
}

// print writes what became of an account's work, and of what is not received
// the lines, with the spread that luck has by itself.
func (p poolReport) print(b *strings.Builder) {
	fmt.Fprintf(b, "  %s/%s, %s, %d days: expected %s, stated %s, received %s BTC\n", p.Pool, p.Account, strings.ToUpper(string(p.Scheme)), p.Days,
		p.Expected.BTC().Fixed(8), p.Stated.BTC().Fixed(8), p.Received.BTC().Fixed(8))
	fmt.Fprintf(b, "    difference %s sat", thousands(int64(p.Expected-p.Received)))
	if len(p.Lines) > 0 {
		b.WriteString(" = " + bridgeLines(p.Lines, p.Sigma))
	}
	b.WriteString("\n")
}

func (s *screen) tryNext() []string {
	data := ""
	if s.Folder != settingDefaults()["data"] {
		data = " --data " + s.Folder
	}
	next := []string{
		fmt.Sprintf("bin/wattbook explain%s --at %s-14T17:35Z", data, s.Period),
		fmt.Sprintf("bin/wattbook replay%s", data),
	}
	if n := len(s.Invoices); n > 0 {
		next = append(next, fmt.Sprintf("bin/wattbook prove%s --invoice %s -o invoice.proof", data, s.Invoices[n-1].Number))
	}
	return append(next, fmt.Sprintf(`bin/wattbook sql%s "SELECT number, customer_name, total FROM invoices"`, data))
}

func mwh(e domain.Energy) string { return group(e.MegawattHours().Fixed(1)) }

// thousands writes a whole number with separators.
func thousands(v int64) string { return group(fmt.Sprint(v)) }

// group separates the thousands of a plain decimal.
func group(s string) string {
	sign, digits := "", s
	if strings.HasPrefix(s, "-") {
		sign, digits = "-", s[1:]
	}
	whole, fraction, point := strings.Cut(digits, ".")
	var b strings.Builder
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	if point {
		b.WriteString("." + fraction)
	}
	return sign + b.String()
}
