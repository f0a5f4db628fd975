package plan

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/pipeline"
)

// Templates become JSONata over the variable run, which the first state assigns. What is
// known when the machine is compiled (variables, the target, the pipeline) is written in.

// scope is where an expression stands in the machine.
type scope int

const (
	outer  scope = iota // the state's input is what the steps before left, by step
	inItem              // within an each: the input is {row, steps}
)

// env is the JSONata text of the object whose fields a template's names are.
func (c *compiler) env(s scope, t *pipeline.Template) string {
	switch {
	case s == inItem && t.Mentions("output"):
		return "$merge([$run,$states.input,{'output':" + c.outputs + "}])"
	case s == inItem:
		return "$merge([$run,$states.input])"
	case t.Mentions("output"):
		return "$merge([$run,{'output':" + c.outputs + ",'steps':$states.input}])"
	case t.Mentions("steps"):
		return "$merge([$run,{'steps':$states.input}])"
	}
	return "$run"
}

// known returns the constant that an expression is at compile time.
func (c *compiler) known(p pipeline.Part) (any, bool) {
	switch name, ok := strings.CutPrefix(p.Src, "var."); {
	case ok && pipeline.IsConnection(name):
		v, has := c.vars[name]
		return v, has
	case p.Src == "target":
		return c.target, true
	case p.Src == "pipeline":
		return c.pl.Name.Value, true
	}
	return nil, false
}

// fold joins the constant pieces of a template.
func (c *compiler) fold(t *pipeline.Template) []pipeline.Part {
	var out []pipeline.Part
	for _, p := range t.Parts {
		if p.Expr != nil {
			v, ok := c.known(p)
			if !ok || len(t.Parts) == 1 && !isText(v) {
				out = append(out, p)
				continue
			}
			p = pipeline.Part{Text: fmt.Sprint(v)}
		}
		if n := len(out); n > 0 && out[n-1].Expr == nil {
			out[n-1].Text += p.Text
		} else {
			out = append(out, p)
		}
	}
	return out
}

func isText(v any) bool { _, ok := v.(string); return ok }

// constant returns the template's text where it is known at compile time.
func (c *compiler) constant(t *pipeline.Template) (string, bool) {
	parts := c.fold(t)
	switch {
	case len(parts) == 0:
		return "", true
	case len(parts) == 1 && parts[0].Expr == nil:
		return parts[0].Text, true
	}
	return "", false
}

// value is a template as it stands in a machine: a constant, or {% … %}. A template that is
// one expression alone keeps the type of its value.
func (c *compiler) value(t *pipeline.Template, s scope) any {
	parts := c.fold(t)
	if len(parts) == 1 && parts[0].Expr != nil {
		if v, ok := c.known(parts[0]); ok {
			return v
		}
	}
	if text, ok := c.constant(t); ok {
		if strings.HasPrefix(text, "{%") {
			return wrap(quote(text))
		}
		return text
	}
	return wrap(c.jsonata(t, s))
}

// text is like value, but always gives a text.
func (c *compiler) text(t *pipeline.Template, s scope) any {
	v := c.value(t, s)
	if x, ok := v.(string); ok {
		if parts := c.fold(t); len(parts) == 1 && parts[0].Expr != nil && strings.HasPrefix(x, "{%") {
			return wrap("$string(" + c.jsonata(t, s) + ")")
		}
		return x
	}
	return fmt.Sprint(v)
}

func wrap(expr string) string { return "{% " + expr + " %}" }

// jsonata is a template as a JSONata expression.
func (c *compiler) jsonata(t *pipeline.Template, s scope) string {
	var out []string
	parts := c.fold(t)
	for _, p := range parts {
		if p.Expr == nil {
			out = append(out, quote(p.Text))
			continue
		}
		e := c.env(s, t) + ".(" + p.Src + ")"
		if len(parts) > 1 && !plainName(p) {
			// & takes nothing for an empty text: a name that is not there must not vanish.
			e = "($v:=" + e + ";$exists($v)?$string($v):$error(" + quote("{{ "+p.Src+" }} has no value") + "))"
		}
		out = append(out, e)
	}
	return strings.Join(out, " & ")
}

// plainName tells whether the expression is a name that every run has, as a text.
func plainName(p pipeline.Part) bool {
	for _, n := range append([]string{"run_id"}, pipeline.Times...) {
		if p.Src == n {
			return true
		}
	}
	return false
}

// quote writes a text as JSONata does.
func quote(s string) string {
	if !strings.ContainsAny(s, "'\\") && strings.IndexFunc(s, func(r rune) bool { return r < ' ' }) < 0 {
		return "'" + s + "'"
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string
	}
	return string(b)
}

// any is a YAML value in which templates stand.
func (c *compiler) any(a pipeline.Any, s scope) any {
	switch v := a.Value.(type) {
	case *pipeline.Template:
		return c.value(v, s)
	case []pipeline.Any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = c.any(v[i], s)
		}
		return out
	case pipeline.Map[pipeline.Any]:
		o := object{}
		for _, e := range v {
			o.put(e.Key, c.any(e.Value, s))
		}
		return o
	}
	return a.Value
}
