package cli

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/pipeline"
)

//go:embed all:starter
var starter embed.FS

var projectName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "init [NAME]",
		Short:   "Make a project that runs at once",
		Long:    "Makes a folder with a project: a pipeline over a small CSV file that runs at once.\nWithout a name it is made in this folder.",
		Example: "  tidemill init shop && cd shop && tidemill run sales",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.initProject(dir)
		},
	}
}

func (a *app) initProject(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	name := filepath.Base(abs)
	if !projectName.MatchString(name) {
		return usage("%q is no name for a project: letters, digits, . _ and -", name)
	}
	if _, err := os.Stat(filepath.Join(abs, pipeline.ProjectFile)); err == nil {
		return usage("%s is a project already", abs)
	}
	var made []string
	err = fs.WalkDir(starter, "starter", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(path, "starter/")
		if rel == "gitignore" {
			rel = ".gitignore"
		}
		to := filepath.Join(abs, filepath.FromSlash(rel))
		if _, err := os.Stat(to); err == nil {
			return nil // the user's own file stays
		}
		text, err := starter.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		made = append(made, rel)
		return os.WriteFile(to, []byte(strings.ReplaceAll(string(text), "PROJECT", name)), 0o644)
	})
	if err != nil {
		return fmt.Errorf("make project %s: %w", abs, err)
	}
	if len(made) == 0 {
		return errors.New("nothing to make: every file is there")
	}
	if err := os.MkdirAll(filepath.Join(abs, "schemas"), 0o755); err != nil {
		return err
	}
	if a.json {
		a.printJSON(map[string]any{"project": name, "folder": abs, "files": made})
		return nil
	}
	a.say("project %s is made in %s", name, abs)
	if dir != "." {
		a.say("  cd %s", dir)
	}
	a.say("  tidemill run sales")
	a.say("  tidemill query sales \"select * from by_region\"")
	return nil
}
