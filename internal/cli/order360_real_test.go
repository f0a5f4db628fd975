//go:build real

package cli

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/examples/order-360/systems"
	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/conform/parts"
)

// The tests here start servers that want the machine for themselves: none is parallel.

// days360 are the days that are run, one after the other.
var days360 = []string{"2017-11-16", "2017-11-17", "2017-11-18"}

func cache() string { return os.Getenv("TIDEMILL_CACHE") }

// seeded360 is a stand-in for Snowflake with the example's tables.
func seeded360(t *testing.T) string {
	t.Helper()
	url := parts.Up(t)(parts.Fakesnow(t.Context(), cache(), t.TempDir()))
	seed := exec.CommandContext(t.Context(), python360(t), "../../examples/order-360-pyspark/systems/warehouse.py", url)
	if out, err := seed.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return url
}

// python360 is a Python that has Snowflake's connector.
func python360(t *testing.T) string {
	t.Helper()
	dir, err := parts.Dir(cache(), "fakesnow-0.12.1")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "bin", "python")
}

// key360 is a file with a private key as Snowflake wants it.
func key360(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "etl.p8")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// token360 is what the catalog's API wants.
const token360 = "catalog-token-360"

// stubbed360 is a WireMock with the answers of the catalog's API for the days that are run:
// the example's paging, whoever has the wrong token is refused, and the first request fails.
func stubbed360(t *testing.T) string {
	t.Helper()
	url := parts.Up(t)(parts.WireMock(t.Context(), cache(), t.TempDir()))
	catalog, err := systems.Catalog("../../examples/order-360")
	if err != nil {
		t.Fatal(err)
	}
	type m = map[string]any
	var stubs []m
	for _, day := range days360 {
		next := url + "/v2/products?updated_since=" + day + "T13:00:00Z" // 8:00 in New York
		for next != "" {
			answer := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, next, nil)
			catalog.ServeHTTP(answer, r)
			query := m{"updated_since": m{"equalTo": r.URL.Query().Get("updated_since")}, "page": m{"absent": true}}
			if p := r.URL.Query().Get("page"); p != "" {
				query["page"] = m{"equalTo": p}
			}
			request := m{"method": "GET", "urlPath": "/v2/products", "queryParameters": query, "headers": m{"Authorization": m{"equalTo": "Bearer " + token360}}}
			stubs = append(stubs, m{"request": request, "response": m{"status": 200, "headers": m{"Content-Type": "application/json"}, "body": answer.Body.String()}})
			var page struct{ Links struct{ Next string } }
			if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			next = page.Links.Next
		}
	}
	busy := m{"request": m{"urlPath": "/v2/products"}, "response": m{"status": 503, "headers": m{"Retry-After": "1"}}, "priority": 1, "scenarioName": "busy", "requiredScenarioState": "Started", "newScenarioState": "well"}
	text, err := json.Marshal(m{"mappings": append(stubs, busy)})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url+"/__admin/mappings/import", "application/json", bytes.NewReader(text)) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("import the stubs: %s", resp.Status)
	}
	return url
}

// served360 is a json-server with the example's products. Its paging is not the example's:
// the pipeline's copy has another extract.
func served360(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "db.json")
	if err := os.WriteFile(file, []byte(`{"products":`+readText(t, dir, "data/products.json")+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	name := "pipelines/order_360.yaml"
	text := readText(t, dir, name)
	for old, now := range map[string]string{
		`params: { updated_since: "{{ data_interval_start }}" }`: `params: { updated_at_gte: "{{ data_interval_start }}", _page: 1, _limit: 50, _sort: id }`,
		`records: "{{ response.items }}"`:                        `records: "{{ response }}"`,
		`paginate: { next_link: "{{ response.links.next }}" }`:   `paginate: { link_header: true }`,
		`total: "{{ response.total }}"`:                          "total: \"{{ $number(headers.`x-total-count`) }}\"",
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("%s lacks %s", name, old)
		}
		text = strings.Replace(text, old, now, 1)
	}
	write(t, dir, map[string]string{name: text})
	return parts.Up(t)(parts.JSONServer(t.Context(), cache(), file))
}

// node360 is a search node, and what readers of the index find on it.
type node360 struct{ url, product string }

func startNode360(t *testing.T, product string) node360 {
	t.Helper()
	data, err := os.MkdirTemp("", "tidemill-node-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) }) //nolint:errcheck // scratch
	return node360{parts.Up(t)(parts.SearchNode(t.Context(), cache(), product, data)), strings.Split(product, "-")[0]}
}

func (n node360) documents(t *testing.T) []map[string]json.RawMessage { return n.find(t, "order_360") }

func (n node360) find(t *testing.T, index string) []map[string]json.RawMessage {
	t.Helper()
	var out struct {
		Hits struct {
			Hits []struct {
				Source map[string]json.RawMessage `json:"_source"`
			}
		}
	}
	if err := call(t.Context(), http.MethodGet, n.url+"/"+index+"/_search?size=10000", &out); err != nil {
		t.Fatal(err)
	}
	var docs []map[string]json.RawMessage
	for _, h := range out.Hits.Hits {
		docs = append(docs, h.Source)
	}
	return docs
}

// moto360 is an S3 that is not ours, with the example's buckets.
func moto360(t *testing.T) (string, *awss3.Client) {
	t.Helper()
	url := parts.Up(t)(parts.Moto(t.Context(), cache()))
	cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	s3 := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	makeBuckets360(t, s3)
	return url, s3
}

func makeBuckets360(t *testing.T, s3 *awss3.Client) {
	t.Helper()
	for _, b := range []string{"shop-raw", "shop-lake"} {
		if _, err := s3.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &b}); err != nil {
			t.Fatal(err)
		}
	}
}

// real360 adds a target with real parts to a copy of the example.
func real360(t *testing.T, dir, s3, warehouse, catalog string, node node360) {
	t.Helper()
	text := readText(t, dir, "tidemill.yaml")
	write(t, dir, map[string]string{"tidemill.yaml": text + fmt.Sprintf(`
  real:
    engine: duckdb
    endpoint: %q
    store: s3://shop-lake/store
    connections:
      warehouse: %s
      catalog:   { type: rest, url: %q, auth: { bearer: "${env:CATALOG_TOKEN}" } }
      search:    { type: %s, url: %q }
`, s3, warehouse, catalog, node.product, node.url)})
	mustRun(t, dir, "run", "land", "--target", "real")
}

// threeDays runs them, one of them again, and then that one with kills: the lake and the
// index have every row once, earlier days still there.
func threeDays(t *testing.T, dir string, s3 *awss3.Client, node node360, kills []string) {
	t.Helper()
	for i, day := range days360 {
		mustRun(t, dir, "run", "order_360", "--target", "real", "--date", day)
		same360(t, expected360(t, days360[:i+1]...), lake360(t, s3, "order_360"), rows360(t, node.documents(t)))
	}
	mustRun(t, dir, "run", "order_360", "--target", "real", "--date", days360[2], "--again")
	same360(t, expected360(t, days360...), lake360(t, s3, "order_360"), rows360(t, node.documents(t)))
	kills360(t, dir, "real", nil, s3, node, days360, kills)
}

// kills360 runs the last of days again and again, and kills it each time.
func kills360(t *testing.T, dir, target string, env []string, s3 *awss3.Client, node node360, days, kills []string) {
	t.Helper()
	all, last := expected360(t, days...), days[len(days)-1]
	args := []string{"run", "order_360", "--target", target, "--date", last}
	// From kill to kill the day has a line less or all of them: what was there before does not pass.
	bucket, key := "shop-raw", "orders/orders_"+strings.ReplaceAll(last, "-", "")+".csv"
	whole := strings.SplitAfter(readText(t, "../../examples/order-360/data", key), "\n")
	id := slices.Sorted(maps.Keys(expected360(t, last)))[0]
	short := slices.DeleteFunc(slices.Clone(whole), func(line string) bool { return strings.HasPrefix(line, id+",") })
	fewer := maps.Clone(all)
	delete(fewer, id)
	for i, at := range kills {
		lines, want := short, fewer
		if i%2 == 1 {
			lines, want = whole, all
		}
		if _, err := s3.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(strings.Join(lines, ""))}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		out, err := process(t, dir, append([]string{killAt + "=" + at}, env...), append(args, "--again")...).CombinedOutput()
		if exitOf(err) != -1 {
			t.Fatalf("%s: the run was not killed: %v\n%s", at, err, out)
		}
		if more, err := process(t, dir, env, args...).CombinedOutput(); err != nil {
			t.Fatalf("killed at %s: %v\n%s\nthen:\n%s", at, err, out, more)
		}
		same360(t, want, lake360(t, s3, "order_360"), rows360(t, node.documents(t)))
		if t.Failed() {
			t.Fatalf("killed at %s:\n%s", at, out)
		}
		t.Logf("killed at %s, and whole again: %s", at, time.Since(began).Round(time.Millisecond))
	}
}

// states360 are the states of the example's machine in which something is done.
var states360 = []string{"orders", "customers.extract", "customers", "products.extract", "products", "order_360", "lake", "search", "lake.flip", "search.flip"}

// killsIn are two kills in each state: at its work, and when it is done and that is not yet
// written down.
func killsIn(states ...string) []string {
	var out []string
	for _, s := range states {
		out = append(out, "begun:"+s, "done:"+s)
	}
	return out
}

// TestRealOrder360 runs the example over OpenSearch, a stand-in for Snowflake, json-server
// and moto's S3; a kill in each state is CI's share of the soak's.
func TestRealOrder360(t *testing.T) {
	var kills []string
	for i, at := range killsIn(states360...) {
		if i%4 == 0 || i%4 == 3 {
			kills = append(kills, at)
		}
	}
	order360OnOpenSearch(t, kills)
}

func order360OnOpenSearch(t *testing.T, kills []string) {
	t.Setenv("CATALOG_TOKEN", token360)
	node := startNode360(t, parts.OpenSearch)
	t.Run("back-fill beside today", func(t *testing.T) {
		backfillBesideToday(t, fmt.Sprintf("{ type: %s, url: %q }", node.product, node.url), func(t *testing.T, _, index string) []map[string]json.RawMessage { return node.find(t, index) })
	})
	url, s3 := moto360(t)
	t.Run("half an upload", func(t *testing.T) {
		bucket := "lake"
		if _, err := s3.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
		halfUpload(t, url, s3)
	})
	dir := copyExample(t, "order-360")
	catalog := served360(t, dir)
	warehouse := fmt.Sprintf(`{ type: snowflake, account: acme, user: etl, private_key: "${file:%s}", url: %q, database: shop, schema: public }`, key360(t), seeded360(t))
	real360(t, dir, url, warehouse, catalog, node)
	threeDays(t, dir, s3, node, kills)
}

// TestRealOrder360Elsewhere runs it, unmodified, over Elasticsearch, PostgreSQL as the
// warehouse, and WireMock.
func TestRealOrder360Elsewhere(t *testing.T) {
	t.Setenv("CATALOG_TOKEN", token360)
	node := startNode360(t, parts.Elasticsearch)
	url, s3 := moto360(t)
	dir := copyExample(t, "order-360")
	pg := postgres360(t, dir)
	t.Setenv("WAREHOUSE_URL", pg)
	real360(t, dir, url, `{ type: postgres, url: "${env:WAREHOUSE_URL}" }`, stubbed360(t)+"/v2", node)
	threeDays(t, dir, s3, node, killsIn("search.flip"))
}

// postgres360 is a PostgreSQL with the example's tables.
func postgres360(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.MkdirTemp("", "tidemill-pg-") // whose parents its user can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) }) //nolint:errcheck // scratch
	url := parts.Up(t)(parts.Postgres(t.Context(), data))
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the server ends too
	for table, columns := range map[string]string{
		"customers":       "customer_id text, name text, segment text, region text",
		"customer_orders": "customer_id text, order_id text, ordered_on date, amount numeric(12,2)",
	} {
		if _, err := conn.Exec(t.Context(), "create table "+table+" ("+columns+")"); err != nil {
			t.Fatal(err)
		}
		file := strings.NewReader(readText(t, dir, "data/"+table+".csv"))
		if _, err := conn.PgConn().CopyFrom(t.Context(), file, "copy "+table+" from stdin with (format csv, header true)"); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

// run360 is a day on a target.
type run360 struct{ target, day string }

// TestRealOrder360PySpark runs the example in PySpark over a stand-in for Snowflake, WireMock
// and OpenSearch, S3 by tidemill local: a day on this machine's Spark, the next on a cluster,
// which goes on with the same store, lake and index.
func TestRealOrder360PySpark(t *testing.T) {
	order360PySpark(t, startNode360(t, parts.OpenSearch), nil, run360{"spark", days360[0]}, run360{"emr-local", days360[1]})
}

// order360PySpark makes runs, and kills the last of them again and again.
func order360PySpark(t *testing.T, node node360, kills []string, runs ...run360) {
	t.Helper()
	t.Setenv("CATALOG_TOKEN", token360)
	if err := call(t.Context(), http.MethodDelete, node.url+"/order_360*", nil); err != nil {
		t.Fatal(err)
	}
	c := startCloudWith(t, "instant", "", sparkOf(t))
	makeBuckets360(t, c.s3)
	dir := copyExample(t, "order-360-pyspark")
	home := t.TempDir()
	key := key360(t)
	write(t, home, map[string]string{".snowflake/etl.p8": readText(t, filepath.Dir(key), filepath.Base(key))})
	// What a user says of his own machine; the rest of the example is as it is.
	config := strings.NewReplacer(
		"http://127.0.0.1:4566", c.url, "http://127.0.0.1:8361", seeded360(t), "http://127.0.0.1:8360/v2", stubbed360(t)+"/v2", "../order-360/data", filepath.Join(copyExample(t, "order-360"), "data"),
		"~/.snowflake/etl.p8", key, "search: { type: search }", fmt.Sprintf("search: { type: %s, url: %q }", node.product, node.url)).Replace(readText(t, dir, "tidemill.yaml"))
	venv := filepath.Dir(filepath.Dir(python360(t)))
	// The environment that the bootstrap action would make is there: the network is not asked.
	write(t, dir, map[string]string{"tidemill.yaml": config, "bootstrap/python.sh": "#!/bin/bash\nln -s " + venv + " \"$HOME/jobs\"\n"})
	if err := os.Symlink(venv, filepath.Join(dir, ".venv")); err != nil {
		t.Fatal(err)
	}
	secret360(t, c, readText(t, filepath.Dir(key), filepath.Base(key)))
	env := []string{"TIDEMILL_NODE=" + nodeProgram(t)}
	mustRun(t, dir, "run", "land")
	var days []string
	for _, r := range runs {
		if out, err := process(t, dir, env, "run", "order_360", "--target", r.target, "--date", r.day).CombinedOutput(); err != nil {
			t.Fatalf("%+v: %v\n%s", r, err, out)
		}
		days = append(days, r.day)
		same360(t, expected360(t, days...), lake360(t, c.s3, "order_360"), rows360(t, node.documents(t)))
	}
	kills360(t, dir, runs[len(runs)-1].target, env, c.s3, node, days, kills)
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
	for name := range tree(t, filepath.Join(dir, ".tidemill")) {
		if text, err := os.ReadFile(filepath.Join(dir, ".tidemill", name)); err == nil && (bytes.Contains(text, []byte(token360)) || bytes.Contains(text, []byte("BEGIN PRIVATE KEY"))) {
			t.Errorf("%s holds a secret", name)
		}
	}
}

// secret360 puts the secrets of the example where a cluster reads them.
func secret360(t *testing.T, c *cloud, key string) {
	t.Helper()
	name, parameter, token := "shop/snowflake-key", "/shop/catalog-token", token360
	if _, err := secretsmanager.NewFromConfig(c.cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &key}); err != nil {
		t.Fatal(err)
	}
	if _, err := ssm.NewFromConfig(c.cfg).PutParameter(t.Context(), &ssm.PutParameterInput{Name: &parameter, Value: &token, Type: ssmtypes.ParameterTypeSecureString}); err != nil {
		t.Fatal(err)
	}
}
