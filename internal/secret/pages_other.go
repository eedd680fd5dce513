//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package secret

// lockedPages answers nil: no pages can be locked on this system in a way that
// was tried.
func lockedPages(int) []byte { return nil }
