package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/duckdb"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/sched"
	"github.com/tidemill/tidemill/internal/spark"
	"golang.org/x/term"
)

// Version is the program's version; a release sets it.
var Version = "0.1.0-dev"

// child runs what this program starts of itself, if that is what args ask for.
func child(args []string, stdin io.Reader) (int, bool) { return awslocal.Child(args, stdin) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

func parseDay(s string) (sched.Date, error) {
	d, err := sched.ParseDate(s)
	if err != nil {
		return d, &usageError{err}
	}
	return d, nil
}

func retention(a *app, pl *pipeline.Pipeline, inUse map[string]bool) dataset.Retention {
	r := dataset.Retention{InUse: inUse}
	for _, from := range []*pipeline.Retention{a.project.Retention, pl.Retention} {
		if from == nil {
			continue
		}
		if from.Days > 0 {
			r.Days = from.Days
		}
		if from.Runs > 0 {
			r.Runs = from.Runs
		}
	}
	return r
}

// test asks a connection's system who we are.
func (l *lookup) test(ctx context.Context, name string, c pipeline.Connection) (string, error) {
	switch c.Type {
	case "aws":
		cfg, err := l.aws(ctx, name)
		if err != nil {
			return "", err
		}
		arn, err := awsauth.Test(ctx, cfg)
		return "it is " + arn, err
	case "opensearch", "elasticsearch", "search":
		s, err := l.sink(ctx, name)
		if err != nil {
			return "", err
		}
		said, err := s.(flow.Tester).Test(ctx)
		return said, errors.Join(err, l.closeSinks())
	case "s3":
		s, err := l.settings(ctx, name, c)
		if err != nil {
			return "", err
		}
		bucket := fmt.Sprint(s["bucket"])
		b, err := l.s3(ctx, bucket)
		if err != nil {
			return "", err
		}
		for o, err := range b.List(ctx, "") {
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("bucket %s can be listed; its first object is %s", bucket, o.Name), nil
		}
		return fmt.Sprintf("bucket %s can be listed and is empty", bucket), nil
	}
	src, err := l.source(ctx, name)
	if err != nil {
		return "", err
	}
	if t, ok := src.(flow.Tester); ok {
		said, err := t.Test(ctx)
		if c, ok := src.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
		return said, err
	}
	return "", &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("connections of type %s cannot be tested", c.Type)}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  tidemill version --json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			commit := ""
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						commit = s.Value
					}
				}
			}
			if a.json {
				a.printJSON(map[string]any{"version": Version, "commit": commit, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
				return nil
			}
			a.print("tidemill %s (%s, %s/%s)", strings.TrimSpace(Version+" "+commit), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

func (a *app) doctorCommand() *cobra.Command {
	var config bool
	var target string
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Check that everything a run needs is there",
		Example: "  tidemill doctor\n  tidemill doctor --config --target local",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			defer a.close()
			if config {
				return a.showConfig(target)
			}
			return a.doctor(c.Context(), target)
		},
	}
	c.Flags().BoolVar(&config, "config", false, "print every setting and where it came from")
	c.Flags().StringVarP(&target, "target", "t", "", "the target")
	return c
}

func (a *app) doctor(ctx context.Context, target string) error {
	bad := 0
	check := func(what string, f func() (string, error)) {
		said, err := f()
		mark := "ok  "
		if err != nil {
			mark, said = "BAD ", err.Error()
			if h := flow.HintOf(err); h != "" {
				said += "\n      = " + h
			}
			bad++
		}
		if a.json {
			a.printJSON(map[string]any{"check": what, "ok": err == nil, "says": said})
			return
		}
		a.print("%s %-14s %s", mark, what, a.redact(said))
	}
	check("project", func() (string, error) {
		faults, err := a.load()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, %s in %s", a.project.Name.Value, count(int64(len(a.project.Pipelines)), "pipeline"), a.project.Dir), faults.Err()
	})
	if a.project == nil {
		return &shown{&usageError{errors.New("no project")}}
	}
	check("journal", func() (string, error) {
		j, err := a.openJournal(ctx)
		if err != nil {
			return "", err
		}
		return j.Path(), nil
	})
	check("duckdb", func() (string, error) {
		s, err := duckdb.Open(ctx, duckdb.Config{})
		if err != nil {
			return "", err
		}
		var v string
		err = s.DB().QueryRowContext(ctx, "select version()").Scan(&v)
		return "DuckDB " + v + " in this process", errors.Join(err, s.Close())
	})
	if a.wantsSpark() {
		check("spark", func() (string, error) {
			_, t, err := a.target(target, nil)
			if err != nil {
				return "", err
			}
			w, err := sparkWhere(t)
			if err != nil {
				return "", err
			}
			h, err := spark.Find(w)
			return h.Describe(), err
		})
	}
	check("store", func() (string, error) {
		_, t, err := a.target(target, nil)
		if err != nil {
			return "", err
		}
		store, err := a.lookup(t, a.journal).store(ctx)
		if err != nil {
			return "", err
		}
		return a.tryStore(ctx, store)
	})
	if bad > 0 {
		return &shown{fmt.Errorf("%s failed", count(int64(bad), "check"))}
	}
	return nil
}

// wantsSpark tells whether a target or a step of the project needs a Spark of this machine.
func (a *app) wantsSpark() bool {
	for _, e := range a.project.Targets {
		if t, ok := a.project.Target(e.Key); ok && t.Engine == "spark" {
			return true
		}
	}
	for _, pl := range a.project.Pipelines {
		for _, e := range pl.Steps {
			if e.Value.Spark != nil {
				return true
			}
		}
	}
	return false
}

// tryStore writes, reads and removes a small object.
func (a *app) tryStore(ctx context.Context, s dataset.Store) (string, error) {
	name := s.Name("tmp/doctor")
	w, err := s.Bucket.Create(ctx, name, flow.Condition{})
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(w, "ok"); err != nil {
		return "", errors.Join(err, w.Abort())
	}
	if _, err := w.Commit(); err != nil {
		return "", err
	}
	if r, ok := s.Bucket.(flow.Remover); ok {
		if err := r.Remove(ctx, name); err != nil {
			return "", err
		}
	}
	return s.URI + " can be written", nil
}

func (a *app) showConfig(target string) error {
	if _, err := a.load(); err != nil {
		return err
	}
	name, t, err := a.target(target, nil)
	if err != nil {
		return err
	}
	vars, from, err := a.vars(t)
	if err != nil {
		return err
	}
	tab := table{head: []string{"setting", "value", "from"}}
	add := func(k string, v any, src string) {
		if a.json {
			a.printJSON(map[string]any{"setting": k, "value": v, "from": src})
			return
		}
		tab.add(k, a.redact(fmt.Sprint(v)), src)
	}
	add("project", a.project.Dir, orElse(second(setting(a.dir, "PROJECT")), "found"))
	add("target", name, orElse(second(setting(target, "TARGET")), "default"))
	add("engine", t.Engine, "target")
	uri := filepath.Join(a.project.Dir, ".tidemill")
	src := "default"
	if t.Store != nil {
		uri, src = t.Store.URL, "target"
	}
	add("store", uri, src)
	if t.Memory != nil {
		add("memory", t.Memory.Text, "target")
	}
	for _, k := range sortedKeys(vars) {
		add("var."+k, vars[k], from[k])
	}
	for _, e := range a.project.Connections {
		src := pipeline.ProjectFile
		if e.Pos.Line == 0 {
			src = "environment"
		}
		add("connection."+e.Key, e.Value.Type, src)
	}
	if !a.json {
		tab.write(a.stdout)
	}
	return nil
}

func second(_, s string) string { return s }
