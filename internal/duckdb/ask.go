package duckdb

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/flow"
)

// Question is SQL of a person over datasets that exist: `tidemill query`.
type Question struct {
	SQL     string
	Dialect string            // spark (default), or duckdb
	Tables  map[string]string // table name → manifest URI
	Values  []any             // of the text's {{ … }} places
}

// Answer is what a Question gives: columns in Spark's words, and the rows.
type Answer struct {
	Columns flow.Schema
	Rows    iter.Seq2[flow.Batch, error] // once; a batch belongs to its consumer
	Close   func() error                 // ends the session; to be called in any case
}

// Ask answers a question, in a session that can read nothing but the tables' files. A text
// that Spark's dialect refuses is an Invalid error that names the place and the way out.
func (c TaskConfig) Ask(ctx context.Context, q Question) (*Answer, error) {
	w, err := c.begin(ctx, flow.Request{Run: "query", State: "query", Attempt: 1})
	if err != nil {
		return nil, err
	}
	a, err := w.ask(ctx, q)
	if err != nil {
		return nil, errors.Join(err, w.end())
	}
	return a, nil
}

func (w *work) ask(ctx context.Context, q Question) (*Answer, error) {
	parsed, err := newQuery(q.SQL, q.Values, q.Dialect)
	if err != nil {
		return nil, orDuckDB(err)
	}
	w.job.Inputs = q.Tables
	w.dirs = append(w.dirs, w.temp)
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	if err := w.bindInputs(ctx, parsed); err != nil {
		return nil, err
	}
	if err := w.bindRejects(ctx); err != nil {
		return nil, err
	}
	if err := w.seal(ctx); err != nil {
		return nil, err
	}
	text, err := w.selectText(ctx, parsed, nil)
	if err != nil {
		if parsed.spark != nil {
			err = orDuckDB(err)
		}
		return nil, err
	}
	cols, err := casts(text.columns)
	if err != nil {
		return nil, err
	}
	if err := uniqueNames(text.columns); err != nil {
		return nil, err
	}
	// The text's own order of rows is kept: nothing but a projection stands over it.
	sql := "SELECT " + cols + " FROM (" + text.sql + ")"
	return &Answer{Columns: text.columns, Rows: w.stream(ctx, sql, text.args), Close: w.end}, nil
}

// bindRejects makes a view TABLE_rejects beside every table that has rejects.
func (w *work) bindRejects(ctx context.Context) error {
	for name, uri := range w.job.Inputs {
		if _, taken := w.job.Inputs[name+"_rejects"]; taken {
			continue
		}
		d, err := w.Store.Read(ctx, w.Lookup, uri)
		if err != nil {
			return err
		}
		if len(d.Rejects) == 0 {
			continue
		}
		m := *d.Manifest
		m.Schema, m.Files = rejectColumns, m.Rejects
		d.Manifest = &m
		if err := w.bindSets(ctx, name+"_rejects", d); err != nil {
			return err
		}
	}
	return nil
}

// rejectColumns are the columns of kept rejects, as format.WriteRejects writes them.
var rejectColumns = flow.Schema{{Name: "reason", Type: "string"}, {Name: "file", Type: "string", Nullable: true}, {Name: "line", Type: "bigint", Nullable: true},
	{Name: "column", Type: "string", Nullable: true}, {Name: "text", Type: "string", Nullable: true}}

// orDuckDB adds the way out that only a person at the prompt has.
func orDuckDB(err error) error {
	hint := flow.HintOf(err)
	if hint != "" {
		hint += "; or "
	}
	return &flow.Error{Kind: flow.Invalid, Err: err, Hint: hint + "ask in DuckDB's own words with --dialect duckdb."}
}

// stream runs the query in a goroutine of its own, two batches ahead of the consumer.
func (w *work) stream(ctx context.Context, sql string, args []any) iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		batches := make(chan arrow.RecordBatch, 2)
		failed := make(chan error, 1)
		go func() {
			defer close(batches)
			failed <- w.s.Arrow(ctx, w.conn, func(a *duckdb.Arrow) error {
				rr, err := a.QueryContext(ctx, sql, args...)
				if err != nil {
					return err
				}
				defer rr.Release()
				for rr.Next() {
					b := rr.RecordBatch()
					b.Retain()
					select {
					case batches <- b:
					case <-ctx.Done():
						b.Release()
						return ctx.Err()
					}
				}
				if err := rr.Err(); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				return nil
			})
		}()
		going := true
		for b := range batches {
			if !going {
				b.Release()
				continue
			}
			if going = yield(b, nil); !going {
				cancel()
			}
		}
		err := <-failed
		cancel()
		if going && err != nil {
			yield(nil, fault(ctx, err))
		}
	}
}
