package format

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/flow"
)

// Reject is a record that did not fit, with its reason.
type Reject struct {
	Reason string
	File   string
	Line   int64  // physical line of the record's first byte, from 1; 0 where lines mean nothing
	Column string // the first column that did not fit; empty where it is the whole record
	Text   string // the record as it stands in the file, at most 64 KiB of it
}

func (r Reject) String() string {
	at := r.File
	if r.Line > 0 {
		at = fmt.Sprintf("%s:%d", r.File, r.Line)
	}
	reason := r.Reason
	if r.Column != "" {
		at += ", column " + r.Column
		reason = strings.TrimPrefix(reason, r.Column+": ")
	}
	return at + ": " + reason
}

// Stats counts what a reader did: Read = Written + Rejected once it is done.
type Stats struct{ Read, Written, Rejected, Bytes int64 }

// Reading says how a file is to be read.
type Reading struct {
	File   string             // its name, for messages
	Schema flow.Schema        // the columns of the batches
	Zone   *time.Location     // of timestamps written without one; nil: UTC
	Rows   int                // of a batch; 0: 8,192
	Limit  int                // most bytes of a record; 0: MaxRecord
	Drift  string             // json, ndjson: what an unknown field does
	Reject func(Reject) error // told of each reject; an error ends the reading
	Stats  *Stats             // set while reading; never nil

	// Workers is how many read a CSV file side by side; 0: one.
	Workers int

	slow  bool // record by record: what tests compare with
	chunk int  // bytes of a worker's part; 0: chunkBytes
}

// rowWriter appends rows to builders; a row with a misfit becomes a reject and is cut out
// of the batch.
type rowWriter struct {
	rd    *Reading
	b     *array.RecordBuilder
	types []Type
	rows  int
	most  int
	dead  []int
	why   []string
	col   string
}

func newRowWriter(rd *Reading) (*rowWriter, error) {
	schema, err := ArrowSchema(rd.Schema)
	if err != nil {
		return nil, err
	}
	w := &rowWriter{rd: rd, b: array.NewRecordBuilder(memory.DefaultAllocator, schema), most: rd.Rows}
	if w.most == 0 {
		w.most = 8192
	}
	for _, c := range rd.Schema {
		t, err := ParseType(c.Type)
		if err != nil {
			return nil, err
		}
		w.types = append(w.types, t)
	}
	return w, nil
}

func (w *rowWriter) misfit(column, reason string) {
	if len(w.why) == 0 {
		w.col = column
	}
	if column != "" { // else it is the whole record
		reason = column + ": " + reason
	}
	w.why = append(w.why, reason)
}

// end finishes a row: raw is its text, in case it is a reject.
func (w *rowWriter) end(line int64, raw []byte) error {
	w.rd.Stats.Read++
	w.rows++
	if len(w.why) == 0 {
		w.rd.Stats.Written++
		return nil
	}
	w.dead = append(w.dead, w.rows-1)
	err := w.rd.reject(line, w.col, strings.Join(w.why, "; "), raw)
	w.why, w.col = w.why[:0], ""
	return err
}

func (rd *Reading) reject(line int64, column, reason string, raw []byte) error {
	rd.Stats.Rejected++
	if rd.Reject == nil {
		return nil
	}
	return rd.Reject(Reject{Reason: reason, File: rd.File, Line: line, Column: column, Text: Raw(raw)})
}

// Raw is a rejected text as it is kept: valid UTF-8, at most 64 KiB.
func Raw(b []byte) string {
	if len(b) > rawKept {
		return strings.ToValidUTF8(string(b[:rawKept]), "\uFFFD") + "…"
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// flush yields the rows, without the dead ones.
func (w *rowWriter) flush(yield func(flow.Batch, error) bool) bool {
	if w.rows == 0 {
		return true
	}
	batch := w.b.NewRecordBatch()
	defer batch.Release()
	from := 0
	dead := append(w.dead, w.rows)
	w.dead = w.dead[:0]
	w.rows = 0
	for _, d := range dead {
		if d > from && !yield(batch.NewSlice(int64(from), int64(d)), nil) {
			return false
		}
		from = d + 1
	}
	return true
}

// ReadCSV reads a decoded CSV text as batches. places are, for each column of the schema,
// its place in a record of width fields, or -1 for NULL: see Bind. A text that is an
// io.ReaderAt is read by rd.Workers side by side; batches and rejects keep its order.
func ReadCSV(ctx context.Context, r io.Reader, csv CSV, width int, places []int, rd Reading) iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		if err := readCSV(ctx, r, csv, width, places, &rd, yield); err != nil && !errors.Is(err, errStopped) {
			yield(nil, &flow.Error{Op: "read " + rd.File, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err})
		}
	}
}

var errStopped = errors.New("stopped")

func readCSV(ctx context.Context, r io.Reader, csv CSV, width int, places []int, rd *Reading, yield func(flow.Batch, error) bool) error {
	b, err := newCSVRows(csv, width, places, rd)
	if err != nil {
		return err
	}
	defer b.release()
	sp := newSplitter(r, csv, rd.Limit)
	if csv.Header {
		_, err = sp.next(width)
	} else {
		err = sp.begin()
	}
	if err != nil {
		return notEOF(err)
	}
	if in, ok := r.(io.ReaderAt); ok && b.fast && rd.Workers > 1 {
		p := &sideBySide{in: in, csv: csv, width: width, places: places, rd: rd, at: sp.offset, line: sp.line}
		done, err := p.read(ctx, b, yield)
		if done || err != nil {
			return err
		}
		sp = newSplitter(io.NewSectionReader(in, p.at, math.MaxInt64-p.at), csv, rd.Limit)
		sp.began, sp.offset, sp.line = true, p.at, p.line
	}
	return b.rest(ctx, sp, yield)
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// rejectSchema is how rejects are kept.
var rejectSchema = arrow.NewSchema([]arrow.Field{
	{Name: "reason", Type: arrow.BinaryTypes.String}, {Name: "file", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "line", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "column", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// WriteRejects writes rejects as a Parquet file with the columns reason, file, line, column, text.
func WriteRejects(w io.Writer, rejects iter.Seq[Reject]) (rows int64, err error) {
	pw, err := NewParquetWriter(w, rejectSchema)
	if err != nil {
		return 0, err
	}
	for chunk := range chunks(rejects, 4096) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, rejectSchema)
		for _, r := range chunk {
			b.Field(0).(*array.StringBuilder).Append(r.Reason)
			for i, s := range map[int]string{1: r.File, 3: r.Column, 4: r.Text} {
				if s == "" {
					b.Field(i).AppendNull()
				} else {
					b.Field(i).(*array.StringBuilder).Append(s)
				}
			}
			if r.Line > 0 {
				b.Field(2).(*array.Int64Builder).Append(r.Line)
			} else {
				b.Field(2).AppendNull()
			}
		}
		batch := b.NewRecordBatch()
		err := pw.Write(batch)
		batch.Release()
		b.Release()
		if err != nil {
			return rows, err
		}
		rows += int64(len(chunk))
	}
	return rows, pw.Close()
}

func chunks[T any](all iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		var c []T
		for v := range all {
			if c = append(c, v); len(c) == n {
				if !yield(c) {
					return
				}
				c = slices.Clip(c[:0])
			}
		}
		if len(c) > 0 {
			yield(c)
		}
	}
}
