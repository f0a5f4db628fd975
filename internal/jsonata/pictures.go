package jsonata

import (
	"math"
	"strconv"
	"strings"
)

// numberFormat is the set of characters that a picture of a number is written in.
type numberFormat struct {
	decimal, grouping, exponent, minus, percent, permille, zero, digit, separator string
	digits                                                                        []string // the family of zero
}

func newNumberFormat(options any) *numberFormat {
	f := &numberFormat{".", ",", "e", "-", "%", "‰", "0", "#", ";", nil}
	names := map[string]*string{"decimal-separator": &f.decimal, "grouping-separator": &f.grouping, "exponent-separator": &f.exponent,
		"minus-sign": &f.minus, "percent": &f.percent, "per-mille": &f.permille, "zero-digit": &f.zero, "digit": &f.digit,
		"pattern-separator": &f.separator}
	if o, ok := options.(*Object); ok {
		for i, k := range o.keys {
			if s, ok := o.vals[i].(string); ok && names[k] != nil && s != "" {
				*names[k] = s
			}
		}
	}
	zero := []rune(f.zero)[0]
	for i := range rune(10) {
		f.digits = append(f.digits, string(zero+i))
	}
	return f
}

func (f *numberFormat) isDigit(ch string) bool {
	for _, d := range f.digits {
		if d == ch {
			return true
		}
	}
	return false
}

func (f *numberFormat) isActive(ch string) bool {
	return f.isDigit(ch) || ch == f.decimal || ch == f.exponent || ch == f.grouping || ch == f.digit || ch == f.separator
}

// count counts the digits of a part and, if so asked, the optional ones.
func (f *numberFormat) count(part []string, optional bool) int {
	n := 0
	for _, ch := range part {
		if f.isDigit(ch) || optional && ch == f.digit {
			n++
		}
	}
	return n
}

func chars(s string) []string { return strings.Split(s, "") }

func index(part []string, ch string) int {
	for i, c := range part {
		if c == ch {
			return i
		}
	}
	return -1
}

func lastIndex(part []string, ch string) int {
	for i := len(part) - 1; i >= 0; i-- {
		if part[i] == ch {
			return i
		}
	}
	return -1
}

// subPicture is one of the two pictures, for positive and for negative numbers.
type subPicture struct {
	text                                                 string
	whole, active, mantissa, integer, fraction, exponent []string
	hasExponent                                          bool
	prefix, suffix                                       string

	groups, fractionGroups                      []int
	regular                                     int
	minInteger, scale, minFraction, maxFraction int
	minExponent                                 int
}

func (f *numberFormat) split(text string) *subPicture {
	all := chars(text)
	p := &subPicture{text: text, whole: all}
	from, to := 0, len(all)
	edge := func(ch string) bool { return f.isActive(ch) && ch != f.exponent }
	for from < len(all) && !edge(all[from]) {
		from++
	}
	if from == len(all) {
		from = 0
	}
	for to > 0 && !edge(all[to-1]) {
		to--
	}
	if to == 0 {
		to = len(all)
	}
	if from > to {
		from = to
	}
	p.prefix, p.suffix = strings.Join(all[:from], ""), strings.Join(all[to:], "")
	p.active = all[from:to]
	p.mantissa = p.active
	if e := index(p.active, f.exponent); e >= 0 {
		p.mantissa, p.exponent, p.hasExponent = p.active[:e], p.active[e+1:], true
	}
	p.integer = p.mantissa
	if d := index(p.mantissa, f.decimal); d >= 0 {
		p.integer, p.fraction = p.mantissa[:d], p.mantissa[d+1:]
	}
	return p
}

func (f *numberFormat) validate(p *subPicture) error {
	w := p.whole
	// The characters may have been given as longer texts.
	twice := func(s string) bool { return strings.Index(p.text, s) != strings.LastIndex(p.text, s) }
	has := func(s string) bool { return strings.Contains(p.text, s) }
	code := ""
	check := func(bad bool, c string) {
		if bad {
			code = c
		}
	}
	check(twice(f.decimal), "D3081")
	check(twice(f.percent), "D3082")
	check(twice(f.permille), "D3083")
	check(has(f.percent) && has(f.permille), "D3084")
	check(f.count(p.mantissa, true) == 0, "D3085")
	passive := false
	for _, ch := range p.active {
		passive = passive || !f.isActive(ch)
	}
	check(passive, "D3086")
	if d := index(w, f.decimal); d >= 0 {
		check(d > 0 && w[d-1] == f.grouping || d+1 < len(w) && w[d+1] == f.grouping, "D3087")
	} else {
		check(len(p.integer) > 0 && p.integer[len(p.integer)-1] == f.grouping, "D3088")
	}
	double := false
	for i := 1; i < len(w); i++ {
		double = double || w[i] == f.grouping && w[i-1] == f.grouping
	}
	check(double, "D3089")
	if o := index(p.integer, f.digit); o >= 0 {
		check(f.count(p.integer[:o], false) > 0, "D3090")
	}
	if o := lastIndex(p.fraction, f.digit); o >= 0 {
		check(f.count(p.fraction[o:], false) > 0, "D3091")
	}
	if p.hasExponent {
		check(len(p.exponent) > 0 && (has(f.percent) || has(f.permille)), "D3092")
		check(len(p.exponent) == 0 || f.count(p.exponent, false) != len(p.exponent), "D3093")
	}
	if code != "" {
		return fault(code)
	}
	return nil
}

func (f *numberFormat) analyse(p *subPicture) {
	for i, ch := range p.integer {
		if ch == f.grouping {
			p.groups = append(p.groups, f.count(p.integer[i:], true))
		}
	}
	p.regular = regularOf(p.groups)
	for i, ch := range p.fraction {
		if ch == f.grouping {
			p.fractionGroups = append(p.fractionGroups, f.count(p.fraction[:i], true))
		}
	}
	p.minInteger = f.count(p.integer, false)
	p.scale = p.minInteger
	p.minFraction, p.maxFraction = f.count(p.fraction, false), f.count(p.fraction, true)
	if p.minInteger == 0 && p.maxFraction == 0 {
		if p.hasExponent {
			p.minFraction, p.maxFraction = 1, 1
		} else {
			p.minInteger = 1
		}
	}
	if p.hasExponent && p.minInteger == 0 && index(p.integer, f.digit) >= 0 {
		p.minInteger = 1
	}
	if p.minInteger == 0 && p.minFraction == 0 {
		p.minFraction = 1
	}
	p.minExponent = f.count(p.exponent, false)
}

func fnFormatNumber(_ Call, args []any) (any, error) {
	value := args[0].(float64)
	picture, ok := args[1].(string)
	if !ok {
		return Undefined, nil
	}
	if len(picture) > 1000 {
		return nil, fault("D1014")
	}
	f := newNumberFormat(args[2])
	texts := strings.Split(picture, f.separator)
	if len(texts) > 2 {
		return nil, fault("D3080")
	}
	var subs []*subPicture
	for _, t := range texts {
		subs = append(subs, f.split(t))
	}
	for _, p := range subs {
		if err := f.validate(p); err != nil {
			return nil, err
		}
		f.analyse(p)
	}
	p := subs[0]
	if value < 0 {
		p = subs[len(subs)-1]
		if len(subs) == 1 {
			p.prefix = f.minus + p.prefix
		}
	}
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return nil, faultValue("D1001", value)
	}
	return f.write(p, value), nil
}

// fixed writes a number with dp decimals in the digits of the format.
func (f *numberFormat) fixed(v float64, dp int) []string {
	out := chars(strconv.FormatFloat(math.Abs(v), 'f', dp, 64))
	for i, ch := range out {
		if ch[0] >= '0' && ch[0] <= '9' {
			out[i] = f.digits[ch[0]-'0']
		}
	}
	return out
}

func (f *numberFormat) write(p *subPicture, value float64) string {
	switch {
	case strings.Contains(p.text, f.percent):
		value *= 100
	case strings.Contains(p.text, f.permille):
		value *= 1000
	}
	exponent := 0
	if p.minExponent > 0 && value != 0 {
		for most := math.Pow(10, float64(p.scale)); math.Abs(value) > most; exponent++ {
			value /= 10
		}
		for least := math.Pow(10, float64(p.scale-1)); math.Abs(value) < least; exponent-- {
			value *= 10
		}
	}
	text := f.fixed(round(value, p.maxFraction), p.maxFraction)
	whole, fraction := text, []string(nil)
	if d := index(text, "."); d >= 0 {
		whole, fraction = text[:d], append([]string(nil), text[d+1:]...)
	}
	for len(whole) > 0 && whole[0] == f.zero {
		whole = whole[1:]
	}
	for len(fraction) > 0 && fraction[len(fraction)-1] == f.zero {
		fraction = fraction[:len(fraction)-1]
	}
	whole = append([]string(nil), whole...)
	for len(whole) < p.minInteger {
		whole = append([]string{f.zero}, whole...)
	}
	for len(fraction) < p.minFraction {
		fraction = append(fraction, f.zero)
	}
	out := p.prefix + strings.Join(f.group(p, whole), "")
	if index(p.whole, f.decimal) >= 0 && len(fraction) > 0 {
		for i, ch := range fraction {
			if i == 0 {
				out += f.decimal
			}
			for _, g := range p.fractionGroups {
				if g == i && i > 0 {
					out += f.grouping
				}
			}
			out += ch
		}
	}
	if p.minExponent > 0 {
		digits := f.fixed(float64(exponent), 0)
		for len(digits) < p.minExponent {
			digits = append([]string{f.zero}, digits...)
		}
		out += f.exponent
		if exponent < 0 {
			out += f.minus
		}
		out += strings.Join(digits, "")
	}
	return out + p.suffix
}

// group puts the grouping separators into the digits before the decimal point.
func (f *numberFormat) group(p *subPicture, digits []string) []string {
	var out []string
	for i, d := range digits {
		left := len(digits) - i
		if i > 0 {
			if p.regular > 0 {
				if left%p.regular == 0 {
					out = append(out, f.grouping)
				}
			} else {
				for _, g := range p.groups {
					if g == left {
						out = append(out, f.grouping)
					}
				}
			}
		}
		out = append(out, d)
	}
	return out
}
