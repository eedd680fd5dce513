package keepers

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// The wrapped form:
//
//	format 1 | kind 1 | check 4 | length 2, version | length 2, ciphertext | nonce 12 | sealed, tag 16
//
// version and ciphertext are the service's; everything before the nonce is
// bound as associated data. check is a part of SHA-256 over the head: it tells
// damage without asking the service, so that "no such key version" can only be
// the service's own answer.
const (
	formatEnvelope     = 0x45
	checkBytes         = 4
	nonceBytes         = 12
	tagBytes           = 16
	keyBytes           = 32
	maxVersionBytes    = 512
	maxCiphertextBytes = 8 << 10 // AWS answers with at most 6,144
	maxPlainBytes      = 4 << 20
)

// The kinds of service, as they stand in the wrapped form. Never renumber.
const (
	kindAWS    = 1
	kindGCP    = 2
	kindAzure  = 3
	kindVault  = 4
	kindPKCS11 = 5
)

var errNotEnvelope = errors.New("it is none of this kind of keeper's, or was altered or cut")

type wrapped struct {
	kind       byte
	version    string // which version of its key the service used; "" when it does not say
	ciphertext []byte // of the fresh key, by the service
	body       []byte // nonce and sealed
}

// head is what is bound: all that stands before the body.
func (w wrapped) head() []byte {
	fields := make([]byte, 0, 4+len(w.version)+len(w.ciphertext))
	fields = binary.BigEndian.AppendUint16(fields, uint16(len(w.version)))
	fields = append(fields, w.version...)
	fields = binary.BigEndian.AppendUint16(fields, uint16(len(w.ciphertext)))
	fields = append(fields, w.ciphertext...)
	sum := sha256.New()
	sum.Write([]byte{formatEnvelope, w.kind})
	sum.Write(fields)
	head := append([]byte{formatEnvelope, w.kind}, sum.Sum(nil)[:checkBytes]...)
	return append(head, fields...)
}

func (w wrapped) fits() bool {
	return len(w.version) <= maxVersionBytes && len(w.ciphertext) > 0 && len(w.ciphertext) <= maxCiphertextBytes
}

func (w wrapped) bytes() []byte { return append(w.head(), w.body...) }

// parseWrapped reads what bytes wrote, and nothing else.
func parseWrapped(b []byte) (wrapped, error) {
	const fixed = 2 + checkBytes
	if len(b) < fixed || b[0] != formatEnvelope {
		return wrapped{}, errNotEnvelope
	}
	version, rest, ok := cutField(b[fixed:], maxVersionBytes)
	if !ok {
		return wrapped{}, errNotEnvelope
	}
	ciphertext, body, ok := cutField(rest, maxCiphertextBytes)
	if !ok || len(ciphertext) == 0 || len(body) < nonceBytes+tagBytes || len(body) > nonceBytes+maxPlainBytes+tagBytes {
		return wrapped{}, errNotEnvelope
	}
	w := wrapped{kind: b[1], version: string(version), ciphertext: ciphertext, body: body}
	if !bytes.Equal(w.head(), b[:len(b)-len(body)]) {
		return wrapped{}, errNotEnvelope
	}
	return w, nil
}

// cutField takes a field off the front, with its length before it.
func cutField(b []byte, limit int) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; n > limit || n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
