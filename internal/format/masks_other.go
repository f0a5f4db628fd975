//go:build !amd64

package format

import "unsafe"

func delimMasks(masks *uint64, b *byte, blocks int, delim byte) {
	portableMasks(unsafe.Slice(masks, blocks), unsafe.Slice(b, blocks*64), delim)
}
