package warehouse

import (
	"fmt"
	"strconv"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// focus adds the FOCUS rows of an invoice or a note: those of its document.
func (h *history) focus(p domain.Position, rows []document.FOCUSRow) error {
	for _, r := range rows {
		var cells []any
		for _, c := range h.tables.relations["focus_cost_and_usage"].columns {
			cell, err := c.parse(r[c.name])
			if err != nil {
				return fmt.Errorf("FOCUS row of %s: %w", r["InvoiceId"], err)
			}
			if c.name == "x_Position" {
				cell = p
			}
			cells = append(cells, cell)
		}
		if err := h.tables.add("focus_cost_and_usage", cells...); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a cell of the column as text has it.
func (c column) parse(s string) (any, error) {
	if s == "" {
		return nil, nil
	}
	var v any
	var err error
	switch {
	case c.width > 0:
		var d domain.Decimal
		d, err = domain.ParseDecimal(s)
		v = rounded{d}
	case c.typ == "TIMESTAMP":
		v, err = domain.ParseInstant(s)
	case c.typ == "BIGINT":
		v, err = strconv.ParseInt(s, 10, 64)
	default:
		v = s
	}
	if err != nil {
		return nil, fmt.Errorf("column %s %s: %w", c.name, c.typ, err)
	}
	return v, nil
}
