// Command llm-config-verify checks an export of an audit trail of
// LLM-Config-Manager. It is for auditors, who trust neither the server nor those
// who run it: it needs the export and the server's public key, uses Go's standard
// library alone, shares no code with the server, and is short enough to be read
// before it is believed. `go build *.go` in this folder is all it takes to build it.
// What it checks is written down here in full.
//
// # Chain
//
// Each tenant has a chain of audit records, and the server has one. A record has
// a sequence number (1, 2, 3 …) and a hash:
//
//	SHA-256("llm-config audit link 1" ‖ 0x00 ‖ hash before ‖ sequence ‖ record)
//
// where the hash before is that of the record before it (32 zero bytes for the
// first), the sequence is 8 bytes, big-endian, and the record is its text as
// stored, in the JSON form of RFC 8785. So whoever edits, removes, inserts or
// moves a record would have to write every hash after it anew.
//
// A chain's name, its origin, is the name of the server's key, a slash, and
// "server" or "tenants/" with the tenant's id.
//
// # Checkpoint
//
// Hashes can be written anew; a signature cannot. At intervals the server signs
// how far a chain went, as a signed note (https://c2sp.org/signed-note, with
// Ed25519). Its text is four lines:
//
//	<origin>
//	<sequence>
//	<base64 of the hash of that record>
//	time <RFC 3339, with nanoseconds, in UTC>
//
// then come an empty line and a line for each signature: an em dash, a space, the
// key's name, a space, base64 of 4 bytes that tell keys apart and of the 64 bytes
// of the signature of the text. A public key is written <name>+<8 hexadecimal
// digits>+<base64 of 0x01 and 32 bytes>, the digits being the first 4 bytes of
// SHA-256(name ‖ newline ‖ 0x01 ‖ key). After the key was rotated, a checkpoint
// may bear a signature of the old key as well as of the new one. This looks like
// the checkpoint of a transparency log (c2sp.org/tlog-checkpoint), but the hash
// is the end of a chain of hashes, not the root of a tree.
//
// # Disposal
//
// Records whose time of retention is over are disposed of, the oldest first. The
// server signs that too, as a note of five lines, which nobody can take for a
// checkpoint:
//
//	<origin>
//	disposed <first> <last>
//	<base64 of the hash before record first>
//	<base64 of the hash of record last>
//	time <as above>
//
// # Export
//
// An export is UTF-8 text of lines that end in a newline, each of them JSON with
// its members sorted and no spaces, of these forms:
//
//	{"chain":"<origin>","format":"llm-config-audit/1","from":{"hash":"<hex>","sequence":N}}
//	{"disposed":{"first":F,"from":"<hex>","hash":"<hex>","last":L}}
//	{"hash":"<hex>","record":{…},"sequence":N}
//	{"checkpoint":"<signed note>"}
//	{"end":{"hash":"<hex>","sequence":N}}
//
// The first line names the chain, and the record behind which the export begins.
// The last one says where it ends; an export without it was cut off. Between them
// are records in order, and checkpoints, each behind its record. A "disposed" line
// stands for records F to L: such lines stand before all records and cover the
// chain from its beginning, and each is attested by a later record in the same
// export. An export with "filtered":true in its first line leaves records out on
// purpose, and cannot be checked.
//
// # Rules
//
// What could be read in two ways is not read at all. The server's own verifier
// keeps the same rules:
//
//   - A name is llm-config- and 16 hexadecimal digits in lower case; an origin is a
//     name, and /server or /tenants/ with 32 of them. All base64 is padded, and
//     has no unused bit set. Numbers have no zero in front, and end at 2^53-1.
//   - A line has at most 4 MiB. A note has at most 8192 bytes: printable ASCII
//     without " and \, newlines, and the em dashes of its signatures. So the
//     newline is all that is ever escaped in a "checkpoint" line.
//   - A note has 1 to 16 signature lines, all of the form above whoever signed, no
//     two of one key. One known key must have signed; a wrong signature of any known
//     key spoils the note. Signatures of unknown keys are passed over.
//   - A checkpoint in an export that does not keep this, or is of another chain,
//     is a break at the record it stands behind; one that is given with -checkpoint
//     is one at the record the export begins behind, or, when it is no note at all,
//     nothing that can be read.
//   - A checkpoint is held against its record if that is one of the last 65,536, or
//     still to come when it was given with -checkpoint. Besides, two of one record
//     that differ are a break wherever they stand: of every record for which there
//     is one it is remembered what was signed. An export has at most 1,000,000.
//   - A record is one JSON object, as far as brackets and quotes tell.
//   - A record attests a disposal when its event is "audit.dispose", its details
//     first, last (decimal), from and hash (hexadecimal) are those of the line, and
//     its detail note is the signed note of that disposal. It must be written as
//     the server writes records, to the byte: schema 1, the members sorted, none
//     unknown, repeated or empty, no resources and no revision; at most 64 KiB of
//     printable ASCII and em dashes, no escape that begins with \u. At most 65,536
//     disposed lines can wait for theirs.
//   - Without any key, notes are not looked at: checkpoints prove nothing then, and
//     a disposal is matched by first, last, from and hash alone. The report says so.
//   - Exports that are given together must be of one chain and agree wherever both
//     have a record, and each must end at a record that another has which goes on,
//     or ends last. So what is signed in one of them vouches for all.
//   - The first fault counts, in the order of the lines; at the end of an export
//     come disposals that nothing attests, then a checkpoint of a record beyond it.
//
// # What it proves
//
// That the chain holds says: no record between the export's first and its newest
// valid checkpoint was edited, removed, inserted or moved since that checkpoint
// was signed, and those that are gone were disposed of by the server, unless the
// server's private key was stolen. That holds whoever kept the records and whoever
// made the export.
//
// # What it does not prove
//
//   - Records after the newest checkpoint are protected by nothing but their
//     hashes: whoever can write to the database while the server is stopped can
//     write them and their hashes anew, or cut them off. Ask for a checkpoint that
//     the server sent to a place it cannot rewrite, and give it with -checkpoint:
//     an export that ends before it was cut off.
//   - Without a checkpoint the whole chain may have been written anew.
//   - Of an export that does not begin with the chain, nothing is said of what was
//     before: its report begins with HOLDS from that record.
//   - The times in records and checkpoints are those of the server's clock.
//   - That an event was recorded at all, and that its record was true when it was
//     written, rests on the server.
//   - The public key must come from somewhere else than the export: a liar would
//     hand over a key of his own with it.
//   - Two auditors who were shown different chains find out by comparing: two
//     signed checkpoints of one record with different hashes prove the fork, and so
//     do two exports given together.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// The codes to exit with.
const (
	exitHolds      = 0
	exitUnreadable = 1 // wrong use, or something that cannot be read
	exitBroken     = 2
)

// The bounds of what is given on the command line.
const (
	maxExports         = 16
	maxKeys            = 64
	maxKeyFile         = 64 << 10 // bytes
	maxCheckpointFiles = 10_000
)

const help = `llm-config-verify checks that no record of an audit trail was edited, removed,
inserted or moved. It needs an export and the server's public keys, and trusts
nobody who kept them.

Usage:
  llm-config-verify [flags] EXPORT…

EXPORT is a file of NDJSON as "llm-config audit export" writes it, or - for
standard input. Several exports must be of one chain, and overlap or go on where
another ends; they are compared.

Flags:
  -key KEY           a public key, <name>+<hash>+<base64>, or @FILE with one a
                     line; repeat it for every key that ever signed
  -checkpoint FILE   a signed checkpoint that was kept elsewhere, which the export
                     must reach and agree with; may be repeated

Example:
  llm-config-verify -key @audit.keys -checkpoint kept/2026-06-30.note audit.ndjson
  zstd -dc 00000000000000000001-*.ndjson.zst | llm-config-verify -key @audit.keys -

Exit codes:
  0  the chain holds
  2  it is broken; the first line names the chain, the first bad record and why
  1  something cannot be read, or the command line is wrong
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// order is what the command line asks for.
type order struct {
	keys        []key
	checkpoints []string // files
	exports     []string // files, or -
}

// run runs one command line and returns the code to exit with.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help)
		return exitHolds
	}
	var verdict string
	var found *broken
	if err == nil {
		verdict, err = o.verify(stdin)
	}
	if errors.As(err, &found) {
		err = nil
	}
	if err == nil { // a verdict that nobody got is none
		if _, err = io.WriteString(stdout, verdict); err != nil {
			err = fmt.Errorf("the report could not be written: %w", err)
		}
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "llm-config-verify: %v\n", err)
		return exitUnreadable
	case found != nil:
		return exitBroken
	}
	return exitHolds
}

func parse(args []string) (order, error) {
	var o order
	flags := flag.NewFlagSet("llm-config-verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("key", "", o.addKey)
	flags.Func("checkpoint", "", func(name string) error {
		o.checkpoints = append(o.checkpoints, name)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("%w; -h shows how it is used", err)
	}
	o.exports = flags.Args()
	switch {
	case len(o.exports) == 0:
		return o, errors.New("no export was named; give a file, or - for standard input (-h shows an example)")
	case len(o.exports) > maxExports:
		return o, fmt.Errorf("%d exports were named; at most %d can be compared at once", len(o.exports), maxExports)
	case len(o.checkpoints) > maxCheckpointFiles:
		return o, fmt.Errorf("%d checkpoints were named; the limit is %d", len(o.checkpoints), maxCheckpointFiles)
	case len(o.checkpoints) > 0 && len(o.keys) == 0:
		return o, errors.New("a checkpoint is worth nothing without the key that signed it; give the server's public key with -key")
	}
	stdin := 0
	for _, name := range o.exports {
		if name == "-" {
			stdin++
		} else if strings.HasPrefix(name, "-") {
			return o, fmt.Errorf("%s stands behind an export; flags come first", name)
		}
	}
	if stdin > 1 {
		return o, errors.New("standard input was named twice; it can be read once")
	}
	return o, nil
}

// addKey takes a key, or with @ the name of a file of keys, one a line.
func (o *order) addKey(text string) error {
	lines := []string{text}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		b, err := readFile(name, maxKeyFile)
		if err != nil {
			return err
		}
		lines = strings.Split(string(b), "\n")
	}
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return err
		}
		if len(o.keys) == maxKeys {
			return fmt.Errorf("more than %d keys", maxKeys)
		}
		o.keys = append(o.keys, k)
	}
	return nil
}

// verify opens all that was named and checks it. It answers what is to be told;
// a break is both that and the error.
func (o *order) verify(stdin io.Reader) (string, error) {
	v := newVerifier(o.keys)
	for _, name := range o.exports {
		in := stdin
		if name == "-" {
			name = "standard input"
		} else {
			file, err := os.Open(name)
			if err != nil {
				return "", err
			}
			defer file.Close()
			in = file
		}
		if err := v.add(name, in); err != nil {
			return "", err
		}
	}
	var elsewhere []kept
	for _, name := range o.checkpoints {
		b, err := readFile(name, maxNote)
		if err != nil {
			return "", err
		}
		n, err := parseNote(b)
		if err != nil {
			return "", fmt.Errorf("%s %w", name, err)
		}
		elsewhere = append(elsewhere, kept{name, n})
	}
	err := v.run(elsewhere)
	var found *broken
	errors.As(err, &found)
	return v.report(found), err
}

// readFile reads a small file, which may be anything that can be opened.
func readFile(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes, which is the limit of what it should hold", name, limit)
	}
	return b.Bytes(), nil
}
