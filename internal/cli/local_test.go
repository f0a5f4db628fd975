package cli

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// TestLocal is tidemill local as a process: it tells what happens, at the time of its clock,
// and ends well by Ctrl-C.
func TestLocal(t *testing.T) {
	t.Parallel()
	c := process(t, t.TempDir(), nil, "local", "--memory", "--addr", "127.0.0.1:0", "--emr-pace", "instant", "--clock", "2030-01-02T03:04:05Z", "--calls", "--json")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) //nolint:errcheck // it has ended
	lines := bufio.NewScanner(out)
	read := func() map[string]any {
		if !lines.Scan() {
			t.Fatalf("no further line: %v", lines.Err())
		}
		var v map[string]any
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		return v
	}
	url, _ := read()["url"].(string) //nolint:errcheck // an empty one fails below
	res, err := http.Get(url + "/_tidemill/info")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	var info struct {
		S3   struct{ Root string }
		Time time.Time
	}
	if err := json.NewDecoder(res.Body).Decode(&info); err != nil || info.Time.Year() != 2030 {
		t.Errorf("%+v, %v", info, err)
	}
	if i, err := os.Stat(info.S3.Root); err != nil || !i.IsDir() {
		t.Errorf("the folder %s: %v", info.S3.Root, err)
	}
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := awsemr.NewFromConfig(cfg).RunJobFlow(t.Context(), &awsemr.RunJobFlowInput{
		Name: aws.String("orders"), ReleaseLabel: aws.String("emr-7.13.0"), ServiceRole: aws.String("s"), JobFlowRole: aws.String("j"),
		Instances: &types.JobFlowInstancesConfig{MasterInstanceType: aws.String("m5.xlarge"), InstanceCount: aws.Int32(1)},
		Steps:     []types.StepConfig{{Name: aws.String("day"), HadoopJarStep: &types.HadoopJarStepConfig{Jar: aws.String("command-runner.jar"), Args: []string{"true"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) == 0 || got[len(got)-1] != "cluster orders TERMINATED" {
		v := read()
		switch v["event"] {
		case "call":
			got = append(got, strings.Join([]string{"call", v["service"].(string), v["what"].(string)}, " ")) //nolint:errcheck // a panic fails too
		case "cluster":
			got = append(got, strings.Join([]string{"cluster", v["name"].(string), v["state"].(string)}, " ")) //nolint:errcheck // a panic fails too
		case "step":
			got = append(got, strings.Join([]string{"step", v["step_name"].(string), v["state"].(string)}, " ")) //nolint:errcheck // a panic fails too
		}
		if at, ok := v["time"].(string); !ok || !strings.HasPrefix(at, "2030-01-02T03:0") {
			t.Errorf("%v", v)
		}
	}
	// The call's own line comes when it is answered, which the step's need not wait for.
	calls := 0
	got, calls = without(got, "call elasticmapreduce RunJobFlow")
	want := []string{
		"call _tidemill GET /_tidemill/info", "cluster orders STARTING", "step day PENDING", "cluster orders BOOTSTRAPPING", "cluster orders RUNNING",
		"step day RUNNING", "step day COMPLETED", "cluster orders TERMINATING", "cluster orders TERMINATED",
	}
	if d := cmp.Diff(want, got); d != "" || calls != 1 {
		t.Errorf("%d calls, %s", calls, d)
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { //nolint:revive // to its end
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func without(list []string, what string) (out []string, n int) {
	for _, s := range list {
		if s == what {
			n++
			continue
		}
		out = append(out, s)
	}
	return out, n
}

// An attempt that another process began has no age that is known here.
func TestProgressOfAnothersAttempt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for want, v := range map[string]*stepView{"step s-1 running  2s": {begun: now.Add(-2 * time.Second)}, "step s-1 running": {}} {
		if got := describe(flow.Progress{Doing: "step s-1 running"}, v.since(now)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
