package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// bindSource makes the table source.
func (w *work) bindSource(ctx context.Context, src *source) error {
	w.tables["source"] = src.Schema
	switch {
	case src.Kind == "dataset":
		return w.bindSets(ctx, "source", src.set)
	case len(src.Files) == 0:
		sel, err := nothing(src.Schema)
		if err != nil {
			return w.noColumns(err)
		}
		return w.exec(ctx, "CREATE TEMP VIEW source AS "+sel)
	case src.Kind == "parquet":
		return w.bindParquet(ctx, src)
	case src.Kind == "csv":
		return w.bindCSV(ctx, src)
	}
	return w.readJSON(ctx, src)
}

// noColumns is the error of an empty extract of which nothing is known.
func (w *work) noColumns(err error) error {
	if w.job.Extract.OnEmpty == "ok" || w.job.Extract.OnEmpty == "skip" {
		return &flow.Error{Op: "read " + w.job.Extract.From, Kind: flow.Invalid, Err: errors.New("it is empty and its columns are not known"), Hint: "Declare its columns."}
	}
	_ = err
	return w.reader.Empty()
}

// bindParquet makes source of Parquet files, each with its own columns.
func (w *work) bindParquet(ctx context.Context, src *source) error {
	selects := make([]string, len(src.Files))
	for i, f := range src.Files {
		cols := make([]string, len(src.Schema))
		for k, c := range src.Schema {
			t, err := format.ParseType(c.Type)
			if err != nil {
				return err
			}
			expr := "NULL"
			if p := f.Places[k]; p >= 0 {
				expr = format.QuoteDuckDB(f.Header[p])
			}
			cols[k] = "CAST(" + expr + " AS " + t.DuckDB() + ") AS " + format.QuoteDuckDB(c.Name)
		}
		selects[i] = "SELECT " + strings.Join(cols, ", ") + " FROM " + readParquet([]string{f.Path})
	}
	if err := w.exec(ctx, "CREATE TEMP VIEW source AS "+strings.Join(selects, " UNION ALL ")); err != nil {
		return err
	}
	return fault(ctx, w.conn.QueryRowContext(ctx, "SELECT count(*) FROM source").Scan(&w.read))
}

// readJSON reads the source into a table.
func (w *work) readJSON(ctx context.Context, src *source) error {
	schema, err := format.ArrowSchema(src.Schema)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed := &feeder{schema: schema, batches: make(chan arrow.RecordBatch, 2), stop: cancel}
	var stats format.Stats
	go func() {
		defer close(feed.batches)
		for b, err := range w.reader.Read(ctx, src.Source, src.Schema, w.rejects.Add, &stats) {
			if feed.fail = err; err != nil {
				return
			}
			select {
			case feed.batches <- b:
			case <-ctx.Done():
				b.Release()
				feed.fail = ctx.Err()
				return
			}
		}
	}()
	err = w.createFrom(ctx, "source", feed)
	cancel()
	for b := range feed.batches {
		b.Release()
	}
	if feed.fail != nil && (err != nil || !errors.Is(feed.fail, context.Canceled)) {
		return feed.fail
	}
	if err != nil {
		return err
	}
	w.read = stats.Read
	if stats.Read != stats.Written+stats.Rejected {
		return fmt.Errorf("read %d records, wrote %d and rejected %d", stats.Read, stats.Written, stats.Rejected)
	}
	return nil
}

// createFrom makes a table of what a feeder gives. The registered view is read at once and
// once: a second scan of it would give nothing.
func (w *work) createFrom(ctx context.Context, table string, feed *feeder) error {
	view := "__feed_" + table
	var release func()
	err := w.s.Arrow(ctx, w.conn, func(a *duckdb.Arrow) (err error) {
		release, err = a.RegisterView(feed, view)
		return err
	})
	if err != nil {
		return err
	}
	defer release()
	return w.exec(ctx, "CREATE TEMP TABLE "+format.QuoteDuckDB(table)+" AS SELECT * FROM "+view, "DROP VIEW "+view)
}

// feeder hands batches of a goroutine to DuckDB, whose callback must not run Go iterators.
type feeder struct {
	schema  *arrow.Schema
	batches chan arrow.RecordBatch
	stop    func()
	fail    error // set before batches is closed
	now     arrow.RecordBatch
	ended   bool
}

var _ array.RecordReader = (*feeder)(nil)

// Retain does nothing: the feeder lives as long as its statement.
func (f *feeder) Retain() {}

// Release ends the feeding.
func (f *feeder) Release() { f.stop() }

// Schema is that of the batches.
func (f *feeder) Schema() *arrow.Schema { return f.schema }

// Next waits for a batch.
func (f *feeder) Next() bool {
	if f.now != nil {
		f.now.Release()
		f.now = nil
	}
	b, ok := <-f.batches
	if !ok {
		f.ended = true
		return false
	}
	f.now = b
	return true
}

// RecordBatch is the batch that Next found.
func (f *feeder) RecordBatch() arrow.RecordBatch { return f.now }

// Record is RecordBatch under its old name.
func (f *feeder) Record() arrow.RecordBatch { return f.now }

// Err is what ended the feeding.
func (f *feeder) Err() error {
	if f.ended {
		return f.fail
	}
	return nil
}
