package awslocal

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const unsigned = "UNSIGNED-PAYLOAD"

// resign returns the request as the S3 process takes it. What is signed by Key in its region
// goes on as it is, and is checked there; what is not signed too, and is refused there. All
// else is signed anew: other keys (those that STS gave among them), other regions, buckets
// that are named by the host.
func (s *s3Server) resign(r *http.Request) (*http.Request, error) {
	c := credential(r)
	bucket := hostBucket(r.Host)
	q := r.URL.Query()
	// Signature version 2, which clients still use for presigned URLs.
	old := strings.HasPrefix(r.Header.Get("Authorization"), "AWS ") || q.Has("AWSAccessKeyId")
	creates := createsBucket(r)
	switch {
	case c == (scope{}) && !old:
		return r, nil
	case !creates && c.key == Key && c.region == region && bucket == "" && r.Header.Get("X-Amz-Security-Token") == "" && !q.Has("X-Amz-Security-Token"):
		return r, nil
	}
	if err := expired(q); err != nil {
		return nil, err
	}
	out := r.Clone(r.Context())
	for k := range q {
		switch k {
		case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token",
			"AWSAccessKeyId", "Signature", "Expires":
			q.Del(k)
		}
	}
	out.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	// What a proxy does not pass on must not be signed.
	for _, h := range []string{"Authorization", "X-Amz-Security-Token", "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Date", "Expect"} {
		out.Header.Del(h)
	}
	if bucket != "" {
		escaped := out.URL.EscapedPath()
		out.URL.Path, out.URL.RawPath = "/"+bucket+out.URL.Path, "/"+bucket+escaped
		out.Host = "localhost"
	}
	payload := out.Header.Get("X-Amz-Content-Sha256")
	switch {
	case creates:
		out.Body, out.ContentLength, payload = http.NoBody, 0, unsigned
		out.Header.Del("Content-Md5")
		for k := range out.Header {
			if strings.HasPrefix(k, "X-Amz-Checksum-") || k == "X-Amz-Sdk-Checksum-Algorithm" || k == "Content-Length" {
				out.Header.Del(k)
			}
		}
	case payload == "":
		payload = unsigned
	case strings.HasPrefix(payload, "STREAMING-AWS4-"):
		if err := unchunk(out); err != nil {
			return nil, err
		}
		payload = unsigned
	}
	out.Header.Set("X-Amz-Content-Sha256", payload)
	keys := aws.Credentials{AccessKeyID: Key, SecretAccessKey: Key}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	// The S3 process looks at the machine's clock, whatever time answers are to tell.
	return out, signer.SignHTTP(out.Context(), keys, out, payload, "s3", region, time.Now())
}

// createsBucket tells whether a request makes a bucket and says in which region. All regions
// are served by the one S3 process, which knows only its own: it is not told.
func createsBucket(r *http.Request) bool {
	bucket, key := bucketAndKey(r)
	return r.Method == http.MethodPut && r.ContentLength > 0 && r.URL.RawQuery == "" && bucket != "" && key == ""
}

// hostBucket returns the bucket of a host such as lake.localhost or lake.s3.localhost.
func hostBucket(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	bucket, ok := strings.CutSuffix(host, ".localhost")
	if !ok {
		return ""
	}
	if i := strings.LastIndex(bucket, ".s3"); i >= 0 {
		bucket = bucket[:i]
	}
	if bucket == "s3" || strings.HasPrefix(bucket, "s3.") {
		return ""
	}
	return bucket
}

// expired tells whether a presigned URL's time is over.
func expired(q url.Values) error {
	var until time.Time
	switch {
	case q.Has("X-Amz-Expires"):
		at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
		n, err2 := strconv.Atoi(q.Get("X-Amz-Expires"))
		if err != nil || err2 != nil {
			return errors.New("the presigned URL's date cannot be read")
		}
		until = at.Add(time.Duration(n) * time.Second)
	case q.Has("AWSAccessKeyId"):
		n, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
		if err != nil {
			return errors.New("the presigned URL's date cannot be read")
		}
		until = time.Unix(n, 0)
	default:
		return nil
	}
	if time.Now().After(until) {
		return errors.New("Request has expired") //nolint:staticcheck // S3's own words
	}
	return nil
}

// unchunk takes a body whose pieces are signed one by one out of its pieces: their signatures
// hang on the one that is replaced.
func unchunk(r *http.Request) error {
	n, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return errors.New("X-Amz-Decoded-Content-Length is missing")
	}
	for _, h := range []string{"X-Amz-Decoded-Content-Length", "X-Amz-Trailer", "X-Amz-Sdk-Checksum-Algorithm"} {
		r.Header.Del(h)
	}
	var encodings []string
	for _, e := range strings.Split(r.Header.Get("Content-Encoding"), ",") {
		if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
			encodings = append(encodings, e)
		}
	}
	r.Header.Del("Content-Encoding")
	if len(encodings) > 0 {
		r.Header.Set("Content-Encoding", strings.Join(encodings, ","))
	}
	r.ContentLength = n
	r.Header.Set("Content-Length", strconv.FormatInt(n, 10))
	r.Body = &chunked{in: bufio.NewReaderSize(r.Body, 64<<10), closer: r.Body}
	return nil
}

// chunked reads pieces of the form SIZE;chunk-signature=…\r\nBYTES\r\n up to one of size zero.
type chunked struct {
	in     *bufio.Reader
	closer io.Closer
	left   int64
	begun  bool
	done   bool
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.done {
		return 0, io.EOF
	}
	if c.left == 0 {
		if err := c.piece(); err != nil {
			return 0, err
		}
		if c.left == 0 {
			c.done = true
			_, _ = io.Copy(io.Discard, c.in) //nolint:errcheck // trailers; the bytes are all here
			return 0, io.EOF
		}
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// piece reads the line before a piece.
func (c *chunked) piece() error {
	line, err := c.in.ReadString('\n')
	if c.begun && err == nil && strings.TrimSpace(line) == "" {
		line, err = c.in.ReadString('\n')
	}
	c.begun = true
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
	n, err := strconv.ParseInt(size, 16, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("a piece of the body begins with %q", line)
	}
	c.left = n
	return nil
}

func (c *chunked) Close() error { return c.closer.Close() }

// s3Error answers as S3 does.
func s3Error(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	type body struct {
		XMLName  xml.Name `xml:"Error"`
		Code     string
		Message  string
		Resource string
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_ = xml.NewEncoder(w).Encode(body{Code: code, Message: message, Resource: r.URL.Path}) //nolint:errcheck // the client has gone
	}
}
