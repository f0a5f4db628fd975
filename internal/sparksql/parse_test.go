package sparksql

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// texts are read, printed and read again: the seeds of the fuzz test too.
var texts = []string{
	"select 1",
	"SELECT a, b.c AS d, t.* FROM t JOIN b ON t.id = b.id WHERE a > 1 AND NOT b.x IN (1, 2) OR c IS NOT NULL",
	"with a as (select 1 x), b(y) as (with c as (select 2) select * from c) select * from a natural join b order by x desc nulls last limit 3 offset 1",
	"select * from a left outer join b using (k) right join c on true full join d on false cross join e left semi join f on a.x = f.x left anti join g using (k, l)",
	"select * from (a join b on a.x = b.x) join (select 1) c, lateral (select a.x) l, values (1, 'x'), (2, 'y') v(p, q), range(10) r",
	"select 1 union all select 2 union select 3 intersect select 4 except all (select 5 minus select 6) order by 1",
	"(select 1) union (select 2 limit 1)",
	"select k, sum(v) filter (where v > 0), count(distinct a, b), first(x) ignore nulls, percentile_cont(0.5) within group (order by v desc) from t group by grouping sets ((a, b), a, ()), rollup(c, (d, e)), f",
	"select a from t group by a, b with cube",
	"select a, count(*) from t group by all having count(*) > 1",
	"select sum(v) over (partition by k order by d desc rows between 1 preceding and unbounded following), rank() over w, lag(x, 1) over (w rows unbounded preceding) from t window w as (partition by a order by b), w2 as (w)",
	"select e, p from t lateral view outer posexplode(a.b) x as p, e lateral view explode(m) as k, v where p > 0",
	"select * from t pivot (sum(v) as s, avg(v) for (a, b) in ((1, 'x') as one, (2, 'y'))) p",
	"select * from t unpivot include nulls ((v, w) for n in ((a, b) as ab, (c, d)))",
	"select * from t tablesample (10 percent) repeatable (5) x",
	"select transform(a, x -> x + 1), aggregate(a, 0, (acc, x) -> acc + x), m['k'], a[0].b.c, s.`odd name`, struct(1 as a, b c)",
	"select case x when 1 then 'a' else 'b' end, case when a then b end, cast(a as decimal(10,2)), try_cast(b as array<struct<a:int,b:map<string,double>>>), c::int, extract(year from d)",
	"select 1L, 2S, 3Y, 1.5, .5, 1e3, 1.5e-3D, 2F, 1.5BD, -1, - 1, -(-1), 'a' 'b', \"q\", r'\\d', X'1F', date'2020-01-01', timestamp '2020-01-01 00:00:00', timestamp_ntz'2020-01-01', null, true",
	"select interval 1 day, interval '1-2' year to month, interval '1 2:3:4' day to second, interval 1 year 2 months, interval '3 days', interval -2 hours, interval - '5' minute, interval x days",
	"select a between 1 and 2 and b not between c and d, a like 'x' escape '/', b not ilike any ('a', 'b'), c rlike 'd', d is distinct from e, f <=> g, h is not true, i is unknown",
	"select a div b, a % b, a | b & c ^ ~d, a || b || c, 1 - 2 - 3, 1 - (2 - 3), (1 + 2) * 3, not (a and b), not a and b, (a or b) and c, a == b, a != b, !a",
	"select exists (select 1 from u where u.x = t.x), (select max(y) from u), a in (select 1), (a, b) in (select 1, 2), exists(arr, x -> x > 1)",
	"select /*+ broadcast(a), coalesce(3) */ distinct a /* c /* nested */ */ from t -- end\n distribute by a sort by b cluster by c",
	"select trim(both 'x' from y), trim(leading from z), ltrim('a', b), substring(a from 1 for 2), overlay(a placing b from 3), position('a' in b), timestampadd(day, 1, d), date_add(d, 1), f(x => 1, y => 2)",
	"select `a``b`, `select`.`from`, `1a`, date, year, interval, first, last from `my table`",
	"from t select a where b",
	"table t", "values (1, 2), (3, 4)", "values 1, 2",
	"select * from x where d = {{ ds }} and n > {{ params.n + {\"a\": \"}}\"}.b }} limit {{ params.limit }}",
	"select * from identifier({{ params.table }}) t, identifier('a.b')",
	"select a from t;",
}

func TestPrintParseFixpoint(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		q, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %s", text, err)
			continue
		}
		checkFixpoint(t, q)
	}
}

func checkFixpoint(t *testing.T, q *Query) {
	t.Helper()
	once := q.String()
	again, err := Parse(once)
	if err != nil {
		t.Fatalf("%q\nprinted as %q\nis not read: %s", q.Text(), once, err)
	}
	if twice := again.String(); twice != once {
		t.Fatalf("%q\nprinted as %q\nand then as %q", q.Text(), once, twice)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			if e, ok := AsError(err); !ok || e.Pos.Line < 1 || e.Pos.Column < 1 || e.Message == "" {
				t.Fatalf("%q: an error without a position: %v", text, err)
			}
			return
		}
		checkFixpoint(t, q)
		q.Tables()
		q.Columns("t")
		q.Constructs()
		if _, faults := DuckDB(q, Options{Catalog: testCatalog}); len(faults) > 0 {
			for _, x := range faults {
				if x.Message == "" || x.Construct == "" {
					t.Fatalf("%q: an empty fault %+v", text, x)
				}
			}
		}
	})
}

func testCatalog(table string) ([]Field, bool) {
	switch strings.ToLower(table) {
	case "t", "source":
		return []Field{{"id", simple(Int)}, {"a", simple(Long)}, {"b", simple(String)}, {"d", simple(Date)}, {"v", decimalOf(12, 2)}, {"ts", simple(Timestamp)}, {"arr", arrayOf(simple(Int))},
			{"m", mapOf(simple(String), simple(Double))}, {"s", structOf(Field{"x", simple(Int)}, Field{"y", arrayOf(simple(String))})}}, true
	case "u":
		return []Field{{"id", simple(Int)}, {"w", simple(Double)}}, true
	}
	return nil, false
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                  `1:1: expected SELECT, WITH, VALUES, TABLE, FROM or "(", found the end of the text`,
		"selct 1":                           `did you mean SELECT?`,
		"select a\nform t":                  "", // form is an alias, and so t is the surprise
		"select a from t wher b":            `1:22: expected the end of the query, found "b"`,
		"select a from t group b":           `write GROUP BY`,
		"select\n  a,\n from t":             `3:2: expected an expression, found "from"`,
		"select 'abc":                       "1:8: string is not closed",
		"select /* a":                       "1:8: comment is not closed",
		"select a from t qualify x = 1":     "",
		"select a from t where x qualify 1": "QUALIFY is not a clause of Spark SQL",
		"with recursive a as (select 1) select * from a": "WITH RECURSIVE is not part of Spark 3.5",
		"select '{{ ds }}'":                  "{{ … }} stands for a value and has no place inside a string",
		"select * from {{ x }}":              "write identifier({{ x }})",
		"select {{ }}":                       "{{ }} is empty",
		"select {{ a":                        "{{ is not closed",
		"select cast(a as strng)":            "did you mean string?",
		"select cast(a as decimal(40,2))":    "decimal(40,2) is no Spark type",
		"select interval 1 dya":              "did you mean DAY?",
		"select a << 2":                      "write shiftleft",
		"insert into t select 1":             "INSERT is not a query",
		"select 1 limit 1, 2":                "write LIMIT b OFFSET a",
		"select ä":                           "write a name with such letters in backticks",
		"select 300Y":                        "out of range",
		"select a from t fetch first 1 rows": "",
		"select 1e999":                       "out of range",
		"select case a end":                  "expected WHEN",
		"select a in 1":                      `expected "("`,
		"select a is nul":                    "did you mean NULL?",
		"select 1 'x'":                       "write the name in backticks",
	} {
		_, err := Parse(text)
		if err == nil {
			t.Errorf("%q is read", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, want %q", text, err, want)
		}
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"select " + strings.Repeat("(", 100000) + "1",
		"select " + strings.Repeat("-", 1) + strings.Repeat(" - ", 50000) + "1",
		"select " + strings.Repeat("not ", 50000) + "a",
		"select " + strings.Repeat("a[", 50000),
		"select cast(a as " + strings.Repeat("array<", 50000),
		strings.Repeat("select * from (", 50000),
		"select 1" + strings.Repeat(" + 1", 100000),
		"select " + strings.Repeat("case when ", 50000),
		"select 1" + strings.Repeat(" union select 1", 50000),
		strings.Repeat("/*", 100000),
		"select \x00, '\xff'", strings.Repeat("a", 2<<20), "select `", "select 'a\\", "select \\", "select @", "select {{ '}} ",
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q… is read", clip(text))
		}
	}
	// Long and flat is fine.
	q, err := Parse("select 1" + strings.Repeat(" + 1", 5000))
	if err != nil {
		t.Fatal(err)
	}
	if _, faults := DuckDB(q, Options{}); len(faults) > 0 {
		t.Error(faults[0])
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"select * from a join b.c on 1 = 1 where x in (select y from d)":                              {"a", "b.c", "d"},
		"with a as (select * from a), b as (select * from a) select * from b, c":                      {"a", "c"},
		"with a as (select 1) select * from (with b as (select * from a) select * from b), b":         {"b"},
		"with a as (select * from b), b as (select 1) select * from a, B":                             {"b"},
		"select (select max(x) from s1), exists (select 1 from s2) from lateral (select * from s3) l": {"s1", "s2", "s3"},
		"table t union select * from u order by (select 1 from v)":                                    {"t", "u", "v"},
		"select * from source s, `my table` m pivot (sum(x) for y in (1))":                            {"source", "my table"},
		"select explode(array(1)) from range(5)":                                                      nil,
		"with x as (select 1) select * from db.x":                                                     {"db.x"},
	} {
		q, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %s", text, err)
			continue
		}
		var got []string
		for _, x := range q.Tables() {
			got = append(got, x.Name)
			if !strings.HasPrefix(strings.ReplaceAll(text[x.Pos.Offset:], "`", ""), x.Name) {
				t.Errorf("%s: %s is said to stand at %s", text, x.Name, x.Pos)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	all := []string{"*"}
	for text, want := range map[string][]string{
		"select region, sum(amount) as amount from source group by region": {"amount", "region"},
		"select * from source":                                                     all,
		"select s.* from source s join b on true":                                  all,
		"select b.* from source s join b on b.x = s.k":                             {"b", "k", "s"},
		"select count(*) from source where x > 1":                                  {"x"},
		"select * from (select a, b from source)":                                  {"a", "b"},
		"with x as (select a from source where c = 1) select * from x":             {"a", "c"},
		"select p.id, v.sku from source p lateral view explode(p.variants) t as v": {"id", "p", "v", "variants"},
		"select a from t": {},
		"select x from t where exists (select 1 from source where source.k = t.k)":           {"k", "source", "t"},
		"select u.y from u where u.z in (select q from source)":                              {"q"},
		"select a from source order by b":                                                    {"a", "b"},
		"select a from source natural join b":                                                all,
		"select 1 from source join b using (k)":                                              {"k"},
		"table source":                                                                       all,
		"select * from source pivot (sum(v) for k in (1))":                                   all,
		"select (select max(source.z) from b) from source":                                   {"source", "z"},
		"select max(v) over (partition by p order by o), transform(arr, x -> x) from source": {"arr", "o", "p", "v", "x"},
	} {
		q, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %s", text, err)
			continue
		}
		got, isAll := q.Columns("SOURCE")
		if isAll {
			got = all
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	q, err := Parse("select {{ a }},\n  {{ b }} from identifier({{ params.t }}) where x = trim({{ a }})")
	if err != nil {
		t.Fatal(err)
	}
	want := []Param{{Pos{7, 1, 8}, " a ", false, 0}, {Pos{18, 2, 3}, " b ", false, 1}, {Pos{42, 2, 27}, " params.t ", true, -1}, {Pos{73, 2, 58}, " a ", false, 2}}
	if d := cmp.Diff(want, q.Params()); d != "" {
		t.Error(d)
	}
	got, err := q.Spark(func(p Param) (string, error) { return Literal("it's {{" + p.Raw), nil }, func(Param) (string, error) { return "db.x", nil })
	if err != nil || got != `SELECT 'it\'s \{\{ a ', 'it\'s \{\{ b ' FROM identifier('db.x') WHERE x = trim('it\'s \{\{ a ')` {
		t.Error(got, err)
	}
	if _, err := Parse(got); err != nil {
		t.Error(err)
	}
	tr, faults := DuckDB(q, Options{Catalog: func(string) ([]Field, bool) { return []Field{{"x", simple(Date)}}, true },
		Name: func(Param) (string, error) { return "db.x", nil }, ParamTypes: []Type{simple(Int), simple(Date)}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if wantSQL := `SELECT CAST($1 AS INTEGER) AS "a", CAST($2 AS DATE) AS "b" FROM "db"."x" AS "x" WHERE ("x"."x" = spark_to_date(trim(CAST($3 AS VARCHAR), ' ')))`; tr.SQL != wantSQL {
		t.Errorf("got  %s\nwant %s", tr.SQL, wantSQL)
	}
	if len(tr.Params) != 3 || tr.Params[2].Index != 2 {
		t.Error(tr.Params)
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"int", "decimal(12,2)", "array<struct<a:int,b:map<string,array<double>>>>", "timestamp_ntz", "interval day to second", "struct<`odd name`:binary>"} {
		typ, err := ParseType(s)
		if err != nil || typ.String() != s {
			t.Errorf("%s: %s %v", s, typ, err)
		}
	}
	fs, err := ParseSchema("a INT, `b c` DECIMAL(5,1) NOT NULL, c STRUCT<x: STRING COMMENT 'y'>")
	if err != nil || len(fs) != 3 || fs[1].Name != "b c" || fs[2].Type.DuckDB() != `STRUCT("x" VARCHAR)` {
		t.Error(fs, err)
	}
	if _, err := ParseType("int, int"); err == nil {
		t.Error("a list is read as a type")
	}
}
