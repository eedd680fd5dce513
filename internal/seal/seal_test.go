package seal_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
)

var place = seal.Place{Kind: seal.Layer, Tenant: tenantA, Environment: 3, Path: "gateway/eu-1", Version: 7}

func genPlace(t *rapid.T) seal.Place {
	return seal.Place{
		Kind:        rapid.SampledFrom([]seal.Kind{seal.Layer, seal.LayerDigest, seal.Entry, seal.Idempotent}).Draw(t, "kind"),
		Tenant:      rapid.SampledFrom([]config.TenantID{{}, tenantA, tenantB}).Draw(t, "tenant"),
		Environment: config.EnvironmentID(rapid.Uint32().Draw(t, "environment")),
		Path:        rapid.StringN(0, 40, -1).Draw(t, "path"),
		Version:     rapid.Int64().Draw(t, "version"),
	}
}

// genPlain draws random bytes and text that compresses, on both sides of 1 KiB.
func genPlain(t *rapid.T) []byte {
	plain := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "plain")
	return bytes.Repeat(plain, rapid.SampledFrom([]int{1, 1, 1, 40, 1000}).Draw(t, "times"))
}

func TestWhatIsSealedOpensInItsPlaceAlone(t *testing.T) {
	_, k := founded(t, seal.Options{})
	rapid.Check(t, func(t *rapid.T) {
		at, plain := genPlace(t), genPlain(t)
		sealed := mustSeal(t, k, at, plain)
		mustOpen(t, k, at, sealed, plain)

		elsewhere := at
		switch rapid.SampledFrom([]string{"kind", "tenant", "environment", "path", "version", "anywhere"}).Draw(t, "moved") {
		case "kind":
			elsewhere.Kind++
		case "tenant":
			elsewhere.Tenant = map[config.TenantID]config.TenantID{{}: tenantA, tenantA: tenantB, tenantB: {}}[at.Tenant]
		case "environment":
			elsewhere.Environment ^= 1 << rapid.IntRange(0, 31).Draw(t, "bit")
		case "path":
			elsewhere.Path = rapid.SampledFrom([]string{at.Path + "a", at.Path + "\x00", "/" + at.Path, strings.ToUpper(at.Path) + "A"}).Draw(t, "path there")
		case "version":
			elsewhere.Version ^= 1 << rapid.IntRange(0, 63).Draw(t, "bit")
		case "anywhere":
			if elsewhere = genPlace(t); elsewhere == at {
				return
			}
		}
		wantBroken(t, k, elsewhere, sealed)
	})
}

func TestWhatIsAlteredDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	k := w.start(t, seal.Options{SealsPerEpoch: 50, SealsPerBlock: 5})
	mustFound(t, k, tenantA)
	mustFound(t, k, tenantB)
	rapid.Check(t, func(t *rapid.T) {
		at, plain := genPlace(t), genPlain(t)
		sealed := mustSeal(t, k, at, plain)
		altered := bytes.Clone(sealed)
		switch rapid.SampledFrom([]string{"flip", "cut", "cut front", "extend", "epoch", "nonce", "empty"}).Draw(t, "alteration") {
		case "flip":
			bit := rapid.IntRange(0, len(sealed)*8-1).Draw(t, "bit")
			altered[bit/8] ^= 1 << (bit % 8)
		case "cut":
			altered = altered[:rapid.IntRange(0, len(sealed)-1).Draw(t, "length")]
		case "cut front":
			altered = altered[rapid.IntRange(1, len(sealed)).Draw(t, "from"):]
		case "extend":
			altered = append(altered, rapid.Byte().Draw(t, "more"))
		case "epoch": // one that may exist
			if altered[4]--; epochOf(altered) == 0 {
				altered[4] = 2
			}
		case "nonce":
			copy(altered[5:17], mustSeal(t, k, at, plain)[5:17])
		case "empty":
			altered = nil
		}
		wantBroken(t, k, at, altered)
	})
}

func TestEveryBitCounts(t *testing.T) {
	_, k := founded(t, seal.Options{})
	sealed := mustSeal(t, k, place, []byte(`{"model":"m"}`))
	for bit := range len(sealed) * 8 {
		altered := bytes.Clone(sealed)
		altered[bit/8] ^= 1 << (bit % 8)
		wantBroken(t, k, place, altered)
	}
}

func wantBroken(t interface {
	Helper()
	Fatalf(string, ...any)
}, k *seal.Keyring, at seal.Place, sealed []byte) {
	t.Helper()
	plain, err := k.Open(context.Background(), at, sealed)
	if !errors.Is(err, seal.ErrSealBroken) {
		t.Fatalf("Open(%s) = %d bytes, %v, want ErrSealBroken", at, len(plain), err)
	}
	if plain != nil {
		t.Fatalf("Open answers bytes beside its error")
	}
}

// The error of a broken seal goes to the log.
func TestABrokenSealNamesItsPlaceAndNoContent(t *testing.T) {
	_, k := founded(t, seal.Options{})
	sealed := mustSeal(t, k, place, []byte("marker-of-content"))
	sealed[len(sealed)-1]++
	_, err := k.Open(t.Context(), place, sealed)
	const want = `seal is broken: layer "gateway/eu-1" version 7 in environment 3 of tenant 0000000000000000000000000000000a`
	if err == nil || err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
	if config.KindOf(err) != config.KindInternal {
		t.Errorf("kind %q would show the error to a client", config.KindOf(err))
	}
	if got := seal.Kind(99).String(); got != "kind 99" {
		t.Errorf("a kind without a name is %q", got)
	}
}

func TestNothingOfTheTextIsLeftInTheSeal(t *testing.T) {
	_, k := founded(t, seal.Options{})
	for _, size := range []int{20, 5000} {
		plain := bytes.Repeat([]byte("marker-"), size/7)
		one, two := mustSeal(t, k, place, plain), mustSeal(t, k, place, plain)
		if bytes.Contains(one, []byte("marker")) {
			t.Errorf("%d bytes are sealed in clear", size)
		}
		if bytes.Equal(one[5:], two[5:]) {
			t.Errorf("the same text seals to the same bytes")
		}
	}
}

func TestCompression(t *testing.T) {
	_, k := founded(t, seal.Options{})
	text := []byte(strings.Repeat(`{"provider":"openai","timeout":30},`, 200))
	noise := make([]byte, 8000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	const overhead = 34 // header, packing byte, tag
	cases := []struct {
		name  string
		plain []byte
		below int
	}{
		{"nothing", nil, overhead + 1},
		{"small text stays as it is", text[:1024], 1024 + overhead + 1},
		{"large text shrinks", text, len(text) / 5},
		{"noise grows by nothing", noise, len(noise) + overhead + 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sealed := mustSeal(t, k, place, c.plain)
			if len(sealed) >= c.below {
				t.Errorf("%d bytes seal to %d, want less than %d", len(c.plain), len(sealed), c.below)
			}
			mustOpen(t, k, place, sealed, c.plain)
		})
	}
	if sealed := mustSeal(t, k, place, text[:1024]); len(sealed) != 1024+overhead {
		t.Errorf("1 KiB seals to %d bytes: it was compressed", len(sealed))
	}
}

func TestTooLargeToSeal(t *testing.T) {
	_, k := founded(t, seal.Options{})
	plain := make([]byte, seal.MaxPlainBytes+1)
	_, err := k.Seal(t.Context(), place, plain)
	wantKind(t, err, config.KindTooLarge)
	sealed := mustSeal(t, k, place, plain[1:])
	mustOpen(t, k, place, sealed, plain[1:])
}
