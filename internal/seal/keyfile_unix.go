//go:build unix

package seal

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner that another had, so that a key added by an
// administrator is still one for the server.
func keepOwner(path string, before fs.FileInfo) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	want, ok := before.Sys().(*syscall.Stat_t)
	have, also := info.Sys().(*syscall.Stat_t)
	if !ok || !also || want.Uid == have.Uid && want.Gid == have.Gid {
		return nil
	}
	return os.Chown(path, int(want.Uid), int(want.Gid))
}
