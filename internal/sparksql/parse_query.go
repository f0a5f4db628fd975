package sparksql

import (
	"fmt"
)

// anyName takes a name where any word will do: behind AS and behind a dot.
func (p *parser) anyName(what string) name {
	t := p.peek()
	if t.kind == tokWord {
		p.i++
		return name{Pos: t.Pos, text: t.text}
	}
	return p.ident(what)
}

func (p *parser) query() *query {
	defer p.nest()()
	q := &query{Pos: p.peek().Pos}
	if p.word("WITH") {
		if t := p.peek(); t.upper == "RECURSIVE" && p.ahead(1).text != "AS" {
			p.fail(t.Pos, "WITH RECURSIVE is not part of Spark 3.5", "unroll the recursion, or do it in a spark step")
		}
		for {
			q.with = append(q.with, p.cte())
			if !p.op(",") {
				break
			}
		}
	}
	q.body = p.setOps()
	p.queryTail(q)
	return q
}

func (p *parser) cte() cte {
	c := cte{name: p.ident("a name for the common table")}
	if p.isOp("(") {
		c.columns = p.nameList()
	}
	p.word("AS")
	p.mustOp("(")
	c.query = p.query()
	p.mustOp(")")
	return c
}

func (p *parser) nameList() []name {
	p.mustOp("(")
	var out []name
	for {
		out = append(out, p.ident("a column name"))
		if !p.op(",") {
			break
		}
	}
	p.mustOp(")")
	return out
}

func (p *parser) queryTail(q *query) {
	for {
		t := p.peek()
		switch {
		case p.words("ORDER", "BY"):
			q.order = p.sortItems()
		case p.words("SORT", "BY"):
			q.sort = p.sortItems()
		case p.words("CLUSTER", "BY"):
			q.cluster = p.exprs()
		case p.words("DISTRIBUTE", "BY"):
			q.distribute = p.exprs()
		case p.isWord("WINDOW") && p.ahead(2).upper == "AS":
			p.i++
			q.windows = p.namedWindows()
		case p.word("LIMIT"):
			if !p.word("ALL") {
				q.limit = p.expr()
			}
			if p.op(",") {
				p.fail(t.Pos, "LIMIT a, b is not Spark SQL", "write LIMIT b OFFSET a")
			}
		case p.word("OFFSET"):
			q.offset = p.expr()
		case p.isWord("FETCH"):
			p.fail(t.Pos, "FETCH FIRST is not Spark SQL", "write LIMIT n")
		default:
			return
		}
	}
}

func (p *parser) namedWindows() []namedWindow {
	var out []namedWindow
	for {
		n := p.ident("a window name")
		p.mustWord("AS")
		out = append(out, namedWindow{name: n.text, spec: p.windowSpec()})
		if !p.op(",") {
			return out
		}
	}
}

// setOps reads UNION and EXCEPT, between which INTERSECT binds tighter.
func (p *parser) setOps() queryBody {
	l := p.intersections()
	for p.isWord("UNION", "EXCEPT", "MINUS") {
		t := p.take()
		p.link()
		s := &setOp{Pos: t.Pos, op: t.upper, l: l, all: p.setQuantifier()}
		if s.op == "MINUS" {
			s.op = "EXCEPT"
		}
		s.r = p.intersections()
		l = s
	}
	return l
}

func (p *parser) setQuantifier() bool {
	if p.word("ALL") {
		return true
	}
	p.word("DISTINCT")
	return false
}

func (p *parser) intersections() queryBody {
	l := p.queryPrimary()
	for p.isWord("INTERSECT") {
		t := p.take()
		p.link()
		s := &setOp{Pos: t.Pos, op: "INTERSECT", l: l, all: p.setQuantifier()}
		s.r = p.queryPrimary()
		l = s
	}
	return l
}

// link counts the links of long chains, which make deep trees without nesting.
func (p *parser) link() {
	p.chain++
	if p.chain > maxChain {
		p.fail(p.peek().Pos, fmt.Sprintf("more than %d operators in one text", maxChain), "")
	}
}

func (p *parser) queryPrimary() queryBody {
	t := p.peek()
	switch {
	case p.op("("):
		q := p.query()
		p.mustOp(")")
		return q
	case p.isWord("SELECT"):
		return p.selectBody()
	case p.isWord("FROM"):
		return p.fromFirst()
	case p.word("VALUES"):
		return p.values(t.Pos)
	case p.word("TABLE"):
		return &tableBody{Pos: t.Pos, name: p.multipart("a table name")}
	}
	if t.kind == tokWord && contains([]string{"INSERT", "CREATE", "DROP", "UPDATE", "DELETE", "MERGE", "SET", "ALTER", "CACHE", "USE", "TRUNCATE", "EXPLAIN", "SHOW", "DESCRIBE"}, t.upper) {
		p.fail(t.Pos, t.upper+" is not a query", "a step's SQL is one query; what it yields becomes the step's dataset")
	}
	p.expected("SELECT, WITH, VALUES, TABLE, FROM or \"(\"", "SELECT", "WITH", "VALUES", "TABLE", "FROM")
	return nil
}

func (p *parser) values(at Pos) *values {
	v := &values{Pos: at}
	for {
		v.rows = append(v.rows, p.expr())
		if !p.op(",") {
			return v
		}
	}
}

func (p *parser) fromFirst() queryBody {
	at := p.take().Pos
	from, views := p.fromList()
	if !p.isWord("SELECT") {
		p.expected("SELECT", "SELECT")
	}
	s := p.selectBody()
	if s.from != nil {
		p.fail(s.from[0].at(), "a second FROM", "")
	}
	s.Pos, s.from = at, from
	s.views = append(views, s.views...)
	return s
}

func (p *parser) selectBody() *selectBody {
	s := &selectBody{Pos: p.take().Pos}
	for p.peek().kind == tokHint {
		s.hints = append(s.hints, p.hints()...)
	}
	if p.isWord("DISTINCT") && !p.aliasFollows() {
		p.i++
		s.distinct = true
	} else if p.isWord("ALL") && !p.aliasFollows() {
		p.i++
	}
	for {
		s.items = append(s.items, p.selectItem())
		if !p.op(",") {
			break
		}
	}
	if p.word("FROM") {
		s.from, s.views = p.fromList()
	}
	for p.isWord("LATERAL") && p.ahead(1).upper == "VIEW" {
		s.views = append(s.views, p.lateralView())
	}
	if p.word("WHERE") {
		s.where = p.expr()
	}
	if t := p.peek(); p.words("GROUP", "BY") {
		s.group = p.groupBy(t.Pos)
	}
	if p.word("HAVING") {
		s.having = p.expr()
	}
	if p.isWord("WINDOW") && p.ahead(2).upper == "AS" {
		p.i++
		s.windows = p.namedWindows()
	}
	return s
}

// aliasFollows says whether the word at hand is used as a column: SELECT all, b.
func (p *parser) aliasFollows() bool {
	n := p.ahead(1)
	return n.kind == tokEOF || n.kind == tokOp && contains([]string{",", ".", ")", "="}, n.text) || n.upper == "FROM"
}

func (p *parser) hints() []hint {
	p.i++
	var out []hint
	for p.peek().kind != tokHintEnd {
		if p.op(",") {
			continue
		}
		h := hint{name: p.anyName("a hint").text}
		if p.op("(") {
			for !p.isOp(")") {
				h.args = append(h.args, p.expr())
				if !p.op(",") {
					break
				}
			}
			p.mustOp(")")
		}
		out = append(out, h)
	}
	p.i++
	return out
}

func (p *parser) selectItem() selectItem {
	it := selectItem{x: p.expr()}
	if p.word("AS") {
		if p.isOp("(") {
			it.aliases = p.nameList()
			return it
		}
		n := p.anyName("a name")
		it.alias = &n
		return it
	}
	t := p.peek()
	if t.kind == tokQuoted || t.kind == tokWord && !notAlias[t.upper] {
		n := p.anyName("a name")
		it.alias = &n
	} else if t.kind == tokString {
		p.fail(t.Pos, "a string cannot name a column in Spark", "write the name in backticks")
	} else if t.kind == tokOp && t.text == "(" && p.ahead(1).kind == tokWord {
		it.aliases = p.nameList()
	}
	return it
}

func (p *parser) fromList() ([]relation, []*lateralView) {
	var out []relation
	for {
		out = append(out, p.relation())
		if !p.op(",") {
			break
		}
	}
	var views []*lateralView
	for p.isWord("LATERAL") && p.ahead(1).upper == "VIEW" {
		views = append(views, p.lateralView())
	}
	if p.isWord("PIVOT", "UNPIVOT") && len(out) == 1 {
		out[0] = p.pivots(out[0])
	}
	return out, views
}

func (p *parser) lateralView() *lateralView {
	v := &lateralView{Pos: p.peek().Pos}
	p.i += 2
	v.outer = p.word("OUTER")
	t := p.peek()
	c, ok := p.primary().(*call)
	if !ok || c.over != nil {
		p.fail(t.Pos, "expected a generator like explode(…) behind LATERAL VIEW", "")
	}
	v.gen = c
	if n := p.peek(); n.kind == tokQuoted || n.kind == tokWord && n.upper != "AS" && !notAlias[n.upper] {
		v.alias = p.ident("a name")
	}
	if p.word("AS") || p.peek().kind == tokQuoted || p.peek().kind == tokWord && !notAlias[p.peek().upper] {
		for {
			v.columns = append(v.columns, p.anyName("a column name"))
			if !p.op(",") {
				break
			}
		}
	}
	return v
}

func (p *parser) groupBy(at Pos) *groupBy {
	g := &groupBy{Pos: at}
	if p.isWord("ALL") && !p.aliasContinues() {
		p.i++
		g.all = true
		return g
	}
	for {
		g.more = append(g.more, p.groupElement())
		if !p.op(",") {
			break
		}
	}
	switch {
	case p.words("WITH", "ROLLUP"):
		p.foldSuffix(g, "ROLLUP")
	case p.words("WITH", "CUBE"):
		p.foldSuffix(g, "CUBE")
	case p.isWord("GROUPING") && p.ahead(1).upper == "SETS":
		p.i += 2
		g.more = []groupElement{{kind: "SETS", sets: p.groupingSets()}}
	}
	return g
}

// foldSuffix turns GROUP BY a, b WITH ROLLUP into GROUP BY ROLLUP(a, b).
func (p *parser) foldSuffix(g *groupBy, kind string) {
	e := groupElement{kind: kind}
	for _, m := range g.more {
		if m.kind != "" {
			p.fail(g.Pos, "WITH "+kind+" behind grouping sets", "")
		}
		e.sets = append(e.sets, []expr{m.x})
	}
	g.more = []groupElement{e}
}

func (p *parser) aliasContinues() bool {
	n := p.ahead(1)
	return n.kind == tokOp && contains([]string{",", ".", "(", "+", "-", "*", "/", "%", "||"}, n.text)
}

func (p *parser) groupElement() groupElement {
	switch {
	case p.isWord("ROLLUP", "CUBE") && p.ahead(1).text == "(":
		e := groupElement{kind: p.take().upper, sets: p.groupingSets()}
		return e
	case p.isWord("GROUPING") && p.ahead(1).upper == "SETS":
		p.i += 2
		return groupElement{kind: "SETS", sets: p.groupingSets()}
	}
	return groupElement{x: p.expr()}
}

// groupingSets reads ((a, b), a, ()) where a set may also be a nested ROLLUP, which is refused.
func (p *parser) groupingSets() [][]expr {
	p.mustOp("(")
	var sets [][]expr
	for {
		t := p.peek()
		if p.isWord("ROLLUP", "CUBE", "GROUPING") && (p.ahead(1).text == "(" || p.ahead(1).upper == "SETS") {
			p.fail(t.Pos, "grouping sets inside grouping sets", "write the sets out")
		}
		if p.op("(") {
			var set []expr
			if !p.isOp(")") {
				set = p.exprs()
			}
			p.mustOp(")")
			sets = append(sets, set)
		} else {
			sets = append(sets, []expr{p.expr()})
		}
		if !p.op(",") {
			break
		}
	}
	p.mustOp(")")
	return sets
}

func (p *parser) relation() relation {
	lateral := p.isWord("LATERAL") && p.ahead(1).upper != "VIEW"
	if lateral {
		p.i++
	}
	r := p.relationPrimary(lateral)
	for {
		t := p.peek()
		j, ok := p.joinHead()
		if !ok {
			if p.isWord("PIVOT", "UNPIVOT") {
				r = p.pivots(r)
				continue
			}
			return r
		}
		p.link()
		j.Pos, j.l = t.Pos, r
		lat := p.word("LATERAL")
		j.r = p.relationPrimary(lat)
		if p.isWord("PIVOT", "UNPIVOT") {
			j.r = p.pivots(j.r)
		}
		switch {
		case j.natural || j.kind == "CROSS":
		case p.word("ON"):
			j.on = p.expr()
		case p.word("USING"):
			j.using = p.nameList()
		}
		r = j
	}
}

func (p *parser) joinHead() (*join, bool) {
	j := &join{}
	start := p.i
	j.natural = p.word("NATURAL")
	switch {
	case p.word("CROSS"):
		j.kind = "CROSS"
	case p.word("INNER"):
		j.kind = "INNER"
	case p.word("SEMI"):
		j.kind = "LEFT SEMI"
	case p.word("ANTI"):
		j.kind = "LEFT ANTI"
	case p.isWord("LEFT", "RIGHT", "FULL"):
		j.kind = p.take().upper
		if j.kind == "LEFT" && p.isWord("SEMI", "ANTI") {
			j.kind += " " + p.take().upper
		} else {
			p.word("OUTER")
		}
	default:
		j.kind = "INNER"
	}
	if !p.word("JOIN") {
		if p.i > start {
			p.expected("JOIN", "JOIN", "OUTER", "SEMI", "ANTI", "INNER", "LEFT", "RIGHT", "FULL", "CROSS")
		}
		return nil, false
	}
	return j, true
}

func (p *parser) relationPrimary(lateral bool) relation {
	defer p.nest()()
	t := p.peek()
	switch {
	case p.isOp("("):
		return p.parenRelation(lateral)
	case p.word("VALUES"):
		r := &valuesRel{Pos: t.Pos, values: p.values(t.Pos)}
		r.alias = p.relAlias()
		return r
	case t.kind == tokString:
		p.fail(t.Pos, "a string is no table", "a file is read by extract; its rows are the table source")
	}
	if _, ok := p.identifierAhead(); !ok && t.kind == tokWord && p.ahead(1).text == "(" && p.ahead(1).kind == tokOp && !reserved[t.upper] {
		c, ok := p.primary().(*call)
		if !ok {
			p.fail(t.Pos, "expected a table function", "")
		}
		r := &functionRel{Pos: t.Pos, call: c, lateral: lateral}
		r.alias = p.relAlias()
		return r
	}
	r := &tableRel{Pos: t.Pos, name: p.multipart("a table")}
	if p.isWord("TIMESTAMP", "VERSION", "FOR") && (p.ahead(1).upper == "AS" && p.ahead(2).upper == "OF" || p.ahead(1).upper == "SYSTEM_TIME" || p.ahead(1).upper == "SYSTEM_VERSION") {
		p.fail(p.peek().Pos, "time travel is not supported", "a step's table is this run's; previous is the table of the run before")
	}
	r.sample = p.sampleClause()
	r.alias = p.relAlias()
	if r.sample == nil {
		r.sample = p.sampleClause()
	}
	return r
}

func (p *parser) identifierAhead() (token, bool) {
	t := p.peek()
	next := p.ahead(2).kind
	return t, t.kind == tokWord && t.upper == "IDENTIFIER" && p.ahead(1).text == "(" && (next == tokString || next == tokTemplate)
}

// parenRelation reads ( query ) or ( relation ).
func (p *parser) parenRelation(lateral bool) relation {
	t := p.peek()
	if p.queryAhead() {
		p.i++
		r := &queryRel{Pos: t.Pos, lateral: lateral, query: p.query()}
		p.mustOp(")")
		r.sample = p.sampleClause()
		r.alias = p.relAlias()
		if r.sample == nil {
			r.sample = p.sampleClause()
		}
		return r
	}
	p.i++
	g := &groupRel{Pos: t.Pos, rel: p.relation()}
	p.mustOp(")")
	g.alias = p.relAlias()
	return g
}

// queryAhead says whether the parenthesis at hand opens a query: what stands behind all
// parentheses that open here tells, unless they belong to a set operation's operand.
func (p *parser) queryAhead() bool {
	k := 0
	for p.ahead(k).kind == tokOp && p.ahead(k).text == "(" {
		k++
	}
	t := p.ahead(k)
	if t.kind != tokWord || !contains([]string{"SELECT", "WITH", "VALUES", "TABLE", "FROM"}, t.upper) {
		return false
	}
	if n := p.ahead(k + 1); n.kind == tokOp && contains([]string{".", ",", ")"}, n.text) && t.upper != "SELECT" && t.upper != "VALUES" {
		return false
	}
	if k == 1 {
		return true
	}
	// ((SELECT …) a JOIN b) is a relation, ((SELECT …) UNION …) a query: look behind the
	// second parenthesis's end.
	depth := 0
	for i := p.i + 1; i < len(p.toks); i++ {
		u := p.toks[i]
		if u.kind != tokOp {
			continue
		}
		switch u.text {
		case "(":
			depth++
		case ")":
			depth--
			if depth == 0 {
				n := p.toks[min(i+1, len(p.toks)-1)]
				return n.text == ")" || n.kind == tokWord && contains([]string{"UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "SORT", "LIMIT", "OFFSET", "CLUSTER", "DISTRIBUTE"}, n.upper)
			}
		}
	}
	return true
}

func (p *parser) relAlias() relAlias {
	var a relAlias
	t := p.peek()
	if p.word("AS") {
		n := p.ident("a table alias")
		a.name = &n
	} else if t.kind == tokQuoted || t.kind == tokWord && !notAlias[t.upper] {
		n := p.ident("a table alias")
		a.name = &n
	}
	if a.name != nil && p.isOp("(") {
		a.columns = p.nameList()
	}
	return a
}

func (p *parser) sampleClause() *sample {
	if !p.isWord("TABLESAMPLE") {
		return nil
	}
	p.i++
	p.mustOp("(")
	s := &sample{}
	if p.word("BUCKET") {
		s.kind, s.value = "BUCKET", p.expr()
		p.mustWord("OUT")
		p.mustWord("OF")
		s.outOf = p.take().text
	} else {
		s.value = p.expr()
		switch {
		case p.word("PERCENT"):
			s.kind = "PERCENT"
		case p.word("ROWS"):
			s.kind = "ROWS"
		default:
			p.expected("PERCENT or ROWS", "PERCENT", "ROWS")
		}
	}
	p.mustOp(")")
	if p.word("REPEATABLE") {
		p.mustOp("(")
		s.repeatable = p.take().text
		p.mustOp(")")
	}
	return s
}

func (p *parser) pivots(r relation) relation {
	for {
		t := p.peek()
		switch {
		case p.word("PIVOT"):
			r = p.pivot(t.Pos, r)
		case p.word("UNPIVOT"):
			r = p.unpivot(t.Pos, r)
		default:
			return r
		}
	}
}

func (p *parser) pivot(at Pos, r relation) relation {
	v := &pivot{Pos: at, rel: r}
	p.mustOp("(")
	for {
		a := pivotAgg{x: p.expr()}
		a.alias = p.optionalAlias("FOR")
		v.aggs = append(v.aggs, a)
		if !p.op(",") {
			break
		}
	}
	p.mustWord("FOR")
	if p.isOp("(") {
		v.columns = p.nameList()
	} else {
		v.columns = []name{p.ident("a column name")}
	}
	p.mustWord("IN")
	p.mustOp("(")
	for {
		x := pivotValue{x: p.expr()}
		x.alias = p.optionalAlias("")
		v.values = append(v.values, x)
		if !p.op(",") {
			break
		}
	}
	p.mustOp(")")
	p.mustOp(")")
	v.alias = p.relAlias()
	return v
}

func (p *parser) optionalAlias(stop string) *name {
	t := p.peek()
	if p.word("AS") || t.kind == tokQuoted || t.kind == tokWord && !notAlias[t.upper] && t.upper != stop {
		n := p.anyName("a name")
		return &n
	}
	return nil
}

func (p *parser) unpivot(at Pos, r relation) relation {
	u := &unpivot{Pos: at, rel: r}
	for _, w := range []string{"INCLUDE", "EXCLUDE"} {
		if p.words(w, "NULLS") {
			u.nulls = w
		}
	}
	p.mustOp("(")
	if p.isOp("(") {
		u.valueCols = p.nameList()
	} else {
		u.valueCols = []name{p.ident("a column name")}
	}
	p.mustWord("FOR")
	u.nameCol = p.ident("a column name")
	p.mustWord("IN")
	p.mustOp("(")
	for {
		var c unpivotColumn
		if p.op("(") {
			for {
				c.columns = append(c.columns, p.columnRef())
				if !p.op(",") {
					break
				}
			}
			p.mustOp(")")
		} else {
			c.columns = []*column{p.columnRef()}
		}
		c.alias = p.optionalAlias("")
		u.columns = append(u.columns, c)
		if !p.op(",") {
			break
		}
	}
	p.mustOp(")")
	p.mustOp(")")
	u.alias = p.relAlias()
	return u
}

func (p *parser) columnRef() *column {
	at := p.peek().Pos
	return &column{Pos: at, parts: p.multipart("a column")}
}
