// Package spark runs pieces of Spark work on this machine: spark-submit as a task that
// outlives this process, found again by its token. A piece is a user's script, or work of
// ours that the embedded PySpark runner does (package sparkjob).
//
// Each attempt has a folder: the job, its settings, the driver's log, who it is and how it
// ended. The files of an extract are found, decided and, but for Parquet, read here before
// Spark begins.
package spark

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sparkjob"
)

// Config is what the task needs.
type Config struct {
	Lookup  flow.Lookup
	Store   dataset.Store
	Dir     string               // of the attempts' folders
	Project string               // the folder that a script's relative paths are of
	Home    func() (Home, error) // the Spark, looked for when it is needed
	Threads int                  // of the master local[n]; 0: all
	Memory  int64                // bytes of the driver; 0: Spark's default
	// S3 says how s3:// is reached; need tells whether the job is known to use it. nil: not at all.
	S3 func(ctx context.Context, h Home, need bool) (S3, error)
	// Secret gives the value of CONNECTION.FIELD.
	Secret func(ctx context.Context, ref string) (flow.Secret, error)
}

// S3 is how a driver reaches s3://.
type S3 struct {
	Conf map[string]string
	Jars []string
	Env  map[string]string           // of the driver alone: keys are never in settings
	Done func(context.Context) error // called after a job that may have written there; may be nil
}

// Task is the verb spark.
type Task struct{ Config }

var _ flow.Task = Task{}

// Find finds an attempt that was begun though nobody noted its token.
func (t Task) Find(_ context.Context, r flow.Request) (flow.Token, bool, error) {
	p := process{t.folder(r)}
	return flow.Token(r.Key), p.has("began"), nil
}

// folder is the attempt's.
func (t Task) folder(r flow.Request) string { return t.at(flow.Token(r.Key)) }

// Submitted is what the history says of an attempt that was begun.
func (t Task) Submitted(token flow.Token) json.RawMessage {
	pid, _ := process{t.at(token)}.pid() //nolint:errcheck // 0 says that it is gone
	return json.RawMessage(`{"pid":` + strconv.Itoa(pid) + `}`)
}

// at is the folder of an attempt's key, in characters that no part of Spark misreads.
func (t Task) at(token flow.Token) string {
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, string(token))
	sum := sha256.Sum256([]byte(token))
	return filepath.Join(t.Dir, plain[:min(len(plain), 150)]+"-"+hex.EncodeToString(sum[:4]))
}

// Start begins the attempt's spark-submit, or finds that it was begun.
func (t Task) Start(ctx context.Context, r flow.Request) (flow.Token, error) {
	p := process{t.folder(r)}
	token := flow.Token(r.Key)
	if p.has("began") {
		return token, p.begun(ctx, nil)
	}
	var j flow.SparkJob
	if err := decode(r, &j); err != nil {
		return "", err
	}
	t.forget(r.Run)
	if err := os.MkdirAll(p.file("work"), 0o700); err != nil {
		return "", fmt.Errorf("make the attempt's folder: %w", err)
	}
	h, err := t.Home()
	if err != nil {
		return "", err
	}
	s, env, err := t.submit(ctx, r, j, h, p)
	if err != nil {
		return "", err
	}
	conf := p.file("spark.conf")
	for name, text := range map[string]string{"spark.conf": s.Properties(), "work/log4j2.properties": quiet} {
		if err := os.WriteFile(p.file(name), []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write the settings: %w", err)
		}
	}
	s.Conf = nil
	argv := append([]string{h.Submit(), "--properties-file", conf}, s.Argv()...)
	fmt.Fprintf(r.Log, "%s\n%s\n", h.Describe(), strings.Join(argv, " ")) //nolint:errcheck // the log is best effort
	return token, p.begin(ctx, h.environment(p.dir, env), argv...)
}

func decode(r flow.Request, into any) error {
	d := json.NewDecoder(bytes.NewReader(r.Arguments))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return &flow.Error{Op: "read the arguments of " + r.State, Kind: flow.Invalid, Err: err}
	}
	return nil
}

// submit prepares an attempt: its files are in its folder when this returns.
func (t Task) submit(ctx context.Context, r flow.Request, j flow.SparkJob, h Home, p process) (s sparkjob.Submit, env map[string]string, err error) {
	env = map[string]string{}
	for name, ref := range j.Secrets {
		v, err := t.Secret(ctx, ref)
		if err != nil {
			return s, nil, fmt.Errorf("secret %s: %w", name, err)
		}
		env[name] = v.Reveal()
	}
	s.Conf = t.machine()
	if j.Script == "" {
		maps.Copy(s.Conf, t.ours())
	}
	need := strings.HasPrefix(t.Store.URI, "s3://") || bytes.Contains(r.Arguments, []byte("s3://"))
	if t.S3 != nil {
		s3, err := t.S3(ctx, h, need)
		if err != nil {
			return s, nil, err
		}
		maps.Copy(s.Conf, s3.Conf)
		maps.Copy(env, s3.Env)
		s.Jars = append(s.Jars, s3.Jars...)
		if len(s3.Jars) > 0 {
			delete(s.Conf, localImpl) // S3A buffers in files of Hadoop's own local file system, and no other
		}
	}
	maps.Copy(s.Conf, j.Target)
	maps.Copy(s.Conf, j.Conf)
	if err := t.pythons(s.Conf); err != nil {
		return s, nil, err
	}
	if j.Script == "" {
		s.Script, s.Args, err = t.prepare(ctx, r, j, p)
		return s, env, err
	}
	return t.script(ctx, r, j, s), env, nil
}

// pythons are settings that name a program: as everywhere in a project's files, a relative
// path is the project's, not the driver's working folder's.
func (t Task) pythons(conf map[string]string) error {
	for _, k := range []string{"spark.pyspark.python", "spark.pyspark.driver.python"} {
		v, ok := conf[k]
		if !ok || !strings.Contains(v, "/") {
			continue // a name, looked for on the path
		}
		conf[k] = t.path(v)
		if _, err := os.Stat(conf[k]); err != nil {
			return &flow.Error{Op: "find the Python of Spark's setting " + k, Kind: flow.NotFound, Err: err, Hint: "Make it: python3 -m venv FOLDER, and install into it what the scripts import."}
		}
	}
	return nil
}

// machine are the settings of a driver on this machine.
func (t Task) machine() map[string]string {
	master := "local[*]"
	if t.Threads > 0 {
		master = "local[" + strconv.Itoa(t.Threads) + "]"
	}
	c := map[string]string{
		"spark.master": master, "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "true",
		"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
		"spark.driver.extraJavaOptions": "-Duser.timezone=UTC -Dlog4j2.configurationFile=log4j2.properties", // in the working folder
	}
	if t.Memory > 0 {
		c["spark.driver.memory"] = strconv.FormatInt(max(t.Memory>>20, 512), 10) + "m"
	}
	return c
}

// quiet is how a driver logs: warnings and worse, where its prints go too.
const quiet = `rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.window.name = org.apache.spark.sql.execution.window.WindowExec
logger.window.level = error
`

// localImpl sets what works on files of this machine.
const localImpl = "spark.hadoop.fs.file.impl"

// ours are the settings of the runner's sessions.
func (t Task) ours() map[string]string {
	c := sparkjob.Defaults()
	c["spark.sql.shuffle.partitions"] = strconv.Itoa(max(4, 2*t.threads()))
	// The raw file system writes no checksum files beside a dataset's.
	c[localImpl] = "org.apache.hadoop.fs.RawLocalFileSystem"
	return c
}

func (t Task) threads() int {
	if t.Threads > 0 {
		return t.Threads
	}
	return runtime.NumCPU()
}

// script is the submit of a user's script.
func (t Task) script(_ context.Context, r flow.Request, j flow.SparkJob, s sparkjob.Submit) sparkjob.Submit {
	outputs := make([]string, 0, 2*len(j.Outputs))
	for name, o := range j.Outputs {
		outputs = append(outputs, flow.OutputURI(name), uri(t.Store.URIOf(dataset.AttemptDir(o.Slot, r.Run, r.Attempt, r.Item))))
	}
	put := strings.NewReplacer(outputs...)
	for _, a := range j.Args {
		s.Args = append(s.Args, put.Replace(a))
	}
	for k, v := range s.Conf {
		s.Conf[k] = put.Replace(v)
	}
	s.Script = t.path(j.Script)
	for _, f := range j.PyFiles {
		s.PyFiles = append(s.PyFiles, t.path(f))
	}
	for _, f := range j.Jars {
		s.Jars = append(s.Jars, t.path(f))
	}
	s.Packages = j.Packages
	return s
}

// path makes a relative path of the project absolute.
func (t Task) path(p string) string {
	if strings.Contains(p, "://") || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(t.Project, p)
}

// uri is a path as a URI that every reader understands.
func uri(p string) string {
	if strings.Contains(p, "://") {
		return p
	}
	return "file://" + p
}

// Wait follows an attempt to its end and gives its output.
func (t Task) Wait(ctx context.Context, r flow.Request, token flow.Token) (json.RawMessage, error) {
	p := process{t.at(token)}
	var j flow.SparkJob
	if err := decode(r, &j); err != nil {
		return nil, err
	}
	status, err := p.wait(ctx, r.Log, r.Progress)
	if err != nil {
		return nil, err
	}
	defer p.lighten()
	p.sweep()
	log := p.tail()
	if j.Script == "" {
		out, err := t.result(r, p, status, log)
		return out, errors.Join(err, t.wrote(ctx, r))
	}
	if status != 0 {
		return nil, errors.Join(exited(status, log, j.Script), t.wrote(ctx, r))
	}
	if err := t.wrote(ctx, r); err != nil {
		return nil, err
	}
	return t.outputs(ctx, r, j)
}

// wrote tells the S3 server of this machine that files were written behind its back.
func (t Task) wrote(ctx context.Context, r flow.Request) error {
	if t.S3 == nil {
		return nil
	}
	h, err := t.Home()
	if err != nil {
		return err
	}
	s3, err := t.S3(ctx, h, false)
	if err != nil || s3.Done == nil {
		return err
	}
	return s3.Done(ctx)
}

// Stop ends an attempt, Java and Python with it.
func (t Task) Stop(ctx context.Context, token flow.Token) error {
	return process{t.at(token)}.stop(ctx)
}

// tail is the end of the driver's log.
func (p process) tail() string {
	f, err := os.Open(p.file(logName))
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	const most = 256 << 10
	i, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(most, i.Size()))
	n, _ := f.ReadAt(b, i.Size()-int64(len(b))) //nolint:errcheck // what there is
	return string(bar.ReplaceAll(b[:n], nil))
}

// lighten removes what an ended attempt needs no more: the driver's log too, whose copy in
// the attempt's own log has no secrets. Its small files stay, so that an output that nobody
// kept can be asked for again.
func (p process) lighten() {
	for _, d := range []string{"local", "work", "home", "landed", logName} {
		os.RemoveAll(p.file(d)) //nolint:errcheck // forget tries again
	}
}

// forgetAfter is how long an ended attempt's folder stays.
const forgetAfter = 7 * 24 * time.Hour

// forget removes the folders of attempts of other runs that ended long ago.
func (t Task) forget(run string) {
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		p := process{filepath.Join(t.Dir, e.Name())}
		if i, err := os.Stat(p.file(exitName)); err == nil && time.Since(i.ModTime()) > forgetAfter && !strings.HasPrefix(e.Name(), run+"_") {
			os.RemoveAll(p.dir) //nolint:errcheck // the next one tries again
		}
	}
}
