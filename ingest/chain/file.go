package chain

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// Epoch is a run of 2016 blocks of one difficulty.
type Epoch struct {
	Height int64       // of its first block, a multiple of 2016
	Bits   domain.Bits // of each of its blocks
}

// ReadCheckpoints reads the list of checkpoints of an Electrum wallet
// (electrum/chains/mainnet/checkpoints.json in its source): a JSON array whose
// entry i is the id of block 2016(i+1) − 1, the last one of epoch i, and the
// target of epoch i+1. The epochs come in order, without the first one. Name
// is for errors.
//
// A target that no block could carry exactly, in the 32 bits that the header
// has for it, is an error; so is a change of more than a factor of four, which
// consensus does not allow.
func ReadCheckpoints(r io.Reader, name string) ([]Epoch, error) {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, fmt.Errorf("%s: file is not a JSON array of checkpoints", name)
	}
	var epochs []Epoch
	before := domain.MaxTarget() // of epoch 0
	for i := int64(0); dec.More(); i++ {
		var pair []any
		if err := dec.Decode(&pair); err != nil {
			return nil, fmt.Errorf("%s: checkpoint %d: %w", name, i, err)
		}
		target, err := checkpoint(pair, before)
		if err != nil {
			return nil, fmt.Errorf("%s: checkpoint %d: %w", name, i, err)
		}
		bits, err := domain.BitsOfTarget(target)
		if err != nil {
			return nil, fmt.Errorf("%s: checkpoint %d: %w", name, i, err)
		}
		if exact, err := bits.Target(); err != nil || exact.Cmp(target) != 0 {
			return nil, fmt.Errorf("%s: checkpoint %d: target %s is not one that bits can say", name, i, target)
		}
		epochs = append(epochs, Epoch{Height: domain.RetargetInterval * (i + 1), Bits: bits})
		before = target
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("%s: array of checkpoints does not end: %w", name, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s: file goes on after the array of checkpoints", name)
	}
	if len(epochs) == 0 {
		return nil, fmt.Errorf("%s: file has no checkpoints", name)
	}
	return epochs, nil
}

// checkpoint reads the target of one entry, given that of the entry before.
func checkpoint(pair []any, before *big.Int) (*big.Int, error) {
	if len(pair) != 2 {
		return nil, fmt.Errorf("entry has %d parts, want a block's id and a target", len(pair))
	}
	id, _ := pair[0].(string)
	if _, err := blockID(id); err != nil {
		return nil, err
	}
	number, _ := pair[1].(json.Number)
	if len(number) > 78 { // digits of 2^256
		return nil, fmt.Errorf("target %.20s… is too large", number)
	}
	target, ok := new(big.Int).SetString(number.String(), 10)
	if !ok {
		return nil, fmt.Errorf("target %.90q is not a whole number", fmt.Sprint(pair[1]))
	}
	four := big.NewInt(4)
	if new(big.Int).Mul(target, four).Cmp(before) < 0 || target.Cmp(new(big.Int).Mul(before, four)) > 0 {
		return nil, fmt.Errorf("target %s is more than four times or less than a quarter of the one before, %s", target, before)
	}
	return target, nil
}

// ReadDifficulty reads changes of difficulty from a CSV file, whose name is for
// errors. The first line names the columns: height, time and bits, or
// difficulty in place of bits, or both. Each further line is the first block
// of an epoch: its height, a multiple of 2016; its time, RFC 3339; its bits as
// eight hexadecimal digits, as block explorers show them; its difficulty as a
// plain decimal. Lines come in order and leave out no epoch. An error names
// line and column of each of the first ten bad lines.
//
// A difficulty stands for the bits nearest to it. It may be off by one in its
// last digit, since programs cut or round it, and by a part in 10^12, since
// they compute it in floats. It is an error if theirs is further off, or if
// others are as close: a whole number tells the bits of today's difficulties,
// not of those of the first years.
func ReadDifficulty(r io.Reader, name string) ([]domain.DifficultyAdjusted, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	names, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: line of column names: %w", name, csvError(err))
	}
	f, err := difficultyColumns(names)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", name, err)
	}
	var all []domain.DifficultyAdjusted
	var bad ingest.BadLines
	for {
		record, err := rows.Read()
		if err == io.EOF {
			break
		}
		line := len(all) + 2
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			line = syntax.Line
		}
		if err != nil { // where the next line begins is not sure
			return nil, fmt.Errorf("%s:%d: %w", name, line, csvError(err))
		}
		if column, err := f.row(record, &all); err != nil {
			line, at := rows.FieldPos(column)
			bad.Add(fmt.Errorf("%s:%d:%d: %w", name, line, at, err))
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: file has no changes of difficulty", name)
	}
	return all, nil
}

// csvError returns an error of package csv without the line, which is said
// already.
func csvError(err error) error {
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return syntax.Err
	}
	return err
}

// difficultyFile says where the columns are; −1 if they are not.
type difficultyFile struct{ height, time, bits, difficulty int }

func difficultyColumns(names []string) (f difficultyFile, err error) {
	names = slices.Clone(names)
	names[0] = strings.TrimPrefix(names[0], "\ufeff") // as spreadsheets write it
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	f = difficultyFile{
		slices.Index(names, "height"), slices.Index(names, "time"),
		slices.Index(names, "bits"), slices.Index(names, "difficulty"),
	}
	if f.height < 0 || f.time < 0 || f.bits < 0 && f.difficulty < 0 {
		return f, fmt.Errorf("columns are %q; want height, time, and bits or difficulty", names)
	}
	return f, nil
}

// row reads one change of difficulty. With an error it returns the column that
// is wrong; the row counts all the same where its height and time are known,
// so that the rows after it are compared with it.
func (f difficultyFile) row(record []string, all *[]domain.DifficultyAdjusted) (column int, err error) {
	field := func(i int) string { return strings.TrimSpace(record[i]) }
	height, err := strconv.ParseInt(field(f.height), 10, 64)
	if err != nil || height < 0 || height%domain.RetargetInterval != 0 {
		return f.height, fmt.Errorf("height %.40q is not a multiple of %d, where difficulty changes", field(f.height), domain.RetargetInterval)
	}
	at, err := domain.ParseInstant(field(f.time))
	if err != nil {
		return f.time, err
	}
	var before domain.DifficultyAdjusted
	n := len(*all)
	if n > 0 {
		before = (*all)[n-1]
	}
	*all = append(*all, domain.DifficultyAdjusted{Height: height, At: at})
	switch want := before.Height + domain.RetargetInterval; {
	case n == 0:
	case height <= before.Height:
		return f.height, fmt.Errorf("height %d comes after %d; sort the file by height, each once", height, before.Height)
	case height > want:
		return f.height, fmt.Errorf("height %d comes after %d; add the line of %d", height, before.Height, want)
	case at <= before.At:
		return f.time, fmt.Errorf("time %s is not after that of block %d, %s", at, before.Height, before.At)
	}
	var bits domain.Bits
	if f.bits >= 0 {
		if bits, err = parseBits(field(f.bits)); err != nil {
			return f.bits, err
		}
	}
	if f.difficulty >= 0 {
		said, err := parseDifficulty(field(f.difficulty))
		if err != nil {
			return f.difficulty, err
		}
		if f.bits >= 0 && said != bits {
			return f.difficulty, fmt.Errorf("difficulty %s is that of bits %08x, not %08x", field(f.difficulty), uint32(said), uint32(bits))
		}
		bits = said
	}
	(*all)[n].Bits = bits
	return 0, nil
}

func parseBits(text string) (domain.Bits, error) {
	v, err := strconv.ParseUint(text, 16, 32)
	if err != nil || len(text) != 8 {
		return 0, fmt.Errorf("bits %.40q are not eight hexadecimal digits", text)
	}
	_, err = domain.Bits(v).Target()
	return domain.Bits(v), err
}

func parseDifficulty(text string) (domain.Bits, error) {
	d, err := domain.ParseDecimal(text)
	if err != nil {
		return 0, fmt.Errorf("difficulty: %w", err)
	}
	bits, err := domain.BitsOfDifficulty(d)
	if err != nil {
		return 0, err
	}
	_, fraction, _ := strings.Cut(text, ".")
	doubt := domain.NewDecimal(1, -int32(len(fraction)))
	if noise := d.Shift(-12); noise.Cmp(doubt) > 0 {
		doubt = noise
	}
	off := new(big.Rat).Sub(bits.Difficulty(), d.Rat())
	switch off.Abs(off); {
	case off.Sign() == 0:
		return bits, nil
	case off.Cmp(doubt.Rat()) > 0:
		return 0, fmt.Errorf("difficulty %s is that of no bits; the nearest, %08x, has %s",
			text, uint32(bits), domain.RoundRat(bits.Difficulty(), int32(len(fraction))))
	}
	for _, edge := range []domain.Decimal{d.Sub(doubt), d.Add(doubt)} {
		if other, err := domain.BitsOfDifficulty(edge); err == nil && other != bits {
			return 0, fmt.Errorf("difficulty %s has too few digits: it could be that of bits %08x or %08x", text, uint32(bits), uint32(other))
		}
	}
	return bits, nil
}
