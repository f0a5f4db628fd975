package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/tidemill/tidemill/internal/flow"
)

// SchemaFile is schemas/PIPELINE/STEP.yaml: the schema that was decided at the first run,
// which the user commits. Later data is read by it.
type SchemaFile struct {
	Columns flow.Schema
	Dialect *flow.Dialect // of a csv
}

// SchemaPath is where a step's schema file lies in the project.
func SchemaPath(pipeline, step string) string { return "schemas/" + pipeline + "/" + step + ".yaml" }

// Bytes is the file's text.
func (f SchemaFile) Bytes() ([]byte, error) {
	cols := make(yaml.MapSlice, len(f.Columns))
	for i, c := range f.Columns {
		cols[i] = yaml.MapItem{Key: c.Name, Value: c.Type}
	}
	doc := yaml.MapSlice{{Key: "columns", Value: cols}}
	if d := f.Dialect; d != nil {
		var items yaml.MapSlice
		add := func(k string, v any, is bool) {
			if is {
				items = append(items, yaml.MapItem{Key: k, Value: v})
			}
		}
		add("delimiter", d.Delimiter, d.Delimiter != "")
		add("quote", d.Quote, d.Quote != "")
		add("escape", d.Escape, d.Escape != "")
		add("header", d.Header, d.Header != nil)
		add("encoding", d.Encoding, d.Encoding != "")
		add("comment", d.Comment, d.Comment != "")
		add("skip", d.Skip, d.Skip != 0)
		doc = append(doc, yaml.MapItem{Key: "dialect", Value: items})
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	const head = "# Decided from the first run's data; later data is read by it. Commit this file.\n# Declare other types in the step's columns, or take over new data with: tidemill schema accept\n"
	return append([]byte(head), text...), nil
}

// ParseSchemaFile reads what Bytes wrote, or a user edited.
func ParseSchemaFile(name string, text []byte) (SchemaFile, error) {
	var doc struct {
		Columns yaml.MapSlice `yaml:"columns"`
		Dialect *struct {
			Delimiter string `yaml:"delimiter"`
			Quote     string `yaml:"quote"`
			Escape    string `yaml:"escape"`
			Header    *bool  `yaml:"header"`
			Encoding  string `yaml:"encoding"`
			Comment   string `yaml:"comment"`
			Skip      int    `yaml:"skip"`
		} `yaml:"dialect"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return SchemaFile{}, &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: err}
	}
	var f SchemaFile
	for _, it := range doc.Columns {
		n, word := fmt.Sprint(it.Key), fmt.Sprint(it.Value)
		t, err := ParseType(word)
		if err != nil {
			return SchemaFile{}, &flow.Error{Op: fmt.Sprintf("read %s, column %s", name, n), Kind: flow.Invalid, Err: err}
		}
		f.Columns = append(f.Columns, flow.Column{Name: n, Type: t.String(), Nullable: true})
	}
	if len(f.Columns) == 0 {
		return SchemaFile{}, &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: errors.New("it has no columns"), Hint: "Write columns: { name: type } or remove the file; the next run decides anew."}
	}
	if d := doc.Dialect; d != nil {
		f.Dialect = &flow.Dialect{Delimiter: d.Delimiter, Quote: d.Quote, Escape: d.Escape, Header: d.Header, Encoding: d.Encoding, Comment: d.Comment, Skip: d.Skip}
	}
	return f, nil
}

// LoadSchema reads a step's schema file; ok is false where there is none yet.
func LoadSchema(ctx context.Context, b flow.Bucket, name string) (f SchemaFile, ok bool, err error) {
	r, err := b.Open(ctx, name, 0, -1)
	if flow.KindOf(err) == flow.NotFound {
		return SchemaFile{}, false, nil
	}
	if err != nil {
		return SchemaFile{}, false, err
	}
	text, err := io.ReadAll(io.LimitReader(r, 16<<20))
	if err = errors.Join(err, r.Close()); err != nil {
		return SchemaFile{}, false, fmt.Errorf("read %s: %w", name, err)
	}
	f, err = ParseSchemaFile(name, text)
	return f, err == nil, err
}

// StoreSchema writes a step's schema file unless somebody was first.
func StoreSchema(ctx context.Context, b flow.Bucket, name string, f SchemaFile) (written bool, err error) {
	text, err := f.Bytes()
	if err != nil {
		return false, err
	}
	w, err := b.Create(ctx, name, flow.Condition{IfAbsent: true})
	if err != nil {
		return false, err
	}
	if _, err := w.Write(text); err != nil {
		return false, errors.Join(err, w.Abort())
	}
	if _, err := w.Commit(); err != nil {
		if flow.KindOf(err) == flow.Conflict {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// Merge puts declared columns over found ones: a declared type wins, a declared column
// that was not found is added at the end.
func Merge(declared, found flow.Schema) flow.Schema {
	out := slices.Clone(found)
	for _, d := range declared {
		if i := Index(out, d.Name); i >= 0 {
			out[i].Type = d.Type
			continue
		}
		out = append(out, flow.Column{Name: d.Name, Type: d.Type, Nullable: true})
	}
	return out
}

// Index is a column's place by name, in any case of letters, as Spark looks names up; -1 for none.
func Index(s flow.Schema, name string) int {
	return slices.IndexFunc(s, func(c flow.Column) bool { return strings.EqualFold(c.Name, name) })
}

// Names are the columns' names.
func Names(s flow.Schema) []string {
	out := make([]string, len(s))
	for i, c := range s {
		out[i] = c.Name
	}
	return out
}

// Bind finds for each of the schema's columns its place in a file that has the columns
// found; -1 where the file lacks it. Under drift freeze (also when empty) every difference
// is an error; add and discard let both more and fewer columns pass, and return the new ones.
func Bind(schema flow.Schema, found []string, drift string) (places []int, added []string, err error) {
	places = make([]int, len(schema))
	var missing []string
	for i, c := range schema {
		places[i] = slices.IndexFunc(found, func(n string) bool { return strings.EqualFold(n, c.Name) })
		if places[i] < 0 {
			missing = append(missing, c.Name)
		}
	}
	for _, n := range found {
		if Index(schema, n) < 0 {
			added = append(added, n)
		}
	}
	if len(missing) == len(schema) && len(schema) > 1 && len(found) > 1 {
		return nil, nil, fmt.Errorf("none of the columns %s is there, but %s: is it another file, or one without a header (dialect: { header: false })?", list(missing), list(found))
	}
	if drift == "add" || drift == "discard" {
		if len(missing) == len(schema) && len(schema) > 0 {
			return nil, nil, fmt.Errorf("none of the columns %s is there, but %s", list(missing), list(found))
		}
		return places, added, nil
	}
	var faults []string
	for _, n := range missing {
		f := "column " + n + " is missing"
		if near := nearest(n, added); near != "" {
			f += " (is it " + near + "?)"
		}
		faults = append(faults, f)
	}
	for _, n := range added {
		faults = append(faults, "column "+n+" is new")
	}
	if len(faults) > 0 {
		if len(faults) > 6 {
			faults = append(faults[:6], fmt.Sprintf("and %d more", len(faults)-6))
		}
		return nil, nil, errors.New(strings.Join(faults, ", "))
	}
	return places, nil, nil
}

func list(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + fmt.Sprintf(" and %d more", len(names)-8)
	}
	return strings.Join(names, ", ")
}

// nearest is the candidate within two edits, or nothing.
func nearest(n string, among []string) string {
	best, least := "", 3
	for _, c := range among {
		if d := edits(strings.ToLower(n), strings.ToLower(c)); d < least && d < len(n) {
			best, least = c, d
		}
	}
	return best
}

func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}

// DriftError says that a file does not have the columns it should, and what to do.
func DriftError(pipeline, step, file string, line int64, err error) error {
	at := file
	if line > 0 {
		at = fmt.Sprintf("%s:%d", file, line)
	}
	return &flow.Error{Op: "read " + at, Kind: flow.Invalid, Err: err,
		Hint: fmt.Sprintf("If the data is right, take over its columns with: tidemill schema accept %s %s (or set drift: add or discard).", pipeline, step)}
}
