package node

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/move"
)

// task does one task. What it left lies at OUT/STEP/output.json: what it made, or why it failed.
func (n *node) task(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("task", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	uri, step := f.String("job", "", ""), f.String("step", "", "")
	if err := f.Parse(args); err != nil || *uri == "" || *step == "" {
		return errors.Join(errors.New("task: --job URI --step RUN/STATE/ATTEMPT are wanted"), err)
	}
	l := &places{n: n, buckets: map[string]flow.Bucket{}, sinks: map[string]flow.Sink{}, root: file.New("/")}
	text, err := read(ctx, l, *uri)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &l.job); err != nil {
		return fmt.Errorf("read %s: %w", *uri, err)
	}
	r, err := request(*step, l.job)
	if err != nil {
		return err
	}
	r.Log = &redactor{n: n, w: n.stderr}
	var left flow.Outcome
	if left.Outputs, left.Files, err = l.do(ctx, r); err != nil {
		left.Fault = flow.NewFault(err)
		left.Fault.Message, left.Fault.Hint = n.redact(left.Fault.Message), n.redact(left.Fault.Hint)
	}
	text, e := json.Marshal(left)
	if clean := []byte(n.redact(string(text))); e == nil && json.Valid(clean) {
		e = write(context.WithoutCancel(ctx), l, strings.TrimSuffix(l.job.Out, "/")+"/"+*step+"/output.json", clean)
	}
	return errors.Join(err, e)
}

// do does the job's task, and again while what it wants is not there and may be late. It
// gives the task's output, and the files that are for the project to keep.
func (l *places) do(ctx context.Context, r flow.Request) (out json.RawMessage, files map[string]string, err error) {
	if l.temp, err = os.MkdirTemp("", "tidemill-node-"); err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(l.temp) //nolint:errcheck // the cluster ends
	l.project = file.New(filepath.Join(l.temp, "project"))
	for name, text := range l.job.Files {
		if err := write(ctx, l, name, []byte(text)); err != nil {
			return nil, nil, err
		}
	}
	defer l.close() //nolint:errcheck // what was loaded is flushed
	c := move.Config{Lookup: l, Source: l.source, Sink: l.sink, Temp: filepath.Join(l.temp, "scratch")}
	if l.job.Store != "" {
		b, prefix, err := l.Bucket(ctx, l.job.Store)
		if err != nil {
			return nil, nil, err
		}
		c.Store = dataset.Store{Bucket: b, Prefix: prefix, URI: l.job.Store}
	}
	do, ok := move.Tasks(c)[l.job.Verb]
	if !ok || !slices.Contains(verbs, l.job.Verb) {
		return nil, nil, &flow.Error{Op: "do " + l.job.Verb, Kind: flow.Invalid, Err: fmt.Errorf("a node does %s", strings.Join(verbs, ", "))}
	}
	for until := time.Now().Add(seconds(l.job.WaitFor)); ; {
		out, err = do(ctx, r)
		if flow.KindOf(err) != flow.NotFound || l.job.WaitFor == 0 || time.Now().After(until) {
			break
		}
		fmt.Fprintf(r.Log, "%v: asked again in %d seconds\n", err, l.job.WaitEvery) //nolint:errcheck // a log
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(seconds(l.job.WaitEvery)):
		}
	}
	if err != nil {
		return nil, nil, err
	}
	files, err = l.written(ctx)
	return out, files, err
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// written are the files of the project that the task made.
func (l *places) written(ctx context.Context) (map[string]string, error) {
	files := map[string]string{}
	for o, err := range l.project.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		if _, known := l.job.Files[o.Name]; known {
			continue
		}
		text, err := read(ctx, l, o.Name)
		if err != nil {
			return nil, err
		}
		files[o.Name] = string(text)
	}
	return files, nil
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
