package spark

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/dataset"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sparkjob"
)

// Cluster does here what a piece of Spark work needs before and after it is done on a
// cluster: its job is decided and laid into the store, and what a script wrote is made a
// dataset.
type Cluster struct{ Task }

// Tasks returns the tasks by verb: prepare, written.
func (c Cluster) Tasks() map[string]flow.TaskFunc {
	return map[string]flow.TaskFunc{"prepare": c.prepareStep, "written": c.written}
}

// prepared is the output of prepare.
type prepared struct {
	Runner string `json:"runner"` // URI of the runner
	Job    string `json:"job"`    // URI of the job
}

// attemptMark stands in a job for the attempt, which the step's name gives; see sparkjob.Runner.
const attemptMark = "{attempt}"

// prepareStep lays a job, its texts and what Go read of its sources into the store. The job
// is one for every attempt at the step.
func (c Cluster) prepareStep(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var j flow.SparkJob
	if err := decode(r, &j); err != nil {
		return nil, err
	}
	p := process{c.folder(r)}
	defer os.RemoveAll(p.dir) //nolint:errcheck // a later process sweeps it
	if _, _, err := c.prepare(ctx, r, j, p); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(p.file("job.json"))
	if err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	var job sparkjob.Job
	if err := json.Unmarshal(text, &job); err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	job.Texts, job.Out = c.Store.URIOf("files"), ""
	for i := range job.Work {
		if err := c.move(ctx, r, &job.Work[i]); err != nil {
			return nil, err
		}
	}
	texts, err := os.ReadDir(p.file("texts"))
	if err != nil {
		return nil, fmt.Errorf("read the texts: %w", err)
	}
	for _, t := range texts {
		if err := c.lay(ctx, filepath.Join(p.file("texts"), t.Name()), "files/"+t.Name()); err != nil {
			return nil, err
		}
	}
	if text, err = job.Encode(); err != nil {
		return nil, fmt.Errorf("write the job: %w", err)
	}
	if err := os.WriteFile(p.file("job.json"), text, 0o600); err != nil {
		return nil, fmt.Errorf("write the job: %w", err)
	}
	var out prepared
	for name, to := range map[string]*string{"job.json": &out.Job, "runner.py": &out.Runner} {
		b, err := os.ReadFile(p.file(name))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		at := "files/" + hex.EncodeToString(sum[:])[:32] + "/" + name
		if err := c.lay(ctx, p.file(name), at); err != nil {
			return nil, err
		}
		*to = c.Store.URIOf(at)
	}
	return json.Marshal(out)
}

// move brings what a piece of work has on this machine into the store.
func (c Cluster) move(ctx context.Context, r flow.Request, w *sparkjob.Work) error {
	if w.Dataset != nil {
		w.Dir = strings.Replace(dataset.AttemptDir(w.Dataset.Slot, r.Run, r.Attempt, r.Item), "/"+r.Run+"."+strconv.Itoa(r.Attempt), "/"+r.Run+"."+attemptMark, 1)
	}
	if w.Source == nil {
		return nil
	}
	files := []*string{&w.Source.Rejects}
	for i := range w.Source.Groups {
		for k := range w.Source.Groups[i].Files {
			files = append(files, &w.Source.Groups[i].Files[k])
		}
	}
	for i, f := range files {
		name, local := strings.CutPrefix(*f, "file://")
		if !local {
			continue
		}
		state := r.State
		if r.Item != "" {
			state += "[" + r.Item + "]"
		}
		to := fmt.Sprintf("runs/%s/%s/%d/%s-%d-%s", r.Run, state, r.Attempt, w.Name, i, filepath.Base(name))
		if err := c.lay(ctx, name, to); err != nil {
			return err
		}
		*f = c.Store.URIOf(to)
	}
	return nil
}

// lay writes a file into the store, unless it is there.
func (c Cluster) lay(ctx context.Context, name, to string) (err error) {
	b, key := c.Store.Bucket, c.Store.Name(to)
	if strings.HasPrefix(to, "files/") {
		if _, err := b.Stat(ctx, key); err == nil || flow.KindOf(err) != flow.NotFound {
			return err
		}
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	w, err := b.Create(ctx, key, flow.Condition{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, in); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", c.Store.URIOf(to), err), w.Abort())
	}
	_, err = w.Commit()
	return err
}

// written makes datasets of what a script wrote on a cluster.
func (c Cluster) written(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var j struct {
		Step    string                      `json:"step"` // RUN/STATE[ITEM]/ATTEMPT
		Outputs map[string]flow.SparkOutput `json:"outputs"`
	}
	if err := decode(r, &j); err != nil {
		return nil, err
	}
	parts := strings.Split(j.Step, "/")
	attempt, err := strconv.Atoi(parts[len(parts)-1])
	if len(parts) != 3 || err != nil {
		return nil, &flow.Error{Op: "read the step's name", Kind: flow.Invalid, Err: fmt.Errorf("%q is not RUN/STATE/ATTEMPT", j.Step)}
	}
	_, item, _ := strings.Cut(strings.TrimSuffix(parts[1], "]"), "[")
	r.Attempt, r.Item = attempt, item
	return c.outputs(ctx, r, flow.SparkJob{Outputs: j.Outputs})
}

// Fault is what the runner left about the failure of a step, or nil.
func (c Cluster) Fault(ctx context.Context, step string) error {
	in, err := c.Store.Bucket.Open(ctx, c.Store.Name("runs/"+step+"/output.json"), 0, -1)
	if err != nil {
		return nil // it left nothing
	}
	defer in.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(in)
	if err != nil {
		return nil
	}
	_, err = sparkjob.Result(text)
	return err
}
