package jsonata

import (
	"math"
	"sort"
)

func arrayFuncs() map[string]definition {
	return map[string]definition{
		"count":    {"<a:n>", 1, fnCount},
		"append":   {"<xx:a>", 2, fnAppend},
		"exists":   {"<x:b>", 1, func(_ Call, a []any) (any, error) { return a[0] != Undefined, nil }},
		"reverse":  {"<a:a>", 1, pass(fnReverse)},
		"sort":     {"<af?:a>", 2, pass(fnSort)},
		"shuffle":  {"<a:a>", 1, pass(fnShuffle)},
		"distinct": {"<x:x>", 1, pass(fnDistinct)},
		"zip":      {"<a+>", 0, fnZip},
		"map":      {"<af>", 2, pass(fnMap)},
		"filter":   {"<af>", 2, pass(fnFilter)},
		"single":   {"<af?>", 2, pass(fnSingle)},
		"reduce":   {"<afj?:j>", 3, pass(fnReduce)},
	}
}

func fnCount(_ Call, args []any) (any, error) {
	if a, ok := args[0].(*Array); ok {
		return float64(len(a.Items)), nil
	}
	return 0.0, nil
}

func fnAppend(c Call, args []any) (any, error) {
	if args[0] == Undefined {
		return args[1], nil
	}
	if args[1] == Undefined {
		return args[0], nil
	}
	out := &Array{}
	for _, v := range args {
		items := []any{v}
		if a, ok := v.(*Array); ok {
			items = a.Items
		}
		if err := c.run.extend(out, items); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fnReverse(c Call, args []any) (any, error) {
	a := args[0].(*Array)
	n := len(a.Items)
	if n <= 1 {
		return a, nil
	}
	out := make([]any, n)
	for i, it := range a.Items {
		out[n-1-i] = it
	}
	return NewArray(out...), c.Charge(n / 16)
}

func fnSort(c Call, args []any) (any, error) {
	a := args[0].(*Array)
	if len(a.Items) <= 1 {
		return a, nil
	}
	out := append([]any(nil), a.Items...)
	if err := c.Charge(len(out)); err != nil {
		return nil, err
	}
	if args[1] == Undefined {
		if !allAre[float64](out) && !allAre[string](out) {
			return nil, fault("D3070")
		}
		sort.SliceStable(out, func(i, j int) bool {
			n, err := compareTerms(out[i], out[j])
			return err == nil && n < 0
		})
		return NewArray(out...), nil
	}
	sorted, err := mergeSort(out, func(x, y any) (bool, error) {
		v, err := c.run.apply(args[1], []any{x, y}, nil, c.env)
		if err != nil {
			return false, err
		}
		return truth(v)
	})
	if err != nil {
		return nil, err
	}
	return NewArray(sorted...), nil
}

func allAre[T any](items []any) bool {
	for _, it := range items {
		if _, ok := it.(T); !ok {
			return false
		}
	}
	return true
}

// mergeSort sorts by a function that tells whether its first argument comes after its
// second. The function may be of any kind, so that the order of its calls is the
// reference's, which a library's sort would not keep.
func mergeSort(items []any, after func(a, b any) (bool, error)) ([]any, error) {
	if len(items) <= 1 {
		return items, nil
	}
	left, err := mergeSort(items[:len(items)/2], after)
	if err != nil {
		return nil, err
	}
	right, err := mergeSort(items[len(items)/2:], after)
	if err != nil {
		return nil, err
	}
	out := make([]any, 0, len(items))
	for len(left) > 0 && len(right) > 0 {
		swap, err := after(left[0], right[0])
		if err != nil {
			return nil, err
		}
		if swap {
			out, right = append(out, right[0]), right[1:]
		} else {
			out, left = append(out, left[0]), left[1:]
		}
	}
	return append(append(out, left...), right...), nil
}

func fnShuffle(c Call, args []any) (any, error) {
	a := args[0].(*Array)
	if len(a.Items) <= 1 {
		return a, nil
	}
	out := append([]any(nil), a.Items...)
	for i := range out {
		f, err := c.Random()
		if err != nil {
			return nil, err
		}
		j := min(i, int(math.Floor(f*float64(i+1))))
		out[i], out[j] = out[j], out[i]
	}
	return NewArray(out...), nil
}

func fnDistinct(c Call, args []any) (any, error) {
	a, ok := args[0].(*Array)
	if !ok || len(a.Items) <= 1 {
		return args[0], nil
	}
	out := &Array{seq: a.seq}
	scalars := map[any]bool{}
	var others []any
	for _, it := range a.Items {
		switch it.(type) {
		case nil, bool, float64, string, undefinedType:
			if !scalars[it] {
				scalars[it] = true
				out.Items = append(out.Items, it)
			}
			continue
		}
		known := false
		for _, o := range others {
			if known = Equal(it, o); known {
				break
			}
		}
		if !known {
			others = append(others, it)
			out.Items = append(out.Items, it)
		}
		if err := c.Charge(1 + len(others)/4); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fnZip(c Call, args []any) (any, error) {
	n := math.MaxInt
	for _, v := range args {
		a, ok := v.(*Array)
		if !ok {
			return &Array{}, nil
		}
		n = min(n, len(a.Items))
	}
	if len(args) == 0 {
		n = 0
	}
	if err := c.Charge(n * len(args) / 16); err != nil {
		return nil, err
	}
	out := &Array{Items: make([]any, n)}
	for i := range n {
		row := make([]any, len(args))
		for j, v := range args {
			row[j] = v.(*Array).Items[i]
		}
		out.Items[i] = NewArray(row...)
	}
	return out, nil
}

func fnMap(c Call, args []any) (any, error) {
	a := args[0].(*Array)
	out := newSeq()
	for i, it := range a.Items {
		v, err := c.invoke(args[1], it, float64(i), a)
		if err != nil {
			return nil, err
		}
		if v != Undefined {
			out.Items = append(out.Items, v)
		}
	}
	return out, nil
}

func fnFilter(c Call, args []any) (any, error) {
	a := args[0].(*Array)
	out := newSeq()
	for i, it := range a.Items {
		yes, err := c.test(args[1], it, float64(i), a)
		if err != nil {
			return nil, err
		}
		if yes {
			out.Items = append(out.Items, it)
		}
	}
	return out, nil
}

// test calls a function for its truth.
func (c Call) test(f any, args ...any) (bool, error) {
	v, err := c.invoke(f, args...)
	if err != nil {
		return false, err
	}
	return truth(v)
}

func fnSingle(c Call, args []any) (any, error) {
	a := args[0].(*Array)
	var out any
	found := false
	for i, it := range a.Items {
		yes := true
		if args[1] != Undefined {
			var err error
			if yes, err = c.test(args[1], it, float64(i), a); err != nil {
				return nil, err
			}
		}
		if !yes {
			continue
		}
		if found {
			return nil, faultValue("D3138", it)
		}
		out, found = it, true
	}
	if !found {
		return nil, fault("D3139")
	}
	return out, nil
}

func fnReduce(c Call, args []any) (any, error) {
	a := args[0].(*Array)
	f, ok := args[1].(Function)
	if !ok || f.Arity() < 2 {
		return nil, fault("D3050")
	}
	items := a.Items
	out, at := args[2], 0
	if out == Undefined && len(items) > 0 {
		out, at = items[0], 1
	}
	for ; at < len(items); at++ {
		var err error
		if out, err = c.invoke(f, out, items[at], float64(at), a); err != nil {
			return nil, err
		}
	}
	return out, nil
}
