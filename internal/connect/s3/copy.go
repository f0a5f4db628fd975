package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidemill/tidemill/internal/flow"
)

// Copy copies one object within the bucket; its bytes do not pass through here.
func (b *Bucket) Copy(ctx context.Context, from, to string) (flow.Object, error) {
	return b.copyFrom(ctx, b, from, to)
}

// CopyFrom copies an object of another bucket, whose bytes do not pass through here. Where
// that cannot be (the source is no S3 bucket, or is reached at another endpoint, region or
// by other credentials) the error is errors.ErrUnsupported.
func (b *Bucket) CopyFrom(ctx context.Context, src flow.Bucket, from, to string) (flow.Object, error) {
	other, ok := src.(*Bucket)
	if !ok || other.home != b.home {
		return flow.Object{}, errors.ErrUnsupported
	}
	mine, err := b.owner(ctx)
	if err != nil {
		return flow.Object{}, b.fault("write", to, err)
	}
	theirs, err := other.owner(ctx)
	if err != nil {
		return flow.Object{}, other.fault("read", from, err)
	}
	if mine.AccessKeyID != theirs.AccessKeyID && (mine.AccountID == "" || mine.AccountID != theirs.AccountID) {
		return flow.Object{}, errors.ErrUnsupported
	}
	return b.copyFrom(ctx, other, from, to)
}

// owner returns the credentials that requests are signed by.
func (b *Bucket) owner(ctx context.Context) (aws.Credentials, error) {
	if b.keys == nil {
		return aws.Credentials{}, nil
	}
	return b.keys.Retrieve(ctx)
}

// source is how a copy's source is written in a header.
func (b *Bucket) source(name string) *string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	// PathEscape leaves a plus, which S3 reads as a space.
	return aws.String(b.name + "/" + strings.ReplaceAll(strings.Join(parts, "/"), "+", "%2B"))
}

func (b *Bucket) copyFrom(ctx context.Context, src *Bucket, from, to string) (flow.Object, error) {
	if err := errors.Join(src.valid("read", from), b.valid("write", to)); err != nil {
		return flow.Object{}, err
	}
	head, err := src.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &src.name, Key: &from})
	if err != nil {
		return flow.Object{}, src.missing(ctx, "copy", from, err)
	}
	size := aws.ToInt64(head.ContentLength)
	if size > b.copyLimit {
		return b.copyParts(ctx, src, from, to, head)
	}
	in := &awss3.CopyObjectInput{Bucket: &b.name, Key: &to, CopySource: src.source(from), CopySourceIfMatch: head.ETag}
	if src.name == b.name && from == to {
		in.MetadataDirective, in.Metadata, in.ContentType = types.MetadataDirectiveReplace, head.Metadata, head.ContentType
	}
	if b.kms != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &b.kms
	}
	out, err := b.client.CopyObject(ctx, in)
	if err != nil {
		return flow.Object{}, b.fault("copy "+src.uri(from)+" to", to, err)
	}
	o := flow.Object{Name: to, Size: size}
	if r := out.CopyObjectResult; r != nil {
		o.ETag, o.Modified = etag(r.ETag), aws.ToTime(r.LastModified)
	}
	return o, nil
}

// copyParts copies an object that is too large for one request.
func (b *Bucket) copyParts(ctx context.Context, src *Bucket, from, to string, head *awss3.HeadObjectOutput) (flow.Object, error) {
	in := &awss3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &to, Metadata: head.Metadata, ContentType: head.ContentType,
		ContentEncoding: head.ContentEncoding, CacheControl: head.CacheControl, ContentDisposition: head.ContentDisposition,
	}
	if b.kms != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &b.kms
	}
	begun, err := b.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return flow.Object{}, b.fault("write", to, err)
	}
	upload, size := aws.ToString(begun.UploadId), aws.ToInt64(head.ContentLength)
	step := max(b.copyPart, (size+maxParts-1)/maxParts)
	parts, err := b.each(ctx, size, step, func(ctx context.Context, number int32, offset, n int64) (types.CompletedPart, error) {
		out, err := b.client.UploadPartCopy(ctx, &awss3.UploadPartCopyInput{
			Bucket: &b.name, Key: &to, UploadId: &upload, PartNumber: &number, CopySource: src.source(from), CopySourceIfMatch: head.ETag,
			CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+n-1)),
		})
		if err != nil {
			return types.CompletedPart{}, b.fault("copy "+src.uri(from)+" to", to, err)
		}
		return types.CompletedPart{PartNumber: &number, ETag: out.CopyPartResult.ETag}, nil
	})
	var o flow.Object
	if err == nil {
		o, err = b.complete(ctx, to, upload, "", parts, size, nil, flow.Condition{})
	}
	if err != nil {
		return flow.Object{}, errors.Join(err, b.abort(ctx, to, upload))
	}
	return o, nil
}

// each does the parts of size bytes, Concurrency at a time; the first error ends the others.
func (b *Bucket) each(ctx context.Context, size, step int64, do func(ctx context.Context, number int32, offset, n int64) (types.CompletedPart, error)) ([]types.CompletedPart, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu    sync.Mutex
		work  sync.WaitGroup
		first error
		done  = make([]types.CompletedPart, (size+step-1)/step)
		slots = make(chan struct{}, b.workers)
	)
	for i := range done {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		work.Go(func() {
			defer func() { <-slots }()
			offset := int64(i) * step
			p, err := do(ctx, int32(i+1), offset, min(step, size-offset)) //nolint:gosec // at most 10,000
			mu.Lock()
			defer mu.Unlock()
			done[i] = p
			if err != nil && first == nil {
				first = err
				cancel(err)
			}
		})
	}
	work.Wait()
	if first == nil && ctx.Err() != nil {
		first = b.fault("write", "", ctx.Err())
	}
	return slices.Clone(done), first
}
