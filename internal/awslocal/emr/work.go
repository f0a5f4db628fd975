package emr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

// job is the work of a step, or of a cluster's bootstrap actions, while it goes on.
type job struct {
	signals chan syscall.Signal
	sent    map[syscall.Signal]bool // under the service's lock
	cancel  context.CancelFunc
}

// signal sends a signal once.
func (j *job) signal(sig syscall.Signal) {
	if j.sent[sig] {
		return
	}
	j.sent[sig] = true
	j.signals <- sig // there is room for each kind
}

// tend sees to it that what a cluster's state says is worked on, and nothing else.
func (s *Service) tend(c *Cluster) {
	if s.ctx == nil || s.ctx.Err() != nil {
		return
	}
	if c.State == types.ClusterStateBootstrapping && !c.Installed && s.jobs[c.ID] == nil {
		w := s.newWorker(c)
		s.begin(c.ID, func(ctx context.Context, j *job) {
			fault := c.Plan.Bootstrap
			if fault == "" {
				fault = w.bootstrap(ctx, j)
			}
			s.finish(c, c.ID, func() { c.bootstrapped(s.c.Now(), fault) })
		})
	}
	if c.State == types.ClusterStateTerminating && s.jobs[c.ID] != nil {
		s.jobs[c.ID].signal(syscall.SIGKILL)
	}
	for _, st := range c.Steps {
		if !st.running() {
			continue
		}
		if s.jobs[st.ID] == nil {
			w := s.newWorker(c)
			s.begin(st.ID, func(ctx context.Context, j *job) {
				r := w.step(ctx, j, st)
				s.finish(c, st.ID, func() { c.stepEnded(s.c.Now(), c.step(st.ID), r) })
			})
		}
		switch {
		case c.State == types.ClusterStateTerminating || st.Cancel == types.StepCancellationOptionTerminateProcess:
			s.jobs[st.ID].signal(syscall.SIGKILL)
		case st.State == types.StepStateCancelPending:
			s.jobs[st.ID].signal(syscall.SIGTERM)
		}
	}
}

func (s *Service) begin(id string, do func(context.Context, *job)) {
	ctx, cancel := context.WithCancel(s.ctx)
	j := &job{signals: make(chan syscall.Signal, 2), sent: map[syscall.Signal]bool{}, cancel: cancel}
	s.jobs[id] = j
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		defer cancel()
		do(ctx, j)
	}()
}

// finish tells the cluster that work has ended, unless we end ourselves: then the work was
// broken off, and the state says as much when it is read again.
func (s *Service) finish(c *Cluster, id string, tell func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	delete(s.jobs, id)
	tell()
	c.advance(s.c.Now())
	s.save(c)
	s.wake()
}

// stop ends all work; Run's ctx has ended.
func (s *Service) stop() { s.work.Wait() }

// worker does a cluster's work. Of the cluster it uses what does not change.
type worker struct {
	*Service
	c      *Cluster
	steps  []*Step // when the work began
	master string  // id of the instance
	dir    string  // of the cluster's scratch files
	logs   string  // URI of the folder of its logs, ends in /; empty: none are kept
}

func (s *Service) newWorker(c *Cluster) *worker {
	w := &worker{Service: s, c: c, steps: slices.Clone(c.Steps), master: c.Nodes[0].EC2, dir: s.scratch(c)}
	if u := val(c.Request.LogUri); u != "" {
		w.logs = u + c.ID + "/"
	}
	return w
}

// env is the environment of a program: what a node's has, of which the credentials are those
// that an instance's role would give.
func (w *worker) env(bin string, more ...string) []string {
	return append([]string{
		"PATH=" + bin + ":" + w.Service.c.Path, "HOME=" + filepath.Join(w.dir, "home"), "USER=hadoop", "LANG=C.UTF-8", "TMPDIR=" + filepath.Join(w.dir, "tmp"),
		"AWS_ENDPOINT_URL=" + w.Service.c.Endpoint, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=" + w.c.Region, "AWS_DEFAULT_REGION=" + w.c.Region, "AWS_EC2_METADATA_DISABLED=true", "EMR_CLUSTER_ID=" + w.c.ID,
	}, more...)
}

// folders makes the cluster's, and dir below them: the logs of a program lie there, and the
// folder that it runs in.
func (w *worker) folders(dir string) (string, error) {
	dir = filepath.Join(w.dir, dir)
	for _, d := range []string{filepath.Join(w.dir, "home"), filepath.Join(w.dir, "tmp"), filepath.Join(dir, "cwd")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// bootstrap runs the bootstrap actions one after the other and returns the message of the
// first that fails.
func (w *worker) bootstrap(ctx context.Context, j *job) (fault string) {
	for i, b := range w.c.Request.BootstrapActions {
		name := fmt.Sprintf("bootstrap-actions/%d", i+1)
		exit, err := w.action(ctx, j, name, b.ScriptBootstrapAction)
		if err != nil {
			return fmt.Sprintf("On the master instance (%s), bootstrap action %d failed: %v", w.master, i+1, err)
		}
		if exit != 0 {
			return fmt.Sprintf("On the master instance (%s), bootstrap action %d returned a non-zero return code", w.master, i+1)
		}
	}
	return ""
}

func (w *worker) action(ctx context.Context, j *job, name string, a *types.ScriptBootstrapActionConfig) (exit int, err error) {
	dir, err := w.folders(name)
	if err != nil {
		return -1, err
	}
	l, err := w.openLogs(dir)
	if err != nil {
		return -1, err
	}
	defer func() { l.keep("node/" + w.master + "/" + name + "/") }()
	script, err := w.fetch(*a.Path, filepath.Join(dir, "cwd"))
	if err != nil {
		l.say("ERROR %v", err)
		return -1, err
	}
	bin, env, err := w.provide(ctx, l, dir, nil)
	if err != nil {
		return -1, err
	}
	p := program{argv: append([]string{script}, a.Args...), dir: filepath.Join(dir, "cwd"), env: w.env(bin, env...), stdout: l.stdout, stderr: l.stderr}
	exit, err = w.warden.run(ctx, p, j.signals)
	l.say("INFO bootstrap action %s ended with exit code %d", *a.Path, exit)
	return exit, err
}

// fetch brings a script here, and lets it be run.
func (w *worker) fetch(uri, dir string) (file string, err error) {
	bucket, key, ok := s3Name(uri)
	if !ok {
		return strings.TrimPrefix(strings.TrimPrefix(uri, "file://"), "file:"), nil
	}
	in, err := w.Service.c.Files.Open(bucket, key)
	if err != nil {
		return "", fmt.Errorf("download %s: %w", uri, err)
	}
	defer in.Close() //nolint:errcheck // only read
	file = filepath.Join(dir, path.Base(key))
	return file, executable(file, in)
}

// executable writes a file that is to be run. No process is begun meanwhile: it would hold the
// file open for a moment, and what is open for writing cannot be run.
func executable(file string, in io.Reader) (err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	out, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o700) //nolint:gosec // it is to be run
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// step runs a step and keeps its logs.
func (w *worker) step(ctx context.Context, j *job, st *Step) Result {
	dir, err := w.folders("steps/" + st.ID)
	if err != nil {
		return Result{Message: err.Error()}
	}
	l, err := w.openLogs(dir)
	if err != nil {
		return Result{Message: err.Error()}
	}
	defer l.keep("steps/" + st.ID + "/")
	defer l.keepContainers()
	defer func() { _ = os.RemoveAll(filepath.Join(dir, "cwd")) }() //nolint:errcheck // what is left goes with the cluster
	began := w.Service.c.Now()
	if f := st.Fault; f != nil && f.Kind == "step_fails" {
		fmt.Fprintf(l.stderr, "%s\nCommand exiting with ret '%d'\n", f.Message, f.Exit) //nolint:errcheck // a log
		return w.failed(l, st)
	}
	argv, err := w.argv(st.Config.HadoopJarStep, filepath.Join(dir, "cwd"))
	if err != nil {
		l.say("ERROR %v", err)
		fmt.Fprintln(l.stderr, err) //nolint:errcheck // a log
		return Result{Failure: &types.FailureDetails{Reason: ptr("Unknown Error."), Message: ptr(err.Error()), LogFile: text(l.uri("steps/"+st.ID+"/", "stderr"))}}
	}
	jar := strings.Join(append([]string{"hadoop", "jar", *st.Config.HadoopJarStep.Jar}, st.Config.HadoopJarStep.Args...), " ")
	l.say("INFO Ensure step %s jar file %s", st.ID, *st.Config.HadoopJarStep.Jar)
	l.say("INFO startExec '%s'", jar)
	bin, env, err := w.provide(ctx, l, dir, st)
	if err != nil {
		return Result{Message: err.Error()}
	}
	p := program{argv: argv, dir: filepath.Join(dir, "cwd"), env: w.env(bin, append(env, "EMR_STEP_ID="+st.ID)...), stdout: l.stdout, stderr: l.stderr, begun: func(pid int) { l.say("INFO ProcessRunner started child process %d", pid) }}
	l.say("INFO Working dir %s", p.dir)
	var lost atomic.Bool
	if f := st.Fault; f != nil && f.Kind == "step_lost" {
		bounded, cancel := context.WithTimeout(ctx, f.After)
		defer cancel()
		defer context.AfterFunc(bounded, func() { lost.Store(true) })()
		ctx = bounded
	} else if f != nil && f.Kind == "step_hangs" {
		p.argv = []string{"sleep", "infinity"}
	}
	exit, err := w.warden.run(ctx, p, j.signals)
	if _, none := os.Stat(filepath.Join(dir, ".spark")); none == nil {
		if err := w.Service.c.Files.Tag(""); err != nil {
			l.say("WARN %v", err)
		}
	}
	took := int(w.Service.c.Now().Sub(began).Seconds())
	if lost.Load() {
		return Result{Message: st.Fault.Message}
	}
	if err != nil {
		l.say("ERROR %v", err)
		return Result{Message: err.Error()}
	}
	fmt.Fprintf(l.stderr, "Command exiting with ret '%d'\n", exit) //nolint:errcheck // a log
	l.say("INFO waitProcessCompletion ended with exit code %d : %s", exit, jar)
	l.say("INFO total process run time: %d seconds", took)
	if exit == 0 {
		l.say("INFO Step succeeded with exitCode %d and took %d seconds", exit, took)
		return Result{OK: true}
	}
	l.say("WARN Step failed with exitCode %d and took %d seconds", exit, took)
	return w.failed(l, st)
}

// failed is the result of a step whose program failed.
func (w *worker) failed(l *logs, st *Step) Result {
	message, log := l.cause()
	return Result{Failure: &types.FailureDetails{Reason: ptr("Unknown Error."), Message: text(message), LogFile: text(l.uri("steps/"+st.ID+"/", log))}}
}

// there tells whether a program that is named without a folder is on the path.
func (w *worker) there(name string) error {
	if name == "spark-submit" || name == "sudo" || strings.Contains(name, "/") {
		return nil
	}
	for _, dir := range filepath.SplitList(w.Service.c.Path) {
		if i, err := os.Stat(filepath.Join(dir, name)); err == nil && !i.IsDir() && i.Mode()&0o111 != 0 {
			return nil
		}
	}
	return fmt.Errorf("there is no program %s: tidemill local runs spark-submit and what is on this machine's PATH", name)
}

// argv is the command line of a step.
func (w *worker) argv(jar *types.HadoopJarStepConfig, dir string) ([]string, error) {
	name := path.Base(*jar.Jar)
	switch {
	case name != "command-runner.jar" && name != "script-runner.jar":
		return nil, fmt.Errorf("the jar %s is not run: tidemill local runs command-runner.jar and script-runner.jar", *jar.Jar)
	case len(jar.Args) == 0:
		return nil, fmt.Errorf("%s is given no arguments", name)
	case name == "command-runner.jar" && jar.Args[0] == "state-pusher-script", name == "script-runner.jar" && strings.Contains(jar.Args[0], "/libs/state-pusher/"):
		return []string{"true"}, nil // what --enable-debugging adds; there is no console to push to
	case name == "command-runner.jar":
		if jar.Args[0] == "/usr/bin/spark-submit" {
			return append([]string{"spark-submit"}, jar.Args[1:]...), nil
		}
		return jar.Args, w.there(jar.Args[0])
	}
	script, err := w.fetch(jar.Args[0], dir)
	return append([]string{script}, jar.Args[1:]...), err
}
