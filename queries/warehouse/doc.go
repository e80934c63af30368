// Package warehouse publishes the log as tables that any DuckDB client can
// read while the site keeps running.
//
// It holds nothing of its own: what it publishes follows from the log, and a
// folder that is deleted is made again. Readings go into Parquet parts that
// never change once they have their name; all else goes into one small
// database file, warehouse.duckdb, which is replaced as a whole. So a client
// never waits for a lock, and each of its queries sees one published position.
//
// What is concluded about a local day of a site (the tables of days.sql) is
// drawn once the day is over, into a file of the day, and ten days after the
// end of a month its files become one. A publication draws the days that are
// not over, those that came to an end, and those of which an event since the
// last publication changes something: their new files take the place of the old
// ones, which stay for the grace of clients that read them. So its time does not
// grow with the history. Views unite the files with the days that are not over,
// which are tables of the schema open, and put the published position into each
// row: what is in a file holds up to there, or it would have been drawn again.
//
// The names of the files say which of them count, together with the position
// that the database says it is published at. A publisher that starts, after a
// kill too, deletes what no database names, learns from the events since that
// position what they change, and goes on.
//
// Money and quantities are computed in Go, exactly, before they come here. SQL
// stores them and adds them up; no column is a float.
//
// The tables are defined, with the meaning of every column, in schema.sql,
// days.sql, parts.sql and views.sql, which a person can read and run by hand.
package warehouse
