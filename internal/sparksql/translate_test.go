package sparksql

import (
	"strings"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"select no_such(a) from t":                             "1:8: function no_such is not translated for DuckDB (give the step two texts",
		"select uper(b) from t":                                "did you mean upper?",
		"select approx_count_distinct(a) from t":               "not translated",
		"select rand(), uuid(), monotonically_increasing_id()": "rand",
		"select nope from t":                                   "there is no column nope",
		"select iid from t":                                    "did you mean id?",
		"select id from t, u":                                  "column id is ambiguous",
		"select b + d from t":                                  "has no meaning",
		"select a from nowhere":                                "the columns of table nowhere are not known",
		"select regexp_extract(b, 'a(?=b)', 0) from t":         "only (?: … )",
		"select b rlike a from t":                              "no constant",
		"select regexp_replace(b, '[a&&b]', '') from t":        "&& inside",
		"select date_format(ts, 'YYYY') from t":                "the letter Y is not translated",
		"select to_date(b, 'dd-MMM-yy') from t":                "not read, only written",
		"select 'it''s'":                                       "two quotes in a row",
		"select a from t tablesample (1 percent)":              "chosen at random",
		"select sum(sum(a)) from t":                            "inside another aggregate",
		"select a from t where sum(a) > 1":                     "has no place here",
		"select * from t union select 1":                       "9 and 1 columns",
		"select m = m from t":                                  "does not compare maps",
		"select cast(m as string) from t":                      "a cast from map",
		"select interval 1 month 1 day":                        "mixes months and days",
		"select a[0] from t":                                   "no array and no map",
		"select s.nope from t":                                 "no field nope",
		"select coalesce(a, true) from t":                      "no common type",
		"select {{ a }} from identifier({{ t }})":              "has no value here",
		"select 1 order by 2":                                  "not in the select list",
		"select a from t sort by a limit 1":                    "partitions",
		"select b like 'a\\\\x' from t":                        "the escape",
	} {
		q, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %s", text, err)
			continue
		}
		tr, faults := DuckDB(q, Options{Catalog: testCatalog})
		if len(faults) == 0 {
			t.Errorf("%s is translated: %s", text, tr.SQL)
			continue
		}
		found := false
		for _, f := range faults {
			found = found || strings.Contains(f.Error(), want)
		}
		if !found {
			t.Errorf("%s: %q, want %q", text, faults, want)
		}
	}
	q, err := Parse("select a from t")
	if err != nil {
		t.Fatal(err)
	}
	if _, faults := DuckDB(q, Options{}); len(faults) != 1 || !faults[0].NeedsTypes {
		t.Errorf("without a catalog: %v", faults)
	}
	if _, faults := DuckDB(q, Options{Catalog: testCatalog, Ansi: true}); len(faults) == 0 {
		t.Error("ANSI mode is translated")
	}
}

// TestAllFaultsAtOnce holds that one fault does not hide the next.
func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	q, err := Parse("select nope1(a),\n nope2(b), missing from t\n where nope3(d)")
	if err != nil {
		t.Fatal(err)
	}
	_, faults := DuckDB(q, Options{Catalog: testCatalog})
	if len(faults) != 4 || faults[3].Pos.Line != 3 || faults[1].Pos.Line != 2 {
		t.Error(faults)
	}
}

func TestConstructs(t *testing.T) {
	t.Parallel()
	q, err := Parse("with x as (select upper(b), a + 1 from t where b like 'x') select cast(a as int), count(*) over () from x join y on true union all select 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range q.Constructs() {
		got = append(got, c.Kind+" "+c.Name)
	}
	if s := strings.Join(got, "; "); s != "clause WITH; function upper; operator +; operator LIKE; clause UNION ALL; clause INNER JOIN; cast CAST AS int; function count; clause OVER" {
		t.Error(s)
	}
	seen := map[string]bool{}
	for _, r := range Constructs() {
		if r.Construct == "" || r.Kind == "" || r.Rewrite == "" || r.Case == "" || seen[r.Kind+r.Construct] {
			t.Errorf("a row is incomplete or twice: %+v", r)
		}
		seen[r.Kind+r.Construct] = true
		if _, err := Parse(r.Case); err != nil {
			t.Errorf("%s: %s", r.Construct, err)
		}
	}
}

func TestDatePatterns(t *testing.T) {
	t.Parallel()
	at := func(y int, m time.Month, d, h, mi, s, us int) int64 {
		return time.Date(y, m, d, h, mi, s, us*1000, time.UTC).UnixMicro()
	}
	for _, c := range []struct {
		pattern, text string
		want          int64
		state         string // ok, null, error
	}{
		{"yyyy-MM-dd", "2024-01-15", at(2024, 1, 15, 0, 0, 0, 0), "ok"},
		{"yyyy-MM-dd", "2024-1-15", 0, "error"},
		{"yyyy-MM-dd", "2024-01-15 x", 0, "error"},
		{"yyyy-MM-dd", "x", 0, "null"},
		{"yyyyMMdd", "20240115", at(2024, 1, 15, 0, 0, 0, 0), "ok"},
		{"d/M/yyyy H:m", "5/1/2024 9:05", at(2024, 1, 5, 9, 5, 0, 0), "ok"},
		{"yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-01-15T10:11:12.120", at(2024, 1, 15, 10, 11, 12, 120000), "ok"},
		{"yyyy-MM-dd", "2024-02-30", 0, "error"},
	} {
		p, err := parsePattern(c.pattern)
		if err == nil {
			err = p.canParse()
		}
		if err != nil {
			t.Errorf("%s: %s", c.pattern, err)
			continue
		}
		got, ok, err := p.parse(c.text)
		state := "null"
		if err != nil {
			state = "error"
		} else if ok {
			state = "ok"
		}
		if state != c.state || ok && got != c.want {
			t.Errorf("%s read by %s: %s %d, want %s %d", c.text, c.pattern, state, got, c.state, c.want)
		}
	}
}

// TestLocalInstant holds java.time's rules where a clock changes.
func TestLocalInstant(t *testing.T) {
	t.Parallel()
	la, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	for local, want := range map[string]string{
		"2021-03-14 02:30:00": "2021-03-14T10:30:00Z", // a gap: later by the gap
		"2021-11-07 01:30:00": "2021-11-07T08:30:00Z", // twice: the earlier
		"2021-07-01 12:00:00": "2021-07-01T19:00:00Z",
		"2021-03-14 03:00:00": "2021-03-14T10:00:00Z",
		"2021-11-07 02:00:00": "2021-11-07T10:00:00Z",
	} {
		v, ok := parseSparkTimestamp(local)
		if !ok {
			t.Fatal(local)
		}
		if got := time.UnixMicro(localInstant(v.local(), la)).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", local, got, want)
		}
	}
}

func TestJavaDouble(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{1e7: "1.0E7", 9999999: "9999999.0", 0.001: "0.001", 0.00099: "9.9E-4", 1: "1.0", -1.5: "-1.5", 1e21: "1.0E21", 1.0 / 3: "0.3333333333333333", 123456789.125: "1.23456789125E8"} {
		if got := javaDouble(f, 64); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
	for s, want := range map[string]string{"0.00000000": "0E-8", "0.00000010": "1.0E-7", "1.50": "1.50", "-0.000000123": "-1.23E-7", "0.000001": "0.000001"} {
		if got := javaDecimal(s); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}

// TestNativesNeverPanic feeds every native odd values of its types.
func TestNativesNeverPanic(t *testing.T) {
	t.Parallel()
	odd := map[Kind][]any{
		String: {"", "x", "-", "{", "[1,", `{"a":`, "\xff", "é", strings.Repeat("9", 400), "yyyy", "$", "$[", "$['", "int"}, Int: {int32(0), int32(-1), int32(-2147483648), int32(2147483647)},
		Long: {int64(0), int64(-1 << 63), int64(1<<63 - 1)}, Double: {0.0, -1.5, 1e308}, Float: {float32(1)}, Boolean: {true}, Binary: {[]byte{}, []byte{255}},
	}
	for _, n := range Natives(nil) {
		for round := range 14 {
			args := make([]any, len(n.Args))
			for i, a := range n.Args {
				list := odd[a.Kind]
				args[i] = list[(round*(i+1))%len(list)]
			}
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%s%v: %v", n.Name, args, r)
					}
				}()
				_, _ = n.Call(args)
			}()
		}
	}
}

// TestGeneratorsOfUnknownTypes: before the columns of a table are known, a generator over
// one is no fault of its own.
func TestGeneratorsOfUnknownTypes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"select p.id, v.sku from source p lateral view explode(p.variants) t as v",
		"select p.id, k, v from source p lateral view outer explode(p.tags) t as k, v",
		"select id, explode(variants) as v from source", "select id, posexplode(variants) as (i, v) from source", "select inline(variants) from source",
		"select v.x from source s, lateral explode(s.variants) as t(v)",
	} {
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, faults := DuckDB(q, Options{})
		for _, f := range faults {
			if !f.NeedsTypes {
				t.Errorf("%s: %s", text, f.Message)
			}
		}
		if len(faults) == 0 {
			t.Errorf("%s: the types are not known and nothing says so", text)
		}
	}
}
