package extract

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// Survey is what the Go reader's eye saw of the files of a csv that another reader reads.
type Survey struct {
	Records int64
	Rejects map[string]map[int64]bool // by path: the places of records that the Go reader rejects
	Err     error
}

// Reread says that a csv is to be read in Go, and why: the Go reader is the judge of what an
// engine's own does not see or does otherwise.
type Reread struct{ Why string }

func (e *Reread) Error() string { return "read in Go: " + e.Why }

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

// Survey looks at every record of a csv without making a value; bytes and records tell how
// far it is.
func (rd *Reader) Survey(ctx context.Context, src *Source, bytes, records *atomic.Int64) *Survey {
	v := &Survey{Rejects: map[string]map[int64]bool{}}
	use := rd.Used(src)
	for _, f := range src.Files {
		before, rows := bytes.Load(), v.Records
		v.Err = func() error {
			in, err := os.Open(f.Path)
			if err != nil {
				return err
			}
			defer in.Close() //nolint:errcheck // only read
			s, err := format.NewSurvey(src.CSV, len(f.Header), use, PlacesOf(src, f, use), rd.Zone)
			if err != nil {
				return err
			}
			err = s.Read(ctx, in, func(b, n int64) { bytes.Store(before + b); records.Store(rows + n) })
			v.Records += s.Records
			if len(s.Rejects) > 0 {
				at := make(map[int64]bool, len(s.Rejects))
				for _, o := range s.Rejects {
					at[o] = true
				}
				v.Rejects[f.Path] = at
			}
			return err
		}()
		bytes.Store(before + f.Size)
		switch {
		case v.Err == nil:
		case ctx.Err() != nil:
			v.Err = context.Cause(ctx)
			return v
		case flow.KindOf(v.Err) == flow.Unknown && !errors.As(v.Err, new(*os.PathError)):
			v.Err = &Reread{f.Show + ", " + v.Err.Error()}
			return v
		default:
			v.Err = &flow.Error{Op: "read " + f.Show, Kind: flow.KindOf(v.Err), Hint: flow.HintOf(v.Err), Err: v.Err}
			return v
		}
	}
	return v
}
