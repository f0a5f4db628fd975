package rest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tidemill/tidemill/internal/flow"
)

// span is a part of a response that a plain path leads to.
type span struct {
	from, to int
	kind     jsontext.Kind // 0: there is nothing
	items    int64         // of an array
	odd      bool          // the path goes through an array: only jsonata knows what that gives
}

// trie holds the plain paths that are looked for in one pass.
type trie struct {
	take  []int // spans that end here
	below map[string]*trie
}

func (t *trie) add(path []string, i int) {
	for _, name := range path {
		if t.below == nil {
			t.below = map[string]*trie{}
		}
		if t.below[name] == nil {
			t.below[name] = &trie{}
		}
		t = t.below[name]
	}
	t.take = append(t.take, i)
}

func (t *trie) odd(out []span) {
	for _, b := range t.below {
		for _, i := range b.take {
			out[i].odd = true
		}
		b.odd(out)
	}
}

// scan finds the spans by tokens, without building values.
func scan(body []byte, t *trie, out []span) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	if err := scanValue(dec, body, t, out); err != nil {
		return brokenJSON(err)
	}
	if dec.PeekKind() != 0 {
		return brokenJSON(errors.New("text after the end of the value"))
	}
	return nil
}

func brokenJSON(err error) error {
	text := strings.TrimPrefix(err.Error(), "jsontext: ")
	return &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("the response is no JSON: %s", text), Hint: "say what it is with format: ndjson or csv"}
}

func scanValue(dec *jsontext.Decoder, body []byte, t *trie, out []span) error {
	if t == nil {
		return dec.SkipValue()
	}
	kind := dec.PeekKind()
	from := int(dec.InputOffset())
	for from < len(body) && (body[from] <= ' ' || body[from] == ',' || body[from] == ':') {
		from++
	}
	items := int64(0)
	switch {
	case kind == '[':
		t.odd(out)
		if len(t.take) == 0 {
			return dec.SkipValue()
		}
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		for dec.PeekKind() != ']' {
			if err := dec.SkipValue(); err != nil {
				return err
			}
			items++
		}
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
	case kind == '{' && t.below != nil:
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		for dec.PeekKind() != '}' {
			name, err := dec.ReadToken()
			if err != nil {
				return err
			}
			if err := scanValue(dec, body, t.below[name.String()], out); err != nil {
				return err
			}
		}
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
	default:
		if err := dec.SkipValue(); err != nil {
			return err
		}
	}
	for _, i := range t.take {
		out[i] = span{from: from, to: int(dec.InputOffset()), kind: kind, items: items, odd: out[i].odd}
	}
	return nil
}

// countLines counts the records of an NDJSON or CSV body: lines that are not blank, without
// those within quotes and without the header of a CSV.
func countLines(body []byte, csv bool) int64 {
	n, quoted, blank := int64(0), false, true
	for _, c := range body {
		switch {
		case c == '"' && csv:
			quoted, blank = !quoted, false
		case c == '\n' && !quoted:
			if !blank {
				n++
			}
			blank = true
		case c != ' ' && c != '\r' && c != '\t':
			blank = false
		}
	}
	if !blank {
		n++
	}
	if csv && n > 0 {
		n--
	}
	return n
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
