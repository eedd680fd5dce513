package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Both forms of a tenant's keys were written once and must read for ever; a
// test that fails here must not be "repaired".
const (
	materialV1 = "01" + "0101010101010101010101010101010101010101010101010101010101010101" +
		"00000001" + "0202020202020202020202020202020202020202020202020202020202020202"
	materialV2 = "02" + "0101010101010101010101010101010101010101010101010101010101010101" +
		"00000001" + "0000000000000000" + "0202020202020202020202020202020202020202020202020202020202020202" +
		"00000003" + "187a1f8d2a3b4c5d" + "0303030303030303030303030303030303030303030303030303030303030303"
)

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMaterialFormatsStandStill(t *testing.T) {
	m, err := parseMaterial(fromHex(t, materialV1))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.versions) != 1 || m.newest().version != 1 || !m.newest().created.IsZero() ||
		m.newest().key != [keyBytes]byte(bytes.Repeat([]byte{2}, keyBytes)) || m.hash != [keyBytes]byte(bytes.Repeat([]byte{1}, keyBytes)) {
		t.Errorf("format 1 reads as %+v", m)
	}
	m.add(materialKey{3, time.Unix(0, 0x187a1f8d2a3b4c5d), [keyBytes]byte(bytes.Repeat([]byte{3}, keyBytes))})
	if got := hex.EncodeToString(m.encode()); got != materialV2 {
		t.Errorf("format 2 is written as %s", got)
	}
	m, err = parseMaterial(fromHex(t, materialV2))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.versions) != 2 || m.newest().version != 3 || m.newest().created.UnixNano() != 0x187a1f8d2a3b4c5d {
		t.Errorf("format 2 reads as %+v", m)
	}
}

func TestWhatIsNoMaterial(t *testing.T) {
	one, two := fromHex(t, materialV1), fromHex(t, materialV2)
	for length := range one {
		if _, err := parseMaterial(one[:length]); err == nil {
			t.Errorf("%d bytes of format 1 read as a tenant key", length)
		}
	}
	for length := range two {
		if _, err := parseMaterial(two[:length]); err == nil && length != len(two)-datedBytes {
			t.Errorf("%d bytes of format 2 read as a tenant key", length)
		}
	}
	edit := func(b []byte, at int, to ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], to)
		return b
	}
	many := bytes.Clone(one[:materialHead])
	for v := range maxKeyVersions + 1 {
		many = binary.BigEndian.AppendUint32(many, uint32(v+1))
		many = append(many, make([]byte, keyBytes)...)
	}
	for name, b := range map[string][]byte{
		"an unknown format": edit(one, 0, 3),
		"version 0":         edit(one, materialHead, 0, 0, 0, 0),
		"out of order":      edit(two, materialHead+datedBytes, 0, 0, 0, 1),
		"too many":          many,
	} {
		if _, err := parseMaterial(b); !errors.Is(err, errMaterial) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parseMaterial(many[:len(many)-versionedBytes]); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
}

func TestClearedMaterialHoldsNothing(t *testing.T) {
	m, err := parseMaterial(fromHex(t, materialV2))
	if err != nil {
		t.Fatal(err)
	}
	before := m.versions
	m.add(materialKey{4, time.Time{}, [keyBytes]byte{9}})
	if before[0].key != [keyBytes]byte{} || before[1].key != [keyBytes]byte{} {
		t.Error("add left a copy of the keys behind")
	}
	all := m.versions
	m.remove(0)
	m.clear()
	for i, v := range all {
		if v.key != [keyBytes]byte{} {
			t.Errorf("key %d is still there", i)
		}
	}
	if m.hash != [keyBytes]byte{} {
		t.Error("the hash secret is still there")
	}
}

// A data key opens under the version that wrapped it, and for its use alone.
func TestWrappedDataKeys(t *testing.T) {
	m, err := parseMaterial(fromHex(t, materialV2))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := m.keys()
	if err != nil {
		t.Fatal(err)
	}
	place := Place{Kind: SecretValue, Tenant: config.TenantID{1}, Environment: 2, Path: "a/b", Version: 3}
	bindings := map[string]binding{
		"epoch":                       ofEpoch(config.TenantID{1}, 1),
		"another epoch":               ofEpoch(config.TenantID{1}, 2),
		"an epoch of another tenant":  ofEpoch(config.TenantID{2}, 1),
		"secret":                      ofSecret(place),
		"a secret of another version": ofSecret(Place{SecretValue, config.TenantID{1}, 2, "a/b", 4}),
		"a secret of another path":    ofSecret(Place{SecretValue, config.TenantID{1}, 2, "a/c", 3}),
		"a secret elsewhere":          ofSecret(Place{SecretValue, config.TenantID{1}, 3, "a/b", 3}),
		"a secret of another tenant":  ofSecret(Place{SecretValue, config.TenantID{2}, 2, "a/b", 3}),
		"another kind":                ofSecret(Place{Secret, config.TenantID{1}, 2, "a/b", 3}),
	}
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), keyBytes, keyBytes).Draw(r, "key")
		nonce := rapid.SliceOfN(rapid.Byte(), nonceBytes, nonceBytes).Draw(r, "nonce")
		by := rapid.IntRange(0, 1).Draw(r, "version")
		for name, at := range bindings {
			wrapped := keys[by].wrap(at, key, nonce)
			if got, err := unwrap(keys, at, wrapped); err != nil || !bytes.Equal(got, key) {
				r.Fatalf("%s: %v", name, err)
			}
			if _, err := unwrap(keys[1-by:2-by], at, wrapped); !errors.Is(err, errKeyVersion) {
				r.Fatalf("%s without its version: %v", name, err)
			}
			for other, elsewhere := range bindings {
				if _, err := unwrap(keys, elsewhere, wrapped); other != name && err == nil {
					r.Fatalf("what was wrapped for %s opens for %s", name, other)
				}
			}
			bit := rapid.IntRange(0, len(wrapped)*8-1).Draw(r, "bit")
			wrapped[bit/8] ^= 1 << (bit % 8)
			if _, err := unwrap(keys, at, wrapped); err == nil {
				r.Fatalf("%s opens with bit %d altered", name, bit)
			}
		}
	})
}

// FuzzMaterial: what parses is written and parsed again to the same.
func FuzzMaterial(f *testing.F) {
	for _, text := range []string{materialV1, materialV2} {
		b, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := parseMaterial(b); err != nil {
			f.Fatalf("a seed is none: %v", err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMaterial(b)
		if err != nil {
			return
		}
		again := m.encode()
		if b[0] == formatDatedMaterial && !bytes.Equal(again, b) {
			t.Errorf("%x is written as %x", b, again)
		}
		if _, err := parseMaterial(again); err != nil {
			t.Errorf("what was written does not parse: %v", err)
		}
	})
}
