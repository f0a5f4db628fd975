//go:build real

package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	localemr "github.com/tidemill/tidemill/internal/awslocal/emr"
	"github.com/tidemill/tidemill/internal/conform/parts"
)

// sparkOf finds the Spark that scripts/parts installs.
func sparkOf(t *testing.T) func(context.Context, string) (*localemr.Spark, error) {
	t.Helper()
	submit, env, err := parts.Spark(os.Getenv("TIDEMILL_CACHE"))
	if err != nil {
		t.Fatal(err)
	}
	return func(context.Context, string) (*localemr.Spark, error) {
		return &localemr.Spark{Submit: submit, Env: env}, nil
	}
}

// TestRealEMRSQL runs extract, SQL, checks, a script with an output and a load on a cluster,
// and wants the datasets that DuckDB makes of the same files.
func TestRealEMRSQL(t *testing.T) {
	t.Parallel()
	c := startCloudWith(t, "instant", "", sparkOf(t))
	dir := t.TempDir()
	csv := "id,region,amount\n1,north,10.25\n2,south,3.50\n3,north,1.00\nx,north,2.00\n"
	secret, word := "etl/word", "a-secret-word"
	if _, err := secretsmanager.NewFromConfig(c.cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &secret, SecretString: &word}); err != nil {
		t.Fatal(err)
	}
	script := "import os\nimport sys\nfrom pyspark.sql import SparkSession\nassert os.environ['WORD'] == 'a-secret-word'\nspark = SparkSession.builder.getOrCreate()\nspark.sql(\"select 'north' as region, 2 as rank\").coalesce(1).write.parquet(sys.argv[1])\n"
	steps := `schedule: { cron: "0 6 * * *", day: start }
steps:
  upload: { copy: { from: "data/x_{{ ds_nodash }}.csv", to: "s3://lake/raw/x_{{ ds_nodash }}.csv" } }
  clean:
    after: upload
    extract: { from: "SOURCE", columns: { id: int, amount: "decimal(12,2)" }, rejects: keep }
    sql: select id, region, amount from source where amount > 0.5 and {{ ds }} = '2017-11-06'
    checks: [ { unique: id }, { rows: { min: 1 } } ]
  totals: { sql: "select region, sum(amount) as amount, count(*) as n from clean group by region" }
`
	onCluster := strings.ReplaceAll(steps, "SOURCE", "s3://lake/raw/x_{{ ds_nodash }}.csv") + `  ranks:  { spark: { script: rank.py, output: rows, secrets: { WORD: words.url }, args: ["{{ output.rows }}"] } }
  final:  { sql: "select t.region, t.amount, t.n, r.rank from totals t left join ranks r on r.region = t.region", load: { to: "s3://lake/out", scope: all } }
`
	write(t, dir, map[string]string{"tidemill.yaml": c.target("") + "connections: { words: { type: postgres, url: \"${secretsmanager:etl/word}\" } }\n", "pipelines/p.yaml": "target: emr\n" + onCluster, "pipelines/here.yaml": strings.ReplaceAll(steps, "SOURCE", "data/x_{{ ds_nodash }}.csv"), "data/x_20171106.csv": csv, "rank.py": script})
	if out, err := process(t, dir, []string{"TIDEMILL_NODE=" + nodeProgram(t)}, "run", "p", "--date", "2017-11-06").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
	write(t, dir, map[string]string{"pipelines/here.yaml": strings.Replace(strings.ReplaceAll(steps, "SOURCE", "data/x_{{ ds_nodash }}.csv"), "  upload: { copy: { from: \"data/x_{{ ds_nodash }}.csv\", to: \"s3://lake/raw/x_{{ ds_nodash }}.csv\" } }\n", "", 1)})
	write(t, dir, map[string]string{"pipelines/here.yaml": strings.Replace(read(t, dir, "pipelines/here.yaml"), "    after: upload\n", "", 1)})
	mustRun(t, dir, "run", "here", "--date", "2017-11-06")
	for table, sql := range map[string]string{"clean": "select * from clean order by id", "totals": "select * from totals order by region"} {
		there := mustRun(t, dir, "query", "p", sql, "--format", "csv")
		here := mustRun(t, dir, "query", "here", sql, "--date", "2017-11-06", "--format", "csv")
		if d := cmp.Diff(here, there); d != "" {
			t.Errorf("%s (-here +on the cluster):\n%s", table, d)
		}
	}
	if got := mustRun(t, dir, "query", "p", "select * from final order by region", "--format", "csv"); got != "region,amount,n,rank\nnorth,11.25,2,2\nsouth,3.50,1,\n" {
		t.Errorf("final: %q", got)
	}
	notRedone(t, c, dir)
	bucket, prefix := "lake", "out/"
	out, err := c.s3.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range out.Contents {
		names = append(names, *o.Key)
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "out/part-") }) || !slices.Contains(names, "out/_SUCCESS") {
		t.Errorf("loaded: %v", names)
	}
}

// notRedone adds the run's first step once more, as after the loss of its cluster: what the
// first attempt made stands, and is what the second one tells of.
func notRedone(t *testing.T, c *cloud, dir string) {
	t.Helper()
	run := strings.Fields(strings.Split(mustRun(t, dir, "runs", "p", "--limit", "1"), "\n")[2])[0]
	var job, runner string
	for _, line := range strings.Split(mustRun(t, dir, "logs", run, "--json"), "\n") {
		if jsonText(line, "state") == "clean+totals.prepare" && jsonText(line, "type") == "TaskSucceeded" {
			plain := strings.ReplaceAll(line, `\"`, `"`)
			job, runner = jsonText(plain, "job"), jsonText(plain, "runner")
		}
	}
	id := c.cluster(t, "again", false, nil)
	name := run + "/clean+totals/2"
	step := types.StepConfig{Name: &name, ActionOnFailure: types.ActionOnFailureContinue, HadoopJarStep: &types.HadoopJarStepConfig{Jar: aws.String("command-runner.jar"), Args: []string{"spark-submit", runner, "--job", job, "--step", name}}}
	if _, err := c.emr.AddJobFlowSteps(t.Context(), &awsemr.AddJobFlowStepsInput{JobFlowId: &id, Steps: []types.StepConfig{step}}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Minute); !c.has(t, name+" COMPLETED"); <-time.After(200 * time.Millisecond) {
		if time.Now().After(end) || c.has(t, name+" FAILED") {
			t.Fatalf("%q %q: %v", runner, job, c.steps(t))
		}
	}
	bucket, key := "lake", "tidemill/runs/"+name+"/output.json"
	o, err := c.s3.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close() //nolint:errcheck // a test
	text, err := io.ReadAll(o.Body)
	if err != nil || strings.Count(string(text), run+".1/manifest.json") != 2 || strings.Contains(string(text), run+".2") {
		t.Errorf("the second attempt tells of %s: %v", text, err)
	}
}

// nodeProgram builds tidemill-node for this machine and returns its folder.
func nodeProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "minicore_disabled", "-o", filepath.Join(dir, "tidemill-node-linux-amd64"), "../../cmd/tidemill-node")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build tidemill-node: %v\n%s", err, out)
	}
	return dir
}

// sparks has a PySpark script for the first step.
func sparks(t *testing.T) kit {
	find := sparkOf(t)
	return kit{
		cloud: func(t *testing.T, faults string) *cloud { return startCloudWith(t, "instant", faults, find) },
		project: func(t *testing.T, c *cloud) string {
			dir := emrProject(t, c, "")
			script := "import sys\nfrom pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\nn = spark.read.csv('s3://lake/raw/orders_%s.csv' % sys.argv[1], header=True).count()\nassert n == 1, n\nopen(sys.argv[2], 'a').write('process\\n')\n"
			pl := strings.NewReplacer(`run: { argv: [bash, -c, "sleep 0.2; echo process >> `+filepath.Join(dir, "notes")+`"] }`,
				`spark: { script: "s3://lake/code/job.py", args: ["{{ ds_nodash }}", "`+filepath.Join(dir, "notes")+`"] }`, "from: job.sh", "from: job.py", "code/job.sh", "code/job.py").Replace(read(t, dir, "pipelines/orders.yaml"))
			write(t, dir, map[string]string{"pipelines/orders.yaml": pl, "job.py": script})
			if !strings.Contains(pl, "spark:") {
				t.Fatalf("no script in\n%s", pl)
			}
			return dir
		},
		takes: 15 * time.Second, again: 2 * time.Minute,
	}
}

// TestRealEMRKills kills runs whose step is a Spark at a sample of instants; CI's share of
// the soak's.
func TestRealEMRKills(t *testing.T) {
	emrKills(t, sparks(t), 3)
}

// TestRealEMRThere has a cluster's real tidemill-node read a web API and load a search index,
// both servers of somebody else's. The load flips before the cluster ends; again it leaves the same.
func TestRealEMRThere(t *testing.T) {
	cache := os.Getenv("TIDEMILL_CACHE")
	search, stop, err := parts.SearchNode(t.Context(), cache, parts.OpenSearch, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	dir := t.TempDir()
	var items []string
	for i := 1; i <= 95; i++ {
		items = append(items, fmt.Sprintf(`{"id": %d, "name": "thing %d", "price": %d.5}`, i, i, i))
	}
	write(t, dir, map[string]string{"db.json": `{"items": [` + strings.Join(items, ",") + `]}`})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	home, err := parts.Dir(cache, "json-server-0.17.4")
	if err != nil {
		t.Fatal(err)
	}
	api, stopAPI, err := parts.Serve(t.Context(), "http://127.0.0.1:"+port, exec.CommandContext(t.Context(), filepath.Join(home, "node_modules/.bin/json-server"), "--port", port, "--host", "127.0.0.1", "--quiet", filepath.Join(dir, "db.json")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stopAPI)
	c := startCloud(t, "instant", "")
	write(t, dir, map[string]string{"tidemill.yaml": c.target("") + fmt.Sprintf("connections:\n  api: { type: rest, url: %q }\n  find: { type: opensearch, url: %q }\n", api, search),
		"pipelines/p.yaml": `target: emr
schedule: { cron: "0 6 * * *", start: 2017-11-01, day: start }
publish: together
steps:
  items:
    extract: { from: api, path: /items, paginate: { page: { param: _page, size: 10, size_param: _limit } }, on: cluster }
  search: { load: { from: items, to: find, index: items, id: id, mode: swap, scope: day, on: cluster } }
`})
	env := []string{"TIDEMILL_NODE=" + nodeProgram(t)}
	for _, args := range [][]string{{"run", "p", "--date", "2017-11-06"}, {"run", "p", "--date", "2017-11-06", "--again"}} {
		if out, err := process(t, dir, env, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		run := runID(t, dir)
		for _, step := range []string{"items", "search", "search.flip"} {
			if !c.has(t, run+"/"+step+"/1 COMPLETED") {
				t.Errorf("%s was not done on the cluster: %v", step, c.steps(t))
			}
		}
		var count struct{ Count int }
		if err := call(t.Context(), "GET", search+"/items/_count", &count); err != nil || count.Count != 95 {
			t.Errorf("the index has %d documents: %v", count.Count, err)
		}
		if out := mustRun(t, dir, "search", "items", "name:42", "--target", "emr"); !strings.Contains(out, "thing 42") {
			t.Errorf("%s", out)
		}
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
}
