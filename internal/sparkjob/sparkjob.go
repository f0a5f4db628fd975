// Package sparkjob turns a piece of Spark work into what spark-submit is given: the command
// line, the settings, and the PySpark runner with its job. It does no I/O: the tasks of this
// machine's Spark and of a cluster share it.
package sparkjob

import (
	_ "embed" // the runner
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

// Runner is the PySpark program that does the work of Job: one file, for PySpark 3.5 and 4.0
// and Python 3.9 or later. Its command line is
//
//	runner.py --job URI [--values JSON] [--step RUN/STATE/ATTEMPT]
//
// The job is a Job as JSON at a URI that Hadoop can read. A place {"$": n} anywhere in it
// stands for values[n]. With --step the run, the attempt and Out are those of a cluster's step, whose
// output goes to runs/STEP/output.json of the store, and {attempt} in Dir stands for the attempt.
//
//go:embed runner.py
var Runner []byte

// Job is what the runner is given.
type Job struct {
	Version int    `json:"version"` // 1
	Run     string `json:"run"`
	Attempt int    `json:"attempt"`
	At      string `json:"at"`    // the time that manifests carry as created, RFC 3339
	Store   string `json:"store"` // URI of the store's root
	Texts   string `json:"texts"` // URI of the folder that holds the SQL texts by their hashes
	Out     string `json:"out"`   // URI of the file that receives the outputs, an object by the works' names
	Work    []Work `json:"work"`
}

// Work is a piece of work with what was decided for it before Spark began.
type Work struct {
	flow.SparkWork
	Dir    string      `json:"dir,omitempty"`    // a dataset's folder below the store; default: its slot's, RUN.ATTEMPT
	Source *Source     `json:"source,omitempty"` // of an extract of files
	Known  flow.Schema `json:"known,omitempty"`  // columns of the table previous where there is no earlier dataset
}

// Source says how the files of an extract are read. It was decided in Go.
type Source struct {
	Kind     string      `json:"kind"`             // parquet; landed: Groups are Parquet files that the Go reader wrote of text files
	Schema   flow.Schema `json:"schema"`           // of the table source
	Groups   []Group     `json:"groups,omitempty"` // files of the same columns in the same order
	Read     int64       `json:"read"`             // records, of landed files
	Rejected int64       `json:"rejected,omitempty"`
	Rejects  string      `json:"rejects,omitempty"` // URI of a Parquet file of the rejects
	Told     []string    `json:"told,omitempty"`    // the first rejects, for messages
	Warnings []string    `json:"warnings,omitempty"`
}

// Group is files of a source that have the same columns.
type Group struct {
	Files  []string `json:"files"` // URIs
	Header []string `json:"header,omitempty"`
	Places []int    `json:"places"` // for each column of the schema, its place in a record or -1
}

// Encode is the job as the runner reads it.
func (j Job) Encode() ([]byte, error) {
	j.Version = 1
	return json.Marshal(j)
}

// Defaults are the settings of every session of ours. Both engines are to agree, so what
// Spark's versions do differently, or by the machine's zone, is set.
func Defaults() map[string]string {
	return map[string]string{
		"spark.sql.ansi.enabled":                      "true",
		"spark.sql.session.timeZone":                  "UTC",
		"spark.sql.parquet.outputTimestampType":       "TIMESTAMP_MICROS",
		"spark.sql.parquet.datetimeRebaseModeInRead":  "CORRECTED",
		"spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
		"spark.sql.parquet.int96RebaseModeInRead":     "CORRECTED",
		"spark.sql.parquet.int96RebaseModeInWrite":    "CORRECTED",
		"spark.sql.legacy.timeParserPolicy":           "CORRECTED",
		"spark.sql.parquet.compression.codec":         "zstd",
		"spark.sql.adaptive.enabled":                  "true",
	}
}

// Submit is a spark-submit: everything but the program's own name.
type Submit struct {
	Conf     map[string]string
	PyFiles  []string
	Jars     []string
	Packages []string
	Script   string
	Args     []string
}

// Argv is the command line of spark-submit after its name. The settings stand in the order
// of their names. Where they are in a properties file, Conf is left out by the caller.
func (s Submit) Argv() []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.Conf)) {
		out = append(out, "--conf", k+"="+s.Conf[k])
	}
	for _, list := range []struct {
		flag string
		of   []string
	}{{"--py-files", s.PyFiles}, {"--jars", s.Jars}, {"--packages", s.Packages}} {
		if len(list.of) > 0 {
			out = append(out, list.flag, strings.Join(list.of, ","))
		}
	}
	return append(append(out, s.Script), s.Args...)
}

// Properties is the settings as a file for --properties-file.
func (s Submit) Properties() string {
	escape := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r", "\t", "\\t")
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(s.Conf)) {
		v := escape.Replace(s.Conf[k])
		if strings.HasPrefix(v, " ") {
			v = "\\" + v
		}
		b.WriteString(strings.NewReplacer(":", "\\:", "=", "\\=", " ", "\\ ").Replace(escape.Replace(k)) + "=" + v + "\n")
	}
	return b.String()
}

// LocalS3 are the settings under which s3:// is a folder of this machine that an S3 server
// serves: no further jar, no HTTP. Buckets are known when Spark starts; one that is made
// later is not seen. Files go through a scheme of their own over the raw file system,
// because file:// would write checksum files among the objects.
func LocalS3(root string, buckets []string) map[string]string {
	const viewfs = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
	out := map[string]string{"spark.hadoop.fs.rawlocal.impl": "org.apache.hadoop.fs.RawLocalFileSystem"}
	for _, scheme := range []string{"s3", "s3a", "s3n"} {
		out["spark.hadoop.fs."+scheme+".impl"] = viewfs
		out["spark.hadoop.fs.viewfs.overload.scheme.target."+scheme+".impl"] = "org.apache.hadoop.fs.RawLocalFileSystem"
	}
	for _, b := range buckets {
		out["spark.hadoop.fs.viewfs.mounttable."+b+".linkFallback"] = "rawlocal://" + strings.TrimSuffix(root, "/") + "/" + b
	}
	return out
}

// S3A are the settings under which s3:// goes over HTTP to AWS or another S3 server, by the
// jars of hadoop-aws. An empty endpoint is AWS's. Keys are taken from the driver's
// environment, never from settings.
func S3A(endpoint, region string) map[string]string {
	const impl = "org.apache.hadoop.fs.s3a.S3AFileSystem"
	out := map[string]string{"spark.hadoop.fs.s3a.directory.marker.retention": "keep"}
	for _, scheme := range []string{"s3", "s3a", "s3n"} {
		out["spark.hadoop.fs."+scheme+".impl"] = impl
		out["spark.hadoop.fs.AbstractFileSystem."+scheme+".impl"] = "org.apache.hadoop.fs.s3a.S3A"
	}
	if region != "" {
		out["spark.hadoop.fs.s3a.endpoint.region"] = region
	}
	if endpoint != "" {
		out["spark.hadoop.fs.s3a.endpoint"] = endpoint
		out["spark.hadoop.fs.s3a.path.style.access"] = "true"
		if strings.HasPrefix(endpoint, "http://") {
			out["spark.hadoop.fs.s3a.connection.ssl.enabled"] = "false"
		}
	}
	return out
}

// Result reads what the runner left: the outputs, an object by the works' names, or the
// fault as an error.
func Result(text []byte) (json.RawMessage, error) {
	o, err := flow.ReadOutcome(text)
	return o.Outputs, err
}
