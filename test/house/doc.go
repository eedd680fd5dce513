// Package house holds the rules about the whole tree that the compiler does not
// know: which package may import which, which module may be used where, and that
// every dependency is accounted for. It trusts no habit; it reads the sources.
package house
