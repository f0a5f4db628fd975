package jsonata

import (
	"math"
	"strconv"
	"strings"
)

func regexFuncs() map[string]definition {
	return map[string]definition{
		"match":    {"<s-f<s:o>n?:a<o>>", 3, pass(fnMatch)},
		"contains": {"<s-(sf):b>", 2, pass(fnContains)},
		"replace":  {"<s-(sf)(sf)n?:s>", 4, pass(fnReplace)},
		"split":    {"<s-(sf)n?:a<s>>", 3, pass(fnSplit)},
	}
}

// one is a match as $match, $replace and $split see it. Bounds are in bytes.
type one struct {
	match      string
	start, end int
	groups     *Array
	object     any // the match as a function of the expression's own gave it
	index      float64
}

// matches walks the matches that a regular expression, or a function that acts like one,
// finds in a text.
type matches struct {
	c     Call
	text  string
	re    *matcher
	f     any // the function to call next, of a matcher that is none of ours
	from  int
	first bool
}

func newMatches(c Call, f any, text string) *matches {
	re, _ := f.(*matcher)
	return &matches{c: c, text: text, re: re, f: f, first: true}
}

func (m *matches) next() (*one, error) {
	first := m.first
	m.first = false
	if m.re == nil {
		return m.call(first)
	}
	if err := m.c.Charge(1 + len(m.text)/1024); err != nil {
		return nil, err
	}
	f, ok, err := m.re.find(m.text, m.from, first)
	if err != nil || !ok {
		return nil, err
	}
	m.from = f.end()
	o := &one{match: m.text[f.start():f.end()], start: f.start(), end: f.end(), groups: f.groups(m.text)}
	return o, nil
}

// call asks a function of the expression's own for a match.
func (m *matches) call(first bool) (*one, error) {
	args := []any{}
	if first {
		args = append(args, m.text)
	}
	v, err := m.c.run.apply(m.f, args, nil, m.c.env)
	if err != nil || v == Undefined {
		return nil, err
	}
	o, ok := v.(*Object)
	if !ok {
		return nil, fault("T1010")
	}
	match, _ := o.Get("match")
	start, isNumber := field[float64](o, "start")
	_, hasEnd := field[float64](o, "end")
	groups, isArray := field[*Array](o, "groups")
	next, _ := o.Get("next")
	_, isFunction := next.(Function)
	if !isNumber && !hasEnd && !isArray && !isFunction {
		return nil, fault("T1010")
	}
	if groups == nil {
		groups = &Array{}
	}
	m.f = next
	text, _ := match.(string)
	at := byteIndex(m.text, start)
	end, _ := field[float64](o, "end")
	return &one{match: text, start: at, end: max(at, byteIndex(m.text, end)), groups: groups, object: o, index: start}, nil
}

func field[T any](o *Object, key string) (T, bool) {
	v, _ := o.Get(key)
	t, ok := v.(T)
	return t, ok
}

// byteIndex converts an offset in UTF-16 units into one in bytes, within the text.
func byteIndex(text string, at float64) int {
	n := 0.0
	for i, r := range text {
		if n >= at {
			return i
		}
		if n++; r >= 0x10000 {
			n++
		}
	}
	return len(text)
}

func (m *matches) position(o *one) float64 {
	if o.object != nil {
		return o.index
	}
	return utf16Index(m.text, o.start)
}

// limit reads an optional count; none is no limit, one below zero an error.
func limit(v any, code string) (float64, error) {
	f, ok := v.(float64)
	if !ok {
		return math.Inf(1), nil
	}
	if f < 0 {
		return 0, faultValue(code, f)
	}
	return f, nil
}

func fnMatch(c Call, args []any) (any, error) {
	most, err := limit(args[2], "D3040")
	if err != nil {
		return nil, err
	}
	out := newSeq()
	m := newMatches(c, args[1], args[0].(string))
	for float64(len(out.Items)) < most {
		o, err := m.next()
		if err != nil {
			return nil, err
		}
		if o == nil {
			break
		}
		out.Items = append(out.Items, NewObject("match", o.match, "index", m.position(o), "groups", o.groups))
	}
	return out, nil
}

func fnContains(c Call, args []any) (any, error) {
	switch p := args[1].(type) {
	case undefinedType:
		return Undefined, nil
	case string:
		return strings.Contains(args[0].(string), p), nil
	}
	o, err := newMatches(c, args[1], args[0].(string)).next()
	return o != nil, err
}

func fnReplace(c Call, args []any) (any, error) {
	s := args[0].(string)
	if args[1] == "" {
		return nil, faultValue("D3010", "")
	}
	most, err := limit(args[3], "D3011")
	if err != nil {
		return nil, err
	}
	if most == 0 {
		return s, nil
	}
	if sep, ok := args[1].(string); ok {
		return replaceText(c, s, sep, args[2], most)
	}
	var b strings.Builder
	at := 0
	m := newMatches(c, args[1], s)
	for n := 0.0; n < most; n++ {
		o, err := m.next()
		if err != nil {
			return nil, err
		}
		if o == nil {
			break
		}
		b.WriteString(s[at:max(at, o.start)])
		with, err := m.replacement(o, args[2])
		if err != nil {
			return nil, err
		}
		b.WriteString(with)
		if b.Len() > maxSize {
			return nil, fault("D1014")
		}
		at = min(len(s), o.start+len(o.match))
	}
	b.WriteString(s[at:])
	return b.String(), nil
}

func replaceText(c Call, s, sep string, with any, most float64) (any, error) {
	to, ok := with.(string)
	if !ok && !strings.Contains(s, sep) {
		return s, nil
	}
	if !ok {
		// The reference would print the source of the function.
		return nil, faultValue("D3012", with)
	}
	n := strings.Count(s, sep)
	if most < float64(n) {
		n = int(math.Ceil(most))
	}
	if len(s)+n*len(to) > maxSize {
		return nil, fault("D1014")
	}
	if err := c.Charge((len(s) + n*len(to)) / 64); err != nil {
		return nil, err
	}
	return strings.Replace(s, sep, to, n), nil
}

// replacement is what stands for a match: a template with $1 for groups, or what a
// function makes of it.
func (m *matches) replacement(o *one, with any) (string, error) {
	if t, ok := with.(string); ok {
		return o.expand(t), nil
	}
	arg := o.object
	if arg == nil {
		arg = NewObject("match", o.match, "start", utf16Index(m.text, o.start), "end", utf16Index(m.text, o.end), "groups", o.groups,
			"next", &nextMatch{m: m.re, text: m.text, from: o.end})
	}
	v, err := m.c.run.apply(with, []any{arg}, nil, m.c.env)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", faultValue("D3012", v)
	}
	return s, nil
}

// expand fills a template: $$ is a dollar sign, $0 the match, $n a group. As many digits
// count as the number of groups has, one less where that is no group.
func (o *one) expand(t string) string {
	var b strings.Builder
	groups := len(o.groups.Items)
	for {
		before, rest, found := strings.Cut(t, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		t = rest
		switch {
		case strings.HasPrefix(t, "$"):
			b.WriteByte('$')
			t = t[1:]
		case strings.HasPrefix(t, "0"):
			b.WriteString(o.match)
			t = t[1:]
		default:
			digits := 1
			if groups > 0 {
				digits = len(strconv.Itoa(groups))
			}
			n, ok := leadingInt(t, digits)
			if ok && digits > 1 && n > groups {
				n, ok = leadingInt(t, digits-1)
			}
			if !ok {
				b.WriteByte('$')
				continue
			}
			if n >= 1 && n <= groups {
				if s, ok := o.groups.Items[n-1].(string); ok {
					b.WriteString(s)
				}
			}
			t = t[min(len(t), len(strconv.Itoa(n))):]
		}
	}
}

// leadingInt reads up to n digits.
func leadingInt(s string, n int) (int, bool) {
	i := 0
	for i < n && i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	v, err := strconv.Atoi(s[:i])
	return v, err == nil
}

func fnSplit(c Call, args []any) (any, error) {
	s := args[0].(string)
	most, err := limit(args[2], "D3020")
	if err != nil {
		return nil, err
	}
	out := &Array{}
	if most == 0 {
		return out, nil
	}
	if args[1] == Undefined {
		return NewArray(s), nil
	}
	if sep, ok := args[1].(string); ok {
		return splitText(c, s, sep, most)
	}
	at := 0
	m := newMatches(c, args[1], s)
	for float64(len(out.Items)) < most {
		o, err := m.next()
		if err != nil {
			return nil, err
		}
		if o == nil {
			break
		}
		out.Items = append(out.Items, s[at:max(at, o.start)])
		at = max(at, o.end)
	}
	if float64(len(out.Items)) < most {
		out.Items = append(out.Items, s[at:])
	}
	return out, nil
}

func splitText(c Call, s, sep string, most float64) (any, error) {
	// JavaScript cuts the fraction of a limit off.
	most = math.Trunc(most)
	out := &Array{}
	if err := c.Charge(len(s) / 16); err != nil {
		return nil, err
	}
	if sep == "" {
		for i := 0; i < len(s) && float64(len(out.Items)) < most; {
			n := charSize(s[i:])
			out.Items = append(out.Items, s[i:i+n])
			i += n
		}
		return out, nil
	}
	for float64(len(out.Items)) < most {
		before, after, found := strings.Cut(s, sep)
		out.Items = append(out.Items, before)
		if !found {
			break
		}
		s = after
	}
	return out, nil
}
