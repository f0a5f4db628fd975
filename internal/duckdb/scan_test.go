package duckdb

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// However a query reads its source, the files are read as often, and counted once.
func TestSourceInQueries(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("a,b,c\n")
	for i := range 200_000 {
		fmt.Fprintf(&text, "%d,x%d,%d.5\n", i, i%7, i)
	}
	for _, c := range []struct {
		name, sql, dialect, want string
	}{
		{"once", "select count(*) as n, sum(a) as a from source where b <> 'x1'", "", `{"n":171428,"a":17142714286}`},
		{"all columns", "select count(*) as n from (select * from source order by c) t", "", `{"n":200000}`},
		{"limit", "select count(*) as n from (select a from source limit 1) t", "", `{"n":1}`},
		{"named CTE", "with s as (select a from source) select count(*) as n from s", "", `{"n":200000}`},
		{"join with itself", "select count(*) as n from source x join source y on x.a = y.a", "", `{"n":200000}`},
		{"CTE twice", "with s as (select a from source) select count(*) as n from s x join s y on x.a = y.a + 1", "", `{"n":199999}`},
		{"union with itself", "select count(*) as n from (select a from source union all select a from source) t", "", `{"n":400000}`},
		{"in a subquery", "select count(*) as n from source where a = (select max(a) from source)", "", `{"n":1}`},
		{"recursion", "with recursive r as (select 1::bigint as a union all select r.a + 1 from r join source s on s.a = r.a where r.a < 5) select count(*) as n from r", "duckdb", `{"n":5}`},
		{"counted", "select count(*) as n from source", "", `{"n":200000}`},
		{"nothing wanted", "select 1 as n from source where false", "", ""},
		{"last column", "select sum(c) as n from source where b = 'x3' and a < 10", "", `{"n":3.5}`},
		{"DuckDB's words", "select count(*) as n from source where a % 2 = 0", "duckdb", `{"n":100000}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t)
			p.put("f.csv", text.String())
			sql := p.sql(c.sql)
			sql.Dialect = c.dialect
			r := p.request(flow.DatasetJob{Engine: "duckdb", Slot: slotAt("orders", "20171106"), Extract: &flow.Extract{From: "f.csv", Columns: cols("a bigint", "b string", "c double")}, SQL: sql})
			text, err := Tasks(p.config())["extract"](t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			var out flow.Output
			if err := json.Unmarshal(text, &out); err != nil {
				t.Fatal(err)
			}
			if rows, _ := p.rows(out.Manifest); strings.Join(rows, "") != c.want || out.Read != 200_000 {
				t.Errorf("%v, read %d, want %s", rows, out.Read, c.want)
			}
		})
	}
}

func TestFusedTellsProgress(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	var b strings.Builder
	b.WriteString("a,b\n")
	for i := range 1_500_000 {
		fmt.Fprintf(&b, "%d,x%d\n", i, i*7919)
	}
	p.put("f.csv", b.String())
	var mu sync.Mutex
	var told []flow.Progress
	r := p.request(flow.DatasetJob{Engine: "duckdb", Slot: slotAt("orders", "20171106"), Extract: &flow.Extract{From: "f.csv", Columns: cols("a bigint", "b string")},
		SQL: p.sql("select b, max(a) as a from source group by b order by b")})
	r.Progress = func(x flow.Progress) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, x)
	}
	if _, err := Tasks(p.config())["extract"](t.Context(), r); err != nil {
		t.Fatal(err)
	}
	size, last, between := int64(b.Len()), flow.Progress{}, 0
	for _, x := range told {
		if x.Doing != "read f.csv" || x.Total != size || x.Bytes < last.Bytes || x.Bytes > size || x.Rows > 1_500_000 {
			t.Errorf("after %+v: %+v", last, x)
		}
		if last = x; x.Rows > 0 && x.Bytes < size {
			between++
		}
	}
	if last.Rows != 1_500_000 || last.Bytes != size || last.Fraction != 1 {
		t.Errorf("at the end: %+v", last)
	}
	if between == 0 {
		t.Errorf("nothing between the beginning and the end: %+v", told)
	}
}
