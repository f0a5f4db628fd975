package spark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/sparkjob"
)

// prepare writes the runner, its job and the SQL texts into the attempt's folder, and reads
// in Go what Spark is not to be trusted with.
func (t Task) prepare(ctx context.Context, r flow.Request, j flow.SparkJob, p process) (script string, args []string, err error) {
	job := sparkjob.Job{Run: r.Run, Attempt: r.Attempt, At: time.Now().UTC().Format(time.RFC3339), Store: t.Store.URI, Texts: p.file("texts"), Out: p.file(outName)}
	if err := os.MkdirAll(job.Texts, 0o700); err != nil {
		return "", nil, fmt.Errorf("make the folder of texts: %w", err)
	}
	for _, w := range j.Work {
		work := sparkjob.Work{SparkWork: w}
		if w.Dataset != nil {
			err = t.prepareDataset(ctx, r, p, &work)
		} else if w.Load != nil {
			err = t.prepareLoad(&work)
		}
		if err != nil {
			return "", nil, err
		}
		job.Work = append(job.Work, work)
	}
	text, err := job.Encode()
	if err != nil {
		return "", nil, fmt.Errorf("write the job: %w", err)
	}
	for name, b := range map[string][]byte{"job.json": text, "runner.py": sparkjob.Runner} {
		if err := os.WriteFile(p.file(name), b, 0o600); err != nil {
			return "", nil, fmt.Errorf("write the job: %w", err)
		}
	}
	return p.file("runner.py"), []string{"--job", p.file("job.json")}, nil
}

const outName = "out.json"

func (t Task) prepareLoad(w *sparkjob.Work) error {
	l := *w.Load
	l.To = t.path(l.To)
	w.Load = &l
	return nil
}

func (t Task) prepareDataset(ctx context.Context, r flow.Request, p process, w *sparkjob.Work) error {
	d := w.Dataset
	w.Dir = dataset.AttemptDir(d.Slot, r.Run, r.Attempt, r.Item)
	texts := []*flow.SQLText{d.SQL}
	for i := range d.Checks {
		texts = append(texts, d.Checks[i].SQL)
	}
	if d.Keep != nil {
		texts = append(texts, d.Keep.DeleteWhen)
	}
	for _, x := range texts {
		if x == nil {
			continue
		}
		text, err := t.Lookup.Text(ctx, x.Hash)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.file("texts"), x.Hash), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write a text: %w", err)
		}
	}
	if d.Previous {
		known, err := t.known(ctx, d.Slot)
		if err != nil {
			return err
		}
		w.Known = known
	}
	if x := d.Extract; x != nil && x.Manifest == "" && x.Dataset == nil {
		return t.source(ctx, r, p, w)
	}
	return nil
}

// known is what the schema file says of a step's own table.
func (t Task) known(ctx context.Context, slot flow.Slot) (flow.Schema, error) {
	b, name, err := t.Lookup.Bucket(ctx, format.SchemaPath(slot.Pipeline, slot.Step))
	if err != nil {
		return nil, err
	}
	f, _, err := format.LoadSchema(ctx, b, name)
	return f.Columns, err
}

// source decides how an extract's files are read, and reads them here where Spark would read
// something else than the Go reader does.
func (t Task) source(ctx context.Context, r flow.Request, p process, w *sparkjob.Work) error {
	temp := filepath.Join(p.file("landed"), w.Name)
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	rd := &extract.Reader{Lookup: t.Lookup, Slot: w.Dataset.Slot, Extract: *w.Dataset.Extract, Temp: temp, Zone: time.UTC, Workers: t.threads(), Progress: r.Progress}
	src, err := rd.Decide(ctx, w.Dataset.Extract.Read)
	if err != nil {
		return err
	}
	l := Lander{Reader: rd, Dir: temp, Log: r.Log}
	w.Source, err = l.Source(ctx, src)
	return err
}

// Lander reads in Go what Spark reads otherwise than the Go reader, which is the judge of a
// text file on every engine: for csv and JSON it leaves Parquet files to Spark. On this
// machine that is faster than Spark's own readers, too.
type Lander struct {
	*extract.Reader
	Dir string // where the Parquet files go
	Log io.Writer
}

// Source makes of a decided source what Spark is told of it.
func (l Lander) Source(ctx context.Context, src *extract.Source) (*sparkjob.Source, error) {
	if len(src.Files) > 0 && src.Kind != "parquet" {
		return l.Land(ctx, src)
	}
	out := &sparkjob.Source{Kind: "parquet", Schema: src.Schema, Warnings: l.Warnings}
	for _, g := range src.Groups() {
		group := sparkjob.Group{Header: g[0].Header, Places: g[0].Places}
		for _, f := range g {
			group.Files = append(group.Files, uri(f.Path))
		}
		out.Groups = append(out.Groups, group)
	}
	return out, nil
}

// Land reads a source by the Go readers into Parquet files.
func (l Lander) Land(ctx context.Context, src *extract.Source) (*sparkjob.Source, error) {
	use := l.Used(src)
	if len(use) == 0 {
		use = flow.Schema{{Name: src.Schema[0].Name, Type: "string", Nullable: true}}
	}
	rejects := format.RejectLog{Dir: l.Dir}
	var stats format.Stats
	w := partWriter{dir: l.Dir, schema: use}
	for b, err := range l.Read(ctx, src, use, rejects.Add, &stats) {
		if err == nil {
			err = w.write(b)
			b.Release()
		}
		if err != nil {
			return nil, errors.Join(err, w.close(), rejects.Close())
		}
	}
	if err := w.close(); err != nil {
		return nil, errors.Join(err, rejects.Close())
	}
	if stats.Read != stats.Written+stats.Rejected {
		return nil, errors.Join(fmt.Errorf("read %d records, wrote %d and rejected %d", stats.Read, stats.Written, stats.Rejected), rejects.Close())
	}
	out := &sparkjob.Source{Kind: "landed", Schema: use, Read: stats.Read, Rejected: stats.Rejected, Warnings: l.Warnings}
	group := sparkjob.Group{Header: format.Names(use)}
	for i := range use {
		group.Places = append(group.Places, i)
	}
	for _, f := range w.files {
		group.Files = append(group.Files, uri(f))
	}
	if len(w.files) > 0 {
		out.Groups = []sparkjob.Group{group}
	}
	if stats.Rejected > 0 {
		if err := rejects.Tell(l.Log); err != nil {
			return nil, errors.Join(err, rejects.Close())
		}
		name := filepath.Join(l.Dir, "rejects.parquet")
		if err := writeRejects(name, &rejects); err != nil {
			return nil, errors.Join(err, rejects.Close())
		}
		out.Rejects = uri(name)
		for r := range rejects.All {
			if out.Told = append(out.Told, r.String()); len(out.Told) == 5 {
				break
			}
		}
	}
	return out, rejects.Close()
}

func writeRejects(name string, rejects *format.RejectLog) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("keep the rejects: %w", err)
	}
	_, err = format.WriteRejects(f, rejects.All)
	return errors.Join(err, rejects.Err(), f.Close())
}

// partWriter writes batches as Parquet files that Spark can share among its tasks.
type partWriter struct {
	dir    string
	schema flow.Schema
	files  []string
	file   *os.File
	out    *format.ParquetWriter
}

// partRows is about how many rows a file has before the next begins.
const partRows = 2_000_000

func (w *partWriter) write(b flow.Batch) error {
	if w.out == nil {
		schema, err := format.ArrowSchema(w.schema)
		if err != nil {
			return err
		}
		name := filepath.Join(w.dir, "part-"+strconv.Itoa(len(w.files))+".parquet")
		if w.file, err = os.Create(name); err != nil {
			return fmt.Errorf("land the source: %w", err)
		}
		if w.out, err = format.NewParquetWriter(w.file, schema); err != nil {
			return err
		}
		w.files = append(w.files, name)
	}
	if err := w.out.Write(b); err != nil {
		return fmt.Errorf("land the source: %w", err)
	}
	if w.out.Rows() >= partRows {
		return w.close()
	}
	return nil
}

func (w *partWriter) close() error {
	if w.out == nil {
		return nil
	}
	err := w.out.Close()
	if e := w.file.Close(); e != nil && !errors.Is(e, os.ErrClosed) {
		err = errors.Join(err, e)
	}
	w.out = nil
	return err
}

// result is what the runner left.
func (t Task) result(r flow.Request, p process, status int, log string) (json.RawMessage, error) {
	text, err := os.ReadFile(p.file(outName))
	if err != nil {
		if status == 0 {
			status = 1
		}
		return nil, exited(status, log, "the runner of "+r.State)
	}
	return sparkjob.Result(text)
}

// outputs makes datasets of what a script wrote: their manifests are written here, after it
// succeeded.
func (t Task) outputs(ctx context.Context, r flow.Request, j flow.SparkJob) (json.RawMessage, error) {
	out := flow.ScriptOutput{}
	for name, o := range j.Outputs {
		made, err := t.output(ctx, r, name, o)
		if err != nil {
			return nil, err
		}
		if out.Outputs == nil {
			out.Outputs = map[string]flow.Output{}
		}
		out.Outputs[name] = made
	}
	if len(j.Outputs) != 1 {
		return json.Marshal(out)
	}
	for _, only := range out.Outputs {
		return json.Marshal(struct {
			flow.ScriptOutput
			flow.Output
		}{out, only})
	}
	return nil, nil
}

func (t Task) output(ctx context.Context, r flow.Request, name string, o flow.SparkOutput) (flow.Output, error) {
	dir := dataset.AttemptDir(o.Slot, r.Run, r.Attempt, r.Item)
	at, err := flow.ParseTimeName(o.Slot.Time)
	if err != nil {
		return flow.Output{}, &flow.Error{Op: "read the slot", Kind: flow.Invalid, Err: err}
	}
	m := &flow.Manifest{Run: r.Run, Step: o.Slot.Step, Attempt: r.Attempt, Time: at.UTC().Format(time.RFC3339), Created: time.Now().UTC()}
	fail := func(hint, format string, args ...any) (flow.Output, error) {
		return flow.Output{}, &flow.Error{Op: "read output " + name, Kind: flow.Invalid, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	prefix := t.Store.Name(dir) + "/"
	for obj, err := range t.Store.Bucket.List(ctx, prefix) {
		if err != nil {
			return flow.Output{}, err
		}
		rel := strings.TrimPrefix(obj.Name, prefix)
		if extract.Hidden(rel) || !strings.HasSuffix(rel, ".parquet") {
			continue
		}
		if i := strings.IndexByte(rel, '='); i >= 0 && strings.Contains(rel, "/") {
			return fail("Write it without partitionBy: a load partitions it.", "it is cut into folders by %s", rel[:i])
		}
		rows, schema, err := format.ParquetStat(ctx, t.Store.Bucket, obj)
		if err != nil {
			return flow.Output{}, fmt.Errorf("read output %s: %s: %w", name, rel, err)
		}
		if m.Schema == nil {
			m.Schema = schema
		} else if m.Schema.Hash() != schema.Hash() {
			return fail("Write it with one schema.", "its files have different columns: %s differs", rel)
		}
		if rows > 0 {
			m.Files = append(m.Files, flow.File{Path: rel, Rows: rows, Bytes: obj.Size, ETag: obj.ETag})
			m.Rows += rows
		}
	}
	if m.Schema == nil {
		return fail("It is to write Parquet to {{ output."+name+" }}, which its args hand to it.", "the script wrote no Parquet file to %s", uri(t.Store.URIOf(dir)))
	}
	manifest, err := t.Store.Write(ctx, dir, m)
	if flow.KindOf(err) == flow.Conflict { // an earlier Wait got so far
		manifest, err = t.Store.URIOf(dir+"/"+dataset.ManifestName), nil
	}
	return flow.Output{Manifest: manifest, Rows: m.Rows, Bytes: m.Bytes(), SchemaHash: m.Schema.Hash()}, err
}
