package meter

import (
	"fmt"
	"slices"

	"wattbook/domain"
)

// Meters returns the meters that the evidence of a poll is of, each as it was
// understood then; without a map it was read as SunSpec says. It is an error if
// raw is not evidence of this package.
func Meters(raw []byte) ([]Meter, error) {
	observations, err := parse(raw)
	if err != nil {
		return nil, err
	}
	all := make([]Meter, len(observations))
	for i, o := range observations {
		all[i] = o.Meter
	}
	return all, nil
}

// Difference is a key of a register map that says another thing in another
// map.
type Difference struct {
	Channel  domain.Channel // of the register; 0: it is of the whole map
	Key      string         // as in the file of a map; "registers": only one has the channel
	Was, Now string
}

// Differences returns what a map says otherwise than one that came before it,
// of what the values of registers follow from. Its name and the serial number's
// place are not of that.
func (m Map) Differences(before Map) (all []Difference) {
	differ := func(channel domain.Channel, key, was, now string) {
		if was != now {
			all = append(all, Difference{channel, key, was, now})
		}
	}
	differ(0, "function", before.Function.name(), m.Function.name())
	differ(0, "byte_order", pick(before.LittleEndian, "little", "big"), pick(m.LittleEndian, "little", "big"))
	differ(0, "word_order", pick(before.LowWordFirst, "low", "high"), pick(m.LowWordFirst, "low", "high"))
	for _, was := range before.Registers {
		i := slices.IndexFunc(m.Registers, func(r Register) bool { return r.Channel == was.Channel })
		if i < 0 {
			differ(was.Channel, "registers", "there", "not there")
			continue
		}
		now := m.Registers[i]
		differ(was.Channel, "address", fmt.Sprintf("%#04x", was.Address), fmt.Sprintf("%#04x", now.Address))
		differ(was.Channel, "type", string(was.Type), string(now.Type))
		differ(was.Channel, "unit", unitText(was.Unit), unitText(now.Unit))
		differ(was.Channel, "ratio", was.Ratio.String(), now.Ratio.String())
		differ(was.Channel, "modulus", modulusText(was.Modulus), modulusText(now.Modulus))
		differ(was.Channel, "zero_is_null", fmt.Sprint(was.ZeroIsNull), fmt.Sprint(now.ZeroIsNull))
	}
	for _, now := range m.Registers {
		if !slices.ContainsFunc(before.Registers, func(r Register) bool { return r.Channel == now.Channel }) {
			differ(now.Channel, "registers", "not there", "there")
		}
	}
	return all
}

// name returns the function as the file of a map has it.
func (f Function) name() string {
	switch f {
	case Holding:
		return "holding"
	case Input:
		return "input"
	}
	return fmt.Sprint(uint8(f))
}

// unitText writes a unit of milliwatt-hours in Wh.
func unitText(milliwattHours domain.Decimal) string { return milliwattHours.Shift(-3).String() + " Wh" }

func modulusText(v domain.Int128) string {
	if v.Sign() == 0 {
		return "none"
	}
	return v.String()
}
