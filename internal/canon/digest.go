package canon

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String is the digest as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads what String wrote, and nothing else.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	if len(text) == 2*len(d) && text == strings.ToLower(text) {
		if _, err := hex.Decode(d[:], []byte(text)); err == nil {
			return d, nil
		}
	}
	return Digest{}, fmt.Errorf("a digest has %d lower-case hexadecimal digits", 2*len(d))
}

// Sum is the digest of a canonical form.
func Sum(canonical []byte) Digest { return sha256.Sum256(canonical) }

// Named is a member of a set: a document's digest under the name it has there.
type Named struct {
	Name   string
	Digest Digest
}

// SumSet is the digest of a set, in whatever order its members are given: the
// SHA-256 of the RFC 8785 form of [[name,digest],…], sorted by the bytes of the
// name, the digest written as String does. It leaves members as they are.
func SumSet(members []Named) Digest {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Named) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.Digest[:], b.Digest[:]))
	})
	text := []byte{'['}
	for i, m := range sorted {
		if i > 0 {
			text = append(text, ',')
		}
		text = AppendString(append(text, '['), m.Name)
		text = append(text, ',', '"')
		text = hex.AppendEncode(text, m.Digest[:])
		text = append(text, '"', ']')
	}
	return Sum(append(text, ']'))
}
