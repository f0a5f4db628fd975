package awslocal

import (
	"crypto/md5" //nolint:gosec // S3's ETag is one
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pkg/xattr"

	"github.com/tidemill/tidemill/internal/flow"
)

// The extended attributes of an object's file: the server's ETag, and for files that came to
// be there otherwise (a Spark step writes into the folder, a person copies a file into it)
// the state that the ETag was made for.
const (
	etagAttr  = "user.etag"
	stateAttr = "user.tidemill"
)

// tag gives the file of an object an ETag if it has none. The server takes an object without
// one for absent when a write is conditional, and would replace it.
func (s *s3Server) tag(bucket, key string) error {
	if bucket == "" || key == "" {
		return nil
	}
	name := filepath.Join(bucket, filepath.FromSlash(key))
	if !filepath.IsLocal(name) {
		return nil // the server has its own answer to such names
	}
	err := tagFile(filepath.Join(s.root, name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

func tagFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	i, err := f.Stat()
	if err != nil || !i.Mode().IsRegular() {
		return err
	}
	now := fmt.Sprintf("%d-%d", i.ModTime().UnixNano(), i.Size())
	if _, err := xattr.FGet(f, etagAttr); err == nil {
		was, err := xattr.FGet(f, stateAttr)
		if err != nil || string(was) == now {
			return nil
		}
	}
	sum := md5.New() //nolint:gosec // S3's ETag is one
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if err := xattr.FSet(f, stateAttr, []byte(now)); err != nil {
		return err
	}
	return xattr.FSet(f, etagAttr, []byte(`"`+hex.EncodeToString(sum.Sum(nil))+`"`))
}

// Tag gives all files of a bucket an ETag that have none, so that lists show it; of all
// buckets if bucket is empty.
func (s *s3Server) Tag(bucket string) error {
	if !filepath.IsLocal(filepath.Join(".", bucket)) || strings.ContainsRune(bucket, '/') {
		return &flow.Error{Op: "tag bucket " + bucket, Kind: flow.Invalid, Err: errors.New("that is no bucket's name")}
	}
	return filepath.WalkDir(filepath.Join(s.root, bucket), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".sgwtmp" {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() || filepath.Dir(path) == s.root {
			return nil
		}
		if err := tagFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}
