package flow

import (
	"context"
	"encoding/json"
	"io"
	"iter"
)

// Sink is an outside system that takes documents: a search cluster, an embedded index.
// Writing an equal Write again leaves the same documents, whatever an earlier one that
// failed left behind.
type Sink interface {
	// Stage writes aside what can be written aside, and checks what it left against the rows.
	// Nobody reads it yet. What Flip needs to find it again is in the Receipt.
	Stage(ctx context.Context, w Write, rows Rows) (Receipt, error)
	// Flip makes what Stage left visible. Modes that write in place do so now and read the
	// rows (again). To repeat it is harmless.
	Flip(ctx context.Context, w Write, staged Receipt, rows Rows) (Receipt, error)
	// Find returns what readers find: the documents that a query in the sink's own words
	// matches, the best first.
	Find(ctx context.Context, index, query string, most int) (Hits, error)
	Close() error
}

// Rows are batches that may be read more than once; each reading begins anew.
type Rows func() iter.Seq2[Batch, error]

// Write is one load into a Sink.
type Write struct {
	Load
	Run     string // with Attempt what tells this writing from another of the same load
	Attempt int
	Mode    string // swap, upsert, mirror
	Period  string // what swap replaces: "all", a day "2017-11-06", a month "2017-11"
	Index   string // the name that readers use
	Schema  Schema // of the rows
	Count   int64  // of the rows
	ID      []string
	Mapping json.RawMessage // overrides, by field: a type, or the mapping's own words
	Version string          // upsert: a column; a document of a smaller value never replaces one of a greater
	Delete  string          // upsert: a boolean column; rows where it is true delete their documents
	KeepOld int             // swap: how many earlier indexes stay
	// MaxDelete is how many documents mirror may delete; nil is any number.
	MaxDelete *Limit

	Log      io.Writer              // the attempt's log; never nil
	Progress func(Progress)         // never nil
	Dead     func(DeadLetter) error // told of each document that the system refuses; an error ends the writing
}

// DeadLetter is a document that a sink refused.
type DeadLetter struct {
	Row      int64  // its place among the rows, from 1
	ID       string // of the document
	Reason   string // in the sink's words
	Document []byte // as it was sent
}

// Receipt is what a Sink says of a write: Read = Written + Older + Rejected.
type Receipt struct {
	Read       int64  `json:"read"`
	Written    int64  `json:"written"`              // documents written, or deleted because a row said so
	Older      int64  `json:"older,omitempty"`      // upsert with version: rows that met a newer document
	Rejected   int64  `json:"rejected,omitempty"`   // see DeadLetter
	Gone       int64  `json:"gone,omitempty"`       // mirror: documents deleted because no row has them
	Bytes      int64  `json:"bytes,omitempty"`      // of documents sent
	Place      string `json:"place,omitempty"`      // what Stage made
	Superseded bool   `json:"superseded,omitempty"` // a later logical time had been flipped: this one was not
}

// Hits are what a query finds.
type Hits struct {
	Total int64             `json:"total"`
	Docs  []json.RawMessage `json:"docs"` // the documents as they were written
	IDs   []string          `json:"ids"`
}

// IndexJob loads a dataset into a Sink. Verb: index. Phase is as in LoadJob; flip is given
// stage's output as Staged.
type IndexJob struct {
	Load       Load            `json:"load"`
	From       string          `json:"from"` // manifest URI
	Connection string          `json:"connection"`
	Index      string          `json:"index"`
	Mode       string          `json:"mode"`
	Period     string          `json:"period,omitempty"`
	ID         []string        `json:"id,omitempty"`
	Mapping    json.RawMessage `json:"mapping,omitempty"`
	Version    string          `json:"version,omitempty"`
	Delete     string          `json:"delete,omitempty"`
	KeepOld    int             `json:"keep_old,omitempty"`
	MaxDelete  *Limit          `json:"max_delete,omitempty"`
	Rejects    Limit           `json:"rejects"`
	Phase      string          `json:"phase,omitempty"`
	Staged     json.RawMessage `json:"staged,omitempty"`
}

// IndexOutput is what an index job leaves in the machine's data.
type IndexOutput struct {
	Receipt
	To       string   `json:"to"` // CONNECTION/INDEX
	Rows     int64    `json:"rows"`
	Staged   string   `json:"staged,omitempty"` // phase stage: what the flip makes visible
	Warnings []string `json:"warnings,omitempty"`
}
