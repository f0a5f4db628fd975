package duckdb

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	filebucket "github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/flow"
)

// benchOrders makes order lines, about 55 bytes each.
func benchOrders(tb testing.TB, path string, rows int) {
	tb.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // in memory
	_, err = db.ExecContext(tb.Context(), fmt.Sprintf(`COPY (SELECT i AS order_line_id, 'C' || (i * 7919 %% 250000) AS customer_id, DATE '2017-11-01' + (i %% 28)::INT AS order_date,
['north', 'south', 'east', 'west'][1 + i %% 4] AS region, 'P' || (i %% 5000) AS product, (i %% 9 + 1) AS quantity, ((i * 31 %% 100000) / 100.0)::DECIMAL(12,2) AS amount,
CASE WHEN i %% 17 = 0 THEN 'cancelled' ELSE 'shipped' END AS status FROM range(%d) t(i)) TO %s (HEADER)`, rows, quote(path)))
	if err != nil {
		tb.Fatal(err)
	}
}

const benchQuery = "select region, product, order_date, sum(quantity) as quantity, sum(amount) as amount, count(*) as lines from source where status <> 'cancelled' group by region, product, order_date"

// BenchmarkFused compares a whole step (extract, typed and checked, sql, Parquet, manifest)
// with plain DuckDB over the same file. TIDEMILL_BENCH_ROWS sets the size; 10 million is the
// figure that is promised. Run it with -benchtime 3x.
func BenchmarkFused(b *testing.B) {
	rows := 1_000_000
	if s := os.Getenv("TIDEMILL_BENCH_ROWS"); s != "" { //nolint:forbidigo // a size for a person who measures
		if _, err := fmt.Sscan(s, &rows); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	csv := filepath.Join(dir, "orders.csv")
	benchOrders(b, csv, rows)
	p := &project{root: dir, bucket: filebucket.New(dir), texts: map[string]string{}, memory: "4GB"}
	e := &flow.Extract{From: "orders.csv", Columns: cols("order_line_id bigint", "customer_id string", "order_date date", "region string", "product string", "quantity bigint", "amount decimal(12,2)", "status string")}
	q := p.sql(benchQuery)
	var plain, fused []float64
	b.ResetTimer()
	for n := range b.N {
		start := time.Now()
		if err := plainDuckDB(b, csv, filepath.Join(dir, "plain.parquet")); err != nil {
			b.Fatal(err)
		}
		plain = append(plain, time.Since(start).Seconds())
		start = time.Now()
		j := flow.DatasetJob{Engine: "duckdb", Slot: slotAt("orders", fmt.Sprintf("2017%02d%02d", n/28+1, n%28+1)), Extract: e, SQL: q,
			Checks: []flow.Check{{Kind: "not_null", Columns: []string{"amount"}}, {Kind: "unique", Columns: []string{"region", "product", "order_date"}}}}
		text, err := json.Marshal(j)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Tasks(p.config())["extract"](b.Context(), flow.Request{Run: fmt.Sprint("bench", n), Key: "k", State: "s", Attempt: 1, Arguments: text}); err != nil {
			b.Fatal(err)
		}
		fused = append(fused, time.Since(start).Seconds())
	}
	slices.Sort(plain)
	slices.Sort(fused)
	b.ReportMetric(plain[len(plain)/2], "plain-s")
	b.ReportMetric(fused[len(fused)/2], "fused-s")
	b.ReportMetric(fused[len(fused)/2]/plain[len(plain)/2], "ratio")
}

func plainDuckDB(b *testing.B, csv, to string) error {
	b.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // in memory
	_, err = db.ExecContext(b.Context(), fmt.Sprintf(`COPY (SELECT region, product, order_date, sum(quantity)::BIGINT AS quantity, sum(amount) AS amount, count(*) AS lines FROM read_csv(%s, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
columns = {'order_line_id': 'BIGINT', 'customer_id': 'VARCHAR', 'order_date': 'DATE', 'region': 'VARCHAR', 'product': 'VARCHAR', 'quantity': 'BIGINT', 'amount': 'DECIMAL(12,2)', 'status': 'VARCHAR'})
WHERE status <> 'cancelled' GROUP BY ALL) TO %s (FORMAT parquet)`, quote(csv), quote(to)))
	return err
}
