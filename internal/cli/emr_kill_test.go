package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mishap is a fault script, and what becomes of a run under it.
type mishap struct {
	name   string
	script string
	fails  string // what the run's failure says; empty: it succeeds
	again  bool   // steps may have further attempts
}

var mishaps = []mishap{
	{name: "none"},
	{name: "throttled", script: "- { fault: throttle, nth: 2, count: 6 }\n"},
	{name: "errors", script: "- { fault: error, nth: 3, count: 2 }\n"},
	{name: "cluster made, answer lost", script: "- { fault: lost_answer, operation: RunJobFlow }\n"},
	{name: "step added, answer lost", script: "- { fault: lost_answer, operation: AddJobFlowSteps }\n"},
	{name: "cluster lost", script: "- { fault: spot_loss, after: 300ms }\n", again: true},
	{name: "step failed once", script: "- { fault: step_fails }\n", again: true},
	{name: "bootstrap fails", script: "- { fault: bootstrap, count: all, message: no such package }\n", fails: "BOOTSTRAP_FAILURE"},
}

// kit is what is killed: a project on a cloud of its own.
type kit struct {
	cloud   func(t *testing.T, faults string) *cloud
	project func(t *testing.T, c *cloud) string
	takes   time.Duration // about how long a run takes, for random instants
	again   time.Duration // how long its steps may go on after a kill
}

// shells has programs of the shell for steps.
var shells = kit{
	cloud:   func(t *testing.T, faults string) *cloud { return startCloud(t, "instant", faults) },
	project: func(t *testing.T, c *cloud) string { return emrProject(t, c, "") },
	takes:   2 * time.Second, again: 30 * time.Second,
}

// emrKills kills n runs on clusters, each at some instant and under some mishap.
func emrKills(t *testing.T, k kit, n int) {
	r := seeded(t)
	calls := journalCalls(t, emrProject(t, startCloud(t, "instant", ""), ""), "orders", 20)
	when := instants(r, n, calls, 2*calls, k.takes)
	for i, at := range when {
		m, later := mishaps[r.IntN(len(mishaps))], r.IntN(3) == 0
		t.Run(fmt.Sprintf("%d %s %s", i, at, m.name), func(t *testing.T) {
			t.Parallel()
			killOnCluster(t, k, at, m, later)
		})
	}
}

// TestEMRKills kills runs on clusters at a sample of instants; TestSoakEMRKills at more.
func TestEMRKills(t *testing.T) {
	t.Parallel()
	n := 12
	if testing.Short() {
		n = 4
	}
	emrKills(t, shells, n)
}

// killOnCluster kills a run at an instant and asks for it again; later, only after its
// cluster has ended by itself because nobody used it.
func killOnCluster(t *testing.T, k kit, at string, m mishap, later bool) {
	c := k.cloud(t, m.script)
	dir := k.project(t, c)
	var env []string
	if strings.Contains(at, ":") {
		env = []string{killAt + "=" + at}
	}
	p := process(t, dir, env, "run", "orders", "--date", "2017-11-06")
	var said strings.Builder
	p.Stderr = &said
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if d, err := time.ParseDuration(at); err == nil {
		stop := time.AfterFunc(d, func() { _ = p.Process.Kill() }) //nolint:errcheck // it may have ended
		defer stop.Stop()
	}
	if err := p.Wait(); err != nil && exitOf(err) != -1 && m.fails == "" {
		t.Fatalf("the run that was to be killed ended by itself: %v\n%s", err, &said)
	}
	if later {
		c.idle(t, k.again)
	}
	var out []byte
	var err error
	for range 3 { // a run may be killed before it has begun
		out, err = process(t, dir, nil, "run", "orders", "--date", "2017-11-06").CombinedOutput()
		if err == nil || m.fails != "" {
			break
		}
		t.Logf("asked for again: %v\n%s", err, out)
	}
	switch {
	case m.fails == "" && err != nil:
		t.Errorf("asked for again: %v\n%s", err, out)
	case m.fails != "" && (err == nil || !strings.Contains(string(out), m.fails)):
		t.Errorf("the failure does not say %s: %v\n%s", m.fails, err, out)
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("clusters are alive: %v", alive)
		c.idle(t, k.again)
	}
	onceOnly(t, c, dir, m)
	if t.Failed() {
		t.Logf("before it was killed:\n%s\nafter:\n%s", &said, out)
	}
}

// idle lets the time pass in which clusters end by themselves, and wants none alive after.
func (c *cloud) idle(t *testing.T, most time.Duration) {
	t.Helper()
	for end := time.Now().Add(most); ; {
		busy := false
		for _, s := range c.steps(t) {
			busy = busy || strings.HasSuffix(s, "RUNNING") || strings.HasSuffix(s, "PENDING")
		}
		for _, x := range c.alive(t) {
			busy = busy || !strings.HasSuffix(x, "WAITING")
		}
		if !busy {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("clusters %v and steps %v do not come to rest", c.alive(t), c.steps(t))
		}
		<-time.After(20 * time.Millisecond)
	}
	c.pass(t, 11*time.Minute)
	for end := time.Now().Add(10 * time.Second); len(c.alive(t)) > 0; <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("alive after the idle time: %v", c.alive(t))
		}
	}
}

// onceOnly wants each step of the run begun once, and done if the run succeeded.
func onceOnly(t *testing.T, c *cloud, dir string, m mishap) {
	t.Helper()
	seen, completed := map[string]bool{}, map[string]int{}
	for _, s := range c.steps(t) {
		name, state, _ := strings.Cut(s, " ")
		if seen[name] {
			t.Errorf("step %s was added twice: %v", name, c.steps(t))
		}
		seen[name] = true
		if state == "COMPLETED" {
			completed[strings.Split(name, "/")[1]]++
		}
	}
	notes, err := os.ReadFile(filepath.Join(dir, "notes"))
	if err != nil && m.fails == "" {
		t.Error(err)
	}
	for _, step := range []string{"process", "sum"} {
		begun := 0
		for _, l := range strings.Split(string(notes), "\n") {
			if strings.HasPrefix(l, step) {
				begun++
			}
		}
		if m.fails != "" {
			if begun > 0 {
				t.Errorf("step %s worked %d times though there was no cluster", step, begun)
			}
			continue
		}
		if completed[step] != 1 && !m.again || begun != completed[step] && !m.again || completed[step] < 1 {
			t.Errorf("step %s is completed %d times and worked %d times: %v", step, completed[step], begun, c.steps(t))
		}
	}
}
