// Package opensearch loads documents into OpenSearch and Elasticsearch, Amazon's flavours
// among them, and finds them again. Both products speak the same API as far as it is used
// here.
//
// Modes. swap writes a new index and moves an alias to it in one atomic call. upsert and
// mirror write in place: readers see them grow.
package opensearch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tidemill/tidemill/internal/flow"
)

// Settings are the keys of a connection.
type Settings struct {
	URL  string `key:"url" req:"1" doc:"The cluster's URL."`
	Auth *Auth  `key:"auth" enum:"aws" doc:"How requests are authenticated: aws (signed with the target's aws), or {basic}, {api_key}, {aws}."`
	CA   string `key:"ca" doc:"A file with the certificate authority that signed the cluster's certificate, in PEM."`
	Gzip bool   `key:"gzip" doc:"Compress what is sent: worth it over a slow line."`
}

// Auth is one way to authenticate.
type Auth struct {
	Word   string      `word:"1"`
	Basic  *Basic      `key:"basic" doc:"A user and a password."`
	APIKey flow.Secret `key:"api_key" doc:"An API key, as Elasticsearch encodes it."`
	AWS    *AWSAuth    `key:"aws" doc:"Signature version 4 with the target's aws."`
}

// Basic is a user with a password.
type Basic struct {
	User     string      `key:"user" req:"1" doc:"The user."`
	Password flow.Secret `key:"password" req:"1" doc:"The password."`
}

// AWSAuth is for Amazon's flavours.
type AWSAuth struct {
	Service string `key:"service" enum:"es|aoss" doc:"es for a domain (default), aoss for a serverless collection."`
	Region  string `key:"region" doc:"The cluster's region; default: the target's."`
}

// Connector describes connections of type opensearch.
var Connector = flow.Define[Settings]("opensearch", "An OpenSearch cluster, Amazon OpenSearch Service among them.", flow.UseSink)

// Elasticsearch describes connections of type elasticsearch.
var Elasticsearch = flow.Define[Settings]("elasticsearch", "An Elasticsearch cluster.", flow.UseSink)

// Sink is one cluster. It is safe for concurrent use.
type Sink struct {
	c   *client
	now func() time.Time
}

// New makes a sink; it calls nobody. cfg is needed for auth aws only.
func New(s Settings, cfg *aws.Config) (*Sink, error) {
	c, err := newClient(s, cfg)
	if err != nil {
		return nil, err
	}
	return &Sink{c: c, now: time.Now}, nil
}

// NeedsAWS tells whether requests are signed for AWS.
func (s Settings) NeedsAWS() bool {
	return s.Auth != nil && (s.Auth.Word == "aws" || s.Auth.AWS != nil)
}

// Close gives the connections back.
func (s *Sink) Close() error {
	s.c.http.CloseIdleConnections()
	return nil
}

// Test asks for the cluster's health.
func (s *Sink) Test(ctx context.Context) (string, error) {
	var h struct {
		Name   string `json:"cluster_name"`
		Status string `json:"status"`
		Nodes  int    `json:"number_of_nodes"`
	}
	if _, err := s.c.call(ctx, http.MethodGet, "_cluster/health", nil, nil, &h); err != nil {
		return "", err
	}
	return fmt.Sprintf("cluster %s, status %s, nodes %d", h.Name, h.Status, h.Nodes), nil
}

// Find runs a query in the query string language over an index or alias.
func (s *Sink) Find(ctx context.Context, index, query string, most int) (flow.Hits, error) {
	var out struct {
		Hits struct {
			Total struct {
				Value int64 `json:"value"`
			} `json:"total"`
			Hits []struct {
				ID     string          `json:"_id"`
				Source json.RawMessage `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if index == "" || strings.ContainsAny(index, "/?#") || index[0] == '_' {
		return flow.Hits{}, &flow.Error{Op: "search " + index, Kind: flow.Invalid, Err: errors.New("that is no name of an index")}
	}
	body := map[string]any{"size": most, "track_total_hits": true, "query": map[string]any{"match_all": map[string]any{}}}
	if query != "" {
		body["query"] = map[string]any{"query_string": map[string]any{"query": query, "lenient": true}}
	}
	if _, err := s.c.call(ctx, http.MethodPost, index+"/_search", nil, body, &out); err != nil {
		if flow.KindOf(err) == flow.NotFound {
			err = &flow.Error{Kind: flow.NotFound, Err: err, Hint: "No load has published the index yet, or its name is another."}
		}
		return flow.Hits{}, err
	}
	h := flow.Hits{Total: out.Hits.Total.Value}
	for _, x := range out.Hits.Hits {
		h.IDs, h.Docs = append(h.IDs, x.ID), append(h.Docs, x.Source)
	}
	return h, nil
}

// owner is what an index of ours says of itself, in its mapping's _meta.
type owner struct {
	Pipeline string `json:"pipeline"`
	Step     string `json:"step"`
	Time     string `json:"time"`
	Params   string `json:"params,omitempty"`
	Period   string `json:"period,omitempty"`
	Run      string `json:"run"`
	Attempt  int    `json:"attempt"`
	Retired  string `json:"retired,omitempty"` // when it lost its alias, RFC 3339
}

// same tells whether two were written by the same step, params alike.
func (o owner) same(w flow.Write) bool {
	return o.Pipeline == w.Pipeline && o.Step == w.Step && o.Params == w.Params
}

func ownerOf(w flow.Write) owner {
	return owner{Pipeline: w.Pipeline, Step: w.Step, Time: w.Time, Params: w.Params, Period: w.Period, Run: w.Run, Attempt: w.Attempt}
}

// index is one index as the cluster describes it.
type index struct {
	name    string
	aliases []string
	owner   *owner // nil: not ours
	created time.Time
	fields  map[string]json.RawMessage
}

// indexes lists the indexes that a name or pattern stands for, by name.
func (s *Sink) indexes(ctx context.Context, pattern string) ([]index, error) {
	var out map[string]struct {
		Aliases  map[string]any `json:"aliases"`
		Mappings struct {
			Meta struct {
				Tidemill *owner `json:"tidemill"`
			} `json:"_meta"`
			Properties map[string]json.RawMessage `json:"properties"`
		} `json:"mappings"`
		Settings struct {
			Index struct {
				Created string `json:"creation_date"`
			} `json:"index"`
		} `json:"settings"`
	}
	err := persist(ctx, func() error {
		out = nil
		status, err := s.c.call(ctx, http.MethodGet, pattern, url.Values{"ignore_unavailable": {"true"}}, nil, &out, http.StatusNotFound)
		if status == http.StatusNotFound {
			out = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var list []index
	for name, x := range out {
		i := index{name: name, owner: x.Mappings.Meta.Tidemill, fields: x.Mappings.Properties}
		if ms, err := strconv.ParseInt(x.Settings.Index.Created, 10, 64); err == nil {
			i.created = time.UnixMilli(ms)
		}
		for a := range x.Aliases {
			i.aliases = append(i.aliases, a)
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b index) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

var indexName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,150}$`)

func checkWrite(w flow.Write) error {
	fault := func(text, hint string) error {
		return &flow.Error{Op: "load into " + w.Index, Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	if !indexName.MatchString(w.Index) {
		return fault("that is no name of an index", "Small letters, digits, _, - and . are taken, and the first is a letter or a digit.")
	}
	if w.Mode != "swap" && len(w.ID) == 0 {
		return fault("mode "+w.Mode+" needs id", "Name the columns that tell documents apart.")
	}
	for _, c := range slices.Concat(w.ID, nonEmpty(w.Version, w.Delete)) {
		if !slices.ContainsFunc(w.Schema, func(x flow.Column) bool { return x.Name == c }) {
			return fault("the rows have no column "+c, "They have "+strings.Join(names(w.Schema), ", ")+".")
		}
	}
	return nil
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

func names(s flow.Schema) []string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = s[i].Name
	}
	return out
}

// Stage writes a new index for swap; for the others it makes the index and its mapping ready.
func (s *Sink) Stage(ctx context.Context, w flow.Write, rows flow.Rows) (flow.Receipt, error) {
	if err := checkWrite(w); err != nil {
		return flow.Receipt{}, err
	}
	if w.Mode == "swap" {
		return s.stageSwap(ctx, w, rows)
	}
	place, err := s.inPlace(ctx, w)
	return flow.Receipt{Place: place}, err
}

// Flip moves the alias for swap; the others write now.
func (s *Sink) Flip(ctx context.Context, w flow.Write, staged flow.Receipt, rows flow.Rows) (flow.Receipt, error) {
	if err := checkWrite(w); err != nil {
		return staged, err
	}
	switch w.Mode {
	case "swap":
		return s.flipSwap(ctx, w, staged)
	case "mirror":
		return s.mirror(ctx, w, rows)
	}
	return s.upsert(ctx, w, rows)
}

// stagedName is the index that one attempt at a load writes.
func stagedName(w flow.Write) string {
	h := sha256.Sum256([]byte(strings.Join([]string{w.Pipeline, w.Step, w.Time, w.Params, w.Run, strconv.Itoa(w.Attempt)}, "\x00")))
	return w.Index + "-" + strings.ReplaceAll(w.Period, "-", ".") + "-" + hex.EncodeToString(h[:5])
}

// door is an alias of a staged index that its writer writes through: an index that is gone
// is not made again by a late bulk body.
func door(name string) string { return name + "-writing" }
