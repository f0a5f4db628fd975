package sparksql

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	tokEOF tokenKind = iota
	tokWord
	tokQuoted // `name`
	tokString
	tokNumber
	tokOp
	tokHint    // /*+
	tokHintEnd // */
	tokTemplate
)

type token struct {
	Pos
	kind    tokenKind
	text    string // decoded: characters of a string, name without backticks, raw template
	upper   string // of a word
	doubled bool   // a string that touches the one before it
	spaced  bool   // white space or a comment stands before it
	raw     string // of a number: as written
}

func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "the end of the text"
	case tokString:
		return "the string " + strconv.Quote(clip(t.text))
	case tokTemplate:
		return "{{" + clip(t.text) + "}}"
	case tokHint:
		return "/*+"
	case tokHintEnd:
		return "*/"
	case tokQuoted:
		return "`" + clip(t.text) + "`"
	}
	return "\"" + clip(t.text) + "\""
}

func clip(s string) string {
	if len(s) <= 40 {
		return s
	}
	n := 40
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

type lexer struct {
	text   string
	off    int
	line   int
	mark   int // an offset in the line whose column is known
	col    int // its column
	inHint bool
	tokens []token
}

// lex cuts a text into tokens; the last is tokEOF.
func lex(text string) ([]token, error) {
	l := &lexer{text: text, line: 1, col: 1}
	for {
		start := l.off
		if err := l.blanks(); err != nil {
			return nil, err
		}
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		t.spaced = t.Offset > start || t.Offset == 0
		l.tokens = append(l.tokens, t)
		if t.kind == tokEOF {
			return l.tokens, nil
		}
	}
}

func (l *lexer) pos() Pos { return l.posAt(l.off) }

func (l *lexer) posAt(off int) Pos {
	l.col += utf8.RuneCountInString(l.text[l.mark:off])
	l.mark = off
	return Pos{Offset: off, Line: l.line, Column: l.col}
}

func (l *lexer) peek(n int) byte {
	if l.off+n < len(l.text) {
		return l.text[l.off+n]
	}
	return 0
}

// advance moves over n bytes and counts the lines in them.
func (l *lexer) advance(n int) {
	for i := 0; i < n && l.off < len(l.text); i++ {
		if l.text[l.off] == '\n' {
			l.line++
			l.mark, l.col = l.off+1, 1
		}
		l.off++
	}
}

func (l *lexer) blanks() error {
	for l.off < len(l.text) {
		c := l.text[l.off]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			l.advance(1)
		case c == '-' && l.peek(1) == '-':
			for l.off < len(l.text) && l.text[l.off] != '\n' {
				l.advance(1)
			}
		case c == '/' && l.peek(1) == '*' && l.peek(2) != '+':
			if err := l.comment(); err != nil {
				return err
			}
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(l.text[l.off:])
			if !unicode.IsSpace(r) && r != '\ufeff' {
				return nil
			}
			l.advance(n)
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) comment() error {
	start := l.pos()
	depth := 0
	for l.off < len(l.text) {
		switch {
		case l.text[l.off] == '/' && l.peek(1) == '*':
			depth++
			l.advance(2)
		case l.text[l.off] == '*' && l.peek(1) == '/':
			depth--
			l.advance(2)
			if depth == 0 {
				return nil
			}
		default:
			l.advance(1)
		}
	}
	return &Error{Pos: start, Message: "comment is not closed", Hint: "end it with */"}
}

var operators = []string{"<=>", ">>>", "<<", ">>", "->", "=>", "::", "||", "<>", "!=", "==", "<=", ">=", "!<", "!>",
	"=", "<", ">", "+", "-", "*", "/", "%", "~", "&", "|", "^", "(", ")", ",", ".", "[", "]", ":", ";", "!", "?"}

func (l *lexer) next() (token, error) {
	t := token{Pos: l.pos()}
	if l.off >= len(l.text) {
		t.kind = tokEOF
		return t, nil
	}
	c := l.text[l.off]
	rest := l.text[l.off:]
	switch {
	case strings.HasPrefix(rest, "{{"):
		return l.template(t)
	case strings.HasPrefix(rest, "/*+"):
		t.kind = tokHint
		l.inHint = true
		l.advance(3)
		return t, nil
	case l.inHint && strings.HasPrefix(rest, "*/"):
		t.kind = tokHintEnd
		l.inHint = false
		l.advance(2)
		return t, nil
	case c == '\'' || c == '"':
		return l.str(t, c, false)
	case (c == 'r' || c == 'R') && (l.peek(1) == '\'' || l.peek(1) == '"'):
		l.advance(1)
		return l.str(t, l.text[l.off], true)
	case c == '`':
		return l.quoted(t)
	case c >= '0' && c <= '9', c == '.' && isDigit(l.peek(1)) && !l.afterName():
		return l.number(t)
	case isWordByte(c):
		n := 0
		for n < len(rest) && isWordByte(rest[n]) {
			n++
		}
		t.kind, t.text, t.upper = tokWord, rest[:n], strings.ToUpper(rest[:n])
		l.advance(n)
		return t, nil
	case c >= utf8.RuneSelf:
		r, _ := utf8.DecodeRuneInString(rest)
		e := &Error{Pos: t.Pos, Message: fmt.Sprintf("unexpected character %q", r)}
		if unicode.IsLetter(r) {
			e.Hint = "write a name with such letters in backticks"
		}
		return t, e
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			t.kind, t.text = tokOp, op
			l.advance(len(op))
			return t, nil
		}
	}
	return t, &Error{Pos: t.Pos, Message: fmt.Sprintf("unexpected character %q", rune(c))}
}

// afterName says whether a dot at this place belongs to the name before it (t.1a).
func (l *lexer) afterName() bool {
	if len(l.tokens) == 0 || l.off == 0 {
		return false
	}
	c := l.text[l.off-1]
	return isWordByte(c) || c == '`' || c == ')' || c == ']'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordByte(c byte) bool {
	return c == '_' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// template reads {{ … }} up to the braces that close it, outside of its own strings.
func (l *lexer) template(t token) (token, error) {
	i := l.off + 2
	depth := 0
	var quote byte
	for ; i < len(l.text); i++ {
		c := l.text[i]
		switch {
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && i+1 < len(l.text) && l.text[i+1] == '}':
			t.kind, t.text = tokTemplate, l.text[l.off+2:i]
			l.advance(i + 2 - l.off)
			if strings.TrimSpace(t.text) == "" {
				return t, &Error{Pos: t.Pos, Message: "{{ }} is empty", Hint: "write an expression between the braces"}
			}
			return t, nil
		}
	}
	return t, &Error{Pos: t.Pos, Message: "{{ is not closed", Hint: "end it with }}"}
}

func (l *lexer) quoted(t token) (token, error) {
	var b strings.Builder
	i := l.off + 1
	for i < len(l.text) {
		if l.text[i] == '`' {
			if i+1 < len(l.text) && l.text[i+1] == '`' {
				b.WriteByte('`')
				i += 2
				continue
			}
			t.kind, t.text = tokQuoted, b.String()
			l.advance(i + 1 - l.off)
			if t.text == "" {
				return t, &Error{Pos: t.Pos, Message: "name between backticks is empty"}
			}
			return t, nil
		}
		b.WriteByte(l.text[i])
		i++
	}
	return t, &Error{Pos: t.Pos, Message: "backtick is not closed"}
}

func (l *lexer) str(t token, q byte, raw bool) (token, error) {
	i := l.off + 1
	for i < len(l.text) && l.text[i] != q {
		if l.text[i] == '\\' && !raw {
			i++
		}
		i++
	}
	if i >= len(l.text) {
		return t, &Error{Pos: t.Pos, Message: "string is not closed", Hint: "end it with " + string(q)}
	}
	body := l.text[l.off+1 : i]
	if k := strings.Index(body, "{{"); k >= 0 && strings.Contains(body[k:], "}}") {
		return t, &Error{Pos: t.Pos, Message: "{{ … }} stands for a value and has no place inside a string",
			Hint: "take the quotes away, or join the pieces with ||"}
	}
	t.kind, t.text = tokString, body
	if !raw {
		t.text = unescape(body)
	}
	if n := len(l.tokens); n > 0 && l.tokens[n-1].kind == tokString && t.Offset == l.off && l.off > 0 && l.text[l.off-1] == q {
		t.doubled = true
	}
	l.advance(i + 1 - l.off)
	return t, nil
}

// unescape follows Spark's rules: \% and \_ keep their backslash, for LIKE.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'u', 'U':
			n := 4
			if c == 'U' {
				n = 8
			}
			if len(s) >= i+1+n {
				if v, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32); err == nil {
					b.WriteRune(rune(v))
					i += n
					continue
				}
			}
			b.WriteByte(c)
		case '0':
			if i+2 < len(s) && s[i+1] >= '0' && s[i+1] <= '7' && s[i+2] >= '0' && s[i+2] <= '7' {
				b.WriteByte((s[i+1]-'0')*8 + s[i+2] - '0')
				i += 2
			} else {
				b.WriteByte(0)
			}
		case '1':
			if i+2 < len(s) && s[i+1] >= '0' && s[i+1] <= '7' && s[i+2] >= '0' && s[i+2] <= '7' {
				b.WriteRune(rune(64 + (s[i+1]-'0')*8 + s[i+2] - '0'))
				i += 2
			} else {
				b.WriteByte(c)
			}
		case 'b':
			b.WriteByte('\b')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'Z':
			b.WriteByte(26)
		case '%', '_':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// number reads the longest of Spark's number forms; digits followed by other letters
// are a name.
func (l *lexer) number(t token) (token, error) {
	s := l.text[l.off:]
	i := 0
	digits := func() {
		for i < len(s) && isDigit(s[i]) {
			i++
		}
	}
	digits()
	if i < len(s) && s[i] == '.' && (i+1 >= len(s) || s[i+1] != '.') {
		i++
		digits()
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if j < len(s) && isDigit(s[j]) {
			i = j
			digits()
		}
	}
	end := i
	for end < len(s) && isWordByte(s[end]) {
		end++
	}
	t.kind, t.text, t.raw = tokNumber, s[:i], s[:end]
	switch suffix := strings.ToUpper(s[i:end]); suffix {
	case "", "L", "S", "Y", "D", "F", "BD":
		t.upper = suffix
	default:
		word := 0
		for word < len(s) && isWordByte(s[word]) {
			word++
		}
		if word < end || strings.Contains(s[:i], ".") {
			return t, &Error{Pos: t.Pos, Message: fmt.Sprintf("%q is no number", clip(s[:end]))}
		}
		t.kind, t.text, t.upper = tokWord, s[:word], strings.ToUpper(s[:word])
		end = word
	}
	l.advance(end)
	return t, nil
}
