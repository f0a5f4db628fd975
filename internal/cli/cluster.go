package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/aws"
	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/emr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/runner"
)

// remote is a target's AWS: the tasks of its services, made when they are first needed.
type remote struct {
	a      *app
	l      *lookup
	target string
	sdk    *aws.Services
	fault  func(ctx context.Context, step string) error // what a step left about its failure; may be nil

	mu  sync.Mutex
	emr *emr.EMR
}

func (a *app) remote(l *lookup, target string) *remote {
	r := &remote{a: a, l: l, target: target}
	r.sdk = aws.New(r.load)
	return r
}

func (r *remote) load(ctx context.Context) (awsauth.Config, error) {
	return r.l.aws(ctx, r.l.t.AWS.Value)
}

// cluster is the target's EMR.
func (r *remote) cluster(ctx context.Context) (*emr.EMR, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.emr != nil {
		return r.emr, nil
	}
	e, err := emr.New(ctx, emr.Config{Load: r.load, Journal: r.l.journal, Target: r.target, Now: r.a.now, Bucket: r.l.Bucket, Fault: r.fault})
	if err == nil {
		r.emr = e
	}
	return e, err
}

// work is the task of a resource of AWS's.
func (r *remote) work(ctx context.Context, resource string) (runner.Work, bool) {
	if do, ok := r.sdk.Task(resource); ok {
		return runner.Work{Func: r.a.withoutSecrets(do)}, true
	}
	if !strings.HasPrefix(resource, emr.Prefix) {
		return runner.Work{}, false
	}
	e, err := r.cluster(ctx)
	if err != nil {
		return runner.Work{Func: func(context.Context, flow.Request) (json.RawMessage, error) { return nil, err }}, true
	}
	task, do, ok := e.Task(resource)
	if task != nil {
		return runner.Work{Task: &discreet{task, r.a}}, ok
	}
	return runner.Work{Func: r.a.withoutSecrets(do)}, ok
}

// discreet is a task that keeps the secrets it meets out of what is stored of it.
type discreet struct {
	flow.Task
	a *app
}

func (d *discreet) Start(ctx context.Context, r flow.Request) (flow.Token, error) {
	t, err := d.Task.Start(ctx, r)
	return t, d.a.withoutSecret(err)
}

func (d *discreet) Wait(ctx context.Context, r flow.Request, t flow.Token) (json.RawMessage, error) {
	return d.a.withoutSecrets(func(ctx context.Context, r flow.Request) (json.RawMessage, error) { return d.Task.Wait(ctx, r, t) })(ctx, r)
}

func (d *discreet) Submitted(t flow.Token) json.RawMessage {
	if s, ok := d.Task.(flow.Submitter); ok {
		return s.Submitted(t)
	}
	return nil
}

func (d *discreet) Find(ctx context.Context, r flow.Request) (flow.Token, bool, error) {
	if f, ok := d.Task.(flow.Finder); ok {
		return f.Find(ctx, r)
	}
	return "", false, nil
}

// clusterOutput is what a step on a cluster left, as the state STEP.result has it: the
// outputs that the runner laid into the store, or what a script wrote.
func clusterOutput(output string) string {
	var o struct{ Body string }
	var left struct {
		Outputs json.RawMessage `json:"outputs"`
	}
	if json.Unmarshal([]byte(output), &o) != nil || o.Body == "" || json.Unmarshal([]byte(o.Body), &left) != nil {
		return output
	}
	return string(left.Outputs)
}

// endClusters ends what a run that is over has left on AWS, and waits for it.
func (a *app) endClusters(ctx context.Context, j journal, run string) error {
	rows, err := j.LiveClusters(ctx, run)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, c := range rows {
		if c.Shared || done[c.Run+"\x00"+c.Target] {
			continue
		}
		done[c.Run+"\x00"+c.Target] = true
		t, ok := a.project.Target(c.Target)
		if !ok {
			a.say("cluster %s of run %s belongs to target %s, which the project no longer has: it ends when it has been idle", c.ID, c.Run, c.Target)
			continue
		}
		e, err := a.remote(a.lookup(t, j), c.Target).cluster(ctx)
		if err != nil {
			return err
		}
		ids, err := e.EndOf(ctx, c.Run)
		if err != nil {
			return err
		}
		for _, id := range ids {
			a.say("cluster %s has ended", id)
		}
	}
	return nil
}

// endLeftClusters ends what runs that are over have left: their process died before it
// could. Runs that are at work, or can be resumed, keep theirs.
func (a *app) endLeftClusters(ctx context.Context, j journal) error {
	rows, err := j.LiveClusters(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range rows {
		runs, err := j.Find(ctx, runner.Query{ID: c.Run})
		if err != nil {
			return err
		}
		if len(runs) == 1 && (runs[0].Status == machine.Running || runs[0].Status == "") {
			continue
		}
		if err := a.endClusters(ctx, j, c.Run); err != nil {
			return err
		}
	}
	return nil
}

// nodeFile finds the program of cluster nodes: beside this program, or in TIDEMILL_NODE.
func nodeFile(name string) (string, error) {
	dir := os.Getenv("TIDEMILL_NODE")
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(self)
	}
	file, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("it is not in %s", dir)
	}
	return file, nil
}

func nodeHash(name string) (string, error) {
	file, err := nodeFile(name)
	if err != nil {
		return "", err
	}
	return hashOf(file)
}

// fileHash is the hash under which a file of the project is staged.
func (a *app) fileHash(name string) (string, error) {
	return hashOf(filepath.Join(a.project.Dir, filepath.FromSlash(name)))
}

func hashOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil))[:32], nil
}

// readable is a failure's cause for people. That of a step or cluster is the JSON of what
// EMR last said of it.
func readable(cause string) string {
	var c struct {
		StepId, ClusterId string //nolint:revive // AWS's names
		Step              *struct {
			Name   string
			Status struct {
				State          string
				FailureDetails struct{ Reason, Message, LogFile string }
			}
		}
		Cluster *struct {
			Id     string //nolint:revive // AWS's name
			Status struct {
				State             string
				StateChangeReason struct{ Code, Message string }
			}
		}
	}
	if !strings.HasPrefix(cause, "{") || json.Unmarshal([]byte(cause), &c) != nil {
		return cause
	}
	switch {
	case c.Step != nil:
		f := c.Step.Status.FailureDetails
		text := f.Message
		if text == "" {
			text = f.Reason
		}
		if f.LogFile != "" {
			text += "\nlog: " + f.LogFile
		}
		return strings.TrimRight(fmt.Sprintf("step %s ended as %s\n%s", c.StepId, c.Step.Status.State, text), "\n")
	case c.Cluster != nil:
		r := c.Cluster.Status.StateChangeReason
		return strings.TrimRight(fmt.Sprintf("cluster %s ended as %s: %s: %s", c.Cluster.Id, c.Cluster.Status.State, r.Code, r.Message), ": ")
	}
	return cause
}

func (a *app) clustersCommand() *cobra.Command {
	var target string
	var leaked, terminate, all, print bool
	c := &cobra.Command{
		Use:   "clusters [CLUSTER…]",
		Short: "List EMR clusters that Tidemill made, find leaked ones, end them",
		Long: "Lists the living clusters that carry Tidemill's tags: whose they are, their age and state, and\n" +
			"what they cost an hour (on demand in us-east-1, prices of " + emr.PriceDate + ").\n\n" +
			"A cluster is leaked when the time in its tag tidemill:expires has passed, or the journal here says\n" +
			"that its run is over. --terminate ends the listed ones, protected or not, and waits for it.",
		Example: "  tidemill clusters --target emr\n  tidemill clusters --target emr --leaked --terminate\n  tidemill clusters --target emr --terminate j-2AXXXXXXGAPLF\n  tidemill clusters --machine > reaper.asl.json",
		RunE: func(c *cobra.Command, args []string) error {
			if print {
				fmt.Fprint(a.stdout, string(emr.Machine)) //nolint:errcheck // a closed pipe ends the command
				return nil
			}
			defer a.close()
			if terminate && !leaked && len(args) == 0 {
				return usage("--terminate wants --leaked, or the clusters by name")
			}
			return a.clusters(c.Context(), target, args, leaked, terminate, all)
		},
	}
	c.Flags().StringVarP(&target, "target", "t", "", "the target whose account and region are looked at (default: the only one with engine emr)")
	c.Flags().BoolVar(&leaked, "leaked", false, "only those that nobody can want any longer")
	c.Flags().BoolVar(&terminate, "terminate", false, "end them, and wait until they have ended")
	c.Flags().BoolVar(&all, "all", false, "also those of other projects")
	c.Flags().BoolVar(&print, "machine", false, "print a States Language machine that ends leaked clusters, to be run on a schedule")
	return c
}

// clusterTarget is the target that a command about clusters means.
func (a *app) clusterTarget(flag string) (string, *pipeline.Target, error) {
	if name, _ := setting(flag, "TARGET"); name != "" {
		return a.target(name, nil)
	}
	var found []string
	for _, n := range a.project.TargetNames() {
		if t, ok := a.project.Target(n); ok && t.Engine == "emr" {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return "", nil, usage("which target? give --target: of engine emr there are %d (%s)", len(found), strings.Join(found, ", "))
	}
	return a.target(found[0], nil)
}

func (a *app) clusters(ctx context.Context, target string, ids []string, leaked, terminate, all bool) error {
	if _, err := a.load(); err != nil {
		return err
	}
	name, t, err := a.clusterTarget(target)
	if err != nil {
		return err
	}
	j, err := a.openJournal(ctx)
	if err != nil {
		return err
	}
	e, err := a.remote(a.lookup(t, j), name).cluster(ctx)
	if err != nil {
		return err
	}
	list, err := a.foundClusters(ctx, j, e, ids, all)
	if err != nil {
		return err
	}
	tab := table{head: []string{"cluster", "state", "age", "$/hour", "project", "run", "leaked"}}
	var end []string
	for _, f := range list {
		if leaked && f.Leaked == "" {
			continue
		}
		end = append(end, f.ID)
		if a.json {
			a.printJSON(f)
			continue
		}
		whose := f.Run
		if f.Shared != "" {
			whose = "shared as " + f.Shared
		}
		price := "?"
		if f.PerHour > 0 {
			price = fmt.Sprintf("%.2f", f.PerHour)
		}
		tab.add(f.ID, f.State, a.now().Sub(f.Created).Round(time.Second).String(), price, f.Project, whose, f.Leaked)
	}
	switch {
	case len(end) == 0 && leaked:
		a.say("no cluster is leaked")
	case len(end) == 0:
		a.say("no cluster of Tidemill's is alive")
	case !a.json:
		tab.write(a.stdout)
	}
	if !terminate || len(end) == 0 {
		return nil
	}
	if err := e.End(ctx, end...); err != nil {
		return err
	}
	a.say("ended: %s", strings.Join(end, ", "))
	return nil
}

// foundClusters are the clusters by name, or all; what the journal here knows of their runs
// is added to what their tags say.
func (a *app) foundClusters(ctx context.Context, j journal, e *emr.EMR, ids []string, all bool) ([]emr.Found, error) {
	var list []emr.Found
	for _, id := range ids {
		f, err := e.Living(ctx, id)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	if len(ids) == 0 {
		project := a.project.Name.Value
		if all {
			project = ""
		}
		var err error
		if list, err = e.Clusters(ctx, project); err != nil {
			return nil, err
		}
	}
	for i, f := range list {
		if f.Leaked != "" || f.Shared != "" {
			continue
		}
		runs, err := j.Find(ctx, runner.Query{ID: f.Run})
		if err != nil {
			return nil, err
		}
		if len(runs) == 1 && runs[0].Status != machine.Running && runs[0].Status != "" {
			list[i].Leaked = "its run " + verbOf(runs[0].Status)
		}
	}
	return list, nil
}
