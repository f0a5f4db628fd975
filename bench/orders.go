package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	filebucket "github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/duckdb"
	"github.com/tidemill/tidemill/internal/flow"
)

// ordersSQL reads every declared column.
const ordersSQL = `select region, product, order_date, sum(quantity) as quantity, sum(amount) as amount, count(*) as lines, max(order_line_id) as last_line, max(customer_id) as last_customer
from source where status <> 'cancelled' group by region, product, order_date`

var ordersColumns = []struct{ name, spark, duck string }{
	{"order_line_id", "bigint", "BIGINT"}, {"customer_id", "string", "VARCHAR"}, {"order_date", "date", "DATE"}, {"region", "string", "VARCHAR"},
	{"product", "string", "VARCHAR"}, {"quantity", "bigint", "BIGINT"}, {"amount", "decimal(12,2)", "DECIMAL(12,2)"}, {"status", "string", "VARCHAR"},
}

// orders: a CSV of order lines, checked, grouped, as Parquet with a manifest; the rival is
// the same SQL over the same declared columns in plain DuckDB of the same build, with its
// table of rejects on. Each run is a process of its own.
func orders(ctx context.Context, s settings) error {
	csv := filepath.Join(s.dir, fmt.Sprintf("orders%d.csv", s.rows))
	if err := makeOrders(ctx, csv, s.rows); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out := filepath.Join(s.dir, "out")
	c, err := medians(ctx, s.rounds, s.dir, []string{self, "child", "fused", csv, out}, []string{self, "child", "plain", csv, out})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("orders%dm", s.rows/1_000_000)
	figure(name, c[0].seconds, "s", "duckdb", c[1].seconds)
	figure(name+"_cpu", c[0].cpu, "s", "duckdb", c[1].cpu)
	figure(name+"_memory", c[0].mb, "MB", "duckdb", c[1].mb)
	return os.RemoveAll(out)
}

// makeOrders makes the file where it is not there yet, about 55 bytes a line.
func makeOrders(ctx context.Context, csv string, rows int) error {
	if _, err := os.Stat(csv); err == nil {
		return nil
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`COPY (SELECT i AS order_line_id, 'C' || (i * 7919 %% 250000) AS customer_id, DATE '2017-11-01' + (i %% 28)::INT AS order_date,
['north', 'south', 'east', 'west'][1 + i %% 4] AS region, 'P' || (i %% 5000) AS product, (i %% 9 + 1) AS quantity, ((i * 31 %% 100000) / 100.0)::DECIMAL(12,2) AS amount,
CASE WHEN i %% 17 = 0 THEN 'cancelled' ELSE 'shipped' END AS status FROM range(%d) t(i)) TO '%s.new' (HEADER)`, rows, csv))
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return os.Rename(csv+".new", csv)
}

// ordersChild is one measured run: fused or plain, a csv, a folder.
func ordersChild(ctx context.Context, args []string) error {
	if err := os.MkdirAll(args[2], 0o700); err != nil {
		return err
	}
	if args[0] == "plain" {
		return plain(ctx, args[1], filepath.Join(args[2], "plain.parquet"))
	}
	return fused(ctx, args[1], args[2])
}

func plain(ctx context.Context, csv, to string) error {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`COPY (SELECT region, product, order_date, sum(quantity)::BIGINT AS quantity, sum(amount) AS amount, count(*) AS lines, max(order_line_id) AS last_line, max(customer_id) AS last_customer
FROM read_csv('%s', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', store_rejects = true, columns = {%s})
WHERE status <> 'cancelled' GROUP BY region, product, order_date) TO '%s' (FORMAT parquet)`, csv, duckColumns(), to))
	return errors.Join(err, db.Close())
}

// duckColumns are the declared columns as DuckDB's reader is told them.
func duckColumns() string {
	types := make([]string, len(ordersColumns))
	for i, c := range ordersColumns {
		types[i] = fmt.Sprintf("'%s': '%s'", c.name, c.duck)
	}
	return strings.Join(types, ", ")
}

// place is the project of the measured step.
type place struct{ root string }

// Bucket finds everything in the one folder.
func (p place) Bucket(_ context.Context, uri string) (flow.Bucket, string, error) {
	return filebucket.New(p.root), uri, nil
}

// Text has the one query.
func (p place) Text(context.Context, string) (string, error) { return ordersSQL, nil }

func fused(ctx context.Context, csv, out string) error {
	p := place{filepath.Dir(csv)}
	columns := make(flow.Schema, len(ordersColumns))
	for i, c := range ordersColumns {
		columns[i] = flow.Column{Name: c.name, Type: c.spark, Nullable: true}
	}
	job, err := json.Marshal(flow.DatasetJob{Engine: "duckdb", Slot: flow.Slot{Pipeline: "bench", Step: "orders", Time: "20171106T000000Z"},
		Extract: &flow.Extract{From: filepath.Base(csv), Columns: columns}, SQL: &flow.SQLText{Hash: "orders"},
		Checks: []flow.Check{{Kind: "not_null", Columns: []string{"amount"}}, {Kind: "unique", Columns: []string{"region", "product", "order_date"}}}})
	if err != nil {
		return err
	}
	tasks := duckdb.Tasks(duckdb.TaskConfig{Lookup: p, Store: dataset.Store{Bucket: filebucket.New(out), Prefix: "data", URI: "data"}, Temp: filepath.Join(out, "tmp")})
	text, err := tasks["extract"](ctx, flow.Request{Run: fmt.Sprint("bench-", time.Now().UnixNano()), Key: "k", State: "s", Attempt: 1, Arguments: job, Log: os.Stderr, Progress: func(flow.Progress) {}})
	if err != nil {
		return err
	}
	_, err = io.WriteString(os.Stdout, string(text)+"\n")
	return err
}
