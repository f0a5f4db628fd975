package jsonata

type kind uint8

const (
	kEnd kind = iota
	kOperator
	kName
	kString
	kNumber
	kValue
	kVariable
	kRegex
	kWildcard
	kDescendant
	kParent
	kBinary
	kNegate
	kArray
	kObject
	kFunction
	kPartial
	kLambda
	kThunk
	kBlock
	kCondition
	kElvis    // a ?: b
	kCoalesce // a ?? b
	kTransform
	kPath
	kSort
	kBind
	kApply
)

// kindNames are the reference's names of the node types, as they appear in messages.
var kindNames = map[kind]string{
	kEnd: "(end)", kOperator: "operator", kName: "name", kString: "string", kNumber: "number", kValue: "value",
	kVariable: "variable", kRegex: "regex", kWildcard: "wildcard", kDescendant: "descendant", kParent: "parent",
	kBinary: "binary", kNegate: "unary", kArray: "unary", kObject: "unary", kFunction: "function", kPartial: "partial",
	kLambda: "lambda", kThunk: "lambda", kBlock: "block", kCondition: "condition", kElvis: "condition",
	kCoalesce: "condition", kTransform: "transform", kPath: "path", kSort: "sort", kBind: "bind", kApply: "apply",
}

// node is one node of the tree, first as the parser reads it, then as the second pass
// (see resolve.go) leaves it; from then on it is not changed any more.
type node struct {
	kind       kind
	op         operator // of kBinary
	text       string   // operator, name, variable or string
	value      any      // of literals
	start, end int      // bytes of the token in the text

	lhs, rhs, third *node   // operands; procedure in lhs; then, else in rhs, third; pattern, update, delete
	list            []*node // steps, items, arguments, expressions
	params          []*node // of a lambda
	sig             *signature
	pairs           [][2]*node // of an object constructor or group
	terms           []sortTerm // of an order-by
	group           *node      // a kObject whose pairs group the value

	predicates []stage // filters on a value
	stages     []stage // filters and index bindings on a step of a path

	keepArray  bool
	keepSingle bool // of a path: a sequence of one stays an array
	cons       bool // an array constructor whose result is not flattened
	tuple      bool // the step binds variables or parents
	focus      string
	index      string
	slot       *slot   // of a kParent: the label its value is bound to
	ancestor   *slot   // of a step: the label to bind the step's context to
	seeking    []*slot // parents whose step has not been found yet
}

type sortTerm struct {
	descending bool
	expr       *node
}

// stage is a filter or, with index set, the binding of a position.
type stage struct {
	expr  *node
	index string
}

// slot is one use of the parent operator, while the step it means is looked for.
type slot struct {
	label string
	level int
}

type operator uint8

const (
	opNone operator = iota
	opAdd
	opSub
	opMul
	opDiv
	opMod
	opEq
	opNe
	opLt
	opLe
	opGt
	opGe
	opConcat
	opAnd
	opOr
	opIn
	opRange
	opDot
	opFilter
	opGroup
	opSort
	opBind
	opFocus
	opIndex
	opApply
)

type infix struct {
	power int
	op    operator
}

// infixes are the binding powers of the operators that take a left side.
var infixes = map[string]infix{
	".": {75, opDot}, "[": {80, opFilter}, "{": {70, opGroup}, "(": {80, opNone}, "@": {80, opFocus}, "#": {80, opIndex},
	"?": {20, opNone}, "?:": {40, opNone}, "??": {40, opNone}, "+": {50, opAdd}, "-": {50, opSub}, "*": {60, opMul},
	"/": {60, opDiv}, "%": {60, opMod}, "=": {40, opEq}, "<": {40, opLt}, ">": {40, opGt}, "^": {40, opSort},
	":=": {10, opBind}, "!=": {40, opNe}, "<=": {40, opLe}, ">=": {40, opGe}, "~>": {40, opApply}, "and": {30, opAnd},
	"or": {25, opOr}, "in": {40, opIn}, "&": {50, opConcat},
}

// known are the operators that exist only in other places than between operands.
var known = map[string]bool{":": true, ";": true, ",": true, ")": true, "]": true, "}": true, "..": true, "**": true, "|": true}
