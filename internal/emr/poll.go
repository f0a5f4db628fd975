package emr

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// Pace is how often AWS is asked.
type Pace struct {
	Min, Max  time.Duration // between two questions about the same thing: Min at first, Max in the end
	PerSecond float64       // calls in all, on average
	Burst     float64       // calls that may be made at once
	Call      time.Duration // how long a call that begins something may take
	Logs      time.Duration // how long to wait for the logs of a step that failed
}

// The paces. EMR gives an account a few calls a second of each kind for all its clusters;
// Step Functions itself asks every 60 seconds. EMR copies logs every five minutes.
var (
	AWSPace   = Pace{Min: 5 * time.Second, Max: time.Minute, PerSecond: 0.45, Burst: 5, Call: time.Minute, Logs: 6 * time.Minute}
	LocalPace = Pace{Min: 50 * time.Millisecond, Max: 2 * time.Second, PerSecond: 50, Burst: 50, Call: 3 * time.Second, Logs: 3 * time.Second}
)

// api is what the poller asks.
type api interface {
	ListClusters(context.Context, *awsemr.ListClustersInput, ...func(*awsemr.Options)) (*awsemr.ListClustersOutput, error)
	DescribeCluster(context.Context, *awsemr.DescribeClusterInput, ...func(*awsemr.Options)) (*awsemr.DescribeClusterOutput, error)
	ListSteps(context.Context, *awsemr.ListStepsInput, ...func(*awsemr.Options)) (*awsemr.ListStepsOutput, error)
}

// alone is how many clusters are asked about one by one; of more, the list of all clusters
// of the account tells which have changed.
const alone = 2

// poller asks about clusters and steps for all who wait, one call after the other. It has
// no goroutine of its own: whoever holds lead polls for all, and hands on when what it waits
// for has come.
type poller struct {
	api  api
	pace Pace
	now  func() time.Time
	lead chan struct{}
	wake chan struct{}

	mu       sync.Mutex
	watched  map[string]*watch
	left     float64 // calls that may be made now
	filled   time.Time
	slow     float64 // how many times slower than the pace, while AWS throttles
	listed   time.Time
	pages    int  // calls that the list takes
	unlisted bool // the list may not be read: clusters are asked one by one
}

// watch is a cluster that somebody waits for.
type watch struct {
	id       string
	waiters  map[*waiter]bool
	state    types.ClusterState
	changed  time.Time // when the state was seen to change, or the watch began
	asked    time.Time // about the cluster alone
	stepped  time.Time // about its steps
	urgent   bool      // the steps: the cluster's state has changed
	vanished bool      // the list no longer has it
}

// waiter waits for a cluster, or for a step of it.
type waiter struct {
	step string
	// see is told what was seen, the step or nil, and says whether that was waited for.
	see  func(types.ClusterState, *types.StepSummary) bool
	done chan error
}

func newPoller(a api, p Pace, now func() time.Time) *poller {
	return &poller{api: a, pace: p, now: now, lead: make(chan struct{}, 1), wake: make(chan struct{}, 1), watched: map[string]*watch{}, left: p.Burst, filled: now(), slow: 1, pages: 1}
}

// wait returns when see has said that what it saw was waited for.
func (p *poller) wait(ctx context.Context, cluster, step string, see func(types.ClusterState, *types.StepSummary) bool) error {
	w := &waiter{step: step, see: see, done: make(chan error, 1)}
	p.add(cluster, w)
	defer p.remove(cluster, w)
	for {
		select {
		case err := <-w.done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case p.lead <- struct{}{}:
			p.pass(ctx, w)
			<-p.lead
		}
	}
}

func (p *poller) add(cluster string, w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.watched[cluster]
	if c == nil {
		c = &watch{id: cluster, waiters: map[*waiter]bool{}, changed: p.now()}
		p.watched[cluster] = c
	}
	c.waiters[w] = true
	c.changed = p.now()
	if w.step != "" {
		c.stepped = p.now()
	} else {
		c.asked = time.Time{}
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *poller) remove(cluster string, w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.watched[cluster]
	delete(c.waiters, w)
	if len(c.waiters) == 0 {
		delete(p.watched, cluster)
	}
}

// pass waits until something is due and asks about it.
func (p *poller) pass(ctx context.Context, w *waiter) {
	do, at := p.next()
	if pause := at.Sub(p.now()); pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.wake: // something may be due earlier
			return
		case <-ctx.Done():
			return
		}
	}
	if len(w.done) > 0 || do == nil {
		return
	}
	p.take()
	p.learn(do(ctx))
}

// next is what is to be asked, and when.
func (p *poller) next() (do func(context.Context) error, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	earlier := func(due time.Time, f func(context.Context) error) {
		if do == nil || due.Before(at) {
			do, at = f, due
		}
	}
	listing := len(p.watched) > alone && !p.unlisted
	every := p.slowest()
	for _, c := range p.watched {
		pace := p.every(c)
		every = min(every, pace)
		if listing {
			pace = p.slowest()
		}
		waits, steps := c.kinds()
		switch {
		case c.urgent && steps:
			earlier(time.Time{}, p.askSteps(c))
		case steps:
			earlier(c.stepped.Add(pace), p.askSteps(c))
		}
		switch {
		case c.vanished || waits && c.asked.IsZero() && !listing:
			earlier(time.Time{}, p.askCluster(c))
		case !listing && waits:
			earlier(c.asked.Add(pace), p.askCluster(c))
		case !listing:
			earlier(later(c.asked, c.changed).Add(p.slowest()), p.askCluster(c))
		}
	}
	if listing {
		// The list takes no more than half of the calls.
		every = max(every, time.Duration(2*float64(p.pages)/p.pace.PerSecond*float64(time.Second)))
		due := p.listed.Add(every)
		urgent := do != nil && at.IsZero()
		if do == nil || due.Before(at) || !urgent && !due.After(p.now()) {
			do, at = p.list, due
		}
	}
	return do, later(at, p.free())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// every is the pause between two questions about a cluster: it grows with the time in which
// nothing has changed.
func (p *poller) every(c *watch) time.Duration {
	d := p.now().Sub(c.changed) / 8
	return time.Duration(p.slow * float64(min(max(d, p.pace.Min), p.pace.Max)))
}

func (p *poller) slowest() time.Duration { return time.Duration(p.slow * float64(p.pace.Max)) }

// kinds tells whether somebody waits for the cluster itself, and for steps of it.
func (c *watch) kinds() (cluster, steps bool) {
	for w := range c.waiters {
		if w.step == "" {
			cluster = true
		} else {
			steps = true
		}
	}
	return cluster, steps
}

// free is when the next call may be made.
func (p *poller) free() time.Time {
	now := p.now()
	p.left = min(p.pace.Burst, p.left+now.Sub(p.filled).Seconds()*p.pace.PerSecond)
	p.filled = now
	if p.left >= 1 {
		return now
	}
	return now.Add(time.Duration((1 - p.left) / p.pace.PerSecond * float64(time.Second)))
}

func (p *poller) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left--
}

// learn slows down while AWS throttles or does not answer.
func (p *poller) learn(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.slow = min(p.slow*2, 16)
		p.left -= p.slow
		return
	}
	p.slow = max(1, p.slow*0.9)
}

// passing tells whether an error may be gone at the next question.
func passing(err error) bool {
	var e *flow.Error
	if !errors.As(awsauth.Fault("", "", err), &e) {
		return false
	}
	return e.Kind == flow.Throttled || e.Kind == flow.Transient
}

// list reads all clusters that live.
func (p *poller) list(ctx context.Context) error {
	seen := map[string]types.ClusterState{}
	in := &awsemr.ListClustersInput{ClusterStates: liveStates}
	pages := 0
	for {
		if pages > 0 {
			p.take()
		}
		pages++
		out, err := p.api.ListClusters(ctx, in, once)
		if err != nil {
			if ctx.Err() == nil && !passing(err) {
				p.mu.Lock()
				p.unlisted = true // the permission for it is missing, most likely
				p.mu.Unlock()
			}
			return err
		}
		for _, c := range out.Clusters {
			seen[aws.ToString(c.Id)] = c.Status.State
		}
		if out.Marker == nil {
			break
		}
		in.Marker = out.Marker
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed, p.pages = p.now(), pages
	for id, c := range p.watched {
		state, ok := seen[id]
		if !ok {
			c.vanished = true
			continue
		}
		p.saw(c, state)
	}
	return nil
}

// saw tells the waiters of a cluster how it stands.
func (p *poller) saw(c *watch, state types.ClusterState) {
	if state != c.state {
		c.state, c.changed, c.urgent = state, p.now(), true
	}
	for w := range c.waiters {
		if w.step == "" && w.see(state, nil) {
			w.end(nil)
		}
	}
}

func (w *waiter) end(err error) {
	select {
	case w.done <- err:
	default: // it has ended already
	}
}

// askCluster asks about one cluster.
func (p *poller) askCluster(c *watch) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := p.api.DescribeCluster(ctx, &awsemr.DescribeClusterInput{ClusterId: &c.id}, once)
		p.mu.Lock()
		defer p.mu.Unlock()
		c.asked = p.now()
		if err != nil {
			return p.broken(ctx, c, err)
		}
		c.vanished = false
		p.saw(c, out.Cluster.Status.State)
		return nil
	}
}

// broken ends the waiting for a cluster of which nothing can be learned.
func (p *poller) broken(ctx context.Context, c *watch, err error) error {
	if ctx.Err() != nil || passing(err) {
		return err
	}
	for w := range c.waiters {
		w.end(err)
	}
	return nil
}

// stepsAtOnce is how many steps ListSteps can be asked about by id.
const stepsAtOnce = 10

// askSteps asks about the steps of a cluster that somebody waits for.
func (p *poller) askSteps(c *watch) func(context.Context) error {
	return func(ctx context.Context) error {
		var ids []string
		p.mu.Lock()
		c.stepped, c.urgent = p.now(), false
		ended := dead(c.state)
		for w := range c.waiters {
			if w.step != "" {
				ids = append(ids, w.step)
			}
		}
		p.mu.Unlock()
		for first := 0; first < len(ids); first += stepsAtOnce {
			if first > 0 {
				p.take()
			}
			out, err := p.api.ListSteps(ctx, &awsemr.ListStepsInput{ClusterId: &c.id, StepIds: ids[first:min(first+stepsAtOnce, len(ids))]}, once)
			p.mu.Lock()
			if err != nil {
				err = p.broken(ctx, c, err)
				p.mu.Unlock()
				return err
			}
			for i := range out.Steps {
				s := &out.Steps[i]
				for w := range c.waiters {
					// A step of a cluster that has ended does not go on, whatever is said of it.
					if w.step == aws.ToString(s.Id) && (w.see(c.state, s) || ended) {
						w.end(nil)
					}
				}
			}
			p.mu.Unlock()
		}
		return nil
	}
}
