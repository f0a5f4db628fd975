package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
)

const defaultEvery = time.Minute

func resource(verb string) string { return flow.Resource(verb) }

// seconds is a length of time as States Language counts it: whole, and at least one.
func seconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }

func retrier(r *pipeline.Retry) object {
	attempts, delay, backoff := r.Attempts, r.Delay.Duration, r.Backoff
	if attempts == 0 {
		attempts = 3
	}
	if delay == 0 {
		delay = 10 * time.Second
	}
	if backoff == 0 {
		backoff = 2
	}
	names := r.On.Values()
	if len(names) == 0 {
		names = flow.Retriable()
	}
	o := object{{"ErrorEquals", names}, {"IntervalSeconds", seconds(delay)}, {"MaxAttempts", attempts - 1}, {"BackoffRate", backoff}}
	if r.MaxDelay.Duration > 0 {
		o.put("MaxDelaySeconds", seconds(r.MaxDelay.Duration))
	}
	return o
}

// work writes the states that do a node's work and returns the first.
func (c *compiler) work(n node, to string) string {
	s := n.step
	if s.State != nil && !n.load {
		return c.raw(n, to)
	}
	if s.Spark != nil && !n.load && (len(s.Checks) > 0 || s.Keep != nil) {
		return c.settledScript(n, to)
	}
	sc := outer
	if s.Each != nil && !n.load {
		sc = inItem
	}
	if n.load && c.isSparkWork(n) && !c.staged() {
		to = c.flip(n, to)
	}
	task, output := c.task(n, sc)
	if sc == inItem {
		if output != result {
			task.put("Output", wrap(output))
		}
		return c.each(n, task, to)
	}
	c.catchAll(n, &task, to)
	task.put("Output", mergeOutput(n.name, output))
	next(&task, to)
	c.put(n.name, task)
	if !n.load && twoStates(s) {
		return c.extractFirst(n, to)
	}
	if marked(n) {
		return c.markRows(n, to)
	}
	return n.name
}

// result is what a task left.
const result = "$states.result"

// task is the state that does a node's work, without where it leads, and what it leaves.
func (c *compiler) task(n node, sc scope) (task object, output string) {
	s := n.step
	var verb string
	var arguments object
	output = result
	if c.isSparkWork(n) {
		verb = "spark"
		arguments, output = c.sparkJob(n, sc)
	} else {
		verb, arguments = c.job(n, sc)
	}
	task = object{{"Type", "Task"}, {"Resource", resource(verb)}, {"Arguments", arguments}}
	if s.Timeout != nil {
		task.put("TimeoutSeconds", seconds(s.Timeout.Duration))
	}
	retry := c.retriers(s, n)
	if !n.load && twoStates(s) && s.Wait != nil {
		retry = retry[1:] // it was the extract that waited for its input
	}
	if len(retry) > 0 {
		task.put("Retry", retry)
	}
	return task, output
}

// catchAll notes a failure and carries on, in a pipeline where steps run_if one failed.
func (c *compiler) catchAll(n node, state *object, to string) {
	if !c.guarded {
		return
	}
	caught := n.name + ".failed"
	first := caught
	if c.needsCluster(n) {
		first = n.name + ".ask"
	}
	state.put("Catch", []any{object{{"ErrorEquals", []any{"States.ALL"}},
		{"Output", mergeOutput(n.step.Key, "{'failed':true,'error':$states.errorOutput.Error,'cause':$states.errorOutput.Cause}")}, {"Next", first}}})
	if c.states.has(caught) {
		return
	}
	o := object{{"Type", "Pass"}, {"Output", wrap("$states.input")}}
	next(&o, to)
	c.put(caught, o)
	if first != caught {
		c.askWhetherLost(n.name, caught)
	}
}

// itemName is the item of an each as it stands in names and paths.
const itemName = "($s:=$string($states.input.row);$t:=$replace($s,/[^A-Za-z0-9_-]/,'_');$t=$s and $length($s)<=40?$s:$substring($t,0,30)&'-'&$substring($hash($s,'SHA-256'),0,8))"

// each runs a step's task for every item.
func (c *compiler) each(n node, task object, to string) string {
	e := n.step.Each
	task.put("End", true)
	start, states := n.name+".item", object{{n.name + ".item", task}}
	if twoStates(n.step) {
		var before object
		before, start = c.extractItem(n)
		states = append(before, states...)
	}
	inner := object{{"StartAt", start}, {"States", states}}
	m := object{{"Type", "Map"}}
	prepare := ""
	switch {
	case e.Items != nil:
		items := make([]any, len(e.Items))
		for i := range e.Items {
			items[i] = c.any(e.Items[i], outer)
		}
		m.put("Items", items)
	case e.Expr != nil:
		m.put("Items", c.value(e.Expr, outer))
	default:
		prepare = n.name + ".each"
		m.put("Items", wrap("$each_"+n.name))
	}
	if c.pl.Concurrency > 0 {
		m.put("MaxConcurrency", c.pl.Concurrency)
	}
	m.put("ItemSelector", object{{"row", wrap("$states.context.Map.Item.Value")}, {"steps", wrap("$states.input")}})
	m.put("ItemProcessor", append(object{{"ProcessorConfig", object{{"Mode", "INLINE"}}}}, inner...))
	c.catchAll(n, &m, to)
	m.put("Output", mergeOutput(n.name, "{'items':$states.result}"))
	next(&m, to)
	c.put(n.name, m)
	if prepare == "" {
		return n.name
	}
	c.put(prepare, object{{"Type", "Task"}, {"Resource", resource("values")},
		{"Arguments", object{{"engine", c.t.Engine}, {"manifest", wrap(inputOf(e.Step) + ".manifest")}, {"column", e.Column}, {"most", pipeline.MaxItems}}},
		{"Assign", object{{"each_" + n.name, wrap("$states.result.values")}}}, {"Output", wrap("$states.input")}, {"Next", n.name}})
	return prepare
}

// raw writes a state that the user wrote.
func (c *compiler) raw(n node, to string) string {
	m, ok := n.step.State.Value.(pipeline.Map[pipeline.Any])
	if !ok {
		c.fault(n.step.State.Pos, "", "step %q: a raw state is a mapping", n.name)
		return n.name
	}
	o := object{}
	kind := ""
	for _, e := range m {
		switch e.Key {
		case "Next", "End":
			c.fault(e.Pos, "use after", "step %q: the order of steps is not the state's to say", n.name)
			continue
		case "Type":
			if t, ok := e.Value.Value.(*pipeline.Template); ok {
				kind = t.Raw
			}
		}
		o.put(e.Key, c.any(e.Value, outer))
	}
	switch kind {
	case "Task", "Parallel", "Map":
		if _, ok := m.Get("Output"); !ok {
			o.put("Output", mergeOutput(n.name, "$states.result"))
		}
	case "Pass", "Wait":
	default:
		c.fault(n.step.State.Pos, "Task, Parallel, Map, Pass or Wait", "step %q: a raw state of type %q cannot stand in a graph", n.name, kind)
	}
	c.catchAll(n, &o, to)
	next(&o, to)
	c.put(n.name, o)
	return n.name
}

// job is the verb and the arguments of a node's task.
func (c *compiler) job(n node, sc scope) (string, object) {
	s := n.step
	switch {
	case n.load:
		phase := ""
		if c.staged() {
			phase = "stage"
		}
		return c.loading(n, phase)
	case s.Copy != nil:
		return "copy", object{{"from", c.text(&s.Copy.From, sc)}, {"to", c.text(&s.Copy.To, sc)}}
	case s.Exists != nil:
		return "exists", object{{"uri", c.text(s.Exists, sc)}}
	case s.Run != nil:
		return "run", c.runJob(s.Run, sc)
	}
	return c.datasetJob(n, sc)
}

func (c *compiler) runJob(r *pipeline.Run, sc scope) object {
	argv := make([]any, len(r.Argv))
	for i := range r.Argv {
		argv[i] = c.text(&r.Argv[i], sc)
	}
	o := object{{"argv", argv}}
	env := object{}
	for i := range r.Env {
		env.put(r.Env[i].Key, c.text(&r.Env[i].Value, sc))
	}
	o.putSome("env", env)
	if !r.Cwd.IsZero() {
		o.put("cwd", c.text(&r.Cwd, sc))
	}
	return o
}

// slot is where a step's dataset of this run lies.
func (c *compiler) slot(step, suffix string, sc scope) object {
	var name any = step + suffix
	if sc == inItem {
		name = wrap(quote(step+"[") + "&" + itemName + "&" + quote("]"+suffix))
	}
	return object{{"pipeline", c.pl.Name.Value}, {"step", name}, {"time", wrap("$run.slot")}, {"params", wrap("$run.params_hash")}}
}

func (c *compiler) datasetJob(n node, sc scope) (string, object) {
	s := n.step
	if fetches(s) && !twoStates(s) {
		return "fetch", c.fetchJob(s, sc)
	}
	verb := "sql"
	o := object{{"engine", c.t.Engine}, {"slot", c.slot(s.Key, "", sc)}}
	switch {
	case fetches(s):
		verb = "extract"
		o.put("extract", extracted(s, sc))
	case s.Extract != nil:
		verb = "extract"
		o.put("extract", c.extract(s, sc))
	}
	if s.SQL != nil {
		o.put("sql", c.sql(s.SQL, sc))
	}
	c.settle(&o, s, sc)
	return verb, o
}

// settle adds what is done about a step's rows once they are there, and the tables needed.
func (c *compiler) settle(o *object, s *pipeline.Step, sc scope) {
	c.inputs(o, s, sc)
	if checks := c.checks(s, sc); len(checks) > 0 {
		o.put("checks", checks)
	}
	if k := s.Keep; k != nil {
		keep := object{{"mode", k.Mode}}
		keep.putSome("key", toAny(k.Key.Values()))
		keep.putSome("order_by", k.OrderBy.Value)
		if k.DeleteWhen != nil {
			keep.put("delete_when", c.sql(&k.DeleteWhen.SQL, sc))
		}
		o.put("keep", keep)
	}
}

// inputs are the manifests of the tables that a step's SQL and checks name.
func (c *compiler) inputs(o *object, s *pipeline.Step, sc scope) {
	at := "$states.input."
	if sc == inItem {
		at = "$states.input.steps."
	}
	inputs, unions := object{}, object{}
	seen := map[string]bool{}
	add := func(table string) {
		if seen[table] || table == "source" || table == "previous" {
			return
		}
		seen[table] = true
		step, ok := c.pl.TableStep(table)
		if !ok {
			return
		}
		if c.pl.Steps[c.pl.Nodes[step]].Value.Each != nil {
			unions.put(table, wrap("["+at+step+".items"+c.pl.ManifestPath(table)+"]"))
		} else {
			inputs.put(table, wrap(at+step+c.pl.ManifestPath(table)))
		}
	}
	for _, t := range s.Tables() {
		add(t.Name)
		if t.Name == "previous" && !seen["previous"] {
			seen["previous"] = true
			o.put("previous", true)
		}
	}
	for i := range s.Checks {
		if r := s.Checks[i].Relationship; r != nil {
			step, _, _ := strings.Cut(r.To.Value, ".")
			add(step)
		}
	}
	o.putSome("inputs", inputs)
	o.putSome("unions", unions)
}

// sql is a query by hash with the values of its places.
func (c *compiler) sql(q *pipeline.SQL, sc scope) object {
	text, values, dialect := q.Text, q.Values, ""
	switch {
	case c.onSpark():
		text = q.Marked(func(i int) string { return fmt.Sprintf(":p%d", i) })
	case q.Duck != nil:
		text, values, dialect = q.Duck.Text, q.Duck.Values, "duckdb"
	}
	return c.query(text, values, dialect, sc)
}

func (c *compiler) query(text string, values []*pipeline.Template, dialect string, sc scope) object {
	o := object{{"hash", c.keepText(text)}}
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = c.value(v, sc)
	}
	o.putSome("values", list)
	o.putSome("dialect", dialect)
	return o
}

func (c *compiler) extract(s *pipeline.Step, sc scope) object {
	x := s.Extract
	o := object{}
	switch {
	case x.Dataset.Value != "":
		o.put("dataset", c.dataset(x, sc))
	case pipeline.IsConnection(x.From.Raw):
		o.put("connection", x.From.Raw)
	default:
		o.put("from", c.text(&x.From, sc))
	}
	o.putSome("format", x.Format)
	if x.Dialect != nil {
		o.put("dialect", dialect(x.Dialect))
	}
	o.putSome("compression", x.Compression)
	var columns []any
	for _, col := range x.Columns {
		columns = append(columns, object{{"name", col.Key}, {"type", col.Value.Value}, {"nullable", true}})
	}
	o.putSome("columns", columns)
	if s.SQL != nil && s.SQL.Query != nil && !fetches(s) {
		if names, all := s.SQL.Query.Columns("source"); !all {
			o.put("read", toAny(names))
		}
	}
	o.putSome("drift", x.Drift)
	o.put("rejects", limit(x.Rejects))
	o.putSome("on_duplicate", x.OnDuplicate)
	o.putSome("on_empty", x.OnEmpty)
	o.putSome("cursor", x.Cursor.Value)
	return o
}

// dataset names another pipeline's dataset: of the same ds, unless at says otherwise.
func (c *compiler) dataset(x *pipeline.Extract, sc scope) object {
	of, step, _ := strings.Cut(x.Dataset.Value, ".")
	o := object{{"pipeline", of}, {"step", step}, {"at", wrap("$run.ds")}}
	if x.At != nil {
		o.set("at", c.text(x.At, sc))
	}
	return o
}

// checkDataset looks whether the project has the other pipeline and its step.
func (c *compiler) checkDataset(s *pipeline.Step, x *pipeline.Extract) {
	of, step, _ := strings.Cut(x.Dataset.Value, ".")
	pl, ok := c.project.Pipeline(of)
	switch {
	case c.t.Engine != "duckdb":
		c.fault(x.Dataset.Pos, "", "step %q: reading another pipeline's dataset on engine %s is not built yet", s.Key, c.t.Engine)
	case !ok:
		c.fault(x.Dataset.Pos, nearest(of, c.project.PipelineNames()), "step %q reads the dataset of an unknown pipeline %q", s.Key, of)
	case pl == c.pl:
		c.fault(x.Dataset.Pos, "name the step as a table, or previous for its last time", "step %q reads a dataset of its own pipeline", s.Key)
	default:
		from, ok := pl.TableStep(step)
		if !ok {
			c.fault(x.Dataset.Pos, nearest(step, pl.Steps.Keys()), "step %q: pipeline %q has no step %q that makes a dataset", s.Key, of, step)
		} else if pl.Steps[pl.Nodes[from]].Value.Each != nil {
			c.fault(x.Dataset.Pos, "put a step between, in "+pl.File+": sql: select * from "+step, "step %q reads a step that runs over each item", s.Key)
		}
	}
}

func nearest(word string, words []string) string {
	if n := pipeline.Nearest(word, words); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

func limit(l *pipeline.Limit) object {
	if l == nil {
		return object{{"mode", "fail"}}
	}
	o := object{{"mode", l.Mode}}
	if l.Mode == "max" && l.Percent > 0 {
		o.put("percent", l.Percent)
	} else if l.Mode == "max" {
		o.put("max", l.Max)
	}
	return o
}

func dialect(d *pipeline.Dialect) object {
	o := object{}
	o.putSome("delimiter", d.Delimiter)
	o.putSome("quote", d.Quote)
	o.putSome("escape", d.Escape)
	if d.Header != nil {
		o.put("header", *d.Header)
	}
	o.putSome("encoding", d.Encoding)
	o.putSome("nulls", toAny(d.Nulls))
	o.putSome("skip", d.Skip)
	o.putSome("comment", d.Comment)
	o.putSome("date_format", d.Date)
	o.putSome("timestamp_format", d.Timestamp)
	return o
}

func toAny(s []string) []any {
	out := make([]any, len(s))
	for i := range s {
		out[i] = s[i]
	}
	return out
}

// checks are a step's checks as the task reads them.
func (c *compiler) checks(s *pipeline.Step, sc scope) []any {
	var out []any
	for i := range s.Checks {
		out = append(out, c.check(&s.Checks[i], sc))
	}
	return out
}

func (c *compiler) check(k *pipeline.Check, sc scope) object {
	kind := k.Kind()
	o := object{{"kind", kind}}
	columns := func(names ...string) { o.put("columns", toAny(names)) }
	text := ""
	switch kind {
	case "unique":
		columns(k.Unique.Values()...)
		text = strings.Join(k.Unique.Values(), ", ")
	case "not_null":
		columns(k.NotNull.Values()...)
		text = strings.Join(k.NotNull.Values(), ", ")
	case "accepted_values":
		columns(k.AcceptedValues.Column.Value)
		values := make([]any, len(k.AcceptedValues.Values))
		for i, v := range k.AcceptedValues.Values {
			values[i] = c.any(v, sc)
		}
		o.put("values", values)
		text = k.AcceptedValues.Column.Value
	case "range":
		columns(k.Range.Column.Value)
		text = k.Range.Column.Value
		if k.Range.Min != nil {
			o.put("min", c.any(*k.Range.Min, sc))
		}
		if k.Range.Max != nil {
			o.put("max", c.any(*k.Range.Max, sc))
		}
	case "matches":
		columns(k.Matches.Column.Value)
		o.put("regex", literal(k.Matches.Regex.Value))
		text = k.Matches.Column.Value + " ~ " + k.Matches.Regex.Value
	case "relationship":
		columns(k.Relationship.Column.Value)
		o.put("to", k.Relationship.To.Value)
		text = k.Relationship.Column.Value + " → " + k.Relationship.To.Value
	case "freshness":
		columns(k.Freshness.Column.Value)
		o.put("within", k.Freshness.Within.String())
		o.put("at", wrap("$run.logical_time"))
		text = k.Freshness.Column.Value
	case "rows":
		if k.Rows.Min != nil {
			o.put("min", *k.Rows.Min)
		}
		if k.Rows.Max != nil {
			o.put("max", *k.Rows.Max)
		}
		if len(k.Rows.VsPrevious) == 2 {
			o.put("vs_previous", []any{k.Rows.VsPrevious[0], k.Rows.VsPrevious[1]})
		}
	case "sql":
		o.put("sql", c.sql(&k.SQL.SQL, sc))
		text = strings.TrimSpace(k.SQL.Text)
	}
	o.put("text", literal(strings.TrimSpace(kind+": "+text)))
	o.putSome("severity", k.Severity)
	return o
}

// loadJob is the job of a load; phase is empty where it does all at once.
func (c *compiler) loadJob(n node, phase string) object {
	s, l := n.step, n.step.Load
	table := c.pl.LoadFrom(s)
	from, _ := c.pl.TableStep(table)
	o := object{{"engine", c.t.Engine},
		{"load", object{{"pipeline", c.pl.Name.Value}, {"step", s.Key}, {"time", wrap("$run.slot")}, {"params", wrap("$run.params_hash")}}},
		{"from", wrap(inputOf(from) + c.pl.ManifestPath(table))}, {"to", c.text(&l.To, outer)}}
	mode := l.Mode
	if mode == "" {
		mode = "replace"
	}
	o.put("mode", mode)
	if mode == "replace" {
		scope, _ := c.pl.LoadScope(s)
		o.put("scope", scope)
	}
	o.putSome("layout", l.Layout)
	o.putSome("partition_by", toAny(l.PartitionBy.Values()))
	o.putSome("format", l.Format)
	if l.Register != nil {
		o.put("register", l.Register.Glue.Value)
	}
	o.putSome("phase", phase)
	return o
}

// flip writes the state that makes a staged load visible.
func (c *compiler) flip(n node, to string) string {
	name := n.step.Key + ".flip"
	verb, job := c.loading(n, "flip")
	job.put("staged", wrap(inputOf(n.name)))
	tries := 10
	if c.indexesThere(n.step) {
		tries = 2 // each is a step on the cluster, which has tried single requests again
	}
	o := object{{"Type", "Task"}, {"Resource", resource(verb)}, {"Arguments", job},
		{"Retry", []any{object{{"ErrorEquals", flow.Retriable()}, {"IntervalSeconds", 2}, {"MaxAttempts", tries}, {"BackoffRate", 2}, {"MaxDelaySeconds", 60}}}},
		{"Output", mergeOutput(n.name, "$states.result")}}
	next(&o, to)
	c.put(name, o)
	return c.whenLoaded(n, name, to)
}

// whenLoaded passes over a flip whose load was skipped.
func (c *compiler) whenLoaded(n node, flip, to string) string {
	if len(c.conditions(n)) == 0 {
		return flip
	}
	if to == "" {
		to = "run.done"
		if !c.states.has(to) {
			c.put(to, object{{"Type", "Succeed"}})
		}
	}
	choice := flip + ".when"
	c.put(choice, object{{"Type", "Choice"}, {"Choices", []any{object{{"Condition", wrap("$exists(" + inputOf(n.name) + ".staged)")}, {"Next", flip}}}}, {"Default", to}})
	return choice
}

// marks are the steps that keep a mark from run to run.
func (c *compiler) marks() []string {
	var out []string
	for _, n := range c.nodes {
		if x := n.step.Extract; x != nil && x.Cursor.Value != "" && !n.load {
			out = append(out, n.step.Key)
		}
	}
	return out
}

// publish writes the last state of a run that made datasets: it makes them the current ones.
func (c *compiler) publish() string {
	var parts []string
	for _, n := range c.nodes {
		if n.load {
			continue
		}
		items := ""
		if n.step.Each != nil {
			items = ".items"
		}
		switch {
		case n.step.MakesDataset():
			parts = append(parts, inputOf(n.step.Key)+items+".manifest")
		case n.step.MakesTables():
			parts = append(parts, inputOf(n.step.Key)+items+".outputs.*.manifest")
		}
	}
	arguments := object{{"datasets", wrap("[" + strings.Join(parts, ",") + "]")}}
	if marks := c.marks(); len(marks) > 0 {
		for i, step := range marks {
			marks[i] = "'" + step + "':" + inputOf(step) + ".cursor"
		}
		// A back-fill goes over old times: the mark is not its to move.
		arguments.put("cursors", wrap("$run.backfill != '' ? {} : {"+strings.Join(marks, ",")+"}"))
	}
	o := object{{"Type", "Task"}, {"Resource", resource("publish")},
		{"Arguments", arguments},
		{"Retry", []any{object{{"ErrorEquals", flow.Retriable()}, {"IntervalSeconds", 2}, {"MaxAttempts", 5}, {"BackoffRate", 2}}}},
		{"Output", wrap("$states.input")}, {"End", true}}
	c.put("run.publish", o)
	return "run.publish"
}
