package keepers

import (
	"fmt"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// maxReason is how much of a service's own words goes into an error.
const maxReason = 300

// foreign says that a service did not make what it was asked to decrypt.
func foreign(service, reason string) error {
	return fmt.Errorf("%w: %s says: %s", seal.ErrNotWrapped, service, oneLine(reason))
}

// oneLine makes one bounded line of what a service said.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// silent keeps an error for errors.Is and As while its text, which is long and
// of many lines with some SDKs, is left out.
type silent struct{ err error }

func (s silent) Error() string { return "" }
func (s silent) Unwrap() error { return s.err }
