package awsauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Sign signs a request of our own making for an AWS service, by version 4 of AWS's
// signature. body is all that is sent.
func Sign(ctx context.Context, cfg Config, r *http.Request, body []byte, service string, now time.Time) error {
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return Fault("fetch AWS credentials", "Sts", err)
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	return v4.NewSigner().SignHTTP(ctx, keys, r, hash, service, cfg.Region, now)
}
