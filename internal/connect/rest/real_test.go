//go:build real

package rest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/conform/parts"
	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/flow"
)

func cache() string { return os.Getenv("TIDEMILL_CACHE") }

func at(t *testing.T, url string) *fixture {
	t.Helper()
	api, err := rest.New(rest.Settings{URL: url}, rest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, api: api, clock: &clock{}}
}

// ids are the ids of all records, in order.
func ids(t *testing.T, bodies []string) []int {
	t.Helper()
	var out []int
	for _, b := range bodies {
		var records []struct {
			ID int `json:"id"`
		}
		if err := json.Unmarshal([]byte(b), &records); err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			out = append(out, r.ID)
		}
	}
	return out
}

func inOrder(t *testing.T, bodies []string, n int) {
	t.Helper()
	got := ids(t, bodies)
	for i, id := range got {
		if id != i+1 {
			t.Fatalf("record %d has id %d", i+1, id)
		}
	}
	if len(got) != n {
		t.Errorf("%d records, want %d", len(got), n)
	}
}

func TestRealDatasette(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("python3", "-c", `import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute("create table items(id integer primary key, name text)")
c.executemany("insert into items values(?,?)", ((i, 'n%d' % i) for i in range(1, 2501)))
c.commit()`, filepath.Join(dir, "d.db")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	url := parts.Up(t)(parts.Datasette(t.Context(), cache(), filepath.Join(dir, "d.db"), "--setting", "max_returned_rows", "1000"))
	base := m{"path": "/d/items.json", "params": m{"_size": 1000, "_shape": "objects"}, "records": expr("response.rows"), "total": expr("response.filtered_table_rows_count")}
	for name, more := range map[string]m{
		"next_url":    {"next_link": expr("response.next_url")},
		"Link header": {"link_header": true},
		"_next":       {"cursor": m{"param": "_next", "value": expr("response.next")}},
	} {
		args := m{}
		for _, from := range []m{base, more} {
			for k, v := range from {
				args[k] = v
			}
		}
		bodies, warning, err := at(t, url).read(args)
		if err != nil || len(bodies) != 3 || warning != "" {
			t.Fatalf("%s: %d pages, %q, %v", name, len(bodies), warning, err)
		}
		inOrder(t, bodies, 2500)
	}
	if _, _, err := at(t, url).read(m{"path": "/d/nosuch.json"}); flow.KindOf(err) != flow.NotFound {
		t.Errorf("%v", err)
	}
	csv, _, err := at(t, url).read(m{"path": "/d/items.csv", "params": m{"_size": "max"}})
	if err != nil || len(csv) != 1 || !strings.HasPrefix(csv[0], "id,name\r\n1,n1\r\n") {
		t.Errorf("csv: %d pages, %v", len(csv), err)
	}
}

func TestRealJSONServer(t *testing.T) {
	dir := t.TempDir()
	var items []m
	for i := range 95 {
		items = append(items, m{"id": i + 1, "tags": []string{"a"}})
	}
	text, err := json.Marshal(m{"items": items})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "db.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	url := parts.Up(t)(parts.JSONServer(t.Context(), cache(), filepath.Join(dir, "db.json")))
	for name, args := range map[string]m{
		"page":        {"page": m{"param": "_page", "start": 1, "size": 10, "size_param": "_limit"}},
		"offset":      {"offset": m{"param": "_start", "size": 10, "size_param": "_limit"}, "total": expr("$number(headers.`x-total-count`)")},
		"Link header": {"link_header": true, "params": m{"_page": 1, "_limit": 10}, "total": expr("$number(headers.`x-total-count`)")},
	} {
		args["path"] = "/items"
		bodies, warning, err := at(t, url).read(args)
		if err != nil || warning != "" {
			t.Fatalf("%s: %q %v", name, warning, err)
		}
		inOrder(t, bodies, 95)
	}
	f := at(t, url)
	q := f.query(m{"path": pieces("/items/", "row.id"), "on_404": "skip"})
	q.Rows = func(yield func([]byte, error) bool) {
		for i := range 120 {
			if !yield(fmt.Appendf(nil, `{"id":%d}`, i+1), nil) {
				return
			}
		}
	}
	var bodies []string
	for p, err := range f.api.Pages(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Records > 0 {
			bodies = append(bodies, "["+string(p.Body)+"]")
		}
	}
	inOrder(t, bodies, 95)
	conform.Pages(t, conform.PagesCase{Open: func(*testing.T) flow.Pages { return f.api },
		Query: f.query(m{"path": "/items", "page": m{"param": "_page", "start": 1, "size": 10, "size_param": "_limit"}}),
		// The ninth page is not named by a template that only knows eight.
		Broken: f.query(m{"path": "/items", "records": expr("page.number < 3 ? response : 7"), "page": m{"param": "_page", "start": 1, "size": 10, "size_param": "_limit"}}),
		Slow:   f.query(m{"path": "/items", "params": m{"_limit": 1}, "page": m{"param": "_page", "start": 1}})})
}

// Wiremock plays a server that fails, in states: page 2 answers 503, then 429 with
// Retry-After, then breaks off in mid-body, then is there, slowly.
func TestRealWiremock(t *testing.T) {
	dir := t.TempDir()
	mappings := filepath.Join(dir, "mappings")
	if err := os.Mkdir(mappings, 0o755); err != nil {
		t.Fatal(err)
	}
	stub := func(name string, v m) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mappings, name+".json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page := func(n int) m {
		return m{"method": "GET", "urlPath": "/items", "queryParameters": m{"page": m{"equalTo": strconv.Itoa(n)}}}
	}
	body := func(n int) m {
		var items []m
		for i := range 10 {
			items = append(items, m{"id": (n-1)*10 + i + 1})
		}
		return m{"items": items}
	}
	stub("page1", m{"request": page(1), "response": m{"status": 200, "jsonBody": body(1)}})
	stub("page3", m{"request": page(3), "response": m{"status": 200, "jsonBody": m{"items": []m{}}}})
	states := []m{{"status": 503}, {"status": 429, "headers": m{"Retry-After": "1"}}, {"status": 200, "jsonBody": body(2), "fault": "RANDOM_DATA_THEN_CLOSE"}, {"fault": "CONNECTION_RESET_BY_PEER"}, {"status": 200, "jsonBody": body(2), "fixedDelayMilliseconds": 300}}
	for i, response := range states {
		s := m{"request": page(2), "response": response, "scenarioName": "page 2", "requiredScenarioState": "Started"}
		if i > 0 {
			s["requiredScenarioState"] = fmt.Sprintf("state %d", i)
		}
		if i < len(states)-1 {
			s["newScenarioState"] = fmt.Sprintf("state %d", i+1)
		}
		stub(fmt.Sprintf("page2-%d", i), s)
	}
	url := parts.Up(t)(parts.WireMock(t.Context(), cache(), dir))
	f := at(t, url)
	bodies, _, err := f.read(m{"path": "/items", "records": expr("response.items"), "page": m{"param": "page", "start": 1, "size": 10}})
	if err != nil {
		t.Fatalf("%v\n%s", err, f.log.String())
	}
	inOrder(t, bodies, 20)
	if n := strings.Count(f.log.String(), "; again in"); n != len(states)-1 {
		t.Errorf("%d repeats, want %d:\n%s", n, len(states)-1, f.log.String())
	}
}
