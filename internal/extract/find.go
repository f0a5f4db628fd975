package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// found is a file of an extract.
type found struct {
	bucket flow.Bucket
	object flow.Object
	Show   string // as messages name it
}

// files lists what an extract's from names: a file, a folder, a glob. Hidden names (_x, .x)
// in folders and globs are left out, as Spark does.
func (rd *Reader) files(ctx context.Context, from string) ([]found, error) {
	b, name, err := rd.Lookup.Bucket(ctx, from)
	if err != nil {
		return nil, err
	}
	k := 0 // what the URI and the bucket's name end alike with
	for k < min(len(from), len(name)) && from[len(from)-1-k] == name[len(name)-1-k] {
		k++
	}
	root, cut := from[:len(from)-k], name[:len(name)-k]
	if k == 0 {
		root = strings.TrimSuffix(from, "/") + "/"
	}
	glob := strings.ContainsAny(name, "*?[")
	if !glob && !strings.HasSuffix(name, "/") && name != "" {
		o, err := b.Stat(ctx, name)
		if err == nil {
			return []found{{b, o, from}}, nil
		}
		if flow.KindOf(err) != flow.NotFound {
			return nil, err
		}
	}
	prefix := strings.TrimSuffix(name, "/") + "/"
	if name == "" {
		prefix = ""
	}
	if glob {
		prefix = name[:strings.IndexAny(name, "*?[")]
	}
	var out []found
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		if Hidden(strings.TrimPrefix(o.Name, prefix)) || o.Size == 0 && strings.HasSuffix(o.Name, "/") {
			continue
		}
		if glob {
			if ok, err := format.MatchGlob(name, o.Name); err != nil {
				return nil, &flow.Error{Op: "read " + from, Kind: flow.Invalid, Err: err}
			} else if !ok {
				continue
			}
		}
		out = append(out, found{b, o, root + strings.TrimPrefix(o.Name, cut)})
	}
	if len(out) == 0 {
		return nil, &flow.Error{Op: "read " + from, Kind: flow.NotFound, Err: errors.New("no such file"), Hint: "Check the path, or let the step wait: { for: 2h, every: 1m }."}
	}
	return out, nil
}

// Hidden tells whether a part of a path below a folder begins with _ or a point: Spark and
// others leave such files out.
func Hidden(rest string) bool {
	return slices.ContainsFunc(strings.Split(rest, "/"), func(p string) bool { return strings.HasPrefix(p, "_") || strings.HasPrefix(p, ".") })
}

// Fetch gives a file of this machine with an object's bytes, staged if need be.
func (rd *Reader) Fetch(ctx context.Context, b flow.Bucket, name string) (string, error) {
	if l, ok := b.(flow.Locator); ok {
		p := l.Path(name)
		if _, err := b.Stat(ctx, name); err != nil {
			return "", err
		}
		if !strings.ContainsAny(p, "*?[]{}") {
			return p, nil
		}
		// DuckDB would read the name as a glob.
		link := filepath.Join(rd.Temp, rd.scratchName(p))
		return link, os.Symlink(p, link)
	}
	to := filepath.Join(rd.Temp, rd.scratchName(name))
	return to, download(ctx, b, name, to, rd.progress)
}

var plainName = func(r rune) rune {
	if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return '_'
}

func (rd *Reader) scratchName(name string) string {
	base := strings.Map(plainName, filepath.Base(name))
	return fmt.Sprintf("%d-%s", time.Now().UnixNano(), base[max(0, len(base)-80):])
}

// Staged reads: ranges of stageRange bytes, stageWorkers at once.
const (
	stageRange   = 8 << 20
	stageWorkers = 4
)

// download copies an object into a file by ranged reads side by side.
func download(ctx context.Context, b flow.Bucket, name, to string, progress func(flow.Progress)) error {
	o, err := b.Stat(ctx, name)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("stage %s: %w", name, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(stageWorkers)
	for off := int64(0); off < o.Size; off += stageRange {
		g.Go(func() error {
			n := min(stageRange, o.Size-off)
			r, err := b.Open(gctx, name, off, n)
			if err != nil {
				return err
			}
			got, err := io.Copy(io.NewOffsetWriter(f, off), r)
			if err = errors.Join(err, r.Close()); err == nil && got != n {
				err = &flow.Error{Op: "read " + name, Kind: flow.Transient, Err: fmt.Errorf("%d bytes at %d where %d were asked for", got, off, n)}
			}
			progress(flow.Progress{Doing: "stage " + name, Bytes: off + got, Total: o.Size})
			return err
		})
	}
	return errors.Join(g.Wait(), f.Close())
}
