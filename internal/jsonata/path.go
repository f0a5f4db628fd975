package jsonata

import "math"

// tuple is an item of a path that binds variables: the item and what is bound beside it.
type tuple struct {
	at    any
	names []string
	vals  []any
}

// with gives a copy with one more binding.
func (t *tuple) with(at any) *tuple {
	return &tuple{at: at, names: append([]string(nil), t.names...), vals: append([]any(nil), t.vals...)}
}

func (t *tuple) set(name string, v any) {
	for i, n := range t.names {
		if n == name {
			t.vals[i] = v
			return
		}
	}
	t.names = append(t.names, name)
	t.vals = append(t.vals, v)
}

func (t *tuple) frame(env *frame) *frame {
	return &frame{parent: env, names: t.names[:len(t.names):len(t.names)], vals: append([]any(nil), t.vals...)}
}

// path evaluates step after step, each on every item that the step before gave.
func (r *run) path(n *node, in any, env *frame) (any, error) {
	a, isArray := in.(*Array)
	if !isArray || n.list[0].kind == kVariable {
		a = newSeq(in)
	}
	var (
		items  = a.Items
		whole  = a // the value of the last step where it is an array as a whole
		tuples *Array
		stream bool
		err    error
	)
	for i, s := range n.list {
		stream = stream || s.tuple
		switch {
		case i == 0 && s.cons:
			v, err := r.eval(s, a, env)
			if err != nil {
				return nil, err
			}
			if whole, isArray = v.(*Array); !isArray {
				whole = newSeq(loose(v)...)
			}
			if s.focus == "" {
				items = whole.Items
			}
		case stream:
			if tuples, err = r.tupleStep(s, items, tuples, env); err != nil {
				return nil, err
			}
		default:
			if items, whole, err = r.step(s, items, whole, env, i == len(n.list)-1); err != nil {
				return nil, err
			}
		}
		if !stream && len(items) == 0 {
			break
		}
	}
	switch {
	case stream && n.tuple:
		whole = tuples
	case stream:
		whole = newSeq()
		for _, t := range tuples.Items {
			whole.Items = append(whole.Items, t.(*tuple).at)
		}
	case whole == nil && len(items) == 1 && !n.keepSingle && !n.keepArray && n.group == nil:
		if _, isArray := items[0].(*Array); !isArray {
			return items[0], nil
		}
	}
	if whole == nil {
		whole = newSeq(items...)
	}
	if n.keepSingle {
		if whole.cons && !whole.seq {
			whole = newSeq(whole)
		}
		if whole.seq {
			whole.keep = true
		}
	}
	if n.group != nil {
		if stream {
			whole = tuples
		}
		return r.group(n.group, whole, env)
	}
	return whole, nil
}

// loose is what the steps behind an array constructor see where a filter left a single
// value of it, as in [{"a":1}][0].a: the reference does not make it a sequence again, so
// that they see nothing, or the characters of a string.
func loose(v any) []any {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	var out []any
	for len(s) > 0 {
		n := charSize(s)
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}

// step evaluates a step on every item and joins what it gives. whole is set where the
// result is an array that exists already, and is not flattened.
func (r *run) step(s *node, items []any, in *Array, env *frame, last bool) ([]any, *Array, error) {
	if s.kind == kSort {
		v, err := r.sorted(s, items, false, env)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case len(items) > 1:
			in = NewArray(v...)
		case in == nil:
			in = newSeq(items...)
		}
		out, err := r.runStages(s.stages, in, env)
		if err != nil {
			return nil, nil, err
		}
		return out.Items, out, nil
	}
	var (
		out   []any
		first any
		count int
	)
	for _, it := range items {
		v, err := r.eval(s, it, env)
		if err != nil {
			return nil, nil, err
		}
		for i := range s.stages {
			// A stage that binds an index makes the step one of tuples.
			if v, err = r.filter(s.stages[i].expr, v, env); err != nil {
				return nil, nil, err
			}
		}
		if v == Undefined {
			continue
		}
		switch count++; count {
		case 1:
			first = v
			continue
		case 2:
			out = join(out, first)
		}
		out = join(out, v)
		if len(out) > maxItems {
			return nil, nil, faultAt("D1014", s)
		}
	}
	if count == 1 {
		if a, ok := first.(*Array); ok && last && !a.seq {
			return a.Items, a, nil
		}
		out = join(make([]any, 0, 1), first)
	}
	return out, nil, nil
}

func join(out []any, v any) []any {
	if a, ok := v.(*Array); ok && !a.cons {
		return append(out, a.Items...)
	}
	return append(out, v)
}

// runStages filters what a step gave as a whole, and binds positions in it.
func (r *run) runStages(stages []stage, in *Array, env *frame) (*Array, error) {
	for _, s := range stages {
		if s.index != "" {
			for i, it := range in.Items {
				if t, ok := it.(*tuple); ok {
					t.set(s.index, float64(i))
				}
			}
			continue
		}
		v, err := r.filter(s.expr, in, env)
		if err != nil {
			return nil, err
		}
		a, ok := v.(*Array)
		if !ok {
			a = newSeq(v)
		}
		in = a
	}
	return in, nil
}

func (r *run) tupleStep(s *node, items []any, from *Array, env *frame) (*Array, error) {
	out := &Array{seq: true, tuple: true}
	if s.kind == kSort {
		if from != nil {
			v, err := r.sorted(s, from.Items, true, env)
			if err != nil {
				return nil, err
			}
			out.Items = v
		} else {
			v, err := r.sorted(s, items, false, env)
			if err != nil {
				return nil, err
			}
			for i, it := range v {
				t := &tuple{at: it}
				if s.index != "" {
					t.set(s.index, float64(i))
				}
				out.Items = append(out.Items, t)
			}
		}
		return r.tupleStages(s, out, env)
	}
	if from == nil {
		from = &Array{Items: make([]any, len(items))}
		for i, it := range items {
			from.Items[i] = &tuple{at: it}
		}
	}
	for _, it := range from.Items {
		t := it.(*tuple)
		v, err := r.eval(s, t.at, t.frame(env))
		if err != nil {
			return nil, err
		}
		if v == Undefined {
			continue
		}
		a, ok := v.(*Array)
		if !ok {
			a = &Array{Items: []any{v}}
		}
		if len(out.Items)+len(a.Items) > maxItems {
			return nil, faultAt("D1014", s)
		}
		if err := r.charge(len(a.Items)); err != nil {
			return nil, err
		}
		for i, v := range a.Items {
			out.Items = append(out.Items, t.next(s, v, i))
		}
	}
	return r.tupleStages(s, out, env)
}

// next is the tuple for one item that a step gave on t.
func (t *tuple) next(s *node, v any, i int) *tuple {
	if sub, ok := v.(*tuple); ok {
		n := t.with(sub.at)
		for j, name := range sub.names {
			n.set(name, sub.vals[j])
		}
		return n
	}
	n := t.with(v)
	if s.focus != "" {
		n.set(s.focus, v)
		n.at = t.at
	}
	if s.index != "" {
		n.set(s.index, float64(i))
	}
	if s.ancestor != nil {
		n.set(s.ancestor.label, t.at)
	}
	return n
}

func (r *run) tupleStages(s *node, in *Array, env *frame) (*Array, error) {
	out, err := r.runStages(s.stages, in, env)
	if err != nil {
		return nil, err
	}
	out.tuple = true
	return out, nil
}

// filter keeps the items for which a predicate is true or gives their position.
func (r *run) filter(p *node, in any, env *frame) (any, error) {
	a, ok := in.(*Array)
	if !ok {
		a = newSeq(in)
	}
	out := newSeq()
	out.tuple = a.tuple
	if p.kind == kNumber {
		i := math.Floor(p.value.(float64))
		if i < 0 {
			i += float64(len(a.Items))
		}
		if i < 0 || i >= float64(len(a.Items)) {
			return out, nil
		}
		item := a.Items[int(i)]
		if sub, ok := item.(*Array); ok {
			return sub, nil
		}
		if item != Undefined {
			out.Items = append(out.Items, item)
		}
		return out, nil
	}
	for i, item := range a.Items {
		context, e := item, env
		if t, ok := item.(*tuple); ok {
			context, e = t.at, t.frame(env)
		}
		v, err := r.eval(p, context, e)
		if err != nil {
			return nil, err
		}
		if err := keep(out, item, v, i, len(a.Items)); err != nil {
			return nil, located(err, p)
		}
	}
	return out, nil
}

// keep adds an item as often as its predicate's value asks for: once when it is true, once
// for each number that is the item's position.
func keep(out *Array, item, v any, i, n int) error {
	var positions []any
	switch x := v.(type) {
	case float64:
		positions = []any{x}
	case *Array:
		positions = x.Items
	}
	isNumbers := v != nil
	if f, ok := v.(float64); ok && math.IsNaN(f) {
		isNumbers = false
	}
	switch v.(type) {
	case float64, *Array:
	default:
		isNumbers = false
	}
	for _, p := range positions {
		_, ok, err := number(p)
		if err != nil {
			return err
		}
		isNumbers = isNumbers && ok
	}
	if isNumbers {
		for _, p := range positions {
			at := math.Floor(p.(float64))
			if at < 0 {
				at += float64(n)
			}
			if at == float64(i) {
				out.Items = append(out.Items, item)
			}
		}
		return nil
	}
	yes, err := truth(v)
	if err == nil && yes {
		out.Items = append(out.Items, item)
	}
	return err
}

// sorted orders items, which are tuples if so said, by the terms of an order-by. Items of
// equal terms keep their order.
func (r *run) sorted(s *node, items []any, tuples bool, env *frame) ([]any, error) {
	out := append([]any(nil), items...)
	if len(out) < 2 {
		return out, nil
	}
	keys := make([][]any, len(out))
	term := func(i, k int) (any, error) {
		if len(keys[i]) <= k {
			context, e := out[i], env
			if tuples {
				t := out[i].(*tuple)
				context, e = t.at, t.frame(env)
			}
			v, err := r.eval(s.terms[k].expr, context, e)
			if err != nil {
				return nil, err
			}
			keys[i] = append(keys[i], v)
		}
		return keys[i][k], nil
	}
	order := make([]any, len(out))
	for i := range order {
		order[i] = i
	}
	order, err := mergeSort(order, func(x, y any) (bool, error) {
		for k := range s.terms {
			a, err := term(x.(int), k)
			if err != nil {
				return false, err
			}
			b, err := term(y.(int), k)
			if err != nil {
				return false, err
			}
			c, err := compareTerms(a, b)
			if err != nil {
				return false, located(err, s)
			}
			if c == 0 {
				continue
			}
			// What is undefined comes last in either direction.
			return (c > 0) != (s.terms[k].descending && a != Undefined && b != Undefined), nil
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	sorted := make([]any, len(out))
	for i, o := range order {
		sorted[i] = out[o.(int)]
	}
	return sorted, nil
}

func compareTerms(a, b any) (int, error) {
	switch {
	case a == Undefined && b == Undefined:
		return 0, nil
	case a == Undefined:
		return 1, nil
	case b == Undefined:
		return -1, nil
	}
	if !ordered(a) {
		return 0, faultValue("T2008", a)
	}
	if !ordered(b) {
		return 0, faultValue("T2008", b)
	}
	if x, ok := a.(float64); ok {
		if y, ok := b.(float64); ok {
			switch {
			case x == y:
				return 0, nil
			case x < y:
				return -1, nil
			}
			return 1, nil
		}
	} else if y, ok := b.(string); ok {
		return compareStrings(a.(string), y), nil
	}
	e := faultValue("T2007", a)
	e.value2 = b
	return 0, e
}

// bucket collects the items of one key of a group.
type bucket struct {
	pair int
	data any
	list *Array
}

// add joins an item to those the bucket has, as $append does.
func (b *bucket) add(item any) {
	switch {
	case b.list != nil:
	case b.data == Undefined:
		b.data = item
		return
	default:
		b.list = &Array{Items: join(nil, plain(b.data))}
		b.data = b.list
	}
	b.list.Items = join(b.list.Items, plain(item))
}

// plain gives an array without marks of the same items, so that joining takes it apart.
func plain(v any) any {
	if a, ok := v.(*Array); ok && a.cons {
		return &Array{Items: a.Items}
	}
	return v
}

// group makes an object of pairs of expressions: the items are put into buckets by the
// values of the keys, then each value is evaluated on its bucket.
func (r *run) group(n *node, in any, env *frame) (any, error) {
	a, ok := in.(*Array)
	if !ok {
		a = newSeq(in)
	}
	items := a.Items
	if len(items) == 0 && !a.tuple {
		items = []any{Undefined}
	}
	buckets := make(map[string]*bucket, len(n.pairs))
	order := make([]string, 0, len(n.pairs))
	for _, item := range items {
		context, e := item, env
		if a.tuple {
			t := item.(*tuple)
			context, e = t.at, t.frame(env)
		}
		for i := range n.pairs {
			k, err := r.eval(n.pairs[i][0], context, e)
			if err != nil {
				return nil, err
			}
			if k == Undefined {
				continue
			}
			key, ok := k.(string)
			if !ok {
				return nil, faultValue("T1003", k).locate(n)
			}
			b := buckets[key]
			if b == nil {
				buckets[key] = &bucket{pair: i, data: item}
				order = append(order, key)
				continue
			}
			if b.pair != i {
				return nil, faultValue("D1009", key).locate(n)
			}
			b.add(item)
		}
	}
	out := &Object{keys: make([]string, 0, len(order)), vals: make([]any, 0, len(order))}
	for _, key := range order {
		b := buckets[key]
		context, e := b.data, env
		if a.tuple {
			t := reduce(b.data)
			context, e = t.at, t.frame(env)
		}
		v, err := r.eval(n.pairs[b.pair][1], context, e)
		if err != nil {
			return nil, err
		}
		if v != Undefined {
			out.Set(key, v)
		}
	}
	return out, nil
}

// reduce makes one tuple of those of a bucket, joining what each binding has.
func reduce(data any) *tuple {
	a, ok := data.(*Array)
	if !ok {
		return data.(*tuple)
	}
	out := a.Items[0].(*tuple).with(a.Items[0].(*tuple).at)
	for _, it := range a.Items[1:] {
		t := it.(*tuple)
		out.at = appended(out.at, t.at)
		for i, name := range t.names {
			var old any = Undefined
			for j, o := range out.names {
				if o == name {
					old = out.vals[j]
				}
			}
			out.set(name, appended(old, t.vals[i]))
		}
	}
	return out
}

// appended joins two values as $append does.
func appended(a, b any) any {
	if a == Undefined {
		return b
	}
	if b == Undefined {
		return a
	}
	return &Array{Items: join(join(nil, plain(a)), plain(b))}
}
