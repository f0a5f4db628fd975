package move

import (
	"context"
	"errors"
	"path"
	"sort"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
)

// found is what a path, folder, prefix or glob names.
type found struct {
	bucket flow.Bucket
	single bool   // a file by its own name
	base   string // what is cut from the names to give those below a target
	files  []entry
}

type entry struct {
	flow.Object
	below string // the name below base
}

// isGlob tells whether a URI has the characters of a pattern.
func isGlob(uri string) bool { return strings.ContainsAny(uri, "*?[{") }

// find resolves a URI: a file, a folder (ending in a slash; a folder of this machine also
// without), or a glob. What names nothing is an Error of kind NotFound.
func (m *mover) find(ctx context.Context, op, uri string) (found, error) {
	b, name, err := m.Lookup.Bucket(ctx, uri)
	if err != nil {
		return found{}, err
	}
	f := found{bucket: b}
	switch {
	case name == "" || name == "." || strings.HasSuffix(name, "/"):
		return f, f.folder(ctx, op, uri, strings.TrimPrefix(name, "."))
	case !isGlob(name):
		return f, f.file(ctx, op, uri, name)
	}
	// A name may hold such characters itself; a file that is there is meant.
	if o, err := b.Stat(ctx, name); err == nil {
		f.single, f.base, f.files = true, dir(name), []entry{{o, path.Base(name)}}
		return f, nil
	}
	return f, f.glob(ctx, op, uri, name)
}

func dir(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

func (f *found) file(ctx context.Context, op, uri, name string) error {
	o, err := f.bucket.Stat(ctx, name)
	if err == nil {
		f.single, f.base, f.files = true, dir(name), []entry{{o, path.Base(name)}}
		return nil
	}
	if flow.KindOf(err) != flow.NotFound {
		return err
	}
	if _, local := f.bucket.(flow.Locator); local {
		if f.list(ctx, name+"/") == nil && len(f.files) > 0 {
			return nil
		}
	}
	e := missing(op, uri, err)
	e.Hint = f.near(ctx, uri, name)
	return e
}

// missing is the error for a name that names nothing; the cause's own name (S3's) is kept.
func missing(op, uri string, cause error) *flow.Error {
	e := &flow.Error{Op: op + " " + uri, Kind: flow.NotFound, Err: errors.New("nothing is there")}
	var known *flow.Error
	if errors.As(cause, &known) {
		e.Name = known.Name
		if known.Name == "S3.NoSuchBucketException" {
			e.Err = known.Err
		}
	}
	return e
}

// near looks for what may have been meant: a folder of the name, or the files beside it.
func (f *found) near(ctx context.Context, uri, name string) string {
	for range f.bucket.List(ctx, name+"/") {
		return "there are files below it: write " + uri + "/ for all of them"
	}
	var beside []string
	for o, err := range f.bucket.List(ctx, dir(name)) {
		if err != nil || len(beside) == 3 {
			break
		}
		beside = append(beside, strings.TrimPrefix(o.Name, dir(name)))
	}
	if len(beside) > 0 {
		return "beside it there is " + strings.Join(beside, ", ") + "; if it comes later, give the step wait: { for: 2h }"
	}
	return "check the path and its date; if it comes later, give the step wait: { for: 2h }"
}

func (f *found) list(ctx context.Context, prefix string) error {
	f.base, f.files = prefix, nil
	for o, err := range f.bucket.List(ctx, prefix) {
		if err != nil {
			return err
		}
		f.files = append(f.files, entry{o, strings.TrimPrefix(o.Name, prefix)})
	}
	return nil
}

func (f *found) folder(ctx context.Context, op, uri, prefix string) error {
	if err := f.list(ctx, prefix); err != nil {
		return err
	}
	if len(f.files) == 0 {
		e := missing(op, uri, nil)
		e.Hint = "no file is below it; check the path and its date, or give the step wait: { for: 2h } if it comes later"
		return e
	}
	return nil
}

// glob matches as shells do: a star stays within a folder, ** goes through folders, {a,b} is
// either. The names below a target are those behind the last folder without a pattern.
func (f *found) glob(ctx context.Context, op, uri, pattern string) error {
	fixed := pattern[:strings.IndexAny(pattern, "*?[{")]
	f.base = dir(fixed)
	seen := map[string]bool{}
	for _, p := range braces(pattern) {
		if err := check(p); err != nil {
			return invalid(op+" "+uri, err.Error(), "a pattern has * ? [a-z] ** and {a,b}")
		}
	}
	for o, err := range f.bucket.List(ctx, fixed) {
		if err != nil {
			return err
		}
		for _, p := range braces(pattern) {
			if !seen[o.Name] && match(strings.Split(p, "/"), strings.Split(o.Name, "/")) {
				seen[o.Name] = true
				f.files = append(f.files, entry{o, strings.TrimPrefix(o.Name, f.base)})
			}
		}
	}
	if len(f.files) == 0 {
		e := missing(op, uri, nil)
		e.Err = errors.New("no file matches")
		e.Hint = f.near(ctx, uri, fixed+"x")
		return e
	}
	sort.Slice(f.files, func(i, j int) bool { return f.files[i].Name < f.files[j].Name })
	return nil
}

func check(pattern string) error {
	_, err := path.Match(strings.ReplaceAll(pattern, "**", "*"), "")
	return err
}

// match matches a name's parts with a pattern's.
func match(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(name) + 1 {
				if match(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); !ok || err != nil {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// braces expands the {a,b} of a pattern; what is not closed stands for itself.
func braces(pattern string) []string {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}
	}
	depth, from := 0, open+1
	var options []string
	for i := open; i < len(pattern); i++ {
		switch pattern[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				options = append(options, pattern[from:i])
				from = i + 1
			}
		case '}':
			if depth--; depth > 0 {
				continue
			}
			var out []string
			for _, o := range append(options, pattern[from:i]) {
				out = append(out, braces(pattern[:open]+o+pattern[i+1:])...)
			}
			return out
		}
	}
	return []string{pattern}
}
