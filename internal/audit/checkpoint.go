package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Checkpoint says where a chain stood at a time. It is written as the text of a
// C2SP signed note (https://c2sp.org/signed-note), laid out like a C2SP
// tlog-checkpoint; but the hash is the head of a hash chain, no Merkle root.
type Checkpoint struct {
	Origin string // of the chain; see Origin
	Head   Head
	Time   time.Time
}

// Origin names a chain to the world: name is that of the installation's key.
func Origin(name string, chain config.TenantID) string {
	if chain == (config.TenantID{}) {
		return name + "/server"
	}
	return name + "/tenants/" + chain.String()
}

// maxOrigin bounds an origin, and the name of a key, in bytes.
const maxOrigin = 255

// checkOrigin holds origins and names of keys to characters that need no escape
// in JSON, in a note or in a path, so that each is written in one way only.
func checkOrigin(what, origin string) error {
	outside := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._/", r)
	}
	if origin == "" || len(origin) > maxOrigin || strings.ContainsFunc(origin, outside) {
		return fmt.Errorf("%q is no %s: that is 1 to %d letters, digits and -._/", shorten(origin), what, maxOrigin)
	}
	return nil
}

// shorten keeps what an error quotes readable.
func shorten(text string) string {
	if len(text) > 80 {
		return text[:80] + "…"
	}
	return text
}

// SigningKey signs checkpoints: Ed25519, as C2SP signed notes have it.
type SigningKey struct {
	signer note.Signer
	public string
}

// NewSigningKey is the key of a seed (RFC 8032) under a name. Versions of a key
// have the same name and different seeds.
func NewSigningKey(name string, seed [32]byte) (*SigningKey, error) {
	if err := checkOrigin("name of a key", name); err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(seed[:])
	public, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	// The library takes private keys as text: the hash of the public half, then
	// the algorithm (1) and the seed.
	hash := strings.Split(public, "+")[1]
	encoded := base64.StdEncoding.EncodeToString(append([]byte{1}, seed[:]...))
	signer, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + encoded)
	if err != nil {
		return nil, err
	}
	return &SigningKey{signer, public}, nil
}

// Public is the key's public half as a verifier key of signed notes:
// <name>+<hash>+<base64>.
func (k *SigningKey) Public() string { return k.public }

// text is what is signed.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Head.Sequence, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Head.Hash[:]) +
		"\ntime " + c.Time.UTC().Format(timeForm) + "\n"
}

// Sign is the checkpoint as a signed note, with a signature of each key. It
// refuses an origin, a sequence number or a time that OpenCheckpoint would not
// read, and so many keys that the note is longer than MaxNote.
func (c Checkpoint) Sign(keys ...*SigningKey) ([]byte, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to sign a checkpoint with")
	}
	if _, err := parseCheckpoint(c.text()); err != nil {
		return nil, err
	}
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k.signer)
	}
	signed, err := note.Sign(&note.Note{Text: c.text()}, signers...)
	if err == nil && len(signed) > MaxNote {
		err = fmt.Errorf("a checkpoint signed by %d keys has %d bytes, and at most %d are allowed: sign with fewer", len(keys), len(signed), MaxNote)
	}
	if err != nil {
		return nil, err
	}
	return signed, nil
}

// MaxNote bounds a signed note in bytes.
const MaxNote = 8 << 10

// OpenCheckpoint reads a signed note and checks that one of the public keys
// signed it. Several keys may have one name, as versions of a key do. Signatures
// of other keys are passed over; a wrong one of a key that was given is refused
// even when another is right.
func OpenCheckpoint(signed []byte, public ...string) (Checkpoint, error) {
	keys, err := verifiers(public)
	if err != nil {
		return Checkpoint{}, err
	}
	return openCheckpoint(signed, keys)
}

// CheckPublic refuses what is no public key of checkpoints.
func CheckPublic(key string) error {
	_, err := verifiers([]string{key})
	return err
}

func verifiers(public []string) (note.Verifiers, error) {
	var list []note.Verifier
	for i, key := range public {
		if slices.Contains(public[:i], key) {
			continue // the library takes one that is given twice for two that cannot be told apart
		}
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("%q is no public key of checkpoints (%w): give it as the server prints it, NAME+HASH+KEY", shorten(key), err)
		}
		list = append(list, v)
	}
	return note.VerifierList(list...), nil
}

func openCheckpoint(signed []byte, keys note.Verifiers) (Checkpoint, error) {
	if len(signed) > MaxNote {
		return Checkpoint{}, fmt.Errorf("a checkpoint of %d bytes: at most %d are allowed", len(signed), MaxNote)
	}
	opened, err := note.Open(signed, keys)
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		var names []string
		for _, s := range unverified.Note.UnverifiedSigs {
			names = append(names, fmt.Sprintf("%s+%08x", shorten(s.Name), s.Hash))
		}
		return Checkpoint{}, fmt.Errorf("no known key signed the checkpoint, but %s did", strings.Join(names[:min(len(names), 4)], ", "))
	case errors.As(err, &invalid):
		return Checkpoint{}, fmt.Errorf("the signature of key %s+%08x is wrong: the checkpoint was edited or forged", invalid.Name, invalid.Hash)
	case err != nil:
		return Checkpoint{}, fmt.Errorf("not a signed checkpoint: %w", err)
	}
	return parseCheckpoint(opened.Text)
}

// parseCheckpoint reads the text of a checkpoint: it is one only if it is what
// text would write, to the byte.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 {
		return Checkpoint{}, fmt.Errorf("a checkpoint has 4 lines of text, this has %d", len(lines)-1)
	}
	c := Checkpoint{Origin: lines[0]}
	if err := checkOrigin("origin of a chain", c.Origin); err != nil {
		return Checkpoint{}, err
	}
	var err error
	if c.Head.Sequence, err = strconv.ParseUint(lines[1], 10, 64); err != nil || c.Head.Sequence > maxSequence {
		return Checkpoint{}, fmt.Errorf("the checkpoint's sequence number %q is not one of 0 to %d", shorten(lines[1]), uint64(maxSequence))
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(c.Head.Hash[:], hash) != len(c.Head.Hash) {
		return Checkpoint{}, fmt.Errorf("the checkpoint's hash %q is not 32 bytes in base64", shorten(lines[2]))
	}
	if c.Time, err = time.Parse("time "+timeForm, lines[3]); err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint's last line %q is not its time", shorten(lines[3]))
	}
	if c.text() != text {
		return Checkpoint{}, errors.New("the checkpoint is not written as checkpoints are")
	}
	return c, nil
}
