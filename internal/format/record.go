package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tidemill/tidemill/internal/flow"
)

// MaxRecord is the most bytes that one record of a text file may have. A longer one is a
// reject that keeps its first bytes.
const MaxRecord = 16 << 20

// rawKept is how much of a rejected record's text is kept.
const rawKept = 64 << 10

// CSV is a decided dialect.
type CSV struct {
	Delimiter, Quote, Escape, Comment byte // zero: none
	Header                            bool
	Encoding                          string // "", latin-1, windows-1252, utf-16
	Nulls                             []string
	Skip                              int
	CR                                bool   // lines end with a bare carriage return
	Date, Timestamp                   string // Spark's patterns; empty: ISO
}

// record is one record of a CSV file. Its fields are valid until the next one is read.
type record struct {
	line   int64 // physical line of its first byte, from 1
	offset int64 // of its first byte in the decoded text
	raw    []byte
	fields [][]byte
	fault  string // why the record cannot be read at all
}

// splitter cuts a decoded CSV text into records, with bounded memory.
type splitter struct {
	csv     CSV
	r       io.Reader
	max     int
	buf     []byte
	at      int // start of what is not consumed
	eof     bool
	err     error
	line    int64
	offset  int64
	rec     record
	scratch []byte
	began   bool

	scanInQuote bool // parse stopped within quotes
}

func newSplitter(r io.Reader, csv CSV, limit int) *splitter {
	if limit <= 0 {
		limit = MaxRecord
	}
	return &splitter{csv: csv, r: r, max: limit, line: 1, buf: make([]byte, 0, 256<<10)}
}

// fill reads more, growing the buffer when it is full of one record.
func (s *splitter) fill() error {
	if s.eof {
		return s.err
	}
	if s.at > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.at:])]
		s.at = 0
	}
	if len(s.buf) == cap(s.buf) {
		s.buf = slices.Grow(s.buf, cap(s.buf))
	}
	n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	if err != nil {
		s.eof = true
		if !errors.Is(err, io.EOF) {
			s.err = err
		}
	}
	return s.err
}

func (s *splitter) newline() byte {
	if s.csv.CR {
		return '\r'
	}
	return '\n'
}

// consume moves past n bytes and counts their lines.
func (s *splitter) consume(n int) {
	s.consumed(n, bytes.Count(s.buf[s.at:s.at+n], []byte{s.newline()}))
}

// consumed moves past n bytes whose lines were counted.
func (s *splitter) consumed(n, lines int) {
	s.line += int64(lines)
	s.offset += int64(n)
	s.at += n
}

// skipLine drops the rest of a line and says how many bytes that were.
func (s *splitter) skipLine() (int64, error) {
	var n int64
	for {
		if i := bytes.IndexByte(s.buf[s.at:], s.newline()); i >= 0 {
			s.consume(i + 1)
			return n + int64(i) + 1, nil
		}
		n += int64(len(s.buf) - s.at)
		s.consume(len(s.buf) - s.at)
		if s.eof {
			return n, s.err
		}
		if err := s.fill(); err != nil {
			return n, err
		}
	}
}

func (s *splitter) begin() error {
	s.began = true
	for len(s.buf) < 3 && !s.eof {
		if err := s.fill(); err != nil {
			return err
		}
	}
	if bytes.HasPrefix(s.buf, []byte("\xef\xbb\xbf")) {
		s.consume(3)
	}
	for range s.csv.Skip {
		if _, err := s.skipLine(); err != nil {
			return err
		}
	}
	return nil
}

// next returns the next record, or io.EOF. Blank lines and comments are no records, except
// that width 1 makes a blank line the record of an empty field.
func (s *splitter) next(width int) (*record, error) {
	if !s.began {
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	for {
		n, state := s.parse(s.buf[s.at:])
		if state == needMore {
			if !s.eof && len(s.buf)-s.at < s.max {
				if err := s.fill(); err != nil {
					return nil, err
				}
				continue
			}
			return s.overlong()
		}
		if s.at == len(s.buf) {
			return nil, s.atEnd()
		}
		s.rec.line, s.rec.offset = s.line, s.offset
		s.rec.raw = trimEnd(s.buf[s.at : s.at+n])
		if n > s.max+2 { // it was in the buffer whole, with its end of line
			s.rec = tooLong(s.line, s.offset, s.rec.raw, int64(n), s.max)
			s.consume(n)
			return &s.rec, nil
		}
		comment := s.csv.Comment != 0 && len(s.rec.raw) > 0 && s.rec.raw[0] == s.csv.Comment
		blank := len(s.rec.raw) == 0 && width != 1
		s.consume(n)
		if comment || blank {
			continue
		}
		return &s.rec, nil
	}
}

func (s *splitter) atEnd() error {
	if s.err != nil {
		return s.err
	}
	return io.EOF
}

func trimEnd(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// overlong handles a record that does not end within the limit, or a file that ends within quotes.
func (s *splitter) overlong() (*record, error) {
	start, line, offset := s.buf[s.at:], s.line, s.offset
	if open := s.openQuote(start); open {
		return nil, &flow.Error{Kind: flow.Invalid,
			Err:  fmt.Errorf("line %d: a quote is opened and not closed %s", line, s.whereEnd(len(start))),
			Hint: "Close the quote, double quotes inside a field, or set dialect: { quote: none }."}
	}
	raw := bytes.Clone(start[:min(len(start), 1<<10)])
	n, err := s.skipLine()
	if err != nil {
		return nil, err
	}
	s.rec = tooLong(line, offset, raw, n, s.max)
	return &s.rec, nil
}

func tooLong(line, offset int64, raw []byte, n int64, limit int) record {
	return record{line: line, offset: offset, raw: bytes.Clone(raw[:min(len(raw), 1<<10)]), fault: fmt.Sprintf("record of %d bytes is longer than %d", n, limit)}
}

func (s *splitter) whereEnd(n int) string {
	if n >= s.max {
		return fmt.Sprintf("within %d bytes", s.max)
	}
	return "before the end of the file"
}

// openQuote tells whether the unfinished record b ends within quotes.
func (s *splitter) openQuote(b []byte) bool {
	_, state := s.parse(b)
	return state == needMore && s.scanInQuote
}

type parseState int

const (
	whole parseState = iota
	needMore
)

// parse cuts the record at the front of b. With less than a whole record it says needMore,
// unless the file ends there.
func (s *splitter) parse(b []byte) (int, parseState) {
	rec := &s.rec
	rec.fields, rec.fault, s.scratch = rec.fields[:0], "", s.scratch[:0]
	s.scanInQuote = false
	nl := s.newline()
	i := 0
	if len(b) == 0 {
		if s.eof {
			return 0, whole
		}
		return 0, needMore
	}
	if s.csv.Comment != 0 && b[0] == s.csv.Comment {
		if j := bytes.IndexByte(b, nl); j >= 0 {
			return j + 1, whole
		}
		if s.eof {
			return len(b), whole
		}
		return 0, needMore
	}
	for {
		if start := s.quoteStart(b, i); start >= 0 {
			next, ended, state := s.quoted(b, start, nl)
			if state == needMore || ended {
				return next, state
			}
			i = next
			continue
		}
		j := i
		for j < len(b) && b[j] != s.csv.Delimiter && b[j] != nl {
			j++
		}
		if j == len(b) && !s.eof {
			return 0, needMore
		}
		field := b[i:j]
		if j == len(b) || b[j] == nl {
			if n := len(field); n > 0 && field[n-1] == '\r' && nl == '\n' {
				field = field[:n-1]
			}
			rec.fields = append(rec.fields, field)
			return min(j+1, len(b)), whole
		}
		rec.fields = append(rec.fields, field)
		i = j + 1
	}
}

// quoteStart returns where the field at i opens its quote, spaces before it allowed, or -1.
func (s *splitter) quoteStart(b []byte, i int) int {
	if s.csv.Quote == 0 {
		return -1
	}
	for i < len(b) && b[i] == ' ' && s.csv.Delimiter != ' ' {
		i++
	}
	if i < len(b) && b[i] == s.csv.Quote {
		return i
	}
	return -1
}

// quoted reads the quoted field that opens at start. It returns where the next field
// begins, or, ended, where the next record does.
func (s *splitter) quoted(b []byte, start int, nl byte) (next int, ended bool, state parseState) {
	rec, q, e := &s.rec, s.csv.Quote, s.csv.Escape
	i, from, plain, low := start+1, start+1, true, len(s.scratch)
	for {
		for i < len(b) && b[i] != q && b[i] != e {
			i++
		}
		if i >= len(b) {
			s.scanInQuote = true
			return 0, false, needMore
		}
		if i+1 >= len(b) && !s.eof {
			s.scanInQuote = b[i] != q
			return 0, false, needMore
		}
		escaped := b[i] == e && i+1 < len(b) && (b[i+1] == q || b[i+1] == e)
		if !escaped && b[i] == q {
			break
		}
		if escaped {
			plain = false
			s.scratch = append(append(s.scratch, b[from:i]...), b[i+1])
			i += 2
			from = i
			continue
		}
		i++ // an escape before something else stands for itself
	}
	field := b[from:i]
	if !plain {
		s.scratch = append(s.scratch, field...)
		field = s.scratch[low:len(s.scratch):len(s.scratch)]
	}
	rec.fields = append(rec.fields, field)
	i++
	for i < len(b) && b[i] == ' ' && s.csv.Delimiter != ' ' {
		i++
	}
	switch {
	case i < len(b) && b[i] == s.csv.Delimiter:
		return i + 1, false, whole
	case i < len(b) && b[i] == nl:
		return i + 1, true, whole
	case i+1 < len(b) && b[i] == '\r' && b[i+1] == nl:
		return i + 2, true, whole
	case i >= len(b) && s.eof, i+1 >= len(b) && s.eof && b[i] == '\r':
		return len(b), true, whole
	case i >= len(b), i+1 >= len(b) && b[i] == '\r':
		return 0, false, needMore
	}
	rec.fault = "text after a closing quote"
	if j := bytes.IndexByte(b[i:], nl); j >= 0 {
		return i + j + 1, true, whole
	}
	if s.eof {
		return len(b), true, whole
	}
	return 0, false, needMore
}
