package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wattbook/queries/warehouse"
)

// sqlKnown are statements for what a parameter of a question can be, in order.
func sqlKnown() map[string]string {
	return map[string]string{
		"month":    "SELECT DISTINCT strftime(local_day, '%Y-%m') FROM local_days ORDER BY 1",
		"day":      "SELECT DISTINCT strftime(local_day, '%Y-%m-%d') FROM local_days ORDER BY 1",
		"customer": "SELECT DISTINCT customer FROM contracts ORDER BY 1",
		"number":   "SELECT number FROM invoices ORDER BY 1",
	}
}

// sqlEmpty says of an answer without rows which parameter of the question names
// something that the warehouse does not know, and what it does.
func (p *program) sqlEmpty(ctx context.Context, r sqlRequest) error {
	if r.question == "" {
		return nil
	}
	for _, name := range sortedKeys(r.limits.Variables) {
		statement, ok := sqlKnown()[name]
		if !ok {
			continue
		}
		limits := r.limits
		limits.Variables = nil
		var known []string
		err := r.worker.Query(ctx, r.dir, limits, statement, func([]warehouse.Column) error { return nil }, func(row []any) error {
			known = append(known, cellText(row[0], ""))
			return nil
		})
		if err != nil {
			return err
		}
		if value := r.limits.Variables[name]; !slices.Contains(known, value) {
			fmt.Fprintf(p.stderr, "wattbook sql: nothing is known of %s %s; there is %s\n", name, value, listed(name, known))
		}
	}
	return nil
}

// listed names what is known: times by the first and the last, of others at
// most twelve.
func listed(name string, known []string) string {
	const most = 12
	switch n := len(known); {
	case n == 0:
		return "none yet"
	case n > 1 && (name == "month" || name == "day"):
		return known[0] + " to " + known[n-1]
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(known[:most], ", "), n-most)
	}
	return strings.Join(known, ", ")
}
