package sparksql

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Options say what the translation may know and assume.
type Options struct {
	// Catalog gives the columns of a table, by its name as Tables gives it, and whether
	// it is known. A nil Catalog knows nothing; most texts then give faults with
	// NeedsTypes set.
	Catalog func(table string) ([]Field, bool)
	// Table gives the DuckDB text that stands for a table; nil: the quoted parts of its name.
	Table func(table string) string
	// ParamTypes are the types of the {{ … }} values by Param.Index; a missing one is a string.
	ParamTypes []Type
	// Name resolves identifier({{ … }}); nil refuses it.
	Name func(p Param) (string, error)
	// Ansi is Spark's ANSI mode, which Spark 4 has by default and Spark 3.5 has not.
	Ansi bool
	// Timezone is the session's zone; empty is UTC. It must be the session's own.
	Timezone string
}

// Translated is a query in DuckDB's words.
type Translated struct {
	SQL string
	// Params are the values to bind: $1 is Params[0]. A place that is used twice is bound once.
	Params []Param
	// Columns are the result's columns with Spark's types. DuckDB carries an interval of
	// months as an INTEGER, one of days to seconds as a BIGINT of microseconds.
	Columns []Field
}

// Fault is a reason why a query is not translated.
type Fault struct {
	Construct string // what is refused: a function's name, a clause, a cast
	Pos       Pos
	Message   string
	Hint      string // the way out
	// NeedsTypes is set when the columns of a table were not known; with a catalog that
	// knows them the fault may go away.
	NeedsTypes bool
}

// Error gives the fault as text.
func (f Fault) Error() string {
	s := f.Pos.String() + ": " + f.Message
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

const wayOut = "give the step two texts, {duckdb: …, spark: …}, or run it on Spark"

// DuckDB translates a query. Either there are no faults and the translation gives what
// Spark gives, or there are faults, all of them, and no translation.
func DuckDB(q *Query, o Options) (Translated, []Fault) {
	t := &translator{opt: o, used: map[string]int{}, params: map[*Param]int{}}
	if o.Timezone == "" {
		t.opt.Timezone = "UTC"
	}
	if o.Ansi {
		t.fault(q.root.Pos, "ANSI mode", "Spark's ANSI mode is not translated", wayOut)
	}
	r := t.query(q.root, nil, nil, true)
	if len(t.faults) > 0 {
		sort.SliceStable(t.faults, func(i, j int) bool { return t.faults[i].Pos.Offset < t.faults[j].Pos.Offset })
		return Translated{}, t.faults
	}
	out := Translated{SQL: r.sql, Params: t.order}
	for _, c := range r.cols {
		out.Columns = append(out.Columns, Field{Name: c.name, Type: c.typ})
	}
	return out, nil
}

type translator struct {
	opt    Options
	faults []Fault
	used   map[string]int // relation aliases given out, in lower case
	params map[*Param]int
	order  []Param
}

func (t *translator) fault(at Pos, construct, message, hint string) {
	t.addFault(Fault{Construct: construct, Pos: at, Message: message, Hint: hint})
}

func (t *translator) addFault(f Fault) {
	for _, g := range t.faults {
		if g.Pos == f.Pos && g.Message == f.Message {
			return
		}
	}
	if len(t.faults) < 100 {
		t.faults = append(t.faults, f)
	}
}

// refuse notes a construct that stands in no row of the table.
func (t *translator) refuse(at Pos, construct, why string) ex {
	msg := construct + " is not translated for DuckDB"
	if why != "" {
		msg += ": " + why
	}
	t.fault(at, construct, msg, wayOut)
	return ex{sql: "NULL"}
}

// bad notes a query that Spark would refuse too.
func (t *translator) bad(at Pos, construct, format string, args ...any) ex {
	t.fault(at, construct, fmt.Sprintf(format, args...), "")
	return ex{sql: "NULL"}
}

// alias gives a relation's name that no other relation of the text has, so that names
// of outer queries are never captured.
func (t *translator) alias(want string) string {
	if want == "" {
		want = "t"
	}
	k := strings.ToLower(want)
	t.used[k]++
	if n := t.used[k]; n > 1 {
		return t.alias(want + "_" + strconv.Itoa(n))
	}
	return want
}

// ex is a translated expression.
type ex struct {
	sql string
	typ Type
	lit *literal // set when it is a constant as written
}

// binding is a column that a name can mean.
type binding struct {
	name  string
	quals []string // what may stand before it, in lower case, innermost last
	sql   string
	typ   Type
	// hidden columns are found by a qualified name only: the copies that USING merges.
	hidden bool
}

// scope is the names that an expression may use.
type scope struct {
	cols    []binding
	outer   *scope
	vars    map[string]ex // parameters of lambdas around the expression
	aliases []aliasItem   // select items, for the clauses that may name them
	windows map[string]*windowSpec
	grouped bool // aggregates are allowed
	inAgg   bool
	ctes    *cteBinding
}

type aliasItem struct {
	name string
	val  ex
}

// result is a translated query: its text and its columns; sql names of the columns
// differ from each other even where Spark's do not.
type result struct {
	sql  string
	cols []resultCol
}

type resultCol struct {
	name string
	sql  string // the column's name in the DuckDB text, without quotes
	typ  Type
}

type cteBinding struct {
	name string
	sql  string
	cols []resultCol
	up   *cteBinding
}

func (c *cteBinding) find(n string) *cteBinding {
	for ; c != nil; c = c.up {
		if strings.EqualFold(c.name, n) {
			return c
		}
	}
	return nil
}

// query translates a query; top keeps Spark's names for its columns.
func (t *translator) query(q *query, ctes *cteBinding, outer *scope, top bool) result {
	var with []string
	for _, c := range q.with {
		r := t.query(c.query, ctes, nil, false)
		if len(c.columns) > 0 {
			if len(c.columns) != len(r.cols) {
				t.bad(c.name.Pos, "WITH", "%s names %d columns, its query has %d", c.name.text, len(c.columns), len(r.cols))
			}
			for i := range min(len(c.columns), len(r.cols)) {
				r.cols[i].name = c.columns[i].text
			}
		}
		b := &cteBinding{name: c.name.text, sql: t.alias(c.name.text), cols: r.cols, up: ctes}
		with = append(with, duckName(b.sql)+" AS ("+r.sql+")")
		ctes = b
	}
	if len(q.sort)+len(q.cluster)+len(q.distribute) > 0 {
		// They say how Spark lays rows out, not which rows there are.
		if q.limit != nil || q.offset != nil {
			t.refuse(q.Pos, "SORT BY with LIMIT", "which rows remain depends on Spark's partitions")
		}
	}
	var r result
	switch b := q.body.(type) {
	case *selectBody:
		r = t.selectBody(b, q, ctes, outer, top)
	default:
		r = t.body(q.body, ctes, outer, top)
		r = t.tail(q, r, outer)
	}
	if len(with) > 0 {
		r.sql = "WITH " + strings.Join(with, ", ") + " " + r.sql
	}
	return r
}

// tail adds ORDER BY and LIMIT to a set operation, VALUES or a query in parentheses.
func (t *translator) tail(q *query, r result, outer *scope) result {
	if len(q.order) == 0 && q.limit == nil && q.offset == nil {
		return r
	}
	a := t.alias("q")
	sc := &scope{outer: outer}
	var list []string
	for _, c := range r.cols {
		ref := duckName(a) + "." + duckName(c.sql)
		sc.cols = append(sc.cols, binding{name: c.name, sql: ref, typ: c.typ})
		sc.aliases = append(sc.aliases, aliasItem{c.name, ex{sql: ref, typ: c.typ}})
		list = append(list, ref+" AS "+duckName(c.sql))
	}
	r.sql = "SELECT " + strings.Join(list, ", ") + " FROM (" + r.sql + ") AS " + duckName(a)
	r.sql += t.orderBy(q.order, sc, false) + t.limits(q)
	return r
}

func (t *translator) limits(q *query) string {
	s := ""
	for _, l := range []struct {
		word string
		x    expr
	}{{"LIMIT", q.limit}, {"OFFSET", q.offset}} {
		if l.x == nil {
			continue
		}
		e := t.expr(l.x, &scope{})
		if e.typ.known() && !e.typ.integral() {
			if _, isPlace := l.x.(*place); !isPlace {
				t.bad(l.x.at(), l.word, "%s wants a whole number, found %s", l.word, e.typ)
			}
			e = t.cast(e, simple(Int), l.x.at())
		}
		s += " " + l.word + " " + e.sql
	}
	return s
}

func (t *translator) body(b queryBody, ctes *cteBinding, outer *scope, top bool) result {
	switch b := b.(type) {
	case *query:
		r := t.query(b, ctes, outer, top)
		r.sql = "(" + r.sql + ")"
		return r
	case *setOp:
		return t.setOp(b, ctes, outer, top)
	case *values:
		return t.values(b, nil)
	case *tableBody:
		s := &selectBody{Pos: b.Pos, items: []selectItem{{x: &star{Pos: b.Pos}}}, from: []relation{&tableRel{Pos: b.Pos, name: b.name}}}
		return t.selectBody(s, nil, ctes, outer, top)
	case *selectBody:
		return t.selectBody(b, nil, ctes, outer, top)
	}
	return result{}
}

func (t *translator) setOp(b *setOp, ctes *cteBinding, outer *scope, top bool) result {
	l, r := t.body(b.l, ctes, outer, top), t.body(b.r, ctes, outer, top)
	if len(l.cols) != len(r.cols) {
		t.bad(b.Pos, b.op, "the two sides of %s have %d and %d columns", b.op, len(l.cols), len(r.cols))
		return l
	}
	types := make([]Type, len(l.cols))
	for i := range l.cols {
		types[i] = t.widerOrFault(b.Pos, b.op, l.cols[i].typ, r.cols[i].typ)
		if b.op != "UNION" || !b.all {
			if types[i].Kind == Map {
				t.refuse(b.Pos, b.op+" over maps", "Spark does not compare maps")
			}
		}
	}
	lsql, rsql := t.retype(l, types, l.cols, b.Pos), t.retype(r, types, l.cols, b.Pos)
	op := " " + b.op + " "
	if b.all {
		op += "ALL "
	}
	out := result{sql: lsql + op + rsql}
	for i, c := range l.cols {
		out.cols = append(out.cols, resultCol{name: c.name, sql: c.sql, typ: types[i]})
	}
	return out
}

// retype gives an operand of a set operation the wanted types.
func (t *translator) retype(r result, types []Type, names []resultCol, at Pos) string {
	a := t.alias("u")
	list := make([]string, len(types))
	for i, c := range r.cols {
		e := t.cast(ex{sql: duckName(a) + "." + duckName(c.sql), typ: c.typ}, types[i], at)
		list[i] = e.sql + " AS " + duckName(names[i].sql)
	}
	return "(SELECT " + strings.Join(list, ", ") + " FROM (" + r.sql + ") AS " + duckName(a) + ")"
}

// values translates VALUES; names are the columns' names when an alias gives them.
func (t *translator) values(v *values, names []name) result {
	var rows [][]ex
	var types []Type
	for _, row := range v.rows {
		items := []expr{row}
		if tp, ok := row.(*tuple); ok {
			items = tp.items
		} else if c, ok := row.(*call); ok && (c.name == "struct" || c.name == "named_struct") && len(c.qualifier) == 0 {
			items = nil
			for i, a := range c.args {
				if c.name == "struct" || i%2 == 1 {
					items = append(items, a.x)
				}
			}
		}
		var es []ex
		for i, x := range items {
			e := t.expr(x, &scope{})
			es = append(es, e)
			if len(rows) == 0 {
				types = append(types, e.typ)
			} else if i < len(types) {
				types[i] = t.widerOrFault(x.at(), "VALUES", types[i], e.typ)
			}
		}
		if len(es) != len(types) {
			t.bad(row.at(), "VALUES", "this row has %d columns, the first has %d", len(es), len(types))
			return result{}
		}
		rows = append(rows, es)
	}
	out := result{}
	for i, ty := range types {
		n := fmt.Sprintf("col%d", i+1)
		if i < len(names) {
			n = names[i].text
		}
		out.cols = append(out.cols, resultCol{name: n, sql: n, typ: ty})
	}
	uniqueNames(out.cols)
	texts := make([]string, len(rows))
	for i, es := range rows {
		parts := make([]string, len(es))
		for j, e := range es {
			parts[j] = t.typed(t.cast(e, types[j], v.Pos))
		}
		texts[i] = "(" + strings.Join(parts, ", ") + ")"
	}
	cols := make([]string, len(out.cols))
	for i, c := range out.cols {
		cols[i] = duckName(c.sql)
	}
	a := t.alias("v")
	out.sql = "SELECT * FROM (VALUES " + strings.Join(texts, ", ") + ") AS " + duckName(a) + "(" + strings.Join(cols, ", ") + ")"
	return out
}

// typed gives NULL constants the type that DuckDB has to see.
func (t *translator) typed(e ex) string {
	if e.lit != nil && e.lit.kind == litNull && e.typ.Kind != Void {
		return "CAST(NULL AS " + e.typ.DuckDB() + ")"
	}
	return e.sql
}

// uniqueNames makes the columns' names in DuckDB differ, as the letters' case does not
// tell names apart.
func uniqueNames(cols []resultCol) {
	seen := map[string]bool{}
	for i := range cols {
		n := cols[i].name
		for k := 2; seen[strings.ToLower(n)]; k++ {
			n = cols[i].name + ":" + strconv.Itoa(k)
		}
		seen[strings.ToLower(n)] = true
		cols[i].sql = n
	}
}
