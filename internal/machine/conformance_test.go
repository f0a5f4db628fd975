//go:build conformance

package machine_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/conform/judge"
	"github.com/tidemill/tidemill/internal/machine"
)

var updateKnown = flag.Bool("update-known", false, "rewrite the list of recorded executions that are not run yet")

// recorded is one execution that AWS ran.
type recorded struct {
	ID           string          `json:"id"`
	Definition   json.RawMessage `json:"definition"`
	Input        json.RawMessage `json:"input"`
	InputGiven   bool            `json:"input_given"`
	Tier         string          `json:"tier"`
	Status       *string         `json:"expected_status"`
	Output       any             `json:"expected_output"`
	Error        any             `json:"expected_error"`
	Cause        any             `json:"expected_cause"`
	Events       []any           `json:"expected_events"`
	Transformers []struct {
		Replacement any `json:"replacement"`
	} `json:"transformers"`
}

// TestConformance plays the recorded executions of Step Functions. What is not built yet
// (JSONPath, services) is listed, case by case with its reason, in testdata/known.txt.
func TestConformance(t *testing.T) {
	cases := os.Getenv("CASES")
	f, err := os.Open(filepath.Join(cases, "asl", "executions.jsonl"))
	if err != nil {
		t.Fatalf("the judge is missing: %v", err)
	}
	defer f.Close()
	known, err := judge.ReadKnown("testdata/known.txt")
	if err != nil && !*updateKnown {
		t.Fatal(err)
	}
	tally := judge.NewTally("asl", "executions.jsonl", known)
	var list strings.Builder
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var c recorded
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		id := strings.ReplaceAll(c.ID, " ", "_")
		reason, err := c.unbuilt(), error(nil)
		if reason != "" {
			err = errors.New(reason)
			fmt.Fprintf(&list, "%s %s\n", id, reason)
		} else {
			err = c.play()
		}
		tally.Case(os.Stdout, id, err)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if *updateKnown {
		head := "# Recorded executions that are not run yet; go test -tags conformance -run TestConformance -update-known writes the list.\n"
		if err := os.WriteFile("testdata/known.txt", []byte(head+list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := tally.Close(os.Stdout); err != nil {
		t.Error(err)
	}
	for _, folder := range []string{"teststate.jsonl", "api_scripts.jsonl"} {
		t.Run(folder, func(t *testing.T) { playLater(t, filepath.Join(cases, "asl", folder)) })
	}
}

// playLater counts the cases of an API that is not built yet.
func playLater(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("the judge is missing: %v", err)
	}
	defer f.Close()
	known, err := judge.ReadKnown("testdata/known_api.txt")
	if err != nil {
		t.Fatal(err)
	}
	tally := judge.NewTally("asl", filepath.Base(file), known)
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		tally.Case(os.Stdout, filepath.Base(file), errors.New("the Step Functions API is not built yet"))
	}
	if err := tally.Close(os.Stdout); err != nil {
		t.Error(err)
	}
}

// unbuilt says why a case cannot be played yet; empty if it can.
func (c *recorded) unbuilt() string {
	text := string(c.Definition)
	switch {
	case !strings.HasPrefix(c.Tier, "A"):
		return "it needs a service: " + c.Tier[2:]
	case c.Status == nil || len(c.Events) == 0:
		return "no whole execution was recorded"
	case strings.Contains(text, `"DISTRIBUTED"`):
		return "a distributed Map is not run yet"
	}
	var d map[string]any
	if err := json.Unmarshal(c.Definition, &d); err != nil {
		return "the definition is a text with placeholders"
	}
	if usesJSONPath(d, "JSONPath") {
		return "the query language JSONPath is not run yet"
	}
	if strings.Contains(text, `"Type": "Task"`) {
		return "it needs a service: a task"
	}
	return ""
}

func usesJSONPath(d map[string]any, above string) bool {
	if q, ok := d["QueryLanguage"].(string); ok {
		above = q
	}
	states, _ := d["States"].(map[string]any)
	for _, s := range states {
		m, _ := s.(map[string]any)
		q := above
		if x, ok := m["QueryLanguage"].(string); ok {
			q = x
		}
		if q == "JSONPath" {
			return true
		}
		var below []any
		branches, _ := m["Branches"].([]any)
		below = append(append(below, branches...), m["ItemProcessor"], m["Iterator"])
		for _, b := range below {
			if bm, ok := b.(map[string]any); ok && usesJSONPath(bm, q) {
				return true
			}
		}
	}
	return false
}

func (c *recorded) play() error {
	p, err := asl.Parse(c.Definition)
	if err != nil {
		return fmt.Errorf("the definition is refused: %w", err)
	}
	input := string(c.Input)
	if !c.InputGiven || input == "null" {
		input = "{}"
	}
	x, events, err := playRecorded(p, input)
	if err != nil {
		return err
	}
	m := &matcher{bound: map[string]string{}}
	for _, t := range c.Transformers {
		if s, ok := t.Replacement.(string); ok && s != "" && !strings.HasPrefix(s, "<") {
			m.literals = append(m.literals, s)
		}
	}
	slices.SortFunc(m.literals, func(a, b string) int { return len(b) - len(a) })
	if string(x.Status) != *c.Status {
		return fmt.Errorf("status %s (%s %s), want %s", x.Status, x.Error, x.Cause, *c.Status)
	}
	if c.Output != nil && !m.equal(c.Output, string(x.Output), "output") {
		return m.fault()
	}
	for what, pair := range map[string][2]any{"error": {c.Error, x.Error}, "cause": {c.Cause, x.Cause}} {
		if pair[0] != nil && !m.equal(pair[0], pair[1], what) {
			return m.fault()
		}
	}
	return c.history(m, events)
}

// history compares the events, and in machines with branches their multiset without ids.
func (c *recorded) history(m *matcher, events []machine.Event) error {
	got := []any{}
	branched := false
	for _, e := range events {
		if e.ID == 0 {
			continue
		}
		branched = branched || e.Frame != ""
		got = append(got, asRecorded(e))
	}
	if len(got) != len(c.Events) {
		return fmt.Errorf("%d events %v, want %d %v", len(got), types(got), len(c.Events), types(c.Events))
	}
	if !branched {
		if !m.equal(c.Events, got, "events") {
			return m.fault()
		}
		return nil
	}
	left := slices.Clone(got)
	for i, e := range c.Events {
		want := without(e)
		at := slices.IndexFunc(left, func(g any) bool {
			trial := &matcher{bound: maps.Clone(m.bound), literals: m.literals}
			return trial.equal(want, without(g), "event")
		})
		if at < 0 {
			return fmt.Errorf("event %d has no match: %v", i+1, e)
		}
		left = slices.Delete(left, at, at+1)
	}
	return nil
}

func without(e any) any {
	m := maps.Clone(e.(map[string]any))
	delete(m, "id")
	delete(m, "previousEventId")
	return m
}

func types(events []any) []string {
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprint(e.(map[string]any)["type"]))
	}
	return out
}

// asRecorded writes an event as GetExecutionHistory does.
func asRecorded(e machine.Event) any {
	out := map[string]any{"id": float64(e.ID), "previousEventId": float64(e.Previous), "timestamp": "timestamp", "type": e.Type}
	d := e.Details
	fine := map[string]any{"truncated": false}
	put := func(key string, v map[string]any) { out[key] = v }
	set := func(m map[string]any, k, v string) {
		if v != "" {
			m[k] = v
		}
	}
	switch {
	case e.Type == "ExecutionStarted":
		put("executionStartedEventDetails", map[string]any{"input": d.Input, "inputDetails": fine, "roleArn": "snf_role_arn"})
	case e.Type == "ExecutionSucceeded":
		put("executionSucceededEventDetails", map[string]any{"output": d.Output, "outputDetails": fine})
	case e.Type == "ExecutionFailed":
		m := map[string]any{}
		set(m, "error", d.Error)
		set(m, "cause", d.Cause)
		put("executionFailedEventDetails", m)
	case strings.HasSuffix(e.Type, "StateEntered"):
		put("stateEnteredEventDetails", map[string]any{"name": d.Name, "input": d.Input, "inputDetails": fine})
	case strings.HasSuffix(e.Type, "StateExited"):
		m := map[string]any{"name": d.Name, "output": d.Output, "outputDetails": fine}
		if len(d.AssignedVariables) > 0 {
			vars := map[string]any{}
			for k, v := range d.AssignedVariables {
				vars[k] = v
			}
			m["assignedVariables"], m["assignedVariablesDetails"] = vars, fine
		}
		put("stateExitedEventDetails", m)
	case e.Type == "EvaluationFailed":
		m := map[string]any{"cause": d.Cause, "error": d.Error, "state": d.State}
		set(m, "location", d.Location)
		put("evaluationFailedEventDetails", m)
	case e.Type == "MapStateStarted":
		put("mapStateStartedEventDetails", map[string]any{"length": float64(d.Length)})
	case strings.HasPrefix(e.Type, "MapIteration"):
		key := "mapIteration" + strings.TrimPrefix(e.Type, "MapIteration") + "EventDetails"
		put(key, map[string]any{"name": d.Name, "index": float64(d.Index)})
	}
	return out
}

func playRecorded(p *asl.Machine, input string) (*machine.Execution, []machine.Event, error) {
	x := machine.New(p, machine.Info{ID: "execution", Name: "execution", Seed: 1, MaxEvents: 25_000, MaxData: 262_144})
	now := t0
	in := machine.Input{Kind: machine.Start, At: now, Output: json.RawMessage(input)}
	var events []machine.Event
	for range 1000 {
		made, err := x.Decide(in)
		if err != nil {
			return nil, nil, err
		}
		events = append(events, made...)
		if x.Status != machine.Running {
			return x, events, nil
		}
		due := x.Due()
		if due.IsZero() {
			return nil, nil, errors.New("it waits for nothing")
		}
		now = due
		in = machine.Input{Kind: machine.Tick, At: now.Add(time.Millisecond)}
	}
	return nil, nil, errors.New("it does not end")
}

// matcher compares as the judge's own comparator does: tokens like <name> in a wanted text
// stand for one text each throughout the case, some match anything.
type matcher struct {
	bound    map[string]string
	literals []string
	diffs    []string
}

var (
	wild  = []string{"timestamp", "date", "<date>", "<timestamp>", "start-date", "stop-date", "time", "RequestId", "<request_id>", "<extended_request_id>"}
	token = regexp.MustCompile(`<[A-Za-z0-9_.:\- ]+>`)
)

func (m *matcher) fault() error {
	return errors.New(strings.Join(m.diffs[:min(3, len(m.diffs))], "; "))
}

func (m *matcher) differ(path string, want, got any) bool {
	m.diffs = append(m.diffs, fmt.Sprintf("%s: want %v, got %v", path, want, got))
	return false
}

func (m *matcher) text(want, got string) bool {
	if want == got || slices.Contains(wild, want) {
		return true
	}
	alternatives := []string{token.String()}
	for _, l := range m.literals {
		alternatives = append(alternatives, regexp.QuoteMeta(l))
	}
	var pattern strings.Builder
	var names []string
	at, anything := 0, false
	for _, loc := range regexp.MustCompile(strings.Join(alternatives, "|")).FindAllStringIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[at:loc[0]]))
		if t := want[loc[0]:loc[1]]; slices.Contains(wild, t) {
			pattern.WriteString("(?:.*?)")
			anything = true
		} else {
			pattern.WriteString("(.+?)")
			names = append(names, t)
		}
		at = loc[1]
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]))
	if len(names) == 0 && !anything {
		return false
	}
	found := regexp.MustCompile("(?s)^" + pattern.String() + "$").FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, n := range names {
		if v, ok := m.bound[n]; ok && v != found[i+1] {
			return false
		}
		m.bound[n] = found[i+1]
	}
	return true
}

func (m *matcher) equal(want, got any, path string) bool {
	switch want.(type) {
	case map[string]any, []any:
		if s, ok := got.(string); ok {
			var v any
			if err := json.Unmarshal([]byte(s), &v); err != nil {
				return m.differ(path, want, got)
			}
			got = v
		}
	}
	switch w := want.(type) {
	case string:
		s, ok := got.(string)
		if !ok {
			var v any
			if slices.Contains(wild, w) || token.FindString(w) == w && w != "" || slices.Contains(m.literals, w) {
				return true
			}
			if err := json.Unmarshal([]byte(w), &v); err != nil {
				return m.differ(path, want, got)
			}
			return m.equal(v, got, path)
		}
		return m.text(w, s) || m.differ(path, want, got)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return m.differ(path, want, got)
		}
		keys := slices.Sorted(maps.Keys(w))
		for k := range g {
			if _, ok := w[k]; !ok {
				keys = append(keys, k)
			}
		}
		for _, k := range keys {
			if k == "SdkHttpMetadata" || k == "SdkResponseMetadata" || k == "ResponseMetadata" {
				continue
			}
			wv, a := w[k]
			gv, b := g[k]
			if a != b {
				return m.differ(path+"."+k, wv, gv)
			}
			if !m.equal(wv, gv, path+"."+k) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return m.differ(path, want, got)
		}
		for i := range w {
			if !m.equal(w[i], g[i], fmt.Sprintf("%s[%d]", path, i)) {
				return false
			}
		}
		return true
	}
	if s, ok := got.(string); ok && want != nil {
		var v any
		if json.Unmarshal([]byte(s), &v) == nil && reflect.DeepEqual(want, v) {
			return true
		}
	}
	return reflect.DeepEqual(want, got) || m.differ(path, want, got)
}
