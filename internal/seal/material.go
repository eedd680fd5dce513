package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

var errMaterial = errors.New("a tenant key does not read as one")

// What a keeper wraps for a tenant is its material: format, the secret that
// hash keys are derived from, and one or more tenant keys, each with its
// version, the newest last. The hash secret stands apart so that a new version
// of the tenant key leaves every MAC as it was.
const (
	formatMaterial  = 1
	versionedBytes  = 4 + keyBytes
	materialHead    = 1 + keyBytes
	firstKeyVersion = 1
)

// tenantKey wraps data keys. The newest version wraps, all of them unwrap.
type tenantKey struct {
	version uint32
	aead    cipher.AEAD
}

func newMaterial(random func([]byte) error) ([]byte, error) {
	m := make([]byte, materialHead+versionedBytes)
	if err := random(m); err != nil {
		return nil, err
	}
	m[0] = formatMaterial
	binary.BigEndian.PutUint32(m[materialHead:], firstKeyVersion)
	return m, nil
}

func parseMaterial(m []byte) (hash [keyBytes]byte, keys []tenantKey, err error) {
	if len(m) < materialHead+versionedBytes || (len(m)-materialHead)%versionedBytes != 0 || m[0] != formatMaterial {
		return hash, nil, errMaterial
	}
	copy(hash[:], m[1:])
	for rest := m[materialHead:]; len(rest) > 0; rest = rest[versionedBytes:] {
		aead, err := newAEAD(rest[4:versionedBytes])
		if err != nil {
			return hash, nil, err
		}
		keys = append(keys, tenantKey{binary.BigEndian.Uint32(rest), aead})
	}
	return hash, keys, nil
}

// A wrapped data key is format, version of the tenant key, nonce, ciphertext.
const (
	formatDataKey      = 1
	dataKeyHeaderBytes = 1 + 4 + nonceBytes
)

func (t tenantKey) wrap(tenant config.TenantID, epoch uint32, key, nonce []byte) []byte {
	b := append(make([]byte, 0, dataKeyHeaderBytes+keyBytes+tagBytes), formatDataKey)
	b = binary.BigEndian.AppendUint32(b, t.version)
	b = append(b, nonce...)
	return t.aead.Seal(b, nonce, key, t.bind(tenant, epoch))
}

// unwrapDataKey makes the cipher of a wrapped data key.
func unwrapDataKey(keys []tenantKey, tenant config.TenantID, epoch uint32, wrapped []byte) (cipher.AEAD, error) {
	if len(wrapped) != dataKeyHeaderBytes+keyBytes+tagBytes || wrapped[0] != formatDataKey {
		return nil, errors.New("a wrapped data key has not the form of one")
	}
	version := binary.BigEndian.Uint32(wrapped[1:])
	for _, t := range keys {
		if t.version != version {
			continue
		}
		key, err := t.aead.Open(nil, wrapped[5:dataKeyHeaderBytes], wrapped[dataKeyHeaderBytes:], t.bind(tenant, epoch))
		if err != nil {
			return nil, errors.New("a wrapped data key was altered or belongs to another tenant or epoch")
		}
		defer clear(key)
		return newAEAD(key)
	}
	return nil, errors.New("a data key was wrapped by a version of the tenant key that is not there")
}

func (t tenantKey) bind(tenant config.TenantID, epoch uint32) []byte {
	b := append([]byte("llm-config data key"), formatDataKey)
	b = append(b, tenant[:]...)
	b = binary.BigEndian.AppendUint32(b, epoch)
	return binary.BigEndian.AppendUint32(b, t.version)
}

// bindTenantKey is what a keeper binds a tenant's material to.
func bindTenantKey(tenant config.TenantID) []byte {
	return append([]byte("llm-config tenant key 1"), tenant[:]...)
}
