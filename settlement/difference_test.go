package settlement_test

import (
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/settlement"
	"wattbook/settlement/pools"
)

// TestADifferenceIsOpenUntilSomebodyMarksIt marks the day of a pool that does
// not credit a tenth of the work.
func TestADifferenceIsOpenUntilSomebodyMarksIt(t *testing.T) {
	p := logscript.New()
	play := func(script string) {
		t.Helper()
		if err := p.Play(script); err != nil {
			t.Fatal(err)
		}
	}
	play(`
site s step=1h pool=foundry/acct fee=0.02
miner m1
difficulty 969696 2026-10-10 1d00ffff
fees 2026-10-14 100 100000000
read m1 2026-10-14..2026-10-15 0.001shares every=1h
now 2026-10-18T09:00
statement foundry/acct 2026-10-14 subsidy=6750000 fees=21600 fee=135432 net=6636168
payout foundry/acct 2026-10-15T06:00 6636168`)
	s := &settlement.Settler{Log: p.Log, Facts: facts.New(), Now: p.Now}
	day, err := p.Instant("2026-10-14")
	if err != nil {
		t.Fatal(err)
	}
	standing := func() settlement.Difference {
		t.Helper()
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := settlement.DayOf(s.Facts, account, day)
		if err != nil {
			t.Fatal(err)
		}
		return settlement.Standing(s.Facts, r, p.Now())
	}
	if d := standing(); d.Status != domain.DifferenceOpen || d.Unexplained != 737_352 || d.Days != 3 || d.By != "" {
		t.Errorf("before anybody marks it: %+v", d)
	}
	mark := func(status domain.DifferenceStatus, note string) domain.Position {
		t.Helper()
		if _, err := s.Mark(t.Context(), account, day, status, "ana", note); err != nil {
			t.Fatal(err)
		}
		head, err := p.Log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return head
	}
	first := mark(domain.DifferenceDisputed, "ticket 4711")
	if again := mark(domain.DifferenceDisputed, "ticket 4711"); again != first {
		t.Errorf("marking it twice recorded %d events", again-first)
	}
	if d := standing(); d.Status != domain.DifferenceDisputed || d.By != "ana" || d.Note != "ticket 4711" {
		t.Errorf("disputed: %+v", d)
	}
	mark(domain.DifferenceWrittenOff, "")
	mark(domain.DifferenceDisputed, "ticket 4711")
	if d := standing(); d.Status != domain.DifferenceDisputed {
		t.Errorf("disputed again: %+v", d)
	}
	// The pool pays a part of it: what is left is another difference.
	play("statement foundry/acct 2026-10-14 subsidy=7000000 fees=22400 fee=140448 net=6881952\npayout foundry/acct 2026-10-16T06:00 245784")
	if d := standing(); d.Status != domain.DifferenceOpen || d.Unexplained != 491_568 {
		t.Errorf("after the pool restated: %+v", d)
	}
	play("statement foundry/acct 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520\npayout foundry/acct 2026-10-17T06:00 491568")
	if d := standing(); d.Status != "" || d.Unexplained != 0 {
		t.Errorf("after the pool paid: %+v", d)
	}
	for _, row := range []struct {
		name   string
		of     pools.Account
		day    domain.Instant
		status domain.DifferenceStatus
		by     string
		want   string
	}{
		{"nothing is unexplained", account, day, domain.DifferenceAccepted, "ana", "nothing of it is unexplained"},
		{"a status that nobody knows", account, day, "gone", "ana", `status "gone" is not known`},
		{"nobody", account, day, domain.DifferenceAccepted, "", "nobody is named"},
		{"a day that is not over", account, day.Add(9 * domain.Day), domain.DifferenceAccepted, "ana", "the day is not over"},
		{"a day of which nothing is expected", account, day.Add(-30 * domain.Day), domain.DifferenceAccepted, "ana", "is not known"},
	} {
		if _, err := s.Mark(t.Context(), row.of, row.day, row.status, row.by, ""); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.want)
		}
	}
}
