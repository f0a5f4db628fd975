package s3

import (
	"bytes"
	"fmt"
	"io"
	stdlog "log" // the type that httputil wants
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// between puts a proxy before the local server that may spoil an answer or give its own.
func between(t *testing.T, b *Bucket, before func(w http.ResponseWriter, r *http.Request) bool, after func(*http.Response) error) *Bucket {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.Out.Host = r.In.Host
		},
		ModifyResponse: after,
		ErrorLog:       stdlog.New(io.Discard, "", 0),
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before == nil || !before(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return New(cfg, b.name, Options{})
}

// short breaks a body off after some bytes, keeping its announced length.
type short struct {
	io.Reader
	io.Closer
}

func shorten(resp *http.Response, n int64) {
	resp.Body = short{io.MultiReader(io.LimitReader(resp.Body, n), broken{}), resp.Body}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("cut") }

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7 >> 3)
	}
	return p
}

func TestBodyThatBreaksOffIsResumed(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	data := pattern(30 << 20)
	if _, err := write(t, b, "x", string(data), flow.Condition{}); err != nil {
		t.Fatal(err)
	}
	var cuts atomic.Int64
	cut := between(t, b, nil, func(resp *http.Response) error {
		if resp.Request.Method == http.MethodGet && cuts.Add(1)%2 == 1 {
			shorten(resp, 300_000)
		}
		return nil
	})
	r, err := cut.Open(t.Context(), "x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x")
	var told atomic.Int64
	if _, err := cut.Download(t.Context(), "x", path, func(n int64) { told.Add(n) }); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) || told.Load() != int64(len(data)) {
		t.Fatalf("%d bytes, %d told, %v", len(got), told.Load(), err)
	}
	if cuts.Load() < 6 {
		t.Errorf("only %d answers: nothing was cut", cuts.Load())
	}
}

func TestShortBodyIsAnError(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	if _, err := write(t, b, "x", string(pattern(10<<20)), flow.Condition{}); err != nil {
		t.Fatal(err)
	}
	cut := between(t, b, nil, func(resp *http.Response) error {
		if resp.Request.Method == http.MethodGet {
			shorten(resp, 100_000)
		}
		return nil
	})
	r, err := cut.Open(t.Context(), "x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.ReadAll(r); flow.KindOf(err) != flow.Transient {
		t.Errorf("read: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := cut.Download(t.Context(), "x", filepath.Join(dir, "x"), nil); flow.KindOf(err) != flow.Transient {
		t.Errorf("download: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestChecksumOfWhole(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	for _, n := range []int{1000, 20 << 20} {
		if _, err := write(t, b, "x", string(pattern(n)), flow.Condition{}); err != nil {
			t.Fatal(err)
		}
		var told atomic.Bool
		flip := between(t, b, nil, func(resp *http.Response) error {
			if resp.Request.Method != http.MethodGet {
				return nil
			}
			if resp.Header.Get("X-Amz-Checksum-Crc32") != "" {
				told.Store(true)
			}
			body, err := io.ReadAll(resp.Body)
			body[len(body)-1] ^= 1
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return err
		})
		r, err := flip.Open(t.Context(), "x", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.ReadAll(r); err == nil || !told.Load() {
			t.Errorf("%d bytes of which one was changed were read without an error (checksum told: %v)", n, told.Load())
		}
		_ = r.Close() //nolint:errcheck // it failed
	}
}

func TestThrottledIsRepeated(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	var calls atomic.Int64
	slow := between(t, b, func(w http.ResponseWriter, _ *http.Request) bool {
		if calls.Add(1) > 2 {
			return false
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`) //nolint:errcheck // the client tells
		return true
	}, nil)
	if _, err := write(t, slow, "x", "1", flow.Condition{IfAbsent: true}); err != nil || calls.Load() != 3 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	always := between(t, b, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`) //nolint:errcheck // the client tells
		return true
	}, nil)
	_, err := write(t, always, "x", "1", flow.Condition{})
	if flow.KindOf(err) != flow.Throttled || flow.Name(err) != "S3.SlowDownException" {
		t.Errorf("got %v, kind %v, name %s", err, flow.KindOf(err), flow.Name(err))
	}
}

// TestLostAnswer: the answer to a conditional write is lost, its repeat meets the object of
// the first attempt and must know it for its own.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	for _, n := range []int{10, 20 << 20} {
		var lost atomic.Bool
		flaky := between(t, b, nil, func(resp *http.Response) error {
			commit := resp.Request.Method == http.MethodPut && n == 10 || resp.Request.Method == http.MethodPost && resp.Request.URL.Query().Has("uploadId")
			if commit && lost.CompareAndSwap(false, true) {
				return fmt.Errorf("lost")
			}
			return nil
		})
		name := strconv.Itoa(n)
		if o, err := write(t, flaky, name, string(pattern(n)), flow.Condition{IfAbsent: true}); err != nil || o.Size != int64(n) || !lost.Load() {
			t.Errorf("%d bytes: %+v, %v, lost %v", n, o, err, lost.Load())
		}
		if _, err := write(t, flaky, name, "2", flow.Condition{IfAbsent: true}); flow.KindOf(err) != flow.Conflict {
			t.Errorf("another write: %v", err)
		}
	}
}

func TestUploadFile(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	for _, n := range []int{0, 100, 8 << 20, 25 << 20} {
		path := filepath.Join(t.TempDir(), "x")
		data := pattern(n)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		name := strconv.Itoa(n)
		o, err := b.Upload(t.Context(), path, name, flow.Condition{IfAbsent: true}, nil)
		if err != nil || o.Size != int64(n) {
			t.Fatalf("%+v, %v", o, err)
		}
		if _, err := b.Upload(t.Context(), path, name, flow.Condition{IfAbsent: true}, nil); flow.KindOf(err) != flow.Conflict {
			t.Errorf("again: %v", err)
		}
		back := filepath.Join(t.TempDir(), "y")
		if p, err := b.Download(t.Context(), name, back, nil); err != nil || p.ETag != o.ETag {
			t.Fatalf("%+v, %v", p, err)
		}
		if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if _, err := b.Upload(t.Context(), filepath.Join(t.TempDir(), "none"), "x", flow.Condition{}, nil); flow.KindOf(err) != flow.NotFound {
		t.Errorf("a missing file: %v", err)
	}
	out, err := b.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &b.name})
	if err != nil || len(out.Uploads) > 0 {
		t.Errorf("%d uploads are left behind, %v", len(out.Uploads), err)
	}
}

// TestKMSHeaders looks at what is sent.
func TestKMSHeaders(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	var seen atomic.Int64
	k := between(t, b, func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		begins := r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploads")
		if !begins {
			return false
		}
		if r.Header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "alias/etl" {
			t.Errorf("%s %s: %v", r.Method, r.URL, r.Header)
		}
		seen.Add(1)
		w.WriteHeader(http.StatusNotImplemented)
		return true
	}, nil)
	k.kms = "alias/etl"
	for _, n := range []int{10, 9 << 20} {
		if _, err := write(t, k, "x", strings.Repeat("x", n), flow.Condition{}); err == nil {
			t.Error("no error")
		}
	}
	if _, err := write(t, b, "y", "1", flow.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Copy(t.Context(), "y", "z"); err == nil {
		t.Error("no error")
	}
	if seen.Load() != 3 {
		t.Errorf("%d requests", seen.Load())
	}
}

// TestTidy removes the uploads that are doomed, and no other.
func TestTidy(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	for _, name := range []string{"a/1", "a/2", "ab/1"} {
		if _, err := b.begin(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
	}
	err := b.Tidy(t.Context(), "a/", func(name string, begun time.Time) bool {
		if age := time.Since(begun); age < -time.Minute || age > time.Hour {
			t.Errorf("%s was begun %s ago", name, age)
		}
		return name != "a/2"
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &b.name})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, u := range out.Uploads {
		left = append(left, *u.Key)
	}
	if fmt.Sprint(left) != "[a/2 ab/1]" {
		t.Errorf("left: %v", left)
	}
}
