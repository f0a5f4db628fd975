package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/emr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/runner"
)

func (a *app) runsCommand() *cobra.Command {
	var limit int
	var failed bool
	c := &cobra.Command{
		Use:               "runs [PIPELINE]",
		Short:             "List runs, the newest first",
		Example:           "  tidemill runs\n  tidemill runs orders --limit 5\n  tidemill runs --failed --json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completePipelines,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			q := runner.Query{Limit: limit}
			if len(args) == 1 {
				q.Pipeline = args[0]
			}
			if failed {
				q.Status = []machine.Status{machine.Failed, machine.TimedOut, machine.Aborted}
			}
			return a.runs(c.Context(), q)
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "the most runs")
	c.Flags().BoolVar(&failed, "failed", false, "only runs that did not succeed")
	return c
}

func (a *app) runs(ctx context.Context, q runner.Query) error {
	if _, err := a.load(); err != nil {
		return err
	}
	j, err := a.openJournal(ctx)
	if err != nil {
		return err
	}
	runs, err := j.Find(ctx, q)
	if err != nil {
		return err
	}
	t := table{head: []string{"run", "status", "logical time", "target", "began", "took"}}
	for _, r := range runs {
		status := a.statusOf(r)
		took := ""
		if !r.Ended.IsZero() {
			took = short(r.Ended.Sub(r.Created))
		}
		if a.json {
			a.printJSON(map[string]any{"run": r.ID, "pipeline": r.Key.Pipeline, "status": status, "logical_time": r.Key.Time, "target": r.Key.Target, "created": r.Created, "ended": r.Ended, "error": r.Error, "cause": r.Cause, "owner": r.Owner})
			continue
		}
		t.add(r.ID, status, r.Key.Time.Format("2006-01-02 15:04Z"), r.Key.Target, r.Created.Local().Format("01-02 15:04:05"), took)
	}
	if !a.json {
		if len(runs) == 0 {
			a.say("no runs yet: tidemill run PIPELINE")
			return nil
		}
		t.write(a.stdout)
	}
	return nil
}

// statusOf tells a run at work from one whose process died.
func (a *app) statusOf(r runner.Run) string {
	if r.Status == machine.Running || r.Status == "" {
		if r.Owner == "" || !a.alive(r.Owner) || a.now().After(r.Until) {
			return "interrupted"
		}
		return "running"
	}
	return strings.ToLower(string(r.Status))
}

func (a *app) logsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "logs RUN [STEP]",
		Short:             "Show what happened in a run, and what its steps wrote",
		Example:           "  tidemill logs orders-20171106-k3x9q2\n  tidemill logs orders-20171106-k3x9q2 clean",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			j, run, err := a.findRun(c.Context(), args[0])
			if err != nil {
				return err
			}
			step := ""
			if len(args) == 2 {
				step = args[1]
			}
			events, _, err := j.Events(c.Context(), run.ID)
			if err != nil {
				return err
			}
			a.history(run, events, step)
			return a.attempts(c.Context(), j, run, step)
		},
	}
	return c
}

// history prints a run's events for a person.
func (a *app) history(run runner.Run, events []machine.Event, step string) {
	frames := map[string]string{}
	for _, e := range events {
		if strings.HasSuffix(e.Type, "StateEntered") {
			frames[e.Frame] = e.Details.Name
		}
		state := frames[e.Frame]
		if step != "" && state != step && !strings.HasPrefix(state, step+".") {
			continue
		}
		if a.json {
			a.printJSON(map[string]any{"run": run.ID, "id": e.ID, "at": e.At, "type": e.Type, "state": state, "details": e.Details})
			continue
		}
		if ours(state) && !strings.HasPrefix(e.Type, "Execution") && !strings.HasSuffix(e.Type, "Failed") {
			continue
		}
		switch e.Type {
		case "TaskScheduled":
			a.line(e, state, "started")
		case machine.FactRepeated:
			a.line(e, state, "started again: its process had gone")
		case "TaskSucceeded":
			a.line(e, state, "done"+strings.TrimSuffix((&watcher{a: a}).summary(e.Details.Output), ","))
		case "TaskFailed", "TaskTimedOut", "EvaluationFailed", "ExecutionFailed", "ExecutionAborted":
			a.line(e, state, "FAILED "+e.Details.Error+": "+indent(readable(e.Details.Cause)))
		case machine.FactRetry:
			a.line(e, state, "again at "+e.Details.Due.Local().Format("15:04:05"))
		case "ExecutionStarted", "ExecutionSucceeded", "ExecutionRedriven", "ExecutionTimedOut":
			a.line(e, "", "run "+strings.ToLower(strings.TrimPrefix(e.Type, "Execution")))
		}
	}
}

func (a *app) line(e machine.Event, state, text string) {
	a.print("%s  %-24s %s", e.At.Local().Format("15:04:05.000"), state, a.redact(text))
}

// attempts prints the logs of a run's attempts.
func (a *app) attempts(ctx context.Context, j journal, run runner.Run, step string) error {
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, "runs", run.ID)
	files, err := fs.Glob(os.DirFS(dir), "*/*.log")
	if err != nil {
		return err
	}
	sort.Slice(files, func(i, k int) bool {
		a, b := files[i], files[k]
		if filepath.Dir(a) != filepath.Dir(b) {
			return a < b
		}
		return attemptNumber(a) < attemptNumber(b)
	})
	for _, f := range files {
		state := filepath.Base(filepath.Dir(f))
		name, _, _ := strings.Cut(state, "[")
		if step != "" && name != step && !strings.HasPrefix(name, step+".") {
			continue
		}
		f = filepath.Join(dir, f)
		if info, err := os.Stat(f); err != nil || info.Size() == 0 {
			continue
		}
		a.print("\n--- %s, attempt %d", state, attemptNumber(f))
		if err := copyFile(a.stdout, f); err != nil {
			return err
		}
		if err := a.lateLogs(ctx, j, run, f); err != nil {
			a.say("%s: %s", state, err)
		}
	}
	return nil
}

// lateLogs prints what EMR had not written yet when the attempt ended.
func (a *app) lateLogs(ctx context.Context, j journal, run runner.Run, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	uri := emr.LogsToCome(string(text))
	t, ok := a.project.Target(run.Key.Target)
	if uri == "" || !ok {
		return nil
	}
	b, prefix, err := a.lookup(t, j).Bucket(ctx, uri)
	if err != nil {
		return err
	}
	var logs strings.Builder
	if err := emr.CopyLogs(ctx, b, uri, prefix, &logs); err != nil {
		return err
	}
	fmt.Fprint(a.stdout, a.redact(logs.String())) //nolint:errcheck // a closed pipe ends the command
	return nil
}

func attemptNumber(file string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".log"))
	if err != nil {
		return 0
	}
	return n
}

func copyFile(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

// table prints columns.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) {
	width := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, r := range all {
		for i, c := range r {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for n, r := range all {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(c))+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " ")) //nolint:errcheck // a closed pipe ends the command
		if n == 0 {
			total := 0
			for _, x := range width {
				total += x + 2
			}
			fmt.Fprintln(w, strings.Repeat("─", total-2)) //nolint:errcheck // a closed pipe ends the command
		}
	}
}

func (a *app) completePipelines(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if _, err := a.load(); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.project.PipelineNames(), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeRuns(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if _, err := a.load(); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer a.close()
	j, err := a.openJournal(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	runs, err := j.Find(c.Context(), runner.Query{Limit: 50})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ids := make([]string, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// pruneCommand deletes what the retention lets go.
func (a *app) pruneCommand() *cobra.Command {
	var target string
	c := &cobra.Command{
		Use:     "prune [PIPELINE]",
		Short:   "Delete datasets that nothing refers to and the retention lets go",
		Long:    "Deletes attempts that were never published, and logical times beyond the retention of\nthe pipeline or the project. Nothing younger than a day is touched.",
		Example: "  tidemill prune orders",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: a.completePipelines,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			if _, err := a.load(); err != nil {
				return err
			}
			return a.prune(c.Context(), args, target)
		},
	}
	c.Flags().StringVarP(&target, "target", "t", "", "whose store")
	return c
}

func (a *app) prune(ctx context.Context, names []string, target string) error {
	if len(names) == 0 {
		names = a.project.PipelineNames()
	}
	j, err := a.openJournal(ctx)
	if err != nil {
		return err
	}
	running, err := j.Find(ctx, runner.Query{Status: []machine.Status{"", machine.Running}})
	if err != nil {
		return err
	}
	inUse := map[string]bool{}
	for _, r := range running {
		inUse[r.ID] = true
	}
	for _, name := range names {
		pl, ok := a.project.Pipeline(name)
		if !ok {
			return &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("unknown pipeline %q", name)}}
		}
		_, t, err := a.target(target, pl)
		if err != nil {
			return err
		}
		store, err := a.lookup(t, j).store(ctx)
		if err != nil {
			return err
		}
		n, err := store.Prune(ctx, name, retention(a, pl, inUse))
		if err != nil {
			return err
		}
		a.say("%s: removed %s", name, count(int64(n), "file"))
	}
	return nil
}
