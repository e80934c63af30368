package warehouse_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"wattbook/domain"
)

// TestReadingsAreStoredAsTheyWereRecorded publishes readings of extreme values,
// of several sites and without an origin, in an order that is not that of the
// file, and reads them back as the file has them.
func TestReadingsAreStoredAsTheyWereRecorded(t *testing.T) {
	s := siteOf(t, month+"\nsite alder step=5m zone=Asia/Kolkata\nmeter revenue\n", nil)
	at := func(minutes int64) domain.Interval {
		start := domain.Unix(1_791_500_400).Add(domain.Duration(minutes) * domain.Minute)
		return domain.Interval{Start: start, End: start.Add(5 * domain.Minute)}
	}
	big := domain.Int128{Hi: 1<<32 - 1, Lo: 1<<64 - 1}
	digest := domain.DigestOf([]byte("a reply"))
	batches := []domain.ReadingsRecorded{
		{Site: "cedar", At: at(5).End, Origin: domain.Origin{Source: "s-1", Observed: at(5).End, Evidence: digest}, Readings: []domain.Reading{
			{Device: "m1", Channel: domain.ChannelShares, Interval: at(5), Value: big, Register: big, Mark: domain.MarkNormal, Provenance: domain.ProvenanceFirmwareMeasured},
			{Device: "c1", Channel: domain.ChannelEnergyImport, Interval: at(5), Value: domain.Int(1), Mark: domain.MarkNormal, Provenance: domain.ProvenanceSubMeter},
			{Device: "c1", Channel: domain.ChannelEnergyImport, Interval: at(0), Value: domain.Int(1 << 62), Mark: domain.MarkCorrected, Provenance: domain.ProvenanceEdited},
		}},
		{Site: "alder", At: at(5).End, Readings: []domain.Reading{
			{Device: "revenue", Channel: domain.ChannelEnergyImport, Interval: at(5), Value: domain.Int(7), Mark: domain.MarkSilent, Provenance: domain.ProvenanceRevenueMeter},
		}},
	}
	var want []string
	add := func(position int, row int, day string) {
		b := batches[position]
		r := b.Readings[row]
		from, observed, evidence := "<nil>", "<nil>", "<nil>"
		if b.Origin.Source != "" {
			from, observed, evidence = "s-1", strings.Replace(strings.TrimSuffix(b.Origin.Observed.String(), "Z"), "T", " ", 1), digest.String()
		}
		text := func(t domain.Instant) string {
			return strings.Replace(strings.TrimSuffix(t.String(), "Z"), "T", " ", 1)
		}
		want = append(want, fmt.Sprintf("%d|%s|%s|%s|%s|%s|%s|%s|%s|%s|%t|%s|%s|%s|%s", row, b.Site, r.Device, r.Channel, text(r.Interval.Start), text(r.Interval.End), day,
			r.Value, r.Register, r.Mark, r.Mark.Books(), r.Provenance, from, observed, evidence))
	}
	for i, b := range batches {
		s.issue(b, fmt.Sprint("batch ", i))
	}
	add(1, 0, "2026-10-09")
	add(0, 2, "2026-10-08")
	add(0, 1, "2026-10-08")
	add(0, 0, "2026-10-08")
	s.publish()
	got := ask(t, s.dir, `SELECT row, site, device, channel, start_utc, end_utc, local_day, value, register, mark, books, provenance, source, observed_utc, evidence
		FROM readings ORDER BY (SELECT NULL)`)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := ask(t, s.dir, "SELECT count(*) FROM readings r JOIN events e USING (position) WHERE r.recorded_utc = e.created_at AND r.unit <> ''"); got[0] != "4" {
		t.Errorf("%s readings have the unit and the time of their event, want 4", got[0])
	}
	if ask(t, s.dir, "SELECT value FROM readings WHERE device = 'm1'")[0] != big.String() {
		t.Error("a value that 64 bits do not hold came out otherwise")
	}
}
