package telemetry

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// MaxRequestID bounds the request ids that clients send.
const MaxRequestID = 128

// NewRequestID is 128 random bits in hexadecimal.
func NewRequestID(random io.Reader) (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return "", fmt.Errorf("no random bytes for a request id: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}

// ValidRequestID says whether an id that a client sent is taken over: up to 128
// letters, digits and ._~:/+=@- and no credential.
func ValidRequestID(id string) bool {
	if id == "" || len(id) > MaxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		if !alphanumeric(c) && strings.IndexByte("._~:/+=@-", c) < 0 {
			return false
		}
	}
	_, _, credential := find([]byte(id), 0)
	return !credential
}

// ParseTraceparent reads the trace and span ids of a W3C traceparent header.
func ParseTraceparent(header string) (trace, span string, ok bool) {
	const length = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	parts := strings.Split(header, "-")
	if len(parts) < 4 || len(header) < length || parts[0] == "ff" || parts[0] == "00" && len(header) != length {
		return "", "", false
	}
	if !lowerHex(parts[0], 2) || !lowerHex(parts[1], 32) || !lowerHex(parts[2], 16) || !lowerHex(parts[3], 2) {
		return "", "", false
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

func lowerHex(text string, length int) bool {
	return len(text) == length && strings.Trim(text, "0123456789abcdef") == ""
}
