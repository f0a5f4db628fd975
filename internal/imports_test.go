// Package internal holds the table of who may import whom.
package internal

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tidemill/tidemill/internal/"

// mayImport is the house: package → the packages of ours that it may import. "…/*" stands
// for every folder below. A package that is not in the table fails.
var mayImport = map[string][]string{
	"flow":           {},
	"jsonata":        {},
	"sparksql":       {},
	"awsauth":        {"flow"},
	"sched":          {"flow", "jsonata"},
	"asl":            {"flow", "jsonata", "awsauth"},
	"connect/*":      {"flow", "jsonata", "awsauth", "format"}, // format: how a value is written as JSON
	"format":         {"flow"},
	"dataset":        {"flow", "format"},
	"extract":        {"flow", "format"},
	"move":           {"flow", "format", "dataset", "jsonata"},
	"pipeline":       {"flow", "jsonata", "sparksql", "sched"},
	"plan":           {"flow", "jsonata", "sparksql", "pipeline", "asl", "sched", "sparkjob"},
	"machine":        {"asl", "jsonata"},
	"runner":         {"flow", "asl", "machine", "jsonata"},
	"aws":            {"flow", "jsonata", "awsauth"},
	"emr":            {"flow", "sparkjob", "dataset", "aws", "awsauth"},
	"duckdb":         {"flow", "sparksql", "format", "dataset", "extract"},
	"sparkjob":       {"flow"},
	"spark":          {"flow", "sparkjob", "format", "dataset", "extract"},
	"sqlite":         {"runner", "emr", "flow", "machine"},
	"conform":        {"flow", "format", "dataset", "machine", "runner"},
	"conform/broken": {"flow"},
	"conform/judge":  {},
	"conform/parts":  {},
	"awslocal":       {"flow", "asl", "machine", "runner", "sched", "jsonata", "awsauth", "awslocal/*"},
	"awslocal/*":     {"flow", "awslocal/*", "sparkjob", "spark"},
	"node":           {"flow", "jsonata", "move", "format", "dataset", "awsauth", "connect/*"},
	"cli":            {"*"},
}

// TestImports parses every file itself, so that no cached result hides a forbidden import.
func TestImports(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		if pkg == "." {
			return nil
		}
		allowed, ok := rule(pkg)
		if !ok {
			t.Errorf("%s: package %s is not in the table", file, pkg)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			name, ours := strings.CutPrefix(name, module)
			if !ours {
				continue
			}
			found++
			if !permits(allowed, name) {
				t.Errorf("%s: %s may not import %s", file, pkg, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Fatal("no import of ours was found: the test looks in the wrong place")
	}
}

func rule(pkg string) ([]string, bool) {
	if r, ok := mayImport[pkg]; ok {
		return r, true
	}
	r, ok := mayImport[path.Dir(pkg)+"/*"]
	return r, ok
}

func permits(allowed []string, pkg string) bool {
	return slices.Contains(allowed, "*") || slices.Contains(allowed, pkg) || slices.Contains(allowed, path.Dir(pkg)+"/*")
}

// TestTableForbids makes sure that the table can say no.
func TestTableForbids(t *testing.T) {
	t.Parallel()
	for pkg, other := range map[string]string{"flow": "format", "machine": "flow", "plan": "duckdb", "connect/file": "dataset", "runner": "sqlite"} {
		allowed, ok := rule(pkg)
		if !ok || permits(allowed, other) {
			t.Errorf("%s may import %s", pkg, other)
		}
	}
}
