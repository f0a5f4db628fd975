package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/sparksql"
)

// SQL is a query: a text, a file of the project, or one for each engine.
type SQL struct {
	Pos    Pos
	Text   string          // in Spark SQL
	File   string          // where Text was read from; empty if it stands in the pipeline file
	Query  *sparksql.Query // Text, parsed; nil where it cannot be
	Values []*Template     // the places of Text in order
	Duck   *Foreign        // DuckDB's own text, where the two must differ

	src       *source
	at        func(offset int) Pos // of a byte of Text
	predicate bool                 // it is a condition, not a query
}

// Foreign is a query in some database's own words. Text has ? where a template stood.
type Foreign struct {
	Pos    Pos
	Text   string
	File   string
	Values []*Template

	marks []int // where in Text the question marks of Values are
}

// Numbered is Text with {{1}}, {{2}}, … where the templates stood.
func (f *Foreign) Numbered() string {
	var b strings.Builder
	off := 0
	for i, at := range f.marks {
		fmt.Fprintf(&b, "%s{{%d}}", f.Text[off:at], i+1)
		off = at + 1
	}
	b.WriteString(f.Text[off:])
	return b.String()
}

// Fault is a fault at a byte of Text.
func (s *SQL) Fault(offset int, message, hint string) Fault {
	f := Fault{Pos: s.at(offset), Message: message, Hint: hint}
	f.Excerpt = s.src.line(f.Pos.Line)
	return f
}

// Marked is the text with mark(i) in the place of its i-th {{ … }}.
func (s *SQL) Marked(mark func(i int) string) string {
	if s.Query == nil {
		return s.Text
	}
	var b strings.Builder
	off := 0
	for i, p := range s.Query.Params() {
		begin := p.Pos.Offset
		if s.predicate {
			begin -= len(predicateHead)
		}
		b.WriteString(s.Text[off:begin])
		b.WriteString(mark(i))
		off = begin + len("{{") + len(p.Raw) + len("}}")
	}
	b.WriteString(s.Text[off:])
	return b.String()
}

// predicateHead makes a query of a condition.
const predicateHead = "select * from t where "

// Mentions tells whether a place of the query mentions one of the names.
func (s *SQL) Mentions(names ...string) bool {
	if s == nil {
		return false
	}
	for _, v := range s.Values {
		if v.Mentions(names...) {
			return true
		}
	}
	return s.Duck != nil && s.Duck.Mentions(names...)
}

// Mentions tells whether a place of the query mentions one of the names.
func (f *Foreign) Mentions(names ...string) bool {
	for _, v := range f.Values {
		if v.Mentions(names...) {
			return true
		}
	}
	return false
}

func (s *SQL) schema(*schemas) map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{"anyOf": []any{text, map[string]any{"type": "object", "additionalProperties": false,
		"properties": map[string]any{"duckdb": text, "spark": text}}}}
}

func (s *SQL) decodeYAML(d *decoder, n *node) {
	s.Pos = n.pos
	if n.kind == mapNode {
		for _, p := range n.pairs {
			switch p.key {
			case "spark":
				s.spark(d, p.node)
			case "duckdb":
				s.Duck = new(Foreign)
				s.Duck.decodeYAML(d, p.node)
			default:
				d.fault(p.pos, didYouMean(p.key, []string{"duckdb", "spark"}), "unknown key %q", p.key)
			}
		}
		if n.get("spark") == nil {
			d.fault(n.pos, "", `key "spark" is missing beside duckdb`)
		}
		return
	}
	s.spark(d, n)
}

func (s *SQL) spark(d *decoder, n *node) {
	text, src, at, ok := d.sqlText(n)
	if !ok {
		return
	}
	s.Text, s.src, s.at = text, src, at
	if src != d.src {
		s.File = src.name
	}
	parsed, prefix := text, 0
	if s.predicate {
		parsed, prefix = predicateHead+text, len(predicateHead)
	}
	q, err := sparksql.Parse(parsed)
	if err != nil {
		f := Fault{Pos: at(0), Message: err.Error()}
		e, ok := sparksql.AsError(err)
		if ok {
			f.Pos, f.Message, f.Hint = at(e.Pos.Offset-prefix), "the SQL cannot be read: "+e.Message, e.Hint
		}
		if f.Hint == "" && e != nil {
			f.Hint = misspelt(parsed, e.Pos.Offset)
		}
		f.Excerpt = src.line(f.Pos.Line)
		d.faults = append(d.faults, f)
		return
	}
	s.Query = q
	for _, p := range q.Params() {
		s.Values = append(s.Values, d.place(src, p.Raw, at, p.Pos.Offset-prefix+2))
	}
}

var clauseWords = []string{"where", "from", "group", "order", "having", "limit", "join", "union", "select", "lateral", "window"}

// misspelt is a hint if the word before a fault is almost one that begins a clause: it was
// then read as an alias, and the fault comes after it.
func misspelt(text string, offset int) string {
	before := strings.Fields(text[:max(0, min(offset, len(text)))])
	if len(before) == 0 {
		return ""
	}
	word := before[len(before)-1]
	if n := Nearest(word, clauseWords); n != "" && len(word) > 2 && !strings.EqualFold(n, word) {
		return "did you mean " + n + " instead of " + word + "?"
	}
	return ""
}

// place reads the expression of one {{ … }} of a query.
func (d *decoder) place(src *source, raw string, at func(int) Pos, begin int) *Template {
	t := &Template{Raw: raw, Pos: at(begin), names: d.names}
	saved := d.src
	d.src = src
	t.Parts = []Part{t.expr(d, raw, at, begin)}
	d.src = saved
	d.templates = append(d.templates, t)
	return t
}

// sqlText returns a query's text and how to find places in it. One word that ends in .sql names a file.
func (d *decoder) sqlText(n *node) (string, *source, func(int) Pos, bool) {
	if n.kind != scalarNode {
		d.want(n, "a query, or a file that ends in .sql")
		return "", nil, nil, false
	}
	word := strings.TrimSpace(n.text)
	if !strings.HasSuffix(word, ".sql") || strings.ContainsAny(word, " \n\t") {
		return n.text, d.src, func(off int) Pos { return n.at(d.src, off) }, true
	}
	src, text, err := d.options.readText(word)
	if err != nil {
		d.fault(n.pos, "paths are relative to the project's folder", "the file %s cannot be read: %s", word, rootCause(err))
		return "", nil, nil, false
	}
	return text, src, func(off int) Pos {
		before := text[:max(0, min(off, len(text)))]
		return Pos{src.name, 1 + strings.Count(before, "\n"), len(before) - strings.LastIndexByte(before, '\n')}
	}, true
}

func rootCause(err error) string {
	var p *os.PathError
	if asPathError(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func (f *Foreign) schema(*schemas) map[string]any { return map[string]any{"type": "string"} }

func (f *Foreign) decodeYAML(d *decoder, n *node) {
	f.Pos = n.pos
	text, src, at, ok := d.sqlText(n)
	if !ok {
		return
	}
	if src != d.src {
		f.File = src.name
	}
	var b strings.Builder
	off := 0
	for _, p := range places(text) {
		b.WriteString(text[off:p.begin])
		if p.quoted {
			d.fault(at(p.begin), "take the quotes away: the value is bound, never pasted", "a template stands inside quotes")
		} else {
			f.Values = append(f.Values, d.place(src, text[p.begin+2:p.end-2], at, p.begin+2))
		}
		f.marks = append(f.marks, b.Len())
		b.WriteByte('?')
		off = p.end
	}
	b.WriteString(text[off:])
	f.Text = b.String()
}

type sqlPlace struct {
	begin, end int // with the braces
	quoted     bool
}

// places finds the {{ … }} of a query in any database's SQL; those in comments do not count.
func places(s string) []sqlPlace {
	var out []sqlPlace
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "{{"):
			end := closing(s, i+2)
			if end < 0 {
				return out
			}
			out = append(out, sqlPlace{i, end + 2, quote != 0})
			i = end + 1
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case s[i] == '\'' || s[i] == '"' || s[i] == '`':
			quote = s[i]
		case strings.HasPrefix(s[i:], "--"):
			if j := strings.IndexByte(s[i:], '\n'); j >= 0 {
				i += j
			} else {
				return out
			}
		case strings.HasPrefix(s[i:], "/*"):
			if j := strings.Index(s[i:], "*/"); j >= 0 {
				i += j + 1
			} else {
				return out
			}
		}
	}
	return out
}

// readText reads a text file of the project, once.
func (o *Options) readText(name string) (*source, string, error) {
	clean := filepath.ToSlash(filepath.Clean(name))
	if t, ok := o.texts[clean]; ok {
		return t.src, t.text, nil
	}
	b, err := os.ReadFile(filepath.Join(o.Dir, filepath.FromSlash(clean)))
	if err != nil {
		return nil, "", err
	}
	t := textFile{newSource(clean, b), strings.ReplaceAll(string(b), "\r\n", "\n")}
	o.texts[clean] = t
	return t.src, t.text, nil
}

type textFile struct {
	src  *source
	text string
}
