package seal_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// No key meets a nonce twice. With LLM_CONFIG_SOAK=1 ten million seals are
// looked at, without it a hundred thousand.
func TestNoncesDoNotRepeatSoak(t *testing.T) {
	count := 100_000
	if os.Getenv("LLM_CONFIG_SOAK") == "1" {
		count = 10_000_000
	}
	_, k := founded(t, seal.Options{})
	t.Run("of a data key", func(t *testing.T) {
		nonces := make([][12]byte, count)
		for i := range nonces {
			sealed := mustSeal(t, k, place, nil)
			if epoch := epochOf(sealed); epoch != 1 {
				t.Fatalf("seal %d is of epoch %d: this test wants one key", i, epoch)
			}
			nonces[i] = [12]byte(sealed[5:17])
		}
		wantDistinct(t, nonces)
	})
	t.Run("of a tenant key", func(t *testing.T) {
		nonces := make([][12]byte, count)
		for i := range nonces {
			s := mustSealSecret(t, k, secretPlace, nil)
			if s.KeyVersion != 1 {
				t.Fatalf("seal %d is of version %d: this test wants one key", i, s.KeyVersion)
			}
			nonces[i] = [12]byte(s.Wrapped[5:17])
		}
		wantDistinct(t, nonces)
	})
}

func wantDistinct(t *testing.T, nonces [][12]byte) {
	t.Helper()
	slices.SortFunc(nonces, func(a, b [12]byte) int { return bytes.Compare(a[:], b[:]) })
	for i := 1; i < len(nonces); i++ {
		if nonces[i] == nonces[i-1] {
			t.Fatalf("of %d seals two have the nonce %x", len(nonces), nonces[i])
		}
	}
}
