package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// LeaseName is the file in a slot's folder that says who may flip its pointer.
const LeaseName = "_lease.json"

// A lease lasts leaseTTL from its last renewal. Who meets a foreign one waits leaseWait for it:
// longer, so that one whose holder died is taken over within one attempt.
const (
	leaseTTL  = 30 * time.Second
	leaseWait = 45 * time.Second
)

type leaseFile struct {
	Version int       `json:"version"`
	Owner   string    `json:"owner"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"` // in the past: free
}

// Lease is the right, held alone, to flip a pointer or a load's files. It is renewed until
// it is released. Its object is never removed: it is written as free, so that a holder who
// slept past the end cannot take away the next one's.
type Lease struct {
	s     Store
	name  string
	owner string

	mu   sync.Mutex
	file leaseFile
	etag string
	stop context.CancelFunc
	done chan struct{}
}

// Lease takes the lease kept in the store's path rel for an owner, whose name tells a
// reader who it is: a request's key, RUN/STATE/ATTEMPT. A later attempt of the same state
// gets it at once: one process drives a run, so the attempt that held it is dead, or fails
// at Held.
func (s Store) Lease(ctx context.Context, rel, owner string) (*Lease, error) {
	l := &Lease{s: s, name: s.Name(rel), owner: owner, done: make(chan struct{})}
	wait := s.LeaseWait
	if wait == 0 {
		wait = leaseWait
	}
	end := time.Now().Add(wait)
	for {
		held, err := l.take(ctx)
		if err == nil && held == nil {
			break
		}
		if err != nil && flow.KindOf(err) != flow.Conflict {
			return nil, err
		}
		if held != nil && time.Now().After(end) {
			return nil, &flow.Error{Op: "take the lease " + l.name, Kind: flow.Conflict, RetryAfter: held.Until.Sub(s.now()),
				Err:  fmt.Errorf("%s holds it since %s, until %s unless it is renewed", held.Owner, held.Since.Format(time.RFC3339), held.Until.Format(time.RFC3339)),
				Hint: "Wait for that run to publish, or cancel it."}
		}
		if err := flow.Pause(ctx, 250*time.Millisecond); err != nil {
			return nil, err
		}
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.renew(renewing)
	return l, nil
}

// take tries once. It returns who else holds the lease, or a Conflict where another was faster.
func (l *Lease) take(ctx context.Context) (*leaseFile, error) {
	o, err := l.s.Bucket.Stat(ctx, l.name)
	if flow.KindOf(err) == flow.NotFound {
		return nil, l.put(ctx, flow.Condition{IfAbsent: true}, leaseTTL)
	}
	if err != nil {
		return nil, err
	}
	text, err := read(ctx, l.s.Bucket, l.name)
	if err != nil {
		return nil, err
	}
	var f leaseFile
	if err := json.Unmarshal(text, &f); err != nil || f.Version != 1 {
		return nil, &flow.Error{Op: "read " + l.name, Kind: flow.Invalid, Err: fmt.Errorf("not a lease of version 1: %w", err)}
	}
	if holder(f.Owner) != holder(l.owner) && f.Until.After(l.s.now()) {
		return &f, nil
	}
	return nil, l.put(ctx, flow.Condition{IfMatch: o.ETag}, leaseTTL)
}

// holder is an owner without its attempt.
func holder(owner string) string {
	if i := strings.LastIndexByte(owner, '/'); i >= 0 {
		return owner[:i]
	}
	return owner
}

func (l *Lease) put(ctx context.Context, c flow.Condition, ttl time.Duration) error {
	now := l.s.now()
	f := leaseFile{Version: 1, Owner: l.owner, Since: l.file.Since, Until: now.Add(ttl)}
	if f.Since.IsZero() {
		f.Since = now
	}
	text, err := encode(f)
	if err != nil {
		return err
	}
	o, err := write(ctx, l.s.Bucket, l.name, text, c)
	if err != nil {
		return err
	}
	l.file, l.etag = f, o.ETag
	return nil
}

func (l *Lease) renew(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(leaseTTL / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.mu.Lock()
			err := l.put(ctx, flow.Condition{IfMatch: l.etag}, leaseTTL)
			l.mu.Unlock()
			if flow.KindOf(err) == flow.Conflict {
				return // somebody took it over after its end; Held says so
			}
		}
	}
}

// Held tells whether the lease still stands: ask before a flip that has no condition of its own.
func (l *Lease) Held(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.s.now().Before(l.file.Until) {
		o, err := l.s.Bucket.Stat(ctx, l.name)
		if err == nil && o.ETag == l.etag {
			return nil
		}
		if err == nil || flow.KindOf(err) == flow.NotFound {
			return &flow.Error{Op: "keep the lease " + l.name, Kind: flow.Conflict, Err: errors.New("another has taken it over")}
		}
		return err
	}
	if err := l.put(ctx, flow.Condition{IfMatch: l.etag}, leaseTTL); err != nil {
		return &flow.Error{Op: "keep the lease " + l.name, Kind: flow.Conflict, Err: fmt.Errorf("it ended at %s: %w", l.file.Until.Format(time.RFC3339), err)}
	}
	return nil
}

// Release gives the lease back. Where that is not possible it ends by itself.
func (l *Lease) Release(ctx context.Context) {
	l.stop()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.put(ctx, flow.Condition{IfMatch: l.etag}, -time.Second) //nolint:errcheck // it ends by itself
}
