// Package duckdb reads a DuckDB file, which is opened for reading only.
package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/flow"
)

// Settings are the keys of a connection of type duckdb.
type Settings struct {
	Path string `key:"path" req:"1" doc:"The file, relative to the project's folder."`
}

// Connector describes connections of type duckdb.
var Connector = flow.Define[Settings]("duckdb", "A DuckDB file of this machine, asked in DuckDB's SQL.", flow.UseSource).OfThisMachine()

// Source is a DuckDB file. It is opened when it is asked, so that others may write to it
// between two readings.
type Source struct{ path string }

// New makes a source of a file.
func New(path string) *Source { return &Source{path} }

// Close does nothing: each reading opens the file for itself.
func (*Source) Close() error { return nil }

// Kind tells what an error means for a retry.
func (*Source) Kind(err error) flow.Kind { return flow.KindOf(err) }

// Test opens the file.
func (s *Source) Test(ctx context.Context) (string, error) {
	r, err := s.open(ctx)
	if err != nil {
		return "", err
	}
	defer r.close() //nolint:errcheck // only read
	var tables int
	if err := r.conn.QueryRowContext(ctx, "select count(*) from duckdb_tables()").Scan(&tables); err != nil {
		return "", s.fault(ctx, err)
	}
	return fmt.Sprintf("%s has %d tables", s.path, tables), nil
}

// reading is one query.
type reading struct {
	connector *duckdb.Connector
	db        *sql.DB
	conn      *sql.Conn
}

func (s *Source) open(ctx context.Context) (*reading, error) {
	if _, err := os.Stat(s.path); err != nil { // opening would say so in more words
		return nil, &flow.Error{Op: "open " + s.path, Kind: flow.NotFound, Err: errors.New("no such file"), Hint: "check the connection's path"}
	}
	c, err := duckdb.NewConnector(s.path+"?access_mode=read_only", nil)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	r := &reading{connector: c, db: sql.OpenDB(c)}
	if r.conn, err = r.db.Conn(ctx); err != nil {
		return nil, errors.Join(s.fault(ctx, err), r.close())
	}
	for _, st := range []string{"SET autoinstall_known_extensions = false", "SET autoload_known_extensions = false", "SET TimeZone = 'UTC'", "SET enable_external_access = false", "SET lock_configuration = true"} {
		if _, err := r.conn.ExecContext(ctx, st); err != nil {
			return nil, errors.Join(s.fault(ctx, err), r.close())
		}
	}
	return r, nil
}

func (r *reading) close() error {
	var err error
	if r.conn != nil {
		err = r.conn.Close()
	}
	return errors.Join(err, r.db.Close(), r.connector.Close())
}

// Read runs the query and yields its rows: see flow.Source. It may read the file's tables and
// nothing else of this machine.
func (s *Source) Read(ctx context.Context, q flow.Query) (*arrow.Schema, iter.Seq2[flow.Batch, error], error) {
	r, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	rows, err := r.query(ctx, q)
	if err != nil {
		return nil, nil, errors.Join(s.fault(ctx, err), r.close())
	}
	return rows.Schema(), func(yield func(flow.Batch, error) bool) {
		defer r.close() //nolint:errcheck // only read
		defer rows.Release()
		for rows.Next() {
			b := rows.RecordBatch()
			b.Retain()
			if !yield(b, nil) {
				return
			}
		}
		if err := errors.Join(rows.Err(), ctx.Err()); err != nil {
			yield(nil, s.fault(ctx, err))
		}
	}, nil
}

// query runs the query with every column in a type that a dataset can keep.
func (r *reading) query(ctx context.Context, q flow.Query) (array.RecordReader, error) {
	text := strings.TrimRight(strings.TrimSpace(q.Bind(func(n int) string { return fmt.Sprintf("$%d", n) })), ";")
	probe, err := r.arrow(ctx, "SELECT * FROM ("+text+"\n) LIMIT 0", q.Values)
	if err != nil {
		return nil, err
	}
	defer probe.Release()
	var columns []string
	for _, f := range probe.Schema().Fields() {
		name := `"` + strings.ReplaceAll(f.Name, `"`, `""`) + `"`
		if as := castTo(f.Type); as != "" {
			name = "CAST(" + name + " AS " + as + ") AS " + name
		}
		columns = append(columns, name)
	}
	return r.arrow(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM ("+text+"\n)", q.Values)
}

func (r *reading) arrow(ctx context.Context, text string, values []any) (rows array.RecordReader, err error) {
	err = r.conn.Raw(func(c any) error {
		conn, ok := c.(driver.Conn)
		if !ok {
			return errors.New("the driver has no Arrow batches")
		}
		a, err := duckdb.NewArrowFromConn(conn)
		if err != nil {
			return err
		}
		rows, err = a.QueryContext(ctx, text, values...)
		return err
	})
	return rows, err
}

// castTo is the type of DuckDB's that a column is read as, where its own has no word in a
// dataset's schema.
func castTo(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.Uint8Type:
		return "SMALLINT"
	case *arrow.Uint16Type:
		return "INTEGER"
	case *arrow.Uint32Type:
		return "BIGINT"
	case *arrow.Uint64Type:
		return "DECIMAL(20,0)"
	case *arrow.TimestampType:
		if t.Unit != arrow.Microsecond {
			return "TIMESTAMP"
		}
	case *arrow.Time32Type, *arrow.Time64Type, *arrow.MonthDayNanoIntervalType, *arrow.DayTimeIntervalType, *arrow.MonthIntervalType, *arrow.DurationType, *arrow.DictionaryType, *arrow.Decimal256Type, *arrow.NullType, arrow.ExtensionType:
		return "VARCHAR"
	}
	return ""
}

// fault wraps an error once.
func (s *Source) fault(ctx context.Context, err error) error {
	var known *flow.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	op := "read " + s.path
	if ctx.Err() != nil {
		return &flow.Error{Op: op, Kind: flow.KindOf(ctx.Err()), Err: context.Cause(ctx)}
	}
	e := &flow.Error{Op: op, Kind: flow.Invalid, Err: err}
	switch text := err.Error(); {
	case strings.Contains(text, "Could not set lock"):
		e.Kind, e.Hint = flow.Transient, "another process writes to the file: let it end, or copy the file"
	case strings.Contains(text, "Catalog Error"):
		e.Kind = flow.NotFound
	case strings.Contains(text, "Out of Memory"):
		e.Kind = flow.Transient
	}
	return e
}
