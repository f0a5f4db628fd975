//go:build real

package awslocal

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal/emr"
	"github.com/tidemill/tidemill/internal/conform/parts"
)

// findSpark finds the Spark that scripts/parts installs.
func findSpark(context.Context, string) (*emr.Spark, error) {
	submit, env, err := parts.Spark(os.Getenv("TIDEMILL_CACHE"))
	return &emr.Spark{Submit: submit, Env: env}, err
}

// byCategory is a script as a data engineer would write it for EMR.
const byCategory = `
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.appName("orders").getOrCreate()
day = sys.argv[1]
orders = spark.read.csv("s3://shop/raw/orders_%s.csv" % day, header=True, inferSchema=True)
out = orders.groupBy("category").agg(F.sum("amount").alias("amount"))
out.write.mode("overwrite").partitionBy("category").parquet("s3://shop/out/" + day)
print("rows", out.count(), spark.conf.get("spark.sql.session.timeZone"))
`

func spark(name string, args ...string) emrtypes.StepConfig {
	return command(name, append([]string{"spark-submit"}, args...)...)
}

// keysOf are a bucket's objects with their ETags.
func keysOf(t *testing.T, c *awss3.Client, bucket string) map[string]string {
	t.Helper()
	out, err := c.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for _, o := range out.Contents {
		keys[*o.Key] = aws.ToString(o.ETag)
	}
	return keys
}

// TestRealSparkSteps runs spark-submit as EMR is asked for it: cluster and client mode, at once,
// from a script; what is written is seen by S3's clients, with ETags.
func TestRealSparkSteps(t *testing.T) {
	t.Parallel()
	c, s3, _ := emrClient(t, Config{Spark: findSpark})
	makeBucket(t, s3, "shop")
	put(t, s3, "shop", "code/orders.py", byCategory)
	put(t, s3, "shop", "raw/orders_20171106.csv", "category,amount\na,1\nb,2\na,3\n")
	id := run(t, c, ask(func(in *awsemr.RunJobFlowInput) {
		in.LogUri, in.StepConcurrencyLevel = aws.String("s3://shop/logs/"), aws.Int32(3)
		in.Configurations = []emrtypes.Configuration{{Classification: aws.String("spark-defaults"), Properties: map[string]string{"spark.sql.session.timeZone": "America/New_York", "spark.master": "yarn"}}}
		in.Steps = []emrtypes.StepConfig{
			spark("client", "--deploy-mode", "client", "--master", "yarn", "--executor-memory", "4g", "s3://shop/code/orders.py", "20171106"),
			spark("cluster", "--deploy-mode=cluster", "s3://shop/code/orders.py", "20990101"),
			shell("bounded", "timeout -k 60 300 spark-submit s3://shop/code/nonesuch.py"),
		}
	}))
	list, err := c.ListSteps(t.Context(), &awsemr.ListStepsInput{ClusterId: &id})
	if err != nil {
		t.Fatal(err)
	}
	bounded, cluster, client := *list.Steps[0].Id, *list.Steps[1].Id, *list.Steps[2].Id
	long := func(step string) *emrtypes.Step {
		var s *emrtypes.Step
		await(t, 5*time.Minute, "step ends", func() bool { s = stepStatus(t, c, id, step); return s.Status.Timeline.EndDateTime != nil })
		return s
	}
	logs := "logs/" + id + "/steps/"
	if s := long(client); s.Status.State != emrtypes.StepStateCompleted {
		t.Errorf("client: %s\n%s", s.Status.State, unzip(t, s3, "shop", logs+client+"/stderr.gz"))
	}
	if got := unzip(t, s3, "shop", logs+client+"/stdout.gz"); got != "rows 2 America/New_York\n" {
		t.Errorf("stdout %q", got)
	}
	if s := long(cluster); s.Status.State != emrtypes.StepStateFailed || !strings.Contains(aws.ToString(s.Status.FailureDetails.Message), "finished with failed status") {
		t.Errorf("cluster: %+v", s.Status)
	}
	keys := keysOf(t, s3, "shop")
	driver := ""
	for k := range keys {
		if strings.Contains(k, "/containers/application_") && strings.HasSuffix(k, "/stdout.gz") {
			driver = k
		}
	}
	if driver == "" || !strings.Contains(unzip(t, s3, "shop", driver), "PATH_NOT_FOUND") {
		t.Errorf("the driver's log in %v", keys)
	}
	if s := long(bounded); s.Status.State != emrtypes.StepStateFailed {
		t.Errorf("bounded: %+v", s.Status)
	}
	if keys["out/20171106/_SUCCESS"] == "" {
		t.Errorf("written: %v", keys)
	}
	for k, etag := range keys {
		if len(etag) != 34 {
			t.Errorf("%s has the ETag %s", k, etag)
		}
	}
}

// TestRealSparkKilled kills the server while Spark runs: no Java and no Python is left.
func TestRealSparkKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, url := serving(t, dir)
	s3, cfg := client(t, url, awsauth.Settings{})
	c := awsemr.NewFromConfig(cfg)
	makeBucket(t, s3, "shop")
	put(t, s3, "shop", "wait.py", "import time\nfrom pyspark.sql import SparkSession\ns = SparkSession.builder.getOrCreate()\ns.range(1).write.parquet('s3://shop/began')\ntime.sleep(600)\n")
	run(t, c, ask(func(in *awsemr.RunJobFlowInput) {
		in.Steps = []emrtypes.StepConfig{shell("bounded", "timeout 600 spark-submit s3://shop/wait.py")}
	}))
	began := func() bool {
		_, err := os.Stat(filepath.Join(dir, "s3", "shop", "began", "_SUCCESS"))
		return err == nil
	}
	await(t, 3*time.Minute, "Spark runs", began)
	if n := len(of(t, dir)); n < 3 {
		t.Fatalf("only %d processes know the folder", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() //nolint:errcheck // killed
	await(t, 10*time.Second, "all of it is gone", func() bool { return len(of(t, dir)) == 0 })
}

// of are the processes whose environment names a folder.
func of(t *testing.T, dir string) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(text), dir) && lives(filepath.Base(filepath.Dir(f))) {
			pids = append(pids, f)
		}
	}
	return pids
}
