package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/jsonata"
)

// late is a value of a query: a constant, or what is worked out of a row or a response.
type late struct {
	constant any
	pieces   []piece
	list     []late
	fields   []field
	isLate   bool // pieces somewhere in it
}

type field struct {
	name  string
	value late
}

type piece struct {
	text string
	expr *jsonata.Expr
	path []string // of an expression that is nothing but a path from response
}

var plainPath = regexp.MustCompile("^response((\\.[A-Za-z_][A-Za-z0-9_]*|\\.`[^`]+`)*)$")

// compile reads a value as flow.RESTArgs has it.
func compile(v any, key string) (late, error) {
	switch v := v.(type) {
	case []any:
		l := late{list: make([]late, len(v))}
		for i := range v {
			var err error
			if l.list[i], err = compile(v[i], key); err != nil {
				return l, err
			}
			l.isLate = l.isLate || l.list[i].isLate
		}
		return l, nil
	case map[string]any:
		if pieces, ok := v["{{"]; ok && len(v) == 1 {
			return compilePieces(pieces, key)
		}
		l := late{fields: []field{}}
		for _, k := range sortedKeys(v) {
			f, err := compile(v[k], key+"."+k)
			if err != nil {
				return l, err
			}
			l.fields = append(l.fields, field{k, f})
			l.isLate = l.isLate || f.isLate
		}
		return l, nil
	}
	return late{constant: v}, nil
}

func compilePieces(v any, key string) (late, error) {
	fault := func(err error) (late, error) {
		return late{}, &flow.Error{Op: "read the arguments, " + key, Kind: flow.Invalid, Err: err}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fault(err)
	}
	var pieces []flow.Piece
	if err := json.Unmarshal(text, &pieces); err != nil {
		return fault(err)
	}
	l := late{isLate: true}
	for _, p := range pieces {
		q := piece{text: p.Text}
		if p.Expr != "" {
			if q.expr, err = jsonata.Parse(p.Expr); err != nil {
				return fault(err)
			}
			if m := plainPath.FindStringSubmatch(p.Expr); m != nil {
				q.path = splitPath(m[1])
			}
		}
		l.pieces = append(l.pieces, q)
	}
	return l, nil
}

func splitPath(s string) []string {
	out := []string{}
	for s != "" {
		s = s[1:] // the dot
		if s[0] == '`' {
			end := strings.IndexByte(s[1:], '`') + 1
			out, s = append(out, s[1:end]), s[end+1:]
			continue
		}
		end := strings.IndexByte(s, '.')
		if end < 0 {
			end = len(s)
		}
		out, s = append(out, s[:end]), s[end:]
	}
	return out
}

// plain is the path that the value is nothing but, from the response.
func (l late) plain() ([]string, bool) {
	if len(l.pieces) != 1 || l.pieces[0].path == nil {
		return nil, false
	}
	return l.pieces[0].path, true
}

// there tells whether the query gives the value at all.
func (l late) there() bool {
	return l.constant != nil || l.pieces != nil || l.list != nil || l.fields != nil
}

// scope is what late values may mention.
type scope struct {
	names    map[string]any // of the run
	row      any            // a value of jsonata's; nil where there are no rows
	header   http.Header
	response func() (any, error) // nil before there is one
	records  func() (any, error)
	page     *place
}

// input is the object that an expression is evaluated over, with what it needs of the scope.
func (s *scope) input(e *jsonata.Expr) (any, error) {
	o := jsonata.NewObject()
	for k, v := range s.names {
		x, err := jsonata.FromGo(v)
		if err != nil {
			return nil, err
		}
		o.Set(k, x)
	}
	if s.row != nil {
		o.Set("row", s.row)
	}
	if s.page != nil {
		o.Set("page", jsonata.NewObject("number", float64(s.page.N), "seen", float64(s.page.Seen)))
	}
	if s.header != nil && e.MentionsField("headers") {
		h := jsonata.NewObject()
		for k, v := range s.header {
			h.Set(strings.ToLower(k), strings.Join(v, ", "))
		}
		o.Set("headers", h)
	}
	for name, get := range map[string]func() (any, error){"response": s.response, "records": s.records} {
		if get == nil || !e.MentionsField(name) {
			continue
		}
		v, err := get()
		if err != nil {
			return nil, err
		}
		if v != jsonata.Undefined {
			o.Set(name, v)
		}
	}
	return o, nil
}

// eval gives a value of jsonata's, or Undefined.
func (s *scope) eval(e *jsonata.Expr) (any, error) {
	in, err := s.input(e)
	if err != nil {
		return nil, err
	}
	v, err := e.Eval(in, jsonata.Env{})
	if err != nil {
		return nil, &flow.Error{Op: "evaluate {{ " + e.String() + " }}", Kind: flow.Invalid, Err: err}
	}
	return v, nil
}

// value works a value out, in plain Go: a mapping keeps the order of its keys as json.RawMessage.
func (l late) value(s *scope) (any, error) {
	switch {
	case l.list != nil:
		out := make([]any, len(l.list))
		for i := range l.list {
			var err error
			if out[i], err = l.list[i].value(s); err != nil {
				return nil, err
			}
		}
		return out, nil
	case l.fields != nil:
		out := map[string]any{}
		for _, f := range l.fields {
			v, err := f.value.value(s)
			if err != nil {
				return nil, err
			}
			out[f.name] = v
		}
		return out, nil
	case l.pieces == nil:
		return l.constant, nil
	case len(l.pieces) == 1 && l.pieces[0].expr != nil:
		v, err := s.eval(l.pieces[0].expr)
		if err != nil || v == jsonata.Undefined {
			return nil, err
		}
		return jsonata.ToGo(v), nil
	}
	return l.text(s)
}

// text works a value out as a text. What has no value has no text either: an error.
func (l late) text(s *scope) (string, error) {
	var b strings.Builder
	if l.pieces == nil {
		v, err := l.value(s)
		if err != nil {
			return "", err
		}
		return textOf(v), nil
	}
	for _, p := range l.pieces {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := s.eval(p.expr)
		if err != nil {
			return "", err
		}
		if v == jsonata.Undefined || v == nil {
			return "", &flow.Error{Op: "evaluate {{ " + p.expr.String() + " }}", Kind: flow.Invalid, Err: errors.New("it has no value")}
		}
		b.WriteString(textOf(jsonata.ToGo(v)))
	}
	return b.String(), nil
}

// textOf is a value as it stands in an address or a header.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return jsonata.FormatNumber(v)
	case map[string]any, []any:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err == nil {
			return strings.TrimSpace(b.String())
		}
	}
	return fmt.Sprint(v)
}
