package emr

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

// newSteps checks steps and gives them ids.
func (c *call) newSteps(cl *Cluster, in []types.StepConfig) ([]*Step, error) {
	var out []*Step
	for _, s := range in {
		if err := checkStep(s); err != nil {
			return nil, err
		}
		if s.ActionOnFailure == "" {
			s.ActionOnFailure = types.ActionOnFailureContinue
		}
		if cl.concurrency() > 1 && s.ActionOnFailure != types.ActionOnFailureContinue {
			return nil, refused("Action on failure '%s' is invalid.", s.ActionOnFailure)
		}
		out = append(out, &Step{ID: newID("s", 13), Config: s})
	}
	if cl.open()+len(out) > maxActive {
		return nil, refused("Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') for cluster exceeded.")
	}
	for _, s := range out {
		s.Fault = c.c.Faults.step(val(cl.Request.Name), val(s.Config.Name))
	}
	return out, nil
}

func checkStep(s types.StepConfig) error {
	jar := s.HadoopJarStep
	switch {
	case s.Name == nil:
		return missing("steps.member.name")
	case jar == nil:
		return missing("steps.member.hadoopJarStep")
	case val(jar.Jar) == "":
		return missing("steps.member.hadoopJarStep.jar")
	case len(*s.Name) > maxName:
		return refused("1 validation error detected: Value '%s' at 'steps.member.name' failed to satisfy constraint: Member must have length less than or equal to %d", *s.Name, maxName)
	}
	all := len(*jar.Jar) + len(val(jar.MainClass))
	for _, a := range jar.Args {
		if len(a) > maxStrings {
			return refused("1 validation error detected: Value at 'steps.member.hadoopJarStep.args' failed to satisfy constraint: Member must have length less than or equal to %d", maxStrings)
		}
		all += len(a)
	}
	for _, p := range jar.Properties {
		all += len(val(p.Key)) + len(val(p.Value))
	}
	if all > maxJarStep {
		return refused("The total length of all strings of a HadoopJarStep is %d characters; at most %d are allowed.", all, maxJarStep)
	}
	return enum("steps.member.actionOnFailure", s.ActionOnFailure, s.ActionOnFailure.Values())
}

func (c *call) addJobFlowSteps(in *emr.AddJobFlowStepsInput) (*emr.AddJobFlowStepsOutput, error) {
	cl, err := c.flow(in.JobFlowId)
	if err != nil {
		return nil, err
	}
	if len(in.Steps) == 0 {
		return nil, missing("steps")
	}
	if len(in.Steps) > maxActive {
		return nil, refused("1 validation error detected: Value at 'steps' failed to satisfy constraint: Member must have length less than or equal to %d", maxActive)
	}
	if !cl.accepts() {
		return nil, refused("A job flow that is shutting down, terminated, or finished may not be modified.")
	}
	steps, err := c.newSteps(cl, in.Steps)
	if err != nil {
		return nil, err
	}
	out := &emr.AddJobFlowStepsOutput{}
	for _, s := range steps {
		s.Role = val(in.ExecutionRoleArn)
		out.StepIds = append(out.StepIds, s.ID)
	}
	cl.addSteps(c.now, steps...)
	return out, c.changed(cl)
}

func (s *Step) status() *types.StepStatus {
	return &types.StepStatus{
		State: s.State, StateChangeReason: &types.StepStateChangeReason{Message: text(s.Message)}, FailureDetails: s.Failure,
		Timeline: &types.StepTimeline{CreationDateTime: &s.Created, StartDateTime: moment(s.Started), EndDateTime: moment(s.Ended)},
	}
}

func (s *Step) describe() *types.Step {
	jar := s.Config.HadoopJarStep
	properties := map[string]string{}
	for _, p := range jar.Properties {
		properties[val(p.Key)] = val(p.Value)
	}
	out := &types.Step{
		Id: &s.ID, Name: s.Config.Name, ActionOnFailure: s.Config.ActionOnFailure, Status: s.status(), ExecutionRoleArn: text(s.Role),
		Config: &types.HadoopStepConfig{Jar: jar.Jar, MainClass: jar.MainClass, Args: orEmpty(jar.Args), Properties: properties},
	}
	if m := s.Config.StepMonitoringConfiguration; m != nil && m.S3MonitoringConfiguration != nil {
		out.LogUri, out.EncryptionKeyArn = m.S3MonitoringConfiguration.LogUri, m.S3MonitoringConfiguration.EncryptionKeyArn
	}
	return out
}

func (s *Step) summary() types.StepSummary {
	d := s.describe()
	return types.StepSummary{Id: d.Id, Name: d.Name, ActionOnFailure: d.ActionOnFailure, Status: d.Status, Config: d.Config, LogUri: d.LogUri, EncryptionKeyArn: d.EncryptionKeyArn}
}

func (c *call) describeStep(in *emr.DescribeStepInput) (*emr.DescribeStepOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	if in.StepId == nil {
		return nil, missing("stepId")
	}
	s := cl.step(*in.StepId)
	if s == nil {
		return nil, invalid("Step id '%s' is not valid.", *in.StepId)
	}
	return &emr.DescribeStepOutput{Step: s.describe()}, nil
}

const maxStepIDs = 10

func (c *call) listSteps(in *emr.ListStepsInput) (*emr.ListStepsOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	switch {
	case len(in.StepIds) > 0 && len(in.StepStates) > 0:
		return nil, invalid("Cannot specify both StepIds and StepStates.")
	case len(in.StepIds) > maxStepIDs:
		return nil, invalid("Cannot specify more than %d StepIds.", maxStepIDs)
	}
	for _, id := range in.StepIds {
		if cl.step(id) == nil {
			return nil, invalid("Step id '%s' is not valid.", id)
		}
	}
	var found []*Step
	for _, s := range slices.Backward(cl.Steps) {
		if (len(in.StepIds) == 0 || slices.Contains(in.StepIds, s.ID)) && (len(in.StepStates) == 0 || slices.Contains(in.StepStates, s.State)) || s.ID == val(in.Marker) {
			found = append(found, s)
		}
	}
	found, next, err := page(found, func(s *Step) string { return s.ID }, in.Marker, perPage)
	if err != nil {
		return nil, err
	}
	out := &emr.ListStepsOutput{Marker: next, Steps: []types.StepSummary{}}
	for _, s := range found {
		out.Steps = append(out.Steps, s.summary())
	}
	return out, nil
}

func (c *call) cancelSteps(in *emr.CancelStepsInput) (*emr.CancelStepsOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	if len(in.StepIds) == 0 {
		return nil, missing("stepIds")
	}
	if err := enum("stepCancellationOption", in.StepCancellationOption, in.StepCancellationOption.Values()); err != nil {
		return nil, err
	}
	for _, id := range in.StepIds {
		if cl.step(id) == nil {
			return nil, invalid("Step id '%s' is not valid.", id)
		}
	}
	how := in.StepCancellationOption
	if how == "" {
		how = types.StepCancellationOptionSendInterrupt
	}
	out := &emr.CancelStepsOutput{}
	for _, id := range in.StepIds {
		info := types.CancelStepsInfo{StepId: &id, Status: types.CancelStepsRequestStatusSubmitted, Reason: ptr("")}
		if why := cl.cancelStep(c.now, cl.step(id), how); why != "" {
			info.Status, info.Reason = types.CancelStepsRequestStatusFailed, &why
		}
		out.CancelStepsInfoList = append(out.CancelStepsInfoList, info)
	}
	return out, c.changed(cl)
}

func (c *call) listBootstrapActions(in *emr.ListBootstrapActionsInput) (*emr.ListBootstrapActionsOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	out := &emr.ListBootstrapActionsOutput{BootstrapActions: []types.Command{}}
	for _, b := range cl.Request.BootstrapActions {
		out.BootstrapActions = append(out.BootstrapActions, types.Command{Name: b.Name, ScriptPath: b.ScriptBootstrapAction.Path, Args: orEmpty(b.ScriptBootstrapAction.Args)})
	}
	return out, nil
}

// s3Name cuts an S3 URI.
func s3Name(uri string) (bucket, key string, ok bool) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme != "s3" && scheme != "s3n" && scheme != "s3a" {
		return "", "", false
	}
	bucket, key, _ = strings.Cut(rest, "/")
	return bucket, key, bucket != ""
}
