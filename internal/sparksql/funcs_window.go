package sparksql

import (
	"strings"
)

func windowEntries() []*entry {
	const tab = " from values ('a', 2), ('a', 1), ('b', 3), ('a', 1), ('b', null) t(k, v)"
	w := func(names, types, rewrite, proof string) *entry { return custom(names, types, rewrite, proof, nil) }
	return []*entry{
		w("row_number", "() → int", "row_number", "select k, v, row_number() over (partition by k order by v) r"+tab),
		w("rank", "() → int", "rank", "select k, v, rank() over (partition by k order by v) r"+tab),
		w("dense_rank", "() → int", "dense_rank", "select k, v, dense_rank() over (partition by k order by v) r"+tab),
		w("percent_rank", "() → double", "percent_rank", "select k, v, percent_rank() over (partition by k order by v) r"+tab),
		w("cume_dist", "() → double", "cume_dist", "select k, v, cume_dist() over (partition by k order by v) r"+tab),
		w("ntile", "(int constant) → int", "ntile", "select v, ntile(2) over (order by v) r"+tab),
		w("lag", "(any [, int constant [, any]]) → the first's type", "lag", "select k, v, lag(v) over (partition by k order by v desc) r, lag(v, 2, -1) over (order by v, k) s"+tab),
		w("lead", "(any [, int constant [, any]]) → the first's type", "lead", "select k, v, lead(v) over (partition by k order by v) r, lead(v) ignore nulls over (order by v nulls last, k) s"+tab),
		w("nth_value", "(any, int constant) → the first's type", "nth_value", "select k, v, nth_value(v, 2) over (partition by k order by v) r"+tab),
	}
}

// windowCall translates a function with OVER.
func (t *translator) windowCall(c *call, sc *scope) ex {
	r := table()
	if e := r.aggs[c.name]; e != nil {
		if len(c.withinGroup) > 0 {
			return t.refuse(c.Pos, "WITHIN GROUP with OVER", "")
		}
		return t.aggregate(e, c, sc)
	}
	if r.windows[c.name] == nil {
		if r.scalars[c.name] != nil {
			return t.bad(c.Pos, c.name, "%s is no window function", c.name)
		}
		return t.unknownFunction(c, sc)
	}
	if c.distinct || c.filter != nil {
		return t.bad(c.Pos, c.name, "DISTINCT and FILTER have no place in %s", c.name)
	}
	args, ok := t.args(c, sc)
	if !ok {
		return ex{sql: "NULL"}
	}
	over := " OVER " + t.window(c.over, sc, c)
	switch c.name {
	case "row_number", "rank", "dense_rank", "percent_rank", "cume_dist":
		if c.name != "percent_rank" && len(args) > 0 && c.name == "row_number" {
			return t.bad(c.Pos, c.name, "%s takes no arguments", c.name)
		}
		typ := simple(Int)
		if c.name == "percent_rank" || c.name == "cume_dist" {
			typ = simple(Double)
		} else if len(t.resolveWindow(c.over, sc).order) == 0 {
			return t.bad(c.Pos, c.name, "%s wants ORDER BY in its window", c.name)
		}
		return ex{sql: "CAST(" + c.name + "()" + over + " AS " + typ.DuckDB() + ")", typ: typ}
	case "ntile":
		if len(args) != 1 {
			return t.bad(c.Pos, c.name, "ntile takes one number")
		}
		if n, ok := constantInt(args[0]); !ok || n < 1 {
			return t.bad(c.Pos, c.name, "ntile takes a constant above zero")
		}
		return ex{sql: "CAST(ntile(" + args[0].sql + ")" + over + " AS INTEGER)", typ: simple(Int)}
	case "nth_value":
		if len(args) != 2 {
			return t.bad(c.Pos, c.name, "nth_value takes a value and a number")
		}
		if n, ok := constantInt(args[1]); !ok || n < 1 {
			return t.bad(c.Pos, c.name, "nth_value takes a constant above zero")
		}
		return ex{sql: "nth_value(" + t.typed(args[0]) + ", " + args[1].sql + nullsWord(c) + ")" + over, typ: args[0].typ}
	}
	return t.lagLead(c, args, over)
}

func nullsWord(c *call) string {
	if c.ignoreNulls == "IGNORE" {
		return " IGNORE NULLS"
	}
	return ""
}

func (t *translator) lagLead(c *call, args []ex, over string) ex {
	if len(args) < 1 || len(args) > 3 {
		return t.bad(c.Pos, c.name, "%s takes one to three arguments", c.name)
	}
	if c.over.frame != nil {
		return t.bad(c.Pos, c.name, "%s takes no frame", c.name)
	}
	parts := []string{t.typed(args[0])}
	typ := args[0].typ
	if len(args) > 1 {
		if _, ok := constantInt(args[1]); !ok {
			return t.refuse(c.Pos, c.name+" by a number that is no constant", "")
		}
		parts = append(parts, args[1].sql)
	}
	if len(args) > 2 {
		d := args[2]
		if !d.typ.Equal(typ) && d.typ.Kind != Void {
			typ = t.widerOrFault(c.Pos, c.name, typ, d.typ)
			parts[0] = t.cast(args[0], typ, c.Pos).sql
		}
		parts = append(parts, t.typed(t.cast(d, typ, c.Pos)))
	}
	return ex{sql: c.name + "(" + strings.Join(parts, ", ") + nullsWord(c) + ")" + over, typ: typ}
}

// resolveWindow follows the name of a window.
func (t *translator) resolveWindow(w *windowSpec, sc *scope) *windowSpec {
	for i := 0; w.ref != "" && i < 10; i++ {
		var base *windowSpec
		for s := sc; s != nil && base == nil; s = s.outer {
			base = s.windows[strings.ToLower(w.ref)]
		}
		if base == nil {
			t.bad(w.Pos, "WINDOW", "there is no window %s", w.ref)
			return &windowSpec{Pos: w.Pos}
		}
		merged := *base
		if len(w.partition) > 0 {
			merged.partition = w.partition
		}
		if len(w.order) > 0 {
			merged.order = w.order
		}
		if w.frame != nil {
			merged.frame = w.frame
		}
		w = &merged
	}
	return w
}

// window translates what stands behind OVER.
func (t *translator) window(w *windowSpec, sc *scope, c *call) string {
	w = t.resolveWindow(w, sc)
	var parts []string
	if len(w.partition) > 0 {
		var ks []string
		for _, x := range w.partition {
			ks = append(ks, t.expr(x, sc).sql)
		}
		parts = append(parts, "PARTITION BY "+strings.Join(ks, ", "))
	}
	var key ex
	if len(w.order) > 0 {
		var ks []string
		for _, s := range w.order {
			key = t.expr(s.x, sc)
			ks = append(ks, key.sql+direction(s))
		}
		parts = append(parts, "ORDER BY "+strings.Join(ks, ", "))
	}
	if w.frame != nil {
		parts = append(parts, t.frame(w, sc, key))
	}
	_ = c
	return "(" + strings.Join(parts, " ") + ")"
}

func (t *translator) frame(w *windowSpec, sc *scope, key ex) string {
	bound := func(b frameBound) string {
		if b.x == nil {
			return b.kind
		}
		e := t.expr(b.x, sc)
		if !e.typ.known() {
			return b.kind
		}
		if w.frame.unit == "ROWS" {
			if !e.typ.integral() {
				t.bad(b.x.at(), "ROWS", "ROWS counts whole rows")
			}
			return e.sql + " " + b.kind
		}
		switch {
		case len(w.order) != 1:
			t.bad(w.Pos, "RANGE", "a RANGE with a distance wants one ORDER BY value")
		case key.typ.integral() && e.typ.integral():
			return "CAST(" + e.sql + " AS " + key.typ.DuckDB() + ") " + b.kind
		case key.typ.Kind == Date && e.typ.integral():
			return "to_days(CAST(" + e.sql + " AS INTEGER)) " + b.kind
		default:
			t.refuse(b.x.at(), "RANGE over "+key.typ.String()+" by "+e.typ.String(), "")
		}
		return b.kind
	}
	s := w.frame.unit + " BETWEEN " + bound(w.frame.lo) + " AND " + bound(w.frame.hi)
	return s
}
