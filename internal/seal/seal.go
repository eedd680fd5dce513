// Package seal encrypts what goes to rest: bytes in, bytes out. It trusts
// neither the store that keeps the sealed bytes nor its backups. What comes
// back opens only if it is unaltered and in the place it was sealed for.
//
// Keys form three steps. A keeper holds the master key and wraps with it one
// key per tenant; wrapped tenant keys lie in a key store apart from the data.
// The tenant key wraps the tenant's data keys, one per epoch, which lie with
// the data and do the sealing; the value of a secret has a data key of its own.
// So a tenant's key destroyed is a tenant's data unreadable, in every backup
// that was ever taken.
//
// The keys of the two upper steps have versions: the newest wraps, those before
// unwrap until what they wrapped is wrapped anew.
package seal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// ErrSealBroken says that sealed bytes do not open at the place they were read
// from: they were altered, cut or moved, or the data key is not the one.
var ErrSealBroken = errors.New("seal is broken")

// ErrWrongMasterKey stops the start: the master key is not the one that the
// key store was founded with.
var ErrWrongMasterKey = errors.New("wrong master key")

// Kind says what is sealed. It is part of what a seal is bound to, so numbers
// are never changed and never given twice.
type Kind uint8

// The kinds.
const (
	Layer       Kind = 1  // the document of a layer's version
	LayerDigest Kind = 2  // what is left of a destroyed version
	Entry       Kind = 3  // the body of a log entry
	Idempotent  Kind = 4  // an answer kept for an idempotency key
	SecretValue Kind = 5  // the value of a secret's version, see SealSecret
	Secret      Kind = 6  // the record of a secret
	Ack         Kind = 7  // what a client says it runs
	Rule        Kind = 8  // a version of what governs a tenant
	Decision    Kind = 9  // a sample of what was decided
	AuditBlock  Kind = 10 // where to look for audit records
	AuditKey    Kind = 11 // the key that signs audit checkpoints
)

var kindNames = map[Kind]string{
	Layer:       "layer",
	LayerDigest: "layer digest",
	Entry:       "log entry",
	Idempotent:  "kept answer",
	SecretValue: "secret value",
	Secret:      "secret",
	Ack:         "acknowledgement",
	Rule:        "rule",
	Decision:    "past decision",
	AuditBlock:  "audit index",
	AuditKey:    "checkpoint key",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Place is where sealed bytes belong. No two bodies of a store may share one.
type Place struct {
	Kind        Kind
	Tenant      config.TenantID
	Environment config.EnvironmentID
	Path        string // a path, or the name of what is no document
	Version     int64
}

func (p Place) String() string {
	return fmt.Sprintf("%s %q version %d in environment %d of tenant %s", p.Kind, p.Path, p.Version, p.Environment, p.Tenant)
}

// The sealed form: format, epoch of the data key, nonce, then the AES-256-GCM
// ciphertext of one packed body (see pack.go) with its tag.
const (
	formatSealed = 1

	keyBytes    = 32
	nonceBytes  = 12
	tagBytes    = 16
	headerBytes = 1 + 4 + nonceBytes
)

// appendHeader begins the sealed form; its nonce is still to be filled in.
func appendHeader(b []byte, epoch uint32) []byte {
	b = append(b, formatSealed)
	b = binary.BigEndian.AppendUint32(b, epoch)
	return append(b, make([]byte, nonceBytes)...)
}

// parseHeader is the epoch that sealed names, and whether it can be ours at all.
func parseHeader(sealed []byte) (epoch uint32, ok bool) {
	if len(sealed) < headerBytes+1+tagBytes || sealed[0] != formatSealed {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:]), true
}

// appendAssociated writes what a seal is bound to. Every field but the last has
// a fixed width and the path carries its length, so no two places read alike.
func appendAssociated(b []byte, at Place, epoch uint32) []byte {
	b = append(b, formatSealed, byte(at.Kind))
	b = append(b, at.Tenant[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(at.Environment))
	b = binary.BigEndian.AppendUint64(b, uint64(at.Version))
	b = binary.BigEndian.AppendUint32(b, epoch)
	b = binary.BigEndian.AppendUint32(b, uint32(len(at.Path)))
	return append(b, at.Path...)
}

func broken(at Place) error { return fmt.Errorf("%w: %s", ErrSealBroken, at) }

// unavailable says that a keeper or a store failed; what is a verdict of
// theirs already is passed on as it is.
func unavailable(cause error, format string, args ...any) error {
	if config.KindOf(cause) != config.KindInternal {
		return cause
	}
	e := config.Errorf(config.KindUnavailable, format, args...)
	e.Cause = cause
	return e
}
