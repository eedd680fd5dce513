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
)

const (
	maxNote       = 8 << 10   // bytes
	maxSignatures = 16        // lines of one note
	maxSequence   = 1<<53 - 1 // the last integer up to which JSON numbers are exact

	// typeEd25519 is the signature type of C2SP signed notes that this program knows.
	typeEd25519 = 0x01
	// timeForm always has nine digits, and is always UTC.
	timeForm = "2006-01-02T15:04:05.000000000Z"
)

// strict refuses base64 whose unused bits are set: one text for one value.
var strict = base64.StdEncoding.Strict()

// isName says that a text is the name of a server, and of its keys.
func isName(text string) bool {
	digits, ok := strings.CutPrefix(text, "llm-config-")
	return ok && isHex(digits, 16)
}

// isOrigin says that a text is the name of a chain.
func isOrigin(text string) bool {
	name, chain, _ := strings.Cut(text, "/")
	id, tenant := strings.CutPrefix(chain, "tenants/")
	return isName(name) && (chain == "server" || tenant && isHex(id, 32))
}

func isHex(text string, digits int) bool {
	return len(text) == digits && strings.Trim(text, "0123456789abcdef") == ""
}

// isTime says that a text is a time in its only form.
func isTime(text string) bool {
	at, err := time.Parse(timeForm, text)
	return err == nil && at.Format(timeForm) == text
}

// key is a public key that the auditor trusts.
type key struct {
	id     string // the name, and the 4 bytes that tell keys of one name apart
	public ed25519.PublicKey
}

// parseKey reads <name>+<hash>+<base64>, the form of C2SP signed notes.
func parseKey(text string) (key, error) {
	name, rest, _ := strings.Cut(text, "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	b, err := strict.DecodeString(encoded)
	switch {
	case !isName(name) || err != nil || len(b) == 0:
		return key{}, fmt.Errorf("%.80q is not a public key; it should read llm-config-<16 digits>+<8 hexadecimal digits>+<base64>", text)
	case b[0] != typeEd25519 || len(b) != 1+ed25519.PublicKeySize:
		return key{}, fmt.Errorf("key %s is not an Ed25519 key, the only kind that signs checkpoints", name)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), b...))
	if hash != hex.EncodeToString(sum[:4]) {
		return key{}, fmt.Errorf("key %s does not fit its own hash %.8q: it was mistyped, or altered", name, hash)
	}
	return key{name + string(sum[:4]), b[1:]}, nil
}

// note is a signed text.
type note struct {
	text       string
	signatures map[string][]byte // by the id of the key
}

// hasNoteCharacters says that b may be a note as far as its bytes tell.
func hasNoteCharacters(b []byte) bool {
	return len(b) <= maxNote && !bytes.ContainsFunc(b, func(r rune) bool {
		return r != '\n' && r != '—' && (r < ' ' || r > '~' || r == '"' || r == '\\')
	})
}

// parseNote reads a note, of which nothing is believed yet.
func parseNote(b []byte) (note, error) {
	n := note{signatures: map[string][]byte{}}
	split := bytes.LastIndex(b, []byte("\n\n"))
	if !hasNoteCharacters(b) || split < 0 || split+2 == len(b) || b[len(b)-1] != '\n' {
		return n, errors.New("is not a signed note")
	}
	n.text = string(b[:split+1])
	for line := range strings.Lines(string(b[split+2:])) {
		rest, dash := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "— ")
		name, encoded, _ := strings.Cut(rest, " ")
		b, err := strict.DecodeString(encoded)
		if !dash || !isName(name) || err != nil || len(b) != 4+ed25519.SignatureSize {
			return n, errors.New("is not a signed note: a line of its signatures is none")
		}
		id := name + string(b[:4])
		if n.signatures[id] != nil || len(n.signatures) == maxSignatures {
			return n, fmt.Errorf("is not a signed note: it has two signatures of one key, or more than %d", maxSignatures)
		}
		n.signatures[id] = b[4:]
	}
	return n, nil
}

// verify checks that one of keys signed the note. A wrong signature in the name of
// one of them spoils it, whoever else signed it.
func (n note) verify(keys []key) error {
	signed := false
	for _, k := range keys {
		signature := n.signatures[k.id]
		if signature == nil {
			continue
		}
		if !ed25519.Verify(k.public, []byte(n.text), signature) {
			return errors.New("has a signature that does not fit: it was altered, or forged")
		}
		signed = true
	}
	if !signed {
		return errors.New("is signed by none of the keys that were given; after a rotation, give all of them")
	}
	return nil
}

// position is a place in a chain: after a record, whose hash it has.
type position struct {
	sequence uint64
	hash     [sha256.Size]byte
}

// checkpoint is what the server signed: how far a chain went, and when.
type checkpoint struct {
	at   position
	time string
}

// openCheckpoint reads the checkpoint of a chain that one of keys signed.
func openCheckpoint(n note, origin string, keys []key) (c checkpoint, err error) {
	if err := n.verify(keys); err != nil {
		return c, err
	}
	lines := strings.Split(n.text, "\n")
	if len(lines) != 5 { // the last one is empty
		return c, errors.New("is signed, but not the checkpoint of an audit trail")
	}
	if lines[0] != origin {
		return c, fmt.Errorf("is of another chain, %.80q", lines[0])
	}
	c.at.sequence, err = strconv.ParseUint(lines[1], 10, 64)
	if err != nil || c.at.sequence > maxSequence || strconv.FormatUint(c.at.sequence, 10) != lines[1] {
		return c, errors.New("has no sequence number in its second line")
	}
	b, err := strict.DecodeString(lines[2])
	if err != nil || len(b) != sha256.Size {
		return c, errors.New("has no hash in its third line")
	}
	copy(c.at.hash[:], b)
	var ok bool
	if c.time, ok = strings.CutPrefix(lines[3], "time "); !ok || !isTime(c.time) {
		return c, errors.New("has no time in its fourth line")
	}
	c.time = strings.Clone(c.time) // else all of the note would be kept
	return c, nil
}

// isDisposal says that the text of a note is of the disposal of records.
func isDisposal(text, origin string, s stub) bool {
	at, ok := strings.CutPrefix(text, fmt.Sprintf("%s\ndisposed %d %d\n%s\n%s\ntime ", origin, s.first, s.sequence,
		strict.EncodeToString(s.from[:]), strict.EncodeToString(s.hash[:])))
	at, newline := strings.CutSuffix(at, "\n")
	return ok && newline && isTime(at)
}
