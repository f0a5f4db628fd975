package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/pipeline"
)

// On a target of engine emr the steps that need a cluster stand between cluster.create and
// cluster.terminate:
//
//	cluster.begin → (cluster.find ⇄ cluster.known) → cluster.create → the steps → cluster.terminate
//
// Each of the steps is caught. A cluster that was lost under it is made again, and the run
// goes on with the step that failed (cluster.goto); any other failure ends the clusters of
// the run, whether their ids are known or not (cluster.seek, cluster.end), and then fails as
// the step did (cluster.failed). A run that is resumed goes on from cluster.create.

const (
	emrAPI         = "arn:aws:states:::elasticmapreduce:"
	sdkAPI         = "arn:aws:states:::aws-sdk:"
	startUp        = time.Hour // how long a cluster may take until it is ready
	defaultIdle    = 10 * time.Minute
	defaultAge     = 24 * time.Hour
	defaultTimeout = 24 * time.Hour // of a step on a cluster that gives none
)

// ResumeAt is where a run goes on that ended in one of the compiler's own states Fail.
func ResumeAt(state string) string {
	if state == "cluster.failed" {
		return "cluster.create"
	}
	return ""
}

// needsCluster tells whether a node's work is done on the target's cluster.
func (c *compiler) needsCluster(n node) bool {
	return c.t.Engine == "emr" && (c.isSparkWork(n) || n.step.Run != nil && !n.load || !n.load && c.fetchesThere(n.step) || n.load && c.indexesThere(n.step))
}

func (c *compiler) treeNeedsCluster(t *tree) bool {
	if t.isLeaf() {
		return c.needsCluster(c.nodes[t.node])
	}
	return slices.ContainsFunc(t.children, c.treeNeedsCluster)
}

// emitAll writes a whole graph's states; those that need a cluster between its states.
func (c *compiler) emitAll(t *tree, to string) string {
	if !c.treeNeedsCluster(t) {
		return c.emit(t, c.flips(to))
	}
	parts := []*tree{t}
	if !t.isLeaf() && !t.parallel {
		parts = t.children
	}
	first := slices.IndexFunc(parts, c.treeNeedsCluster)
	last := len(parts) - 1
	for !c.treeNeedsCluster(parts[last]) {
		last--
	}
	if c.flipsThere() {
		last = len(parts) - 1
	} else {
		to = c.flips(to)
	}
	c.lintCluster(parts[first : last+1])
	c.failure()
	to = c.emitSeries(parts[last+1:], to)
	after := to
	to = c.terminate(to)
	c.section = &section{}
	if c.flipsThere() {
		to = c.flips(to)
	}
	start := c.emitSeries(parts[first:last+1], to)
	where := c.section.parts
	slices.Reverse(where)
	c.section = nil
	start = c.create(start, where, parts[first:last+1], after)
	return c.emitSeries(parts[:first], start)
}

// section is the part of the machine between the states of the cluster.
type section struct{ parts []string }

// caught writes a part of the section: every state of it that can catch does, and a part in
// which something else may fail is a branch that can.
func (c *compiler) caught(to string, emit func(to string) string) string {
	s := c.section
	c.section = nil
	defer func() { c.section = s }()
	before, parallels, faults := len(c.states), c.parallels, len(c.faults)
	first := emit(to)
	if slices.ContainsFunc(c.states[before:], func(m member) bool { return !catches(m.value) }) {
		c.states, c.parallels, c.faults = c.states[:before], parallels, c.faults[:faults]
		branch := c.sub(func() string { return emit("") })
		name := "cluster." + first
		o := object{{"Type", "Parallel"}, {"Branches", []any{branch}}, {"Output", wrap("$states.result[0]")}}
		next(&o, to)
		c.put(name, o)
		first = name
	}
	for i := range c.states[before:] {
		m := &c.states[before+i]
		o, _ := m.value.(object)
		if !o.has("Catch") {
			o.put("Catch", []any{object{{"ErrorEquals", []any{"States.ALL"}},
				{"Assign", object{{"cluster_at", first}, {"cluster_error", wrap("$states.errorOutput")}}},
				{"Output", wrap("$states.input")}, {"Next", "cluster.ask"}}})
			m.value = o
		}
	}
	s.parts = append(s.parts, first)
	return first
}

func catches(v any) bool {
	o, _ := v.(object)
	switch o.get("Type") {
	case "Task", "Parallel", "Map":
		return true
	}
	return false
}

// create writes the states before the section, and those of its failure.
func (c *compiler) create(start string, parts []string, trees []*tree, after string) string {
	if len(parts) > 1 {
		var choices []any
		for _, p := range parts[1:] {
			choices = append(choices, object{{"Condition", wrap("$cluster_at=" + quote(p))}, {"Next", p}})
		}
		c.put("cluster.goto", object{{"Type", "Choice"}, {"Choices", choices}, {"Default", start}})
		start = "cluster.goto"
	}
	o := object{{"Type", "Task"}, {"Resource", emrAPI + "createCluster.sync"}, {"Arguments", c.runJobFlow(trees)}, {"TimeoutSeconds", seconds(startUp)}}
	if c.guarded {
		c.put("cluster.missing", c.missing(after))
		o.put("Catch", []any{object{{"ErrorEquals", []any{"States.ALL"}}, {"Assign", object{{"cluster_error", wrap("$states.errorOutput")}}}, {"Output", wrap("$states.input")}, {"Next", "cluster.missing"}}})
	} else {
		o.put("Catch", []any{object{{"ErrorEquals", []any{"States.ALL"}},
			{"Assign", object{{"cluster_error", wrap("$states.errorOutput")}, {"cluster_made", wrap("$cluster_made + 1")}}}, {"Output", wrap("$states.input")}, {"Next", "cluster.unmade"}}})
	}
	o.put("Assign", object{{"cluster", wrap("$states.result.ClusterId")}, {"cluster_made", wrap("$cluster_made + 1")}})
	o.put("Output", wrap("$states.input"))
	o.put("Next", start)
	c.put("cluster.create", o)
	first := "cluster.create"
	if c.sharedCluster() {
		first = c.findShared(start)
	}
	c.put("cluster.begin", object{{"Type", "Pass"}, {"Assign", object{{"cluster", ""}, {"cluster_made", 0}, {"cluster_at", ""}, {"cluster_lost", 0}, {"cluster_ids", []any{}}, {"cluster_marker", ""},
		{"cluster_error", object{{"Error", ""}, {"Cause", ""}}}}}, {"Next", first}})
	return "cluster.begin"
}

// missing notes, in a pipeline whose failures are carried on with, that the steps of the
// section had no cluster.
func (c *compiler) missing(to string) object {
	var failed []string
	for _, n := range c.nodes {
		if c.needsCluster(n) && n.name == n.step.Key {
			failed = append(failed, quote(n.step.Key)+":{'failed':true,'error':$cluster_error.Error,'cause':$cluster_error.Cause}")
		}
	}
	o := object{{"Type", "Pass"}, {"Output", wrap("$merge([$states.input,{" + strings.Join(failed, ",") + "}])")}}
	next(&o, to)
	return o
}

func (c *compiler) sharedCluster() bool {
	return c.t.Cluster.Scope == "named" || c.t.Cluster.Scope == "backfill"
}

// clusterName is the cluster's name as JSONata. A run's own cluster has the name of the
// attempt at making it.
func (c *compiler) clusterName() string {
	own := "$run.run_id & '/cluster.create/' & $string($cluster_made + 1)"
	switch c.t.Cluster.Scope {
	case "named":
		return quote("tidemill/" + c.project.Name.Value + "/" + c.t.Cluster.Name)
	case "backfill":
		return "($run.backfill ? " + quote("tidemill/"+c.project.Name.Value+"/"+c.pl.Name.Value+"/") + " & $run.backfill : " + own + ")"
	}
	return own
}

const liveClusters = "STARTING BOOTSTRAPPING RUNNING WAITING"

// morePages tells whether EMR has more living clusters than those seen: it lists fifty at a time.
const morePages = "$cluster_marker!=''"

// listClusters is the state that reads the next page of the living clusters; from is
// JSONata over it and gives the variable its value.
func listClusters(variable, from, to string) object {
	states := "'" + strings.ReplaceAll(liveClusters, " ", "','") + "'"
	return object{{"Type", "Task"}, {"Resource", sdkAPI + "emr:listClusters"},
		{"Arguments", wrap("$merge([{'ClusterStates':[" + states + "]}," + morePages + "?{'Marker':$cluster_marker}:{}])")}, {"Retry", patiently()},
		{"Assign", object{{variable, wrap(from)}, {"cluster_marker", wrap("$states.result.Marker?$states.result.Marker:''")}}}, {"Output", wrap("$states.input")}, {"Next", to}}
}

// findShared writes the states that look for a cluster that several runs share.
func (c *compiler) findShared(start string) string {
	age := c.t.Cluster.MaxAge.Duration
	if age == 0 {
		age = defaultAge
	}
	young := fmt.Sprintf("$states.result.Clusters[Name=$name and $millis()-$toMillis(Status.Timeline.CreationDateTime)<%d]", age.Milliseconds())
	c.put("cluster.known", object{{"Type", "Choice"}, {"Choices", []any{object{{"Condition", wrap("$cluster!=''")}, {"Assign", object{{"cluster_marker", ""}}}, {"Next", start}},
		object{{"Condition", wrap(morePages)}, {"Next", "cluster.find"}}}}, {"Default", "cluster.create"}})
	c.put("cluster.find", listClusters("cluster", "($name:="+c.clusterName()+";$c:="+young+"[0];$c?$c.Id:'')", "cluster.known"))
	return "cluster.find"
}

// patiently is how the states repeat that end clusters, or look for them.
func patiently() []any {
	return []any{object{{"ErrorEquals", []any{"States.ALL"}}, {"IntervalSeconds", 5}, {"MaxAttempts", 6}, {"BackoffRate", 2}, {"MaxDelaySeconds", 60}}}
}

// terminate writes the state that ends the cluster after its last step, and the whole run's
// way on.
func (c *compiler) terminate(to string) string {
	if c.t.Cluster.Scope == "named" {
		return to
	}
	o := object{{"Type", "Task"}, {"Resource", emrAPI + "terminateCluster.sync"}, {"Arguments", object{{"ClusterId", wrap("$cluster")}}}, {"Retry", patiently()}, {"Output", wrap("$states.input")}}
	next(&o, to)
	c.put("cluster.terminate", o)
	first := "cluster.terminate"
	if c.t.Cluster.Protected {
		c.put("cluster.unprotect", object{{"Type", "Task"}, {"Resource", emrAPI + "setClusterTerminationProtection"},
			{"Arguments", object{{"ClusterId", wrap("$cluster")}, {"TerminationProtected", false}}}, {"Retry", patiently()}, {"Output", wrap("$states.input")}, {"Next", first}})
		first = "cluster.unprotect"
	}
	if c.t.Cluster.Scope == "backfill" {
		if to == "" {
			to = "run.done"
			if !c.states.has(to) {
				c.put(to, object{{"Type", "Succeed"}})
			}
		}
		c.put("cluster.keep", object{{"Type", "Choice"}, {"Choices", []any{object{{"Condition", wrap("$boolean($run.backfill)")}, {"Next", to}}}}, {"Default", first}})
		first = "cluster.keep"
	}
	return first
}

// retries is how often a lost cluster is made again.
func (c *compiler) retries() int {
	if r := c.t.Cluster.Retry; r != nil {
		return *r
	}
	return 1
}

const ended = "['TERMINATING','TERMINATED','TERMINATED_WITH_ERRORS']"

// askWhetherLost writes the states between a step's failure and its being noted, in a pipeline
// where failures are carried on with: if the cluster was lost under the step, it is the part of
// the section that fails, and is done again on another cluster.
func (c *compiler) askWhetherLost(name, failed string) {
	c.put(name+".gone", object{{"Type", "Fail"}, {"Error", "Tidemill.ClusterLost"}, {"Cause", wrap("'cluster ' & $cluster & ' was lost'")}})
	c.put(name+".lost", object{{"Type", "Choice"}, {"Choices", []any{object{
		{"Condition", wrap(fmt.Sprintf("$states.input.state in %s and $cluster_lost < %d", ended, c.retries()))}, {"Next", name + ".gone"}}}},
		{"Output", wrap("$states.input.input")}, {"Default", failed}})
	c.put(name+".ask", object{{"Type", "Task"}, {"Resource", sdkAPI + "emr:describeCluster"}, {"Arguments", object{{"ClusterId", wrap("$cluster")}}},
		{"Retry", patiently()}, {"Catch", []any{object{{"ErrorEquals", []any{"States.ALL"}}, {"Output", wrap("$states.input")}, {"Next", failed}}}},
		{"Output", object{{"input", wrap("$states.input")}, {"state", wrap("$states.result.Cluster.Status.State")}}}, {"Next", name + ".lost"}})
}

// failure writes the states that a failure in the section leads to.
func (c *compiler) failure() {
	retry := c.retries()
	c.put("cluster.failed", object{{"Type", "Fail"}, {"Error", wrap("$cluster_error.Error")}, {"Cause", wrap("$cluster_error.Cause")}})
	c.endRun()
	c.put("cluster.lost", object{{"Type", "Choice"}, {"Choices", []any{object{
		{"Condition", wrap(fmt.Sprintf("$cluster_state in %s and $cluster_lost < %d", ended, retry))},
		{"Assign", object{{"cluster_lost", wrap("$cluster_lost + 1")}}}, {"Next", "cluster.create"}}}}, {"Default", "cluster.seek"}})
	if !c.guarded {
		// What a bootstrap action or the request itself breaks, it breaks again.
		c.put("cluster.unmade", object{{"Type", "Choice"}, {"Choices", []any{object{
			{"Condition", wrap(fmt.Sprintf("$cluster_error.Error='States.TaskFailed' and $not($contains($cluster_error.Cause,/BOOTSTRAP_FAILURE|VALIDATION_ERROR/)) and $cluster_lost < %d", retry))},
			{"Assign", object{{"cluster_lost", wrap("$cluster_lost + 1")}}}, {"Next", "cluster.create"}}}}, {"Default", "cluster.seek"}})
	}
	c.put("cluster.ask", object{{"Type", "Task"}, {"Resource", sdkAPI + "emr:describeCluster"}, {"Arguments", object{{"ClusterId", wrap("$cluster")}}},
		{"Retry", patiently()}, {"Catch", []any{object{{"ErrorEquals", []any{"States.ALL"}}, {"Output", wrap("$states.input")}, {"Next", "cluster.seek"}}}},
		{"Assign", object{{"cluster_state", wrap("$states.result.Cluster.Status.State")}}}, {"Output", wrap("$states.input")}, {"Next", "cluster.lost"}})
}

// endRun writes the states that end every cluster of the run: also one whose making timed
// out, or which was made twice.
func (c *compiler) endRun() {
	mine := "$substringBefore(Name,'/cluster.create/')=$run.run_id"
	inner := object{{"cluster.end_one", object{{"Type", "Task"}, {"Resource", emrAPI + "terminateCluster.sync"}, {"Arguments", object{{"ClusterId", wrap("$states.input")}}}, {"Retry", patiently()}, {"End", true}}}}
	start := "cluster.end_one"
	if c.t.Cluster.Protected {
		start = "cluster.unprotect_one"
		inner = append(object{{start, object{{"Type", "Task"}, {"Resource", emrAPI + "setClusterTerminationProtection"},
			{"Arguments", object{{"ClusterId", wrap("$states.input")}, {"TerminationProtected", false}}}, {"Retry", patiently()}, {"Output", wrap("$states.input")}, {"Next", "cluster.end_one"}}}}, inner...)
	}
	failed := []any{object{{"ErrorEquals", []any{"States.ALL"}}, {"Output", wrap("$states.input")}, {"Next", "cluster.failed"}}}
	c.put("cluster.end", object{{"Type", "Map"}, {"Items", wrap("$cluster_ids")},
		{"ItemProcessor", object{{"ProcessorConfig", object{{"Mode", "INLINE"}}}, {"StartAt", start}, {"States", inner}}},
		{"Catch", failed}, {"Output", wrap("$states.input")}, {"Next", "cluster.failed"}})
	c.put("cluster.sought", object{{"Type", "Choice"}, {"Choices", []any{object{{"Condition", wrap(morePages)}, {"Next", "cluster.seek"}}}}, {"Default", "cluster.end"}})
	seek := listClusters("cluster_ids", "["+morePages+"?$cluster_ids:[],$states.result.Clusters["+mine+"].Id]", "cluster.sought")
	seek.put("Catch", failed)
	c.put("cluster.seek", seek)
}

// lintCluster says what is doubtful about a cluster.
func (c *compiler) lintCluster(parts []*tree) {
	cl := c.t.Cluster
	warn := func(pos pipeline.Pos, hint, format string, args ...any) {
		c.faults = append(c.faults, pipeline.Fault{Pos: pos, Warning: true, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if cl.Protected {
		warn(cl.Pos, "leave protected out, or end leaked clusters on a schedule: tidemill clusters --machine", "target %q: a protected cluster does not end when it is idle; only a run, or whoever looks for leaked ones, ends it", c.target)
	}
	if cl.LogURI == "" {
		warn(cl.Pos, "set log_uri to a place in S3", "target %q: without log_uri nothing tells why a step failed", c.target)
	}
	var gap time.Duration
	for _, t := range parts {
		if !c.treeNeedsCluster(t) {
			gap += c.longest(t)
		}
	}
	if gap > idle(cl) {
		warn(cl.Pos, fmt.Sprintf("set idle_timeout to more than %s, or move the steps that need no cluster before or after", gap), "target %q: the cluster ends after %s without work, and %s of %s may pass between two of its steps", c.target, idle(cl), gap, c.pl.Name.Value)
	}
}

func idle(cl *pipeline.Cluster) time.Duration {
	if cl.IdleTimeout.Duration > 0 {
		return cl.IdleTimeout.Duration
	}
	return defaultIdle
}

// longest is how long a part of the graph may take, as far as the file says.
func (c *compiler) longest(t *tree) time.Duration {
	if t.isLeaf() {
		s := c.nodes[t.node].step
		var d time.Duration
		if s.Wait != nil {
			d = s.Wait.For.Duration
		}
		if s.Timeout != nil {
			tries := 1
			if s.Retry != nil {
				tries = max(1, s.Retry.Attempts)
			}
			d += time.Duration(tries) * s.Timeout.Duration
		}
		return d
	}
	var all time.Duration
	for _, child := range t.children {
		if d := c.longest(child); t.parallel {
			all = max(all, d)
		} else {
			all += d
		}
	}
	return all
}

// width is how many steps may work on the cluster at once.
func (c *compiler) width(t *tree) int {
	if t.isLeaf() {
		n := c.nodes[t.node]
		switch {
		case !c.needsCluster(n):
			return 0
		case n.step.Each != nil && !n.load:
			return max(c.pl.Concurrency, 10)
		}
		return 1
	}
	w := 0
	for _, child := range t.children {
		if t.parallel {
			w += c.width(child)
		} else {
			w = max(w, c.width(child))
		}
	}
	return w
}

// bound is the time after which nobody can want the run's cluster: start-up, the longest way
// through its steps with all their tries, and the idle time.
func (c *compiler) bound(parts []*tree) time.Duration {
	var way func(*tree) time.Duration
	way = func(t *tree) time.Duration {
		if t.isLeaf() {
			n := c.nodes[t.node]
			if !c.needsCluster(n) {
				return c.longest(t)
			}
			d := defaultTimeout
			if n.step.Timeout != nil {
				d = n.step.Timeout.Duration
			}
			if n.step.Retry != nil {
				d *= time.Duration(max(1, n.step.Retry.Attempts))
			}
			return d
		}
		var all time.Duration
		for _, child := range t.children {
			if d := way(child); t.parallel {
				all = max(all, d)
			} else {
				all += d
			}
		}
		return all
	}
	d := startUp + idle(c.t.Cluster)
	for _, t := range parts {
		d += way(t)
	}
	return d
}
