package pools

import (
	"wattbook/domain"
	"wattbook/projections/facts"
)

// DayOffset returns how long after midnight UTC the earning days of an account
// begin.
func DayOffset(f *facts.Facts, a Account) domain.Instant {
	_, _, offset := grid(f, a)
	return offset
}
