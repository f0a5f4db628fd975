//go:build soak && real

package cli

import (
	"path/filepath"
	"testing"
)

// TestSoakRealEMRKills kills thirty runs whose step is a Spark.
func TestSoakRealEMRKills(t *testing.T) {
	emrKills(t, sparks(t), 30)
}

// TestSoakRealOrdersOnEMR runs every day of the example on a cluster.
func TestSoakRealOrdersOnEMR(t *testing.T) {
	_, days := readCSV(t, filepath.Join("..", "..", "examples", "orders", "expected", "by_day.csv"))
	ordersPySpark(t, "emr-local", sortedKeys(days)...)
}
