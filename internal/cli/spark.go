package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	emrlocal "github.com/tidemill/tidemill/internal/awslocal/emr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/spark"
	"github.com/tidemill/tidemill/internal/sparkjob"
)

// cacheDir is where what is downloaded is kept for all projects of a user.
func cacheDir() (string, error) {
	if dir := os.Getenv("TIDEMILL_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "tidemill"), nil
}

// sparkWhere is where a target's Spark may be.
func sparkWhere(t *pipeline.Target) (spark.Where, error) {
	cache, err := cacheDir()
	if err != nil {
		return spark.Where{}, err
	}
	w := spark.Where{SparkHome: os.Getenv("SPARK_HOME"), Path: os.Getenv("PATH"), JavaHome: os.Getenv("JAVA_HOME"), Cache: cache}
	if t != nil && t.Spark != nil {
		w.Home, w.Version = t.Spark.Home, t.Spark.Version
	}
	return w, nil
}

// sparkTask is the verb spark of one target.
func (a *app) sparkTask(l *lookup, c spark.Config, t *pipeline.Target) spark.Task {
	c.Lookup, c.Project, c.Threads = l, a.project.Dir, t.Threads
	if t.Memory != nil {
		c.Memory = t.Memory.Bytes
	}
	c.Home = func() (spark.Home, error) {
		w, err := sparkWhere(t)
		if err != nil {
			return spark.Home{}, err
		}
		return spark.Find(w)
	}
	c.S3, c.Secret = l.sparkS3, l.secretField
	return spark.Task{Config: c}
}

// stepSpark is the Spark that steps of local clusters run on: of their release's version if
// there is one, else any.
func stepSpark(_ context.Context, version string) (*emrlocal.Spark, error) {
	w, err := sparkWhere(nil)
	if err != nil {
		return nil, err
	}
	w.Version = version
	h, err := spark.Find(w)
	if err != nil && version != "" {
		w.Version = ""
		h, err = spark.Find(w)
	}
	if err != nil {
		return nil, err
	}
	env := []string{"SPARK_HOME=" + h.Dir, "PYSPARK_PYTHON=" + h.Python}
	if h.JavaHome != "" {
		env = append(env, "JAVA_HOME="+h.JavaHome)
	}
	return &emrlocal.Spark{Submit: h.Submit(), Env: env, Version: h.Version}, nil
}

// secretField gives the value of CONNECTION.FIELD.
func (l *lookup) secretField(ctx context.Context, ref string) (flow.Secret, error) {
	name, field, _ := strings.Cut(ref, ".")
	c, ok := l.connection(name)
	if !ok {
		return flow.Secret{}, usage("unknown connection %q", name)
	}
	settings, err := l.settings(ctx, name, c)
	if err != nil {
		return flow.Secret{}, err
	}
	var v any = map[string]any(settings)
	for _, part := range strings.Split(field, ".") {
		m, ok := v.(map[string]any)
		if v = m[part]; !ok || v == nil {
			return flow.Secret{}, &flow.Error{Op: "read " + ref, Kind: flow.NotFound, Err: fmt.Errorf("connection %s has no key %s", name, field), Hint: "it has: " + strings.Join(sortedKeys(settings), ", ")}
		}
	}
	text := fmt.Sprint(v)
	l.a.addSecret(text)
	return flow.NewSecret(text), nil
}

// s3OverHTTP is the Spark setting that takes S3A over HTTP where a folder would do.
const s3OverHTTP = "spark.tidemill.s3"

// sparkS3 says how a driver reaches s3://: through the folder of an S3 server of this
// machine that has one, else over HTTP.
func (l *lookup) sparkS3(ctx context.Context, h spark.Home, need bool) (spark.S3, error) {
	cfg, err := l.aws(ctx, l.t.AWS.Value)
	if err != nil {
		if need {
			return spark.S3{}, err
		}
		return spark.S3{}, nil
	}
	endpoint := ""
	if cfg.BaseEndpoint != nil {
		endpoint = strings.TrimSuffix(*cfg.BaseEndpoint, "/")
	}
	over := ""
	if l.t.Spark != nil {
		v, _ := l.t.Spark.Conf.Get(s3OverHTTP)
		over = v.Value
	}
	if loopback(endpoint) && over != "http" {
		if s, ok := localFolder(ctx, endpoint); ok {
			return s, nil
		}
	}
	if len(h.S3A) == 0 {
		if need {
			return spark.S3{}, &flow.Error{Op: "reach s3:// from Spark", Kind: flow.NotFound, Err: errors.New("no connector of Spark's for S3 is installed"),
				Hint: "Run: tidemill spark install --s3a --version " + h.Version + ", or name the jars in the target: spark: { conf: { spark.jars.packages: … } }."}
		}
		return spark.S3{}, nil
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		if need {
			return spark.S3{}, &flow.Error{Op: "find the keys of AWS", Kind: flow.Denied, Err: err}
		}
		return spark.S3{}, nil
	}
	out := spark.S3{Conf: sparkjob.S3A(endpoint, cfg.Region), Jars: h.S3A,
		Env: map[string]string{"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_REGION": cfg.Region}}
	if keys.SessionToken != "" {
		out.Env["AWS_SESSION_TOKEN"] = keys.SessionToken
	}
	for _, secret := range []string{keys.SecretAccessKey, keys.SessionToken} {
		l.a.addSecret(secret)
	}
	return out, nil
}

func loopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || endpoint == "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// localFolder asks an endpoint of this machine for the folder that its S3 serves: that of
// tidemill local tells, others do not know the question.
func localFolder(ctx context.Context, endpoint string) (spark.S3, bool) {
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var info struct {
		S3 struct {
			Root    string   `json:"root"`
			Buckets []string `json:"buckets"`
		} `json:"s3"`
	}
	if err := call(ask, http.MethodGet, endpoint+"/_tidemill/info", &info); err != nil || info.S3.Root == "" {
		return spark.S3{}, false
	}
	return spark.S3{Conf: sparkjob.LocalS3(info.S3.Root, info.S3.Buckets), Done: func(ctx context.Context) error {
		var errs []error
		for _, b := range info.S3.Buckets {
			errs = append(errs, call(ctx, http.MethodPost, endpoint+"/_tidemill/etags?bucket="+url.QueryEscape(b), nil))
		}
		return errors.Join(errs...)
	}}, true
}

func call(ctx context.Context, method, at string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return &flow.Error{Op: "ask " + at, Kind: flow.Transient, Err: err}
	}
	defer res.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return &flow.Error{Op: "ask " + at, Kind: flow.Unknown, Err: err}
	}
	return nil
}

func (a *app) sparkCommand() *cobra.Command {
	c := &cobra.Command{Use: "spark", Short: "The Spark of this machine", Example: "  tidemill spark install"}
	in := spark.Install{}
	install := &cobra.Command{
		Use:   "install",
		Short: "Install a Spark for targets of engine spark",
		Long: "Makes a private environment of one Spark version in the user's cache folder and verifies it with a job.\n" +
			"It needs Python 3.9 or later with venv, and Java 17. A Spark that SPARK_HOME or the path names is used before it.",
		Example: "  tidemill spark install\n  tidemill spark install --version 4.0.2\n  tidemill spark install --s3a",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w, err := sparkWhere(nil)
			if err != nil {
				return err
			}
			version := in.Version
			in.Where, in.Env, in.Log = w, os.Environ(), a.stderr
			in.Version = version
			h, err := in.Do(c.Context())
			if err != nil {
				return err
			}
			if a.json {
				a.printJSON(map[string]any{"version": h.Version, "dir": h.Dir, "python": h.Python, "s3a": len(h.S3A) > 0})
				return nil
			}
			a.print("%s is ready", h.Describe())
			return nil
		},
	}
	install.Flags().StringVar(&in.Version, "version", spark.DefaultVersion, "the version; 3.5.6 is tested at every change, 4.0.2 was tried")
	install.Flags().BoolVar(&in.S3A, "s3a", false, "also the jars that let s3:// go over HTTP, for AWS and other S3 servers")
	install.Flags().StringVar(&in.Maven, "maven", "", "where the jars come from (default: Maven Central)")
	c.AddCommand(install)
	return c
}
