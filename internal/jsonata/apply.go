package jsonata

import (
	"errors"
)

// lambda is a function that an expression defines, with the place it was defined at. With
// unbound set it is a partial application whose other parameters are bound in env.
type lambda struct {
	def    *node
	input  any
	env    *frame
	params []*node // of a partial application; else those of def
	part   bool
}

func (l *lambda) isFunction() {}

// Arity is the number of parameters the lambda declares.
func (l *lambda) Arity() int { return len(l.parameters()) }

func (l *lambda) parameters() []*node {
	if l.part {
		return l.params
	}
	return l.def.params
}

// applied is a partial application of a function of the library.
type applied struct {
	fn   Function
	args []any // with hole where an argument is open
	open int
}

type holeType struct{}

var hole any = holeType{}

func (a *applied) isFunction() {}

// Arity is the number of arguments left open.
func (a *applied) Arity() int { return a.open }

// composed is f ~> g.
type composed struct{ first, then Function }

func (c *composed) isFunction() {}

// Arity is one: the argument of the first function.
func (c *composed) Arity() int { return 1 }

// transformer is the value of |pattern|update,delete|.
type transformer struct {
	def *node
	env *frame
}

func (t *transformer) isFunction() {}

// Arity is one: the value to transform.
func (t *transformer) Arity() int { return 1 }

// calleeName is the function's name in messages.
func calleeName(n *node) string {
	if n.kind == kPath {
		return n.list[0].text
	}
	return n.text
}

// function calls a function. With piped, the left side of ~> is the first argument.
func (r *run) function(n *node, in any, env *frame, left any, piped bool) (any, error) {
	proc, err := r.callee(n, in, env, "T1005")
	if err != nil {
		return nil, err
	}
	args := make([]any, 0, len(n.list)+1)
	if piped {
		args = append(args, left)
	}
	for _, a := range n.list {
		v, err := r.eval(a, in, env)
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	v, err := r.apply(proc, args, in, env)
	if err != nil {
		return nil, called(err, n, calleeName(n.lhs))
	}
	return v, nil
}

// called says where and to what a call was made that failed.
func called(err error, n *node, name string) error {
	var e *Error
	if errors.As(err, &e) {
		if !e.at {
			_ = e.locate(n) // it is e
		}
		_ = e.token(name)
	}
	return err
}

// callee evaluates what is called; a field that has the name of a function is most likely
// a call without its dollar sign.
func (r *run) callee(n *node, in any, env *frame, code string) (any, error) {
	proc, err := r.eval(n.lhs, in, env)
	if err != nil {
		return nil, err
	}
	if proc == Undefined && n.lhs.kind == kPath {
		if name := n.lhs.list[0].text; r.lookup(name, env) != Undefined {
			return nil, faultAt(code, n).token(name)
		}
	}
	return proc, nil
}

// apply calls a function and, as long as that ends in a call in tail position, the next.
func (r *run) apply(proc any, args []any, in any, env *frame) (any, error) {
	if r.calls++; r.calls > r.maxDepth {
		return nil, fault("D1011")
	}
	v, err := r.applyOnce(proc, args, in, env)
	for err == nil {
		thunk, ok := v.(*lambda)
		if !ok || thunk.def.kind != kThunk {
			break
		}
		call := thunk.def.rhs
		var next any
		if next, err = r.callee(call, thunk.input, thunk.env, "T1005"); err != nil {
			return nil, err
		}
		args := make([]any, 0, len(call.list))
		for _, a := range call.list {
			v, err := r.eval(a, thunk.input, thunk.env)
			if err != nil {
				return nil, err
			}
			args = append(args, v)
		}
		if v, err = r.applyOnce(next, args, in, env); err != nil {
			return nil, called(err, call, calleeName(call.lhs))
		}
	}
	r.calls--
	return v, err
}

func (r *run) applyOnce(proc any, args []any, in any, env *frame) (any, error) {
	switch f := proc.(type) {
	case *lambda:
		if f.def.sig != nil && !f.part {
			valid, err := f.def.sig.validate(args, unwrap(in))
			if err != nil {
				return nil, err
			}
			args = valid
		}
		return r.applyLambda(f, args)
	case *Func:
		return r.applyFunc(f, args, in, env)
	case *applied:
		return r.applyApplied(f, args, env)
	case *composed:
		v, err := r.apply(f.first, args[:min(1, len(args))], nil, env)
		if err != nil {
			return nil, err
		}
		return r.apply(f.then, []any{v}, nil, env)
	case *matcher:
		return f.match(r, args)
	case *nextMatch:
		return f.call(r)
	case *transformer:
		valid, err := transformSignature().validate(args, unwrap(in))
		if err != nil {
			return nil, err
		}
		return r.transform(f, valid[0])
	}
	return nil, fault("T1006")
}

func (r *run) applyLambda(f *lambda, args []any) (any, error) {
	params := f.parameters()
	inner := &frame{parent: f.env}
	if n := len(params); n > 0 {
		inner.names = make([]string, 0, n)
		inner.vals = make([]any, 0, n)
	}
	for i, p := range params {
		var v any = Undefined
		if i < len(args) {
			v = args[i]
		}
		inner.bind(p.text, v)
	}
	if f.def.kind == kThunk {
		// A thunk is called by the loop of apply alone.
		return f, nil
	}
	return r.eval(f.def.rhs, f.input, inner)
}

func (r *run) applyFunc(f *Func, args []any, in any, env *frame) (any, error) {
	if f.sig != nil {
		valid, err := f.sig.validate(args, unwrap(in))
		if err != nil {
			return nil, err.token(f.name)
		}
		args = valid
	}
	if err := r.charge(1); err != nil {
		return nil, err
	}
	v, err := f.call(Call{run: r, input: in, env: env}, args)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			err = &foreign{fault: &Error{Code: "D3137", Value: Undefined, Message: err.Error()}, cause: err}
		}
		return nil, err
	}
	return FromGo(v)
}

// foreign is the error of a function of the caller's own, with what it wraps.
type foreign struct {
	fault *Error
	cause error
}

// Error gives the code and the message.
func (f *foreign) Error() string { return f.fault.Error() }

// Unwrap gives the error of the language and the one it was made of.
func (f *foreign) Unwrap() []error { return []error{f.fault, f.cause} }

func (r *run) applyApplied(f *applied, args []any, env *frame) (any, error) {
	full := make([]any, len(f.args))
	next := 0
	for i, a := range f.args {
		if a == hole {
			a = Undefined
			if next < len(args) {
				a = args[next]
			}
			next++
		}
		full[i] = a
	}
	return r.apply(f.fn, full, nil, env)
}

func (r *run) partial(n *node, in any, env *frame) (any, error) {
	args := make([]any, len(n.list))
	open := 0
	for i, a := range n.list {
		if a.kind == kOperator {
			args[i] = hole
			open++
			continue
		}
		v, err := r.eval(a, in, env)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	proc, err := r.callee(n, in, env, "T1007")
	if err != nil {
		return nil, err
	}
	switch f := proc.(type) {
	case *lambda:
		return f.bind(args), nil
	case Function:
		return &applied{fn: f, args: args, open: open}, nil
	}
	return nil, faultAt("T1008", n).token(calleeName(n.lhs))
}

// bind makes a lambda of the parameters that args leaves open.
func (l *lambda) bind(args []any) *lambda {
	inner := &frame{parent: l.env}
	out := &lambda{def: l.def, input: l.input, env: inner, part: true}
	for i, p := range l.parameters() {
		var v any = Undefined
		if i < len(args) {
			v = args[i]
		}
		if v == hole {
			out.params = append(out.params, p)
			continue
		}
		inner.bind(p.text, v)
	}
	return out
}

// chain is left ~> right: a call with left as the first argument, or the composition of
// two functions.
func (r *run) chain(n *node, in any, env *frame) (any, error) {
	left, err := r.eval(n.lhs, in, env)
	if err != nil {
		return nil, err
	}
	if n.rhs.kind == kFunction {
		return r.pipe(n.rhs, in, env, left)
	}
	right, err := r.eval(n.rhs, in, env)
	if err != nil {
		return nil, err
	}
	f, ok := right.(Function)
	if !ok {
		return nil, faultValue("T2006", right).locate(n).token("~>")
	}
	if g, ok := left.(Function); ok {
		return &composed{first: g, then: f}, nil
	}
	v, err := r.apply(f, []any{left}, nil, env)
	if err != nil {
		return nil, called(err, n, calleeName(n.rhs))
	}
	return v, nil
}

// pipe calls the right side of ~> with left as its first argument. Predicates and groups
// of the call are not looked at, as in the reference.
func (r *run) pipe(n *node, in any, env *frame, left any) (any, error) {
	return r.function(n, in, env, left, true)
}

// transform copies a value and changes the objects in it that a pattern selects. Objects
// that the pattern finds elsewhere belong to others and stay as they are.
func (r *run) transform(t *transformer, v any) (any, error) {
	if v == Undefined {
		return Undefined, nil
	}
	clone, ok := r.lookup("clone", t.env).(Function)
	if !ok {
		return nil, faultAt("T2013", t.def)
	}
	out, err := r.apply(clone, []any{v}, nil, t.env)
	if err != nil {
		return nil, err
	}
	if clone != Function(library()["clone"]) {
		if out, err = duplicate(out, 0); err != nil {
			return nil, err
		}
	}
	found, err := r.eval(t.def.lhs, out, t.env)
	if err != nil || found == Undefined {
		return out, err
	}
	matches := []any{found}
	if a, ok := found.(*Array); ok {
		matches = append([]any(nil), a.Items...)
	}
	own := map[*Object]bool{}
	collect(out, own)
	if err := r.charge(len(own)); err != nil {
		return nil, err
	}
	for _, m := range matches {
		if err := r.change(t, m, own); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func collect(v any, own map[*Object]bool) {
	switch x := v.(type) {
	case *Object:
		own[x] = true
		for _, it := range x.vals {
			collect(it, own)
		}
	case *Array:
		for _, it := range x.Items {
			collect(it, own)
		}
	}
}

func (r *run) change(t *transformer, m any, own map[*Object]bool) error {
	update, err := r.eval(t.def.rhs, m, t.env)
	if err != nil {
		return err
	}
	target, isOwn := m.(*Object)
	isOwn = isOwn && own[target]
	if update != Undefined {
		u, ok := update.(*Object)
		if !ok {
			return faultValue("T2011", update).locate(t.def.rhs)
		}
		for i, k := range u.keys {
			if !isOwn {
				continue
			}
			// An object set into itself would make a value without end.
			seen := 0
			loop := within(u.vals[i], target, 0, &seen)
			if err := r.charge(seen / 16); err != nil {
				return err
			}
			if !loop {
				target.Set(k, u.vals[i])
			}
		}
	}
	if t.def.third == nil {
		return nil
	}
	del, err := r.eval(t.def.third, m, t.env)
	if err != nil || del == Undefined {
		return err
	}
	names := []any{del}
	if a, ok := del.(*Array); ok {
		names = a.Items
	}
	for _, n := range names {
		if _, ok := n.(string); !ok {
			return faultValue("T2012", del).locate(t.def.third)
		}
	}
	if isOwn {
		for _, n := range names {
			target.Delete(n.(string))
		}
	}
	return nil
}

// within tells whether an object is part of a value, counting what it looks at.
func within(v any, target *Object, depth int, seen *int) bool {
	if *seen++; depth > maxValueDepth {
		return true
	}
	switch x := v.(type) {
	case *Object:
		if x == target {
			return true
		}
		for _, it := range x.vals {
			if within(it, target, depth+1, seen) {
				return true
			}
		}
	case *Array:
		for _, it := range x.Items {
			if within(it, target, depth+1, seen) {
				return true
			}
		}
	}
	return false
}
