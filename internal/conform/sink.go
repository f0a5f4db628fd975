package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/flow"
)

// Sink tests what flow.Sink promises. Each call of fresh returns a sink over the same system,
// new or not: indexes are not used twice.
func Sink(t *testing.T, fresh func(t *testing.T) flow.Sink) {
	t.Helper()
	for _, rule := range []struct {
		name string
		test func(*testing.T, flow.Sink)
	}{
		{"swap", sinkSwap}, {"swap again", sinkSwapAgain}, {"periods", sinkPeriods}, {"forward only", sinkForward}, {"broken source", sinkBroken}, {"cancel", sinkCancel},
		{"shared ids", sinkSharedIDs}, {"staged is gone", sinkGone}, {"upsert", sinkUpsert}, {"version", sinkVersion}, {"delete", sinkDelete}, {"mirror", sinkMirror},
		{"values", sinkValues}, {"many", sinkMany}, {"missing column", sinkMissing},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.test(t, fresh(t)) })
	}
}

// Doc is a row of the sinks' tests.
type Doc struct {
	ID      string `json:"id"`
	N       int64  `json:"n"`
	Version int64  `json:"v"`
	Gone    bool   `json:"gone"`
}

var docSchema = flow.Schema{{Name: "id", Type: "string"}, {Name: "n", Type: "bigint"}, {Name: "v", Type: "bigint"}, {Name: "gone", Type: "boolean"}}

var docArrow = arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}, {Name: "n", Type: arrow.PrimitiveTypes.Int64},
	{Name: "v", Type: arrow.PrimitiveTypes.Int64}, {Name: "gone", Type: arrow.FixedWidthTypes.Boolean}}, nil)

// rows are docs in batches of most rows; fail, where given, comes after them.
func rows(docs []Doc, most int, fail error) flow.Rows {
	return func() iter.Seq2[flow.Batch, error] {
		return func(yield func(flow.Batch, error) bool) {
			for part := range slices.Chunk(docs, most) {
				b := array.NewRecordBuilder(memory.DefaultAllocator, docArrow)
				for _, d := range part {
					b.Field(0).(*array.StringBuilder).Append(d.ID)
					b.Field(1).(*array.Int64Builder).Append(d.N)
					b.Field(2).(*array.Int64Builder).Append(d.Version)
					b.Field(3).(*array.BooleanBuilder).Append(d.Gone)
				}
				batch := b.NewRecordBatch()
				b.Release()
				if !yield(batch, nil) {
					return
				}
			}
			if fail != nil {
				yield(nil, fail)
			}
		}
	}
}

func sinkWrite(mode, index, period, at, run string, docs []Doc) flow.Write {
	return flow.Write{Load: flow.Load{Pipeline: "p", Step: "s", Time: at}, Run: run, Attempt: 1, Mode: mode, Period: period, Index: index, Schema: docSchema, Count: int64(len(docs)), ID: []string{"id"},
		Log: io.Discard, Progress: func(flow.Progress) {}, Dead: func(d flow.DeadLetter) error { return errors.New("refused: " + d.Reason) }}
}

func load(t *testing.T, s flow.Sink, w flow.Write, docs []Doc) flow.Receipt {
	t.Helper()
	staged, err := s.Stage(t.Context(), w, rows(docs, 100, nil))
	if err != nil {
		t.Fatalf("stage: %v", err)
	}
	r, err := s.Flip(t.Context(), w, staged, rows(docs, 100, nil))
	if err != nil {
		t.Fatalf("flip: %v", err)
	}
	return r
}

// Docs are rows of the sinks' tests: a document for each id.
func Docs(ids ...string) []Doc {
	docs := make([]Doc, len(ids))
	for i, id := range ids {
		docs[i] = Doc{ID: id, N: int64(i)}
	}
	return docs
}

// Rows are docs as batches.
func Rows(docs []Doc) flow.Rows { return rows(docs, 100, nil) }

// SinkWrite is a load of n docs, of everything.
func SinkWrite(mode, index string, n int) flow.Write {
	return sinkWrite(mode, index, "all", day1, "r1", make([]Doc, n))
}

// shown checks what readers see: id=n.
func shown(t *testing.T, s flow.Sink, index string, want ...string) {
	t.Helper()
	h, err := s.Find(t.Context(), index, "", 1000)
	if err != nil && flow.KindOf(err) != flow.NotFound {
		t.Fatalf("find: %v", err)
	}
	got := []string{}
	for i, text := range h.Docs {
		var d Doc
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		if len(h.IDs) > 0 && h.IDs[i] != d.ID {
			t.Errorf("document %s has the id %s", d.ID, h.IDs[i])
		}
		got = append(got, fmt.Sprintf("%s=%d", d.ID, d.N))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || h.Total != int64(len(want)) {
		t.Errorf("%s shows %v (%d in all), want %v", index, got, h.Total, want)
	}
}

const day1, day2, day3 = "20171106T060000Z", "20171107T060000Z", "20171108T060000Z"

func sinkSwap(t *testing.T, s flow.Sink) {
	docs := []Doc{{ID: "a", N: 1}, {ID: "b", N: 2}}
	w := sinkWrite("swap", "c-swap", "all", day1, "r1", docs)
	staged, err := s.Stage(t.Context(), w, rows(docs, 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	if staged.Read != 2 || staged.Written != 2 || staged.Place == "" {
		t.Errorf("receipt %+v", staged)
	}
	shown(t, s, "c-swap")
	for range 2 { // to flip again is harmless
		if _, err := s.Flip(t.Context(), w, staged, rows(docs, 1, nil)); err != nil {
			t.Fatal(err)
		}
		shown(t, s, "c-swap", "a=1", "b=2")
	}
	h, err := s.Find(t.Context(), "c-swap", "b", 10)
	if err != nil || h.Total != 1 {
		t.Errorf("found %+v, %v", h, err)
	}
}

func sinkSwapAgain(t *testing.T, s flow.Sink) {
	first, second := []Doc{{ID: "a", N: 1}, {ID: "b", N: 2}}, []Doc{{ID: "b", N: 3}}
	load(t, s, sinkWrite("swap", "c-again", "all", day1, "r1", first), first)
	load(t, s, sinkWrite("swap", "c-again", "all", day1, "r1-2", second), second)
	shown(t, s, "c-again", "b=3")
	w := sinkWrite("swap", "c-again", "all", day2, "r2", first)
	w.Attempt = 2
	load(t, s, w, first)
	shown(t, s, "c-again", "a=1", "b=2")
}

func sinkPeriods(t *testing.T, s flow.Sink) {
	one, two := []Doc{{ID: "a", N: 1}}, []Doc{{ID: "b", N: 2}}
	load(t, s, sinkWrite("swap", "c-days", "2017-11-06", day1, "r1", one), one)
	load(t, s, sinkWrite("swap", "c-days", "2017-11-07", day2, "r2", two), two)
	shown(t, s, "c-days", "a=1", "b=2")
	again := []Doc{{ID: "a", N: 5}, {ID: "c", N: 6}}
	load(t, s, sinkWrite("swap", "c-days", "2017-11-06", day1, "r1-2", again), again)
	shown(t, s, "c-days", "a=5", "c=6", "b=2")
}

func sinkForward(t *testing.T, s flow.Sink) {
	old, newer := []Doc{{ID: "a", N: 1}}, []Doc{{ID: "a", N: 2}}
	w := sinkWrite("swap", "c-forward", "all", day1, "r1", old)
	staged, err := s.Stage(t.Context(), w, rows(old, 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, sinkWrite("swap", "c-forward", "all", day2, "r2", newer), newer)
	for range 2 {
		r, err := s.Flip(t.Context(), w, staged, rows(old, 1, nil))
		if err != nil || !r.Superseded {
			t.Fatalf("an older time was flipped: %+v, %v", r, err)
		}
		shown(t, s, "c-forward", "a=2")
	}
}

func sinkBroken(t *testing.T, s flow.Sink) {
	first, docs := []Doc{{ID: "a", N: 1}}, make([]Doc, 250)
	load(t, s, sinkWrite("swap", "c-broken", "all", day1, "r1", first), first)
	for i := range docs {
		docs[i] = Doc{ID: fmt.Sprint("x", i), N: int64(i)}
	}
	planted := errors.New("planted")
	w := sinkWrite("swap", "c-broken", "all", day2, "r2", docs)
	if _, err := s.Stage(t.Context(), w, rows(docs, 100, planted)); !errors.Is(err, planted) {
		t.Fatalf("stage of a broken source: %v", err)
	}
	shown(t, s, "c-broken", "a=1")
	w.Attempt = 2
	docs = docs[:3]
	w.Count = 3
	load(t, s, w, docs)
	shown(t, s, "c-broken", "x0=0", "x1=1", "x2=2")
}

func sinkCancel(t *testing.T, s flow.Sink) {
	docs := []Doc{{ID: "a", N: 1}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Stage(ctx, sinkWrite("swap", "c-cancel", "all", day1, "r1", docs), rows(docs, 1, nil))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func sinkSharedIDs(t *testing.T, s flow.Sink) {
	docs := []Doc{{ID: "a", N: 1}, {ID: "b", N: 2}, {ID: "a", N: 3}}
	_, err := s.Stage(t.Context(), sinkWrite("swap", "c-shared", "all", day1, "r1", docs), rows(docs, 10, nil))
	if flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "share their id (id)") || flow.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func sinkGone(t *testing.T, s flow.Sink) {
	docs := []Doc{{ID: "a", N: 1}}
	w := sinkWrite("swap", "c-gone", "all", day1, "r1", docs)
	_, err := s.Flip(t.Context(), w, flow.Receipt{Place: "c-gone-all-0000000000"}, rows(docs, 1, nil))
	want(t, err, flow.NotFound)
}

func sinkUpsert(t *testing.T, s flow.Sink) {
	one := []Doc{{ID: "a", N: 1}, {ID: "b", N: 2}}
	for range 2 {
		r := load(t, s, sinkWrite("upsert", "c-upsert", "", day1, "r1", one), one)
		if r.Written != 2 || r.Read != 2 {
			t.Errorf("receipt %+v", r)
		}
		shown(t, s, "c-upsert", "a=1", "b=2")
	}
	two := []Doc{{ID: "b", N: 3}, {ID: "c", N: 4}}
	load(t, s, sinkWrite("upsert", "c-upsert", "", day2, "r2", two), two)
	shown(t, s, "c-upsert", "a=1", "b=3", "c=4")
}

func sinkVersion(t *testing.T, s flow.Sink) {
	w := func(at string, docs []Doc) flow.Write {
		x := sinkWrite("upsert", "c-version", "", at, "r", docs)
		x.Version = "v"
		return x
	}
	newer, older := []Doc{{ID: "a", N: 1, Version: 7}}, []Doc{{ID: "a", N: 2, Version: 6}, {ID: "b", N: 3, Version: 1}}
	load(t, s, w(day2, newer), newer)
	for i := range 2 {
		r := load(t, s, w(day1, older), older)
		if r.Older != 1 || r.Written != 1 {
			t.Errorf("pass %d: receipt %+v", i, r)
		}
		shown(t, s, "c-version", "a=1", "b=3")
	}
	same := []Doc{{ID: "a", N: 9, Version: 7}}
	load(t, s, w(day2, same), same)
	shown(t, s, "c-version", "a=9", "b=3")
}

func sinkDelete(t *testing.T, s flow.Sink) {
	one := []Doc{{ID: "a", N: 1}, {ID: "b", N: 2}}
	load(t, s, sinkWrite("upsert", "c-delete", "", day1, "r1", one), one)
	two := []Doc{{ID: "a", Gone: true}, {ID: "never", Gone: true}, {ID: "c", N: 3}}
	w := sinkWrite("upsert", "c-delete", "", day2, "r2", two)
	w.Delete = "gone"
	for range 2 {
		load(t, s, w, two)
		shown(t, s, "c-delete", "b=2", "c=3")
	}
}

func sinkMirror(t *testing.T, s flow.Sink) {
	one := []Doc{{ID: "a", N: 1}, {ID: "b", N: 2}, {ID: "c", N: 3}}
	load(t, s, sinkWrite("mirror", "c-mirror", "", day1, "r1", one), one)
	shown(t, s, "c-mirror", "a=1", "b=2", "c=3")
	two := []Doc{{ID: "b", N: 5}}
	w := sinkWrite("mirror", "c-mirror", "", day2, "r2", two)
	w.MaxDelete = &flow.Limit{Mode: "max", Max: 1}
	staged, err := s.Stage(t.Context(), w, rows(two, 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Flip(t.Context(), w, staged, rows(two, 1, nil))
	want(t, err, flow.Rejected)
	shown(t, s, "c-mirror", "a=1", "b=5", "c=3")
	w.MaxDelete = &flow.Limit{Mode: "max", Max: 2}
	for i := range 2 {
		if r := load(t, s, w, two); i == 0 && r.Gone != 2 {
			t.Errorf("receipt %+v", r)
		}
		shown(t, s, "c-mirror", "b=5")
	}
	if r := load(t, s, sinkWrite("mirror", "c-mirror", "", day1, "r1-2", one), one); !r.Superseded {
		t.Errorf("an older extract was mirrored: %+v", r)
	}
	shown(t, s, "c-mirror", "b=5")
}

func sinkValues(t *testing.T, s flow.Sink) {
	docs := []Doc{{ID: `q"\ü💧` + "\n", N: -9007199254740993}, {ID: strings.Repeat("k", 500), N: 9007199254740993}}
	load(t, s, sinkWrite("swap", "c-values", "all", day1, "r1", docs), docs)
	shown(t, s, "c-values", fmt.Sprintf("%s=%d", docs[0].ID, docs[0].N), fmt.Sprintf("%s=%d", docs[1].ID, docs[1].N))
	for _, bad := range []string{"", strings.Repeat("k", 513)} {
		docs[0].ID = bad
		_, err := s.Stage(t.Context(), sinkWrite("swap", "c-values", "all", day2, "r2", docs), rows(docs, 1, nil))
		if flow.KindOf(err) != flow.Invalid || !strings.Contains(err.Error(), "row 1") {
			t.Errorf("id of %d bytes: %v", len(bad), err)
		}
	}
}

func sinkMany(t *testing.T, s flow.Sink) {
	docs := make([]Doc, 45_000) // several bodies
	for i := range docs {
		docs[i] = Doc{ID: fmt.Sprintf("document-%07d", i), N: int64(i)}
	}
	r := load(t, s, sinkWrite("swap", "c-many", "all", day1, "r1", docs), docs)
	if r.Read != 45_000 || r.Written != 45_000 {
		t.Errorf("receipt %+v", r)
	}
	h, err := s.Find(t.Context(), "c-many", "", 1)
	if err != nil || h.Total != 45_000 || len(h.Docs) != 1 {
		t.Errorf("%d are there, %v", h.Total, err)
	}
}

func sinkMissing(t *testing.T, s flow.Sink) {
	docs := []Doc{{ID: "a"}}
	w := sinkWrite("swap", "c-missing", "all", day1, "r1", docs)
	w.ID = []string{"order_id"}
	_, err := s.Stage(t.Context(), w, rows(docs, 1, nil))
	want(t, err, flow.Invalid)
	if !strings.Contains(err.Error(), "order_id") || !strings.Contains(flow.HintOf(err), "id, n, v") {
		t.Errorf("%v (%s)", err, flow.HintOf(err))
	}
}
