package seal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

const goodPassphrase = "Quartz-otter-91-velvet-Harpoon-mumble-sextant"

func newPassphraseKeeper(t testing.TB, passphrase string) seal.Keeper {
	t.Helper()
	k, err := seal.OpenPassphraseKeeper("passphrase", []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPassphrases(t *testing.T) {
	cases := []struct{ name, passphrase, want string }{
		{"seven words", "cobalt gravy whisker ninety umpire thistle moat", ""},
		{"24 random characters", "vT9_qLr2XcW7-bNzK4hPdYe8", ""},
		{"words beyond ASCII", "вежливый жираф утром читает газету", ""},
		{"repetition beyond ASCII", strings.Repeat("жжжжжж ", 5), "can be guessed"},
		{"hexadecimal", "9f3c7ab1e8d24056c7f19be23a80d4f5", ""},
		{"empty", "", "is shorter than 16"},
		{"short", "vT9_qLr2XcW7-bN", "is shorter than 16"},
		{"short in characters", "ääääääääääääää", "is shorter than 16"},
		{"one letter", strings.Repeat("a", 64), "can be guessed"},
		{"words everybody has", "password password password", "can be guessed"},
		{"our own name", "llm-config-manager-llm-config", "can be guessed"},
		{"a walk on the keyboard", "qwertyuiopasdfghjklzxcvbnm", "can be guessed"},
		{"digits", "12345678901234567890123456", "can be guessed"},
		{"a phrase of few words", "correcthorsebatterystaple", "can be guessed"},
		{"not text", strings.Repeat("\xff\x01", 12), "is not UTF-8"},
		{"a whole file", strings.Repeat("vT9_qLr2XcW7-bNz", 65), "more than 1024 bytes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := seal.OpenPassphraseKeeper("passphrase:?env=X", []byte(c.passphrase))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), ": ")):
				t.Errorf("error is %v, want %q and a next step", err, c.want)
			case c.want != "" && c.passphrase != "" && strings.Contains(err.Error(), c.passphrase):
				t.Error("the error shows the passphrase")
			}
		})
	}
}

func TestPassphraseKeeper(t *testing.T) {
	given := []byte(goodPassphrase)
	k, err := seal.OpenPassphraseKeeper("passphrase of a test", given)
	if err != nil {
		t.Fatal(err)
	}
	clear(given) // the keeper has its own
	if k.Name() != "passphrase of a test" {
		t.Errorf("Name is %q", k.Name())
	}
	wrapped := mustWrap(t, k)
	again := newPassphraseKeeper(t, goodPassphrase)
	if !unwraps(t, again, wrapped) {
		t.Fatal("the same passphrase does not unwrap")
	}
	if namer := again.(seal.KeyNamer); namer.KeyOf(mustWrap(t, again)) != namer.KeyOf(wrapped) || namer.KeyOf(wrapped) == "" || namer.KeyOf(nil) != "" {
		t.Error("it does not go on with the salt that it met")
	}
	if unwraps(t, newPassphraseKeeper(t, goodPassphrase+"."), wrapped) {
		t.Error("another passphrase unwraps")
	}
	if _, err := again.Unwrap(t.Context(), wrapped, []byte("there")); !errors.Is(err, seal.ErrNotWrapped) {
		t.Errorf("elsewhere: %v", err)
	}
	// Of the salt one byte will do: each takes a derivation.
	for i := range wrapped {
		if i > 10 && i < 42 {
			continue
		}
		if unwraps(t, again, alter(wrapped, i)) || unwraps(t, again, wrapped[:i]) {
			t.Errorf("altered or cut at byte %d it unwraps", i)
		}
	}
}

// The store must not say how much memory is spent: other figures than ours are
// refused without any being spent.
func TestOtherCostsAreRefused(t *testing.T) {
	k := newPassphraseKeeper(t, goodPassphrase)
	wrapped := mustWrap(t, k)
	for i, with := range map[int]byte{0: 1, 1: 0xff, 4: 4, 5: 0x7f, 8: 1, 9: 255} {
		costly := bytes.Clone(wrapped)
		costly[i] = with
		fresh := newPassphraseKeeper(t, goodPassphrase)
		begin := time.Now()
		if unwraps(t, fresh, costly) {
			t.Errorf("byte %d may be %d", i, with)
		}
		if took := time.Since(begin); took > 20*time.Millisecond {
			t.Errorf("byte %d: the refusal took %s, as long as a derivation", i, took)
		}
	}
}

// A salt that the store made up is not gone on with.
func TestAMadeUpSaltIsNotGoneOnWith(t *testing.T) {
	wrapped := mustWrap(t, newPassphraseKeeper(t, goodPassphrase))
	copy(wrapped[10:42], make([]byte, 32))
	k := newPassphraseKeeper(t, goodPassphrase)
	if unwraps(t, k, wrapped) {
		t.Fatal("it unwraps")
	}
	if bytes.Equal(mustWrap(t, k)[10:42], make([]byte, 32)) {
		t.Error("the salt made up is used")
	}
}

func TestManySalts(t *testing.T) {
	var all [][]byte
	for range 6 {
		all = append(all, mustWrap(t, newPassphraseKeeper(t, goodPassphrase)))
	}
	k := newPassphraseKeeper(t, goodPassphrase)
	for _, order := range [][]int{{0, 1, 2, 3, 4, 5}, {5, 5, 3, 4, 0, 0}} {
		for _, i := range order {
			if !unwraps(t, k, all[i]) {
				t.Errorf("salt %d does not unwrap", i)
			}
		}
	}
}

func TestWhoWaitsForADerivationMayGiveUp(t *testing.T) {
	k := newPassphraseKeeper(t, goodPassphrase)
	ctx, cancel := context.WithCancel(t.Context())
	begun, done := make(chan struct{}), make(chan error)
	go func() {
		close(begun)
		_, err := k.Wrap(t.Context(), nil, nil)
		done <- err
	}()
	<-begun
	cancel()
	if _, err := k.Unwrap(ctx, mustHex(passphraseWrappedV2), []byte("here")); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Unwrap: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// These bytes were made by the first version of the format; a test that fails
// here must not be "repaired".
func TestTheFormatOfPassphrasesStandsStill(t *testing.T) {
	k := newPassphraseKeeper(t, goodPassphrase)
	if !unwraps(t, k, mustHex(passphraseWrappedV2)) {
		t.Errorf("it does not unwrap; today's is %s", hex.EncodeToString(mustWrap(t, k)))
	}
}

const passphraseWrappedV2 = "02000000030001000004d7e2ff07c7e9433f55a18fb2f62d0c2194a834026adb0e42eeeb52e1a9184597d9b8086ed1f87285051ead1d42e8a1156bf11bf250f0803993572d895a342655fe"

// A change of the passphrase is a change of the keeper.
func TestAKeyringUnderAPassphrase(t *testing.T) {
	w := newWorld(t)
	w.keeper = &keeper{Keeper: newPassphraseKeeper(t, goodPassphrase)}
	k := w.start(t, seal.Options{})
	mustFound(t, k, tenantA)
	sealed := mustSeal(t, k, place, []byte("text"))
	w.keeper = &keeper{Keeper: newPassphraseKeeper(t, goodPassphrase+" or another")}
	if _, err := w.tryStart(t, seal.Options{}); !errors.Is(err, seal.ErrWrongMasterKey) {
		t.Fatalf("start with another passphrase: %v", err)
	}
	w.read = []seal.Keeper{newPassphraseKeeper(t, goodPassphrase)}
	k = w.start(t, seal.Options{})
	rewrapAll(t, k)
	w.read = nil
	mustOpen(t, w.start(t, seal.Options{}), place, sealed, []byte("text"))
}
