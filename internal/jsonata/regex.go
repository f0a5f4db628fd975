package jsonata

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// regex is a regular expression in JavaScript's notation, compiled for Go's engine, which
// finds the same match in linear time.
type regex struct {
	source string
	re     *regexp.Regexp
	behind func() *regexp.Regexp // finds the first match, as group 1, behind the first character
}

func newRegex(pattern, flags string) (*regex, error) {
	t := translator{s: pattern, multi: strings.Contains(flags, "m")}
	text, err := t.translate()
	if err != nil {
		return nil, err
	}
	prefix := ""
	if strings.Contains(flags, "i") {
		prefix += "i"
	}
	if t.multi {
		prefix += "m"
	}
	if prefix != "" {
		text = "(?" + prefix + ")" + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		var syntax interface{ Unwrap() error }
		if errors.As(err, &syntax) {
			err = syntax.Unwrap()
		}
		return nil, fmt.Errorf("/%s/: %s", pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	behind := sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\A(?s:.)(?s:.*?)(` + text + `)`)
	})
	return &regex{source: pattern, re: re, behind: behind}, nil
}

// Classes as JavaScript defines them, as the inside of a class.
const (
	jsSpace    = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	jsNotSpace = `\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
	jsDot      = `[^\n\r\x{2028}\x{2029}]`
	jsAny      = `[\x{0}-\x{10ffff}]`
	jsNone     = `[^\x{0}-\x{10ffff}]`
)

// translator rewrites JavaScript's notation into Go's.
type translator struct {
	s     string
	i     int
	multi bool
	out   strings.Builder
}

func (t *translator) refuse(what string) error {
	return fmt.Errorf("/%s/: %s", t.s, what)
}

func (t *translator) translate() (string, error) {
	for t.i < len(t.s) {
		c := t.s[t.i]
		switch c {
		case '\\':
			if err := t.escape(false); err != nil {
				return "", err
			}
			continue
		case '[':
			if err := t.class(); err != nil {
				return "", err
			}
			continue
		case '(':
			if err := t.open(); err != nil {
				return "", err
			}
			continue
		case '.':
			t.out.WriteString(jsDot)
		case '$':
			if t.multi {
				t.out.WriteByte('$')
			} else {
				t.out.WriteString(`\z`)
			}
		case '{':
			if quantifier(t.s[t.i:]) {
				t.out.WriteByte('{')
			} else {
				t.out.WriteString(`\{`)
			}
		default:
			t.out.WriteByte(c)
		}
		t.i++
	}
	return t.out.String(), nil
}

// open translates the beginning of a group.
func (t *translator) open() error {
	rest := t.s[t.i:]
	switch {
	case !strings.HasPrefix(rest, "(?"):
		t.out.WriteByte('(')
		t.i++
	case strings.HasPrefix(rest, "(?:"):
		t.out.WriteString("(?:")
		t.i += 3
	case strings.HasPrefix(rest, "(?="), strings.HasPrefix(rest, "(?!"):
		return t.refuse("look-ahead is not supported")
	case strings.HasPrefix(rest, "(?<="), strings.HasPrefix(rest, "(?<!"):
		return t.refuse("look-behind is not supported")
	case strings.HasPrefix(rest, "(?<"):
		t.out.WriteString("(?P<")
		t.i += 3
	default:
		return t.refuse("invalid group")
	}
	return nil
}

// quantifier tells whether a text begins with {n}, {n,} or {n,m}; any other brace is a
// plain character.
func quantifier(s string) bool {
	end := strings.IndexByte(s, '}')
	if end < 2 {
		return false
	}
	from, to, _ := strings.Cut(s[1:end], ",")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return from != "" && digits(from) && digits(to)
}

// escape translates a backslash and what follows it.
func (t *translator) escape(inClass bool) error {
	t.i++
	if t.i >= len(t.s) {
		return t.refuse("it ends in a backslash")
	}
	c := t.s[t.i]
	t.i++
	wrap := func(inside string) {
		if inClass {
			t.out.WriteString(inside)
		} else {
			t.out.WriteString("[" + inside + "]")
		}
	}
	switch {
	case strings.IndexByte("dDwW", c) >= 0:
		t.out.WriteByte('\\')
		t.out.WriteByte(c)
	case c == 's':
		wrap(jsSpace)
	case c == 'S':
		wrap(jsNotSpace)
	case strings.IndexByte("tnrvf", c) >= 0:
		t.out.WriteByte('\\')
		t.out.WriteByte(c)
	case c == 'b' && inClass:
		t.out.WriteString(`\x08`)
	case c == 'b' || c == 'B':
		t.out.WriteByte('\\')
		t.out.WriteByte(c)
	case c == '0' && (t.i >= len(t.s) || t.s[t.i] < '0' || t.s[t.i] > '9'):
		t.out.WriteString(`\x00`)
	case c >= '0' && c <= '9' && !inClass:
		return t.refuse("back-references are not supported")
	case c == 'k' && strings.HasPrefix(t.s[t.i:], "<"):
		return t.refuse("back-references are not supported")
	case c == 'c' && t.i < len(t.s) && unicode.IsLetter(rune(t.s[t.i])):
		fmt.Fprintf(&t.out, `\x{%x}`, t.s[t.i]&31)
		t.i++
	case c == 'x':
		t.hex(2, 'x')
	case c == 'u':
		t.hex(4, 'u')
	default:
		// Any other character stands for itself.
		_, n := utf8.DecodeRuneInString(t.s[t.i-1:])
		t.out.WriteString(regexp.QuoteMeta(t.s[t.i-1 : t.i-1+n]))
		if c == '-' && inClass {
			t.backslashDash()
		}
		t.i += n - 1
	}
	return nil
}

// backslashDash makes the dash just written a plain character of a class.
func (t *translator) backslashDash() {
	s := t.out.String()
	t.out.Reset()
	t.out.WriteString(s[:len(s)-1] + `\-`)
}

// hex translates \xHH and \uHHHH; without the digits the letter stands for itself. Two
// halves of a surrogate pair are one character.
func (t *translator) hex(n int, letter byte) {
	read := func(i int) (rune, bool) {
		if i+n > len(t.s) {
			return 0, false
		}
		u, err := strconv.ParseUint(t.s[i:i+n], 16, 32)
		return rune(u), err == nil
	}
	u, ok := read(t.i)
	if !ok {
		t.out.WriteByte(letter)
		return
	}
	t.i += n
	if u >= 0xD800 && u < 0xDC00 && strings.HasPrefix(t.s[t.i:], `\u`) {
		if lo, ok := read(t.i + 2); ok && lo >= 0xDC00 && lo < 0xE000 {
			u = (u-0xD800)<<10 + lo - 0xDC00 + 0x10000
			t.i += 6
		}
	}
	fmt.Fprintf(&t.out, `\x{%x}`, u)
}

// class translates a class in brackets.
func (t *translator) class() error {
	switch {
	case strings.HasPrefix(t.s[t.i:], "[]"):
		t.out.WriteString(jsNone)
		t.i += 2
		return nil
	case strings.HasPrefix(t.s[t.i:], "[^]"):
		t.out.WriteString(jsAny)
		t.i += 3
		return nil
	}
	t.out.WriteByte('[')
	t.i++
	if t.i < len(t.s) && t.s[t.i] == '^' {
		t.out.WriteByte('^')
		t.i++
	}
	for t.i < len(t.s) {
		switch c := t.s[t.i]; c {
		case ']':
			t.out.WriteByte(']')
			t.i++
			return nil
		case '\\':
			if err := t.escape(true); err != nil {
				return err
			}
			continue
		case '[':
			t.out.WriteString(`\[`)
		case '-':
			t.dash()
		default:
			t.out.WriteByte(c)
		}
		t.i++
	}
	return t.refuse("missing closing ]")
}

// dash writes a dash of a class: JavaScript takes one beside a class such as \w, or at an
// end, for itself; Go does not always.
func (t *translator) dash() {
	before, after := t.s[:t.i], t.s[t.i+1:]
	class := func(s string) bool { return len(s) == 2 && s[0] == '\\' && strings.IndexByte("dDwWsS", s[1]) >= 0 }
	lone := strings.HasSuffix(before, "[") || strings.HasSuffix(before, "[^") || strings.HasPrefix(after, "]") ||
		len(before) >= 2 && class(before[len(before)-2:]) || len(after) >= 2 && class(after[:2])
	if lone {
		t.out.WriteString(`\-`)
		return
	}
	t.out.WriteByte('-')
}

// matcher is the value of a regular expression: a function of a string that gives its
// first match, or undefined.
type matcher struct {
	re *regex
	at *node
}

func (m *matcher) isFunction() {}

// Arity is one: the string to match.
func (m *matcher) Arity() int { return 1 }

// nextMatch is the function by which a match gives the one after it.
type nextMatch struct {
	m    *matcher
	text string
	from int
}

func (n *nextMatch) isFunction() {}

// Arity is zero.
func (n *nextMatch) Arity() int { return 0 }

// found is one match, in bytes. A group that took no part has the bounds -1.
type found struct{ bounds []int }

func (f found) start() int { return f.bounds[0] }
func (f found) end() int   { return f.bounds[1] }

// find gives the first match at or behind a byte. Beyond the first match of a text an
// empty one is an error: a caller that goes on would never get to the end.
func (m *matcher) find(text string, from int, first bool) (found, bool, error) {
	if !first && from >= len(text) {
		return found{}, false, nil
	}
	var b []int
	if from == 0 {
		b = m.re.re.FindStringSubmatchIndex(text)
	} else {
		b = m.findFrom(text, from)
	}
	if b == nil {
		return found{}, false, nil
	}
	if !first && b[0] == b[1] {
		e := faultValue("D1004", m.re.source)
		return found{}, false, e.locate(m.at)
	}
	return found{b}, true, nil
}

// findFrom matches at or behind a byte with the text before it still in sight of ^ and \b.
func (m *matcher) findFrom(text string, from int) []int {
	_, n := utf8.DecodeLastRuneInString(text[:from])
	b := m.re.behind().FindStringSubmatchIndex(text[from-n:])
	if b == nil {
		return nil
	}
	b = b[2:]
	for i := range b {
		if b[i] >= 0 {
			b[i] += from - n
		}
	}
	return b
}

// utf16Index converts a byte offset of a text into the UTF-16 units of JavaScript.
func utf16Index(text string, at int) float64 {
	for i := range at {
		if text[i] >= utf8.RuneSelf {
			return float64(utf16Len(text[:at]))
		}
	}
	return float64(at)
}

// groups gives the texts of the groups, undefined for those that took no part.
func (f found) groups(text string) *Array {
	a := &Array{}
	for i := 2; i+1 < len(f.bounds); i += 2 {
		if f.bounds[i] < 0 {
			a.Items = append(a.Items, Undefined)
			continue
		}
		a.Items = append(a.Items, text[f.bounds[i]:f.bounds[i+1]])
	}
	return a
}

// object is a match as a function that an expression defines sees it.
func (m *matcher) object(text string, f found) *Object {
	return NewObject("match", text[f.start():f.end()], "start", utf16Index(text, f.start()), "end", utf16Index(text, f.end()),
		"groups", f.groups(text), "next", &nextMatch{m: m, text: text, from: f.end()})
}

func (m *matcher) match(r *run, args []any) (any, error) {
	if len(args) == 0 {
		return Undefined, nil
	}
	text, ok := args[0].(string)
	if !ok {
		return Undefined, nil
	}
	f, ok, err := m.find(text, 0, true)
	if err != nil || !ok {
		return Undefined, err
	}
	return m.object(text, f), r.charge(1 + len(text)/64)
}

func (n *nextMatch) call(r *run) (any, error) {
	f, ok, err := n.m.find(n.text, n.from, false)
	if err != nil || !ok {
		return Undefined, err
	}
	return n.m.object(n.text, f), r.charge(1 + len(n.text)/64)
}
