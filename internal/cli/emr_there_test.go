package cli

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"
)

// asNode makes a folder with a program tidemill-node, which is the test binary.
func asNode(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := "#!/bin/sh\n[ \"$1\" = install ] && exec cp \"$0\" \"$HOME/tidemill-node\"\n" + asTidemillNode + "=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "tidemill-node-linux-amd64"), []byte(text), 0o755); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return dir
}

// thereProject is a pipeline that reads a web API on the cluster, with a secret that only the
// cluster can have.
func thereProject(t *testing.T, c *cloud, secret string) (*api, string, []string) {
	t.Helper()
	a := &api{asked: map[int]int{}}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	name, value := "etl/api", `{"token":"`+secret+`"}`
	if _, err := secretsmanager.NewFromConfig(c.cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"tidemill.yaml": c.target("") + fmt.Sprintf("connections: { api: { type: rest, url: %q, auth: { bearer: \"${secretsmanager:etl/api#token}\" } } }\n", srv.URL),
		"pipelines/p.yaml": `target: emr
steps:
  orders:
    extract: { from: api, path: /orders, records: "{{ response.items }}", total: "{{ response.total }}", paginate: { page: { param: page, size: 2000 } }, on: cluster }
  told: { after: orders, run: { argv: [bash, -c, "echo {{ steps.orders.rows }} rows"] } }
`})
	return a, dir, []string{"TIDEMILL_NODE=" + asNode(t)}
}

// TestEMRExtractThere has the cluster read a connection.
func TestEMRExtractThere(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	a, dir, env := thereProject(t, c, "the-token")
	out, err := process(t, dir, env, "run", "p", "--date", "2026-01-05").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "written to schemas/p/orders.yaml") || !strings.Contains(read(t, dir, "schemas/p/orders.yaml"), "amount: ") {
		t.Errorf("the schema is not kept:\n%s", out)
	}
	if got := mustRun(t, dir, "query", "p", "--format", "csv", "select region, count(*) as n, sum(id) as ids from orders group by region"); got != "region,n,ids\nnorth,20000,199990000\n" {
		t.Errorf("%s", got)
	}
	if a.asked[1] != 1 {
		t.Errorf("page 1 was asked for %d times", a.asked[1])
	}
	run := runID(t, dir)
	if d := cmp.Diff([]string{run + "/orders/1 COMPLETED", run + "/told/1 COMPLETED"}, c.steps(t)); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
	if log := mustRun(t, dir, "logs", run, "told"); !strings.Contains(log, "20000 rows") {
		t.Errorf("%s", log)
	}
	// Neither the machine nor the store holds the secret.
	for _, root := range []string{filepath.Join(dir, ".tidemill"), localRoot(t, c.url)} {
		for name := range tree(t, root) {
			if text, err := os.ReadFile(filepath.Join(root, name)); err == nil && strings.Contains(string(text), "the-token") && !strings.Contains(name, "secrets") {
				t.Errorf("%s holds the secret", name)
			}
		}
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
}

// TestEMRExtractThereFails tells why the cluster could not read a connection, without its secret.
func TestEMRExtractThereFails(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	_, dir, env := thereProject(t, c, "wrong-token")
	out, err := process(t, dir, env, "run", "p", "--date", "2026-01-05").CombinedOutput()
	if exitOf(err) != 1 || !strings.Contains(string(out), "401") || !strings.Contains(string(out), "who? Not Bearer (secret)") || strings.Contains(string(out), "wrong-token") {
		t.Errorf("%v\n%s", err, out)
	}
	if alive := c.alive(t); len(alive) > 0 {
		t.Errorf("alive: %v", alive)
	}
	write(t, dir, map[string]string{"tidemill.yaml": strings.Replace(read(t, dir, "tidemill.yaml"), "${secretsmanager:etl/api#token}", "${env:API_TOKEN}", 1)})
	if out, err := process(t, dir, env, "run", "p", "--date", "2026-01-06").CombinedOutput(); exitOf(err) != 2 || !strings.Contains(string(out), `step "orders": api.auth.bearer is not to be had on a cluster`) {
		t.Errorf("%v\n%s", err, out)
	}
}
