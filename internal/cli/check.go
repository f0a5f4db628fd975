package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/sparksql"
)

func (a *app) validateCommand() *cobra.Command {
	var target string
	c := &cobra.Command{
		Use:               "validate [PIPELINE…]",
		Short:             "Check the project's files and show every fault at once",
		Example:           "  tidemill validate\n  tidemill validate orders --target local --json",
		ValidArgsFunction: a.completePipelines,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.validate(args, target)
		},
	}
	c.Flags().StringVarP(&target, "target", "t", "", "the target to compile for (default: each pipeline's own)")
	return c
}

func (a *app) validate(names []string, target string) error {
	// A short command makes much that it never frees; collecting less often makes it a third shorter.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	faults, err := a.load()
	if err != nil {
		return err
	}
	wanted := func(pl *pipeline.Pipeline) bool {
		if len(names) == 0 {
			return true
		}
		for _, n := range names {
			if n == pl.Name.Value {
				return true
			}
		}
		return false
	}
	for _, n := range names {
		if _, ok := a.project.Pipeline(n); !ok {
			if _, err := a.pipelineNamed(n); err != nil {
				return err
			}
		}
	}
	broken := map[string]bool{}
	for _, f := range faults {
		if !f.Warning {
			broken[f.Pos.File] = true
		}
	}
	checked := 0
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	for _, pl := range a.project.Pipelines {
		if !wanted(pl) {
			continue
		}
		checked++
		if broken[pl.File] || broken[pipeline.ProjectFile] {
			continue
		}
		name, t, err := a.target(target, pl)
		if err != nil {
			return err
		}
		vars, _, err := a.vars(t)
		if err != nil {
			return err
		}
		g.Go(func() error {
			_, f := plan.Compile(a.project, pl, a.options(name, vars))
			mu.Lock()
			defer mu.Unlock()
			faults = append(faults, f...)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	faults.Sort()
	return a.showFaults(faults, checked)
}

// options are those of a compilation.
func (a *app) options(target string, vars map[string]any) plan.Options {
	return plan.Options{Target: target, Vars: vars, Connectors: connectors(), Schema: a.schemaOf, File: a.fileHash, Node: nodeHash}
}

// schemaOf reads the schema file of an extract. One that cannot be read is the run's to report.
func (a *app) schemaOf(pl, step string) ([]sparksql.Field, bool) {
	name := format.SchemaPath(pl, step)
	text, err := os.ReadFile(filepath.Join(a.project.Dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, false
	}
	f, err := format.ParseSchemaFile(name, text)
	if err != nil {
		return nil, false
	}
	out := make([]sparksql.Field, len(f.Columns))
	for i, c := range f.Columns {
		if out[i].Type, err = sparksql.ParseType(c.Type); err != nil {
			return nil, false
		}
		out[i].Name = c.Name
	}
	return out, true
}

func (a *app) showFaults(faults pipeline.Faults, checked int) error {
	bad := 0
	for _, f := range faults {
		if !f.Warning {
			bad++
		}
	}
	if a.json {
		a.printJSON(map[string]any{"ok": bad == 0, "pipelines": checked, "faults": faultLines(faults)})
	} else {
		for _, f := range faults {
			a.say("%s", f)
		}
	}
	if bad > 0 {
		if !a.json {
			a.say("\n%s in %s", count(int64(bad), "fault"), count(int64(checked), "pipeline"))
		}
		return &shown{&usageError{errors.New("the project has faults")}}
	}
	if !a.json {
		a.say("%s: no faults", count(int64(checked), "pipeline"))
	}
	return nil
}

func (a *app) compileCommand() *cobra.Command {
	var target string
	c := &cobra.Command{
		Use:               "compile PIPELINE",
		Short:             "Print the States Language machine that a pipeline becomes",
		Example:           "  tidemill compile orders\n  tidemill compile orders --target local > orders.asl.json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completePipelines,
		RunE: func(_ *cobra.Command, args []string) error {
			pl, err := a.pipelineNamed(args[0])
			if err != nil {
				return err
			}
			name, t, err := a.target(target, pl)
			if err != nil {
				return err
			}
			vars, _, err := a.vars(t)
			if err != nil {
				return err
			}
			m, faults := plan.Compile(a.project, pl, a.options(name, vars))
			if m == nil {
				return faults
			}
			for _, n := range m.Notes {
				a.say("note: %s", n)
			}
			if a.json {
				a.printJSON(map[string]any{"pipeline": m.Pipeline, "target": m.Target, "hash": m.Hash, "machine": json.RawMessage(m.Text), "texts": m.Texts, "notes": m.Notes})
				return nil
			}
			fmt.Fprint(a.stdout, string(m.Text)) //nolint:errcheck // a closed pipe ends the command
			return nil
		},
	}
	c.Flags().StringVarP(&target, "target", "t", "", "the target (default: the pipeline's own, or local)")
	return c
}

func (a *app) scheduleCommand() *cobra.Command {
	c := &cobra.Command{Use: "schedule", Short: "Look at schedules", Example: "  tidemill schedule preview orders"}
	var n int
	var from string
	p := &cobra.Command{
		Use:               "preview PIPELINE",
		Short:             "Show the next fires of a pipeline, with ds and data interval",
		Example:           "  tidemill schedule preview orders\n  tidemill schedule preview orders --from 2025-03-08 --count 3",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completePipelines,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.preview(args[0], from, n)
		},
	}
	p.Flags().IntVar(&n, "count", 10, "how many")
	p.Flags().StringVar(&from, "from", "", "begin at this day (default: now)")
	c.AddCommand(p)
	return c
}

func (a *app) preview(name, from string, n int) error {
	pl, err := a.pipelineNamed(name)
	if err != nil {
		return err
	}
	s, err := pl.Sched()
	if err != nil {
		return err
	}
	if s == nil {
		return usage("%s has no schedule", name)
	}
	at := a.now()
	if from != "" {
		d, err := parseDay(from)
		if err != nil {
			return err
		}
		at = d.In(s.Location()).Add(-time.Second)
	}
	began := at
	t := table{head: []string{"fires", "utc", "ds", "data interval"}}
	for range n {
		f, ok := s.Next(at)
		if !ok {
			break
		}
		at = f.Time
		local := func(x time.Time) string { return x.In(s.Location()).Format("2006-01-02 15:04 MST") }
		if a.json {
			a.printJSON(map[string]any{"fire": f.Time, "ds": f.Date.String(), "data_interval_start": f.Start, "data_interval_end": f.End})
			continue
		}
		t.add(local(f.Time), f.Time.UTC().Format("2006-01-02 15:04Z"), f.Date.String(), local(f.Start)+" to "+local(f.End))
	}
	if a.json {
		return nil
	}
	if len(t.rows) == 0 {
		a.say("it does not fire again")
		return nil
	}
	t.write(a.stdout)
	for _, x := range s.Troubles(began) {
		a.say("note: %s", x)
	}
	return nil
}

func (a *app) schemaCommand() *cobra.Command {
	var project, reference, manifest, sql, connections bool
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the file format, or accept a dataset's new schema",
		Long: "Prints the JSON Schema of pipeline files, so that editors complete them:\n\n" +
			"  # yaml-language-server: $schema=../pipeline.schema.json",
		Example: "  tidemill schema > pipeline.schema.json\n  tidemill schema --project > tidemill.schema.json\n  tidemill schema --reference > format.md\n  tidemill schema --sql > sql-constructs.md\n  tidemill schema --connections > connections.md\n  tidemill schema accept orders clean",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var text []byte
			switch {
			case reference:
				text = pipeline.Reference()
			case manifest:
				text = dataset.ManifestSchema
			case sql:
				text = constructsPage()
			case connections:
				text = []byte(connectionsPage())
			default:
				text = pipeline.Schema(project, connectors())
			}
			fmt.Fprint(a.stdout, string(text)) //nolint:errcheck // a closed pipe ends the command
			return nil
		},
	}
	c.Flags().BoolVar(&project, "project", false, "the schema of tidemill.yaml")
	c.Flags().BoolVar(&reference, "reference", false, "the reference page in Markdown")
	c.Flags().BoolVar(&manifest, "manifest", false, "the schema of a dataset's manifest")
	c.Flags().BoolVar(&connections, "connections", false, "the page of the types of connection, in Markdown")
	c.Flags().BoolVar(&sql, "sql", false, "the table of what SQL may use, in Markdown")
	c.AddCommand(&cobra.Command{
		Use:   "accept PIPELINE STEP",
		Short: "Let a step's schema be decided anew from its data",
		Long: "Takes the schema file schemas/PIPELINE/STEP.yaml away, so that the next run decides the\n" +
			"schema from its data and writes the file again. The old one stays beside it as STEP.yaml.old.",
		Example: "  tidemill schema accept orders clean",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: a.completePipelines,
		RunE: func(_ *cobra.Command, args []string) error { return a.acceptSchema(args[0], args[1]) },
	})
	return c
}

// constructsPage is the table of what is translated, as a page of the manual.
func constructsPage() []byte {
	var b strings.Builder
	b.WriteString("# What SQL may use\n\nPrinted by `tidemill schema --sql`. A query that uses anything else is refused before it runs, with\n" +
		"the way out named. The case of a line was run on Spark 3.5.6, and DuckDB gives the same rows for it.\n")
	code := func(s string) string {
		s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "\\|")
		if s == "" {
			return ""
		}
		if strings.Contains(s, "`") {
			return "`` " + s + " ``"
		}
		return "`" + s + "`"
	}
	var kinds []string
	rows := map[string][]sparksql.Row{}
	for _, r := range sparksql.Constructs() {
		if rows[r.Kind] == nil {
			kinds = append(kinds, r.Kind)
		}
		rows[r.Kind] = append(rows[r.Kind], r)
	}
	for _, kind := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n| construct | types | becomes | case |\n|---|---|---|---|\n", strings.ToUpper(kind[:1])+kind[1:]+"s")
		for _, r := range rows[kind] {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(r.Construct), code(r.Types), code(r.Rewrite), code(r.Case))
		}
	}
	return []byte(b.String())
}

func (a *app) acceptSchema(name, step string) error {
	pl, err := a.pipelineNamed(name)
	if err != nil {
		return err
	}
	i, ok := pl.Nodes[step]
	if !ok {
		return &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("pipeline %s has no step %q", name, step), Hint: "there are: " + strings.Join(pl.Steps.Keys(), ", ")}}
	}
	if pl.Steps[i].Value.Extract == nil {
		return usage("step %s extracts nothing: only extracts have a schema file", step)
	}
	file := filepath.Join(a.project.Dir, "schemas", name, step+".yaml")
	if err := os.Rename(file, file+".old"); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return usage("there is no schema file yet: the first run writes %s", filepath.Join("schemas", name, step+".yaml"))
		}
		return err
	}
	a.say("the next run of %s decides the schema of %s anew; the old one is %s", name, step, filepath.Join("schemas", name, step+".yaml.old"))
	return nil
}

func (a *app) journalCommand() *cobra.Command {
	c := &cobra.Command{Use: "journal", Short: "Look after the journal of runs", Example: "  tidemill journal backup /backup/journal.db"}
	c.AddCommand(&cobra.Command{
		Use:     "backup FILE",
		Short:   "Make a consistent copy of the journal while it is in use",
		Example: "  tidemill journal backup /backup/journal-2017-11-06.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			if _, err := a.load(); err != nil {
				return err
			}
			j, err := a.openJournal(c.Context())
			if err != nil {
				return err
			}
			if err := j.Backup(c.Context(), args[0]); err != nil {
				return err
			}
			a.say("copied %s to %s", j.Path(), args[0])
			return nil
		},
	})
	return c
}

func (a *app) connCommand() *cobra.Command {
	c := &cobra.Command{Use: "conn", Short: "List and test connections", Example: "  tidemill conn list\n  tidemill conn test aws_prod"}
	var target string
	list := &cobra.Command{
		Use: "list", Short: "List the connections of the project", Example: "  tidemill conn list", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listConnections() },
	}
	test := &cobra.Command{
		Use: "test NAME", Short: "Ask a connection's system who we are", Example: "  tidemill conn test aws_prod", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			return a.testConnection(c.Context(), args[0], target)
		},
	}
	test.Flags().StringVarP(&target, "target", "t", "", "with the settings of this target")
	c.AddCommand(list, test)
	return c
}

func (a *app) listConnections() error {
	if _, err := a.load(); err != nil {
		return err
	}
	t := table{head: []string{"connection", "type", "keys"}}
	for _, e := range a.project.Connections {
		// Keys only: values may be secrets.
		if a.json {
			a.printJSON(map[string]any{"connection": e.Key, "type": e.Value.Type, "keys": e.Value.Keys.Keys()})
			continue
		}
		t.add(e.Key, e.Value.Type, strings.Join(e.Value.Keys.Keys(), ", "))
	}
	if !a.json {
		t.write(a.stdout)
	}
	return nil
}

func (a *app) testConnection(ctx context.Context, name, target string) error {
	if _, err := a.load(); err != nil {
		return err
	}
	_, t, err := a.target(target, nil)
	if err != nil {
		return err
	}
	l := a.lookup(t, nil)
	c, ok := l.connection(name)
	if !ok {
		return &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("unknown connection %q", name), Hint: "there are: " + strings.Join(a.project.Connections.Keys(), ", ")}}
	}
	said, err := l.test(ctx, name, c)
	if err != nil {
		return fmt.Errorf("connection %s: %w", name, err)
	}
	if a.json {
		a.printJSON(map[string]any{"connection": name, "type": c.Type, "ok": true, "answer": said})
		return nil
	}
	a.say("connection %s works: %s", name, said)
	return nil
}
