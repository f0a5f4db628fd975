package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/runner"
)

// world is what lies outside the process: it outlives every crash.
type world struct {
	mu    sync.Mutex
	done  map[string]int        // successes of local tasks, by state and item
	jobs  map[string]flow.Token // remote jobs by request key
	waits int
	hang  map[string]bool // states whose task waits for its context
	fail  map[string]int  // states that fail so many times
}

func newWorld() *world {
	return &world{done: map[string]int{}, jobs: map[string]flow.Token{}, hang: map[string]bool{}, fail: map[string]int{}}
}

func (w *world) local(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	w.mu.Lock()
	if w.hang[r.State] {
		w.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	defer w.mu.Unlock()
	if w.fail[r.State] > 0 {
		w.fail[r.State]--
		return nil, &flow.Error{Op: "do " + r.State, Kind: flow.Transient, Err: errors.New("not yet")}
	}
	if r.State == "panics" {
		panic("a bug")
	}
	w.done[r.State+r.Item]++
	return json.RawMessage(fmt.Sprintf("%q", r.State+r.Item)), nil
}

// Start begins a job; the same key again begins nothing new.
func (w *world) Start(_ context.Context, r flow.Request) (flow.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t, ok := w.jobs[r.Key]; ok {
		return t, nil
	}
	t := flow.Token(fmt.Sprintf("j-%d", len(w.jobs)))
	w.jobs[r.Key] = t
	return t, nil
}

func (w *world) Wait(_ context.Context, _ flow.Request, t flow.Token) (json.RawMessage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits++
	return json.Marshal(t)
}

func (w *world) Stop(context.Context, flow.Token) error { return nil }

func (w *world) work(resource string) (runner.Work, bool) {
	switch resource {
	case "arn:aws:states:::tidemill:local":
		return runner.Work{Func: w.local}, true
	case "arn:aws:states:::tidemill:remote":
		return runner.Work{Task: w}, true
	}
	return runner.Work{}, false
}

func config(j runner.Journal, w *world, owner string) runner.Config {
	return runner.Config{Journal: j, Work: w.work, Owner: owner, Alive: func(string) bool { return false }, Now: time.Now}
}

func task(resource, rest string) string {
	return `{"Type":"Task","Resource":"arn:aws:states:::tidemill:` + resource + `",` + rest + `}`
}

func machineText(states string, start string) []byte {
	return []byte(`{"QueryLanguage":"JSONata","StartAt":"` + start + `","States":{` + states + `}}`)
}

var mixed = machineText(
	`"a":`+task("local", `"Output":"{% {'a':$states.result} %}","Next":"p"`)+`,
	 "p":{"Type":"Parallel","Branches":[{"StartAt":"b","States":{"b":`+task("local", `"End":true`)+`}},{"StartAt":"c","States":{"c":`+task("remote", `"End":true`)+`}}],"Output":"{% $merge([$states.input,{'p':$states.result}]) %}","Next":"m"},
	 "m":{"Type":"Map","Items":[1,2,3],"ItemProcessor":{"StartAt":"d","States":{"d":`+task("local", `"End":true`)+`}},"Output":"{% $merge([$states.input,{'m':$states.result}]) %}","Next":"w"},
	 "w":{"Type":"Wait","Seconds":60,"Next":"z"},
	 "z":`+task("remote", `"Output":"{% $merge([$states.input,{'z':$states.result}]) %}","End":true`), "a")

func newRun(text []byte) runner.Run {
	return runner.Run{ID: "r", Machine: text, Input: json.RawMessage("{}"), Created: time.Now()}
}

// TestCrashEverywhere fails each journal call once, before and after it took effect, as if
// the process had died there; another process resumes. The output is the same, no local
// step that was kept as done is done again, no job is begun twice.
func TestCrashEverywhere(t *testing.T) {
	t.Parallel()
	const want = `{"a":"a","p":["b","j-0"],"m":["d0","d1","d2"],"z":"j-1"}`
	for _, after := range []bool{false, true} {
		for at := 0; ; at++ {
			calls := 0
			synctest.Test(t, func(t *testing.T) {
				j, w := newMemory(), newWorld()
				j.failAt, j.after = at, after
				run := newRun(mixed)
				if _, _, err := j.Create(t.Context(), run); err != nil {
					t.Fatal(err)
				}
				var res runner.Result
				err := error(errDown)
				for n := 0; err != nil; n++ {
					if n > 3 {
						t.Fatalf("call %d after %t: %v", at, after, err)
					}
					res, err = runner.New(config(j, w, fmt.Sprintf("p%d", n))).Drive(t.Context(), run)
				}
				calls = j.calls
				if res.Status != machine.Succeeded || string(res.Output) != want {
					t.Errorf("call %d after %t: %s %s %s %s", at, after, res.Status, res.Output, res.Error, res.Cause)
				}
				if len(w.jobs) != 2 {
					t.Errorf("call %d after %t: %d jobs begun: %v", at, after, len(w.jobs), w.jobs)
				}
				kept := map[string]int{}
				for _, e := range j.runs["r"].events {
					if e.Type == "TaskSucceeded" {
						kept[e.Frame]++
					}
				}
				for f, n := range kept {
					if n > 2 { // the root frame has a and z
						t.Errorf("call %d after %t: frame %q succeeded %d times", at, after, f, n)
					}
				}
				for s, n := range w.done {
					if at == 0 && n != 1 || n > 2 {
						t.Errorf("call %d after %t: %s was done %d times", at, after, s, n)
					}
				}
			})
			if at > calls {
				break
			}
		}
	}
}

func TestRetryAndPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, w := newMemory(), newWorld()
		w.fail["a"] = 2
		run := newRun(machineText(`"a":`+task("local", `"Retry":[{"ErrorEquals":["Tidemill.Transient"],"IntervalSeconds":30}],"Next":"panics"`)+`,"panics":`+task("local", `"End":true`), "a"))
		if _, _, err := j.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		res, err := runner.New(config(j, w, "p")).Drive(t.Context(), run)
		if err != nil || res.Status != machine.Failed || res.Error != flow.NamePanic || !strings.Contains(res.Cause, "a bug") {
			t.Errorf("result = %+v, %v", res, err)
		}
		if took := time.Since(began); took != 90*time.Second {
			t.Errorf("it took %s, want 30 s and 60 s", took)
		}
		// What was repaired goes on from where it failed: a is not done again.
		w.mu.Lock()
		before := w.done["a"]
		w.mu.Unlock()
		if _, err := runner.New(config(j, w, "p")).Drive(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		if w.done["a"] != before {
			t.Errorf("a was done %d times", w.done["a"])
		}
	})
}

func TestTimeoutCancelsTheTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, w := newMemory(), newWorld()
		w.hang["a"] = true
		run := newRun(machineText(`"a":`+task("local", `"TimeoutSeconds":90,"End":true`), "a"))
		if _, _, err := j.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		res, err := runner.New(config(j, w, "p")).Drive(t.Context(), run)
		if err != nil || res.Error != "States.Timeout" {
			t.Errorf("result = %+v, %v", res, err)
		}
	})
}

func TestInterruptLeavesTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, w := newMemory(), newWorld()
		w.hang["b"] = true
		run := newRun(mixed)
		if _, _, err := j.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("stop")) })
		if _, err := runner.New(config(j, w, "p")).Drive(ctx, run); err == nil || err.Error() != "stop" {
			t.Errorf("drive = %v", err)
		}
		w.mu.Lock()
		w.hang["b"] = false
		w.mu.Unlock()
		res, err := runner.New(config(j, w, "q")).Drive(t.Context(), run)
		if err != nil || res.Status != machine.Succeeded || w.done["a"] != 1 {
			t.Errorf("resumed: %+v, %v, a done %d times", res, err, w.done["a"])
		}
	})
}

func TestTwoDrivers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, w := newMemory(), newWorld()
		w.hang["a"] = true
		run := newRun(mixed)
		if _, _, err := j.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		c := config(j, w, "first")
		c.Alive = func(string) bool { return true }
		ended := make(chan error, 1)
		go func() {
			_, err := runner.New(c).Drive(t.Context(), run)
			ended <- err
		}()
		synctest.Wait()
		c.Owner = "second"
		var held *runner.HeldError
		if _, err := runner.New(c).Drive(t.Context(), run); !errors.As(err, &held) || held.Owner != "first" {
			t.Errorf("second driver: %v", err)
		}
		// A cancel from a third takes the run over; the first finds out.
		c.Owner = "third"
		if err := runner.New(c).Stop(t.Context(), run, "enough"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, runner.ErrStale) {
			t.Errorf("first driver: %v", err)
		}
	})
}

func TestUnknownResource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, w := newMemory(), newWorld()
		run := newRun(machineText(`"a":`+task("nothing", `"End":true`), "a"))
		if _, _, err := j.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		res, err := runner.New(config(j, w, "p")).Drive(t.Context(), run)
		if err != nil || res.Status != machine.Failed || !strings.Contains(res.Cause, "nothing here does this resource") {
			t.Errorf("result = %+v, %v", res, err)
		}
	})
}
