package sparksql

import (
	"fmt"
	"strings"
)

// textEntries are the functions of regular expressions.
func textEntries() []*entry {
	return []*entry{
		custom("regexp_replace", "(string, pattern constant, string constant) → string", "regexp_replace 'g'", `select regexp_replace('100-200', '(\\d+)', 'num'), regexp_replace('a.b', '\\.', '$0-'), regexp_replace('ab', '(a)(b)', '$2$1')`, regexpReplace),
		custom("regexp_extract", "(string, pattern constant [, int constant]) → string", "regexp_extract", `select regexp_extract('100-200', '(\\d+)-(\\d+)', 1), regexp_extract('a', '(b)'), regexp_extract('ab', 'a(b)?', 0)`, regexpExtract),
		custom("regexp_extract_all", "(string, pattern constant [, int constant]) → array", "regexp_extract_all", `select regexp_extract_all('100-200, 300-400', '(\\d+)-(\\d+)', 1), regexp_extract_all('a', 'b', 0)`, regexpExtractAll),
		custom("regexp_count", "(string, pattern constant) → int", "len of regexp_extract_all", `select regexp_count('a1b22', '\\d+'), regexp_count('a', 'x')`, func(t *translator, c *call, a []ex) ex {
			e := regexpExtractAll(t, c, append(a, ex{lit: &literal{kind: litInt, text: "0"}, typ: simple(Int)}))
			return ex{sql: "CAST(len(" + e.sql + ") AS INTEGER)", typ: simple(Int)}
		}),
		custom("regexp_substr", "(string, pattern constant) → string", "regexp_extract", `select regexp_substr('a12b', '\\d+'), regexp_substr('a', '\\d')`, func(t *translator, c *call, a []ex) ex {
			p, x, ok := t.regexArgs(c, a, 2)
			if !ok {
				return ex{sql: "NULL"}
			}
			return ex{sql: fmt.Sprintf("CASE WHEN regexp_matches(%s, %s) THEN regexp_extract(%s, %s) END", x, p, x, p), typ: simple(String)}
		}),
		custom("regexp_instr", "(string, pattern constant) → int", "instr of regexp_extract", `select regexp_instr('user@spark.apache.org', '@[^.]*'), regexp_instr('a', 'b')`, func(t *translator, c *call, a []ex) ex {
			p, x, ok := t.regexArgs(c, a, 2)
			if !ok {
				return ex{sql: "NULL"}
			}
			return ex{sql: fmt.Sprintf("CAST(CASE WHEN regexp_matches(%s, %s) THEN length(regexp_extract(%s, '(?s)^(.*?)(?:' || %s || ')', 1)) + 1 ELSE 0 END AS INTEGER)", x, p, x, p), typ: simple(Int)}
		}),
		custom("split", "(string, pattern constant [, int constant]) → array", "string_split, string_split_regex", `select split('oneAtwoBthreeC', '[ABC]'), split('a,b,,', ','), split('a|b', '\\|'), split('', ','), split('a,b,c', ',', -1), split('a.b', '.', -1)`, split),
	}
}

// regexArgs translates the text and the constant pattern of a function.
func (t *translator) regexArgs(c *call, a []ex, n int) (pattern, text string, ok bool) {
	if len(a) < 2 || len(a) > n {
		t.bad(c.Pos, c.name, "%s takes at most %d arguments", c.name, n)
		return "", "", false
	}
	re, ok := t.regex(c.Pos, c.name, a[1], false)
	if !ok {
		return "", "", false
	}
	x := t.implicitString(a[0], c.Pos, c.name)
	text = t.typed(x)
	if re.end {
		text = "spark_one_line_end(" + text + ")"
	}
	return duckString(re.re2), text, x.typ.known()
}

func (t *translator) regex(at Pos, what string, p ex, matching bool) (regexText, bool) {
	if p.lit == nil || p.lit.kind != litString {
		if p.typ.known() {
			t.refuse(at, what+" with a pattern that is no constant", "")
		}
		return regexText{}, false
	}
	re, err := javaRegex(p.lit.text, matching)
	if err != nil {
		t.refuse(at, fmt.Sprintf("the pattern %q", clip(p.lit.text)), err.Error())
		return regexText{}, false
	}
	return re, true
}

func (t *translator) rlike(x, p ex, at Pos) ex {
	if !x.typ.known() || !p.typ.known() {
		return ex{sql: "NULL", typ: simple(Boolean)}
	}
	if p.lit != nil && p.lit.kind == litNull {
		return ex{sql: "CAST(NULL AS BOOLEAN)", typ: simple(Boolean)}
	}
	re, ok := t.regex(at, "RLIKE", p, true)
	if !ok {
		return ex{sql: "NULL", typ: simple(Boolean)}
	}
	return ex{sql: "regexp_matches(" + t.typed(x) + ", " + duckString(re.re2) + ")", typ: simple(Boolean)}
}

func regexpReplace(t *translator, c *call, a []ex) ex {
	if len(a) == 4 {
		return t.refuse(c.Pos, "regexp_replace from a position", "")
	}
	p, x, ok := t.regexArgs(c, a, 3)
	if !ok || len(a) != 3 {
		return ex{sql: "NULL"}
	}
	if a[2].lit == nil || a[2].lit.kind != litString {
		return t.refuse(c.Pos, "regexp_replace with a replacement that is no constant", "")
	}
	re, _ := t.regex(c.Pos, c.name, a[1], false)
	r, err := javaReplacement(a[2].lit.text, re.groups)
	if err != nil {
		return t.refuse(c.Pos, "the replacement "+a[2].lit.text, err.Error())
	}
	if re.empty {
		return t.refuse(c.Pos, "regexp_replace of a pattern that matches an empty text", "write + for *")
	}
	return ex{sql: "regexp_replace(" + x + ", " + p + ", " + duckString(r) + ", 'g')", typ: simple(String)}
}

func group(a []ex) (int, bool) {
	if len(a) < 3 {
		return 1, true
	}
	return constantInt(a[2])
}

func regexpExtract(t *translator, c *call, a []ex) ex {
	p, x, ok := t.regexArgs(c, a, 3)
	g, ok2 := group(a)
	if !ok {
		return ex{sql: "NULL"}
	}
	re, _ := t.regex(c.Pos, c.name, a[1], false)
	if !ok2 || g < 0 || g > re.groups || g > 9 {
		return t.refuse(c.Pos, "regexp_extract of a group that the pattern has not", "")
	}
	return ex{sql: fmt.Sprintf("regexp_extract(%s, %s, %d)", x, p, g), typ: simple(String)}
}

func regexpExtractAll(t *translator, c *call, a []ex) ex {
	p, x, ok := t.regexArgs(c, a, 3)
	g, ok2 := group(a)
	if !ok {
		return ex{sql: "NULL"}
	}
	re, _ := t.regex(c.Pos, c.name, a[1], false)
	if !ok2 || g < 0 || g > re.groups || g > 9 || re.empty {
		return t.refuse(c.Pos, c.name+" here", "the group is one of the pattern's, and the pattern matches no empty text")
	}
	return ex{sql: fmt.Sprintf("regexp_extract_all(%s, %s, %d)", x, p, g), typ: arrayOf(simple(String))}
}

func split(t *translator, c *call, a []ex) ex {
	if len(a) == 3 {
		n, ok := constantInt(a[2])
		if !ok || n > 0 {
			return t.refuse(c.Pos, "split with a limit above zero", "take a slice of the parts")
		}
		a = a[:2]
	}
	if len(a) != 2 {
		return t.bad(c.Pos, c.name, "split takes a text, a pattern and at most a limit")
	}
	typ := arrayOf(simple(String))
	if a[1].lit != nil && a[1].lit.kind == litString {
		if plain, ok := plainPattern(a[1].lit.text); ok {
			x := t.implicitString(a[0], c.Pos, c.name)
			return ex{sql: "string_split(" + t.typed(x) + ", " + duckString(plain) + ")", typ: typ}
		}
	}
	p, x, ok := t.regexArgs(c, a, 2)
	if !ok {
		return ex{sql: "NULL"}
	}
	re, _ := t.regex(c.Pos, c.name, a[1], false)
	if re.empty {
		return t.refuse(c.Pos, "split by a pattern that matches an empty text", "")
	}
	return ex{sql: "string_split_regex(" + x + ", " + p + ")", typ: typ}
}

// plainPattern gives the text that a pattern without special characters stands for.
func plainPattern(p string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '\\' {
			i++
			if i >= len(p) || isWordByte(p[i]) {
				return "", false
			}
			b.WriteByte(p[i])
			continue
		}
		if strings.IndexByte(`.[]{}()*+-?^$|`, c) >= 0 && c != '-' && c != ']' && c != '}' {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), b.Len() > 0
}

func jsonEntries() []*entry {
	return []*entry{
		fn("get_json_object", "ss", "string", "spark_json_get({0}, {1})", `select get_json_object('{"a":{"b":[1,2.50]},"s":"x\\"y"}', '$.a.b'), get_json_object('{"s":"x"}', '$.s'), get_json_object('[{"a":"b"},{"a":"c"}]', '$[*].a'), get_json_object('{"a":null}', '$.a')`),
		fn("json_array_length", "s", "int", "spark_json_length({0})", `select json_array_length('[1,2,[3]]'), json_array_length('{"a":1}'), json_array_length('x')`),
		fn("json_object_keys", "s", "array<string>", "spark_json_keys({0})", `select json_object_keys('{"f1":"abc","f2":{"f3":"a"}}'), json_object_keys('[1]'), json_object_keys('{}')`),
		custom("to_json", "(struct, array or map) → string", "||", `select to_json(named_struct('a', 1, 'b', 'x"y', 'c', null)), to_json(array(named_struct('d', date'2020-01-02'))), to_json(map('k', 1.50))`, func(t *translator, c *call, a []ex) ex {
			if len(a) != 1 || !a[0].typ.nested() {
				return t.refuse(c.Pos, "to_json with options or of "+fmt.Sprint(len(a))+" arguments", "")
			}
			s, ok := jsonText(a[0].sql, a[0].typ, 0)
			if !ok {
				return t.refuse(c.Pos, "to_json over "+a[0].typ.String(), "")
			}
			return ex{sql: s, typ: simple(String)}
		}),
		custom("from_json", "(string, schema constant) → struct, array or map", "spark_from_json, from_json", `select from_json('{"a":1,"b":0.8,"c":"x"}', 'a INT, b DOUBLE, c STRING, d DATE'), from_json('{"a":"x"}', 'a INT'), from_json('[1,2]', 'array<int>'), from_json('{"a":{"b":[true]}}', 'struct<a:struct<b:array<boolean>>>')`, fromJSON),
	}
}

// jsonText writes the JSON of a value by its type: fields that are NULL are left out.
func jsonText(x string, typ Type, depth int) (string, bool) {
	v := fmt.Sprintf("spark_j%d", depth)
	switch typ.Kind {
	case Struct:
		var parts []string
		for _, f := range typ.Fields {
			in := "struct_extract(" + x + ", " + duckString(f.Name) + ")"
			s, ok := jsonText(in, f.Type, depth+1)
			if !ok {
				return "", false
			}
			parts = append(parts, "CASE WHEN "+in+" IS NOT NULL THEN "+duckString(jsonQuote(f.Name)+":")+" || "+s+" END")
		}
		return "CASE WHEN " + x + " IS NULL THEN NULL ELSE '{' || concat_ws(',', " + strings.Join(parts, ", ") + ") || '}' END", true
	case Array:
		s, ok := jsonText(v, *typ.Elem, depth+1)
		return "CASE WHEN " + x + " IS NULL THEN NULL ELSE '[' || coalesce(array_to_string(list_transform(" + x + ", lambda " + v + ": coalesce(" + s + ", 'null')), ','), '') || ']' END", ok
	case Map:
		if typ.Key.Kind != String {
			return "", false
		}
		s, ok := jsonText(v+".value", *typ.Elem, depth+1)
		return "CASE WHEN " + x + " IS NULL THEN NULL ELSE '{' || coalesce(array_to_string(list_transform(map_entries(" + x + "), lambda " + v + ": spark_json_quote(" + v + ".key) || ':' || coalesce(" + s + ", 'null')), ','), '') || '}' END", ok
	case String:
		return "spark_json_quote(" + x + ")", true
	case Date:
		return "'\"' || spark_date_string(" + x + ") || '\"'", true
	case Boolean, Byte, Short, Int, Long:
		return "CAST(" + x + " AS VARCHAR)", true
	case Decimal:
		return "CAST(" + x + " AS VARCHAR)", typ.Scale <= 6
	case Double:
		return "CASE WHEN isfinite(" + x + ") THEN spark_double_string(" + x + ") ELSE '\"' || spark_double_string(" + x + ") || '\"' END", true
	case Void:
		return "NULL", true
	}
	return "", false
}

func fromJSON(t *translator, c *call, a []ex) ex {
	if len(a) != 2 || a[1].lit == nil || a[1].lit.kind != litString {
		return t.refuse(c.Pos, "from_json with options or a schema that is no constant", "")
	}
	typ, err := ParseType(a[1].lit.text)
	if err != nil {
		fs, err := ParseSchema(a[1].lit.text)
		if err != nil {
			return t.bad(c.Pos, c.name, "the schema: %s", err)
		}
		typ = structOf(fs...)
	}
	if !jsonReadable(typ, true) {
		return t.refuse(c.Pos, "from_json as "+typ.String(), "")
	}
	x := t.implicitString(a[0], c.Pos, c.name)
	return ex{sql: "CAST(CAST(spark_from_json(" + t.typed(x) + ", " + duckString(typ.String()) + ") AS JSON) AS " + typ.DuckDB() + ")", typ: typ}
}

func jsonReadable(t Type, top bool) bool {
	switch t.Kind {
	case Struct:
		for _, f := range t.Fields {
			if !jsonReadable(f.Type, false) {
				return false
			}
		}
		return len(t.Fields) > 0
	case Array:
		return jsonReadable(*t.Elem, false)
	case Int, Long, Double, String, Boolean, Date:
		return !top
	}
	return false
}

// clauseRows are the lines of the table that are no functions.
func clauseRows() []Row {
	const v = " from values (1, 'a'), (2, 'b'), (3, null) t(k, s)"
	row := func(kind, construct, types, rewrite, proof string) Row {
		return Row{Construct: construct, Kind: kind, Types: types, Rewrite: rewrite, Case: proof}
	}
	return []Row{
		row("operator", "+ - *", "numbers", "+ - * after Spark's casts; decimals by Spark's precision and scale", "select 1 + 2, 1 + 2.5, 1.25 * 3, '1' + 1, 1 - cast(2 as decimal(12,2)), 2 * 1.5e0"),
		row("operator", "/", "numbers", "/ of doubles, NULL on zero; decimals in whole numbers, rounded half up", "select 1/2, 1.5/2, cast(12.50 as decimal(12,2))/3, 1/0, 1.0/0, cast(1 as decimal(38,10))/3"),
		row("operator", "%", "numbers", "%, NULL on zero", "select 7 % 3, -7 % 3, 5 % 0, 7.5 % 2, 7.5e0 % 2"),
		row("operator", "div", "numbers or intervals", "//, NULL on zero", "select 7 div 2, -7 div 2, interval '1-1' year to month div interval '-1' month"),
		row("operator", "+ - with dates", "dates, timestamps and intervals", "+ - by the calendar of the session's zone", "select date'2020-01-31' + 1, date'2020-01-31' + interval 1 month, date'2020-03-01' - interval 1 day, timestamp'2020-01-31 10:00:00' + interval 1 month, timestamp'2020-01-31 10:00:00' - interval '1 02:03:04' day to second, date'2020-03-01' - date'2020-02-01'"),
		row("operator", "| & ^ ~", "whole numbers", "| & xor ~", "select 3 | 5, 3 & 5, 3 ^ 5, ~0"),
		row("operator", "||", "strings or arrays", "||", "select 'a' || 1 || null, 'a' || 1.50, array(1) || array(2)"),
		row("operator", "= <> < <= > >= <=>", "comparable values", "the same after Spark's casts", "select 1 = '1', 1.0 <= '1', 1 <=> null, null = null, date'2020-01-01' = '2020-01-01', '10' < '9', 10 < '9', true = 'true', 2 > 1.1"),
		row("operator", "AND OR NOT !", "booleans", "the same", "select true and null, false and null, true or null, not null, ! false"),
		row("operator", "BETWEEN, IN", "comparable values", "the same after Spark's casts", "select 2 between 1 and 3, 2 not between 1 and 1.5, 1 in (1, 2.5), 1 in ('1'), null in (1), 1 not in (2, null)"),
		row("operator", "LIKE, ILIKE", "strings", `the same with ESCAPE '\'`, `select 'abc' like 'a_c', 'a%c' like 'a\\%c', 'ABC' ilike 'a%', 'x' like any ('a', 'x'), 'x' not like all ('a', 'b'), 'a_b' like 'a/_b' escape '/'`),
		row("operator", "RLIKE, REGEXP", "string, pattern constant", "regexp_matches", `select 'ab\n' rlike 'b$', 'a\nb' rlike 'a.b', 'A1' rlike '^[A-Z]\\d$'`),
		row("operator", "IS [NOT] NULL, TRUE, FALSE, DISTINCT FROM", "any", "the same", "select null is null, 1 is not null, null is true, false is not true, 1 is distinct from null, null is unknown"),
		row("operator", "CASE", "any", "CASE in the common type", "select case when 1 > 0 then 1 when 2 > 0 then 2.0 else 1.2 end, case 3 when 3 then 'x' end, case when cast(null as boolean) then 1 else 'a' end"),
		row("operator", "[ ] and .", "array, map, struct", "spark_get, map_extract_value, struct_extract", "select array(1, 2)[0], array(1)[5], array(1)[-1], map('a', 1)['a'], map('a', 1)['b'], named_struct('x', 1).x, array(named_struct('x', 1)).x"),
		row("cast", "to boolean", "string or number", "spark_to_boolean", "select cast('yes' as boolean), cast('x' as boolean), cast(2 as boolean), cast(' T ' as boolean)"),
		row("cast", "to tinyint, smallint, int, bigint", "string, number, boolean, timestamp", "cut, not rounded; NULL for what is no number", "select cast('1.9' as int), cast('.5' as int), cast('1e3' as int), cast(' 12 ' as bigint), cast('x' as int), cast(-1.9 as int), cast(1e20 as int), cast(cast('NaN' as double) as int), cast(true as int), cast(timestamp'1970-01-01 00:01:00Z' as bigint), cast('99999999999' as int)"),
		row("cast", "to float, double", "string, number, boolean, timestamp", "spark_to_double", "select cast('1.5' as double), cast('1e3' as double), cast('x' as double), cast('inf' as double), cast('1.0d' as double), cast(1.25 as double), cast(true as double)"),
		row("cast", "to decimal", "string, number, boolean", "TRY_CAST, rounded half up; NULL where it does not fit", "select cast('1.005' as decimal(10,2)), cast('x' as decimal(10,2)), cast(123.456 as decimal(5,1)), cast(1234 as decimal(3,0)), cast(1.005e0 as decimal(10,2)), cast('1e3' as decimal(10,2))"),
		row("cast", "to string", "number, boolean, date, timestamp, binary", "spark_double_string, spark_timestamp_string and others", "select cast(1e10 as string), cast(1.0E-5 as string), cast(0.1f as string), cast(1.50 as string), cast(true as string), cast(date'2020-01-02' as string), cast(timestamp'2020-01-02 03:04:05.600' as string), cast(0.0000000 as string)"),
		row("cast", "to date", "string, timestamp", "spark_to_date", "select cast('2020-1-2' as date), cast('2020-01-02T10' as date), cast('2020' as date), cast('x' as date), cast(timestamp'2020-01-02 23:00:00' as date), cast('2020-02-30' as date)"),
		row("cast", "to timestamp, timestamp_ntz", "string, date, number", "spark_to_timestamp", "select cast('2020-01-02' as timestamp), cast('2020-01-02 3:4:5.6' as timestamp), cast('2020-01-02T03:04:05Z' as timestamp), cast('2020-01-02 03:04:05+02:30' as timestamp), cast('x' as timestamp), cast(60 as timestamp), cast(date'2020-01-02' as timestamp_ntz)"),
		row("cast", "to array, struct", "of the same shape", "by element", "select cast(array('1', 'x') as array<int>), cast(named_struct('a', '1') as struct<a:int>)"),
		row("clause", "SELECT DISTINCT", "", "the same", "select distinct s is null"+v),
		row("clause", "WITH", "", "the same, names made unique", "with a as (select 1 x), b(y) as (select x + 1 from a) select * from a, b"),
		row("clause", "JOIN", "INNER, LEFT, RIGHT, FULL, CROSS, SEMI, ANTI, NATURAL, USING", "the same with ON", "select * from values (1, 'a'), (2, 'b') l(k, x) full join values (2, 'c'), (3, 'd') r(k, y) using (k)"),
		row("clause", "LEFT SEMI JOIN, LEFT ANTI JOIN", "", "SEMI JOIN, ANTI JOIN", "select l.k from values (1), (2) l(k) left anti join values (2) r(k) on l.k = r.k"),
		row("clause", "LATERAL (query)", "", "LATERAL", "select t.k, u.m from values (1), (2) t(k), lateral (select t.k * 2 as m) u"),
		row("clause", "LATERAL VIEW [OUTER]", "explode, posexplode, inline, stack, json_tuple", "LATERAL (SELECT unnest …)", "select k, e from values (1, array(1, 2)), (2, array()) t(k, a) lateral view outer explode(a) x as e"),
		row("generator", "explode, explode_outer, posexplode, posexplode_outer", "array or map", "unnest", "select posexplode(array('a', 'b'))"),
		row("generator", "inline, inline_outer", "array of structs", "unnest", "select inline(array(struct(1, 'a'), struct(2, 'b')))"),
		row("generator", "stack", "int constant, any…", "unnest", "select stack(2, 1, 2, 3)"),
		row("generator", "json_tuple", "string, string…", "spark_json_field", `select json_tuple('{"a":1, "b":"x"}', 'a', 'b', 'c')`),
		row("generator", "range", "whole numbers", "range", "select * from range(1, 7, 2)"),
		row("clause", "GROUP BY, HAVING", "values, ordinals, names of the select list, ALL", "the same", "select k % 2 as odd, count(*) n"+v+" group by odd having n > 0"),
		row("clause", "GROUPING SETS, ROLLUP, CUBE", "", "the same", "select k, s, count(*)"+v+" group by grouping sets ((k, s), (k), ())"),
		row("clause", "OVER, WINDOW", "ROWS and RANGE frames", "the same, the place of NULL made explicit", "select k, sum(k) over w, sum(k) over (order by k rows between 1 preceding and current row)"+v+" window w as (order by s)"),
		row("clause", "FILTER (WHERE …)", "aggregates", "the same", "select count(*) filter (where k > 1), sum(k) filter (where s is null)"+v),
		row("clause", "ORDER BY, LIMIT, OFFSET", "", "the same, the place of NULL made explicit", "select k, s"+v+" order by s desc, k limit 2 offset 1"),
		row("clause", "UNION, INTERSECT, EXCEPT, MINUS [ALL]", "", "the same in the common types", "select 1 as a union all select 2.5 union select 1"),
		row("clause", "VALUES", "", "VALUES in the common types", "select * from values (1, 'a'), (2.5, null) t(x, y)"),
		row("clause", "PIVOT", "constants", "an aggregate with FILTER a value", "select * from values ('x', 'q1', 10), ('x', 'q2', 20), ('y', 'q1', 5) t(n, q, v) pivot (sum(v) for q in ('q1', 'q2' as second))"),
		row("clause", "UNPIVOT", "", "unnest of a list of structs", "select * from values (1, 10, null) t(id, a, b) unpivot (v for n in (a, b as bee))"),
		row("clause", "EXISTS, IN (query), scalar subqueries", "", "the same", "select k, (select max(k) from values (5), (7) u(k))"+v+" where exists (select 1 from values (1), (2) w(j) where w.j = t.k) and k in (select 1)"),
		row("clause", "SORT BY, CLUSTER BY, DISTRIBUTE BY, hints", "", "left out: they do not change the rows", "select /*+ coalesce(1) */ k"+v+" distribute by k sort by k"),
		row("clause", "*, t.*", "", "the columns written out", "select t.*, *"+v),
		row("clause", "INTERVAL", "months, or days to microseconds; constants", "INTEGER months, BIGINT microseconds", "select interval 1 year 2 months, interval '1 02:03:04.5' day to second, interval '-3' hour"),
	}
}
