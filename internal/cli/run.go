package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/runner"
	"github.com/tidemill/tidemill/internal/sched"
)

// runFlags are the flags of commands that name a run to be made.
type runFlags struct {
	date, at, target string
	params           []string
	again, dryRun    bool
	order            ordering
	only             []string
	backfill         string
}

func (f *runFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.date, "date", "", "the run whose ds is this day: 2017-11-06")
	c.Flags().StringVar(&f.at, "at", "", "the fire at this instant, where a day has several: 2017-11-06T06:00:00Z")
	c.Flags().StringVarP(&f.target, "target", "t", "", "where it runs (default: the pipeline's target, or local)")
	c.Flags().StringArrayVar(&f.params, "param", nil, "set a param: NAME=VALUE")
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run PIPELINE",
		Short: "Run a pipeline for one logical time",
		Long: "Runs a pipeline for one logical time and waits for its end.\n\n" +
			"Asked for again, a run that succeeded is not done again, one that failed goes on from\nwhere it failed, and one that is at work is named with its owner. A changed pipeline,\n--again, or neither a schedule nor a date make a new run.",
		Example:           "  tidemill run sales\n  tidemill run orders --date 2017-11-06\n  tidemill run orders --date 2017-11-06 --again --param region=West",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completePipelines,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			return a.run(c.Context(), args[0], f)
		},
	}
	f.bind(c)
	c.Flags().BoolVar(&f.again, "again", false, "make a new run though one succeeded")
	c.Flags().BoolVar(&f.order.onward, "onward", false, "make a new run, and then of every later time that was published, in order")
	c.Flags().BoolVar(&f.order.skipFailed, "skip-failed", false, "where rows are kept from run to run: leave out earlier times that failed")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would run, and run nothing")
	c.Flags().StringVar(&f.backfill, "backfill", "", "a name that the runs of a back-fill have in common: they share a cluster of scope backfill")
	c.Flags().StringSliceVar(&f.only, "only", nil, "run only these steps, over the datasets that are there")
	return c
}

// asked is a run that is asked for, worked out.
type asked struct {
	pl      *pipeline.Pipeline
	name    string // the target's
	target  *pipeline.Target
	fire    sched.Fire
	sch     *sched.Schedule
	dated   bool // a date was given, or there is a schedule
	params  map[string]any
	key     runner.Key
	machine *plan.Machine

	backfill string // the name of the back-fill that the run belongs to
}

// ask works out what a run is to be, without doing anything.
func (a *app) ask(name string, f runFlags) (*asked, error) {
	pl, err := a.pipelineNamed(name)
	if err != nil {
		return nil, err
	}
	return a.askOf(pl, f)
}

func (a *app) askOf(pl *pipeline.Pipeline, f runFlags) (*asked, error) {
	var err error
	q := &asked{pl: pl, backfill: f.backfill}
	if f.backfill != "" && !backfillName.MatchString(f.backfill) {
		return nil, usage("--backfill %s: letters, digits, - and _ are wanted, at most 40", f.backfill)
	}
	if q.name, q.target, err = a.target(f.target, pl); err != nil {
		return nil, err
	}
	vars, _, err := a.vars(q.target)
	if err != nil {
		return nil, err
	}
	if err := q.when(a.now(), f); err != nil {
		return nil, err
	}
	if err := q.paramsOf(vars, f.params); err != nil {
		return nil, err
	}
	for _, s := range f.only {
		if _, ok := pl.Nodes[s]; !ok {
			return nil, &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("--only %s: the pipeline has no such step", s), Hint: "there are: " + strings.Join(pl.Steps.Keys(), ", ")}}
		}
	}
	o := a.options(q.name, vars)
	o.Only = f.only
	m, faults := plan.Compile(a.project, pl, o)
	if m == nil {
		return nil, faults
	}
	q.machine = m
	q.key = runner.Key{Pipeline: pl.Name.Value, Time: q.fire.Time, Target: q.name, Params: paramsHash(pl, q.params)}
	return q, nil
}

// when chooses the fire.
func (q *asked) when(now time.Time, f runFlags) error {
	var err error
	if q.sch, err = q.pl.Sched(); err != nil {
		return err
	}
	q.dated = q.sch != nil || f.date != "" || f.at != ""
	if f.at != "" {
		return q.fireAt(f.at, f.date)
	}
	if f.date == "" {
		if q.sch == nil {
			q.fire = sched.OnDate(sched.DateOf(now.UTC()))
			return nil
		}
		var ok bool
		if q.fire, ok = q.sch.Latest(now); !ok {
			return usage("the schedule of %s has not fired yet: give --date", q.pl.Name.Value)
		}
		return nil
	}
	d, err := sched.ParseDate(f.date)
	if err != nil {
		return &usageError{fmt.Errorf("--date: %w", err)}
	}
	if q.sch == nil {
		q.fire = sched.OnDate(d)
		return nil
	}
	switch fires := q.sch.On(d); len(fires) {
	case 1:
		q.fire = fires[0]
	case 0:
		before, after := q.sch.Nearest(d)
		var near []string
		for _, x := range []sched.Date{before, after} {
			if !x.IsZero() {
				near = append(near, x.String())
			}
		}
		return &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("%s has no run whose ds is %s", q.pl.Name.Value, d), Hint: "the nearest: " + strings.Join(near, ", ")}}
	default:
		var at []string
		for _, x := range fires {
			at = append(at, x.Time.In(q.sch.Location()).Format(time.RFC3339))
		}
		return &usageError{&flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("%s has %d runs whose ds is %s", q.pl.Name.Value, len(fires), d), Hint: "choose one with --at: " + strings.Join(at, ", ")}}
	}
	return nil
}

func (q *asked) fireAt(at, date string) error {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return usage("--at %s: an instant is wanted, as in 2017-11-06T06:00:00Z", at)
	}
	if q.sch == nil {
		return usage("--at goes with a schedule: %s has none; use --date", q.pl.Name.Value)
	}
	f, ok := q.sch.Fire(t)
	if !ok {
		n, _ := q.sch.Next(t)
		return usage("%s does not fire at %s; the next fire is %s", q.pl.Name.Value, at, n.Time.In(q.sch.Location()).Format(time.RFC3339))
	}
	if date != "" && f.Date.String() != date {
		return usage("the ds of the fire at %s is %s, not %s", at, f.Date, date)
	}
	q.fire = f
	return nil
}

// paramsOf are the params: the defaults and those of the command line.
func (q *asked) paramsOf(vars map[string]any, flags []string) error {
	q.params = map[string]any{}
	for _, e := range q.pl.Params {
		if !e.Value.Has {
			continue
		}
		v, err := pipeline.ResolveVars(e.Value.Default, vars)
		if err != nil {
			return &usageError{fmt.Errorf("%s: the default of param %s: %w", e.Pos, e.Key, err)}
		}
		q.params[e.Key] = v
	}
	for _, kv := range flags {
		name, text, ok := strings.Cut(kv, "=")
		if !ok {
			return usage("--param %s: NAME=VALUE is wanted", kv)
		}
		p, ok := q.pl.Params.Get(name)
		if !ok {
			return &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("--param %s: the pipeline has no such param", name), Hint: "there are: " + strings.Join(q.pl.Params.Keys(), ", ")}}
		}
		v := any(text)
		if p.Type != "string" && p.Type != "date" {
			v = scalar(text)
			if _, wantText := q.params[name].(string); wantText && p.Type == "" {
				v = text
			}
		}
		if err := p.Check(v); err != nil {
			return usage("--param %s: %s", name, err)
		}
		q.params[name] = v
	}
	for _, e := range q.pl.Params {
		if _, ok := q.params[e.Key]; !ok {
			return usage("param %s has no default: give --param %s=…", e.Key, e.Key)
		}
	}
	return nil
}

// paramsHash is empty where every param has its default.
func paramsHash(pl *pipeline.Pipeline, params map[string]any) string {
	changed := map[string]any{}
	for _, e := range pl.Params {
		if c, ok := e.Value.Default.Constant(); !e.Value.Has || !ok || !equalJSON(c, params[e.Key]) {
			changed[e.Key] = params[e.Key]
		}
	}
	if onlyTemplated(pl, params, changed) {
		return ""
	}
	b, err := json.Marshal(changed)
	if err != nil {
		panic(err) // values of YAML
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])[:8]
}

// onlyTemplated tells whether what differs from a constant default is a default with a variable.
func onlyTemplated(pl *pipeline.Pipeline, params, changed map[string]any) bool {
	for name := range changed {
		p, _ := pl.Params.Get(name)
		if _, constant := p.Default.Constant(); !p.Has || constant {
			return false
		}
	}
	return true
}

func equalJSON(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}

// keyHash is six characters that are equal for equal keys.
func keyHash(k runner.Key) string {
	h := sha256.Sum256([]byte(strings.Join([]string{k.Pipeline, k.Time.UTC().Format(time.RFC3339), k.Target, k.Params}, "\x00")))
	s := new(big.Int).SetBytes(h[:8]).Text(36)
	return s[len(s)-6:]
}

// id is the name of the key's n-th run: PIPELINE-YYYYMMDD[THHMM]-HASH[-N].
func (q *asked) id(n int) string {
	s := q.pl.Name.Value + "-" + q.fire.Date.NoDash()
	if q.sch != nil && q.sch.SubDaily() {
		s += "T" + q.fire.Time.In(q.sch.Location()).Format("1504")
	}
	s += "-" + keyHash(q.key)
	if n > 1 {
		s += fmt.Sprintf("-%d", n)
	}
	return s
}

// input is what the run's machine is given.
func (q *asked) input(id string, steps, marks map[string]any) (json.RawMessage, error) {
	rfc := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	in := map[string]any{
		"run_id": id, "ds": q.fire.Date.String(), "ds_nodash": q.fire.Date.NoDash(), "ts": rfc(q.fire.Time), "logical_time": rfc(q.fire.Time),
		"data_interval_start": rfc(q.fire.Start), "data_interval_end": rfc(q.fire.End), "scheduled_at": rfc(q.fire.Time),
		"params": q.params, "slot": flow.TimeName(q.fire.Time), "params_hash": q.key.Params,
	}
	if steps != nil {
		in["steps"] = steps
	}
	if marks != nil {
		in["cursors"] = marks
	}
	if q.backfill != "" {
		in["backfill"] = q.backfill
	}
	return json.Marshal(in)
}

var backfillName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

func (a *app) run(ctx context.Context, name string, f runFlags) error {
	q, err := a.ask(name, f)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.dryRun(q)
	}
	j, err := a.openJournal(ctx)
	if err != nil {
		return err
	}
	f.again = f.again || f.order.onward
	if err := a.claimAndDrive(ctx, j, q, f); err != nil || !f.order.onward {
		return err
	}
	return a.onward(ctx, j, q, f)
}

func (a *app) claimAndDrive(ctx context.Context, j journal, q *asked, f runFlags) error {
	run, done, err := a.claim(ctx, j, q, f)
	if err != nil || done {
		return err
	}
	return a.drive(ctx, j, run, q.target, f.order)
}

// claim finds the run of a key that there is, or makes one. done tells that nothing is left to do.
func (a *app) claim(ctx context.Context, j journal, q *asked, f runFlags) (runner.Run, bool, error) {
	for range 100 {
		runs, err := j.Find(ctx, runner.Query{Key: &q.key, Limit: 1})
		if err != nil {
			return runner.Run{}, false, err
		}
		n := 1
		if len(runs) > 0 {
			old := runs[0]
			same := old.Hash == q.machine.Hash && q.dated && len(f.only) == 0
			switch {
			case old.Status == machine.Running || old.Status == "":
				if old.Owner != "" && old.Owner != a.owner() && a.now().Before(old.Until) && a.alive(old.Owner) {
					return old, false, held(old)
				}
				if same || !q.dated {
					return old, false, nil // it died with its process: go on
				}
			case old.Status == machine.Succeeded && same && !f.again:
				a.already(old)
				return old, true, nil
			case old.Status != machine.Succeeded && same && !f.again:
				over, err := a.carriedOut(ctx, j, &old)
				if err != nil {
					return old, false, err
				}
				if !over {
					a.say("resuming %s, which %s", old.ID, verbOf(old.Status))
					return old, false, nil
				}
				a.say("%s failed after all its steps had their turn: this is a new run", old.ID)
			}
			n = old.N + 1
		}
		release, err := a.inOrder(ctx, j, q.key, q.target, f.order) // before there is a run that waits for its turn
		if err != nil {
			return runner.Run{}, false, err
		}
		release()
		run, made, err := a.create(ctx, j, q, n)
		if err != nil || made {
			return run, false, err
		}
		// Another process was first: look again.
		f.again = false
	}
	return runner.Run{}, false, errors.New("claim the run: too many processes ask for it at once")
}

// carriedOut tells whether a run that failed was carried to its end by its machine, as one
// is whose steps run_if another failed: a state Fail is all that could be gone on from. Where
// the compiler knows a better state, the run is made to go on from that.
func (a *app) carriedOut(ctx context.Context, j journal, run *runner.Run) (bool, error) {
	if run.Status != machine.Failed {
		return false, nil
	}
	events, _, err := j.Events(ctx, run.ID)
	if err != nil {
		return false, err
	}
	for _, e := range slices.Backward(events) {
		if strings.HasSuffix(e.Type, "StateEntered") {
			run.From = plan.ResumeAt(e.Details.Name)
			return e.Frame == "" && e.Type == "FailStateEntered" && run.From == "", nil
		}
	}
	return false, nil
}

func (a *app) create(ctx context.Context, j journal, q *asked, n int) (runner.Run, bool, error) {
	id := q.id(n)
	var steps map[string]any
	if len(q.machine.Needs) > 0 || isOnly(q) {
		var err error
		if steps, err = a.standing(ctx, j, q); err != nil {
			return runner.Run{}, false, err
		}
	}
	marks, err := a.marks(ctx, j, q)
	if err != nil {
		return runner.Run{}, false, err
	}
	input, err := q.input(id, steps, marks)
	if err != nil {
		return runner.Run{}, false, err
	}
	return j.Create(ctx, runner.Run{ID: id, Key: q.key, N: n, Machine: q.machine.Text, Hash: q.machine.Hash, Texts: q.machine.Texts, Input: input, Created: a.now()})
}

// marks are the cursors of the run's steps as they stand: read once, for all its attempts.
func (a *app) marks(ctx context.Context, j journal, q *asked) (map[string]any, error) {
	if len(q.machine.Cursors) == 0 {
		return nil, nil
	}
	store, err := a.lookup(q.target, j).store(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, step := range q.machine.Cursors {
		v, err := store.Cursor(ctx, flow.Slot{Pipeline: q.pl.Name.Value, Step: step, Params: q.key.Params})
		if err != nil {
			return nil, err
		}
		if v != "" {
			out[step] = v
		}
	}
	return out, nil
}

func isOnly(q *asked) bool { return len(q.machine.Steps) < len(q.pl.Steps) }

// standing are the datasets that --only reads: the current ones of the same logical time.
func (a *app) standing(ctx context.Context, j journal, q *asked) (map[string]any, error) {
	l := a.lookup(q.target, j)
	store, err := l.store(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, step := range q.machine.Needs {
		d, err := store.CurrentDataset(ctx, flow.Slot{Pipeline: q.pl.Name.Value, Step: step, Time: flow.TimeName(q.fire.Time), Params: q.key.Params})
		if flow.KindOf(err) == flow.NotFound {
			return nil, &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("--only %s reads step %s, which has no dataset for %s", strings.Join(q.machine.Steps, ","), step, q.fire.Date), Hint: "run it once without --only, or name " + step + " too"}}
		}
		if err != nil {
			return nil, err
		}
		out[step] = map[string]any{"manifest": d.URI, "rows": d.Rows}
	}
	return out, nil
}

func held(r runner.Run) error {
	return &flow.Error{Kind: flow.Conflict, Err: fmt.Errorf("run %s is at work: %s", r.ID, ownerText(r.Owner)), Hint: "wait for it, or end it with tidemill cancel " + r.ID}
}

func verbOf(s machine.Status) string {
	switch s {
	case machine.Failed:
		return "failed"
	case machine.TimedOut:
		return "timed out"
	case machine.Aborted:
		return "was cancelled"
	}
	return strings.ToLower(string(s))
}

func (a *app) already(r runner.Run) {
	if a.json {
		a.printJSON(map[string]any{"run": r.ID, "status": r.Status, "already": true})
		return
	}
	a.say("already done: %s succeeded at %s (--again makes a new run)", r.ID, r.Ended.Local().Format("2006-01-02 15:04:05"))
}

func (a *app) printJSON(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	a.print("%s", a.redact(string(b)))
}

func (a *app) dryRun(q *asked) error {
	if a.json {
		a.printJSON(map[string]any{"run": q.id(1), "ds": q.fire.Date.String(), "logical_time": q.fire.Time, "target": q.name, "steps": q.machine.Steps, "params": q.params, "machine": q.machine.Hash})
		return nil
	}
	a.print("%s would run on %s as %s", q.pl.Name.Value, q.name, q.id(1))
	a.print("  ds            %s", q.fire.Date)
	a.print("  logical time  %s", q.fire.Time.Format(time.RFC3339))
	a.print("  data interval %s to %s", q.fire.Start.UTC().Format(time.RFC3339), q.fire.End.UTC().Format(time.RFC3339))
	for _, k := range sortedKeys(q.params) {
		a.print("  param         %s = %v", k, q.params[k])
	}
	a.print("  steps         %s", strings.Join(q.machine.Steps, ", "))
	for _, n := range q.machine.Notes {
		a.print("  note          %s", n)
	}
	return nil
}

// drive goes on with a run until its end and shows it.
func (a *app) drive(ctx context.Context, j journal, run runner.Run, t *pipeline.Target, o ordering) error {
	release, err := a.inOrder(ctx, j, run.Key, t, o)
	if err != nil {
		return err
	}
	defer release()
	w := a.watch()
	r, closeTasks, err := a.runner(ctx, j, run, t, w)
	if err != nil {
		return err
	}
	defer closeTasks()
	if !a.json {
		a.say("run %s", run.ID)
	}
	if err := a.endLeftClusters(ctx, j); err != nil {
		a.say("clusters of earlier runs: %s", err) // they end when they have been idle
	}
	began := a.now()
	res, err := r.Drive(ctx, run)
	w.close()
	var h *runner.HeldError
	switch {
	case errors.As(err, &h):
		run.Owner = h.Owner
		return held(run)
	case errors.Is(err, runner.ErrStale):
		return &flow.Error{Kind: flow.Conflict, Err: fmt.Errorf("run %s was taken over or cancelled by another process", run.ID), Hint: "tidemill runs shows how it stands"}
	case err != nil:
		return err
	}
	return errors.Join(a.report(run, res, a.now().Sub(began)), a.endClusters(ctx, j, run.ID))
}

// report says how a run ended.
func (a *app) report(run runner.Run, res runner.Result, took time.Duration) error {
	if a.json {
		out := map[string]any{"run": run.ID, "status": res.Status, "seconds": took.Seconds()}
		if res.Error != "" {
			out["error"], out["cause"] = res.Error, res.Cause
		}
		if len(res.Output) > 0 {
			out["output"] = res.Output
		}
		a.printJSON(out)
	}
	if res.Status == machine.Succeeded {
		if !a.json {
			a.say("run %s succeeded in %s", run.ID, short(took))
		}
		return nil
	}
	if !a.json {
		a.say("run %s %s after %s", run.ID, verbOf(res.Status), short(took))
		a.say("  see     tidemill logs %s", run.ID)
		a.say("  again   tidemill resume %s (what is done is not done again)", run.ID)
	}
	return &shown{fmt.Errorf("run %s %s: %s", run.ID, verbOf(res.Status), res.Error)}
}

func (a *app) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "resume RUN",
		Short:   "Go on with a run that failed or was cut short",
		Example: "  tidemill resume orders-20171106-k3x9q2",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			ctx := c.Context()
			j, run, err := a.findRun(ctx, args[0])
			if err != nil {
				return err
			}
			t, ok := a.project.Target(run.Key.Target)
			if !ok {
				return usage("run %s belongs to target %s, which the project no longer has", run.ID, run.Key.Target)
			}
			if run.Status == machine.Succeeded {
				a.already(run)
				return nil
			}
			over, err := a.carriedOut(ctx, j, &run)
			if err != nil {
				return err
			}
			if over {
				return &flow.Error{Kind: flow.Conflict, Err: fmt.Errorf("run %s failed after all its steps had their turn: there is nothing to go on from", run.ID), Hint: "tidemill run " + run.Key.Pipeline + ", with the same date, makes a new run"}
			}
			return a.drive(ctx, j, run, t, ordering{})
		},
	}
}

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel RUN",
		Short:   "End a run; what it began outside is ended too",
		Example: "  tidemill cancel orders-20171106-k3x9q2",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			ctx := c.Context()
			j, run, err := a.findRun(ctx, args[0])
			if err != nil {
				return err
			}
			if run.Status != machine.Running && run.Status != "" {
				a.say("run %s %s already", run.ID, verbOf(run.Status))
				return nil
			}
			r := runner.New(runner.Config{Journal: j, Owner: a.owner(), Alive: a.alive, Now: a.now})
			if t, ok := a.project.Target(run.Key.Target); ok {
				var closeTasks func()
				if r, closeTasks, err = a.runner(ctx, j, run, t, nil); err != nil {
					return err
				}
				defer closeTasks()
			}
			if err := r.Stop(ctx, run, "cancelled by "+ownerText(a.owner())); err != nil {
				return err
			}
			if err := a.endClusters(ctx, j, run.ID); err != nil {
				return err
			}
			a.say("run %s is cancelled", run.ID)
			return nil
		},
	}
}

// findRun finds a run by its id, or by the beginning of one.
func (a *app) findRun(ctx context.Context, id string) (journal, runner.Run, error) {
	if _, err := a.load(); err != nil {
		return nil, runner.Run{}, err
	}
	j, err := a.openJournal(ctx)
	if err != nil {
		return nil, runner.Run{}, err
	}
	runs, err := j.Find(ctx, runner.Query{})
	if err != nil {
		return nil, runner.Run{}, err
	}
	var found []runner.Run
	var ids []string
	for _, r := range runs {
		if r.ID == id {
			return j, r, nil
		}
		ids = append(ids, r.ID)
		if strings.HasPrefix(r.ID, id) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return j, found[0], nil
	case 0:
		hint := "tidemill runs lists them"
		if n := pipeline.Nearest(id, ids); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		return nil, runner.Run{}, &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("unknown run %q", id), Hint: hint}}
	}
	var names []string
	for _, r := range found {
		names = append(names, r.ID)
	}
	slices.Sort(names)
	return nil, runner.Run{}, usage("%q is the beginning of several runs: %s", id, strings.Join(names, ", "))
}
