package awsauth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/tidemill/tidemill/internal/flow"
)

// codes sorts the error codes of AWS's services; those that are not here are sorted by the
// answer's status.
var codes = map[string]flow.Kind{
	"NoSuchKey": flow.NotFound, "NoSuchBucket": flow.NotFound, "NotFound": flow.NotFound, "NoSuchUpload": flow.NotFound,
	"ResourceNotFoundException": flow.NotFound, "ResourceNotFound": flow.NotFound,
	"AccessDenied": flow.Denied, "AccessDeniedException": flow.Denied, "Forbidden": flow.Denied, "InvalidAccessKeyId": flow.Denied,
	"SignatureDoesNotMatch": flow.Denied, "ExpiredToken": flow.Denied, "ExpiredTokenException": flow.Denied, "InvalidClientTokenId": flow.Denied,
	"UnrecognizedClientException": flow.Denied, "InvalidToken": flow.Denied, "AllAccessDisabled": flow.Denied, "InvalidSignatureException": flow.Denied,
	"PreconditionFailed": flow.Conflict, "ConditionalRequestConflict": flow.Conflict, "ConflictException": flow.Conflict,
	"SlowDown": flow.Throttled, "Throttling": flow.Throttled, "ThrottlingException": flow.Throttled, "ThrottledException": flow.Throttled,
	"RequestLimitExceeded": flow.Throttled, "TooManyRequestsException": flow.Throttled, "RequestThrottled": flow.Throttled,
	"ProvisionedThroughputExceededException": flow.Throttled, "BandwidthLimitExceeded": flow.Throttled,
	"RequestTimeout": flow.Transient, "InternalError": flow.Transient, "InternalFailure": flow.Transient, "ServiceUnavailable": flow.Transient,
	"InternalServerError": flow.Transient, "InternalServerException": flow.Transient, "BadDigest": flow.Transient, "RequestTimeTooSkewed": flow.Denied,
}

// hints say what to do about codes that a person can do something about.
var hints = map[string]string{
	"NoSuchBucket":                 "check the bucket's name and region, or create it",
	"AccessDenied":                 "the credentials lack a permission for this: look at the policies of the user or role (`tidemill conn test` names it)",
	"AccessDeniedException":        "the credentials lack a permission for this: look at the policies of the user or role (`tidemill conn test` names it)",
	"Forbidden":                    "the credentials lack a permission for this, or s3:ListBucket, without which S3 does not say that an object is missing",
	"InvalidAccessKeyId":           "the access key is not known there: check access_key, the profile, and the endpoint",
	"InvalidClientTokenId":         "the access key is not known there: check access_key, the profile, and the endpoint",
	"UnrecognizedClientException":  "the access key is not known there: check access_key, the profile, and the endpoint",
	"SignatureDoesNotMatch":        "the secret key is not that of the access key",
	"ExpiredToken":                 "the temporary credentials have ended: sign in again",
	"ExpiredTokenException":        "the temporary credentials have ended: sign in again",
	"InvalidToken":                 "the session token is wrong or has ended: sign in again",
	"RequestTimeTooSkewed":         "this machine's clock is wrong",
	"PermanentRedirect":            "the bucket is in another region: set region in the target or its aws connection",
	"AuthorizationHeaderMalformed": "the bucket is in another region: set region in the target or its aws connection",
}

// Fault says in our words what a call to AWS ended with. The service is named as Step
// Functions names it in errors (S3, Emr, Sfn, Sts): the result's Name is SERVICE.CODEException.
func Fault(op, service string, err error) error {
	var known *flow.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &flow.Error{Op: op, Err: err, RetryAfter: RetryAfter(err)}
	var api smithy.APIError
	var answer *smithyhttp.ResponseError
	status := 0
	if errors.As(err, &answer) && answer.Response != nil {
		status = answer.HTTPStatusCode()
	}
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		e.Kind = flow.KindOf(err)
	case errors.As(err, &api):
		code := api.ErrorCode()
		e.Kind, e.Hint = kind(code, status), hints[code]
		e.Name = service + "." + strings.TrimSuffix(code, "Exception") + "Exception"
		if e.Kind == flow.Denied {
			e.Name = "" // States.Permissions, as for every system
		}
		e.Err = &answered{code, api.ErrorMessage(), err}
	case status != 0:
		e.Kind = kind("", status)
	default:
		e.Kind, e.Hint = transport(err)
	}
	return e
}

func kind(code string, status int) flow.Kind {
	if k, ok := codes[code]; ok {
		return k
	}
	switch {
	case status == http.StatusTooManyRequests:
		return flow.Throttled
	case status >= 500:
		return flow.Transient
	case status == http.StatusNotFound:
		return flow.NotFound
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return flow.Denied
	case status == http.StatusConflict || status == http.StatusPreconditionFailed:
		return flow.Conflict
	}
	return flow.Invalid
}

// transport sorts errors of calls that got no answer.
func transport(err error) (flow.Kind, string) {
	var noCredentials *smithy.OperationError
	text := err.Error()
	switch {
	case errors.As(err, &noCredentials) && (strings.Contains(text, "get credentials") || strings.Contains(text, "retrieve credentials") || strings.Contains(text, "get identity")):
		return flow.Denied, "give the target an aws connection with keys, a profile or a role, or sign in with the AWS CLI"
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		if a, ok := dial.Addr.(*net.TCPAddr); ok && a.IP.IsLoopback() {
			return flow.Transient, "nothing answers on this machine's port: start it with `tidemill local`"
		}
		return flow.Transient, "check the network and the endpoint"
	}
	return flow.Transient, ""
}

// answered is an error answer in one short line; the SDK's own says the operation twice.
type answered struct {
	code, message string
	err           error
}

func (a *answered) Error() string {
	if a.message == "" || a.message == a.code {
		return a.code
	}
	return a.code + ": " + a.message
}

func (a *answered) Unwrap() error { return a.err }
