//go:build real

package postgres_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/conform/parts"
	"github.com/tidemill/tidemill/internal/connect/postgres"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// server starts a PostgreSQL and returns its URL.
func server(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tidemill-pg-") // whose parents its user can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // scratch
	return parts.Up(t)(parts.Postgres(t.Context(), dir))
}

func source(t *testing.T, url string) *postgres.Source {
	t.Helper()
	s, err := postgres.New(postgres.Settings{URL: flow.NewSecret(url)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReal(t *testing.T) {
	url := server(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the server ends too
	if _, err := conn.Exec(t.Context(), `create type mood as enum ('sad', 'ok');
		create table all_types (id int, bool bool, si int2, i int4, bi int8, f4 float4, f8 float8, num numeric(12,2), anynum numeric, s text, vc varchar(9), c char(3), b bytea, day date, tm time, ts timestamp, tstz timestamptz,
			iv interval, e mood, u uuid, j json, jb jsonb, inet inet, l int[], tl text[], p point, d2 int[][]);
		insert into all_types values (1, true, -32768, 2147483647, 9223372036854775807, 1.5, 0.1, 1234567890.12, 123456789012345678901234567890.1234567890, 'te"xt\', 'vc', 'c', '\xdeadbeef', '2026-01-05', '10:11:12.5',
			'2026-01-05 10:11:12.123456', '2026-01-05 10:11:12+02', '1 day 90 minutes', 'ok', '7f9c1d2e-0000-4000-8000-000000000001', '{"a": 1}', '{"a": 1}', '10.0.0.1', '{1,NULL,3}', '{"a,b","c\"d\\",NULL,"NULL",""}', '(1,2)', null);
		insert into all_types (id) values (2); create table numbers as select n from generate_series(1, 50000) n`); err != nil {
		t.Fatal(err)
	}
	s := source(t, url)
	t.Run("conforms", func(t *testing.T) {
		conform.Source(t, conform.SourceCase{
			Open:    func(t *testing.T) flow.Source { return source(t, url) },
			Query:   flow.Query{Text: "select n, 'x' || n as s from numbers where n <= {{1}} and '?' <> {{2}};", Values: []any{int64(30000), "y"}},
			Rows:    30000,
			Empty:   flow.Query{Text: "select * from numbers where n < 0"},
			Broken:  flow.Query{Text: "select n, 1 / (n - 40000) as x from numbers"},
			Refused: flow.Query{Text: "select * from nosuch"},
			Slow:    flow.Query{Text: "select n, pg_sleep(5)::text as x from numbers"},
		})
	})
	t.Run("types", func(t *testing.T) { types(t, s) })
	t.Run("test", func(t *testing.T) {
		if said, err := s.Test(t.Context()); err != nil || !strings.HasPrefix(said, "it is user etl of database postgres, PostgreSQL ") {
			t.Errorf("%q %v", said, err)
		}
		_, err := source(t, strings.Replace(url, "pg%20secret", "wrong%20secret", 1)).Test(t.Context())
		if flow.KindOf(err) != flow.Denied || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%v", err)
		}
		_, err = source(t, "postgres://etl:pw@127.0.0.1:1/x").Test(t.Context())
		if flow.KindOf(err) != flow.Transient || strings.Contains(err.Error(), "pw") {
			t.Errorf("%v", err)
		}
	})
	t.Run("refuses", func(t *testing.T) {
		for text, want := range map[string]string{
			"insert into numbers values (1) returning n": "syntax error",
			"select '{{1,2},{3,4}}'::int[] as x":         "several dimensions",
			"select 'infinity'::timestamp as x":          "no time that a dataset can keep",
			"drop table numbers":                         "the query gives no rows",
		} {
			_, rows, err := s.Read(t.Context(), flow.Query{Text: text})
			if err == nil {
				for _, e := range rows {
					err = e
				}
			}
			if err == nil || !strings.Contains(err.Error(), want) || flow.KindOf(err) != flow.Invalid {
				t.Errorf("%s: %v (%v)", text, err, flow.KindOf(err))
			}
		}
	})
}

// types holds every type against what was put in, with NULL in each.
func types(t *testing.T, s *postgres.Source) {
	schema, rows, err := s.Read(t.Context(), flow.Query{Text: "select * from all_types order by id"})
	if err != nil {
		t.Fatal(err)
	}
	found, err := format.SchemaOf(schema)
	if err != nil {
		t.Fatal(err)
	}
	words, got := conform.Shown(t, found, rows)
	want := "id:int bool:boolean si:smallint i:int bi:bigint f4:float f8:double num:decimal(12,2) anynum:string s:string vc:string c:string b:binary day:date tm:string ts:timestamp_ntz tstz:timestamp " +
		"iv:string e:string u:string j:string jb:string inet:string l:array<int> tl:array<string> p:string d2:array<int>"
	if d := cmp.Diff(strings.Fields(want), words); d != "" {
		t.Error(d)
	}
	full := `{"id":1,"bool":true,"si":-32768,"i":2147483647,"bi":9223372036854775807,"f4":1.5,"f8":0.1,"num":1234567890.12,"anynum":"123456789012345678901234567890.1234567890","s":"te\"xt\\","vc":"vc","c":"c  ","b":"3q2+7w==",` +
		`"day":"2026-01-05","tm":"10:11:12.5","ts":"2026-01-05T10:11:12.123456","tstz":"2026-01-05T08:11:12Z","iv":"P1DT1H30M","e":"ok","u":"7f9c1d2e-0000-4000-8000-000000000001","j":"{\"a\": 1}","jb":"{\"a\": 1}","inet":"10.0.0.1",` +
		`"l":[1,null,3],"tl":["a,b","c\"d\\",null,"NULL",""],"p":"(1,2)","d2":null}`
	if d := cmp.Diff(full, got[0]); d != "" {
		t.Error(d)
	}
	if n := strings.Count(got[1], ":null"); n != len(words)-1 {
		t.Errorf("%d of %d are NULL: %s", n, len(words)-1, got[1])
	}
}
