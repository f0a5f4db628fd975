package emr

import (
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

var (
	clusterID = regexp.MustCompile(`^j-[A-Z0-9]{1,13}$`)
	badInName = regexp.MustCompile("[<>$|`\r\n]")
)

const (
	maxName    = 256
	maxStrings = 10280
	// maxJarStep bounds all strings of a HadoopJarStep together.
	maxJarStep         = 10240
	maxBootstrap       = 16
	defaultIdleTimeout = 3600
)

func (c *call) runJobFlow(in *emr.RunJobFlowInput) (*emr.RunJobFlowOutput, error) {
	if err := checkRequest(in); err != nil {
		return nil, err
	}
	if err := checkInstances(in.Instances); err != nil {
		return nil, err
	}
	if name := val(in.SecurityConfiguration); name != "" && c.security(name) == nil {
		return nil, refused("Security configuration with name '%s' does not exist.", name)
	}
	cl := &Cluster{ID: c.freshID(), Region: c.region, Request: *in, Plan: c.pace}
	steps, err := c.newSteps(cl, in.Steps)
	if err != nil {
		return nil, err
	}
	cl.Request.Steps = nil
	cl.withDefaults()
	c.c.Faults.plan(*in.Name, &cl.Plan)
	cl.begin(c.now)
	cl.addSteps(c.now, steps...)
	cl.provision(c.now)
	if err := c.changed(cl); err != nil {
		return nil, err
	}
	c.all[cl.ID] = cl
	c.order = append(c.order, cl)
	c.live[cl] = true
	return &emr.RunJobFlowOutput{JobFlowId: &cl.ID, ClusterArn: ptr(cl.arn())}, nil
}

func (c *call) freshID() string {
	for {
		if id := newID("j", 13); c.all[id] == nil {
			return id
		}
	}
}

func checkRequest(in *emr.RunJobFlowInput) error {
	switch {
	case in.Name == nil:
		return missing("name")
	case in.Instances == nil:
		return missing("instances")
	case len(*in.Name) > maxName || badInName.MatchString(*in.Name):
		return refused("Invalid cluster name: a name has at most %d characters, and none of <, >, $, | and `.", maxName)
	case val(in.JobFlowRole) == "":
		return refused("InstanceProfile is required for creating cluster.")
	case val(in.ServiceRole) == "":
		return refused("ServiceRole is required for creating cluster.")
	}
	if err := checkVersion(in); err != nil {
		return err
	}
	if n := in.StepConcurrencyLevel; n != nil && (*n < 1 || *n > maxConcurrency) {
		return refused("Invalid step concurrency level. Allowed level is from 1 to 256")
	}
	if len(in.BootstrapActions) > maxBootstrap {
		return refused("Maximum number of bootstrap actions for cluster exceeded.")
	}
	for _, b := range in.BootstrapActions {
		if b.ScriptBootstrapAction == nil || val(b.ScriptBootstrapAction.Path) == "" || val(b.Name) == "" {
			return missing("bootstrapActions.member.scriptBootstrapAction.path")
		}
	}
	if p := in.AutoTerminationPolicy; p != nil {
		if err := checkIdle(p, val(in.ReleaseLabel)); err != nil {
			return err
		}
	}
	if err := checkManaged(in.ManagedScalingPolicy); err != nil {
		return err
	}
	if u := val(in.LogUri); u != "" && !logURI.MatchString(u) {
		return refused("The supplied log URI is invalid: %s.", u)
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	return enum("scaleDownBehavior", in.ScaleDownBehavior, in.ScaleDownBehavior.Values())
}

var logURI = regexp.MustCompile(`^s3[an]?://[a-z0-9][a-z0-9.-]*(/.*)?$`)

func checkVersion(in *emr.RunJobFlowInput) error {
	hadoop := ""
	if in.Instances != nil {
		hadoop = val(in.Instances.HadoopVersion)
	}
	label, ami := val(in.ReleaseLabel), val(in.AmiVersion)
	switch {
	case label != "" && ami != "":
		return refused("Only one AMI version and release label may be specified. Provided AMI: %s, release label: %s.", ami, label)
	case label == "" && ami == "" && hadoop == "":
		return refused("Must specify exactly one of the following: release label, AMI version, or Hadoop version.")
	case label != "" && !knownRelease(label):
		return refused("The supplied release label is invalid: %s.", label)
	case label == "":
		return refused("Clusters of AMI versions are not built into tidemill local: give a release label, such as %s.", newestRelease)
	case val(in.CustomAmiId) != "" && !atLeast(label, 5, 7):
		return refused("Custom AMI is not allowed")
	}
	return nil
}

// checkIdle checks a policy and fills in its default.
func checkIdle(p *types.AutoTerminationPolicy, label string) error {
	if !atLeast(label, 6, 1) && (!atLeast(label, 5, 30) || strings.HasPrefix(label, "emr-6.")) {
		return refused("Auto-termination is not available for this account when using this release of EMR")
	}
	if p.IdleTimeout == nil {
		p.IdleTimeout = ptr(int64(defaultIdleTimeout))
	}
	if n := *p.IdleTimeout; n < 60 || n > 604800 {
		return refused("Invalid auto-termination policy: IdleTimeout must be between 60 and 604800 seconds.")
	}
	return nil
}

func checkTags(tags []types.Tag) error {
	for _, t := range tags {
		switch k := val(t.Key); {
		case k == "" || len(k) > 128 || len(val(t.Value)) > 256:
			return refused("Invalid tag: a key has 1 to 128 characters, a value at most 256.")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return refused("Invalid tag: the prefix aws: is reserved.")
		}
	}
	return nil
}

// maxInstances bounds a group or fleet: AWS's own limits are an account's.
const maxInstances = 4000

// checkCounts holds numbers of instances, or of units of capacity.
func checkCounts(counts ...*int32) error {
	for _, n := range counts {
		if v := val(n); v < 0 || v > maxInstances {
			return refused("The number of instances must be between 0 and %d, not %d.", maxInstances, v)
		}
	}
	return nil
}

// checkInstances holds the instances against AWS's rules.
func checkInstances(in *types.JobFlowInstancesConfig) error {
	uniform := in.MasterInstanceType != nil || in.SlaveInstanceType != nil || in.InstanceCount != nil
	ways := 0
	for _, way := range []bool{len(in.InstanceGroups) > 0, len(in.InstanceFleets) > 0, uniform} {
		if way {
			ways++
		}
	}
	if ways != 1 {
		return refused("Please configure instances using one and only one of the following: instance groups; instance fleets; instance count, master and slave instance type.")
	}
	if err := checkCounts(in.InstanceCount); err != nil {
		return err
	}
	switch {
	case len(in.InstanceGroups) > 0:
		return checkGroups(in.InstanceGroups)
	case len(in.InstanceFleets) > 0:
		return checkFleets(in.InstanceFleets)
	case val(in.MasterInstanceType) == "":
		return refused("Master instance type is required.")
	case val(in.InstanceCount) < 1:
		return refused("An instance group must have at least one instance")
	case val(in.InstanceCount) > 1 && val(in.SlaveInstanceType) == "":
		return refused("Slave instance type is required for clusters of more than one instance.")
	}
	return nil
}

func checkGroups(groups []types.InstanceGroupConfig) error {
	n := map[types.InstanceRoleType]int{}
	for _, g := range groups {
		if err := enum("instances.instanceGroups.member.instanceRole", g.InstanceRole, g.InstanceRole.Values()); err != nil {
			return err
		}
		if err := checkCounts(g.InstanceCount); err != nil {
			return err
		}
		switch {
		case g.InstanceRole == "":
			return missing("instances.instanceGroups.member.instanceRole")
		case val(g.InstanceType) == "":
			return missing("instances.instanceGroups.member.instanceType")
		case g.InstanceCount == nil:
			return missing("instances.instanceGroups.member.instanceCount")
		case *g.InstanceCount < 1 && g.InstanceRole != types.InstanceRoleTypeTask:
			return refused("An instance group must have at least one instance")
		case g.InstanceRole == types.InstanceRoleTypeMaster && *g.InstanceCount != 1 && *g.InstanceCount != 3:
			return refused("Master instance group must have exactly 3 instances for HA clusters.")
		}
		n[g.InstanceRole]++
	}
	switch {
	case n[types.InstanceRoleTypeMaster] == 0:
		return refused("Zero master instance groups supplied, you must specify exactly one master instance group")
	case n[types.InstanceRoleTypeMaster] > 1:
		return refused("Multiple master instance groups supplied, you must specify exactly one master instance group")
	case n[types.InstanceRoleTypeCore] > 1:
		return refused("Multiple core instance groups supplied, you may only specify one core instance group")
	case n[types.InstanceRoleTypeTask] > 0 && n[types.InstanceRoleTypeCore] == 0:
		return refused("Clusters with task nodes must also define core nodes.")
	}
	return nil
}

func checkFleets(fleets []types.InstanceFleetConfig) error {
	n := map[types.InstanceFleetType]int{}
	for _, f := range fleets {
		if err := enum("instances.instanceFleets.member.instanceFleetType", f.InstanceFleetType, f.InstanceFleetType.Values()); err != nil {
			return err
		}
		if err := checkCounts(f.TargetOnDemandCapacity, f.TargetSpotCapacity); err != nil {
			return err
		}
		want := val(f.TargetOnDemandCapacity) + val(f.TargetSpotCapacity)
		switch {
		case f.InstanceFleetType == "":
			return missing("instances.instanceFleets.member.instanceFleetType")
		case len(f.InstanceTypeConfigs) == 0:
			return refused("At least one instance type must be specified for the instance fleet %s.", f.InstanceFleetType)
		case f.InstanceFleetType == types.InstanceFleetTypeMaster && want != 1 && want != 3:
			return refused("The target capacity of the master instance fleet must be 1.")
		case f.InstanceFleetType == types.InstanceFleetTypeCore && want < 1:
			return refused("The target capacity of the core instance fleet must be at least 1.")
		}
		if n[f.InstanceFleetType]++; n[f.InstanceFleetType] > 1 {
			return refused("Only one instance fleet of type %s may be specified.", f.InstanceFleetType)
		}
	}
	switch {
	case n[types.InstanceFleetTypeMaster] == 0:
		return refused("Zero master instance fleets supplied, you must specify exactly one master instance fleet")
	case n[types.InstanceFleetTypeTask] > 0 && n[types.InstanceFleetTypeCore] == 0:
		return refused("Clusters with task nodes must also define core nodes.")
	}
	return nil
}

// withDefaults fills in what the answers tell though it was not asked for.
func (c *Cluster) withDefaults() {
	r := &c.Request
	if r.VisibleToAllUsers == nil {
		r.VisibleToAllUsers = ptr(true)
	}
	if r.StepConcurrencyLevel == nil {
		r.StepConcurrencyLevel = ptr(int32(1))
	}
	if r.ScaleDownBehavior == "" {
		r.ScaleDownBehavior = types.ScaleDownBehaviorTerminateAtTaskCompletion
	}
	if u := val(r.LogUri); u != "" {
		// EMR tells the folder by its own scheme.
		_, rest, _ := strings.Cut(u, "://")
		r.LogUri = ptr("s3n://" + strings.TrimSuffix(rest, "/") + "/")
	}
	for i, a := range r.Applications {
		if a.Version == nil {
			if v := version(val(r.ReleaseLabel), val(a.Name)); v != "" {
				r.Applications[i].Version = &v
			}
		}
	}
	// Three masters force both.
	if i := r.Instances; masters(i) == 3 {
		i.TerminationProtected, i.KeepJobFlowAliveWhenNoSteps = ptr(true), ptr(true)
	}
}

func masters(in *types.JobFlowInstancesConfig) int32 {
	for _, g := range in.InstanceGroups {
		if g.InstanceRole == types.InstanceRoleTypeMaster {
			return val(g.InstanceCount)
		}
	}
	for _, f := range in.InstanceFleets {
		if f.InstanceFleetType == types.InstanceFleetTypeMaster {
			return val(f.TargetOnDemandCapacity) + val(f.TargetSpotCapacity)
		}
	}
	return 1
}
