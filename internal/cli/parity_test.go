package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/duckdb"
	"github.com/tidemill/tidemill/internal/pipeline"
)

// TestCompare holds datasets against each other that differ in what parity has to see, and
// in what it has to bear.
func TestCompare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"tidemill.yaml": "project: p\n", "pipelines/p.yaml": `steps:
  one:     { sql: "select * from values (1, 'a', cast(1.0 as double)), (2, 'b', cast(0.1 as double)), (2, 'b', cast(0.1 as double)) as t(k, s, d)" }
  near:    { sql: "select * from values (2, 'b', cast(0.1 as double)), (1, 'a', cast(1.0000000001 as double)), (2, 'b', cast(0.10000000001 as double)) as t(k, s, d)" }
  far:     { sql: "select * from values (1, 'a', cast(1.00001 as double)), (2, 'b', cast(0.1 as double)), (2, 'b', cast(0.1 as double)) as t(k, s, d)" }
  once:    { sql: "select * from values (1, 'a', cast(1.0 as double)), (2, 'b', cast(0.1 as double)) as t(k, s, d)" }
  other:   { sql: "select * from values (1, 'a', cast(1.0 as double)), (2, 'c', cast(0.1 as double)), (2, 'b', cast(0.1 as double)) as t(k, s, d)" }
  typed:   { sql: "select cast(k as bigint) as k, s, d from one" }
`})
	mustRun(t, dir, "run", "p")
	a := &app{dir: dir, open: openSQLite, stdout: &strings.Builder{}, stderr: &strings.Builder{}}
	defer a.close()
	j, run, target, err := a.chosenRun(t.Context(), "p", runFlags{})
	if err != nil {
		t.Fatal(err)
	}
	tables, err := a.tablesOf(t.Context(), j, run)
	if err != nil {
		t.Fatal(err)
	}
	l := a.lookup(target, j)
	store, err := l.store(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tasks := duckdb.TaskConfig{Lookup: l, Store: store, Session: duckdb.Config{}, Temp: filepath.Join(t.TempDir(), "tmp")}
	for table, want := range map[string]string{
		"one": "", "near": "", "far": "1 row has no equal:\n  DuckDB, Spark  {'k': [1, 1], 's': [a, a], 'd': [1.0, 1.00001]}",
		"once":  "rows: 3 on DuckDB, 2 on Spark\n1 row has no equal:\n  on DuckDB only {'k': [2, NULL], 's': [b, NULL], 'd': [0.1, NULL]}",
		"other": "1 row has no equal:\n  DuckDB, Spark  {'k': [2, 2], 's': [b, c], 'd': [0.1, 0.1]}",
		"typed": "columns on DuckDB: k int, s string, d double\ncolumns on Spark:  k bigint, s string, d double",
	} {
		said, err := a.compare(t.Context(), tasks, l, tables["one"], tables[table])
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(said.faults, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", table, got, want)
		}
	}
}

func TestParityTargets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"tidemill.yaml":    "project: p\ntargets: { far: { engine: spark, vars: { x: far } }, near: { engine: duckdb } }\n",
		"pipelines/p.yaml": "steps: { a: { copy: { from: x, to: y } } }\n",
	})
	a := &app{dir: dir, open: openSQLite, stderr: &strings.Builder{}}
	if _, err := a.load(); err != nil {
		t.Fatal(err)
	}
	duck, spark, err := a.parityTargets("", "")
	if err != nil || duck.Engine != "duckdb" || len(spark.Vars) != 1 {
		t.Errorf("%+v %+v %v", duck, spark, err)
	}
	if _, _, err := a.parityTargets("far", ""); err == nil {
		t.Error("a target of engine spark was taken for DuckDB's side")
	}
	a.project.Targets = pipeline.Map[*pipeline.Target]{}
	if _, spark, err := a.parityTargets("", ""); err != nil || spark.Engine != "spark" {
		t.Errorf("without a target of engine spark: %+v %v", spark, err)
	}
	if code, _, errs := tidemill(t, dir, "parity", "p"); code != 2 || !strings.Contains(errs, "no dataset that could be compared") {
		t.Errorf("%d: %s", code, errs)
	}
}
