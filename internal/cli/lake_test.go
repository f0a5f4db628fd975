package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/duckdb"
)

// readLake reads published files as an outsider would, by their folders and nothing else.
func readLake(t *testing.T, dir, query, folder string) [][]string {
	t.Helper()
	return readFiles(t, filepath.Join(dir, "lake", folder), query)
}

// readFiles asks all Parquet files below a folder, as the table lake.
func readFiles(t *testing.T, folder, query string) [][]string {
	t.Helper()
	s, err := duckdb.Open(t.Context(), duckdb.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // only read
	files := filepath.Join(folder, "**", "part-*.parquet")
	text := "with lake as (select * from read_parquet('" + strings.ReplaceAll(files, "'", "''") + "', hive_partitioning = true, hive_types_autocast = false)), answer as (" + query + ") select columns(*)::varchar from answer"
	rows, err := s.DB().QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for rows.Next() {
		row, into := make([]string, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
