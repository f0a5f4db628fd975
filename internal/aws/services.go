package aws

import (
	"context"
	"errors"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	awsemr "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/smithy-go"

	"github.com/tidemill/tidemill/internal/awsauth"
)

// services are those that are called here. To add one: a row, and its actions.
var services = map[string]service{
	"s3": {
		name: "S3",
		modeled: []string{"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "BucketAlreadyExists", "BucketAlreadyOwnedByYou", "InvalidObjectState",
			"InvalidRequest", "InvalidWriteOffset", "TooManyParts", "EncryptionTypeMismatch", "IdempotencyParameterMismatch"},
		actions: s3Actions,
	},
	"emr": {
		name:    "Emr",
		modeled: []string{"InternalServerError", "InternalServerException", "InvalidRequestException"},
		actions: emrActions,
	},
}

func s3Actions(cfg awsauth.Config) map[string]action {
	c := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.UsePathStyle = cfg.BaseEndpoint != nil
		// An answer's checksum is checked where there is one; that none is there is no news.
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return map[string]action{
		"headObject":    head(call(c.HeadObject)),
		"getObject":     withMetadata(call(c.GetObject)),
		"putObject":     call(c.PutObject),
		"copyObject":    call(c.CopyObject),
		"deleteObject":  call(c.DeleteObject),
		"listObjectsV2": call(c.ListObjectsV2),
		"listBuckets":   call(c.ListBuckets),
	}
}

// head gives a missing object the name that the Java SDK does: HEAD has no body that would
// say it.
func head(do action) action {
	do = withMetadata(do)
	return func(ctx context.Context, request []byte) (any, error) {
		out, err := do(ctx, request)
		var api smithy.APIError
		if errors.As(err, &api) && api.ErrorCode() == "NotFound" {
			err = &renamed{err, &smithy.GenericAPIError{Code: "NoSuchKey", Message: "The specified key does not exist."}}
		}
		return out, err
	}
}

type renamed struct {
	error
	as *smithy.GenericAPIError
}

func (r *renamed) Unwrap() []error { return []error{r.as, r.error} }

// withMetadata gives an answer without metadata an empty object of them, as the Java SDK does.
func withMetadata(do action) action {
	return func(ctx context.Context, request []byte) (any, error) {
		out, err := do(ctx, request)
		switch o := out.(type) {
		case *awss3.GetObjectOutput:
			if o.Metadata == nil {
				o.Metadata = map[string]string{}
			}
		case *awss3.HeadObjectOutput:
			if o.Metadata == nil {
				o.Metadata = map[string]string{}
			}
		}
		return out, err
	}
}

func emrActions(cfg awsauth.Config) map[string]action {
	c := awsemr.NewFromConfig(cfg)
	return map[string]action{
		"describeCluster":          call(c.DescribeCluster),
		"describeStep":             call(c.DescribeStep),
		"listClusters":             call(c.ListClusters),
		"listSteps":                call(c.ListSteps),
		"terminateJobFlows":        call(c.TerminateJobFlows),
		"setTerminationProtection": call(c.SetTerminationProtection),
		"addTags":                  call(c.AddTags),
	}
}
