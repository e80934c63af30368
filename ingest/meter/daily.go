package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// DailyDecoder names the decoder of interval files.
const DailyDecoder = "readings-csv/1"

// dailyLimit bounds the size of a file: a year of five-minute intervals of ten
// meters would not fit into a day.
const dailyLimit = 16 << 20

// DailyConfig describes the files in which a meter, or its gateway, uploads
// what it counted on each UTC day.
type DailyConfig struct {
	Name  domain.SourceID
	Every domain.Duration // between polls, a multiple of the site's step
	URL   string          // of a day's file; {day} is the date, 2026-10-14
	Days  int             // how many days back a file is still asked for; 0 means 7
	// Provenance is that of the meter whose log the files are.
	Provenance domain.Provenance
	Client     *http.Client
	Now        func() domain.Instant
	Logger     *slog.Logger
}

// Daily fetches a day's interval file once it is there. It implements
// [ingest.Source]. A file that is not there yet (404) is waited for; a day
// that is older than Days is not asked for any more.
type Daily struct {
	config DailyConfig
	had    map[string]bool // days that were delivered, by date
}

var _ ingest.Source = (*Daily)(nil)

// NewDaily returns a source of interval files.
func NewDaily(c DailyConfig) (*Daily, error) {
	switch {
	case !strings.Contains(c.URL, "{day}"):
		return nil, fmt.Errorf("interval files of %s: url %q has no {day}", c.Name, c.URL)
	case c.Every <= 0:
		return nil, fmt.Errorf("interval files of %s: every %s is not positive", c.Name, c.Every)
	case c.Provenance == 0:
		return nil, fmt.Errorf("interval files of %s: provenance is missing", c.Name)
	case c.Days < 0:
		return nil, fmt.Errorf("interval files of %s: days %d is negative", c.Name, c.Days)
	}
	if c.Days == 0 {
		c.Days = 7
	}
	return &Daily{config: c, had: map[string]bool{}}, nil
}

// Name implements [ingest.Source].
func (d *Daily) Name() domain.SourceID { return d.config.Name }

// Every implements [ingest.Source].
func (d *Daily) Every() domain.Duration { return d.config.Every }

// Poll implements [ingest.Source]. It delivers the oldest file that is there
// and was not delivered; the others follow with the next polls. After a
// restart files are delivered again, and found to be on record.
func (d *Daily) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	delivery := ingest.Delivery{Decoder: DailyDecoder, Observed: d.config.Now()}
	for back := d.config.Days; back >= 1; back-- {
		day := at.Floor(domain.Day).Add(-domain.Day * domain.Duration(back)).Time().Format(time.DateOnly)
		if d.had[day] {
			continue
		}
		raw, err := d.fetch(ctx, day)
		if err != nil {
			return ingest.Delivery{}, err
		}
		if raw == nil {
			continue
		}
		delivery.Raw = raw
		delivery.Values, err = ReadReadings(bytes.NewReader(raw), day+".csv")
		if err != nil {
			delivery.Rejected = append(delivery.Rejected, ingest.Rejection{Reason: err.Error()})
		}
		for i := range delivery.Values {
			delivery.Values[i].Provenance = d.config.Provenance
		}
		d.had[day] = true
		break
	}
	for day := range d.had { // those that are not asked for any more
		if t, err := time.Parse(time.DateOnly, day); err == nil && domain.At(t) < at.Add(-domain.Day*domain.Duration(d.config.Days+2)) {
			delete(d.had, day)
		}
	}
	return delivery, nil
}

// fetch returns the day's file, or nil if it is not there yet.
func (d *Daily) fetch(ctx context.Context, day string) ([]byte, error) {
	url := strings.ReplaceAll(d.config.URL, "{day}", day)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("interval file %s: %w", url, err)
	}
	resp, err := d.config.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("interval file %s: %w", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, dailyLimit+1))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("interval file %s: server answers %s", url, resp.Status)
	case err != nil:
		return nil, fmt.Errorf("interval file %s: %w", url, err)
	case len(body) > dailyLimit:
		return nil, fmt.Errorf("interval file %s: longer than %d MiB", url, dailyLimit>>20)
	case len(body) == 0:
		return nil, errors.New("interval file " + url + ": it is empty")
	}
	return body, nil
}
