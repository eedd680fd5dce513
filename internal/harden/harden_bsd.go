//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package harden

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Process hardens this process as far as this system was tried: core dumps.
func Process() Report {
	var r Report
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		r.note(fmt.Sprintf("core dumps cannot be turned off: %v", err))
	} else {
		r.CoreDumpsOff = true
	}
	r.note("debuggers of the same user are not kept out on this system")
	r.note(arenaOnly)
	return r
}
