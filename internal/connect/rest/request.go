package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tidemill/tidemill/internal/flow"
)

// A request is repeated for about patience where the fault may pass. What the server itself
// asks for is waited longer: it knows.
const (
	patience     = time.Minute
	firstPause   = 500 * time.Millisecond
	longestPause = 20 * time.Second
	toldPatience = 15 * time.Minute
)

// request is one page's request, without credentials.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
	what   string // for messages: page 7
	format string // json, ndjson, csv; empty: by Content-Type
	packed string // gzip, zstd: the body is a packed file; empty: by its first bytes
}

// answer is a response, whole and unpacked.
type answer struct {
	status int
	header http.Header
	body   []byte
	format string
}

// send sends a request until it is answered, or the patience ends.
func (a *API) send(ctx context.Context, r request, log io.Writer) (*answer, error) {
	pause, spent, told := firstPause, time.Duration(0), time.Duration(0)
	fresh := false // a refused token was replaced
	for {
		ans, again, err := a.once(ctx, r)
		if err == nil {
			return ans, nil
		}
		if again && !fresh {
			fresh = true
			continue
		}
		kind := flow.KindOf(err)
		if kind != flow.Transient && kind != flow.Throttled || ctx.Err() != nil {
			return nil, err
		}
		var e *flow.Error
		d := pause/2 + rand.N(pause/2) //nolint:gosec // only spreads requests
		if errors.As(err, &e) && e.RetryAfter > 0 {
			if told += e.RetryAfter; told > toldPatience {
				return nil, err
			}
			d = e.RetryAfter
			a.pace.hold(a.options.Now().Add(d))
		} else if spent += d; spent > patience {
			return nil, err
		}
		pause = min(2*pause, longestPause)
		if log != nil {
			fmt.Fprintf(log, "%s; again in %s\n", a.hide(err.Error()), d.Round(time.Millisecond)) //nolint:errcheck // a log
		}
		if err := a.options.Wait(ctx, d); err != nil {
			return nil, &flow.Error{Op: "wait for a repeat", Kind: flow.KindOf(err), Err: err}
		}
	}
}

// once sends a request once. again says that other credentials may be taken.
func (a *API) once(ctx context.Context, r request) (ans *answer, again bool, err error) {
	if d := a.pace.take(a.options.Now()); d > 0 {
		if err := a.options.Wait(ctx, d); err != nil {
			return nil, false, &flow.Error{Op: "wait for the rate", Kind: flow.KindOf(err), Err: err}
		}
	}
	op := "read " + r.what + " of " + show(r.url)
	within, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(within, r.method, r.url.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, false, &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("the address cannot be read")}
	}
	req.Header.Set("User-Agent", "tidemill")
	req.Header.Set("Accept", "application/json, application/x-ndjson;q=0.9, text/csv;q=0.8, */*;q=0.5")
	req.Header.Set("Accept-Encoding", "gzip")
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range a.headers {
		req.Header.Set(k, v)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if err := a.auth.authorize(within, req, r.body); err != nil {
		return nil, false, err
	}
	resp, err := a.options.Client.Do(req)
	if err != nil {
		return nil, false, a.lost(ctx, within, op, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	now := a.options.Now()
	if d := exhausted(resp.Header, now); d > 0 && d <= toldPatience {
		a.pace.hold(now.Add(d))
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) //nolint:errcheck // what there is of it
		return nil, resp.StatusCode == http.StatusUnauthorized && a.auth.refused(req), a.refusal(op, resp.StatusCode, resp.Status, resp.Header, text)
	}
	body, err := a.read(resp, r.packed)
	if err != nil {
		if e := (*flow.Error)(nil); errors.As(err, &e) {
			return nil, false, &flow.Error{Op: op, Kind: e.Kind, Hint: e.Hint, Err: err}
		}
		return nil, false, a.lost(ctx, within, op, err)
	}
	return &answer{resp.StatusCode, resp.Header, body, formatOf(resp.Header.Get("Content-Type"), r.url.Path, r.format)}, false, nil
}

// read reads a body and unpacks it.
func (a *API) read(resp *http.Response, packed string) ([]byte, error) {
	limit := int64(a.settings.MaxBytes)
	whole := func(r io.Reader) ([]byte, error) {
		b, err := io.ReadAll(io.LimitReader(r, limit+1))
		if err == nil && int64(len(b)) > limit {
			err = &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("the response is larger than %d bytes", limit), Hint: "ask for smaller pages, or raise the connection's max_bytes"}
		}
		return b, err
	}
	var in io.Reader = resp.Body
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			return nil, err
		}
		in = z
	default:
		return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("the response is encoded as %s, which was not asked for", enc)}
	}
	body, err := whole(in)
	if err != nil {
		return nil, err
	}
	switch {
	case packed == "gzip" || packed == "" && bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("unpack gzip: %w", err)}
		}
		return whole(z)
	case packed == "zstd" || packed == "" && bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, &flow.Error{Kind: flow.Invalid, Err: fmt.Errorf("unpack zstd: %w", err)}
		}
		defer z.Close()
		return whole(z)
	}
	return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), nil
}

// formatOf is what the query says, else the Content-Type, else how the path ends.
func formatOf(contentType, path, given string) string {
	t := strings.ToLower(contentType)
	ending := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	switch {
	case given != "":
		return given
	case strings.Contains(t, "ndjson"), strings.Contains(t, "jsonl"), strings.Contains(t, "json-lines"), strings.Contains(t, "json-seq"):
		return "ndjson"
	case strings.Contains(t, "text/csv"):
		return "csv"
	case strings.Contains(t, "json"):
		return "json"
	case strings.HasSuffix(ending, ".csv"):
		return "csv"
	case strings.HasSuffix(ending, ".ndjson"), strings.HasSuffix(ending, ".jsonl"):
		return "ndjson"
	}
	return "json"
}

// lost is the error of a request that got no whole answer. Only the end of the task's own
// context is an end; that of the request's is a server that is slow.
func (a *API) lost(ctx, within context.Context, op string, err error) error {
	if ctx.Err() == nil && errors.Is(within.Err(), context.DeadlineExceeded) {
		return &flow.Error{Op: op, Kind: flow.Transient, Err: fmt.Errorf("no whole answer within %s", a.timeout), Hint: "raise the connection's timeout, or ask for smaller pages"}
	}
	return lost(ctx, op, err)
}

func lost(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return &flow.Error{Op: op, Kind: flow.KindOf(ctx.Err()), Err: context.Cause(ctx)}
	}
	var u *url.Error
	if errors.As(err, &u) { // it repeats the address, query and all
		err = u.Err
	}
	kind := flow.Transient
	if strings.Contains(err.Error(), "it redirects") {
		kind = flow.Invalid
	}
	return &flow.Error{Op: op, Kind: kind, Err: err}
}

// refusal says what an answer other than a good one means.
func (a *API) refusal(op string, code int, status string, h http.Header, text []byte) *flow.Error {
	e := &flow.Error{Op: op, Kind: flow.Invalid, Err: fmt.Errorf("the server answers %s%s", status, a.excerpt(text))}
	switch {
	case code == http.StatusUnauthorized:
		e.Kind, e.Hint = flow.Denied, "check the connection's auth"
	case code == http.StatusForbidden:
		e.Kind, e.Hint = flow.Denied, "the credentials are taken, but not for this"
		if d := exhausted(h, a.options.Now()); d > 0 || h.Get("Retry-After") != "" { // how some say that there were too many
			e.Kind, e.Hint, e.RetryAfter = flow.Throttled, "", max(d, retryAfter(h, a.options.Now()))
		}
	case code == http.StatusNotFound || code == http.StatusGone:
		e.Kind, e.Hint = flow.NotFound, "check url and path; if it comes later, give the step wait: { for: 2h }"
	case code == http.StatusTooManyRequests:
		e.Kind, e.Hint = flow.Throttled, "lower the connection's rate"
		e.RetryAfter = max(retryAfter(h, a.options.Now()), exhausted(h, a.options.Now()))
	case code >= 500 && code != http.StatusNotImplemented, code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		e.Kind, e.RetryAfter = flow.Transient, retryAfter(h, a.options.Now())
	}
	return e
}

// excerpt is the beginning of an error's body, in one line.
func (a *API) excerpt(text []byte) string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "?")), " ")
	if s == "" || strings.HasPrefix(s, "<") {
		return ""
	}
	s = a.hide(s)
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return ": " + s
}
