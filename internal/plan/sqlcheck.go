package plan

import (
	"strings"

	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/sparksql"
)

// checkSQL translates every step's query as the run will, as far as the columns of its
// tables are known before anything has run: an extract's by its schema file, a step's by
// its query. What cannot be known is left to the run.
func (c *compiler) checkSQL() {
	if c.t.Engine != "duckdb" {
		return
	}
	k := &sqlCheck{c: c, known: map[string][]sparksql.Field{}, done: map[string]bool{}}
	for _, e := range c.pl.Steps {
		if c.includes(e.Key) {
			k.columns(e.Key)
		}
	}
}

type sqlCheck struct {
	c     *compiler
	known map[string][]sparksql.Field // by step
	done  map[string]bool             // also set while a step is at work
}

// columns are those of a step's dataset, and whether they are known.
func (k *sqlCheck) columns(step string) ([]sparksql.Field, bool) {
	if !k.done[step] {
		k.done[step] = true
		if fields, ok := k.check(k.c.pl.Steps[k.c.pl.Nodes[step]].Value); ok {
			k.known[step] = fields
		}
	}
	fields, ok := k.known[step]
	return fields, ok
}

func (k *sqlCheck) check(s *pipeline.Step) ([]sparksql.Field, bool) {
	if s.SQL == nil {
		return k.source(s)
	}
	if s.SQL.Duck != nil || s.SQL.Query == nil || hasName(s.SQL.Query) {
		return nil, false
	}
	t, faults := sparksql.DuckDB(s.SQL.Query, sparksql.Options{
		ParamTypes: make([]sparksql.Type, len(s.SQL.Values)), // of no known type
		Catalog: func(table string) ([]sparksql.Field, bool) {
			if strings.EqualFold(table, "source") {
				return k.source(s)
			}
			if step, ok := k.c.pl.TableStep(table); ok {
				return k.columns(step)
			}
			return nil, false
		},
	})
	for _, f := range faults {
		if !f.NeedsTypes {
			k.c.faults = append(k.c.faults, s.SQL.Fault(f.Pos.Offset, f.Message, f.Hint))
		}
	}
	return t.Columns, len(faults) == 0
}

// source are the columns of a step's extract.
func (k *sqlCheck) source(s *pipeline.Step) ([]sparksql.Field, bool) {
	if s.Extract == nil || k.c.options.Schema == nil {
		return nil, false
	}
	fields, ok := k.c.options.Schema(k.c.pl.Name.Value, s.Key)
	if !ok {
		return nil, false
	}
	for _, e := range s.Extract.Columns {
		t, err := sparksql.ParseType(e.Value.Value)
		if err != nil {
			return nil, false
		}
		found := false
		for i := range fields {
			if strings.EqualFold(fields[i].Name, e.Key) {
				fields[i].Type, found = t, true
			}
		}
		if !found {
			return nil, false // the schema file is of another time
		}
	}
	return fields, s.Extract.Drift == "" || s.Extract.Drift == "freeze"
}

// hasName tells whether a name in the query is known only at the run.
func hasName(q *sparksql.Query) bool {
	for _, p := range q.Params() {
		if p.Name {
			return true
		}
	}
	return false
}
