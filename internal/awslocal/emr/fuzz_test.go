package emr

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
)

// FuzzCalls sends bodies of any kind to every operation, on clusters that are there: none may
// panic, and each must leave a state that can be kept and read. J, F, G and S stand for the
// ids of a cluster, one of fleets, a group and a step.
func FuzzCalls(f *testing.F) {
	for i, op := range Operations() {
		f.Add(i, `{"ClusterId":"J","StepIds":["S"],"InstanceGroupId":"G","ResourceId":"J","JobFlowId":"J","JobFlowIds":["J"]}`)
		if op == "RunJobFlow" {
			f.Add(i, `{"Name":"n","ReleaseLabel":"emr-7.13.0","ServiceRole":"a","JobFlowRole":"b","Instances":{"InstanceFleets":[{"InstanceFleetType":"MASTER","TargetOnDemandCapacity":1,"InstanceTypeConfigs":[{"InstanceType":"m5.xlarge","WeightedCapacity":-1}]}]}}`)
		}
	}
	f.Add(indexOf("AddJobFlowSteps"), `{"JobFlowId":"J","Steps":[{"Name":"s","HadoopJarStep":{"Jar":"command-runner.jar","Args":["true"]}}]}`)
	f.Add(indexOf("ModifyInstanceGroups"), `{"InstanceGroups":[{"InstanceGroupId":"G","InstanceCount":-5}]}`)
	f.Add(indexOf("ModifyInstanceFleet"), `{"ClusterId":"F","InstanceFleet":{"InstanceFleetId":"L","TargetSpotCapacity":-5}}`)
	f.Add(indexOf("AddInstanceGroups"), `{"JobFlowId":"J","InstanceGroups":[{"InstanceRole":"TASK","InstanceType":"x","InstanceCount":-1}]}`)
	f.Add(indexOf("AddInstanceFleet"), `{"ClusterId":"F","InstanceFleet":{"InstanceFleetType":"TASK","TargetSpotCapacity":-1,"InstanceTypeConfigs":[{"InstanceType":"x"}]}}`)
	f.Add(indexOf("PutAutoScalingPolicy"), `{"ClusterId":"J","InstanceGroupId":"G"}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, n int, body string) {
		names := Operations()
		if n < 0 || n >= len(names) {
			return
		}
		s := fresh(t, dir)
		call := func(op, body string) (any, error) {
			return s.Serve(t.Context(), awsjson.Call{Region: "us-east-1", Operation: op, Body: []byte(body)})
		}
		for _, instances := range []string{
			`"InstanceGroups":[{"InstanceRole":"MASTER","InstanceType":"m5.xlarge","InstanceCount":1}]`,
			`"InstanceFleets":[{"InstanceFleetType":"MASTER","TargetOnDemandCapacity":1,"InstanceTypeConfigs":[{"InstanceType":"m5.xlarge"}]}]`,
		} {
			if _, err := call("RunJobFlow", `{"Name":"c","ReleaseLabel":"emr-7.13.0","ServiceRole":"a","JobFlowRole":"b","Instances":{"KeepJobFlowAliveWhenNoSteps":true,`+instances+`}}`); err != nil {
				t.Fatal(err)
			}
		}
		c, fleets := s.order[0], s.order[1]
		if _, err := call("AddJobFlowSteps", `{"JobFlowId":"`+c.ID+`","Steps":[{"Name":"s","HadoopJarStep":{"Jar":"command-runner.jar","Args":["true"]}}]}`); err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{`"J"`: c.ID, `"F"`: fleets.ID, `"G"`: *c.Groups[0].Id, `"L"`: *fleets.Fleets[0].Id, `"S"`: c.Steps[0].ID} {
			body = strings.ReplaceAll(body, k, `"`+v+`"`)
		}
		out, err := call(names[n], body)
		if err == nil {
			if _, err := awsjson.Marshal(out); err != nil {
				t.Errorf("the answer cannot be written: %v", err)
			}
		}
		for _, c := range s.order {
			for _, op := range []string{"DescribeCluster", "ListSteps", "ListInstances", "ListInstanceGroups", "ListInstanceFleets", "DescribeJobFlows", "ListClusters"} {
				_, _ = call(op, `{"ClusterId":"`+c.ID+`"}`) //nolint:errcheck // it is not to panic
			}
			if err := read(s.store.file(c.ID), new(Cluster)); err != nil {
				t.Error(err)
			}
		}
	})
}

func indexOf(op string) int {
	for i, name := range Operations() {
		if name == op {
			return i
		}
	}
	panic(op)
}

// fresh is a service without clusters, whose work nobody does.
func fresh(t *testing.T, dir string) *Service {
	t.Helper()
	dir, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) //nolint:errcheck // a temporary folder
	s, err := New(Config{Dir: dir, Pace: "instant", Now: func() time.Time { return zero }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
