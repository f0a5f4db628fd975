package machine

import (
	"maps"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/jsonata"
)

type noOutput struct{}

// failedOutput stands for the output of an iteration that failed and was tolerated.
var failedOutput any = noOutput{}

// decoded is the value of an event's input or output: what Decide had in hand, or the text.
func (e *Event) decoded(text string) any {
	if e.value != nil {
		return e.value
	}
	v, err := jsonata.Decode([]byte(text))
	if err != nil {
		return nil
	}
	return v
}

// Evolve folds one event. Events are folded in the order in which they were made.
func (x *Execution) Evolve(e Event) {
	x.count++
	f := x.frames[e.Frame]
	if f == nil {
		return
	}
	if e.ID > 0 {
		x.lastID = e.ID
		f.last = e.ID
	}
	switch {
	case e.Type == "ExecutionStarted":
		x.Status, x.started, f.last = Running, e.At, 0
		x.input = e.decoded(e.Details.Input)
	case e.Type == "ExecutionRedriven":
		x.Status, x.started, x.Error, x.Cause = Running, e.At, "", ""
		x.mend(x.root)
	case strings.HasPrefix(e.Type, "Execution"):
		x.end(e)
	case strings.HasSuffix(e.Type, "StateEntered"):
		x.drop(f)
		f.enter(e)
	case strings.HasSuffix(e.Type, "StateExited"):
		x.drop(f)
		f.exit(e)
	case strings.HasSuffix(e.Type, "StateAborted"):
		f.phase, f.broken = idle, true
	default:
		x.evolveWork(f, e)
	}
}

func (x *Execution) end(e Event) {
	switch e.Type {
	case "ExecutionSucceeded":
		x.Status, x.Output = Succeeded, []byte(e.Details.Output)
	case "ExecutionFailed":
		x.Status = Failed
	case "ExecutionTimedOut":
		x.Status = TimedOut
	case "ExecutionAborted":
		x.Status = Aborted
	}
	x.Error, x.Cause = e.Details.Error, e.Details.Cause
}

func (f *frame) enter(e Event) {
	f.state = f.level.State(e.Details.Name)
	f.input = e.decoded(e.Details.Input)
	f.entered, f.enterID, f.before = e.At, e.ID, e.Previous
	f.phase, f.retried, f.sent, f.due, f.deadline = idle, 0, 0, time.Time{}, time.Time{}
	f.retries = make([]int, len(f.state.Retry))
	f.children, f.items, f.params, f.broken = nil, nil, nil, false
}

// mend makes the frames that failed, or were cut short, ready to go on.
func (x *Execution) mend(f *frame) {
	f.broken = false
	if f.state != nil {
		f.retries, f.retried = make([]int, len(f.state.Retry)), 0
	}
	if f.children == nil || f.phase == finished {
		return
	}
	f.phase = branched
	for _, c := range f.children {
		if c == nil || c.phase == finished && c.output != failedOutput {
			continue
		}
		if c.output == failedOutput {
			c.phase, c.output = idle, nil
			f.ended--
			f.failures--
		}
		x.mend(c)
	}
}

func (f *frame) exit(e Event) {
	if len(e.Details.AssignedVariables) > 0 {
		f.vars = maps.Clone(f.vars)
		for k, text := range e.Details.AssignedVariables {
			v, err := jsonata.Decode([]byte(text))
			if err == nil {
				f.vars[k] = v
			}
		}
	}
	f.phase = idle
	if e.Next == "" {
		f.phase, f.output = finished, e.decoded(e.Details.Output)
		if p := f.parent; p != nil && p.state.Type == asl.Parallel {
			p.ended++
		}
	}
}

func (x *Execution) evolveWork(f *frame, e Event) {
	switch e.Type {
	case "TaskScheduled":
		f.phase, f.due = working, time.Time{}
		f.params = e.decoded(e.Details.Parameters)
		f.deadline = time.Time{}
		if t := e.Details.TimeoutInSeconds; t > 0 {
			f.deadline = e.At.Add(time.Duration(t) * time.Second)
		}
		x.attempt(f)
	case FactRepeated:
		x.attempt(f)
	case "TaskSubmitted":
		f.sent = f.tryNo
	case "TaskSucceeded", "TaskFailed", "TaskTimedOut", "EvaluationFailed":
		f.phase = idle
	case FactRetry:
		f.phase, f.due = resting, *e.Details.Due
		f.retries[e.Details.Index]++
		f.retried++
		x.drop(f)
	case FactWait:
		f.phase, f.due = waiting, *e.Details.Due
	case "ParallelStateStarted":
		f.phase, f.ended = branched, 0
		f.visit++
		f.children = make([]*frame, len(f.state.Branches))
		for i, b := range f.state.Branches {
			f.children[i] = x.child(f, e.ID, i, b)
		}
	case "MapStateStarted":
		f.phase, f.begun, f.ended, f.failures = branched, 0, 0, 0
		f.visit++
		f.children = make([]*frame, e.Details.Length)
	case FactItems:
		if list, ok := e.decoded(e.Details.Input).(*jsonata.Array); ok {
			f.items, f.width = list.Items, e.Details.Length
		}
	case "MapIterationStarted":
		i := e.Details.Index
		f.children[i] = x.child(f, e.ID, i, f.state.ItemProcessor)
		f.begun++
	case "MapIterationSucceeded":
		f.parent.ended++
	case "MapIterationFailed":
		f.phase, f.output = finished, failedOutput
		f.parent.ended++
		f.parent.failures++
	case "ParallelStateSucceeded", "MapStateSucceeded":
		f.phase = idle
		x.drop(f)
	case "ParallelStateFailed", "MapStateFailed":
		f.phase = idle // the children stay, for a redrive
	}
}

// attempt counts a try of the frame's task.
func (x *Execution) attempt(f *frame) {
	key := f.id + "\x00" + f.state.Name
	if f.parent != nil {
		// A retried Parallel or Map makes its frames anew: count by place, not by frame.
		key = f.place() + "\x00" + f.state.Name
	}
	x.tries[key]++
	f.tryNo = x.tries[key]
}

// place names a frame by the indexes and states above it.
func (f *frame) place() string {
	if f.parent == nil {
		return ""
	}
	return f.parent.place() + "/" + f.parent.state.Name + "." + itoa(int64(f.index))
}

func (x *Execution) child(f *frame, event int64, i int, level *asl.Machine) *frame {
	c := &frame{id: f.id + "/" + itoa(event) + "." + itoa(int64(i)), parent: f, index: i, level: level, vars: f.vars, last: event}
	x.frames[c.id] = c
	return c
}

// drop forgets the frames below.
func (x *Execution) drop(f *frame) {
	for _, c := range f.children {
		if c != nil {
			x.drop(c)
			delete(x.frames, c.id)
		}
	}
	f.children = nil
}
