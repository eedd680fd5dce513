package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// MaxSegment bounds a segment in bytes when it is unpacked.
const MaxSegment = 256 << 20

var segmentEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
})

// PackSegment is an export of links that follow from, compressed with zstd.
func PackSegment(origin string, from Head, links []Link) ([]byte, error) {
	var text bytes.Buffer
	e, err := NewExporter(&text, origin, from, false)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if err := e.Link(l); err != nil {
			return nil, err
		}
	}
	if err := e.End(); err != nil {
		return nil, err
	}
	encoder, err := segmentEncoder()
	if err != nil {
		return nil, err
	}
	return encoder.EncodeAll(text.Bytes(), nil), nil
}

// UnpackSegment answers the links of a segment. What they say is not checked:
// that is for whoever follows the chain.
func UnpackSegment(body []byte) ([]Link, error) {
	unpacked, err := NewUnpacker(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer unpacked.Close()
	i, err := NewImporter(io.LimitReader(unpacked, MaxSegment))
	if err != nil {
		return nil, fmt.Errorf("the segment cannot be read: %w", err)
	}
	var links []Link
	ended := false
	for {
		line, err := i.Next()
		switch {
		case errors.Is(err, io.EOF) && ended:
			return links, nil
		case errors.Is(err, io.EOF):
			return links, errors.New("the segment is cut off")
		case err != nil:
			return links, fmt.Errorf("the segment cannot be read: %w", err)
		case line.Link != nil:
			links = append(links, Link{line.Link.Sequence, line.Link.Hash, bytes.Clone(line.Link.Record)})
		case line.End != nil:
			ended = true
		default:
			return links, errors.New("the segment holds what no segment does")
		}
	}
}

// NewUnpacker reads what is compressed as segments are, in bounded memory.
func NewUnpacker(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxSegment), zstd.WithDecoderMaxWindow(32<<20))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}
