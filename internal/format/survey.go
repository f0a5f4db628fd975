package format

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"regexp"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/flow"
)

// Survey reads a CSV text beside another reader, to prove that the other reads it as ours
// would: it counts the records, marks those that ours rejects, and stops at the first value
// that the two may understand differently. It looks at the bytes only, a few of them at a
// time, and makes no value.
type Survey struct {
	// Records is how many records there are, the header not among them.
	Records int64
	// Rejects are the places of the records that our reader rejects, in the text, ascending.
	Rejects []int64

	csv   CSV
	width int
	cols  []surveyed
	ends  []uint32 // of the fields of a stretch of lines: where their delimiters stand
	masks [stretch / 64]uint64
	odd   []int // records of the stretch with a value that is not in a usual form
	rows  [][]byte
}

// OddError says that a value may be read in two ways.
type OddError struct {
	Column, Text string
	Line         int64
}

func (e *OddError) Error() string {
	return fmt.Sprintf("line %d: %q in column %s may be read in two ways", e.Line, e.Text, e.Column)
}

// mostRejects is how many rejects a Survey marks; with more of them one reader is enough.
const mostRejects = 100_000

var errManyRejects = errors.New("more records do not fit than are worth two readings")

// surveyed is one typed column of a Survey.
type surveyed struct {
	name    string
	place   int
	short   int                                     // whether up to eight digits are usual, and with a point
	usual   func(full []byte, from, to uint32) bool // the forms that nearly every value has
	alike   *regexp.Regexp                          // all forms that every reader reads alike; nil: none but the usual
	put     appender
	builder array.Builder
	puts    int
}

const (
	digitsOnly = 1 + iota
	withPoint
)

// Forms that DuckDB and our reader read alike, proved by the suite of hostile files. What
// else DuckDB takes (1.7 and 1_0 as integers, yes, epoch, 2017-11-06x) is ours to refuse.
var (
	clockForm     = `\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?\s*(Z|UTC|[+-]\d{2}(:?\d{2})?)?`
	integerForm   = regexp.MustCompile(`^\s*[+-]?[0-9]+\s*$`)
	decimalForm   = regexp.MustCompile(`^ *[+-]?([0-9]{1,38}\.?[0-9]{0,38}|\.[0-9]{1,38}) *$`)
	doubleForm    = regexp.MustCompile(`^ *([+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?|(?i:nan|-?inf)) *$`)
	floatForm     = regexp.MustCompile(`^ *([+-]?([0-9]{1,30}\.?[0-9]{0,40}|\.[0-9]{1,40})|(?i:nan|-?inf)) *$`)
	timestampForm = regexp.MustCompile(`^\s*\d{4}-\d{1,2}-\d{1,2}([ T]` + clockForm + `)?\s*$`)
)

// NewSurvey makes a Survey of a text whose records have width fields. places are, for each
// column of the schema, its place in a record, or -1; zone is of timestamps without one.
func NewSurvey(csv CSV, width int, schema flow.Schema, places []int, zone *time.Location) (*Survey, error) {
	how, err := csv.texts(zone)
	if err != nil {
		return nil, err
	}
	s := &Survey{csv: csv, width: width}
	for i, c := range schema {
		t, err := ParseType(c.Type)
		if err != nil {
			return nil, err
		}
		if places[i] < 0 {
			continue
		}
		col := surveyed{name: c.Name, place: places[i]}
		if !col.forms(t, csv) {
			continue
		}
		col.builder = array.NewBuilder(memory.DefaultAllocator, t.Arrow())
		if col.put, err = newAppender(t, col.builder, how); err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		s.cols = append(s.cols, col)
	}
	return s, nil
}

// forms tells whether the column needs a look at all: a string is read alike by everyone,
// and so is what a pattern describes.
func (c *surveyed) forms(t Type, csv CSV) bool {
	switch t.Kind {
	case TinyInt, SmallInt, Int, BigInt:
		c.usual, c.alike, c.short = usualInteger, integerForm, digitsOnly
	case Decimal:
		c.usual, c.alike, c.short = usualNumber, decimalForm, withPoint
	case Float:
		c.usual, c.alike, c.short = usualNumber, floatForm, withPoint
	case Double:
		c.usual, c.alike, c.short = usualNumber, doubleForm, withPoint
	case Boolean:
		c.usual = usualBoolean
	case Date:
		c.usual, c.alike = usualDate, timestampForm
		return csv.Date == ""
	case Timestamp, TimestampNTZ:
		c.usual, c.alike = usualTimestamp, timestampForm
		return csv.Timestamp == ""
	default:
		return false
	}
	return true
}

// Read surveys a whole text. seen is told now and then how many bytes were read. An
// *OddError means that the text is ours to read.
func (s *Survey) Read(ctx context.Context, r io.Reader, seen func(bytes, records int64)) error {
	defer func() {
		for _, c := range s.cols {
			c.builder.Release()
		}
	}()
	sp := newSplitter(r, s.csv, 0)
	if s.csv.Header {
		if _, err := sp.next(s.width); err != nil {
			return notEOF(err)
		}
	}
	if !sp.began {
		if err := sp.begin(); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		if n%16 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			seen(sp.offset, s.Records)
		}
		b := sp.buf[sp.at:]
		if i := bytes.IndexByte(b[:min(len(b), stretch)], s.csv.Quote); i >= 0 {
			b = b[:i]
		} else if len(b) > stretch {
			b = b[:stretch]
		}
		if end := bytes.LastIndexByte(b, '\n') + 1; end > 0 {
			if err := s.lines(sp, end); err != nil {
				return notEOF(err)
			}
			continue
		}
		if len(sp.buf)-sp.at < stretch && !sp.eof {
			if err := sp.fill(); err != nil {
				return err
			}
			continue
		}
		if err := s.record(sp); err != nil {
			return notEOF(err)
		}
	}
}

// record surveys one record by the splitter, which knows quotes.
func (s *Survey) record(sp *splitter) error {
	rec, err := sp.next(s.width)
	if err != nil {
		return err
	}
	s.Records++
	if rec.fault != "" || len(rec.fields) != s.width {
		return s.reject(rec.offset)
	}
	return s.judge(rec.line, rec.offset, rec.fields)
}

func (s *Survey) reject(offset int64) error {
	if len(s.Rejects) == mostRejects {
		return errManyRejects
	}
	s.Rejects = append(s.Rejects, offset)
	return nil
}

// judge looks closely at the typed fields of a record.
func (s *Survey) judge(line, offset int64, fields [][]byte) error {
	misfit := false
	for i := range s.cols {
		c := &s.cols[i]
		x := fields[c.place]
		if s.csv.null(x) || c.usual(x, 0, uint32(len(x))) {
			continue
		}
		if c.puts++; c.puts%4096 == 0 {
			c.builder.NewArray().Release()
		}
		if c.put(x) != "" {
			misfit = true
		} else if c.alike == nil || !c.alike.Match(x) {
			return &OddError{Column: c.name, Text: Raw(x[:min(len(x), 100)]), Line: line}
		}
	}
	if misfit {
		return s.reject(offset)
	}
	return nil
}

// lines surveys the next n bytes: whole lines without a quote.
func (s *Survey) lines(sp *splitter, n int) error {
	full := sp.buf[:cap(sp.buf)]
	from, to := sp.at, sp.at+n
	rows := bytes.Count(full[from:to], []byte{'\n'})
	s.ends = fieldEnds(s.ends[:0], &s.masks, full, from, to, s.csv.Delimiter)
	w := s.width
	even := len(s.ends)-1 == rows*w
	for r := 1; even && r <= rows; r++ {
		even = full[s.ends[r*w]] == '\n'
	}
	if !even {
		return s.uneven(sp, to)
	}
	s.odd = s.odd[:0]
	for _, c := range s.cols {
		s.odd = c.column(s.odd, full, s.ends, rows, w)
	}
	s.Records += int64(rows)
	if len(s.odd) > 0 {
		if err := s.judgeOdd(sp, full); err != nil {
			return err
		}
	}
	sp.consumed(n, rows)
	return nil
}

// column appends the numbers of the records whose value is not in the usual form. The tests
// that settle nearly every value stand here once more: a call a value would cost more than
// they do.
func (c *surveyed) column(odd []int, full []byte, ends []uint32, rows, w int) []int {
	last := c.place == w-1
	for r, k := 0, c.place; r < rows; r, k = r+1, k+w {
		from, to := ends[k]+1, ends[k+1]
		if last && to > from && full[to-1] == '\r' {
			to--
		}
		n := to - from
		if n == 0 {
			continue
		}
		if n <= 8 && c.short != 0 && int(from)+8 <= len(full) {
			x := binary.LittleEndian.Uint64(full[from:]) & (^uint64(0) >> (64 - 8*n))
			other := noDigits(x, n)
			if other == 0 || c.short == withPoint && n > 1 && other&(other-1) == 0 && x>>(uint(bits.TrailingZeros64(other))-7)&0xff == '.' {
				continue
			}
		}
		if !c.usual(full, from, to) {
			odd = append(odd, r)
		}
	}
	return odd
}

// judgeOdd looks closely at the records of the stretch that are not in the usual form.
func (s *Survey) judgeOdd(sp *splitter, full []byte) error {
	slices.SortFunc(s.odd, cmp.Compare)
	for _, r := range slices.Compact(s.odd) {
		s.rows = s.rows[:0]
		for k := r * s.width; k < (r+1)*s.width; k++ {
			s.rows = append(s.rows, full[s.ends[k]+1:s.ends[k+1]])
		}
		last := &s.rows[s.width-1]
		*last = bytes.TrimSuffix(*last, []byte{'\r'})
		if err := s.judge(sp.line+int64(r), sp.offset+int64(s.ends[r*s.width]+1)-int64(sp.at), s.rows); err != nil {
			return err
		}
	}
	return nil
}

// uneven surveys records up to a place one by one: some are too short, too long or empty.
func (s *Survey) uneven(sp *splitter, to int) error {
	end := sp.offset + int64(to-sp.at)
	for sp.offset < end {
		if err := s.record(sp); err != nil {
			return err
		}
	}
	return nil
}

// word is the up to eight bytes from a place on, zero behind them.
func word(full []byte, from, n uint32) uint64 {
	if int(from)+8 <= len(full) {
		return binary.LittleEndian.Uint64(full[from:]) & (^uint64(0) >> (64 - 8*n))
	}
	var x uint64
	for i := range n {
		x |= uint64(full[from+i]) << (8 * i)
	}
	return x
}

// usualInteger: at most 18 digits with a sign before them or not. A longer one is for the
// close look; whether it is in the type's range both readers know.
func usualInteger(full []byte, from, to uint32) bool {
	n := to - from
	if n-1 < 8 { // 1 to 8
		x := word(full, from, n)
		if noDigits(x, n) == 0 {
			return true
		}
	}
	if n > 0 && (full[from] == '-' || full[from] == '+') {
		from++
		n--
	}
	if n == 0 || n > 18 {
		return false
	}
	for _, c := range full[from:to] {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}

// usualNumber: digits, perhaps a sign before and one point among them.
func usualNumber(full []byte, from, to uint32) bool {
	n := to - from
	if n-1 < 8 {
		x := word(full, from, n)
		if other := noDigits(x, n); other == 0 || n > 1 && other&(other-1) == 0 && full[from+uint32(bits.TrailingZeros64(other)>>3)] == '.' {
			return true
		}
	}
	if n > 0 && (full[from] == '-' || full[from] == '+') {
		from++
	}
	digits, points := 0, 0
	for _, c := range full[from:to] {
		if c-'0' <= 9 {
			digits++
		} else if points++; c != '.' {
			return false
		}
	}
	return digits > 0 && digits <= 18 && points <= 1
}

func usualBoolean(full []byte, from, to uint32) bool {
	switch to - from {
	case 4:
		return word(full, from, 4)|0x20202020 == 0x65757274 // true
	case 5:
		return word(full, from, 4)|0x20202020 == 0x736c6166 && full[from+4]|0x20 == 'e' // false
	}
	return false
}

// usualDate: yyyy-mm-dd. Both readers know how many days a month has.
func usualDate(full []byte, from, to uint32) bool {
	return to-from == 10 && dayShape(full, from)
}

func dayShape(full []byte, from uint32) bool {
	t := word(full, from, 8) ^ 0x2d30302d30303030 // "0000-00-"
	return (t&lows+0x7f76767f76767676|t)&highs == 0 && full[from+8]-'0' <= 9 && full[from+9]-'0' <= 9
}

// usualTimestamp: yyyy-mm-dd, or yyyy-mm-dd hh:mm:ss with T and fractions and Z or not, all
// within the clock and the first 28 days: DuckDB's reader gives NULL for a timestamp with a
// zone that does not exist, without a word.
func usualTimestamp(full []byte, from, to uint32) bool {
	n := to - from
	if n < 10 || !dayShape(full, from) {
		return false
	}
	month, day := two(full, from+5), two(full, from+8)
	if month-1 >= 12 || day-1 >= 28 {
		return false
	}
	if n == 10 {
		return true
	}
	if n < 19 || full[from+10] != ' ' && full[from+10] != 'T' {
		return false
	}
	t := word(full, from+11, 8) ^ 0x30303a30303a3030 // "00:00:00"
	if (t&lows+0x76767f76767f7676|t)&highs != 0 || two(full, from+11) > 23 || full[from+14] > '5' || full[from+17] > '5' {
		return false
	}
	rest := full[from+19 : to]
	if len(rest) > 1 && rest[0] == '.' {
		i := 1
		for i < len(rest) && rest[i]-'0' <= 9 {
			i++
		}
		if i == 1 {
			return false
		}
		rest = rest[i:]
	}
	return len(rest) == 0 || len(rest) == 1 && rest[0] == 'Z'
}
