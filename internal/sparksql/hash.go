package sparksql

import (
	le "encoding/binary"
	"math/bits"
)

// Spark's Murmur3, which hashes the tail of a text byte by byte.

func mixK(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }

func mixH(h, k uint32) uint32 { return bits.RotateLeft32(h^k, 13)*5 + 0xe6546b64 }

func finish(h, n uint32) int32 {
	h ^= n
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return int32(h ^ h>>16)
}

func murmurInt(v, seed uint32) int32 { return finish(mixH(seed, mixK(v)), 4) }

func murmurLong(v uint64, seed uint32) int32 {
	return finish(mixH(mixH(seed, mixK(uint32(v))), mixK(uint32(v>>32))), 8)
}

func murmurBytes(s string, seed uint32) int32 {
	b := []byte(s)
	h := seed
	n := len(b) &^ 3
	for i := 0; i < n; i += 4 {
		h = mixH(h, mixK(le.LittleEndian.Uint32(b[i:])))
	}
	for _, c := range b[n:] {
		h = mixH(h, mixK(uint32(int32(int8(c)))))
	}
	return finish(h, uint32(len(b)))
}

const (
	xx1 = 0x9E3779B185EBCA87
	xx2 = 0xC2B2AE3D27D4EB4F
	xx3 = 0x165667B19E3779F9
	xx4 = 0x85EBCA77C2B2AE63
	xx5 = 0x27D4EB2F165667C5
)

func xxFinish(h uint64) uint64 {
	h ^= h >> 33
	h *= xx2
	h ^= h >> 29
	h *= xx3
	return h ^ h>>32
}

func xxInt(v uint32, seed uint64) uint64 {
	h := seed + xx5 + 4
	h ^= uint64(v) * xx1
	return xxFinish(bits.RotateLeft64(h, 23)*xx2 + xx3)
}

func xxLong(v, seed uint64) uint64 {
	h := seed + xx5 + 8
	h ^= bits.RotateLeft64(v*xx2, 31) * xx1
	return xxFinish(bits.RotateLeft64(h, 27)*xx1 + xx4)
}

func xxBytes(s string, seed uint64) uint64 {
	b := []byte(s)
	n := uint64(len(b))
	var h uint64
	if len(b) >= 32 {
		v := [4]uint64{seed + 0x60EA27EEADC0B5D6, seed + xx2, seed, seed - xx1}
		for len(b) >= 32 {
			for i := range v {
				v[i] = bits.RotateLeft64(v[i]+le.LittleEndian.Uint64(b[8*i:])*xx2, 31) * xx1
			}
			b = b[32:]
		}
		h = bits.RotateLeft64(v[0], 1) + bits.RotateLeft64(v[1], 7) + bits.RotateLeft64(v[2], 12) + bits.RotateLeft64(v[3], 18)
		for i := range v {
			h = (h^bits.RotateLeft64(v[i]*xx2, 31)*xx1)*xx1 + xx4
		}
	} else {
		h = seed + xx5
	}
	h += n
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64(h^bits.RotateLeft64(le.LittleEndian.Uint64(b)*xx2, 31)*xx1, 27)*xx1 + xx4
	}
	if len(b) >= 4 {
		h = bits.RotateLeft64(h^uint64(le.LittleEndian.Uint32(b))*xx1, 23)*xx2 + xx3
		b = b[4:]
	}
	for _, c := range b {
		h = bits.RotateLeft64(h^uint64(c)*xx5, 11) * xx1
	}
	return xxFinish(h)
}
