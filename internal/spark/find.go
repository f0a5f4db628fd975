package spark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// DefaultVersion is the Spark that `tidemill spark install` installs unless told otherwise:
// that of EMR 7.13.
const DefaultVersion = "3.5.6"

// Where says where a Spark may be. The first that is there is taken: Home, SparkHome, the
// path, the private environment in Cache.
type Where struct {
	Home      string // the target's spark.home
	Version   string // the target's spark.version; empty: any
	SparkHome string // SPARK_HOME
	Path      string // PATH
	JavaHome  string // JAVA_HOME
	Cache     string // the user's cache folder of ours
}

// Home is a Spark that was found.
type Home struct {
	Dir      string // holds bin/spark-submit
	Version  string
	Python   string   // the Python that drives it
	JavaHome string   // empty: java is on the path
	Path     string   // of the child's environment
	Found    string   // by what: spark.home, SPARK_HOME, PATH, tidemill spark install
	S3A      []string // jars that let s3:// go over HTTP; none if they are not installed
}

// Submit is the program spark-submit.
func (h Home) Submit() string { return filepath.Join(h.Dir, "bin", "spark-submit") }

// Find finds a Spark. A NotFound error says how to get one.
func Find(w Where) (Home, error) {
	op := "find Spark"
	notFound := func(format string, args ...any) error {
		return &flow.Error{Op: op, Kind: flow.NotFound, Err: fmt.Errorf(format, args...), Hint: "Run: tidemill spark install --version " + orDefault(w.Version)}
	}
	private := func(version string) (Home, bool) {
		env := Environment(w.Cache, version)
		if _, err := os.Stat(filepath.Join(env, readyName)); err != nil {
			return Home{}, false
		}
		h, err := homeOf(env)
		h.Found = "tidemill spark install"
		return h, err == nil
	}
	var h Home
	submit, _ := lookPath(w.Path, "spark-submit")
	switch {
	case w.Home != "":
		h = Home{Dir: w.Home, Found: "spark.home"}
	case w.SparkHome != "":
		h = Home{Dir: w.SparkHome, Found: "SPARK_HOME"}
	case submit != "":
		h = Home{Dir: filepath.Dir(filepath.Dir(submit)), Found: "PATH"}
	}
	if h.Dir != "" {
		if _, err := os.Stat(h.Submit()); err != nil {
			return Home{}, notFound("%s names %s, which has no bin/spark-submit", h.Found, h.Dir)
		}
		h.Version = versionOf(h.Dir)
	}
	if w.Home == "" && (h.Dir == "" || w.Version != "" && h.Version != w.Version) {
		p, ok := private(orDefault(w.Version))
		if !ok && w.Version == "" {
			p, ok = private(w.newest())
		}
		switch {
		case ok:
			h = p
		case h.Dir != "":
			return Home{}, notFound("%s is Spark %s, the target wants %s", h.Found, h.Version, w.Version)
		default:
			return Home{}, notFound("there is none: SPARK_HOME is not set, spark-submit is not on the path")
		}
	}
	if w.Version != "" && h.Version != "" && h.Version != w.Version {
		return Home{}, notFound("%s is Spark %s, the target wants %s", h.Found, h.Version, w.Version)
	}
	return w.complete(h)
}

func orDefault(version string) string {
	if version == "" {
		return DefaultVersion
	}
	return version
}

// newest is the version of the private environment that was made last; empty if there is none.
func (w Where) newest() string {
	envs, err := filepath.Glob(filepath.Join(Environment(w.Cache, "*"), readyName))
	if err != nil {
		return ""
	}
	version, made := "", time.Time{}
	for _, ready := range envs {
		if i, err := os.Stat(ready); err == nil && i.ModTime().After(made) {
			version, made = strings.TrimPrefix(filepath.Base(filepath.Dir(ready)), "spark-"), i.ModTime()
		}
	}
	return version
}

// complete adds Python and Java.
func (w Where) complete(h Home) (Home, error) {
	h.Path = "/usr/local/bin:/usr/bin:/bin"
	if h.Python == "" {
		python, ok := lookPath(w.Path, "python3")
		if !ok {
			return Home{}, &flow.Error{Op: "find Python", Kind: flow.NotFound, Err: errors.New("there is no python3 on the path, and Spark's scripts need one"), Hint: "Install Python 3.9 or later."}
		}
		h.Python = python
	}
	switch java, ok := lookPath(w.Path, "java"); {
	case w.JavaHome != "":
		h.JavaHome = w.JavaHome
	case ok:
		h.Path = filepath.Dir(java) + ":" + h.Path
	default:
		return Home{}, &flow.Error{Op: "find Java", Kind: flow.NotFound, Err: errors.New("JAVA_HOME is not set and there is no java on the path"), Hint: "Install Java 17: on Debian, apt-get install openjdk-17-jre-headless."}
	}
	return h, nil
}

// lookPath finds a program on a path that is not this process's own.
func lookPath(path, name string) (string, bool) {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file := filepath.Join(dir, name)
		if i, err := os.Stat(file); err == nil && !i.IsDir() && i.Mode()&0o111 != 0 {
			if real, err := filepath.EvalSymlinks(file); err == nil && name == "spark-submit" {
				file = real
			}
			return file, true
		}
	}
	return "", false
}

// versionOf reads a Spark's version off its core jar.
func versionOf(home string) string {
	jars, err := filepath.Glob(filepath.Join(home, "jars", "spark-core_*.jar"))
	if err != nil || len(jars) == 0 {
		return ""
	}
	base := strings.TrimSuffix(filepath.Base(jars[0]), ".jar")
	return base[strings.LastIndexByte(base, '-')+1:]
}

// homeOf is the Spark in a private environment.
func homeOf(env string) (Home, error) {
	dirs, err := filepath.Glob(filepath.Join(env, "lib", "python3*", "site-packages", "pyspark"))
	if err != nil || len(dirs) == 0 {
		return Home{}, &flow.Error{Op: "find Spark in " + env, Kind: flow.NotFound, Err: errors.New("it has no pyspark")}
	}
	h := Home{Dir: dirs[0], Version: versionOf(dirs[0]), Python: filepath.Join(env, "bin", "python")}
	h.S3A, err = filepath.Glob(filepath.Join(env, s3aFolder, "*.jar"))
	return h, err
}

// Describe says in a line what was found, for people.
func (h Home) Describe() string {
	return fmt.Sprintf("Spark %s in %s (by %s)", h.Version, h.Dir, h.Found)
}

// environment is the child's: nothing is inherited, so that a job runs the same wherever it
// was started from.
func (h Home) environment(scratch string, more map[string]string) []string {
	env := []string{
		"PATH=" + h.Path, "HOME=" + filepath.Join(scratch, "home"), "LANG=C.UTF-8", "TZ=UTC",
		"SPARK_HOME=" + h.Dir, "SPARK_LOCAL_IP=127.0.0.1", "SPARK_LOCAL_DIRS=" + filepath.Join(scratch, "local"),
		"PYSPARK_PYTHON=" + h.Python, "PYSPARK_DRIVER_PYTHON=" + h.Python, "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1",
	}
	if h.JavaHome != "" {
		env = append(env, "JAVA_HOME="+h.JavaHome)
	}
	for k, v := range more {
		env = append(env, k+"="+v)
	}
	return env
}

// Check runs a tiny job and tells whether the Spark works.
func (h Home) Check(ctx context.Context, scratch string) error {
	script := filepath.Join(scratch, "check.py")
	if err := os.WriteFile(script, []byte(checkScript), 0o600); err != nil {
		return fmt.Errorf("write the check: %w", err)
	}
	out, err := h.run(ctx, scratch, script)
	if err != nil {
		return err
	}
	if !strings.Contains(out, "tidemill check 4950") {
		return &flow.Error{Op: "check " + h.Describe(), Kind: flow.Unknown, Err: fmt.Errorf("the job printed %q", strings.TrimSpace(out))}
	}
	return nil
}

const checkScript = `from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("tidemill check", spark.range(100).selectExpr("sum(id) AS s").collect()[0]["s"])
spark.stop()
`
