// Package conform holds the rules that buckets, sources and sinks obey, as tests that each
// of them runs against itself.
package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// Bucket tests what flow.Bucket promises, and what flow.Remover and flow.Copier do where the
// bucket is one. Each call of fresh returns a bucket that is empty, or a handle on the same
// empty bucket: names are not used twice.
func Bucket(t *testing.T, fresh func() flow.Bucket) {
	t.Helper()
	for _, rule := range []struct {
		name string
		test func(*testing.T, flow.Bucket)
	}{
		{"roundtrip", roundtrip}, {"sizes", sizes}, {"ranges", ranges}, {"missing", missing}, {"overwrite", overwrite},
		{"if absent", ifAbsent}, {"if match", ifMatch}, {"one of eight", oneOfEight}, {"one of eight replaces", oneOfEightReplaces},
		{"large conditions", largeConditions}, {"abort", abort}, {"cancel", cancelled}, {"not before commit", notBeforeCommit},
		{"list", list}, {"list stops", listStops}, {"etag", etags}, {"changed while read", changedWhileRead}, {"names", names},
		{"remove", remove}, {"copy", copies}, {"many at once", manyAtOnce},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.test(t, fresh()) })
	}
}

// large is more than one part of any bucket's.
const large = 21<<20 + 12345

func random(n int) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 7)) //nolint:gosec // test data
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for k := range 8 {
			p[i+k] = byte(v >> (8 * k))
		}
	}
	return p
}

func write(ctx context.Context, b flow.Bucket, name string, data []byte, c flow.Condition) (flow.Object, error) {
	w, err := b.Create(ctx, name, c)
	if err != nil {
		return flow.Object{}, err
	}
	if _, err := w.Write(data); err != nil {
		return flow.Object{}, errors.Join(err, w.Abort())
	}
	return w.Commit()
}

func put(t *testing.T, b flow.Bucket, name string, data []byte) flow.Object {
	t.Helper()
	o, err := write(t.Context(), b, name, data, flow.Condition{})
	if err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
	return o
}

func read(t *testing.T, b flow.Bucket, name string, offset, length int64) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), name, offset, length)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return data
}

func want(t *testing.T, err error, kind flow.Kind) {
	t.Helper()
	if flow.KindOf(err) != kind {
		t.Fatalf("got %v (%v), want an error of kind %v", err, flow.KindOf(err), kind)
	}
	var e *flow.Error
	if kind != flow.Canceled && !errors.As(err, &e) {
		t.Fatalf("%T is no flow.Error", err)
	}
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, want %d others", len(got), len(want))
	}
}

func roundtrip(t *testing.T, b flow.Bucket) {
	data := []byte("one\ntwo\n")
	o := put(t, b, "rt/a.txt", data)
	if o.Name != "rt/a.txt" || o.Size != int64(len(data)) {
		t.Fatalf("commit gave %+v", o)
	}
	same(t, read(t, b, "rt/a.txt", 0, -1), data)
	s, err := b.Stat(t.Context(), "rt/a.txt")
	if err != nil || s.Name != o.Name || s.Size != o.Size || s.ETag != o.ETag || s.ETag == "" || s.Modified.IsZero() {
		t.Fatalf("stat gave %+v, %v; commit %+v", s, err, o)
	}
}

func sizes(t *testing.T, b flow.Bucket) {
	for _, n := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 8<<20 - 1, 8 << 20, 8<<20 + 1, 16 << 20, large} {
		name, data := fmt.Sprintf("sizes/%d", n), random(n)
		w, err := b.Create(t.Context(), name, flow.Condition{})
		if err != nil {
			t.Fatal(err)
		}
		for rest := data; len(rest) > 0; {
			k := min(len(rest), 100_003)
			if _, err := w.Write(rest[:k]); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		o, err := w.Commit()
		if err != nil || o.Size != int64(n) {
			t.Fatalf("%d bytes: %+v, %v", n, o, err)
		}
		same(t, read(t, b, name, 0, -1), data)
		if w, err = b.Create(t.Context(), name, flow.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)}); err != nil {
			t.Fatal(err)
		}
		if o, err = w.Commit(); err != nil || o.Size != int64(n) {
			t.Fatalf("%d bytes by io.Copy: %+v, %v", n, o, err)
		}
		same(t, read(t, b, name, 0, -1), data)
	}
}

func ranges(t *testing.T, b flow.Bucket) {
	data := random(large)
	put(t, b, "ranges/x", data)
	n := int64(len(data))
	for _, r := range [][2]int64{{0, 0}, {0, 1}, {0, n}, {5, 10}, {n - 1, 1}, {n - 5, -1}, {n, -1}, {n + 5, -1}, {n + 5, 3}, {n - 5, 100}, {1, -1}, {8<<20 - 1, 2}, {3 << 20, 9 << 20}, {0, 8 << 20}, {100, 0}} {
		from := min(r[0], n)
		to := n
		if r[1] >= 0 {
			to = min(n, from+r[1])
		}
		same(t, read(t, b, "ranges/x", r[0], r[1]), data[from:to])
	}
	put(t, b, "ranges/empty", nil)
	same(t, read(t, b, "ranges/empty", 0, 5), nil)
	r, err := b.Open(t.Context(), "ranges/x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatalf("close in the middle: %v", err)
	}
}

func missing(t *testing.T, b flow.Bucket) {
	put(t, b, "missing/folder/x", []byte("x"))
	for _, name := range []string{"missing/none", "missing/folder", "missing/folder/x2"} {
		_, err := b.Stat(t.Context(), name)
		want(t, err, flow.NotFound)
		for _, length := range []int64{-1, 0, 10} {
			_, err = b.Open(t.Context(), name, 0, length)
			want(t, err, flow.NotFound)
		}
	}
}

func overwrite(t *testing.T, b flow.Bucket) {
	first := put(t, b, "over/x", []byte("first"))
	second := put(t, b, "over/x", []byte("other"))
	if first.ETag == second.ETag {
		t.Fatal("the ETag did not change with the content")
	}
	same(t, read(t, b, "over/x", 0, -1), []byte("other"))
}

func ifAbsent(t *testing.T, b flow.Bucket) {
	when := flow.Condition{IfAbsent: true}
	if _, err := write(t.Context(), b, "absent/x", []byte("1"), when); err != nil {
		t.Fatal(err)
	}
	_, err := write(t.Context(), b, "absent/x", []byte("2"), when)
	want(t, err, flow.Conflict)
	same(t, read(t, b, "absent/x", 0, -1), []byte("1"))
	put(t, b, "absent/empty", nil)
	_, err = write(t.Context(), b, "absent/empty", []byte("2"), when)
	want(t, err, flow.Conflict)
}

func ifMatch(t *testing.T, b flow.Bucket) {
	o := put(t, b, "match/x", []byte("1"))
	p, err := write(t.Context(), b, "match/x", []byte("22"), flow.Condition{IfMatch: o.ETag})
	if err != nil {
		t.Fatal(err)
	}
	_, err = write(t.Context(), b, "match/x", []byte("333"), flow.Condition{IfMatch: o.ETag})
	want(t, err, flow.Conflict)
	same(t, read(t, b, "match/x", 0, -1), []byte("22"))
	_, err = write(t.Context(), b, "match/none", []byte("1"), flow.Condition{IfMatch: p.ETag})
	want(t, err, flow.Conflict)
	_, err = b.Stat(t.Context(), "match/none")
	want(t, err, flow.NotFound)
}

// race lets eight writers write at once and returns the one that won.
func race(t *testing.T, b flow.Bucket, name string, c flow.Condition, data func(i int) []byte) int {
	t.Helper()
	var (
		work  sync.WaitGroup
		start = make(chan struct{})
		errs  [8]error
	)
	for i := range errs {
		work.Go(func() {
			<-start
			_, errs[i] = write(t.Context(), b, name, data(i), c)
		})
	}
	close(start)
	work.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("writers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		default:
			want(t, err, flow.Conflict)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}

func oneOfEight(t *testing.T, b flow.Bucket) {
	for round := range 10 {
		name := fmt.Sprintf("race/%d", round)
		data := func(i int) []byte { return []byte{byte('a' + i)} }
		i := race(t, b, name, flow.Condition{IfAbsent: true}, data)
		same(t, read(t, b, name, 0, -1), data(i))
	}
}

func oneOfEightReplaces(t *testing.T, b flow.Bucket) {
	o := put(t, b, "swap/x", []byte("0"))
	for round := range 10 {
		data := func(i int) []byte { return fmt.Appendf(nil, "%d by %d", round, i) }
		i := race(t, b, "swap/x", flow.Condition{IfMatch: o.ETag}, data)
		same(t, read(t, b, "swap/x", 0, -1), data(i))
		var err error
		if o, err = b.Stat(t.Context(), "swap/x"); err != nil {
			t.Fatal(err)
		}
	}
}

// largeConditions asks the same of objects that are written in parts.
func largeConditions(t *testing.T, b flow.Bucket) {
	data := random(large)
	o, err := write(t.Context(), b, "big/x", data, flow.Condition{IfAbsent: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = write(t.Context(), b, "big/x", data[1:], flow.Condition{IfAbsent: true})
	want(t, err, flow.Conflict)
	if _, err = write(t.Context(), b, "big/x", data[2:], flow.Condition{IfMatch: o.ETag}); err != nil {
		t.Fatal(err)
	}
	_, err = write(t.Context(), b, "big/x", data[3:], flow.Condition{IfMatch: o.ETag})
	want(t, err, flow.Conflict)
	same(t, read(t, b, "big/x", 0, -1), data[2:])
}

func abort(t *testing.T, b flow.Bucket) {
	for _, n := range []int{0, 10, large} {
		name := fmt.Sprintf("abort/%d", n)
		w, err := b.Create(t.Context(), name, flow.Condition{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(random(n)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Abort(), w.Abort()); err != nil {
			t.Fatalf("abort: %v", err)
		}
		if _, err := w.Commit(); err == nil {
			t.Fatal("commit after abort")
		}
		_, err = b.Stat(t.Context(), name)
		want(t, err, flow.NotFound)
	}
	if got := listed(t, b, "abort/"); len(got) > 0 {
		t.Fatalf("left behind: %v", got)
	}
	w, err := b.Create(t.Context(), "abort/after", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Fatalf("abort after commit: %v", err)
	}
	same(t, read(t, b, "abort/after", 0, -1), nil)
}

func cancelled(t *testing.T, b flow.Bucket) {
	put(t, b, "cancel/x", random(large))
	ctx, cancel := context.WithCancel(t.Context())
	w, err := b.Create(ctx, "cancel/y", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(random(large)); err != nil {
		t.Fatal(err)
	}
	r, err := b.Open(ctx, "cancel/x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = w.Commit()
	want(t, err, flow.Canceled)
	_, err = b.Stat(t.Context(), "cancel/y")
	want(t, err, flow.NotFound)
	_ = r.Close() //nolint:errcheck // it may say that it was cancelled
	_, err = b.Stat(ctx, "cancel/x")
	want(t, err, flow.Canceled)
	_, err = b.Open(ctx, "cancel/x", 0, -1)
	want(t, err, flow.Canceled)
	for _, err := range b.List(ctx, "cancel/") {
		want(t, err, flow.Canceled)
	}
}

func notBeforeCommit(t *testing.T, b flow.Bucket) {
	w, err := b.Create(t.Context(), "before/x", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(random(large)); err != nil {
		t.Fatal(err)
	}
	_, err = b.Stat(t.Context(), "before/x")
	want(t, err, flow.NotFound)
	if got := listed(t, b, "before/"); len(got) > 0 {
		t.Fatalf("visible before the commit: %v", got)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, b, "before/"); len(got) != 1 {
		t.Fatalf("after the commit: %v", got)
	}
}

func listed(t *testing.T, b flow.Bucket, prefix string) []string {
	t.Helper()
	var out []string
	for o, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list %s: %v", prefix, err)
		}
		out = append(out, o.Name)
	}
	return out
}

func list(t *testing.T, b flow.Bucket) {
	all := []string{"list/a", "list/a-b/x", "list/a.txt", "list/a0", "list/ab/1", "list/ab/2", "list/b/c/d", "list/b!", "list/é", "list/z"}
	for _, name := range all {
		put(t, b, name, []byte(name))
	}
	slices.Sort(all)
	if got := listed(t, b, "list/"); !slices.Equal(got, all) {
		t.Fatalf("got %q, want %q", got, all)
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"list/ab", []string{"list/ab/1", "list/ab/2"}}, {"list/ab/", []string{"list/ab/1", "list/ab/2"}},
		{"list/ab/1", []string{"list/ab/1"}}, {"list/none", nil}, {"none/", nil}, {"list/b/c/", []string{"list/b/c/d"}},
	} {
		if got := listed(t, b, c.prefix); !slices.Equal(got, c.want) {
			t.Fatalf("%s: got %q, want %q", c.prefix, got, c.want)
		}
	}
	for o, err := range b.List(t.Context(), "list/a.t") {
		if err != nil || o.Size != int64(len("list/a.txt")) || o.ETag == "" || o.Modified.IsZero() {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	all = nil
	for i := range 1100 { // more than one page
		all = append(all, fmt.Sprintf("pages/%04d", i))
	}
	var work sync.WaitGroup
	for k := range 10 {
		work.Go(func() {
			for i := k; i < len(all); i += 10 {
				if _, err := write(t.Context(), b, all[i], nil, flow.Condition{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if got := listed(t, b, "pages/"); !slices.Equal(got, all) {
		t.Fatalf("%d names over several pages, want %d", len(got), len(all))
	}
}

func listStops(t *testing.T, b flow.Bucket) {
	put(t, b, "stop/1", nil)
	put(t, b, "stop/2", nil)
	n := 0
	for range b.List(t.Context(), "stop/") {
		n++
		break
	}
	if n != 1 {
		t.Fatalf("%d objects", n)
	}
}

func etags(t *testing.T, b flow.Bucket) {
	o := put(t, b, "etag/x", []byte("x"))
	for l, err := range b.List(t.Context(), "etag/") {
		if err != nil || l.ETag != o.ETag {
			t.Fatalf("listed with %q (%v), committed with %q", l.ETag, err, o.ETag)
		}
	}
}

// changedWhileRead: what is read is the old version, whole, or an error; never a mixture.
func changedWhileRead(t *testing.T, b flow.Bucket) {
	before, after := random(large), bytes.Repeat([]byte("n"), large)
	put(t, b, "changed/x", before)
	r, err := b.Open(t.Context(), "changed/x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	put(t, b, "changed/x", after)
	rest, err := io.ReadAll(r)
	if err != nil {
		want(t, err, flow.Conflict)
		return
	}
	same(t, append(head, rest...), before)
}

func names(t *testing.T, b flow.Bucket) {
	for _, name := range []string{"names/with space", "names/plus+plus", "names/percent%20x", "names/a=1/b=é ü", "names/q?x&y", "names/hash#1", "names/(x)'*!~", "names/日本"} {
		data := []byte(name)
		put(t, b, name, data)
		same(t, read(t, b, name, 0, -1), data)
		if got := listed(t, b, name); !slices.Equal(got, []string{name}) {
			t.Fatalf("listed as %q, want %q", got, name)
		}
		if c, ok := b.(flow.Copier); ok {
			if _, err := c.Copy(t.Context(), name, name+" 2"); err != nil {
				t.Fatal(err)
			}
			same(t, read(t, b, name+" 2", 0, -1), data)
		}
	}
	for _, name := range []string{"", "/"} {
		if _, err := write(t.Context(), b, name, []byte("x"), flow.Condition{}); err == nil {
			t.Fatalf("the name %q was accepted", name)
		}
	}
}

func remove(t *testing.T, b flow.Bucket) {
	r, ok := b.(flow.Remover)
	if !ok {
		t.Fatal("it cannot remove")
	}
	var all []string
	for i := range 5 {
		name := fmt.Sprintf("remove/%d & <x>", i)
		all = append(all, name)
		put(t, b, name, nil)
	}
	put(t, b, "remove/kept", nil)
	if err := r.Remove(t.Context(), append(all, "remove/none", "remove/none/below")...); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context(), "remove/none"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, b, "remove/"); !slices.Equal(got, []string{"remove/kept"}) {
		t.Fatalf("left: %q", got)
	}
}

func copies(t *testing.T, b flow.Bucket) {
	c, ok := b.(flow.Copier)
	if !ok {
		t.Fatal("it cannot copy")
	}
	data := random(large)
	put(t, b, "copy/x", data)
	o, err := c.Copy(t.Context(), "copy/x", "copy/below/y")
	if err != nil || o.Name != "copy/below/y" || o.Size != int64(len(data)) {
		t.Fatalf("%+v, %v", o, err)
	}
	same(t, read(t, b, "copy/below/y", 0, -1), data)
	_, err = c.Copy(t.Context(), "copy/none", "copy/z")
	want(t, err, flow.NotFound)
	_, err = b.Stat(t.Context(), "copy/z")
	want(t, err, flow.NotFound)
}

func manyAtOnce(t *testing.T, b flow.Bucket) {
	var work sync.WaitGroup
	for i := range 16 {
		work.Go(func() {
			name, data := fmt.Sprintf("many/%d", i), random(1000*i+1)
			if _, err := write(t.Context(), b, name, data, flow.Condition{}); err != nil {
				t.Error(err)
				return
			}
			r, err := b.Open(t.Context(), name, 0, -1)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		})
	}
	work.Wait()
}
