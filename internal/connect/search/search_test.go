package search

import (
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/conform"
	"github.com/tidemill/tidemill/internal/flow"
)

func open(t *testing.T, dir string) *Sink {
	t.Helper()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conform.Sink(t, func(t *testing.T) flow.Sink { return open(t, dir) })
}

// TestFind: words, phrases and prefixes are found, the best first; a query that cannot be
// read says what can be written.
func TestFind(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	docs := conform.Docs("red chair", "blue chair, red", "desk")
	w := conform.SinkWrite("swap", "shop", len(docs))
	r, err := s.Stage(t.Context(), w, conform.Rows(docs))
	if err == nil {
		_, err = s.Flip(t.Context(), w, r, conform.Rows(docs))
	}
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int64{"chair": 2, "CHAIR": 2, "red chair": 2, `"red chair"`: 1, "des*": 1, "chair NOT blue": 1, "sofa": 0, "": 3} {
		if h, err := s.Find(t.Context(), "shop", query, 10); err != nil || h.Total != want {
			t.Errorf("%q: %d found, want %d, %v", query, h.Total, want, err)
		}
	}
	if _, err := s.Find(t.Context(), "shop", `"red`, 10); flow.KindOf(err) != flow.Invalid || !strings.Contains(flow.HintOf(err), "phrase") {
		t.Errorf("an unclosed quote: %v", err)
	}
	if _, err := s.Find(t.Context(), "sho", "", 10); flow.KindOf(err) != flow.NotFound {
		t.Errorf("an unknown index: %v", err)
	}
}

// TestLeftBehind: an attempt that died is removed by the next, what lost its alias after the grace.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	docs := conform.Docs("a", "b")
	count := func() (n int) {
		if err := s.db.QueryRow("SELECT count(*) FROM document").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	stage := func(run string, attempt int, flip bool) {
		w := conform.SinkWrite("swap", "left", len(docs))
		w.Run, w.Attempt = run, attempt
		r, err := s.Stage(t.Context(), w, conform.Rows(docs))
		if err == nil && flip {
			_, err = s.Flip(t.Context(), w, r, conform.Rows(docs))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stage("r1", 1, false)
	stage("r1", 2, true)
	if n := count(); n != 2 {
		t.Errorf("%d documents after the second attempt", n)
	}
	stage("r2", 1, true)
	if n := count(); n != 4 {
		t.Errorf("%d documents within the grace", n)
	}
	s.now = func() time.Time { return time.Now().Add(time.Hour) }
	stage("r3", 1, true)
	if n := count(); n != 4 {
		t.Errorf("%d documents after the grace: r3's and r2's are wanted", n)
	}
}
