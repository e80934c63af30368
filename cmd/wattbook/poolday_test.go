package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestADisputeFromReconcilingToItsProof goes the way of a day of which a tenth
// is not credited.
func TestADisputeFromReconcilingToItsProof(t *testing.T) {
	dir := scriptedBook(t, `
site s step=1h pool=foundry/acct fee=0.02
miner m1
difficulty 969696 2026-10-10 1d00ffff
fees 2026-10-14 100 100000000
bitcoin USD 2026-10-10..2026-10-16 24h 100000
read m1 2026-10-14..2026-10-15 0.001shares every=1h
read m1 2026-10-14..2026-10-15 4295032hashes every=1h
now 2026-10-16T09:00
statement foundry/acct 2026-10-14 subsidy=6750000 fees=21600 fee=135432 net=6636168
payout foundry/acct 2026-10-15T06:00 6636168`)
	file := filepath.Join(t.TempDir(), "claim.proof")
	day := []string{"--from", "2026-10-14", "--to", "2026-10-14", "--data", dir}
	for _, row := range []struct {
		args []string
		code int
		want []string
	}{
		{append([]string{"pool", "reconcile"}, day...), exitFinding, []string{"work not credited 737,352", "! the pool does not credit 10.0 %", "unexplained, open: 737,352 sat of 1 day,"}},
		{[]string{"pool", "explain", "--day", "2026-10-14", "--data", dir}, exitOK, []string{
			"subsidy 7,500,000.00 + fees 24,000.00 - pool fee 150,480.00 = 7,373,520 sat", "STATED   subsidy 6,750,000 + fees 21,600 - pool fee 135,432 + other 0 = 6,636,168 sat",
			"payout of 2026-10-15T06:00:00Z: 6,636,168 received", "work not credited               737,352  unexplained", "unexplained: 737,352 sat", "the shares stand for 0.000 % more",
		}},
		{[]string{"pool", "explain", "--day", "2026-10-14", "--json", "--data", dir}, exitOK, []string{`"scheme": "fpps"`, `"status": "open"`}},
		{[]string{"pool", "dispute", "--day", "2026-10-14", "--by", "ana", "--note", "ticket 4711", "-o", file, "--data", dir}, exitOK, []string{
			"CLAIM of 737,352 sat (0.00737352 BTC) by s, ana: work not credited 737,352", "wattbook prove --check " + file + " --key wattbook/", "statement of 6,636,168 sat", "fees of 100 blocks", "payment of 6,636,168 sat", "PROOF in " + file,
			"is disputed by ana (ticket 4711), at 100000 USD per BTC", "Assets:PoolDisputed:Foundry:Acct                               0.00737352 BTC", "Expenses:PoolVariance:Foundry:Acct                                -737.35 USD",
		}},
		{append([]string{"pool", "reconcile"}, day...), exitFinding, []string{"[disputed by ana: ticket 4711]", "unexplained, disputed: 737,352 sat"}},
		{[]string{"prove", "--check", file, "--key", folder(dir).publicKey()}, exitOK, []string{"PROVED   foundry/acct", "737,352 sat unexplained", "the day comes out to the satoshi"}},
		{[]string{"pool", "dispute", "--day", "2026-10-14", "--by", "ana", "--status", "written-off", "--data", dir}, exitOK, []string{"2026-10-14 of foundry/acct: 737,352 sat are written off: work not credited 737,352", "is written off by ana, at", "Expenses:PoolWrittenOff:Foundry:Acct                               737.35 USD"}},
		{[]string{"pool", "dispute", "--day", "2026-10-14", "--by", "ana", "--status", "written-off", "--note", "as before", "--data", dir}, exitOK, []string{"BOOKED nothing"}},
		{append([]string{"pool", "reconcile"}, day...), exitOK, []string{"unexplained, written off: 737,352 sat"}},
		{[]string{"pool", "dispute", "--day", "2026-10-14", "--data", dir}, exitUsage, []string{"--by is missing"}},
		{[]string{"pool", "dispute", "--day", "2026-10-14", "--by", "ana", "--status", "lost", "--data", dir}, exitUsage, []string{`--status "lost" is not known; want one of ["open" "disputed" "accepted" "written-off"]`}},
		{[]string{"pool", "explain", "--data", dir}, exitUsage, []string{"--day is missing"}},
		{[]string{"pool", "explain", "--day", "14 Oct", "--data", dir}, exitUsage, []string{"is not a day such as"}},
		{[]string{"pool", "explain", "--day", "2099-10-20", "--data", dir}, exitFinding, []string{"the day is not over"}},
		{[]string{"pool", "resolve", "--data", dir}, exitUsage, []string{"want reconcile, explain or dispute"}},
	} {
		got := wattbook(t, row.args...)
		if got.code != row.code {
			t.Errorf("%v: exit %d, want %d\n%s%s", row.args, got.code, row.code, got.out, got.errors)
		}
		for _, want := range row.want {
			if !strings.Contains(got.out+got.errors, want) {
				t.Errorf("%v: no %q in\n%s%s", row.args, want, got.out, got.errors)
			}
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := wattbook(t, "prove", "--check", file, "--key", folder(dir).publicKey()); got.code != exitFinding || !strings.Contains(got.out, "NOT PROVED") {
		t.Errorf("a forged claim: exit %d\n%s", got.code, got.out)
	}
}

// TestADayFromFiles reconciles a day of which the pool's statement and the fees
// of the blocks are brought by files.
func TestADayFromFiles(t *testing.T) {
	dir := scriptedBook(t, `
site s step=1h pool=foundry/acct fee=0.02
miner m1
difficulty 969696 2026-10-10 1d00ffff
read m1 2026-10-14..2026-10-15 0.001shares every=1h
now 2026-10-16T09:00`)
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	statements := file("s.csv", "Date,Earned\n2026-10-14,0.07373520\n")
	fees := file("f.csv", "day,blocks,fees_btc\n2026-10-14,100,1\n")
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"import", "block-fees", fees}, exitOK, "1"},
		{[]string{"import", "statements", statements, "--columns", "day=Date,net=Earned"}, exitOK, "1"},
		{[]string{"import", "statements", statements, "--columns", "day=Date,net=Earned"}, exitOK, ""},
		{[]string{"import", "statements", statements}, exitFinding, `there is no column "day"`},
		{[]string{"import", "statements", statements, "--columns", "when=Date"}, exitUsage, `"when=Date" is not of the form day=NAME`},
		{[]string{"import", "block-fees", fees, "--columns", "day=Date"}, exitUsage, "means nothing for block-fees"},
		{[]string{"pool", "explain", "--day", "2026-10-14"}, exitOK, "STATED   its net alone: 7,373,520 sat"},
	} {
		got := wattbook(t, append(row.args, "--data", dir)...)
		if got.code != row.code || !strings.Contains(got.out+got.errors, row.want) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", row.args, got.code, row.code, row.want, got.out, got.errors)
		}
	}
}

// TestTwoAccounts reconciles, explains and disputes the days of a site that
// works for two pool accounts, and proves the claim of one.
func TestTwoAccounts(t *testing.T) {
	dir := scriptedBook(t, `
site s step=1h pool=foundry/acct fee=0.02
account ocean/west miners=c2 scheme=tides fee=0.01 pool-hash=0.000000198844T
meter revenue
meter c2 under=revenue use=mining
miner m1 under=revenue
miner m2 under=c2
difficulty 969696 2026-10-10 1d00ffff
fees 2026-10-14 100 100000000
read m1 2026-10-14..2026-10-15 0.001shares every=1h
read m2 2026-10-14..2026-10-15 0.002shares every=1h
now 2026-10-16T09:00
statement foundry/acct 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520
payout foundry/acct 2026-10-15T06:00 7373520
statement ocean/west 2026-10-14 subsidy=7500000 fees=24000 fee=75240 net=7448760 shares=0.024 credits=2`)
	file, csv := filepath.Join(t.TempDir(), "claim.proof"), filepath.Join(t.TempDir(), "p.csv")
	if err := os.WriteFile(csv, []byte("time,txid,address,amount_btc\n2026-10-15T08:00:00Z,"+strings.Repeat("4f", 32)+",bc1q,0.0744876\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	day := []string{"--day", "2026-10-14"}
	for _, row := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"import", "payouts", csv, "--address", "bc1q"}, exitUsage, []string{"say which by --pool-account: foundry/acct or ocean/west"}},
		{[]string{"import", "payouts", csv, "--address", "bc1q", "--pool-account", "ocean/west"}, exitOK, nil},
		{[]string{"pool", "reconcile", "--from", "2026-10-14", "--to", "2026-10-14"}, exitFinding, []string{
			"foundry, account acct", "7,373,520      7,373,520      7,373,520            0", "ocean, account west",
			"14,897,520      7,448,760      7,448,760    7,448,760  work not credited 7,448,760", "! the pool does not credit 50.0 % of the accepted work",
		}},
		{[]string{"pool", "reconcile", "--from", "2026-10-14", "--to", "2026-10-14", "--account", "acct"}, exitOK, []string{"foundry, account acct"}},
		{[]string{"pool", "reconcile", "--period", "2026-10", "--account", "east"}, exitUsage, []string{`--account "east" is no pool account of the site; want foundry/acct or ocean/west`}},
		{append([]string{"pool", "explain"}, day...), exitUsage, []string{"the site works for several pool accounts; say which by --account: foundry/acct or ocean/west"}},
		{append([]string{"pool", "explain", "--account", "ocean"}, day...), exitOK, []string{"EXPECTED under TIDES less 1 %", "sigma of 7,448,763", "STATED   of 2 credits: subsidy 7,500,000"}},
		{append([]string{"pool", "dispute", "--account", "west", "--by", "ana", "-o", file}, day...), exitOK, []string{"CLAIM of 7,448,760 sat"}},
		{[]string{"prove", "--check", file, "--key", folder(dir).publicKey()}, exitOK, []string{"PROVED   ocean/west", "the day comes out to the satoshi"}},
		{[]string{"replay"}, exitOK, []string{"reconciliations"}},
	} {
		args := row.args
		if args[0] != "prove" {
			args = append(args, "--data", dir)
		}
		got := wattbook(t, args...)
		if got.code != row.code {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, got.code, row.code, got.out, got.errors)
		}
		for _, want := range row.want {
			if !strings.Contains(got.out+got.errors, want) {
				t.Errorf("%v: no %q in\n%s%s", args, want, got.out, got.errors)
			}
		}
	}
}
