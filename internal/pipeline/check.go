package pipeline

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/jsonata"
	"github.com/tidemill/tidemill/internal/sched"
)

var reservedSteps = []string{"run", "cluster", "source", "previous"}

// check looks at the project's file: connections, secrets, targets.
func (p *Project) check(d *decoder) {
	for _, e := range p.Connections {
		d.connection(e)
	}
	for _, e := range p.Targets {
		t := e.Value
		for _, c := range t.Connections {
			d.connection(c)
		}
		if w := t.AWS; w.Value != "" {
			d.connectionFor(w, flow.UseAWS, p, "aws")
		}
		if t.Engine == "emr" && t.Cluster == nil {
			d.fault(t.Pos, "see \"Run on EMR\"", "target %q has engine emr and no cluster", e.Key)
		}
		if t.Cluster != nil && t.Cluster.Scope == "named" && t.Cluster.Name == "" {
			d.fault(t.Cluster.Pos, "", "a cluster of scope named wants a name")
		}
	}
	for _, e := range p.Pools {
		if e.Value < 1 {
			d.fault(e.Pos, "", "pool %q wants a number of at least 1", e.Key)
		}
	}
	d.notify(p.Notify, p)
	for _, t := range d.templates {
		d.templateNames(t, nil, nil, p)
	}
	d.templates = nil
}

func (d *decoder) notify(n *Notify, p *Project) {
	if n == nil {
		return
	}
	for _, list := range []Strs{n.OnFailure, n.OnRetry, n.OnSuccess, n.OnLate} {
		for _, c := range list {
			d.connectionFor(c, flow.UseNotify, p, "notification")
		}
	}
}

// connectionFor checks that a name is a connection that can be used so.
func (d *decoder) connectionFor(name Str, use flow.Use, p *Project, what string) {
	c, ok := p.Connections.Get(name.Value)
	if !ok {
		d.fault(name.Pos, didYouMean(name.Value, p.Connections.Keys()), "unknown connection %q", name.Value)
		return
	}
	if t, ok := d.connector(c.Type); ok && !t.Can(use) {
		d.fault(name.Pos, "", "connection %q is of type %s, which is no %s", name.Value, c.Type, what)
	}
}

func (d *decoder) connector(name string) (flow.Connector, bool) {
	for _, c := range d.options.Connectors {
		if c.Name == name {
			return c, true
		}
	}
	return flow.Connector{}, false
}

func (d *decoder) connection(e Entry[Connection]) {
	if !bareWord.MatchString(e.Key) {
		d.fault(e.Pos, "letters, digits, _ and - are wanted", "%q is no name for a connection", e.Key)
	}
	if e.Value.Type == "" {
		return
	}
	c, ok := d.connector(e.Value.Type)
	if !ok {
		var all []string
		for _, c := range d.options.Connectors {
			all = append(all, c.Name)
		}
		d.fault(e.Value.Pos, didYouMean(e.Value.Type, all), "unknown type of connection %q", e.Value.Type)
		return
	}
	d.connectionKeys(e.Value.Pos, e.Value.Keys, c.Keys, c.Name)
}

func (d *decoder) connectionKeys(pos Pos, given Map[Any], keys []flow.Key, what string) {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
		if _, ok := given.Get(k.Name); k.Required && !ok {
			d.fault(pos, k.Doc, "key %q is missing", k.Name)
		}
	}
	for _, g := range given {
		i := slices.Index(names, g.Key)
		if i < 0 {
			d.fault(g.Pos, didYouMean(g.Key, names), "unknown key %q of type %s", g.Key, what)
			continue
		}
		d.connectionValue(g, keys[i], what)
	}
}

func (d *decoder) connectionValue(g Entry[Any], k flow.Key, what string) {
	if m, ok := g.Value.Value.(Map[Any]); ok {
		if len(k.Keys) > 0 {
			d.connectionKeys(g.Value.Pos, m, k.Keys, what+"."+k.Name)
		}
		return
	}
	t, isText := g.Value.Value.(*Template)
	if !isText {
		if k.Type == "text" {
			// A number is a text here: ports, account ids.
			return
		}
		return
	}
	if len(k.Enum) > 0 && !slices.Contains(k.Enum, t.Raw) {
		d.fault(t.Pos, "one of "+strings.Join(k.Enum, ", "), "%q is no %s", t.Raw, k.Name)
	} else if len(k.Keys) > 0 && len(k.Enum) == 0 {
		d.fault(t.Pos, k.Doc, "%s is a mapping", k.Name)
	}
	refs, _ := flow.SecretRefs(t.Raw)
	if k.Secret && len(refs) == 0 && t.Raw != "" {
		d.fault(t.Pos, "write ${env:NAME}, ${file:PATH}, ${secretsmanager:ID} or ${ssm:NAME} and keep the value out of the file", "%s is a secret and stands here as a value", k.Name)
		// The value must not be shown.
		d.faults[len(d.faults)-1].Excerpt = ""
	}
	if u, err := url.Parse(t.Raw); err == nil && u.User != nil && len(refs) == 0 {
		if _, has := u.User.Password(); has {
			d.fault(t.Pos, "write ${env:NAME} in its place", "the %s holds a password", k.Name)
			d.faults[len(d.faults)-1].Excerpt = ""
		}
	}
}

// check looks at a pipeline: its own values, each step, the graph.
func (pl *Pipeline) check(d *decoder, p *Project) {
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,47}$`).MatchString(pl.Name.Value) {
		d.fault(pl.Name.Pos, "a letter, then letters, digits, _ and -, at most 48", "%q is no name for a pipeline", pl.Name.Value)
	}
	if pl.Target.Value != "" {
		if _, ok := p.Target(pl.Target.Value); !ok {
			d.fault(pl.Target.Pos, didYouMean(pl.Target.Value, p.TargetNames()), "unknown target %q", pl.Target.Value)
		}
	}
	pl.checkSchedule(d)
	pl.checkParams(d)
	d.notify(pl.Notify, p)
	pl.Nodes = map[string]int{}
	for i, e := range pl.Steps {
		if e.Value == nil {
			pl.Steps[i].Value = &Step{Pos: e.Pos}
		}
		pl.Steps[i].Value.Key = e.Key
		pl.Nodes[e.Key] = i
		switch {
		case slices.Contains(reservedSteps, e.Key):
			d.fault(e.Pos, "", "%q is reserved and cannot name a step", e.Key)
		case !stepName.MatchString(e.Key):
			d.fault(e.Pos, "a small letter, then small letters, digits and _, at most 40", "%q is no name for a step", e.Key)
		}
	}
	if len(pl.Steps) == 0 && pl.Pos.Line > 0 && len(d.faults) == 0 {
		d.fault(pl.Pos, "", "the pipeline has no steps")
	}
	pl.assignTemplates(d)
	for _, e := range pl.Steps {
		pl.checkStep(d, p, e.Value)
	}
	stepOf := map[*Template]*Step{}
	for _, e := range pl.Steps {
		for _, t := range e.Value.templates {
			stepOf[t] = e.Value
		}
	}
	for _, t := range d.templates {
		d.templateNames(t, pl, stepOf[t], p)
	}
	pl.checkGraph(d)
}

// assignTemplates gives each step the templates that stand in it and in the files it names.
func (pl *Pipeline) assignTemplates(d *decoder) {
	for _, e := range pl.Steps {
		collectTemplates(valueOf(e.Value), &e.Value.templates)
	}
}

func (pl *Pipeline) checkSchedule(d *decoder) {
	s := pl.Schedule
	if s == nil {
		return
	}
	if s.Cron.Value == "" {
		return
	}
	sch, err := sched.New(pl.spec())
	if err != nil {
		pos := s.Cron.Pos
		if strings.HasPrefix(err.Error(), "timezone") {
			pos = s.Timezone.Pos
		}
		if strings.HasPrefix(err.Error(), "end ") {
			pos = s.End.Pos
		}
		d.fault(pos, "", "%s", err)
		return
	}
	for _, t := range sch.Troubles(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		d.warn(s.Cron.Pos, "", "%s", t)
	}
}

func (pl *Pipeline) spec() sched.Spec {
	s := pl.Schedule
	spec := sched.Spec{Cron: s.Cron.Value, Zone: s.Timezone.Value, Start: s.Start.Date, End: s.End.Date}
	if s.Day == "start" {
		spec.Day = sched.DayStart
	}
	return spec
}

// Sched is the pipeline's schedule; nil where it has none. The pipeline must be without faults.
func (pl *Pipeline) Sched() (*sched.Schedule, error) {
	if pl.Schedule == nil {
		return nil, nil
	}
	return sched.New(pl.spec())
}

func (pl *Pipeline) checkParams(d *decoder) {
	for _, e := range pl.Params {
		if !bareWord.MatchString(e.Key) {
			d.fault(e.Pos, "", "%q is no name for a param", e.Key)
		}
		a := e.Value.Default
		for _, t := range a.templates() {
			if t.Mentions(Times...) || t.Mentions("steps", "params", "run_id") {
				d.fault(t.Pos, "a param's default may mention {{ var.NAME }} only", "the default of param %q differs from run to run", e.Key)
			}
		}
		if c, ok := a.Constant(); ok {
			if err := e.Value.Check(c); err != nil {
				d.fault(a.Pos, "", "the default of param %q: %s", e.Key, err)
			}
		}
	}
}

// Check tells whether v can be the param's value.
func (p Param) Check(v any) error {
	ok := true
	switch p.Type {
	case "string":
		_, ok = v.(string)
	case "integer":
		_, ok = v.(int64)
	case "number":
		_, ok = v.(int64)
		if !ok {
			_, ok = v.(float64)
		}
	case "boolean":
		_, ok = v.(bool)
	case "list":
		_, ok = v.([]any)
	case "object":
		_, ok = v.(map[string]any)
	case "date":
		s, isText := v.(string)
		_, err := sched.ParseDate(s)
		ok = isText && err == nil
	}
	if !ok {
		return fmt.Errorf("%v is no %s", v, p.Type)
	}
	if len(p.Enum) > 0 && !slices.Contains(p.Enum, v) {
		words := make([]string, len(p.Enum))
		for i, e := range p.Enum {
			words[i] = fmt.Sprint(e)
		}
		return fmt.Errorf("%v is not one of %s", v, strings.Join(words, ", "))
	}
	return nil
}

func (a Any) templates() []*Template {
	var out []*Template
	collectTemplates(valueOf(&a), &out)
	return out
}

// templateNames checks that a template mentions only what there is.
func (d *decoder) templateNames(t *Template, pl *Pipeline, s *Step, p *Project) {
	known := []string{"var", "target", "pipeline"}
	if pl != nil {
		known = append(known, Times...)
		known = append(known, "run_id", "params", "steps")
		if pl.hasCursor() {
			known = append(known, "cursors")
		}
	}
	if s != nil && s.Each != nil {
		known = append(known, "row")
	}
	known = append(known, t.names...)
	for _, part := range t.Parts {
		if part.Expr == nil {
			continue
		}
		for _, m := range part.Expr.Mentions().Fields {
			d.templateName(m, part, known, pl, p)
		}
	}
}

// hasCursor tells whether a step keeps a mark from run to run.
func (pl *Pipeline) hasCursor() bool {
	for _, e := range pl.Steps {
		if x := e.Value.Extract; x != nil && x.Cursor.Value != "" {
			return true
		}
	}
	return false
}

// placeIn is the place of a byte of a part's expression.
func (p Part) placeIn(offset int) Pos {
	pos := p.Pos
	before := p.Src[:min(offset, len(p.Src))]
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		pos.Line += strings.Count(before, "\n")
		pos.Col = offset - i
		return pos
	}
	pos.Col += offset
	return pos
}

func (d *decoder) templateName(m jsonata.Mention, part Part, known []string, pl *Pipeline, p *Project) {
	pos := part.placeIn(m.Start)
	if !slices.Contains(known, m.Name) {
		d.faultIn(pos, didYouMean(m.Name, known), "unknown name %q in a template", m.Name)
		return
	}
	if m.Second == "" {
		return
	}
	pos = part.placeIn(m.SecondStart)
	switch m.Name {
	case "params":
		if _, ok := pl.Params.Get(m.Second); !ok {
			d.faultIn(pos, didYouMean(m.Second, pl.Params.Keys()), "unknown param %q", m.Second)
		}
	case "var":
		names := p.Vars.Keys()
		for _, t := range p.Targets {
			names = append(names, t.Value.Vars.Keys()...)
		}
		if !slices.Contains(names, m.Second) {
			d.faultIn(pos, didYouMean(m.Second, names), "unknown variable %q", m.Second)
		}
	case "steps", "cursors":
		if _, ok := pl.Nodes[m.Second]; !ok {
			d.faultIn(pos, didYouMean(m.Second, pl.Steps.Keys()), "unknown step %q", m.Second)
		}
	}
}

// Edge is an order between two steps of a pipeline.
type Edge struct {
	From, To string
	Data     bool // To reads From's dataset
	Pos      Pos  // where the file says so
}

// Edges are all orders that the file gives, in the order of the steps.
func (pl *Pipeline) Edges() []Edge {
	var edges []Edge
	for _, e := range pl.Steps {
		edges = append(edges, pl.edgesOf(e.Value)...)
	}
	return edges
}

func (pl *Pipeline) edgesOf(s *Step) []Edge {
	var edges []Edge
	add := func(from string, data bool, pos Pos) {
		if _, ok := pl.Nodes[from]; ok && from != s.Key {
			edges = append(edges, Edge{from, s.Key, data, pos})
		}
	}
	for _, a := range s.After {
		add(a.Value, false, a.Pos)
	}
	for _, t := range s.Tables() {
		if from, ok := pl.TableStep(t.Name); ok {
			add(from, true, t.Pos)
		}
	}
	if s.Load != nil && s.Load.From.Value != "" {
		if from, ok := pl.TableStep(s.Load.From.Value); ok {
			add(from, true, s.Load.From.Pos)
		}
	}
	if s.Load != nil && s.Load.From.Value == "" && !s.MakesDataset() {
		if only, ok := pl.onlyDataset(); ok {
			add(only, true, s.Load.Pos)
		}
	}
	for _, c := range s.Checks {
		if c.Relationship != nil {
			from, _, _ := strings.Cut(c.Relationship.To.Value, ".")
			add(from, true, c.Relationship.To.Pos)
		}
	}
	if s.Extract != nil && s.Extract.ForEach.Value != "" {
		add(s.Extract.ForEach.Value, true, s.Extract.ForEach.Pos)
	}
	if s.Each != nil && s.Each.Step != "" {
		add(s.Each.Step, true, s.Each.Pos)
	}
	for _, t := range s.templates {
		for _, part := range t.Parts {
			if part.Expr == nil {
				continue
			}
			for _, m := range part.Expr.Mentions().Fields {
				if m.Name == "steps" && m.Second != "" {
					add(m.Second, false, part.Pos)
				}
			}
		}
	}
	return edges
}

// Table is a table that a step's SQL names.
type Table struct {
	Name string
	Pos  Pos
}

// Tables are the tables that a step's SQL names, source and previous among them.
func (s *Step) Tables() []Table {
	if s.SQL == nil || s.SQL.Query == nil {
		return nil
	}
	var out []Table
	for _, t := range s.SQL.Query.Tables() {
		pos := s.SQL.at(t.Pos.Offset)
		out = append(out, Table{t.Name, pos})
	}
	return out
}

// MakesDataset tells whether the step leaves a dataset under its own name.
func (s *Step) MakesDataset() bool {
	return s.Extract != nil || s.SQL != nil || s.Spark != nil && len(s.Spark.Output) == 1
}

// MakesTables tells whether the step leaves datasets, under its own name or STEP_NAME.
func (s *Step) MakesTables() bool {
	return s.MakesDataset() || s.Spark != nil && len(s.Spark.Output) > 1
}

// OutputTable is the table of a script's output: the step's own where it is the only one.
func (s *Step) OutputTable(output string) string {
	if len(s.Spark.Output) == 1 {
		return s.Key
	}
	return s.Key + "_" + output
}

// TableStep finds the step that makes the table of a name: the step itself, or STEP_NAME of
// a script with several outputs.
func (pl *Pipeline) TableStep(table string) (string, bool) {
	if i, ok := pl.Nodes[table]; ok {
		return table, pl.Steps[i].Value.MakesDataset()
	}
	for _, e := range pl.Steps {
		if s := e.Value.Spark; s != nil && len(s.Output) > 1 {
			for _, o := range s.Output {
				if table == e.Value.OutputTable(o.Value) {
					return e.Key, true
				}
			}
		}
	}
	return "", false
}

// ManifestPath leads from what a table's step left to the table's manifest: .manifest, or
// .outputs.NAME.manifest of a script with several outputs.
func (pl *Pipeline) ManifestPath(table string) string {
	if _, own := pl.Nodes[table]; own {
		return ".manifest"
	}
	step, _ := pl.TableStep(table)
	return ".outputs." + strings.TrimPrefix(table, step+"_") + ".manifest"
}

func (pl *Pipeline) tableNames() []string {
	var names []string
	for _, e := range pl.Steps {
		if e.Value.MakesDataset() {
			names = append(names, e.Key)
		}
		if s := e.Value.Spark; s != nil && len(s.Output) > 1 {
			for _, o := range s.Output {
				names = append(names, e.Value.OutputTable(o.Value))
			}
		}
	}
	sort.Strings(names)
	return names
}

func (pl *Pipeline) onlyDataset() (string, bool) {
	found := ""
	for _, e := range pl.Steps {
		if e.Value.MakesDataset() {
			if found != "" {
				return "", false
			}
			found = e.Key
		}
	}
	return found, found != ""
}

// LoadFrom is the table whose dataset a step's load writes.
func (pl *Pipeline) LoadFrom(s *Step) string {
	if s.Load.From.Value != "" {
		return s.Load.From.Value
	}
	if s.MakesDataset() {
		return s.Key
	}
	only, _ := pl.onlyDataset()
	return only
}

// checkGraph finds cycles.
func (pl *Pipeline) checkGraph(d *decoder) {
	next := map[string][]Edge{}
	for _, e := range pl.Edges() {
		next[e.To] = append(next[e.To], e)
	}
	state := map[string]int{}
	var path []string
	var visit func(string) bool
	visit = func(name string) bool {
		state[name] = 1
		path = append(path, name)
		for _, e := range next[name] {
			switch state[e.From] {
			case 1:
				cycle := append(slices.Clone(path[slices.Index(path, e.From):]), e.From)
				slices.Reverse(cycle)
				d.fault(e.Pos, "", "the steps wait for each other: %s", strings.Join(cycle, " → "))
				return false
			case 0:
				if !visit(e.From) {
					return false
				}
			}
		}
		path = path[:len(path)-1]
		state[name] = 2
		return true
	}
	for _, e := range pl.Steps {
		if state[e.Key] == 0 {
			path = nil
			if !visit(e.Key) {
				return
			}
		}
	}
}
