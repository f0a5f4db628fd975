package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidemill/tidemill/internal/flow"
)

const (
	// maxParts is how many parts an upload may have; the parts double after every thousand, so
	// that 8 MiB parts reach S3's largest object.
	maxParts   = 10_000
	partsEqual = 1000
	// smallest is the first buffer of a writer: many small objects may be open at once.
	smallest = 64 << 10
	// cleanup is how long the abort of an upload may take after its caller has gone.
	cleanup = 30 * time.Second
	// markKey is the metadata that tells our own conditional write from another's.
	markKey = "tidemill-write"
)

// Create begins an object. Up to Concurrency parts and the one being filled are held in memory.
func (b *Bucket) Create(ctx context.Context, name string, c flow.Condition) (flow.Writer, error) {
	if err := b.valid("write", name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, b.fault("write", name, err)
	}
	w := &writer{b: b, name: name, when: c}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.slots = make(chan struct{}, b.workers)
	if c != (flow.Condition{}) {
		w.mark = newMark()
	}
	return w, nil
}

type writer struct {
	b      *Bucket
	ctx    context.Context // of the Create that made it: a write ends with its caller
	cancel context.CancelFunc
	name   string
	when   flow.Condition
	mark   string
	done   bool

	buf  *[]byte // a pooled buffer, or a larger one for late parts; nil until the first byte
	fill int
	size int64
	crc  uint32 // of all bytes

	upload string // the multipart upload's id, empty before the first whole part
	parts  int32
	slots  chan struct{}
	work   sync.WaitGroup

	mu   sync.Mutex
	sent []types.CompletedPart
	err  error // the first of a part
}

func (w *writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, &flow.Error{Op: "write " + w.b.uri(w.name), Kind: flow.Invalid, Err: errors.New("already finished")}
	}
	n := 0
	for n < len(p) {
		room, err := w.room()
		if err != nil {
			return n, err
		}
		k := copy(room, p[n:])
		n += k
		if err := w.filled(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadFrom is Write without a copy between: io.Copy uses it.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if w.done {
		return 0, &flow.Error{Op: "write " + w.b.uri(w.name), Kind: flow.Invalid, Err: errors.New("already finished")}
	}
	n := int64(0)
	for {
		room, err := w.room()
		if err != nil {
			return n, err
		}
		k, end := r.Read(room)
		n += int64(k)
		if err := w.filled(k); err != nil {
			return n, err
		}
		if errors.Is(end, io.EOF) {
			return n, nil
		}
		if end != nil {
			return n, end
		}
	}
}

// room is where the next bytes go.
func (w *writer) room() ([]byte, error) {
	if err := w.failed(); err != nil {
		return nil, err
	}
	if w.buf == nil {
		w.buf = w.buffer()
	}
	return (*w.buf)[w.fill:], nil
}

// filled takes n bytes that were put there.
func (w *writer) filled(n int) error {
	w.fill += n
	w.size += int64(n)
	switch full := w.fill == len(*w.buf); {
	case full && int64(w.fill) < w.b.part:
		w.grow()
	case full:
		return w.flush()
	}
	return nil
}

// buffer returns room for the next part; for the first, for what may be a small object.
func (w *writer) buffer() *[]byte {
	n := int64(smallest)
	if w.parts > 0 {
		n = w.b.part << (w.parts / partsEqual)
	}
	if n == w.b.part {
		return w.b.buffers.Get().(*[]byte)
	}
	p := make([]byte, n)
	return &p
}

// grow makes the first buffer larger, up to a whole part.
func (w *writer) grow() {
	var larger *[]byte
	if n := int64(w.fill) * 8; n < w.b.part {
		p := make([]byte, n)
		larger = &p
	} else {
		larger = w.b.buffers.Get().(*[]byte)
	}
	copy(*larger, *w.buf)
	w.buf = larger
}

func (w *writer) release(buf *[]byte) {
	if int64(len(*buf)) == w.b.part {
		w.b.buffers.Put(buf)
	}
}

// flush sends the buffer as a part.
func (w *writer) flush() error {
	if w.upload == "" {
		var err error
		if w.upload, err = w.b.begin(w.ctx, w.name, w.mark); err != nil {
			return err
		}
	}
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return w.b.fault("write", w.name, w.ctx.Err())
	}
	w.parts++
	number, buf, body := w.parts, w.buf, (*w.buf)[:w.fill]
	if number > maxParts {
		return &flow.Error{Op: "write " + w.b.uri(w.name), Kind: flow.Invalid, Err: fmt.Errorf("more than %d parts", maxParts)}
	}
	w.buf, w.fill = nil, 0
	w.crc = crc32.Update(w.crc, crc32.IEEETable, body)
	w.work.Add(1)
	go func() {
		defer w.work.Done()
		done, err := w.b.sendPart(w.ctx, w.name, w.upload, number, bytes.NewReader(body))
		w.release(buf)
		w.mu.Lock()
		if err != nil && w.err == nil {
			w.err = err
		}
		w.sent = append(w.sent, done)
		w.mu.Unlock()
		<-w.slots
	}()
	return nil
}

// begin begins a multipart upload.
func (b *Bucket) begin(ctx context.Context, name, mark string) (string, error) {
	in := &awss3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &name, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: types.ChecksumTypeFullObject,
		Metadata: marked(mark),
	}
	if b.kms != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &b.kms
	}
	out, err := b.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", b.fault("write", name, err)
	}
	return aws.ToString(out.UploadId), nil
}

// newMark names one conditional write.
func newMark() string { return rand.Text() }

func marked(mark string) map[string]string {
	if mark == "" {
		return nil
	}
	return map[string]string{markKey: mark}
}

func (b *Bucket) sendPart(ctx context.Context, name, upload string, number int32, body io.ReadSeeker) (types.CompletedPart, error) {
	out, err := b.client.UploadPart(ctx, &awss3.UploadPartInput{
		Bucket: &b.name, Key: &name, UploadId: &upload, PartNumber: &number, Body: body, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		return types.CompletedPart{}, b.fault("write", name, err)
	}
	return types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}, nil
}

// complete makes the object of a multipart upload appear, if the condition holds. The server
// compares size and checksum with what arrived there.
func (b *Bucket) complete(ctx context.Context, name, upload, mark string, parts []types.CompletedPart, size int64, crc *string, c flow.Condition) (flow.Object, error) {
	slices.SortFunc(parts, func(x, y types.CompletedPart) int {
		return cmp.Compare(aws.ToInt32(x.PartNumber), aws.ToInt32(y.PartNumber))
	})
	in := &awss3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &name, UploadId: &upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}, MpuObjectSize: &size,
	}
	if crc != nil {
		in.ChecksumCRC32, in.ChecksumType = crc, types.ChecksumTypeFullObject
	}
	in.IfNoneMatch, in.IfMatch = conditions(c)
	out, err := b.client.CompleteMultipartUpload(ctx, in)
	if err != nil {
		return b.lost(ctx, name, mark, err)
	}
	return flow.Object{Name: name, Size: size, ETag: etag(out.ETag)}, nil
}

func conditions(c flow.Condition) (ifNoneMatch, ifMatch *string) {
	if c.IfAbsent {
		ifNoneMatch = aws.String("*")
	}
	if c.IfMatch != "" {
		ifMatch = quoted(c.IfMatch)
	}
	return ifNoneMatch, ifMatch
}

// lost looks at a conditional write that failed: where the answer to a first attempt was
// lost, its repeat meets the object of the first. The object's mark tells whose it is.
func (b *Bucket) lost(ctx context.Context, name, mark string, err error) (flow.Object, error) {
	fault := b.fault("write", name, err)
	if k := flow.KindOf(fault); mark == "" || k == flow.Denied || k == flow.Invalid {
		return flow.Object{}, fault
	}
	out, e := b.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &b.name, Key: &name})
	if e == nil && out.Metadata[markKey] == mark {
		return flow.Object{Name: name, Size: aws.ToInt64(out.ContentLength), ETag: etag(out.ETag), Modified: aws.ToTime(out.LastModified)}, nil
	}
	switch flow.KindOf(fault) {
	case flow.Conflict:
		return flow.Object{}, &flow.Error{Op: "write " + b.uri(name), Kind: flow.Conflict, Err: errors.New("somebody else was first")}
	case flow.NotFound:
		switch flow.Name(fault) {
		case "S3.NoSuchKeyException": // IfMatch, and there is nothing
			return flow.Object{}, &flow.Error{Op: "write " + b.uri(name), Kind: flow.Conflict, Err: errors.New("it is gone")}
		case "S3.NoSuchUploadException":
			return flow.Object{}, &flow.Error{Op: "write " + b.uri(name), Kind: flow.Transient, Err: errors.New("somebody removed what was uploaded")}
		}
	}
	return flow.Object{}, fault
}

// Commit makes the object appear, if the condition holds.
func (w *writer) Commit() (flow.Object, error) {
	if w.done {
		return flow.Object{}, &flow.Error{Op: "write " + w.b.uri(w.name), Kind: flow.Invalid, Err: errors.New("already finished")}
	}
	o, err := w.commit()
	if err != nil {
		return flow.Object{}, errors.Join(err, w.Abort())
	}
	w.done = true
	w.cancel()
	return o, nil
}

func (w *writer) commit() (flow.Object, error) {
	if err := w.ctx.Err(); err != nil {
		return flow.Object{}, w.b.fault("write", w.name, err)
	}
	if w.upload == "" {
		var body []byte
		if w.buf != nil {
			body = (*w.buf)[:w.fill]
		}
		o, err := w.b.put(w.ctx, w.name, w.mark, bytes.NewReader(body), int64(len(body)), w.when)
		if w.buf != nil {
			w.release(w.buf)
			w.buf = nil
		}
		return o, err
	}
	if w.fill > 0 {
		if err := w.flush(); err != nil {
			return flow.Object{}, err
		}
	}
	w.work.Wait()
	if err := w.failed(); err != nil {
		return flow.Object{}, err
	}
	return w.b.complete(w.ctx, w.name, w.upload, w.mark, w.sent, w.size, crcText(w.crc), w.when)
}

// put writes a small object in one request.
func (b *Bucket) put(ctx context.Context, name, mark string, body io.ReadSeeker, size int64, c flow.Condition) (flow.Object, error) {
	in := &awss3.PutObjectInput{
		Bucket: &b.name, Key: &name, Body: body, ContentLength: &size, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, Metadata: marked(mark),
	}
	in.IfNoneMatch, in.IfMatch = conditions(c)
	if b.kms != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &b.kms
	}
	out, err := b.client.PutObject(ctx, in)
	if err != nil {
		return b.lost(ctx, name, mark, err)
	}
	return flow.Object{Name: name, Size: size, ETag: etag(out.ETag)}, nil
}

// Abort forgets what was written: of an upload that was begun no part is left.
func (w *writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.cancel()
	w.work.Wait()
	if w.buf != nil {
		w.release(w.buf)
		w.buf = nil
	}
	if w.upload == "" {
		return nil
	}
	return w.b.abort(w.ctx, w.name, w.upload)
}

// abort removes an upload's parts, also when its caller has been cancelled.
func (b *Bucket) abort(ctx context.Context, name, upload string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	_, err := b.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{Bucket: &b.name, Key: &name, UploadId: &upload})
	var none *types.NoSuchUpload
	if errors.As(err, &none) || err != nil && strings.Contains(err.Error(), "NoSuchUpload") {
		return nil
	}
	return b.fault("abort the writing of", name, err)
}

// Tidy aborts multipart uploads that nobody will finish.
func (b *Bucket) Tidy(ctx context.Context, prefix string, doomed func(name string, begun time.Time) bool) error {
	pages := awss3.NewListMultipartUploadsPaginator(b.client, &awss3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return b.fault("list the unfinished writes of", prefix, err)
		}
		for _, u := range page.Uploads {
			name := aws.ToString(u.Key)
			if !strings.HasPrefix(name, prefix) || !doomed(name, aws.ToTime(u.Initiated)) {
				continue
			}
			if err := b.abort(ctx, name, aws.ToString(u.UploadId)); err != nil {
				return err
			}
		}
	}
	return nil
}
