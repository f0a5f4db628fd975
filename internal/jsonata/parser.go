package jsonata

import "strings"

// maxNesting is how deep a text may nest, and maxChain how many operators may follow each
// other on one level; both are far above what people and programs write.
const (
	maxNesting = 2000
	maxChain   = 10_000
)

// Parse reads an expression. An error is an *Error with a code of the S family.
func Parse(text string) (*Expr, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err.finish(text)
	}
	return &Expr{text: text, root: root}, nil
}

func parse(text string) (*node, *Error) {
	p := &parser{lex: lexer{s: text}}
	if err := p.advance(false); err != nil {
		return nil, err
	}
	raw, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokEnd {
		return nil, p.unexpected("S0201")
	}
	r := resolver{}
	n, err := r.resolve(raw)
	if err != nil {
		return nil, err
	}
	if n.kind == kParent || len(n.seeking) > 0 {
		return nil, faultAt("S0217", n).token(kindNames[n.kind])
	}
	return n, nil
}

// parser reads by operator precedence: every token has a meaning as a prefix and, with a
// binding power, one behind a left side.
type parser struct {
	lex   lexer
	tok   token
	depth int
}

func (p *parser) fault(code string) *Error {
	e := fault(code)
	e.at, e.Start, e.end = true, p.tok.start, p.tok.end
	return e
}

// unexpected is a fault of the token at hand, whose text a message quotes unless it is a
// literal.
func (p *parser) unexpected(code string) *Error {
	e := p.fault(code).token(p.tok.text)
	e.literal = p.tok.kind == tokNumber || p.tok.kind == tokValue
	return e
}

// advance reads the next token.
func (p *parser) advance(infix bool) *Error {
	t, err := p.lex.next(infix)
	if err != nil {
		return err
	}
	p.tok = t
	if t.kind == tokOperator && infixes[t.text].power == 0 && !known[t.text] {
		return p.fault("S0204").token(t.text)
	}
	return nil
}

// expect passes over an operator that has to stand here.
func (p *parser) expect(op string, infix bool) *Error {
	if !p.tok.is(op) {
		code := "S0202"
		if p.tok.kind == tokEnd {
			code = "S0203"
		}
		e := p.unexpected(code)
		e.Value = op
		return e
	}
	return p.advance(infix)
}

func (p *parser) power() int {
	if p.tok.kind == tokOperator {
		return infixes[p.tok.text].power
	}
	return 0
}

func (p *parser) expression(power int) (*node, *Error) {
	if p.depth++; p.depth > maxNesting {
		return nil, p.fault("S0299")
	}
	t := p.tok
	if err := p.advance(true); err != nil {
		return nil, err
	}
	left, err := p.prefix(t)
	if err != nil {
		return nil, err
	}
	for chain := 0; power < p.power(); chain++ {
		if chain > maxChain {
			return nil, p.fault("S0299")
		}
		t = p.tok
		if err := p.advance(false); err != nil {
			return nil, err
		}
		if left, err = p.infix(t, left); err != nil {
			return nil, err
		}
	}
	p.depth--
	return left, nil
}

var tokenNodes = map[tokenKind]kind{
	tokEnd: kEnd, tokName: kName, tokVariable: kVariable, tokString: kString, tokNumber: kNumber, tokValue: kValue, tokRegex: kRegex,
}

func newNode(k kind, t token) *node {
	return &node{kind: k, text: t.text, value: t.value, start: t.start, end: t.end}
}

// prefix reads what a token begins.
func (p *parser) prefix(t token) (*node, *Error) {
	if t.kind != tokOperator {
		return newNode(tokenNodes[t.kind], t), nil
	}
	n := newNode(kOperator, t)
	var err *Error
	switch t.text {
	case "and", "or", "in": // may be names of fields; resolved later
	case "*":
		n.kind = kWildcard
	case "**":
		n.kind = kDescendant
	case "%":
		n.kind = kParent
	case "-":
		n.kind = kNegate
		n.lhs, err = p.expression(70)
	case "(":
		n.kind = kBlock
		err = p.block(n)
	case "[":
		n.kind = kArray
		err = p.array(n)
	case "{":
		n.kind = kObject
		n.pairs, err = p.pairs()
	case "|":
		n.kind = kTransform
		err = p.transform(n)
	default:
		return nil, faultAt("S0211", n).token(t.text)
	}
	return n, err
}

// infix reads what a token makes of its left side.
func (p *parser) infix(t token, left *node) (*node, *Error) {
	in := infixes[t.text]
	n := newNode(kBinary, t)
	n.op, n.lhs = in.op, left
	var err *Error
	switch t.text {
	case "(":
		return p.call(n)
	case "[":
		return p.filter(n)
	case "{":
		n.pairs, err = p.pairs()
	case "^":
		err = p.orderBy(n)
	case ":=":
		if left.kind != kVariable {
			return nil, faultAt("S0212", left).token(left.text)
		}
		n.rhs, err = p.expression(in.power - 1)
	case "@", "#":
		if n.rhs, err = p.expression(in.power); err == nil && n.rhs.kind != kVariable {
			err = faultAt("S0214", n.rhs).token(t.text)
		}
	case "?":
		n.kind = kCondition
		if n.rhs, err = p.expression(0); err == nil && p.tok.is(":") {
			if err = p.advance(false); err == nil {
				n.third, err = p.expression(0)
			}
		}
	case "?:":
		n.kind = kElvis
		n.rhs, err = p.expression(0)
	case "??":
		n.kind = kCoalesce
		n.rhs, err = p.expression(0)
	default:
		n.rhs, err = p.expression(in.power)
	}
	return n, err
}

// more passes over a comma and tells whether there was one.
func (p *parser) more() (bool, *Error) {
	if !p.tok.is(",") {
		return false, nil
	}
	return true, p.advance(false)
}

func (p *parser) call(n *node) (*node, *Error) {
	n.kind = kFunction
	for more := !p.tok.is(")"); more; {
		if p.tok.is("?") {
			n.kind = kPartial
			n.list = append(n.list, newNode(kOperator, p.tok))
			if err := p.advance(false); err != nil {
				return nil, err
			}
		} else {
			arg, err := p.expression(0)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, arg)
		}
		var err *Error
		if more, err = p.more(); err != nil {
			return nil, err
		}
	}
	if err := p.expect(")", true); err != nil {
		return nil, err
	}
	if f := n.lhs; f.kind == kName && (f.text == "function" || f.text == "λ") {
		return p.lambda(n)
	}
	return n, nil
}

func (p *parser) lambda(n *node) (*node, *Error) {
	n.kind = kLambda
	n.params, n.list, n.lhs = n.list, nil, nil
	for i, a := range n.params {
		if a.kind != kVariable {
			e := faultAt("S0208", a).token(a.text)
			e.Value = float64(i + 1)
			return nil, e
		}
	}
	if p.tok.is("<") {
		if err := p.signature(n); err != nil {
			return nil, err
		}
	}
	if err := p.expect("{", false); err != nil {
		return nil, err
	}
	var err *Error
	if n.rhs, err = p.expression(0); err != nil {
		return nil, err
	}
	return n, p.expect("}", false)
}

// signature reads the types of a lambda's parameters, which are no expression: the tokens
// are put together again.
func (p *parser) signature(n *node) *Error {
	start, end := p.tok.start, p.tok.end
	var sig strings.Builder
	sig.WriteByte('<')
	for depth := 1; depth > 0 && !p.tok.is("{") && p.tok.kind != tokEnd; {
		if err := p.advance(false); err != nil {
			return err
		}
		switch {
		case p.tok.is(">"):
			depth--
		case p.tok.is("<"):
			depth++
		}
		sig.WriteString(p.tok.text)
	}
	if err := p.expect(">", false); err != nil {
		return err
	}
	s, err := parseSignature(sig.String())
	if err != nil {
		err.at, err.Start = true, start
		err.end += end
		return err
	}
	n.sig = s
	return nil
}

func (p *parser) block(n *node) *Error {
	for !p.tok.is(")") {
		e, err := p.expression(0)
		if err != nil {
			return err
		}
		n.list = append(n.list, e)
		if !p.tok.is(";") {
			break
		}
		if err := p.advance(false); err != nil {
			return err
		}
	}
	return p.expect(")", true)
}

func (p *parser) array(n *node) *Error {
	for more := !p.tok.is("]"); more; {
		item, err := p.expression(0)
		if err != nil {
			return err
		}
		if p.tok.is("..") {
			r := newNode(kBinary, p.tok)
			r.op, r.lhs = opRange, item
			if err = p.advance(false); err != nil {
				return err
			}
			if r.rhs, err = p.expression(0); err != nil {
				return err
			}
			item = r
		}
		n.list = append(n.list, item)
		if more, err = p.more(); err != nil {
			return err
		}
	}
	return p.expect("]", true)
}

// filter reads a predicate. An empty one asks for an array even of a single value.
func (p *parser) filter(n *node) (*node, *Error) {
	if p.tok.is("]") {
		step := n.lhs
		for step.kind == kBinary && step.op == opFilter {
			step = step.lhs
		}
		step.keepArray = true
		return n.lhs, p.expect("]", true)
	}
	var err *Error
	if n.rhs, err = p.expression(0); err != nil {
		return nil, err
	}
	return n, p.expect("]", true)
}

func (p *parser) pairs() ([][2]*node, *Error) {
	var pairs [][2]*node
	for more := !p.tok.is("}"); more; {
		key, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		if err = p.expect(":", false); err != nil {
			return nil, err
		}
		value, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]*node{key, value})
		if more, err = p.more(); err != nil {
			return nil, err
		}
	}
	return pairs, p.expect("}", true)
}

func (p *parser) orderBy(n *node) *Error {
	if err := p.expect("(", false); err != nil {
		return err
	}
	for more := true; more; {
		var t sortTerm
		if p.tok.is("<") || p.tok.is(">") {
			t.descending = p.tok.is(">")
			if err := p.advance(false); err != nil {
				return err
			}
		}
		var err *Error
		if t.expr, err = p.expression(0); err != nil {
			return err
		}
		n.terms = append(n.terms, t)
		if more, err = p.more(); err != nil {
			return err
		}
	}
	return p.expect(")", true)
}

func (p *parser) transform(n *node) *Error {
	var err *Error
	if n.lhs, err = p.expression(0); err != nil {
		return err
	}
	if err = p.expect("|", false); err != nil {
		return err
	}
	if n.rhs, err = p.expression(0); err != nil {
		return err
	}
	more, err := p.more()
	if err != nil {
		return err
	}
	if more {
		if n.third, err = p.expression(0); err != nil {
			return err
		}
	}
	return p.expect("|", true)
}
