// Package postgres reads PostgreSQL through a cursor, with every digit.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/flow"
)

// Settings are the keys of a connection of type postgres.
type Settings struct {
	URL flow.Secret `key:"url" req:"1" doc:"postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require, or a text of KEY=VALUE pairs."`
}

// Connector describes connections of type postgres.
var Connector = flow.Define[Settings]("postgres", "PostgreSQL, and what speaks its protocol.", flow.UseSource)

// fetchRows is how many rows the cursor gives at a time: a batch.
const fetchRows = 8192

// Source is a database. It connects when it is asked.
type Source struct{ config *pgx.ConnConfig }

// New makes a source of a connection's settings. It calls nobody.
func New(s Settings) (*Source, error) {
	c, err := pgx.ParseConfig(s.URL.Reveal())
	if err != nil {
		// Its text repeats the URL.
		return nil, &flow.Error{Op: "configure postgres", Kind: flow.Invalid, Err: errors.New("its url cannot be read"), Hint: "write it like postgres://user:password@host:5432/database"}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 30 * time.Second
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "tidemill"
	}
	// Times and intervals are written in one way, whatever the server's habits.
	c.RuntimeParams["datestyle"], c.RuntimeParams["intervalstyle"] = "ISO", "iso_8601"
	c.RuntimeParams["timezone"], c.RuntimeParams["extra_float_digits"] = "UTC", "3"
	return &Source{c}, nil
}

// Close does nothing: each reading has a connection of its own.
func (*Source) Close() error { return nil }

// Kind tells what an error means for a retry.
func (*Source) Kind(err error) flow.Kind { return flow.KindOf(err) }

// Test asks the database who we are.
func (s *Source) Test(ctx context.Context) (string, error) {
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return "", fault(ctx, s.connectOp(), err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was only asked
	var user, db, version string
	if err := conn.QueryRow(ctx, "select current_user, current_database(), current_setting('server_version')").Scan(&user, &db, &version); err != nil {
		return "", fault(ctx, "ask who we are", err)
	}
	return fmt.Sprintf("it is user %s of database %s, PostgreSQL %s", user, db, version), nil
}

func (s *Source) connectOp() string { return "connect to " + s.config.Host + "/" + s.config.Database }

const cursorName = "tidemill_extract"

// Read runs the query and yields its rows: see flow.Source. The transaction is read-only and
// sees one state of the database.
func (s *Source) Read(ctx context.Context, q flow.Query) (*arrow.Schema, iter.Seq2[flow.Batch, error], error) {
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return nil, nil, fault(ctx, s.connectOp(), err)
	}
	r := &reading{conn: conn}
	if err := r.begin(ctx, q); err != nil {
		return nil, nil, errors.Join(fault(ctx, "run the query", err), r.close(ctx))
	}
	return r.schema, func(yield func(flow.Batch, error) bool) {
		defer r.close(ctx) //nolint:errcheck // all was read, or there is an error
		for {
			b, err := r.fetch(ctx)
			if err != nil {
				yield(nil, fault(ctx, "read the query's rows", err))
				return
			}
			if b == nil || !yield(b, nil) {
				return
			}
		}
	}, nil
}

// reading is one query.
type reading struct {
	conn    *pgx.Conn
	schema  *arrow.Schema
	columns []column
}

func (r *reading) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.conn.Close(ctx)
}

func (r *reading) begin(ctx context.Context, q flow.Query) error {
	if _, err := r.conn.Exec(ctx, "begin isolation level repeatable read read only"); err != nil {
		return err
	}
	text := strings.TrimRight(strings.TrimSpace(q.Bind(func(n int) string { return fmt.Sprintf("$%d", n) })), ";")
	desc, err := r.conn.PgConn().Prepare(ctx, "", text, nil)
	if err != nil {
		return err
	}
	fields := make([]arrow.Field, len(desc.Fields))
	if len(fields) == 0 {
		return &flow.Error{Kind: flow.Invalid, Err: errors.New("the query gives no rows"), Hint: "an extract's query is a select"}
	}
	for i, f := range desc.Fields {
		c, err := r.columnOf(ctx, f)
		if err != nil {
			return err
		}
		r.columns = append(r.columns, c)
		fields[i] = arrow.Field{Name: f.Name, Type: c.typ, Nullable: true}
	}
	r.schema = arrow.NewSchema(fields, nil)
	// A value goes as text: the server reads it as the type that its place has.
	values := make([][]byte, len(q.Values))
	for i, v := range q.Values {
		if v != nil {
			values[i] = fmt.Append(nil, v)
		}
	}
	res := r.conn.PgConn().ExecParams(ctx, "declare "+cursorName+" no scroll cursor for "+text, values, desc.ParamOIDs, nil, nil)
	_, err = res.Close()
	return err
}

// fetch gives the cursor's next rows, nil after the last.
func (r *reading) fetch(ctx context.Context) (flow.Batch, error) {
	res := r.conn.PgConn().ExecParams(ctx, fmt.Sprintf("fetch %d from %s", fetchRows, cursorName), nil, nil, nil, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, r.schema)
	defer b.Release()
	rows := 0
	for res.NextRow() {
		for i, v := range res.Values() {
			if v == nil {
				b.Field(i).AppendNull()
				continue
			}
			if err := r.columns[i].put(b.Field(i), v); err != nil {
				_, _ = res.Close() //nolint:errcheck // there is an error already
				return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("column %s: %w", r.schema.Field(i).Name, err), Hint: "cast it to text in the query"}
			}
		}
		rows++
	}
	if _, err := res.Close(); err != nil || rows == 0 {
		return nil, err
	}
	return b.NewRecordBatch(), nil
}

// fault wraps an error once, by the classes of SQLSTATE (PostgreSQL's appendix A).
func fault(ctx context.Context, op string, err error) error {
	var known *flow.Error
	if err == nil || errors.As(err, &known) && known.Op != "" {
		return err
	}
	if ctx.Err() != nil {
		return &flow.Error{Op: op, Kind: flow.KindOf(ctx.Err()), Err: context.Cause(ctx)}
	}
	e := &flow.Error{Op: op, Kind: flow.Transient, Err: err}
	if known != nil {
		e.Kind, e.Hint = known.Kind, known.Hint
		return e
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var c *pgconn.ConnectError
		if errors.As(err, &c) {
			e.Err = errors.Unwrap(c) // its own text has the user and the database
		}
		return e
	}
	e.Err = fmt.Errorf("%s: %s", pg.Code, pg.Message)
	if pg.Detail != "" {
		e.Err = fmt.Errorf("%w (%s)", e.Err, pg.Detail)
	}
	switch class := pg.Code[:min(2, len(pg.Code))]; {
	case class == "28" || pg.Code == "42501":
		e.Kind, e.Hint = flow.Denied, "check the url's user and password, and what the user may read"
	case pg.Code == "3D000" || pg.Code == "42P01" || pg.Code == "3F000":
		e.Kind = flow.NotFound
	case pg.Code == "57014":
		e.Kind = flow.Timeout
	case class == "08" || class == "40" || class == "53" || class == "55" || class == "57" || class == "58":
		e.Kind = flow.Transient
	default:
		e.Kind = flow.Invalid
	}
	return e
}
