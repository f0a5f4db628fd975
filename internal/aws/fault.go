package aws

import (
	"errors"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// Answer is what AWS answered to a call that failed.
type Answer struct {
	Code, Message     string
	Status            int // of HTTP
	Request, Extended string
}

// Fault is an SDK's error with the name and the cause that a machine on Step Functions would
// see: name gives the error name of a code, client is the name where no answer came.
func Fault(op string, err error, name func(code string) string, client string, cause func(Answer) string) error {
	var e *flow.Error
	if !errors.As(awsauth.Fault(op, "", err), &e) {
		return err
	}
	out := *e
	var api smithy.APIError
	if !errors.As(err, &api) {
		if out.Kind != flow.Canceled && out.Kind != flow.Timeout {
			out.Name = client
		}
		return &out
	}
	a := Answer{Code: api.ErrorCode(), Message: api.ErrorMessage()}
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		a.Status, a.Request = answer.HTTPStatusCode(), answer.ServiceRequestID()
		if answer.Response != nil {
			a.Extended = answer.Response.Header.Get("X-Amz-Id-2")
		}
	}
	// What AWS answered is said as AWS says it; a hint would not be part of that.
	out.Op, out.Hint, out.Name, out.Err = "", "", name(a.Code), &said{cause(a), err}
	return &out
}

type said struct {
	text string
	err  error
}

func (s *said) Error() string { return s.text }
func (s *said) Unwrap() error { return s.err }
