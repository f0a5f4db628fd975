package sparkjob_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sparkjob"
)

func TestArgv(t *testing.T) {
	t.Parallel()
	s := sparkjob.Submit{Conf: map[string]string{"spark.b": "2", "spark.a": "1 x"}, PyFiles: []string{"a.py", "b.zip"}, Jars: []string{"x.jar"}, Packages: []string{"g:a:1"}, Script: "s.py", Args: []string{"--date", "2017"}}
	want := []string{"--conf", "spark.a=1 x", "--conf", "spark.b=2", "--py-files", "a.py,b.zip", "--jars", "x.jar", "--packages", "g:a:1", "s.py", "--date", "2017"}
	if d := cmp.Diff(want, s.Argv()); d != "" {
		t.Error(d)
	}
	s.Conf = map[string]string{"a:b": " x\\y\nz", "spark.x": "k=v"}
	if got := s.Properties(); got != "a\\:b=\\ x\\\\y\\nz\nspark.x=k=v\n" {
		t.Errorf("%q", got)
	}
}

func TestS3(t *testing.T) {
	t.Parallel()
	c := sparkjob.LocalS3("/data/s3/", []string{"lake"})
	if c["spark.hadoop.fs.viewfs.mounttable.lake.linkFallback"] != "rawlocal:///data/s3/lake" || !strings.Contains(c["spark.hadoop.fs.s3.impl"], "viewfs") {
		t.Error(c)
	}
	c = sparkjob.S3A("http://127.0.0.1:9000", "eu-west-1")
	if c["spark.hadoop.fs.s3a.path.style.access"] != "true" || c["spark.hadoop.fs.s3a.endpoint.region"] != "eu-west-1" || c["spark.hadoop.fs.s3a.connection.ssl.enabled"] != "false" {
		t.Error(c)
	}
	if c = sparkjob.S3A("", ""); c["spark.hadoop.fs.s3a.path.style.access"] != "" {
		t.Error("AWS's own endpoint by path style")
	}
	for k, v := range c {
		if strings.Contains(strings.ToLower(k+v), "secret") {
			t.Errorf("a key in the settings: %s", k)
		}
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	out, err := sparkjob.Result([]byte(`{"outputs":{"a":{"rows":3}}}`))
	if err != nil || string(out) != `{"a":{"rows":3}}` {
		t.Errorf("%s %v", out, err)
	}
	_, err = sparkjob.Result([]byte(`{"outputs":{},"fault":{"work":"a","op":"read x","message":"1 of 2 records do not fit","kind":"rejected","name":"Tidemill.CheckFailed","hint":"Look."}}`))
	if flow.KindOf(err) != flow.Rejected || flow.Name(err) != flow.NameCheckFailed || flow.HintOf(err) != "Look." || err.Error() != "read x: 1 of 2 records do not fit" {
		t.Errorf("%v %v %v", err, flow.KindOf(err), flow.HintOf(err))
	}
	if _, err = sparkjob.Result([]byte(`nonsense`)); err == nil {
		t.Error("nonsense was taken for an outcome")
	}
}
