package jsonata

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

func stringFuncs() map[string]definition {
	return map[string]definition{
		"string":          {"<x-b?:s>", 1, pass(fnString)},
		"substring":       {"<s-nn?:s>", 3, pass(fnSubstring)},
		"substringBefore": {"<s-s:s>", 2, pass(fnSubstringBefore)},
		"substringAfter":  {"<s-s:s>", 2, pass(fnSubstringAfter)},
		"lowercase":       {"<s-:s>", 1, pass(func(_ Call, a []any) (any, error) { return strings.ToLower(a[0].(string)), nil })},
		"uppercase":       {"<s-:s>", 1, pass(func(_ Call, a []any) (any, error) { return upper(a[0].(string)), nil })},
		"length":          {"<s-:n>", 1, pass(func(_ Call, a []any) (any, error) { return float64(length(a[0].(string))), nil })},
		"trim":            {"<s-:s>", 1, pass(fnTrim)},
		"pad":             {"<s-ns?:s>", 3, pass(fnPad)},
		"join":            {"<a<s>s?:s>", 2, pass(fnJoin)},
		"base64encode":    {"<s-:s>", 1, pass(fnBase64Encode)},
		"base64decode":    {"<s-:s>", 1, pass(fnBase64Decode)},
		"encodeUrlComponent": {"<s-:s>", 1, pass(func(_ Call, a []any) (any, error) {
			return encodeURL(a[0].(string), urlComponent, "encodeUrlComponent")
		})},
		"encodeUrl":          {"<s-:s>", 1, pass(func(_ Call, a []any) (any, error) { return encodeURL(a[0].(string), urlWhole, "encodeUrl") })},
		"decodeUrlComponent": {"<s-:s>", 1, pass(func(_ Call, a []any) (any, error) { return decodeURL(a[0].(string), "", "decodeUrlComponent") })},
		"decodeUrl":          {"<s-:s>", 1, pass(func(_ Call, a []any) (any, error) { return decodeURL(a[0].(string), ";/?:@&=+$,#", "decodeUrl") })},
	}
}

// text is a value as & joins it.
func text(v any) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case undefinedType:
		return "", nil
	}
	return stringify(v, false)
}

// stringify is $string: JSON with numbers rounded to 15 digits and functions as "".
func stringify(v any, pretty bool) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case Function:
		return "", nil
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return "", faultValue("D3001", x)
		}
		return FormatNumber(round15(x)), nil
	}
	b, err := (&stringer{pretty: pretty}).value(nil, unwrap(v), 0)
	return string(b), err
}

// round15 rounds a number that is not whole to 15 digits, which hides the last bits of
// binary fractions.
func round15(f float64) float64 {
	if f == math.Trunc(f) {
		return f
	}
	r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 14, 64), 64)
	if err != nil {
		return f
	}
	return r
}

type stringer struct{ pretty bool }

func (s *stringer) line(b []byte, depth int) []byte {
	if !s.pretty {
		return b
	}
	b = append(b, '\n')
	for range depth {
		b = append(b, ' ', ' ')
	}
	return b
}

func (s *stringer) value(b []byte, v any, depth int) ([]byte, error) {
	if depth > maxValueDepth || len(b) > maxSize {
		return nil, fault("D1014")
	}
	var err error
	switch x := v.(type) {
	case float64:
		if math.IsInf(x, 0) {
			return nil, faultValue("D1001", x)
		}
		if math.IsNaN(x) {
			return append(b, "null"...), nil
		}
		return appendNumber(b, round15(x)), nil
	case Function:
		return append(b, '"', '"'), nil
	case *Array:
		b = append(b, '[')
		for i, it := range x.Items {
			if i > 0 {
				b = append(b, ',')
			}
			if it == Undefined {
				it = nil
			}
			if b, err = s.value(s.line(b, depth+1), it, depth+1); err != nil {
				return nil, err
			}
		}
		if len(x.Items) > 0 {
			b = s.line(b, depth)
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
			b = append(appendString(s.line(b, depth+1), k), ':')
			if s.pretty {
				b = append(b, ' ')
			}
			if b, err = s.value(b, x.vals[i], depth+1); err != nil {
				return nil, err
			}
		}
		if n > 0 {
			b = s.line(b, depth)
		}
		return append(b, '}'), nil
	case *tuple:
		return s.value(b, x.at, depth+1)
	}
	return appendJSON(b, v, depth, nil)
}

func fnString(c Call, args []any) (any, error) {
	pretty, err := truth(args[1])
	if err != nil {
		return nil, err
	}
	s, err := stringify(args[0], pretty)
	if err != nil {
		return nil, err
	}
	return s, c.Charge(len(s) / 256)
}

// length counts characters.
func length(s string) int {
	n := 0
	for i := 0; i < len(s); n++ {
		i += charSize(s[i:])
	}
	return n
}

// charSize is the number of bytes of the first character.
func charSize(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		if _, ok := loneSurrogate(s); ok {
			return 3
		}
	}
	return n
}

// slice cuts characters from start up to end; both have been made to lie within it.
func slice(s string, start, end int) string {
	from, i, n := len(s), 0, 0
	for ; i < len(s); n++ {
		if n == start {
			from = i
		}
		if n == end {
			return s[min(from, i):i]
		}
		i += charSize(s[i:])
	}
	return s[from:]
}

// clamp makes a position as JavaScript's slice takes it one within 0 and n.
func clamp(f float64, n int) int {
	f = math.Trunc(f)
	if f < 0 {
		f += float64(n)
	}
	return int(math.Max(0, math.Min(f, float64(n))))
}

func fnSubstring(_ Call, args []any) (any, error) {
	s := args[0].(string)
	start, ok := args[1].(float64)
	if !ok {
		start = 0
	}
	n := length(s)
	if float64(n)+start < 0 {
		start = 0
	}
	if l, cut := args[2].(float64); cut {
		if l <= 0 || !ok {
			return "", nil
		}
		end := start + l
		if start < 0 {
			end += float64(n)
		}
		from, to := clamp(start, n), clamp(end, n)
		if from >= to {
			return "", nil
		}
		return slice(s, from, to), nil
	}
	return slice(s, clamp(start, n), n), nil
}

func fnSubstringBefore(_ Call, args []any) (any, error) {
	s := args[0].(string)
	if sep, ok := args[1].(string); ok {
		if before, _, found := strings.Cut(s, sep); found {
			return before, nil
		}
	}
	return s, nil
}

func fnSubstringAfter(_ Call, args []any) (any, error) {
	s := args[0].(string)
	if sep, ok := args[1].(string); ok {
		if _, after, found := strings.Cut(s, sep); found {
			return after, nil
		}
	}
	return s, nil
}

// upper is JavaScript's, which makes two letters of a sharp s.
func upper(s string) string { return strings.ReplaceAll(strings.ToUpper(s), "ß", "SS") }

func fnTrim(_ Call, args []any) (any, error) {
	return strings.Join(strings.FieldsFunc(args[0].(string), func(r rune) bool {
		return r == ' ' || r == '\t' || r == '\n' || r == '\r'
	}), " "), nil
}

func fnPad(c Call, args []any) (any, error) {
	s := args[0].(string)
	width, _ := args[1].(float64)
	fill, _ := args[2].(string)
	if fill == "" {
		fill = " "
	}
	width = math.Trunc(width)
	n := math.Abs(width) - float64(length(s))
	if n <= 0 {
		return s, nil
	}
	if n*float64(len(fill)) > maxSize {
		return nil, fault("D1014")
	}
	if err := c.Charge(int(n) / 64); err != nil {
		return nil, err
	}
	k := length(fill)
	padding := slice(strings.Repeat(fill, int(n)/k+1), 0, int(n))
	if width > 0 {
		return s + padding, nil
	}
	return padding + s, nil
}

func fnJoin(c Call, args []any) (any, error) {
	items := args[0].(*Array).Items
	sep, _ := args[1].(string)
	size := 0
	for _, it := range items {
		s, _ := it.(string)
		if size += len(s) + len(sep); size > maxSize {
			return nil, fault("D1014")
		}
	}
	if err := c.Charge(size / 64); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, it := range items {
		if i > 0 {
			b.WriteString(sep)
		}
		s, _ := it.(string)
		b.WriteString(s)
	}
	return b.String(), nil
}

// fnBase64Encode takes each character as one byte, as JavaScript's btoa does.
func fnBase64Encode(_ Call, args []any) (any, error) {
	var b []byte
	for _, u := range units(args[0].(string)) {
		b = append(b, byte(u))
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

func fnBase64Decode(_ Call, args []any) (any, error) {
	var clean []byte
	for _, r := range args[0].(string) {
		switch {
		case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '+', r == '/':
			clean = append(clean, byte(r))
		case r == '-':
			clean = append(clean, '+')
		case r == '_':
			clean = append(clean, '/')
		}
		if r == '=' {
			break
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	raw, err := base64.RawStdEncoding.DecodeString(string(clean))
	if err != nil {
		raw, _ = base64.RawStdEncoding.DecodeString(string(clean[:len(clean)/4*4])) // what can be read, as Node.js does
	}
	var b strings.Builder
	for _, c := range raw {
		b.WriteRune(rune(c))
	}
	return b.String(), nil
}

const (
	urlComponent = "-_.!~*'()"
	urlWhole     = urlComponent + ";/?:@&=+$,#"
)

func badURL(name, s string) error {
	e := faultValue("D3140", s)
	e.Token = name
	return e
}

func encodeURL(s, plain, name string) (any, error) {
	if !utf8.ValidString(s) {
		return nil, badURL(name, s)
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte("0123456789ABCDEF"[c>>4])
		b.WriteByte("0123456789ABCDEF"[c&15])
	}
	return b.String(), nil
}

// decodeURL leaves escapes of the reserved characters as they are.
func decodeURL(s, reserved, name string) (any, error) {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '%' {
			b.WriteByte(s[i])
			i++
			continue
		}
		start := i
		var raw []byte
		for want := 1; len(raw) < want; {
			if i+3 > len(s) || s[i] != '%' {
				return nil, badURL(name, s)
			}
			u, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return nil, badURL(name, s)
			}
			if raw = append(raw, byte(u)); len(raw) == 1 {
				want = utf8Size(byte(u))
			}
			i += 3
		}
		if !utf8.Valid(raw) {
			return nil, badURL(name, s)
		}
		if len(raw) == 1 && strings.IndexByte(reserved, raw[0]) >= 0 {
			b.WriteString(s[start:i])
			continue
		}
		b.Write(raw)
	}
	return b.String(), nil
}

func utf8Size(first byte) int {
	switch {
	case first >= 0xF0:
		return 4
	case first >= 0xE0:
		return 3
	case first >= 0xC0:
		return 2
	}
	return 1
}

// units gives a string's UTF-16 units.
func units(s string) []rune {
	out := make([]rune, 0, len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			if u, ok := loneSurrogate(s[i:]); ok {
				r, n = u, 3
			}
			out = append(out, r)
		case r >= 0x10000:
			out = append(out, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF)
		default:
			out = append(out, r)
		}
		i += n
	}
	return out
}

// compareStrings orders strings as JavaScript does, by UTF-16 units: as by bytes, but that
// characters beyond U+FFFF come before those from U+E000 on.
func compareStrings(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xF0 && y >= 0xEE && y < 0xF0 {
			return -1
		}
		if y >= 0xF0 && x >= 0xEE && x < 0xF0 {
			return 1
		}
		if x < y {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}
