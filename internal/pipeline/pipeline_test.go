package pipeline_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the wanted faults")

type dbKeys struct {
	User     string      `key:"user" req:"1" doc:"The user."`
	Password flow.Secret `key:"password" doc:"The password."`
	Mode     string      `key:"mode" enum:"fast|safe" doc:"How."`
}

type urlKeys struct {
	URL string `key:"url" req:"1" doc:"The URL."`
}

func connectors() []flow.Connector {
	return []flow.Connector{
		flow.Define[dbKeys]("db", "A database.", flow.UseSource),
		flow.Define[urlKeys]("search", "A search cluster.", flow.UseSink),
		flow.Define[urlKeys]("hook", "A hook.", flow.UseNotify),
		flow.Define[urlKeys]("rest", "An API.", flow.UseSource),
		flow.Define[urlKeys]("aws", "AWS.", flow.UseAWS),
	}
}

func unpack(t testing.TB, a *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range a.Files {
		if f.Name == "faults" {
			continue
		}
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestFaults reads the project of each archive and wants all its faults; -update rewrites them.
func TestFaults(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, faults := pipeline.Read(pipeline.Options{Dir: unpack(t, a), Connectors: connectors()})
			got := ""
			if len(faults) > 0 {
				got = faults.Error() + "\n"
			}
			last := len(a.Files) - 1
			if a.Files[last].Name != "faults" {
				t.Fatal("the archive does not end with the file faults")
			}
			if *update {
				a.Files[last].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[last].Data), got); diff != "" {
				t.Errorf("faults differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSchemaAgrees holds the JSON Schema against the reader: files without faults fit it,
// and a misspelt key does not.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	schema := func(project bool) *jsonschema.Schema {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(pipeline.Schema(project, connectors())))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("s.json", doc); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile("s.json")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	files, err := filepath.Glob("testdata/good_*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if !strings.HasSuffix(f.Name, ".yaml") {
				continue
			}
			s := schema(f.Name == pipeline.ProjectFile)
			if err := s.Validate(value(t, f.Data)); err != nil {
				t.Errorf("%s %s: %v", file, f.Name, err)
			}
			if err := s.Validate(value(t, append(f.Data, "\nstpes: {}\n"...))); err == nil {
				t.Errorf("%s %s: a misspelt key fits", file, f.Name)
			}
		}
	}
}

func value(t *testing.T, text []byte) any {
	t.Helper()
	b, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"formt", "format,from", "format"}, {"steps", "stpes,x", "stpes"}, {"zzz", "format,from", ""}, {"oder", "order,orders", "order"}} {
		if got := pipeline.Nearest(c[0], strings.Split(c[1], ",")); got != c[2] {
			t.Errorf("Nearest(%q) = %q, want %q", c[0], got, c[2])
		}
	}
}

// FuzzPipeline reads any text as a pipeline: it must not panic, and each fault has a place
// inside the file.
func FuzzPipeline(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, x := range a.Files {
			if strings.HasPrefix(x.Name, "pipelines/") {
				f.Add(string(x.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := unpack(t, &txtar.Archive{Files: []txtar.File{{Name: "pipelines/p.yaml", Data: []byte(text)}}})
		_, faults := pipeline.Read(pipeline.Options{Dir: dir, Connectors: connectors()})
		lines := strings.Count(text, "\n") + 1
		for _, x := range faults {
			if x.Pos.File == "pipelines/p.yaml" && x.Pos.Line > lines {
				t.Errorf("a fault at line %d of %d: %s", x.Pos.Line, lines, x.Message)
			}
		}
	})
}
