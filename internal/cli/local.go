package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/awslocal"
	"github.com/tidemill/tidemill/internal/awslocal/emr"
	"github.com/tidemill/tidemill/internal/connect/s3"
)

func (a *app) localCommand() *cobra.Command {
	var cfg awslocal.Config
	var clock, faults string
	var calls bool
	var buckets []string
	c := &cobra.Command{
		Use:   "local",
		Short: "Offer AWS on localhost: S3, EMR, STS, secrets",
		Long: "Offers S3, EMR, STS, Secrets Manager and parameters on one port of this machine, for any AWS client:\n\n" +
			"  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\n\n" +
			"Clusters go through EMR's states at a pace that --emr-pace sets, and their steps really run here.",
		Example: "  tidemill local --bucket shop-raw,shop-lake\n  tidemill local --addr 127.0.0.1:5000 --dir /data/local\n  tidemill local --memory --emr-pace instant\n  tidemill local --clock 2026-03-08T06:59:00Z",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Dir == "" && !cfg.Memory {
				dir, err := a.findProject()
				if err != nil {
					if dir, err = os.Getwd(); err != nil {
						return err
					}
				}
				cfg.Dir = filepath.Join(dir, ".tidemill", "local")
			}
			cfg.Now, cfg.Path, cfg.Spark = a.now, os.Getenv("PATH"), stepSpark
			var err error
			if cfg.Clock, err = clockAhead(clock, a.now()); err != nil {
				return err
			}
			if !slices.Contains(emr.Paces, cfg.Pace) {
				return &usageError{fmt.Errorf("--emr-pace %s: there are %s", cfg.Pace, strings.Join(emr.Paces, ", "))}
			}
			if faults != "" {
				if cfg.Faults, err = emr.ReadFaults(faults); err != nil {
					return &usageError{err}
				}
			}
			cfg.Log = slog.New(slog.NewTextHandler(&lineWriter{a}, &slog.HandlerOptions{Level: slog.LevelWarn}))
			t := &teller{a: a}
			cfg.Changed = t.changed
			if calls {
				cfg.Called = t.called
			}
			ctx, fail := context.WithCancelCause(c.Context())
			defer fail(nil)
			cfg.Ready = func(url string) {
				if err := makeBuckets(ctx, url, buckets); err != nil {
					fail(err)
					return
				}
				t.mu.Lock()
				defer t.mu.Unlock()
				if a.json {
					a.printJSON(map[string]any{"ready": true, "url": url})
					return
				}
				a.print("AWS on localhost is ready: S3, EMR, STS and secrets at %s", url)
				a.print("  export AWS_ENDPOINT_URL=%s AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1", url)
			}
			err = awslocal.Serve(ctx, cfg)
			switch cause := context.Cause(ctx); {
			case errors.Is(cause, errInterrupted):
				return nil // being stopped is how it ends
			case err == nil:
				return cause
			}
			return err
		},
	}
	c.Flags().StringSliceVar(&buckets, "bucket", nil, "S3 buckets to make where they are missing")
	c.Flags().StringVar(&cfg.Addr, "addr", "127.0.0.1:4566", "the address, on this machine only")
	c.Flags().StringVar(&cfg.Dir, "dir", "", "where it keeps its state (default: .tidemill/local)")
	c.Flags().BoolVar(&cfg.Memory, "memory", false, "forget everything at the end")
	c.Flags().StringVar(&cfg.Pace, "emr-pace", emr.Paces[0], "how fast clusters change: "+strings.Join(emr.Paces, ", "))
	c.Flags().StringVar(&clock, "clock", "", "the time it begins with: an instant, or how far ahead of this machine's (+90m)")
	c.Flags().StringVar(&faults, "faults", "", "a script of what goes wrong with clusters, their steps and calls")
	c.Flags().BoolVar(&calls, "calls", false, "tell every call too, not only what becomes of clusters and steps")
	return c
}

// teller tells what happens, a line each.
type teller struct {
	a  *app
	mu sync.Mutex
}

func (t *teller) changed(e emr.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.a.json {
		out := map[string]any{"event": "cluster", "time": e.Time.UTC(), "region": e.Region, "cluster": e.Cluster, "name": e.Name, "state": e.State, "code": e.Code, "reason": e.Reason}
		if e.Step != "" {
			out["event"], out["step"], out["step_name"] = "step", e.Step, e.StepName
		}
		t.a.printJSON(out)
		return
	}
	who, step := e.Cluster+" "+e.Name, ""
	if e.Step != "" {
		step = " " + e.Step + " " + e.StepName
	}
	words := slices.DeleteFunc([]string{e.State, e.Code, e.Reason}, func(s string) bool { return s == "" })
	t.a.print("%s %s%s %s", e.Time.UTC().Format(time.TimeOnly), who, step, strings.Join(words, " "))
}

func (t *teller) called(c awslocal.Called) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.a.json {
		t.a.printJSON(map[string]any{"event": "call", "time": c.Time.UTC(), "service": c.Service, "what": c.What, "status": c.Status})
		return
	}
	t.a.print("%s %s %s %d", c.Time.UTC().Format(time.TimeOnly), c.Service, c.What, c.Status)
}

// makeBuckets makes those of tidemill local that are missing.
func makeBuckets(ctx context.Context, url string, names []string) error {
	cfg, err := awsauth.Load(ctx, awsauth.Settings{Endpoint: url})
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := s3.Make(ctx, cfg, n); err != nil {
			return err
		}
	}
	return nil
}

// clockAhead reads what --clock says: how far the time is ahead of now.
func clockAhead(text string, now time.Time) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.Sub(now), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &usageError{fmt.Errorf("--clock %s: write an instant such as 2026-03-08T06:59:00Z, or a distance such as +90m", text)}
	}
	return d, nil
}
