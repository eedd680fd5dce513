package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

var errMaterial = errors.New("a tenant key does not read as one")

// What a keeper wraps for a tenant is its material: format, the secret that
// hash keys are derived from, and one or more tenant keys, each with its
// version, the newest last. The hash secret stands apart so that a new version
// of the tenant key leaves every MAC as it was.
//
// Format 2 says when each version was made, in nanoseconds since 1970 or 0 when
// nobody knows. A tenant begins with format 1, which the release before reads.
const (
	formatMaterial      = 1
	formatDatedMaterial = 2
	versionedBytes      = 4 + keyBytes
	datedBytes          = 4 + 8 + keyBytes
	materialHead        = 1 + keyBytes
	firstKeyVersion     = 1
	// maxKeyVersions bounds the versions that are kept to unwrap with.
	maxKeyVersions = 64
)

// material is a tenant's keys in clear. Whoever made one clears it.
type material struct {
	hash     [keyBytes]byte
	versions []materialKey // ascending, at least one
}

type materialKey struct {
	version uint32
	created time.Time // zero when nobody knows
	key     [keyBytes]byte
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

func parseMaterial(b []byte) (*material, error) {
	if len(b) < materialHead {
		return nil, errMaterial
	}
	size := map[byte]int{formatMaterial: versionedBytes, formatDatedMaterial: datedBytes}[b[0]]
	rest := b[materialHead:]
	if size == 0 || len(rest) == 0 || len(rest)%size != 0 || len(rest)/size > maxKeyVersions {
		return nil, errMaterial
	}
	m := &material{versions: make([]materialKey, 0, len(rest)/size)}
	copy(m.hash[:], b[1:])
	for ; len(rest) > 0; rest = rest[size:] {
		key := materialKey{version: binary.BigEndian.Uint32(rest)}
		if size == datedBytes {
			if ns := int64(binary.BigEndian.Uint64(rest[4:])); ns != 0 {
				key.created = time.Unix(0, ns).UTC()
			}
		}
		copy(key.key[:], rest[size-keyBytes:size])
		if key.version == 0 || len(m.versions) > 0 && key.version <= m.newest().version {
			m.clear()
			return nil, errMaterial
		}
		m.versions = append(m.versions, key)
	}
	return m, nil
}

// encode writes the material with its dates.
func (m *material) encode() []byte {
	b := make([]byte, 0, materialHead+len(m.versions)*datedBytes)
	b = append(append(b, formatDatedMaterial), m.hash[:]...)
	for i := range m.versions {
		v := &m.versions[i]
		var ns int64
		if !v.created.IsZero() {
			ns = v.created.UnixNano()
		}
		b = binary.BigEndian.AppendUint32(b, v.version)
		b = binary.BigEndian.AppendUint64(b, uint64(ns))
		b = append(b, v.key[:]...)
	}
	return b
}

func (m *material) newest() *materialKey { return &m.versions[len(m.versions)-1] }

// index finds a version, -1 when it is not there.
func (m *material) index(version uint32) int {
	return slices.IndexFunc(m.versions, func(k materialKey) bool { return k.version == version })
}

// add appends a version, and leaves no copy behind where there was no room.
func (m *material) add(v materialKey) {
	longer := make([]materialKey, len(m.versions)+1)
	longer[copy(longer, m.versions)] = v
	clear(m.versions)
	m.versions = longer
}

func (m *material) remove(i int) {
	m.versions = slices.Delete(m.versions, i, i+1) // clears what is left over
}

func (m *material) clear() {
	clear(m.hash[:])
	clear(m.versions[:cap(m.versions)])
}

// keys makes the ciphers of all versions.
func (m *material) keys() ([]tenantKey, error) {
	keys := make([]tenantKey, 0, len(m.versions))
	for i := range m.versions {
		v := &m.versions[i]
		aead, err := newAEAD(v.key[:])
		if err != nil {
			return nil, err
		}
		keys = append(keys, tenantKey{v.version, v.created, aead})
	}
	return keys, nil
}

// tenantKey wraps data keys. The newest version wraps, all of them unwrap.
type tenantKey struct {
	version uint32
	created time.Time // zero when nobody knows
	aead    cipher.AEAD
}

// A wrapped data key is format, version of the tenant key, nonce, ciphertext.
// The format says what the key is for.
const (
	formatDataKey      = 1 // of an epoch
	formatSecretKey    = 2 // of one version of a secret
	dataKeyHeaderBytes = 1 + 4 + nonceBytes
	wrappedKeyBytes    = dataKeyHeaderBytes + keyBytes + tagBytes
)

// errKeyVersion says that the keys at hand are older than what they are to unwrap.
var errKeyVersion = errors.New("a data key was wrapped by a version of the tenant key that is not there")

// wrap wraps a data key and binds it to where it belongs.
func (t tenantKey) wrap(at binding, key, nonce []byte) []byte {
	b := append(make([]byte, 0, wrappedKeyBytes), at.format)
	b = binary.BigEndian.AppendUint32(b, t.version)
	b = append(b, nonce...)
	return t.aead.Seal(b, nonce, key, at.associated(t.version))
}

// unwrap answers the data key, which the caller clears.
func unwrap(keys []tenantKey, at binding, wrapped []byte) ([]byte, error) {
	version, err := keyVersionOf(at.format, wrapped)
	if err != nil {
		return nil, err
	}
	for _, t := range keys {
		if t.version != version {
			continue
		}
		key, err := t.aead.Open(nil, wrapped[5:dataKeyHeaderBytes], wrapped[dataKeyHeaderBytes:], at.associated(version))
		if err != nil {
			return nil, errors.New("a wrapped data key was altered or belongs elsewhere")
		}
		return key, nil
	}
	return nil, errKeyVersion
}

// keyVersionOf reads which version of the tenant key wrapped a data key.
func keyVersionOf(format byte, wrapped []byte) (uint32, error) {
	if len(wrapped) != wrappedKeyBytes || wrapped[0] != format {
		return 0, errors.New("a wrapped data key has not the form of one")
	}
	return binary.BigEndian.Uint32(wrapped[1:]), nil
}

// binding is what a data key is for: an epoch, or one place.
type binding struct {
	format byte
	tenant config.TenantID
	epoch  uint32
	place  Place
}

func ofEpoch(tenant config.TenantID, epoch uint32) binding {
	return binding{format: formatDataKey, tenant: tenant, epoch: epoch}
}

func ofSecret(at Place) binding { return binding{format: formatSecretKey, place: at} }

// associated writes what a wrapped data key is bound to.
func (b binding) associated(version uint32) []byte {
	if b.format == formatSecretKey {
		return appendAssociated(append([]byte("llm-config secret key"), formatSecretKey), b.place, version)
	}
	a := append([]byte("llm-config data key"), formatDataKey)
	a = append(a, b.tenant[:]...)
	a = binary.BigEndian.AppendUint32(a, b.epoch)
	return binary.BigEndian.AppendUint32(a, version)
}

// bindTenantKey is what a keeper binds a tenant's material to.
func bindTenantKey(tenant config.TenantID) []byte {
	return append([]byte("llm-config tenant key 1"), tenant[:]...)
}
