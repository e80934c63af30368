package rating

import (
	"fmt"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// differ names the first thing that two versions of a contract differ in and
// that an invoice has one of; empty: they can stand on one invoice.
func differ(a, b domain.ContractSigned) string {
	switch {
	case a.Site != b.Site:
		return "site"
	case a.Zone != b.Zone:
		return "zone"
	case a.Buyer.ID != b.Buyer.ID:
		return "customer"
	case a.Currency != b.Currency:
		return "currency"
	case !a.Tax.Rate.Equal(b.Tax.Rate) || a.Tax.Kind() != b.Tax.Kind():
		return "tax"
	}
	return ""
}

// Beside returns the term of a contract's next version that keeps months from
// being billed once it is signed beside what is on record, or nil: it begins
// inside a month and differs from the version before it in what an invoice has
// one of, or another contract charges the same GPU time.
func Beside(f *facts.Facts, next domain.ContractSigned) (*domain.TermError, error) {
	fail := func(path, format string, args ...any) (*domain.TermError, error) {
		return &domain.TermError{Contract: next.Contract, Path: path, Rule: fmt.Sprintf(format, args...)}, nil
	}
	var versions []domain.ContractSigned
	for _, v := range f.ContractVersions(next.Contract) {
		if v.Version < next.Version {
			versions = append(versions, v)
		}
	}
	versions = append(versions, next)
	for _, v := range versions {
		zone, err := f.Zone(v.Zone)
		if err != nil {
			return nil, err
		}
		local := next.Start.Time().In(zone)
		period := domain.Period{Year: local.Year(), Month: local.Month()}
		for _, t := range facts.TermsOf(versions, period.In(zone)) {
			what := differ(t.ContractSigned, next)
			switch what {
			case "":
				continue
			case "site", "zone":
				return fail(what, "version %d is of another %s than version %d, which is in force in %s too; end the contract and sign a new one under an id of its own", next.Version, what, t.Version, period)
			}
			return fail("start", "version %d begins inside %s and has another %s than version %d, and an invoice has one %s; start it at the first of a month in %s: %s-01 or %s-01",
				next.Version, period, what, t.Version, what, v.Zone, period, period.Next())
		}
	}
	if !chargesGPUs(next) {
		return nil, nil
	}
	for _, id := range f.Contracts(next.Site) {
		for _, u := range f.InForce(id, next.InForce()) {
			if id != next.Contract && u.Buyer.ID == next.Buyer.ID && chargesGPUs(u.ContractSigned) {
				return fail("start", "contract %s charges the GPU time of customer %s from %s on, too, and no hour may be billed twice; end that one first, or start this one when it has ended", id, next.Buyer.ID, max(u.Interval.Start, next.Start))
			}
		}
	}
	return nil, nil
}
