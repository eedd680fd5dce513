package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys = 100 // of one issuer

	minRSA = 2048 // bits
	maxRSA = 8192 // bits; larger ones make a check cost more than a request may
)

// fitting says which keys each algorithm takes. An algorithm that is missing here
// is never taken, whatever a file or a token says.
var fitting = map[string]func(crypto.PublicKey) bool{
	"RS256": isRSA, "RS384": isRSA, "RS512": isRSA, "PS256": isRSA,
	"ES256": onCurve(elliptic.P256()), "ES384": onCurve(elliptic.P384()),
	"EdDSA": func(key crypto.PublicKey) bool {
		k, ok := key.(ed25519.PublicKey)
		return ok && len(k) == ed25519.PublicKeySize
	},
}

func isRSA(key crypto.PublicKey) bool { _, ok := key.(*rsa.PublicKey); return ok }

func onCurve(curve elliptic.Curve) func(crypto.PublicKey) bool {
	return func(key crypto.PublicKey) bool { k, ok := key.(*ecdsa.PublicKey); return ok && k.Curve == curve }
}

// verificationKey is a public key of an issuer.
type verificationKey struct {
	id        string
	algorithm string // the only one it is for; empty for all that fit it
	public    crypto.PublicKey
}

// readKeys takes from a key set the keys that signatures can be checked with. The
// others are left out: sets hold keys for encryption, and of kinds to come.
func readKeys(text []byte) ([]verificationKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("the key set is not JSON")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, and at most %d are read", len(set.Keys), maxKeys)
	}
	var keys []verificationKey
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(text); err == nil && usable(key) {
			keys = append(keys, verificationKey{key.KeyID, key.Algorithm, key.Key})
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no key that a signature can be checked with")
	}
	return keys, nil
}

// usable refuses private and symmetric keys: who publishes one has given it away.
func usable(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		bits := public.N.BitLen()
		return bits >= minRSA && bits <= maxRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key.Valid()
	}
	return false
}

// choose gives the keys that a token of a key id and an algorithm may be signed
// with. A token without a key id needs a set in which one key alone fits.
func choose(keys []verificationKey, id, algorithm string) []crypto.PublicKey {
	fits, ok := fitting[algorithm]
	if !ok {
		return nil
	}
	var chosen []crypto.PublicKey
	for _, key := range keys {
		if (id == "" || key.id == id) && (key.algorithm == "" || key.algorithm == algorithm) && fits(key.public) {
			chosen = append(chosen, key.public)
		}
	}
	if id == "" && len(chosen) > 1 {
		return nil
	}
	return chosen
}
