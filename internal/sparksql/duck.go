package sparksql

import "strings"

// duckName quotes a name for DuckDB.
func duckName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// duckString quotes a string for DuckDB. A zero byte cannot stand in a text.
func duckString(s string) string {
	if !strings.Contains(s, "\x00") {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	parts := strings.Split(s, "\x00")
	for i, p := range parts {
		parts[i] = duckString(p)
	}
	return "(" + strings.Join(parts, " || chr(0) || ") + ")"
}
