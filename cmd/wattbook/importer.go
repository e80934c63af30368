package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/chain"
	"wattbook/ingest/market"
	"wattbook/ingest/meter"
	"wattbook/ingest/pool"
	"wattbook/ingest/scheduler"
)

func importVerb() verb {
	return verb{
		name: "import", args: "KIND FILE [--site SITE] [--corrects] [flags of the kind]",
		summary: "record facts from a file",
		help: `
Records what a file holds: the same file twice records nothing twice, and a
value that contradicts the record is recorded as a conflict and does not count,
unless --corrects says that the file restates what was recorded before. A file
is read whole or refused whole, with the line and what to do.

The kinds are:
  readings        device,channel,start,end,value,unit
  prices          15-minute prices of power; --time-column, --price-column,
                  --zone, --step, --allow-gaps
  bitcoin-prices  likewise
  difficulty      height,time,bits or difficulty
  allocations     what sacct --parsable2 prints; --account NAME=CUSTOMER, --zone
  payouts         a wallet's export: time,txid,address,amount_btc; --address
  contracts       the contracts of a configuration file

Example: wattbook import readings hall-meter.csv --corrects`,
		run: importFile,
	}
}

// importOptions are the flags of import.
type importOptions struct {
	site, timeColumn, priceColumn, zone string
	step                                domain.Duration
	corrects, allowGaps                 bool
	accounts, addresses                 []string
}

func importFile(ctx context.Context, p *program, args []string) error {
	var o importOptions
	step := p.flags.Duration("step", 15*time.Minute, "`length` of a price's interval")
	p.flags.StringVar(&o.site, "site", "", "`site`; needed if the log holds several")
	p.flags.BoolVar(&o.corrects, "corrects", false, "the file restates what was recorded before")
	p.flags.BoolVar(&o.allowGaps, "allow-gaps", false, "read a price file with holes; they stay unknown")
	p.flags.StringVar(&o.timeColumn, "time-column", "", "`column` of the times of a price file")
	p.flags.StringVar(&o.priceColumn, "price-column", "", "`column` of the prices")
	p.flags.StringVar(&o.zone, "zone", "", "time `zone` of times without an offset")
	p.flags.Func("account", "`NAME=CUSTOMER`: whose a scheduler's account is; may be repeated", func(v string) error {
		o.accounts = append(o.accounts, v)
		return nil
	})
	p.flags.Func("address", "`address` that the pool pays to; may be repeated", func(v string) error {
		o.addresses = append(o.addresses, v)
		return nil
	})
	rest, err := p.parse(args, 2, 2)
	if err != nil {
		return err
	}
	o.step = domain.DurationOf(*step)
	return p.withEngine(ctx, func(e *engine) error { return e.importFile(ctx, p, o, rest[0], rest[1]) })
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
	d, err := o.read(site, kind, path, raw, e.now())
	if err != nil {
		return err
	}
	before := e.recorded
	e.recorded = ingest.Report{Marks: map[domain.Mark]int{}}
	err = e.publish(ctx, site.Site, d)
	got := e.recorded
	e.recorded = before
	e.recorded.Add(got)
	if err != nil {
		return err
	}
	if p.common.json {
		if err := p.printJSON(got); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.stdout, "%s: %s\n", path, got)
	}
	if got.Conflicts > 0 || got.Rejected > 0 || got.Marks[domain.MarkConflict] > 0 {
		return errFinding
	}
	return nil
}

// read decodes a file of a kind into a delivery.
func (o importOptions) read(site domain.SiteRegistered, kind, path string, raw []byte, now domain.Instant) (ingest.Delivery, error) {
	d := fileDelivery(raw, o.corrects, now)
	zone, err := o.location()
	if err != nil {
		return d, err
	}
	switch kind {
	case "readings":
		values, err := meter.ReadReadings(bytes.NewReader(raw), path)
		return readingsFile(values, raw, domain.ProvenanceSubMeter, o.corrects, now), err
	case "prices", "bitcoin-prices":
		return o.prices(d, site, kind, path, raw, zone)
	case "difficulty":
		d.Decoder = "difficulty-csv/1"
		all, err := chain.ReadDifficulty(bytes.NewReader(raw), path)
		for _, f := range all {
			d.Facts = append(d.Facts, f)
		}
		return d, err
	case "allocations":
		d.Decoder = scheduler.DecoderName
		terms := scheduler.Terms{Site: site.Site, Customers: map[string]domain.CustomerID{}, Zone: zone}
		for _, a := range o.accounts {
			name, customer, ok := strings.Cut(a, "=")
			if !ok {
				return d, usagef("--account %q is not of the form NAME=CUSTOMER", a)
			}
			terms.Customers[name] = domain.CustomerID(customer)
		}
		decoded := terms.Decode(raw)
		d.Facts, d.Rejected = decoded.Facts, decoded.Rejected
		return d, nil
	case "payouts":
		d.Decoder = "wallet-csv/1"
		var payees []pool.Payee
		for _, a := range o.addresses {
			payees = append(payees, pool.Payee{Address: a, Pool: site.Pool.Pool, Account: site.Pool.Account})
		}
		if len(payees) == 0 {
			return d, usagef("--address is missing: name the address that the pool pays to")
		}
		all, _, err := pool.ReadPayouts(bytes.NewReader(raw), path, payees, pool.Columns{})
		for _, f := range all {
			d.Facts = append(d.Facts, f)
		}
		return d, err
	case "contracts":
		d.Decoder = "configuration/1"
		config, err := readSite(path)
		if err != nil {
			return d, err
		}
		for _, c := range config.Contracts {
			d.Facts = append(d.Facts, c.event(site.Site))
		}
		return d, nil
	}
	kinds := []string{"readings", "prices", "bitcoin-prices", "difficulty", "allocations", "payouts", "contracts"}
	return d, usagef("there is no kind %q; did you mean %q?", kind, nearest(kind, kinds))
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

func (o importOptions) prices(d ingest.Delivery, site domain.SiteRegistered, kind, path string, raw []byte, zone *time.Location) (ingest.Delivery, error) {
	options := market.CSV{
		TimeColumn: o.timeColumn, PriceColumn: o.priceColumn, Node: site.Node, Currency: site.Currency,
		Step: o.step, Location: zone, AllowGaps: o.allowGaps, Corrects: o.corrects,
	}
	if options.TimeColumn == "" || options.PriceColumn == "" {
		times, price, err := priceColumns(raw, path)
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
	if kind == "prices" {
		d.Decoder = "power-price-csv/1"
		all, err := market.ReadPowerPrices(bytes.NewReader(raw), path, options)
		for _, f := range all {
			d.Facts = append(d.Facts, f)
		}
		return d, err
	}
	d.Decoder, options.Node = "bitcoin-price-csv/1", ""
	all, err := market.ReadBitcoinPrices(bytes.NewReader(raw), path, options)
	for _, f := range all {
		d.Facts = append(d.Facts, f)
	}
	return d, err
}

// priceColumns finds the columns of a price file: the first is the time, and
// the price is the one that says so, a real-time price rather than another.
func priceColumns(raw []byte, path string) (times, price string, err error) {
	header, err := csv.NewReader(bytes.NewReader(raw)).Read()
	if err != nil || len(header) < 2 {
		return "", "", fmt.Errorf("%s:1: want a line of column names, the time and the price among them", path)
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
		return "", "", fmt.Errorf("%s:1: no column of %q says price; name it with --price-column", path, header)
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
