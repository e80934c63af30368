// Package domain states what happens at a site that mines bitcoin and serves
// AI compute, in units that cannot be confused.
//
// It holds values only: quantities, instants and intervals, identifiers,
// devices, contracts and the events that the log records. It imports the
// standard library and one decimal library, and it reads no clock, file,
// network, environment or random number, so a replay years later gives the
// same answer to the last milliwatt-hour.
//
// Three clocks never mix (see [Instant]): the half-open [Interval] that a fact
// is about, the instant at which a source observed it ([Origin]), and the
// instant at which the log recorded it. A [Position] in the log is knowledge
// time.
package domain
