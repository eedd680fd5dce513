package keepers

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// query holds the parameters of a keeper's URL; each may stand there once.
type query map[string]string

func parseQuery(scheme, raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil { // it repeats the parameter, which may be a credential
		return nil, fmt.Errorf("the parameters of the %s URL cannot be read: escape what is not a letter or digit as %%XX", scheme)
	}
	q := query{}
	for name, all := range values {
		if len(all) != 1 {
			return nil, fmt.Errorf("the %s URL names %q twice", scheme, name)
		}
		q[name] = all[0]
	}
	return q, nil
}

// only refuses parameters that are not among known. An answer to a parameter
// that may hold a credential never shows its value.
func (q query) only(known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case name == "timeout", slices.Contains(known, name):
		case slices.ContainsFunc(known, func(k string) bool { return strings.HasSuffix(k, "_") && strings.HasPrefix(name, k) }):
		case credentialForm.MatchString(name):
			return fmt.Errorf("the URL has a parameter %q, which looks like a credential and would stand in settings and logs: remove it and give credentials by environment variables, by a file that only this user may read, or by the machine's own identity", name)
		default:
			return fmt.Errorf("the URL has a parameter %q, which is not known here; known are %s", name, strings.Join(append(known, "timeout"), ", "))
		}
	}
	return nil
}

func (q query) timeout() (time.Duration, error) {
	text, given := q["timeout"]
	if !given {
		return defaultTimeout, nil
	}
	timeout, err := time.ParseDuration(text)
	if err != nil || timeout < minTimeout || timeout > maxTimeout {
		return 0, fmt.Errorf("timeout in the master key's URL is no duration from %s to %s, such as 15s", minTimeout, maxTimeout)
	}
	return timeout, nil
}
