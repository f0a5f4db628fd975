package sparksql

// exprChildren gives the expressions and the queries directly inside an expression.
func exprChildren(x expr) (xs []expr, qs []*query) {
	add := func(list ...expr) {
		for _, y := range list {
			if y != nil {
				xs = append(xs, y)
			}
		}
	}
	switch x := x.(type) {
	case *interval:
		for _, p := range x.parts {
			add(p.value)
		}
	case *unary:
		add(x.x)
	case *binary:
		add(x.l, x.r)
	case *between:
		add(x.x, x.lo, x.hi)
	case *in:
		add(x.x)
		add(x.list...)
		if x.query != nil {
			qs = append(qs, x.query)
		}
	case *like:
		add(x.x, x.pattern)
		add(x.patterns...)
	case *is:
		add(x.x, x.y)
	case *caseExpr:
		add(x.operand)
		for _, w := range x.whens {
			add(w.cond, w.then)
		}
		add(x.elseX)
	case *cast:
		add(x.x)
	case *call:
		for _, a := range x.args {
			add(a.x)
		}
		add(x.filter)
		for _, s := range x.withinGroup {
			add(s.x)
		}
		if x.over != nil {
			add(windowExprs(x.over)...)
		}
	case *subscript:
		add(x.x, x.index)
	case *field:
		add(x.x)
	case *lambda:
		add(x.body)
	case *tuple:
		add(x.items...)
	case *existsQuery:
		qs = append(qs, x.query)
	case *subquery:
		qs = append(qs, x.query)
	}
	return xs, qs
}

func windowExprs(w *windowSpec) []expr {
	out := append([]expr{}, w.partition...)
	for _, s := range w.order {
		out = append(out, s.x)
	}
	if w.frame != nil {
		for _, b := range []frameBound{w.frame.lo, w.frame.hi} {
			if b.x != nil {
				out = append(out, b.x)
			}
		}
	}
	return out
}

// selectExprs gives the expressions directly in a SELECT, without those of its FROM.
func selectExprs(s *selectBody) []expr {
	var xs []expr
	for _, it := range s.items {
		xs = append(xs, it.x)
	}
	for _, v := range s.views {
		xs = append(xs, v.gen)
	}
	if s.where != nil {
		xs = append(xs, s.where)
	}
	if s.group != nil {
		for _, e := range s.group.more {
			if e.x != nil {
				xs = append(xs, e.x)
			}
			for _, set := range e.sets {
				xs = append(xs, set...)
			}
		}
	}
	if s.having != nil {
		xs = append(xs, s.having)
	}
	for _, w := range s.windows {
		xs = append(xs, windowExprs(w.spec)...)
	}
	return xs
}

// tailExprs gives the expressions behind a query's body.
func tailExprs(q *query) []expr {
	var xs []expr
	for _, s := range append(append([]sortItem{}, q.order...), q.sort...) {
		xs = append(xs, s.x)
	}
	xs = append(xs, q.cluster...)
	xs = append(xs, q.distribute...)
	for _, w := range q.windows {
		xs = append(xs, windowExprs(w.spec)...)
	}
	for _, x := range []expr{q.limit, q.offset} {
		if x != nil {
			xs = append(xs, x)
		}
	}
	return xs
}

// anyExpr says whether f holds for x or something inside it, without entering queries.
func anyExpr(x expr, f func(expr) bool) bool {
	if x == nil {
		return false
	}
	if f(x) {
		return true
	}
	xs, _ := exprChildren(x)
	for _, y := range xs {
		if anyExpr(y, f) {
			return true
		}
	}
	return false
}
