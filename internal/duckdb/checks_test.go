package duckdb

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/flow"
)

const checked = "id,k,amount,day\n1,a,10,2017-11-05\n2,b,-5,2017-11-06\n2,c,7,2017-11-04\n4,,99,2017-11-01\n"

func TestChecks(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("d.csv", checked)
	dim := p.must(flow.DatasetJob{Slot: slotAt("dim", "20171106"), SQL: p.sql("select 'a' as k union all select 'b'")})
	run := func(c ...flow.Check) (flow.Output, error) {
		return p.run(flow.DatasetJob{Extract: &flow.Extract{From: "d.csv"}, SQL: p.sql("select * from source"), Inputs: map[string]string{"dim": dim.Manifest}, Checks: c})
	}
	for _, c := range []struct {
		check flow.Check
		want  string // in the error; empty: passes
	}{
		{flow.Check{Kind: "unique", Columns: []string{"id"}}, "1 row does not meet it"},
		{flow.Check{Kind: "unique", Columns: []string{"id", "k"}}, ""},
		{flow.Check{Kind: "not_null", Columns: []string{"k"}}, "1 row does not meet it"},
		{flow.Check{Kind: "not_null", Columns: []string{"id", "amount"}}, ""},
		{flow.Check{Kind: "accepted_values", Columns: []string{"k"}, Values: []any{"a", "b", "c"}}, ""},
		{flow.Check{Kind: "accepted_values", Columns: []string{"k"}, Values: []any{"a"}}, "2 rows do not meet it"},
		{flow.Check{Kind: "accepted_values", Columns: []string{"id"}, Values: []any{1, 2, 4}}, ""},
		{flow.Check{Kind: "range", Columns: []string{"amount"}, Min: 0}, "1 row does not meet it"},
		{flow.Check{Kind: "range", Columns: []string{"amount"}, Min: -5, Max: 99}, ""},
		{flow.Check{Kind: "range", Columns: []string{"day"}, Min: "2017-11-02"}, "2017-11-01"},
		{flow.Check{Kind: "matches", Columns: []string{"k"}, Regex: "^[ab]$"}, "1 row does not meet it"},
		{flow.Check{Kind: "relationship", Columns: []string{"k"}, To: "dim.k"}, "1 row does not meet it"},
		{flow.Check{Kind: "freshness", Columns: []string{"day"}, Within: "1d", At: "2017-11-07T00:00:00Z"}, ""},
		{flow.Check{Kind: "freshness", Columns: []string{"day"}, Within: "12h", At: "2017-11-07T00:00:00Z"}, "the newest is of 2017-11-06"},
		{flow.Check{Kind: "rows", Min: 4, Max: 4}, ""},
		{flow.Check{Kind: "rows", Min: 5}, "the table has 4 rows, at least 5 are wanted"},
		{flow.Check{Kind: "sql", SQL: p.sql("amount > {{ least }}", -5)}, "1 row does not meet it"},
		{flow.Check{Kind: "sql", SQL: p.sql("k <> 'zzz'")}, ""},
		{flow.Check{Kind: "range", Columns: []string{"nosuch"}, Min: 1}, "no column nosuch"},
	} {
		out, err := run(c.check)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c.check, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%+v: got %v (%+v), want %q", c.check, err, out, c.want)
		}
	}
	_, err := run(flow.Check{Kind: "unique", Columns: []string{"id"}, Text: "unique: id"}, flow.Check{Kind: "range", Columns: []string{"amount"}, Min: 0, Text: "range: amount"})
	if flow.Name(err) != flow.NameCheckFailed || !strings.Contains(err.Error(), "check unique: id: 1 row") || !strings.Contains(err.Error(), "check range: amount: 1 row does not meet it\n  amount  id") {
		t.Errorf("both are told, with rows: %v", err)
	}
	out, err := run(flow.Check{Kind: "range", Columns: []string{"amount"}, Min: 0, Severity: "warn", Text: "range"})
	if err != nil || len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0], "check range: 1 row") {
		t.Errorf("warn: %+v %v", out, err)
	}
	out, err = run(flow.Check{Kind: "range", Columns: []string{"amount"}, Min: 0, Severity: "reject", Text: "range: amount"}, flow.Check{Kind: "sql", SQL: p.sql("k = 'a' or k = 'b'"), Severity: "reject", Text: "sql"},
		flow.Check{Kind: "rows", Min: 2, Max: 2})
	if err != nil {
		t.Fatal(err)
	}
	rows, d := p.rows(out.Manifest)
	if len(rows) != 2 || out.Rejected != 2 {
		t.Errorf("reject: %v %+v", rows, out)
	}
	if got := strings.Join(p.parquet(d, d.Rejects), "\n"); !strings.Contains(got, `"reason":"check range: amount"`) || !strings.Contains(got, `\"id\":2`) {
		t.Errorf("rejects: %s", got)
	}
}

func TestRowsVsPrevious(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	make := func(day string, rows int) (flow.Output, error) {
		q := p.sql("select range as a from range($1)", rows)
		q.Dialect = "duckdb"
		return p.run(flow.DatasetJob{Slot: slotAt("v", day), SQL: q, Checks: []flow.Check{{Kind: "rows", VsPrevious: []float64{0.5, 2}}}})
	}
	first, err := make("20171105", 100)
	if err != nil {
		t.Fatal(err)
	}
	p.publish(slotAt("v", "20171105"), first)
	if _, err := make("20171106", 50); err != nil {
		t.Error(err)
	}
	for _, n := range []int{49, 201} {
		if _, err := make("20171106", n); flow.Name(err) != flow.NameCheckFailed || !strings.Contains(err.Error(), "the previous one") {
			t.Errorf("%d rows: %v", n, err)
		}
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	keep := &flow.Keep{Mode: "merge", Key: []string{"sku"}, OrderBy: "at"}
	day := func(step, day, text string, k *flow.Keep, e *flow.Extract) (flow.Output, error) {
		p.put(day+".csv", "sku,price,at\n"+text)
		if e == nil {
			e = &flow.Extract{}
		}
		e.From, e.Columns = day+".csv", cols("sku string", "price bigint", "at date")
		out, err := p.run(flow.DatasetJob{Slot: slotAt(step, day), Extract: e, SQL: p.sql("select * from source"), Keep: k})
		if err == nil {
			p.publish(slotAt(step, day), out)
		}
		return out, err
	}
	must := func(out flow.Output, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		rows, _ := p.rows(out.Manifest)
		return rows
	}
	must(day("m", "20171105", "a,1,2017-11-05\nb,2,2017-11-05\n", keep, nil))
	want := []string{`{"sku":"a","price":1,"at":"2017-11-05"}`, `{"sku":"b","price":3,"at":"2017-11-06"}`, `{"sku":"c","price":4,"at":"2017-11-06"}`}
	for range 2 { // the same time again gives the same
		same(t, "merged; an older row does not win", want, must(day("m", "20171106", "b,3,2017-11-06\na,9,2017-11-04\nc,4,2017-11-06\n", keep, nil)))
	}
	gone := *keep
	gone.DeleteWhen = p.sql("price < {{ none }}", 0)
	same(t, "deleted", want[:2], must(day("m", "20171107", "c,-1,2017-11-07\n", &gone, nil)))

	two := "x,1,2017-11-05\nx,2,2017-11-06\n,3,2017-11-06\n"
	if _, err := day("d", "20171105", two, keep, nil); flow.KindOf(err) != flow.Rejected || !strings.Contains(err.Error(), "a second row of the key (sku)") || !strings.Contains(err.Error(), "the key (sku) is NULL") {
		t.Errorf("a second row of the same key: %v", err)
	}
	out, err := day("d", "20171105", two, keep, &flow.Extract{Rejects: flow.Limit{Mode: "keep"}})
	if got := must(out, err); out.Rejected != 2 || len(got) != 1 || got[0] != `{"sku":"x","price":2,"at":"2017-11-06"}` {
		t.Errorf("kept aside: %+v %v", out, got)
	}
	out, err = day("d", "20171105", two, &flow.Keep{Mode: "merge", Key: []string{"sku"}}, &flow.Extract{Rejects: flow.Limit{Mode: "keep"}, OnDuplicate: "last"})
	if got := must(out, err); out.Rejected != 1 || got[0] != `{"sku":"x","price":2,"at":"2017-11-06"}` {
		t.Errorf("on_duplicate last: %+v %v", out, got)
	}

	app := &flow.Keep{Mode: "append"}
	must(day("a", "20171105", "a,1,2017-11-05\n", app, nil))
	for range 2 {
		if d := cmp.Diff([]string{`{"sku":"a","price":1,"at":"2017-11-05"}`, `{"sku":"a","price":2,"at":"2017-11-06"}`}, must(day("a", "20171106", "a,2,2017-11-06\n", app, nil))); d != "" {
			t.Error(d)
		}
	}
}

// counting counts how many tasks ask for a predicate's text at once: they do when they compute.
type counting struct {
	flow.Lookup
	hash      string
	now, most atomic.Int32
}

func (c *counting) Text(ctx context.Context, hash string) (string, error) {
	if hash == c.hash {
		if n := c.now.Add(1); n > c.most.Load() {
			c.most.Store(n)
		}
		<-time.After(50 * time.Millisecond)
		c.now.Add(-1)
	}
	return c.Lookup.Text(ctx, hash)
}

// Each task has the whole memory limit, so only one of a process computes at a time.
func TestOneComputesAtATime(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	check := p.sql("a > 0")
	look := &counting{Lookup: p, hash: check.Hash}
	c := p.config()
	c.Lookup = look
	tasks := Tasks(c)
	var g errgroup.Group
	for i := range 4 {
		r := p.request(flow.DatasetJob{Engine: "duckdb", Slot: slotAt(fmt.Sprint("s", i), "20171106"), SQL: p.sql("select 1 as a"), Checks: []flow.Check{{Kind: "sql", SQL: check}}})
		g.Go(func() error {
			_, err := tasks["sql"](t.Context(), r)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := look.most.Load(); n != 1 {
		t.Errorf("%d computed at once", n)
	}
}
