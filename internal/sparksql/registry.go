package sparksql

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Row is one line of the table of what is translated.
type Row struct {
	// Construct is a function's names joined by commas, an operator or a clause.
	Construct string
	// Kind is function, aggregate, window, generator, operator, cast or clause.
	Kind string
	// Types are the arguments and the result in Spark's words.
	Types string
	// Rewrite says in DuckDB's words what it becomes.
	Rewrite string
	// Case is a query that proves it; its rows were recorded from Spark 3.5.6.
	Case string
}

// builder translates a call whose arguments are translated.
type builder func(t *translator, c *call, a []ex) ex

type entry struct {
	row   Row
	names []string
	build builder
	// special ones translate their arguments themselves.
	special func(t *translator, c *call, sc *scope) ex
}

type registry struct {
	rows    []Row
	scalars map[string]*entry
	aggs    map[string]*entry
	windows map[string]*entry
}

var (
	registryOnce sync.Once
	registryVal  *registry
)

// table gives the one table of constructs, made at its first use.
func table() *registry {
	registryOnce.Do(func() {
		r := &registry{scalars: map[string]*entry{}, aggs: map[string]*entry{}, windows: map[string]*entry{}}
		r.rows = append(r.rows, clauseRows()...)
		for _, group := range [][]*entry{stringEntries(), textEntries(), mathEntries(), dateEntries(), arrayEntries(), lambdaEntries(), mapEntries(), jsonEntries(), conditionalEntries(), miscEntries()} {
			r.add(r.scalars, "function", group)
		}
		r.add(r.aggs, "aggregate", aggregateEntries())
		r.add(r.windows, "window", windowEntries())
		registryVal = r
	})
	return registryVal
}

func (r *registry) add(m map[string]*entry, kind string, es []*entry) {
	for _, e := range es {
		e.row.Kind = kind
		e.row.Construct = strings.Join(e.names, ", ")
		r.rows = append(r.rows, e.row)
		for _, n := range e.names {
			if m[n] != nil {
				panic("sparksql: " + n + " stands twice in the table")
			}
			m[n] = e
		}
	}
}

// Constructs yields the table of everything that is translated for DuckDB, in a stable
// order: the manual prints it.
func Constructs() []Row { return append([]Row(nil), table().rows...) }

// fn makes an entry from a signature and a template. A signature has a letter for each
// argument: s string, i int, l bigint, d double, b boolean, B binary, D date,
// t timestamp, n any number, a array, m map, ? anything; arguments behind | may be
// missing; * repeats the last. The templates are parted by ;; and chosen by the number
// of missing arguments. The result is a type, or =N for the type of argument N.
func fn(names, sig, result, template, proof string) *entry {
	e := &entry{names: strings.Fields(strings.ReplaceAll(names, ",", " "))}
	e.row = Row{Types: describe(sig) + " → " + result, Rewrite: template, Case: proof}
	templates := strings.Split(template, ";;")
	required, optional, _ := strings.Cut(sig, "|")
	letters := required + optional
	repeat := strings.HasSuffix(letters, "*")
	letters = strings.TrimSuffix(letters, "*")
	e.build = func(t *translator, c *call, a []ex) ex {
		if len(a) < len(strings.TrimSuffix(required, "*")) || len(a) > len(letters) && !repeat {
			return t.bad(c.Pos, c.name, "%s takes %s, found %d arguments", c.name, describe(sig), len(a))
		}
		args := make([]string, len(a))
		typed := make([]ex, len(a))
		for i, x := range a {
			l := letters[min(i, len(letters)-1)]
			y, ok := t.argument(x, l, c)
			if !ok {
				return ex{sql: "NULL"}
			}
			typed[i], args[i] = y, t.typed(y)
		}
		tmpl := templates[min(len(letters)-min(len(a), len(letters)), len(templates)-1)]
		typ, err := resultType(result, typed)
		if err != nil {
			panic(err)
		}
		return ex{sql: fill(tmpl, args), typ: typ}
	}
	return e
}

func resultType(result string, args []ex) (Type, error) {
	if n, ok := strings.CutPrefix(result, "="); ok {
		i, err := strconv.Atoi(n)
		if err != nil || i >= len(args) {
			return Type{}, fmt.Errorf("result %s", result)
		}
		return args[i].typ, nil
	}
	if n, ok := strings.CutPrefix(result, "elem"); ok {
		i, err := strconv.Atoi(n)
		if err != nil {
			return Type{}, err
		}
		return *args[i].typ.Elem, nil
	}
	return ParseType(result)
}

func fill(tmpl string, args []string) string {
	if strings.Contains(tmpl, "{*}") {
		tmpl = strings.ReplaceAll(tmpl, "{*}", strings.Join(args, ", "))
	}
	for i, a := range args {
		tmpl = strings.ReplaceAll(tmpl, "{"+strconv.Itoa(i)+"}", a)
	}
	return tmpl
}

var letterTypes = map[byte]Type{'s': simple(String), 'i': simple(Int), 'l': simple(Long), 'd': simple(Double), 'b': simple(Boolean), 'B': simple(Binary),
	'D': simple(Date), 't': simple(Timestamp), 'z': simple(TimestampNTZ)}

func describe(sig string) string {
	words := map[byte]string{'n': "number", 'a': "array", 'm': "map", '?': "any", '|': "[", '*': "…"}
	var out []string
	for i := range len(sig) {
		if w, ok := words[sig[i]]; ok {
			out = append(out, w)
		} else {
			out = append(out, letterTypes[sig[i]].String())
		}
	}
	s := "(" + strings.Join(out, ", ") + ")"
	s = strings.ReplaceAll(s, ", …", "…")
	if strings.Contains(s, "[, ") || strings.HasPrefix(s, "([") {
		s = strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(s, ", [, ", " [, "), "([, ", "(["), ")") + "])"
	}
	return s
}

// argument casts one argument as Spark does on its own.
func (t *translator) argument(x ex, letter byte, c *call) (ex, bool) {
	if !x.typ.known() {
		return x, false
	}
	switch letter {
	case '?':
		return x, true
	case 'n':
		if x.typ.Kind == String || x.typ.Kind == Void {
			return t.cast(x, simple(Double), c.Pos), true
		}
		if !x.typ.numeric() {
			t.bad(c.Pos, c.name, "%s wants a number, found %s", c.name, x.typ)
			return x, false
		}
		return x, true
	case 'a', 'm':
		want := map[byte]Kind{'a': Array, 'm': Map}[letter]
		if x.typ.Kind != want {
			t.refuse(c.Pos, fmt.Sprintf("%s over %s", c.name, x.typ), "")
			return x, false
		}
		return x, true
	}
	to := letterTypes[letter]
	switch {
	case x.typ.Equal(to), x.typ.Kind == Void:
	case letter == 's':
		if x.typ.Kind == Binary && c.name != "cast" {
			t.refuse(c.Pos, c.name+" over binary", "decode it first")
			return x, false
		}
		y := t.implicitString(x, c.Pos, c.name)
		return y, y.typ.known()
	case x.typ.Kind == String && letter != 'b':
	case x.typ.numeric() && to.numeric():
		if to.integral() && (x.typ.fractional() || x.typ.Kind == Decimal) && letter == 'i' {
			break // Spark casts on its own where it wants an int
		}
	case x.typ.datetime() && to.datetime():
	default:
		t.bad(c.Pos, c.name, "%s wants %s, found %s", c.name, to, x.typ)
		return x, false
	}
	y := t.cast(x, to, c.Pos)
	return y, y.typ.known()
}

// custom makes an entry whose translation is code.
func custom(names, types, rewrite, proof string, b builder) *entry {
	return &entry{names: strings.Fields(strings.ReplaceAll(names, ",", " ")), row: Row{Types: types, Rewrite: rewrite, Case: proof}, build: b}
}

func special(names, types, rewrite, proof string, f func(t *translator, c *call, sc *scope) ex) *entry {
	e := custom(names, types, rewrite, proof, nil)
	e.special = f
	return e
}

// call translates a function call.
func (t *translator) call(c *call, sc *scope) ex {
	if c.place != nil {
		return t.refuse(c.Pos, "identifier({{ … }}) as a function", "")
	}
	if len(c.qualifier) > 0 {
		return t.refuse(c.Pos, "function "+joinName(c.qualifier)+"."+c.name, "")
	}
	r := table()
	if c.over != nil {
		return t.windowCall(c, sc)
	}
	if e := r.aggs[c.name]; e != nil {
		return t.aggregate(e, c, sc)
	}
	if r.windows[c.name] != nil {
		return t.bad(c.Pos, c.name, "%s wants an OVER clause", c.name)
	}
	e := r.scalars[c.name]
	if e == nil {
		return t.unknownFunction(c, sc)
	}
	if c.distinct || c.filter != nil || len(c.withinGroup) > 0 || c.ignoreNulls != "" {
		return t.bad(c.Pos, c.name, "%s is no aggregate: DISTINCT, FILTER and the like have no place here", c.name)
	}
	if e.special != nil {
		return e.special(t, c, sc)
	}
	args, ok := t.args(c, sc)
	if !ok {
		return ex{sql: "NULL"}
	}
	return e.build(t, c, args)
}

func (t *translator) args(c *call, sc *scope) ([]ex, bool) {
	ok := true
	var args []ex
	for _, a := range c.args {
		if a.name != "" && c.name != "struct" {
			t.refuse(c.Pos, "a named argument of "+c.name, "give the arguments by their places")
			ok = false
		}
		e := t.expr(a.x, sc)
		ok = ok && e.typ.known()
		args = append(args, e)
	}
	return args, ok
}

func (t *translator) unknownFunction(c *call, sc *scope) ex {
	for _, a := range c.args {
		if _, isLambda := a.x.(*lambda); !isLambda {
			if _, isStar := a.x.(*star); !isStar {
				t.expr(a.x, sc)
			}
		}
	}
	if generators[c.name] {
		return t.refuse(c.Pos, c.name+" here", "use it alone in the select list or in LATERAL VIEW")
	}
	f := Fault{Construct: c.name, Pos: c.Pos, Message: "function " + c.name + " is not translated for DuckDB", Hint: wayOut}
	r := table()
	if n := nearest(c.name, append(append(keys(r.scalars), keys(r.aggs)...), keys(r.windows)...)); n != "" && len(c.name) > 3 {
		f.Hint = "did you mean " + n + "? Else " + wayOut
	}
	t.addFault(f)
	return ex{sql: "NULL"}
}

// Construct is one construct that a text uses.
type Construct struct {
	Name string // a function's name, an operator, a clause
	Kind string // function, operator, cast or clause
	Pos  Pos
}

// Constructs lists the functions, operators, casts and clauses of the text, every use.
func (q *Query) Constructs() []Construct {
	w := &constructWalk{}
	w.query(q.root)
	return w.out
}

type constructWalk struct{ out []Construct }

func (w *constructWalk) add(kind, n string, at Pos) {
	w.out = append(w.out, Construct{Name: n, Kind: kind, Pos: at})
}

func (w *constructWalk) query(q *query) {
	for _, c := range q.with {
		w.add("clause", "WITH", c.name.Pos)
		w.query(c.query)
	}
	for _, c := range []struct {
		n  string
		is bool
	}{{"ORDER BY", q.order != nil}, {"SORT BY", q.sort != nil}, {"CLUSTER BY", q.cluster != nil}, {"DISTRIBUTE BY", q.distribute != nil}, {"LIMIT", q.limit != nil}, {"OFFSET", q.offset != nil}} {
		if c.is {
			w.add("clause", c.n, q.Pos)
		}
	}
	w.body(q.body)
	w.exprs(tailExprs(q))
}

func (w *constructWalk) body(b queryBody) {
	switch b := b.(type) {
	case *query:
		w.query(b)
	case *setOp:
		n := b.op
		if b.all {
			n += " ALL"
		}
		w.add("clause", n, b.Pos)
		w.body(b.l)
		w.body(b.r)
	case *values:
		w.add("clause", "VALUES", b.Pos)
		w.exprs(b.rows)
	case *selectBody:
		if b.distinct {
			w.add("clause", "DISTINCT", b.Pos)
		}
		if b.group != nil {
			w.add("clause", "GROUP BY", b.group.Pos)
			for _, e := range b.group.more {
				if e.kind != "" {
					w.add("clause", e.kind, b.group.Pos)
				}
			}
		}
		if b.having != nil {
			w.add("clause", "HAVING", b.having.at())
		}
		for _, v := range b.views {
			w.add("clause", "LATERAL VIEW", v.Pos)
		}
		for _, r := range b.from {
			w.relation(r)
		}
		w.exprs(selectExprs(b))
	}
}

func (w *constructWalk) relation(r relation) {
	switch r := r.(type) {
	case *queryRel:
		if r.lateral {
			w.add("clause", "LATERAL", r.Pos)
		}
		w.query(r.query)
	case *functionRel:
		w.exprs([]expr{r.call})
	case *valuesRel:
		w.add("clause", "VALUES", r.Pos)
		w.exprs(r.values.rows)
	case *groupRel:
		w.relation(r.rel)
	case *join:
		w.add("clause", r.kind+" JOIN", r.Pos)
		w.relation(r.l)
		w.relation(r.r)
		if r.on != nil {
			w.exprs([]expr{r.on})
		}
	case *pivot:
		w.add("clause", "PIVOT", r.Pos)
		w.relation(r.rel)
		for _, a := range r.aggs {
			w.exprs([]expr{a.x})
		}
	case *unpivot:
		w.add("clause", "UNPIVOT", r.Pos)
		w.relation(r.rel)
	case *tableRel:
		if r.sample != nil {
			w.add("clause", "TABLESAMPLE", r.Pos)
		}
	}
}

func (w *constructWalk) exprs(xs []expr) {
	for _, x := range xs {
		switch x := x.(type) {
		case *call:
			w.add("function", x.name, x.Pos)
			if x.over != nil {
				w.add("clause", "OVER", x.Pos)
			}
			if x.filter != nil {
				w.add("clause", "FILTER", x.Pos)
			}
		case *binary:
			w.add("operator", x.op, x.Pos)
		case *unary:
			w.add("operator", x.op, x.Pos)
		case *like:
			w.add("operator", x.op, x.Pos)
		case *between:
			w.add("operator", "BETWEEN", x.Pos)
		case *in:
			w.add("operator", "IN", x.Pos)
		case *is:
			w.add("operator", "IS "+x.what, x.Pos)
		case *cast:
			w.add("cast", "CAST AS "+x.typ.String(), x.Pos)
		case *caseExpr:
			w.add("operator", "CASE", x.Pos)
		case *existsQuery:
			w.add("clause", "EXISTS", x.Pos)
		}
		ys, qs := exprChildren(x)
		w.exprs(ys)
		for _, q := range qs {
			w.query(q)
		}
	}
}
