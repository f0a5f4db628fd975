package spark

import (
	"context"
	"crypto/sha1" //nolint:gosec // Maven's own checksum
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

const (
	readyName = "ready" // in an environment that is whole and was verified
	s3aFolder = "s3a"
)

// s3aJars are what lets a Spark's s3:// go over HTTP: the connector of its own Hadoop, and
// the AWS SDK that this is built with.
var s3aJars = map[string][]string{
	"3.5": {"org/apache/hadoop/hadoop-aws/3.3.4/hadoop-aws-3.3.4.jar", "com/amazonaws/aws-java-sdk-bundle/1.12.262/aws-java-sdk-bundle-1.12.262.jar"},
	"4.0": {"org/apache/hadoop/hadoop-aws/3.4.1/hadoop-aws-3.4.1.jar", "software/amazon/awssdk/bundle/2.24.6/bundle-2.24.6.jar"},
}

// Install says what to install.
type Install struct {
	Where          // Cache, Path and JavaHome are needed
	Version string // empty: DefaultVersion
	S3A     bool   // the jars for S3 over HTTP too
	Maven   string // base URL of a Maven repository; empty: Maven Central
	Env     []string
	Log     io.Writer
}

// Environment is the private environment's folder of a version.
func Environment(cache, version string) string { return filepath.Join(cache, "spark-"+version) }

// Do makes the private environment, or completes it, and verifies it with a tiny job.
func (in Install) Do(ctx context.Context) (Home, error) {
	if in.Version == "" {
		in.Version = DefaultVersion
	}
	if len(strings.Split(in.Version, ".")) != 3 {
		return Home{}, &flow.Error{Op: "install Spark", Kind: flow.Invalid, Err: fmt.Errorf("%q is no version", in.Version), Hint: "As in 3.5.6 or 4.0.2."}
	}
	env := Environment(in.Cache, in.Version)
	ready := filepath.Join(env, readyName)
	if _, err := os.Stat(ready); err != nil {
		if err := in.environment(ctx, env); err != nil {
			return Home{}, err
		}
	}
	if in.S3A {
		if err := in.jars(ctx, filepath.Join(env, s3aFolder)); err != nil {
			return Home{}, err
		}
	}
	h, err := homeOf(env)
	if err != nil {
		return Home{}, err
	}
	h.Found = "tidemill spark install"
	if h, err = in.Where.complete(h); err != nil {
		return Home{}, err
	}
	if _, err := os.Stat(ready); err == nil {
		return h, nil
	}
	fmt.Fprintf(in.Log, "verifying Spark %s with a job\n", h.Version) //nolint:errcheck // a message
	scratch, err := os.MkdirTemp("", "tidemill-spark-")
	if err != nil {
		return Home{}, fmt.Errorf("make a scratch folder: %w", err)
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // the system's scratch
	if err := h.Check(ctx, scratch); err != nil {
		return Home{}, err
	}
	return h, os.WriteFile(ready, nil, 0o644)
}

// environment makes the Python environment anew.
func (in Install) environment(ctx context.Context, env string) error {
	python, ok := lookPath(in.Path, "python3")
	if !ok {
		return &flow.Error{Op: "install Spark", Kind: flow.NotFound, Err: errors.New("there is no python3 on the path"), Hint: "Install Python 3.9 or later."}
	}
	if err := os.RemoveAll(env); err != nil {
		return fmt.Errorf("remove what an earlier install left: %w", err)
	}
	if err := os.MkdirAll(in.Cache, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", in.Cache, err)
	}
	fmt.Fprintf(in.Log, "making a Python environment in %s\n", env) //nolint:errcheck // a message
	if err := in.program(ctx, "install python3-venv: on Debian, apt-get install python3-venv", python, "-m", "venv", env); err != nil {
		return err
	}
	fmt.Fprintf(in.Log, "installing pyspark %s (300 to 450 MB)\n", in.Version) //nolint:errcheck // a message
	return in.program(ctx, "look at https://pypi.org/project/pyspark/#history for the versions there are", filepath.Join(env, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "pyspark=="+in.Version)
}

func (in Install) program(ctx context.Context, hint, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = in.Env
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &flow.Error{Op: "run " + filepath.Base(name) + " " + strings.Join(args, " "), Kind: flow.Unknown, Err: fmt.Errorf("%w\n%s", err, lastLines(string(out), 8)), Hint: hint}
}

// jars fetches the connector for S3 over HTTP.
func (in Install) jars(ctx context.Context, dir string) error {
	list := s3aJars[in.Version[:strings.LastIndexByte(in.Version, '.')]]
	if list == nil {
		return &flow.Error{Op: "install the jars for S3", Kind: flow.Invalid, Err: fmt.Errorf("which go with Spark %s is not known here", in.Version), Hint: "Name them in the target: spark: { conf: { spark.jars.packages: … } }."}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	base := in.Maven
	if base == "" {
		base = "https://repo1.maven.org/maven2"
	}
	for _, jar := range list {
		to := filepath.Join(dir, filepath.Base(jar))
		if _, err := os.Stat(to); err == nil {
			continue
		}
		fmt.Fprintf(in.Log, "fetching %s\n", filepath.Base(jar)) //nolint:errcheck // a message
		if err := fetch(ctx, strings.TrimSuffix(base, "/")+"/"+jar, to); err != nil {
			return err
		}
	}
	return nil
}

// fetch downloads a jar and holds it against the checksum beside it.
func fetch(ctx context.Context, url, to string) error {
	sum, err := get(ctx, url+".sha1")
	if err != nil {
		return err
	}
	want, err := io.ReadAll(io.LimitReader(sum, 256))
	if err = errors.Join(err, sum.Close()); err != nil {
		return &flow.Error{Op: "fetch " + url, Kind: flow.Transient, Err: err}
	}
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	f, err := os.CreateTemp(filepath.Dir(to), ".jar-")
	if err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	h := sha1.New()           //nolint:gosec // Maven's own checksum
	_, err = io.Copy(io.MultiWriter(f, h), body)
	if err = errors.Join(err, f.Close()); err != nil {
		return &flow.Error{Op: "fetch " + url, Kind: flow.Transient, Err: err}
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.HasPrefix(strings.TrimSpace(string(want)), got) {
		return &flow.Error{Op: "fetch " + url, Kind: flow.Transient, Err: fmt.Errorf("its checksum is %s, %s is wanted", got, strings.TrimSpace(string(want)))}
	}
	return os.Rename(f.Name(), to)
}

func get(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &flow.Error{Op: "fetch " + url, Kind: flow.Invalid, Err: err}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, &flow.Error{Op: "fetch " + url, Kind: flow.Transient, Err: err}
	}
	if res.StatusCode != http.StatusOK {
		return nil, &flow.Error{Op: "fetch " + url, Kind: flow.NotFound, Err: errors.Join(errors.New(res.Status), res.Body.Close()), Hint: "Name another repository with --maven."}
	}
	return res.Body, nil
}
