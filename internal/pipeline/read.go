package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/flow"
)

// Options say what the reader of a project has to know from outside.
type Options struct {
	Dir        string           // the project's folder
	Connectors []flow.Connector // the types of connections there are

	texts map[string]textFile
}

// ProjectFile is the name of a project's file.
const ProjectFile = "tidemill.yaml"

// Read reads a project and all its pipelines. The faults of all files are returned together;
// what could be read is returned too.
func Read(o Options) (*Project, Faults) {
	o.texts = map[string]textFile{}
	p := &Project{Dir: o.Dir}
	var faults Faults
	d, n := o.read(ProjectFile, &faults)
	if n == nil && len(faults) > 0 {
		return p, faults
	}
	if n != nil {
		d.decode(n, reflect.ValueOf(p).Elem())
	}
	if p.Name.Value == "" {
		p.Name = Str{Value: projectName(o.Dir), Pos: Pos{File: ProjectFile, Line: 1, Col: 1}}
	}
	p.inherit(d)
	p.check(d)
	faults = append(faults, d.faults...)
	names, err := fs.Glob(os.DirFS(o.Dir), "pipelines/*.y*ml") // the project's folder may have any name
	if err == nil {
		sort.Strings(names)
	}
	for _, l := range p.loadPipelines(o, names) {
		faults = append(faults, l.faults...)
		if l.pipeline != nil {
			p.Pipelines = append(p.Pipelines, l.pipeline)
		}
	}
	faults = append(faults, p.sameNames()...)
	faults.Sort()
	return p, faults
}

// projectName makes a word of the folder's name.
func projectName(dir string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(filepath.Base(dir)))
	return name
}

// read parses a YAML file of the project; the node is nil where it cannot be.
func (o *Options) read(name string, faults *Faults) (*decoder, *node) {
	d := &decoder{src: newSource(name, nil), options: o}
	b, err := os.ReadFile(filepath.Join(o.Dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) && name == ProjectFile {
		return d, nil
	}
	if err != nil {
		*faults = append(*faults, Fault{Pos: Pos{File: name}, Message: "the file cannot be read: " + rootCause(err)})
		return d, nil
	}
	d.src = newSource(name, b)
	n, f := parseYAML(d.src, b)
	if f != nil {
		*faults = append(*faults, *f)
		return d, nil
	}
	return d, n
}

type loaded struct {
	pipeline *Pipeline
	faults   Faults
}

// loadPipelines reads all pipelines, as many at once as there are processors: a project of a
// thousand is checked while its author waits. The project itself is only read meanwhile.
func (p *Project) loadPipelines(o Options, names []string) []loaded {
	out := make([]loaded, len(names))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		wg.Go(func() {
			mine := o
			mine.texts = map[string]textFile{}
			for i := next.Add(1) - 1; int(i) < len(names); i = next.Add(1) - 1 {
				l := &out[i]
				l.pipeline, l.faults = p.loadPipeline(&mine, "pipelines/"+filepath.Base(names[i]))
			}
		})
	}
	wg.Wait()
	return out
}

func (p *Project) loadPipeline(o *Options, name string) (*Pipeline, Faults) {
	var faults Faults
	d, n := o.read(name, &faults)
	if n == nil {
		return nil, faults
	}
	pl := &Pipeline{File: name}
	d.decode(n, reflect.ValueOf(pl).Elem())
	if pl.Name.Value == "" {
		base := filepath.Base(name)
		pl.Name = Str{Value: strings.TrimSuffix(base, filepath.Ext(base)), Pos: Pos{File: name, Line: 1, Col: 1}}
	}
	pl.check(d, p)
	return pl, append(faults, d.faults...)
}

func (p *Project) sameNames() Faults {
	var faults Faults
	seen := map[string]*Pipeline{}
	for _, pl := range p.Pipelines {
		if first, ok := seen[pl.Name.Value]; ok {
			faults = append(faults, Fault{Pos: pl.Name.Pos, Message: "pipeline " + pl.Name.Value + " is already in " + first.File})
			continue
		}
		seen[pl.Name.Value] = pl
	}
	return faults
}

// Pipeline finds a pipeline by name.
func (p *Project) Pipeline(name string) (*Pipeline, bool) {
	for _, pl := range p.Pipelines {
		if pl.Name.Value == name {
			return pl, true
		}
	}
	return nil, false
}

// PipelineNames are the names of all pipelines.
func (p *Project) PipelineNames() []string {
	names := make([]string, len(p.Pipelines))
	for i, pl := range p.Pipelines {
		names[i] = pl.Name.Value
	}
	return names
}

// TargetNames are the names of all targets, the built-in local among them.
func (p *Project) TargetNames() []string {
	names := p.Targets.Keys()
	if _, ok := p.Targets.Get("local"); !ok {
		names = append(names, "local")
	}
	return names
}

// Target finds a target; local is built in.
func (p *Project) Target(name string) (*Target, bool) {
	t, ok := p.Targets.Get(name)
	if !ok && name == "local" {
		return &Target{Engine: "duckdb", Orchestrator: "here", Limits: "none"}, true
	}
	return t, ok
}

// inherit merges each target with that which its like names, and fills in defaults.
func (p *Project) inherit(d *decoder) {
	state := map[string]int{} // 1 at work, 2 done
	var visit func(name string, from Str)
	visit = func(name string, from Str) {
		t, ok := p.Targets.Get(name)
		switch {
		case !ok || state[name] == 2:
			return
		case state[name] == 1:
			d.fault(from.Pos, "", "target %q is like itself", name)
			return
		}
		state[name] = 1
		if like := t.Like.Value; like != "" {
			if base, ok := p.Target(like); !ok {
				d.fault(t.Like.Pos, didYouMean(like, p.TargetNames()), "unknown target %q", like)
			} else {
				visit(like, t.Like)
				mergeTarget(t, base)
			}
		}
		state[name] = 2
	}
	for _, e := range p.Targets {
		visit(e.Key, Str{})
	}
	for _, e := range p.Targets {
		t := e.Value
		t.Engine = orElse(t.Engine, "duckdb")
		t.Orchestrator = orElse(t.Orchestrator, "here")
		t.Limits = orElse(t.Limits, "none")
	}
}

// mergeTarget gives t the keys of base that it does not have; mappings are merged key by key.
func mergeTarget(t, base *Target) {
	v, b := reflect.ValueOf(t).Elem(), reflect.ValueOf(base).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case v.Type().Field(i).Tag.Get("yaml") == "-" || v.Type().Field(i).Name == "Like":
		case f.IsZero():
			f.Set(b.Field(i))
		case f.Kind() == reflect.Slice:
			merged := reflect.MakeSlice(f.Type(), 0, f.Len())
			merged = reflect.AppendSlice(merged, f)
			for j := range b.Field(i).Len() {
				entry := b.Field(i).Index(j)
				if !hasKey(f, entry.FieldByName("Key").String()) {
					merged = reflect.Append(merged, entry)
				}
			}
			f.Set(merged)
		}
	}
}

func hasKey(m reflect.Value, key string) bool {
	for i := range m.Len() {
		if m.Index(i).FieldByName("Key").String() == key {
			return true
		}
	}
	return false
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func valueOf(p any) reflect.Value { return reflect.ValueOf(p).Elem() }

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func asPathError(err error, target **os.PathError) bool { return errors.As(err, target) }
