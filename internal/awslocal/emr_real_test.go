//go:build real

package awslocal

import (
	_ "embed"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/awslocal/emr"
)

//go:embed testdata/emr.py
var emrPython string

// TestRealEMRBoto3 calls every operation by boto3 and holds the answers against its model.
func TestRealEMRBoto3(t *testing.T) {
	t.Parallel()
	bin := partsDir(t)
	_, _, url := emrClient(t, Config{})
	cmd := exec.Command(filepath.Join(bin, "python"), "-") //nolint:gosec // a part of ours
	cmd.Stdin = strings.NewReader(emrPython)
	cmd.Dir, cmd.Env = t.TempDir(), environment(t, bin, url, "us-east-1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := strings.Fields(string(out))
	for _, op := range emr.Operations() {
		if !slices.Contains(seen, op) {
			t.Errorf("%s is not called", op)
		}
	}
}

// TestRealEMRCLI does by the AWS CLI what its guide does with a cluster. Its waiters ask at
// once, and then every thirty seconds.
func TestRealEMRCLI(t *testing.T) {
	t.Parallel()
	bin := partsDir(t)
	_, s3, url := emrClient(t, Config{Spark: findSpark})
	makeBucket(t, s3, "shop")
	put(t, s3, "shop", "code/job.py", "from pyspark.sql import SparkSession\ns = SparkSession.builder.getOrCreate()\ns.range(3).write.parquet('s3://shop/out')\nprint('rows', s.read.parquet('s3://shop/out').count())\n")
	cmd := exec.Command("/bin/bash", "-euxo", "pipefail", "-c", `
		id=$(aws emr create-cluster --name orders --release-label emr-7.13.0 --applications Name=Spark --use-default-roles --log-uri s3://shop/logs/ \
			--instance-groups InstanceGroupType=MASTER,InstanceCount=1,InstanceType=m5.xlarge InstanceGroupType=CORE,InstanceCount=1,InstanceType=m5.xlarge \
			--auto-termination-policy IdleTimeout=3600 --tags team=data --enable-debugging \
			--steps Type=Spark,Name=orders,ActionOnFailure=CONTINUE,Args=[--deploy-mode,client,s3://shop/code/job.py] --query ClusterId --output text)
		aws emr wait cluster-running --cluster-id $id
		step=$(aws emr list-steps --cluster-id $id --query 'Steps[?Name==`+"`orders`"+`].Id' --output text)
		aws emr wait step-complete --cluster-id $id --step-id $step
		test "$(aws s3 cp s3://shop/logs/$id/steps/$step/stdout.gz - | gunzip)" = "rows 3"
		test "$(aws emr list-steps --cluster-id $id --query 'Steps[].Status.State' --output text)" = "COMPLETED	COMPLETED"
		aws emr describe-cluster --cluster-id $id > described
		grep '"InstanceGroups"' described; grep '"BootstrapActions"' described; grep '"State": "WAITING"' described
		more=$(aws emr add-steps --cluster-id $id --steps Type=CUSTOM_JAR,Name=sh,Jar=command-runner.jar,Args=[bash,-c,'sleep 300'] --query 'StepIds[0]' --output text)
		aws emr cancel-steps --cluster-id $id --step-ids $more --step-cancellation-option SEND_INTERRUPT | grep SUBMITTED
		aws emr describe-step --cluster-id $id --step-id $more | grep CANCEL
		aws emr modify-cluster-attributes --cluster-id $id --termination-protected
		! aws emr terminate-clusters --cluster-ids $id 2> said; grep 'termination protected' said
		aws emr modify-cluster-attributes --cluster-id $id --no-termination-protected
		aws emr list-clusters --active --query 'Clusters[].Name' --output text | grep -x orders
		aws emr add-tags --resource-id $id --tags a=b
		aws emr terminate-clusters --cluster-ids $id
		aws emr wait cluster-terminated --cluster-id $id
		! aws emr describe-cluster --cluster-id j-NONE 2> said; grep "Cluster id 'j-NONE' is not valid" said
		aws secretsmanager create-secret --name s --secret-string x; test "$(aws secretsmanager get-secret-value --secret-id s --query SecretString --output text)" = x
	`)
	cmd.Dir, cmd.Env = t.TempDir(), environment(t, bin, url, "us-east-1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
