package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/tidemill/tidemill/internal/emr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/runner"
	"github.com/tidemill/tidemill/internal/sqlite"
)

// app is one command's view of the world: its flags, its project, what it opened.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time

	dir      string
	json     bool
	varFlags []string

	project *pipeline.Project
	state   string // of the state instead of the project's .tidemill
	open    func(ctx context.Context, file string) (journal, error)
	journal journal

	mu      sync.Mutex
	secrets []string // the resolved values, which nothing prints
}

// journal is what commands do with the record of runs.
type journal interface {
	runner.Journal
	emr.Journal
	Text(ctx context.Context, hash string) (string, error)
	Backup(ctx context.Context, file string) error
	Path() string
	Close() error
}

func openSQLite(ctx context.Context, file string) (journal, error) {
	j, err := sqlite.Open(ctx, file)
	if err != nil {
		return nil, err
	}
	return j, nil
}

// print writes a line to standard output.
func (a *app) print(format string, args ...any) {
	fmt.Fprintf(a.stdout, format+"\n", args...) //nolint:errcheck // a closed pipe ends the command by its signal
}

// say writes a line for a person to standard error.
func (a *app) say(format string, args ...any) {
	fmt.Fprintln(a.stderr, a.redact(fmt.Sprintf(format, args...))) //nolint:errcheck // a message
}

// redact takes every known secret out of a text.
func (a *app) redact(s string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.secrets {
		s = strings.ReplaceAll(s, x, "(secret)")
	}
	return s
}

func (a *app) addSecret(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(s) < 4 {
		return // so short a text stands everywhere
	}
	for _, x := range a.secrets {
		if x == s {
			return
		}
	}
	a.secrets = append(a.secrets, s)
	// A secret may contain another.
	sort.Slice(a.secrets, func(i, j int) bool { return len(a.secrets[i]) > len(a.secrets[j]) })
}

// redactor is a writer without secrets. It works on whole lines.
type redactor struct {
	a    *app
	w    io.WriteCloser
	rest []byte
	mu   sync.Mutex
}

func (r *redactor) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	if i := strings.LastIndexByte(string(r.rest), '\n'); i >= 0 || len(r.rest) > 1<<16 {
		if i < 0 {
			i = len(r.rest) - 1
		}
		out := r.a.redact(string(r.rest[:i+1]))
		r.rest = append(r.rest[:0], r.rest[i+1:]...)
		if _, err := io.WriteString(r.w, out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (r *redactor) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := io.WriteString(r.w, r.a.redact(string(r.rest)))
	return errors.Join(err, r.w.Close())
}

// setting is a flag's value, or the environment's TIDEMILL_KEY.
func setting(flag, key string) (value, from string) {
	if flag != "" {
		return flag, "flag"
	}
	if v := os.Getenv("TIDEMILL_" + key); v != "" {
		return v, "TIDEMILL_" + key
	}
	return "", ""
}

// findProject is the project's folder.
func (a *app) findProject() (string, error) {
	if dir, _ := setting(a.dir, "PROJECT"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		if s, err := os.Stat(abs); err != nil || !s.IsDir() {
			return "", usage("%s is no folder", dir)
		}
		return abs, nil
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		for _, mark := range []string{pipeline.ProjectFile, "pipelines"} {
			if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
				return dir, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("no project here: neither %s nor pipelines/ in %s or above", pipeline.ProjectFile, wd), Hint: "make one with tidemill init NAME"}}
		}
	}
}

// load reads the project and returns its faults; warnings alone are no error.
func (a *app) load() (pipeline.Faults, error) {
	dir, err := a.findProject()
	if err != nil {
		return nil, err
	}
	p, faults := pipeline.Read(pipeline.Options{Dir: dir, Connectors: connectors()})
	a.project = p
	if err := a.overrideConnections(); err != nil {
		return faults, err
	}
	return faults, nil
}

// pipelineNamed finds a pipeline whose own files, and the project's, have no faults.
func (a *app) pipelineNamed(name string) (*pipeline.Pipeline, error) {
	faults, err := a.load()
	if err != nil {
		return nil, err
	}
	name = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(name, ".yaml"), ".yml"), "pipelines/"), "/")
	pl, ok := a.project.Pipeline(name)
	if !ok {
		// A pipeline that cannot be read has no name but its file's.
		var own pipeline.Faults
		for _, f := range faults {
			if strings.HasPrefix(f.Pos.File, "pipelines/"+name+".") {
				own = append(own, f)
			}
		}
		if own.Err() != nil {
			return nil, own
		}
		hint := "make one: pipelines/" + name + ".yaml"
		if n := pipeline.Nearest(name, a.project.PipelineNames()); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		} else if names := a.project.PipelineNames(); len(names) > 0 {
			hint = "there are: " + strings.Join(names, ", ")
		}
		return nil, &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("unknown pipeline %q", name), Hint: hint}}
	}
	var own pipeline.Faults
	others := map[string]bool{}
	for _, other := range a.project.Pipelines {
		if other != pl {
			others[other.File] = true
		}
	}
	for _, f := range faults {
		if !others[f.Pos.File] {
			own = append(own, f)
		}
	}
	return pl, own.Err()
}

// target is the name of the target that a command works with.
func (a *app) target(flag string, pl *pipeline.Pipeline) (string, *pipeline.Target, error) {
	name, _ := setting(flag, "TARGET")
	if name == "" && pl != nil {
		name = pl.Target.Value
	}
	if name == "" {
		name = "local"
	}
	t, ok := a.project.Target(name)
	if !ok {
		return "", nil, &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("unknown target %q", name), Hint: "there are: " + strings.Join(a.project.TargetNames(), ", ")}}
	}
	return name, t, nil
}

var varName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// vars are the variables of a target: the project's, then the target's, the environment's,
// the command line's.
func (a *app) vars(t *pipeline.Target) (map[string]any, map[string]string, error) {
	out, from := map[string]any{}, map[string]string{}
	for _, m := range []struct {
		vars pipeline.Map[pipeline.Any]
		from string
	}{{a.project.Vars, pipeline.ProjectFile}, {t.Vars, "target"}} {
		for _, e := range m.vars {
			v, ok := e.Value.Constant()
			if !ok {
				return nil, nil, usage("%s: variable %s: a template cannot stand in a variable", e.Pos, e.Key)
			}
			out[e.Key], from[e.Key] = v, m.from
		}
	}
	for _, kv := range os.Environ() {
		name, v, _ := strings.Cut(kv, "=")
		name, ok := strings.CutPrefix(name, "TIDEMILL_VAR_")
		if !ok {
			continue
		}
		for _, known := range sortedKeys(out) {
			if strings.EqualFold(known, name) {
				name = known
			}
		}
		out[name], from[name] = scalar(v), "TIDEMILL_VAR_"+strings.ToUpper(name)
	}
	for _, kv := range a.varFlags {
		name, v, ok := strings.Cut(kv, "=")
		if !ok || !varName.MatchString(name) {
			return nil, nil, usage("--var %s: NAME=VALUE is wanted", kv)
		}
		out[name], from[name] = scalar(v), "--var"
	}
	return out, from, nil
}

// scalar reads a text as YAML would a plain value.
func scalar(s string) any {
	var v any
	if err := yaml.Unmarshal([]byte(s), &v); err != nil {
		return s
	}
	switch x := v.(type) {
	case uint64:
		return int64(x)
	case bool, int64, float64, string, []any, map[string]any:
		return v
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// stateDir is the folder .tidemill of the project, made where it is missing.
func (a *app) stateDir() (string, error) {
	dir := a.state
	if dir == "" {
		dir = filepath.Join(a.project.Dir, ".tidemill")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder .tidemill: %w", err)
	}
	ignore := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(ignore); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(ignore, []byte("*\n"), 0o600); err != nil {
			return "", fmt.Errorf("make folder .tidemill: %w", err)
		}
	}
	return dir, nil
}

// openJournal opens the journal of the project, once.
func (a *app) openJournal(ctx context.Context) (journal, error) {
	if a.journal != nil {
		return a.journal, nil
	}
	dir, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	a.journal, err = a.open(ctx, filepath.Join(dir, "journal.db"))
	return a.journal, err
}

func (a *app) close() {
	if a.journal != nil {
		if err := a.journal.Close(); err != nil {
			a.say("tidemill: close journal: %s", err)
		}
		a.journal = nil
	}
}
