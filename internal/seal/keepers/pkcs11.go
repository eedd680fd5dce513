//go:build pkcs11

package keepers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/ThalesGroup/crypto11"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// maxSessions bounds the sessions on a token; crypto11 keeps one for itself.
const maxSessions = 8

var _ keyService = (*hsm)(nil)

// hsm encrypts on a token with an AES key that cannot leave it. A library's
// call cannot be broken off, so calls run beside the caller, and as many as
// there are sessions; when all of them hang, callers still get away.
type hsm struct {
	uri   tokenURI
	slots chan struct{}

	mu         sync.RWMutex // held for reading during a call, for writing to connect
	token      *crypto11.Context
	key        *crypto11.SecretKey
	keyName    string // label and id, as the token has them
	generation int    // counts connections, so that one loss is mended once

	// refusedPIN is of a PIN that the token refused: trying it again and again
	// would lock the token.
	refusedPIN [sha256.Size]byte
}

// openPKCS11 logs in and looks at the key.
func openPKCS11(ctx context.Context, text string) (seal.Keeper, error) {
	uri, err := parseTokenURI(text)
	if err != nil {
		return nil, err
	}
	h := &hsm{uri: uri, slots: make(chan struct{}, maxSessions-1)}
	parts := keeperParts{kind: kindPKCS11, name: uri.String(), service: h, versions: true}
	ctx, cancel := context.WithTimeout(ctx, uri.timeout)
	defer cancel()
	if err := h.beside(ctx, h.connect); err != nil {
		return nil, fmt.Errorf("%s: %w", parts.name, err)
	}
	return parts.keeper(uri.timeout), nil
}

// connect loads the library, logs in and finds the key. The caller may hold no
// lock.
func (h *hsm) connect() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connectLocked()
}

func (h *hsm) connectLocked() error {
	if h.token != nil {
		// Before opening anew: handles of the lost sessions may be given out again.
		_ = h.token.Close()
		h.token = nil
	}
	if info, err := os.Stat(h.uri.module); err != nil {
		return fmt.Errorf("the token's library: %w", err)
	} else if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("the token's library %s may be written by others or is no file: run `chmod go-w %s`", h.uri.module, h.uri.module)
	}
	config, err := h.config()
	if err != nil {
		return err
	}
	token, err := crypto11.Configure(config)
	tried := sha256.Sum256([]byte(config.Pin))
	config.Pin = "" // the library would keep it
	if err != nil {
		if strings.Contains(err.Error(), "CKR_PIN") {
			h.refusedPIN = tried
			return fmt.Errorf("the token does not accept the PIN: put the right one into %s; it is not tried a second time, because that could lock the token: %s", h.uri.pinFile, oneLine(err.Error()))
		}
		return fmt.Errorf("the token cannot be used: see whether it is there, and module-path: %s", oneLine(err.Error()))
	}
	key, name, err := findKey(token, h.uri)
	if err != nil {
		return errors.Join(err, token.Close())
	}
	h.token, h.key, h.keyName = token, key, name
	h.generation++
	return nil
}

func (h *hsm) config() (*crypto11.Config, error) {
	c := &crypto11.Config{
		Path: h.uri.module, TokenLabel: h.uri.token, TokenSerial: h.uri.serial,
		MaxSessions: maxSessions, PoolWaitTimeout: h.uri.timeout, LoginNotSupported: h.uri.pinFile == "",
	}
	if h.uri.pinFile == "" {
		return c, nil
	}
	pin, err := readPrivate("PIN file", h.uri.pinFile)
	if err != nil {
		return nil, err
	}
	defer clear(pin)
	if sum := sha256.Sum256(pin); subtle.ConstantTimeCompare(sum[:], h.refusedPIN[:]) == 1 {
		return nil, fmt.Errorf("the token refused the PIN in %s before, and trying it again could lock the token: put the right one there", h.uri.pinFile)
	}
	c.Pin = string(pin)
	return c, nil
}

// findKey answers the one key that the URI names, and what the token calls it.
func findKey(token *crypto11.Context, uri tokenURI) (*crypto11.SecretKey, string, error) {
	var id, label []byte
	if uri.id != "" {
		id = []byte(uri.id)
	}
	if uri.object != "" {
		label = []byte(uri.object)
	}
	keys, err := token.FindKeys(id, label)
	if err != nil {
		return nil, "", fmt.Errorf("look for the key on the token: %s", oneLine(err.Error()))
	}
	switch len(keys) {
	case 0:
		return nil, "", fmt.Errorf("the token has no secret key with %s: make one with `pkcs11-tool --keygen --key-type AES:32 --sensitive --private --label NAME`, and give a pin-source if the key shows after login only", uri.key())
	case 1:
	default:
		return nil, "", fmt.Errorf("the token has %d keys with %s: name one by object= and id=", len(keys), uri.key())
	}
	attributes, err := token.GetAttributes(keys[0], []crypto11.AttributeType{
		crypto11.CkaKeyType, crypto11.CkaValueLen, crypto11.CkaExtractable, crypto11.CkaSensitive,
		crypto11.CkaEncrypt, crypto11.CkaDecrypt, crypto11.CkaLabel, crypto11.CkaId,
	})
	if err != nil {
		return nil, "", fmt.Errorf("read what the key is on the token: %s", oneLine(err.Error()))
	}
	if why := unfit(attributes); why != "" {
		return nil, "", fmt.Errorf("the key with %s %s: it has to be an AES key of 256 bits that is sensitive and not extractable and may encrypt and decrypt", uri.key(), why)
	}
	found := tokenURI{object: value(attributes, crypto11.CkaLabel), id: value(attributes, crypto11.CkaId)}
	return keys[0], found.key(), nil
}

const ckkAES = 0x1f

// unfit says why a key is not taken, "" when it is.
func unfit(attributes crypto11.AttributeSet) string {
	number := func(name crypto11.AttributeType) uint64 {
		b := make([]byte, 8)
		copy(b, value(attributes, name))
		return binary.NativeEndian.Uint64(b)
	}
	is := func(name crypto11.AttributeType) bool { return value(attributes, name) == "\x01" }
	switch {
	case number(crypto11.CkaKeyType) != ckkAES:
		return "is no AES key"
	case number(crypto11.CkaValueLen) != keyBytes:
		return fmt.Sprintf("has %d bits", number(crypto11.CkaValueLen)*8)
	case value(attributes, crypto11.CkaExtractable) != "\x00":
		return "can be taken out of the token"
	case !is(crypto11.CkaSensitive):
		return "is not sensitive, so its value can be read"
	case !is(crypto11.CkaEncrypt) || !is(crypto11.CkaDecrypt):
		return "may not encrypt and decrypt"
	}
	return ""
}

func value(attributes crypto11.AttributeSet, name crypto11.AttributeType) string {
	if a := attributes[name]; a != nil {
		return string(a.Value)
	}
	return ""
}

func (h *hsm) encrypt(ctx context.Context, key []byte, bound binding) (ciphertext []byte, version string, err error) {
	key = bytes.Clone(key) // the caller clears its own while a call may still hang
	var name string
	var made []byte
	err = h.beside(ctx, func() error {
		defer clear(key)
		return h.use(func() (err error) {
			made, err = h.seal(key, bound[:])
			name = h.keyName
			return err
		})
	})
	if err != nil {
		return nil, "", err
	}
	return made, name, nil
}

func (h *hsm) decrypt(ctx context.Context, ciphertext []byte, version string, bound binding) ([]byte, error) {
	var key []byte
	err := h.beside(ctx, func() error {
		return h.use(func() (err error) {
			if version != h.keyName {
				return foreign("its wrapped form", "it was made with another key of a token")
			}
			key, err = h.open(ciphertext, bound[:])
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// seal encrypts on the token: nonce, ciphertext, tag.
func (h *hsm) seal(plain, bound []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // what crypto11 does for an error of Seal
			out, err = nil, tokenError(r)
		}
	}()
	gcm, err := h.key.NewGCM()
	if err != nil {
		return nil, tokenError(err)
	}
	nonce := make([]byte, nonceBytes)
	rand.Read(nonce)
	return slices.Concat(nonce, gcm.Seal(nil, nonce, plain, bound)), nil
}

// open decrypts on the token. Libraries have no common word for a wrong tag,
// and some say "general error". So a token that refuses is asked to open
// something of its own: when it can, the ciphertext was the fault.
func (h *hsm) open(ciphertext, bound []byte) ([]byte, error) {
	if len(ciphertext) != nonceBytes+keyBytes+tagBytes {
		return nil, foreign("its wrapped form", "the ciphertext has another length than a token's")
	}
	key, err := h.openOnce(ciphertext, bound)
	if err == nil || lost(err) {
		return key, err
	}
	probe := make([]byte, keyBytes)
	rand.Read(probe)
	sealed, probeErr := h.seal(probe, bound)
	if probeErr != nil {
		return nil, probeErr
	}
	opened, probeErr := h.openOnce(sealed, bound)
	if probeErr != nil {
		return nil, probeErr
	}
	if !bytes.Equal(opened, probe) {
		return nil, errors.New("the token does not open what it made itself: see the token")
	}
	return nil, foreign("the token", err.Error())
}

func (h *hsm) openOnce(ciphertext, bound []byte) ([]byte, error) {
	gcm, err := h.key.NewGCM()
	if err != nil {
		return nil, tokenError(err)
	}
	key, err := gcm.Open(nil, ciphertext[:nonceBytes], ciphertext[nonceBytes:], bound)
	if err != nil {
		return nil, tokenError(err)
	}
	return key, nil
}

// use runs op on the token; when the connection turns out to be lost, it
// connects anew and runs op a second time.
func (h *hsm) use(op func() error) error {
	generation, err := h.with(op)
	if err == nil || !lost(err) {
		return err
	}
	if err := h.reconnect(generation); err != nil {
		return err
	}
	_, err = h.with(op)
	return err
}

func (h *hsm) with(op func() error) (generation int, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.token == nil {
		return h.generation, lostError{"there is no connection"}
	}
	return h.generation, op()
}

// reconnect connects anew unless somebody did since generation.
func (h *hsm) reconnect(generation int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.token != nil && h.generation != generation {
		return nil
	}
	return h.connectLocked()
}

// beside runs op in a goroutine and waits for it as long as ctx lasts.
func (h *hsm) beside(ctx context.Context, op func() error) error {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-h.slots }()
		done <- op()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lostError says that sessions, login or handles are gone.
type lostError struct{ reason string }

func (e lostError) Error() string {
	return "the connection to the token was lost: see whether it is there: " + e.reason
}

func lost(err error) bool {
	var l lostError
	return errors.As(err, &l)
}

// lostSigns are the answers after which a new login helps. crypto11 passes them
// on as text.
var lostSigns = []string{
	"CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED", "CKR_USER_NOT_LOGGED_IN", "CKR_DEVICE_REMOVED", "CKR_DEVICE_ERROR",
	"CKR_TOKEN_NOT_PRESENT", "CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID", "CKR_CRYPTOKI_NOT_INITIALIZED", "context is closed",
}

func tokenError(cause any) error {
	reason := oneLine(fmt.Sprint(cause))
	if slices.ContainsFunc(lostSigns, func(sign string) bool { return strings.Contains(reason, sign) }) {
		return lostError{reason}
	}
	return fmt.Errorf("the token failed: see its log: %s", reason)
}
