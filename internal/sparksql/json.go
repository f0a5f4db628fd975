package sparksql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// jsonValue is a JSON value with its members in order and numbers as written.
type jsonValue struct {
	kind    byte // o a s n b 0
	keys    []string
	items   []jsonValue
	text    string
	present bool
}

// parseJSON reads one JSON text as Jackson does, with nothing behind it.
func parseJSON(s string) (jsonValue, bool) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	v, err := decodeJSON(d, 0)
	if err != nil {
		return v, false
	}
	if _, err := d.Token(); err != io.EOF {
		return v, false
	}
	return v, true
}

func decodeJSON(d *json.Decoder, depth int) (jsonValue, error) {
	if depth > 500 {
		return jsonValue{}, fmt.Errorf("nested too deep")
	}
	t, err := d.Token()
	if err != nil {
		return jsonValue{}, err
	}
	switch t := t.(type) {
	case json.Delim:
		v := jsonValue{kind: 'o', present: true}
		if t == '[' {
			v.kind = 'a'
		}
		for d.More() {
			if v.kind == 'o' {
				k, err := d.Token()
				if err != nil {
					return v, err
				}
				v.keys = append(v.keys, k.(string))
			}
			x, err := decodeJSON(d, depth+1)
			if err != nil {
				return v, err
			}
			v.items = append(v.items, x)
		}
		_, err := d.Token()
		return v, err
	case string:
		return jsonValue{kind: 's', text: t, present: true}, nil
	case json.Number:
		return jsonValue{kind: 'n', text: t.String(), present: true}, nil
	case bool:
		return jsonValue{kind: 'b', text: strconv.FormatBool(t), present: true}, nil
	}
	return jsonValue{kind: '0', text: "null", present: true}, nil
}

func (v jsonValue) write(b *bytes.Buffer) {
	switch v.kind {
	case 'o', 'a':
		open, end := byte('{'), byte('}')
		if v.kind == 'a' {
			open, end = '[', ']'
		}
		b.WriteByte(open)
		for i, x := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			if v.kind == 'o' {
				b.WriteString(jsonQuote(v.keys[i]) + ":")
			}
			x.write(b)
		}
		b.WriteByte(end)
	case 's':
		b.WriteString(jsonQuote(v.text))
	case 'n':
		b.WriteString(jsonNumber(v.text))
	default:
		b.WriteString(v.text)
	}
}

// jsonNumber writes a number as Jackson copies it: whole ones as written, others as doubles.
func jsonNumber(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		return s
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	return javaDouble(f, 64)
}

// scalarText is the value as get_json_object and json_tuple give it.
func (v jsonValue) scalarText() any {
	switch v.kind {
	case '0':
		return nil
	case 's':
		return v.text
	}
	var b bytes.Buffer
	v.write(&b)
	return b.String()
}

func (v jsonValue) member(k string) (jsonValue, bool) {
	for i, n := range v.keys {
		if n == k {
			return v.items[i], true
		}
	}
	return jsonValue{}, false
}

type jsonStep struct {
	name  string
	index int // -1: a name; -2: every element
}

// parseJSONPath reads $.a['b'][0][*].
func parseJSONPath(p string) ([]jsonStep, bool) {
	if !strings.HasPrefix(p, "$") {
		return nil, false
	}
	p = p[1:]
	var out []jsonStep
	for p != "" {
		switch {
		case p[0] == '.':
			end := strings.IndexAny(p[1:], ".[")
			if end < 0 {
				end = len(p) - 1
			}
			n := p[1 : 1+end]
			if n == "" || n == "*" {
				return nil, false
			}
			out = append(out, jsonStep{name: n, index: -1})
			p = p[1+end:]
		case strings.HasPrefix(p, "['"):
			end := strings.Index(p, "']")
			if end < 2 {
				return nil, false
			}
			out = append(out, jsonStep{name: p[2:end], index: -1})
			p = p[end+2:]
		case p[0] == '[':
			end := strings.IndexByte(p, ']')
			if end < 1 {
				return nil, false
			}
			if p[1:end] == "*" {
				out = append(out, jsonStep{index: -2})
			} else if n, err := strconv.Atoi(p[1:end]); err == nil && n >= 0 {
				out = append(out, jsonStep{index: n})
			} else {
				return nil, false
			}
			p = p[end+1:]
		default:
			return nil, false
		}
	}
	return out, true
}

func jsonGet(a []any) (any, error) {
	steps, ok := parseJSONPath(a[1].(string))
	if !ok {
		if strings.Contains(a[1].(string), "*") {
			return nil, fmt.Errorf("get_json_object: the path %q is not translated", a[1])
		}
		return nil, nil
	}
	v, ok := parseJSON(a[0].(string))
	if !ok {
		// Spark reads texts as far as it must, so that a broken end may not matter to it.
		if plausibleJSON(a[0].(string)) {
			return nil, fmt.Errorf("get_json_object: broken JSON %q", clip(a[0].(string)))
		}
		return nil, nil
	}
	stars := 0
	for i, s := range steps {
		if s.index == -2 {
			stars++
			if stars > 1 {
				return nil, fmt.Errorf("get_json_object: more than one [*] in %q", a[1])
			}
			if v.kind != 'a' {
				return nil, nil
			}
			return jsonGetAll(v.items, steps[i+1:], a[1].(string))
		}
		if s.index >= 0 {
			if v.kind != 'a' || s.index >= len(v.items) {
				return nil, nil
			}
			v = v.items[s.index]
			continue
		}
		if v.kind != 'o' {
			return nil, nil
		}
		if v, ok = v.member(s.name); !ok {
			return nil, nil
		}
	}
	return v.scalarText(), nil
}

// jsonGetAll gathers what [*] finds: several values make an array, one stands alone.
func jsonGetAll(items []jsonValue, rest []jsonStep, path string) (any, error) {
	var found []jsonValue
	for _, x := range items {
		ok := true
		for _, s := range rest {
			switch {
			case s.index == -2:
				return nil, fmt.Errorf("get_json_object: more than one [*] in %q", path)
			case s.index >= 0:
				ok = x.kind == 'a' && s.index < len(x.items)
				if ok {
					x = x.items[s.index]
				}
			default:
				x, ok = x.member(s.name)
			}
			if !ok {
				break
			}
		}
		if ok {
			found = append(found, x)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		var b bytes.Buffer
		found[0].write(&b)
		return b.String(), nil
	}
	var b bytes.Buffer
	jsonValue{kind: 'a', items: found}.write(&b)
	return b.String(), nil
}

// plausibleJSON says whether a broken text begins like an object or an array.
func plausibleJSON(s string) bool {
	s = strings.TrimSpace(s)
	return s != "" && (s[0] == '{' || s[0] == '[')
}

func jsonNatives() []Native {
	keysOf := native("spark_json_keys", "s", String, func(a []any) (any, error) {
		v, ok := parseJSON(a[0].(string))
		if !ok || v.kind != 'o' {
			return nil, nil
		}
		out := make([]any, len(v.keys))
		for i, k := range v.keys {
			out[i] = k
		}
		return out, nil
	})
	keysOf.Result = arrayOf(simple(String))
	return []Native{
		native("spark_json_get", "ss", String, jsonGet),
		native("spark_json_field", "ss", String, func(a []any) (any, error) {
			v, ok := parseJSON(a[0].(string))
			if !ok {
				if plausibleJSON(a[0].(string)) {
					return nil, fmt.Errorf("json_tuple: broken JSON %q", clip(a[0].(string)))
				}
				return nil, nil
			}
			x, ok := v.member(a[1].(string))
			if !ok {
				return nil, nil
			}
			return x.scalarText(), nil
		}),
		native("spark_json_length", "s", Int, func(a []any) (any, error) {
			v, ok := parseJSON(a[0].(string))
			if !ok || v.kind != 'a' {
				return nil, nil
			}
			return int32(len(v.items)), nil
		}),
		keysOf,
		native("spark_from_json", "ss", String, func(a []any) (any, error) {
			typ, err := ParseType(a[1].(string))
			if err != nil {
				return nil, err
			}
			return fromJSONText(a[0].(string), typ)
		}),
	}
}

// fromJSONText rewrites a JSON text so that each field of the type is there with a
// value of its type or null: what from_json makes of it without options.
func fromJSONText(s string, typ Type) (any, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	v, ok := parseJSON(s)
	if !ok {
		if plausibleJSON(s) {
			return nil, fmt.Errorf("from_json: broken JSON %q: what Spark keeps of it is not promised", clip(s))
		}
		v = jsonValue{kind: '0'}
		if typ.Kind != Struct {
			return nil, nil
		}
		v.kind = 'o'
	}
	if typ.Kind == Array && v.kind == 'o' || typ.Kind == Struct && v.kind == 'a' {
		return nil, fmt.Errorf("from_json: %s read as %s", clip(s), typ)
	}
	if v.kind == '0' {
		return nil, nil
	}
	if typ.Kind == Struct && v.kind != 'o' {
		v = jsonValue{kind: 'o'}
	}
	out, err := v.as(typ)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	out.write(&b)
	return b.String(), nil
}

func (v jsonValue) as(typ Type) (jsonValue, error) {
	null := jsonValue{kind: '0', text: "null"}
	odd := func() (jsonValue, error) {
		return null, fmt.Errorf("from_json: a value that is no %s: what Spark keeps of the row is not promised", typ)
	}
	if v.kind == '0' || v.kind == 0 {
		return null, nil
	}
	switch typ.Kind {
	case Struct:
		if v.kind != 'o' {
			return odd()
		}
		out := jsonValue{kind: 'o'}
		for _, f := range typ.Fields {
			m, _ := v.member(f.Name)
			x, err := m.as(f.Type)
			if err != nil {
				return x, err
			}
			out.keys, out.items = append(out.keys, f.Name), append(out.items, x)
		}
		return out, nil
	case Array:
		if v.kind != 'a' {
			return odd()
		}
		out := jsonValue{kind: 'a'}
		for _, i := range v.items {
			x, err := i.as(*typ.Elem)
			if err != nil {
				return x, err
			}
			out.items = append(out.items, x)
		}
		return out, nil
	case Int, Long:
		size := map[Kind]int{Int: 32, Long: 64}[typ.Kind]
		if _, err := strconv.ParseInt(v.text, 10, size); v.kind == 'n' && err == nil {
			return v, nil
		}
		return null, nil
	case Double:
		if v.kind == 'n' {
			return v, nil
		}
		return null, nil
	case Boolean:
		if v.kind == 'b' {
			return v, nil
		}
		return null, nil
	case Date:
		if d, ok := parseSparkDate(v.text); v.kind == 's' && ok && len(v.text) == 10 {
			return jsonValue{kind: 's', text: formatDate(d)}, nil
		}
		if v.kind == 's' {
			return odd()
		}
		return null, nil
	case String:
		if v.kind == 's' {
			return v, nil
		}
		var b bytes.Buffer
		v.write(&b)
		return jsonValue{kind: 's', text: b.String()}, nil
	}
	return null, nil
}
