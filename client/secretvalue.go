package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// Hidden is what stands for a secret's value wherever it is printed.
const Hidden = "[secret]"

// Secret is a value that shows itself to nobody but the caller of a Reveal
// method: fmt, encoding/json, log/slog and what is built on them print Hidden.
// Two are equal, by ==, when their values are. The zero Secret is an empty text.
//
// A Secret may stand in a type that is decoded from a revealed document, where
// the reference does. What was encoded again holds Hidden, and no value.
type Secret struct {
	// A handle is a pointer. Where fmt cannot call Format, in an unexported
	// field, it follows one pointer when a verb does not suit, so there are two.
	of unique.Handle[unique.Handle[content]]
}

// content is a value and what kind of thing it is.
type content struct {
	kind kind
	data string // a text itself, bytes as they are, anything else as JSON
}

type kind uint8

const (
	textKind kind = iota
	bytesKind
	jsonKind
)

func newSecret(k kind, data string) Secret { return Secret{unique.Make(unique.Make(content{k, data}))} }

// content is the value; the zero handle has none to give.
func (s Secret) content() content {
	if s == (Secret{}) {
		return content{}
	}
	return s.of.Value().Value()
}

// Reveal is the value: a text itself, bytes as they are, anything else as JSON.
func (s Secret) Reveal() string { return s.content().data }

// RevealBytes is Reveal as bytes, which are the caller's own.
func (s Secret) RevealBytes() []byte { return []byte(s.content().data) }

// RevealJSON is the value as it stands in JSON: a text in quotes, bytes as their
// base64 in quotes, anything else as it is.
func (s Secret) RevealJSON() json.RawMessage {
	c := s.content()
	switch c.kind {
	case jsonKind:
		return json.RawMessage(c.data)
	case bytesKind:
		c.data = base64.StdEncoding.EncodeToString([]byte(c.data))
	}
	var out bytes.Buffer
	in := json.NewEncoder(&out)
	in.SetEscapeHTML(false)
	_ = in.Encode(c.data) // a text always has a JSON form
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'})
}

// IsZero says whether there is no value.
func (s Secret) IsZero() bool { return s.content() == content{} }

// String is Hidden.
func (s Secret) String() string { return Hidden }

// Format writes Hidden, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Hidden) }

// LogValue is Hidden.
func (s Secret) LogValue() slog.Value { return slog.StringValue(Hidden) }

// MarshalJSON is Hidden, in quotes.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Hidden + `"`), nil }

// MarshalText is Hidden.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// UnmarshalJSON takes up a value from a revealed document: a text from a text,
// anything else as it stands.
func (s *Secret) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		return nil // as for every other type
	}
	if len(data) == 0 || data[0] != '"' {
		*s = newSecret(jsonKind, string(data))
		return nil
	}
	var text string
	if json.Unmarshal(data, &text) != nil {
		return errNotJSON
	}
	*s = newSecret(textKind, text)
	return nil
}
