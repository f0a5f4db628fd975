package runner_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/machine"
	"github.com/tidemill/tidemill/internal/runner"
)

// memory is a journal in memory whose calls can be made to fail once, before or after they
// took effect.
type memory struct {
	mu     sync.Mutex
	runs   map[string]*record
	calls  int
	failAt int // the call that fails; 0 none
	after  bool
}

type record struct {
	run    runner.Run
	fence  runner.Fence
	events []machine.Event
	tokens map[string]runner.Token
}

var errDown = errors.New("the journal is down")

func newMemory() *memory { return &memory{runs: map[string]*record{}} }

// call counts a call; before and after tell when it is to fail.
func (m *memory) call() (before, after bool) {
	m.calls++
	hit := m.calls == m.failAt
	return hit && !m.after, hit && m.after
}

func failing(after bool) error {
	if after {
		return errDown
	}
	return nil
}

func (m *memory) Create(_ context.Context, r runner.Run) (runner.Run, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.runs[r.ID]; ok {
		return old.run, false, nil
	}
	m.runs[r.ID] = &record{run: r, tokens: map[string]runner.Token{}}
	return r, true, nil
}

func (m *memory) Lease(_ context.Context, run, owner string, now, until time.Time, alive func(string) bool) (runner.Fence, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, after := m.call()
	if before {
		return 0, errDown
	}
	r := m.runs[run]
	if r.run.Owner != "" && r.run.Owner != owner && now.Before(r.run.Until) && alive(r.run.Owner) {
		return 0, &runner.HeldError{Owner: r.run.Owner}
	}
	if r.run.Owner != owner {
		r.fence++
	}
	r.run.Owner, r.run.Until = owner, until
	return r.fence, failing(after)
}

func (m *memory) Commit(_ context.Context, run string, f runner.Fence, n int, d runner.Decision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, after := m.call()
	if before {
		return errDown
	}
	r := m.runs[run]
	if f != r.fence || len(d.Events) > 0 && n != len(r.events) {
		return runner.ErrStale
	}
	r.events = append(r.events, d.Events...)
	for _, t := range d.Tokens {
		r.tokens[t.Key] = t
	}
	if d.Status != "" {
		r.run.Status = d.Status
	}
	return failing(after)
}

func (m *memory) Events(_ context.Context, run string) ([]machine.Event, []runner.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, after := m.call()
	if before {
		return nil, nil, errDown
	}
	r := m.runs[run]
	var tokens []runner.Token
	for _, t := range r.tokens {
		tokens = append(tokens, t)
	}
	return append([]machine.Event(nil), r.events...), tokens, failing(after)
}

func (m *memory) Due(context.Context, time.Time) ([]runner.Run, error)     { return nil, nil }
func (m *memory) Find(context.Context, runner.Query) ([]runner.Run, error) { return nil, nil }
