//go:build conformance

package duckdb

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/conform/judge"
	"github.com/tidemill/tidemill/internal/sparksql"
)

type sparkCase struct {
	id     string
	Query  string   `json:"query"`
	Result []string `json:"result"`
}

func sparkCases(t *testing.T, dir string) ([]sparkCase, map[string]bool) {
	t.Helper()
	var confirmed map[string][]string
	readJSON(t, filepath.Join(dir, "confirmed.json"), &confirmed)
	on := map[string]bool{}
	for id, versions := range confirmed {
		for _, v := range versions {
			on[id] = on[id] || v == "3.5.6"
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(files)
	var out []sparkCase
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if name == "confirmed" {
			continue
		}
		var list []sparkCase
		readJSON(t, f, &list)
		for i, c := range list {
			c.id = fmt.Sprintf("%s-%03d", name, i)
			out = append(out, c)
		}
	}
	if len(out) == 0 || len(on) == 0 {
		t.Fatalf("the judge is missing: no cases in %s", dir)
	}
	return out, on
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatalf("the judge is missing: %s", err)
	}
}

// TestSparkSQL plays Spark's documented examples: all must be read but for what is not
// part of Spark 3.5, and those that a real 3.5.6 confirms must give its rows or be refused.
func TestSparkSQL(t *testing.T) {
	t.Parallel()
	cases, on := sparkCases(t, filepath.Join(os.Getenv("CASES"), "spark-sql"))
	const zone, knownFile = "America/Los_Angeles", "testdata/sparksql_known.txt"
	s, err := Open(t.Context(), Config{Timezone: zone, PreserveOrder: true, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test
	known, err := judge.ReadKnown(knownFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	parsing, running := judge.NewTally("spark-sql", "parse.json", known), judge.NewTally("spark-sql", "confirmed-3.5.6.json", known)
	var refusals []string
	parsed, equal, refused, different := 0, 0, 0, 0
	for _, c := range cases {
		_, err := sparksql.Parse(c.Query)
		if err == nil {
			parsed++
		} else {
			refusals = append(refusals, "parse/"+c.id+" "+oneLine(err))
		}
		parsing.Case(os.Stdout, "parse/"+c.id, err)
		if !on[c.id] {
			continue
		}
		got, cols, text, err := runSpark(t.Context(), s, c.Query, sparksql.Options{Timezone: zone})
		if err != nil {
			refused++
			refusals = append(refusals, c.id+" "+oneLine(err))
			running.Case(os.Stdout, c.id, fmt.Errorf("refused: %w", err))
			if os.Getenv("SHOW_REFUSED") != "" {
				t.Logf("REFUSED %s %s: %s", c.id, c.Query, oneLine(err))
			}
			continue
		}
		err = compareRows(c.Result, got, cols)
		if err == nil {
			equal++
		} else {
			different++
			t.Errorf("%s differs: %s\n%s\n%s", c.id, c.Query, err, text)
		}
		running.Case(os.Stdout, c.id, err)
	}
	fmt.Printf("spark-sql: parsed %d of %d; on 3.5.6: %d equal, %d refused, %d silently different\n", parsed, len(cases), equal, refused, different)
	if *update {
		writeKnown(t, knownFile, refusals)
	}
	for _, tally := range []*judge.Tally{parsing, running} {
		if err := tally.Close(os.Stdout); err != nil {
			t.Error(err)
		}
	}
	if parsed*100 < len(cases)*95 || equal < 280 || different > 0 {
		t.Errorf("below the mark: 95 of 100 parsed, 280 equal, none silently different")
	}
}

func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if i := strings.Index(s, " LINE 1:"); i > 0 {
		s = s[:i]
	}
	if len(s) > 220 {
		s = s[:220]
	}
	return strings.ToValidUTF8(s, "")
}

func writeKnown(t *testing.T, file string, refusals []string) {
	t.Helper()
	text := "# What is refused of Spark's documented examples, each with the refusal. Written by\n" +
		"# go test -tags conformance -run TestSparkSQL -update.\n" + strings.Join(refusals, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
