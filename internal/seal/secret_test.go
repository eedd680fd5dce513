package seal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
)

var secretPlace = seal.Place{Kind: seal.SecretValue, Tenant: tenantA, Environment: 3, Path: "openai/key", Version: 2}

func mustSealSecret(t interface {
	Helper()
	Fatalf(string, ...any)
}, k *seal.Keyring, at seal.Place, plain []byte) seal.SecretSeal {
	t.Helper()
	s, err := k.SealSecret(context.Background(), at, plain)
	if err != nil {
		t.Fatalf("SealSecret(%s): %v", at, err)
	}
	return s
}

func cloneSeal(s seal.SecretSeal) seal.SecretSeal {
	return seal.SecretSeal{Sealed: bytes.Clone(s.Sealed), Wrapped: bytes.Clone(s.Wrapped), KeyVersion: s.KeyVersion}
}

func wantBrokenSecret(t interface {
	Helper()
	Fatalf(string, ...any)
}, k *seal.Keyring, at seal.Place, s seal.SecretSeal) {
	t.Helper()
	plain, err := k.OpenSecret(context.Background(), at, s)
	if !errors.Is(err, seal.ErrSealBroken) || plain != nil {
		t.Fatalf("OpenSecret(%s) = %d bytes, %v, want ErrSealBroken", at, len(plain), err)
	}
}

// Two secrets of the same tenant or not, whose rows are mixed in every way: only
// what belongs together opens, and only where it belongs.
func TestASecretOpensInItsPlaceAlone(t *testing.T) {
	_, k := founded(t, seal.Options{})
	var versions []uint32
	for range 2 {
		versions = append(versions, mustRotate(t, k, tenantA))
	}
	rapid.Check(t, func(t *rapid.T) {
		here, there := genPlace(t), genPlace(t)
		here.Kind, there.Kind = seal.SecretValue, seal.SecretValue
		plain := genPlain(t)
		s, other := mustSealSecret(t, k, here, plain), mustSealSecret(t, k, there, plain)
		if len(s.Sealed) != len(plain)+29 {
			t.Fatalf("%d bytes seal to %d", len(plain), len(s.Sealed))
		}
		got, err := k.OpenSecret(context.Background(), here, s)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("OpenSecret: %v", err)
		}
		if here != there {
			wantBrokenSecret(t, k, there, s)
		}
		wantBrokenSecret(t, k, here, seal.SecretSeal{Sealed: s.Sealed, Wrapped: other.Wrapped, KeyVersion: other.KeyVersion})
		wantBrokenSecret(t, k, here, seal.SecretSeal{Sealed: other.Sealed, Wrapped: s.Wrapped, KeyVersion: s.KeyVersion})

		altered := cloneSeal(s)
		switch rapid.SampledFrom([]string{"sealed", "wrapped", "nonce", "wrap nonce", "version", "column", "cut", "extend", "empty"}).Draw(t, "alteration") {
		case "sealed":
			bit := rapid.IntRange(0, len(s.Sealed)*8-1).Draw(t, "bit")
			altered.Sealed[bit/8] ^= 1 << (bit % 8)
		case "wrapped":
			bit := rapid.IntRange(0, len(s.Wrapped)*8-1).Draw(t, "bit")
			altered.Wrapped[bit/8] ^= 1 << (bit % 8)
		case "nonce":
			copy(altered.Sealed[1:13], other.Sealed[1:13])
		case "wrap nonce":
			copy(altered.Wrapped[5:17], other.Wrapped[5:17])
		case "version": // in the row and in the wrapped key, as if an older one had wrapped
			altered.KeyVersion = s.KeyVersion%versions[1] + 1
			altered.Wrapped[4] = byte(altered.KeyVersion)
		case "column":
			altered.KeyVersion++
		case "cut":
			if rapid.Bool().Draw(t, "wrapped") {
				altered.Wrapped = altered.Wrapped[:rapid.IntRange(0, len(altered.Wrapped)-1).Draw(t, "length")]
			} else {
				altered.Sealed = altered.Sealed[:rapid.IntRange(0, len(altered.Sealed)-1).Draw(t, "length")]
			}
		case "extend":
			altered.Sealed = append(altered.Sealed, 0)
		case "empty":
			altered = seal.SecretSeal{KeyVersion: s.KeyVersion}
		}
		wantBrokenSecret(t, k, here, altered)

		moved := here
		switch rapid.SampledFrom([]string{"kind", "tenant", "environment", "path", "version"}).Draw(t, "moved") {
		case "kind":
			moved.Kind = rapid.SampledFrom([]seal.Kind{seal.Layer, seal.Secret, seal.Ack, 99}).Draw(t, "kind")
		case "tenant":
			moved.Tenant = map[config.TenantID]config.TenantID{{}: tenantA, tenantA: tenantB, tenantB: {}}[here.Tenant]
		case "environment":
			moved.Environment ^= 1 << rapid.IntRange(0, 31).Draw(t, "bit")
		case "path":
			moved.Path += rapid.SampledFrom([]string{"/", "a", "\x00"}).Draw(t, "more")
		case "version":
			moved.Version ^= 1 << rapid.IntRange(0, 63).Draw(t, "bit")
		}
		wantBrokenSecret(t, k, moved, s)
	})
}

func TestEveryBitOfASecretCounts(t *testing.T) {
	_, k := founded(t, seal.Options{})
	s := mustSealSecret(t, k, secretPlace, []byte("sk-0123456789"))
	for bit := range len(s.Sealed) * 8 {
		altered := cloneSeal(s)
		altered.Sealed[bit/8] ^= 1 << (bit % 8)
		wantBrokenSecret(t, k, secretPlace, altered)
	}
	for bit := range len(s.Wrapped) * 8 {
		altered := cloneSeal(s)
		altered.Wrapped[bit/8] ^= 1 << (bit % 8)
		wantBrokenSecret(t, k, secretPlace, altered)
	}
}

// A row of one sort is none of another: what Seal made is no secret, and the
// halves of a secret are no bodies.
func TestSortsOfSealsDoNotMix(t *testing.T) {
	_, k := founded(t, seal.Options{})
	body := mustSeal(t, k, secretPlace, []byte("text"))
	s := mustSealSecret(t, k, secretPlace, []byte("text"))
	wantBrokenSecret(t, k, secretPlace, seal.SecretSeal{Sealed: body, Wrapped: s.Wrapped, KeyVersion: s.KeyVersion})
	wantBroken(t, k, secretPlace, s.Sealed)
	wantBroken(t, k, secretPlace, s.Wrapped)
}

func TestWhatIsNoSecretIsNotSealedAsOne(t *testing.T) {
	_, k := founded(t, seal.Options{})
	if _, err := k.SealSecret(t.Context(), place, nil); config.KindOf(err) != config.KindInternal {
		t.Errorf("a layer is sealed as a secret: %v", err)
	}
	_, err := k.SealSecret(t.Context(), secretPlace, make([]byte, seal.MaxPlainBytes+1))
	wantKind(t, err, config.KindTooLarge)
	for _, size := range []int{0, 1, seal.MaxPlainBytes} {
		s := mustSealSecret(t, k, secretPlace, make([]byte, size))
		if plain, err := k.OpenSecret(t.Context(), secretPlace, s); err != nil || len(plain) != size {
			t.Errorf("%d bytes open to %d, %v", size, len(plain), err)
		}
	}
	if err := k.Destroy(t.Context(), tenantA); err != nil {
		t.Fatal(err)
	}
	_, err = k.SealSecret(t.Context(), secretPlace, nil)
	wantKind(t, err, config.KindGone)
}

func TestNothingOfASecretIsLeftInItsSeal(t *testing.T) {
	_, k := founded(t, seal.Options{})
	plain := bytes.Repeat([]byte("marker-"), 1000)
	one, two := mustSealSecret(t, k, secretPlace, plain), mustSealSecret(t, k, secretPlace, plain)
	for _, b := range [][]byte{one.Sealed, one.Wrapped} {
		if bytes.Contains(b, []byte("marker")) {
			t.Error("a secret is sealed in clear")
		}
	}
	if bytes.Equal(one.Sealed[13:60], two.Sealed[13:60]) || bytes.Equal(one.Wrapped[17:], two.Wrapped[17:]) {
		t.Error("the same secret seals to the same bytes")
	}
}

// These bytes were made by the first version of the format; a test that fails
// here must not be "repaired".
func TestTheFormatOfSecretsStandsStill(t *testing.T) {
	w := newWorld(t)
	k := w.start(t, seal.Options{Rand: &counting{}})
	mustFound(t, k, tenantA)
	s := mustSealSecret(t, k, secretPlace, []byte("sk-text"))
	if got := hex.EncodeToString(s.Sealed); got != sealedSecretV2 {
		t.Errorf("the sealed form is %s", got)
	}
	if got := hex.EncodeToString(s.Wrapped); got != wrappedSecretKeyV2 {
		t.Errorf("the wrapped data key is %s", got)
	}
	mustOpenSecret(t, k, secretPlace, seal.SecretSeal{
		Sealed: mustHex(sealedSecretV2), Wrapped: mustHex(wrappedSecretKeyV2), KeyVersion: 1,
	}, "sk-text")

	keeper, err := seal.OpenFileKeeper(writeKeyFile(t, keyLine(goodKey), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	check, err := keeper.Unwrap(t.Context(), mustHex(checkV1), []byte("llm-config master key check 1"))
	if err != nil || string(check) != "llm-config master key check" {
		wrapped, _ := keeper.Wrap(t.Context(), []byte("llm-config master key check"), []byte("llm-config master key check 1"))
		t.Errorf("a check value does not open: %v; today's is %x", err, wrapped)
	}
}

const (
	sealedSecretV2     = "0202030405060708090a0b0c0de93d68e5f7d53b4b93f5db39c76467be0555d9cc0640f5"
	wrappedSecretKeyV2 = "02000000010e0f10111213141516171819ca6ec3772844a4596b31b035e76ec0ade0eed2a2a994b3d27f89eb23b03046770346ded95f883760f6c1392bb20e0ddf"
	checkV1            = "018800896e5718b4c0302fab9385d1f005b678e0ecb405666e8113c2f824a46bb58e0e82952c38e71dc4b5a768483bac44274668e8fe46c06f557f345d734daa"
)
