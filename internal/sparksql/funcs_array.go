package sparksql

import (
	"fmt"
	"strings"
)

func arrayEntries() []*entry {
	return []*entry{
		custom("array", "(any…) → array", "[…]", "select array(1, 2.5, null), array('a', 1), array()", func(t *translator, c *call, a []ex) ex {
			typ, us := t.unify(a, c.Pos, "array")
			parts := make([]string, len(us))
			for i, u := range us {
				parts[i] = t.typed(u)
			}
			return ex{sql: "[" + strings.Join(parts, ", ") + "]", typ: arrayOf(typ)}
		}),
		custom("size cardinality", "(array or map) → int", "len, cardinality", "select size(array(1, null)), size(map('a', 1)), size(cast(null as array<int>))", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.Kind == Void {
				return ex{sql: "CAST(-1 AS INTEGER)", typ: simple(Int)}
			}
			if len(a) == 1 && a[0].typ.Kind == Map {
				return ex{sql: "coalesce(CAST(cardinality(" + a[0].sql + ") AS INTEGER), -1)", typ: simple(Int)}
			}
			return fn(c.name, "a", "int", "coalesce(CAST(len({0}) AS INTEGER), -1)", "").build(t, c, a)
		}),
		fn("array_size", "a", "int", "CAST(len({0}) AS INTEGER)", "select array_size(array(1, 2)), array_size(cast(null as array<int>))"),
		arrayAndElement("array_contains", "boolean", "spark_array_contains", "select array_contains(array(1, 2), 2), array_contains(array(1, null), 2), array_contains(array(1), cast(null as int)), array_contains(array(1, 2.5), 1)"),
		arrayAndElement("array_position", "bigint", "spark_array_position", "select array_position(array(3, 1, 1), 1), array_position(array(1), 4), array_position(array(1, null), cast(null as int))"),
		arrayAndElement("array_remove", "", "spark_array_remove", "select array_remove(array(1, 2, null, 2), 2), array_remove(array(1), null)"),
		arrayAndElement("array_append", "", "spark_array_append", "select array_append(array(1), 2), array_append(array('a'), null), array_append(cast(null as array<int>), 1)"),
		arrayAndElement("array_prepend", "", "spark_array_prepend", "select array_prepend(array(1), 2), array_prepend(array('a'), null)"),
		fn("array_distinct", "a", "=0", "spark_array_distinct({0})", "select array_distinct(array(3, 1, null, 3, null, 2))"),
		fn("array_compact", "a", "=0", "list_filter({0}, lambda spark_x: spark_x IS NOT NULL)", "select array_compact(array(1, null, 2))"),
		fn("array_max", "a", "elem0", "list_max({0})", "select array_max(array(1, null, 3)), array_max(cast(array() as array<int>))"),
		fn("array_min", "a", "elem0", "list_min({0})", "select array_min(array(1, null, 3))"),
		twoArrays("array_union", "spark_array_distinct({0} || {1})", "select array_union(array(1, 2, 2), array(3, 2, null, null))"),
		twoArrays("array_intersect", "spark_array_intersect({0}, {1})", "select array_intersect(array(1, 2, 2, null), array(2, null)), array_intersect(array(1), array(2))"),
		twoArrays("array_except", "spark_array_except({0}, {1})", "select array_except(array(1, 2, 2, null, 3, 3), array(2, null))"),
		custom("arrays_overlap", "(array, array) → boolean", "spark_arrays_overlap", "select arrays_overlap(array(1, 2), array(2)), arrays_overlap(array(1, null), array(2)), arrays_overlap(array(1), array(2))", func(t *translator, c *call, a []ex) ex {
			e := twoArrays(c.name, "spark_arrays_overlap({0}, {1})", "").build(t, c, a)
			if e.typ.known() {
				e.typ = simple(Boolean)
			}
			return e
		}),
		custom("array_join", "(array, string [, string]) → string", "spark_join", "select array_join(array('a', null, 'b'), ','), array_join(array('a', null), ',', '-'), array_join(array(1, 2), ';'), array_join(cast(array() as array<string>), ',')", func(t *translator, c *call, a []ex) ex {
			if len(a) < 2 || len(a) > 3 || a[0].typ.Kind != Array {
				return t.bad(c.Pos, c.name, "array_join takes an array and a text")
			}
			l := t.cast(a[0], arrayOf(simple(String)), c.Pos).sql
			if len(a) == 3 {
				l = "list_transform(" + l + ", lambda spark_x: coalesce(spark_x, " + t.implicitString(a[2], c.Pos, c.name).sql + "))"
			}
			return ex{sql: "spark_join(" + l + ", " + t.implicitString(a[1], c.Pos, c.name).sql + ")", typ: simple(String)}
		}),
		custom("array_repeat", "(any, int) → array", "list_transform of range", "select array_repeat('a', 2), array_repeat(1, -1), array_repeat(null, 2)", func(t *translator, c *call, a []ex) ex {
			if len(a) != 2 {
				return t.bad(c.Pos, c.name, "array_repeat takes two arguments")
			}
			n, ok := t.argument(a[1], 'i', c)
			if !ok {
				return n
			}
			return ex{sql: "list_transform(range(" + n.sql + "), lambda spark_x: " + a[0].sql + ")", typ: arrayOf(a[0].typ)}
		}),
		custom("array_insert", "(array, int constant, any) → array", "spark_array_insert", "select array_insert(array(1, 2, 3), 2, 9), array_insert(array(1), 4, 9), array_insert(array(5, 3, 2, 1), -4, 4), array_insert(array(5, 4), -1, 1)", func(t *translator, c *call, a []ex) ex {
			if len(a) != 3 || a[0].typ.Kind != Array {
				return t.bad(c.Pos, c.name, "array_insert takes an array, a place and a value")
			}
			n, ok := constantInt(a[1])
			if !ok || n < -3 && false {
				return t.refuse(c.Pos, "array_insert at a place that is no constant", "")
			}
			typ := arrayOf(t.widerOrFault(c.Pos, c.name, *a[0].typ.Elem, a[2].typ))
			l, e := t.cast(a[0], typ, c.Pos), t.cast(a[2], *typ.Elem, c.Pos)
			if !typ.complete() {
				return ex{sql: "NULL"}
			}
			if n == 0 {
				return t.bad(c.Pos, c.name, "places count from 1")
			}
			m := "spark_array_insert"
			if n < 0 {
				m = "spark_array_insert_back"
			}
			return ex{sql: fmt.Sprintf("%s(%s, %d, %s)", m, l.sql, n, t.typed(e)), typ: typ}
		}),
		custom("flatten", "(array of arrays) → array", "flatten", "select flatten(array(array(1), array(2, null))), flatten(array(array(1), null))", func(t *translator, c *call, a []ex) ex {
			if len(a) != 1 || a[0].typ.Kind != Array || a[0].typ.Elem.Kind != Array {
				return t.bad(c.Pos, c.name, "flatten takes an array of arrays")
			}
			return ex{sql: "spark_flatten(" + a[0].sql + ")", typ: *a[0].typ.Elem}
		}),
		fn("slice", "aii", "=0", "spark_slice({0}, {1}, {2})", "select slice(array(1, 2, 3, 4), 2, 2), slice(array(1, 2, 3), -2, 2), slice(array(1), 3, 2)"),
		custom("sort_array", "(array [, boolean constant]) → array", "list_sort", "select sort_array(array(3, null, 1)), sort_array(array('b', null, 'c'), false)", func(t *translator, c *call, a []ex) ex {
			order := "'ASC', 'NULLS FIRST'"
			if len(a) == 2 {
				if a[1].lit == nil || a[1].lit.kind != litBool {
					return t.refuse(c.Pos, "sort_array with an order that is no constant", "")
				}
				if a[1].lit.text == "false" {
					order = "'DESC', 'NULLS LAST'"
				}
				a = a[:1]
			}
			if len(a) == 1 && a[0].typ.Kind == Array && a[0].typ.Elem.nested() {
				return t.refuse(c.Pos, "sort_array over "+a[0].typ.String(), "")
			}
			return fn(c.name, "a", "=0", "list_sort({0}, "+order+")", "").build(t, c, a)
		}),
		special("array_sort", "(array) → array", "list_sort", "select array_sort(array(3, null, 1))", func(t *translator, c *call, sc *scope) ex {
			if len(c.args) != 1 {
				return t.refuse(c.Pos, "array_sort with a function", "")
			}
			a, ok := t.args(c, sc)
			if !ok || a[0].typ.Kind == Array && a[0].typ.Elem.nested() {
				return t.refuse(c.Pos, "array_sort here", "")
			}
			return fn(c.name, "a", "=0", "list_sort({0}, 'ASC', 'NULLS LAST')", "").build(t, c, a)
		}),
		custom("get", "(array, int) → the element", "spark_get", "select get(array(1, 2), 0), get(array(1, 2), 2), get(array(1, 2), -1)", func(t *translator, c *call, a []ex) ex {
			return fn("get", "al", "elem0", "spark_get({0}, {1})", "").build(t, c, a)
		}),
		custom("element_at try_element_at", "(array, int) or (map, key) → the element", "spark_element_at, map_extract_value", "select element_at(array(1, 2), 1), element_at(array(1, 2), -1), element_at(array(1), 5), element_at(map('a', 1), 'a'), element_at(map('a', 1), 'b')", func(t *translator, c *call, a []ex) ex {
			if len(a) == 2 && a[0].typ.Kind == Map {
				return ex{sql: "map_extract_value(" + a[0].sql + ", " + t.cast(a[1], *a[0].typ.Key, c.Pos).sql + ")", typ: *a[0].typ.Elem}
			}
			return fn(c.name, "al", "elem0", "spark_element_at({0}, {1})", "").build(t, c, a)
		}),
		custom("sequence", "(whole numbers or dates [, step]) → array", "generate_series", "select sequence(1, 3), sequence(3, 1), sequence(1, 10, 4), sequence(date'2018-01-01', date'2018-03-01', interval 1 month), sequence(date'2020-01-01', date'2020-01-03')", sequence),
		special("arrays_zip", "(array…) → array of structs", "list_transform of range", "select arrays_zip(array(1, 2), array('a'))", arraysZip),
	}
}

func arrayAndElement(n, result, macro, proof string) *entry {
	return custom(n, "(array, any) → "+map[bool]string{true: "array", false: result}[result == ""], macro, proof, func(t *translator, c *call, a []ex) ex {
		if len(a) != 2 || a[0].typ.Kind != Array {
			return t.bad(c.Pos, c.name, "%s takes an array and a value", c.name)
		}
		if a[1].typ.Kind == Void && result != "" {
			return t.bad(c.Pos, c.name, "a bare NULL is no value to look for")
		}
		e := t.widerOrFault(c.Pos, c.name, *a[0].typ.Elem, a[1].typ)
		if !e.known() {
			return ex{sql: "NULL"}
		}
		if e.Kind == Map {
			return t.refuse(c.Pos, c.name+" over maps", "")
		}
		l, x := t.cast(a[0], arrayOf(e), c.Pos), t.cast(a[1], e, c.Pos)
		typ := l.typ
		if result != "" {
			typ, _ = ParseType(result)
		}
		return ex{sql: macro + "(" + l.sql + ", " + t.typed(x) + ")", typ: typ}
	})
}

func twoArrays(n, tmpl, proof string) *entry {
	return custom(n, "(array, array) → array", tmpl, proof, func(t *translator, c *call, a []ex) ex {
		if len(a) != 2 || a[0].typ.Kind != Array || a[1].typ.Kind != Array {
			return t.bad(c.Pos, c.name, "%s takes two arrays", c.name)
		}
		typ, us := t.unify(a, c.Pos, c.name)
		if !typ.known() {
			return ex{sql: "NULL"}
		}
		if typ.Elem.Kind == Map {
			return t.refuse(c.Pos, c.name+" over maps", "")
		}
		nulls := "CASE WHEN " + us[0].sql + " IS NULL OR " + us[1].sql + " IS NULL THEN NULL ELSE "
		return ex{sql: nulls + fill(tmpl, []string{us[0].sql, us[1].sql}) + " END", typ: typ}
	})
}

func sequence(t *translator, c *call, a []ex) ex {
	if len(a) < 2 || len(a) > 3 {
		return t.bad(c.Pos, c.name, "sequence takes two or three arguments")
	}
	typ, us := t.unify(a[:2], c.Pos, c.name)
	switch {
	case typ.integral():
		step := "CASE WHEN " + us[0].sql + " <= " + us[1].sql + " THEN 1 ELSE -1 END"
		if len(a) == 3 {
			if !a[2].typ.integral() {
				return t.bad(c.Pos, c.name, "the step is a whole number")
			}
			step = "spark_step(" + us[0].sql + ", " + us[1].sql + ", CAST(" + a[2].sql + " AS BIGINT))"
		}
		return ex{sql: fmt.Sprintf("CAST(generate_series(CAST(%s AS BIGINT), CAST(%s AS BIGINT), CAST(%s AS BIGINT)) AS %s[])", us[0].sql, us[1].sql, step, typ.DuckDB()), typ: arrayOf(typ)}
	case typ.Kind == Date:
		if len(a) == 2 {
			return ex{sql: fmt.Sprintf("CAST(generate_series(%s, %s, to_days(CASE WHEN %s <= %s THEN 1 ELSE -1 END)) AS DATE[])", us[0].sql, us[1].sql, us[0].sql, us[1].sql), typ: arrayOf(typ)}
		}
		if a[2].typ.Kind == YearMonth {
			// Each element is counted from the first, so that the 31st comes back.
			return ex{sql: fmt.Sprintf("spark_month_sequence(%s, %s, %s)", us[0].sql, us[1].sql, a[2].sql), typ: arrayOf(typ)}
		}
		if a[2].typ.Kind == DayTime && a[2].typ.From == "day" && (a[2].typ.To == "day" || a[2].typ.To == "") {
			return ex{sql: fmt.Sprintf("CAST(generate_series(%s, %s, to_days(CAST(%s // 86400000000 AS INTEGER))) AS DATE[])", us[0].sql, us[1].sql, a[2].sql), typ: arrayOf(typ)}
		}
	}
	return t.refuse(c.Pos, "sequence over "+typ.String(), "")
}

func arraysZip(t *translator, c *call, sc *scope) ex {
	a, ok := t.args(c, sc)
	if !ok || len(a) == 0 {
		return ex{sql: "NULL"}
	}
	var lens, fs, nulls []string
	typ := structOf()
	for i, x := range a {
		if x.typ.Kind != Array {
			return t.bad(c.Pos, c.name, "arrays_zip takes arrays")
		}
		n := fmt.Sprint(i)
		switch y := c.args[i].x.(type) {
		case *column:
			n = y.parts[len(y.parts)-1].text
		case *field:
			n = y.name.text
		}
		typ.Fields = append(typ.Fields, Field{n, *x.typ.Elem})
		lens = append(lens, "len("+x.sql+")")
		nulls = append(nulls, x.sql+" IS NULL")
		fs = append(fs, duckName(n)+" := list_extract("+x.sql+", spark_i + 1)")
	}
	n := lens[0]
	if len(lens) > 1 {
		n = "greatest(" + strings.Join(lens, ", ") + ")"
	}
	return ex{sql: "CASE WHEN " + strings.Join(nulls, " OR ") + " THEN NULL ELSE list_transform(range(" + n + "), lambda spark_i: struct_pack(" + strings.Join(fs, ", ") + ")) END", typ: arrayOf(typ)}
}

// lambda translates a function argument; vars are the values of its parameters. The
// text is to stand behind "lambda NAMES:".
func (t *translator) lambdaBody(l *lambda, sc *scope, vars []ex) ex {
	inner := &scope{outer: sc, vars: map[string]ex{}, grouped: sc.grouped, inAgg: sc.inAgg, ctes: sc.ctes}
	for i, p := range l.params {
		inner.vars[strings.ToLower(p.text)] = vars[i]
	}
	return t.expr(l.body, inner)
}

// lambdaCall is a function of an array and a lambda of one or two parameters.
func lambdaCall(types, rewrite, names, proof string, finish func(t *translator, c *call, l ex, names string, body ex) ex) *entry {
	return special(names, types, rewrite, proof, func(t *translator, c *call, sc *scope) ex {
		if len(c.args) != 2 {
			return t.bad(c.Pos, c.name, "%s takes an array and a function", c.name)
		}
		l := t.expr(c.args[0].x, sc)
		f, ok := c.args[1].x.(*lambda)
		if !ok {
			return t.bad(c.Pos, c.name, "%s wants a function, x -> …", c.name)
		}
		if !l.typ.known() {
			return l
		}
		if l.typ.Kind != Array || len(f.params) > 2 {
			return t.bad(c.Pos, c.name, "%s takes an array and a function of one or two parameters", c.name)
		}
		x, i := t.alias("x"), t.alias("i")
		vars := []ex{{sql: duckName(x), typ: *l.typ.Elem}, {sql: "CAST(" + duckName(i) + " - 1 AS INTEGER)", typ: simple(Int)}}
		body := t.lambdaBody(f, sc, vars)
		if !body.typ.known() {
			return body
		}
		names := duckName(x)
		if len(f.params) == 2 {
			names += ", " + duckName(i)
		}
		return finish(t, c, l, names, body)
	})
}

func boolBody(t *translator, c *call, body ex) ex {
	if body.typ.Kind != Boolean && body.typ.Kind != Void {
		t.bad(c.Pos, c.name, "the function of %s gives a condition, found %s", c.name, body.typ)
	}
	return body
}

func lambdaEntries() []*entry {
	return []*entry{
		lambdaCall("(array, function) → array", "list_transform", "transform", "select transform(array(1, 2, null), x -> x + 1), transform(array(5, 6), (x, i) -> x * i)", func(t *translator, c *call, l ex, names string, body ex) ex {
			return ex{sql: "list_transform(" + l.sql + ", lambda " + names + ": " + body.sql + ")", typ: arrayOf(body.typ)}
		}),
		special("filter", "(array, function) → array", "list_filter", "select filter(array(1, 2, null, 3), x -> x > 1), filter(array(0, 2, 3), (x, i) -> x > i)", func(t *translator, c *call, sc *scope) ex {
			return lambdaCall("", "", "filter", "", func(t *translator, c *call, l ex, names string, body ex) ex {
				return ex{sql: "list_filter(" + l.sql + ", lambda " + names + ": coalesce(" + boolBody(t, c, body).sql + ", false))", typ: l.typ}
			}).special(t, c, sc)
		}),
		lambdaCall("(array, function) → boolean", "spark_any", "exists", "select exists(array(1, 2), x -> x > 1), exists(array(1, null), x -> x > 1), exists(array(1), x -> x > 1)", func(t *translator, c *call, l ex, names string, body ex) ex {
			return ex{sql: "spark_any(list_transform(" + l.sql + ", lambda " + names + ": " + boolBody(t, c, body).sql + "))", typ: simple(Boolean)}
		}),
		lambdaCall("(array, function) → boolean", "spark_all", "forall", "select forall(array(1, 2), x -> x > 0), forall(array(1, null), x -> x > 0), forall(array(0, null), x -> x > 0)", func(t *translator, c *call, l ex, names string, body ex) ex {
			return ex{sql: "spark_all(list_transform(" + l.sql + ", lambda " + names + ": " + boolBody(t, c, body).sql + "))", typ: simple(Boolean)}
		}),
		special("aggregate reduce", "(array, any, function [, function]) → any", "list_reduce", "select aggregate(array(1, 2, 3), 0, (acc, x) -> acc + x), reduce(array(1, 2), 0, (a, x) -> a + x, a -> a * 10), aggregate(cast(array() as array<int>), 5, (a, x) -> a + x)", aggregateLambda),
		special("zip_with", "(array, array, function) → array", "list_transform of range", "select zip_with(array(1, 2), array(3, 4), (x, y) -> x + y), zip_with(array('a'), array('d', 'e'), (x, y) -> concat(x, y))", zipWith),
		special("map_filter", "(map, function) → map", "list_filter of map_entries", "select map_filter(map(1, 0, 2, 2, 3, -1), (k, v) -> k > v)", mapLambda("map_filter")),
		special("transform_values", "(map, function) → map", "list_transform of map_entries", "select transform_values(map('a', 1, 'b', 2), (k, v) -> v + 1)", mapLambda("transform_values")),
		special("transform_keys", "(map, function) → map", "list_transform of map_entries", "select transform_keys(map('a', 1), (k, v) -> concat(k, v))", mapLambda("transform_keys")),
	}
}

func aggregateLambda(t *translator, c *call, sc *scope) ex {
	if len(c.args) < 3 || len(c.args) > 4 {
		return t.bad(c.Pos, c.name, "%s takes an array, a start, a function and at most a second function", c.name)
	}
	l, start := t.expr(c.args[0].x, sc), t.expr(c.args[1].x, sc)
	f, ok := c.args[2].x.(*lambda)
	if !ok || len(f.params) != 2 || l.typ.known() && l.typ.Kind != Array {
		return t.bad(c.Pos, c.name, "%s takes an array, a start and a function (acc, x) -> …", c.name)
	}
	if !l.typ.known() || !start.typ.known() {
		return ex{sql: "NULL"}
	}
	// DuckDB folds values of one type: the elements become structs that carry both.
	acc, x := t.alias("acc"), t.alias("x")
	if !start.typ.Equal(*l.typ.Elem) {
		return t.aggregateMixed(c, sc, l, start, f)
	}
	body := t.lambdaBody(f, sc, []ex{{sql: duckName(acc), typ: start.typ}, {sql: duckName(x), typ: *l.typ.Elem}})
	if !body.typ.known() {
		return body
	}
	if !body.typ.Equal(start.typ) {
		return t.refuse(c.Pos, c.name+" whose function gives "+body.typ.String()+" from "+start.typ.String(), "cast the start")
	}
	out := ex{sql: "list_reduce(" + l.sql + ", lambda " + duckName(acc) + ", " + duckName(x) + ": " + body.sql + ", " + start.sql + ")", typ: start.typ}
	return t.finishAggregate(c, sc, out)
}

func (t *translator) aggregateMixed(c *call, sc *scope, l, start ex, f *lambda) ex {
	acc, x := t.alias("acc"), t.alias("x")
	et := structOf(Field{"a", start.typ}, Field{"e", *l.typ.Elem})
	body := t.lambdaBody(f, sc, []ex{{sql: duckName(acc) + ".a", typ: start.typ}, {sql: duckName(x) + ".e", typ: *l.typ.Elem}})
	if !body.typ.known() {
		return body
	}
	if !body.typ.Equal(start.typ) {
		return t.refuse(c.Pos, c.name+" whose function gives "+body.typ.String()+" from "+start.typ.String(), "cast the start")
	}
	wrap := "list_transform(" + l.sql + ", lambda spark_w: CAST(struct_pack(a := NULL, e := spark_w) AS " + et.DuckDB() + "))"
	zero := "CAST(struct_pack(a := " + start.sql + ", e := NULL) AS " + et.DuckDB() + ")"
	out := ex{sql: "struct_extract(list_reduce(" + wrap + ", lambda " + duckName(acc) + ", " + duckName(x) + ": CAST(struct_pack(a := " + body.sql + ", e := NULL) AS " + et.DuckDB() + "), " + zero + "), 'a')", typ: start.typ}
	return t.finishAggregate(c, sc, out)
}

func (t *translator) finishAggregate(c *call, sc *scope, out ex) ex {
	if len(c.args) == 3 {
		return out
	}
	f, ok := c.args[3].x.(*lambda)
	if !ok || len(f.params) != 1 {
		return t.bad(c.Pos, c.name, "the last argument of %s is a function acc -> …", c.name)
	}
	return t.lambdaBody(f, sc, []ex{out})
}

func zipWith(t *translator, c *call, sc *scope) ex {
	if len(c.args) != 3 {
		return t.bad(c.Pos, c.name, "zip_with takes two arrays and a function")
	}
	a, b := t.expr(c.args[0].x, sc), t.expr(c.args[1].x, sc)
	f, ok := c.args[2].x.(*lambda)
	if !ok || len(f.params) != 2 {
		return t.bad(c.Pos, c.name, "zip_with wants a function (x, y) -> …")
	}
	if !a.typ.known() || !b.typ.known() {
		return ex{sql: "NULL"}
	}
	if a.typ.Kind != Array || b.typ.Kind != Array {
		return t.bad(c.Pos, c.name, "zip_with takes two arrays")
	}
	i := duckName(t.alias("i"))
	body := t.lambdaBody(f, sc, []ex{{sql: "list_extract(" + a.sql + ", " + i + " + 1)", typ: *a.typ.Elem}, {sql: "list_extract(" + b.sql + ", " + i + " + 1)", typ: *b.typ.Elem}})
	if !body.typ.known() {
		return body
	}
	return ex{sql: "CASE WHEN " + a.sql + " IS NULL OR " + b.sql + " IS NULL THEN NULL ELSE list_transform(range(greatest(len(" + a.sql + "), len(" + b.sql + "))), lambda " + i + ": " + body.sql + ") END", typ: arrayOf(body.typ)}
}

func mapLambda(kind string) func(t *translator, c *call, sc *scope) ex {
	return func(t *translator, c *call, sc *scope) ex {
		if len(c.args) != 2 {
			return t.bad(c.Pos, c.name, "%s takes a map and a function", c.name)
		}
		m := t.expr(c.args[0].x, sc)
		f, ok := c.args[1].x.(*lambda)
		if !ok || len(f.params) != 2 || m.typ.known() && m.typ.Kind != Map {
			return t.bad(c.Pos, c.name, "%s takes a map and a function (k, v) -> …", c.name)
		}
		if !m.typ.known() {
			return m
		}
		e := duckName(t.alias("e"))
		body := t.lambdaBody(f, sc, []ex{{sql: e + ".key", typ: *m.typ.Key}, {sql: e + ".value", typ: *m.typ.Elem}})
		if !body.typ.known() {
			return body
		}
		entries := "map_entries(" + m.sql + ")"
		typ := m.typ
		inner := ""
		switch kind {
		case "map_filter":
			inner = "list_filter(" + entries + ", lambda " + e + ": coalesce(" + body.sql + ", false))"
		case "transform_values":
			typ = mapOf(*m.typ.Key, body.typ)
			inner = "list_transform(" + entries + ", lambda " + e + ": struct_pack(key := " + e + ".key, value := " + body.sql + "))"
		default:
			typ = mapOf(body.typ, *m.typ.Elem)
			inner = "list_transform(" + entries + ", lambda " + e + ": struct_pack(key := " + body.sql + ", value := " + e + ".value))"
		}
		return ex{sql: "CASE WHEN " + m.sql + " IS NULL THEN NULL ELSE map_from_entries(" + inner + ") END", typ: typ}
	}
}

func mapEntries() []*entry {
	return []*entry{
		custom("map", "(key, value…) → map", "MAP", "select map('a', 1, 'b', null), map(1.0, '2', 3.0, '4')", func(t *translator, c *call, a []ex) ex {
			if len(a)%2 == 1 || len(a) == 0 {
				return t.refuse(c.Pos, "map with an odd number of arguments or none", "")
			}
			var ks, vs []ex
			for i := 0; i < len(a); i += 2 {
				ks, vs = append(ks, a[i]), append(vs, a[i+1])
			}
			kt, ks := t.unify(ks, c.Pos, c.name)
			vt, vs := t.unify(vs, c.Pos, c.name)
			if kt.Kind == Map || kt.Kind == Void {
				return t.bad(c.Pos, c.name, "a key cannot be %s", kt)
			}
			return ex{sql: "map([" + sqlList(t, ks) + "], [" + sqlList(t, vs) + "])", typ: mapOf(kt, vt)}
		}),
		fnType("map_keys", "(map) → array", "map_keys", "select map_keys(map('a', 1))", func(m Type) Type { return arrayOf(*m.Key) }),
		fnType("map_values", "(map) → array", "map_values", "select map_values(map('a', 1))", func(m Type) Type { return arrayOf(*m.Elem) }),
		fnType("map_entries", "(map) → array of structs", "map_entries", "select map_entries(map('a', 1))", func(m Type) Type {
			return arrayOf(structOf(Field{"key", *m.Key}, Field{"value", *m.Elem}))
		}),
		custom("map_contains_key", "(map, any) → boolean", "map_contains", "select map_contains_key(map(1, 'a'), 1), map_contains_key(map(1, 'a'), 2)", func(t *translator, c *call, a []ex) ex {
			if len(a) != 2 || a[0].typ.Kind != Map {
				return t.bad(c.Pos, c.name, "map_contains_key takes a map and a key")
			}
			return ex{sql: "list_contains(map_keys(" + a[0].sql + "), " + t.cast(a[1], *a[0].typ.Key, c.Pos).sql + ")", typ: simple(Boolean)}
		}),
		custom("map_from_arrays", "(array, array) → map", "map", "select map_from_arrays(array('a', 'b'), array(1, null))", func(t *translator, c *call, a []ex) ex {
			if len(a) != 2 || a[0].typ.Kind != Array || a[1].typ.Kind != Array {
				return t.bad(c.Pos, c.name, "map_from_arrays takes two arrays")
			}
			return ex{sql: "map(" + a[0].sql + ", " + a[1].sql + ")", typ: mapOf(*a[0].typ.Elem, *a[1].typ.Elem)}
		}),
		custom("map_from_entries", "(array of structs) → map", "map_from_entries", "select map_from_entries(array(struct('a', 1), struct('b', 2)))", func(t *translator, c *call, a []ex) ex {
			if len(a) != 1 || a[0].typ.Kind != Array || a[0].typ.Elem.Kind != Struct || len(a[0].typ.Elem.Fields) != 2 {
				return t.bad(c.Pos, c.name, "map_from_entries takes an array of structs of two fields")
			}
			f := a[0].typ.Elem.Fields
			return ex{sql: "map_from_entries(list_transform(" + a[0].sql + ", lambda spark_e: struct_pack(k := struct_extract(spark_e, " + duckString(f[0].Name) + "), v := struct_extract(spark_e, " + duckString(f[1].Name) + "))))", typ: mapOf(f[0].Type, f[1].Type)}
		}),
		custom("map_concat", "(map…) → map", "map_from_entries", "select map_concat(map(1, 'a'), map(3, 'c'))", func(t *translator, c *call, a []ex) ex {
			typ, us := t.unify(a, c.Pos, c.name)
			if typ.Kind != Map {
				return t.refuse(c.Pos, "map_concat over "+typ.String(), "")
			}
			var parts, nulls []string
			for _, u := range us {
				parts = append(parts, "map_entries("+u.sql+")")
				nulls = append(nulls, u.sql+" IS NULL")
			}
			return ex{sql: "CASE WHEN " + strings.Join(nulls, " OR ") + " THEN NULL ELSE map_from_entries(" + strings.Join(parts, " || ") + ") END", typ: typ}
		}),
		custom("str_to_map", "(string [, plain text, plain text]) → map", "map_from_entries of string_split", "select str_to_map('a:1,b:2,c'), str_to_map('x=1;y=2', ';', '=')", func(t *translator, c *call, a []ex) ex {
			seps := []string{",", ":"}
			for i := 1; i < len(a); i++ {
				if a[i].lit == nil || a[i].lit.kind != litString || a[i].lit.text == "" || strings.ContainsAny(a[i].lit.text, `\.[]{}()*+-?^$|`) {
					return t.refuse(c.Pos, "str_to_map with a pattern", "use plain separators")
				}
				seps[i-1] = a[i].lit.text
			}
			if len(a) < 1 || len(a) > 3 {
				return t.bad(c.Pos, c.name, "str_to_map takes one to three texts")
			}
			x := t.implicitString(a[0], c.Pos, c.name)
			return ex{sql: fmt.Sprintf("spark_str_to_map(%s, %s, %s)", x.sql, duckString(seps[0]), duckString(seps[1])), typ: mapOf(simple(String), simple(String))}
		}),
	}
}

func sqlList(t *translator, es []ex) string {
	parts := make([]string, len(es))
	for i, e := range es {
		parts[i] = t.typed(e)
	}
	return strings.Join(parts, ", ")
}

func fnType(n, types, duck, proof string, result func(Type) Type) *entry {
	return custom(n, types, duck, proof, func(t *translator, c *call, a []ex) ex {
		if len(a) != 1 || a[0].typ.Kind != Map {
			return t.bad(c.Pos, c.name, "%s takes a map", c.name)
		}
		return ex{sql: duck + "(" + a[0].sql + ")", typ: result(a[0].typ)}
	})
}
