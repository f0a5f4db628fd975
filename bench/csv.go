package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// csvRows are what a loader's day is made of.
const csvRows = 1_000_000

// csvDLT is dlt's quickest way: Arrow tables by pyarrow's reader, typed by it.
const csvDLT = `import sys, dlt, pyarrow as pa, pyarrow.csv as pc
@dlt.resource(name="orders")
def rows():
    with pc.open_csv(sys.argv[1], convert_options=pc.ConvertOptions(column_types={"amount": pa.decimal128(12, 2)})) as r:
        for batch in r:
            yield pa.Table.from_batches([batch])
dlt.pipeline(pipeline_name="csv", pipelines_dir=sys.argv[2] + "/pipelines", destination=dlt.destinations.filesystem(bucket_url="file://" + sys.argv[2] + "/out"), dataset_name="d").run(rows(), loader_file_format="parquet")
`

// csv: a million lines become typed Parquet by a run of a pipeline; the rivals are plain
// DuckDB and dlt. Each is a process of its own.
func csv(ctx context.Context, s settings) error {
	file := filepath.Join(s.dir, fmt.Sprintf("orders%d.csv", csvRows))
	if err := makeOrders(ctx, file, csvRows); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "csv")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "pipelines"), 0o700); err != nil {
		return err
	}
	var declared []string
	for _, c := range ordersColumns {
		declared = append(declared, fmt.Sprintf("%s: %q", c.name, c.spark))
	}
	for name, text := range map[string]string{"tidemill.yaml": "project: bench\n", "rival.py": csvDLT,
		"pipelines/orders.yaml": fmt.Sprintf("steps:\n  orders: { extract: { from: %q, columns: { %s } } }\n", file, strings.Join(declared, ", "))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c, err := medians(ctx, s.rounds, dir, []string{binary, "run", "orders", "--again"}, []string{self, "child", "parquet", file, filepath.Join(dir, "plain.parquet")},
		[]string{filepath.Join(s.cache, "dlt-1.31.0/bin/python"), "rival.py", file, dir})
	if err != nil {
		return err
	}
	figure("csv1m", c[0].seconds, "s", "duckdb", c[1].seconds)
	figure("csv1m", c[0].seconds, "s", "dlt", c[2].seconds)
	figure("csv1m_memory", c[0].mb, "MB", "limit", 300)
	return os.RemoveAll(dir)
}

// parquetChild is parquet CSV FILE: the declared columns by plain DuckDB, its table of rejects on.
func parquetChild(ctx context.Context, args []string) error {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`COPY (FROM read_csv('%s', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', store_rejects = true, columns = {%s})) TO '%s' (FORMAT parquet)`,
		args[1], duckColumns(), args[2]))
	return errors.Join(err, db.Close())
}
