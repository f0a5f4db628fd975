package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/pipeline"
)

// machine writes the whole machine.
func (c *compiler) machine() ([]byte, []string) {
	for _, e := range c.pl.Steps {
		if e.Value.RunIf == "always" || e.Value.RunIf == "failed" {
			c.guarded = true
		}
	}
	t, notes := c.order()
	tail := c.tail()
	start := c.emitAll(t, tail)
	sorted := c.sorted()
	if c.t.Engine == "emr" {
		sorted, start = c.onCluster(sorted, start)
		if len(c.files) > 0 {
			sorted, start = append(object{{"run.stage", c.stage(start)}}, sorted...), "run.stage"
		}
	}
	states := append(object{{"run.begin", c.begin(start)}}, sorted...)
	m := object{
		{"Comment", fmt.Sprintf("%s on %s", c.pl.Name.Value, c.target)},
		{"QueryLanguage", "JSONata"},
		{"StartAt", "run.begin"},
		{"States", states},
	}
	text, err := m.text()
	if err != nil {
		panic(err) // values of our own making
	}
	return text, notes
}

// sorted are the states in the order in which they run: emit writes the last first.
func (c *compiler) sorted() object {
	out := slices.Clone(c.states)
	slices.Reverse(out)
	return out
}

func (c *compiler) put(name string, state object) { c.states.put(name, state) }

// sub collects the states of a branch.
func (c *compiler) sub(emit func() string) object {
	saved := c.states
	c.states = nil
	start := emit()
	branch := object{{"StartAt", start}, {"States", c.sorted()}}
	c.states = saved
	return branch
}

// next ends a state.
func next(o *object, to string) {
	if to == "" {
		o.put("End", true)
	} else {
		o.put("Next", to)
	}
}

var inputNames = []string{"run_id", "ds", "ds_nodash", "ts", "logical_time", "data_interval_start", "data_interval_end", "scheduled_at", "params"}

// begin assigns the run's variables from the execution's input.
func (c *compiler) begin(to string) object {
	run := object{{"pipeline", c.pl.Name.Value}, {"target", c.target}}
	for _, n := range inputNames {
		run.put(n, wrap("$states.input."+n))
	}
	marks := c.marks()
	if len(marks) > 0 {
		run.put("cursors", wrap("$states.input.cursors"))
	}
	if c.t.Cluster != nil && c.t.Cluster.Scope == "backfill" || len(marks) > 0 {
		run.put("backfill", wrap("$states.input.backfill ? $states.input.backfill : ''"))
	}
	run.put("slot", wrap("$states.input.slot"))
	run.put("params_hash", wrap("$states.input.params_hash"))
	vars := object{}
	for _, k := range sortedKeys(c.vars) {
		vars.put(k, literal(c.vars[k]))
	}
	run.put("var", vars)
	o := object{{"Type", "Pass"}, {"Assign", object{{"run", run}}}}
	if len(c.options.Only) > 0 {
		o.put("Output", wrap("$states.input.steps"))
	} else {
		o.put("Output", object{})
	}
	next(&o, to)
	return o
}

// literal keeps a text that looks like an expression from being one.
func literal(v any) any {
	if s, ok := v.(string); ok && strings.HasPrefix(s, "{%") {
		return wrap(quote(s))
	}
	return v
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// emit writes a tree's states, which lead on to the state next, and returns the first.
func (c *compiler) emit(t *tree, to string) string {
	switch {
	case t.isLeaf():
		return c.emitNode(c.nodes[t.node], to)
	case c.fusible(t):
		return c.chain(c.leaves(t), to)
	case !t.parallel:
		return c.emitSeries(t.children, to)
	}
	c.parallels++
	name := fmt.Sprintf("run.parallel_%d", c.parallels)
	var branches []any
	for _, child := range t.children {
		branches = append(branches, c.sub(func() string { return c.emit(child, "") }))
	}
	o := object{{"Type", "Parallel"}, {"Branches", branches}, {"Output", wrap("$merge($states.result)")}}
	next(&o, to)
	c.put(name, o)
	return name
}

// emitSeries writes what comes one after the other, the last first. Neighbours that lose
// nothing by it share a Spark session.
func (c *compiler) emitSeries(children []*tree, to string) string {
	for i := len(children) - 1; i >= 0; {
		from := i
		for from >= 0 && c.fusible(children[from]) {
			from--
		}
		if i-from > 1 {
			nodes := c.leaves(children[from+1 : i+1]...)
			to, i = c.part(to, func(to string) string { return c.chain(nodes, to) }), from
			continue
		}
		child := children[i]
		to = c.part(to, func(to string) string { return c.emit(child, to) })
		i--
	}
	return to
}

// part writes a part of a series; between the states of a cluster its failures are caught.
func (c *compiler) part(to string, emit func(to string) string) string {
	if c.section == nil {
		return emit(to)
	}
	return c.caught(to, emit)
}

// loads are the nodes that write outside.
func (c *compiler) loads() []node {
	var out []node
	for _, n := range c.nodes {
		if n.load {
			out = append(out, n)
		}
	}
	return out
}

// staged tells whether the loads are staged first and flip together.
func (c *compiler) staged() bool { return c.pl.Publish == "together" && len(c.loads()) > 0 }

// tail writes what comes last, if there is anything, and returns its state.
func (c *compiler) tail() string {
	if c.makesDatasets() {
		return c.publish()
	}
	return ""
}

// flips writes what comes between the steps and the publish: the flips of staged loads, and
// before them the verdict over a run in which a step failed.
func (c *compiler) flips(to string) string {
	if c.staged() {
		loads := c.loads()
		for i := len(loads) - 1; i >= 0; i-- {
			to = c.part(to, func(to string) string { return c.flip(loads[i], to) })
		}
	}
	if c.guarded {
		to = c.verdict(to)
	}
	return to
}

func (c *compiler) makesDatasets() bool {
	for _, n := range c.nodes {
		if !n.load && n.step.MakesTables() {
			return true
		}
	}
	return false
}

// verdict fails a run in which a step failed and the others were carried on with.
func (c *compiler) verdict(to string) string {
	if to == "" {
		to = "run.done"
		c.put(to, object{{"Type", "Succeed"}})
	}
	first := "$states.input.*[failed=true][0]"
	c.put("run.step_failed", object{{"Type", "Fail"}, {"Error", wrap(first + ".error")}, {"Cause", wrap(first + ".cause")}})
	c.put("run.verdict", object{{"Type", "Choice"},
		{"Choices", []any{object{{"Condition", wrap("$exists($states.input.*[failed=true])")}, {"Next", "run.step_failed"}}}}, {"Default", to}})
	return "run.verdict"
}

// maySkip tells whether a step's dataset may be missing though the run goes on.
func (c *compiler) maySkip(name string, seen map[string]bool) bool {
	if seen[name] || !c.includes(name) {
		return false
	}
	seen[name] = true
	s := c.pl.Steps[c.pl.Nodes[name]].Value
	if s.When != nil || c.guarded || s.Extract != nil && s.Extract.OnEmpty == "skip" {
		return true
	}
	for _, e := range c.pl.Edges() {
		if e.To == name && e.Data && c.maySkip(e.From, seen) {
			return true
		}
	}
	return false
}

// conditions are what must hold for a node to run.
func (c *compiler) conditions(n node) []string {
	var conds []string
	s := n.step
	skipped := func(step string) {
		if c.maySkip(step, map[string]bool{}) {
			conds = append(conds, "$not("+inputOf(step)+".skipped=true)")
		}
	}
	own := n.load && n.name != s.Key
	if own {
		skipped(s.Key)
	} else {
		if s.When != nil {
			conds = append(conds, "$boolean("+c.jsonata(&s.When.Template, outer)+")")
		}
		var seen []string
		for _, e := range c.pl.Edges() {
			if e.To == s.Key && e.Data && !slices.Contains(seen, e.From) {
				seen = append(seen, e.From)
				skipped(e.From)
			}
		}
	}
	if c.guarded {
		conds = append(conds, c.guard(n, own)...)
	}
	return conds
}

// guard is the condition of run_if in a pipeline where failures are carried on with.
func (c *compiler) guard(n node, own bool) []string {
	broken := c.brokenBefore(n, own)
	switch {
	case broken == "" || n.step.RunIf == "always" && !own:
		return nil
	case n.step.RunIf == "failed" && !own:
		return []string{broken}
	}
	return []string{"$not(" + broken + ")"}
}

// brokenBefore tells, in JSONata, whether a step before the node failed or was held back by
// a failure; empty if there is none before it.
func (c *compiler) brokenBefore(n node, own bool) string {
	var before []string
	if own {
		before = []string{n.step.Key}
	} else {
		for _, e := range c.pl.Edges() {
			if e.To == n.step.Key && c.includes(e.From) && !slices.Contains(before, e.From) {
				before = append(before, e.From)
			}
		}
	}
	for i, b := range before {
		before[i] = inputOf(b) + ".(failed or blocked)"
	}
	if len(before) == 0 {
		return ""
	}
	return "(" + strings.Join(before, " or ") + ")"
}

// emitNode writes the states of one node and returns the first.
func (c *compiler) emitNode(n node, to string) string {
	conds := c.conditions(n)
	first := c.work(n, to)
	if len(conds) == 0 {
		return first
	}
	skip, choice := n.name+".skip", n.name+".when"
	value := "{'skipped':true}"
	if broken := c.brokenBefore(n, false); c.guarded && broken != "" && n.step.RunIf != "failed" {
		value = "{'skipped':true,'blocked':" + broken + "}"
	}
	o := object{{"Type", "Pass"}, {"Output", mergeOutput(n.name, value)}}
	next(&o, to)
	c.put(skip, o)
	c.put(choice, object{{"Type", "Choice"}, {"Choices", []any{object{{"Condition", wrap(joinAnd(conds))}, {"Next", first}}}}, {"Default", skip}})
	return choice
}

func (c *compiler) retriers(s *pipeline.Step, n node) []any {
	var out []any
	if w := s.Wait; w != nil && (!n.load || n.name == s.Key) {
		every := w.Every.Duration
		if every <= 0 {
			every = defaultEvery
		}
		out = append(out, object{{"ErrorEquals", []any{"Tidemill.NotFound"}}, {"IntervalSeconds", seconds(every)},
			{"MaxAttempts", int((w.For.Duration + every - 1) / every)}, {"BackoffRate", 1}})
	}
	if r := s.Retry; r != nil {
		out = append(out, retrier(r))
	}
	return out
}
