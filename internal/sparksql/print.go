package sparksql

import (
	"strings"
)

// String prints the query as Spark text on one line. Parsing it again gives the same
// tree. The {{ … }} stand as they were written.
func (q *Query) String() string {
	w := &printer{}
	w.query(q.root)
	return w.b.String()
}

// Spark prints the query with a literal in the place of each {{ … }}: value is asked
// for a value's text in Spark's words (see Literal), nameOf for a name's.
func (q *Query) Spark(value func(Param) (string, error), nameOf func(Param) (string, error)) (string, error) {
	w := &printer{value: value, nameOf: nameOf}
	w.query(q.root)
	return w.b.String(), w.err
}

// Literal quotes a string as a Spark literal.
func Literal(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'':
			b.WriteString(`\'`)
		case '\\':
			b.WriteString(`\\`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case 0:
			b.WriteString(`\0`)
		case '{':
			// Two braces would read as a template when the text is parsed again.
			b.WriteString(`\{`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// likeLiteral prints a string whose \% and \_ the lexer kept.
func stringLiteral(s string) string {
	return strings.NewReplacer(`\\%`, `\%`, `\\_`, `\_`).Replace(Literal(s))
}

var mustQuote = func() map[string]bool {
	m := wordSet(`INTERVAL CASE CAST TRY_CAST EXISTS NULL TRUE FALSE NOT DISTINCT ALL VALUES WITH TABLE BY
		IDENTIFIER FILTER OVER WITHIN IGNORE RESPECT NULLS ROWS RANGE UNBOUNDED CURRENT PRECEDING FOLLOWING ROLLUP CUBE GROUPING SETS ESCAPE FOR TO OUT OF
		PERCENT BUCKET REPEATABLE INCLUDE EXCLUDE PARTITION OUTER PLACING BOTH LEADING TRAILING ANY SOME UNKNOWN REGEXP VIEW FETCH VERSION RECURSIVE COMMENT FIRST LAST`)
	for _, s := range []map[string]bool{reserved, notAlias} {
		for k := range s {
			m[k] = true
		}
	}
	for k := range intervalUnits {
		m[k] = true
	}
	return m
}()

func plainName(s string) bool {
	if s == "" || isDigit(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return true
}

// quoteName prints a name, in backticks where it needs them.
func quoteName(s string) string {
	if plainName(s) && !mustQuote[strings.ToUpper(s)] {
		return s
	}
	return "`" + strings.ReplaceAll(s, "`", "``") + "`"
}

type printer struct {
	b      strings.Builder
	value  func(Param) (string, error)
	nameOf func(Param) (string, error)
	err    error
}

func (w *printer) s(parts ...string) {
	for _, p := range parts {
		w.b.WriteString(p)
	}
}

func (w *printer) list(n int, f func(i int)) {
	for i := range n {
		if i > 0 {
			w.s(", ")
		}
		f(i)
	}
}

func (w *printer) name(n name) {
	switch {
	case n.place == nil:
		w.s(quoteName(n.text))
	case w.nameOf != nil:
		text, err := w.nameOf(*n.place)
		if err != nil && w.err == nil {
			w.err = err
		}
		w.s("identifier(", Literal(text), ")")
	default:
		w.s("identifier({{", n.place.Raw, "}})")
	}
}

func (w *printer) names(ns []name, sep string) {
	for i, n := range ns {
		if i > 0 {
			w.s(sep)
		}
		w.name(n)
	}
}

func (w *printer) query(q *query) {
	if len(q.with) > 0 {
		w.s("WITH ")
		w.list(len(q.with), func(i int) {
			c := q.with[i]
			w.name(c.name)
			if len(c.columns) > 0 {
				w.s("(")
				w.names(c.columns, ", ")
				w.s(")")
			}
			w.s(" AS (")
			w.query(c.query)
			w.s(")")
		})
		w.s(" ")
	}
	w.body(q.body, false)
	w.sorts(" ORDER BY ", q.order)
	w.sorts(" SORT BY ", q.sort)
	w.exprs(" CLUSTER BY ", q.cluster)
	w.exprs(" DISTRIBUTE BY ", q.distribute)
	w.windows(q.windows)
	if q.limit != nil {
		w.s(" LIMIT ")
		w.expr(q.limit, 0)
	}
	if q.offset != nil {
		w.s(" OFFSET ")
		w.expr(q.offset, 0)
	}
}

func (w *printer) sorts(head string, items []sortItem) {
	if len(items) == 0 {
		return
	}
	w.s(head)
	w.list(len(items), func(i int) {
		w.expr(items[i].x, 0)
		if items[i].desc {
			w.s(" DESC")
		}
		if items[i].nulls != "" {
			w.s(" NULLS ", items[i].nulls)
		}
	})
}

func (w *printer) exprs(head string, xs []expr) {
	if len(xs) == 0 {
		return
	}
	w.s(head)
	w.list(len(xs), func(i int) { w.expr(xs[i], 0) })
}

func (w *printer) windows(ws []namedWindow) {
	if len(ws) == 0 {
		return
	}
	w.s(" WINDOW ")
	w.list(len(ws), func(i int) {
		w.s(quoteName(ws[i].name), " AS ")
		w.window(ws[i].spec, true)
	})
}

// body prints an operand; tight wants parentheses around a looser set operation.
func (w *printer) body(b queryBody, tight bool) {
	switch b := b.(type) {
	case *query:
		w.s("(")
		w.query(b)
		w.s(")")
	case *setOp:
		if tight {
			w.s("(")
		}
		if l, ok := b.l.(*setOp); ok && b.op == "INTERSECT" && l.op != "INTERSECT" {
			w.body(b.l, true)
		} else {
			w.body(b.l, false)
		}
		w.s(" ", b.op)
		if b.all {
			w.s(" ALL")
		}
		w.s(" ")
		r, ok := b.r.(*setOp)
		w.body(b.r, ok && (b.op == "INTERSECT" || r.op != "INTERSECT"))
		if tight {
			w.s(")")
		}
	case *values:
		w.values(b)
	case *tableBody:
		w.s("TABLE ")
		w.names(b.name, ".")
	case *selectBody:
		w.selectBody(b)
	}
}

func (w *printer) values(v *values) {
	w.exprs("VALUES ", v.rows)
}

func (w *printer) selectBody(s *selectBody) {
	w.s("SELECT ")
	for _, h := range s.hints {
		w.s("/*+ ", quoteName(h.name))
		if len(h.args) > 0 {
			w.exprs("(", h.args)
			w.s(")")
		}
		w.s(" */ ")
	}
	if s.distinct {
		w.s("DISTINCT ")
	}
	w.list(len(s.items), func(i int) {
		it := s.items[i]
		w.expr(it.x, 0)
		if it.alias != nil {
			w.s(" AS ")
			w.name(*it.alias)
		} else if len(it.aliases) > 0 {
			w.s(" AS (")
			w.names(it.aliases, ", ")
			w.s(")")
		}
	})
	if len(s.from) > 0 {
		w.s(" FROM ")
		w.list(len(s.from), func(i int) { w.relation(s.from[i]) })
	}
	for _, v := range s.views {
		w.s(" LATERAL VIEW ")
		if v.outer {
			w.s("OUTER ")
		}
		w.expr(v.gen, 0)
		if v.alias.text != "" {
			w.s(" ")
			w.name(v.alias)
		}
		if len(v.columns) > 0 {
			w.s(" AS ")
			w.names(v.columns, ", ")
		}
	}
	if s.where != nil {
		w.s(" WHERE ")
		w.expr(s.where, 0)
	}
	if s.group != nil {
		w.groupBy(s.group)
	}
	if s.having != nil {
		w.s(" HAVING ")
		w.expr(s.having, 0)
	}
	w.windows(s.windows)
}

func (w *printer) groupBy(g *groupBy) {
	w.s(" GROUP BY ")
	if g.all {
		w.s("ALL")
		return
	}
	w.list(len(g.more), func(i int) {
		e := g.more[i]
		if e.kind == "" {
			w.expr(e.x, 0)
			return
		}
		if e.kind == "SETS" {
			w.s("GROUPING SETS (")
		} else {
			w.s(e.kind, "(")
		}
		w.list(len(e.sets), func(j int) {
			if len(e.sets[j]) == 1 {
				w.expr(e.sets[j][0], 0)
				return
			}
			w.s("(")
			w.exprs("", e.sets[j])
			w.s(")")
		})
		w.s(")")
	})
}

func (w *printer) alias(a relAlias) {
	if a.name == nil {
		return
	}
	w.s(" AS ")
	w.name(*a.name)
	if len(a.columns) > 0 {
		w.s("(")
		w.names(a.columns, ", ")
		w.s(")")
	}
}

func (w *printer) sample(s *sample) {
	if s == nil {
		return
	}
	w.s(" TABLESAMPLE (")
	if s.kind == "BUCKET" {
		w.s("BUCKET ")
		w.expr(s.value, 0)
		w.s(" OUT OF ", s.outOf)
	} else {
		w.expr(s.value, 0)
		w.s(" ", s.kind)
	}
	w.s(")")
	if s.repeatable != "" {
		w.s(" REPEATABLE (", s.repeatable, ")")
	}
}

func (w *printer) relation(r relation) {
	switch r := r.(type) {
	case *tableRel:
		w.names(r.name, ".")
		w.sample(r.sample)
		w.alias(r.alias)
	case *queryRel:
		if r.lateral {
			w.s("LATERAL ")
		}
		w.s("(")
		w.query(r.query)
		w.s(")")
		w.sample(r.sample)
		w.alias(r.alias)
	case *functionRel:
		if r.lateral {
			w.s("LATERAL ")
		}
		w.expr(r.call, 0)
		w.alias(r.alias)
	case *valuesRel:
		w.values(r.values)
		w.alias(r.alias)
	case *groupRel:
		w.s("(")
		w.relation(r.rel)
		w.s(")")
		w.alias(r.alias)
	case *join:
		w.join(r)
	case *pivot:
		w.pivot(r)
	case *unpivot:
		w.unpivot(r)
	}
}

func (w *printer) join(r *join) {
	w.relation(r.l)
	if r.natural {
		w.s(" NATURAL")
	}
	if r.kind != "INNER" {
		w.s(" ", r.kind)
	}
	w.s(" JOIN ")
	_, nested := r.r.(*join)
	if nested {
		w.s("(")
	}
	w.relation(r.r)
	if nested {
		w.s(")")
	}
	if r.on != nil {
		w.s(" ON ")
		w.expr(r.on, 0)
	}
	if len(r.using) > 0 {
		w.s(" USING (")
		w.names(r.using, ", ")
		w.s(")")
	}
}

func (w *printer) optional(n *name) {
	if n != nil {
		w.s(" AS ")
		w.name(*n)
	}
}

func (w *printer) pivot(r *pivot) {
	w.relation(r.rel)
	w.s(" PIVOT (")
	w.list(len(r.aggs), func(i int) {
		w.expr(r.aggs[i].x, 0)
		w.optional(r.aggs[i].alias)
	})
	w.s(" FOR ")
	w.maybeParen(len(r.columns) > 1, func() { w.names(r.columns, ", ") })
	w.s(" IN (")
	w.list(len(r.values), func(i int) {
		w.expr(r.values[i].x, 0)
		w.optional(r.values[i].alias)
	})
	w.s("))")
	w.alias(r.alias)
}

func (w *printer) maybeParen(yes bool, f func()) {
	if yes {
		w.s("(")
	}
	f()
	if yes {
		w.s(")")
	}
}

func (w *printer) unpivot(r *unpivot) {
	w.relation(r.rel)
	w.s(" UNPIVOT ")
	if r.nulls != "" {
		w.s(r.nulls, " NULLS ")
	}
	w.s("(")
	w.maybeParen(len(r.valueCols) > 1, func() { w.names(r.valueCols, ", ") })
	w.s(" FOR ")
	w.name(r.nameCol)
	w.s(" IN (")
	w.list(len(r.columns), func(i int) {
		c := r.columns[i]
		w.maybeParen(len(c.columns) > 1, func() {
			w.list(len(c.columns), func(j int) { w.names(c.columns[j].parts, ".") })
		})
		w.optional(c.alias)
	})
	w.s("))")
	w.alias(r.alias)
}

func (w *printer) window(s *windowSpec, define bool) {
	if !define && s.ref != "" && len(s.partition) == 0 && len(s.order) == 0 && s.frame == nil {
		w.s(quoteName(s.ref))
		return
	}
	w.s("(")
	sep := ""
	part := func(f func()) {
		w.s(sep)
		sep = " "
		f()
	}
	if s.ref != "" {
		part(func() { w.s(quoteName(s.ref)) })
	}
	if len(s.partition) > 0 {
		part(func() { w.exprs("PARTITION BY ", s.partition) })
	}
	if len(s.order) > 0 {
		part(func() { w.sorts("ORDER BY ", s.order) })
	}
	if s.frame != nil {
		part(func() {
			w.s(s.frame.unit, " ")
			if s.frame.single {
				w.bound(s.frame.lo)
				return
			}
			w.s("BETWEEN ")
			w.bound(s.frame.lo)
			w.s(" AND ")
			w.bound(s.frame.hi)
		})
	}
	w.s(")")
}

func (w *printer) bound(b frameBound) {
	if b.x != nil {
		w.expr(b.x, 0)
		w.s(" ")
	}
	w.s(b.kind)
}
