package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// killed is a pipeline of six steps that publishes together; notes are what its programs did.
const killed = `schedule: { cron: "0 6 * * *", day: start }
publish: together
steps:
  orders:
    extract: { from: "data/orders_{{ ds_nodash }}.csv", columns: { amount: "decimal(12,2)" } }
    sql: select id, region, amount from source
    checks: [ { unique: id } ]
  totals: { sql: "select region, count(*) as orders, sum(amount) as amount from orders group by region" }
  before: { after: totals, run: { argv: [sh, -c, "echo before >> notes"] } }
  lines:  { after: before, load: { from: orders, to: lake/lines, partition_by: [region], scope: run } }
  sums:   { after: before, load: { from: totals, to: lake/sums, scope: run } }
  after_all: { after: [lines, sums], run: { argv: [sh, -c, "echo after >> notes"] } }
`

// killProject has one day published and a second one to be run.
func killProject(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	regions := []string{"north", "south", "east", "west"}
	day := func(n int) string {
		b := strings.Builder{}
		b.WriteString("id,region,amount\n")
		for i := range n {
			fmt.Fprintf(&b, "%d,%s,%d.25\n", i, regions[i%4], i%100)
		}
		return b.String()
	}
	write(t, dir, map[string]string{"tidemill.yaml": "project: killed\ntargets: { local: { threads: 1 } }\n", "pipelines/p.yaml": killed, "data/orders_20171105.csv": day(400), "data/orders_20171106.csv": day(2000)})
	mustRun(t, dir, "run", "p", "--date", "2017-11-05")
	return dir
}

// journalCalls is how many calls of its journal a run of a project makes, at least some.
func journalCalls(t *testing.T, dir, pipeline string, least int) int {
	t.Helper()
	c := process(t, dir, []string{countIn + "=" + filepath.Join(dir, "count")}, "run", pipeline, "--date", "2017-11-06")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "count"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < least {
		t.Fatalf("the run makes %d calls of its journal: %v", n, err)
	}
	return n
}

// seeded is randomness whose seed is told, and can be given to play a failure again.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TIDEMILL_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TIDEMILL_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// instants are n at which a run is killed: half of them some time within takes, half before
// or after one of its journal's calls. From more than all on, every call is among them.
func instants(r *rand.Rand, n, calls, all int, takes time.Duration) []string {
	var when []string
	if n > all {
		for i := 1; i <= calls; i++ {
			when = append(when, fmt.Sprintf("before:%d", i), fmt.Sprintf("after:%d", i))
		}
	}
	for len(when) < n {
		if len(when)%2 == 0 {
			when = append(when, time.Duration(r.Int64N(int64(takes))).Round(time.Millisecond).String())
			continue
		}
		when = append(when, []string{"before", "after"}[r.IntN(2)]+":"+strconv.Itoa(1+r.IntN(calls)))
	}
	return when
}

// kills tries n runs, each of which dies at some instant, and is asked for again.
func kills(t *testing.T, n int) {
	calls := journalCalls(t, killProject(t), "p", 8)
	when := instants(seeded(t), n, calls, 4*calls, 900*time.Millisecond)
	for _, at := range when {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			tryKill(t, at)
		})
	}
}

// TestKills kills a run at a sample of instants; TestSoakKills at hundreds.
func TestKills(t *testing.T) {
	t.Parallel()
	n := 12
	if testing.Short() {
		n = 4
	}
	kills(t, n)
}

func tryKill(t *testing.T, at string) {
	dir := killProject(t)
	before := dayBefore(t, dir)
	var env []string
	if strings.Contains(at, ":") {
		env = []string{killAt + "=" + at}
	}
	c := process(t, dir, env, "run", "p", "--date", "2017-11-06")
	var said strings.Builder
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if d, err := time.ParseDuration(at); err == nil {
		stop := time.AfterFunc(d, func() { _ = c.Process.Kill() }) //nolint:errcheck // it may have ended
		defer stop.Stop()
	}
	if err := c.Wait(); err != nil && exitOf(err) != -1 {
		t.Fatalf("the run that was to be killed ended by itself: %v\n%s", err, &said)
	}
	if d := cmp.Diff(before, dayBefore(t, dir)); d != "" {
		t.Errorf("killed, the day before has changed (-before +after):\n%s", d)
	}
	out, err := process(t, dir, nil, "run", "p", "--date", "2017-11-06").CombinedOutput()
	if err != nil {
		t.Fatalf("asked for again: %v\n%s\nbefore it was killed:\n%s", err, out, &said)
	}
	wholeDay(t, dir)
	if d := cmp.Diff(before, dayBefore(t, dir)); d != "" {
		t.Errorf("the day before has changed (-before +after):\n%s", d)
	}
	notTwice(t, dir)
	if t.Failed() {
		t.Logf("before it was killed:\n%s\nafter:\n%s", &said, out)
	}
}

func exitOf(err error) int {
	var x *exec.ExitError
	if errors.As(err, &x) {
		return x.ExitCode() // -1: by a signal
	}
	return 0
}

func dayBefore(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, sum := range tree(t, filepath.Join(dir, "lake")) {
		if strings.Contains(name, "p-20171105-") || strings.Contains(name, "20171106T060000Z") {
			out[name] = sum
		}
	}
	if len(out) < 4 {
		t.Fatalf("the day before is not there: %v", out)
	}
	return out
}

var partName = regexp.MustCompile(`^(lines/region=[a-z]+|sums)/part-\d+-(lines|sums)\.p-2017110[56]-[0-9a-z]+\.\d+\.parquet$`)

// wholeDay wants both days in the lake, once, and nothing else.
func wholeDay(t *testing.T, dir string) {
	t.Helper()
	got := readLake(t, dir, "select count(*), count(distinct id), sum(amount) from lake", "lines")
	if d := cmp.Diff([][]string{{"2400", "2000", "119400.00"}}, got); d != "" {
		t.Errorf("lake/lines (-want +got):\n%s", d)
	}
	got = readLake(t, dir, "select region, sum(orders), sum(amount) from lake group by 1 order by 1", "sums")
	if d := cmp.Diff([][]string{{"east", "600", "30150.00"}, {"north", "600", "28950.00"}, {"south", "600", "29550.00"}, {"west", "600", "30750.00"}}, got); d != "" {
		t.Errorf("lake/sums (-want +got):\n%s", d)
	}
	parts := 0
	for name := range tree(t, filepath.Join(dir, "lake")) {
		_, rel, _ := strings.Cut(name, "/")
		switch {
		case partName.MatchString(name):
			parts++
		case rel == "_SUCCESS", rel == "_tidemill/_lease.json", rel == "_tidemill/.tidemill-lock", strings.HasPrefix(rel, "_tidemill/loads/p.") && strings.HasSuffix(rel, "Z.json"):
		default:
			t.Errorf("left in the lake: %s", name)
		}
	}
	if parts != 10 {
		t.Errorf("%d files of data are in the lake, not 10", parts)
	}
	for _, step := range []string{"orders", "totals"} {
		if out := mustRun(t, dir, "query", "p", "select count(*) as n from "+step, "--date", "2017-11-06", "--format", "csv"); out != map[string]string{"orders": "n\n2000\n", "totals": "n\n4\n"}[step] {
			t.Errorf("dataset %s: %q", step, out)
		}
	}
}

// notTwice wants no attempt of a step after one that was kept as done.
func notTwice(t *testing.T, dir string) {
	t.Helper()
	run := strings.Fields(strings.Split(mustRun(t, dir, "runs", "p", "--limit", "1"), "\n")[2])[0]
	done := map[string]bool{}
	for _, line := range strings.Split(mustRun(t, dir, "logs", run, "--json"), "\n") {
		kind, state := jsonText(line, "type"), jsonText(line, "state")
		switch {
		case kind == "TaskSucceeded":
			done[state] = true
		case (kind == "TaskScheduled" || kind == "Tidemill.Repeated") && done[state]:
			t.Errorf("step %s was done again after it was kept as done", state)
		}
	}
	if len(done) < 8 {
		t.Errorf("only %v are done in %s", done, run)
	}
}

func jsonText(line, key string) string {
	_, rest, ok := strings.Cut(line, `"`+key+`":"`)
	if !ok {
		return ""
	}
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

// TestTwoProcesses asks for one run in two processes at once: one does it, the other says
// who does or that it is done; nothing is there twice.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := killProject(t)
	type end struct {
		code int
		out  string
	}
	ends := make(chan end, 2)
	for range 2 {
		c := process(t, dir, nil, "run", "p", "--date", "2017-11-06")
		go func() {
			out, err := c.CombinedOutput()
			ends <- end{exitOf(err), string(out)}
		}()
	}
	did := 0
	for range 2 {
		e := <-ends
		switch {
		case e.code == 0 && strings.Contains(e.out, "already done: p-20171106-"):
		case e.code == 0 && strings.Contains(e.out, " succeeded in "):
			did++
		case e.code == 1 && strings.Contains(e.out, " is at work: process ") && strings.Contains(e.out, "tidemill cancel p-20171106-"):
		default:
			t.Errorf("exit %d\n%s", e.code, e.out)
		}
	}
	if did != 1 {
		t.Errorf("%d processes did the run, not one", did)
	}
	wholeDay(t, dir)
	notTwice(t, dir)
}

// TestInterrupt stops a run with one signal: it says that it can go on, and it can.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	dir := killProject(t)
	write(t, dir, map[string]string{"pipelines/p.yaml": strings.Replace(killed, "echo before >> notes", "echo before >> notes; test -e go || exec sleep 60", 1)})
	c := process(t, dir, nil, "run", "p", "--date", "2017-11-06")
	out, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buf := make([]byte, 4096)
	for signalled := false; ; {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if !signalled && strings.Contains(said.String(), "before                   started") {
			signalled = true
			if err := c.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break
		}
	}
	if err := c.Wait(); exitOf(err) != exitInterrupted || !strings.Contains(said.String(), "stopping; the run can be resumed") {
		t.Fatalf("exit %d\n%s", exitOf(err), &said)
	}
	if code, _, errs := tidemill(t, dir, "runs"); code != 0 {
		t.Errorf("runs: %s", errs)
	}
	write(t, dir, map[string]string{"go": ""})
	mustRun(t, dir, "run", "p", "--date", "2017-11-06")
	wholeDay(t, dir)
	notTwice(t, dir)
}

// TestDiskFull lets no file grow beyond a few kilobytes, as a full disk would: the run says
// so, nothing that was there is harmed, and it goes on once there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := killProject(t)
	before := dayBefore(t, dir)
	c := process(t, dir, nil, "run", "p", "--date", "2017-11-06")
	limited := exec.CommandContext(t.Context(), "sh", "-c", `trap '' XFSZ; ulimit -f 16; exec "$0" "$@"`)
	limited.Args, limited.Env = append(limited.Args, c.Args...), c.Env
	out, err := limited.CombinedOutput()
	if code := exitOf(err); code != 1 || !strings.Contains(string(out), "no room") && !strings.Contains(string(out), "file too large") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if d := cmp.Diff(before, dayBefore(t, dir)); d != "" {
		t.Errorf("the day before has changed (-before +after):\n%s", d)
	}
	mustRun(t, dir, "run", "p", "--date", "2017-11-06")
	wholeDay(t, dir)
	if d := cmp.Diff(before, dayBefore(t, dir)); d != "" {
		t.Errorf("the day before has changed (-before +after):\n%s", d)
	}
}

// TestCancel ends a run from another process: who drives it finds out, nothing is published,
// and who wants it after all can go on with it.
func TestCancel(t *testing.T) {
	t.Parallel()
	dir := killProject(t)
	write(t, dir, map[string]string{"pipelines/p.yaml": strings.Replace(killed, "echo before >> notes", "echo before >> notes; touch here; until test -e go; do sleep 0.05; done", 1)})
	if err := os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := process(t, dir, nil, "run", "p", "--date", "2017-11-06")
	said := make(chan string, 1)
	go func() {
		out, err := c.CombinedOutput()
		said <- fmt.Sprintf("exit %d\n%s", exitOf(err), out)
	}()
	run := ""
	for end := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(filepath.Join(dir, "here")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the run does not begin")
		}
		<-time.After(20 * time.Millisecond)
	}
	out := mustRun(t, dir, "runs", "p", "--limit", "1")
	if run = strings.Fields(strings.Split(out, "\n")[2])[0]; !strings.Contains(out, " running ") {
		t.Errorf("runs:\n%s", out)
	}
	if code, _, errs := tidemill(t, dir, "run", "p", "--date", "2017-11-06"); code != 1 || !strings.Contains(errs, run+" is at work: process ") {
		t.Errorf("a second one: exit %d\n%s", code, errs)
	}
	before := tree(t, filepath.Join(dir, "lake"))
	if code, _, errs := tidemill(t, dir, "cancel", run); code != 0 || !strings.Contains(errs, "run "+run+" is cancelled") {
		t.Errorf("cancel: exit %d\n%s", code, errs)
	}
	write(t, dir, map[string]string{"go": ""})
	if s := <-said; !strings.HasPrefix(s, "exit 1\n") || !strings.Contains(s, "was taken over or cancelled by another process") {
		t.Errorf("who drove it: %s", s)
	}
	if out := mustRun(t, dir, "runs", "p", "--limit", "1"); !strings.Contains(out, " aborted ") {
		t.Errorf("runs:\n%s", out)
	}
	if d := cmp.Diff(before, tree(t, filepath.Join(dir, "lake"))); d != "" {
		t.Errorf("the lake has changed (-before +after):\n%s", d)
	}
	mustRun(t, dir, "resume", run)
	wholeDay(t, dir)
	notTwice(t, dir)
}
