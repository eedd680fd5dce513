package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Value is the bytes of a secret. Nothing shows them but Reveal: String, Format,
// MarshalJSON, MarshalText, GobEncode and LogValue all answer Hidden. The bytes
// lie in memory that is locked and left out of core dumps where the system
// allows it. The zero Value is empty. Copies share the bytes, and their wipe.
type Value struct{ b *buffer }

// Hidden is what stands for a value wherever it is printed.
const Hidden = "[secret]"

// buffer is the one holder of a value's bytes. It points at them in a way that
// tools which print whatever reflection finds do not follow.
type buffer struct {
	mu      sync.RWMutex
	data    unsafe.Pointer // under mu; nil once wiped
	size    int
	place   place // where in the arena
	cleanup runtime.Cleanup
}

// respite is how long a value that nobody holds any more is left alone before
// it is wiped: what Reveal answered may still be in use by whoever let go of
// the Value too early.
var respite = time.Minute

// NewValue moves b to locked memory and clears it. Whoever makes a value also
// calls Wipe; what is forgotten is wiped some time after the garbage collector
// has noticed.
func NewValue(b []byte) Value {
	return makeValue(len(b), func(to []byte) { copy(to, b); clear(b) })
}

// makeValue makes a value of size bytes that fill writes.
func makeValue(size int, fill func(to []byte)) Value {
	data, place := memory.take(size)
	fill(data)
	b := &buffer{data: unsafe.Pointer(unsafe.SliceData(data)), size: size, place: place} //nolint:gosec // hidden from reflection
	b.cleanup = runtime.AddCleanup(b, forget, forgotten{data, place, respite})
	return Value{b}
}

// forgotten is a value whose buffer is no longer reachable.
type forgotten struct {
	data  []byte
	place place
	after time.Duration
}

func forget(f forgotten) {
	time.AfterFunc(f.after, func() { memory.give(f.data, f.place) })
}

// Reveal answers the bytes themselves; nil after Wipe. They are valid until
// Wipe, so whoever uses them holds on to the value and wipes it when done. They
// must not be changed.
func (v Value) Reveal() []byte {
	if v.b == nil {
		return nil
	}
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return v.b.bytes()
}

// bytes needs mu.
func (b *buffer) bytes() []byte {
	if b.data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(b.data), b.size) //nolint:gosec // the other way of makeValue
}

// Len is how many bytes there are; 0 after Wipe.
func (v Value) Len() int { return len(v.Reveal()) }

// Equal compares in a time that depends on the lengths alone. A wiped value
// equals none, itself included.
func (v Value) Equal(o Value) bool {
	switch {
	case v.b == nil || o.b == nil:
		return v.b == o.b || v.b == nil && o.isEmpty() || o.b == nil && v.isEmpty()
	case v.b == o.b:
		return v.Reveal() != nil
	}
	first, second := v.b, o.b
	if uintptr(unsafe.Pointer(first)) > uintptr(unsafe.Pointer(second)) { //nolint:gosec // one order of locking for everybody
		first, second = second, first
	}
	first.mu.RLock()
	defer first.mu.RUnlock()
	second.mu.RLock()
	defer second.mu.RUnlock()
	a, b := first.bytes(), second.bytes()
	return a != nil && b != nil && subtle.ConstantTimeCompare(a, b) == 1
}

func (v Value) isEmpty() bool {
	b := v.Reveal()
	return b != nil && len(b) == 0
}

// Wipe overwrites the bytes with zeros and gives their place back, for all
// copies of v. It may be repeated.
func (v Value) Wipe() {
	if v.b == nil {
		return
	}
	v.b.mu.Lock()
	defer v.b.mu.Unlock()
	if v.b.data == nil {
		return
	}
	v.b.cleanup.Stop()
	memory.give(v.b.bytes(), v.b.place)
	v.b.data = nil
}

// String answers Hidden.
func (Value) String() string { return Hidden }

// Format writes Hidden, whatever the verb.
func (Value) Format(f fmt.State, _ rune) { hide(f) }

// MarshalJSON answers Hidden.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Hidden + `"`), nil }

// MarshalText answers Hidden.
func (Value) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// GobEncode answers Hidden.
func (Value) GobEncode() ([]byte, error) { return []byte(Hidden), nil }

// LogValue answers Hidden.
func (Value) LogValue() slog.Value { return slog.StringValue(Hidden) }

func hide(w io.Writer) { _, _ = io.WriteString(w, Hidden) }

// view is b as a string without a second copy of it in memory, for calls that
// keep nothing of it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // a copy would stay unwiped
