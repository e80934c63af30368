package domain

import (
	"errors"
	"fmt"
	"slices"
)

// Use is what energy is used for.
type Use string

// The uses of energy at a site.
const (
	UseMining   Use = "mining"
	UseAI       Use = "ai"
	UseOverhead Use = "overhead" // cooling, lighting, offices
)

// Uses returns the uses in the order in which reports list them.
func Uses() []Use { return []Use{UseMining, UseAI, UseOverhead} }

// SiteRegistered records a site and the rules of its dispatch. A later one
// for the same site replaces the terms from From on or, without it, from its
// recording on; what is over keeps those that held then. Step never changes.
type SiteRegistered struct {
	Site         SiteID   `json:"site"`
	Name         string   `json:"name"`
	Zone         string   `json:"zone"`          // IANA name, for display and billing periods
	Step         Duration `json:"step"`          // metering interval: readings are aligned to it
	Currency     Currency `json:"currency"`      // of its power and its margins
	Node         NodeID   `json:"node"`          // settlement point that its power is priced at
	RevenueMeter DeviceID `json:"revenue_meter"` // the meter that the utility bills by
	// LossPortion is the energy lost between the revenue meter and the
	// sub-meters, as a portion of what the sub-meters count: 0.012 is 1.2 %.
	LossPortion Decimal `json:"loss_portion"`
	// Pool is the pool account that gets the work of all miners but those that
	// another account names.
	Pool PoolTerms `json:"pool"`
	// Accounts are further pool accounts, each of which gets the work of the
	// miners that it names.
	Accounts []PoolTerms  `json:"pool_accounts,omitempty"`
	Dispatch DispatchRule `json:"dispatch"`
	From     Instant      `json:"from,omitzero"` // when these terms begin to hold; means nothing in a site's first registration
}

// Validate reports why no book could be kept of the site, or nil.
func (s SiteRegistered) Validate() error {
	if err := CheckID("site", s.Site); err != nil {
		return err
	}
	if s.Step < Second || Day%s.Step != 0 {
		return fmt.Errorf("site %s: step %s is no metering interval of 1s or more that divides a day", s.Site, s.Step)
	}
	if err := s.checkAccounts(); err != nil {
		return fmt.Errorf("site %s: %w", s.Site, err)
	}
	return nil
}

// checkAccounts reports why work could be counted to no account, or to two.
func (s SiteRegistered) checkAccounts() error {
	if len(s.Accounts) > 0 && s.Pool.Pool == "" {
		return errors.New("it has further pool accounts and no first one, which gets the work of all other miners")
	}
	if len(s.Pool.Miners) > 0 {
		return fmt.Errorf("pool account %s names miners: the first account gets the work of all that no other names", s.Pool.Name())
	}
	seen := map[string]bool{s.Pool.Name(): true}
	of := map[DeviceID]string{}
	for _, a := range s.Accounts {
		name := a.Name()
		switch {
		case a.Pool == "" || a.Account == "":
			return fmt.Errorf("pool account %q lacks its pool or its account", name)
		case seen[name]:
			return fmt.Errorf("pool account %s is described twice", name)
		case len(a.Miners) == 0:
			return fmt.Errorf("pool account %s gets no work: name its miners, or the meters above them", name)
		}
		seen[name] = true
		for _, m := range a.Miners {
			if of[m] != "" {
				return fmt.Errorf("%s works for %s and for %s: its work would count twice", m, of[m], name)
			}
			of[m] = name
		}
		if err := a.Validate(); err != nil {
			return fmt.Errorf("pool account %s: %w", name, err)
		}
	}
	return nil
}

// PoolAccounts returns the pool accounts that the site works for, the first
// one first.
func (s SiteRegistered) PoolAccounts() []PoolTerms {
	if s.Pool.Pool == "" {
		return nil
	}
	return append([]PoolTerms{s.Pool}, s.Accounts...)
}

// PoolAccount returns the terms of one of them.
func (s SiteRegistered) PoolAccount(pool PoolID, account string) (PoolTerms, bool) {
	if s.Pool.Pool == pool && s.Pool.Account == account && pool != "" {
		return s.Pool, true
	}
	for _, t := range s.Accounts {
		if t.Pool == pool && t.Account == account {
			return t, true
		}
	}
	return PoolTerms{}, false
}

// PoolTerms are a pool account of a site and the terms on which it pays.
type PoolTerms struct {
	Pool    PoolID  `json:"pool"`
	Account string  `json:"account"`
	Scheme  string  `json:"scheme"` // see [Scheme]
	Fee     Decimal `json:"fee_portion"`
	// Hashrate is what the whole pool does, hashes per second, by which luck
	// is told from loss under the schemes that depend on it; 0: not known.
	Hashrate Int128 `json:"pool_hashes_per_second,omitzero"`
	// Threshold is the balance below which the pool pays nothing out.
	Threshold Satoshi `json:"threshold_satoshi,omitempty"`
	// DayStart is when the pool's day begins, after midnight UTC: 16h for a
	// pool that counts days in UTC+8.
	DayStart Duration `json:"day_start,omitzero"`
	// Rates are the later changes of the terms, by time.
	Rates []PoolRate `json:"rates,omitempty"`
	// Miners are those whose work the account gets: miners, and meters that
	// stand for all miners below them. The site's first account names none.
	Miners []DeviceID `json:"miners,omitempty"`
}

// Name names the account as people do: its pool, a slash and the account.
func (t PoolTerms) Name() string { return string(t.Pool) + "/" + t.Account }

// DispatchRule holds the limits that every allocation decision obeys.
type DispatchRule struct {
	Limit   Power    `json:"limit_milliwatts"`         // of the grid connection
	Ramp    Power    `json:"ramp_milliwatts_per_step"` // greatest change of the site's power between two intervals
	MinOn   Duration `json:"min_on"`                   // a load that was started stays on so long
	MinOff  Duration `json:"min_off"`                  // a load that was stopped stays off so long
	Adder   Decimal  `json:"adder_per_megawatt_hour"`  // delivery charges on top of the published price
	Reserve Power    `json:"reserve_milliwatts"`       // overhead that is always drawn
}

// DeviceKind is what a device is.
type DeviceKind string

// The kinds of device.
const (
	KindMeter DeviceKind = "meter"
	KindMiner DeviceKind = "miner"
	KindGPU   DeviceKind = "gpu"
)

// DeviceRegistered records a device, its place in the metering tree and what
// its registers can do. A later one for the same device replaces it from its
// position on; the identity of the hardware changes by [DeviceReplaced].
type DeviceRegistered struct {
	Site   SiteID     `json:"site"`
	Device DeviceID   `json:"device"`
	Kind   DeviceKind `json:"kind"`
	Model  string     `json:"model,omitempty"`
	Serial string     `json:"serial,omitempty"`
	// Under names the meter that counts this device's energy: a sub-meter's
	// is the meter upstream of it. Empty for the revenue meter only.
	Under DeviceID `json:"under,omitempty"`
	Use   Use      `json:"use,omitempty"`
	// Units is how many identical machines answer behind one address: a rack
	// controller answers for all of its miners. 1 for a single machine.
	Units int64 `json:"units"`
	// RatedPower is the greatest power that the device and what hangs on it
	// can physically draw. Register movements beyond it are not believed.
	RatedPower Power `json:"rated_power_milliwatts,omitempty"`
	// RatedHashes is the greatest work per second that a miner can do.
	RatedHashes Int128 `json:"rated_hashes_per_second,omitzero"`
	// TypicalPower and TypicalHashes are what a miner draws and does when it
	// runs; the dispatcher uses them until the meters have shown better.
	TypicalPower  Power  `json:"typical_power_milliwatts,omitempty"`
	TypicalHashes Int128 `json:"typical_hashes_per_second,omitzero"`
	// Host is the node that a GPU is built into.
	Host string `json:"host,omitempty"`
}

// Validate reports the first field that cannot be.
func (d DeviceRegistered) Validate() error {
	if err := CheckID("device", d.Device); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]DeviceKind{KindMeter, KindMiner, KindGPU}, d.Kind):
		return fmt.Errorf("device %s: kind %q; want meter, miner or gpu", d.Device, d.Kind)
	case d.Under != "" && !slices.Contains(Uses(), d.Use):
		return fmt.Errorf("device %s: use %q; want mining, ai or overhead", d.Device, d.Use)
	case d.Units < 1:
		return fmt.Errorf("device %s: units %d; want 1 or more", d.Device, d.Units)
	case d.RatedPower < 0 || d.TypicalPower < 0 || d.RatedHashes.Sign() < 0:
		return fmt.Errorf("device %s: a rating is negative", d.Device)
	case d.Kind != KindMiner && d.RatedPower == 0:
		return fmt.Errorf("device %s: a %s needs rated_power, the bound on what it can count", d.Device, d.Kind)
	case d.Kind == KindMiner && d.RatedHashes.Sign() == 0:
		return fmt.Errorf("device %s: a miner needs rated_hashes, the bound on what it can count", d.Device)
	}
	return nil
}

// DeviceReplaced records that the hardware of a device was exchanged at an
// instant, with the last index of the old register and the first of the new.
type DeviceReplaced struct {
	Site    SiteID   `json:"site"`
	Device  DeviceID `json:"device"`
	Channel Channel  `json:"channel"`
	At      Instant  `json:"at"`
	Serial  string   `json:"serial"`
	Final   Int128   `json:"final_register"`
	Initial Int128   `json:"initial_register"`
	Origin  Origin   `json:"origin"`
}

// Origin says where a fact from outside comes from.
type Origin struct {
	Source   SourceID `json:"source"`
	Observed Instant  `json:"observed"`          // when the source had it, by the source's own account
	Decoder  string   `json:"decoder,omitempty"` // name and version of what turned the reply into the fact
	Evidence Digest   `json:"evidence,omitzero"` // of the raw bytes that were received
}
