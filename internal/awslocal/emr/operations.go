package emr

import (
	"maps"
	"slices"
)

// Operations are the names of those that are built.
func Operations() []string { return slices.Sorted(maps.Keys(operations)) }

// operations are those that are built.
var operations = map[string]operation{
	"RunJobFlow":                     op((*call).runJobFlow),
	"DescribeCluster":                op((*call).describeCluster),
	"DescribeJobFlows":               op((*call).describeJobFlows),
	"ListClusters":                   op((*call).listClusters),
	"TerminateJobFlows":              op((*call).terminateJobFlows),
	"SetTerminationProtection":       op((*call).setTerminationProtection),
	"SetKeepJobFlowAliveWhenNoSteps": op((*call).setKeepAlive),
	"SetVisibleToAllUsers":           op((*call).setVisible),
	"SetUnhealthyNodeReplacement":    op((*call).setUnhealthy),
	"ModifyCluster":                  op((*call).modifyCluster),
	"AddTags":                        op((*call).addTags),
	"RemoveTags":                     op((*call).removeTags),

	"AddJobFlowSteps": op((*call).addJobFlowSteps),
	"DescribeStep":    op((*call).describeStep),
	"ListSteps":       op((*call).listSteps),
	"CancelSteps":     op((*call).cancelSteps),

	"ListBootstrapActions":    op((*call).listBootstrapActions),
	"ListInstanceGroups":      op((*call).listInstanceGroups),
	"ListInstanceFleets":      op((*call).listInstanceFleets),
	"ListInstances":           op((*call).listInstances),
	"AddInstanceGroups":       op((*call).addInstanceGroups),
	"AddInstanceFleet":        op((*call).addInstanceFleet),
	"ModifyInstanceGroups":    op((*call).modifyInstanceGroups),
	"ModifyInstanceFleet":     op((*call).modifyInstanceFleet),
	"PutAutoScalingPolicy":    op((*call).putAutoScaling),
	"RemoveAutoScalingPolicy": op((*call).removeAutoScaling),

	"PutAutoTerminationPolicy":          op((*call).putAutoTermination),
	"GetAutoTerminationPolicy":          op((*call).getAutoTermination),
	"RemoveAutoTerminationPolicy":       op((*call).removeAutoTermination),
	"PutManagedScalingPolicy":           op((*call).putManagedScaling),
	"GetManagedScalingPolicy":           op((*call).getManagedScaling),
	"RemoveManagedScalingPolicy":        op((*call).removeManagedScaling),
	"CreateSecurityConfiguration":       op((*call).createSecurityConfiguration),
	"DescribeSecurityConfiguration":     op((*call).describeSecurityConfiguration),
	"ListSecurityConfigurations":        op((*call).listSecurityConfigurations),
	"DeleteSecurityConfiguration":       op((*call).deleteSecurityConfiguration),
	"GetBlockPublicAccessConfiguration": op((*call).getBlockPublicAccess),
	"PutBlockPublicAccessConfiguration": op((*call).putBlockPublicAccess),
	"ListReleaseLabels":                 op((*call).listReleaseLabels),
	"DescribeReleaseLabel":              op((*call).describeReleaseLabel),
	"ListSupportedInstanceTypes":        op((*call).listSupportedInstanceTypes),
}

// others are EMR's operations that are not built.
var others = []string{
	"CreatePersistentAppUI", "CreateStudio", "CreateStudioSessionMapping", "DeleteStudio", "DeleteStudioSessionMapping", "DescribeNotebookExecution",
	"DescribePersistentAppUI", "DescribeStudio", "GetClusterSessionCredentials", "GetOnClusterAppUIPresignedURL", "GetPersistentAppUIPresignedURL",
	"GetSession", "GetSessionEndpoint", "GetStudioSessionMapping", "ListNotebookExecutions", "ListSessions", "ListStudioSessionMappings", "ListStudios",
	"StartNotebookExecution", "StartSession", "StopNotebookExecution", "TerminateSession", "UpdateStudio", "UpdateStudioSessionMapping",
}
