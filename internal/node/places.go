package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/connect/opensearch"
	"github.com/tidemill/tidemill/internal/connect/postgres"
	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/connect/snowflake"
	"github.com/tidemill/tidemill/internal/flow"
)

// places are what a node reaches: S3, its own files, the files and connections of its job.
type places struct {
	n       *node
	job     Job
	temp    string // scratch folder of the task
	mu      sync.Mutex
	buckets map[string]flow.Bucket
	sinks   map[string]flow.Sink
	root    *file.Bucket
	project *file.Bucket // what the job has of the project
}

// Bucket returns the bucket that holds a URI.
func (l *places) Bucket(ctx context.Context, uri string) (flow.Bucket, string, error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	if !ok {
		name := strings.TrimPrefix(uri, "file://")
		switch {
		case strings.Contains(name, "://"):
			return nil, "", &flow.Error{Op: "open " + uri, Kind: flow.Invalid, Err: errors.New("a node reaches s3:// and its own files alone"), Hint: "copy the file to S3 first, in a step that runs here"}
		case strings.HasPrefix(name, "/"):
			return l.root, strings.TrimPrefix(name, "/"), nil
		case l.project == nil || !filepath.IsLocal(name) || !strings.HasPrefix(name, "schemas/") && l.job.Files[name] == "":
			return nil, "", &flow.Error{Op: "open " + uri, Kind: flow.Invalid, Err: errors.New("a node reaches s3:// and its own files alone"), Hint: "copy the file to S3 first, in a step that runs here"}
		}
		return l.project, name, nil
	}
	name, key, _ := strings.Cut(rest, "/")
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[name]; ok {
		return b, key, nil
	}
	cfg, err := l.n.aws(ctx)
	if err != nil {
		return nil, "", err
	}
	o := s3.Options{}
	if strings.HasPrefix(l.job.Store+"/", "s3://"+name+"/") {
		o.KMSKey = l.job.KMSKey
	}
	b := s3.New(cfg, name, o)
	l.buckets[name] = b
	return b, key, nil
}

// Text is a text of the job.
func (l *places) Text(_ context.Context, hash string) (string, error) {
	if text, ok := l.job.Texts[hash]; ok {
		return text, nil
	}
	return "", &flow.Error{Op: "read text " + hash, Kind: flow.NotFound, Err: errors.New("the job does not have it")}
}

// settings reads what a connection's references refer to.
func (l *places) settings(ctx context.Context, name string) (Connection, error) {
	c, ok := l.job.Connections[name]
	if !ok {
		return c, &flow.Error{Op: "open connection " + name, Kind: flow.Invalid, Err: errors.New("the job does not have it")}
	}
	v, err := l.resolve(ctx, map[string]any(c.Settings))
	if err != nil {
		return c, fmt.Errorf("connection %s: %w", name, err)
	}
	c.Settings, _ = v.(map[string]any)
	return c, nil
}

// resolve puts the values of references into texts, and makes whole numbers whole.
func (l *places) resolve(ctx context.Context, v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			r, err := l.resolve(ctx, x)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
		return out, nil
	case string:
		refs, _ := flow.SecretRefs(v)
		for _, r := range refs {
			secret, err := l.n.secret(ctx, r)
			if err != nil {
				return nil, err
			}
			v = strings.ReplaceAll(v, r.String(), secret)
		}
		return v, nil
	case float64:
		if n := int64(v); float64(n) == v {
			return n, nil
		}
	}
	return v, nil
}

// aws is what signs for a connection of type aws: the node's role, or the one that the
// connection has it assume.
func (l *places) aws(ctx context.Context, name string) (awsauth.Config, error) {
	if _, ok := l.job.Connections[name]; !ok {
		return l.n.aws(ctx)
	}
	c, err := l.settings(ctx, name)
	if err != nil {
		return awsauth.Config{}, err
	}
	var s awsauth.Settings
	if err := c.Settings.Into(&s); err != nil {
		return awsauth.Config{}, err
	}
	if s.Region == "" {
		s.Region = l.n.region()
	}
	if s.Endpoint == "" {
		s.Endpoint = l.n.lookup("AWS_ENDPOINT_URL")
	}
	return awsauth.Load(ctx, s)
}

// source opens a connection for reading.
func (l *places) source(ctx context.Context, name string) (any, error) {
	c, err := l.settings(ctx, name)
	if err != nil {
		return nil, err
	}
	switch c.Type {
	case rest.Connector.Name:
		var s rest.Settings
		if err := c.Settings.Into(&s); err != nil {
			return nil, err
		}
		return rest.New(s, rest.Options{AWS: l.aws})
	case snowflake.Connector.Name:
		var s snowflake.Settings
		if err := c.Settings.Into(&s); err != nil {
			return nil, err
		}
		return snowflake.New(s, snowflake.Options{Temp: l.temp})
	case postgres.Connector.Name:
		var s postgres.Settings
		if err := c.Settings.Into(&s); err != nil {
			return nil, err
		}
		return postgres.New(s)
	}
	return nil, l.unfit(name, c.Type, "read")
}

// sink opens the system that a connection loads into, or gives the open one.
func (l *places) sink(ctx context.Context, name string) (flow.Sink, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.sinks[name]; ok {
		return s, nil
	}
	c, err := l.settings(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.Type != opensearch.Connector.Name && c.Type != opensearch.Elasticsearch.Name {
		return nil, l.unfit(name, c.Type, "loaded into")
	}
	var s opensearch.Settings
	if err := c.Settings.Into(&s); err != nil {
		return nil, err
	}
	if s.CA != "" {
		s.CA = filepath.Join(l.temp, "project", s.CA)
	}
	var cfg *aws.Config
	if s.NeedsAWS() {
		own, err := l.n.aws(ctx)
		if err != nil {
			return nil, err
		}
		cfg = &own
	}
	sink, err := opensearch.New(s, cfg)
	if err != nil {
		return nil, err
	}
	l.sinks[name] = sink
	return sink, nil
}

func (l *places) unfit(name, kind, what string) error {
	return &flow.Error{Op: "open connection " + name, Kind: flow.Invalid, Err: fmt.Errorf("a node cannot have a %s %s", kind, what), Hint: "on: here works"}
}

func (l *places) close() error {
	var errs []error
	for _, s := range l.sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func read(ctx context.Context, l *places, uri string) (text []byte, err error) {
	b, name, err := l.Bucket(ctx, uri)
	if err != nil {
		return nil, err
	}
	in, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return io.ReadAll(in)
}

func write(ctx context.Context, l *places, uri string, text []byte) error {
	b, name, err := l.Bucket(ctx, uri)
	if err != nil {
		return err
	}
	return put(ctx, b, name, text)
}

func put(ctx context.Context, b flow.Bucket, name string, text []byte) error {
	w, err := b.Create(ctx, name, flow.Condition{})
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = w.Commit()
	return err
}

// redactor keeps secrets out of a log; a line is written whole.
type redactor struct {
	n *node
	w io.Writer
}

func (r *redactor) Write(p []byte) (int, error) {
	_, err := io.WriteString(r.w, r.n.redact(string(p)))
	return len(p), err
}
