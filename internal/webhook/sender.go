package webhook

import (
	"context"
	"net/http"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Sender posts to one address that the server's settings name: it needs no place
// in the list of hosts, and is trusted no further than those that have one.
type Sender struct {
	caller *Caller
	client *http.Client
	to     target
	key    []byte
}

// CheckURL says whether a text is an address that a Sender takes: https, or
// plain http on the server's own machine. The error is a *config.Error.
func CheckURL(text string) error {
	_, err := parseOwn(text)
	return err
}

// NameOf is the Name of the Sender that a URL would have.
func NameOf(text string) (string, error) {
	to, err := parseOwn(text)
	if err != nil {
		return "", err
	}
	return to.name(), nil
}

func (t target) name() string { return t.url.Scheme + "://" + t.address() }

func parseOwn(text string) (target, error) {
	to, err := parseTarget(text)
	if err != nil {
		return target{}, err
	}
	if to.url.Scheme == "http" && !localHost(to.host) {
		return target{}, badURL("has the scheme http, and its host is not the server's own machine")
	}
	to.named = true
	return to, nil
}

// NewSender makes a Sender. A key, whsec_… as text, signs what is posted; nil: it
// is not signed. Of the options, Allowed has no meaning here. The error is a
// *config.Error.
func NewSender(url string, key []byte, o Options) (*Sender, error) {
	to, err := parseOwn(url)
	if err != nil {
		return nil, err
	}
	if key != nil {
		raw, err := decodeKey(key)
		if err != nil {
			return nil, config.Errorf(config.KindBadRequest, "what is to sign webhooks is no key for that").
				Hint("give %s and the base64 of %d to %d random bytes, and the same to the receiver", keyPrefix, minKeyBytes, maxKeyBytes)
		}
		clear(raw)
	}
	caller := New(o)
	return &Sender{caller: caller, client: caller.client(to), to: to, key: key}, nil
}

// Name is the address without its path and query, which may hold a credential.
func (s *Sender) Name() string { return s.to.name() }

// Post sends a body once; any status but 2xx is an error. The id is the same when
// the same body is sent again: letters, digits, - and _. Errors are a
// *config.Error that names the host.
func (s *Sender) Post(ctx context.Context, id, contentType string, body []byte) error {
	p := post{to: s.to, contentType: contentType, body: body}
	if s.key != nil {
		signer, clearKey, err := newSigner(s.key, id)
		if err != nil {
			return err
		}
		defer clearKey()
		p.signer = signer
	}
	ctx, cancel := context.WithTimeout(ctx, s.caller.options.Timeout)
	defer cancel()
	response, err := s.caller.send(ctx, s.client, p)
	if err != nil {
		return asError(err)
	}
	return response.Body.Close()
}
