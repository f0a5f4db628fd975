//go:build real

package awslocal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool is a program of the AWS environment that scripts/parts installed; missing, the test fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(os.Getenv("TIDEMILL_CACHE"), "aws-1.46.3", "bin", name)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("the part is missing: %v: run scripts/parts aws", err)
	}
	return file
}

// run runs a real AWS client against url, with nothing of the user's own settings.
func run(t *testing.T, url string, argv ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	c.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "AWS_ENDPOINT_URL=" + url, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true"}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(argv, " "), err, out, stderr.String())
	}
	return string(out)
}

// TestRealCLI drives S3 and STS with the unmodified AWS CLI: multipart both ways, listing,
// server-side copy, sync, removal.
func TestRealCLI(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Dir: t.TempDir()})
	aws := tool(t, "aws")
	if id := run(t, url, aws, "sts", "get-caller-identity", "--query", "Account", "--output", "text"); strings.TrimSpace(id) != "000000000000" {
		t.Errorf("account = %s", id)
	}
	run(t, url, aws, "s3", "mb", "s3://orders")
	dir := t.TempDir()
	data := make([]byte, 40<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	big, back := filepath.Join(dir, "big"), filepath.Join(dir, "back")
	if err := os.WriteFile(big, data, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, url, aws, "s3", "cp", big, "s3://orders/raw/big")
	run(t, url, aws, "s3", "cp", "s3://orders/raw/big", "s3://orders/copy/big")
	run(t, url, aws, "s3", "cp", "s3://orders/copy/big", back)
	got, err := os.ReadFile(back)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("what came back differs: %d bytes, %v", len(got), err)
	}
	small := filepath.Join(dir, "tree")
	for _, name := range []string{"a.csv", "sub/b c.csv", "sub/ü.csv"} {
		file := filepath.Join(small, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, url, aws, "s3", "sync", small, "s3://orders/tree")
	keys := run(t, url, aws, "s3api", "list-objects-v2", "--bucket", "orders", "--prefix", "tree/", "--query", "Contents[].Key", "--output", "text")
	if strings.TrimSpace(keys) != "tree/a.csv\ttree/sub/b c.csv\ttree/sub/ü.csv" {
		t.Errorf("keys = %q", keys)
	}
	run(t, url, aws, "s3", "rm", "--recursive", "s3://orders/")
	run(t, url, aws, "s3", "rb", "s3://orders")
}

const script = `
import boto3, botocore
s3 = boto3.client("s3")
s3.create_bucket(Bucket="orders")
s3.get_waiter("bucket_exists").wait(Bucket="orders")
for i in range(1203):
    s3.put_object(Bucket="orders", Key="k/%04d" % i, Body=b"x")
keys = [o["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket="orders", Prefix="k/", PaginationConfig={"PageSize": 500}) for o in p["Contents"]]
assert keys == ["k/%04d" % i for i in range(1203)], len(keys)
try:
    s3.put_object(Bucket="orders", Key="k/0000", Body=b"y", IfNoneMatch="*")
    raise SystemExit("an object was overwritten against If-None-Match")
except botocore.exceptions.ClientError as e:
    assert e.response["Error"]["Code"] == "PreconditionFailed", e
try:
    s3.get_object(Bucket="orders", Key="nothing")
    raise SystemExit("found nothing")
except s3.exceptions.NoSuchKey:
    pass
assert s3.get_object(Bucket="orders", Key="k/0000", Range="bytes=0-0")["Body"].read() == b"x"
role = boto3.client("sts").assume_role(RoleArn="arn:aws:iam::000000000000:role/etl", RoleSessionName="session")
c = role["Credentials"]
again = boto3.client("s3", aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"])
assert len(again.list_buckets()["Buckets"]) == 1
print("fine")
`

// TestRealBoto3 drives paginators, waiters, conditions and an assumed role with boto3.
func TestRealBoto3(t *testing.T) {
	t.Parallel()
	url, _ := start(t, Config{Dir: t.TempDir()})
	if out := run(t, url, tool(t, "python"), "-c", script); strings.TrimSpace(out) != "fine" {
		t.Errorf("boto3 says %s", out)
	}
}
