package duckdb

import (
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
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

var ordersFile = flag.String("orders", "", "a CSV of order lines for BenchmarkFused; by default a million are made")

// BenchmarkFused compares a whole step (extract, typed and checked, sql, Parquet, manifest)
// with plain DuckDB over the same file, turn by turn. The promise is a ratio of at most 1.10
// for ten million lines: make them, then -orders FILE -bench Fused -benchtime 3x.
func BenchmarkFused(b *testing.B) {
	csv := *ordersFile
	if csv == "" {
		csv = filepath.Join(b.TempDir(), "orders.csv")
		benchOrders(b, csv, 1_000_000)
	}
	dir := filepath.Dir(csv)
	p := &project{root: dir, bucket: filebucket.New(dir), texts: map[string]string{}, memory: "4GB"}
	out := b.TempDir()
	plain := func() error { return plainDuckDB(b, csv, filepath.Join(out, "plain.parquet")) }
	n := 0
	fused := func() error {
		n++
		return fusedStep(b, p, out, filepath.Base(csv), n)
	}
	b.Run("plain", func(b *testing.B) { measure(b, plain) })
	b.Run("fused", func(b *testing.B) { measure(b, fused) })
	b.Run("ratio", func(b *testing.B) { // turn by turn, so that the machine's other work hits both
		pair := measure(b, plain, fused)
		b.ReportMetric(pair[1]/pair[0], "ratio")
	})
}

// measure gives the median seconds of each.
func measure(b *testing.B, each ...func() error) []float64 {
	b.Helper()
	times := make([][]float64, len(each))
	for b.Loop() {
		for i, f := range each {
			start := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			times[i] = append(times[i], time.Since(start).Seconds())
		}
	}
	out := make([]float64, len(each))
	for i, t := range times {
		slices.Sort(t)
		out[i] = t[len(t)/2]
	}
	return out
}

func fusedStep(b *testing.B, p *project, out, csv string, n int) error {
	b.Helper()
	e := &flow.Extract{From: csv, Columns: cols("order_line_id bigint", "customer_id string", "order_date date", "region string", "product string", "quantity bigint", "amount decimal(12,2)", "status string")}
	j := flow.DatasetJob{Engine: "duckdb", Slot: slotAt("orders", "20171106"), Extract: e, SQL: p.sql(benchQuery),
		Checks: []flow.Check{{Kind: "not_null", Columns: []string{"amount"}}, {Kind: "unique", Columns: []string{"region", "product", "order_date"}}}}
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	c := p.config()
	c.Store.Bucket, c.Temp = filebucket.New(out), filepath.Join(out, "tmp")
	_, err = Tasks(c)["extract"](b.Context(), flow.Request{Run: fmt.Sprint("bench", n), Key: "k", State: "s", Attempt: 1, Arguments: text})
	return err
}

func plainDuckDB(b *testing.B, csv, to string) error {
	b.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // in memory
	_, err = db.ExecContext(b.Context(), fmt.Sprintf(`COPY (SELECT region, product, order_date, sum(quantity)::BIGINT AS quantity, sum(amount) AS amount, count(*) AS lines FROM read_csv(%s, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', store_rejects = true,
columns = {'order_line_id': 'BIGINT', 'customer_id': 'VARCHAR', 'order_date': 'DATE', 'region': 'VARCHAR', 'product': 'VARCHAR', 'quantity': 'BIGINT', 'amount': 'DECIMAL(12,2)', 'status': 'VARCHAR'})
WHERE status <> 'cancelled' GROUP BY ALL) TO %s (FORMAT parquet)`, quote(csv), quote(to)))
	return err
}
