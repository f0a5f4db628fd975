package emr

import (
	"context"
	_ "embed" // the machine
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/tidemill/tidemill/internal/flow"
)

// Machine is the reaper as a States Language machine that can be deployed: it ends every
// cluster whose tag tidemill:expires has passed.
//
//go:embed reaper.asl.json
var Machine []byte

// Found is a living cluster with our tags.
type Found struct {
	ID      string    `json:"cluster"`
	Name    string    `json:"name"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Project string    `json:"project"`
	Run     string    `json:"run"`              // whose it is, or who made it
	Shared  string    `json:"shared,omitempty"` // the name under which several runs share it
	Expires time.Time `json:"expires"`          // zero where the tag cannot be read
	PerHour float64   `json:"per_hour"`         // US dollars; 0 where the table has no price
	Leaked  string    `json:"leaked,omitempty"` // why nobody can want it any longer, from the tags alone
}

// Clusters lists the living clusters that carry our tags, of a project or, with an empty
// name, of all.
func (e *EMR) Clusters(ctx context.Context, project string) ([]Found, error) {
	var ids []string
	err := e.each(ctx, &awsemr.ListClustersInput{ClusterStates: liveStates[:4]}, func(c types.ClusterSummary) { ids = append(ids, aws.ToString(c.Id)) })
	if err != nil {
		return nil, fault("list clusters", err)
	}
	var out []Found
	for _, id := range ids {
		d, err := e.describe(ctx, id)
		if err != nil {
			return nil, err
		}
		f, ok := e.found(d.Cluster)
		if !ok || project != "" && f.Project != project {
			continue
		}
		if f.PerHour, err = e.price(ctx, d.Cluster); err != nil {
			return nil, fault("list the instances of cluster "+id, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func (e *EMR) found(c *types.Cluster) (Found, bool) {
	run, ok := tag(c.Tags, TagRun)
	if !ok {
		return Found{}, false
	}
	f := Found{ID: aws.ToString(c.Id), Name: aws.ToString(c.Name), State: string(c.Status.State), Created: created(c.Status), Run: run}
	f.Project, _ = tag(c.Tags, TagProject)
	f.Shared, _ = tag(c.Tags, TagName)
	text, _ := tag(c.Tags, TagExpires)
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		f.Leaked = "no time stands in its tag " + TagExpires
	case at.Before(e.c.Now()):
		f.Leaked = "nobody can want it since " + at.UTC().Format("2006-01-02 15:04Z")
	}
	f.Expires = at
	return f, true
}

// End ends clusters, protected ones too, and waits until they have ended.
func (e *EMR) End(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if err := e.end(ctx, id); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := e.gone(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// EndOf ends the clusters that the journal has for a run of this target and that are not
// known to have ended, shared ones not among them, and waits for their end. Where the
// process died before it knew the id, the cluster is looked for.
func (e *EMR) EndOf(ctx context.Context, run string) ([]string, error) {
	rows, err := e.c.Journal.LiveClusters(ctx, run)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range rows {
		if c.Shared || c.Target != e.c.Target {
			continue
		}
		if c.ID == "" {
			id, ok, err := seek(ctx, e, c.Intended, func(ctx context.Context) (string, bool, error) { return e.find(ctx, c.Name) })
			if err != nil {
				return ids, fault("find cluster "+c.Name, err)
			}
			if c.ID = id; !ok {
				c.ID = "none " + c.Key // it was never made
			}
			if err := e.c.Journal.MadeCluster(ctx, c.Key, c.ID); err != nil {
				return ids, err
			}
			if !ok {
				if err := e.ended(ctx, c.ID); err != nil {
					return ids, err
				}
				continue
			}
		}
		ids = append(ids, c.ID)
	}
	return ids, e.End(ctx, ids...)
}

// PriceDate is when the table of prices was made; the prices are those of us-east-1 on
// demand, which spot undercuts.
const PriceDate = "2024-11"

// xlarge is the price of EC2 for an instance of size xlarge by family, in US dollars an hour.
var xlarge = map[string]float64{
	"m4": 0.2, "m5": 0.192, "m5a": 0.172, "m5d": 0.226, "m6a": 0.1728, "m6g": 0.154, "m6gd": 0.1808, "m6i": 0.192, "m7a": 0.23184, "m7g": 0.1632, "m7i": 0.2016,
	"c4": 0.199, "c5": 0.17, "c5a": 0.154, "c5d": 0.192, "c6a": 0.153, "c6g": 0.136, "c6i": 0.17, "c7g": 0.1445, "c7i": 0.1785,
	"r4": 0.266, "r5": 0.252, "r5a": 0.226, "r5d": 0.288, "r6a": 0.2268, "r6g": 0.2016, "r6i": 0.252, "r7g": 0.2142, "r7i": 0.2646,
	"i3": 0.312, "i3en": 0.452, "d3": 0.499,
}

var sizes = map[string]float64{"large": 0.5, "xlarge": 1, "2xlarge": 2, "3xlarge": 3, "4xlarge": 4, "6xlarge": 6, "8xlarge": 8, "9xlarge": 9, "10xlarge": 10, "12xlarge": 12, "16xlarge": 16, "18xlarge": 18, "24xlarge": 24}

// EMR's own price is a quarter of EC2's, up to a limit an instance.
const (
	emrShare = 0.25
	emrMost  = 0.27
)

// Price is what an instance of a type costs an hour on EMR, or 0 where the table lacks it.
func Price(instance string) float64 {
	family, size, _ := strings.Cut(instance, ".")
	ec2 := xlarge[family] * sizes[size]
	return ec2 + min(ec2*emrShare, emrMost)
}

// price is what a cluster costs an hour, as far as the table has its instances.
func (e *EMR) price(ctx context.Context, c *types.Cluster) (sum float64, err error) {
	if c.InstanceCollectionType == types.InstanceCollectionTypeInstanceFleet {
		out, err := e.client.ListInstanceFleets(ctx, &awsemr.ListInstanceFleetsInput{ClusterId: c.Id})
		if err != nil {
			return 0, err
		}
		for _, f := range out.InstanceFleets {
			if n := aws.ToInt32(f.TargetOnDemandCapacity) + aws.ToInt32(f.TargetSpotCapacity); len(f.InstanceTypeSpecifications) > 0 {
				s := f.InstanceTypeSpecifications[0]
				sum += Price(aws.ToString(s.InstanceType)) * float64(n) / float64(max(1, aws.ToInt32(s.WeightedCapacity)))
			}
		}
		return sum, nil
	}
	out, err := e.client.ListInstanceGroups(ctx, &awsemr.ListInstanceGroupsInput{ClusterId: c.Id})
	if err != nil {
		return 0, err
	}
	for _, g := range out.InstanceGroups {
		sum += Price(aws.ToString(g.InstanceType)) * float64(max(aws.ToInt32(g.RequestedInstanceCount), aws.ToInt32(g.RunningInstanceCount)))
	}
	return sum, nil
}

// Living finds one living cluster by its id, and refuses one that is not ours.
func (e *EMR) Living(ctx context.Context, id string) (Found, error) {
	d, err := e.describe(ctx, id)
	if err != nil {
		return Found{}, err
	}
	f, ok := e.found(d.Cluster)
	if !ok {
		return f, &flow.Error{Op: "look at cluster " + id, Kind: flow.Invalid, Err: errors.New("it has no tag " + TagRun + ": it was not made by Tidemill"), Hint: fmt.Sprintf("aws emr terminate-clusters --cluster-ids %s", id)}
	}
	return f, nil
}
