package chain_test

import (
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest/chain"
)

// checkpoints is the beginning of a file of checkpoints: two epochs of
// difficulty 1 and one of a third more.
const checkpoints = `[
 ["00000000693067b0e6b440bc51450b9f3850561b07f6d3c021c54fbd6abb9763", 26959535291011309493156476344723991336010898738574164086137773096960],
 ["00000000f037ad09d0b05ee66b8c1da83030abaf909d2b1bf519c3c7d2cd3fdf", 26959535291011309493156476344723991336010898738574164086137773096960],
 ["000000006ce8b5f16fcedde13acbc9641baa1c67734f177d770a4069c06c9de8", 20219239461361386612912130577166131212580399999999999999999999999999]
]`

// exact is checkpoints with a target that bits can say.
func exact() string {
	target := must(domain.Bits(0x1d00bfff).Target())
	return strings.Replace(checkpoints, "20219239461361386612912130577166131212580399999999999999999999999999", target.String(), 1)
}

func TestReadCheckpoints(t *testing.T) {
	got, err := chain.ReadCheckpoints(strings.NewReader(exact()), "c.json")
	want := []chain.Epoch{{Height: 2016, Bits: 0x1d00ffff}, {Height: 4032, Bits: 0x1d00ffff}, {Height: 6048, Bits: 0x1d00bfff}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, epochs (-want +got):\n%s", err, diff)
	}
}

func TestErrorsOfCheckpointsNameTheEntry(t *testing.T) {
	for _, row := range []struct{ name, file, want string }{
		{"a target that bits cannot say", checkpoints, "c.json: checkpoint 2: target 20219239461361386612912130577166131212580399999999999999999999999999 is not one that bits can say"},
		{"not an array", `{}`, "c.json: file is not a JSON array of checkpoints"},
		{"nothing", ``, "c.json: file is not a JSON array of checkpoints"},
		{"an empty array", `[]`, "c.json: file has no checkpoints"},
		{"an entry of one part", `[["00"]]`, "c.json: checkpoint 0: entry has 1 parts, want a block's id and a target"},
		{"an id that is none", `[["00", 1]]`, `c.json: checkpoint 0: id "00" is not 64 hexadecimal digits`},
		{"a float", strings.Replace(exact(), "26959535291011309493156476344723991336010898738574164086137773096960", "2.6e67", 1), `c.json: checkpoint 0: target "2.6e67" is not a whole number`},
		{"a change beyond four times", strings.Replace(exact(), "26959535291011309493156476344723991336010898738574164086137773096960", "1000", 1), "c.json: checkpoint 0: target 1000 is more than four times or less than a quarter of the one before, 26959535291011309493156476344723991336010898738574164086137773096960"},
		{"an array without end", strings.TrimSuffix(exact(), "]"), "c.json: array of checkpoints does not end: EOF"},
		{"something after the array", exact() + "1", "c.json: file goes on after the array of checkpoints"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := chain.ReadCheckpoints(strings.NewReader(row.file), "c.json")
			if err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

const times = `885024,2025-02-23T01:38:29Z,`

func TestReadDifficulty(t *testing.T) {
	want := []domain.DifficultyAdjusted{{Height: 885024, At: must(domain.ParseInstant("2025-02-23T01:38:29Z")), Bits: 0x1702068f}}
	for _, row := range []struct{ name, file string }{
		{"bits", "height,time,bits\n" + times + "1702068f\n"},
		{"difficulty as a program prints it", "height,time,difficulty\n" + times + "138955357012247.3\n"},
		{"difficulty as a whole number", "\ufeffheight, time ,difficulty\n" + times + " 138955357012247\n"},
		{"both, among others", "pool,difficulty,height,bits,time\nx,138955357012247.3,885024,1702068f,2025-02-23T03:38:29+02:00\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := chain.ReadDifficulty(strings.NewReader(row.file), "d.csv")
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("error %v, facts (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestDifficultyStandsForTheNearestBits(t *testing.T) {
	for _, row := range []struct {
		name, difficulty string
		want             domain.Bits
	}{
		{"two digits after the point of one that has more", "16307.42", 0x1b0404cb},
		{"one whose last digit is cut", "16307.420938", 0x1b0404cb},
		{"more digits than are true, as floats print them", "138955357012247.3125", 0x1702068f},
		{"the least", "1", 0x1d00ffff},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := chain.ReadDifficulty(strings.NewReader("height,time,difficulty\n"+times+row.difficulty+"\n"), "d.csv")
			if err != nil || got[0].Bits != row.want {
				t.Errorf("got %+v, %v; want bits %08x", got, err, uint32(row.want))
			}
		})
	}
}

func TestErrorsOfDifficultyFilesNameTheLineAndTheFix(t *testing.T) {
	const bits, difficulty = "height,time,bits\n", "height,time,difficulty\n"
	for _, row := range []struct{ name, file, want string }{
		{"no columns", "a,b\n", `d.csv:1: columns are ["a" "b"]; want height, time, and bits or difficulty`},
		{"nothing", "", "d.csv:1: line of column names: EOF"},
		{"no lines", bits, "d.csv: file has no changes of difficulty"},
		{"a height between", bits + "885025,2025-02-23T01:38:29Z,1702068f\n", `d.csv:2:1: height "885025" is not a multiple of 2016, where difficulty changes`},
		{"a time without offset", bits + "885024,2025-02-23 01:38:29,1702068f\n", `d.csv:2:8: "2025-02-23 01:38:29" is not a time such as 2026-10-14T17:35:00Z`},
		{"bits in decimal", bits + times + "386008719\n", `d.csv:2:29: bits "386008719" are not eight hexadecimal digits`},
		{"bits that are no target", bits + times + "1d80ffff\n", `d.csv:2:29: bits 1d80ffff are not a valid target`},
		{"an exponent", difficulty + times + "1.38955357012247e14\n", `d.csv:2:29: difficulty: "1.38955357012247e14" is written with an exponent; write it out as a plain decimal`},
		{"a rounded difficulty", difficulty + times + "138960000000000\n", `d.csv:2:29: difficulty 138960000000000 is that of no bits; the nearest, 1702068b, has 138959544085613`},
		{"a difficulty cut too short", difficulty + times + "16307\n", `d.csv:2:29: difficulty 16307 has too few digits: it could be that of bits 1b0404d2 or 1b0404e2`},
		{"difficulty of other bits", "height,time,bits,difficulty\n" + times + "17020684,138955357012247.3\n", `d.csv:2:38: difficulty 138955357012247.3 is that of bits 1702068f, not 17020684`},
		{"an epoch left out", bits + times + "1702068f\n889056,2025-03-23T01:38:29Z,1702068f\n", `d.csv:3:1: height 889056 comes after 885024; add the line of 887040`},
		{"an epoch twice", bits + times + "1702068f\n" + times + "1702068f\n", `d.csv:3:1: height 885024 comes after 885024; sort the file by height, each once`},
		{"a time that goes back", bits + times + "1702068f\n887040,2025-02-22T00:00:00Z,1702068f\n", `d.csv:3:8: time 2025-02-22T00:00:00Z is not after that of block 885024, 2025-02-23T01:38:29Z`},
		{"too many fields", bits + times + "1702068f,1\n", "d.csv:2: wrong number of fields"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := chain.ReadDifficulty(strings.NewReader(row.file), "d.csv")
			if err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

// fieldData returns the folder of files that others made, and skips the test
// where it is absent.
func fieldData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("WATTBOOK_FIELD_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for root != filepath.Dir(root) {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%s: no field data; set WATTBOOK_FIELD_DATA", t.Name())
	}
	return dir
}

func TestFieldDataCheckpoints(t *testing.T) {
	f, err := os.Open(filepath.Join(fieldData(t), "bitcoin", "difficulty-checkpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	epochs, err := chain.ReadCheckpoints(f, "difficulty-checkpoints.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(epochs) != 473 {
		t.Fatalf("got %d epochs, want 473", len(epochs))
	}
	// The difficulties as programs print them that compute in floats.
	for i, printed := range []string{
		"138966872071213.2", "135594876535256.58", "132472011079030.52",
		"136607070854775.06", "138955357012247.3", "124932866006548.16",
	} {
		e := epochs[len(epochs)-6+i]
		want := domain.MustDecimal(printed)
		off := new(big.Rat).Sub(e.Bits.Difficulty(), want.Rat())
		if _, fraction, _ := strings.Cut(printed, "."); off.Abs(off).Cmp(domain.NewDecimal(1, -int32(len(fraction))).Rat()) > 0 {
			t.Errorf("difficulty at height %d is %s, want %s", e.Height, domain.RoundRat(e.Bits.Difficulty(), 4), printed)
		}
		bits, err := domain.BitsOfDifficulty(want)
		if err != nil || bits != e.Bits {
			t.Errorf("difficulty %s gives bits %08x, %v; want %08x", printed, uint32(bits), err, uint32(e.Bits))
		}
	}
	if last := epochs[472].Height; last != 473*2016 {
		t.Errorf("last epoch starts at height %d, want %d", last, 473*2016)
	}
}

func FuzzReadCheckpoints(f *testing.F) {
	f.Add(exact())
	f.Fuzz(func(t *testing.T, file string) {
		epochs, err := chain.ReadCheckpoints(strings.NewReader(file), "f")
		if err != nil {
			return
		}
		for i, e := range epochs {
			if _, err := e.Bits.Target(); err != nil || e.Height != 2016*int64(i+1) {
				t.Fatalf("epoch %d is %+v: %v", i, e, err)
			}
		}
	})
}

func FuzzReadDifficulty(f *testing.F) {
	f.Add("height,time,bits,difficulty\n" + times + "1702068f,138955357012247.3\n")
	f.Fuzz(func(t *testing.T, file string) {
		facts, err := chain.ReadDifficulty(strings.NewReader(file), "f")
		if err != nil {
			return
		}
		for i, e := range facts {
			if _, err := e.Bits.Target(); err != nil || e.Height%2016 != 0 {
				t.Fatalf("fact %d is %+v: %v", i, e, err)
			}
			if i > 0 && e.Height != facts[i-1].Height+2016 {
				t.Fatalf("fact %d leaves out an epoch", i)
			}
		}
	})
}
