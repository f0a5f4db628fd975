package sparksql

import (
	"fmt"
	"strconv"
	"strings"
)

func mathEntries() []*entry {
	es := []*entry{
		custom("abs", "(number or interval) → the same", "abs", "select abs(-1), abs(-1.5), abs(cast('-2' as double))", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.is(YearMonth, DayTime) {
				return ex{sql: "abs(" + a[0].sql + ")", typ: a[0].typ}
			}
			return fn("abs", "n", "=0", "abs({0})", "").build(t, c, a)
		}),
		custom("negative", "(number or interval) → the same", "-", "select negative(1), negative(-2.5)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.is(YearMonth, DayTime) {
				return ex{sql: "(-" + a[0].sql + ")", typ: a[0].typ}
			}
			return fn("negative", "n", "=0", "(-{0})", "").build(t, c, a)
		}),
		fn("positive", "n", "=0", "{0}", "select positive(1), positive(-2.5)"),
		custom("sign signum", "(number or interval) → double", "sign", "select sign(-2), signum(40.5), sign(0), sign(interval '-100' year)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && a[0].typ.is(YearMonth, DayTime) {
				return ex{sql: "CAST(sign(" + a[0].sql + ") AS DOUBLE)", typ: simple(Double)}
			}
			return fn(c.name, "d", "double", "CAST(sign({0}) AS DOUBLE)", "").build(t, c, a)
		}),
		custom("ceil ceiling", "(number [, int constant]) → bigint or decimal", "ceil", "select ceil(-0.1), ceil(5), ceil(3.1411, 3), ceil(3.1411, -3), ceil(cast(2.5 as double))", ceilFloor("ceil")),
		custom("floor", "(number [, int constant]) → bigint or decimal", "floor", "select floor(-0.1), floor(5), floor(3.1411, 3), floor(3.1411, -3), floor(cast(-2.5 as double))", ceilFloor("floor")),
		custom("round", "(number [, int constant]) → the same", "round, spark_round", "select round(2.5), round(-2.5), round(1.005, 2), round(cast(1.005 as double), 2), round(15, -1), round(123.456, -2), round(cast(2.5 as double))", round),
		custom("bround", "(number [, int constant]) → the same", "spark_bround", "select bround(2.5), bround(3.5), bround(cast(2.5 as double), 0), bround(cast(-1.25 as double), 1)", bround),
		fn("rint", "d", "double", "round_even({0}, 0)", "select rint(12.3456), rint(2.5), rint(-0.5)"),
		fn("sqrt", "d", "double", "CASE WHEN {0} < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt({0}) END", "select sqrt(4), sqrt(-1)"),
		fn("cbrt", "d", "double", "cbrt({0})", "select cbrt(27.0), cbrt(-8)"),
		fn("exp", "d", "double", "exp({0})", "select exp(0), exp(1)"),
		fn("expm1", "d", "double", "spark_expm1({0})", "select expm1(0), expm1(1e-10)"),
		fn("ln", "d", "double", "CASE WHEN {0} <= 0 THEN NULL ELSE ln({0}) END", "select ln(1), ln(0), ln(-1)"),
		custom("log", "([double,] double) → double", "ln", "select log(10, 100), log(2.718281828459045), log(0, 1), log(2, 0)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 {
				return fn("log", "d", "double", "CASE WHEN {0} <= 0 THEN NULL ELSE ln({0}) END", "").build(t, c, a)
			}
			return fn("log", "dd", "double", "CASE WHEN {0} <= 0 OR {1} <= 0 THEN NULL ELSE ln({1}) / ln({0}) END", "").build(t, c, a)
		}),
		fn("log10", "d", "double", "CASE WHEN {0} <= 0 THEN NULL ELSE log10({0}) END", "select log10(100), log10(0)"),
		fn("log2", "d", "double", "CASE WHEN {0} <= 0 THEN NULL ELSE log2({0}) END", "select log2(8), log2(-1)"),
		fn("log1p", "d", "double", "CASE WHEN {0} <= -1 THEN NULL ELSE spark_log1p({0}) END", "select log1p(0), log1p(-1), log1p(1e-10)"),
		fn("pow power", "dd", "double", "spark_pow({0}, {1})", "select pow(2, 3), power(2, -1), pow(-8, 0.5)"),
		fn("e", "", "double", "CAST('2.718281828459045' AS DOUBLE)", "select e()"),
		fn("pi", "", "double", "pi()", "select pi()"),
		fn("degrees", "d", "double", "degrees({0})", "select degrees(3.141592653589793)"),
		fn("radians", "d", "double", "radians({0})", "select radians(180)"),
		fn("hypot", "dd", "double", "spark_hypot({0}, {1})", "select hypot(3, 4)"),
		fn("factorial", "i", "bigint", "spark_factorial({0})", "select factorial(5), factorial(21), factorial(-1)"),
		fn("bin", "l", "string", "spark_bin({0})", "select bin(13), bin(-13), bin(0)"),
		fn("isnan", "d", "boolean", "coalesce(isnan({0}), false)", "select isnan(cast('NaN' as double)), isnan(1), isnan(null)"),
		custom("nanvl", "(double, double) → double", "CASE", "select nanvl(cast('NaN' as double), 123), nanvl(1, 2)", func(t *translator, c *call, a []ex) ex {
			return fn("nanvl", "dd", "double", "CASE WHEN isnan({0}) THEN {1} ELSE {0} END", "").build(t, c, a)
		}),
		custom("greatest", "(any, any…) → the common type", "greatest", "select greatest(10, 9, 2), greatest(1, null, 2.5), greatest('a', 'b')", extreme("greatest")),
		custom("least", "(any, any…) → the common type", "least", "select least(10, 9, 2), least(1, null, 2.5), least('a', 'b')", extreme("least")),
		custom("mod", "(number, number) → their common type", "%", "select mod(7, 3), mod(-7, 3), mod(2, 1.8), mod(5, 0)", infixCall("%")),
		custom("div", "(number, number) → bigint", "//", "select 7 div 2, -7 div 2, 5 div 0, 7.5 div 2", infixCall("DIV")),
		custom("pmod", "(number, number) → their common type", "%", "select pmod(-10, 3), pmod(10, 3), pmod(-7.5, 2), pmod(5, 0)", pmod),
		custom("shiftleft", "(int or bigint, int) → the same", "spark_shift", "select shiftleft(2, 1), shiftleft(-1, 31), shiftleft(1L, 40), shiftleft(1, 33)", shift("shiftleft")),
		custom("shiftright", "(int or bigint, int) → the same", "spark_shift", "select shiftright(4, 1), shiftright(-4, 1)", shift("shiftright")),
		custom("shiftrightunsigned", "(int or bigint, int) → the same", "spark_shift", "select shiftrightunsigned(4, 1), shiftrightunsigned(-4, 1), shiftrightunsigned(-4L, 1)", shift("shiftrightunsigned")),
		custom("bit_count", "(whole number or boolean) → int", "bit_count", "select bit_count(0), bit_count(7), bit_count(-1)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 1 && !a[0].typ.integral() {
				return t.refuse(c.Pos, "bit_count over "+a[0].typ.String(), "")
			}
			return fn("bit_count", "l", "int", "CAST(bit_count({0}) AS INTEGER)", "").build(t, c, a)
		}),
		custom("bit_get getbit", "(whole number, int) → tinyint", ">> &", "select bit_get(11, 0), getbit(11, 2)", func(t *translator, c *call, a []ex) ex {
			if len(a) == 2 && !a[0].typ.integral() {
				return t.refuse(c.Pos, c.name+" over "+a[0].typ.String(), "")
			}
			return fn(c.name, "li", "tinyint", "CAST((spark_shift({0}, {1}, 'shiftright', 64) & 1) AS TINYINT)", "").build(t, c, a)
		}),
		custom("width_bucket", "(double, double, double, bigint) → bigint", "spark_width_bucket", "select width_bucket(5.3, 0.2, 10.6, 5), width_bucket(-2.1, 1.3, 3.4, 3), width_bucket(8.1, 0.0, 5.7, 4), width_bucket(1, 5, 0, 2)", func(t *translator, c *call, a []ex) ex {
			for i := range a {
				if i < 3 && a[i].typ.is(YearMonth, DayTime) {
					a[i] = ex{sql: "CAST(" + a[i].sql + " AS DOUBLE)", typ: simple(Double)}
				}
			}
			return fn("width_bucket", "dddl", "bigint", "spark_width_bucket({0}, {1}, {2}, {3})", "").build(t, c, a)
		}),
	}
	for _, f := range []struct{ name, arg string }{{"sin", "0"}, {"cos", "0"}, {"tan", "0"}, {"asin", "2"}, {"acos", "1"}, {"atan", "0"}, {"sinh", "0"}, {"cosh", "0"}, {"tanh", "0"}, {"asinh", "0"}, {"acosh", "0"}, {"atanh", "2"}} {
		es = append(es, fn(f.name, "d", "double", "spark_"+f.name+"({0})", fmt.Sprintf("select %s(%s), %s(0.5)", f.name, f.arg, f.name)))
	}
	es = append(es,
		fn("atan2", "dd", "double", "atan2({0}, {1})", "select atan2(0, 0), atan2(1, -1)"),
		fn("cot", "d", "double", "(1 / spark_tan({0}))", "select cot(1), cot(0)"),
		fn("csc", "d", "double", "(1 / sin({0}))", "select csc(1)"),
		fn("sec", "d", "double", "(1 / cos({0}))", "select sec(0)"),
		custom("try_add", "(number or date, number or interval) → as +", "TRY of +", "select try_add(1, 2), try_add(date'2021-01-01', interval 1 year), try_add(2147483647, 1)", tryInfix("+")),
		custom("try_subtract", "(number or date, number or interval) → as -", "TRY of -", "select try_subtract(1, 2), try_subtract(date'2021-01-02', 1)", tryInfix("-")),
		custom("try_multiply", "(number, number) → as *", "TRY of *", "select try_multiply(2, 3), try_multiply(2147483647, 2)", tryInfix("*")),
		custom("try_divide", "(number, number) → as /", "/", "select try_divide(3, 2), try_divide(1, 0), try_divide(2L, 2L)", infixCall("/")),
	)
	return es
}

func tryInfix(op string) builder {
	return func(t *translator, c *call, a []ex) ex {
		e := infixCall(op)(t, c, a)
		return ex{sql: "TRY(" + e.sql + ")", typ: e.typ}
	}
}

func infixCall(op string) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) != 2 {
			return t.bad(c.Pos, c.name, "%s takes two arguments", c.name)
		}
		if e, ok := t.dateArithmetic(op, a[0], a[1], c.Pos); ok {
			return e
		}
		return t.arithmetic(op, a[0], a[1], c.Pos)
	}
}

func extreme(name string) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) < 2 {
			return t.bad(c.Pos, c.name, "%s takes at least two arguments", name)
		}
		for _, x := range a {
			if (x.typ.Kind == String) != (a[0].typ.Kind == String) && x.typ.Kind != Void && a[0].typ.Kind != Void {
				return t.bad(c.Pos, name, "%s takes values of one type, found %s and %s", name, a[0].typ, x.typ)
			}
		}
		typ, us := t.unify(a, c.Pos, name)
		if typ.nested() || typ.Kind == Calendar {
			return t.refuse(c.Pos, name+" over "+typ.String(), "")
		}
		parts := make([]string, len(us))
		for i, u := range us {
			parts[i] = t.typed(u)
		}
		return ex{sql: name + "(" + strings.Join(parts, ", ") + ")", typ: typ}
	}
}

// constantInt gives the value of a whole number constant.
func constantInt(e ex) (int, bool) {
	if e.lit == nil || e.lit.kind != litInt {
		return 0, false
	}
	n, err := strconv.Atoi(e.lit.text)
	return n, err == nil
}

func roundedDecimal(typ Type, scale int) Type {
	whole := typ.Precision - typ.Scale + 1
	if scale < 0 {
		return decimalOf(min(38, max(whole, -scale+1)), 0)
	}
	s := min(typ.Scale, scale)
	return decimalOf(min(38, whole+s), s)
}

func ceilFloor(name string) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) < 1 || len(a) > 2 {
			return t.bad(c.Pos, c.name, "%s takes one or two arguments", c.name)
		}
		x, ok := t.argument(a[0], 'n', c)
		if !ok {
			return ex{sql: "NULL"}
		}
		if len(a) == 2 {
			return ceilScaled(t, c, name, x, a[1])
		}
		switch {
		case x.typ.integral():
			return t.cast(x, simple(Long), c.Pos)
		case x.typ.Kind == Decimal:
			typ := decimalOf(min(38, x.typ.Precision-x.typ.Scale+1), 0)
			if x.typ.Scale == 0 {
				typ = x.typ
			}
			return ex{sql: "CAST(" + name + "(" + x.sql + ") AS " + typ.DuckDB() + ")", typ: typ}
		}
		return ex{sql: "spark_double_to_long(" + name + "(CAST(" + x.sql + " AS DOUBLE)))", typ: simple(Long)}
	}
}

// ceilScaled is ceil and floor to a number of digits: always a decimal.
func ceilScaled(t *translator, c *call, name string, x, digits ex) ex {
	n, ok := constantInt(digits)
	if !ok || x.typ.fractional() {
		return t.refuse(c.Pos, c.name+" to a number of digits", "the digits are a constant and the number a decimal")
	}
	x = t.asDecimalOperand(x, c.Pos)
	typ := roundedDecimal(x.typ, n)
	if n >= x.typ.Scale {
		return ex{sql: "CAST(" + x.sql + " AS " + typ.DuckDB() + ")", typ: typ}
	}
	if n < 0 {
		p := pow10(-n)
		w := x.typ.Precision - x.typ.Scale + 2
		if w+len(p) > 38 {
			return t.refuse(c.Pos, c.name+" of so large a decimal", "")
		}
		// Whole quotients of the magnitude, rounded outwards where a rest remains.
		return ex{sql: fmt.Sprintf("CAST(spark_%s_to(CAST(%s AS DECIMAL(38,%d)), %s) AS %s)", name, x.sql, x.typ.Scale, p, typ.DuckDB()), typ: typ}
	}
	if x.typ.Precision+n+1 > 38 {
		return t.refuse(c.Pos, c.name+" of so large a decimal", "")
	}
	cut := fmt.Sprintf("%s(%s * CAST(%s AS DECIMAL(%d,0)))", name, x.sql, pow10(n), n+1)
	return ex{sql: rescaled("CAST("+cut+" AS HUGEINT)", typ), typ: typ}
}

// rounded are the arguments of round and bround: the value, and the digits to keep.
func (t *translator) rounded(c *call, a []ex) (x ex, digits int, bad *ex) {
	fail := func(e ex) (ex, int, *ex) { return ex{}, 0, &e }
	if len(a) < 1 || len(a) > 2 {
		return fail(t.bad(c.Pos, c.name, "%s takes one or two arguments", c.name))
	}
	x, ok := t.argument(a[0], 'n', c)
	if !ok {
		return fail(ex{sql: "NULL"})
	}
	if len(a) == 2 {
		if digits, ok = constantInt(a[1]); !ok || digits < -30 || digits > 30 {
			return fail(t.refuse(c.Pos, c.name+" to a number of digits that is no constant", ""))
		}
	}
	return x, digits, nil
}

func round(t *translator, c *call, a []ex) ex {
	x, n, bad := t.rounded(c, a)
	if bad != nil {
		return *bad
	}
	switch {
	case x.typ.integral() && n >= 0:
		return ex{sql: x.sql, typ: x.typ}
	case x.typ.integral():
		return ex{sql: fmt.Sprintf("CAST(round(CAST(%s AS DECIMAL(38,0)), %d) AS %s)", x.sql, n, x.typ.DuckDB()), typ: x.typ}
	case x.typ.Kind == Decimal:
		typ := roundedDecimal(x.typ, n)
		if n >= x.typ.Scale {
			return ex{sql: "CAST(" + x.sql + " AS " + typ.DuckDB() + ")", typ: typ}
		}
		if n < 0 {
			return ex{sql: fmt.Sprintf("CAST(round(CAST(%s AS DECIMAL(%d,%d)), %d) AS %s)", x.sql, min(38, x.typ.Precision+1), x.typ.Scale, n, typ.DuckDB()), typ: typ}
		}
		return ex{sql: fmt.Sprintf("CAST(%s AS %s)", x.sql, typ.DuckDB()), typ: typ}
	}
	return ex{sql: fmt.Sprintf("CAST(spark_round(CAST(%s AS DOUBLE), %d) AS %s)", x.sql, n, x.typ.DuckDB()), typ: x.typ}
}

func bround(t *translator, c *call, a []ex) ex {
	x, n, bad := t.rounded(c, a)
	if bad != nil {
		return *bad
	}
	switch {
	case x.typ.Kind == Double:
		return ex{sql: fmt.Sprintf("spark_bround(%s, %d)", x.sql, n), typ: x.typ}
	case x.typ.integral() && n >= 0:
		return ex{sql: x.sql, typ: x.typ}
	case x.typ.Kind == Decimal:
		typ := roundedDecimal(x.typ, n)
		return ex{sql: fmt.Sprintf("CAST(spark_bround_text(CAST(%s AS VARCHAR), %d) AS %s)", x.sql, n, typ.DuckDB()), typ: typ}
	}
	return t.refuse(c.Pos, "bround over "+x.typ.String(), "")
}

func pmod(t *translator, c *call, a []ex) ex {
	if len(a) != 2 {
		return t.bad(c.Pos, c.name, "pmod takes two arguments")
	}
	m := t.arithmetic("%", a[0], a[1], c.Pos)
	if !m.typ.known() {
		return m
	}
	if m.typ.Kind == Decimal {
		sum := t.arithmetic("+", ex{sql: m.sql, typ: m.typ}, ex{sql: a[1].sql, typ: a[1].typ, lit: a[1].lit}, c.Pos)
		again := t.arithmetic("%", ex{sql: sum.sql, typ: sum.typ}, a[1], c.Pos)
		return ex{sql: "CASE WHEN " + m.sql + " < 0 THEN CAST(" + again.sql + " AS " + m.typ.DuckDB() + ") ELSE " + m.sql + " END", typ: m.typ}
	}
	d := t.cast(t.numericOperand(a[1], m.typ, c.Pos), m.typ, c.Pos)
	return ex{sql: "CAST(CASE WHEN " + m.sql + " < 0 THEN (" + m.sql + " + " + d.sql + ") % nullif(" + d.sql + ", 0) ELSE " + m.sql + " END AS " + m.typ.DuckDB() + ")", typ: m.typ}
}

func shift(name string) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) != 2 || !a[0].typ.integral() || !a[1].typ.integral() {
			return t.bad(c.Pos, c.name, "%s takes two whole numbers", name)
		}
		typ := simple(Int)
		bits := 32
		if a[0].typ.Kind == Long {
			typ, bits = a[0].typ, 64
		}
		return ex{sql: fmt.Sprintf("CAST(spark_shift(CAST(%s AS BIGINT), CAST(%s AS INTEGER), '%s', %d) AS %s)", a[0].sql, a[1].sql, name, bits, typ.DuckDB()), typ: typ}
	}
}
