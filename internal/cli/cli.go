// Package cli is the command line: the only package that knows all others, and the only
// one that reads the environment.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // zones work without a system's own list

	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
)

// The exit statuses. They are API.
const (
	exitFine        = 0
	exitFailed      = 1   // the work failed
	exitUsage       = 2   // the command line or a file is wrong
	exitInterrupted = 130 // a signal ended it
)

// usageError is a fault of the command line or of a file.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

var errInterrupted = errors.New("interrupted")

// shown is an error that the user has seen already.
type shown struct{ err error }

func (e *shown) Error() string { return e.err.Error() }
func (e *shown) Unwrap() error { return e.err }

// Main runs one command and returns its exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if code, handled := child(args, stdin); handled {
		return code
	}
	return (&app{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now, open: openSQLite}).main(args)
}

func (a *app) main(args []string) int {
	ctx, stop := signals(a.stderr)
	defer stop()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	command, err := root.ExecuteContextC(ctx)
	if err != nil && isCobraUsage(err) {
		err = &usageError{&flow.Error{Op: command.CommandPath(), Kind: flow.Invalid, Err: err, Hint: "usage: " + command.UseLine() + "; tidemill help" + strings.TrimPrefix(command.CommandPath(), "tidemill") + " shows examples"}}
	}
	return a.exit(err)
}

// signals cancels the context at the first signal and ends the process at the second.
func signals(stderr io.Writer) (context.Context, func()) {
	root, cancel := context.WithCancelCause(context.Background()) //nolint:forbidigo // the one root of all contexts
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-c; !ok {
			return
		}
		fmt.Fprintln(stderr, "tidemill: stopping; the run can be resumed. Again: stop at once.") //nolint:errcheck // a message
		cancel(errInterrupted)
		if _, ok := <-c; ok {
			os.Exit(exitInterrupted)
		}
	}()
	return root, func() { signal.Stop(c); close(c); cancel(nil) }
}

func (a *app) exit(err error) int {
	if err == nil {
		return exitFine
	}
	code := exitFailed
	var u *usageError
	var f pipeline.Faults
	switch {
	case errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled):
		code = exitInterrupted
	case errors.As(err, &u), errors.As(err, &f):
		code = exitUsage
	}
	var s *shown
	if errors.As(err, &s) {
		return code
	}
	text := a.redact(err.Error())
	hint := a.redact(flow.HintOf(err))
	if a.json {
		line := map[string]any{"error": text, "exit": code}
		if hint != "" {
			line["hint"] = hint
		}
		if errors.As(err, &f) {
			line["faults"] = faultLines(f)
		}
		json.NewEncoder(a.stdout).Encode(line) //nolint:errcheck // nothing is left to tell it to
		return code
	}
	if errors.As(err, &f) {
		fmt.Fprintln(a.stderr, text) //nolint:errcheck // nothing is left to tell it to
		return code
	}
	if !strings.HasPrefix(text, "tidemill") {
		text = "tidemill: " + text
	}
	fmt.Fprintln(a.stderr, text) //nolint:errcheck // nothing is left to tell it to
	if hint != "" && !strings.Contains(text, hint) {
		fmt.Fprintf(a.stderr, "  = %s\n", hint) //nolint:errcheck // nothing is left to tell it to
	}
	return code
}

func isCobraUsage(err error) bool {
	for _, s := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires at least", "invalid argument", "flag needs an argument", "required flag"} {
		if strings.HasPrefix(err.Error(), s) {
			return true
		}
	}
	return false
}

func faultLines(f pipeline.Faults) []map[string]any {
	out := make([]map[string]any, len(f))
	for i, x := range f {
		out[i] = map[string]any{"file": x.Pos.File, "line": x.Pos.Line, "column": x.Pos.Col, "message": x.Message, "warning": x.Warning}
		if x.Hint != "" {
			out[i]["hint"] = x.Hint
		}
	}
	return out
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "tidemill",
		Short: "Run daily data pipelines from a folder of text files",
		Long: "Tidemill runs a team's daily data pipelines. A pipeline is a file pipelines/NAME.yaml;\n" +
			"it runs in this process on DuckDB, and a run that was killed goes on from where it was.",
		Example:       "  tidemill init shop && cd shop\n  tidemill run sales\n  tidemill query sales \"select * from by_region\"",
		SilenceErrors: true, SilenceUsage: true,
	}
	f := c.PersistentFlags()
	f.StringVarP(&a.dir, "project", "C", "", "the project's folder (default: the nearest above with tidemill.yaml or pipelines/)")
	f.BoolVar(&a.json, "json", false, "print JSON lines")
	f.StringArrayVar(&a.varFlags, "var", nil, "set a variable: NAME=VALUE")
	c.AddCommand(a.initCommand(), a.validateCommand(), a.compileCommand(), a.runCommand(), a.resumeCommand(), a.cancelCommand(), a.runsCommand(),
		a.logsCommand(), a.queryCommand(), a.searchCommand(), a.connCommand(), a.scheduleCommand(), a.schemaCommand(), a.journalCommand(), a.localCommand(),
		a.sparkCommand(), a.parityCommand(), a.doctorCommand(), a.versionCommand(), a.pruneCommand(), a.clustersCommand())
	return c
}
