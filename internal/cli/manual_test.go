package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestManual runs the console blocks of every manual page, in order, in one fresh project a
// page. A block's lines that begin with $ are commands; what follows is what they print,
// where … stands for anything. A comment <!-- file: NAME --> puts the block after it into a file.
func TestManual(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/manual/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no manual pages: %v", err)
	}
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			playPage(t, strings.Split(string(text), "\n"))
		})
	}
}

var fileComment = regexp.MustCompile(`^<!-- file: (\S+) -->$`)

func playPage(t *testing.T, lines []string) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "pipelines"), 0o755); err != nil {
		t.Fatal(err)
	}
	cwd := dir
	name := ""
	for i := 0; i < len(lines); i++ {
		if m := fileComment.FindStringSubmatch(lines[i]); m != nil {
			name = m[1]
			continue
		}
		if !strings.HasPrefix(lines[i], "```") {
			continue
		}
		console := lines[i] == "```console"
		end := i + 1
		for end < len(lines) && lines[end] != "```" {
			end++
		}
		block := lines[i+1 : end]
		i = end
		switch {
		case name != "":
			write(t, dir, map[string]string{name: strings.Join(block, "\n") + "\n"})
			name = ""
		case console:
			cwd = playBlock(t, cwd, block)
		}
	}
}

func playBlock(t *testing.T, cwd string, block []string) string {
	for i := 0; i < len(block); {
		command, ok := strings.CutPrefix(block[i], "$ ")
		if !ok {
			t.Fatalf("a console block begins with a command, not %q", block[i])
		}
		i++
		var want []string
		for i < len(block) && !strings.HasPrefix(block[i], "$ ") {
			want = append(want, block[i])
			i++
		}
		cwd = playCommand(t, cwd, command, want)
	}
	return cwd
}

func playCommand(t *testing.T, cwd, command string, want []string) string {
	where := filepath.Join(t.TempDir(), "cwd")
	c := exec.CommandContext(t.Context(), "bash", "-c", command+"\nstatus=$?\npwd > "+where+"\nexit $status")
	c.Dir = cwd
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err != nil {
		t.Errorf("$ %s\n%s%v", command, out, err)
	}
	var pattern strings.Builder
	for _, l := range want {
		if l == "…" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(l), "…", ".*") + "\n")
	}
	if len(want) > 0 && !regexp.MustCompile("^"+pattern.String()+"$").MatchString(string(out)) {
		t.Errorf("$ %s\nprinted\n%s\nwant\n%s", command, out, strings.Join(want, "\n"))
	}
	now, err := os.ReadFile(where)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(now))
}
