package move

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// fetching is one attempt at a fetch: a connection's records become a dataset.
type fetching struct {
	*mover
	req      flow.Request
	job      flow.FetchJob
	step     string // of the schema file
	dir      string // of the attempt, in the store
	stats    format.Stats
	rejects  format.RejectLog
	failed   int64 // rows of for_each that failed and are borne
	eachOf   int64 // rows of for_each
	inputs   []flow.Input
	warnings []string
	high     *highest // of the cursor's column
	told     time.Time
	cancel   context.CancelFunc // ends what is read ahead of a reader that stopped
}

func (m *mover) fetchData(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	f := &fetching{mover: m, req: r}
	if err := arguments(r, &f.job); err != nil {
		return nil, err
	}
	f.step = strings.TrimSuffix(f.job.Slot.Step, flow.ExtractSuffix)
	f.dir = dataset.AttemptDir(f.job.Slot, r.Run, r.Attempt, r.Item)
	if m.Temp != "" {
		if err := os.MkdirAll(m.Temp, 0o700); err != nil {
			return nil, fmt.Errorf("make the scratch folder: %w", err)
		}
	}
	f.rejects.Dir = m.Temp
	out, err := f.do(ctx)
	if e := f.rejects.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

var errEmpty = errors.New("nothing to read")

func (f *fetching) do(ctx context.Context) (flow.Output, error) {
	x := f.job.Extract
	ctx, f.cancel = context.WithCancel(ctx)
	defer f.cancel()
	src, err := f.Source(ctx, x.Connection)
	if err != nil {
		return flow.Output{}, err
	}
	q := flow.Query{Args: x.Args, Run: f.req.Run, Log: f.req.Log}
	if x.Query != nil {
		if q.Text, err = f.Lookup.Text(ctx, x.Query.Hash); err != nil {
			return flow.Output{}, err
		}
		q.Values = plainValues(x.Query.Values)
	}
	var parts []flow.File
	var schema flow.Schema
	switch s := src.(type) {
	case flow.Pages:
		parts, schema, err = f.pages(ctx, s, q)
		err = errors.Join(err, s.Close())
	case flow.Source:
		if err := f.remember(ctx, &q); err != nil {
			return flow.Output{}, errors.Join(err, s.Close())
		}
		parts, schema, err = f.batches(ctx, s, q)
		err = errors.Join(err, s.Close())
	default:
		return flow.Output{}, invalid("read "+x.Connection, "the connection cannot be read", "")
	}
	if err == nil {
		err = f.weigh()
	}
	if errors.Is(err, errEmpty) {
		return flow.Output{Skipped: true, Warnings: f.warnings}, nil
	}
	if err != nil {
		return flow.Output{}, err
	}
	return f.finish(ctx, parts, schema)
}

// remember gives the query what an earlier attempt of the run was told to find it again by,
// and keeps what this one is told. It is beside the attempts, like kept pages.
func (f *fetching) remember(ctx context.Context, q *flow.Query) error {
	name := f.Store.Name(dataset.PagesDir(f.job.Slot, f.req.Run) + "/query.json")
	type note struct {
		Query string     `json:"query"`
		Token flow.Token `json:"token"`
	}
	if r, err := f.Store.Bucket.Open(ctx, name, 0, -1); err == nil {
		var n note
		err := json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(&n)
		if err = errors.Join(err, r.Close()); err == nil && n.Query == f.asked() {
			q.Token = n.Token
		}
	} else if flow.KindOf(err) != flow.NotFound {
		return err
	}
	q.Begun = func(t flow.Token) {
		text, err := json.Marshal(note{f.asked(), t})
		if err != nil {
			return
		}
		w, err := f.Store.Bucket.Create(context.WithoutCancel(ctx), name, flow.Condition{})
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			_, err = w.Commit()
		}
		if err != nil {
			fmt.Fprintf(f.req.Log, "keep the query's id: %v\n", err) //nolint:errcheck // a later attempt asks anew
		}
	}
	return nil
}

// asked is a hash of what is asked.
func (f *fetching) asked() string {
	sum := sha256.Sum256(f.req.Arguments)
	return hex.EncodeToString(sum[:8])
}

// plainValues are values as drivers take them: whole numbers are whole.
func plainValues(values []any) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
		if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			out[i] = int64(f)
		}
	}
	return out
}

// batches reads a source that knows its columns.
func (f *fetching) batches(ctx context.Context, s flow.Source, q flow.Query) ([]flow.File, flow.Schema, error) {
	f.progress("ask " + f.job.Extract.Connection)
	from, rows, err := s.Read(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	found, err := format.SchemaOf(from)
	if err != nil {
		return nil, nil, err
	}
	schema, places, err := f.decide(ctx, found)
	if err != nil {
		return nil, nil, err
	}
	fit, err := format.NewFitter(from, places, f.reading(schema))
	if err != nil {
		return nil, nil, err
	}
	parts, err := f.write(ctx, &schema, func(yield func(flow.Batch, error) bool) {
		for b, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			more := fit.Fit(b, yield)
			b.Release()
			if !more {
				return
			}
			f.progress("read " + f.job.Extract.Connection)
		}
	})
	return parts, schema, err
}

func (f *fetching) reading(schema flow.Schema) format.Reading {
	return format.Reading{File: f.job.Extract.Connection, Schema: schema, Drift: f.job.Extract.Drift, Reject: f.rejects.Add, Stats: &f.stats}
}

// decide gives the schema for columns that were found, and where in them its own are.
func (f *fetching) decide(ctx context.Context, found flow.Schema) (flow.Schema, []int, error) {
	x := f.job.Extract
	b, name, kept, ok, err := f.schemaFile(ctx)
	if err != nil {
		return nil, nil, err
	}
	base := format.Merge(x.Columns, found)
	if ok {
		base = format.Merge(x.Columns, kept.Columns)
	}
	if ok && x.Drift == "add" {
		for _, c := range found {
			if format.Index(base, c.Name) < 0 {
				base = append(slices.Clone(base), c)
				f.warn("%s has the new column %s, which was added", x.Connection, c.Name)
			}
		}
	}
	places, left, err := format.Bind(base, format.Names(found), x.Drift)
	if err != nil {
		return nil, nil, format.DriftError(f.job.Slot.Pipeline, f.step, x.Connection, 0, err)
	}
	if len(left) > 0 {
		f.warn("%s has new columns that were left out: %s", x.Connection, strings.Join(left, ", "))
	}
	for i, p := range places {
		if p < 0 {
			f.warn("%s lacks column %s, which is NULL", x.Connection, base[i].Name)
		}
	}
	if !ok {
		err = f.keepSchema(ctx, b, name, format.SchemaFile{Columns: base})
	}
	return base, places, err
}

func (f *fetching) schemaFile(ctx context.Context) (b flow.Bucket, name string, file format.SchemaFile, ok bool, err error) {
	if b, name, err = f.Lookup.Bucket(ctx, format.SchemaPath(f.job.Slot.Pipeline, f.step)); err != nil {
		return
	}
	file, ok, err = format.LoadSchema(ctx, b, name)
	return
}

// keepSchema writes a schema that was decided from the data for the user to commit, unless
// the file declares all of it.
func (f *fetching) keepSchema(ctx context.Context, b flow.Bucket, name string, file format.SchemaFile) error {
	declared := 0
	for _, c := range file.Columns {
		if format.Index(f.job.Extract.Columns, c.Name) >= 0 {
			declared++
		}
	}
	if len(file.Columns) == declared {
		return nil
	}
	written, err := format.StoreSchema(ctx, b, name, file)
	if err == nil && written {
		f.warn("the schema of %s.%s was decided from the data and written to %s: look at it and commit it",
			f.job.Slot.Pipeline, f.step, format.SchemaPath(f.job.Slot.Pipeline, f.step))
	}
	return err
}

func (f *fetching) warn(text string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(text, args...))
}

// progress tells how far the reading is, a few times a second.
func (f *fetching) progress(doing string) {
	if now := time.Now(); now.Sub(f.told) > 200*time.Millisecond {
		f.told = now
		f.req.Progress(flow.Progress{Doing: doing, Rows: f.stats.Read, Bytes: f.stats.Bytes})
	}
}

// weigh applies on_empty and the limits of rejects and of failed rows.
func (f *fetching) weigh() error {
	x := f.job.Extract
	op := "read " + x.Connection
	if t := f.job.Tolerate; f.failed > 0 && t.Mode == "max" && t.Percent > 0 && float64(f.failed)*100 > t.Percent*float64(f.eachOf) {
		return f.tooManyFailed()
	}
	if f.stats.Read == 0 && f.failed == 0 {
		switch x.OnEmpty {
		case "ok":
		case "skip":
			return errEmpty
		default:
			return invalid(op, "it has no records", "If that may be, set on_empty: ok or skip.")
		}
	}
	// The failed rows are among the kept rejects, and have their own limit.
	if f.rejects.Rows == f.failed {
		return nil
	}
	limit := x.Rejects
	if limit.Mode == "max" && limit.Max > 0 {
		limit.Max += f.failed
	}
	return f.rejects.Bear(op, limit, f.stats.Read)
}

// finish writes the manifest, after which the dataset exists.
func (f *fetching) finish(ctx context.Context, parts []flow.File, schema flow.Schema) (flow.Output, error) {
	at, err := flow.ParseTimeName(f.job.Slot.Time)
	if err != nil {
		return flow.Output{}, &flow.Error{Op: "read the slot", Kind: flow.Invalid, Err: err}
	}
	m := &flow.Manifest{Run: f.req.Run, Step: f.job.Slot.Step, Attempt: f.req.Attempt, Time: at.UTC().Format(time.RFC3339), Created: f.now(),
		Files: parts, Schema: schema, Inputs: f.inputs, Read: f.stats.Read + f.failed, Rejected: f.rejects.Rows}
	for _, p := range parts {
		m.Rows += p.Rows
	}
	if m.Read != m.Rows+m.Rejected {
		return flow.Output{}, fmt.Errorf("read %s: %d records came, %d were written and %d rejected", f.job.Extract.Connection, m.Read, m.Rows, m.Rejected)
	}
	if f.rejects.Rows > 0 {
		if m.Rejects, err = f.writeRejects(ctx); err != nil {
			return flow.Output{}, err
		}
	}
	uri, err := f.Store.Write(ctx, f.dir, m)
	if err != nil {
		return flow.Output{}, err
	}
	return flow.Output{Manifest: uri, Rows: m.Rows, Bytes: m.Bytes(), SchemaHash: schema.Hash(), Read: m.Read, Rejected: m.Rejected, Cursor: f.high.text(), Warnings: f.warnings}, nil
}

func (f *fetching) now() time.Time {
	if f.Store.Now != nil {
		return f.Store.Now().UTC()
	}
	return time.Now().UTC()
}

func (f *fetching) writeRejects(ctx context.Context) ([]flow.File, error) {
	if err := f.rejects.Tell(f.req.Log); err != nil {
		return nil, err
	}
	f.warn("%d rejected and kept with their reasons in table %s_rejects%s", f.rejects.Rows, tableName(f.job.Slot.Step), f.rejects.Some())
	const base = "rejects.parquet"
	out, err := f.Store.Bucket.Create(ctx, f.Store.Name(f.dir+"/"+base), flow.Condition{})
	if err != nil {
		return nil, err
	}
	n, err := format.WriteRejects(out, f.rejects.All)
	if err == nil {
		err = f.rejects.Err()
	}
	if err != nil {
		return nil, errors.Join(err, out.Abort())
	}
	o, err := out.Commit()
	return []flow.File{{Path: base, Rows: n, Bytes: o.Size, ETag: o.ETag}}, err
}

// tableName is how a query names what a step extracted.
func tableName(step string) string {
	if s, ok := strings.CutSuffix(step, flow.ExtractSuffix); ok {
		return s + "_extract"
	}
	return step
}

// write writes batches as the dataset's Parquet files, each of about PartBytes. The schema is
// not looked at before the first batch.
func (f *fetching) write(ctx context.Context, schema *flow.Schema, rows iter.Seq2[flow.Batch, error]) ([]flow.File, error) {
	f.high = nil
	w := &partWriter{f: f, ctx: ctx}
	for b, err := range ahead(rows, f.cancel) {
		if err == nil && w.schema == nil {
			if w.schema, err = format.ArrowSchema(*schema); err == nil {
				f.high, err = newHighest(*schema, f.job.Extract.Cursor)
			}
		}
		if err == nil {
			f.high.look(b)
			err = w.add(b)
		}
		release(b)
		if err != nil {
			return nil, errors.Join(err, w.abort())
		}
	}
	err := w.end()
	return w.files, err
}

// partWriter writes one file after another.
type partWriter struct {
	f      *fetching
	ctx    context.Context // of the task
	schema *arrow.Schema
	files  []flow.File
	out    flow.Writer
	pw     *format.ParquetWriter
	bytes  int64 // of the file so far
}

func (w *partWriter) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.bytes += int64(n)
	return n, err
}

func (w *partWriter) add(b flow.Batch) error {
	if w.pw == nil {
		var err error
		base := fmt.Sprintf("part-%05d.parquet", len(w.files))
		if w.out, err = w.f.Store.Bucket.Create(w.ctx, w.f.Store.Name(w.f.dir+"/"+base), flow.Condition{}); err != nil {
			return err
		}
		w.bytes = 0
		if w.pw, err = format.NewParquetWriter(w, w.schema); err != nil {
			return err
		}
	}
	if err := w.pw.Write(b); err != nil {
		return err
	}
	if w.bytes >= w.f.PartBytes {
		return w.end()
	}
	return nil
}

// end finishes the file that is being written.
func (w *partWriter) end() error {
	if w.pw == nil {
		return nil
	}
	pw := w.pw
	w.pw = nil
	if err := pw.Close(); err != nil {
		return errors.Join(err, w.out.Abort())
	}
	o, err := w.out.Commit()
	if err != nil {
		return err
	}
	w.files = append(w.files, flow.File{Path: fmt.Sprintf("part-%05d.parquet", len(w.files)), Rows: pw.Rows(), Bytes: o.Size, ETag: o.ETag})
	return nil
}

func (w *partWriter) abort() error {
	if w.out == nil {
		return nil
	}
	return w.out.Abort()
}

// ahead runs a sequence in a goroutine of its own, two values before its consumer. Where
// the consumer stops early, cancel ends what the sequence waits for, and batches that were
// not consumed are released.
func ahead[T any](seq iter.Seq2[T, error], cancel func()) iter.Seq2[T, error] {
	type item struct {
		v      T
		err    error
		broken any // what the sequence panicked with
	}
	return func(yield func(T, error) bool) {
		items, stop := make(chan item, 2), make(chan struct{})
		go func() {
			defer close(items)
			defer func() {
				if p := recover(); p != nil {
					items <- item{broken: fmt.Sprintf("%v\n%s", p, debug.Stack())}
				}
			}()
			for v, err := range seq {
				select {
				case items <- item{v: v, err: err}:
				case <-stop:
					release(v)
					return
				}
			}
		}()
		done := false
		defer func() {
			if !done {
				cancel()
			}
			close(stop)
			for i := range items {
				release(i.v)
			}
		}()
		for i := range items {
			if i.broken != nil {
				panic(i.broken) // the task's own, for whoever looks after panics of tasks
			}
			done = i.err != nil // after an error the sequence ends by itself
			if !yield(i.v, i.err) {
				return
			}
		}
		done = true
	}
}

func release(v any) {
	if b, ok := v.(flow.Batch); ok && b != nil {
		b.Release()
	}
}
