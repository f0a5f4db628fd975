package emr

import (
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
)

// Faults are what a fault script says that goes wrong. They happen in the order of what they
// meet, never by chance.
type Faults struct {
	mu   sync.Mutex
	list []*Fault
}

// Fault is one line of a fault script.
type Fault struct {
	Kind       string   // one of kinds
	Cluster    string   // pattern of the cluster's name; empty: every
	Step       string   // pattern of the step's name; empty: every
	Operations []string // of the API; empty: every
	Nth        int      // the first of what it meets that it happens to, from 1
	Count      int      // how many of them, from there; 0: all
	Every      time.Duration
	State      types.ClusterState
	After, By  time.Duration
	Message    string
	Exit       int

	met  int       // so many did it meet
	next time.Time // throttle with Every: when the next call is let through
}

// Kinds of fault, and what each happens to.
const (
	aboutCluster = iota
	aboutStep
	aboutCall
)

// kinds are the words of a fault script, with the keys that each knows beside cluster, nth
// and count.
var kinds = map[string]struct {
	about int
	keys  []string
}{
	"stuck":       {aboutCluster, []string{"state"}},
	"slow":        {aboutCluster, []string{"state", "by"}},
	"bootstrap":   {aboutCluster, []string{"message"}},
	"spot_loss":   {aboutCluster, []string{"after", "message"}},
	"step_fails":  {aboutStep, []string{"step", "message", "exit"}},
	"step_lost":   {aboutStep, []string{"step", "after", "message"}},
	"step_hangs":  {aboutStep, []string{"step"}},
	"throttle":    {aboutCall, []string{"operation", "every"}},
	"error":       {aboutCall, []string{"operation", "message"}},
	"latency":     {aboutCall, []string{"operation", "by"}},
	"lost_answer": {aboutCall, []string{"operation"}},
}

// meets counts a thing that the fault is about, and tells whether it happens to it.
func (f *Fault) meets() bool {
	f.met++
	return f.met >= f.Nth && (f.Count == 0 || f.met < f.Nth+f.Count)
}

func matches(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	// A star stands for slashes too, which are in the names of a run's clusters and steps.
	plain := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(plain.Replace(pattern), plain.Replace(name)) // patterns are checked when they are read
	return err == nil && ok
}

// plan changes what is in store for a new cluster.
func (f *Faults) plan(name string, p *Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.list {
		if kinds[x.Kind].about != aboutCluster || !matches(x.Cluster, name) || !x.meets() {
			continue
		}
		switch x.Kind {
		case "stuck":
			p.Stuck = x.State
		case "slow":
			for s, d := range map[types.ClusterState]*time.Duration{
				types.ClusterStateStarting: &p.Provision, types.ClusterStateBootstrapping: &p.Install, types.ClusterStateRunning: &p.Dispatch, types.ClusterStateTerminating: &p.Shutdown,
			} {
				if x.State == "" || x.State == s {
					*d += x.By
				}
			}
		case "bootstrap":
			p.Bootstrap = x.Message
		case "spot_loss":
			p.Losing, p.Lose, p.Loss = true, x.After, x.Message
		}
	}
}

// step is what happens to a new step: nil for nothing.
func (f *Faults) step(cluster, name string) *StepFault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.list {
		if kinds[x.Kind].about == aboutStep && matches(x.Cluster, cluster) && matches(x.Step, name) && x.meets() {
			return &StepFault{Kind: x.Kind, After: x.After, Message: x.Message, Exit: x.Exit}
		}
	}
	return nil
}

// StepFault is what a fault script has in store for a step.
type StepFault struct {
	Kind    string
	After   time.Duration
	Message string
	Exit    int
}

// callFault is what happens to a call.
type callFault struct {
	err     error
	latency time.Duration
	lost    bool // it takes effect, and its answer does not arrive
}

func (f *Faults) call(now time.Time, operation string, clusters []string) (out callFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.list {
		if kinds[x.Kind].about != aboutCall || len(x.Operations) > 0 && !slices.Contains(x.Operations, operation) || !x.any(clusters) {
			continue
		}
		if x.Every > 0 {
			if now.Before(x.next) {
				out.err = throttled()
			} else {
				x.next = now.Add(x.Every)
			}
			continue
		}
		if !x.meets() {
			continue
		}
		switch x.Kind {
		case "throttle":
			out.err = throttled()
		case "error":
			out.err = &awsjson.Error{Status: 500, Type: "InternalServerException", Message: x.Message, Bare: true}
		case "latency":
			out.latency += x.By
		case "lost_answer":
			out.lost = true
		}
	}
	return out
}

// any tells whether a call is about a cluster that the fault is about.
func (f *Fault) any(clusters []string) bool {
	return f.Cluster == "" || slices.ContainsFunc(clusters, func(c string) bool { return matches(f.Cluster, c) })
}

func throttled() error { return awsjson.Errorf("ThrottlingException", "Rate exceeded") }
