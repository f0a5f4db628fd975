package jsonata

import (
	"errors"
	"math"
)

// eval evaluates a node and then what is said about its value: predicates, grouping, and
// that a sequence of one item stands for the item and an empty one for undefined.
func (r *run) eval(n *node, in any, env *frame) (any, error) {
	r.depth++
	r.steps++
	if r.depth > r.maxDepth {
		return nil, faultAt("D1011", n)
	}
	if r.steps > r.maxSteps {
		return nil, faultValue("D1012", float64(r.maxSteps)).locate(n)
	}
	v, err := r.node(n, in, env)
	if err != nil {
		return nil, err
	}
	for i := range n.predicates {
		if v, err = r.filter(n.predicates[i].expr, v, env); err != nil {
			return nil, err
		}
	}
	if n.group != nil && n.kind != kPath {
		if v, err = r.group(n.group, v, env); err != nil {
			return nil, err
		}
	}
	r.depth--
	if s, ok := v.(*Array); ok && s.seq && !s.tuple {
		if n.keepArray {
			s.keep = true
		}
		switch len(s.Items) {
		case 0:
			return Undefined, nil
		case 1:
			if !s.keep {
				return s.Items[0], nil
			}
		}
	}
	return v, nil
}

func (r *run) node(n *node, in any, env *frame) (any, error) {
	switch n.kind {
	case kPath:
		return r.path(n, in, env)
	case kName:
		return lookup(in, n.text), nil
	case kString, kNumber, kValue:
		return n.value, nil
	case kVariable:
		if n.text == "" {
			return unwrap(in), nil
		}
		return r.lookup(n.text, env), nil
	case kBinary:
		return r.binary(n, in, env)
	case kFunction:
		return r.function(n, in, env, nil, false)
	case kBlock:
		var v any = Undefined
		var err error
		inner := &frame{parent: env}
		for _, e := range n.list {
			if v, err = r.eval(e, in, inner); err != nil {
				return nil, err
			}
		}
		return v, nil
	case kCondition, kElvis, kCoalesce:
		return r.condition(n, in, env)
	case kNegate:
		return r.negate(n, in, env)
	case kArray:
		return r.array(n, in, env)
	case kObject:
		return r.group(n, in, env)
	case kWildcard:
		return r.wildcard(in)
	case kDescendant:
		return r.descendants(in)
	case kParent:
		return r.lookup(n.slot.label, env), nil
	case kBind:
		v, err := r.eval(n.rhs, in, env)
		if err == nil {
			env.bind(n.lhs.text, v)
		}
		return v, err
	case kRegex:
		return &matcher{re: n.value.(*regex), at: n}, nil
	case kLambda, kThunk:
		return &lambda{def: n, input: in, env: env}, nil
	case kPartial:
		return r.partial(n, in, env)
	case kApply:
		return r.chain(n, in, env)
	case kTransform:
		return &transformer{def: n, env: env}, nil
	}
	// A sort stands only in a path and a lone operator nowhere else than in an argument list.
	return Undefined, nil
}

// lookup selects a field of an object, or of every object in an array.
func lookup(in any, key string) any {
	switch x := in.(type) {
	case *Object:
		if i := x.find(key); i >= 0 {
			return x.vals[i]
		}
	case *Array:
		out := newSeq()
		for _, it := range x.Items {
			switch v := lookup(it, key).(type) {
			case undefinedType:
			case *Array:
				out.Items = append(out.Items, v.Items...)
			default:
				out.Items = append(out.Items, v)
			}
		}
		return out
	}
	return Undefined
}

func (r *run) condition(n *node, in any, env *frame) (any, error) {
	c, err := r.eval(n.lhs, in, env)
	if err != nil {
		return nil, err
	}
	if n.kind == kCoalesce {
		if c != Undefined {
			return c, nil
		}
		return r.eval(n.rhs, in, env)
	}
	yes, err := truth(c)
	switch {
	case err != nil:
		return nil, located(err, n)
	case n.kind == kElvis && yes:
		return c, nil
	case n.kind == kElvis || yes:
		return r.eval(n.rhs, in, env)
	case n.third != nil:
		return r.eval(n.third, in, env)
	}
	return Undefined, nil
}

func (r *run) negate(n *node, in any, env *frame) (any, error) {
	v, err := r.eval(n.lhs, in, env)
	if err != nil || v == Undefined {
		return v, err
	}
	f, ok, err := number(v)
	if err != nil {
		return nil, located(err, n)
	}
	if !ok {
		return nil, faultValue("D1002", v).locate(n).token("-")
	}
	return -f, nil
}

func (r *run) array(n *node, in any, env *frame) (any, error) {
	out := &Array{cons: n.cons}
	for _, item := range n.list {
		v, err := r.eval(item, in, env)
		if err != nil {
			return nil, err
		}
		if v == Undefined {
			continue
		}
		a, ok := v.(*Array)
		if !ok || item.kind == kArray {
			out.Items = append(out.Items, v)
			continue
		}
		if err := r.extend(out, a.Items); err != nil {
			return nil, located(err, n)
		}
	}
	return out, nil
}

// extend appends items, as far as the limits allow.
func (r *run) extend(a *Array, items []any) error {
	if len(a.Items)+len(items) > maxItems {
		return fault("D1014")
	}
	a.Items = append(a.Items, items...)
	return r.charge(len(items) / 4)
}

func (r *run) wildcard(in any) (any, error) {
	in = unwrap(in)
	out := newSeq()
	one := func(v any) error {
		if a, ok := v.(*Array); ok {
			// What is joined with an array is an array, no sequence any more.
			out.seq = false
			return r.flatten(a, out, 0)
		}
		out.Items = append(out.Items, v)
		return nil
	}
	switch x := in.(type) {
	case *Object:
		for _, v := range x.vals {
			if err := one(v); err != nil {
				return nil, err
			}
		}
	case *Array:
		for _, v := range x.Items {
			if err := one(v); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (r *run) flatten(a, out *Array, depth int) error {
	if depth > maxValueDepth || len(out.Items) > maxItems {
		return fault("D1014")
	}
	if err := r.charge(len(a.Items) / 4); err != nil {
		return err
	}
	for _, it := range a.Items {
		if sub, ok := it.(*Array); ok {
			if err := r.flatten(sub, out, depth+1); err != nil {
				return err
			}
			continue
		}
		out.Items = append(out.Items, it)
	}
	return nil
}

func (r *run) descendants(in any) (any, error) {
	if in == Undefined {
		return Undefined, nil
	}
	out := newSeq()
	if err := r.descend(in, out, 0); err != nil {
		return nil, err
	}
	if len(out.Items) == 1 {
		return out.Items[0], nil
	}
	return out, nil
}

func (r *run) descend(v any, out *Array, depth int) error {
	if depth > maxValueDepth || len(out.Items) > maxItems {
		return fault("D1014")
	}
	if err := r.charge(1); err != nil {
		return err
	}
	below := []any(nil)
	switch x := v.(type) {
	case *Array:
		below = x.Items
	case *Object:
		out.Items = append(out.Items, v)
		below = x.vals
	default:
		out.Items = append(out.Items, v)
	}
	for _, it := range below {
		if err := r.descend(it, out, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// located sets the position and operator of an error that has none yet.
func located(err error, n *node) error {
	var e *Error
	if errors.As(err, &e) && !e.at {
		_ = e.locate(n) // it is e
		_ = e.token(n.text)
	}
	return err
}

// number tells whether a value is a number; one that is not finite is an error.
func number(v any) (float64, bool, error) {
	f, ok := v.(float64)
	if !ok || math.IsNaN(f) {
		return 0, false, nil
	}
	if math.IsInf(f, 0) {
		return 0, false, faultValue("D1001", f)
	}
	return f, true, nil
}

// truth is the effective boolean value; that of Undefined is false.
func truth(v any) (bool, error) { return truthAt(v, 0) }

func truthAt(v any, depth int) (bool, error) {
	switch x := v.(type) {
	case bool:
		return x, nil
	case string:
		return x != "", nil
	case float64:
		f, ok, err := number(x)
		return ok && f != 0, err
	case *Object:
		return len(x.keys) > 0, nil
	case *Array:
		if depth > maxValueDepth {
			return false, fault("D1014")
		}
		some := false
		for _, it := range x.Items {
			yes, err := truthAt(it, depth+1)
			if err != nil {
				return false, err
			}
			some = some || yes
		}
		return some, nil
	}
	return false, nil
}

func (r *run) binary(n *node, in any, env *frame) (any, error) {
	lhs, err := r.eval(n.lhs, in, env)
	if err != nil {
		return nil, err
	}
	if n.op == opAnd || n.op == opOr {
		yes, err := truth(lhs)
		if err != nil {
			return nil, located(err, n)
		}
		if yes == (n.op == opOr) {
			return yes, nil
		}
		rhs, err := r.eval(n.rhs, in, env)
		if err != nil {
			return nil, err
		}
		yes, err = truth(rhs)
		if err != nil {
			return nil, located(err, n)
		}
		return yes, nil
	}
	rhs, err := r.eval(n.rhs, in, env)
	if err != nil {
		return nil, err
	}
	v, err := r.operate(n.op, lhs, rhs)
	if err != nil {
		return nil, located(err, n)
	}
	return v, nil
}

func (r *run) operate(op operator, lhs, rhs any) (any, error) {
	switch op {
	case opAdd, opSub, opMul, opDiv, opMod:
		return arithmetic(op, lhs, rhs)
	case opEq:
		return lhs != Undefined && rhs != Undefined && Equal(lhs, rhs), nil
	case opNe:
		return lhs != Undefined && rhs != Undefined && !Equal(lhs, rhs), nil
	case opLt, opLe, opGt, opGe:
		return compare(op, lhs, rhs)
	case opConcat:
		return r.concat(lhs, rhs)
	case opIn:
		return contains(lhs, rhs), nil
	case opRange:
		return r.rangeOf(lhs, rhs)
	}
	return Undefined, nil
}

func arithmetic(op operator, lhs, rhs any) (any, error) {
	a, aok, err := number(lhs)
	if err != nil {
		return nil, err
	}
	if !aok && lhs != Undefined {
		return nil, faultValue("T2001", lhs)
	}
	b, bok, err := number(rhs)
	if err != nil {
		return nil, err
	}
	if !bok && rhs != Undefined {
		return nil, faultValue("T2002", rhs)
	}
	if !aok || !bok {
		return Undefined, nil
	}
	switch op {
	case opAdd:
		return a + b, nil
	case opSub:
		return a - b, nil
	case opMul:
		return a * b, nil
	case opDiv:
		return a / b, nil
	}
	return math.Mod(a, b), nil
}

// ordered tells whether < and > take a value.
func ordered(v any) bool {
	return typeBit(v)&(tString|tNumber|tMissing) != 0
}

func compare(op operator, lhs, rhs any) (any, error) {
	if !ordered(lhs) {
		return nil, faultValue("T2010", lhs)
	}
	if !ordered(rhs) {
		return nil, faultValue("T2010", rhs)
	}
	if lhs == Undefined || rhs == Undefined {
		return Undefined, nil
	}
	if a, ok := lhs.(float64); ok {
		if b, ok := rhs.(float64); ok {
			switch op {
			case opLt:
				return a < b, nil
			case opLe:
				return a <= b, nil
			case opGt:
				return a > b, nil
			}
			return a >= b, nil
		}
	}
	if a, ok := lhs.(string); ok {
		if b, ok := rhs.(string); ok {
			c := compareStrings(a, b)
			switch op {
			case opLt:
				return c < 0, nil
			case opLe:
				return c <= 0, nil
			case opGt:
				return c > 0, nil
			}
			return c >= 0, nil
		}
	}
	e := faultValue("T2009", lhs)
	e.value2 = rhs
	return nil, e
}

func (r *run) concat(lhs, rhs any) (any, error) {
	a, err := text(lhs)
	if err != nil {
		return nil, err
	}
	b, err := text(rhs)
	if err != nil {
		return nil, err
	}
	if len(a)+len(b) > maxSize {
		return nil, fault("D1014")
	}
	if err := r.charge((len(a) + len(b)) / 1024); err != nil {
		return nil, err
	}
	return a + b, nil
}

// contains is the in operator, which compares scalars only.
func contains(lhs, rhs any) bool {
	if lhs == Undefined || rhs == Undefined {
		return false
	}
	a, ok := rhs.(*Array)
	if !ok {
		return same(lhs, rhs)
	}
	for _, it := range a.Items {
		if same(lhs, it) {
			return true
		}
	}
	return false
}

// same is JavaScript's strict equality: objects and arrays equal only themselves.
func same(a, b any) bool {
	switch a.(type) {
	case nil, bool, float64, string, *Array, *Object, Function:
		return a == b
	}
	return false
}

func (r *run) rangeOf(lhs, rhs any) (any, error) {
	whole := func(v any) bool {
		f, ok := v.(float64)
		return v == Undefined || ok && f == math.Trunc(f) && !math.IsInf(f, 0)
	}
	if !whole(lhs) {
		return nil, faultValue("T2003", lhs)
	}
	if !whole(rhs) {
		return nil, faultValue("T2004", rhs)
	}
	if lhs == Undefined || rhs == Undefined {
		return Undefined, nil
	}
	from, to := lhs.(float64), rhs.(float64)
	if from > to {
		return Undefined, nil
	}
	if size := to - from + 1; size > maxItems {
		return nil, faultValue("D2014", size)
	}
	n := int(to-from) + 1
	if err := r.charge(n / 4); err != nil {
		return nil, err
	}
	items := make([]any, n)
	for i := range items {
		items[i] = from + float64(i)
	}
	return newSeq(items...), nil
}
