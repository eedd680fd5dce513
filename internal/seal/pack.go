package seal

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A packed body is what is encrypted: one byte that says how the rest is
// written, and the rest.
const (
	packedRaw  = 0
	packedZstd = 1
)

const (
	// compressAbove is the size from which compression pays for its time.
	compressAbove = 1 << 10
	// MaxPlainBytes bounds what can be sealed, and what a seal may unfold to.
	MaxPlainBytes = 16 << 20
	// maxScratchBytes bounds the buffers that are kept for the next caller.
	maxScratchBytes = 1 << 20
)

var errUnpack = errors.New("a packed body does not unpack")

// The coders are shared: EncodeAll and DecodeAll may be called concurrently.
// The seal vouches for every byte, so frames carry no checksum of their own.
var (
	encoder = must(zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true)))
	decoder = must(zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderMaxMemory(MaxPlainBytes)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// scratch holds buffers for associated data and compressed bodies.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

func getScratch() *[]byte { return scratch.Get().(*[]byte) }

func putScratch(b *[]byte) {
	if cap(*b) <= maxScratchBytes {
		clear(*b)
		*b = (*b)[:0]
		scratch.Put(b)
	}
}

// pack says how plain is to be written and gives the bytes to write after that:
// plain itself, or its compressed form, which lies in buffer.
func pack(plain []byte, buffer *[]byte) (how byte, body []byte) {
	if len(plain) > compressAbove {
		*buffer = encoder.EncodeAll(plain, (*buffer)[:0])
		if len(*buffer) < len(plain) {
			return packedZstd, *buffer
		}
	}
	return packedRaw, plain
}

// unpack answers the plain bytes of a packed body; raw ones are not copied.
func unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errUnpack
	}
	switch packed[0] {
	case packedRaw:
		return packed[1:], nil
	case packedZstd:
		plain, err := decoder.DecodeAll(packed[1:], nil)
		if err != nil {
			return nil, errUnpack
		}
		return plain, nil
	}
	return nil, errUnpack
}
