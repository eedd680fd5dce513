//go:build goexperiment.runtimesecret

package secret

import "runtime/secret"

// Erase runs f. This toolchain knows how to clear the registers, the stack and
// the heap that f used, so it does.
func Erase(f func()) { secret.Do(f) }
