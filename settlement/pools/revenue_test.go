package pools_test

import (
	"testing"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/pools"
)

// TestRevenueRestsOnWhatIsKnown follows a day of 0.024 of a block, whose
// energy costs 240 USD, at 100,000 USD a bitcoin.
func TestRevenueRestsOnWhatIsKnown(t *testing.T) {
	p := logscript.New()
	for _, step := range []struct {
		script  string
		basis   pools.Basis
		satoshi domain.Satoshi
		revenue string
		margin  string
	}{
		{`
site s step=1h pool=p/a fee=0.02 loss=0 node=n
meter revenue
meter c1 under=revenue use=mining
miner m1 under=c1
difficulty 969696 2026-10-10 1d00ffff
fees 2026-10-14 100 100000000
price n 2026-10-14..2026-10-15 1h 20
bitcoin USD 2026-10-14..2026-10-15 1h 100000
read revenue 2026-10-14..2026-10-15 500kWh every=1h
read c1 2026-10-14..2026-10-15 500kWh every=1h
read m1 2026-10-14..2026-10-15 0.001shares every=1h
now 2026-10-16T09:00`, pools.Estimated, 7_373_520, "7373.52", "7133.52"},
		{"statement p/a 2026-10-14 subsidy=100 net=100 partial", pools.Estimated, 7_373_520, "7373.52", "7133.52"},
		{"statement p/a 2026-10-14 subsidy=6750000 fees=21600 fee=135432 net=6636168", pools.Stated, 6_636_168, "6636.168", "6396.168"},
		{"paid p/a 1 2026-10-15T06:00 6636000 fee=168 tx=t1", pools.Stated, 6_636_168, "6636.168", "6396.168"},
		{"payout p/a 2026-10-15T07:00 6636000 tx=t1 block=b", pools.Received, 6_636_168, "6636.168", "6396.168"},
		{"reversed p/a t1 b", pools.Stated, 6_636_168, "6636.168", "6396.168"},
	} {
		if err := p.Play(step.script); err != nil {
			t.Fatal(err)
		}
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		a := account(f, "s")
		days, err := pools.Draw(f, a, oneDay)
		if err != nil || len(days) != 1 {
			t.Fatal(days, err)
		}
		m, err := pools.MarginOf(f, a, days[0])
		if err != nil || m.Basis != step.basis || m.Satoshi != step.satoshi || m.Revenue.String() != step.revenue || m.Margin().String() != step.margin || m.Estimated.String() != "7373.52" || m.Unknown != 0 {
			t.Errorf("%s: got %+v, margin %s, %v", step.script, m, m.Margin(), err)
		}
	}
}
