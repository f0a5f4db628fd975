//go:build soak

package cli

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// soakDir is set in the child, which is this test binary again: its peak of memory is then
// that of the run alone.
const soakDir = "TIDEMILL_SOAK_DIR"

// TestSoakHundredMillion runs a pipeline over a hundred million order lines, about 6 GB, with
// a gigabyte of memory for DuckDB: all of them are read and counted, and the process stays
// under 1.5 GB. TIDEMILL_SOAK_ROWS makes it shorter.
func TestSoakHundredMillion(t *testing.T) {
	if dir := os.Getenv(soakDir); dir != "" {
		if code := Main([]string{"run", "orders", "-C", dir}, os.Stdin, os.Stdout, os.Stderr); code != 0 {
			os.Exit(code)
		}
		return
	}
	rows := 100_000_000
	if n, err := strconv.Atoi(os.Getenv("TIDEMILL_SOAK_ROWS")); err == nil {
		rows = n
	}
	dir := t.TempDir()
	write := func(name, text string) {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tidemill.yaml", "project: soak\ntargets: { local: { engine: duckdb, memory: 1GB } }\n")
	write("pipelines/orders.yaml", fmt.Sprintf(`steps:
  totals:
    extract:
      from: data/orders.csv
      columns: { order_line_id: bigint, customer_id: string, order_date: date, region: string, product: string, quantity: bigint, amount: "decimal(12,2)", status: string }
    sql: |
      select customer_id, region, count(*) as lines, sum(quantity) as quantity, sum(amount) as amount, max(order_date) as last_day, max(order_line_id) as last_line, max(product) as last_product, max(status) as status
      from source group by customer_id, region
    checks: [{ unique: [customer_id, region] }, { not_null: amount }]
  sorted:
    extract: { from: data/orders.csv, columns: { order_line_id: bigint, customer_id: string, order_date: date, region: string, product: string, quantity: bigint, amount: "decimal(12,2)", status: string } }
    sql: select order_line_id, customer_id, amount from source order by customer_id, order_line_id
    checks: [{ rows: { min: %d, max: %d } }]
  whole:
    sql: select sum(lines) as lines, max(last_line) as last_line from totals
    checks: [{ sql: "lines = %d" }, { sql: "last_line = %d" }]
`, rows, rows, rows, rows-1))
	size := soakOrders(t, filepath.Join(dir, "data", "orders.csv"), rows)
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSoakHundredMillion$", "-test.timeout", "0")
	c.Env = append(os.Environ(), soakDir+"="+dir)
	begun := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	use := c.ProcessState.SysUsage().(*syscall.Rusage)
	took, peak := time.Since(begun), use.Maxrss>>10
	t.Logf("%d rows, %d MB: %.1f s, %.1f CPU s, peak %d MB", rows, size>>20, took.Seconds(), time.Duration(use.Utime.Nano()+use.Stime.Nano()).Seconds(), peak)
	if peak > 1536 {
		t.Errorf("the process grew to %d MB; 1.5 GB are allowed", peak)
	}
}

// soakOrders streams order lines into a file.
func soakOrders(t *testing.T, path string, rows int) int64 {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	line := []byte("order_line_id,customer_id,order_date,region,product,quantity,amount,status\n")
	size := int64(0)
	regions, statuses := [...]string{"north", "south", "east", "west"}, [...]string{"shipped", "paid", "cancelled"}
	for i := -1; i < rows; i++ {
		if i >= 0 {
			line = strconv.AppendInt(line[:0], int64(i), 10)
			line = append(line, ",C"...)
			line = strconv.AppendInt(line, int64(i)*7919%250_000, 10)
			line = append(line, ",2017-11-"...)
			line = append(line, byte('0'+(i%28+1)/10), byte('0'+(i%28+1)%10), ',')
			line = append(line, regions[i%4]...)
			line = append(line, ",P"...)
			line = strconv.AppendInt(line, int64(i%5000), 10)
			line = append(line, ',', byte('1'+i%9), ',')
			line = strconv.AppendInt(line, int64(i*31%1000), 10)
			line = append(line, '.', byte('0'+i%10), '5', ',')
			line = append(line, statuses[i%3]...)
			line = append(line, '\n')
		}
		n, err := w.Write(line)
		if size += int64(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return size
}
