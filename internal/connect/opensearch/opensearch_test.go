package opensearch

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

var testSchema = flow.Schema{{Name: "id", Type: "bigint"}, {Name: "name", Type: "string"}}

func testWrite(mode, index string, n int) flow.Write {
	return flow.Write{Load: flow.Load{Pipeline: "shop", Step: "search", Time: "20171106T060000Z"}, Run: "r1", Attempt: 1, Mode: mode, Period: "all", Index: index,
		Schema: testSchema, Count: int64(n), ID: []string{"id"}, Log: io.Discard, Progress: func(flow.Progress) {}, Dead: func(flow.DeadLetter) error { return nil }}
}

func testRows(n int) flow.Rows {
	return namedRows(n, func(i int) string { return fmt.Sprint("row ", i) })
}

func namedRows(n int, name func(int) string) flow.Rows {
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "name", Type: arrow.BinaryTypes.String}}, nil)
	return func() iter.Seq2[flow.Batch, error] {
		return func(yield func(flow.Batch, error) bool) {
			for from := 0; from < n; from += 1000 {
				b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
				for i := from; i < min(n, from+1000); i++ {
					b.Field(0).(*array.Int64Builder).Append(int64(i))
					b.Field(1).(*array.StringBuilder).Append(name(i))
				}
				batch := b.NewRecordBatch()
				b.Release()
				if !yield(batch, nil) {
					return
				}
			}
		}
	}
}

// misfortune is what a request meets; true: it has answered.
type misfortune func(w http.ResponseWriter, r *http.Request, ids []string) bool

// cluster answers _bulk as both products do, from a script: what the n-th request meets.
type cluster struct {
	mu     sync.Mutex
	n      int
	docs   map[string]string
	faults []misfortune // of the n-th request
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			panic(err)
		}
		body = z
	}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 8<<20)
	var ids, docs []string
	for lines.Scan() {
		var a struct {
			Index struct {
				ID string `json:"_id"`
			} `json:"index"`
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			panic(err)
		}
		lines.Scan()
		ids, docs = append(ids, a.Index.ID), append(docs, lines.Text())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.n <= len(c.faults) && c.faults[c.n-1] != nil && c.faults[c.n-1](w, r, ids) {
		return
	}
	var items []string
	for i, id := range ids {
		c.docs[id] = docs[i]
		items = append(items, `{"index":{"_id":"`+id+`","status":201}}`)
	}
	answerWith(w, `{"took":1,"errors":false,"items":[`+strings.Join(items, ",")+"]}")
}

func answerWith(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// write sends n rows to a cluster that meets them with faults.
func (c *cluster) write(t *testing.T, n int, change func(*bulk)) (flow.Receipt, error) {
	t.Helper()
	c.docs = map[string]string{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	s, err := New(Settings{URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bulk{c: s.c, w: testWrite("upsert", "x", n), target: "x"}
	if change != nil {
		change(b)
	}
	return b.write(t.Context(), testRows(n))
}

// some answers that all but every k-th document were taken, which met the status.
func (c *cluster) some(k, status int, kind string) misfortune {
	return func(w http.ResponseWriter, _ *http.Request, ids []string) bool {
		var items []string
		for i, id := range ids {
			if i%k == 0 {
				items = append(items, fmt.Sprintf(`{"index":{"_id":%q,"status":%d,"error":{"type":%q,"reason":"planted"}}}`, id, status, kind))
				continue
			}
			c.docs[id] = "written"
			items = append(items, fmt.Sprintf(`{"index":{"_id":%q,"status":201}}`, id))
		}
		answerWith(w, `{"took":1,"errors":true,"items":[`+strings.Join(items, ",")+"]}")
		return true
	}
}

func refuse(status int, head ...string) misfortune {
	return func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
		for i := 0; i < len(head); i += 2 {
			w.Header().Set(head[i], head[i+1])
		}
		http.Error(w, `{"error":{"type":"planted_exception","reason":"no"},"status":1}`, status)
		return true
	}
}

// cut ends the connection in the middle of the answer, after the documents were taken.
func cut(w http.ResponseWriter, _ *http.Request, _ []string) bool {
	w.Header().Set("Content-Length", "10000")
	answerWith(w, `{"took":1,"errors":false,"items":[{"index":`)
	return true
}

// TestFaults: nothing is lost and nothing counted twice, whatever the cluster answers.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]func(*cluster) []misfortune{
		"none": func(*cluster) []misfortune { return nil },
		"documents 429": func(c *cluster) []misfortune {
			return []misfortune{c.some(3, 429, "es_rejected_execution_exception"), c.some(2, 503, "unavailable_shards_exception")}
		},
		"request 429":      func(*cluster) []misfortune { return []misfortune{refuse(429, "Retry-After", "1")} },
		"request 503":      func(*cluster) []misfortune { return []misfortune{refuse(503), refuse(502)} },
		"cut":              func(*cluster) []misfortune { return []misfortune{cut} },
		"disk nearly full": func(c *cluster) []misfortune { return []misfortune{c.some(1, 429, "cluster_block_exception")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, zip := range []bool{false, true} {
				c := &cluster{}
				c.faults = faults(c)
				r, err := c.write(t, 2500, func(b *bulk) { b.c.gzip = zip })
				if err != nil || r.Read != 2500 || r.Written != 2500 || r.Rejected != 0 || len(c.docs) != 2500 {
					t.Errorf("receipt %+v, %d documents there, %v", r, len(c.docs), err)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		fault misfortune
		kind  flow.Kind
		text  string
	}{
		"wrong password": {refuse(401), flow.Denied, "Look at auth"},
		"may not":        {refuse(403), flow.Denied, "may not do this"},
		"too large":      {refuse(413), flow.Invalid, "larger than the cluster takes"},
		"no index":       {refuse(404), flow.NotFound, ""},
		"nonsense":       {refuse(400), flow.Invalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &cluster{faults: []misfortune{x.fault}}
			_, err := c.write(t, 5, nil)
			if flow.KindOf(err) != x.kind || !strings.Contains(flow.HintOf(err), x.text) || !strings.Contains(err.Error(), "planted_exception: no") {
				t.Errorf("%v, kind %v, hint %q", err, flow.KindOf(err), flow.HintOf(err))
			}
		})
	}
}

// TestDeadLetters: each refused document is told with its row and its reason, and the rest is written.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	c := &cluster{}
	c.faults = []misfortune{c.some(1000, 400, "document_parsing_exception")}
	var dead []flow.DeadLetter
	r, err := c.write(t, 2500, func(b *bulk) {
		b.w.Dead = func(d flow.DeadLetter) error {
			dead = append(dead, d)
			return nil
		}
	})
	if err != nil || r.Written != 2497 || r.Rejected != 3 || r.Read != 2500 {
		t.Fatalf("receipt %+v, %v", r, err)
	}
	if d := dead[1]; d.Row != 1001 || d.ID != "1000" || d.Reason != "document_parsing_exception: planted" || !bytes.Equal(d.Document, []byte(`{"id":1000,"name":"row 1000"}`)) {
		t.Errorf("%+v %s", d, d.Document)
	}
}

// TestCancelWhileBusy: a load ends with its context though the cluster refuses everything.
func TestCancelWhileBusy(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { refuse(429)(w, r, nil) }))
	defer server.Close()
	s, err := New(Settings{URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { cancel(stop) })
	begun := time.Now()
	b := &bulk{c: s.c, w: testWrite("upsert", "x", 100_000), target: "x"}
	if _, err := b.write(ctx, testRows(100_000)); !errors.Is(err, stop) || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    Settings
		text string
	}{{Settings{URL: "search.example.com"}, "is no URL"}, {Settings{URL: "https://x", CA: "testdata/none.pem"}, "cannot be read"}, {Settings{URL: "https://x", CA: "opensearch.go"}, "holds no certificate"}, {Settings{URL: "https://x", Auth: &Auth{Word: "aws"}}, "AWS configuration"}} {
		_, err := New(c.s, nil)
		if flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
	// A server whose certificate nobody signed, and one that is not there.
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	s, err := New(Settings{URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Test(t.Context()); flow.KindOf(err) != flow.Invalid || !strings.Contains(flow.HintOf(err), "Set ca") {
		t.Errorf("an unknown authority: %v (%s)", err, flow.HintOf(err))
	}
	server.Close()
	if _, err := s.Test(t.Context()); flow.KindOf(err) != flow.Transient || !strings.Contains(flow.HintOf(err), "runs at https://127.0.0.1") {
		t.Errorf("nobody there: %v (%s)", err, flow.HintOf(err))
	}
}

// TestAuth: each way to authenticate reaches the wire, and a request for AWS is signed for
// the service and region, its body's hash with it.
func TestAuth(t *testing.T) {
	t.Parallel()
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		answerWith(w, "{}")
	}))
	defer server.Close()
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: server.URL, Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		auth *Auth
		want string
	}{
		{nil, ""}, {&Auth{Basic: &Basic{"u", flow.NewSecret("p")}}, "Basic dTpw"}, {&Auth{APIKey: flow.NewSecret("k")}, "ApiKey k"},
		{&Auth{Word: "aws"}, "/eu-west-1/es/aws4_request"}, {&Auth{AWS: &AWSAuth{Service: "aoss", Region: "us-east-2"}}, "/us-east-2/aoss/aws4_request"},
	} {
		s, err := New(Settings{URL: server.URL, Auth: c.auth}, &cfg)
		if err == nil {
			_, err = s.Test(t.Context())
		}
		if err != nil || !strings.Contains(got.Get("Authorization"), c.want) {
			t.Errorf("%s, want %s, %v", got.Get("Authorization"), c.want, err)
		}
	}
}
