package secret

import (
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

// Generator draws new values.
type Generator struct {
	Kind   GeneratorKind
	Length int    // characters of a password, bytes of hex and base64: 16–256, 0 means 32; not for the others
	Field  string // where the value stands, "" means value; not for key pairs, which make private_key and public_key
}

// Check says whether the generator can draw.
func (g Generator) Check() error {
	return config.Errorf(config.KindBadRequest, "the generator is not known").At("/rotation/generator")
}

// Generate draws.
func (g Generator) Generate(io.Reader) (Fields, error) { return Fields{}, g.Check() }
