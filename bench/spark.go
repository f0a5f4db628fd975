package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sparkJob is a script of middle size: a session, a shuffle, a file.
const sparkJob = `import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(20000000).selectExpr("id % 1000 AS k", "id AS v").groupBy("k").sum("v").write.mode("overwrite").parquet(sys.argv[1])
spark.stop()
`

// sparkOrders is the orders day in plain PySpark.
const sparkOrders = `import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.read.csv(sys.argv[1], header=True, schema=%q).createOrReplaceTempView("source")
spark.sql("""%s""").write.mode("overwrite").parquet(sys.argv[2])
spark.stop()
`

// sparkChain is a number of steps in plain PySpark, each over the files of the one before.
const sparkChain = `import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.sql("select id as k from range(1000)").write.mode("overwrite").parquet(sys.argv[2] + "/s0")
for i in range(1, int(sys.argv[1])):
    spark.read.parquet(sys.argv[2] + "/s%d" % (i - 1)).createOrReplaceTempView("s%d" % (i - 1))
    spark.sql("select k + 1 as k from s%d" % (i - 1)).write.mode("overwrite").parquet(sys.argv[2] + "/s%d" % i)
spark.stop()
`

// spark: a script through us beside plain spark-submit; what a step more costs in a session beyond its query;
// the orders day on DuckDB beside plain PySpark, and through us on Spark.
func spark(ctx context.Context, s settings) error {
	found, err := filepath.Glob(filepath.Join(s.cache, "spark-3.5.6", "lib", "python3*", "site-packages", "pyspark", "bin", "spark-submit"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("no Spark in %s: scripts/parts spark", s.cache)
	}
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "spark")
	csv := filepath.Join(s.dir, fmt.Sprintf("orders%d.csv", s.rows))
	if err := makeOrders(ctx, csv, s.rows); err != nil {
		return err
	}
	if err := sparkProject(dir, csv); err != nil {
		return err
	}
	// Plain spark-submit with the settings that every driver here needs, and as quiet a log.
	plain := []string{"env", "PYSPARK_PYTHON=" + filepath.Join(s.cache, "spark-3.5.6", "bin", "python"), "SPARK_LOCAL_IP=127.0.0.1", found[0], "--conf", "spark.ui.enabled=false", "--conf", "spark.driver.host=127.0.0.1",
		"--conf", "spark.driver.bindAddress=127.0.0.1", "--conf", "spark.sql.shuffle.partitions=4", "--conf", "spark.driver.extraJavaOptions=-Dlog4j2.level=WARN -Dlog4j2.configurationFile=" + filepath.Join(dir, "log4j2.properties")}
	run := func(pipeline, target string) []string {
		return []string{binary, "-C", dir, "run", pipeline, "--again", "--date", "2026-01-01", "--target", target}
	}
	c, err := medians(ctx, s.rounds, dir,
		run("job", "spark"), append(plain, filepath.Join(dir, "jobs/job.py"), filepath.Join(dir, "out")),
		run("ten", "spark"), run("one", "spark"),
		append(plain, filepath.Join(dir, "jobs/chain.py"), "10", filepath.Join(dir, "chain")), append(plain, filepath.Join(dir, "jobs/chain.py"), "1", filepath.Join(dir, "chain")),
		run("orders", "local"), append(plain, filepath.Join(dir, "jobs/orders.py"), csv, filepath.Join(dir, "out")), run("orders", "spark"))
	if err != nil {
		return err
	}
	figure("spark_job", c[0].seconds, "s", "spark-submit", c[1].seconds)
	step, query := (c[2].seconds-c[3].seconds)/9, (c[4].seconds-c[5].seconds)/9
	figure("spark_step", step, "s", "pyspark", query)
	figure("spark_step_beyond", step-query, "s", "limit", 0.3)
	name := fmt.Sprintf("orders%dm", s.rows/1_000_000)
	figure(name+"_duckdb", c[6].seconds, "s", "pyspark", c[7].seconds)
	figure(name+"_spark", c[8].seconds, "s", "pyspark", c[7].seconds)
	return os.RemoveAll(filepath.Join(dir, ".tidemill"))
}

// sparkProject writes the measured pipelines.
func sparkProject(dir, csv string) error {
	var columns, declared []string
	for _, c := range ordersColumns {
		columns = append(columns, c.name+" "+c.spark)
		declared = append(declared, fmt.Sprintf("%s: %q", c.name, c.spark))
	}
	ten := "steps:\n  s0: { sql: select id as k from range(1000) }\n"
	for i := 1; i < 10; i++ {
		ten += fmt.Sprintf("  s%d: { sql: select k + 1 as k from s%d }\n", i, i-1)
	}
	for name, text := range map[string]string{
		"tidemill.yaml":         "project: bench\ntargets: { spark: { engine: spark, spark: { version: 3.5.6 } } }\n",
		"jobs/job.py":           sparkJob,
		"jobs/chain.py":         sparkChain,
		"jobs/orders.py":        fmt.Sprintf(sparkOrders, strings.Join(columns, ", "), ordersSQL),
		"log4j2.properties":     "rootLogger.level = warn\nrootLogger.appenderRef.stderr.ref = stderr\nappender.stderr.type = Console\nappender.stderr.name = stderr\nappender.stderr.target = SYSTEM_ERR\nappender.stderr.layout.type = PatternLayout\n",
		"pipelines/job.yaml":    fmt.Sprintf("steps: { job: { spark: { script: jobs/job.py, args: [%q] } } }\n", filepath.Join(dir, "out")),
		"pipelines/one.yaml":    "steps:\n  s0: { sql: select id as k from range(1000) }\n",
		"pipelines/ten.yaml":    ten,
		"pipelines/orders.yaml": fmt.Sprintf("steps:\n  day:\n    extract: { from: %q, columns: { %s } }\n    sql: |\n      %s\n", csv, strings.Join(declared, ", "), strings.ReplaceAll(ordersSQL, "\n", "\n      ")),
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
