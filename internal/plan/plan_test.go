package plan_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden machines")

// shapes are graphs whose machines are kept in testdata.
var shapes = map[string]string{
	"one":           `{ a: { sql: select 1 as x } }`,
	"chain":         `{ a: { sql: select 1 as x }, b: { sql: select * from a }, c: { sql: select * from b } }`,
	"two_apart":     `{ a: { sql: select 1 as x }, b: { sql: select 2 as x } }`,
	"diamond":       `{ a: { sql: select 1 as x }, b: { sql: select * from a }, c: { sql: select * from a }, d: { sql: select * from b join c on b.x = c.x } }`,
	"fan_in":        `{ a: { sql: select 1 as x }, b: { sql: select 2 as x }, c: { sql: select 3 as x }, d: { sql: select * from a union all select * from b union all select * from c } }`,
	"fan_out":       `{ a: { sql: select 1 as x }, b: { sql: select * from a }, c: { sql: select * from a }, d: { sql: select * from a } }`,
	"n":             `{ a: { sql: select 1 as x }, b: { sql: select 2 as x }, c: { sql: select * from a }, d: { sql: select * from a join b on a.x = b.x } }`,
	"bipartite":     `{ a: { sql: select 1 as x }, b: { sql: select 2 as x }, c: { sql: select * from a join b on a.x = b.x }, d: { sql: select * from a join b on a.x = b.x } }`,
	"nested":        `{ a: { sql: select 1 as x }, b: { sql: select * from a }, c: { sql: select * from a }, d: { sql: select * from c }, e: { sql: select * from c }, f: { sql: select d.x from d join e on d.x = e.x }, g: { sql: select * from b join f on b.x = f.x } }`,
	"after":         `{ a: { run: { argv: [a] } }, b: { run: { argv: [b] }, after: a }, c: { exists: data/x, after: [a, b] } }`,
	"retry_timeout": `{ a: { run: { argv: [a] }, retry: { attempts: 5, delay: 2s, backoff: 3, max_delay: 1m, on: [States.ALL] }, timeout: 90s } }`,
	"wait":          `{ a: { copy: { from: "data/{{ ds_nodash }}.csv", to: out/x/ }, wait: { for: 2h, every: 5m }, retry: { attempts: 2 } } }`,
	"when":          `{ a: { sql: select 1 as x, when: params.n > 1 }, b: { sql: select * from a }, c: { run: { argv: [c] }, after: a } }`,
	"each_list":     `{ a: { sql: "select {{ row }} as x", each: [West, East] }, b: { sql: select * from a } }`,
	"each_param":    `{ a: { run: { argv: [do, "{{ row.name }}", "{{ ds }}"] }, each: "{{ params.list }}" } }`,
	"each_values":   `{ a: { sql: select 1 as region }, b: { sql: "select * from a where region = {{ row }}", each: a.region } }`,
	"run_if":        `{ a: { run: { argv: [a] } }, b: { run: { argv: [b] }, after: a }, c: { run: { argv: [c] }, after: b, run_if: failed }, d: { run: { argv: [d] }, after: [b, c], run_if: always } }`,
	"load":          `{ a: { sql: select 1 as x, load: { to: out/a, scope: all } }, b: { sql: select * from a }, c: { run: { argv: [c] }, after: a } }`,
	"steps_in_text": `{ a: { sql: select 1 as x }, b: { run: { argv: ["{{ steps.a.rows }} rows on {{ ds }} in {{ var.lake }}", "{{ params.n }}"] } } }`,
	"checks":        `{ a: { sql: select 1 as x, checks: [ { unique: x }, { rows: { min: 1, vs_previous: [0.5, 2] } }, { sql: "x > {{ params.n }}", severity: reject }, { relationship: { column: x, to: b.x } } ] }, b: { sql: select 1 as x } }`,
	"extract":       `{ a: { extract: { from: "data/{{ ds }}/*.csv", columns: { x: int }, dialect: { delimiter: ";" }, rejects: { max: 1% } }, sql: "select x, sum(y) as y from source where d = {{ ds }} group by x", keep: { mode: merge, key: x, order_by: y } } }`,
	"fetch":         `{ a: { extract: { from: db, query: "select x from t where d = {{ ds }} and s = '?'" } }, b: { extract: { from: db, query: select x from t, on_empty: skip, columns: { x: int } }, sql: select x + 1 as x from source, wait: { for: 1h }, retry: { attempts: 2 }, timeout: 1h }, c: { sql: select * from b } }`,
	"fetch_rest":    `{ a: { extract: { from: api, path: "/items/{{ ds }}", params: { since: "{{ data_interval_start }}", n: 3 }, records: "{{ response.items }}", paginate: { next_link: "{{ response.links.next }}" }, total: "{{ response.total }}" }, checks: [ { unique: id } ] }, b: { extract: { from: api, path: "/items/{{ row.id }}/{{ var.lake }}/{{ ds }}", for_each: a, on_404: skip, tolerate: { max: 1% }, paginate: { page: { param: p, start: 0, size: 50, size_param: n } } } } }`,
	"fetch_each":    `{ a: { each: [x, y], extract: { from: api, path: "/{{ row }}", on_empty: skip, paginate: { cursor: { param: after, value: "{{ response.next & row }}" } } }, sql: select * from source } }`,
	"cursor":        `{ a: { extract: { from: db, query: "select * from t where at > {{ cursors.a ? cursors.a : '2017-01-01' }}", cursor: at } }, b: { sql: select 1 as x } }`,
	"fetch_guarded": `{ a: { extract: { from: db, query: select 1 }, keep: { mode: append } }, b: { run: { argv: [b] }, after: a, run_if: failed } }`,
	"index":         `{ a: { sql: select 1 as x, load: { to: find, index: "a_{{ target }}", id: x, mode: upsert, version: x, delete_when: "x > {{ params.n }}", rejects: { max: 5 } } }, b: { load: { from: a, to: find, index: b, id: [x, y], mode: swap, scope: month, keep_old: 2, mapping: { x: keyword } } }, c: { load: { from: a, to: find, index: c, id: x, mode: mirror, max_delete: 5% } } }`,
	"raw_state":     `{ a: { state: { Type: Wait, Seconds: 5 } }, b: { state: { Type: Task, Resource: "arn:aws:states:::sns:publish", Arguments: { Message: "{{ ds }}" } }, after: a } }`,
}

var together = map[string]string{
	"together":         `{ a: { sql: select 1 as x }, b: { load: { from: a, to: "{{ var.lake }}/b", scope: all } }, c: { load: { from: a, to: "{{ var.lake }}/c", scope: all } } }`,
	"together_index":   `{ a: { sql: select 1 as x }, b: { load: { from: a, to: "{{ var.lake }}/b", scope: all } }, c: { load: { from: a, to: find, index: c, id: x, mode: swap, scope: day } } }`,
	"together_there":   `{ a: { extract: { from: db, query: select 1 as x, on: cluster } }, b: { load: { from: a, to: "s3://b/b", scope: all } }, c: { load: { from: a, to: far, index: c, id: x, mode: swap, scope: day, on: cluster } } }`,
	"together_skipped": `{ a: { sql: select 1 as x, when: params.n > 1, load: { to: out/a, scope: all } } }`,
}

// onSpark are machines of a target whose engine is Spark.
var onSpark = map[string]string{
	"spark_one":     `{ a: { extract: { from: "data/{{ ds }}/*.csv" }, sql: "select * from source where d = {{ ds }} limit {{ params.n }}", checks: [ { sql: "x > {{ params.n }}" } ], load: { to: out/a, scope: all } } }`,
	"spark_chain":   `{ a: { sql: select 1 as x }, b: { sql: select * from a }, c: { sql: select * from b, retry: {} }, d: { sql: select * from c }, e: { load: { from: d, to: out/e, scope: all } } }`,
	"spark_diamond": `{ a: { sql: select 1 as x }, b: { sql: select * from a }, c: { sql: select * from a, when: params.n > 1 }, d: { sql: select * from b join c on b.x = c.x } }`,
	"spark_each":    `{ a: { sql: select 1 as region }, b: { sql: "select * from a where region = {{ row }}", each: a.region }, c: { sql: select * from b } }`,
	"spark_own":     `{ a: { copy: { from: a.csv, to: b.csv } }, b: { extract: { from: b.csv }, after: a } }`,
}

// onEMR are machines of a target whose engine is EMR.
var onEMR = map[string]string{
	"emr_orders": `{ code: { copy: { from: jobs/x.py, to: "s3://b/code/x.py" } }, data: { copy: { from: "data/{{ ds_nodash }}.csv", to: "s3://b/raw/{{ ds_nodash }}.csv" } },
  check: { exists: "s3://b/code/x.py", after: code }, ready: { exists: "s3://b/raw/{{ ds }}.csv", after: code, wait: { for: 1h } },
  process: { after: [check, data, ready], spark: { script: "s3://b/code/x.py", args: ["--date", "{{ ds_nodash }}"], conf: { spark.executor.memory: "{{ params.n }}g" } }, retry: { attempts: 2, delay: 30s }, timeout: 2h } }`,
	"emr_sql":      `{ a: { extract: { from: "s3://b/in/{{ ds }}.csv" }, sql: select * from source }, b: { sql: select * from a, when: params.n > 1 }, c: { sql: select * from a, each: [p, q] }, d: { sql: select * from b join c on true, retry: {} }, e: { load: { from: d, to: "s3://b/out", scope: all } } }`,
	"emr_parallel": `{ a: { run: { argv: [a] } }, b: { run: { argv: [b, "{{ ds }}"], env: { X: y } } }, c: { after: [a, b], copy: { from: "s3://b/x", to: "s3://b/y" } }, d: { after: c, run: { argv: [d] } }, e: { after: d, exists: "s3://b/*" } }`,
	"emr_there": `{ a: { extract: { from: db, query: "select x from t where d = {{ ds }}", on: cluster }, timeout: 1h, retry: { attempts: 2 } }, b: { extract: { from: api, path: /x, on: cluster }, sql: select * from source, wait: { for: 1h, every: 5m } },
  c: { each: [p, q], extract: { from: api, path: "/{{ row }}", on: cluster } }, d: { load: { from: a, to: far, index: a, id: x, mode: upsert, on: cluster } }, e: { extract: { from: api, path: /y, on: here } } }`,
	"emr_secrets": `{ a: { spark: { script: jobs/x.py, secrets: { KEY: vault.key, DEEP: vault.auth.key } }, timeout: 1h } }`,
	"emr_run_if":  `{ a: { run: { argv: [a] } }, b: { after: a, run: { argv: [b] } }, c: { after: b, run_if: always, exists: "s3://b/c" } }`,
}

// scripts are machines with a script of the user, on both engines.
var scripts = map[string]string{
	"script":         `{ a: { spark: { script: "s3://{{ var.lake }}/x.py", args: ["--date", "{{ ds_nodash }}"], conf: { spark.executor.memory: 1g }, py_files: [lib.py], jars: [x.jar], packages: ["a:b:1"] }, timeout: 1h, retry: { attempts: 2 } } }`,
	"script_output":  `{ a: { spark: { script: x.py, output: rows, args: ["{{ output.rows }}", "{{ ds }}:{{ output.rows }}/x"] } }, b: { sql: select * from a } }`,
	"script_outputs": `{ a: { spark: { script: x.py, output: [p, q], args: ["{{ output.p }}", "{{ output.q }}"] } }, b: { sql: select * from a_p join a_q on true }, c: { load: { from: a_q, to: out/q, scope: all } } }`,
	"script_checks":  `{ a: { spark: { script: x.py, output: rows, args: ["{{ output.rows }}"] }, checks: [ { unique: x } ], keep: { mode: append } } }`,
}

func project(t testing.TB, head, steps string) (*pipeline.Project, *pipeline.Pipeline) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tidemill.yaml":    "project: p\nvars: { lake: out }\nconnections: { c: { type: later }, db: { type: postgres }, api: { type: rest }, find: { type: search }, far: { type: opensearch }, vault: { type: vault, key: \"${secretsmanager:etl/key}\", auth: { key: \"${ssm:/etl/deep}\" }, other: \"${env:OTHER}\" } }\ntargets: { far: { engine: spark, spark: { conf: { spark.sql.shuffle.partitions: \"4\" } } }, cloud: { engine: emr, store: \"s3://lake/tidemill\", cluster: { release: emr-7.13.0, primary: m5.xlarge, log_uri: \"s3://lake/logs\" } }, whole: { engine: emr, store: { url: \"s3://lake/tidemill\" }, cluster: " + wholeCluster + " }, bare: { engine: emr, store: \"s3://lake/tidemill\", cluster: { release: emr-7.13.0, primary: m5.xlarge, protected: true, idle_timeout: 5m } } }\n",
		"pipelines/p.yaml": "params: { n: 3, list: [ { name: a } ] }\n" + head + "steps: " + steps + "\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, faults := pipeline.Read(pipeline.Options{Dir: dir, Connectors: connectors()})
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}
	pl, _ := p.Pipeline("p")
	return p, pl
}

// wholeCluster is a cluster with every key.
const wholeCluster = `{ release: emr-7.13.0, primary: m6g.xlarge, core: { type: m6g.xlarge, count: 2, market: spot, fallback: on_demand }, task: { type: m6g.2xlarge, count: 3, market: spot },
  roles: { service: S, instance: I, step: R }, subnets: [subnet-1, subnet-2], security_configuration: sc, security_groups: { EmrManagedMasterSecurityGroup: sg-1 }, key: k,
  bootstrap: ["s3://b/x.sh", { path: boot.sh, args: [1, two], name: n }], applications: [Spark, Hive], configurations: [ { Classification: spark-defaults, Properties: { spark.x: "1" } } ],
  managed_scaling: { min: 1, max: 9 }, steps: { concurrency: 4 }, idle_timeout: 30m, log_uri: "s3://lake/logs", tags: { team: etl }, protected: true, scope: named, name: etl, max_age: 3h, retry: 0 }`

type vaultKeys struct {
	Key  flow.Secret `key:"key" doc:"A secret that a node can read."`
	Auth struct {
		Key flow.Secret `key:"key" doc:"One that lies deeper."`
	} `key:"auth" doc:"How requests are authenticated."`
	Other flow.Secret `key:"other" doc:"One that it cannot."`
}

func connectors() []flow.Connector {
	c := flow.Define[struct{}]("later", "Not yet.", flow.UseSource, flow.UseSink)
	c.Built = false
	return []flow.Connector{c, flow.Define[struct{}]("postgres", "A database.", flow.UseSource), flow.Define[struct{}]("rest", "A web API.", flow.UseSource), flow.Define[struct{}]("search", "An index.", flow.UseSink).OfThisMachine(), flow.Define[struct{}]("opensearch", "A cluster of indexes.", flow.UseSink), flow.Define[vaultKeys]("vault", "Secrets.", flow.UseSource)}
}

func compile(t testing.TB, head, steps, target string, only ...string) (*plan.Machine, pipeline.Faults) {
	t.Helper()
	p, pl := project(t, head, steps)
	return plan.Compile(p, pl, plan.Options{Target: target, Vars: map[string]any{"lake": "out"}, Connectors: connectors(), Only: only})
}

func TestGoldenMachines(t *testing.T) {
	t.Parallel()
	all := map[string][3]string{}
	for name, steps := range shapes {
		all[name] = [3]string{"", steps, "local"}
	}
	for name, steps := range together {
		all[name] = [3]string{"publish: together\n", steps, "local"}
		all["spark_"+name] = [3]string{"publish: together\n", steps, "far"}
	}
	for name, steps := range onSpark {
		all[name] = [3]string{"", steps, "far"}
	}
	all["emr_together_there"] = [3]string{"publish: together\n", together["together_there"], "cloud"}
	all["emr_whole"] = [3]string{"", onEMR["emr_orders"], "whole"}
	all["emr_protected"] = [3]string{"", onEMR["emr_parallel"], "bare"}
	for name, steps := range onEMR {
		all[name] = [3]string{"", steps, "cloud"}
	}
	for name, steps := range scripts {
		all["emr_"+name] = [3]string{"", strings.ReplaceAll(steps, "to: out/", "to: s3://b/"), "cloud"}
		all[name] = [3]string{"", steps, "local"}
		all["spark_"+name] = [3]string{"", steps, "far"}
	}
	if len(all) < 20 {
		t.Fatalf("%d shapes", len(all))
	}
	for name, x := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, faults := compile(t, x[0], x[1], x[2])
			if m == nil {
				t.Fatal(faults)
			}
			if _, err := asl.Parse(m.Text); err != nil {
				t.Errorf("the machine is no States Language: %v", err)
			}
			again, _ := compile(t, x[0], x[1], x[2])
			if again.Hash != m.Hash {
				t.Error("the same pipeline gives another text")
			}
			got := string(m.Text)
			for _, n := range m.Notes {
				got += "note: " + n + "\n"
			}
			file := filepath.Join("testdata", name+".asl.json")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the machine differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ steps, target, want string }{
		{`{ a: { spark: { script: x.py, secrets: { K: vault.other } } } }`, "cloud", "vault.other is not to be had on a cluster"},
		{`{ a: { spark: { script: x.py, conf: { spark.submit.deployMode: cluster } } } }`, "cloud", "deploy mode cluster is refused"},
		{`{ a: { spark: { script: "{{ params.n }}/x.py" } } }`, "cloud", "it has to be known where"},
		{`{ a: { extract: { from: data/x.csv } } }`, "cloud", "reads data/x.csv, which a cluster does not reach"},
		{`{ a: { sql: select 1 as x, load: { to: out/x, scope: all } } }`, "cloud", "writes out/x, which a cluster does not reach"},
		{`{ a: { extract: { from: vault, query: select 1 as x, on: cluster } } }`, "cloud", `step "a": vault.other is not to be had on a cluster`},
		{`{ a: { extract: { from: db, query: select 1 as x }, load: { to: find, index: a, id: x, mode: upsert, on: cluster } } }`, "cloud", "connection find is a file of this machine, which a cluster does not reach"},
		{`{ a: { state: { Type: Task, Resource: "arn:aws:states:::elasticmapreduce:createCluster.sync", Arguments: { Name: x } } } }`, "cloud", "does not end by itself"},
		{`{ a: { spark: { script: x.py, output: rows }, checks: [ { not_null: x } ], each: [p, q] } }`, "far", "do not go together with each"},
		{`{ a: { extract: { from: c, query: select 1 } } }`, "local", "connections of type later are not built yet"},
		{`{ a: { extract: { dataset: nope.q } } }`, "local", "unknown pipeline \"nope\""},
		{`{ a: { extract: { dataset: p.a } } }`, "local", "a dataset of its own pipeline"},
		{`{ a: { sql: select 1 as x }, b: { state: { Type: Choice } } }`, "local", `type "Choice" cannot stand in a graph`},
		{`{ a: { sql: select 1 as x, each: [b] }, b: { extract: { from: api, for_each: a } } }`, "local", "step \"b\" asks for each row of a step that runs over each item"},
		{`{ a: { sql: select 1 as x }, b: { each: [b], extract: { from: api, for_each: a } } }`, "local", "step \"b\" has each and for_each"},
		{`{ a: { sql: select 1 as x } }`, "nowhere", `unknown target "nowhere"`},
	} {
		m, faults := compile(t, "", c.steps, c.target)
		if m != nil || !strings.Contains(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.steps, faults, c.want)
		}
	}
}

// A script that is not there is told of where the pipeline names it.
func TestMissingScript(t *testing.T) {
	t.Parallel()
	p, pl := project(t, "", `{ a: { spark: { script: jobs/nope.py } } }`)
	_, faults := plan.Compile(p, pl, plan.Options{Target: "cloud", Connectors: connectors(), File: func(string) (string, error) { return "", errors.New("no such file or directory") }})
	if len(faults) != 1 || faults[0].Pos.String() != "pipelines/p.yaml:2:32" || !strings.Contains(faults[0].Message, "jobs/nope.py: no such file") {
		t.Errorf("%v", faults)
	}
}

// What is doubtful about a cluster is a warning.
func TestClusterLints(t *testing.T) {
	t.Parallel()
	m, faults := compile(t, "", `{ a: { run: { argv: [a] } }, b: { after: a, exists: "s3://b/x", wait: { for: 20m } }, c: { after: b, run: { argv: [c] } } }`, "bare")
	if m == nil {
		t.Fatal(faults)
	}
	var all []string
	for _, f := range faults {
		if !f.Warning {
			t.Error(f)
		}
		all = append(all, f.Message)
	}
	for _, want := range []string{"does not end when it is idle", "nothing tells why a step failed", "20m0s of p may pass between two of its steps"} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("no warning says %q: %q", want, all)
		}
	}
	if _, faults := compile(t, "", onEMR["emr_orders"], "cloud"); len(faults) > 0 {
		t.Errorf("a cluster without faults: %v", faults)
	}
}

func TestOnly(t *testing.T) {
	t.Parallel()
	m, faults := compile(t, "", shapes["diamond"], "local", "d", "c")
	if m == nil {
		t.Fatal(faults)
	}
	if strings.Join(m.Steps, " ") != "c d" || strings.Join(m.Needs, " ") != "a b" {
		t.Errorf("steps %v, needs %v", m.Steps, m.Needs)
	}
}

func TestTextsTravelByHash(t *testing.T) {
	t.Parallel()
	m, faults := compile(t, "", `{ a: { sql: "select {{ ds }} as d" } }`, "local")
	if m == nil {
		t.Fatal(faults)
	}
	if len(m.Texts) != 1 || strings.Contains(string(m.Text), "select") {
		t.Errorf("texts %v in\n%s", m.Texts, m.Text)
	}
	other, _ := compile(t, "", `{ a: { sql: "select {{ ds }} as e" } }`, "local")
	if other.Hash == m.Hash {
		t.Error("another query gives the same hash")
	}
}

// What DuckDB cannot be given is a fault before anything runs, with its place in the text.
func TestChecksSQL(t *testing.T) {
	t.Parallel()
	_, faults := compile(t, "", `{ a: { sql: "select foo(1) as x, 2 as y" }, b: { sql: "select upper(x, y), z from c" }, c: { sql: "select x, 1 as y, {{ params.n }} + 1 as n from d" }, d: { sql: "select 'a' as x" }, e: { sql: "select nosuch(n) from c" }, f: { sql: { spark: "select foo(1)", duckdb: "select 1" } } }`, "local")
	var got []string
	for _, f := range faults {
		got = append(got, f.Pos.String()+": "+f.Message)
	}
	want := []string{
		"pipelines/p.yaml:2:28: function foo is not translated for DuckDB",
		"pipelines/p.yaml:2:70: upper takes (string), found 2 arguments",
		"pipelines/p.yaml:2:83: there is no column z",
		"pipelines/p.yaml:2:209: function nosuch is not translated for DuckDB",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
