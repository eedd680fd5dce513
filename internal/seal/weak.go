package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// guessable are words whose SHA-256 people have used for a key.
var guessable = []string{
	"", "admin", "changeme", "default", "dev", "example", "key", "llm-config", "llm-config-manager",
	"master", "masterkey", "password", "secret", "test",
}

// published are keys of standards that find their way from test vectors into
// key files. That of FIPS 197 is sequential and that of the GCM paper repeats
// itself; they are found without a list.
var published = []string{
	"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", // NIST SP 800-38A
	"92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b", // NIST CAVP, GCM
	"e3c08a8f06c6e3ad95a70557b23f75483ce33021a9c72b7025666204c69c0b72", // IEEE 802.1AE
}

// weakness says why a key is none that was drawn at random, "" when nothing
// speaks against it. Each finding would strike a random key with a probability
// below 2^-40.
func weakness(key []byte) string {
	switch {
	case sequential(key):
		return "its bytes count up or down"
	case repeats(key):
		return "it repeats itself"
	case readable(key):
		return "it is text, not random bytes"
	case wellKnown(key):
		return "it is well known"
	}
	return ""
}

// sequential says that every byte differs from the one before by the same step;
// a step of nothing is a key of equal bytes.
func sequential(key []byte) bool {
	step := key[1] - key[0]
	for i := 2; i < len(key); i++ {
		if key[i]-key[i-1] != step {
			return false
		}
	}
	return true
}

// repeats says that the key is a shorter block over and over.
func repeats(key []byte) bool {
	for period := 1; period <= len(key)/2; period++ {
		if bytes.Equal(key[period:], key[:len(key)-period]) {
			return true
		}
	}
	return false
}

func readable(key []byte) bool {
	return !slices.ContainsFunc(key, func(c byte) bool { return c < ' ' || c > '~' })
}

func wellKnown(key []byte) bool {
	for _, word := range guessable {
		if sum := sha256.Sum256([]byte(word)); bytes.Equal(key, sum[:]) {
			return true
		}
	}
	return slices.Contains(published, hex.EncodeToString(key))
}
