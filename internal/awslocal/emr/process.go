package emr

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
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
	sessions map[session]bool
}

// session is a process with all that it starts, whatever groups and sessions that joins: it is
// known by the leader and by a mark in the environment.
type session struct {
	leader int
	mark   string
}

// markName is the variable of the environment that holds the mark.
const markName = "TIDEMILL_WORK="

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
		if _, err := fmt.Fprintf(w.input, "+ %d %s\n", n.leader, n.mark); err != nil {
			return err
		}
	}
	return nil
}

// watch has a session ended with us.
func (w *warden) watch(n session) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sessions == nil {
		w.sessions = map[session]bool{}
	}
	w.sessions[n] = true
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
	_, err := fmt.Fprintf(w.input, "+ %d %s\n", n.leader, n.mark)
	return err
}

// forget is the end of a session.
func (w *warden) forget(n session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, n)
	_, _ = fmt.Fprintf(w.input, "- %d %s\n", n.leader, n.mark) //nolint:errcheck // if it has ended, the next one is not told of it
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
	sessions := map[session]bool{}
	in := bufio.NewScanner(stdin)
	for in.Scan() {
		var sign string
		var n session
		if _, err := fmt.Sscan(in.Text(), &sign, &n.leader, &n.mark); err != nil || n.leader <= 1 {
			continue
		}
		if sign == "+" {
			sessions[n] = true
		} else {
			delete(sessions, n)
		}
	}
	for n := range sessions {
		n.kill()
	}
}

// members are the processes that live. Where there is no /proc it is the leader's group, which
// programs such as timeout leave.
func (n session) members() (pids []int) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(dirs) == 0 {
		return []int{-n.leader}
	}
	leader, mark := strconv.Itoa(n.leader), []byte(markName+n.mark+"\x00")
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name in parentheses may hold anything.
		_, rest, ok := cutLast(string(text), ") ")
		f := strings.Fields(rest) // state, parent, group, session
		if !ok || len(f) < 4 || f[0] == "Z" || f[0] == "X" {
			continue
		}
		if f[3] != leader {
			if env, err := os.ReadFile(filepath.Join(dir, "environ")); err != nil || !bytes.Contains(append(env, 0), mark) {
				continue // it is another's, or not ours to look at
			}
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
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

func (n session) signal(sig syscall.Signal) {
	for _, pid := range n.members() {
		_ = syscall.Kill(pid, sig) //nolint:errcheck // it may have ended meanwhile
	}
}

// kill ends a session for certain: a process that is being made while the others are
// looked for is found in the next round.
func (n session) kill() {
	end := time.Now().Add(10 * time.Second)
	for time.Now().Before(end) {
		pids := n.members()
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
		pause(5 * time.Millisecond)
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
	work := session{mark: rand.Text()}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, append(p.env, markName+work.mark), p.stdout, p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return -1, err
	}
	if err := cmd.Start(); err != nil {
		return -1, err
	}
	work.leader = cmd.Process.Pid
	err = w.watch(work)
	if err == nil {
		_, err = io.WriteString(in, "go\n")
	}
	_ = in.Close() //nolint:errcheck // it has what it waits for
	if err == nil && p.begun != nil {
		p.begun(work.leader)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stop := ctx.Done()
	if err != nil {
		work.kill()
	}
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGKILL {
				work.kill()
			} else {
				work.signal(sig)
			}
			continue
		case <-stop:
			work.kill()
			stop = nil
			continue
		case waited := <-done:
			work.kill()
			w.forget(work)
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
