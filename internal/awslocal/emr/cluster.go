package emr

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

// Cluster is all that is kept of a cluster. It changes by time (advance), by what its work
// reports (bootstrapped, stepEnded) and by what clients ask for; each change is a function of
// the cluster, the event and its time alone, so that a cluster that is read again after a
// restart goes on as it would have.
type Cluster struct {
	ID, Region string
	Request    emr.RunJobFlowInput // as asked for, and as modified since; without steps, groups and fleets
	State      types.ClusterState
	Code       types.ClusterStateChangeReasonCode
	Message    string
	Created    time.Time
	Ready      time.Time
	Ended      time.Time
	Due        time.Time // when the state changes by itself, if nothing else holds it
	Idle       time.Time // since when it waits
	Lose       time.Time // when its instances are lost
	Installed  bool      // its bootstrap actions have ended
	Failed     bool      // it ends with errors
	Erred      bool      // a step has failed
	Plan       Plan
	Steps      []*Step // in the order in which they were added
	Groups     []types.InstanceGroup
	Fleets     []types.InstanceFleet
	Nodes      []Node

	events []Event // that have not been told yet
}

// Event is a change of a cluster's state, or of a step's.
type Event struct {
	Time                time.Time
	Region              string
	Cluster, Name       string
	Step, StepName      string // empty: the cluster's own
	State, Code, Reason string
}

// tell adds an event; of the cluster itself if s is nil.
func (c *Cluster) tell(at time.Time, s *Step) {
	e := Event{Time: at, Region: c.Region, Cluster: c.ID, Name: val(c.Request.Name)}
	if s == nil {
		e.State, e.Code, e.Reason = string(c.State), string(c.Code), c.Message
	} else {
		e.Step, e.StepName, e.State, e.Reason = s.ID, val(s.Config.Name), string(s.State), s.Message
		if s.Failure != nil {
			e.Reason = val(s.Failure.Message)
		}
	}
	c.events = append(c.events, e)
}

// Step is all that is kept of a step.
type Step struct {
	ID      string
	Config  types.StepConfig
	Role    string // it is to run as
	State   types.StepState
	Message string
	Created time.Time
	Started time.Time
	Ended   time.Time
	Due     time.Time // PENDING: when it starts; zero: not chosen yet
	Cancel  types.StepCancellationOption
	Failure *types.FailureDetails
	Fault   *StepFault
}

// Node is one instance.
type Node struct {
	ID, EC2 string
	Group   string // id of its group or fleet
	Type    string
	Market  types.MarketType
	Address string
	Created time.Time
	Ended   time.Time
}

// Plan is how fast a cluster changes, and what the fault script has in store for it.
type Plan struct {
	Provision, Install, Dispatch, Shutdown time.Duration
	Stuck                                  types.ClusterState // it stays in this state for ever
	Bootstrap                              string             // the message of a failure of the bootstrap actions
	Lose                                   time.Duration      // its instances are lost so long after it was ready
	Loss                                   string
	Losing                                 bool
}

// Reasons, in AWS's words.
const (
	provisioning   = "Provisioning Amazon EC2 capacity"
	bootstrapping  = "Running bootstrap actions"
	runningStep    = "Running step"
	readyToRun     = "Cluster ready to run steps."
	readyCompleted = "Cluster ready after last step completed."
	readyFailed    = "Cluster ready after last step failed."
	readyCancelled = "Cluster ready after last step cancelled."
	userRequest    = "Terminated by user request"
	allCompleted   = "Steps completed"
	allWithErrors  = "Steps completed with errors"
	stepFailed     = "Shut down as step failed"
	autoTerminated = "Terminated by auto-termination policy: the cluster was idle"
	jobTerminated  = "Job terminated"
)

func (c *Cluster) keepAlive() bool {
	return c.Request.Instances != nil && val(c.Request.Instances.KeepJobFlowAliveWhenNoSteps)
}

func (c *Cluster) protected() bool {
	return c.Request.Instances != nil && val(c.Request.Instances.TerminationProtected)
}

func (c *Cluster) concurrency() int {
	if n := c.Request.StepConcurrencyLevel; n != nil {
		return int(*n)
	}
	return 1
}

// accepts tells whether steps may be added.
func (c *Cluster) accepts() bool {
	switch c.State {
	case types.ClusterStateStarting, types.ClusterStateBootstrapping, types.ClusterStateRunning, types.ClusterStateWaiting:
		return true
	}
	return false
}

func (c *Cluster) ended() bool {
	return c.State == types.ClusterStateTerminated || c.State == types.ClusterStateTerminatedWithErrors
}

// begin is the cluster's first state.
func (c *Cluster) begin(now time.Time) {
	c.Created = now
	c.enter(now, types.ClusterStateStarting, "", provisioning)
	c.Due = now.Add(c.Plan.Provision)
}

func (c *Cluster) enter(at time.Time, s types.ClusterState, code types.ClusterStateChangeReasonCode, message string) {
	c.State, c.Code, c.Message = s, code, message
	c.tell(at, nil)
}

// enterStep gives a step a state.
func (c *Cluster) enterStep(at time.Time, s *Step, state types.StepState) {
	s.State = state
	switch {
	case state == types.StepStatePending:
		s.Created = at
	case state == types.StepStateRunning:
		s.Started = at
	case s.over():
		s.Ended, s.Due = at, time.Time{}
	}
	c.tell(at, s)
}

// change is something that time brings.
type change struct {
	at time.Time
	do func(at time.Time)
}

// next is the change that time brings first, if any.
func (c *Cluster) next() (first change, ok bool) {
	add := func(at time.Time, do func(time.Time)) {
		if !at.IsZero() && (!ok || at.Before(first.at)) {
			first, ok = change{at, do}, true
		}
	}
	switch c.State {
	case types.ClusterStateStarting:
		if c.Plan.Stuck != c.State {
			add(c.Due, c.bootstrap)
		}
	case types.ClusterStateBootstrapping:
		if c.Installed && c.Plan.Stuck != c.State {
			add(c.Due, c.ready)
		}
	case types.ClusterStateRunning, types.ClusterStateWaiting:
		add(c.Lose, c.lose)
		for _, s := range c.Steps {
			if s.State == types.StepStatePending {
				add(s.Due, func(at time.Time) { c.enterStep(at, s, types.StepStateRunning) })
			}
		}
		if p := c.Request.AutoTerminationPolicy; c.State == types.ClusterStateWaiting && p != nil && !c.protected() {
			add(c.Idle.Add(time.Duration(val(p.IdleTimeout))*time.Second), func(at time.Time) {
				c.terminate(at, types.ClusterStateChangeReasonCodeAllStepsCompleted, autoTerminated)
			})
		}
	case types.ClusterStateTerminating:
		if c.active() == 0 {
			add(c.Due, c.end)
		}
	}
	return first, ok
}

// advance brings about all that time has brought until now, each at its own time.
func (c *Cluster) advance(now time.Time) (changed bool) {
	for {
		n, ok := c.next()
		if !ok || n.at.After(now) {
			return changed
		}
		n.do(n.at)
		changed = true
	}
}

func (c *Cluster) bootstrap(at time.Time) {
	c.enter(at, types.ClusterStateBootstrapping, "", bootstrapping)
	c.Due = at.Add(c.Plan.Install)
	c.Installed = len(c.Request.BootstrapActions) == 0 && c.Plan.Bootstrap == ""
}

// bootstrapped tells that the bootstrap actions have ended; fault is empty if they were fine.
func (c *Cluster) bootstrapped(now time.Time, fault string) {
	if c.State != types.ClusterStateBootstrapping || c.Installed {
		return
	}
	if fault != "" {
		c.Failed = true
		c.terminate(now, types.ClusterStateChangeReasonCodeBootstrapFailure, fault)
		return
	}
	c.Installed = true
	if c.Due.Before(now) {
		c.Due = now
	}
}

func (c *Cluster) ready(at time.Time) {
	c.Ready, c.Due = at, time.Time{}
	if c.Plan.Losing {
		c.Lose = at.Add(c.Plan.Lose)
	}
	c.schedule(at)
	if c.State == types.ClusterStateBootstrapping {
		c.settle(at, readyToRun)
	}
}

// schedule chooses the steps that start next.
func (c *Cluster) schedule(at time.Time) {
	if c.Ready.IsZero() || !c.accepts() {
		return
	}
	busy := 0
	for _, s := range c.Steps {
		if s.running() || s.State == types.StepStatePending && !s.Due.IsZero() {
			busy++
		}
	}
	for _, s := range c.Steps {
		if busy >= c.concurrency() {
			break
		}
		if s.State == types.StepStatePending && s.Due.IsZero() {
			s.Due = at.Add(c.Plan.Dispatch)
			busy++
		}
	}
	if busy > 0 && c.State != types.ClusterStateRunning {
		c.enter(at, types.ClusterStateRunning, "", runningStep)
		c.Idle = time.Time{}
	}
}

// settle is the end of the last step there is.
func (c *Cluster) settle(at time.Time, message string) {
	if c.keepAlive() {
		c.enter(at, types.ClusterStateWaiting, "", message)
		c.Idle = at
		return
	}
	if c.Erred {
		c.terminate(at, types.ClusterStateChangeReasonCodeStepFailure, allWithErrors)
		return
	}
	c.terminate(at, types.ClusterStateChangeReasonCodeAllStepsCompleted, allCompleted)
}

// terminate begins the end. Steps that have not begun are cancelled; those that run are once
// their processes are gone.
func (c *Cluster) terminate(at time.Time, code types.ClusterStateChangeReasonCode, message string) {
	c.enter(at, types.ClusterStateTerminating, code, message)
	c.Due, c.Idle = at.Add(c.Plan.Shutdown), time.Time{}
	c.cancelPending(at, jobTerminated)
}

func (c *Cluster) lose(at time.Time) {
	c.Failed, c.Lose = true, time.Time{}
	c.terminate(at, types.ClusterStateChangeReasonCodeInstanceFailure, c.Plan.Loss)
}

func (c *Cluster) end(at time.Time) {
	state := types.ClusterStateTerminated
	if c.Failed {
		state = types.ClusterStateTerminatedWithErrors
	}
	c.Ended, c.Due = at, time.Time{}
	c.enter(at, state, c.Code, c.Message)
	for i := range c.Nodes {
		if c.Nodes[i].Ended.IsZero() {
			c.Nodes[i].Ended = at
		}
	}
}

// keepAliveSet is called when keep-alive was changed: a cluster that waits ends without it.
func (c *Cluster) keepAliveSet(now time.Time) {
	if c.State == types.ClusterStateWaiting && !c.keepAlive() {
		c.settle(now, "")
	}
}

// protect sets or takes away the protection. Idle time begins when nothing is left that would
// hold the cluster.
func (c *Cluster) protect(now time.Time, on bool) {
	if c.protected() && !on && !c.Idle.IsZero() {
		c.Idle = now
	}
	c.Request.Instances.TerminationProtected = &on
}

func val[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func ptr[T any](v T) *T { return &v }
