package opensearch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// client speaks HTTP with JSON to one cluster. It makes one request at a call; who repeats
// is the caller.
type client struct {
	base   *url.URL
	http   *http.Client
	header http.Header // of every request
	sign   func(ctx context.Context, r *http.Request, body []byte) error
	gzip   bool // compress bodies
	say    string
}

// The longest a request may take: a bulk body waits in the server's queue.
const requestTimeout = 2 * time.Minute

func newClient(s Settings, cfg *aws.Config) (*client, error) {
	fault := func(text, hint string) error {
		return &flow.Error{Op: "configure the search cluster", Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	u, err := url.Parse(strings.TrimSuffix(s.URL, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault("url "+s.URL+" is no URL", "Write it like https://search.example.com.")
	}
	c := &client{base: u, header: http.Header{"User-Agent": {"tidemill"}}, gzip: s.Gzip, say: u.Host}
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{}
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = mostWorkers
	t.ResponseHeaderTimeout = requestTimeout
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fault("ca "+s.CA+" cannot be read: "+errors.Unwrap(err).Error(), "It is the file of the authority that signed the cluster's certificate, in PEM.")
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fault("ca "+s.CA+" holds no certificate", "It is the file of the authority that signed the cluster's certificate, in PEM.")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	c.http = &http.Client{Transport: t}
	return c, c.authenticate(s, cfg)
}

func (c *client) authenticate(s Settings, cfg *aws.Config) error {
	a := s.Auth
	if a == nil {
		return nil
	}
	signed := a.AWS
	if a.Word == "aws" {
		signed = &AWSAuth{}
	}
	switch {
	case a.Basic != nil:
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(a.Basic.User, a.Basic.Password.Reveal())
		c.header.Set("Authorization", r.Header.Get("Authorization"))
	case !a.APIKey.IsZero():
		c.header.Set("Authorization", "ApiKey "+a.APIKey.Reveal())
	case signed != nil:
		if cfg == nil {
			return &flow.Error{Op: "configure the search cluster", Kind: flow.Invalid, Err: errors.New("auth aws needs an AWS configuration")}
		}
		service, region := signed.Service, signed.Region
		if service == "" {
			service = "es"
			if strings.Contains(c.base.Host, ".aoss.") {
				service = "aoss"
			}
		}
		if region == "" {
			region = cfg.Region
		}
		signing := *cfg
		signing.Region = region
		c.sign = func(ctx context.Context, r *http.Request, body []byte) error {
			return awsauth.Sign(ctx, signing, r, body, service, time.Now())
		}
	}
	return nil
}

// answer is what came back. Its body must be closed.
type answer struct {
	status int
	body   io.ReadCloser
}

// send makes one request. An answer of status 300 and more is an error, but those listed.
func (c *client) send(ctx context.Context, method, path string, query url.Values, body []byte, but ...int) (*answer, error) {
	u := *c.base
	u.Path += "/" + path
	u.RawQuery = query.Encode()
	op := method + " " + u.Path
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	if c.gzip && len(body) > 1024 {
		var err error
		if body, err = compress(body); err != nil {
			cancel()
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		cancel()
		return nil, &flow.Error{Op: op, Kind: flow.Invalid, Err: err}
	}
	for k, v := range c.header {
		r.Header[k] = v
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
		if strings.HasSuffix(path, "_bulk") {
			r.Header.Set("Content-Type", "application/x-ndjson")
		}
		if len(body) > 2 && body[0] == 0x1f && body[1] == 0x8b {
			r.Header.Set("Content-Encoding", "gzip")
		}
	}
	if c.sign != nil {
		if err := c.sign(ctx, r, body); err != nil {
			cancel()
			return nil, err
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		cancel()
		return nil, c.unreached(ctx, op, err)
	}
	resp.Body = &closing{resp.Body, cancel}
	if resp.StatusCode >= 300 {
		for _, s := range but {
			if s == resp.StatusCode {
				return &answer{resp.StatusCode, resp.Body}, nil
			}
		}
		text, rerr := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return nil, c.refused(op, resp, text, errors.Join(rerr, resp.Body.Close()))
	}
	return &answer{resp.StatusCode, resp.Body}, nil
}

// closing ends a request's context when its body has been read.
type closing struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *closing) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

func compress(body []byte) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(body) / 4)
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// call makes a request and reads its answer into out, which may be nil.
func (c *client) call(ctx context.Context, method, path string, query url.Values, in, out any, but ...int) (status int, err error) {
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return 0, err
		}
	}
	a, err := c.send(ctx, method, path, query, body, but...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.body.Close()) }()
	if out == nil || a.status >= 300 {
		_, err = io.Copy(io.Discard, a.body)
		return a.status, err
	}
	if err := json.NewDecoder(a.body).Decode(out); err != nil {
		return a.status, &flow.Error{Op: method + " /" + path, Kind: flow.Transient, Err: fmt.Errorf("read the answer: %w", err)}
	}
	return a.status, nil
}

// persist repeats a call, which must be harmless to repeat, for about a minute while it
// fails for passing reasons.
func persist(ctx context.Context, do func() error) error {
	pause := 200 * time.Millisecond
	for begun := time.Now(); ; pause = min(2*pause, 10*time.Second) {
		err := do()
		if k := flow.KindOf(err); err == nil || k != flow.Transient && k != flow.Throttled || time.Since(begun) > patience {
			return err
		}
		if flow.Pause(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}

// patience is how long passing faults are borne by repeating a request.
const patience = time.Minute

func (c *client) unreached(ctx context.Context, op string, err error) error {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	e := &flow.Error{Op: op, Kind: flow.Transient, Err: err}
	var u *url.Error
	if errors.As(err, &u) {
		e.Err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Kind = flow.Timeout
		if ctx.Err() != nil && context.Cause(ctx) != nil {
			e.Kind, e.Err = flow.Transient, fmt.Errorf("%s did not answer within %s", c.say, requestTimeout)
		}
	case errors.Is(err, context.Canceled):
		return context.Cause(ctx)
	case errors.As(err, &cert):
		e.Kind, e.Hint = flow.Invalid, "Set ca to the file of the authority that signed the cluster's certificate."
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Kind, e.Hint = flow.Invalid, "Look at the connection's url."
	default:
		e.Hint = "Look whether the cluster runs at " + c.base.Scheme + "://" + c.base.Host + "."
	}
	return e
}

// fault is how both products describe an error.
type fault struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
	Cause  *fault `json:"caused_by"`
}

func (f *fault) String() string {
	s := f.Type + ": " + f.Reason
	if f.Cause != nil && f.Cause.Reason != "" && !strings.Contains(f.Reason, f.Cause.Reason) {
		s += ": " + f.Cause.Reason
	}
	return s
}

// refused makes an error of an answer.
func (c *client) refused(op string, resp *http.Response, text []byte, rerr error) error {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	var f fault
	said := strings.TrimSpace(string(text[:min(len(text), 300)]))
	if json.Unmarshal(text, &body) == nil {
		switch {
		case json.Unmarshal(body.Error, &f) == nil && f.Type != "":
			said = f.String()
		case body.Message != "":
			said = body.Message
		}
	}
	if said == "" {
		said = http.StatusText(resp.StatusCode)
	}
	e := &flow.Error{Op: op, Err: errors.Join(fmt.Errorf("%d: %s", resp.StatusCode, said), rerr)}
	e.Kind, e.Hint = sortStatus(resp.StatusCode, f.Type, said)
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	return e
}

// sortStatus tells what a refusal means.
func sortStatus(status int, kind, said string) (flow.Kind, string) {
	switch {
	case kind == "cluster_block_exception" && strings.Contains(said, "read-only"):
		return flow.Transient, "The cluster's disk is nearly full: free space or grow it; it takes writes again by itself."
	case kind == "cluster_block_exception":
		return flow.Transient, "The cluster is not ready: look at its health."
	case status == http.StatusUnauthorized:
		return flow.Denied, "Look at auth of the search connection."
	case status == http.StatusForbidden:
		return flow.Denied, "The user of the search connection may not do this: look at its role."
	case status == http.StatusNotFound:
		return flow.NotFound, ""
	case status == http.StatusConflict:
		return flow.Conflict, ""
	case status == http.StatusTooManyRequests:
		return flow.Throttled, ""
	case status == http.StatusRequestEntityTooLarge:
		return flow.Invalid, "A document is larger than the cluster takes."
	case status >= 500:
		return flow.Transient, ""
	}
	return flow.Invalid, ""
}
