package ingest

import (
	"log/slog"
	"slices"
	"strings"

	"wattbook/domain"
)

// telling is what was said to the operator of devices and sources that are in
// trouble. Trouble that lasts is told when it begins and when it ends, not at
// every poll; what is on record does not depend on it.
type telling struct {
	silent  map[domain.DeviceKey]domain.Instant // since when, of those that are
	refused map[domain.SourceID][]string        // what was last refused of a source
}

// refusal is a reply that was not understood, or not had.
type refusal struct {
	source domain.SourceID
	reason string
}

// round tells of a round that is recorded.
func (t *telling) round(logger *slog.Logger, round Round, refused []refusal) {
	for _, del := range round.Deliveries {
		silent := map[domain.DeviceID]bool{}
		for _, s := range del.Silent {
			k := domain.DeviceKey{Site: round.Site, Device: s.Device}
			silent[s.Device] = true
			if _, known := t.silent[k]; !known {
				t.silent[k] = round.At
				logger.Warn("device is silent", "site", round.Site, "device", s.Device, "at", round.At, "reason", s.Reason)
			}
		}
		for _, s := range del.Samples {
			k := domain.DeviceKey{Site: round.Site, Device: s.Device}
			if since, known := t.silent[k]; known && !silent[s.Device] {
				delete(t.silent, k)
				logger.Warn("device answers again", "site", round.Site, "device", s.Device, "at", round.At, "silent_since", since)
			}
		}
		t.source(logger, round, del.Source, refused)
	}
}

// source tells what is refused of one source that it did not say the last time
// as well. Numbers do not count: they are often of a port or a time.
func (t *telling) source(logger *slog.Logger, round Round, source domain.SourceID, refused []refusal) {
	var now []string
	for _, r := range refused {
		if r.source != source {
			continue
		}
		shape := strings.Map(func(c rune) rune {
			if '0' <= c && c <= '9' {
				return -1
			}
			return c
		}, r.reason)
		now = append(now, shape)
		if !slices.Contains(t.refused[source], shape) {
			logger.Warn("observation is rejected", "site", round.Site, "source", source, "at", round.At, "reason", r.reason)
		}
	}
	if len(now) == 0 && len(t.refused[source]) > 0 {
		delete(t.refused, source)
		logger.Warn("source delivers again", "site", round.Site, "source", source, "at", round.At)
	} else if len(now) > 0 {
		t.refused[source] = now
	}
}
