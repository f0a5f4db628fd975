package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/sched"
)

// Str is a text that knows its place.
type Str struct {
	Value string
	Pos   Pos
}

func (s *Str) decodeYAML(d *decoder, n *node) {
	s.Pos = n.pos
	if n.kind != scalarNode {
		d.want(n, "a text")
		return
	}
	s.Value = n.text
}

func (s *Str) schema(*schemas) map[string]any { return map[string]any{"type": "string"} }

// Strs is one text or a list of them.
type Strs []Str

func (s *Strs) decodeYAML(d *decoder, n *node) {
	items := n.items
	if n.kind != listNode {
		items = []*node{n}
	}
	for _, i := range items {
		var x Str
		x.decodeYAML(d, i)
		*s = append(*s, x)
	}
}

func (s *Strs) schema(*schemas) map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{"anyOf": []any{text, map[string]any{"type": "array", "items": text}}}
}

// Values are the texts without their places.
func (s Strs) Values() []string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = s[i].Value
	}
	return out
}

// Duration is a length of time: 30s, 5m, 2h, 1d, 1h30m.
type Duration struct {
	time.Duration
	Pos Pos
}

var durationForm = regexp.MustCompile(`^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$`)

// ParseDuration reads days, hours, minutes and seconds: 1d, 2h, 1h30m, 90s.
func ParseDuration(s string) (time.Duration, error) {
	if s == "" || !durationForm.MatchString(s) {
		return 0, fmt.Errorf("%q is not a length of time: one like 30s, 5m, 2h, 1d or 1h30m is wanted", s)
	}
	rest, days := s, 0
	if before, after, ok := strings.Cut(s, "d"); ok {
		var err error
		if days, err = strconv.Atoi(before); err != nil || days > 36500 {
			return 0, fmt.Errorf("%q is too long", s)
		}
		rest = after
	}
	total := time.Duration(days) * 24 * time.Hour
	if rest != "" {
		t, err := time.ParseDuration(rest)
		if err != nil {
			return 0, fmt.Errorf("%q is too long", s)
		}
		total += t
	}
	return total, nil
}

func (x *Duration) decodeYAML(d *decoder, n *node) {
	x.Pos = n.pos
	if n.kind != scalarNode {
		d.want(n, "a length of time like 30s, 5m, 2h or 1d")
		return
	}
	var err error
	if x.Duration, err = ParseDuration(n.text); err != nil {
		d.fault(n.pos, "", "%s", err)
	}
}

func (x *Duration) schema(*schemas) map[string]any {
	return map[string]any{"type": "string", "pattern": durationForm.String(), "minLength": 2}
}

// Date is a day: 2017-11-01.
type Date struct {
	sched.Date
	Pos Pos
}

func (x *Date) decodeYAML(d *decoder, n *node) {
	x.Pos = n.pos
	var err error
	if x.Date, err = sched.ParseDate(n.text); err != nil {
		d.fault(n.pos, "", "%s", err)
	}
}

func (x *Date) schema(*schemas) map[string]any {
	return map[string]any{"type": "string", "pattern": `^\d{4}-\d{2}-\d{2}$`}
}

// Any is a YAML value of any form, whose texts may hold templates. Value is nil, bool,
// int64, float64, Template, []Any or Map[Any].
type Any struct {
	Value any
	Pos   Pos
}

func (a *Any) decodeYAML(d *decoder, n *node) {
	a.Pos = n.pos
	switch n.kind {
	case scalarNode:
		if _, ok := n.value.(string); ok {
			t := new(Template)
			t.decodeYAML(d, n)
			a.Value = t
			return
		}
		a.Value = n.value
	case listNode:
		list := make([]Any, len(n.items))
		for i := range n.items {
			list[i].decodeYAML(d, n.items[i])
		}
		a.Value = list
	case mapNode:
		m := Map[Any]{}
		m.decodeYAML(d, n)
		a.Value = m
	}
}

func (a *Any) schema(*schemas) map[string]any { return map[string]any{} }

// Constant returns the value where no template stands in it: nil, bool, int64, float64,
// string, []any or map[string]any.
func (a Any) Constant() (any, bool) {
	switch v := a.Value.(type) {
	case *Template:
		return v.Constant()
	case []Any:
		out := make([]any, len(v))
		for i := range v {
			c, ok := v[i].Constant()
			if !ok {
				return nil, false
			}
			out[i] = c
		}
		return out, true
	case Map[Any]:
		out := map[string]any{}
		for _, e := range v {
			c, ok := e.Value.Constant()
			if !ok {
				return nil, false
			}
			out[e.Key] = c
		}
		return out, true
	}
	return a.Value, true
}

// Limit is how many rejected rows a step bears: fail, keep, or {max: 10} or {max: 1%}.
type Limit struct {
	Mode    string // fail, keep, max
	Max     int64
	Percent float64
	Pos     Pos
}

func (l *Limit) decodeYAML(d *decoder, n *node) {
	l.Pos = n.pos
	if n.kind == scalarNode && (n.text == "fail" || n.text == "keep") {
		l.Mode = n.text
		return
	}
	m := n // a number or a share alone is { max: … }
	if n.kind != scalarNode {
		m = n.get("max")
	}
	if m == nil || n.kind == mapNode && len(n.pairs) != 1 || n.kind == scalarNode && !strings.ContainsAny(n.text, "0123456789") {
		d.want(n, "fail, keep, a number of rows, or a share like 1%")
		return
	}
	l.Mode = "max"
	if i, ok := m.value.(int64); ok && i >= 0 {
		l.Max = i
		return
	}
	p, err := strconv.ParseFloat(strings.TrimSuffix(m.text, "%"), 64)
	if err != nil || !strings.HasSuffix(m.text, "%") || p < 0 || p > 100 {
		d.want(m, "a number of rows, or a share like 1%")
		return
	}
	l.Percent = p
}

func (l *Limit) schema(*schemas) map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"enum": []any{"fail", "keep"}}, map[string]any{"type": "integer", "minimum": 0}, map[string]any{"type": "string", "pattern": `^[0-9.]+%$`},
		map[string]any{"type": "object", "additionalProperties": false, "required": []any{"max"}, "properties": map[string]any{
			"max": map[string]any{"anyOf": []any{map[string]any{"type": "integer", "minimum": 0}, map[string]any{"type": "string", "pattern": `^[0-9.]+%$`}}}}},
	}}
}

// Size is a number of bytes: 512MB, 4GB.
type Size struct {
	Bytes int64
	Text  string
	Pos   Pos
}

var sizeForm = regexp.MustCompile(`^(\d+(?:\.\d+)?)\s?(KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`)

func (s *Size) decodeYAML(d *decoder, n *node) {
	s.Pos, s.Text = n.pos, n.text
	m := sizeForm.FindStringSubmatch(n.text)
	if n.kind != scalarNode || m == nil {
		d.want(n, "a size like 512MB or 4GB")
		return
	}
	x, _ := strconv.ParseFloat(m[1], 64)
	base := 1000.0
	if strings.Contains(m[2], "i") {
		base = 1024
	}
	for range 1 + strings.IndexByte("KMGT", m[2][0]) {
		x *= base
	}
	s.Bytes = int64(x)
}

func (s *Size) schema(*schemas) map[string]any {
	return map[string]any{"type": "string", "pattern": sizeForm.String()}
}

// Predicate is the condition of a SQL where.
type Predicate struct{ SQL }

func (p *Predicate) decodeYAML(d *decoder, n *node) {
	p.predicate = true
	p.SQL.decodeYAML(d, n)
}

func (p *Predicate) schema(g *schemas) map[string]any { return p.SQL.schema(g) }
