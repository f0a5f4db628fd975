package emr

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
)

func (c *call) putAutoTermination(in *emr.PutAutoTerminationPolicyInput) (*emr.PutAutoTerminationPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	if !cl.accepts() {
		return nil, invalid("A job flow that is shutting down, terminated, or finished may not be modified.")
	}
	p := in.AutoTerminationPolicy
	if p == nil {
		p = &types.AutoTerminationPolicy{}
	}
	if err := checkIdle(p, val(cl.Request.ReleaseLabel)); err != nil {
		return nil, err
	}
	// A new policy counts from now: time that passed under none, or another, is forgotten.
	if !cl.Idle.IsZero() {
		cl.Idle = c.now
	}
	cl.Request.AutoTerminationPolicy = p
	return &emr.PutAutoTerminationPolicyOutput{}, c.changed(cl)
}

func (c *call) getAutoTermination(in *emr.GetAutoTerminationPolicyInput) (*emr.GetAutoTerminationPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	return &emr.GetAutoTerminationPolicyOutput{AutoTerminationPolicy: cl.Request.AutoTerminationPolicy}, nil
}

func (c *call) removeAutoTermination(in *emr.RemoveAutoTerminationPolicyInput) (*emr.RemoveAutoTerminationPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	cl.Request.AutoTerminationPolicy = nil
	return &emr.RemoveAutoTerminationPolicyOutput{}, c.changed(cl)
}

// checkManaged holds a managed scaling policy against its rules. It is kept and never acts.
func checkManaged(p *types.ManagedScalingPolicy) error {
	if p == nil || p.ComputeLimits == nil {
		return nil
	}
	l := p.ComputeLimits
	switch {
	case l.UnitType == "" || l.MinimumCapacityUnits == nil || l.MaximumCapacityUnits == nil:
		return missing("managedScalingPolicy.computeLimits")
	case *l.MinimumCapacityUnits < 1 || *l.MaximumCapacityUnits < *l.MinimumCapacityUnits:
		return refused("Invalid managed scaling policy: the maximum capacity must be at least the minimum, and that at least 1.")
	}
	return enum("computeLimits.unitType", l.UnitType, l.UnitType.Values())
}

func (c *call) putManagedScaling(in *emr.PutManagedScalingPolicyInput) (*emr.PutManagedScalingPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	if in.ManagedScalingPolicy == nil {
		return nil, missing("managedScalingPolicy")
	}
	if err := checkManaged(in.ManagedScalingPolicy); err != nil {
		return nil, err
	}
	cl.Request.ManagedScalingPolicy = in.ManagedScalingPolicy
	return &emr.PutManagedScalingPolicyOutput{}, c.changed(cl)
}

func (c *call) getManagedScaling(in *emr.GetManagedScalingPolicyInput) (*emr.GetManagedScalingPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	return &emr.GetManagedScalingPolicyOutput{ManagedScalingPolicy: cl.Request.ManagedScalingPolicy}, nil
}

func (c *call) removeManagedScaling(in *emr.RemoveManagedScalingPolicyInput) (*emr.RemoveManagedScalingPolicyOutput, error) {
	cl, err := c.cluster(in.ClusterId)
	if err != nil {
		return nil, err
	}
	cl.Request.ManagedScalingPolicy = nil
	return &emr.RemoveManagedScalingPolicyOutput{}, c.changed(cl)
}

// Settings are what belongs to no cluster, by region.
type Settings struct {
	Security map[string][]SecurityConfiguration
	Public   map[string]*types.BlockPublicAccessConfiguration
	PublicAt map[string]time.Time
}

// SecurityConfiguration is kept, and never acts.
type SecurityConfiguration struct {
	Name, Text string
	Created    time.Time
}

func (s *store) settingsFile() string { return filepath.Join(s.dir, "settings.json") }

func (c *call) security(name string) *SecurityConfiguration {
	list := c.settings.Security[c.region]
	if i := slices.IndexFunc(list, func(s SecurityConfiguration) bool { return s.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

func (c *call) setSecurity(list []SecurityConfiguration) error {
	if c.settings.Security == nil {
		c.settings.Security = map[string][]SecurityConfiguration{}
	}
	c.settings.Security[c.region] = list
	return write(c.store.settingsFile(), c.settings)
}

func (c *call) createSecurityConfiguration(in *emr.CreateSecurityConfigurationInput) (*emr.CreateSecurityConfigurationOutput, error) {
	name := val(in.Name)
	switch {
	case name == "":
		return nil, missing("name")
	case !json.Valid([]byte(val(in.SecurityConfiguration))):
		return nil, invalid("The security configuration is not JSON.")
	case c.security(name) != nil:
		return nil, invalid("SecurityConfiguration with name '%s' already exists.", name)
	}
	s := SecurityConfiguration{Name: name, Text: *in.SecurityConfiguration, Created: c.now}
	return &emr.CreateSecurityConfigurationOutput{Name: &name, CreationDateTime: &s.Created}, c.setSecurity(append(c.settings.Security[c.region], s))
}

func (c *call) describeSecurityConfiguration(in *emr.DescribeSecurityConfigurationInput) (*emr.DescribeSecurityConfigurationOutput, error) {
	s := c.security(val(in.Name))
	if s == nil {
		return nil, invalid("Security configuration with name '%s' does not exist.", val(in.Name))
	}
	return &emr.DescribeSecurityConfigurationOutput{Name: &s.Name, SecurityConfiguration: &s.Text, CreationDateTime: &s.Created}, nil
}

func (c *call) listSecurityConfigurations(in *emr.ListSecurityConfigurationsInput) (*emr.ListSecurityConfigurationsOutput, error) {
	list := slices.Clone(c.settings.Security[c.region])
	slices.Reverse(list)
	list, next, err := page(list, func(s SecurityConfiguration) string { return s.Name }, in.Marker, perPage)
	if err != nil {
		return nil, err
	}
	out := &emr.ListSecurityConfigurationsOutput{Marker: next, SecurityConfigurations: []types.SecurityConfigurationSummary{}}
	for _, s := range list {
		out.SecurityConfigurations = append(out.SecurityConfigurations, types.SecurityConfigurationSummary{Name: &s.Name, CreationDateTime: &s.Created})
	}
	return out, nil
}

func (c *call) deleteSecurityConfiguration(in *emr.DeleteSecurityConfigurationInput) (*emr.DeleteSecurityConfigurationOutput, error) {
	if c.security(val(in.Name)) == nil {
		return nil, invalid("Security configuration with name '%s' does not exist.", val(in.Name))
	}
	return &emr.DeleteSecurityConfigurationOutput{}, c.setSecurity(slices.DeleteFunc(slices.Clone(c.settings.Security[c.region]), func(s SecurityConfiguration) bool { return s.Name == *in.Name }))
}

func (c *call) getBlockPublicAccess(*emr.GetBlockPublicAccessConfigurationInput) (*emr.GetBlockPublicAccessConfigurationOutput, error) {
	p, at := c.settings.Public[c.region], c.settings.PublicAt[c.region]
	if p == nil {
		// AWS's own default.
		p = &types.BlockPublicAccessConfiguration{BlockPublicSecurityGroupRules: ptr(true), PermittedPublicSecurityGroupRuleRanges: []types.PortRange{{MinRange: ptr(int32(22)), MaxRange: ptr(int32(22))}}}
		at = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &emr.GetBlockPublicAccessConfigurationOutput{BlockPublicAccessConfiguration: p, BlockPublicAccessConfigurationMetadata: &types.BlockPublicAccessConfigurationMetadata{
		CreatedByArn: ptr("arn:aws:iam::" + account + ":root"), CreationDateTime: &at,
	}}, nil
}

func (c *call) putBlockPublicAccess(in *emr.PutBlockPublicAccessConfigurationInput) (*emr.PutBlockPublicAccessConfigurationOutput, error) {
	if in.BlockPublicAccessConfiguration == nil {
		return nil, missing("blockPublicAccessConfiguration")
	}
	if c.settings.Public == nil {
		c.settings.Public, c.settings.PublicAt = map[string]*types.BlockPublicAccessConfiguration{}, map[string]time.Time{}
	}
	c.settings.Public[c.region], c.settings.PublicAt[c.region] = in.BlockPublicAccessConfiguration, c.now
	return &emr.PutBlockPublicAccessConfigurationOutput{}, write(c.store.settingsFile(), c.settings)
}

// labelPages is how many release labels a page has unless asked otherwise.
const labelPages = 100

func (c *call) listReleaseLabels(in *emr.ListReleaseLabelsInput) (*emr.ListReleaseLabelsOutput, error) {
	var found []string
	for _, l := range releaseLabels() {
		if f := in.Filters; f != nil {
			if !strings.HasPrefix(l, val(f.Prefix)) {
				continue
			}
			if name, v, _ := strings.Cut(val(f.Application), "@"); name != "" && (version(l, name) == "" || v != "" && version(l, name) != v) {
				continue
			}
		}
		found = append(found, l)
	}
	n := labelPages
	if m := val(in.MaxResults); m > 0 {
		n = min(int(m), labelPages)
	}
	found, next, err := page(found, func(l string) string { return l }, in.NextToken, n)
	return &emr.ListReleaseLabelsOutput{ReleaseLabels: found, NextToken: next}, err
}

func (c *call) describeReleaseLabel(in *emr.DescribeReleaseLabelInput) (*emr.DescribeReleaseLabelOutput, error) {
	label := val(in.ReleaseLabel)
	if label == "" {
		label = newestRelease
	}
	if !knownRelease(label) {
		return nil, invalid("The supplied release label is invalid: %s.", label)
	}
	out := &emr.DescribeReleaseLabelOutput{ReleaseLabel: &label, Applications: []types.SimplifiedApplication{}, AvailableOSReleases: []types.OSRelease{}}
	if v := version(label, "Spark"); v != "" {
		out.Applications = append(out.Applications, types.SimplifiedApplication{Name: ptr("Spark"), Version: &v})
	}
	return out, nil
}

func (c *call) listSupportedInstanceTypes(in *emr.ListSupportedInstanceTypesInput) (*emr.ListSupportedInstanceTypesOutput, error) {
	if l := val(in.ReleaseLabel); !knownRelease(l) {
		return nil, invalid("The supplied release label is invalid: %s.", l)
	}
	list, next, err := page(instanceTypes(), func(t types.SupportedInstanceType) string { return *t.Type }, in.Marker, perPage)
	return &emr.ListSupportedInstanceTypesOutput{SupportedInstanceTypes: list, Marker: next}, err
}
