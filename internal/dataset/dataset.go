// Package dataset is what lies in the store: datasets with their manifests, the pointer to
// the current one of each logical time, leases, cursors, retention.
//
// A dataset's attempt lies under data/PIPELINE/STEP/TIME[-PARAMS]/RUN.ATTEMPT/: Parquet
// files first, manifest.json last, so that a dataset exists when its manifest does.
// _current.json beside the attempts says which of them the others read.
package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the manifest's JSON Schema
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// ManifestName is the file that makes a dataset exist.
const ManifestName = "manifest.json"

// PointerName is the file in a slot's folder that names the current attempt.
const PointerName = "_current.json"

// ManifestSchema is the JSON Schema of manifests of version 1.
//
//go:embed manifest-1.schema.json
var ManifestSchema []byte

// Store is a folder or a prefix of a bucket in which runs keep what they make.
type Store struct {
	Bucket flow.Bucket
	Prefix string           // of the store's names in the bucket, without a slash at its end; may be empty
	URI    string           // of the store's root, without a slash at its end: what manifests' URIs begin with
	Now    func() time.Time // nil: time.Now

	// LeaseWait is how long a lease that another holds is waited for; 0: 45 seconds, longer
	// than the lease of a holder who died lasts.
	LeaseWait time.Duration
}

func (s Store) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

// Name is the bucket's name of a path in the store.
func (s Store) Name(rel string) string { return path.Join(s.Prefix, rel) }

// URIOf is the URI of a path in the store.
func (s Store) URIOf(rel string) string { return strings.TrimSuffix(s.URI, "/") + "/" + rel }

// Rel is the path in the store that has the URI; ok is false for what lies elsewhere.
func (s Store) Rel(uri string) (rel string, ok bool) {
	return strings.CutPrefix(uri, strings.TrimSuffix(s.URI, "/")+"/")
}

// SlotDir is a slot's folder in the store.
func SlotDir(slot flow.Slot) string { return "data/" + slot.Dir() }

var unsafeItem = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// AttemptDir is the folder in the store that one attempt writes. The item of an each is
// part of it, shortened to what paths bear.
func AttemptDir(slot flow.Slot, run string, attempt int, item string) string {
	d := SlotDir(slot) + "/" + run + "." + strconv.Itoa(attempt)
	if item != "" {
		sum := sha256.Sum256([]byte(item))
		word := strings.Trim(unsafeItem.ReplaceAllString(item, "_"), "_")
		d += "." + word[:min(len(word), 24)] + "-" + hex.EncodeToString(sum[:4])
	}
	return d
}

// PagesDir is the folder in the store beside a run's attempts that keeps the pages of a fetch:
// a later attempt of the same run goes on from them.
func PagesDir(slot flow.Slot, run string) string { return SlotDir(slot) + "/" + run + ".pages" }

// read reads a whole small object.
func read(ctx context.Context, b flow.Bucket, name string) ([]byte, error) {
	r, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// write writes a whole small object.
func write(ctx context.Context, b flow.Bucket, name string, text []byte, c flow.Condition) (flow.Object, error) {
	w, err := b.Create(ctx, name, c)
	if err != nil {
		return flow.Object{}, err
	}
	if _, err := w.Write(text); err != nil {
		return flow.Object{}, errors.Join(err, w.Abort())
	}
	return w.Commit()
}

// encode is how all our JSON files are written.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// EncodeManifest checks a manifest and gives its bytes.
func EncodeManifest(m *flow.Manifest) ([]byte, error) {
	m.Version = flow.ManifestVersion
	if m.Files == nil {
		m.Files = []flow.File{}
	}
	if err := Check(m); err != nil {
		return nil, err
	}
	return encode(m)
}

// DecodeManifest reads a manifest's bytes; a newer version is refused.
func DecodeManifest(name string, text []byte) (*flow.Manifest, error) {
	fault := func(err error) error {
		return &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: err}
	}
	var m flow.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fault(err)
	}
	if m.Version != flow.ManifestVersion {
		return nil, &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: fmt.Errorf("manifest of version %d, this program reads %d", m.Version, flow.ManifestVersion), Hint: "Use the release that wrote it, or a newer one."}
	}
	if err := Check(&m); err != nil {
		return nil, fault(err)
	}
	return &m, nil
}

// Check tells what is wrong within a manifest: counts that do not add up, files outside.
func Check(m *flow.Manifest) error {
	rows := int64(0)
	for _, f := range m.Files {
		if f.Path == "" || f.Rows < 0 || f.Bytes < 0 {
			return fmt.Errorf("manifest: file %q with %d rows and %d bytes", f.Path, f.Rows, f.Bytes)
		}
		if !strings.Contains(f.Path, "://") && (path.IsAbs(f.Path) || slices.Contains(strings.Split(f.Path, "/"), "..")) {
			return fmt.Errorf("manifest: file %q lies outside its folder", f.Path)
		}
		rows += f.Rows
	}
	switch {
	case rows != m.Rows:
		return fmt.Errorf("manifest: the files have %d rows, the dataset %d", rows, m.Rows)
	case m.Run == "" || m.Step == "" || m.Attempt < 1:
		return fmt.Errorf("manifest: run %q, step %q, attempt %d", m.Run, m.Step, m.Attempt)
	case m.Rejected < 0:
		return fmt.Errorf("manifest: %d rejected", m.Rejected)
	}
	seen := map[string]bool{}
	for _, c := range m.Schema {
		if c.Name == "" || c.Type == "" || seen[c.Name] {
			return fmt.Errorf("manifest: column %q of type %q, twice: %t", c.Name, c.Type, seen[c.Name])
		}
		seen[c.Name] = true
	}
	return nil
}

// Write writes the manifest of an attempt's folder: from then on the dataset exists. An
// attempt that has a manifest keeps it: Conflict.
func (s Store) Write(ctx context.Context, dir string, m *flow.Manifest) (uri string, err error) {
	text, err := EncodeManifest(m)
	if err != nil {
		return "", err
	}
	rel := dir + "/" + ManifestName
	if _, err := write(ctx, s.Bucket, s.Name(rel), text, flow.Condition{IfAbsent: true}); err != nil {
		return "", err
	}
	return s.URIOf(rel), nil
}

// Read reads a manifest by its URI, and the hash of its bytes. What lies outside this
// store is asked of the lookup, which may be nil.
func (s Store) Read(ctx context.Context, look flow.Lookup, uri string) (*Dataset, error) {
	b, name := s.Bucket, ""
	if rel, ok := s.Rel(uri); ok {
		name = s.Name(rel)
	} else if look != nil {
		var err error
		if b, name, err = look.Bucket(ctx, uri); err != nil {
			return nil, err
		}
	} else {
		return nil, &flow.Error{Op: "read " + uri, Kind: flow.Invalid, Err: fmt.Errorf("not in the store %s", s.URI)}
	}
	text, err := read(ctx, b, name)
	if err != nil {
		return nil, err
	}
	m, err := DecodeManifest(uri, text)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return &Dataset{Manifest: m, URI: uri, SHA256: hex.EncodeToString(sum[:]), bucket: b, dir: path.Dir(name)}, nil
}

// Dataset is a manifest that was read, and where its files are.
type Dataset struct {
	*flow.Manifest
	URI    string
	SHA256 string

	bucket flow.Bucket
	dir    string
}

// Input is the dataset as the manifest of what is made from it has it.
func (d *Dataset) Input() flow.Input { return flow.Input{Manifest: d.URI, SHA256: d.SHA256} }

// Place is where one of the dataset's files lies.
func (d *Dataset) Place(ctx context.Context, look flow.Lookup, f flow.File) (flow.Bucket, string, error) {
	if strings.Contains(f.Path, "://") {
		if look == nil {
			return nil, "", &flow.Error{Op: "read " + f.Path, Kind: flow.Invalid, Err: errors.New("nobody knows its bucket")}
		}
		return look.Bucket(ctx, f.Path)
	}
	return d.bucket, path.Join(d.dir, f.Path), nil
}

// Verify looks whether all files are there as the manifest has them.
func (d *Dataset) Verify(ctx context.Context, look flow.Lookup) error {
	for _, f := range slices.Concat(d.Files, d.Rejects) {
		b, name, err := d.Place(ctx, look, f)
		if err != nil {
			return err
		}
		o, err := b.Stat(ctx, name)
		if err != nil {
			return err
		}
		if o.Size != f.Bytes || f.ETag != "" && o.ETag != "" && o.ETag != f.ETag {
			return &flow.Error{Op: "verify " + d.URI, Kind: flow.Invalid, Err: fmt.Errorf("file %s has %d bytes, the manifest says %d, or it was changed", f.Path, o.Size, f.Bytes),
				Hint: "Run the step again with --again."}
		}
	}
	return nil
}

// SlotOf is the slot in which a manifest lies, by its URI.
func (s Store) SlotOf(uri string) (flow.Slot, bool) {
	rel, ok := s.Rel(uri)
	rel, below := strings.CutPrefix(rel, "data/")
	parts := strings.SplitN(rel, "/", 4)
	if !ok || !below || len(parts) < 4 {
		return flow.Slot{}, false
	}
	return ParseSlot(strings.Join(parts[:3], "/"))
}

// ParseSlot reads a slot's folder below data/.
func ParseSlot(dir string) (flow.Slot, bool) {
	parts := strings.Split(dir, "/")
	if len(parts) != 3 {
		return flow.Slot{}, false
	}
	at, params, _ := strings.Cut(parts[2], "-")
	if _, err := flow.ParseTimeName(at); err != nil {
		return flow.Slot{}, false
	}
	return flow.Slot{Pipeline: parts[0], Step: parts[1], Time: at, Params: params}, true
}
