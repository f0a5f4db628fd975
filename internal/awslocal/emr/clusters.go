package emr

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

const (
	maxConcurrency = 256
	// perPage is how many clusters and steps a page of a list has.
	perPage = 50
	// maxTogether is how many clusters one call may end.
	maxTogether = 10
)

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (c *Cluster) status() *types.ClusterStatus {
	s := &types.ClusterStatus{
		State:             c.State,
		StateChangeReason: &types.ClusterStateChangeReason{Code: c.Code, Message: text(c.Message)},
		Timeline:          &types.ClusterTimeline{CreationDateTime: &c.Created, ReadyDateTime: moment(c.Ready), EndDateTime: moment(c.Ended)},
	}
	if c.Failed && c.Code != "" {
		s.ErrorDetails = []types.ErrorDetail{{ErrorCode: ptr(string(c.Code)), ErrorMessage: text(c.Message)}}
	}
	return s
}

func (c *Cluster) instanceHours(now time.Time) *int32 {
	var sum float64
	for _, n := range c.Nodes {
		if c.Ready.IsZero() {
			break
		}
		from, to := c.Ready, now
		if n.Created.After(from) {
			from = n.Created
		}
		if !n.Ended.IsZero() {
			to = n.Ended
		}
		sum += math.Ceil(to.Sub(from).Hours()) * normal(n.Type)
	}
	return ptr(int32(sum))
}

func (c *call) describeCluster(in *emr.DescribeClusterInput) (*emr.DescribeClusterOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	return &emr.DescribeClusterOutput{Cluster: cl.describe(c.now)}, nil
}

func (c *Cluster) describe(now time.Time) *types.Cluster {
	r, i := c.Request, c.Request.Instances
	out := &types.Cluster{
		Id: &c.ID, Name: r.Name, Status: c.status(), ClusterArn: ptr(c.arn()), InstanceCollectionType: types.InstanceCollectionTypeInstanceGroup,
		Applications: orEmpty(r.Applications), Tags: orEmpty(r.Tags), Configurations: r.Configurations, PlacementGroups: r.PlacementGroupConfigs,
		AutoTerminate: ptr(!c.keepAlive()), TerminationProtected: ptr(c.protected()), UnhealthyNodeReplacement: ptr(val(i.UnhealthyNodeReplacement)),
		VisibleToAllUsers: r.VisibleToAllUsers, StepConcurrencyLevel: r.StepConcurrencyLevel, ScaleDownBehavior: r.ScaleDownBehavior,
		ReleaseLabel: r.ReleaseLabel, OSReleaseLabel: r.OSReleaseLabel, CustomAmiId: r.CustomAmiId, RepoUpgradeOnBoot: r.RepoUpgradeOnBoot,
		EbsRootVolumeSize: r.EbsRootVolumeSize, EbsRootVolumeIops: r.EbsRootVolumeIops, EbsRootVolumeThroughput: r.EbsRootVolumeThroughput,
		LogUri: r.LogUri, LogEncryptionKmsKeyId: r.LogEncryptionKmsKeyId, ServiceRole: r.ServiceRole, AutoScalingRole: r.AutoScalingRole,
		SecurityConfiguration: r.SecurityConfiguration, KerberosAttributes: r.KerberosAttributes, NormalizedInstanceHours: c.instanceHours(now),
		ExtendedSupport: r.ExtendedSupport, MonitoringConfiguration: r.MonitoringConfiguration, SessionEnabled: r.SessionEnabled,
		Ec2InstanceAttributes: &types.Ec2InstanceAttributes{
			Ec2KeyName: i.Ec2KeyName, Ec2SubnetId: c.subnet(), RequestedEc2SubnetIds: orEmpty(i.Ec2SubnetIds), IamInstanceProfile: r.JobFlowRole,
			Ec2AvailabilityZone: ptr(c.Region + "a"), RequestedEc2AvailabilityZones: []string{},
			EmrManagedMasterSecurityGroup: i.EmrManagedMasterSecurityGroup, EmrManagedSlaveSecurityGroup: i.EmrManagedSlaveSecurityGroup,
			ServiceAccessSecurityGroup: i.ServiceAccessSecurityGroup, AdditionalMasterSecurityGroups: i.AdditionalMasterSecurityGroups, AdditionalSlaveSecurityGroups: i.AdditionalSlaveSecurityGroups,
		},
	}
	if len(c.Fleets) > 0 {
		out.InstanceCollectionType = types.InstanceCollectionTypeInstanceFleet
	}
	if c.State != types.ClusterStateStarting && len(c.Nodes) > 0 {
		out.MasterPublicDnsName = &c.Nodes[0].Address
	}
	return out
}

func (c *Cluster) subnet() *string {
	i := c.Request.Instances
	if i.Ec2SubnetId == nil && len(i.Ec2SubnetIds) > 0 {
		return &i.Ec2SubnetIds[0]
	}
	return i.Ec2SubnetId
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// page cuts a list, the newest first, after the one whose id the marker tells.
func page[T any](list []T, id func(T) string, marker *string, n int) (out []T, next *string, err error) {
	if marker != nil {
		i := slices.IndexFunc(list, func(t T) bool { return id(t) == *marker })
		if i < 0 {
			return nil, nil, invalid("Marker '%s' is not valid.", *marker)
		}
		list = list[i+1:]
	}
	if len(list) > n {
		return list[:n], ptr(id(list[n-1])), nil
	}
	return orEmpty(list), nil, nil
}

func (c *call) listClusters(in *emr.ListClustersInput) (*emr.ListClustersOutput, error) {
	for _, s := range in.ClusterStates {
		if err := enum("clusterStates", s, s.Values()); err != nil {
			return nil, err
		}
	}
	var found []*Cluster
	for i := len(c.order) - 1; i >= 0; i-- {
		cl := c.find(&c.order[i].ID)
		if cl == nil || in.CreatedAfter != nil && cl.Created.Before(*in.CreatedAfter) || in.CreatedBefore != nil && cl.Created.After(*in.CreatedBefore) {
			continue
		}
		// The cluster after which a page begins may have changed its state since.
		if len(in.ClusterStates) == 0 || slices.Contains(in.ClusterStates, cl.State) || cl.ID == val(in.Marker) {
			found = append(found, cl)
		}
	}
	found, next, err := page(found, func(c *Cluster) string { return c.ID }, in.Marker, perPage)
	if err != nil {
		return nil, err
	}
	out := &emr.ListClustersOutput{Marker: next, Clusters: []types.ClusterSummary{}}
	for _, cl := range found {
		out.Clusters = append(out.Clusters, types.ClusterSummary{Id: &cl.ID, Name: cl.Request.Name, Status: cl.status(), ClusterArn: ptr(cl.arn()), NormalizedInstanceHours: cl.instanceHours(c.now)})
	}
	return out, nil
}

// flows finds all clusters of a call, or none.
func (c *call) flows(ids []string) ([]*Cluster, error) {
	if len(ids) == 0 {
		return nil, missing("jobFlowIds")
	}
	var out []*Cluster
	for _, id := range ids {
		cl, err := c.flow(&id)
		if err != nil {
			return nil, err
		}
		out = append(out, cl)
	}
	return out, nil
}

// terminateJobFlows ends those that are not protected, and says so if some are.
func (c *call) terminateJobFlows(in *emr.TerminateJobFlowsInput) (*emr.TerminateJobFlowsOutput, error) {
	if len(in.JobFlowIds) > maxTogether {
		return nil, refused("Size of an list in parameter out of range.")
	}
	list, err := c.flows(in.JobFlowIds)
	if err != nil {
		return nil, err
	}
	protected := false
	for _, cl := range list {
		switch {
		case !cl.accepts():
			continue
		case cl.protected():
			protected = true
			continue
		}
		cl.terminate(c.now, types.ClusterStateChangeReasonCodeUserRequest, userRequest)
		if err := c.changed(cl); err != nil {
			return nil, err
		}
	}
	if protected {
		return nil, refused("Could not shut down one or more job flows since they are termination protected.")
	}
	return &emr.TerminateJobFlowsOutput{}, nil
}

// set changes all clusters of a call.
func (c *call) set(ids []string, change func(*Cluster)) error {
	list, err := c.flows(ids)
	if err != nil {
		return err
	}
	for _, cl := range list {
		if !cl.accepts() {
			return refused("A job flow that is shutting down, terminated, or finished may not be modified.")
		}
	}
	for _, cl := range list {
		change(cl)
		if err := c.changed(cl); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) setTerminationProtection(in *emr.SetTerminationProtectionInput) (*emr.SetTerminationProtectionOutput, error) {
	if in.TerminationProtected == nil {
		return nil, missing("terminationProtected")
	}
	return &emr.SetTerminationProtectionOutput{}, c.set(in.JobFlowIds, func(cl *Cluster) { cl.protect(c.now, *in.TerminationProtected) })
}

func (c *call) setKeepAlive(in *emr.SetKeepJobFlowAliveWhenNoStepsInput) (*emr.SetKeepJobFlowAliveWhenNoStepsOutput, error) {
	if in.KeepJobFlowAliveWhenNoSteps == nil {
		return nil, missing("keepJobFlowAliveWhenNoSteps")
	}
	return &emr.SetKeepJobFlowAliveWhenNoStepsOutput{}, c.set(in.JobFlowIds, func(cl *Cluster) {
		cl.Request.Instances.KeepJobFlowAliveWhenNoSteps = in.KeepJobFlowAliveWhenNoSteps
		cl.keepAliveSet(c.now)
	})
}

func (c *call) setVisible(in *emr.SetVisibleToAllUsersInput) (*emr.SetVisibleToAllUsersOutput, error) {
	if in.VisibleToAllUsers == nil {
		return nil, missing("visibleToAllUsers")
	}
	return &emr.SetVisibleToAllUsersOutput{}, c.set(in.JobFlowIds, func(cl *Cluster) { cl.Request.VisibleToAllUsers = in.VisibleToAllUsers })
}

func (c *call) setUnhealthy(in *emr.SetUnhealthyNodeReplacementInput) (*emr.SetUnhealthyNodeReplacementOutput, error) {
	if in.UnhealthyNodeReplacement == nil {
		return nil, missing("unhealthyNodeReplacement")
	}
	return &emr.SetUnhealthyNodeReplacementOutput{}, c.set(in.JobFlowIds, func(cl *Cluster) { cl.Request.Instances.UnhealthyNodeReplacement = in.UnhealthyNodeReplacement })
}

func (c *call) modifyCluster(in *emr.ModifyClusterInput) (*emr.ModifyClusterOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	if n := in.StepConcurrencyLevel; n != nil {
		if *n < 1 || *n > maxConcurrency {
			return nil, invalid("Invalid step concurrency level. Allowed level is from 1 to 256")
		}
		if !cl.accepts() {
			return nil, invalid("A job flow that is shutting down, terminated, or finished may not be modified.")
		}
		cl.Request.StepConcurrencyLevel = n
		cl.schedule(c.now)
	}
	if in.ExtendedSupport != nil {
		cl.Request.ExtendedSupport = in.ExtendedSupport
	}
	return &emr.ModifyClusterOutput{StepConcurrencyLevel: cl.Request.StepConcurrencyLevel, ExtendedSupport: in.ExtendedSupport}, c.changed(cl)
}

// resource finds the cluster of a tag call, whose id is the cluster's.
func (c *call) resource(id *string) (*Cluster, error) {
	cl, err := c.cluster(id)
	if err != nil {
		return nil, err
	}
	if !cl.accepts() {
		return nil, invalid("Tags cannot be modified on terminated clusters.")
	}
	return cl, nil
}

func (c *call) addTags(in *emr.AddTagsInput) (*emr.AddTagsOutput, error) {
	cl, err := c.resource(in.ResourceId)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		cl.untag(val(t.Key))
		cl.Request.Tags = append(cl.Request.Tags, types.Tag{Key: t.Key, Value: ptr(val(t.Value))})
	}
	return &emr.AddTagsOutput{}, c.changed(cl)
}

func (c *call) removeTags(in *emr.RemoveTagsInput) (*emr.RemoveTagsOutput, error) {
	cl, err := c.resource(in.ResourceId)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		cl.untag(k)
	}
	return &emr.RemoveTagsOutput{}, c.changed(cl)
}

func (c *Cluster) untag(key string) {
	c.Request.Tags = slices.DeleteFunc(c.Request.Tags, func(t types.Tag) bool { return val(t.Key) == key })
}

func (c *call) describeJobFlows(in *emr.DescribeJobFlowsInput) (*emr.DescribeJobFlowsOutput, error) {
	out := &emr.DescribeJobFlowsOutput{JobFlows: []types.JobFlowDetail{}}
	for _, id := range in.JobFlowIds {
		if _, err := c.flow(&id); err != nil {
			return nil, err
		}
	}
	for i := len(c.order) - 1; i >= 0; i-- {
		cl := c.find(&c.order[i].ID)
		if cl == nil || len(in.JobFlowIds) > 0 && !slices.Contains(in.JobFlowIds, cl.ID) ||
			in.CreatedAfter != nil && cl.Created.Before(*in.CreatedAfter) || in.CreatedBefore != nil && cl.Created.After(*in.CreatedBefore) ||
			len(in.JobFlowStates) > 0 && !slices.Contains(in.JobFlowStates, cl.jobFlowState()) {
			continue
		}
		out.JobFlows = append(out.JobFlows, cl.jobFlow(c.now))
	}
	return out, nil
}

// jobFlowState is the state by its older name.
func (c *Cluster) jobFlowState() types.JobFlowExecutionState {
	switch c.State {
	case types.ClusterStateTerminating:
		return types.JobFlowExecutionStateShuttingDown
	case types.ClusterStateTerminatedWithErrors:
		return types.JobFlowExecutionStateFailed
	case types.ClusterStateTerminated:
		if c.Code == types.ClusterStateChangeReasonCodeUserRequest {
			return types.JobFlowExecutionStateTerminated
		}
		return types.JobFlowExecutionStateCompleted
	}
	return types.JobFlowExecutionState(strings.ToUpper(string(c.State)))
}

func (c *Cluster) jobFlow(now time.Time) types.JobFlowDetail {
	r, i := c.Request, c.Request.Instances
	d := c.describe(now)
	out := types.JobFlowDetail{
		JobFlowId: &c.ID, Name: r.Name, LogUri: r.LogUri, JobFlowRole: r.JobFlowRole, ServiceRole: r.ServiceRole, ScaleDownBehavior: r.ScaleDownBehavior,
		VisibleToAllUsers: r.VisibleToAllUsers, SupportedProducts: orEmpty(r.SupportedProducts), BootstrapActions: []types.BootstrapActionDetail{}, Steps: []types.StepDetail{},
		ExecutionStatusDetail: &types.JobFlowExecutionStatusDetail{
			State: c.jobFlowState(), CreationDateTime: &c.Created, StartDateTime: moment(c.Ready), ReadyDateTime: moment(c.Ready), EndDateTime: moment(c.Ended), LastStateChangeReason: text(c.Message),
		},
		Instances: &types.JobFlowInstancesDetail{
			InstanceCount: ptr(int32(len(c.Nodes))), MasterInstanceType: &c.Nodes[0].Type, SlaveInstanceType: &c.Nodes[len(c.Nodes)-1].Type, MasterInstanceId: &c.Nodes[0].EC2, MasterPublicDnsName: d.MasterPublicDnsName,
			KeepJobFlowAliveWhenNoSteps: ptr(c.keepAlive()), TerminationProtected: ptr(c.protected()), NormalizedInstanceHours: d.NormalizedInstanceHours,
			Ec2KeyName: i.Ec2KeyName, Ec2SubnetId: c.subnet(), Placement: i.Placement, InstanceGroups: c.jobFlowGroups(),
		},
	}
	for _, b := range r.BootstrapActions {
		out.BootstrapActions = append(out.BootstrapActions, types.BootstrapActionDetail{BootstrapActionConfig: &b})
	}
	for _, s := range c.Steps {
		state := types.StepExecutionState(s.State)
		if s.State == types.StepStateCancelPending {
			state = types.StepExecutionStateRunning
		}
		out.Steps = append(out.Steps, types.StepDetail{StepConfig: &s.Config, ExecutionStatusDetail: &types.StepExecutionStatusDetail{
			State: state, CreationDateTime: &s.Created, StartDateTime: moment(s.Started), EndDateTime: moment(s.Ended), LastStateChangeReason: text(s.Message),
		}})
	}
	return out
}
