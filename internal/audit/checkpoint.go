package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint says where a chain stood at a time. It is written as the text of a
// signed note, laid out like a C2SP tlog-checkpoint; but the hash is the head of
// a hash chain, no Merkle root.
type Checkpoint struct {
	Origin string // of the chain; see Origin
	Head   Head
	Time   time.Time
}

// text is what is signed.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Head.Sequence, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Head.Hash[:]) + "\n" + noteTime(c.Time)
}

// Sign is the checkpoint as a signed note, with a signature of each key, of which
// there may be 16. It refuses an origin, a sequence number or a time that
// OpenCheckpoint would not read.
func (c Checkpoint) Sign(keys ...*SigningKey) ([]byte, error) {
	if _, err := parseCheckpoint(c.text()); err != nil {
		return nil, err
	}
	return signNote(c.text(), keys)
}

// OpenCheckpoint reads a signed note and checks that one of the public keys
// signed it. Several keys may have one name, as versions of a key do. Signatures
// of other keys are passed over; a wrong one of a key that was given is refused
// even when another is right.
func OpenCheckpoint(signed []byte, public ...string) (Checkpoint, error) {
	keys, err := verifiers(public)
	if err != nil {
		return Checkpoint{}, err
	}
	return openCheckpoint(signed, keys)
}

func openCheckpoint(signed []byte, keys note.Verifiers) (Checkpoint, error) {
	text, err := openNote(signed, keys)
	if err != nil {
		return Checkpoint{}, err
	}
	return parseCheckpoint(text)
}

// parseCheckpoint reads the text of a checkpoint: it is one only if it is what
// text would write, to the byte.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 {
		return Checkpoint{}, fmt.Errorf("a checkpoint has 4 lines of text, this has %d", len(lines)-1)
	}
	c := Checkpoint{Origin: lines[0]}
	err := checkOrigin(c.Origin)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Head.Sequence, err = strconv.ParseUint(lines[1], 10, 64); err != nil || c.Head.Sequence > maxSequence {
		return Checkpoint{}, fmt.Errorf("the checkpoint's sequence number %q is not one of 0 to %d", shorten(lines[1]), uint64(maxSequence))
	}
	if c.Head.Hash, err = noteHash(lines[2]); err != nil {
		return Checkpoint{}, err
	}
	if c.Time, err = time.Parse("time "+timeForm, lines[3]); err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint's last line %q is not its time", shorten(lines[3]))
	}
	if c.text() != text {
		return Checkpoint{}, errors.New("the checkpoint is not written as checkpoints are")
	}
	return c, nil
}
