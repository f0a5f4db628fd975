//go:build soak && real

package cli

import (
	"path/filepath"
	"testing"

	"github.com/tidemill/tidemill/internal/conform/parts"
)

// TestSoakRealEMRKills kills thirty runs whose step is a Spark.
func TestSoakRealEMRKills(t *testing.T) {
	emrKills(t, sparks(t), 30)
}

// TestSoakRealOrdersPySpark runs every day of the example on this machine's Spark.
func TestSoakRealOrdersPySpark(t *testing.T) {
	_, days := readCSV(t, filepath.Join("..", "..", "examples", "orders", "expected", "by_day.csv"))
	ordersPySpark(t, "spark", sortedKeys(days)...)
}

// TestSoakRealOrdersOnEMR runs every day of the example on a cluster.
func TestSoakRealOrdersOnEMR(t *testing.T) {
	_, days := readCSV(t, filepath.Join("..", "..", "examples", "orders", "expected", "by_day.csv"))
	ordersPySpark(t, "emr-local", sortedKeys(days)...)
}

// TestSoakRealOrder360 kills Order 360 twice in each of its states.
func TestSoakRealOrder360(t *testing.T) { order360OnOpenSearch(t, killsIn(states360...)) }

// TestSoakRealOrder360PySpark runs three days of the example in PySpark on each target, and
// kills the last in each of its states.
func TestSoakRealOrder360PySpark(t *testing.T) {
	node := startNode360(t, parts.OpenSearch)
	all := func(target string) (runs []run360) {
		for _, day := range days360 {
			runs = append(runs, run360{target, day})
		}
		return runs
	}
	both := []string{"orders", "customers", "products.script", "products", "order_360.script", "order_360", "lake", "search", "lake.flip", "search.flip"}
	order360PySpark(t, node, killsIn(both...), all("spark")...)
	order360PySpark(t, node, killsIn("customers", "products.script", "order_360", "search.flip"), all("emr-local")...)
}
