package duckdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tidemill/tidemill/internal/conform/broken"
	filebucket "github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// project is a folder with a store, and the texts of a machine. s3://B/NAME is a bucket in
// it that hides that its objects are files.
type project struct {
	t      *testing.T
	root   string
	bucket *filebucket.Bucket
	break_ *broken.Bucket // between the tasks and the bucket, if set
	mu     sync.Mutex
	texts  map[string]string
	runs   int
	memory string
	later  time.Duration // how far the store's clock is ahead
}

func newProject(t *testing.T) *project {
	t.Helper()
	root := t.TempDir()
	return &project{t: t, root: root, bucket: filebucket.New(root), texts: map[string]string{}, memory: "1GB"}
}

type remote struct{ flow.Bucket }

func (r remote) Remove(ctx context.Context, names ...string) error {
	return r.Bucket.(flow.Remover).Remove(ctx, names...)
}

func (p *project) Bucket(_ context.Context, uri string) (flow.Bucket, string, error) {
	var b flow.Bucket = p.bucket
	if p.break_ != nil {
		p.break_.Bucket = p.bucket
		b = p.break_
	}
	if name, ok := strings.CutPrefix(uri, "s3://b/"); ok {
		return remote{b}, "s3/" + name, nil
	}
	return b, strings.TrimPrefix(uri, "./"), nil
}

func (p *project) Text(_ context.Context, hash string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, ok := p.texts[hash]
	if !ok {
		return "", &flow.Error{Kind: flow.NotFound, Err: fmt.Errorf("no text %s", hash)}
	}
	return text, nil
}

func (p *project) sql(text string, values ...any) *flow.SQLText {
	sum := sha256.Sum256([]byte(text))
	p.mu.Lock()
	defer p.mu.Unlock()
	h := hex.EncodeToString(sum[:])
	p.texts[h] = text
	return &flow.SQLText{Hash: h, Values: values}
}

func (p *project) put(name, text string) {
	p.t.Helper()
	to := filepath.Join(p.root, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(text), 0o666); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) config() TaskConfig {
	return TaskConfig{Lookup: p, Store: dataset.Store{Bucket: p.bucket, Prefix: ".tidemill", URI: ".tidemill", Now: func() time.Time { return time.Now().Add(p.later) }}, Session: Config{Memory: p.memory, Threads: 2}, Temp: filepath.Join(p.root, "tmp")}
}

func (p *project) request(arguments any) flow.Request {
	p.t.Helper()
	p.mu.Lock()
	p.runs++
	n := p.runs
	p.mu.Unlock()
	text, err := json.Marshal(arguments)
	if err != nil {
		p.t.Fatal(err)
	}
	run := fmt.Sprintf("shop-20171106-abcdef-%d", n+1)
	return flow.Request{Key: run + "/s/1", Run: run, State: "s", Attempt: 1, Arguments: text, Log: io.Discard, Progress: func(flow.Progress) {}}
}

func slotAt(step, day string) flow.Slot {
	return flow.Slot{Pipeline: "shop", Step: step, Time: day + "T000000Z"}
}

// run runs a dataset job and gives its output.
func (p *project) run(j flow.DatasetJob) (flow.Output, error) {
	p.t.Helper()
	if j.Slot.Step == "" {
		j.Slot = slotAt("orders", "20171106")
	}
	if j.Engine == "" {
		j.Engine = "duckdb"
	}
	return p.runWith(p.config(), j)
}

func (p *project) runWith(c TaskConfig, j flow.DatasetJob) (flow.Output, error) {
	p.t.Helper()
	text, err := Tasks(c)["extract"](p.t.Context(), p.request(j))
	if err != nil {
		return flow.Output{}, err
	}
	var out flow.Output
	if err := json.Unmarshal(text, &out); err != nil {
		p.t.Fatal(err)
	}
	return out, nil
}

// must is run for a job that has to succeed.
func (p *project) must(j flow.DatasetJob) flow.Output {
	p.t.Helper()
	out, err := p.run(j)
	if err != nil {
		p.t.Fatalf("%v\nhint: %s", err, flow.HintOf(err))
	}
	return out
}

// publish makes a dataset current.
func (p *project) publish(slot flow.Slot, out flow.Output) {
	p.t.Helper()
	err := p.config().Store.Publish(p.t.Context(), "test", flow.PublishJob{Datasets: []string{out.Manifest}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// rows reads a dataset's rows as sorted NDJSON lines, and its manifest.
func (p *project) rows(manifest string) ([]string, *dataset.Dataset) {
	p.t.Helper()
	d, err := p.config().Store.Read(p.t.Context(), p, manifest)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := d.Verify(p.t.Context(), p); err != nil {
		p.t.Fatal(err)
	}
	return p.parquet(d, d.Files), d
}

func (p *project) parquet(d *dataset.Dataset, files []flow.File) []string {
	p.t.Helper()
	out := []string{}
	for _, f := range files {
		b, name, err := d.Place(p.t.Context(), p, f)
		if err != nil {
			p.t.Fatal(err)
		}
		_, batches, err := format.ReadParquet(p.t.Context(), b, name)
		if err != nil {
			p.t.Fatal(err)
		}
		for batch, err := range batches {
			if err != nil {
				p.t.Fatal(err)
			}
			var text strings.Builder
			if err := format.WriteNDJSON(&text, batch); err != nil {
				p.t.Fatal(err)
			}
			batch.Release()
			out = append(out, strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")...)
		}
	}
	slices.Sort(out)
	return out
}

func cols(pairs ...string) flow.Schema {
	var s flow.Schema
	for _, p := range pairs {
		n, t, _ := strings.Cut(p, " ")
		s = append(s, flow.Column{Name: n, Type: t, Nullable: true})
	}
	return s
}

func show(s flow.Schema) string {
	var out []string
	for _, c := range s {
		out = append(out, c.Name+" "+c.Type)
	}
	return strings.Join(out, "|")
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) //nolint:errcheck // into memory
	_ = w.Close()                  //nolint:errcheck // into memory
	return b.String()
}

func zstdOf(text string) string {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(e.EncodeAll([]byte(text), nil))
}
