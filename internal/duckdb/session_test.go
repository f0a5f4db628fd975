package duckdb

import (
	"fmt"
	"math"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/sparksql"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Memory: "200MB", Threads: 2, TempDir: t.TempDir(), Timezone: "America/New_York", Settings: map[string]string{"allocator_background_threads": "false"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	first, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close() //nolint:errcheck // a test
	if _, err := first.ExecContext(t.Context(), "SET lock_configuration = true"); err != nil {
		t.Fatal(err)
	}
	// Every connection has the zone and the functions, not only the first.
	for range 3 {
		c, err := s.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // a test
		for q, want := range map[string]string{
			"SELECT current_setting('TimeZone')":                       "America/New_York",
			"SELECT current_setting('threads')":                        "2",
			"SELECT current_setting('autoload_known_extensions')":      "false",
			"SELECT current_setting('autoinstall_known_extensions')":   "false",
			"SELECT spark_initcap('a b')":                              "A B",
			"SELECT CAST(spark_to_date(' 2020-1-2 ') AS VARCHAR)":      "2020-01-02",
			"SELECT spark_timestamp_string(TIMESTAMP '2020-01-02')":    "2020-01-02 00:00:00",
			"SELECT spark_double_string(1e7)":                          "1.0E7",
			"SELECT coalesce(spark_initcap(NULL), 'null in null out')": "null in null out",
		} {
			var got any
			if err := c.QueryRowContext(t.Context(), q).Scan(&got); err != nil {
				t.Errorf("%s: %s", q, err)
			} else if fmt.Sprint(got) != want {
				t.Errorf("%s: %v, want %s", q, got, want)
			}
		}
		err = s.Arrow(t.Context(), c, func(a *duckdb.Arrow) error {
			r, err := a.QueryContext(t.Context(), "SELECT 1 AS x")
			if err != nil {
				return err
			}
			defer r.Release()
			if !r.Next() || r.RecordBatch().NumRows() != 1 {
				t.Error("arrow gives no row")
			}
			return r.Err()
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{Timezone: "Mars/Olympus"}, {Memory: "much"}, {Settings: map[string]string{"no_such_setting": "1"}}, {Settings: map[string]string{"a; drop": "1"}}} {
		if s, err := Open(t.Context(), c); err == nil {
			_ = s.Close()
			t.Errorf("%+v opens", c)
		}
	}
}

var tokenRE = regexp.MustCompile(`[A-Za-z0-9_.+\-]+|[^\sA-Za-z0-9_.+\-"']`)

// sameTokens compares texts token by token, numbers within a tolerance.
func sameTokens(a, b string, tolerance float64) bool {
	x, y := tokenRE.FindAllString(a, -1), tokenRE.FindAllString(b, -1)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if strings.EqualFold(x[i], y[i]) {
			continue
		}
		f, err1 := strconv.ParseFloat(x[i], 64)
		g, err2 := strconv.ParseFloat(y[i], 64)
		if err1 != nil || err2 != nil {
			return false
		}
		if math.IsNaN(f) && math.IsNaN(g) {
			continue
		}
		if math.Abs(f-g) > math.Max(tolerance*math.Max(math.Abs(f), math.Abs(g)), 1e-12) {
			return false
		}
	}
	return true
}

var intervalWords = regexp.MustCompile(`^interval|['"]|year to month|day to second|\b(year|month|day|hour|minute|second)\b$|\s*to\s*\w+$`)

func sameCell(want, got string, t sparksql.Type) bool {
	want, got = strings.TrimSpace(want), strings.TrimSpace(got)
	if want == got {
		return true
	}
	switch t.Kind {
	case sparksql.String:
		return false
	case sparksql.Timestamp, sparksql.TimestampNTZ:
		return len(got) == 10 && want == got+" 00:00:00"
	case sparksql.Binary:
		return strings.EqualFold(strings.Trim(strings.ReplaceAll(want, " ", ""), "[]"), hexText([]byte(got)))
	case sparksql.YearMonth, sparksql.DayTime:
		f := func(s string) string {
			return strings.TrimSpace(intervalWords.ReplaceAllString(strings.ToLower(s), ""))
		}
		return f(want) == f(got)
	case sparksql.Int, sparksql.Long, sparksql.Short, sparksql.Byte, sparksql.Boolean, sparksql.Decimal, sparksql.Date:
		return strings.EqualFold(want, got)
	}
	tolerance := 1e-9
	if t.Kind == sparksql.Float {
		tolerance = 1e-5
	}
	if sameTokens(want, got, tolerance) {
		return true
	}
	if t.Kind == sparksql.Map {
		x, y := tokenRE.FindAllString(want, -1), tokenRE.FindAllString(got, -1)
		sort.Strings(x)
		sort.Strings(y)
		return strings.Join(x, "\n") == strings.Join(y, "\n")
	}
	return false
}

func sameRow(want, got string, cols []sparksql.Field) bool {
	if want == got {
		return true
	}
	x, y := strings.Split(strings.Trim(want, " \n"), "\t"), strings.Split(strings.Trim(got, " \n"), "\t")
	if len(x) != len(y) || len(x) != len(cols) {
		return false
	}
	for i := range x {
		if !sameCell(x[i], y[i], cols[i].Type) {
			return false
		}
	}
	return true
}

// compareRows compares rows as multisets.
func compareRows(want, got []string, cols []sparksql.Field) error {
	if len(want) != len(got) {
		if len(got) == 1 && strings.Join(want, "\n") == got[0] {
			return nil
		}
		return fmt.Errorf("want %d rows %q, got %d %q", len(want), want, len(got), got)
	}
	left := append([]string{}, got...)
	for _, w := range want {
		found := -1
		for i, g := range left {
			if sameRow(w, g, cols) {
				found = i
				break
			}
		}
		if found < 0 {
			return fmt.Errorf("want %q, got %q", want, got)
		}
		left = append(left[:found], left[found+1:]...)
	}
	return nil
}
