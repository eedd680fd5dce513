// Package keepers opens master-key keepers by URL: key files and passphrases,
// which internal/seal holds itself, and key management services: AWS KMS,
// Google Cloud KMS, Azure Key Vault, the transit engine of Vault, and tokens
// behind PKCS#11 in a build with the tag pkcs11.
//
// A service never sees what is wrapped. It encrypts a fresh 32-byte key, and
// the rest is sealed here under that key. So a service's size limits do not
// matter, and what a service does not bind is bound all the same.
//
// The wrapped form comes back from a store that is not trusted: a service is
// always told which key it may use, and is never led by the wrapped form to
// another one. Services are trusted with keys; the network between is not.
package keepers
