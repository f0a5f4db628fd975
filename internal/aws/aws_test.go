package aws_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidemill/tidemill/internal/aws"
	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	"github.com/tidemill/tidemill/internal/flow"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestMain(m *testing.M) {
	if code, handled := awslocal.Child(os.Args[1:], os.Stdin); handled {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// serve starts AWS on localhost and returns its configuration.
func serve(t *testing.T) awsauth.Config {
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
	select {
	case url := <-ready:
		cfg, err := awsauth.Load(ctx, awsauth.Settings{Endpoint: url})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	panic("unreachable")
}

// The outputs and errors are those that LocalStack's authors recorded from AWS.
func TestS3(t *testing.T) {
	t.Parallel()
	cfg := serve(t)
	bucket := "lake"
	if _, err := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true }).CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	s := aws.New(func(context.Context) (awsauth.Config, error) { return cfg, nil })
	for _, c := range []struct{ act, in, want, fault, cause string }{
		{"putObject", `{"Bucket":"lake","Key":"a","Body":"text data"}`, `{"ETag":"\"332eec544317a6d340b8e77da7fe54ad\""}`, "", ""},
		{"putObject", `{"Bucket":"lake","Key":"j","Body":{"x":[1]}}`, `{"ETag":"…"}`, "", ""},
		{"getObject", `{"Bucket":"lake","Key":"j"}`, `{"AcceptRanges":"bytes","Body":"{\"x\":[1]}","ContentLength":9,"ContentType":"…","ETag":"…","LastModified":"…","Metadata":{}}`, "", ""},
		{"getObject", `{"Bucket":"lake","Key":"a"}`, `{"AcceptRanges":"bytes","Body":"text data","ContentLength":9,"ContentType":"…","ETag":"…","LastModified":"…","Metadata":{}}`, "", ""},
		{"headObject", `{"Bucket":"lake","Key":"a"}`, `{"AcceptRanges":"bytes","ContentLength":9,"ContentType":"…","ETag":"…","LastModified":"…","Metadata":{}}`, "", ""},
		{"copyObject", `{"Bucket":"lake","Key":"c/d","CopySource":"lake/a"}`, `{"CopyObjectResult":{"ETag":"…","LastModified":"…"}}`, "", ""},
		{"listObjectsV2", `{"Bucket":"lake","Prefix":"c/"}`, `{"Contents":[{"ETag":"…","Key":"c/d","LastModified":"…","Size":9}],"IsTruncated":false,"KeyCount":1,"MaxKeys":1000,"Name":"lake","Prefix":"c/"}`, "", ""},
		{"deleteObject", `{"Bucket":"lake","Key":"a"}`, `{}`, "", ""},
		{"headObject", `{"Bucket":"lake","Key":"a"}`, "", "S3.NoSuchKeyException", `^The specified key does not exist\. \(Service: S3, Status Code: 404, Request ID: [^)]*\) \(SDK Attempt Count: 1\)$`},
		{"getObject", `{"Bucket":"lake","Key":"a"}`, "", "S3.NoSuchKeyException", `^The specified key does not exist\. \(Service: S3, Status Code: 404, Request ID: [^)]*\) \(SDK Attempt Count: 1\)$`},
		{"listObjectsV2", `{"Bucket":"nosuch"}`, "", "S3.NoSuchBucketException", `Service: S3, Status Code: 404`},
		{"getObject", `{"Bucket":"lake","Kye":"a"}`, "", "States.Runtime", `unknown field "Kye"`},
		{"getObject", `{"Bucket":"lake"}`, "", "S3.SdkClientException", ``},
		{"selectObjectContent", `{}`, "", "States.Runtime", `not among those that are done here`},
	} {
		do, ok := s.Task("arn:aws:states:::aws-sdk:s3:" + c.act)
		if !ok {
			t.Fatalf("no task for s3:%s", c.act)
		}
		out, err := do(t.Context(), flow.Request{State: "x", Arguments: []byte(c.in), Log: io.Discard})
		if c.fault != "" {
			if err == nil || flow.Name(err) != c.fault || !regexp.MustCompile(c.cause).MatchString(err.Error()) {
				t.Errorf("%s %s: %s: %v", c.act, c.in, flow.Name(err), err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: %v", c.act, c.in, err)
			continue
		}
		var got, want any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		// What a server adds by its own choice: checksums, the class of storage.
		extras := cmpopts.IgnoreMapEntries(func(k string, _ any) bool {
			return strings.HasPrefix(k, "Checksum") || k == "StorageClass" || k == "Size" && c.act == "putObject"
		})
		if d := cmp.Diff(want, got, extras, cmp.FilterValues(func(a, b any) bool { return a == "…" && b != nil || b == "…" && a != nil }, cmp.Ignore())); d != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.act, c.in, d)
		}
	}
	for _, r := range []string{"arn:aws:states:::aws-sdk:glue:getTable", "arn:aws:states:::tidemill:copy", "arn:aws:states:::aws-sdk:s3"} {
		if _, ok := s.Task(r); ok {
			t.Errorf("%s has a task", r)
		}
	}
}
