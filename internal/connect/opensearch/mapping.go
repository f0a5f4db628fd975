package opensearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// markField is where mirror notes which load wrote a document last.
const markField = "tidemill_load"

// properties are a schema's fields in the mapping's words, with overrides put in. An
// override is a type or a mapping of its own; a dotted name reaches into a struct.
func properties(s flow.Schema, overrides json.RawMessage) (map[string]any, error) {
	out := map[string]any{}
	for _, c := range s {
		t, err := format.ParseType(c.Type)
		if err != nil {
			return nil, &flow.Error{Op: "map column " + c.Name, Kind: flow.Invalid, Err: err}
		}
		out[c.Name] = field(t)
	}
	if len(overrides) == 0 {
		return out, nil
	}
	var given map[string]any
	if err := json.Unmarshal(overrides, &given); err != nil {
		return nil, &flow.Error{Op: "read the mapping", Kind: flow.Invalid, Err: errors.New("it is no mapping of fields to types")}
	}
	for name, v := range given {
		at := out
		parts := strings.Split(name, ".")
		for _, p := range parts[:len(parts)-1] {
			sub, _ := at[p].(map[string]any)
			props, ok := sub["properties"].(map[string]any)
			if !ok {
				return nil, &flow.Error{Op: "read the mapping", Kind: flow.Invalid, Err: fmt.Errorf("field %s: %s is no struct of the rows", name, p), Hint: "The fields are " + strings.Join(names(s), ", ") + "."}
			}
			at = props
		}
		last := parts[len(parts)-1]
		old, ok := at[last]
		if !ok {
			return nil, &flow.Error{Op: "read the mapping", Kind: flow.Invalid, Err: fmt.Errorf("the rows have no field %s", name), Hint: "The fields are " + strings.Join(names(s), ", ") + "."}
		}
		at[last] = override(old, v)
	}
	return out, nil
}

func override(old, v any) any {
	word, ok := v.(string)
	if !ok {
		return v
	}
	next := map[string]any{"type": word}
	if o, ok := old.(map[string]any); ok && (word == "nested" || word == "object") && o["properties"] != nil {
		next["properties"], next["dynamic"] = o["properties"], o["dynamic"]
	}
	return next
}

// field is a type of Spark's in the mapping's words. A decimal is a double to search and
// sort by; the document keeps its digits. Text is searched by word, and as a whole under
// .keyword, as both products map it by themselves.
func field(t format.Type) map[string]any {
	simple := func(name string) map[string]any { return map[string]any{"type": name} }
	switch t.Kind {
	case format.Boolean:
		return simple("boolean")
	case format.TinyInt:
		return simple("byte")
	case format.SmallInt:
		return simple("short")
	case format.Int:
		return simple("integer")
	case format.BigInt:
		return simple("long")
	case format.Float:
		return simple("float")
	case format.Double:
		return simple("double")
	case format.Decimal:
		if t.Scale == 0 && t.Precision <= 18 {
			return simple("long")
		}
		return simple("double")
	case format.Date, format.Timestamp, format.TimestampNTZ:
		return simple("date")
	case format.Binary:
		return simple("binary")
	case format.Array:
		return field(*t.Elem)
	case format.Struct:
		props := map[string]any{}
		for _, p := range t.Fields {
			props[p.Name] = field(p.Type)
		}
		return map[string]any{"dynamic": "strict", "properties": props}
	case format.Map:
		return map[string]any{"type": "object", "dynamic": true}
	}
	return map[string]any{"type": "text", "fields": map[string]any{"keyword": map[string]any{"type": "keyword", "ignore_above": 256}}}
}

// MappingOf is the mapping of an index of rows with a schema, without overrides.
func MappingOf(s flow.Schema) map[string]any {
	props, err := properties(s, nil)
	if err != nil {
		return nil
	}
	return map[string]any{"dynamic": "strict", "properties": props}
}
