package snowflake

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/tidemill/tidemill/internal/flow"
)

func sqlArgs(q flow.Query) (a flow.SQLArgs, err error) {
	if len(q.Args) > 0 {
		if err = json.Unmarshal(q.Args, &a); err != nil {
			err = &flow.Error{Op: "read the arguments", Kind: flow.Invalid, Err: err}
		}
	}
	return a, err
}

// unloaded yields the result by way of the user's stage: Snowflake writes it as Parquet files
// with as many hands as the warehouse has, and they are fetched one after another. What is
// unloaded is the result of the query that was run, so that it is computed once.
func (r *reading) unloaded() iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		defer r.conn.Close() //nolint:errcheck // back to the pool
		if err := r.unload(yield); err != nil {
			yield(nil, r.s.fault(r.ctx, "unload query "+r.id, err))
		}
	}
}

var errStopped = errors.New("stopped")

func (r *reading) unload(yield func(flow.Batch, error) bool) (err error) {
	stage := "@~/tidemill/" + rand.Text()
	defer func() {
		// Also when the context has ended: the stage is paid for.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), time.Minute)
		defer cancel()
		if _, e := r.conn.ExecContext(ctx, "remove "+stage); e != nil {
			r.log("remove %s: %v", stage, e)
		}
		if errors.Is(err, errStopped) {
			err = nil
		}
	}()
	copyInto := fmt.Sprintf("copy into %s/ from (select %s from table(result_scan('%s'))) file_format = (type = parquet) header = true overwrite = true", stage, r.columns(), r.id)
	if _, err := r.conn.ExecContext(r.ctx, copyInto); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(r.s.options.Temp, "unload-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer os.RemoveAll(temp) //nolint:errcheck // scratch
	names, err := r.list(stage)
	if err != nil {
		return err
	}
	r.log("unloaded to %s: %d files", stage, len(names))
	total := int64(0)
	for _, name := range names {
		n, err := r.fetch(stage, name, temp, yield)
		if err != nil {
			return err
		}
		total += n
	}
	if want := r.loader.TotalRows(); total != want {
		return &flow.Error{Kind: flow.Transient, Err: fmt.Errorf("%d rows were unloaded, the result has %d", total, want)}
	}
	return nil
}

// columns are the result's as Parquet can have them: instants with a zone are written in UTC.
func (r *reading) columns() string {
	out := make([]string, len(r.fields))
	for i, f := range r.fields {
		name := `"` + strings.ReplaceAll(f.name, `"`, `""`) + `"`
		switch f.kind {
		case "timestamp_ltz", "timestamp_tz":
			out[i] = "convert_timezone('UTC', " + name + ")::timestamp_ntz as " + name
		case "variant", "object", "array", "map", "vector":
			out[i] = "to_json(" + name + ") as " + name
		case "geography", "geometry":
			out[i] = "st_asgeojson(" + name + ")::string as " + name
		case "time":
			out[i] = name + "::string as " + name
		default:
			out[i] = name
		}
	}
	return strings.Join(out, ", ")
}

func (r *reading) list(stage string) ([]string, error) {
	rows, err := r.conn.QueryContext(r.ctx, "list "+stage)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var names []string
	for rows.Next() {
		row := make([]any, len(columns))
		var name string
		for i := range row {
			row[i] = new(any)
		}
		row[0] = &name
		if err := rows.Scan(row...); err != nil {
			return nil, err
		}
		names = append(names, name[strings.LastIndexByte(name, '/')+1:])
	}
	slices.Sort(names)
	return names, rows.Err()
}

// fetch yields the rows of one unloaded file.
func (r *reading) fetch(stage, name, temp string, yield func(flow.Batch, error) bool) (int64, error) {
	get := fmt.Sprintf("get %s/%s 'file://%s'", stage, name, filepath.ToSlash(temp))
	// It is a query to the driver: it answers with a row for each file.
	told, err := r.conn.QueryContext(r.ctx, get)
	if err != nil {
		return 0, err
	}
	if err := told.Close(); err != nil {
		return 0, err
	}
	path := filepath.Join(temp, name)
	defer os.Remove(path) //nolint:errcheck // scratch
	pf, err := file.OpenParquetFile(path, false)
	if err != nil {
		return 0, err
	}
	defer pf.Close() //nolint:errcheck // only read
	fr, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return 0, err
	}
	rr, err := fr.GetRecordReader(r.ctx, nil, nil)
	if err != nil {
		return 0, err
	}
	defer rr.Release()
	total := int64(0)
	for rr.Next() {
		b, err := r.convert(rr.RecordBatch())
		if err != nil {
			return 0, &flow.Error{Kind: flow.Invalid, Err: err}
		}
		total += b.NumRows()
		if !yield(b, nil) {
			return total, errStopped
		}
	}
	return total, rr.Err()
}
