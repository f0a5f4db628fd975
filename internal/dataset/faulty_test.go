package dataset

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/tidemill/tidemill/internal/flow"
)

// faulty is a bucket whose call number at breaks once, before or after it took effect.
type faulty struct {
	flow.Bucket
	mu    sync.Mutex
	at    int
	after bool
	n     int
}

var errBroken = &flow.Error{Kind: flow.Transient, Err: errors.New("planted")}

func (f *faulty) call(do func() error) error {
	f.mu.Lock()
	f.n++
	hit := f.n == f.at
	f.mu.Unlock()
	if hit && !f.after {
		return errBroken
	}
	err := do()
	if hit && err == nil {
		return errBroken
	}
	return err
}

func (f *faulty) Stat(ctx context.Context, name string) (o flow.Object, err error) {
	err = f.call(func() (err error) { o, err = f.Bucket.Stat(ctx, name); return err })
	return o, err
}

func (f *faulty) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = f.call(func() (err error) { r, err = f.Bucket.Open(ctx, name, offset, length); return err })
	return r, err
}

func (f *faulty) Create(ctx context.Context, name string, c flow.Condition) (flow.Writer, error) {
	w, err := f.Bucket.Create(ctx, name, c)
	return &faultyWriter{w, f}, err
}

func (f *faulty) List(ctx context.Context, prefix string) iter.Seq2[flow.Object, error] {
	if err := f.call(func() error { return nil }); err != nil {
		return func(yield func(flow.Object, error) bool) { yield(flow.Object{}, err) }
	}
	return f.Bucket.List(ctx, prefix)
}

func (f *faulty) Remove(ctx context.Context, names ...string) error {
	return f.call(func() error { return f.Bucket.(flow.Remover).Remove(ctx, names...) })
}

type faultyWriter struct {
	flow.Writer
	f *faulty
}

func (w *faultyWriter) Commit() (o flow.Object, err error) {
	err = w.f.call(func() (err error) { o, err = w.Writer.Commit(); return err })
	if err != nil {
		_ = w.Abort() //nolint:errcheck // as a caller whose process died
	}
	return o, err
}
