package awslocal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// serveArg makes the test binary a server in a folder until it is killed.
const serveArg = "__serve-until-killed"

func TestMain(m *testing.M) {
	if code, handled := Child(os.Args[1:], os.Stdin); handled {
		os.Exit(code)
	}
	if len(os.Args) == 3 && os.Args[1] == serveArg {
		err := Serve(context.Background(), Config{Addr: "127.0.0.1:0", Dir: os.Args[2], Path: "/usr/bin:/bin", Pace: "instant", Spark: findSpark, Ready: func(url string) { fmt.Println(url) }}) //nolint:forbidigo // the root of a process
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// start serves until the test ends, or until stop is called.
func start(t *testing.T, c Config) (url string, stop func()) {
	t.Helper()
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	c.Ready = func(url string) { ready <- url }
	go func() { done <- Serve(ctx, c) }()
	select {
	case url = <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return url, stop
}

func client(t *testing.T, url string, s awsauth.Settings) (*awss3.Client, awsauth.Config) {
	t.Helper()
	s.Endpoint = url
	cfg, err := awsauth.Load(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true }), cfg
}

func put(t *testing.T, c *awss3.Client, bucket, key, text string) {
	t.Helper()
	if _, err := c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text)}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *awss3.Client, bucket, key string) string {
	t.Helper()
	out, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func makeBucket(t *testing.T, c *awss3.Client, bucket string) {
	t.Helper()
	if _, err := c.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, stop := start(t, Config{Dir: dir})
	c, _ := client(t, url, awsauth.Settings{})
	makeBucket(t, c, "lake")
	put(t, c, "lake", "a/b", "kept")
	if err := Serve(t.Context(), Config{Addr: "127.0.0.1:0", Dir: dir}); flow.KindOf(err) != flow.Conflict {
		t.Errorf("a second server in the same folder: %v", err)
	}
	stop()
	url, _ = start(t, Config{Dir: dir})
	c, _ = client(t, url, awsauth.Settings{})
	if got := get(t, c, "lake", "a/b"); got != "kept" {
		t.Errorf("got %q", got)
	}
}

func TestMemoryLeavesNothing(t *testing.T) {
	// Not parallel: it looks at the folder of temporary files, which it sets.
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	url, stop := start(t, Config{Memory: true})
	c, _ := client(t, url, awsauth.Settings{})
	makeBucket(t, c, "lake")
	put(t, c, "lake", "x", "1")
	stop()
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// serving starts the server as a process of its own, over a folder.
func serving(t *testing.T, dir string) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], serveArg, dir) //nolint:gosec // ourselves
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

// TestKill: the S3 process does not outlive its parent, and the state is whole.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, url := serving(t, dir)
	c, _ := client(t, url, awsauth.Settings{})
	makeBucket(t, c, "lake")
	put(t, c, "lake", "x", "1")
	var pids []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tasks {
		children, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range strings.Fields(string(children)) {
			n, err := strconv.Atoi(p)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
	}
	if len(pids) != 1 {
		t.Fatalf("children: %v", pids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() //nolint:errcheck // killed
	deadline, tick := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for alive(pids[0]) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d is still there", pids[0])
		}
	}
	url, _ = start(t, Config{Dir: dir})
	c, _ = client(t, url, awsauth.Settings{})
	if got := get(t, c, "lake", "x"); got != "1" {
		t.Errorf("got %q", got)
	}
}

// alive tells whether a process runs; one that ended and was not waited for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":4566", "0.0.0.0:4566", "[::]:4566", "192.168.1.1:4566", "example.com:4566", "4566"} {
		err := Serve(t.Context(), Config{Addr: addr, Memory: true})
		if flow.KindOf(err) != flow.Invalid || flow.HintOf(err) == "" {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestForeignPages(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Memory: true})
	for _, h := range []struct{ host, origin string }{{"evil.example", ""}, {"127.0.0.1", "https://evil.example"}, {"localhost.evil.example", ""}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("Action=GetCallerIdentity"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Host = h.host
		if h.origin != "" {
			r.Header.Set("Origin", h.origin)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() //nolint:errcheck // not read
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%+v: %s", h, resp.Status)
		}
	}
}

func TestKeysAndRegions(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Memory: true})
	for i, s := range []awsauth.Settings{
		{}, {Region: "eu-west-1"},
		{AccessKey: "AKIAOTHER", SecretKey: flow.NewSecret("anything")},
		{AccessKey: "AKIAOTHER", SecretKey: flow.NewSecret("anything"), Region: "ap-southeast-2"},
		{RoleARN: "arn:aws:iam::123456789012:role/etl"},
	} {
		c, _ := client(t, url, s)
		bucket := fmt.Sprintf("lake-%d", i)
		in := &awss3.CreateBucketInput{Bucket: &bucket}
		if s.Region != "" {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(s.Region)}
		}
		if _, err := c.CreateBucket(t.Context(), in); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		for _, key := range []string{"plain", "with space/ü+=&?#%20"} {
			put(t, c, bucket, key, "text")
			if got := get(t, c, bucket, key); got != "text" {
				t.Errorf("%d: got %q", i, got)
			}
		}
		link, err := awss3.NewPresignClient(c).PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: &bucket, Key: aws.String("plain")})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get(link.URL)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() //nolint:errcheck // read
		if err != nil || string(text) != "text" {
			t.Errorf("%d: presigned: %s %q, %v", i, resp.Status, text, err)
		}
	}
	c, _ := client(t, url, awsauth.Settings{AccessKey: Key, SecretKey: flow.NewSecret("wrong")})
	if _, err := c.ListBuckets(t.Context(), &awss3.ListBucketsInput{}); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("a wrong secret of the known key: %v", err)
	}
	resp, err := http.Get(url + "/lake-0/plain")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() //nolint:errcheck // not read
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("without a signature: %s", resp.Status)
	}
}

func TestHostStyle(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Memory: true})
	c, cfg := client(t, url, awsauth.Settings{})
	makeBucket(t, c, "lake")
	put(t, c, "lake", "a b", "text")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/a%20b", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "lake.s3.localhost:4566"
	keys, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, unsigned, "s3", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "text" {
		t.Errorf("%s %q %v", resp.Status, text, err)
	}
}

// TestSignedPieces: a body whose pieces are signed by a key that is not checked.
func TestSignedPieces(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Memory: true})
	c, _ := client(t, url, awsauth.Settings{})
	makeBucket(t, c, "lake")
	body := "5;chunk-signature=" + strings.Repeat("0", 64) + "\r\nhello\r\n6;chunk-signature=" + strings.Repeat("0", 64) + "\r\n world\r\n0;chunk-signature=" + strings.Repeat("0", 64) + "\r\n\r\n"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/lake/x", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	const payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", payload)
	r.Header.Set("X-Amz-Decoded-Content-Length", "11")
	r.Header.Set("Content-Encoding", "aws-chunked,gzip")
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIAOTHER", SecretAccessKey: "x"}, r, payload, "s3", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() //nolint:errcheck // not read
	head, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("lake"), Key: aws.String("x")})
	if resp.StatusCode != http.StatusOK || err != nil || aws.ToString(head.ContentEncoding) != "gzip" {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	if got := get(t, c, "lake", "x"); got != "hello world" {
		t.Errorf("got %q", got)
	}
}

// TestFileFromOutside: what another program writes into the folder is an object with an ETag,
// also for conditions.
func TestFileFromOutside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, stop := start(t, Config{Dir: dir})
	c, _ := client(t, url, awsauth.Settings{})
	makeBucket(t, c, "lake")
	file := filepath.Join(dir, "s3", "lake", "part-0.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	in := &awss3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("part-0.csv"), Body: strings.NewReader("mine"), IfNoneMatch: aws.String("*")}
	if _, err := c.PutObject(t.Context(), in); err == nil || !strings.Contains(err.Error(), "PreconditionFailed") {
		t.Errorf("if absent: %v", err)
	}
	etag := func() string {
		t.Helper()
		out, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(out.ETag)
	}
	if got := etag(); got != `"f97c5d29941bfb1b2fdab0874906ab82"` {
		t.Errorf("got %s, want the MD5 of one", got)
	}
	write("other")
	if got := etag(); got != `"795f3202b17cb6bc3d4b771d8c6c9eaf"` {
		t.Errorf("got %s, want the MD5 of other", got)
	}
	if got := get(t, c, "lake", "part-0.csv"); got != "other" {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "s3", "lake", "by hand"), []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	url, _ = start(t, Config{Dir: dir})
	c, _ = client(t, url, awsauth.Settings{})
	list, err := c.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: in.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		if aws.ToString(o.ETag) == "" {
			t.Errorf("%s is listed without an ETag", *o.Key)
		}
	}
	if len(list.Contents) != 2 {
		t.Errorf("%d objects", len(list.Contents))
	}
}

func TestMetadataNames(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Memory: true})
	c, _ := client(t, url, awsauth.Settings{})
	makeBucket(t, c, "lake")
	if _, err := c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("x"), Metadata: map[string]string{"my-name": "v"}}); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	u := strings.TrimPrefix(url, "http://")
	link, err := awss3.NewPresignClient(c).PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String("x")})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()                                                                                                  //nolint:errcheck // read to its end
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", strings.TrimPrefix(link.URL, url), u) //nolint:errcheck // the client tells
	if _, err := raw.ReadFrom(conn); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(raw.String(), "x-amz-meta-my-name: v") || strings.Count(raw.String(), "X-Amz-Request-Id") > 1 {
		t.Errorf("got %s", raw.String())
	}
}

func TestSTS(t *testing.T) {
	t.Parallel()
	now := time.Now()
	url, _ := start(t, Config{Memory: true, Now: func() time.Time { return now }})
	_, cfg := client(t, url, awsauth.Settings{})
	who, err := awsauth.Test(t.Context(), cfg)
	if err != nil || who != "arn:aws:iam::000000000000:root" {
		t.Errorf("%s, %v", who, err)
	}
	c := awssts.NewFromConfig(cfg)
	role, err := c.AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/team/etl"), RoleSessionName: aws.String("me"), DurationSeconds: aws.Int32(900)})
	if err != nil {
		t.Fatal(err)
	}
	k := role.Credentials
	if d := k.Expiration.Sub(now); d > 900*time.Second || d < 898*time.Second {
		t.Errorf("it ends in %v", d)
	}
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*k.AccessKeyId, *k.SecretAccessKey, *k.SessionToken)
	if who, err = awsauth.Test(t.Context(), cfg); err != nil || who != "arn:aws:sts::123456789012:assumed-role/etl/me" || who != *role.AssumedRoleUser.Arn {
		t.Errorf("%s, %v", who, err)
	}
	if out, err := awssts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil); err != nil || *out.Account != "123456789012" || *out.UserId != *role.AssumedRoleUser.AssumedRoleId {
		t.Errorf("%+v, %v", out, err)
	}
	now = now.Add(time.Hour)
	_, err = awsauth.Test(t.Context(), cfg)
	if flow.KindOf(err) != flow.Denied || !strings.Contains(err.Error(), "ExpiredToken") {
		t.Errorf("after its end: %v", err)
	}
	if out, err := c.GetSessionToken(t.Context(), &awssts.GetSessionTokenInput{}); err != nil || !strings.HasPrefix(*out.Credentials.AccessKeyId, "ASIA") {
		t.Errorf("%+v, %v", out, err)
	}
	for _, in := range []*awssts.AssumeRoleInput{
		{RoleArn: aws.String("arn:aws:iam::123:role/short-account"), RoleSessionName: aws.String("me")},
		{RoleArn: aws.String("arn:aws:iam::123456789012:role/etl"), RoleSessionName: aws.String("a b")},
		{RoleArn: aws.String("arn:aws:iam::123456789012:role/etl"), RoleSessionName: aws.String("me"), DurationSeconds: aws.Int32(10)},
	} {
		if _, err := c.AssumeRole(t.Context(), in); err == nil || !strings.Contains(err.Error(), "ValidationError") {
			t.Errorf("%s %s: %v", *in.RoleArn, *in.RoleSessionName, err)
		}
	}
	if _, err := c.GetFederationToken(t.Context(), &awssts.GetFederationTokenInput{Name: aws.String("x1")}); err == nil || !strings.Contains(err.Error(), "InvalidAction") {
		t.Errorf("got %v", err)
	}
}

func TestNotBuilt(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Memory: true})
	ask := func(typ, target string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", typ)
		r.Header.Set("X-Amz-Target", target)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // only read
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, body
	}
	resp, body := ask("application/x-amz-json-1.1", "DynamoDB_20120810.ListTables") //nolint:bodyclose // ask closed it
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &e); err != nil || resp.StatusCode != http.StatusBadRequest || e.Type != "UnknownOperationException" || !strings.Contains(e.Message, "dynamodb_20120810 is not built") {
		t.Errorf("%s %s, %v", resp.Status, body, err)
	}
	resp, body = ask("application/x-www-form-urlencoded", "AmazonSNS.ListTopics") //nolint:bodyclose // ask closed it
	var x struct {
		Error struct{ Code, Message string }
	}
	if err := xml.Unmarshal(body, &x); err != nil || resp.StatusCode != http.StatusBadRequest || x.Error.Code != "InvalidAction" || !strings.Contains(x.Error.Message, "amazonsns is not built") {
		t.Errorf("%s %s, %v", resp.Status, body, err)
	}
}
