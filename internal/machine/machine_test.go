package machine_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/machine"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the wanted traces")

var t0 = time.Date(2025, 11, 6, 6, 0, 0, 0, time.UTC)

// script is what the tasks of an archive do: for each state a list of results, one an
// attempt; the last is repeated.
type script map[string][]taskResult

type taskResult struct {
	Output json.RawMessage `json:"output"`
	Error  string          `json:"error"`
	Cause  string          `json:"cause"`
	Hang   bool            `json:"hang"` // it never ends
}

// play drives an execution by a script to its end. fold, where given, replaces the
// execution after every decision by one folded from the events so far.
func play(program *asl.Machine, input string, s script, fold bool) (*machine.Execution, []machine.Event, error) {
	info := machine.Info{ID: "run-1", Name: "run-1", Machine: "m", Region: "us-east-1", Seed: 7}
	x := machine.New(program, info)
	now := t0
	var events []machine.Event
	begun := map[string]int{}
	in := []machine.Input{{Kind: machine.Start, At: now, Output: json.RawMessage(input)}}
	for range 2000 {
		made, err := x.Decide(in...)
		if err != nil {
			return nil, nil, err
		}
		events = append(events, made...)
		if fold {
			y := machine.New(program, info)
			for _, e := range stored(events) {
				y.Evolve(e)
			}
			if a, b := state(x), state(y); a != b {
				return nil, nil, fmt.Errorf("folded state differs after %d events:\n%s", len(events), cmp.Diff(a, b))
			}
			x = y
		}
		if x.Status != machine.Running {
			return x, events, nil
		}
		in = nil
		for _, c := range x.Commands() {
			results := s[c.State]
			if len(results) == 0 {
				return nil, nil, fmt.Errorf("no result for state %s", c.State)
			}
			begun[c.Frame+c.Name()]++
			r := results[min(c.Attempt, len(results))-1]
			if r.Hang {
				continue
			}
			i := machine.Input{Kind: machine.Done, At: now, Frame: c.Frame, State: c.State, Attempt: c.Attempt, Output: r.Output}
			if r.Error != "" {
				i.Kind, i.Error, i.Cause = machine.Failure, r.Error, r.Cause
			}
			in = append(in, i)
			break // one at a time: the order is the script's
		}
		if in == nil {
			due := x.Due()
			if due.IsZero() {
				return nil, nil, errors.New("nothing to do and nothing due")
			}
			now = due
			in = []machine.Input{{Kind: machine.Tick, At: now}}
		}
	}
	return nil, nil, errors.New("it does not end")
}

// stored are the events as a journal gives them back.
func stored(events []machine.Event) []machine.Event {
	out := make([]machine.Event, len(events))
	for i, e := range events {
		b, err := json.Marshal(e.Details)
		if err != nil {
			panic(err)
		}
		out[i] = machine.Event{ID: e.ID, Previous: e.Previous, At: e.At, Type: e.Type, Frame: e.Frame, Next: e.Next}
		if err := json.Unmarshal(b, &out[i].Details); err != nil {
			panic(err)
		}
	}
	return out
}

func state(x *machine.Execution) string {
	b, err := json.MarshalIndent(struct {
		Status   machine.Status
		Commands []machine.Command
		Due      time.Time
		States   []string
	}{x.Status, x.Commands(), x.Due(), x.States()}, "", " ")
	if err != nil {
		panic(err)
	}
	return string(b)
}

// trace is a history as an archive shows it.
func trace(events []machine.Event, x *machine.Execution) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d<%d %s", e.ID, e.Previous, e.Type)
		if e.Frame != "" {
			fmt.Fprintf(&b, " @%s", e.Frame)
		}
		d := reflect.ValueOf(e.Details)
		for i := range d.NumField() {
			name := d.Type().Field(i).Name
			switch v := d.Field(i).Interface().(type) {
			case string:
				if v != "" && name != "Region" && name != "ResourceType" {
					fmt.Fprintf(&b, " %s=%s", strings.ToLower(name), v)
				}
			case int:
				if v != 0 {
					fmt.Fprintf(&b, " %s=%d", strings.ToLower(name), v)
				}
			case *time.Time:
				if v != nil {
					fmt.Fprintf(&b, " due=+%s", v.Sub(t0))
				}
			case map[string]string:
				if len(v) > 0 {
					fmt.Fprintf(&b, " assigned=%v", v)
				}
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s %s%s %s\n", x.Status, x.Output, x.Error, x.Cause)
	return b.String()
}

func readArchive(t *testing.T, file string) (*txtar.Archive, *asl.Machine, string, script) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range a.Files {
		files[f.Name] = f.Data
	}
	m, err := asl.Parse(files["machine.json"])
	if err != nil {
		t.Fatal(err)
	}
	s := script{}
	if text := files["tasks.json"]; text != nil {
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
	}
	input := strings.TrimSpace(string(files["input.json"]))
	if input == "" {
		input = "{}"
	}
	return a, m, input, s
}

// TestArchives plays one archive for each rule of the language; -update rewrites the traces.
func TestArchives(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			a, m, input, s := readArchive(t, file)
			x, events, err := play(m, input, s, false)
			if err != nil {
				t.Fatal(err)
			}
			got := trace(events, x)
			want, found := "", false
			for i, f := range a.Files {
				if f.Name == "trace" {
					want, found = string(f.Data), true
					a.Files[i].Data = []byte(got)
				}
			}
			if *update {
				if !found {
					a.Files = append(a.Files, txtar.File{Name: "trace", Data: []byte(got)})
				}
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("trace differs (-want +got):\n%s", diff)
			}
			// After every decision the state folded from the stored events is the same, and
			// goes on to the same end.
			y, again, err := play(m, input, s, true)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, trace(again, y)); diff != "" {
				t.Errorf("trace differs when folded anew (-live +folded):\n%s", diff)
			}
		})
	}
}

// TestRedrive fails each task of each archive once for good, redrives, and wants the
// output of the undisturbed play with no task that succeeded done again.
func TestRedrive(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/redrive_*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			_, m, input, s := readArchive(t, file)
			want, _, err := play(m, input, s, false)
			if err != nil {
				t.Fatal(err)
			}
			for name := range s {
				redriveAt(t, m, input, s, name, want)
			}
		})
	}
}

func redriveAt(t *testing.T, m *asl.Machine, input string, s script, broken string, want *machine.Execution) {
	t.Helper()
	info := machine.Info{ID: "run-1", Name: "run-1", Seed: 7}
	x := machine.New(m, info)
	var events []machine.Event
	in := []machine.Input{{Kind: machine.Start, At: t0, Output: json.RawMessage(input)}}
	succeeded := map[string]int{}
	redriven := false
	for range 1000 {
		made, err := x.Decide(in...)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, made...)
		y := machine.New(m, info)
		for _, e := range stored(events) {
			y.Evolve(e)
		}
		x = y
		in = nil
		switch x.Status {
		case machine.Succeeded:
			if !redriven || string(x.Output) != string(want.Output) {
				t.Errorf("broken at %s: output %s, want %s", broken, x.Output, want.Output)
			}
			for k, n := range succeeded {
				if n > 1 {
					t.Errorf("broken at %s: %s succeeded %d times", broken, k, n)
				}
			}
			return
		case machine.Failed:
			if redriven {
				t.Fatalf("broken at %s: failed again: %s %s", broken, x.Error, x.Cause)
			}
			redriven = true
			in = []machine.Input{{Kind: machine.Redrive, At: t0}}
			continue
		}
		for _, c := range x.Commands() {
			i := machine.Input{Kind: machine.Done, At: t0, Frame: c.Frame, State: c.State, Attempt: c.Attempt, Output: s[c.State][0].Output}
			if c.State == broken && !redriven {
				i.Kind, i.Error = machine.Failure, "Broken"
			} else {
				succeeded[c.State+c.Item]++
			}
			in = append(in, i)
			break
		}
		if in == nil {
			t.Fatal("nothing to do")
		}
	}
	t.Fatal("it does not end")
}

// TestStrayInputs gives inputs twice, late and wrong: nothing comes of them.
func TestStrayInputs(t *testing.T) {
	t.Parallel()
	m, err := asl.Parse([]byte(`{"QueryLanguage":"JSONata","StartAt":"a","States":{"a":{"Type":"Task","Resource":"arn:aws:states:::tidemill:run","Next":"b"},"b":{"Type":"Task","Resource":"arn:aws:states:::tidemill:run","End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	x := machine.New(m, machine.Info{})
	start := machine.Input{Kind: machine.Start, At: t0, Output: json.RawMessage("{}")}
	done := machine.Input{Kind: machine.Done, At: t0, State: "a", Attempt: 1, Output: json.RawMessage("1")}
	if made, err := x.Decide(start, start, done); err != nil || len(made) != 9 {
		t.Fatalf("made %d events, %v", len(made), err)
	}
	for name, in := range map[string]machine.Input{
		"the same again":    done,
		"a later attempt":   {Kind: machine.Failure, At: t0, State: "b", Attempt: 2},
		"another frame":     {Kind: machine.Done, At: t0, Frame: "/3.0", State: "b", Attempt: 1, Output: json.RawMessage("1")},
		"time, nothing due": {Kind: machine.Tick, At: t0.Add(time.Hour)},
		"a redrive":         {Kind: machine.Redrive, At: t0},
	} {
		if made, err := x.Decide(in); err != nil || len(made) != 0 {
			t.Errorf("%s: made %d events, %v", name, len(made), err)
		}
	}
	// An attempt that died with its process counts as a new one.
	if made, err := x.Decide(machine.Input{Kind: machine.Repeat, At: t0, State: "b", Attempt: 1}); err != nil || len(made) != 1 || x.Commands()[0].Attempt != 2 {
		t.Errorf("repeat: made %v, %v, attempt %d", made, err, x.Commands()[0].Attempt)
	}
	if made, err := x.Decide(machine.Input{Kind: machine.Stop, At: t0, Cause: "asked to"}); err != nil || len(made) != 2 || x.Status != machine.Aborted {
		t.Errorf("stop: made %v, %v, status %s", made, err, x.Status)
	}
}
