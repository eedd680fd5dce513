package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The verdicts of a report.
const (
	holds      = "holds"
	isBroken   = "broken"
	unreadable = "unreadable"
)

// report is what was found; its JSON form is that of -json.
type report struct {
	Verdict     string           `json:"verdict"`
	Error       string           `json:"error,omitempty"` // why something is unreadable
	Break       *broken          `json:"break,omitempty"`
	Chain       string           `json:"chain,omitempty"`
	Exports     []exportReport   `json:"exports,omitempty"`
	Checkpoints checkpointReport `json:"checkpoints"`
	Signed      *signedReport    `json:"signed,omitempty"` // the newest checkpoint that agrees
	Unsigned    uint64           `json:"unsigned"`         // records behind it
}

type exportReport struct {
	File     string `json:"file"`
	First    uint64 `json:"first"` // above Last when there is no record
	Last     uint64 `json:"last"`
	Hash     string `json:"hash"` // of record Last
	Records  uint64 `json:"records"`
	Disposed uint64 `json:"disposed"`
}

type checkpointReport struct {
	Agree     int `json:"agree"`
	Unchecked int `json:"unchecked"` // signed, but of records that are not here, or stand too far before them
	Ignored   int `json:"ignored"`   // not looked at for want of a key
}

type signedReport struct {
	Sequence uint64 `json:"sequence"`
	Time     string `json:"time"`
}

// report tells how far the verifier came.
func (v *verifier) report() report {
	r := report{Checkpoints: checkpointReport{v.checkpoints, v.unchecked, v.ignored}}
	last := uint64(0)
	for _, f := range v.exports {
		r.Chain = f.origin
		r.Exports = append(r.Exports, exportReport{f.name, f.from.sequence + 1, f.head.sequence, hex.EncodeToString(f.head.hash[:]), f.records, f.disposed})
		last = max(last, f.head.sequence)
		r.Unsigned = max(r.Unsigned, f.head.sequence-f.from.sequence)
	}
	for sequence, c := range v.claims {
		if c.held && (r.Signed == nil || sequence > r.Signed.Sequence) {
			r.Signed = &signedReport{sequence, c.time}
			r.Unsigned = last - sequence
		}
	}
	return r
}

// print writes the report and what ended it, and returns the code to exit with.
func (r *report) print(asJSON bool, err error, stdout, stderr io.Writer) int {
	code := exitHolds
	r.Verdict = holds
	switch {
	case errors.As(err, &r.Break):
		r.Verdict, code = isBroken, exitBroken
	case err != nil:
		r.Verdict, r.Error, code = unreadable, err.Error(), exitUnreadable
		fmt.Fprintf(stderr, "llm-config-verify: %v\n", err)
	}
	var out bytes.Buffer
	if asJSON {
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(r)
	} else {
		err = nil
		r.text(&out)
	}
	if err == nil {
		_, err = stdout.Write(out.Bytes())
	}
	if err != nil { // a verdict that nobody got is none
		fmt.Fprintf(stderr, "llm-config-verify: the report could not be written: %v\n", err)
		return exitUnreadable
	}
	return code
}

// text writes the report for people. What is unreadable has no report.
func (r *report) text(w io.Writer) {
	switch r.Verdict {
	case unreadable:
		return
	case isBroken:
		at := r.Break.File
		if r.Break.Line > 0 {
			at += fmt.Sprintf(", line %d", r.Break.Line)
		}
		fmt.Fprintf(w, "BROKEN: chain %s, record %d: %s (%s)\n", r.Chain, r.Break.Sequence, r.Break.Reason, at)
		fmt.Fprintln(w, "What was checked until then:")
	default:
		fmt.Fprintf(w, "HOLDS: chain %s\n", r.Chain)
	}
	for _, e := range r.Exports {
		fmt.Fprintf(w, "  %s: ", e.File)
		if e.First > e.Last {
			fmt.Fprintf(w, "no record behind record %d\n", e.Last)
			continue
		}
		fmt.Fprintf(w, "records %d to %d", e.First, e.Last)
		if e.Disposed > 0 {
			fmt.Fprintf(w, ", those up to %d disposed of", e.Disposed)
		}
		fmt.Fprintf(w, "\n    hash of record %d: %s\n", e.Last, e.Hash)
	}
	fmt.Fprintf(w, "  checkpoints that agree: %d\n", r.Checkpoints.Agree)
	if n := r.Checkpoints.Unchecked; n > 0 {
		fmt.Fprintf(w, "  checkpoints not checked, as their records are not here, or stand more than %d records before them: %d\n", recentHashes, n)
	}
	if n := r.Checkpoints.Ignored; n > 0 {
		fmt.Fprintf(w, "  checkpoints not checked, as no key was given: %d\n", n)
	}
	switch {
	case r.Signed == nil:
		fmt.Fprintln(w, "  signed: nothing. Nothing proves that these records were not written anew as a whole:")
		fmt.Fprintln(w, "    give the server's public key with -key, and an export or -checkpoint that it signed")
	case r.Unsigned == 0:
		fmt.Fprintf(w, "  signed: all, up to record %d on %s\n", r.Signed.Sequence, r.Signed.Time)
	default:
		fmt.Fprintf(w, "  signed: up to record %d on %s\n", r.Signed.Sequence, r.Signed.Time)
		fmt.Fprintf(w, "  not signed yet: %d behind it; nothing proves that those were not written anew\n", r.Unsigned)
	}
}
