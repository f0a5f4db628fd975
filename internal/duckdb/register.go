package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/extract"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// partitionOf is the part of a file's name that is its partition: the last folders, one for
// each key. In layout run they lie below run=ID.
func (l *loading) partitionOf(name string) string {
	dirs := strings.Split(path.Dir(name), "/")
	return strings.Join(dirs[max(0, len(dirs)-len(l.job.PartitionBy)):], "/")
}

// stale are the partitions of files that a flip takes away, which it writes none into.
func (l *loading) stale(old, fresh []string) []string {
	if l.job.Register == "" || len(l.job.PartitionBy) == 0 {
		return nil
	}
	kept := map[string]bool{}
	for _, f := range fresh {
		kept[l.partitionOf(f)] = true
	}
	var out []string
	for _, f := range old {
		if p := l.partitionOf(f); !kept[p] {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// register shows the load's files in the catalog. It comes after the flip, and again where
// a crash came between.
func (l *loading) register(ctx context.Context) error {
	if l.job.Register == "" {
		return nil
	}
	if !strings.HasPrefix(l.job.To, "s3://") {
		return &flow.Error{Op: "register " + l.job.Register, Kind: flow.Invalid, Err: fmt.Errorf("%s is no place that the catalog's readers reach", l.job.To), Hint: "Load to an s3:// URI."}
	}
	if l.Catalog == nil {
		return &flow.Error{Op: "register " + l.job.Register, Kind: flow.Invalid, Err: errors.New("there is no catalog here")}
	}
	rec, ok, err := l.record(ctx)
	if err != nil {
		return err
	}
	if !ok || !rec.Done {
		return &flow.Error{Op: "register " + l.job.Register, Kind: flow.Conflict, Err: errors.New("the load is not whole")}
	}
	t, err := l.catalogTable(ctx, rec)
	if err != nil {
		return err
	}
	c, err := l.Catalog(ctx)
	if err != nil {
		return err
	}
	if err := c.Place(ctx, t); err != nil {
		return err
	}
	fmt.Fprintf(l.req.Log, "registered %s: %d partitions, %d gone\n", t.Name, len(t.Partitions), len(t.Gone)) //nolint:errcheck // the log is best effort
	if len(rec.Stale) == 0 {
		return nil
	}
	rec.Stale = nil
	return l.putRecord(ctx, rec)
}

func (l *loading) catalogTable(ctx context.Context, rec loadRecord) (flow.CatalogTable, error) {
	t := flow.CatalogTable{Name: l.job.Register, Format: orElse(l.job.Format, "parquet"), Location: l.uri("")}
	d, err := l.Store.Read(ctx, l.Lookup, l.job.From)
	if err != nil {
		return t, err
	}
	for _, c := range d.Schema {
		if !slices.Contains(l.job.PartitionBy, c.Name) {
			t.Schema = append(t.Schema, c)
		}
	}
	for _, k := range l.job.PartitionBy {
		if i := format.Index(d.Schema, k); i >= 0 {
			t.PartitionBy = append(t.PartitionBy, d.Schema[i])
		}
	}
	if len(t.PartitionBy) == 0 {
		if l.job.Layout == "run" && len(rec.Files) > 0 {
			t.Location = l.uri(path.Dir(rec.Files[0]))
		}
		return t, nil
	}
	places := map[string]string{}
	for _, f := range rec.Files {
		places[l.partitionOf(f)] = path.Dir(f)
	}
	for p, dir := range places {
		t.Partitions = append(t.Partitions, flow.CatalogPartition{Values: partitionValues(p), Location: l.uri(dir)})
	}
	slices.SortFunc(t.Partitions, func(a, b flow.CatalogPartition) int { return strings.Compare(a.Location, b.Location) })
	for _, p := range rec.Stale {
		live, err := l.hasFiles(ctx, p)
		if err != nil {
			return t, err
		}
		if _, here := places[p]; !live && !here {
			t.Gone = append(t.Gone, partitionValues(p))
		}
	}
	return t, nil
}

func (l *loading) uri(rel string) string {
	return strings.TrimSuffix(strings.TrimSuffix(l.job.To, "/")+"/"+rel, "/")
}

// partitionValues reads what EscapePath wrote.
func partitionValues(p string) []string {
	var out []string
	for _, dir := range strings.Split(p, "/") {
		_, v, _ := strings.Cut(dir, "=")
		if plain, err := url.PathUnescape(v); err == nil {
			v = plain
		}
		out = append(out, v)
	}
	return out
}

// hasFiles tells whether readers still find files of a partition.
func (l *loading) hasFiles(ctx context.Context, partition string) (bool, error) {
	if l.job.Layout == "run" {
		text, err := getText(ctx, l.bucket, l.at(dataset.PointerName))
		if err != nil {
			return false, err
		}
		var cur current
		if err := json.Unmarshal(text, &cur); err != nil {
			return false, err
		}
		return slices.ContainsFunc(cur.Files, func(f string) bool { return l.partitionOf(f) == partition }), nil
	}
	prefix := l.at(partition) + "/"
	for o, err := range l.bucket.List(ctx, prefix) {
		if err != nil {
			return false, err
		}
		if !extract.Hidden(strings.TrimPrefix(o.Name, prefix)) {
			return true, nil
		}
	}
	return false, nil
}
