package pipeline

import (
	"fmt"
	"sort"
	"strings"
)

// Pos is a place in a file of the project.
type Pos struct {
	File      string // relative to the project's folder
	Line, Col int    // from 1; a Line of 0 is the whole file
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Fault is one thing that is wrong, or for a Warning doubtful, in a user's file.
type Fault struct {
	Pos     Pos
	Message string // lower case, one line
	Hint    string // one sentence with something to do; may be empty
	Excerpt string // the line of the file; may be empty
	Warning bool
}

func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Pos.String())
	b.WriteString(": ")
	if f.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(f.Message)
	if f.Excerpt != "" {
		line, col := expandTabs(f.Excerpt, f.Pos.Col)
		n := fmt.Sprintf("%5d", f.Pos.Line)
		fmt.Fprintf(&b, "\n%s | %s\n      | %s^", n, line, strings.Repeat(" ", max(0, col-1)))
	}
	if f.Hint != "" {
		b.WriteString("\n      = ")
		b.WriteString(f.Hint)
	}
	return b.String()
}

func expandTabs(s string, col int) (string, int) {
	if len(s) > 160 {
		from := max(0, min(col-80, len(s)-160))
		s, col = s[from:min(len(s), from+160)], col-from
	}
	return strings.ReplaceAll(s, "\t", " "), col
}

// Faults are all faults of a project's or a pipeline's files, in the order of the files.
type Faults []Fault

func (f Faults) Error() string {
	parts := make([]string, len(f))
	for i := range f {
		parts[i] = f[i].String()
	}
	return strings.Join(parts, "\n")
}

// Err returns the faults as an error if one of them is no warning.
func (f Faults) Err() error {
	for _, x := range f {
		if !x.Warning {
			return f
		}
	}
	return nil
}

// Sort orders faults by file and place, and drops those that say the same of the same place.
func (f *Faults) Sort() {
	sort.SliceStable(*f, func(i, j int) bool {
		a, b := (*f)[i].Pos, (*f)[j].Pos
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	out := (*f)[:0]
	for i, x := range *f {
		if i == 0 || x.Pos != (*f)[i-1].Pos || x.Message != (*f)[i-1].Message {
			out = append(out, x)
		}
	}
	*f = out
}

// Nearest returns the word of words that is likeliest meant by w, or nothing.
func Nearest(w string, words []string) string {
	best, least := "", max(2, len(w)/3)+1
	for _, x := range words {
		if d := distance(strings.ToLower(w), strings.ToLower(x), least); d < least {
			best, least = x, d
		}
	}
	return best
}

// distance counts the edits (insert, delete, change, swap of neighbours) from a to b, up to most.
func distance(a, b string, most int) int {
	if abs(len(a)-len(b)) >= most {
		return most
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return min(prev[len(b)], most)
}

func abs(n int) int { return max(n, -n) }

// didYouMean is a hint that names the nearest word, or lists the few there are.
func didYouMean(w string, words []string) string {
	if n := Nearest(w, words); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if len(words) == 0 {
		return ""
	}
	sorted := append([]string(nil), words...)
	sort.Strings(sorted)
	if len(sorted) > 12 {
		return ""
	}
	return "known here: " + strings.Join(sorted, ", ")
}
