//go:build !unix

package pebblelog

import "github.com/cockroachdb/pebble/v2/vfs"

// holder says which process has a folder locked: that cannot be told here.
func holder(vfs.FS, string, error) string { return "" }
