// Package aws does Step Functions' calls of AWS's own services, by resource name:
// arn:aws:states:::aws-sdk:SERVICE:ACTION. A call takes its request and gives its answer in
// the words of AWS's API, as Step Functions does: fields that are not set are left out, and
// errors carry the names of the Java SDK (S3.NoSuchKeyException), which machines catch.
package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

const prefix = "arn:aws:states:::aws-sdk:"

// maxBody is the most that an answer's body may have: what Step Functions lets a state put out.
const maxBody = 262_144

// Services makes calls with one configuration, which is loaded when it is first needed.
type Services struct {
	load func(context.Context) (awsauth.Config, error)

	mu      sync.Mutex
	clients map[string]map[string]action
}

// New makes the services of an account and region.
func New(load func(context.Context) (awsauth.Config, error)) *Services {
	return &Services{load: load, clients: map[string]map[string]action{}}
}

// action is one operation of a service: a request's JSON in, the answer out.
type action func(ctx context.Context, request []byte) (any, error)

// service is a row of the table: how the Java SDK names it in errors, the codes that are
// classes of their own there, and its actions.
type service struct {
	name    string
	modeled []string
	actions func(awsauth.Config) map[string]action
}

// Task returns the task of a resource, if it is a call of a service that is known.
func (s *Services) Task(resource string) (flow.TaskFunc, bool) {
	name, act, ok := strings.Cut(strings.TrimPrefix(resource, prefix), ":")
	v, known := services[name]
	if !ok || !known || !strings.HasPrefix(resource, prefix) {
		return nil, false
	}
	return func(ctx context.Context, r flow.Request) (json.RawMessage, error) {
		do, err := s.action(ctx, name, act)
		if err != nil {
			return nil, err
		}
		out, err := do(ctx, r.Arguments)
		if err != nil {
			return nil, v.fault(name+":"+act, err)
		}
		return Encode(out, ISO)
	}, true
}

func (s *Services) action(ctx context.Context, name, act string) (action, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[name] == nil {
		cfg, err := s.load(ctx)
		if err != nil {
			return nil, err
		}
		s.clients[name] = services[name].actions(cfg)
	}
	do, ok := s.clients[name][act]
	if !ok {
		return nil, &flow.Error{Op: "call aws-sdk:" + name + ":" + act, Kind: flow.Invalid, Name: "States.Runtime", Err: errors.New("this action is not among those that are done here")}
	}
	return do, nil
}

// fault names an error as Step Functions does.
func (v service) fault(op string, err error) error {
	var known *flow.Error
	if errors.As(err, &known) {
		return err
	}
	return Fault(op, err, func(code string) string {
		for _, m := range v.modeled {
			if m == code {
				return v.name + "." + strings.TrimSuffix(code, "Exception") + "Exception"
			}
		}
		return v.name + "." + v.name + "Exception"
	}, v.name+".SdkClientException", func(a Answer) string {
		text := fmt.Sprintf("%s (Service: %s, Status Code: %d, Request ID: %s", a.Message, v.name, a.Status, a.Request)
		if a.Extended != "" {
			text += ", Extended Request ID: " + a.Extended
		}
		return text + ") (SDK Attempt Count: 1)"
	})
}

// call makes an action of a method of an SDK's client.
func call[I, O, P any](do func(context.Context, *I, ...func(*P)) (*O, error)) action {
	return func(ctx context.Context, request []byte) (any, error) {
		in := new(I)
		if err := Decode(request, in); err != nil {
			return nil, &flow.Error{Op: "read the request", Kind: flow.Invalid, Name: "States.Runtime", Err: err}
		}
		out, err := do(ctx, in)
		if err != nil {
			return nil, err
		}
		return out, readBody(out)
	}
}

// Decode reads a request into an SDK's struct; an unknown field is an error. A Body is a text, or any JSON, which is sent as its text.
func Decode(request []byte, in any) error {
	body := reflect.ValueOf(in).Elem().FieldByName("Body")
	if body.IsValid() && body.Type() == reflect.TypeFor[io.Reader]() {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(request, &fields); err != nil {
			return err
		}
		if raw, ok := fields["Body"]; ok {
			var text string
			if json.Unmarshal(raw, &text) != nil {
				text = string(raw)
			}
			body.Set(reflect.ValueOf(io.Reader(strings.NewReader(text))))
			delete(fields, "Body")
		}
		var err error
		if request, err = json.Marshal(fields); err != nil {
			return err
		}
	}
	d := json.NewDecoder(bytes.NewReader(request))
	d.DisallowUnknownFields()
	return d.Decode(in)
}

// readBody replaces the stream of an answer by one whose text Encode can write.
func readBody(out any) error {
	f := reflect.ValueOf(out).Elem().FieldByName("Body")
	if !f.IsValid() {
		return nil
	}
	r, ok := f.Interface().(io.ReadCloser)
	if !ok {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if len(text) > maxBody {
		return &flow.Error{Op: "read the body", Kind: flow.Invalid, Name: "States.DataLimitExceeded", Err: fmt.Errorf("it is larger than %d bytes", maxBody)}
	}
	f.Set(reflect.ValueOf(io.ReadCloser(body{strings.NewReader(string(text)), string(text)})))
	return nil
}

// body is a stream that was read.
type body struct {
	io.Reader
	text string
}

func (body) Close() error { return nil }
