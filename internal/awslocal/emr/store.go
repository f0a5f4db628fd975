package emr

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/awslocal/awsjson"
	"github.com/tidemill/tidemill/internal/flow"
)

// keptFor is how long a cluster that has ended can be described.
const keptFor = 60 * 24 * time.Hour

// store keeps a file for each cluster, and one of what belongs to none.
type store struct {
	dir   string
	write func(file string, v any) error // write
}

func openStore(dir string) (*store, error) {
	s := &store{dir, write}
	if err := os.MkdirAll(filepath.Join(dir, "clusters"), 0o700); err != nil {
		return nil, &flow.Error{Op: "use the folder " + dir, Err: err}
	}
	return s, nil
}

func (s *store) file(id string) string { return filepath.Join(s.dir, "clusters", id+".json") }

// clusters reads all, the oldest first, and forgets those that ended long ago.
func (s *store) clusters(now time.Time) ([]*Cluster, error) {
	files, err := filepath.Glob(s.file("j-*"))
	if err != nil {
		return nil, err
	}
	var all []*Cluster
	for _, f := range files {
		c := new(Cluster)
		if err := read(f, c); err != nil {
			return nil, err
		}
		if c.ID+".json" != filepath.Base(f) {
			return nil, unreadable(f, errors.New("it is of another cluster"))
		}
		if c.ended() && now.Sub(c.Ended) > keptFor {
			if err := os.Remove(f); err != nil {
				return nil, &flow.Error{Op: "forget cluster " + c.ID, Err: err}
			}
			continue
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Cluster) int {
		if n := a.Created.Compare(b.Created); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

func (s *store) save(c *Cluster) error { return s.write(s.file(c.ID), c) }

func unreadable(file string, err error) error {
	return &flow.Error{Op: "read the state in " + file, Kind: flow.Invalid, Err: err, Hint: "move the file away, and what it holds is forgotten"}
}

func read(file string, v any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return &flow.Error{Op: "read the state in " + file, Err: err}
	}
	if err := awsjson.Unmarshal(text, v); err != nil {
		return unreadable(file, err)
	}
	return nil
}

// readIfThere leaves v as it is if there is no file.
func readIfThere(file string, v any) error {
	if err := read(file, v); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write replaces a file as a whole.
func write(file string, v any) error {
	fault := func(err error) error {
		return &flow.Error{Op: "write the state of EMR", Err: err, Hint: "make room on the disk of " + filepath.Dir(file)}
	}
	text, err := awsjson.Marshal(v)
	if err != nil {
		return fault(err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return fault(err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name()) //nolint:errcheck // the first fault tells more
		return fault(err)
	}
	return nil
}
