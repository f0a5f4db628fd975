package s3

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// benchSize is the size of the object that is moved.
const benchSize = 1 << 30

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return d[len(d)/2].Seconds()
}

// compare runs ours and the rival's in turn, three times each, and prints the medians in
// seconds for one gigabyte.
func compare(b *testing.B, name string, ours, rival func() error) {
	b.Helper()
	var a, c []time.Duration
	for b.Loop() {
		for range 3 {
			for i, f := range []func() error{ours, rival} {
				begun := time.Now()
				if err := f(); err != nil {
					b.Fatal(err)
				}
				if d := time.Since(begun); i == 0 {
					a = append(a, d)
				} else {
					c = append(c, d)
				}
			}
		}
	}
	x, y := median(a), median(c)
	fmt.Printf("bench %s %.2f s rival=transfermanager rival_value=%.2f ratio=%.2f\n", name, x, y, x/y)
}

func BenchmarkTransfer(b *testing.B) {
	bk := bucket(b, Options{})
	cfg, err := awsauth.Load(b.Context(), awsauth.Settings{Endpoint: endpoint})
	if err != nil {
		b.Fatal(err)
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	tm := transfermanager.New(client)
	dir := b.TempDir()
	file := filepath.Join(dir, "in")
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	block := pattern(1 << 20)
	for range benchSize >> 20 {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	rivalUpload := func() error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read
		_, err = tm.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &bk.name, Key: aws.String("theirs"), Body: f})
		return err
	}
	rivalDownload := func() error {
		f, err := os.Create(filepath.Join(dir, "theirs"))
		if err != nil {
			return err
		}
		if _, err = tm.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: &bk.name, Key: aws.String("ours"), WriterAt: f}); err != nil {
			return err
		}
		return f.Close()
	}
	rivalRead := func() error {
		out, err := tm.GetObject(ctx, &transfermanager.GetObjectInput{Bucket: &bk.name, Key: aws.String("ours")})
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, out.Body)
		if err == nil && n != benchSize {
			err = fmt.Errorf("%d bytes", n)
		}
		return err
	}
	b.Run("upload", func(b *testing.B) {
		compare(b, "s3_upload", func() error {
			_, err := bk.Upload(ctx, file, "ours", flow.Condition{}, nil)
			return err
		}, rivalUpload)
	})
	b.Run("write", func(b *testing.B) {
		compare(b, "s3_write", func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // only read
			w, err := bk.Create(ctx, "ours", flow.Condition{})
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, struct{ io.Reader }{f}); err != nil {
				return err
			}
			_, err = w.Commit()
			return err
		}, rivalUpload)
	})
	b.Run("download", func(b *testing.B) {
		compare(b, "s3_download", func() error {
			_, err := bk.Download(ctx, "ours", filepath.Join(dir, "out"), nil)
			return err
		}, rivalDownload)
	})
	b.Run("read", func(b *testing.B) {
		compare(b, "s3_read", func() error {
			r, err := bk.Open(ctx, "ours", 0, -1)
			if err != nil {
				return err
			}
			defer r.Close() //nolint:errcheck // only read
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 1<<20))
			if err == nil && n != benchSize {
				err = fmt.Errorf("%d bytes", n)
			}
			return err
		}, rivalRead)
	})
}
