package machine

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/jsonata"
)

// emit makes an event and folds it.
func (x *Execution) emit(f *frame, kind string, d Details, value any, next string) {
	e := Event{At: x.now, Type: kind, Frame: f.id, Next: next, Details: d, value: value}
	if !strings.HasPrefix(kind, "Tidemill.") {
		e.ID, e.Previous = x.lastID+1, f.last
	}
	x.Evolve(e)
	if f.state != nil {
		e.State = f.state.Name
	}
	x.pending = append(x.pending, e)
	if m := x.info.MaxEvents; m > 0 && x.count >= m-1 && x.Status == Running && kind != "ExecutionFailed" {
		x.emit(x.root, "ExecutionFailed", Details{Error: "States.Runtime", Cause: fmt.Sprintf("The execution reached the maximum number of history events (%d).", m)}, nil, "")
	}
}

func encode(v any) string {
	b, err := jsonata.Encode(v)
	if err != nil {
		return "null"
	}
	return string(b)
}

// enter goes on with a state; text is its input as JSON.
func (x *Execution) enter(f *frame, name string, input any, text string) {
	if x.Status != Running {
		return
	}
	s := f.level.State(name)
	x.emit(f, string(s.Type)+"StateEntered", Details{Name: name, Input: text}, input, "")
	x.begin(f)
}

// begin does a state's work, for the first time or again.
func (x *Execution) begin(f *frame) {
	if x.Status != Running {
		return
	}
	switch s := f.state; s.Type {
	case asl.Pass, asl.Succeed:
		x.exit(f, jsonata.Undefined, false)
	case asl.Task:
		x.task(f)
	case asl.Choice:
		x.choose(f)
	case asl.Wait:
		x.wait(f)
	case asl.Fail:
		x.failState(f)
	case asl.Parallel:
		x.branch(f)
	case asl.Map:
		x.iterate(f)
	}
}

// env is what a state's expressions see.
func (x *Execution) env(f *frame, result, errorOutput any) jsonata.Env {
	vars := make(map[string]any, len(f.vars)+1)
	for k, v := range f.vars {
		vars[k] = v
	}
	states := jsonata.NewObject("input", f.input)
	if result != jsonata.Undefined {
		states.Set("result", result)
	}
	if errorOutput != nil {
		states.Set("errorOutput", errorOutput)
	}
	states.Set("context", x.context(f))
	vars["states"] = states
	n := uint64(x.count)
	var r *rand.Rand
	return jsonata.Env{Vars: vars, Funcs: functions, Now: x.now, MaxDepth: x.info.StackDepth, Random: func() float64 {
		if r == nil {
			r = rand.New(rand.NewPCG(x.info.Seed, n))
		}
		return r.Float64()
	}}
}

const timeForm = "2006-01-02T15:04:05.000Z"

func (x *Execution) context(f *frame) *jsonata.Object {
	execution := jsonata.NewObject("Id", x.info.ID, "Input", x.input, "Name", x.info.Name, "RoleArn", x.info.RoleArn, "StartTime", x.started.UTC().Format(timeForm), "RedriveCount", 0.0)
	o := jsonata.NewObject("Execution", execution,
		"StateMachine", jsonata.NewObject("Id", x.info.MachineID, "Name", x.info.Machine),
		"State", jsonata.NewObject("EnteredTime", f.entered.UTC().Format(timeForm), "Name", f.state.Name, "RetryCount", float64(f.retried)))
	for c := f; c.parent != nil; c = c.parent {
		if c.parent.state.Type == asl.Map && c.index < len(c.parent.items) {
			o.Set("Map", mapContext(c.index, c.parent.items[c.index]))
			break
		}
	}
	return o
}

func mapContext(index int, item any) *jsonata.Object {
	return jsonata.NewObject("Item", jsonata.NewObject("Index", float64(index), "Value", item))
}

// eval evaluates a field; a fault of it is the state's failure, and ok is false.
func (x *Execution) eval(f *frame, v *asl.Value, env jsonata.Env) (any, bool) {
	out, err := v.Eval(env)
	if err == nil {
		return out, true
	}
	x.evalFailed(f, err)
	return nil, false
}

func (x *Execution) evalFailed(f *frame, err error) {
	d := Details{Error: "States.QueryEvaluationError", Cause: f.inState(err.Error()), State: f.state.Name}
	var e *asl.EvalError
	if errors.As(err, &e) {
		d.Location = e.Location
	}
	atEntry := f.last == f.enterID
	if atEntry {
		f.last = f.before // AWS links such a fault to what came before the state
	}
	x.emit(f, "EvaluationFailed", d, nil, "")
	if atEntry && f.state.Type == asl.Map {
		x.emit(f, "MapStateFailed", Details{}, nil, "")
	}
	x.fail(f, d.Error, d.Cause)
}

// inState says in AWS's words in which state a fault of the machine itself came up.
func (f *frame) inState(cause string) string {
	return fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %s", f.state.Name, f.enterID, cause)
}

// wrongType is an expression that gave another type than its field wants.
func wrongType(v *asl.Value, field, want string, got any) *asl.EvalError {
	src, _ := v.Source()
	return &asl.EvalError{Location: field, Cause: fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' returned an unexpected result type. Expected '%s', but was '%s' for value: %s",
		src, field, want, jsonata.TypeOf(got), encode(got))}
}

// exit leaves a state with its result. result is Undefined for states that have none.
func (x *Execution) exit(f *frame, result any, hasResult bool) {
	if x.Status != Running {
		return
	}
	env := x.env(f, result, nil)
	out := f.input
	if hasResult {
		out = result
	}
	x.leave(f, env, f.state.Assign, f.state.Output, out, f.state.Next)
}

// leave evaluates what a state assigns and puts out, and goes on.
func (x *Execution) leave(f *frame, env jsonata.Env, assign, output *asl.Value, def any, next string) {
	assigned, ok := x.assigned(f, assign, env)
	if !ok {
		return
	}
	out := def
	if output != nil {
		if out, ok = x.eval(f, output, env); !ok {
			return
		}
	}
	text := encode(out)
	if over := x.tooLarge(f, len(text)); over != "" {
		x.fail(f, "States.DataLimitExceeded", over)
		return
	}
	kind := string(f.state.Type) + "StateExited"
	x.emit(f, kind, Details{Name: f.state.Name, Output: text, AssignedVariables: assigned}, out, next)
	if next == "" {
		x.finish(f)
		return
	}
	x.enter(f, next, out, text)
}

// assigned evaluates an Assign. All of its values see the variables as they were.
func (x *Execution) assigned(f *frame, assign *asl.Value, env jsonata.Env) (map[string]string, bool) {
	if assign == nil || len(assign.Names()) == 0 {
		return nil, true
	}
	out := make(map[string]string, len(assign.Names()))
	for i, name := range assign.Names() {
		v, ok := x.eval(f, assign.Member(i), env)
		if !ok {
			return nil, false
		}
		out[name] = encode(v)
	}
	return out, true
}

// finish ends a frame that has left its last state.
func (x *Execution) finish(f *frame) {
	p := f.parent
	switch {
	case p == nil:
		x.emit(f, "ExecutionSucceeded", Details{Output: encode(f.output)}, f.output, "")
	case p.state.Type == asl.Parallel:
		if p.ended == len(p.children) {
			p.last = f.last
			results := make([]any, len(p.children))
			for i, c := range p.children {
				results[i] = c.output
			}
			x.emit(p, "ParallelStateSucceeded", Details{}, nil, "")
			x.exit(p, jsonata.NewArray(results...), true)
		}
	default:
		x.emit(f, "MapIterationSucceeded", Details{Name: p.state.Name, Index: f.index}, nil, "")
		p.last = f.last
		x.mapOn(p)
	}
}

func (x *Execution) resource(f *frame) Details {
	rest := strings.TrimPrefix(f.state.Resource, "arn:aws:states:::")
	kind, name := "", rest
	if i := strings.LastIndexByte(strings.TrimSuffix(strings.TrimSuffix(rest, ".sync:2"), ".sync"), ':'); i >= 0 {
		kind, name = rest[:i], rest[i+1:]
	}
	return Details{Resource: name, ResourceType: kind}
}

func (x *Execution) task(f *frame) {
	s := f.state
	env := x.env(f, jsonata.Undefined, nil)
	params := f.input
	if s.Arguments != nil {
		var ok bool
		if params, ok = x.eval(f, s.Arguments, env); !ok {
			return
		}
	}
	d := x.resource(f)
	d.Region, d.Parameters = x.info.Region, encode(params)
	for _, t := range []struct {
		v   *asl.Value
		out *int64
	}{{s.TimeoutSeconds, &d.TimeoutInSeconds}, {s.HeartbeatSeconds, &d.Heartbeat}} {
		if t.v == nil {
			continue
		}
		v, ok := x.eval(f, t.v, env)
		if !ok {
			return
		}
		n, isNumber := v.(float64)
		if !isNumber || n < 1 || n > 99_999_999 {
			x.evalFailed(f, &asl.EvalError{Location: "TimeoutSeconds", Cause: fmt.Sprintf("%v is no number of seconds from 1 to 99999999", v)})
			return
		}
		*t.out = int64(n)
	}
	x.emit(f, "TaskScheduled", d, params, "")
	x.emit(f, "TaskStarted", x.resource(f), nil, "")
}

func (x *Execution) choose(f *frame) {
	env := x.env(f, jsonata.Undefined, nil)
	for _, r := range f.state.Choices {
		v, ok := x.eval(f, r.Condition, env)
		if !ok {
			return
		}
		b, isBool := v.(bool)
		if !isBool {
			x.evalFailed(f, wrongType(r.Condition, "Condition", "boolean", v))
			return
		}
		if b {
			output := r.Output
			if output == nil {
				output = f.state.Output
			}
			x.leave(f, env, r.Assign, output, f.input, r.Next)
			return
		}
	}
	if f.state.Default == "" {
		x.fail(f, "States.NoChoiceMatched", f.inState("No choice rule matched and no default is there."))
		return
	}
	x.leave(f, env, f.state.Assign, f.state.Output, f.input, f.state.Default)
}

func (x *Execution) wait(f *frame) {
	s := f.state
	env := x.env(f, jsonata.Undefined, nil)
	var due time.Time
	if s.Seconds != nil {
		v, ok := x.eval(f, s.Seconds, env)
		if !ok {
			return
		}
		n, isNumber := v.(float64)
		if !isNumber || n < 0 || n > 99_999_999 {
			x.evalFailed(f, &asl.EvalError{Location: "Seconds", Cause: fmt.Sprintf("%s is no number of seconds from 0 to 99999999", encode(v))})
			return
		}
		due = f.entered.Add(time.Duration(n * float64(time.Second)))
	} else {
		v, ok := x.eval(f, s.Timestamp, env)
		if !ok {
			return
		}
		text, _ := v.(string)
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			x.evalFailed(f, &asl.EvalError{Location: "Timestamp", Cause: encode(v) + " is no time of RFC 3339"})
			return
		}
		due = t
	}
	x.emit(f, FactWait, Details{Due: &due}, nil, "")
	if !x.now.Before(due) {
		x.exit(f, jsonata.Undefined, false)
	}
}

func (x *Execution) failState(f *frame) {
	env := x.env(f, jsonata.Undefined, nil)
	text := func(v *asl.Value) (string, bool) {
		if v == nil {
			return "", true
		}
		out, ok := x.eval(f, v, env)
		if !ok {
			return "", false
		}
		if s, isText := out.(string); isText {
			return s, true
		}
		return encode(out), true
	}
	name, ok := text(f.state.Error)
	if !ok {
		return
	}
	cause, ok := text(f.state.Cause)
	if !ok {
		return
	}
	x.fail(f, name, cause)
}

func (x *Execution) branch(f *frame) {
	s := f.state
	input := f.input
	if s.Arguments != nil {
		var ok bool
		if input, ok = x.eval(f, s.Arguments, x.env(f, jsonata.Undefined, nil)); !ok {
			return
		}
	}
	x.emit(f, "ParallelStateStarted", Details{}, nil, "")
	text, visit := encode(input), f.visit
	for _, c := range f.children {
		if f.visit != visit || f.phase != branched || x.Status != Running {
			return // a branch failed at once
		}
		x.enter(c, c.level.StartAt, input, text)
	}
}

func (x *Execution) iterate(f *frame) {
	s := f.state
	env := x.env(f, jsonata.Undefined, nil)
	items := f.input
	if s.Items != nil {
		var ok bool
		if items, ok = x.eval(f, s.Items, env); !ok {
			return
		}
	}
	list, isList := items.(*jsonata.Array)
	if !isList {
		if s.Items != nil {
			if _, isExpr := s.Items.Source(); isExpr {
				x.evalFailed(f, wrongType(s.Items, "Items", "array", items))
				return
			}
		}
		x.evalFailed(f, &asl.EvalError{Cause: "Map state input must be an array but was: " + encode(items)})
		return
	}
	width := 0
	if s.MaxConcurrency != nil {
		v, ok := x.eval(f, s.MaxConcurrency, env)
		if !ok {
			return
		}
		if n, isNumber := v.(float64); isNumber && n >= 0 {
			width = int(n)
		}
	}
	x.emit(f, "MapStateStarted", Details{Length: len(list.Items)}, nil, "")
	x.emit(f, FactItems, Details{Input: encode(list), Length: width}, list, "")
	x.mapOn(f)
}

// mapOn begins iterations while there is room, and ends the Map after its last.
func (x *Execution) mapOn(f *frame) {
	if f.mapping {
		return // an iteration ended at once: the loop that began it goes on
	}
	s, visit := f.state, f.visit
	f.mapping = true
	defer func() { f.mapping = false }()
	for f.visit == visit && f.phase == branched && f.begun < len(f.items) && (f.width == 0 || f.begun-f.ended < f.width) && x.Status == Running {
		i := f.begun
		input := f.items[i]
		if s.ItemSelector != nil {
			env := x.env(f, jsonata.Undefined, nil)
			states, _ := env.Vars["states"].(*jsonata.Object)
			c, _ := states.Get("context")
			c.(*jsonata.Object).Set("Map", mapContext(i, f.items[i]))
			var ok bool
			if input, ok = x.eval(f, s.ItemSelector, env); !ok {
				return
			}
		}
		x.emit(f, "MapIterationStarted", Details{Name: s.Name, Index: i}, nil, "")
		c := f.children[i]
		x.enter(c, c.level.StartAt, input, encode(input))
	}
	if f.visit != visit || f.phase != branched || f.ended < len(f.items) || x.Status != Running {
		return
	}
	results := []any{}
	for _, c := range f.children {
		if c.output != failedOutput {
			results = append(results, c.output)
		}
	}
	f.mapping = false
	x.emit(f, "MapStateSucceeded", Details{}, nil, "")
	x.exit(f, jsonata.NewArray(results...), true)
}

// fail is a failure of a frame's state: it is tried again, or caught, or the frame's own.
func (x *Execution) fail(f *frame, name, cause string) {
	if x.Status != Running {
		return
	}
	s := f.state
	for i, r := range s.Retry {
		if !matches(r.ErrorEquals, name) {
			continue
		}
		if f.retries[i] < r.MaxAttempts {
			due := x.now.Add(x.delay(r, f.retries[i]))
			x.emit(f, FactRetry, Details{Due: &due, Index: i, Error: name, Cause: cause}, nil, "")
			return
		}
		break
	}
	for _, c := range s.Catch {
		if !matches(c.ErrorEquals, name) {
			continue
		}
		out := jsonata.NewObject("Error", name, "Cause", cause)
		env := x.env(f, jsonata.Undefined, out)
		x.catch(f, c, env, out)
		return
	}
	x.failFrame(f, name, cause)
}

// catch leaves by a catcher. A fault of the catcher's own expressions is the frame's failure.
func (x *Execution) catch(f *frame, c asl.Catcher, env jsonata.Env, def any) {
	saved := *f.state
	bare := saved
	bare.Retry, bare.Catch = nil, nil
	f.state = &bare
	x.leave(f, env, c.Assign, c.Output, def, c.Next)
	if f.state == &bare {
		f.state = f.level.State(saved.Name)
	}
}

func (x *Execution) failFrame(f *frame, name, cause string) {
	p := f.parent
	if p == nil {
		x.emit(f, "ExecutionFailed", Details{Error: name, Cause: cause}, nil, "")
		return
	}
	if p.state.Type == asl.Map {
		x.emit(f, "MapIterationFailed", Details{Name: p.state.Name, Index: f.index}, nil, "")
		if x.tolerated(p) {
			p.last = f.last
			x.mapOn(p)
			return
		}
	}
	x.abortBelow(p, f)
	p.last = f.last
	x.emit(p, string(p.state.Type)+"StateFailed", Details{Error: name, Cause: cause}, nil, "")
	x.fail(p, name, cause)
}

func (x *Execution) tolerated(p *frame) bool {
	env := x.env(p, jsonata.Undefined, nil)
	number := func(v *asl.Value) (float64, bool) {
		if v == nil {
			return 0, false
		}
		out, err := v.Eval(env)
		n, ok := out.(float64)
		return n, err == nil && ok
	}
	if n, ok := number(p.state.ToleratedCount); ok && float64(p.failures) <= n {
		return true
	}
	n, ok := number(p.state.ToleratedPercentage)
	return ok && float64(p.failures)*100 <= n*float64(len(p.items))
}

func (x *Execution) delay(r asl.Retrier, n int) time.Duration {
	s := r.IntervalSeconds * math.Pow(r.BackoffRate, float64(n))
	if r.MaxDelaySeconds > 0 {
		s = min(s, r.MaxDelaySeconds)
	}
	if r.FullJitter {
		s *= rand.New(rand.NewPCG(x.info.Seed, uint64(x.count))).Float64()
	}
	return time.Duration(min(s, 365*86400) * float64(time.Second))
}

// matches tells whether ErrorEquals has the error, with the wildcards of the specification.
func matches(equals []string, name string) bool {
	for _, e := range equals {
		switch {
		case e == name:
			return true
		case e == "States.ALL":
			return name != "States.DataLimitExceeded" && name != "States.Runtime"
		case e == "States.TaskFailed":
			if name != "States.Timeout" && name != "States.DataLimitExceeded" && name != "States.Runtime" {
				return true
			}
		case e == "States.Timeout" && name == "States.HeartbeatTimeout":
			return true
		}
	}
	return false
}

// redrive goes on with an execution that failed, timed out or was aborted, from the states
// that did not succeed. What succeeded is not done again.
func (x *Execution) redrive(from string) {
	if x.Status == "" || x.Status == Running || x.Status == Succeeded {
		return
	}
	x.emit(x.root, "ExecutionRedriven", Details{}, nil, "")
	if f := x.root; from != "" && f.state != nil && f.state.Type == asl.Fail && f.level.State(from) != nil {
		x.enter(f, from, f.input, encode(f.input))
		return
	}
	x.resume(x.root)
}

func (x *Execution) resume(f *frame) {
	switch {
	case x.Status != Running || f.phase == finished:
	case f.phase != branched:
		x.begin(f)
	case f.state.Type == asl.Map:
		visit := f.visit
		for _, c := range f.children {
			if c != nil && f.visit == visit && f.phase == branched {
				x.resume(c)
			}
		}
		if f.visit == visit {
			x.mapOn(f)
		}
	default:
		x.resumeBranches(f)
	}
}

func (x *Execution) resumeBranches(f *frame) {
	visit := f.visit
	for _, c := range f.children {
		if f.visit != visit || f.phase != branched {
			return
		}
		if c.state != nil {
			x.resume(c)
			continue
		}
		input := f.input
		if a := f.state.Arguments; a != nil {
			var ok bool
			if input, ok = x.eval(f, a, x.env(f, jsonata.Undefined, nil)); !ok {
				return
			}
		}
		x.enter(c, c.level.StartAt, input, encode(input))
	}
}
