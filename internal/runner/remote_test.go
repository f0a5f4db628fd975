package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/runner"
)

// cluster is a task whose work goes on until it is stopped.
type cluster struct {
	mu      sync.Mutex
	begun   map[string]flow.Token
	stopped []flow.Token
}

func (c *cluster) Start(_ context.Context, r flow.Request) (flow.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := flow.Token("j-" + r.Key)
	c.begun[r.Key] = t
	fmt.Fprintln(r.Log, "began", t) //nolint:errcheck // a test
	return t, nil
}

func (c *cluster) Wait(ctx context.Context, r flow.Request, _ flow.Token) (json.RawMessage, error) {
	if r.State == "short" {
		return json.RawMessage(`{}`), nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (c *cluster) Stop(_ context.Context, t flow.Token) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = append(c.stopped, t)
	return nil
}

func (c *cluster) Submitted(t flow.Token) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"Id":%q}`, t))
}

func (c *cluster) Find(_ context.Context, r flow.Request) (flow.Token, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.begun[r.Key]
	return t, ok, nil
}

func (c *cluster) config(j runner.Journal) runner.Config {
	return runner.Config{Journal: j, Work: func(string) (runner.Work, bool) { return runner.Work{Task: c}, true }, Owner: "p1", Alive: func(string) bool { return false }, Now: time.Now}
}

type logs struct {
	mu   sync.Mutex
	text map[string]string
}

type logFile struct {
	l    *logs
	name string
}

func (f logFile) Write(p []byte) (int, error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	f.l.text[f.name] += string(p)
	return len(p), nil
}

func (logFile) Close() error { return nil }

// A task that outlives the process has a log, its submission stands in the history once
// whoever drives it, and a run that no longer waits for it stops it.
func TestRemote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := machineText(`"short":`+task("remote", `"Next":"long"`)+`,"long":`+task("remote", `"TimeoutSeconds":60,"Catch":[{"ErrorEquals":["States.Timeout"],"Next":"over"}],"End":true`)+`,"over":{"Type":"Fail","Error":"Late"}`, "short")
		j, c, l := newMemory(), &cluster{begun: map[string]flow.Token{}}, &logs{text: map[string]string{}}
		cfg := c.config(j)
		cfg.Attempt = func(run, state, item string, attempt int) (io.WriteCloser, error) {
			return logFile{l, fmt.Sprintf("%s/%s%s/%d", run, state, item, attempt)}, nil
		}
		run, _, err := j.Create(t.Context(), newRun(text))
		if err != nil {
			t.Fatal(err)
		}
		// The first process ends while the task is at work: the task goes on.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		if _, err := runner.New(cfg).Drive(ctx, run); err == nil {
			t.Fatal("the run ended")
		}
		if len(c.stopped) > 0 {
			t.Errorf("a process that ended stopped %v", c.stopped)
		}
		cfg.Owner = "p2"
		res, err := runner.New(cfg).Drive(t.Context(), run)
		if err != nil || res.Status != machine.Failed || res.Error != "Late" {
			t.Fatalf("%v %v", res, err)
		}
		if len(c.stopped) != 1 || c.stopped[0] != "j-r/long/1" || len(c.begun) != 2 {
			t.Errorf("begun %v, stopped %v", c.begun, c.stopped)
		}
		if got := l.text["r/long/1"]; got != "began j-r/long/1\n" {
			t.Errorf("the log is %q", got)
		}
		events, _, err := j.Events(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, e := range events {
			if strings.HasPrefix(e.Type, "Task") && !strings.HasPrefix(e.Type, "TaskState") {
				types = append(types, strings.TrimPrefix(e.Type, "Task"))
			}
			if e.Type == "TaskSubmitted" && !strings.HasPrefix(e.Details.Output, `{"Id":"j-r/`) {
				t.Errorf("submitted: %q", e.Details.Output)
			}
		}
		if got := strings.Join(types, " "); got != "Scheduled Started Submitted Succeeded Scheduled Started Submitted TimedOut" {
			t.Errorf("events %s", got)
		}
	})
}

// A run that is ended from outside has its work stopped, also where its process died before
// it could note the work's token.
func TestStopEndsRemoteWork(t *testing.T) {
	t.Parallel()
	for _, noted := range []bool{true, false} {
		t.Run(fmt.Sprint(noted), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j, c := newMemory(), &cluster{begun: map[string]flow.Token{}}
				run, _, err := j.Create(t.Context(), newRun(machineText(`"long":`+task("remote", `"End":true`), "long")))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(10*time.Second, cancel)
				if _, err := runner.New(c.config(j)).Drive(ctx, run); err == nil {
					t.Fatal("the run ended")
				}
				if !noted {
					tok := j.runs["r"].tokens["r/long/1"]
					tok.Started, tok.Token = false, ""
					j.runs["r"].tokens["r/long/1"] = tok
				}
				cfg := c.config(j)
				cfg.Owner = "p2"
				if err := runner.New(cfg).Stop(t.Context(), run, "enough"); err != nil {
					t.Fatal(err)
				}
				if len(c.stopped) != 1 || c.stopped[0] != "j-r/long/1" {
					t.Errorf("stopped %v", c.stopped)
				}
			})
		})
	}
}

// A run that ended in a state Fail goes on from where its compiler says.
func TestRedriveFrom(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.fail["b"] = 1
	j := newMemory()
	run, _, err := j.Create(t.Context(), newRun(machineText(`"a":`+task("local", `"Next":"b"`)+`,"b":`+task("local", `"Catch":[{"ErrorEquals":["States.ALL"],"Output":"{% $states.input %}","Next":"f"}],"End":true`)+`,"f":{"Type":"Fail","Error":"E"}`, "a")))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := runner.New(config(j, w, "p1")).Drive(t.Context(), run); err != nil || res.Error != "E" {
		t.Fatalf("%v %v", res, err)
	}
	run.From = "b"
	res, err := runner.New(config(j, w, "p1")).Drive(t.Context(), run)
	if err != nil || res.Status != machine.Succeeded || string(res.Output) != `"b"` {
		t.Fatalf("%s %s %v", res.Status, res.Output, err)
	}
	if w.done["a"] != 1 {
		t.Errorf("a was done %d times", w.done["a"])
	}
}
