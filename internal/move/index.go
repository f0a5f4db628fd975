package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path"
	"strconv"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// indexing is one attempt at a load into a sink.
type indexing struct {
	*mover
	req  flow.Request
	job  flow.IndexJob
	set  *dataset.Dataset
	sink flow.Sink
	dead deadLetters
}

func (m *mover) index(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	x := &indexing{mover: m, req: r}
	if err := arguments(r, &x.job); err != nil {
		return nil, err
	}
	var err error
	if x.set, err = m.Store.Read(ctx, m.Lookup, x.job.From); err != nil {
		return nil, err
	}
	if x.sink, err = m.Sink(ctx, x.job.Connection); err != nil {
		return nil, err
	}
	out, err := x.do(ctx)
	if e := x.keepDead(ctx); e != nil {
		err = errors.Join(err, e)
	}
	if err != nil {
		return nil, &flow.Error{Op: "load into " + x.job.Connection, Err: err}
	}
	return json.Marshal(out)
}

func (x *indexing) do(ctx context.Context) (flow.IndexOutput, error) {
	w := x.write()
	var staged flow.Receipt
	if x.job.Phase == "flip" {
		var out flow.IndexOutput
		if err := json.Unmarshal(x.job.Staged, &out); err != nil || out.Staged == "" {
			return out, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("the flip was given no receipt: %w", err)}
		}
		staged = out.Receipt
	} else {
		var err error
		if staged, err = x.sink.Stage(ctx, w, x.rows(ctx)); err == nil {
			err = x.bear(staged)
		}
		if err != nil || x.job.Phase == "stage" {
			return x.output(staged), err
		}
	}
	r, err := x.flip(ctx, w, staged)
	if err == nil {
		err = x.bear(r)
	}
	return x.output(r), err
}

// flip holds the index's lease: of two that flip at once the second sees what the first did.
func (x *indexing) flip(ctx context.Context, w flow.Write, staged flow.Receipt) (flow.Receipt, error) {
	lease, err := x.Store.Lease(ctx, path.Join("leases", x.job.Connection, x.job.Index, dataset.LeaseName), x.req.Key)
	if err != nil {
		return staged, err
	}
	defer lease.Release(ctx)
	return x.sink.Flip(ctx, w, staged, x.rows(ctx))
}

func (x *indexing) write() flow.Write {
	j := x.job
	return flow.Write{Load: j.Load, Run: x.req.Run, Attempt: x.req.Attempt, Mode: j.Mode, Period: j.Period, Index: j.Index, Schema: x.set.Schema, Count: x.set.Rows,
		ID: j.ID, Mapping: j.Mapping, Version: j.Version, Delete: j.Delete, KeepOld: j.KeepOld, MaxDelete: j.MaxDelete,
		Log: x.req.Log, Progress: x.req.Progress, Dead: x.dead.add}
}

func (x *indexing) output(r flow.Receipt) flow.IndexOutput {
	out := flow.IndexOutput{To: x.job.Connection + "/" + x.job.Index, Rows: r.Written, Receipt: r}
	if x.job.Phase == "stage" {
		out.Staged = r.Place
	}
	if r.Superseded {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%s was not changed: a later logical time has been published there", out.To))
	}
	if r.Rejected > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%d documents were refused and kept with their reasons in %s", r.Rejected, x.Store.URIOf(x.deadName())))
	}
	return out
}

// rows reads the dataset's files one after another.
func (x *indexing) rows(ctx context.Context) flow.Rows {
	return func() iter.Seq2[flow.Batch, error] {
		return func(yield func(flow.Batch, error) bool) {
			for _, f := range x.set.Files {
				if !x.file(ctx, f, yield) {
					return
				}
			}
		}
	}
}

func (x *indexing) file(ctx context.Context, f flow.File, yield func(flow.Batch, error) bool) bool {
	b, name, err := x.set.Place(ctx, x.Lookup, f)
	if err != nil {
		return yield(nil, err)
	}
	_, batches, err := format.ReadParquet(ctx, b, name)
	if err != nil {
		return yield(nil, err)
	}
	for batch, err := range batches {
		if !yield(batch, err) {
			return false
		}
	}
	return true
}

// deadLetters keeps the documents that a sink refused; few, or the load fails.
type deadLetters struct{ all []format.Reject }

// mostDead is how many refused documents a load bears whatever the file says: so many mean
// that the mapping is of other rows. It bounds the memory they take.
const mostDead = 10_000

func (d *deadLetters) add(l flow.DeadLetter) error {
	if len(d.all) >= mostDead {
		return &flow.Error{Kind: flow.Rejected, Err: fmt.Errorf("more than %d documents were refused, the last because of %s", mostDead, l.Reason), Hint: "Look at the mapping: it does not fit the rows."}
	}
	d.all = append(d.all, format.Reject{Reason: l.Reason, File: "document " + l.ID, Line: l.Row, Text: string(l.Document[:min(len(l.Document), 64<<10)])})
	return nil
}

func (x *indexing) deadName() string {
	return path.Join("runs", x.req.Run, x.req.State, strconv.Itoa(x.req.Attempt)+".rejects.parquet")
}

// keepDead writes the refused documents beside the attempt's log.
func (x *indexing) keepDead(ctx context.Context) error {
	if len(x.dead.all) == 0 {
		return nil
	}
	out, err := x.Store.Bucket.Create(ctx, x.Store.Name(x.deadName()), flow.Condition{})
	if err != nil {
		return err
	}
	if _, err := format.WriteRejects(out, func(yield func(format.Reject) bool) {
		for _, r := range x.dead.all {
			if !yield(r) {
				return
			}
		}
	}); err != nil {
		return errors.Join(err, out.Abort())
	}
	_, err = out.Commit()
	return err
}

// shownDead is how many refused documents an error shows.
const shownDead = 5

// bear fails where more documents were refused than the load bears.
func (x *indexing) bear(r flow.Receipt) error {
	for i, d := range x.dead.all {
		if i == 100 {
			break
		}
		fmt.Fprintf(x.req.Log, "refused %s\n", d) //nolint:errcheck // the log is best effort
	}
	n := r.Rejected
	if !x.job.Rejects.Exceeded(n, r.Read) {
		return nil
	}
	text := fmt.Sprintf("%d of %d documents were refused", n, r.Read)
	for i, d := range x.dead.all {
		if i == shownDead {
			text += fmt.Sprintf("\n  and %d more, in %s", n-shownDead, x.Store.URIOf(x.deadName()))
			break
		}
		text += "\n  " + d.String()
	}
	return &flow.Error{Kind: flow.Rejected, Err: errors.New(text), Hint: "Correct the rows or the mapping, or set rejects: keep or { max: … } on the load."}
}
