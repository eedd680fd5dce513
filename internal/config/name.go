package config

// MaxNameBytes bounds the name of a tenant, an environment or a tag.
const MaxNameBytes = 64

// CheckName says whether text may name a tenant or an environment:
// [a-z][a-z0-9-]*, 64 bytes at most. The error is of KindInvalidName.
func CheckName(text string) error {
	ok := len(text) > 0 && len(text) <= MaxNameBytes && text[0] >= 'a' && text[0] <= 'z'
	for i := 0; ok && i < len(text); i++ {
		c := text[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
	}
	if !ok {
		return Errorf(KindInvalidName, "a tenant or environment name has 1 to %d of a–z, 0–9 and -, and begins with a letter", MaxNameBytes)
	}
	return nil
}

// CheckTag says whether text may name a tag: [A-Za-z][A-Za-z0-9._-]{0,63}, and
// not "v" with digits, which would be a version. The error is of KindInvalidName.
func CheckTag(text string) error {
	ok := len(text) > 0 && len(text) <= MaxNameBytes && isAlphanumeric(text[0]) && !isDigit(text[0])
	for i := 0; ok && i < len(text); i++ {
		c := text[i]
		ok = isAlphanumeric(c) || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return Errorf(KindInvalidName, "a tag has 1 to %d letters, digits and . _ -, and begins with a letter", MaxNameBytes)
	}
	if text[0] == 'v' && allDigits(text[1:]) {
		return Errorf(KindInvalidName, "a tag must not look like a version").Hint("name it release-%s, say", text[1:])
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// allDigits says whether text is one digit or more.
func allDigits(text string) bool {
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) {
			return false
		}
	}
	return text != ""
}
