package awsjson

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// key is the access key, and its secret, whose signatures are checked; other keys are taken
// as they are, for their secrets are not known.
const key = "test"

// signed checks a request's signature and returns the region that it was made for.
func signed(r *http.Request, body []byte) (region string, err error) {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return "", &Error{Status: http.StatusForbidden, Type: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"}
	}
	parts := map[string]string{}
	for _, p := range strings.Split(auth, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[k] = v
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) < 5 {
		return "", &Error{Status: http.StatusBadRequest, Type: "IncompleteSignatureException", Message: "Authorization header requires 'Credential' parameter. Authorization=" + "AWS4-HMAC-SHA256"}
	}
	n := len(scope)
	region, service := scope[n-3], scope[n-2]
	if strings.Join(scope[:n-4], "/") != key {
		return region, nil
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", &Error{Status: http.StatusForbidden, Type: "InvalidSignatureException", Message: "The request has no X-Amz-Date that can be read."}
	}
	again := r.Clone(r.Context())
	names := strings.Split(parts["SignedHeaders"], ";")
	for h := range again.Header {
		if !slices.Contains(names, strings.ToLower(h)) {
			again.Header.Del(h)
		}
	}
	if !slices.Contains(names, "content-length") {
		again.ContentLength = 0
	}
	sum := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: key, SecretAccessKey: key}
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		return "", err
	}
	_, want, _ := strings.Cut(again.Header.Get("Authorization"), "Signature=")
	if subtle.ConstantTimeCompare([]byte(want), []byte(parts["Signature"])) != 1 {
		return "", &Error{Status: http.StatusForbidden, Type: "InvalidSignatureException", Message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	return region, nil
}
