package config

import (
	"errors"
	"fmt"
	"testing"
)

func TestKindOf(t *testing.T) {
	refusal := Errorf(KindGone, "gone")
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{nil, ""}, {refusal, KindGone}, {fmt.Errorf("while reading: %w", refusal), KindGone},
		{errors.New("disk on fire"), KindInternal}, {errors.Join(errors.New("x"), refusal), KindGone},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%v: want %q, got %q", c.err, c.want, got)
		}
	}
}

func TestErrorSaysWhatAndWhere(t *testing.T) {
	cause := errors.New("the disk is full of hunter2")
	e := Errorf(KindTooLarge, "%d is too many", 3).At("/a/0").Hint("take %d", 2).Over(2, 3)
	e.Cause = cause
	if got, want := e.Error(), "too_large: 3 is too many (at /a/0)"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	if e.Next != "take 2" || e.Limit != 2 || e.Actual != 3 || !errors.Is(e, cause) {
		t.Errorf("got %+v", e)
	}
	if got := Errorf(KindGone, "it is gone").Error(); got != "gone: it is gone" {
		t.Errorf("got %q", got)
	}
}

func TestTenantID(t *testing.T) {
	id := TenantID{0: 0xAB, 15: 0x01}
	const text = "ab000000000000000000000000000001"
	if id.String() != text {
		t.Errorf("got %s", id)
	}
	if got, err := ParseTenantID(text); got != id || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	for _, text := range []string{"", "ab", text[2:], text + "00", "AB" + text[2:], "xy" + text[2:], text[1:], " " + text[1:]} {
		if got, err := ParseTenantID(text); KindOf(err) != KindBadRequest || got != (TenantID{}) {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
	}
}

func TestDocument(t *testing.T) {
	var absent Document
	empty := NewDocument(map[string]any{})
	if absent.Exists() || !empty.Exists() || !NewDocument(nil).Exists() {
		t.Error("absent is not the same as empty")
	}
	if string(empty.Canonical()) != "{}" || empty.Digest().String() != "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" {
		t.Errorf("got %s with digest %s", empty.Canonical(), empty.Digest())
	}
	a, b := mustJSON(t, `{"b": 1.50, "a": "x"}`), mustJSON(t, "{\"a\":\"\\u0078\",\"b\":15e-1}")
	if a.Digest() != b.Digest() || a.Digest() == empty.Digest() {
		t.Errorf("%s and %s", a.Digest(), b.Digest())
	}
}
