package awsauth

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A request is tried seven times with pauses of up to 2, 4, 8 and then 15 seconds: a minute
// in all at most. A server on this machine that does not answer is given seconds.
const (
	attempts      = 7
	localAttempts = 4
	longestPause  = 15 * time.Second
	localPause    = 2 * time.Second
)

// retryer repeats single requests as the SDK's standard one does, and waits as long as the
// other side asks.
type retryer struct{ aws.RetryerV2 }

func newRetryer(local bool) aws.Retryer {
	n, longest := attempts, longestPause
	if local {
		n, longest = localAttempts, localPause
	}
	return &retryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = n, longest
		// The token bucket that the SDK shares among all requests of a client would give up
		// early while many parts of one object are throttled together.
		o.RateLimiter = ratelimit.None
		// S3 answers 409 where two conditional writes of one name meet, and asks for a repeat.
		o.Retryables = append([]retry.IsErrorRetryable{retry.RetryableErrorCode{Codes: map[string]struct{}{
			"ConditionalRequestConflict": {}, "SlowDown": {}, "RequestTimeout": {}, "InternalError": {}, "ServiceUnavailable": {},
		}}}, o.Retryables...)
	})}
}

// RetryDelay is the pause before the next attempt.
func (r *retryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	d, e := r.RetryerV2.RetryDelay(attempt, err)
	if after := RetryAfter(err); e == nil && after > d {
		d = min(after, 2*longestPause)
	}
	return d, e
}

// RetryAfter is the pause that an answer's Retry-After asks for, or zero.
func RetryAfter(err error) time.Duration {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil {
		return 0
	}
	return parseRetryAfter(answer.Response.Header)
}

func parseRetryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	// The server's own clock is the one that its date is to be read by.
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil || !at.After(now) {
		return 0
	}
	return at.Sub(now)
}
