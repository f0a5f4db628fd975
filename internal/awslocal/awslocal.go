// Package awslocal is AWS on localhost: one port that answers as S3, EMR, STS, Secrets Manager
// and Systems Manager's parameters do, for any client of theirs. What a request is for is told
// by the service in its signature.
//
// Any access key is accepted. The signature is checked for the key "test" in us-east-1,
// whose secret is "test"; requests of other keys or regions are taken as they are.
package awslocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pkg/xattr"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
	"github.com/tidemill/tidemill/internal/awslocal/emr"
	"github.com/tidemill/tidemill/internal/flow"
)

// Key is the access key, and its secret, whose signatures are checked.
const Key = "test"

// DefaultAddr is where Serve listens unless told otherwise.
const DefaultAddr = "127.0.0.1:4566"

const (
	region  = "us-east-1"
	account = "000000000000"
	// farewell is how long requests may go on after the end was asked for.
	farewell = 5 * time.Second
)

// Config says what Serve serves.
type Config struct {
	Addr   string                                                        // host:port on this machine; default DefaultAddr; port 0 takes a free one
	Dir    string                                                        // where the state lies; it survives a restart
	Memory bool                                                          // keep the state in a temporary folder that is removed at the end
	Now    func() time.Time                                              // the time that answers tell; nil: the machine's
	Clock  time.Duration                                                 // how far the time is ahead of Now at first; POST /_tidemill/clock moves it
	Pace   string                                                        // how fast clusters change, one of emr.Paces; empty: the first
	Path   string                                                        // PATH of the programs that are steps of clusters
	Faults *emr.Faults                                                   // what goes wrong with clusters; nil: nothing
	Spark  func(ctx context.Context, version string) (*emr.Spark, error) // finds the Spark of steps
	// Changed is told of every change of a cluster's or step's state, Called of every call that
	// was answered; from several goroutines. Nil: nobody is.
	Changed func(emr.Event)
	Called  func(Called)
	Log     *slog.Logger     // nil: nothing is logged
	Ready   func(url string) // called once it answers
}

// Called is a call that was answered.
type Called struct {
	Time    time.Time
	Service string // as signatures name it: s3, elasticmapreduce
	What    string // the operation, or of services without: PUT /bucket/key
	Status  int    // of HTTP; 0: the connection was cut
}

// Serve serves until ctx ends, which is no error.
func Serve(ctx context.Context, c Config) (err error) {
	if c.Addr == "" {
		c.Addr = DefaultAddr
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := loopbackOnly(c.Addr); err != nil {
		return err
	}
	dir, release, err := state(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return inUse(c.Addr, err)
	}
	defer l.Close() //nolint:errcheck // the server closes it too
	s3, err := startS3(ctx, filepath.Join(dir, "s3"))
	if err != nil {
		return err
	}
	defer s3.stop()
	at := "http://" + l.Addr().String()
	clock := &clock{base: c.Now, ahead: c.Clock, moved: make(chan struct{}, 1)}
	secrets, err := openSecrets(filepath.Join(dir, "secrets"), clock.now)
	if err != nil {
		return err
	}
	clusters, err := emr.New(emr.Config{
		Dir: filepath.Join(dir, "emr"), Pace: c.Pace, Now: clock.now, Wake: clock.moved, Files: s3, Endpoint: at, Path: c.Path, Spark: c.Spark, Faults: c.Faults, Changed: c.Changed, Log: c.Log,
	})
	if err != nil {
		return err
	}
	services := map[string]http.Handler{
		"s3": s3, "sts": &sts{now: clock.now}, "elasticmapreduce": awsjson.Service(clusters.Serve),
		"secretsmanager": awsjson.Service(secrets.manager), "ssm": awsjson.Service(secrets.parameters), "_tidemill": own(s3, clock),
	}
	work, end := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- clusters.Run(work) }()
	defer func() { end(); err = errors.Join(err, <-worked) }()
	server := &http.Server{
		Handler:           guard(&front{services: services, log: c.Log, called: c.Called, now: clock.now}),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	c.Log.Info("aws on localhost", "url", at, "dir", dir)
	if c.Ready != nil {
		c.Ready(at)
	}
	select {
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		if server.Shutdown(end) != nil {
			return server.Close()
		}
		return nil
	case err := <-failed:
		return &flow.Error{Op: "serve " + at, Err: err}
	case <-s3.exited:
		return errors.Join(&flow.Error{Op: "serve S3", Err: errors.New("its process ended: " + s3.said.String())}, server.Close())
	}
}

// loopbackOnly refuses addresses that other machines reach: the keys that are accepted are
// known to everybody.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return &flow.Error{Op: "listen on " + addr, Kind: flow.Invalid, Err: err, Hint: "write HOST:PORT, such as " + DefaultAddr}
	}
	if !loopbackHost(host) {
		return &flow.Error{Op: "listen on " + addr, Kind: flow.Invalid, Err: errors.New("it can be reached from other machines"), Hint: "listen on 127.0.0.1 and forward a port with ssh -L where others are to reach it"}
	}
	return nil
}

func loopbackHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func inUse(addr string, err error) error {
	e := &flow.Error{Op: "listen on " + addr, Err: err}
	if errors.Is(err, syscall.EADDRINUSE) {
		e.Kind, e.Err, e.Hint = flow.Conflict, errors.New("another program listens there"), "end it, or choose another port"
	}
	return e
}

// state makes and locks the folder of the state.
func state(c Config) (dir string, release func() error, err error) {
	dir = c.Dir
	if c.Memory {
		if dir, err = os.MkdirTemp("", "tidemill-local-"); err != nil {
			return "", nil, &flow.Error{Op: "make a temporary folder", Err: err}
		}
		if err := supportsXattr(dir); err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(dir))
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	}
	fault := func(err error) error { return &flow.Error{Op: "use the folder " + dir, Err: err} }
	if dir == "" {
		return "", nil, &flow.Error{Op: "start aws on localhost", Kind: flow.Invalid, Err: errors.New("no folder is given")}
	}
	if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", nil, fault(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fault(err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = &flow.Error{Op: "use the folder " + dir, Kind: flow.Conflict, Err: errors.New("another process serves it"), Hint: "end that one, or choose another folder"}
	} else if err == nil {
		err = supportsXattr(dir)
	}
	if err != nil {
		return "", nil, errors.Join(err, f.Close())
	}
	return dir, f.Close, nil
}

// supportsXattr tries what S3's metadata is kept in.
func supportsXattr(dir string) error {
	f, err := os.CreateTemp(dir, ".try-*")
	if err == nil {
		err = errors.Join(xattr.FSet(f, "user.try", []byte("1")), f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return &flow.Error{Op: "use the folder " + dir, Kind: flow.Invalid, Err: err, Hint: "its file system must know extended attributes: choose a folder on a local disk"}
	}
	return nil
}

// guard keeps web pages of others out: neither a page's script nor a name that was made to
// point here reaches the services.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		from := r.Header.Get("Origin")
		u, err := url.Parse(from)
		if !loopbackHost(host) || from != "" && (err != nil || !loopbackHost(u.Hostname())) {
			http.Error(w, "requests come from this machine only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// front tells services apart.
type front struct {
	services map[string]http.Handler
	log      *slog.Logger
	called   func(Called)
	now      func() time.Time
}

// heard is a response whose status is remembered.
type heard struct {
	http.ResponseWriter
	status int
}

// WriteHeader writes the headers.
func (h *heard) WriteHeader(status int) {
	if h.status == 0 || h.status < http.StatusOK {
		h.status = status
	}
	h.ResponseWriter.WriteHeader(status)
}

// Write writes a piece of the body.
func (h *heard) Write(p []byte) (int, error) {
	if h.status == 0 {
		h.status = http.StatusOK
	}
	return h.ResponseWriter.Write(p)
}

// Unwrap lets a response be flushed.
func (h *heard) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// what names a call: by its operation, where the protocol has one.
func what(r *http.Request) string {
	if _, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return op
	}
	if r.Form.Has("Action") {
		return r.Form.Get("Action")
	}
	return r.Method + " " + r.URL.Path
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := service(r)
	f.log.Debug("request", "service", name, "method", r.Method, "path", r.URL.Path)
	if f.called != nil {
		h := &heard{ResponseWriter: w}
		w = h
		defer func() { f.called(Called{Time: f.now(), Service: name, What: what(r), Status: h.status}) }()
	}
	if s, ok := f.services[name]; ok {
		s.ServeHTTP(w, r)
		return
	}
	notBuilt(w, r, name)
}

// service tells which service a request is for: by the scope of its signature, else by the
// target of the JSON protocols, else by the form of the query protocol; what is left is S3.
func service(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/_tidemill/") {
		return "_tidemill" // no bucket has such a name
	}
	if s := credential(r); s.service != "" {
		return s.service
	}
	if target, _, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		switch target {
		case "ElasticMapReduce":
			return "elasticmapreduce"
		case "AWSStepFunctions":
			return "states"
		case "AmazonSSM":
			return "ssm"
		}
		return strings.ToLower(target)
	}
	if r.Method == http.MethodPost && r.URL.Path == "/" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return "sts"
	}
	return "s3"
}

// scope is what a signature says about its key.
type scope struct{ key, region, service string }

// credential reads the scope from the Authorization header or a presigned URL.
func credential(r *http.Request) scope {
	text := ""
	if _, rest, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		text, _, _ = strings.Cut(rest, ",")
	} else {
		text = r.URL.Query().Get("X-Amz-Credential")
	}
	parts := strings.Split(strings.TrimSpace(text), "/")
	if n := len(parts); n >= 5 {
		return scope{strings.Join(parts[:n-4], "/"), parts[n-3], parts[n-2]}
	}
	return scope{}
}

// notBuilt is the answer for services that are not here, in the shape that their clients read.
func notBuilt(w http.ResponseWriter, r *http.Request, name string) {
	text := fmt.Sprintf("%s is not built into aws on localhost yet", name)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		queryError(w, http.StatusBadRequest, "InvalidAction", text)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Errortype", "UnknownOperationException")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":"UnknownOperationException","message":%q,"Message":%q}`, text, text) //nolint:errcheck // the client has gone
}
