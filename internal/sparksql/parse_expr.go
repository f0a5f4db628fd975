package sparksql

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

func (p *parser) exprs() []expr {
	out := []expr{p.expr()}
	for p.op(",") {
		out = append(out, p.expr())
	}
	return out
}

// expr reads one expression.
func (p *parser) expr() expr {
	defer p.nest()()
	return p.or()
}

func (p *parser) or() expr {
	l := p.and()
	for p.isWord("OR") {
		t := p.take()
		p.link()
		l = &binary{Pos: t.Pos, op: "OR", l: l, r: p.and()}
	}
	return l
}

func (p *parser) and() expr {
	l := p.not()
	for p.isWord("AND") {
		t := p.take()
		p.link()
		l = &binary{Pos: t.Pos, op: "AND", l: l, r: p.not()}
	}
	return l
}

func (p *parser) not() expr {
	t := p.peek()
	if p.isWord("NOT") || p.isOp("!") {
		defer p.nest()()
		p.i++
		return &unary{Pos: t.Pos, op: "NOT", x: p.not()}
	}
	return p.predicate()
}

// predicate reads a value and the BETWEEN, IN, LIKE and IS that may follow it.
func (p *parser) predicate() expr {
	x := p.comparison()
	for {
		t := p.peek()
		not := false
		if p.isWord("NOT") && contains([]string{"BETWEEN", "IN", "LIKE", "ILIKE", "RLIKE", "REGEXP"}, p.ahead(1).upper) {
			p.i++
			not = true
		} else if p.isOp("!") && contains([]string{"BETWEEN", "IN", "LIKE", "ILIKE", "RLIKE", "REGEXP"}, p.ahead(1).upper) {
			p.i++
			not = true
		}
		switch {
		case p.word("BETWEEN"):
			b := &between{Pos: t.Pos, not: not, x: x, lo: p.comparison()}
			p.mustWord("AND")
			b.hi = p.comparison()
			x = b
		case p.word("IN"):
			x = p.inList(&in{Pos: t.Pos, not: not, x: x})
		case p.isWord("LIKE", "ILIKE", "RLIKE", "REGEXP"):
			x = p.like(&like{Pos: t.Pos, not: not, x: x})
		case p.word("IS"):
			x = p.isPredicate(&is{Pos: t.Pos, x: x})
		default:
			return x
		}
		p.link()
	}
}

func (p *parser) inList(i *in) expr {
	if t := p.peek(); t.kind == tokTemplate {
		p.fail(t.Pos, "IN wants a list in parentheses", "write IN ({{…}}), or array_contains(…) for a list")
	}
	if p.isOp("(") && p.queryAhead() {
		p.i++
		i.query = p.query()
		p.mustOp(")")
		return i
	}
	p.mustOp("(")
	i.list = p.exprs()
	p.mustOp(")")
	return i
}

func (p *parser) like(l *like) expr {
	l.op = p.take().upper
	if l.op == "REGEXP" {
		l.op = "RLIKE"
	}
	if l.op != "RLIKE" && p.isWord("ANY", "SOME", "ALL") && p.ahead(1).text == "(" {
		l.quantifier = p.take().upper
		if l.quantifier == "SOME" {
			l.quantifier = "ANY"
		}
		p.mustOp("(")
		l.patterns = p.exprs()
		p.mustOp(")")
		return l
	}
	l.pattern = p.comparison()
	if l.op != "RLIKE" && p.isWord("ESCAPE") {
		p.i++
		t := p.stringToken("an escape character")
		if len([]rune(t.text)) != 1 {
			p.fail(t.Pos, "the escape is one character", "")
		}
		l.escape = t.text
	}
	return l
}

func (p *parser) isPredicate(i *is) expr {
	i.not = p.word("NOT")
	switch {
	case p.isWord("NULL", "TRUE", "FALSE", "UNKNOWN"):
		i.what = p.take().upper
	case p.words("DISTINCT", "FROM"):
		i.what = "DISTINCT FROM"
		i.y = p.comparison()
	default:
		p.expected("NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM", "NULL", "TRUE", "FALSE", "UNKNOWN", "DISTINCT", "NOT")
	}
	return i
}

// levels are the infix operators from the loosest to the tightest.
var levels = [][]string{
	{"=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>", "!<", "!>"},
	{"|"}, {"^"}, {"&"},
	{"+", "-", "||"},
	{"*", "/", "%", "DIV"},
}

func (p *parser) comparison() expr { return p.infix(0) }

func (p *parser) infix(level int) expr {
	if level == len(levels) {
		return p.signed()
	}
	l := p.infix(level + 1)
	for {
		t := p.peek()
		op := t.text
		if t.kind == tokWord {
			op = t.upper
		} else if t.kind != tokOp {
			return l
		}
		if op == "<<" || op == ">>" || op == ">>>" {
			p.fail(t.Pos, op+" is not an operator of Spark 3.5", "write shiftleft, shiftright or shiftrightunsigned")
		}
		if !contains(levels[level], op) {
			return l
		}
		p.i++
		p.link()
		switch op {
		case "==":
			op = "="
		case "!=":
			op = "<>"
		case "!<":
			op = ">="
		case "!>":
			op = "<="
		}
		l = &binary{Pos: t.Pos, op: op, l: l, r: p.infix(level + 1)}
	}
}

func (p *parser) signed() expr {
	t := p.peek()
	if p.isOp("-") || p.isOp("+") || p.isOp("~") {
		defer p.nest()()
		p.i++
		if t.text == "-" && p.peek().kind == tokNumber {
			return p.postfix(p.number(true))
		}
		return &unary{Pos: t.Pos, op: t.text, x: p.signed()}
	}
	return p.primary()
}

func (p *parser) primary() expr { return p.postfix(p.atom()) }

// postfix reads what clings to a value: [i], .field, ::type.
func (p *parser) postfix(x expr) expr {
	for {
		t := p.peek()
		switch {
		case p.op("["):
			x = &subscript{Pos: t.Pos, x: x, index: p.expr()}
			p.mustOp("]")
		case p.isOp(".") && p.ahead(1).text != "*":
			if _, ok := x.(*literal); ok {
				return x
			}
			p.i++
			x = &field{Pos: t.Pos, x: x, name: p.anyName("a field name")}
		case p.op("::"):
			x = &cast{Pos: t.Pos, x: x, typ: p.typ()}
		default:
			return x
		}
		p.link()
	}
}

func (p *parser) atom() expr {
	t := p.peek()
	switch t.kind {
	case tokNumber:
		return p.number(false)
	case tokString:
		t = p.stringToken("a string")
		return &literal{Pos: t.Pos, kind: litString, text: t.text, doubled: t.doubled}
	case tokTemplate:
		p.i++
		return &place{Pos: t.Pos, param: p.param(t, false)}
	case tokOp:
		switch t.text {
		case "(":
			return p.paren()
		case "*":
			p.i++
			s := &star{Pos: t.Pos}
			p.starExcept(s)
			return s
		case ":":
			p.fail(t.Pos, "parameters with a colon are not supported", "write {{ params.name }}")
		case "?":
			p.fail(t.Pos, "parameters with a question mark are not supported", "write {{ params.name }}")
		}
	case tokWord:
		if p.ahead(1).kind != tokOp || p.ahead(1).text != "->" {
			if x, ok := p.keywordExpr(t); ok {
				return x
			}
		}
		if reserved[t.upper] {
			p.expected("an expression", "CASE", "CAST", "NOT", "NULL")
		}
		return p.nameExpr()
	case tokQuoted:
		return p.nameExpr()
	}
	p.expected("an expression")
	return nil
}

func (p *parser) starExcept(s *star) {
	if p.isWord("EXCEPT") && p.ahead(1).text == "(" && !p.ahead(2).isQueryStart() {
		p.i += 2
		for {
			s.except = append(s.except, p.columnRef())
			if !p.op(",") {
				break
			}
		}
		p.mustOp(")")
	}
}

func (t token) isQueryStart() bool {
	return t.kind == tokWord && contains([]string{"SELECT", "WITH", "VALUES", "TABLE", "FROM"}, t.upper) || t.kind == tokOp && t.text == "("
}

func (p *parser) number(negative bool) expr {
	t := p.take()
	x := &literal{Pos: t.Pos, text: t.text}
	if negative {
		x.text = "-" + t.text
	}
	exponent := strings.ContainsAny(t.text, "eE")
	whole := !exponent && !strings.Contains(t.text, ".")
	switch t.upper {
	case "":
		switch {
		case exponent:
			x.kind = litDouble
		case !whole:
			x.kind = litDecimal
		default:
			x.kind = integerKind(x.text)
		}
	case "D":
		x.kind = litDouble
	case "F":
		x.kind = litFloat
	case "BD":
		x.kind = litDecimal
	default:
		x.kind = map[string]litKind{"L": litLong, "S": litShort, "Y": litByte}[t.upper]
		if !whole || !fitsKind(x.text, x.kind) {
			p.fail(t.Pos, fmt.Sprintf("%s%s is out of range", x.text, t.upper), "")
		}
	}
	if x.kind == litDouble || x.kind == litFloat {
		if f, err := strconv.ParseFloat(x.text, map[litKind]int{litDouble: 64, litFloat: 32}[x.kind]); err != nil || math.IsInf(f, 0) {
			p.fail(t.Pos, x.text+" is out of range", "")
		}
	}
	if x.kind == litDecimal {
		if _, err := decimalLiteral(x.text); err != nil {
			p.fail(t.Pos, err.Error(), "a decimal has at most 38 digits; write a double: 1e0")
		}
	}
	return x
}

// paren reads ( … ): a query, a tuple, the parameters of a lambda, or one expression.
func (p *parser) paren() expr {
	t := p.peek()
	if ps, ok := p.lambdaParams(); ok {
		return &lambda{Pos: t.Pos, params: ps, body: p.expr()}
	}
	if p.queryAhead() {
		p.i++
		q := p.query()
		p.mustOp(")")
		return &subquery{Pos: t.Pos, query: q}
	}
	p.i++
	items := p.exprs()
	p.mustOp(")")
	if len(items) == 1 {
		return items[0]
	}
	return &tuple{Pos: t.Pos, items: items}
}

// lambdaParams takes (x, y) -> when that is what stands here.
func (p *parser) lambdaParams() ([]name, bool) {
	k := 1
	for p.ahead(k).kind == tokWord || p.ahead(k).kind == tokQuoted {
		k++
		if p.ahead(k).text == "," {
			k++
			continue
		}
		break
	}
	if k == 1 || p.ahead(k).text != ")" || p.ahead(k+1).text != "->" || p.ahead(k+1).kind != tokOp {
		return nil, false
	}
	p.i++
	var out []name
	for {
		out = append(out, p.anyName("a name"))
		if !p.op(",") {
			break
		}
	}
	p.mustOp(")")
	p.mustOp("->")
	return out, true
}

// keywordExpr reads the forms that begin with a keyword of their own.
func (p *parser) keywordExpr(t token) (expr, bool) {
	n := p.ahead(1)
	opens := n.kind == tokOp && n.text == "("
	switch t.upper {
	case "NULL", "TRUE", "FALSE":
		if opens || n.kind == tokOp && n.text == "." {
			return nil, false
		}
		p.i++
		if t.upper == "NULL" {
			return &literal{Pos: t.Pos, kind: litNull}, true
		}
		return &literal{Pos: t.Pos, kind: litBool, text: strings.ToLower(t.upper)}, true
	case "CASE":
		if n.kind == tokOp && !opens && n.text != "-" && n.text != "+" {
			return nil, false
		}
		return p.caseExpr(), true
	case "CAST", "TRY_CAST":
		if !opens {
			return nil, false
		}
		p.i += 2
		c := &cast{Pos: t.Pos, try: t.upper == "TRY_CAST", x: p.expr()}
		p.mustWord("AS")
		c.typ = p.typ()
		p.mustOp(")")
		return c, true
	case "EXISTS":
		if !opens {
			return nil, false
		}
		p.i++
		if !p.queryAhead() {
			p.i--
			return nil, false
		}
		p.i++
		e := &existsQuery{Pos: t.Pos, query: p.query()}
		p.mustOp(")")
		return e, true
	case "DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "X", "TIME":
		if n.kind != tokString {
			return nil, false
		}
		return p.typedLiteral(), true
	case "INTERVAL":
		return p.interval()
	case "EXTRACT", "POSITION", "SUBSTRING", "SUBSTR", "TRIM", "OVERLAY", "STRUCT", "TIMESTAMPADD", "TIMESTAMPDIFF", "DATEADD", "DATE_ADD", "DATEDIFF", "DATE_DIFF":
		if opens {
			return p.specialCall(t)
		}
	}
	return nil, false
}

func (p *parser) caseExpr() expr {
	c := &caseExpr{Pos: p.take().Pos}
	if !p.isWord("WHEN") {
		c.operand = p.expr()
	}
	for p.word("WHEN") {
		w := when{cond: p.expr()}
		p.mustWord("THEN")
		w.then = p.expr()
		c.whens = append(c.whens, w)
	}
	if len(c.whens) == 0 {
		p.expected("WHEN", "WHEN")
	}
	if p.word("ELSE") {
		c.elseX = p.expr()
	}
	if !p.word("END") {
		p.expected("WHEN, ELSE or END", "WHEN", "ELSE", "END", "THEN")
	}
	return c
}

func (p *parser) typedLiteral() expr {
	t := p.take()
	s := p.stringToken("a string")
	x := &literal{Pos: t.Pos, text: s.text, doubled: s.doubled}
	switch t.upper {
	case "DATE":
		x.kind = litDate
	case "TIMESTAMP", "TIMESTAMP_LTZ":
		x.kind = litTimestamp
	case "TIMESTAMP_NTZ":
		x.kind = litTimestampNTZ
	case "X":
		x.kind = litBinary
		x.text = strings.ToUpper(x.text)
		if strings.Trim(x.text, "0123456789ABCDEF") != "" {
			p.fail(s.Pos, "X'…' takes hexadecimal digits only", "")
		}
		if len(x.text)%2 == 1 {
			x.text = "0" + x.text
		}
	default:
		p.fail(t.Pos, "TIME literals are not part of Spark 3.5", "use a string or a timestamp")
	}
	return x
}

var intervalUnits = map[string]string{
	"YEAR": "year", "YEARS": "year", "MONTH": "month", "MONTHS": "month", "WEEK": "week", "WEEKS": "week", "DAY": "day", "DAYS": "day",
	"HOUR": "hour", "HOURS": "hour", "MINUTE": "minute", "MINUTES": "minute", "SECOND": "second", "SECONDS": "second",
	"MILLISECOND": "millisecond", "MILLISECONDS": "millisecond", "MICROSECOND": "microsecond", "MICROSECONDS": "microsecond",
}

// interval reads INTERVAL …, unless interval is a name here.
func (p *parser) interval() (expr, bool) {
	t := p.peek()
	n := p.ahead(1)
	sign := n.kind == tokOp && (n.text == "-" || n.text == "+")
	if n.kind != tokString && n.kind != tokNumber && !sign && (n.kind != tokOp || n.text != "(") && n.kind != tokTemplate {
		u := p.ahead(2)
		if !(n.kind == tokWord || n.kind == tokQuoted) || intervalUnits[u.upper] == "" {
			return nil, false
		}
	}
	if sign && p.ahead(2).kind != tokString && p.ahead(2).kind != tokNumber {
		return nil, false
	}
	p.i++
	x := &interval{Pos: t.Pos}
	for {
		v := p.intervalValue()
		u := p.peek()
		unit, ok := intervalUnits[u.upper]
		if u.kind != tokWord || !ok {
			lit, isText := v.(*literal)
			if isText && lit.kind == litString && len(x.parts) == 0 {
				x.whole, x.text = true, lit.text
				return x, true
			}
			p.expected("a unit of time", keys(intervalUnits)...)
		}
		p.i++
		x.parts = append(x.parts, intervalPart{value: v, unit: unit})
		if len(x.parts) == 1 && p.word("TO") {
			lit, isText := v.(*literal)
			if !isText || lit.kind != litString {
				p.fail(u.Pos, "INTERVAL … TO takes a string", "write INTERVAL '1-2' YEAR TO MONTH")
			}
			x.from = unit
			to, ok := intervalUnits[p.peek().upper]
			if !ok {
				p.expected("a unit of time", keys(intervalUnits)...)
			}
			p.i++
			x.to = to
			return x, true
		}
		if !p.intervalGoesOn() {
			return x, true
		}
	}
}

func (p *parser) intervalValue() expr {
	t := p.peek()
	if p.isOp("-") || p.isOp("+") {
		p.i++
		if p.peek().kind == tokString {
			s := p.stringToken("a string")
			text := strings.TrimSpace(s.text)
			if t.text == "-" {
				if rest, ok := strings.CutPrefix(text, "-"); ok {
					text = rest
				} else {
					text = "-" + text
				}
			}
			return &literal{Pos: t.Pos, kind: litString, text: text}
		}
		if p.peek().kind == tokNumber {
			return p.number(t.text == "-")
		}
		p.expected("a number")
	}
	switch t.kind {
	case tokString:
		s := p.take()
		return &literal{Pos: s.Pos, kind: litString, text: s.text}
	case tokNumber:
		return p.number(false)
	}
	return p.primary()
}

func (p *parser) intervalGoesOn() bool {
	t, k := p.peek(), 0
	if t.kind == tokOp && (t.text == "-" || t.text == "+") {
		k = 1
	}
	v := p.ahead(k)
	return (v.kind == tokNumber || v.kind == tokString) && p.ahead(k+1).kind == tokWord && intervalUnits[p.ahead(k+1).upper] != ""
}

// nameExpr reads a column, a function call, a qualified star or a lambda.
func (p *parser) nameExpr() expr {
	t := p.peek()
	if p.ahead(1).kind == tokOp && p.ahead(1).text == "->" {
		n := p.anyName("a name")
		p.i++
		return &lambda{Pos: t.Pos, params: []name{n}, body: p.expr()}
	}
	parts := []name{}
	if n, ok := p.identifierClause(); ok {
		parts = append(parts, n)
	} else {
		parts = append(parts, p.ident("an expression"))
	}
	for p.isOp(".") {
		n := p.ahead(1)
		if n.kind == tokOp && n.text == "*" {
			p.i += 2
			s := &star{Pos: t.Pos, qualifier: parts}
			p.starExcept(s)
			return s
		}
		if n.kind != tokWord && n.kind != tokQuoted {
			p.i++
			p.expected("a name")
		}
		p.i++
		parts = append(parts, p.anyName("a name"))
	}
	if p.isOp("(") {
		last := parts[len(parts)-1]
		c := &call{Pos: t.Pos, name: strings.ToLower(last.text), place: last.place, qualifier: parts[:len(parts)-1]}
		p.callArgs(c)
		return p.callTail(c)
	}
	return &column{Pos: t.Pos, parts: parts}
}

func (p *parser) callArgs(c *call) {
	p.mustOp("(")
	if p.op(")") {
		return
	}
	if p.isWord("DISTINCT") && !p.aliasFollows() {
		p.i++
		c.distinct = true
	} else if p.isWord("ALL") && !p.aliasFollows() {
		p.i++
	}
	for {
		var a arg
		if n := p.ahead(1); (p.peek().kind == tokWord || p.peek().kind == tokQuoted) && n.kind == tokOp && n.text == "=>" {
			a.name = strings.ToLower(p.take().text)
			p.i++
		}
		if p.isWord("TABLE") && p.ahead(1).kind == tokOp && p.ahead(1).text == "(" {
			p.fail(p.peek().Pos, "table arguments are not supported", "")
		}
		a.x = p.expr()
		c.args = append(c.args, a)
		if !p.op(",") {
			break
		}
	}
	if p.nullsClause(c); !p.op(")") {
		p.expected("\",\" or \")\"")
	}
}

func (p *parser) nullsClause(c *call) {
	for _, w := range []string{"IGNORE", "RESPECT"} {
		if p.words(w, "NULLS") {
			c.ignoreNulls = w
		}
	}
}

// callTail reads WITHIN GROUP, FILTER, IGNORE NULLS and OVER behind a call.
func (p *parser) callTail(c *call) expr {
	if p.words("WITHIN", "GROUP") {
		p.mustOp("(")
		if !p.words("ORDER", "BY") {
			p.expected("ORDER BY", "ORDER")
		}
		c.withinGroup = p.sortItems()
		p.mustOp(")")
	}
	if p.isWord("FILTER") && p.ahead(1).text == "(" && p.ahead(2).upper == "WHERE" {
		p.i += 3
		c.filter = p.expr()
		p.mustOp(")")
	}
	p.nullsClause(c)
	if p.isWord("OVER") && (p.ahead(1).text == "(" || p.ahead(1).kind == tokWord || p.ahead(1).kind == tokQuoted) {
		p.i++
		if p.isOp("(") {
			c.over = p.windowSpec()
		} else {
			n := p.ident("a window name")
			c.over = &windowSpec{Pos: n.Pos, ref: n.text}
		}
	}
	return c
}

func (p *parser) sortItems() []sortItem {
	var out []sortItem
	for {
		s := sortItem{x: p.expr()}
		if !p.word("ASC") {
			s.desc = p.word("DESC")
		}
		if p.word("NULLS") {
			switch {
			case p.word("FIRST"):
				s.nulls = "FIRST"
			case p.word("LAST"):
				s.nulls = "LAST"
			default:
				p.expected("FIRST or LAST", "FIRST", "LAST")
			}
		}
		out = append(out, s)
		if !p.op(",") {
			return out
		}
	}
}

func (p *parser) windowSpec() *windowSpec {
	w := &windowSpec{Pos: p.peek().Pos}
	if !p.isOp("(") {
		w.ref = p.ident("a window name").text
		return w
	}
	p.i++
	if t := p.peek(); t.kind == tokQuoted || t.kind == tokWord && !contains([]string{"PARTITION", "ORDER", "DISTRIBUTE", "SORT", "CLUSTER", "ROWS", "RANGE"}, t.upper) {
		w.ref = p.ident("PARTITION BY, ORDER BY, ROWS, RANGE or \")\"").text
	}
	if p.words("PARTITION", "BY") || p.words("DISTRIBUTE", "BY") {
		w.partition = p.exprs()
	}
	if p.words("ORDER", "BY") || p.words("SORT", "BY") {
		w.order = p.sortItems()
	}
	if p.words("CLUSTER", "BY") {
		w.partition = p.exprs()
		for _, x := range w.partition {
			w.order = append(w.order, sortItem{x: x})
		}
	}
	if p.isWord("ROWS", "RANGE") {
		w.frame = p.frame()
	}
	if !p.op(")") {
		p.expected("PARTITION BY, ORDER BY, ROWS, RANGE or \")\"", "PARTITION", "ORDER", "ROWS", "RANGE")
	}
	return w
}

func (p *parser) frame() *windowFrame {
	f := &windowFrame{unit: p.take().upper}
	if p.word("BETWEEN") {
		f.lo = p.frameBound()
		p.mustWord("AND")
		f.hi = p.frameBound()
		return f
	}
	f.lo, f.single = p.frameBound(), true
	f.hi = frameBound{kind: "CURRENT ROW"}
	return f
}

func (p *parser) frameBound() frameBound {
	switch {
	case p.words("UNBOUNDED", "PRECEDING"):
		return frameBound{kind: "UNBOUNDED PRECEDING"}
	case p.words("UNBOUNDED", "FOLLOWING"):
		return frameBound{kind: "UNBOUNDED FOLLOWING"}
	case p.words("CURRENT", "ROW"):
		return frameBound{kind: "CURRENT ROW"}
	}
	b := frameBound{x: p.expr()}
	switch {
	case p.word("PRECEDING"):
		b.kind = "PRECEDING"
	case p.word("FOLLOWING"):
		b.kind = "FOLLOWING"
	default:
		p.expected("PRECEDING or FOLLOWING", "PRECEDING", "FOLLOWING", "UNBOUNDED", "CURRENT")
	}
	return b
}
