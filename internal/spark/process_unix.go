//go:build unix

package spark

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// apart gives a program a session and process group of its own: it outlives this process
// and its terminal, and it and all it starts can be ended together.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// signal sends a signal to a process group.
func signal(group int, kill bool) {
	s := syscall.SIGTERM
	if kill {
		s = syscall.SIGKILL
	}
	_ = syscall.Kill(-group, s) //nolint:errcheck // it may have ended
}

// groupAlive tells whether any process of a group is there.
func groupAlive(group int) bool {
	err := syscall.Kill(-group, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// startOf is when a process began, as the system counts; empty if there is no such process.
func startOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return ""
		}
		out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output() // a system without /proc
		if err != nil {
			return ""
		}
		return strings.Join(strings.Fields(string(out)), "_")
	}
	// The name in parentheses may hold anything: count the fields after it.
	_, rest, ok := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}
