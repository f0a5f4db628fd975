package file

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

func put(t *testing.T, b *Bucket, name, text string, c flow.Condition) (flow.Object, error) {
	t.Helper()
	w, err := b.Create(t.Context(), name, c)
	if err != nil {
		return flow.Object{}, err
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	return w.Commit()
}

func get(t *testing.T, b *Bucket, name string, offset, length int64) string {
	t.Helper()
	r, err := b.Open(t.Context(), name, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(t *testing.T, b *Bucket, prefix string) []string {
	t.Helper()
	var out []string
	for o, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o.Name)
	}
	return out
}

func TestObjects(t *testing.T) {
	t.Parallel()
	b := New(t.TempDir())
	if _, err := b.Stat(t.Context(), "a/x"); flow.KindOf(err) != flow.NotFound {
		t.Fatalf("stat of nothing: %v", err)
	}
	if got := names(t, b, "no/such"); got != nil {
		t.Fatalf("list of nothing: %v", got)
	}
	for _, n := range []string{"a/x", "a-b", "a/y/z", "a.txt", "b"} {
		if _, err := put(t, b, n, "0123456789", flow.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := names(t, b, ""), []string{"a-b", "a.txt", "a/x", "a/y/z", "b"}; !slices.Equal(got, want) {
		t.Errorf("list: %v, want %v", got, want)
	}
	if got, want := names(t, b, "a/"), []string{"a/x", "a/y/z"}; !slices.Equal(got, want) {
		t.Errorf("list a/: %v, want %v", got, want)
	}
	if got := get(t, b, "a/x", 3, 4); got != "3456" {
		t.Errorf("range: %q", got)
	}
	if got := get(t, b, "a/x", 8, -1); got != "89" {
		t.Errorf("range to the end: %q", got)
	}
	if _, err := b.Stat(t.Context(), "a/y"); flow.KindOf(err) != flow.NotFound {
		t.Errorf("a folder is no object: %v", err)
	}
	if _, err := b.Copy(t.Context(), "a/x", "c/d/e"); err != nil || get(t, b, "c/d/e", 0, -1) != "0123456789" {
		t.Errorf("copy: %v", err)
	}
	if err := b.Remove(t.Context(), "a/y/z", "a/nothing", "c/d/e"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.Path("c")); !os.IsNotExist(err) {
		t.Errorf("empty folders stay: %v", err)
	}
	for _, bad := range []string{"../x", "a/../../x", "/etc/passwd", "", "a/"} {
		if _, err := put(t, b, bad, "", flow.Condition{}); flow.KindOf(err) != flow.Invalid {
			t.Errorf("name %q: %v", bad, err)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	b := New(t.TempDir())
	first, err := put(t, b, "k", "one", flow.Condition{IfAbsent: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, b, "k", "two", flow.Condition{IfAbsent: true}); flow.KindOf(err) != flow.Conflict {
		t.Errorf("if absent over something: %v", err)
	}
	second, err := put(t, b, "k", "two", flow.Condition{IfMatch: first.ETag})
	if err != nil {
		t.Fatal(err)
	}
	if second.ETag == first.ETag {
		t.Error("the tag did not change with the content")
	}
	if _, err := put(t, b, "k", "three", flow.Condition{IfMatch: first.ETag}); flow.KindOf(err) != flow.Conflict {
		t.Errorf("if match of an old tag: %v", err)
	}
	if _, err := put(t, b, "none", "x", flow.Condition{IfMatch: first.ETag}); flow.KindOf(err) != flow.Conflict {
		t.Errorf("if match of nothing: %v", err)
	}
	if got := get(t, b, "k", 0, -1); got != "two" {
		t.Errorf("content: %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(b.root, partPrefix+"*")); left != nil { //nolint:errcheck // the pattern is right
		t.Errorf("left behind: %v", left)
	}
}

func TestRace(t *testing.T) {
	t.Parallel()
	b := New(t.TempDir())
	base, err := put(t, b, "m", "0", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	var absent, match atomic.Int32
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			if _, err := put(t, b, "d/n", "x", flow.Condition{IfAbsent: true}); err == nil {
				absent.Add(1)
			}
			if _, err := put(t, b, "m", "x", flow.Condition{IfMatch: base.ETag}); err == nil {
				match.Add(1)
			}
		})
	}
	wg.Wait()
	if absent.Load() != 1 || match.Load() != 1 {
		t.Errorf("winners: %d if absent, %d if match; want one each", absent.Load(), match.Load())
	}
}

func TestAbortAndCancel(t *testing.T) {
	t.Parallel()
	b := New(t.TempDir())
	w, err := b.Create(t.Context(), "x", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, "half") //nolint:errcheck // thrown away
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, err = b.Create(ctx, "x", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Commit(); flow.KindOf(err) != flow.Canceled {
		t.Errorf("commit after cancel: %v", err)
	}
	if got := names(t, b, ""); got != nil {
		t.Errorf("objects: %v", got)
	}
	if left, err := os.ReadDir(b.root); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, err := b.Stat(ctx, strings.Repeat("n", 3)); flow.KindOf(err) != flow.Canceled {
		t.Errorf("stat after cancel: %v", err)
	}
}

// A process that dies while it writes leaves a part. The next who writes there, or empties
// the folder, takes it away; the part of a living one stays.
func TestDeadParts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put := func(b *Bucket, name string) {
		t.Helper()
		w, err := b.Create(t.Context(), name, flow.Condition{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	parts := func(dir string) int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(root, dir, partPrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	dead := func(dir string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, partPrefix+"1"), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dead("a")
	living, err := New(root).Create(t.Context(), "a/living", flow.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if n := parts("a"); n != 1 {
		t.Errorf("%d parts are there, not the living one alone", n)
	}
	put(New(root), "a/x")
	if n := parts("a"); n != 1 {
		t.Errorf("after another writer %d parts are there, not the living one alone", n)
	}
	if _, err := living.Commit(); err != nil {
		t.Errorf("commit the living one: %v", err)
	}
	dead("b/c/d")
	b := New(root)
	put(b, "b/e")
	if err := b.Remove(t.Context(), "b/e"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "b")); !os.IsNotExist(err) {
		t.Errorf("a folder with dead parts only stays: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "f/theirs"), 0o777); err != nil {
		t.Fatal(err)
	}
	put(b, "f/e")
	if err := b.Remove(t.Context(), "f/e"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "f/theirs")); err != nil {
		t.Errorf("somebody's empty folder is gone: %v", err)
	}
}
