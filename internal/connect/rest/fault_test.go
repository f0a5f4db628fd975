package rest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/flow"
)

var byCursor = m{"path": "/items", "records": expr("response.items"), "cursor": m{"param": "after", "value": expr("response.cursor")}}

var whole = []string{items(0, 10), items(10, 10), items(20, 5)}

// faulty lets requests of the second page fail so many times.
func faulty(times int64, fail http.HandlerFunc) (http.HandlerFunc, *atomic.Int64) {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "10" && n.Add(1) <= times {
			fail(w, r)
			return
		}
		paged(w, r)
	}, &n
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		http.Error(w, `{"message": "not now, key=secret-key"}`, code)
	}
}

// cut breaks the connection in the middle of a body.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	say(w, "%s", `{"items":[{"id":`)
	http.NewResponseController(w).Flush() //nolint:errcheck // a test's server
	panic(http.ErrAbortHandler)
}

func TestFaultsPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		times    int64
		fail     http.HandlerFunc
		at, most time.Duration // how long it waits
	}{
		{"500 three times", 3, status(500), 1500 * time.Millisecond, 4 * time.Second},
		{"503 with Retry-After", 1, status(503, "Retry-After", "7"), 7 * time.Second, 7 * time.Second},
		{"429 with Retry-After", 2, status(429, "Retry-After", "90"), 180 * time.Second, 180 * time.Second},
		{"429 with a date", 1, status(429, "Retry-After", "Mon, 05 Jan 2026 08:00:30 GMT"), 30 * time.Second, 30 * time.Second},
		{"429 with X-RateLimit-Reset", 1, status(429, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(time.Date(2026, 1, 5, 8, 1, 0, 0, time.UTC).Unix())), time.Minute, time.Minute},
		{"403 that means too many", 1, status(403, "Retry-After", "5"), 5 * time.Second, 5 * time.Second},
		{"cut in mid-body", 2, cut, 500 * time.Millisecond, 3 * time.Second},
		{"empty body", 1, func(http.ResponseWriter, *http.Request) {}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, n := faulty(c.times, c.fail)
			f := serve(t, rest.Settings{}, h)
			got, _, err := f.read(byCursor)
			if c.name == "empty body" {
				if flow.KindOf(err) != flow.Transient {
					t.Errorf("%v: the machine may try again", err)
				}
				return
			}
			if d := cmp.Diff(whole, got); d != "" || err != nil || n.Load() != c.times+1 {
				t.Errorf("%v after %d tries\n%s", err, n.Load(), d)
			}
			if d := f.clock.total(); d < c.at || d > c.most {
				t.Errorf("it waited %s, want %s to %s", d, c.at, c.most)
			}
		})
	}
}

func TestFaultsStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail http.HandlerFunc
		kind flow.Kind
		most int64
	}{
		{"500 for ever", status(500), flow.Transient, 12},
		{"429 for ever", status(429), flow.Throttled, 12},
		{"429 for an hour", status(429, "Retry-After", "3600"), flow.Throttled, 1},
		{"400", status(400), flow.Invalid, 1},
		{"401", status(401), flow.Denied, 1},
		{"403", status(403), flow.Denied, 1},
		{"404", status(404), flow.NotFound, 1},
		{"410", status(410), flow.NotFound, 1},
		{"501", status(501), flow.Invalid, 1},
		{"another encoding", status(200, "Content-Encoding", "br"), flow.Invalid, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, n := faulty(1000, c.fail)
			f := serve(t, rest.Settings{Auth: &rest.Auth{APIKey: &rest.APIKey{Query: "key", Value: flow.NewSecret("secret-key")}}}, h)
			got, _, err := f.read(byCursor)
			if flow.KindOf(err) != c.kind || len(got) != 1 || n.Load() > c.most {
				t.Errorf("%d pages, %d tries, %v (%v)", len(got), n.Load(), err, flow.KindOf(err))
			}
			if d := f.clock.total(); d > 90*time.Second {
				t.Errorf("it waited %s: about a minute is what a driver may", d)
			}
			for _, text := range []string{err.Error(), f.log.String()} {
				if strings.Contains(text, "secret-key") || strings.Contains(text, "after=") {
					t.Errorf("a message shows what it must not: %s", text)
				}
			}
			if !strings.Contains(err.Error(), "read page 2 of http://") {
				t.Errorf("no page in %v", err)
			}
		})
	}
}

// A page that cannot be gone on from is a conflict: what was kept is of no use.
func TestResumeRefused(t *testing.T) {
	t.Parallel()
	f := serve(t, rest.Settings{}, status(400))
	q := f.query(byCursor)
	q.From = []byte(`{"n":1,"seen":10,"value":"expired"}`)
	for _, err := range f.api.Pages(t.Context(), q) {
		if flow.KindOf(err) != flow.Conflict {
			t.Errorf("%v", err)
		}
	}
}

func TestSlowServer(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	f := serve(t, rest.Settings{Timeout: "200ms"}, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		paged(w, r)
	})
	if got, _, err := f.read(m{"records": expr("response.items")}); err != nil || len(got) != 1 || n.Load() != 2 {
		t.Errorf("%v after %d tries", err, n.Load())
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	f := serve(t, rest.Settings{Rate: "10/s"}, paged)
	if _, _, err := f.read(byCursor); err != nil {
		t.Fatal(err)
	}
	if got := f.clock.total(); got != 200*time.Millisecond {
		t.Errorf("three requests at 10/s waited %s", got)
	}
	for _, h := range [][]string{
		{"RateLimit-Remaining", "0", "RateLimit-Reset", "20"},
		{"RateLimit", `limit=10, remaining=0, reset=20`},
		{"RateLimit", `"default";r=0;t=20`},
		{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "20"},
		{"X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", fmt.Sprint(time.Date(2026, 1, 5, 8, 0, 20, 0, time.UTC).UnixMilli())},
	} {
		first := true
		f := serve(t, rest.Settings{}, func(w http.ResponseWriter, r *http.Request) {
			if first {
				first = false
				for i := 0; i < len(h); i += 2 {
					w.Header().Set(h[i], h[i+1])
				}
			}
			paged(w, r)
		})
		if _, _, err := f.read(byCursor); err != nil {
			t.Fatal(err)
		}
		if got := f.clock.total(); got != 20*time.Second {
			t.Errorf("%v: it waited %s", h, got)
		}
	}
	for _, bad := range []string{"10", "0/s", "x/s", "10/y"} {
		if _, err := rest.New(rest.Settings{URL: "http://x", Rate: bad}, rest.Options{}); flow.KindOf(err) != flow.Invalid {
			t.Errorf("rate %s: %v", bad, err)
		}
	}
}

func TestAuth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		auth rest.Auth
		ok   func(*http.Request) bool
	}{
		{"bearer", rest.Auth{Bearer: flow.NewSecret("tok")}, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer tok" }},
		{"basic", rest.Auth{Basic: &rest.Basic{User: "u", Password: flow.NewSecret("p")}}, func(r *http.Request) bool {
			u, p, ok := r.BasicAuth()
			return ok && u == "u" && p == "p"
		}},
		{"key in a header", rest.Auth{APIKey: &rest.APIKey{Header: "X-Token", Value: flow.NewSecret("k")}}, func(r *http.Request) bool { return r.Header.Get("X-Token") == "k" }},
		{"key in the usual header", rest.Auth{APIKey: &rest.APIKey{Value: flow.NewSecret("k")}}, func(r *http.Request) bool { return r.Header.Get("X-API-Key") == "k" }},
		{"key in the query", rest.Auth{APIKey: &rest.APIKey{Query: "key", Value: flow.NewSecret("secret-key")}}, func(r *http.Request) bool {
			return len(r.URL.Query()["key"]) == 1 && r.URL.Query().Get("key") == "secret-key"
		}},
		{"aws", rest.Auth{AWS: &rest.AWS{Service: "execute-api", Connection: "x"}}, func(r *http.Request) bool {
			a := r.Header.Get("Authorization")
			return strings.HasPrefix(a, "AWS4-HMAC-SHA256 Credential=AKIDx/20260105/eu-central-1/execute-api/aws4_request") && strings.Contains(a, "x-amz-content-sha256") && r.Header.Get("X-Amz-Date") == "20260105T080000Z"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, rest.Settings{Auth: &c.auth}, func(w http.ResponseWriter, r *http.Request) {
				if !c.ok(r) {
					http.Error(w, "who?", http.StatusUnauthorized)
					return
				}
				paged(w, r)
			})
			pages := 0
			for p, err := range f.api.Pages(t.Context(), f.query(m{"path": "/items", "records": expr("response.items"), "next_link": expr("response.next")})) {
				if err != nil {
					t.Fatal(err)
				}
				if pages++; c.name == "key in the query" && strings.Contains(string(p.Next), "secret-key") {
					t.Errorf("the key is kept: %s", p.Next)
				}
			}
			if said, err := f.api.Test(t.Context()); pages != 3 || err != nil || !strings.Contains(said, "200") {
				t.Errorf("%d pages; %q %v", pages, said, err)
			}
		})
	}
	for _, bad := range []rest.Auth{{}, {Bearer: flow.NewSecret("x"), Basic: &rest.Basic{}}, {APIKey: &rest.APIKey{Header: "a", Query: "b", Value: flow.NewSecret("k")}}, {OAuth2: &rest.OAuth2{TokenURL: "nowhere"}}} {
		if _, err := rest.New(rest.Settings{URL: "http://x", Auth: &bad}, rest.Options{}); flow.KindOf(err) != flow.Invalid {
			t.Errorf("%v", err)
		}
	}
}

// Tokens are fetched once, again before they end, and again when one is refused in mid-run.
func TestOAuth(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"header", "body"} {
		var given atomic.Int64
		tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, secret, _ := r.BasicAuth()
			id, _ = url.QueryUnescape(id)
			secret, _ = url.QueryUnescape(secret)
			if in == "body" {
				id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
			}
			if id != "me" || secret != "pa ss" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "read write" || r.FormValue("audience") != "api" {
				http.Error(w, `{"error":"invalid_client"}`, http.StatusBadRequest)
				return
			}
			say(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":3600}`, given.Add(1))
		}))
		t.Cleanup(tokens.Close)
		valid := "Bearer t1"
		auth := &rest.Auth{OAuth2: &rest.OAuth2{TokenURL: tokens.URL, ClientID: "me", ClientSecret: flow.NewSecret("pa ss"), Scopes: []any{"read", "write"}, Audience: "api", In: in}}
		f := serve(t, rest.Settings{Auth: auth}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("after") == "10" && given.Load() == 1 {
				valid = "Bearer t2" // revoked in mid-run
			}
			if r.Header.Get("Authorization") != valid {
				http.Error(w, "expired", http.StatusUnauthorized)
				return
			}
			paged(w, r)
		})
		got, _, err := f.read(byCursor)
		if d := cmp.Diff(whole, got); d != "" || err != nil || given.Load() != 2 {
			t.Fatalf("%s: %v, %d tokens\n%s", in, err, given.Load(), d)
		}
		valid = "Bearer t3"
		if err := f.clock.wait(t.Context(), time.Hour); err != nil { // it ends by itself
			t.Fatal(err)
		}
		if _, _, err := f.read(byCursor); err != nil || given.Load() != 3 {
			t.Errorf("%s: %v, %d tokens", in, err, given.Load())
		}
		valid = "nobody"
		if _, _, err := f.read(byCursor); flow.KindOf(err) != flow.Denied || given.Load() != 4 {
			t.Errorf("%s: %v, %d tokens", in, err, given.Load())
		}
		auth.OAuth2.ClientSecret = flow.NewSecret("wrong")
		f = serve(t, rest.Settings{Auth: auth}, paged)
		if _, _, err := f.read(byCursor); flow.KindOf(err) != flow.Denied || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: %v", in, err)
		}
	}
}
