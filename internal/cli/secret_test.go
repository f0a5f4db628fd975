package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// TestSecretsOfAWS has a run here read its secrets from AWS's stores: a connection's, and a
// variable's of a program, whose output does not show it.
func TestSecretsOfAWS(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "instant", "")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `[{"id":1},{"id":2}]`) //nolint:errcheck // a test's server
	}))
	t.Cleanup(srv.Close)
	name, value := "etl/api", `{"token":"the-token"}`
	if _, err := secretsmanager.NewFromConfig(c.cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value}); err != nil {
		t.Fatal(err)
	}
	parameter, word := "/etl/word", "open-sesame"
	if _, err := ssm.NewFromConfig(c.cfg).PutParameter(t.Context(), &ssm.PutParameterInput{Name: &parameter, Value: &word, Type: ssmtypes.ParameterTypeSecureString}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"tidemill.yaml": fmt.Sprintf(`targets: { local: { engine: duckdb, region: us-east-1, endpoint: %q } }
connections:
  api:  { type: rest, url: %q, auth: { bearer: "${secretsmanager:etl/api#token}" } }
  gone: { type: rest, url: %q, auth: { bearer: "${ssm:/etl/gone}" } }
`, c.url, srv.URL, srv.URL),
		"pipelines/p.yaml": `steps:
  items: { extract: { from: api, path: /items } }
  said: { after: items, run: { argv: [sh, -c, 'echo "word $WORD, ${#WORD} letters"'], env: { WORD: "${ssm:/etl/word}" } } }
`,
		"pipelines/gone.yaml": "steps: { items: { extract: { from: gone, path: /items } } }\n"})
	out, err := process(t, dir, nil, "run", "p", "--date", "2026-01-05").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := mustRun(t, dir, "query", "p", "--date", "2026-01-05", "select count(*) as n from items"); !strings.Contains(got, "2") {
		t.Errorf("the items: %s", got)
	}
	log := mustRun(t, dir, "logs", "p", "said")
	if all := string(out) + log; strings.Contains(all, word) || strings.Contains(all, "the-token") || !strings.Contains(all, "11 letters") {
		t.Errorf("the run says:\n%s", all)
	}
	out, err = process(t, dir, nil, "run", "gone", "--date", "2026-01-05").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read ${ssm:/etl/gone}") || !strings.Contains(string(out), "ParameterNotFound") {
		t.Errorf("a parameter that is not there: %v\n%s", err, out)
	}
}
