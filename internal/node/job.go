package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// Job is what a node is given to do. It lies in the store and holds no secret: connections
// have references, which the node reads with its role.
type Job struct {
	Verb        string                `json:"verb"`
	Arguments   json.RawMessage       `json:"arguments"`
	Out         string                `json:"out"` // URI of the folder that receives STEP/output.json
	Store       string                `json:"store,omitempty"`
	KMSKey      string                `json:"kms_key,omitempty"` // of what is written to the store
	WaitFor     int                   `json:"wait_for,omitempty"`
	WaitEvery   int                   `json:"wait_every,omitempty"`  // seconds, both: the input may be late
	Texts       map[string]string     `json:"texts,omitempty"`       // SQL texts by hash
	Connections map[string]Connection `json:"connections,omitempty"` // by name
	Files       map[string]string     `json:"files,omitempty"`       // texts of the project, by path
}

// Connection is a connection as a node is told it.
type Connection struct {
	Type     string        `json:"type"`
	Settings flow.Settings `json:"settings,omitempty"`
}

// verbs are the tasks that a node does.
var verbs = []string{"copy", "exists", "fetch", "index"}

// Delegate does here what a task needs before and after it is done on a node.
type Delegate struct {
	Lookup flow.Lookup
	Store  dataset.Store
	KMSKey string
	// Connection gives a connection without its secrets: references stand in their places.
	Connection func(name string) (Connection, error)
}

// Tasks returns the tasks by verb: delegate lays a job into the store, collect takes what the
// node left.
func (d Delegate) Tasks() map[string]flow.TaskFunc {
	return map[string]flow.TaskFunc{"delegate": d.delegate, "collect": d.collect}
}

// delegation is the arguments of delegate.
type delegation struct {
	Verb      string          `json:"verb"`
	Arguments json.RawMessage `json:"arguments"`
	WaitFor   int             `json:"wait_for"`
	WaitEvery int             `json:"wait_every"`
}

// wanted is what a job's arguments name of this machine.
type wanted struct {
	Connection string       `json:"connection"`
	Slot       flow.Slot    `json:"slot"`
	Extract    flow.Extract `json:"extract"`
}

func (d Delegate) delegate(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var in delegation
	var want wanted
	if err := errors.Join(json.Unmarshal(r.Arguments, &in), json.Unmarshal(in.Arguments, &want)); err != nil {
		return nil, &flow.Error{Op: "read the arguments of " + r.State, Kind: flow.Invalid, Err: err}
	}
	job := Job{Verb: in.Verb, Arguments: in.Arguments, Out: d.Store.URIOf("runs"), Store: d.Store.URI, KMSKey: d.KMSKey, WaitFor: in.WaitFor, WaitEvery: in.WaitEvery,
		Connections: map[string]Connection{}, Files: map[string]string{}, Texts: map[string]string{}}
	if q := want.Extract.Query; q != nil {
		text, err := d.Lookup.Text(ctx, q.Hash)
		if err != nil {
			return nil, err
		}
		job.Texts[q.Hash] = text
	}
	if want.Slot.Step != "" {
		if err := d.file(ctx, &job, format.SchemaPath(want.Slot.Pipeline, strings.TrimSuffix(want.Slot.Step, flow.ExtractSuffix)), false); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{want.Connection, want.Extract.Connection} {
		if name == "" {
			continue
		}
		if err := d.connect(ctx, &job, name); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("write the job: %w", err)
	}
	sum := sha256.Sum256(text)
	at := "files/" + hex.EncodeToString(sum[:])[:32] + "/job.json"
	if err := put(ctx, d.Store.Bucket, d.Store.Name(at), text); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"job": d.Store.URIOf(at)})
}

// connect adds a connection to a job, the aws connection that it names, and its certificate.
func (d Delegate) connect(ctx context.Context, job *Job, name string) error {
	c, err := d.Connection(name)
	if err != nil {
		return err
	}
	if file, ok := c.Settings["ca"].(string); ok && file != "" {
		if err := d.file(ctx, job, file, true); err != nil {
			return err
		}
		at := "ca/" + path.Base(file)
		job.Files[at] = job.Files[file]
		delete(job.Files, file)
		c.Settings["ca"] = at
	}
	job.Connections[name] = c
	auth, _ := c.Settings["auth"].(map[string]any)
	sign, _ := auth["aws"].(map[string]any)
	if signer, ok := sign["connection"].(string); ok && signer != "" {
		as, err := d.Connection(signer)
		if err != nil {
			return err
		}
		job.Connections[signer] = as
	}
	return nil
}

// file adds a file of the project to a job.
func (d Delegate) file(ctx context.Context, job *Job, name string, must bool) error {
	b, at, err := d.Lookup.Bucket(ctx, name)
	if err != nil {
		return err
	}
	in, err := b.Open(ctx, at, 0, -1)
	if flow.KindOf(err) == flow.NotFound && !must {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(in, 16<<20))
	job.Files[name] = string(text)
	return errors.Join(err, in.Close())
}

// collect gives what a node's task made, and keeps the schema that it decided in the project.
func (d Delegate) collect(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var in struct {
		Step string `json:"step"` // RUN/STATE[ITEM]/ATTEMPT
	}
	if err := json.Unmarshal(r.Arguments, &in); err != nil {
		return nil, &flow.Error{Op: "read the arguments of " + r.State, Kind: flow.Invalid, Err: err}
	}
	body, err := d.Store.Bucket.Open(ctx, d.Store.Name("runs/"+in.Step+"/output.json"), 0, -1)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	left, err := flow.ReadOutcome(text)
	if err != nil {
		return nil, err
	}
	for name, text := range left.Files {
		if err := d.keep(ctx, name, text); err != nil {
			return nil, err
		}
	}
	return left.Outputs, nil
}

func (d Delegate) keep(ctx context.Context, name, text string) error {
	if clean := path.Clean(name); clean != name || !strings.HasPrefix(name, "schemas/") {
		return &flow.Error{Op: "keep " + name, Kind: flow.Invalid, Err: errors.New("a node decides schemas alone")}
	}
	b, at, err := d.Lookup.Bucket(ctx, name)
	if err != nil {
		return err
	}
	w, err := b.Create(ctx, at, flow.Condition{IfAbsent: true})
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return errors.Join(err, w.Abort())
	}
	if _, err := w.Commit(); err != nil && flow.KindOf(err) != flow.Conflict {
		return err
	}
	return nil
}
