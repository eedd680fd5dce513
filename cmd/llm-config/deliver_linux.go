package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// secretFile is a file in memory that holds a value and can be changed by
// nobody any more. It has no name that others could open it by, is gone with
// the last process that has it, and each opening of /dev/fd/N reads it from its
// beginning.
func secretFile(value string) (file *os.File, err error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("secret", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // a kernel before 6.3
		fd, err = unix.MemfdCreate("secret", flags)
	}
	if err != nil {
		return nil, failf("this system gives no file in memory: %v", err).hint("--secrets-dir DIR hands secrets on as files in a folder")
	}
	file = os.NewFile(uintptr(fd), "secret")
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := file.Chmod(0o400); err != nil {
		return nil, err
	}
	if _, err := file.WriteString(value); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return nil, err
	}
	_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return file, err
}
