package httpapi

import (
	"bytes"
	"io"
	"net/http"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/llm-devops/llm-config-manager/internal/service"
)

// compressFrom is the size from which a body is worth compressing.
const compressFrom = 1024

var encodings = []string{"zstd", "br", "gzip"}

// encodingOf is the encoding that a caller prefers among ours, Plain for none.
func encodingOf(r *http.Request, size int) (service.Render, string) {
	accept := r.Header["Accept-Encoding"]
	if len(accept) == 0 || size < compressFrom {
		return service.Plain, ""
	}
	name := negotiate(accept, encodings)
	if weight(accept, "identity") > weight(accept, name) {
		return service.Plain, ""
	}
	switch name {
	case "zstd":
		return service.Zstd, name
	case "br":
		return service.Brotli, name
	case "gzip":
		return service.Gzip, name
	}
	return service.Plain, ""
}

// compressed is the body in the encoding that the caller prefers, nil when it
// is to be sent as it is.
func compressed(r *http.Request, body []byte) (encoding string, packed []byte) {
	render, name := encodingOf(r, len(body))
	if render == service.Plain {
		return "", nil
	}
	if packed = compress(render, body); len(packed) >= len(body) {
		return "", nil
	}
	return name, packed
}

var zstdEncoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))

// compressor compresses what is written to it. Closing it does not close w.
func compressor(render service.Render, w io.Writer) io.WriteCloser {
	switch render {
	case service.Zstd:
		packed, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are fixed
		}
		return packed
	case service.Brotli:
		return brotli.NewWriterLevel(w, brotli.BestSpeed)
	default:
		return gzip.NewWriter(w)
	}
}

func compress(render service.Render, body []byte) []byte {
	var b bytes.Buffer
	switch render {
	case service.Zstd:
		return zstdEncoder.EncodeAll(body, nil)
	case service.Brotli:
		w := brotli.NewWriterLevel(&b, 4)
		_, _ = w.Write(body) // a buffer takes everything
		_ = w.Close()
	case service.Gzip:
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body)
		_ = w.Close()
	default:
		return body
	}
	return b.Bytes()
}
