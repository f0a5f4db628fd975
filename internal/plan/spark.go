package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
)

// onSpark tells whether the target's data work is done by Spark.
func (c *compiler) onSpark() bool { return c.t.Engine == "spark" || c.t.Engine == "emr" }

// isSparkWork tells whether Spark does a node's work on this target. Connections are read
// and written by tasks of our own on every engine.
func (c *compiler) isSparkWork(n node) bool {
	s := n.step
	switch {
	case s.Spark != nil && !n.load:
		return true
	case !c.onSpark():
		return false
	case n.load:
		return !pipeline.IsConnection(s.Load.To.Raw)
	}
	return s.SQL != nil || s.Extract != nil && (!fetches(s) || twoStates(s))
}

// sparkJob is the job of a node's Spark work, and what of its result the node leaves.
func (c *compiler) sparkJob(n node, sc scope) (job object, output string) {
	if n.step.Spark != nil && !n.load {
		return c.withTarget(c.scriptJob(n.step, sc, n.step.OutputTable)), result
	}
	return c.workJob(c.sparkNode(n, sc, nil)), "$lookup($states.result," + quote(n.name) + ")"
}

func (c *compiler) workJob(work ...any) object { return c.withTarget(object{{"work", work}}) }

// withTarget adds the target's own Spark settings to a job.
func (c *compiler) withTarget(job object) object {
	conf := object{}
	if c.t.Spark != nil {
		for _, e := range c.t.Spark.Conf {
			conf.put(e.Key, literal(e.Value.Value))
		}
	}
	job.putSome("target_conf", conf)
	return job
}

// settledScript writes a script whose dataset has checks or is kept: what it wrote is the
// table written of a second state, which makes the step's dataset of it.
func (c *compiler) settledScript(n node, to string) string {
	s := n.step
	if s.Each != nil {
		c.fault(s.Pos, "put them on a step sql: select * from "+s.Key, "step %q: checks and keep of a script do not go together with each", s.Key)
		return n.name
	}
	first := n.name + ".script"
	job := object{{"engine", c.t.Engine}, {"slot", c.slot(s.Key, "", outer)}, {"sql", object{{"hash", c.keepText("select * from written")}}}}
	c.settle(&job, s, outer)
	inputs, _ := job.get("inputs").(object)
	job.set("inputs", append(object{{"written", wrap(inputOf(first) + ".manifest")}}, inputs...))
	verb, output := "sql", result
	if c.onSpark() {
		verb, output = "spark", "$lookup($states.result,"+quote(n.name)+")"
		job = c.workJob(object{{"name", n.name}, {"dataset", job}})
	}
	settle := object{{"Type", "Task"}, {"Resource", resource(verb)}, {"Arguments", job}}
	script := object{{"Type", "Task"}, {"Resource", resource("spark")}, {"Arguments", c.withTarget(c.scriptJob(s, outer, func(string) string { return first }))}}
	if s.Timeout != nil {
		script.put("TimeoutSeconds", seconds(s.Timeout.Duration))
	}
	if r := c.retriers(s, n); len(r) > 0 {
		script.put("Retry", r)
	}
	c.catchAll(n, &settle, to)
	settle.put("Output", mergeOutput(n.name, output))
	next(&settle, to)
	c.put(n.name, settle)
	c.catchAll(n, &script, to)
	script.put("Output", mergeOutput(first, result))
	next(&script, n.name)
	c.put(first, script)
	return first
}

// sparkNode is a node as a piece of a session's work. made are the steps whose datasets
// earlier pieces of the same session make.
func (c *compiler) sparkNode(n node, sc scope, made []string) object {
	if n.load {
		job := c.loadJob(n, "stage")
		if from := c.pl.LoadFrom(n.step); slices.Contains(made, from) {
			job.set("from", flow.WorkURI(from))
		}
		return object{{"name", n.name}, {"load", job}}
	}
	_, job := c.datasetJob(n, sc)
	if inputs, ok := job.get("inputs").(object); ok {
		for i, in := range inputs {
			if slices.Contains(made, in.key) {
				inputs[i].value = flow.WorkURI(in.key)
			}
		}
	}
	return object{{"name", n.name}, {"dataset", job}}
}

// fusible tells whether a part of the graph may be done in one session: nothing about its
// nodes asks for a state of their own. Branches are done one after the other: on one machine
// they would share the same cores, and a session costs more than a step. A cluster that
// works at several steps at once gains by parting them.
func (c *compiler) fusible(t *tree) bool {
	if !c.onSpark() {
		return false
	}
	if t.isLeaf() {
		return c.chainable(c.nodes[t.node])
	}
	if t.parallel && c.t.Engine == "emr" && (c.t.Cluster.Steps == nil || c.t.Cluster.Steps.Concurrency != 1) {
		return false
	}
	for _, child := range t.children {
		if !c.fusible(child) {
			return false
		}
	}
	return true
}

func (c *compiler) chainable(n node) bool {
	s := n.step
	return c.isSparkWork(n) && (n.load || s.Spark == nil && !twoStates(s)) && s.Each == nil && s.Retry == nil && s.Timeout == nil && s.Wait == nil && s.Pool.Value == "" &&
		(n.load || s.Extract == nil || s.Extract.OnEmpty != "skip") && len(c.conditions(n)) == 0 && !c.guarded
}

// leaves are the nodes of parts of the graph in an order in which they can be done.
func (c *compiler) leaves(trees ...*tree) []node {
	var out []node
	for _, t := range trees {
		if t.isLeaf() {
			out = append(out, c.nodes[t.node])
		} else {
			out = append(out, c.leaves(t.children...)...)
		}
	}
	return out
}

// chain writes one state for the work of several nodes in one session.
func (c *compiler) chain(nodes []node, to string) string {
	for i := len(nodes) - 1; i >= 0; i-- {
		if nodes[i].load && !c.staged() {
			to = c.flip(nodes[i], to)
		}
	}
	var work []any
	var made []string
	for _, n := range nodes {
		work = append(work, c.sparkNode(n, outer, made))
		if !n.load {
			made = append(made, n.step.Key)
		}
	}
	name := chainName(nodes)
	task := object{{"Type", "Task"}, {"Resource", resource("spark")}, {"Arguments", c.workJob(work...)}}
	task.put("Output", wrap("$merge([$states.input,$states.result])"))
	next(&task, to)
	c.put(name, task)
	return name
}

// chainName is the nodes' names joined, as many as a state's name bears.
func chainName(nodes []node) string {
	name := nodes[0].name
	for i, n := range nodes[1:] {
		if len(name)+len(n.name) > 70 {
			return name + "+" + strconv.Itoa(len(nodes)-1-i)
		}
		name += "+" + n.name
	}
	return name
}

// scriptJob is a user's script; table gives the table that an output becomes.
func (c *compiler) scriptJob(s *pipeline.Step, sc scope, table func(output string) string) object {
	k := s.Spark
	var marks []string
	outputs := object{}
	for _, name := range k.Output.Values() {
		outputs.put(name, object{{"slot", c.slot(table(name), "", sc)}})
		marks = append(marks, quote(name)+":"+quote(flow.OutputURI(name)))
	}
	c.outputs = "{" + strings.Join(marks, ",") + "}"
	texts := func(list []pipeline.Template) []any {
		out := make([]any, len(list))
		for i := range list {
			out[i] = c.text(&list[i], sc)
		}
		return out
	}
	o := object{{"script", c.text(&k.Script, sc)}}
	o.putSome("args", texts(k.Args))
	conf := object{}
	for i := range k.Conf {
		conf.put(k.Conf[i].Key, c.text(&k.Conf[i].Value, sc))
	}
	o.putSome("conf", conf)
	o.putSome("py_files", texts(k.PyFiles))
	o.putSome("jars", texts(k.Jars))
	var packages []any
	for _, p := range k.Packages {
		packages = append(packages, p.Value)
	}
	o.putSome("packages", packages)
	secrets := object{}
	for _, e := range k.Secrets {
		secrets.put(e.Key, e.Value.Value)
	}
	o.putSome("secrets", secrets)
	o.putSome("outputs", outputs)
	return o
}
