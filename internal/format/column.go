package format

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// csvColumn is one column of the batch under way. Values in a usual form are read in loops
// without a call a value; all others, and the reasons of misfits, are the appender's.
type csvColumn struct {
	name   string
	place  int // in a record; -1: NULL in every row
	form   form
	digits int  // most digits (before the point) in the usual form
	scale  int  // of a decimal
	nulls  bool // texts that stand for NULL have to be looked for
	put    appender
	b      array.Builder // nil: text
	text   textColumn
}

// form is how most values of a column look.
type form int

const (
	unusual    form = iota // each value is the appender's
	textual                // a string
	integral               // up to 18 digits with a sign or not
	pointed                // the same with a point in it
	floating64             // the same
	daily                  // yyyy-mm-dd
	momentary              // yyyy-mm-dd hh:mm:ss with a fraction or not
)

func newCSVColumn(name string, place int, t Type, csv CSV, how texts) (csvColumn, error) {
	c := csvColumn{name: name, place: place, nulls: len(csv.Nulls) > 0}
	if t.Kind == String {
		c.form = textual
		return c, nil
	}
	c.b = array.NewBuilder(memory.DefaultAllocator, t.Arrow())
	put, err := newAppender(t, c.b, how)
	if err != nil {
		c.b.Release()
		return c, err
	}
	c.put = put
	if csv.numericNulls() {
		return c, nil
	}
	switch t.Kind {
	case TinyInt:
		c.form, c.digits = integral, 2
	case SmallInt:
		c.form, c.digits = integral, 4
	case Int:
		c.form, c.digits = integral, 9
	case BigInt:
		c.form, c.digits = integral, 18
	case Decimal:
		if t.Scale <= 18 {
			c.form, c.digits, c.scale = pointed, min(t.Precision-t.Scale, 18-t.Scale), t.Scale
		}
	case Double:
		c.form = floating64
	case Date:
		if csv.Date == "" {
			c.form = daily
		}
	case Timestamp, TimestampNTZ:
		if csv.Timestamp == "" && (t.Kind == TimestampNTZ || how.zone == nil || how.zone == time.UTC) {
			c.form = momentary
		}
	}
	return c, nil
}

// textColumn is a column of strings: the same as an array.StringBuilder, without a call and
// a bit a value.
type textColumn struct {
	ends  []int32
	data  []byte
	nulls []int // rows
}

func (c *csvColumn) null() {
	if c.b != nil {
		c.b.AppendNull()
		return
	}
	c.text.nulls = append(c.text.nulls, len(c.text.ends))
	c.text.ends = append(c.text.ends, int32(len(c.text.data)))
}

// one appends a value, or says why it does not fit.
func (c *csvColumn) one(x []byte) (why string) {
	if c.b != nil {
		return c.put(x)
	}
	if !utf8.Valid(x) {
		return "not valid UTF-8"
	}
	c.text.data = append(c.text.data, x...)
	c.text.ends = append(c.text.ends, int32(len(c.text.data)))
	return ""
}

// array is the column of the batch, which it ends.
func (c *csvColumn) array(rows int) arrow.Array {
	if c.b != nil {
		return c.b.NewArray()
	}
	t := c.text
	offsets := make([]int32, rows+1)
	copy(offsets[1:], t.ends)
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(t.data)}
	if len(t.nulls) > 0 {
		valid := make([]byte, bitutil.BytesForBits(int64(rows)))
		bitutil.SetBitsTo(valid, 0, int64(rows), true)
		for _, r := range t.nulls {
			bitutil.ClearBit(valid, r)
		}
		buffers[0] = memory.NewBufferBytes(valid)
	}
	d := array.NewData(arrow.BinaryTypes.String, rows, buffers, nil, len(t.nulls), 0)
	defer d.Release()
	c.text = textColumn{ends: t.ends[:0], data: make([]byte, 0, len(t.data)+len(t.data)/8), nulls: t.nulls[:0]}
	return array.NewStringData(d)
}

// take appends the column's values of a stretch.
func (c *csvColumn) take(b *csvRows, rows int) {
	if c.place < 0 {
		for range rows {
			c.null()
		}
		return
	}
	if c.form == textual {
		c.takeTexts(b, rows)
		return
	}
	if cap(b.vals) < rows {
		b.vals = make([]int64, rows+rows/4)
	}
	vals := b.vals[:rows]
	b.odd = b.odd[:0]
	switch c.form {
	case integral:
		c.integers(b, vals)
	case pointed:
		c.decimals(b, vals)
	case daily:
		c.days(b, vals)
	case floating64, momentary:
		c.others(b, vals)
	default:
		for r := range vals {
			b.odd = append(b.odd, r)
		}
	}
	from := 0
	for _, r := range b.odd {
		c.values(vals[from:r])
		from = r + 1
		x := b.field(r, c.place)
		if b.csv.null(x) {
			c.null()
		} else if why := c.put(x); why != "" {
			c.null()
			b.why[r] = b.why[r].with(c.name, why)
		}
	}
	c.values(vals[from:])
}

// values appends numbers as the column's type has them.
func (c *csvColumn) values(vals []int64) {
	if len(vals) == 0 {
		return
	}
	switch t := c.b.(type) {
	case *array.Int64Builder:
		t.AppendValues(vals, nil)
	case *array.Int32Builder:
		t.Reserve(len(vals))
		for _, v := range vals {
			t.UnsafeAppend(int32(v))
		}
	case *array.Int16Builder:
		t.Reserve(len(vals))
		for _, v := range vals {
			t.UnsafeAppend(int16(v))
		}
	case *array.Int8Builder:
		t.Reserve(len(vals))
		for _, v := range vals {
			t.UnsafeAppend(int8(v))
		}
	case *array.Date32Builder:
		t.Reserve(len(vals))
		for _, v := range vals {
			t.UnsafeAppend(arrow.Date32(v))
		}
	case *array.TimestampBuilder:
		t.Reserve(len(vals))
		for _, v := range vals {
			t.UnsafeAppend(arrow.Timestamp(v))
		}
	case *array.Float64Builder:
		t.Reserve(len(vals))
		for _, v := range vals {
			t.UnsafeAppend(math.Float64frombits(uint64(v)))
		}
	case *array.Decimal128Builder:
		t.Reserve(len(vals))
		for _, v := range vals {
			t.UnsafeAppend(decimal128.FromI64(v))
		}
	}
}

// takeTexts appends a stretch of strings.
func (c *csvColumn) takeTexts(b *csvRows, rows int) {
	t := &c.text
	full, ends, w, k := b.full, b.ends, b.width, c.place
	last := k == w-1
	room := int(ends[rows*w]-ends[0]) + 16
	if cap(t.data)-len(t.data) < room {
		t.data = append(make([]byte, 0, 2*len(t.data)+room), t.data...)
	}
	data, outs := t.data, t.ends
	for r := range rows {
		from, to := ends[k]+1, ends[k+1]
		k += w
		if last && to > from && full[to-1] == '\r' {
			to--
		}
		n := int(to - from)
		l := len(data)
		switch {
		case n == 0, b.quoted && full[from] == b.csv.Quote, c.nulls, !b.utf8:
			t.data, t.ends = data, outs
			c.closeText(b, r)
			data, outs = t.data, t.ends
			continue
		case n <= 16 && int(from)+16 <= len(full):
			// Sixteen at once, needed or not; what is too much is overwritten.
			d, s := data[l:l+16], full[from:from+16]
			binary.LittleEndian.PutUint64(d, binary.LittleEndian.Uint64(s))
			binary.LittleEndian.PutUint64(d[8:], binary.LittleEndian.Uint64(s[8:]))
			data = data[:l+n]
		default:
			data = append(data, full[from:to]...)
		}
		outs = append(outs, int32(len(data)))
	}
	t.data, t.ends = data, outs
}

// closeText appends a string that has to be looked at closely.
func (c *csvColumn) closeText(b *csvRows, r int) {
	x := b.field(r, c.place)
	if b.csv.null(x) {
		c.null()
	} else if why := c.one(x); why != "" {
		c.null()
		b.why[r] = b.why[r].with(c.name, why)
	}
}

func (c *csvColumn) integers(b *csvRows, vals []int64) {
	full, ends, w, k := b.full, b.ends, b.width, c.place
	last, most := c.place == w-1, uint32(c.digits)
	for r := range vals {
		from, to := ends[k]+1, ends[k+1]
		k += w
		if last && to > from && full[to-1] == '\r' {
			to--
		}
		n := to - from
		if n-1 < 8 && n <= most && int(from)+8 <= len(full) {
			if v, ok := eightDigits(binary.LittleEndian.Uint64(full[from:]), n); ok {
				vals[r] = v
				continue
			}
		}
		v, ok := shortInteger(full[from:to], most)
		if !ok {
			b.odd = append(b.odd, r)
		}
		vals[r] = v
	}
}

func (c *csvColumn) decimals(b *csvRows, vals []int64) {
	full, ends, w, k := b.full, b.ends, b.width, c.place
	last := c.place == w-1
	for r := range vals {
		from, to := ends[k]+1, ends[k+1]
		k += w
		if last && to > from && full[to-1] == '\r' {
			to--
		}
		v, ok := c.decimal(full, from, to)
		if !ok {
			b.odd = append(b.odd, r)
		}
		vals[r] = v
	}
}

func (c *csvColumn) decimal(full []byte, from, to uint32) (int64, bool) {
	n := to - from
	if n-1 < 8 && int(from)+8 <= len(full) {
		x := binary.LittleEndian.Uint64(full[from:])
		other := noDigits(x&(^uint64(0)>>(64-8*n)), n)
		point := n
		if other != 0 {
			point = uint32(bits.TrailingZeros64(other)) >> 3
		}
		behind := n - point
		if (point == n || other&(other-1) == 0 && full[from+point] == '.' && behind > 1 && int(behind)-1 <= c.scale) && point > 0 && int(point) <= c.digits {
			v, _ := eightDigits(x, point)
			if behind == 0 {
				return v * powers[c.scale], true
			}
			f, _ := eightDigits(x>>(8*(point+1)), behind-1)
			return v*powers[c.scale] + f*powers[c.scale-int(behind)+1], true
		}
	}
	v, before, behind, ok := pointNumber(full[from:to])
	if !ok || before > c.digits || behind > c.scale {
		return 0, false
	}
	return v * powers[c.scale-max(behind, 0)], true
}

func (c *csvColumn) days(b *csvRows, vals []int64) {
	full, ends, w, k := b.full, b.ends, b.width, c.place
	last := c.place == w-1
	var head uint64 // the value before, and its day: files of a day have few of them
	var tail uint16
	day := int64(0)
	for r := range vals {
		from, to := ends[k]+1, ends[k+1]
		k += w
		if last && to > from && full[to-1] == '\r' {
			to--
		}
		if to-from != 10 {
			b.odd = append(b.odd, r)
			continue
		}
		h, t := binary.LittleEndian.Uint64(full[from:]), binary.LittleEndian.Uint16(full[from+8:])
		if h != head || t != tail {
			d, ok := usualDay(full, from)
			if !ok {
				b.odd = append(b.odd, r)
				continue
			}
			head, tail, day = h, t, d
		}
		vals[r] = day
	}
}

// others are forms of which a value costs a call.
func (c *csvColumn) others(b *csvRows, vals []int64) {
	for r := range vals {
		k := r*b.width + c.place
		from, to := b.ends[k]+1, b.ends[k+1]
		if c.place == b.width-1 && to > from && b.full[to-1] == '\r' {
			to--
		}
		var ok bool
		if c.form == momentary {
			vals[r], ok = usualMoment(b.full, from, to)
		} else {
			vals[r], ok = usualDouble(b.full[from:to])
		}
		if !ok {
			b.odd = append(b.odd, r)
		}
	}
}

var powers = func() (p [19]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = 10 * p[i-1]
	}
	return p
}()

// eightDigits reads the first n bytes of x, 1 to 8, as a number.
func eightDigits(x uint64, n uint32) (int64, bool) {
	t := (x ^ 0x3030303030303030) << (64 - 8*n)
	if (t&lows+0x7676767676767676|t)&highs != 0 {
		return 0, false
	}
	t = t*10 + t>>8 // pairs of digits in every other byte
	return int64(((t&0x000000ff000000ff)*0x000f424000000064 + (t>>16&0x000000ff000000ff)*0x0000271000000001) >> 32), true
}

// noDigits has the high bit set for each of the first n bytes of x that is no digit.
func noDigits(x uint64, n uint32) uint64 {
	t := x ^ 0x3030303030303030&(^uint64(0)>>(64-8*n))
	return (t&lows + 0x7676767676767676 | t) & highs
}

// shortInteger reads at most so many digits with a sign before them or not.
func shortInteger(x []byte, most uint32) (int64, bool) {
	v, before, behind, ok := pointNumber(x)
	return v, ok && behind < 0 && before <= int(most)
}

// pointNumber reads digits, perhaps a sign before and one point among them, at most 18 in
// all. behind is how many stand behind the point, 0 without a digit, -1 without a point.
func pointNumber(x []byte) (v int64, before, behind int, ok bool) {
	if len(x) > 20 || len(x) == 0 {
		return 0, 0, 0, false
	}
	neg := x[0] == '-'
	if neg || x[0] == '+' {
		x = x[1:]
	}
	behind = -1
	for _, c := range x {
		switch {
		case c-'0' <= 9:
			v = v*10 + int64(c-'0')
			if behind >= 0 {
				behind++
			} else {
				before++
			}
		case c == '.' && behind < 0:
			behind = 0
		default:
			return 0, 0, 0, false
		}
	}
	if digits := before + max(behind, 0); digits == 0 || digits > 18 {
		return 0, 0, 0, false
	}
	if neg {
		v = -v
	}
	return v, before, behind, true
}

// usualDouble reads a number whose digits and power of ten a float64 has exactly, so that
// their quotient is the nearest one.
func usualDouble(x []byte) (int64, bool) {
	v, before, behind, ok := pointNumber(x)
	behind = max(behind, 0)
	if !ok || before+behind > 15 || v == 0 {
		return 0, false
	}
	return int64(math.Float64bits(float64(v) / float64(powers[behind]))), true
}

// usualDay reads yyyy-mm-dd.
func usualDay(full []byte, from uint32) (int64, bool) {
	t := binary.LittleEndian.Uint64(full[from:]) ^ 0x2d30302d30303030 // "0000-00-"
	if (t&lows+0x7f76767f76767676|t)&highs != 0 || full[from+8]-'0' > 9 || full[from+9]-'0' > 9 {
		return 0, false
	}
	y, m, d := int64(two(full, from))*100+int64(two(full, from+2)), int64(two(full, from+5)), int64(two(full, from+8))
	if m-1 > 11 || m == 0 || d == 0 || d > 28 && d > int64(daysIn(int(y), int(m))) {
		return 0, false
	}
	// Howard Hinnant's days_from_civil: years begin in March.
	if m <= 2 {
		y--
	}
	era := (y + 400) / 400 // shifted by one, so that year 0's January is not negative
	yoe := y + 400 - era*400
	doy := (153*((m+9)%12)+2)/5 + d - 1
	return (era-1)*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468, true
}

// usualMoment reads yyyy-mm-dd, perhaps with hh:mm:ss, up to six digits of a fraction and Z.
func usualMoment(full []byte, from, to uint32) (int64, bool) {
	n := to - from
	if n < 10 || n > 27 {
		return 0, false
	}
	day, ok := usualDay(full, from)
	if !ok || n == 10 {
		return day * 86_400_000_000, ok
	}
	if n < 19 || full[from+10] != ' ' && full[from+10] != 'T' {
		return 0, false
	}
	t := binary.LittleEndian.Uint64(full[from+11:]) ^ 0x30303a30303a3030 // "00:00:00"
	if (t&lows+0x76767f76767f7676|t)&highs != 0 || two(full, from+11) > 23 || full[from+14] > '5' || full[from+17] > '5' {
		return 0, false
	}
	at := day*86400 + int64(two(full, from+11))*3600 + int64(two(full, from+14))*60 + int64(two(full, from+17))
	micros := int64(0)
	rest := full[from+19 : to]
	if len(rest) > 1 && rest[0] == '.' {
		i, unit := 1, int64(100_000)
		for ; i < len(rest) && rest[i]-'0' <= 9; i++ {
			micros += int64(rest[i]-'0') * unit
			unit /= 10
		}
		if i == 1 || i > 7 {
			return 0, false
		}
		rest = rest[i:]
	}
	return at*1_000_000 + micros, len(rest) == 0 || len(rest) == 1 && rest[0] == 'Z'
}

func two(full []byte, at uint32) uint32 { return uint32(full[at]-'0')*10 + uint32(full[at+1]-'0') }
