package emr

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tidemill/tidemill/internal/flow"
)

// maxLog is how much of each of a step's logs is kept, its end.
const maxLog = 4 << 20

// Cause is what a step's logs say about its failure.
type Cause struct {
	Traceback string // the last lines of Python's, or Java's exception
	Java      bool   // it is Java's
	Exit      string // "exit status 1"
	File      string // where it was read
}

func (c Cause) String() string {
	return strings.Join(strings.FieldsFunc(c.Traceback+"\n"+c.Exit, func(r rune) bool { return r == '\n' }), "\n")
}

// fetchLogs copies a step's logs into w and says what they tell about a failure. EMR writes
// them minutes after the step has ended: with wait they are waited for, for a while.
func (e *EMR) fetchLogs(ctx context.Context, cluster, step string, w io.Writer, wait bool) (Cause, error) {
	dir, err := e.logDir(ctx, cluster, step)
	if err != nil || dir == "" || e.c.Bucket == nil {
		return Cause{}, err
	}
	b, prefix, err := e.c.Bucket(ctx, dir)
	if err != nil {
		return Cause{}, err
	}
	until := e.c.Now().Add(e.pace.Logs)
	for {
		names, err := logFiles(ctx, b, prefix)
		if err != nil {
			return Cause{}, err
		}
		// The controller's log is written last of all, and stderr may be missing.
		whole := false
		for _, n := range names {
			whole = whole || strings.HasPrefix(n[len(prefix):], "controller")
		}
		if whole || !wait || !e.c.Now().Before(until) {
			if len(names) == 0 {
				fmt.Fprintf(w, "%s%s\n", toCome, dir) //nolint:errcheck // a log
			}
			return copyLogs(ctx, b, dir, prefix, names, w)
		}
		if err := flow.Pause(ctx, min(e.pace.Min*3, e.pace.Max)); err != nil {
			return Cause{}, err
		}
	}
}

// toCome stands in an attempt's log before the place of logs that EMR had not written yet.
const toCome = "the step's logs will be at "

// LogsToCome is the place that an attempt's log names of logs that were not there yet; empty
// if it has them.
func LogsToCome(log string) string {
	i := strings.LastIndex(log, toCome)
	if i < 0 {
		return ""
	}
	uri, _, _ := strings.Cut(log[i+len(toCome):], "\n")
	return uri
}

// CopyLogs copies the logs of a step that lie in a folder by now; prefix is the folder's name
// in its bucket.
func CopyLogs(ctx context.Context, b flow.Bucket, uri, prefix string, w io.Writer) error {
	names, err := logFiles(ctx, b, prefix)
	if err != nil {
		return err
	}
	_, err = copyLogs(ctx, b, uri, prefix, names, w)
	return err
}

// logDir is the folder of a step's logs; empty where the cluster keeps none.
func (e *EMR) logDir(ctx context.Context, cluster, step string) (string, error) {
	d, err := e.describe(ctx, cluster)
	if err != nil {
		return "", err
	}
	uri := strings.TrimSuffix(aws.ToString(d.Cluster.LogUri), "/")
	if uri == "" {
		return "", nil
	}
	// EMR tells s3:// back as s3n://.
	uri = "s3://" + strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(uri, "s3n://"), "s3a://"), "s3://")
	return uri + "/" + cluster + "/steps/" + step + "/", nil
}

func logFiles(ctx context.Context, b flow.Bucket, prefix string) ([]string, error) {
	var names []string
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		names = append(names, o.Name)
	}
	return names, nil
}

func copyLogs(ctx context.Context, b flow.Bucket, dir, prefix string, names []string, w io.Writer) (Cause, error) {
	var c Cause
	said := map[string]string{} // by stdout and stderr: the last of it that tells something
	for _, name := range names {
		text, err := readLog(ctx, b, name)
		if err != nil {
			return c, err
		}
		file := name[len(prefix):]
		if len(text) > 0 && !strings.HasPrefix(file, "syslog") {
			fmt.Fprintf(w, "--- %s\n%s\n", file, bytes.TrimRight(text, "\n")) //nolint:errcheck // a log
		}
		switch {
		case strings.HasPrefix(file, "controller"):
			c.Exit = exitStatus(text)
		case strings.HasPrefix(file, "stderr"), strings.HasPrefix(file, "stdout"):
			said[file[:len("stdout")]] = lastLines(string(text))
			// A driver prints what its Python script wrote to either to stdout.
			if trace := Traceback(string(text)); trace != "" && (c.Traceback == "" || strings.HasPrefix(trace, "Traceback")) {
				c.File, c.Traceback, c.Java = dir+file, trace, !strings.HasPrefix(trace, "Traceback")
			} else if c.File == "" {
				c.File = dir + file
			}
		}
	}
	if c.Traceback == "" {
		c.Traceback = said["stderr"]
	}
	if c.Traceback == "" {
		c.Traceback = said["stdout"]
	}
	return c, nil
}

// readLog reads a log, the end of a large one.
func readLog(ctx context.Context, b flow.Bucket, name string) (text []byte, err error) {
	f, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	var t tail
	if _, err := io.Copy(&t, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return t, nil
}

// tail keeps the last of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if len(*t) > 2*maxLog {
		*t = append((*t)[:0], (*t)[len(*t)-maxLog:]...)
	}
	return len(p), nil
}

// The controller says how the process ended: "waitProcessCompletion ended with exit code 1".
var exitCode = regexp.MustCompile(`(?i)exit(?:ed with| ?code| status)[: ]+(?:exit code )?(\d+)`)

func exitStatus(controller []byte) string {
	all := exitCode.FindAllSubmatch(controller, -1)
	if len(all) == 0 {
		return ""
	}
	return "exit status " + string(all[len(all)-1][1])
}

// tracebackLines is how many lines of a traceback stand in an error.
const tracebackLines = 12

// Traceback is the end of the last Python traceback in a log, or the first line of the last
// exception of Java's with its causes.
func Traceback(log string) string {
	lines := strings.Split(strings.TrimRight(log, "\n"), "\n")
	start := -1
	for i, l := range lines {
		if strings.HasPrefix(l, "Traceback (most recent call last):") {
			start = i
		}
	}
	if start < 0 {
		return javaCause(lines)
	}
	end := start + 1
	for end < len(lines) && (strings.HasPrefix(lines[end], " ") || lines[end] == "") {
		end++
	}
	// The exception itself, which may go on over lines that the log's own do not look like.
	for end < len(lines) && !logLine.MatchString(lines[end]) && end-start < 200 {
		end++
	}
	out := lines[start:end]
	if len(out) > tracebackLines {
		out = append([]string{out[0], "  …"}, out[len(out)-tracebackLines+2:]...)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

// lastLines are the last lines of a program's stderr that are neither its logger's nor EMR's.
func lastLines(log string) string {
	var out []string
	for _, l := range strings.Split(log, "\n") {
		if strings.TrimSpace(l) != "" && !logLine.MatchString(l) && !strings.HasPrefix(l, "Command exiting with ret") {
			out = append(out, l)
		}
	}
	return strings.Join(out[max(0, len(out)-5):], "\n")
}

// logLine is how log4j begins a line.
var logLine = regexp.MustCompile(`^\d{2,4}[-/]\d{2}[-/]\d{2}[ T]|^\s+at [\w.$]+\(`)

var exception = regexp.MustCompile(`^(?:Caused by: |Exception in thread "[^"]*" |.* ERROR .*?)?((?:[\w$]+\.)+[\w$]*(?:Exception|Error)\b.*)$`)

func javaCause(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "\tat ") || strings.HasPrefix(lines[i], "    at ") {
			continue
		}
		if m := exception.FindStringSubmatch(lines[i]); m != nil {
			return m[1]
		}
	}
	return ""
}
