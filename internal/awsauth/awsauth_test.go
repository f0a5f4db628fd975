package awsauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/tidemill/tidemill/internal/flow"
)

// alone hides the machine's own AWS settings, and makes a call to the instance's metadata
// fail at once. Tests that use it are not parallel: the environment is the process's.
func alone(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "AWS_") {
			t.Setenv(k, "")
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, ".aws", "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, ".aws", "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for name, text := range files {
		path := filepath.Join(dir, ".aws", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func keys(t *testing.T, cfg Config) aws.Credentials {
	t.Helper()
	k, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestLoopbackAsksNobody(t *testing.T) {
	alone(t, map[string]string{"config": "[default]\nregion = eu-west-3\n", "credentials": "[default]\naws_access_key_id = REAL\naws_secret_access_key = REAL\n"})
	t.Setenv("AWS_ACCESS_KEY_ID", "REAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "REAL")
	for _, endpoint := range []string{"http://127.0.0.1:4566", "http://localhost:4566", "http://[::1]:4566", "http://s3.localhost:1"} {
		cfg, err := Load(t.Context(), Settings{Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		if k := keys(t, cfg); k.AccessKeyID != LocalKey || cfg.Region != LocalRegion || aws.ToString(cfg.BaseEndpoint) != endpoint {
			t.Errorf("%s: key %s, region %s, endpoint %s", endpoint, k.AccessKeyID, cfg.Region, aws.ToString(cfg.BaseEndpoint))
		}
	}
	cfg, err := Load(t.Context(), Settings{Endpoint: "http://127.0.0.1:1", Region: "eu-west-1", AccessKey: "A", SecretKey: flow.NewSecret("B"), SessionToken: flow.NewSecret("C")})
	if err != nil {
		t.Fatal(err)
	}
	if k := keys(t, cfg); k.AccessKeyID != "A" || k.SecretAccessKey != "B" || k.SessionToken != "C" || cfg.Region != "eu-west-1" {
		t.Errorf("given keys are not used: %s in %s", k.AccessKeyID, cfg.Region)
	}
}

func TestProfileAndChain(t *testing.T) {
	alone(t, map[string]string{
		"config":      "[profile etl]\nregion = eu-west-3\n",
		"credentials": "[etl]\naws_access_key_id = PROFILE\naws_secret_access_key = x\n",
	})
	cfg, err := Load(t.Context(), Settings{Profile: "etl"})
	if err != nil || keys(t, cfg).AccessKeyID != "PROFILE" || cfg.Region != "eu-west-3" {
		t.Errorf("profile: %v, %s", err, cfg.Region)
	}
	_, err = Load(t.Context(), Settings{Profile: "none"})
	if flow.KindOf(err) != flow.NotFound || flow.HintOf(err) == "" {
		t.Errorf("a missing profile: %v", err)
	}
	_, err = Load(t.Context(), Settings{})
	if flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "no region") {
		t.Errorf("no region: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "CHAIN")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	cfg, err = Load(t.Context(), Settings{Region: "us-west-2", Endpoint: "https://s3.example.com"})
	if err != nil || keys(t, cfg).AccessKeyID != "CHAIN" || cfg.Region != "us-west-2" || aws.ToString(cfg.BaseEndpoint) != "https://s3.example.com" {
		t.Errorf("chain: %v, %+v", err, cfg.Region)
	}
	cfg, err = Load(t.Context(), Settings{Region: "us-west-2", AccessKey: "GIVEN", SecretKey: flow.NewSecret("x")})
	if err != nil || keys(t, cfg).AccessKeyID != "GIVEN" {
		t.Errorf("given keys: %v", err)
	}
}

func TestNoCredentials(t *testing.T) {
	alone(t, nil)
	cfg, err := Load(t.Context(), Settings{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Test(t.Context(), cfg)
	if flow.KindOf(err) != flow.Denied || !strings.Contains(flow.HintOf(err), "aws connection") {
		t.Errorf("got %v, kind %v, hint %q", err, flow.KindOf(err), flow.HintOf(err))
	}
}

func TestFaultySettings(t *testing.T) {
	t.Parallel()
	secret := flow.NewSecret("x")
	for _, s := range []Settings{
		{AccessKey: "A"}, {SecretKey: secret}, {SessionToken: secret}, {AccessKey: "A", SecretKey: secret, Profile: "p"},
		{ExternalID: "x"}, {RoleARN: "etl"}, {Endpoint: "localhost:4566"}, {Endpoint: "ftp://x"},
	} {
		_, err := Load(t.Context(), s)
		if flow.KindOf(err) != flow.Invalid || flow.HintOf(err) == "" {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// TestRole: the role is assumed with its external id, and again before the keys end.
func TestRole(t *testing.T) {
	t.Parallel()
	var forms []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		forms = append(forms, r.Form.Get("RoleArn")+" "+r.Form.Get("ExternalId")+" "+r.Form.Get("RoleSessionName"))
		until := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(`<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>` + until + `</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)) //nolint:errcheck // a test
	}))
	defer s.Close()
	cfg, err := Load(t.Context(), Settings{Endpoint: s.URL, RoleARN: "arn:aws:iam::123456789012:role/etl", ExternalID: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	if k := keys(t, cfg); k.AccessKeyID != "ASIA" || k.SessionToken != "t" {
		t.Errorf("got %s", k.AccessKeyID)
	}
	keys(t, cfg)
	if len(forms) != 2 || forms[0] != "arn:aws:iam::123456789012:role/etl ours tidemill" {
		t.Errorf("asked %q", forms)
	}
}

func TestNothingAnswers(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	cfg, err := Load(t.Context(), Settings{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Test(t.Context(), cfg)
	if flow.KindOf(err) != flow.Transient || !strings.Contains(flow.HintOf(err), "tidemill local") {
		t.Errorf("got %v, hint %q", err, flow.HintOf(err))
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	answer := func(status int, header http.Header, err error) error {
		return &smithy.OperationError{ServiceID: "S3", OperationName: "X", Err: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}}, Err: err,
		}}
	}
	coded := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "words"} }
	for _, c := range []struct {
		err  error
		kind flow.Kind
		name string
	}{
		{answer(404, nil, coded("NoSuchKey")), flow.NotFound, "S3.NoSuchKeyException"},
		{answer(404, nil, coded("NoSuchBucket")), flow.NotFound, "S3.NoSuchBucketException"},
		{answer(403, nil, coded("AccessDenied")), flow.Denied, "States.Permissions"},
		{answer(403, nil, coded("SomethingNew")), flow.Denied, "States.Permissions"},
		{answer(503, nil, coded("SlowDown")), flow.Throttled, "S3.SlowDownException"},
		{answer(400, nil, coded("ThrottlingException")), flow.Throttled, "S3.ThrottlingException"},
		{answer(500, nil, coded("Odd")), flow.Transient, "S3.OddException"},
		{answer(400, nil, coded("ValidationException")), flow.Invalid, "S3.ValidationException"},
		{answer(412, nil, coded("PreconditionFailed")), flow.Conflict, "S3.PreconditionFailedException"},
		{answer(502, nil, errors.New("no body")), flow.Transient, "Tidemill.Transient"},
		{context.Canceled, flow.Canceled, "Tidemill.Canceled"},
		{context.DeadlineExceeded, flow.Timeout, "States.Timeout"},
		{errors.New("connection reset"), flow.Transient, "Tidemill.Transient"},
	} {
		err := Fault("do it", "S3", c.err)
		if flow.KindOf(err) != c.kind || flow.Name(err) != c.name || !strings.HasPrefix(err.Error(), "do it: ") {
			t.Errorf("%v: kind %v, name %s", err, flow.KindOf(err), flow.Name(err))
		}
	}
	if Fault("x", "S3", nil) != nil {
		t.Error("no error became one")
	}
	slow := Fault("x", "S3", answer(503, http.Header{"Retry-After": {"7"}}, coded("SlowDown")))
	var e *flow.Error
	if !errors.As(slow, &e) || e.RetryAfter != 7*time.Second {
		t.Errorf("retry after %v", e.RetryAfter)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header http.Header
		want   time.Duration
	}{
		{nil, 0}, {http.Header{"Retry-After": {"3"}}, 3 * time.Second}, {http.Header{"Retry-After": {"-3"}}, 0}, {http.Header{"Retry-After": {"soon"}}, 0},
		{http.Header{"Retry-After": {"Wed, 21 Oct 2026 07:28:10 GMT"}, "Date": {"Wed, 21 Oct 2026 07:28:00 GMT"}}, 10 * time.Second},
		{http.Header{"Retry-After": {"Wed, 21 Oct 2026 07:28:10 GMT"}}, 0},
	} {
		if got := parseRetryAfter(c.header); got != c.want {
			t.Errorf("%v: got %v, want %v", c.header, got, c.want)
		}
	}
	for _, local := range []bool{true, false} {
		r := newRetryer(local)
		var most time.Duration
		for i := 1; i < r.MaxAttempts(); i++ {
			longest := time.Duration(0)
			for range 50 {
				d, err := r.RetryDelay(i, errors.New("x"))
				if err != nil {
					t.Fatal(err)
				}
				longest = max(longest, d)
			}
			most += longest
		}
		if most > 65*time.Second || local && most > 10*time.Second {
			t.Errorf("pauses of up to %v in all", most)
		}
	}
}

// TestSecretsStayOut: a configuration's settings can be printed.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	s := Settings{AccessKey: "A", SecretKey: flow.NewSecret("hidden")}
	if _, err := json.Marshal(s); err == nil {
		t.Error("settings with a secret were marshalled")
	}
}
