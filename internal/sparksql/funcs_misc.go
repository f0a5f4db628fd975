package sparksql

import (
	"fmt"
	"strings"
)

func conditionalEntries() []*entry {
	return []*entry{
		custom("coalesce", "(any…) → the common type", "coalesce", "select coalesce(null, 1, 2.5), coalesce(null, 'a', 1), coalesce(null)", coalesce),
		custom("nvl ifnull", "(any, any) → the common type", "coalesce", "select nvl(null, 1), ifnull('a', 'b'), nvl(null, array('2'))", coalesce),
		custom("nvl2", "(any, any, any) → the common type", "CASE", "select nvl2(null, 2, 1), nvl2(1, 2, 1.5)", func(t *translator, c *call, a []ex) ex {
			if len(a) != 3 {
				return t.bad(c.Pos, c.name, "nvl2 takes three arguments")
			}
			typ, us := t.unify(a[1:], c.Pos, c.name)
			return ex{sql: "CASE WHEN " + a[0].sql + " IS NOT NULL THEN " + us[0].sql + " ELSE " + us[1].sql + " END", typ: typ}
		}),
		custom("nullif", "(any, any) → the first's type", "nullif", "select nullif(2, 2), nullif(2, 3), nullif(1, '1')", func(t *translator, c *call, a []ex) ex {
			if len(a) != 2 {
				return t.bad(c.Pos, c.name, "nullif takes two arguments")
			}
			return ex{sql: "CASE WHEN " + t.compare("=", a[0], a[1], c.Pos).sql + " THEN NULL ELSE " + a[0].sql + " END", typ: a[0].typ}
		}),
		special("if iff", "(boolean, any, any) → the common type", "CASE", "select if(1 < 2, 'a', 'b'), if(null, 1, 2.5)", func(t *translator, c *call, sc *scope) ex {
			if len(c.args) != 3 {
				return t.bad(c.Pos, c.name, "if takes three arguments")
			}
			return t.expr(&caseExpr{Pos: c.Pos, whens: []when{{c.args[0].x, c.args[1].x}}, elseX: c.args[2].x}, sc)
		}),
		fn("isnull", "?", "boolean", "({0} IS NULL)", "select isnull(1), isnull(null)"),
		fn("isnotnull", "?", "boolean", "({0} IS NOT NULL)", "select isnotnull(1), isnotnull(null)"),
		custom("equal_null", "(any, any) → boolean", "IS NOT DISTINCT FROM", "select equal_null(1, '1'), equal_null(null, null), equal_null(1, null)", func(t *translator, c *call, a []ex) ex {
			if len(a) != 2 {
				return t.bad(c.Pos, c.name, "equal_null takes two arguments")
			}
			return t.compare("<=>", a[0], a[1], c.Pos)
		}),
		special("rlike regexp regexp_like", "(string, pattern constant) → boolean", "regexp_matches", `select rlike('ab12', '[a-z]+\\d'), regexp_like('a\nb', 'a.b'), regexp('x', '^X$')`, func(t *translator, c *call, sc *scope) ex {
			a, ok := t.args(c, sc)
			if !ok || len(a) != 2 {
				return ex{sql: "NULL"}
			}
			return t.rlike(t.implicitString(a[0], c.Pos, c.name), a[1], c.Pos)
		}),
		special("like ilike", "(string, string) → boolean", "LIKE, ILIKE", "select like('Spark', '_park'), ilike('Spark', 'sP%'), like('a_b', 'a\\_b')", func(t *translator, c *call, sc *scope) ex {
			if len(c.args) < 2 || len(c.args) > 3 {
				return t.bad(c.Pos, c.name, "%s takes two texts", c.name)
			}
			l := &like{Pos: c.Pos, op: strings.ToUpper(c.name), x: c.args[0].x, pattern: c.args[1].x}
			if len(c.args) == 3 {
				e, ok := c.args[2].x.(*literal)
				if !ok || len([]rune(e.text)) != 1 {
					return t.refuse(c.Pos, c.name+" with an escape that is no constant", "")
				}
				l.escape = e.text
			}
			return t.expr(l, sc)
		}),
	}
}

func coalesce(t *translator, c *call, a []ex) ex {
	if len(a) == 0 {
		return t.bad(c.Pos, c.name, "%s takes values", c.name)
	}
	typ, us := t.unify(a, c.Pos, c.name)
	parts := make([]string, len(us))
	for i, u := range us {
		parts[i] = t.typed(u)
	}
	return ex{sql: "coalesce(" + strings.Join(parts, ", ") + ")", typ: typ}
}

func miscEntries() []*entry {
	es := []*entry{
		special("struct", "(any…) → struct", "struct_pack", "select struct(1, 'a'), struct(1 as x, 2 y)", func(t *translator, c *call, sc *scope) ex {
			var names []string
			var vals []ex
			for i, a := range c.args {
				e := t.expr(a.x, sc)
				if !e.typ.known() {
					return e
				}
				n := fmt.Sprintf("col%d", i+1)
				switch x := a.x.(type) {
				case *column:
					n = x.parts[len(x.parts)-1].text
				case *field:
					n = x.name.text
				}
				if a.name != "" {
					n = a.name
				}
				names, vals = append(names, n), append(vals, e)
			}
			return t.pack(c, names, vals)
		}),
		custom("named_struct", "(string constant, any…) → struct", "struct_pack", "select named_struct('a', 1, 'b', 'x', 'c', null)", func(t *translator, c *call, a []ex) ex {
			var names []string
			var vals []ex
			for i := 0; i+1 < len(a); i += 2 {
				if a[i].lit == nil || a[i].lit.kind != litString {
					return t.refuse(c.Pos, "named_struct with a name that is no constant", "")
				}
				names, vals = append(names, a[i].lit.text), append(vals, a[i+1])
			}
			if len(a)%2 == 1 {
				return t.bad(c.Pos, c.name, "named_struct takes pairs of names and values")
			}
			return t.pack(c, names, vals)
		}),
		fn("typeof", "?", "string", "''", "select typeof(1), typeof(array(1.5))"),
		fn("assert_true", "b|s", "void", "(CASE WHEN {0} THEN NULL ELSE error({1}) END);;(CASE WHEN {0} THEN NULL ELSE error('the assertion does not hold') END)", "select assert_true(0 < 1)"),
		special("grouping", "(column) → tinyint", "grouping", "select a, grouping(a), sum(b) from values (1, 2), (2, 5) t(a, b) group by cube(a)", func(t *translator, c *call, sc *scope) ex {
			a, ok := t.args(c, sc)
			if !ok || len(a) != 1 {
				return ex{sql: "NULL"}
			}
			return ex{sql: "CAST(grouping(" + a[0].sql + ") AS TINYINT)", typ: simple(Byte)}
		}),
		special("grouping_id", "(column…) → bigint", "grouping", "select a, b, grouping_id(a, b), sum(c) from values (1, 2, 3) t(a, b, c) group by rollup(a, b)", func(t *translator, c *call, sc *scope) ex {
			a, ok := t.args(c, sc)
			if !ok {
				return ex{sql: "NULL"}
			}
			if len(a) == 0 {
				return t.refuse(c.Pos, "grouping_id() without columns", "name the columns of GROUP BY")
			}
			parts := make([]string, len(a))
			for i, e := range a {
				parts[i] = e.sql
			}
			return ex{sql: "CAST(grouping(" + strings.Join(parts, ", ") + ") AS BIGINT)", typ: simple(Long)}
		}),
		custom("hash", "(any…) → int", "spark_hash", "select hash('Spark', 2), hash(null, 1L), hash(1.5D), hash(true, date'2020-01-01')", hashCall("spark_murmur", Int)),
		custom("xxhash64", "(any…) → bigint", "spark_xxhash", "select xxhash64('Spark', 2), xxhash64(1L), xxhash64(null)", hashCall("spark_xxhash", Long)),
		fn("bitmap_bit_position", "l", "bigint", "(CASE WHEN {0} > 0 THEN ({0} - 1) % 32768 ELSE (-{0}) % 32768 END)", "select bitmap_bit_position(1), bitmap_bit_position(123), bitmap_bit_position(32769)"),
		fn("bitmap_bucket_number", "l", "bigint", "(CASE WHEN {0} > 0 THEN 1 + ({0} - 1) // 32768 ELSE {0} // 32768 END)", "select bitmap_bucket_number(123), bitmap_bucket_number(32769)"),
	}
	for _, e := range es {
		if e.names[0] == "typeof" {
			e.build = func(t *translator, c *call, a []ex) ex {
				if len(a) != 1 {
					return t.bad(c.Pos, c.name, "typeof takes one argument")
				}
				return ex{sql: duckString(a[0].typ.String()), typ: simple(String)}
			}
		}
	}
	casts := []struct {
		name string
		typ  Type
	}{{"int", simple(Int)}, {"bigint", simple(Long)}, {"smallint", simple(Short)}, {"tinyint", simple(Byte)}, {"double", simple(Double)}, {"float", simple(Float)},
		{"string", simple(String)}, {"boolean", simple(Boolean)}, {"date", simple(Date)}, {"timestamp", simple(Timestamp)}, {"binary", simple(Binary)}, {"decimal", decimalOf(10, 0)}}
	for _, k := range casts {
		es = append(es, custom(k.name, "(any) → "+k.typ.String(), "CAST", "select "+k.name+"('1')", func(t *translator, c *call, a []ex) ex {
			if len(a) != 1 {
				return t.bad(c.Pos, c.name, "%s takes one argument", c.name)
			}
			e := t.cast(a[0], k.typ, c.Pos)
			e.lit = nil
			return e
		}))
	}
	for _, e := range es {
		switch e.names[0] {
		case "date":
			e.row.Case = "select date('2020-02-03')"
		case "timestamp":
			e.row.Case = "select timestamp('2020-02-03 04:05:06')"
		case "boolean":
			e.row.Case = "select boolean('yes')"
		}
	}
	return es
}

func (t *translator) pack(c *call, names []string, vals []ex) ex {
	seen := map[string]bool{}
	var parts []string
	typ := structOf()
	for i, v := range vals {
		k := strings.ToLower(names[i])
		if seen[k] || names[i] == "" {
			return t.refuse(c.Pos, "a struct with two fields of one name", "name the fields")
		}
		seen[k] = true
		parts = append(parts, duckName(names[i])+" := "+v.sql)
		typ.Fields = append(typ.Fields, Field{names[i], v.typ})
	}
	if len(parts) == 0 {
		return t.refuse(c.Pos, "an empty struct", "")
	}
	return ex{sql: "struct_pack(" + strings.Join(parts, ", ") + ")", typ: typ}
}

// hashCall folds a hash over the arguments, each by its type, as Spark does.
func hashCall(native string, k Kind) builder {
	return func(t *translator, c *call, a []ex) ex {
		if len(a) == 0 {
			return t.bad(c.Pos, c.name, "%s takes values", c.name)
		}
		seed := "CAST(42 AS BIGINT)"
		for _, x := range a {
			h := ""
			switch {
			case x.typ.is(Int, Byte, Short, Boolean):
				h = native + "_int(CAST(" + x.sql + " AS INTEGER), "
			case x.typ.Kind == Date:
				h = native + "_int(CAST(date_diff('day', DATE '1970-01-01', " + x.sql + ") AS INTEGER), "
			case x.typ.Kind == Long:
				h = native + "_long(" + x.sql + ", "
			case x.typ.is(Timestamp, TimestampNTZ):
				h = native + "_long(epoch_us(" + x.sql + "), "
			case x.typ.Kind == Double:
				h = native + "_double(" + x.sql + ", "
			case x.typ.Kind == String:
				h = native + "_text(" + x.sql + ", "
			case x.typ.Kind == Decimal && x.typ.Precision <= 18:
				h = native + "_long(CAST(" + unscaled(x) + " AS BIGINT), "
			case x.typ.Kind == Void:
				continue
			default:
				return t.refuse(c.Pos, c.name+" over "+x.typ.String(), "")
			}
			seed = "coalesce(" + h + seed + "), " + seed + ")"
		}
		typ := simple(k)
		return ex{sql: "CAST(" + seed + " AS " + typ.DuckDB() + ")", typ: typ}
	}
}
