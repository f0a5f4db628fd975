package emr

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// wardenArg is the one argument of the process that watches over the others.
const wardenArg = "__awslocal-warden"

// warden is a process of our own that ends the sessions of steps when we are gone, however
// that came about: its standard input tells it which there are, and by its end that it is
// time. It is started with the first session, and again if it has ended.
type warden struct {
	mu       sync.Mutex
	input    io.WriteCloser
	gone     chan struct{} // nil before the first start
	sessions map[int]bool
}

func (w *warden) start() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, wardenArg) //nolint:gosec // ourselves
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if w.input, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	gone := make(chan struct{})
	w.gone = gone
	go func() {
		_ = cmd.Wait() //nolint:errcheck // it has nothing to say
		close(gone)
	}()
	for n := range w.sessions {
		if _, err := fmt.Fprintf(w.input, "+%d\n", n); err != nil {
			return err
		}
	}
	return nil
}

// watch has a session ended with us.
func (w *warden) watch(session int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sessions == nil {
		w.sessions = map[int]bool{}
	}
	w.sessions[session] = true
	ended := w.gone == nil
	if !ended {
		select {
		case <-w.gone:
			ended = true
		default:
		}
	}
	if ended {
		return w.start()
	}
	_, err := fmt.Fprintf(w.input, "+%d\n", session)
	return err
}

// forget is the end of a session.
func (w *warden) forget(session int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, session)
	_, _ = fmt.Fprintf(w.input, "-%d\n", session) //nolint:errcheck // if it has ended, the next one is not told of it
}

// stop ends what there still is of sessions, and the warden.
func (w *warden) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone != nil {
		_ = w.input.Close() //nolint:errcheck // it may have ended already
		<-w.gone
	}
}

// Child is the process that args (without the program's name) ask for, if they ask for one of
// this package. A main function calls it before anything else.
func Child(args []string, stdin io.Reader) (code int, handled bool) {
	if len(args) == 1 && args[0] == wardenArg {
		// Ctrl-C in a terminal is for whom we watch, and then the end of the input is for us.
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		watch(stdin)
		return 0, true
	}
	return childSubmit(args)
}

func watch(stdin io.Reader) {
	sessions := map[int]bool{}
	in := bufio.NewScanner(stdin)
	for in.Scan() {
		n, err := strconv.Atoi(strings.TrimLeft(in.Text(), "+-"))
		if err != nil || n <= 1 {
			continue
		}
		if strings.HasPrefix(in.Text(), "+") {
			sessions[n] = true
		} else {
			delete(sessions, n)
		}
	}
	for n := range sessions {
		killSession(n)
	}
}

// members are the processes of a session that live. Where there is no /proc it is the leader's
// group, which programs such as timeout leave.
func members(session int) (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return []int{-session}
	}
	want := strconv.Itoa(session)
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name in parentheses may hold anything.
		_, rest, ok := cutLast(string(text), ") ")
		f := strings.Fields(rest) // state, parent, group, session
		if ok && len(f) > 3 && f[3] == want && f[0] != "Z" && f[0] != "X" {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func signalSession(session int, sig syscall.Signal) {
	for _, pid := range members(session) {
		_ = syscall.Kill(pid, sig) //nolint:errcheck // it may have ended meanwhile
	}
}

// killSession ends a session for certain: a process that is being made while the others are
// looked for is found in the next round.
func killSession(session int) {
	end := time.Now().Add(10 * time.Second)
	for time.Now().Before(end) {
		pids := members(session)
		if len(pids) == 0 {
			return
		}
		gone := true
		for _, pid := range pids {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				gone = false
			}
		}
		if gone {
			return
		}
	}
}

// program is what is to run.
type program struct {
	argv           []string
	dir            string
	env            []string
	stdout, stderr *os.File
	begun          func(pid int)
}

// run runs a program in a session of its own and ends all that is left of the session when
// the program has ended. A signal that comes on signals is passed on; the end of ctx kills.
func (w *warden) run(ctx context.Context, p program, signals <-chan syscall.Signal) (exit int, err error) {
	// It begins when it is watched: not if we are gone by then.
	argv := append([]string{"-c", `read -r go && exec "$@" </dev/null`, "sh"}, p.argv...)
	cmd := exec.Command("/bin/sh", argv...) //nolint:gosec // what a step asks for
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, p.stdout, p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return -1, err
	}
	if err := cmd.Start(); err != nil {
		return -1, err
	}
	session := cmd.Process.Pid
	err = w.watch(session)
	if err == nil {
		_, err = io.WriteString(in, "go\n")
	}
	_ = in.Close() //nolint:errcheck // it has what it waits for
	if err == nil && p.begun != nil {
		p.begun(session)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stop := ctx.Done()
	if err != nil {
		killSession(session)
	}
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGKILL {
				killSession(session)
			} else {
				signalSession(session, sig)
			}
			continue
		case <-stop:
			killSession(session)
			stop = nil
			continue
		case waited := <-done:
			killSession(session)
			w.forget(session)
			var status *exec.ExitError
			if errors.As(waited, &status) {
				return exitCode(status.ProcessState), err
			}
			return 0, errors.Join(err, waited)
		}
	}
}

// exitCode is the status as a shell tells it: 128 and the signal.
func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// machineMemoryMB is the memory of this machine.
func machineMemoryMB() int {
	text, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
				if kb, err := strconv.Atoi(f[1]); err == nil {
					return kb / 1024
				}
			}
		}
	}
	return defaultMemoryMB
}
