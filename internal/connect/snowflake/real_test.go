//go:build real

package snowflake_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sf "github.com/snowflakedb/gosnowflake"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/conform/parts"
	"github.com/tidemill/tidemill/internal/connect/snowflake"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// fakesnow starts Snowflake's protocol over DuckDB and returns its URL.
func fakesnow(t testing.TB) string {
	t.Helper()
	return parts.Up(t)(parts.Fakesnow(t.Context(), os.Getenv("TIDEMILL_CACHE"), t.TempDir()))
}

func account(t testing.TB, url string) *snowflake.Source {
	t.Helper()
	s, err := snowflake.New(snowflake.Settings{Account: "acme", User: "etl", Password: flow.NewSecret("pw"), URL: url, Database: "shop", Schema: "public", Warehouse: "wh"}, snowflake.Options{Temp: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs statements by the bare driver.
func run(t testing.TB, url string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("snowflake", "etl:pw@"+strings.TrimPrefix(url, "http://")+"/shop/public?account=acme&protocol=http")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })                                      //nolint:errcheck // the server ends too
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) //nolint:forbidigo // benchmarks too
	defer cancel()
	for _, st := range statements {
		if _, err := db.ExecContext(ctx, st); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
	return db
}

func TestReal(t *testing.T) {
	url := fakesnow(t)
	run(t, url, "create database if not exists shop", "create schema if not exists shop.public", "create table shop.public.numbers as select seq4() as n from table(generator(rowcount => 50000))",
		`create table all_types (id int, b boolean, n380 number(38,0), n9 number(9,0), n122 number(12,2), n3810 number(38,10), f float, s varchar, bin binary, d date, t time, ntz timestamp_ntz, ltz timestamp_ltz, tz timestamp_tz, v variant, o object, a array)`,
		`insert into all_types select 1, true, 1234567890123456789, 123456789, 1234567890.12, 1.0000000001, 0.1, 'text', to_binary('deadbeef', 'hex'), '2026-01-05', '10:11:12', '2026-01-05 10:11:12.123456', '2026-01-05 10:11:12', '2026-01-05 10:11:12+02:00',
			parse_json('{"a": 1}'), object_construct('k', 'v'), array_construct(1, 2)`,
		"insert into all_types (id) values (2)")
	t.Run("conforms", func(t *testing.T) {
		conform.Source(t, conform.SourceCase{
			Open:    func(t *testing.T) flow.Source { return account(t, url) },
			Query:   flow.Query{Text: "select n, 'x' || n::varchar as s from numbers where n < {{1}}", Values: []any{int64(30000)}, Run: "orders-20260105-abc123"},
			Rows:    30000,
			Empty:   flow.Query{Text: "select * from numbers where n < 0"},
			Broken:  flow.Query{Text: "select to_number('x' || n::varchar) as n from numbers"},
			Refused: flow.Query{Text: "select * from nosuch"},
			Slow:    flow.Query{Text: "select count(*) as n from numbers a, numbers b, numbers c where a.n + b.n + c.n = 7"},
		})
	})
	t.Run("types", func(t *testing.T) {
		schema, rows, err := account(t, url).Read(t.Context(), flow.Query{Text: "select * from all_types order by id"})
		if err != nil {
			t.Fatal(err)
		}
		found, err := format.SchemaOf(schema)
		if err != nil {
			t.Fatal(err)
		}
		words, got := conform.Shown(t, found, rows)
		want := "ID:decimal(38,0) B:boolean N380:decimal(38,0) N9:bigint N122:decimal(12,2) N3810:decimal(38,10) F:double S:string BIN:binary D:date T:string NTZ:timestamp_ntz LTZ:timestamp TZ:timestamp V:string O:string A:string"
		if d := cmp.Diff(strings.Fields(want), words); d != "" {
			t.Error(d)
		}
		full := `{"ID":1,"B":true,"N380":1234567890123456789,"N9":123456789,"N122":1234567890.12,"N3810":1.0000000001,"F":0.1,"S":"text","BIN":"3q2+7w==","D":"2026-01-05","T":"10:11:12",` +
			`"NTZ":"2026-01-05T10:11:12.123456","LTZ":"2026-01-05T10:11:12Z","TZ":"2026-01-05T08:11:12Z","V":"{\"a\":1}","O":"{\"k\":\"v\"}","A":"[1,2]"}`
		if d := cmp.Diff(full, got[0]); d != "" {
			t.Error(d)
		}
		// The stand-in sends NULL timestamps as 1970: TestChunks has them right.
		if n := strings.Count(got[1], ":null"); n != len(words)-1-3 {
			t.Errorf("%d of %d are NULL: %s", n, len(words)-1-3, got[1])
		}
	})
	t.Run("test", func(t *testing.T) {
		if said, err := account(t, url).Test(t.Context()); err != nil || !strings.HasPrefix(said, "it is user ") {
			t.Errorf("%q %v", said, err)
		}
	})
}

// BenchmarkReal reads a million rows of five columns in Arrow batches, beside the bare driver.
func BenchmarkReal(b *testing.B) {
	url := fakesnow(b)
	run(b, url, "create database if not exists shop", "create schema if not exists shop.public",
		"create table shop.public.wide as select seq4() as n, seq4() * 1.5::float as f, ('row ' || seq4()::varchar) as s, (seq4() % 1000)::number(12,2) as d, '2026-01-05'::date as day from table(generator(rowcount => 1000000))")
	const text = "select * from shop.public.wide"
	ours := func() int64 {
		rows := int64(0)
		_, batches, err := account(b, url).Read(b.Context(), flow.Query{Text: text})
		if err != nil {
			b.Fatal(err)
		}
		for batch, err := range batches {
			if err != nil {
				b.Fatal(err)
			}
			rows += batch.NumRows()
			batch.Release()
		}
		return rows
	}
	db := run(b, url)
	bare := func() int64 {
		rows := int64(0)
		conn, err := db.Conn(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // a benchmark
		err = conn.Raw(func(c any) error {
			r, err := c.(driver.QueryerContext).QueryContext(sf.WithHigherPrecision(sf.WithArrowBatches(sf.WithArrowBatchesTimestampOption(b.Context(), sf.UseMicrosecondTimestamp))), text, nil)
			if err != nil {
				return err
			}
			batches, err := r.(sf.SnowflakeRows).GetArrowBatches()
			if err != nil {
				return err
			}
			for _, batch := range batches {
				recs, err := batch.Fetch()
				if err != nil {
					return err
				}
				for _, rec := range *recs {
					rows += rec.NumRows()
					rec.Release()
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		return rows
	}
	ours() // the first is the server's warming up
	var mine, theirs []float64
	for b.Loop() {
		for _, x := range []struct {
			read func() int64
			to   *[]float64
		}{{bare, &theirs}, {ours, &mine}, {ours, &mine}, {bare, &theirs}} {
			began := time.Now()
			if n := x.read(); n != 1_000_000 {
				b.Fatalf("%d rows", n)
			}
			*x.to = append(*x.to, 1e6/time.Since(began).Seconds())
		}
	}
	slices.Sort(mine)
	slices.Sort(theirs)
	m, t := mine[len(mine)/2], theirs[len(theirs)/2]
	fmt.Printf("bench snowflake_batches %.4g rows/s rival=gosnowflake rival_value=%.4g ratio=%.3f\n", m, t, m/t)
}
