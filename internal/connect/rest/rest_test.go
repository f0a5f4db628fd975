package rest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/flow"
)

// expr is a value that is worked out of the response, as the compiler writes it.
func expr(e string) any { return map[string]any{"{{": []any{map[string]any{"expr": e}}} }

// pieces is a template of text and {{ expression }}.
func pieces(parts ...string) any {
	var out []any
	for i, p := range parts {
		if i%2 == 0 {
			out = append(out, map[string]any{"text": p})
		} else {
			out = append(out, map[string]any{"expr": p})
		}
	}
	return map[string]any{"{{": out}
}

type m = map[string]any

// say answers a request.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format, args...) //nolint:errcheck // the client would notice
}

// clock waits without waiting, and remembers for how long.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	slept []time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func (c *clock) total() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sum time.Duration
	for _, d := range c.slept {
		sum += d
	}
	return sum
}

type fixture struct {
	t     *testing.T
	api   *rest.API
	clock *clock
	log   bytes.Buffer
}

// serve starts a server and a connection to it.
func serve(t *testing.T, s rest.Settings, h http.HandlerFunc) *fixture {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	if s.URL == "" {
		s.URL = srv.URL
	} else {
		s.URL = srv.URL + s.URL
	}
	f := &fixture{t: t, clock: &clock{at: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)}}
	var err error
	f.api, err = rest.New(s, rest.Options{Now: f.clock.now, Wait: f.clock.wait, AWS: func(ctx context.Context, name string) (awsauth.Config, error) {
		return awsauth.Load(ctx, awsauth.Settings{Region: "eu-central-1", AccessKey: "AKID" + name, SecretKey: flow.NewSecret("aws secret"), Endpoint: "http://127.0.0.1:1"})
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) query(args m) flow.Query {
	text, err := json.Marshal(args)
	if err != nil {
		f.t.Fatal(err)
	}
	return flow.Query{Args: text, Log: &f.log}
}

// read reads all pages: their bodies, and the last warning.
func (f *fixture) read(args m) (bodies []string, warning string, err error) {
	f.t.Helper()
	for p, err := range f.api.Pages(f.t.Context(), f.query(args)) {
		if err != nil {
			return bodies, warning, err
		}
		bodies = append(bodies, string(p.Body))
		warning = p.Warning
	}
	return bodies, warning, nil
}

// items are n records from a number on.
func items(from, n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"id":%d}`, from+i))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// paged answers with 25 items, ten a page, and whatever a paging looks for.
func paged(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, size := 0, 10
	atoi := func(name string) int {
		n, _ := strconv.Atoi(q.Get(name))
		return n
	}
	switch {
	case q.Has("page"):
		from = (atoi("page") - 1) * size
	case q.Has("offset"):
		from = atoi("offset")
	case q.Has("after"):
		from = atoi("after")
	}
	n := min(size, max(0, 25-from))
	next := from + n
	o := m{"items": json.RawMessage(items(from, n)), "meta": m{"total": 25}}
	if next < 25 {
		o["next"] = fmt.Sprintf("http://%s/items?after=%d&key=secret-key", r.Host, next)
		o["cursor"] = next
		w.Header().Set("Link", fmt.Sprintf(`</items?after=0>; rel="first", </items?after=%d>; rel="next"`, next))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(o) //nolint:errcheck // a test's server
}

func TestPaging(t *testing.T) {
	t.Parallel()
	whole := []string{items(0, 10), items(10, 10), items(20, 5)}
	for _, c := range []struct {
		name string
		args m
		want []string
	}{
		{"next link", m{"next_link": expr("response.next")}, whole},
		{"next link by jsonata", m{"next_link": expr("$exists(response.next) ? response.next : null"), "records": expr("response.items[id >= 0]")}, whole},
		{"link header", m{"link_header": true}, whole},
		{"cursor", m{"cursor": m{"param": "after", "value": expr("response.cursor")}}, whole},
		{"cursor by jsonata", m{"cursor": m{"param": "after", "value": expr("$count(records) = 10 ? page.seen : null")}}, whole},
		{"page", m{"page": m{"param": "page", "start": 1, "size": 10}}, whole},
		{"page without size", m{"page": m{"param": "page", "start": 1}}, append(whole[:3:3], "[]")},
		{"page with a total", m{"page": m{"param": "page", "start": 1}, "total": expr("response.meta.total")}, whole},
		{"offset", m{"offset": m{"param": "offset", "size": 10, "size_param": "n"}}, whole},
		{"one page", m{}, whole[:1]},
		{"headers", m{"next_link": expr("$match(headers.link, /<([^>]*)>; rel=\"next\"/).groups[0]")}, whole},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, rest.Settings{}, paged)
			c.args["path"] = "/items"
			if c.args["records"] == nil {
				c.args["records"] = expr("response.items")
			}
			got, _, err := f.read(c.args)
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, d)
			}
		})
	}
}

func TestConforms(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/slow":
			<-r.Context().Done()
		case r.URL.Path == "/broken" && r.URL.Query().Get("after") == "20":
			http.Error(w, "no", http.StatusBadRequest)
		default:
			paged(w, r)
		}
	}
	f := serve(t, rest.Settings{}, handler)
	with := func(path string) flow.Query {
		return f.query(m{"path": path, "records": expr("response.items"), "cursor": m{"param": "after", "value": expr("response.cursor")}})
	}
	conform.Pages(t, conform.PagesCase{Open: func(*testing.T) flow.Pages { return f.api }, Query: with("/items"), Broken: with("/broken"), Slow: with("/slow")})
}

func TestRowsConform(t *testing.T) {
	t.Parallel()
	f := serve(t, rest.Settings{Concurrency: 3}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/slow"):
			<-r.Context().Done()
		case r.URL.Path == "/broken/5":
			http.Error(w, "no", http.StatusBadRequest)
		default:
			paged(w, r)
		}
	})
	with := func(path string) flow.Query {
		q := f.query(m{"path": pieces("/"+path+"/", "row.id"), "records": expr("response.items"), "cursor": m{"param": "after", "value": expr("response.cursor")}})
		q.Rows = rows(8)
		return q
	}
	conform.Pages(t, conform.PagesCase{Open: func(*testing.T) flow.Pages { return f.api }, Query: with("items"), Broken: with("broken"), Slow: with("slow")})
}

func rows(n int) func(func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		for i := range n {
			if !yield(fmt.Appendf(nil, `{"id":%d,"big":12345678901234567%d,"name":"a/b c"}`, i, i), nil) {
				return
			}
		}
	}
}

// What a request is made of: base, path, query, headers, body.
func TestRequest(t *testing.T) {
	t.Parallel()
	var got, body string
	var header http.Header
	f := serve(t, rest.Settings{URL: "/v2/?fixed=1", Headers: m{"X-Team": "shop"}}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) //nolint:errcheck // a test's server
		got, body, header = r.Method+" "+r.URL.String(), string(b), r.Header
		say(w, "%s", `[{"a":1}]`)
	})
	q := f.query(m{"path": pieces("/items/", "row.name", "/", "row.big", "?x=", "ds"), "params": m{"n": 3, "list": []any{"a", "b"}, "none": nil, "late": expr("row.id + 1")}, "method": "POST", "headers": m{"X-Row": pieces("r", "row.id")},
		"body": m{"filter": m{"id": expr("row.id")}, "keep": true}, "cursor": m{"param": "after", "value": expr("response.next")}, "names": m{"ds": "2026-01-05"}})
	q.Rows = rows(1)
	for _, err := range f.api.Pages(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := "POST /v2/items/a%2Fb%20c/123456789012345670?fixed=1&late=1&list=a&list=b&n=3&x=2026-01-05"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if want := `{"filter":{"id":0},"keep":true}`; body != want {
		t.Errorf("body %s", body)
	}
	if header.Get("X-Team") != "shop" || header.Get("X-Row") != "r0" || header.Get("Content-Type") != "application/json" || header.Get("User-Agent") != "tidemill" {
		t.Errorf("headers %v", header)
	}
}

func TestPostPagesInBody(t *testing.T) {
	t.Parallel()
	var bodies []string
	f := serve(t, rest.Settings{}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) //nolint:errcheck // a test's server
		bodies = append(bodies, string(b)+r.URL.RawQuery)
		say(w, `{"items":[{"a":1}],"next":%s}`, []string{`9007199254740993`, `null`}[len(bodies)-1])
	})
	if _, _, err := f.read(m{"method": "POST", "body": m{"q": "x"}, "records": expr("response.items"), "cursor": m{"param": "after", "value": expr("response.next")}}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{`{"q":"x"}`, `{"after":9007199254740993,"q":"x"}`}, bodies); d != "" {
		t.Error(d)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, records, want, fails string }{
		{body: ` [ {"a":1} , {"a":2} ] `, want: `[ {"a":1} , {"a":2} ]`},
		{body: `{"a":1}`, want: `{"a":1}`},
		{body: `{"data":{"list":[{"a":12345678901234567890}]},"x":1}`, records: "response.data.list", want: `[{"a":12345678901234567890}]`},
		{body: `{"odd name":[{"a":1}]}`, records: "response.`odd name`", want: `[{"a":1}]`},
		{body: `{"list":null}`, records: "response.list", want: `[]`},
		{body: `{"groups":[{"list":[{"a":1}]},{"list":[{"a":2}]}]}`, records: "response.groups.list", want: `[{"a":1},{"a":2}]`},
		{body: `{"map":{"x":{"v":1},"y":{"v":2}}}`, records: "$each(response.map, function($v, $k) { {'key': $k, 'v': $v.v} })", want: `[{"key":"x","v":1},{"key":"y","v":2}]`},
		{body: `{"list":[{"a":9007199254740993,"b":0.12345678901234567890,"c":1.50},{"a":2},null]}`, records: "response.list[a > 1]", want: `[{"a":9007199254740993,"b":0.12345678901234567890,"c":1.5},{"a":2}]`},
		{body: `{"list":[{"a":12345678901234567890},{"a":12345678901234567890.0}]}`, records: "response.list.{'id': a}", want: `[{"id":12345678901234567890},{"id":12345678901234567890}]`},
		{body: `{"list":[{"a":9007199254740993},{"a":9007199254740992}]}`, records: "response.list[a > 1]", fails: "the numbers 9007199254740993 and 9007199254740992 are one to an expression"},
		{body: `{"list":[{"a":10000000000000001,"x":1},{"a":1e16,"x":2}]}`, records: "response.list[x = 1]", fails: "are one to an expression"},
		{body: `{"list":[{"a":1e-400000000000,"x":1}]}`, records: "response.list[x = 1]", want: `{"a":0,"x":1}`},
		{body: `{"error":"no"}`, records: "response.list", fails: "nothing where records says"},
		{body: `{"list":7}`, records: "response.list", fails: "neither a list nor an object"},
		{body: `[{"a":1}`, fails: "no JSON"},
		{body: `[] []`, fails: "no JSON"},
		{body: `<html>`, fails: "no JSON"},
		{body: ``, fails: "empty"},
	} {
		f := serve(t, rest.Settings{}, func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", c.body) }) //nolint:errcheck // a test's server
		args := m{}
		if c.records != "" {
			args["records"] = expr(c.records)
		}
		got, _, err := f.read(args)
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, want %s", c.body, err, c.fails)
			}
		case err != nil || len(got) != 1 || got[0] != c.want:
			t.Errorf("%s: %q %v", c.body, got, err)
		}
	}
}

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text) //nolint:errcheck // into memory
	z.Close()               //nolint:errcheck // into memory
	return b.String()
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind, enc, body, format string
		records                       int64
		args                          m
	}{
		{name: "gzip on the wire", kind: "application/json", enc: "gzip", body: packed(`[{"a":1}]`), format: "json", records: 1},
		{name: "a packed file", kind: "application/gzip", body: packed(`[{"a":1},{"a":2}]`), format: "json", records: 2},
		{name: "ndjson", kind: "application/x-ndjson", body: "{\"a\":1}\n\n{\"a\":2}", format: "ndjson", records: 2},
		{name: "ndjson said", kind: "text/plain", body: "{\"a\":1}\n{\"a\":2}\n", format: "ndjson", records: 2, args: m{"format": "ndjson"}},
		{name: "csv", kind: "text/csv; charset=utf-8", body: "\xef\xbb\xbfa,b\n1,\"x\ny\"\n2,z\n", format: "csv", records: 2},
	} {
		f := serve(t, rest.Settings{}, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Error("gzip is not asked for")
			}
			w.Header().Set("Content-Type", c.kind)
			if c.enc != "" {
				w.Header().Set("Content-Encoding", c.enc)
			}
			say(w, "%s", c.body)
		})
		if c.args == nil {
			c.args = m{}
		}
		for p, err := range f.api.Pages(t.Context(), f.query(c.args)) {
			if err != nil || p.Format != c.format || p.Records != c.records || bytes.HasPrefix(p.Body, []byte{0xef}) || bytes.HasPrefix(p.Body, []byte{0x1f}) {
				t.Errorf("%s: %s, %d records, %q, %v", c.name, p.Format, p.Records, p.Body, err)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("after"))
		say(w, `{"items":%s,"next":%d}`, items(n, 3), n+3)
	}
	args := func(more m) m {
		a := m{"records": expr("response.items"), "cursor": m{"param": "after", "value": expr("response.next")}}
		for k, v := range more {
			a[k] = v
		}
		return a
	}
	f := serve(t, rest.Settings{}, endless)
	got, _, err := f.read(args(m{"max_pages": 4}))
	if len(got) != 3 || err == nil || !strings.Contains(err.Error(), "more than 4 pages") || flow.KindOf(err) != flow.Invalid {
		t.Errorf("%d pages, %v", len(got), err)
	}
	f = serve(t, rest.Settings{MaxBytes: 20}, endless)
	if _, _, err := f.read(args(nil)); err == nil || !strings.Contains(err.Error(), "larger than 20 bytes") {
		t.Errorf("%v", err)
	}
	f = serve(t, rest.Settings{MaxBytes: 1 << 20}, func(w http.ResponseWriter, _ *http.Request) { // a bomb
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, packed(`[`+strings.Repeat(" ", 64<<20)+`]`)) //nolint:errcheck // a test's server
	})
	if _, _, err := f.read(m{}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

func TestLoops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		args    m
	}{
		"itself": {func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", `{"items":[{"a":1}],"next":"/x"}`) }, m{"next_link": expr("response.next")}},
		"a circle": {func(w http.ResponseWriter, r *http.Request) {
			say(w, `{"items":[{"a":1}],"next":"/%d"}`, (len(r.URL.Path)*7+int(r.URL.Path[1]))%3)
		}, m{"path": "0", "next_link": expr("response.next")}},
		"cursor": {func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", `{"items":[{"a":1}],"next":"x"}`) }, m{"cursor": m{"param": "after", "value": expr("response.next")}}},
		"page":   {func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", `{"items":[{"a":1},{"a":2}]}`) }, m{"page": m{"param": "p", "start": 1}}},
		"offset": {func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", `{"items":[{"a":1},{"a":2}]}`) }, m{"offset": m{"param": "p"}}},
	} {
		f := serve(t, rest.Settings{}, c.handler)
		c.args["records"] = expr("response.items")
		got, _, err := f.read(c.args)
		if err == nil || flow.KindOf(err) != flow.Invalid || len(got) > 4 {
			t.Errorf("%s: %d pages, %v", name, len(got), err)
		}
	}
}

func TestTotalAndWarnings(t *testing.T) {
	t.Parallel()
	f := serve(t, rest.Settings{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `</x?p=2>; rel=next`)
		say(w, `{"items":%s,"total":11}`, items(0, 10))
	})
	_, _, err := f.read(m{"records": expr("response.items"), "total": expr("response.total")})
	if flow.KindOf(err) != flow.Conflict || !strings.Contains(err.Error(), "10 records, their total says 11") {
		t.Errorf("%v", err)
	}
	_, _, err = f.read(m{"records": expr("response.items"), "total": expr("response.items")})
	if err == nil || !strings.Contains(err.Error(), "no number") {
		t.Errorf("%v", err)
	}
	for want, args := range map[string]m{
		"Link header":                    {"records": expr("response.items")},
		"page 1 is full (10 records)":    {"records": expr("response.items"), "next_link": expr("response.next"), "params": m{"limit": 10}},
		"":                               {"records": expr("response.items"), "next_link": expr("response.next"), "params": m{"limit": 100}},
		"as many records as were asked ": {"records": expr("response.items"), "params": m{"per_page": "10"}},
	} {
		f := serve(t, rest.Settings{}, func(w http.ResponseWriter, _ *http.Request) {
			if want == "Link header" {
				w.Header().Set("Link", `</x?p=2>; rel=next`)
			}
			say(w, `{"items":%s}`, items(0, 10))
		})
		if _, got, err := f.read(args); err != nil || !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("warning %q, want %q, %v", got, want, err)
		}
	}
	n := 0
	f = serve(t, rest.Settings{}, func(w http.ResponseWriter, _ *http.Request) {
		n++
		say(w, `{"items":%s,"next":%q}`, items(10*n, 10), []string{"/2", "/3", ""}[n-1])
	})
	if _, got, err := f.read(m{"records": expr("response.items"), "next_link": expr("response.next")}); err != nil || !strings.Contains(got, "page 3 is full") {
		t.Errorf("%q %v", got, err)
	}
}

func TestOtherHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ next, want string }{
		{"https://evil.example/items", "another host"},
		{"//evil.example/items", "another host"},
		{"http://127.0.0.1:1/items", "another host"},
	} {
		f := serve(t, rest.Settings{Auth: &rest.Auth{Bearer: flow.NewSecret("the token")}}, func(w http.ResponseWriter, _ *http.Request) {
			say(w, `{"items":[{"a":1}],"next":%q}`, c.next)
		})
		if _, _, err := f.read(m{"records": expr("response.items"), "next_link": expr("response.next")}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.next, err)
		}
	}
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(other.Close)
	u, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := serve(t, rest.Settings{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://localhost:"+u.Port()+"/", http.StatusFound)
	})
	if _, _, err := f.read(m{}); err == nil || flow.KindOf(err) != flow.Invalid {
		t.Errorf("%v", err)
	}
}

var errPlanted = errors.New("planted")

func TestRows(t *testing.T) {
	t.Parallel()
	var at, most atomic.Int64
	five := make(chan struct{})
	var once sync.Once
	f := serve(t, rest.Settings{Concurrency: 5}, func(w http.ResponseWriter, r *http.Request) {
		n := at.Add(1)
		defer at.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		id := strings.TrimPrefix(r.URL.Path, "/")
		i, _ := strconv.Atoi(id)
		if n == 5 {
			once.Do(func() { close(five) })
		}
		select {
		case <-five: // the first five wait for each other
		case <-time.After(10 * time.Second):
		}
		switch {
		case i%7 == 3:
			http.NotFound(w, r)
		case i%11 == 4:
			http.Error(w, "bad", http.StatusBadRequest)
		default:
			say(w, `{"id":%s}`, id)
		}
	})
	args := m{"path": pieces("/", "row.id"), "on_404": "skip", "tolerate": true}
	run := func(args m, n int) (got []string, failed int, err error) {
		q := f.query(args)
		q.Rows = rows(n)
		for p, err := range f.api.Pages(t.Context(), q) {
			if err != nil {
				return got, failed, err
			}
			if p.Failed != "" {
				failed++
				continue
			}
			if p.Records > 0 {
				got = append(got, string(p.Body))
			}
		}
		return got, failed, nil
	}
	got, failed, err := run(args, 200)
	var want []string
	bad := 0
	for i := range 200 {
		if i%7 != 3 && i%11 == 4 {
			bad++
		}
		if i%7 != 3 && i%11 != 4 {
			want = append(want, fmt.Sprintf(`{"id":%d}`, i))
		}
	}
	if d := cmp.Diff(want, got); d != "" || err != nil || failed != bad {
		t.Errorf("%d failed, %v\n%s", failed, err, d)
	}
	if n := most.Load(); n != 5 {
		t.Errorf("%d requests at once, want 5", n)
	}
	if _, _, err := run(m{"path": pieces("/", "row.id")}, 10); flow.KindOf(err) != flow.NotFound || !strings.Contains(err.Error(), "row 4") {
		t.Errorf("without on_404: %v", err)
	}
	if _, _, err := run(m{"path": pieces("/", "row.id"), "on_404": "skip"}, 10); flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "row 5") {
		t.Errorf("without tolerate: %v", err)
	}
	if _, _, err := run(m{"path": pieces("/", "row.nosuch")}, 1); err == nil || !strings.Contains(err.Error(), "row.nosuch") {
		t.Errorf("a name without a value: %v", err)
	}
	q := f.query(m{"path": pieces("/", "row.id")})
	q.Rows = func(yield func([]byte, error) bool) {
		if yield([]byte(`{"id":0}`), nil) {
			yield(nil, errPlanted)
		}
	}
	n := 0
	for _, err := range f.api.Pages(t.Context(), q) {
		if n++; n == 2 && !errors.Is(err, errPlanted) || n == 1 && err != nil {
			t.Errorf("page %d: %v", n, err)
		}
	}
	if n != 2 {
		t.Errorf("%d pages", n)
	}
}
