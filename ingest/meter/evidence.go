package meter

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// Decoder is the name and version of [Decode].
const Decoder = "modbus/1"

// The form of the evidence: lines of words parted by one space, decimal
// numbers, in the order of the configuration.
//
//	modbus/1
//	meter <device> <provenance> <host:port> <unit id>
//
// and for each meter how its replies are to be understood, which is one of
//
//	sunspec                                  its models were not found
//	sunspec <meter model> <serial number>    their addresses; serial 0 if there is none
//	map <name> <function> <big|little> <high|low>
//	  register <channel> <address> <type> <milliwatt-hours> <ratio> <modulus> <zero|null>
//	  serial <function> <address> <type> <registers>
//
// then every reply as it came, and why there were no more of them:
//
//	read <function> <address> <bytes in hexadecimal>
//	exception <function> <address> <registers> <code>
//	silent <reason to the end of the line>
//	senseless <reason to the end of the line>
//
// Words that follow "map" are in the byte order and the word order of a value;
// the last word of a register says what its 0 means. Nothing else is needed to
// decode it again: no configuration of that day.

// observation is what was asked of one meter in one poll and what came of it.
type observation struct {
	Meter
	layout    *layout // of a SunSpec meter, once it is known
	replies   []reply
	silent    string // why no answer came
	senseless string // why an answer could not be used
}

// reply is one reply of a meter. Its data are nil if it is an exception.
type reply struct {
	span
	data      []byte
	exception exception
}

// appendTo writes the observation.
func (o observation) appendTo(b []byte) []byte {
	b = fmt.Appendf(b, "meter %s %s %s %d\n", o.Device, o.Provenance, o.Address, o.Unit)
	switch m := o.Map; {
	case m == nil && o.layout == nil:
		b = fmt.Appendln(b, "sunspec")
	case m == nil:
		b = fmt.Appendln(b, "sunspec", o.layout.model, o.layout.serial)
	default:
		b = fmt.Appendln(b, "map", m.Name, m.Function, pick(m.LittleEndian, "little", "big"), pick(m.LowWordFirst, "low", "high"))
		for _, r := range m.Registers {
			b = fmt.Appendln(b, "register", r.Channel, r.Address, r.Type, r.Unit, r.Ratio, r.Modulus, pick(r.ZeroIsNull, "null", "zero"))
		}
		if s := m.Serial; s != nil {
			b = fmt.Appendln(b, "serial", s.Function, s.Address, s.Type, s.Count)
		}
	}
	for _, r := range o.replies {
		if r.data == nil {
			b = fmt.Appendln(b, "exception", r.function, r.address, r.count, uint8(r.exception))
			continue
		}
		b = fmt.Appendf(b, "read %d %d %x\n", r.function, r.address, r.data)
	}
	if o.silent != "" {
		b = fmt.Appendln(b, "silent", oneLine(o.silent))
	}
	if o.senseless != "" {
		b = fmt.Appendln(b, "senseless", oneLine(o.senseless))
	}
	return b
}

func pick(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// finder returns the bytes of registers that were read.
type finder func(f Function, address, count uint16) ([]byte, error)

// find is a finder over the replies of the observation. The latest counts.
func (o observation) find(f Function, address, count uint16) ([]byte, error) {
	for i := len(o.replies) - 1; i >= 0; i-- {
		r := o.replies[i]
		from := 2 * (int(address) - int(r.address))
		if r.function == f && from >= 0 && from+2*int(count) <= len(r.data) {
			return r.data[from : from+2*int(count)], nil
		}
	}
	return nil, fmt.Errorf("%d registers at %d were not read", count, address)
}

// Decode turns the evidence of a poll into what the poll delivered. It needs
// nothing but the bytes, so history can be decoded again at any time.
//
// Meters given beside it take the place of what the evidence says of the same
// device: where a map or a provenance was wrong, the old replies are decoded
// by the right one. It is an error if raw is not evidence of this package; that
// a meter's reply makes no sense is a rejection of the delivery.
func Decode(raw []byte, corrected ...Meter) (ingest.Delivery, error) {
	d := ingest.Delivery{Decoder: Decoder, Raw: raw}
	observations, err := parse(raw)
	if err != nil {
		return d, err
	}
	for _, o := range observations {
		for _, c := range corrected {
			if c.Device == o.Device {
				o.Map, o.Provenance = c.Map, c.Provenance
			}
		}
		o.deliver(&d)
	}
	return d, nil
}

// deliver adds what the observation amounts to.
func (o observation) deliver(d *ingest.Delivery) {
	silent, rejected := o.silent, o.senseless
	if last, ok := o.refused(); ok && silent == "" && rejected == "" {
		if last.exception.silent() {
			silent = last.exception.Error()
		} else {
			rejected = fmt.Sprintf("%s when asked for %d registers at %d", last.exception, last.count, last.address)
		}
	}
	if silent == "" && rejected == "" {
		samples, err := o.samples()
		if err == nil {
			d.Samples = append(d.Samples, samples...)
			return
		}
		rejected = err.Error()
	}
	if silent != "" {
		for _, c := range o.channels() {
			d.Silent = append(d.Silent, ingest.Silence{Device: o.Device, Channel: c, Reason: silent})
		}
		return
	}
	d.Rejected = append(d.Rejected, ingest.Rejection{Device: o.Device, Reason: rejected})
}

// refused returns the last reply if it is an exception: nothing more was asked
// after it.
func (o observation) refused() (reply, bool) {
	if len(o.replies) == 0 {
		return reply{}, false
	}
	last := o.replies[len(o.replies)-1]
	return last, last.data == nil
}

// samples decodes the replies.
func (o observation) samples() ([]ingest.Sample, error) {
	var samples []ingest.Sample
	var err error
	switch {
	case o.Map != nil:
		samples, err = o.Map.samples(o.find)
	case o.layout != nil:
		samples, err = o.layout.samples(o.find)
	default:
		err = errors.New("where the models of the SunSpec device begin is not known")
	}
	for i := range samples {
		samples[i].Device, samples[i].Provenance = o.Device, o.Provenance
	}
	return samples, err
}

// channels returns what the meter would have been read for.
func (o observation) channels() []domain.Channel {
	if o.Map == nil {
		return []domain.Channel{domain.ChannelEnergyImport}
	}
	var out []domain.Channel
	for _, r := range o.Map.Registers {
		out = append(out, r.Channel)
	}
	return out
}

// parse reads what appendTo wrote.
func parse(raw []byte) ([]observation, error) {
	first, rest, _ := bytes.Cut(raw, []byte("\n"))
	if string(first) != Decoder {
		return nil, fmt.Errorf("decode meter evidence: line 1 is %.20q, want %q", first, Decoder)
	}
	var out []observation
	for line := 2; len(rest) > 0; line++ {
		var b []byte
		b, rest, _ = bytes.Cut(rest, []byte("\n"))
		key, tail, _ := strings.Cut(string(b), " ")
		var err error
		switch {
		case key == "meter":
			if len(out) > 0 {
				err = out[len(out)-1].complete()
			}
			out = append(out, observation{})
			if err == nil {
				err = out[len(out)-1].parseMeter(tail)
			}
		case len(out) == 0:
			err = errors.New("comes before the first meter")
		default:
			err = out[len(out)-1].parseLine(key, tail)
		}
		if err != nil {
			return nil, fmt.Errorf("decode meter evidence: line %d: %.20s: %w", line, key, err)
		}
	}
	if len(out) > 0 {
		if err := out[len(out)-1].complete(); err != nil {
			return nil, fmt.Errorf("decode meter evidence: end: %w", err)
		}
	}
	return out, nil
}

// complete reports whether all of a meter has been told.
func (o observation) complete() error {
	if o.Map != nil {
		return o.Map.Validate()
	}
	return nil
}

// words splits a line into exactly n words.
func words(line string, n int) ([]string, error) {
	w := strings.Split(line, " ")
	if len(w) != n {
		return nil, fmt.Errorf("%d words, want %d", len(w), n)
	}
	return w, nil
}

func (o *observation) parseMeter(line string) error {
	w, err := words(line, 4)
	if err != nil {
		return err
	}
	o.Device, o.Address = domain.DeviceID(w[0]), w[2]
	if err := domain.CheckID("device", o.Device); err != nil {
		return err
	}
	if o.Provenance, err = domain.ParseProvenance(w[1]); err != nil {
		return err
	}
	unit, err := number(w[3], 8)
	o.Unit = uint8(unit)
	return err
}

func (o *observation) parseLine(key, line string) error {
	switch key {
	case "sunspec":
		return o.parseSunSpec(line)
	case "map":
		return o.parseMap(line)
	case "register":
		return o.parseRegister(line)
	case "serial":
		return o.parseSerial(line)
	case "read":
		return o.parseRead(line)
	case "exception":
		return o.parseException(line)
	case "silent", "senseless":
		if line == "" {
			return errors.New("has no reason")
		}
		if key == "silent" {
			o.silent = line
		} else {
			o.senseless = line
		}
		return nil
	}
	return errors.New("is not a line of meter evidence")
}

func (o *observation) parseSunSpec(line string) error {
	if line == "" {
		return nil
	}
	w, err := words(line, 2)
	if err != nil {
		return err
	}
	model, err := number(w[0], 16)
	if err != nil {
		return err
	}
	serial, err := number(w[1], 16)
	o.layout = &layout{model: uint16(model), serial: uint16(serial)}
	return err
}

func (o *observation) parseMap(line string) error {
	w, err := words(line, 4)
	if err != nil {
		return err
	}
	f, err := number(w[1], 8)
	if err != nil {
		return err
	}
	m := Map{Name: w[0], Function: Function(f)}
	if m.LittleEndian, err = either(w[2], "little", "big"); err != nil {
		return err
	}
	if m.LowWordFirst, err = either(w[3], "low", "high"); err != nil {
		return err
	}
	o.Map = &m
	return nil
}

func (o *observation) parseRegister(line string) error {
	w, err := words(line, 7)
	if err != nil {
		return err
	}
	if o.Map == nil {
		return errors.New("has no map")
	}
	r := Register{Type: Type(w[2])}
	if r.Channel, err = domain.ParseChannel(w[0]); err != nil {
		return err
	}
	address, err := number(w[1], 16)
	if err != nil {
		return err
	}
	r.Address = uint16(address)
	if r.Unit, err = domain.ParseDecimal(w[3]); err != nil {
		return err
	}
	if r.Ratio, err = domain.ParseDecimal(w[4]); err != nil {
		return err
	}
	if r.Modulus, err = domain.ParseInt(w[5]); err != nil {
		return err
	}
	if r.ZeroIsNull, err = either(w[6], "null", "zero"); err != nil {
		return err
	}
	o.Map.Registers = append(o.Map.Registers, r)
	return r.Validate()
}

func (o *observation) parseSerial(line string) error {
	w, err := words(line, 4)
	if err != nil {
		return err
	}
	if o.Map == nil {
		return errors.New("has no map")
	}
	s := Serial{Type: Type(w[2])}
	f, err := number(w[0], 8)
	if err != nil {
		return err
	}
	address, err := number(w[1], 16)
	if err != nil {
		return err
	}
	count, err := number(w[3], 16)
	if err != nil {
		return err
	}
	s.Function, s.Address, s.Count = Function(f), uint16(address), uint16(count)
	o.Map.Serial = &s
	return s.validate()
}

func (o *observation) parseRead(line string) error {
	w, err := words(line, 3)
	if err != nil {
		return err
	}
	r := reply{}
	if r.function, r.address, err = place(w); err != nil {
		return err
	}
	if r.data, err = hex.DecodeString(w[2]); err != nil {
		return err
	}
	if n := len(r.data); n == 0 || n%2 != 0 || n > 2*countLimit {
		return fmt.Errorf("%d bytes; want 2 to %d, an even number", n, 2*countLimit)
	}
	r.count = uint16(len(r.data) / 2)
	o.replies = append(o.replies, r)
	return nil
}

func (o *observation) parseException(line string) error {
	w, err := words(line, 4)
	if err != nil {
		return err
	}
	r := reply{}
	if r.function, r.address, err = place(w); err != nil {
		return err
	}
	count, err := number(w[2], 16)
	if err != nil {
		return err
	}
	code, err := number(w[3], 8)
	r.count, r.exception = uint16(count), exception(code)
	o.replies = append(o.replies, r)
	return err
}

// place reads the function and the address of a reply.
func place(w []string) (Function, uint16, error) {
	f, err := number(w[0], 8)
	if err == nil {
		err = Function(f).validate()
	}
	if err != nil {
		return 0, 0, err
	}
	address, err := number(w[1], 16)
	return Function(f), uint16(address), err
}

func number(s string, bits int) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%.20q is not a number of %d bits", s, bits)
	}
	return v, nil
}

func either(s, yes, no string) (bool, error) {
	if s != yes && s != no {
		return false, fmt.Errorf("%.20q is neither %s nor %s", s, yes, no)
	}
	return s == yes, nil
}
