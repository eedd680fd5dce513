package sink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxLine bounds a line of the file in bytes: a record and what stands around it.
const maxLine = audit.MaxLine + 1<<10

// lineStart begins every line of the file.
const lineStart = `{"chain":"`

// file appends records as lines of JSON to a file that only its owner reads.
type file struct {
	path    string
	timeout time.Duration // of a delivery
	place   chan struct{} // of the one call that works on the file, for as long as that hangs
	open    *os.File      // of whoever has the place; nil: to be opened
}

func newFile(path string) *file {
	return &file{path: path, timeout: deliverTime, place: make(chan struct{}, 1)}
}

// closeTime bounds the closing of a file: a process that ends does not wait for
// a mount that is gone.
const closeTime = 5 * time.Second

var errSilent = errors.New("the file system does not answer in time")

func (f *file) Name() string { return "file:" + f.path }

func (f *file) Deliver(ctx context.Context, records []Record) error {
	var lines []byte
	for _, r := range records {
		lines = appendLine(lines, r)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, errSilent)
	defer cancel()
	if err := f.within(ctx, func() error { return f.append(ctx, lines) }); err != nil {
		return f.unavailable(err)
	}
	return nil
}

// within runs what a file system of another machine may never answer, and waits
// for it no longer than ctx says. Until it ends nothing else is run: there are
// never two writers, nor more than one goroutine that hangs.
func (f *file) within(ctx context.Context, do func() error) error {
	select {
	case f.place <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-f.place }()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// append writes nothing that nobody waits for any more: it is delivered again.
func (f *file) append(ctx context.Context, lines []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := f.follow(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := appendDurably(f.open, lines); err != nil {
		return errors.Join(err, f.drop())
	}
	return nil
}

// follow opens the file, again when another stands at its path: one that was
// moved away, as log rotation does, is not written to any more.
func (f *file) follow() error {
	if f.open != nil {
		there, err := os.Stat(f.path)
		ours, ourErr := f.open.Stat()
		if err == nil && ourErr == nil && os.SameFile(there, ours) {
			return nil
		}
		if err := f.drop(); err != nil {
			return err
		}
	}
	opened, err := openLines(f.path)
	if err != nil {
		return err
	}
	f.open = opened
	return nil
}

func (f *file) drop() error {
	open := f.open
	f.open = nil
	return open.Close()
}

func (f *file) Close() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), min(f.timeout, closeTime), errSilent)
	defer cancel()
	return f.within(ctx, func() error {
		if f.open == nil {
			return nil
		}
		return f.drop()
	})
}

// openLines opens or makes a file that ends with a whole line.
func openLines(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New(path + " is no regular file")
	}
	opened, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(repair(opened), syncFolder(filepath.Dir(path))); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// repair takes away a last line that the end of a process cut off: its record
// was not delivered, and comes again. What is no line of ours stays.
func repair(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	begin := max(info.Size()-maxLine, 0)
	end := make([]byte, info.Size()-begin)
	if _, err := io.ReadFull(io.NewSectionReader(f, begin, info.Size()), end); err != nil {
		return err
	}
	newline := bytes.LastIndexByte(end, '\n')
	torn := end[newline+1:]
	switch {
	case len(torn) == 0:
		return nil
	case newline < 0 && begin > 0, !startsAlike(string(torn), lineStart):
		return errors.New("the file ends with something that is no record; it is not the server's, or was changed by hand")
	}
	return errors.Join(f.Truncate(begin+int64(newline)+1), f.Sync())
}

func startsAlike(a, b string) bool {
	n := min(len(a), len(b))
	return a[:n] == b[:n]
}

// appendDurably leaves the file as it was when it cannot.
func appendDurably(f *os.File, lines []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.Write(lines); err != nil {
		return errors.Join(err, f.Truncate(info.Size()))
	}
	return f.Sync()
}

// syncFolder makes the name of a new file durable.
func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (f *file) unavailable(cause error) *config.Error {
	return unavailable(f.Name(), "cannot be written", cause).
		Hint("check that its folder is there, that the server may write to it and that there is room; the server's log has the cause")
}
