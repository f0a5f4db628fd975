//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// lock takes the lock of a folder, which the kernel gives back when its holder dies. The
// file may be pruned between opening and locking; then the lock is of no use and is taken again.
func lock(path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			_ = f.Close() //nolint:errcheck // the lock's error is told
			return nil, err
		}
		held, err1 := f.Stat()
		now, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(held, now) {
			return func() { _ = f.Close() }, nil //nolint:errcheck // closing gives the lock back
		}
		_ = f.Close() //nolint:errcheck // it was pruned
	}
}

// tryLock takes the lock of an open file whose name is still its own, without waiting.
func tryLock(f *os.File) (held bool, err error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return false, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(f.Name())
	return err == nil && os.SameFile(mine, now), nil
}

func inode(i fs.FileInfo) uint64 {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
