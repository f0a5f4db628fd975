package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/extract"
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
	case src.Kind == "csv" && !src.InGo && fusible(src):
		return w.exec(ctx, "CREATE TEMP VIEW source AS "+readCSVs(src))
	}
	return w.readInGo(ctx, src)
}

// noColumns is the error of an empty extract of which nothing is known.
func (w *work) noColumns(err error) error {
	if w.job.Extract.OnEmpty == "ok" || w.job.Extract.OnEmpty == "skip" {
		return &flow.Error{Op: "read " + w.job.Extract.From, Kind: flow.Invalid, Err: errors.New("it is empty and its columns are not known"), Hint: "Declare its columns."}
	}
	_ = err
	return w.reader.Empty()
}

// fusible tells whether DuckDB's reader can be trusted with the dialect.
func fusible(src *source) bool {
	c := src.CSV
	if c.CR || c.Comment != 0 || c.Quote == 0 || c.Escape == 0 || c.Delimiter == ' ' || c.Delimiter == 0 {
		return false
	}
	for _, col := range src.Schema {
		t, err := format.ParseType(col.Type)
		if err != nil || t.Kind >= format.Array || t.Kind == format.Binary || t.Kind == format.Void {
			return false
		}
		if t.Kind == format.Timestamp && c.Timestamp != "" {
			return false
		}
	}
	return true
}

// readCSVs is a query over DuckDB's CSV reader: one read of each group of files that have
// the same columns in the same order.
func readCSVs(src *source) string {
	var selects []string
	for _, g := range src.Groups() {
		selects = append(selects, readGroup(src, g))
	}
	return strings.Join(selects, " UNION ALL ")
}

func readGroup(src *source, g []extract.File) string {
	f := g[0]
	raw := make([]string, len(f.Header)) // the type that the reader is told, by place
	for i := range raw {
		raw[i] = "VARCHAR"
	}
	cols := make([]string, len(src.Schema))
	for i, c := range src.Schema {
		t, _ := format.ParseType(c.Type) //nolint:errcheck // fusible has looked
		name := format.QuoteDuckDB(c.Name)
		p := f.Places[i]
		if p < 0 {
			cols[i] = "CAST(NULL AS " + t.DuckDB() + ") AS " + name
			continue
		}
		// DuckDB's reader makes the values itself: once, and rejects what it cannot. What it
		// bends instead (1.7 to an integer, NULL for a bad timestamp) the survey finds.
		raw[p] = t.DuckDB()
		cols[i] = "c" + strconv.Itoa(p) + " AS " + name
	}
	told := make([]string, len(raw))
	for i, t := range raw {
		told[i] = "'c" + strconv.Itoa(i) + "': " + quote(t)
	}
	paths := make([]string, len(g))
	for i, x := range g {
		paths[i] = x.Path
	}
	c := src.CSV
	opts := []string{"columns = {" + strings.Join(told, ", ") + "}", "auto_detect = false", "delim = " + quote(string(rune(c.Delimiter))),
		"quote = " + quote(string(rune(c.Quote))), "escape = " + quote(string(rune(c.Escape))), "header = " + strconv.FormatBool(c.Header),
		"nullstr = " + list(append([]string{""}, c.Nulls...)), "allow_quoted_nulls = true", "store_rejects = true", "hive_partitioning = false"}
	if c.Skip > 0 {
		opts = append(opts, "skip = "+strconv.Itoa(c.Skip))
	}
	if c.Date != "" {
		_, f, _ := format.Pattern(c.Date) //nolint:errcheck // the decision has looked
		opts = append(opts, "dateformat = "+quote(f))
	}
	if c.Timestamp != "" {
		_, f, _ := format.Pattern(c.Timestamp) //nolint:errcheck // the decision has looked
		opts = append(opts, "timestampformat = "+quote(f))
	}
	return "SELECT " + strings.Join(cols, ", ") + " FROM read_csv(" + list(paths) + ", " + strings.Join(opts, ", ") + ")"
}

// rereadable tells whether an error of the fused read is the reader's and not the query's.
func rereadable(err error) (string, bool) {
	text := err.Error()
	switch {
	case strings.Contains(text, "Conversion Error"):
		return "a value does not fit its column", true
	case strings.Contains(text, "CSV Parser"), strings.Contains(text, "CSV Error"), strings.Contains(text, "read_csv"), strings.Contains(text, "sniff"):
		line, _, _ := strings.Cut(text, "\n")
		return line, true
	}
	return "", false
}

// reconcile proves that the fused read lost nothing and bent nothing: every record of the
// files was given to the query or rejected, and the rejects are those of the Go reader.
func (w *work) reconcile(ctx context.Context, src *source, v *extract.Survey) error {
	if v.Err != nil {
		return v.Err
	}
	given, err := w.scanned(src)
	if err != nil {
		return err
	}
	if err := w.takeRejects(ctx, src, v); err != nil {
		return err
	}
	if w.read = given + w.rejects.Rows; w.read != v.Records {
		return &extract.Reread{Why: fmt.Sprintf("DuckDB gave %d records and %d rejects, the files have %d", given, w.rejects.Rows, v.Records)}
	}
	return nil
}

// scanned is how many records the CSV scans of the last query gave. A source that is
// named twice is scanned twice.
func (w *work) scanned(src *source) (int64, error) {
	info, err := duckdb.GetProfilingInfo(w.conn)
	if err != nil {
		return 0, fmt.Errorf("read the profile: %w", err)
	}
	var sum, scans int64
	var walk func(p duckdb.ProfilingInfo)
	walk = func(p duckdb.ProfilingInfo) {
		if strings.TrimSpace(p.Metrics["OPERATOR_NAME"]) == "READ_CSV" {
			n, _ := strconv.ParseInt(p.Metrics["OPERATOR_CARDINALITY"], 10, 64) //nolint:errcheck // no number: the counts will not agree
			sum += n
			scans++
		}
		for _, c := range p.Children {
			walk(c)
		}
	}
	walk(info)
	groups := int64(len(src.Groups()))
	times := scans / groups
	if times == 0 || scans%groups != 0 || sum%times != 0 {
		return sum, nil // the counts will not agree
	}
	return sum / times, nil
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

// readInGo reads the source by the Go readers into a table.
func (w *work) readInGo(ctx context.Context, src *source) error {
	use := w.reader.Used(src.Source)
	if len(use) == 0 {
		use = flow.Schema{{Name: src.Schema[0].Name, Type: "string", Nullable: true}}
	}
	schema, err := format.ArrowSchema(use)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed := &feeder{schema: schema, batches: make(chan arrow.RecordBatch, 2), stop: cancel}
	var stats format.Stats
	go func() {
		defer close(feed.batches)
		for b, err := range w.reader.Read(ctx, src.Source, use, w.rejects.Add, &stats) {
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
