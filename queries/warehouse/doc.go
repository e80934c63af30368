// Package warehouse publishes the log as tables that any DuckDB client can
// read while the site keeps running.
//
// It holds nothing of its own: what it publishes follows from the log, and a
// folder that is deleted is made again. Readings go into Parquet parts that
// never change once they have their name; all else goes into one small
// database file, warehouse.duckdb, which is replaced as a whole. So a client
// never waits for a lock, and each of its queries sees one published position.
//
// Money and quantities are computed in Go, exactly, before they come here. SQL
// stores them and adds them up; no column is a float.
//
// The tables are defined, with the meaning of every column, in schema.sql,
// readings.sql and views.sql, which a person can read and run by hand.
package warehouse
