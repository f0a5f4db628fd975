package extract

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// schemaFile finds the step's schema file.
func (rd *Reader) schemaFile(ctx context.Context) (b flow.Bucket, name string, f format.SchemaFile, ok bool, err error) {
	if b, name, err = rd.Lookup.Bucket(ctx, format.SchemaPath(rd.Slot.Pipeline, rd.Slot.Step)); err != nil {
		return
	}
	f, ok, err = format.LoadSchema(ctx, b, name)
	return
}

// keepSchema writes an inferred schema for the user to commit.
func (rd *Reader) keepSchema(ctx context.Context, b flow.Bucket, name string, f format.SchemaFile) error {
	if len(f.Columns) == 0 {
		return nil
	}
	written, err := format.StoreSchema(ctx, b, name, f)
	if err == nil && written {
		rd.Warnings = append(rd.Warnings, fmt.Sprintf("the schema of %s.%s was decided from the data and written to %s: look at it and commit it",
			rd.Slot.Pipeline, rd.Slot.Step, format.SchemaPath(rd.Slot.Pipeline, rd.Slot.Step)))
	}
	return err
}

func (rd *Reader) driftError(f File, line int64, err error) error {
	return format.DriftError(rd.Slot.Pipeline, rd.Slot.Step, f.Show, line, err)
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

func (rd *Reader) decideCSV(ctx context.Context, src *Source) error {
	e := rd.Extract
	b, name, kept, ok, err := rd.schemaFile(ctx)
	if err != nil {
		return err
	}
	base := format.Merge(e.Columns, kept.Columns)
	given := dialect(e.Dialect, kept.Dialect)
	decided := false
	live := src.Files[:0:0]
	for _, f := range src.Files {
		head, err := headOf(f.Path, headBytes)
		if err != nil {
			return err
		}
		if len(strings.TrimSpace(strings.TrimPrefix(string(head[:min(len(head), 64)]), "\ufeff"))) == 0 && f.Size < 64 {
			continue // an empty file has no columns
		}
		csv, header, err := format.DecideCSV(head, given, format.Names(base))
		if err != nil {
			return &flow.Error{Op: "read " + f.Show, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: err}
		}
		if !decided {
			src.CSV, decided = csv, true
			given = csv.Flow()
		} else if csv.CR != src.CSV.CR {
			src.InGo = true
		}
		f.Header, f.CR = header, csv.CR
		live = append(live, f)
	}
	src.Files = live
	if !decided {
		src.Schema = base
		return nil
	}
	complete := ok || len(e.Columns) > 0 && allDeclared(e.Columns, live)
	found := base
	if !complete || e.Drift == "add" {
		if found, err = rd.inferCSV(src); err != nil {
			return err
		}
	}
	if !complete {
		base = format.Merge(e.Columns, found)
	}
	if err := rd.bindFiles(src, base, found); err != nil {
		return err
	}
	if !complete {
		d := src.CSV.Flow()
		d.Encoding = ""
		if e.Dialect != nil {
			d.Encoding = e.Dialect.Encoding
		}
		return rd.keepSchema(ctx, b, name, format.SchemaFile{Columns: src.Schema, Dialect: d})
	}
	return nil
}

func allDeclared(declared flow.Schema, files []File) bool {
	for _, f := range files {
		for _, h := range f.Header {
			if format.Index(declared, h) < 0 {
				return false
			}
		}
	}
	return true
}

// inferCSV infers over the beginning of the files, and the end of a long one.
func (rd *Reader) inferCSV(src *Source) (flow.Schema, error) {
	var all flow.Schema
	left := int64(4 * sampleBytes)
	for _, f := range src.Files {
		in, err := format.NewInference(src.dialect(f), f.Header, nil)
		if err != nil {
			return nil, err
		}
		n := min(sampleBytes, left)
		if err := inferRange(in, f, n); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Show, err)
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

func inferRange(in *format.Inference, f File, n int64) error {
	r, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	head := make([]byte, min(n, f.Size))
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	if f.Size > n {
		head = head[:strings.LastIndexByte(string(head), '\n')+1]
	}
	if err := in.Add(strings.NewReader(string(head)), true); err != nil || f.Size <= n {
		return err
	}
	tail := make([]byte, min(headBytes, f.Size-n))
	if _, err := r.ReadAt(tail, f.Size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if i := strings.IndexByte(string(tail), '\n'); i >= 0 {
		return in.Add(strings.NewReader(string(tail[i+1:])), false)
	}
	return nil
}

// bindFiles binds every file's columns to the schema, following drift.
func (rd *Reader) bindFiles(src *Source, base, found flow.Schema) error {
	if rd.Extract.Drift == "add" {
		for _, f := range src.Files {
			for _, h := range f.Header {
				if format.Index(base, h) < 0 {
					base = append(slices.Clone(base), found[format.Index(found, h)])
					rd.Warnings = append(rd.Warnings, fmt.Sprintf("%s has the new column %s, which was added", f.Show, h))
				}
			}
		}
	}
	src.Schema = base
	for i := range src.Files {
		f := &src.Files[i]
		if !src.CSV.Header && len(f.Header) != len(base) && strings.HasPrefix(f.Header[0], "_c") {
			return rd.driftError(*f, 1, fmt.Errorf("it has %d columns and no header, the schema has %d", len(f.Header), len(base)))
		}
		places, added, err := format.Bind(base, f.Header, rd.Extract.Drift)
		if err != nil {
			return rd.driftError(*f, int64(src.CSV.Skip)+1, err)
		}
		if len(added) > 0 {
			rd.Warnings = append(rd.Warnings, fmt.Sprintf("%s has new columns that were left out: %s", f.Show, strings.Join(added, ", ")))
		}
		for k, p := range places {
			if p < 0 {
				rd.Warnings = append(rd.Warnings, fmt.Sprintf("%s lacks column %s, which is NULL for its rows", f.Show, base[k].Name))
			}
		}
		f.Places = places
	}
	return nil
}

func (rd *Reader) decideJSON(ctx context.Context, src *Source) error {
	e := rd.Extract
	b, name, kept, ok, err := rd.schemaFile(ctx)
	if err != nil {
		return err
	}
	if ok && e.Drift != "add" {
		src.Schema = format.Merge(e.Columns, kept.Columns)
		return nil
	}
	in := &format.JSONInference{}
	for _, f := range src.Files {
		r, err := os.Open(f.Path)
		if err != nil {
			return err
		}
		// All of it: a field may first appear in the last record.
		err = in.Add(bufio.NewReaderSize(&ctxReader{ctx, r}, 1<<20), src.Kind == "ndjson")
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("read %s: %w", f.Show, err)
		}
	}
	if ok {
		src.Schema = format.Merge(e.Columns, kept.Columns)
		for _, c := range in.Schema() {
			if format.Index(src.Schema, c.Name) < 0 {
				src.Schema = append(src.Schema, c)
				rd.Warnings = append(rd.Warnings, fmt.Sprintf("%s has the new field %s, which was added", e.From, c.Name))
			}
		}
		return nil
	}
	src.Schema = format.Merge(e.Columns, in.Schema())
	if len(in.Schema()) == 0 {
		return nil
	}
	return rd.keepSchema(ctx, b, name, format.SchemaFile{Columns: src.Schema})
}

func (rd *Reader) decideParquet(ctx context.Context, src *Source) error {
	e := rd.Extract
	b, name, kept, ok, err := rd.schemaFile(ctx)
	if err != nil {
		return err
	}
	first := flow.Schema(nil)
	for i := range src.Files {
		cols, err := rd.Columns(ctx, src.Files[i].Path)
		if err != nil {
			return &flow.Error{Op: "read " + src.Files[i].Show, Kind: flow.Invalid, Err: err}
		}
		src.Files[i].Header = format.Names(cols)
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
	src.CSV.Header = true
	if err := rd.bindFiles(src, base, first); err != nil {
		return err
	}
	if ok || len(e.Columns) >= len(first) {
		return nil
	}
	return rd.keepSchema(ctx, b, name, format.SchemaFile{Columns: src.Schema})
}
