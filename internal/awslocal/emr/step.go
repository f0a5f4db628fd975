package emr

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

// maxActive is how many steps of a cluster may be pending or running.
const maxActive = 256

// maxSeen is how many steps of a cluster there is a record of.
const maxSeen = 1000

// running tells whether a step has, or had, a process.
func (s *Step) running() bool {
	return s.State == types.StepStateRunning || s.State == types.StepStateCancelPending
}

func (s *Step) over() bool { return !s.running() && s.State != types.StepStatePending }

// active is the number of steps that have a process.
func (c *Cluster) active() (n int) {
	for _, s := range c.Steps {
		if s.running() {
			n++
		}
	}
	return n
}

// open is the number of steps that are not over.
func (c *Cluster) open() (n int) {
	for _, s := range c.Steps {
		if !s.over() {
			n++
		}
	}
	return n
}

func (c *Cluster) step(id string) *Step {
	for _, s := range c.Steps {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// addSteps adds steps, which have their ids. The oldest that are over are forgotten where
// there are more than can be seen.
func (c *Cluster) addSteps(now time.Time, steps ...*Step) {
	for _, s := range steps {
		c.enterStep(now, s, types.StepStatePending)
		c.Steps = append(c.Steps, s)
	}
	more := len(c.Steps) - maxSeen
	c.Steps = slices.DeleteFunc(c.Steps, func(s *Step) bool {
		if more <= 0 || !s.over() {
			return false
		}
		more--
		return true
	})
	c.schedule(now)
}

// Result is how a step's process ended.
type Result struct {
	OK      bool
	Message string // why it was not OK, where there is no more to say than that
	Failure *types.FailureDetails
}

// stepEnded tells that a step's process is gone, with all that it started.
func (c *Cluster) stepEnded(now time.Time, s *Step, r Result) {
	if s == nil || !s.running() {
		return
	}
	switch {
	case s.State == types.StepStateCancelPending:
		c.enterStep(now, s, types.StepStateCancelled)
	case r.OK:
		c.enterStep(now, s, types.StepStateCompleted)
	case c.State == types.ClusterStateTerminating:
		s.Message = jobTerminated
		c.enterStep(now, s, types.StepStateCancelled)
	default:
		s.Message, s.Failure = r.Message, r.Failure
		c.enterStep(now, s, types.StepStateFailed)
		c.Erred = true
	}
	if c.State == types.ClusterStateTerminating {
		if c.Due.Before(now) {
			c.Due = now
		}
		return
	}
	if s.State == types.StepStateFailed {
		c.afterFailure(now, s)
	}
	c.rest(now, s)
}

// afterFailure does what the step's ActionOnFailure says. With several steps at once it says
// nothing: the level may have been raised after the step was added.
func (c *Cluster) afterFailure(now time.Time, s *Step) {
	if c.concurrency() > 1 {
		return
	}
	switch s.Config.ActionOnFailure {
	case types.ActionOnFailureCancelAndWait:
		c.cancelPending(now, "")
	case types.ActionOnFailureTerminateCluster, types.ActionOnFailureTerminateJobFlow:
		if c.keepAlive() && c.protected() {
			c.cancelPending(now, "")
			return
		}
		c.Failed = true
		c.terminate(now, types.ClusterStateChangeReasonCodeStepFailure, stepFailed)
	}
}

// rest goes on with the steps that are left after s, or with none.
func (c *Cluster) rest(now time.Time, s *Step) {
	if c.State != types.ClusterStateRunning {
		return
	}
	c.schedule(now)
	if c.open() > 0 {
		return
	}
	message := readyCompleted
	switch s.State {
	case types.StepStateFailed:
		message = readyFailed
	case types.StepStateCancelled:
		message = readyCancelled
	}
	c.settle(now, message)
}

func (c *Cluster) cancelPending(now time.Time, message string) {
	for _, s := range c.Steps {
		if s.State == types.StepStatePending {
			s.Message = message
			c.enterStep(now, s, types.StepStateCancelled)
		}
	}
}

// cancelStep cancels a step, and tells why it cannot.
func (c *Cluster) cancelStep(now time.Time, s *Step, how types.StepCancellationOption) (reason string) {
	switch s.State {
	case types.StepStatePending:
		c.enterStep(now, s, types.StepStateCancelled)
		c.rest(now, s)
	case types.StepStateRunning:
		s.Cancel = how
		c.enterStep(now, s, types.StepStateCancelPending)
	case types.StepStateCancelPending:
		if how == types.StepCancellationOptionTerminateProcess {
			s.Cancel = how
		}
	default:
		return "Step " + s.ID + " is in state " + string(s.State) + " and cannot be cancelled."
	}
	return ""
}

// restarted tells that the process that ran the cluster's work was not there for a while, and
// that the work is gone with it. Steps that ran have failed; bootstrap actions begin again.
func (c *Cluster) restarted(now time.Time) (changed bool) {
	for _, s := range c.Steps {
		if s.running() {
			c.stepEnded(now, s, Result{Message: "tidemill local ended while the step ran"})
			changed = true
		}
	}
	return changed
}
