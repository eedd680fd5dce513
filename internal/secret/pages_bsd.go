//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package secret

import "golang.org/x/sys/unix"

// lockedPages answers pages that are not swapped out, or nil. What keeps them
// out of core dumps here is that the process writes none.
func lockedPages(size int) []byte {
	pages, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	if unix.Mlock(pages) != nil {
		_ = unix.Munmap(pages)
		return nil
	}
	return pages
}
