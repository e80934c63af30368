package warehouse_test

import (
	"testing"

	"wattbook/domain"
)

// TestPayoutsSumToWhatHasArrived undoes a block and confirms its payment in
// another, twice.
func TestPayoutsSumToWhatHasArrived(t *testing.T) {
	s := newSite(t, nil)
	sum := func(what, rows, want string) {
		t.Helper()
		s.publish()
		if got := ask(t, s.dir, "SELECT count(*), sum(amount_satoshi) FROM payouts WHERE transaction_id = 't1'")[0]; got != rows+"|"+want {
			t.Errorf("%s: got %s, want %s|%s", what, got, rows, want)
		}
	}
	s.play("payout p/a 2026-10-15T06:00 900 tx=t1 block=b1")
	sum("in a block", "1", "900")
	s.play("payout p/a 2026-10-15T06:00 900 tx=t1 block=b2")
	sum("in another block", "1", "900")
	s.play("reversed p/a t1 b1")
	sum("the first is undone", "1", "900")
	s.play("reversed p/a t1 b2")
	sum("the second, too", "2", "0")
	s.play("payout p/a 2026-10-15T07:00 900 tx=t1 block=b3")
	sum("in a third", "3", "900")

	s.play(`paid p/a 7 2026-10-15T06:00 900 fee=2 tx=t1 status=pending
paid p/a 7 2026-10-15T06:00 900 fee=2 tx=t1
statement p/a 2026-10-14 net=902 net-only`)
	if err := s.player.Append("reconciliation-p.a", domain.DifferenceMarked{Site: "s", Pool: "p", Account: "a", Interval: domain.Interval{Start: 0, End: 1}, Unexplained: 5, Status: domain.DifferenceAccepted, By: "ana"}); err != nil {
		t.Fatal(err)
	}
	s.publish()
	for _, row := range [][2]string{
		{"SELECT reference, status, rail, amount_satoshi, network_fee_satoshi FROM pool_payouts_at(1000000)", "7|paid|on-chain|900|2"},
		{"SELECT status, decided_by, unexplained_satoshi FROM pool_difference_marks_at(1000000)", "accepted|ana|5"},
		{"SELECT subsidy_satoshi IS NULL, fees_satoshi IS NULL, pool_fee_satoshi IS NULL, net_satoshi FROM pool_statements WHERE account = 'a'", "true|true|true|902"},
	} {
		if got := ask(t, s.dir, row[0]); len(got) != 1 || got[0] != row[1] {
			t.Errorf("%s: got %v, want %s", row[0], got, row[1])
		}
	}
}
