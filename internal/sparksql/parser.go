package sparksql

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep queries, expressions and types may nest; maxText how long
// a text may be. Both are far beyond what people write.
const (
	maxDepth = 200
	maxText  = 1 << 20
	maxChain = 20000
)

// Query is a parsed text.
type Query struct {
	text   string
	root   *query
	params []*Param
}

// Param is one {{ … }} of a text.
type Param struct {
	Pos  Pos
	Raw  string // between the braces, as written
	Name bool   // it stands in identifier({{ … }}), for a name, not for a value
	// Index counts the places for values from zero; it is -1 for a name.
	Index int
}

// Parse reads one query. Its error is an *Error with a position.
func Parse(text string) (*Query, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	q := &Query{text: text}
	err = p.run(func() {
		q.root = p.query()
		for p.op(";") {
			continue
		}
		p.end()
	})
	if err != nil {
		return nil, err
	}
	n := 0
	for _, x := range p.params {
		if !x.Name {
			x.Index = n
			n++
		}
	}
	q.params = p.params
	return q, nil
}

// Text is what was parsed.
func (q *Query) Text() string { return q.text }

// Params lists the {{ … }} of the text in their order, those of names too.
func (q *Query) Params() []Param {
	out := make([]Param, len(q.params))
	for i, p := range q.params {
		out[i] = *p
	}
	return out
}

type parser struct {
	toks   []token
	i      int
	depth  int
	chain  int
	params []*Param
	failed *Error // the fault that ended the parse
}

// bail unwinds the parser to run.
type bail struct{}

func newParser(text string) (*parser, error) {
	if len(text) > maxText {
		return nil, &Error{Pos: Pos{0, 1, 1}, Message: fmt.Sprintf("the text is longer than %d bytes", maxText)}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{Pos: Pos{0, 1, 1}, Message: "the text is not UTF-8"}
	}
	toks, err := lex(text)
	if err != nil {
		return nil, err
	}
	return &parser{toks: toks}, nil
}

// run calls f and turns its failure into an error.
func (p *parser) run(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(bail); !ok {
				panic(r)
			}
			err = p.failed
		}
	}()
	f()
	return nil
}

func (p *parser) fail(at Pos, message, hint string) {
	p.failed = &Error{Pos: at, Message: message, Hint: hint}
	panic(bail{})
}

// expected fails at the next token; words are the keywords that could stand there.
func (p *parser) expected(what string, words ...string) {
	t := p.peek()
	hint := ""
	if t.kind == tokWord {
		if n := nearest(t.upper, words); n != "" && n != t.upper {
			hint = "did you mean " + n + "?"
		}
	}
	p.fail(t.Pos, "expected "+what+", found "+t.describe(), hint)
}

func (p *parser) nest() func() {
	p.depth++
	if p.depth > maxDepth {
		p.fail(p.peek().Pos, fmt.Sprintf("nested more than %d deep", maxDepth), "")
	}
	return func() { p.depth-- }
}

func (p *parser) peek() token { return p.toks[p.i] }

func (p *parser) ahead(n int) token {
	if p.i+n < len(p.toks) {
		return p.toks[p.i+n]
	}
	return p.toks[len(p.toks)-1]
}

func (p *parser) take() token {
	t := p.toks[p.i]
	if t.kind != tokEOF {
		p.i++
	}
	return t
}

func (p *parser) isOp(s string) bool {
	t := p.peek()
	return t.kind == tokOp && t.text == s
}

func (p *parser) op(s string) bool {
	if p.isOp(s) {
		p.i++
		return true
	}
	return false
}

func (p *parser) mustOp(s string) {
	if !p.op(s) {
		p.expected("\"" + s + "\"")
	}
}

func (p *parser) isWord(ws ...string) bool {
	t := p.peek()
	return t.kind == tokWord && contains(ws, t.upper)
}

func (p *parser) word(w string) bool {
	if p.isWord(w) {
		p.i++
		return true
	}
	return false
}

// words takes a run of keywords, all or none.
func (p *parser) words(ws ...string) bool {
	for k, w := range ws {
		t := p.ahead(k)
		if t.kind != tokWord || t.upper != w {
			return false
		}
	}
	p.i += len(ws)
	return true
}

func (p *parser) mustWord(w string) {
	if !p.word(w) {
		p.expected(w, w)
	}
}

// clauses are what can follow a finished part of a query: the words that an unexpected
// word at its end is compared with.
var clauses = []string{"SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET", "UNION", "INTERSECT",
	"EXCEPT", "MINUS", "JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "LATERAL", "WINDOW", "PIVOT", "UNPIVOT", "AND", "OR", "BETWEEN", "LIKE", "AS", "ON", "USING"}

func (p *parser) end() {
	t := p.peek()
	if t.kind == tokEOF {
		return
	}
	if t.kind == tokWord && t.upper == "QUALIFY" {
		p.fail(t.Pos, "QUALIFY is not a clause of Spark SQL", "filter in an outer query: select … from (…) where rn = 1")
	}
	if t.kind == tokWord && contains([]string{"GROUP", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE"}, t.upper) && p.ahead(1).upper != "BY" {
		p.fail(t.Pos, "expected BY behind "+t.upper, "write "+t.upper+" BY")
	}
	p.expected("the end of the query", clauses...)
}

func wordSet(text string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(text) {
		m[w] = true
	}
	return m
}

var reserved = wordSet(`SELECT FROM WHERE GROUP HAVING ORDER UNION INTERSECT EXCEPT ON USING JOIN WHEN THEN ELSE AND OR AS LIMIT BETWEEN`)

var notAlias = wordSet(`SELECT FROM WHERE GROUP HAVING ORDER SORT CLUSTER DISTRIBUTE LIMIT OFFSET UNION INTERSECT EXCEPT MINUS ON USING JOIN INNER LEFT RIGHT FULL
	CROSS NATURAL SEMI ANTI LATERAL WINDOW PIVOT UNPIVOT TABLESAMPLE AND OR AS WHEN THEN ELSE END IN IS NOT LIKE ILIKE RLIKE REGEXP BETWEEN DIV QUALIFY DESC ASC`)

// ident takes a name.
func (p *parser) ident(what string) name {
	t := p.peek()
	switch {
	case t.kind == tokQuoted:
		p.i++
		return name{Pos: t.Pos, text: t.text, quoted: true}
	case t.kind == tokWord && !reserved[t.upper]:
		p.i++
		return name{Pos: t.Pos, text: t.text}
	case t.kind == tokTemplate:
		p.fail(t.Pos, "expected "+what+", found {{"+clip(t.text)+"}}, which stands for a value", "for a name write identifier({{"+clip(t.text)+"}})")
	}
	p.expected(what)
	return name{}
}

// multipart takes a name of one or several parts, or identifier(…).
func (p *parser) multipart(what string) []name {
	if n, ok := p.identifierClause(); ok {
		if n.place != nil {
			return []name{n}
		}
		var parts []name
		for _, s := range strings.Split(n.text, ".") {
			parts = append(parts, name{Pos: n.Pos, text: s, quoted: true})
		}
		return parts
	}
	parts := []name{p.ident(what)}
	for p.isOp(".") {
		p.i++
		parts = append(parts, p.ident("a name"))
	}
	return parts
}

// identifierClause reads identifier('name') or identifier({{ … }}).
func (p *parser) identifierClause() (name, bool) {
	t := p.peek()
	next := p.ahead(2).kind
	if t.kind != tokWord || t.upper != "IDENTIFIER" || p.ahead(1).text != "(" || next != tokString && next != tokTemplate {
		return name{}, false
	}
	p.i += 2
	v := p.take()
	n := name{Pos: t.Pos, text: v.text, quoted: true}
	if v.kind == tokTemplate {
		n.place = p.param(v, true)
		n.text = ""
	} else if v.text == "" {
		p.fail(v.Pos, "name is empty", "")
	}
	p.mustOp(")")
	return n, true
}

func (p *parser) param(t token, isName bool) *Param {
	x := &Param{Pos: t.Pos, Raw: t.text, Name: isName, Index: -1}
	p.params = append(p.params, x)
	return x
}

func (p *parser) stringToken(what string) token {
	t := p.peek()
	if t.kind != tokString {
		p.expected(what)
	}
	p.i++
	for p.peek().kind == tokString {
		u := p.take()
		t.text += u.text
		t.doubled = t.doubled || u.doubled
	}
	return t
}

// AsError gives the *Error in err, if there is one.
func AsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// nearest gives the word that is most like w, or nothing when none is near.
func nearest(w string, words []string) string {
	best, limit := "", len(w)/3+1
	for _, x := range words {
		if d := distance(w, x); d <= limit && (best == "" || d < distance(w, best)) {
			best = x
		}
	}
	return best
}

func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 99
	}
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		diag := prev[0]
		prev[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, prev[j+1] = prev[j+1], min(diag+cost, prev[j]+1, prev[j+1]+1)
		}
	}
	return prev[len(b)]
}
