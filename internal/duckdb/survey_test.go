package duckdb

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// What both readers understand alike is read once, by DuckDB, rejects and all; what they do
// not is read again.
func TestFusedStaysFused(t *testing.T) {
	t.Parallel()
	again := map[string]bool{"plain": false, "few rejects": false, "quoted values": false, "BOM": false, "embedded newlines": false, "days at the edge": false, "underscores": true, "a day that is not": true}
	for _, c := range hostile {
		want, ok := again[c.name]
		if !ok {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t)
			p.put("f.csv", c.text)
			schema := c.schema
			if schema == nil {
				schema = cols("a bigint", "b string", "c double")
			}
			var log strings.Builder
			r := p.request(flow.DatasetJob{Engine: "duckdb", Slot: slotAt("orders", "20171106"), Extract: &flow.Extract{From: "f.csv", Columns: schema, Rejects: flow.Limit{Mode: "keep"}}})
			r.Log = &log
			if _, err := Tasks(p.config())["extract"](t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(log.String(), "read in Go"); got != want {
				t.Errorf("read again: %t, want %t: %s", got, want, log.String())
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
