package duckdb

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/conform/broken"
	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// made makes a dataset from DuckDB's text.
func (p *project) made(step, day, text string) flow.Output {
	p.t.Helper()
	q := p.sql(text)
	q.Dialect = "duckdb"
	return p.must(flow.DatasetJob{Slot: slotAt(step, day), SQL: q})
}

func (p *project) loadJob(out flow.Output, day string) flow.LoadJob {
	return flow.LoadJob{Engine: "duckdb", Load: flow.Load{Pipeline: "shop", Step: "lake", Time: day + "T000000Z"}, From: out.Manifest, To: "out/lake", Mode: "replace", Scope: "run", Format: "ndjson"}
}

func (p *project) load(verb string, r flow.Request) (flow.LoadOutput, error) {
	text, err := Tasks(p.config())[verb](p.t.Context(), r)
	var out flow.LoadOutput
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	return out, err
}

func (p *project) mustLoad(j flow.LoadJob) flow.LoadOutput {
	p.t.Helper()
	out, err := p.load("load", p.request(j))
	if err != nil {
		p.t.Fatalf("%v\nhint: %s", err, flow.HintOf(err))
	}
	return out
}

// target is what a reader of the folder sees: lines with their partition's folder, sorted.
func (p *project) target(dir string) []string {
	p.t.Helper()
	out := []string{}
	var only []string
	if text, err := os.ReadFile(filepath.Join(p.root, dir, "_current.json")); err == nil {
		var c current
		if err := json.Unmarshal(text, &c); err != nil {
			p.t.Fatal(err)
		}
		only = append([]string{"-"}, c.Files...)
	}
	for _, n := range names2(p.t, p, dir) {
		rel := strings.TrimPrefix(n, dir+"/")
		if extract.Hidden(rel) || only != nil && !slices.Contains(only, rel) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(p.root, n))
		if err != nil {
			p.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			part := filepath.Dir(rel)
			if strings.HasPrefix(part, "run=") {
				_, part, _ = strings.Cut(part+"/.", "/")
				part = strings.TrimSuffix(part, "/.")
			}
			out = append(out, strings.TrimPrefix(part+" ", ". ")+strings.TrimSpace(line))
		}
	}
	slices.Sort(out)
	return out
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestLoadScopes(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	one := p.made("s", "20171105", "select 1 as a, 'x' as d union all select 2, 'y'")
	two := p.made("s", "20171106", "select 3 as a, 'y' as d")
	p.mustLoad(p.loadJob(one, "20171105"))
	p.mustLoad(p.loadJob(two, "20171106"))
	same(t, "two days", []string{`{"a":1,"d":"x"}`, `{"a":2,"d":"y"}`, `{"a":3,"d":"y"}`}, p.target("out/lake"))
	p.mustLoad(p.loadJob(two, "20171105"))
	same(t, "a day replaced", []string{`{"a":3,"d":"y"}`, `{"a":3,"d":"y"}`}, p.target("out/lake"))
	all := p.loadJob(one, "20171107")
	all.Scope = "all"
	p.mustLoad(all)
	same(t, "all replaced", []string{`{"a":1,"d":"x"}`, `{"a":2,"d":"y"}`}, p.target("out/lake"))
	p.put("out/lake/foreign.txt", "mine\n")
	if _, err := p.load("load", p.request(all)); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "foreign.txt was not written by a load") {
		t.Errorf("a foreign file: %v", err)
	}
	p.mustLoad(p.loadJob(two, "20171105")) // scope run lets it be

	part := func(out flow.Output, day string) flow.LoadJob {
		j := p.loadJob(out, day)
		j.To, j.PartitionBy, j.Scope = "out/parts", []string{"d"}, "partitions"
		return j
	}
	p.mustLoad(part(one, "20171105"))
	p.mustLoad(part(two, "20171106"))
	same(t, "a partition replaced", []string{`d=x {"a":1}`, `d=y {"a":3}`}, p.target("out/parts"))
	p.mustLoad(part(two, "20171105"))
	same(t, "and what the time wrote before", []string{`d=y {"a":3}`}, p.target("out/parts"))
}

func TestLoadEscapesPartitions(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	out := p.made("s", "20171106", "select 1 as a, 'x/y=z %' as d, date '2017-11-06' as t union all select 2, null, null union all select 3, '', date '2017-11-06'")
	j := p.loadJob(out, "20171106")
	j.PartitionBy = []string{"d", "t"}
	p.mustLoad(j)
	same(t, "partitions", []string{`d=__HIVE_DEFAULT_PARTITION__/t=2017-11-06 {"a":3}`, `d=__HIVE_DEFAULT_PARTITION__/t=__HIVE_DEFAULT_PARTITION__ {"a":2}`, `d=x%2Fy%3Dz %25/t=2017-11-06 {"a":1}`}, p.target("out/lake"))
}

func TestLoadFormats(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	out := p.made("s", "20171106", "select 1 as a, 'x,\"y' as s, timestamptz '2017-11-06 10:00:00+02' as t, [1,2] as l, 1.50::decimal(5,2) as m union all select null, null, null, null, null")
	j := p.loadJob(out, "20171106")
	j.Format, j.To = "csv", "out/csv"
	p.mustLoad(j)
	if got := p.target("out/csv"); !slices.Contains(got, `1,"x,""y",2017-11-06T08:00:00Z,"[1,2]",1.50`) {
		t.Errorf("csv: %q", got)
	}
	j.Format, j.To = "", "s3://b/pq"
	if out := p.mustLoad(j); out.Rows != 2 || out.Files != 1 {
		t.Errorf("parquet: %+v", out)
	}
	for _, n := range names2(t, p, "s3/pq") {
		if strings.HasSuffix(n, ".parquet") {
			if _, _, err := format.ReadParquet(t.Context(), p.bucket, n); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAppendOnce(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	out := p.made("s", "20171106", "select 1 as a")
	for _, day := range []string{"20171105", "20171106", "20171106"} {
		j := p.loadJob(out, day)
		j.Mode, j.Scope = "append", ""
		if got := p.mustLoad(j); got.Rows != 1 || got.Files != 1 {
			t.Errorf("receipt %+v", got)
		}
	}
	same(t, "two times", []string{`{"a":1}`, `{"a":1}`}, p.target("out/lake"))
}

func TestStageAndFlip(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	first := p.loadJob(p.made("s", "20171106", "select 1 as a"), "20171106")
	p.mustLoad(first)
	j := p.loadJob(p.made("s", "20171106", "select 2 as a"), "20171106")
	j.Phase = "stage"
	r := p.request(j)
	st, err := p.load("load", r)
	if err != nil || st.Staged == "" {
		t.Fatalf("stage: %+v %v", st, err)
	}
	same(t, "staged only", []string{`{"a":1}`}, p.target("out/lake"))
	j.Phase = "flip"
	j.Staged, err = json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice: the second finds it done
		r.Arguments, err = json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := p.load("load", r); err != nil || out.Rows != 1 {
			t.Fatalf("flip: %+v %v", out, err)
		}
	}
	same(t, "flipped", []string{`{"a":2}`}, p.target("out/lake"))
	if left := names2(t, p, "out/lake/_tidemill/staging"); len(left) != 0 {
		t.Errorf("staging is left: %v", left)
	}
	j = p.loadJob(p.made("s", "20171106", "select 3 as a"), "20171106")
	j.Phase = "stage"
	r = p.request(j)
	if _, err := p.load("load", r); err != nil {
		t.Fatal(err)
	}
	if left := names2(t, p, "out/lake/_tidemill/staging"); len(left) == 0 {
		t.Fatal("nothing is staged")
	}
	// That run is given up; the next one's flip takes away what it staged.
	r = p.request(j)
	if st, err = p.load("load", r); err != nil {
		t.Fatal(err)
	}
	j.Phase = "flip"
	if j.Staged, err = json.Marshal(st); err != nil {
		t.Fatal(err)
	}
	if r.Arguments, err = json.Marshal(j); err != nil {
		t.Fatal(err)
	}
	if _, err := p.load("load", r); err != nil {
		t.Fatal(err)
	}
	if left := names2(t, p, "out/lake/_tidemill/staging"); len(left) != 0 {
		t.Errorf("staging is left: %v", left)
	}
	same(t, "after the second", []string{`{"a":3}`}, p.target("out/lake"))
}

// Every call to the bucket fails once, before and after it took effect, in every mode and
// scope; the next attempt leaves exactly the rows of one load, and other days' untouched (P2).
func TestLoadAfterAnyCrash(t *testing.T) {
	t.Parallel()
	for _, mode := range []flow.LoadJob{
		{Mode: "replace", Scope: "run"}, {Mode: "replace", Scope: "partitions", PartitionBy: []string{"d"}}, {Mode: "replace", Scope: "all"}, {Mode: "append"},
		{Mode: "replace", Scope: "run", Layout: "run"}, {Mode: "replace", Scope: "all", Layout: "run"}, {Mode: "append", Layout: "run"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", mode.Mode, mode.Scope, mode.Layout), func(t *testing.T) {
			t.Parallel()
			base := newProject(t)
			day1, old, fresh := base.made("s", "20171105", "select 0 as a, 'w' as d"), base.made("s", "20171106", "select 1 as a, 'x' as d union all select 2, 'y'"), base.made("s", "20171106", "select 3 as a, 'y' as d")
			job := func(out flow.Output, day string) flow.LoadJob {
				j := base.loadJob(out, day)
				j.Mode, j.Scope, j.Layout, j.PartitionBy = mode.Mode, mode.Scope, mode.Layout, mode.PartitionBy
				return j
			}
			want := []string{`{"a":0,"d":"w"}`, `{"a":3,"d":"y"}`}
			switch {
			case mode.Scope == "all":
				want = want[1:]
			case mode.Scope == "partitions":
				want = []string{`d=w {"a":0}`, `d=y {"a":3}`}
			}
			step := 1
			if testing.Short() {
				step = 5
			}
			for _, after := range []bool{false, true} {
				for at := 1; at < 200; at += step {
					p := &project{t: t, root: base.root, bucket: base.bucket, texts: base.texts, memory: "500MB", runs: base.runs + at*10}
					to := fmt.Sprintf("out/%d-%t", at, after)
					run := func(j flow.LoadJob) error {
						j.To = to
						_, err := p.load("load", p.request(j))
						return err
					}
					if err := run(job(day1, "20171105")); err != nil {
						t.Fatal(err)
					}
					if mode.Mode != "append" {
						if err := run(job(old, "20171106")); err != nil {
							t.Fatal(err)
						}
					}
					p.break_ = &broken.Bucket{At: at, After: after}
					err := run(job(fresh, "20171106"))
					calls := p.break_.Calls()
					p.break_ = nil
					p.later = time.Hour // the lease of the one that died has ended
					if err != nil {
						if err := run(job(fresh, "20171106")); err != nil {
							t.Fatalf("call %d, after %t: %v", at, after, err)
						}
					}
					if d := cmp.Diff(want, p.target(to)); d != "" {
						t.Fatalf("call %d, after %t (-want +got):\n%s", at, after, d)
					}
					if mode.Layout == "" {
						if got := len(names2(t, p, to)); got > len(want)+5 { // data, _SUCCESS, two or three records, the lease
							t.Errorf("call %d, after %t: %d files are left: %v", at, after, got, names2(t, p, to))
						}
					}
					if calls < at {
						break
					}
				}
			}
		})
	}
}

func TestLoadRefusesZombies(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	out := p.made("s", "20171106", "select 1 as a")
	j := p.loadJob(out, "20171106")
	r := p.request(j)
	r.Attempt = 2
	if _, err := p.load("load", r); err != nil {
		t.Fatal(err)
	}
	r.Attempt = 1
	if _, err := p.load("load", r); flow.KindOf(err) != flow.Conflict {
		t.Errorf("an older attempt loaded: %v", err)
	}
}
