// Package emr is Amazon EMR on this machine: its API, the states of its clusters and steps,
// and their work, which really runs: bootstrap actions and steps are processes here.
package emr

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
	"github.com/tidemill/tidemill/internal/flow"
)

// Files is S3 as the work of clusters sees it.
type Files interface {
	Root() string                              // of the folder with a folder for each bucket
	Buckets() (names []string, err error)      // their names
	Open(bucket, key string) (*os.File, error) // an object
	Put(bucket, key, file string) error        // moves a file there
	Tag(bucket string) error                   // makes ETags of what was written into a bucket's folder
}

// Config says how the service does its work.
type Config struct {
	Dir      string           // where the state lies
	Pace     string           // one of Paces; empty: the first
	Now      func() time.Time // the time
	Wake     <-chan struct{}  // something came: the time was moved
	Files    Files
	Endpoint string // of all services, for the programs that steps are
	Path     string // where those programs are looked for, as PATH says it
	// Spark finds the Spark that steps run on; version is the cluster's, empty if not known.
	Spark    func(ctx context.Context, version string) (*Spark, error)
	Cores    int         // of a driver; default: the machine's
	MemoryMB int         // of all drivers together; default: two thirds of the machine's
	Faults   *Faults     // what goes wrong; nil: nothing
	Changed  func(Event) // is told of every change of a state, once it is kept; one at a time; nil: nobody is
	Log      *slog.Logger
}

// Service is EMR.
type Service struct {
	c        Config
	pace     Plan
	mu       sync.Mutex // over all that follows, and all of a Cluster
	all      map[string]*Cluster
	order    []*Cluster        // by their beginning
	live     map[*Cluster]bool // those that time and work may change
	jobs     map[string]*job   // of steps by their id, of bootstrap actions by their cluster's
	unsaved  map[*Cluster]bool // the disk was full
	settings Settings
	store    *store
	warden   warden
	woken    chan struct{}
	work     sync.WaitGroup
	ctx      context.Context //nolint:containedctx // of Run: the work lives as long
}

// Paces are the names of how fast clusters change.
var Paces = []string{"seconds", "instant", "real"}

// paces are the times; the real ones are those of small clusters in practice.
var paces = map[string]Plan{
	"instant": {},
	"seconds": {Provision: time.Second, Install: time.Second, Dispatch: 200 * time.Millisecond, Shutdown: time.Second},
	"real":    {Provision: 4 * time.Minute, Install: 2 * time.Minute, Dispatch: 10 * time.Second, Shutdown: time.Minute},
}

// New reads the state in c.Dir. Steps that ran when it was written have failed: their
// processes are gone.
func New(c Config) (*Service, error) {
	if c.Pace == "" {
		c.Pace = Paces[0]
	}
	pace, ok := paces[c.Pace]
	if !ok {
		return nil, &flow.Error{Op: "start EMR", Kind: flow.Invalid, Err: &unknownPace{c.Pace}, Hint: "choose seconds, instant or real"}
	}
	if c.Faults == nil {
		c.Faults = &Faults{}
	}
	if c.Cores == 0 {
		c.Cores = runtime.NumCPU()
	}
	if c.MemoryMB == 0 {
		c.MemoryMB = machineMemoryMB() * 2 / 3
	}
	s := &Service{c: c, pace: pace, all: map[string]*Cluster{}, jobs: map[string]*job{}, unsaved: map[*Cluster]bool{}, live: map[*Cluster]bool{}, woken: make(chan struct{}, 1)}
	var err error
	if s.store, err = openStore(c.Dir); err != nil {
		return nil, err
	}
	if err := readIfThere(s.store.settingsFile(), &s.settings); err != nil {
		return nil, err
	}
	if s.order, err = s.store.clusters(c.Now()); err != nil {
		return nil, err
	}
	for _, cl := range s.order {
		s.all[cl.ID] = cl
		s.live[cl] = true
		if cl.restarted(c.Now()) {
			if err := s.store.save(cl); err != nil {
				return nil, err
			}
			s.tell(cl)
		}
	}
	return s, nil
}

type unknownPace struct{ name string }

func (e *unknownPace) Error() string { return "there is no pace " + e.name }

// Run does the work of clusters until ctx ends; then it ends that work.
func (s *Service) Run(ctx context.Context) error {
	defer s.warden.stop()
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.stop()
			return nil
		case <-timer.C:
		case <-s.woken:
		case <-s.c.Wake:
		}
		timer.Reset(s.drive())
	}
}

// drive brings all clusters up to now, sees to their work, and tells when to do so again.
func (s *Service) drive() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Now()
	again := time.Hour
	for c := range s.live {
		if c.advance(now) || s.unsaved[c] {
			s.save(c)
		}
		if s.unsaved[c] {
			again = min(again, time.Second)
		}
		s.tend(c)
		if c.ended() && !s.unsaved[c] {
			s.forget(c)
		}
		if n, ok := c.next(); ok {
			again = min(again, max(n.at.Sub(now), 0))
		}
	}
	return again
}

// forget ends our part in a cluster that has ended.
func (s *Service) forget(c *Cluster) {
	delete(s.live, c)
	if err := os.RemoveAll(s.scratch(c)); err != nil {
		s.c.Log.Warn("scratch files not removed", "cluster", c.ID, "err", err)
	}
}

// scratch is the folder of what a cluster's work needs while the cluster is there.
func (s *Service) scratch(c *Cluster) string { return filepath.Join(s.c.Dir, "work", c.ID) }

// save keeps what was not asked for by a client, who would be told that it cannot be kept.
func (s *Service) save(c *Cluster) {
	err := s.store.save(c)
	if err != nil {
		s.c.Log.Error("state not written", "cluster", c.ID, "err", err)
		s.unsaved[c] = true
		return
	}
	delete(s.unsaved, c)
	s.tell(c)
}

// tell tells what has happened and is kept.
func (s *Service) tell(c *Cluster) {
	if s.c.Changed != nil {
		for _, e := range c.events {
			s.c.Changed(e)
		}
	}
	c.events = nil
}

// wake makes Run look again.
func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Serve answers a call.
func (s *Service) Serve(ctx context.Context, c awsjson.Call) (any, error) {
	op, ok := operations[c.Operation]
	switch {
	case !ok && slices.Contains(others, c.Operation):
		return nil, awsjson.Errorf("ValidationException", "%s is not built into tidemill local: it has no studios, notebooks, sessions or application interfaces.", c.Operation)
	case !ok:
		return nil, awsjson.Errorf("UnknownOperationException", "")
	}
	fault := s.c.Faults.call(s.c.Now(), c.Operation, s.named(c))
	if fault.latency > 0 {
		t := time.NewTimer(fault.latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fault.err != nil {
		return nil, fault.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := op(&call{Service: s, region: c.Region, now: s.c.Now(), changes: !reads(c.Operation)}, c)
	if fault.lost {
		return nil, awsjson.ErrNoAnswer
	}
	return out, err
}

// named are the names of the clusters that a call is about, as far as there are such.
func (s *Service) named(c awsjson.Call) (names []string) {
	var in struct {
		Name, ClusterId, JobFlowId, ResourceId string //nolint:revive // the names of the wire
		JobFlowIds                             []string
	}
	if awsjson.Unmarshal(c.Body, &in) != nil {
		return nil // the operation has more to say
	}
	if c.Operation == "RunJobFlow" {
		return []string{in.Name}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range append(in.JobFlowIds, in.ClusterId, in.JobFlowId, in.ResourceId) {
		if cl := s.all[id]; cl != nil {
			names = append(names, val(cl.Request.Name))
		}
	}
	return names
}

// call is one call under the service's lock.
type call struct {
	*Service
	region  string
	now     time.Time
	changes bool  // it is to change what it finds
	fault   error // what was found cannot be kept, so it is not to be changed
}

// reads tells whether an operation changes nothing.
func reads(operation string) bool {
	return strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "List") || strings.HasPrefix(operation, "Get")
}

type operation func(*call, awsjson.Call) (any, error)

func op[I, O any](f func(*call, *I) (*O, error)) operation {
	return func(c *call, in awsjson.Call) (any, error) {
		var i I
		if err := awsjson.Read(in, &i); err != nil {
			return nil, err
		}
		o, err := f(c, &i)
		if err != nil {
			return nil, err
		}
		return o, nil
	}
}

// find brings a cluster of the call's region up to the call's time; nil if there is none, or
// if there is a fault. What is to be changed is kept first: if the change cannot be, the
// cluster is put back, and whoever is told of a fault may ask again.
func (c *call) find(id *string) *Cluster {
	cl := c.all[val(id)]
	if cl == nil || cl.Region != c.region {
		return nil
	}
	if cl.advance(c.now) {
		c.unsaved[cl] = true
		c.wake()
	}
	if c.changes && c.unsaved[cl] {
		if c.fault = c.store.save(cl); c.fault != nil {
			return nil
		}
		delete(c.unsaved, cl)
		c.tell(cl)
	}
	return cl
}

// cluster finds a cluster for the family of calls that know clusters.
func (c *call) cluster(id *string) (*Cluster, error) {
	if id == nil {
		return nil, missing("clusterId")
	}
	if cl := c.find(id); cl != nil {
		return cl, nil
	}
	if c.fault != nil {
		return nil, c.fault
	}
	e := invalid("Cluster id '%s' is not valid.", *id)
	e.Code = "NoSuchCluster"
	return nil, e
}

// flow finds a cluster for the older family of calls, that know job flows.
func (c *call) flow(id *string) (*Cluster, error) {
	if id == nil {
		return nil, missing("jobFlowId")
	}
	if cl := c.find(id); cl != nil {
		return cl, nil
	}
	if c.fault != nil {
		return nil, c.fault
	}
	if !clusterID.MatchString(*id) {
		return nil, refused("Specified job flow ID not valid")
	}
	return nil, refused("Specified job flow ID does not exist")
}

// changed keeps what a call has changed, and what follows at once.
func (c *call) changed(cl *Cluster) error {
	cl.advance(c.now)
	c.wake()
	err := c.store.save(cl)
	if err != nil && c.all[cl.ID] != nil {
		was := new(Cluster)
		if back := read(c.store.file(cl.ID), was); back != nil {
			return errors.Join(err, back)
		}
		*cl = *was
	}
	if err == nil {
		delete(c.unsaved, cl)
		c.tell(cl)
	}
	return err
}

func missing(member string) *awsjson.Error {
	return refused("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

// refused is the fault of calls that know job flows.
func refused(format string, a ...any) *awsjson.Error {
	return awsjson.Errorf("ValidationException", format, a...)
}

// invalid is the fault of calls that know clusters.
func invalid(format string, a ...any) *awsjson.Error {
	e := awsjson.Errorf("InvalidRequestException", format, a...)
	e.Status, e.Bare, e.Code = http.StatusBadRequest, true, "ValidationError"
	return e
}

// newID is a fresh id of AWS's form: j-2AXXXXXXGAPLF.
func newID(prefix string, n int) string { return prefix + "-" + rand.Text()[:n] }

func (c *Cluster) arn() string {
	return "arn:aws:elasticmapreduce:" + c.Region + ":" + account + ":cluster/" + c.ID
}

const account = "000000000000"

func enum[T ~string](member string, v T, values []T) error {
	if v == "" || slices.Contains(values, v) {
		return nil
	}
	return refused("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: %v", v, member, values)
}
