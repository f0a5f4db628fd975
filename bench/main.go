// Command bench measures what the project promises about speed, with a rival beside it in
// the same run, and prints a line a figure:
//
//	bench NAME VALUE UNIT rival=NAME rival_value=VALUE ratio=VALUE
//
// Values are medians. Those whose rivals do not install from a registry have the rival's
// figure as it was measured once on a machine of two cores.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the command line's.
type settings struct {
	dir    string // scratch
	binary string // bin/tidemill
	rows   int    // order lines
	rounds int
	docs   int // documents
	cache  string
}

// bench is one of the measured things.
type bench struct {
	name string
	run  func(context.Context, settings) error
}

var benches = []bench{{"orders", orders}, {"csv", csv}, {"states40", states40}, {"decisions", decisions}, {"validate1000", validate}, {"help", help}, {"search", search}, {"rest", rest}, {"spark", spark}}

// children are what a measured process of ours does, by its first argument.
var children = map[string]func(context.Context, []string) error{"fused": ordersChild, "plain": ordersChild, "parquet": parquetChild, "search": searchChild, "raw": searchRaw, "pages": pagesChild}

// child is one measured run in a process of its own.
func child(ctx context.Context, args []string) error {
	do, ok := children[args[0]]
	if !ok {
		return fmt.Errorf("no child %s", args[0])
	}
	return do(ctx, args)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // a program's root
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err) //nolint:errcheck // the last words
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "child" {
		return child(ctx, args[1:])
	}
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.dir, "dir", filepath.Join(os.TempDir(), "tidemill-bench"), "scratch folder; what takes long to make is kept there")
	f.StringVar(&s.binary, "binary", "bin/tidemill", "the program")
	f.IntVar(&s.rows, "rows", 10_000_000, "order lines")
	f.IntVar(&s.docs, "docs", 500_000, "documents of the search load")
	f.StringVar(&s.cache, "cache", "", "where scripts/parts installed what rivals and servers need")
	f.IntVar(&s.rounds, "rounds", 3, "of each measure")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for _, b := range benches {
		if len(f.Args()) > 0 && !slices.Contains(f.Args(), b.name) {
			continue
		}
		if err := b.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return nil
}

// figure prints one line. Where more is better the ratio is still ours to theirs.
func figure(name string, value float64, unit, rival string, theirs float64) {
	fmt.Printf("bench %s %.4g %s rival=%s rival_value=%.4g ratio=%.3f\n", name, value, unit, rival, theirs, value/theirs)
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// cost is what a program took.
type cost struct{ seconds, cpu, mb float64 }

// spend runs a program to its end.
func spend(ctx context.Context, dir string, argv ...string) (cost, error) {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir = dir
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	begun := time.Now()
	err := c.Run()
	took := time.Since(begun).Seconds()
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out.String())
	}
	use, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("this system does not tell what a program took")
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return cost{took, seconds(use.Utime) + seconds(use.Stime), float64(use.Maxrss) / 1024}, nil
}

// medians runs programs in turn and gives, for each, the medians of what it took.
func medians(ctx context.Context, rounds int, dir string, programs ...[]string) ([]cost, error) {
	all := make([][3][]float64, len(programs))
	for range rounds {
		for i, argv := range programs {
			c, err := spend(ctx, dir, argv...)
			if err != nil {
				return nil, err
			}
			for k, v := range []float64{c.seconds, c.cpu, c.mb} {
				all[i][k] = append(all[i][k], v)
			}
		}
	}
	out := make([]cost, len(programs))
	for i, v := range all {
		out[i] = cost{median(v[0]), median(v[1]), median(v[2])}
	}
	return out, nil
}
