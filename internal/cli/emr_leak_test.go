package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/emr"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/runner"
)

// cluster makes a cluster with the given tags, as a process would have that is gone.
func (c *cloud) cluster(t *testing.T, name string, protected bool, tags map[string]string) string {
	t.Helper()
	in := &awsemr.RunJobFlowInput{Name: &name, ReleaseLabel: aws.String("emr-7.13.0"), ServiceRole: aws.String("EMR_DefaultRole"), JobFlowRole: aws.String("EMR_EC2_DefaultRole"),
		Instances: &types.JobFlowInstancesConfig{KeepJobFlowAliveWhenNoSteps: aws.Bool(true), TerminationProtected: &protected,
			InstanceGroups: []types.InstanceGroupConfig{{Name: aws.String("primary"), InstanceRole: types.InstanceRoleTypeMaster, InstanceType: aws.String("m5.xlarge"), InstanceCount: aws.Int32(1)}}}}
	for k, v := range tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	out, err := c.emr.RunJobFlow(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.JobFlowId
}

// TestLeakedClusters finds and ends what nobody can want, and nothing else.
func TestLeakedClusters(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, "")
	past, future := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	mine := func(expires string) map[string]string {
		return map[string]string{emr.TagProject: "shop", emr.TagRun: "orders-20171106-abcdef", emr.TagExpires: expires}
	}
	leaked := c.cluster(t, "leaked", true, mine(past))
	unreadable := c.cluster(t, "unreadable", false, mine("tomorrow"))
	wanted := c.cluster(t, "wanted", false, mine(future))
	foreign := c.cluster(t, "foreign", false, nil)
	other := c.cluster(t, "other", false, map[string]string{emr.TagProject: "elsewhere", emr.TagRun: "x", emr.TagExpires: past})

	out := mustRun(t, dir, "clusters")
	for _, want := range []string{leaked, unreadable, wanted, "orders-20171106-abcdef", "0.24", "nobody can want it since"} {
		if !strings.Contains(out, want) {
			t.Errorf("clusters do not show %s:\n%s", want, out)
		}
	}
	if strings.Contains(out, foreign) || strings.Contains(out, other) {
		t.Errorf("clusters of others are shown:\n%s", out)
	}
	if code, _, errs := tidemill(t, dir, "clusters", "--terminate"); code != 2 || !strings.Contains(errs, "--terminate wants --leaked") {
		t.Errorf("exit %d: %s", code, errs)
	}
	mustRun(t, dir, "clusters", "--leaked", "--terminate")
	alive := strings.Join(c.alive(t), "\n")
	for id, want := range map[string]bool{leaked: false, unreadable: false, wanted: true, foreign: true, other: true} {
		if strings.Contains(alive, id) != want {
			t.Errorf("cluster %s is alive: %t\n%s", id, !want, alive)
		}
	}
	if code, _, errs := tidemill(t, dir, "clusters", "--terminate", foreign); code != 1 || !strings.Contains(errs, "was not made by Tidemill") {
		t.Errorf("exit %d: %s", code, errs)
	}
	mustRun(t, dir, "clusters", "--all", "--leaked", "--terminate")
	mustRun(t, dir, "clusters", "--terminate", wanted)
	if alive := c.alive(t); len(alive) != 1 {
		t.Errorf("alive: %v", alive)
	}
}

// TestReaperMachine runs the machine that ends leaked clusters.
func TestReaperMachine(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, "")
	leaked := c.cluster(t, "leaked", true, map[string]string{emr.TagRun: "x", emr.TagExpires: time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")})
	wanted := c.cluster(t, "wanted", false, map[string]string{emr.TagRun: "x", emr.TagExpires: time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")})
	unreadable := c.cluster(t, "unreadable", false, map[string]string{emr.TagRun: "x", emr.TagExpires: "tomorrow"})
	c.crowd(t)
	young := c.cluster(t, "young", false, map[string]string{emr.TagRun: "x", emr.TagExpires: time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)})
	a := &app{dir: dir, stdout: os.Stdout, stderr: os.Stderr, now: time.Now, open: openSQLite}
	defer a.close()
	if _, err := a.load(); err != nil {
		t.Fatal(err)
	}
	j, err := a.openJournal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := mustRun(t, dir, "clusters", "--machine")
	run, _, err := j.Create(t.Context(), runner.Run{ID: "reaper", Key: runner.Key{Pipeline: "reaper", Target: "emr"}, Machine: []byte(text), Hash: "reaper", Input: []byte("{}"), Created: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	target, _ := a.project.Target("emr")
	r, done, err := a.runner(t.Context(), j, run, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	res, err := r.Drive(t.Context(), run)
	if err != nil || res.Status != machine.Succeeded || string(res.Output) != `{"ended":["`+young+`","`+unreadable+`","`+leaked+`"]}` {
		t.Fatalf("%s %s: %s %v", res.Status, res.Error, res.Output, err)
	}
	if alive := strings.Join(c.alive(t), "\n"); strings.Contains(alive, leaked) || !strings.Contains(alive, wanted) || !strings.Contains(alive, "foreign") {
		t.Errorf("alive: %s", alive)
	}
}

// await waits until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// hanging is a project whose step goes on for long.
func hanging(t *testing.T, c *cloud, more string) string {
	t.Helper()
	dir := emrProject(t, c, "")
	text, err := os.ReadFile(filepath.Join(dir, "pipelines/orders.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"pipelines/orders.yaml": strings.Replace(strings.Replace(string(text), "sleep 0.2; echo process", "exec sleep 300; echo process", 1), "retry: { attempts: 2, delay: 1s }", more, 1)})
	return dir
}

func (c *cloud) has(t *testing.T, state string) bool {
	return strings.Contains(strings.Join(c.steps(t), "\n"), state)
}

// TestEMRCancel ends a run whose process was killed, and one that is being driven: the step
// is cancelled and the cluster has ended when cancel returns.
func TestEMRCancel(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{true, false} {
		name := "driven"
		if killed {
			name = "killed"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCloud(t, "instant", "")
			dir := hanging(t, c, "timeout: 1h")
			p := process(t, dir, nil, "run", "orders", "--date", "2017-11-06")
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- p.Wait() }()
			await(t, "the step runs", func() bool { return c.has(t, "/process/1 RUNNING") })
			if killed {
				if err := p.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				<-ended
			}
			run := runID(t, dir)
			if out := mustRun(t, dir, "clusters"); !strings.Contains(out, run) || !strings.Contains(out, "RUNNING") || !strings.Contains(out, "0.72") {
				t.Errorf("clusters:\n%s", out)
			}
			if code, _, errs := tidemill(t, dir, "clusters", "--leaked"); code != 0 || !strings.Contains(errs, "no cluster is leaked") {
				t.Errorf("a cluster at work is leaked: %s", errs)
			}
			mustRun(t, dir, "cancel", run)
			if alive := c.alive(t); len(alive) > 0 {
				t.Errorf("alive: %v", alive)
			}
			if !c.has(t, "/process/1 CANCELLED") && !c.has(t, "/process/1 FAILED") {
				t.Errorf("steps: %v", c.steps(t))
			}
			if !killed {
				if code := exitOf(<-ended); code != 1 {
					t.Errorf("who drove it ended with %d", code)
				}
			}
		})
	}
}

// TestEMRLostUnderRunIf makes a lost cluster again in a pipeline that carries on with failures:
// no step has failed then, and what runs always does so once.
func TestEMRLostUnderRunIf(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]string{
		"a series": "a: { run: { argv: [bash, -c, \"sleep 1; echo a >> NOTES\"] } }, b: { after: a, run: { argv: [bash, -c, \"echo b >> NOTES\"] } }",
		"branches": "a: { run: { argv: [bash, -c, \"sleep 1; echo a >> NOTES\"] } }, b: { run: { argv: [bash, -c, \"sleep 1; echo b >> NOTES\"] } }",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCloud(t, "instant", "- { fault: spot_loss, after: 300ms }\n")
			dir := t.TempDir()
			notes := filepath.Join(dir, "notes")
			write(t, dir, map[string]string{"tidemill.yaml": c.target(""), "job.sh": "x\n", "pipelines/p.yaml": "target: emr\nsteps: { " + strings.ReplaceAll(steps, "NOTES", notes) +
				", told: { after: [a, b], run_if: always, copy: { from: job.sh, to: told } }, alarm: { after: [a, b], run_if: failed, copy: { from: job.sh, to: alarm } } }\n"})
			mustRun(t, dir, "run", "p", "--date", "2017-11-06")
			lines := strings.Fields(read(t, dir, "notes"))
			slices.Sort(lines)
			if got := strings.Join(lines, " "); got != "a b" {
				t.Errorf("worked: %s", got)
			}
			if _, err := os.Stat(filepath.Join(dir, "told")); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "alarm")); err == nil {
				t.Error("the step for failures ran")
			}
			if n := len(c.clusters(t)); n != 2 || len(c.alive(t)) > 0 {
				t.Errorf("%d clusters, alive %v", n, c.alive(t))
			}
		})
	}
}

// TestEMRTimeout ends a step that takes longer than its timeout, and the cluster.
func TestEMRTimeout(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := hanging(t, c, "timeout: 2s")
	code, _, errs := tidemill(t, dir, "run", "orders", "--date", "2017-11-06")
	if code != 1 || !strings.Contains(errs, "FAILED after") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if alive := c.alive(t); len(alive) > 0 || c.has(t, "RUNNING") {
		t.Errorf("alive: %v, steps %v", alive, c.steps(t))
	}
}

// TestEMRNeverReady ends a cluster that does not become ready, found by its name alone.
func TestEMRNeverReady(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "- { fault: stuck }\n")
	dir := emrProject(t, c, "")
	p := process(t, dir, nil, "run", "orders", "--date", "2017-11-06")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the cluster begins", func() bool { return len(c.alive(t)) == 1 })
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() //nolint:errcheck // it was killed
	mustRun(t, dir, "cancel", runID(t, dir))
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
}

// TestEMRNamed lets runs share a cluster, which ends by itself when it has been idle.
func TestEMRNamed(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, ", scope: named, name: etl, max_age: 2h")
	write(t, dir, map[string]string{"data/orders_20171107.csv": "id\n2\n"})
	mustRun(t, dir, "run", "orders", "--date", "2017-11-06")
	mustRun(t, dir, "run", "orders", "--date", "2017-11-07")
	if alive := c.alive(t); len(alive) != 1 || !strings.Contains(alive[0], "tidemill/shop/etl") {
		t.Errorf("alive: %v", alive)
	}
	if out := mustRun(t, dir, "clusters"); !strings.Contains(out, "shared as etl") {
		t.Errorf("clusters:\n%s", out)
	}
	if n := strings.Count(strings.Join(c.steps(t), "\n"), "COMPLETED"); n != 4 {
		t.Errorf("steps: %v", c.steps(t))
	}
	c.idle(t, 30*time.Second)
	write(t, dir, map[string]string{"data/orders_20171108.csv": "id\n3\n"})
	mustRun(t, dir, "run", "orders", "--date", "2017-11-08")
	if alive := c.alive(t); len(alive) != 1 {
		t.Errorf("alive: %v", alive)
	}
}

// crowd makes as many clusters of somebody else's as fill a page of EMR's list.
func (c *cloud) crowd(t *testing.T) {
	t.Helper()
	for range 51 {
		c.cluster(t, "foreign", false, nil)
	}
}

// TestEMRNamedInACrowd finds the shared cluster on the second page of EMR's list.
func TestEMRNamedInACrowd(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, ", scope: named, name: etl")
	write(t, dir, map[string]string{"data/orders_20171107.csv": "id\n2\n"})
	mustRun(t, dir, "run", "orders", "--date", "2017-11-06")
	c.crowd(t)
	mustRun(t, dir, "run", "orders", "--date", "2017-11-07")
	shared := slices.DeleteFunc(c.alive(t), func(s string) bool { return !strings.Contains(s, "tidemill/shop/etl") })
	if len(shared) != 1 {
		t.Errorf("alive: %v", shared)
	}
}

// TestEMRFailsInACrowd ends the cluster of a run that failed, though fifty are newer.
func TestEMRFailsInACrowd(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := hanging(t, c, "")
	write(t, dir, map[string]string{"pipelines/orders.yaml": strings.Replace(read(t, dir, "pipelines/orders.yaml"), "exec sleep 300", "until [ -e "+dir+"/go ]; do sleep 0.1; done; exit 3", 1)})
	p := process(t, dir, nil, "run", "orders", "--date", "2017-11-06")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the step runs", func() bool { return c.has(t, "/process/1 RUNNING") })
	c.crowd(t)
	write(t, dir, map[string]string{"go": ""})
	if code := exitOf(p.Wait()); code != 1 {
		t.Errorf("exit %d", code)
	}
	if ours := slices.DeleteFunc(c.alive(t), func(s string) bool { return strings.Contains(s, "foreign") }); len(ours) != 0 {
		t.Errorf("alive: %v", ours)
	}
}

// TestEMRBackfill lets the runs of a back-fill share a cluster; a run outside has its own.
func TestEMRBackfill(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, ", scope: backfill")
	for _, day := range []string{"06", "07", "08"} {
		write(t, dir, map[string]string{"data/orders_201711" + day + ".csv": "id\n2\n"})
	}
	mustRun(t, dir, "run", "orders", "--date", "2017-11-06", "--backfill", "autumn")
	mustRun(t, dir, "run", "orders", "--date", "2017-11-07", "--backfill", "autumn")
	mustRun(t, dir, "run", "orders", "--date", "2017-11-08")
	if alive := c.alive(t); len(alive) != 1 || !strings.Contains(alive[0], "tidemill/shop/orders/autumn") {
		t.Errorf("alive: %v", alive)
	}
	if out := mustRun(t, dir, "clusters"); !strings.Contains(out, "shared as autumn") {
		t.Errorf("clusters:\n%s", out)
	}
	c.idle(t, 30*time.Second)
}

// TestEMRLateLogs shows logs that EMR wrote after the step had ended.
func TestEMRLateLogs(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	dir := emrProject(t, c, "")
	mustRun(t, dir, "run", "orders", "--date", "2017-11-06")
	run := runID(t, dir)
	log := filepath.Join(dir, ".tidemill/runs", run, "sum/1.log")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(string(text), "step ")
	step, cluster, _ := strings.Cut(strings.SplitN(id, "\n", 2)[0], " on cluster ")
	if err := os.WriteFile(log, []byte("the step's logs will be at s3://logs/emr/"+cluster+"/steps/"+step+"/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, dir, "logs", run, "sum"); !strings.Contains(out, "--- stdout.gz\necho job\n") {
		t.Errorf("logs:\n%s", out)
	}
}
