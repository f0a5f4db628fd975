package awslocal

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal/emr"
)

// emrClient serves and returns clients of EMR and S3 there.
func emrClient(t *testing.T, c Config) (*awsemr.Client, *awss3.Client, string) {
	t.Helper()
	if c.Dir == "" {
		c.Memory = true
	}
	if c.Pace == "" {
		c.Pace = "instant"
	}
	c.Path = "/usr/local/bin:/usr/bin:/bin"
	url, _ := start(t, c)
	s3, cfg := client(t, url, awsauth.Settings{})
	return awsemr.NewFromConfig(cfg), s3, url
}

// ask is a small cluster that stays.
func ask(change func(*awsemr.RunJobFlowInput)) *awsemr.RunJobFlowInput {
	in := &awsemr.RunJobFlowInput{
		Name: aws.String("test"), ReleaseLabel: aws.String("emr-7.13.0"), ServiceRole: aws.String("EMR_DefaultRole"), JobFlowRole: aws.String("EMR_EC2_DefaultRole"),
		Instances: &emrtypes.JobFlowInstancesConfig{KeepJobFlowAliveWhenNoSteps: aws.Bool(true), InstanceGroups: []emrtypes.InstanceGroupConfig{
			{InstanceRole: emrtypes.InstanceRoleTypeMaster, InstanceType: aws.String("m5.xlarge"), InstanceCount: aws.Int32(1)},
		}},
	}
	if change != nil {
		change(in)
	}
	return in
}

// command is a step that runs a program, and is carried on after if it fails.
func command(name string, argv ...string) emrtypes.StepConfig {
	return emrtypes.StepConfig{Name: &name, ActionOnFailure: emrtypes.ActionOnFailureContinue, HadoopJarStep: &emrtypes.HadoopJarStepConfig{Jar: aws.String("command-runner.jar"), Args: argv}}
}

func shell(name, script string) emrtypes.StepConfig { return command(name, "bash", "-c", script) }

func run(t *testing.T, c *awsemr.Client, in *awsemr.RunJobFlowInput) string {
	t.Helper()
	out, err := c.RunJobFlow(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.JobFlowId
}

// eventually asks until ok, or fails.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	await(t, 30*time.Second, what, ok)
}

func await(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func clusterState(t *testing.T, c *awsemr.Client, id string) *emrtypes.ClusterStatus {
	t.Helper()
	out, err := c.DescribeCluster(t.Context(), &awsemr.DescribeClusterInput{ClusterId: &id})
	if err != nil {
		t.Fatal(err)
	}
	return out.Cluster.Status
}

func awaitCluster(t *testing.T, c *awsemr.Client, id string, want emrtypes.ClusterState) {
	t.Helper()
	eventually(t, "cluster "+string(want), func() bool { return clusterState(t, c, id).State == want })
}

func stepStatus(t *testing.T, c *awsemr.Client, id, step string) *emrtypes.Step {
	t.Helper()
	out, err := c.DescribeStep(t.Context(), &awsemr.DescribeStepInput{ClusterId: &id, StepId: &step})
	if err != nil {
		t.Fatal(err)
	}
	return out.Step
}

func awaitStep(t *testing.T, c *awsemr.Client, id, step string, want emrtypes.StepState) *emrtypes.Step {
	t.Helper()
	var s *emrtypes.Step
	eventually(t, "step "+string(want), func() bool { s = stepStatus(t, c, id, step); return s.Status.State == want })
	return s
}

func unzip(t *testing.T, c *awss3.Client, bucket, key string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(get(t, c, bucket, key)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEMRSteps runs steps that succeed and fail, and reads their logs where EMR puts them.
func TestEMRSteps(t *testing.T) {
	t.Parallel()
	c, s3, _ := emrClient(t, Config{})
	makeBucket(t, s3, "logs")
	put(t, s3, "logs", "code/hello.sh", "#!/bin/bash\necho hello $1 from $AWS_REGION\n")
	id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) { in.LogUri = aws.String("s3://logs/emr") }))
	awaitCluster(t, c, id, emrtypes.ClusterStateWaiting)
	script := shell("script", "")
	script.HadoopJarStep = &emrtypes.HadoopJarStepConfig{Jar: aws.String("s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar"), Args: []string{"s3://logs/code/hello.sh", "you"}}
	added, err := c.AddJobFlowSteps(t.Context(), &awsemr.AddJobFlowStepsInput{JobFlowId: &id, Steps: []emrtypes.StepConfig{
		shell("fine", "echo out; echo err >&2"), shell("bad", "echo 'ValueError: no such day' >&2; exit 3"), script, shell("missing", "exec nonesuch"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	ids := added.StepIds
	awaitStep(t, c, id, ids[0], emrtypes.StepStateCompleted)
	bad := awaitStep(t, c, id, ids[1], emrtypes.StepStateFailed)
	if d := bad.Status.FailureDetails; d == nil || *d.Message != "ValueError: no such day" || *d.LogFile != "s3://logs/emr/"+id+"/steps/"+ids[1]+"/stderr.gz" {
		t.Errorf("details %+v", bad.Status.FailureDetails)
	}
	awaitStep(t, c, id, ids[2], emrtypes.StepStateCompleted)
	awaitStep(t, c, id, ids[3], emrtypes.StepStateFailed)
	folder := "emr/" + id + "/steps/"
	if got := unzip(t, s3, "logs", folder+ids[0]+"/stdout.gz"); got != "out\n" {
		t.Errorf("stdout %q", got)
	}
	if got := unzip(t, s3, "logs", folder+ids[0]+"/stderr.gz"); got != "err\nCommand exiting with ret '0'\n" {
		t.Errorf("stderr %q", got)
	}
	if got := unzip(t, s3, "logs", folder+ids[1]+"/controller.gz"); !strings.Contains(got, "WARN Step failed with exitCode 3") {
		t.Errorf("controller %q", got)
	}
	if got := unzip(t, s3, "logs", folder+ids[2]+"/stdout.gz"); got != "hello you from us-east-1\n" {
		t.Errorf("script %q", got)
	}
	status := clusterState(t, c, id)
	if status.State != emrtypes.ClusterStateWaiting || *status.StateChangeReason.Message != "Cluster ready after last step failed." {
		t.Errorf("status %v %v", status.State, *status.StateChangeReason.Message)
	}
}

// apiError is the type and text of an error of AWS's.
// TestEMRCause tells why a step failed from the log that says it, and of files what S3 calls them.
func TestEMRCause(t *testing.T) {
	t.Parallel()
	c, s3, url := emrClient(t, Config{})
	makeBucket(t, s3, "logs")
	var info struct{ S3 struct{ Root string } }
	resp, err := http.Get(url + "/_tidemill/info")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string][2]string{
		"echo 'usage: x'; echo 'x: error: no --bucket'; exit 2":                                                {"x: error: no --bucket", "stdout.gz"},
		"echo hello; echo 'there is none' >&2; exit 1":                                                         {"there is none", "stderr.gz"},
		"echo 'ValueError: no such day'; echo 'at last' >&2; exit 1":                                           {"ValueError: no such day", "stdout.gz"},
		"echo 'java.io.FileNotFoundException: File " + info.S3.Root + "/logs/x.py does not exist' >&2; exit 1": {"java.io.FileNotFoundException: File s3://logs/x.py does not exist", "stderr.gz"},
	} {
		id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) {
			in.LogUri, in.Steps = aws.String("s3://logs/"), []emrtypes.StepConfig{shell("x", script)}
		}))
		list, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &id})
		if err != nil {
			t.Fatal(err)
		}
		d := awaitStep(t, c, id, *list.Steps[0].Id, emrtypes.StepStateFailed).Status.FailureDetails
		if d == nil || aws.ToString(d.Message) != want[0] || !strings.HasSuffix(aws.ToString(d.LogFile), want[1]) {
			t.Errorf("%s: %+v", script, d)
		}
	}
}

func apiError(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return "no error of the service"
}

// TestEMRFaults checks the types and texts of faults.
func TestEMRFaults(t *testing.T) {
	t.Parallel()
	c, _, _ := emrClient(t, Config{})
	id := run(t, c, ask(nil))
	for want, f := range map[string]func() error{
		"InvalidRequestException: Cluster id 'j-NONE' is not valid.": func() error {
			_, err := c.DescribeCluster(t.Context(), &awsemr.DescribeClusterInput{ClusterId: aws.String("j-NONE")})
			return err
		},
		"InvalidRequestException: Step id 's-NONE' is not valid.": func() error {
			_, err := c.DescribeStep(t.Context(), &awsemr.DescribeStepInput{ClusterId: &id, StepId: aws.String("s-NONE")})
			return err
		},
		"ValidationException: Specified job flow ID does not exist": func() error {
			_, err := c.TerminateJobFlows(t.Context(), &awsemr.TerminateJobFlowsInput{JobFlowIds: []string{"j-NONE"}})
			return err
		},
		"ValidationException: Specified job flow ID not valid": func() error {
			_, err := c.TerminateJobFlows(t.Context(), &awsemr.TerminateJobFlowsInput{JobFlowIds: []string{"nonsense"}})
			return err
		},
		"ValidationException: The supplied release label is invalid: emr-99.0.0.": func() error {
			_, err := c.RunJobFlow(t.Context(), ask(func(in *awsemr.RunJobFlowInput) { in.ReleaseLabel = aws.String("emr-99.0.0") }))
			return err
		},
		"ValidationException: Action on failure 'CANCEL_AND_WAIT' is invalid.": func() error {
			_, err := c.RunJobFlow(t.Context(), ask(func(in *awsemr.RunJobFlowInput) {
				s := shell("s", "true")
				s.ActionOnFailure = emrtypes.ActionOnFailureCancelAndWait
				in.StepConcurrencyLevel, in.Steps = aws.Int32(2), []emrtypes.StepConfig{s}
			}))
			return err
		},
		"ValidationException: CreateStudio is not built into tidemill local: it has no studios, notebooks, sessions or application interfaces.": func() error {
			_, err := c.CreateStudio(t.Context(), &awsemr.CreateStudioInput{AuthMode: "IAM", DefaultS3Location: aws.String("s"), EngineSecurityGroupId: aws.String("s"), Name: aws.String("s"), ServiceRole: aws.String("s"), SubnetIds: []string{"s"}, VpcId: aws.String("s"), WorkspaceSecurityGroupId: aws.String("s")})
			return err
		},
	} {
		if got := apiError(f()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestEMRSignature refuses what is signed with another secret, or not at all.
func TestEMRSignature(t *testing.T) {
	t.Parallel()
	_, _, at := emrClient(t, Config{})
	_, cfg := client(t, at, awsauth.Settings{})
	wrong := awsemr.NewFromConfig(cfg, func(o *awsemr.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "wrong"}, nil
		})
	})
	_, err := wrong.ListClusters(t.Context(), &awsemr.ListClustersInput{})
	if got := apiError(err); !strings.HasPrefix(got, "InvalidSignatureException: ") {
		t.Errorf("got %s", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "ElasticMapReduce.ListClusters")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %s", res.Status)
	}
}

func advance(t *testing.T, at, by string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/_tidemill/clock?advance="+url.QueryEscape(by), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
}

// TestEMRIdle moves the time until the auto-termination policy acts.
func TestEMRIdle(t *testing.T) {
	t.Parallel()
	c, _, at := emrClient(t, Config{Pace: "real"})
	id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) {
		in.AutoTerminationPolicy = &emrtypes.AutoTerminationPolicy{IdleTimeout: aws.Int64(3600)}
	}))
	if got := clusterState(t, c, id).State; got != emrtypes.ClusterStateStarting {
		t.Errorf("at first it is %s", got)
	}
	advance(t, at, "5m")
	awaitCluster(t, c, id, emrtypes.ClusterStateBootstrapping)
	advance(t, at, "10m")
	awaitCluster(t, c, id, emrtypes.ClusterStateWaiting)
	advance(t, at, "40m")
	if got := clusterState(t, c, id).State; got != emrtypes.ClusterStateWaiting {
		t.Errorf("before the hour is over it is %s", got)
	}
	advance(t, at, "25m")
	eventually(t, "it ends", func() bool {
		s := clusterState(t, c, id).State
		return s == emrtypes.ClusterStateTerminating || s == emrtypes.ClusterStateTerminated
	})
	advance(t, at, "2m")
	awaitCluster(t, c, id, emrtypes.ClusterStateTerminated)
}

// lives tells whether there is a process that is not only left to be waited for.
func lives(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestEMRCancel cancels a step that listens to the signal, and one that does not, whose child
// left its group.
func TestEMRCancel(t *testing.T) {
	t.Parallel()
	c, _, _ := emrClient(t, Config{})
	dir := t.TempDir()
	id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) {
		in.StepConcurrencyLevel = aws.Int32(2)
		in.Steps = []emrtypes.StepConfig{
			shell("polite", "trap 'echo bye; exit 0' TERM; touch "+dir+"/1; sleep 300 & wait"),
			shell("deaf", "trap '' TERM; set -m; touch "+dir+"/2; bash -c 'echo $$ > "+dir+"/pid; exec sleep 300' & wait"),
			shell("pending", "true"),
		}
	}))
	for _, f := range []string{"1", "2", "pid"} {
		eventually(t, "they run", func() bool {
			i, err := os.Stat(filepath.Join(dir, f))
			return err == nil && (f != "pid" || i.Size() > 0)
		})
	}
	list, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &id})
	if err != nil {
		t.Fatal(err)
	}
	pending, deaf, polite := *list.Steps[0].Id, *list.Steps[1].Id, *list.Steps[2].Id
	if *list.Steps[0].Name != "pending" {
		t.Errorf("the newest is not first: %s", *list.Steps[0].Name)
	}
	out, err := c.CancelSteps(t.Context(), &awsemr.CancelStepsInput{ClusterId: &id, StepIds: []string{polite, deaf, pending}})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range out.CancelStepsInfoList {
		if i.Status != emrtypes.CancelStepsRequestStatusSubmitted {
			t.Errorf("%+v", i)
		}
	}
	awaitStep(t, c, id, pending, emrtypes.StepStateCancelled)
	awaitStep(t, c, id, polite, emrtypes.StepStateCancelled)
	if got := stepStatus(t, c, id, deaf).Status.State; got != emrtypes.StepStateCancelPending {
		t.Errorf("the deaf one is %s", got)
	}
	if _, err := c.CancelSteps(t.Context(), &awsemr.CancelStepsInput{ClusterId: &id, StepIds: []string{deaf}, StepCancellationOption: emrtypes.StepCancellationOptionTerminateProcess}); err != nil {
		t.Fatal(err)
	}
	awaitStep(t, c, id, deaf, emrtypes.StepStateCancelled)
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if lives(strings.TrimSpace(string(pid))) {
		t.Errorf("process %s lives", pid)
	}
	awaitCluster(t, c, id, emrtypes.ClusterStateWaiting)
}

// TestEMRKilled kills the server while a step runs: the step's processes, wherever they went,
// end with it, and the step has failed when the server is back.
func TestEMRKilled(t *testing.T) {
	t.Parallel()
	dir, marks := t.TempDir(), t.TempDir()
	cmd, url := serving(t, dir)
	_, cfg := client(t, url, awsauth.Settings{})
	c := awsemr.NewFromConfig(cfg)
	id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) {
		in.Steps = []emrtypes.StepConfig{shell("long", "timeout 300 setsid bash -c 'trap \"\" TERM HUP; echo $$ > "+marks+"/pid; sleep 300'"), shell("next", "true")}
	}))
	var pid string
	eventually(t, "it runs", func() bool {
		text, err := os.ReadFile(filepath.Join(marks, "pid"))
		pid = strings.TrimSpace(string(text))
		return err == nil && pid != ""
	})
	if !lives(pid) {
		t.Fatalf("process %s does not live", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() //nolint:errcheck // killed
	eventually(t, "the step's process ends", func() bool { return !lives(pid) })
	c, _, _ = emrClient(t, Config{Dir: dir})
	list, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &id})
	if err != nil {
		t.Fatal(err)
	}
	if s := list.Steps[1].Status; s.State != emrtypes.StepStateFailed || *s.StateChangeReason.Message != "tidemill local ended while the step ran" {
		t.Errorf("the step that ran: %+v", s)
	}
	awaitStep(t, c, id, *list.Steps[0].Id, emrtypes.StepStateCompleted)
}

// TestEMRFaultScript plays faults that a client meets.
func TestEMRFaultScript(t *testing.T) {
	t.Parallel()
	faults, err := emr.ParseFaults("faults.yaml", []byte(`
- { fault: throttle, operation: DescribeStep, count: 1 }
- { fault: error, operation: ListSteps, count: 1 }
- { fault: lost_answer, operation: RunJobFlow, cluster: twice }
- { fault: step_fails, step: told, message: "RuntimeError: as told", exit: 4 }
- { fault: step_lost, step: lost, after: 50ms, message: gone }
- { fault: step_hangs, step: hangs }
- { fault: bootstrap, cluster: unlucky }
- { fault: spot_loss, cluster: lost, after: 50ms }
`))
	if err != nil {
		t.Fatal(err)
	}
	c, s3, _ := emrClient(t, Config{Faults: faults})
	makeBucket(t, s3, "logs")
	id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) {
		in.LogUri = aws.String("s3://logs/")
		in.StepConcurrencyLevel = aws.Int32(5)
		in.Steps = []emrtypes.StepConfig{shell("told", "true"), shell("lost", "sleep 300"), shell("hangs", "true")}
	}))
	once := func(o *awsemr.Options) { o.RetryMaxAttempts = 1 }
	if _, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &id}, once); !strings.HasPrefix(apiError(err), "InternalServerException") {
		t.Errorf("the first ListSteps: %v", err)
	}
	list, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &id}, once)
	if err != nil {
		t.Fatal(err)
	}
	hangs, lost, told := *list.Steps[0].Id, *list.Steps[1].Id, *list.Steps[2].Id
	if _, err := c.DescribeStep(t.Context(), &awsemr.DescribeStepInput{ClusterId: &id, StepId: &told}, once); apiError(err) != "ThrottlingException: Rate exceeded" {
		t.Errorf("the first DescribeStep: %v", err)
	}
	if s := awaitStep(t, c, id, told, emrtypes.StepStateFailed); *s.Status.FailureDetails.Message != "RuntimeError: as told" {
		t.Errorf("%+v", s.Status.FailureDetails)
	}
	if s := awaitStep(t, c, id, lost, emrtypes.StepStateFailed); s.Status.FailureDetails != nil || *s.Status.StateChangeReason.Message != "gone" {
		t.Errorf("%+v", s.Status)
	}
	if s := stepStatus(t, c, id, hangs); s.Status.State != emrtypes.StepStateRunning {
		t.Errorf("it hangs as %s", s.Status.State)
	}
	if _, err := c.CancelSteps(t.Context(), &awsemr.CancelStepsInput{ClusterId: &id, StepIds: []string{hangs}}); err != nil {
		t.Fatal(err)
	}
	awaitStep(t, c, id, hangs, emrtypes.StepStateCancelled)
	for name, want := range map[string]string{"unlucky": "BOOTSTRAP_FAILURE", "lost": "INSTANCE_FAILURE"} {
		id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) { in.Name = &name }))
		awaitCluster(t, c, id, emrtypes.ClusterStateTerminatedWithErrors)
		if got := clusterState(t, c, id); string(got.StateChangeReason.Code) != want || len(got.ErrorDetails) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := c.RunJobFlow(t.Context(), ask(func(in *awsemr.RunJobFlowInput) { in.Name = aws.String("twice") }), once); err == nil {
		t.Error("an answer came")
	}
	all, err := c.ListClusters(t.Context(), &awsemr.ListClustersInput{})
	if err != nil || *all.Clusters[0].Name != "twice" {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestEMRBootstrap runs bootstrap actions, whose logs and failure are EMR's.
func TestEMRBootstrap(t *testing.T) {
	t.Parallel()
	c, s3, _ := emrClient(t, Config{})
	makeBucket(t, s3, "logs")
	put(t, s3, "logs", "boot.sh", "#!/bin/bash\necho booting $1\nsudo -E true\ntest $1 = well\n")
	boot := func(word string) *awsemr.RunJobFlowInput {
		return ask(func(in *awsemr.RunJobFlowInput) {
			in.LogUri = aws.String("s3://logs/emr/")
			in.BootstrapActions = []emrtypes.BootstrapActionConfig{{Name: aws.String("boot"), ScriptBootstrapAction: &emrtypes.ScriptBootstrapActionConfig{Path: aws.String("s3://logs/boot.sh"), Args: []string{word}}}}
		})
	}
	well, badly := run(t, c, boot("well")), run(t, c, boot("badly"))
	awaitCluster(t, c, well, emrtypes.ClusterStateWaiting)
	awaitCluster(t, c, badly, emrtypes.ClusterStateTerminatedWithErrors)
	nodes, err := c.ListInstances(t.Context(), &awsemr.ListInstancesInput{ClusterId: &badly})
	if err != nil {
		t.Fatal(err)
	}
	master := *nodes.Instances[0].Ec2InstanceId
	if got := *clusterState(t, c, badly).StateChangeReason.Message; got != "On the master instance ("+master+"), bootstrap action 1 returned a non-zero return code" {
		t.Error(got)
	}
	if got := unzip(t, s3, "logs", "emr/"+badly+"/node/"+master+"/bootstrap-actions/1/stdout.gz"); got != "booting badly\n" {
		t.Error(got)
	}
}
