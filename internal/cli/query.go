package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/duckdb"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/runner"
	"github.com/tidemill/tidemill/internal/sparksql"
)

func (a *app) queryCommand() *cobra.Command {
	var f runFlags
	var dialect, format string
	var limit int
	c := &cobra.Command{
		Use:   "query RUN|PIPELINE SQL",
		Short: "Ask a run's datasets with SQL",
		Long: "Runs a query in Spark SQL whose tables are the steps of a run. Of a pipeline, it is the\n" +
			"newest run that succeeded, or with --date that of a day.",
		Example: "  tidemill query sales \"select * from by_region\"\n  tidemill query orders \"select count(*) from clean\" --date 2017-11-06 --format csv",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: a.completePipelines,
		RunE: func(c *cobra.Command, args []string) error {
			defer a.close()
			return a.query(c.Context(), args[0], args[1], f, dialect, format, limit)
		},
	}
	f.bind(c)
	c.Flags().StringVar(&dialect, "dialect", "spark", "spark, or duckdb for its own SQL")
	c.Flags().StringVar(&format, "format", "table", "table, csv, or json (a line a row)")
	c.Flags().IntVar(&limit, "limit", 200, "the most rows of a table; 0 is all")
	return c
}

func (a *app) query(ctx context.Context, name, text string, f runFlags, dialect, format string, limit int) error {
	if a.json {
		format = "json"
	}
	j, run, t, err := a.chosenRun(ctx, name, f)
	if err != nil {
		return err
	}
	tables, err := a.tablesOf(ctx, j, run)
	if err != nil {
		return err
	}
	l := a.lookup(t, j)
	store, err := l.store(ctx)
	if err != nil {
		return err
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	tasks := duckdb.TaskConfig{Lookup: l, Store: store, Session: session(t), Temp: filepath.Join(dir, "tmp", a.owner())}
	defer os.RemoveAll(tasks.Temp) //nolint:errcheck // a later process sweeps it
	answer, err := tasks.Ask(ctx, duckdb.Question{SQL: text, Dialect: dialect, Tables: tables})
	if err != nil {
		return a.queryError(text, dialect, err, tables)
	}
	return errors.Join(printRows(a.stdout, answer, format, limit), answer.Close())
}

// queryError says which tables there are, where the query names another.
func (a *app) queryError(text, dialect string, err error, tables map[string]string) error {
	if flow.KindOf(err) != flow.Invalid {
		return err
	}
	if dialect == "spark" {
		if q, perr := sparksql.Parse(text); perr == nil {
			for _, t := range q.Tables() {
				base := strings.TrimSuffix(t.Name, "_rejects")
				switch {
				case t.Name == "" || tables[t.Name] != "":
				case tables[base] != "":
					return &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("table %s has no rejects in this run", base)}}
				default:
					hint := "the tables are: " + strings.Join(sortedKeys(tables), ", ")
					if n := pipeline.Nearest(t.Name, sortedKeys(tables)); n != "" {
						hint = fmt.Sprintf("did you mean %q? %s", n, hint)
					}
					return &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("unknown table %q", t.Name), Hint: hint}}
				}
			}
		}
	}
	if flow.HintOf(err) == "" {
		err = &flow.Error{Kind: flow.Invalid, Err: err, Hint: "the tables are: " + strings.Join(sortedKeys(tables), ", ")}
	}
	return &usageError{err}
}

// chosenRun is the run that a command's argument names: a run's id, or a pipeline.
func (a *app) chosenRun(ctx context.Context, name string, f runFlags) (journal, runner.Run, *pipeline.Target, error) {
	none := runner.Run{}
	if _, err := a.load(); err != nil {
		return nil, none, nil, err
	}
	j, err := a.openJournal(ctx)
	if err != nil {
		return nil, none, nil, err
	}
	q := runner.Query{ID: name, Limit: 1}
	if _, ok := a.project.Pipeline(name); ok {
		q = runner.Query{Pipeline: name, Status: []machine.Status{machine.Succeeded}, Limit: 1}
		if f.date != "" || f.at != "" || f.target != "" || len(f.params) > 0 {
			ask, err := a.ask(name, f)
			if err != nil {
				return nil, none, nil, err
			}
			q.Key, q.Pipeline = &ask.key, ""
		}
	}
	runs, err := j.Find(ctx, q)
	if err != nil {
		return nil, none, nil, err
	}
	if len(runs) == 0 {
		return nil, none, nil, &usageError{&flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("there is no run of %s that succeeded", name), Hint: "tidemill run " + name}}
	}
	t, ok := a.project.Target(runs[0].Key.Target)
	if !ok {
		return nil, none, nil, usage("run %s belongs to target %s, which the project no longer has", runs[0].ID, runs[0].Key.Target)
	}
	return j, runs[0], t, nil
}

// tablesOf are the manifests of a run's steps, by table name.
func (a *app) tablesOf(ctx context.Context, j journal, run runner.Run) (map[string]string, error) {
	events, _, err := j.Events(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	state := map[string]string{}
	for _, e := range events {
		switch e.Type {
		case "TaskStateEntered":
			state[e.Frame] = e.Details.Name
		case "TaskSucceeded":
			name, output := state[e.Frame], e.Details.Output
			if step, ok := strings.CutSuffix(name, ".result"); ok {
				name, output = step, clusterOutput(output)
			}
			name = strings.TrimSuffix(name, ".item")
			if step, ok := strings.CutSuffix(name, flow.ExtractSuffix); ok {
				name = step + "_extract" // what the step read, before its own work
			}
			maps.Copy(out, manifests(name, output))
		}
	}
	return out, nil
}

// manifests are the datasets that a task left, by table: its own, those of the steps that
// shared a Spark session, those of a script with several outputs.
func manifests(step, output string) map[string]string {
	out := map[string]string{}
	var own struct {
		Manifest string                 `json:"manifest"`
		Outputs  map[string]flow.Output `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(output), &own); err == nil && own.Manifest != "" {
		out[step] = own.Manifest
		return out
	}
	for name, o := range own.Outputs {
		out[step+"_"+name] = o.Manifest
	}
	var works map[string]json.RawMessage
	if err := json.Unmarshal([]byte(output), &works); err != nil {
		return out
	}
	for name, text := range works {
		var o flow.Output
		if err := json.Unmarshal(text, &o); err == nil && o.Manifest != "" {
			out[name] = o.Manifest
		}
	}
	return out
}

// printRows prints an answer as a table, csv or a JSON object a line.
func printRows(w io.Writer, answer *duckdb.Answer, format string, limit int) error {
	p := rowPrinter{w: bufio.NewWriter(w), format: format, limit: limit, columns: answer.Columns}
	for _, c := range answer.Columns {
		p.table.head = append(p.table.head, c.Name)
	}
	switch format {
	case "table", "json":
	case "csv":
		p.csv = csv.NewWriter(p.w)
		if err := p.csv.Write(p.table.head); err != nil {
			return err
		}
	default:
		return usage("--format %s: table, csv or json is wanted", format)
	}
	for b, err := range answer.Rows {
		if err != nil {
			return err
		}
		err := p.batch(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return p.end()
}

type rowPrinter struct {
	w       *bufio.Writer
	csv     *csv.Writer
	format  string
	limit   int
	columns flow.Schema
	table   table
	rows    int64
}

func (p *rowPrinter) batch(b flow.Batch) error {
	for i := range int(b.NumRows()) {
		p.rows++
		switch p.format {
		case "json":
			if err := p.jsonRow(b, i); err != nil {
				return err
			}
		case "csv":
			if err := p.csv.Write(p.cells(b, i, "")); err != nil {
				return err
			}
		default:
			if p.limit == 0 || p.rows <= int64(p.limit) {
				p.table.add(p.cells(b, i, "NULL")...)
			}
		}
	}
	return nil
}

func (p *rowPrinter) cells(b flow.Batch, row int, null string) []string {
	out := make([]string, b.NumCols())
	for c := range out {
		if col := b.Column(c); col.IsNull(row) {
			out[c] = null
		} else {
			// The text may lie in the batch's memory, which ends before the table is printed.
			out[c] = strings.Clone(cell(col, row))
		}
	}
	return out
}

// cell is a value as text; decimals keep the digits of their scale.
func cell(col arrow.Array, row int) string {
	if d, ok := col.(*array.Decimal128); ok {
		if t, ok := d.DataType().(*arrow.Decimal128Type); ok {
			return d.Value(row).ToString(t.Scale)
		}
	}
	return col.ValueStr(row)
}

func (p *rowPrinter) jsonRow(b flow.Batch, row int) error {
	p.w.WriteByte('{') //nolint:errcheck // Flush tells
	for c := range int(b.NumCols()) {
		if c > 0 {
			p.w.WriteByte(',') //nolint:errcheck // Flush tells
		}
		name, err := json.Marshal(p.columns[c].Name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(b.Column(c).GetOneForMarshal(row))
		if err != nil {
			return err
		}
		p.w.Write(name)    //nolint:errcheck // Flush tells
		p.w.WriteByte(':') //nolint:errcheck // Flush tells
		p.w.Write(value)   //nolint:errcheck // Flush tells
	}
	_, err := p.w.WriteString("}\n")
	return err
}

func (p *rowPrinter) end() error {
	if p.csv != nil {
		p.csv.Flush()
		if err := p.csv.Error(); err != nil {
			return err
		}
	}
	if p.format == "table" {
		p.table.write(p.w)
		if more := p.rows - int64(len(p.table.rows)); more > 0 {
			fmt.Fprintf(p.w, "… %s more (--limit 0 shows all)\n", count(more, "row")) //nolint:errcheck // Flush tells
		}
	}
	return p.w.Flush()
}
