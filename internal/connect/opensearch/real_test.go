//go:build real

package opensearch

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/conform/parts"
	"github.com/tidemill/tidemill/internal/flow"
)

func TestRealOpenSearch(t *testing.T)    { realNode(t, parts.OpenSearch) }
func TestRealElasticsearch(t *testing.T) { realNode(t, parts.Elasticsearch) }

func realNode(t *testing.T, part string) {
	url := parts.Up(t)(parts.SearchNode(t.Context(), os.Getenv("TIDEMILL_CACHE"), part, t.TempDir()))
	fresh := func(t *testing.T) flow.Sink {
		s, err := New(Settings{URL: url}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	conform.Sink(t, fresh)
	s := fresh(t).(*Sink)
	t.Run("health", func(t *testing.T) {
		if said, err := s.Test(t.Context()); err != nil || !strings.Contains(said, "cluster tidemill-test") {
			t.Errorf("%s, %v", said, err)
		}
	})
	t.Run("alias taken by an index", func(t *testing.T) { aliasTaken(t, s) })
	t.Run("one document in many is refused", func(t *testing.T) { oneRefused(t, s) })
	t.Run("disk watermark", func(t *testing.T) { blocked(t, s) })
	t.Run("left behind", func(t *testing.T) { leftBehind(t, s) })
	t.Run("cluster red", func(t *testing.T) { red(t, s) })
	t.Run("zombie", func(t *testing.T) { zombie(t, s) })
}

func call(t *testing.T, s *Sink, method, path string, in any) {
	t.Helper()
	if _, err := s.c.call(t.Context(), method, path, nil, in, nil); err != nil {
		t.Fatal(err)
	}
}

func aliasTaken(t *testing.T, s *Sink) {
	call(t, s, http.MethodPut, "taken", map[string]any{})
	_, err := s.Stage(t.Context(), testWrite("swap", "taken", 1), testRows(1))
	if flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "an index has the name") || flow.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

// oneRefused: a mapping conflict on one of 10,000 documents.
func oneRefused(t *testing.T, s *Sink) {
	var dead []flow.DeadLetter
	w := testWrite("swap", "refused", 10_000)
	w.Mapping = []byte(`{"name":"ip"}`) // row 7,001 alone has a name that is no address
	w.Dead = func(d flow.DeadLetter) error {
		dead = append(dead, d)
		return nil
	}
	r, err := s.Stage(t.Context(), w, namedRows(10_000, func(i int) string {
		if i == 7000 {
			return "not an address"
		}
		return "10.0.0.1"
	}))
	if err != nil || r.Read != 10_000 || r.Written != 9_999 || r.Rejected != 1 {
		t.Fatalf("receipt %+v, %v", r, err)
	}
	if d := dead[0]; d.Row != 7001 || d.ID != "7000" || !strings.Contains(d.Reason, "not an IP") && !strings.Contains(d.Reason, "'not an address'") || !strings.Contains(string(d.Document), `"name":"not an address"`) {
		t.Errorf("dead letter %+v, %s", d, d.Document)
	}
}

// blocked: the block that a nearly full disk brings, lifted after a while, costs no document.
func blocked(t *testing.T, s *Sink) {
	load := func(n int) (flow.Receipt, error) {
		w := testWrite("upsert", "blocked", n)
		st, err := s.Stage(t.Context(), w, testRows(n))
		if err != nil {
			return st, err
		}
		return s.Flip(t.Context(), w, st, testRows(n))
	}
	if _, err := load(1); err != nil {
		t.Fatal(err)
	}
	call(t, s, http.MethodPut, "blocked/_settings", map[string]any{"index.blocks.read_only_allow_delete": true})
	lifted := time.AfterFunc(1500*time.Millisecond, func() {
		if _, err := s.c.call(t.Context(), http.MethodPut, "blocked/_settings", nil, map[string]any{"index.blocks.read_only_allow_delete": nil}, nil); err != nil {
			t.Error(err)
		}
	})
	defer lifted.Stop()
	r, err := load(100)
	if err != nil || r.Written != 100 {
		t.Fatalf("receipt %+v, %v", r, err)
	}
}

// leftBehind: an attempt that died leaves an index, which the next one removes; what lost
// its alias goes after the grace.
func leftBehind(t *testing.T, s *Sink) {
	w := testWrite("swap", "left", 3)
	if _, err := s.Stage(t.Context(), w, testRows(3)); err != nil {
		t.Fatal(err)
	}
	names := func() string {
		found, err := s.indexes(t.Context(), "left-*")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(found))
	}
	w.Attempt = 2
	st, err := s.Stage(t.Context(), w, testRows(3))
	if err != nil || names() != "1" {
		t.Fatalf("%s indexes, %v", names(), err)
	}
	if _, err := s.Flip(t.Context(), w, st, testRows(3)); err != nil {
		t.Fatal(err)
	}
	next := testWrite("swap", "left", 3)
	next.Run = "r2"
	for i, want := range []string{"2", "1"} { // within the grace, and after it
		if i == 1 {
			s.now = func() time.Time { return time.Now().Add(time.Hour) }
			next.Run = "r3"
		}
		st, err := s.Stage(t.Context(), next, testRows(3))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Flip(t.Context(), next, st, testRows(3)); err != nil {
			t.Fatal(err)
		}
		if i == 0 && names() != want {
			t.Errorf("pass %d: %s indexes, want %s", i, names(), want)
		}
	}
	s.now = time.Now
	if names() != "2" { // r3's, and r2's, which has just lost its alias
		t.Errorf("%s indexes at the end", names())
	}
}

// red: no shard of an index can be placed, as when its node is gone, until one can: what readers
// have stays, and no document is lost.
func red(t *testing.T, s *Sink) {
	load := func(run string, n int) (flow.Receipt, error) {
		w := testWrite("swap", "red", n)
		w.Run = run
		st, err := s.Stage(t.Context(), w, testRows(n))
		if err != nil {
			return st, err
		}
		return s.Flip(t.Context(), w, st, testRows(n))
	}
	if _, err := load("r1", 10); err != nil {
		t.Fatal(err)
	}
	nowhere := map[string]any{"index.routing.allocation.require._name": "nobody"}
	call(t, s, http.MethodPut, "_index_template/red", map[string]any{"index_patterns": []string{"red-*"}, "priority": 500, "template": map[string]any{"settings": nowhere}})
	said := make(chan string, 1)
	healed := time.AfterFunc(2*time.Second, func() {
		health, err := s.Test(t.Context())
		n, counted := s.count(t.Context(), "red", nil)
		said <- fmt.Sprint(health, err, fmt.Sprintf("; readers find %d, %v", n, counted))
		for _, c := range []struct {
			path string
			in   any
		}{{"_index_template/red", nil}, {"red-*/_settings", map[string]any{"index.routing.allocation.require._name": nil}}} {
			method := http.MethodPut
			if c.in == nil {
				method = http.MethodDelete
			}
			if _, err := s.c.call(t.Context(), method, c.path, nil, c.in, nil); err != nil {
				t.Error(err)
			}
		}
	})
	defer healed.Stop()
	r, err := load("r2", 2500)
	if err != nil || r.Read != 2500 || r.Written != 2500 || r.Rejected != 0 {
		t.Fatalf("receipt %+v, %v", r, err)
	}
	if health := <-said; !strings.Contains(health, "status red") || !strings.Contains(health, "readers find 10, <nil>") {
		t.Errorf("while no shard could be placed: %s", health)
	}
	if n, err := s.count(t.Context(), "red", nil); err != nil || n != 2500 {
		t.Errorf("%d documents, %v", n, err)
	}
}

// zombie: a late body of an attempt whose index was removed makes no index.
func zombie(t *testing.T, s *Sink) {
	w := testWrite("swap", "zombie", 1)
	b := &bulk{c: s.c, w: w, target: door(stagedName(w)), query: map[string][]string{"require_alias": {"true"}}}
	_, err := b.write(t.Context(), testRows(1))
	if flow.KindOf(err) != flow.NotFound {
		t.Errorf("got %v", err)
	}
	if found, err := s.indexes(t.Context(), "zombie*"); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}
