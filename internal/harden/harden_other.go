//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package harden

// Process can do nothing on this system, and says so.
func Process() Report {
	return Report{Notes: []string{"nothing keeps this system from writing the memory of the process to disk or showing it to debuggers: run the server on Linux"}}
}
