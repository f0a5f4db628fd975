package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// bindInputs makes a view of every dataset that the query may name.
func (w *work) bindInputs(ctx context.Context, q *query) error {
	for name, uri := range w.job.Inputs {
		if err := w.bindTable(ctx, name, []string{uri}); err != nil {
			return err
		}
	}
	for name, uris := range w.job.Unions {
		if err := w.bindTable(ctx, name, uris); err != nil {
			return err
		}
	}
	if w.job.Keep != nil {
		if err := w.bindKept(ctx); err != nil {
			return err
		}
	}
	if q == nil || !w.job.Previous {
		return nil
	}
	return w.bindPrevious(ctx)
}

func (w *work) bindTable(ctx context.Context, name string, uris []string) error {
	sets := make([]*dataset.Dataset, 0, len(uris))
	for _, uri := range uris {
		d, err := w.Store.Read(ctx, w.Lookup, uri)
		if err != nil {
			return err
		}
		sets = append(sets, d)
		w.inputs = append(w.inputs, d.Input())
	}
	if len(sets) == 0 {
		return &flow.Error{Op: "read table " + name, Kind: flow.Invalid, Err: errors.New("it is the union of nothing")}
	}
	return w.bindSets(ctx, name, sets...)
}

func (w *work) bindSets(ctx context.Context, name string, sets ...*dataset.Dataset) error {
	schema := sets[0].Schema
	var selects []string
	for _, d := range sets {
		sel, err := w.selectSet(ctx, d, schema)
		if err != nil {
			return err
		}
		selects = append(selects, sel)
	}
	w.tables[name] = schema
	return w.exec(ctx, "CREATE TEMP VIEW "+format.QuoteDuckDB(name)+" AS "+strings.Join(selects, " UNION ALL "))
}

// selectSet reads a dataset by its files, in the schema's types.
func (w *work) selectSet(ctx context.Context, d *dataset.Dataset, schema flow.Schema) (string, error) {
	for _, c := range schema {
		if format.Index(d.Schema, c.Name) < 0 {
			return "", &flow.Error{Op: "read " + d.URI, Kind: flow.Invalid, Err: fmt.Errorf("it lacks column %s of the table's other parts", c.Name)}
		}
	}
	var paths []string
	for _, f := range d.Files {
		if f.Rows == 0 {
			continue
		}
		b, name, err := d.Place(ctx, w.Lookup, f)
		if err != nil {
			return "", err
		}
		p, err := w.local(ctx, b, name)
		if err != nil {
			return "", err
		}
		paths = append(paths, p)
	}
	if len(paths) == 0 {
		return nothing(schema)
	}
	cols, err := casts(schema)
	if err != nil {
		return "", err
	}
	return "SELECT " + cols + " FROM " + readParquet(paths), nil
}

func readParquet(paths []string) string {
	return "read_parquet(" + list(paths) + ", hive_partitioning = false, union_by_name = true)"
}

// bindPrevious makes the table previous: the step's dataset of the latest earlier logical
// time, or nothing with its schema, where that is known.
func (w *work) bindPrevious(ctx context.Context) error {
	d, err := w.Store.Latest(ctx, w.job.Slot)
	if err == nil {
		w.inputs = append(w.inputs, d.Input())
		return w.bindSets(ctx, "previous", d)
	}
	if flow.KindOf(err) != flow.NotFound {
		return err
	}
	slot := w.job.Slot
	schema, err := w.knownSchema(ctx)
	if err != nil {
		return err
	}
	if schema == nil {
		return &flow.Error{Op: "read table previous", Kind: flow.Invalid, Err: fmt.Errorf("%s.%s has no earlier dataset, and its columns are not known", slot.Pipeline, slot.Step),
			Hint: fmt.Sprintf("Write its columns into %s (columns: { name: type }), so that the first run sees an empty table.", format.SchemaPath(slot.Pipeline, slot.Step))}
	}
	sel, err := nothing(schema)
	if err != nil {
		return err
	}
	w.tables["previous"] = schema
	return w.exec(ctx, "CREATE TEMP VIEW previous AS "+sel)
}

// knownSchema is what is known of the step's own table before it is computed: another
// attempt's or time's dataset, or, without SQL, the schema file.
func (w *work) knownSchema(ctx context.Context) (flow.Schema, error) {
	if d, err := w.Store.CurrentDataset(ctx, w.job.Slot); err == nil {
		return d.Schema, nil
	} else if flow.KindOf(err) != flow.NotFound {
		return nil, err
	}
	b, name, err := w.Lookup.Bucket(ctx, format.SchemaPath(w.job.Slot.Pipeline, w.job.Slot.Step))
	if err != nil {
		return nil, err
	}
	f, ok, err := format.LoadSchema(ctx, b, name)
	if err != nil || !ok {
		return nil, err
	}
	return f.Columns, nil
}

// local is a file of this machine with an object's bytes, staged if need be, which the session may read.
func (w *work) local(ctx context.Context, b flow.Bucket, name string) (string, error) {
	p, err := (&extract.Reader{Temp: w.temp, Progress: w.req.Progress}).Fetch(ctx, b, name)
	if err == nil {
		w.allowed = append(w.allowed, p)
	}
	return p, err
}

// upload copies a file into a bucket.
func upload(ctx context.Context, b flow.Bucket, path, name string) (flow.Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return flow.Object{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	out, err := b.Create(ctx, name, flow.Condition{})
	if err != nil {
		return flow.Object{}, err
	}
	if _, err := io.Copy(out, f); err != nil {
		return flow.Object{}, errors.Join(err, out.Abort())
	}
	return out.Commit()
}
