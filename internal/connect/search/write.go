package search

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// How long an index that lost its alias stays, and how old one that was never flipped grows.
const (
	retireGrace = 10 * time.Minute
	orphanAge   = 24 * time.Hour
)

// batchRows is how many documents one transaction writes: others wait no longer than that.
const batchRows = 5_000

// Stage writes a new index for swap; the others write at Flip.
func (s *Sink) Stage(ctx context.Context, w flow.Write, rows flow.Rows) (flow.Receipt, error) {
	if err := checkWrite(w); err != nil {
		return flow.Receipt{}, err
	}
	if w.Mode != "swap" {
		return flow.Receipt{Place: w.Index}, s.makeIndex(ctx, w, w.Index, true)
	}
	if err := s.tidy(ctx, w); err != nil {
		return flow.Receipt{}, err
	}
	name := stagedName(w)
	if err := s.remove(ctx, name); err != nil {
		return flow.Receipt{}, err
	}
	if err := s.makeIndex(ctx, w, name, false); err != nil {
		return flow.Receipt{}, err
	}
	r, err := s.write(ctx, w, name, "", rows)
	r.Place = name
	if err != nil {
		return r, err
	}
	var there int64
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM document WHERE name = ?", name).Scan(&there); err != nil {
		return r, s.fault(ctx, err)
	}
	if there < r.Written {
		return r, &flow.Error{Op: "load into " + w.Index, Kind: flow.Invalid, Err: fmt.Errorf("%d documents were written and %d are there: rows share their id (%s)", r.Written, there, strings.Join(w.ID, ", ")),
			Hint: "Add the check unique on the id's columns, or name further columns for id."}
	}
	return r, nil
}

// Flip moves the alias for swap; the others write now.
func (s *Sink) Flip(ctx context.Context, w flow.Write, staged flow.Receipt, rows flow.Rows) (flow.Receipt, error) {
	if err := checkWrite(w); err != nil {
		return staged, err
	}
	switch w.Mode {
	case "swap":
		return s.flip(ctx, w, staged)
	case "mirror":
		return s.mirror(ctx, w, rows)
	}
	r, err := s.write(ctx, w, w.Index, "", rows)
	r.Place = w.Index
	return r, err
}

func checkWrite(w flow.Write) error {
	fault := func(text, hint string) error {
		return &flow.Error{Op: "load into " + w.Index, Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	if w.Index == "" {
		return fault("the index has no name", "")
	}
	if w.Mode != "swap" && len(w.ID) == 0 {
		return fault("mode "+w.Mode+" needs id", "Name the columns that tell documents apart.")
	}
	for _, c := range append(slices.Clone(w.ID), w.Version, w.Delete) {
		if c != "" && format.Index(w.Schema, c) < 0 {
			return fault("the rows have no column "+c, "They have "+strings.Join(format.Names(w.Schema), ", ")+".")
		}
	}
	return nil
}

func stagedName(w flow.Write) string {
	h := sha256.Sum256([]byte(strings.Join([]string{w.Pipeline, w.Step, w.Time, w.Params, w.Run, strconv.Itoa(w.Attempt)}, "\x00")))
	return w.Index + "-" + w.Period + "-" + hex.EncodeToString(h[:5])
}

// tx does something in one transaction.
func (s *Sink) tx(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.fault(ctx, err)
	}
	if err := do(tx); err != nil {
		return s.fault(ctx, errors.Join(err, rolledBack(tx)))
	}
	return s.fault(ctx, tx.Commit())
}

func rolledBack(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// makeIndex notes an index, and an alias of its own name where it is written in place.
func (s *Sink) makeIndex(ctx context.Context, w flow.Write, name string, alias bool) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO index_of (name, pipeline, step, params, period, time, run, attempt, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			name, w.Pipeline, w.Step, w.Params, w.Period, w.Time, w.Run, w.Attempt, s.now().UnixMilli())
		if err == nil && alias {
			_, err = tx.ExecContext(ctx, "INSERT OR IGNORE INTO alias VALUES (?, ?)", w.Index, name)
		}
		return err
	})
}

// remove deletes an index with its documents, some at a time.
func (s *Sink) remove(ctx context.Context, name string) error {
	for {
		n := int64(0)
		err := s.tx(ctx, func(tx *sql.Tx) error {
			const some = "SELECT row FROM document WHERE name = ? LIMIT 20000"
			if _, err := tx.ExecContext(ctx, "DELETE FROM words WHERE rowid IN ("+some+")", name); err != nil {
				return err
			}
			r, err := tx.ExecContext(ctx, "DELETE FROM document WHERE row IN ("+some+")", name)
			if err != nil {
				return err
			}
			if n, err = r.RowsAffected(); n == 0 && err == nil {
				_, err = tx.ExecContext(ctx, "DELETE FROM index_of WHERE name = ?", name)
			}
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// writer writes documents within one transaction.
type writer struct {
	w                              flow.Write
	name, mark                     string
	find, drop, unword, put, words *sql.Stmt
}

func prepare(ctx context.Context, tx *sql.Tx, w flow.Write, name, mark string) (*writer, error) {
	x := &writer{w: w, name: name, mark: mark}
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&x.find, "SELECT row, coalesce(version, -1) FROM document WHERE name = ? AND id = ?"},
		{&x.drop, "DELETE FROM document WHERE row = ?"},
		{&x.unword, "DELETE FROM words WHERE rowid = ?"},
		{&x.put, "INSERT INTO document (name, id, version, mark, body) VALUES (?, ?, ?, ?, ?)"},
		{&x.words, "INSERT INTO words (rowid, text) VALUES (?, ?)"},
	} {
		st, err := tx.PrepareContext(ctx, p.text)
		if err != nil {
			return nil, err
		}
		*p.to = st
	}
	return x, nil
}

// write writes all rows and counts what became of each.
func (s *Sink) write(ctx context.Context, w flow.Write, name, mark string, rows flow.Rows) (flow.Receipt, error) {
	var r flow.Receipt
	for batch, err := range rows() {
		if err != nil {
			return r, err
		}
		for from := int64(0); from < batch.NumRows(); from += batchRows {
			part := batch.NewSlice(from, min(batch.NumRows(), from+batchRows))
			next := r
			err := s.tx(ctx, func(tx *sql.Tx) error {
				if w.Mode == "swap" { // an index that is gone is not written again
					if err := tx.QueryRowContext(ctx, "SELECT 1 FROM index_of WHERE name = ?", name).Scan(new(int)); err != nil {
						return &flow.Error{Op: "write into " + name, Kind: flow.NotFound, Err: errors.New("the index is gone")}
					}
				}
				x, err := prepare(ctx, tx, w, name, mark)
				if err != nil {
					return err
				}
				return x.batch(ctx, part, &next)
			})
			part.Release()
			if err != nil {
				batch.Release()
				return r, err
			}
			r = next
			w.Progress(flow.Progress{Doing: "write into " + w.Index, Rows: r.Written + r.Older, TotalRows: w.Count, Bytes: r.Bytes})
		}
		batch.Release()
	}
	if r.Read != w.Count {
		return r, &flow.Error{Op: "load into " + w.Index, Kind: flow.Transient, Err: fmt.Errorf("%d rows were read and the dataset has %d", r.Read, w.Count)}
	}
	return r, nil
}

func (x *writer) batch(ctx context.Context, batch flow.Batch, r *flow.Receipt) error {
	column := func(name string) arrow.Array {
		if i := batch.Schema().FieldIndices(name); name != "" && len(i) > 0 {
			return batch.Column(i[0])
		}
		return nil
	}
	without := []string{}
	if x.w.Delete != "" {
		without = append(without, x.w.Delete)
	}
	objects := format.NewObjects(batch, false, without...)
	version := column(x.w.Version)
	gone, _ := column(x.w.Delete).(*array.Boolean)
	ids := make([]arrow.Array, len(x.w.ID))
	for i, c := range x.w.ID {
		ids[i] = column(c)
	}
	var body []byte
	for i := range int(batch.NumRows()) {
		r.Read++
		d := document{deleted: gone != nil && !gone.IsNull(i) && gone.Value(i)}
		var err error
		if d.id, err = format.DocumentID(ids, x.w.Step+"-"+x.w.Time, i, r.Read); err == nil && version != nil {
			d.version, err = format.DocumentVersion(version, i)
			d.versioned = true
		}
		if err != nil {
			return err
		}
		body = objects.Append(body[:0], i)
		d.body = string(body)
		d.words = texts(batch, i)
		written, err := x.one(ctx, d)
		if err != nil {
			return err
		}
		if written {
			r.Written++
			r.Bytes += int64(len(body))
		} else {
			r.Older++
		}
	}
	return nil
}

type document struct {
	id, body, words string
	version         int64
	versioned       bool
	deleted         bool
}

// one writes or deletes a document; false where a newer one is there.
func (x *writer) one(ctx context.Context, d document) (bool, error) {
	var row, version int64
	switch err := x.find.QueryRowContext(ctx, x.name, d.id).Scan(&row, &version); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return false, err
	case d.versioned && version > d.version:
		return false, nil
	default:
		if _, err := x.unword.ExecContext(ctx, row); err != nil {
			return false, err
		}
		if _, err := x.drop.ExecContext(ctx, row); err != nil {
			return false, err
		}
	}
	if d.deleted {
		return true, nil
	}
	var v, mark any
	if d.versioned {
		v = d.version
	}
	if x.mark != "" {
		mark = x.mark
	}
	done, err := x.put.ExecContext(ctx, x.name, d.id, v, mark, d.body)
	if err != nil {
		return false, err
	}
	if row, err = done.LastInsertId(); err != nil {
		return false, err
	}
	_, err = x.words.ExecContext(ctx, row, d.words)
	return true, err
}

// texts joins a row's values: what a query is held against.
func texts(batch flow.Batch, row int) string {
	var b strings.Builder
	for _, c := range batch.Columns() {
		if !c.IsNull(row) {
			b.WriteString(format.Text(c, row))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// flip moves the alias in one transaction.
func (s *Sink) flip(ctx context.Context, w flow.Write, staged flow.Receipt) (flow.Receipt, error) {
	err := s.tx(ctx, func(tx *sql.Tx) error {
		const mine = "pipeline = ?1 AND step = ?2 AND params = ?3 AND period = ?4 AND name IN (SELECT name FROM alias WHERE alias = ?5)"
		args := []any{w.Pipeline, w.Step, w.Params, w.Period, w.Index}
		var newer int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM index_of WHERE "+mine+" AND time > ?6", append(args, w.Time)...).Scan(&newer); err != nil {
			return err
		}
		if staged.Superseded = newer > 0; staged.Superseded {
			return nil
		}
		if err := tx.QueryRowContext(ctx, "SELECT 1 FROM index_of WHERE name = ?", staged.Place).Scan(new(int)); errors.Is(err, sql.ErrNoRows) {
			return &flow.Error{Op: "flip " + w.Index, Kind: flow.NotFound, Err: fmt.Errorf("the staged index %s is gone", staged.Place), Hint: "Run the load again from its stage."}
		} else if err != nil {
			return err
		}
		args = append(args, staged.Place)
		if _, err := tx.ExecContext(ctx, "UPDATE index_of SET retired = ?7 WHERE name <> ?6 AND "+mine, append(args, s.now().UnixMilli())...); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM alias WHERE alias = ?5 AND name <> ?6 AND name IN (SELECT name FROM index_of WHERE pipeline = ?1 AND step = ?2 AND params = ?3 AND period = ?4)", args...); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO alias VALUES (?, ?)", w.Index, staged.Place)
		return err
	})
	if err != nil {
		return staged, err
	}
	if staged.Superseded {
		return staged, s.remove(ctx, staged.Place)
	}
	return staged, s.tidy(ctx, w)
}

// tidy removes this step's indexes that nobody needs.
func (s *Sink) tidy(ctx context.Context, w flow.Write) error {
	now := s.now()
	rows, err := s.db.QueryContext(ctx, `
		SELECT name FROM (SELECT *, row_number() OVER (PARTITION BY period, retired IS NULL ORDER BY retired DESC) AS n FROM index_of
			WHERE pipeline = ?1 AND step = ?2 AND params = ?3 AND name NOT IN (SELECT name FROM alias))
		WHERE CASE WHEN retired IS NOT NULL THEN n > ?4 AND retired < ?5
			WHEN run = ?6 AND time = ?7 AND attempt < ?8 THEN 1
			ELSE created < ?9 END`,
		w.Pipeline, w.Step, w.Params, w.KeepOld, now.Add(-retireGrace).UnixMilli(), w.Run, w.Time, w.Attempt, now.Add(-orphanAge).UnixMilli())
	if err != nil {
		return s.fault(ctx, err)
	}
	var doomed []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return s.fault(ctx, errors.Join(err, rows.Close()))
		}
		doomed = append(doomed, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return s.fault(ctx, err)
	}
	for _, name := range doomed {
		if err := s.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// mirror writes every row's document under a mark and deletes those without it.
func (s *Sink) mirror(ctx context.Context, w flow.Write, rows flow.Rows) (flow.Receipt, error) {
	var last sql.NullString
	if err := s.db.QueryRowContext(ctx, "SELECT mirrored FROM index_of WHERE name = ?", w.Index).Scan(&last); err != nil {
		return flow.Receipt{}, s.fault(ctx, err)
	}
	if last.String > w.Time {
		return flow.Receipt{Read: w.Count, Older: w.Count, Place: w.Index, Superseded: true}, nil
	}
	mark := fmt.Sprintf("%s/%s.%d", w.Time, w.Run, w.Attempt)
	r, err := s.write(ctx, w, w.Index, mark, rows)
	r.Place = w.Index
	if err != nil {
		return r, err
	}
	const others = " FROM document WHERE name = ?1 AND mark IS NOT ?2"
	return r, s.tx(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT count(*)"+others, w.Index, mark).Scan(&r.Gone); err != nil {
			return err
		}
		if m := w.MaxDelete; m != nil && m.Exceeded(r.Gone, r.Gone+r.Written) {
			n := r.Gone
			r.Gone = 0
			return &flow.Error{Op: "mirror " + w.Index, Kind: flow.Rejected, Err: fmt.Errorf("%d of %d documents would be deleted, more than max_delete allows; none was", n, n+r.Written),
				Hint: "Look whether the extract is complete; raise max_delete if it is."}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM words WHERE rowid IN (SELECT row"+others+")", w.Index, mark); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE"+others, w.Index, mark); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE index_of SET mirrored = ? WHERE name = ?", w.Time, w.Index)
		return err
	})
}
