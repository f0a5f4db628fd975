package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// readBeside runs a fused read with a survey of its files beside it, and tells how far they are.
func (w *work) readBeside(ctx context.Context, src *source, run func(context.Context) error) error {
	total := int64(0)
	for _, f := range src.Files {
		total += f.Size
	}
	doing := "read " + w.job.Extract.From
	w.req.Progress(flow.Progress{Doing: doing, Total: total})
	beside, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var bytes, records atomic.Int64
	done := make(chan *extract.Survey, 1)
	go func() {
		v := w.reader.Survey(beside, src.Source, &bytes, &records)
		if v.Err != nil {
			stop(v.Err) // DuckDB need not go on
		}
		done <- v
	}()
	told := make(chan struct{})
	go func() {
		defer close(told)
		w.tellShare(beside, flow.Progress{Doing: doing, Total: total}, &bytes, &records)
	}()
	err := run(beside)
	var v *extract.Survey
	if err == nil {
		v = <-done
	}
	stop(nil)
	<-told
	if err != nil {
		if why, ok := rereadable(err); ok && ctx.Err() == nil {
			return &extract.Reread{Why: why}
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

// takeRejects takes DuckDB's rejects over, in the Go reader's words, and proves that they
// are the Go reader's: all of them and no others.
func (w *work) takeRejects(ctx context.Context, src *source, v *extract.Survey) error {
	t := &rejectTaker{w: w, src: src, use: w.reader.Used(src.Source), marked: v.Rejects}
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
				return &extract.Reread{Why: "a record is longer than DuckDB reads"}
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
			return &extract.Reread{Why: fmt.Sprintf("%d records of %s do not fit, and DuckDB read them", len(left), path)}
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
	in     extract.File
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
		i := slices.IndexFunc(t.src.Files, func(f extract.File) bool { return f.Path == path })
		if i < 0 {
			return fmt.Errorf("read rejects: %s is no file of the source", path)
		}
		t.file, t.path, t.in, t.counted, t.line, t.buf, t.at = f, path, t.src.Files[i], 0, 1, make([]byte, 256<<10), -1
	}
	line, at, err := t.lineOf(at)
	if err != nil {
		return fmt.Errorf("read rejects of %s: %w", t.in.Show, err)
	}
	if at == t.at {
		return nil // told of twice: by its first byte and by the line feed before it
	}
	t.at = at
	v, err := format.Judge(io.NewSectionReader(t.file, at, 1<<20), t.src.CSV, len(t.in.Header), t.use, extract.PlacesOf(t.src.Source, t.in, t.use), t.w.s.Zone())
	if err != nil || v.Reason == "" {
		return &extract.Reread{Why: fmt.Sprintf("%s:%d is rejected by DuckDB alone", t.in.Show, line)}
	}
	delete(t.marked[path], at)
	return t.w.rejects.Add(format.Reject{Reason: v.Reason, File: t.in.Show, Line: line, Column: v.Column, Text: v.Text})
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
