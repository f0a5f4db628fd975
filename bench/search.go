package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/tidemill/tidemill/internal/conform/parts"
	filebucket "github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/connect/opensearch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// searchSchema is that of documents of about 226 bytes.
var searchSchema = flow.Schema{{Name: "order_line_id", Type: "bigint"}, {Name: "customer_id", Type: "string"}, {Name: "order_date", Type: "date"}, {Name: "region", Type: "string"},
	{Name: "product", Type: "string"}, {Name: "quantity", Type: "int"}, {Name: "amount", Type: "decimal(12,2)"}, {Name: "status", Type: "string"}, {Name: "note", Type: "string"}}

// searchFields are what the loads say of fields beyond their types: codes are found as a whole,
// notes by word. All three load under the same mapping.
const searchFields = `{"customer_id": "keyword", "region": "keyword", "status": "keyword", "note": "text"}`

// searchIndex is the body that makes a rival's index.
func searchIndex() ([]byte, error) {
	var fields map[string]string
	if err := json.Unmarshal([]byte(searchFields), &fields); err != nil {
		return nil, err
	}
	mapping := opensearch.MappingOf(searchSchema)
	for name, kind := range fields {
		mapping["properties"].(map[string]any)[name] = map[string]any{"type": kind}
	}
	return json.Marshal(map[string]any{"settings": map[string]any{"index": map[string]any{"refresh_interval": "-1"}}, "mappings": mapping})
}

// rawWorkers send the rival's bodies: as many as fill the node.
const rawWorkers = 2

// pythonBulk is the stock client as its users write it.
const pythonBulk = `
import json, sys
from opensearchpy import OpenSearch, helpers
url, index, file, made = sys.argv[1:]
client = OpenSearch([url], timeout=120)
client.indices.delete(index=index, ignore=[404])
client.indices.create(index=index, body=json.loads(made))
def actions():
    with open(file) as f:
        for head in f:
            yield {"_index": index, "_id": json.loads(head)["index"]["_id"], "_source": json.loads(next(f))}
for ok, item in helpers.parallel_bulk(client, actions(), thread_count=2, chunk_size=5000):
    assert ok, item
client.indices.refresh(index=index)
`

// search: a dataset into a real OpenSearch node; the rivals are the same documents as bodies
// that were made before, over plain HTTP, and the stock Python client.
func search(ctx context.Context, s settings) error {
	parquet, ndjson := filepath.Join(s.dir, fmt.Sprintf("docs%d.parquet", s.docs)), filepath.Join(s.dir, fmt.Sprintf("docs%d.ndjson", s.docs))
	if err := makeDocs(ctx, parquet, ndjson, s.docs); err != nil {
		return err
	}
	python, err := parts.Dir(s.cache, "opensearch-py-3.0.0")
	if err != nil {
		return err
	}
	data, err := os.MkdirTemp(s.dir, "node-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data) //nolint:errcheck // scratch
	url, stop, err := parts.SearchNode(ctx, s.cache, parts.OpenSearch, data)
	if err != nil {
		return err
	}
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	docs := strconv.Itoa(s.docs)
	made, err := searchIndex()
	if err != nil {
		return err
	}
	for range 2 { // a node that has just started is slow
		if _, err := spend(ctx, s.dir, self, "child", "raw", url, ndjson); err != nil {
			return err
		}
	}
	c, err := medians(ctx, s.rounds, s.dir, []string{self, "child", "search", url, parquet, docs}, []string{self, "child", "raw", url, ndjson},
		[]string{self, "child", "search", url, parquet, docs, "gzip"}, []string{filepath.Join(python, "bin", "python"), "-c", pythonBulk, url, "py", ndjson, string(made)})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("search%dk", s.docs/1000)
	rate := func(c cost) float64 { return float64(s.docs) / c.seconds }
	figure(name, rate(c[0]), "docs/s", "raw-bodies", rate(c[1]))
	figure(name, rate(c[0]), "docs/s", "opensearch-py", rate(c[3]))
	figure(name+"_cpu", c[0].cpu, "s", "opensearch-py", c[3].cpu)
	figure(name+"_gzip_cpu", c[2].cpu, "s", "opensearch-py", c[3].cpu)
	figure(name+"_memory", c[0].mb, "MB", "opensearch-py", c[3].mb)
	many := filepath.Join(s.dir, fmt.Sprintf("docs%d.parquet", 10*s.docs))
	if err := makeParquet(ctx, many, 10*s.docs); err != nil {
		return err
	}
	ten, err := spend(ctx, s.dir, self, "child", "search", url, many, strconv.Itoa(10*s.docs))
	if err != nil {
		return err
	}
	figure(fmt.Sprintf("search%dk_memory", s.docs/100), ten.mb, "MB", name, c[0].mb)
	return nil
}

// makeDocs makes the dataset's file and the rival's bodies.
func makeDocs(ctx context.Context, parquet, ndjson string, n int) error {
	if err := makeParquet(ctx, parquet, n); err != nil {
		return err
	}
	if _, err := os.Stat(ndjson); err == nil {
		return nil
	}
	out, err := os.Create(ndjson + ".new")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 1<<20)
	for batch, err := range fileRows(ctx, parquet)() {
		if err != nil {
			return err
		}
		o := format.NewObjects(batch, false)
		var b []byte
		for i := range int(batch.NumRows()) {
			b = append(b[:0], `{"index":{"_id":"`...)
			b = append(b, format.Text(batch.Column(0), i)...)
			b = append(o.Append(append(b, "\"}}\n"...), i), '\n')
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		batch.Release()
	}
	if err := errors.Join(w.Flush(), out.Close()); err != nil {
		return err
	}
	return os.Rename(ndjson+".new", ndjson)
}

func makeParquet(ctx context.Context, file string, n int) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`COPY (SELECT i::BIGINT AS order_line_id, 'C' || (i * 7919 %% 250000) AS customer_id, DATE '2017-11-01' + (i %% 28)::INT AS order_date,
['north', 'south', 'east', 'west'][1 + i %% 4] AS region, 'Product ' || (i %% 5000) AS product, (i %% 9 + 1)::INT AS quantity, ((i * 31 %% 100000) / 100.0)::DECIMAL(12,2) AS amount,
'shipped' AS status, 'left at the door of house ' || (i %% 997) AS note FROM range(%d) t(i)) TO '%s' (FORMAT parquet)`, n, file+".new"))
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func fileRows(ctx context.Context, parquet string) flow.Rows {
	return func() iter.Seq2[flow.Batch, error] {
		_, rows, err := format.ReadParquet(ctx, filebucket.New(filepath.Dir(parquet)), filepath.Base(parquet))
		if err != nil {
			return func(yield func(flow.Batch, error) bool) { yield(nil, err) }
		}
		return rows
	}
}

// searchChild is search URL PARQUET ROWS [gzip]: a swap of everything.
func searchChild(ctx context.Context, args []string) error {
	rows, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return err
	}
	s, err := opensearch.New(opensearch.Settings{URL: args[1], Gzip: len(args) > 4}, nil)
	if err != nil {
		return err
	}
	w := flow.Write{Load: flow.Load{Pipeline: "bench", Step: "search", Time: "20171106T000000Z"}, Run: "r", Attempt: 1, Mode: "swap", Period: "all", Index: "ours", Schema: searchSchema, Mapping: json.RawMessage(searchFields), Count: rows,
		ID: []string{"order_line_id"}, Log: io.Discard, Progress: func(flow.Progress) {}, Dead: func(d flow.DeadLetter) error { return errors.New(d.Reason) }}
	staged, err := s.Stage(ctx, w, fileRows(ctx, args[2]))
	if err != nil {
		return err
	}
	_, err = s.Flip(ctx, w, staged, fileRows(ctx, args[2]))
	return errors.Join(err, s.Close())
}

// searchRaw is raw URL NDJSON: bodies of 5 MB as they lie in the file, by a few workers.
func searchRaw(ctx context.Context, args []string) error {
	made, err := searchIndex()
	if err != nil {
		return err
	}
	for _, r := range []struct{ method, path, body string }{{"DELETE", "/raw?ignore_unavailable=true", ""}, {"PUT", "/raw", string(made)}} {
		if err := post(ctx, r.method, args[1]+r.path, []byte(r.body)); err != nil {
			return err
		}
	}
	file, err := os.Open(args[2])
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	bodies := make(chan []byte, 1)
	var failed error
	var once sync.Once
	var senders sync.WaitGroup
	for range rawWorkers {
		senders.Go(func() {
			for b := range bodies {
				if err := post(ctx, "POST", args[1]+"/raw/_bulk", b); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	lines := bufio.NewReaderSize(file, 1<<20)
	var body []byte
	for n := 0; ; n++ {
		line, err := lines.ReadSlice('\n')
		if body = append(body, line...); err != nil || len(body) > 5<<20 && n%2 == 1 {
			if len(body) > 0 {
				bodies <- body
			}
			body = make([]byte, 0, 5<<20+1024)
		}
		if err != nil {
			break
		}
	}
	close(bodies)
	senders.Wait()
	return errors.Join(failed, post(ctx, "POST", args[1]+"/raw/_refresh", nil))
}

func post(ctx context.Context, method, url string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	head := make([]byte, 64)
	n, _ := io.ReadFull(resp.Body, head) //nolint:errcheck // a short answer is whole
	if resp.StatusCode >= 300 || bytes.Contains(head[:n], []byte(`"errors":true`)) {
		err = fmt.Errorf("%s %s: %s %s", method, url, resp.Status, head[:n])
	}
	_, cerr := io.Copy(io.Discard, resp.Body)
	return errors.Join(err, cerr, resp.Body.Close())
}
