package emr

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/google/go-cmp/cmp"
)

// TestRewrite takes out of command lines what is of a cluster, and nothing else.
func TestRewrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args, want string
		cluster    bool
		mb         int
	}{
		"plain":     {args: "job.py --master x", want: "job.py --master x", mb: 1024 + overheadMB},
		"placed":    {args: "--master yarn --deploy-mode cluster --num-executors 4 --executor-memory 8g --queue q s3://b/job.py a", want: "s3://b/job.py a", cluster: true, mb: 1024 + overheadMB},
		"joined":    {args: "--master=yarn --deploy-mode=client --driver-memory=2g job.py", want: "--driver-memory 2g job.py", mb: 2048 + overheadMB},
		"conf":      {args: "--conf spark.master=yarn --conf spark.submit.deployMode=cluster -c spark.driver.memory=512m --conf a=b=c --class X --verbose job.jar", want: "--class X --verbose job.jar", cluster: true, mb: 512 + overheadMB},
		"files":     {args: "--py-files s3://b/a.zip,s3://b/b.py --files f --jars j --packages p job.py -h", want: "--py-files s3://b/a.zip,s3://b/b.py --files f --jars j --packages p job.py -h", mb: 1024 + overheadMB},
		"unended":   {args: "--conf", want: "--conf", mb: 1024 + overheadMB},
		"version":   {args: "--version", want: "--version", mb: 1024 + overheadMB},
		"no memory": {args: "--driver-memory lots job.py", want: "--driver-memory lots job.py", mb: 1024 + overheadMB},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := (&submitConfig{}).rewrite(strings.Fields(c.args))
			if got := strings.Join(r.rest, " "); got != c.want || r.cluster != c.cluster || r.memoryMB(nil) != c.mb {
				t.Errorf("got %s, cluster %v, %d MB", got, r.cluster, r.memoryMB(nil))
			}
		})
	}
	r := (&submitConfig{}).rewrite(strings.Fields("--conf a=b=c --conf spark.master=yarn job.py"))
	want := []string{"--master", "local[2]", "--deploy-mode", "client", "--conf", "a=b=c", "--conf", "spark.driver.bindAddress=127.0.0.1", "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.hadoop.x=y", "--conf", "spark.ui.enabled=false", "--conf", "spark.ui.showConsoleProgress=false", "job.py"}
	if d := cmp.Diff(want, r.argv(2, map[string]string{"spark.hadoop.x": "y"})); d != "" {
		t.Error(d)
	}
}

// TestMemory lets drivers run beside each other only as far as there is memory for them.
func TestMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fake, marks := filepath.Join(dir, "spark-submit"), filepath.Join(dir, "marks")
	// It takes a place, counts who is there, and leaves after a while.
	write := func(file, text string) {
		if err := executable(file, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	write(fake, "#!/bin/sh\ntouch "+marks+"/in.$$\nls "+marks+" | wc -l\nsleep 0.2\nrm "+marks+"/in.$$\n")
	for _, d := range []string{marks, filepath.Join(dir, "s3"), filepath.Join(dir, "slots")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// A driver of 1 GB takes six slots: two of them fit, not three.
	text, err := json.Marshal(submitConfig{Program: fake, S3: filepath.Join(dir, "s3"), Cores: 1, Slots: filepath.Join(dir, "slots"), SlotCount: 13, Used: filepath.Join(dir, "used")})
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "config.json"), string(text))
	var all sync.WaitGroup
	said := make([]string, 6)
	for i := range said {
		all.Add(1)
		go func() {
			defer all.Done()
			out, err := exec.CommandContext(t.Context(), os.Args[0], submitArg, filepath.Join(dir, "config.json"), "job.py").Output() //nolint:gosec // ourselves
			if err != nil {
				t.Error(err)
			}
			said[i] = strings.TrimSpace(string(out))
		}()
	}
	all.Wait()
	for _, s := range said {
		if s != "1" && s != "2" {
			t.Errorf("together were %v", said)
			break
		}
	}
}

// TestExported makes variables as the shell of a node does.
func TestExported(t *testing.T) {
	t.Parallel()
	_, list := settings([]types.Configuration{{Classification: ptr("spark-env"), Configurations: []types.Configuration{{Classification: ptr("export"), Properties: map[string]string{
		"A": "$HOME/jobs/bin/python", "B": "${A}:$NONE:plain", "HOME": "/else",
	}}}}})
	want := []string{"A=/home/hadoop/jobs/bin/python", "B=/home/hadoop/jobs/bin/python::plain", "HOME=/else"}
	if d := cmp.Diff(want, exported(list, []string{"PATH=/bin", "HOME=/home/hadoop"})); d != "" {
		t.Error(d)
	}
}
