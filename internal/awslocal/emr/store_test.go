package emr

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
)

// TestUnreadable tells which file of the state cannot be read.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file("j-X"), []byte(`{"ID": "j-`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.clusters(zero)
	if err == nil || !strings.Contains(err.Error(), "read the state in "+s.file("j-X")) {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.save(&Cluster{ID: "j-Y"}); err == nil || !strings.Contains(err.Error(), "write the state of EMR") {
		t.Errorf("got %v", err)
	}
}

// TestNotKept changes nothing where the change cannot be kept: whoever is told so may ask again.
func TestNotKept(t *testing.T) {
	t.Parallel()
	s := fresh(t, t.TempDir())
	call := func(op, body string) error {
		_, err := s.Serve(t.Context(), awsjson.Call{Region: "us-east-1", Operation: op, Body: []byte(body)})
		return err
	}
	create := `{"Name":"c","ReleaseLabel":"emr-7.13.0","ServiceRole":"a","JobFlowRole":"b","Instances":{"KeepJobFlowAliveWhenNoSteps":true,"MasterInstanceType":"m5.xlarge","InstanceCount":1}}`
	if err := call("RunJobFlow", create); err != nil {
		t.Fatal(err)
	}
	id := s.order[0].ID
	full := errors.New("no space left on device")
	s.store.write = func(string, any) error { return full }
	add := `{"JobFlowId":"` + id + `","Steps":[{"Name":"s","HadoopJarStep":{"Jar":"command-runner.jar","Args":["true"]}}]}`
	for op, body := range map[string]string{
		"AddJobFlowSteps": add, "RunJobFlow": create, "TerminateJobFlows": `{"JobFlowIds":["` + id + `"]}`, "AddTags": `{"ResourceId":"` + id + `","Tags":[{"Key":"a","Value":"b"}]}`,
	} {
		if err := call(op, body); !errors.Is(err, full) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if c := s.order[0]; len(s.order) != 1 || len(c.Steps) != 0 || len(c.Request.Tags) != 0 || c.State != types.ClusterStateWaiting {
		t.Errorf("%d clusters; of the first %d steps, %v, %s", len(s.order), len(c.Steps), c.Request.Tags, c.State)
	}
	s.store.write = write
	if err := call("AddJobFlowSteps", add); err != nil || len(s.order[0].Steps) != 1 {
		t.Errorf("%v, %d steps", err, len(s.order[0].Steps))
	}
}
