package sparksql

import "strings"

// precedence of the operators, from loose to tight; what clings to a value is 12.
var precedence = map[string]int{"OR": 1, "AND": 2, "=": 5, "<>": 5, "<": 5, "<=": 5, ">": 5, ">=": 5, "<=>": 5, "|": 6, "^": 7, "&": 8, "+": 9, "-": 9, "||": 9,
	"*": 10, "/": 10, "%": 10, "DIV": 10}

func level(x expr) int {
	switch x := x.(type) {
	case *binary:
		return precedence[x.op]
	case *unary:
		if x.op == "NOT" {
			return 3
		}
		return 11
	case *between, *in, *like, *is:
		return 4
	case *lambda:
		return 0
	case *interval:
		return 11
	case *literal:
		if strings.HasPrefix(x.text, "-") && x.kind != litString {
			return 11
		}
	}
	return 12
}

// expr prints x, in parentheses when it binds looser than limit.
func (w *printer) expr(x expr, limit int) {
	if level(x) < limit {
		w.s("(")
		defer w.s(")")
	}
	switch x := x.(type) {
	case *literal:
		w.literal(x)
	case *interval:
		w.interval(x)
	case *column:
		w.names(x.parts, ".")
	case *star:
		if len(x.qualifier) > 0 {
			w.names(x.qualifier, ".")
			w.s(".")
		}
		w.s("*")
		if len(x.except) > 0 {
			w.s(" EXCEPT (")
			w.list(len(x.except), func(i int) { w.names(x.except[i].parts, ".") })
			w.s(")")
		}
	case *place:
		w.place(x)
	case *unary:
		if x.op == "NOT" {
			w.s("NOT ")
			w.expr(x.x, 3)
			return
		}
		w.s(x.op)
		w.expr(x.x, 12)
	case *binary:
		n := precedence[x.op]
		w.expr(x.l, n)
		w.s(" ", x.op, " ")
		w.expr(x.r, n+1)
	case *cast:
		if x.try {
			w.s("TRY_")
		}
		w.s("CAST(")
		w.expr(x.x, 0)
		w.s(" AS ", x.typ.String(), ")")
	case *subscript:
		w.expr(x.x, 12)
		w.s("[")
		w.expr(x.index, 0)
		w.s("]")
	case *field:
		if _, isLit := x.x.(*literal); isLit {
			w.s("(")
			w.expr(x.x, 0)
			w.s(")")
		} else {
			w.expr(x.x, 12)
		}
		w.s(".")
		w.name(x.name)
	default:
		w.compound(x)
	}
}

func (w *printer) place(x *place) {
	if w.value == nil {
		w.s("{{", x.param.Raw, "}}")
		return
	}
	text, err := w.value(*x.param)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.s(text)
}

func (w *printer) compound(x expr) {
	switch x := x.(type) {
	case *between:
		w.expr(x.x, 4)
		w.not(x.not)
		w.s(" BETWEEN ")
		w.expr(x.lo, 5)
		w.s(" AND ")
		w.expr(x.hi, 5)
	case *in:
		w.expr(x.x, 4)
		w.not(x.not)
		w.s(" IN (")
		if x.query != nil {
			w.query(x.query)
		} else {
			w.exprs("", x.list)
		}
		w.s(")")
	case *like:
		w.like(x)
	case *is:
		w.expr(x.x, 4)
		w.s(" IS")
		w.not(x.not)
		w.s(" ", x.what)
		if x.y != nil {
			w.s(" ")
			w.expr(x.y, 5)
		}
	case *caseExpr:
		w.s("CASE")
		if x.operand != nil {
			w.s(" ")
			w.expr(x.operand, 0)
		}
		for _, c := range x.whens {
			w.s(" WHEN ")
			w.expr(c.cond, 0)
			w.s(" THEN ")
			w.expr(c.then, 0)
		}
		if x.elseX != nil {
			w.s(" ELSE ")
			w.expr(x.elseX, 0)
		}
		w.s(" END")
	case *call:
		w.call(x)
	case *lambda:
		if len(x.params) == 1 {
			w.s(quoteName(x.params[0].text))
		} else {
			w.s("(")
			w.names(x.params, ", ")
			w.s(")")
		}
		w.s(" -> ")
		w.expr(x.body, 0)
	case *tuple:
		w.exprs("(", x.items)
		w.s(")")
	case *existsQuery:
		w.s("EXISTS (")
		w.query(x.query)
		w.s(")")
	case *subquery:
		w.s("(")
		w.query(x.query)
		w.s(")")
	}
}

func (w *printer) not(yes bool) {
	if yes {
		w.s(" NOT")
	}
}

func (w *printer) like(x *like) {
	w.expr(x.x, 4)
	w.not(x.not)
	w.s(" ", x.op, " ")
	if x.quantifier != "" {
		w.s(x.quantifier, " ")
		w.exprs("(", x.patterns)
		w.s(")")
		return
	}
	w.expr(x.pattern, 5)
	if x.escape != "" {
		w.s(" ESCAPE ", Literal(x.escape))
	}
}

func (w *printer) literal(x *literal) {
	switch x.kind {
	case litNull:
		w.s("NULL")
	case litString:
		w.s(stringLiteral(x.text))
	case litBinary:
		w.s("X'", x.text, "'")
	case litDate:
		w.s("DATE ", stringLiteral(x.text))
	case litTimestamp:
		w.s("TIMESTAMP ", stringLiteral(x.text))
	case litTimestampNTZ:
		w.s("TIMESTAMP_NTZ ", stringLiteral(x.text))
	case litDouble:
		w.s(x.text)
		if !strings.ContainsAny(x.text, "eE") {
			w.s("D")
		}
	case litDecimal:
		w.s(x.text)
		if strings.ContainsAny(x.text, "eE") || !strings.Contains(x.text, ".") {
			w.s("BD")
		}
	default:
		w.s(x.text, map[litKind]string{litByte: "Y", litShort: "S", litLong: "L", litFloat: "F"}[x.kind])
	}
}

func (w *printer) interval(x *interval) {
	w.s("INTERVAL")
	if x.whole {
		w.s(" ", stringLiteral(x.text))
		return
	}
	for _, p := range x.parts {
		w.s(" ")
		w.expr(p.value, 11)
		w.s(" ", strings.ToUpper(p.unit))
	}
	if x.to != "" {
		w.s(" TO ", strings.ToUpper(x.to))
	}
}

func (w *printer) call(x *call) {
	switch {
	case len(x.args) >= 2 && (x.name == "extract" || x.name == "timestampadd" || x.name == "timestampdiff") && len(x.qualifier) == 0:
		if unit, ok := x.args[0].x.(*literal); ok && unit.kind == litString && plainName(unit.text) {
			if x.name == "extract" {
				w.s("extract(", unit.text, " FROM ")
			} else {
				w.s(x.name, "(", unit.text, ", ")
			}
			w.list(len(x.args)-1, func(i int) { w.expr(x.args[i+1].x, 0) })
			w.s(")")
			w.callTail(x)
			return
		}
	case x.place != nil:
		w.name(name{place: x.place})
		w.callArgs(x)
		return
	}
	if len(x.qualifier) > 0 {
		w.names(x.qualifier, ".")
		w.s(".")
	}
	if plainName(x.name) && !reserved[strings.ToUpper(x.name)] {
		w.s(x.name)
	} else {
		w.s(quoteName(x.name))
	}
	w.callArgs(x)
}

func (w *printer) callArgs(x *call) {
	w.s("(")
	if x.distinct {
		w.s("DISTINCT ")
	}
	w.list(len(x.args), func(i int) {
		a := x.args[i]
		if a.name != "" && x.name != "struct" {
			w.s(quoteName(a.name), " => ")
		}
		w.expr(a.x, 0)
		if a.name != "" && x.name == "struct" {
			w.s(" AS ", quoteName(a.name))
		}
	})
	w.s(")")
	w.callTail(x)
}

func (w *printer) callTail(x *call) {
	if len(x.withinGroup) > 0 {
		w.s(" WITHIN GROUP (")
		w.sorts("ORDER BY ", x.withinGroup)
		w.s(")")
	}
	if x.filter != nil {
		w.s(" FILTER (WHERE ")
		w.expr(x.filter, 0)
		w.s(")")
	}
	if x.ignoreNulls != "" {
		w.s(" ", x.ignoreNulls, " NULLS")
	}
	if x.over != nil {
		w.s(" OVER ")
		w.window(x.over, false)
	}
}
