package emr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/flow"
)

// stepTask is addStep: one step; the token is CLUSTER/STEP.
type stepTask struct {
	e    *EMR
	sync bool
}

type stepArguments struct {
	ClusterId        string  //nolint:revive // AWS's name
	ExecutionRoleArn *string `json:",omitempty"`
	Step             types.StepConfig
}

// request reads the arguments; own tells whether the step has a name of the run's.
func (t *stepTask) request(r flow.Request) (in stepArguments, own bool, err error) {
	if err := arguments(r, &in); err != nil {
		return in, false, err
	}
	if name := aws.ToString(in.Step.Name); strings.HasPrefix(name, r.Run+"/") {
		rename(&in.Step, name, r)
		own = true
	}
	return in, own, nil
}

// rename gives a step the name of the attempt. The machine can only count the retries of one
// visit of a state; where it wrote the name, or RUN.ATTEMPT, into the step's arguments, the
// attempt's stands there too.
func rename(s *types.StepConfig, name string, r flow.Request) {
	s.Name = aws.String(r.Key)
	if name == r.Key || s.HadoopJarStep == nil {
		return
	}
	was := regexp.MustCompile(regexp.QuoteMeta(r.Run+"."+name[strings.LastIndexByte(name, '/')+1:]) + `\b`)
	now := r.Run + "." + strconv.Itoa(r.Attempt)
	for i, a := range s.HadoopJarStep.Args {
		s.HadoopJarStep.Args[i] = was.ReplaceAllLiteralString(strings.ReplaceAll(a, name, r.Key), now)
	}
}

func (in *stepArguments) token(step string) flow.Token {
	return flow.Token(in.ClusterId + "/" + step)
}

// Start adds the step, or finds the one that was added for the request.
func (t *stepTask) Start(ctx context.Context, r flow.Request) (flow.Token, error) {
	in, own, err := t.request(r)
	if err != nil {
		return "", err
	}
	call := func(ctx context.Context) (string, error) {
		out, err := t.e.client.AddJobFlowSteps(ctx, &awsemr.AddJobFlowStepsInput{JobFlowId: &in.ClusterId, ExecutionRoleArn: in.ExecutionRoleArn, Steps: []types.StepConfig{in.Step}}, once)
		if err != nil {
			return "", err
		}
		if len(out.StepIds) != 1 {
			return "", fmt.Errorf("EMR answered with %d steps for one", len(out.StepIds))
		}
		return out.StepIds[0], nil
	}
	look := func(context.Context) (string, bool, error) { return "", false, nil }
	if own {
		look = func(ctx context.Context) (string, bool, error) {
			return t.e.findStep(ctx, in.ClusterId, aws.ToString(in.Step.Name))
		}
	}
	id, err := begin(ctx, t.e, "add a step to cluster "+in.ClusterId, r.Since, look, call)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(r.Log, "step %s on cluster %s\n", id, in.ClusterId) //nolint:errcheck // the token says it too
	return in.token(id), nil
}

// findStep looks for the step of a name. Of several, the oldest is the one, and the others
// are cancelled.
func (e *EMR) findStep(ctx context.Context, cluster, name string) (string, bool, error) {
	var found []types.StepSummary
	for p := awsemr.NewListStepsPaginator(e.client, &awsemr.ListStepsInput{ClusterId: &cluster}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			return "", false, err
		}
		for _, s := range out.Steps {
			if aws.ToString(s.Name) == name {
				found = append(found, s)
			}
		}
	}
	if len(found) == 0 {
		return "", false, nil
	}
	slices.Reverse(found) // the list is newest first
	for _, s := range found[1:] {
		if err := e.cancel(ctx, cluster, aws.ToString(s.Id), types.StepCancellationOptionSendInterrupt); err != nil {
			return "", false, err
		}
	}
	return aws.ToString(found[0].Id), true, nil
}

// Find looks for the step of a request whose process died.
func (t *stepTask) Find(ctx context.Context, r flow.Request) (flow.Token, bool, error) {
	in, own, err := t.request(r)
	if err != nil || !own {
		return "", false, err
	}
	id, ok, err := seek(ctx, t.e, r.Since, func(ctx context.Context) (string, bool, error) { return t.e.findStep(ctx, in.ClusterId, r.Key) })
	return in.token(id), ok, fault("find the step "+r.Key, err)
}

// Submitted is what AddJobFlowSteps answered.
func (t *stepTask) Submitted(token flow.Token) json.RawMessage {
	if !t.sync {
		return nil
	}
	_, step, _ := strings.Cut(string(token), "/")
	return json.RawMessage(fmt.Sprintf(`{"StepId":%q}`, step))
}

// stepOutput is what addStep.sync says, and what its failure's cause is.
type stepOutput struct {
	StepId string //nolint:revive // AWS's name
	Step   *types.Step
}

func over(s types.StepState) bool {
	switch s {
	case types.StepStateCompleted, types.StepStateCancelled, types.StepStateFailed, types.StepStateInterrupted:
		return true
	}
	return false
}

// Wait waits for the step's end and fetches what it wrote. Only COMPLETED is success.
func (t *stepTask) Wait(ctx context.Context, r flow.Request, token flow.Token) (json.RawMessage, error) {
	cluster, id, _ := strings.Cut(string(token), "/")
	if !t.sync {
		return json.Marshal(map[string]string{"StepId": id})
	}
	began := t.e.c.Now()
	var last types.StepState
	err := t.e.poll.wait(ctx, cluster, id, func(_ types.ClusterState, s *types.StepSummary) bool {
		if s.Status.State != last {
			last = s.Status.State
			fmt.Fprintf(r.Log, "step %s: %s\n", id, last) //nolint:errcheck // a log
		}
		r.Progress(flow.Progress{Doing: fmt.Sprintf("step %s %s, %s", id, strings.ToLower(string(last)), t.e.c.Now().Sub(began).Round(time.Second))})
		return over(last)
	})
	if err != nil {
		return nil, fault("wait for step "+id, err)
	}
	d, err := t.e.describeStep(ctx, cluster, id)
	if err != nil {
		return nil, err
	}
	done := d.Step.Status.State == types.StepStateCompleted
	said, err := t.e.fetchLogs(ctx, cluster, id, r.Log, !done)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !done {
		if f := t.e.c.Fault; f != nil {
			if fault := f(ctx, aws.ToString(d.Step.Name)); fault != nil {
				said.Traceback, said.Java = fault.Error(), false
			}
		}
		explain(d.Step.Status, said)
	}
	out, err := output(stepOutput{id, d.Step}, d.ResultMetadata)
	if err == nil && !done {
		err = failed(out)
	}
	return out, err
}

// explain puts what the step's own logs say into the details of its failure, where EMR
// knows no more than that it failed.
func explain(s *types.StepStatus, said Cause) {
	if s.FailureDetails == nil {
		s.FailureDetails = &types.FailureDetails{}
	}
	f := s.FailureDetails
	if said.Java && aws.ToString(f.Message) != "" {
		said.Traceback = *f.Message // EMR names Java's exceptions itself
	}
	if text := said.String(); text != "" {
		f.Message = &text
	}
	if f.LogFile == nil && said.File != "" {
		f.LogFile = &said.File
	}
}

// interruptTime is how long a step may take to end by itself before it is killed.
const interruptTime = time.Minute

// Stop cancels the step and waits for its end.
func (t *stepTask) Stop(ctx context.Context, token flow.Token) error {
	cluster, id, _ := strings.Cut(string(token), "/")
	ended := func(_ types.ClusterState, s *types.StepSummary) bool { return over(s.Status.State) }
	for _, how := range []types.StepCancellationOption{types.StepCancellationOptionSendInterrupt, types.StepCancellationOptionTerminateProcess} {
		if err := t.e.cancel(ctx, cluster, id, how); err != nil {
			return err
		}
		brief, cancel := context.WithTimeout(ctx, interruptTime)
		err := t.e.poll.wait(brief, cluster, id, ended)
		cancel()
		if err == nil || !errors.Is(err, context.DeadlineExceeded) {
			return fault("wait for the end of step "+id, err)
		}
	}
	return &flow.Error{Op: "cancel step " + id, Kind: flow.Timeout, Err: errors.New("it goes on though it was killed"), Hint: "tidemill clusters --terminate " + cluster + " ends its cluster"}
}

// cancel asks for a step's end; one that has ended is no error.
func (e *EMR) cancel(ctx context.Context, cluster, id string, how types.StepCancellationOption) error {
	_, err := e.client.CancelSteps(ctx, &awsemr.CancelStepsInput{ClusterId: &cluster, StepIds: []string{id}, StepCancellationOption: how})
	if err == nil {
		return nil
	}
	if d, derr := e.describeStep(ctx, cluster, id); derr == nil && over(d.Step.Status.State) {
		return nil
	}
	if alive, aerr := e.alive(ctx, cluster); aerr == nil && !alive {
		return nil
	}
	return fault("cancel step "+id, err)
}

// cancelStep is the integration of that name.
func (e *EMR) cancelStep(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var in struct{ ClusterId, StepId string } //nolint:revive // AWS's names
	if err := arguments(r, &in); err != nil {
		return nil, err
	}
	out, err := e.client.CancelSteps(ctx, &awsemr.CancelStepsInput{ClusterId: &in.ClusterId, StepIds: []string{in.StepId}})
	if err != nil {
		return nil, fault("cancel step "+in.StepId, err)
	}
	info := types.CancelStepsInfo{StepId: &in.StepId}
	if len(out.CancelStepsInfoList) > 0 {
		info = out.CancelStepsInfoList[0]
	}
	return output(struct{ CancelStepsInfo types.CancelStepsInfo }{info}, out.ResultMetadata)
}
