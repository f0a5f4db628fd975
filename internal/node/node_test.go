package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	"github.com/tidemill/tidemill/internal/node"
)

const asNode = "TIDEMILL_TEST_AS_NODE" // set: the test binary is tidemill-node

func TestMain(m *testing.M) {
	if code, handled := awslocal.Child(os.Args[1:], os.Stdin); handled {
		os.Exit(code)
	}
	if os.Getenv(asNode) != "" {
		os.Exit(node.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func serve(t *testing.T) (string, awsauth.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- awslocal.Serve(ctx, awslocal.Config{Addr: "127.0.0.1:0", Memory: true, Ready: func(url string) { ready <- url }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	url := <-ready
	cfg, err := awsauth.Load(ctx, awsauth.Settings{Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	return url, cfg
}

// run runs tidemill-node as a process of its own.
func run(t *testing.T, url string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), asNode+"=1", "AWS_ENDPOINT_URL="+url, "AWS_REGION=us-east-1", "HOME="+t.TempDir())
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestExec gives a program secrets in its environment, ends as it does, and prints none.
func TestExec(t *testing.T) {
	t.Parallel()
	url, cfg := serve(t)
	name, value := "etl/key", `{"user":"me","password":"s3cret-word"}`
	if _, err := secretsmanager.NewFromConfig(cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value}); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, url, "exec", "--secret", "ALL=secretsmanager:etl/key", "--secret", "PASSWORD=secretsmanager:etl/key#password", "--", "sh", "-c", `echo "$PASSWORD $ALL"; exit 7`)
	if code != 7 || out != "s3cret-word "+value+"\n" {
		t.Errorf("exit %d: %q %q", code, out, errs)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"exec", "--secret", "X=secretsmanager:nosuch", "--", "true"}, 1, "read ${secretsmanager:nosuch}: "},
		{[]string{"exec", "--secret", "X=env:HOME", "--", "true"}, 1, "use ${secretsmanager:NAME} or ${ssm:NAME}"},
		{[]string{"exec", "--secret", "X=secretsmanager:etl/key#nosuch", "--", "true"}, 1, "no JSON object with the key nosuch"},
		{[]string{"exec", "--", "nosuchprogram"}, 127, "exec nosuchprogram"},
		{[]string{"exec"}, 2, "which program?"},
		{[]string{"exec", "true"}, 2, `unknown argument "true"`},
		{[]string{"frobnicate"}, 2, "install, task or exec"},
		{nil, 2, "what is to be done?"},
	} {
		code, _, errs := run(t, url, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "s3cret") {
			t.Errorf("%v: exit %d: %s", c.args, code, errs)
		}
	}
}

// TestTask copies between S3 and the node, and leaves its output where the machine looks.
func TestTask(t *testing.T) {
	t.Parallel()
	url, cfg := serve(t)
	s3 := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	bucket := "lake"
	if _, err := s3.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	put := func(key, text string) {
		if _, err := s3.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text)}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(key string) string {
		out, err := s3.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return err.Error()
		}
		defer out.Body.Close() //nolint:errcheck // a test
		text, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	put("in/a.csv", "id\n1\n")
	job := func(key, verb, arguments string) string {
		b, err := json.Marshal(node.Job{Verb: verb, Arguments: json.RawMessage(arguments), Out: "s3://lake/t/runs"})
		if err != nil {
			t.Fatal(err)
		}
		put(key, string(b))
		return "s3://lake/" + key
	}
	if code, _, errs := run(t, url, "task", "--job", job("j1", "copy", `{"from":"s3://lake/in/a.csv","to":"s3://lake/out/b.csv"}`), "--step", "r/a/1"); code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if got := get("out/b.csv"); got != "id\n1\n" {
		t.Errorf("copied %q", got)
	}
	if got := get("t/runs/r/a/1/output.json"); !strings.Contains(got, `"files":1`) {
		t.Errorf("the output is %q", got)
	}
	for _, c := range [][3]string{
		{job("j2", "exists", `{"uri":"s3://lake/nosuch"}`), "r/b/1", "nosuch"},
		{job("j3", "copy", `{"from":"data/x.csv","to":"s3://lake/out/x"}`), "r/c/1", "a node reaches s3:// and its own files alone"},
		{job("j4", "sql", `{}`), "r/d/1", "a node does copy, exists, fetch, index"},
		{job("j5", "copy", `{}`), "r", "RUN/STATE/ATTEMPT is wanted"},
		{"s3://lake/nojob", "r/e/1", "nojob"},
	} {
		if code, _, errs := run(t, url, "task", "--job", c[0], "--step", c[1]); code != 1 || !strings.Contains(errs, c[2]) {
			t.Errorf("%v: exit %d: %s", c, code, errs)
		}
	}
}

// TestInstall copies the program to where steps find it.
func TestInstall(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if code := node.Main([]string{"install"}, []string{"HOME=" + home}, io.Discard, io.Discard); code != 0 {
		t.Fatalf("exit %d", code)
	}
	if s, err := os.Stat(filepath.Join(home, "tidemill-node")); err != nil || s.Mode()&0o111 == 0 || s.Size() == 0 {
		t.Errorf("%v %v", s, err)
	}
}

// TestNoCgo follows every import of the program: none that is built may need cgo, because a
// node's C library is older than ours.
func TestNoCgo(t *testing.T) {
	t.Parallel()
	refused := []string{"duckdb-go", "go-sqlite3", "internal/duckdb", "internal/sqlite", "connect/search"}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "minicore_disabled", "-f", "{{.ImportPath}} {{.CgoFiles}}", "../../cmd/tidemill-node")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		pkg, files, _ := strings.Cut(strings.TrimSpace(line), " ")
		n++
		for _, r := range refused {
			if strings.Contains(pkg, r) {
				t.Errorf("%s is linked", pkg)
			}
		}
		std := !strings.Contains(strings.SplitN(pkg, "/", 2)[0], ".")
		if files != "[]" && !std {
			t.Errorf("%s has files for cgo: %s", pkg, files)
		}
	}
	if n < 200 {
		t.Errorf("only %d packages were looked at", n)
	}
}
