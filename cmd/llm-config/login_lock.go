//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const lockEvery = 50 * time.Millisecond

// lockFile waits until no other process holds a lock, and takes it. It ends with
// the process, whatever becomes of it; the file stays.
func lockFile(ctx context.Context, a *app, name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = a.pause(ctx, lockEvery)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
}
