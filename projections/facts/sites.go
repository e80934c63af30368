package facts

import (
	"cmp"
	"fmt"
	"slices"

	"wattbook/domain"
)

// siteTerms are a registration of a site, and from when on it holds.
type siteTerms struct {
	domain.SiteRegistered
	from domain.Instant
}

// site books a registration. The first holds for all time, since a book may
// be filled with history; a later one holds from when it says or, if it says
// nothing, from its recording on, so that what is over keeps its terms. The
// metering interval is for ever: readings are aligned to it.
func (f *Facts) site(e domain.SiteRegistered, rec domain.Recorded) (domain.SiteRegistered, error) {
	t, ok := f.sites[e.Site]
	switch {
	case ok && t.Step != e.Step:
		f.contradict(e.Site, rec, domain.Origin{Observed: rec.RecordedAt}, fmt.Sprintf("the metering interval of site %s is %s; %s was registered", e.Site, t.Step, e.Step))
		e.Step = t.Step
	case e.Step <= 0:
		return e, fmt.Errorf("site %s has a step of %s", e.Site, e.Step)
	case !ok:
		t = newTable(e.Step, f.area)
		f.sites[e.Site] = t
		for _, d := range f.Devices(e.Site) { // registered before their site
			t.place(d, rec.Position)
		}
		f.terms[e.Site] = []siteTerms{{e, -forever}}
		return e, nil
	}
	from := e.From
	if from == 0 {
		from = rec.RecordedAt
	}
	f.terms[e.Site] = insert(f.terms[e.Site], siteTerms{e, from}, func(s siteTerms) domain.Instant { return s.from })
	return e, nil
}

// SiteAt returns the terms of a site that hold at an instant.
func (f *Facts) SiteAt(id domain.SiteID, at domain.Instant) (domain.SiteRegistered, bool) {
	all := f.terms[id]
	i, _ := slices.BinarySearchFunc(all, at+1, func(s siteTerms, t domain.Instant) int { return cmp.Compare(s.from, t) })
	if i == 0 {
		return domain.SiteRegistered{}, false
	}
	return all[i-1].SiteRegistered, true
}

// TermsFrom returns from when on the later terms of a site hold, in order.
func (f *Facts) TermsFrom(id domain.SiteID) (all []domain.Instant) {
	for i, s := range f.terms[id] {
		if i > 0 {
			all = append(all, s.from)
		}
	}
	return all
}

// PoolTermsAt returns the terms of a site that hold at an instant as to its
// pool accounts. Before it named its first account, those that name it hold: the
// miners worked for it without the book knowing.
func (f *Facts) PoolTermsAt(id domain.SiteID, at domain.Instant) (domain.SiteRegistered, bool) {
	s, ok := f.SiteAt(id, at)
	if !ok || s.Pool.Pool != "" {
		return s, ok
	}
	for _, later := range f.terms[id] {
		if later.from > at && later.Pool.Pool != "" {
			return later.SiteRegistered, true
		}
	}
	return s, ok
}

// PoolAccounts returns the pool accounts that a site works for, the first one
// first, and then those that it has worked for. Each has the latest terms that
// are on record of it.
func (f *Facts) PoolAccounts(id domain.SiteID) (all []domain.PoolTerms) {
	site, ok := f.Site(id)
	if !ok {
		return nil
	}
	all = site.PoolAccounts()
	for _, before := range slices.Backward(f.terms[id]) {
		for _, t := range before.PoolAccounts() {
			if !slices.ContainsFunc(all, func(o domain.PoolTerms) bool { return o.Name() == t.Name() }) {
				all = append(all, t)
			}
		}
	}
	return all
}

// PoolAccount returns the latest terms of a pool account that a site works for
// or has worked for.
func (f *Facts) PoolAccount(id domain.SiteID, pool domain.PoolID, account string) (domain.PoolTerms, bool) {
	for _, t := range f.PoolAccounts(id) {
		if t.Pool == pool && t.Account == account {
			return t, true
		}
	}
	return domain.PoolTerms{}, false
}

// WorksFor returns the pool account that a device works for under the terms of
// its site: the one that names the device, or a meter above it, or else the
// first one.
func (f *Facts) WorksFor(site domain.SiteRegistered, device domain.DeviceID) domain.PoolTerms {
	for range maxDepth {
		for _, a := range site.Accounts {
			if slices.Contains(a.Miners, device) {
				return a
			}
		}
		d, ok := f.Device(site.Site, device)
		if !ok || d.Under == "" {
			break
		}
		device = d.Under
	}
	return site.Pool
}

// Begins returns when the book of a site begins: where the first of its meters
// went into service. It reports false for a site without meters.
func (f *Facts) Begins(site domain.SiteID) (begins domain.Instant, ok bool) {
	for _, d := range f.Devices(site) {
		if d.Kind != domain.KindMeter {
			continue
		}
		if since, _ := f.Since(site, d.Device); !ok || since < begins {
			begins, ok = since, true
		}
	}
	return begins, ok
}
