package jsonata

import "strings"

// Types of arguments, as bits.
const (
	tArray = 1 << iota
	tString
	tNumber
	tBool
	tNull
	tFunction
	tObject
	tMissing
	tAll = 1<<iota - 1
)

func typeBit(v any) int {
	switch v.(type) {
	case string:
		return tString
	case float64:
		return tNumber
	case bool:
		return tBool
	case nil:
		return tNull
	case *Array:
		return tArray
	case *Object:
		return tObject
	case Function:
		return tFunction
	}
	return tMissing
}

var letterBits = map[byte]int{'a': tArray, 's': tString, 'n': tNumber, 'b': tBool, 'l': tNull, 'f': tFunction, 'o': tObject}

// param is one parameter of a signature: the types it takes, and how many arguments.
type param struct {
	letter   byte
	types    int
	subtype  string // of the items of an array
	optional bool
	repeat   bool
	context  bool // a missing argument is taken from the context
}

type signature struct {
	params  []param
	repeats int // parameters that take several arguments
}

// parseSignature reads the types of parameters, as in <s-(sf)n?:a<s>>.
func parseSignature(text string) (*signature, *Error) {
	s := &signature{}
	for i := 1; i < len(text) && text[i] != ':'; i++ {
		c := text[i]
		prev := &param{}
		if len(s.params) > 0 {
			prev = &s.params[len(s.params)-1]
		}
		switch c {
		case 's', 'n', 'b', 'l', 'o':
			s.params = append(s.params, param{letter: c, types: letterBits[c] | tMissing})
		case 'a', 'x':
			s.params = append(s.params, param{letter: c, types: tAll})
		case 'j':
			s.params = append(s.params, param{letter: c, types: tAll &^ tFunction})
		case 'f':
			s.params = append(s.params, param{letter: c, types: tFunction})
		case '-':
			prev.context, prev.optional = true, true
		case '?':
			prev.optional = true
		case '+':
			prev.repeat = true
			s.repeats++
		case '(':
			end := closing(text, i, '(', ')')
			choice := text[i+1 : end]
			if strings.Contains(choice, "<") {
				e := faultValue("S0402", choice)
				e.end = i
				return nil, e
			}
			p := param{letter: '(', types: tMissing}
			for j := range len(choice) {
				p.types |= letterBits[choice[j]]
			}
			s.params = append(s.params, p)
			i = end
		case '<':
			if prev.letter != 'a' && prev.letter != 'f' {
				e := faultValue("S0401", string(prev.letter))
				e.end = i
				return nil, e
			}
			end := closing(text, i, '<', '>')
			prev.subtype = text[i+1 : end]
			i = end
		}
	}
	return s, nil
}

// closing finds the bracket that balances the one at i, or the end of the text.
func closing(text string, i int, open, shut byte) int {
	depth := 1
	for i++; i < len(text); i++ {
		switch text[i] {
		case shut:
			if depth--; depth == 0 {
				return i
			}
		case open:
			depth++
		}
	}
	return len(text)
}

// match distributes the arguments over the parameters, each taking as many as it can while
// the rest still fits; counts[i] is how many the i-th parameter takes.
func (s *signature) match(i int, args []any, counts []int, whole bool) bool {
	if s.repeats < 2 {
		return s.try(i, args, counts, whole, nil)
	}
	return s.try(i, args, counts, whole, make(map[[2]int]bool))
}

// try is match with a note of what was tried in vain, where several repetitions could
// otherwise be tried in very many ways.
func (s *signature) try(i int, args []any, counts []int, whole bool, failed map[[2]int]bool) bool {
	if i == len(s.params) || i == len(counts) {
		return !whole || len(args) == 0
	}
	p := &s.params[i]
	most := 1
	if p.repeat {
		most = len(args)
	}
	n := 0
	for n < most && n < len(args) && p.types&typeBit(args[n]) != 0 {
		n++
	}
	least := 1
	if p.optional {
		least = 0
	}
	for ; n >= least; n-- {
		counts[i] = n
		if !failed[[2]int{i + 1, len(args) - n}] && s.try(i+1, args[n:], counts, whole, failed) {
			return true
		}
	}
	if failed != nil {
		failed[[2]int{i, len(args)}] = true
	}
	return false
}

// validate checks arguments and gives those that the function is called with: missing
// ones taken from the context, single values made arrays where an array is wanted.
func (s *signature) validate(args []any, context any) ([]any, *Error) {
	var buf [8]int
	counts := buf[:0]
	if len(s.params) > len(buf) {
		counts = make([]int, 0, len(s.params))
	}
	counts = counts[:len(s.params)]
	if !s.match(0, args, counts, true) {
		return nil, s.mismatch(args)
	}
	out := make([]any, 0, max(len(s.params), len(args)))
	at := 0
	for i := range s.params {
		p := &s.params[i]
		if counts[i] == 0 {
			switch {
			case !p.context:
				// An optional argument that is left out. What stands there fits a later parameter.
				if at < len(args) {
					out = append(out, args[at])
				} else {
					out = append(out, Undefined)
				}
				at++
			case p.types&typeBit(context) == 0:
				e := faultValue("T0411", context)
				e.index = float64(at + 1)
				return nil, e
			default:
				out = append(out, context)
			}
			continue
		}
		for range counts[i] {
			var arg any = Undefined
			if at < len(args) {
				arg = args[at]
			}
			if p.letter == 'a' && arg != Undefined {
				var err *Error
				if arg, err = p.array(arg, at); err != nil {
					return nil, err
				}
			}
			out = append(out, arg)
			at++
		}
	}
	return out, nil
}

var plurals = map[string]string{"a": "arrays", "b": "booleans", "f": "functions", "n": "numbers", "o": "objects", "s": "strings"}

func (p *param) array(arg any, at int) (any, *Error) {
	a, isArray := arg.(*Array)
	ok := true
	if p.subtype != "" {
		want := letterBits[p.subtype[0]]
		if !isArray {
			ok = len(p.subtype) == 1 && typeBit(arg) == want
		} else {
			for _, it := range a.Items {
				if typeBit(it) != want {
					ok = false
					break
				}
			}
		}
	}
	if !ok {
		e := faultValue("T0412", arg)
		e.index, e.kind = float64(at+1), plurals[p.subtype]
		return nil, e
	}
	if !isArray {
		return NewArray(arg), nil
	}
	return arg, nil
}

// mismatch tells which argument is the first that does not fit.
func (s *signature) mismatch(args []any) *Error {
	good := 0
	for n := 1; n <= len(s.params); n++ {
		counts := make([]int, n)
		if !s.match(0, args, counts, false) {
			break
		}
		good = 0
		for _, c := range counts {
			good += c
		}
	}
	e := fault("T0410")
	if good < len(args) {
		e.Value = args[good]
	}
	e.index = float64(good + 1)
	return e
}
