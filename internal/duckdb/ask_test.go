package duckdb

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

func TestAsk(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("data/sales.csv", sales)
	out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "data/sales.csv"}})
	ask := func(sql, dialect string) (string, error) {
		a, err := p.config().Ask(t.Context(), Question{SQL: sql, Dialect: dialect, Tables: map[string]string{"orders": out.Manifest}})
		if err != nil {
			return "", err
		}
		var b strings.Builder
		b.WriteString(show(a.Columns) + "\n")
		for batch, err := range a.Rows {
			if err != nil {
				return "", err
			}
			if err := format.WriteNDJSON(&b, batch); err != nil {
				t.Fatal(err)
			}
			batch.Release()
		}
		return b.String(), a.Close()
	}
	got, err := ask("select region, sum(amount) as amount from orders group by region order by region", "")
	if want := "region string|amount double\n{\"region\":\"north\",\"amount\":12.5}\n{\"region\":\"south\",\"amount\":5.0}\n"; err != nil || got != want {
		t.Errorf("got %q %v", got, err)
	}
	if got, err := ask("select count(*) as n from orders", "duckdb"); err != nil || got != "n bigint\n{\"n\":3}\n" {
		t.Errorf("DuckDB's words: %q %v", got, err)
	}
	if _, err := ask("select nosuch(region) as x from orders", ""); flow.KindOf(err) != flow.Invalid || !strings.Contains(flow.HintOf(err), "--dialect duckdb") {
		t.Errorf("refused: %v (%s)", err, flow.HintOf(err))
	}
	if _, err := ask("select * from read_text('/etc/passwd')", "duckdb"); flow.KindOf(err) != flow.Invalid {
		t.Errorf("a foreign file: %v", err)
	}
	p.put("data/bad.csv", "a,b\n1,x\nq,y\n")
	out = p.must(flow.DatasetJob{Slot: slotAt("bad", "20171106"), Extract: &flow.Extract{From: "data/bad.csv", Columns: flow.Schema{{Name: "a", Type: "int"}}, Rejects: flow.Limit{Mode: "keep"}}})
	if len(out.Warnings) == 0 || !strings.Contains(out.Warnings[len(out.Warnings)-1], "1 rejected and kept with their reasons in table bad_rejects\n  data/bad.csv:3, column a: ") {
		t.Errorf("warnings: %q", out.Warnings)
	}
	got, err = ask("select line, text from orders_rejects", "")
	if want := "line bigint|text string\n{\"line\":3,\"text\":\"q,y\"}\n"; err != nil || got != want {
		t.Errorf("rejects: got %q %v", got, err)
	}
	if left := names2(t, p, "tmp"); len(left) > 0 {
		t.Errorf("left in the scratch folder: %v", left)
	}
}
