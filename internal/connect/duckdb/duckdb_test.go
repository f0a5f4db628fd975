package duckdb_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/connect/duckdb"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// make makes a file with a table of 50,000 numbers.
func makeFile(t *testing.T, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "w.duckdb")
	db, err := sql.Open("duckdb", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range append(statements, "create table numbers as select range::int as n from range(50000)") {
		if _, err := db.Exec(st); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConforms(t *testing.T) {
	t.Parallel()
	path := makeFile(t)
	conform.Source(t, conform.SourceCase{
		Open:    func(*testing.T) flow.Source { return duckdb.New(path) },
		Query:   flow.Query{Text: "select n, 'x' || n as s from numbers where n < {{1}};", Values: []any{int64(30000)}},
		Rows:    30000,
		Empty:   flow.Query{Text: "select * from numbers where n < 0"},
		Broken:  flow.Query{Text: "select case when n = 40000 then error('planted') else n end as n from numbers"},
		Refused: flow.Query{Text: "select * from nosuch"},
		Slow:    flow.Query{Text: "select count(*) as n from numbers a, numbers b, numbers c where a.n + b.n + c.n = 7"},
	})
}

// Every type, with a value and NULL.
func TestTypes(t *testing.T) {
	t.Parallel()
	path := makeFile(t, `create type mood as enum ('sad', 'ok')`, `create table all_types as select * from (values
		(true, 1::tinyint, 2::smallint, 3::int, 4::bigint, 255::utinyint, 65535::usmallint, 4294967295::uinteger, 18446744073709551615::ubigint,
		 170141183460469231731687303715884105727::hugeint % 1000, 1.5::float, 2.5::double, 12.30::decimal(12,2), 'text', 'blob'::blob, date '2026-01-05', time '10:11:12.5',
		 timestamp '2026-01-05 10:11:12.123456', timestamptz '2026-01-05 10:11:12+02', timestamp_s '2026-01-05 10:11:12', timestamp_ns '2026-01-05 10:11:12.123456789', interval 90 minute,
		 'ok'::mood, '7f9c1d2e-0000-4000-8000-000000000001'::uuid, '{"a": 1}'::json, [1, 2], {'a': 1, 'b': 'x'}, map {'k': 1}))
		t(bool, ti, si, i, bi, uti, usi, ui, ubi, hi, f, d, dec, s, b, day, tm, ts, tstz, tss, tsns, iv, e, u, j, l, st, m)`,
		"insert into all_types (bool) values (null)")
	schema, batches, err := duckdb.New(path).Read(t.Context(), flow.Query{Text: "select * from all_types"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := format.SchemaOf(schema)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, c := range s {
		types = append(types, c.Name+":"+c.Type)
	}
	want := "bool:boolean ti:tinyint si:smallint i:int bi:bigint uti:smallint usi:int ui:bigint ubi:decimal(20,0) hi:decimal(38,0) f:float d:double dec:decimal(12,2) s:string b:binary day:date tm:string " +
		"ts:timestamp_ntz tstz:timestamp tss:timestamp_ntz tsns:timestamp_ntz iv:string e:string u:string j:string l:array<int> st:struct<a:int,b:string> m:map<string,int>"
	if d := cmp.Diff(strings.Fields(want), types); d != "" {
		t.Error(d)
	}
	var text strings.Builder
	for b, err := range batches {
		if err == nil {
			err = format.WriteNDJSON(&text, b)
			b.Release()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := strings.Split(strings.TrimSpace(text.String()), "\n")
	for _, part := range []string{`"ubi":18446744073709551615`, `"dec":12.30`, `"b":"YmxvYg=="`, `"tm":"10:11:12.5"`, `"ts":"2026-01-05T10:11:12.123456"`, `"tstz":"2026-01-05T08:11:12Z"`, `"tsns":"2026-01-05T10:11:12.123456"`,
		`"iv":"01:30:00"`, `"e":"ok"`, `"u":"7f9c1d2e-0000-4000-8000-000000000001"`, `"j":"{\"a\": 1}"`, `"l":[1,2]`, `"st":{"a":1,"b":"x"}`, `"m":{"k":1}`} {
		if !strings.Contains(rows[0], part) {
			t.Errorf("%s lacks %s", rows[0], part)
		}
	}
	if n := strings.Count(rows[1], ":null"); n != len(types) {
		t.Errorf("%d of %d are NULL: %s", n, len(types), rows[1])
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	path := makeFile(t)
	s := duckdb.New(path)
	for text, want := range map[string]string{
		"select * from read_csv('/etc/passwd')":     "disabled",
		"insert into numbers values (1)":            "syntax error",
		"select 1 as x); drop table numbers; --":    "syntax error",
		"select * from numbers where n = 'nothing'": "onver",
	} {
		_, rows, err := s.Read(t.Context(), flow.Query{Text: text})
		if err == nil {
			for _, e := range rows {
				err = e
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if said, err := s.Test(t.Context()); err != nil || !strings.Contains(said, "1 tables") {
		t.Errorf("%q %v", said, err)
	}
	if _, err := duckdb.New(path + "x").Test(t.Context()); flow.KindOf(err) != flow.NotFound {
		t.Errorf("%v", err)
	}
}
