package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/flow"
)

var endpoint string

func TestMain(m *testing.M) {
	if code, handled := awslocal.Child(os.Args[1:], os.Stdin); handled {
		os.Exit(code)
	}
	os.Exit(withServer(m))
}

func withServer(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // no test is running yet
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- awslocal.Serve(ctx, awslocal.Config{Addr: "127.0.0.1:0", Memory: true, Ready: func(url string) { ready <- url }})
	}()
	select {
	case endpoint = <-ready:
	case err := <-done:
		fmt.Fprintln(os.Stderr, err)
		cancel()
		return 1
	}
	defer func() { <-done }()
	defer cancel()
	return m.Run()
}

// project is a folder with buckets beside it: the Lookup of the tests.
type project struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	buckets map[string]*s3.Bucket
	log     bytes.Buffer
	seen    atomic.Int64 // bytes that Progress told
}

var made atomic.Int64

func newProject(t *testing.T) *project {
	t.Helper()
	return &project{t: t, dir: t.TempDir(), buckets: map[string]*s3.Bucket{}}
}

// bucket makes an S3 bucket and returns its URI.
func (p *project) bucket() string {
	p.t.Helper()
	cfg, err := awsauth.Load(p.t.Context(), awsauth.Settings{Endpoint: endpoint})
	if err != nil {
		p.t.Fatal(err)
	}
	name := "move-" + strconv.FormatInt(made.Add(1), 10)
	c := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	if _, err := c.CreateBucket(p.t.Context(), &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		p.t.Fatal(err)
	}
	p.buckets[name] = s3.New(cfg, name, s3.Options{})
	return "s3://" + name
}

func (p *project) Bucket(_ context.Context, uri string) (flow.Bucket, string, error) {
	if rest, ok := strings.CutPrefix(uri, "s3://"); ok {
		bucket, key, _ := strings.Cut(rest, "/")
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.buckets[bucket], key, nil
	}
	if filepath.IsAbs(uri) {
		return file.New("/"), strings.TrimPrefix(uri, "/"), nil
	}
	return file.New(p.dir), uri, nil
}

func (p *project) Text(context.Context, string) (string, error) { return "", errors.New("no texts") }

func (p *project) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// list returns the files below a URI as name=text.
func (p *project) list(uri string) []string {
	p.t.Helper()
	b, prefix, err := p.Bucket(p.t.Context(), uri)
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for o, err := range b.List(p.t.Context(), prefix) {
		if err != nil {
			p.t.Fatal(err)
		}
		r, err := b.Open(p.t.Context(), o.Name, 0, -1)
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			p.t.Fatal(err)
		}
		out = append(out, strings.TrimPrefix(o.Name, prefix)+"="+string(text))
	}
	return out
}

func (p *project) do(ctx context.Context, verb string, job any) (string, error) {
	p.t.Helper()
	args, err := json.Marshal(job)
	if err != nil {
		p.t.Fatal(err)
	}
	p.log.Reset()
	out, err := Tasks(Config{Lookup: p, Dir: p.dir, Grace: 200_000_000})[verb](ctx, flow.Request{
		Key: "r/s/1", State: "s", Arguments: args, Log: &p.log, Progress: func(g flow.Progress) { p.seen.Store(max(p.seen.Load(), g.Bytes)) },
	})
	return string(out), err
}

func (p *project) copy(from, to string) (string, error) {
	p.t.Helper()
	return p.do(p.t.Context(), "copy", flow.CopyJob{From: from, To: to})
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	fill := func(p *project, root string) {
		for _, n := range []string{"a.csv", "b.csv", "c.txt", "sub/a.csv", "sub/deep/d.csv"} {
			p.write("fixture/"+n, n)
		}
		if _, err := p.copy("fixture/", root+"/in/"); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, ways := range [][2]string{{"local", "local"}, {"local", "s3"}, {"s3", "local"}, {"s3", "s3"}} {
		t.Run(ways[0]+" to "+ways[1], func(t *testing.T) {
			t.Parallel()
			p := newProject(t)
			root := func(kind, name string) string {
				if kind == "s3" {
					return p.bucket()
				}
				return name
			}
			from, to := root(ways[0], "from"), root(ways[1], "to")
			fill(p, from)
			for _, c := range []struct {
				from, to string
				out      string
				want     []string
			}{
				{"/in/a.csv", "/1/x.csv", `{"files":1,"bytes":5}`, []string{"x.csv=a.csv"}},
				{"/in/a.csv", "/2/", `{"files":1,"bytes":5}`, []string{"a.csv=a.csv"}},
				{"/in/sub/", "/3", `{"files":2,"bytes":23}`, []string{"a.csv=sub/a.csv", "deep/d.csv=sub/deep/d.csv"}},
				{"/in/sub/", "/4/", `{"files":2,"bytes":23}`, []string{"a.csv=sub/a.csv", "deep/d.csv=sub/deep/d.csv"}},
				{"/in/*.csv", "/5", `{"files":2,"bytes":10}`, []string{"a.csv=a.csv", "b.csv=b.csv"}},
				{"/in/*/*.csv", "/6/", `{"files":1,"bytes":9}`, []string{"sub/a.csv=sub/a.csv"}},
				{"/in/**/*.csv", "/7/", `{"files":4,"bytes":33}`, []string{"a.csv=a.csv", "b.csv=b.csv", "sub/a.csv=sub/a.csv", "sub/deep/d.csv=sub/deep/d.csv"}},
				{"/in/{a.csv,c.*}", "/8/", `{"files":2,"bytes":10}`, []string{"a.csv=a.csv", "c.txt=c.txt"}},
				{"/in/[ab].csv", "/9/", `{"files":2,"bytes":10}`, []string{"a.csv=a.csv", "b.csv=b.csv"}},
			} {
				for range 2 { // again gives the same
					out, err := p.copy(from+c.from, to+c.to)
					if err != nil || out != c.out {
						t.Errorf("%s: %s, %v", c.from, out, err)
					}
					dir, _, _ := strings.Cut(c.to[1:], "/")
					equal(t, p.list(to+"/"+dir+"/"), c.want...)
				}
			}
			if p.seen.Load() == 0 || !strings.Contains(p.log.String(), "copied 2 files") {
				t.Errorf("progress %d, log %q", p.seen.Load(), p.log.String())
			}
		})
	}
}

func TestCopyIntoFolder(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.write("a.csv", "1")
	p.write("out/other", "2")
	if _, err := p.copy("a.csv", "out"); err != nil {
		t.Fatal(err)
	}
	equal(t, p.list("out/"), "a.csv=1", "other=2")
	if _, err := p.copy("a.csv", "a.csv"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.copy("out", filepath.Join(p.dir, "abs")); err != nil {
		t.Fatal(err)
	}
	equal(t, p.list("abs/"), "a.csv=1", "other=2")
	p.write("odd[1].csv", "3")
	if _, err := p.copy("odd[1].csv", "named.csv"); err != nil {
		t.Fatal(err)
	}
	equal(t, p.list("named.csv"), "=3")
}

func TestMissingSource(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.write("data/orders_20171105.csv", "1")
	lake := p.bucket()
	if _, err := p.copy("data/", lake+"/data/"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, name, hint string }{
		{"data/orders_20171106.csv", "Tidemill.NotFound", "orders_20171105.csv"},
		{lake + "/data/orders_20171106.csv", "S3.NoSuchKeyException", "orders_20171105.csv"},
		{"data/*.parquet", "Tidemill.NotFound", "orders_20171105.csv"},
		{lake + "/data", "S3.NoSuchKeyException", lake + "/data/"},
		{"none/", "Tidemill.NotFound", "wait"},
		{lake + "/none/", "Tidemill.NotFound", "wait"},
		{"none/x.csv", "Tidemill.NotFound", "wait"},
	} {
		_, err := p.copy(c.from, "out/")
		if flow.KindOf(err) != flow.NotFound || flow.Name(err) != c.name || !strings.Contains(err.Error(), c.from) || !strings.Contains(flow.HintOf(err), c.hint) {
			t.Errorf("%v, name %s, hint %q", err, flow.Name(err), flow.HintOf(err))
		}
		_, err = p.do(t.Context(), "exists", flow.ExistsJob{URI: c.from})
		if flow.KindOf(err) != flow.NotFound || flow.Name(err) != c.name {
			t.Errorf("exists: %v, name %s", err, flow.Name(err))
		}
	}
	equal(t, p.list("out/"))
	for _, job := range []flow.CopyJob{{From: "", To: "x"}, {From: "x"}, {From: "data/", To: "https://example.com/x"}, {From: "data/[", To: "x/"}} {
		if _, err := p.do(t.Context(), "copy", job); flow.KindOf(err) != flow.Invalid {
			t.Errorf("%+v: %v", job, err)
		}
	}
}

func TestExists(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	lake := p.bucket()
	p.write("in/a.csv", "12345")
	p.write("in/b/c.csv", "123")
	if _, err := p.copy("in/", lake+"/in/"); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"", lake + "/"} {
		for uri, want := range map[string]string{"in/a.csv": `"bytes":5,"etag":"`, "in/": `"bytes":8,"files":2`, "in/*.csv": `"bytes":5,"files":1`} {
			out, err := p.do(t.Context(), "exists", flow.ExistsJob{URI: root + uri})
			if err != nil || !strings.Contains(out, want) || !strings.Contains(out, `"uri":"`+root+uri) {
				t.Errorf("%s: %s, %v", uri, out, err)
			}
		}
	}
}

func TestCopyFromWeb(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("0123456789", 100_000)
	var calls atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/plain.csv", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, data) //nolint:errcheck // a test
	})
	mux.HandleFunc("/busy.csv", func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok") //nolint:errcheck // a test
	})
	mux.HandleFunc("/resumed.csv", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		from := 0
		if rng := r.Header.Get("Range"); rng != "" && r.Header.Get("If-Range") == `"v1"` {
			if _, err := fmt.Sscanf(rng, "bytes=%d-", &from); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.Header().Set("Content-Length", strconv.Itoa(len(data)-from))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-from))
		_, _ = io.WriteString(w, data[from:min(len(data), from+400_000)]) //nolint:errcheck // a test
	})
	mux.HandleFunc("/short.csv", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = io.WriteString(w, data[:1000]) //nolint:errcheck // a test
	})
	mux.HandleFunc("/secret.csv", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p := newProject(t)
	lake := p.bucket()
	for _, to := range []string{"web/", lake + "/web/"} {
		for name, want := range map[string]string{"plain.csv": data, "busy.csv": "ok", "resumed.csv": data} {
			if _, err := p.copy(s.URL+"/"+name, to); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			equal(t, p.list(to+name), "="+want)
		}
		for name, kind := range map[string]flow.Kind{"none.csv": flow.NotFound, "short.csv": flow.Transient, "secret.csv": flow.Denied} {
			_, err := p.copy(s.URL+"/"+name, to)
			if flow.KindOf(err) != kind || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
			equal(t, p.list(to+name))
		}
	}
	if _, err := p.copy(s.URL, "x/"); flow.KindOf(err) != flow.Invalid {
		t.Errorf("no file name: %v", err)
	}
	if out, err := p.do(t.Context(), "exists", flow.ExistsJob{URI: s.URL + "/resumed.csv"}); err != nil || !strings.Contains(out, `"bytes":1000000`) {
		t.Errorf("exists: %s, %v", out, err)
	}
	if _, err := p.do(t.Context(), "exists", flow.ExistsJob{URI: s.URL + "/none.csv"}); flow.KindOf(err) != flow.NotFound {
		t.Errorf("exists: %v", err)
	}
}

func TestCopyCancelled(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	lake := p.bucket()
	p.write("a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.do(ctx, "copy", flow.CopyJob{From: "a", To: lake + "/a"})
	if flow.KindOf(err) != flow.Canceled {
		t.Errorf("got %v", err)
	}
	equal(t, p.list(lake+"/"))
}
