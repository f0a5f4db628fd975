package jsonata

import "strconv"

// maxTree bounds the recursion of the second pass.
const maxTree = 3 * maxChain

// resolver is the second pass over what the parser read. It flattens paths into steps,
// moves predicates, bindings and groups to the step they belong to, finds the step that
// each parent operator means, and marks calls in tail position.
type resolver struct {
	labels int
	depth  int
}

func (r *resolver) resolve(n *node) (*node, *Error) {
	if r.depth++; r.depth > maxTree {
		return nil, faultAt("S0299", n)
	}
	out, err := r.resolveKind(n)
	if err != nil {
		return nil, err
	}
	r.depth--
	if n.keepArray {
		out.keepArray = true
	}
	return out, nil
}

// over resolves operands, handing their unresolved parents on to out.
func (r *resolver) over(out *node, operands ...**node) *Error {
	for _, o := range operands {
		if *o == nil {
			continue
		}
		v, err := r.resolve(*o)
		if err != nil {
			return err
		}
		*o = v
		inherit(out, v)
	}
	return nil
}

func (r *resolver) resolveKind(n *node) (*node, *Error) {
	switch n.kind {
	case kString, kNumber, kValue, kWildcard, kDescendant, kVariable, kRegex:
		return n, nil
	case kName:
		return &node{kind: kPath, start: n.start, end: n.end, list: []*node{n}, keepSingle: n.keepArray}, nil
	case kOperator:
		switch n.text {
		case "and", "or", "in":
			n.kind = kName
			return r.resolveKind(n)
		case "?":
			return n, nil
		}
		return nil, faultAt("S0201", n).token(n.text)
	case kParent:
		n.slot = &slot{label: "!" + strconv.Itoa(r.labels), level: 1}
		r.labels++
		return n, nil
	case kNegate:
		if err := r.over(n, &n.lhs); err != nil {
			return nil, err
		}
		if f, ok := n.lhs.value.(float64); ok && n.lhs.kind == kNumber {
			n.lhs.value = -f
			return n.lhs, nil
		}
		return n, nil
	case kArray, kBlock:
		return n, r.items(n)
	case kObject:
		return n, r.pairs(n, true)
	case kFunction, kPartial:
		if err := r.items(n); err != nil {
			return nil, err
		}
		var err *Error
		n.lhs, err = r.resolve(n.lhs)
		return n, err
	case kLambda:
		body, err := r.resolve(n.rhs)
		if err != nil {
			return nil, err
		}
		n.rhs = tailCalls(body)
		return n, nil
	case kCondition, kElvis, kCoalesce:
		return n, r.over(n, &n.lhs, &n.rhs, &n.third)
	case kTransform:
		return n, r.over(&node{}, &n.lhs, &n.rhs, &n.third)
	case kBinary:
		return r.binary(n)
	case kEnd:
		return nil, faultAt("S0207", n).token(n.text)
	}
	return nil, faultAt("S0206", n).token(n.text)
}

func (r *resolver) items(n *node) *Error {
	for i := range n.list {
		if err := r.over(n, &n.list[i]); err != nil {
			return err
		}
		if it := n.list[i]; n.kind == kBlock && (it.cons || it.kind == kPath && it.list[0].cons) {
			n.cons = true
		}
	}
	return nil
}

func (r *resolver) pairs(n *node, hand bool) *Error {
	to := n
	if !hand {
		to = &node{}
	}
	for i := range n.pairs {
		if err := r.over(to, &n.pairs[i][0], &n.pairs[i][1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) binary(n *node) (*node, *Error) {
	switch n.op {
	case opDot:
		return r.dot(n)
	case opFilter:
		return r.filter(n)
	case opGroup:
		return r.group(n)
	case opSort:
		return r.sort(n)
	case opFocus:
		return r.bindFocus(n)
	case opIndex:
		return r.bindIndex(n)
	case opBind:
		n.kind = kBind
		return n, r.over(n, &n.rhs)
	case opApply:
		n.kind = kApply
		if err := r.over(&node{}, &n.lhs, &n.rhs); err != nil {
			return nil, err
		}
		n.keepArray = n.lhs.keepArray || n.rhs.keepArray
		return n, nil
	}
	return n, r.over(n, &n.lhs, &n.rhs)
}

func (r *resolver) dot(n *node) (*node, *Error) {
	left, err := r.resolve(n.lhs)
	if err != nil {
		return nil, err
	}
	path := left
	if left.kind != kPath {
		path = &node{kind: kPath, start: left.start, end: left.end, list: []*node{left}}
	}
	if left.kind == kParent {
		path.seeking = []*slot{left.slot}
	}
	rest, err := r.resolve(n.rhs)
	if err != nil {
		return nil, err
	}
	if rest.kind == kPath {
		path.list = append(path.list, rest.list...)
	} else {
		rest.stages, rest.predicates = append(rest.stages, rest.predicates...), nil
		path.list = append(path.list, rest)
	}
	for _, s := range path.list {
		switch s.kind {
		case kNumber, kValue:
			e := faultAt("S0213", s)
			e.Value = s.value
			return nil, e
		case kString:
			s.kind = kName
		}
		if s.keepArray {
			path.keepSingle = true
		}
	}
	if first := path.list[0]; first.kind == kArray {
		first.cons = true
	}
	if last := path.list[len(path.list)-1]; last.kind == kArray {
		last.cons = true
	}
	return path, findParents(path)
}

func (r *resolver) filter(n *node) (*node, *Error) {
	out, err := r.resolve(n.lhs)
	if err != nil {
		return nil, err
	}
	step, list := out, &out.predicates
	if out.kind == kPath {
		step = out.list[len(out.list)-1]
		list = &step.stages
	}
	if step.group != nil {
		return nil, faultAt("S0209", n)
	}
	p, err := r.resolve(n.rhs)
	if err != nil {
		return nil, err
	}
	if len(p.seeking) > 0 {
		for _, s := range p.seeking {
			if s.level == 1 {
				if err := seek(step, s); err != nil {
					return nil, err
				}
			} else {
				s.level--
			}
		}
		inherit(step, p)
	}
	*list = append(*list, stage{expr: p})
	return out, nil
}

func (r *resolver) group(n *node) (*node, *Error) {
	out, err := r.resolve(n.lhs)
	if err != nil {
		return nil, err
	}
	if out.group != nil {
		return nil, faultAt("S0210", n)
	}
	out.group = &node{kind: kObject, start: n.start, end: n.end, pairs: n.pairs}
	return out, r.pairs(out.group, false)
}

func (r *resolver) sort(n *node) (*node, *Error) {
	out, err := r.resolve(n.lhs)
	if err != nil {
		return nil, err
	}
	if out.kind != kPath {
		out = &node{kind: kPath, start: out.start, end: out.end, list: []*node{out}}
	}
	step := &node{kind: kSort, start: n.start, end: n.end, terms: n.terms}
	for i := range step.terms {
		if err := r.over(step, &step.terms[i].expr); err != nil {
			return nil, err
		}
	}
	out.list = append(out.list, step)
	return out, findParents(out)
}

func (r *resolver) bindFocus(n *node) (*node, *Error) {
	out, err := r.resolve(n.lhs)
	if err != nil {
		return nil, err
	}
	step := out
	if out.kind == kPath {
		step = out.list[len(out.list)-1]
	}
	if len(step.stages) > 0 || len(step.predicates) > 0 {
		return nil, faultAt("S0215", n)
	}
	if step.kind == kSort {
		return nil, faultAt("S0216", n)
	}
	if n.keepArray {
		step.keepArray = true
	}
	step.focus, step.tuple = n.rhs.text, true
	return out, nil
}

func (r *resolver) bindIndex(n *node) (*node, *Error) {
	out, err := r.resolve(n.lhs)
	if err != nil {
		return nil, err
	}
	step := out
	if out.kind == kPath {
		step = out.list[len(out.list)-1]
	} else {
		out = &node{kind: kPath, start: out.start, end: out.end, list: []*node{out}}
		step.stages, step.predicates = append(step.stages, step.predicates...), nil
	}
	if len(step.stages) == 0 {
		step.index = n.rhs.text
	} else {
		step.stages = append(step.stages, stage{index: n.rhs.text})
	}
	step.tuple = true
	return out, nil
}

// inherit hands the parents that an operand still seeks to the node around it.
func inherit(to, from *node) {
	to.seeking = append(to.seeking, from.seeking...)
	if from.kind == kParent && to != from {
		to.seeking = append(to.seeking, from.slot)
	}
}

// seek counts a parent's levels down over a step and, at zero, lets the step bind its
// context to the parent's label.
func seek(n *node, s *slot) *Error {
	switch n.kind {
	case kName, kWildcard:
		s.level--
		if s.level == 0 {
			if n.ancestor != nil {
				s.label = n.ancestor.label
			}
			n.ancestor, n.tuple = s, true
		}
	case kParent:
		s.level++
	case kBlock:
		if len(n.list) > 0 {
			n.tuple = true
			return seek(n.list[len(n.list)-1], s)
		}
	case kPath:
		n.tuple = true
		for i := len(n.list) - 1; i >= 0; i-- {
			if err := seek(n.list[i], s); err != nil {
				return err
			}
			if s.level <= 0 {
				break
			}
		}
	default:
		return faultAt("S0217", n).token(kindNames[n.kind])
	}
	return nil
}

// findParents looks for the steps of a path that the parents in its last step mean; those
// that lie before the path are left for the node around it.
func findParents(path *node) *Error {
	last := path.list[len(path.list)-1]
	slots := last.seeking
	if last.kind == kParent {
		slots = append(slots[:len(slots):len(slots)], last.slot)
	}
	for _, s := range slots {
		i := len(path.list) - 2
		for s.level > 0 {
			if i < 0 {
				path.seeking = append(path.seeking, s)
				break
			}
			step := path.list[i]
			i--
			// Steps in a row that bind their focus share one context.
			for i >= 0 && step.focus != "" && path.list[i].focus != "" {
				step = path.list[i]
				i--
			}
			if err := seek(step, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// tailCalls marks the calls that are the last thing a lambda does, so that a recursion
// through them needs no stack.
func tailCalls(n *node) *node {
	switch n.kind {
	case kFunction:
		if len(n.predicates) == 0 {
			return &node{kind: kThunk, start: n.start, end: n.end, rhs: n}
		}
	case kCondition:
		n.rhs = tailCalls(n.rhs)
		if n.third != nil {
			n.third = tailCalls(n.third)
		}
	case kElvis, kCoalesce:
		n.rhs = tailCalls(n.rhs)
	case kBlock:
		if k := len(n.list); k > 0 {
			n.list[k-1] = tailCalls(n.list[k-1])
		}
	}
	return n
}
