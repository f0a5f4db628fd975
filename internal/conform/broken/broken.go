// Package broken is a bucket that breaks at a call of its own choice.
package broken

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/tidemill/tidemill/internal/flow"
)

// Bucket is a bucket whose call number At, from 1, breaks once: before it took effect or After
// it did. A break is a fault of kind transient.
type Bucket struct {
	flow.Bucket
	At    int
	After bool

	mu sync.Mutex
	n  int
}

// Calls is how many calls there were.
func (f *Bucket) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

var errBroken = &flow.Error{Kind: flow.Transient, Err: errors.New("planted")}

func (f *Bucket) call(do func() error) error {
	f.mu.Lock()
	f.n++
	hit := f.n == f.At
	f.mu.Unlock()
	if hit && !f.After {
		return errBroken
	}
	err := do()
	if hit && err == nil {
		return errBroken
	}
	return err
}

// Stat is a call.
func (f *Bucket) Stat(ctx context.Context, name string) (o flow.Object, err error) {
	err = f.call(func() (err error) { o, err = f.Bucket.Stat(ctx, name); return err })
	return o, err
}

// Open is a call.
func (f *Bucket) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = f.call(func() (err error) { r, err = f.Bucket.Open(ctx, name, offset, length); return err })
	return r, err
}

// Create is none; the writer's Commit is one.
func (f *Bucket) Create(ctx context.Context, name string, c flow.Condition) (flow.Writer, error) {
	w, err := f.Bucket.Create(ctx, name, c)
	return &writer{w, f}, err
}

// List is a call.
func (f *Bucket) List(ctx context.Context, prefix string) iter.Seq2[flow.Object, error] {
	if err := f.call(func() error { return nil }); err != nil {
		return func(yield func(flow.Object, error) bool) { yield(flow.Object{}, err) }
	}
	return f.Bucket.List(ctx, prefix)
}

// Remove is a call.
func (f *Bucket) Remove(ctx context.Context, names ...string) error {
	return f.call(func() error { return f.Bucket.(flow.Remover).Remove(ctx, names...) })
}

type writer struct {
	flow.Writer
	f *Bucket
}

func (w *writer) Commit() (o flow.Object, err error) {
	err = w.f.call(func() (err error) { o, err = w.Writer.Commit(); return err })
	if err != nil {
		_ = w.Abort() //nolint:errcheck // as a caller whose process died
	}
	return o, err
}
