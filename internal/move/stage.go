package move

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

// nodeProgram is how the files are named that are not the project's but come with tidemill.
const nodeProgram = "tidemill-node-linux-"

// stage lays files of the project where a cluster reads them, each under its content's
// hash. What is there already is not written again.
func (m *mover) stage(ctx context.Context, r flow.Request) (json.RawMessage, error) {
	var job flow.StageJob
	if err := arguments(r, &job); err != nil {
		return nil, err
	}
	done := 0
	for _, f := range job.Files {
		wrote, err := m.stageFile(ctx, f)
		if err != nil {
			return nil, err
		}
		if wrote {
			done++
		}
	}
	return json.Marshal(map[string]int{"files": done})
}

func (m *mover) stageFile(ctx context.Context, f flow.StagedFile) (bool, error) {
	op := "stage " + f.File
	to, key, err := m.Lookup.Bucket(ctx, f.To)
	if err != nil {
		return false, err
	}
	if _, err := to.Stat(ctx, key); err == nil {
		return false, nil
	} else if flow.KindOf(err) != flow.NotFound {
		return false, err
	}
	file := f.File
	if m.Node != nil && strings.HasPrefix(file, nodeProgram) {
		if file, err = m.Node(file); err != nil {
			return false, err
		}
	}
	from, name, err := m.Lookup.Bucket(ctx, file)
	if err != nil {
		return false, err
	}
	in, err := from.Open(ctx, name, 0, -1)
	if err != nil {
		return false, &flow.Error{Op: op, Kind: flow.KindOf(err), Err: err}
	}
	defer in.Close() //nolint:errcheck // only read
	w, err := to.Create(ctx, key, flow.Condition{})
	if err != nil {
		return false, err
	}
	defer w.Abort() //nolint:errcheck // after Commit it does nothing
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), in); err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	if got := hex.EncodeToString(h.Sum(nil))[:32]; got != f.Hash {
		return false, &flow.Error{Op: op, Kind: flow.Invalid, Err: errors.New("the file has changed since the run was made"), Hint: "ask for the run again: it is made anew with the file as it is"}
	}
	_, err = w.Commit()
	return err == nil, err
}
