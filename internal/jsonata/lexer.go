package jsonata

import (
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokOperator
	tokName
	tokVariable
	tokString
	tokNumber
	tokValue
	tokRegex
)

// token is one word of an expression. text is the operator, the name or the string; for
// numbers and values it is the source text.
type token struct {
	kind       tokenKind
	text       string
	value      any
	start, end int
}

// is tells whether the token is this operator. The word operators (and, or, in) are
// operators here too.
func (t *token) is(op string) bool { return t.kind == tokOperator && t.text == op }

type lexer struct {
	s string
	i int
}

const (
	spaces    = " \t\n\r\v"
	operators = ".[]{}(),@#;:?+-*/%|=<>^&!~"
)

// next gives the next token. After an operand a slash divides (infix), elsewhere it begins
// a regular expression.
func (l *lexer) next(infix bool) (token, *Error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	start := l.i
	t := token{start: start}
	if l.i >= len(l.s) {
		t.end, t.text = l.i, "(end)"
		return t, nil
	}
	var err *Error
	switch c := l.s[l.i]; {
	case c == '/' && !infix:
		l.i++
		t.kind = tokRegex
		t.value, err = l.regex()
		t.text = l.s[start:l.i]
	case l.i+1 < len(l.s) && isDouble(l.s[l.i:l.i+2]):
		t.kind, t.text = tokOperator, l.s[l.i:l.i+2]
		l.i += 2
	case strings.IndexByte(operators, c) >= 0:
		t.kind, t.text = tokOperator, l.s[l.i:l.i+1]
		l.i++
	case c == '"' || c == '\'':
		t.kind = tokString
		t.text, err = l.str(c)
		t.value = t.text
	case c >= '0' && c <= '9':
		t.kind = tokNumber
		t.text, t.value, err = l.number()
	case c == '`':
		t.kind = tokName
		l.i++
		n := strings.IndexByte(l.s[l.i:], '`')
		if n < 0 {
			l.i = len(l.s)
			return t, l.fault("S0105")
		}
		t.text = l.s[l.i : l.i+n]
		l.i += n + 1
	default:
		l.word(&t)
	}
	t.end = l.i
	return t, err
}

func isDouble(s string) bool {
	switch s {
	case "..", ":=", "!=", ">=", "<=", "**", "~>", "?:", "??":
		return true
	}
	return false
}

// skip passes over white space and comments.
func (l *lexer) skip() *Error {
	for l.i < len(l.s) {
		switch {
		case strings.IndexByte(spaces, l.s[l.i]) >= 0:
			l.i++
		case strings.HasPrefix(l.s[l.i:], "/*"):
			n := strings.Index(l.s[l.i+2:], "*/")
			if n < 0 {
				return l.fault("S0106")
			}
			l.i += n + 4
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) fault(code string) *Error {
	e := fault(code)
	e.at, e.Start, e.end = true, l.i, l.i
	return e
}

func (l *lexer) word(t *token) {
	start := l.i
	for l.i < len(l.s) && strings.IndexByte(spaces, l.s[l.i]) < 0 && strings.IndexByte(operators, l.s[l.i]) < 0 {
		l.i++
	}
	w := l.s[start:l.i]
	t.kind, t.text = tokName, w
	switch w {
	case "or", "in", "and":
		t.kind = tokOperator
	case "true":
		t.kind, t.value = tokValue, true
	case "false":
		t.kind, t.value = tokValue, false
	case "null":
		t.kind, t.value = tokValue, nil
	default:
		if w[0] == '$' {
			t.kind, t.text = tokVariable, w[1:]
		}
	}
}

func (l *lexer) number() (string, any, *Error) {
	start := l.i
	digits := func(i int) int {
		for i < len(l.s) && l.s[i] >= '0' && l.s[i] <= '9' {
			i++
		}
		return i
	}
	if l.s[l.i] == '0' {
		l.i++
	} else {
		l.i = digits(l.i)
	}
	if l.i < len(l.s) && l.s[l.i] == '.' {
		if j := digits(l.i + 1); j > l.i+1 {
			l.i = j
		}
	}
	if l.i < len(l.s) && (l.s[l.i] == 'e' || l.s[l.i] == 'E') {
		j := l.i + 1
		if j < len(l.s) && (l.s[j] == '+' || l.s[j] == '-') {
			j++
		}
		if k := digits(j); k > j {
			l.i = k
		}
	}
	text := l.s[start:l.i]
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		e := l.fault("S0102")
		e.Start, e.Token = start, text
		return text, nil, e
	}
	return text, f, nil
}

func (l *lexer) str(quote byte) (string, *Error) {
	l.i++
	start := l.i
	for l.i < len(l.s) && l.s[l.i] != quote && l.s[l.i] != '\\' {
		l.i++
	}
	if l.i < len(l.s) && l.s[l.i] == quote {
		l.i++
		return l.s[start : l.i-1], nil
	}
	b := []byte(l.s[start:l.i])
	for l.i < len(l.s) {
		c := l.s[l.i]
		if c == quote {
			l.i++
			return string(b), nil
		}
		if c != '\\' {
			b = append(b, c)
			l.i++
			continue
		}
		l.i++
		if l.i >= len(l.s) {
			return "", l.fault("S0103")
		}
		c = l.s[l.i]
		if c == 'u' {
			if l.i+5 > len(l.s) {
				return "", l.fault("S0104")
			}
			u, err := strconv.ParseUint(l.s[l.i+1:l.i+5], 16, 16)
			if err != nil {
				return "", l.fault("S0104")
			}
			b = appendUnit(b, rune(u))
			l.i += 5
			continue
		}
		e, ok := escapes[c]
		if !ok {
			f := l.fault("S0103")
			f.Token = string([]rune(l.s[l.i:])[:1])
			return "", f
		}
		b = append(b, e)
		l.i++
	}
	return "", l.fault("S0101")
}

// regex reads a regular expression behind its first slash. A slash within brackets of any
// kind, or behind an odd number of backslashes, does not end it.
func (l *lexer) regex() (*regex, *Error) {
	start, depth := l.i, 0
	for ; l.i < len(l.s); l.i++ {
		escaped := l.s[l.i-1] == '\\' && l.i > start
		switch l.s[l.i] {
		case '/':
			if depth != 0 || oddBackslashes(l.s[start:l.i]) {
				continue
			}
			pattern := l.s[start:l.i]
			if pattern == "" {
				return nil, l.fault("S0301")
			}
			l.i++
			flags := l.i
			for l.i < len(l.s) && (l.s[l.i] == 'i' || l.s[l.i] == 'm') {
				l.i++
			}
			re, err := newRegex(pattern, l.s[flags:l.i])
			if err != nil {
				e := l.fault("S0303")
				e.Start, e.Value = start, err.Error()
				return nil, e
			}
			return re, nil
		case '(', '[', '{':
			if !escaped {
				depth++
			}
		case ')', ']', '}':
			if !escaped {
				depth--
			}
		}
	}
	return nil, l.fault("S0302")
}

func oddBackslashes(s string) bool {
	n := 0
	for n < len(s) && s[len(s)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}
