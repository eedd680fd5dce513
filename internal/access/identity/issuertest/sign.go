package issuertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"strings"
	"sync"
)

// Key is a key that the issuer signs with.
type Key struct {
	ID        string
	Algorithm string
	Private   crypto.Signer
}

// made are RSA keys by their bits, made once for all tests of a process, because
// making one takes long.
var made = struct {
	sync.Mutex
	rsa map[int][]*rsa.PrivateKey // bits → keys
}{rsa: map[int][]*rsa.PrivateKey{}}

// RSA is the nth RSA key of so many bits.
func RSA(bits, n int) *rsa.PrivateKey {
	made.Lock()
	defer made.Unlock()
	for len(made.rsa[bits]) <= n {
		made.rsa[bits] = append(made.rsa[bits], must(rsa.GenerateKey(rand.Reader, bits)))
	}
	return made.rsa[bits][n]
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// rsaKeys is between how many RSA keys Rotate goes around.
const rsaKeys = 3

// Rotate has the issuer sign with new keys, one for each of RS256, ES256 and
// EdDSA, and publish no others.
func (i *Issuer) Rotate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rotations++
	_, private, err := ed25519.GenerateKey(rand.Reader)
	i.keys = []*Key{
		{fmt.Sprintf("rsa-%d", i.rotations), "RS256", RSA(2048, i.rotations%rsaKeys)},
		{fmt.Sprintf("ec-%d", i.rotations), "ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))},
		{fmt.Sprintf("ed-%d", i.rotations), "EdDSA", must(private, err)},
	}
}

// Publish adds a key to those published.
func (i *Issuer) Publish(key *Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, key)
}

// Key is the first published key of an algorithm.
func (i *Issuer) Key(algorithm string) *Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, key := range i.keys {
		if key.Algorithm == algorithm {
			return key
		}
	}
	panic("the issuer has no key for " + algorithm)
}

// KeySet is the published key set.
func (i *Issuer) KeySet() map[string]any {
	i.mu.Lock()
	defer i.mu.Unlock()
	keys := []any{}
	for _, key := range i.keys {
		keys = append(keys, key.Public())
	}
	return map[string]any{"keys": keys}
}

// Public is the key as a key set has it.
func (k *Key) Public() map[string]any {
	members := map[string]any{"kid": k.ID, "use": "sig", "alg": k.Algorithm}
	switch public := k.Private.Public().(type) {
	case *rsa.PublicKey:
		maps.Copy(members, map[string]any{"kty": "RSA", "n": encode(public.N.Bytes()), "e": encode(exponent(public.E))})
	case *ecdsa.PublicKey:
		point := must(public.Bytes())[1:]
		half := len(point) / 2
		maps.Copy(members, map[string]any{"kty": "EC", "crv": public.Curve.Params().Name, "x": encode(point[:half]), "y": encode(point[half:])})
	case ed25519.PublicKey:
		maps.Copy(members, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(public)})
	}
	return members
}

func exponent(e int) []byte {
	return []byte(strings.TrimLeft(string(binary.BigEndian.AppendUint32(nil, uint32(e))), "\x00"))
}

func encode(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

// Sign signs claims by RS256, or as options say.
func (i *Issuer) Sign(claims map[string]any, options ...Option) string {
	return i.SignText(string(must(json.Marshal(claims))), options...)
}

// SignText signs the text of claims, which need not be JSON.
func (i *Issuer) SignText(claims string, options ...Option) string {
	s := signing{header: map[string]any{"typ": "JWT"}}
	for _, option := range options {
		option(&s)
	}
	if s.key == nil {
		s.key = i.Key("RS256")
	}
	for name, value := range map[string]string{"alg": s.key.Algorithm, "kid": s.key.ID} {
		if _, set := s.header[name]; !set {
			s.header[name] = value
		}
	}
	maps.DeleteFunc(s.header, func(_ string, value any) bool { return value == nil })
	header := s.text
	if header == "" {
		header = string(must(json.Marshal(s.header)))
	}
	signed := encode([]byte(header)) + "." + encode([]byte(claims))
	return signed + "." + encode(s.signature(signed))
}

type signing struct {
	header map[string]any
	text   string // of the header, instead
	key    *Key
	secret []byte
}

// Option changes how a token is signed.
type Option func(*signing)

// With signs with a key, by the key's algorithm.
func With(key *Key) Option { return func(s *signing) { s.key = key } }

// Header sets a member of the header, whatever the signature is; nil leaves it out.
func Header(name string, value any) Option { return func(s *signing) { s.header[name] = value } }

// HeaderText sets the text of the header, which need not be JSON.
func HeaderText(text string) Option { return func(s *signing) { s.text = text } }

// Secret signs with a shared secret by HS256 instead of with a key.
func Secret(secret []byte) Option { return func(s *signing) { s.secret = secret } }

func (s signing) signature(text string) []byte {
	if s.secret != nil {
		mac := hmac.New(sha256.New, s.secret)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	function, sum := digestOf(s.key.Algorithm)
	sum.Write([]byte(text))
	digest := sum.Sum(nil)
	switch private := s.key.Private.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(s.key.Algorithm, "PS") {
			return must(rsa.SignPSS(rand.Reader, private, function, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, private, function, digest))
	case *ecdsa.PrivateKey:
		r, second, err := ecdsa.Sign(rand.Reader, private, digest)
		size := (private.Curve.Params().BitSize + 7) / 8
		both := make([]byte, 2*size)
		must(r, err).FillBytes(both[:size])
		second.FillBytes(both[size:])
		return both
	case ed25519.PrivateKey:
		return ed25519.Sign(private, []byte(text))
	}
	panic("no way to sign with this key")
}

func digestOf(algorithm string) (crypto.Hash, hash.Hash) {
	switch {
	case strings.HasSuffix(algorithm, "384"):
		return crypto.SHA384, sha512.New384()
	case strings.HasSuffix(algorithm, "512"):
		return crypto.SHA512, sha512.New()
	}
	return crypto.SHA256, sha256.New()
}
