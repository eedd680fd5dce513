package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// partials is the folder of objects that are being written. No key leads there.
const partials = ".partial"

// Bounds of a folder.
const (
	folderCalls = 8         // at once
	stranded    = time.Hour // after which nobody writes a partial object any more
)

// folder keeps objects as files that only their owner reads.
type folder struct {
	path   string
	places chan struct{} // one for each call that runs
}

var _ store = (*folder)(nil)

// openFolder makes the folder if need be, and takes away what calls left that
// the end of their process interrupted.
func openFolder(ctx context.Context, p place) (store, error) {
	f := &folder{path: p.folder, places: make(chan struct{}, folderCalls)}
	if err := f.within(ctx, func() error { return makeFolder(f.path) }); err != nil {
		return nil, err
	}
	return f, f.rooted(ctx, func(root *os.Root) error { return sweep(root, time.Now().Add(-stranded)) })
}

// makeFolder makes a folder and those above it that are missing, durably.
func makeFolder(name string) error {
	err := os.Mkdir(name, 0o700)
	if above := filepath.Dir(name); errors.Is(err, fs.ErrNotExist) && above != name {
		if err := makeFolder(above); err != nil {
			return err
		}
		err = os.Mkdir(name, 0o700)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil // also of a file, which is then refused as a folder
	case err != nil:
		return err
	}
	above, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(above.Sync(), above.Close())
}

// within runs what a file system of another machine may never answer, and waits
// for it no longer than ctx says. The calls that hang are bounded.
func (f *folder) within(ctx context.Context, do func() error) error {
	select {
	case f.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-f.places }()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rooted works within the folder. It is opened anew each time: a mount that is
// gone is not written past, and none is held.
func (f *folder) rooted(ctx context.Context, do func(*os.Root) error) error {
	return f.within(ctx, func() error {
		root, err := os.OpenRoot(f.path)
		if err != nil {
			return err
		}
		return errors.Join(do(root), root.Close())
	})
}

func (f *folder) put(ctx context.Context, key string, body []byte) error {
	return f.rooted(ctx, func(root *os.Root) error { return write(ctx, root, key, body) })
}

// write puts the whole object on the disk before it takes the place of another.
func write(ctx context.Context, root *os.Root, key string, body []byte) (err error) {
	if err := errors.Join(root.MkdirAll(partials, 0o700), root.MkdirAll(path.Dir(key), 0o700)); err != nil {
		return err
	}
	partial := path.Join(partials, rand.Text())
	file, err := root.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	if err = errors.Join(err, file.Sync(), file.Close(), ctx.Err()); err == nil {
		err = root.Rename(partial, key)
	}
	if err != nil {
		return errors.Join(err, root.Remove(partial))
	}
	return syncFolders(root, path.Dir(key))
}

// syncFolders makes names durable: of the object, and of the folders above it,
// which may be new.
func syncFolders(root *os.Root, name string) error {
	folder, err := root.Open(name)
	if err != nil {
		return err
	}
	err = errors.Join(folder.Sync(), folder.Close())
	if err != nil || name == "." {
		return err
	}
	return syncFolders(root, path.Dir(name))
}

func (f *folder) get(ctx context.Context, key string, most int64) ([]byte, error) {
	var body []byte
	err := f.rooted(ctx, func(root *os.Root) error {
		read, err := read(root, key, most)
		if err == nil && ctx.Err() == nil {
			body = read
		}
		return err
	})
	if err != nil {
		return nil, err // body may still be written to when ctx ended
	}
	return body, nil
}

func read(root *os.Root, key string, most int64) ([]byte, error) {
	info, err := root.Stat(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errAbsent
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errAbsent
	}
	file, err := root.Open(key)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, info.Size(), most)
}

// readBounded reads what is said to have a size, and may have another.
func readBounded(r io.Reader, size, most int64) ([]byte, error) {
	if size > most {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > most:
		return nil, errTooLarge
	}
	return body, nil
}

func (f *folder) delete(ctx context.Context, key string) error {
	return f.rooted(ctx, func(root *os.Root) error {
		if err := root.Remove(key); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		return syncFolders(root, path.Dir(key))
	})
}

// sweep takes away partial objects from before a time.
func sweep(root *os.Root, before time.Time) error {
	entries, err := fs.ReadDir(root.FS(), partials)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var failed error
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().Before(before) {
			failed = errors.Join(failed, root.Remove(path.Join(partials, entry.Name())))
		}
	}
	return failed
}

func (f *folder) close() error { return nil }
