package domain

import (
	"maps"
	"slices"
)

// Registry is what is known of sites and devices: a pure fold of the events
// that register and exchange them. The zero value knows nothing.
type Registry struct {
	sites     map[SiteID]SiteRegistered
	devices   map[DeviceKey]DeviceRegistered
	exchanges map[exchangeKey]DeviceReplaced
}

// DeviceKey names a device of a site.
type DeviceKey struct {
	Site   SiteID
	Device DeviceID
}

type exchangeKey struct {
	DeviceKey
	Channel Channel
}

// Apply folds the next event. Events that register nothing change nothing.
func (r *Registry) Apply(e Event) {
	if r.sites == nil {
		r.sites = map[SiteID]SiteRegistered{}
		r.devices = map[DeviceKey]DeviceRegistered{}
		r.exchanges = map[exchangeKey]DeviceReplaced{}
	}
	switch e := e.(type) {
	case SiteRegistered:
		r.sites[e.Site] = e
	case DeviceRegistered:
		r.devices[DeviceKey{e.Site, e.Device}] = e
	case DeviceReplaced:
		k := DeviceKey{e.Site, e.Device}
		r.exchanges[exchangeKey{k, e.Channel}] = e
		if d, ok := r.devices[k]; ok {
			d.Serial = e.Serial
			r.devices[k] = d
		}
	}
}

// Site returns the site's latest registration.
func (r *Registry) Site(id SiteID) (SiteRegistered, bool) {
	s, ok := r.sites[id]
	return s, ok
}

// Sites returns the sites by name.
func (r *Registry) Sites() []SiteRegistered {
	var all []SiteRegistered
	for _, id := range slices.Sorted(maps.Keys(r.sites)) {
		all = append(all, r.sites[id])
	}
	return all
}

// Device returns the device's latest registration.
func (r *Registry) Device(site SiteID, id DeviceID) (DeviceRegistered, bool) {
	d, ok := r.devices[DeviceKey{site, id}]
	return d, ok
}

// Devices returns the site's devices by name.
func (r *Registry) Devices(site SiteID) []DeviceRegistered {
	var all []DeviceRegistered
	for k, d := range r.devices {
		if k.Site == site {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b DeviceRegistered) int {
		if a.Device < b.Device {
			return -1
		}
		return 1
	})
	return all
}

// Under returns the site's devices that the meter counts directly, by name.
func (r *Registry) Under(site SiteID, meter DeviceID) []DeviceRegistered {
	return slices.DeleteFunc(r.Devices(site), func(d DeviceRegistered) bool { return d.Under != meter })
}

// Exchange returns the last recorded exchange of a device's register.
func (r *Registry) Exchange(site SiteID, id DeviceID, channel Channel) (DeviceReplaced, bool) {
	e, ok := r.exchanges[exchangeKey{DeviceKey{site, id}, channel}]
	return e, ok
}
