package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/sparksql"
)

// query is a step's SQL before it is translated; nil stands for all of source.
type query struct {
	text   string
	values []any
	spark  *sparksql.Query // nil: the text is DuckDB's own
}

// text fetches the SQL of the job; nil where there is none.
func (w *work) text(ctx context.Context) (*query, error) {
	if w.job.SQL == nil {
		if w.job.Extract == nil {
			return nil, &flow.Error{Kind: flow.Invalid, Err: errors.New("the job has neither an extract nor SQL")}
		}
		return nil, nil
	}
	return w.fetch(ctx, *w.job.SQL)
}

func (c TaskConfig) fetch(ctx context.Context, t flow.SQLText) (*query, error) {
	text, err := c.Lookup.Text(ctx, t.Hash)
	if err != nil {
		return nil, err
	}
	return newQuery(text, t.Values, t.Dialect)
}

func newQuery(text string, values []any, dialect string) (*query, error) {
	q := &query{text: text, values: values}
	if dialect == "duckdb" {
		return q, nil
	}
	parsed, err := sparksql.Parse(text)
	if err != nil {
		e := &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: err}
		if se, ok := sparksql.AsError(err); ok {
			e.Hint = se.Hint
			e.Err = fmt.Errorf("line %d, column %d: %s", se.Pos.Line, se.Pos.Column, se.Message)
		}
		return nil, e
	}
	q.spark = parsed
	return q, nil
}

// duckText is a query in DuckDB's words with what is bound to it. columns are its result's
// with Spark's types; nil where DuckDB has to be asked.
type duckText struct {
	sql     string
	args    []any
	columns flow.Schema
}

// translate turns the query into DuckDB's words; all faults are told at once.
func (q *query) translate(tables map[string]flow.Schema, zone string) (duckText, error) {
	if q.spark == nil {
		args := make([]any, len(q.values))
		for i, v := range q.values {
			var err error
			if args[i], _, err = bound(v); err != nil {
				return duckText{}, err
			}
		}
		return duckText{sql: strings.TrimRight(strings.TrimSpace(q.text), "; \n"), args: args}, nil
	}
	types := make([]sparksql.Type, len(q.values))
	args := make([]any, len(q.values))
	for i, v := range q.values {
		var word string
		var err error
		if args[i], word, err = bound(v); err != nil {
			return duckText{}, err
		}
		if types[i], err = sparksql.ParseType(word); err != nil {
			return duckText{}, err
		}
	}
	t, faults := sparksql.DuckDB(q.spark, sparksql.Options{Timezone: zone, ParamTypes: types, Name: func(p sparksql.Param) (string, error) {
		if p.Index >= len(q.values) {
			return "", fmt.Errorf("place %d has no value", p.Index+1)
		}
		return fmt.Sprint(q.values[p.Index]), nil
	}, Catalog: func(name string) ([]sparksql.Field, bool) {
		for n, s := range tables {
			if strings.EqualFold(n, name) {
				fields, err := sparkFields(s)
				return fields, err == nil
			}
		}
		return nil, false
	}})
	if len(faults) > 0 {
		return duckText{}, refusal(faults)
	}
	out := duckText{sql: t.SQL}
	for _, p := range t.Params {
		if p.Index >= len(args) {
			return duckText{}, &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: fmt.Errorf("place %d has no value", p.Index+1)}
		}
		out.args = append(out.args, args[p.Index])
	}
	for _, f := range t.Columns {
		word := f.Type.String()
		ft, err := format.ParseType(word)
		if err != nil {
			return duckText{}, &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: fmt.Errorf("column %s is of type %s, which a dataset cannot keep", f.Name, word), Hint: "Cast it to a type that Parquet keeps, a string or a bigint."}
		}
		out.columns = append(out.columns, flow.Column{Name: f.Name, Type: ft.String(), Nullable: true})
	}
	return out, nil
}

func refusal(faults []sparksql.Fault) error {
	texts := make([]string, len(faults))
	hint := ""
	for i, f := range faults {
		texts[i] = fmt.Sprintf("line %d, column %d: %s", f.Pos.Line, f.Pos.Column, f.Message)
		if hint == "" {
			hint = f.Hint
		}
	}
	return &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: errors.New(strings.Join(texts, "; ")), Hint: hint}
}

func sparkFields(s flow.Schema) ([]sparksql.Field, error) {
	out := make([]sparksql.Field, len(s))
	for i, c := range s {
		t, err := sparksql.ParseType(c.Type)
		if err != nil {
			return nil, err
		}
		out[i] = sparksql.Field{Name: c.Name, Type: t}
	}
	return out, nil
}

// bound is a {{ … }} value as it is bound, and its type in Spark's words: that of the
// literal that Spark is given for it.
func bound(v any) (any, string, error) {
	switch v := v.(type) {
	case nil:
		return nil, "void", nil
	case string:
		return v, "string", nil
	case bool:
		return v, "boolean", nil
	case float64:
		return bound(json.Number(big.NewFloat(v).Text('f', -1)))
	case int:
		return bound(json.Number(fmt.Sprint(v)))
	case json.Number:
		return boundNumber(string(v))
	}
	return nil, "", &flow.Error{Op: "bind a value", Kind: flow.Invalid, Err: fmt.Errorf("%v is no text, number or truth value", v), Hint: "A template in SQL stands for one value."}
}

func boundNumber(s string) (any, string, error) {
	if n, ok := new(big.Int).SetString(s, 10); ok && n.IsInt64() {
		if i := n.Int64(); i == int64(int32(i)) {
			return int32(i), "int", nil
		}
		return n.Int64(), "bigint", nil
	}
	whole, frac, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	digits := len(strings.TrimLeft(whole, "0")) + len(frac)
	if _, ok := new(big.Int).SetString(strings.Replace(s, ".", "", 1), 10); !ok || digits > 38 {
		f, err := json.Number(s).Float64()
		return f, "double", err
	}
	width := max(digits, len(frac), 1)
	// As its text, which the query casts: database/sql lets no struct through.
	return s, fmt.Sprintf("decimal(%d,%d)", width, len(frac)), nil
}

// describe asks DuckDB for the columns of a query.
func (w *work) describe(ctx context.Context, sql string, args []any) (flow.Schema, error) {
	rows, err := w.conn.QueryContext(ctx, "DESCRIBE "+sql, args...)
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	var out flow.Schema
	for rows.Next() {
		var name, typ string
		var rest [4]any
		if err := rows.Scan(&name, &typ, &rest[0], &rest[1], &rest[2], &rest[3]); err != nil {
			return nil, err
		}
		t, err := format.ParseDuckDB(typ)
		if err != nil {
			return nil, &flow.Error{Op: "read column " + name, Kind: flow.Invalid, Err: err}
		}
		out = append(out, flow.Column{Name: name, Type: t.String(), Nullable: true})
	}
	return out, fault(ctx, rows.Err())
}

// selectOnly refuses a text of DuckDB's own that is anything but one SELECT.
func (w *work) selectOnly(ctx context.Context, text string) error {
	var out string
	if err := w.conn.QueryRowContext(ctx, "SELECT json_serialize_sql($1::VARCHAR)::VARCHAR", text).Scan(&out); err != nil {
		return fault(ctx, err)
	}
	var tree struct {
		Error        bool   `json:"error"`
		ErrorMessage string `json:"error_message"`
		Statements   []any  `json:"statements"`
	}
	if err := json.Unmarshal([]byte(out), &tree); err != nil {
		return err
	}
	if tree.Error {
		return &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: errors.New(tree.ErrorMessage)}
	}
	if len(tree.Statements) != 1 {
		return &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: fmt.Errorf("%d statements, one SELECT is wanted", len(tree.Statements))}
	}
	return nil
}

// casts is a select list that gives the schema's columns their types and names.
func casts(s flow.Schema) (string, error) {
	if len(s) == 0 {
		return "", &flow.Error{Kind: flow.Invalid, Err: errors.New("a table without columns")}
	}
	var b strings.Builder
	for i, c := range s {
		t, err := format.ParseType(c.Type)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteString(", ")
		}
		n := format.QuoteDuckDB(c.Name)
		if t.Kind == format.Void {
			fmt.Fprintf(&b, "%s AS %s", n, n)
		} else {
			fmt.Fprintf(&b, "CAST(%s AS %s) AS %s", n, t.DuckDB(), n)
		}
	}
	return b.String(), nil
}

// nothing is a query with the schema's columns and no rows.
func nothing(s flow.Schema) (string, error) {
	cols := make([]string, len(s))
	for i, c := range s {
		t, err := format.ParseType(c.Type)
		if err != nil {
			return "", err
		}
		cols[i] = fmt.Sprintf("CAST(NULL AS %s) AS %s", t.DuckDB(), format.QuoteDuckDB(c.Name))
	}
	if len(cols) == 0 {
		return "", &flow.Error{Kind: flow.Invalid, Err: errors.New("a table without columns")}
	}
	return "SELECT " + strings.Join(cols, ", ") + " WHERE false", nil
}
