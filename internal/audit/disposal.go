package audit

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
)

// Stub stands for records that were disposed of.
type Stub struct {
	First, Last uint64
	From        [32]byte // hash of the link before First
	Hash        [32]byte // hash of link Last
}

// Disposal says that the records of a stub were disposed of on purpose. The
// server signs it, as it signs checkpoints: whoever can write to its database can
// remove records, and add one that says it was right, but cannot sign that. It
// has a line more than a checkpoint, so that neither is taken for the other.
type Disposal struct {
	Origin string // of the chain
	Stub   Stub
	Time   time.Time
}

func (d Disposal) text() string {
	return d.Origin + "\ndisposed " + strconv.FormatUint(d.Stub.First, 10) + " " + strconv.FormatUint(d.Stub.Last, 10) +
		"\n" + base64.StdEncoding.EncodeToString(d.Stub.From[:]) + "\n" + base64.StdEncoding.EncodeToString(d.Stub.Hash[:]) + "\n" + noteTime(d.Time)
}

// Sign is the disposal of the stub's records, of the chain of that origin, as a
// signed note: see Checkpoint.Sign. It refuses what OpenDisposal would not read.
func (s Stub) Sign(origin string, at time.Time, keys ...*SigningKey) ([]byte, error) {
	text := Disposal{origin, s, at}.text()
	if _, err := parseDisposal(text); err != nil {
		return nil, err
	}
	return signNote(text, keys)
}

// OpenDisposal reads a signed note and checks that one of the public keys signed
// it: see OpenCheckpoint.
func OpenDisposal(signed []byte, public ...string) (Disposal, error) {
	keys, err := verifiers(public)
	if err != nil {
		return Disposal{}, err
	}
	return openDisposal(signed, keys)
}

func openDisposal(signed []byte, keys note.Verifiers) (Disposal, error) {
	text, err := openNote(signed, keys)
	if err != nil {
		return Disposal{}, err
	}
	return parseDisposal(text)
}

// parseDisposal reads the text of a disposal: it is one only if it is what text
// would write, to the byte.
func parseDisposal(text string) (Disposal, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 {
		return Disposal{}, fmt.Errorf("a disposal has 5 lines of text, this has %d", len(lines)-1)
	}
	d := Disposal{Origin: lines[0]}
	if err := checkOrigin(d.Origin); err != nil {
		return Disposal{}, err
	}
	numbers, _ := strings.CutPrefix(lines[1], "disposed ")
	first, last, _ := strings.Cut(numbers, " ")
	var errs [5]error
	d.Stub.First, errs[0] = strconv.ParseUint(first, 10, 64)
	d.Stub.Last, errs[1] = strconv.ParseUint(last, 10, 64)
	d.Stub.From, errs[2] = noteHash(lines[2])
	d.Stub.Hash, errs[3] = noteHash(lines[3])
	d.Time, errs[4] = time.Parse("time "+timeForm, lines[4])
	if err := errors.Join(errs[:]...); err != nil {
		return Disposal{}, fmt.Errorf("the disposal cannot be read: %w", err)
	}
	if d.Stub.First < 1 || d.Stub.Last < d.Stub.First || d.Stub.Last > maxSequence || d.text() != text {
		return Disposal{}, errors.New("the disposal is not written as disposals are")
	}
	return d, nil
}

// DisposeEvent is the event of the record that attests a Stub; its details are
// those of DisposeDetails.
const DisposeEvent = "audit.dispose"

// DisposeDetails are the details of the record that attests a Stub: first, last,
// from, hash, and note, as Sign made it.
func (s Stub) DisposeDetails(note []byte) map[string]string {
	return map[string]string{
		"first": strconv.FormatUint(s.First, 10), "last": strconv.FormatUint(s.Last, 10),
		"from": hex.EncodeToString(s.From[:]), "hash": hex.EncodeToString(s.Hash[:]),
		"note": string(note),
	}
}

// maxAttesting bounds a record that attests a stub, in bytes.
const maxAttesting = 64 << 10

// attested answers the details of a record that may attest a stub; nil of any
// other. It must be written as Canonical writes it, to the byte, with event
// audit.dispose, without resources and revision, in at most 64 KiB of printable
// ASCII and em dashes, and without escapes of the form \u.
func attested(record []byte) map[string]string {
	text := string(record)
	if len(text) > maxAttesting || !strings.Contains(text, `"event":"`+DisposeEvent+`"`) || strings.Contains(text, `\u`) ||
		strings.ContainsFunc(text, func(r rune) bool { return r != '—' && (r > unicode.MaxASCII || !unicode.IsPrint(r)) }) {
		return nil
	}
	r, err := ParseRecord(record)
	if err != nil || r.Event != DisposeEvent || r.Resources != nil || r.Revision != 0 || string(r.Canonical()) != text {
		return nil
	}
	return r.Details
}
