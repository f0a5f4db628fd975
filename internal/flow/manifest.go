package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Column is a column of a dataset; Type is in Spark's words: string, bigint, decimal(12,2),
// array<struct<a:int>>.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
}

// Schema is the columns of a dataset in their order.
type Schema []Column

// Hash is sixteen characters that are equal for equal names, types and order.
func (s Schema) Hash() string {
	h := sha256.New()
	for _, c := range s {
		h.Write([]byte(c.Name + "\x00" + c.Type + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// File is one file of a dataset. Path is relative to the manifest's folder, or a URI.
type File struct {
	Path   string `json:"path"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	ETag   string `json:"etag,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// Input is a manifest that a dataset was made from.
type Input struct {
	Manifest string `json:"manifest"` // URI
	SHA256   string `json:"sha256"`   // of the manifest's bytes
}

// ManifestVersion is the version of the manifest format that this program writes.
const ManifestVersion = 1

// Manifest makes a dataset exist: it is written last. It lies as manifest.json beside the files.
type Manifest struct {
	Version  int       `json:"version"`
	Run      string    `json:"run"`
	Step     string    `json:"step"`
	Attempt  int       `json:"attempt"`
	Time     string    `json:"time"` // the logical time, RFC 3339
	Created  time.Time `json:"created"`
	Files    []File    `json:"files"`
	Rows     int64     `json:"rows"`
	Rejected int64     `json:"rejected"`
	Read     int64     `json:"read,omitempty"`    // records at the source, before any grouping
	Rejects  []File    `json:"rejects,omitempty"` // the rejected rows with their reasons
	Schema   Schema    `json:"schema"`
	Inputs   []Input   `json:"inputs,omitempty"`
}

// Bytes is the size of all files.
func (m *Manifest) Bytes() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Output is what a step that makes a dataset leaves in the machine's data.
type Output struct {
	Manifest   string   `json:"manifest"` // URI
	Rows       int64    `json:"rows"`
	Bytes      int64    `json:"bytes"`
	SchemaHash string   `json:"schema_hash"`
	Read       int64    `json:"read,omitempty"` // records of an extract at the source
	Rejected   int64    `json:"rejected,omitempty"`
	Cursor     string   `json:"cursor,omitempty"`   // the greatest value of the extract's cursor column; publish moves the mark to it
	Warnings   []string `json:"warnings,omitempty"` // what a person should know: checks of severity warn, a schema file written
	Skipped    bool     `json:"skipped,omitempty"`  // on_empty: skip, and there was nothing
}
