package emr

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// logs are the files that EMR keeps of a step or a bootstrap action.
type logs struct {
	w                                  *worker
	dir                                string
	stdout, stderr, controller, syslog *os.File
}

func (w *worker) openLogs(dir string) (*logs, error) {
	l := &logs{w: w, dir: dir}
	for name, f := range l.files() {
		var err error
		if *f, err = os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *logs) files() map[string]**os.File {
	return map[string]**os.File{"stdout": &l.stdout, "stderr": &l.stderr, "controller": &l.controller, "syslog": &l.syslog}
}

func (l *logs) close() {
	for _, f := range l.files() {
		if *f != nil {
			_ = (*f).Close() //nolint:errcheck // a log
		}
	}
}

// say writes a line of the controller, who tells what was done with a step.
func (l *logs) say(format string, a ...any) {
	at := l.w.Service.c.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	fmt.Fprintf(l.controller, at+" "+format+"\n", a...) //nolint:errcheck // a log
}

// uri is where keep puts a log; nothing if logs are not kept.
func (l *logs) uri(folder, name string) string {
	if l.w.logs == "" {
		return ""
	}
	// The folder is told by EMR's own scheme, a file by S3's.
	return strings.Replace(l.w.logs, "s3n://", "s3://", 1) + folder + name + ".gz"
}

// keep closes the logs and puts those that are not empty into the folder of the cluster's
// logs. A fault there is no fault of the step: EMR tells no one either.
func (l *logs) keep(folder string) {
	l.close()
	for name := range l.files() {
		if uri := l.uri(folder, name); uri != "" {
			if err := l.w.put(filepath.Join(l.dir, name), uri); err != nil {
				l.w.Service.c.Log.Warn("log not kept", "log", uri, "err", err)
			}
		}
	}
}

// keepContainers puts the logs of what ran in containers where YARN's are.
func (l *logs) keepContainers() {
	if l.w.logs == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(l.dir, "containers", "*", "*", "std*"))
	if err != nil {
		return
	}
	for _, f := range files {
		name, err := filepath.Rel(l.dir, f)
		if err == nil {
			err = l.w.put(f, l.uri("", filepath.ToSlash(name)))
		}
		if err != nil {
			l.w.Service.c.Log.Warn("log not kept", "log", f, "err", err)
		}
	}
}

// put compresses a file and puts it where a URI says, if there is something in it.
func (w *worker) put(file, uri string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	if i, err := in.Stat(); err != nil || i.Size() == 0 {
		return err
	}
	out, err := os.Create(file + ".gz")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Close()); err != nil {
		return err
	}
	bucket, key, _ := s3Name(uri)
	return w.Service.c.Files.Put(bucket, key, file+".gz")
}

// causeBytes is how much of the end of a log is looked at for the cause.
const causeBytes = 64 << 10

// cause is what a failed program said last that tells why, and in which log: a Python or Java
// exception, which Spark's driver prints to stdout where the script is Python, or the last
// line of stderr, or of stdout.
func (l *logs) cause() (message, log string) {
	message, exception := lastWords(l.stderr)
	log = "stderr"
	if !exception {
		if other, ok := lastWords(l.stdout); ok || message == "" && other != "" {
			message, log = other, "stdout"
		}
	}
	// Spark works on the folder of the buckets, and names a file by its place there.
	return strings.ReplaceAll(message, l.w.Service.c.Files.Root()+"/", "s3://"), log
}

func lastWords(f *os.File) (line string, exception bool) {
	i, err := f.Stat()
	if err != nil {
		return "", false
	}
	from := max(i.Size()-causeBytes, 0)
	text := make([]byte, i.Size()-from)
	if _, err := f.ReadAt(text, from); err != nil && !errors.Is(err, io.EOF) {
		return "", false
	}
	for _, b := range bytes.Split(text, []byte("\n")) {
		s := string(b)
		switch {
		case strings.HasPrefix(s, "Command exiting with ret"), strings.TrimSpace(s) == "", strings.Contains(s, " INFO "), strings.Contains(s, " WARN "):
		case strings.HasPrefix(s, "Exception in thread"), isException(s):
			line, exception = s, true
		case !exception:
			line = s
		}
	}
	return line, exception
}

// isException tells whether a line is the end of a Python traceback, such as
// "ValueError: no such day".
func isException(line string) bool {
	name, _, ok := strings.Cut(line, ": ")
	return ok && !strings.ContainsAny(name, " \t/") && (strings.HasSuffix(name, "Error") || strings.HasSuffix(name, "Exception"))
}
