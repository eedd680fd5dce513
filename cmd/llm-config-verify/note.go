package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxNote bounds a signed note, in bytes.
const maxNote = 8 << 10

// maxName bounds the names of keys and chains, in bytes.
const maxName = 255

// typeEd25519 is the signature type of C2SP signed notes that this program knows.
const typeEd25519 = 0x01

// timeForm is the form of times in checkpoints: always nine digits, always UTC.
const timeForm = "2006-01-02T15:04:05.000000000Z"

// strict refuses base64 whose unused bits are set: one text for one value.
var strict = base64.StdEncoding.Strict()

// key is a public key that the auditor trusts.
type key struct {
	name   string
	id     [4]byte
	public ed25519.PublicKey
}

// parseKey reads <name>+<hash>+<base64>, the form of C2SP signed notes.
func parseKey(text string) (key, error) {
	name, rest, _ := strings.Cut(text, "+")
	id, encoded, ok := strings.Cut(rest, "+")
	b, err := strict.DecodeString(encoded)
	switch {
	case !ok || !validName(name) || err != nil || len(b) == 0:
		return key{}, fmt.Errorf("%.80q is not a public key; it should read <name>+<8 hexadecimal digits>+<base64>", text)
	case b[0] != typeEd25519 || len(b) != 1+ed25519.PublicKeySize:
		return key{}, fmt.Errorf("key %s is not an Ed25519 key, the only kind that signs checkpoints", name)
	}
	k := key{name: name, public: b[1:]}
	sum := sha256.Sum256(append([]byte(name+"\n"), b...))
	copy(k.id[:], sum[:])
	if id != hex.EncodeToString(k.id[:]) {
		return key{}, fmt.Errorf("key %s does not fit its own hash %.8q: it was mistyped, or altered", name, id)
	}
	return k, nil
}

// validName says that a name may be that of a key; it is printed, so it must be
// printable too.
func validName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '+' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}

// position is a place in a chain: after a record, whose hash it has.
type position struct {
	sequence uint64
	hash     [sha256.Size]byte
}

// checkpoint is what the server signed: how far a chain went, and when.
type checkpoint struct {
	origin string
	at     position
	time   string
}

// errNotNote says that a text is not a signed note at all.
var errNotNote = errors.New("is not a signed note")

// openCheckpoint reads a note, and checks that it is of the chain and that one of
// keys signed it. A wrong signature in the name of one of them spoils the note,
// whoever else signed it. Together with an error comes what the note claims, for
// messages only.
func openCheckpoint(note []byte, origin string, keys []key) (checkpoint, error) {
	if len(note) > maxNote || !utf8.Valid(note) || bytes.ContainsFunc(note, func(r rune) bool { return r < ' ' && r != '\n' }) {
		return checkpoint{}, errNotNote
	}
	split := bytes.LastIndex(note, []byte("\n\n"))
	if split < 0 || note[len(note)-1] != '\n' || split+2 == len(note) {
		return checkpoint{}, fmt.Errorf("%w: it has no signature", errNotNote)
	}
	text, signatures := note[:split+1], string(note[split+2:])
	c, malformed := parseCheckpoint(string(text))
	signed := false
	for line := range strings.Lines(signatures) {
		k, signature, err := parseSignature(line, keys)
		if err != nil {
			return c, err
		}
		if k == nil {
			continue
		}
		if !ed25519.Verify(k.public, text, signature) {
			return c, fmt.Errorf("has a signature of key %s that does not fit: it was altered, or forged", k.name)
		}
		signed = true
	}
	if !signed {
		return c, errors.New("is signed by none of the keys that were given; after a rotation, give all of them")
	}
	if malformed == nil && c.origin != origin {
		return c, fmt.Errorf("is of another chain, %q", c.origin)
	}
	return c, malformed
}

// parseSignature reads a signature line; the key is nil when it is none of keys.
func parseSignature(line string, keys []key) (*key, []byte, error) {
	rest, dash := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "— ")
	name, encoded, space := strings.Cut(rest, " ")
	b, err := strict.DecodeString(encoded)
	if !dash || !space || !validName(name) || err != nil || len(b) < 5 {
		return nil, nil, fmt.Errorf("%w: a line of its signatures is none", errNotNote)
	}
	for i := range keys {
		if keys[i].name == name && bytes.Equal(keys[i].id[:], b[:4]) {
			return &keys[i], b[4:], nil
		}
	}
	return nil, nil, nil
}

// parseCheckpoint reads the text of a note that was found to be signed.
func parseCheckpoint(text string) (checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 { // the last one is empty
		return checkpoint{}, errors.New("is signed, but not the checkpoint of an audit trail")
	}
	c := checkpoint{origin: lines[0]}
	var err error
	if c.at.sequence, err = parseSequence(lines[1]); err != nil {
		return c, errors.New("has no sequence number in its second line")
	}
	b, err := strict.DecodeString(lines[2])
	if err != nil || copy(c.at.hash[:], b) != sha256.Size || len(b) != sha256.Size {
		return c, errors.New("has no hash in its third line")
	}
	c.time, _ = strings.CutPrefix(lines[3], "time ")
	if at, err := time.Parse(timeForm, c.time); err != nil || lines[3] != "time "+at.Format(timeForm) {
		return c, errors.New("has no time in its fourth line")
	}
	return c, nil
}

// maxSequence is the last integer up to which JSON numbers are exact.
const maxSequence = 1<<53 - 1

// parseSequence reads a decimal number in its only form.
func parseSequence(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > maxSequence || strconv.FormatUint(n, 10) != text {
		return 0, errors.New("not a sequence number")
	}
	return n, nil
}
