package duckdb

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// A load into files. Its target is always a folder, below which _tidemill/ holds what the
// loads remember of each other: a record of each load's files, staged files, the lease. A
// load deletes only what a record says that a load wrote.

// hiveNull is the partition of NULL, as Hive and Spark name it.
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// loading is one attempt at a load.
type loading struct {
	*work
	job    flow.LoadJob
	bucket flow.Bucket
	dest   string // the target's folder in its bucket, without a slash at its end
	stage  string // of this attempt: below _tidemill/staging/
}

// staged is what a load is to write. Where Dir is empty the files lie on this machine.
type staged struct {
	Version int          `json:"version"`
	Load    flow.Load    `json:"load"`
	Run     string       `json:"run"`
	Attempt int          `json:"attempt"`
	Rows    int64        `json:"rows"`
	Files   []stagedFile `json:"files"`
}

type stagedFile struct {
	Name  string `json:"name"` // below the target's folder
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	path  string // on this machine
}

func (c TaskConfig) load(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var j flow.LoadJob
	if err := arguments(r, &j); err != nil {
		return nil, err
	}
	l, err := c.beginLoad(ctx, r, j)
	if err != nil {
		return nil, err
	}
	out, err := l.do(ctx)
	if e := l.end(); err == nil && e != nil {
		err = fmt.Errorf("clean up: %w", e)
	}
	return output(out, err)
}

func (c TaskConfig) beginLoad(ctx context.Context, r flow.Request, j flow.LoadJob) (*loading, error) {
	if err := checkLoad(j); err != nil {
		return nil, &flow.Error{Op: "load into " + j.To, Kind: flow.Invalid, Err: err}
	}
	b, name, err := c.Lookup.Bucket(ctx, j.To)
	if err != nil {
		return nil, err
	}
	w, err := c.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	return &loading{work: w, job: j, bucket: b, dest: strings.Trim(path.Clean("/"+name), "/"), stage: stageDir(j.Load) + attemptName(r.Run, r.Attempt)}, nil
}

// stageDir is where all runs and attempts of a load stage, each in a folder of its own.
func stageDir(l flow.Load) string { return "_tidemill/staging/" + loadName(l) + "/" }

func attemptName(run string, attempt int) string { return run + "." + strconv.Itoa(attempt) }

func checkLoad(j flow.LoadJob) error {
	known := func(what, v string, among ...string) error {
		if !slices.Contains(among, v) {
			return fmt.Errorf("%s %q is not one of %s", what, v, strings.Join(among, ", "))
		}
		return nil
	}
	err := errors.Join(known("mode", j.Mode, "", "replace", "append"), known("scope", j.Scope, "", "run", "partitions", "all"), known("layout", j.Layout, "", "prefix", "run"),
		known("format", j.Format, "", "parquet", "csv", "ndjson"), known("phase", j.Phase, "", "all", "stage", "flip"))
	switch {
	case err != nil:
		return err
	case j.Connection != "":
		return errors.New("this task writes files only")
	case j.Scope == "partitions" && len(j.PartitionBy) == 0:
		return errors.New("scope partitions needs partition_by")
	case j.Scope == "partitions" && j.Layout == "run":
		return errors.New("with layout run a load replaces its time or all, not partitions")
	case j.Load.Pipeline == "" || j.Load.Step == "" || j.Load.Time == "":
		return errors.New("the job does not name its load")
	}
	return nil
}

// at is the bucket's name of a path below the target's folder.
func (l *loading) at(rel string) string { return path.Join(l.dest, rel) }

func (l *loading) do(ctx context.Context) (flow.LoadOutput, error) {
	var st staged
	var err error
	switch l.job.Phase {
	case "flip":
		if st, err = l.readStaged(ctx); err != nil {
			return flow.LoadOutput{}, err
		}
		return l.flip(ctx, st)
	case "stage":
		if st, err = l.write(ctx); err != nil {
			return flow.LoadOutput{}, err
		}
		return l.putStaged(ctx, st)
	}
	if done, out, err := l.alreadyAppended(ctx); done || err != nil {
		return out, err
	}
	if st, err = l.write(ctx); err != nil {
		return flow.LoadOutput{}, err
	}
	return l.flip(ctx, st)
}

// write computes the load's files on this machine.
func (l *loading) write(ctx context.Context) (staged, error) {
	st := staged{Version: 1, Load: l.job.Load, Run: l.req.Run, Attempt: l.req.Attempt}
	d, err := l.Store.Read(ctx, l.Lookup, l.job.From)
	if err != nil {
		return st, err
	}
	l.out = filepath.Join(l.temp, "out")
	l.dirs = append(l.dirs, l.temp)
	if err := l.open(ctx); err != nil {
		return st, err
	}
	if err := l.bindSets(ctx, "rows", d); err != nil {
		return st, err
	}
	if err := l.seal(ctx); err != nil {
		return st, err
	}
	if d.Rows == 0 {
		return st, nil
	}
	files, err := l.copyFiles(ctx, d.Schema)
	if err != nil {
		return st, err
	}
	for _, f := range files {
		st.Rows += f.Rows
	}
	if st.Rows != d.Rows {
		return st, fmt.Errorf("load into %s: wrote %d of %d rows", l.job.To, st.Rows, d.Rows)
	}
	st.Files = files
	return st, nil
}

// copyFiles writes the table rows, cut into partitions if the load has them.
func (l *loading) copyFiles(ctx context.Context, schema flow.Schema) ([]stagedFile, error) {
	ext := orElse(l.job.Format, "parquet")
	options := fmt.Sprintf("COMPRESSION zstd, COMPRESSION_LEVEL 1, FILE_SIZE_BYTES %d", l.PartBytes)
	dirs := map[string]string{}
	sel, err := l.columnsFor(schema)
	if err != nil {
		return nil, err
	}
	if len(l.job.PartitionBy) > 0 {
		if dirs, err = l.partitions(ctx, schema); err != nil {
			return nil, err
		}
		options = strings.Split(options, ", FILE_SIZE_BYTES")[0] + ", PARTITION_BY (__p)"
		on := make([]string, len(l.job.PartitionBy))
		for i, n := range l.job.PartitionBy {
			on[i] = "r." + format.QuoteDuckDB(n) + " IS NOT DISTINCT FROM p." + format.QuoteDuckDB(n)
		}
		sel = "SELECT " + sel + ", p.__p FROM rows r JOIN __parts p ON " + strings.Join(on, " AND ")
	} else {
		sel = "SELECT " + sel + " FROM rows r"
	}
	parts, _, err := l.copyTo(ctx, sel, nil, l.out, options)
	if err != nil {
		return nil, err
	}
	files := make([]stagedFile, len(parts))
	for i, p := range parts {
		dir := ""
		if id, ok := strings.CutPrefix(filepath.Base(filepath.Dir(p.path)), "__p="); ok && len(dirs) > 0 {
			dir = dirs[id] + "/"
		}
		if p.path, err = l.convert(ctx, p.path, ext); err != nil {
			return nil, err
		}
		size, err := sizeOf(p.path)
		if err != nil {
			return nil, err
		}
		base := fmt.Sprintf("part-%05d-%s.%s.%d.%s", i, l.job.Load.Step, l.req.Run, l.req.Attempt, ext)
		if l.job.Layout == "run" {
			dir = "run=" + l.req.Run + "." + strconv.Itoa(l.req.Attempt) + "/" + dir
		}
		files[i] = stagedFile{Name: dir + base, Rows: p.rows, Bytes: size, path: p.path}
	}
	return files, nil
}

// convert writes a Parquet part anew as a text format, by the Go writers, so that a value
// has one form whichever engine or connector writes it: instants as ISO 8601 in UTC, in
// csv nested values as JSON.
func (l *loading) convert(ctx context.Context, from, ext string) (string, error) {
	if ext == "parquet" {
		return from, nil
	}
	to := strings.TrimSuffix(from, ".parquet") + "." + ext
	f, err := os.Create(to)
	if err != nil {
		return "", err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	_, batches, err := format.ReadParquet(ctx, file{}, from)
	if err != nil {
		return "", errors.Join(err, f.Close())
	}
	first := true
	for b, err := range batches {
		if err == nil && ext == "csv" {
			err = format.WriteCSV(out, b, first)
		} else if err == nil {
			err = format.WriteNDJSON(out, b)
		}
		if err != nil {
			return "", errors.Join(err, f.Close())
		}
		b.Release()
		first = false
	}
	return to, errors.Join(out.Flush(), f.Close(), os.Remove(from))
}

// file reads files of this machine as objects.
type file struct{ flow.Bucket }

func (file) Stat(_ context.Context, name string) (flow.Object, error) {
	size, err := sizeOf(name)
	return flow.Object{Name: name, Size: size}, err
}

func (file) Open(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, offset, length), f}, nil
}

// columnsFor is the select list of a load: partition columns stand in the folders' names only.
func (l *loading) columnsFor(schema flow.Schema) (string, error) {
	for _, n := range l.job.PartitionBy {
		if format.Index(schema, n) < 0 {
			return "", &flow.Error{Op: "load into " + l.job.To, Kind: flow.Invalid, Err: fmt.Errorf("partition_by: the table has no column %s, but %s", n, strings.Join(format.Names(schema), ", "))}
		}
	}
	var out []string
	for _, c := range schema {
		if slices.ContainsFunc(l.job.PartitionBy, func(n string) bool { return strings.EqualFold(n, c.Name) }) {
			continue
		}
		out = append(out, "r."+format.QuoteDuckDB(c.Name))
	}
	if len(out) == 0 {
		return "", &flow.Error{Op: "load into " + l.job.To, Kind: flow.Invalid, Err: errors.New("partition_by names every column, nothing is left for the files")}
	}
	return strings.Join(out, ", "), nil
}

// maxPartitions is how many partitions one load may write.
const maxPartitions = 10_000

// partitions numbers the partitions of the rows and gives their folders by number.
func (l *loading) partitions(ctx context.Context, schema flow.Schema) (map[string]string, error) {
	cols := make([]string, len(l.job.PartitionBy))
	texts := make([]string, len(cols))
	for i, n := range l.job.PartitionBy {
		c := schema[format.Index(schema, n)]
		cols[i] = format.QuoteDuckDB(c.Name)
		texts[i] = "CAST(" + cols[i] + " AS VARCHAR)"
	}
	list := strings.Join(cols, ", ")
	if err := l.exec(ctx, "CREATE TEMP TABLE __parts AS SELECT row_number() OVER () AS __p, "+list+" FROM (SELECT DISTINCT "+list+" FROM rows)"); err != nil {
		return nil, err
	}
	rows, err := l.conn.QueryContext(ctx, "SELECT __p, "+strings.Join(texts, ", ")+" FROM __parts")
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	out := map[string]string{}
	for rows.Next() {
		vals := make([]sql.NullString, len(cols))
		var id string
		into := []any{&id}
		for i := range vals {
			into = append(into, &vals[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		dirs := make([]string, len(cols))
		for i, v := range vals {
			text := hiveNull
			if v.Valid && v.String != "" { // Spark takes the empty text for NULL too
				text = EscapePath(v.String)
			}
			dirs[i] = EscapePath(l.job.PartitionBy[i]) + "=" + text
		}
		out[id] = strings.Join(dirs, "/")
		if len(out) > maxPartitions {
			return nil, &flow.Error{Op: "load into " + l.job.To, Kind: flow.Invalid, Err: fmt.Errorf("the rows have more than %d partitions", maxPartitions), Hint: "Partition by something coarser, a day rather than an instant."}
		}
	}
	return out, fault(ctx, rows.Err())
}

// EscapePath writes a partition's value as Hive and Spark do: %XX for what a path or a
// partition's name cannot bear.
func EscapePath(s string) string {
	const special = "\"#%'*/:=?\\{[]^"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f || strings.IndexByte(special, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

const stageRecord = "stage.json"

// putStaged uploads the load's files beside the target and says where.
func (l *loading) putStaged(ctx context.Context, st staged) (flow.LoadOutput, error) {
	out := l.receipt(st)
	for _, f := range st.Files {
		if _, err := upload(ctx, l.bucket, f.path, l.at(l.stage+"/"+f.Name)); err != nil {
			return out, err
		}
	}
	text, err := json.Marshal(st)
	if err != nil {
		return out, err
	}
	if err := putText(ctx, l.bucket, l.at(l.stage+"/"+stageRecord), text, flow.Condition{}); err != nil {
		return out, err
	}
	out.Staged = l.stage
	return out, nil
}

// readStaged finds what the stage phase left.
func (l *loading) readStaged(ctx context.Context) (staged, error) {
	var out flow.LoadOutput
	var st staged
	if err := json.Unmarshal(l.job.Staged, &out); err != nil || out.Staged == "" {
		return st, &flow.Error{Op: "load into " + l.job.To, Kind: flow.Invalid, Err: fmt.Errorf("the flip was given no staging record: %w", err)}
	}
	l.stage = out.Staged
	text, err := getText(ctx, l.bucket, l.at(l.stage+"/"+stageRecord))
	if flow.KindOf(err) == flow.NotFound {
		if rec, _, e := l.record(ctx); e == nil && rec.Stage == l.stage && len(rec.Pending) == 0 {
			return staged{Load: l.job.Load, Run: rec.Run, Attempt: rec.Attempt, Rows: rec.Rows}, nil
		}
		return st, &flow.Error{Op: "load into " + l.job.To, Kind: flow.NotFound, Err: errors.New("what was staged is gone"), Hint: "Run the load again from its stage."}
	}
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(text, &st); err != nil || st.Version != 1 {
		return st, &flow.Error{Op: "read " + l.stage, Kind: flow.Invalid, Err: fmt.Errorf("not a staging record of version 1: %w", err)}
	}
	return st, nil
}

func (l *loading) receipt(st staged) flow.LoadOutput {
	out := flow.LoadOutput{To: l.job.To, Rows: st.Rows, Files: len(st.Files)}
	for _, f := range st.Files {
		out.Bytes += f.Bytes
	}
	return out
}

// lease is the right to change the target, held until the returned function is called.
func (l *loading) lease(ctx context.Context) (*dataset.Lease, error) {
	s := dataset.Store{Bucket: l.bucket, Prefix: l.dest, URI: l.job.To, Now: l.Store.Now}
	return s.Lease(ctx, "_tidemill/"+dataset.LeaseName, l.req.Key)
}
