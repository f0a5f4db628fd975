package sparksql

import (
	"fmt"
	"strconv"
	"strings"
)

// aggCall is an aggregate on its way: what DISTINCT, FILTER, ORDER BY and OVER add is
// put behind each DuckDB aggregate that the translation is made of.
type aggCall struct {
	t      *translator
	c      *call
	a      []ex
	filter string // condition, or empty
	over   string // " OVER (…)", or empty
}

// f writes one DuckDB aggregate; extra is a further condition on the rows.
func (g *aggCall) f(name, args, extra string) string {
	d := ""
	if g.c.distinct {
		d = "DISTINCT "
	}
	return g.plain(name, d+args, extra)
}

func (g *aggCall) plain(name, args, extra string) string {
	cond := g.filter
	if extra != "" {
		if cond != "" {
			cond = "(" + cond + ") AND "
		}
		cond += extra
	}
	s := name + "(" + args + ")"
	if cond != "" {
		s += " FILTER (WHERE " + cond + ")"
	}
	return s + g.over
}

type aggBuilder func(g *aggCall) ex

// agg makes an entry for an aggregate.
func agg(names, types, rewrite, proof string, b aggBuilder) *entry {
	e := custom(names, types, rewrite, proof, nil)
	e.special = func(t *translator, c *call, sc *scope) ex {
		g := &aggCall{t: t, c: c}
		inner := *sc
		inner.inAgg = true
		if !sc.grouped && c.over == nil {
			return t.bad(c.Pos, c.name, "%s is an aggregate and has no place here", c.name)
		}
		if sc.inAgg && c.over == nil {
			return t.bad(c.Pos, c.name, "%s stands inside another aggregate", c.name)
		}
		if c.over != nil {
			inner.inAgg = sc.inAgg
			g.over = " OVER " + t.window(c.over, sc, c)
			if c.distinct {
				return t.bad(c.Pos, c.name, "Spark has no DISTINCT in window functions")
			}
		}
		if c.filter != nil {
			g.filter = t.condition(c.filter, &inner, "FILTER").sql
		}
		if len(c.args) == 1 {
			if s, ok := c.args[0].x.(*star); ok && c.name == "count" {
				return g.countStar(s)
			}
		}
		a, ok := t.args(c, &inner)
		if !ok {
			return ex{sql: "NULL"}
		}
		if len(c.withinGroup) > 0 {
			if c.name != "percentile_cont" || len(a) != 1 || len(c.withinGroup) != 1 {
				return t.bad(c.Pos, c.name, "WITHIN GROUP (ORDER BY one value) belongs to percentile_cont(share)")
			}
			v := t.expr(c.withinGroup[0].x, &inner)
			if !v.typ.known() {
				return v
			}
			a = []ex{v, a[0]}
		}
		g.a = a
		if c.ignoreNulls != "" && !strings.Contains("first last any_value first_value last_value", c.name) {
			return t.refuse(c.Pos, c.ignoreNulls+" NULLS of "+c.name, "")
		}
		return b(g)
	}
	return e
}

func (t *translator) aggregate(e *entry, c *call, sc *scope) ex { return e.special(t, c, sc) }

func (g *aggCall) countStar(s *star) ex {
	if len(s.qualifier) > 0 || g.c.distinct {
		return g.t.refuse(g.c.Pos, "count of a star other than count(*)", "name the columns")
	}
	return ex{sql: g.plain("count", "*", ""), typ: simple(Long)}
}

// one checks that there is one argument of a kind.
func (g *aggCall) one(letter byte) (ex, bool) {
	if len(g.a) != 1 {
		g.t.bad(g.c.Pos, g.c.name, "%s takes one argument", g.c.name)
		return ex{sql: "NULL"}, false
	}
	return g.t.argument(g.a[0], letter, g.c)
}

func doubleAgg(duck string) aggBuilder {
	return func(g *aggCall) ex {
		x, ok := g.one('d')
		if !ok {
			return ex{sql: "NULL"}
		}
		return ex{sql: g.f(duck, x.sql, ""), typ: simple(Double)}
	}
}

func pairAgg(duck string) aggBuilder {
	return func(g *aggCall) ex {
		if len(g.a) != 2 {
			return g.t.bad(g.c.Pos, g.c.name, "%s takes two arguments", g.c.name)
		}
		x, ok := g.t.argument(g.a[0], 'd', g.c)
		y, ok2 := g.t.argument(g.a[1], 'd', g.c)
		if !ok || !ok2 {
			return ex{sql: "NULL"}
		}
		typ := simple(Double)
		if duck == "regr_count" {
			typ = simple(Long)
		}
		return ex{sql: "CAST(" + g.f(duck, g.t.typed(x)+", "+g.t.typed(y), "") + " AS " + typ.DuckDB() + ")", typ: typ}
	}
}

func aggregateEntries() []*entry {
	const tab = " from values (1, 2.5, 'a'), (3, 4.0, 'b'), (3, null, 'c'), (null, 1.0, null) t(a, b, c)"
	const pairs = " from values (1.0D, 2.0D), (2.0D, 2.5D), (2.0D, null), (4.0D, 7.0D) t(y, x)"
	es := []*entry{
		agg("count", "(any…) → bigint", "count", "select count(*), count(a), count(distinct a), count(a, b), count(distinct a, b)"+tab, countAgg),
		agg("count_if", "(boolean) → bigint", "count FILTER", "select count_if(a > 1), count_if(a is null)"+tab, func(g *aggCall) ex {
			x, ok := g.one('b')
			if !ok {
				return ex{sql: "NULL"}
			}
			return ex{sql: g.f("count", "CASE WHEN "+x.sql+" THEN 1 END", ""), typ: simple(Long)}
		}),
		agg("sum", "(number or interval) → bigint, decimal, double or interval", "sum", "select sum(a), sum(b), sum(distinct a), sum(cast(b as double))"+tab, sumAgg),
		agg("try_sum", "(number) → as sum", "TRY of sum", "select try_sum(a), try_sum(9223372036854775807L)"+tab, func(g *aggCall) ex {
			// The sum itself has room in DuckDB; only the cast to Spark's type may fail.
			e := sumAgg(g)
			return ex{sql: "TRY_" + e.sql, typ: e.typ}
		}),
		agg("avg mean try_avg", "(number) → double or decimal", "avg; sum and count for decimals", "select avg(a), avg(b), mean(a), avg(cast(b as decimal(12,2)))"+tab, avgAgg),
		agg("min", "(any) → the same", "min", "select min(a), min(b), min(c)"+tab, extremeAgg),
		agg("max", "(any) → the same", "max", "select max(a), max(b), max(c), max(cast('NaN' as double))"+tab, extremeAgg),
		agg("first first_value any_value", "(any [, boolean constant]) → the same", "first", "select first(c, true), any_value(a, true) from values (null, null), (null, null), (5, 'x') t(a, c)", firstAgg("first")),
		agg("last last_value", "(any [, boolean constant]) → the same", "last", "select last(c, true) from values ('x'), (null) t(c)", firstAgg("last")),
		agg("max_by", "(any, any) → the first's type", "arg_max_null", "select max_by(c, a), max_by(a, c) from values (1, 'a'), (2, null), (null, 'z') t(a, c)", byAgg("arg_max_null")),
		agg("min_by", "(any, any) → the first's type", "arg_min_null", "select min_by(c, a), min_by(a, c) from values (1, 'a'), (2, null), (null, 'z') t(a, c)", byAgg("arg_min_null")),
		agg("collect_list array_agg", "(any) → array", "list FILTER", "select sort_array(collect_list(a)), sort_array(collect_list(distinct a)), array_agg(a) filter (where a > 5)"+tab, collectAgg(false)),
		agg("collect_set", "(any) → array, of no promised order", "list DISTINCT", "select sort_array(collect_set(a)), collect_set(a) filter (where a > 5)"+tab, collectAgg(true)),
		agg("bool_and every", "(boolean) → boolean", "bool_and", "select bool_and(a > 1), every(a > 0)"+tab, boolAgg("bool_and")),
		agg("bool_or any some", "(boolean) → boolean", "bool_or", "select bool_or(a > 1), some(a > 5), any(null)"+tab, boolAgg("bool_or")),
		agg("bit_and", "(whole number) → the same", "bit_and", "select bit_and(a)"+tab, bitAgg("bit_and")),
		agg("bit_or", "(whole number) → the same", "bit_or", "select bit_or(a)"+tab, bitAgg("bit_or")),
		agg("bit_xor", "(whole number) → the same", "bit_xor", "select bit_xor(a)"+tab, bitAgg("bit_xor")),
		agg("stddev std stddev_samp", "(double) → double", "stddev_samp", "select stddev(a), std(b), stddev_samp(a) filter (where a = 1)"+tab, doubleAgg("stddev_samp")),
		agg("stddev_pop", "(double) → double", "stddev_pop", "select stddev_pop(a), stddev_pop(b)"+tab, doubleAgg("stddev_pop")),
		agg("variance var_samp", "(double) → double", "var_samp", "select variance(a), var_samp(b), variance(a) filter (where a = 1)"+tab, doubleAgg("var_samp")),
		agg("var_pop", "(double) → double", "var_pop", "select var_pop(a)"+tab, doubleAgg("var_pop")),
		agg("kurtosis", "(double) → double", "kurtosis_pop", "select kurtosis(a) from values (-10), (-20), (100), (1000) t(a)", func(g *aggCall) ex {
			x, ok := g.one('d')
			if !ok || g.c.distinct {
				return g.t.refuse(g.c.Pos, "kurtosis here", "")
			}
			return ex{sql: "CASE WHEN " + g.f("var_pop", x.sql, "") + " > 0 THEN " + g.f("kurtosis_pop", x.sql, "") + " END", typ: simple(Double)}
		}),
		agg("skewness", "(double) → double", "skewness, without its correction for samples", "select skewness(a) from values (-1000), (-100), (10), (20) t(a)", skewAgg),
		agg("corr", "(double, double) → double", "corr", "select corr(y, x)"+pairs, corrAgg),
		agg("covar_pop", "(double, double) → double", "covar_pop", "select covar_pop(y, x)"+pairs, pairAgg("covar_pop")),
		agg("covar_samp", "(double, double) → double", "covar_samp", "select covar_samp(y, x)"+pairs, pairAgg("covar_samp")),
		agg("percentile", "(number, constant or array of constants) → double", "quantile_cont", "select percentile(a, 0.3), percentile(a, array(0.25, 1.0))"+tab, percentileAgg),
		agg("median", "(number) → double", "quantile_cont", "select median(a), median(b)"+tab, func(g *aggCall) ex {
			if len(g.a) != 1 {
				return g.t.bad(g.c.Pos, g.c.name, "median takes one argument")
			}
			g.a = append(g.a, ex{sql: "0.5", typ: simple(Double), lit: &literal{kind: litDouble, text: "0.5"}})
			return percentileAgg(g)
		}),
		agg("percentile_cont", "(constant) WITHIN GROUP (ORDER BY number) → double", "quantile_cont", "select percentile_cont(0.25) within group (order by a), percentile_cont(0.25) within group (order by a desc)"+tab, withinGroup),
	}
	for _, n := range []string{"regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy"} {
		typ := "double"
		if n == "regr_count" {
			typ = "bigint"
		}
		es = append(es, agg(n, "(double, double) → "+typ, n, "select "+n+"(y, x)"+pairs, pairAgg(n)))
	}
	es = append(es, agg("regr_r2", "(double, double) → double", "regr_r2", "select regr_r2(y, x)"+pairs, pairAgg("regr_r2")))
	return es
}

func countAgg(g *aggCall) ex {
	if len(g.a) == 0 {
		return g.t.refuse(g.c.Pos, "count()", "write count(*)")
	}
	if len(g.a) == 1 {
		return ex{sql: g.f("count", g.t.typed(g.a[0]), ""), typ: simple(Long)}
	}
	var nulls, vals []string
	for i, x := range g.a {
		nulls = append(nulls, x.sql+" IS NULL")
		vals = append(vals, fmt.Sprintf("c%d := %s", i, x.sql))
	}
	return ex{sql: g.f("count", "CASE WHEN "+strings.Join(nulls, " OR ")+" THEN NULL ELSE struct_pack("+strings.Join(vals, ", ")+") END", ""), typ: simple(Long)}
}

func sumAgg(g *aggCall) ex {
	if len(g.a) == 1 && g.a[0].typ.is(YearMonth, DayTime) {
		typ := g.a[0].typ
		return ex{sql: "CAST(" + g.f("sum", g.a[0].sql, "") + " AS " + typ.DuckDB() + ")", typ: typ}
	}
	x, ok := g.one('n')
	if !ok {
		return ex{sql: "NULL"}
	}
	switch {
	case x.typ.integral():
		return ex{sql: "CAST(" + g.f("sum", x.sql, "") + " AS BIGINT)", typ: simple(Long)}
	case x.typ.Kind == Decimal:
		typ := decimalOf(min(38, x.typ.Precision+10), x.typ.Scale)
		return ex{sql: "CAST(" + g.f("sum", x.sql, "") + " AS " + typ.DuckDB() + ")", typ: typ}
	}
	return ex{sql: "CAST(" + g.f("sum", g.t.cast(x, simple(Double), g.c.Pos).sql, "") + " AS DOUBLE)", typ: simple(Double)}
}

func avgAgg(g *aggCall) ex {
	x, ok := g.one('n')
	if !ok {
		return ex{sql: "NULL"}
	}
	if x.typ.Kind != Decimal {
		return ex{sql: g.f("avg", g.t.cast(x, simple(Double), g.c.Pos).sql, ""), typ: simple(Double)}
	}
	typ := boundedAvg(x.typ)
	sum := ex{sql: "CAST(" + g.f("sum", x.sql, "") + " AS " + decimalOf(min(38, x.typ.Precision+10), x.typ.Scale).DuckDB() + ")", typ: decimalOf(min(38, x.typ.Precision+10), x.typ.Scale)}
	count := ex{sql: "CAST(" + g.f("count", x.sql, "") + " AS DECIMAL(20,0))", typ: decimalOf(20, 0)}
	return g.t.decimalDivide(sum, count, typ, g.c.Pos)
}

func boundedAvg(t Type) Type {
	p, s := t.Precision+4, t.Scale+4
	return decimalOf(min(38, p), min(38, s))
}

func extremeAgg(g *aggCall) ex {
	x, ok := g.one('?')
	if !ok {
		return x
	}
	if x.typ.is(Map, Calendar, Struct, Array) {
		return g.t.refuse(g.c.Pos, g.c.name+" over "+x.typ.String(), "")
	}
	return ex{sql: g.f(g.c.name, g.t.typed(x), ""), typ: x.typ}
}

func firstAgg(duck string) aggBuilder {
	return func(g *aggCall) ex {
		ignore := g.c.ignoreNulls == "IGNORE"
		if len(g.a) == 2 {
			if g.a[1].lit == nil || g.a[1].lit.kind != litBool {
				return g.t.bad(g.c.Pos, g.c.name, "the second argument of %s is true or false", g.c.name)
			}
			ignore = g.a[1].lit.text == "true"
		} else if len(g.a) != 1 {
			return g.t.bad(g.c.Pos, g.c.name, "%s takes one or two arguments", g.c.name)
		}
		x := g.a[0]
		if g.over != "" {
			arg := g.t.typed(x)
			if ignore {
				arg += " IGNORE NULLS"
			}
			return ex{sql: duck + "_value(" + arg + ")" + g.over, typ: x.typ}
		}
		extra := ""
		if ignore {
			extra = x.sql + " IS NOT NULL"
		}
		return ex{sql: g.f(duck, g.t.typed(x), extra), typ: x.typ}
	}
}

func byAgg(duck string) aggBuilder {
	return func(g *aggCall) ex {
		if len(g.a) != 2 {
			return g.t.bad(g.c.Pos, g.c.name, "%s takes two arguments", g.c.name)
		}
		if g.a[1].typ.is(Map, Calendar, Struct, Array) {
			return g.t.refuse(g.c.Pos, g.c.name+" ordered by "+g.a[1].typ.String(), "")
		}
		return ex{sql: g.f(duck, g.t.typed(g.a[0])+", "+g.t.typed(g.a[1]), ""), typ: g.a[0].typ}
	}
}

func collectAgg(set bool) aggBuilder {
	return func(g *aggCall) ex {
		x, ok := g.one('?')
		if !ok {
			return x
		}
		if x.typ.Kind == Void || set && x.typ.Kind == Map {
			return g.t.refuse(g.c.Pos, g.c.name+" over "+x.typ.String(), "")
		}
		arg := x.sql
		if set {
			if g.over != "" {
				return g.t.refuse(g.c.Pos, "collect_set as a window function", "use array_distinct(collect_list(…) over …)")
			}
			arg = "DISTINCT " + arg
		} else if g.c.distinct {
			arg = "DISTINCT " + arg
		}
		return ex{sql: "coalesce(" + g.plain("list", arg, x.sql+" IS NOT NULL") + ", [])", typ: arrayOf(x.typ)}
	}
}

func boolAgg(duck string) aggBuilder {
	return func(g *aggCall) ex {
		x, ok := g.one('b')
		if !ok {
			return x
		}
		return ex{sql: g.f(duck, g.t.typed(x), ""), typ: simple(Boolean)}
	}
}

func bitAgg(duck string) aggBuilder {
	return func(g *aggCall) ex {
		x, ok := g.one('?')
		if !ok || !x.typ.integral() {
			return g.t.bad(g.c.Pos, g.c.name, "%s takes whole numbers", g.c.name)
		}
		return ex{sql: g.f(duck, x.sql, ""), typ: x.typ}
	}
}

func skewAgg(g *aggCall) ex {
	x, ok := g.one('d')
	if !ok || g.c.distinct {
		return g.t.refuse(g.c.Pos, "skewness here", "")
	}
	n := "CAST(" + g.f("count", x.sql, "") + " AS DOUBLE)"
	return ex{sql: "CASE WHEN " + n + " > 2 AND " + g.f("var_pop", x.sql, "") + " > 0 THEN " + g.f("skewness", x.sql, "") + " * (" + n + " - 2) / sqrt(" + n + " * (" + n + " - 1)) WHEN " +
		n + " = 2 AND " + g.f("var_pop", x.sql, "") + " > 0 THEN CAST(0 AS DOUBLE) END", typ: simple(Double)}
}

func corrAgg(g *aggCall) ex {
	e := pairAgg("corr")(g)
	if !e.typ.known() {
		return e
	}
	return ex{sql: "CASE WHEN isnan(" + e.sql + ") THEN NULL ELSE " + e.sql + " END", typ: e.typ}
}

func quantileType(x Type) (Type, bool) {
	switch {
	case x.numeric():
		return simple(Double), true
	case x.Kind == YearMonth:
		return Type{Kind: YearMonth}, true
	case x.Kind == DayTime:
		return Type{Kind: DayTime}, true
	}
	return Type{}, false
}

func percentileAgg(g *aggCall) ex {
	if len(g.a) != 2 {
		return g.t.refuse(g.c.Pos, g.c.name+" with frequencies", "")
	}
	typ, ok := quantileType(g.a[0].typ)
	if !ok {
		return g.t.refuse(g.c.Pos, g.c.name+" over "+g.a[0].typ.String(), "")
	}
	q, array, ok := constantQuantiles(g.c, g.a[1])
	if !ok {
		return g.t.refuse(g.c.Pos, g.c.name+" with a share that is no constant", "")
	}
	x := "CAST(" + g.a[0].sql + " AS DOUBLE)"
	out := g.f("quantile_cont", x+", "+q, "")
	if typ.Kind != Double {
		if array {
			return g.t.refuse(g.c.Pos, g.c.name+" of intervals with several shares", "")
		}
		return ex{sql: "CAST(trunc(" + out + ") AS " + typ.DuckDB() + ")", typ: typ}
	}
	if array {
		return ex{sql: out, typ: arrayOf(typ)}
	}
	return ex{sql: out, typ: typ}
}

func constantQuantiles(c *call, e ex) (string, bool, bool) {
	if e.lit != nil && (e.lit.kind == litDecimal || e.lit.kind == litDouble || e.lit.kind == litInt) {
		return "CAST(" + e.lit.text + " AS DOUBLE)", false, true
	}
	if len(c.args) < 2 {
		return "", false, false
	}
	list, ok := c.args[1].x.(*call)
	if !ok || list.name != "array" {
		return "", false, false
	}
	var qs []string
	for _, a := range list.args {
		l, ok := a.x.(*literal)
		if !ok || l.kind != litDecimal && l.kind != litDouble && l.kind != litInt {
			return "", false, false
		}
		qs = append(qs, "CAST("+l.text+" AS DOUBLE)")
	}
	return "[" + strings.Join(qs, ", ") + "]", true, true
}

func withinGroup(g *aggCall) ex {
	if len(g.a) != 2 || len(g.c.withinGroup) != 1 || g.over != "" {
		return g.t.bad(g.c.Pos, g.c.name, "%s wants WITHIN GROUP (ORDER BY one value)", g.c.name)
	}
	q := g.a[1]
	if g.c.withinGroup[0].desc {
		// From the top, the share p is the share 1 - p from the bottom.
		if q.lit == nil {
			return g.t.refuse(g.c.Pos, g.c.name+" with a share that is no constant", "")
		}
		f, err := strconv.ParseFloat(q.lit.text, 64)
		if err != nil {
			return g.t.refuse(g.c.Pos, g.c.name+" with a share that is no constant", "")
		}
		g.a[1].lit = &literal{kind: litDouble, text: strconv.FormatFloat(1-f, 'g', -1, 64)}
	}
	return percentileAgg(g)
}
