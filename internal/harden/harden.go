// Package harden takes from a process what would let others read its memory:
// core dumps, debuggers, and swap. It is called once, before the first key is
// read. What a system does not offer is left out and said: the server runs all
// the same.
package harden

import "strings"

// Report is what Process could do.
type Report struct {
	CoreDumpsOff bool     // a crash writes no memory to disk
	NotDumpable  bool     // other processes of the same user can neither trace this one nor read its memory
	MemoryLocked bool     // all of the process's memory stays out of swap
	Notes        []string // why not, and what that means
}

// String is one line for the log.
func (r Report) String() string {
	line := "core dumps " + word(r.CoreDumpsOff, "off", "on") +
		", process " + word(r.NotDumpable, "closed to debuggers", "open to debuggers") +
		", memory " + word(r.MemoryLocked, "locked", "not locked as a whole")
	if len(r.Notes) > 0 {
		line += " (" + strings.Join(r.Notes, "; ") + ")"
	}
	return line
}

func word(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

func (r *Report) note(text string) { r.Notes = append(r.Notes, text) }

// arenaOnly is what holds where the memory is not locked as a whole.
const arenaOnly = "secret values lie in a locked arena of their own while there is room"
