package awslocal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tidemill/tidemill/internal/flow"
)

// Root is the folder that has a folder for each bucket.
func (s *s3Server) Root() string { return s.root }

// Buckets are the names of all buckets.
func (s *s3Server) Buckets() (names []string, err error) {
	list, err := os.ReadDir(s.root)
	if err != nil {
		return nil, &flow.Error{Op: "list buckets", Err: err}
	}
	for _, d := range list {
		if d.IsDir() && !strings.HasPrefix(d.Name(), ".") {
			names = append(names, d.Name())
		}
	}
	return names, nil
}

// path is the file of an object.
func (s *s3Server) path(bucket, key string) (string, error) {
	name := filepath.Join(bucket, filepath.FromSlash(key))
	if bucket == "" || !filepath.IsLocal(name) || !filepath.IsLocal(bucket) {
		return "", &flow.Error{Op: "find s3://" + bucket + "/" + key, Kind: flow.Invalid, Err: errors.New("that is no object's name")}
	}
	if _, err := os.Stat(filepath.Join(s.root, bucket)); err != nil {
		return "", &flow.Error{Op: "find s3://" + bucket + "/" + key, Kind: flow.NotFound, Err: errors.New("the specified bucket does not exist")}
	}
	return filepath.Join(s.root, name), nil
}

// Open opens an object.
func (s *s3Server) Open(bucket, key string) (*os.File, error) {
	file, err := s.path(bucket, key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, &flow.Error{Op: "read s3://" + bucket + "/" + key, Kind: flow.NotFound, Err: errors.New("the specified key does not exist")}
	}
	return f, err
}

// Put makes a file, which lies on the same disk, an object.
func (s *s3Server) Put(bucket, key, file string) error {
	to, err := s.path(bucket, key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // as the S3 process makes them
		return err
	}
	if err := tagFile(file); err != nil {
		return err
	}
	return os.Rename(file, to)
}
