package emr

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/aws/smithy-go"
)

// account is an account whose clusters run one step each, for so long; it counts calls.
type account struct {
	mu       sync.Mutex
	ends     []time.Time // of the clusters' steps
	calls    int
	throttle int // so many calls are refused
}

func (a *account) call() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.throttle > 0 {
		a.throttle--
		return &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	}
	return nil
}

func (a *account) state(i int) types.ClusterState {
	if time.Now().Before(a.ends[i]) {
		return types.ClusterStateRunning
	}
	return types.ClusterStateWaiting
}

func (a *account) ListClusters(_ context.Context, in *awsemr.ListClustersInput, _ ...func(*awsemr.Options)) (*awsemr.ListClustersOutput, error) {
	if err := a.call(); err != nil {
		return nil, err
	}
	from := 0
	if in.Marker != nil {
		fmt.Sscan(*in.Marker, &from) //nolint:errcheck // our own number
	}
	out := &awsemr.ListClustersOutput{}
	for i := from; i < min(from+50, len(a.ends)); i++ {
		out.Clusters = append(out.Clusters, types.ClusterSummary{Id: aws.String(fmt.Sprint("j-", i)), Status: &types.ClusterStatus{State: a.state(i)}})
	}
	if from+50 < len(a.ends) {
		out.Marker = aws.String(fmt.Sprint(from + 50))
	}
	return out, nil
}

func (a *account) DescribeCluster(_ context.Context, in *awsemr.DescribeClusterInput, _ ...func(*awsemr.Options)) (*awsemr.DescribeClusterOutput, error) {
	if err := a.call(); err != nil {
		return nil, err
	}
	var i int
	fmt.Sscanf(*in.ClusterId, "j-%d", &i) //nolint:errcheck // our own number
	return &awsemr.DescribeClusterOutput{Cluster: &types.Cluster{Status: &types.ClusterStatus{State: a.state(i)}}}, nil
}

func (a *account) ListSteps(_ context.Context, in *awsemr.ListStepsInput, _ ...func(*awsemr.Options)) (*awsemr.ListStepsOutput, error) {
	if err := a.call(); err != nil {
		return nil, err
	}
	var i int
	fmt.Sscanf(*in.ClusterId, "j-%d", &i) //nolint:errcheck // our own number
	s := types.StepStateRunning
	if a.state(i) == types.ClusterStateWaiting {
		s = types.StepStateCompleted
	}
	return &awsemr.ListStepsOutput{Steps: []types.StepSummary{{Id: &in.StepIds[0], Status: &types.StepStatus{State: s}}}}, nil
}

// poll waits for the step of each of n clusters, which end one after the other within a
// time, and returns the calls a second and the longest time until an end was seen.
func poll(t *testing.T, n, throttle int, over time.Duration) (rate float64, late time.Duration) {
	a := &account{throttle: throttle}
	began := time.Now()
	for i := range n {
		a.ends = append(a.ends, began.Add(over/4+time.Duration(i)*over*3/4/time.Duration(n)))
	}
	p := newPoller(a, AWSPace, time.Now)
	var g sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		g.Go(func() {
			err := p.wait(t.Context(), fmt.Sprint("j-", i), "s-1", func(_ types.ClusterState, s *types.StepSummary) bool { return stepOver(s) })
			mu.Lock()
			defer mu.Unlock()
			late = max(late, time.Since(a.ends[i]))
			if err != nil || time.Now().Before(a.ends[i]) {
				t.Errorf("cluster %d: %v, %s before its end", i, err, time.Until(a.ends[i]))
			}
		})
	}
	g.Wait()
	if len(p.watched) > 0 || len(p.lead) > 0 {
		t.Error("the poller has not come to rest")
	}
	return float64(a.calls) / time.Since(began).Seconds(), late
}

func stepOver(s *types.StepSummary) bool { return over(s.Status.State) }

// TestPoller wants few calls, and ends that are seen soon, whatever the number of clusters.
func TestPoller(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, throttle int
		late        time.Duration
	}{{1, 0, time.Minute}, {2, 0, time.Minute}, {3, 0, 70 * time.Second}, {20, 0, 70 * time.Second}, {100, 0, 90 * time.Second}, {20, 5, 3 * time.Minute}} {
		t.Run(fmt.Sprintf("%d clusters, %d throttled", c.n, c.throttle), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rate, late := poll(t, c.n, c.throttle, time.Hour)
				t.Logf("%.3f calls a second, an end is seen after %s at most", rate, late)
				if rate >= 0.5 || late > c.late {
					t.Errorf("%.3f calls a second, an end is seen after %s", rate, late)
				}
			})
		})
	}
}

// An end that is near is seen soon: a short step is not waited for by the minute.
func TestPollerIsQuickAtFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if _, late := poll(t, 1, 0, time.Minute); late > 8*time.Second {
			t.Errorf("the end of a step of a quarter of a minute is seen %s late", late)
		}
	})
}

// Whoever stops waiting hands the polling on.
func TestPollerHandsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &account{ends: []time.Time{time.Now().Add(time.Hour), time.Now().Add(time.Minute)}}
		p := newPoller(a, AWSPace, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			first <- p.wait(ctx, "j-0", "s-1", func(_ types.ClusterState, s *types.StepSummary) bool { return stepOver(s) })
		}()
		synctest.Wait()
		time.AfterFunc(10*time.Second, cancel)
		if err := p.wait(t.Context(), "j-1", "s-1", func(_ types.ClusterState, s *types.StepSummary) bool { return stepOver(s) }); err != nil {
			t.Error(err)
		}
		if err := <-first; err == nil {
			t.Error("the first came to an end though its step goes on")
		}
	})
}
