// Package rest reads web APIs: authenticated, paced, page after page, with single requests
// repeated for about a minute where the fault may pass.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// Settings are the keys of a connection of type rest.
type Settings struct {
	URL         string `key:"url" req:"1" doc:"The API's base URL; an extract's path is put behind it."`
	Auth        *Auth  `key:"auth" doc:"How requests are authenticated: one of bearer, basic, api_key, oauth2, aws."`
	Headers     any    `key:"headers" doc:"Headers of every request, by name."`
	Rate        string `key:"rate" doc:"The most requests, as in 10/s, 100/m or 5000/h, over all steps of a process."`
	Concurrency int    `key:"concurrency" def:"4" doc:"With for_each: how many rows are asked for at a time."`
	Timeout     string `key:"timeout" def:"30s" doc:"The longest one request may take, its body included."`
	MaxBytes    int    `key:"max_bytes" def:"268435456" doc:"The most bytes of one response, unpacked: it is held in memory."`
}

// Auth is one way to authenticate.
type Auth struct {
	Bearer flow.Secret `key:"bearer" doc:"A token for the header Authorization."`
	Basic  *Basic      `key:"basic" doc:"A user and a password."`
	APIKey *APIKey     `key:"api_key" doc:"A key in a header or in the query."`
	OAuth2 *OAuth2     `key:"oauth2" doc:"OAuth 2 client credentials; the token is fetched again before it ends and when it is refused."`
	AWS    *AWS        `key:"aws" doc:"AWS's signature, version 4."`
}

// Basic is HTTP's basic authentication.
type Basic struct {
	User     string      `key:"user" req:"1" doc:"The user."`
	Password flow.Secret `key:"password" doc:"The password."`
}

// APIKey is a key in a header or in the query.
type APIKey struct {
	Header string      `key:"header" doc:"The header's name; without header and query it is X-API-Key."`
	Query  string      `key:"query" doc:"The query parameter's name."`
	Value  flow.Secret `key:"value" req:"1" doc:"The key."`
}

// OAuth2 is a client that fetches its own tokens.
type OAuth2 struct {
	TokenURL     string      `key:"token_url" req:"1" doc:"Where tokens are given."`
	ClientID     string      `key:"client_id" req:"1" doc:"The client."`
	ClientSecret flow.Secret `key:"client_secret" req:"1" doc:"Its secret."`
	Scopes       any         `key:"scopes" doc:"What the token is for: a text or a list."`
	Audience     string      `key:"audience" doc:"Whom the token is for, where the server wants that."`
	In           string      `key:"in" enum:"header|body" def:"header" doc:"Whether id and secret are sent in the header Authorization or in the body."`
}

// AWS signs requests for AWS.
type AWS struct {
	Service    string `key:"service" def:"execute-api" doc:"The service's name in the signature."`
	Region     string `key:"region" doc:"The region; default: that of the connection."`
	Connection string `key:"connection" doc:"The aws connection whose credentials sign; default: the target's."`
}

// Connector describes connections of type rest.
var Connector = flow.Define[Settings]("rest", "A web API that answers in JSON, NDJSON or CSV.", flow.UseSource)

// Options are what a connection needs beside its settings.
type Options struct {
	Client *http.Client // nil: one with sensible limits
	// AWS finds an aws connection, the target's where the name is empty; nil: there is none.
	AWS  func(ctx context.Context, name string) (awsauth.Config, error)
	Now  func() time.Time                                 // nil: time.Now
	Wait func(ctx context.Context, d time.Duration) error // nil: a timer
}

// API is a web API. Its rate is shared by all who read it at a time.
type API struct {
	settings Settings
	options  Options
	base     *url.URL
	headers  map[string]string
	timeout  time.Duration
	auth     authorizer
	pace     pacer
	mu       sync.RWMutex
	secrets  []string // never shown
}

// New makes an API of a connection's settings. It calls nobody.
func New(s Settings, o Options) (*API, error) {
	fault := func(text, hint string) error {
		return &flow.Error{Op: "configure rest", Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault("its url is no http:// or https:// address", "write it like https://api.example.com/v2")
	}
	a := &API{settings: s, options: o, base: u, headers: map[string]string{}, timeout: 30 * time.Second}
	if a.options.Client == nil {
		a.options.Client = newClient()
	}
	if a.options.Now == nil {
		a.options.Now = time.Now
	}
	if a.options.Wait == nil {
		a.options.Wait = flow.Pause
	}
	if s.Concurrency <= 0 {
		a.settings.Concurrency = 4
	}
	if s.MaxBytes <= 0 {
		a.settings.MaxBytes = 256 << 20
	}
	if s.Timeout != "" {
		if a.timeout, err = time.ParseDuration(s.Timeout); err != nil || a.timeout <= 0 {
			return nil, fault("timeout "+s.Timeout+" is no length of time", "write it like 30s or 2m")
		}
	}
	if a.pace.every, err = parseRate(s.Rate); err != nil {
		return nil, fault(err.Error(), "write it like 10/s, 100/m or 5000/h")
	}
	if m, ok := s.Headers.(map[string]any); ok {
		for k, v := range m {
			a.headers[k] = fmt.Sprint(v)
		}
	} else if s.Headers != nil {
		return nil, fault("headers is no mapping", "write headers: { name: value }")
	}
	if a.auth, err = a.authorizer(s.Auth); err != nil {
		return nil, err
	}
	return a, nil
}

func newClient() *http.Client {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return &http.Client{}
	}
	t = t.Clone()
	t.DisableCompression = true // it is asked for and unpacked here, counted
	t.MaxIdleConnsPerHost = 32
	return &http.Client{Transport: t, CheckRedirect: sameHost}
}

// sameHost follows redirects of the same host only: credentials are not for another.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("it redirects more than ten times")
	}
	if req.URL.Hostname() != via[0].URL.Hostname() || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("it redirects to %s, another host", req.URL.Host)
	}
	return nil
}

// Kind tells what an error means for a retry.
func (a *API) Kind(err error) flow.Kind { return flow.KindOf(err) }

// Close gives idle connections up.
func (a *API) Close() error {
	a.options.Client.CloseIdleConnections()
	return nil
}

// Test asks for the base URL. That nothing is there is no fault, that we are refused is.
func (a *API) Test(ctx context.Context) (string, error) {
	r := request{method: http.MethodGet, url: a.base, what: "the base URL"}
	ans, err := a.send(ctx, r, nil)
	switch {
	case err == nil:
		return fmt.Sprintf("%s answers %d", show(a.base), ans.status), nil
	case flow.KindOf(err) == flow.NotFound:
		return show(a.base) + " answers, and has nothing at the base URL itself", nil
	}
	return "", err
}

// Pages yields the pages of a query: see flow.Pages. The query's Args are flow.RESTArgs.
func (a *API) Pages(ctx context.Context, q flow.Query) iter.Seq2[flow.Page, error] {
	return func(yield func(flow.Page, error) bool) {
		var args flow.RESTArgs
		if err := json.Unmarshal(q.Args, &args); len(q.Args) > 0 && err != nil {
			yield(flow.Page{}, &flow.Error{Op: "read the arguments", Kind: flow.Invalid, Err: err})
			return
		}
		x, err := a.extraction(args, q)
		if err != nil {
			yield(flow.Page{}, err)
			return
		}
		if q.Rows != nil {
			x.eachRow(ctx, q, yield)
			return
		}
		var at *place
		if q.From != nil {
			at = new(place)
			if err := json.Unmarshal(q.From, at); err != nil {
				yield(flow.Page{}, &flow.Error{Op: "go on from the last page", Kind: flow.Conflict, Err: err})
				return
			}
		}
		for p, err := range x.pages(ctx, nil, at) {
			if err != nil {
				yield(flow.Page{}, err)
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// show is a URL as messages have it: its query may hold what is nobody's business.
func show(u *url.URL) string {
	return strings.TrimSuffix(u.Scheme+"://"+u.Host+u.EscapedPath(), "/")
}

// hide takes the connection's secrets out of a text.
func (a *API) hide(text string) string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, s := range a.secrets {
		text = strings.ReplaceAll(text, s, "(secret)")
	}
	return text
}
