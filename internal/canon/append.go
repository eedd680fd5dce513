package canon

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
)

// Append appends the RFC 8785 form of v to dst; a nil dst gives a slice of just
// that size. It panics on what is no value: another Go type, NaN or an infinity.
// Strings must be valid UTF-8, as those that Decode makes are.
func Append(dst []byte, v any) []byte {
	const maxKept = 1 << 20
	a := appenders.Get().(*appender) //nolint:forcetypeassert // the pool holds nothing else
	scratch := a.dst
	if dst != nil {
		a.dst = dst
	}
	a.value(v)
	written := a.dst
	if dst == nil {
		scratch, written = a.dst[:0], slices.Clone(a.dst)
	}
	a.dst = scratch
	if cap(scratch) <= maxKept {
		appenders.Put(a)
	}
	return written
}

// appender writes values. The keys it holds are cleared, so that one in the
// pool keeps no document alive.
type appender struct {
	dst  []byte
	keys []string // of the objects being written, the innermost last
}

var appenders = sync.Pool{New: func() any { return new(appender) }}

func (a *appender) value(v any) {
	switch v := v.(type) {
	case nil:
		a.dst = append(a.dst, "null"...)
	case bool:
		a.dst = strconv.AppendBool(a.dst, v)
	case float64:
		a.dst = AppendNumber(a.dst, v)
	case string:
		a.dst = AppendString(a.dst, v)
	case []any:
		a.array(v)
	case map[string]any:
		a.object(v)
	default:
		panic(fmt.Sprintf("canon: a value of type %T is not JSON", v))
	}
}

func (a *appender) array(array []any) {
	a.dst = append(a.dst, '[')
	for i, v := range array {
		if i > 0 {
			a.dst = append(a.dst, ',')
		}
		a.value(v)
	}
	a.dst = append(a.dst, ']')
}

func (a *appender) object(object map[string]any) {
	base := len(a.keys)
	for key := range object {
		a.keys = append(a.keys, key)
	}
	end := len(a.keys)
	slices.SortFunc(a.keys[base:end], CompareKeys)
	a.dst = append(a.dst, '{')
	for i := base; i < end; i++ {
		if i > base {
			a.dst = append(a.dst, ',')
		}
		key := a.keys[i]
		a.dst = append(AppendString(a.dst, key), ':')
		a.value(object[key])
	}
	a.dst = append(a.dst, '}')
	clear(a.keys[base:])
	a.keys = a.keys[:base]
}

// SortedKeys answers the keys of object in the order of RFC 8785.
func SortedKeys(object map[string]any) []string {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, CompareKeys)
	return keys
}

// CompareKeys orders keys by their UTF-16 code units. That is the order of
// their UTF-8 bytes, except that characters from U+10000 up, written with
// surrogates, come before U+E000 to U+FFFF.
func CompareKeys(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		const firstPrivate, firstSupplementary = 0xEE, 0xF0
		if x >= firstPrivate && y >= firstPrivate && (x >= firstSupplementary) != (y >= firstSupplementary) {
			return int(y) - int(x)
		}
		return int(x) - int(y)
	}
	return len(a) - len(b)
}

// AppendNumber appends f as ECMAScript writes it. It panics on NaN and infinities.
func AppendNumber(dst []byte, f float64) []byte {
	const maxInteger = 1 << 53
	if n := int64(f); float64(n) == f && n > -maxInteger && n < maxInteger {
		return strconv.AppendInt(dst, n, 10)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		panic("canon: NaN and infinities are not JSON")
	}
	if size := math.Abs(f); size >= 1e-6 && size < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// strconv writes e-07 where ECMAScript writes e-7.
	if n := len(dst); n-start >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

// AppendString appends text in quotes, with no more escapes than JSON needs.
func AppendString(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if byteClass[c] != specialByte {
			continue
		}
		dst = append(dst, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
		}
	}
	return append(append(dst, text[start:]...), '"')
}
