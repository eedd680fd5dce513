package audit

import (
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Checkpoint says where a chain stood at a time.
type Checkpoint struct {
	Origin string // of the chain; see Origin
	Head   Head
	Time   time.Time
}

// Origin names a chain to the world: name is that of the installation's key.
func Origin(name string, chain config.TenantID) string { panic("not yet") }

// SigningKey signs checkpoints: Ed25519, as C2SP signed notes have it.
type SigningKey struct {
	seed [32]byte
	name string
}

// NewSigningKey is the key of a seed under a name.
func NewSigningKey(name string, seed [32]byte) (*SigningKey, error) { panic("not yet") }

// Public is the key's public half as a verifier key of signed notes:
// <name>+<hash>+<base64>.
func (k *SigningKey) Public() string { panic("not yet") }

// Sign is the checkpoint as a signed note, with a signature of each key.
func (c Checkpoint) Sign(keys ...*SigningKey) ([]byte, error) { panic("not yet") }

// MaxNote bounds a signed note in bytes.
const MaxNote = 8 << 10

// OpenCheckpoint reads a signed note and checks that one of the public keys
// signed it.
func OpenCheckpoint(note []byte, public ...string) (Checkpoint, error) { panic("not yet") }
