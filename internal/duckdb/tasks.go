package duckdb

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// TaskConfig is what the data tasks of this process need.
type TaskConfig struct {
	Lookup  flow.Lookup
	Store   dataset.Store
	Session Config                                          // memory, threads, zone; TempDir is set by the task
	Temp    string                                          // folder for staged files and spilling; empty: the system's
	Catalog func(ctx context.Context) (flow.Catalog, error) // where loads with register are shown; nil: nowhere
	// PartBytes is about how large a dataset's file grows before the next begins; 0: 256 MiB.
	PartBytes int64

	// turn is held by the task of this process that computes: each has the whole memory
	// limit while it does, and so two at once would have twice of it.
	turn chan struct{}
}

// Tasks are the verbs extract, sql, values, load and publish over files and datasets, by verb.
func Tasks(c TaskConfig) map[string]flow.TaskFunc {
	if c.PartBytes == 0 {
		c.PartBytes = 256 << 20
	}
	c.turn = make(chan struct{}, 1)
	set := c.dataset
	return map[string]flow.TaskFunc{"extract": set, "sql": set, "values": c.values, "load": c.load, "publish": c.publish}
}

// arguments reads a request's arguments; numbers keep their digits.
func arguments(r flow.Request, into any) error {
	d := json.NewDecoder(bytes.NewReader(r.Arguments))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return &flow.Error{Op: "read the arguments of " + r.State, Kind: flow.Invalid, Err: err}
	}
	return nil
}

func output(v any, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func (c TaskConfig) publish(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var j flow.PublishJob
	if err := arguments(r, &j); err != nil {
		return nil, err
	}
	return output(struct {
		Published int `json:"published"`
	}{len(j.Datasets)}, c.Store.Publish(ctx, r.Key, j))
}

// work is one attempt at a dataset: a session of its own, a scratch folder, what was staged.
type work struct {
	TaskConfig
	req      flow.Request
	job      flow.DatasetJob
	s        *Session
	conn     *sql.Conn
	temp     string
	allowed  []string // files that the session may read
	dirs     []string // folders that it may read and write
	out      string   // folder of the result, on this machine
	dir      string   // of the attempt in the store
	inputs   []flow.Input
	tables   map[string]flow.Schema // what the SQL may name
	reader   *extract.Reader        // of an extract of files
	kept     *dataset.Dataset       // the previous version, where the step keeps
	warnings []string
	rejects  format.RejectLog
	read     int64     // records at the source
	csv      *csvTable // source, where it is CSV files
	release  []func()
	computes bool // it has the turn
}

func (c TaskConfig) begin(ctx context.Context, r flow.Request) (*work, error) {
	if c.Temp != "" {
		if err := os.MkdirAll(c.Temp, 0o700); err != nil {
			return nil, fmt.Errorf("make the scratch folder: %w", err)
		}
	}
	temp, err := os.MkdirTemp(c.Temp, "task-")
	if err != nil {
		return nil, fmt.Errorf("make the scratch folder: %w", err)
	}
	if temp, err = filepath.Abs(temp); err != nil {
		return nil, err
	}
	w := &work{TaskConfig: c, req: r, temp: temp, tables: map[string]flow.Schema{}, rejects: format.RejectLog{Dir: temp}}
	if w.req.Log == nil {
		w.req.Log = discard{}
	}
	if w.req.Progress == nil {
		w.req.Progress = func(flow.Progress) {}
	}
	return w, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (w *work) end() error {
	for _, f := range w.release {
		f()
	}
	err := errors.Join(w.closeSession(), w.rejects.Close())
	return errors.Join(err, os.RemoveAll(w.temp))
}

func (w *work) closeSession() error {
	if w.s == nil {
		return nil
	}
	if w.csv != nil {
		w.csv.close()
	}
	err := errors.Join(w.conn.Close(), w.s.Close())
	w.s, w.conn, w.csv = nil, nil, nil
	if w.computes {
		w.computes = false
		<-w.turn
	}
	return err
}

// open starts the session. Until seal it may touch any file; nothing of the user's runs before.
func (w *work) open(ctx context.Context) error {
	cfg := w.Session
	cfg.TempDir = filepath.Join(w.temp, "spill")
	cfg.PreserveOrder = cfg.PreserveOrder || w.job.Keep != nil // which of two rows of a key is the second is a matter of order
	s, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	conn, err := s.Conn(ctx)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	w.s, w.conn = s, conn
	return nil
}

// takeTurn waits for the turn to compute, which lasts until the session is closed. What needs
// no memory of DuckDB (finding and staging files) is done before it.
func (w *work) takeTurn(ctx context.Context) error {
	if w.turn == nil || w.computes {
		return nil
	}
	select {
	case w.turn <- struct{}{}:
		w.computes = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// seal shuts the session in: it reads the files it was given and the folder of its result,
// nothing else, and no statement can change that.
func (w *work) seal(ctx context.Context) error {
	if err := w.takeTurn(ctx); err != nil {
		return err
	}
	return w.exec(ctx,
		"SET allowed_paths = "+list(append(slices.Clone(w.allowed), w.out)),
		"SET allowed_directories = "+list(w.dirs),
		"SET enable_external_access = false",
		"SET lock_configuration = true")
}

func list(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (w *work) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := w.conn.ExecContext(ctx, s); err != nil {
			return fault(ctx, err)
		}
	}
	return nil
}

// fault sorts what DuckDB said. Its texts stay as they are; ours are found in them where a
// reader of ours failed inside.
func fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if flow.KindOf(err) != flow.Unknown {
		return err
	}
	e := &flow.Error{Kind: flow.Invalid, Err: err}
	switch text := err.Error(); {
	case strings.Contains(text, "Out of Memory Error"):
		e.Hint = "Raise the target's memory, or lower threads."
	case strings.Contains(text, "IO Error") && strings.Contains(text, "No space left"):
		e.Kind, e.Hint = flow.Transient, "Make room on the disk of the scratch folder."
	case strings.Contains(text, "INTERNAL Error"):
		e.Kind = flow.Unknown
	}
	return e
}

// dataset makes one dataset: extract, sql, checks and keep of one step.
func (c TaskConfig) dataset(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var j flow.DatasetJob
	if err := arguments(r, &j); err != nil {
		return nil, err
	}
	w, err := c.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	w.job = j
	out, err := w.make(ctx)
	if e := w.end(); err == nil && e != nil {
		err = fmt.Errorf("clean up: %w", e)
	}
	return output(out, err)
}

func (w *work) make(ctx context.Context) (flow.Output, error) {
	w.dir = dataset.AttemptDir(w.job.Slot, w.req.Run, w.req.Attempt, w.req.Item)
	if l, ok := w.Store.Bucket.(flow.Locator); ok {
		w.out = l.Path(w.Store.Name(w.dir))
	} else {
		w.out = filepath.Join(w.temp, "out")
	}
	if err := os.RemoveAll(w.out); err != nil { // of this very attempt; nobody else writes here
		return flow.Output{}, fmt.Errorf("clear %s: %w", w.out, err)
	}
	if err := os.MkdirAll(w.out, 0o777); err != nil {
		return flow.Output{}, fmt.Errorf("make %s: %w", w.out, err)
	}
	w.dirs = append(w.dirs, w.out, w.temp)
	q, err := w.text(ctx)
	if err != nil {
		return flow.Output{}, err
	}
	if err := w.open(ctx); err != nil {
		return flow.Output{}, err
	}
	if err := w.bindInputs(ctx, q); err != nil {
		return flow.Output{}, err
	}
	var src *source
	if w.job.Extract != nil {
		if src, err = w.source(ctx, q); err != nil {
			return flow.Output{}, err
		}
	}
	res, err := w.result(ctx, q, src)
	if errors.Is(err, errSkip) {
		return flow.Output{Skipped: true, Warnings: w.warnings}, nil
	}
	if err != nil {
		return flow.Output{}, err
	}
	return w.finish(ctx, res)
}

// result runs the query.
func (w *work) result(ctx context.Context, q *query, src *source) (*result, error) {
	if err := w.takeTurn(ctx); err != nil {
		return nil, err
	}
	if src != nil {
		if err := w.bindSource(ctx, src); err != nil {
			return nil, err
		}
	}
	if err := w.seal(ctx); err != nil {
		return nil, err
	}
	return w.compute(ctx, q, src)
}

// finish writes the manifest, after which the dataset exists.
func (w *work) finish(ctx context.Context, res *result) (flow.Output, error) {
	at, err := flow.ParseTimeName(w.job.Slot.Time)
	if err != nil {
		return flow.Output{}, &flow.Error{Op: "read the slot", Kind: flow.Invalid, Err: err}
	}
	m := &flow.Manifest{Run: w.req.Run, Step: w.job.Slot.Step, Attempt: w.req.Attempt, Time: at.UTC().Format(time.RFC3339), Created: w.now(),
		Rows: res.rows, Schema: res.schema, Inputs: w.inputs, Read: w.read, Rejected: w.rejects.Rows}
	if m.Files, err = w.deliver(ctx, res.files); err != nil {
		return flow.Output{}, err
	}
	if w.rejects.Rows > 0 {
		if m.Rejects, err = w.writeRejects(ctx); err != nil {
			return flow.Output{}, err
		}
		if err := w.tellRejects(); err != nil {
			return flow.Output{}, err
		}
	}
	uri, err := w.Store.Write(ctx, w.dir, m)
	if err != nil {
		return flow.Output{}, err
	}
	return flow.Output{Manifest: uri, Rows: m.Rows, Bytes: m.Bytes(), SchemaHash: m.Schema.Hash(), Read: m.Read, Rejected: m.Rejected, Cursor: res.cursor, Warnings: w.warnings}, nil
}

func (w *work) now() time.Time {
	if w.Store.Now != nil {
		return w.Store.Now().UTC()
	}
	return time.Now().UTC()
}

// part is one file of a result on this machine.
type part struct {
	path string
	rows int64
}

// deliver brings the result's files into the store and describes them.
func (w *work) deliver(ctx context.Context, parts []part) ([]flow.File, error) {
	files := make([]flow.File, 0, len(parts))
	_, local := w.Store.Bucket.(flow.Locator)
	for _, p := range parts {
		base := filepath.Base(p.path)
		name := w.Store.Name(w.dir + "/" + base)
		var o flow.Object
		var err error
		if local {
			o, err = w.Store.Bucket.Stat(ctx, name)
		} else {
			o, err = upload(ctx, w.Store.Bucket, p.path, name)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, flow.File{Path: base, Rows: p.rows, Bytes: o.Size, ETag: o.ETag})
	}
	return files, nil
}

func (w *work) writeRejects(ctx context.Context) ([]flow.File, error) {
	const base = "rejects.parquet"
	out, err := w.Store.Bucket.Create(ctx, w.Store.Name(w.dir+"/"+base), flow.Condition{})
	if err != nil {
		return nil, err
	}
	n, err := format.WriteRejects(out, w.rejects.All)
	if err == nil {
		err = w.rejects.Err()
	}
	if err != nil {
		return nil, errors.Join(err, out.Abort())
	}
	o, err := out.Commit()
	return []flow.File{{Path: base, Rows: n, Bytes: o.Size, ETag: o.ETag}}, err
}
