//go:build soak

package cli

import (
	"testing"
)

// TestSoakKills kills a run before and after every call of its journal, and at random
// instants besides.
func TestSoakKills(t *testing.T) {
	t.Parallel()
	kills(t, 200)
}

// TestSoakEMRKills kills runs on clusters before and after every call of the journal, and at
// random instants, under fault scripts.
func TestSoakEMRKills(t *testing.T) {
	t.Parallel()
	emrKills(t, shells, 120)
}

// TestSoakLongLine gives the example a line of a gigabyte.
func TestSoakLongLine(t *testing.T) {
	for _, h := range hostileDays(t, 1<<30) {
		if h.name == "a long line" {
			h.try(t)
			return
		}
	}
	t.Fatal("there is no such day")
}
