package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/runner"
	"github.com/tidemill/tidemill/internal/sqlite"
)

// What others took for 40 sequential steps that do nothing, on a machine of two cores.
const (
	daguStates40     = 195.0  // ms
	temporalStates40 = 2050.0 // ms, in memory
	bruinValidate    = 2.3    // s for 1,000 pipelines
	daguHelp         = 40.0   // ms
	aimedDecisions   = 10_000 // decisions a second that the project promises
)

// chain is a machine of n Task states, one after the other.
func chain(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"QueryLanguage":"JSONata","StartAt":"s0","States":{`)
	for i := range n {
		next := fmt.Sprintf(`"Next":"s%d"`, i+1)
		if i == n-1 {
			next = `"End":true`
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"s%d":{"Type":"Task","Resource":"arn:aws:states:::tidemill:nothing",%s}`, i, next)
	}
	b.WriteString("}}")
	return []byte(b.String())
}

// counted is a journal that counts decisions.
type counted struct {
	runner.Journal
	n atomic.Int64
}

// Commit counts.
func (c *counted) Commit(ctx context.Context, run string, f runner.Fence, n int, d runner.Decision) error {
	c.n.Add(1)
	return c.Journal.Commit(ctx, run, f, n, d)
}

// atOnce drives runs of the chain side by side in a journal of their own and gives the
// seconds and decisions.
func atOnce(ctx context.Context, s settings, runs int) (seconds float64, decided int64, err error) {
	dir, err := os.MkdirTemp(s.dir, "journal-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	kept, err := sqlite.Open(ctx, filepath.Join(dir, "journal.db"))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	j := &counted{Journal: kept}
	nothing := func(context.Context, flow.Request) (json.RawMessage, error) { return json.RawMessage("null"), nil }
	r := runner.New(runner.Config{Journal: j, Owner: "bench", Alive: func(string) bool { return false }, Now: time.Now,
		Work: func(string) (runner.Work, bool) { return runner.Work{Func: nothing}, true }})
	text := chain(40)
	begun := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for i := range runs {
		g.Go(func() error {
			run, _, err := j.Create(gctx, runner.Run{ID: fmt.Sprint("r", i), Key: runner.Key{Pipeline: "bench", Time: begun.Add(time.Duration(i)), Target: "local"}, N: 1, Machine: text, Hash: "h", Input: json.RawMessage("{}"), Created: begun})
			if err != nil {
				return err
			}
			res, err := r.Drive(gctx, run)
			if err == nil && res.Status != "SUCCEEDED" {
				err = fmt.Errorf("run %s: %s %s", run.ID, res.Status, res.Cause)
			}
			return err
		})
	}
	err = g.Wait()
	return time.Since(begun).Seconds(), j.n.Load(), err
}

// fsync is the median of milliseconds for a durable write of a page, on which all of this stands.
func fsync(s settings) (ms float64, err error) {
	f, err := os.CreateTemp(s.dir, "fsync-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var all []float64
	page := make([]byte, 4096)
	for range 100 {
		begun := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(begun).Seconds()*1e3)
	}
	return median(all), nil
}

// states40: 40 Task states in a row, each kept durably before and after its task.
func states40(ctx context.Context, s settings) error {
	var all []float64
	var n int64
	for range max(s.rounds, 5) {
		seconds, decided, err := atOnce(ctx, s, 1)
		if err != nil {
			return err
		}
		all, n = append(all, seconds*1e3), decided
	}
	ms := median(all)
	figure("states40", ms, "ms", "dagu", daguStates40)
	figure("states40", ms, "ms", "temporal", temporalStates40)
	sync, err := fsync(s)
	if err != nil {
		return err
	}
	figure("states40_per_commit", ms/float64(n), "ms", "fsync", sync)
	return nil
}

// decisions: 100 such executions at once.
func decisions(ctx context.Context, s settings) error {
	var all []float64
	for range s.rounds {
		seconds, n, err := atOnce(ctx, s, 100)
		if err != nil {
			return err
		}
		all = append(all, float64(n)/seconds)
	}
	figure("decisions", median(all), "1/s", "promise", aimedDecisions)
	return nil
}

// validate: the program checks a project of 1,000 pipelines.
func validate(ctx context.Context, s settings) (err error) {
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "validate-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.MkdirAll(filepath.Join(dir, "pipelines"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tidemill.yaml"), []byte("project: bench\nvars: { lake: lake }\n"), 0o600); err != nil {
		return err
	}
	for i := range 1000 {
		text := fmt.Sprintf(`schedule: { cron: "%d %d * * *", timezone: America/New_York, start: 2017-11-01, day: start }
steps:
  orders:
    extract: { from: "data/orders_%d_{{ ds_nodash }}.csv", columns: { id: bigint, customer: string, amount: "decimal(12,2)", status: string } }
    sql: select * from source where status <> 'cancelled'
  totals:
    sql: select customer, sum(amount) as amount, count(*) as lines from orders where id > {{ params.least }} group by customer
    checks: [{ unique: customer }, { not_null: amount }]
  lake: { load: { from: totals, to: "{{ var.lake }}/totals_%d/{{ ds }}" } }
params: { least: %d }
`, i%60, i%24, i, i, i)
		if err := os.WriteFile(filepath.Join(dir, "pipelines", fmt.Sprintf("p%03d.yaml", i)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	c, err := medians(ctx, s.rounds, dir, []string{binary, "validate"})
	if err != nil {
		return err
	}
	figure("validate1000", c[0].seconds, "s", "bruin", bruinValidate)
	return nil
}

// help: how long the program takes to say what it can do.
func help(ctx context.Context, s settings) error {
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	c, err := medians(ctx, max(s.rounds, 11), s.dir, []string{binary, "--help"})
	if err != nil {
		return err
	}
	figure("help", c[0].seconds*1e3, "ms", "dagu", daguHelp)
	return nil
}
