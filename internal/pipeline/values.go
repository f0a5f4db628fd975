package pipeline

import (
	"regexp"
	"strings"
)

// Param is a named value of one run.
type Param struct {
	Pos     Pos
	Type    string // string, integer, number, boolean, date, list, object; empty: that of the default
	Default Any
	Has     bool // there is a default
	Enum    []any
}

type paramForm struct {
	Type    string `yaml:"type" enum:"string|integer|number|boolean|date|list|object" doc:"The type."`
	Default *Any   `yaml:"default" doc:"The value where none is given."`
	Enum    []Any  `yaml:"enum" doc:"The values it may have."`
}

func (p *Param) decodeYAML(d *decoder, n *node) {
	p.Pos = n.pos
	form := paramForm{Default: &Any{}}
	if n.kind == mapNode && (n.get("type") != nil || n.get("default") != nil || n.get("enum") != nil) {
		form.Default = nil
		d.decode(n, valueOf(&form))
		p.Type = form.Type
		for _, e := range form.Enum {
			c, ok := e.Constant()
			if !ok {
				d.fault(e.Pos, "", "an enum's values are constants")
			}
			p.Enum = append(p.Enum, c)
		}
	} else {
		form.Default.decodeYAML(d, n)
	}
	if form.Default == nil {
		return
	}
	// The templates of a default may mention variables only; they are resolved at compile time.
	p.Default, p.Has = *form.Default, true
}

func (p *Param) schema(g *schemas) map[string]any {
	return map[string]any{"anyOf": []any{g.of(typeOf[paramForm]()), map[string]any{}}}
}

// Each is what a step runs over.
type Each struct {
	Pos    Pos
	Items  []Any     // a literal list
	Expr   *Template // an expression that gives a list
	Step   string    // with Column: the distinct values of a dataset's column
	Column string
}

var dotted = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$`)

func (e *Each) decodeYAML(d *decoder, n *node) {
	e.Pos = n.pos
	switch {
	case n.kind == listNode:
		for _, i := range n.items {
			var a Any
			a.decodeYAML(d, i)
			e.Items = append(e.Items, a)
		}
		if len(e.Items) == 0 || len(e.Items) > MaxItems {
			d.fault(n.pos, "", "each has %d items: 1 to %d are wanted", len(e.Items), MaxItems)
		}
	case n.kind == scalarNode && strings.HasPrefix(strings.TrimSpace(n.text), "{{"):
		e.Expr = new(Template)
		e.Expr.decodeYAML(d, n)
		if len(e.Expr.Parts) != 1 {
			d.fault(n.pos, "", "one {{ … }} that gives a list is wanted, and no text beside it")
		}
	case n.kind == scalarNode && dotted.MatchString(n.text):
		e.Step, e.Column, _ = strings.Cut(n.text, ".")
	default:
		d.want(n, "a list, a {{ params.NAME }}, or STEP.COLUMN")
	}
}

// MaxItems is how many items an each may have.
const MaxItems = 1000

func (e *Each) schema(*schemas) map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"type": "array", "minItems": 1, "maxItems": MaxItems}, map[string]any{"type": "string"}}}
}

func (c *Connection) decodeYAML(d *decoder, n *node) {
	c.Pos = n.pos
	if n.kind != mapNode {
		d.want(n, "a mapping with a type")
		return
	}
	t := n.get("type")
	if t == nil {
		d.fault(n.pos, "", `key "type" is missing`)
	} else {
		c.Type = t.text
	}
	rest := &node{kind: mapNode, pos: n.pos}
	for _, p := range n.pairs {
		if p.key != "type" {
			rest.pairs = append(rest.pairs, p)
		}
	}
	c.Keys.decodeYAML(d, rest)
}

func (c *Connection) schema(g *schemas) map[string]any { return g.connections() }

func (s *Store) decodeYAML(d *decoder, n *node) {
	s.Pos = n.pos
	if n.kind == scalarNode {
		s.URL = n.text
		return
	}
	var form struct {
		URL    string `yaml:"url" req:"1" doc:"A folder or an s3:// prefix."`
		KMSKey string `yaml:"kms_key" doc:"The KMS key for what is written."`
	}
	d.decode(n, valueOf(&form))
	s.URL, s.KMSKey = form.URL, form.KMSKey
}

func (s *Store) schema(*schemas) map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{"anyOf": []any{text, map[string]any{"type": "object", "additionalProperties": false, "required": []any{"url"},
		"properties": map[string]any{"url": text, "kms_key": text}}}}
}

func (i *Instances) decodeYAML(d *decoder, n *node) {
	if n.kind == scalarNode {
		i.Pos, i.Type, i.Count = n.pos, n.text, 1
		return
	}
	type plain Instances
	i.Count = 1
	d.decode(n, valueOf((*plain)(i)))
}

func (i *Instances) schema(g *schemas) map[string]any {
	type plain Instances
	return map[string]any{"anyOf": []any{map[string]any{"type": "string"}, g.of(typeOf[plain]())}}
}

// name and word forms.
var (
	stepName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	bareWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
)

// IsConnection tells whether a from or to names a connection: a bare word is one, what has
// a slash, a dot, a colon or a template is a path or URI.
func IsConnection(s string) bool { return bareWord.MatchString(s) }
