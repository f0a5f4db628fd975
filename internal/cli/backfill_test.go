package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBackfillBesideToday runs an old day again while today is run, over the embedded index.
func TestBackfillBesideToday(t *testing.T) {
	t.Parallel()
	backfillBesideToday(t, "{ type: search }", func(t *testing.T, dir, index string) []map[string]json.RawMessage {
		t.Helper()
		return found(t, dir, index)
	})
}

const besides = `schedule: { cron: "0 6 * * *", start: 2026-01-01, day: start }
publish: together
steps:
  lines:  { extract: { from: "data/lines_{{ ds_nodash }}.csv", columns: { id: string, customer: string, day: string, tag: string, at: timestamp } } }
  lake:   { load: { from: lines, to: lake/lines, layout: run, scope: run } }
  days:   { load: { from: lines, to: find, index: days, id: id, mode: swap, scope: day } }
  latest: { load: { from: lines, to: find, index: latest, id: customer, mode: upsert, version: at } }
`

// backfillBesideToday runs an old day again in one process while another runs today, several
// times, and reads through the lake's pointer and the index's alias all the while: each reader
// sees whole days, nothing is there twice, and a document of today is never overwritten by an older one.
func backfillBesideToday(t *testing.T, find string, documents func(t *testing.T, dir, index string) []map[string]json.RawMessage) {
	dir := t.TempDir()
	const lines = 400
	day := func(day, tag string) {
		var b strings.Builder
		b.WriteString("id,customer,day,tag,at\n")
		for i := range lines {
			fmt.Fprintf(&b, "%s-%d,c%d,%s,%s,%sT%02d:00:00Z\n", day, i, i, day, tag, day, i%24)
		}
		write(t, dir, map[string]string{"data/lines_" + strings.ReplaceAll(day, "-", "") + ".csv": b.String()})
	}
	write(t, dir, map[string]string{"tidemill.yaml": "project: p\nconnections: { find: " + find + " }\n", "pipelines/p.yaml": besides})
	const old, today = "2026-01-05", "2026-01-06"
	for d, tag := range map[string]string{old: "a0", today: "b0"} {
		day(d, tag)
		mustRun(t, dir, "run", "p", "--date", d)
	}
	whole := func(where string, got map[string]int) {
		t.Helper()
		for key, n := range got {
			if n != lines {
				t.Errorf("readers of the %s see %d of %d lines of %s: %v", where, n, lines, key, got)
			}
		}
		if len(got) != 2 {
			t.Errorf("readers of the %s see %v", where, got)
		}
	}
	for round := 1; round <= 4 && !t.Failed(); round++ {
		day(old, fmt.Sprint("a", round))
		day(today, fmt.Sprint("b", round))
		ends := make(chan string, 2)
		for _, d := range []string{old, today} {
			c := process(t, dir, nil, "run", "p", "--date", d, "--again")
			go func() {
				out, err := c.CombinedOutput()
				if err != nil {
					ends <- fmt.Sprintf("%s: %v\n%s", d, err, out)
					return
				}
				ends <- ""
			}()
		}
		for running := 2; running > 0; {
			select {
			case said := <-ends:
				running--
				if said != "" {
					t.Error(said)
				}
			case <-time.After(5 * time.Millisecond):
			}
			whole("lake", pointed(t, filepath.Join(dir, "lake/lines")))
			whole("index", tally(documents(t, dir, "days")))
		}
		want := map[string]int{fmt.Sprint(old, " a", round): lines, fmt.Sprint(today, " b", round): lines}
		if d := cmp.Diff(want, pointed(t, filepath.Join(dir, "lake/lines"))); d != "" {
			t.Errorf("the lake (-want +got):\n%s", d)
		}
		if d := cmp.Diff(want, tally(documents(t, dir, "days"))); d != "" {
			t.Errorf("the index (-want +got):\n%s", d)
		}
		newest := maps.Clone(want)
		delete(newest, fmt.Sprint(old, " a", round))
		if d := cmp.Diff(newest, tally(documents(t, dir, "latest"))); d != "" {
			t.Errorf("the newest documents (-want +got):\n%s", d)
		}
	}
}

// pointed counts the lines that a reader of a pointer sees, by day and tag.
func pointed(t *testing.T, lake string) map[string]int {
	t.Helper()
	var cur struct{ Files []string }
	text, err := os.ReadFile(filepath.Join(lake, "_current.json"))
	if err == nil {
		err = json.Unmarshal(text, &cur)
	}
	if err != nil {
		t.Fatal(err)
	}
	local := t.TempDir()
	for i, f := range cur.Files {
		if err := os.Link(filepath.Join(lake, f), filepath.Join(local, fmt.Sprint("part-", i, ".parquet"))); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]int{}
	for _, r := range readFiles(t, local, "select day || ' ' || tag, count(*) from lake group by 1") {
		var n int
		if _, err := fmt.Sscan(r[1], &n); err != nil {
			t.Fatal(err)
		}
		out[r[0]] = n
	}
	return out
}

// tally counts documents by day and tag.
func tally(documents []map[string]json.RawMessage) map[string]int {
	out := map[string]int{}
	for _, d := range documents {
		out[strings.ReplaceAll(string(d["day"])+" "+string(d["tag"]), `"`, "")]++
	}
	return out
}
