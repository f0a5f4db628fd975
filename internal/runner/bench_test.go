package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/runner"
	"github.com/tidemill/tidemill/internal/sqlite"
)

// BenchmarkDurable drives chains of 40 Task states, one and a hundred at once, over the
// journal in SQLite; `make bench` prints the same beside fsync and rivals.
func BenchmarkDurable(b *testing.B) {
	var text strings.Builder
	for i := range 40 {
		next := fmt.Sprintf(`"Next":"s%d"`, i+1)
		if i == 39 {
			next = `"End":true`
		}
		fmt.Fprintf(&text, `,"s%d":{"Type":"Task","Resource":"arn:aws:states:::tidemill:nothing",%s}`, i, next)
	}
	machine := machineText(text.String()[1:], "s0")
	nothing := func(context.Context, flow.Request) (json.RawMessage, error) { return json.RawMessage("null"), nil }
	for _, runs := range []int{1, 100} {
		b.Run(fmt.Sprint(runs), func(b *testing.B) {
			for b.Loop() {
				j, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "journal.db"))
				if err != nil {
					b.Fatal(err)
				}
				r := runner.New(runner.Config{Journal: j, Owner: "bench", Alive: func(string) bool { return false }, Now: time.Now,
					Work: func(string) (runner.Work, bool) { return runner.Work{Func: nothing}, true }})
				var wg sync.WaitGroup
				for i := range runs {
					wg.Go(func() {
						run := newRun(machine)
						run.ID = fmt.Sprint("r", i)
						run.Key.Time = run.Created.Add(time.Duration(i))
						if _, _, err := j.Create(b.Context(), run); err != nil {
							b.Error(err)
						}
						if res, err := r.Drive(b.Context(), run); err != nil || res.Status != "SUCCEEDED" {
							b.Error(res, err)
						}
					})
				}
				wg.Wait()
				if err := j.Close(); err != nil {
					b.Error(err)
				}
			}
		})
	}
}
