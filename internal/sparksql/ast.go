package sparksql

// The tree. Every node knows where it begins. Parentheses are not kept: the printer
// puts them back where precedence wants them.

type node interface{ at() Pos }

// expr is a value expression.
type expr interface{ node }

func (p Pos) at() Pos { return p }

// name is one identifier as written, without its backticks, or the place of one.
type name struct {
	Pos
	text   string
	quoted bool
	place  *Param // identifier({{ … }}) or identifier('a.b')
}

type litKind int

const (
	litNull litKind = iota
	litBool
	litByte
	litShort
	litInt
	litLong
	litDecimal
	litDouble
	litFloat
	litString
	litBinary
	litDate
	litTimestamp
	litTimestampNTZ
)

// literal is a constant; text is the value: digits, decoded characters, hex digits.
type literal struct {
	Pos
	kind    litKind
	text    string
	doubled bool // written with two quotes in a row, which Spark 3.5 and 4 read differently
}

type intervalPart struct {
	value expr // a literal, a signed literal, or any expression
	unit  string
}

// interval is INTERVAL in any of its forms: a text alone ("1 day 2 hours"), pairs of
// value and unit, or one text with a range of units.
type interval struct {
	Pos
	text     string // for the form of a text alone
	whole    bool   // text alone
	parts    []intervalPart
	from, to string // INTERVAL '…' YEAR TO MONTH
}

type column struct {
	Pos
	parts []name
}

type star struct {
	Pos
	qualifier []name
	except    []*column
}

type unary struct {
	Pos
	op string // - + ~ NOT
	x  expr
}

// binary is an infix operator: OR AND = <> < <= > >= <=> + - * / % DIV | & ^ ||
type binary struct {
	Pos
	op   string
	l, r expr
}

type between struct {
	Pos
	not       bool
	x, lo, hi expr
}

type in struct {
	Pos
	not   bool
	x     expr
	list  []expr
	query *query
}

// like is [NOT] LIKE, ILIKE, RLIKE, with a quantifier (ANY, ALL) over several patterns.
type like struct {
	Pos
	not        bool
	op         string // LIKE ILIKE RLIKE
	x          expr
	pattern    expr
	escape     string
	quantifier string // "", ANY, ALL
	patterns   []expr
}

// is is IS [NOT] NULL, TRUE, FALSE, UNKNOWN, or DISTINCT FROM.
type is struct {
	Pos
	not  bool
	what string
	x, y expr
}

type when struct{ cond, then expr }

type caseExpr struct {
	Pos
	operand expr
	whens   []when
	elseX   expr
}

type cast struct {
	Pos
	x   expr
	typ Type
	try bool
}

type arg struct {
	name string // a named argument, or empty
	x    expr
}

// call is a function, an aggregate or a window function.
type call struct {
	Pos
	name        string // in lower case
	place       *Param
	qualifier   []name // before the name: a schema
	distinct    bool
	args        []arg
	ignoreNulls string // "", IGNORE, RESPECT
	filter      expr
	withinGroup []sortItem
	over        *windowSpec
}

type subscript struct {
	Pos
	x, index expr
}

type field struct {
	Pos
	x    expr
	name name
}

type lambda struct {
	Pos
	params []name
	body   expr
}

type tuple struct {
	Pos
	items []expr
}

type existsQuery struct {
	Pos
	query *query
}

type subquery struct {
	Pos
	query *query
}

// place is {{ … }} where a value stands.
type place struct {
	Pos
	param *Param
}

type sortItem struct {
	x     expr
	desc  bool
	nulls string // "", FIRST, LAST
}

type frameBound struct {
	kind string // UNBOUNDED PRECEDING, PRECEDING, CURRENT ROW, FOLLOWING, UNBOUNDED FOLLOWING
	x    expr
}

type windowFrame struct {
	unit   string // ROWS RANGE
	lo, hi frameBound
	single bool
}

type windowSpec struct {
	Pos
	ref       string // OVER w, or the base of a specification
	partition []expr
	order     []sortItem
	frame     *windowFrame
}

type namedWindow struct {
	name string
	spec *windowSpec
}

type cte struct {
	name    name
	columns []name
	query   *query
}

// query is a whole query with what stands before and behind its body.
type query struct {
	Pos
	with       []cte
	body       queryBody
	order      []sortItem
	sort       []sortItem
	cluster    []expr
	distribute []expr
	windows    []namedWindow
	limit      expr // nil: none; LIMIT ALL is none
	offset     expr
}

// queryBody is *selectBody, *setOp, *values, *tableBody or a *query in parentheses.
type queryBody interface{ node }

type setOp struct {
	Pos
	op   string // UNION INTERSECT EXCEPT
	all  bool
	l, r queryBody
}

type values struct {
	Pos
	rows []expr // a tuple is a row of several columns
}

type tableBody struct {
	Pos
	name []name
}

type selectItem struct {
	x       expr
	alias   *name
	aliases []name // (a, b) behind a generator
}

type hint struct {
	name string
	args []expr
}

type groupBy struct {
	Pos
	all  bool
	more []groupElement
}

type groupElement struct {
	x    expr // a plain expression when kind is empty
	kind string
	sets [][]expr
}

type lateralView struct {
	Pos
	outer   bool
	gen     *call
	alias   name
	columns []name
}

type selectBody struct {
	Pos
	hints    []hint
	distinct bool
	items    []selectItem
	from     []relation
	views    []*lateralView
	where    expr
	group    *groupBy
	having   expr
	windows  []namedWindow
}

// relation is what stands in FROM.
type relation interface{ node }

type relAlias struct {
	name    *name
	columns []name
}

type sample struct {
	kind       string // PERCENT ROWS BUCKET BYTES
	value      expr
	outOf      string
	repeatable string
}

type tableRel struct {
	Pos
	name   []name
	alias  relAlias
	sample *sample
}

type queryRel struct {
	Pos
	query   *query
	lateral bool
	alias   relAlias
	sample  *sample
}

type functionRel struct {
	Pos
	call    *call
	lateral bool
	alias   relAlias
}

type valuesRel struct {
	Pos
	values *values
	alias  relAlias
}

type groupRel struct { // ( relation ) with an alias of its own
	Pos
	rel   relation
	alias relAlias
}

type join struct {
	Pos
	kind    string // INNER LEFT RIGHT FULL CROSS "LEFT SEMI" "LEFT ANTI"
	natural bool
	l, r    relation
	on      expr
	using   []name
}

type pivotAgg struct {
	x     expr
	alias *name
}

type pivotValue struct {
	x     expr
	alias *name
}

type pivot struct {
	Pos
	rel     relation
	aggs    []pivotAgg
	columns []name
	values  []pivotValue
	alias   relAlias
}

type unpivotColumn struct {
	columns []*column
	alias   *name
}

type unpivot struct {
	Pos
	rel       relation
	nulls     string // "", INCLUDE, EXCLUDE
	valueCols []name
	nameCol   name
	columns   []unpivotColumn
	alias     relAlias
}
