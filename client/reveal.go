package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// errNotJSON says no more than it does: what a JSON decoder says of a text may
// show a part of it.
var errNotJSON = errors.New("the value is not JSON")

// RevealedSecret is a secret with its values, which it shows only when asked
// for: printed, it has their names.
type RevealedSecret struct {
	Environment string // that supplies it
	Path        string
	Revision    int64 // it is as it was at this revision, or newer
	RevealedVersion
	Previous *RevealedVersion // the version in grace, which is still valid; nil when there is none
}

// RevealedVersion is one version of a secret with its values.
type RevealedVersion struct {
	Version   int64
	State     string
	Fields    map[string]Secret
	Until     time.Time // when it stops being valid; zero when that is not known
	ExpiresAt time.Time // when it was made to end; zero for never
}

// RevealOptions say what of a secret is to be revealed. The zero RevealOptions
// is all of the version in use, and the one in grace with it.
type RevealOptions struct {
	Version     int64  // a certain version; 0 means the one in use
	Field       string // only this field; empty means all
	MinRevision int64  // the answer must be of this revision or a later one; 0 asks for none
}

// RevealSecret reads the values of a secret. That it was read is on record.
func (c *Client) RevealSecret(ctx context.Context, environment, path string, o RevealOptions) (*RevealedSecret, error) {
	r, err := c.request(http.MethodGet, api.RouteSecret, environment, path)
	if err != nil {
		return nil, err
	}
	r.setBool("reveal", true).setInt("version", o.Version).set("field", o.Field).setInt("min_revision", o.MinRevision)
	revealed, err := callRevealed[api.RevealedSecret](ctx, c, r)
	if err != nil {
		return nil, err
	}
	s := &RevealedSecret{Environment: revealed.Environment, Path: revealed.Path, Revision: revealed.Revision}
	if s.RevealedVersion, err = readVersion(revealed.RevealedVersion); err == nil && revealed.Previous != nil {
		s.Previous = new(RevealedVersion)
		*s.Previous, err = readVersion(*revealed.Previous)
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s as %s gave it: %w", path, c.Address(), err)
	}
	return s, nil
}

// callRevealed is call for an answer that holds values: what is wrong with it is
// not said, lest a value show.
func callRevealed[T any](ctx context.Context, c *Client, r *request) (*T, error) {
	r.header.Set("Accept", api.TypeJSON)
	a, err := c.want(ctx, r, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var value T
	if mediaType(a.header) != api.TypeJSON {
		return nil, c.unexpected(a, "it is not JSON")
	}
	if json.Unmarshal(a.body, &value) != nil {
		return nil, c.unexpected(a, "its JSON does not parse")
	}
	return &value, nil
}

// readVersion takes the values over from the wire.
func readVersion(v api.RevealedVersion) (RevealedVersion, error) {
	if v.Version < 1 {
		return RevealedVersion{}, errors.New("it does not say its version")
	}
	out := RevealedVersion{Version: v.Version, State: v.State, Fields: make(map[string]Secret, len(v.Fields))}
	if v.Until != nil {
		out.Until = *v.Until
	}
	if v.ExpiresAt != nil {
		out.ExpiresAt = *v.ExpiresAt
	}
	for name, value := range v.Fields {
		field := new(Secret)
		err := field.UnmarshalJSON(value)
		if err == nil && slices.Contains(v.Base64, name) {
			*field, err = fromBase64(*field)
		}
		if err != nil {
			return RevealedVersion{}, fmt.Errorf("field %q of version %d: %w", name, v.Version, err)
		}
		out.Fields[name] = *field
	}
	return out, nil
}

func fromBase64(s Secret) (Secret, error) {
	c := s.content()
	data, err := base64.StdEncoding.Strict().DecodeString(c.data)
	if err != nil || c.kind != textKind {
		return Secret{}, errors.New("the value is not base64")
	}
	return newSecret(bytesKind, string(data)), nil
}

// Names are the names of the fields in order.
func (v RevealedVersion) Names() []string { return slices.Sorted(maps.Keys(v.Fields)) }

// Field is the field of that name; a secret of a single value has the field
// "value".
func (v RevealedVersion) Field(name string) (Secret, error) {
	field, ok := v.Fields[name]
	if !ok {
		return Secret{}, fmt.Errorf("version %d of the secret has no field %q; it has %s", v.Version, name, strings.Join(v.Names(), ", "))
	}
	return field, nil
}

// Text is a field that is a text.
func (v RevealedVersion) Text(name string) (string, error) {
	field, err := v.Field(name)
	if err != nil {
		return "", err
	}
	c := field.content()
	switch c.kind {
	case bytesKind:
		return "", fmt.Errorf("the field %q holds bytes and no text; read it by Bytes", name)
	case jsonKind:
		return "", fmt.Errorf("the field %q holds JSON and no text; read it by JSON", name)
	}
	return c.data, nil
}

// Bytes is a field that is bytes, or the UTF-8 of a text.
func (v RevealedVersion) Bytes(name string) ([]byte, error) {
	field, err := v.Field(name)
	if err != nil {
		return nil, err
	}
	if field.content().kind == jsonKind {
		return nil, fmt.Errorf("the field %q holds JSON and no bytes; read it by JSON", name)
	}
	return field.RevealBytes(), nil
}

// JSON decodes a field of whatever kind, by the rules of encoding/json.
func (v RevealedVersion) JSON(name string, into any) error {
	field, err := v.Field(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(field.RevealJSON(), into); err != nil {
		return fmt.Errorf("the field %q does not decode into %T%s", name, into, where(err))
	}
	return nil
}

// where says at which member a secret did not decode, if that is known. What
// else the error says may hold the value.
func where(err error) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return ""
	}
	kind, _, _ := strings.Cut(wrong.Value, " ") // of a number, the number follows
	text := fmt.Sprintf(": %s where %s belongs", kind, wrong.Type)
	if wrong.Field != "" {
		text += " (in " + wrong.Field + ")"
	}
	return text
}
