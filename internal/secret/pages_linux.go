package secret

import "golang.org/x/sys/unix"

// lockedPages answers pages that are neither swapped out nor written to core
// dumps, or nil.
func lockedPages(size int) []byte {
	pages, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	if unix.Mlock(pages) != nil {
		_ = unix.Munmap(pages)
		return nil
	}
	_ = unix.Madvise(pages, unix.MADV_DONTDUMP) // kernels built without core dumps refuse it
	return pages
}
