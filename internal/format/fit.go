package format

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/flow"
)

// Fitter makes a database's batches fit a schema: columns in its order and types. A row with
// a value that does not fit becomes a reject, with its reason.
type Fitter struct {
	rd     Reading
	schema *arrow.Schema
	types  []Type
	places []int  // of each column in the batches; -1: NULL
	as     []bool // it is the column's type already
	row    int64
}

// NewFitter makes one for batches of a schema; places are, for each column of rd.Schema, its
// place in them or -1: see Bind.
func NewFitter(from *arrow.Schema, places []int, rd Reading) (*Fitter, error) {
	f := &Fitter{rd: rd, places: places, as: make([]bool, len(places))}
	var err error
	if f.schema, err = ArrowSchema(rd.Schema); err != nil {
		return nil, err
	}
	for i, c := range rd.Schema {
		t, err := ParseType(c.Type)
		if err != nil {
			return nil, err
		}
		f.types = append(f.types, t)
		if places[i] < 0 {
			continue
		}
		has := from.Field(places[i]).Type
		f.as[i] = arrow.TypeEqual(has, f.schema.Field(i).Type)
		if !f.as[i] && t.Kind >= Array {
			return nil, &flow.Error{Op: "read column " + c.Name, Kind: flow.Invalid, Err: fmt.Errorf("%s cannot become %s", has, t)}
		}
	}
	return f, nil
}

// Schema is that of the batches it makes.
func (f *Fitter) Schema() *arrow.Schema { return f.schema }

// Fit yields a batch's rows as they fit. The batch stays its owner's.
func (f *Fitter) Fit(b flow.Batch, yield func(flow.Batch, error) bool) bool {
	n := int(b.NumRows())
	first := f.row
	f.row += int64(n)
	f.rd.Stats.Read += int64(n)
	why := map[int]string{}
	col := map[int]string{}
	columns := make([]arrow.Array, len(f.places))
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, p := range f.places {
		switch {
		case p >= 0 && f.as[i]:
			columns[i] = b.Column(p)
			columns[i].Retain()
		default:
			var err error
			if columns[i], err = f.convert(b, i, p, why, col); err != nil {
				return yield(nil, err) && false
			}
		}
	}
	whole := array.NewRecordBatch(f.schema, columns, int64(n))
	defer whole.Release()
	from := 0
	for r := range n {
		reason, dead := why[r]
		if !dead {
			continue
		}
		if r > from && !yield(whole.NewSlice(int64(from), int64(r)), nil) {
			return false
		}
		from = r + 1
		var raw strings.Builder
		row := b.NewSlice(int64(r), int64(r)+1)
		err := WriteNDJSON(&raw, row)
		row.Release()
		if err != nil {
			return yield(nil, err) && false
		}
		if err := f.rd.reject(first+int64(r)+1, col[r], reason, []byte(strings.TrimSpace(raw.String()))); err != nil {
			return yield(nil, err) && false
		}
	}
	f.rd.Stats.Written += int64(n - len(why))
	return from >= n || yield(whole.NewSlice(int64(from), int64(n)), nil)
}

// convert makes a column of another type by way of its texts, whose rules are those of files.
func (f *Fitter) convert(b flow.Batch, i, p int, why, col map[int]string) (arrow.Array, error) {
	builder := array.NewBuilder(memory.DefaultAllocator, f.schema.Field(i).Type)
	defer builder.Release()
	if p < 0 {
		builder.AppendNulls(int(b.NumRows()))
		return builder.NewArray(), nil
	}
	put, err := newAppender(f.types[i], builder, texts{zone: f.rd.Zone})
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", f.rd.Schema[i].Name, err)
	}
	a, name := b.Column(p), f.rd.Schema[i].Name
	for r := range int(b.NumRows()) {
		if a.IsNull(r) {
			builder.AppendNull()
			continue
		}
		x := []byte(text(a, r))
		if f.types[i].Kind >= TinyInt && f.types[i].Kind <= BigInt {
			x = wholeNumber(x)
		}
		reason := put(x)
		if reason == "" {
			continue
		}
		builder.AppendNull()
		if why[r] == "" {
			col[r], why[r] = name, name+": "+reason
		} else {
			why[r] += "; " + name + ": " + reason
		}
	}
	return builder.NewArray(), nil
}
