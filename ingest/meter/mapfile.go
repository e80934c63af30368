package meter

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"wattbook/domain"
)

//go:embed maps/*.yaml
var maps embed.FS

// MapNames returns the names of the maps that come with the program.
func MapNames() []string {
	entries, err := maps.ReadDir("maps")
	if err != nil {
		panic("meter: embedded maps: " + err.Error())
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

// NamedMap returns a map that comes with the program.
func NamedMap(name string) (Map, error) {
	if !slices.Contains(MapNames(), name) {
		return Map{}, fmt.Errorf("map %.40q does not come with the program, which has %q; name a file instead", name, MapNames())
	}
	f, err := maps.Open(path.Join("maps", name+".yaml"))
	if err != nil {
		return Map{}, fmt.Errorf("map %s: %w", name, err)
	}
	defer f.Close()
	return ReadMap(f, name+".yaml")
}

// mapLimit is the greatest size of a map file.
const mapLimit = 64 << 10

// ReadMap reads a register map, a YAML file such as
//
//	name: hall-meter
//	function: holding      # or input
//	unit_id: 1             # if left out: 1
//	byte_order: big        # or little: the low byte of a register first; big if left out
//	word_order: high       # or low: the low register of a value first; high if left out
//	registers:
//	  - channel: energy.import
//	    address: 0x0C83    # as sent, which is one less than most manuals print
//	    type: int64        # uint32 int32 uint64 int64 float32 float64
//	    unit: 0.1 kWh      # what one count stands for: a number, if not 1, and Wh, kWh or MWh
//	    ratio: 80          # current ratio × voltage ratio, if the meter counts the secondary side; 1 if left out
//	    modulus: 100000000 # the count at which it wraps to 0, if it does
//	    zero_is_null: true # if it shows 0 when it does not know
//	serial:                # if the meter tells its serial number
//	  function: holding    # if it is another one
//	  address: 0x0081
//	  type: uint32         # uint32 uint64 text
//	  registers: 2         # of a text
//
// Name is what errors call the file; they name the line and what to write
// instead. Unknown and repeated keys are refused.
func ReadMap(r io.Reader, name string) (Map, error) {
	b, err := io.ReadAll(io.LimitReader(r, mapLimit+1))
	if err != nil {
		return Map{}, fmt.Errorf("read map %s: %w", name, err)
	}
	if len(b) > mapLimit {
		return Map{}, fmt.Errorf("read map %s: longer than %d bytes; is it a register map?", name, mapLimit)
	}
	f := mapFile{name}
	d := yaml.NewDecoder(strings.NewReader(string(b)))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return Map{}, fmt.Errorf("read map %s: the file is empty", name)
	} else if err != nil {
		return Map{}, f.syntax(err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return Map{}, fmt.Errorf("read map %s: a second document follows; keep one map in one file", name)
	}
	return f.readMap(doc.Content[0])
}

// mapFile reads the nodes of one file.
type mapFile struct{ name string }

func (f mapFile) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("read map %s:%d: %w", f.name, n.Line, fmt.Errorf(format, args...))
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntax turns an error of the YAML library into one with a place.
func (f mapFile) syntax(err error) error {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("read map %s:%s: %s", f.name, m[1], strings.TrimPrefix(err.Error(), m[0]))
	}
	return fmt.Errorf("read map %s: %w", f.name, err)
}

// fields returns the values of a mapping by key. The keys that may be left out
// follow the ones that may not.
func (f mapFile) fields(n *yaml.Node, what string, required, optional []string) (map[string]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, f.errorf(n, "%s is not a list of keys and values", what)
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		known := append(slices.Clone(required), optional...)
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			return nil, f.errorf(key, "key %.40q of %s is not known; use %s", key.Value, what, strings.Join(known, ", "))
		case out[key.Value] != nil:
			return nil, f.errorf(key, "key %s of %s is there twice; keep one", key.Value, what)
		}
		out[key.Value] = value
	}
	for _, key := range required {
		if out[key] == nil {
			return nil, f.errorf(n, "%s has no %s; add it", what, key)
		}
	}
	return out, nil
}

// scalar returns the text of a single value.
func (f mapFile) scalar(n *yaml.Node, key string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		return "", f.errorf(n, "%s is not a single value", key)
	}
	return n.Value, nil
}

// choice returns which of the words a value is, and the first if it is absent.
func (f mapFile) choice(n *yaml.Node, key string, words ...string) (int, error) {
	if n == nil {
		return 0, nil
	}
	s, err := f.scalar(n, key)
	if err != nil {
		return 0, err
	}
	i := slices.Index(words, s)
	if i < 0 {
		return 0, f.errorf(n, "%s is %.40q; use %s", key, s, strings.Join(words, " or "))
	}
	return i, nil
}

// number returns a whole number from 0 to limit, written in decimal or, after
// 0x, in hexadecimal. A leading zero is refused: it is octal to some.
func (f mapFile) number(n *yaml.Node, key string, limit uint64) (uint64, error) {
	s, err := f.scalar(n, key)
	if err != nil {
		return 0, err
	}
	digits, base := s, 10
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 64)
	if err != nil || v > limit || base == 10 && len(s) > 1 && s[0] == '0' {
		return 0, f.errorf(n, "%s is %.40q; use a whole number from 0 to %d, or in hexadecimal after 0x", key, s, limit)
	}
	return v, nil
}

func (f mapFile) decimal(n *yaml.Node, key string) (domain.Decimal, error) {
	if n == nil {
		return domain.NewDecimal(1, 0), nil
	}
	s, err := f.scalar(n, key)
	if err != nil {
		return domain.Decimal{}, err
	}
	v, err := domain.ParseDecimal(s)
	if err != nil {
		return v, f.errorf(n, "%s: %w", key, err)
	}
	return v, nil
}

func (f mapFile) readMap(n *yaml.Node) (Map, error) {
	fields, err := f.fields(n, "the map", []string{"name", "function", "registers"}, []string{"unit_id", "byte_order", "word_order", "serial"})
	if err != nil {
		return Map{}, err
	}
	m := Map{UnitID: 1}
	if m.Name, err = f.scalar(fields["name"], "name"); err != nil {
		return Map{}, err
	}
	if err := domain.CheckID("map", m.Name); err != nil {
		return Map{}, f.errorf(fields["name"], "%w", err)
	}
	if m.Function, err = f.function(fields["function"]); err != nil {
		return Map{}, err
	}
	if id := fields["unit_id"]; id != nil {
		v, err := f.number(id, "unit_id", 255)
		if err != nil {
			return Map{}, err
		}
		if v == 0 {
			return Map{}, f.errorf(id, "unit_id is 0, which addresses no unit; use 1 to 255, and 1 or 255 for a meter that is not behind a gateway")
		}
		m.UnitID = uint8(v)
	}
	bytes, err := f.choice(fields["byte_order"], "byte_order", "big", "little")
	if err != nil {
		return Map{}, err
	}
	words, err := f.choice(fields["word_order"], "word_order", "high", "low")
	if err != nil {
		return Map{}, err
	}
	m.LittleEndian, m.LowWordFirst = bytes == 1, words == 1

	list := fields["registers"]
	if list.Kind != yaml.SequenceNode {
		return Map{}, f.errorf(list, "registers is not a list; begin each register with a dash")
	}
	for _, item := range list.Content {
		r, err := f.readRegister(item)
		if err != nil {
			return Map{}, err
		}
		if slices.ContainsFunc(m.Registers, func(o Register) bool { return o.Channel == r.Channel }) {
			return Map{}, f.errorf(item, "channel %s has a register already; keep one", r.Channel)
		}
		m.Registers = append(m.Registers, r)
	}
	if s := fields["serial"]; s != nil {
		if m.Serial, err = f.readSerial(s, m.Function); err != nil {
			return Map{}, err
		}
	}
	if err := m.Validate(); err != nil {
		return Map{}, f.errorf(n, "%w", err)
	}
	return m, nil
}

func (f mapFile) function(n *yaml.Node) (Function, error) {
	i, err := f.choice(n, "function", "holding", "input")
	return []Function{Holding, Input}[i], err
}

func (f mapFile) readRegister(n *yaml.Node) (Register, error) {
	fields, err := f.fields(n, "the register", []string{"channel", "address", "type", "unit"}, []string{"ratio", "modulus", "zero_is_null"})
	if err != nil {
		return Register{}, err
	}
	var r Register
	channel, err := f.scalar(fields["channel"], "channel")
	if err != nil {
		return r, err
	}
	if r.Channel, err = domain.ParseChannel(channel); err != nil {
		return r, f.errorf(fields["channel"], "channel %.40q; use energy.import or energy.export", channel)
	}
	address, err := f.number(fields["address"], "address", 1<<16-1)
	if err != nil {
		return r, err
	}
	r.Address = uint16(address)
	kind, err := f.scalar(fields["type"], "type")
	if err != nil {
		return r, err
	}
	r.Type = Type(kind)
	if r.Unit, err = f.unit(fields["unit"]); err != nil {
		return r, err
	}
	if r.Ratio, err = f.decimal(fields["ratio"], "ratio"); err != nil {
		return r, err
	}
	if m := fields["modulus"]; m != nil {
		if r.Modulus, err = f.modulus(m); err != nil {
			return r, err
		}
	}
	zero, err := f.choice(fields["zero_is_null"], "zero_is_null", "false", "true")
	if err != nil {
		return r, err
	}
	r.ZeroIsNull = zero == 1
	if err := r.Validate(); err != nil {
		return r, f.errorf(n, "%w", err)
	}
	return r, nil
}

// modulus reads a whole number of up to 2^64, which does not fit into 64 bits.
func (f mapFile) modulus(n *yaml.Node) (domain.Int128, error) {
	v, err := f.decimal(n, "modulus")
	if err != nil {
		return domain.Int128{}, err
	}
	whole, ok := v.Scaled(0)
	if !ok || whole.Sign() <= 0 || whole.BitLen() > 65 {
		return domain.Int128{}, f.errorf(n, "modulus is %s; use a whole number from 1 to 2^64, or leave it out if the register never wraps", v)
	}
	return domain.IntFromBig(whole)
}

// unit reads what one count stands for, in milliwatt-hours: "kWh", "0.1 kWh".
func (f mapFile) unit(n *yaml.Node) (domain.Decimal, error) {
	s, err := f.scalar(n, "unit")
	if err != nil {
		return domain.Decimal{}, err
	}
	for _, u := range energyUnits() {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		number = strings.TrimSpace(number)
		if number == "" {
			number = "1"
		}
		v, err := domain.ParseDecimal(number)
		if err != nil {
			return v, f.errorf(n, "unit %.40q: %w", s, err)
		}
		if v.Sign() <= 0 {
			return v, f.errorf(n, "unit is %.40q; one count stands for more than nothing", s)
		}
		return v.Shift(u.digits), nil
	}
	return domain.Decimal{}, f.errorf(n, "unit is %.40q; use Wh, kWh or MWh, with a number before it if a count is not one of them: 0.1 kWh", s)
}

func (f mapFile) readSerial(n *yaml.Node, function Function) (*Serial, error) {
	fields, err := f.fields(n, "the serial number", []string{"address", "type"}, []string{"function", "registers"})
	if err != nil {
		return nil, err
	}
	s := &Serial{Function: function}
	if fn := fields["function"]; fn != nil {
		if s.Function, err = f.function(fn); err != nil {
			return nil, err
		}
	}
	address, err := f.number(fields["address"], "address", 1<<16-1)
	if err != nil {
		return nil, err
	}
	kind, err := f.scalar(fields["type"], "type")
	if err != nil {
		return nil, err
	}
	s.Address, s.Type = uint16(address), Type(kind)
	s.Count = s.Type.count()
	if c := fields["registers"]; c != nil {
		count, err := f.number(c, "registers", countLimit)
		if err != nil {
			return nil, err
		}
		s.Count = uint16(count)
	}
	if err := s.validate(); err != nil {
		return nil, f.errorf(n, "%w", err)
	}
	return s, nil
}
