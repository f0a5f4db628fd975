package sparksql

import (
	"fmt"
	"strings"
)

// wider gives the type that CASE, coalesce, UNION, arrays and the like take of two, by
// Spark's rules without ANSI mode.
func wider(a, b Type) (Type, bool) {
	switch {
	case !a.known() || !b.known():
		return Type{}, true
	case a.Equal(b):
		return a, true
	case a.Kind == Void:
		return b, true
	case b.Kind == Void:
		return a, true
	case a.numeric() && b.numeric():
		return widerNumeric(a, b), true
	case a.datetime() && b.datetime():
		if a.Kind == Timestamp || b.Kind == Timestamp {
			return simple(Timestamp), true
		}
		return simple(TimestampNTZ), true
	case a.Kind == YearMonth && b.Kind == YearMonth, a.Kind == DayTime && b.Kind == DayTime:
		return widerInterval(a, b), true
	case a.Kind == String && stringable(b):
		return a, true
	case b.Kind == String && stringable(a):
		return b, true
	case a.Kind == Array && b.Kind == Array:
		e, ok := wider(*a.Elem, *b.Elem)
		return arrayOf(e), ok
	case a.Kind == Map && b.Kind == Map:
		k, ok := wider(*a.Key, *b.Key)
		v, ok2 := wider(*a.Elem, *b.Elem)
		return mapOf(k, v), ok && ok2
	case a.Kind == Struct && b.Kind == Struct && len(a.Fields) == len(b.Fields):
		out := structOf()
		for i, f := range a.Fields {
			e, ok := wider(f.Type, b.Fields[i].Type)
			if !ok || !strings.EqualFold(f.Name, b.Fields[i].Name) {
				return Type{}, false
			}
			out.Fields = append(out.Fields, Field{f.Name, e})
		}
		return out, true
	}
	return Type{}, false
}

func stringable(t Type) bool {
	return t.numeric() || t.datetime() || t.interval()
}

func widerInterval(a, b Type) Type {
	order := []string{"year", "month", "day", "hour", "minute", "second"}
	at := func(u string) int {
		for i, o := range order {
			if o == u {
				return i
			}
		}
		return 0
	}
	af, al := a.unitRange()
	bf, bl := b.unitRange()
	return Type{Kind: a.Kind, From: order[min(at(af), at(bf))], To: order[max(at(al), at(bl))]}
}

func widerNumeric(a, b Type) Type {
	switch {
	case a.Kind == Decimal && b.fractional() || b.Kind == Decimal && a.fractional():
		return simple(Double)
	case a.Kind == Decimal || b.Kind == Decimal:
		return widerDecimal(asDecimal(a), asDecimal(b))
	}
	return simple(max(a.Kind, b.Kind))
}

// asDecimal gives the decimal that holds all values of a whole number type.
func asDecimal(t Type) Type {
	switch t.Kind {
	case Byte:
		return decimalOf(3, 0)
	case Short:
		return decimalOf(5, 0)
	case Int:
		return decimalOf(10, 0)
	case Long:
		return decimalOf(20, 0)
	}
	return t
}

func widerDecimal(a, b Type) Type {
	scale := max(a.Scale, b.Scale)
	whole := max(a.Precision-a.Scale, b.Precision-b.Scale)
	return decimalOf(min(whole+scale, 38), min(scale, 38))
}

// boundedDecimal keeps at least six digits behind the point when digits have to go.
func boundedDecimal(precision, scale int) Type {
	if precision <= 38 {
		return decimalOf(precision, scale)
	}
	whole := precision - scale
	return decimalOf(38, max(38-whole, min(scale, 6)))
}

func (t *translator) widerOrFault(at Pos, construct string, a, b Type) Type {
	w, ok := wider(a, b)
	if !ok {
		t.bad(at, construct, "%s and %s have no common type", a, b)
		return Type{}
	}
	if a.is(Decimal) || b.is(Decimal) {
		if w.Kind == Decimal && max(asDecimal(a).Precision-asDecimal(a).Scale, asDecimal(b).Precision-asDecimal(b).Scale)+w.Scale > 38 {
			t.refuse(at, "decimals whose common type has more than 38 digits", "cast one of them")
		}
	}
	return w
}

// cast makes e a value of another type as Spark's CAST does without ANSI mode. A cast
// that is in no row of the table is refused.
func (t *translator) cast(e ex, to Type, at Pos) ex {
	if !e.typ.known() || !to.known() {
		return ex{sql: e.sql}
	}
	if e.typ.Equal(to) {
		e.typ = to
		return e
	}
	if e.typ.Kind == Void || e.lit != nil && e.lit.kind == litNull {
		return ex{sql: "CAST(NULL AS " + to.DuckDB() + ")", typ: to, lit: e.lit}
	}
	sql, ok := castSQL(e.sql, e.typ, to, t.opt.Timezone)
	if !ok {
		return t.refuse(at, fmt.Sprintf("a cast from %s to %s", e.typ, to), "")
	}
	return ex{sql: sql, typ: to}
}

func castSQL(x string, from, to Type, zone string) (string, bool) {
	plain := "CAST(" + x + " AS " + to.DuckDB() + ")"
	if from.Kind == to.Kind && (from.Kind == YearMonth || from.Kind == DayTime) {
		return x, to.From == "" || from.From == to.From && from.To == to.To || widerInterval(from, to).Equal(to)
	}
	switch to.Kind {
	case String:
		return castToString(x, from)
	case Boolean:
		switch {
		case from.Kind == String:
			return "spark_to_boolean(" + x + ")", true
		case from.numeric():
			return "(" + x + " <> 0)", true
		}
	case Byte, Short, Int, Long:
		return castToInteger(x, from, to)
	case Float, Double:
		switch {
		case from.Kind == String:
			return map[Kind]string{Double: "spark_to_double(", Float: "spark_to_float("}[to.Kind] + x + ")", true
		case from.numeric(), from.Kind == Boolean:
			return plain, true
		case from.Kind == Timestamp:
			return "CAST(epoch_us(" + x + ") / 1000000.0 AS DOUBLE)", to.Kind == Double
		}
	case Decimal:
		return castToDecimal(x, from, to)
	case Date:
		switch from.Kind {
		case String:
			return "spark_to_date(" + x + ")", true
		case Timestamp, TimestampNTZ:
			return "CAST(" + x + " AS DATE)", true
		}
	case Timestamp:
		switch {
		case from.Kind == String:
			return "spark_to_timestamp(" + x + ")", true
		case from.Kind == Date || from.Kind == TimestampNTZ:
			if zone == "UTC" {
				return plain, true
			}
			return "spark_local_to_timestamp(CAST(" + x + " AS TIMESTAMP))", true
		case from.integral():
			return "make_timestamptz(CAST(" + x + " AS BIGINT) * 1000000)", true
		}
	case TimestampNTZ:
		switch from.Kind {
		case String:
			return "spark_to_timestamp_ntz(" + x + ")", true
		case Date, Timestamp:
			return plain, true
		}
	case Binary:
		if from.Kind == String {
			return "encode(" + x + ")", true
		}
	case Array:
		if from.Kind == Array {
			in, ok := castSQL("spark_e", *from.Elem, *to.Elem, zone)
			if from.Elem.Kind == Void {
				return plain, true
			}
			if from.Elem.Equal(*to.Elem) {
				return x, true
			}
			return "list_transform(" + x + ", lambda spark_e: " + in + ")", ok && !strings.Contains(in, "lambda")
		}
	case Struct:
		return castStruct(x, from, to, zone)
	case Map:
		if from.Kind == Map && (from.Key.Kind == Void || from.Elem.Kind == Void) {
			return plain, true
		}
		return "", false
	}
	return "", false
}

func castStruct(x string, from, to Type, zone string) (string, bool) {
	if from.Kind != Struct || len(from.Fields) != len(to.Fields) {
		return "", false
	}
	var fs []string
	for i, f := range from.Fields {
		in := fmt.Sprintf("struct_extract(%s, %s)", x, duckString(f.Name))
		sql, ok := in, true
		if !f.Type.Equal(to.Fields[i].Type) {
			if f.Type.Kind == Void {
				sql = "CAST(NULL AS " + to.Fields[i].Type.DuckDB() + ")"
			} else {
				sql, ok = castSQL(in, f.Type, to.Fields[i].Type, zone)
			}
		}
		if !ok {
			return "", false
		}
		fs = append(fs, duckName(to.Fields[i].Name)+" := "+sql)
	}
	return "CASE WHEN " + x + " IS NULL THEN NULL ELSE struct_pack(" + strings.Join(fs, ", ") + ") END", true
}

func castToString(x string, from Type) (string, bool) {
	switch {
	case from.integral(), from.Kind == Boolean, from.Kind == Decimal && from.Scale <= 6:
		return "CAST(" + x + " AS VARCHAR)", true
	case from.Kind == Date:
		return "spark_date_string(" + x + ")", true
	case from.Kind == Decimal:
		return "spark_decimal_string(CAST(" + x + " AS VARCHAR))", true
	case from.Kind == Double:
		return "spark_double_string(" + x + ")", true
	case from.Kind == Float:
		return "spark_float_string(" + x + ")", true
	case from.Kind == Timestamp, from.Kind == TimestampNTZ:
		return "spark_timestamp_string(CAST(" + x + " AS TIMESTAMP))", true
	case from.Kind == Binary:
		return "decode(" + x + ")", true
	}
	return "", false
}

func castToInteger(x string, from, to Type) (string, bool) {
	d := to.DuckDB()
	switch {
	case from.Kind == String:
		return "TRY_CAST(spark_whole_part(" + x + ") AS " + d + ")", true
	case from.integral(), from.Kind == Boolean:
		return "CAST(" + x + " AS " + d + ")", true
	case from.Kind == Decimal:
		return "CAST(trunc(" + x + ") AS " + d + ")", true
	case from.fractional():
		if to.Kind == Long {
			return "spark_double_to_long(CAST(" + x + " AS DOUBLE))", true
		}
		return "CAST(spark_double_to_int(CAST(" + x + " AS DOUBLE)) AS " + d + ")", true
	case from.Kind == Timestamp:
		return "CAST(CAST(floor(epoch_us(" + x + ") / 1000000) AS BIGINT) AS " + d + ")", true
	}
	return "", false
}

func castToDecimal(x string, from, to Type) (string, bool) {
	d := to.DuckDB()
	switch {
	case from.Kind == String:
		return "TRY_CAST(spark_number_text(" + x + ") AS " + d + ")", true
	case from.integral(), from.Kind == Decimal:
		return "TRY_CAST(" + x + " AS " + d + ")", true
	case from.fractional():
		return "TRY_CAST(spark_number_text(CAST(CAST(" + x + " AS DOUBLE) AS VARCHAR)) AS " + d + ")", true
	case from.Kind == Boolean:
		return "TRY_CAST(CAST(" + x + " AS INTEGER) AS " + d + ")", true
	}
	return "", false
}
