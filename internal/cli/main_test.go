package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidemill/tidemill/internal/emr"
	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/runner"
)

// TestMain makes the test binary a tidemill too: scripts find it in their PATH, tests that
// kill it start it again as a process of its own.
func TestMain(m *testing.M) {
	if code, is := child(os.Args[1:], os.Stdin); is {
		os.Exit(code)
	}
	if os.Getenv(asTidemillNode) != "" {
		os.Exit(node.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	if os.Getenv(asTidemill) != "" {
		os.Exit(asProcess(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){"tidemill": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }})
}

const (
	asTidemill     = "TIDEMILL_TEST_AS"      // set: the test binary is tidemill
	asTidemillNode = "TIDEMILL_TEST_AS_NODE" // set: it is tidemill-node
	killAt         = "TIDEMILL_TEST_KILL"
	countIn        = "TIDEMILL_TEST_COUNT"
)

// asProcess is tidemill with a journal that kills the process at one of its calls.
func asProcess(args []string) int {
	k := &killer{at: os.Getenv(killAt)}
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, now: time.Now}
	a.open = func(ctx context.Context, file string) (journal, error) {
		j, err := openSQLite(ctx, file)
		if err != nil {
			return nil, err
		}
		return &deadlyJournal{journal: j, k: k}, nil
	}
	code := a.main(args)
	if name := os.Getenv(countIn); name != "" {
		if err := os.WriteFile(name, fmt.Append(nil, k.n.Load()), 0o600); err != nil {
			panic(err)
		}
	}
	return code
}

// project copies an example, without what runs made, and returns its folder.
func copyExample(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join("..", "..", "examples", name)
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == ".tidemill" || rel == "lake" || rel == ".venv" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(dir, rel), 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// write makes the files of a project; names end in "/" or have a text.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tidemill runs a command in this process.
func tidemill(t testing.TB, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(append([]string{"-C", dir}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func mustRun(t testing.TB, dir string, args ...string) string {
	t.Helper()
	code, out, errs := tidemill(t, dir, args...)
	if code != 0 {
		t.Fatalf("tidemill %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// process prepares tidemill as a process of its own.
func process(t testing.TB, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, append([]string{"-C", dir}, args...)...)
	c.Env = append(append(os.Environ(), asTidemill+"=1"), env...)
	return c
}

// tree is every file below a folder with the hash of its content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		sum := sha256.Sum256(text)
		out[filepath.ToSlash(rel)] = hex.EncodeToString(sum[:8])
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

// killer ends the process at one call of the journal: "before:7" or "after:7"; or in a state:
// "begun:STATE" at its work, "done:STATE" when it is done and that is not yet written down.
type killer struct {
	at string
	n  atomic.Int64 // calls so far, of the runner and of tasks beside it
}

func (k *killer) around(do func() error) error {
	n := k.n.Add(1)
	k.die("before", n)
	err := do()
	k.die("after", n)
	return err
}

func (k *killer) die(when string, n int64) {
	if k.at == fmt.Sprintf("%s:%d", when, n) {
		k.now()
	}
}

func (k *killer) now() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // it does not return
	select {}
}

type deadlyJournal struct {
	journal
	k *killer
}

func (j *deadlyJournal) Create(ctx context.Context, r runner.Run) (old runner.Run, made bool, err error) {
	err = j.k.around(func() error { old, made, err = j.journal.Create(ctx, r); return err })
	return old, made, err
}

func (j *deadlyJournal) Lease(ctx context.Context, run, owner string, now, until time.Time, alive func(string) bool) (f runner.Fence, err error) {
	err = j.k.around(func() error { f, err = j.journal.Lease(ctx, run, owner, now, until, alive); return err })
	return f, err
}

func (j *deadlyJournal) Commit(ctx context.Context, run string, f runner.Fence, n int, d runner.Decision) error {
	if when, state, ok := strings.Cut(j.k.at, ":"); ok {
		for _, e := range d.Events {
			switch {
			case e.State == state && when == "done" && e.Type == "TaskSucceeded":
				j.k.now()
			case e.State == state && when == "begun" && e.Type == "TaskScheduled":
				time.AfterFunc(10*time.Millisecond, j.k.now)
			}
		}
	}
	return j.k.around(func() error { return j.journal.Commit(ctx, run, f, n, d) })
}

func (j *deadlyJournal) IntendCluster(ctx context.Context, c emr.Cluster) (old emr.Cluster, mine bool, err error) {
	err = j.k.around(func() error { old, mine, err = j.journal.IntendCluster(ctx, c); return err })
	return old, mine, err
}

func (j *deadlyJournal) MadeCluster(ctx context.Context, key, id string) error {
	return j.k.around(func() error { return j.journal.MadeCluster(ctx, key, id) })
}

func (j *deadlyJournal) EndedCluster(ctx context.Context, id string, at time.Time) error {
	return j.k.around(func() error { return j.journal.EndedCluster(ctx, id, at) })
}

func readText(t testing.TB, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
