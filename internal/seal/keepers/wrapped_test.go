package keepers

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

func sample() wrapped {
	return wrapped{kind: kindGCP, version: "v1", ciphertext: []byte("ciphertext"), body: make([]byte, nonceBytes+tagBytes)}
}

func TestWrappedForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := wrapped{
			kind:       rapid.Byte().Draw(t, "kind"),
			version:    rapid.StringN(0, maxVersionBytes/4, maxVersionBytes).Draw(t, "version"),
			ciphertext: rapid.SliceOfN(rapid.Byte(), 1, maxCiphertextBytes).Draw(t, "ciphertext"),
			body:       rapid.SliceOfN(rapid.Byte(), nonceBytes+tagBytes, 500).Draw(t, "body"),
		}
		got, err := parseWrapped(w.bytes())
		if err != nil || got.kind != w.kind || got.version != w.version || !bytes.Equal(got.ciphertext, w.ciphertext) || !bytes.Equal(got.body, w.body) {
			t.Fatalf("%+v reads back as %+v, %v", w, got, err)
		}
	})
}

func TestWhatIsNoWrappedForm(t *testing.T) {
	long := func(version, ciphertext, body int) []byte {
		return wrapped{kind: 1, version: strings.Repeat("v", version), ciphertext: make([]byte, ciphertext), body: make([]byte, body)}.bytes()
	}
	good := sample().bytes()
	for name, b := range map[string][]byte{
		"nothing": nil, "format only": {formatEnvelope}, "another format": append([]byte{1}, good[1:]...),
		"a version too long": long(maxVersionBytes+1, 1, 28), "a ciphertext too long": long(1, maxCiphertextBytes+1, 28), "no ciphertext": long(1, 0, 28),
		"a body too short": long(1, 1, 27), "a body too long": long(1, 1, nonceBytes+maxPlainBytes+tagBytes+1),
		"a length past the end": append(bytes.Clone(good[:6]), 0xff, 0xff),
	} {
		if _, err := parseWrapped(b); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func FuzzWrapped(f *testing.F) {
	f.Add(sample().bytes())
	f.Add(wrapped{kind: kindVault, version: "vault:v1", ciphertext: make([]byte, transitBytes), body: make([]byte, 60)}.bytes())
	f.Add([]byte{formatEnvelope, 0, 0, 0, 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWrapped(b)
		if err == nil && !bytes.Equal(w.bytes(), b) {
			t.Errorf("%x reads as %+v and is written as %x", b, w, w.bytes())
		}
	})
}

// rogue is a service that answers what it likes.
type rogue struct {
	ciphertext []byte
	version    string
	key        []byte
}

func (r rogue) encrypt(context.Context, []byte, binding) ([]byte, string, error) {
	return r.ciphertext, r.version, nil
}

func (r rogue) decrypt(context.Context, []byte, string, binding) ([]byte, error) { return r.key, nil }

func TestAServiceThatAnswersNonsense(t *testing.T) {
	for name, r := range map[string]rogue{
		"no ciphertext": {}, "a huge ciphertext": {ciphertext: make([]byte, maxCiphertextBytes+1)},
		"a huge version": {ciphertext: []byte("x"), version: strings.Repeat("v", maxVersionBytes+1)},
	} {
		_, err := keeperParts{kind: 1, name: "rogue", service: r}.keeper(defaultTimeout).Wrap(t.Context(), nil, nil)
		unavailable(t, err, "rogue answered with")
		_ = name
	}
	for _, key := range [][]byte{nil, make([]byte, 31), make([]byte, 33), make([]byte, 1<<20)} {
		k := keeperParts{kind: kindGCP, name: "rogue", service: rogue{key: key}}.keeper(defaultTimeout)
		if _, err := k.Unwrap(t.Context(), sample().bytes(), nil); !errors.Is(err, seal.ErrNotWrapped) {
			t.Errorf("a key of %d bytes: %v", len(key), err)
		}
	}
}

func TestTooMuchToWrap(t *testing.T) {
	k := keeperParts{name: "rogue", service: rogue{}}.keeper(defaultTimeout)
	if _, err := k.Wrap(t.Context(), make([]byte, maxPlainBytes+1), nil); err == nil || !strings.Contains(err.Error(), "wraps at most") {
		t.Errorf("Wrap: %v", err)
	}
}

// silentService never answers.
type silentService struct{ rogue }

func (silentService) encrypt(ctx context.Context, _ []byte, _ binding) ([]byte, string, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}

func TestAServiceThatDoesNotAnswer(t *testing.T) {
	k := keeperParts{name: "a slow service", service: silentService{}}.keeper(1)
	_, err := k.Wrap(t.Context(), nil, nil)
	unavailable(t, err, "a slow service did not answer within", "`timeout` in its URL")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no DeadlineExceeded", err)
	}
}

func TestKeyOf(t *testing.T) {
	k := keeperParts{kind: kindGCP, service: rogue{}, versions: true}.keeper(defaultTimeout).(seal.KeyNamer)
	if got := k.KeyOf(sample().bytes()); got != "v1" {
		t.Errorf("KeyOf is %q", got)
	}
	other := sample()
	other.kind = kindVault
	for _, b := range [][]byte{nil, other.bytes(), sample().bytes()[1:]} {
		if got := k.KeyOf(b); got != "" {
			t.Errorf("KeyOf of what is not its own is %q", got)
		}
	}
	if _, can := (keeperParts{kind: kindAWS, service: rogue{}}).keeper(defaultTimeout).(seal.KeyNamer); can {
		t.Error("a keeper whose service tells no versions names keys")
	}
}
