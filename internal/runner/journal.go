// Package runner drives state machines: it gives their tasks to those who do them, keeps
// every decision in a journal before it acts on it, and goes on after a crash from where
// the journal ends.
package runner

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/machine"
)

// ErrStale says that another process has taken the run over.
var ErrStale = errors.New("the run is driven by another process")

// Key names what is asked for: equal keys are the same run, unless a new one is wanted.
type Key struct {
	Pipeline string
	Time     time.Time // the logical time
	Target   string
	Params   string // hash of the params, empty for the defaults
}

// Run is one execution of a machine, as the journal keeps it.
type Run struct {
	ID      string
	Key     Key
	N       int // 1 for the key's first run
	Machine []byte
	Hash    string            // of Machine
	Texts   map[string]string // the SQL texts by content hash; kept once for all runs
	Input   json.RawMessage   // resolved and without secrets
	Created time.Time

	Status machine.Status // empty until it has begun
	Ended  time.Time
	Error  string
	Cause  string
	Output json.RawMessage
	Owner  string // who drives it now
	Until  time.Time

	// From is where a run goes on that ended in a state Fail, which has nothing to go on
	// with itself. The journal does not keep it.
	From string
}

// Fence numbers the holders of a run's lease: a commit under an older fence is refused.
type Fence int64

// Token is a task's work that outlives the process: intended before the call that begins
// it, started, with this token, after.
type Token struct {
	Key     string // the request's
	Started bool
	Token   flow.Token
	At      time.Time
}

// Decision is what one decision changes, in one transaction.
type Decision struct {
	Events []machine.Event
	Tokens []Token
	Status machine.Status // set when it changes
	Error  string
	Cause  string
	Output json.RawMessage
	Due    time.Time // when the run wants a Tick; zero for never
	At     time.Time
}

// Query chooses runs. Zero fields do not restrict.
type Query struct {
	ID       string
	Key      *Key
	Pipeline string
	Status   []machine.Status
	Limit    int // newest first
}

// Journal keeps runs. It is safe for concurrent use; a call that returned has lasted.
type Journal interface {
	// Create keeps a new run. If the ID is taken it returns the run that has it, and false.
	Create(ctx context.Context, r Run) (Run, bool, error)
	// Lease gives the run to an owner until a time. It fails with ErrStale while another
	// owner, for whom alive says true, has it. The same owner again renews, under its fence.
	Lease(ctx context.Context, run, owner string, now, until time.Time, alive func(owner string) bool) (Fence, error)
	// Commit keeps a decision as the n-th event and those after it; ErrStale if the fence
	// is old or an n-th event is there.
	Commit(ctx context.Context, run string, f Fence, n int, d Decision) error
	// Events returns a run's history in order and its tokens.
	Events(ctx context.Context, run string) ([]machine.Event, []Token, error)
	// Due lists running runs that nobody alive drives or whose timer is due.
	Due(ctx context.Context, now time.Time) ([]Run, error)
	// Find lists runs, the newest first.
	Find(ctx context.Context, q Query) ([]Run, error)
}
