package pools_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/pools"
)

// fieldData returns the folder of files that others made, and skips the test
// where it is absent.
func fieldData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("WATTBOOK_FIELD_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%s: no field data; set WATTBOOK_FIELD_DATA", t.Name())
	}
	return dir
}

// TestFieldDataExpectation prices a constant 1e15 of share difficulty a day
// across every difficulty change of the network's history from the halving of
// 2020 on, each set at noon of a day of its own, and halvings where they fell.
func TestFieldDataExpectation(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(fieldData(t), "bitcoin", "difficulty-checkpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	var entries [][2]json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		t.Fatal(err)
	}
	const first = 312 // the epoch of block 630,000's halving begins at 630,000 / 2016 = 312.5
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	play("now 2029-01-01\nsite s step=1h pool=p/a\nminer m1")
	start := domain.Unix(1_577_836_800) // 2020
	type change struct {
		height int64
		target *big.Int
	}
	var changes []change
	for i := first - 1; i < len(entries); i++ {
		target, ok := new(big.Int).SetString(string(entries[i][1]), 10)
		if !ok {
			t.Fatalf("entry %d: %s", i, entries[i][1])
		}
		changes = append(changes, change{int64(i+1) * domain.RetargetInterval, target})
	}
	for i, c := range changes {
		bits, err := domain.BitsOfTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		day := start.Add(domain.Day * domain.Duration(i))
		play("difficulty %d %s %08x\nfees %s 144 0", c.height, instant(day.Add(12*domain.Hour)), uint32(bits), day.Time().Format("2006-01-02"))
	}
	last := start.Add(domain.Day * domain.Duration(len(changes)))
	play("read m1 %s..%s 41666666.66666666shares every=1h", instant(start), instant(last))
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(changes); i++ {
		day := start.Add(domain.Day * domain.Duration(i))
		e, err := pools.Expect(f, account(f, "s"), domain.Interval{Start: day, End: day.Add(domain.Day)})
		if err != nil {
			t.Fatal(err)
		}
		want := new(big.Rat)
		for _, c := range changes[i-1 : i+1] {
			half := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(12*4_166_666_666_666_666), c.target), new(big.Int).Mul(domain.MaxTarget(), big.NewInt(domain.ShareUnit)))
			want.Add(want, half.Mul(half, big.NewRat(5_000_000_000>>(c.height/210_000), 1)))
		}
		if len(e.Subsidies) != 2 || e.Base.Cmp(want) != 0 {
			t.Fatalf("change at height %d: expected %s sat in %d epochs, want %s", changes[i].height, e.Base.FloatString(4), len(e.Subsidies), want.FloatString(4))
		}
	}
}
