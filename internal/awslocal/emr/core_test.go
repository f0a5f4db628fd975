package emr

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"golang.org/x/tools/txtar"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
)

var update = flag.Bool("update", false, "write what the tests get into the golden files")

func TestMain(m *testing.M) {
	if code, handled := Child(os.Args[1:], os.Stdin); handled {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestStates plays each archive's script on a cluster: lines of a time, an event and its
// words. After each the cluster's state and its steps' are written, and the next change that
// time brings. The cluster goes through its stored form between any two lines.
func TestStates(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/states/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want, got string
			p := &player{c: &Cluster{ID: "j-TEST", Region: "us-east-1", Plan: paces["real"]}}
			p.c.Request.Instances = &types.JobFlowInstancesConfig{}
			for _, f := range a.Files {
				switch f.Name {
				case "script":
					got = p.play(t, string(f.Data))
				case "want":
					want = string(f.Data)
				}
			}
			if got == want {
				return
			}
			if !*update {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			a.Files = append(a.Files[:1], txtar.File{Name: "want", Data: []byte(got)})
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil { //nolint:gosec // a golden file
				t.Fatal(err)
			}
		})
	}
}

type player struct{ c *Cluster }

var zero = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func (p *player) play(t *testing.T, script string) string {
	t.Helper()
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		words := strings.Fields(line)
		at, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatal(err)
		}
		now := zero.Add(at)
		p.c.advance(now)
		said := p.event(t, now, words[1], words[2:])
		p.c.advance(now)
		fmt.Fprintf(&out, "%s\n\t%s%s\n", line, p.tell(), said) //nolint:errcheck // a builder
		text, err := awsjson.Marshal(p.c)
		if err != nil {
			t.Fatal(err)
		}
		p.c = new(Cluster)
		if err := awsjson.Unmarshal(text, p.c); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func (p *player) event(t *testing.T, now time.Time, event string, args []string) (said string) {
	c, arg := p.c, ""
	if len(args) > 0 {
		arg = args[0]
	}
	switch event {
	case "begin":
		p.settings(t, args)
		c.begin(now)
	case "set":
		p.settings(t, args)
		c.keepAliveSet(now)
		c.schedule(now)
	case "add":
		for _, a := range args {
			name, action, _ := strings.Cut(a, ":")
			c.addSteps(now, &Step{ID: name, Config: types.StepConfig{Name: &name, ActionOnFailure: types.ActionOnFailure(action)}})
		}
	case "exit":
		c.stepEnded(now, c.step(arg), Result{OK: args[1] == "0"})
	case "cancel":
		if why := c.cancelStep(now, c.step(arg), types.StepCancellationOptionSendInterrupt); why != "" {
			said = " | " + why
		}
	case "bootstrapped":
		c.bootstrapped(now, strings.Join(args, " "))
	case "terminate":
		c.terminate(now, types.ClusterStateChangeReasonCodeUserRequest, userRequest)
	case "restart":
		c.restarted(now)
	case "protect":
		c.protect(now, arg == "on")
	case "wait":
	default:
		t.Fatalf("no event %s", event)
	}
	return said
}

func (p *player) settings(t *testing.T, args []string) {
	r := &p.c.Request
	for _, a := range args {
		switch k, v, _ := strings.Cut(a, "="); k {
		case "keep":
			r.Instances.KeepJobFlowAliveWhenNoSteps = ptr(v != "false")
		case "protected":
			r.Instances.TerminationProtected = ptr(v != "false")
		case "concurrency":
			r.StepConcurrencyLevel = ptr(int32(v[0] - '0'))
		case "idle":
			d, err := time.ParseDuration(v)
			if err != nil {
				t.Fatal(err)
			}
			r.AutoTerminationPolicy = &types.AutoTerminationPolicy{IdleTimeout: ptr(int64(d.Seconds()))}
		case "bootstrap":
			r.BootstrapActions = []types.BootstrapActionConfig{{Name: &v}}
		case "stuck":
			p.c.Plan.Stuck = types.ClusterState(v)
		case "lose":
			d, err := time.ParseDuration(v)
			if err != nil {
				t.Fatal(err)
			}
			p.c.Plan.Losing, p.c.Plan.Lose, p.c.Plan.Loss = true, d, "The master node was terminated"
		default:
			t.Fatalf("no setting %s", a)
		}
	}
}

func (p *player) tell() string {
	c := p.c
	out := string(c.State)
	if c.Code != "" {
		out += " " + string(c.Code)
	}
	out += fmt.Sprintf(" %q", c.Message)
	for _, s := range c.Steps {
		out += " " + s.ID + "=" + string(s.State)
	}
	if n, ok := c.next(); ok {
		out += " next " + n.at.Sub(zero).String()
	}
	return out
}
