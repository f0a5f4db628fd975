package duckdb

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// source is the table source of a step, decided but not yet read.
type source struct {
	kind   string // csv, json, ndjson, parquet, dataset
	files  []input
	schema flow.Schema // of the table
	use    []string    // columns that the SQL reads; nil: all
	csv    format.CSV
	drift  string
	inGo   bool // a csv is read by the Go reader
	set    *dataset.Dataset
}

// input is one file of a source, as a plain file of this machine in UTF-8.
type input struct {
	show   string
	path   string
	size   int64
	header []string // the file's columns
	places []int    // for each column of the schema, its place in the file or -1
}

// sampleBytes is how much of each file the types are inferred from, at most.
const (
	sampleBytes = 16 << 20
	headBytes   = 1 << 20
)

// source decides schema and dialect of the job's extract.
func (w *work) source(ctx context.Context, q *query) (*source, error) {
	e := w.job.Extract
	if e.Connection != "" {
		return nil, &flow.Error{Op: "read " + e.Connection, Kind: flow.Invalid, Err: errors.New("this task reads files and datasets only")}
	}
	src := &source{drift: e.Drift, use: e.Read, inGo: w.allInGo}
	if q != nil && q.spark != nil {
		names, all := q.spark.Columns("source")
		if src.use = names; all {
			src.use = nil
		} else if src.use == nil {
			src.use = []string{}
		}
	}
	if e.Manifest != "" {
		return w.fetched(ctx, src)
	}
	if e.Dataset != nil {
		return w.otherDataset(ctx, src)
	}
	files, err := w.files(ctx, e.From)
	if err != nil {
		return nil, err
	}
	if src.kind, err = format.Of(files[0].object.Name, e.Format); err != nil {
		return nil, err
	}
	if err := w.stage(ctx, src, files); err != nil {
		return nil, err
	}
	if err := noDoubles(ctx, src.files); err != nil {
		return nil, err
	}
	switch src.kind {
	case "csv":
		return src, w.decideCSV(ctx, src)
	case "json", "ndjson":
		return src, w.decideJSON(ctx, src)
	case "parquet":
		return src, w.decideParquet(ctx, src)
	}
	return nil, &flow.Error{Op: "read " + e.From, Kind: flow.Invalid, Err: fmt.Errorf("format %q is not known", src.kind), Hint: "Known are csv, json, ndjson and parquet."}
}

// fetched is what a fetch read for this step.
func (w *work) fetched(ctx context.Context, src *source) (*source, error) {
	d, err := w.Store.Read(ctx, w.Lookup, w.job.Extract.Manifest)
	if err != nil {
		return nil, err
	}
	w.inputs = append(w.inputs, d.Input())
	w.read = d.Rows
	src.kind, src.set, src.schema = "dataset", d, d.Schema
	return src, nil
}

// otherDataset is the published dataset of another pipeline's step.
func (w *work) otherDataset(ctx context.Context, src *source) (*source, error) {
	of := w.job.Extract.Dataset
	slot := flow.Slot{Pipeline: of["pipeline"], Step: of["step"], Time: w.job.Slot.Time, Params: of["params"]}
	if at := of["at"]; at != "" {
		t, err := parseInstant(at)
		if err != nil {
			return nil, &flow.Error{Op: "read dataset " + slot.Pipeline + "." + slot.Step, Kind: flow.Invalid, Err: err}
		}
		slot.Time = flow.TimeName(t)
	}
	d, err := w.Store.CurrentDataset(ctx, slot)
	if flow.KindOf(err) == flow.NotFound && of["at"] == "" {
		d, err = w.Store.Latest(ctx, slot)
	}
	if err != nil {
		return nil, err
	}
	w.inputs = append(w.inputs, d.Input())
	src.kind, src.set, src.schema = "dataset", d, d.Schema
	return src, nil
}

// stage makes every file a plain one of this machine: fetched, unpacked, in UTF-8.
func (w *work) stage(ctx context.Context, src *source, files []found) error {
	e := w.job.Extract
	enc := ""
	if e.Dialect != nil {
		enc = e.Dialect.Encoding
	}
	for _, f := range files {
		p, err := w.fetchFile(ctx, f.bucket, f.object.Name)
		if err != nil {
			return err
		}
		head, err := headOf(p, 4)
		if err != nil {
			return err
		}
		packed := format.Compression(f.object.Name, e.Compression)
		coded := enc
		if src.kind == "csv" && packed == "none" {
			coded = format.EncodingOf(head, enc)
		}
		if src.kind != "parquet" && (packed != "none" || coded != "" && !strings.EqualFold(coded, "utf-8")) {
			if p, err = w.decode(ctx, p, f.show, packed, coded); err != nil {
				return err
			}
		}
		info, err := os.Stat(p)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.show, err)
		}
		w.allowed = append(w.allowed, p)
		src.files = append(src.files, input{show: f.show, path: p, size: info.Size()})
	}
	return nil
}

func headOf(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	head, err := io.ReadAll(io.LimitReader(f, int64(n)))
	return head, err
}

// decode unpacks a file beside, so that DuckDB's threads can share it and our scanner sees
// the same bytes.
func (w *work) decode(ctx context.Context, path, show, packed, enc string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close() //nolint:errcheck // only read
	r, err := format.Decode(bufio.NewReaderSize(&ctxReader{ctx, in}, 1<<20), packed, enc)
	if err != nil {
		return "", &flow.Error{Op: "read " + show, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err}
	}
	to := filepath.Join(w.temp, w.scratchName(path)) + ".plain"
	out, err := os.Create(to)
	if err != nil {
		return "", err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, r, make([]byte, 1<<20))
	if e := r.Close(); err == nil {
		err = e
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it is cut short: its compressed data ends too early")
		}
		return "", &flow.Error{Op: "read " + show, Kind: flow.Invalid, Err: err, Hint: "Fetch the file anew, or say what it is with compression and dialect: { encoding: … }."}
	}
	return to, nil
}

// ctxReader ends a long read with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// noDoubles refuses two files of the same content: a day's file delivered under two names
// counts every row twice.
func noDoubles(ctx context.Context, files []input) error {
	bySize := map[int64][]input{}
	for _, f := range files {
		if f.size > 0 {
			bySize[f.size] = append(bySize[f.size], f)
		}
	}
	for _, same := range bySize {
		if len(same) < 2 {
			continue
		}
		seen := map[[32]byte]string{}
		for _, f := range same {
			in, err := os.Open(f.path)
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, &ctxReader{ctx, in})
			if err = errors.Join(err, in.Close()); err != nil {
				return fmt.Errorf("read %s: %w", f.show, err)
			}
			sum := [32]byte(h.Sum(nil))
			if other, ok := seen[sum]; ok {
				return &flow.Error{Op: "read " + f.show, Kind: flow.Invalid, Err: fmt.Errorf("it has the same content as %s", other), Hint: "Remove one of the two, or name the files more narrowly."}
			}
			seen[sum] = f.show
		}
	}
	return nil
}

// schemaFile finds the step's schema file.
func (w *work) schemaFile(ctx context.Context) (b flow.Bucket, name string, f format.SchemaFile, ok bool, err error) {
	if b, name, err = w.Lookup.Bucket(ctx, format.SchemaPath(w.job.Slot.Pipeline, w.job.Slot.Step)); err != nil {
		return
	}
	f, ok, err = format.LoadSchema(ctx, b, name)
	return
}

// keepSchema writes an inferred schema for the user to commit.
func (w *work) keepSchema(ctx context.Context, b flow.Bucket, name string, f format.SchemaFile) error {
	if len(f.Columns) == 0 {
		return nil
	}
	written, err := format.StoreSchema(ctx, b, name, f)
	if err == nil && written {
		w.warnings = append(w.warnings, fmt.Sprintf("the schema of %s.%s was decided from the data and written to %s: look at it and commit it",
			w.job.Slot.Pipeline, w.job.Slot.Step, format.SchemaPath(w.job.Slot.Pipeline, w.job.Slot.Step)))
	}
	return err
}

func (w *work) driftError(f input, line int64, err error) error {
	return format.DriftError(w.job.Slot.Pipeline, w.job.Slot.Step, f.show, line, err)
}

// dialect is the job's, over what the schema file remembers.
func dialect(given, kept *flow.Dialect) *flow.Dialect {
	if given == nil {
		return kept
	}
	if kept == nil {
		return given
	}
	d := *given
	for _, p := range []struct {
		to   *string
		from string
	}{{&d.Delimiter, kept.Delimiter}, {&d.Quote, kept.Quote}, {&d.Escape, kept.Escape}, {&d.Encoding, kept.Encoding}, {&d.Comment, kept.Comment}} {
		if *p.to == "" {
			*p.to = p.from
		}
	}
	if d.Header == nil {
		d.Header = kept.Header
	}
	if d.Skip == 0 {
		d.Skip = kept.Skip
	}
	return &d
}

func (w *work) decideCSV(ctx context.Context, src *source) error {
	e := w.job.Extract
	b, name, kept, ok, err := w.schemaFile(ctx)
	if err != nil {
		return err
	}
	base := format.Merge(e.Columns, kept.Columns)
	given := dialect(e.Dialect, kept.Dialect)
	decided := false
	live := src.files[:0:0]
	for _, f := range src.files {
		head, err := headOf(f.path, headBytes)
		if err != nil {
			return err
		}
		if len(strings.TrimSpace(strings.TrimPrefix(string(head[:min(len(head), 64)]), "\ufeff"))) == 0 && f.size < 64 {
			continue // an empty file has no columns
		}
		csv, header, err := format.DecideCSV(head, given, format.Names(base))
		if err != nil {
			return &flow.Error{Op: "read " + f.show, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err}
		}
		if !decided {
			src.csv, decided = csv, true
			given = csv.Flow()
		} else if csv.CR != src.csv.CR {
			src.csv.CR, src.inGo = false, true
		}
		f.header = header
		live = append(live, f)
	}
	src.files = live
	if !decided {
		src.schema = base
		return nil
	}
	complete := ok || len(e.Columns) > 0 && allDeclared(e.Columns, live)
	found := base
	if !complete || e.Drift == "add" {
		if found, err = w.inferCSV(src); err != nil {
			return err
		}
	}
	if !complete {
		base = format.Merge(e.Columns, found)
	}
	if err := w.bindFiles(src, base, found); err != nil {
		return err
	}
	if !complete {
		d := src.csv.Flow()
		d.Encoding = ""
		if e.Dialect != nil {
			d.Encoding = e.Dialect.Encoding
		}
		return w.keepSchema(ctx, b, name, format.SchemaFile{Columns: src.schema, Dialect: d})
	}
	return nil
}

func allDeclared(declared flow.Schema, files []input) bool {
	for _, f := range files {
		for _, h := range f.header {
			if format.Index(declared, h) < 0 {
				return false
			}
		}
	}
	return true
}

// inferCSV infers over the beginning of the files, and the end of a long one.
func (w *work) inferCSV(src *source) (flow.Schema, error) {
	var all flow.Schema
	left := int64(4 * sampleBytes)
	for _, f := range src.files {
		in, err := format.NewInference(src.csv, f.header, nil)
		if err != nil {
			return nil, err
		}
		n := min(sampleBytes, left)
		if err := inferRange(in, f, n); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.show, err)
		}
		if left -= n; left <= 0 {
			left = headBytes
		}
		for _, c := range in.Schema() {
			i := format.Index(all, c.Name)
			switch {
			case i < 0:
				all = append(all, c)
			case all[i].Type != c.Type:
				all[i].Type = wider(all[i].Type, c.Type)
			}
		}
	}
	return all, nil
}

// wider is the type that keeps the values of two that were inferred.
func wider(a, b string) string {
	rank := map[string]int{"bigint": 1, "decimal(38,0)": 2, "double": 3}
	if rank[a] > 0 && rank[b] > 0 {
		if rank[a] > rank[b] {
			return a
		}
		return b
	}
	if a != b && (a == "date" || a == "timestamp") && (b == "date" || b == "timestamp") {
		return "timestamp"
	}
	return "string"
}

func inferRange(in *format.Inference, f input, n int64) error {
	r, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	head := make([]byte, min(n, f.size))
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	if f.size > n {
		head = head[:strings.LastIndexByte(string(head), '\n')+1]
	}
	if err := in.Add(strings.NewReader(string(head)), true); err != nil || f.size <= n {
		return err
	}
	tail := make([]byte, min(headBytes, f.size-n))
	if _, err := r.ReadAt(tail, f.size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if i := strings.IndexByte(string(tail), '\n'); i >= 0 {
		return in.Add(strings.NewReader(string(tail[i+1:])), false)
	}
	return nil
}

// bindFiles binds every file's columns to the schema, following drift.
func (w *work) bindFiles(src *source, base, found flow.Schema) error {
	if src.drift == "add" {
		for _, f := range src.files {
			for _, h := range f.header {
				if format.Index(base, h) < 0 {
					base = append(slices.Clone(base), found[format.Index(found, h)])
					w.warnings = append(w.warnings, fmt.Sprintf("%s has the new column %s, which was added", f.show, h))
				}
			}
		}
	}
	src.schema = base
	for i := range src.files {
		f := &src.files[i]
		if !src.csv.Header && len(f.header) != len(base) && strings.HasPrefix(f.header[0], "_c") {
			return w.driftError(*f, 1, fmt.Errorf("it has %d columns and no header, the schema has %d", len(f.header), len(base)))
		}
		places, added, err := format.Bind(base, f.header, src.drift)
		if err != nil {
			return w.driftError(*f, int64(src.csv.Skip)+1, err)
		}
		if len(added) > 0 {
			w.warnings = append(w.warnings, fmt.Sprintf("%s has new columns that were left out: %s", f.show, strings.Join(added, ", ")))
		}
		for k, p := range places {
			if p < 0 {
				w.warnings = append(w.warnings, fmt.Sprintf("%s lacks column %s, which is NULL for its rows", f.show, base[k].Name))
			}
		}
		f.places = places
	}
	return nil
}

func (w *work) decideJSON(ctx context.Context, src *source) error {
	e := w.job.Extract
	b, name, kept, ok, err := w.schemaFile(ctx)
	if err != nil {
		return err
	}
	if ok && e.Drift != "add" {
		src.schema = format.Merge(e.Columns, kept.Columns)
		return nil
	}
	in := &format.JSONInference{}
	for _, f := range src.files {
		r, err := os.Open(f.path)
		if err != nil {
			return err
		}
		// All of it: a field may first appear in the last record.
		err = in.Add(bufio.NewReaderSize(&ctxReader{ctx, r}, 1<<20), src.kind == "ndjson")
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("read %s: %w", f.show, err)
		}
	}
	if ok {
		src.schema = format.Merge(e.Columns, kept.Columns)
		for _, c := range in.Schema() {
			if format.Index(src.schema, c.Name) < 0 {
				src.schema = append(src.schema, c)
				w.warnings = append(w.warnings, fmt.Sprintf("%s has the new field %s, which was added", e.From, c.Name))
			}
		}
		return nil
	}
	src.schema = format.Merge(e.Columns, in.Schema())
	if len(in.Schema()) == 0 {
		return nil
	}
	return w.keepSchema(ctx, b, name, format.SchemaFile{Columns: src.schema})
}

func (w *work) decideParquet(ctx context.Context, src *source) error {
	e := w.job.Extract
	b, name, kept, ok, err := w.schemaFile(ctx)
	if err != nil {
		return err
	}
	first := flow.Schema(nil)
	for i := range src.files {
		cols, err := w.describe(ctx, "SELECT * FROM "+readParquet([]string{src.files[i].path}), nil)
		if err != nil {
			return &flow.Error{Op: "read " + src.files[i].show, Kind: flow.Invalid, Err: err}
		}
		src.files[i].header = format.Names(cols)
		for _, c := range cols {
			if format.Index(first, c.Name) < 0 {
				first = append(first, c)
			}
		}
	}
	base := format.Merge(e.Columns, kept.Columns)
	if !ok {
		base = format.Merge(e.Columns, first)
	}
	src.csv.Header = true
	if err := w.bindFiles(src, base, first); err != nil {
		return err
	}
	if ok || len(e.Columns) >= len(first) {
		return nil
	}
	return w.keepSchema(ctx, b, name, format.SchemaFile{Columns: src.schema})
}

// tellRejects says what was rejected and kept: some in the attempt's log, few as a warning.
func (w *work) tellRejects() error {
	if err := w.rejects.Tell(w.req.Log); err != nil {
		return err
	}
	w.warnings = append(w.warnings, fmt.Sprintf("%d rejected and kept with their reasons in table %s_rejects%s", w.rejects.Rows, w.job.Slot.Step, w.rejects.Some()))
	return nil
}

// bear fails when there are more rejects than the step bears.
func (w *work) bear(limit flow.Limit, read int64) error {
	op := "read"
	if w.job.Extract != nil {
		op = "read " + w.job.Extract.From
	}
	return w.rejects.Bear(op, limit, read)
}
