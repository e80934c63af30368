package journal_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets each property play 30 books, some of two months: enough to have
// found the faults that they found. -rapid.checks asks for more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
