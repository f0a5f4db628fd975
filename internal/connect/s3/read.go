package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidemill/tidemill/internal/flow"
)

// bodyTries is how often a body that breaks off is asked for again, each time from where it
// broke. The request itself is repeated by the client.
const bodyTries = 5

// ahead is how much a reader takes from the first part before more parts are fetched: whoever
// looks only at a header fetches no more.
const ahead = 1 << 20

// answer is the begin of a ranged read.
type answer struct {
	body   io.ReadCloser
	length int64 // of this body
	size   int64 // of the object
	etag   string
	sum    *sum // of the whole object, where the server told it
}

// get asks for length bytes from offset; a negative length asks for the rest. With an ETag,
// only of that object.
func (b *Bucket) get(ctx context.Context, name string, offset, length int64, etagWanted string) (answer, error) {
	in := &awss3.GetObjectInput{Bucket: &b.name, Key: &name, ChecksumMode: types.ChecksumModeEnabled}
	switch {
	case length >= 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	if etagWanted != "" {
		in.IfMatch = quoted(etagWanted)
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		err = b.fault("read", name, err)
		if etagWanted != "" && flow.KindOf(err) == flow.Conflict {
			err = &flow.Error{Op: "read " + b.uri(name), Kind: flow.Conflict, Err: errors.New("it changed while it was read")}
		}
		return answer{}, err
	}
	a := answer{body: out.Body, length: aws.ToInt64(out.ContentLength), etag: etag(out.ETag)}
	a.size = offset + a.length
	if r := aws.ToString(out.ContentRange); r != "" {
		from, size, ok := parseRange(r)
		if !ok || from != offset {
			return answer{}, errors.Join(b.broken(name, fmt.Errorf("asked for bytes from %d, got %q", offset, r)), out.Body.Close())
		}
		a.size = size
	} else if in.Range != nil && offset > 0 {
		return answer{}, errors.Join(b.broken(name, errors.New("the server ignores ranges")), out.Body.Close())
	}
	if in.Range == nil {
		a.sum = wholeSum(out)
	}
	return a, nil
}

func (b *Bucket) broken(name string, err error) error {
	return &flow.Error{Op: "read " + b.uri(name), Kind: flow.Transient, Err: err}
}

// parseRange reads "bytes 0-9/100".
func parseRange(s string) (from, size int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, total, found := strings.Cut(s, "/")
	first, _, dash := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	size, err2 := strconv.ParseInt(total, 10, 64)
	return from, size, ok && found && dash && err1 == nil && err2 == nil
}

// Open reads a range of an object. What is read is one version of it: an object that changes
// meanwhile ends the reading with a Conflict. At most Concurrency parts are held in memory.
func (b *Bucket) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := b.valid("read", name); err != nil {
		return nil, err
	}
	if length == 0 {
		_, err := b.Stat(ctx, name)
		return nothing, err
	}
	// The whole is asked for without a range, for only then does S3 tell its checksum; of a
	// large object's answer the first part is used.
	first := int64(-1)
	if offset > 0 || length > 0 {
		first = b.part
	}
	if length > 0 {
		first = min(first, length)
	}
	ctx, cancel := context.WithCancel(ctx)
	a, err := b.get(ctx, name, offset, first, "")
	if err != nil {
		cancel()
		if empty(err) {
			return nothing, nil
		}
		return nil, err
	}
	end := a.size
	if length > 0 {
		end = min(end, offset+length)
	}
	r := &reader{
		b: b, ctx: ctx, cancel: cancel, name: name, etag: a.etag, start: offset, at: offset, end: end,
		body: a.body, next: min(end, offset+min(a.length, b.part)), sum: a.sum,
	}
	r.bodyEnd = r.next
	return r, nil
}

// reader reads the first part from its response, and the others from buffers that are
// filled ahead of it.
type reader struct {
	b      *Bucket
	ctx    context.Context // of the Open that made it
	cancel context.CancelFunc
	name   string
	etag   string

	start   int64
	at, end int64 // of the object: the next byte to give, the byte behind the last
	err     error
	sum     *sum // of all bytes, when all are read and the server told it

	body    io.ReadCloser // of the first part; nil when it is read
	bodyEnd int64
	tries   int

	next  int64 // where the next part to be fetched begins
	parts []*part
}

type part struct {
	from, to int64
	buf      *[]byte
	done     chan struct{}
	err      error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.at >= r.end {
		r.err = io.EOF
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.read(p)
	if r.sum != nil {
		r.sum.write(p[:n])
		if err == nil && r.at == r.end && !r.sum.holds() {
			err = r.b.broken(r.name, errors.New("its checksum is not that of the bytes that arrived"))
		}
	}
	if err != nil {
		r.err = err
	}
	return n, err
}

func (r *reader) read(p []byte) (int, error) {
	if r.body != nil {
		return r.readBody(p)
	}
	r.fetch()
	head := r.parts[0]
	select {
	case <-head.done:
	case <-r.ctx.Done():
		return 0, r.b.fault("read", r.name, r.ctx.Err())
	}
	if head.err != nil {
		return 0, head.err
	}
	n := copy(p, (*head.buf)[r.at-head.from:head.to-head.from])
	r.at += int64(n)
	if r.at == head.to {
		r.b.buffers.Put(head.buf)
		head.buf = nil
		r.parts = r.parts[1:]
	}
	return n, nil
}

// fetch begins as many further parts as may be in flight.
func (r *reader) fetch() {
	for len(r.parts) < r.b.workers && r.next < r.end {
		p := &part{from: r.next, to: min(r.end, r.next+r.b.part), done: make(chan struct{})}
		p.buf = r.b.buffers.Get().(*[]byte)
		r.next = p.to
		r.parts = append(r.parts, p)
		go func() {
			defer close(p.done)
			p.err = r.b.fill(r.ctx, r.name, r.etag, p.from, (*p.buf)[:p.to-p.from])
		}()
	}
}

// fill reads the bytes from offset into buf, all of them or an error.
func (b *Bucket) fill(ctx context.Context, name, etag string, offset int64, buf []byte) error {
	var last error
	for range bodyTries {
		a, err := b.get(ctx, name, offset, int64(len(buf)), etag)
		if err != nil {
			return err
		}
		n, err := io.ReadFull(a.body, buf)
		_ = a.body.Close() //nolint:errcheck // its bytes were read or will be asked for again
		if err == nil {
			return nil
		}
		buf, offset, last = buf[n:], offset+int64(n), err
		if ctx.Err() != nil {
			return b.fault("read", name, ctx.Err())
		}
	}
	return b.broken(name, fmt.Errorf("the body breaks off at byte %d: %w", offset, last))
}

// readBody reads the first part from its response; where that breaks off it is asked for
// again from there.
func (r *reader) readBody(p []byte) (int, error) {
	if left := r.bodyEnd - r.at; int64(len(p)) > left {
		p = p[:left]
	}
	n, err := r.body.Read(p)
	r.at += int64(n)
	if r.at-r.start >= ahead {
		r.fetch()
	}
	if r.at == r.bodyEnd {
		if r.bodyEnd == r.end {
			// To have read the response's end keeps the connection usable.
			_, _ = io.CopyN(io.Discard, r.body, 1) //nolint:errcheck // all bytes are here
		}
		_ = r.body.Close() //nolint:errcheck // all bytes are here
		r.body = nil
		return n, nil
	}
	if err == nil {
		return n, nil
	}
	_ = r.body.Close() //nolint:errcheck // it is broken already
	if r.ctx.Err() != nil {
		return n, r.b.fault("read", r.name, r.ctx.Err())
	}
	if r.tries++; r.tries >= bodyTries {
		return n, r.b.broken(r.name, fmt.Errorf("the body breaks off at byte %d: %w", r.at, noEOF(err)))
	}
	a, err := r.b.get(r.ctx, r.name, r.at, r.bodyEnd-r.at, r.etag)
	if err != nil {
		return n, err
	}
	r.body = a.body
	return n, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close ends the fetching.
func (r *reader) Close() error {
	r.cancel()
	if r.body != nil {
		_ = r.body.Close() //nolint:errcheck // what is left of it is not wanted
		r.body = nil
	}
	for _, p := range r.parts {
		<-p.done
		r.b.buffers.Put(p.buf)
	}
	r.parts = nil
	if r.err == nil {
		r.err = errors.New("read " + r.b.uri(r.name) + ": closed")
	}
	return nil
}
