package format

import (
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/flow"
)

// WriteNDJSON appends a batch as one JSON object a line. NULL fields are written as null;
// decimals as numbers with all their digits; NaN and infinities as strings; times as ISO.
func WriteNDJSON(w io.Writer, b flow.Batch) error {
	var buf []byte
	names := make([][]byte, b.NumCols())
	for i := range names {
		names[i] = append(appendString(nil, b.ColumnName(i)), ':')
	}
	for r := range int(b.NumRows()) {
		buf = append(buf, '{')
		for c := range names {
			if c > 0 {
				buf = append(buf, ',')
			}
			buf = append(buf, names[c]...)
			buf = AppendJSON(buf, b.Column(c), r)
		}
		buf = append(buf, '}', '\n')
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
	case *array.Int8, *array.Int16, *array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64, *array.Decimal128:
		return append(b, text(a, i)...)
	}
	return appendString(b, text(a, i))
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
		at := time.UnixMicro(int64(a.Value(i))).UTC()
		if t := a.DataType().(*arrow.TimestampType); t.Unit != arrow.Microsecond {
			at = a.Value(i).ToTime(t.Unit).UTC()
		}
		if a.DataType().(*arrow.TimestampType).TimeZone == "" {
			return at.Format("2006-01-02T15:04:05.999999")
		}
		return at.Format("2006-01-02T15:04:05.999999Z07:00")
	case *array.Decimal128:
		t := a.DataType().(*arrow.Decimal128Type)
		return a.Value(i).ToString(t.Scale)
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
