package sparksql

import (
	"fmt"
	"strconv"
	"strings"
)

// expr translates one expression. The type of what comes back is the Spark type, and
// DuckDB's type of the text is the one that stands for it.
func (t *translator) expr(x expr, sc *scope) ex {
	switch x := x.(type) {
	case *literal:
		return t.literal(x)
	case *interval:
		return t.interval(x, sc)
	case *column:
		return t.column(x, sc)
	case *star:
		return t.bad(x.Pos, "*", "* stands in a select list or in count(*)")
	case *place:
		return t.place(x)
	case *unary:
		return t.unary(x, sc)
	case *binary:
		return t.binary(x, sc)
	case *between:
		v, lo, hi := t.expr(x.x, sc), t.expr(x.lo, sc), t.expr(x.hi, sc)
		a, b := t.compare(">=", v, lo, x.Pos), t.compare("<=", v, hi, x.Pos)
		return negated(ex{sql: "(" + a.sql + " AND " + b.sql + ")", typ: simple(Boolean)}, x.not)
	case *in:
		return t.in(x, sc)
	case *like:
		return t.like(x, sc)
	case *is:
		return t.is(x, sc)
	case *caseExpr:
		return t.caseExpr(x, sc)
	case *cast:
		e := t.expr(x.x, sc)
		if x.try && !e.typ.is(String, Unknown, Void) && !e.typ.Equal(x.typ) {
			return t.refuse(x.Pos, "TRY_CAST from "+e.typ.String(), "it is told from CAST only where ANSI mode matters")
		}
		if e.typ.Equal(x.typ) {
			// A cast makes a constant a value: it no longer has a decimal of its own digits.
			return ex{sql: e.sql, typ: x.typ}
		}
		out := t.cast(e, x.typ, x.Pos)
		out.lit = nil
		return out
	case *call:
		return t.call(x, sc)
	case *subscript:
		return t.subscript(x, sc)
	case *field:
		return t.field(t.expr(x.x, sc), x.name, x.Pos)
	case *lambda:
		return t.bad(x.Pos, "->", "a lambda stands as an argument of transform, filter and the like")
	case *tuple:
		return t.tuple(x, sc)
	case *existsQuery:
		r := t.query(x.query, commonTables(sc), sc, false)
		return ex{sql: "EXISTS (" + r.sql + ")", typ: simple(Boolean)}
	case *subquery:
		r := t.query(x.query, commonTables(sc), sc, false)
		if len(r.cols) != 1 {
			return t.bad(x.Pos, "subquery", "a query that stands for a value has one column, this one has %d", len(r.cols))
		}
		return ex{sql: "(" + r.sql + ")", typ: r.cols[0].typ}
	}
	return t.refuse(x.at(), fmt.Sprintf("%T", x), "")
}

func negated(e ex, not bool) ex {
	if not {
		e.sql = "(NOT " + e.sql + ")"
	}
	return e
}

func (t *translator) literal(x *literal) ex {
	e := ex{lit: x}
	if x.doubled {
		t.fault(x.Pos, "''", "two quotes in a row mean a joint of two strings in Spark 3.5 and a quote in Spark 4", `write \'`)
	}
	switch x.kind {
	case litNull:
		e.sql, e.typ = "NULL", simple(Void)
	case litBool:
		e.sql, e.typ = x.text, simple(Boolean)
	case litByte, litShort, litInt, litLong:
		e.typ = simple(map[litKind]Kind{litByte: Byte, litShort: Short, litInt: Int, litLong: Long}[x.kind])
		e.sql = x.text
		if x.kind != litInt || strings.HasPrefix(x.text, "-") {
			e.sql = "CAST(" + x.text + " AS " + e.typ.DuckDB() + ")"
		}
	case litDecimal:
		e.typ, _ = decimalLiteral(x.text)
		e.sql = "CAST('" + x.text + "' AS " + e.typ.DuckDB() + ")"
	case litDouble:
		e.typ = simple(Double)
		e.sql = "CAST('" + x.text + "' AS DOUBLE)"
	case litFloat:
		e.typ = simple(Float)
		e.sql = "CAST('" + x.text + "' AS FLOAT)"
	case litString:
		e.sql, e.typ = duckString(x.text), simple(String)
	case litBinary:
		e.typ = simple(Binary)
		e.sql = "from_hex('" + x.text + "')"
	default:
		return t.datetimeLiteral(x)
	}
	return e
}

func (t *translator) datetimeLiteral(x *literal) ex {
	v, ok := parseSparkTimestamp(x.text)
	if !ok {
		return t.bad(x.Pos, "literal", "%q is no date or time that Spark reads", x.text)
	}
	switch x.kind {
	case litDate:
		d, ok := parseSparkDate(x.text)
		if !ok {
			return t.bad(x.Pos, "DATE", "%q is no date that Spark reads", x.text)
		}
		return ex{sql: "DATE " + duckString(formatDate(d)), typ: simple(Date), lit: x}
	case litTimestampNTZ:
		if v.zone != "" {
			return t.refuse(x.Pos, "TIMESTAMP_NTZ with a zone", "")
		}
		return ex{sql: "make_timestamp(" + strconv.FormatInt(v.local(), 10) + ")", typ: simple(TimestampNTZ), lit: x}
	}
	us, err := v.instant(t.opt.Timezone)
	if err != nil {
		return t.bad(x.Pos, "TIMESTAMP", "%s", err)
	}
	return ex{sql: "make_timestamptz(" + strconv.FormatInt(us, 10) + ")", typ: simple(Timestamp), lit: x}
}

func (t *translator) place(x *place) ex {
	k, ok := t.params[x.param]
	if !ok {
		t.order = append(t.order, *x.param)
		k = len(t.order)
		t.params[x.param] = k
	}
	typ := simple(String)
	if i := x.param.Index; i < len(t.opt.ParamTypes) && t.opt.ParamTypes[i].known() {
		typ = t.opt.ParamTypes[i]
	}
	return ex{sql: fmt.Sprintf("CAST($%d AS %s)", k, typ.DuckDB()), typ: typ}
}

// lookup finds what a name of one or more parts means.
func (t *translator) lookup(parts []name, sc *scope, at Pos) (ex, []name, bool) {
	for s := sc; s != nil; s = s.outer {
		if v, ok := s.vars[strings.ToLower(parts[0].text)]; ok {
			return v, parts[1:], true
		}
		for n := len(parts); n >= 2; n-- {
			// a.b.c: the longest qualifier that fits wins.
			qual := strings.ToLower(joinName(parts[:n-1]))
			var hits []binding
			unknown := false
			for _, c := range s.cols {
				if !contains(c.quals, qual) {
					continue
				}
				if c.name == "*" {
					unknown = true
				}
				if strings.EqualFold(c.name, parts[n-1].text) {
					hits = append(hits, c)
				}
			}
			if len(hits) == 0 && unknown {
				return ex{sql: "NULL"}, nil, true
			}
			if len(hits) > 1 {
				return t.bad(at, "name", "column %s is ambiguous", joinName(parts[:n])), nil, true
			}
			if len(hits) == 1 {
				return ex{sql: hits[0].sql, typ: hits[0].typ}, parts[n:], true
			}
		}
		var hits []binding
		unknown := false
		for _, c := range s.cols {
			if c.name == "*" {
				unknown = true
			}
			if !c.hidden && strings.EqualFold(c.name, parts[0].text) {
				hits = append(hits, c)
			}
		}
		if len(hits) > 1 {
			return t.bad(at, "name", "column %s is ambiguous: write the table before it", parts[0].text), nil, true
		}
		if len(hits) == 1 {
			return ex{sql: hits[0].sql, typ: hits[0].typ}, parts[1:], true
		}
		if unknown {
			return ex{sql: "NULL"}, nil, true
		}
		for i := len(s.aliases) - 1; i >= 0; i-- {
			if a := s.aliases[i]; strings.EqualFold(a.name, parts[0].text) {
				v := a.val
				v.lit = nil
				return v, parts[1:], true
			}
		}
	}
	return ex{}, nil, false
}

func (t *translator) column(x *column, sc *scope) ex {
	parts := x.parts
	if parts[0].place != nil {
		parts = nil
		for _, p := range strings.Split(t.resolveName(x.parts[0]), ".") {
			parts = append(parts, name{Pos: x.Pos, text: p})
		}
	}
	e, rest, ok := t.lookup(parts, sc, x.Pos)
	if !ok {
		if r, ok := t.bareFunction(x, sc); ok {
			return r
		}
		var known []string
		for s := sc; s != nil; s = s.outer {
			for _, c := range s.cols {
				known = append(known, strings.ToUpper(c.name))
			}
		}
		f := Fault{Construct: "name", Pos: x.Pos, Message: "there is no column " + joinName(parts)}
		if n := nearest(strings.ToUpper(parts[len(parts)-1].text), known); n != "" {
			f.Hint = "did you mean " + strings.ToLower(n) + "?"
		}
		t.addFault(f)
		return ex{sql: "NULL"}
	}
	for _, f := range rest {
		e = t.field(e, f, f.Pos)
	}
	return e
}

// bareFunction is current_date and its like, which need no parentheses.
func (t *translator) bareFunction(x *column, sc *scope) (ex, bool) {
	if len(x.parts) != 1 || x.parts[0].quoted {
		return ex{}, false
	}
	switch n := strings.ToLower(x.parts[0].text); n {
	case "current_date", "current_timestamp", "now", "current_user", "user":
		return t.call(&call{Pos: x.Pos, name: n}, sc), true
	}
	return ex{}, false
}

// field reads a field of a struct, of each struct of an array, or a key of a map.
func (t *translator) field(e ex, n name, at Pos) ex {
	switch e.typ.Kind {
	case Unknown:
		return ex{sql: "NULL"}
	case Struct:
		for _, f := range e.typ.Fields {
			if strings.EqualFold(f.Name, n.text) {
				return t.fieldOf(e, f)
			}
		}
		return t.bad(at, "field", "there is no field %s in %s", n.text, e.typ)
	case Array:
		if e.typ.Elem.Kind == Struct {
			for _, f := range e.typ.Elem.Fields {
				if strings.EqualFold(f.Name, n.text) {
					return ex{sql: "list_transform(" + e.sql + ", lambda spark_s: struct_extract(spark_s, " + duckString(f.Name) + "))", typ: arrayOf(f.Type)}
				}
			}
			return t.bad(at, "field", "there is no field %s in %s", n.text, e.typ)
		}
	case Map:
		if e.typ.Key.Kind == String {
			return ex{sql: "map_extract_value(" + e.sql + ", " + duckString(n.text) + ")", typ: *e.typ.Elem}
		}
	}
	return t.bad(at, "field", "%s has no fields", e.typ)
}

func (t *translator) subscript(x *subscript, sc *scope) ex {
	e, i := t.expr(x.x, sc), t.expr(x.index, sc)
	switch e.typ.Kind {
	case Unknown:
		return ex{sql: "NULL"}
	case Array:
		if i.typ.known() && !i.typ.integral() && i.typ.Kind != Void {
			return t.bad(x.Pos, "[]", "an array is read by a whole number, found %s", i.typ)
		}
		return ex{sql: fmt.Sprintf("spark_get(%s, %s)", e.sql, t.cast(i, simple(Long), x.Pos).sql), typ: *e.typ.Elem}
	case Map:
		return ex{sql: fmt.Sprintf("map_extract_value(%s, %s)", e.sql, t.cast(i, *e.typ.Key, x.Pos).sql), typ: *e.typ.Elem}
	case Struct:
		if i.lit != nil && i.lit.kind == litString {
			return t.field(e, name{text: i.lit.text}, x.Pos)
		}
	}
	return t.bad(x.Pos, "[]", "%s is no array and no map", e.typ)
}

func (t *translator) tuple(x *tuple, sc *scope) ex {
	c := &call{Pos: x.Pos, name: "struct"}
	for _, i := range x.items {
		c.args = append(c.args, arg{x: i})
	}
	return t.call(c, sc)
}

func (t *translator) unary(x *unary, sc *scope) ex {
	e := t.expr(x.x, sc)
	if !e.typ.known() {
		return e
	}
	switch x.op {
	case "NOT":
		if e.typ.Kind != Boolean {
			e = t.implicit(e, simple(Boolean), x.Pos, "NOT")
		}
		return ex{sql: "(NOT " + e.sql + ")", typ: simple(Boolean)}
	case "~":
		if !e.typ.integral() {
			return t.bad(x.Pos, "~", "~ wants a whole number, found %s", e.typ)
		}
		return ex{sql: "(~" + e.sql + ")", typ: e.typ}
	}
	switch {
	case e.typ.Kind == String:
		e = t.cast(e, simple(Double), x.Pos)
	case e.typ.Kind == Void:
		return ex{sql: "CAST(NULL AS DOUBLE)", typ: simple(Double)}
	case !e.typ.numeric() && !e.typ.interval():
		return t.bad(x.Pos, x.op, "%s wants a number, found %s", x.op, e.typ)
	}
	if x.op == "+" {
		return ex{sql: e.sql, typ: e.typ}
	}
	return ex{sql: "(-" + e.sql + ")", typ: e.typ}
}

func (t *translator) is(x *is, sc *scope) ex {
	e := t.expr(x.x, sc)
	b := simple(Boolean)
	switch x.what {
	case "NULL":
		return negated(ex{sql: "(" + e.sql + " IS NULL)", typ: b}, x.not)
	case "DISTINCT FROM":
		return negated(t.compare("<=>", e, t.expr(x.y, sc), x.Pos), !x.not)
	}
	if e.typ.known() && !e.typ.is(Boolean, Void) {
		e = t.implicit(e, b, x.Pos, "IS "+x.what)
	}
	op := map[string]string{"TRUE": " IS NOT DISTINCT FROM true", "FALSE": " IS NOT DISTINCT FROM false", "UNKNOWN": " IS NULL"}[x.what]
	return negated(ex{sql: "(" + e.sql + op + ")", typ: b}, x.not)
}

func (t *translator) caseExpr(x *caseExpr, sc *scope) ex {
	var conds, vals []ex
	var operand ex
	if x.operand != nil {
		operand = t.expr(x.operand, sc)
	}
	for _, w := range x.whens {
		if x.operand != nil {
			conds = append(conds, t.compare("=", operand, t.expr(w.cond, sc), w.cond.at()))
		} else {
			c := t.condition(w.cond, sc, "CASE WHEN")
			conds = append(conds, c)
		}
		vals = append(vals, t.expr(w.then, sc))
	}
	if x.elseX != nil {
		vals = append(vals, t.expr(x.elseX, sc))
	}
	typ, vals := t.unify(vals, x.Pos, "CASE")
	b := &strings.Builder{}
	b.WriteString("CASE")
	for i, c := range conds {
		b.WriteString(" WHEN " + c.sql + " THEN " + vals[i].sql)
	}
	if x.elseX != nil {
		b.WriteString(" ELSE " + vals[len(vals)-1].sql)
	}
	b.WriteString(" END")
	return ex{sql: "(" + b.String() + ")", typ: typ}
}

// unify casts values to their common type.
func (t *translator) unify(vals []ex, at Pos, construct string) (Type, []ex) {
	typ := simple(Void)
	for _, v := range vals {
		typ = t.widerOrFault(at, construct, typ, v.typ)
		if !typ.known() {
			return typ, vals
		}
	}
	out := make([]ex, len(vals))
	for i, v := range vals {
		out[i] = t.cast(v, typ, at)
	}
	return typ, out
}

// implicit casts an operand as Spark does on its own, or says why not.
func (t *translator) implicit(e ex, to Type, at Pos, what string) ex {
	if e.typ.Kind == String || e.typ.Kind == Void || e.typ.Equal(to) || !e.typ.known() || e.typ.numeric() && to.numeric() {
		return t.cast(e, to, at)
	}
	return t.bad(at, what, "%s wants %s, found %s", what, to, e.typ)
}

// compare translates a comparison with Spark's implicit casts.
func (t *translator) compare(op string, l, r ex, at Pos) ex {
	b := ex{typ: simple(Boolean)}
	if !l.typ.known() || !r.typ.known() {
		return ex{sql: "NULL", typ: b.typ}
	}
	typ, ok := comparisonType(l.typ, r.typ)
	if !ok {
		return t.bad(at, op, "%s and %s cannot be compared", l.typ, r.typ)
	}
	if typ.Kind == Map {
		return t.bad(at, op, "Spark does not compare maps")
	}
	if typ.Kind == Calendar && op != "=" && op != "<=>" && op != "<>" {
		return t.bad(at, op, "Spark does not order such intervals")
	}
	if typ.nested() && op != "=" && op != "<>" && op != "<=>" {
		return t.refuse(at, op+" over "+typ.String(), "")
	}
	l, r = t.cast(l, typ, at), t.cast(r, typ, at)
	if op == "<=>" {
		op = "IS NOT DISTINCT FROM"
	}
	b.sql = "(" + l.sql + " " + op + " " + r.sql + ")"
	return b
}

// comparisonType is the type that two sides of a comparison are cast to.
func comparisonType(a, b Type) (Type, bool) {
	switch {
	case a.Kind == String && b.Kind == String:
		return a, true
	case a.Kind == String && b.Kind == Decimal, a.Kind == Decimal && b.Kind == String:
		return simple(Double), true
	case a.Kind == String && (b.numeric() || b.datetime() || b.Kind == Boolean || b.Kind == Binary):
		if b.Kind == Binary {
			return a, false
		}
		return b, true
	case b.Kind == String && (a.numeric() || a.datetime() || a.Kind == Boolean || a.Kind == Binary):
		if a.Kind == Binary {
			return b, false
		}
		return a, true
	case a.Kind == Boolean && b.numeric(), b.Kind == Boolean && a.numeric():
		return Type{}, false
	}
	return wider(a, b)
}

func (t *translator) in(x *in, sc *scope) ex {
	if x.query != nil {
		return t.inQuery(x, sc)
	}
	v := t.expr(x.x, sc)
	var items []ex
	typ := v.typ
	for _, y := range x.list {
		e := t.expr(y, sc)
		items = append(items, e)
		if !typ.known() || !e.typ.known() {
			typ = Type{}
			continue
		}
		// Every item is compared in one type, that of all of them together.
		w, ok := wider(typ, e.typ)
		if !ok {
			t.bad(y.at(), "IN", "%s and %s have no common type", typ, e.typ)
			return ex{sql: "NULL"}
		}
		typ = w
	}
	if !typ.known() {
		return ex{sql: "NULL", typ: simple(Boolean)}
	}
	if typ.is(Map, Calendar) {
		return t.refuse(x.Pos, "IN over "+typ.String(), "")
	}
	list := make([]string, len(items))
	for i, e := range items {
		list[i] = t.cast(e, typ, x.Pos).sql
	}
	return negated(ex{sql: "(" + t.cast(v, typ, x.Pos).sql + " IN (" + strings.Join(list, ", ") + "))", typ: simple(Boolean)}, x.not)
}

func (t *translator) inQuery(x *in, sc *scope) ex {
	r := t.query(x.query, commonTables(sc), sc, false)
	left := []expr{x.x}
	if tp, ok := x.x.(*tuple); ok {
		left = tp.items
	}
	if len(left) != len(r.cols) {
		return t.bad(x.Pos, "IN", "the query has %d columns, %d are compared", len(r.cols), len(left))
	}
	a := t.alias("i")
	var ls, rs []string
	for i, y := range left {
		e := t.expr(y, sc)
		typ, ok := comparisonType(e.typ, r.cols[i].typ)
		if !ok || typ.is(Map, Calendar) || typ.nested() {
			return t.bad(y.at(), "IN", "%s and %s cannot be compared", e.typ, r.cols[i].typ)
		}
		ls = append(ls, t.cast(e, typ, x.Pos).sql)
		rs = append(rs, t.cast(ex{sql: duckName(a) + "." + duckName(r.cols[i].sql), typ: r.cols[i].typ}, typ, x.Pos).sql)
	}
	l := ls[0]
	if len(ls) > 1 {
		if x.not {
			return t.refuse(x.Pos, "NOT IN with several columns", "use NOT EXISTS")
		}
		l = "(" + strings.Join(ls, ", ") + ")"
	}
	sql := "(" + l + " IN (SELECT " + strings.Join(rs, ", ") + " FROM (" + r.sql + ") AS " + duckName(a) + "))"
	return negated(ex{sql: sql, typ: simple(Boolean)}, x.not)
}

func (t *translator) like(x *like, sc *scope) ex {
	v := t.expr(x.x, sc)
	if v.typ.known() {
		v = t.implicitString(v, x.Pos, x.op)
	}
	if x.op == "RLIKE" {
		return negated(t.rlike(v, t.expr(x.pattern, sc), x.Pos), x.not)
	}
	one := func(p expr) string {
		e := t.expr(p, sc)
		e = t.implicitString(e, p.at(), x.op)
		esc := x.escape
		if esc == "" {
			esc = `\`
		}
		if e.lit != nil && e.lit.kind == litString {
			if !validLike(e.lit.text, esc) {
				t.bad(p.at(), x.op, "the escape %s stands before a character that is neither %%, _ nor itself", esc)
			}
		} else if e.lit == nil {
			// Spark refuses some patterns while it runs that DuckDB takes.
			return "(" + v.sql + " " + x.op + " spark_like_pattern(" + e.sql + ", " + duckString(esc) + ") ESCAPE " + duckString(esc) + ")"
		}
		return "(" + v.sql + " " + x.op + " " + e.sql + " ESCAPE " + duckString(esc) + ")"
	}
	if x.quantifier == "" {
		return negated(ex{sql: one(x.pattern), typ: simple(Boolean)}, x.not)
	}
	var parts []string
	for _, p := range x.patterns {
		s := one(p)
		if x.not {
			s = "(NOT " + s + ")"
		}
		parts = append(parts, s)
	}
	op := " OR "
	if x.quantifier == "ALL" {
		op = " AND "
	}
	return ex{sql: "(" + strings.Join(parts, op) + ")", typ: simple(Boolean)}
}

// implicitString is the cast to string that functions of texts make on their own.
func (t *translator) implicitString(e ex, at Pos, what string) ex {
	if !e.typ.known() || e.typ.Kind == String {
		return e
	}
	if e.typ.nested() || e.typ.interval() {
		return t.bad(at, what, "%s wants a string, found %s", what, e.typ)
	}
	lit := e.lit
	out := t.cast(e, simple(String), at)
	if lit != nil && lit.kind == litNull {
		out.lit = lit
	}
	return out
}

func validLike(p, esc string) bool {
	if esc == "" {
		return false
	}
	rs, e := []rune(p), []rune(esc)[0]
	for i := 0; i < len(rs); i++ {
		if rs[i] != e {
			continue
		}
		i++
		if i >= len(rs) || rs[i] != '%' && rs[i] != '_' && rs[i] != e {
			return false
		}
	}
	return true
}

// commonTables gives the common tables that a query inside an expression sees.
func commonTables(sc *scope) *cteBinding {
	for s := sc; s != nil; s = s.outer {
		if s.ctes != nil {
			return s.ctes
		}
	}
	return nil
}
