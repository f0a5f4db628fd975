package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock is a file of the state folder that one process of this host holds. The system lets it
// go when the process ends, however it ends.
type lock struct{ f *os.File }

// tryLock takes a lock; nil where another holds it.
func tryLock(file string) (*lock, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("make folder %s: %w", filepath.Dir(file), err)
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &lock{f}, nil
	}
	_ = f.Close() //nolint:errcheck // nothing was written
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", file, err)
}

func (l *lock) release() {
	_ = l.f.Close() //nolint:errcheck // the lock goes with it
}

// lockEvery is how often a taken lock is looked at again.
const lockEvery = 50 * time.Millisecond

// anyLock waits for one of some files.
func anyLock(ctx context.Context, files []string) (*lock, error) {
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		for _, f := range files {
			if l, err := tryLock(f); l != nil || err != nil {
				return l, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
