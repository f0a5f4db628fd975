package rest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// authorizer signs requests.
type authorizer interface {
	// authorize adds to the request what shows who sends it.
	authorize(ctx context.Context, req *http.Request, body []byte) error
	// refused is told of a 401, and says whether another try with fresh credentials is worth it.
	refused(req *http.Request) bool
}

func (a *API) authorizer(s *Auth) (authorizer, error) {
	if s == nil {
		return fixed(func(*http.Request) {}), nil
	}
	fault := func(text, hint string) error {
		return &flow.Error{Op: "configure rest", Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	n := 0
	for _, has := range []bool{!s.Bearer.IsZero(), s.Basic != nil, s.APIKey != nil, s.OAuth2 != nil, s.AWS != nil} {
		if has {
			n++
		}
	}
	if n != 1 {
		return nil, fault(fmt.Sprintf("auth has %d ways", n), "give one of bearer, basic, api_key, oauth2, aws")
	}
	switch {
	case !s.Bearer.IsZero():
		a.keepSecret(s.Bearer.Reveal())
		return fixed(func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s.Bearer.Reveal()) }), nil
	case s.Basic != nil:
		a.keepSecret(s.Basic.Password.Reveal())
		a.keepSecret(base64.StdEncoding.EncodeToString([]byte(s.Basic.User + ":" + s.Basic.Password.Reveal())))
		return fixed(func(r *http.Request) { r.SetBasicAuth(s.Basic.User, s.Basic.Password.Reveal()) }), nil
	case s.APIKey != nil:
		k := *s.APIKey
		if k.Header != "" && k.Query != "" {
			return nil, fault("api_key has header and query", "give one of them")
		}
		a.keepSecret(k.Value.Reveal())
		a.keepSecret(url.QueryEscape(k.Value.Reveal()))
		if k.Query != "" {
			return fixed(func(r *http.Request) {
				q := r.URL.Query()
				q.Set(k.Query, k.Value.Reveal())
				r.URL.RawQuery = q.Encode()
			}), nil
		}
		if k.Header == "" {
			k.Header = "X-API-Key"
		}
		return fixed(func(r *http.Request) { r.Header.Set(k.Header, k.Value.Reveal()) }), nil
	case s.OAuth2 != nil:
		return a.client(*s.OAuth2)
	}
	if a.options.AWS == nil {
		return nil, fault("there is no AWS here to sign for", "")
	}
	return &signer{*s.AWS, a.options}, nil
}

func (a *API) keepSecret(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s != "" {
		a.secrets = append(a.secrets, s)
	}
}

// fixed adds the same to every request.
type fixed func(*http.Request)

func (f fixed) authorize(_ context.Context, r *http.Request, _ []byte) error {
	f(r)
	return nil
}

func (fixed) refused(*http.Request) bool { return false }

// signer signs for AWS.
type signer struct {
	AWS
	options Options
}

func (s *signer) authorize(ctx context.Context, r *http.Request, body []byte) error {
	cfg, err := s.options.AWS(ctx, s.Connection)
	if err != nil {
		return err
	}
	if s.Region != "" {
		cfg.Region = s.Region
	}
	service := s.Service
	if service == "" {
		service = "execute-api"
	}
	return awsauth.Sign(ctx, cfg, r, body, service, s.options.Now())
}

func (*signer) refused(*http.Request) bool { return false }

// client fetches tokens by OAuth 2's client credentials (RFC 6749, 4.4).
type client struct {
	OAuth2
	api *API
	url *url.URL

	mu    sync.Mutex
	token string
	until time.Time // zero: as long as it is taken
}

// early is how long before its end a token is no longer used.
const early = 30 * time.Second

func (a *API) client(s OAuth2) (*client, error) {
	u, err := url.Parse(s.TokenURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &flow.Error{Op: "configure rest", Kind: flow.Invalid, Err: errors.New("token_url is no http:// or https:// address")}
	}
	a.keepSecret(s.ClientSecret.Reveal())
	return &client{OAuth2: s, api: a, url: u}, nil
}

func (c *client) authorize(ctx context.Context, r *http.Request, _ []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == "" || !c.until.IsZero() && c.api.options.Now().After(c.until) {
		if err := c.fetch(ctx); err != nil {
			return err
		}
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	return nil
}

// refused forgets the token that was refused, if another is not there already.
func (c *client) refused(r *http.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header.Get("Authorization") == "Bearer "+c.token {
		c.token = ""
	}
	return true
}

func (c *client) fetch(ctx context.Context) error {
	op := "fetch a token from " + show(c.url)
	form := url.Values{"grant_type": {"client_credentials"}}
	switch s := c.Scopes.(type) {
	case string:
		form.Set("scope", s)
	case []any:
		words := make([]string, len(s))
		for i := range s {
			words[i] = fmt.Sprint(s[i])
		}
		form.Set("scope", strings.Join(words, " "))
	}
	if c.Audience != "" {
		form.Set("audience", c.Audience)
	}
	if c.In == "body" {
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", c.ClientSecret.Reveal())
	}
	ctx, cancel := context.WithTimeout(ctx, c.api.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return &flow.Error{Op: op, Kind: flow.Invalid, Err: err}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if c.In != "body" {
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret.Reveal()))
	}
	resp, err := c.api.options.Client.Do(req)
	if err != nil {
		return lost(ctx, op, err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return lost(ctx, op, err)
	}
	if resp.StatusCode != http.StatusOK {
		e := c.api.refusal(op, resp.StatusCode, resp.Status, resp.Header, text)
		if e.Kind == flow.Invalid {
			e.Kind, e.Hint = flow.Denied, "check client_id, client_secret and scopes; some servers want in: body"
		}
		return e
	}
	var answer struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Token == "" {
		return &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("the answer has no access_token")}
	}
	c.token, c.until = answer.Token, time.Time{}
	c.api.keepSecret(c.token)
	if s, err := answer.Expires.Float64(); err == nil && s > 0 {
		life := time.Duration(s * float64(time.Second))
		c.until = c.api.options.Now().Add(max(life-early, life/2))
	}
	return nil
}
