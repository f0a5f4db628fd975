// Package snowflake reads Snowflake in Arrow batches, with every digit and a bounded number
// of batches in flight, or by way of an unload to files.
package snowflake

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	sf "github.com/snowflakedb/gosnowflake"

	"github.com/tidemill/tidemill/internal/flow"
)

// Settings are the keys of a connection of type snowflake.
type Settings struct {
	Account       string      `key:"account" req:"1" doc:"The account's identifier, as in myorg-account123."`
	User          string      `key:"user" doc:"The user."`
	PrivateKey    flow.Secret `key:"private_key" doc:"The private key of a key pair: PEM, PKCS 8 or PKCS 1, not encrypted."`
	Password      flow.Secret `key:"password" doc:"The password."`
	Token         flow.Secret `key:"token" doc:"A programmatic access token, or an OAuth token."`
	Authenticator string      `key:"authenticator" enum:"snowflake_jwt|snowflake|oauth|programmatic_access_token" def:"by what is given; of a token programmatic_access_token" doc:"How to log in."`
	Role          string      `key:"role" doc:"The role."`
	Warehouse     string      `key:"warehouse" doc:"The warehouse."`
	Database      string      `key:"database" doc:"The database."`
	Schema        string      `key:"schema" doc:"The schema."`
	URL           string      `key:"url" def:"https://ACCOUNT.snowflakecomputing.com" doc:"Where the account is served, where that is not the usual place: a private link."`
}

// Connector describes connections of type snowflake.
var Connector = flow.Define[Settings]("snowflake", "Snowflake, asked in its own SQL.", flow.UseSource)

// Every call has an end: the driver repeats what fails, also what can never succeed.
const (
	loginPatience   = time.Minute
	requestPatience = time.Minute
	roundTrip       = 10 * time.Minute // of one request with its body: a chunk of a result
	mostRetries     = 5
)

// inFlight is how many chunks of a result are read at a time, each a few batches ahead of
// its consumer.
const inFlight = 4

// Options are what a connection needs beside its settings.
type Options struct {
	Temp      string            // scratch folder of unloads; empty: the system's
	Transport http.RoundTripper // nil: the driver's own
}

// Source is an account of Snowflake. It logs in when it is first asked.
type Source struct {
	settings Settings
	options  Options
	db       *sql.DB
}

// New makes a source of a connection's settings. It calls nobody.
func New(s Settings, o Options) (*Source, error) {
	cfg, err := config(s)
	if err != nil {
		return nil, err
	}
	// The driver's own log writes to standard error; what there is to say is in errors.
	if err := sf.GetLogger().SetLogLevel("off"); err != nil {
		return nil, err
	}
	cfg.Transporter = o.Transport
	cfg.TmpDirPath = o.Temp
	return &Source{settings: s, options: o, db: sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, *cfg))}, nil
}

func config(s Settings) (*sf.Config, error) {
	fault := func(text, hint string) (*sf.Config, error) {
		return nil, &flow.Error{Op: "configure snowflake", Kind: flow.Invalid, Err: errors.New(text), Hint: hint}
	}
	cfg := &sf.Config{Account: s.Account, User: s.User, Role: s.Role, Warehouse: s.Warehouse, Database: s.Database, Schema: s.Schema,
		Application: "Tidemill", LoginTimeout: loginPatience, RequestTimeout: requestPatience, ClientTimeout: roundTrip, MaxRetryCount: mostRetries,
		DisableTelemetry: true, Tracing: "off", DisableConsoleLogin: sf.ConfigBoolTrue, Params: map[string]*string{}}
	if s.URL != "" {
		u, err := url.Parse(s.URL)
		if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fault("its url is no address", "write it like https://acme.eu-central-1.privatelink.snowflakecomputing.com")
		}
		cfg.Protocol, cfg.Host = u.Scheme, u.Hostname()
		cfg.Port = map[string]int{"https": 443, "http": 80}[u.Scheme]
		if p := u.Port(); p != "" {
			if cfg.Port, err = strconv.Atoi(p); err != nil {
				return fault("its url has no port", "")
			}
		}
	}
	how := strings.ToLower(s.Authenticator)
	switch {
	case how == "externalbrowser" || how == "oauth_authorization_code" || how == "username_password_mfa" || strings.HasPrefix(how, "https://"):
		return fault("authenticator "+how+" asks a person", "give the service user a key pair (private_key) or a programmatic access token (token)")
	case how != "":
	case !s.PrivateKey.IsZero():
		how = "snowflake_jwt"
	case !s.Token.IsZero():
		how = "programmatic_access_token"
	case !s.Password.IsZero():
		how = "snowflake"
	default:
		return fault("it has no credentials", "give private_key, token or password")
	}
	if s.User == "" && how != "oauth" {
		return fault("key user is missing", "")
	}
	switch how {
	case "snowflake_jwt":
		key, err := privateKey(s.PrivateKey)
		if err != nil {
			return fault(err.Error(), "make one with: openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out key.p8")
		}
		cfg.Authenticator, cfg.PrivateKey = sf.AuthTypeJwt, key
	case "oauth":
		cfg.Authenticator, cfg.Token = sf.AuthTypeOAuth, s.Token.Reveal()
	case "programmatic_access_token":
		cfg.Authenticator, cfg.Token = sf.AuthTypePat, s.Token.Reveal()
	case "snowflake":
		cfg.Authenticator, cfg.Password = sf.AuthTypeSnowflake, s.Password.Reveal()
	default:
		return fault("authenticator "+how+" is not known", "one of snowflake_jwt, snowflake, oauth, programmatic_access_token")
	}
	if (how == "oauth" || how == "programmatic_access_token") && s.Token.IsZero() {
		return fault("authenticator "+how+" needs a token", "")
	}
	return cfg, nil
}

func privateKey(s flow.Secret) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(s.Reveal()))
	if block == nil {
		return nil, errors.New("private_key is no PEM text")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("private_key is encrypted")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("private_key is no private key")
	}
	key, ok := any.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("private_key is no RSA key")
	}
	return key, nil
}

// Close ends the session.
func (s *Source) Close() error { return s.db.Close() }

// Test asks Snowflake who we are.
func (s *Source) Test(ctx context.Context) (string, error) {
	var user, role, version sql.NullString
	err := s.db.QueryRowContext(ctx, "select current_user(), current_role(), current_version()").Scan(&user, &role, &version)
	if err != nil {
		return "", s.fault(ctx, "log in to "+s.settings.Account, err)
	}
	return fmt.Sprintf("it is user %s with role %s, Snowflake %s", orNone(user), orNone(role), orNone(version)), nil
}

func orNone(s sql.NullString) string {
	if s.String == "" {
		return "none"
	}
	return s.String
}

// Read runs the query and yields its result: see flow.Source.
func (s *Source) Read(ctx context.Context, q flow.Query) (*arrow.Schema, iter.Seq2[flow.Batch, error], error) {
	args, err := sqlArgs(q)
	if err != nil {
		return nil, nil, err
	}
	if q.Run != "" {
		ctx = sf.WithQueryTag(ctx, fmt.Sprintf(`{"tool":"tidemill","run":%q}`, q.Run))
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, nil, s.fault(ctx, "log in to "+s.settings.Account, err)
	}
	r := &reading{s: s, conn: conn, q: q, ctx: ctx}
	if err := r.ask(); err != nil {
		return nil, nil, errors.Join(s.fault(ctx, "ask "+s.settings.Account, err), conn.Close())
	}
	if args.Unload {
		return r.schema, r.unloaded(), nil
	}
	return r.schema, r.batches(), nil
}

// reading is one query.
type reading struct {
	s      *Source
	conn   *sql.Conn
	q      flow.Query
	ctx    context.Context // of the reading
	loader sf.ArrowStreamLoader
	id     string // of the query at Snowflake
	fields []field
	schema *arrow.Schema
}

// driverConn is what the driver's connection can do beyond database/sql.
type driverConn interface {
	QueryArrowStream(ctx context.Context, query string, bindings ...driver.NamedValue) (sf.ArrowStreamLoader, error)
	GetQueryStatus(ctx context.Context, id string) (*sf.SnowflakeQueryStatus, error)
}

// raw calls the driver beneath database/sql.
func (r *reading) raw(do func(driverConn) error) error {
	return r.conn.Raw(func(c any) error {
		sc, ok := c.(driverConn)
		if !ok {
			return errors.New("the driver has no Arrow batches")
		}
		return do(sc)
	})
}

// ask runs the query, or finds again what an earlier attempt of the run began.
func (r *reading) ask() error {
	text := r.q.Bind(func(int) string { return "?" })
	bind := make([]driver.NamedValue, len(r.q.Values))
	for i, v := range r.q.Values {
		bind[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return r.raw(func(c driverConn) error {
		if id := string(r.q.Token); id != "" && r.done(c, id) {
			r.id = id
			r.log("query %s was begun by an earlier attempt: its result is read", id)
			text, bind = "select * from table(result_scan('"+strings.ReplaceAll(id, "'", "")+"'))", nil
		}
		ids, over, told := make(chan string, 1), make(chan struct{}), make(chan struct{})
		go func() { // the id is known long before the result
			defer close(told)
			select {
			case id := <-ids:
				r.began(id)
			case <-over:
				select {
				case id := <-ids:
					r.began(id)
				default:
				}
			}
		}()
		var err error
		r.loader, err = c.QueryArrowStream(sf.WithQueryIDChan(r.ctx, ids), text, bind...)
		close(over)
		<-told
		if err != nil {
			return err
		}
		r.fields = make([]field, len(r.loader.RowTypes()))
		for i, t := range r.loader.RowTypes() {
			r.fields[i] = fieldOf(t.Name, t.Type, t.Precision, t.Scale, t.Nullable)
		}
		r.schema = schemaOf(r.fields)
		return nil
	})
}

// began keeps the id of a query. That of a query that only reads the result of another is
// nobody's business.
func (r *reading) began(id string) {
	if r.id != "" || id == "" {
		return
	}
	r.id = id
	r.log("query %s", id)
	if r.q.Begun != nil {
		r.q.Begun(flow.Token(id))
	}
}

// done waits until a query that is at work has ended, and tells whether it has a result.
func (r *reading) done(c driverConn, id string) bool {
	for {
		status, err := c.GetQueryStatus(r.ctx, id)
		if err == nil {
			return status.ErrorCode == ""
		}
		var e *sf.SnowflakeError
		if !errors.As(err, &e) || e.Number != sf.ErrQueryIsRunning {
			return false
		}
		t := time.NewTimer(2 * time.Second)
		select {
		case <-t.C:
		case <-r.ctx.Done():
			t.Stop()
			return false
		}
	}
}

func (r *reading) log(format string, args ...any) {
	if r.q.Log != nil {
		fmt.Fprintf(r.q.Log, "snowflake: "+format+"\n", args...) //nolint:errcheck // a log
	}
}

func (r *reading) fault(err error) error {
	return r.s.fault(r.ctx, "read query "+r.id, err)
}

// chunk is a part of a result that is being read.
type chunk struct {
	batches chan flow.Batch
	err     error // set before batches is closed
}

// batches yields the result's chunks in order, several of which are read at a time.
func (r *reading) batches() iter.Seq2[flow.Batch, error] {
	return func(yield func(flow.Batch, error) bool) {
		defer r.conn.Close() //nolint:errcheck // back to the pool
		if rows := r.loader.JSONData(); len(rows) > 0 {
			r.fromJSON(rows, yield)
			return
		}
		parts, err := r.loader.GetBatches()
		if err != nil {
			yield(nil, r.fault(err))
			return
		}
		ctx, cancel := context.WithCancel(r.ctx)
		chunks := make(chan *chunk, inFlight-1)
		var all sync.WaitGroup
		defer all.Wait()
		defer drain(chunks)
		defer cancel()
		all.Go(func() { r.start(ctx, parts, chunks, &all) })
		rows := int64(0)
		for c := range chunks {
			for b := range c.batches {
				rows += b.NumRows()
				if !yield(b, nil) {
					return
				}
			}
			if c.err != nil {
				yield(nil, r.fault(c.err))
				return
			}
		}
		if err := r.ctx.Err(); err != nil {
			yield(nil, r.fault(err))
		} else if rows != r.loader.TotalRows() {
			yield(nil, &flow.Error{Op: "read query " + r.id, Kind: flow.Transient, Err: fmt.Errorf("%d rows came, the result has %d", rows, r.loader.TotalRows())})
		}
	}
}

func drain(chunks chan *chunk) {
	for c := range chunks {
		for b := range c.batches {
			b.Release()
		}
	}
}

// start begins to read the chunks, in order, as far ahead as there is room for.
func (r *reading) start(ctx context.Context, parts []sf.ArrowStreamBatch, chunks chan<- *chunk, all *sync.WaitGroup) {
	defer close(chunks)
	for i := range parts {
		c := &chunk{batches: make(chan flow.Batch, 2)}
		select {
		case chunks <- c:
		case <-ctx.Done():
			return
		}
		all.Go(func() {
			defer close(c.batches)
			c.err = r.readChunk(ctx, parts[i], c.batches)
		})
	}
}

// sqlState classes and numbers of Snowflake's errors, by what they mean for a retry.
var kinds = map[int]flow.Kind{
	390100: flow.Denied, 390101: flow.Denied, 390144: flow.Denied, 390186: flow.Denied, 390189: flow.Denied, 390195: flow.Denied, 390201: flow.Denied, 390303: flow.Denied, 390318: flow.Denied, 394400: flow.Denied,
	390111: flow.Transient, 390112: flow.Transient, 390113: flow.Transient, 390114: flow.Transient, 390115: flow.Transient,
	604: flow.Canceled, 630: flow.Timeout, 606: flow.Invalid, 2003: flow.NotFound, 2043: flow.NotFound, 3001: flow.Denied,
	sf.ErrFailedToGetChunk: flow.Transient, sf.ErrFailedToPostQuery: flow.Transient, sf.ErrCodeServiceUnavailable: flow.Transient, sf.ErrCodeFailedToConnect: flow.Transient,
	sf.ErrFailedToAuth: flow.Transient, sf.ErrFailedToRenewSession: flow.Transient, sf.ErrFailedToCancelQuery: flow.Transient,
}

// fault wraps an error of the driver's once.
func (s *Source) fault(ctx context.Context, op string, err error) error {
	var known *flow.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return &flow.Error{Op: op, Kind: flow.KindOf(ctx.Err()), Err: context.Cause(ctx)}
	}
	e := &flow.Error{Op: op, Kind: flow.Transient, Err: err}
	var f *sf.SnowflakeError
	if errors.As(err, &f) {
		text := f.Message
		if len(f.MessageArgs) > 0 {
			text = fmt.Sprintf(f.Message, f.MessageArgs...)
		}
		e.Err = fmt.Errorf("%06d: %s", f.Number, strings.Join(strings.Fields(text), " "))
		e.Kind = flow.Invalid
		if k, ok := kinds[f.Number]; ok {
			e.Kind = k
		} else if f.Number >= 390000 && f.Number < 400000 {
			e.Kind = flow.Denied
		}
		switch {
		case f.Number == 606:
			e.Hint = "give the connection a warehouse that its role may use"
		case e.Kind == flow.Denied:
			e.Hint = "check user, credentials and role; tidemill conn test tells who Snowflake takes us for"
		case f.Number == 2003:
			e.Hint = "check the name, the connection's database and schema, and what its role may see"
		}
	}
	var u *url.Error
	if errors.As(err, &u) {
		e.Err = u.Err
	}
	return e
}

// Kind tells what an error means for a retry.
func (*Source) Kind(err error) flow.Kind { return flow.KindOf(err) }
