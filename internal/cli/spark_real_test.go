//go:build real

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/duckdb"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/runner"
)

// The tests here start a real Spark, which wants the machine for itself: none is parallel.

// sparkPipeline has what steps may have: text files that are odd, every check, values, keep,
// previous, nested values, and loads in three formats.
const sparkPipeline = `schedule: { cron: "0 6 * * *", start: 2026-01-01, day: start }
params: { least: 0.5, most: 900 }
steps:
  people: { extract: { from: data/people.ndjson } }
  lines:
    extract: { from: "data/lines_{{ ds_nodash }}.csv", columns: { id: bigint, customer: string, amount: "decimal(12,2)", at: timestamp, note: string }, rejects: keep }
    sql: |
      select id, customer, amount, at, note, cast(amount as double) / 3 as third, {{ ds }} as day, {{ params.least }} as least,
             case when amount > 5 then 'big' else '' end as size
      from source where amount > {{ params.least }}
    checks:
      - { unique: id, severity: reject }
      - { not_null: [customer, note], severity: warn }
      - { accepted_values: { column: customer, values: [ann, bob] }, severity: warn }
      - { range: { column: amount, min: 1, max: 100 }, severity: warn }
      - { matches: { column: customer, regex: "^[a-c]" }, severity: warn }
      - { relationship: { column: customer, to: people.name }, severity: warn }
      - { freshness: { column: at, within: 1h }, severity: warn }
      - { rows: { min: 9, vs_previous: [2, 3] }, severity: warn }
      - { sql: "amount < {{ params.most }} and day = {{ ds }}", severity: warn }
  tags:  { sql: "select name, tags, address, tag from people lateral view explode(tags) as tag" }
  kept:
    extract: { from: "data/kept_{{ ds_nodash }}.csv", columns: { k: int, v: string, n: int, gone: boolean }, rejects: keep }
    keep: { mode: merge, key: k, order_by: n, delete_when: gone }
  more:
    sql: "select k, v, {{ ds }} as day from kept"
    keep: { mode: append }
  since: { sql: "select (select count(*) from kept) as now, count(*) as before from kept" }
  empty: { sql: "select id, note from lines where id < 0" }
  as_parquet: { load: { from: lines, to: "out/{{ target }}/parquet", partition_by: [size, day], scope: run } }
  as_csv:     { load: { from: lines, to: "out/{{ target }}/csv", format: csv, partition_by: day, scope: run } }
  as_ndjson:  { load: { from: tags, to: "out/{{ target }}/ndjson", format: ndjson, scope: all } }
`

func sparkProject(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"tidemill.yaml":    "project: p\ntargets: { far: { engine: spark, store: far, spark: { version: 3.5.6 } } }\n",
		"pipelines/p.yaml": sparkPipeline,
		// Known columns: the query below is checked before anything runs.
		"schemas/p/people.yaml": "columns:\n  name: string\n  tags: array<string>\n  address: \"struct<city:string,zip:bigint>\"\n",
		"data/people.ndjson":    `{"name":"ann","tags":["x","y"],"address":{"city":"Köln","zip":50667}}` + "\n" + `{"name":"bob","tags":[],"address":null}` + "\n" + `{"name":"eve","tags":["z \"q\""],"address":{"city":null,"zip":1}}` + "\n",
		"data/lines_20260105.csv": "id,customer,amount,at,note\n1,ann,1.50,2026-01-06 05:30:00,\"two\nlines, and \"\"quotes\"\"\"\n2,bob,0.25,2026-01-05T10:00:00+02:00,\n3,zoe,7,2026-01-05 23:59:59.123456,x\n" +
			"3,ann,8,2026-01-05,again\nbad,ann,1,2026-01-05,y\n4,bob,950.129,2026-01-05 10:00:00,é\n5,ann\n6,,2,,\" x\"\n",
		"data/lines_20260106.csv": "id,customer,amount,at,note\n7,ann,3,2026-01-06 10:00:00,a\n",
		"data/kept_20260105.csv":  "k,v,n,gone\n1,a,1,false\n2,b,1,false\n2,c,3,false\n3,d,1,true\n,e,1,false\n",
		"data/kept_20260106.csv":  "k,v,n,gone\n1,z,0,false\n2,y,9,false\n4,x,1,false\n",
	})
	return dir
}

// TestRealSparkAgrees runs the same pipeline on both engines for two days: the datasets, the
// rejects, what the checks say and the loaded files are the same.
func TestRealSparkAgrees(t *testing.T) {
	dir := sparkProject(t)
	for _, day := range []string{"2026-01-05", "2026-01-06"} {
		for _, target := range []string{"local", "far"} {
			mustRun(t, dir, "run", "p", "--date", day, "--target", target)
		}
		a := &app{dir: dir, open: openSQLite, stdout: &strings.Builder{}, stderr: &strings.Builder{}, now: time.Now}
		compareTargets(t, a, day)
		a.close()
	}
	for _, format := range []string{"csv", "ndjson"} {
		if d := cmp.Diff(folderText(t, filepath.Join(dir, "out/local", format)), folderText(t, filepath.Join(dir, "out/far", format))); d != "" {
			t.Errorf("loaded as %s (-DuckDB +Spark):\n%s", format, d)
		}
	}
	rows := func(target string) [][]string {
		return readFiles(t, filepath.Join(dir, "out", target, "parquet"), `select id, coalesce(customer, ''), amount, coalesce(cast("at" as varchar), ''), coalesce(note, ''), coalesce(size, ''), day from lake order by 1, 2`)
	}
	if d := cmp.Diff(rows("local"), rows("far")); d != "" {
		t.Errorf("loaded as parquet (-DuckDB +Spark):\n%s", d)
	}
}

func compareTargets(t *testing.T, a *app, day string) {
	t.Helper()
	tables := map[string]map[string]string{}
	said := map[string]map[string][]string{}
	var tasks duckdb.TaskConfig
	var l *lookup
	for _, target := range []string{"local", "far"} {
		j, run, tt, err := a.chosenRun(t.Context(), "p", runFlags{date: day, target: target})
		if err != nil {
			t.Fatal(err)
		}
		if tables[target], err = a.tablesOf(t.Context(), j, run); err != nil {
			t.Fatal(err)
		}
		said[target] = warningsOf(t, j, run)
		l = a.lookup(tt, j)
		store, err := l.store(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tasks = duckdb.TaskConfig{Lookup: l, Store: store, Temp: t.TempDir()}
	}
	if len(tables["far"]) != 7 {
		t.Errorf("tables of Spark: %v", tables["far"])
	}
	for _, table := range slices.Sorted(maps.Keys(tables["local"])) {
		got, err := a.compare(t.Context(), tasks, l, tables["local"][table], tables["far"][table])
		if err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		if len(got.faults) > 0 {
			t.Errorf("%s, %s: %s", day, table, strings.Join(got.faults, "\n"))
		}
		if d := cmp.Diff(rejectsOf(t, tasks, l, tables["local"][table]), rejectsOf(t, tasks, l, tables["far"][table])); d != "" {
			t.Errorf("%s, rejects of %s (-DuckDB +Spark):\n%s", day, table, d)
		}
	}
	if d := cmp.Diff(said["local"], said["far"]); d != "" {
		t.Errorf("%s, warnings (-DuckDB +Spark):\n%s", day, d)
	}
}

// warningsOf are what a run's steps warn of, by step.
func warningsOf(t *testing.T, j journal, run runner.Run) map[string][]string {
	t.Helper()
	events, _, err := j.Events(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	state := map[string]string{}
	for _, e := range events {
		switch e.Type {
		case "TaskStateEntered":
			state[e.Frame] = e.Details.Name
		case "TaskSucceeded":
			works := map[string]json.RawMessage{}
			if err := json.Unmarshal([]byte(e.Details.Output), &works); err != nil {
				continue
			}
			works[state[e.Frame]] = json.RawMessage(e.Details.Output)
			for name, text := range works {
				var o flow.Output
				if json.Unmarshal(text, &o) == nil && len(o.Warnings) > 0 {
					for _, w := range o.Warnings {
						if strings.Contains(w, "the schema of") {
							continue // the first run says it
						}
						if strings.Contains(w, " rejected and kept ") { // in no order
							lines := strings.Split(w, "\n")
							slices.Sort(lines[1:])
							w = strings.Join(lines, "\n")
						}
						out[name] = append(out[name], w)
					}
				}
			}
		}
	}
	return out
}

func rejectsOf(t *testing.T, tasks duckdb.TaskConfig, l *lookup, manifest string) []string {
	t.Helper()
	d, err := tasks.Store.Read(t.Context(), l, manifest)
	if err != nil {
		t.Fatal(err)
	}
	if d.Rejected == 0 {
		return nil
	}
	answer, err := tasks.Ask(t.Context(), duckdb.Question{SQL: "select reason, file, line, column, text from t_rejects order by reason, text", Tables: map[string]string{"t": manifest}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printRows(&out, answer, "csv", 0); err != nil {
		t.Fatal(err)
	}
	return append(strings.Split(out.String(), "\n"), fmt.Sprint(answer.Close()))
}

// folderText is what the files of a loaded folder hold, by folder: their lines, sorted.
func folderText(t *testing.T, dir string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name := range tree(t, dir) {
		if !strings.Contains(name, "_tidemill") && !strings.HasPrefix(filepath.Base(name), "_") {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			// A text that begins with a space is quoted by one writer and not by the other.
			out[filepath.Dir(name)] = append(out[filepath.Dir(name)], strings.Split(strings.ReplaceAll(string(text), `" x"`, " x"), "\n")...)
		}
	}
	for _, lines := range out {
		slices.Sort(lines)
	}
	return out
}

// TestRealParity compares a day of the example order-360, whose datasets come from S3, a
// warehouse and a web API.
func TestRealParity(t *testing.T) {
	dir, _ := start360(t)
	out := mustRun(t, dir, "parity", "order_360", "--date", "2017-11-18")
	for _, table := range []string{"customers", "order_360", "orders", "products"} {
		if !strings.Contains(out, "equal    "+table+" ") {
			t.Errorf("%s is not equal:\n%s", table, out)
		}
	}
}

// TestRealParityDiffers shows counts, columns and rows of a pipeline that gives each engine
// another text.
func TestRealParityDiffers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"tidemill.yaml": "project: p\n", "pipelines/p.yaml": `steps:
  same:   { sql: "select * from values (1, 'a'), (2, 'b') as t(k, v)" }
  fewer:  { sql: { duckdb: "select * from same where k = 1", spark: "select * from same" } }
  typed:  { sql: { duckdb: "select k from same", spark: "select cast(k as bigint) as k from same" } }
  valued: { sql: { duckdb: "select k, v from same", spark: "select k, upper(v) as v from same" } }
`})
	code, out, errs := tidemill(t, dir, "parity", "p")
	if code != 1 || strings.Count(out, "DIFFERS ") != 3 {
		t.Errorf("exit %d: %s", code, errs)
	}
	for _, want := range []string{"equal    same                     2 rows", "rows: 1 on DuckDB, 2 on Spark", "on Spark only  {'k': [NULL, 2], 'v': [NULL, b]}",
		"columns on DuckDB: k int", "columns on Spark:  k bigint", "2 rows have no equal", "DuckDB, Spark  {'k': [1, 1], 'v': [a, A]}"} {
		if !strings.Contains(out, want) {
			t.Errorf("parity does not say %q:\n%s", want, out)
		}
	}
}

// TestRealOrdersPySpark runs the script of the example on two days, against the S3 of tidemill
// local, and wants what examples/orders makes of them on DuckDB.
func TestRealOrdersPySpark(t *testing.T) {
	ordersPySpark(t, "spark", "2017-10-20", "2017-11-06")
}

// TestRealOrdersOnEMR does so on a cluster: the eight steps, in order, and nothing left.
func TestRealOrdersOnEMR(t *testing.T) { ordersPySpark(t, "emr-local", "2017-11-06") }

func ordersPySpark(t *testing.T, target string, days ...string) {
	t.Helper()
	cloud := startCloudWith(t, "instant", "", sparkOf(t))
	root := localRoot(t, cloud.url)
	for _, b := range []string{"shop-orders"} {
		if _, err := cloud.s3.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &b}); err != nil {
			t.Fatal(err)
		}
	}
	orders, dir := copyExample(t, "orders"), copyExample(t, "orders-pyspark")
	name := filepath.Join(dir, "tidemill.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for old, now := range map[string]string{"http://127.0.0.1:4566": cloud.url, "../orders/data": filepath.Join(orders, "data")} {
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s lacks %s", name, old)
		}
		text = []byte(strings.ReplaceAll(string(text), old, now))
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, day := range days {
		mustRun(t, orders, "run", "orders", "--date", day)
		mustRun(t, dir, "run", "aws_spark_orders", "--date", day, "--target", target)
		if target == "emr-local" {
			eightSteps(t, cloud, dir)
		}
		bucket := filepath.Join(root, "shop-orders")
		cols := "row_id, order_id, ship_date, days_to_ship, ship_mode, customer_id, customer, segment, city, state, region, product_id, category, sub_category, product_name, quantity, discount, revenue, profit, margin"
		want := ask(t, orders, day, "select "+cols+" from clean order by row_id", "--limit", "0")[1:]
		if d := cmp.Diff(want, readFiles(t, filepath.Join(bucket, "orders/order_date="+day), "select "+cols+" from lake order by row_id")); d != "" {
			t.Errorf("%s, lines (-DuckDB +PySpark):\n%s", day, d)
		}
		var got []string
		for _, lines := range folderText(t, filepath.Join(bucket, "summary/order_date="+day)) {
			got = append(got, slices.DeleteFunc(lines, func(s string) bool { return s == "" })...)
		}
		var wants []string
		for _, r := range ask(t, orders, day, "select category, region, segment, lines, orders, customers, revenue, profit from by_segment")[1:] {
			wants = append(wants, fmt.Sprintf(`{"category":%q,"region":%q,"segment":%q,"lines":%s,"orders":%s,"customers":%s,"revenue":%s,"profit":%s}`, r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]))
		}
		slices.Sort(got)
		slices.Sort(wants)
		if d := cmp.Diff(wants, got); d != "" {
			t.Errorf("%s, summary (-DuckDB +PySpark):\n%s", day, d)
		}
	}
	// What Spark wrote behind the server's back has an ETag, so that conditional writes hold.
	list, err := cloud.s3.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: new("shop-orders")})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		if o.ETag == nil || len(*o.ETag) < 34 {
			t.Errorf("%s has ETag %v", *o.Key, o.ETag)
		}
	}
}

// eightSteps wants upload, upload, check, create and wait, submit and wait, terminate and
// wait in the history, and the same seen by EMR.
func eightSteps(t *testing.T, c *cloud, dir string) {
	t.Helper()
	run := runID(t, dir)
	got := states(t, dir, run)
	uploads := slices.Clone(got[:min(3, len(got))])
	slices.Sort(uploads) // the data is uploaded beside
	if d := cmp.Diff([]string{"check_code", "upload_code", "upload_data", "cluster.create", "process", "cluster.terminate"}, append(uploads, got[min(3, len(got)):]...)); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
	if !slices.Contains(c.steps(t), run+"/process/1 COMPLETED") {
		t.Errorf("steps: %v", c.steps(t))
	}
}

// sleeper is a script that says that it began and ends when it is let.
const sleeper = `import os, sys, time
from pyspark.sql import SparkSession
here = sys.argv[1]
open(here + "/begun", "a").write("begun %d\n" % os.getpid())
print("the secret is " + os.environ["TOKEN"])
while not os.path.exists(here + "/go"):
    time.sleep(0.05)
spark = SparkSession.builder.getOrCreate()
spark.range(3).write.parquet(sys.argv[2])
spark.stop()
`

// TestRealSparkOutlives kills the process that drives a Spark job. Spark goes on; who resumes
// the run finds it and begins nothing anew. A run that is cancelled leaves no process.
func TestRealSparkOutlives(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"tidemill.yaml":    "project: p\nconnections: { api: { type: aws, access_key: k, secret_key: \"${env:SPARK_TEST_TOKEN}\" } }\ntargets: { far: { engine: spark } }\n",
		"jobs/sleep.py":    sleeper,
		"pipelines/p.yaml": "target: far\nsteps:\n  a: { spark: { script: jobs/sleep.py, args: [\"" + dir + "\", \"{{ output.rows }}\"], output: rows, secrets: { TOKEN: api.secret_key } } }\n  b: { sql: \"select count(*) as n, sum(id) as s from a\" }\n",
	})
	t.Setenv("SPARK_TEST_TOKEN", "open-sesame-42")
	first := sparkChild(t, dir, "run", "p")
	waitFor(t, filepath.Join(dir, "begun"))
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() //nolint:errcheck // it was killed
	pids := groupPIDs(t, dir)
	if len(pids) < 2 {
		t.Fatalf("Spark did not outlive its driver's process: %v", pids)
	}
	write(t, dir, map[string]string{"go": ""})
	mustRun(t, dir, "run", "p")
	if text, err := os.ReadFile(filepath.Join(dir, "begun")); err != nil || strings.Count(string(text), "begun") != 1 {
		t.Errorf("begun: %s %v", text, err)
	}
	if out := mustRun(t, dir, "query", "p", "select n, s from b", "--format", "csv"); out != "n,s\n3,3\n" {
		t.Errorf("the script's output: %s", out)
	}
	for name := range tree(t, filepath.Join(dir, ".tidemill")) {
		if text, err := os.ReadFile(filepath.Join(dir, ".tidemill", name)); err == nil && strings.Contains(string(text), "open-sesame-42") {
			t.Errorf("%s holds the secret", name)
		}
	}
	if code, out, _ := tidemill(t, dir, "logs", lastRun(t, dir), "a"); code != 0 || !strings.Contains(out, "the secret is (secret)") {
		t.Errorf("the log of a: %s", out)
	}

	for _, f := range []string{"go", "begun"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	second := sparkChild(t, dir, "run", "p", "--again")
	waitFor(t, filepath.Join(dir, "begun"))
	if pids = groupPIDs(t, dir); len(pids) < 2 {
		t.Fatalf("processes of the second run: %v", pids)
	}
	mustRun(t, dir, "cancel", lastRun(t, dir))
	_ = second.Wait() //nolint:errcheck // it was cancelled
	until := time.NewTimer(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for alive(pids) > 0 {
		select {
		case <-until.C:
			t.Fatalf("%d of %v survive a cancelled run", alive(pids), pids)
		case <-tick.C:
		}
	}
}

func sparkChild(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), asTidemill+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func waitFor(t *testing.T, file string) {
	t.Helper()
	until := time.NewTimer(2 * time.Minute)
	defer until.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(b), "\n") {
			return
		}
		select {
		case <-until.C:
			t.Fatalf("%s did not appear", file)
		case <-tick.C:
		}
	}
}

// groupPIDs are the processes whose command line names a project's folder: Java, Python and
// the wrapper.
func groupPIDs(t *testing.T, dir string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")); err == nil && strings.Contains(string(b), dir) && !strings.Contains(string(b), "-C\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func alive(pids []int) int {
	n := 0
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			n++
		}
	}
	return n
}

func lastRun(t *testing.T, dir string) string {
	t.Helper()
	a := &app{dir: dir, open: openSQLite, stderr: &strings.Builder{}, now: time.Now}
	defer a.close()
	if _, err := a.load(); err != nil {
		t.Fatal(err)
	}
	j, err := a.openJournal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runs, err := j.Find(t.Context(), runner.Query{Limit: 1})
	if err != nil || len(runs) == 0 {
		t.Fatal(runs, err)
	}
	return runs[0].ID
}
