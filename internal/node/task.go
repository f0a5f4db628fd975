package node

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/move"
)

// Job is what a node is given to do.
type Job struct {
	Verb      string          `json:"verb"`
	Arguments json.RawMessage `json:"arguments"`
	Out       string          `json:"out"` // URI of the folder that receives STEP/output.json
}

// verbs are the tasks that a node does. A connector's come with it.
var verbs = []string{"copy", "exists"}

// task does one task. Its output lies at OUT/STEP/output.json when it has succeeded.
func (n *node) task(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("task", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	uri, step := f.String("job", "", ""), f.String("step", "", "")
	if err := f.Parse(args); err != nil || *uri == "" || *step == "" {
		return errors.Join(errors.New("task: --job URI --step RUN/STATE/ATTEMPT are wanted"), err)
	}
	l := &places{n: n, buckets: map[string]flow.Bucket{}, root: file.New("/")}
	text, err := read(ctx, l, *uri)
	if err != nil {
		return err
	}
	var job Job
	if err := json.Unmarshal(text, &job); err != nil {
		return fmt.Errorf("read %s: %w", *uri, err)
	}
	do, ok := move.Tasks(move.Config{Lookup: l})[job.Verb]
	if !ok || !slices.Contains(verbs, job.Verb) {
		return &flow.Error{Op: "do " + job.Verb, Kind: flow.Invalid, Err: fmt.Errorf("a node does %s", strings.Join(verbs, ", "))}
	}
	r, err := request(*step, job)
	if err != nil {
		return err
	}
	r.Log = n.stderr
	out, err := do(ctx, r)
	if err != nil {
		return err
	}
	return write(ctx, l, strings.TrimSuffix(job.Out, "/")+"/"+*step+"/output.json", out)
}

// request is the attempt that a step's name tells of: RUN/STATE[ITEM]/ATTEMPT.
func request(step string, job Job) (flow.Request, error) {
	parts := strings.Split(step, "/")
	if len(parts) != 3 {
		return flow.Request{}, fmt.Errorf("--step %s: RUN/STATE/ATTEMPT is wanted", step)
	}
	attempt, err := strconv.Atoi(parts[2])
	if err != nil {
		return flow.Request{}, fmt.Errorf("--step %s: %s is no number", step, parts[2])
	}
	state, item, _ := strings.Cut(strings.TrimSuffix(parts[1], "]"), "[")
	return flow.Request{Key: step, Run: parts[0], State: state, Item: item, Attempt: attempt, Resource: flow.Resource(job.Verb), Arguments: job.Arguments, Progress: func(flow.Progress) {}}, nil
}

func read(ctx context.Context, l *places, uri string) (text []byte, err error) {
	b, name, err := l.Bucket(ctx, uri)
	if err != nil {
		return nil, err
	}
	in, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return io.ReadAll(in)
}

func write(ctx context.Context, l *places, uri string, text []byte) error {
	b, name, err := l.Bucket(ctx, uri)
	if err != nil {
		return err
	}
	w, err := b.Create(ctx, name, flow.Condition{})
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = w.Commit()
	return err
}

// places are what a node reaches: S3 and its own files.
type places struct {
	n       *node
	mu      sync.Mutex
	buckets map[string]flow.Bucket
	root    *file.Bucket
}

// Bucket returns the bucket that holds a URI.
func (l *places) Bucket(ctx context.Context, uri string) (flow.Bucket, string, error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	if !ok {
		if strings.Contains(uri, "://") && !strings.HasPrefix(uri, "file://") || !strings.HasPrefix(strings.TrimPrefix(uri, "file://"), "/") {
			return nil, "", &flow.Error{Op: "open " + uri, Kind: flow.Invalid, Err: errors.New("a node reaches s3:// and its own files alone"), Hint: "copy the file to S3 first, in a step that runs here"}
		}
		return l.root, strings.TrimPrefix(strings.TrimPrefix(uri, "file://"), "/"), nil
	}
	name, key, _ := strings.Cut(rest, "/")
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[name]; ok {
		return b, key, nil
	}
	cfg, err := l.n.aws(ctx)
	if err != nil {
		return nil, "", err
	}
	b := s3.New(cfg, name, s3.Options{})
	l.buckets[name] = b
	return b, key, nil
}

// Text is not to be had on a node: texts travel with the job.
func (*places) Text(_ context.Context, hash string) (string, error) {
	return "", &flow.Error{Op: "read text " + hash, Kind: flow.NotFound, Err: errors.New("a node has no journal")}
}
