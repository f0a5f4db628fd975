package format

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// class is the set of types that all texts of a column seen so far can be read as.
type class uint8

const (
	asBoolean class = 1 << iota
	asBigInt
	asDecimal // an integer beyond a bigint
	asDouble
	asDate
	asTimestamp
	asNTZ
	anyText
)

const anyClass = asBoolean | asBigInt | asDecimal | asDouble | asDate | asTimestamp | asNTZ | anyText

// classOf is what one text can be read as. A number with leading zeros or a plus sign is a
// code or a telephone number, no number.
func classOf(x []byte, how texts) class {
	x = bytes.TrimSpace(x)
	if len(x) == 0 || len(x) > 64 {
		return anyText
	}
	c := anyText
	switch first := x[0]; {
	case first == '-' || first == '.' || first >= '0' && first <= '9':
		c |= numberClass(x)
		if how.date != "" || isDateLike(x) {
			c |= timeClass(x, how)
		}
	case how.date != "" || how.timestamp != "":
		c |= timeClass(x, how)
	case bytes.EqualFold(x, []byte("true")), bytes.EqualFold(x, []byte("false")):
		c |= asBoolean
	}
	return c
}

func isDateLike(x []byte) bool { return len(x) >= 8 && x[4] == '-' }

func timeClass(x []byte, how texts) class {
	var c class
	if _, ok := parseDate(view(x), how); ok && (how.date != "" || len(x) <= 10) {
		c |= asDate
	}
	if _, ok := parseTimestamp(view(x), false, how); ok {
		c |= asTimestamp
	}
	return c
}

func numberClass(x []byte) class {
	digits := x
	if digits[0] == '-' {
		digits = digits[1:]
	}
	whole, dots := 0, 0
	for i, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			if dots == 0 {
				whole++
			}
		case c == '.' && dots == 0:
			dots++
		case (c == 'e' || c == 'E') && i > 0:
			if _, ok := parseFloat(view(x), 64); ok {
				return asDouble
			}
			return 0
		default:
			return 0
		}
	}
	switch {
	case whole > 1 && digits[0] == '0':
		return 0
	case dots == 1 && len(digits) == 1, len(digits) == 0:
		return 0
	case dots == 1:
		return asDouble
	case whole <= 18:
		return asBigInt | asDecimal | asDouble
	case whole <= 38:
		return asDecimal | asDouble
	}
	return asDouble
}

func (c class) spark(seen bool) Type {
	switch {
	case !seen:
		return Type{Kind: String}
	case c&asBoolean != 0:
		return Type{Kind: Boolean}
	case c&asBigInt != 0:
		return Type{Kind: BigInt}
	case c&asDecimal != 0:
		return Type{Kind: Decimal, Precision: 38}
	case c&asDouble != 0:
		return Type{Kind: Double}
	case c&asDate != 0:
		return Type{Kind: Date}
	case c&asTimestamp != 0:
		return Type{Kind: Timestamp}
	}
	return Type{Kind: String}
}

// Inference gathers what the values of columns can be read as.
type Inference struct {
	csv   CSV
	how   texts
	names []string
	seen  []class
	any   []bool
	rows  int64
}

// NewInference begins to infer the types of a CSV's columns.
func NewInference(csv CSV, names []string, zone *time.Location) (*Inference, error) {
	how, err := csv.texts(zone)
	if err != nil {
		return nil, err
	}
	in := &Inference{csv: csv, how: how, names: names, seen: make([]class, len(names)), any: make([]bool, len(names))}
	for i := range in.seen {
		in.seen[i] = anyClass
	}
	return in, nil
}

// Add looks at the records of a decoded CSV text, which begins with the header if there is
// one. A broken record is left to the reading.
func (in *Inference) Add(r io.Reader, headerHere bool) error {
	csv := in.csv
	if !headerHere {
		csv.Skip = 0
	}
	s := newSplitter(r, csv, 0)
	first := headerHere && csv.Header
	for {
		rec, err := s.next(len(in.names))
		if errors.Is(err, io.EOF) || flow.KindOf(err) == flow.Invalid {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			first = false
			continue
		}
		if rec.fault != "" || len(rec.fields) != len(in.names) {
			continue
		}
		in.rows++
		for i, f := range rec.fields {
			if csv.null(f) {
				continue
			}
			in.any[i] = true
			if in.seen[i] != anyText {
				in.seen[i] &= classOf(f, in.how)
			}
		}
	}
}

// Schema is what was inferred.
func (in *Inference) Schema() flow.Schema {
	out := make(flow.Schema, len(in.names))
	for i, n := range in.names {
		out[i] = flow.Column{Name: n, Type: in.seen[i].spark(in.any[i]).String(), Nullable: true}
	}
	return out
}

// null tells whether a field means NULL: the empty field, or one of the dialect's texts.
func (c *CSV) null(f []byte) bool {
	if len(f) == 0 {
		return true
	}
	for _, n := range c.Nulls {
		if string(f) == n {
			return true
		}
	}
	return false
}

func (c *CSV) texts(zone *time.Location) (texts, error) {
	how := texts{zone: zone}
	var err error
	if c.Date != "" {
		if how.date, _, err = Pattern(c.Date); err != nil {
			return how, &flow.Error{Kind: flow.Invalid, Err: err}
		}
	}
	if c.Timestamp != "" {
		if how.timestamp, _, err = Pattern(c.Timestamp); err != nil {
			return how, &flow.Error{Kind: flow.Invalid, Err: err}
		}
	}
	return how, nil
}
