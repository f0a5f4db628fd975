//go:build real

package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/conform/parts"
)

// overHTTP writes by category what it reads, and knows what it reads by.
const overHTTP = `import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
jvm = spark._jvm
fs = jvm.java.net.URI("s3://lake/")
kind = jvm.org.apache.hadoop.fs.FileSystem.get(fs, spark._jsc.hadoopConfiguration()).getClass().getSimpleName()
assert kind == "S3AFileSystem", kind
rows = spark.read.csv("s3://lake/raw/x_%s.csv" % sys.argv[1], header=True, schema="category string, amount decimal(12,2)")
for _ in range(2):  # the second overwrites the first
    rows.write.mode("overwrite").partitionBy("category").parquet("s3://lake/own/" + sys.argv[1])
rows.groupBy("category").agg(F.sum("amount").alias("amount")).coalesce(1).write.parquet(sys.argv[2])
`

// TestRealSparkOverHTTP runs a script, SQL and a load whose s3:// goes over HTTP through S3A, by
// the jars of tidemill spark install --s3a: against tidemill local, and against a server that
// is not ours.
func TestRealSparkOverHTTP(t *testing.T) {
	for _, server := range []string{"tidemill local", "moto"} {
		t.Run(server, func(t *testing.T) {
			url := ""
			if server == "moto" {
				at, stop, err := parts.Moto(t.Context(), os.Getenv("TIDEMILL_CACHE"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(stop)
				url = at
			} else {
				url = startCloud(t, "instant", "").url
			}
			cfg, err := awsauth.Load(t.Context(), awsauth.Settings{Endpoint: url})
			if err != nil {
				t.Fatal(err)
			}
			s3 := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
			if _, err := s3.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil && !strings.Contains(err.Error(), "AlreadyOwned") {
				t.Fatal(err)
			}
			dir := t.TempDir()
			write(t, dir, map[string]string{
				"tidemill.yaml":       fmt.Sprintf("project: p\ntargets: { far: { engine: spark, endpoint: %q, store: s3://lake/tidemill, spark: { version: 3.5.6, conf: { spark.tidemill.s3: http } } } }\n", url),
				"data/x_20171106.csv": "category,amount\na,1.50\nb,2.00\na,3.25\n", "jobs/x.py": overHTTP,
				"pipelines/p.yaml": `target: far
schedule: { cron: "0 6 * * *", start: 2017-11-01, day: start }
steps:
  upload: { copy: { from: "data/x_{{ ds_nodash }}.csv", to: "s3://lake/raw/x_{{ ds_nodash }}.csv" } }
  sums:   { after: upload, spark: { script: jobs/x.py, output: rows, args: ["{{ ds_nodash }}", "{{ output.rows }}"] } }
  raw:    { after: [upload, sums], extract: { from: "s3://lake/raw/x_{{ ds_nodash }}.csv", columns: { category: string, amount: "decimal(12,2)" } } }
  both:   { sql: "select s.category, s.amount, count(*) as n, {{ ds }} as day from sums s join raw r on r.category = s.category group by s.category, s.amount", load: { to: s3://lake/out, partition_by: day, scope: run } }
`})
			mustRun(t, dir, "run", "p", "--date", "2017-11-06")
			if got := mustRun(t, dir, "query", "p", "select category, amount, n from both order by category", "--format", "csv"); got != "category,amount,n\na,4.75,2\nb,2.00,1\n" {
				t.Errorf("%s", got)
			}
			list, err := s3.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("lake")})
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]int{}
			for _, o := range list.Contents {
				for _, prefix := range []string{"own/20171106/category=a/part-", "own/20171106/category=b/part-", "own/20171106/_SUCCESS", "out/day=2017-11-06/part-"} {
					if strings.HasPrefix(*o.Key, prefix) {
						found[prefix]++
					}
				}
			}
			if found["own/20171106/category=a/part-"] != 1 || len(found) != 4 {
				t.Errorf("objects: %v", found)
			}
			for name := range tree(t, dir) {
				if text, err := os.ReadFile(dir + "/" + name); err == nil && server == "tidemill local" && strings.Contains(string(text), "AWS_SECRET_ACCESS_KEY=") {
					t.Errorf("%s holds keys", name)
				}
			}
		})
	}
}
