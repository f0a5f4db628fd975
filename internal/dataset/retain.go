package dataset

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// Retention says what Prune keeps.
type Retention struct {
	Days  int             // logical times of the last days; 0: all
	Runs  int             // of each step, the newest logical times; 0: all
	Grace time.Duration   // nothing younger is removed; 0: one day
	InUse map[string]bool // run ids that still go on
}

// Prune removes, of one pipeline, the attempts that no pointer names and the logical
// times that the retention lets go; the newest published time of a step stays. The
// pointer goes first, then manifests, then files: a dataset is never half there.
func (s Store) Prune(ctx context.Context, pipeline string, keep Retention) (removed int, err error) {
	remover, ok := s.Bucket.(flow.Remover)
	if !ok {
		return 0, nil
	}
	if keep.Grace == 0 {
		keep.Grace = 24 * time.Hour
	}
	slots, err := s.scan(ctx, pipeline)
	if err != nil {
		return 0, err
	}
	for i := range slots {
		doomed, err := s.doomed(ctx, slots, i, keep)
		if err != nil {
			return removed, err
		}
		if len(doomed) == 0 {
			continue
		}
		rank := func(n string) int {
			switch path.Base(n) {
			case PointerName:
				return 0
			case ManifestName:
				return 1
			}
			return 2
		}
		slices.SortStableFunc(doomed, func(a, b string) int { return rank(a) - rank(b) })
		// Pointers and manifests one after another, before any file.
		n := 0
		for n < len(doomed) && rank(doomed[n]) < 2 {
			if err := remover.Remove(ctx, doomed[n]); err != nil {
				return removed, err
			}
			n++
		}
		if err := remover.Remove(ctx, doomed[n:]...); err != nil {
			return removed, err
		}
		removed += len(doomed)
	}
	return removed, s.tidy(ctx, pipeline, keep)
}

// tidy removes what attempts that were killed left half uploaded.
func (s Store) tidy(ctx context.Context, pipeline string, keep Retention) error {
	b, ok := s.Bucket.(flow.Tidier)
	if !ok {
		return nil
	}
	err := b.Tidy(ctx, s.Name("data/"+pipeline)+"/", func(name string, begun time.Time) bool {
		parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(name, s.Prefix), "/"), "/")
		if len(parts) < 5 { // data/PIPELINE/STEP/TIME/RUN.ATTEMPT/…
			return false
		}
		run, _, _ := strings.Cut(parts[4], ".")
		return s.now().Sub(begun) >= keep.Grace && !keep.InUse[run]
	})
	if flow.KindOf(err) == flow.Denied {
		return nil // a right that prune asked nobody for before; a rule of the bucket can do it
	}
	return err
}

// held is a slot as it lies in the store.
type held struct {
	slot     flow.Slot
	current  bool                     // it has a pointer
	own      []flow.Object            // pointer and lease
	attempts map[string][]flow.Object // by folder name
}

func (s Store) scan(ctx context.Context, pipeline string) ([]*held, error) {
	var out []*held
	byDir := map[string]*held{}
	for o, err := range s.Bucket.List(ctx, s.Name("data/"+pipeline)+"/") {
		if err != nil {
			return nil, err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(o.Name, s.Prefix), "/")
		parts := strings.SplitN(strings.TrimPrefix(rel, "data/"), "/", 5)
		if len(parts) < 4 {
			continue
		}
		dir := strings.Join(parts[:3], "/")
		h := byDir[dir]
		if h == nil {
			slot, ok := ParseSlot(dir)
			if !ok {
				continue
			}
			h = &held{slot: slot, attempts: map[string][]flow.Object{}}
			byDir[dir] = h
			out = append(out, h)
		}
		if len(parts) == 4 {
			h.own = append(h.own, o)
			h.current = h.current || parts[3] == PointerName
			continue
		}
		h.attempts[parts[3]] = append(h.attempts[parts[3]], o)
	}
	return out, nil
}

// doomed are the names of one slot's objects that are to go.
func (s Store) doomed(ctx context.Context, all []*held, i int, keep Retention) ([]string, error) {
	h := all[i]
	current := ""
	if h.current {
		p, _, err := s.Current(ctx, h.slot)
		if err != nil {
			return nil, err
		}
		current = path.Dir(p.Manifest)
	}
	expired := h.current && s.expired(all, h, keep)
	var names []string
	busy := false
	for dir, objects := range h.attempts {
		young := false
		for _, o := range objects {
			young = young || s.now().Sub(o.Modified) < keep.Grace
		}
		run, _, _ := strings.Cut(dir, ".")
		if young || keep.InUse[run] {
			busy = true
			continue
		}
		if dir == current && !expired {
			continue
		}
		if dir != current || expired {
			for _, o := range objects {
				names = append(names, o.Name)
			}
		}
	}
	if expired && !busy {
		for _, o := range h.own {
			names = append(names, o.Name)
		}
		return names, nil
	}
	if expired { // the current attempt goes only together with its pointer
		return slices.DeleteFunc(names, func(n string) bool { return strings.Contains(n, "/"+current+"/") }), nil
	}
	return names, nil
}

// expired tells whether the retention lets a published time go.
func (s Store) expired(all []*held, h *held, keep Retention) bool {
	newer := 0
	for _, o := range all {
		if o.current && o.slot.Step == h.slot.Step && o.slot.Params == h.slot.Params && o.slot.Time > h.slot.Time {
			newer++
		}
	}
	if newer == 0 {
		return false
	}
	if keep.Runs > 0 && newer >= keep.Runs {
		return true
	}
	at, err := flow.ParseTimeName(h.slot.Time)
	return err == nil && keep.Days > 0 && s.now().Sub(at) > time.Duration(keep.Days)*24*time.Hour
}
