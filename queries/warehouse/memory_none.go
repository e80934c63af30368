//go:build !linux && !darwin

package warehouse

// limitMemory leaves it to DuckDB's own limit.
func limitMemory(string) error { return nil }
