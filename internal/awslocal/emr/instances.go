package emr

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

// instancesPerPage is how many instances a page of a list has.
const instancesPerPage = 500

// provision makes the groups or fleets, and the instances, that were asked for.
func (c *Cluster) provision(now time.Time) {
	i := c.Request.Instances
	for _, f := range i.InstanceFleets {
		c.addFleet(now, f)
	}
	groups := i.InstanceGroups
	if i.MasterInstanceType != nil {
		groups = []types.InstanceGroupConfig{{Name: ptr("Master Instance Group"), InstanceRole: types.InstanceRoleTypeMaster, InstanceType: i.MasterInstanceType, InstanceCount: ptr(int32(1))}}
		if n := val(i.InstanceCount) - 1; n > 0 {
			groups = append(groups, types.InstanceGroupConfig{Name: ptr("Core Instance Group"), InstanceRole: types.InstanceRoleTypeCore, InstanceType: i.SlaveInstanceType, InstanceCount: &n})
		}
	}
	for _, g := range groups {
		c.addGroup(now, g)
	}
	// The first node is the master.
	slices.SortStableFunc(c.Nodes, func(a, b Node) int { return c.rank(a.Group) - c.rank(b.Group) })
	i.InstanceGroups, i.InstanceFleets = nil, nil
}

func (c *Cluster) rank(group string) int {
	for _, g := range c.Groups {
		if val(g.Id) == group && g.InstanceGroupType == types.InstanceGroupTypeMaster {
			return 0
		}
	}
	for _, f := range c.Fleets {
		if val(f.Id) == group && f.InstanceFleetType == types.InstanceFleetTypeMaster {
			return 0
		}
	}
	return 1
}

func (c *Cluster) addNodes(now time.Time, group, kind string, market types.MarketType, n int32) {
	for range n {
		c.Nodes = append(c.Nodes, Node{
			ID: newID("ci", 13), EC2: fmt.Sprintf("i-%017x", crc32.ChecksumIEEE([]byte(newID("", 8)))), Group: group, Type: kind, Market: market,
			Address: fmt.Sprintf("ip-127-0-0-%d.ec2.internal", len(c.Nodes)+1), Created: now,
		})
	}
}

func (c *Cluster) addGroup(now time.Time, g types.InstanceGroupConfig) string {
	market := g.Market
	if market == "" {
		market = types.MarketTypeOnDemand
	}
	out := types.InstanceGroup{
		Id: ptr(newID("ig", 13)), Name: g.Name, InstanceGroupType: types.InstanceGroupType(g.InstanceRole), InstanceType: g.InstanceType, Market: market, BidPrice: g.BidPrice,
		RequestedInstanceCount: g.InstanceCount, Configurations: orEmpty(g.Configurations), CustomAmiId: g.CustomAmiId, EbsBlockDevices: []types.EbsBlockDevice{},
		ConfigurationsVersion: ptr(int64(0)), LastSuccessfullyAppliedConfigurations: []types.Configuration{}, LastSuccessfullyAppliedConfigurationsVersion: ptr(int64(0)),
		EbsOptimized: ptr(false), ShrinkPolicy: &types.ShrinkPolicy{}, AutoScalingPolicy: scaling(g.AutoScalingPolicy),
		Status: &types.InstanceGroupStatus{Timeline: &types.InstanceGroupTimeline{CreationDateTime: &now}},
	}
	if e := g.EbsConfiguration; e != nil {
		out.EbsOptimized, out.EbsBlockDevices = ptr(val(e.EbsOptimized)), devices(e)
	}
	c.Groups = append(c.Groups, out)
	c.addNodes(now, *out.Id, val(g.InstanceType), market, val(g.InstanceCount))
	return *out.Id
}

func devices(e *types.EbsConfiguration) []types.EbsBlockDevice {
	out := []types.EbsBlockDevice{}
	for _, d := range e.EbsBlockDeviceConfigs {
		n := max(val(d.VolumesPerInstance), 1)
		for range n {
			out = append(out, types.EbsBlockDevice{Device: ptr(fmt.Sprintf("/dev/sd%c", 'b'+len(out)%24)), VolumeSpecification: d.VolumeSpecification})
		}
	}
	return out
}

func (c *Cluster) addFleet(now time.Time, f types.InstanceFleetConfig) string {
	out := types.InstanceFleet{
		Id: ptr(newID("if", 13)), Name: f.Name, InstanceFleetType: f.InstanceFleetType, Context: f.Context, LaunchSpecifications: f.LaunchSpecifications,
		ResizeSpecifications: f.ResizeSpecifications, TargetOnDemandCapacity: ptr(val(f.TargetOnDemandCapacity)), TargetSpotCapacity: ptr(val(f.TargetSpotCapacity)),
		InstanceTypeSpecifications: []types.InstanceTypeSpecification{}, Status: &types.InstanceFleetStatus{Timeline: &types.InstanceFleetTimeline{CreationDateTime: &now}},
	}
	for _, t := range f.InstanceTypeConfigs {
		s := types.InstanceTypeSpecification{
			InstanceType: t.InstanceType, WeightedCapacity: ptr(max(val(t.WeightedCapacity), 1)), BidPrice: t.BidPrice, Priority: t.Priority, CustomAmiId: t.CustomAmiId,
			BidPriceAsPercentageOfOnDemandPrice: t.BidPriceAsPercentageOfOnDemandPrice, Configurations: orEmpty(t.Configurations), EbsBlockDevices: []types.EbsBlockDevice{}, EbsOptimized: ptr(false),
		}
		if e := t.EbsConfiguration; e != nil {
			s.EbsOptimized, s.EbsBlockDevices = ptr(val(e.EbsOptimized)), devices(e)
		}
		out.InstanceTypeSpecifications = append(out.InstanceTypeSpecifications, s)
	}
	c.Fleets = append(c.Fleets, out)
	c.fill(now, &out)
	return *out.Id
}

// fill gives a fleet the instances that its targets want: of its first type, as many as reach
// the capacity.
func (c *Cluster) fill(now time.Time, f *types.InstanceFleet) {
	kind := f.InstanceTypeSpecifications[0]
	weight := max(val(kind.WeightedCapacity), 1)
	for market, want := range map[types.MarketType]int32{types.MarketTypeOnDemand: val(f.TargetOnDemandCapacity), types.MarketTypeSpot: val(f.TargetSpotCapacity)} {
		c.resize(now, *f.Id, val(kind.InstanceType), market, (want+weight-1)/weight)
	}
}

// resize adds instances, or ends the youngest.
func (c *Cluster) resize(now time.Time, group, kind string, market types.MarketType, want int32) {
	var alive []int
	for i, n := range c.Nodes {
		if n.Group == group && n.Market == market && n.Ended.IsZero() {
			alive = append(alive, i)
		}
	}
	c.addNodes(now, group, kind, market, want-int32(len(alive)))
	for i := int(want); i < len(alive); i++ {
		c.Nodes[alive[i]].Ended = now
	}
}

func (c *Cluster) nodeState(n Node) types.InstanceState {
	switch {
	case !n.Ended.IsZero() || c.ended():
		return types.InstanceStateTerminated
	case c.State == types.ClusterStateStarting:
		return types.InstanceStateProvisioning
	case c.State == types.ClusterStateBootstrapping:
		return types.InstanceStateBootstrapping
	}
	return types.InstanceStateRunning
}

// groupState is the state of a group of instances, by the name that groups and fleets share.
func (c *Cluster) groupState() string {
	switch c.State {
	case types.ClusterStateStarting:
		return "PROVISIONING"
	case types.ClusterStateBootstrapping:
		return "BOOTSTRAPPING"
	case types.ClusterStateRunning, types.ClusterStateWaiting:
		return "RUNNING"
	case types.ClusterStateTerminating:
		return "TERMINATING"
	}
	return "TERMINATED"
}

func (c *Cluster) running(group string, market types.MarketType) (n int32) {
	for _, node := range c.Nodes {
		if node.Group == group && (market == "" || node.Market == market) && c.nodeState(node) == types.InstanceStateRunning {
			n++
		}
	}
	return n
}

func (c *Cluster) describeGroup(g types.InstanceGroup) types.InstanceGroup {
	state := types.InstanceGroupState(c.groupState())
	if state == "TERMINATING" {
		state = types.InstanceGroupStateShuttingDown
	}
	created := g.Status.Timeline.CreationDateTime
	g.RunningInstanceCount = ptr(c.running(*g.Id, ""))
	g.Status = &types.InstanceGroupStatus{State: state, StateChangeReason: &types.InstanceGroupStateChangeReason{Message: ptr("")},
		Timeline: &types.InstanceGroupTimeline{CreationDateTime: created, ReadyDateTime: moment(c.Ready), EndDateTime: moment(c.Ended)}}
	if c.ended() {
		g.Status.StateChangeReason = &types.InstanceGroupStateChangeReason{Code: types.InstanceGroupStateChangeReasonCodeClusterTerminated, Message: ptr("Job flow terminated")}
	}
	return g
}

func (c *Cluster) describeFleet(f types.InstanceFleet) types.InstanceFleet {
	created := f.Status.Timeline.CreationDateTime
	weight := val(f.InstanceTypeSpecifications[0].WeightedCapacity)
	f.ProvisionedOnDemandCapacity = ptr(c.running(*f.Id, types.MarketTypeOnDemand) * weight)
	f.ProvisionedSpotCapacity = ptr(c.running(*f.Id, types.MarketTypeSpot) * weight)
	f.Status = &types.InstanceFleetStatus{State: types.InstanceFleetState(c.groupState()), StateChangeReason: &types.InstanceFleetStateChangeReason{Message: ptr("")},
		Timeline: &types.InstanceFleetTimeline{CreationDateTime: created, ReadyDateTime: moment(c.Ready), EndDateTime: moment(c.Ended)}}
	return f
}

const exclusive = "Instance fleets and instance groups are mutually exclusive. The EMR cluster specified in the request uses %s. The %s request does not support clusters that use %s. Use the %s request instead."

func (c *call) listInstanceGroups(in *emr.ListInstanceGroupsInput) (*emr.ListInstanceGroupsOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	if len(cl.Fleets) > 0 {
		return nil, invalid(exclusive, "instance fleets", "ListInstanceGroups", "instance fleets", "ListInstanceFleets")
	}
	return &emr.ListInstanceGroupsOutput{InstanceGroups: all(cl.Groups, cl.describeGroup)}, nil
}

func (c *call) listInstanceFleets(in *emr.ListInstanceFleetsInput) (*emr.ListInstanceFleetsOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	if len(cl.Groups) > 0 {
		return nil, invalid(exclusive, "instance groups", "ListInstanceFleets", "instance groups", "ListInstanceGroups")
	}
	return &emr.ListInstanceFleetsOutput{InstanceFleets: all(cl.Fleets, cl.describeFleet)}, nil
}

// kind is the type of the group or fleet that a node belongs to.
func (c *Cluster) kind(n Node) string {
	if g := c.group(n.Group); g != nil {
		return string(g.InstanceGroupType)
	}
	if f := c.fleet(n.Group); f != nil {
		return string(f.InstanceFleetType)
	}
	return ""
}

func (c *call) listInstances(in *emr.ListInstancesInput) (*emr.ListInstancesOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	var found []Node
	for _, n := range cl.Nodes {
		kind := cl.kind(n)
		if in.InstanceGroupId != nil && *in.InstanceGroupId != n.Group || in.InstanceFleetId != nil && *in.InstanceFleetId != n.Group ||
			in.InstanceFleetType != "" && string(in.InstanceFleetType) != kind ||
			len(in.InstanceGroupTypes) > 0 && !slices.Contains(in.InstanceGroupTypes, types.InstanceGroupType(kind)) ||
			len(in.InstanceStates) > 0 && !slices.Contains(in.InstanceStates, cl.nodeState(n)) {
			continue
		}
		found = append(found, n)
	}
	found, next, err := page(found, func(n Node) string { return n.ID }, in.Marker, instancesPerPage)
	if err != nil {
		return nil, err
	}
	out := &emr.ListInstancesOutput{Marker: next, Instances: []types.Instance{}}
	for _, n := range found {
		out.Instances = append(out.Instances, cl.describeNode(n))
	}
	return out, nil
}

func (c *Cluster) describeNode(n Node) types.Instance {
	ip, _, _ := strings.Cut(strings.TrimPrefix(n.Address, "ip-"), ".")
	out := types.Instance{
		Id: &n.ID, Ec2InstanceId: &n.EC2, InstanceType: &n.Type, Market: n.Market, PrivateDnsName: &n.Address, PublicDnsName: ptr(""), PrivateIpAddress: ptr(strings.ReplaceAll(ip, "-", ".")), EbsVolumes: []types.EbsVolume{},
		Status: &types.InstanceStatus{State: c.nodeState(n), StateChangeReason: &types.InstanceStateChangeReason{},
			Timeline: &types.InstanceTimeline{CreationDateTime: &n.Created, ReadyDateTime: moment(c.Ready), EndDateTime: moment(n.Ended)}},
	}
	if len(c.Fleets) > 0 {
		out.InstanceFleetId = &n.Group
	} else {
		out.InstanceGroupId = &n.Group
	}
	if c.ended() {
		out.Status.StateChangeReason = &types.InstanceStateChangeReason{Code: types.InstanceStateChangeReasonCodeClusterTerminated, Message: ptr("Instance was terminated.")}
	}
	return out
}

func (c *call) addInstanceGroups(in *emr.AddInstanceGroupsInput) (*emr.AddInstanceGroupsOutput, error) {
	cl, err := c.flow(in.JobFlowId)
	if err != nil {
		return nil, err
	}
	switch {
	case !cl.accepts():
		return nil, refused("A job flow that is shutting down, terminated, or finished may not be modified.")
	case len(cl.Fleets) > 0:
		return nil, refused(exclusive, "instance fleets", "AddInstanceGroups", "instance fleets", "AddInstanceFleet")
	}
	out := &emr.AddInstanceGroupsOutput{JobFlowId: &cl.ID, ClusterArn: ptr(cl.arn())}
	for _, g := range in.InstanceGroups {
		switch {
		case g.InstanceRole != types.InstanceRoleTypeTask:
			return nil, refused("Only TASK instance groups may be added.")
		case val(g.InstanceType) == "" || g.InstanceCount == nil:
			return nil, missing("instanceGroups.member.instanceType")
		}
		if err := checkCounts(g.InstanceCount); err != nil {
			return nil, err
		}
	}
	for _, g := range in.InstanceGroups {
		out.InstanceGroupIds = append(out.InstanceGroupIds, cl.addGroup(c.now, g))
	}
	return out, c.changed(cl)
}

func (c *call) addInstanceFleet(in *emr.AddInstanceFleetInput) (*emr.AddInstanceFleetOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	f := in.InstanceFleet
	switch {
	case !cl.accepts():
		return nil, invalid("A job flow that is shutting down, terminated, or finished may not be modified.")
	case len(cl.Groups) > 0:
		return nil, invalid(exclusive, "instance groups", "AddInstanceFleet", "instance groups", "AddInstanceGroups")
	case f == nil || f.InstanceFleetType != types.InstanceFleetTypeTask || len(f.InstanceTypeConfigs) == 0:
		return nil, invalid("Only a TASK instance fleet may be added.")
	}
	if err := checkCounts(f.TargetOnDemandCapacity, f.TargetSpotCapacity); err != nil {
		return nil, err
	}
	for _, have := range cl.Fleets {
		if have.InstanceFleetType == types.InstanceFleetTypeTask {
			return nil, invalid("The cluster has a task instance fleet already.")
		}
	}
	return &emr.AddInstanceFleetOutput{ClusterId: &cl.ID, ClusterArn: ptr(cl.arn()), InstanceFleetId: ptr(cl.addFleet(c.now, *f))}, c.changed(cl)
}

// owner is the cluster of a group.
func (c *call) owner(group string) *Cluster {
	for _, cl := range c.order {
		if cl.group(group) != nil {
			return c.find(&cl.ID)
		}
	}
	return nil
}

func (c *Cluster) group(id string) *types.InstanceGroup {
	return first(c.Groups, func(g *types.InstanceGroup) bool { return val(g.Id) == id })
}

func (c *Cluster) fleet(id string) *types.InstanceFleet {
	return first(c.Fleets, func(f *types.InstanceFleet) bool { return val(f.Id) == id })
}

// first is the first of a list that is meant, in its place, or nil.
func first[T any](list []T, meant func(*T) bool) *T {
	for i := range list {
		if meant(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// all describes each of a list.
func all[T any](list []T, describe func(T) T) []T {
	out := make([]T, 0, len(list))
	for _, x := range list {
		out = append(out, describe(x))
	}
	return out
}

func (c *call) modifyInstanceGroups(in *emr.ModifyInstanceGroupsInput) (*emr.ModifyInstanceGroupsOutput, error) {
	changed := map[*Cluster]bool{}
	for _, m := range in.InstanceGroups {
		cl := c.owner(val(m.InstanceGroupId))
		if c.fault != nil {
			return nil, c.fault
		}
		if cl == nil || in.ClusterId != nil && *in.ClusterId != cl.ID {
			return nil, refused("Instance group id '%s' is not valid.", val(m.InstanceGroupId))
		}
		if cl.groupState() != "RUNNING" {
			return nil, refused("An instance group may only be modified when the cluster is running or waiting")
		}
		g := cl.group(*m.InstanceGroupId)
		if n := m.InstanceCount; n != nil {
			if checkCounts(n) != nil || *n < 1 && g.InstanceGroupType != types.InstanceGroupTypeTask || g.InstanceGroupType == types.InstanceGroupTypeMaster && *n != val(g.RequestedInstanceCount) {
				return nil, refused("The instance group %s cannot have %d instances.", *m.InstanceGroupId, *n)
			}
		}
		changed[cl] = true
	}
	for _, m := range in.InstanceGroups {
		cl := c.owner(val(m.InstanceGroupId))
		g := cl.group(*m.InstanceGroupId)
		if m.InstanceCount != nil {
			g.RequestedInstanceCount = m.InstanceCount
			cl.resize(c.now, *g.Id, val(g.InstanceType), g.Market, *m.InstanceCount)
		}
		if m.Configurations != nil {
			v := val(g.ConfigurationsVersion) + 1
			g.Configurations, g.LastSuccessfullyAppliedConfigurations = m.Configurations, m.Configurations
			g.ConfigurationsVersion, g.LastSuccessfullyAppliedConfigurationsVersion = &v, &v
		}
		if m.ShrinkPolicy != nil {
			g.ShrinkPolicy = m.ShrinkPolicy
		}
	}
	for cl := range changed {
		if err := c.changed(cl); err != nil {
			return nil, err
		}
	}
	return &emr.ModifyInstanceGroupsOutput{}, nil
}

func (c *call) modifyInstanceFleet(in *emr.ModifyInstanceFleetInput) (*emr.ModifyInstanceFleetOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	m := in.InstanceFleet
	if m == nil {
		return nil, missing("instanceFleet")
	}
	f := cl.fleet(val(m.InstanceFleetId))
	switch {
	case f == nil:
		return nil, invalid("Instance fleet id '%s' is not valid.", val(m.InstanceFleetId))
	case cl.groupState() != "RUNNING":
		return nil, invalid("An instance fleet may only be modified when the cluster is running or waiting")
	}
	if err := checkCounts(m.TargetOnDemandCapacity, m.TargetSpotCapacity); err != nil {
		return nil, err
	}
	if m.TargetOnDemandCapacity != nil {
		f.TargetOnDemandCapacity = m.TargetOnDemandCapacity
	}
	if m.TargetSpotCapacity != nil {
		f.TargetSpotCapacity = m.TargetSpotCapacity
	}
	if m.ResizeSpecifications != nil {
		f.ResizeSpecifications = m.ResizeSpecifications
	}
	if m.Context != nil {
		f.Context = m.Context
	}
	cl.fill(c.now, f)
	return &emr.ModifyInstanceFleetOutput{}, c.changed(cl)
}

func (c *Cluster) jobFlowGroups() []types.InstanceGroupDetail {
	out := []types.InstanceGroupDetail{}
	for _, g := range c.Groups {
		d := c.describeGroup(g)
		out = append(out, types.InstanceGroupDetail{
			InstanceGroupId: g.Id, Name: g.Name, InstanceRole: types.InstanceRoleType(g.InstanceGroupType), InstanceType: g.InstanceType, Market: g.Market, BidPrice: g.BidPrice,
			InstanceRequestCount: g.RequestedInstanceCount, InstanceRunningCount: d.RunningInstanceCount, State: d.Status.State, CustomAmiId: g.CustomAmiId,
			CreationDateTime: d.Status.Timeline.CreationDateTime, ReadyDateTime: d.Status.Timeline.ReadyDateTime, StartDateTime: d.Status.Timeline.ReadyDateTime, EndDateTime: d.Status.Timeline.EndDateTime,
		})
	}
	return out
}

// scaling is the description of an automatic scaling policy, which is kept and never acts.
func scaling(p *types.AutoScalingPolicy) *types.AutoScalingPolicyDescription {
	if p == nil {
		return nil
	}
	return &types.AutoScalingPolicyDescription{Constraints: p.Constraints, Rules: p.Rules, Status: &types.AutoScalingPolicyStatus{State: types.AutoScalingPolicyStateAttached}}
}

func (c *call) putAutoScaling(in *emr.PutAutoScalingPolicyInput) (*emr.PutAutoScalingPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	g := cl.group(val(in.InstanceGroupId))
	if g == nil {
		return nil, invalid("Instance group id '%s' is not valid.", val(in.InstanceGroupId))
	}
	g.AutoScalingPolicy = scaling(in.AutoScalingPolicy)
	return &emr.PutAutoScalingPolicyOutput{ClusterId: &cl.ID, ClusterArn: ptr(cl.arn()), InstanceGroupId: g.Id, AutoScalingPolicy: g.AutoScalingPolicy}, c.changed(cl)
}

func (c *call) removeAutoScaling(in *emr.RemoveAutoScalingPolicyInput) (*emr.RemoveAutoScalingPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	g := cl.group(val(in.InstanceGroupId))
	if g == nil {
		return nil, invalid("Instance group id '%s' is not valid.", val(in.InstanceGroupId))
	}
	g.AutoScalingPolicy = nil
	return &emr.RemoveAutoScalingPolicyOutput{}, c.changed(cl)
}
