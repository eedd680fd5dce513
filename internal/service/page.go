package service

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// MaxPage bounds a page of any list.
const MaxPage = 1000

// DefaultPage is the page when none is asked for.
const DefaultPage = 100

// Page asks for a part of a list.
type Page struct {
	Limit  int    // at most so many; zero is DefaultPage
	Cursor Cursor // where the page before ended; "" is the first page
}

// Cursor says where a page ended; "" means that there is no more. The store's
// own names the last row, which may be one that the caller may not know of, and
// whoever could write one would look wherever he likes. So it leaves sealed, for
// its caller and its list only. That the two are types of their own lets no verb
// forget it.
type Cursor string

// maxCursorBytes bounds the text of a cursor: the longest of the store, filled
// up and sealed, is shorter.
const maxCursorBytes = 1536

// cursorStep is what a cursor is filled up to a multiple of, so that its length
// does not tell that of a name.
const cursorStep = 128

// pages are those of one caller in one list.
type pages struct {
	keyring *seal.Keyring
	tenant  config.TenantID // zero for lists of the server
	list    string
	account string
}

func (s *Service) pagesOf(who Caller, tenant config.TenantID, list string) pages {
	return pages{s.keyring, tenant, list, who.Principal.Account()}
}

// open is the page to ask the store for. It fills in the default and refuses
// what is out of bounds, and cursors that were not given out here.
func (p pages) open(ctx context.Context, page Page) (store.Page, error) {
	asked := store.Page{Limit: page.Limit}
	if asked.Limit == 0 {
		asked.Limit = DefaultPage
	}
	if asked.Limit < 1 || asked.Limit > MaxPage {
		return asked, config.Errorf(config.KindBadRequest, "limit is not between 1 and %d", MaxPage).At("limit").
			Over(MaxPage, int64(page.Limit))
	}
	if page.Cursor == "" {
		return asked, nil
	}
	var err error
	asked.Cursor, err = p.unseal(ctx, string(page.Cursor))
	return asked, err
}

func (p pages) unseal(ctx context.Context, text string) (store.Cursor, error) {
	if len(text) > maxCursorBytes || strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return "", store.InvalidCursor()
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return "", store.InvalidCursor()
	}
	aead, err := p.cipher(ctx)
	if err != nil {
		return "", err
	}
	filled, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return "", store.InvalidCursor()
	}
	return store.Cursor(strings.TrimRight(string(filled), "\x00")), nil
}

// seal is the cursor to give out for one of the store.
func (p pages) seal(ctx context.Context, next store.Cursor) (Cursor, error) {
	if next == "" {
		return "", nil
	}
	aead, err := p.cipher(ctx)
	if err != nil {
		return "", err
	}
	filled := append([]byte(next), make([]byte, -len(next)&(cursorStep-1))...)
	return Cursor(base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, filled, nil))), nil //nolint:gosec // G407: this cipher draws each nonce itself
}

// cipher has a key of its own for each caller and list, which every instance
// derives alike. So a cursor opens nowhere else, no caller can use up the nonces
// of others, and none of the seals that are counted is spent on a page.
func (p pages) cipher(ctx context.Context) (cipher.AEAD, error) {
	key, err := p.keyring.MAC(ctx, p.tenant, "cursor", []byte(p.list+"\x00"+p.account))
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
