package duckdb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// rereadError says that a CSV is to be read in Go, and why. DuckDB's own reader is fused
// with the query and fast; the Go reader is the judge of what it does not see or does otherwise.
type rereadError struct{ why string }

func (e *rereadError) Error() string { return "read in Go: " + e.why }

// misfitMark is in the error of a value that DuckDB would bend into its column's type.
const misfitMark = "tidemill misfit"

// bindSource makes the table source.
func (w *work) bindSource(ctx context.Context, src *source) error {
	w.tables["source"] = src.schema
	switch {
	case src.kind == "dataset":
		return w.bindSets(ctx, "source", src.set)
	case len(src.files) == 0:
		sel, err := nothing(src.schema)
		if err != nil {
			return w.noColumns(err)
		}
		return w.exec(ctx, "CREATE TEMP VIEW source AS "+sel)
	case src.kind == "parquet":
		return w.bindParquet(ctx, src)
	case src.kind == "csv" && !src.inGo && fusible(src):
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
	return w.emptyError()
}

func (w *work) emptyError() error {
	return &flow.Error{Op: "read " + w.job.Extract.From, Kind: flow.Invalid, Err: errors.New("it has no records"), Hint: "If that may be, set on_empty: ok or skip."}
}

// fusible tells whether DuckDB's reader can be trusted with the dialect.
func fusible(src *source) bool {
	c := src.csv
	if c.CR || c.Comment != 0 || c.Quote == 0 || c.Escape == 0 || c.Delimiter == ' ' || c.Delimiter == 0 {
		return false
	}
	for _, col := range src.schema {
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
	for _, g := range groupsOf(src) {
		selects = append(selects, readGroup(src, g))
	}
	return strings.Join(selects, " UNION ALL ")
}

func groupsOf(src *source) [][]input {
	var groups [][]input
	for _, f := range src.files {
		i := slices.IndexFunc(groups, func(g []input) bool { return slices.Equal(g[0].header, f.header) })
		if i < 0 {
			groups = append(groups, []input{f})
		} else {
			groups[i] = append(groups[i], f)
		}
	}
	return groups
}

func readGroup(src *source, g []input) string {
	f := g[0]
	raw := make([]string, len(f.header)) // the type that the reader is told, by place
	for i := range raw {
		raw[i] = "VARCHAR"
	}
	cols := make([]string, len(src.schema))
	for i, c := range src.schema {
		t, _ := format.ParseType(c.Type) //nolint:errcheck // fusible has looked
		name := format.QuoteDuckDB(c.Name)
		p := f.places[i]
		if p < 0 {
			cols[i] = "CAST(NULL AS " + t.DuckDB() + ") AS " + name
			continue
		}
		var expr string
		raw[p], expr = readerType(t, "c"+strconv.Itoa(p), src.csv)
		cols[i] = expr + " AS " + name
	}
	told := make([]string, len(raw))
	for i, t := range raw {
		told[i] = "'c" + strconv.Itoa(i) + "': " + quote(t)
	}
	paths := make([]string, len(g))
	for i, x := range g {
		paths[i] = x.path
	}
	c := src.csv
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

// readerType is the type that DuckDB's reader is told for a column, and the column's
// expression. Most are read as texts: the reader would round 1.7 to an integer, take 1_0,
// 0x1 and yes, 2017-11-06x for a day, and NULL for a bad timestamp, without a reject.
func readerType(t format.Type, col string, csv format.CSV) (told, expr string) {
	// The first pattern is the usual form and decides nearly every value; the NULL test and
	// the rest come after it, since each costs on ten million rows.
	guarded := func(guards ...string) (string, string) {
		var b strings.Builder
		b.WriteString("CASE")
		for _, g := range guards {
			b.WriteString(" WHEN " + g + " THEN CAST(" + col + " AS " + t.DuckDB() + ")")
		}
		return "VARCHAR", b.String() + " WHEN " + col + " IS NULL THEN NULL ELSE error('" + misfitMark + "') END"
	}
	matches := func(pattern string) string { return "regexp_full_match(" + col + ", '" + pattern + "')" }
	const day, clock = `\s*\d{4}-\d{1,2}-\d{1,2}`, `\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?\s*(Z|UTC|[+-]\d{2}(:?\d{2})?)?`
	switch t.Kind {
	case format.TinyInt, format.SmallInt, format.Int, format.BigInt:
		return guarded(matches(`\s*[+-]?[0-9]+\s*`))
	case format.Boolean:
		return guarded("lower(trim(" + col + ")) IN ('true', 'false')")
	case format.Date:
		if csv.Date == "" {
			return guarded(matches(`\d{4}-\d{2}-\d{2}`), matches(day+"([ T]"+clock+`)?\s*`))
		}
	case format.Timestamp, format.TimestampNTZ:
		if csv.Timestamp == "" {
			return guarded(matches(day + "([ T]" + clock + `)?\s*`))
		}
	}
	return t.DuckDB(), col
}

// rereadable tells whether an error of the fused read is the reader's and not the query's.
func rereadable(err error) (string, bool) {
	text := err.Error()
	switch {
	case strings.Contains(text, misfitMark), strings.Contains(text, "Conversion Error"):
		return "a value does not fit its column", true
	case strings.Contains(text, "CSV Parser"), strings.Contains(text, "CSV Error"), strings.Contains(text, "read_csv"), strings.Contains(text, "sniff"):
		line, _, _ := strings.Cut(text, "\n")
		return line, true
	}
	return "", false
}

// counts is what the scanner beside the fused read saw.
type counts struct {
	lines int64
	err   error
}

// countLines counts physical lines at the speed of memory. If DuckDB gave a record for
// every line, no quote ran over a line's end and nothing was swallowed; if it did not, the
// records are counted exactly.
func countLines(ctx context.Context, files []input) counts {
	var c counts
	buf := make([]byte, 256<<10)
	for _, f := range files {
		n, err := lineCount(ctx, f.path, buf)
		if err != nil {
			return counts{err: err}
		}
		c.lines += n
	}
	return c
}

func lineCount(ctx context.Context, path string, buf []byte) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	n, last := int64(0), byte('\n')
	for {
		k, err := f.Read(buf)
		if k > 0 {
			n += int64(bytes.Count(buf[:k], []byte{'\n'}))
			last = buf[k-1]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
	}
	if last != '\n' {
		n++
	}
	return n, nil
}

// reconcile proves that the fused read lost nothing: every record of the files was given
// to the query or rejected. Rejects are taken over with their true lines.
func (w *work) reconcile(ctx context.Context, src *source, seen counts) error {
	if seen.err != nil {
		return seen.err
	}
	given, err := w.scanned(src)
	if err != nil {
		return err
	}
	broken, err := w.takeRejects(ctx, src)
	if err != nil {
		return err
	}
	want := seen.lines - int64(src.csv.Skip*len(src.files))
	if src.csv.Header {
		want -= int64(len(src.files))
	}
	w.read = given + w.rejects.rows
	if w.read == want && !broken {
		return nil
	}
	exact := int64(0)
	for _, f := range src.files {
		n, err := countRecords(ctx, f, src.csv)
		if err != nil {
			return err
		}
		exact += n
	}
	if exact == w.read {
		return nil
	}
	return &rereadError{fmt.Sprintf("DuckDB gave %d records and %d rejects, the files have %d", given, w.rejects.rows, exact)}
}

func countRecords(ctx context.Context, f input, csv format.CSV) (int64, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return 0, err
	}
	defer r.Close() //nolint:errcheck // only read
	n, err := format.Count(ctx, r, csv, len(f.header))
	if err != nil {
		return 0, &flow.Error{Op: "read " + f.show, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err}
	}
	return n, nil
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
	groups := int64(len(groupsOf(src)))
	times := scans / groups
	if times == 0 || scans%groups != 0 || sum%times != 0 {
		return sum, nil // the counts will not agree
	}
	return sum / times, nil
}

// takeRejects reads DuckDB's table of rejects: one reject a record, whatever faults it has.
// broken tells whether a quote was among the faults.
func (w *work) takeRejects(ctx context.Context, src *source) (broken bool, err error) {
	rows, err := w.conn.QueryContext(ctx, `SELECT s.file_path, e.line_byte_position, e.column_name, e.error_type::VARCHAR, e.error_message
FROM reject_errors e JOIN reject_scans s ON s.scan_id = e.scan_id AND s.file_id = e.file_id ORDER BY ALL`)
	if err != nil {
		if strings.Contains(err.Error(), "does not exist") {
			return false, nil
		}
		return false, fault(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	t := &rejectTaker{w: w, src: src}
	defer t.close()
	for rows.Next() {
		var path, kind, message string
		var at sql.NullInt64
		var col sql.NullString
		if err := rows.Scan(&path, &at, &col, &kind, &message); err != nil {
			return false, err
		}
		if kind == "LINE SIZE OVER MAXIMUM" || !at.Valid {
			return false, &rereadError{message}
		}
		broken = broken || kind == "UNQUOTED VALUE"
		if err := t.take(path, at.Int64-1, col.String, kind, message); err != nil {
			return false, err
		}
	}
	if err := rows.Err(); err != nil {
		return false, fault(ctx, err)
	}
	return broken, t.end()
}

// rejectTaker turns DuckDB's faults into rejects, in the order of files and places.
type rejectTaker struct {
	w    *work
	src  *source
	file *os.File
	in   input
	path string
	at   int64 // of the record that is being gathered
	seen map[string]bool
	why  []string
	col  string
	on   bool

	counted int64 // bytes whose lines are in line
	line    int64
	buf     []byte
}

func (t *rejectTaker) take(path string, at int64, col, kind, message string) error {
	if t.on && (path != t.path || at != t.at) {
		if err := t.end(); err != nil {
			return err
		}
	}
	if path != t.path {
		t.close()
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(t.src.files, func(f input) bool { return f.path == path })
		if i < 0 {
			return fmt.Errorf("read rejects: %s is no file of the source", path)
		}
		t.file, t.path, t.in, t.counted, t.line, t.buf = f, path, t.src.files[i], 0, 1, make([]byte, 256<<10)
	}
	t.at = at
	if !t.on {
		t.on, t.seen, t.why, t.col = true, map[string]bool{}, nil, ""
	}
	name, typ := t.column(col)
	reason := reasonOf(kind, message, typ)
	if kind == "CAST" || kind == "INVALID ENCODING" {
		reason = name + ": " + reason
		if t.col == "" {
			t.col = name
		}
	}
	if !t.seen[reason] {
		t.seen[reason] = true
		t.why = append(t.why, reason)
	}
	return nil
}

// column is the name and type of what the reader knew as c0, c1, ….
func (t *rejectTaker) column(c string) (name, typ string) {
	n, err := strconv.Atoi(strings.TrimPrefix(c, "c"))
	if err != nil {
		return "", ""
	}
	if i := slices.Index(t.in.places, n); i >= 0 {
		return t.src.schema[i].Name, t.src.schema[i].Type
	}
	if n < len(t.in.header) {
		return t.in.header[n], "string"
	}
	return "", ""
}

// reasonOf says DuckDB's reason in the Go reader's words where it is the same.
func reasonOf(kind, message, typ string) string {
	switch kind {
	case "INVALID ENCODING":
		return "not valid UTF-8"
	case "UNQUOTED VALUE":
		return "text after a closing quote"
	case "CAST":
		if _, rest, ok := strings.Cut(message, "Could not convert string "); ok {
			if i := strings.LastIndex(rest, " to '"); i > 0 {
				return rest[:i] + " is no " + typ
			}
		}
	case "MISSING COLUMNS", "TOO MANY COLUMNS":
		var want, got int
		if n, _ := fmt.Sscanf(message, "Expected Number of Columns: %d Found: %d", &want, &got); n == 2 {
			return fmt.Sprintf("%d fields where %d are expected", got, want)
		}
	}
	return message
}

func (t *rejectTaker) end() error {
	if !t.on {
		return nil
	}
	t.on = false
	line, raw, err := t.record()
	if err != nil {
		return fmt.Errorf("read rejects of %s: %w", t.in.show, err)
	}
	slices.Sort(t.why)
	return t.w.reject(format.Reject{Reason: strings.Join(t.why, "; "), File: t.in.show, Line: line, Column: t.col, Text: format.Raw(raw)})
}

// record finds the physical line of the record and its text in the file itself.
func (t *rejectTaker) record() (int64, []byte, error) {
	for t.counted < t.at {
		n, err := t.file.ReadAt(t.buf[:min(int64(len(t.buf)), t.at-t.counted)], t.counted)
		if n == 0 {
			return 0, nil, err
		}
		t.line += int64(bytes.Count(t.buf[:n], []byte{'\n'}))
		t.counted += int64(n)
	}
	at, line := t.at, t.line
	one := make([]byte, 1)
	// With CRLF the reader's place is the line feed before the record.
	for {
		if n, _ := t.file.ReadAt(one, at); n == 0 || one[0] != '\n' { //nolint:errcheck // the end of the file is no line feed
			break
		}
		at, line = at+1, line+1
	}
	raw, err := format.FirstRecord(io.NewSectionReader(t.file, at, 1<<20), t.src.csv)
	return line, raw, err
}

func (t *rejectTaker) close() {
	if t.file != nil {
		_ = t.file.Close() //nolint:errcheck // only read
		t.file = nil
	}
}

// bindParquet makes source of Parquet files, each with its own columns.
func (w *work) bindParquet(ctx context.Context, src *source) error {
	selects := make([]string, len(src.files))
	for i, f := range src.files {
		cols := make([]string, len(src.schema))
		for k, c := range src.schema {
			t, err := format.ParseType(c.Type)
			if err != nil {
				return err
			}
			expr := "NULL"
			if p := f.places[k]; p >= 0 {
				expr = format.QuoteDuckDB(f.header[p])
			}
			cols[k] = "CAST(" + expr + " AS " + t.DuckDB() + ") AS " + format.QuoteDuckDB(c.Name)
		}
		selects[i] = "SELECT " + strings.Join(cols, ", ") + " FROM " + readParquet([]string{f.path})
	}
	if err := w.exec(ctx, "CREATE TEMP VIEW source AS "+strings.Join(selects, " UNION ALL ")); err != nil {
		return err
	}
	return fault(ctx, w.conn.QueryRowContext(ctx, "SELECT count(*) FROM source").Scan(&w.read))
}

// readInGo reads the source by the Go readers into a table.
func (w *work) readInGo(ctx context.Context, src *source) error {
	use := src.schema
	if src.use != nil && src.kind == "csv" {
		use = nil
		for _, c := range src.schema {
			if slices.ContainsFunc(src.use, func(n string) bool { return strings.EqualFold(n, c.Name) }) || strings.EqualFold(c.Name, w.job.Extract.Cursor) {
				use = append(use, c)
			}
		}
		if len(use) == 0 {
			use = flow.Schema{{Name: src.schema[0].Name, Type: "string", Nullable: true}}
		}
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
		for _, f := range src.files {
			if feed.fail = w.feedFile(ctx, src, f, use, &stats, feed); feed.fail != nil {
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

func (w *work) feedFile(ctx context.Context, src *source, f input, use flow.Schema, stats *format.Stats, feed *feeder) error {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	var before = *stats
	var mine format.Stats
	rd := format.Reading{File: f.show, Schema: use, Zone: w.s.Zone(), Drift: w.job.Extract.Drift, Reject: w.reject, Stats: &mine}
	var batches func(func(flow.Batch, error) bool)
	if src.kind == "csv" {
		places := make([]int, len(use))
		for i, c := range use {
			places[i] = f.places[format.Index(src.schema, c.Name)]
		}
		batches = format.ReadCSV(ctx, in, src.csv, len(f.header), places, rd)
	} else {
		batches = format.ReadJSON(ctx, in, src.kind == "ndjson", rd)
	}
	last := time.Now()
	for b, err := range batches {
		if err != nil {
			if strings.Contains(err.Error(), " is new") && src.kind != "csv" {
				return w.driftError(f, 0, err)
			}
			return err
		}
		select {
		case feed.batches <- b:
		case <-ctx.Done():
			b.Release()
			return ctx.Err()
		}
		if time.Since(last) > 200*time.Millisecond {
			last = time.Now()
			w.req.Progress(flow.Progress{Doing: "read " + f.show, Rows: before.Read + mine.Read, Bytes: mine.Bytes, Total: f.size})
		}
	}
	stats.Read, stats.Written, stats.Rejected = before.Read+mine.Read, before.Written+mine.Written, before.Rejected+mine.Rejected
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
