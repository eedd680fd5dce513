package access

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
)

// The text of a token is "llmc_", 16 characters that name it, "_", 52 that are
// its secret (256 bits) and 7 that check the 76 before; all of them of RFC
// 4648's base32 in lower case. Secret scanners find it with
//
//	llmc_[a-z2-7]{16}_[a-z2-7]{59}
//
// and the last 7 characters, the CRC-32 (IEEE) of the rest, tell a token from a
// typing error, or from text that only looks like one, without asking anybody.
const (
	TokenPattern = `llmc_[a-z2-7]{16}_[a-z2-7]{59}`

	tokenPrefix  = "llmc_"
	idBytes      = 10
	idChars      = 16
	secretBytes  = 32
	secretChars  = 52
	checkChars   = 7
	secretBegins = len(tokenPrefix) + idChars + 1
	checkBegins  = secretBegins + secretChars
	tokenChars   = checkBegins + checkChars
)

const base32Alphabet = "abcdefghijklmnopqrstuvwxyz234567"

var base32Lower = base32.NewEncoding(base32Alphabet).WithPadding(base32.NoPadding)

// inAlphabet says of each byte whether base32Alphabet has it.
var inAlphabet = func() (in [256]bool) {
	for _, c := range []byte(base32Alphabet) {
		in[c] = true
	}
	return in
}()

// IssuedToken is a token at the only moment at which its text is known. Whatever
// prints it shows its id alone.
type IssuedToken struct {
	ID   string
	Hash [32]byte // SHA-256 of the secret half: all that is kept of it
	text string
}

// NewToken draws a token.
func NewToken(random io.Reader) (IssuedToken, error) {
	var drawn [idBytes + secretBytes]byte
	if _, err := io.ReadFull(random, drawn[:]); err != nil {
		return IssuedToken{}, fmt.Errorf("draw a token: %w", err)
	}
	id := base32Lower.EncodeToString(drawn[:idBytes])
	secret := base32Lower.EncodeToString(drawn[idBytes:])
	text := tokenPrefix + id + "_" + secret
	check := tokenCheck(text)
	return IssuedToken{ID: id, Hash: sha256.Sum256([]byte(secret)), text: text + string(check[:])}, nil
}

// Reveal is the text of the token, for the one answer that hands it out.
func (t IssuedToken) Reveal() string { return t.text }

// String hides all of the token but its id.
func (t IssuedToken) String() string { return tokenPrefix + t.ID + "_…" }

// Format hides the token from every verb of package fmt.
func (t IssuedToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue hides the token from logs.
func (t IssuedToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText hides the token from JSON and other encodings.
func (t IssuedToken) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// ParseToken reads the text of a token, without saying that there is one.
func ParseToken(text string) (id string, hash [32]byte, ok bool) {
	if len(text) != tokenChars || text[:len(tokenPrefix)] != tokenPrefix || text[secretBegins-1] != '_' {
		return "", hash, false
	}
	for i := len(tokenPrefix); i < tokenChars; i++ {
		if !inAlphabet[text[i]] && i != secretBegins-1 {
			return "", hash, false
		}
	}
	if check := tokenCheck(text[:checkBegins]); string(check[:]) != text[checkBegins:] {
		return "", hash, false
	}
	var secret [secretChars]byte
	copy(secret[:], text[secretBegins:])
	return text[len(tokenPrefix) : secretBegins-1], sha256.Sum256(secret[:]), true
}

// tokenCheck is the CRC-32 of text in base32. It goes byte by byte because
// package crc32 makes its argument escape, and every request comes by here.
func tokenCheck(text string) (check [checkChars]byte) {
	crc := ^uint32(0)
	for i := 0; i < len(text); i++ {
		crc = crc32.IEEETable[byte(crc)^text[i]] ^ crc>>8
	}
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], ^crc)
	base32Lower.Encode(check[:], sum[:])
	return check
}
