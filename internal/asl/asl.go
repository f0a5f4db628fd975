// Package asl reads States Language: a JSON text becomes a checked machine. The source of
// its rules is the States Language specification and what AWS Step Functions does; machines
// whose query language is JSONata are run, JSONPath is read and refused by name.
package asl

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/jsonata"
)

// Machine is a checked state machine, or a branch of one, or what a Map does to each item.
type Machine struct {
	Comment        string
	StartAt        string
	TimeoutSeconds int // of the whole execution; 0 is none
	Version        string
	States         []*State // in the order of the text
	byName         map[string]*State
}

// State finds a state of this level by its name.
func (m *Machine) State(name string) *State { return m.byName[name] }

// Type is what a state does.
type Type string

// The types of state.
const (
	Pass     Type = "Pass"
	Task     Type = "Task"
	Choice   Type = "Choice"
	Wait     Type = "Wait"
	Succeed  Type = "Succeed"
	Fail     Type = "Fail"
	Parallel Type = "Parallel"
	Map      Type = "Map"
)

// State is one state. Which fields are there follows from Type.
type State struct {
	Name    string
	Type    Type
	Comment string
	Next    string
	End     bool

	Arguments *Value // Task, Parallel
	Assign    *Value // an object: variable → value
	Output    *Value

	Resource         string // Task
	TimeoutSeconds   *Value // a number
	HeartbeatSeconds *Value // a number
	Credentials      *Value

	Choices []Rule // Choice
	Default string

	Seconds   *Value // Wait: one of Seconds and Timestamp
	Timestamp *Value

	Error *Value // Fail
	Cause *Value

	Branches []*Machine // Parallel

	Items               *Value   // Map
	ItemSelector        *Value   // Map
	ItemProcessor       *Machine // Map
	Distributed         bool     // Map: ProcessorConfig.Mode is DISTRIBUTED
	MaxConcurrency      *Value   // Map: a number; 0 is no limit
	ToleratedCount      *Value   // Map
	ToleratedPercentage *Value   // Map

	Retry []Retrier
	Catch []Catcher
}

// Rule is one choice of a Choice state.
type Rule struct {
	Condition *Value
	Next      string
	Assign    *Value
	Output    *Value
}

// Retrier says which errors are tried again, and how.
type Retrier struct {
	ErrorEquals     []string
	IntervalSeconds float64 // default 1
	MaxAttempts     int     // default 3; retries, not tries
	BackoffRate     float64 // default 2
	MaxDelaySeconds float64 // 0 is none
	FullJitter      bool
}

// Catcher says where an error leads.
type Catcher struct {
	ErrorEquals []string
	Next        string
	Assign      *Value
	Output      *Value
}

// Fault is one thing that is wrong with a machine's text.
type Fault struct {
	Path    string // a JSON pointer: /States/a/Next
	Message string
}

func (f Fault) String() string { return f.Path + ": " + f.Message }

// Faults are all that is wrong with a machine's text.
type Faults []Fault

func (f Faults) Error() string {
	if len(f) == 1 {
		return f[0].String()
	}
	return fmt.Sprintf("%s (and %d more)", f[0], len(f)-1)
}

// Value is a JSON value in which texts of the form {% … %} are JSONata expressions.
type Value struct {
	constant any // where no expression stands in it
	expr     *jsonata.Expr
	src      string
	keys     []string
	items    []*Value
	kind     valueKind
	field    string // where it stands, for errors: Arguments/from
}

type valueKind int

const (
	constantValue valueKind = iota
	exprValue
	objectValue
	listValue
)

// Constant returns the value where no expression stands in it.
func (v *Value) Constant() (any, bool) { return v.constant, v.kind == constantValue }

// Source is the expression's text; ok is false for a value that is none.
func (v *Value) Source() (src string, ok bool) { return v.src, v.kind == exprValue }

// EvalError is an expression that could not be evaluated.
type EvalError struct {
	Location string // the field: Arguments/from
	Cause    string
}

func (e *EvalError) Error() string { return e.Cause }

// Eval gives the value in an environment.
func (v *Value) Eval(env jsonata.Env) (any, error) {
	switch v.kind {
	case exprValue:
		out, err := v.expr.Eval(jsonata.Undefined, env)
		if err != nil {
			return nil, &EvalError{v.field, fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' threw an error during evaluation. %s", v.src, v.field, message(err))}
		}
		if out == jsonata.Undefined {
			return nil, &EvalError{v.field, fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' returned nothing (undefined).", v.src, v.field)}
		}
		if jsonata.IsFunction(out) {
			return nil, &EvalError{v.field, fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' returned an unsupported result type.", v.src, v.field)}
		}
		return out, nil
	case objectValue:
		o := jsonata.NewObject()
		for i, k := range v.keys {
			x, err := v.items[i].Eval(env)
			if err != nil {
				return nil, err
			}
			o.Set(k, x)
		}
		return o, nil
	case listValue:
		items := make([]any, len(v.items))
		for i, x := range v.items {
			var err error
			if items[i], err = x.Eval(env); err != nil {
				return nil, err
			}
		}
		return jsonata.NewArray(items...), nil
	}
	return v.constant, nil
}
