package flow

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Outcome is what a program on a cluster leaves of its step: what it made, or why it failed.
// It lies in the store as runs/RUN/STATE[ITEM]/ATTEMPT/output.json.
type Outcome struct {
	Outputs json.RawMessage   `json:"outputs,omitempty"`
	Files   map[string]string `json:"files,omitempty"` // for the project to keep: texts by path
	Fault   *Fault            `json:"fault,omitempty"`
}

// Fault is an error as a program on a cluster tells it.
type Fault struct {
	Work    string `json:"work,omitempty"` // the piece of a session's work
	Op      string `json:"op,omitempty"`
	Message string `json:"message"`
	Kind    string `json:"kind,omitempty"`
	Name    string `json:"name,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// NewFault tells an error.
func NewFault(err error) *Fault {
	return &Fault{Message: err.Error(), Kind: KindOf(err).String(), Name: Name(err), Hint: HintOf(err)}
}

// Err is the error that was told.
func (f *Fault) Err() error {
	e := &Error{Op: f.Op, Name: f.Name, Hint: f.Hint, Err: errors.New(f.Message)}
	for k := Unknown; k <= Rejected; k++ {
		if k.String() == f.Kind {
			e.Kind = k
		}
	}
	return e
}

// ReadOutcome gives what was made, or the fault as an error.
func ReadOutcome(text []byte) (Outcome, error) {
	var o Outcome
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("read what the step left: %w", err)
	}
	if o.Fault != nil {
		return o, o.Fault.Err()
	}
	return o, nil
}
