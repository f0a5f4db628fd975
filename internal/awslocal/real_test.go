//go:build real

package awslocal

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// partsDir is the Python environment that scripts/parts makes.
func partsDir(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("TIDEMILL_CACHE")
	found, err := filepath.Glob(filepath.Join(cache, "aws-*", "ready"))
	if err != nil || cache == "" || len(found) == 0 {
		t.Fatalf("no AWS CLI in TIDEMILL_CACHE=%q: run scripts/parts aws", cache)
	}
	return filepath.Join(filepath.Dir(found[len(found)-1]), "bin")
}

func environment(t *testing.T, bin, url, region string) []string {
	return []string{
		"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + t.TempDir(), "AWS_ENDPOINT_URL=" + url, "AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	}
}

// TestRealCLI drives the server by the AWS CLI as a person would.
func TestRealCLI(t *testing.T) {
	t.Parallel()
	bin := partsDir(t)
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			url, _ := start(t, Config{Memory: true})
			cmd := exec.Command("/bin/bash", "-euxo", "pipefail", "-c", `
				head -c 20000000 /dev/urandom > big; echo hi > small
				aws sts get-caller-identity --query Arn --output text | grep -x arn:aws:iam::000000000000:root
				aws s3 mb s3://lake
				aws s3 cp small s3://lake/a/small.txt
				aws s3 cp big s3://lake/big
				aws s3 cp s3://lake/big back; cmp big back
				aws s3 cp s3://lake/big s3://lake/copy
				test "$(aws s3 ls s3://lake --recursive | wc -l)" = 3
				test "$(curl -sf "$(aws s3 presign s3://lake/a/small.txt)")" = hi
				! aws s3api put-object --bucket lake --key a/small.txt --body small --if-none-match '*' 2> said; grep PreconditionFailed said
				! aws s3api put-object --bucket lake --key big --body big --if-none-match '*' 2> said; grep PreconditionFailed said
				aws s3 sync s3://lake/a synced; cmp small synced/small.txt
				aws sts assume-role --role-arn arn:aws:iam::123456789012:role/x/etl --role-session-name s1 --query AssumedRoleUser.Arn --output text | grep -x arn:aws:sts::123456789012:assumed-role/etl/s1
				! aws s3 ls s3://nonesuch 2> said; grep NoSuchBucket said
				AWS_ACCESS_KEY_ID=other aws s3 ls | grep lake
				aws s3 rb s3://lake --force; test -z "$(aws s3 ls)"
			`)
			cmd.Dir, cmd.Env = t.TempDir(), environment(t, bin, url, region)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

const python = `
import io, boto3, urllib.request
from botocore.config import Config
from botocore.exceptions import ClientError
for checksums in ("when_supported", "when_required"):
    for signed in (True, False):
        s3 = boto3.client("s3", config=Config(signature_version="s3v4", request_checksum_calculation=checksums, s3={"payload_signing_enabled": signed}))
        bucket = f"lake-{checksums.replace('_', '-')}-{signed}".lower()
        region = s3.meta.region_name
        s3.create_bucket(Bucket=bucket, **({} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}))
        key, data = "k ü+/=a", b"x" * 100_000
        s3.put_object(Bucket=bucket, Key=key, Body=data, Metadata={"a": "b"})
        got = s3.get_object(Bucket=bucket, Key=key)
        assert got["Body"].read() == data and got["Metadata"] == {"a": "b"}, got
        link = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "pre"})
        assert urllib.request.urlopen(urllib.request.Request(link, data=b"hello", method="PUT")).status == 200
        link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "pre"})
        assert urllib.request.urlopen(link).read() == b"hello"
        s3.upload_fileobj(io.BytesIO(b"z" * 20_000_000), bucket, "big")
        s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "big2")
        assert s3.head_object(Bucket=bucket, Key="big2")["ContentLength"] == 20_000_000
        try:
            s3.put_object(Bucket=bucket, Key="big", Body=b"y" * 9_000_000, IfNoneMatch="*")
            assert False, "no conflict"
        except ClientError as e:
            assert e.response["Error"]["Code"] == "PreconditionFailed", e
        assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["big", "big2", key, "pre"]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "pre"}, {"Key": "none"}]})
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 3
c = boto3.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/etl", RoleSessionName="me")["Credentials"]
keys = dict(aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"])
assert boto3.client("sts", **keys).get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/etl/me"
assert len(boto3.client("s3", **keys).list_buckets()["Buckets"]) == 4
`

// TestRealBoto3 drives the server by boto3, in the ways it signs and sums.
func TestRealBoto3(t *testing.T) {
	t.Parallel()
	bin := partsDir(t)
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			url, _ := start(t, Config{Memory: true})
			cmd := exec.Command(filepath.Join(bin, "python"), "-")
			cmd.Stdin = strings.NewReader(python)
			cmd.Dir, cmd.Env = t.TempDir(), environment(t, bin, url, region)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
