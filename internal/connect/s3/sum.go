package s3

import (
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strings"

	"crypto/sha256"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// sum is the checksum of a whole object as the server tells it, and as the bytes give it.
type sum struct {
	told string // base64, of the big-endian value
	hash hash.Hash
}

func (s *sum) write(p []byte) { s.hash.Write(p) } //nolint:errcheck // a hash takes all

func (s *sum) holds() bool { return base64.StdEncoding.EncodeToString(s.hash.Sum(nil)) == s.told }

// castagnoli and nvme are the polynomials of CRC32C and CRC64NVME, the latter reflected.
var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5)
)

// wholeSum returns the checksum that an answer tells of the whole object, or nil. A checksum
// of parts' checksums says nothing here.
func wholeSum(out *awss3.GetObjectOutput) *sum {
	if out.ChecksumType == types.ChecksumTypeComposite {
		return nil
	}
	for _, known := range []struct {
		told *string
		make func() hash.Hash
	}{
		{out.ChecksumCRC32, func() hash.Hash { return crc32.NewIEEE() }},
		{out.ChecksumCRC32C, func() hash.Hash { return crc32.New(castagnoli) }},
		{out.ChecksumCRC64NVME, func() hash.Hash { return crc64.New(nvme) }},
		{out.ChecksumSHA256, sha256.New},
	} {
		if told := aws.ToString(known.told); told != "" && !strings.Contains(told, "-") {
			return &sum{told, known.make()}
		}
	}
	return nil
}

// crcText writes a CRC32 as S3 does.
func crcText(crc uint32) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc)))
}
