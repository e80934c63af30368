package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/chain"
	"wattbook/ingest/evidence"
	"wattbook/ingest/market"
	"wattbook/ingest/meter"
	"wattbook/ingest/pool"
	"wattbook/ingest/scheduler"
	"wattbook/ingest/utility"
)

func importVerb() verb {
	return verb{
		name: "import", args: "KIND FILE [--site SITE] [--corrects] [flags of the kind]",
		summary: "record facts from a file",
		help: `
Records what a file holds: the same file twice records nothing twice, and a
value that contradicts the record is recorded as a conflict and does not count,
unless --corrects says that the file restates what was recorded before. A file
is recorded whole or refused whole: of the lines that are wrong the first ten
are named, with what to do. If it changes something in a period that is closed,
it says which, and which invoices would come out otherwise now.

The kinds are:
  readings        device,channel,start,end,value,unit
  prices          prices of power; --time-column, --price-column, --zone,
                  --step (15m unless it is given), --allow-gaps, and --node if
                  they are not those of the site's node: a charge may follow
                  the index of another
  bitcoin-prices  likewise, without --node
  difficulty      height,time,bits or difficulty
  block-fees      day,blocks,fees_btc: what the blocks of each UTC day paid
  allocations     what sacct --parsable2 prints; --account NAME=CUSTOMER,
                  --unbilled NAME, --zone
  payouts         a wallet's export: time,txid,address,amount_btc; --address,
                  --pool-account
  statements      a pool's: day,net_btc and, where it tells them, subsidy_btc,
                  fees_btc,pool_fee_btc,other_btc,hashes_per_second,
                  share_difficulty,account; --columns day=Date,net=Earned, --zone,
                  --pool-account
  bills           of the utility: site,from,to,amount,currency,reference,date;
                  from and to are days at the site, to the one after the last
                  that is billed. The accrual of energy is trued up to a bill
                  once its months are closed. The same reference with another
                  amount is a conflict, unless the file --corrects
  contracts       the contracts of a configuration file

Files are text in UTF-8; lines may end as on Windows.

Example: wattbook import readings hall-meter.csv --corrects`,
		run: importFile,
	}
}

// importKinds are the kinds of files with the flags that each has.
func importKinds() map[string][]string {
	prices := []string{"time-column", "price-column", "zone", "step", "allow-gaps", "corrects"}
	return map[string][]string{
		"readings": {"corrects"}, "prices": append([]string{"node"}, prices...), "bitcoin-prices": prices, "difficulty": {}, "block-fees": {},
		"allocations": {"account", "unbilled", "zone"}, "payouts": {"address", "pool-account"}, "statements": {"columns", "zone", "pool-account"}, "contracts": {}, "bills": {"corrects"},
	}
}

// importOptions are the flags of import.
type importOptions struct {
	site, timeColumn, priceColumn, zone, columns string
	poolAccount, node                            string
	step                                         domain.Duration
	corrects, allowGaps                          bool
	accounts, unbilled, addresses                []string
}

func importFile(ctx context.Context, p *program, args []string) error {
	var o importOptions
	step := p.flags.Duration("step", 15*time.Minute, "`length` of a price's interval")
	p.flags.StringVar(&o.site, "site", "", "`site`; needed if the log holds several")
	p.flags.BoolVar(&o.corrects, "corrects", false, "the file restates what was recorded before")
	p.flags.BoolVar(&o.allowGaps, "allow-gaps", false, "read a price file with holes; they stay unknown")
	p.flags.StringVar(&o.timeColumn, "time-column", "", "`column` of the times of a price file")
	p.flags.StringVar(&o.priceColumn, "price-column", "", "`column` of the prices")
	p.flags.StringVar(&o.node, "node", "", "`node` of the market that prices of power are of (default the site's)")
	p.flags.StringVar(&o.zone, "zone", "", "time `zone` of times without an offset")
	p.flags.StringVar(&o.columns, "columns", "", "`names` of the columns of a table of statements, such as day=Date,net=Earned")
	p.flags.StringVar(&o.poolAccount, "pool-account", "", "`account` of the site's pool accounts that it is of, or POOL/ACCOUNT; needed if there are several")
	list := func(name, usage string, to *[]string) {
		p.flags.Func(name, usage+"; may be repeated", func(v string) error {
			*to = append(*to, v)
			return nil
		})
	}
	list("account", "`NAME=CUSTOMER`: whose a scheduler's account is", &o.accounts)
	list("unbilled", "a scheduler's account `NAME` that is nobody's bill", &o.unbilled)
	list("address", "`address` that the pool pays to", &o.addresses)
	rest, err := p.parse(args, 2, 2)
	if err != nil {
		return err
	}
	o.step = domain.DurationOf(*step)
	if err := importFlags(p.flags, rest[0]); err != nil {
		return err
	}
	if o.node != "" {
		if err := domain.CheckID("node", domain.NodeID(o.node)); err != nil {
			return usagef("--node: %v", err)
		}
	}
	return p.withEngine(ctx, func(e *engine) error { return e.importFile(ctx, p, o, rest[0], rest[1]) })
}

// importFlags refuses a kind that is not known, and a flag that it has not.
func importFlags(flags *flag.FlagSet, kind string) error {
	kinds := importKinds()
	if _, ok := kinds[kind]; !ok {
		return usagef("there is no kind %q; did you mean %q?", kind, nearest(kind, sortedKeys(kinds)))
	}
	var all []string
	for _, names := range kinds {
		all = append(all, names...)
	}
	var wrong string
	flags.Visit(func(f *flag.Flag) {
		if slices.Contains(all, f.Name) && !slices.Contains(kinds[kind], f.Name) {
			wrong = f.Name
		}
	})
	if wrong != "" {
		return usagef("--%s means nothing for %s; leave it out", wrong, kind)
	}
	return nil
}

func (e *engine) importFile(ctx context.Context, p *program, o importOptions, kind, path string) error {
	raw, err := os.ReadFile(p.path(path))
	if err != nil {
		return usagef("%v", err)
	}
	site, err := e.siteNamed(o.site)
	if err != nil {
		return err
	}
	f := importedFile{importOptions: o, engine: e, site: site, kind: kind, name: path, path: p.path(path), raw: raw}
	// A book that was played in a time to come goes on in that time.
	f.now = max(e.now(), e.facts.Recorded).Floor(domain.Second)
	d, err := f.read()
	if err != nil {
		if _, usage := errors.AsType[*usageError](err); usage {
			return err
		}
		return fmt.Errorf("%w\nnothing of %s was recorded", err, path)
	}
	from, before := e.facts.Next, e.recorded
	e.recorded = ingest.Report{Marks: map[domain.Mark]int{}}
	err = e.publish(ctx, site.Site, d)
	got := e.recorded
	e.recorded = before
	e.recorded.Add(got)
	if err != nil {
		return err
	}
	report, err := e.imported(ctx, f, got, from)
	if err != nil {
		return err
	}
	if p.common.json {
		err = p.printJSON(report)
	} else {
		report.print(p.stdout, got)
		if odds := got.Conflicts + got.Marks[domain.MarkConflict]; odds > 0 && !o.corrects && slices.Contains(importKinds()[kind], "corrects") {
			fmt.Fprintf(p.stdout, "What contradicts the record does not count. If the file is right, say so: wattbook import %s %s --corrects\n", kind, path)
		}
	}
	if err == nil && (got.Conflicts > 0 || got.Rejected > 0 || got.Marks[domain.MarkConflict] > 0) {
		return errFinding
	}
	return err
}

// importedFile is a file that is being imported.
type importedFile struct {
	importOptions
	engine *engine
	site   domain.SiteRegistered
	kind   string
	name   string // as the command line has it
	path   string // where it is
	raw    []byte
	now    domain.Instant // the latest time that a fact can be about
}

// read decodes the file into a delivery of which all can be recorded.
func (f importedFile) read() (ingest.Delivery, error) {
	if len(f.raw) > evidence.BlobLimit {
		return ingest.Delivery{}, fmt.Errorf("%s: %d bytes are more than %d MiB; split the file", f.name, len(f.raw), evidence.BlobLimit>>20)
	}
	if err := ingest.Text(f.raw); err != nil {
		return ingest.Delivery{}, fmt.Errorf("%s: %w", f.name, err)
	}
	d, err := f.decode(bytes.TrimPrefix(f.raw, []byte("\ufeff")))
	if err != nil {
		return d, err
	}
	var bad ingest.BadLines
	for _, fact := range d.Facts {
		err := ingest.FactFits(fact)
		if err == nil {
			err = f.happened(fact)
		}
		if err != nil {
			bad.Add(fmt.Errorf("%s: %w", f.name, err))
		}
	}
	if err := bad.Err(); err != nil {
		return d, err
	}
	if len(d.Facts)+len(d.Values) == 0 && f.kind != "allocations" {
		return d, fmt.Errorf("%s: the file holds no %s; is it cut off?", f.name, f.kind)
	}
	return d, nil
}

// happened refuses what lies in the future.
func (f importedFile) happened(fact domain.Event) error {
	const clocks = 2 * domain.Hour // by which a block's time may be ahead
	switch e := fact.(type) {
	case domain.DifficultyAdjusted:
		if e.At > f.now.Add(clocks) {
			return fmt.Errorf("block %d has the time %s, in the future: it is %s; correct the date", e.Height, e.At, f.now)
		}
	case domain.BlockFeesPublished:
		if e.Interval.End > f.now {
			return fmt.Errorf("the day %s is not over: it is %s; leave it out", e.Interval.Start.Time().Format(time.DateOnly), f.now)
		}
	case domain.PayoutReceived:
		if e.At > f.now.Add(clocks) {
			return fmt.Errorf("transaction %s has the time %s, in the future: it is %s; correct the date", e.Transaction, e.At, f.now)
		}
	}
	return nil
}

// dayAhead is how far into the future prices of power are published.
const dayAhead = 2 * domain.Day

// decode reads the text of the file by its kind.
func (f importedFile) decode(text []byte) (ingest.Delivery, error) {
	d := fileDelivery(f.raw, f.corrects, max(f.engine.now(), f.now))
	zone, err := f.location()
	if err != nil {
		return d, err
	}
	switch f.kind {
	case "readings":
		strict := meter.Strict{Now: f.now, Fits: f.fits}
		values, err := strict.ReadReadings(bytes.NewReader(text), f.name)
		return readingsFile(values, f.raw, domain.ProvenanceSubMeter, f.corrects, f.engine.now()), err
	case "prices", "bitcoin-prices":
		return f.prices(d, text, zone)
	case "difficulty":
		d.Decoder = "difficulty-csv/1"
		all, err := chain.ReadDifficulty(bytes.NewReader(text), f.name)
		for _, e := range all {
			d.Facts = append(d.Facts, e)
		}
		return d, err
	case "block-fees":
		d.Decoder = "block-fees-csv/1"
		all, err := chain.ReadBlockFees(bytes.NewReader(text), f.name)
		for _, e := range all {
			d.Facts = append(d.Facts, e)
		}
		return d, err
	case "allocations":
		return f.allocations(d, text, zone)
	case "payouts":
		return f.payouts(d, text)
	case "statements":
		return f.statements(d, text, zone)
	case "bills":
		return f.bills(d, text)
	}
	d.Decoder = "configuration/1"
	config, err := readSite(f.path)
	if err != nil {
		return d, err
	}
	if config.Site.ID != f.site.Site {
		return d, fmt.Errorf("%s describes site %s and not %s", f.name, config.Site.ID, f.site.Site)
	}
	for _, c := range config.Contracts {
		signed, wrong := c.event(f.site.Site)
		if err := errors.Join(wrong...); err != nil {
			return d, fmt.Errorf("%s: %w", f.name, err)
		}
		d.Facts = append(d.Facts, signed)
	}
	return d, nil
}

// fits reports why a reading cannot be booked, and which device may be meant
// by one that is not there.
func (f importedFile) fits(v ingest.Value) error {
	err := f.engine.door.Fits(f.site.Site, v)
	if wrong, ok := errors.AsType[*ingest.ValueError](err); ok && wrong.Field == "device" {
		var known []string
		for _, d := range f.engine.facts.Devices(f.site.Site) {
			known = append(known, string(d.Device))
		}
		return &ingest.ValueError{Field: wrong.Field, Err: fmt.Errorf("%w; did you mean %s?", wrong.Err, nearest(string(v.Device), known))}
	}
	return err
}

// allocations reads what sacct prints.
func (f importedFile) allocations(d ingest.Delivery, text []byte, zone *time.Location) (ingest.Delivery, error) {
	d.Decoder = scheduler.DecoderName
	terms := scheduler.Terms{Site: f.site.Site, Customers: map[string]domain.CustomerID{}, Unbilled: f.unbilled, Zone: zone, Now: f.now}
	known := f.customers()
	for _, a := range f.accounts {
		name, customer, ok := strings.Cut(a, "=")
		if !ok {
			return d, usagef("--account %q is not of the form NAME=CUSTOMER", a)
		}
		if _, twice := terms.Customers[name]; twice || slices.Contains(f.unbilled, name) {
			return d, usagef("account %q is given twice; it is one customer's, or unbilled", name)
		}
		if !slices.Contains(known, customer) {
			return d, usagef("--account %s: no contract of %s is with a customer %q; known are %q (wattbook import contracts brings more)", a, f.site.Site, customer, known)
		}
		terms.Customers[name] = domain.CustomerID(customer)
	}
	decoded := terms.Decode(text)
	if len(decoded.Unknown) > 0 {
		var missing []string
		for _, name := range decoded.Unknown {
			missing = append(missing, fmt.Sprintf("--account %s=CUSTOMER", name))
		}
		return d, usagef("%s: jobs are of accounts that no customer is named for: pass %s, or --unbilled NAME for those that are nobody's bill; customers are %q", f.name, strings.Join(missing, " "), known)
	}
	var bad ingest.BadLines
	for _, r := range decoded.Rejected {
		bad.Add(errors.New(strings.Replace(r.Reason, "sacct text", f.name, 1)))
	}
	d.Facts = decoded.Facts
	return d, bad.Err()
}

// customers are those that the site has contracts with.
func (f importedFile) customers() []string {
	var known []string
	for _, id := range f.engine.facts.Contracts(f.site.Site) {
		for _, c := range f.engine.facts.ContractVersions(id) {
			if name := string(c.Buyer.ID); !slices.Contains(known, name) {
				known = append(known, name)
			}
		}
	}
	slices.Sort(known)
	return known
}

// payouts reads a wallet's export.
func (f importedFile) payouts(d ingest.Delivery, text []byte) (ingest.Delivery, error) {
	d.Decoder = pool.WalletDecoder
	of, err := f.account()
	if err != nil {
		return d, err
	}
	var payees []pool.Payee
	for _, a := range f.addresses {
		payees = append(payees, pool.Payee{Address: a, Pool: of.Pool, Account: of.Account})
	}
	if len(payees) == 0 {
		return d, usagef("--address is missing: name the address that the pool pays to")
	}
	all, others, err := pool.ReadPayouts(bytes.NewReader(text), f.name, payees, pool.Columns{})
	for _, e := range all {
		d.Facts = append(d.Facts, e)
	}
	if err == nil && len(all) == 0 && others > 0 {
		err = fmt.Errorf("%s: none of its %d lines pays to %s; is --address right?", f.name, others, strings.Join(f.addresses, " or "))
	}
	return d, err
}

// bills reads bills of the utility.
func (f importedFile) bills(d ingest.Delivery, text []byte) (ingest.Delivery, error) {
	d.Decoder = utility.Decoder
	zone, err := f.engine.facts.Zone(f.site.Zone)
	if err != nil {
		return d, err
	}
	terms := utility.Terms{Site: f.site.Site, Currency: f.site.Currency, Zone: zone, Now: f.now}
	all, err := terms.Read(bytes.NewReader(text), f.name)
	for _, e := range all {
		d.Facts = append(d.Facts, e)
	}
	return d, err
}

// account returns the pool account that a file is of.
func (f importedFile) account() (domain.PoolTerms, error) {
	t, err := oneAccount(f.engine.facts.PoolAccounts(f.site.Site), f.poolAccount, "--pool-account")
	if err != nil {
		return t, usagef("%v", err)
	}
	return t, nil
}

// statements reads a table of the pool's statements.
func (f importedFile) statements(d ingest.Delivery, text []byte, zone *time.Location) (ingest.Delivery, error) {
	d.Decoder = "statement-csv/1"
	columns, err := pool.MapStatementColumns(f.columns)
	if err != nil {
		return d, usagef("--columns: %v", err)
	}
	terms, err := f.account()
	if err != nil {
		return d, err
	}
	of := pool.Stated{Pool: terms.Pool, Account: terms.Account, Subaccount: terms.Account, Zone: zone}
	all, err := pool.ReadStatements(bytes.NewReader(text), f.name, of, columns, f.now)
	for _, e := range all {
		d.Facts = append(d.Facts, e)
	}
	return d, err
}

func (o importOptions) location() (*time.Location, error) {
	if o.zone == "" {
		return nil, nil
	}
	zone, err := time.LoadLocation(o.zone)
	if err != nil {
		return nil, usagef("--zone %q is not an IANA time zone such as America/Chicago", o.zone)
	}
	return zone, nil
}

func (f importedFile) prices(d ingest.Delivery, text []byte, zone *time.Location) (ingest.Delivery, error) {
	options := market.CSV{
		TimeColumn: f.timeColumn, PriceColumn: f.priceColumn, Node: cmp.Or(domain.NodeID(f.node), f.site.Node), Currency: f.site.Currency,
		Step: f.step, Location: zone, AllowGaps: f.allowGaps, Corrects: f.corrects, Until: f.now,
	}
	if options.TimeColumn == "" || options.PriceColumn == "" {
		times, price, err := priceColumns(text, f.name)
		if err != nil {
			return d, err
		}
		if options.TimeColumn == "" {
			options.TimeColumn = times
		}
		if options.PriceColumn == "" {
			options.PriceColumn = price
		}
	}
	if f.kind == "prices" {
		d.Decoder, options.Until = "power-price-csv/1", f.now.Add(dayAhead)
		all, err := market.ReadPowerPrices(bytes.NewReader(text), f.name, options)
		for _, e := range all {
			d.Facts = append(d.Facts, e)
		}
		return d, err
	}
	d.Decoder, options.Node = "bitcoin-price-csv/1", ""
	all, err := market.ReadBitcoinPrices(bytes.NewReader(text), f.name, options)
	for _, e := range all {
		d.Facts = append(d.Facts, e)
	}
	return d, err
}

// priceColumns finds the columns of a price file: the first is the time, and
// the price is the one that says so, a real-time price rather than another.
func priceColumns(raw []byte, path string) (times, price string, err error) {
	header, err := csv.NewReader(bytes.NewReader(raw)).Read()
	if err != nil || len(header) < 2 {
		return "", "", fmt.Errorf("%s:1: want a line of column names with commas between them, such as time,price", path)
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	named := slices.DeleteFunc(slices.Clone(header[1:]), func(c string) bool {
		return !strings.Contains(strings.ToLower(c), "price") && !strings.Contains(strings.ToLower(c), "usd")
	})
	for _, c := range named {
		if strings.Contains(strings.ToLower(c), "real_time") {
			return header[0], c, nil
		}
	}
	switch len(named) {
	case 1:
		return header[0], named[0], nil
	case 0:
		return "", "", fmt.Errorf("%s:1: no column of %q says price; begin the file with a line such as time,price, or name the column with --price-column", path, header)
	}
	return "", "", fmt.Errorf("%s:1: the columns %q may all be prices; name one with --price-column", path, named)
}

// fileDelivery is a delivery whose identity is the file's bytes.
func fileDelivery(raw []byte, corrects bool, now domain.Instant) ingest.Delivery {
	return ingest.Delivery{
		Source: domain.SourceID("file." + domain.DigestOf(raw).Short()), Observed: now, Raw: raw, Corrects: corrects,
	}
}

// readingsFile is the delivery of a file of readings.
func readingsFile(values []ingest.Value, raw []byte, p domain.Provenance, corrects bool, now domain.Instant) ingest.Delivery {
	d := fileDelivery(raw, corrects, now)
	d.Decoder, d.Values = meter.DailyDecoder, values
	for i := range d.Values {
		d.Values[i].Provenance = p
	}
	return d
}
