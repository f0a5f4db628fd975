package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// desk is a project with one connection, and a store.
type desk struct {
	t       testing.TB
	dir     string
	source  any
	texts   map[string]string
	attempt int
	log     bytes.Buffer
}

func newDesk(t testing.TB, source any) *desk {
	return &desk{t: t, dir: t.TempDir(), source: source, texts: map[string]string{}}
}

func (d *desk) Bucket(_ context.Context, uri string) (flow.Bucket, string, error) {
	return file.New(d.dir), uri, nil
}

func (d *desk) Text(_ context.Context, hash string) (string, error) { return d.texts[hash], nil }

func (d *desk) Source(context.Context, string) (any, error) { return d.source, nil }

func (d *desk) store() dataset.Store {
	uri := filepath.Join(d.dir, "store")
	return dataset.Store{Bucket: file.New(uri), URI: uri}
}

// fetch does one more attempt of the run.
func (d *desk) fetch(x flow.Extract, more func(*flow.FetchJob)) (flow.Output, error) {
	d.t.Helper()
	return d.fetchWithin(d.t.Context(), x, more)
}

func (d *desk) fetchWithin(ctx context.Context, x flow.Extract, more func(*flow.FetchJob)) (flow.Output, error) {
	d.t.Helper()
	d.attempt++
	x.Connection = "api"
	if x.Rejects.Mode == "" {
		x.Rejects.Mode = "fail"
	}
	job := flow.FetchJob{Slot: flow.Slot{Pipeline: "p", Step: "a", Time: "20260105T000000Z"}, Extract: x}
	if more != nil {
		more(&job)
	}
	args, err := json.Marshal(job)
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := Tasks(Config{Lookup: d, Source: d.Source, Dir: d.dir, Store: d.store(), Temp: filepath.Join(d.dir, "tmp")})["fetch"](ctx, flow.Request{
		Key: "r/a/1", Run: "r", State: "a", Attempt: d.attempt, Arguments: args, Log: &d.log, Progress: func(flow.Progress) {}})
	if err != nil {
		return flow.Output{}, err
	}
	var o flow.Output
	if err := json.Unmarshal(out, &o); err != nil {
		d.t.Fatal(err)
	}
	return o, nil
}

// rows are a dataset's rows as JSON lines.
func (d *desk) rows(o flow.Output) []string {
	d.t.Helper()
	set, err := d.store().Read(d.t.Context(), nil, o.Manifest)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := set.Verify(d.t.Context(), nil); err != nil {
		d.t.Error(err)
	}
	var text bytes.Buffer
	for _, f := range set.Files {
		b, name, err := set.Place(d.t.Context(), nil, f)
		if err != nil {
			d.t.Fatal(err)
		}
		_, batches, err := format.ReadParquet(d.t.Context(), b, name)
		if err != nil {
			d.t.Fatal(err)
		}
		for b, err := range batches {
			if err == nil {
				err = format.WriteNDJSON(&text, b)
				b.Release()
			}
			if err != nil {
				d.t.Fatal(err)
			}
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(text.String()), "\n")
}

func (d *desk) schemaFile() string {
	b, err := os.ReadFile(filepath.Join(d.dir, "schemas/p/a.yaml"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "columns:\n")
	return strings.Join(strings.Fields(text), " ")
}

func (d *desk) manifests() int {
	all, err := filepath.Glob(filepath.Join(d.dir, "store/data/p/a/*/*/manifest.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	return len(all)
}

// webAPI starts a server and a connection to it, whose waits pass at once.
func webAPI(t testing.TB, h http.HandlerFunc) *rest.API {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	api, err := rest.New(rest.Settings{URL: srv.URL}, rest.Options{Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format, args...) //nolint:errcheck // the client would notice
}

const byPage = `{"records":{"{{":[{"expr":"response.items"}]},"page":{"param":"page","start":1,"size":10}%s}`

func args(more string) json.RawMessage { return json.RawMessage(fmt.Sprintf(byPage, more)) }

// tenPages answers with 95 items; item says what one looks like.
func tenPages(item func(id int) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("page"))
		var items []string
		for id := (n - 1) * 10; id < min(n*10, 95); id++ {
			items = append(items, item(id))
		}
		say(w, `{"items":[%s],"total":95}`, strings.Join(items, ","))
	}
}

func plainItem(id int) string {
	return fmt.Sprintf(`{"id":%d,"name":"n%d","tags":["a","b"],"price":{"amount":%d.5,"on":"2026-01-0%d"}}`, id, id, id, id%9+1)
}

func TestFetchPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t, webAPI(t, tenPages(plainItem)))
	o, err := d.fetch(flow.Extract{Args: args(`,"total":{"{{":[{"expr":"response.total"}]}`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := d.rows(o)
	if len(rows) != 95 || rows[94] != `{"id":94,"name":"n94","tags":["a","b"],"price":{"amount":94.5,"on":"2026-01-05"}}` || o.Rows != 95 || o.Read != 95 {
		t.Errorf("%+v, %d rows, the last %s", o, len(rows), rows[len(rows)-1])
	}
	if want := "id: bigint name: string tags: array<string> price: struct<amount:double,on:date>"; d.schemaFile() != want {
		t.Errorf("schema %s", d.schemaFile())
	}
	if len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0], "schemas/p/a.yaml") {
		t.Errorf("warnings %q", o.Warnings)
	}
	// With the schema known, and another run's pages, the result is the same.
	again, err := d.fetch(flow.Extract{Args: args("")}, nil)
	if err != nil || !slices.Equal(d.rows(again), rows) || len(again.Warnings) != 0 {
		t.Errorf("again: %+v %v", again, err)
	}
}

// What an attempt kept is not asked for again, wherever it broke off.
func TestFetchGoesOn(t *testing.T) {
	t.Parallel()
	for known := range 2 {
		for at := 1; at <= 10; at++ {
			var asked [12]atomic.Int64
			var healed atomic.Bool
			inner := tenPages(plainItem)
			d := newDesk(t, webAPI(t, func(w http.ResponseWriter, r *http.Request) {
				n, _ := strconv.Atoi(r.URL.Query().Get("page"))
				asked[n].Add(1)
				if n == at && !healed.Load() {
					http.Error(w, "no", http.StatusForbidden)
					return
				}
				inner(w, r)
			}))
			if known == 1 {
				put(t, d, "schemas/p/a.yaml", "columns: { id: bigint, name: string, tags: array<string>, price: \"struct<amount:double,on:date>\" }\n")
			}
			if _, err := d.fetch(flow.Extract{Args: args("")}, nil); flow.KindOf(err) != flow.Denied || d.manifests() != 0 {
				t.Fatalf("broken at %d: %v, %d manifests", at, err, d.manifests())
			}
			healed.Store(true)
			o, err := d.fetch(flow.Extract{Args: args("")}, nil)
			if err != nil {
				t.Fatalf("broken at %d: %v", at, err)
			}
			rows := d.rows(o)
			for i, r := range rows {
				if !strings.HasPrefix(r, fmt.Sprintf(`{"id":%d,`, i)) {
					t.Fatalf("broken at %d: row %d is %s", at, i, r)
				}
			}
			if len(rows) != 95 {
				t.Errorf("broken at %d: %d rows", at, len(rows))
			}
			for n := 1; n <= 10; n++ {
				want := int64(1)
				if n == at {
					want = 2
				}
				if got := asked[n].Load(); got != want {
					t.Errorf("broken at %d: page %d was asked for %d times", at, n, got)
				}
			}
		}
	}
}

func put(t *testing.T, d *desk, name, text string) {
	t.Helper()
	file := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A schema that changes in mid-extract: inferred over all pages where it is not decided yet,
// held against the decision where it is.
func TestFetchDrift(t *testing.T) {
	t.Parallel()
	changing := tenPages(func(id int) string {
		if id < 50 {
			return fmt.Sprintf(`{"id":%d,"v":%d}`, id, id)
		}
		return fmt.Sprintf(`{"id":%d,"v":%d.5,"new":true}`, id, id)
	})
	d := newDesk(t, webAPI(t, changing))
	o, err := d.fetch(flow.Extract{Args: args("")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rows := d.rows(o); d.schemaFile() != "id: bigint v: double new: boolean" || rows[0] != `{"id":0,"v":0.0,"new":null}` || rows[50] != `{"id":50,"v":50.5,"new":true}` {
		t.Errorf("%s; %s; %s", d.schemaFile(), rows[0], rows[50])
	}
	old := "columns: { id: bigint, v: bigint }\n"
	for drift, check := range map[string]func(d *desk, o flow.Output, err error) string{
		"": func(_ *desk, _ flow.Output, err error) string {
			if err == nil || !strings.Contains(err.Error(), "read page 6 of api: line 1: field new is new") || !strings.Contains(flow.HintOf(err), "schema accept p a") {
				return fmt.Sprintf("%v (%s)", err, flow.HintOf(err))
			}
			return ""
		},
		"discard": func(d *desk, o flow.Output, err error) string {
			if err != nil || o.Rows != 50 || o.Rejected != 45 || o.Read != 95 || d.rows(o)[49] != `{"id":49,"v":49}` {
				return fmt.Sprintf("%+v %v", o, err)
			}
			return ""
		},
		"add": func(d *desk, o flow.Output, err error) string {
			if err != nil || o.Rejected != 45 || d.rows(o)[49] != `{"id":49,"v":49,"new":null}` {
				return fmt.Sprintf("%+v %v", o, err)
			}
			return ""
		},
	} {
		d := newDesk(t, webAPI(t, changing))
		put(t, d, "schemas/p/a.yaml", old)
		o, err := d.fetch(flow.Extract{Args: args(""), Drift: drift, Rejects: flow.Limit{Mode: "keep"}}, nil)
		if fault := check(d, o, err); fault != "" {
			t.Errorf("drift %q: %s", drift, fault)
		}
	}
	d = newDesk(t, webAPI(t, changing))
	put(t, d, "schemas/p/a.yaml", old)
	_, err = d.fetch(flow.Extract{Args: args(""), Drift: "discard"}, nil)
	if flow.KindOf(err) != flow.Rejected || !strings.Contains(err.Error(), "45 of 95 records do not fit\n  page 6 of api:1, column v: \"50.5\" is no bigint") || d.manifests() != 0 {
		t.Errorf("%v", err)
	}
	// After schema accept, the same run goes on from what it kept.
	if err := os.Remove(filepath.Join(d.dir, "schemas/p/a.yaml")); err != nil {
		t.Fatal(err)
	}
	d.source = webAPI(t, func(http.ResponseWriter, *http.Request) { t.Error("a page was asked for again") })
	if o, err := d.fetch(flow.Extract{Args: args(""), Drift: "discard"}, nil); err != nil || o.Rows != 95 {
		t.Errorf("%+v %v", o, err)
	}
}

// Where the data changed while it was read, nothing is kept of it.
func TestFetchTotal(t *testing.T) {
	t.Parallel()
	var asked, total atomic.Int64
	total.Store(96)
	d := newDesk(t, webAPI(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var b bytes.Buffer
		tenPages(plainItem)(fake{&b}, r)
		say(w, "%s", strings.Replace(b.String(), `"total":95`, fmt.Sprintf(`"total":%d`, total.Load()), 1))
	}))
	x := flow.Extract{Args: args(`,"total":{"{{":[{"expr":"response.total"}]}`)}
	if _, err := d.fetch(x, nil); flow.KindOf(err) != flow.Conflict {
		t.Fatalf("%v", err)
	}
	total.Store(95)
	before := asked.Load()
	if o, err := d.fetch(x, nil); err != nil || o.Rows != 95 || asked.Load() != 2*before-1 {
		t.Errorf("%+v %v, %d requests and then %d", o, err, before, asked.Load())
	}
}

type fake struct{ io.Writer }

func (fake) Header() http.Header { return http.Header{} }
func (fake) WriteHeader(int)     {}

func TestFetchForEach(t *testing.T) {
	t.Parallel()
	ids := newDesk(t, webAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		var all []string
		for i := range 500 {
			all = append(all, fmt.Sprintf(`{"id":%d}`, i))
		}
		say(w, "[%s]", strings.Join(all, ","))
	}))
	list, err := ids.fetch(flow.Extract{Args: json.RawMessage(`{}`)}, func(j *flow.FetchJob) { j.Slot.Step = "ids" })
	if err != nil {
		t.Fatal(err)
	}
	var fail atomic.Int64
	fail.Store(300)
	var asked atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		id, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		switch {
		case int64(id) == fail.Load():
			http.Error(w, "no", http.StatusForbidden)
		case id%100 == 7:
			http.NotFound(w, r)
		case id%100 == 8:
			http.Error(w, "bad id", http.StatusBadRequest)
		default:
			say(w, `{"id":%d,"double":%d}`, id, 2*id)
		}
	}
	x := flow.Extract{Args: json.RawMessage(`{"path":{"{{":[{"text":"/"},{"expr":"row.id"}]},"on_404":"skip","tolerate":true}`)}
	more := func(limit flow.Limit) func(*flow.FetchJob) {
		return func(j *flow.FetchJob) { j.ForEach, j.Tolerate = list.Manifest, limit }
	}
	ids.source = webAPI(t, handler)
	if _, err := ids.fetch(x, more(flow.Limit{Mode: "max", Max: 5})); flow.KindOf(err) != flow.Denied || !strings.Contains(err.Error(), "row 301") {
		t.Fatalf("%v", err)
	}
	fail.Store(-1)
	before := asked.Load()
	o, err := ids.fetch(x, more(flow.Limit{Mode: "max", Max: 5}))
	if err != nil || o.Rows != 490 || o.Rejected != 5 || o.Read != 495 {
		t.Fatalf("%+v %v", o, err)
	}
	if n := asked.Load() - before; n > 210 {
		t.Errorf("after 300 rows that were kept, %d of 500 were asked for", n)
	}
	for i, r := range ids.rows(o) {
		if k := i + i/98*2; i%98 < 7 && r != fmt.Sprintf(`{"id":%d,"double":%d}`, k, 2*k) {
			t.Fatalf("row %d is %s", i, r)
		}
	}
	for _, limit := range []flow.Limit{{Mode: "max", Max: 4}, {Mode: "max", Percent: 0.5}} {
		if _, err := ids.fetch(x, more(limit)); flow.KindOf(err) != flow.Rejected || !strings.Contains(err.Error(), "5 of 500 rows failed") {
			t.Errorf("%+v: %v", limit, err)
		}
	}
}

func TestFetchFormats(t *testing.T) {
	t.Parallel()
	for kind, body := range map[string]func(n int) string{
		"text/csv":             func(n int) string { return fmt.Sprintf("id,name\n%d,\"a\nb\"\n%d,\n", 2*n, 2*n+1) },
		"application/x-ndjson": func(n int) string { return fmt.Sprintf("{\"id\":%d,\"name\":\"a\\nb\"}\n{\"id\":%d}\n", 2*n, 2*n+1) },
	} {
		d := newDesk(t, webAPI(t, func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("page"))
			w.Header().Set("Content-Type", kind)
			if n < 3 {
				say(w, "%s", body(n))
			}
		}))
		for range 2 { // inferred, then by the schema file
			o, err := d.fetch(flow.Extract{Args: json.RawMessage(`{"page":{"param":"page"}}`)}, func(j *flow.FetchJob) { j.Slot.Time = fmt.Sprintf("2026010%dT000000Z", d.attempt) })
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			want := []string{}
			for n := range 3 {
				want = append(want, fmt.Sprintf(`{"id":%d,"name":"a\nb"}`, 2*n), fmt.Sprintf(`{"id":%d,"name":null}`, 2*n+1))
			}
			if diff := cmp.Diff(want, d.rows(o)); diff != "" {
				t.Errorf("%s: %s", kind, diff)
			}
		}
	}
}

func TestFetchEmpty(t *testing.T) {
	t.Parallel()
	empty := webAPI(t, func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", `[]`) }) //nolint:errcheck // a test's server
	id := flow.Schema{{Name: "id", Type: "bigint", Nullable: true}}
	for _, c := range []struct {
		onEmpty string
		columns flow.Schema
		want    string
	}{
		{"", nil, "it has no records"}, {"ok", nil, "its columns are not known"}, {"ok", id, ""}, {"skip", nil, "skipped"}, {"skip", id, "skipped"}, {"", id, "it has no records"},
	} {
		d := newDesk(t, empty)
		o, err := d.fetch(flow.Extract{Args: json.RawMessage(`{}`), OnEmpty: c.onEmpty, Columns: c.columns}, nil)
		switch {
		case c.want == "skipped" && (!o.Skipped || err != nil || o.Manifest != ""), c.want == "" && (err != nil || o.Manifest == "" || len(d.rows(o)) != 0),
			c.want != "" && c.want != "skipped" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("on_empty %q: %+v %v", c.onEmpty, o, err)
		}
	}
}

// Two attempts of one run that work at a time do not mix what they keep.
func TestFetchZombie(t *testing.T) {
	t.Parallel()
	var d *desk
	other := false
	inner := tenPages(plainItem)
	d = newDesk(t, webAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "5" && !other {
			other = true
			if o, err := d.fetch(flow.Extract{Args: args("")}, nil); err != nil || o.Rows != 95 {
				t.Errorf("the younger: %+v %v", o, err)
			}
		}
		inner(w, r)
	}))
	if _, err := d.fetch(flow.Extract{Args: args("")}, nil); flow.KindOf(err) != flow.Transient {
		t.Errorf("the older: %v", err)
	}
}

func TestFetchCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	inner := tenPages(plainItem)
	d := newDesk(t, webAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "5" {
			cancel()
			<-r.Context().Done()
			return
		}
		inner(w, r)
	}))
	if _, err := d.fetchWithin(ctx, flow.Extract{Args: args("")}, nil); flow.KindOf(err) != flow.Canceled {
		t.Errorf("%v", err)
	}
	kept, err := filepath.Glob(filepath.Join(d.dir, "store/data/p/a/*/r.pages/*"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept %v %v", kept, err)
	}
}

// A query that was begun is found again by a later attempt of the run, unless it asks for
// something else.
func TestFetchFindsQueryAgain(t *testing.T) {
	t.Parallel()
	src := &table{schema: arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil), rows: []string{`[{"id":1}]`}, fail: &flow.Error{Kind: flow.Transient, Err: errors.New("planted")}, mem: memory.NewCheckedAllocator(memory.DefaultAllocator)}
	d := newDesk(t, src)
	x := flow.Extract{Query: &flow.SQLText{Hash: "h", Values: []any{7, 1.5, nil, true, "x"}}}
	if _, err := d.fetch(x, nil); flow.KindOf(err) != flow.Transient || src.asked.Token != "" {
		t.Fatalf("%v, token %q", err, src.asked.Token)
	}
	if diff := cmp.Diff([]any{int64(7), 1.5, nil, true, "x"}, src.asked.Values); diff != "" {
		t.Error(diff)
	}
	src.fail = nil
	if _, err := d.fetch(x, nil); err != nil || src.asked.Token != "query 1" {
		t.Errorf("%v, token %q", err, src.asked.Token)
	}
	x.Query.Values[0] = 8
	if _, err := d.fetch(x, nil); err != nil || src.asked.Token != "" {
		t.Errorf("another query: %v, token %q", err, src.asked.Token)
	}
}

// table is a source that gives what it is told.
type table struct {
	schema *arrow.Schema
	rows   []string // JSON, a batch each
	fail   error    // after the batches
	mem    *memory.CheckedAllocator
	asked  flow.Query
}

func (s *table) Read(_ context.Context, q flow.Query) (*arrow.Schema, iter.Seq2[flow.Batch, error], error) {
	s.asked = q
	if q.Begun != nil {
		q.Begun("query 1")
	}
	return s.schema, func(yield func(flow.Batch, error) bool) {
		for _, text := range s.rows {
			b, _, err := array.RecordFromJSON(s.mem, s.schema, strings.NewReader(text))
			if !yield(b, err) {
				return
			}
		}
		if s.fail != nil {
			yield(nil, s.fail)
		}
	}, nil
}

func (*table) Kind(err error) flow.Kind { return flow.KindOf(err) }
func (*table) Close() error             { return nil }

func TestFetchTable(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "ID", Type: &arrow.Decimal128Type{Precision: 38}}, {Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
	}, nil)
	two := []string{`[{"ID":"1","name":"x","at":"2026-01-05T10:00:00Z"},{"ID":"2","name":null,"at":null}]`, `[{"ID":"9223372036854775808","name":"y","at":"2026-01-04T10:00:00Z"},{"ID":"4","name":"z","at":"2026-01-05T11:00:00.5Z"}]`}
	for _, c := range []struct {
		name, file string
		x          flow.Extract
		fail       error
		want       []string
		wrong      string
		kind       flow.Kind
		cursor     string
		rejected   int64
	}{
		{name: "as found", want: []string{`{"ID":1,"name":"x","at":"2026-01-05T10:00:00Z"}`, `{"ID":2,"name":null,"at":null}`, `{"ID":9223372036854775808,"name":"y","at":"2026-01-04T10:00:00Z"}`, `{"ID":4,"name":"z","at":"2026-01-05T11:00:00.5Z"}`},
			x: flow.Extract{Cursor: "at"}, cursor: "2026-01-05T11:00:00.500000Z"},
		{name: "declared", x: flow.Extract{Columns: flow.Schema{{Name: "id", Type: "bigint"}}, Rejects: flow.Limit{Mode: "keep"}, Cursor: "ID"}, cursor: "4", rejected: 1,
			want: []string{`{"ID":1,"name":"x","at":"2026-01-05T10:00:00Z"}`, `{"ID":2,"name":null,"at":null}`, `{"ID":4,"name":"z","at":"2026-01-05T11:00:00.5Z"}`}},
		{name: "rejects fail", x: flow.Extract{Columns: flow.Schema{{Name: "ID", Type: "bigint"}}}, wrong: `1 of 4 records do not fit` + "\n" + `  api:3, column ID: "9223372036854775808" is no bigint`, kind: flow.Rejected},
		{name: "file", file: "columns: { name: string, ID: string, more: int }\n", x: flow.Extract{Drift: "discard"},
			want: []string{`{"name":"x","ID":"1","more":null}`, `{"name":null,"ID":"2","more":null}`, `{"name":"y","ID":"9223372036854775808","more":null}`, `{"name":"z","ID":"4","more":null}`}},
		{name: "freeze", file: "columns: { name: string, id: string, more: int }\n", wrong: "column more is missing, column at is new", kind: flow.Invalid},
		{name: "broken", fail: &flow.Error{Kind: flow.Transient, Err: errors.New("the connection is lost")}, wrong: "the connection is lost", kind: flow.Transient},
		{name: "no such cursor", x: flow.Extract{Cursor: "nope"}, wrong: "no column nope", kind: flow.Invalid},
		{name: "no way", x: flow.Extract{Columns: flow.Schema{{Name: "name", Type: "array<int>"}}}, wrong: "cannot become array<int>", kind: flow.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			src := &table{schema: schema, rows: two, fail: c.fail, mem: mem}
			d := newDesk(t, src)
			d.texts["h"] = "select {{1}}"
			if c.file != "" {
				put(t, d, "schemas/p/a.yaml", c.file)
			}
			c.x.Query = &flow.SQLText{Hash: "h", Values: []any{"v"}}
			o, err := d.fetch(c.x, nil)
			mem.AssertSize(t, 0)
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) || flow.KindOf(err) != c.kind || d.manifests() != 0 {
					t.Errorf("%v (%v)", err, flow.KindOf(err))
				}
				if c.kind == flow.Rejected { // known only when all is written, to a folder without a manifest
					return
				}
				left, err := filepath.Glob(filepath.Join(d.dir, "store/data/p/a/*/r.1/*"))
				if err != nil || len(left) > 0 {
					t.Errorf("left behind: %v %v", left, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, d.rows(o)); diff != "" {
				t.Error(diff)
			}
			if o.Cursor != c.cursor || o.Rejected != c.rejected || o.Read != 4 {
				t.Errorf("%+v", o)
			}
			if got := src.asked.Bind(func(n int) string { return "$" + strconv.Itoa(n) }); got != "select $1" || src.asked.Run != "r" {
				t.Errorf("asked %q for run %q", got, src.asked.Run)
			}
		})
	}
}
