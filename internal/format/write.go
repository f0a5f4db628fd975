package format

import (
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tidemill/tidemill/internal/flow"
)

// WriteNDJSON appends a batch as one JSON object a line. NULL fields are written as null;
// decimals as numbers with all their digits; NaN and infinities as strings; times as ISO.
func WriteNDJSON(w io.Writer, b flow.Batch) error {
	var buf []byte
	objects := NewObjects(b, true)
	for r := range int(b.NumRows()) {
		buf = append(objects.Append(buf, r), '\n')
		if len(buf) > 64<<10 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return err
}

// Objects writes the rows of a batch as JSON objects.
type Objects struct {
	names [][]byte // each with the colon
	cols  []arrow.Array
	nulls bool
}

// NewObjects writes the columns of a batch but those to be left out; nulls says whether a
// NULL field stands there as null or not at all.
func NewObjects(b flow.Batch, nulls bool, without ...string) *Objects {
	o := &Objects{nulls: nulls}
	for i, c := range b.Columns() {
		if name := b.ColumnName(i); !slices.Contains(without, name) {
			o.names = append(o.names, append(appendString(nil, name), ':'))
			o.cols = append(o.cols, c)
		}
	}
	return o
}

// Append appends a row.
func (o *Objects) Append(b []byte, row int) []byte {
	b = append(b, '{')
	first := true
	for i, c := range o.cols {
		if !o.nulls && c.IsNull(row) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = AppendJSON(append(b, o.names[i]...), c, row)
	}
	return append(b, '}')
}

// AppendString appends a text as JSON.
func AppendString(b []byte, s string) []byte { return appendString(b, s) }

// Text is a value that is not NULL as a text: what stands in a csv.
func Text(a arrow.Array, i int) string { return text(a, i) }

func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// AppendJSON appends one value as JSON.
func AppendJSON(b []byte, a arrow.Array, i int) []byte {
	if a.IsNull(i) {
		return append(b, "null"...)
	}
	switch a := a.(type) {
	case *array.Struct:
		t := a.DataType().(*arrow.StructType)
		b = append(b, '{')
		for f := range a.NumField() {
			if f > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, t.Field(f).Name), ':')
			b = AppendJSON(b, a.Field(f), i)
		}
		return append(b, '}')
	case *array.Map:
		from, to := a.ValueOffsets(i)
		b = append(b, '{')
		for k := int(from); k < int(to); k++ {
			if k > int(from) {
				b = append(b, ',')
			}
			b = append(appendString(b, text(a.Keys(), k)), ':')
			b = AppendJSON(b, a.Items(), k)
		}
		return append(b, '}')
	case array.ListLike:
		from, to := a.ValueOffsets(i)
		b = append(b, '[')
		for k := int(from); k < int(to); k++ {
			if k > int(from) {
				b = append(b, ',')
			}
			b = AppendJSON(b, a.ListValues(), k)
		}
		return append(b, ']')
	case *array.Int64:
		return strconv.AppendInt(b, a.Value(i), 10)
	case *array.Int32:
		return strconv.AppendInt(b, int64(a.Value(i)), 10)
	case *array.Boolean:
		return strconv.AppendBool(b, a.Value(i))
	case *array.Float64:
		if f := a.Value(i); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return append(b, number64(f)...)
		}
	case *array.Float32:
		if f := float64(a.Value(i)); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return strconv.AppendFloat(b, f, 'g', -1, 32)
		}
	case *array.Decimal128:
		return appendDecimal(b, a.Value(i), a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Date32:
		return append(a.Value(i).ToTime().UTC().AppendFormat(append(b, '"'), time.DateOnly), '"')
	case *array.Timestamp:
		return append(appendTime(append(b, '"'), a, i), '"')
	case *array.Int8, *array.Int16, *array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64:
		return append(b, text(a, i)...)
	}
	return appendString(b, text(a, i))
}

// appendDecimal appends a decimal with all its digits.
func appendDecimal(b []byte, n decimal128.Num, scale int32) []byte {
	low := int64(n.LowBits()) //nolint:gosec // the sign is checked against the high bits
	if scale < 0 || scale > 18 || n.HighBits() != low>>63 || low == math.MinInt64 {
		return append(b, n.ToString(scale)...)
	}
	if low < 0 {
		b, low = append(b, '-'), -low
	}
	if scale == 0 {
		return strconv.AppendInt(b, low, 10)
	}
	unit := int64(math.Pow10(int(scale)))
	b = append(strconv.AppendInt(b, low/unit, 10), '.')
	rest := low % unit
	for unit /= 10; unit > 0; unit /= 10 {
		b = append(b, '0'+byte(rest/unit))
		rest %= unit
	}
	return b
}

// appendTime appends an instant, with Z where the column is one of instants.
func appendTime(b []byte, a *array.Timestamp, i int) []byte {
	t := a.DataType().(*arrow.TimestampType)
	at := time.UnixMicro(int64(a.Value(i))).UTC()
	if t.Unit != arrow.Microsecond {
		at = a.Value(i).ToTime(t.Unit).UTC()
	}
	if t.TimeZone == "" {
		return at.AppendFormat(b, "2006-01-02T15:04:05.999999")
	}
	return at.AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00")
}

// number64 writes a double so that it reads back as the same double, and as a double.
func number64(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".eNI") {
		s += ".0"
	}
	return s
}

// text is one value that is not NULL, as a text: of csv, and of the tables in messages.
func text(a arrow.Array, i int) string {
	switch a := a.(type) {
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return base64.StdEncoding.EncodeToString(a.Value(i))
	case *array.Date32:
		return a.Value(i).ToTime().UTC().Format(time.DateOnly)
	case *array.Timestamp:
		return string(appendTime(nil, a, i))
	case *array.Decimal128:
		return string(appendDecimal(nil, a.Value(i), a.DataType().(*arrow.Decimal128Type).Scale))
	case *array.Float64:
		return number64(a.Value(i))
	case *array.Struct, array.ListLike:
		return string(AppendJSON(nil, a, i))
	}
	return a.ValueStr(i)
}

// WriteCSV appends a batch as RFC 4180 lines, header says with a line of names first. NULL
// is the empty field; an empty string is "", so that a reader that tells them apart can.
func WriteCSV(w io.Writer, b flow.Batch, header bool) error {
	var buf []byte
	cell := func(i int, s string) {
		if i > 0 {
			buf = append(buf, ',')
		}
		if s != "" && !strings.ContainsAny(s, ",\"\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
			buf = append(buf, s...)
			return
		}
		buf = append(buf, '"')
		buf = append(buf, strings.ReplaceAll(s, `"`, `""`)...)
		buf = append(buf, '"')
	}
	cols := int(b.NumCols())
	if header {
		for c := range cols {
			cell(c, b.ColumnName(c))
		}
		buf = append(buf, '\n')
	}
	for r := range int(b.NumRows()) {
		for c := range cols {
			if a := b.Column(c); a.IsNull(r) {
				if c > 0 {
					buf = append(buf, ',')
				}
			} else {
				cell(c, text(a, r))
			}
		}
		buf = append(buf, '\n')
		if len(buf) > 64<<10 {
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("write csv: %w", err)
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return err
}
