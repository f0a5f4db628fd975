package jsonata

import (
	"errors"
	"math"
)

func objectFuncs() map[string]definition {
	return map[string]definition{
		"keys":   {"<x-:a<s>>", 1, fnKeys},
		"lookup": {"<x-s:x>", 2, fnLookup},
		"spread": {"<x-:a<o>>", 1, fnSpread},
		"merge":  {"<a<o>:o>", 1, pass(fnMerge)},
		"each":   {"<o-f:a>", 2, fnEach},
		"sift":   {"<o-f?:o>", 2, fnSift},
		"type":   {"<x:s>", 1, pass(func(_ Call, a []any) (any, error) { return TypeOf(a[0]), nil })},
		"clone":  {"<(oa)-:o>", 1, pass(func(_ Call, a []any) (any, error) { return duplicate(unwrap(a[0]), 0) })},
		"error":  {"<s?:x>", 1, fnError},
		"assert": {"<bs?:x>", 2, fnAssert},
		"eval":   {"<sx?:x>", 2, pass(fnEval)},
	}
}

func fnKeys(c Call, args []any) (any, error) {
	set := &Object{}
	if err := c.keys(args[0], set, 0); err != nil {
		return nil, err
	}
	out := newSeq()
	for _, k := range set.keys {
		out.Items = append(out.Items, k)
	}
	return out, nil
}

func (c Call) keys(v any, set *Object, depth int) error {
	if depth > maxValueDepth {
		return fault("D1014")
	}
	switch x := v.(type) {
	case *Object:
		for _, k := range x.keys {
			set.Set(k, true)
		}
	case *Array:
		if err := c.Charge(len(x.Items) / 4); err != nil {
			return err
		}
		for _, it := range x.Items {
			if err := c.keys(it, set, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func fnLookup(c Call, args []any) (any, error) {
	key, ok := args[1].(string)
	if !ok {
		return Undefined, nil
	}
	return lookup(args[0], key), nil
}

func fnSpread(c Call, args []any) (any, error) {
	out := newSeq()
	switch x := args[0].(type) {
	case *Object:
		for i, k := range x.keys {
			out.Items = append(out.Items, NewObject(k, x.vals[i]))
		}
		return out, nil
	case *Array:
		for _, it := range x.Items {
			v, err := fnSpread(c, []any{it})
			if err != nil {
				return nil, err
			}
			if v == Undefined {
				continue
			}
			// What is joined is an array, no sequence any more.
			out.seq = false
			items := []any{v}
			if a, ok := v.(*Array); ok {
				items = a.Items
			}
			if err := c.run.extend(out, items); err != nil {
				return nil, err
			}
		}
		return out, c.Charge(1 + len(x.Items))
	}
	return args[0], nil
}

func fnMerge(_ Call, args []any) (any, error) {
	out := &Object{}
	for _, it := range args[0].(*Array).Items {
		if o, ok := it.(*Object); ok {
			for i, k := range o.keys {
				out.Set(k, o.vals[i])
			}
		}
	}
	return out, nil
}

func fnEach(c Call, args []any) (any, error) {
	out := newSeq()
	o, ok := args[0].(*Object)
	if !ok {
		return out, nil
	}
	for i, k := range o.keys {
		v, err := c.invoke(args[1], o.vals[i], k, o)
		if err != nil {
			return nil, err
		}
		if v != Undefined {
			out.Items = append(out.Items, v)
		}
	}
	return out, nil
}

func fnSift(c Call, args []any) (any, error) {
	o, ok := args[0].(*Object)
	if !ok {
		return Undefined, nil
	}
	out := &Object{}
	for i, k := range o.keys {
		yes, err := c.test(args[1], o.vals[i], k, o)
		if err != nil {
			return nil, err
		}
		if yes {
			out.Set(k, o.vals[i])
		}
	}
	if len(out.keys) == 0 {
		return Undefined, nil
	}
	return out, nil
}

// duplicate copies a value as by way of $string: numbers are rounded to 15 digits and
// functions become "".
func duplicate(v any, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, fault("D1014")
	}
	switch x := v.(type) {
	case float64:
		if math.IsInf(x, 0) {
			return nil, faultValue("D1001", x)
		}
		if math.IsNaN(x) {
			return nil, nil
		}
		return round15(x), nil
	case undefinedType:
		return nil, nil
	case Function:
		return "", nil
	case *tuple:
		return duplicate(x.at, depth+1)
	case *Array:
		out := &Array{Items: make([]any, len(x.Items))}
		for i, it := range x.Items {
			c, err := duplicate(it, depth+1)
			if err != nil {
				return nil, err
			}
			out.Items[i] = c
		}
		return out, nil
	case *Object:
		out := &Object{keys: make([]string, 0, len(x.keys)), vals: make([]any, 0, len(x.keys))}
		for i, k := range x.keys {
			if x.vals[i] == Undefined {
				continue
			}
			c, err := duplicate(x.vals[i], depth+1)
			if err != nil {
				return nil, err
			}
			out.Set(k, c)
		}
		return out, nil
	}
	return v, nil
}

func fnError(_ Call, args []any) (any, error) {
	m, _ := args[0].(string)
	if m == "" {
		m = "$error() function evaluated"
	}
	return nil, &Error{Code: "D3137", Value: Undefined, Message: m}
}

func fnAssert(_ Call, args []any) (any, error) {
	if args[0] == true {
		return Undefined, nil
	}
	m, _ := args[1].(string)
	if m == "" {
		m = "$assert() statement failed"
	}
	return nil, &Error{Code: "D3141", Value: Undefined, Message: m}
}

func fnEval(c Call, args []any) (any, error) {
	source := args[0].(string)
	if err := c.Charge(1 + len(source)/4); err != nil {
		return nil, err
	}
	root, fail := parse(source)
	if fail != nil {
		return nil, faultValue("D3120", fail.finish(source).Message)
	}
	in := c.input
	if args[1] != Undefined {
		in = args[1]
		if a, ok := in.(*Array); ok && !a.seq {
			in = newSeq(a)
			in.(*Array).outer = true
		}
	}
	v, err := c.run.eval(root, in, c.env)
	if err == nil {
		return v, nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Code == "D1011" || e.Code == "D1012" {
			return nil, err
		}
		return nil, faultValue("D3121", e.finish(source).Message)
	}
	return nil, err
}
