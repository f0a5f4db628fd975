// Package extract reads the files of an extract on behalf of every engine: it finds them,
// makes them plain files of this machine, decides dialect and schema, and, where an engine's
// own reader is not to be trusted with a file, reads it in Go, whose answer stands.
package extract

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// Reader is one attempt at reading an extract of files.
type Reader struct {
	Lookup   flow.Lookup
	Slot     flow.Slot // whose schema file decides
	Extract  flow.Extract
	Temp     string              // a scratch folder
	Zone     *time.Location      // of timestamps without one; nil: UTC
	Workers  int                 // how many read one csv side by side; 0: one
	Progress func(flow.Progress) // nil: nobody listens
	// Columns gives the columns of a Parquet file of this machine; nil: as its footer has them.
	Columns func(ctx context.Context, path string) (flow.Schema, error)

	Warnings []string // what a person should know
}

// Source is what was decided: how each file is read.
type Source struct {
	Kind   string // csv, json, ndjson, parquet
	Files  []File
	Schema flow.Schema // of the table
	Use    []string    // columns that are wanted; nil: all
	CSV    format.CSV
	InGo   bool // a csv that only the Go reader can read
}

// File is one file of a source, as a plain file of this machine in UTF-8.
type File struct {
	Show   string // as messages name it
	Path   string
	Size   int64
	Header []string // the file's columns
	Places []int    // for each column of the schema, its place in the file or -1
	CR     bool     // the lines of this csv end with a bare carriage return
}

// dialect is the csv file's own.
func (s *Source) dialect(f File) format.CSV {
	csv := s.CSV
	csv.CR = f.CR
	return csv
}

// sampleBytes is how much of each file the types are inferred from, at most.
const (
	sampleBytes = 16 << 20
	headBytes   = 1 << 20
)

func (rd *Reader) progress(p flow.Progress) {
	if rd.Progress != nil {
		rd.Progress(p)
	}
}

// Decide finds and stages the files and decides how they are read. use are the columns that
// are wanted, nil for all.
func (rd *Reader) Decide(ctx context.Context, use []string) (*Source, error) {
	if rd.Columns == nil {
		rd.Columns = footerColumns
	}
	e := rd.Extract
	src := &Source{Use: use}
	files, err := rd.files(ctx, e.From)
	if err != nil {
		return nil, err
	}
	if src.Kind, err = format.Of(files[0].object.Name, e.Format); err != nil {
		return nil, err
	}
	if err := rd.stage(ctx, src, files); err != nil {
		return nil, err
	}
	if err := noDoubles(ctx, src.Files); err != nil {
		return nil, err
	}
	switch src.Kind {
	case "csv":
		return src, rd.decideCSV(ctx, src)
	case "json", "ndjson":
		return src, rd.decideJSON(ctx, src)
	case "parquet":
		return src, rd.decideParquet(ctx, src)
	}
	return nil, &flow.Error{Op: "read " + e.From, Kind: flow.Invalid, Err: fmt.Errorf("format %q is not known", src.Kind), Hint: "Known are csv, json, ndjson and parquet."}
}

func footerColumns(_ context.Context, path string) (flow.Schema, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	_, schema, err := format.ParquetFooter(f)
	return schema, errors.Join(err, f.Close())
}

// Empty is the error of an extract without records that may not be empty.
func (rd *Reader) Empty() error {
	return &flow.Error{Op: "read " + rd.Extract.From, Kind: flow.Invalid, Err: errors.New("it has no records"), Hint: "If that may be, set on_empty: ok or skip."}
}

// Groups are the files by their columns: those of a group have the same in the same order.
func (s *Source) Groups() [][]File {
	var groups [][]File
	for _, f := range s.Files {
		found := false
		for i, g := range groups {
			if strings.Join(g[0].Header, "\x00") == strings.Join(f.Header, "\x00") {
				groups[i], found = append(groups[i], f), true
				break
			}
		}
		if !found {
			groups = append(groups, []File{f})
		}
	}
	return groups
}

// Read reads a csv, json or ndjson source by the Go readers: the columns use, in their order.
// Stats is added to; reject is told of each record that does not fit. A csv is read by
// rd.Workers side by side.
func (rd *Reader) Read(ctx context.Context, src *Source, use flow.Schema, reject func(format.Reject) error, stats *format.Stats) iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		p := flow.Progress{Doing: "read " + rd.Extract.From}
		for _, f := range src.Files {
			p.Total += f.Size
		}
		rd.progress(p)
		var told time.Time
		for _, f := range src.Files {
			if !rd.readFile(ctx, src, f, p, &told, use, reject, stats, yield) {
				return
			}
			p.Bytes += f.Size
		}
		p.Rows, p.TotalRows, p.Fraction = stats.Read, stats.Read, 1
		rd.progress(p)
	}
}

// readFile reads one file; p is how far the source is before it, told when that was said last.
func (rd *Reader) readFile(ctx context.Context, src *Source, f File, p flow.Progress, told *time.Time, use flow.Schema, reject func(format.Reject) error, stats *format.Stats, yield func(flow.Batch, error) bool) bool {
	in, err := os.Open(f.Path)
	if err != nil {
		return yield(nil, err)
	}
	defer in.Close() //nolint:errcheck // only read
	before, mine := *stats, format.Stats{}
	how := format.Reading{File: f.Show, Schema: use, Zone: rd.Zone, Drift: rd.Extract.Drift, Reject: reject, Stats: &mine, Workers: rd.Workers}
	var batches iter.Seq2[flow.Batch, error]
	if src.Kind == "csv" {
		batches = format.ReadCSV(ctx, in, src.dialect(f), len(f.Header), PlacesOf(src, f, use), how)
	} else {
		batches = format.ReadJSON(ctx, in, src.Kind == "ndjson", how)
	}
	for b, err := range batches {
		if err != nil {
			if strings.Contains(err.Error(), " is new") && src.Kind != "csv" {
				err = rd.driftError(f, 0, err)
			}
			return yield(nil, err) && false
		}
		if !yield(b, nil) {
			return false
		}
		if time.Since(*told) > 200*time.Millisecond {
			*told = time.Now()
			now := p
			now.Rows, now.Bytes = before.Read+mine.Read, min(p.Bytes+mine.Bytes, p.Total)
			now.Fraction = float64(now.Bytes) / float64(max(p.Total, 1))
			rd.progress(now)
		}
	}
	stats.Read, stats.Written, stats.Rejected = before.Read+mine.Read, before.Written+mine.Written, before.Rejected+mine.Rejected
	return true
}

// Used are the columns that the step reads, with their types: what is typed and checked.
func (rd *Reader) Used(src *Source) flow.Schema {
	if src.Use == nil || src.Kind != "csv" {
		return src.Schema
	}
	var use flow.Schema
	for _, c := range src.Schema {
		if slices.ContainsFunc(src.Use, func(n string) bool { return strings.EqualFold(n, c.Name) }) || strings.EqualFold(c.Name, rd.Extract.Cursor) {
			use = append(use, c)
		}
	}
	return use
}

// PlacesOf are, for each of some columns of the schema, its place in a record of the file.
func PlacesOf(src *Source, f File, use flow.Schema) []int {
	places := make([]int, len(use))
	for i, c := range use {
		places[i] = f.Places[format.Index(src.Schema, c.Name)]
	}
	return places
}
