// Package parts starts the real servers that tests and measurements talk to, from what
// scripts/parts installed into the user's cache.
package parts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A search product in the versions that scripts/parts installs.
const (
	OpenSearch    = "opensearch-2.19.6"
	Elasticsearch = "elasticsearch-8.19.21"
)

// startTime is how long a server may take until it is ready, on a busy machine.
const startTime = 3 * time.Minute

// Dir is the folder of an installed part below cache, TIDEMILL_CACHE.
func Dir(cache, part string) (string, error) {
	dir := filepath.Join(cache, part)
	if _, err := os.Stat(filepath.Join(dir, "ready")); err != nil || cache == "" {
		return "", fmt.Errorf("%s is not installed below TIDEMILL_CACHE=%s: run scripts/parts %s", part, cache, strings.Split(part, "-")[0])
	}
	return dir, nil
}

// Spark finds the Spark of the parts: its spark-submit, and the environment that it wants.
func Spark(cache string) (submit string, env []string, err error) {
	dir, err := Dir(cache, "spark-3.5.6")
	if err != nil {
		return "", nil, err
	}
	homes, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages", "pyspark"))
	if err != nil || len(homes) == 0 {
		return "", nil, fmt.Errorf("there is no pyspark in %s", dir)
	}
	return filepath.Join(homes[0], "bin", "spark-submit"), []string{"SPARK_HOME=" + homes[0], "PYSPARK_PYTHON=" + filepath.Join(dir, "bin", "python")}, nil
}

// SearchNode starts a node of OpenSearch or Elasticsearch with its data in a folder and
// returns its URL. It ends with ctx, or by stop.
func SearchNode(ctx context.Context, cache, part, data string, settings ...string) (url string, stop func(), err error) {
	dir, err := Dir(cache, part)
	if err != nil {
		return "", nil, err
	}
	port, err := freePair()
	if err != nil {
		return "", nil, err
	}
	class, jvm := "OsNode", []string{"-Xms512m", "-Xmx2g", "-XX:+UseParallelGC", "-Dlog4j2.configurationFile=log4j2.properties", "-Dlog4j2.disable.jmx=true"}
	if part == Elasticsearch {
		class, jvm = "EsNode", append(jvm, "-Des.modules=modules")
	}
	args := append(jvm, "-cp", "classes:lib/*", class, strconv.Itoa(port), data)
	cmd := exec.CommandContext(ctx, "java", append(args, settings...)...) //nolint:gosec // a test's own server
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	ready := make(chan bool, 1)
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "READY") {
				ready <- true
			}
		}
		_ = cmd.Wait() //nolint:errcheck // it is killed at the end
		close(ready)
	}()
	stop = func() {
		_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-ended
	}
	timer := time.NewTimer(startTime)
	defer timer.Stop()
	select {
	case ok := <-ready:
		if ok {
			return fmt.Sprintf("http://127.0.0.1:%d", port), stop, nil
		}
		return "", nil, fmt.Errorf("%s ended before it was ready", part)
	case <-timer.C:
		stop()
		return "", nil, fmt.Errorf("%s is not ready after %s", part, startTime)
	case <-ctx.Done():
		stop()
		return "", nil, ctx.Err()
	}
}

// freePair finds a free port whose neighbour 100 above, the node's transport port, is free too.
func freePair() (int, error) {
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		m, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+100))
		if err == nil {
			return port, errors.Join(l.Close(), m.Close())
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("no two free ports")
}

// Serve starts a server and waits until something answers at its URL.
func Serve(ctx context.Context, url string, cmd *exec.Cmd) (string, func(), error) {
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second // a program of its own may hold what it says open
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() //nolint:errcheck // it is killed at the end
	}()
	stop := func() {
		_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-ended
	}
	timer := time.NewTimer(startTime)
	defer timer.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", nil, err
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			return url, stop, resp.Body.Close()
		}
		select {
		case <-tick.C:
		case <-ended:
			return "", nil, fmt.Errorf("%s ended before it was ready: %s", cmd.Path, said.String())
		case <-timer.C:
			stop()
			return "", nil, fmt.Errorf("%s is not ready after %s", cmd.Path, startTime)
		}
	}
}
