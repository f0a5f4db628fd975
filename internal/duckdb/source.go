package duckdb

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
)

// source is the table source of a step, decided but not yet read.
type source struct {
	*extract.Source
	set *dataset.Dataset // a dataset that exists already, instead of files
}

// source decides schema and dialect of the job's extract.
func (w *work) source(ctx context.Context, q *query) (*source, error) {
	e := w.job.Extract
	if e.Connection != "" {
		return nil, &flow.Error{Op: "read " + e.Connection, Kind: flow.Invalid, Err: errors.New("this task reads files and datasets only")}
	}
	use := e.Read
	if q != nil && q.spark != nil {
		names, all := q.spark.Columns("source")
		if use = names; all {
			use = nil
		} else if use == nil {
			use = []string{}
		}
	}
	if e.Manifest != "" {
		return w.fetched(ctx)
	}
	if e.Dataset != nil {
		return w.otherDataset(ctx)
	}
	w.reader = &extract.Reader{Lookup: w.Lookup, Slot: w.job.Slot, Extract: *e, Temp: w.temp, Zone: w.s.Zone(), Progress: w.req.Progress, Columns: w.fileColumns, Workers: w.Session.Threads}
	if w.reader.Workers == 0 {
		w.reader.Workers = runtime.GOMAXPROCS(0)
	}
	src, err := w.reader.Decide(ctx, use)
	if err != nil {
		return nil, err
	}
	for _, f := range src.Files {
		w.allowed = append(w.allowed, f.Path)
	}
	w.warnings = append(w.warnings, w.reader.Warnings...)
	return &source{Source: src}, nil
}

func (w *work) fileColumns(ctx context.Context, path string) (flow.Schema, error) {
	return w.describe(ctx, "SELECT * FROM "+readParquet([]string{path}), nil)
}

// fetched is what a fetch read for this step.
func (w *work) fetched(ctx context.Context) (*source, error) {
	d, err := w.Store.Read(ctx, w.Lookup, w.job.Extract.Manifest)
	if err != nil {
		return nil, err
	}
	w.inputs = append(w.inputs, d.Input())
	w.read = d.Rows
	return &source{&extract.Source{Kind: "dataset", Schema: d.Schema}, d}, nil
}

// otherDataset is the published dataset of another pipeline's step.
func (w *work) otherDataset(ctx context.Context) (*source, error) {
	of := w.job.Extract.Dataset
	slot := flow.Slot{Pipeline: of["pipeline"], Step: of["step"], Time: w.job.Slot.Time, Params: of["params"]}
	if at := of["at"]; at != "" {
		var err error
		if slot.Time, err = w.slotAt(slot, at); err != nil {
			return nil, err
		}
	}
	d, err := w.Store.CurrentDataset(ctx, slot)
	if flow.KindOf(err) == flow.NotFound {
		return nil, &flow.Error{Op: "read dataset " + slot.Pipeline + "." + slot.Step + " of " + slot.Time, Kind: flow.NotFound, Err: errors.New("no run has published it"),
			Hint: "Run that pipeline first, or let the step wait: { for: 2h, every: 1m }."}
	}
	if err != nil {
		return nil, err
	}
	w.inputs = append(w.inputs, d.Input())
	w.read = d.Rows
	return &source{&extract.Source{Kind: "dataset", Schema: d.Schema}, d}, nil
}

// slotAt is the time of another pipeline's run.
func (w *work) slotAt(slot flow.Slot, at string) (string, error) {
	if c, ok := w.Lookup.(flow.Calendar); ok {
		return c.SlotAt(slot.Pipeline, at)
	}
	t, err := parseInstant(at)
	if err != nil {
		return "", &flow.Error{Op: "read dataset " + slot.Pipeline + "." + slot.Step, Kind: flow.Invalid, Err: err}
	}
	return flow.TimeName(t), nil
}

// tellRejects says what was rejected and kept: some in the attempt's log, few as a warning.
func (w *work) tellRejects() error {
	if err := w.rejects.Tell(w.req.Log); err != nil {
		return err
	}
	w.warnings = append(w.warnings, fmt.Sprintf("%d rejected and kept with their reasons in table %s_rejects%s", w.rejects.Rows, w.job.Slot.Step, w.rejects.Some()))
	return nil
}

// bear fails when there are more rejects than the step bears.
func (w *work) bear(limit flow.Limit, read int64) error {
	op := "read"
	if w.job.Extract != nil {
		op = "read " + w.job.Extract.From
	}
	return w.rejects.Bear(op, limit, read)
}
