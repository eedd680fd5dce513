package secret

// Value is the bytes of a secret. Nothing shows them but Reveal: String, Format,
// MarshalJSON, MarshalText, GobEncode and LogValue all answer Hidden. The bytes
// lie in memory that is locked and left out of core dumps where the system
// allows it. The zero Value is empty.
type Value struct{ b *buffer }

// Hidden is what stands for a value wherever it is printed.
const Hidden = "[secret]"
