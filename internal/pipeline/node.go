package pipeline

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type nodeKind int

const (
	nullNode nodeKind = iota
	scalarNode
	mapNode
	listNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "a value", "a mapping", "a list"}[k]
}

// node is a YAML value with its place; aliases and merge keys are resolved.
type node struct {
	kind  nodeKind
	pos   Pos
	text  string // a scalar as text, unquoted
	value any    // a scalar as bool, int64, float64 or string
	plain bool   // a scalar without quotes
	block bool   // a scalar on lines of its own, after | or >
	pairs []pair
	items []*node
}

type pair struct {
	key  string
	pos  Pos
	node *node
}

func (n *node) get(key string) *node {
	for _, p := range n.pairs {
		if p.key == key {
			return p.node
		}
	}
	return nil
}

// at is the place of the byte at offset of a scalar's text.
func (n *node) at(src *source, offset int) Pos {
	p := n.pos
	if offset < 0 || offset > len(n.text) {
		return p
	}
	before := n.text[:offset]
	if n.block {
		line := n.pos.Line + 1 + strings.Count(before, "\n")
		col := offset - strings.LastIndexByte(before, '\n')
		return Pos{p.File, line, col + src.indent(n.pos.Line)}
	}
	line := src.line(p.Line)
	if p.Col >= 1 && p.Col <= len(line) {
		if i := strings.Index(line[p.Col-1:], firstLine(n.text)); i >= 0 && !strings.Contains(before, "\n") {
			p.Col += i + offset
		}
	}
	return p
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// source is a file of the project.
type source struct {
	name  string
	lines []string
}

func newSource(name string, text []byte) *source {
	return &source{name, strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")}
}

func (s *source) line(n int) string {
	if s == nil || n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// indent is the width of the white space before the first line with text below line n.
func (s *source) indent(n int) int {
	for i := n; i < len(s.lines); i++ {
		if t := strings.TrimLeft(s.lines[i], " "); t != "" {
			return len(s.lines[i]) - len(t)
		}
	}
	return 0
}

// parseYAML reads one document. A fault of the YAML itself is the only one that is then known.
func parseYAML(src *source, text []byte) (*node, *Fault) {
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, yamlFault(src, err)
	}
	docs := f.Docs[:0]
	for _, d := range f.Docs {
		if d.Body != nil {
			docs = append(docs, d)
		}
	}
	if len(docs) == 0 {
		return &node{kind: nullNode, pos: Pos{src.name, 1, 1}}, nil
	}
	if len(docs) > 1 {
		p := docs[1].Body.GetToken().Position
		return nil, &Fault{Pos: Pos{src.name, p.Line, p.Column}, Message: "a second document begins here", Hint: "a file holds one document: take the --- away", Excerpt: src.line(p.Line)}
	}
	c := converter{src: src, anchors: map[string]*node{}}
	n := c.convert(docs[0].Body)
	if c.fault != nil {
		return nil, c.fault
	}
	return n, nil
}

func yamlFault(src *source, err error) *Fault {
	f := &Fault{Pos: Pos{File: src.name}, Message: "the YAML cannot be read: " + firstLine(err.Error())}
	var e interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &e) && e.GetToken() != nil {
		p := e.GetToken().Position
		f.Pos = Pos{src.name, p.Line, p.Column}
		f.Message = "the YAML cannot be read: " + e.GetMessage()
		f.Excerpt = src.line(p.Line)
		if strings.Contains(f.Excerpt, "{{") {
			f.Hint = `a text that begins with {{ wants quotes: "{{ … }}"`
		}
	}
	return f
}

type converter struct {
	src     *source
	anchors map[string]*node
	depth   int
	fault   *Fault
}

func (c *converter) pos(n ast.Node) Pos {
	t := n.GetToken()
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		t = m.Values[0].Key.GetToken()
	}
	if t == nil || t.Position == nil {
		return Pos{File: c.src.name, Line: 1, Col: 1}
	}
	return Pos{c.src.name, t.Position.Line, t.Position.Column}
}

func (c *converter) stop(pos Pos, message string) *node {
	if c.fault == nil {
		c.fault = &Fault{Pos: pos, Message: message, Excerpt: c.src.line(pos.Line)}
	}
	return &node{pos: pos}
}

func (c *converter) convert(a ast.Node) *node {
	if c.depth++; c.depth > 200 {
		return c.stop(c.pos(a), "the YAML is nested too deep")
	}
	defer func() { c.depth-- }()
	pos := c.pos(a)
	scalar := func(v any) *node {
		t := a.GetToken()
		return &node{kind: scalarNode, pos: pos, text: t.Value, value: v, plain: true}
	}
	switch a := a.(type) {
	case *ast.NullNode:
		return &node{kind: nullNode, pos: pos}
	case *ast.BoolNode:
		return scalar(a.Value)
	case *ast.IntegerNode:
		switch v := a.Value.(type) {
		case int64:
			return scalar(v)
		case uint64:
			if v <= math.MaxInt64 {
				return scalar(int64(v))
			}
			return scalar(float64(v))
		}
		return scalar(a.GetToken().Value)
	case *ast.FloatNode:
		return scalar(a.Value)
	case *ast.InfinityNode, *ast.NanNode:
		return scalar(a.GetToken().Value)
	case *ast.StringNode:
		plain := a.Token.Type != token.SingleQuoteType && a.Token.Type != token.DoubleQuoteType
		n := &node{kind: scalarNode, pos: pos, text: a.Value, value: a.Value, plain: plain}
		if plain {
			if v, err := strconv.ParseFloat(a.Value, 64); err == nil && strings.ContainsAny(a.Value, "0123456789") && !strings.ContainsAny(a.Value, "xXpP_") {
				n.value = v // 1e3 is a number of YAML 1.2
			}
		}
		return n
	case *ast.LiteralNode:
		s := a.Value.Value
		return &node{kind: scalarNode, pos: pos, text: s, value: s, block: true}
	case *ast.TagNode:
		n := c.convert(a.Value)
		if a.Start.Value == "!!str" && n.kind == scalarNode {
			n.value = n.text
		}
		return n
	case *ast.AnchorNode:
		n := c.convert(a.Value)
		c.anchors[a.Name.GetToken().Value] = n
		return n
	case *ast.AliasNode:
		name := a.Value.GetToken().Value
		n, ok := c.anchors[name]
		if !ok {
			return c.stop(pos, "alias *"+name+" has no anchor before it")
		}
		return n
	case *ast.SequenceNode:
		n := &node{kind: listNode, pos: pos}
		for _, v := range a.Values {
			n.items = append(n.items, c.convert(v))
		}
		return n
	case *ast.MappingNode:
		return c.mapping(a, pos)
	case *ast.MappingValueNode:
		return c.mapping(&ast.MappingNode{BaseNode: a.BaseNode, Values: []*ast.MappingValueNode{a}, Start: a.Start}, c.pos(a.Key))
	case *ast.CommentGroupNode:
		return &node{kind: nullNode, pos: pos}
	}
	return c.stop(pos, "this kind of YAML is not read here")
}

func (c *converter) mapping(a *ast.MappingNode, pos Pos) *node {
	n := &node{kind: mapNode, pos: pos}
	own := map[string]bool{}
	var merged []pair
	for _, v := range a.Values {
		if v.Key.IsMergeKey() {
			m := c.convert(v.Value)
			from := []*node{m}
			if m.kind == listNode {
				from = m.items
			}
			for _, f := range from {
				merged = append(merged, f.pairs...)
			}
			continue
		}
		k := c.convert(v.Key)
		if k.kind != scalarNode {
			c.stop(k.pos, "a key is a word")
			continue
		}
		own[k.text] = true
		n.pairs = append(n.pairs, pair{k.text, k.pos, c.convert(v.Value)})
	}
	for _, p := range merged {
		if !own[p.key] {
			own[p.key] = true
			n.pairs = append(n.pairs, p)
		}
	}
	return n
}
