package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// api is a web API of ten pages of 2,000 orders, behind a token.
type api struct {
	mu    sync.Mutex
	asked map[int]int
	at    int         // a page at which do is done, once
	do    func() bool // false: the request is not answered
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer the-token" {
		http.Error(w, "who? Not "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	n, _ := strconv.Atoi(r.URL.Query().Get("page")) //nolint:errcheck // page 0 has no orders
	a.mu.Lock()
	a.asked[n]++
	do := a.do
	if n != a.at {
		do = nil
	} else {
		a.do = nil
	}
	a.mu.Unlock()
	if do != nil && !do() {
		panic(http.ErrAbortHandler)
	}
	var b strings.Builder
	for id := (n - 1) * 2000; id < n*2000; id++ {
		fmt.Fprintf(&b, `,{"id":%d,"region":"north","amount":%d.25,"note":"%s"}`, id, id%100, strings.Repeat("x", 700))
	}
	fmt.Fprintf(w, `{"items":[%s],"total":20000}`, b.String()[1:]) //nolint:errcheck // the client would notice
}

const fetched = `steps:
  orders:
    extract:
      from: api
      path: /orders
      records: "{{ response.items }}"
      total: "{{ response.total }}"
      paginate: { page: { param: page, size: 2000 } }
    sql: select region, count(*) as orders, sum(id) as ids from source group by region
    checks: [ { rows: { min: 1 } } ]
`

func fetchProject(t *testing.T) (*api, string) {
	t.Helper()
	a := &api{asked: map[int]int{}}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	write(t, dir, map[string]string{"tidemill.yaml": fmt.Sprintf("project: p\nconnections: { api: { type: rest, url: %q, auth: { bearer: \"${env:API_TOKEN}\" } } }\n", srv.URL), "pipelines/p.yaml": fetched})
	return a, dir
}

// A process that is killed in the middle of an extract does not ask again for what it kept.
func TestKilledFetchGoesOn(t *testing.T) {
	t.Parallel()
	a, dir := fetchProject(t)
	env := []string{"API_TOKEN=the-token"}
	c := process(t, dir, env, "run", "p", "--date", "2026-01-05")
	a.at = 8
	a.do = func() bool {
		if err := c.Process.Kill(); err != nil {
			t.Error(err)
		}
		return false
	}
	if out, err := c.CombinedOutput(); err == nil {
		t.Fatalf("it was not killed:\n%s", out)
	}
	if out, err := process(t, dir, env, "run", "p", "--date", "2026-01-05").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for n := 1; n <= 10; n++ {
		// Of the last pages before the kill, not yet 4 MiB, nothing was kept.
		if got := a.asked[n]; got == 0 || got > 1 && n <= 4 || got > 2 {
			t.Errorf("page %d was asked for %d times", n, got)
		}
	}
	if got := mustRun(t, dir, "query", "p", "--date", "2026-01-05", "--format", "csv", "select * from orders"); !strings.Contains(got, "north,20000,199990000") {
		t.Errorf("%s", got)
	}
	if got := mustRun(t, dir, "query", "p", "--date", "2026-01-05", "--format", "csv", "select count(*), max(amount) from orders_extract"); !strings.Contains(got, "20000,99.25") {
		t.Errorf("%s", got)
	}
}

// The token is in nothing that a run leaves or says, also when the API repeats it.
func TestFetchKeepsTheToken(t *testing.T) {
	t.Parallel()
	a, dir := fetchProject(t)
	out, err := process(t, dir, []string{"API_TOKEN=the-tokem"}, "run", "p", "--date", "2026-01-05").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "401 Unauthorized") || !strings.Contains(string(out), "check the connection's auth") {
		t.Errorf("%v\n%s", err, out)
	}
	env := []string{"API_TOKEN=the-token"}
	more, err := process(t, dir, env, "run", "p", "--date", "2026-01-06").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, more)
	}
	said, err := process(t, dir, env, "conn", "test", "api").CombinedOutput()
	if err != nil || !strings.Contains(string(said), "connection api works: ") {
		t.Errorf("%v\n%s", err, said)
	}
	if strings.Contains(string(out)+string(more)+string(said), "the-toke") {
		t.Errorf("the token is shown:\n%s\n%s\n%s", out, more, said)
	}
	if a.asked[10] != 1 {
		t.Errorf("page 10 was asked for %d times", a.asked[10])
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), "the-toke") {
			t.Errorf("%s holds the token", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
