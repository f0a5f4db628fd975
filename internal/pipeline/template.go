package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/jsonata"
)

// Template is a text in which {{ … }} stands for the value of a JSONata expression.
type Template struct {
	Raw   string
	Pos   Pos
	Parts []Part

	names []string // what it may mention besides the names of every template
	bad   bool     // a fault is told already
}

// Part is a piece of a template: text, or an expression.
type Part struct {
	Text string
	Expr *jsonata.Expr // nil for text
	Src  string        // the expression's text
	Pos  Pos
}

// Constant returns the text where no expression stands in it.
func (t *Template) Constant() (string, bool) {
	if t == nil {
		return "", true
	}
	var b strings.Builder
	for _, p := range t.Parts {
		if p.Expr != nil {
			return "", false
		}
		b.WriteString(p.Text)
	}
	return b.String(), true
}

// IsZero tells whether the template is not there, or empty.
func (t *Template) IsZero() bool { return t == nil || t.Raw == "" }

// Mentions tells whether an expression of the template begins a path with one of the names.
func (t *Template) Mentions(names ...string) bool {
	if t == nil {
		return false
	}
	for _, p := range t.Parts {
		if p.Expr == nil {
			continue
		}
		for _, n := range names {
			if p.Expr.MentionsField(n) {
				return true
			}
		}
	}
	return false
}

// Times are the names that differ from run to run with the logical time.
var Times = []string{"ds", "ds_nodash", "ts", "logical_time", "data_interval_start", "data_interval_end", "scheduled_at"}

func (t *Template) decodeYAML(d *decoder, n *node) {
	t.Pos = n.pos
	if n.kind != scalarNode {
		d.want(n, "a text")
		return
	}
	t.parse(d, n.text, func(off int) Pos { return n.at(d.src, off) })
}

func (t *Template) schema(*schemas) map[string]any { return map[string]any{"type": "string"} }

func (t *Template) parse(d *decoder, text string, at func(int) Pos) {
	t.Raw, t.names = text, d.names
	d.templates = append(d.templates, t)
	off := 0
	for {
		i := strings.Index(text[off:], "{{")
		if i < 0 {
			if off < len(text) {
				t.Parts = append(t.Parts, Part{Text: text[off:], Pos: at(off)})
			}
			return
		}
		if i > 0 {
			t.Parts = append(t.Parts, Part{Text: text[off : off+i], Pos: at(off)})
		}
		begin := off + i + 2
		end := closing(text, begin)
		if end < 0 {
			t.bad = true
			d.fault(at(off+i), "write {{ … }}", "the template has no }}")
			return
		}
		t.Parts = append(t.Parts, t.expr(d, text[begin:end], at, begin))
		off = end + 2
	}
}

// closing finds the }} that ends the expression which begins at from, past quotes and braces.
func closing(s string, from int) int {
	depth := 0
	for i := from; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\'', '`':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && c != '`' {
					i++
				}
			}
		case '{':
			depth++
		case '}':
			if depth == 0 && i+1 < len(s) && s[i+1] == '}' {
				return i
			}
			depth--
		}
	}
	return -1
}

func (t *Template) expr(d *decoder, src string, at func(int) Pos, begin int) Part {
	trimmed := strings.TrimLeft(src, " \t\n")
	begin += len(src) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, " \t\n")
	p := Part{Src: trimmed, Pos: at(begin)}
	if trimmed == "" {
		t.bad = true
		d.fault(p.Pos, "", "the template is empty")
		return p
	}
	e, err := jsonata.Parse(trimmed)
	if err != nil {
		t.bad = true
		pos, msg := p.Pos, err.Error()
		var je *jsonata.Error
		if errors.As(err, &je) {
			pos, msg = at(begin+min(je.Start, len(trimmed))), je.Message
		}
		d.fault(pos, "", "the expression %q cannot be read: %s", clip(trimmed), msg)
		return p
	}
	p.Expr = e
	return p
}

// Expr is a bare JSONata expression, as in when.
type Expr struct{ Template }

func (e *Expr) decodeYAML(d *decoder, n *node) {
	e.Pos = n.pos
	if b, ok := n.value.(bool); ok {
		e.parse(d, fmt.Sprintf("{{ %t }}", b), func(int) Pos { return n.pos })
		return
	}
	if n.kind != scalarNode {
		d.want(n, "a condition in JSONata")
		return
	}
	if strings.HasPrefix(strings.TrimSpace(n.text), "{{") {
		d.fault(n.pos, "take the braces away", "a condition is bare JSONata")
		return
	}
	e.Raw, e.names = n.text, d.names
	e.Parts = []Part{e.expr(d, n.text, func(off int) Pos { return n.at(d.src, off) }, 0)}
	d.templates = append(d.templates, &e.Template)
}

// Text is a value that is a text without templates.
func Text(s string) *Template {
	return &Template{Raw: s, Parts: []Part{{Text: s}}}
}

// ResolveVars gives a value in which templates mention nothing but variables.
func ResolveVars(a Any, vars map[string]any) (any, error) {
	switch v := a.Value.(type) {
	case *Template:
		return v.resolve(vars)
	case []Any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = ResolveVars(v[i], vars); err != nil {
				return nil, err
			}
		}
		return out, nil
	case Map[Any]:
		out := map[string]any{}
		for _, e := range v {
			x, err := ResolveVars(e.Value, vars)
			if err != nil {
				return nil, err
			}
			out[e.Key] = x
		}
		return out, nil
	}
	return a.Value, nil
}

func (t *Template) resolve(vars map[string]any) (any, error) {
	in, err := jsonata.FromGo(map[string]any{"var": vars})
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, p := range t.Parts {
		if p.Expr == nil {
			b.WriteString(p.Text)
			continue
		}
		v, err := p.Expr.Eval(in, jsonata.Env{})
		if err != nil {
			return nil, err
		}
		if v == jsonata.Undefined {
			return nil, fmt.Errorf("{{ %s }} has no value", p.Src)
		}
		if len(t.Parts) == 1 {
			return jsonata.ToGo(v), nil
		}
		fmt.Fprint(&b, jsonata.ToGo(v))
	}
	return b.String(), nil
}
