package emr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/flow"
)

// end asks for a cluster's end, its protection taken away first if need be.
func (e *EMR) end(ctx context.Context, id string) error {
	_, err := e.terminateJobFlows(ctx, &awsemr.TerminateJobFlowsInput{JobFlowIds: []string{id}})
	if err == nil {
		return nil
	}
	d, derr := e.describe(ctx, id)
	switch {
	case derr != nil:
		return fault("terminate cluster "+id, errors.Join(err, derr))
	case d.Cluster.Status.State == types.ClusterStateTerminating || dead(d.Cluster.Status.State):
		return nil
	case !aws.ToBool(d.Cluster.TerminationProtected):
		return fault("terminate cluster "+id, err)
	}
	if _, err := e.client.SetTerminationProtection(ctx, &awsemr.SetTerminationProtectionInput{JobFlowIds: []string{id}, TerminationProtected: aws.Bool(false)}); err != nil {
		return fault("take the protection from cluster "+id, err)
	}
	_, err = e.terminateJobFlows(ctx, &awsemr.TerminateJobFlowsInput{JobFlowIds: []string{id}})
	return fault("terminate cluster "+id, err)
}

// gone waits until a cluster has ended.
func (e *EMR) gone(ctx context.Context, id string) error {
	err := e.poll.wait(ctx, id, "", func(s types.ClusterState, _ *types.StepSummary) bool { return dead(s) })
	if err != nil {
		return fault("wait for the end of cluster "+id, err)
	}
	return e.ended(ctx, id)
}

func (e *EMR) terminateJobFlows(ctx context.Context, in *awsemr.TerminateJobFlowsInput) (out *awsemr.TerminateJobFlowsOutput, err error) {
	err = e.patiently(ctx, func() (err error) { out, err = e.client.TerminateJobFlows(ctx, in); return err })
	return out, err
}

type clusterArguments struct {
	ClusterId string //nolint:revive // AWS's name
}

// terminate is terminateCluster: it asks, and does not wait.
func (e *EMR) terminate(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var in clusterArguments
	if err := arguments(r, &in); err != nil {
		return nil, err
	}
	out, err := e.terminateJobFlows(ctx, &awsemr.TerminateJobFlowsInput{JobFlowIds: []string{in.ClusterId}})
	if err != nil {
		return nil, fault("terminate cluster "+in.ClusterId, err)
	}
	return output(struct{}{}, out.ResultMetadata)
}

// terminateTask is terminateCluster.sync: it ends when the cluster has ended, however.
type terminateTask struct{ e *EMR }

func (t *terminateTask) Start(ctx context.Context, r flow.Request) (flow.Token, error) {
	var in clusterArguments
	if err := arguments(r, &in); err != nil {
		return "", err
	}
	// A protected cluster is refused, as AWS refuses it: the machine has to say that it means it.
	if _, err := t.e.terminateJobFlows(ctx, &awsemr.TerminateJobFlowsInput{JobFlowIds: []string{in.ClusterId}}); err != nil {
		if alive, aerr := t.e.alive(ctx, in.ClusterId); aerr != nil || alive {
			return "", fault("terminate cluster "+in.ClusterId, err)
		}
	}
	return flow.Token(in.ClusterId), nil
}

func (*terminateTask) Submitted(flow.Token) json.RawMessage { return json.RawMessage("{}") }

func (t *terminateTask) Wait(ctx context.Context, r flow.Request, token flow.Token) (json.RawMessage, error) {
	id := string(token)
	fmt.Fprintf(r.Log, "cluster %s: TERMINATING\n", id) //nolint:errcheck // a log
	r.Progress(flow.Progress{Doing: "cluster " + id + " terminating"})
	if err := t.e.gone(ctx, id); err != nil {
		return nil, err
	}
	d, err := t.e.describe(ctx, id)
	if err != nil {
		return nil, err
	}
	return output(struct{ Cluster *types.Cluster }{d.Cluster}, d.ResultMetadata)
}

// Stop lets the cluster end.
func (*terminateTask) Stop(context.Context, flow.Token) error { return nil }

// protect is setClusterTerminationProtection.
func (e *EMR) protect(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var in struct {
		ClusterId            string //nolint:revive // AWS's name
		TerminationProtected bool
	}
	if err := arguments(r, &in); err != nil {
		return nil, err
	}
	out, err := e.client.SetTerminationProtection(ctx, &awsemr.SetTerminationProtectionInput{JobFlowIds: []string{in.ClusterId}, TerminationProtected: &in.TerminationProtected})
	if err != nil {
		return nil, fault("set the protection of cluster "+in.ClusterId, err)
	}
	return output(struct{}{}, out.ResultMetadata)
}

// modifyFleet is modifyInstanceFleetByName.
func (e *EMR) modifyFleet(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var in struct {
		ClusterId, InstanceFleetName string //nolint:revive // AWS's names
		InstanceFleet                types.InstanceFleetModifyConfig
	}
	if err := arguments(r, &in); err != nil {
		return nil, err
	}
	op := "modify instance fleet " + in.InstanceFleetName
	for p := awsemr.NewListInstanceFleetsPaginator(e.client, &awsemr.ListInstanceFleetsInput{ClusterId: &in.ClusterId}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			return nil, fault(op, err)
		}
		for _, f := range out.InstanceFleets {
			if aws.ToString(f.Name) != in.InstanceFleetName {
				continue
			}
			in.InstanceFleet.InstanceFleetId = f.Id
			out, err := e.client.ModifyInstanceFleet(ctx, &awsemr.ModifyInstanceFleetInput{ClusterId: &in.ClusterId, InstanceFleet: &in.InstanceFleet})
			if err != nil {
				return nil, fault(op, err)
			}
			return output(struct{}{}, out.ResultMetadata)
		}
	}
	return nil, noSuch(op, in.ClusterId)
}

// modifyGroup is modifyInstanceGroupByName.
func (e *EMR) modifyGroup(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var in struct {
		ClusterId, InstanceGroupName string //nolint:revive // AWS's names
		InstanceGroup                types.InstanceGroupModifyConfig
	}
	if err := arguments(r, &in); err != nil {
		return nil, err
	}
	op := "modify instance group " + in.InstanceGroupName
	for p := awsemr.NewListInstanceGroupsPaginator(e.client, &awsemr.ListInstanceGroupsInput{ClusterId: &in.ClusterId}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			return nil, fault(op, err)
		}
		for _, g := range out.InstanceGroups {
			if aws.ToString(g.Name) != in.InstanceGroupName {
				continue
			}
			in.InstanceGroup.InstanceGroupId = g.Id
			out, err := e.client.ModifyInstanceGroups(ctx, &awsemr.ModifyInstanceGroupsInput{ClusterId: &in.ClusterId, InstanceGroups: []types.InstanceGroupModifyConfig{in.InstanceGroup}})
			if err != nil {
				return nil, fault(op, err)
			}
			return output(struct{}{}, out.ResultMetadata)
		}
	}
	return nil, noSuch(op, in.ClusterId)
}

func noSuch(op, cluster string) error {
	return &flow.Error{Op: op, Kind: flow.NotFound, Name: "EMR.AmazonElasticMapReduceException", Err: fmt.Errorf("cluster %s has none of that name", cluster)}
}
