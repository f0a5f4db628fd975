package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/pipeline"
)

// runJobFlow is the request that makes the target's cluster, in RunJobFlow's own words.
func (c *compiler) runJobFlow(parts []*tree) object {
	cl := c.t.Cluster
	o := object{{"Name", wrap(c.clusterName())}, {"ReleaseLabel", cl.Release}}
	o.putSome("LogUri", cl.LogURI)
	apps := cl.Applications.Values()
	if len(apps) == 0 {
		apps = []string{"Spark"}
	}
	var list []any
	for _, a := range apps {
		list = append(list, object{{"Name", a}})
	}
	o.put("Applications", list)
	o.put("Instances", c.instances())
	o.putSome("BootstrapActions", c.bootstrap())
	if cl.Configurations != nil {
		o.put("Configurations", c.any(*cl.Configurations, outer))
	}
	o.putSome("ManagedScalingPolicy", c.scaling())
	role := func(name, def string) string {
		if name == "" {
			return def
		}
		return name
	}
	r := pipeline.Roles{}
	if cl.Roles != nil {
		r = *cl.Roles
	}
	o.put("ServiceRole", role(r.Service, "EMR_DefaultRole"))
	o.put("JobFlowRole", role(r.Instance, "EMR_EC2_DefaultRole"))
	o.putSome("SecurityConfiguration", cl.SecurityConfiguration)
	o.put("VisibleToAllUsers", true)
	o.put("StepConcurrencyLevel", c.concurrency(parts))
	o.put("AutoTerminationPolicy", object{{"IdleTimeout", c.idleSeconds()}})
	o.put("Tags", c.tags(parts))
	return o
}

func (c *compiler) concurrency(parts []*tree) int {
	if s := c.t.Cluster.Steps; s != nil && s.Concurrency > 0 {
		return min(s.Concurrency, 256)
	}
	return min(256, max(1, c.width(&tree{children: parts})))
}

// idleSeconds is the idle time as EMR takes it: between a minute and seven days.
func (c *compiler) idleSeconds() int {
	d := idle(c.t.Cluster)
	if d < time.Minute || d > 7*24*time.Hour {
		c.fault(c.t.Cluster.Pos, "", "target %q: idle_timeout is between 1m and 7d", c.target)
	}
	return seconds(d)
}

func (c *compiler) tags(parts []*tree) []any {
	cl := c.t.Cluster
	tag := func(k string, v any) object { return object{{"Key", k}, {"Value", v}} }
	bound := c.bound(parts)
	if c.sharedCluster() {
		bound = cl.MaxAge.Duration
		if bound == 0 {
			bound = defaultAge
		}
		bound += idle(cl)
	}
	out := []any{tag("tidemill:project", c.project.Name.Value), tag("tidemill:pipeline", c.pl.Name.Value), tag("tidemill:run", wrap("$run.run_id")),
		tag("tidemill:state", "cluster.create"), tag("tidemill:expires", wrap(fmt.Sprintf("$fromMillis($millis() + %d)", bound.Milliseconds())))}
	switch cl.Scope {
	case "named":
		out = append(out, tag("tidemill:name", cl.Name))
	case "backfill":
		// A run outside a back-fill has a cluster of its own, without this tag.
		out = append(out, wrap("$run.backfill ? {'Key':'tidemill:name','Value':$run.backfill} : {'Key':'tidemill:scope','Value':'run'}"))
	}
	for _, e := range cl.Tags {
		out = append(out, tag(e.Key, literal(e.Value.Value)))
	}
	return out
}

// instances are the cluster's machines: groups, or fleets where groups cannot say it.
func (c *compiler) instances() object {
	cl := c.t.Cluster
	o := object{{"KeepJobFlowAliveWhenNoSteps", true}, {"TerminationProtected", cl.Protected}}
	subnets := cl.Subnets.Values()
	fleets := len(subnets) > 1 || cl.Fleets != nil
	for _, i := range []*pipeline.Instances{cl.Primary, cl.Core, cl.Task} {
		fleets = fleets || i != nil && i.Fallback != ""
	}
	switch {
	case cl.Fleets != nil && (cl.Primary != nil || cl.Core != nil || cl.Task != nil):
		c.fault(cl.Pos, "", "target %q: fleets stand instead of primary, core and task", c.target)
	case cl.Fleets == nil && cl.Primary == nil:
		c.fault(cl.Pos, "as in primary: m5.xlarge", "target %q: the cluster has no primary node", c.target)
	case cl.Task != nil && cl.Core == nil:
		c.fault(cl.Task.Pos, "", "target %q: task nodes want core nodes", c.target)
	case cl.Fleets != nil:
		o.put("InstanceFleets", c.any(*cl.Fleets, outer))
	case fleets:
		o.put("InstanceFleets", c.nodesOf(fleet))
	default:
		o.put("InstanceGroups", c.nodesOf(group))
	}
	switch {
	case fleets && len(subnets) > 0:
		o.put("Ec2SubnetIds", toAny(subnets))
	case len(subnets) > 0:
		o.put("Ec2SubnetId", subnets[0])
	}
	o.putSome("Ec2KeyName", cl.Key)
	if cl.SecurityGroups != nil {
		groups, ok := c.any(*cl.SecurityGroups, outer).(object)
		if !ok {
			c.fault(cl.SecurityGroups.Pos, "as in {EmrManagedMasterSecurityGroup: sg-1, EmrManagedSlaveSecurityGroup: sg-2}", "target %q: security_groups is a mapping in RunJobFlow's words", c.target)
		}
		o = append(o, groups...)
	}
	return o
}

func (c *compiler) nodesOf(write func(role string, i *pipeline.Instances) object) []any {
	cl := c.t.Cluster
	var out []any
	for _, x := range []struct {
		role string
		i    *pipeline.Instances
	}{{"MASTER", cl.Primary}, {"CORE", cl.Core}, {"TASK", cl.Task}} {
		if x.i != nil {
			out = append(out, write(x.role, x.i))
		}
	}
	return out
}

var roleNames = map[string]string{"MASTER": "primary", "CORE": "core", "TASK": "task"}

func group(role string, i *pipeline.Instances) object {
	market := "ON_DEMAND"
	if i.Market == "spot" {
		market = "SPOT"
	}
	return object{{"Name", roleNames[role]}, {"InstanceRole", role}, {"InstanceType", i.Type}, {"InstanceCount", max(1, i.Count)}, {"Market", market}}
}

// spotMinutes is how long a fleet waits for spot capacity.
const spotMinutes = 10

func fleet(role string, i *pipeline.Instances) object {
	o := object{{"Name", roleNames[role]}, {"InstanceFleetType", role}}
	kind := "TargetOnDemandCapacity"
	if i.Market == "spot" {
		kind = "TargetSpotCapacity"
	}
	o.put(kind, max(1, i.Count))
	o.put("InstanceTypeConfigs", []any{object{{"InstanceType", i.Type}, {"WeightedCapacity", 1}}})
	if i.Market == "spot" {
		action := "TERMINATE_CLUSTER"
		if i.Fallback == "on_demand" {
			action = "SWITCH_TO_ON_DEMAND"
		}
		o.put("LaunchSpecifications", object{{"SpotSpecification", object{{"TimeoutDurationMinutes", spotMinutes}, {"TimeoutAction", action}}}})
	}
	return o
}

// bootstrap are the cluster's bootstrap actions. A file of the project is staged.
func (c *compiler) bootstrap() []any {
	var out []any
	if c.needsNode() {
		out = append(out, object{{"Name", "tidemill-node"}, {"ScriptBootstrapAction", object{{"Path", c.nodeProgram()}, {"Args", []any{"install"}}}}})
	}
	for i, b := range c.t.Cluster.Bootstrap {
		name, path, args := fmt.Sprintf("bootstrap %d", i+1), any(nil), []any(nil)
		switch v := b.Value.(type) {
		case *pipeline.Template:
			path = c.fileURI(v, b.Pos)
		case pipeline.Map[pipeline.Any]:
			for _, e := range v {
				t, isText := e.Value.Value.(*pipeline.Template)
				list, isList := e.Value.Value.([]pipeline.Any)
				switch {
				case e.Key == "path" && isText:
					path = c.fileURI(t, e.Pos)
				case e.Key == "name" && isText:
					name = t.Raw
				case e.Key == "args" && isList:
					for _, a := range list {
						args = append(args, fmt.Sprint(c.any(a, outer)))
					}
				default:
					c.fault(e.Pos, "path, args and name", "target %q: a bootstrap action has no key %q of this kind", c.target, e.Key)
				}
			}
		}
		if path == nil {
			c.fault(b.Pos, "a script's URI, or {path, args, name}", "target %q: a bootstrap action wants a script", c.target)
			continue
		}
		script := object{{"Path", path}}
		script.putSome("Args", args)
		out = append(out, object{{"Name", name}, {"ScriptBootstrapAction", script}})
	}
	return out
}

// scaling is the managed scaling policy: {min, max}, or EMR's own words.
func (c *compiler) scaling() object {
	a := c.t.Cluster.ManagedScaling
	if a == nil {
		return nil
	}
	m, ok := c.any(*a, outer).(object)
	if !ok {
		c.fault(a.Pos, "{min, max}, or EMR's own words", "target %q: managed_scaling is a mapping", c.target)
		return nil
	}
	if !m.has("min") && !m.has("max") {
		return m
	}
	unit := "Instances"
	if c.instances().has("InstanceFleets") {
		unit = "InstanceFleetUnits"
	}
	return object{{"ComputeLimits", object{{"UnitType", unit}, {"MinimumCapacityUnits", m.get("min")}, {"MaximumCapacityUnits", m.get("max")}}}}
}

// storeURI is where the target's datasets and staged files lie.
func (c *compiler) storeURI() string {
	if c.t.Store == nil || !strings.HasPrefix(c.t.Store.URL, "s3://") {
		c.fault(c.t.Pos, "as in store: s3://BUCKET/tidemill", "target %q: a cluster reads and writes the store: it has to lie in S3", c.target)
		return "s3://store"
	}
	return strings.TrimSuffix(c.t.Store.URL, "/")
}
