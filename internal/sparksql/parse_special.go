package sparksql

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// specialCall reads the calls whose arguments are parted by keywords, and gives them
// the form of plain calls.
func (p *parser) specialCall(t token) (expr, bool) {
	start, params := p.i, len(p.params)
	c := &call{Pos: t.Pos, name: strings.ToLower(t.upper)}
	p.i += 2
	switch t.upper {
	case "EXTRACT":
		f := p.peek()
		if (f.kind == tokWord || f.kind == tokString) && p.ahead(1).upper == "FROM" {
			p.i += 2
			c.args = []arg{{x: &literal{Pos: f.Pos, kind: litString, text: strings.ToUpper(f.text)}}, {x: p.expr()}}
			p.mustOp(")")
			return p.callTail(c), true
		}
	case "POSITION":
		x := p.infix(1)
		if p.word("IN") {
			c.args = []arg{{x: x}, {x: p.expr()}}
			p.mustOp(")")
			return p.callTail(c), true
		}
	case "SUBSTRING", "SUBSTR":
		if !p.isOp(")") {
			x := p.expr()
			if p.word("FROM") {
				c.args = []arg{{x: x}, {x: p.expr()}}
				if p.word("FOR") {
					c.args = append(c.args, arg{x: p.expr()})
				}
				p.mustOp(")")
				return p.callTail(c), true
			}
		}
	case "OVERLAY":
		x := p.expr()
		if p.word("PLACING") {
			c.args = []arg{{x: x}, {x: p.expr()}}
			p.mustWord("FROM")
			c.args = append(c.args, arg{x: p.expr()})
			if p.word("FOR") {
				c.args = append(c.args, arg{x: p.expr()})
			}
			p.mustOp(")")
			return p.callTail(c), true
		}
	case "TRIM":
		if x, ok := p.trim(c); ok {
			return x, true
		}
	case "TIMESTAMPADD", "TIMESTAMPDIFF", "DATEADD", "DATE_ADD", "DATEDIFF", "DATE_DIFF":
		u := p.peek()
		if u.kind == tokWord && p.ahead(1).text == "," && addUnits[u.upper] {
			if n := p.count(); n == 3 {
				p.i++
				c.name = "timestampadd"
				if strings.Contains(t.upper, "DIFF") {
					c.name = "timestampdiff"
				}
				p.mustOp(",")
				c.args = []arg{{x: &literal{Pos: u.Pos, kind: litString, text: u.upper}}, {x: p.expr()}}
				p.mustOp(",")
				c.args = append(c.args, arg{x: p.expr()})
				p.mustOp(")")
				return p.callTail(c), true
			}
		}
	case "STRUCT":
		p.structArgs(c)
		return p.callTail(c), true
	}
	p.i, p.params = start, p.params[:params]
	return nil, false
}

var addUnits = wordSet("YEAR QUARTER MONTH WEEK DAY DAYOFYEAR HOUR MINUTE SECOND MILLISECOND MICROSECOND")

// count gives the number of arguments of the call whose parenthesis was just taken.
func (p *parser) count() int {
	n, depth := 1, 0
	for i := p.i; i < len(p.toks); i++ {
		if p.toks[i].kind != tokOp {
			continue
		}
		switch p.toks[i].text {
		case "(", "[":
			depth++
		case ")", "]":
			if depth == 0 {
				return n
			}
			depth--
		case ",":
			if depth == 0 {
				n++
			}
		}
	}
	return n
}

// trim reads TRIM([BOTH|LEADING|TRAILING] [chars] FROM text); the plain forms take the
// characters first too.
func (p *parser) trim(c *call) (expr, bool) {
	side := ""
	if p.isWord("BOTH", "LEADING", "TRAILING") && p.ahead(1).text != ")" && p.ahead(1).text != "," {
		side = p.take().upper
	}
	var chars expr
	if !p.isWord("FROM") {
		chars = p.expr()
		if !p.isWord("FROM") {
			return nil, false
		}
	} else if side == "" {
		return nil, false
	}
	p.mustWord("FROM")
	c.name = map[string]string{"": "trim", "BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}[side]
	if chars != nil {
		c.args = append(c.args, arg{x: chars})
	}
	c.args = append(c.args, arg{x: p.expr()})
	p.mustOp(")")
	return p.callTail(c), true
}

// structArgs reads struct(a, b AS c): a named argument of this tree is the field's name.
func (p *parser) structArgs(c *call) {
	if p.op(")") {
		return
	}
	for {
		a := arg{x: p.expr()}
		if n := p.peek(); p.word("AS") || n.kind == tokQuoted || n.kind == tokWord && !notAlias[n.upper] {
			a.name = p.anyName("a field name").text
		}
		c.args = append(c.args, a)
		if !p.op(",") {
			break
		}
	}
	p.mustOp(")")
}

// integerKind tells the type of a whole number without a suffix.
func integerKind(text string) litKind {
	if _, err := strconv.ParseInt(text, 10, 32); err == nil {
		return litInt
	}
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return litLong
	}
	return litDecimal
}

func fitsKind(text string, k litKind) bool {
	bits := map[litKind]int{litByte: 8, litShort: 16, litInt: 32, litLong: 64}[k]
	_, err := strconv.ParseInt(text, 10, bits)
	return err == nil
}

// decimalLiteral gives the type of a decimal constant: as many digits as are written.
func decimalLiteral(text string) (Type, error) {
	s := strings.TrimPrefix(text, "-")
	mantissa, exp, _ := strings.Cut(strings.ToLower(s), "e")
	whole, frac, _ := strings.Cut(mantissa, ".")
	e := 0
	if exp != "" {
		v, err := strconv.Atoi(exp)
		if err != nil || v > 100 || v < -100 {
			return Type{}, errors.New("the exponent is out of range")
		}
		e = v
	}
	scale := len(frac) - e
	n, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		return Type{}, errors.New("this is no number")
	}
	precision := len(n.String())
	if scale < 0 {
		precision -= scale
		scale = 0
	}
	if precision < scale {
		precision = scale
	}
	if precision > 38 || scale > 38 {
		return Type{}, errors.New("the number has more than 38 digits")
	}
	return decimalOf(precision, scale), nil
}
