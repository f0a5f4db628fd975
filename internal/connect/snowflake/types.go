package snowflake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	sf "github.com/snowflakedb/gosnowflake"

	"github.com/tidemill/tidemill/internal/flow"
)

// field is a column of a result: Snowflake's type and the one that a dataset keeps it as.
type field struct {
	name     string
	kind     string // fixed, real, text, timestamp_tz, …
	scale    int
	typ      arrow.DataType
	nullable bool
}

var micros = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// fieldOf decides a column's type. Whole numbers of up to 18 digits are bigint, all others
// decimals with every digit; an instant is a timestamp in UTC; what is half-structured is its
// JSON; a time of day is a text.
func fieldOf(name, kind string, precision, scale int64, nullable bool) field {
	f := field{name: name, kind: strings.ToLower(kind), scale: int(scale), nullable: nullable, typ: arrow.BinaryTypes.String}
	switch f.kind {
	case "fixed":
		f.typ = &arrow.Decimal128Type{Precision: int32(precision), Scale: int32(scale)}
		if scale == 0 && precision <= 18 {
			f.typ = arrow.PrimitiveTypes.Int64
		}
	case "real":
		f.typ = arrow.PrimitiveTypes.Float64
	case "boolean":
		f.typ = arrow.FixedWidthTypes.Boolean
	case "binary":
		f.typ = arrow.BinaryTypes.Binary
	case "date":
		f.typ = arrow.FixedWidthTypes.Date32
	case "timestamp_ntz":
		f.typ = &arrow.TimestampType{Unit: arrow.Microsecond}
	case "timestamp_ltz", "timestamp_tz":
		f.typ = micros
	}
	return f
}

func schemaOf(fields []field) *arrow.Schema {
	out := make([]arrow.Field, len(fields))
	for i, f := range fields {
		out[i] = arrow.Field{Name: f.name, Type: f.typ, Nullable: true}
	}
	return arrow.NewSchema(out, nil)
}

// chunkTries is how often a chunk is begun again whose connection breaks.
const chunkTries = 3

// readChunk reads one chunk of a result. One that breaks off is read again, and what was
// given of it is passed over.
func (r *reading) readChunk(ctx context.Context, part sf.ArrowStreamBatch, out chan<- flow.Batch) error {
	given := 0
	for try := 1; ; try++ {
		again := part // a copy: its stream is not open yet
		err := r.readOnce(ctx, &again, &given, out)
		var known *flow.Error
		if err == nil || ctx.Err() != nil || try == chunkTries || errors.As(err, &known) {
			return err
		}
		r.log("a chunk broke off: %v; again", err)
	}
}

func (r *reading) readOnce(ctx context.Context, part *sf.ArrowStreamBatch, given *int, out chan<- flow.Batch) (err error) {
	stream, err := part.GetStream(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if e := stream.Close(); err == nil && ctx.Err() == nil {
			err = e
		}
	}()
	in, err := ipc.NewReader(stream, ipc.WithAllocator(memory.DefaultAllocator))
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	defer in.Release()
	for n := 0; in.Next(); n++ {
		if n < *given {
			continue
		}
		b, err := r.convert(in.RecordBatch())
		if err != nil {
			return &flow.Error{Op: "read query " + r.id, Kind: flow.Invalid, Err: err}
		}
		select {
		case out <- b:
			*given++
		case <-ctx.Done():
			b.Release()
			return ctx.Err()
		}
	}
	if err := in.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// convert makes a batch as Snowflake sends it one of the schema.
func (r *reading) convert(in flow.Batch) (flow.Batch, error) {
	if int(in.NumCols()) != len(r.fields) {
		return nil, fmt.Errorf("a batch has %d columns, the result %d", in.NumCols(), len(r.fields))
	}
	columns := make([]arrow.Array, len(r.fields))
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, f := range r.fields {
		var err error
		if columns[i], err = f.column(in.Column(i)); err != nil {
			return nil, fmt.Errorf("column %s: %w", f.name, err)
		}
	}
	return array.NewRecordBatch(r.schema, columns, in.NumRows()), nil
}

// column makes a column of the field's type. Snowflake sends numbers as the smallest whole
// number that holds their digits, instants as whole numbers or as structs of seconds and
// nanoseconds.
func (f field) column(in arrow.Array) (arrow.Array, error) {
	if arrow.TypeEqual(in.DataType(), f.typ) {
		in.Retain()
		return in, nil
	}
	b := array.NewBuilder(memory.DefaultAllocator, f.typ)
	defer b.Release()
	b.Reserve(in.Len())
	put, err := f.putter(in, b)
	if err != nil {
		return nil, err
	}
	for i := range in.Len() {
		if in.IsNull(i) {
			b.AppendNull()
		} else if err := put(i); err != nil {
			return nil, err
		}
	}
	return b.NewArray(), nil
}

func (f field) putter(in arrow.Array, b array.Builder) (func(i int) error, error) {
	whole := wholeOf(in)
	switch b := b.(type) {
	case *array.Int64Builder:
		if whole != nil {
			return func(i int) error { b.Append(whole(i)); return nil }, nil
		}
		if d, ok := in.(*array.Decimal128); ok {
			return func(i int) error {
				v := d.Value(i).BigInt()
				if !v.IsInt64() {
					return fmt.Errorf("%s does not fit", v)
				}
				b.Append(v.Int64())
				return nil
			}, nil
		}
	case *array.Decimal128Builder:
		if whole != nil {
			return func(i int) error { b.Append(decimal128.FromI64(whole(i))); return nil }, nil
		}
		if d, ok := in.(*array.Decimal128); ok { // of another precision; the scale is the result's
			return func(i int) error { b.Append(d.Value(i)); return nil }, nil
		}
	case *array.Float64Builder:
		if x, ok := in.(*array.Float32); ok {
			return func(i int) error { b.Append(float64(x.Value(i))); return nil }, nil
		}
	case *array.TimestampBuilder:
		if at := f.instant(in); at != nil {
			return func(i int) error { b.Append(arrow.Timestamp(at(i))); return nil }, nil
		}
	case *array.StringBuilder:
		if f.kind == "time" && whole != nil {
			return func(i int) error { b.Append(timeOfDay(whole(i), f.scale)); return nil }, nil
		}
		return func(i int) error { b.Append(textAt(in, i)); return nil }, nil
	}
	return nil, fmt.Errorf("%s of Snowflake's %s is not understood", in.DataType(), f.kind)
}

func wholeOf(in arrow.Array) func(i int) int64 {
	switch a := in.(type) {
	case *array.Int8:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Int16:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Int32:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Int64:
		return a.Value
	}
	return nil
}

// instant gives microseconds of the epoch. A time zone beside it does not change the instant.
func (f field) instant(in arrow.Array) func(i int) int64 {
	switch a := in.(type) {
	case *array.Int64:
		return func(i int) int64 { return toMicros(a.Value(i), f.scale) }
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return func(i int) int64 { return a.Value(i).ToTime(unit).UnixMicro() }
	case *array.Struct:
		epoch, ok := a.Field(0).(*array.Int64)
		if !ok {
			return nil
		}
		if f.kind == "timestamp_tz" && a.NumField() == 2 {
			return func(i int) int64 { return toMicros(epoch.Value(i), f.scale) }
		}
		fraction, ok := a.Field(1).(*array.Int32)
		if !ok {
			return nil
		}
		return func(i int) int64 { return epoch.Value(i)*1e6 + int64(fraction.Value(i))/1e3 }
	}
	return nil
}

func toMicros(v int64, scale int) int64 {
	for ; scale < 6; scale++ {
		v *= 10
	}
	for ; scale > 6; scale-- {
		v = floorDiv(v, 10)
	}
	return v
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func timeOfDay(v int64, scale int) string {
	us := toMicros(v, scale)
	return time.UnixMicro(us).UTC().Format("15:04:05.999999")
}

func textAt(in arrow.Array, i int) string {
	if s, ok := in.(*array.String); ok {
		return s.Value(i)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(in.GetOneForMarshal(i)); err != nil {
		return in.ValueStr(i)
	}
	return strings.TrimSpace(b.String())
}

// jsonRows is how many rows of a result in JSON make a batch.
const jsonRows = 8192

// fromJSON yields a result that came in JSON: SHOW, DESCRIBE, and sessions that ask for it.
func (r *reading) fromJSON(rows [][]*string, yield func(flow.Batch, error) bool) {
	for from := 0; from < len(rows); from += jsonRows {
		part := rows[from:min(from+jsonRows, len(rows))]
		b := array.NewRecordBuilder(memory.DefaultAllocator, r.schema)
		for _, row := range part {
			for i, v := range row {
				if err := r.fields[i].put(b.Field(i), v); err != nil {
					b.Release()
					yield(nil, &flow.Error{Op: "read query " + r.id, Kind: flow.Invalid, Err: fmt.Errorf("column %s: %w", r.fields[i].name, err)})
					return
				}
			}
		}
		batch := b.NewRecordBatch()
		b.Release()
		if !yield(batch, nil) {
			return
		}
	}
}

// put appends a value as Snowflake writes it in JSON: dates in days, instants in seconds with
// a fraction, and a zone's minutes after a space.
func (f field) put(b array.Builder, v *string) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.Date32Builder:
		n, err := strconv.ParseInt(*v, 10, 32)
		b.Append(arrow.Date32(n))
		return err
	case *array.TimestampBuilder:
		seconds, _, _ := strings.Cut(*v, " ")
		x, ok := new(big.Rat).SetString(seconds)
		if !ok {
			return fmt.Errorf("%q is no instant", *v)
		}
		x.Mul(x, big.NewRat(1e6, 1))
		b.Append(arrow.Timestamp(new(big.Int).Div(x.Num(), x.Denom()).Int64()))
		return nil
	case *array.StringBuilder:
		if f.kind == "time" {
			x, ok := new(big.Rat).SetString(*v)
			if !ok {
				return fmt.Errorf("%q is no time", *v)
			}
			x.Mul(x, big.NewRat(1e6, 1))
			b.Append(timeOfDay(new(big.Int).Div(x.Num(), x.Denom()).Int64(), 6))
			return nil
		}
		b.Append(*v)
		return nil
	case *array.BinaryBuilder:
		raw := make([]byte, len(*v)/2)
		if _, err := fmt.Sscanf(*v, "%x", &raw); err != nil && *v != "" {
			return err
		}
		b.Append(raw)
		return nil
	case *array.BooleanBuilder:
		b.Append(*v == "1" || strings.EqualFold(*v, "true"))
		return nil
	}
	return b.AppendValueFromString(*v)
}
