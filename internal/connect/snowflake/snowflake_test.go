package snowflake_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/connect/snowflake"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

func open(t *testing.T, p *protocol, s snowflake.Settings) *snowflake.Source {
	t.Helper()
	s.Account, s.User, s.URL = "acme", "etl", p.url
	if s.PrivateKey.IsZero() && s.Token.IsZero() && s.Password.IsZero() {
		s.Password = flow.NewSecret("pw")
	}
	src, err := snowflake.New(s, snowflake.Options{Temp: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() }) //nolint:errcheck // the server ends too
	return src
}

func all(ctx context.Context, t *testing.T, s *snowflake.Source, q flow.Query) ([]string, error) {
	t.Helper()
	_, rows, err := s.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for b, err := range rows {
		if err == nil {
			err = format.WriteNDJSON(&text, b)
			b.Release()
		}
		if err != nil {
			return nil, err
		}
	}
	return strings.Split(strings.TrimSpace(text.String()), "\n"), nil
}

// wantRow is a row with every type.
func wantRow() string {
	var parts []string
	for _, f := range wireFields {
		parts = append(parts, fmt.Sprintf("%q:%s", f.name, f.want))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestChunks(t *testing.T) {
	t.Parallel()
	p := newProtocol(t)
	p.cut = map[string]int{"/chunk/1": 2, "/chunk/4": 1} // cut in mid-body, twice and once
	p.expire = 1
	var log bytes.Buffer
	var token flow.Token
	s := open(t, p, snowflake.Settings{})
	rows, err := all(t.Context(), t, s, flow.Query{Text: "select * from t where d >= {{1}} and n = {{2}}", Values: []any{"2026-01-05", int64(7)}, Run: "orders-20260105-abc123", Log: &log, Begun: func(id flow.Token) { token = id }})
	if err != nil || len(rows) != resultRows {
		t.Fatalf("%d rows, %v\n%s", len(rows), err, log.String())
	}
	if d := cmp.Diff(wantRow(), rows[0]); d != "" {
		t.Error(d)
	}
	if n := strings.Count(rows[1], ":null"); n != len(wireFields) {
		t.Errorf("%d of %d are NULL: %s", n, len(wireFields), rows[1])
	}
	for i, r := range rows {
		k := i
		if i >= 10 {
			k = (i - 10) % 100
		}
		if (k%3 == 1) != strings.HasPrefix(r, `{"TINY":null`) {
			t.Fatalf("row %d is %s", i, r)
		}
	}
	if p.queries[0] != "select * from t where d >= ? and n = ?" || fmt.Sprint(p.tags[0]) != `{"tool":"tidemill","run":"orders-20260105-abc123"}` {
		t.Errorf("asked %q with tag %v", p.queries[0], p.tags[0])
	}
	if got := fmt.Sprint(p.binds[0]); !strings.Contains(got, "2026-01-05") || !strings.Contains(got, "FIXED") {
		t.Errorf("bound %s", got)
	}
	if p.renewals != 1 || p.logins != 1 || token != "q-1" || !strings.Contains(log.String(), "query q-1") {
		t.Errorf("%d renewals, %d logins, token %s, log %s", p.renewals, p.logins, token, log.String())
	}
}

func TestConforms(t *testing.T) {
	t.Parallel()
	p := newProtocol(t)
	slow := newProtocol(t)
	slow.slow = true
	conform.Source(t, conform.SourceCase{
		Open: func(t *testing.T) flow.Source {
			if strings.Contains(t.Name(), "cancelled") || strings.Contains(t.Name(), "deadline") {
				return open(t, slow, snowflake.Settings{})
			}
			if strings.Contains(t.Name(), "broken") {
				p := newProtocol(t)
				p.cut = map[string]int{"/chunk/3": 100}
				return open(t, p, snowflake.Settings{})
			}
			return open(t, p, snowflake.Settings{})
		},
		Query: flow.Query{Text: "select *"}, Rows: resultRows, Broken: flow.Query{Text: "select *"}, Empty: flow.Query{Text: "list @~"}, Refused: flow.Query{Text: "select * from nosuch"}, Slow: flow.Query{Text: "select *"},
	})
	if slow.aborted < 2 {
		t.Errorf("%d queries were told to stop, want both that were given up", slow.aborted)
	}
}

func TestUnload(t *testing.T) {
	t.Parallel()
	p := newProtocol(t)
	s := open(t, p, snowflake.Settings{})
	rows, err := all(t.Context(), t, s, flow.Query{Text: "select * from t", Args: []byte(`{"unload":true}`)})
	if err != nil || len(rows) != resultRows {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if d := cmp.Diff(strings.Replace(wantRow(), "123456\"", "123\"", 1), rows[0]); d != "" {
		t.Error(d)
	}
	if last := p.queries[len(p.queries)-1]; !strings.HasPrefix(last, "remove @~/tidemill/") {
		t.Errorf("the stage is left: %s", last)
	}
	if left, err := filepath.Glob(filepath.Join(p.stage, "*")); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}

// What an earlier attempt of the run began is read, not begun again.
func TestHeals(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]string{"SUCCESS": "select * from table(result_scan('q-1'))", "FAILED_WITH_ERROR": "select 1", "ABORTED": "select 1"} {
		p := newProtocol(t)
		p.status = status
		begun := false
		rows, err := all(t.Context(), t, open(t, p, snowflake.Settings{}), flow.Query{Text: "select 1", Token: "q-1", Begun: func(flow.Token) { begun = true }})
		if err != nil || len(rows) != resultRows || p.queries[0] != want || begun != (want == "select 1") {
			t.Errorf("%s: %d rows, asked %v, begun %t, %v", status, len(rows), p.queries, begun, err)
		}
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	rows, err := all(t.Context(), t, open(t, newProtocol(t), snowflake.Settings{}), flow.Query{Text: "show tables"})
	if d := cmp.Diff([]string{`{"name":"T1","kind":null}`, `{"name":"T2","kind":"TABLE"}`}, rows); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		s    snowflake.Settings
		how  string
		bad  bool
	}{
		{"key pair", snowflake.Settings{PrivateKey: flow.NewSecret(pkcs8), Role: "ETL"}, "SNOWFLAKE_JWT", false},
		{"key pair of PKCS 1", snowflake.Settings{PrivateKey: flow.NewSecret(pkcs1)}, "SNOWFLAKE_JWT", false},
		{"another key", snowflake.Settings{PrivateKey: flow.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(other)})))}, "SNOWFLAKE_JWT", true},
		{"password", snowflake.Settings{Password: flow.NewSecret("pw")}, "<nil>", false},
		{"wrong password", snowflake.Settings{Password: flow.NewSecret("hunter2")}, "<nil>", true},
		{"programmatic token", snowflake.Settings{Token: flow.NewSecret("good token")}, "PROGRAMMATIC_ACCESS_TOKEN", false},
		{"oauth", snowflake.Settings{Token: flow.NewSecret("good token"), Authenticator: "oauth"}, "OAUTH", false},
		{"wrong token", snowflake.Settings{Token: flow.NewSecret("hunter2"), Authenticator: "oauth"}, "OAUTH", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProtocol(t)
			p.key = &key.PublicKey
			began := time.Now()
			rows, err := all(t.Context(), t, open(t, p, c.s), flow.Query{Text: "select *"})
			if c.bad {
				if flow.KindOf(err) != flow.Denied || flow.HintOf(err) == "" || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%v (%s)", err, flow.HintOf(err))
				}
			} else if err != nil || len(rows) != resultRows {
				t.Errorf("%d rows, %v", len(rows), err)
			}
			if got := fmt.Sprint(p.login["AUTHENTICATOR"]); got != c.how && (c.how != "<nil>" || got != "SNOWFLAKE") {
				t.Errorf("logged in by %s", got)
			}
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
	for want, s := range map[string]snowflake.Settings{
		"asks a person":      {User: "u", Authenticator: "externalbrowser"},
		"no credentials":     {User: "u"},
		"key user":           {Password: flow.NewSecret("x")},
		"no PEM":             {User: "u", PrivateKey: flow.NewSecret("x")},
		"is encrypted":       {User: "u", PrivateKey: flow.NewSecret("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")},
		"needs a token":      {User: "u", Authenticator: "oauth", Password: flow.NewSecret("x")},
		"is no address":      {User: "u", Password: flow.NewSecret("x"), URL: "acme"},
		"magic is not known": {User: "u", Password: flow.NewSecret("x"), Authenticator: "magic"},
	} {
		if _, err := snowflake.New(s, snowflake.Options{}); err == nil || !strings.Contains(err.Error(), want) || flow.KindOf(err) != flow.Invalid {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A server that is not there is given up within the deadlines.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	s, err := snowflake.New(snowflake.Settings{Account: "acme", User: "etl", Password: flow.NewSecret("pw"), URL: "http://127.0.0.1:1"}, snowflake.Options{Temp: os.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := s.Test(ctx); err == nil || time.Since(began) > 15*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
