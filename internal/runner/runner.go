package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
)

// Work does a resource's tasks: one of Task and Func.
type Work struct {
	Task flow.Task     // outlives the process
	Func flow.TaskFunc // dies with it, and is run again
}

// Config is what a Runner needs.
type Config struct {
	Journal Journal
	Work    func(resource string) (Work, bool)
	Owner   string                  // names this process among those of the host
	Alive   func(owner string) bool // whether the process that an owner names still lives
	Now     func() time.Time
	Log     *slog.Logger
	// Attempt opens the log of an attempt; nil keeps none.
	Attempt func(run, state, item string, attempt int) (io.WriteCloser, error)
	// Watch hears of every event after it is kept, and of progress; nil hears nothing.
	Watch Watcher
	// LeaseTime is how long a lease lasts without renewal; 0 is 30 seconds.
	LeaseTime time.Duration
	// Grace is how long attempts may go on after the context has ended; 0 is none.
	Grace time.Duration
	// Concurrency is how many attempts of a run work at once; 0 is no limit.
	Concurrency int
	// Limits are AWS's quotas; false is none.
	Limits bool
	Region string
}

// Watcher hears of a run as it goes on. Its methods return at once.
type Watcher interface {
	Event(run string, e machine.Event)
	Progress(run string, c machine.Command, p flow.Progress)
}

// AWS's quotas.
const (
	maxEvents = 25_000
	maxData   = 262_144
)

// Runner drives runs.
type Runner struct{ c Config }

// New makes a runner.
func New(c Config) *Runner {
	if c.LeaseTime == 0 {
		c.LeaseTime = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Runner{c}
}

// Result is how a run ended.
type Result struct {
	Status machine.Status
	Output json.RawMessage
	Error  string
	Cause  string
}

// HeldError says that another living process drives the run.
type HeldError struct{ Owner string }

func (e *HeldError) Error() string { return "the run is being driven by " + e.Owner }

// Unwrap makes it ErrStale.
func (e *HeldError) Unwrap() error { return ErrStale }

// Drive takes the run over and goes on with it until it ends, or ctx does. A run that failed
// goes on from the states that did not succeed. A context that ends leaves the run to be
// resumed: then the error is the context's cause.
func (r *Runner) Drive(ctx context.Context, run Run) (Result, error) {
	program, err := asl.Parse(run.Machine)
	if err != nil {
		return Result{}, fmt.Errorf("read the machine of run %s: %w", run.ID, err)
	}
	now := r.c.Now()
	fence, err := r.c.Journal.Lease(ctx, run.ID, r.c.Owner, now, now.Add(r.c.LeaseTime), r.c.Alive)
	if err != nil {
		return Result{}, err
	}
	events, tokens, err := r.c.Journal.Events(ctx, run.ID)
	if err != nil {
		return Result{}, err
	}
	d := &drive{r: r, run: run, fence: fence, x: machine.New(program, r.info(run)), work: map[attemptKey]*attempt{}, done: make(chan machine.Input, 64), broken: make(chan error, 64), tokens: map[string]Token{}}
	for _, e := range events {
		d.x.Evolve(e)
	}
	d.n = len(events)
	for _, t := range tokens {
		d.tokens[t.Key] = t
	}
	return d.loop(ctx)
}

// Fold reads a run's history again without driving it.
func (r *Runner) Fold(ctx context.Context, run Run) (*machine.Execution, error) {
	program, err := asl.Parse(run.Machine)
	if err != nil {
		return nil, fmt.Errorf("read the machine of run %s: %w", run.ID, err)
	}
	events, _, err := r.c.Journal.Events(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	x := machine.New(program, r.info(run))
	for _, e := range events {
		x.Evolve(e)
	}
	return x, nil
}

func (r *Runner) info(run Run) machine.Info {
	seed := uint64(14695981039346656037)
	for _, c := range []byte(run.ID) {
		seed = (seed ^ uint64(c)) * 1099511628211
	}
	i := machine.Info{ID: run.ID, Name: run.ID, Machine: run.Key.Pipeline, MachineID: run.Key.Pipeline + "/" + run.Key.Target, Region: r.c.Region, Seed: seed}
	if r.c.Limits {
		i.MaxEvents, i.MaxData = maxEvents, maxData
	}
	return i
}

// drive is one process's hold of one run.
type drive struct {
	r      *Runner
	run    Run
	fence  Fence
	x      *machine.Execution
	n      int // events kept
	work   map[attemptKey]*attempt
	done   chan machine.Input
	broken chan error // the journal failed under an attempt
	tokens map[string]Token
	slots  chan struct{}
	atWork sync.WaitGroup
}

// attempt is a command that is at work in this process.
type attempt struct {
	command machine.Command
	cancel  context.CancelCauseFunc
}

type attemptKey struct {
	frame, state string
	attempt      int
}

func keyOf(c machine.Command) attemptKey { return attemptKey{c.Frame, c.State, c.Attempt} }

var (
	errGone     = errors.New("the run no longer waits for this attempt")
	errShutdown = errors.New("shutting down")
)

func (d *drive) loop(ctx context.Context) (Result, error) {
	if n := d.r.c.Concurrency; n > 0 {
		d.slots = make(chan struct{}, n)
	}
	// Attempts outlive ctx by the grace.
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(errShutdown)
	defer d.wait(end)
	if err := d.begin(ctx); err != nil {
		return Result{}, err
	}
	renew := time.NewTicker(d.r.c.LeaseTime / 3)
	defer renew.Stop()
	for d.x.Status == machine.Running {
		if err := d.dispatch(ctx, work); err != nil {
			return Result{}, err
		}
		timer := d.timer()
		select {
		case in := <-d.done:
			if err := d.step(ctx, d.ready(in)...); err != nil {
				return Result{}, err
			}
		case err := <-d.broken:
			timer.Stop()
			return Result{}, err
		case <-timer.C:
			if err := d.step(ctx, machine.Input{Kind: machine.Tick, At: d.r.c.Now()}); err != nil {
				return Result{}, err
			}
		case <-renew.C:
			now := d.r.c.Now()
			if _, err := d.r.c.Journal.Lease(ctx, d.run.ID, d.r.c.Owner, now, now.Add(d.r.c.LeaseTime), d.r.c.Alive); err != nil && ctx.Err() == nil {
				return Result{}, err
			}
		case <-ctx.Done():
			timer.Stop()
			return Result{}, d.shutdown(ctx)
		}
		timer.Stop()
	}
	d.cancelGone()
	return Result{Status: d.x.Status, Output: d.x.Output, Error: d.x.Error, Cause: d.x.Cause}, nil
}

// begin starts a new run, or says that what died with another process is run again.
func (d *drive) begin(ctx context.Context) error {
	now := d.r.c.Now()
	if d.x.Status == "" {
		return d.step(ctx, machine.Input{Kind: machine.Start, At: now, Output: d.run.Input})
	}
	if d.x.Status != machine.Running {
		return d.step(ctx, machine.Input{Kind: machine.Redrive, At: now, State: d.run.From})
	}
	var lost []machine.Input
	for _, c := range d.x.Commands() {
		w, ok := d.r.c.Work(c.Resource)
		if ok && w.Func != nil {
			lost = append(lost, machine.Input{Kind: machine.Repeat, At: now, Frame: c.Frame, State: c.State, Attempt: c.Attempt})
		}
	}
	lost = append(lost, machine.Input{Kind: machine.Tick, At: now})
	return d.step(ctx, lost...)
}

// timer fires when the execution wants a Tick.
func (d *drive) timer() *time.Timer {
	due := d.x.Due()
	if due.IsZero() {
		return time.NewTimer(24 * time.Hour)
	}
	return time.NewTimer(max(0, due.Sub(d.r.c.Now())))
}

// ready adds what else has ended to a completion, for one decision together.
func (d *drive) ready(in machine.Input) []machine.Input {
	ins := []machine.Input{in}
	for {
		select {
		case in := <-d.done:
			ins = append(ins, in)
		default:
			return ins
		}
	}
}

// step decides on inputs and keeps the decision.
func (d *drive) step(ctx context.Context, ins ...machine.Input) error {
	for _, in := range ins {
		if in.Kind == machine.Submit {
			continue // it is at work still
		}
		delete(d.work, attemptKey{in.Frame, in.State, in.Attempt})
	}
	before := d.x.Status
	events, err := d.x.Decide(ins...)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return nil
	}
	dec := Decision{Events: events, Due: d.x.Due(), At: ins[0].At}
	if d.x.Status != before {
		dec.Status, dec.Error, dec.Cause, dec.Output = d.x.Status, d.x.Error, d.x.Cause, d.x.Output
	}
	return d.commit(ctx, dec)
}

func (d *drive) commit(ctx context.Context, dec Decision) error {
	// A decision that is made is kept even when ctx has just ended.
	if err := d.r.c.Journal.Commit(context.WithoutCancel(ctx), d.run.ID, d.fence, d.n, dec); err != nil {
		return fmt.Errorf("keep what run %s decided: %w", d.run.ID, err)
	}
	d.n += len(dec.Events)
	if w := d.r.c.Watch; w != nil {
		for _, e := range dec.Events {
			w.Event(d.run.ID, e)
		}
	}
	return nil
}

// dispatch begins the attempts that have to be at work and ends those that no longer have to.
func (d *drive) dispatch(ctx, work context.Context) error {
	d.cancelGone()
	for _, c := range d.x.Commands() {
		if _, ok := d.work[keyOf(c)]; ok {
			continue
		}
		w, ok := d.r.c.Work(c.Resource)
		if !ok {
			d.fail(c, &flow.Error{Op: "do " + c.Resource, Kind: flow.Invalid, Name: "States.Runtime", Err: errors.New("nothing here does this resource")})
			continue
		}
		actx, cancel := context.WithCancelCause(work)
		a := &attempt{command: c, cancel: cancel}
		d.work[keyOf(c)] = a
		if w.Task != nil {
			if err := d.remote(ctx, actx, a, w.Task); err != nil {
				return err
			}
			continue
		}
		d.atWork.Go(func() { d.local(actx, c, w.Func) })
	}
	return nil
}

func (d *drive) cancelGone() {
	wanted := map[attemptKey]bool{}
	for _, c := range d.x.Commands() {
		wanted[keyOf(c)] = true
	}
	for k, a := range d.work {
		if !wanted[k] {
			a.cancel(errGone)
			delete(d.work, k)
		}
	}
}

// fail reports an attempt that could not be begun.
func (d *drive) fail(c machine.Command, err error) {
	d.work[keyOf(c)] = &attempt{command: c, cancel: func(error) {}}
	in := d.failure(c, err)
	go func() { d.done <- in }()
}

func (d *drive) failure(c machine.Command, err error) machine.Input {
	cause := err.Error()
	if h := flow.HintOf(err); h != "" && !strings.Contains(cause, h) {
		cause += "\n" + h
	}
	return machine.Input{Kind: machine.Failure, At: d.r.c.Now(), Frame: c.Frame, State: c.State, Attempt: c.Attempt, Error: flow.Name(err), Cause: cause}
}

func (d *drive) success(c machine.Command, out json.RawMessage) machine.Input {
	if len(out) == 0 {
		out = json.RawMessage("{}")
	}
	return machine.Input{Kind: machine.Done, At: d.r.c.Now(), Frame: c.Frame, State: c.State, Attempt: c.Attempt, Output: out}
}

func (d *drive) request(c machine.Command, log io.Writer) flow.Request {
	progress := func(flow.Progress) {}
	if w := d.r.c.Watch; w != nil {
		progress = func(p flow.Progress) { w.Progress(d.run.ID, c, p) }
	}
	return flow.Request{Key: d.run.ID + "/" + c.Name(), Run: d.run.ID, State: c.State, Item: c.Item, Attempt: c.Attempt, Resource: c.Resource,
		Arguments: c.Arguments, Log: log, Progress: progress}
}

// local does an attempt that dies with the process.
func (d *drive) local(ctx context.Context, c machine.Command, do flow.TaskFunc) {
	if d.slots != nil {
		select {
		case d.slots <- struct{}{}:
			defer func() { <-d.slots }()
		case <-ctx.Done():
			return
		}
	}
	log, err := d.openLog(c)
	if err != nil {
		d.report(ctx, d.failure(c, err))
		return
	}
	out, err := guarded(ctx, do, d.request(c, log), log)
	if err != nil {
		fmt.Fprintf(log, "%s\n", err) //nolint:errcheck // the journal has the error
	}
	d.closeLog(c, log)
	if ctx.Err() != nil {
		return // nobody waits for it; a resumed run repeats it
	}
	if err != nil {
		d.report(ctx, d.failure(c, err))
		return
	}
	d.report(ctx, d.success(c, out))
}

// openLog opens an attempt's log.
func (d *drive) openLog(c machine.Command) (io.WriteCloser, error) {
	if d.r.c.Attempt == nil {
		return discard{io.Discard}, nil
	}
	log, err := d.r.c.Attempt(d.run.ID, c.State, c.Item, c.Attempt)
	if err != nil {
		return nil, fmt.Errorf("open the attempt's log: %w", err)
	}
	return log, nil
}

func (d *drive) closeLog(c machine.Command, log io.Closer) {
	if err := log.Close(); err != nil {
		d.r.c.Log.Warn("close attempt's log", "run", d.run.ID, "state", c.State, "attempt", c.Attempt, "error", err)
	}
}

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// report hands a completion to the loop, if that still waits.
func (d *drive) report(ctx context.Context, in machine.Input) {
	select {
	case d.done <- in:
	case <-ctx.Done():
	}
}

// guarded runs a task; a panic is the attempt's failure, its trace in the log.
func guarded(ctx context.Context, do flow.TaskFunc, r flow.Request, log io.Writer) (out json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(log, "panic: %v\n%s", p, debug.Stack()) //nolint:errcheck // the error says it too
			err = &flow.Error{Op: "do " + r.State, Kind: flow.Unknown, Name: flow.NamePanic, Err: fmt.Errorf("panic: %v", p), Hint: "the trace is in the attempt's log"}
		}
	}()
	return do(ctx, r)
}

// remote begins, or finds again, an attempt that outlives the process.
func (d *drive) remote(ctx, actx context.Context, a *attempt, task flow.Task) error {
	c := a.command
	key := d.request(c, nil).Key
	t, known := d.tokens[key]
	if !known {
		t = Token{Key: key, At: d.r.c.Now()}
		if err := d.commit(ctx, Decision{Tokens: []Token{t}, Due: d.x.Due(), At: t.At}); err != nil {
			return err
		}
		d.tokens[key] = t
	}
	d.atWork.Go(func() {
		log, err := d.openLog(c)
		if err != nil {
			d.report(actx, d.failure(c, err))
			return
		}
		defer d.closeLog(c, log)
		r := d.request(c, log)
		if known && !t.Started {
			r.Since = t.At
		}
		out, err := d.attend(actx, r, t, c, task)
		if actx.Err() != nil {
			return
		}
		if err != nil {
			fmt.Fprintf(log, "%s\n", err) //nolint:errcheck // the journal has the error
			d.report(actx, d.failure(c, err))
			return
		}
		d.report(actx, d.success(c, out))
	})
	return nil
}

// stopTime is how long the end of a task's work may take: a cluster's takes minutes.
const stopTime = 10 * time.Minute

// attend begins a task's work, unless that is done, and waits for its end. If the run no
// longer wants the work, it is stopped.
func (d *drive) attend(actx context.Context, r flow.Request, t Token, c machine.Command, task flow.Task) (json.RawMessage, error) {
	if !t.Started {
		token, err := task.Start(actx, r)
		if err != nil {
			return nil, err
		}
		t.Started, t.Token = true, token
		if err := d.r.c.Journal.Commit(context.WithoutCancel(actx), d.run.ID, d.fence, -1, Decision{Tokens: []Token{t}, At: d.r.c.Now()}); err != nil {
			// Whether the token was kept is not known: as after a crash, a later drive finds out.
			select {
			case d.broken <- fmt.Errorf("keep the token of %s: %w", t.Key, err):
			default:
			}
			<-actx.Done()
			return nil, err
		}
	}
	if s, ok := task.(flow.Submitter); ok {
		d.report(actx, machine.Input{Kind: machine.Submit, At: d.r.c.Now(), Frame: c.Frame, State: c.State, Attempt: c.Attempt, Output: s.Submitted(t.Token)})
	}
	out, err := task.Wait(actx, r, t.Token)
	if errors.Is(context.Cause(actx), errGone) {
		stop, cancel := context.WithTimeout(context.WithoutCancel(actx), stopTime)
		defer cancel()
		if err := task.Stop(stop, t.Token); err != nil {
			d.r.c.Log.Warn("stop a task", "run", d.run.ID, "state", c.State, "attempt", c.Attempt, "error", err)
		}
	}
	return out, err
}

// shutdown lets attempts end within the grace, keeps what ended, and leaves the rest.
func (d *drive) shutdown(ctx context.Context) error {
	cause := context.Cause(ctx)
	if d.r.c.Grace <= 0 {
		return cause
	}
	grace := time.NewTimer(d.r.c.Grace)
	defer grace.Stop()
	for len(d.work) > 0 && d.x.Status == machine.Running {
		select {
		case in := <-d.done:
			if err := d.step(ctx, d.ready(in)...); err != nil {
				return err
			}
			d.cancelGone()
		case <-grace.C:
			return cause
		}
	}
	return cause
}

// wait ends all attempts of this process.
func (d *drive) wait(end context.CancelCauseFunc) {
	end(errShutdown)
	for _, a := range d.work {
		a.cancel(errShutdown)
	}
	d.atWork.Wait()
}

// Stop ends a run from outside: it is aborted, and whoever drives it finds out at the next
// decision. Work that outlives the process which began it is stopped, and waited for.
func (r *Runner) Stop(ctx context.Context, run Run, cause string) error {
	program, err := asl.Parse(run.Machine)
	if err != nil {
		return fmt.Errorf("read the machine of run %s: %w", run.ID, err)
	}
	now := r.c.Now()
	// The lease is taken over from whoever has it: nobody counts as alive.
	fence, err := r.c.Journal.Lease(ctx, run.ID, r.c.Owner, now, now.Add(r.c.LeaseTime), func(string) bool { return false })
	if err != nil {
		return err
	}
	events, tokens, err := r.c.Journal.Events(ctx, run.ID)
	if err != nil {
		return err
	}
	x := machine.New(program, r.info(run))
	for _, e := range events {
		x.Evolve(e)
	}
	open := x.Commands()
	var ins []machine.Input
	if x.Status == "" {
		ins = append(ins, machine.Input{Kind: machine.Start, At: now, Output: run.Input})
	}
	ins = append(ins, machine.Input{Kind: machine.Stop, At: now, Error: "Tidemill.Canceled", Cause: cause})
	made, err := x.Decide(ins...)
	if err != nil || len(made) == 0 {
		return err
	}
	if err := r.c.Journal.Commit(ctx, run.ID, fence, len(events), Decision{Events: made, Status: x.Status, Error: x.Error, Cause: x.Cause, At: now}); err != nil {
		return err
	}
	return r.stopAll(ctx, run, open, tokens)
}

// stopAll ends the work of attempts that outlives the process which began it.
func (r *Runner) stopAll(ctx context.Context, run Run, open []machine.Command, tokens []Token) error {
	if r.c.Work == nil {
		return nil
	}
	known := map[string]Token{}
	for _, t := range tokens {
		known[t.Key] = t
	}
	d := &drive{r: r, run: run}
	var g sync.WaitGroup
	errs := make([]error, len(open))
	for i, c := range open {
		w, ok := r.c.Work(c.Resource)
		q := d.request(c, io.Discard)
		t, begun := known[q.Key]
		if !ok || w.Task == nil || !begun {
			continue
		}
		q.Since = t.At
		g.Go(func() {
			token := t.Token
			if !t.Started {
				f, ok := w.Task.(flow.Finder)
				if !ok {
					return
				}
				var err error
				if token, ok, err = f.Find(ctx, q); err != nil || !ok {
					errs[i] = err
					return
				}
			}
			errs[i] = w.Task.Stop(ctx, token)
		})
	}
	g.Wait()
	return errors.Join(errs...)
}
