package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A cursor's mark is what earlier runs published: it moves with the publish of a run that
// succeeded and not before, and never back.
func TestCursor(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	rows := []map[string]any{{"id": 1, "at": "2017-11-05T10:00:00Z"}, {"id": 2, "at": "2017-11-06T10:00:00Z"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Query().Get("since"))
		json.NewEncoder(w).Encode(map[string]any{"items": rows}) //nolint:errcheck // a test
	}))
	defer server.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tidemill.yaml": fmt.Sprintf("project: p\nconnections:\n  api: { type: rest, url: %q }\n", server.URL),
		"pipelines/news.yaml": `steps:
  items: { extract: { from: api, path: /items, params: { since: "{{ cursors.items ? cursors.items : 'never' }}" }, records: "{{ response.items }}", columns: { id: bigint, at: timestamp }, cursor: at } }
  gate: { exists: "open", after: items }
`} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want int, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := Main(append([]string{"run", "news", "-C", dir}, args...), strings.NewReader(""), &out, &out); got != want {
			t.Fatalf("exit %d, want %d\n%s", got, want, &out)
		}
	}
	run(1, "--date", "2017-11-06") // it extracts, and then fails
	run(1, "--date", "2017-11-07")
	if err := os.WriteFile(filepath.Join(dir, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, "--date", "2017-11-07") // goes on: what it extracted is not asked for again
	run(0, "--date", "2017-11-08")
	mu.Lock()
	rows = rows[:1]
	mu.Unlock()
	run(0, "--date", "2017-11-05") // its greatest value is less
	run(0, "--date", "2017-11-09")
	mark := "2017-11-06T10:00:00Z"
	if got, want := strings.Join(asked, " "), strings.Join([]string{"never", "never", mark, mark, mark}, " "); strings.ReplaceAll(got, ".000000Z", "Z") != want {
		t.Errorf("asked since %s, want %s", got, want)
	}
}
