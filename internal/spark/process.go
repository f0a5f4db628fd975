package spark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// A spark-submit runs under a small shell program, the wrapper, which leaves in the
// attempt's folder who it is and how it ended. So the process that waits need not be the
// one that started, and what was begun is never begun again: the folder began is made once.
const wrapper = `cd "$1" || exit 1
mkdir began 2>/dev/null || exit 0
echo $$ > began/pid.new && mv began/pid.new began/pid
shift
cd work
"$@" > ../log 2>&1 < /dev/null
echo $? > ../exit.new && mv ../exit.new ../exit
`

const (
	pidName   = "began/pid"
	startName = "began/start"
	exitName  = "exit"
	logName   = "log"
	seenName  = "log.seen"
	stopName  = "stopped"
)

// process is an attempt's spark-submit, found by its folder.
type process struct{ dir string }

func (p process) file(name string) string { return filepath.Join(p.dir, filepath.FromSlash(name)) }

func (p process) has(name string) bool {
	_, err := os.Stat(p.file(name))
	return err == nil
}

// begin starts the program unless it was started already.
func (p process) begin(ctx context.Context, env []string, argv ...string) error {
	for _, d := range []string{"work", "home", "local"} {
		if err := os.MkdirAll(p.file(d), 0o700); err != nil {
			return fmt.Errorf("make %s: %w", p.file(d), err)
		}
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", wrapper, "tidemill-spark", p.dir}, argv...)...) //nolint:noctx // it outlives this process
	cmd.Env = env
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return &flow.Error{Op: "start spark-submit", Kind: flow.Transient, Err: err}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return p.begun(ctx, ended)
}

// begun waits until the wrapper has said who it is.
func (p process) begun(ctx context.Context, ended <-chan error) error {
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !p.has(pidName) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-ended:
			if !p.has(pidName) {
				return &flow.Error{Op: "start spark-submit", Kind: flow.Transient, Err: errors.Join(errors.New("its wrapper ended at once"), err)}
			}
		case <-limit.C:
			return &flow.Error{Op: "start spark-submit", Kind: flow.Transient, Err: errors.New("its wrapper did not begin within a minute")}
		case <-tick.C:
		}
	}
	pid, err := p.pid()
	if err != nil {
		return err
	}
	if start := startOf(pid); start != "" && !p.has(startName) {
		if err := os.WriteFile(p.file(startName), []byte(start), 0o600); err != nil {
			return fmt.Errorf("note when spark-submit began: %w", err)
		}
	}
	return nil
}

func (p process) pid() (int, error) {
	b, err := os.ReadFile(p.file(pidName))
	if err != nil {
		return 0, &flow.Error{Op: "find spark-submit", Kind: flow.NotFound, Err: err, Hint: "Its folder below .tidemill/spark was removed: run the step again."}
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// alive tells whether the wrapper still is. Another process that got its number later is
// told by when it began.
func (p process) alive() (pid int, alive bool) {
	pid, err := p.pid()
	if err != nil {
		return 0, false
	}
	start := startOf(pid)
	noted, err := os.ReadFile(p.file(startName))
	return pid, start != "" && (err != nil || string(noted) == start)
}

// exit is the status with which the program ended; ok is false while there is none.
func (p process) exit() (status int, ok bool) {
	b, err := os.ReadFile(p.file(exitName))
	if err != nil {
		return 0, false
	}
	status, err = strconv.Atoi(strings.TrimSpace(string(b)))
	return status, err == nil
}

// wait follows the program to its end: its log goes to out, its progress to tell.
func (p process) wait(ctx context.Context, out io.Writer, tell func(flow.Progress)) (status int, err error) {
	f := follower{p: p, out: out, tell: tell}
	f.resume()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		status, ended := p.exit()
		f.read(ended)
		if ended {
			return status, nil
		}
		if n%10 == 0 {
			if _, alive := p.alive(); !alive {
				if _, ended := p.exit(); ended {
					continue
				}
				f.read(true)
				return 0, p.vanished()
			}
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (p process) vanished() error {
	p.sweep()
	if p.has(stopName) {
		return &flow.Error{Op: "run spark-submit", Kind: flow.Canceled, Err: errors.New("it was stopped")}
	}
	return &flow.Error{Op: "run spark-submit", Kind: flow.Transient, Err: errors.New("its process is gone and left no status"), Hint: "The machine was restarted, or something killed it: the system's log tells whether memory ran out."}
}

// sweep ends what the wrapper's group may have left behind.
func (p process) sweep() {
	if pid, err := p.pid(); err == nil && startOf(pid) == "" && groupAlive(pid) {
		signal(pid, true)
	}
}

// stopGrace is how long a driver may take to end itself when it is asked to.
const stopGrace = 10 * time.Second

// stop ends the program and all it started, and waits until nothing of it is there.
func (p process) stop(ctx context.Context) error {
	if err := os.WriteFile(p.file(stopName), nil, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("note the stop: %w", err)
	}
	pid, err := p.pid()
	if err != nil {
		return nil //nolint:nilerr // it never began
	}
	if start := startOf(pid); start != "" {
		if noted, err := os.ReadFile(p.file(startName)); err == nil && string(noted) != start {
			return nil // another process has the number
		}
	}
	if !groupAlive(pid) {
		return nil
	}
	signal(pid, false)
	kill := time.NewTimer(stopGrace)
	defer kill.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for groupAlive(pid) {
		select {
		case <-ctx.Done():
			signal(pid, true)
			return context.Cause(ctx)
		case <-kill.C:
			signal(pid, true)
		case <-tick.C:
		}
	}
	return nil
}

// run runs a script to its end and gives what it printed.
func (h Home) run(ctx context.Context, scratch, script string) (string, error) {
	p := process{scratch}
	if err := p.begin(ctx, h.environment(scratch, nil), h.Submit(), "--conf", "spark.ui.enabled=false", "--conf", "spark.master=local[1]",
		"--conf", "spark.driver.bindAddress=127.0.0.1", "--conf", "spark.driver.host=127.0.0.1", script); err != nil {
		return "", err
	}
	var out bytes.Buffer
	status, err := p.wait(ctx, &out, func(flow.Progress) {})
	if err != nil {
		return "", errors.Join(err, p.stop(context.WithoutCancel(ctx)))
	}
	if status != 0 {
		return "", exited(status, out.String(), script)
	}
	return out.String(), nil
}
