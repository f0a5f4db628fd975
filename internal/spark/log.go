package spark

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

// follower copies a driver's log to the attempt's, without the progress bars that Spark
// draws into it, which it turns into progress. How far it came is kept beside the log, so
// that who goes on after a crash repeats nothing.
type follower struct {
	p    process
	out  io.Writer
	tell func(flow.Progress)
	at   int64
	held []byte // the line that has not ended
}

func (f *follower) resume() {
	if b, err := os.ReadFile(f.p.file(seenName)); err == nil {
		f.at, _ = strconv.ParseInt(string(b), 10, 64) //nolint:errcheck // from the beginning, then
	}
}

// read takes what is new in the log; last says that no more comes.
func (f *follower) read(last bool) {
	log, err := os.Open(f.p.file(logName))
	if err != nil {
		return // it is not there yet
	}
	defer log.Close() //nolint:errcheck // only read
	buf := make([]byte, 64<<10)
	for {
		n, err := log.ReadAt(buf, f.at+int64(len(f.held)))
		f.held = append(f.held, buf[:n]...)
		f.lines(last && n < len(buf))
		if err != nil || n == 0 {
			return
		}
	}
}

func (f *follower) lines(last bool) {
	before := f.at
	for {
		i := bytes.IndexByte(f.held, '\n')
		if i < 0 {
			if !last || len(f.held) == 0 {
				break
			}
			i = len(f.held) - 1
		}
		f.line(f.held[:i+1])
		f.at += int64(i + 1)
		f.held = f.held[i+1:]
	}
	if i := bytes.LastIndexByte(f.held, '\r'); i >= 0 { // a bar that is drawn over and over
		f.bars(f.held)
	}
	if f.at != before {
		os.WriteFile(f.p.file(seenName), []byte(strconv.FormatInt(f.at, 10)), 0o600) //nolint:errcheck // then a line is repeated
	}
}

var bar = regexp.MustCompile(`\[Stage (\d+):[=> ]*\((\d+) \+ (\d+)\) / (\d+)\]`)

func (f *follower) line(line []byte) {
	f.bars(line)
	if i := bytes.LastIndexByte(bytes.TrimRight(line, "\r\n"), '\r'); i >= 0 {
		line = line[i+1:]
	}
	line = bar.ReplaceAll(line, nil)
	if len(bytes.TrimSpace(line)) == 0 && bar.Match(f.held) {
		return
	}
	f.out.Write(line) //nolint:errcheck // the log is best effort
}

// bars tells of the last bar in a text: the stages that run and their tasks.
func (f *follower) bars(text []byte) {
	drawn := bytes.Split(text, []byte{'\r'})
	for len(drawn) > 1 && !bar.Match(drawn[len(drawn)-1]) {
		drawn = drawn[:len(drawn)-1]
	}
	text = drawn[len(drawn)-1]
	done, all := 0, 0
	var stages []string
	for _, m := range bar.FindAllSubmatch(text, -1) {
		n, _ := strconv.Atoi(string(m[2])) //nolint:errcheck // digits
		k, _ := strconv.Atoi(string(m[4])) //nolint:errcheck // digits
		done, all = done+n, all+k
		stages = append(stages, string(m[1]))
	}
	if all > 0 {
		f.tell(flow.Progress{Doing: fmt.Sprintf("stage %s, %d of %d tasks", strings.Join(stages, ", "), done, all), Fraction: float64(done) / float64(all)})
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// exited is the error of a driver that ended with a status that is not 0, with what its log
// says about why.
func exited(status int, log, script string) error {
	e := &flow.Error{Op: "run " + script}
	why := traceback(log)
	switch status {
	case 2:
		e.Kind, e.Hint = flow.NotFound, "The script is not there, or spark-submit does not know an option: see the log."
		if why == "" {
			why = lastLines(log, 3)
		}
	case 101:
		e.Kind, e.Hint = flow.Invalid, "A class or jar is missing: add it to jars or packages."
	case 127:
		e.Kind, e.Hint = flow.NotFound, "Spark's own programs did not find Python or Java: see tidemill doctor."
	case 137:
		e.Hint = "Something killed it, mostly because memory ran out: lower spark.driver.memory or give the machine more."
	case 143:
		e.Kind, e.Hint = flow.Canceled, "Something asked it to end."
	}
	if why == "" {
		why = lastLines(log, 5)
	}
	if strings.Contains(why, "OutOfMemoryError") {
		e.Hint = "Give the driver more memory: conf: { spark.driver.memory: 4g }."
	}
	e.Err = errors.New(strings.TrimSpace(fmt.Sprintf("exit status %d\n%s", status, why)))
	return e
}

// traceback is the last Python traceback of a log, shortened: where in the script it was, and
// what was raised.
func traceback(log string) string {
	const head = "Traceback (most recent call last):"
	i := strings.LastIndex(log, head)
	if i < 0 {
		return ""
	}
	var where []string
	raised := ""
	lines := strings.Split(log[i+len(head):], "\n")
	for k := 0; k < len(lines); k++ {
		line := lines[k]
		switch {
		case strings.HasPrefix(line, "  File ") && !strings.Contains(line, "/pyspark/") && !strings.Contains(line, "/py4j"):
			where = append(where, strings.TrimSpace(line))
			if k+1 < len(lines) && strings.HasPrefix(lines[k+1], "    ") {
				where = append(where, "  "+strings.TrimSpace(lines[k+1]))
			}
		case line != "" && line[0] != ' ' && raised == "":
			raised = line
			for _, more := range lines[k+1 : min(len(lines), k+4)] {
				if strings.TrimSpace(more) == "" || strings.HasPrefix(more, "\tat ") {
					break
				}
				raised += "\n" + more
			}
		}
	}
	return strings.Join(append(where[max(0, len(where)-4):], raised), "\n")
}
