package duckdb

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/flow"
)

// hostile are files that readers disagree about. What each gives stands in testdata/hostile,
// where every line was once read by DuckDB's own reader too, and read alike where that reads
// at all.
var hostile = []struct {
	name, text string
	schema     flow.Schema
	dialect    *flow.Dialect
}{
	{name: "plain", text: "a,b,c\n1,x,1.5\n2,y,2\n"},
	{name: "header only", text: "a,b,c\n"},
	{name: "bad number", text: "a,b,c\n1,x,1.5\nz,y,2\n3,q,zz\n4,k,4\n"},
	{name: "bad double", text: "a,b,c\n1,x,1.5\n3,q,zz\n4,k,4\n"},
	{name: "two faults in a row", text: "a,b,c\n1,x,1.5\n3,q\xff,zz\n4,k,4\n"},
	{name: "CRLF", text: "a,b,c\r\n1,x,1.5\r\n2,y,zz\r\n3,\"q\r\nr\",3\r\n4,w,yy\r\n"},
	{name: "mixed line ends", text: "a,b,c\n1,x,1.5\r\n2,y,2\n3,q,3\r\n"},
	{name: "bare CR", text: "a,b,c\r1,x,1.5\r2,y,2\r3,q,3\r"},
	{name: "BOM", text: "\xef\xbb\xbfa,b,c\n1,x,1.5\n2,y,zz\n"},
	{name: "Latin-1 undeclared", text: "a,b,c\n1,caf\xe9,1.5\n2,y,2\n"},
	{name: "unclosed quote", text: "a,b,c\n1,x,1.5\n2,\"y,2\n3,q,3\n4,k,4\n"},
	{name: "quote closed late", text: "a,b,c\n1,x,1.5\n2,\"y,2\n3,q,3\n4,\"k\",4\n5,k,4\n"},
	{name: "embedded newlines", text: "a,b,c\n1,\"x\ny\",1.5\n2,\"k\n\nl\",zz\n3,q,yy\n"},
	{name: "ragged", text: "a,b,c\n1,x\n2,y,2,9\n3,q,3\n\n4,k,4\n"},
	{name: "stray quotes", text: "a,b,c\n1,x\"y,1.5\n2,y\"\",2\n3,q,3\n"},
	{name: "text after a quote", text: "a,b,c\n1,\"x\"y,1.5\n2,y,2\n3,q,3\n"},
	{name: "spaces round quotes", text: "a,b,c\n1, \"x,y\" ,1.5\n2,\"y\" ,2\n3,q,3\n"},
	{name: "doubled and empty quotes", text: "a,b,c\n1,\"x\"\"y\",1.5\n2,\"\",2\n3,,3\n4,\"a\nb\",\n"},
	{name: "no last newline", text: "a,b,c\n1,x,1.5\n2,y,2"},
	{name: "blank lines at the end", text: "a,b,c\n1,x,1.5\n\n\n"},
	{name: "NUL", text: "a,b,c\n1,x\x00y,1.5\n2,y,2\n"},
	{name: "one column", text: "a\n1\n\n3\n", schema: cols("a bigint")},
	{name: "one text column", text: "a\nx\n\ny\n", schema: cols("a string")},
	{name: "numbers", text: "a,b,c\n 1 ,x, 1.5 \n+2,y,1e3\n3.0,q,.5\n1_000,q,NaN\n0x10,q,inf\n007,q,-0\n1e2,z,1_0\n-5,z,\n9223372036854775808,z,1\n", schema: cols("a bigint", "b string", "c double")},
	{name: "small integers", text: "a,b\n127,32767\n128,1\n1,40000\n", schema: cols("a tinyint", "b smallint")},
	{name: "booleans", text: "a\ntrue\nFALSE\nT\nyes\n1\n", schema: cols("a boolean")},
	{name: "decimals", text: "a,b\n1.555,1\n1e2,1\n99999999999,1\n-1.555,1\n1.5 ,1\n.5,2\n1.,2\nx,2\n", schema: cols("a decimal(12,2)", "b decimal(38,0)")},
	{name: "dates", text: "a\n2017-1-5\n2017-11-06\n2017-11-06 00:00:00\n20171106\n2017-02-29\n2017-11-06x\n06.11.2017\n2017-13-01\n", schema: cols("a date")},
	{name: "timestamps", text: "a,b\n2017-11-06 10:00:00,2017-11-06 10:00:00\n2017-11-06T10:00:00Z,2017-11-06\n2017-11-06T10:00:00.123456+02:00,2017-11-06 10:00:00.5\n2017-11-06,x\nx,2017-11-06\n2017-11-06 24:00:01,2017-11-06 10:61:00\n",
		schema: cols("a timestamp", "b timestamp_ntz")},
	{name: "quoted values", text: "a,b,c\n\"1\",\"2017-11-06\",\"1.50\"\n\"2\",2017-11-07,\"\"\n", schema: cols("a bigint", "b date", "c decimal(12,2)")},
	{name: "fractions and zones", text: "a,b\n2017-11-06 10:00:00.123456789,2017-11-06 10:00:00.1234567\n2017-11-06T10:00:00Z,2017-11-06T10:00:00Z\n2017-11-06 23:59:59+05:30,2017-11-06 10:00:00.999999999\n", schema: cols("a timestamp", "b timestamp_ntz")},
	{name: "a day that is not", text: "a,b\n2017-02-28 10:00:00,1\n2017-02-30 10:00:00,2\n2017-13-01 10:00:00,3\n", schema: cols("a timestamp", "b bigint")},
	{name: "days at the edge", text: "a\n0001-01-01\n9999-12-31\n2016-02-29\n2017-02-29\n0000-01-01\n 2017-11-06\n2017-11-06 \n", schema: cols("a date")},
	{name: "underscores", text: "a,b,c\n1_0,1,1\n1,1_0,1\n1,1,1_0\n2,2,2\n", schema: cols("a int", "b decimal(12,2)", "c double")},
	{name: "not numbers", text: "a,b\nNaN,1\ninf,2\n-inf,3\n1e400,4\n1e-400,5\n", schema: cols("a double", "b float")},
	{name: "many digits", text: "a,b\n0.123456789012345678901234567890,0.30000001192092896\n123456789012345678,16777217\n", schema: cols("a decimal(38,20)", "b float")},
	{name: "few rejects", text: "a,b,c\n" + strings.Repeat("1,2017-11-06,1.5\n", 5000) + "x,2017-11-06,1\n2,2017-02-30,y\n" + strings.Repeat("1,2017-11-06,1.5\n", 5000), schema: cols("a bigint", "b date", "c double")},
	{name: "patterns", text: "a,b\n06/11/2017,06.11.2017 10:00\n2017-11-06,06.11.2017 10:00\n31/02/2017,x\n", schema: cols("a date", "b timestamp_ntz"), dialect: &flow.Dialect{Date: "dd/MM/yyyy", Timestamp: "dd.MM.yyyy HH:mm"}},
	{name: "nulls", text: "a,b,c\nNA,x,NULL\n,,\n\"NA\",\"NULL\",1\n", dialect: &flow.Dialect{Nulls: []string{"NA", "NULL"}}},
	{name: "semicolon, backslash", text: "a;b;c\n1;\"x\\\"y\";1,5\n2;\"k;\";2\n", dialect: &flow.Dialect{Delimiter: ";", Escape: "\\"}},
	{name: "skip", text: "junk\nmore \"junk\na,b,c\n1,x,1\n2,y,zz\n", dialect: &flow.Dialect{Skip: 2}},
	{name: "comment", text: "#c\na,b,c\n#x\n1,x,1\n1,#x,1\n2,y,2\n", dialect: &flow.Dialect{Comment: "#"}},
	{name: "long record", text: "a,b,c\n1," + strings.Repeat("x", 3_000_000) + ",1\n2,y,2\n"},
	{name: "too long a record", text: "a,b,c\n1," + strings.Repeat("x", 17<<20) + ",1\n2,y,2\n"},
}

func TestHostileFiles(t *testing.T) {
	t.Parallel()
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			schema := c.schema
			if schema == nil {
				schema = cols("a bigint", "b string", "c double")
			}
			p := newProject(t)
			p.put("f.csv", c.text)
			out, err := p.run(flow.DatasetJob{Engine: "duckdb", Slot: slotAt("orders", "20171106"), Extract: &flow.Extract{From: "f.csv", Columns: schema, Dialect: c.dialect, Rejects: flow.Limit{Mode: "keep"}, OnEmpty: "ok"}})
			var got strings.Builder
			if err != nil {
				fmt.Fprintf(&got, "%v\n", err)
			} else {
				rows, d := p.rows(out.Manifest)
				fmt.Fprintf(&got, "read %d, rejected %d\n%s\n%s\n", out.Read, out.Rejected, strings.Join(rows, "\n"), strings.Join(p.parquet(d, d.Rejects), "\n"))
				if out.Read != out.Rows+out.Rejected {
					t.Errorf("read %d, wrote %d, rejected %d", out.Read, out.Rows, out.Rejected)
				}
			}
			golden(t, filepath.Join("testdata", "hostile", strings.ReplaceAll(c.name, " ", "-")+".txt"), shortened(got.String()))
		})
	}
}

var update = flag.Bool("update", false, "write anew what is wanted: of the hostile files, the list of known refusals")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-), this (+):\n%.4000s", file, d)
	}
}

// shortened makes a long run of one letter, or of one line, short.
func shortened(s string) string {
	var b strings.Builder
	last, n := "", 0
	flush := func() {
		if n > 1 {
			fmt.Fprintf(&b, "(%d times) ", n)
		}
		if n > 0 {
			b.WriteString(last + "\n")
		}
	}
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.Index(line, "xxxxxxxxxx"); i >= 0 {
			k := i
			for k < len(line) && line[k] == 'x' {
				k++
			}
			line = fmt.Sprintf("%sx*%d%s", line[:i], k-i, line[k:])
		}
		if line == last && n > 0 {
			n++
			continue
		}
		flush()
		last, n = line, 1
	}
	flush()
	return b.String()
}

// A quote that swallows what follows must not pass even where the SQL reads none of the columns.
func TestFusedReadsFewColumns(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("f.csv", "a,b,c\n1,x,1\n2,y,bad\n3,z,3\n")
	schema := cols("a bigint", "b string", "c double")
	job := flow.DatasetJob{Extract: &flow.Extract{From: "f.csv", Columns: schema}, SQL: p.sql("select count(*) as n, max(b) as b from source")}
	out := p.must(job)
	if rows, _ := p.rows(out.Manifest); rows[0] != `{"n":3,"b":"z"}` || out.Read != 3 {
		t.Errorf("a misfit in a column that is not read: %v %+v", rows, out)
	}
	job.SQL = p.sql("select a from source order by a limit 1")
	if out := p.must(job); out.Read != 3 || out.Rows != 1 {
		t.Errorf("limit: %+v", out)
	}
	job.SQL = p.sql("select x.a from source x join source y on x.a = y.a")
	if out := p.must(job); out.Rows != 3 || out.Read != 3 {
		t.Errorf("twice: %+v", out)
	}
	p.put("f.csv", "a,b,c\n1,x,1\n2,\"y,2\n3,z,3\n")
	if _, err := p.run(job); err == nil || !strings.Contains(err.Error(), "line 3: a quote is opened and not closed") {
		t.Errorf("unclosed: %v", err)
	}
}

func TestPackedAndEncoded(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("l.csv", "a,b\n1,caf\xe9\n")
	out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "l.csv", Dialect: &flow.Dialect{Encoding: "latin-1"}}})
	if rows, _ := p.rows(out.Manifest); rows[0] != `{"a":1,"b":"café"}` {
		t.Errorf("latin-1: %v", rows)
	}
	p.put("u.csv", "\xff\xfea\x00,\x00b\x00\n\x001\x00,\x00\xe9\x00\n\x00")
	out = p.must(flow.DatasetJob{Slot: slotAt("u", "20171106"), Extract: &flow.Extract{From: "u.csv"}})
	if rows, _ := p.rows(out.Manifest); rows[0] != `{"a":1,"b":"é"}` {
		t.Errorf("utf-16: %v", rows)
	}
	for name, text := range map[string]string{"g.csv.gz": gzipped("a,b\n1,x\n"), "z.csv.zst": zstdOf("a,b\n1,x\n"), "n.ndjson.gz": gzipped(`{"a":1,"b":"x"}`)} {
		p.put(name, text)
		out := p.must(flow.DatasetJob{Slot: slotAt("packed", "20171106"), Extract: &flow.Extract{From: name}})
		if rows, _ := p.rows(out.Manifest); rows[0] != `{"a":1,"b":"x"}` {
			t.Errorf("%s: %v", name, rows)
		}
	}
	p.put("cut.csv.gz", gzipped(strings.Repeat("1,x\n", 10000))[:60])
	if _, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "cut.csv.gz"}}); flow.KindOf(err) != flow.Invalid {
		t.Errorf("cut short: %v", err)
	}
}

func TestJSONAndParquet(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.put("p.json", `[{"id":1,"variants":[{"sku":"a","price":1.5},{"sku":"b","price":2}]},{"id":2,"variants":[]}]`)
	out := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "p.json"}, SQL: p.sql("select p.id, v.sku, v.price from source p lateral view explode(p.variants) t as v")})
	if rows, _ := p.rows(out.Manifest); strings.Join(rows, "") != `{"id":1,"sku":"a","price":1.5}{"id":1,"sku":"b","price":2.0}` || out.Read != 2 {
		t.Errorf("exploded: %v %+v", rows, out)
	}
	p.put("q.json", `[{"id":1,"variants":[],"new":1}]`)
	if _, err := p.run(flow.DatasetJob{Extract: &flow.Extract{From: "q.json"}}); flow.KindOf(err) != flow.Invalid || !strings.Contains(flow.HintOf(err), "schema accept shop orders") {
		t.Errorf("new field: %v (%s)", err, flow.HintOf(err))
	}
	whole := p.must(flow.DatasetJob{Extract: &flow.Extract{From: "p.json"}})
	_, d := p.rows(whole.Manifest)
	file := ".tidemill/" + strings.TrimPrefix(filepath.Dir(whole.Manifest), ".tidemill/") + "/" + d.Files[0].Path
	again := p.must(flow.DatasetJob{Slot: slotAt("pq", "20171106"), Extract: &flow.Extract{From: file}})
	rows, e := p.rows(again.Manifest)
	first, _ := p.rows(whole.Manifest)
	if d := cmp.Diff(first, rows); d != "" || show(e.Schema) != "id bigint|variants array<struct<sku:string,price:double>>" || again.Read != 2 {
		t.Errorf("through Parquet: %s %s", d, show(e.Schema))
	}
	p.put("r.ndjson", "{\"id\":1}\nbroken\n{\"id\":\"x\"}\n")
	out = p.must(flow.DatasetJob{Slot: slotAt("nd", "20171106"), Extract: &flow.Extract{From: "r.ndjson", Columns: cols("id bigint"), Rejects: flow.Limit{Mode: "keep"}}})
	if out.Read != 3 || out.Rejected != 2 || out.Rows != 1 {
		t.Errorf("ndjson: %+v", out)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	out := p.must(flow.DatasetJob{Inputs: map[string]string{}, SQL: func() *flow.SQLText {
		s := p.sql("select range as a from range(100000)")
		s.Dialect = "duckdb"
		return s
	}()})
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(300*time.Millisecond, cancel)
	defer timer.Stop()
	start := time.Now()
	q := p.sql("select count(*) as n from x a cross join x b cross join x c where a.a + b.a + c.a = 7")
	_, err := Tasks(p.config())["sql"](ctx, p.request(flow.DatasetJob{Engine: "duckdb", Slot: slotAt("c", "20171106"), Inputs: map[string]string{"x": out.Manifest}, SQL: q}))
	if flow.KindOf(err) != flow.Canceled || time.Since(start) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	if left := names2(t, p, "tmp"); len(left) > 0 {
		t.Errorf("left in the scratch folder: %v", left)
	}
}

func names2(t *testing.T, p *project, prefix string) []string {
	t.Helper()
	var out []string
	for o, err := range p.bucket.List(t.Context(), prefix+"/") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o.Name)
	}
	return out
}

func TestPrevious(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	first := slotAt("tot", "20171105")
	q := p.sql("select coalesce(max(n), 0) + 1 as n from previous")
	if _, err := p.run(flow.DatasetJob{Slot: first, SQL: q, Previous: true}); flow.KindOf(err) != flow.Invalid || !strings.Contains(flow.HintOf(err), "schemas/shop/tot.yaml") {
		t.Fatalf("nothing known: %v (%s)", err, flow.HintOf(err))
	}
	p.put("schemas/shop/tot.yaml", "columns: { n: int }\n")
	for i, day := range []string{"20171105", "20171106", "20171107"} {
		slot := slotAt("tot", day)
		for range 2 { // a time that is run again starts from the earlier one
			out := p.must(flow.DatasetJob{Slot: slot, SQL: q, Previous: true})
			p.publish(slot, out)
			if rows, _ := p.rows(out.Manifest); rows[0] != fmt.Sprintf(`{"n":%d}`, i+1) {
				t.Errorf("%s: %v", day, rows)
			}
		}
	}
}
