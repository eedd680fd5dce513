package seal

import (
	"bytes"
	"runtime"
	"testing"
)

// A bomb cannot come from Seal; whoever has the keys could still make one.
func TestUnpackIsBounded(t *testing.T) {
	zeros := make([]byte, MaxPlainBytes)
	largest := append([]byte{packedZstd}, encoder.EncodeAll(zeros, nil)...)
	if plain, err := unpack(largest); err != nil || len(plain) != len(zeros) {
		t.Fatalf("unpack answers %d bytes, %v, want all %d", len(plain), err, len(zeros))
	}
	bombs := map[string][]byte{
		"one frame too large":  append([]byte{packedZstd}, encoder.EncodeAll(make([]byte, MaxPlainBytes+1), nil)...),
		"many frames in a row": append([]byte{packedZstd}, bytes.Repeat(largest[1:], 100)...),
		"no frame":             {packedZstd, 1, 2, 3},
		"cut frame":            largest[:len(largest)-2],
		"unknown packing":      {2, 1, 2, 3},
		"nothing":              {},
	}
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			before := allocated()
			if plain, err := unpack(bomb); err == nil {
				t.Errorf("unpack answers %d bytes of %d", len(plain), len(bomb))
			}
			if took := allocated() - before; took > 4*MaxPlainBytes {
				t.Errorf("unpack takes %d bytes to refuse", took)
			}
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestLargeBuffersAreNotKept(t *testing.T) {
	large := make([]byte, 0, maxScratchBytes+1)
	putScratch(&large)
	for range 100 {
		if b := getScratch(); cap(*b) > maxScratchBytes {
			t.Fatalf("a buffer of %d bytes was kept", cap(*b))
		}
	}
}
