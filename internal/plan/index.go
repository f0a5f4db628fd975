package plan

import (
	"regexp"

	"github.com/tidemill/tidemill/internal/pipeline"
)

// A load into a search connection is a task of our own on every engine.

// indexes tells whether a load writes into a search connection.
func indexes(n node) bool { return n.load && pipeline.IsConnection(n.step.Load.To.Raw) }

// periods are what a swap's scope replaces, over run.
var periods = map[string]string{"day": "$run.ds", "month": "$substring($run.ds,0,7)", "all": "'all'"}

// deleteColumn is the column in which a delete_when that is no column's name is kept.
const deleteColumn = "tidemill_delete"

var bareName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// marked tells whether the rows need a column more before they are loaded: whether each
// deletes its document.
func marked(n node) bool {
	return indexes(n) && n.step.Load.DeleteWhen != nil && !bareName.MatchString(n.step.Load.DeleteWhen.Text)
}

// rowsName is the state, and the dataset, of the marked rows.
func rowsName(n node) string { return n.step.Key + ".rows" }

func (c *compiler) indexJob(n node, phase string) object {
	s, l := n.step, n.step.Load
	table := c.pl.LoadFrom(s)
	from, _ := c.pl.TableStep(table)
	manifest := wrap(inputOf(from) + c.pl.ManifestPath(table))
	deletes := ""
	if l.DeleteWhen != nil {
		deletes = l.DeleteWhen.Text
	}
	if marked(n) {
		manifest, deletes = wrap(inputOf(rowsName(n))+".manifest"), deleteColumn
	}
	o := object{{"load", object{{"pipeline", c.pl.Name.Value}, {"step", s.Key}, {"time", wrap("$run.slot")}, {"params", wrap("$run.params_hash")}}},
		{"from", manifest}, {"connection", l.To.Raw}, {"index", c.text(&l.Index, outer)}, {"mode", l.Mode}}
	if l.Mode == "swap" {
		scope, _ := c.pl.LoadScope(s)
		o.put("period", wrap(periods[scope]))
	}
	o.putSome("id", toAny(l.ID.Values()))
	if l.Mapping != nil {
		o.put("mapping", c.any(*l.Mapping, outer))
	}
	o.putSome("version", l.Version.Value)
	o.putSome("delete", deletes)
	o.putSome("keep_old", l.KeepOld)
	if l.MaxDelete != nil {
		o.put("max_delete", limit(l.MaxDelete))
	}
	o.put("rejects", limit(l.Rejects))
	o.putSome("phase", phase)
	if c.indexesThere(s) {
		o.put("on", "cluster")
	}
	return o
}

// markRows writes the state that marks the rows before a load, and returns it.
func (c *compiler) markRows(n node, to string) string {
	s, l := n.step, n.step.Load
	table := c.pl.LoadFrom(s)
	from, _ := c.pl.TableStep(table)
	text := "select *, coalesce((" + l.DeleteWhen.Text + "), false) as " + deleteColumn + " from `" + table + "`"
	job := object{{"engine", c.t.Engine}, {"slot", c.slot(rowsName(n), "", outer)}, {"sql", c.query(text, l.DeleteWhen.Values, "", outer)},
		{"inputs", object{{table, wrap(inputOf(from) + c.pl.ManifestPath(table))}}}}
	verb, output := "sql", result
	if c.onSpark() {
		verb, output = "spark", "$lookup($states.result,"+quote(rowsName(n))+")"
		job = c.workJob(object{{"name", rowsName(n)}, {"dataset", job}})
	}
	task := object{{"Type", "Task"}, {"Resource", resource(verb)}, {"Arguments", job}, {"Output", mergeOutput(rowsName(n), output)}}
	if r := c.retriers(s, n); len(r) > 0 {
		task.put("Retry", r)
	}
	c.catchAll(n, &task, to)
	next(&task, n.name)
	c.put(rowsName(n), task)
	return rowsName(n)
}

// loading is the verb and the arguments of a load's phase.
func (c *compiler) loading(n node, phase string) (string, object) {
	if indexes(n) {
		return "index", c.indexJob(n, phase)
	}
	return "load", c.loadJob(n, phase)
}
