package warehouse

import (
	"fmt"
	"strconv"
	"time"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// focus adds the FOCUS rows of an invoice or a note: those of its document.
func (h *history) focus(p domain.Position, table string, rows []document.FOCUSRow) error {
	for _, r := range rows {
		var cells []any
		for _, c := range h.tables.relations[table].columns {
			cell, err := c.parse(r[c.name])
			if err != nil {
				return fmt.Errorf("FOCUS row of %s: %w", r["InvoiceId"], err)
			}
			if c.name == "x_Position" {
				cell = p
			}
			cells = append(cells, cell)
		}
		if err := h.tables.add(table, cells...); err != nil {
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
	case c.typ == "DATE":
		var midnight time.Time
		midnight, err = time.Parse(time.DateOnly, s)
		v = day(midnight.Unix() / 86_400)
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

// prepayment adds the row of a prepayment, by the version of its contract that
// was in force when the money arrived, or else the first.
func (h *history) prepayment(p domain.Position, e domain.PrepaymentReceived) error {
	versions := h.contracts[e.Contract]
	if len(versions) == 0 {
		return nil // the door lets none in: there is no one who paid it
	}
	c := versions[0]
	for _, v := range versions {
		if v.Start <= e.At {
			c = v
		}
	}
	location, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("prepayment on contract %s: zone %q: %w", e.Contract, c.Zone, err)
	}
	at := e.At.Time().In(location)
	month := domain.Period{Year: at.Year(), Month: at.Month()}.In(location)
	return h.focus(p, "focus_cost_and_usage", []document.FOCUSRow{document.FOCUSPrepayment(c, e, month, p)})
}
