// Package move holds the tasks between systems that need no engine: copy, exists, run, fetch, index.
package move

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
)

// Config is what the tasks are given.
type Config struct {
	Lookup flow.Lookup
	Store  dataset.Store
	// Source opens a connection that is read: a flow.Source or a flow.Pages, the task's to close.
	Source func(ctx context.Context, connection string) (any, error)
	Sink   func(ctx context.Context, connection string) (flow.Sink, error) // opens it, or gives the open one
	Dir    string                                                          // the project's folder: run starts in it
	Temp   string                                                          // scratch folder of fetch; empty: the system's
	// PartBytes is about how large a fetched dataset's file grows before the next begins; 0: 256 MiB.
	PartBytes int64
	// Resolve puts the values of ${…} into the environment of a run; nil leaves them.
	Resolve func(ctx context.Context, text string) (string, error)
	// Node finds the program of cluster nodes by its file's name; nil: there is none.
	Node   func(name string) (string, error)
	Client *http.Client  // for https:// sources; nil: one with sensible limits
	Grace  time.Duration // between asking a program of run to end and killing it; 0: ten seconds
}

// grace is how long a program may take to end by itself.
const grace = 10 * time.Second

type mover struct{ Config }

// Tasks returns the tasks by verb.
func Tasks(c Config) map[string]flow.TaskFunc {
	m := &mover{c}
	if m.Client == nil {
		m.Client = newClient()
	}
	if m.PartBytes == 0 {
		m.PartBytes = 256 << 20
	}
	if m.Grace == 0 {
		m.Grace = grace
	}
	return map[string]flow.TaskFunc{"copy": m.copy, "exists": m.exists, "run": m.run, "stage": m.stage, "fetch": m.fetchData, "index": m.index}
}

// newClient bounds connecting and the wait for an answer, not the body: files are large.
func newClient() *http.Client {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return &http.Client{}
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = time.Minute
	t.DisableCompression = true // the file is wanted as it lies there
	return &http.Client{Transport: t}
}

// arguments reads a job; what cannot be read was written by a faulty compiler or by hand.
func arguments(r flow.Request, job any) error {
	if err := json.Unmarshal(r.Arguments, job); err != nil {
		return &flow.Error{Op: "read the arguments of " + r.State, Kind: flow.Invalid, Err: err}
	}
	return nil
}

func invalid(op, text, hint string) error {
	return &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
}

// existing is the output of exists. Of several files, the sum and no ETag.
type existing struct {
	URI   string `json:"uri"`
	Bytes int64  `json:"bytes"`
	ETag  string `json:"etag,omitempty"`
	Files int    `json:"files,omitempty"`
}

func (m *mover) exists(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var job flow.ExistsJob
	if err := arguments(r, &job); err != nil {
		return nil, err
	}
	if web(job.URI) {
		return m.existsOnWeb(ctx, job.URI)
	}
	s, err := m.find(ctx, "look for", job.URI)
	if err != nil {
		return nil, err
	}
	out := existing{URI: job.URI}
	if s.single {
		o := s.files[0].Object
		out.Bytes, out.ETag = o.Size, o.ETag
		return json.Marshal(out)
	}
	for _, f := range s.files {
		out.Bytes += f.Size
	}
	out.Files = len(s.files)
	return json.Marshal(out)
}

func (m *mover) existsOnWeb(ctx context.Context, uri string) (json.RawMessage, error) {
	resp, err := m.fetch(ctx, http.MethodHead, uri, 0, "")
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() //nolint:errcheck // HEAD has none
	return json.Marshal(existing{URI: uri, Bytes: max(resp.ContentLength, 0), ETag: resp.Header.Get("ETag")})
}
