package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/runner"
)

// keeps are the steps whose tables are the accumulated whole of all runs.
func keeps(pl *pipeline.Pipeline) []string {
	var out []string
	for _, e := range pl.Steps {
		if e.Value.Keep != nil {
			out = append(out, e.Key)
		}
	}
	return out
}

// ordering is what a person has said about the order of runs.
type ordering struct {
	onward     bool // all later times are run again after this one
	skipFailed bool // earlier times that failed are left out
}

// inOrder sees to it that the runs of a pipeline that keeps rows go one at a time and in the
// order of their logical times: each builds on what the one before has published. What it
// returns is called when the run has ended.
func (a *app) inOrder(ctx context.Context, j journal, k runner.Key, t *pipeline.Target, o ordering) (func(), error) {
	pl, ok := a.project.Pipeline(k.Pipeline)
	if !ok || len(keeps(pl)) == 0 {
		return func() {}, nil
	}
	dir, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	name := strings.Join([]string{k.Pipeline, k.Target, k.Params}, ".")
	l, err := tryLock(filepath.Join(dir, "locks", name+".lock"))
	if err != nil {
		return nil, err
	}
	if err := a.mayRun(ctx, j, k, t, pl, l != nil, o); err != nil {
		if l != nil {
			l.release()
		}
		return nil, err
	}
	return l.release, nil
}

// mayRun tells what keeps a key's run from being the next in order.
func (a *app) mayRun(ctx context.Context, j journal, k runner.Key, t *pipeline.Target, pl *pipeline.Pipeline, alone bool, o ordering) error {
	runs, err := j.Find(ctx, runner.Query{Pipeline: k.Pipeline})
	if err != nil {
		return err
	}
	seen := map[int64]bool{} // the newest run of a time is what counts
	for _, r := range runs {
		if r.Key.Target != k.Target || r.Key.Params != k.Params || seen[r.Key.Time.Unix()] {
			continue
		}
		seen[r.Key.Time.Unix()] = true
		switch {
		case !alone && a.statusOf(r) == "running":
			return &flow.Error{Op: "run " + pl.Name.Value, Kind: flow.Conflict, Err: fmt.Errorf("it keeps rows from run to run, so its runs go one at a time: %s is at work, %s", r.ID, ownerText(r.Owner)), Hint: "wait for it, or end it with tidemill cancel " + r.ID}
		case r.Key.Time.Before(k.Time) && r.Status != machine.Succeeded && r.Status != machine.Aborted && !(o.skipFailed && !r.Ended.IsZero()):
			return &flow.Error{Op: "run " + pl.Name.Value, Kind: flow.Conflict, Err: fmt.Errorf("it keeps rows from run to run, so its runs go in the order of their times: %s, of an earlier one, has not succeeded", r.ID), Hint: "tidemill resume " + r.ID + ", or leave that time out: " + leaveOut(r)}
		}
	}
	if !alone {
		return &flow.Error{Op: "run " + pl.Name.Value, Kind: flow.Conflict, Err: errors.New("it keeps rows from run to run, so its runs go one at a time: another is at work"), Hint: "wait for it: tidemill runs " + pl.Name.Value}
	}
	if o.onward {
		return nil
	}
	later, err := a.later(ctx, j, k, t, pl)
	if err != nil || len(later) == 0 {
		return err
	}
	return &flow.Error{Op: "run " + pl.Name.Value, Kind: flow.Conflict, Err: fmt.Errorf("it keeps rows from run to run, and later times were published: %s; an old time is run again only with all after it", listed(pl, later)),
		Hint: "tidemill run " + pl.Name.Value + " --onward, with the same date, runs it and them again, in order"}
}

func leaveOut(r runner.Run) string {
	if r.Ended.IsZero() {
		return "tidemill cancel " + r.ID
	}
	return "--skip-failed"
}

// later are the logical times after a key's that were published, in order.
func (a *app) later(ctx context.Context, j journal, k runner.Key, t *pipeline.Target, pl *pipeline.Pipeline) ([]time.Time, error) {
	store, err := a.lookup(t, j).store(ctx)
	if err != nil {
		return nil, err
	}
	var times []time.Time
	for _, step := range keeps(pl) {
		slots, err := store.Later(ctx, flow.Slot{Pipeline: k.Pipeline, Step: step, Time: flow.TimeName(k.Time), Params: k.Params})
		if err != nil {
			return nil, err
		}
		for _, s := range slots {
			at, err := flow.ParseTimeName(s.Time)
			if err != nil {
				return nil, err
			}
			times = append(times, at.UTC())
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return slices.CompactFunc(times, time.Time.Equal), nil
}

// listed are times as a person asks for them: by ds, or the instant where a day has several.
func listed(pl *pipeline.Pipeline, times []time.Time) string {
	sch, err := pl.Sched()
	var names []string
	for _, at := range times {
		name := at.Format(time.DateOnly)
		if err == nil && sch != nil {
			name = at.Format(time.RFC3339)
			if f, ok := sch.Fire(at); ok && !sch.SubDaily() {
				name = f.Date.String()
			}
		}
		names = append(names, name)
	}
	if n := len(names); n > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:2], ", "), n-2)
	}
	return strings.Join(names, ", ")
}

// onward runs the later times again, after the one that was asked for.
func (a *app) onward(ctx context.Context, j journal, q *asked, f runFlags) error {
	later, err := a.later(ctx, j, q.key, q.target, q.pl)
	if err != nil {
		return err
	}
	for _, at := range later {
		next := f
		next.date, next.at = at.Format(time.DateOnly), ""
		if q.sch != nil {
			next.date, next.at = "", at.Format(time.RFC3339)
		}
		again, err := a.ask(q.pl.Name.Value, next)
		if err != nil {
			return err
		}
		if err := a.claimAndDrive(ctx, j, again, next); err != nil {
			return err
		}
	}
	return nil
}
