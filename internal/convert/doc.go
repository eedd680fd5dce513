// Package convert reads and writes the files of other tools. It is pure: text
// in, variables and documents out, and nothing that it says of a file ever holds
// a value of it, because files of this kind are full of keys.
package convert
