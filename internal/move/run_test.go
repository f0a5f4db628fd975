package move

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

func (p *project) run(ctx context.Context, script string, change ...func(*flow.RunJob)) (string, error) {
	p.t.Helper()
	job := flow.RunJob{Argv: []string{"/bin/sh", "-c", script}}
	for _, f := range change {
		f(&job)
	}
	return p.do(ctx, "run", job)
}

func TestRun(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.write("sub/tool.sh", "#!/bin/sh\necho from tool \"$1\"\n")
	if err := os.Chmod(filepath.Join(p.dir, "sub/tool.sh"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for _, c := range []struct {
		script, out, log string
		change           func(*flow.RunJob)
	}{
		{script: "echo hello; echo oops >&2", out: `{"exit":0}`, log: "hello"},
		{script: "echo oops >&2", out: `{"exit":0}`, log: "oops"},
		{script: `echo a; echo '{"rows": 3}'; echo`, out: `{"rows": 3}`, log: "rows"},
		{script: `printf '[1,2]'`, out: `[1,2]`},
		{script: `echo "$A-$B"`, out: `{"exit":0}`, log: "1-2", change: func(j *flow.RunJob) { j.Env = map[string]string{"A": "1", "B": "2"} }},
		{script: "pwd", out: `{"exit":0}`, log: p.dir + "\n"},
		{script: "pwd", out: `{"exit":0}`, log: p.dir + "/sub\n", change: func(j *flow.RunJob) { j.Cwd = "sub" }},
		{out: `{"exit":0}`, log: "from tool x", change: func(j *flow.RunJob) { j.Argv = []string{"sub/tool.sh", "x"} }},
		{out: `{"exit":0}`, log: "from tool y", change: func(j *flow.RunJob) { j.Argv, j.Cwd = []string{"./tool.sh", "y"}, "sub" }},
		{out: `{"exit":0}`, log: "z", change: func(j *flow.RunJob) { j.Argv = []string{"echo", "z"} }},
	} {
		change := c.change
		if change == nil {
			change = func(*flow.RunJob) {}
		}
		out, err := p.run(t.Context(), c.script, change)
		if err != nil || out != c.out || !strings.Contains(p.log.String(), c.log) {
			t.Errorf("%s: %s, %v, log %q", c.script, out, err, p.log.String())
		}
	}
}

func TestRunFails(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.write("plain", "text")
	_, err := p.run(t.Context(), `for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; echo out; exit 3`)
	if err == nil || !strings.Contains(err.Error(), "exit status 3\nline 3\n") || !strings.HasSuffix(err.Error(), "line 7") || flow.Name(err) != "States.TaskFailed" {
		t.Errorf("got %v, %s", err, flow.Name(err))
	}
	_, err = p.run(t.Context(), `kill -9 $$`)
	if err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("got %v", err)
	}
	for _, c := range []struct {
		argv []string
		cwd  string
		kind flow.Kind
	}{
		{nil, "", flow.Invalid}, {[]string{""}, "", flow.Invalid}, {[]string{"no-such-program-here"}, "", flow.NotFound},
		{[]string{"./none"}, "", flow.NotFound}, {[]string{"./plain"}, "", flow.Denied}, {[]string{"true"}, "none", flow.Invalid},
	} {
		_, err := p.run(t.Context(), "", func(j *flow.RunJob) { j.Argv, j.Cwd = c.argv, c.cwd })
		if flow.KindOf(err) != c.kind {
			t.Errorf("%v: %v, kind %v", c.argv, err, flow.KindOf(err))
		}
	}
}

// TestRunCancel: the program and what it started end, those too that do not want to.
func TestRunCancel(t *testing.T) {
	t.Parallel()
	for name, trap := range map[string]string{"willing": "", "unwilling": "trap '' TERM; "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t)
			pids := filepath.Join(p.dir, "pids")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := p.run(ctx, fmt.Sprintf("%s sleep 1000 & echo $$ $! > %s.tmp; mv %s.tmp %s; wait; sleep 1000", trap, pids, pids, pids))
				done <- err
			}()
			tick, deadline := time.NewTicker(5*time.Millisecond), time.After(10*time.Second)
			defer tick.Stop()
			var text []byte
			for text == nil {
				select {
				case <-tick.C:
					text, _ = os.ReadFile(pids) //nolint:errcheck // not there yet
				case <-deadline:
					t.Fatal("it did not start")
				}
			}
			cancel()
			select {
			case err := <-done:
				if flow.KindOf(err) != flow.Canceled {
					t.Errorf("got %v", err)
				}
			case <-deadline:
				t.Fatal("it did not end")
			}
			for _, f := range strings.Fields(string(text)) {
				pid, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				for running(pid) {
					select {
					case <-tick.C:
					case <-deadline:
						t.Fatalf("process %d goes on", pid)
					}
				}
			}
		})
	}
}

func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}
