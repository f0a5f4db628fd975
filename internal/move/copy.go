package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/flow"
)

// copiesAtOnce is how many files of a folder are copied at a time; each S3 object is itself
// read or written in parts.
const copiesAtOnce = 4

// copied is the output of copy.
type copied struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Abilities that a bucket may have beyond flow's; a copy without them goes through here.
type (
	copierFrom interface {
		// CopyFrom copies an object of src without its bytes passing through here, or fails
		// with errors.ErrUnsupported.
		CopyFrom(ctx context.Context, src flow.Bucket, from, to string) (flow.Object, error)
	}
	downloader interface {
		// Download writes an object into a file; progress is told the bytes as they arrive.
		Download(ctx context.Context, name, path string, progress func(n int64)) (flow.Object, error)
	}
	uploader interface {
		// Upload makes an object of a file; progress is told the bytes as they are sent.
		Upload(ctx context.Context, path, name string, c flow.Condition, progress func(n int64)) (flow.Object, error)
	}
)

func web(uri string) bool {
	return strings.HasPrefix(uri, "https://") || strings.HasPrefix(uri, "http://")
}

func (m *mover) copy(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var job flow.CopyJob
	if err := arguments(r, &job); err != nil {
		return nil, err
	}
	if job.From == "" || job.To == "" {
		return nil, invalid("copy", "from or to is empty", "")
	}
	if web(job.To) {
		return nil, invalid("copy to "+job.To, "a web address cannot be written to", "copy to a path or an s3:// URI")
	}
	to, name, err := m.Lookup.Bucket(ctx, job.To)
	if err != nil {
		return nil, err
	}
	if web(job.From) {
		return m.copyFromWeb(ctx, r, job, to, name)
	}
	from, err := m.find(ctx, "copy", job.From)
	if err != nil {
		return nil, err
	}
	pairs, err := targets(job, from, to, name)
	if err != nil {
		return nil, err
	}
	c := &copying{request: r, from: from.bucket, to: to, files: len(pairs)}
	for _, p := range pairs {
		c.total += p.from.Size
	}
	if err := c.all(ctx, pairs); err != nil {
		return nil, err
	}
	fmt.Fprintf(r.Log, "copied %d files, %d bytes, from %s to %s\n", len(pairs), c.done.Load(), job.From, job.To) //nolint:errcheck // a log
	return json.Marshal(copied{len(pairs), c.done.Load()})
}

// pair is one file to be copied.
type pair struct {
	from flow.Object
	to   string
}

// targets says where each file goes. A file goes to the target's name, or into it where that
// ends in a slash (or is the whole bucket); several keep their names below it.
func targets(job flow.CopyJob, from found, to flow.Bucket, name string) ([]pair, error) {
	into := name == "" || name == "." || strings.HasSuffix(name, "/")
	if name == "." {
		name = ""
	}
	if from.single {
		if l, local := to.(flow.Locator); local && !into {
			if i, err := os.Stat(l.Path(name)); err == nil && i.IsDir() {
				into, name = true, name+"/"
			}
		}
		if into {
			name += from.files[0].below
		}
		return []pair{{from.files[0].Object, name}}, nil
	}
	if !into {
		name += "/"
	}
	var pairs []pair
	taken := map[string]string{}
	for _, f := range from.files {
		p := pair{f.Object, name + f.below}
		if other, ok := taken[p.to]; ok {
			return nil, invalid("copy "+job.From, fmt.Sprintf("%s and %s would both become %s", other, f.Name, p.to), "")
		}
		taken[p.to] = f.Name
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// copying is one copy task at work.
type copying struct {
	request  flow.Request
	from, to flow.Bucket
	files    int
	total    int64
	done     atomic.Int64
}

func (c *copying) progress(doing string, n int64) {
	c.request.Progress(flow.Progress{Doing: "copy " + doing, Bytes: c.done.Add(n), Total: c.total})
}

// all copies the pairs, several at a time; the first error ends the others.
func (c *copying) all(ctx context.Context, pairs []pair) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		work  sync.WaitGroup
		once  sync.Once
		first error
		slots = make(chan struct{}, copiesAtOnce)
	)
	for _, p := range pairs {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		work.Go(func() {
			defer func() { <-slots }()
			if err := c.one(ctx, p); err != nil {
				once.Do(func() { first = err })
				cancel()
			}
		})
	}
	work.Wait()
	if first == nil && ctx.Err() != nil {
		return &flow.Error{Op: "copy", Kind: flow.KindOf(ctx.Err()), Err: ctx.Err()}
	}
	return first
}

// one copies a file by the shortest way that the two buckets have.
func (c *copying) one(ctx context.Context, p pair) error {
	if same(c.from, c.to, p) {
		c.progress(p.to, p.from.Size)
		return nil
	}
	if to, ok := c.to.(copierFrom); ok {
		o, err := to.CopyFrom(ctx, c.from, p.from.Name, p.to)
		if !errors.Is(err, errors.ErrUnsupported) {
			c.progress(p.to, o.Size)
			return err
		}
	}
	source, fromHere := c.from.(flow.Locator)
	target, toHere := c.to.(flow.Locator)
	moved := func(n int64) { c.progress(p.to, n) }
	if up, ok := c.to.(uploader); ok && fromHere {
		_, err := up.Upload(ctx, source.Path(p.from.Name), p.to, flow.Condition{}, moved)
		return err
	}
	if down, ok := c.from.(downloader); ok && toHere {
		file := target.Path(p.to)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return &flow.Error{Op: "make the folder of " + file, Kind: flow.Denied, Err: err}
		}
		_, err := down.Download(ctx, p.from.Name, file, moved)
		return err
	}
	body, err := c.from.Open(ctx, p.from.Name, 0, -1)
	if err != nil {
		return err
	}
	_, err = c.stream(ctx, body, p.to, p.from.Size)
	return err
}

// same tells whether a file would be copied onto itself.
func same(from, to flow.Bucket, p pair) bool {
	if a, ok := from.(flow.Locator); ok {
		b, ok := to.(flow.Locator)
		return ok && filepath.Clean(a.Path(p.from.Name)) == filepath.Clean(b.Path(p.to))
	}
	return from == to && p.from.Name == p.to
}

// stream writes a body as an object, which appears only when all of it has been read. A
// negative size is not known.
func (c *copying) stream(ctx context.Context, body io.ReadCloser, name string, size int64) (int64, error) {
	defer body.Close() //nolint:errcheck // only read
	w, err := c.to.Create(ctx, name, flow.Condition{})
	if err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(w, &counted{body, c, name}, make([]byte, 256<<10))
	if err == nil && size >= 0 && n != size {
		err = &flow.Error{Op: "copy to " + name, Kind: flow.Conflict, Err: fmt.Errorf("the source had %d bytes and %d were read: it changed meanwhile", size, n)}
	}
	if err != nil {
		return n, errors.Join(err, w.Abort())
	}
	_, err = w.Commit()
	return n, err
}

type counted struct {
	io.Reader
	c    *copying
	name string
}

func (r *counted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.c.progress(r.name, int64(n))
	return n, err
}

// copyFromWeb copies one file from a web address.
func (m *mover) copyFromWeb(ctx context.Context, r flow.Request, job flow.CopyJob, to flow.Bucket, name string) (json.RawMessage, error) {
	if name == "" || name == "." || strings.HasSuffix(name, "/") {
		u, err := url.Parse(job.From)
		if err != nil || path.Base(u.Path) == "/" || path.Base(u.Path) == "." {
			return nil, invalid("copy "+job.From, "its address names no file", "give `to` a file name")
		}
		name = strings.TrimPrefix(name, ".") + path.Base(u.Path)
	}
	resp, err := m.fetch(ctx, http.MethodGet, job.From, 0, "") //nolint:bodyclose // resumed closes it
	if err != nil {
		return nil, err
	}
	c := &copying{request: r, to: to, files: 1, total: max(resp.ContentLength, 0)}
	n, err := c.stream(ctx, &resumed{m: m, ctx: ctx, uri: job.From, body: resp.Body, length: resp.ContentLength, etag: resp.Header.Get("ETag")}, name, resp.ContentLength)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(r.Log, "copied %d bytes from %s to %s\n", n, job.From, job.To) //nolint:errcheck // a log
	return json.Marshal(copied{1, n})
}
