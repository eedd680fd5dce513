package policy

import (
	"github.com/llm-devops/llm-config-manager/internal/access"
)

// Holds says whether a principal holds an action all over an environment, without
// conditions and with nothing in it that may be forbidden to them. The error is
// that of a source that does not parse.
func Holds(now Source, p access.Principal, a access.Action, environment string) (bool, error) {
	s, err := newSheet(now)
	if err != nil {
		return false, err
	}
	info, _ := access.InfoOf(a)
	h := &holder{sheet: s, author: p, ignore: nothingIgnored, strict: true}
	return h.holds(a, places{kinds: info.On &^ access.OnTenant, environment: environment}), nil
}
