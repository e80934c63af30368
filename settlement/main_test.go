package settlement_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets each property play 40 books: each is some months of a site, and
// is billed several times. -rapid.checks asks for more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
