package jsonata

import (
	"errors"
	"fmt"
	"time"
)

// Limits that hold where an Env sets none.
const (
	DefaultMaxDepth = 10_000
	DefaultMaxSteps = 20_000_000
)

// maxSize bounds the bytes of a string and maxItems the items of an array that an
// expression may build.
const (
	maxSize  = 64 << 20
	maxItems = 10_000_000
)

// Env is all that an expression may know of the world besides its input. The zero value
// is an empty world. It is only read, and may be shared between evaluations.
type Env struct {
	// Vars are the values of variables, named without the dollar sign. They are values of
	// this package or what FromGo takes.
	Vars map[string]any
	// Funcs are functions beside those of the language, named without the dollar sign. A
	// nil hides the language's own function of that name.
	Funcs map[string]*Func
	// Now is what $now and $millis give, and where $toMillis takes what a picture leaves
	// out. With the zero time they fail.
	Now time.Time
	// Random gives numbers from 0 up to and without 1, for $random and $shuffle, which
	// fail without it. It is called by one goroutine at a time in each evaluation.
	Random func() float64
	// MaxDepth bounds how deep evaluation nests (D1011); 0 is DefaultMaxDepth.
	MaxDepth int
	// MaxSteps bounds how many nodes are evaluated and items handled (D1012); 0 is
	// DefaultMaxSteps.
	MaxSteps int
}

// Func is a function that expressions can call.
type Func struct {
	name  string
	sig   *signature
	arity int
	call  func(c Call, args []any) (any, error)
}

// NewFunc makes a function of a signature in JSONata's notation, as in <s-n?:s>: s string,
// n number, b boolean, l null, o object, a array, f function, j any of JSON, x anything,
// (sn) one of them; - takes a missing argument from the context, ? makes it optional, +
// repeatable. call gets one value a parameter, Undefined for those left out.
func NewFunc(name, signature string, call func(c Call, args []any) (any, error)) (*Func, error) {
	s, err := parseSignature(signature)
	if err != nil {
		return nil, fmt.Errorf("define function %s: %w", name, err.finish(signature))
	}
	return &Func{name: name, sig: s, arity: len(s.params), call: call}, nil
}

// Arity is the number of parameters the function declares.
func (f *Func) Arity() int { return f.arity }

func (f *Func) isFunction() {}

// Call is what a function knows of the place it is called from.
type Call struct {
	run   *run
	input any
	env   *frame
}

// Input is the context value of the call.
func (c Call) Input() any { return unwrap(c.input) }

// Now is the time of the evaluation; ok is false where none was given.
func (c Call) Now() (t time.Time, ok bool) { return c.run.outer.Now, !c.run.outer.Now.IsZero() }

// Random gives a number from 0 up to and without 1, or an error where the evaluation has
// no randomness.
func (c Call) Random() (float64, error) {
	if c.run.outer.Random == nil {
		return 0, &Error{Code: "D1015", Value: Undefined, Message: "Random numbers are not available to this expression"}
	}
	return c.run.outer.Random(), nil
}

// Charge counts n further steps of the evaluation's limit, for work of that size.
func (c Call) Charge(n int) error { return c.run.charge(n) }

// Invoke calls a function that was given as an argument.
func (c Call) Invoke(f Function, args ...any) (any, error) {
	depth, calls := c.run.depth, c.run.calls
	v, err := c.run.apply(f, args, nil, c.env)
	c.run.depth, c.run.calls = depth, calls
	return v, err
}

// Expr is a parsed expression. It is immutable and safe for concurrent use.
type Expr struct {
	text string
	root *node
}

// String gives the text that was parsed.
func (e *Expr) String() string { return e.text }

// Eval evaluates the expression. in is the input, a value of this package or what FromGo
// takes; Undefined is no input. The result is Undefined where the expression selects
// nothing. An error is an *Error, or wraps one.
func (e *Expr) Eval(in any, env Env) (any, error) {
	in, err := FromGo(in)
	if err != nil {
		return nil, err
	}
	r := run{outer: &env, root: in, text: e.text, maxDepth: env.MaxDepth, maxSteps: env.MaxSteps}
	if r.maxDepth <= 0 {
		r.maxDepth = DefaultMaxDepth
	}
	if r.maxSteps <= 0 {
		r.maxSteps = DefaultMaxSteps
	}
	if _, ok := in.(*Array); ok {
		s := newSeq(in)
		s.outer = true
		in = s
	}
	v, err := r.eval(e.root, in, &frame{})
	if err == nil {
		v, err = clean(unwrap(v), 0)
	}
	if err != nil {
		return nil, r.finish(err)
	}
	return v, nil
}

func (r *run) finish(err error) error {
	var e *Error
	if errors.As(err, &e) {
		_ = e.finish(r.text) // it is e
	}
	return err
}

// unwrap undoes the wrapping of an input that is an array.
func unwrap(v any) any {
	if a, ok := v.(*Array); ok && a.outer && len(a.Items) > 0 {
		return a.Items[0]
	}
	return v
}

// clean takes the marks of evaluation off a result, so that it can be the input of
// another. Only arrays made by this evaluation carry any.
func clean(v any, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, fault("D1014")
	}
	switch x := v.(type) {
	case *Array:
		if x.seq || x.keep || x.cons || x.outer || x.tuple {
			x.seq, x.keep, x.cons, x.outer, x.tuple = false, false, false, false, false
		}
		for i, it := range x.Items {
			if t, ok := it.(*tuple); ok {
				it = t.at
				x.Items[i] = it
			}
			switch it.(type) {
			case *Array, *Object:
				if _, err := clean(it, depth+1); err != nil {
					return nil, err
				}
			case undefinedType:
				x.Items[i] = nil
			}
		}
	case *Object:
		for _, it := range x.vals {
			switch it.(type) {
			case *Array, *Object:
				if _, err := clean(it, depth+1); err != nil {
					return nil, err
				}
			}
		}
	case *tuple:
		return x.at, nil
	}
	return v, nil
}

// frame holds the variables of one scope.
type frame struct {
	parent *frame
	names  []string
	vals   []any
}

func (f *frame) bind(name string, v any) {
	for i, n := range f.names {
		if n == name {
			f.vals[i] = v
			return
		}
	}
	f.names = append(f.names, name)
	f.vals = append(f.vals, v)
}

// run is one evaluation.
type run struct {
	outer    *Env
	root     any
	text     string
	depth    int
	calls    int
	steps    int
	maxDepth int
	maxSteps int
}

// charge counts steps.
func (r *run) charge(n int) error {
	r.steps += n
	if r.steps > r.maxSteps || n < 0 {
		return faultValue("D1012", float64(r.maxSteps))
	}
	return nil
}

func (r *run) lookup(name string, f *frame) any {
	for ; f != nil; f = f.parent {
		for i, n := range f.names {
			if n == name {
				return f.vals[i]
			}
		}
	}
	if name == "$" {
		return r.root
	}
	if v, ok := r.outer.Vars[name]; ok {
		if c, err := FromGo(v); err == nil {
			return c
		}
		return Undefined
	}
	if fn, ok := r.outer.Funcs[name]; ok {
		if fn == nil {
			return Undefined
		}
		return fn
	}
	if fn, ok := library()[name]; ok {
		return fn
	}
	return Undefined
}
