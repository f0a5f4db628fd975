// Package machine interprets States Language machines. It is pure: it has no clock, does no
// I/O and starts no goroutine. Decide turns what happened into events, evaluating every
// expression once; Evolve folds events; Commands tells what has to be done now. Reading a
// history again evaluates nothing and gives the same state.
//
// The events are AWS's own history, with its ids, types and details. Facts that AWS's
// history does not have (a retry is due, a Map's items) are events too; they have no id.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/asl"
	"github.com/tidemill/tidemill/internal/jsonata"
)

// Status is how an execution stands.
type Status string

// The statuses, as AWS names them. An execution that has not begun has none.
const (
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMED_OUT"
	Aborted   Status = "ABORTED"
)

// Event is a fact of an execution's history.
type Event struct {
	ID       int64     // from 1; 0 for a fact that AWS's history does not have
	Previous int64     // the event that led to it; 0 for the first
	At       time.Time // when it was decided
	Type     string    // as AWS names it, or one of the Fact types
	Frame    string    // which branch or iteration it belongs to; empty for the machine itself
	Next     string    // of a StateExited: the state that comes next, empty at the end
	Details  Details

	// State is the state that the frame was in, for those who hear of the event as it is
	// made; a journal does not keep it.
	State string

	value any // the decoded input or output, where the event was just made
}

// Facts beside AWS's history.
const (
	FactRetry    = "Tidemill.Retry"    // Due, Index (of the retrier): the state is tried again then
	FactWait     = "Tidemill.Wait"     // Due: a Wait ends then
	FactItems    = "Tidemill.Items"    // Input: a Map's items; Length: how many may work at once
	FactRepeated = "Tidemill.Repeated" // an attempt died with its process and is run again
)

// Details are the details of an event, with AWS's names. Input, Output and Parameters are
// JSON texts.
type Details struct {
	Name              string            `json:"name,omitempty"`
	Input             string            `json:"input,omitempty"`
	Output            string            `json:"output,omitempty"`
	Resource          string            `json:"resource,omitempty"`
	ResourceType      string            `json:"resourceType,omitempty"`
	Region            string            `json:"region,omitempty"`
	Parameters        string            `json:"parameters,omitempty"`
	TimeoutInSeconds  int64             `json:"timeoutInSeconds,omitempty"`
	Heartbeat         int64             `json:"heartbeatInSeconds,omitempty"`
	Error             string            `json:"error,omitempty"`
	Cause             string            `json:"cause,omitempty"`
	Location          string            `json:"location,omitempty"`
	State             string            `json:"state,omitempty"`
	Length            int               `json:"length,omitempty"`
	Index             int               `json:"index,omitempty"`
	Due               *time.Time        `json:"due,omitempty"`
	AssignedVariables map[string]string `json:"assignedVariables,omitempty"`
	RoleArn           string            `json:"roleArn,omitempty"`
}

// Info is what an execution knows of itself; expressions see it as $states.context.
type Info struct {
	ID         string // the execution's ARN, or the run's id
	Name       string
	RoleArn    string
	MachineID  string
	Machine    string
	Region     string
	Seed       uint64 // of the randomness in expressions and jitter
	MaxEvents  int    // AWS's quota of 25,000, or 0 for none
	MaxData    int    // bytes of a state's input or output: AWS's 262,144, or 0 for none
	StackDepth int    // 0 for the language's default
}

// Execution is one run of a machine, folded from its events.
type Execution struct {
	Status Status
	Output json.RawMessage // of one that succeeded
	Error  string          // of one that failed
	Cause  string

	program *asl.Machine
	info    Info
	root    *frame
	frames  map[string]*frame
	input   any
	started time.Time
	lastID  int64
	count   int
	pending []Event // what the decision at work has made
	now     time.Time
	tries   map[string]int // attempts by frame and state, over all visits
}

// New makes an execution without history.
func New(p *asl.Machine, info Info) *Execution {
	x := &Execution{program: p, info: info, frames: map[string]*frame{}, tries: map[string]int{}}
	x.root = &frame{level: p, vars: map[string]any{}}
	x.frames[""] = x.root
	return x
}

type phase int

const (
	idle     phase = iota // between states; never after a decision
	working               // a task's attempt
	resting               // a retry is due later
	waiting               // a Wait
	branched              // a Parallel or Map with children
	finished
)

// frame is one thread of states: the machine itself, a branch, an iteration.
type frame struct {
	id       string
	parent   *frame
	index    int
	level    *asl.Machine
	state    *asl.State
	phase    phase
	input    any // of the state
	vars     map[string]any
	entered  time.Time
	enterID  int64 // id of the event that entered the state
	before   int64 // id of the event before that
	last     int64 // id of its last event
	retries  []int // of the state, by retrier
	retried  int   // in all
	tryNo    int   // of the task's attempt
	sent     int   // the attempt of which it is known that it was submitted
	params   any
	due      time.Time // of a retry or a Wait
	deadline time.Time // of a task's attempt; zero for none
	output   any       // of a frame that is finished

	children []*frame // of a Parallel or Map, by index
	items    []any    // of a Map
	width    int      // of a Map: how many work at once; 0 is no limit
	begun    int      // of a Map: iterations that have begun
	ended    int      // children that are finished
	failures int      // of a Map
	broken   bool     // its state failed or was cut short: a redrive begins it again
	visit    int      // counts the beginnings of a Parallel or Map
	mapping  bool     // a loop that begins iterations is at work; never after a decision
}

// Kind says what an Input is.
type Kind int

// The kinds of input.
const (
	Start   Kind = iota // Output is the execution's input
	Done                // an attempt ended well: Output
	Failure             // an attempt failed: Error, Cause
	Repeat              // an attempt died with its process
	Tick                // time has passed
	Stop                // somebody ends the execution: Error, Cause
	Submit              // a .sync task has begun outside: Output
	Redrive             // an execution that did not succeed goes on from where it failed; if that is a state Fail and State is set, from that state
)

// Input is something that happened. At is the only clock.
type Input struct {
	Kind    Kind
	At      time.Time
	Frame   string
	State   string
	Attempt int
	Output  json.RawMessage
	Error   string
	Cause   string
}

// Command is a task's attempt that has to be at work now.
type Command struct {
	Frame     string
	State     string
	Item      string // indexes of the iterations around it: 3, or 3.1
	Attempt   int
	Resource  string
	Arguments json.RawMessage
	Deadline  time.Time // zero for none
}

// Name is the attempt's name below the run's: STATE[ITEM]/ATTEMPT.
func (c Command) Name() string {
	if c.Item != "" {
		return fmt.Sprintf("%s[%s]/%d", c.State, c.Item, c.Attempt)
	}
	return fmt.Sprintf("%s/%d", c.State, c.Attempt)
}

// Commands are the attempts that have to be at work, in a fixed order.
func (x *Execution) Commands() []Command {
	var out []Command
	x.each(x.root, func(f *frame) {
		if f.phase != working {
			return
		}
		args, err := jsonata.Encode(f.params)
		if err != nil {
			args = []byte("null")
		}
		out = append(out, Command{Frame: f.id, State: f.state.Name, Item: f.item(), Attempt: f.tryNo, Resource: f.state.Resource, Arguments: args, Deadline: f.deadline})
	})
	return out
}

// Due is when the next Tick is needed; zero if none is.
func (x *Execution) Due() time.Time {
	var due time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if x.Status == Running && x.program.TimeoutSeconds > 0 {
		earlier(x.started.Add(time.Duration(x.program.TimeoutSeconds) * time.Second))
	}
	x.each(x.root, func(f *frame) {
		switch f.phase {
		case resting, waiting:
			earlier(f.due)
		case working:
			earlier(f.deadline)
		}
	})
	return due
}

func (x *Execution) each(f *frame, do func(*frame)) {
	if x.Status != Running {
		return
	}
	do(f)
	for _, c := range f.children {
		if c != nil {
			x.each(c, do)
		}
	}
}

func (f *frame) item() string {
	s := ""
	for ; f.parent != nil; f = f.parent {
		if f.parent.state != nil && f.parent.state.Type == asl.Map {
			if s != "" {
				s = "." + s
			}
			s = fmt.Sprint(f.index) + s
		}
	}
	return s
}

// States are the names of the states that an execution is in, for people.
func (x *Execution) States() []string {
	var out []string
	x.each(x.root, func(f *frame) {
		if f.state != nil && f.phase != finished && f.phase != branched {
			out = append(out, f.state.Name)
		}
	})
	return out
}

// Decide turns inputs into events, in one decision: it goes on until nothing more can be
// done without something happening outside. The events are folded already; the caller
// stores them before it acts on Commands, and drops the execution if that fails. An input
// that comes twice, or too late, gives nothing.
func (x *Execution) Decide(ins ...Input) ([]Event, error) {
	x.pending = nil
	for _, in := range ins {
		if in.At.IsZero() {
			return nil, errors.New("decide: an input without a time")
		}
		x.now = in.At
		if err := x.decide(in); err != nil {
			return nil, err
		}
	}
	out := x.pending
	x.pending = nil
	return out, nil
}

func (x *Execution) decide(in Input) error {
	if in.Kind == Start {
		return x.start(in)
	}
	if in.Kind == Redrive {
		x.redrive(in.State)
		return nil
	}
	if x.Status != Running {
		return nil
	}
	if t := x.program.TimeoutSeconds; t > 0 && !in.At.Before(x.started.Add(time.Duration(t)*time.Second)) {
		x.abortStates()
		x.emit(x.root, "ExecutionTimedOut", Details{}, nil, "")
		return nil
	}
	switch in.Kind {
	case Tick:
		x.tick()
		return nil
	case Stop:
		x.abortStates()
		x.emit(x.root, "ExecutionAborted", Details{Error: in.Error, Cause: in.Cause}, nil, "")
		return nil
	}
	f := x.frames[in.Frame]
	if f == nil || f.phase != working || f.state.Name != in.State || f.tryNo != in.Attempt {
		return nil
	}
	d := x.resource(f)
	switch in.Kind {
	case Done:
		v, err := jsonata.Decode(in.Output)
		if err != nil {
			return x.failed(f, "States.Runtime", "the task's output is no JSON: "+err.Error())
		}
		if over := x.tooLarge(f, len(in.Output)); over != "" {
			return x.failed(f, "States.DataLimitExceeded", over)
		}
		d.Output = string(in.Output)
		x.emit(f, "TaskSucceeded", d, v, "")
		x.exit(f, v, true)
	case Failure:
		return x.failed(f, in.Error, in.Cause)
	case Repeat:
		x.emit(f, FactRepeated, Details{Name: f.state.Name}, nil, "")
	case Submit:
		if f.sent == f.tryNo {
			return nil
		}
		d.Output = string(in.Output)
		x.emit(f, "TaskSubmitted", d, nil, "")
	}
	return nil
}

func (x *Execution) failed(f *frame, name, cause string) error {
	d := x.resource(f)
	d.Error, d.Cause = name, cause
	kind := "TaskFailed"
	if name == "States.Timeout" || name == "States.HeartbeatTimeout" {
		kind = "TaskTimedOut"
	}
	x.emit(f, kind, d, nil, "")
	x.fail(f, name, cause)
	return nil
}

func (x *Execution) tooLarge(f *frame, size int) string {
	if x.info.MaxData > 0 && size > x.info.MaxData {
		return fmt.Sprintf("The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", f.state.Name)
	}
	return ""
}

func (x *Execution) start(in Input) error {
	if x.Status != "" {
		return nil
	}
	v, err := jsonata.Decode(in.Output)
	if err != nil {
		return fmt.Errorf("decode the execution's input: %w", err)
	}
	x.emit(x.root, "ExecutionStarted", Details{Input: string(in.Output), RoleArn: x.info.RoleArn}, v, "")
	x.enter(x.root, x.program.StartAt, v, string(in.Output))
	return nil
}

// tick fires every timer that is due.
func (x *Execution) tick() {
	var due []*frame
	x.each(x.root, func(f *frame) {
		switch f.phase {
		case resting, waiting:
			if !x.now.Before(f.due) {
				due = append(due, f)
			}
		case working:
			if !f.deadline.IsZero() && !x.now.Before(f.deadline) {
				due = append(due, f)
			}
		}
	})
	for _, f := range due {
		if x.Status != Running || x.frames[f.id] != f {
			continue // an earlier one ended it
		}
		switch f.phase {
		case resting:
			x.begin(f)
		case waiting:
			x.exit(f, jsonata.Undefined, false)
		case working:
			d := x.resource(f)
			d.Error = "States.Timeout"
			x.emit(f, "TaskTimedOut", d, nil, "")
			x.fail(f, "States.Timeout", "")
		}
	}
}

// abortStates tells of the states that an end of the execution cuts short.
func (x *Execution) abortStates() {
	x.abortBelow(x.root, nil)
	if x.root.state != nil {
		x.emit(x.root, string(x.root.state.Type)+"StateAborted", Details{}, nil, "")
	}
}

// abortBelow does so for the frames below f, but not for the one whose failure it is.
func (x *Execution) abortBelow(f, failed *frame) {
	for _, c := range f.children {
		if c == nil || c == failed || c.phase == finished || c.state == nil || c.broken {
			continue
		}
		x.abortBelow(c, nil)
		x.emit(c, string(c.state.Type)+"StateAborted", Details{}, nil, "")
	}
}
