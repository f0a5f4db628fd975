package sqlite_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/emr"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/runner"
	"github.com/tidemill/tidemill/internal/sqlite"
)

var golden = flag.Bool("golden", false, "write the golden journal of this version")

var t0 = time.Date(2025, 11, 6, 6, 0, 0, 0, time.UTC)

func open(t *testing.T) *sqlite.Journal {
	t.Helper()
	// A path may hold whatever means something in a URI.
	j, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "a #1 50% of [it]? yes", "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

const program = `{"QueryLanguage":"JSONata","StartAt":"a","States":{"a":{"Type":"Task","Resource":"arn:aws:states:::tidemill:run","Next":"w"},"w":{"Type":"Wait","Seconds":3600,"End":true}}}`

func newRun(id string) runner.Run {
	return runner.Run{ID: id, Key: runner.Key{Pipeline: "p", Time: t0, Target: "local"}, N: 1, Machine: []byte(program), Hash: "h", Texts: map[string]string{"t": "select 1"}, Input: json.RawMessage(`{"ds":"2025-11-06"}`), Created: t0}
}

func always(string) bool { return true }

// begin creates a run, leases it and commits its first decision.
func begin(t *testing.T, j *sqlite.Journal, id string) (*machine.Execution, runner.Fence, []machine.Event) {
	t.Helper()
	r, made, err := j.Create(t.Context(), newRun(id))
	if err != nil || !made {
		t.Fatalf("create: %v %v", made, err)
	}
	f, err := j.Lease(t.Context(), id, "a", t0, t0.Add(time.Minute), always)
	if err != nil {
		t.Fatal(err)
	}
	m, err := asl.Parse(r.Machine)
	if err != nil {
		t.Fatal(err)
	}
	x := machine.New(m, machine.Info{})
	events, err := x.Decide(machine.Input{Kind: machine.Start, At: t0, Output: r.Input})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Commit(t.Context(), id, f, 0, runner.Decision{Events: events, Status: x.Status, At: t0}); err != nil {
		t.Fatal(err)
	}
	return x, f, events
}

func TestCommitAndRead(t *testing.T) {
	t.Parallel()
	j := open(t)
	_, f, events := begin(t, j, "r")
	token := runner.Token{Key: "r/a/1", Started: true, Token: "j-1", At: t0}
	if err := j.Commit(t.Context(), "r", f, -1, runner.Decision{Tokens: []runner.Token{token}}); err != nil {
		t.Fatal(err)
	}
	got, tokens, err := j.Events(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(events) || got[0].Type != "ExecutionStarted" || got[0].Details.Input != `{"ds":"2025-11-06"}` || !got[0].At.Equal(t0) {
		t.Errorf("events = %+v", got)
	}
	if diff := cmp.Diff([]runner.Token{token}, tokens); diff != "" {
		t.Error(diff)
	}
	if text, err := j.Text(t.Context(), "t"); err != nil || text != "select 1" {
		t.Errorf("text = %q, %v", text, err)
	}
	runs, err := j.Find(t.Context(), runner.Query{Key: &runner.Key{Pipeline: "p", Time: t0, Target: "local"}})
	if err != nil || len(runs) != 1 || runs[0].Status != machine.Running || string(runs[0].Machine) != program {
		t.Errorf("runs = %+v, %v", runs, err)
	}
}

func TestCreateGivesTheOldRun(t *testing.T) {
	t.Parallel()
	j := open(t)
	begin(t, j, "r")
	other := newRun("r")
	other.Input = json.RawMessage(`{"other":true}`)
	old, made, err := j.Create(t.Context(), other)
	if err != nil || made || string(old.Input) != `{"ds":"2025-11-06"}` || old.Status != machine.Running {
		t.Errorf("create again: %+v, %v, %v", old, made, err)
	}
}

func TestFence(t *testing.T) {
	t.Parallel()
	j := open(t)
	x, f, events := begin(t, j, "r")
	done, err := x.Decide(machine.Input{Kind: machine.Done, At: t0, State: "a", Attempt: 1, Output: json.RawMessage("1")})
	if err != nil {
		t.Fatal(err)
	}
	commit := func(f runner.Fence, n int) error {
		return j.Commit(t.Context(), "r", f, n, runner.Decision{Events: done, At: t0})
	}
	if err := commit(f, len(events)-1); !errors.Is(err, runner.ErrStale) {
		t.Errorf("over an event that is there: %v", err)
	}
	var held *runner.HeldError
	if _, err := j.Lease(t.Context(), "r", "b", t0, t0.Add(time.Minute), always); !errors.As(err, &held) || held.Owner != "a" {
		t.Errorf("lease of a run that is held: %v", err)
	}
	// Its owner is dead: taken over, and the old fence is refused.
	g, err := j.Lease(t.Context(), "r", "b", t0, t0.Add(time.Minute), func(string) bool { return false })
	if err != nil || g <= f {
		t.Fatalf("take over: fence %d after %d, %v", g, f, err)
	}
	if err := commit(f, len(events)); !errors.Is(err, runner.ErrStale) {
		t.Errorf("under an old fence: %v", err)
	}
	if err := commit(g, len(events)); err != nil {
		t.Errorf("under the new fence: %v", err)
	}
	// A lease that ended is anybody's.
	if _, err := j.Lease(t.Context(), "r", "c", t0.Add(2*time.Minute), t0.Add(3*time.Minute), always); err != nil {
		t.Errorf("lease after its end: %v", err)
	}
}

// TestTogether commits from many goroutines: a stale commit harms nobody else's.
func TestTogether(t *testing.T) {
	t.Parallel()
	j := open(t)
	var wg sync.WaitGroup
	for i := range 40 {
		id := fmt.Sprintf("r%d", i)
		x, f, events := begin(t, j, id)
		made, err := x.Decide(machine.Input{Kind: machine.Done, At: t0, State: "a", Attempt: 1, Output: json.RawMessage("1")})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			n, want := len(events), error(nil)
			if i%5 == 0 {
				n, want = 0, runner.ErrStale
			}
			if err := j.Commit(t.Context(), id, f, n, runner.Decision{Events: made, At: t0}); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", id, err, want)
			}
		})
	}
	wg.Wait()
	for i := range 40 {
		events, _, err := j.Events(t.Context(), fmt.Sprintf("r%d", i))
		want := 8
		if i%5 == 0 {
			want = 4
		}
		if err != nil || len(events) != want {
			t.Errorf("r%d has %d events, want %d, %v", i, len(events), want, err)
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	j := open(t)
	_, f, events := begin(t, j, "r")
	if runs, err := j.Due(t.Context(), t0.Add(time.Second)); err != nil || len(runs) != 0 {
		t.Errorf("due while it is driven: %v %v", runs, err)
	}
	if runs, err := j.Due(t.Context(), t0.Add(2*time.Minute)); err != nil || len(runs) != 1 {
		t.Errorf("due after its lease: %v %v", runs, err)
	}
	end := []machine.Event{{ID: int64(len(events) + 1), At: t0, Type: "ExecutionAborted"}}
	if err := j.Commit(t.Context(), "r", f, len(events), runner.Decision{Events: end, Status: machine.Aborted, At: t0}); err != nil {
		t.Fatal(err)
	}
	if runs, err := j.Due(t.Context(), t0.Add(time.Hour)); err != nil || len(runs) != 0 {
		t.Errorf("due after its end: %v %v", runs, err)
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	j := open(t)
	begin(t, j, "r")
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := j.Backup(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := j.Backup(t.Context(), to); err == nil {
		t.Error("a backup was overwritten")
	}
	c, err := sqlite.Open(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if events, _, err := c.Events(t.Context(), "r"); err != nil || len(events) != 4 {
		t.Errorf("the copy has %d events, %v", len(events), err)
	}
}

// TestOlderJournals opens the journal of each version, with a run in flight, and goes on with it.
func TestOlderJournals(t *testing.T) {
	t.Parallel()
	if *golden {
		writeGolden(t)
	}
	for v := 1; v <= sqlite.Version; v++ {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(fmt.Sprintf("testdata/journal-v%d.db", v))
			if err != nil {
				t.Fatalf("%v: each version has a golden file; go test -golden writes that of this version", err)
			}
			file := filepath.Join(t.TempDir(), "journal.db")
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			goOn(t, file)
		})
	}
}

func goOn(t *testing.T, file string) {
	t.Helper()
	j, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	runs, err := j.Find(t.Context(), runner.Query{Status: []machine.Status{machine.Running}})
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs in flight: %v, %v", runs, err)
	}
	m, err := asl.Parse(runs[0].Machine)
	if err != nil {
		t.Fatal(err)
	}
	x := machine.New(m, machine.Info{})
	events, _, err := j.Events(t.Context(), runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		x.Evolve(e)
	}
	f, err := j.Lease(t.Context(), runs[0].ID, "later", t0.Add(time.Hour), t0.Add(2*time.Hour), always)
	if err != nil {
		t.Fatal(err)
	}
	c := x.Commands()
	if len(c) != 1 || c[0].Name() != "a/1" {
		t.Fatalf("commands = %+v", c)
	}
	made, err := x.Decide(machine.Input{Kind: machine.Done, At: t0.Add(time.Hour), State: "a", Attempt: 1, Output: json.RawMessage("1")},
		machine.Input{Kind: machine.Tick, At: t0.Add(9 * time.Hour)})
	if err != nil || x.Status != machine.Succeeded {
		t.Fatalf("status %s, %v", x.Status, err)
	}
	if err := j.Commit(t.Context(), runs[0].ID, f, len(events), runner.Decision{Events: made, Status: x.Status, Output: x.Output, At: t0}); err != nil {
		t.Fatal(err)
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	j := open(t)
	begin(t, j, "p-20251106-abc123")
	name := fmt.Sprintf("testdata/journal-v%d.db", sqlite.Version)
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := j.Backup(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func TestNewerJournalIsRefused(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(fmt.Sprintf("testdata/journal-v%d.db", sqlite.Version))
	if err != nil {
		t.Fatal(err)
	}
	// The version stands at byte 60 of a SQLite file, big-endian.
	b[60], b[61], b[62], b[63] = 0, 0, 3, 231
	file := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(t.Context(), file)
	if err == nil || !strings.Contains(err.Error(), "version 999") || !strings.Contains(err.Error(), fmt.Sprintf("up to %d", sqlite.Version)) {
		t.Errorf("open = %v", err)
	}
}

// TestClusters keeps what is meant, made and ended, and lets one of two have a name.
func TestClusters(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "journal.db")
	j, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := emr.Cluster{Key: "r/cluster.create/1", Run: "r", Target: "emr", Name: "r/cluster.create/1", Intended: at}
	if got, mine, err := j.IntendCluster(t.Context(), c); err != nil || !mine || got != c {
		t.Fatalf("%+v %v %v", got, mine, err)
	}
	if err := j.MadeCluster(t.Context(), c.Key, "j-1"); err != nil {
		t.Fatal(err)
	}
	c.ID = "j-1"
	second := c
	second.Intended = at.Add(time.Hour)
	if got, mine, err := j.IntendCluster(t.Context(), second); err != nil || mine || got != c {
		t.Errorf("%+v %v %v", got, mine, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = sqlite.Open(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // a test
	for run, want := range map[string]int{"r": 1, "": 1, "other": 0} {
		if all, err := j.LiveClusters(t.Context(), run); err != nil || len(all) != want || want > 0 && all[0] != c {
			t.Errorf("%q: %+v %v", run, all, err)
		}
	}
	if err := j.EndedCluster(t.Context(), "j-1", at); err != nil {
		t.Fatal(err)
	}
	if all, err := j.LiveClusters(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
	second.ID = ""
	if got, mine, err := j.IntendCluster(t.Context(), second); err != nil || !mine || got != second {
		t.Errorf("after the end: %+v %v %v", got, mine, err)
	}
}
