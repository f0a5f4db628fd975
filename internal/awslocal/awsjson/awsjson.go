// Package awsjson is the JSON protocol of AWS services as a server speaks it: bodies that
// are the SDK's own types, errors by name, checked signatures.
package awsjson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxBody bounds a request: AWS takes one megabyte at the most.
const maxBody = 4 << 20

// Error is a fault as clients of the JSON protocols read it: by its type.
type Error struct {
	Status  int    // of HTTP; 0 is 400
	Type    string // "ValidationException"
	Message string
	Code    string // ErrorCode, where the type has one
	Bare    bool   // a modelled type: its message is "Message", else "message"
}

// ErrNoAnswer is for a call whose client is to hear nothing: the connection is cut.
var ErrNoAnswer = errors.New("no answer")

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Errorf is a client's fault.
func Errorf(kind, format string, a ...any) *Error {
	return &Error{Type: kind, Message: fmt.Sprintf(format, a...)}
}

// Call is one request.
type Call struct {
	Region    string // of the signature
	Operation string // "RunJobFlow"
	Body      []byte
}

// Service answers calls with a value for Marshal, or an error; one that is not an *Error is
// the service's own fault.
type Service func(ctx context.Context, c Call) (any, error)

// ServeHTTP answers in the protocol's version that the client speaks.
func (s Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.serve(w, r)
	kind := r.Header.Get("Content-Type")
	if !strings.HasPrefix(kind, "application/x-amz-json-1.") {
		kind = "application/x-amz-json-1.1"
	}
	w.Header().Set("Content-Type", kind)
	var text []byte
	if err == nil && answer != nil {
		text, err = Marshal(answer)
	}
	if errors.Is(err, ErrNoAnswer) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Status: http.StatusInternalServerError, Type: "InternalServerException", Message: err.Error(), Bare: true}
		}
		fault(w, e)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) //nolint:errcheck // the client has gone
}

func (s Service) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, Errorf("SerializationException", "read the request: %v", err)
	}
	region, err := signed(r, body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if r.Method != http.MethodPost || operation == "" {
		return nil, Errorf("UnknownOperationException", "")
	}
	return s(r.Context(), Call{Region: region, Operation: operation, Body: body})
}

func fault(w http.ResponseWriter, e *Error) {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	body := map[string]string{"__type": e.Type}
	if e.Bare {
		body["Message"] = e.Message
	} else {
		body["message"] = e.Message
	}
	if e.Code != "" {
		body["ErrorCode"] = e.Code
	}
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		panic(err) // strings
	}
	w.Header().Set("X-Amzn-Errortype", e.Type)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) //nolint:errcheck // the client has gone
}

// Marshal writes a value of the SDK's types: what is nil is absent, times are seconds.
func Marshal(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true), json.OmitZeroStructFields(true), json.WithMarshalers(json.JoinMarshalers(
		json.MarshalToFunc(func(enc *jsontext.Encoder, t time.Time) error {
			return enc.WriteToken(jsontext.Float(float64(t.UnixMilli()) / 1000))
		}),
		json.MarshalToFunc(func(enc *jsontext.Encoder, d time.Duration) error {
			return enc.WriteToken(jsontext.String(d.String()))
		}))))
}

// Unmarshal reads what Marshal writes; members that v does not have are passed over, as AWS
// does.
func Unmarshal(text []byte, v any) error {
	return json.Unmarshal(text, v, json.WithUnmarshalers(json.JoinUnmarshalers(json.UnmarshalFunc(readTime), json.UnmarshalFunc(readDuration))))
}

func readTime(text []byte, t *time.Time) error {
	if string(text) == "null" {
		return nil
	}
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("a time is a number of seconds, not %s", text)
	}
	*t = time.UnixMilli(int64(math.Round(n * 1000))).UTC()
	return nil
}

func readDuration(text []byte, d *time.Duration) (err error) {
	*d, err = time.ParseDuration(strings.Trim(string(text), `"`))
	return err
}

// Read reads a call's body.
func Read(c Call, v any) error {
	if len(c.Body) == 0 {
		return nil
	}
	if err := Unmarshal(c.Body, v); err != nil {
		return Errorf("SerializationException", "%v", err)
	}
	return nil
}
