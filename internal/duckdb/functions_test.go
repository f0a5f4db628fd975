package duckdb

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/sparksql"
)

var recordWith = flag.String("record-spark", "", "a Python with pyspark 3.5.6: record anew what Spark gives for the cases")

// recorded is what a real Spark 3.5.6 gave for a text.
type recorded struct {
	SQL   string   `json:"sql"`
	Zone  string   `json:"zone"`
	Error string   `json:"error,omitempty"`
	Types []string `json:"types,omitempty"`
	Rows  []string `json:"rows,omitempty"`
}

// runSpark translates a text, runs it and prints its rows as Spark's shell does. A
// refusal is an error, before the run or while it runs.
func runSpark(ctx context.Context, s *Session, text string, o sparksql.Options) ([]string, []sparksql.Field, string, error) {
	q, err := sparksql.Parse(text)
	if err != nil {
		return nil, nil, "", err
	}
	tr, faults := sparksql.DuckDB(q, o)
	if len(faults) > 0 {
		return nil, nil, "", faults[0]
	}
	rows, err := s.DB().QueryContext(ctx, tr.SQL)
	if err != nil {
		return nil, tr.Columns, tr.SQL, err
	}
	defer rows.Close() //nolint:errcheck // read to its end
	out, err := printRows(rows, tr.Columns, s.Zone())
	return out, tr.Columns, tr.SQL, err
}

func printRows(rows *sql.Rows, cols []sparksql.Field, zone *time.Location) ([]string, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	var out []string
	for rows.Next() {
		vals := make([]any, len(cols))
		ptrs := make([]any, len(cols))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		cells := make([]string, len(cols))
		for i, v := range vals {
			if err := sameType(cols[i].Type, types[i].DatabaseTypeName()); err != nil {
				return nil, fmt.Errorf("TYPE column %d: %w", i, err)
			}
			cells[i] = printCell(v, cols[i].Type, zone, false)
		}
		out = append(out, strings.Join(cells, "\t"))
	}
	return out, rows.Err()
}

// sameType holds the translation to its word: DuckDB's type is the one that stands for Spark's.
func sameType(t sparksql.Type, duck string) error {
	want := t.DuckDB()
	duck = strings.ReplaceAll(duck, "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
	if t.Kind == sparksql.Void || strings.Contains(t.String(), "void") || strings.EqualFold(squeeze(want), squeeze(duck)) {
		return nil
	}
	return fmt.Errorf("%s was promised as %s and came as %s", t, want, duck)
}

func squeeze(s string) string { return strings.NewReplacer(" ", "", `"`, "").Replace(s) }

// printCell follows HiveResult: strings are bare at the top and quoted inside.
func printCell(v any, t sparksql.Type, zone *time.Location, nested bool) string {
	if v == nil {
		if nested {
			return "null"
		}
		return "NULL"
	}
	switch t.Kind {
	case sparksql.String:
		if nested {
			return `"` + v.(string) + `"`
		}
		return v.(string)
	case sparksql.Binary:
		if nested {
			return string(v.([]byte))
		}
		return string(v.([]byte))
	case sparksql.Double:
		return javaDouble(v.(float64), 64)
	case sparksql.Float:
		return javaDouble(float64(v.(float32)), 32)
	case sparksql.Decimal:
		d := v.(duckdb.Decimal)
		return decimalText(d.Value, int(d.Scale))
	case sparksql.Date:
		return v.(time.Time).Format("2006-01-02")
	case sparksql.Timestamp:
		return timeText(v.(time.Time).In(zone))
	case sparksql.TimestampNTZ:
		return timeText(v.(time.Time).UTC())
	case sparksql.YearMonth:
		n, _ := strconv.ParseInt(fmt.Sprint(v), 10, 64)
		sign := ""
		if n < 0 {
			sign, n = "-", -n
		}
		return fmt.Sprintf("%s%d-%d", sign, n/12, n%12)
	case sparksql.DayTime:
		n, _ := strconv.ParseInt(fmt.Sprint(v), 10, 64)
		sign := ""
		if n < 0 {
			sign, n = "-", -n
		}
		return fmt.Sprintf("%s%d %02d:%02d:%02d.%09d", sign, n/86400e6, n/3600e6%24, n/60e6%60, n/1e6%60, n%1e6*1000)
	case sparksql.Array:
		var parts []string
		for _, x := range v.([]any) {
			parts = append(parts, printCell(x, *t.Elem, zone, true))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case sparksql.Struct:
		m := v.(map[string]any)
		var parts []string
		for _, f := range t.Fields {
			parts = append(parts, `"`+f.Name+`":`+printCell(m[f.Name], f.Type, zone, true))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case sparksql.Map:
		var parts []string
		switch m := v.(type) {
		case duckdb.OrderedMap:
			for i, k := range m.Keys() {
				parts = append(parts, printCell(k, *t.Key, zone, true)+":"+printCell(m.Values()[i], *t.Elem, zone, true))
			}
		case duckdb.Map:
			for k, x := range m {
				parts = append(parts, printCell(k, *t.Key, zone, true)+":"+printCell(x, *t.Elem, zone, true))
			}
		default:
			return fmt.Sprintf("%T", v)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return fmt.Sprint(v)
}

func timeText(t time.Time) string {
	s := t.Format("2006-01-02 15:04:05.000000")
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func decimalText(n *big.Int, scale int) string {
	s := new(big.Int).Abs(n).String()
	for len(s) <= scale {
		s = "0" + s
	}
	if scale > 0 {
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

func javaDouble(f float64, bits int) string {
	for _, n := range sparksql.Natives(nil) {
		if n.Name == "spark_double_string" && bits == 64 {
			s, _ := n.Call([]any{f})
			return s.(string)
		}
		if n.Name == "spark_float_string" && bits == 32 {
			s, _ := n.Call([]any{float32(f)})
			return s.(string)
		}
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

const recordScript = `
import sys, json
from pyspark.sql import SparkSession
inp = json.load(open(sys.argv[1]))
spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "1")
  .config("spark.sql.ansi.enabled", "false").config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate())
spark.sparkContext.setLogLevel("OFF")
out = []
for c in inp:
    spark.conf.set("spark.sql.session.timeZone", c["zone"])
    try:
        df = spark.sql(c["sql"])
        lines = spark._jvm.org.apache.spark.sql.execution.HiveResult.hiveResultString(df._jdf.queryExecution().executedPlan())
        c["rows"] = [lines.apply(i) for i in range(lines.length())]
        c["types"] = [f.dataType.simpleString() for f in df.schema.fields]
    except Exception as e:
        c["error"] = (type(e).__name__ + ": " + str(e)).split("\n")[0][:200]
    out.append(c)
json.dump(out, open(sys.argv[2], "w"), indent=1, ensure_ascii=False)
`

// caseTexts gives every text to prove: the case of each row of the table, and more.
func caseTexts(t *testing.T) []recorded {
	t.Helper()
	var out []recorded
	for _, r := range sparksql.Constructs() {
		if r.Case == "" {
			t.Errorf("%s has no case that proves it", r.Construct)
			continue
		}
		out = append(out, recorded{SQL: r.Case, Zone: "UTC"})
	}
	b, err := os.ReadFile(filepath.Join("testdata", "sparksql_cases.sql"))
	if err != nil {
		t.Fatal(err)
	}
	zone := "UTC"
	for _, l := range strings.Split(string(b), "\n") {
		switch z, isZone := strings.CutPrefix(l, "-- zone: "); {
		case isZone:
			zone = strings.TrimSpace(z)
		case l == "" || strings.HasPrefix(l, "--"):
		default:
			out = append(out, recorded{SQL: l, Zone: zone})
		}
	}
	return out
}

const recordedFile = "testdata/sparksql_recorded.json"

// recordFromSpark asks Spark about the cases that are not recorded yet, and drops those
// that are no cases any more.
func recordFromSpark(t *testing.T, cases []recorded) {
	t.Helper()
	known := map[string]recorded{}
	for _, r := range readRecorded(t) {
		known[r.Zone+r.SQL] = r
	}
	kept, asked := []recorded{}, []recorded{}
	for _, c := range cases {
		if r, ok := known[c.Zone+c.SQL]; ok {
			kept = append(kept, r)
		} else {
			asked = append(asked, c)
		}
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.json"), filepath.Join(dir, "out.json")
	b, err := json.Marshal(asked)
	if err == nil {
		err = os.WriteFile(in, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), *recordWith, "-c", recordScript, in, out)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYSPARK_PYTHON="+*recordWith, "SPARK_LOCAL_IP=127.0.0.1")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %s", err, text)
	}
	var answers []recorded
	if b, err = os.ReadFile(out); err == nil {
		err = json.Unmarshal(b, &answers)
	}
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err = e.Encode(append(kept, answers...)); err == nil {
		err = os.WriteFile(recordedFile, text.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readRecorded(t *testing.T) []recorded {
	t.Helper()
	b, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []recorded
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestAgainstSpark runs every case and compares rows and types with what a real Spark
// 3.5.6 gave. A case of the table may not be refused.
func TestAgainstSpark(t *testing.T) {
	t.Parallel()
	cases := caseTexts(t)
	if *recordWith != "" {
		recordFromSpark(t, cases)
	}
	var err error
	known := map[string]recorded{}
	for _, r := range readRecorded(t) {
		known[r.Zone+r.SQL] = r
	}
	sessions := map[string]*Session{}
	fromTable := len(sparksql.Constructs())
	refused := 0
	for i, c := range cases {
		want, ok := known[c.Zone+c.SQL]
		if !ok {
			t.Errorf("not recorded from Spark: %s", c.SQL)
			continue
		}
		s := sessions[c.Zone]
		if s == nil {
			if s, err = Open(t.Context(), Config{Timezone: c.Zone, PreserveOrder: true, Threads: 1}); err != nil {
				t.Fatal(err)
			}
			sessions[c.Zone] = s
			t.Cleanup(func() { _ = s.Close() })
		}
		got, cols, text, err := runSpark(t.Context(), s, c.SQL, sparksql.Options{Timezone: c.Zone})
		switch {
		case want.Error != "":
			if err == nil {
				// What is looser than Spark gives no other rows; a case of the table has to be Spark.
				if i < fromTable || strings.Contains(want.Error, "Py4JJavaError") || strings.Contains(want.Error, "Exception: [INCONSISTENT") {
					t.Errorf("%s\nSpark refuses: %s\nhere: %q", c.SQL, want.Error, got)
				} else {
					t.Logf("looser than Spark: %s: %s", c.SQL, want.Error)
				}
			}
		case err != nil && (i < fromTable || strings.HasPrefix(err.Error(), "TYPE")):
			t.Errorf("%s\nrefused: %s\n%s", c.SQL, err, text)
		case err != nil:
			refused++
			t.Logf("refused: %s: %s", c.SQL, err)
		default:
			compareTypes(t, c.SQL, want.Types, cols)
			if err := compareRows(want.Rows, got, cols); err != nil {
				t.Errorf("%s\n%s\n%s", c.SQL, err, text)
			}
		}
	}
	t.Logf("%d cases, %d refused", len(cases), refused)
}

func compareTypes(t *testing.T, text string, want []string, cols []sparksql.Field) {
	t.Helper()
	for i, c := range cols {
		got := strings.ReplaceAll(c.Type.String(), "`", "")
		if i < len(want) && !strings.EqualFold(got, strings.ReplaceAll(want[i], "`", "")) {
			t.Errorf("%s\ncolumn %d: Spark's type is %s, ours %s", text, i, want[i], got)
		}
	}
}

func hexText(b []byte) string { return hex.EncodeToString(b) }
