package opensearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// How long an index that lost its alias stays for readers that still scroll in it, and how
// old an index that was never flipped grows before it counts as left behind.
const (
	retireGrace = 10 * time.Minute
	orphanAge   = 24 * time.Hour
)

// stageSwap writes the rows into an index of this attempt's own.
func (s *Sink) stageSwap(ctx context.Context, w flow.Write, rows flow.Rows) (flow.Receipt, error) {
	if err := s.freeName(ctx, w.Index); err != nil {
		return flow.Receipt{}, err
	}
	s.tidy(ctx, w)
	name := stagedName(w)
	props, err := properties(w.Schema, w.Mapping)
	if err != nil {
		return flow.Receipt{}, err
	}
	if err := s.drop(ctx, name); err != nil { // of this very attempt, whose answer was lost
		return flow.Receipt{}, err
	}
	err = s.create(ctx, name, map[string]any{
		"settings": map[string]any{"index": map[string]any{"refresh_interval": "-1"}},
		"mappings": map[string]any{"dynamic": "strict", "_meta": map[string]any{"tidemill": ownerOf(w)}, "properties": props},
		"aliases":  map[string]any{door(name): map[string]any{}},
	})
	if err != nil {
		return flow.Receipt{}, err
	}
	b := &bulk{c: s.c, w: w, target: door(name), query: url.Values{"require_alias": {"true"}}}
	r, err := b.write(ctx, rows)
	r.Place = name
	if err != nil {
		return r, err
	}
	return r, s.reconcile(ctx, w, r)
}

// freeName refuses an alias whose name an index has.
func (s *Sink) freeName(ctx context.Context, alias string) error {
	found, err := s.indexes(ctx, alias)
	if err != nil {
		return err
	}
	for _, i := range found {
		if i.name == alias {
			return &flow.Error{Op: "load into " + alias, Kind: flow.Invalid, Err: errors.New("an index has the name that the alias is to have"),
				Hint: "Choose another index, or copy that one under another name and delete it: readers find nothing in between."}
		}
	}
	return nil
}

func (s *Sink) create(ctx context.Context, name string, body map[string]any) error {
	return persist(ctx, func() error {
		_, err := s.c.call(ctx, http.MethodPut, name, nil, body, nil)
		if err != nil && strings.Contains(err.Error(), "resource_already_exists_exception") {
			return nil
		}
		return err
	})
}

func (s *Sink) drop(ctx context.Context, name string) error {
	return persist(ctx, func() error {
		_, err := s.c.call(ctx, http.MethodDelete, name, url.Values{"ignore_unavailable": {"true"}}, nil, nil, http.StatusNotFound)
		return err
	})
}

// reconcile makes what was written visible in the staged index and counts it.
func (s *Sink) reconcile(ctx context.Context, w flow.Write, r flow.Receipt) error {
	err := persist(ctx, func() error {
		_, err := s.c.call(ctx, http.MethodPut, r.Place+"/_settings", nil, map[string]any{"index": map[string]any{"refresh_interval": nil}}, nil)
		return err
	})
	if err != nil {
		return err
	}
	n, err := s.count(ctx, r.Place, nil)
	if err != nil {
		return err
	}
	op := "load into " + w.Index
	switch {
	case r.Read != w.Count:
		return &flow.Error{Op: op, Kind: flow.Transient, Err: fmt.Errorf("%d rows were read and the dataset has %d", r.Read, w.Count)}
	case n < r.Written && len(w.ID) > 0:
		return &flow.Error{Op: op, Kind: flow.Invalid, Err: fmt.Errorf("%d documents were written and %d are there: rows share their id (%s)", r.Written, n, strings.Join(w.ID, ", ")),
			Hint: "Add the check unique on the id's columns, or name further columns for id."}
	case n != r.Written:
		return &flow.Error{Op: op, Kind: flow.Transient, Err: fmt.Errorf("%d documents were written and %d are there", r.Written, n)}
	}
	return nil
}

// count refreshes an index and counts its documents; query may be nil.
func (s *Sink) count(ctx context.Context, name string, query any) (int64, error) {
	var out struct {
		Count int64 `json:"count"`
	}
	var body any
	if query != nil {
		body = map[string]any{"query": query}
	}
	err := persist(ctx, func() error {
		if _, err := s.c.call(ctx, http.MethodPost, name+"/_refresh", nil, nil, nil); err != nil {
			return err
		}
		_, err := s.c.call(ctx, http.MethodPost, name+"/_count", nil, body, &out)
		return err
	})
	return out.Count, err
}

// action is one change of an alias.
type action map[string]map[string]string

// flipSwap moves the alias in one atomic call: readers see the old index or the new one.
func (s *Sink) flipSwap(ctx context.Context, w flow.Write, staged flow.Receipt) (flow.Receipt, error) {
	name := staged.Place
	family, err := s.family(ctx, w)
	if err != nil {
		return staged, err
	}
	actions := []action{{"add": {"index": name, "alias": w.Index}}}
	var old []index
	for _, i := range family {
		if i.name == name || i.owner.Period != w.Period || !slices.Contains(i.aliases, w.Index) {
			continue
		}
		if i.owner.Time > w.Time { // flips go forward in logical time only
			staged.Superseded = true
			return staged, s.drop(ctx, name)
		}
		old = append(old, i)
		actions = append(actions, action{"remove": {"index": i.name, "alias": w.Index}})
	}
	mine := slices.IndexFunc(family, func(i index) bool { return i.name == name })
	if mine < 0 {
		return staged, &flow.Error{Op: "flip " + w.Index, Kind: flow.NotFound, Err: fmt.Errorf("the staged index %s is gone", name), Hint: "Run the load again from its stage."}
	}
	if slices.Contains(family[mine].aliases, door(name)) {
		actions = append(actions, action{"remove": {"index": name, "alias": door(name)}})
	}
	err = persist(ctx, func() error {
		_, err := s.c.call(ctx, http.MethodPost, "_aliases", nil, map[string]any{"actions": actions}, nil)
		return err
	})
	if err != nil {
		return staged, err
	}
	for _, i := range old {
		s.retire(ctx, w, i)
	}
	s.tidy(ctx, w)
	return staged, nil
}

// family are the indexes that this step has written for its alias, whatever their state.
func (s *Sink) family(ctx context.Context, w flow.Write) ([]index, error) {
	all, err := s.indexes(ctx, w.Index+"-*")
	return slices.DeleteFunc(all, func(i index) bool { return i.owner == nil || !i.owner.same(w) }), err
}

// retire notes when an index lost its alias. That it was not noted costs a day's patience.
func (s *Sink) retire(ctx context.Context, w flow.Write, i index) {
	o := *i.owner
	o.Retired = s.now().UTC().Format(time.RFC3339)
	if _, err := s.c.call(ctx, http.MethodPut, i.name+"/_mapping", nil, map[string]any{"_meta": map[string]any{"tidemill": o}}, nil); err != nil {
		fmt.Fprintf(w.Log, "note that %s is retired: %s\n", i.name, err) //nolint:errcheck // the log is best effort
	}
}

// tidy removes what nobody needs: indexes of this load's other attempts that were never
// flipped, and retired ones beyond keep_old. What cannot be removed now is removed later.
func (s *Sink) tidy(ctx context.Context, w flow.Write) {
	family, err := s.family(ctx, w)
	if err != nil {
		return
	}
	slices.SortFunc(family, func(a, b index) int { return strings.Compare(retiredAt(b), retiredAt(a)) })
	kept := map[string]int{}
	for _, i := range family {
		if slices.Contains(i.aliases, w.Index) {
			continue
		}
		age := s.now().Sub(i.created)
		doomed := false
		switch at, err := time.Parse(time.RFC3339, i.owner.Retired); {
		case err == nil:
			kept[i.owner.Period]++
			doomed = kept[i.owner.Period] > w.KeepOld && s.now().Sub(at) > retireGrace
		case i.owner.Run == w.Run && i.owner.Time == w.Time && i.owner.Attempt < w.Attempt:
			doomed = true
		default:
			doomed = age > orphanAge
		}
		if !doomed {
			continue
		}
		if err := s.drop(ctx, i.name); err != nil {
			fmt.Fprintf(w.Log, "remove %s: %s\n", i.name, err) //nolint:errcheck // the log is best effort
		}
	}
}

func retiredAt(i index) string {
	if i.owner.Retired == "" {
		return "9"
	}
	return i.owner.Retired
}
