package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tidemill/tidemill/internal/duckdb"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/move"
	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/runner"
	"github.com/tidemill/tidemill/internal/spark"
)

// runner puts together what drives the runs of one target.
func (a *app) runner(ctx context.Context, j journal, run runner.Run, t *pipeline.Target, w runner.Watcher) (*runner.Runner, func(), error) {
	dir, err := a.stateDir()
	if err != nil {
		return nil, nil, err
	}
	l := a.lookup(t, j)
	store, err := l.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	tasks := map[string]flow.TaskFunc{}
	add := func(more map[string]flow.TaskFunc) {
		for verb, do := range more {
			tasks[flow.Resource(verb)] = do
		}
	}
	scratch := filepath.Join(dir, "tmp")
	a.sweep(scratch)
	temp := filepath.Join(scratch, a.owner())
	add(duckdb.Tasks(duckdb.TaskConfig{Lookup: l, Catalog: l.catalog, Store: store, Session: session(t), Temp: temp}))
	a.learnSecrets(t)
	add(move.Tasks(move.Config{Lookup: l, Store: store, Source: l.source, Sink: l.sink, Dir: a.project.Dir, Temp: temp, Resolve: l.environment, Node: nodeFile}))
	sparkTask := a.sparkTask(l, spark.Config{Store: store, Dir: filepath.Join(dir, "spark")}, t)
	aws := a.remote(l, run.Key.Target)
	if t.Engine == "emr" {
		cluster := spark.Cluster{Task: a.sparkTask(l, spark.Config{Store: store, Dir: filepath.Join(temp, "prepare")}, t)}
		add(cluster.Tasks())
		add(node.Delegate{Lookup: l, Store: store, KMSKey: t.Store.KMSKey, Connection: l.onCluster}.Tasks())
		aws.fault = cluster.Fault
	}
	concurrency := 0
	pl, ok := a.project.Pipeline(run.Key.Pipeline)
	if ok {
		concurrency = pl.Concurrency
	}
	r := runner.New(runner.Config{
		Journal: j,
		Work: func(resource string) (runner.Work, bool) {
			if resource == flow.Resource("spark") {
				return runner.Work{Task: &discreet{sparkTask, a}}, true
			}
			do, ok := tasks[resource]
			if !ok {
				return aws.work(ctx, resource)
			}
			return runner.Work{Func: a.withoutSecrets(a.inPool(pl, dir, do))}, ok
		},
		Owner: a.owner(), Alive: a.alive, Now: a.now,
		Log:     slog.New(slog.NewTextHandler(&lineWriter{a}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Attempt: a.attemptLog(dir), Watch: w, Concurrency: concurrency, Limits: t.Limits == "aws", Region: orElse(t.Region, "us-east-1"),
	})
	return r, func() {
		os.RemoveAll(temp) //nolint:errcheck // a later process sweeps it
		l.closeSinks()     //nolint:errcheck // what was loaded is flushed
	}, nil
}

// inPool has a step's task wait for a place in the step's pool. The places are locks of the
// state folder, shared by all runs of the host.
func (a *app) inPool(pl *pipeline.Pipeline, dir string, do flow.TaskFunc) flow.TaskFunc {
	return func(ctx context.Context, r flow.Request) (json.RawMessage, error) {
		step, _, _ := strings.Cut(r.State, ".")
		var pool string
		if pl != nil {
			if s, ok := pl.Steps.Get(step); ok {
				pool = s.Pool.Value
			}
		}
		if places, ok := a.project.Pools.Get(pool); ok && pool != "" {
			files := make([]string, places)
			for i := range files {
				files[i] = filepath.Join(dir, "locks", "pool."+pool+"."+strconv.Itoa(i))
			}
			r.Progress(flow.Progress{Doing: "wait for a place in pool " + pool})
			l, err := anyLock(ctx, files)
			if err != nil {
				return nil, err
			}
			defer l.release()
		}
		return do(ctx, r)
	}
}

// withoutSecrets keeps the secrets that a task meets out of what is stored of it.
func (a *app) withoutSecrets(do flow.TaskFunc) flow.TaskFunc {
	return func(ctx context.Context, r flow.Request) (json.RawMessage, error) {
		out, err := do(ctx, r)
		if err != nil {
			return nil, a.withoutSecret(err)
		}
		if text := a.redact(string(out)); text != string(out) {
			if !json.Valid([]byte(text)) { // it stood outside a string
				text = `"(secret)"`
			}
			out = json.RawMessage(text)
		}
		return out, nil
	}
}

func (a *app) withoutSecret(err error) error {
	if err == nil {
		return nil
	}
	if text := a.redact(err.Error()); text != err.Error() {
		return &redactedError{err, text}
	}
	return err
}

type redactedError struct {
	err  error
	text string
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// learnSecrets reads what the project's and the target's connections refer to, whether the
// run uses it or not: a program of the run may print what it finds in its environment. A
// reference that cannot be read is reported by who needs it.
func (a *app) learnSecrets(t *pipeline.Target) {
	for _, m := range []pipeline.Map[pipeline.Connection]{a.project.Connections, t.Connections} {
		for _, e := range m {
			a.learn(e.Value.Keys)
		}
	}
}

func (a *app) learn(m pipeline.Map[pipeline.Any]) {
	for _, e := range m {
		if sub, ok := e.Value.Value.(pipeline.Map[pipeline.Any]); ok {
			a.learn(sub)
			continue
		}
		if text, ok := e.Value.Constant(); ok {
			refs, _ := flow.SecretRefs(fmt.Sprint(text))
			for _, r := range refs {
				if v, err := ownSecret(r); err == nil {
					a.addSecret(v)
				}
			}
		}
	}
}

// lineWriter sends log lines to standard error, without secrets.
type lineWriter struct{ a *app }

func (l *lineWriter) Write(p []byte) (int, error) {
	l.a.say("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// session is how DuckDB is opened for a target.
func session(t *pipeline.Target) duckdb.Config {
	c := duckdb.Config{Threads: t.Threads}
	if t.Memory != nil {
		// What DuckDB counts is not all that it uses: writing Parquet and what malloc keeps come
		// on top, and so do the readers in Go.
		c.Memory = strconv.FormatInt(t.Memory.Bytes*85/100, 10) + "B"
	}
	return c
}

// sweep removes the scratch folders of processes that are gone.
func (a *app) sweep(scratch string) {
	entries, err := os.ReadDir(scratch)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.Count(e.Name(), ":") == 2 && !a.alive(e.Name()) {
			os.RemoveAll(filepath.Join(scratch, e.Name())) //nolint:errcheck // the next sweep tries again
		}
	}
}

// attemptLog opens runs/RUN/STATE/ATTEMPT.log.
func (a *app) attemptLog(dir string) func(run, state, item string, attempt int) (io.WriteCloser, error) {
	return func(run, state, item string, attempt int) (io.WriteCloser, error) {
		name := logFile(dir, run, state, item, attempt)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		return &redactor{a: a, w: f}, nil
	}
}

func logFile(dir, run, state, item string, attempt int) string {
	if item != "" {
		state += "[" + item + "]"
	}
	return filepath.Join(dir, "runs", run, state, strconv.Itoa(attempt)+".log")
}

// owner names this process: HOST:PID:START, where START tells it from a later process of
// the same number.
func (a *app) owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s:%d:%s", strings.ReplaceAll(host, ":", "_"), os.Getpid(), started(os.Getpid()))
}

// alive tells whether an owner's process still lives. Of another host nothing is known: its
// lease has to end.
func (a *app) alive(owner string) bool {
	parts := strings.Split(owner, ":")
	if len(parts) != 3 {
		return true
	}
	host, err := os.Hostname()
	if err != nil || strings.ReplaceAll(host, ":", "_") != parts[0] {
		return true
	}
	pid, err := strconv.Atoi(parts[1])
	if err != nil {
		return true
	}
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	return parts[2] == "" || started(pid) == parts[2]
}

// started is when a process began, as the system counts; empty where it does not say.
func started(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold anything: count the fields after it.
	_, rest, ok := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// ownerText names an owner for people.
func ownerText(owner string) string {
	parts := strings.Split(owner, ":")
	if len(parts) != 3 {
		return owner
	}
	return "process " + parts[1] + " on " + parts[0]
}
