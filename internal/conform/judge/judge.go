// Package judge counts the outcomes of recorded cases that others made, against a
// file of known differences, and prints the closing line that CI looks for.
package judge

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
)

// Known is a list of cases that are not expected to pass, each with its reason.
// Its file has one case a line: an id, or a pattern as path.Match takes it where "*"
// also matches a slash when it ends the pattern, then white space, then the reason in
// one sentence; an id with brackets and neither * nor ? is an id. Empty lines and lines that begin with # are passed over.
type Known struct {
	ids      map[string]string
	patterns []pattern
}

type pattern struct {
	glob, reason string
	used         bool
}

// ReadKnown reads the known differences of one judge.
func ReadKnown(file string) (*Known, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // a file that was only read
	k := &Known{ids: map[string]string{}}
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, reason, ok := strings.Cut(line, " ")
		reason = strings.TrimSpace(reason)
		if !ok || reason == "" {
			return nil, fmt.Errorf("%s:%d: known difference %s has no reason", file, n, id)
		}
		if strings.ContainsAny(id, "*?") {
			k.patterns = append(k.patterns, pattern{glob: id, reason: reason})
		}
		k.ids[id] = reason // an id may have such characters itself
	}
	return k, s.Err()
}

// Reason returns why the case is known to differ, and whether it is.
func (k *Known) Reason(id string) (string, bool) {
	if r, ok := k.ids[id]; ok {
		return r, true
	}
	for i := range k.patterns {
		p := &k.patterns[i]
		ok, err := path.Match(p.glob, id)
		if err != nil {
			return "invalid pattern " + p.glob, false
		}
		if before, found := strings.CutSuffix(p.glob, "*"); found && !strings.ContainsAny(before, "*?[") {
			ok = strings.HasPrefix(id, before)
		}
		if ok {
			p.used = true
			return p.reason, true
		}
	}
	return "", false
}

// Tally collects the outcomes of one file of cases.
type Tally struct {
	Folder, File          string
	Passed, Failed, Known int

	known *Known
	stale []string
}

// NewTally begins the count for one folder and file; known may be nil.
func NewTally(folder, file string, known *Known) *Tally {
	return &Tally{Folder: folder, File: file, known: known}
}

// Case records one outcome. A nil err is a pass; a case that fails and is known counts
// as known; any other failure is printed to w, shortened. A known case, named by its id,
// that passes is reported by Close, so that the list of known differences shrinks.
func (t *Tally) Case(w io.Writer, id string, err error) {
	reason, isKnown := "", false
	if t.known != nil {
		reason, isKnown = t.known.Reason(id)
	}
	switch {
	case err == nil:
		t.Passed++
		if isKnown && t.known.ids[id] == reason {
			t.stale = append(t.stale, id)
		}
	case isKnown:
		t.Known++
	default:
		t.Failed++
		fmt.Fprintf(w, "FAIL %s: %s\n", id, shorten(err.Error(), 600)) //nolint:errcheck // a report
	}
}

// Close prints the closing line and returns an error when a case failed that is not
// known, or a known one passes (its line has to go), or nothing was played at all.
func (t *Tally) Close(w io.Writer) error {
	fmt.Fprintf(w, "%s %s: %d passed, %d failed, %d known\n", t.Folder, t.File, t.Passed, t.Failed, t.Known) //nolint:errcheck // a report
	switch {
	case t.Failed > 0:
		return fmt.Errorf("%s %s: %d cases fail that are not known differences", t.Folder, t.File, t.Failed)
	case len(t.stale) > 0:
		sort.Strings(t.stale)
		return fmt.Errorf("%s %s: %d known differences pass, take them off the list: %s", t.Folder, t.File, len(t.stale), shorten(strings.Join(t.stale, " "), 600))
	case t.Passed+t.Known == 0:
		return fmt.Errorf("%s %s: no case was played", t.Folder, t.File)
	}
	return nil
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
