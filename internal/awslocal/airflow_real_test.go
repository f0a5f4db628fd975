//go:build real

package awslocal

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
)

// TestRealAirflow runs a DAG of Airflow's Amazon provider: only the connection's endpoint says
// that it is not AWS.
func TestRealAirflow(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(os.Getenv("TIDEMILL_CACHE"), "airflow-*", "ready"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no Airflow in TIDEMILL_CACHE=%q: run scripts/parts airflow", os.Getenv("TIDEMILL_CACHE"))
	}
	bin := filepath.Join(filepath.Dir(found[0]), "bin")
	c, s3, at := emrClient(t, Config{Pace: "seconds", Spark: findSpark})
	makeBucket(t, s3, "shop-orders")
	dags, err := filepath.Abs("testdata/airflow")
	if err != nil {
		t.Fatal(err)
	}
	connection, err := json.Marshal(map[string]any{"conn_type": "aws", "login": "test", "password": "test", "extra": map[string]string{"region_name": "us-east-1", "endpoint_url": at}})
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	airflow := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "airflow"), args...) //nolint:gosec // a part of ours
		cmd.Dir = home
		cmd.Env = []string{
			"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + home, "AIRFLOW_HOME=" + home, "AIRFLOW__CORE__DAGS_FOLDER=" + dags, "AIRFLOW__CORE__LOAD_EXAMPLES=False",
			"AIRFLOW_CONN_AWS_DEFAULT=" + string(connection), "AWS_EC2_METADATA_DISABLED=true", "PYTHONDONTWRITEBYTECODE=1",
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("airflow %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	airflow("db", "migrate")
	said := airflow("dags", "test", "orders", "2017-11-06")
	if !strings.Contains(said, "DagRun Finished") && !strings.Contains(said, "state=success") {
		t.Errorf("airflow said\n%s", said)
	}
	list, err := c.ListClusters(t.Context(), &awsemr.ListClustersInput{})
	if err != nil || len(list.Clusters) != 1 {
		t.Fatalf("clusters %+v, %v\n%s", list, err, said)
	}
	id := *list.Clusters[0].Id
	awaitCluster(t, c, id, emrtypes.ClusterStateTerminated)
	status := clusterState(t, c, id)
	if aws.ToString(list.Clusters[0].Name) != "orders-20171106" || status.StateChangeReason.Code != emrtypes.ClusterStateChangeReasonCodeUserRequest {
		t.Errorf("%s ended because of %+v", *list.Clusters[0].Name, status.StateChangeReason)
	}
	steps, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &id})
	if err != nil || len(steps.Steps) != 1 || steps.Steps[0].Status.State != emrtypes.StepStateCompleted || *steps.Steps[0].Name != "orders 2017-11-06" {
		t.Fatalf("steps %+v, %v\n%s", steps.Steps, err, said)
	}
	for k := range keysOf(t, s3, "shop-orders") {
		if strings.HasPrefix(k, "out/20171106/part-") {
			if got := get(t, s3, "shop-orders", k); !strings.Contains(got, "books,12.0,2") || !strings.Contains(got, "toys,3.0,1") {
				t.Errorf("%s: %q", k, got)
			}
			return
		}
	}
	t.Errorf("nothing was written\n%s", said)
}
