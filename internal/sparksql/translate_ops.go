package sparksql

import (
	"fmt"
	"strings"
)

func (t *translator) binary(x *binary, sc *scope) ex {
	l, r := t.expr(x.l, sc), t.expr(x.r, sc)
	switch x.op {
	case "AND", "OR":
		for _, e := range []*ex{&l, &r} {
			if e.typ.known() && !e.typ.is(Boolean, Void) {
				*e = t.implicit(*e, simple(Boolean), x.Pos, x.op)
			}
		}
		return ex{sql: "(" + l.sql + " " + x.op + " " + r.sql + ")", typ: simple(Boolean)}
	case "=", "<>", "<", "<=", ">", ">=", "<=>":
		return t.compare(x.op, l, r, x.Pos)
	}
	if !l.typ.known() || !r.typ.known() {
		return ex{sql: "NULL"}
	}
	switch x.op {
	case "||":
		return t.concat([]ex{l, r}, x.Pos)
	case "|", "&", "^":
		return t.bits(x.op, l, r, x.Pos)
	}
	if e, ok := t.dateArithmetic(x.op, l, r, x.Pos); ok {
		return e
	}
	return t.arithmetic(x.op, l, r, x.Pos)
}

func (t *translator) bits(op string, l, r ex, at Pos) ex {
	typ, ok := wider(l.typ, r.typ)
	if !ok || !typ.integral() {
		return t.bad(at, op, "%s wants whole numbers, found %s and %s", op, l.typ, r.typ)
	}
	if op == "^" {
		return ex{sql: "xor(" + t.cast(l, typ, at).sql + ", " + t.cast(r, typ, at).sql + ")", typ: typ}
	}
	return ex{sql: "(" + t.cast(l, typ, at).sql + " " + op + " " + t.cast(r, typ, at).sql + ")", typ: typ}
}

// concat joins strings, binaries or arrays; one NULL makes the whole NULL.
func (t *translator) concat(es []ex, at Pos) ex {
	for _, e := range es {
		if !e.typ.known() {
			return ex{sql: "NULL"}
		}
	}
	allBinary, anyArray, anyNull := true, false, false
	for _, e := range es {
		anyNull = anyNull || e.typ.Kind == Void || e.lit != nil && e.lit.kind == litNull
		allBinary = allBinary && e.typ.Kind == Binary
		anyArray = anyArray || e.typ.Kind == Array
	}
	parts := make([]string, len(es))
	if anyArray {
		typ, us := t.unify(es, at, "concat")
		for i, e := range us {
			parts[i] = e.sql
		}
		if anyNull {
			return ex{sql: "CAST(NULL AS " + typ.DuckDB() + ")", typ: typ}
		}
		if len(parts) == 1 {
			return us[0]
		}
		// || of lists treats NULL as an empty list.
		var nulls []string
		for _, p := range parts {
			nulls = append(nulls, p+" IS NULL")
		}
		return ex{sql: "CASE WHEN " + strings.Join(nulls, " OR ") + " THEN NULL ELSE (" + strings.Join(parts, " || ") + ") END", typ: typ}
	}
	typ := simple(String)
	if anyNull {
		// DuckDB forgets the type of a text joined with a constant NULL.
		return ex{sql: "CAST(NULL AS VARCHAR)", typ: typ}
	}
	for i, e := range es {
		if allBinary {
			typ = simple(Binary)
			parts[i] = e.sql
			continue
		}
		parts[i] = t.typed(t.implicitString(e, at, "concat"))
	}
	if len(parts) == 0 {
		return ex{sql: "''", typ: typ}
	}
	// The cast costs nothing, and keeps the type where a part is always NULL.
	return ex{sql: "CAST((" + strings.Join(parts, " || ") + ") AS " + typ.DuckDB() + ")", typ: typ}
}

// numericOperand turns strings and NULL into what arithmetic takes.
func (t *translator) numericOperand(e ex, other Type, at Pos) ex {
	switch e.typ.Kind {
	case String:
		out := t.cast(e, simple(Double), at)
		out.lit = nil
		return out
	case Void:
		if other.numeric() {
			return t.cast(e, other, at)
		}
		return t.cast(e, simple(Double), at)
	}
	return e
}

func (t *translator) arithmetic(op string, l, r ex, at Pos) ex {
	if op == "DIV" && l.typ.interval() && r.typ.Kind == l.typ.Kind {
		return ex{sql: "CAST((" + l.sql + " // nullif(" + r.sql + ", 0)) AS BIGINT)", typ: simple(Long)}
	}
	if e, ok := t.intervalArithmetic(op, l, r, at); ok {
		return e
	}
	l, r = t.numericOperand(l, r.typ, at), t.numericOperand(r, l.typ, at)
	if !l.typ.numeric() || !r.typ.numeric() {
		return t.bad(at, op, "%s wants numbers, found %s and %s", op, l.typ, r.typ)
	}
	if (l.typ.Kind == Decimal || r.typ.Kind == Decimal) && !l.typ.fractional() && !r.typ.fractional() {
		return t.decimalArithmetic(op, l, r, at)
	}
	typ := widerNumeric(l.typ, r.typ)
	switch op {
	case "/":
		d := simple(Double)
		return ex{sql: "(" + t.cast(l, d, at).sql + " / nullif(" + t.cast(r, d, at).sql + ", 0))", typ: d}
	case "DIV":
		if !typ.integral() {
			return t.bad(at, "div", "div wants whole numbers, found %s and %s", l.typ, r.typ)
		}
		b := simple(Long)
		return ex{sql: "(" + t.cast(l, b, at).sql + " // nullif(" + t.cast(r, b, at).sql + ", 0))", typ: b}
	case "%":
		return ex{sql: "(" + t.cast(l, typ, at).sql + " % nullif(" + t.cast(r, typ, at).sql + ", 0))", typ: typ}
	}
	return ex{sql: "(" + t.cast(l, typ, at).sql + " " + op + " " + t.cast(r, typ, at).sql + ")", typ: typ}
}

// asDecimalOperand gives whole numbers their decimal: a constant just its digits.
func (t *translator) asDecimalOperand(e ex, at Pos) ex {
	if e.typ.Kind == Decimal {
		return e
	}
	d := asDecimal(e.typ)
	if e.lit != nil {
		d, _ = decimalLiteral(e.lit.text)
	}
	return ex{sql: "CAST(" + e.sql + " AS " + d.DuckDB() + ")", typ: d}
}

// decimalArithmetic follows Spark's rules for precision and scale. Where the exact
// value does not fit DuckDB's 38 digits the query fails while it runs.
func (t *translator) decimalArithmetic(op string, l, r ex, at Pos) ex {
	l, r = t.asDecimalOperand(l, at), t.asDecimalOperand(r, at)
	p1, s1, p2, s2 := l.typ.Precision, l.typ.Scale, r.typ.Precision, r.typ.Scale
	switch op {
	case "+", "-":
		s := max(s1, s2)
		typ := boundedDecimal(max(p1-s1, p2-s2)+s+1, s)
		exact := decimalOf(min(38, max(p1-s1, p2-s2)+s+1), s)
		sql := fmt.Sprintf("(CAST(%s AS %s) %s CAST(%s AS %s))", l.sql, exact.DuckDB(), op, r.sql, exact.DuckDB())
		return ex{sql: "CAST(" + sql + " AS " + typ.DuckDB() + ")", typ: typ}
	case "*":
		typ := boundedDecimal(p1+p2+1, s1+s2)
		if s1+s2 > 38 {
			return t.refuse(at, "a product with more than 38 digits behind the point", "cast the factors")
		}
		return ex{sql: "CAST((" + l.sql + " * " + r.sql + ") AS " + typ.DuckDB() + ")", typ: typ}
	case "/":
		scale := max(6, s1+p2+1)
		return t.decimalDivide(l, r, boundedDecimal(p1-s1+s2+scale, scale), at)
	case "%":
		s := max(s1, s2)
		typ := boundedDecimal(min(p1-s1, p2-s2)+s, s)
		wide := decimalOf(min(38, max(p1-s1, p2-s2)+s), s)
		if max(p1-s1, p2-s2)+s > 38 {
			return t.refuse(at, "% of decimals with more than 38 digits", "cast them")
		}
		return ex{sql: fmt.Sprintf("CAST((CAST(%s AS %s) %% nullif(CAST(%s AS %s), 0)) AS %s)", l.sql, wide.DuckDB(), r.sql, wide.DuckDB(), typ.DuckDB()), typ: typ}
	case "DIV":
		q := t.decimalDivide(l, r, Type{}, at)
		return ex{sql: "CAST(" + q.sql + " AS BIGINT)", typ: simple(Long)}
	}
	return t.refuse(at, op+" over decimals", "")
}

// unscaled gives a decimal's digits as a whole number.
func unscaled(e ex) string {
	if e.typ.Scale == 0 {
		return "CAST(" + e.sql + " AS HUGEINT)"
	}
	if e.typ.Precision+e.typ.Scale+1 > 38 {
		return "CAST(replace(CAST(" + e.sql + " AS VARCHAR), '.', '') AS HUGEINT)"
	}
	return fmt.Sprintf("CAST((%s * CAST(%s AS DECIMAL(%d,0))) AS HUGEINT)", e.sql, pow10(e.typ.Scale), e.typ.Scale+1)
}

func pow10(n int) string { return "1" + strings.Repeat("0", n) }

// decimalDivide divides exactly and rounds half up, in whole numbers. A result type
// that is unknown asks for the whole quotient, cut.
func (t *translator) decimalDivide(l, r ex, typ Type, at Pos) ex {
	shift := typ.Scale - l.typ.Scale + r.typ.Scale
	if !typ.known() {
		shift = r.typ.Scale - l.typ.Scale
	}
	n, d := unscaled(l), unscaled(r)
	if shift > 38 || shift < -38 {
		return t.refuse(at, "a quotient of decimals so far apart", "cast them")
	}
	if shift > 0 {
		n = "(" + n + " * " + pow10(shift) + "::HUGEINT)"
	} else if shift < 0 {
		d = "(" + d + " * " + pow10(-shift) + "::HUGEINT)"
	}
	if !typ.known() {
		return ex{sql: "(" + n + " // nullif(" + d + ", 0))", typ: typ}
	}
	return ex{sql: rescaled("spark_divide("+n+", "+d+")", typ), typ: typ}
}

// rescaled puts the point into a whole number.
func rescaled(n string, typ Type) string {
	d := typ.DuckDB()
	if typ.Scale == 0 {
		return "CAST(" + n + " AS " + d + ")"
	}
	if typ.Scale > 18 {
		return fmt.Sprintf("CAST(spark_point(%s, %d) AS %s)", n, typ.Scale, d)
	}
	return fmt.Sprintf("CAST(spark_point%d(%s) AS %s)", typ.Scale, n, d)
}

// dateArithmetic handles + and - where a date, a timestamp or an interval is involved.
func (t *translator) dateArithmetic(op string, l, r ex, at Pos) (ex, bool) {
	if op != "+" && op != "-" || !(l.typ.datetime() || r.typ.datetime() || l.typ.interval() || r.typ.interval()) {
		return ex{}, false
	}
	if op == "+" && (r.typ.datetime() || l.typ.interval() && !r.typ.interval() && !r.typ.numeric()) && !l.typ.datetime() {
		l, r = r, l
	}
	switch {
	case l.typ.datetime() && r.typ.interval():
		return t.addInterval(op, l, r, at), true
	case l.typ.Kind == String && r.typ.interval():
		// Spark adds an interval to a text as to a timestamp, and gives a text again.
		return t.refuse(at, "a string "+op+" an interval", "cast the string to a date or a timestamp"), true
	case l.typ.Kind == Date && (r.typ.is(Byte, Short, Int)):
		return ex{sql: "CAST((" + l.sql + " " + op + " " + t.cast(r, simple(Int), at).sql + ") AS DATE)", typ: l.typ}, true
	case op == "-" && l.typ.Kind == Date && r.typ.is(Date):
		return ex{sql: "(CAST(date_diff('day', " + r.sql + ", " + l.sql + ") AS BIGINT) * 86400000000)", typ: intervalRange("day", "day")}, true
	case op == "-" && (l.typ.datetime() || l.typ.Kind == String) && (r.typ.datetime() || r.typ.Kind == String) && l.typ.Kind != Date:
		return t.timestampDifference(l, r, at), true
	case op == "-" && l.typ.datetime() && r.typ.datetime():
		return t.timestampDifference(l, r, at), true
	case l.typ.interval() && r.typ.Kind == l.typ.Kind:
		typ := l.typ
		if typ.Kind != Calendar {
			typ = widerInterval(l.typ, r.typ)
		} else {
			return t.refuse(at, op+" of intervals that mix months and days", ""), true
		}
		return ex{sql: "(" + l.sql + " " + op + " " + r.sql + ")", typ: typ}, true
	case l.typ.Kind == Void || r.typ.Kind == Void:
		return t.refuse(at, op+" with NULL", "cast the NULL"), true
	}
	return t.bad(at, op, "%s %s %s has no meaning in Spark", l.typ, op, r.typ), true
}

// timestampDifference counts by the clock on the wall.
func (t *translator) timestampDifference(l, r ex, at Pos) ex {
	if l.typ.Kind == String || r.typ.Kind == String {
		return t.refuse(at, "the difference of a timestamp and a string", "cast the string")
	}
	us := func(e ex) string { return "epoch_us(CAST(" + e.sql + " AS TIMESTAMP))" }
	return ex{sql: "(" + us(l) + " - " + us(r) + ")", typ: intervalRange("day", "second")}
}

// addInterval adds months by the calendar, days by the calendar of the zone, and the
// rest as time.
func (t *translator) addInterval(op string, l, r ex, at Pos) ex {
	if op == "-" {
		r.sql = "(-" + r.sql + ")"
	}
	switch r.typ.Kind {
	case YearMonth:
		s := "(" + l.sql + " + to_months(" + r.sql + "))"
		if l.typ.Kind == Timestamp {
			return t.inZone(l, func(x string) string { return "(" + x + " + to_months(" + r.sql + "))" }, at)
		}
		return ex{sql: "CAST(" + s + " AS " + l.typ.DuckDB() + ")", typ: l.typ}
	case DayTime:
		from, to := r.typ.unitRange()
		if l.typ.Kind == Date && from == "day" && to == "day" {
			return ex{sql: "CAST((" + l.sql + " + CAST((" + r.sql + " // 86400000000) AS INTEGER)) AS DATE)", typ: l.typ}
		}
		if l.typ.Kind == Date {
			l = t.cast(l, simple(Timestamp), at)
		}
		if l.typ.Kind == TimestampNTZ || t.opt.Timezone == "UTC" {
			return ex{sql: "(" + l.sql + " + to_microseconds(" + r.sql + "))", typ: l.typ}
		}
		if from == "day" && to == "day" {
			return t.inZone(l, func(x string) string { return "(" + x + " + to_microseconds(" + r.sql + "))" }, at)
		}
		return ex{sql: "spark_add_day_time(" + l.sql + ", " + r.sql + ")", typ: l.typ}
	}
	if l.typ.Kind == Date {
		return t.refuse(at, "a date and an interval that mixes months and days", "add them one after the other")
	}
	if l.typ.Kind == TimestampNTZ || t.opt.Timezone == "UTC" {
		return ex{sql: "(" + l.sql + " + " + r.sql + ")", typ: l.typ}
	}
	return t.refuse(at, "a timestamp and an interval that mixes months and days", "add them one after the other")
}

// inZone does f to the local time of an instant.
func (t *translator) inZone(e ex, f func(string) string, at Pos) ex {
	local := t.cast(e, simple(TimestampNTZ), at)
	return t.cast(ex{sql: f(local.sql), typ: simple(TimestampNTZ)}, simple(Timestamp), at)
}

// intervalArithmetic is an interval times or by a number.
func (t *translator) intervalArithmetic(op string, l, r ex, at Pos) (ex, bool) {
	if !l.typ.interval() && !r.typ.interval() {
		return ex{}, false
	}
	if op == "*" && r.typ.interval() {
		l, r = r, l
	}
	if op == "*" && r.typ.integral() && l.typ.Kind != Calendar {
		typ := Type{Kind: l.typ.Kind}
		if typ.Kind == YearMonth {
			return ex{sql: "CAST(" + l.sql + " * " + r.sql + " AS INTEGER)", typ: typ}, true
		}
		return ex{sql: "CAST(" + l.sql + " * " + r.sql + " AS BIGINT)", typ: typ}, true
	}
	return t.refuse(at, op+" over an interval and "+r.typ.String(), ""), true
}
