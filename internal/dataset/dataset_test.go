package dataset

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidemill/tidemill/internal/conform/broken"
	"github.com/tidemill/tidemill/internal/connect/file"
	"github.com/tidemill/tidemill/internal/flow"
)

func newStore(t *testing.T) Store {
	t.Helper()
	return Store{Bucket: file.New(t.TempDir()), Prefix: "lake/tm", URI: "file:///x/lake/tm"}
}

func slotOf(step, at string) flow.Slot { return flow.Slot{Pipeline: "shop", Step: step, Time: at} }

// make writes an attempt with one file of rows rows.
func makeSet(t *testing.T, s Store, slot flow.Slot, run string, attempt int, rows int64) string {
	t.Helper()
	dir := AttemptDir(slot, run, attempt, "")
	if _, err := write(t.Context(), s.Bucket, s.Name(dir+"/part-00000.parquet"), []byte("0123456789"), flow.Condition{}); err != nil {
		t.Fatal(err)
	}
	uri, err := s.Write(t.Context(), dir, &flow.Manifest{Run: run, Step: slot.Step, Attempt: attempt, Time: "2017-11-06T00:00:00Z", Created: time.Now(), Rows: rows,
		Files: []flow.File{{Path: "part-00000.parquet", Rows: rows, Bytes: 10}}, Schema: flow.Schema{{Name: "a", Type: "int"}}})
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func TestGoldenManifest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/manifest-1.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeManifest("manifest-1.json", text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := EncodeManifest(m)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("encoding what was decoded gives other bytes: %v\n%s", err, again)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(ManifestSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("manifest.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	for old, bad := range map[string]bool{`"rows": 3`: false, `"version": 1`: true, `"attempt": 1`: true, `"nullable": true`: true} {
		text := text
		if bad {
			text = bytes.Replace(text, []byte(old), []byte(`"x": "y"`), 1)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); (err != nil) != bad {
			t.Errorf("without %s: %v", old, err)
		}
	}
	for _, c := range []string{`"version": 2`, `"rows": 4`, `"attempt": 0`} {
		key, _, _ := strings.Cut(c, ":")
		i := bytes.Index(text, []byte("\n  "+key+":"))
		j := i + 1 + bytes.IndexByte(text[i+1:], '\n')
		broken := fmt.Sprintf("%s\n  %s,%s", text[:i], c, text[j:])
		if _, err := DecodeManifest("m", []byte(broken)); flow.KindOf(err) != flow.Invalid {
			t.Errorf("%s was accepted: %v", c, err)
		}
	}
}

func TestPublishForwardOnly(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	slot := slotOf("orders", "20171106T000000Z")
	if _, err := s.CurrentDataset(t.Context(), slot); flow.KindOf(err) != flow.NotFound {
		t.Fatalf("nothing published: %v", err)
	}
	publish := func(uri string) error {
		return s.Publish(t.Context(), "owner-"+uri, flow.PublishJob{Datasets: []string{uri}, Cursors: map[string]string{"orders": "10"}})
	}
	const run = "shop-20171106-abcdef"
	first, second := makeSet(t, s, slot, run, 1, 1), makeSet(t, s, slot, run, 2, 2)
	for _, uri := range []string{first, second, second} {
		if err := publish(uri); err != nil {
			t.Fatal(err)
		}
	}
	if err := publish(first); flow.KindOf(err) != flow.Conflict {
		t.Errorf("a zombie attempt published: %v", err)
	}
	third := makeSet(t, s, slot, run+"-2", 1, 3)
	if err := publish(third); err != nil {
		t.Fatal(err)
	}
	if err := publish(second); flow.KindOf(err) != flow.Conflict {
		t.Errorf("a zombie run published: %v", err)
	}
	d, err := s.CurrentDataset(t.Context(), slot)
	if err != nil || d.Rows != 3 || d.URI != third {
		t.Fatalf("current: %+v %v", d, err)
	}
	if err := d.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if _, err := write(t.Context(), s.Bucket, s.Name(AttemptDir(slot, run+"-2", 1, "")+"/part-00000.parquet"), []byte("short"), flow.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(t.Context(), nil); flow.KindOf(err) != flow.Invalid {
		t.Errorf("a changed file passed: %v", err)
	}
	if _, err := s.Write(t.Context(), AttemptDir(slot, run, 1, ""), d.Manifest); flow.KindOf(err) != flow.Conflict {
		t.Errorf("a manifest was overwritten: %v", err)
	}
}

func TestPublishAfterAnyCrash(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			s := newStore(t)
			a, b := slotOf("a", "20171106T000000Z"), slotOf("b", "20171106T000000Z")
			job := flow.PublishJob{Datasets: []string{makeSet(t, s, a, "r", 1, 1), makeSet(t, s, b, "r", 1, 2)},
				Cursors: map[string]string{"a": "2017-11-06"}}
			bad := s
			f := &broken.Bucket{Bucket: s.Bucket, At: at, After: after}
			bad.Bucket = f
			err := bad.Publish(t.Context(), "r/publish/1", job)
			if err == nil && f.Calls() < at {
				break
			}
			// The next attempt has another key; its predecessor's leases end or were given back.
			s.Now = func() time.Time { return time.Now().Add(time.Hour) }
			if err := s.Publish(t.Context(), "r/publish/2", job); err != nil {
				t.Fatalf("call %d, after %t: %v", at, after, err)
			}
			for slot, rows := range map[flow.Slot]int64{a: 1, b: 2} {
				if d, err := s.CurrentDataset(t.Context(), slot); err != nil || d.Rows != rows {
					t.Fatalf("call %d, after %t: %v", at, after, err)
				}
			}
			if c, err := s.Cursor(t.Context(), a); err != nil || c != "2017-11-06" {
				t.Fatalf("call %d: cursor %q %v", at, c, err)
			}
			if at > 200 {
				t.Fatal("no end")
			}
		}
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var inside, most atomic.Int32
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			l, err := s.Lease(t.Context(), "data/x/"+LeaseName, fmt.Sprint("owner", i))
			if err != nil {
				t.Error(err)
				return
			}
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			if err := l.Held(t.Context()); err != nil {
				t.Error(err)
			}
			inside.Add(-1)
			l.Release(t.Context())
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d held it at once", most.Load())
	}
	dead, err := s.Lease(t.Context(), "data/y/"+LeaseName, "dead")
	if err != nil {
		t.Fatal(err)
	}
	dead.stop()
	late := s
	late.Now = func() time.Time { return time.Now().Add(leaseTTL + time.Minute) }
	l, err := late.Lease(t.Context(), "data/y/"+LeaseName, "next")
	if err != nil {
		t.Fatalf("takeover after the end: %v", err)
	}
	dead.s = late
	if err := dead.Held(t.Context()); flow.KindOf(err) != flow.Conflict {
		t.Errorf("the dead owner still holds it: %v", err)
	}
	dead.Release(t.Context())
	if err := l.Held(t.Context()); err != nil {
		t.Errorf("the dead owner's release took it from the next: %v", err)
	}
	l.Release(t.Context())
}

func TestLeaseNamesItsHolder(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.LeaseWait = 300 * time.Millisecond
	if leaseWait <= leaseTTL {
		t.Error("a dead holder's lease is not waited for to its end")
	}
	l, err := s.Lease(t.Context(), "k", "run-1/publish/1")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release(t.Context())
	if _, err := s.Lease(t.Context(), "k", "run-2/publish/1"); flow.KindOf(err) != flow.Conflict || !strings.Contains(err.Error(), "run-1/publish/1 holds it since") {
		t.Errorf("error: %v", err)
	}
}

func TestLatestAndCursor(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i, at := range []string{"20171104T000000Z", "20171105T000000Z", "20171107T000000Z"} {
		slot := slotOf("p", at)
		uri := makeSet(t, s, slot, fmt.Sprint("r", i), 1, int64(i))
		if err := s.Publish(t.Context(), "o", flow.PublishJob{Datasets: []string{uri}}); err != nil {
			t.Fatal(err)
		}
	}
	makeSet(t, s, slotOf("p", "20171105T120000Z"), "unpublished", 1, 9)
	d, err := s.Latest(t.Context(), slotOf("p", "20171106T000000Z"))
	if err != nil || d.Run != "r1" {
		t.Errorf("latest before: %+v %v", d, err)
	}
	if _, err := s.Latest(t.Context(), slotOf("p", "20171104T000000Z")); flow.KindOf(err) != flow.NotFound {
		t.Errorf("latest before the first: %v", err)
	}
	v, err := s.Versions(t.Context(), "shop", "")
	if err != nil || len(v) != 3 || v[2].Slot.Time != "20171107T000000Z" {
		t.Errorf("versions: %+v %v", v, err)
	}
	slot := slotOf("p", "x")
	for _, c := range []struct{ put, want string }{{"9", "9"}, {"10", "10"}, {"9.5", "10"}, {"", "10"}} {
		if err := s.MoveCursor(t.Context(), slot, c.put); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Cursor(t.Context(), slot); err != nil || got != c.want {
			t.Errorf("cursor after %q: %q %v", c.put, got, err)
		}
	}
	if !before("2017-11-06T09:00:00Z", "2017-11-06T10:00:00+00:30") || before("b", "a") {
		t.Error("order of marks")
	}
}

// A kept table is built on the one before only while nothing before that was published anew.
func TestBase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.Now = func() time.Time { clock = clock.Add(time.Second); return clock }
	days := []string{"20171104T000000Z", "20171105T000000Z", "20171107T000000Z"}
	publish := func(day, run string) {
		t.Helper()
		uri := makeSet(t, s, slotOf("p", day), run, 1, 1)
		if err := s.Publish(t.Context(), "o", flow.PublishJob{Datasets: []string{uri}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, day := range days {
		publish(day, fmt.Sprint("r", i))
	}
	next := slotOf("p", "20171108T000000Z")
	if d, err := s.Base(t.Context(), next); err != nil || d.Run != "r2" {
		t.Fatalf("base: %+v %v", d, err)
	}
	later, err := s.Later(t.Context(), slotOf("p", days[0]))
	if err != nil || len(later) != 2 || later[0].Time != days[1] || later[1].Time != days[2] {
		t.Errorf("later: %v %v", later, err)
	}
	publish(days[0], "r0-2")
	if _, err := s.Base(t.Context(), next); flow.KindOf(err) != flow.Conflict || !strings.Contains(flow.HintOf(err), "--onward") {
		t.Errorf("after an earlier day was published anew: %v", err)
	}
	publish(days[1], "r1-2")
	publish(days[2], "r2-2")
	if d, err := s.Base(t.Context(), next); err != nil || d.Run != "r2-2" {
		t.Errorf("after all were: %+v %v", d, err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	base := time.Now()
	for i, at := range []string{"20171104T000000Z", "20171105T000000Z", "20171106T000000Z"} {
		slot := slotOf("p", at)
		makeSet(t, s, slot, fmt.Sprint("r", i), 1, 1)
		uri := makeSet(t, s, slot, fmt.Sprint("r", i), 2, 1)
		if err := s.Publish(t.Context(), "o", flow.PublishJob{Datasets: []string{uri}}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Prune(t.Context(), "shop", Retention{Runs: 1}); n != 0 || err != nil {
		t.Fatalf("within the grace: removed %d, %v", n, err)
	}
	// A fetch that failed, for its rejects say, has files and no manifest.
	left := "lake/tm/data/shop/p.extract/20171106T000000Z/r2.1/part-0.parquet"
	w, err := s.Bucket.Create(t.Context(), left, flow.Condition{})
	if err == nil {
		_, err = w.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Now = func() time.Time { return base.Add(48 * time.Hour) }
	if _, err := s.Prune(t.Context(), "shop", Retention{Runs: 2, InUse: map[string]bool{"r1": true}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for o, err := range s.Bucket.List(t.Context(), "lake/tm/data") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(o.Name, ManifestName) {
			got = append(got, strings.TrimPrefix(o.Name, "lake/tm/data/shop/p/"))
		}
	}
	want := []string{"20171105T000000Z/r1.1/manifest.json", "20171105T000000Z/r1.2/manifest.json", "20171106T000000Z/r2.2/manifest.json"}
	if !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if _, err := s.Bucket.Stat(t.Context(), left); flow.KindOf(err) != flow.NotFound {
		t.Errorf("what an attempt without a manifest left is there: %v", err)
	}
	if _, err := s.CurrentDataset(t.Context(), slotOf("p", "20171104T000000Z")); flow.KindOf(err) != flow.NotFound {
		t.Errorf("an expired time is still published: %v", err)
	}
}

// partly is a bucket with unfinished writes.
type partly struct {
	flow.Bucket
	flow.Remover
	begun map[string]time.Time
}

func (p *partly) Tidy(_ context.Context, prefix string, doomed func(string, time.Time) bool) error {
	for name, at := range p.begun {
		if strings.HasPrefix(name, prefix) && doomed(name, at) {
			delete(p.begun, name)
		}
	}
	return nil
}

// TestPruneUnfinished removes what killed attempts left half written, when nobody writes it.
func TestPruneUnfinished(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	now := time.Now()
	b := &partly{Bucket: s.Bucket, Remover: s.Bucket.(flow.Remover), begun: map[string]time.Time{
		"lake/tm/data/shop/p/20171104T000000Z/r1.1/part-0.parquet":  now.Add(-48 * time.Hour),
		"lake/tm/data/shop/p/20171104T000000Z/r2.1/part-0.parquet":  now.Add(-48 * time.Hour), // goes on
		"lake/tm/data/shop/p/20171104T000000Z/r3.1/part-0.parquet":  now,
		"lake/tm/data/shop2/p/20171104T000000Z/r1.1/part-0.parquet": now.Add(-48 * time.Hour),
		"lake/other/part-0.parquet":                                 now.Add(-48 * time.Hour),
	}}
	s.Bucket = b
	if _, err := s.Prune(t.Context(), "shop", Retention{InUse: map[string]bool{"r2": true}}); err != nil {
		t.Fatal(err)
	}
	if _, there := b.begun["lake/tm/data/shop/p/20171104T000000Z/r1.1/part-0.parquet"]; there || len(b.begun) != 4 {
		t.Errorf("left: %v", b.begun)
	}
}

func TestAttemptDir(t *testing.T) {
	t.Parallel()
	slot := flow.Slot{Pipeline: "p", Step: "s", Time: "20171106T000000Z", Params: "abc"}
	if got, want := AttemptDir(slot, "r", 2, ""), "data/p/s/20171106T000000Z-abc/r.2"; got != want {
		t.Errorf("got %s", got)
	}
	if a, b := AttemptDir(slot, "r", 2, "x/y"), AttemptDir(slot, "r", 2, "x?y"); a == b || strings.Contains(a, "?") {
		t.Errorf("items: %s %s", a, b)
	}
	if got, ok := ParseSlot("p/s/20171106T000000Z-abc"); !ok || got != slot {
		t.Errorf("parsed %+v", got)
	}
}

// The next attempt of a state goes on at once where the last one died with the lease, and
// the last one, should it wake up, finds out.
func TestLeaseOfTheNextAttempt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dead, err := s.Lease(t.Context(), "k", "run-1/load/1")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	next, err := s.Lease(t.Context(), "k", "run-1/load/2")
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > leaseWait/2 {
		t.Errorf("the next attempt waited %s", took)
	}
	if err := next.Held(t.Context()); err != nil {
		t.Errorf("the next attempt does not hold it: %v", err)
	}
	if err := dead.Held(t.Context()); flow.KindOf(err) != flow.Conflict {
		t.Errorf("the last attempt still holds it: %v", err)
	}
	dead.Release(t.Context())
	if err := next.Held(t.Context()); err != nil {
		t.Errorf("a release of the last attempt took it away: %v", err)
	}
	next.Release(t.Context())
}
