package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pipeline"
)

// An extract from a connection is a task of its own, the same on every engine. Where the
// step does more, its own task comes after and reads what was extracted as source, so that
// an extract that succeeded is not done again when the SQL fails.

// fetches tells whether the step reads a connection.
func fetches(s *pipeline.Step) bool {
	return s.Extract != nil && pipeline.IsConnection(s.Extract.From.Raw)
}

// twoStates tells whether what the step extracts is not yet its own dataset.
func twoStates(s *pipeline.Step) bool {
	return fetches(s) && (s.SQL != nil || len(s.Checks) > 0 || s.Keep != nil)
}

// fetchTask is the state that extracts, without where it leads.
func (c *compiler) fetchTask(n node, sc scope) object {
	s := n.step
	task := object{{"Type", "Task"}, {"Resource", resource("fetch")}, {"Arguments", c.fetchJob(s, sc)}}
	if s.Timeout != nil {
		task.put("TimeoutSeconds", seconds(s.Timeout.Duration))
	}
	if r := c.retriers(s, n); len(r) > 0 {
		task.put("Retry", r)
	}
	return task
}

// extractFirst writes the state STEP.extract before the step's own, and returns it.
func (c *compiler) extractFirst(n node, to string) string {
	name := n.name + flow.ExtractSuffix
	task := c.fetchTask(n, outer)
	c.catchAll(n, &task, to)
	task.put("Output", mergeOutput(name, "$states.result"))
	own := n.name
	if n.step.Extract.OnEmpty == "skip" {
		own = name + ".when"
		skip := object{{"Type", "Pass"}, {"Output", mergeOutput(n.name, "{'skipped':true}")}}
		next(&skip, to)
		c.put(name+".skip", skip)
		c.put(own, skipChoice(inputOf(name), n.name, name+".skip"))
	}
	next(&task, own)
	c.put(name, task)
	return name
}

// extractItem are the states before an item's own.
func (c *compiler) extractItem(n node) (states object, start string) {
	name := n.name + flow.ExtractSuffix
	task := c.fetchTask(n, inItem)
	task.put("Output", wrap("$merge([$states.input,{'extracted':$states.result}])"))
	own := n.name + ".item"
	var more object
	if n.step.Extract.OnEmpty == "skip" {
		more = object{{name + ".when", skipChoice("$states.input.extracted", own, name+".skip")},
			{name + ".skip", object{{"Type", "Pass"}, {"Output", object{{"skipped", true}}}, {"End", true}}}}
		own = name + ".when"
	}
	next(&task, own)
	return append(object{{name, task}}, more...), name
}

func skipChoice(extracted, own, skip string) object {
	return object{{"Type", "Choice"}, {"Choices", []any{object{{"Condition", wrap(extracted + ".skipped=true")}, {"Next", skip}}}}, {"Default", own}}
}

// extracted is the extract of the step's own task: what was fetched.
func extracted(s *pipeline.Step, sc scope) object {
	at := inputOf(s.Key + flow.ExtractSuffix)
	if sc == inItem {
		at = "$states.input.extracted"
	}
	o := object{{"from", s.Extract.From.Raw}, {"manifest", wrap(at + ".manifest")}, {"rejects", limit(s.Extract.Rejects)}}
	o.putSome("on_duplicate", s.Extract.OnDuplicate)
	o.putSome("cursor", s.Extract.Cursor.Value)
	return o
}

func (c *compiler) fetchJob(s *pipeline.Step, sc scope) object {
	x := s.Extract
	suffix := ""
	if twoStates(s) {
		suffix = flow.ExtractSuffix
	}
	extract := c.extract(s, sc)
	if x.Query != nil {
		extract.put("query", c.query(x.Query.Numbered(), x.Query.Values, "", sc))
	}
	extract.putSome("args", c.args(s, sc))
	o := object{{"slot", c.slot(s.Key, suffix, sc)}, {"extract", extract}}
	if from := x.ForEach.Value; from != "" {
		step, _ := c.pl.TableStep(from)
		if c.pl.Steps[c.pl.Nodes[step]].Value.Each != nil {
			c.fault(x.ForEach.Pos, "put a step between: sql: select * from "+from, "step %q asks for each row of a step that runs over each item", s.Key)
		}
		if s.Each != nil {
			c.fault(x.ForEach.Pos, "make two steps of it", "step %q has each and for_each: row would be two things", s.Key)
		}
		o.put("for_each", wrap(inputOf(step)+".manifest"))
	}
	if x.Tolerate != nil && x.Tolerate.Mode != "fail" {
		o.put("tolerate", limit(x.Tolerate))
	}
	if c.fetchesThere(s) {
		o.put("on", "cluster")
	}
	return o
}

// args are the connector's further keys.
func (c *compiler) args(s *pipeline.Step, sc scope) object {
	x := s.Extract
	if x.Query != nil {
		o := object{}
		o.putSome("unload", x.Unload)
		return o
	}
	l := &lateArgs{c: c, sc: sc, names: object{}, known: []string{"response", "headers", "page", "records"}}
	if x.ForEach.Value != "" {
		l.known = append(l.known, "row")
	}
	o := object{}
	o.putSome("path", l.template(x.Path))
	o.putSome("method", x.Method)
	o.putSome("params", l.mapping(x.Params))
	headers := object{}
	for i := range x.Headers {
		headers.put(x.Headers[i].Key, l.template(&x.Headers[i].Value))
	}
	o.putSome("headers", headers)
	if x.Body != nil {
		o.put("body", l.any(*x.Body))
	}
	o.putSome("records", l.template(x.Records))
	o.putSome("total", l.template(x.Total))
	if p := x.Paginate; p != nil {
		o.putSome("next_link", l.template(p.NextLink))
		o.putSome("link_header", p.LinkHeader)
		if p.Cursor != nil {
			o.put("cursor", object{{"param", p.Cursor.Param}, {"value", l.template(&p.Cursor.Value)}})
		}
		o.putSome("page", counted(p.Page, 1))
		o.putSome("offset", counted(p.Offset, 0))
		o.putSome("max_pages", p.MaxPages)
	}
	o.putSome("on_404", x.On404)
	o.putSome("tolerate", x.Tolerate != nil && x.Tolerate.Mode != "fail")
	o.putSome("format", x.Format)
	o.putSome("compression", x.Compression)
	o.putSome("names", l.names)
	return o
}

func counted(k *pipeline.Counted, first int) object {
	if k == nil {
		return nil
	}
	if k.Start != nil {
		first = *k.Start
	}
	o := object{{"param", k.Param}}
	o.putSome("start", first)
	o.putSome("size", k.Size)
	o.putSome("size_param", k.SizeParam)
	return o
}

// lateArgs writes values that the task works out: what mentions a row or a response. The
// rest of what such a template mentions is collected in names.
type lateArgs struct {
	c     *compiler
	sc    scope
	known []string // known only to the task
	names object
}

func (l *lateArgs) template(t *pipeline.Template) any {
	if t == nil {
		return nil
	}
	if !t.Mentions(l.known...) {
		return l.c.value(t, l.sc)
	}
	var pieces []any
	for _, p := range l.c.fold(t) {
		if p.Expr == nil {
			pieces = append(pieces, object{{"text", p.Text}})
			continue
		}
		pieces = append(pieces, object{{"expr", p.Src}})
		l.mentioned(p)
	}
	return object{{"{{", pieces}}
}

// mentioned hands the task what an expression names of the run.
func (l *lateArgs) mentioned(p pipeline.Part) {
	m := p.Expr.Mentions()
	var names []string
	for _, f := range m.Fields {
		names = append(names, f.Name)
	}
	if m.Whole {
		names = append(slices.Clone(inputNames), "var", "target", "pipeline")
	}
	for _, n := range names {
		if slices.Contains(l.known, n) || l.names.has(n) {
			continue
		}
		switch {
		case n == "steps" && l.sc == inItem, n == "row":
			l.names.put(n, wrap("$states.input."+n))
		case n == "steps":
			l.names.put(n, wrap("$states.input"))
		default:
			l.names.put(n, wrap("$run."+n))
		}
	}
}

func (l *lateArgs) mapping(m pipeline.Map[pipeline.Any]) object {
	o := object{}
	for _, e := range m {
		o.put(e.Key, l.any(e.Value))
	}
	return o
}

func (l *lateArgs) any(a pipeline.Any) any {
	switch v := a.Value.(type) {
	case *pipeline.Template:
		return l.template(v)
	case []pipeline.Any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = l.any(v[i])
		}
		return out
	case pipeline.Map[pipeline.Any]:
		return l.mapping(v)
	}
	return a.Value
}
