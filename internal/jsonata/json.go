package jsonata

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// FormatNumber prints a finite number as JavaScript does: the shortest text that reads
// back as the same number, with an exponent below 1e-6 and from 1e21.
func FormatNumber(f float64) string { return string(appendNumber(nil, f)) }

func appendNumber(b []byte, f float64) []byte {
	switch {
	case f == 0:
		return append(b, '0')
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	case math.IsNaN(f):
		return append(b, "NaN"...)
	}
	abs := math.Abs(f)
	if abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	// Go writes at least two digits of exponent, JavaScript as few as possible.
	if n := len(b); n >= 4 && b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') {
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// Encode prints a value as compact JSON in order of insertion, with numbers as JavaScript
// prints them. It refuses Undefined, functions and numbers that are not finite, except
// that an undefined item of an array is printed as null.
func Encode(v any) ([]byte, error) {
	return appendJSON(make([]byte, 0, 64), v, 0, nil)
}

// EncodeNumbers is Encode with another text for some finite numbers: those for which number
// gives one that is not empty.
func EncodeNumbers(v any, number func(float64) (string, error)) ([]byte, error) {
	return appendJSON(make([]byte, 0, 64), v, 0, number)
}

func appendJSON(b []byte, v any, depth int, number func(float64) (string, error)) ([]byte, error) {
	if depth > maxValueDepth {
		return nil, fmt.Errorf("encode value: nested more than %d deep", maxValueDepth)
	}
	var err error
	switch x := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return nil, fmt.Errorf("encode number: %s is no JSON number", FormatNumber(x))
		}
		if number != nil {
			if text, err := number(x); err != nil || text != "" {
				return append(b, text...), err
			}
		}
		return appendNumber(b, x), nil
	case string:
		return appendString(b, x), nil
	case *Array:
		b = append(b, '[')
		for i, it := range x.Items {
			if i > 0 {
				b = append(b, ',')
			}
			if it == Undefined {
				it = nil
			}
			if b, err = appendJSON(b, it, depth+1, number); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case *Object:
		b = append(b, '{')
		n := 0
		for i, k := range x.keys {
			if x.vals[i] == Undefined {
				continue
			}
			if n++; n > 1 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			if b, err = appendJSON(b, x.vals[i], depth+1, number); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case undefinedType:
		return nil, errors.New("encode value: it is undefined")
	case Function:
		return nil, errors.New("encode value: it is a function")
	}
	return nil, fmt.Errorf("encode value: a %T is no JSON value", v)
}

const hexDigits = "0123456789abcdef"

// appendString quotes as JavaScript's JSON.stringify does. A lone surrogate, which a text
// in UTF-8 cannot hold, travels through this package as its three bytes and is printed as
// an escape; any other invalid byte becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[start:i]...)
				if u, ok := loneSurrogate(s[i:]); ok {
					b = append(b, '\\', 'u', hexDigits[u>>12], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
					n = 3
				} else {
					b = append(b, "\ufffd"...)
				}
				start = i + n
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// loneSurrogate reads the three bytes by which a lone surrogate is kept in a string.
func loneSurrogate(s string) (rune, bool) {
	if len(s) >= 3 && s[0] == 0xED && s[1] >= 0xA0 && s[1] <= 0xBF && s[2]&0xC0 == 0x80 {
		return 0xD000 | rune(s[1]&0x3F)<<6 | rune(s[2]&0x3F), true
	}
	return 0, false
}

// appendUnit appends a UTF-16 code unit, joining it with a high surrogate at the end of b.
func appendUnit(b []byte, u rune) []byte {
	if !utf16.IsSurrogate(u) {
		return utf8.AppendRune(b, u)
	}
	if u >= 0xDC00 && len(b) >= 3 {
		if hi, ok := loneSurrogate(string(b[len(b)-3:])); ok && hi < 0xDC00 {
			return utf8.AppendRune(b[:len(b)-3], utf16.DecodeRune(hi, u))
		}
	}
	return append(b, 0xED, byte(0x80|u>>6&0x3F), byte(0x80|u&0x3F))
}

// Decode reads one JSON text. Of a repeated key the last value counts, at the place of the
// first. Numbers beyond the range of a double, and anything behind the value, are refused.
func Decode(text []byte) (any, error) {
	d := decoder{s: text}
	v, err := d.value(0)
	if err == nil {
		d.space()
		if d.i < len(d.s) {
			err = d.fault("unexpected text after the value")
		}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

type decoder struct {
	s   []byte
	i   int
	buf []byte
}

func (d *decoder) fault(what string) error {
	return fmt.Errorf("decode JSON at byte %d: %s", d.i, what)
}

func (d *decoder) space() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

func (d *decoder) value(depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, d.fault("nested too deeply")
	}
	d.space()
	if d.i >= len(d.s) {
		return nil, d.fault("unexpected end")
	}
	switch c := d.s[d.i]; {
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.array(depth)
	case c == '"':
		return d.str()
	case c == '-' || c >= '0' && c <= '9':
		return d.number()
	case bytes.HasPrefix(d.s[d.i:], []byte("true")):
		d.i += 4
		return true, nil
	case bytes.HasPrefix(d.s[d.i:], []byte("false")):
		d.i += 5
		return false, nil
	case bytes.HasPrefix(d.s[d.i:], []byte("null")):
		d.i += 4
		return nil, nil
	}
	return nil, d.fault("unexpected character " + strconv.QuoteRune(rune(d.s[d.i])))
}

func (d *decoder) object(depth int) (any, error) {
	o := &Object{}
	d.i++
	d.space()
	if d.i < len(d.s) && d.s[d.i] == '}' {
		d.i++
		return o, nil
	}
	for {
		d.space()
		if d.i >= len(d.s) || d.s[d.i] != '"' {
			return nil, d.fault("expected a key")
		}
		k, err := d.str()
		if err != nil {
			return nil, err
		}
		d.space()
		if d.i >= len(d.s) || d.s[d.i] != ':' {
			return nil, d.fault("expected a colon")
		}
		d.i++
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.Set(k, v)
		if done, err := d.next('}'); err != nil || done {
			return o, err
		}
	}
}

func (d *decoder) array(depth int) (any, error) {
	a := &Array{}
	d.i++
	d.space()
	if d.i < len(d.s) && d.s[d.i] == ']' {
		d.i++
		return a, nil
	}
	for {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		a.Items = append(a.Items, v)
		if done, err := d.next(']'); err != nil || done {
			return a, err
		}
	}
}

func (d *decoder) next(end byte) (bool, error) {
	d.space()
	if d.i < len(d.s) {
		switch d.s[d.i] {
		case ',':
			d.i++
			return false, nil
		case end:
			d.i++
			return true, nil
		}
	}
	return false, d.fault("expected a comma or " + string(end))
}

func (d *decoder) number() (any, error) {
	start := d.i
	digits := func() int {
		n := 0
		for d.i < len(d.s) && d.s[d.i] >= '0' && d.s[d.i] <= '9' {
			d.i++
			n++
		}
		return n
	}
	if d.s[d.i] == '-' {
		d.i++
	}
	zero := d.i < len(d.s) && d.s[d.i] == '0'
	if n := digits(); n == 0 || zero && n > 1 {
		return nil, d.fault("invalid number")
	}
	if d.i < len(d.s) && d.s[d.i] == '.' {
		d.i++
		if digits() == 0 {
			return nil, d.fault("invalid number")
		}
	}
	if d.i < len(d.s) && (d.s[d.i] == 'e' || d.s[d.i] == 'E') {
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		if digits() == 0 {
			return nil, d.fault("invalid number")
		}
	}
	f, err := strconv.ParseFloat(string(d.s[start:d.i]), 64)
	if err != nil {
		return nil, d.fault("number out of range")
	}
	return f, nil
}

func (d *decoder) str() (string, error) {
	d.i++
	start := d.i
	for d.i < len(d.s) && d.s[d.i] != '"' && d.s[d.i] != '\\' && d.s[d.i] >= ' ' {
		d.i++
	}
	if d.i < len(d.s) && d.s[d.i] == '"' {
		s := string(d.s[start:d.i])
		d.i++
		return s, nil
	}
	d.buf = append(d.buf[:0], d.s[start:d.i]...)
	for d.i < len(d.s) {
		c := d.s[d.i]
		switch {
		case c == '"':
			d.i++
			return string(d.buf), nil
		case c < ' ':
			return "", d.fault("control character in string")
		case c != '\\':
			d.buf = append(d.buf, c)
			d.i++
			continue
		}
		d.i++
		if d.i >= len(d.s) {
			break
		}
		c = d.s[d.i]
		d.i++
		if c == 'u' {
			if d.i+4 > len(d.s) {
				return "", d.fault("invalid escape")
			}
			u, err := strconv.ParseUint(string(d.s[d.i:d.i+4]), 16, 16)
			if err != nil {
				return "", d.fault("invalid escape")
			}
			d.buf = appendUnit(d.buf, rune(u))
			d.i += 4
			continue
		}
		e, ok := escapes[c]
		if !ok {
			return "", d.fault("invalid escape")
		}
		d.buf = append(d.buf, e)
	}
	return "", d.fault("unexpected end of string")
}

// escapes are JSON's escape sequences of one character.
var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
