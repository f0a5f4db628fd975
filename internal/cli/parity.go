package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/duckdb"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
)

func (a *app) parityCommand() *cobra.Command {
	var f runFlags
	var against string
	c := &cobra.Command{
		Use:   "parity PIPELINE",
		Short: "Run a pipeline on DuckDB and on Spark and compare",
		Long: "Runs the steps that make datasets on two targets, one of engine duckdb and one of engine\nspark, and compares every dataset: counts, columns, rows as multisets, doubles within\n" +
			"1e-9 of each other. Nothing is loaded or published; what is made lies under .tidemill/parity.\nStatus 1 says that they differ.",
		Example:           "  tidemill parity orders --date 2017-11-06\n  tidemill parity orders --date 2017-11-06 --target local --against spark",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completePipelines,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			return a.parity(c.Context(), args[0], f, against)
		},
	}
	f.bind(c)
	c.Flags().Lookup("target").Usage = "the target of engine duckdb (default: local)"
	c.Flags().StringVar(&against, "against", "", "the target of engine spark (default: the first there is, else that of --target on Spark)")
	return c
}

// parityTarget is the name that the two targets have under which parity runs.
const parityTarget = "parity_"

// parity runs a pipeline twice and compares.
func (a *app) parity(ctx context.Context, name string, f runFlags, against string) error {
	pl, err := a.pipelineNamed(name)
	if err != nil {
		return err
	}
	duck, spark, err := a.parityTargets(f.target, against)
	if err != nil {
		return err
	}
	steps := datasetsOnly(pl)
	if len(steps) == 0 {
		return &usageError{&flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("%s makes no dataset that could be compared", pl.Name.Value),
			Hint: "Of a script its output is compared; what it writes elsewhere only it knows."}}
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "parity", a.owner())
	defer os.RemoveAll(root) //nolint:errcheck // the next one makes another
	var tables []map[string]string
	var last *pipeline.Target
	for _, t := range []*pipeline.Target{duck, spark} {
		a.say("%s on %s", pl.Name.Value, t.Engine)
		one := *t
		one.Store = &pipeline.Store{URL: filepath.Join(root, t.Engine)}
		made, err := a.parityRun(ctx, pl, &one, f, filepath.Join(root, t.Engine), steps)
		if err != nil {
			return err
		}
		tables, last = append(tables, made), &one
	}
	return a.compareAll(ctx, last, root, tables[0], tables[1])
}

func (a *app) parityTargets(first, second string) (duck, spark *pipeline.Target, err error) {
	_, duck, err = a.target(orElse(first, "local"), nil)
	if err != nil {
		return nil, nil, err
	}
	if duck.Engine != "duckdb" {
		return nil, nil, usage("--target %s is of engine %s, one of duckdb is wanted", first, duck.Engine)
	}
	if second != "" {
		_, spark, err = a.target(second, nil)
		if err == nil && spark.Engine != "spark" {
			err = usage("--against %s is of engine %s, one of spark is wanted", second, spark.Engine)
		}
		return duck, spark, err
	}
	for _, e := range a.project.Targets {
		if t, ok := a.project.Target(e.Key); ok && t.Engine == "spark" {
			return duck, t, nil
		}
	}
	same := *duck
	same.Engine = "spark"
	return duck, &same, nil
}

// datasetsOnly takes from a pipeline what does not make datasets, and gives the steps left.
func datasetsOnly(pl *pipeline.Pipeline) []string {
	var steps []string
	pl.Publish = ""
	for i := range pl.Steps {
		s := pl.Steps[i].Value
		if s.MakesTables() {
			steps = append(steps, s.Key)
			s.Load, s.After, s.RunIf = nil, nil, ""
		}
	}
	return steps
}

// parityRun runs the steps on one target, with a journal of its own, and gives the manifests.
func (a *app) parityRun(ctx context.Context, pl *pipeline.Pipeline, t *pipeline.Target, f runFlags, dir string, steps []string) (map[string]string, error) {
	b := &app{stdin: a.stdin, stdout: a.stdout, stderr: a.stderr, now: a.now, dir: a.dir, varFlags: a.varFlags, project: a.project, open: a.open, secrets: a.secrets, state: dir}
	defer b.close()
	name := parityTarget + t.Engine
	a.project.Targets = append(a.project.Targets, pipeline.Entry[*pipeline.Target]{Key: name, Value: t})
	if f.target = name; len(steps) < len(pl.Steps) {
		f.only = steps
	}
	q, err := b.askOf(pl, f)
	if err != nil {
		return nil, err
	}
	j, err := b.openJournal(ctx)
	if err != nil {
		return nil, err
	}
	run, _, err := b.create(ctx, j, q, 1)
	if err != nil {
		return nil, err
	}
	if err := b.drive(ctx, j, run, t, f.order); err != nil {
		return nil, err
	}
	return b.tablesOf(ctx, j, run)
}

// compareAll compares the datasets of two runs by table.
func (a *app) compareAll(ctx context.Context, t *pipeline.Target, root string, duck, spark map[string]string) error {
	both := *t
	both.Store = &pipeline.Store{URL: root}
	l := a.lookup(&both, nil)
	store, err := l.store(ctx)
	if err != nil {
		return err
	}
	tasks := duckdb.TaskConfig{Lookup: l, Store: store, Session: session(t), Temp: filepath.Join(root, "tmp")}
	bad := 0
	for _, table := range slices.Sorted(slices.Values(sortedKeys(duck))) {
		said, err := a.compare(ctx, tasks, l, duck[table], spark[table])
		if err != nil {
			return fmt.Errorf("compare %s: %w", table, err)
		}
		if a.json {
			a.printJSON(map[string]any{"table": table, "equal": len(said.faults) == 0, "rows": said.rows, "differences": said.faults})
		} else if len(said.faults) == 0 {
			a.print("equal    %-24s %s", table, count(said.rows, "row"))
		} else {
			a.print("DIFFERS  %-24s %s", table, indent(strings.Join(said.faults, "\n")))
		}
		if len(said.faults) > 0 {
			bad++
		}
	}
	if bad > 0 {
		return &shown{fmt.Errorf("%s between DuckDB and Spark", plural(bad, "table differs", "tables differ"))}
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

type comparison struct {
	rows   int64
	faults []string
}

// compare holds two datasets against each other.
func (a *app) compare(ctx context.Context, tasks duckdb.TaskConfig, l *lookup, duck, spark string) (comparison, error) {
	if spark == "" {
		return comparison{faults: []string{"Spark made no such dataset"}}, nil
	}
	x, err := tasks.Store.Read(ctx, l, duck)
	if err != nil {
		return comparison{}, err
	}
	y, err := tasks.Store.Read(ctx, l, spark)
	if err != nil {
		return comparison{}, err
	}
	out := comparison{rows: x.Rows}
	fault := func(format string, args ...any) { out.faults = append(out.faults, fmt.Sprintf(format, args...)) }
	for _, c := range []struct {
		what string
		x, y int64
	}{{"rows", x.Rows, y.Rows}, {"records read", x.Read, y.Read}, {"rejects", x.Rejected, y.Rejected}} {
		if c.x != c.y {
			fault("%s: %d on DuckDB, %d on Spark", c.what, c.x, c.y)
		}
	}
	if said := compareSchemas(x.Schema, y.Schema); said != "" {
		fault("%s", said)
		return out, nil
	}
	n, sample, err := differingRows(ctx, tasks, x.Schema, duck, spark)
	if err != nil {
		return out, err
	}
	if n > 0 {
		fault("%s:\n%s", plural(int(n), "row has no equal", "rows have no equal"), sample)
	}
	return out, nil
}

func compareSchemas(x, y flow.Schema) string {
	if x.Hash() == y.Hash() {
		return ""
	}
	show := func(s flow.Schema) string {
		parts := make([]string, len(s))
		for i, c := range s {
			parts[i] = c.Name + " " + c.Type
		}
		return strings.Join(parts, ", ")
	}
	return "columns on DuckDB: " + show(x) + "\ncolumns on Spark:  " + show(y)
}

// differingRows counts the rows that have no equal on the other side, and shows some. Rows
// are equal if their values are; a double may be 1e-9 of itself off. What is left when the
// equal rows are taken away is paired in the order of its other columns.
func differingRows(ctx context.Context, tasks duckdb.TaskConfig, s flow.Schema, duck, spark string) (int64, string, error) {
	var exact, near, all, same []string
	for _, c := range s {
		n := `"` + strings.ReplaceAll(c.Name, `"`, `""`) + `"`
		all = append(all, n)
		if c.Type == "double" || c.Type == "float" {
			near = append(near, n)
			same = append(same, fmt.Sprintf("(x.%[1]s IS NOT DISTINCT FROM y.%[1]s OR abs(x.%[1]s - y.%[1]s) <= 1e-9 * greatest(abs(x.%[1]s), abs(y.%[1]s)))", n))
		} else {
			exact = append(exact, n)
			same = append(same, fmt.Sprintf("x.%[1]s IS NOT DISTINCT FROM y.%[1]s", n))
		}
	}
	list := strings.Join(all, ", ")
	left := func(from, other string) string {
		return fmt.Sprintf("(SELECT *, row_number() OVER (ORDER BY %s) AS __n FROM (SELECT %s FROM %s EXCEPT ALL SELECT %s FROM %s))", strings.Join(append(exact, near...), ", "), list, from, list, other)
	}
	texts := make([]string, len(all))
	for i, n := range all {
		texts[i] = fmt.Sprintf("%[1]s := [CAST(x.%[1]s AS VARCHAR), CAST(y.%[1]s AS VARCHAR)]", n)
	}
	differ := "FROM " + left("duckdb", "spark") + " x FULL JOIN " + left("spark", "duckdb") + " y ON x.__n = y.__n WHERE x.__n IS NULL OR y.__n IS NULL OR NOT (" + strings.Join(same, " AND ") + ")"
	sql := "SELECT CAST(count(*) AS VARCHAR) AS n, coalesce(array_to_string((list(side || r ORDER BY k))[1:5], chr(10)), '') AS some FROM (SELECT row_number() OVER () AS k, " +
		"CASE WHEN y.__n IS NULL THEN 'on DuckDB only ' WHEN x.__n IS NULL THEN 'on Spark only  ' ELSE 'DuckDB, Spark  ' END AS side, CAST(struct_pack(" + strings.Join(texts, ", ") + ") AS VARCHAR) AS r " + differ + ")"
	answer, err := tasks.Ask(ctx, duckdb.Question{SQL: sql, Dialect: "duckdb", Tables: map[string]string{"duckdb": duck, "spark": spark}})
	if err != nil {
		return 0, "", err
	}
	var n int64
	some := ""
	for b, err := range answer.Rows {
		if err != nil {
			return 0, "", errors.Join(err, answer.Close())
		}
		n, err = strconv.ParseInt(cell(b.Column(0), 0), 10, 64)
		some = strings.Clone(cell(b.Column(1), 0))
		b.Release()
		if err != nil {
			return 0, "", errors.Join(err, answer.Close())
		}
	}
	return n, "  " + strings.ReplaceAll(some, "\n", "\n  "), answer.Close()
}
