package awslocal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// s3Server is the process that serves S3 over a UNIX socket, and the way to it.
type s3Server struct {
	root   string // a folder per bucket
	dir    string // of the socket
	cmd    *exec.Cmd
	input  io.Closer
	said   *lastBytes
	exited chan struct{}
	proxy  *httputil.ReverseProxy
}

// startTime bounds how long the process may take to answer.
const startTime = 20 * time.Second

// startS3 starts the process and waits until it answers.
func startS3(ctx context.Context, root string) (*s3Server, error) {
	fault := func(err error) error { return &flow.Error{Op: "start the local S3", Err: err} }
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fault(err)
	}
	// A socket's path is limited to about a hundred bytes, a project's folder is not.
	dir, err := os.MkdirTemp("", "tidemill-s3-")
	if err != nil {
		return nil, fault(err)
	}
	s := &s3Server{root: root, dir: dir, said: &lastBytes{}, exited: make(chan struct{})}
	if err := s.Tag(""); err != nil {
		return nil, errors.Join(fault(err), os.RemoveAll(dir))
	}
	program, err := os.Executable()
	if err == nil {
		err = s.start(program)
	}
	if err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		s.stop()
		return nil, fault(err)
	}
	s.proxy = s.newProxy()
	return s, nil
}

func (s *s3Server) socket() string { return filepath.Join(s.dir, "s3") }

func (s *s3Server) start(program string) error {
	config, err := json.Marshal(childConfig{Root: s.root, Socket: s.socket(), Access: Key, Secret: Key, Region: region})
	if err != nil {
		return err
	}
	s.cmd = exec.Command(program, childArg) //nolint:gosec // ourselves
	s.cmd.Stderr = s.said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us: requests in flight are ended in order
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.input = in
	go func() {
		_ = s.cmd.Wait() //nolint:errcheck // what it said is in s.said
		close(s.exited)
	}()
	_, err = in.Write(append(config, '\n'))
	return err
}

// ready waits for the socket.
func (s *s3Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return errors.New("its process ended: " + s.said.String())
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		}
	}
}

// stop ends the process: first by the end of its input, then for certain.
func (s *s3Server) stop() {
	if s.input != nil {
		_ = s.input.Close() //nolint:errcheck // it may have ended already
		t := time.NewTimer(5 * time.Second)
		defer t.Stop()
		select {
		case <-s.exited:
		case <-t.C:
			_ = s.cmd.Process.Kill() //nolint:errcheck // it may have ended meanwhile
			<-s.exited
		}
	}
	_ = os.RemoveAll(s.dir) //nolint:errcheck // a socket in the temporary folder
}

func (s *s3Server) newProxy() *httputil.ReverseProxy {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
			return patient{c}, err
		},
		MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10,
		ExpectContinueTimeout: time.Second,
	}
	return &httputil.ReverseProxy{
		Transport: transport, BufferPool: &buffers{}, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "s3"})
			// The path is part of the signature, to the byte.
			r.Out.URL.Path, r.Out.URL.RawPath = r.In.URL.Path, r.In.URL.RawPath
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s3Error(w, r, http.StatusServiceUnavailable, "ServiceUnavailable", "the local S3 does not answer: "+err.Error())
		},
	}
}

// buffers are those that bodies are copied through.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 256<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// ServeHTTP passes a request on.
func (s *s3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key := bucketAndKey(r)
	if key != "" {
		if err := s.tag(bucket, key); err != nil {
			s3Error(w, r, http.StatusInternalServerError, "InternalError", err.Error())
			return
		}
	}
	if from := r.Header.Get("X-Amz-Copy-Source"); from != "" {
		from, _, _ = strings.Cut(from, "?")
		if plain, err := url.PathUnescape(strings.TrimPrefix(from, "/")); err == nil {
			b, k, _ := strings.Cut(plain, "/")
			if err := s.tag(b, k); err != nil {
				s3Error(w, r, http.StatusInternalServerError, "InternalError", err.Error())
				return
			}
		}
	}
	out, err := s.resign(r)
	if err != nil {
		s3Error(w, r, http.StatusForbidden, "AccessDenied", err.Error())
		return
	}
	body := &bodyOnce{in: out.Body, waits: r.Header.Get("Expect") != ""}
	out.Body = body
	s.proxy.ServeHTTP(&answering{ResponseWriter: w}, out)
	body.drain()
}

// answering writes headers as S3 does: the names of metadata in small letters, by which
// clients in Python know them, and ids once.
type answering struct{ http.ResponseWriter }

// WriteHeader writes the headers.
func (a *answering) WriteHeader(status int) {
	h := a.Header()
	for k, v := range h {
		if strings.HasPrefix(k, "X-Amz-Meta-") {
			delete(h, k)
			h[strings.ToLower(k)] = v
		}
		if (k == "X-Amz-Request-Id" || k == "X-Amz-Id-2") && len(v) > 1 {
			h[k] = v[:1]
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets a response be flushed.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// patient is a connection to the S3 process whose writes do not fail: the process may have
// answered before it read all, and its answer is what counts.
type patient struct{ net.Conn }

func (c patient) Write(p []byte) (int, error) {
	if n, err := c.Conn.Write(p); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return n, err
	}
	return len(p), nil
}

// maxDrain is how much of a refused body is read to its end, so that its sender comes to read
// the answer.
const maxDrain = 256 << 20

// bodyOnce is a request's body that stays readable when the proxy is done with it.
type bodyOnce struct {
	mu     sync.Mutex
	in     io.ReadCloser
	begun  bool
	closed bool
	waits  bool // the sender waits for a sign to begin
}

func (b *bodyOnce) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	b.begun = true
	return b.in.Read(p)
}

func (b *bodyOnce) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// drain reads what is left, unless its sender was never asked for it.
func (b *bodyOnce) drain() {
	_ = b.Close() //nolint:errcheck // it cannot fail
	if b.in != nil && (b.begun || !b.waits) {
		_, _ = io.CopyN(io.Discard, b.in, maxDrain) //nolint:errcheck // mostly its end
	}
}

func bucketAndKey(r *http.Request) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucket, key
}

// lastBytes keeps the end of what a process said.
type lastBytes struct {
	mu  sync.Mutex
	buf []byte
}

const lastBytesKept = 2000

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if n := len(l.buf); n > lastBytesKept {
		l.buf = append([]byte(nil), l.buf[n-lastBytesKept:]...)
	}
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.buf))
}
