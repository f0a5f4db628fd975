// Package plan compiles a pipeline for a target into one States Language machine. The same
// pipeline, target and variables give the same text and hash.
//
// Every machine begins with run.begin, which assigns the variable run from the execution's
// input; from there on the input of each state is an object with what the steps before it
// left, by step. Templates are JSONata over run.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
	"github.com/tidemill/tidemill/internal/sparksql"
)

// Options choose what is compiled.
type Options struct {
	Target     string           // a target's name
	Vars       map[string]any   // the variables, resolved: the project's, the target's, the command's
	Connectors []flow.Connector // to know which are built
	Only       []string         // compile these steps alone; the input's steps give what they read
	// Schema gives the columns of an extract as they were decided; nil knows none.
	Schema func(pipeline, step string) ([]sparksql.Field, bool)
	// File gives the hash of a file of the project that is to be staged: 32 characters of its
	// SHA-256. Nil: no file can be staged.
	File func(name string) (hash string, err error)
	// Node gives the hash of the program tidemill-node by the name of its file,
	// tidemill-node-linux-ARCH. Nil: there is none.
	Node func(name string) (hash string, err error)
}

// Machine is a compiled pipeline.
type Machine struct {
	Pipeline string
	Target   string
	Text     []byte            // States Language
	Hash     string            // sixteen characters of the SHA-256 of Text and of Texts' hashes
	Texts    map[string]string // the SQL texts by content hash
	Notes    []string          // what a person should know: orders that were added
	Steps    []string          // the steps in the machine
	Needs    []string          // Only: the steps whose datasets are read and not made
	Cursors  []string          // the steps whose marks the input's cursors give, by step
}

type compiler struct {
	project   *pipeline.Project
	pl        *pipeline.Pipeline
	target    string
	t         *pipeline.Target
	vars      map[string]any
	options   Options
	texts     map[string]string
	faults    pipeline.Faults
	nodes     []node
	guarded   bool // a step has run_if: failures are noted and carried on
	parallels int
	states    object
	outputs   string            // JSONata of the outputs of the script that is being written
	section   *section          // set while the states between those of a cluster are written
	mapped    bool              // set while the states of a Map's items are rewritten for a cluster
	files     map[string]string // of the project that are staged, by name: their hashes
}

// node is what stands in the graph: a step, or the load beside one.
type node struct {
	step *pipeline.Step
	load bool // the load of the step
	name string
}

// Compile makes the machine. The pipeline must be without faults of its own; those that
// only a target has are returned.
func Compile(p *pipeline.Project, pl *pipeline.Pipeline, o Options) (*Machine, pipeline.Faults) {
	t, ok := p.Target(o.Target)
	if !ok {
		return nil, pipeline.Faults{{Pos: pl.Target.Pos, Message: fmt.Sprintf("unknown target %q", o.Target), Hint: pipeline.Nearest(o.Target, p.TargetNames())}}
	}
	c := &compiler{project: p, pl: pl, target: o.Target, t: t, vars: o.Vars, options: o, texts: map[string]string{}, files: map[string]string{}}
	c.refuseUnbuilt()
	c.checkSQL()
	if c.faults.Err() != nil {
		c.faults.Sort()
		return nil, c.faults
	}
	text, notes := c.machine()
	if c.faults.Err() != nil {
		c.faults.Sort()
		return nil, c.faults
	}
	m := &Machine{Pipeline: pl.Name.Value, Target: o.Target, Text: text, Texts: c.texts, Notes: notes, Needs: c.needs(), Cursors: c.marks()}
	for _, n := range c.nodes {
		if !slices.Contains(m.Steps, n.step.Key) {
			m.Steps = append(m.Steps, n.step.Key)
		}
	}
	m.Hash = Hash(text)
	return m, c.faults
}

// Hash is the short hash of a machine's text; the texts it names are in it by their hashes.
func Hash(text []byte) string {
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:])[:16]
}

func (c *compiler) fault(pos pipeline.Pos, hint, format string, args ...any) {
	c.faults = append(c.faults, pipeline.Fault{Pos: pos, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// refuseUnbuilt names what the file format knows and this program does not do yet.
func (c *compiler) refuseUnbuilt() {
	if c.t.Engine == "emr" && c.t.Cluster != nil {
		c.refuseOnCluster()
	}
	if c.t.Orchestrator == "aws" {
		c.fault(c.t.Pos, "", "target %q: orchestrator aws is not built yet", c.target)
	}
	for _, e := range c.pl.Steps {
		c.refuseStep(e.Value)
	}
}

func (c *compiler) refuseStep(s *pipeline.Step) {
	if x := s.Extract; x != nil {
		if x.Dataset.Value != "" {
			c.checkDataset(s, x)
		}
		c.refuseConnection(s.Key, pipeline.Str{Value: x.From.Raw, Pos: x.From.Pos})
	}
	if l := s.Load; l != nil {
		c.refuseConnection(s.Key, pipeline.Str{Value: l.To.Raw, Pos: l.To.Pos})
		if from, ok := c.pl.TableStep(c.pl.LoadFrom(s)); ok && c.pl.Steps[c.pl.Nodes[from]].Value.Each != nil {
			c.fault(l.Pos, "put a step between: sql: select * from "+from, "step %q loads a step that runs over each item", s.Key)
		}
	}
	if x := s.Extract; x != nil && x.Cursor.Value != "" && s.Each != nil {
		c.fault(x.Cursor.Pos, "make a step of each item", "step %q: a cursor is one mark, and each item would have its own", s.Key)
	}
	if s.Pool.Value != "" && c.t.Engine != "duckdb" {
		c.fault(s.Pool.Pos, "", "step %q: pools on engine %s are not built yet", s.Key, c.t.Engine)
	}
}

func (c *compiler) refuseConnection(step string, name pipeline.Str) {
	if !pipeline.IsConnection(name.Value) {
		return
	}
	conn, ok := c.t.Connections.Get(name.Value)
	if !ok {
		conn, _ = c.project.Connections.Get(name.Value)
	}
	for _, k := range c.options.Connectors {
		if k.Name == conn.Type && !k.Built {
			c.fault(name.Pos, "", "step %q: connections of type %s are not built yet", step, conn.Type)
		}
	}
}

// text keeps a SQL text and returns its hash.
func (c *compiler) keepText(text string) string {
	h := sha256.Sum256([]byte(text))
	id := hex.EncodeToString(h[:])[:32]
	c.texts[id] = text
	return id
}

// includes tells whether a step is compiled.
func (c *compiler) includes(step string) bool {
	return len(c.options.Only) == 0 || slices.Contains(c.options.Only, step)
}

// needs are the steps that Only reads without making them.
func (c *compiler) needs() []string {
	var out []string
	for _, e := range c.pl.Edges() {
		if e.Data && c.includes(e.To) && !c.includes(e.From) && !slices.Contains(out, e.From) {
			out = append(out, e.From)
		}
	}
	return out
}

// order lists the nodes and the tree of their order.
func (c *compiler) order() (*tree, []string) {
	index := map[string]int{}
	var edges [][2]int
	for _, e := range c.pl.Steps {
		s := e.Value
		if !c.includes(s.Key) {
			continue
		}
		index[s.Key] = len(c.nodes)
		c.nodes = append(c.nodes, node{step: s, load: s.Load != nil && !s.MakesDataset(), name: s.Key})
	}
	last := map[string]int{}
	for name, i := range index {
		last[name] = i
	}
	for _, e := range c.pl.Steps {
		if s := e.Value; s.Load != nil && s.MakesDataset() && c.includes(s.Key) {
			edges = append(edges, [2]int{index[s.Key], len(c.nodes)})
			last[s.Key] = len(c.nodes)
			c.nodes = append(c.nodes, node{step: s, load: true, name: s.Key + ".load"})
		}
	}
	for _, e := range c.pl.Edges() {
		if !c.includes(e.From) || !c.includes(e.To) {
			continue
		}
		from := last[e.From]
		if e.Data {
			from = index[e.From]
		}
		edges = append(edges, [2]int{from, index[e.To]})
	}
	o := newOrder(len(c.nodes), edges)
	all := make([]int, len(c.nodes))
	for i := range all {
		all[i] = i
	}
	t := o.decompose(all)
	var notes []string
	for _, x := range o.extra {
		notes = append(notes, fmt.Sprintf("the graph is not series-parallel: %s also waits for %s", c.nodes[x.after].name, c.nodes[x.before].name))
	}
	return t, notes
}

// inputOf is the JSONata path to what a node left in the state's input.
func inputOf(name string) string {
	if strings.Contains(name, ".") {
		name = "`" + name + "`"
	}
	return "$states.input." + name
}

func mergeOutput(name, value string) string {
	return wrap("$merge([$states.input,{'" + name + "':" + value + "}])")
}

func joinAnd(conds []string) string { return strings.Join(conds, " and ") }
