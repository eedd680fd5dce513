//go:build !goexperiment.runtimesecret

package secret

// Erase runs f. A toolchain with the experiment runtimesecret also clears the
// registers, the stack and the heap that f used; this one does not.
func Erase(f func()) { f() }
