// Package s3 is a bucket of Amazon S3, or of a server that speaks its protocol, as a
// flow.Bucket: parallel in both directions, in bounded memory, whole objects or none.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/flow"
)

// Settings are the keys of a connection of type s3, which says through which account a
// bucket is reached.
type Settings struct {
	Bucket string `key:"bucket" req:"1" doc:"the bucket's name: s3://BUCKET/ goes through this connection"`
	AWS    string `key:"aws" doc:"connection of type aws; default: the target's"`
}

// Connector describes connections of type s3.
var Connector = flow.Define[Settings]("s3", "A bucket of Amazon S3, or of a server that speaks its protocol.", flow.UseBucket)

// Options tune a Bucket. The zero value is a working default.
type Options struct {
	KMSKey      string // key id, ARN or alias that new objects are encrypted with; empty: the bucket's default
	PartSize    int64  // bytes of a part, at least 5 MiB; default 8 MiB
	Concurrency int    // parts of one object in flight; default 5
}

const (
	minPart     = 5 << 20
	defaultPart = 8 << 20
	// copyLimit is the largest object that CopyObject takes; copyPart what one part of a larger one copies.
	copyLimit = 5 << 30
	copyPart  = 512 << 20
	// removeBatch is the most keys that one DeleteObjects takes.
	removeBatch = 1000
)

// Bucket is one bucket. It may be used by any number of goroutines.
type Bucket struct {
	name    string
	client  *awss3.Client
	keys    aws.CredentialsProvider
	home    string // region and endpoint
	kms     string
	part    int64
	workers int
	buffers *sync.Pool // of *[]byte of part bytes

	copyLimit, copyPart int64
}

var (
	_ flow.Bucket  = (*Bucket)(nil)
	_ flow.Remover = (*Bucket)(nil)
	_ flow.Copier  = (*Bucket)(nil)
)

// Make makes a bucket in the configuration's region where we do not have it yet.
func Make(ctx context.Context, cfg awsauth.Config, name string) error {
	b := New(cfg, name, Options{})
	in := &awss3.CreateBucketInput{Bucket: aws.String(name)}
	if cfg.Region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(cfg.Region)}
	}
	_, err := b.client.CreateBucket(ctx, in)
	var ours *types.BucketAlreadyOwnedByYou
	if errors.As(err, &ours) {
		return nil
	}
	return b.fault("make bucket", "", err)
}

// New returns the bucket of the name. It calls nobody.
func New(cfg awsauth.Config, bucket string, o Options) *Bucket {
	part, workers := o.PartSize, o.Concurrency
	if part == 0 {
		part = defaultPart
	}
	part = max(part, minPart)
	if workers <= 0 {
		workers = 5
	}
	b := &Bucket{
		name: bucket, keys: cfg.Credentials, kms: o.KMSKey, part: part, workers: workers,
		home:      cfg.Region + " " + aws.ToString(cfg.BaseEndpoint),
		copyLimit: copyLimit, copyPart: copyPart,
		buffers: &sync.Pool{New: func() any { p := make([]byte, part); return &p }},
	}
	b.client = awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		// A custom endpoint rarely answers to bucket names as hosts.
		o.UsePathStyle = cfg.BaseEndpoint != nil
		// Bodies are guarded by their CRC; hashing them once more for the signature costs as
		// much as sending them where the endpoint is plain HTTP.
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return b
}

func (b *Bucket) uri(name string) string { return "s3://" + b.name + "/" + name }

func (b *Bucket) fault(op, name string, err error) error {
	err = awsauth.Fault(op+" "+b.uri(name), "S3", err)
	var e *flow.Error
	if errors.As(err, &e) && e.Kind == flow.NotFound {
		// HEAD has no body to say what is missing, and SDKs call both by the status.
		if e.Name == "S3.NotFoundException" {
			e.Name, e.Err = "S3.NoSuchKeyException", errors.New("no such object")
		}
	}
	return err
}

// valid refuses names that S3 would refuse less clearly.
func (b *Bucket) valid(op, name string) error {
	if name == "" || len(name) > 1024 {
		return &flow.Error{Op: op + " " + b.uri(name), Kind: flow.Invalid, Err: fmt.Errorf("a name of %d bytes; 1 to 1024 are possible", len(name))}
	}
	return nil
}

func etag(s *string) string { return strings.Trim(aws.ToString(s), `"`) }

func quoted(etag string) *string { return aws.String(`"` + etag + `"`) }

// Stat describes one object.
func (b *Bucket) Stat(ctx context.Context, name string) (flow.Object, error) {
	if err := b.valid("stat", name); err != nil {
		return flow.Object{}, err
	}
	out, err := b.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &b.name, Key: &name})
	if err != nil {
		return flow.Object{}, b.missing(ctx, "stat", name, err)
	}
	return flow.Object{Name: name, Size: aws.ToInt64(out.ContentLength), ETag: etag(out.ETag), Modified: aws.ToTime(out.LastModified)}, nil
}

// missing tells a missing bucket from a missing object where S3 said only 404.
func (b *Bucket) missing(ctx context.Context, op, name string, err error) error {
	fault := b.fault(op, name, err)
	var none *types.NoSuchBucket
	if flow.Name(fault) != "S3.NoSuchKeyException" || errors.As(err, &none) {
		return fault
	}
	var e *flow.Error
	if _, err := b.client.HeadBucket(ctx, &awss3.HeadBucketInput{Bucket: &b.name}); err != nil && errors.As(fault, &e) {
		if flow.KindOf(awsauth.Fault("", "S3", err)) == flow.NotFound {
			return &flow.Error{Op: e.Op, Kind: flow.NotFound, Name: "S3.NoSuchBucketException", Err: fmt.Errorf("no bucket %s", b.name), Hint: "check the bucket's name and region, or create it"}
		}
	}
	return fault
}

// List yields the objects whose names begin with prefix, in the order of their bytes.
// Folder markers (empty objects whose names end in a slash) are not shown.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[flow.Object, error] {
	return func(yield func(flow.Object, error) bool) {
		in := &awss3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix, EncodingType: types.EncodingTypeUrl}
		for {
			page, err := b.client.ListObjectsV2(ctx, in)
			if err != nil {
				yield(flow.Object{}, b.fault("list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				name, err := url.QueryUnescape(aws.ToString(o.Key))
				if err != nil || page.EncodingType != types.EncodingTypeUrl {
					name = aws.ToString(o.Key)
				}
				if strings.HasSuffix(name, "/") && aws.ToInt64(o.Size) == 0 {
					continue
				}
				if !yield(flow.Object{Name: name, Size: aws.ToInt64(o.Size), ETag: etag(o.ETag), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			if aws.ToString(page.NextContinuationToken) == "" {
				yield(flow.Object{}, &flow.Error{Op: "list " + b.uri(prefix), Kind: flow.Transient, Err: errors.New("the server says there is more and not where")})
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

// Remove deletes objects, a thousand a request.
func (b *Bucket) Remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := b.valid("remove", name); err != nil {
			return err
		}
	}
	for len(names) > 0 {
		n := min(len(names), removeBatch)
		if err := b.remove(ctx, names[:n]); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

func (b *Bucket) remove(ctx context.Context, names []string) error {
	if len(names) == 1 {
		_, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.name, Key: &names[0]})
		var none *types.NoSuchKey
		if errors.As(err, &none) {
			return nil
		}
		return b.fault("remove", names[0], err)
	}
	ids := make([]types.ObjectIdentifier, len(names))
	for i := range names {
		ids[i].Key = &names[i]
	}
	out, err := b.client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: &b.name, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
	if err != nil {
		return b.fault("remove", names[0], err)
	}
	for _, e := range out.Errors {
		code := aws.ToString(e.Code)
		if code == "NoSuchKey" {
			continue
		}
		return b.fault("remove", aws.ToString(e.Key), &types.NoSuchKey{ErrorCodeOverride: e.Code, Message: e.Message})
	}
	return nil
}

// empty tells whether an error is S3's answer to a range that begins at or behind the end.
func empty(err error) bool {
	var status interface{ HTTPStatusCode() int }
	return errors.As(err, &status) && status.HTTPStatusCode() == http.StatusRequestedRangeNotSatisfiable
}

// nothing is an object's body where there is none.
var nothing = io.NopCloser(strings.NewReader(""))
