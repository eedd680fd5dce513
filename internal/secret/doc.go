// Package secret is the domain of secrets: what one is made of, how its versions
// move from staged over active and grace to retired, how strong a value must be,
// and how one is drawn. It is pure: no I/O, and the clock and the randomness are
// arguments. Values have a type of their own that shows itself to nobody who
// does not ask for it by name, and that is wiped after use.
package secret
