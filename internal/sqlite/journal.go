// Package sqlite keeps the journal: one SQLite file of one host, one writer, many readers.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/runner"
)

// Journal is a runner.Journal in a SQLite file. What a call kept has reached the disk.
type Journal struct {
	file   string
	write  *sql.DB // one connection, used by the writer alone
	read   *sql.DB
	jobs   chan *job
	closed chan struct{}
}

// job is a change that waits to be kept, together with others.
type job struct {
	do   func(*tx) error
	done chan error
	err  error
}

// Open opens the journal, makes it if there is none, and brings an older one up to date
// after copying it. A file of a newer program is refused.
func Open(ctx context.Context, file string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := refuseNetwork(filepath.Dir(file)); err != nil {
		return nil, err
	}
	write, err := sql.Open("sqlite3", dsn(file, "_journal_mode=WAL&_synchronous=FULL&_busy_timeout=30000&_foreign_keys=on&_txlock=immediate"))
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", file, err)
	}
	write.SetMaxOpenConns(1)
	j := &Journal{file: file, write: write, jobs: make(chan *job, 256), closed: make(chan struct{})}
	if err := j.migrate(ctx); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	if j.read, err = sql.Open("sqlite3", dsn(file, "mode=ro&_busy_timeout=30000&_query_only=on")); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", file, err), write.Close())
	}
	j.read.SetMaxOpenConns(4)
	conn, err := write.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", file, err), j.read.Close(), write.Close())
	}
	go j.writer(conn)
	return j, nil
}

// dsn names a file to SQLite, whatever characters its path has.
func dsn(file, options string) string {
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + options
}

// Close ends the writer and closes the file.
func (j *Journal) Close() error {
	close(j.jobs)
	<-j.closed
	return errors.Join(j.read.Close(), j.write.Close())
}

// Path is the journal's file.
func (j *Journal) Path() string { return j.file }

// writer keeps all changes that wait in one transaction (group commit): an fsync serves many.
func (j *Journal) writer(conn *sql.Conn) {
	defer close(j.closed)
	x := &tx{ctx: rootContext{}, conn: conn, prepared: map[string]*sql.Stmt{}}
	defer x.close()
	for first := range j.jobs {
		batch := []*job{first}
	more:
		for len(batch) < 256 {
			select {
			case next, ok := <-j.jobs:
				if !ok {
					break more
				}
				batch = append(batch, next)
			default:
				break more
			}
		}
		err := x.keep(batch)
		for _, b := range batch {
			if err != nil {
				b.err = err
			}
			b.done <- b.err
		}
	}
}

// keep does a batch in one transaction. Where a change of it is refused (ErrStale), each is
// done again in a transaction of its own, so that the refused one undoes itself alone; that
// is rare, and a savepoint a change would cost every batch. A fault of the file undoes the
// transaction.
func (x *tx) keep(batch []*job) error {
	err := x.keepTogether(batch)
	if !errors.Is(err, errRefused) {
		return err
	}
	for _, b := range batch {
		if err := x.keepTogether([]*job{b}); err != nil && !errors.Is(err, errRefused) {
			b.err = err // and those before it have lasted
		}
	}
	return nil
}

var errRefused = errors.New("a change of the batch is refused")

func (x *tx) keepTogether(batch []*job) error {
	if _, err := x.exec("begin immediate"); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	for _, b := range batch {
		b.err = b.do(x)
		var fault sqlite3.Error
		if errors.As(b.err, &fault) {
			return x.undo(b.err)
		}
		if b.err != nil {
			return x.undo(errRefused)
		}
	}
	if _, err := x.exec("commit"); err != nil {
		return x.undo(err)
	}
	return nil
}

// undo ends the transaction, where SQLite has not done so itself: a full disk does.
func (x *tx) undo(err error) error {
	open := true
	_ = x.conn.Raw(func(c any) error { //nolint:errcheck // it gives what the function gives
		if c, ok := c.(*sqlite3.SQLiteConn); ok {
			open = !c.AutoCommit()
		}
		return nil
	})
	if !open {
		return fmt.Errorf("write journal: %w", err)
	}
	if _, rerr := x.exec("rollback"); rerr != nil {
		err = errors.Join(err, rerr)
	}
	return fmt.Errorf("write journal: %w", err)
}

// do hands a change to the writer and waits until it has lasted.
func (j *Journal) do(ctx context.Context, change func(*tx) error) error {
	b := &job{do: change, done: make(chan error, 1)}
	select {
	case j.jobs <- b:
	case <-ctx.Done():
		return ctx.Err()
	}
	// Once handed over it is kept or refused whatever becomes of ctx: the caller must know which.
	return <-b.done
}

// tx is the writer's connection, in the transaction of a batch.
type tx struct {
	ctx      context.Context
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

func (x *tx) close() {
	for _, st := range x.prepared {
		st.Close() //nolint:errcheck // the connection closes after
	}
	x.conn.Close() //nolint:errcheck // the file closes after
}

func (x *tx) stmt(query string) (*sql.Stmt, error) {
	if st, ok := x.prepared[query]; ok {
		return st, nil
	}
	st, err := x.conn.PrepareContext(x.ctx, query)
	if err == nil {
		x.prepared[query] = st
	}
	return st, err
}

func (x *tx) exec(query string, args ...any) (sql.Result, error) {
	st, err := x.stmt(query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(x.ctx, args...)
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// Create keeps a new run; see runner.Journal.
func (j *Journal) Create(ctx context.Context, r runner.Run) (runner.Run, bool, error) {
	made := false
	err := j.do(ctx, func(x *tx) error {
		for hash, text := range r.Texts {
			if _, err := x.exec("insert or ignore into texts (hash, text) values (?, ?)", hash, text); err != nil {
				return err
			}
		}
		if _, err := x.exec("insert or ignore into texts (hash, text) values (?, ?)", r.Hash, string(r.Machine)); err != nil {
			return err
		}
		res, err := x.exec("insert or ignore into runs (id, pipeline, time, target, params, n, machine, input, created) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			r.ID, r.Key.Pipeline, micros(r.Key.Time), r.Key.Target, r.Key.Params, r.N, r.Hash, string(r.Input), micros(r.Created))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		made = n == 1
		return err
	})
	if err != nil {
		return runner.Run{}, false, err
	}
	if made {
		return r, true, nil
	}
	old, err := j.Find(ctx, runner.Query{ID: r.ID})
	if err != nil || len(old) == 0 {
		return runner.Run{}, false, errors.Join(err, fmt.Errorf("find run %s", r.ID))
	}
	return old[0], false, nil
}

// Lease gives a run to an owner; see runner.Journal.
func (j *Journal) Lease(ctx context.Context, run, owner string, now, until time.Time, alive func(string) bool) (runner.Fence, error) {
	var fence runner.Fence
	err := j.do(ctx, func(x *tx) error {
		var old string
		var f, end int64
		st, err := x.stmt("select owner, fence, until from runs where id = ?")
		if err != nil {
			return err
		}
		err = st.QueryRowContext(x.ctx, run).Scan(&old, &f, &end)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("lease run %s: there is no such run", run)
		}
		if err != nil {
			return err
		}
		if old != "" && old != owner && end > micros(now) && alive(old) {
			return &runner.HeldError{Owner: old}
		}
		if old != owner {
			f++
		}
		fence = runner.Fence(f)
		_, err = x.exec("update runs set owner = ?, fence = ?, until = ? where id = ?", owner, f, micros(until), run)
		return err
	})
	return fence, err
}

// eventsAtOnce is how many events one statement inserts at most: most decisions have fewer,
// and a statement costs more than a row.
const eventsAtOnce = 8

// insertEvents are the statements that insert so many events.
var insertEvents = func() (all [eventsAtOnce + 1]string) {
	for n := 1; n <= eventsAtOnce; n++ {
		all[n] = "insert into events (run, n, id, previous, at, type, frame, next, details) values " + strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?, ?, ?), ", n), ", ")
	}
	return all
}()

// Commit keeps a decision; see runner.Journal.
func (j *Journal) Commit(ctx context.Context, run string, f runner.Fence, n int, d runner.Decision) error {
	type row struct {
		at      int64
		details string
	}
	rows := make([]row, len(d.Events))
	for i, e := range d.Events {
		b, err := json.Marshal(e.Details)
		if err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
		rows[i] = row{micros(e.At), string(b)}
	}
	return j.do(ctx, func(x *tx) error {
		set, args := "due = ?", []any{micros(d.Due)}
		if d.Status != "" {
			set += ", status = ?, error = ?, cause = ?, output = ?"
			args = append(args, string(d.Status), d.Error, d.Cause, string(d.Output))
			if d.Status != machine.Running {
				set += ", ended = ?, owner = '', until = 0"
				args = append(args, micros(d.At))
			}
		}
		if len(d.Events) == 0 {
			set, args = "fence = fence", nil
		}
		res, err := x.exec("update runs set "+set+" where id = ? and fence = ?", append(args, run, int64(f))...)
		if err != nil {
			return err
		}
		if k, err := res.RowsAffected(); err != nil || k == 0 {
			return errors.Join(err, runner.ErrStale)
		}
		for i := 0; i < len(d.Events); i += eventsAtOnce {
			chunk := d.Events[i:min(i+eventsAtOnce, len(d.Events))]
			args := make([]any, 0, 9*len(chunk))
			for k, e := range chunk {
				args = append(args, run, n+i+k, e.ID, e.Previous, rows[i+k].at, e.Type, e.Frame, e.Next, rows[i+k].details)
			}
			_, err := x.exec(insertEvents[len(chunk)], args...)
			var c sqlite3.Error
			if errors.As(err, &c) && c.Code == sqlite3.ErrConstraint {
				return runner.ErrStale
			}
			if err != nil {
				return err
			}
		}
		for _, t := range d.Tokens {
			if _, err := x.exec("insert into tokens (run, key, started, token, at) values (?, ?, ?, ?, ?) on conflict (run, key) do update set started = excluded.started, token = excluded.token",
				run, t.Key, t.Started, string(t.Token), micros(t.At)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Events returns a run's history; see runner.Journal.
func (j *Journal) Events(ctx context.Context, run string) ([]machine.Event, []runner.Token, error) {
	rows, err := j.read.QueryContext(ctx, "select id, previous, at, type, frame, next, details from events where run = ? order by n", run)
	if err != nil {
		return nil, nil, fmt.Errorf("read journal: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var events []machine.Event
	for rows.Next() {
		var e machine.Event
		var at int64
		var details []byte
		if err := rows.Scan(&e.ID, &e.Previous, &at, &e.Type, &e.Frame, &e.Next, &details); err != nil {
			return nil, nil, fmt.Errorf("read journal: %w", err)
		}
		e.At = fromMicros(at)
		if err := json.Unmarshal(details, &e.Details); err != nil {
			return nil, nil, fmt.Errorf("read journal: event %d of run %s: %w", len(events), run, err)
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("read journal: %w", err)
	}
	tokens, err := j.tokens(ctx, run)
	return events, tokens, err
}

func (j *Journal) tokens(ctx context.Context, run string) ([]runner.Token, error) {
	rows, err := j.read.QueryContext(ctx, "select key, started, token, at from tokens where run = ? order by key", run)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []runner.Token
	for rows.Next() {
		var t runner.Token
		var at int64
		var token string
		if err := rows.Scan(&t.Key, &t.Started, &token, &at); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		t.Token, t.At = flow.Token(token), fromMicros(at)
		out = append(out, t)
	}
	return out, rows.Err()
}

// Due lists runs that want a driver; see runner.Journal.
func (j *Journal) Due(ctx context.Context, now time.Time) ([]runner.Run, error) {
	return j.find(ctx, "where status in ('', 'RUNNING') and (until < ? or due > 0 and due <= ?) order by created", micros(now), micros(now))
}

// Find lists runs; see runner.Journal.
func (j *Journal) Find(ctx context.Context, q runner.Query) ([]runner.Run, error) {
	where, args := []string{"1"}, []any{}
	add := func(cond string, v ...any) { where, args = append(where, cond), append(args, v...) }
	if q.ID != "" {
		add("id = ?", q.ID)
	}
	if q.Key != nil {
		add("pipeline = ? and time = ? and target = ? and params = ?", q.Key.Pipeline, micros(q.Key.Time), q.Key.Target, q.Key.Params)
	}
	if q.Pipeline != "" {
		add("pipeline = ?", q.Pipeline)
	}
	if len(q.Status) > 0 {
		marks := strings.TrimSuffix(strings.Repeat("?,", len(q.Status)), ",")
		vals := make([]any, len(q.Status))
		for i, s := range q.Status {
			vals[i] = string(s)
		}
		add("status in ("+marks+")", vals...)
	}
	tail := "where " + strings.Join(where, " and ") + " order by created desc, n desc"
	if q.Limit > 0 {
		tail += fmt.Sprintf(" limit %d", q.Limit)
	}
	return j.find(ctx, tail, args...)
}

func (j *Journal) find(ctx context.Context, tail string, args ...any) ([]runner.Run, error) {
	rows, err := j.read.QueryContext(ctx, `select id, pipeline, time, target, params, n, machine, texts.text, input, created, status, ended, error, cause, output, owner, until
		from runs join texts on texts.hash = runs.machine `+tail, args...)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []runner.Run
	for rows.Next() {
		var r runner.Run
		var at, created, ended, until int64
		var text, input, status, output string
		if err := rows.Scan(&r.ID, &r.Key.Pipeline, &at, &r.Key.Target, &r.Key.Params, &r.N, &r.Hash, &text, &input, &created, &status, &ended, &r.Error, &r.Cause, &output, &r.Owner, &until); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		r.Key.Time, r.Created, r.Ended, r.Until = time.UnixMicro(at).UTC(), fromMicros(created), fromMicros(ended), fromMicros(until)
		r.Machine, r.Input, r.Status = []byte(text), json.RawMessage(input), machine.Status(status)
		if output != "" {
			r.Output = json.RawMessage(output)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// Text returns the text that has a content hash.
func (j *Journal) Text(ctx context.Context, hash string) (string, error) {
	var text string
	err := j.read.QueryRowContext(ctx, "select text from texts where hash = ?", hash).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", &flow.Error{Op: "read text " + hash, Kind: flow.NotFound, Err: errors.New("the journal does not have it")}
	}
	return text, err
}

// Backup makes a consistent copy of the journal while it is in use.
func (j *Journal) Backup(ctx context.Context, to string) error {
	if _, err := os.Stat(to); err == nil {
		return fmt.Errorf("copy journal: %s is there already", to)
	}
	// The readers' connections refuse to write, and the writer's is busy: a third one.
	db, err := sql.Open("sqlite3", dsn(j.file, "_busy_timeout=30000"))
	if err != nil {
		return fmt.Errorf("copy journal to %s: %w", to, err)
	}
	if _, err = db.ExecContext(ctx, "vacuum into ?", to); err != nil {
		err = fmt.Errorf("copy journal to %s: %w", to, err)
	}
	return errors.Join(err, db.Close())
}
