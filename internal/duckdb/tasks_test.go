package duckdb

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/flow"
)

const sales = "region,amount,day,zip\nnorth,10,2017-11-06,01234\nsouth,5,2017-11-06,99999\nnorth,2.5,2017-11-07,00001\n"

func TestExtractAndSQL(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("data/sales.csv", sales)
	out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "data/sales.csv"}, SQL: p.sql("select region, sum(amount) as amount from source where region <> {{ skip }} group by region", "south")})
	rows, d := p.rows(out.Manifest)
	if diff := cmp.Diff([]string{`{"region":"north","amount":12.5}`}, rows); diff != "" {
		t.Error(diff)
	}
	if out.Read != 3 || out.Rows != 1 || out.Rejected != 0 || show(d.Schema) != "region string|amount double" {
		t.Errorf("output %+v, schema %s", out, show(d.Schema))
	}
	if len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0], "schemas/shop/orders.yaml: look at it and commit it") {
		t.Errorf("warnings %q", out.Warnings)
	}
	again := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "data/sales.csv"}})
	if len(again.Warnings) != 0 || again.Rows != 3 {
		t.Errorf("second run: %+v", again)
	}
	_, d = p.rows(again.Manifest)
	if got := show(d.Schema); got != "region string|amount double|day date|zip string" {
		t.Errorf("schema %s", got)
	}
	// A step that reads a step.
	next := p.must(flow.DatasetJob{Slot: slotAt("top", "20171106"), Inputs: map[string]string{"orders": again.Manifest}, SQL: p.sql("select region, zip from orders where day = {{ ds }}", "2017-11-07")})
	rows, d = p.rows(next.Manifest)
	if len(rows) != 1 || rows[0] != `{"region":"north","zip":"00001"}` || len(d.Inputs) != 1 || d.Inputs[0].Manifest != again.Manifest {
		t.Errorf("rows %v, inputs %+v", rows, d.Inputs)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("data/a.csv", "id,amount\n1,2.5\n")
	p.must(flow.DatasetJob{Extract: &flow.Extract{From: "data/a.csv"}})
	p.put("data/b.csv", "id,amont,extra\n1,2.5,7\n")
	_, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "data/b.csv"}})
	if flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "data/b.csv:1: column amount is missing (is it amont?)") || !strings.Contains(flow.HintOf(err), "tidemill schema accept shop orders") {
		t.Errorf("freeze: %v (%s)", err, flow.HintOf(err))
	}
	p.put("data/c.csv", "extra,id,amount\n7,1,2.5\n")
	out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "data/c.csv", Drift: "add"}})
	if rows, d := p.rows(out.Manifest); show(d.Schema) != "id bigint|amount double|extra bigint" || rows[0] != `{"id":1,"amount":2.5,"extra":7}` {
		t.Errorf("add: %s %v", show(d.Schema), rows)
	}
	out = p.must(flow.DatasetJob{Extract: &flow.Extract{From: "data/c.csv", Drift: "discard"}})
	if _, d := p.rows(out.Manifest); show(d.Schema) != "id bigint|amount double" || len(out.Warnings) != 1 {
		t.Errorf("discard: %s %v", show(d.Schema), out.Warnings)
	}
	p.put("data/d.csv", "1,2.5\n2,3.5\n")
	if _, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "data/d.csv"}}); flow.KindOf(err) != flow.Invalid {
		t.Errorf("a file whose header is gone: %v", err)
	}
}

func TestRejects(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	var b strings.Builder
	b.WriteString("id,amount,note\n")
	for i := range 6000 {
		if i == 4709 {
			b.WriteString("x,zz,bad\n")
			continue
		}
		b.WriteString("1,2.50,ok\n")
	}
	p.put("data/o.csv", b.String())
	e := flow.Extract{From: "data/o.csv", Columns: cols("id bigint", "amount decimal(12,2)", "note string")}
	q := p.sql("select sum(amount) as amount from source")
	_, err := p.run(flow.DatasetJob{Extract: &e, SQL: q})
	if flow.KindOf(err) != flow.Rejected || !strings.Contains(err.Error(), `1 of 6000 records do not fit`) || !strings.Contains(err.Error(), `data/o.csv:4711, column amount: "zz" is no decimal(12,2)`) && !strings.Contains(err.Error(), `data/o.csv:4711, column amount: "zz" is no DECIMAL(12,2)`) {
		t.Errorf("fail: %v", err)
	}
	e.Rejects = flow.Limit{Mode: "keep"}
	out := p.must(flow.DatasetJob{Extract: &e, SQL: q})
	_, d := p.rows(out.Manifest)
	if out.Read != 6000 || out.Rejected != 1 || len(d.Rejects) != 1 || d.Rejects[0].Rows != 1 {
		t.Errorf("keep: %+v %+v", out, d.Rejects)
	}
	if got := p.parquet(d, d.Rejects); len(got) != 1 || !strings.Contains(got[0], `"line":4711,"column":"amount","text":"x,zz,bad"`) {
		t.Errorf("kept: %s", got)
	}
	e.Rejects = flow.Limit{Mode: "max", Percent: 0.01}
	if _, err := p.run(flow.DatasetJob{Extract: &e, SQL: q}); flow.KindOf(err) != flow.Rejected {
		t.Errorf("1 of 6000 is over 0.01 %%: %v", err)
	}
	e.Rejects = flow.Limit{Mode: "max", Max: 1}
	p.must(flow.DatasetJob{Extract: &e, SQL: q})
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("data/none.csv", "")
	p.put("data/head.csv", "id,a\n")
	c := cols("id bigint", "a string")
	for _, f := range []string{"data/none.csv", "data/head.csv"} {
		if _, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: f, Columns: c}}); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "it has no records") {
			t.Errorf("%s: %v", f, err)
		}
		out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: f, Columns: c, OnEmpty: "ok"}})
		if rows, d := p.rows(out.Manifest); len(rows) != 0 || show(d.Schema) != "id bigint|a string" {
			t.Errorf("%s: %v %s", f, rows, show(d.Schema))
		}
		next := p.must(flow.DatasetJob{Inputs: map[string]string{"x": out.Manifest}, SQL: p.sql("select count(*) as n from x")})
		if rows, _ := p.rows(next.Manifest); !slices.Equal(rows, []string{`{"n":0}`}) {
			t.Errorf("%s: reading it: %v", f, rows)
		}
		if out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: f, Columns: c, OnEmpty: "skip"}}); !out.Skipped || out.Manifest != "" {
			t.Errorf("%s: skip: %+v", f, out)
		}
	}
	if _, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "data/missing.csv"}}); flow.KindOf(err) != flow.NotFound {
		t.Errorf("missing: %v", err)
	}
}

func TestFilesTogether(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("s3/in/a.csv", "id,n\n1,x\n")
	p.put("s3/in/b.csv", "n,id\ny,2\n")
	p.put("s3/in/_hidden.csv", "zzz\n1\n")
	p.put("s3/in/sub/c.csv", "id,n\n3,z\n")
	for from, want := range map[string]int64{"s3://b/in/*.csv": 2, "s3://b/in/**/*.csv": 3, "s3://b/in": 3} {
		out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: from, Format: "csv"}})
		if out.Rows != want {
			t.Errorf("%s: %d rows, want %d", from, out.Rows, want)
		}
	}
	p.put("s3/in/d.csv", "id,n\n1,x\n")
	_, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "s3://b/in/*.csv"}})
	if flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "s3://b/in/d.csv: it has the same content as s3://b/in/a.csv") {
		t.Errorf("twice the same: %v", err)
	}
}

func TestSealed(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("data/sales.csv", sales)
	p.put("secret.csv", "a\n1\n")
	for _, text := range []string{"select * from read_text('/etc/passwd')", "select * from read_csv('" + p.root + "/secret.csv')", "select 1; drop table x", "copy (select 1) to '/tmp/x'", "attach 'x.db'",
		"select * from glob('/etc/*')"} {
		q := p.sql(text)
		q.Dialect = "duckdb"
		_, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "data/sales.csv"}, SQL: q})
		if flow.KindOf(err) != flow.Invalid {
			t.Errorf("%s: %v", text, err)
		}
	}
	q := p.sql("select region from source where amount > $1", 4)
	q.Dialect = "duckdb"
	if out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "data/sales.csv"}, SQL: q}); out.Rows != 2 {
		t.Errorf("DuckDB's own text: %+v", out)
	}
	if _, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "data/sales.csv"}, SQL: p.sql("select\n  nosuch(region) as x from source")}); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "line 2, column 3") {
		t.Errorf("a refusal names its place: %v", err)
	}
	if _, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "data/sales.csv"}, SQL: p.sql("select region, amount as Region from source")}); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "two columns are named") {
		t.Errorf("double name: %v", err)
	}
}

// A decimal in a template stands for itself, in every way that a query is run.
func TestDecimalValue(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("f.csv", "a\n0.25\n0.5\n0.75\n")
	job := flow.DatasetJob{Slot: slotAt("orders", "20171106"), Extract: &flow.Extract{From: "f.csv", Columns: cols("a decimal(4,2)")}, SQL: p.sql("select a, {{ x }} as x from source where a >= {{ x }}", json.Number("0.50"), json.Number("0.50"))}
	for _, checks := range [][]flow.Check{nil, {{Kind: "not_null", Columns: []string{"a"}, Severity: "reject"}, {Kind: "sql", SQL: p.sql("a >= {{ x }}", json.Number("0.5"))}}} {
		job.Checks = checks
		rows, d := p.rows(p.must(job).Manifest)
		if strings.Join(rows, " ") != `{"a":0.50,"x":0.50} {"a":0.75,"x":0.50}` || d.Schema[1].Type != "decimal(2,2)" {
			t.Errorf("%v %v", rows, d.Schema)
		}
	}
}
