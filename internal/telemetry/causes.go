package telemetry

import (
	"errors"
	"strings"
)

// Causes is an error with what is behind it, which only the log sees.
func Causes(err error) string {
	text := err.Error()
	for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
		if !strings.Contains(text, cause.Error()) {
			text += ": " + cause.Error()
		}
	}
	return text
}
