package secret

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// GeneratorKind is what a Generator draws.
type GeneratorKind string

// The kinds.
const (
	GeneratePassword GeneratorKind = "password" // letters, digits and signs
	GenerateHex      GeneratorKind = "hex"      // random bytes in hexadecimal
	GenerateBase64   GeneratorKind = "base64"   // random bytes in base64
	GenerateUUID     GeneratorKind = "uuid"     // version 4
	GenerateRSA      GeneratorKind = "rsa-4096" // a key pair
	GenerateEd25519  GeneratorKind = "ed25519"  // a key pair
)

// Fields of a key pair.
const (
	PrivateKeyField = "private_key" // PEM, PKCS #8
	PublicKeyField  = "public_key"  // PEM, PKIX
)

// Bounds of Generator.Length, and what 0 means.
const (
	MinLength     = 16
	MaxLength     = 256
	DefaultLength = 32
	rsaBits       = 4096
	maxDraws      = 100
)

// Generator draws new values.
type Generator struct {
	Kind   GeneratorKind
	Length int    // characters of a password, bytes of hex and base64: 16–256, 0 means 32; not for the others
	Field  string // where the value stands, "" means value; not for key pairs, which make private_key and public_key
}

// Check says whether the generator can draw; the error is of KindBadRequest.
func (g Generator) Check() error {
	const pointer = "/rotation/generator"
	switch g.Kind {
	case GeneratePassword, GenerateHex, GenerateBase64:
		if g.Length != 0 && (g.Length < MinLength || g.Length > MaxLength) {
			return config.Errorf(config.KindBadRequest, "the generator's length is %d to %d", MinLength, MaxLength).At(pointer + "/length")
		}
	case GenerateUUID, GenerateRSA, GenerateEd25519:
		if g.Length != 0 {
			return config.Errorf(config.KindBadRequest, "the generator %s has no length to choose", g.Kind).At(pointer + "/length")
		}
	default:
		return config.Errorf(config.KindBadRequest, "the generator is none that is known").At(pointer+"/kind").
			Hint("use %s, %s, %s, %s, %s or %s", GeneratePassword, GenerateHex, GenerateBase64, GenerateUUID, GenerateRSA, GenerateEd25519)
	}
	if g.Field == "" {
		return nil
	}
	if g.Kind == GenerateRSA || g.Kind == GenerateEd25519 {
		return config.Errorf(config.KindBadRequest, "a key pair has the fields %s and %s", PrivateKeyField, PublicKeyField).At(pointer + "/field")
	}
	if CheckFieldName(g.Field) != nil {
		return config.Errorf(config.KindBadRequest, "the generator's field has no valid name").At(pointer + "/field")
	}
	return nil
}

// Generate draws a value that passes Check, whoever asks: what chance made to
// look like a word is drawn again. RSA keys come of the system's own
// randomness, because crypto/rsa takes no other.
func (g Generator) Generate(random io.Reader) (Fields, error) {
	if err := g.Check(); err != nil {
		return Fields{}, err
	}
	for range maxDraws {
		fields, err := g.draw(random)
		if err != nil {
			return Fields{}, fmt.Errorf("draw a secret: %w", err)
		}
		if Check(fields, Personal{}) == nil {
			return fields, nil
		}
		fields.Wipe()
	}
	return Fields{}, errors.New("draw a secret: what should be random is not")
}

func (g Generator) draw(random io.Reader) (fields Fields, err error) {
	Erase(func() {
		var text []byte
		switch g.Kind {
		case GenerateRSA:
			fields, err = rsaPair(random)
			return
		case GenerateEd25519:
			fields, err = ed25519Pair(random)
			return
		case GeneratePassword:
			text, err = drawPassword(random, g.length())
		case GenerateUUID:
			text, err = drawUUID(random)
		default:
			text, err = g.drawBytes(random)
		}
		if err == nil {
			fields = TextFields(map[string][]byte{g.field(): text})
		}
	})
	return fields, err
}

func (g Generator) length() int {
	if g.Length == 0 {
		return DefaultLength
	}
	return g.Length
}

func (g Generator) field() string {
	if g.Field == "" {
		return config.SecretField
	}
	return g.Field
}

// drawBytes draws as many bytes as Length says.
func (g Generator) drawBytes(random io.Reader) ([]byte, error) {
	drawn := make([]byte, g.length())
	defer clear(drawn)
	if _, err := io.ReadFull(random, drawn); err != nil {
		return nil, err
	}
	if g.Kind == GenerateHex {
		return hex.AppendEncode(nil, drawn), nil
	}
	return base64.StdEncoding.AppendEncode(nil, drawn), nil
}

// passwordCharacters need no quotes in a URL, a shell, YAML or a connection
// string when a letter or digit comes first.
const (
	alphanumerics      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	passwordCharacters = alphanumerics + "-._~"
)

// drawPassword draws among all passwords of a length that have four kinds of
// characters and begin with a letter or digit, each as likely as the others.
func drawPassword(random io.Reader, length int) ([]byte, error) {
	password := make([]byte, length)
	for range maxDraws {
		if err := drawCharacters(random, password); err != nil {
			clear(password)
			return nil, err
		}
		if kinds(view(password)) == 4 && isAlphanumeric(password[0]) {
			return password, nil
		}
	}
	clear(password)
	return nil, errors.New("what should be random is not")
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// drawCharacters passes over bytes that would make the first characters of the
// alphabet more likely than the last.
func drawCharacters(random io.Reader, to []byte) error {
	const fair = 256 / len(passwordCharacters) * len(passwordCharacters)
	var drawn [64]byte
	defer clear(drawn[:])
	for i := 0; i < len(to); {
		if _, err := io.ReadFull(random, drawn[:]); err != nil {
			return err
		}
		for _, b := range drawn {
			if int(b) < fair && i < len(to) {
				to[i] = passwordCharacters[int(b)%len(passwordCharacters)]
				i++
			}
		}
	}
	return nil
}

func drawUUID(random io.Reader) ([]byte, error) {
	var id [16]byte
	defer clear(id[:])
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return nil, err
	}
	id[6] = id[6]&0x0F | 0x40 // version 4
	id[8] = id[8]&0x3F | 0x80 // variant of RFC 9562
	text := make([]byte, 0, 36)
	for i, end := range []int{4, 6, 8, 10, 16} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, id[[]int{0, 4, 6, 8, 10}[i]:end])
	}
	return text, nil
}

func rsaPair(random io.Reader) (Fields, error) {
	key, err := rsa.GenerateKey(random, rsaBits)
	if err != nil {
		return Fields{}, err
	}
	return keyPair(key, &key.PublicKey)
}

func ed25519Pair(random io.Reader) (Fields, error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	if _, err := io.ReadFull(random, seed); err != nil {
		return Fields{}, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	defer clear(key)
	return keyPair(key, key.Public())
}

func keyPair(private, public any) (Fields, error) {
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Fields{}, err
	}
	defer clear(privateDER)
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Fields{}, err
	}
	return TextFields(map[string][]byte{
		PrivateKeyField: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}),
		PublicKeyField:  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}),
	}), nil
}
