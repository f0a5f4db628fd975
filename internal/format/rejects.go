package format

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

// RejectLog keeps rejects in a scratch file, in the order they were met.
type RejectLog struct {
	Dir  string // where the scratch file lies
	Rows int64

	first []Reject
	file  *os.File
	buf   *bufio.Writer
	err   error
}

// Add keeps a reject.
func (l *RejectLog) Add(r Reject) error {
	if l.file == nil {
		f, err := os.CreateTemp(l.Dir, "rejects-")
		if err != nil {
			return err
		}
		l.file, l.buf = f, bufio.NewWriter(f)
	}
	if l.Rows++; len(l.first) < 5 {
		l.first = append(l.first, r)
	}
	return json.NewEncoder(l.buf).Encode(r)
}

// Close gives the scratch file up.
func (l *RejectLog) Close() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(l.file.Close(), os.Remove(l.file.Name()))
}

// All yields what was kept; Err tells whether that was all.
func (l *RejectLog) All(yield func(Reject) bool) {
	if l.file == nil {
		return
	}
	if l.err = l.buf.Flush(); l.err != nil {
		return
	}
	if _, l.err = l.file.Seek(0, io.SeekStart); l.err != nil {
		return
	}
	defer func() {
		_, err := l.file.Seek(0, io.SeekEnd) // for what is added yet
		l.err = errors.Join(l.err, err)
	}()
	d := json.NewDecoder(bufio.NewReader(l.file))
	for {
		var r Reject
		if err := d.Decode(&r); err != nil {
			if !errors.Is(err, io.EOF) {
				l.err = err
			}
			return
		}
		if !yield(r) {
			return
		}
	}
}

// Err is what went wrong in All.
func (l *RejectLog) Err() error { return l.err }

// loggedRejects is how many rejects an attempt's log shows.
const loggedRejects = 100

// Tell lists the rejects in an attempt's log.
func (l *RejectLog) Tell(log io.Writer) error {
	n := 0
	for r := range l.All {
		if n++; n > loggedRejects {
			fmt.Fprintf(log, "and %d more are rejected\n", l.Rows-loggedRejects) //nolint:errcheck // the log is best effort
			break
		}
		fmt.Fprintf(log, "rejected %s\n", r) //nolint:errcheck // the log is best effort
	}
	return l.err
}

// Some lists the first rejects, a line each.
func (l *RejectLog) Some() string {
	var b strings.Builder
	for _, r := range l.first {
		b.WriteString("\n  " + r.String())
	}
	if n := l.Rows - int64(len(l.first)); n > 0 {
		fmt.Fprintf(&b, "\n  and %d more", n)
	}
	return b.String()
}

// Bear fails where there are more rejects than the limit lets pass, of so many records read.
func (l *RejectLog) Bear(op string, limit flow.Limit, read int64) error {
	if !limit.Exceeded(l.Rows, read) {
		return nil
	}
	return &flow.Error{Op: op, Kind: flow.Rejected, Err: fmt.Errorf("%d of %d records do not fit%s", l.Rows, read, l.Some()),
		Hint: "Correct the data, declare another type in columns, or set rejects: keep or { max: … }."}
}
