// Package file is a folder of this machine as a flow.Bucket: a run's store, a project's
// data, the target of a load.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/flow"
)

// partPrefix begins the names of files that are being written; List does not show them.
// Whoever writes one holds its lock, so one without a lock was left by a process that died.
const partPrefix = ".tidemill-part-"

// lockName is the file that serialises conditional writes into one folder.
const lockName = ".tidemill-lock"

// maxDepth bounds how deep List goes, so that a symbolic link to a folder above it ends.
const maxDepth = 64

// Bucket is a folder. Its objects are files, which appear whole under their names. It is
// safe for several processes of one machine; a network file system without flock and
// hard links keeps no promise about conditions.
type Bucket struct {
	root  string
	swept sync.Map // folders whose dead parts are gone, by path
}

var (
	_ flow.Bucket  = (*Bucket)(nil)
	_ flow.Remover = (*Bucket)(nil)
	_ flow.Copier  = (*Bucket)(nil)
	_ flow.Locator = (*Bucket)(nil)
)

// New returns the bucket of the folder root, which is made at the first write.
func New(root string) *Bucket {
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	return &Bucket{root: root}
}

// Path returns the file of an object.
func (b *Bucket) Path(name string) string { return filepath.Join(b.root, filepath.FromSlash(name)) }

// file checks a name and returns its path. A name cannot leave the folder.
func (b *Bucket) file(op, name string) (string, error) {
	clean := strings.TrimPrefix(name, "./")
	if !filepath.IsLocal(filepath.FromSlash(clean)) || strings.HasSuffix(clean, "/") || strings.ContainsRune(clean, 0) {
		return "", &flow.Error{Op: op + " " + name, Kind: flow.Invalid, Err: fmt.Errorf("not the name of a file below %s", b.root)}
	}
	return b.Path(clean), nil
}

// fault wraps what the operating system said, once.
func fault(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var known *flow.Error
	if errors.As(err, &known) {
		return err
	}
	kind := flow.Unknown
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = flow.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = flow.Denied
	case errors.Is(err, fs.ErrExist):
		kind = flow.Conflict
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		kind = flow.KindOf(err)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &flow.Error{Op: op + " " + path, Kind: kind, Err: err}
}

// etag changes when a file is replaced or rewritten: its inode, size and time of change.
func etag(i fs.FileInfo) string {
	return fmt.Sprintf("%x-%x-%x", i.ModTime().UnixNano(), i.Size(), inode(i))
}

func object(name string, i fs.FileInfo) flow.Object {
	return flow.Object{Name: name, Size: i.Size(), ETag: etag(i), Modified: i.ModTime()}
}

// Stat describes one object.
func (b *Bucket) Stat(ctx context.Context, name string) (flow.Object, error) {
	p, err := b.file("stat", name)
	if err != nil {
		return flow.Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return flow.Object{}, fault("stat", p, err)
	}
	i, err := os.Stat(p)
	if err == nil && i.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return flow.Object{}, fault("stat", p, err)
	}
	return object(name, i), nil
}

type section struct {
	io.Reader
	io.Closer
}

// Open reads a range of an object.
func (b *Bucket) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	p, err := b.file("read", name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fault("read", p, err)
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, fault("read", p, err)
	}
	i, err := f.Stat()
	if err == nil && i.IsDir() {
		err = fs.ErrNotExist
	}
	if err == nil && offset > 0 {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fault("read", p, err), f.Close())
	}
	if length < 0 {
		return f, nil
	}
	return section{io.LimitReader(f, length), f}, nil
}

// Create begins an object.
func (b *Bucket) Create(ctx context.Context, name string, c flow.Condition) (flow.Writer, error) {
	p, err := b.file("write", name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fault("write", p, err)
	}
	dir := filepath.Dir(p)
	if _, done := b.swept.LoadOrStore(dir, true); !done {
		sweep(dir)
	}
	var f *os.File
	for range 8 { // Remove prunes empty folders, perhaps just this one
		if err = os.MkdirAll(dir, 0o777); err != nil {
			break
		}
		if f, err = createPart(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, fault("write", p, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, errors.Join(fault("write", p, err), f.Close(), os.Remove(f.Name()))
	}
	return &writer{ctx: ctx, f: f, path: p, name: name, when: c}, nil
}

// createPart makes a part and takes its lock. A sweep may meet the part in between; then
// it is made again.
func createPart(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, partPrefix+"*")
	if err != nil {
		return nil, err
	}
	if held, err := tryLock(f); err != nil || !held {
		return nil, errors.Join(fs.ErrNotExist, err, f.Close())
	}
	return f, nil
}

// sweep removes the parts that dead processes left in a folder.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partPrefix) {
			removeDead(filepath.Join(dir, e.Name()))
		}
	}
}

// removeDead removes a part that nobody writes, and tells whether it is gone.
func removeDead(part string) bool {
	f, err := os.Open(part)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close() //nolint:errcheck // only locked
	if held, err := tryLock(f); err != nil || !held {
		return false
	}
	return os.Remove(part) == nil
}

type writer struct {
	ctx  context.Context // of the Create that made it: a write ends with its caller
	f    *os.File
	path string
	name string
	when flow.Condition
	done bool
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, fault("write", w.path, err)
	}
	n, err := w.f.Write(p)
	return n, fault("write", w.path, err)
}

// Abort forgets what was written.
func (w *writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	_ = w.f.Close() //nolint:errcheck // nothing of it is wanted
	return fault("remove", w.f.Name(), os.Remove(w.f.Name()))
}

// Commit makes the object appear.
func (w *writer) Commit() (flow.Object, error) {
	if w.done {
		return flow.Object{}, &flow.Error{Op: "write " + w.path, Kind: flow.Invalid, Err: errors.New("already finished")}
	}
	if err := w.ctx.Err(); err != nil {
		return flow.Object{}, errors.Join(fault("write", w.path, err), w.Abort())
	}
	err := w.f.Sync()
	if err == nil {
		err = w.place() // before the close, which gives the part's lock back
	}
	if e := w.f.Close(); err == nil {
		err = e
	}
	w.done = true
	if err != nil {
		_ = os.Remove(w.f.Name()) //nolint:errcheck // it may be in place already
		return flow.Object{}, fault("write", w.path, err)
	}
	i, err := os.Stat(w.path)
	if err != nil {
		return flow.Object{}, fault("write", w.path, err)
	}
	return object(w.name, i), nil
}

// place moves the finished file under its name if the condition holds.
func (w *writer) place() error {
	if w.when == (flow.Condition{}) {
		return os.Rename(w.f.Name(), w.path)
	}
	if w.when.IfAbsent {
		// A link fails where the name exists, and needs no lock.
		switch err := os.Link(w.f.Name(), w.path); {
		case err == nil:
			_ = os.Remove(w.f.Name()) //nolint:errcheck // List does not show it
			return nil
		case errors.Is(err, fs.ErrExist):
			return err
		}
		// This file system has no links.
	}
	unlock, err := lock(filepath.Join(filepath.Dir(w.path), lockName))
	if err != nil {
		return err
	}
	defer unlock()
	i, err := os.Stat(w.path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case w.when.IfAbsent && err == nil:
		return fs.ErrExist
	case w.when.IfMatch != "" && err != nil:
		return &flow.Error{Op: "replace " + w.path, Kind: flow.Conflict, Err: errors.New("it is gone")}
	case w.when.IfMatch != "" && etag(i) != w.when.IfMatch:
		return &flow.Error{Op: "replace " + w.path, Kind: flow.Conflict, Err: errors.New("somebody else changed it")}
	}
	return os.Rename(w.f.Name(), w.path)
}

// List yields the files whose names begin with prefix. Unfinished files and the lock are not shown.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[flow.Object, error] {
	return func(yield func(flow.Object, error) bool) {
		prefix := strings.TrimPrefix(prefix, "./")
		dir := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir = prefix[:i+1]
		}
		if dir != "" && !filepath.IsLocal(filepath.FromSlash(dir)) {
			yield(flow.Object{}, &flow.Error{Op: "list " + prefix, Kind: flow.Invalid, Err: fmt.Errorf("not below %s", b.root)})
			return
		}
		b.walk(ctx, dir, prefix, 0, yield)
	}
}

func (b *Bucket) walk(ctx context.Context, dir, prefix string, depth int, yield func(flow.Object, error) bool) bool {
	if err := ctx.Err(); err != nil {
		return yield(flow.Object{}, fault("list", b.Path(dir), err))
	}
	entries, err := os.ReadDir(b.Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return yield(flow.Object{}, fault("list", b.Path(dir), err))
	}
	type entry struct {
		name string // of a folder with its slash, so that the order is that of whole names
		info fs.FileInfo
	}
	var found []entry
	for _, e := range entries {
		name := dir + e.Name()
		if strings.HasPrefix(e.Name(), partPrefix) || e.Name() == lockName {
			continue
		}
		i, err := os.Stat(b.Path(name)) // follows symbolic links
		if err != nil {
			continue // gone since, or a link to nothing
		}
		if i.IsDir() {
			name += "/"
		}
		if strings.HasPrefix(name, prefix) || i.IsDir() && strings.HasPrefix(prefix, name) {
			found = append(found, entry{name, i})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].name < found[j].name })
	for _, e := range found {
		switch {
		case !e.info.IsDir():
			if !yield(object(e.name, e.info), nil) {
				return false
			}
		case depth < maxDepth:
			if !b.walk(ctx, e.name, prefix, depth+1, yield) {
				return false
			}
		}
	}
	return true
}

// Remove deletes files, and the folders that become empty by it.
func (b *Bucket) Remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		p, err := b.file("remove", name)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fault("remove", p, err)
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault("remove", p, err)
		}
		b.prune(filepath.Dir(p))
	}
	return nil
}

// prune removes empty folders below the root, from dir upwards.
func (b *Bucket) prune(dir string) {
	for strings.HasPrefix(dir, b.root+string(filepath.Separator)) {
		if !removeEmpty(dir, true) {
			return
		}
		dir = filepath.Dir(dir)
	}
}

// removeEmpty removes a folder in which nothing is but our lock, parts of dead processes and
// folders of such. A folder below it that is really empty may be somebody's, and stays.
func removeEmpty(dir string, ours bool) bool {
	left, err := os.ReadDir(dir)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if len(left) == 0 && !ours {
		return false
	}
	for _, e := range left {
		if !e.IsDir() && e.Name() != lockName && !strings.HasPrefix(e.Name(), partPrefix) {
			return false
		}
	}
	for _, e := range left {
		p := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			if !removeEmpty(p, false) {
				return false
			}
		case e.Name() != lockName:
			if !removeDead(p) {
				return false
			}
		}
	}
	_ = os.Remove(filepath.Join(dir, lockName)) //nolint:errcheck // mostly there is none
	return os.Remove(dir) == nil
}

// Copy copies one object.
func (b *Bucket) Copy(ctx context.Context, from, to string) (flow.Object, error) {
	r, err := b.Open(ctx, from, 0, -1)
	if err != nil {
		return flow.Object{}, err
	}
	defer r.Close() //nolint:errcheck // only read
	w, err := b.Create(ctx, to, flow.Condition{})
	if err != nil {
		return flow.Object{}, err
	}
	if _, err := io.Copy(w, r); err != nil {
		return flow.Object{}, errors.Join(fault("copy", b.Path(from), err), w.Abort())
	}
	return w.Commit()
}
