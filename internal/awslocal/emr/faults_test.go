package emr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/google/go-cmp/cmp"
)

// TestPatterns has a star stand for any characters, slashes too.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "x", true}, {"orders-*", "orders-20171106-abc123/cluster.create/1", true}, {"orders-*", "sales/cluster.create/1", false}, {"*/process/*", "orders-1/process/2", true},
		{"*/process/*", "orders-1/sum/2", false}, {"*create/1", "a/cluster.create/1", true}, {"*create/1", "a/cluster.create/2", false},
	} {
		if matches(c.pattern, c.name) != c.want {
			t.Errorf("%q meets %q: %t", c.pattern, c.name, !c.want)
		}
	}
}

// TestScriptFaults tells all faults of a script with their places.
func TestScriptFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"all at once": {`- fault: throttel
- fault: stuck
  stat: STARTING
- fault: stuck
  state: RUNNING
- fault: throttle
  operation: [DescribeClusters, DescribeStep]
  nth: 0
- fault: spot_loss
  after: soon
- cluster: x
- fault: slow
- fault: latency
  by: 1s
  step: x
- fault: step_fails
  step: "["
`, `f.yaml:1:10: there is no fault throttel: did you mean throttle?
f.yaml:3:3: a fault stuck has no key stat: did you mean state?
f.yaml:5:10: a cluster is not stuck in RUNNING: there are STARTING, BOOTSTRAPPING
f.yaml:7:15: EMR has no operation DescribeClusters: did you mean DescribeCluster?
f.yaml:8:8: a number of at least 1 is wanted, not 0
f.yaml:10:10: a duration such as 30s or 5m is wanted, not soon
f.yaml:11:3: the key fault is missing: it says what goes wrong, bootstrap, error, latency, lost_answer, slow, spot_loss, step_fails, step_hangs, step_lost, stuck, throttle
f.yaml:12:3: a fault slow says by how much: by: 30s
f.yaml:15:3: a fault latency has no key step: there are fault, cluster, nth, count, operation, by
f.yaml:17:9: [ is no pattern: write * for any characters`},
		"no list":  {"fault: stuck\n", "f.yaml:1:1: a fault script is a list: each fault begins with \"- fault:\""},
		"no words": {"- [a]\n", "f.yaml:1:3: the key fault is missing: it says what goes wrong, bootstrap, error, latency, lost_answer, slow, spot_loss, step_fails, step_hangs, step_lost, stuck, throttle"},
		"no YAML":  {"- fault: stuck\n  state: [\n", "f.yaml:2:10: sequence end token ']' not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseFaults("f.yaml", []byte(c.text))
			if err == nil {
				t.Fatal("it was taken")
			}
			if d := cmp.Diff(strings.Split(c.want, "\n"), strings.Split(err.Error(), "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

func script1(t *testing.T, text string) *Faults {
	t.Helper()
	f, err := ParseFaults("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFaultsMeet counts what faults happen to.
func TestFaultsMeet(t *testing.T) {
	t.Parallel()
	f := script1(t, `
- fault: throttle
  operation: DescribeStep
  nth: 2
  count: 2
- fault: throttle
  operation: ListSteps
  every: 2s
- fault: error
  cluster: "orders-*"
  operation: [AddJobFlowSteps]
- fault: latency
  operation: ListClusters
  by: 3s
  count: all
- fault: lost_answer
  operation: RunJobFlow
`)
	said := func(after time.Duration, op string, clusters ...string) string {
		c := f.call(zero.Add(after), op, clusters)
		out := fmt.Sprint(c.err)
		if c.latency > 0 {
			out += " after " + c.latency.String()
		}
		if c.lost {
			out += " lost"
		}
		return out
	}
	const throttled = "ThrottlingException: Rate exceeded"
	for i, c := range []struct{ got, want string }{
		{said(0, "DescribeStep"), "<nil>"}, {said(0, "DescribeStep"), throttled}, {said(0, "DescribeStep"), throttled}, {said(0, "DescribeStep"), "<nil>"},
		{said(0, "ListSteps"), "<nil>"}, {said(time.Second, "ListSteps"), throttled}, {said(2*time.Second, "ListSteps"), "<nil>"}, {said(3*time.Second, "ListSteps"), throttled},
		{said(0, "AddJobFlowSteps", "other"), "<nil>"}, {said(0, "AddJobFlowSteps", "orders-1"), "InternalServerException: An internal error occurred."}, {said(0, "AddJobFlowSteps", "orders-1"), "<nil>"},
		{said(0, "ListClusters"), "<nil> after 3s"}, {said(0, "ListClusters"), "<nil> after 3s"},
		{said(0, "RunJobFlow", "x"), "<nil> lost"}, {said(0, "RunJobFlow", "x"), "<nil>"},
	} {
		if c.got != c.want {
			t.Errorf("%d: got %s, want %s", i, c.got, c.want)
		}
	}
}

// TestFaultsPlan changes what is in store for clusters and steps.
func TestFaultsPlan(t *testing.T) {
	t.Parallel()
	f := script1(t, `
- { fault: stuck, cluster: a*, state: STARTING, count: 1 }
- { fault: slow, cluster: b, by: 5m }
- { fault: slow, cluster: b, by: 1m, state: TERMINATING }
- { fault: spot_loss, cluster: c, after: 30s }
- { fault: bootstrap, cluster: d, message: no disk }
- { fault: step_lost, step: "*/cluster.step/*", after: 2s, nth: 2 }
`)
	plan := func(name string) Plan {
		p := paces["seconds"]
		f.plan(name, &p)
		return p
	}
	base := paces["seconds"]
	if got := plan("a1"); got.Stuck != types.ClusterStateStarting {
		t.Errorf("a1: %+v", got)
	}
	if got := plan("a2"); got != base {
		t.Errorf("a2: %+v", got)
	}
	if got := plan("b"); got.Provision != base.Provision+5*time.Minute || got.Dispatch != base.Dispatch+5*time.Minute || got.Shutdown != base.Shutdown+6*time.Minute {
		t.Errorf("b: %+v", got)
	}
	if got := plan("c"); !got.Losing || got.Lose != 30*time.Second || got.Loss != "The master node was terminated" {
		t.Errorf("c: %+v", got)
	}
	if got := plan("d"); got.Bootstrap != "no disk" {
		t.Errorf("d: %+v", got)
	}
	if got := f.step("c", "run1/cluster.step/1"); got != nil {
		t.Errorf("the first step: %+v", got)
	}
	if got := f.step("c", "run1/cluster.step/2"); got == nil || got.Kind != "step_lost" || got.After != 2*time.Second {
		t.Errorf("the second step: %+v", got)
	}
}
