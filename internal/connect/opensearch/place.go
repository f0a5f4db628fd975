package opensearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// inPlace makes the index for writing in place, or adds the fields it lacks, and returns
// the name to write through.
func (s *Sink) inPlace(ctx context.Context, w flow.Write) (string, error) {
	props, err := properties(w.Schema, w.Mapping)
	if err != nil {
		return "", err
	}
	delete(props, w.Delete)
	if w.Mode == "mirror" {
		props[markField] = map[string]any{"type": "keyword"}
	}
	found, err := s.indexes(ctx, w.Index)
	if err != nil {
		return "", err
	}
	if len(found) > 1 {
		return "", &flow.Error{Op: "load into " + w.Index, Kind: flow.Invalid, Err: fmt.Errorf("it is an alias of %d indexes", len(found)), Hint: "Name one index; an alias that swap moves cannot be written in place."}
	}
	if len(found) == 0 {
		return w.Index, s.create(ctx, w.Index, map[string]any{"mappings": map[string]any{"dynamic": "strict", "properties": props}})
	}
	for name := range found[0].fields {
		delete(props, name) // a field's type never changes
	}
	if len(props) == 0 {
		return found[0].name, nil
	}
	return found[0].name, persist(ctx, func() error {
		_, err := s.c.call(ctx, http.MethodPut, found[0].name+"/_mapping", nil, map[string]any{"properties": props}, nil)
		return err
	})
}

// upsert writes each row's document, or deletes it where the row says so.
func (s *Sink) upsert(ctx context.Context, w flow.Write, rows flow.Rows) (flow.Receipt, error) {
	b := &bulk{c: s.c, w: w, target: w.Index}
	r, err := b.write(ctx, rows)
	r.Place = w.Index
	if err != nil {
		return r, err
	}
	if _, err := s.count(ctx, w.Index, nil); err != nil { // readers see it once it is refreshed
		return r, err
	}
	if r.Read != w.Count {
		return r, &flow.Error{Op: "load into " + w.Index, Kind: flow.Transient, Err: fmt.Errorf("%d rows were read and the dataset has %d", r.Read, w.Count)}
	}
	return r, nil
}

// marked is what is known of the last mirror, kept in the index.
type marked struct {
	Time string `json:"mirrored"`
}

// mirror writes every row's document under a mark and deletes those without it.
func (s *Sink) mirror(ctx context.Context, w flow.Write, rows flow.Rows) (flow.Receipt, error) {
	last, err := s.lastMirror(ctx, w.Index)
	if err != nil {
		return flow.Receipt{}, err
	}
	if last > w.Time {
		return flow.Receipt{Read: w.Count, Older: w.Count, Place: w.Index, Superseded: true}, nil
	}
	mark := fmt.Sprintf("%s/%s/%s.%d", w.Step, w.Time, w.Run, w.Attempt)
	b := &bulk{c: s.c, w: w, target: w.Index, mark: mark}
	r, err := b.write(ctx, rows)
	r.Place = w.Index
	if err != nil {
		return r, err
	}
	if r.Rejected > 0 {
		return r, nil // whoever asked decides; what was refused must not be deleted
	}
	others := map[string]any{"bool": map[string]any{"must_not": map[string]any{"term": map[string]any{markField: mark}}}}
	gone, err := s.count(ctx, w.Index, others)
	if err != nil {
		return r, err
	}
	if m := w.MaxDelete; m != nil && m.Exceeded(gone, gone+r.Written) {
		return r, &flow.Error{Op: "mirror " + w.Index, Kind: flow.Rejected, Err: fmt.Errorf("%d of %d documents would be deleted, more than max_delete allows; none was", gone, gone+r.Written),
			Hint: "Look whether the extract is complete; raise max_delete if it is."}
	}
	if err := s.deleteOthers(ctx, w, others, gone); err != nil {
		return r, err
	}
	r.Gone = gone
	return r, s.noteMirror(ctx, w)
}

// deletePage is how many documents are looked up to be deleted at a time.
const deletePage = 5_000

// deleteOthers deletes what a query matches, a page at a time.
func (s *Sink) deleteOthers(ctx context.Context, w flow.Write, query any, gone int64) error {
	for left := gone; left > 0; {
		var out struct {
			Hits struct {
				Hits []struct {
					ID string `json:"_id"`
				} `json:"hits"`
			} `json:"hits"`
		}
		err := persist(ctx, func() error {
			_, err := s.c.call(ctx, http.MethodPost, w.Index+"/_search", nil, map[string]any{"size": deletePage, "_source": false, "query": query}, &out)
			return err
		})
		if err != nil {
			return err
		}
		if len(out.Hits.Hits) == 0 {
			return nil
		}
		page := newBody(1)
		for _, h := range out.Hits.Hits {
			page.data = append(format.AppendString(append(page.data, `{"delete":{"_id":`...), h.ID), "}}\n"...)
			page.ends = append(page.ends, len(page.data))
		}
		plain := w
		plain.Version = ""
		d := &bulk{c: s.c, w: plain, target: w.Index, gate: newGate(1, 1)}
		if err := d.deliver(ctx, page); err != nil {
			return err
		}
		if left, err = s.count(ctx, w.Index, query); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) lastMirror(ctx context.Context, name string) (string, error) {
	var out map[string]struct {
		Mappings struct {
			Meta marked `json:"_meta"`
		} `json:"mappings"`
	}
	err := persist(ctx, func() error {
		_, err := s.c.call(ctx, http.MethodGet, name+"/_mapping", nil, nil, &out)
		return err
	})
	for _, x := range out {
		return x.Mappings.Meta.Time, err
	}
	if err == nil {
		err = &flow.Error{Op: "mirror " + name, Kind: flow.NotFound, Err: errors.New("the index is gone")}
	}
	return "", err
}

func (s *Sink) noteMirror(ctx context.Context, w flow.Write) error {
	return persist(ctx, func() error {
		_, err := s.c.call(ctx, http.MethodPut, w.Index+"/_mapping", nil, map[string]any{"_meta": marked{w.Time}}, nil)
		return err
	})
}
