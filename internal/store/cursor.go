package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxCursorBytes bounds the text of a cursor: a hash and the longest path.
const maxCursorBytes = 1024

const cursorHashBytes = 16

// Query says what a cursor is bound to: it is of no use for another tenant, or
// for another question of the same tenant.
type Query struct {
	Tenant config.TenantID
	Parts  []string // the method and its arguments, but for the page
}

// EncodeCursor writes the position a page ended at. Whoever gets it can read the
// position, and write others: it is not to leave the server as it is.
func EncodeCursor(query Query, position string) Cursor {
	return Cursor(base64.RawURLEncoding.EncodeToString(append(query.hash(), position...)))
}

// DecodeCursor reads the position back, "" for no cursor. The error is of
// KindInvalidCursor when the cursor was not made for this query.
func DecodeCursor(query Query, cursor Cursor) (string, error) {
	if cursor == "" {
		return "", nil
	}
	if len(cursor) > maxCursorBytes {
		return "", InvalidCursor()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(cursor))
	if err != nil || strings.ContainsAny(string(cursor), "\r\n") || // which the decoder passes over
		len(raw) <= cursorHashBytes || string(raw[:cursorHashBytes]) != string(query.hash()) {
		return "", InvalidCursor()
	}
	return string(raw[cursorHashBytes:]), nil
}

func (q Query) hash() []byte {
	h := sha256.New()
	h.Write(q.Tenant[:])
	for _, part := range q.Parts {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		_, _ = h.Write([]byte(part))
	}
	return h.Sum(nil)[:cursorHashBytes]
}

// InvalidCursor refuses a cursor that was not given out for the list.
func InvalidCursor() error {
	return config.Errorf(config.KindInvalidCursor, "the cursor is not one of this list").
		At("cursor").Hint("leave the cursor out to start from the first page, and keep the other parameters as they were")
}
