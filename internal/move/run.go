package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// tailLines is how many of the last lines of standard error an error shows.
const tailLines = 5

func (m *mover) run(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var job flow.RunJob
	if err := arguments(r, &job); err != nil {
		return nil, err
	}
	if len(job.Argv) == 0 || job.Argv[0] == "" {
		return nil, invalid("run", "argv is empty", "write argv: [PROGRAM, ARGUMENT, …]")
	}
	op := "run " + job.Argv[0]
	cmd := exec.Command(job.Argv[0], job.Argv[1:]...) //nolint:gosec // the user's own program
	cmd.Dir = job.Cwd
	if !filepath.IsAbs(cmd.Dir) {
		cmd.Dir = filepath.Join(m.Dir, job.Cwd)
	}
	if i, err := os.Stat(cmd.Dir); err != nil || !i.IsDir() {
		return nil, invalid(op, "no folder "+cmd.Dir, "cwd is a folder of the project")
	}
	// A program named by a path is found from where it runs.
	if strings.ContainsRune(job.Argv[0], filepath.Separator) && !filepath.IsAbs(job.Argv[0]) {
		cmd.Path, cmd.Err = filepath.Join(cmd.Dir, job.Argv[0]), nil
	}
	if m.Resolve != nil {
		for k, v := range job.Env {
			text, err := m.Resolve(ctx, v)
			if err != nil {
				return nil, &flow.Error{Op: op, Kind: flow.KindOf(err), Hint: flow.HintOf(err), Err: fmt.Errorf("env %s: %w", k, err)}
			}
			job.Env[k] = text
		}
	}
	cmd.Env = environment(os.Environ(), job.Env)
	group(cmd)
	log := &sharedLog{w: r.Log}
	out, errs := &lastLine{}, &tail{lines: tailLines}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(log, out), io.MultiWriter(log, errs)
	cmd.WaitDelay = m.Grace // for descendants that left the group and hold the pipes
	if err := ctx.Err(); err != nil {
		return nil, &flow.Error{Op: op, Kind: flow.KindOf(err), Err: err}
	}
	if err := cmd.Start(); err != nil {
		return nil, unstartable(op, cmd, err)
	}
	err := m.wait(ctx, cmd)
	if ctx.Err() != nil {
		return nil, &flow.Error{Op: op, Kind: flow.KindOf(ctx.Err()), Err: ctx.Err()}
	}
	var status *exec.ExitError
	switch {
	case errors.As(err, &status):
		return nil, exited(op, status, errs.String())
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, &flow.Error{Op: op, Err: err}
	}
	if line := out.Bytes(); json.Valid(line) {
		return json.RawMessage(bytes.Clone(line)), nil
	}
	return json.RawMessage(`{"exit":0}`), nil
}

// wait waits for the program's end. On cancel the whole group is asked to end, and killed
// after the grace.
func (m *mover) wait(ctx context.Context, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ask(cmd)
	t := time.NewTimer(m.Grace)
	defer t.Stop()
	select {
	case err := <-done:
		kill(cmd) // what the program left behind in its group
		return err
	case <-t.C:
		kill(cmd)
		return <-done
	}
}

// environment is ours with the job's own variables.
func environment(ours []string, own map[string]string) []string {
	out := make([]string, 0, len(ours)+len(own))
	for _, kv := range ours {
		k, _, _ := strings.Cut(kv, "=")
		if _, ok := own[k]; !ok {
			out = append(out, kv)
		}
	}
	keys := make([]string, 0, len(own))
	for k := range own {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		out = append(out, k+"="+own[k])
	}
	return out
}

func unstartable(op string, cmd *exec.Cmd, err error) error {
	e := &flow.Error{Op: op, Kind: flow.Invalid, Err: err}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		e.Kind, e.Err, e.Hint = flow.NotFound, errors.New("no such program on the path"), "install it, or give its path from the project's folder: ./"+filepath.Base(cmd.Path)
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Err, e.Hint = flow.NotFound, errors.New("no program "+cmd.Path), "a relative path starts at cwd, which is the project's folder by default"
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = flow.Denied, "make it executable: chmod +x "+cmd.Path
	}
	return e
}

// exited is the error for a program that did not end with status 0.
func exited(op string, s *exec.ExitError, last string) error {
	text := fmt.Sprintf("exit status %d", s.ExitCode())
	if s.ExitCode() < 0 {
		text = s.String() // signal: killed
	}
	if last != "" {
		text += "\n" + last
	}
	return &flow.Error{Op: op, Name: "States.TaskFailed", Err: errors.New(text)}
}

// sharedLog lets standard output and error write into one log.
type sharedLog struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *sharedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(p) //nolint:errcheck // a log that is full ends no program
	return len(p), nil
}

// maxLine bounds what is kept of one line: a machine's data is at most 256 KiB.
const maxLine = 256 << 10

// lastLine keeps the last line that is not empty.
type lastLine struct{ last, line []byte }

func (l *lastLine) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			l.end()
		case len(l.line) <= maxLine:
			l.line = append(l.line, c)
		}
	}
	return len(p), nil
}

func (l *lastLine) end() {
	if t := bytes.TrimSpace(l.line); len(t) > 0 {
		l.last = append(l.last[:0], t...)
	}
	l.line = l.line[:0]
}

// Bytes returns the line; one that is too long for a machine's data is none.
func (l *lastLine) Bytes() []byte {
	l.end()
	if len(l.last) > maxLine {
		return nil
	}
	return l.last
}

// tail keeps the last lines, shortened.
type tail struct {
	lines int
	kept  []string
	line  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			t.end()
		case len(t.line) < 500:
			t.line = append(t.line, c)
		}
	}
	return len(p), nil
}

func (t *tail) end() {
	if s := strings.TrimRight(string(t.line), " \r\t"); s != "" {
		if t.kept = append(t.kept, s); len(t.kept) > t.lines {
			t.kept = t.kept[1:]
		}
	}
	t.line = t.line[:0]
}

func (t *tail) String() string {
	t.end()
	return strings.Join(t.kept, "\n")
}
