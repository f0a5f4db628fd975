package jsonata

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

func ofNumber(f func(float64) float64) func(Call, []any) (any, error) {
	return pass(func(_ Call, a []any) (any, error) { return f(a[0].(float64)), nil })
}

func numberFuncs() map[string]definition {
	return map[string]definition{
		"number":        {"<(nsb)-:n>", 1, pass(fnNumber)},
		"abs":           {"<n-:n>", 1, ofNumber(math.Abs)},
		"floor":         {"<n-:n>", 1, ofNumber(math.Floor)},
		"ceil":          {"<n-:n>", 1, ofNumber(math.Ceil)},
		"round":         {"<n-n?:n>", 2, pass(fnRound)},
		"sqrt":          {"<n-:n>", 1, pass(fnSqrt)},
		"power":         {"<n-n:n>", 2, pass(fnPower)},
		"random":        {"<:n>", 0, func(c Call, _ []any) (any, error) { return c.Random() }},
		"formatBase":    {"<n-n?:s>", 2, pass(fnFormatBase)},
		"formatNumber":  {"<n-so?:s>", 3, pass(fnFormatNumber)},
		"formatInteger": {"<n-s:s>", 2, pass(fnFormatInteger)},
		"parseInteger":  {"<s-s:n>", 2, pass(fnParseInteger)},
		"sum":           {"<a<n>:n>", 1, pass(func(_ Call, a []any) (any, error) { return sum(a[0].(*Array)), nil })},
		"max":           {"<a<n>:n>", 1, pass(func(_ Call, a []any) (any, error) { return extreme(a[0].(*Array), math.Max), nil })},
		"min":           {"<a<n>:n>", 1, pass(func(_ Call, a []any) (any, error) { return extreme(a[0].(*Array), math.Min), nil })},
		"average":       {"<a<n>:n>", 1, pass(fnAverage)},
		"boolean":       {"<x-:b>", 1, pass(func(_ Call, a []any) (any, error) { return truth(a[0]) })},
		"not":           {"<x-:b>", 1, pass(fnNot)},
	}
}

func fnNot(_ Call, args []any) (any, error) {
	yes, err := truth(args[0])
	return !yes, err
}

var (
	decimalText = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([Ee][-+]?[0-9]+)?$`)
	prefixText  = regexp.MustCompile(`^(0[xX][0-9A-Fa-f]+|0[oO][0-7]+|0[bB][01]+)$`)
)

func fnNumber(_ Call, args []any) (any, error) {
	switch x := args[0].(type) {
	case float64:
		return x, nil
	case bool:
		if x {
			return 1.0, nil
		}
		return 0.0, nil
	case string:
		if decimalText.MatchString(x) {
			if f, err := strconv.ParseFloat(x, 64); err == nil {
				return f, nil
			}
		} else if prefixText.MatchString(x) {
			if n, ok := new(big.Int).SetString(x, 0); ok {
				f, _ := new(big.Float).SetInt(n).Float64()
				return f, nil
			}
		}
	}
	return nil, faultValue("D3030", args[0])
}

// round rounds half to even, at a decimal place that may be negative. The place is moved
// by the exponent of the number's text, so that 2.345 is no 2.34499….
func round(f float64, precision int) float64 {
	if precision != 0 {
		f = shiftPoint(f, precision)
	}
	r := math.Floor(f + 0.5)
	if d := r - f; math.Abs(d) == 0.5 && math.Abs(math.Mod(r, 2)) == 1 {
		r--
	}
	if precision != 0 {
		r = shiftPoint(r, -precision)
	}
	if r == 0 {
		return 0
	}
	return r
}

func shiftPoint(f float64, by int) float64 {
	mantissa, exponent, _ := strings.Cut(FormatNumber(f), "e")
	e, err := strconv.Atoi(exponent)
	if err != nil {
		e = 0
	}
	out, err := strconv.ParseFloat(mantissa+"e"+strconv.Itoa(e+by), 64)
	if err != nil && !math.IsInf(out, 0) {
		return math.NaN()
	}
	return out
}

func fnRound(_ Call, args []any) (any, error) {
	p, _ := args[1].(float64)
	if p != math.Trunc(p) || math.Abs(p) > 1e6 {
		return math.NaN(), nil
	}
	return round(args[0].(float64), int(p)), nil
}

func fnSqrt(_ Call, args []any) (any, error) {
	f := args[0].(float64)
	if f < 0 {
		return nil, faultValue("D3060", f)
	}
	return math.Sqrt(f), nil
}

func fnPower(_ Call, args []any) (any, error) {
	base := args[0].(float64)
	exp, ok := args[1].(float64)
	if !ok {
		exp = math.NaN()
	}
	f := math.Pow(base, exp)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		e := faultValue("D3061", base)
		e.value2 = exp
		return nil, e
	}
	return f, nil
}

func sum(a *Array) float64 {
	total := 0.0
	for _, it := range a.Items {
		f, _ := it.(float64)
		total += f
	}
	return total
}

func extreme(a *Array, pick func(a, b float64) float64) any {
	if len(a.Items) == 0 {
		return Undefined
	}
	out, _ := a.Items[0].(float64)
	for _, it := range a.Items[1:] {
		f, _ := it.(float64)
		out = pick(out, f)
	}
	return out
}

func fnAverage(_ Call, args []any) (any, error) {
	a := args[0].(*Array)
	if len(a.Items) == 0 {
		return Undefined, nil
	}
	return sum(a) / float64(len(a.Items)), nil
}

func fnFormatBase(_ Call, args []any) (any, error) {
	value, radix := round(args[0].(float64), 0), 10.0
	if r, ok := args[1].(float64); ok {
		radix = round(r, 0)
	}
	if radix < 2 || radix > 36 || math.IsNaN(radix) {
		return nil, faultValue("D3100", radix)
	}
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return nil, faultValue("D1001", value)
	}
	n, _ := big.NewFloat(value).Int(nil)
	return n.Text(int(radix)), nil
}
