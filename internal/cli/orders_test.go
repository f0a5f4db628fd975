package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readCSV reads a file of expected results, by the days in its first column.
func readCSV(t *testing.T, name string) (head []string, days map[string][][]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	days = map[string][][]string{}
	for _, r := range rows[1:] {
		days[r[0]] = append(days[r[0]], r)
	}
	return rows[0], days
}

func ask(t *testing.T, dir, day, sql string, more ...string) [][]string {
	t.Helper()
	out := mustRun(t, dir, append([]string{"query", "orders", sql, "--date", day, "--format", "csv"}, more...)...)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestOrdersExample runs every day of the example and wants what a plain Python script with
// exact decimals made of the same files, in the datasets and in the published files.
func TestOrdersExample(t *testing.T) {
	t.Parallel()
	dir := copyExample(t, "orders")
	headSeg, segments := readCSV(t, filepath.Join(dir, "expected/by_segment.csv"))
	headDay, days := readCSV(t, filepath.Join(dir, "expected/by_day.csv"))
	if len(days) != 51 {
		t.Fatalf("the example has %d days, not 51", len(days))
	}
	for day := range days {
		mustRun(t, dir, "run", "orders", "--date", day)
	}
	if code, out, errs := tidemill(t, dir, "run", "orders", "--date", "2017-10-25"); code == 0 {
		t.Errorf("a day without a file succeeded:\n%s%s", out, errs)
	}
	for _, day := range []string{"2017-10-20", "2017-11-06", "2017-12-10"} {
		if d := cmp.Diff(append([][]string{headDay}, days[day]...), ask(t, dir, day, "select * from by_day")); d != "" {
			t.Errorf("%s, by_day (-want +got):\n%s", day, d)
		}
		got := ask(t, dir, day, "select * from by_segment order by category, region, segment")
		if d := cmp.Diff(append([][]string{headSeg}, segments[day]...), got); d != "" {
			t.Errorf("%s, by_segment (-want +got):\n%s", day, d)
		}
	}
	lake := tree(t, filepath.Join(dir, "lake"))
	for day := range days {
		for _, folder := range []string{"lines", "by_segment"} {
			n := 0
			for name := range lake {
				if strings.HasPrefix(name, folder+"/order_date="+day+"/part-") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s/order_date=%s has %d files, not one", folder, day, n)
			}
		}
	}
	var wantSeg, wantDay [][]string
	for _, day := range sortedKeys(days) {
		wantSeg, wantDay = append(wantSeg, segments[day]...), append(wantDay, days[day]...)
	}
	store := filepath.Join(dir, ".tidemill/data/orders")
	all := "select order_date, category, region, segment, lines, orders, customers, revenue, profit from lake order by 1, 2, 3, 4"
	for where, got := range map[string][][]string{
		"dataset by_segment": readFiles(t, filepath.Join(store, "by_segment"), all),
		"lake/by_segment":    readLake(t, dir, all, "by_segment"),
	} {
		if d := cmp.Diff(wantSeg, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", where, d)
		}
	}
	for where, got := range map[string][][]string{
		"dataset by_day": readFiles(t, filepath.Join(store, "by_day"), "select order_date, lines, orders, customers, revenue, profit from lake order by 1"),
		"lake/lines":     readLake(t, dir, "select order_date, count(*), count(distinct order_id), count(distinct customer_id), sum(revenue), sum(profit) from lake group by 1 order by 1", "lines"),
	} {
		if d := cmp.Diff(wantDay, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", where, d)
		}
	}
}

// hostile is a day as it must not be, and what the user is told.
type hostile struct {
	name string
	make func(good string) string // the day's file
	file string                   // its name, data/orders_20171106.csv by default
	from string                   // what the pipeline extracts, the file by default
	also map[string]string
	fits int      // rows that pass, where the day may be published
	says []string // in the output of the run
}

func lines(s string) []string { return strings.SplitAfter(s, "\n") }

// long repeats the day's lines with numbers of their own, up to n lines with the header.
func long(good string, n int) []string {
	in := lines(strings.TrimSuffix(good, "\n"))
	out := []string{in[0]}
	for i := 1; i < n; i++ {
		_, rest, _ := strings.Cut(in[1+(i-1)%(len(in)-1)], ",")
		out = append(out, fmt.Sprintf("%d,%s\n", i, strings.TrimSuffix(rest, "\n")))
	}
	return out
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// aLine is how long the long line of the hostile days is; the soak makes it a gigabyte.
const aLine = 17 << 20

func hostileDays(t testing.TB, lineLength int) []hostile {
	return []hostile{
		{name: "empty", make: func(string) string { return "" }, says: []string{"data/orders_20171106.csv: it has no records", "on_empty"}},
		{name: "header only", make: func(good string) string { return lines(good)[0] }, says: []string{"data/orders_20171106.csv: it has no records", "on_empty"}},
		{name: "wrong header", make: func(good string) string { return strings.Replace(good, "order_id", "orderid", 1) },
			says: []string{"data/orders_20171106.csv:1: column order_id is missing (is it orderid?)", "tidemill schema accept orders clean"}},
		{name: "no header", make: func(good string) string { return strings.Join(lines(good)[1:], "") },
			says: []string{"data/orders_20171106.csv:1: none of the columns row_id, ", "header: false"}},
		{name: "a new column", make: func(good string) string {
			return strings.ReplaceAll(strings.Replace(good, "\n", ",extra\n", 1), "\n", ",1\n")
		},
			says: []string{"data/orders_20171106.csv:1: column "}},
		{name: "a bad number on line 4,711", fits: 5000 - 2, make: func(good string) string {
			all := long(good, 5000)
			all[4710] = strings.Replace(all[4710], "2017-11-06", "2017-11-31", 1)
			return strings.Join(all, "")
		}, says: []string{"1 rejected", "data/orders_20171106.csv:4711, column order_date: \"2017-11-31\" is no date"}},
		{name: "the same content twice", from: "data/d/*.csv", file: "data/d/a.csv", make: func(good string) string { return good }, also: map[string]string{"data/d/b.csv": "same"},
			says: []string{"data/d/b.csv: it has the same content as data/d/a.csv", "Remove one of the two"}},
		{name: "Latin-1", fits: 27 - 1, make: func(good string) string { return strings.Replace(good, "Roger", "Rog\xe9r", 1) },
			says: []string{"1 rejected", "data/orders_20171106.csv:2, column customer_name: ", "not valid UTF-8"}},
		{name: "CRLF", fits: 27, make: func(good string) string { return strings.ReplaceAll(good, "\n", "\r\n") }},
		{name: "a long line", fits: 27 - 1, make: func(good string) string {
			return strings.Replace(good, "Roger Barcio", strings.Repeat("x", lineLength), 1)
		}, says: []string{"1 rejected", "data/orders_20171106.csv:2"}},
		{name: "unclosed quote", make: func(good string) string {
			all := lines(strings.ReplaceAll(good, `"`, ""))
			all[3] = strings.Replace(all[3], "CA-", `"CA-`, 1)
			return strings.Join(all, "")
		}, says: []string{"data/orders_20171106.csv", "line 4: a quote is opened and not closed"}},
		{name: "a missing file", says: []string{"read data/orders_20171106.csv: no such file", "wait: { for: 2h, every: 1m }"}},
		{name: "truncated gzip", file: "data/orders_20171106.csv.gz", from: "data/orders_{{ ds_nodash }}.csv.gz", make: func(good string) string {
			z := gzipped(t, good)
			return z[:len(z)/2]
		}, says: []string{"data/orders_20171106.csv.gz: it is cut short", "Fetch the file anew"}},
	}
}

// TestHostileDays gives the example files as they arrive in real life. Each is refused, or
// its bad lines are kept aside, in words that name the file, the line and the remedy; what
// was published before stays byte for byte where nothing new is.
func TestHostileDays(t *testing.T) {
	t.Parallel()
	for _, h := range hostileDays(t, aLine) {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			h.try(t)
		})
	}
}

func (h hostile) try(t *testing.T) {
	dir := copyExample(t, "orders")
	day := "data/orders_20171106.csv"
	text, err := os.ReadFile(filepath.Join(dir, day))
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	mustRun(t, dir, "run", "orders", "--date", "2017-11-05")
	mustRun(t, dir, "run", "orders", "--date", "2017-11-06")
	if err := os.Remove(filepath.Join(dir, day)); err != nil {
		t.Fatal(err)
	}
	if h.from != "" {
		file := filepath.Join(dir, "pipelines/orders.yaml")
		p, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, map[string]string{"pipelines/orders.yaml": strings.Replace(string(p), "data/orders_{{ ds_nodash }}.csv", h.from, 1)})
	}
	if h.make != nil {
		name := h.file
		if name == "" {
			name = day
		}
		write(t, dir, map[string]string{name: h.make(good)})
	}
	for name := range h.also {
		write(t, dir, map[string]string{name: good})
	}
	before := tree(t, filepath.Join(dir, "lake"))
	code, out, errs := tidemill(t, dir, "run", "orders", "--date", "2017-11-06", "--again")
	for _, s := range h.says {
		if !strings.Contains(errs, s) {
			t.Errorf("it does not say %q:\n%s", s, errs)
		}
	}
	after := tree(t, filepath.Join(dir, "lake"))
	if h.fits == 0 {
		if code != 1 {
			t.Errorf("exit %d, not 1\n%s%s", code, out, errs)
		}
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("what was published has changed (-before +after):\n%s", d)
		}
		return
	}
	if code != 0 {
		t.Fatalf("exit %d, not 0\n%s%s", code, out, errs)
	}
	if got := readLake(t, dir, "select count(*) from lake where order_date = '2017-11-06'", "lines"); got[0][0] != fmt.Sprint(h.fits) {
		t.Errorf("%s rows are published, not %d", got[0][0], h.fits)
	}
	other := func(m map[string]string) map[string]string {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(name, _ string) bool {
			return !strings.Contains(name, "order_date=2017-11-05") && !strings.Contains(name, "20171106T")
		})
		return m
	}
	if d := cmp.Diff(other(before), other(after)); d != "" {
		t.Errorf("the day before has changed (-before +after):\n%s", d)
	}
}
