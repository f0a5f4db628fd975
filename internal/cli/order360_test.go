package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/examples/order-360/systems"
)

// start360 copies the example order-360 with its systems at work: AWS on localhost, the
// catalog's API, the warehouse.
func start360(t *testing.T) (dir string, c *cloud) {
	t.Helper()
	dir = copyExample(t, "order-360")
	c = startCloud(t, "instant", "")
	for _, b := range []string{"shop-raw", "shop-lake"} {
		if _, err := c.s3.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String(b)}); err != nil {
			t.Fatal(err)
		}
	}
	h, err := systems.Catalog(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	if err := systems.Warehouse(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("http://127.0.0.1:4566", c.url, "http://127.0.0.1:8360", server.URL).Replace(readText(t, dir, "tidemill.yaml"))
	write(t, dir, map[string]string{"tidemill.yaml": text})
	mustRun(t, dir, "run", "land")
	return dir, c
}

// expected360 are the rows of days, by Python, as id: the other columns.
func expected360(t *testing.T, days ...string) map[string]string {
	t.Helper()
	f, err := os.Open("../../examples/order-360/expected/order_360.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range all[1:] {
		if slices.Contains(days, r[2]) {
			out[r[0]] = strings.Join(r[1:], "|")
		}
	}
	if len(out) == 0 {
		t.Fatalf("no rows are expected for %v", days)
	}
	return out
}

const columns360 = "order_line_id order_id order_date customer_id customer segment region earlier_orders lifetime_amount tier sku product category quantity amount list_amount discount priority in_catalog"

// lake360 are the rows that readers of a prefix of the lake find.
func lake360(t *testing.T, s3 *awss3.Client, prefix string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	local := t.TempDir()
	list, err := s3.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("shop-lake"), Prefix: aws.String(prefix + "/order_date=")})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		download(t, s3, "shop-lake", *o.Key, filepath.Join(local, *o.Key))
	}
	columns := strings.Fields(columns360)
	for i, c := range columns {
		columns[i] = "coalesce(" + c + "::varchar, '')"
	}
	for _, r := range readFiles(t, local, "select "+strings.Join(columns, ", ")+" from lake") {
		if _, twice := rows[r[0]]; twice {
			t.Errorf("order line %s is twice in the lake", r[0])
		}
		rows[r[0]] = strings.Join(r[1:], "|")
	}
	return rows
}

// rows360 are documents of the index as rows.
func rows360(t *testing.T, documents []map[string]json.RawMessage) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, d := range documents {
		var row []string
		for _, name := range strings.Fields(columns360) {
			text := string(d[name])
			var s string
			if json.Unmarshal(d[name], &s) == nil {
				text = s
			}
			row = append(row, text)
		}
		if _, twice := rows[row[0]]; twice {
			t.Errorf("order line %s is twice in the index", row[0])
		}
		rows[row[0]] = strings.Join(row[1:], "|")
	}
	return rows
}

// found are the documents of an index that tidemill search finds.
func found(t *testing.T, dir, index string) (documents []map[string]json.RawMessage) {
	t.Helper()
	for line := range strings.Lines(mustRun(t, dir, "search", index, "--json", "--limit", "10000")) {
		var hit struct{ Document map[string]json.RawMessage }
		if err := json.Unmarshal([]byte(line), &hit); err != nil {
			t.Fatal(err)
		}
		documents = append(documents, hit.Document)
	}
	return documents
}

func download(t *testing.T, s3 *awss3.Client, bucket, key, to string) {
	t.Helper()
	o, err := s3.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close() //nolint:errcheck // only read
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(o.Body); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func same360(t *testing.T, want, lake, index map[string]string) {
	t.Helper()
	if d := cmp.Diff(want, lake); d != "" {
		t.Errorf("the lake (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want, index); d != "" {
		t.Errorf("the index (-want +got):\n%s", d)
	}
}

func want360(t *testing.T, dir string, c *cloud, days ...string) {
	t.Helper()
	same360(t, expected360(t, days...), lake360(t, c.s3, "order_360"), rows360(t, found(t, dir, "order_360")))
}

// TestOrder360 runs three days in a row and the last of them again: lake and index have the
// rows that Python computes, earlier days still there.
func TestOrder360(t *testing.T) {
	t.Parallel()
	dir, c := start360(t)
	days := []string{"2017-11-16", "2017-11-17", "2017-11-18"}
	for i, day := range days {
		mustRun(t, dir, "run", "order_360", "--date", day)
		want360(t, dir, c, days[:i+1]...)
	}
	mustRun(t, dir, "run", "order_360", "--date", days[2], "--again")
	want360(t, dir, c, days...)
}

// TestOrder360Kills kills the second day at instants all over the run and asks for it again:
// each time lake and index have both days, once.
func TestOrder360Kills(t *testing.T) {
	t.Parallel()
	dir, c := start360(t)
	mustRun(t, dir, "run", "order_360", "--date", "2017-11-16")
	count := filepath.Join(dir, "count")
	if out, err := process(t, dir, []string{countIn + "=" + count}, "run", "order_360", "--date", "2017-11-17").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var calls int
	if _, err := fmt.Sscan(readText(t, dir, "count"), &calls); err != nil || calls < 10 {
		t.Fatalf("%d calls of the journal, %v", calls, err)
	}
	step := 5
	if testing.Short() {
		step = 12
	}
	for n := 2; n <= calls; n += step {
		for _, when := range []string{"before", "after"} {
			at := fmt.Sprintf("%s:%d", when, n)
			out, err := process(t, dir, []string{killAt + "=" + at}, "run", "order_360", "--date", "2017-11-17", "--again").CombinedOutput()
			if err == nil && strings.Contains(string(out), "succeeded") {
				continue // the run had fewer calls
			}
			mustRun(t, dir, "run", "order_360", "--date", "2017-11-17")
			want360(t, dir, c, "2017-11-16", "2017-11-17")
			if t.Failed() {
				t.Fatalf("killed %s", at)
			}
		}
	}
}

// TestOrder360PySparkCompiles compiles the example in PySpark for each of its targets: what it
// does is seen where there is a Spark.
func TestOrder360PySparkCompiles(t *testing.T) {
	t.Parallel()
	dir := copyExample(t, "order-360-pyspark")
	write(t, dir, map[string]string{"node/tidemill-node-linux-amd64": "a program"})
	for target, want := range map[string]string{
		"spark":     `"Resource": "arn:aws:states:::tidemill:spark"`,
		"emr":       `"SNOWFLAKE_KEY=secretsmanager:shop/snowflake-key"`,
		"emr-local": `"CATALOG_TOKEN=ssm:/shop/catalog-token"`,
	} {
		out, err := process(t, dir, []string{"TIDEMILL_NODE=" + filepath.Join(dir, "node")}, "compile", "order_360", "--target", target).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s lacks %s: %v\n%s", target, want, err, out[:min(len(out), 2000)])
		}
	}
}
