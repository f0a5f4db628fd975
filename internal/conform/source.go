package conform

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
)

// patient is longer than anything that obeys its context takes to end.
const patient = 10 * time.Second

// SourceCase is what Source wants to know of a connector.
type SourceCase struct {
	Open    func(t *testing.T) flow.Source
	Query   flow.Query // rows for several batches
	Rows    int64      // that it gives
	Empty   flow.Query // columns and no rows
	Broken  flow.Query // breaks when some rows were given, or before the first
	Refused flow.Query // is wrong: it gives no schema, and an error that is invalid or not found
	Slow    flow.Query // takes longer than a test may
}

// Source tests what flow.Source promises.
func Source(t *testing.T, c SourceCase) {
	t.Helper()
	for _, rule := range []struct {
		name string
		test func(*testing.T, SourceCase)
	}{
		{"whole", sourceWhole}, {"twice", sourceTwice}, {"stops early", sourceStops}, {"empty", sourceEmpty}, {"broken", sourceBroken},
		{"refused", sourceRefused}, {"cancelled", sourceCancelled}, {"deadline", sourceDeadline},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.test(t, c) })
	}
}

func open(t *testing.T, c SourceCase) flow.Source {
	t.Helper()
	s := c.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// readSource reads all, and holds the batches against the schema.
func readSource(ctx context.Context, t *testing.T, s flow.Source, q flow.Query) (schema *arrow.Schema, rows int64, batches int, err error) {
	t.Helper()
	schema, all, err := s.Read(ctx, q)
	if err != nil {
		return nil, 0, 0, err
	}
	if schema == nil {
		t.Fatal("no schema before the first batch")
	}
	if _, err := format.SchemaOf(schema); err != nil {
		t.Errorf("the schema has a type that no dataset can keep: %v", err)
	}
	for b, err := range all {
		if err != nil {
			return schema, rows, batches, err
		}
		if !b.Schema().Equal(schema) {
			t.Errorf("a batch has the schema\n%s\nnot\n%s", b.Schema(), schema)
		}
		rows += b.NumRows()
		batches++
		b.Release()
	}
	return schema, rows, batches, nil
}

func sourceWhole(t *testing.T, c SourceCase) {
	_, rows, batches, err := readSource(t.Context(), t, open(t, c), c.Query)
	if err != nil || rows != c.Rows || batches < 2 {
		t.Errorf("%d rows in %d batches, %v; want %d in several", rows, batches, err, c.Rows)
	}
}

func sourceTwice(t *testing.T, c SourceCase) {
	s := open(t, c)
	for range 2 {
		if _, rows, _, err := readSource(t.Context(), t, s, c.Query); err != nil || rows != c.Rows {
			t.Errorf("%d rows, %v", rows, err)
		}
	}
}

func sourceStops(t *testing.T, c SourceCase) {
	s := open(t, c)
	_, all, err := s.Read(t.Context(), c.Query)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
		break
	}
	if _, rows, _, err := readSource(t.Context(), t, s, c.Query); err != nil || rows != c.Rows {
		t.Errorf("after a reading that was given up: %d rows, %v", rows, err)
	}
}

func sourceEmpty(t *testing.T, c SourceCase) {
	schema, rows, _, err := readSource(t.Context(), t, open(t, c), c.Empty)
	if err != nil || rows != 0 || schema.NumFields() == 0 {
		t.Errorf("%d rows of %v, %v", rows, schema, err)
	}
}

func sourceBroken(t *testing.T, c SourceCase) {
	s := open(t, c)
	_, _, _, err := readSource(t.Context(), t, s, c.Broken)
	if err == nil {
		t.Fatal("nothing broke")
	}
	if s.Kind(err) == flow.Unknown {
		t.Errorf("nobody can say what this means for a retry: %v", err)
	}
}

func sourceRefused(t *testing.T, c SourceCase) {
	s := open(t, c)
	_, rows, _, err := readSource(t.Context(), t, s, c.Refused)
	if k := s.Kind(err); err == nil || rows > 0 || k != flow.Invalid && k != flow.NotFound {
		t.Errorf("%d rows, %v (%v)", rows, err, k)
	}
}

func sourceCancelled(t *testing.T, c SourceCase) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.AfterFunc(300*time.Millisecond, cancel)
	slow(ctx, t, c, flow.Canceled)
}

func sourceDeadline(t *testing.T, c SourceCase) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	slow(ctx, t, c, flow.Timeout)
}

func slow(ctx context.Context, t *testing.T, c SourceCase, want flow.Kind) {
	t.Helper()
	s := open(t, c)
	began := time.Now()
	_, _, _, err := readSource(ctx, t, s, c.Slow)
	if k := s.Kind(err); err == nil || k != want {
		t.Errorf("%v (%v), want %v", err, k, want)
	}
	if d := time.Since(began); d > patient {
		t.Errorf("it took %s to stop", d)
	}
}

// PagesCase is what Pages wants to know of a connector.
type PagesCase struct {
	Open   func(t *testing.T) flow.Pages
	Query  flow.Query // at least three pages
	Broken flow.Query // at least one page, then an error that is not the context's
	Slow   flow.Query // takes longer than a test may
}

// Pages tests what flow.Pages promises.
func Pages(t *testing.T, c PagesCase) {
	t.Helper()
	all := func(ctx context.Context, t *testing.T, q flow.Query) ([]flow.Page, error, flow.Kind) { //nolint:revive,staticcheck // the kind is the error's
		t.Helper()
		s := c.Open(t)
		var pages []flow.Page
		for p, err := range s.Pages(ctx, q) {
			if err != nil {
				return pages, err, s.Kind(err)
			}
			pages = append(pages, p)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		return pages, nil, flow.Unknown
	}
	t.Run("goes on from any page", func(t *testing.T) {
		whole, err, _ := all(t.Context(), t, c.Query)
		if err != nil || len(whole) < 3 {
			t.Fatalf("%d pages, %v", len(whole), err)
		}
		for i, p := range whole {
			if (p.Next == nil) != (i == len(whole)-1) {
				t.Errorf("page %d of %d has next %s", i+1, len(whole), p.Next)
			}
			if p.Next == nil {
				continue
			}
			q := c.Query
			q.From = p.Next
			rest, err, _ := all(t.Context(), t, q)
			same := slices.EqualFunc(rest, whole[i+1:], func(a, b flow.Page) bool {
				return string(a.Body) == string(b.Body) && string(a.Next) == string(b.Next) && a.Records == b.Records
			})
			if err != nil || !same {
				t.Errorf("after page %d came %d others than the %d that follow it, %v", i+1, len(rest), len(whole)-i-1, err)
			}
		}
	})
	t.Run("stops early", func(t *testing.T) {
		for range c.Open(t).Pages(t.Context(), c.Query) {
			break
		}
	})
	t.Run("broken", func(t *testing.T) {
		pages, err, kind := all(t.Context(), t, c.Broken)
		if err == nil || len(pages) == 0 || kind == flow.Unknown || kind == flow.Canceled {
			t.Errorf("%d pages, %v (%v)", len(pages), err, kind)
		}
	})
	for name, want := range map[string]flow.Kind{"cancelled": flow.Canceled, "deadline": flow.Timeout} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if want == flow.Canceled {
				ctx, cancel = context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(300*time.Millisecond, cancel)
			}
			began := time.Now()
			_, err, kind := all(ctx, t, c.Slow)
			if err == nil || kind != want || time.Since(began) > patient {
				t.Errorf("%v (%v) after %s, want %v", err, kind, time.Since(began), want)
			}
		})
	}
}

// Shown are a reading's columns, as name:type, and its rows as lines of JSON.
func Shown(t *testing.T, columns flow.Schema, rows iter.Seq2[flow.Batch, error]) (words, lines []string) {
	t.Helper()
	for _, c := range columns {
		words = append(words, c.Name+":"+c.Type)
	}
	var text strings.Builder
	for b, err := range rows {
		if err == nil {
			err = format.WriteNDJSON(&text, b)
			b.Release()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return words, strings.Split(strings.TrimSpace(text.String()), "\n")
}
