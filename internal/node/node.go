// Package node is the program that does our own work on a node of a cluster, where neither
// DuckDB nor the project's files are: it does one task, or starts a program with secrets in
// its environment. The node's instance role is what it signs with.
//
//	tidemill-node install                                   copy itself to ~/tidemill-node: a bootstrap action
//	tidemill-node task --job URI --step RUN/STATE/ATTEMPT   do a task; its output goes beside the job's store
//	tidemill-node exec --secret VAR=secretsmanager:NAME … -- PROGRAM ARG…
//
// Nothing that it imports may need cgo: nodes have an older C library than the machine that
// built it.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// Exit statuses: that of the program that exec started, or one of these.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Main does what the arguments say and returns the exit status. env is the environment, as
// os.Environ gives it.
func Main(args, env []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // the root of a process
	defer stop()
	n := &node{env: env, stdout: stdout, stderr: stderr}
	code, err := n.main(ctx, args)
	if err != nil {
		fmt.Fprintf(stderr, "tidemill-node: %s\n", n.redact(err.Error())) //nolint:errcheck // nothing is left to tell it to
		if h := flow.HintOf(err); h != "" {
			fmt.Fprintf(stderr, "  = %s\n", n.redact(h)) //nolint:errcheck // nothing is left to tell it to
		}
		if code == 0 {
			code = exitFailed
		}
	}
	return code
}

type node struct {
	env            []string
	stdout, stderr io.Writer
	secrets        []string // what was resolved: it is not printed
	cfg            *awsauth.Config
}

func (n *node) main(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return exitUsage, errors.New("what is to be done? install, task or exec")
	}
	switch args[0] {
	case "install":
		return 0, n.install()
	case "task":
		return 0, n.task(ctx, args[1:])
	case "exec":
		return n.exec(ctx, args[1:])
	}
	return exitUsage, fmt.Errorf("unknown word %q: install, task or exec", args[0])
}

func (n *node) redact(s string) string {
	for _, x := range n.secrets {
		s = strings.ReplaceAll(s, x, "(secret)")
	}
	return s
}

// lookup is a variable of the environment.
func (n *node) lookup(name string) string {
	for _, kv := range n.env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// region is the node's, as far as the environment tells it.
func (n *node) region() string {
	if r := n.lookup("AWS_REGION"); r != "" {
		return r
	}
	return n.lookup("AWS_DEFAULT_REGION")
}

// aws is the configuration of the node: its role, its region.
func (n *node) aws(ctx context.Context) (awsauth.Config, error) {
	if n.cfg == nil {
		cfg, err := awsauth.Load(ctx, awsauth.Settings{Region: n.region(), Endpoint: n.lookup("AWS_ENDPOINT_URL")})
		if err != nil {
			return cfg, err
		}
		n.cfg = &cfg
	}
	return *n.cfg, nil
}

// install copies the program to where steps find it.
func (n *node) install() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	home := n.lookup("HOME")
	if home == "" {
		return errors.New("install: no HOME")
	}
	in, err := os.Open(self)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	to := filepath.Join(home, "tidemill-node")
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755) //nolint:gosec // it is to be run
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

// exec starts a program with secrets in its environment, and ends as it does.
func (n *node) exec(ctx context.Context, args []string) (int, error) {
	var argv, refs []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--":
			argv = args[i+1:]
			i = len(args)
		case args[i] == "--secret" && i+1 < len(args):
			i++
			refs = append(refs, args[i])
		default:
			return exitUsage, fmt.Errorf("exec: unknown argument %q: --secret VAR=secretsmanager:NAME … -- PROGRAM ARG…", args[i])
		}
	}
	if len(argv) == 0 {
		return exitUsage, errors.New("exec: which program?")
	}
	env := n.env
	for _, ref := range refs {
		name, of, ok := strings.Cut(ref, "=")
		if !ok {
			return exitUsage, fmt.Errorf("exec: --secret %s: VAR=secretsmanager:NAME is wanted", name)
		}
		store, what, _ := strings.Cut(of, ":")
		v, err := n.secret(ctx, flow.SecretRef{Store: store, Name: what})
		if err != nil {
			return exitFailed, err
		}
		env = append(env, name+"="+v)
	}
	// It becomes the program: signals reach that, and its status is the step's.
	file, err := exec.LookPath(argv[0])
	if err != nil {
		return 127, fmt.Errorf("exec %s: %w", argv[0], errors.Unwrap(err))
	}
	return exitFailed, fmt.Errorf("exec %s: %w", argv[0], syscall.Exec(file, argv, env)) //nolint:gosec // that is what it is for
}
