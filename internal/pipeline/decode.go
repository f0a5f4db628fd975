package pipeline

import (
	"fmt"
	"reflect"
	"strings"
)

// The structs of format.go are the one description of the file format. Their tags:
//
//	yaml:"key"       the key; "-" is no key
//	doc:"…"          one sentence for the reference page and editors
//	def:"…"          the default, in words
//	enum:"a|b"       the words it may be
//	req:"1"          it must be there
//	names:"a,b"      further names that templates below it may use
//
// A field Pos of type Pos receives the place of the mapping.

// own is a type with a form of its own.
type own interface {
	decodeYAML(d *decoder, n *node)
	schema(g *schemas) map[string]any
}

type decoder struct {
	src       *source
	faults    Faults
	templates []*Template
	names     []string // further names of templates at the place that is being read
	options   *Options
}

func (d *decoder) fault(pos Pos, hint, format string, args ...any) {
	d.faults = append(d.faults, Fault{Pos: pos, Message: fmt.Sprintf(format, args...), Hint: hint, Excerpt: d.src.line(pos.Line)})
}

func (d *decoder) warn(pos Pos, hint, format string, args ...any) {
	d.fault(pos, hint, format, args...)
	d.faults[len(d.faults)-1].Warning = true
}

// decode reads n into v, which can be set.
func (d *decoder) decode(n *node, v reflect.Value) {
	if o, ok := v.Addr().Interface().(own); ok {
		o.decodeYAML(d, n)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, p.Elem())
		v.Set(p)
	case reflect.Struct:
		d.decodeStruct(n, v)
	case reflect.String:
		if n.kind != scalarNode {
			d.want(n, "a text")
			return
		}
		v.SetString(n.text)
	case reflect.Bool:
		b, ok := n.value.(bool)
		if !ok {
			d.want(n, "true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, ok := n.value.(int64)
		if !ok {
			d.want(n, "a whole number")
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		switch x := n.value.(type) {
		case int64:
			v.SetFloat(float64(x))
		case float64:
			v.SetFloat(x)
		default:
			d.want(n, "a number")
		}
	case reflect.Slice:
		if n.kind != listNode {
			d.want(n, "a list")
			return
		}
		s := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
		for i, item := range n.items {
			d.decode(item, s.Index(i))
		}
		v.Set(s)
	default:
		panic("pipeline: no YAML form for " + v.Type().String())
	}
}

func (d *decoder) want(n *node, what string) {
	got := n.kind.String()
	if n.kind == scalarNode {
		got = fmt.Sprintf("%q", clip(n.text))
	}
	d.fault(n.pos, "", "%s is wanted here, not %s", what, got)
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func (d *decoder) decodeStruct(n *node, v reflect.Value) {
	t := v.Type()
	if n.kind == nullNode {
		// `notify:` alone is an empty mapping.
		n = &node{kind: mapNode, pos: n.pos}
	}
	if n.kind != mapNode {
		d.want(n, "a mapping with the keys "+strings.Join(keysOf(t), ", "))
		return
	}
	if f := v.FieldByName("Pos"); f.IsValid() && f.Type() == reflect.TypeFor[Pos]() {
		f.Set(reflect.ValueOf(n.pos))
	}
	for _, p := range n.pairs {
		i, ok := fieldByKey(t, p.key)
		if !ok {
			d.fault(p.pos, didYouMean(p.key, keysOf(t)), "unknown key %q", p.key)
			continue
		}
		d.decodeField(p, t.Field(i), v.Field(i))
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("req") != "" && n.get(f.Tag.Get("yaml")) == nil {
			d.fault(n.pos, f.Tag.Get("doc"), "key %q is missing", f.Tag.Get("yaml"))
		}
	}
}

func (d *decoder) decodeField(p pair, f reflect.StructField, v reflect.Value) {
	saved := d.names
	if names := f.Tag.Get("names"); names != "" {
		d.names = append(d.names[:len(d.names):len(d.names)], strings.Split(names, ",")...)
	}
	faults := len(d.faults)
	d.decode(p.node, v)
	d.names = saved
	words := f.Tag.Get("enum")
	if words == "" || len(d.faults) > faults {
		return
	}
	word := ""
	switch x := v.Interface().(type) {
	case string:
		word = x
	case Str:
		word = x.Value
	}
	all := strings.Split(words, "|")
	for _, w := range all {
		if w == word {
			return
		}
	}
	hint := "one of " + strings.Join(all, ", ")
	if n := Nearest(word, all); n != "" {
		hint = fmt.Sprintf("did you mean %q? it is %s", n, hint)
	}
	d.fault(p.node.pos, hint, "%q is no %s", word, p.key)
}

func fieldByKey(t reflect.Type, key string) (int, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key && key != "-" {
			return i, true
		}
	}
	return 0, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if k := t.Field(i).Tag.Get("yaml"); k != "" && k != "-" {
			keys = append(keys, k)
		}
	}
	return keys
}

// Map is a mapping whose keys are the user's own words, in the order of the file.
type Map[T any] []Entry[T]

// Entry is a key of a Map with its value.
type Entry[T any] struct {
	Key   string
	Pos   Pos // of the key
	Value T
}

// Get returns the value of key.
func (m Map[T]) Get(key string) (T, bool) {
	for _, e := range m {
		if e.Key == key {
			return e.Value, true
		}
	}
	var zero T
	return zero, false
}

// Keys are the keys in the order of the file.
func (m Map[T]) Keys() []string {
	keys := make([]string, len(m))
	for i := range m {
		keys[i] = m[i].Key
	}
	return keys
}

func (m *Map[T]) decodeYAML(d *decoder, n *node) {
	if n.kind == nullNode {
		return
	}
	if n.kind != mapNode {
		d.want(n, "a mapping")
		return
	}
	for _, p := range n.pairs {
		e := Entry[T]{Key: p.key, Pos: p.pos}
		d.decode(p.node, reflect.ValueOf(&e.Value).Elem())
		*m = append(*m, e)
	}
}

func (m *Map[T]) schema(g *schemas) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": g.of(reflect.TypeFor[T]())}
}
