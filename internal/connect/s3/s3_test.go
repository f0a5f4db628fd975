package s3

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/flow"
)

// endpoint is that of the server that TestMain starts for all tests.
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
	code := m.Run()
	cancel()
	if err := <-done; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

var buckets atomic.Int64

// client makes a bucket on the local server.
func bucket(t testing.TB, o Options) *Bucket {
	t.Helper()
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	b := New(cfg, fmt.Sprintf("bucket-%d", buckets.Add(1)), o)
	if _, err := b.client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &b.name}); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConform(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	conform.Bucket(t, func() flow.Bucket { return b })
	out, err := b.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &b.name})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(out.Uploads); n > 0 {
		t.Errorf("%d uploads are left behind", n)
	}
}

func TestMissingBucket(t *testing.T) {
	t.Parallel()
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	b := New(cfg, "no-such-bucket", Options{})
	_, stat := b.Stat(t.Context(), "x")
	_, open := b.Open(t.Context(), "x", 0, -1)
	w, err := b.Create(t.Context(), "x", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	_, commit := w.Commit()
	_, absent := write(t, b, "x", "1", flow.Condition{IfAbsent: true})
	for what, err := range map[string]error{"stat": stat, "open": open, "commit": commit, "if absent": absent} {
		if flow.KindOf(err) != flow.NotFound || flow.Name(err) != "S3.NoSuchBucketException" || flow.HintOf(err) == "" {
			t.Errorf("%s: %v, kind %v, name %s, hint %q", what, err, flow.KindOf(err), flow.Name(err), flow.HintOf(err))
		}
	}
	for _, err := range b.List(t.Context(), "") {
		if flow.Name(err) != "S3.NoSuchBucketException" {
			t.Errorf("list: %v", err)
		}
	}
}

func write(t *testing.T, b *Bucket, name, text string, c flow.Condition) (flow.Object, error) {
	t.Helper()
	w, err := b.Create(t.Context(), name, c)
	if err != nil {
		return flow.Object{}, err
	}
	if _, err := strings.NewReader(text).WriteTo(w); err != nil {
		return flow.Object{}, err
	}
	return w.Commit()
}

func TestErrors(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	_, err := b.Stat(t.Context(), "none")
	if flow.Name(err) != "S3.NoSuchKeyException" || err.Error() != "stat "+b.uri("none")+": no such object" {
		t.Errorf("stat: %v, %s", err, flow.Name(err))
	}
	_, err = b.Open(t.Context(), "none", 0, -1)
	if flow.Name(err) != "S3.NoSuchKeyException" {
		t.Errorf("open: %v, %s", err, flow.Name(err))
	}
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: endpoint, AccessKey: awslocal.Key, SecretKey: flow.NewSecret("wrong")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = write(t, New(cfg, b.name, Options{}), "x", "1", flow.Condition{})
	if flow.KindOf(err) != flow.Denied || flow.Name(err) != "States.Permissions" || !strings.Contains(flow.HintOf(err), "secret key") {
		t.Errorf("wrong secret: %v, kind %v, hint %q", err, flow.KindOf(err), flow.HintOf(err))
	}
}

// TestCopyParts copies in parts what is in truth small enough for one request.
func TestCopyParts(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	b.copyLimit, b.copyPart = 1<<20, 5<<20
	text := strings.Repeat("0123456789", 1_200_000)
	if _, err := write(t, b, "from it", text, flow.Condition{}); err != nil {
		t.Fatal(err)
	}
	other := bucket(t, Options{})
	other.copyLimit, other.copyPart = b.copyLimit, b.copyPart
	o, err := other.CopyFrom(t.Context(), b, "from it", "to+it")
	if err != nil || o.Size != int64(len(text)) {
		t.Fatalf("%+v, %v", o, err)
	}
	r, err := other.Open(t.Context(), "to+it", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	var got strings.Builder
	if _, err := copyAll(&got, r); err != nil || got.String() != text {
		t.Fatalf("%d bytes, %v", got.Len(), err)
	}
}

func TestCopyFromElsewhere(t *testing.T) {
	t.Parallel()
	b := bucket(t, Options{})
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: endpoint, Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CopyFrom(t.Context(), New(cfg, "x", Options{}), "a", "b"); err == nil || !strings.Contains(err.Error(), "unsupported") {
		t.Errorf("got %v", err)
	}
}

func TestKMSKey(t *testing.T) {
	t.Parallel()
	b := New(awsauth.Config{Region: "us-east-1"}, "x", Options{KMSKey: "alias/etl", PartSize: 1})
	if b.part != minPart || aws.ToString(&b.kms) != "alias/etl" {
		t.Errorf("part %d, key %s", b.part, b.kms)
	}
}

func copyAll(w io.Writer, r io.Reader) (int64, error) { return io.Copy(w, r) }
