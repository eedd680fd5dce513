package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// What the server signs, it signs as C2SP signed notes (https://c2sp.org/signed-note)
// with Ed25519, of a narrower form than those may have, so that two readers cannot
// differ: the note is of printable ASCII without quotes and backslashes, newlines,
// and the em dashes that signature lines begin with; it has 1 to 16 signature
// lines, of no key twice, each with the name of an installation and 68 bytes (the
// key's hash and the signature) in base64 that is padded and has no unused bit set.

const (
	// MaxNote bounds a signed note in bytes.
	MaxNote = 8 << 10
	// maxSignatures bounds the signature lines of a note.
	maxSignatures = 16
	// signatureBytes are 4 that tell keys apart, and the signature (RFC 8032).
	signatureBytes = 4 + ed25519.SignatureSize
)

// strict has one text only for the same bytes.
var strict = base64.StdEncoding.Strict()

// namePrefix begins the name of an installation, which is that of its keys; 16
// hexadecimal digits follow.
const namePrefix = "llm-config-"

func isName(text string) bool {
	digits, ok := strings.CutPrefix(text, namePrefix)
	return ok && isHex(digits, 16)
}

func isHex(text string, digits int) bool {
	return len(text) == digits && !strings.ContainsFunc(text, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// Origin names a chain to the world: name is that of the installation's key.
func Origin(name string, chain config.TenantID) string {
	if chain == (config.TenantID{}) {
		return name + "/server"
	}
	return name + "/tenants/" + chain.String()
}

// checkOrigin holds an origin to the form that Origin gives it. So none needs an
// escape in JSON, in a note or in a path.
func checkOrigin(origin string) error {
	name, chain, _ := strings.Cut(origin, "/")
	id, tenant := strings.CutPrefix(chain, "tenants/")
	if !isName(name) || chain != "server" && (!tenant || !isHex(id, 32)) {
		return fmt.Errorf("%q is no origin of a chain: that is %s with 16 hexadecimal digits, and /server or /tenants/ with 32", shorten(origin), namePrefix)
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

// SigningKey signs checkpoints and disposals.
type SigningKey struct {
	signer note.Signer
	public string
}

// NewSigningKey is the key of a seed (RFC 8032) under the name of an
// installation: llm-config- and 16 hexadecimal digits. Versions of a key have the
// same name and different seeds.
func NewSigningKey(name string, seed [32]byte) (*SigningKey, error) {
	if !isName(name) {
		return nil, fmt.Errorf("%q is no name of a key: that is %s with 16 hexadecimal digits", shorten(name), namePrefix)
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

// signNote signs a text with each of the keys.
func signNote(text string, keys []*SigningKey) ([]byte, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to sign with")
	}
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k.signer)
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err == nil {
		err = checkNote(signed)
	}
	if err != nil {
		return nil, err
	}
	return signed, nil
}

// CheckPublic refuses what is no public key of this server's kind, or is not
// written as SigningKey.Public writes it.
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
		if err == nil && (!isName(v.Name()) || key != rewritten(key)) {
			err = errors.New("it is not written as keys are")
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no public key of checkpoints (%w): give it as the server prints it, NAME+HASH+KEY", shorten(key), err)
		}
		list = append(list, v)
	}
	return note.VerifierList(list...), nil
}

// rewritten is a public key that could be read, in the one way to write it.
func rewritten(key string) string {
	parts := strings.SplitN(key, "+", 3)
	b, err := strict.DecodeString(parts[2])
	if err != nil || len(b) != 1+ed25519.PublicKeySize {
		return ""
	}
	again, err := note.NewEd25519VerifierKey(parts[0], b[1:])
	if err != nil {
		return ""
	}
	return again
}

// checkCharacters refuses bytes that no note has.
func checkCharacters(signed []byte) error {
	if len(signed) > MaxNote {
		return fmt.Errorf("a signed note of %d bytes: at most %d are allowed", len(signed), MaxNote)
	}
	for _, r := range string(signed) {
		if r != '\n' && r != '—' && (r < ' ' || r > '~' || r == '"' || r == '\\') {
			return fmt.Errorf("not a signed note: no note has the character %q", r)
		}
	}
	return nil
}

// checkNote refuses what is not of the form of a note, whoever signed it.
func checkNote(signed []byte) error {
	if err := checkCharacters(signed); err != nil {
		return err
	}
	text := string(signed)
	at := strings.LastIndex(text, "\n\n")
	if at < 0 || at+2 == len(text) || text[len(text)-1] != '\n' {
		return errors.New("not a signed note: it has no signature")
	}
	seen := map[string]bool{}
	for line := range strings.Lines(text[at+2:]) {
		rest, dash := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "— ")
		name, encoded, _ := strings.Cut(rest, " ")
		b, err := strict.DecodeString(encoded)
		if !dash || !isName(name) || err != nil || len(b) != signatureBytes {
			return fmt.Errorf("not a signed note: %q is no line of a signature", shorten(line))
		}
		key := name + string(b[:4])
		if seen[key] {
			return fmt.Errorf("not a signed note: two lines are of key %s+%x", name, b[:4])
		}
		if seen[key] = true; len(seen) > maxSignatures {
			return fmt.Errorf("not a signed note: it has more than %d lines of signatures", maxSignatures)
		}
	}
	return nil
}

// openNote answers the text of a note that one of the keys signed. A wrong
// signature of one of them spoils it, whoever else signed it.
func openNote(signed []byte, keys note.Verifiers) (string, error) {
	if err := checkNote(signed); err != nil {
		return "", err
	}
	opened, err := note.Open(signed, keys)
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		var names []string
		for _, s := range unverified.Note.UnverifiedSigs {
			names = append(names, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
		}
		return "", fmt.Errorf("no known key signed it, but %s did", strings.Join(names[:min(len(names), 4)], ", "))
	case errors.As(err, &invalid):
		return "", fmt.Errorf("the signature of key %s+%08x is wrong: it was edited or forged", invalid.Name, invalid.Hash)
	case err != nil:
		return "", fmt.Errorf("not a signed note: %w", err)
	}
	return opened.Text, nil
}

// noteTime is the line of a note's time.
func noteTime(t time.Time) string { return "time " + t.UTC().Format(timeForm) + "\n" }

// noteHash reads a hash in the one way to write it.
func noteHash(text string) (hash [32]byte, err error) {
	b, err := strict.DecodeString(text)
	if err != nil || copy(hash[:], b) != len(b) || len(b) != len(hash) {
		return hash, fmt.Errorf("the hash %q is not 32 bytes in base64", shorten(text))
	}
	return hash, nil
}
