package emr_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/emr"
	"github.com/tidemill/tidemill/internal/flow"
)

func TestMain(m *testing.M) {
	if code, handled := awslocal.Child(os.Args[1:], os.Stdin); handled {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// serve starts AWS on localhost with a bucket for logs.
func serve(t *testing.T) (awsauth.Config, *awsemr.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- awslocal.Serve(ctx, awslocal.Config{Addr: "127.0.0.1:0", Memory: true, Pace: "instant", Path: os.Getenv("PATH"), Ready: func(url string) { ready <- url }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	cfg, err := awsauth.Load(ctx, awsauth.Settings{Endpoint: <-ready})
	if err != nil {
		t.Fatal(err)
	}
	bucket := "logs"
	if _, err := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true }).CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	return cfg, awsemr.NewFromConfig(cfg)
}

// journal keeps clusters in memory.
type journal struct {
	mu   sync.Mutex
	rows map[string]emr.Cluster
}

func (j *journal) IntendCluster(_ context.Context, c emr.Cluster) (emr.Cluster, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, ok := j.rows[c.Key]; ok && old.Ended.IsZero() {
		return old, false, nil
	}
	j.rows[c.Key] = c
	return c, true, nil
}

func (j *journal) MadeCluster(_ context.Context, key, id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.rows[key]
	c.ID = id
	j.rows[key] = c
	return nil
}

func (j *journal) EndedCluster(_ context.Context, id string, at time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for k, c := range j.rows {
		if c.ID == id {
			c.Ended = at
			j.rows[k] = c
		}
	}
	return nil
}

func (j *journal) LiveClusters(_ context.Context, run string) ([]emr.Cluster, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []emr.Cluster
	for _, c := range j.rows {
		if c.Ended.IsZero() && (run == "" || c.Run == run) {
			out = append(out, c)
		}
	}
	return out, nil
}

func open(t *testing.T, cfg awsauth.Config) (*emr.EMR, *journal) {
	t.Helper()
	j := &journal{rows: map[string]emr.Cluster{}}
	pace := emr.LocalPace
	pace.Call, pace.Logs = 300*time.Millisecond, time.Second
	e, err := emr.New(t.Context(), emr.Config{Load: func(context.Context) (awsauth.Config, error) { return cfg, nil }, Journal: j, Now: time.Now, Pace: &pace,
		Bucket: func(_ context.Context, uri string) (flow.Bucket, string, error) {
			bucket, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
			return s3.New(cfg, bucket, s3.Options{}), key, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return e, j
}

// request is an attempt at a state of run r.
func request(state string, attempt int, args string, log *strings.Builder) flow.Request {
	if log == nil {
		log = &strings.Builder{}
	}
	return flow.Request{Key: fmt.Sprintf("r/%s/%d", state, attempt), Run: "r", State: state, Attempt: attempt, Arguments: json.RawMessage(args), Log: log, Progress: func(flow.Progress) {}}
}

const clusterJSON = `{"Name":"r/cluster.create/1","ReleaseLabel":"emr-7.13.0","LogUri":"s3://logs/emr","Applications":[{"Name":"Spark"}],
 "Instances":{"KeepJobFlowAliveWhenNoSteps":true,"InstanceGroups":[{"Name":"primary","InstanceRole":"MASTER","InstanceType":"m5.xlarge","InstanceCount":1}]},
 "ServiceRole":"EMR_DefaultRole","JobFlowRole":"EMR_EC2_DefaultRole","AutoTerminationPolicy":{"IdleTimeout":600},
 "Tags":[{"Key":"tidemill:run","Value":"r"},{"Key":"tidemill:project","Value":"p"}%s]}`

func stepJSON(cluster, script string) string {
	args, err := json.Marshal([]string{"bash", "-c", script})
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"ClusterId":%q,"Step":{"Name":"r/x/1","ActionOnFailure":"CONTINUE","HadoopJarStep":{"Jar":"command-runner.jar","Args":%s}}}`, cluster, args)
}

func task(t *testing.T, e *emr.EMR, api string) flow.Task {
	t.Helper()
	task, _, ok := e.Task(emr.Prefix + api)
	if !ok || task == nil {
		t.Fatalf("no task %s", api)
	}
	return task
}

// do starts a task's work and waits for it.
func do(t *testing.T, e *emr.EMR, api string, r flow.Request) (flow.Token, json.RawMessage, error) {
	t.Helper()
	k := task(t, e, api)
	token, err := k.Start(t.Context(), r)
	if err != nil {
		return "", nil, err
	}
	again, err := k.Start(t.Context(), r)
	if err != nil || again != token && api != "terminateCluster.sync" {
		t.Errorf("%s started again is %s, not %s: %v", api, again, token, err)
	}
	out, err := k.Wait(t.Context(), r, token)
	return token, out, err
}

func makeCluster(t *testing.T, e *emr.EMR) string {
	t.Helper()
	token, out, err := do(t, e, "createCluster.sync", request("cluster.create", 1, fmt.Sprintf(clusterJSON, ""), nil))
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		ClusterId string
		Cluster   struct {
			Id, Name string
			Status   struct{ State string }
		} //nolint:revive // AWS's names
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	if made.ClusterId != string(token) || made.Cluster.Id != made.ClusterId || made.Cluster.Name != "r/cluster.create/1" || made.Cluster.Status.State != "WAITING" {
		t.Errorf("the output is %s", out)
	}
	return made.ClusterId
}

func clusters(t *testing.T, c *awsemr.Client) map[string]types.ClusterState {
	t.Helper()
	out, err := c.ListClusters(t.Context(), &awsemr.ListClustersInput{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]types.ClusterState{}
	for _, x := range out.Clusters {
		all[aws.ToString(x.Id)] = x.Status.State
	}
	return all
}

// TestLife makes a cluster, runs steps that succeed and fail, and ends it: each once.
func TestLife(t *testing.T) {
	t.Parallel()
	cfg, c := serve(t)
	e, j := open(t, cfg)
	id := makeCluster(t, e)

	log := &strings.Builder{}
	token, out, err := do(t, e, "addStep.sync", request("x", 1, stepJSON(id, "echo hello; echo there >&2"), log))
	if err != nil || !strings.HasPrefix(string(token), id+"/s-") {
		t.Fatalf("%s: %v", token, err)
	}
	for _, want := range []string{`"StepId":"s-`, `"State":"COMPLETED"`, `"Name":"r/x/1"`, `"SdkHttpMetadata":{`, `"SdkResponseMetadata":{"RequestId":"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output %s has no %s", out, want)
		}
	}
	if !strings.Contains(log.String(), "COMPLETED") {
		t.Errorf("the log is %q", log)
	}

	log.Reset()
	script := `echo 'Traceback (most recent call last):
  File "orders.py", line 7, in <module>
    main()
ValueError: no such day' >&2; exit 3`
	_, _, err = do(t, e, "addStep.sync", request("x", 2, stepJSON(id, script), log))
	var failed struct {
		Step struct {
			Name   string
			Status struct {
				State          string
				FailureDetails struct{ Message, LogFile string }
			}
		}
	}
	if err == nil || flow.Name(err) != "States.TaskFailed" {
		t.Fatalf("%s: %v", flow.Name(err), err)
	}
	if jerr := json.Unmarshal([]byte(err.Error()), &failed); jerr != nil {
		t.Fatalf("the cause is no JSON: %v\n%s", jerr, err)
	}
	s := failed.Step.Status
	if failed.Step.Name != "r/x/2" || s.State != "FAILED" || !strings.Contains(s.FailureDetails.Message, "ValueError: no such day") || !strings.Contains(s.FailureDetails.Message, "exit status 3") ||
		!strings.HasPrefix(s.FailureDetails.LogFile, "s3") || !strings.Contains(s.FailureDetails.LogFile, "/stderr") {
		t.Errorf("the cause is %s", err)
	}
	if !strings.Contains(log.String(), "ValueError: no such day") {
		t.Errorf("the log is %q", log)
	}

	// A driver prints to stdout what its Python script writes, whether it is an exception or not.
	_, _, err = do(t, e, "addStep.sync", request("x", 9, stepJSON(id, `echo 'orders.py: error: the following arguments are required: --bucket'; echo '26/11/28 03:52:34 INFO ShutdownHookManager: bye' >&2; exit 2`), log))
	if err == nil || !strings.Contains(err.Error(), `"Message":"orders.py: error: the following arguments are required: --bucket\nexit status 2"`) || !strings.Contains(err.Error(), "/stdout") {
		t.Errorf("the cause is %v", err)
	}

	if _, _, err := do(t, e, "terminateCluster.sync", request("cluster.terminate", 1, `{"ClusterId":"`+id+`"}`, nil)); err != nil {
		t.Fatal(err)
	}
	if got := clusters(t, c); len(got) != 1 || got[id] != types.ClusterStateTerminated {
		t.Errorf("clusters: %v", got)
	}
	if row := j.rows["r/cluster.create/1"]; row.ID != id || row.Ended.IsZero() {
		t.Errorf("the journal has %+v", row)
	}
	_, _, err = do(t, e, "addStep.sync", request("x", 3, stepJSON(id, "true"), nil))
	if flow.Name(err) != "EMR.AmazonElasticMapReduceException" || !strings.Contains(err.Error(), "(Service: AmazonElasticMapReduce; Status Code: 400; Error Code: ValidationException; Request ID: ") {
		t.Errorf("a step on a cluster that has ended: %s: %v", flow.Name(err), err)
	}
}

// TestCrashWindow heals what a process left that died between its intent, the call, and the
// note of what the call answered.
func TestCrashWindow(t *testing.T) {
	t.Parallel()
	cfg, c := serve(t)
	e, j := open(t, cfg)
	r := request("cluster.create", 1, fmt.Sprintf(clusterJSON, ""), nil)
	r.Since = time.Now()
	if _, _, err := j.IntendCluster(t.Context(), emr.Cluster{Key: r.Key, Run: "r", Name: r.Key, Intended: r.Since}); err != nil {
		t.Fatal(err)
	}
	var in awsemr.RunJobFlowInput
	if err := json.Unmarshal(r.Arguments, &in); err != nil {
		t.Fatal(err)
	}
	var made []string
	for range 2 { // as if the call's answer had been lost, and the call repeated
		out, err := c.RunJobFlow(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, *out.JobFlowId)
	}
	token, err := task(t, e, "createCluster.sync").Start(t.Context(), r)
	if err != nil || string(token) != made[0] {
		t.Fatalf("%s, not the older of %v: %v", token, made, err)
	}
	if got := clusters(t, c); len(got) != 2 || got[made[1]] != types.ClusterStateTerminated && got[made[1]] != types.ClusterStateTerminating {
		t.Errorf("clusters: %v", got)
	}
	if _, err := task(t, e, "createCluster.sync").Wait(t.Context(), r, token); err != nil {
		t.Fatal(err)
	}
	// The same for a step: one that was added twice goes on once.
	s := request("x", 1, stepJSON(made[0], "sleep 5"), nil)
	s.Since = time.Now()
	step := types.StepConfig{Name: aws.String("r/x/1"), ActionOnFailure: "CONTINUE", HadoopJarStep: &types.HadoopJarStepConfig{Jar: aws.String("command-runner.jar"), Args: []string{"sleep", "5"}}}
	var steps []string
	for range 2 {
		out, err := c.AddJobFlowSteps(t.Context(), &awsemr.AddJobFlowStepsInput{JobFlowId: &made[0], Steps: []types.StepConfig{step}})
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, out.StepIds[0])
	}
	k := task(t, e, "addStep.sync")
	token, err = k.Start(t.Context(), s)
	if err != nil || string(token) != made[0]+"/"+steps[0] {
		t.Fatalf("%s, not the older of %v: %v", token, steps, err)
	}
	if found, ok, err := k.(flow.Finder).Find(t.Context(), s); !ok || err != nil || found != token {
		t.Errorf("found %s %v %v", found, ok, err)
	}
	if err := k.Stop(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	out, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &made[0]})
	if err != nil || len(out.Steps) != 2 {
		t.Fatalf("%d steps: %v", len(out.Steps), err)
	}
	for _, x := range out.Steps {
		if x.Status.State == types.StepStateRunning || x.Status.State == types.StepStatePending {
			t.Errorf("step %s is %s", *x.Id, x.Status.State)
		}
	}
	// Nothing was begun: after a while it is begun anew.
	n := request("cluster.create", 2, fmt.Sprintf(clusterJSON, ""), nil)
	n.Since = time.Now()
	if token, err := task(t, e, "createCluster.sync").Start(t.Context(), n); err != nil || token == "" || len(clusters(t, c)) != 3 {
		t.Errorf("%s: %v", token, err)
	}
}

// TestStop ends a protected cluster and one that is only being made.
func TestStop(t *testing.T) {
	t.Parallel()
	cfg, c := serve(t)
	e, _ := open(t, cfg)
	id := makeCluster(t, e)
	_, protect, ok := e.Task(emr.Prefix + "setClusterTerminationProtection")
	if !ok {
		t.Fatal("no task setClusterTerminationProtection")
	}
	if _, err := protect(t.Context(), request("p", 1, `{"ClusterId":"`+id+`","TerminationProtected":true}`, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := task(t, e, "terminateCluster.sync").Start(t.Context(), request("q", 1, `{"ClusterId":"`+id+`"}`, nil)); err == nil {
		t.Error("a protected cluster was ended by a machine that does not say that it means it")
	}
	if err := task(t, e, "createCluster.sync").Stop(t.Context(), flow.Token(id)); err != nil {
		t.Fatal(err)
	}
	if got := clusters(t, c); got[id] != types.ClusterStateTerminated {
		t.Errorf("clusters: %v", got)
	}
}

// TestShared lets several runs have one cluster, also when they ask at once.
func TestShared(t *testing.T) {
	t.Parallel()
	cfg, c := serve(t)
	e, _ := open(t, cfg)
	args := strings.Replace(fmt.Sprintf(clusterJSON, `,{"Key":"tidemill:name","Value":"etl"}`), "r/cluster.create/1", "tidemill/p/etl", 1)
	tokens := make([]flow.Token, 4)
	errs := make([]error, 4)
	var g sync.WaitGroup
	for i := range tokens {
		r := request("cluster.create", i+1, args, nil)
		g.Go(func() { tokens[i], errs[i] = task(t, e, "createCluster.sync").Start(t.Context(), r) })
	}
	g.Wait()
	for i, token := range tokens {
		if token != tokens[0] || errs[i] != nil {
			t.Errorf("%v %v", tokens, errs)
		}
	}
	if got := clusters(t, c); len(got) != 1 {
		t.Errorf("clusters: %v", got)
	}
	if err := task(t, e, "createCluster.sync").Stop(t.Context(), tokens[0]); err != nil {
		t.Fatal(err)
	}
	if got := clusters(t, c); got[string(tokens[0])] == types.ClusterStateTerminated {
		t.Error("a run ended the cluster that others share")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	cfg, _ := serve(t)
	e, _ := open(t, cfg)
	for _, c := range []struct{ api, args, name, want string }{
		{"createCluster", `{"Name":"x","Instances":{"KeepJobFlowAliveWhenNoSteps":true},"Steps":[{}]}`, "States.Runtime", "takes no Steps"},
		{"createCluster", `{"Name":"x","Instances":{}}`, "States.Runtime", "KeepJobFlowAliveWhenNoSteps true"},
		{"createCluster.sync", `{"Nmae":"x"}`, "States.Runtime", `unknown field "Nmae"`},
		{"createCluster.sync", `{"Name":"x","Instances":{"KeepJobFlowAliveWhenNoSteps":true}}`, "EMR.AmazonElasticMapReduceException", "Error Code: ValidationException"},
		{"addStep.sync", stepJSON("j-NOSUCH", "true"), "EMR.AmazonElasticMapReduceException", "Error Code: "},
	} {
		_, err := task(t, e, c.api).Start(t.Context(), request("x", 1, c.args, nil))
		if flow.Name(err) != c.name && !(c.api == "addStep.sync" && strings.HasPrefix(flow.Name(err), "EMR.")) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s %s: %s: %v", c.api, c.args, flow.Name(err), err)
		}
	}
	for _, api := range []string{"createCluster.waitForTaskToken", "cancelStep.sync", "runJobFlow"} {
		if _, _, ok := e.Task(emr.Prefix + api); ok {
			t.Errorf("%s is done", api)
		}
	}
}

func TestTraceback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ log, want string }{
		{"24/01/01 00:00:00 INFO x\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nValueError: bad\n24/01/01 00:00:01 INFO ShutdownHookManager: bye\n", "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nValueError: bad"},
		{"Traceback (most recent call last):\n  File \"a\"\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b\"\nRuntimeError: y\n", "Traceback (most recent call last):\n  File \"b\"\nRuntimeError: y"},
		{"Exception in thread \"main\" org.apache.spark.SparkException: Job aborted\n\tat x.y.Z(A.java:1)\nCaused by: java.io.FileNotFoundException: no file\n\tat a.b(C.java)\n", "java.io.FileNotFoundException: no file"},
		{"all is well\n", ""},
	} {
		if got := emr.Traceback(c.log); got != c.want {
			t.Errorf("%q: %q, want %q", c.log, got, c.want)
		}
	}
}
