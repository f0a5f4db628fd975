package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

// schemas makes JSON Schemas from the structs of the file format.
type schemas struct {
	defs       map[string]any
	connectors []flow.Connector
}

// Schema is the JSON Schema (draft 2020-12) of a pipeline file, or of tidemill.yaml.
func Schema(project bool, connectors []flow.Connector) []byte {
	g := &schemas{defs: map[string]any{}, connectors: connectors}
	t, title := reflect.TypeFor[Pipeline](), "Tidemill pipeline"
	if project {
		t, title = reflect.TypeFor[Project](), "Tidemill project"
	}
	root := g.of(t)
	out := map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "$defs": g.defs}
	for k, v := range root {
		out[k] = v
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		panic(err) // maps of strings, numbers and lists
	}
	return b.Bytes()
}

func (g *schemas) of(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if o, ok := reflect.New(t).Interface().(own); ok {
		return o.schema(g)
	}
	switch t.Kind() {
	case reflect.Struct:
		if t.Name() == "" || t.Name() == "plain" {
			return g.object(t)
		}
		name := t.Name()
		if _, ok := g.defs[name]; !ok {
			g.defs[name] = true // ends recursion
			g.defs[name] = g.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.of(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "string"}
}

func (g *schemas) object(t reflect.Type) map[string]any {
	props := map[string]any{}
	var required []any
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		p := map[string]any{}
		for k, v := range g.of(f.Type) {
			p[k] = v
		}
		if e := f.Tag.Get("enum"); e != "" {
			delete(p, "type")
			p["enum"] = toAny(strings.Split(e, "|"))
		}
		p["description"] = describe(f)
		props[key] = p
		if f.Tag.Get("req") != "" {
			required = append(required, key)
		}
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	if required != nil {
		out["required"] = required
	}
	return out
}

func describe(f reflect.StructField) string {
	s := f.Tag.Get("doc")
	if d := f.Tag.Get("def"); d != "" {
		s += " Default: " + d + "."
	}
	return s
}

func toAny(s []string) []any {
	out := make([]any, len(s))
	for i := range s {
		out[i] = s[i]
	}
	return out
}

func (g *schemas) connections() map[string]any {
	if _, ok := g.defs["Connection"]; !ok {
		var forms []any
		for _, c := range g.connectors {
			o := g.keys(c.Keys)
			o["properties"].(map[string]any)["type"] = map[string]any{"const": c.Name, "description": c.Doc}
			required, _ := o["required"].([]any)
			o["required"] = append(required, "type")
			forms = append(forms, o)
		}
		g.defs["Connection"] = map[string]any{"oneOf": forms}
	}
	return map[string]any{"$ref": "#/$defs/Connection"}
}

func (g *schemas) keys(keys []flow.Key) map[string]any {
	props := map[string]any{}
	var required []any
	for _, k := range keys {
		p := map[string]any{}
		switch k.Type {
		case "text":
			p["type"] = "string"
			if len(k.Keys) == 0 && !k.Secret && len(k.Enum) == 0 {
				p["type"] = []any{"string", "number"}
			}
			if k.Secret {
				p["pattern"] = `\$\{(env|file|secretsmanager|ssm):[^}]+\}`
			}
		case "number", "boolean":
			p["type"] = k.Type
		case "mapping":
			p = g.keys(k.Keys)
			if len(k.Enum) > 0 {
				p = map[string]any{"anyOf": []any{p, map[string]any{"enum": toAny(k.Enum)}}}
			}
		}
		if len(k.Enum) > 0 && k.Type == "text" {
			p = map[string]any{"enum": toAny(k.Enum)}
		}
		p["description"] = k.Doc
		props[k.Name] = p
		if k.Required {
			required = append(required, k.Name)
		}
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	if required != nil {
		out["required"] = required
	}
	return out
}

// Reference is the reference page of the file format in Markdown.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString("# The file format\n\nThis page is printed by `tidemill schema --reference` from the definitions that also read the files.\n" +
		"A *template* is a text in which `{{ … }}` stands for the value of a [JSONata](https://jsonata.org) expression over\n" +
		"`ds, ds_nodash, ts, logical_time, data_interval_start, data_interval_end, scheduled_at, run_id, pipeline, target, params, var, steps`,\n" +
		"and `output` in a Spark script's keys, `row` under `each` and `for_each`, `response` in a web API's paging.\n")
	seen := map[reflect.Type]bool{}
	queue := []reflect.Type{reflect.TypeFor[Pipeline](), reflect.TypeFor[Project]()}
	for len(queue) > 0 {
		t := queue[0]
		queue = queue[1:]
		if seen[t] {
			continue
		}
		seen[t] = true
		fmt.Fprintf(&b, "\n## %s\n\n| key | form | meaning |\n|---|---|---|\n", heading(t))
		for i := range t.NumField() {
			f := t.Field(i)
			key := f.Tag.Get("yaml")
			if key == "" || key == "-" {
				continue
			}
			form, below := formOf(f.Type)
			if e := f.Tag.Get("enum"); e != "" {
				form = strings.ReplaceAll(e, "|", ", ")
			}
			if below != nil {
				queue = append(queue, below)
			}
			need := ""
			if f.Tag.Get("req") != "" {
				need = " **Needed.**"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s%s |\n", key, form, strings.ReplaceAll(describe(f), "|", "\\|"), need)
		}
	}
	return b.Bytes()
}

var headings = map[string]string{"Pipeline": "Pipeline: `pipelines/NAME.yaml`", "Project": "Project: `tidemill.yaml`"}

func heading(t reflect.Type) string {
	if h, ok := headings[t.Name()]; ok {
		return h
	}
	return t.Name()
}

// formOf names the form of a key's value, and the struct below it.
func formOf(t reflect.Type) (string, reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case typeOf[Template](), typeOf[Expr](), typeOf[Str](), typeOf[Duration](), typeOf[Date](), typeOf[SQL](), typeOf[Predicate](), typeOf[Foreign](), typeOf[Size](), typeOf[Limit](), typeOf[Each](), typeOf[Store](), typeOf[Param](), typeOf[Any](), typeOf[Strs](), typeOf[Connection]():
		return map[string]string{"Template": "template", "Expr": "condition", "Str": "text", "Duration": "length of time", "Date": "date", "SQL": "query", "Predicate": "condition in SQL",
			"Foreign": "query", "Size": "size", "Limit": "fail, keep, {max}", "Each": "list, template or STEP.COLUMN", "Store": "text or {url, kms_key}", "Param": "value, or {type, default, enum}",
			"Any": "any value", "Strs": "text or list", "Connection": "{type, …}"}[t.Name()], nil
	case typeOf[Instances]():
		return "type, or mapping: [Instances](#instances)", t
	}
	if strings.HasPrefix(t.Name(), "Map[") {
		e, _ := t.Elem().FieldByName("Value")
		form, below := formOf(e.Type)
		return "mapping of names to: " + form, below
	}
	switch t.Kind() {
	case reflect.Struct:
		return fmt.Sprintf("mapping: [%s](#%s)", t.Name(), strings.ToLower(t.Name())), t
	case reflect.Slice:
		form, below := formOf(t.Elem())
		return "list of: " + form, below
	case reflect.Bool:
		return "true, false", nil
	case reflect.Int, reflect.Int64:
		return "whole number", nil
	case reflect.Float64:
		return "number", nil
	}
	return "text", nil
}
