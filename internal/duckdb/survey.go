package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// survey is what the Go reader's eye saw of the files of a fused read, while DuckDB read them.
type survey struct {
	records int64
	rejects map[string]map[int64]bool // by path: the places of records that the Go reader rejects
	err     error
}

// used are the columns that the step reads, with their types: what is typed and checked.
func (w *work) used(src *source) flow.Schema {
	if src.use == nil || src.kind != "csv" {
		return src.schema
	}
	var use flow.Schema
	for _, c := range src.schema {
		if slices.ContainsFunc(src.use, func(n string) bool { return strings.EqualFold(n, c.Name) }) || strings.EqualFold(c.Name, w.job.Extract.Cursor) {
			use = append(use, c)
		}
	}
	return use
}

// placesOf are, for each of some columns of the schema, its place in a record of the file.
func placesOf(src *source, f input, use flow.Schema) []int {
	places := make([]int, len(use))
	for i, c := range use {
		places[i] = f.places[format.Index(src.schema, c.Name)]
	}
	return places
}

// readBeside runs a fused read with a survey of its files beside it, and tells how far they are.
func (w *work) readBeside(ctx context.Context, src *source, run func(context.Context) error) error {
	total := int64(0)
	for _, f := range src.files {
		total += f.size
	}
	doing := "read " + w.job.Extract.From
	w.req.Progress(flow.Progress{Doing: doing, Total: total})
	beside, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var bytes, records atomic.Int64
	done := make(chan *survey, 1)
	go func() {
		v := w.surveyFiles(beside, src, &bytes, &records)
		if v.err != nil {
			stop(v.err) // DuckDB need not go on
		}
		done <- v
	}()
	told := make(chan struct{})
	go func() {
		defer close(told)
		w.tellShare(beside, flow.Progress{Doing: doing, Total: total}, &bytes, &records)
	}()
	err := run(beside)
	var v *survey
	if err == nil {
		v = <-done
	}
	stop(nil)
	<-told
	if err != nil {
		if why, ok := rereadable(err); ok && ctx.Err() == nil {
			return &rereadError{why}
		}
		return err
	}
	if err := w.reconcile(ctx, src, v); err != nil {
		return err
	}
	w.req.Progress(flow.Progress{Doing: doing, Rows: w.read, TotalRows: w.read, Bytes: total, Total: total, Fraction: 1})
	return nil
}

// tellShare tells how far a fused read is until the context ends. The survey runs ahead of
// the query, whose share of the work is the truer one where DuckDB knows it.
func (w *work) tellShare(ctx context.Context, p flow.Progress, bytes, records *atomic.Int64) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			seen, rows := bytes.Load(), records.Load()
			done := seen
			if share, ok := w.share(); ok {
				done = min(seen, int64(share*float64(p.Total)))
			}
			if done <= p.Bytes || p.Total == 0 {
				continue
			}
			p.Bytes, p.Fraction = done, float64(done)/float64(p.Total)
			p.Rows = int64(float64(rows) * float64(done) / float64(seen))
			w.req.Progress(p)
		}
	}
}

// surveyFiles surveys every file of a fused source.
func (w *work) surveyFiles(ctx context.Context, src *source, bytes, records *atomic.Int64) *survey {
	v := &survey{rejects: map[string]map[int64]bool{}}
	use := w.used(src)
	for _, f := range src.files {
		before, rows := bytes.Load(), v.records
		v.err = func() error {
			in, err := os.Open(f.path)
			if err != nil {
				return err
			}
			defer in.Close() //nolint:errcheck // only read
			s, err := format.NewSurvey(src.csv, len(f.header), use, placesOf(src, f, use), w.s.Zone())
			if err != nil {
				return err
			}
			err = s.Read(ctx, in, func(b, n int64) { bytes.Store(before + b); records.Store(rows + n) })
			v.records += s.Records
			if len(s.Rejects) > 0 {
				at := make(map[int64]bool, len(s.Rejects))
				for _, o := range s.Rejects {
					at[o] = true
				}
				v.rejects[f.path] = at
			}
			return err
		}()
		bytes.Store(before + f.size)
		switch {
		case v.err == nil:
		case ctx.Err() != nil:
			v.err = context.Cause(ctx)
			return v
		case flow.KindOf(v.err) == flow.Unknown && !errors.As(v.err, new(*os.PathError)):
			v.err = &rereadError{f.show + ", " + v.err.Error()}
			return v
		default:
			v.err = &flow.Error{Op: "read " + f.show, Kind: flow.KindOf(v.err), Hint: flow.HintOf(v.err), Err: v.err}
			return v
		}
	}
	return v
}

// takeRejects takes DuckDB's rejects over, in the Go reader's words, and proves that they
// are the Go reader's: all of them and no others.
func (w *work) takeRejects(ctx context.Context, src *source, v *survey) error {
	t := &rejectTaker{w: w, src: src, use: w.used(src), marked: v.rejects}
	defer t.close()
	rows, err := w.conn.QueryContext(ctx, `SELECT DISTINCT s.file_path, e.line_byte_position, e.error_type = 'LINE SIZE OVER MAXIMUM'
FROM reject_errors e JOIN reject_scans s ON s.scan_id = e.scan_id AND s.file_id = e.file_id ORDER BY 1, 2`)
	switch {
	case err != nil && !strings.Contains(err.Error(), "does not exist"):
		return fault(ctx, err)
	case err == nil:
		defer rows.Close() //nolint:errcheck // Err tells
		for rows.Next() {
			var path string
			var at sql.NullInt64
			var long bool
			if err := rows.Scan(&path, &at, &long); err != nil {
				return err
			}
			if long || !at.Valid {
				return &rereadError{"a record is longer than DuckDB reads"}
			}
			if err := t.take(path, at.Int64-1); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return fault(ctx, err)
		}
	}
	for path, left := range t.marked {
		if len(left) > 0 {
			return &rereadError{fmt.Sprintf("%d records of %s do not fit, and DuckDB read them", len(left), path)}
		}
	}
	return nil
}

// rejectTaker turns the places of DuckDB's rejects into rejects, in the order of the files.
type rejectTaker struct {
	w      *work
	src    *source
	use    flow.Schema
	marked map[string]map[int64]bool
	file   *os.File
	in     input
	path   string
	at     int64 // of the last record

	counted int64 // bytes whose lines are in line
	line    int64
	buf     []byte
}

func (t *rejectTaker) take(path string, at int64) error {
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
		t.file, t.path, t.in, t.counted, t.line, t.buf, t.at = f, path, t.src.files[i], 0, 1, make([]byte, 256<<10), -1
	}
	line, at, err := t.lineOf(at)
	if err != nil {
		return fmt.Errorf("read rejects of %s: %w", t.in.show, err)
	}
	if at == t.at {
		return nil // told of twice: by its first byte and by the line feed before it
	}
	t.at = at
	v, err := format.Judge(io.NewSectionReader(t.file, at, 1<<20), t.src.csv, len(t.in.header), t.use, placesOf(t.src, t.in, t.use), t.w.s.Zone())
	if err != nil || v.Reason == "" {
		return &rereadError{fmt.Sprintf("%s:%d is rejected by DuckDB alone", t.in.show, line)}
	}
	delete(t.marked[path], at)
	return t.w.rejects.Add(format.Reject{Reason: v.Reason, File: t.in.show, Line: line, Column: v.Column, Text: v.Text})
}

// lineOf finds the physical line of the record at a place, and its true place.
func (t *rejectTaker) lineOf(at int64) (line, place int64, err error) {
	for t.counted < at {
		n, err := t.file.ReadAt(t.buf[:min(int64(len(t.buf)), at-t.counted)], t.counted)
		if n == 0 {
			return 0, 0, err
		}
		for _, c := range t.buf[:n] {
			if c == '\n' {
				t.line++
			}
		}
		t.counted += int64(n)
	}
	line = t.line
	one := make([]byte, 1)
	// With CRLF the reader's place is the line feed before the record.
	for {
		if n, _ := t.file.ReadAt(one, at); n == 0 || one[0] != '\n' { //nolint:errcheck // the end of the file is no line feed
			return line, at, nil
		}
		at, line = at+1, line+1
	}
}

func (t *rejectTaker) close() {
	if t.file != nil {
		_ = t.file.Close() //nolint:errcheck // only read
		t.file = nil
	}
}
