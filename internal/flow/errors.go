package flow

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind sorts errors by what a program should do about them.
type Kind int

// The kinds of error.
const (
	Unknown   Kind = iota
	Transient      // the same call may succeed in a moment
	Throttled      // the same call may succeed later, more slowly
	Timeout
	Canceled
	Invalid  // the request or the data is wrong; again gives the same
	NotFound // what was named is not there (yet)
	Denied
	Conflict // somebody else was first
	Rejected // rows did not fit
)

var kindNames = [...]string{"unknown", "transient", "throttled", "timeout", "canceled", "invalid", "not found", "denied", "conflict", "rejected"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Error is an error with what a program and a person need to go on.
type Error struct {
	Op         string // what was done: "read s3://lake/orders"; may be empty
	Kind       Kind
	Name       string        // the States Language error name, where it is not the kind's
	Hint       string        // one sentence with something to do; may be empty
	RetryAfter time.Duration // what the other side asked for
	Err        error
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil && e.Op == "":
		return e.Kind.String()
	case e.Err == nil:
		return e.Op + ": " + e.Kind.String()
	case e.Op == "":
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost Error in err's chain; a context's end is Canceled or Timeout.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) && e.Kind != Unknown {
		return e.Kind
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Unknown
}

// HintOf returns the first hint in err's chain, or nothing.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// errorNames is the one table from kinds to States Language error names; it is API.
var errorNames = map[Kind]string{
	Unknown:   "States.TaskFailed",
	Transient: "Tidemill.Transient",
	Throttled: "Tidemill.Throttled",
	Timeout:   "States.Timeout",
	Canceled:  "Tidemill.Canceled",
	Invalid:   "Tidemill.Invalid",
	NotFound:  "Tidemill.NotFound",
	Denied:    "States.Permissions",
	Conflict:  "Tidemill.Conflict",
	Rejected:  "Tidemill.Rejected",
}

// Error names beside the kinds'.
const (
	NameCheckFailed = "Tidemill.CheckFailed" // a check of severity fail did not hold
	NamePanic       = "Tidemill.Panic"       // a task broke; its trace is in the attempt's log
)

// Name returns the States Language error name of err.
func Name(err error) string {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Name != "" {
			return e.Name
		}
		if e.Kind != Unknown {
			return errorNames[e.Kind]
		}
	}
	return errorNames[KindOf(err)]
}

// Retriable are the error names that a plain `retry:` catches.
func Retriable() []string {
	return []string{errorNames[Transient], errorNames[Throttled], NamePanic}
}

// Pause waits for d, or returns the context's cause where that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
