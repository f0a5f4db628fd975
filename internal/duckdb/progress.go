package duckdb

import (
	"context"
	"database/sql"
	"reflect"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// handleOf is DuckDB's own handle of a connection, which the driver keeps to itself: the
// progress of a query is asked of it from another goroutine, while the driver's own lock is
// held by the query. ok is false with a driver of another make.
func handleOf(c *sql.Conn) (h mapping.Connection, ok bool) {
	_ = c.Raw(func(dc any) error { //nolint:errcheck // it gives what the function gives
		v := reflect.ValueOf(dc)
		if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
			return nil
		}
		conn := v.Elem().FieldByName("conn")
		if conn.Kind() != reflect.Struct {
			return nil
		}
		if p := conn.FieldByName("Ptr"); p.Kind() == reflect.UnsafePointer && !p.IsNil() {
			h, ok = mapping.Connection{Ptr: p.UnsafePointer()}, true
		}
		return nil
	})
	return h, ok
}

// watch makes DuckDB keep the progress of the work's queries.
func (w *work) watch(ctx context.Context) error {
	if err := Progress(ctx, w.conn); err != nil {
		return err
	}
	w.handle, w.watched = handleOf(w.conn)
	return nil
}

// share is how much of the running query is done, from 0 to 1; ok is false where DuckDB
// does not know. The session must not be closed meanwhile.
func (w *work) share() (share float64, ok bool) {
	if !w.watched {
		return 0, false
	}
	p := mapping.QueryProgress(w.handle)
	percent, _, _ := mapping.QueryProgressTypeMembers(&p)
	return percent / 100, percent >= 0
}
