package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// The checks of a step. A NULL passes every check but not_null: a value that is not there
// is in no range, has no duplicate and refers to nothing. freshness and rows look at the
// table as a whole.

// rowCheck is a check that a row alone can fail, or a row among its table.
type rowCheck struct {
	flow.Check
	bad  string // an expression over the relation, true for a bad row; empty for rows and freshness
	join bool   // bad needs a pass of its own: a subquery or a window
}

// predicates gives a relation that has, beside the rows' columns, __p0, __p1, … for
// the predicates.
func (w *work) predicates(ctx context.Context, schema flow.Schema, texts []flow.SQLText) (duckText, error) {
	var spark strings.Builder
	var values []any
	var native []string
	spark.WriteString("SELECT *")
	n := 0
	for i, t := range texts {
		q, err := w.Lookup.Text(ctx, t.Hash)
		if err != nil {
			return duckText{}, err
		}
		q = strings.TrimRight(strings.TrimSpace(q), ";")
		if t.Dialect == "duckdb" {
			if len(t.Values) > 0 {
				return duckText{}, &flow.Error{Op: "read the predicate " + q, Kind: flow.Invalid, Err: errors.New("a DuckDB text of a check takes no {{ … }}"), Hint: "Write it in Spark SQL."}
			}
			if err := w.selectOnly(ctx, "SELECT ("+q+")"); err != nil {
				return duckText{}, err
			}
			native = append(native, fmt.Sprintf("(%s) AS __p%d", q, i))
			continue
		}
		n++
		values = append(values, t.Values...)
		fmt.Fprintf(&spark, ", (%s) AS __p%d", q, i)
	}
	spark.WriteString(" FROM " + rowsTable)
	base := duckText{sql: "SELECT * FROM " + rowsTable}
	if n > 0 {
		q, err := newQuery(spark.String(), values, "")
		if err != nil {
			return duckText{}, err
		}
		tables := map[string]flow.Schema{rowsTable: schema}
		if base, err = q.translate(tables, w.Session.Timezone); err != nil {
			return duckText{}, err
		}
	}
	if len(native) > 0 {
		base.sql = "SELECT *, " + strings.Join(native, ", ") + " FROM (" + base.sql + ")"
	}
	return base, nil
}

// plan makes the checks' expressions and the relation that they stand over.
func (w *work) planChecks(ctx context.Context, schema flow.Schema, checks []flow.Check) ([]rowCheck, duckText, error) {
	var texts []flow.SQLText
	out := make([]rowCheck, len(checks))
	for i, c := range checks {
		out[i].Check = c
		if out[i].Text == "" {
			out[i].Text = c.Kind + " " + strings.Join(c.Columns, ", ")
		}
		for k, n := range c.Columns {
			j := format.Index(schema, n)
			if j < 0 {
				return nil, duckText{}, &flow.Error{Op: "check " + out[i].Text, Kind: flow.Invalid, Err: fmt.Errorf("the table has no column %s, but %s", n, strings.Join(format.Names(schema), ", "))}
			}
			out[i].Columns = slices.Clone(out[i].Columns)
			out[i].Columns[k] = schema[j].Name
		}
		if c.Kind == "sql" {
			if c.SQL == nil {
				return nil, duckText{}, &flow.Error{Op: "check " + out[i].Text, Kind: flow.Invalid, Err: errors.New("it has no text")}
			}
			out[i].bad = fmt.Sprintf("NOT __p%d", len(texts))
			texts = append(texts, *c.SQL)
			continue
		}
		var err error
		if out[i].bad, out[i].join, err = w.badRow(c, out[i].Columns, schema); err != nil {
			return nil, duckText{}, &flow.Error{Op: "check " + out[i].Text, Kind: flow.Invalid, Err: err}
		}
	}
	rel, err := w.predicates(ctx, schema, texts)
	return out, rel, err
}

func (w *work) badRow(c flow.Check, cols []string, schema flow.Schema) (bad string, join bool, err error) {
	if c.Kind == "rows" {
		return "", false, nil
	}
	if len(cols) == 0 || len(cols) > 1 && c.Kind != "unique" && c.Kind != "not_null" {
		return "", false, fmt.Errorf("it names %d columns", len(cols))
	}
	col := format.QuoteDuckDB(cols[0])
	typ := schema[format.Index(schema, cols[0])].Type
	switch c.Kind {
	case "freshness":
		return "", false, nil
	case "not_null":
		var parts []string
		for _, n := range cols {
			parts = append(parts, format.QuoteDuckDB(n)+" IS NULL")
		}
		return strings.Join(parts, " OR "), false, nil
	case "accepted_values":
		var lits []string
		for _, v := range c.Values {
			if v == nil {
				continue // NULL passes anyway
			}
			l, err := literal(v, typ)
			if err != nil {
				return "", false, err
			}
			lits = append(lits, l)
		}
		if len(lits) == 0 {
			return col + " IS NOT NULL", false, nil
		}
		return col + " NOT IN (" + strings.Join(lits, ", ") + ")", false, nil
	case "range":
		var parts []string
		for op, v := range map[string]any{" < ": c.Min, " > ": c.Max} {
			if v == nil {
				continue
			}
			l, err := literal(v, typ)
			if err != nil {
				return "", false, err
			}
			parts = append(parts, col+op+l)
		}
		if len(parts) == 0 {
			return "", false, errors.New("it has neither min nor max")
		}
		slices.Sort(parts)
		return strings.Join(parts, " OR "), false, nil
	case "matches":
		return "NOT regexp_matches(CAST(" + col + " AS VARCHAR), " + quote(c.Regex) + ")", false, nil
	case "unique":
		var whole []string
		for _, n := range cols {
			whole = append(whole, format.QuoteDuckDB(n)+" IS NOT NULL")
		}
		return "(" + strings.Join(whole, " AND ") + ") AND row_number() OVER (PARTITION BY " + names(cols) + ") > 1", true, nil
	case "relationship":
		table, key, ok := strings.Cut(c.To, ".")
		if !ok || w.tables[table] == nil || format.Index(w.tables[table], key) < 0 {
			return "", false, fmt.Errorf("%q is no column of a step that this one reads", c.To)
		}
		return col + " IS NOT NULL AND " + col + " NOT IN (SELECT " + format.QuoteDuckDB(key) + " FROM " + format.QuoteDuckDB(table) + " WHERE " + format.QuoteDuckDB(key) + " IS NOT NULL)", true, nil
	}
	return "", false, fmt.Errorf("there is no check %q", c.Kind)
}

// literal is a value of a check as a constant: of the column's type, so that 5 and 5.0
// compare as numbers, and a text that is no date is told here.
func literal(v any, typ string) (string, error) {
	var text string
	switch v := v.(type) {
	case string:
		text = quote(v)
	case bool:
		text = quote(strconv.FormatBool(v))
	case json.Number:
		if _, err := strconv.ParseFloat(string(v), 64); err != nil {
			return "", err
		}
		return string(v), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case int:
		return strconv.Itoa(v), nil
	default:
		return "", fmt.Errorf("%v is no text, number or truth value", v)
	}
	t, err := format.ParseType(typ)
	if err != nil {
		return "", err
	}
	return "CAST(" + text + " AS " + t.DuckDB() + ")", nil
}

// rejectRows moves the rows that checks of severity reject find bad to the rejects, each
// once, with the first reason.
func (w *work) rejectRows(ctx context.Context, res *result) error {
	var mine []flow.Check
	for _, c := range w.job.Checks {
		if c.Severity == "reject" {
			mine = append(mine, c)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	checks, rel, err := w.planChecks(ctx, res.schema, mine)
	if err != nil {
		return err
	}
	var flags, whens, any []string
	for i, c := range checks {
		if c.bad == "" {
			return &flow.Error{Op: "check " + c.Text, Kind: flow.Invalid, Err: fmt.Errorf("%s looks at the whole table, no row can be rejected for it", c.Kind), Hint: "Use severity: fail or warn."}
		}
		f := fmt.Sprintf("__b%d", i)
		flags = append(flags, "("+c.bad+") AS "+f)
		whens = append(whens, "WHEN "+f+" THEN "+quote("check "+c.Text))
		any = append(any, f)
	}
	sql := "CREATE TEMP TABLE __flagged AS SELECT *, " + strings.Join(flags, ", ") + " FROM (" + rel.sql + ")"
	if _, err := w.conn.ExecContext(ctx, sql, rel.args...); err != nil {
		return fault(ctx, err)
	}
	bad := strings.Join(any, " OR ")
	if err := w.rejectWhere(ctx, "SELECT CASE "+strings.Join(whens, " ")+" END, "+jsonOf(res.schema)+" FROM __flagged WHERE "+bad); err != nil {
		return err
	}
	return w.exec(ctx, "DROP TABLE "+rowsTable, "CREATE TEMP TABLE "+rowsTable+" AS SELECT "+columnList(res.schema)+" FROM __flagged WHERE ("+bad+") IS NOT TRUE", "DROP TABLE __flagged")
}

// check looks at the finished table: one pass for all checks that a row alone decides,
// one for each that compares rows.
func (w *work) check(ctx context.Context, res *result) error {
	var mine []flow.Check
	for _, c := range w.job.Checks {
		if c.Severity != "reject" {
			mine = append(mine, c)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	if err := w.bindResult(ctx, res); err != nil {
		return err
	}
	checks, rel, err := w.planChecks(ctx, res.schema, mine)
	if err != nil {
		return err
	}
	bad, err := w.countBad(ctx, checks, rel)
	if err != nil {
		return err
	}
	var faults []string
	for i, c := range checks {
		said := ""
		switch {
		case c.Kind == "rows":
			said, err = w.checkRows(ctx, c.Check, res.rows)
		case c.Kind == "freshness":
			said, err = w.checkFresh(ctx, c.Check, rel)
		case bad[i] > 0:
			said, err = w.describeBad(ctx, res, c, rel, bad[i])
		}
		if err != nil {
			return err
		}
		if said == "" {
			continue
		}
		if c.Severity == "warn" {
			w.warnings = append(w.warnings, "check "+c.Text+": "+said)
			continue
		}
		faults = append(faults, "check "+c.Text+": "+said)
	}
	if len(faults) > 0 {
		return &flow.Error{Kind: flow.Rejected, Name: flow.NameCheckFailed, Err: errors.New(strings.Join(faults, "\n")),
			Hint: "Look at the rows above; severity: warn lets the step pass, severity: reject moves such rows aside."}
	}
	return nil
}

// bindResult makes the finished files the table that checks look at.
func (w *work) bindResult(ctx context.Context, res *result) error {
	sel, err := nothing(res.schema)
	if err != nil {
		return err
	}
	if len(res.files) > 0 {
		paths := make([]string, len(res.files))
		for i, f := range res.files {
			paths[i] = f.path
		}
		cols, err := casts(res.schema)
		if err != nil {
			return err
		}
		sel = "SELECT " + cols + " FROM " + readParquet(paths)
	}
	return w.exec(ctx, "DROP TABLE IF EXISTS "+rowsTable, "CREATE TEMP VIEW "+rowsTable+" AS "+sel)
}

func (w *work) countBad(ctx context.Context, checks []rowCheck, rel duckText) ([]int64, error) {
	out := make([]int64, len(checks))
	var exprs []string
	var into []any
	for i, c := range checks {
		switch {
		case c.bad == "":
		case c.join:
			sql := "SELECT count(*) FILTER (__bad) FROM (SELECT (" + c.bad + ") AS __bad FROM (" + rel.sql + "))"
			if err := w.conn.QueryRowContext(ctx, sql, rel.args...).Scan(&out[i]); err != nil {
				return nil, fault(ctx, err)
			}
		default:
			exprs = append(exprs, "count(*) FILTER ("+c.bad+")")
			into = append(into, &out[i])
		}
	}
	if len(exprs) == 0 {
		return out, nil
	}
	return out, fault(ctx, w.conn.QueryRowContext(ctx, "SELECT "+strings.Join(exprs, ", ")+" FROM ("+rel.sql+")", rel.args...).Scan(into...))
}

func (w *work) checkRows(ctx context.Context, c flow.Check, rows int64) (string, error) {
	for _, b := range []struct {
		v    any
		less bool
	}{{c.Min, true}, {c.Max, false}} {
		if b.v == nil {
			continue
		}
		n, err := strconv.ParseFloat(fmt.Sprint(b.v), 64)
		if err != nil {
			return "", &flow.Error{Op: "check " + c.Text, Kind: flow.Invalid, Err: err}
		}
		if b.less && float64(rows) < n {
			return fmt.Sprintf("the table has %d rows, at least %v are wanted", rows, b.v), nil
		}
		if !b.less && float64(rows) > n {
			return fmt.Sprintf("the table has %d rows, at most %v are wanted", rows, b.v), nil
		}
	}
	if len(c.VsPrevious) != 2 {
		return "", nil
	}
	prev, err := w.Store.Latest(ctx, w.job.Slot)
	if flow.KindOf(err) == flow.NotFound {
		return "", nil // the first one has nothing to be compared with
	}
	if err != nil {
		return "", err
	}
	least, most := c.VsPrevious[0]*float64(prev.Rows), c.VsPrevious[1]*float64(prev.Rows)
	if float64(rows) < least || float64(rows) > most {
		return fmt.Sprintf("the table has %d rows, the previous one (%s) %d; between %g and %g times as many are wanted", rows, prev.Time, prev.Rows, c.VsPrevious[0], c.VsPrevious[1]), nil
	}
	return "", nil
}

func (w *work) checkFresh(ctx context.Context, c flow.Check, rel duckText) (string, error) {
	within, err := parseAge(c.Within)
	if err != nil {
		return "", &flow.Error{Op: "check " + c.Text, Kind: flow.Invalid, Err: err}
	}
	at := w.now()
	if c.At != "" {
		if at, err = parseInstant(c.At); err != nil {
			return "", &flow.Error{Op: "check " + c.Text, Kind: flow.Invalid, Err: err}
		}
	}
	var newest *int64
	sql := "SELECT epoch_us(max(CAST(" + format.QuoteDuckDB(c.Columns[0]) + " AS TIMESTAMP WITH TIME ZONE))) FROM (" + rel.sql + ")"
	if err := w.conn.QueryRowContext(ctx, sql, rel.args...).Scan(&newest); err != nil {
		return "", fault(ctx, err)
	}
	if newest == nil {
		return "there is no value", nil
	}
	if got := time.UnixMicro(*newest).UTC(); got.Before(at.Add(-within)) {
		return fmt.Sprintf("the newest is of %s, %s before %s", got.Format(time.RFC3339), at.Sub(got).Round(time.Second), at.UTC().Format(time.RFC3339)), nil
	}
	return "", nil
}

func parseInstant(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return flow.ParseTimeName(s)
}

// parseAge reads 2d, 36h, 1d12h.
func parseAge(s string) (time.Duration, error) {
	days := time.Duration(0)
	if d, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration like 2d or 36h", s)
		}
		if days = time.Duration(n) * 24 * time.Hour; rest == "" {
			return days, nil
		}
		s = rest
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration like 2d or 36h", s)
	}
	return days + d, nil
}

// describeBad counts and shows up to five bad rows.
func (w *work) describeBad(ctx context.Context, res *result, c rowCheck, rel duckText, n int64) (string, error) {
	// The check's own columns first: a wide table is cut at eight.
	show := slices.Clone(c.Columns)
	for _, col := range res.schema {
		if len(show) < 8 && !slices.Contains(show, col.Name) {
			show = append(show, col.Name)
		}
	}
	cells := make([]string, len(show))
	for i, name := range show {
		cells[i] = "CAST(" + format.QuoteDuckDB(name) + " AS VARCHAR)"
	}
	sql := "SELECT " + strings.Join(cells, ", ") + " FROM (SELECT *, (" + c.bad + ") AS __bad FROM (" + rel.sql + ")) WHERE __bad LIMIT 5"
	rows, err := w.conn.QueryContext(ctx, sql, rel.args...)
	if err != nil {
		return "", fault(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	grid := [][]string{show}
	for rows.Next() {
		vals := make([]*string, len(show))
		into := make([]any, len(show))
		for i := range vals {
			into[i] = &vals[i]
		}
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		line := make([]string, len(show))
		for i, v := range vals {
			if line[i] = "NULL"; v != nil {
				line[i] = shorten(*v)
			}
		}
		grid = append(grid, line)
	}
	word := "rows do"
	if n == 1 {
		word = "row does"
	}
	return fmt.Sprintf("%d %s not meet it\n%s", n, word, table(grid)), fault(ctx, rows.Err())
}

func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > 40 {
		return string([]rune(s)[:39]) + "…"
	}
	return s
}

func table(grid [][]string) string {
	wide := make([]int, len(grid[0]))
	for _, line := range grid {
		for i, c := range line {
			wide[i] = max(wide[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, line := range grid {
		b.WriteString("  ")
		for i, c := range line {
			b.WriteString(c)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", wide[i]-utf8.RuneCountInString(c)+2))
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n")
}
