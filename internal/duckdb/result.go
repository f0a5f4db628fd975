package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// result is a step's table as files of this machine.
type result struct {
	schema flow.Schema
	rows   int64
	files  []part
	cursor string
}

// rowsTable is this run's rows, where they cannot go straight into files.
const rowsTable = "__rows"

// keptTable is the previous version of a table that accumulates.
const keptTable = "__kept"

// bindKept makes the previous version readable before the session is sealed.
func (w *work) bindKept(ctx context.Context) error {
	d, err := w.Store.Base(ctx, w.job.Slot)
	if flow.KindOf(err) == flow.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	w.kept = d
	w.inputs = append(w.inputs, d.Input())
	sel, err := w.selectSet(ctx, d, d.Schema)
	if err != nil {
		return err
	}
	return w.exec(ctx, "CREATE TEMP VIEW "+keptTable+" AS "+sel)
}

// compute runs the query, proves that nothing was lost at the source, applies keep and
// checks, and leaves the rows in files.
func (w *work) compute(ctx context.Context, q *query, src *source) (*result, error) {
	text, err := w.selectText(ctx, q, src)
	if err != nil {
		return nil, err
	}
	if err := uniqueNames(text.columns); err != nil {
		return nil, err
	}
	res := &result{schema: text.columns}
	cols, err := casts(text.columns)
	if err != nil {
		return nil, err
	}
	sql := "SELECT " + cols + " FROM (" + text.sql + ")"
	direct := w.job.Keep == nil && !slices.ContainsFunc(w.job.Checks, func(c flow.Check) bool { return c.Severity == "reject" })
	err = w.reading(ctx, src, func(ctx context.Context) error {
		if direct {
			return w.copyOut(ctx, res, sql, text.args)
		}
		_, err := w.conn.ExecContext(ctx, "CREATE TEMP TABLE "+rowsTable+" AS "+sql, text.args...)
		return fault(ctx, err)
	})
	if err != nil {
		return nil, err
	}
	if res.cursor, err = w.cursor(ctx, src); err != nil {
		return nil, err
	}
	if !direct {
		if err := w.settle(ctx, res); err != nil {
			return nil, err
		}
	}
	return res, w.check(ctx, res)
}

// reading runs what reads the source and weighs what was read.
func (w *work) reading(ctx context.Context, src *source, run func(context.Context) error) error {
	if w.csv == nil {
		if err := run(ctx); err != nil {
			return err
		}
		return w.weigh(src)
	}
	if err := w.csv.reading(ctx, run); err != nil {
		return err
	}
	w.read = w.csv.stats.Read
	return w.weigh(src)
}

var errSkip = errors.New("nothing to read")

// weigh applies on_empty and the limit of rejects.
func (w *work) weigh(src *source) error {
	if src == nil {
		return nil
	}
	e := w.job.Extract
	if src.Kind != "dataset" && w.read == 0 {
		switch e.OnEmpty {
		case "ok":
		case "skip":
			return errSkip
		default:
			return w.reader.Empty()
		}
	}
	return w.bear(e.Rejects, w.read)
}

func (w *work) selectText(ctx context.Context, q *query, src *source) (duckText, error) {
	if q == nil {
		return duckText{sql: "SELECT * FROM source", columns: src.Schema}, nil
	}
	text, err := q.translate(w.tables, w.Session.Timezone)
	if err != nil || text.columns != nil {
		return text, err
	}
	if err := w.selectOnly(ctx, q.text); err != nil {
		return text, err
	}
	text.columns, err = w.describe(ctx, text.sql, text.args)
	return text, err
}

// uniqueNames refuses a result whose columns a table cannot have.
func uniqueNames(s flow.Schema) error {
	seen := map[string]bool{}
	for i, c := range s {
		n := strings.ToLower(c.Name)
		switch {
		case n == "":
			return &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: fmt.Errorf("column %d has no name", i+1), Hint: "Give it one: … as name."}
		case seen[n]:
			return &flow.Error{Op: "read sql", Kind: flow.Invalid, Err: fmt.Errorf("two columns are named %s", c.Name), Hint: "Give one of them another name: … as name."}
		}
		seen[n] = true
	}
	return nil
}

// copyOut writes a query's rows as Parquet files of about PartBytes.
func (w *work) copyOut(ctx context.Context, res *result, sql string, args []any) error {
	parts, rows, err := w.copyTo(ctx, sql, args, w.out, fmt.Sprintf("COMPRESSION zstd, COMPRESSION_LEVEL 1, FILE_SIZE_BYTES %d", w.PartBytes))
	if err != nil {
		return err
	}
	res.files, res.rows = parts, rows
	return nil
}

func (w *work) copyTo(ctx context.Context, sql string, args []any, dir, options string) ([]part, int64, error) {
	stmt := fmt.Sprintf("COPY (%s) TO %s (FORMAT parquet, %s, FILENAME_PATTERN 'part-{i}', OVERWRITE_OR_IGNORE true, RETURN_STATS true)", sql, quote(dir), options)
	rows, err := w.conn.QueryContext(ctx, stmt, args...)
	if err != nil {
		return nil, 0, fault(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	names, err := rows.Columns()
	if err != nil {
		return nil, 0, err
	}
	var parts []part
	total := int64(0)
	for rows.Next() {
		var p part
		into := make([]any, len(names))
		for i, n := range names {
			switch n {
			case "filename":
				into[i] = &p.path
			case "count":
				into[i] = &p.rows
			default:
				into[i] = new(any)
			}
		}
		if err := rows.Scan(into...); err != nil {
			return nil, 0, err
		}
		if p.rows == 0 {
			if err := os.Remove(p.path); err != nil {
				return nil, 0, err
			}
			continue
		}
		p.path = filepath.Clean(p.path)
		parts = append(parts, p)
		total += p.rows
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.path, b.path) })
	return parts, total, fault(ctx, rows.Err())
}

// cursor is the greatest value of the extract's cursor column.
func (w *work) cursor(ctx context.Context, src *source) (string, error) {
	if src == nil || w.job.Extract.Cursor == "" {
		return "", nil
	}
	i := format.Index(src.Schema, w.job.Extract.Cursor)
	if i < 0 {
		return "", &flow.Error{Op: "read the cursor", Kind: flow.Invalid, Err: fmt.Errorf("the extract has no column %s", w.job.Extract.Cursor)}
	}
	expr := "max(" + format.QuoteDuckDB(src.Schema[i].Name) + ")"
	if src.Schema[i].Type == "timestamp" {
		expr = "strftime(timezone('UTC', " + expr + "), '%Y-%m-%dT%H:%M:%S.%fZ')"
	}
	var v *string
	err := w.conn.QueryRowContext(ctx, "SELECT CAST("+expr+" AS VARCHAR) FROM source").Scan(&v)
	if err != nil || v == nil {
		return "", fault(ctx, err)
	}
	return *v, nil
}

// settle moves rows that checks reject, applies keep, and writes the files.
func (w *work) settle(ctx context.Context, res *result) error {
	if err := w.rejectRows(ctx, res); err != nil {
		return err
	}
	final := "SELECT * FROM " + rowsTable
	if w.job.Keep != nil {
		var err error
		if final, err = w.keep(ctx, res); err != nil {
			return err
		}
	}
	return w.copyOut(ctx, res, final, nil)
}

// keep gives the query of the accumulated whole: the previous version and this run's rows.
// The previous version is that of an earlier logical time, so that a time that is run again
// replaces what it added.
func (w *work) keep(ctx context.Context, res *result) (string, error) {
	k := w.job.Keep
	prev := w.kept
	if k.Mode == "merge" {
		if err := w.oneOfEachKey(ctx, res.schema); err != nil {
			return "", err
		}
	}
	mine := columnList(res.schema)
	if prev == nil {
		drop, err := w.deleted(ctx, res.schema)
		if err != nil {
			return "", err
		}
		if drop == "" {
			return "SELECT " + mine + " FROM " + rowsTable, nil
		}
		return "SELECT " + mine + " FROM " + rowsTable + " WHERE (" + drop + ") IS NOT TRUE", nil
	}
	whole := slices.Clone(res.schema)
	for _, c := range prev.Schema {
		if format.Index(whole, c.Name) < 0 {
			whole = append(whole, c)
		}
	}
	drop, err := w.deleted(ctx, res.schema)
	if err != nil {
		return "", err
	}
	if drop == "" {
		drop = "false"
	}
	news, err := padded(whole, res.schema)
	if err != nil {
		return "", err
	}
	olds, err := padded(whole, prev.Schema)
	if err != nil {
		return "", err
	}
	res.schema = whole
	both := "SELECT " + news + ", 1 AS __new, (" + drop + ") IS TRUE AS __gone FROM " + rowsTable + " UNION ALL SELECT " + olds + ", 0, false FROM " + keptTable
	if k.Mode != "merge" {
		return "SELECT " + columnList(whole) + " FROM (" + both + ") WHERE NOT __gone", nil
	}
	order := "__new DESC"
	if k.OrderBy != "" {
		order = format.QuoteDuckDB(k.OrderBy) + " DESC NULLS LAST, " + order
	}
	return "SELECT " + columnList(whole) + " FROM (SELECT *, row_number() OVER (PARTITION BY " + names(k.Key) + " ORDER BY " + order + ") AS __nth FROM (" + both + ")) WHERE __nth = 1 AND NOT __gone", nil
}

// padded is a select list of all of whole's columns, NULL for those that has does not have.
func padded(whole, has flow.Schema) (string, error) {
	out := make([]string, len(whole))
	for i, c := range whole {
		t, err := format.ParseType(c.Type)
		if err != nil {
			return "", err
		}
		expr := "NULL"
		if format.Index(has, c.Name) >= 0 {
			expr = format.QuoteDuckDB(c.Name)
		}
		out[i] = "CAST(" + expr + " AS " + t.DuckDB() + ") AS " + format.QuoteDuckDB(c.Name)
	}
	return strings.Join(out, ", "), nil
}

func columnList(s flow.Schema) string { return names(format.Names(s)) }

func names(all []string) string {
	out := make([]string, len(all))
	for i, n := range all {
		out[i] = format.QuoteDuckDB(n)
	}
	return strings.Join(out, ", ")
}

// oneOfEachKey leaves one row of each key in this run's rows: the one with the greatest
// order_by, else the first that was read, or, under on_duplicate: last, the last. The
// others are rejects, unless on_duplicate is last; so is a row without a whole key.
func (w *work) oneOfEachKey(ctx context.Context, schema flow.Schema) error {
	k := w.job.Keep
	if len(k.Key) == 0 {
		return &flow.Error{Op: "keep", Kind: flow.Invalid, Err: errors.New("merge needs a key")}
	}
	for _, n := range append(slices.Clone(k.Key), k.OrderBy) {
		if n != "" && format.Index(schema, n) < 0 {
			return &flow.Error{Op: "keep", Kind: flow.Invalid, Err: fmt.Errorf("the step's table has no column %s, but %s", n, strings.Join(format.Names(schema), ", "))}
		}
	}
	last := w.job.Extract != nil && w.job.Extract.OnDuplicate == "last"
	order := "rowid"
	if last {
		order = "rowid DESC"
	}
	if k.OrderBy != "" {
		order = format.QuoteDuckDB(k.OrderBy) + " DESC NULLS LAST, " + order
	}
	lacks := make([]string, len(k.Key))
	for i, n := range k.Key {
		lacks[i] = format.QuoteDuckDB(n) + " IS NULL"
	}
	noKey := "(" + strings.Join(lacks, " OR ") + ")"
	ranked := "SELECT rowid AS __id, *, " + noKey + " AS __nokey, row_number() OVER (PARTITION BY " + names(k.Key) + " ORDER BY " + order + ") AS __nth FROM " + rowsTable
	which := "__nokey"
	if !last {
		which += " OR __nth > 1"
	}
	key := strings.Join(k.Key, ", ")
	err := w.rejectWhere(ctx, "SELECT CASE WHEN __nokey THEN "+quote("the key ("+key+") is NULL")+" ELSE "+quote("a second row of the key ("+key+")")+" END, "+jsonOf(schema)+" FROM ("+ranked+") WHERE "+which)
	if err != nil {
		return err
	}
	limit := flow.Limit{}
	if w.job.Extract != nil {
		limit = w.job.Extract.Rejects
	}
	if err := w.bear(limit, max(w.read, w.rejects.Rows)); err != nil {
		return err
	}
	return w.exec(ctx, "DELETE FROM "+rowsTable+" WHERE rowid IN (SELECT __id FROM ("+ranked+") WHERE __nokey OR __nth > 1)")
}

// jsonOf is an expression of a row as JSON.
func jsonOf(s flow.Schema) string {
	parts := make([]string, len(s))
	for i, c := range s {
		parts[i] = quote(c.Name) + ", " + format.QuoteDuckDB(c.Name)
	}
	return "CAST(json_object(" + strings.Join(parts, ", ") + ") AS VARCHAR)"
}

// rejectWhere adds rejects from a query of reasons and texts.
func (w *work) rejectWhere(ctx context.Context, sql string, args ...any) error {
	rows, err := w.conn.QueryContext(ctx, sql, args...)
	if err != nil {
		return fault(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		r := format.Reject{}
		if w.job.Extract != nil {
			r.File = w.job.Extract.From
		}
		if err := rows.Scan(&r.Reason, &r.Text); err != nil {
			return err
		}
		r.Text = format.Raw([]byte(r.Text))
		if err := w.rejects.Add(r); err != nil {
			return err
		}
	}
	return fault(ctx, rows.Err())
}

// deleted is the keep's delete_when as an expression over this run's rows.
func (w *work) deleted(ctx context.Context, schema flow.Schema) (string, error) {
	d := w.job.Keep.DeleteWhen
	if d == nil {
		return "", nil
	}
	p, err := w.predicates(ctx, schema, []flow.SQLText{*d})
	if err != nil {
		return "", err
	}
	// The predicate is kept as a column of the rows, so that it may be of any shape.
	if _, err := w.conn.ExecContext(ctx, "CREATE TEMP TABLE __deleted AS SELECT "+columnList(schema)+", __p0 FROM ("+p.sql+")", p.args...); err != nil {
		return "", fault(ctx, err)
	}
	return "__p0", w.exec(ctx, "DROP TABLE "+rowsTable, "ALTER TABLE __deleted RENAME TO "+rowsTable)
}
