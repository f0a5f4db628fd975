package plan

import (
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/pipeline"
)

// With on: cluster, what reads or writes a connection is done by tidemill-node as a step of
// the cluster:
//
//	STEP.delegate   here: the job, without secrets, is laid into the store
//	STEP            addStep.sync: timeout T tidemill-node task …
//	STEP.result     what the node left
//
// A load that flips with others flips there too, before the cluster ends.

// fetchesThere tells whether a step's extract from a connection is done on the cluster.
func (c *compiler) fetchesThere(s *pipeline.Step) bool {
	return c.t.Engine == "emr" && fetches(s) && s.Extract.On == "cluster"
}

// indexesThere tells whether a step's load into a connection is done on the cluster.
func (c *compiler) indexesThere(s *pipeline.Step) bool {
	return c.t.Engine == "emr" && s.Load != nil && pipeline.IsConnection(s.Load.To.Raw) && s.Load.On == "cluster"
}

// flipsThere tells whether a staged load flips on the cluster.
func (c *compiler) flipsThere() bool {
	return c.staged() && slices.ContainsFunc(c.loads(), func(n node) bool { return c.indexesThere(n.step) })
}

// nodeStep is a task of tidemill-node on the cluster.
func (c *compiler) nodeStep(name string, o object) object {
	job, _ := o.get("Arguments").(object)
	job = slices.DeleteFunc(slices.Clone(job), func(m member) bool { return m.key == "on" })
	arguments := object{{"verb", o.get("Resource").(string)[len(resource("")):]}, {"arguments", job}}
	was := slices.Clone(o)
	if w := waits(o); len(w) > 0 {
		// The node waits for what is late: from outside nobody can tell that from a fault.
		late, _ := w[0].(object)
		every, _ := late.get("IntervalSeconds").(int)
		tries, _ := late.get("MaxAttempts").(int)
		arguments.put("wait_for", every*tries)
		arguments.put("wait_every", every)
		limit, ok := o.get("TimeoutSeconds").(int)
		if !ok {
			limit = seconds(defaultTimeout)
		}
		was.set("TimeoutSeconds", limit+every*tries)
	}
	prepare := object{{"Type", "Task"}, {"Resource", resource("delegate")}, {"Arguments", arguments}}
	prepare.putSome("Retry", here(o))
	copyCatch(&prepare, o)
	prepare.put("Output", keep(name, "node"))
	prepare.put("Next", name)
	argv := append(slices.Clone(nodeCommand), "task", "--job", wrap("$states.input."+left(name, "node")+".job"), "--step", wrap(c.stepName(name)))
	step := c.addStep(name, was, argv)
	step.put("Output", keep(name, "step"))
	step.put("Next", name+".result")
	read := object{{"Type", "Task"}, {"Resource", resource("collect")}, {"Arguments", object{{"step", wrap("$states.input." + left(name, "step") + ".Step.Name")}}}}
	read.putSome("Retry", here(o))
	copyCatch(&read, o)
	out, ok := o.get("Output").(string)
	if !ok {
		out = wrap(result)
	}
	read.put("Output", out)
	return object{{name + ".delegate", prepare}, {name, step}, {name + ".result", leadsOn(read, o)}}
}

// here are a state's retriers for what is done on this machine: all but the wait for its input.
func here(o object) []any {
	list, _ := o.get("Retry").([]any)
	return slices.DeleteFunc(slices.Clone(list), func(x any) bool {
		r, _ := x.(object)
		return fmt.Sprint(r.get("ErrorEquals")) == "[Tidemill.NotFound]"
	})
}

// refuseThere names what a step with on: cluster cannot have.
func (c *compiler) refuseThere(s *pipeline.Step) {
	if c.fetchesThere(s) {
		c.refuseConnectionThere(s.Key, s.Extract.From.Raw, s.Extract.From.Pos)
	}
	if !c.indexesThere(s) {
		return
	}
	c.refuseConnectionThere(s.Key, s.Load.To.Raw, s.Load.To.Pos)
	if c.pl.Publish != "together" {
		return
	}
	for _, e := range c.pl.Steps {
		if e.Value.RunIf == "always" || e.Value.RunIf == "failed" {
			c.fault(s.Load.Pos, "publish: each, or on: here", "step %q flips on the cluster together with others, and step %q runs if one has failed: the two do not go together", s.Key, e.Key)
			return
		}
	}
}

func (c *compiler) refuseConnectionThere(step, name string, pos pipeline.Pos) {
	conn, ok := c.t.Connections.Get(name)
	if !ok {
		conn, ok = c.project.Connections.Get(name)
	}
	if !ok {
		return // it is a fault of its own
	}
	_, faults := conn.OnCluster(name, c.options.Connectors)
	for _, f := range faults {
		if f.Pos.File == "" {
			f.Pos = pos
		}
		f.Message = fmt.Sprintf("step %q: %s", step, f.Message)
		c.faults = append(c.faults, f)
	}
}
