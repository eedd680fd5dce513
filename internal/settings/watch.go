package settings

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime lets an editor or a deployment tool finish what it began.
const settleTime = 100 * time.Millisecond

// Watch calls changed after the content of one of the files has become another,
// until the context ends, whenever it is asked to, and once at first: it may have
// become another since it was read. It asks for the files anew after each change;
// empty names are no files.
//
// It watches folders, because editors and Kubernetes replace files and the links
// to them instead of writing into them. A folder that is itself replaced is no
// longer watched; SIGHUP is for that.
func Watch(ctx context.Context, files func() []string, asked <-chan os.Signal, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("files cannot be watched: %w; a changed settings file needs a SIGHUP", err)
	}
	defer watcher.Close()
	w := follower{files: files, asked: asked, changed: changed, after: time.After, add: watcher.Add, events: watcher.Events, errors: watcher.Errors}
	return w.follow(ctx)
}

// A follower turns notices about folders into notices about the content of files.
type follower struct {
	files   func() []string
	asked   <-chan os.Signal
	changed func()
	after   func(time.Duration) <-chan time.Time
	add     func(folder string) error
	events  <-chan fsnotify.Event
	errors  <-chan error
}

func (f follower) follow(ctx context.Context) error {
	var seen [sha256.Size]byte
	settled := f.after(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-settled:
			settled = nil
			if err := f.look(&seen); err != nil {
				return err
			}
			continue
		case <-f.asked:
			seen = [sha256.Size]byte{} // the next look finds a change in any case
			if err := f.look(&seen); err != nil {
				return err
			}
			continue
		case <-f.events:
		case <-f.errors: //nolint:errcheck // whatever notices were lost, the files tell
		}
		if settled == nil {
			settled = f.after(settleTime)
		}
	}
}

// look compares the files with what was seen of them. It looks again after a
// change, which may have been to other files.
func (f follower) look(seen *[sha256.Size]byte) error {
	for {
		if err := f.watchFolders(); err != nil {
			return err
		}
		now := fingerprint(f.files())
		if now == *seen {
			return nil
		}
		*seen = now
		f.changed()
	}
}

// watchFolders adds the folder of each file, and of what it links to. A folder
// that is watched already stays so.
func (f follower) watchFolders() error {
	for _, file := range f.files() {
		if file == "" {
			continue
		}
		if err := f.add(filepath.Dir(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the folder of %s cannot be watched: %w; after a change of it, send SIGHUP", file, err)
		}
		target, err := filepath.EvalSymlinks(file)
		if err != nil || filepath.Dir(target) == filepath.Dir(file) {
			continue
		}
		if err := f.add(filepath.Dir(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the folder of %s cannot be watched: %w; after a change of it, send SIGHUP", target, err)
		}
	}
	return nil
}

// fingerprint is a digest of the names and content of files. One that cannot be
// read counts as absent.
func fingerprint(files []string) [sha256.Size]byte {
	digest := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		fmt.Fprintf(digest, "%q %t %d\n", file, err == nil, len(text))
		digest.Write(text)
	}
	return [sha256.Size]byte(digest.Sum(nil))
}
