package move

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// A segment of kept pages is written when it has segmentBytes, or is segmentAge old: what a
// crash loses is asked for again.
const (
	segmentBytes = 4 << 20
	segmentAge   = 5 * time.Second
)

// pages reads a web API: its pages are kept as they come, then looked at as a whole where the
// columns are not known yet, and encoded once.
func (f *fetching) pages(ctx context.Context, s flow.Pages, q flow.Query) ([]flow.File, flow.Schema, error) {
	if err := f.rowsOf(ctx, &q); err != nil {
		return nil, nil, err
	}
	k, err := f.keeper(ctx)
	if err != nil {
		return nil, nil, err
	}
	b, name, file, known, err := f.schemaFile(ctx)
	if err != nil {
		return nil, nil, err
	}
	d := &decoding{f: f, file: file, known: known}
	live := ahead(f.live(ctx, s, q, k), f.cancel)
	if known && f.job.Extract.Drift != "add" {
		d.schema = format.Merge(f.job.Extract.Columns, file.Columns)
		parts, err := f.write(ctx, &d.schema, d.batches(ctx, live))
		return parts, d.schema, f.drifted(err)
	}
	parts, err := f.write(ctx, &d.schema, d.guessed(ctx, live))
	if errors.Is(err, errOtherwise) {
		// Nothing of it counts: all pages are read again, by what they are as a whole.
		if err := f.rejects.Close(); err != nil {
			return nil, nil, err
		}
		f.stats, f.failed, f.warnings, f.rejects = format.Stats{}, 0, nil, format.RejectLog{Dir: f.Temp}
		d.schema = d.current()
		parts, err = f.write(ctx, &d.schema, d.batches(ctx, k.kept(ctx)))
	}
	if err != nil {
		return nil, nil, f.drifted(err)
	}
	if len(d.schema) == 0 {
		return nil, nil, f.nothing()
	}
	if known {
		for _, c := range d.schema[len(format.Merge(f.job.Extract.Columns, file.Columns)):] {
			f.warn("%s has the new field %s, which was added", f.job.Extract.Connection, c.Name)
		}
	} else if len(d.found()) > 0 {
		err = f.keepSchema(ctx, b, name, format.SchemaFile{Columns: d.schema, Dialect: d.dialect()})
	}
	return parts, d.schema, err
}

// nothing is what an extract without a single record and without columns gives.
func (f *fetching) nothing() error {
	if f.failed == 0 && f.job.Extract.OnEmpty != "ok" {
		return f.weigh()
	}
	return invalid("read "+f.job.Extract.Connection, "it has no records and its columns are not known", "Declare its columns.")
}

// drifted says what to do where a field is new.
func (f *fetching) drifted(err error) error {
	if flow.KindOf(err) == flow.Invalid && flow.HintOf(err) == "" && strings.HasSuffix(err.Error(), " is new") {
		var e *flow.Error
		if errors.As(err, &e) {
			return format.DriftError(f.job.Slot.Pipeline, f.step, strings.TrimPrefix(e.Op, "read "), 0, e.Err)
		}
	}
	return err
}

// rowsOf gives the query the rows of for_each.
func (f *fetching) rowsOf(ctx context.Context, q *flow.Query) error {
	if f.job.ForEach == "" {
		return nil
	}
	d, err := f.Store.Read(ctx, f.Lookup, f.job.ForEach)
	if err != nil {
		return err
	}
	f.inputs, f.eachOf = append(f.inputs, d.Input()), d.Rows
	q.Rows = func(yield func([]byte, error) bool) {
		for _, file := range d.Files {
			b, name, err := d.Place(ctx, f.Lookup, file)
			if err != nil {
				yield(nil, err)
				return
			}
			_, batches, err := format.ReadParquet(ctx, b, name)
			if err != nil {
				yield(nil, err)
				return
			}
			for batch, err := range batches {
				if err != nil {
					yield(nil, err)
					return
				}
				more := eachRow(batch, yield)
				batch.Release()
				if !more {
					return
				}
			}
		}
	}
	return nil
}

func eachRow(b flow.Batch, yield func([]byte, error) bool) bool {
	var text bytes.Buffer
	for r := range b.NumRows() {
		row := b.NewSlice(r, r+1)
		text.Reset()
		err := format.WriteNDJSON(&text, row)
		row.Release()
		if !yield(bytes.TrimSpace(text.Bytes()), err) || err != nil {
			return false
		}
	}
	return true
}

// live yields the pages that were kept by an earlier attempt of the run, and those that come
// now, which it keeps.
func (f *fetching) live(ctx context.Context, s flow.Pages, q flow.Query, k *keeper) iter.Seq2[flow.Page, error] {
	return func(yield func(flow.Page, error) bool) {
		n, last := 0, flow.Page{}
		for p, err := range k.kept(ctx) {
			if err != nil {
				yield(p, errors.Join(err, k.forget(ctx)))
				return
			}
			if !yield(p, nil) {
				return
			}
			n++
			last = p
		}
		if n > 0 {
			fmt.Fprintf(f.req.Log, "%d pages were kept by an earlier attempt\n", n) //nolint:errcheck // a log
			if last.Next == nil {
				return
			}
			q.From = last.Next
		}
		for p, err := range s.Pages(ctx, q) {
			if err == nil {
				err = k.add(ctx, p)
			}
			if err != nil {
				if flow.KindOf(err) == flow.Conflict {
					err = errors.Join(err, k.forget(ctx))
				} else {
					err = errors.Join(err, k.flush(context.WithoutCancel(ctx)))
				}
				yield(flow.Page{}, err)
				return
			}
			if p.Warning != "" {
				fmt.Fprintln(f.req.Log, "warning:", p.Warning) //nolint:errcheck // a log
			}
			if !yield(p, nil) {
				_ = k.flush(context.WithoutCancel(ctx)) //nolint:errcheck // there is an error already; what is not kept is asked for again
				return
			}
		}
		if err := k.flush(ctx); err != nil {
			yield(flow.Page{}, err)
		}
	}
}

// decoding turns pages into batches.
type decoding struct {
	f      *fetching
	file   format.SchemaFile
	known  bool // file is there
	schema flow.Schema

	json   format.JSONInference
	csv    *format.Inference
	csvAs  format.CSV
	header []string
}

func (d *decoding) name(p flow.Page) string { return p.Name + " of " + d.f.job.Extract.Connection }

// errOtherwise says that a later page changed what the pages before it were read as.
var errOtherwise = errors.New("a later page is otherwise")

// guessed looks at all pages, and decodes each while it is at hand as if no later one changed
// what is known of the columns by then: most APIs show their columns on the first page. Where
// one does, it only looks at the rest, and ends with errOtherwise.
func (d *decoding) guessed(ctx context.Context, pages iter.Seq2[flow.Page, error]) iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		var j *format.JSONReader
		defer func() {
			if j != nil {
				j.Release()
			}
		}()
		wrong := false
		for p, err := range pages {
			if err == nil && p.Failed == "" {
				err = d.infer(p)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			now := d.current()
			switch {
			case wrong, p.Format == "csv", j != nil && !slices.Equal(now, d.schema):
				wrong = true
				d.f.stats.Read += p.Records // for the progress
				d.f.progress("read " + d.name(p))
				continue
			case j == nil && len(now) > 0:
				d.schema = now
				if j, err = format.NewJSONReader(d.f.reading(now)); err != nil {
					yield(nil, err)
					return
				}
			}
			if !d.page(ctx, j, p, yield) {
				return
			}
		}
		switch {
		case wrong:
			yield(nil, errOtherwise)
		case j != nil:
			j.Flush(yield)
		}
	}
}

// infer looks at one page.
func (d *decoding) infer(p flow.Page) error {
	if p.Format == "csv" {
		return d.inferCSV(p)
	}
	return d.json.AddBytes(p.Body, p.Format == "ndjson")
}

// current is the schema by what is known so far.
func (d *decoding) current() flow.Schema {
	columns := d.f.job.Extract.Columns
	if !d.known {
		return format.Merge(columns, d.found())
	}
	schema := format.Merge(columns, d.file.Columns)
	for _, c := range d.found() {
		if format.Index(schema, c.Name) < 0 {
			schema = append(schema, c)
		}
	}
	return schema
}

// decideCSV decides how a page of CSV is written; the first decides for all.
func (d *decoding) decideCSV(p flow.Page) (header []string, err error) {
	given := d.f.job.Extract.Dialect
	if given == nil {
		given = d.file.Dialect
	}
	if d.header != nil {
		given = d.csvAs.Flow()
	}
	csv, header, err := format.DecideCSV(p.Body[:min(len(p.Body), 1<<20)], given, format.Names(d.schema))
	if err != nil {
		return nil, &flow.Error{Op: "read " + d.name(p), Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err}
	}
	if d.header == nil {
		d.csvAs, d.header = csv, header
	}
	return header, nil
}

func (d *decoding) inferCSV(p flow.Page) error {
	if len(bytes.TrimSpace(p.Body)) == 0 {
		return nil
	}
	header, err := d.decideCSV(p)
	if err != nil {
		return err
	}
	if d.csv == nil {
		if d.csv, err = format.NewInference(d.csvAs, header, nil); err != nil {
			return err
		}
	}
	if !slices.Equal(header, d.header) {
		return format.DriftError(d.f.job.Slot.Pipeline, d.f.step, d.name(p), 1, fmt.Errorf("it has the columns %s, the first page %s", strings.Join(header, ", "), strings.Join(d.header, ", ")))
	}
	return d.csv.Add(bytes.NewReader(p.Body), true)
}

func (d *decoding) found() flow.Schema {
	if d.csv != nil {
		return d.csv.Schema()
	}
	return d.json.Schema()
}

func (d *decoding) dialect() *flow.Dialect {
	if d.csv == nil {
		return nil
	}
	return d.csvAs.Flow()
}

// batches decodes pages by the schema.
func (d *decoding) batches(ctx context.Context, pages iter.Seq2[flow.Page, error]) iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		j, err := format.NewJSONReader(d.f.reading(d.schema))
		if err != nil {
			yield(nil, err)
			return
		}
		defer j.Release()
		for p, err := range pages {
			if err != nil {
				yield(nil, err)
				return
			}
			if !d.page(ctx, j, p, yield) {
				return
			}
		}
		j.Flush(yield)
	}
}

// page decodes one page; j may be nil for one without records.
func (d *decoding) page(ctx context.Context, j *format.JSONReader, p flow.Page, yield func(flow.Batch, error) bool) bool {
	if p.Warning != "" {
		d.f.warn("%s: %s", d.f.job.Extract.Connection, p.Warning)
	}
	d.f.progress("read " + d.name(p))
	switch {
	case p.Failed != "":
		if err := d.f.bearFailed(p); err != nil {
			return yield(nil, err) && false
		}
		return true
	case p.Format == "csv":
		return d.csvBatches(ctx, p, yield)
	case j == nil:
		return true
	}
	return j.ReadBytes(ctx, d.name(p), p.Body, p.Format == "ndjson", yield)
}

func (d *decoding) csvBatches(ctx context.Context, p flow.Page, yield func(flow.Batch, error) bool) bool {
	if len(bytes.TrimSpace(p.Body)) == 0 {
		return true
	}
	header, err := d.decideCSV(p)
	if err != nil {
		return yield(nil, err) && false
	}
	places, _, err := format.Bind(d.schema, header, d.f.job.Extract.Drift)
	if err != nil {
		return yield(nil, format.DriftError(d.f.job.Slot.Pipeline, d.f.step, d.name(p), 1, err)) && false
	}
	rd := d.f.reading(d.schema)
	var mine format.Stats
	rd.File, rd.Stats = d.name(p), &mine
	defer func() {
		st := &d.f.stats
		st.Read, st.Written, st.Rejected, st.Bytes = st.Read+mine.Read, st.Written+mine.Written, st.Rejected+mine.Rejected, st.Bytes+mine.Bytes
	}()
	for b, err := range format.ReadCSV(ctx, bytes.NewReader(p.Body), d.csvAs, len(header), places, rd) {
		if !yield(b, err) || err != nil {
			return false
		}
	}
	return true
}

// bearFailed counts a row of for_each that failed, keeps it as a reject, and fails where
// there are more than tolerate says.
func (f *fetching) bearFailed(p flow.Page) error {
	f.failed++
	if err := f.rejects.Add(format.Reject{Reason: p.Failed, File: p.Name + " of " + f.job.Extract.Connection, Text: format.Raw(p.Body)}); err != nil {
		return err
	}
	if t := f.job.Tolerate; t.Mode == "max" && t.Percent == 0 && f.failed > t.Max {
		return f.tooManyFailed()
	}
	return nil
}

func (f *fetching) tooManyFailed() error {
	return &flow.Error{Op: "read " + f.job.Extract.Connection, Kind: flow.Rejected, Err: fmt.Errorf("%d of %d rows failed, more than tolerate says%s", f.failed, f.eachOf, f.rejects.Some()),
		Hint: "The attempt's log names them; raise tolerate if they may be missing."}
}

// keeper keeps pages in the store: segments of several, packed, each page with a line before
// it that says where the next one is.
type keeper struct {
	store dataset.Store
	dir   string
	query string   // hash of what is asked
	names []string // of the segments there are, below dir
	next  int
	began time.Time
	buf   bytes.Buffer
	enc   *zstd.Encoder
}

// envelope is the line before a page.
type envelope struct {
	Query   string          `json:"query"`
	Name    string          `json:"name"`
	Format  string          `json:"format"`
	Bytes   int             `json:"bytes"`
	Records int64           `json:"records"`
	Failed  string          `json:"failed,omitempty"`
	Warning string          `json:"warning,omitempty"`
	Next    json.RawMessage `json:"next,omitempty"`
}

// keeper looks for the pages that an earlier attempt of this run kept.
func (f *fetching) keeper(ctx context.Context) (*keeper, error) {
	k := &keeper{store: f.Store, dir: dataset.PagesDir(f.job.Slot, f.req.Run), query: f.asked()}
	var err error
	if k.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, err
	}
	for o, err := range f.Store.Bucket.List(ctx, f.Store.Name(k.dir)+"/") {
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(o.Name, ".json.zst") {
			k.names = append(k.names, o.Name)
		}
	}
	slices.Sort(k.names)
	k.next = len(k.names) + 1
	for p, err := range k.kept(ctx) {
		if err != nil || p.Name == "" {
			// Of another query, or broken: read anew.
			return k, k.forget(ctx)
		}
		break
	}
	return k, nil
}

// kept yields the pages that are kept.
func (k *keeper) kept(ctx context.Context) iter.Seq2[flow.Page, error] {
	return func(yield func(flow.Page, error) bool) {
		for _, name := range k.names {
			if !k.segment(ctx, name, yield) {
				return
			}
		}
	}
}

func (k *keeper) segment(ctx context.Context, name string, yield func(flow.Page, error) bool) bool {
	fault := func(err error) bool {
		yield(flow.Page{}, &flow.Error{Op: "read the kept pages " + name, Kind: orKind(err, flow.Conflict), Err: err})
		return false
	}
	in, err := k.store.Bucket.Open(ctx, name, 0, -1)
	if err != nil {
		return fault(err)
	}
	defer in.Close() //nolint:errcheck // only read
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fault(err)
	}
	defer z.Close()
	r := bufio.NewReaderSize(z, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return true
		}
		if err != nil {
			return fault(err)
		}
		var e envelope
		if err := json.Unmarshal(line, &e); err != nil {
			return fault(err)
		}
		if e.Query != k.query {
			return fault(errors.New("they are another query's"))
		}
		p := flow.Page{Name: e.Name, Format: e.Format, Body: make([]byte, e.Bytes), Records: e.Records, Failed: e.Failed, Warning: e.Warning, Next: e.Next}
		if _, err := io.ReadFull(r, p.Body); err != nil {
			return fault(err)
		}
		if _, err := r.Discard(1); err != nil {
			return fault(err)
		}
		if !yield(p, nil) {
			return false
		}
	}
}

func orKind(err error, k flow.Kind) flow.Kind {
	if known := flow.KindOf(err); known != flow.Unknown {
		return known
	}
	return k
}

// add keeps a page.
func (k *keeper) add(ctx context.Context, p flow.Page) error {
	if k.buf.Len() == 0 {
		k.began = time.Now()
	}
	line, err := json.Marshal(envelope{k.query, p.Name, p.Format, len(p.Body), p.Records, p.Failed, p.Warning, p.Next})
	if err != nil {
		return err
	}
	k.buf.Write(line)
	k.buf.WriteByte('\n')
	k.buf.Write(p.Body)
	k.buf.WriteByte('\n')
	if k.buf.Len() >= segmentBytes || time.Since(k.began) > segmentAge {
		return k.flush(ctx)
	}
	return nil
}

// flush writes the segment. One that is there already is another attempt's, still at work.
func (k *keeper) flush(ctx context.Context) error {
	if k.buf.Len() == 0 {
		return nil
	}
	name := k.store.Name(fmt.Sprintf("%s/%06d.json.zst", k.dir, k.next))
	w, err := k.store.Bucket.Create(ctx, name, flow.Condition{IfAbsent: true})
	if err != nil {
		return err
	}
	if _, err := w.Write(k.enc.EncodeAll(k.buf.Bytes(), nil)); err != nil {
		return errors.Join(err, w.Abort())
	}
	if _, err := w.Commit(); err != nil {
		if flow.KindOf(err) == flow.Conflict {
			return &flow.Error{Op: "keep " + name, Kind: flow.Transient, Err: errors.New("another attempt of the run keeps pages too")}
		}
		return err
	}
	k.buf.Reset()
	k.next++
	k.names = append(k.names, name)
	return nil
}

// forget gives up what is kept.
func (k *keeper) forget(ctx context.Context) error {
	k.buf.Reset()
	names := k.names
	k.names, k.next = nil, 1
	if r, ok := k.store.Bucket.(flow.Remover); ok && len(names) > 0 {
		return r.Remove(ctx, names...)
	}
	return nil
}
