package harden

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Process hardens this process.
func Process() Report {
	var r Report
	r.coreDumpsOff()
	r.notDumpable()
	r.lockMemory()
	return r
}

func (r *Report) coreDumpsOff() {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		r.note(fmt.Sprintf("core dumps cannot be turned off: %v", err))
		return
	}
	r.CoreDumpsOff = true
}

// notDumpable also turns off core dumps that are piped to a program, to which
// the limit does not apply.
func (r *Report) notDumpable() {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		r.note(fmt.Sprintf("the process cannot be closed to debuggers: %v", err))
		return
	}
	r.NotDumpable = true
}

// lockMemory keeps all pages out of swap once they are touched, where nothing
// limits how many those may be. Under a limit the process would die of the
// first allocation above it, so there it is left alone.
func (r *Report) lockMemory() {
	if !mayLockAll() {
		r.note("the memory that may be locked is limited, so it is not locked as a whole; " + arenaOnly + "; to lock all, grant CAP_IPC_LOCK or LimitMEMLOCK=infinity, or turn swap off")
		return
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		r.note(fmt.Sprintf("the memory cannot be locked as a whole: %v; %s", err, arenaOnly))
		return
	}
	r.MemoryLocked = true
}

// mayLockAll says whether no limit applies to locked memory: none is set, or
// the process has the capability that overrides it.
func mayLockAll() bool {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil && limit.Cur == unix.RLIM_INFINITY {
		return true
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // of version 3
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[unix.CAP_IPC_LOCK/32].Effective&(1<<(unix.CAP_IPC_LOCK%32)) != 0
}
