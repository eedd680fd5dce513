package webhook

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// The shape of a signing key: a prefix and the base64 of 24 to 64 bytes.
const (
	keyPrefix   = "whsec_"
	minKeyBytes = 24
	maxKeyBytes = 64
)

// maxID bounds the id of a message.
const maxID = 128

// signer signs the attempts of one message.
type signer struct {
	id   string
	hook *standardwebhooks.Webhook
}

// newSigner decodes a key; done clears what it was decoded into.
func newSigner(key []byte, id string) (s *signer, done func(), err error) {
	if !validID(id) {
		return nil, nil, config.Errorf(config.KindBadRequest, "the id of a webhook's message is 1 to %d letters, digits, - and _", maxID)
	}
	raw, err := decodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	hook, err := standardwebhooks.NewWebhookRaw(raw)
	if err != nil {
		clear(raw)
		return nil, nil, err
	}
	return &signer{id, hook}, func() { clear(raw) }, nil
}

// decodeKey reads a signing key. It errs without a part of it.
func decodeKey(key []byte) ([]byte, error) {
	text, found := bytes.CutPrefix(key, []byte(keyPrefix))
	if !found || len(text) > base64.StdEncoding.EncodedLen(maxKeyBytes) {
		return nil, badKey()
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	if err != nil || n < minKeyBytes || n > maxKeyBytes || bytes.ContainsAny(text, "\r\n") {
		clear(raw)
		return nil, badKey()
	}
	return raw[:n], nil
}

func badKey() error {
	return config.Errorf(config.KindBadRequest, "the secret that signs the webhook holds no signing key").
		Hint("store %s and the base64 of %d to %d random bytes in it, and the same at the receiver", keyPrefix, minKeyBytes, maxKeyBytes)
}

// sign sets the headers of an attempt. The receiver refuses one whose time is
// minutes away from its own clock.
func (s *signer) sign(header http.Header, now time.Time, body []byte) error {
	signature, err := s.hook.Sign(s.id, now, body)
	if err != nil {
		return err
	}
	header.Set(standardwebhooks.HeaderWebhookID, s.id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}

// validID keeps out the dot, which ends the id within what is signed.
func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for _, c := range []byte(id) {
		if !alphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
