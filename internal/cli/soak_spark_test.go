//go:build soak && real

package cli

import "testing"

// TestSoakRealEMRKills kills thirty runs whose step is a Spark.
func TestSoakRealEMRKills(t *testing.T) {
	emrKills(t, sparks(t), 30)
}
