package cli

import (
	"bytes"
	"fmt"
	"io"
	stdlog "log" // the type that httputil wants
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestHalfUpload kills a load in the middle of a large object.
func TestHalfUpload(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	halfUpload(t, c.url, c.s3)
}

// halfUpload kills a load when the second part of an object is on its way to an S3 server:
// readers see nothing of it, and the load that is asked for again leaves no part behind.
func halfUpload(t *testing.T, server string, s3 *awss3.Client) {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	for _, publish := range []string{"each", "together"} {
		var victim atomic.Pointer[func()]
		proxy := &httputil.ReverseProxy{ErrorLog: stdlog.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		}}
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if kill := victim.Load(); kill != nil && r.URL.Query().Get("partNumber") == "2" {
				(*kill)()
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			proxy.ServeHTTP(w, r)
		}))
		defer front.Close()
		dir := t.TempDir()
		write(t, dir, map[string]string{
			"tidemill.yaml": fmt.Sprintf("project: p\ntargets: { local: { endpoint: %q } }\n", front.URL),
			"pipelines/p.yaml": "schedule: { cron: \"0 6 * * *\", day: start }\npublish: " + publish + `
steps:
  lines: { sql: "select id, sha2(cast(id as string), 256) as h from (select explode(sequence(1, 600000)) as id)" }
  lake:  { load: { from: lines, to: "s3://lake/` + publish + `/lines", scope: run } }
`,
		})
		half := process(t, dir, nil, "run", "p", "--date", "2017-11-06")
		var said bytes.Buffer
		half.Stdout, half.Stderr = &said, &said
		kill := func() { _ = half.Process.Kill() } //nolint:errcheck // another part may have
		victim.Store(&kill)
		if err := half.Run(); exitOf(err) != -1 {
			t.Fatalf("%s: the load was not killed: %v\n%s", publish, err, &said)
		}
		victim.Store(nil)
		if keys := objects(t, s3, "lake", publish+"/lines/part-"); len(keys) > 0 {
			t.Errorf("%s: readers see %v of a load that was killed", publish, keys)
		}
		if n := len(unfinished(t, s3, "lake")); n == 0 {
			t.Errorf("%s: no upload was half done", publish)
		}
		mustRun(t, dir, "run", "p", "--date", "2017-11-06")
		if left := unfinished(t, s3, "lake"); len(left) > 0 {
			t.Errorf("%s: left half uploaded: %v", publish, left)
		}
		local := t.TempDir()
		for _, key := range objects(t, s3, "lake", publish+"/lines/part-") {
			download(t, s3, "lake", key, local+"/"+key)
		}
		if got := readFiles(t, local, "select count(*), count(distinct id), count(distinct h) from lake"); fmt.Sprint(got) != "[[600000 600000 600000]]" {
			t.Errorf("%s: %v", publish, got)
		}
	}
}

func objects(t *testing.T, s3 *awss3.Client, bucket, prefix string) (keys []string) {
	t.Helper()
	out, err := s3.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

func unfinished(t *testing.T, s3 *awss3.Client, bucket string) (keys []string) {
	t.Helper()
	out, err := s3.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range out.Uploads {
		keys = append(keys, strings.TrimSpace(aws.ToString(u.Key)))
	}
	return keys
}
