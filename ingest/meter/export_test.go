package meter

// What tests need of the inside.
var (
	Exact = exact
	Spans = func(m Map) (out [][3]uint16) {
		for _, s := range m.spans() {
			out = append(out, [3]uint16{uint16(s.function), s.address, s.count})
		}
		return out
	}
)

// Offsets returns where each point of a SunSpec meter is read, by its name in
// the model, and how many registers a request takes.
func Offsets() (points map[string]int, read int) {
	return map[string]int{
		"ID": offsetID, "L": offsetLength, "W": offsetPower,
		"TotWhExp": offsetExport, "TotWhImp": offsetImport, "TotWh_SF": offsetScale,
	}, meterRead
}

// MeterLength is the length of a meter model.
const MeterLength = meterLength
