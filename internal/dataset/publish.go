package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// Pointer is what _current.json holds: the attempt of a slot that others read.
type Pointer struct {
	Version  int       `json:"version"`
	Manifest string    `json:"manifest"` // relative to the slot's folder
	SHA256   string    `json:"sha256"`
	Run      string    `json:"run"`
	Attempt  int       `json:"attempt"`
	At       time.Time `json:"at"` // when it was flipped
}

// Current reads a slot's pointer and the object that holds it; NotFound where nothing was published.
func (s Store) Current(ctx context.Context, slot flow.Slot) (Pointer, flow.Object, error) {
	name := s.Name(SlotDir(slot) + "/" + PointerName)
	o, err := s.Bucket.Stat(ctx, name)
	if err != nil {
		return Pointer{}, o, err
	}
	text, err := read(ctx, s.Bucket, name)
	if err != nil {
		return Pointer{}, o, err
	}
	var p Pointer
	if err := json.Unmarshal(text, &p); err != nil || p.Version != 1 || p.Manifest == "" {
		return Pointer{}, o, &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: fmt.Errorf("not a pointer of version 1: %w", err)}
	}
	return p, o, nil
}

// CurrentDataset reads the published dataset of a slot.
func (s Store) CurrentDataset(ctx context.Context, slot flow.Slot) (*Dataset, error) {
	p, _, err := s.Current(ctx, slot)
	if err != nil {
		return nil, err
	}
	return s.Read(ctx, nil, s.URIOf(SlotDir(slot)+"/"+p.Manifest))
}

// Older tells whether run and attempt come before another's: an earlier attempt of the
// same run, or an earlier run of the same key (their ids differ in the -N at the end).
func Older(run string, attempt int, thanRun string, thanAttempt int) bool {
	if run == thanRun {
		return attempt < thanAttempt
	}
	base, n := runNumber(run)
	base2, n2 := runNumber(thanRun)
	return base == base2 && n < n2
}

// runNumber cuts the -N from a run's id; a first run has none and counts 1.
func runNumber(run string) (string, int) {
	i := strings.LastIndexByte(run, '-')
	if i < 0 || len(run)-i-1 > 5 { // six characters are the key's hash
		return run, 1
	}
	n, err := strconv.Atoi(run[i+1:])
	if err != nil || n < 2 {
		return run, 1
	}
	return run[:i], n
}

// flip makes a dataset the current one of its slot. The caller holds the slot's lease.
func (s Store) flip(ctx context.Context, slot flow.Slot, d *Dataset) error {
	rel, ok := s.Rel(d.URI)
	dir := SlotDir(slot) + "/"
	if !ok || !strings.HasPrefix(rel, dir) {
		return &flow.Error{Op: "publish " + d.URI, Kind: flow.Invalid, Err: fmt.Errorf("it does not lie in its slot %s", slot.Dir())}
	}
	now, o, err := s.Current(ctx, slot)
	when := flow.Condition{IfAbsent: true}
	switch {
	case err == nil && now.SHA256 == d.SHA256 && now.Manifest == strings.TrimPrefix(rel, dir):
		return nil
	case err == nil && Older(d.Run, d.Attempt, now.Run, now.Attempt):
		return &flow.Error{Op: "publish " + d.URI, Kind: flow.Conflict, Err: fmt.Errorf("run %s attempt %d has published since", now.Run, now.Attempt),
			Hint: "Nothing is lost: a newer attempt stands. Start a new run to replace it."}
	case err == nil:
		when = flow.Condition{IfMatch: o.ETag}
		if o.ETag == "" {
			when = flow.Condition{}
		}
	case flow.KindOf(err) != flow.NotFound:
		return err
	}
	text, err := encode(Pointer{Version: 1, Manifest: strings.TrimPrefix(rel, dir), SHA256: d.SHA256, Run: d.Run, Attempt: d.Attempt, At: s.now()})
	if err != nil {
		return err
	}
	_, err = write(ctx, s.Bucket, s.Name(dir+PointerName), text, when)
	return err
}

// Publish makes a run's datasets the current ones, under the leases of all their slots,
// and moves the cursors after that. It may be repeated.
func (s Store) Publish(ctx context.Context, owner string, j flow.PublishJob) error {
	sets, slots := map[string]*Dataset{}, map[string]flow.Slot{}
	for _, uri := range j.Datasets {
		slot, ok := s.SlotOf(uri)
		if !ok {
			return &flow.Error{Op: "publish " + uri, Kind: flow.Invalid, Err: errors.New("it does not lie in a slot of the store")}
		}
		d, err := s.Read(ctx, nil, uri)
		if err != nil {
			return err
		}
		if d.Step != slot.Step {
			return &flow.Error{Op: "publish " + uri, Kind: flow.Invalid, Err: fmt.Errorf("the manifest is of step %s", d.Step)}
		}
		sets[slot.Step], slots[slot.Step] = d, slot
	}
	steps := slices.Sorted(maps.Keys(sets))
	leases := make([]*Lease, 0, len(steps))
	defer func() {
		for _, l := range leases {
			l.Release(context.WithoutCancel(ctx))
		}
	}()
	for _, step := range steps {
		l, err := s.Lease(ctx, SlotDir(slots[step])+"/"+LeaseName, owner)
		if err != nil {
			return err
		}
		leases = append(leases, l)
	}
	for _, step := range steps {
		if err := s.flip(ctx, slots[step], sets[step]); err != nil {
			return err
		}
	}
	for _, step := range slices.Sorted(maps.Keys(j.Cursors)) {
		slot, ok := slots[step]
		if !ok {
			return &flow.Error{Op: "move cursor of " + step, Kind: flow.Invalid, Err: errors.New("the job publishes no dataset of it")}
		}
		if err := s.MoveCursor(ctx, slot, j.Cursors[step]); err != nil {
			return err
		}
	}
	return nil
}

// Version is one published dataset.
type Version struct {
	Slot     flow.Slot
	Manifest string // URI
}

// Versions lists the published datasets of a pipeline's step (all steps if it is empty), in order
// of step and time.
func (s Store) Versions(ctx context.Context, pipeline, step string) ([]Version, error) {
	prefix := "data/" + pipeline + "/"
	if step != "" {
		prefix += step + "/"
	}
	var out []Version
	for o, err := range s.Bucket.List(ctx, s.Name(prefix)+"/") {
		if err != nil {
			return nil, err
		}
		if path.Base(o.Name) != PointerName {
			continue
		}
		dir := path.Dir(strings.TrimPrefix(strings.TrimPrefix(o.Name, s.Prefix), "/"))
		slot, ok := ParseSlot(strings.TrimPrefix(dir, "data/"))
		if !ok {
			continue
		}
		p, _, err := s.Current(ctx, slot)
		if err != nil {
			if flow.KindOf(err) == flow.NotFound {
				continue
			}
			return nil, err
		}
		out = append(out, Version{slot, s.URIOf(dir + "/" + p.Manifest)})
	}
	return out, nil
}

// Latest reads the published dataset of the latest logical time before the slot's, with
// the same params; NotFound where there is none.
func (s Store) Latest(ctx context.Context, slot flow.Slot) (*Dataset, error) {
	before, _, err := s.around(ctx, slot)
	if err != nil {
		return nil, err
	}
	return s.last(ctx, slot, before)
}

// Base is Latest for a table that accumulates. It fails with Conflict where an earlier time
// was published anew since: then the table lacks what that time now has.
func (s Store) Base(ctx context.Context, slot flow.Slot) (*Dataset, error) {
	before, _, err := s.around(ctx, slot)
	if err != nil {
		return nil, err
	}
	if n := len(before) - 1; n > 0 {
		for _, v := range before[:n] {
			if !v.at.After(before[n].at) {
				continue
			}
			// Objects that were copied have new times: the pointers know when they were flipped.
			anew, err := s.flippedAfter(ctx, v.slot, before[n].slot)
			if err != nil {
				return nil, err
			}
			if anew {
				return nil, &flow.Error{Op: "read " + slot.Pipeline + "." + slot.Step + " of " + before[n].slot.Time, Kind: flow.Conflict, Err: fmt.Errorf("%s was published anew after it, and its rows are kept from time to time", v.slot.Time),
					Hint: "Run all times after that one again too, in order: tidemill run " + slot.Pipeline + " --onward, and its --date."}
			}
		}
	}
	return s.last(ctx, slot, before)
}

// Later are the logical times after the slot's that were published with the same params, in order.
func (s Store) Later(ctx context.Context, slot flow.Slot) ([]flow.Slot, error) {
	_, after, err := s.around(ctx, slot)
	out := make([]flow.Slot, len(after))
	for i, v := range after {
		out[i] = v.slot
	}
	return out, err
}

func (s Store) last(ctx context.Context, slot flow.Slot, before []published) (*Dataset, error) {
	if len(before) == 0 {
		return nil, &flow.Error{Op: "find a dataset of " + slot.Pipeline + "." + slot.Step + " before " + slot.Time, Kind: flow.NotFound, Err: errors.New("none was published"),
			Hint: "The first run of a step has no previous one."}
	}
	return s.CurrentDataset(ctx, before[len(before)-1].slot)
}

// published is a slot that has a pointer, and since when.
type published struct {
	slot flow.Slot
	at   time.Time
}

func (s Store) flippedAfter(ctx context.Context, a, b flow.Slot) (bool, error) {
	x, _, err := s.Current(ctx, a)
	if err != nil {
		return false, err
	}
	y, _, err := s.Current(ctx, b)
	return x.At.After(y.At), err
}

// around lists the published slots of a step with the slot's params, before and after its
// time, in order.
func (s Store) around(ctx context.Context, of flow.Slot) (before, after []published, err error) {
	for o, err := range s.Bucket.List(ctx, s.Name("data/"+of.Pipeline+"/"+of.Step)+"/") {
		if err != nil {
			return nil, nil, err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(o.Name, s.Prefix), "/")
		slot, ok := ParseSlot(strings.TrimPrefix(path.Dir(rel), "data/"))
		if !ok || path.Base(rel) != PointerName || slot.Params != of.Params {
			continue
		}
		switch {
		case slot.Time < of.Time:
			before = append(before, published{slot, o.Modified})
		case slot.Time > of.Time:
			after = append(after, published{slot, o.Modified})
		}
	}
	inOrder := func(a, b published) int { return strings.Compare(a.slot.Time, b.slot.Time) }
	slices.SortFunc(before, inOrder)
	slices.SortFunc(after, inOrder)
	return before, after, nil
}

// cursor is what cursors/PIPELINE/STEP[-PARAMS].json holds.
type cursor struct {
	Version int       `json:"version"`
	Value   string    `json:"value"`
	At      time.Time `json:"at"`
}

func cursorName(slot flow.Slot) string {
	n := "cursors/" + slot.Pipeline + "/" + slot.Step
	if slot.Params != "" {
		n += "-" + slot.Params
	}
	return n + ".json"
}

// Cursor reads a step's mark; empty where there is none yet.
func (s Store) Cursor(ctx context.Context, slot flow.Slot) (string, error) {
	c, _, err := s.cursor(ctx, slot)
	return c.Value, err
}

func (s Store) cursor(ctx context.Context, slot flow.Slot) (cursor, flow.Object, error) {
	name := s.Name(cursorName(slot))
	o, err := s.Bucket.Stat(ctx, name)
	if flow.KindOf(err) == flow.NotFound {
		return cursor{}, flow.Object{}, nil
	}
	if err != nil {
		return cursor{}, o, err
	}
	text, err := read(ctx, s.Bucket, name)
	if err != nil {
		return cursor{}, o, err
	}
	var c cursor
	if err := json.Unmarshal(text, &c); err != nil || c.Version != 1 {
		return cursor{}, o, &flow.Error{Op: "read " + name, Kind: flow.Invalid, Err: fmt.Errorf("not a cursor of version 1: %w", err)}
	}
	return c, o, nil
}

// MoveCursor moves a step's mark forward, never back.
func (s Store) MoveCursor(ctx context.Context, slot flow.Slot, value string) error {
	if value == "" {
		return nil
	}
	for {
		c, o, err := s.cursor(ctx, slot)
		if err != nil || c.Value != "" && !before(c.Value, value) {
			return err
		}
		text, err := encode(cursor{Version: 1, Value: value, At: s.now()})
		if err != nil {
			return err
		}
		when := flow.Condition{IfAbsent: o.Name == "", IfMatch: o.ETag}
		if _, err = write(ctx, s.Bucket, s.Name(cursorName(slot)), text, when); flow.KindOf(err) != flow.Conflict {
			return err
		}
	}
}

// before compares marks: as numbers, as instants, or as texts, whichever both are.
func before(a, b string) bool {
	x, ok1 := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	if ok1 && ok2 {
		return x.Cmp(y) < 0
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", time.DateOnly} {
		t, err1 := time.Parse(layout, a)
		u, err2 := time.Parse(layout, b)
		if err1 == nil && err2 == nil {
			return t.Before(u)
		}
	}
	return a < b
}
