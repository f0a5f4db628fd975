package emr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/flow"
)

// createTask is createCluster: the request is RunJobFlow's, the token the cluster's id.
type createTask struct {
	e    *EMR
	sync bool
}

// request reads the arguments and gives a cluster of a run's own its name.
func (t *createTask) request(r flow.Request) (*awsemr.RunJobFlowInput, error) {
	in := &awsemr.RunJobFlowInput{}
	if err := arguments(r, in); err != nil {
		return nil, err
	}
	switch {
	case len(in.Steps) > 0:
		return nil, invalid(errors.New("createCluster takes no Steps: add them with addStep"))
	case in.Instances == nil || !aws.ToBool(in.Instances.KeepJobFlowAliveWhenNoSteps):
		return nil, invalid(errors.New("createCluster wants Instances.KeepJobFlowAliveWhenNoSteps true"))
	}
	if ours(in.Tags, r.Run) && !shared(in.Tags) {
		in.Name = aws.String(r.Key)
	}
	return in, nil
}

func tag(tags []types.Tag, key string) (string, bool) {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value), true
		}
	}
	return "", false
}

// ours tells whether a cluster is made for a run.
func ours(tags []types.Tag, run string) bool {
	v, ok := tag(tags, TagRun)
	return ok && v == run
}

func shared(tags []types.Tag) bool {
	_, ok := tag(tags, TagName)
	return ok
}

// Start makes the cluster, or finds the one that was made for the request.
func (t *createTask) Start(ctx context.Context, r flow.Request) (flow.Token, error) {
	in, err := t.request(r)
	if err != nil {
		return "", err
	}
	if !ours(in.Tags, r.Run) {
		// Nothing says whose it is: it cannot be found again.
		out, err := t.e.client.RunJobFlow(ctx, in)
		if err != nil {
			return "", fault("create cluster", err)
		}
		return flow.Token(aws.ToString(out.JobFlowId)), nil
	}
	id, err := t.own(ctx, r, in)
	if err == nil {
		fmt.Fprintf(r.Log, "cluster %s is %s\n", aws.ToString(in.Name), id) //nolint:errcheck // the token says it too
	}
	return flow.Token(id), err
}

// own makes a cluster that belongs to a run or, shared, to its name.
func (t *createTask) own(ctx context.Context, r flow.Request, in *awsemr.RunJobFlowInput) (string, error) {
	e, name := t.e, aws.ToString(in.Name)
	c, since := Cluster{Key: name, Run: r.Run, Target: e.c.Target, Name: name, Shared: shared(in.Tags), Intended: e.c.Now()}, r.Since
	if e.c.Journal != nil {
		old, mine, err := e.c.Journal.IntendCluster(ctx, c)
		if err != nil {
			return "", err
		}
		if !mine && old.ID != "" {
			if alive, err := e.alive(ctx, old.ID); err != nil || alive || !old.Shared {
				return old.ID, err
			}
			if err := e.c.Journal.EndedCluster(ctx, old.ID, e.c.Now()); err != nil {
				return "", err
			}
			if _, _, err := e.c.Journal.IntendCluster(ctx, c); err != nil {
				return "", err
			}
		}
		if !mine && old.ID == "" && since.IsZero() {
			since = old.Intended // another process is about to make it, or died there
		}
	}
	id, err := begin(ctx, e, "create cluster "+name, since, func(ctx context.Context) (string, bool, error) { return e.find(ctx, name) },
		func(ctx context.Context) (string, error) {
			out, err := e.client.RunJobFlow(ctx, in, once)
			if err != nil {
				return "", err
			}
			return aws.ToString(out.JobFlowId), nil
		})
	if err != nil {
		return "", err
	}
	if e.c.Journal != nil {
		err = e.c.Journal.MadeCluster(context.WithoutCancel(ctx), name, id)
	}
	return id, err
}

// find looks for the living cluster of a name. Of several, the oldest is the one, and the
// others are ended.
func (e *EMR) find(ctx context.Context, name string) (string, bool, error) {
	var found []types.ClusterSummary
	err := e.each(ctx, &awsemr.ListClustersInput{ClusterStates: liveStates[:4]}, func(c types.ClusterSummary) {
		if aws.ToString(c.Name) == name {
			found = append(found, c)
		}
	})
	if err != nil || len(found) == 0 {
		return "", false, err
	}
	slices.SortFunc(found, func(a, b types.ClusterSummary) int { return created(a.Status).Compare(created(b.Status)) })
	for _, c := range found[1:] {
		if err := e.end(ctx, aws.ToString(c.Id)); err != nil {
			return "", false, err
		}
	}
	return aws.ToString(found[0].Id), true, nil
}

func created(s *types.ClusterStatus) time.Time {
	if s == nil || s.Timeline == nil {
		return time.Time{}
	}
	return aws.ToTime(s.Timeline.CreationDateTime)
}

// each lists clusters.
func (e *EMR) each(ctx context.Context, in *awsemr.ListClustersInput, do func(types.ClusterSummary)) error {
	for p := awsemr.NewListClustersPaginator(e.client, in); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, c := range out.Clusters {
			do(c)
		}
	}
	return nil
}

// Find looks for the cluster of a request whose process died.
func (t *createTask) Find(ctx context.Context, r flow.Request) (flow.Token, bool, error) {
	in, err := t.request(r)
	if err != nil || !ours(in.Tags, r.Run) {
		return "", false, err
	}
	id, ok, err := seek(ctx, t.e, r.Since, func(ctx context.Context) (string, bool, error) { return t.e.find(ctx, aws.ToString(in.Name)) })
	return flow.Token(id), ok, fault("find cluster "+aws.ToString(in.Name), err)
}

// Submitted is what RunJobFlow answered.
func (t *createTask) Submitted(token flow.Token) json.RawMessage {
	if !t.sync {
		return nil
	}
	return json.RawMessage(fmt.Sprintf(`{"ClusterId":%q}`, token))
}

// createOutput is what createCluster.sync says, and what its failure's cause is.
type createOutput struct {
	ClusterId string //nolint:revive // AWS's name
	Cluster   *types.Cluster
}

// Wait waits until the cluster takes steps.
func (t *createTask) Wait(ctx context.Context, r flow.Request, token flow.Token) (json.RawMessage, error) {
	id := string(token)
	if !t.sync {
		return json.Marshal(map[string]string{"ClusterId": id})
	}
	var in awsemr.RunJobFlowInput
	if err := arguments(r, &in); err != nil {
		return nil, err
	}
	began := t.e.c.Now()
	var last types.ClusterState
	err := t.e.poll.wait(ctx, id, "", func(s types.ClusterState, _ *types.StepSummary) bool {
		if s != last {
			last = s
			fmt.Fprintf(r.Log, "cluster %s: %s\n", id, s) //nolint:errcheck // a log
		}
		r.Progress(flow.Progress{Doing: fmt.Sprintf("cluster %s %s, %s", id, strings.ToLower(string(s)), t.e.c.Now().Sub(began).Round(time.Second))})
		return s == types.ClusterStateWaiting || s == types.ClusterStateRunning && shared(in.Tags) || s == types.ClusterStateTerminating || dead(s)
	})
	if err != nil {
		return nil, fault("wait for cluster "+id, err)
	}
	d, err := t.e.describe(ctx, id)
	if err != nil {
		return nil, err
	}
	out, err := output(createOutput{id, d.Cluster}, d.ResultMetadata)
	if err != nil {
		return nil, err
	}
	if s := d.Cluster.Status.State; s != types.ClusterStateWaiting && s != types.ClusterStateRunning {
		if err := t.e.ended(ctx, id); err != nil {
			return nil, err
		}
		return nil, failed(out)
	}
	return out, nil
}

// failed is the failure of a .sync integration: its cause is what was last described.
func failed(cause json.RawMessage) error {
	return &flow.Error{Name: "States.TaskFailed", Err: errors.New(string(cause))}
}

// Stop ends a cluster of the run's own, and waits for its end; a shared one ends by itself.
func (t *createTask) Stop(ctx context.Context, token flow.Token) error {
	id := string(token)
	d, err := t.e.describe(ctx, id)
	if err != nil {
		return err
	}
	if shared(d.Cluster.Tags) {
		return nil
	}
	if err := t.e.end(ctx, id); err != nil {
		return err
	}
	return t.e.gone(ctx, id)
}

// alive tells whether a cluster has not ended and does not end.
func (e *EMR) alive(ctx context.Context, id string) (bool, error) {
	d, err := e.describe(ctx, id)
	if err != nil {
		return false, err
	}
	s := d.Cluster.Status.State
	return !dead(s) && s != types.ClusterStateTerminating, nil
}

// ended notes in the journal that a cluster has ended.
func (e *EMR) ended(ctx context.Context, id string) error {
	if e.c.Journal == nil {
		return nil
	}
	return e.c.Journal.EndedCluster(context.WithoutCancel(ctx), id, e.c.Now())
}
