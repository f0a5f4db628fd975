package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// requests and bodies are asked for again up to webTries times, within webPatience in all.
const (
	webTries    = 6
	webPatience = time.Minute
)

// fetch asks for a web address, from an offset on if that is not zero and then only of the
// entity of the ETag. Answers that pass are waited out.
func (m *mover) fetch(ctx context.Context, method, uri string, offset int64, etag string) (*http.Response, error) {
	var last error
	pause, spent := time.Second/2, time.Duration(0)
	for try := range webTries {
		if try > 0 {
			var e *flow.Error
			if errors.As(last, &e) && e.RetryAfter > pause {
				pause = e.RetryAfter
			}
			if spent += pause; spent > webPatience {
				break
			}
			if err := flow.Pause(ctx, pause); err != nil {
				return nil, err
			}
			pause *= 2
		}
		resp, err := m.ask(ctx, method, uri, offset, etag)
		if err == nil {
			return resp, nil
		}
		last = err
		if k := flow.KindOf(err); k != flow.Transient && k != flow.Throttled {
			break
		}
	}
	return nil, last
}

func (m *mover) ask(ctx context.Context, method, uri string, offset int64, etag string) (*http.Response, error) {
	op := "read " + uri
	req, err := http.NewRequestWithContext(ctx, method, uri, nil)
	if err != nil {
		return nil, &flow.Error{Op: op, Kind: flow.Invalid, Err: err}
	}
	req.Header.Set("User-Agent", "tidemill")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		req.Header.Set("If-Range", etag)
	}
	resp, err := m.Client.Do(req)
	if err != nil {
		kind := flow.Transient
		if k := flow.KindOf(ctx.Err()); ctx.Err() != nil {
			kind = k
		}
		return nil, &flow.Error{Op: op, Kind: kind, Err: errors.Unwrap(err)}
	}
	switch {
	case offset == 0 && resp.StatusCode == http.StatusOK, offset > 0 && resp.StatusCode == http.StatusPartialContent:
		return resp, nil
	}
	_ = resp.Body.Close() //nolint:errcheck // not wanted
	return nil, refused(op, resp)
}

// refused says what an answer other than the wanted one means.
func refused(op string, resp *http.Response) error {
	e := &flow.Error{Op: op, Kind: flow.Invalid, Err: fmt.Errorf("the server answers %s", resp.Status)}
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		e.Kind, e.Hint = flow.NotFound, "check the address and its date; if it comes later, give the step wait: { for: 2h }"
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		e.Kind, e.Hint = flow.Denied, "what needs credentials is read by a connection of type rest"
	case code == http.StatusTooManyRequests:
		e.Kind = flow.Throttled
	case code >= 500 || code == http.StatusRequestTimeout:
		e.Kind = flow.Transient
	case code == http.StatusOK:
		e.Kind, e.Err = flow.Transient, errors.New("it broke off, and the server cannot go on from there")
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	return e
}

// resumed reads a body to its announced end; where it breaks off it goes on from there, if
// the server can tell that it is still the same file.
type resumed struct {
	m      *mover
	ctx    context.Context // of the task
	uri    string
	body   io.ReadCloser
	length int64 // of the whole, negative where the server did not say
	etag   string
	at     int64
	tries  int
}

func (r *resumed) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.at += int64(n)
	if err == nil || errors.Is(err, io.EOF) && (r.length < 0 || r.at == r.length) {
		return n, err
	}
	if r.ctx.Err() != nil {
		return n, &flow.Error{Op: "read " + r.uri, Kind: flow.KindOf(r.ctx.Err()), Err: r.ctx.Err()}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if r.tries++; r.tries >= webTries || r.etag == "" || r.at == 0 || r.etag[0] == 'W' {
		return n, &flow.Error{Op: "read " + r.uri, Kind: flow.Transient, Err: fmt.Errorf("it breaks off at byte %d: %w", r.at, err)}
	}
	resp, err := r.m.fetch(r.ctx, http.MethodGet, r.uri, r.at, r.etag) //nolint:bodyclose // Close closes it
	if err != nil {
		return n, err
	}
	_ = r.body.Close() //nolint:errcheck // it is broken
	r.body = resp.Body
	return n, nil
}

func (r *resumed) Close() error { return r.body.Close() }
