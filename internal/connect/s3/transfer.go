package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidemill/tidemill/internal/flow"
)

// Download writes an object into the file path, which appears when it is whole. The parts
// are written where they belong as they arrive; nothing is held in memory. progress, if it is
// not nil, is told the bytes as they arrive, from several goroutines.
func (b *Bucket) Download(ctx context.Context, name, path string, progress func(n int64)) (flow.Object, error) {
	if err := b.valid("read", name); err != nil {
		return flow.Object{}, err
	}
	o, err := b.Stat(ctx, name)
	if err != nil {
		return flow.Object{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tidemill-part-*")
	if err != nil {
		return flow.Object{}, local("write", path, err)
	}
	_, err = b.each(ctx, o.Size, b.part, func(ctx context.Context, _ int32, offset, n int64) (types.CompletedPart, error) {
		return types.CompletedPart{}, b.land(ctx, &placed{f: f, at: offset, progress: progress}, path, name, o.ETag, n)
	})
	if err == nil {
		err = local("write", path, f.Chmod(0o644))
	}
	if e := f.Close(); err == nil {
		err = local("write", path, e)
	}
	if err == nil {
		err = local("write", path, os.Rename(f.Name(), path))
	}
	if err != nil {
		return flow.Object{}, errors.Join(err, local("remove", f.Name(), ignoreMissing(os.Remove(f.Name()))))
	}
	return o, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// local wraps an error of this machine's files.
func local(op, path string, err error) error {
	var known *flow.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	kind := flow.KindOf(err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = flow.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = flow.Denied
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &flow.Error{Op: op + " " + path, Kind: kind, Err: err}
}

// land writes n bytes of an object into their place in a file.
func (b *Bucket) land(ctx context.Context, out *placed, path, name, etag string, n int64) error {
	var last error
	for range bodyTries {
		from := out.at
		a, err := b.get(ctx, name, from, n, etag)
		if err != nil {
			return err
		}
		_, err = io.CopyN(out, a.body, n)
		_ = a.body.Close() //nolint:errcheck // its bytes were read or will be asked for again
		n -= out.at - from
		switch {
		case out.err != nil:
			return local("write", path, out.err)
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return b.fault("read", name, ctx.Err())
		}
		last = noEOF(err)
	}
	return b.broken(name, fmt.Errorf("the body breaks off at byte %d: %w", out.at, last))
}

// placed writes into a file from an offset on.
type placed struct {
	f        *os.File
	at       int64
	err      error
	progress func(n int64)
}

// transferBuffer is what is read at once: fewer, larger system calls than io.Copy's.
const transferBuffer = 256 << 10

// ReadFrom copies in larger pieces than io.Copy does.
func (p *placed) ReadFrom(r io.Reader) (int64, error) {
	buf := make([]byte, transferBuffer)
	var total int64
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, p.err = p.Write(buf[:n]); p.err != nil {
				return total, p.err
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func (p *placed) Write(b []byte) (int, error) {
	n, err := p.f.WriteAt(b, p.at)
	p.at += int64(n)
	p.err = err
	if p.progress != nil {
		p.progress(int64(n))
	}
	return n, err
}

// Upload makes an object of the file path, if the condition holds. The parts are read from
// the file as they are sent; nothing is held in memory. progress, if it is not nil, is told
// the bytes of each part when it has arrived, from several goroutines.
func (b *Bucket) Upload(ctx context.Context, path, name string, c flow.Condition, progress func(n int64)) (flow.Object, error) {
	if err := b.valid("write", name); err != nil {
		return flow.Object{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return flow.Object{}, local("read", path, err)
	}
	defer f.Close() //nolint:errcheck // only read
	i, err := f.Stat()
	if err == nil && !i.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return flow.Object{}, local("read", path, err)
	}
	if progress == nil {
		progress = func(int64) {}
	}
	mark := ""
	if c != (flow.Condition{}) {
		mark = newMark()
	}
	if i.Size() <= b.part {
		o, err := b.put(ctx, name, mark, io.NewSectionReader(f, 0, i.Size()), i.Size(), c)
		progress(o.Size)
		return o, err
	}
	upload, err := b.begin(ctx, name, mark)
	if err != nil {
		return flow.Object{}, err
	}
	step := max(b.part, (i.Size()+maxParts-1)/maxParts)
	parts, err := b.each(ctx, i.Size(), step, func(ctx context.Context, number int32, offset, n int64) (types.CompletedPart, error) {
		p, err := b.sendPart(ctx, name, upload, number, io.NewSectionReader(f, offset, n))
		if err == nil {
			progress(n)
		}
		return p, err
	})
	var o flow.Object
	if err == nil {
		err = unchanged(f, i)
	}
	if err == nil {
		o, err = b.complete(ctx, name, upload, mark, parts, i.Size(), nil, c)
	}
	if err != nil {
		return flow.Object{}, errors.Join(err, b.abort(ctx, name, upload))
	}
	return o, nil
}

// unchanged tells whether a file is still what it was when its reading began: its parts are
// read at different times.
func unchanged(f *os.File, was fs.FileInfo) error {
	is, err := f.Stat()
	if err != nil {
		return local("read", f.Name(), err)
	}
	if is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime()) {
		return &flow.Error{Op: "read " + f.Name(), Kind: flow.Conflict, Err: errors.New("it changed while it was read")}
	}
	return nil
}
