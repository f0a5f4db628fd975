//go:build real && soak

package cli

import (
	"testing"
)

// TestSoakRealOrdersPySpark runs the script of the example on every day that there is.
func TestSoakRealOrdersPySpark(t *testing.T) {
	_, days := readCSV(t, "../../examples/orders/expected/by_day.csv")
	ordersPySpark(t, "spark", sortedKeys(days)...)
}
