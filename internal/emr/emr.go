// Package emr does Step Functions' EMR integrations (arn:aws:states:::elasticmapreduce:…):
// clusters and steps that are begun once, found again after a crash, and never left behind.
//
// What is ours carries its name: a step that a run adds is named RUN/STATE[ITEM]/ATTEMPT, a
// cluster that a run makes too, and it has tags that say whose it is. Before anything is
// begun it is looked for under its name; what began twice within the window of a crash is
// ended, the younger first.
package emr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	smithymw "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	ouraws "github.com/tidemill/tidemill/internal/aws"
	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// The tags of a cluster that is ours. TagExpires is an instant (RFC 3339) after which
// nobody can want the cluster; TagName is there where several runs share it.
const (
	TagProject  = "tidemill:project"
	TagPipeline = "tidemill:pipeline"
	TagRun      = "tidemill:run"
	TagState    = "tidemill:state"
	TagExpires  = "tidemill:expires"
	TagName     = "tidemill:name"
)

// Cluster is a row of the cluster journal: what this host means to make, has made, and has
// seen the end of.
type Cluster struct {
	Key      string    // the request's; a shared cluster's name
	Run      string    // whose it is, or who made it
	Target   string    // where the account and region are to be found
	Name     string    // in EMR
	ID       string    // empty while it is only intended
	Shared   bool      // it outlives the run
	Intended time.Time // before RunJobFlow was called
	Ended    time.Time // zero while it may live
}

// Journal keeps clusters. It is safe for concurrent use; a call that returned has lasted.
type Journal interface {
	// IntendCluster keeps a cluster before it is made. If its key is there, and that one is not
	// known to have ended, it returns that one and false.
	IntendCluster(ctx context.Context, c Cluster) (Cluster, bool, error)
	// MadeCluster gives the key's cluster its id.
	MadeCluster(ctx context.Context, key, id string) error
	// EndedCluster says that a cluster, by id, has ended.
	EndedCluster(ctx context.Context, id string, at time.Time) error
	// LiveClusters are those of a run, or of all runs, that are not known to have ended.
	LiveClusters(ctx context.Context, run string) ([]Cluster, error)
}

// Config is what EMR's tasks are given.
type Config struct {
	Load    func(context.Context) (awsauth.Config, error) // the account and region
	Journal Journal
	Target  string // kept with each cluster
	Pace    *Pace  // nil: AWSPace, or LocalPace where the endpoint is on this machine
	Now     func() time.Time
	// Bucket opens the place of a log; nil: logs are not fetched.
	Bucket func(ctx context.Context, uri string) (flow.Bucket, string, error)
	// Fault is what a step that failed left about it under its name, if anything; nil: nothing is.
	Fault func(ctx context.Context, step string) error
}

// EMR is one account and region.
type EMR struct {
	c      Config
	client *awsemr.Client
	pace   Pace
	poll   *poller
}

// New loads the configuration; it calls nobody.
func New(ctx context.Context, c Config) (*EMR, error) {
	cfg, err := c.Load(ctx)
	if err != nil {
		return nil, err
	}
	e := &EMR{c: c, client: awsemr.NewFromConfig(cfg), pace: AWSPace}
	if awsauth.Loopback(aws.ToString(cfg.BaseEndpoint)) {
		e.pace = LocalPace
	}
	if c.Pace != nil {
		e.pace = *c.Pace
	}
	e.poll = newPoller(e.client, e.pace, c.Now)
	return e, nil
}

// Prefix is what the resources of these tasks begin with.
const Prefix = "arn:aws:states:::elasticmapreduce:"

// Task returns the task of a resource: one that outlives the process, or one that is run
// again after a crash, because doing it twice does what doing it once does.
func (e *EMR) Task(resource string) (flow.Task, flow.TaskFunc, bool) {
	api, sync := strings.CutSuffix(strings.TrimPrefix(resource, Prefix), ".sync")
	switch api {
	case "createCluster":
		return &createTask{e, sync}, nil, true
	case "addStep":
		return &stepTask{e, sync}, nil, true
	case "terminateCluster":
		if sync {
			return &terminateTask{e}, nil, true
		}
		return nil, e.terminate, true
	}
	do, ok := map[string]flow.TaskFunc{
		"cancelStep":                      e.cancelStep,
		"setClusterTerminationProtection": e.protect,
		"modifyInstanceFleetByName":       e.modifyFleet,
		"modifyInstanceGroupByName":       e.modifyGroup,
	}[api]
	return nil, do, ok && !sync
}

var liveStates = []types.ClusterState{types.ClusterStateStarting, types.ClusterStateBootstrapping, types.ClusterStateRunning, types.ClusterStateWaiting, types.ClusterStateTerminating}

func dead(s types.ClusterState) bool {
	return s == types.ClusterStateTerminated || s == types.ClusterStateTerminatedWithErrors
}

// once keeps the SDK from repeating a call: one that begins something, because the first
// may have taken effect though its answer was lost; one of the poller, who comes back anyway.
func once(o *awsemr.Options) { o.Retryer = aws.NopRetryer{} }

// fault names an error as Step Functions' EMR integration does.
func fault(op string, err error) error {
	var known *flow.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return ouraws.Fault(op, err, func(code string) string {
		if code == "InvalidRequestException" || code == "InternalServerException" {
			return "EMR." + code
		}
		return "EMR.AmazonElasticMapReduceException"
	}, "EMR.SdkClientException", func(a ouraws.Answer) string {
		return fmt.Sprintf("%s (Service: AmazonElasticMapReduce; Status Code: %d; Error Code: %s; Request ID: %s; Proxy: null)", a.Message, a.Status, a.Code, a.Request)
	})
}

// arguments reads a request.
func arguments(r flow.Request, in any) error {
	if err := ouraws.Decode(r.Arguments, in); err != nil {
		return invalid(fmt.Errorf("read the arguments of %s: %w", r.State, err))
	}
	return nil
}

func invalid(err error) error {
	return &flow.Error{Kind: flow.Invalid, Name: "States.Runtime", Err: err}
}

// output joins what an integration says with what the call's answer says of itself.
func output(v any, meta smithymw.Metadata) (json.RawMessage, error) {
	out, err := ouraws.Encode(v, ouraws.Millis)
	if err != nil {
		return nil, err
	}
	raw, ok := middleware.GetRawResponse(meta).(*smithyhttp.Response)
	if !ok || raw == nil {
		return out, nil
	}
	id, _ := middleware.GetRequestIDMetadata(meta)
	headers := map[string]string{}
	all := map[string][]string{}
	for k, v := range raw.Header {
		headers[k], all[k] = strings.Join(v, ","), v
	}
	sdk, err := json.Marshal(map[string]any{
		"SdkHttpMetadata":     map[string]any{"AllHttpHeaders": all, "HttpHeaders": headers, "HttpStatusCode": raw.StatusCode},
		"SdkResponseMetadata": map[string]any{"RequestId": id},
	})
	if err != nil {
		return nil, err
	}
	if len(out) > 2 {
		return append(append(out[:len(out)-1], ','), sdk[1:]...), nil
	}
	return sdk, nil
}

// tries is how often a call that begins something is repeated while AWS throttles, and so
// with Pace.Call how long a process may have been at it.
const tries = 8

// patiently repeats a question while AWS throttles or does not answer.
func (e *EMR) patiently(ctx context.Context, ask func() error) error {
	for try := 1; ; try++ {
		err := ask()
		if err == nil || !passing(err) || try == tries {
			return err
		}
		if err := flow.Pause(ctx, min(e.pace.Min<<try, e.pace.Max)); err != nil {
			return err
		}
	}
}

// describe asks how a cluster stands.
func (e *EMR) describe(ctx context.Context, id string) (out *awsemr.DescribeClusterOutput, err error) {
	err = e.patiently(ctx, func() (err error) {
		out, err = e.client.DescribeCluster(ctx, &awsemr.DescribeClusterInput{ClusterId: &id})
		return err
	})
	return out, fault("describe cluster "+id, err)
}

// describeStep asks how a step stands.
func (e *EMR) describeStep(ctx context.Context, cluster, id string) (out *awsemr.DescribeStepOutput, err error) {
	err = e.patiently(ctx, func() (err error) {
		out, err = e.client.DescribeStep(ctx, &awsemr.DescribeStepInput{ClusterId: &cluster, StepId: &id})
		return err
	})
	return out, fault("describe step "+id, err)
}

// seek looks for what may have begun since a moment, for as long as a call that was on its
// way may still take effect. Zero: nothing was begun, as far as is known; it looks once.
func seek[T any](ctx context.Context, e *EMR, since time.Time, look func(context.Context) (T, bool, error)) (T, bool, error) {
	until := e.c.Now()
	if !since.IsZero() && until.Before(since.Add(2*tries*e.pace.Call)) {
		until = until.Add(e.pace.Call)
	}
	for {
		var out T
		var ok bool
		err := e.patiently(ctx, func() (err error) { out, ok, err = look(ctx); return err })
		if ok || err != nil || !e.c.Now().Before(until) {
			return out, ok, err
		}
		if err := flow.Pause(ctx, e.pace.Min); err != nil {
			return out, false, err
		}
	}
}

// begin calls what begins something, unless it has begun: look finds it under its name. A
// call that may have taken effect though no answer came is not repeated before it is known
// that it did not.
func begin[T any](ctx context.Context, e *EMR, op string, since time.Time, look func(context.Context) (T, bool, error), call func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		out, ok, err := seek(ctx, e, since, look)
		if err != nil || ok {
			return out, fault(op, err)
		}
		since = e.c.Now()
		// Whoever ends ctx has to know whether something has begun: the call is not cut short.
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.pace.Call)
		out, err = call(brief)
		cancel()
		var f *flow.Error
		if err == nil || !errors.As(fault(op, err), &f) {
			return out, err
		}
		switch {
		case f.Kind == flow.Throttled && try < tries:
			since = time.Time{} // it took no effect
			if err := flow.Pause(ctx, max(f.RetryAfter, min(e.pace.Min<<try, e.pace.Max))); err != nil {
				return out, err
			}
		case (f.Kind == flow.Transient || f.Kind == flow.Timeout) && try < 3:
		default:
			return out, f
		}
	}
}
