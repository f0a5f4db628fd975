package sparksql

import (
	"strconv"
	"strings"
)

// item is one column of a select list after stars are written out.
type item struct {
	name string
	val  ex
	x    expr
}

func (t *translator) selectBody(s *selectBody, q *query, ctes *cteBinding, outer *scope, top bool) result {
	from, sc := t.from(s, ctes, outer)
	sc.windows = t.namedWindows(s, q)
	sc.grouped = true
	for _, v := range s.views {
		from = t.lateralView(from, v, sc)
	}
	s, from = t.selectGenerators(s, from, sc)
	items := t.items(s, sc)
	b := &strings.Builder{}
	b.WriteString("SELECT ")
	if s.distinct {
		b.WriteString("DISTINCT ")
	}
	cols := make([]resultCol, len(items))
	for i, it := range items {
		cols[i] = resultCol{name: it.name, typ: it.val.typ}
		if s.distinct && it.val.typ.Kind == Map {
			t.refuse(s.Pos, "DISTINCT over maps", "Spark does not compare maps")
		}
	}
	uniqueNames(cols)
	for i, it := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		n := cols[i].sql
		if top {
			n = cols[i].name
		}
		b.WriteString(it.val.sql + " AS " + duckName(n))
	}
	if len(items) == 0 {
		b.WriteString("NULL")
	}
	if from != "" {
		b.WriteString(" FROM " + from)
	}
	if s.where != nil {
		w := *sc
		w.grouped = false
		b.WriteString(" WHERE " + t.condition(s.where, &w, "WHERE").sql)
	}
	groupText := ""
	if s.group != nil {
		groupText = t.groupBy(s, items, sc)
		b.WriteString(groupText)
	}
	sc.aliases = nil
	for _, it := range items {
		sc.aliases = append(sc.aliases, aliasItem{it.name, it.val})
	}
	if s.having != nil {
		if s.group == nil && !t.aggregated(s) {
			t.refuse(s.having.at(), "HAVING without GROUP BY", "")
		}
		b.WriteString(" HAVING " + t.condition(s.having, sc, "HAVING").sql)
	}
	if q != nil {
		b.WriteString(t.orderBy(q.order, sc, s.distinct))
		b.WriteString(t.limits(q))
	}
	return result{sql: b.String(), cols: cols}
}

func (t *translator) aggregated(s *selectBody) bool {
	for _, it := range s.items {
		if anyExpr(it.x, isAggregate) {
			return true
		}
	}
	return false
}

func isAggregate(x expr) bool {
	c, ok := x.(*call)
	return ok && c.over == nil && table().aggs[c.name] != nil
}

func (t *translator) condition(x expr, sc *scope, clause string) ex {
	e := t.expr(x, sc)
	if e.typ.known() && e.typ.Kind != Boolean && e.typ.Kind != Void {
		if e.typ.Kind == String {
			return t.cast(e, simple(Boolean), x.at())
		}
		return t.bad(x.at(), clause, "%s wants a condition, found %s", clause, e.typ)
	}
	return e
}

func (t *translator) namedWindows(s *selectBody, q *query) map[string]*windowSpec {
	m := map[string]*windowSpec{}
	for _, w := range s.windows {
		m[strings.ToLower(w.name)] = w.spec
	}
	if q != nil {
		for _, w := range q.windows {
			m[strings.ToLower(w.name)] = w.spec
		}
	}
	return m
}

// items writes out stars and translates the select list.
func (t *translator) items(s *selectBody, sc *scope) []item {
	var out []item
	for _, it := range s.items {
		if st, ok := it.x.(*star); ok {
			out = append(out, t.expandStar(st, sc)...)
			continue
		}
		if len(it.aliases) > 0 {
			t.refuse(it.x.at(), "AS (…)", "several names for one column")
			continue
		}
		// A name that no column has may be one of the select items before it.
		sc.aliases = nil
		for _, o := range out {
			sc.aliases = append(sc.aliases, aliasItem{o.name, o.val})
		}
		e := t.expr(it.x, sc)
		n := ""
		if it.alias != nil {
			n = t.resolveName(*it.alias)
		} else {
			n = columnName(it.x)
		}
		out = append(out, item{name: n, val: e, x: it.x})
	}
	sc.aliases = nil
	return out
}

func (t *translator) resolveName(n name) string {
	if n.place == nil {
		return n.text
	}
	if t.opt.Name == nil {
		t.fault(n.Pos, "identifier", "identifier({{ … }}) has no value here", "")
		return "unknown"
	}
	s, err := t.opt.Name(*n.place)
	if err != nil {
		t.fault(n.Pos, "identifier", err.Error(), "")
	}
	return s
}

func (t *translator) expandStar(st *star, sc *scope) []item {
	if len(st.except) > 0 {
		t.refuse(st.Pos, "* EXCEPT", "Spark 3.5 has it not: name the columns")
	}
	var out []item
	except := map[string]bool{}
	for _, c := range st.except {
		if len(c.parts) != 1 {
			t.refuse(c.Pos, "EXCEPT of nested fields", "")
			continue
		}
		except[strings.ToLower(c.parts[0].text)] = true
	}
	qual := ""
	if len(st.qualifier) > 0 {
		qual = strings.ToLower(st.qualifier[len(st.qualifier)-1].text)
	}
	found := false
	for _, c := range sc.cols {
		if qual == "" && c.hidden || qual != "" && !contains(c.quals, qual) {
			continue
		}
		found = true
		if except[strings.ToLower(c.name)] {
			delete(except, strings.ToLower(c.name))
			continue
		}
		out = append(out, item{name: c.name, val: ex{sql: c.sql, typ: c.typ}, x: &column{Pos: st.Pos, parts: []name{{text: c.name}}}})
	}
	if qual != "" && !found {
		e := t.expr(&column{Pos: st.Pos, parts: st.qualifier}, sc)
		if e.typ.Kind == Struct {
			for _, f := range e.typ.Fields {
				out = append(out, item{name: f.Name, val: t.fieldOf(e, f), x: st})
			}
		}
	}
	for n := range except {
		t.bad(st.Pos, "EXCEPT", "there is no column %s to leave out", n)
	}
	return out
}

// fieldOf reads a field of a struct.
func (t *translator) fieldOf(e ex, f Field) ex {
	return ex{sql: "struct_extract(" + e.sql + ", " + duckString(f.Name) + ")", typ: f.Type}
}

// groupBy translates the clause; an item may be an ordinal or the alias of a select item.
func (t *translator) groupBy(s *selectBody, items []item, sc *scope) string {
	if s.group.all {
		var keys []string
		for _, it := range items {
			if it.x == nil || !anyExpr(it.x, isAggregate) {
				keys = append(keys, it.val.sql)
			}
		}
		if len(keys) == 0 {
			return ""
		}
		return " GROUP BY " + strings.Join(keys, ", ")
	}
	g := *sc
	g.grouped = false
	g.aliases = nil
	for _, it := range items {
		g.aliases = append(g.aliases, aliasItem{it.name, it.val})
	}
	key := func(x expr) string { return t.groupKey(x, items, &g) }
	var parts []string
	for _, e := range s.group.more {
		if e.kind == "" {
			if tp, ok := e.x.(*tuple); ok {
				for _, x := range tp.items {
					parts = append(parts, key(x))
				}
				continue
			}
			parts = append(parts, key(e.x))
			continue
		}
		var sets []string
		for _, set := range e.sets {
			var ks []string
			for _, x := range set {
				ks = append(ks, key(x))
			}
			if len(ks) == 1 {
				sets = append(sets, ks[0])
			} else {
				sets = append(sets, "("+strings.Join(ks, ", ")+")")
			}
		}
		word := e.kind
		if word == "SETS" {
			word = "GROUPING SETS "
		}
		parts = append(parts, word+"("+strings.Join(sets, ", ")+")")
	}
	return " GROUP BY " + strings.Join(parts, ", ")
}

func (t *translator) groupKey(x expr, items []item, g *scope) string {
	if l, ok := x.(*literal); ok && l.kind == litInt {
		n, err := strconv.Atoi(l.text)
		if err != nil || n < 1 || n > len(items) {
			t.bad(x.at(), "GROUP BY", "GROUP BY position %s is not in the select list of %d", l.text, len(items))
			return "NULL"
		}
		if items[n-1].x != nil && anyExpr(items[n-1].x, isAggregate) {
			t.bad(x.at(), "GROUP BY", "GROUP BY position %d is an aggregate", n)
		}
		return items[n-1].val.sql
	}
	e := t.expr(x, g)
	if e.typ.Kind == Map {
		t.refuse(x.at(), "GROUP BY a map", "Spark does not compare maps")
	}
	return e.sql
}

// orderBy makes the place of NULL explicit: Spark has them first going up, last going down.
func (t *translator) orderBy(items []sortItem, sc *scope, distinct bool) string {
	if len(items) == 0 {
		return ""
	}
	o := *sc
	o.grouped = true
	out := make([]string, len(items))
	for i, s := range items {
		e, fromList := t.orderKey(s.x, &o)
		if distinct && !fromList {
			t.refuse(s.x.at(), "ORDER BY beside DISTINCT", "order by a column of the select list")
		}
		out[i] = e.sql + direction(s)
		if e.typ.Kind == Map {
			t.refuse(s.x.at(), "ORDER BY a map", "Spark does not compare maps")
		}
	}
	return " ORDER BY " + strings.Join(out, ", ")
}

// orderKey prefers the names of the select list to those of the tables, as Spark does.
func (t *translator) orderKey(x expr, sc *scope) (ex, bool) {
	if l, ok := x.(*literal); ok && l.kind == litInt {
		n, err := strconv.Atoi(l.text)
		if err != nil || n < 1 || n > len(sc.aliases) {
			return t.bad(x.at(), "ORDER BY", "ORDER BY position %s is not in the select list of %d", l.text, len(sc.aliases)), false
		}
		return sc.aliases[n-1].val, true
	}
	if c, ok := x.(*column); ok && len(c.parts) == 1 {
		var found []ex
		for _, a := range sc.aliases {
			if strings.EqualFold(a.name, c.parts[0].text) && (len(found) == 0 || found[0].sql != a.val.sql) {
				found = append(found, a.val)
			}
		}
		if len(found) == 1 {
			return found[0], true
		}
	}
	inner := *sc
	// Inside an expression a name of the select list wins too.
	for _, a := range sc.aliases {
		inner.cols = append([]binding{{name: a.name, sql: "(" + a.val.sql + ")", typ: a.val.typ}}, without(inner.cols, a.name)...)
	}
	e := t.expr(x, &inner)
	for _, a := range sc.aliases {
		if a.val.sql == e.sql {
			return e, true
		}
	}
	return e, false
}

// without leaves out the columns that an unqualified name would find.
func without(cols []binding, n string) []binding {
	var out []binding
	for _, c := range cols {
		if strings.EqualFold(c.name, n) && !c.hidden {
			c.hidden = true
		}
		out = append(out, c)
	}
	return out
}

func direction(s sortItem) string {
	word := " ASC"
	nulls := "FIRST"
	if s.desc {
		word, nulls = " DESC", "LAST"
	}
	if s.nulls != "" {
		nulls = s.nulls
	}
	return word + " NULLS " + nulls
}
