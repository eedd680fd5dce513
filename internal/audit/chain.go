package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
)

// Head is the end of a chain: the last link's sequence number and hash. The
// zero Head is the end of an empty chain.
type Head struct {
	Sequence uint64
	Hash     [sha256.Size]byte
}

// Link is a record in its place in a chain.
type Link struct {
	Sequence uint64
	Hash     [sha256.Size]byte // over the link before, Sequence and Record
	Record   []byte            // canonical bytes
}

// Head is the chain's end when l is its last link.
func (l Link) Head() Head { return Head{l.Sequence, l.Hash} }

// domain keeps the hash of a link from being the hash of anything else.
const domain = "llm-config audit link 1\x00"

// Next chains a record behind h. It keeps record.
func (h Head) Next(record []byte) Link {
	sequence := h.Sequence + 1
	return Link{Sequence: sequence, Hash: linkHash(h.Hash, sequence, record), Record: record}
}

// linkHash is unambiguous because all that stands before the record is of fixed
// length.
func linkHash(previous [sha256.Size]byte, sequence uint64, record []byte) [sha256.Size]byte {
	var room [len(domain) + sha256.Size + 8 + 2*typicalBytes]byte
	b := append(room[:0], domain...)
	b = append(b, previous[:]...)
	b = binary.BigEndian.AppendUint64(b, sequence)
	b = append(b, record...)
	return sha256.Sum256(b)
}

// Break is the first place at which a chain does not hold.
type Break struct {
	Sequence uint64
	Reason   string
}

func (b *Break) Error() string {
	return fmt.Sprintf("the audit chain breaks at record %d: %s", b.Sequence, b.Reason)
}

// breakf is a Break at a record.
func breakf(sequence uint64, format string, args ...any) *Break {
	return &Break{sequence, fmt.Sprintf(format, args...)}
}

// follow says why l does not follow h; nil when it does.
func (h Head) follow(l *Link) *Break {
	want := h.Sequence + 1
	switch {
	case l.Sequence > want:
		return breakf(want, "removed, or moved: record %d follows record %d", l.Sequence, h.Sequence)
	case l.Sequence == h.Sequence:
		return breakf(l.Sequence, "inserted, or repeated: there are two of it")
	case l.Sequence < want:
		return breakf(l.Sequence, "out of order: it stands behind record %d", h.Sequence)
	case l.Hash != linkHash(h.Hash, want, l.Record):
		return breakf(want, "edited, or inserted: its hash does not continue the chain, unless what stood before it was replaced")
	}
	return nil
}

// Verify follows links, which continue the chain that ended at from, and
// answers the new end. The error is a *Break, or the one that links gave; the
// head is then that of the last link that holds.
func Verify(from Head, links iter.Seq2[Link, error]) (Head, error) {
	head := from
	for link, err := range links {
		if err != nil {
			return head, err
		}
		if broken := head.follow(&link); broken != nil {
			return head, broken
		}
		head = link.Head()
	}
	return head, nil
}
