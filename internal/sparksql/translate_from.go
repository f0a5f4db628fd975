package sparksql

import (
	"fmt"
	"strings"
)

// from translates the FROM clause and opens the scope of the SELECT.
func (t *translator) from(s *selectBody, ctes *cteBinding, outer *scope) (string, *scope) {
	sc := &scope{outer: outer, ctes: ctes}
	text := ""
	for i, r := range s.from {
		rt, cols := t.relation(r, ctes, sc, outer)
		if i > 0 {
			text += " CROSS JOIN "
		}
		text += rt
		sc.cols = append(sc.cols, cols...)
	}
	return text, sc
}

// relation translates one relation. left is the scope of what stands before it, for
// LATERAL; the columns it adds are returned.
func (t *translator) relation(r relation, ctes *cteBinding, left, outer *scope) (string, []binding) {
	switch r := r.(type) {
	case *tableRel:
		return t.table(r, ctes)
	case *queryRel:
		if r.sample != nil {
			t.refuse(r.Pos, "TABLESAMPLE", "the rows are chosen at random")
		}
		o := outer
		word := ""
		if r.lateral {
			o, word = left, "LATERAL "
		}
		res := t.query(r.query, ctes, o, false)
		return t.derived(word+"("+res.sql+")", res.cols, r.alias, r.Pos)
	case *valuesRel:
		res := t.values(r.values, r.alias.columns)
		return t.derived("("+res.sql+")", res.cols, relAlias{name: r.alias.name}, r.Pos)
	case *functionRel:
		return t.tableFunction(r, left)
	case *groupRel:
		text, cols := t.relation(r.rel, ctes, left, outer)
		if r.alias.name != nil {
			t.refuse(r.Pos, "an alias for a join in parentheses", "give the tables in it aliases")
		}
		return "(" + text + ")", cols
	case *join:
		return t.join(r, ctes, left, outer)
	case *pivot:
		return t.pivot(r, ctes, outer)
	case *unpivot:
		return t.unpivot(r, ctes, outer)
	}
	return "", nil
}

// derived names a subquery and its columns.
func (t *translator) derived(text string, cols []resultCol, a relAlias, at Pos) (string, []binding) {
	want := ""
	if a.name != nil {
		want = a.name.text
	}
	sqlAlias := t.alias(want)
	if len(a.columns) > 0 && len(a.columns) != len(cols) {
		t.bad(at, "alias", "the alias names %d columns, there are %d", len(a.columns), len(cols))
	}
	out := make([]binding, len(cols))
	for i, c := range cols {
		n := c.name
		if i < len(a.columns) {
			n = a.columns[i].text
		}
		out[i] = binding{name: n, sql: duckName(sqlAlias) + "." + duckName(c.sql), typ: c.typ}
		if want != "" {
			out[i].quals = []string{strings.ToLower(want)}
		}
	}
	return text + " AS " + duckName(sqlAlias), out
}

func (t *translator) table(r *tableRel, ctes *cteBinding) (string, []binding) {
	if r.sample != nil {
		t.refuse(r.Pos, "TABLESAMPLE", "the rows are chosen at random")
	}
	parts := make([]string, len(r.name))
	for i, n := range r.name {
		parts[i] = t.resolveName(n)
	}
	if r.name[0].place != nil {
		parts = strings.Split(parts[0], ".")
	}
	full := strings.Join(parts, ".")
	a := r.alias
	if a.name == nil {
		a.name = &name{Pos: r.Pos, text: parts[len(parts)-1]}
	}
	if len(r.name) == 1 && r.name[0].place == nil {
		if c := ctes.find(full); c != nil {
			return t.derived(duckName(c.sql), c.cols, a, r.Pos)
		}
	}
	text := ""
	if t.opt.Table != nil {
		text = t.opt.Table(full)
	} else {
		for i, p := range parts {
			if i > 0 {
				text += "."
			}
			text += duckName(p)
		}
	}
	var fields []Field
	known := false
	if t.opt.Catalog != nil {
		fields, known = t.opt.Catalog(full)
	}
	if !known {
		t.addFault(Fault{Construct: "table", Pos: r.Pos, NeedsTypes: true,
			Message: fmt.Sprintf("the columns of table %s are not known", full), Hint: "they are once the steps before this one have run, or their schemas are written down"})
		return text + " AS " + duckName(t.alias(a.name.text)), []binding{{name: "*", quals: []string{strings.ToLower(a.name.text)}}}
	}
	cols := make([]resultCol, len(fields))
	for i, f := range fields {
		cols[i] = resultCol{name: f.Name, sql: f.Name, typ: f.Type}
	}
	out, bs := t.derived(text, cols, a, r.Pos)
	if r.alias.name == nil && len(parts) > 1 {
		for i := range bs {
			bs[i].quals = append([]string{strings.ToLower(full)}, bs[i].quals...)
		}
	}
	return out, bs
}

var joinWords = map[string]string{"INNER": "JOIN", "LEFT": "LEFT JOIN", "RIGHT": "RIGHT JOIN", "FULL": "FULL JOIN", "CROSS": "CROSS JOIN",
	"LEFT SEMI": "SEMI JOIN", "LEFT ANTI": "ANTI JOIN"}

func (t *translator) join(r *join, ctes *cteBinding, left, outer *scope) (string, []binding) {
	ltext, lcols := t.relation(r.l, ctes, left, outer)
	in := &scope{outer: outer, cols: append(append([]binding{}, left.cols...), lcols...)}
	rtext, rcols := t.relation(r.r, ctes, in, outer)
	if _, ok := r.r.(*join); ok {
		rtext = "(" + rtext + ")"
	}
	both := append(append([]binding{}, lcols...), rcols...)
	using := r.using
	if r.natural {
		using = commonNames(lcols, rcols, r.Pos)
		if len(using) == 0 && r.kind != "CROSS" {
			return ltext + " " + joinWords[r.kind] + " " + rtext + " ON true", both
		}
	}
	var on string
	cols := both
	switch {
	case len(using) > 0:
		on, cols = t.using(r, using, lcols, rcols)
	case r.on != nil:
		sc := &scope{outer: outer, cols: both, ctes: ctes}
		on = t.condition(r.on, sc, "ON").sql
	case r.kind == "CROSS":
		return ltext + " CROSS JOIN " + rtext, both
	default:
		on = "true"
	}
	if strings.HasPrefix(r.kind, "LEFT ") && r.kind != "LEFT" {
		cols = onlyLeft(cols, len(lcols))
		if len(using) > 0 {
			cols = lcols
		}
	}
	return ltext + " " + joinWords[r.kind] + " " + rtext + " ON " + on, cols
}

func onlyLeft(cols []binding, n int) []binding { return cols[:min(n, len(cols))] }

func commonNames(l, r []binding, at Pos) []name {
	var out []name
	for _, a := range l {
		for _, b := range r {
			if !a.hidden && !b.hidden && strings.EqualFold(a.name, b.name) {
				out = append(out, name{Pos: at, text: a.name})
			}
		}
	}
	return out
}

// using merges the named columns: they come first, once.
func (t *translator) using(r *join, names []name, lcols, rcols []binding) (string, []binding) {
	var conds []string
	var merged []binding
	ls, rs := append([]binding{}, lcols...), append([]binding{}, rcols...)
	for _, n := range names {
		li, ri := findBinding(ls, n.text), findBinding(rs, n.text)
		if li < 0 || ri < 0 {
			t.bad(n.Pos, "USING", "column %s is not on both sides of the join", n.text)
			continue
		}
		l, rr := ls[li], rs[ri]
		le, re := ex{sql: l.sql, typ: l.typ}, ex{sql: rr.sql, typ: rr.typ}
		conds = append(conds, t.compare("=", le, re, n.Pos).sql)
		m := binding{name: l.name, sql: l.sql, typ: l.typ}
		switch r.kind {
		case "RIGHT":
			m = binding{name: rr.name, sql: rr.sql, typ: rr.typ}
		case "FULL":
			typ := t.widerOrFault(n.Pos, "USING", l.typ, rr.typ)
			m.sql = "coalesce(" + t.cast(le, typ, n.Pos).sql + ", " + t.cast(re, typ, n.Pos).sql + ")"
			m.typ = typ
		}
		ls[li].hidden, rs[ri].hidden = true, true
		merged = append(merged, m)
	}
	return strings.Join(conds, " AND "), append(append(merged, ls...), rs...)
}

func findBinding(cols []binding, n string) int {
	for i, c := range cols {
		if !c.hidden && strings.EqualFold(c.name, n) {
			return i
		}
	}
	return -1
}

// lateralView joins the rows that a generator makes of each row.
func (t *translator) lateralView(from string, v *lateralView, sc *scope) string {
	g := *sc
	g.grouped = false
	gen := t.generator(v.gen, &g, v.outer)
	if gen.unknown {
		gen.cols = unknownCols(v.columns)
	}
	if len(v.columns) > 0 && len(v.columns) != len(gen.cols) {
		t.bad(v.Pos, "LATERAL VIEW", "%s makes %d columns, %d are named", v.gen.name, len(gen.cols), len(v.columns))
	}
	a := relAlias{columns: v.columns}
	if v.alias.text != "" {
		a.name = &v.alias
	}
	return t.attach(from, gen, a, sc, v.Pos)
}

func (t *translator) attach(from string, gen generated, a relAlias, sc *scope, at Pos) string {
	text, cols := t.derived("LATERAL ("+gen.sql+")", gen.cols, a, at)
	sc.cols = append(sc.cols, cols...)
	switch {
	case from == "" && !gen.outer:
		return strings.TrimPrefix(text, "LATERAL ")
	case from == "":
		return "(SELECT 1) AS " + duckName(t.alias("one")) + " LEFT JOIN " + text + " ON true"
	case gen.outer:
		return from + " LEFT JOIN " + text + " ON true"
	}
	return from + " CROSS JOIN " + text
}

// tableFunction translates explode(…), range(…) and the like in FROM.
func (t *translator) tableFunction(r *functionRel, left *scope) (string, []binding) {
	if r.call.name == "range" && len(r.call.qualifier) == 0 {
		return t.rangeFunction(r)
	}
	sc := &scope{outer: nil}
	if r.lateral {
		sc = left
	}
	gen := t.generator(r.call, sc, false)
	if gen.unknown {
		gen.cols = unknownCols(r.alias.columns)
	}
	text := "(" + gen.sql + ")"
	if gen.outer {
		one := duckName(t.alias("one"))
		list := make([]string, len(gen.cols))
		g := duckName(t.alias("g"))
		for i, c := range gen.cols {
			list[i] = g + "." + duckName(c.sql)
		}
		text = "(SELECT " + strings.Join(list, ", ") + " FROM (SELECT 1) AS " + one + " LEFT JOIN LATERAL (" + gen.sql + ") AS " + g + " ON true)"
	}
	if r.lateral {
		text = "LATERAL " + text
	}
	return t.derived(text, gen.cols, r.alias, r.Pos)
}

func (t *translator) rangeFunction(r *functionRel) (string, []binding) {
	n := len(r.call.args)
	if n < 1 || n > 4 {
		t.bad(r.Pos, "range", "range takes one to four numbers")
		return "", nil
	}
	var a []string
	for i, x := range r.call.args {
		if i == 3 {
			break // the number of partitions
		}
		e := t.expr(x.x, &scope{})
		if e.typ.known() && !e.typ.integral() {
			t.refuse(x.x.at(), "range", "its arguments are whole numbers")
		}
		a = append(a, t.cast(e, simple(Long), x.x.at()).sql)
	}
	g := duckName(t.alias("r"))
	text := "(SELECT " + g + ".v AS \"id\" FROM range(" + strings.Join(a, ", ") + ") AS " + g + "(v))"
	return t.derived(text, []resultCol{{name: "id", sql: "id", typ: simple(Long)}}, r.alias, r.Pos)
}

// pivot becomes a GROUP BY of all columns that are not named, with an aggregate for each
// value that sees only its rows.
func (t *translator) pivot(r *pivot, ctes *cteBinding, outer *scope) (string, []binding) {
	text, cols := t.relation(r.rel, ctes, &scope{}, outer)
	sc := &scope{outer: outer, cols: cols, grouped: true}
	used := map[string]bool{}
	for _, c := range r.columns {
		used[strings.ToLower(c.text)] = true
	}
	for _, a := range r.aggs {
		if !anyExpr(a.x, isAggregate) {
			t.bad(a.x.at(), "PIVOT", "PIVOT wants an aggregate")
		}
		anyExpr(a.x, func(x expr) bool {
			if c, ok := x.(*column); ok {
				used[strings.ToLower(c.parts[len(c.parts)-1].text)] = true
				used[strings.ToLower(c.parts[0].text)] = true
			}
			return false
		})
	}
	var list, keys []string
	var out []resultCol
	for _, c := range cols {
		if !c.hidden && !used[strings.ToLower(c.name)] {
			keys = append(keys, c.sql)
			list = append(list, c.sql)
			out = append(out, resultCol{name: c.name, typ: c.typ})
		}
	}
	firstOnly := t.pivotByFirst(r, sc)
	for _, v := range r.values {
		cond, label, ok := t.pivotCondition(r, v, sc)
		if !ok {
			continue
		}
		for _, a := range r.aggs {
			x := filtered(a.x, cond)
			e := t.expr(x, sc)
			if firstOnly {
				// Spark aggregates before it turns the rows: no row gives NULL, not a count of 0.
				has := t.expr(&call{Pos: r.Pos, name: "count", args: []arg{{x: &star{Pos: r.Pos}}}, filter: cond}, sc)
				e.sql = "CASE WHEN " + has.sql + " > 0 THEN " + e.sql + " END"
			}
			n := label
			if len(r.aggs) > 1 {
				if a.alias != nil {
					n += "_" + a.alias.text
				} else {
					n += "_" + columnName(a.x)
				}
			}
			list = append(list, e.sql)
			out = append(out, resultCol{name: n, typ: e.typ})
		}
	}
	uniqueNames(out)
	for i := range out {
		if i < len(list) {
			list[i] += " AS " + duckName(out[i].sql)
		}
	}
	sql := "(SELECT " + strings.Join(list, ", ") + " FROM " + text
	if len(keys) > 0 {
		sql += " GROUP BY " + strings.Join(keys, ", ")
	}
	return t.derived(sql+")", out, r.alias, r.Pos)
}

// pivotByFirst says whether Spark aggregates in two phases, which it does when every
// result is a number or a boolean; else each aggregate sees NULL for the other rows.
func (t *translator) pivotByFirst(r *pivot, sc *scope) bool {
	first := true
	for _, a := range r.aggs {
		e := t.expr(a.x, sc)
		first = first && (!e.typ.known() || e.typ.numeric() || e.typ.Kind == Boolean)
	}
	for _, a := range r.aggs {
		if !first && anyExpr(a.x, func(x expr) bool {
			c, ok := x.(*call)
			return ok && contains([]string{"first", "first_value", "any_value", "last", "last_value", "max_by", "min_by", "count"}, c.name)
		}) {
			t.refuse(a.x.at(), "PIVOT with this aggregate beside others that are no numbers", "")
		}
	}
	return first
}

func (t *translator) pivotCondition(r *pivot, v pivotValue, sc *scope) (expr, string, bool) {
	items := []expr{v.x}
	if tp, ok := v.x.(*tuple); ok && len(r.columns) > 1 {
		items = tp.items
	}
	if len(items) != len(r.columns) {
		t.bad(v.x.at(), "PIVOT", "a value has %d parts for %d columns", len(items), len(r.columns))
		return nil, "", false
	}
	var cond expr
	var labels []string
	for i, x := range items {
		l, ok := x.(*literal)
		if !ok {
			t.refuse(x.at(), "PIVOT over values that are no constants", "")
			return nil, "", false
		}
		var c expr = &binary{Pos: x.at(), op: "<=>", l: &column{Pos: r.Pos, parts: []name{r.columns[i]}}, r: x}
		if cond != nil {
			c = &binary{Pos: x.at(), op: "AND", l: cond, r: c}
		}
		cond = c
		if l.kind == litNull {
			labels = append(labels, "null")
		} else {
			labels = append(labels, columnName(l))
		}
	}
	label := strings.Join(labels, "_")
	if len(items) > 1 {
		label = "{" + strings.Join(labels, ", ") + "}"
	}
	if v.alias != nil {
		label = v.alias.text
	}
	_ = sc
	return cond, label, true
}

// filtered gives every aggregate of x a condition on its rows.
func filtered(x expr, cond expr) expr {
	switch x := x.(type) {
	case *call:
		c := *x
		if isAggregate(x) {
			if c.filter != nil {
				c.filter = &binary{Pos: x.Pos, op: "AND", l: c.filter, r: cond}
			} else {
				c.filter = cond
			}
			return &c
		}
		c.args = append([]arg{}, x.args...)
		for i := range c.args {
			c.args[i].x = filtered(c.args[i].x, cond)
		}
		return &c
	case *binary:
		return &binary{Pos: x.Pos, op: x.op, l: filtered(x.l, cond), r: filtered(x.r, cond)}
	case *unary:
		return &unary{Pos: x.Pos, op: x.op, x: filtered(x.x, cond)}
	case *cast:
		return &cast{Pos: x.Pos, x: filtered(x.x, cond), typ: x.typ, try: x.try}
	}
	return x
}

// unpivot becomes one row a column group, made by a list that is unnested.
func (t *translator) unpivot(r *unpivot, ctes *cteBinding, outer *scope) (string, []binding) {
	text, cols := t.relation(r.rel, ctes, &scope{}, outer)
	sc := &scope{outer: outer, cols: cols}
	used := map[string]bool{}
	types := make([]Type, len(r.valueCols))
	var groups [][]ex
	for gi, u := range r.columns {
		if len(u.columns) != len(r.valueCols) {
			t.bad(r.Pos, "UNPIVOT", "a group has %d columns for %d values", len(u.columns), len(r.valueCols))
			return "", nil
		}
		var g []ex
		for i, c := range u.columns {
			e := t.expr(c, sc)
			used[e.sql] = true
			g = append(g, e)
			if gi == 0 {
				types[i] = e.typ
			} else {
				types[i] = t.widerOrFault(c.Pos, "UNPIVOT", types[i], e.typ)
			}
		}
		groups = append(groups, g)
	}
	var out []resultCol
	var list []string
	for _, c := range cols {
		if !c.hidden && !used[c.sql] {
			out = append(out, resultCol{name: c.name, typ: c.typ})
			list = append(list, c.sql)
		}
	}
	a := duckName(t.alias("p"))
	out = append(out, resultCol{name: r.nameCol.text, typ: simple(String)})
	list = append(list, a+".u.n")
	var notNull []string
	for i, v := range r.valueCols {
		out = append(out, resultCol{name: v.text, typ: types[i]})
		f := fmt.Sprintf("%s.u.v%d", a, i)
		list = append(list, f)
		notNull = append(notNull, f+" IS NOT NULL")
	}
	uniqueNames(out)
	for i := range out {
		list[i] += " AS " + duckName(out[i].sql)
	}
	var rows []string
	for gi, g := range groups {
		label := unpivotLabel(r.columns[gi])
		fs := []string{"n := " + duckString(label)}
		for i, e := range g {
			fs = append(fs, fmt.Sprintf("v%d := %s", i, t.typed(t.cast(e, types[i], r.Pos))))
		}
		rows = append(rows, "struct_pack("+strings.Join(fs, ", ")+")")
	}
	sql := "(SELECT " + strings.Join(list, ", ") + " FROM " + text + " CROSS JOIN LATERAL (SELECT unnest([" + strings.Join(rows, ", ") + "]) AS u) AS " + a
	if r.nulls != "INCLUDE" {
		sql += " WHERE " + strings.Join(notNull, " OR ")
	}
	return t.derived(sql+")", out, r.alias, r.Pos)
}

func unpivotLabel(c unpivotColumn) string {
	if c.alias != nil {
		return c.alias.text
	}
	var ns []string
	for _, x := range c.columns {
		ns = append(ns, x.parts[len(x.parts)-1].text)
	}
	return strings.Join(ns, "_")
}
