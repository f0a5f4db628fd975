package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/pipeline"
)

// lookup resolves names at use, for one target. It is what tasks are given.
type lookup struct {
	a       *app
	t       *pipeline.Target
	journal journal

	mu      sync.Mutex
	buckets map[string]flow.Bucket
	sinks   map[string]flow.Sink
	apis    map[string]*rest.API
	root    *file.Bucket // of absolute paths
	project *file.Bucket
}

func (a *app) lookup(t *pipeline.Target, j journal) *lookup {
	return &lookup{a: a, t: t, journal: j, buckets: map[string]flow.Bucket{}, sinks: map[string]flow.Sink{}, apis: map[string]*rest.API{}, root: file.New("/"), project: file.New(a.project.Dir)}
}

// Text returns a text by its content hash.
func (l *lookup) Text(ctx context.Context, hash string) (string, error) {
	return l.journal.Text(ctx, hash)
}

// Bucket returns the bucket that holds a URI and the object's name in it.
func (l *lookup) Bucket(ctx context.Context, uri string) (flow.Bucket, string, error) {
	switch {
	case strings.HasPrefix(uri, "s3://"):
		bucket, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
		if bucket == "" {
			return nil, "", &flow.Error{Op: "open " + uri, Kind: flow.Invalid, Err: errors.New("it names no bucket"), Hint: "write s3://BUCKET/KEY"}
		}
		b, err := l.s3(ctx, bucket)
		return b, key, err
	case strings.HasPrefix(uri, "file://"):
		return l.root, strings.TrimPrefix(strings.TrimPrefix(uri, "file://"), "/"), nil
	case strings.Contains(uri, "://"):
		return nil, "", &flow.Error{Op: "open " + uri, Kind: flow.Invalid, Err: errors.New("this kind of URI holds no files"), Hint: "a path, file:// or s3:// is wanted"}
	case filepath.IsAbs(uri):
		return l.root, strings.TrimPrefix(uri, "/"), nil
	}
	clean := filepath.ToSlash(filepath.Clean(uri))
	if strings.HasSuffix(uri, "/") && clean != "." {
		clean += "/"
	}
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return l.root, strings.TrimPrefix(filepath.ToSlash(filepath.Join(l.a.project.Dir, uri)), "/"), nil
	}
	return l.project, clean, nil
}

// SlotAt is the time of a pipeline's run.
func (l *lookup) SlotAt(name, at string) (string, error) {
	op := "find the run of " + name + " at " + at
	pl, ok := l.a.project.Pipeline(name)
	if !ok {
		return "", &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("the project has no such pipeline")}
	}
	q := &asked{pl: pl}
	f := runFlags{date: at}
	if strings.ContainsAny(at, "T ") {
		f = runFlags{at: at}
	}
	if pl.Schedule == nil && f.at != "" { // midnight to midnight
		f = runFlags{date: at[:min(len(at), len("2006-01-02"))]}
	}
	if err := q.when(l.a.now(), f); err != nil {
		return "", &flow.Error{Op: op, Kind: flow.Invalid, Err: err, Hint: flow.HintOf(err)}
	}
	return flow.TimeName(q.fire.Time), nil
}

// connection finds a connection, the target's before the project's.
func (l *lookup) connection(name string) (pipeline.Connection, bool) {
	if c, ok := l.t.Connections.Get(name); ok {
		return c, true
	}
	return l.a.project.Connections.Get(name)
}

// onCluster gives a connection as a node of a cluster is told it, with references for its
// secrets. Of an aws connection a node needs where, and the role to assume: it has keys of its own.
func (l *lookup) onCluster(name string) (node.Connection, error) {
	c, ok := l.connection(name)
	if !ok {
		return node.Connection{}, usage("unknown connection %q", name)
	}
	if c.Type == awsauth.Connector.Name {
		c.Keys = slices.DeleteFunc(slices.Clone(c.Keys), func(e pipeline.Entry[pipeline.Any]) bool {
			return !slices.Contains([]string{"region", "role_arn", "external_id", "endpoint"}, e.Key)
		})
	}
	settings, faults := c.OnCluster(name, connectors())
	if err := faults.Err(); err != nil {
		return node.Connection{}, &flow.Error{Op: "hand connection " + name + " to a cluster", Kind: flow.Invalid, Err: err}
	}
	return node.Connection{Type: c.Type, Settings: settings}, nil
}

// s3 opens a bucket: through a connection of type s3 that names it, else the target's aws.
func (l *lookup) s3(ctx context.Context, bucket string) (flow.Bucket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[bucket]; ok {
		return b, nil
	}
	aws := l.t.AWS.Value
	for _, m := range []pipeline.Map[pipeline.Connection]{l.t.Connections, l.a.project.Connections} {
		for _, e := range m {
			name, _ := e.Value.Keys.Get("bucket")
			if text, ok := name.Constant(); ok && e.Value.Type == "s3" && text == bucket {
				if via, ok := e.Value.Keys.Get("aws"); ok {
					v, _ := via.Constant()
					aws = fmt.Sprint(v)
				}
			}
		}
	}
	cfg, err := l.aws(ctx, aws)
	if err != nil {
		return nil, err
	}
	o := s3.Options{}
	if l.t.Store != nil && l.t.Store.KMSKey != "" && strings.HasPrefix(l.t.Store.URL, "s3://"+bucket) {
		o.KMSKey = l.t.Store.KMSKey
	}
	b := s3.New(cfg, bucket, o)
	l.buckets[bucket] = b
	return b, nil
}

// aws resolves an aws connection; an empty name is the SDK's own chain with the target's
// region and endpoint.
func (l *lookup) aws(ctx context.Context, name string) (awsauth.Config, error) {
	var s awsauth.Settings
	if name != "" {
		c, ok := l.connection(name)
		if !ok {
			return awsauth.Config{}, usage("unknown connection %q", name)
		}
		settings, err := l.settings(ctx, name, c)
		if err != nil {
			return awsauth.Config{}, err
		}
		if err := settings.Into(&s); err != nil {
			return awsauth.Config{}, usage("connection %s: %s", name, err)
		}
	}
	if l.t.Region != "" && s.Region == "" {
		s.Region = l.t.Region
	}
	if l.t.Endpoint != "" {
		s.Endpoint = l.t.Endpoint
	}
	if s.Endpoint == "" {
		s.Endpoint = os.Getenv("AWS_ENDPOINT_URL")
	}
	return awsauth.Load(ctx, s)
}

// settings resolves a connection's keys, its secrets among them.
func (l *lookup) settings(ctx context.Context, name string, c pipeline.Connection) (flow.Settings, error) {
	var def flow.Connector
	for _, k := range connectors() {
		if k.Name == c.Type {
			def = k
		}
	}
	via := l.t.AWS.Value
	if c.Type == awsauth.Connector.Name {
		via = "" // what signs cannot be read with its own signature
	}
	out, err := l.resolveKeys(ctx, via, c.Keys, def.Keys)
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", name, err)
	}
	return out, nil
}

func (l *lookup) resolveKeys(ctx context.Context, via string, m pipeline.Map[pipeline.Any], keys []flow.Key) (map[string]any, error) {
	secret := map[string]bool{}
	below := map[string][]flow.Key{}
	for _, k := range keys {
		secret[k.Name], below[k.Name] = k.Secret, k.Keys
	}
	out := map[string]any{}
	for _, e := range m {
		if sub, ok := e.Value.Value.(pipeline.Map[pipeline.Any]); ok {
			v, err := l.resolveKeys(ctx, via, sub, below[e.Key])
			if err != nil {
				return nil, err
			}
			out[e.Key] = v
			continue
		}
		v, ok := e.Value.Constant()
		if !ok {
			return nil, usage("%s: key %s: a template cannot stand in a connection", e.Pos, e.Key)
		}
		if text, isText := v.(string); isText {
			var err error
			if v, err = l.resolve(ctx, via, text); err != nil {
				return nil, fmt.Errorf("key %s: %w", e.Key, err)
			}
		}
		if secret[e.Key] {
			l.a.addSecret(fmt.Sprint(v))
		}
		out[e.Key] = v
	}
	return out, nil
}

// resolve puts the values of ${…} into a text. Each is a secret. AWS's stores are asked
// through the aws connection via.
func (l *lookup) resolve(ctx context.Context, via, text string) (string, error) {
	refs, _ := flow.SecretRefs(text)
	for _, r := range refs {
		v, err := l.secret(ctx, via, r)
		if err != nil {
			return "", err
		}
		l.a.addSecret(v)
		text = strings.ReplaceAll(text, r.String(), v)
	}
	return text, nil
}

// environment puts the values of ${…} into a variable of a program.
func (l *lookup) environment(ctx context.Context, text string) (string, error) {
	return l.resolve(ctx, l.t.AWS.Value, text)
}

func (l *lookup) secret(ctx context.Context, via string, r flow.SecretRef) (string, error) {
	if !r.OnCluster() {
		return ownSecret(r)
	}
	cfg, err := l.aws(ctx, via)
	if err != nil {
		return "", err
	}
	return awsauth.Secret(ctx, cfg, r)
}

// ownSecret reads a secret of this machine.
func ownSecret(r flow.SecretRef) (string, error) {
	op := "read " + r.String()
	switch r.Store {
	case "env":
		if v, ok := os.LookupEnv(r.Name); ok {
			return v, nil
		}
		return "", &flow.Error{Op: op, Kind: flow.NotFound, Err: errors.New("the environment does not have it"), Hint: "export " + r.Name + "=… before you start tidemill"}
	case "file":
		name := r.Name
		if rest, ok := strings.CutPrefix(name, "~/"); ok {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", &flow.Error{Op: op, Kind: flow.NotFound, Err: err}
			}
			name = filepath.Join(home, rest)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return "", &flow.Error{Op: op, Kind: flow.NotFound, Err: errors.Unwrap(err)}
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	return "", &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("it is no secret of this machine")}
}

// overrideConnections reads TIDEMILL_CONN_NAME and AIRFLOW_CONN_NAME.
func (a *app) overrideConnections() error {
	for _, kv := range os.Environ() {
		key, v, _ := strings.Cut(kv, "=")
		name, ours := strings.CutPrefix(key, "TIDEMILL_CONN_")
		if !ours {
			var theirs bool
			if name, theirs = strings.CutPrefix(key, "AIRFLOW_CONN_"); !theirs {
				continue
			}
		}
		name = strings.ToLower(name)
		c, err := connectionFromEnv(v)
		if err != nil {
			return usage("%s: %s", key, err)
		}
		if old, ok := a.project.Connections.Get(name); ok && c.Type == "" {
			c.Type = old.Type
		}
		set := false
		for i := range a.project.Connections {
			if strings.EqualFold(a.project.Connections[i].Key, name) {
				a.project.Connections[i].Value, set = c, true
			}
		}
		if !set {
			a.project.Connections = append(a.project.Connections, pipeline.Entry[pipeline.Connection]{Key: name, Value: c})
		}
		for _, e := range c.Keys {
			if s, ok := e.Value.Constant(); ok && (strings.Contains(e.Key, "secret") || strings.Contains(e.Key, "password") || strings.Contains(e.Key, "token") || strings.Contains(e.Key, "key")) {
				a.addSecret(fmt.Sprint(s))
			}
		}
	}
	return nil
}

// connectionFromEnv reads a connection in one line: YAML like in the file, or Airflow's URL
// or JSON.
func connectionFromEnv(text string) (pipeline.Connection, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return connectionFromURL(text)
	}
	v, ok := scalar(text).(map[string]any)
	if !ok {
		return pipeline.Connection{}, errors.New("it is neither a URL nor a mapping")
	}
	c := pipeline.Connection{}
	if t, ok := v["conn_type"].(string); ok {
		return airflow(t, str(v["login"]), str(v["password"]), str(v["host"]), extra(v["extra"])), nil
	}
	for k, x := range v {
		if k == "type" {
			c.Type = str(x)
			continue
		}
		c.Keys = append(c.Keys, pipeline.Entry[pipeline.Any]{Key: k, Value: constant(x)})
	}
	return c, nil
}

func constant(v any) pipeline.Any {
	if s, ok := v.(string); ok {
		return pipeline.Any{Value: pipeline.Text(s)}
	}
	if m, ok := v.(map[string]any); ok {
		out := pipeline.Map[pipeline.Any]{}
		for _, k := range sortedKeys(m) {
			out = append(out, pipeline.Entry[pipeline.Any]{Key: k, Value: constant(m[k])})
		}
		return pipeline.Any{Value: out}
	}
	return pipeline.Any{Value: v}
}

func str(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func extra(v any) map[string]any {
	if s, ok := v.(string); ok {
		v = scalar(s)
	}
	m, _ := v.(map[string]any)
	return m
}

func connectionFromURL(text string) (pipeline.Connection, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return pipeline.Connection{}, errors.New("it is neither a URL nor a mapping")
	}
	x := map[string]any{}
	for k := range u.Query() {
		x[k] = u.Query().Get(k)
	}
	password, _ := u.User.Password()
	return airflow(u.Scheme, u.User.Username(), password, u.Hostname(), x), nil
}

// airflow translates a connection of Airflow's.
func airflow(kind, login, password, host string, extra map[string]any) pipeline.Connection {
	c := pipeline.Connection{Type: kind}
	add := func(key, v string) {
		if v != "" {
			c.Keys = append(c.Keys, pipeline.Entry[pipeline.Any]{Key: key, Value: constant(v)})
		}
	}
	switch kind {
	case "aws":
		add("access_key", login)
		add("secret_key", password)
		for from, to := range map[string]string{"region_name": "region", "role_arn": "role_arn", "external_id": "external_id", "profile_name": "profile", "endpoint_url": "endpoint", "aws_session_token": "session_token"} {
			add(to, str(extra[from]))
		}
	case "snowflake":
		add("user", login)
		add("password", password)
		for _, k := range []string{"account", "warehouse", "database", "role"} {
			add(k, str(extra[k]))
		}
	default:
		add("user", login)
		add("password", password)
		if host != "" {
			add("url", host)
		}
	}
	return c
}

// store is where a target's datasets lie.
func (l *lookup) store(ctx context.Context) (dataset.Store, error) {
	dir, err := l.a.stateDir()
	if err != nil {
		return dataset.Store{}, err
	}
	uri := dir
	if l.t.Store != nil {
		uri = strings.TrimSuffix(l.t.Store.URL, "/")
		if !strings.Contains(uri, "://") && !filepath.IsAbs(uri) {
			uri = filepath.Join(l.a.project.Dir, uri)
		}
	}
	b, prefix, err := l.Bucket(ctx, uri)
	if err != nil {
		return dataset.Store{}, err
	}
	if l.t.Store == nil || !strings.Contains(uri, "://") {
		// A folder's own bucket: names in it are short, whatever lies above.
		b, prefix = file.New(uri), ""
	}
	return dataset.Store{Bucket: b, Prefix: prefix, URI: uri}, nil
}
