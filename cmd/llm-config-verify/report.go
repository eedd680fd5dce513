package main

import (
	"fmt"
	"io"
	"strings"
)

// report writes what was found: that the chain holds, or where it breaks.
func (v *verifier) report(found *broken) string {
	var w strings.Builder
	last, begins := uint64(0), v.exports[0].from.sequence
	for _, f := range v.exports {
		last, begins = max(last, f.head.sequence), min(begins, f.from.sequence)
	}
	switch {
	case found != nil:
		at := found.File
		if found.Line > 0 {
			at += fmt.Sprintf(", line %d", found.Line)
		}
		fmt.Fprintf(&w, "BROKEN: chain %s, record %d: %s (%s)\nWhat was checked until then:\n", v.origin(), found.Sequence, found.Reason, at)
	case begins > 0:
		fmt.Fprintf(&w, "HOLDS from record %d: chain %s\n", begins+1, v.origin())
	default:
		fmt.Fprintf(&w, "HOLDS: chain %s\n", v.origin())
	}
	for _, f := range v.exports {
		if f.head.sequence == f.from.sequence {
			fmt.Fprintf(&w, "  %s: no record behind record %d\n", f.name, f.head.sequence)
			continue
		}
		fmt.Fprintf(&w, "  %s: records %d to %d", f.name, f.from.sequence+1, f.head.sequence)
		if f.disposed > 0 {
			fmt.Fprintf(&w, ", those up to %d disposed of", f.disposed)
		}
		fmt.Fprintf(&w, "\n    hash of record %d: %x\n", f.head.sequence, f.head.hash)
		if f.disposed > 0 && len(v.keys) == 0 {
			fmt.Fprintln(&w, "    that they were disposed of on purpose was not checked, as no key was given")
		}
	}
	v.reportSigned(&w, last, found == nil)
	return w.String()
}

func (v *verifier) reportSigned(w io.Writer, last uint64, finished bool) {
	agree, unchecked, newest := 0, 0, uint64(0)
	for sequence, c := range v.claims {
		if c.held {
			agree, newest = agree+1, max(newest, sequence)
		} else if sequence <= last {
			unchecked++
		}
	}
	fmt.Fprintf(w, "  checkpoints that agree: %d\n", agree)
	if unchecked > 0 && finished {
		fmt.Fprintf(w, "  checkpoints not checked, as their records are not here, or stand %d records or more before them: %d\n", recentHashes, unchecked)
	}
	if v.ignored > 0 {
		fmt.Fprintf(w, "  checkpoints not checked, as no key was given: %d\n", v.ignored)
	}
	switch {
	case agree == 0:
		fmt.Fprintln(w, "  signed: nothing. Nothing proves that these records were not written anew as a whole:")
		if len(v.keys) == 0 {
			fmt.Fprintln(w, "    give the server's public key with -key, and an export or -checkpoint that it signed")
		} else if finished {
			fmt.Fprintln(w, "    no checkpoint is here that could be held against them, and a segment of the archive has none;")
			fmt.Fprintln(w, "    give one that was kept, with -checkpoint, or the server's own export of these records")
		}
	case newest == last:
		fmt.Fprintf(w, "  signed: all, up to record %d on %s\n", newest, v.claims[newest].time)
	default:
		fmt.Fprintf(w, "  signed: up to record %d on %s\n", newest, v.claims[newest].time)
		fmt.Fprintf(w, "  not signed yet: %d behind it; nothing proves that those were not written anew\n", last-newest)
	}
}
