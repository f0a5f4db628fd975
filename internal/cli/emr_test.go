package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	localemr "github.com/tidemill/tidemill/internal/awslocal/emr"
)

// cloud is AWS on localhost.
type cloud struct {
	url string
	cfg awsauth.Config
	emr *awsemr.Client
	s3  *awss3.Client
}

// startCloud starts AWS on localhost with the buckets lake and logs.
func startCloud(t *testing.T, pace, faults string) *cloud {
	t.Helper()
	return startCloudWith(t, pace, faults, nil)
}

func startCloudWith(t *testing.T, pace, faults string, spark func(context.Context, string) (*localemr.Spark, error)) *cloud {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	config := awslocal.Config{Addr: "127.0.0.1:0", Memory: true, Pace: pace, Spark: spark, Path: os.Getenv("PATH"), Ready: func(url string) { ready <- url }}
	var err error
	if config.Faults, err = localemr.ParseFaults("faults.yaml", []byte(faults)); err != nil {
		t.Fatal(err)
	}
	go func() {
		done <- awslocal.Serve(ctx, config)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c := &cloud{url: <-ready}
	cfg, err := awsauth.Load(ctx, awsauth.Settings{Endpoint: c.url})
	if err != nil {
		t.Fatal(err)
	}
	c.cfg = cfg
	// A fault script throttles the test too.
	c.emr = awsemr.NewFromConfig(cfg, func(o *awsemr.Options) { o.Retryer = retry.AddWithMaxAttempts(retry.NewStandard(), 20) })
	c.s3 = awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	for _, b := range []string{"lake", "logs"} {
		if _, err := c.s3.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &b}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// clusters are all that there ever were, the newest first.
func (c *cloud) clusters(t *testing.T) []types.ClusterSummary {
	t.Helper()
	var all []types.ClusterSummary
	for p := awsemr.NewListClustersPaginator(c.emr, &awsemr.ListClustersInput{}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out.Clusters...)
	}
	return all
}

// alive are the clusters that have not ended.
func (c *cloud) alive(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, x := range c.clusters(t) {
		if s := x.Status.State; s != types.ClusterStateTerminated && s != types.ClusterStateTerminatedWithErrors {
			ids = append(ids, fmt.Sprint(*x.Id, " ", *x.Name, " ", s))
		}
	}
	return ids
}

// steps are the names of all steps that were ever added, with their states.
func (c *cloud) steps(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, x := range c.clusters(t) {
		steps, err := c.emr.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: x.Id})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps.Steps {
			names = append(names, aws.ToString(s.Name)+" "+string(s.Status.State))
		}
	}
	slices.Sort(names)
	return names
}

// pass moves the emulator's time.
func (c *cloud) pass(t *testing.T, d time.Duration) {
	t.Helper()
	resp, err := http.Post(c.url+"/_tidemill/clock?advance="+d.String(), "", nil) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	if resp.StatusCode/100 != 2 {
		t.Fatalf("move the clock: %s", resp.Status)
	}
}

// emrTarget is a project's target on the emulator.
func (c *cloud) target(more string) string {
	return fmt.Sprintf("project: shop\ntargets:\n  emr:\n    engine: emr\n    endpoint: %s\n    store: s3://lake/tidemill\n    cluster: { release: emr-7.13.0, primary: m5.xlarge, core: { type: m5.xlarge, count: 2 }, log_uri: s3://logs/emr%s }\n", c.url, more)
}

// shellPipeline is the orders pipeline with programs for Spark.
const shellPipeline = `target: emr
schedule: { cron: "0 6 * * *", day: start }
steps:
  upload_code: { copy: { from: job.sh, to: "s3://lake/code/job.sh" } }
  upload_data: { copy: { from: "data/orders_{{ ds_nodash }}.csv", to: "s3://lake/raw/orders_{{ ds_nodash }}.csv" } }
  check_code:  { exists: "s3://lake/code/job.sh", after: upload_code }
  process:     { after: [check_code, upload_data], run: { argv: [bash, -c, "sleep 0.2; echo process >> NOTES"] }, retry: { attempts: 2, delay: 1s } }
  sum:         { after: process, run: { argv: [bash, -c, "sleep 0.2; echo sum {{ ds }} >> NOTES; cat SCRIPT"] } }
`

func emrProject(t *testing.T, c *cloud, more string) string {
	t.Helper()
	dir := t.TempDir()
	pl := strings.ReplaceAll(strings.ReplaceAll(shellPipeline, "NOTES", filepath.Join(dir, "notes")), "SCRIPT", filepath.Join(dir, "job.sh"))
	write(t, dir, map[string]string{"tidemill.yaml": c.target(more), "pipelines/orders.yaml": pl, "job.sh": "echo job\n", "data/orders_20171106.csv": "id\n1\n"})
	return dir
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// localRoot is the folder of a local S3's buckets.
func localRoot(t *testing.T, url string) string {
	t.Helper()
	var info struct {
		S3 struct{ Root string }
	}
	if err := call(t.Context(), "GET", url+"/_tidemill/info", &info); err != nil {
		t.Fatal(err)
	}
	return info.S3.Root
}

// states are the states that a run entered, in order, those of the compiler's own bookkeeping left out.
func states(t *testing.T, dir, run string) []string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(mustRun(t, dir, "logs", run, "--json"), "\n") {
		if name := jsonText(line, "state"); jsonText(line, "type") == "TaskSucceeded" {
			out = append(out, name)
		}
	}
	return out
}

func runID(t *testing.T, dir string) string {
	t.Helper()
	return strings.Fields(strings.Split(mustRun(t, dir, "runs", "--limit", "1"), "\n")[2])[0]
}

// TestEMR runs the eight steps: upload, upload, check, create, wait, submit, wait, terminate.
func TestEMR(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, "")
	mustRun(t, dir, "run", "orders", "--date", "2017-11-06")
	got := states(t, dir, runID(t, dir))
	slices.Sort(got[:3])
	if d := cmp.Diff([]string{"check_code", "upload_code", "upload_data", "cluster.create", "process", "sum", "cluster.terminate"}, got); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
	run := runID(t, dir)
	if d := cmp.Diff([]string{run + "/process/1 COMPLETED", run + "/sum/1 COMPLETED"}, c.steps(t)); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
	if out := mustRun(t, dir, "logs", run, "sum"); !strings.Contains(out, "COMPLETED") || !strings.Contains(out, "echo job") {
		t.Errorf("logs:\n%s", out)
	}
	if code, _, errs := tidemill(t, dir, "run", "orders", "--date", "2017-11-06"); code != 0 || !strings.Contains(errs, "already done") {
		t.Errorf("again: %d\n%s", code, errs)
	}
}

// TestEMRFails ends the cluster of a run whose step fails, says why, and goes on from the
// failed step on another cluster.
func TestEMRFails(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, ", protected: true")
	if err := os.Remove(filepath.Join(dir, "job.sh")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"job.sh/x": ""}) // a folder: cat fails
	pl, err := os.ReadFile(filepath.Join(dir, "pipelines/orders.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"pipelines/orders.yaml": strings.Replace(string(pl), "from: job.sh", "from: data/orders_20171106.csv", 1)})
	code, _, errs := tidemill(t, dir, "run", "orders", "--date", "2017-11-06")
	if code != 1 || !strings.Contains(errs, "States.TaskFailed\n          step s-") || !strings.Contains(errs, "Is a directory") || !strings.Contains(errs, "exit status 1") {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
	run := runID(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "job.sh")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"job.sh": "echo job\n"})
	mustRun(t, dir, "resume", run)
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
	if d := cmp.Diff([]string{run + "/process/1 COMPLETED", run + "/sum/1 FAILED", run + "/sum/2 COMPLETED"}, c.steps(t)); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}
