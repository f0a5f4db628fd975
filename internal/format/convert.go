package format

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// appender puts a text into a builder; the reason it gives where the text does not fit
// stands in the reject. The text is trimmed of spaces by all but strings.
type appender func(text []byte) (reason string)

// texts says how times are written.
type texts struct {
	zone            *time.Location // of timestamps without one
	date, timestamp string         // Go layouts; empty: ISO
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func misfit(text []byte, t Type) string {
	if len(text) > 100 {
		text = append(bytes.Clone(text[:100]), "…"...)
	}
	return fmt.Sprintf("%q is no %s", text, t)
}

// newAppender makes the one of a type. Every engine's reader of a text file keeps to the
// same rules; they are Spark's where Spark's lose nothing.
func newAppender(t Type, b array.Builder, how texts) (appender, error) {
	switch b := b.(type) {
	case *array.StringBuilder:
		return func(x []byte) string {
			if !utf8.Valid(x) {
				return "not valid UTF-8"
			}
			b.BinaryBuilder.Append(x)
			return ""
		}, nil
	case *array.BinaryBuilder:
		return func(x []byte) string { b.Append(x); return "" }, nil
	case *array.BooleanBuilder:
		return func(x []byte) string {
			switch x = bytes.TrimSpace(x); {
			case bytes.EqualFold(x, []byte("true")):
				b.Append(true)
			case bytes.EqualFold(x, []byte("false")):
				b.Append(false)
			default:
				return misfit(x, t)
			}
			return ""
		}, nil
	case *array.Int8Builder:
		return integer(t, 8, func(n int64) { b.Append(int8(n)) }), nil
	case *array.Int16Builder:
		return integer(t, 16, func(n int64) { b.Append(int16(n)) }), nil
	case *array.Int32Builder:
		return integer(t, 32, func(n int64) { b.Append(int32(n)) }), nil
	case *array.Int64Builder:
		return integer(t, 64, b.Append), nil
	case *array.Float32Builder:
		return floating(t, 32, func(f float64) { b.Append(float32(f)) }), nil
	case *array.Float64Builder:
		return floating(t, 64, b.Append), nil
	case *array.Decimal128Builder:
		return func(x []byte) string {
			n, ok := parseDecimal(bytes.TrimSpace(x), t.Precision, t.Scale)
			if !ok {
				return misfit(x, t)
			}
			b.Append(n)
			return ""
		}, nil
	case *array.Date32Builder:
		return func(x []byte) string {
			d, ok := parseDate(view(bytes.TrimSpace(x)), how)
			if !ok {
				return misfit(x, t)
			}
			b.Append(d)
			return ""
		}, nil
	case *array.TimestampBuilder:
		return func(x []byte) string {
			at, ok := parseTimestamp(view(bytes.TrimSpace(x)), t.Kind == TimestampNTZ, how)
			if !ok {
				return misfit(x, t)
			}
			b.Append(at)
			return ""
		}, nil
	case *array.NullBuilder:
		return func(x []byte) string { return misfit(x, t) }, nil
	}
	return nil, fmt.Errorf("a text cannot become %s", t)
}

func integer(t Type, bits int, put func(int64)) appender {
	return func(x []byte) string {
		n, err := strconv.ParseInt(view(bytes.TrimSpace(x)), 10, bits)
		if err != nil {
			return misfit(x, t)
		}
		put(n)
		return ""
	}
}

func floating(t Type, bits int, put func(float64)) appender {
	return func(x []byte) string {
		f, ok := parseFloat(view(bytes.TrimSpace(x)), bits)
		if !ok {
			return misfit(x, t)
		}
		put(f)
		return ""
	}
}

// parseFloat is strconv's without its hexadecimal numbers and underscores, and without overflow.
func parseFloat(s string, bits int) (float64, bool) {
	for i := range len(s) {
		if c := s[i]; c == '_' || c == 'x' || c == 'X' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, bits)
	return f, err == nil
}

// parseDecimal reads a number of at most precision digits; what is behind the scale is
// rounded half away from zero, as Spark and DuckDB do.
func parseDecimal(x []byte, precision, scale int) (decimal128.Num, bool) {
	s := x
	neg := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	var n int64
	digits, behind, round := 0, -1, false
	for _, c := range s {
		switch {
		case c == '.' && behind < 0:
			behind = 0
		case c >= '0' && c <= '9':
			if behind >= 0 && behind >= scale {
				if behind == scale {
					round = c >= '5'
				}
				behind++
				digits++
				continue
			}
			if n > (math.MaxInt64-9)/10 {
				return bigDecimal(x, precision, scale)
			}
			n = n*10 + int64(c-'0')
			digits++
			if behind >= 0 {
				behind++
			}
		default:
			return bigDecimal(x, precision, scale)
		}
	}
	if digits == 0 {
		return decimal128.Num{}, false
	}
	for i := max(behind, 0); i < scale; i++ {
		if n > math.MaxInt64/10 {
			return bigDecimal(x, precision, scale)
		}
		n *= 10
	}
	if round {
		n++
	}
	if neg {
		n = -n
	}
	num := decimal128.FromI64(n)
	return num, num.FitsInPrecision(int32(precision))
}

// bigDecimal is the slow way: exponents and many digits.
func bigDecimal(x []byte, precision, scale int) (decimal128.Num, bool) {
	for _, c := range x {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return decimal128.Num{}, false
		}
	}
	if i := bytes.IndexAny(x, "eE"); i >= 0 {
		if e, err := strconv.Atoi(string(x[i+1:])); err != nil || e > 100 || e < -400 {
			return decimal128.Num{}, false
		}
	}
	if len(x) > 1000 {
		return decimal128.Num{}, false
	}
	r, ok := new(big.Rat).SetString(string(x))
	if !ok {
		return decimal128.Num{}, false
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	q, rem := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rem.Abs(rem).Lsh(rem, 1).Cmp(r.Denom()) >= 0 {
		q.Add(q, big.NewInt(int64(r.Sign())))
	}
	if q.BitLen() > 127 {
		return decimal128.Num{}, false
	}
	num := decimal128.FromBigInt(q)
	return num, num.FitsInPrecision(int32(precision))
}

// number reads up to most digits at the front of s.
func number(s string, most int) (n, used int) {
	for used < len(s) && used < most && s[used] >= '0' && s[used] <= '9' {
		n = n*10 + int(s[used]-'0')
		used++
	}
	return n, used
}

// isoDate reads yyyy-[m]m-[d]d and returns what follows.
func isoDate(s string) (y, m, d int, rest string, ok bool) {
	y, used := number(s, 4)
	if used != 4 || len(s) < 8 || s[4] != '-' {
		return 0, 0, 0, "", false
	}
	s = s[5:]
	m, used = number(s, 2)
	if used == 0 || used >= len(s) || s[used] != '-' {
		return 0, 0, 0, "", false
	}
	s = s[used+1:]
	d, used = number(s, 2)
	if used == 0 || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
		return 0, 0, 0, "", false
	}
	return y, m, d, s[used:], true
}

func daysIn(y, m int) int {
	return time.Date(y, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func dayNumber(y, m, d int) int64 {
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// parseDate reads a day; a time behind it is read and dropped, as Spark does.
func parseDate(s string, how texts) (arrow.Date32, bool) {
	if how.date != "" {
		at, err := time.Parse(how.date, s)
		if err != nil {
			return 0, false
		}
		return arrow.Date32(dayNumber(at.Year(), int(at.Month()), at.Day())), true
	}
	y, m, d, rest, ok := isoDate(s)
	if !ok {
		return 0, false
	}
	if rest != "" {
		if _, _, ok := isoTime(rest); !ok {
			return 0, false
		}
	}
	return arrow.Date32(dayNumber(y, m, d)), true
}

// isoTime reads [ T]hh:mm[:ss[.ffffff]][zone]; the rest is the zone's text.
func isoTime(s string) (micros int64, zone string, ok bool) {
	if s[0] != ' ' && s[0] != 'T' {
		return 0, "", false
	}
	s = s[1:]
	var part [3]int
	for i := range part {
		n, used := number(s, 2)
		if used == 0 {
			return 0, "", false
		}
		part[i], s = n, s[used:]
		if i == 2 || s == "" || s[0] != ':' {
			if i == 0 {
				return 0, "", false
			}
			break
		}
		s = s[1:]
	}
	if part[0] > 23 || part[1] > 59 || part[2] > 59 {
		return 0, "", false
	}
	micros = (int64(part[0])*3600 + int64(part[1])*60 + int64(part[2])) * 1_000_000
	if len(s) > 1 && s[0] == '.' {
		unit := int64(100_000)
		s = s[1:]
		if s[0] < '0' || s[0] > '9' {
			return 0, "", false
		}
		for s != "" && s[0] >= '0' && s[0] <= '9' {
			micros += int64(s[0]-'0') * unit
			unit /= 10
			s = s[1:]
		}
	}
	return micros, strings.TrimSpace(s), validZone(strings.TrimSpace(s))
}

func validZone(z string) bool {
	_, ok := zoneOffset(z)
	return z == "" || ok
}

// zoneOffset reads Z, UTC, +hh, +hhmm, +hh:mm as seconds east.
func zoneOffset(z string) (int64, bool) {
	if z == "Z" || z == "UTC" {
		return 0, true
	}
	if len(z) < 3 || z[0] != '+' && z[0] != '-' {
		return 0, false
	}
	h, used := number(z[1:], 2)
	rest := strings.TrimPrefix(z[1+used:], ":")
	m, usedM := number(rest, 2)
	if used != 2 || usedM != len(rest) || usedM == 1 || h > 18 || m > 59 {
		return 0, false
	}
	n := int64(h*3600 + m*60)
	if z[0] == '-' {
		n = -n
	}
	return n, true
}

// parseTimestamp reads an instant (a text without a zone is of the reader's), or, ntz, a
// local time, whose zone is then applied too, as DuckDB does.
func parseTimestamp(s string, ntz bool, how texts) (arrow.Timestamp, bool) {
	zone := how.zone
	if zone == nil || ntz {
		zone = time.UTC
	}
	if how.timestamp != "" {
		at, err := time.ParseInLocation(how.timestamp, s, zone)
		return arrow.Timestamp(at.UnixMicro()), err == nil
	}
	y, m, d, rest, ok := isoDate(s)
	if !ok {
		return 0, false
	}
	var micros int64
	var named string
	if rest != "" {
		if micros, named, ok = isoTime(rest); !ok {
			return 0, false
		}
	}
	if east, ok := zoneOffset(named); ok {
		return arrow.Timestamp((dayNumber(y, m, d)*86400-east)*1_000_000 + micros), true
	}
	if zone == time.UTC {
		return arrow.Timestamp(dayNumber(y, m, d)*86400*1_000_000 + micros), true
	}
	at := time.Date(y, time.Month(m), d, int(micros/3_600_000_000), int(micros/60_000_000%60), int(micros/1_000_000%60), int(micros%1_000_000)*1000, zone)
	return arrow.Timestamp(at.UnixMicro()), true
}

// patterns is the table of Spark's pattern letters, Go's layouts and strptime's.
var patterns = []struct{ spark, layout, strptime string }{
	{"yyyy", "2006", "%Y"}, {"yy", "06", "%y"}, {"MMMM", "January", "%B"}, {"MMM", "Jan", "%b"}, {"MM", "01", "%m"}, {"M", "1", "%-m"},
	{"dd", "02", "%d"}, {"d", "2", "%-d"}, {"HH", "15", "%H"}, {"H", "15", "%-H"}, {"hh", "03", "%I"}, {"h", "3", "%-I"}, {"mm", "04", "%M"}, {"m", "4", "%-M"},
	{"ss", "05", "%S"}, {"s", "5", "%-S"}, {"SSSSSS", "000000", "%f"}, {"SSS", "000", "%g"}, {"a", "PM", "%p"},
	{"XXX", "Z07:00", "%z"}, {"xxx", "-07:00", "%z"}, {"XX", "Z0700", "%z"}, {"Z", "-0700", "%z"}, {"EEEE", "Monday", "%A"}, {"EEE", "Mon", "%a"},
	{"E", "Mon", "%a"}, {"u", "2006", "%Y"}, {"uuuu", "2006", "%Y"}, {"y", "2006", "%Y"},
}

// Pattern turns Spark's pattern of a date or timestamp into Go's layout and DuckDB's strptime format.
func Pattern(spark string) (layout, strptime string, err error) {
	for i := 0; i < len(spark); {
		c := spark[i]
		if c == '\'' {
			end := strings.IndexByte(spark[i+1:], '\'')
			if end < 0 {
				return "", "", fmt.Errorf("pattern %q: a quote is not closed", spark)
			}
			lit := spark[i+1 : i+1+end]
			if end == 0 {
				lit = "'"
			}
			layout, strptime, i = layout+lit, strptime+strings.ReplaceAll(lit, "%", "%%"), i+end+2
			continue
		}
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			layout, i = layout+string(c), i+1
			if c == '%' {
				strptime += "%"
			}
			strptime += string(c)
			continue
		}
		n := 1
		for i+n < len(spark) && spark[i+n] == c {
			n++
		}
		found := false
		for _, p := range patterns {
			if p.spark == spark[i:i+n] {
				layout, strptime, found = layout+p.layout, strptime+p.strptime, true
				break
			}
		}
		if !found {
			return "", "", fmt.Errorf("pattern %q: %q is not among the letters that every engine reads alike", spark, spark[i:i+n])
		}
		i += n
	}
	return layout, strptime, nil
}
