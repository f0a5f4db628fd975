package sparksql

import (
	"fmt"
	"strconv"
	"strings"
)

// generated is a generator's rows as a DuckDB query that may look at the row before it.
type generated struct {
	sql   string
	cols  []resultCol
	outer bool
	// unknown: the argument's type is not known, and so neither are the columns.
	unknown bool
}

var generators = wordSet("explode explode_outer posexplode posexplode_outer inline inline_outer stack json_tuple")

// selectGenerators moves the generator of a select list into the FROM clause.
func (t *translator) selectGenerators(s *selectBody, from string, sc *scope) (*selectBody, string) {
	out := *s
	out.items = nil
	seen := false
	for _, it := range s.items {
		c, ok := it.x.(*call)
		if !ok || !generators[c.name] || len(c.qualifier) > 0 {
			if anyExpr(it.x, func(x expr) bool { c, ok := x.(*call); return ok && generators[c.name] }) {
				t.refuse(it.x.at(), "a generator inside an expression", "use LATERAL VIEW")
			}
			out.items = append(out.items, it)
			continue
		}
		if seen || s.group != nil || t.aggregated(s) {
			t.refuse(c.Pos, c.name+" here", "one generator in a select list without aggregates")
			continue
		}
		seen = true
		g := *sc
		gen := t.generator(c, &g, false)
		names := it.aliases
		if it.alias != nil {
			names = []name{*it.alias}
		}
		if gen.unknown {
			gen.cols = unknownCols(names)
		}
		if len(names) > 0 && len(names) != len(gen.cols) {
			t.bad(c.Pos, c.name, "%s makes %d columns, %d are named", c.name, len(gen.cols), len(names))
		}
		gname := name{Pos: c.Pos, text: "generator of the select list", quoted: true}
		from = t.attach(from, gen, relAlias{name: &gname}, sc, c.Pos)
		for i, col := range gen.cols {
			n := name{Pos: c.Pos, text: col.name, quoted: true}
			if i < len(names) {
				n = names[i]
			}
			out.items = append(out.items, selectItem{x: &column{Pos: c.Pos, parts: []name{gname, {Pos: c.Pos, text: col.name, quoted: true}}}, alias: &n})
		}
	}
	return &out, from
}

// unknownCols are a generator's columns whose types are not known: as many as are named.
func unknownCols(names []name) []resultCol {
	if len(names) == 0 {
		return []resultCol{{name: "col", sql: "col"}}
	}
	cols := make([]resultCol, len(names))
	for i, n := range names {
		cols[i] = resultCol{name: n.text, sql: n.text}
	}
	return cols
}

// generator translates a call that makes rows.
func (t *translator) generator(c *call, sc *scope, outer bool) generated {
	kind, isOuter := strings.CutSuffix(c.name, "_outer")
	g := generated{outer: outer || isOuter}
	if !generators[c.name] || len(c.qualifier) > 0 {
		t.refuse(c.Pos, "table function "+c.name, "")
		return g
	}
	var args []ex
	for _, a := range c.args {
		args = append(args, t.expr(a.x, sc))
	}
	for _, a := range args {
		if !a.typ.known() { // a fault says why, or a type is not known before the run
			g.unknown = true
			return g
		}
	}
	switch kind {
	case "stack":
		return t.stack(c, args, g)
	case "json_tuple":
		return t.jsonTuple(c, args, g)
	}
	if len(args) != 1 {
		t.bad(c.Pos, c.name, "%s takes one argument", c.name)
		return g
	}
	return t.explode(c, kind, args[0], g)
}

func (t *translator) explode(c *call, kind string, a ex, g generated) generated {
	u := duckName(t.alias("u"))
	list := a.sql
	switch a.typ.Kind {
	case Array:
	case Map:
		list = "map_entries(" + a.sql + ")"
	default:
		t.bad(c.Pos, c.name, "%s wants an array or a map, found %s", c.name, a.typ)
		return g
	}
	add := func(n, sql string, typ Type) {
		g.cols = append(g.cols, resultCol{name: n, sql: n, typ: typ})
		if g.sql != "" {
			g.sql += ", "
		}
		g.sql += sql + " AS " + duckName(n)
	}
	inner := "SELECT unnest(" + list + ") AS e"
	if kind == "posexplode" {
		inner += ", CAST(generate_subscripts(" + list + ", 1) - 1 AS INTEGER) AS p"
		add("pos", u+".p", simple(Int))
	}
	switch {
	case kind == "inline":
		if a.typ.Kind != Array || a.typ.Elem.Kind != Struct {
			t.bad(c.Pos, c.name, "%s wants an array of structs, found %s", c.name, a.typ)
			return g
		}
		for _, f := range a.typ.Elem.Fields {
			add(f.Name, "struct_extract("+u+".e, "+duckString(f.Name)+")", f.Type)
		}
		uniqueNames(g.cols)
	case a.typ.Kind == Map:
		add("key", u+".e.key", *a.typ.Key)
		add("value", u+".e.value", *a.typ.Elem)
	default:
		add("col", u+".e", *a.typ.Elem)
	}
	g.sql = "SELECT " + g.sql + " FROM (" + inner + ") AS " + u
	return g
}

func (t *translator) stack(c *call, args []ex, g generated) generated {
	n := 0
	if len(args) > 1 && args[0].lit != nil {
		n, _ = strconv.Atoi(args[0].lit.text)
	}
	if n < 1 {
		t.refuse(c.Pos, "stack", "its first argument is a constant number of rows")
		return g
	}
	vals := args[1:]
	width := (len(vals) + n - 1) / n
	types := make([]Type, width)
	for i, v := range vals {
		if i < width {
			types[i] = v.typ
			continue
		}
		types[i%width] = t.widerOrFault(c.Pos, "stack", types[i%width], v.typ)
	}
	var rows []string
	for r := range n {
		var fs []string
		for k := range width {
			e := ex{sql: "NULL", typ: simple(Void), lit: &literal{kind: litNull}}
			if i := r*width + k; i < len(vals) {
				e = vals[i]
			}
			fs = append(fs, fmt.Sprintf("c%d := %s", k, t.typed(t.cast(e, types[k], c.Pos))))
		}
		rows = append(rows, "struct_pack("+strings.Join(fs, ", ")+")")
	}
	u := duckName(t.alias("u"))
	var list []string
	for k := range width {
		n := fmt.Sprintf("col%d", k)
		g.cols = append(g.cols, resultCol{name: n, sql: n, typ: types[k]})
		list = append(list, fmt.Sprintf("%s.e.c%d AS %s", u, k, duckName(n)))
	}
	g.sql = "SELECT " + strings.Join(list, ", ") + " FROM (SELECT unnest([" + strings.Join(rows, ", ") + "]) AS e) AS " + u
	return g
}

func (t *translator) jsonTuple(c *call, args []ex, g generated) generated {
	if len(args) < 2 {
		t.bad(c.Pos, c.name, "json_tuple takes a text and names")
		return g
	}
	var list []string
	for i, a := range args[1:] {
		n := fmt.Sprintf("c%d", i)
		g.cols = append(g.cols, resultCol{name: n, sql: n, typ: simple(String)})
		list = append(list, "spark_json_field("+t.cast(args[0], simple(String), c.Pos).sql+", "+t.cast(a, simple(String), c.Pos).sql+") AS "+duckName(n))
	}
	g.sql = "SELECT " + strings.Join(list, ", ")
	return g
}
