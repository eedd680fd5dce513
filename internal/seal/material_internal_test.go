package seal

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// A tenant key that was replaced still unwraps, also for a binary that never
// replaces one: both may run beside each other.
func TestMaterialOfManyVersions(t *testing.T) {
	old, err := newMaterial(func(b []byte) error { copy(b, bytes.Repeat([]byte{7}, len(b))); return nil })
	if err != nil {
		t.Fatal(err)
	}
	both := binary.BigEndian.AppendUint32(bytes.Clone(old), 2)
	both = append(both, bytes.Repeat([]byte{8}, keyBytes)...)

	tenant, key, nonce := config.TenantID{1}, make([]byte, keyBytes), make([]byte, nonceBytes)
	oldHash, oldKeys, err := parseMaterial(old)
	if err != nil {
		t.Fatal(err)
	}
	hash, keys, err := parseMaterial(both)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys, %v, want 2", len(keys), err)
	}
	if hash != oldHash {
		t.Error("the hash secret changed with the version")
	}
	byOld, byNew := oldKeys[0].wrap(tenant, 1, key, nonce), keys[1].wrap(tenant, 1, key, nonce)
	for name, wrapped := range map[string][]byte{"old": byOld, "new": byNew} {
		if _, err := unwrapDataKey(keys, tenant, 1, wrapped); err != nil {
			t.Errorf("a data key wrapped by the %s version: %v", name, err)
		}
	}
	if _, err := unwrapDataKey(oldKeys, tenant, 1, byNew); err == nil {
		t.Error("a version that is not there unwraps")
	}

	for length := range both {
		if _, _, err := parseMaterial(both[:length]); err == nil && length != len(old) {
			t.Errorf("%d bytes of %d read as a tenant key", length, len(both))
		}
	}
	both[0]++
	if _, _, err := parseMaterial(both); err == nil {
		t.Error("an unknown format reads as a tenant key")
	}
}
