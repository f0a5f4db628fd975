package duckdb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
)

// loadRecord is what a load remembers below _tidemill/loads/: which files are its own. A
// file is in Pending before it is written and until the load is whole, so that whatever a
// crash leaves is known.
type loadRecord struct {
	Version int       `json:"version"`
	Load    flow.Load `json:"load"`
	Run     string    `json:"run"`
	Attempt int       `json:"attempt"`
	Stage   string    `json:"stage"` // of the flip that wrote it
	Rows    int64     `json:"rows"`
	Bytes   int64     `json:"bytes"`
	Files   []string  `json:"files"`             // below the target
	Pending []string  `json:"pending,omitempty"` // perhaps written, or about to be deleted
	Stale   []string  `json:"stale,omitempty"`   // partitions that lost files, until the catalog knows
	Done    bool      `json:"done"`
}

// loadName names a load in paths.
func loadName(l flow.Load) string {
	n := l.Pipeline + "." + l.Step + "." + l.Time
	if l.Params != "" {
		n += "-" + l.Params
	}
	return n
}

func recordName(l flow.Load) string { return "_tidemill/loads/" + loadName(l) + ".json" }

func getText(ctx context.Context, b flow.Bucket, name string) ([]byte, error) {
	r, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	return text, errors.Join(err, r.Close())
}

func putText(ctx context.Context, b flow.Bucket, name string, text []byte, c flow.Condition) error {
	w, err := b.Create(ctx, name, c)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = w.Commit()
	return err
}

func sizeOf(path string) (int64, error) {
	i, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

func (l *loading) record(ctx context.Context) (loadRecord, bool, error) {
	text, err := getText(ctx, l.bucket, l.at(recordName(l.job.Load)))
	if flow.KindOf(err) == flow.NotFound {
		return loadRecord{}, false, nil
	}
	if err != nil {
		return loadRecord{}, false, err
	}
	rec, err := parseRecord(recordName(l.job.Load), text)
	return rec, err == nil, err
}

func parseRecord(name string, text []byte) (loadRecord, error) {
	var rec loadRecord
	if err := json.Unmarshal(text, &rec); err != nil || rec.Version != 1 {
		return rec, &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: fmt.Errorf("not a load's record of version 1: %w", err)}
	}
	return rec, nil
}

func (l *loading) putRecord(ctx context.Context, rec loadRecord) error {
	rec.Version = 1
	text, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return putText(ctx, l.bucket, l.at(recordName(rec.Load)), append(text, '\n'), flow.Condition{})
}

// alreadyAppended tells whether an append of this logical time is whole: it happens once.
func (l *loading) alreadyAppended(ctx context.Context) (bool, flow.LoadOutput, error) {
	if l.job.Mode != "append" {
		return false, flow.LoadOutput{}, nil
	}
	rec, ok, err := l.record(ctx)
	if err != nil || !ok || !rec.Done {
		return false, flow.LoadOutput{}, err
	}
	return true, flow.LoadOutput{To: l.job.To, Rows: rec.Rows, Files: len(rec.Files), Bytes: rec.Bytes}, nil
}

// others reads the records of all loads into the target but this one's, and all names in
// the target that are data.
func (l *loading) others(ctx context.Context) (map[string]loadRecord, []string, error) {
	records := map[string]loadRecord{}
	var data []string
	prefix := l.dest + "/"
	if l.dest == "" {
		prefix = ""
	}
	for o, err := range l.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, nil, err
		}
		rel := strings.TrimPrefix(o.Name, prefix)
		switch {
		case strings.HasPrefix(rel, "_tidemill/loads/") && rel != recordName(l.job.Load):
			text, err := getText(ctx, l.bucket, o.Name)
			if err != nil {
				return nil, nil, err
			}
			if records[rel], err = parseRecord(o.Name, text); err != nil {
				return nil, nil, err
			}
		case !extract.Hidden(rel):
			data = append(data, rel)
		}
	}
	return records, data, nil
}

// flip puts staged files in place: new ones first, then the old ones go, _SUCCESS is last.
// It may be repeated after a crash at any point.
func (l *loading) flip(ctx context.Context, st staged) (flow.LoadOutput, error) {
	lease, err := l.lease(ctx)
	if err != nil {
		return flow.LoadOutput{}, err
	}
	defer lease.Release(context.WithoutCancel(ctx))
	out, err := l.flipFiles(ctx, st, lease)
	if err == nil {
		l.tidy(ctx, st)
		err = l.register(ctx)
	}
	return out, err
}

func (l *loading) flipFiles(ctx context.Context, st staged, lease *dataset.Lease) (flow.LoadOutput, error) {
	mine, ok, err := l.record(ctx)
	if err != nil {
		return flow.LoadOutput{}, err
	}
	if ok && mine.Done && (mine.Stage == l.stage || l.job.Mode == "append") {
		if err := l.success(ctx); err != nil {
			return flow.LoadOutput{}, err
		}
		out := flow.LoadOutput{To: l.job.To, Rows: mine.Rows, Files: len(mine.Files), Bytes: mine.Bytes}
		return out, l.dropStage(ctx)
	}
	if ok && dataset.Older(st.Run, st.Attempt, mine.Run, mine.Attempt) {
		return flow.LoadOutput{}, &flow.Error{Op: "load into " + l.job.To, Kind: flow.Conflict, Err: fmt.Errorf("run %s attempt %d has loaded since", mine.Run, mine.Attempt)}
	}
	if l.job.Layout == "run" {
		return l.flipRun(ctx, st, mine, lease)
	}
	return l.flipPrefix(ctx, st, mine, lease)
}

func (l *loading) flipPrefix(ctx context.Context, st staged, mine loadRecord, lease *dataset.Lease) (flow.LoadOutput, error) {
	var fresh []string
	for _, f := range st.Files {
		fresh = append(fresh, f.Name)
	}
	old, touched, err := l.replaced(ctx, fresh, mine)
	if err != nil {
		return flow.LoadOutput{}, err
	}
	out := l.receipt(st)
	rec := loadRecord{Load: l.job.Load, Run: st.Run, Attempt: st.Attempt, Stage: l.stage, Rows: st.Rows, Bytes: out.Bytes, Files: mine.Files, Pending: union(mine.Pending, fresh)}
	if err := l.putRecord(ctx, rec); err != nil {
		return out, err
	}
	if err := l.place(ctx, st); err != nil {
		return out, err
	}
	if err := lease.Held(ctx); err != nil {
		return out, err
	}
	// From here on the new files are the load's; what is to go stays known until it is gone.
	rec.Files, rec.Pending, rec.Stale = fresh, old, union(mine.Stale, l.stale(old, fresh))
	if err := l.putRecord(ctx, rec); err != nil {
		return out, err
	}
	if err := l.remove(ctx, old); err != nil {
		return out, err
	}
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		if err := l.putRecord(ctx, touched[name]); err != nil {
			return out, err
		}
	}
	if err := l.success(ctx); err != nil {
		return out, err
	}
	rec.Pending, rec.Done = nil, true
	if err := l.putRecord(ctx, rec); err != nil {
		return out, err
	}
	return out, l.dropStage(ctx)
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// replaced tells which files the load takes the place of, and the records of other loads
// as they are without those.
func (l *loading) replaced(ctx context.Context, fresh []string, mine loadRecord) (old []string, touched map[string]loadRecord, err error) {
	touched = map[string]loadRecord{}
	old = union(mine.Files, mine.Pending)
	if l.job.Mode == "append" || l.job.Scope == "run" {
		return without(old, fresh), touched, nil
	}
	records, data, err := l.others(ctx)
	if err != nil {
		return nil, nil, err
	}
	parts := map[string]bool{}
	for _, f := range fresh {
		parts[path.Dir(f)] = true
	}
	within := func(f string) bool { return l.job.Scope != "partitions" || parts[path.Dir(f)] }
	known := map[string]bool{}
	for _, f := range slices.Concat(old, fresh) {
		known[f] = true
	}
	for name, rec := range records {
		var keep []string
		for _, f := range union(rec.Files, rec.Pending) {
			known[f] = true
			if within(f) {
				old = append(old, f)
			} else {
				keep = append(keep, f)
			}
		}
		if len(keep) < len(union(rec.Files, rec.Pending)) {
			rec.Files, rec.Pending = keep, nil
			touched[name] = rec
		}
	}
	for _, f := range data {
		if !known[f] && within(f) {
			return nil, nil, &flow.Error{Op: "load into " + l.job.To, Kind: flow.Invalid, Err: fmt.Errorf("%s was not written by a load, and scope %s would replace it", f, orElse(l.job.Scope, "all")),
				Hint: "Load into an empty folder, move foreign files away, or use scope: run."}
		}
	}
	return without(old, fresh), touched, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func without(from, these []string) []string {
	out := slices.Clone(from)
	return slices.DeleteFunc(out, func(s string) bool { return slices.Contains(these, s) })
}

// place brings the load's files under their final names, which no other attempt uses.
func (l *loading) place(ctx context.Context, st staged) error {
	for _, f := range st.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := l.at(f.Name)
		if o, err := l.bucket.Stat(ctx, to); err == nil && o.Size == f.Bytes {
			continue // an earlier flip of the same stage got so far
		} else if err != nil && flow.KindOf(err) != flow.NotFound {
			return err
		}
		if f.path != "" {
			if _, err := upload(ctx, l.bucket, f.path, to); err != nil {
				return err
			}
			continue
		}
		if err := copyObject(ctx, l.bucket, l.at(l.stage+"/"+f.Name), to); err != nil {
			return err
		}
	}
	return nil
}

func copyObject(ctx context.Context, b flow.Bucket, from, to string) error {
	if c, ok := b.(flow.Copier); ok {
		_, err := c.Copy(ctx, from, to)
		return err
	}
	r, err := b.Open(ctx, from, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	w, err := b.Create(ctx, to, flow.Condition{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = w.Commit()
	return err
}

func (l *loading) remove(ctx context.Context, rels []string) error {
	if len(rels) == 0 {
		return nil
	}
	r, ok := l.bucket.(flow.Remover)
	if !ok {
		return &flow.Error{Op: "load into " + l.job.To, Kind: flow.Invalid, Err: errors.New("the target cannot delete what is replaced")}
	}
	names := make([]string, len(rels))
	for i, f := range rels {
		names[i] = l.at(f)
	}
	return r.Remove(ctx, names...)
}

func (l *loading) success(ctx context.Context) error {
	if l.job.Layout == "run" {
		return nil
	}
	return putText(ctx, l.bucket, l.at("_SUCCESS"), nil, flow.Condition{})
}

// dropStage removes what the load staged.
func (l *loading) dropStage(ctx context.Context) error {
	if l.job.Phase != "flip" {
		return nil
	}
	return l.removeStaged(ctx, path.Base(l.stage))
}

// removeStaged removes what a load staged up to a run's attempt: also what those left that
// were killed, or failed and were never gone on with.
func (l *loading) removeStaged(ctx context.Context, upTo string) error {
	r, ok := l.bucket.(flow.Remover)
	if !ok {
		return nil
	}
	run, attempt := parseAttempt(upTo)
	var names []string
	dir := l.at(stageDir(l.job.Load)) + "/"
	for o, err := range l.bucket.List(ctx, dir) {
		if err != nil {
			return err
		}
		folder, _, _ := strings.Cut(strings.TrimPrefix(o.Name, dir), "/")
		if by, n := parseAttempt(folder); folder == upTo || dataset.Older(by, n, run, attempt) {
			names = append(names, o.Name)
		}
	}
	return r.Remove(ctx, names...)
}

// uploadAge is how old an unfinished upload of a load grows before it counts as left behind.
const uploadAge = 24 * time.Hour

// tidy removes what attempts that were killed left half uploaded. Readers do not see it. Where
// it may not be removed the load is no worse for it, and the log says so.
func (l *loading) tidy(ctx context.Context, st staged) {
	b, ok := l.bucket.(flow.Tidier)
	if !ok {
		return
	}
	prefix := l.dest + "/"
	if l.dest == "" {
		prefix = ""
	}
	err := b.Tidy(ctx, prefix, func(name string, begun time.Time) bool {
		// part-00000-STEP.RUN.ATTEMPT.EXT, staged or in its place
		_, rest, _ := strings.Cut(strings.TrimPrefix(path.Base(name), "part-"), "-")
		step, rest, ok := strings.Cut(rest, ".")
		if !ok || step != l.job.Load.Step {
			return false
		}
		run, attempt := parseAttempt(strings.TrimSuffix(rest, path.Ext(rest)))
		return run == st.Run && attempt == st.Attempt || dataset.Older(run, attempt, st.Run, st.Attempt) || time.Since(begun) > uploadAge
	})
	if err != nil {
		fmt.Fprintf(l.req.Log, "look for unfinished uploads: %s\n", err) //nolint:errcheck // the log is best effort
	}
}

// parseAttempt reads what attemptName wrote.
func parseAttempt(name string) (run string, attempt int) {
	run, n, _ := strings.Cut(name, ".")
	attempt, _ = strconv.Atoi(n) //nolint:errcheck // a foreign folder is attempt 0 of its own name
	return run, attempt
}

// current is _current.json of layout run: the files that readers are to see.
type current struct {
	Version int                   `json:"version"`
	Files   []string              `json:"files"` // of all loads, below the target
	Loads   map[string]currentRun `json:"loads"` // by record name
	Retired []retired             `json:"retired,omitempty"`
}

type currentRun struct {
	Time  string   `json:"time"`
	Run   string   `json:"run"`
	Rows  int64    `json:"rows"`
	Files []string `json:"files"`
}

// retired are files that were replaced; they go when who reads them has had an hour.
type retired struct {
	At    time.Time `json:"at"`
	Files []string  `json:"files"`
}

const retiredGrace = time.Hour

func (l *loading) flipRun(ctx context.Context, st staged, mine loadRecord, lease *dataset.Lease) (flow.LoadOutput, error) {
	out := l.receipt(st)
	var fresh []string
	for _, f := range st.Files {
		fresh = append(fresh, f.Name)
	}
	rec := loadRecord{Load: l.job.Load, Run: st.Run, Attempt: st.Attempt, Stage: l.stage, Rows: st.Rows, Bytes: out.Bytes, Files: mine.Files, Pending: union(mine.Pending, fresh)}
	if err := l.putRecord(ctx, rec); err != nil {
		return out, err
	}
	if err := l.place(ctx, st); err != nil {
		return out, err
	}
	if err := lease.Held(ctx); err != nil {
		return out, err
	}
	live, gone, err := l.swapCurrent(ctx, st, fresh)
	if err != nil {
		return out, err
	}
	rec.Stale = union(mine.Stale, l.stale(live, fresh))
	// What crashed attempts left, and what was retired long enough ago.
	if err := l.remove(ctx, union(gone, without(mine.Pending, live))); err != nil {
		return out, err
	}
	rec.Files, rec.Pending, rec.Done = fresh, nil, true
	if err := l.putRecord(ctx, rec); err != nil {
		return out, err
	}
	return out, l.dropStage(ctx)
}

// swapCurrent flips the pointer. It returns the files that must stay and those that may go.
func (l *loading) swapCurrent(ctx context.Context, st staged, fresh []string) (live, gone []string, err error) {
	name := l.at(dataset.PointerName)
	cur, when := current{Version: 1, Loads: map[string]currentRun{}}, flow.Condition{IfAbsent: true}
	o, err := l.bucket.Stat(ctx, name)
	if err == nil {
		text, err := getText(ctx, l.bucket, name)
		if err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(text, &cur); err != nil || cur.Version != 1 || cur.Loads == nil {
			return nil, nil, &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: fmt.Errorf("not a pointer of version 1: %w", err), Hint: "Something else lies where the load keeps its pointer: choose another folder."}
		}
		when = flow.Condition{IfMatch: o.ETag}
	} else if flow.KindOf(err) != flow.NotFound {
		return nil, nil, err
	}
	now := l.now()
	var out []string
	for key, r := range cur.Loads {
		if key == recordName(l.job.Load) || l.job.Mode != "append" && l.job.Scope != "run" {
			out = append(out, without(r.Files, fresh)...)
			delete(cur.Loads, key)
		}
	}
	cur.Loads[recordName(l.job.Load)] = currentRun{Time: l.job.Load.Time, Run: st.Run, Rows: st.Rows, Files: fresh}
	cur.Retired = slices.DeleteFunc(cur.Retired, func(r retired) bool {
		if now.Sub(r.At) < retiredGrace {
			live = append(live, r.Files...)
			return false
		}
		gone = append(gone, r.Files...)
		return true
	})
	if len(out) > 0 {
		slices.Sort(out)
		cur.Retired = append(cur.Retired, retired{At: now, Files: out})
		live = append(live, out...)
	}
	cur.Files = []string{}
	for _, r := range cur.Loads {
		cur.Files = append(cur.Files, r.Files...)
	}
	slices.Sort(cur.Files)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(cur); err != nil {
		return nil, nil, err
	}
	return union(live, cur.Files), gone, putText(ctx, l.bucket, name, b.Bytes(), when)
}
