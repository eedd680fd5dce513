package telemetry

import (
	"io"
	"sync"
	"time"
)

// How long a line may wait in a Buffer, and how many bytes of lines.
const (
	bufferDelay = 100 * time.Millisecond
	bufferSize  = 64 << 10
)

// Buffer collects log lines, so that a request does not wait for a system call.
// Lines are written when enough have come together, 100 ms after the first, on
// Flush and on Close. What a process that is killed leaves behind is lost, so
// NewLogger flushes warnings and errors at once.
type Buffer struct {
	mu    sync.Mutex
	to    io.Writer
	lines []byte
	timer *time.Timer // runs while there are lines
	err   error       // of the last write; answered to whoever comes next
}

// NewBuffer buffers what is written to w.
func NewBuffer(w io.Writer) *Buffer {
	b := &Buffer{to: w, lines: make([]byte, 0, bufferSize)}
	b.timer = time.AfterFunc(bufferDelay, b.late)
	b.timer.Stop()
	return b
}

// Write takes whole lines.
func (b *Buffer) Write(lines []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines)+len(lines) > bufferSize {
		b.flush()
	}
	if len(b.lines) == 0 {
		b.timer.Reset(bufferDelay)
	}
	b.lines = append(b.lines, lines...)
	return len(lines), b.takeErr()
}

// Flush writes what waits.
func (b *Buffer) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
	return b.takeErr()
}

// Close flushes. Lines written afterwards are not lost, only late.
func (b *Buffer) Close() error { return b.Flush() }

// late flushes for the timer. An error is kept for the next Write.
func (b *Buffer) late() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
}

func (b *Buffer) flush() {
	if len(b.lines) == 0 {
		return
	}
	b.timer.Stop()
	if _, err := b.to.Write(b.lines); err != nil {
		b.err = err
	}
	if b.lines = b.lines[:0]; cap(b.lines) > 2*bufferSize { // after one line of great length
		b.lines = make([]byte, 0, bufferSize)
	}
}

func (b *Buffer) takeErr() error {
	err := b.err
	b.err = nil
	return err
}
