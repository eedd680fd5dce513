package service

import (
	"context"
	"crypto/subtle"
	"encoding/binary"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// provenTokens reads tokens of a store that is not trusted: a row that this
// product did not write, or that was altered, is no token. Whoever can write to
// the database cannot let himself in with a token of his own making.
type provenTokens struct {
	store.Identities
	keyring *seal.Keyring
}

var _ access.Tokens = provenTokens{}

func (p provenTokens) Token(ctx context.Context, id string) (store.Token, error) {
	token, err := p.Identities.Token(ctx, id)
	if err != nil {
		return token, err
	}
	mac, err := tokenMAC(ctx, p.keyring, token)
	if kind := config.KindOf(err); kind == config.KindGone || kind == config.KindNotFound {
		return store.Token{}, noSuchToken(id) // its tenant has no key any more
	}
	if err != nil {
		return store.Token{}, err
	}
	if subtle.ConstantTimeCompare(mac[:], token.MAC[:]) != 1 {
		return store.Token{}, noSuchToken(id)
	}
	return token, nil
}

// tokenMAC is over all of a token but whether it was revoked, which can only
// take rights away.
func tokenMAC(ctx context.Context, keyring *seal.Keyring, t store.Token) ([32]byte, error) {
	var b []byte
	for _, text := range []string{t.ID, t.Name, t.Author} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = append(b, t.Tenant[:]...)
	b = append(b, t.Hash[:]...)
	for _, right := range []bool{t.TenantAdmin, t.ServerAdmin} {
		if right {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.Created.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires.UnixNano()))
	b = append(b, t.Grants...) // last, and none for tokens of the first release
	return keyring.MAC(ctx, t.Tenant, "token", b)
}

func noSuchToken(id string) error {
	return config.Errorf(config.KindNotFound, "there is no token %q", id).Hint("`llm-config token ls` lists them")
}
