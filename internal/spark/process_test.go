package spark

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/flow"
)

func begin(t *testing.T, script string) process {
	t.Helper()
	p := process{t.TempDir()}
	if err := p.begin(t.Context(), []string{"PATH=/usr/bin:/bin"}, "/bin/sh", "-c", script); err != nil {
		t.Fatal(err)
	}
	return p
}

func waitProcess(t *testing.T, p process) (status int, log string, told []flow.Progress, err error) {
	t.Helper()
	var out bytes.Buffer
	status, err = p.wait(t.Context(), &out, func(x flow.Progress) { told = append(told, x) })
	return status, out.String(), told, err
}

func TestProcess(t *testing.T) {
	t.Parallel()
	p := begin(t, `echo hello; printf '[Stage 3:====>    (5 + 2) / 20]\r[Stage 3:>(9 + 2) / 20][Stage 4:> (1 + 0) / 20]\r     \r' >&2; echo bye; pwd; exit 7`)
	status, log, told, err := waitProcess(t, p)
	if err != nil || status != 7 || !strings.HasPrefix(log, "hello\n") || !strings.Contains(log, "bye\n") || strings.Contains(log, "Stage") || !strings.Contains(log, filepath.Join(p.dir, "work")) {
		t.Errorf("%d %q %v", status, log, err)
	}
	if n := len(told); n == 0 || told[n-1].Doing != "stage 3, 4, 10 of 40 tasks" || told[n-1].Fraction != 0.25 {
		t.Errorf("progress: %+v", told)
	}
	// Who waits again hears the status, and none of the log a second time.
	if status, log, _, err := waitProcess(t, p); err != nil || status != 7 || log != "" {
		t.Errorf("again: %d %q %v", status, log, err)
	}
}

// What was begun is never begun again, however often it is asked for.
func TestProcessOnce(t *testing.T) {
	t.Parallel()
	p := begin(t, "echo x >> ../count; while [ ! -e ../go ]; do sleep 0.02; done")
	for range 3 {
		if err := p.begin(t.Context(), []string{"PATH=/usr/bin:/bin"}, "/bin/sh", "-c", "echo y >> ../count"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.file("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, _, err := waitProcess(t, p); status != 0 || err != nil {
		t.Errorf("%d %v", status, err)
	}
	if b, err := os.ReadFile(p.file("count")); string(b) != "x\n" || err != nil {
		t.Errorf("begun %q %v", b, err)
	}
}

// A stop ends grandchildren, also those that will not listen, and who waits is told.
func TestProcessStop(t *testing.T) {
	t.Parallel()
	p := begin(t, `(trap '' TERM; echo deaf; exec sleep 1000) & echo started; wait`)
	done := make(chan error, 1)
	go func() {
		_, _, _, err := waitProcess(t, p)
		done <- err
	}()
	until, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for b := []byte(nil); !bytes.Contains(b, []byte("deaf")); b, _ = os.ReadFile(p.file(logName)) { //nolint:errcheck // it comes
		select {
		case <-until.Done():
			t.Fatal("it did not start")
		case <-tick.C:
		}
	}
	pid, err := p.pid()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(until); err != nil {
		t.Fatal(err)
	}
	if groupAlive(pid) {
		t.Error("something of the group is alive")
	}
	if err := <-done; flow.KindOf(err) != flow.Canceled {
		t.Errorf("who waited: %v", err)
	}
	if err := p.stop(until); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

// A wrapper that something killed leaves no status: who waits is told, and what it had
// started does not go on unseen.
func TestProcessVanished(t *testing.T) {
	t.Parallel()
	p := begin(t, "exec sleep 1000")
	pid, err := p.pid()
	if err != nil {
		t.Fatal(err)
	}
	if _, alive := p.alive(); !alive {
		t.Error("it is not alive")
	}
	signal(pid, true)
	if _, _, _, err := waitProcess(t, p); flow.KindOf(err) != flow.Transient {
		t.Errorf("%v", err)
	}
	// Another process that has the number is not it.
	q := process{t.TempDir()}
	if err := os.MkdirAll(q.file("began"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{pidName: "1\n", startName: "long ago"} {
		if err := os.WriteFile(q.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, alive := q.alive(); alive {
		t.Error("process 1 was taken for a driver")
	}
	if err := q.stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestExited(t *testing.T) {
	t.Parallel()
	log := `10:00:00 WARN x
Traceback (most recent call last):
  File "/jobs/orders.py", line 80, in <module>
    main()
  File "/jobs/orders.py", line 70, in main
    raise ValueError("3 lines are of another day")
  File "/venv/lib/pyspark/sql/dataframe.py", line 5, in count
    return x
ValueError: 3 lines are of another day
10:00:01 WARN y
`
	err := exited(1, log, "jobs/orders.py")
	want := "run jobs/orders.py: exit status 1\nFile \"/jobs/orders.py\", line 80, in <module>\n  main()\nFile \"/jobs/orders.py\", line 70, in main\n  raise ValueError(\"3 lines are of another day\")\nValueError: 3 lines are of another day"
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%s", err)
	}
	for status, kind := range map[int]flow.Kind{1: flow.Unknown, 2: flow.NotFound, 101: flow.Invalid, 137: flow.Unknown, 143: flow.Canceled} {
		err := exited(status, "nothing\nto see", "x.py")
		if flow.KindOf(err) != kind || status > 1 && flow.HintOf(err) == "" || !strings.Contains(err.Error(), "to see") {
			t.Errorf("%d: %v %v", status, flow.KindOf(err), err)
		}
	}
}

// fakeHome makes a folder that looks like a Spark.
func fakeHome(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{"bin/spark-submit", "jars/spark-core_2.12-" + version + ".jar"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for _, f := range []string{"java", "python3"} {
		if err := os.WriteFile(filepath.Join(bin, f), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	old, now := fakeHome(t, "3.4.1"), fakeHome(t, "3.5.6")
	for _, c := range []struct {
		w    Where
		want string // found by, or in the error
	}{
		{Where{Home: old, SparkHome: now}, "spark.home"},
		{Where{SparkHome: now, Path: filepath.Join(old, "bin")}, "SPARK_HOME"},
		{Where{Path: filepath.Join(old, "bin")}, "PATH"},
		{Where{Path: filepath.Join(old, "bin"), Version: "3.5.6"}, "PATH is Spark 3.4.1, the target wants 3.5.6"},
		{Where{Home: t.TempDir()}, "has no bin/spark-submit"},
		{Where{}, "SPARK_HOME is not set"},
	} {
		c.w.Path += ":" + bin
		c.w.Cache = t.TempDir()
		h, err := Find(c.w)
		if err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(flow.HintOf(err), "tidemill spark install")) || err == nil && h.Found != c.want {
			t.Errorf("%+v: %+v %v", c.w, h, err)
		}
	}
	// Whoever wants no version takes the private environment that there is.
	cache := t.TempDir()
	if err := os.MkdirAll(filepath.Join(cache, "spark-4.0.2", "lib", "python3.11", "site-packages"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fakeHome(t, "4.0.2"), filepath.Join(cache, "spark-4.0.2", "lib", "python3.11", "site-packages", "pyspark")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cache, "spark-4.0.2", readyName), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if h, err := Find(Where{Path: bin, Cache: cache}); err != nil || h.Version != "4.0.2" {
		t.Errorf("without a version: %+v %v", h, err)
	}
	if _, err := Find(Where{Path: bin, Cache: cache, Version: "3.5.6"}); err == nil {
		t.Error("another version was taken")
	}
	_, err := Find(Where{Home: old, Path: "/nowhere"})
	if e := new(flow.Error); !errors.As(err, &e) || e.Kind != flow.NotFound {
		t.Errorf("without Python: %v", err)
	}
}

// TestPythons takes a setting's relative path as the project's, and misses one that is not there
// before Spark begins.
func TestPythons(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "python"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	task := Task{Config{Project: dir}}
	conf := map[string]string{"spark.pyspark.python": "./python", "spark.pyspark.driver.python": "python3.11", "spark.x": "./python"}
	if err := task.pythons(conf); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"spark.pyspark.python": filepath.Join(dir, "python"), "spark.pyspark.driver.python": "python3.11", "spark.x": "./python"}
	if d := cmp.Diff(want, conf); d != "" {
		t.Error(d)
	}
	err := task.pythons(map[string]string{"spark.pyspark.driver.python": ".venv/bin/python"})
	if flow.KindOf(err) != flow.NotFound || !strings.Contains(err.Error(), filepath.Join(dir, ".venv/bin/python")) || !strings.Contains(flow.HintOf(err), "python3 -m venv") {
		t.Errorf("%v (%s)", err, flow.HintOf(err))
	}
}
