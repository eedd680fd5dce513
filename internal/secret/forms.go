package secret

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/url"
	"regexp"
	"strings"
)

// Bounds of keys.
const (
	minRSABits   = 2048
	minCurveBits = 256
)

// checkPEM looks at the private keys in a text; ok is false when no PEM is there.
func checkPEM(text []byte) (reasons []string, ok bool) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, ok
		}
		ok = true
		if reasons := checkBlock(block); len(reasons) > 0 {
			return reasons, true
		}
		text = rest
	}
}

func checkBlock(block *pem.Block) []string {
	if !strings.HasSuffix(block.Type, "PRIVATE KEY") || block.Headers["DEK-Info"] != "" || block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil // not a private key, or one that only its password opens
	}
	if block.Type == "OPENSSH PRIVATE KEY" {
		return checkOpenSSH(block.Bytes)
	}
	reasons, ok := checkDER(block.Bytes)
	if !ok {
		return []string{"it holds a private key that cannot be read"}
	}
	return reasons
}

var (
	oidRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC      = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidX25519  = asn1.ObjectIdentifier{1, 3, 101, 110}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// checkDER looks at the size of a private key in DER; ok is false when it is
// none. The key is not computed with: that takes long for one of silly size.
func checkDER(der []byte) (reasons []string, ok bool) {
	var rsa struct { // PKCS #1
		Version int
		N       *big.Int
		E       *big.Int
		D       *big.Int
	}
	if _, err := asn1.Unmarshal(der, &rsa); err == nil {
		return tooShort(rsa.N.BitLen(), minRSABits), true
	}
	var curve struct { // SEC 1
		Version    int
		PrivateKey []byte
	}
	if _, err := asn1.Unmarshal(der, &curve); err == nil && curve.Version == 1 {
		return tooShort(8*len(curve.PrivateKey), minCurveBits), true
	}
	var any8 struct { // PKCS #8
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
	}
	if _, err := asn1.Unmarshal(der, &any8); err != nil {
		return nil, false
	}
	switch id := any8.Algorithm.Algorithm; {
	case id.Equal(oidRSA), id.Equal(oidEC):
		return checkDER(any8.PrivateKey)
	case id.Equal(oidEd25519), id.Equal(oidX25519):
		return tooShort(8*(len(any8.PrivateKey)-2), minCurveBits), true // an octet string within
	}
	return nil, true
}

func tooShort(bits, least int) []string {
	if bits < least {
		return []string{"it holds a private key of too few bits: RSA needs 2048, curves need 256"}
	}
	return nil
}

// checkOpenSSH reads the public half at the start of an OpenSSH private key.
func checkOpenSSH(text []byte) []string {
	unreadable := []string{"it holds a private key that cannot be read"}
	rest, ok := bytes.CutPrefix(text, []byte("openssh-key-v1\x00"))
	for range 3 { // cipher, derivation and its options
		_, rest, ok = sshString(rest, ok)
	}
	if !ok || len(rest) < 4 {
		return unreadable
	}
	public, _, ok := sshString(rest[4:], ok) // behind the count of keys
	kind, public, ok := sshString(public, ok)
	_, public, ok = sshString(public, ok) // of RSA the exponent
	if !ok {
		if string(kind) == "ssh-ed25519" {
			return nil
		}
		return unreadable
	}
	if string(kind) == "ssh-rsa" {
		modulus, _, ok := sshString(public, ok)
		if !ok {
			return unreadable
		}
		return tooShort(new(big.Int).SetBytes(modulus).BitLen(), minRSABits)
	}
	if string(kind) == "ssh-dss" {
		return tooShort(0, minRSABits)
	}
	return nil
}

// sshString reads four bytes of length and as many bytes.
func sshString(text []byte, ok bool) (value, rest []byte, stillOK bool) {
	if !ok || len(text) < 4 {
		return nil, nil, false
	}
	n := int(text[0])<<24 | int(text[1])<<16 | int(text[2])<<8 | int(text[3])
	if n > len(text)-4 {
		return nil, nil, false
	}
	return text[4 : 4+n], text[4+n:], true
}

// passwordOf finds the password of a connection string: scheme://user:password@…
// or, as drivers for MySQL have it, user:password@tcp(…).
func passwordOf(text string) (string, bool) {
	if _, authority, there := strings.Cut(text, "://"); there {
		if u, err := url.Parse(text); err == nil {
			if u.User == nil {
				return "", false
			}
			return u.User.Password()
		}
		return afterColon(authority, strings.LastIndexByte(authority, '@')) // people forget to escape
	}
	return afterColon(text, max(strings.LastIndex(text, "@tcp("), strings.LastIndex(text, "@unix(")))
}

func afterColon(text string, end int) (string, bool) {
	if end < 0 {
		return "", false
	}
	_, password, there := strings.Cut(text[:end], ":")
	return password, there
}

// pairs looks at the credentials among name=value pairs: connection strings of
// databases and clouds, files of environment variables. ok is false when it is
// none, or when there is no credential among them.
func (j judge) pairs(text string) (reasons []string, ok bool) {
	parts := strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(";\n\r", c) })
	if len(parts) == 1 {
		parts = strings.Fields(text)
	}
	if len(parts) < 2 {
		return nil, false
	}
	for _, part := range parts {
		name, value, there := strings.Cut(strings.TrimPrefix(strings.TrimSpace(part), "export "), "=")
		if strings.TrimSpace(part) == "" || strings.HasPrefix(part, "#") {
			continue
		}
		if !there {
			return nil, false
		}
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		if !isCredential(strings.TrimSpace(name)) {
			continue
		}
		ok = true
		if reasons := j.part("the value of a credential among its pairs", value); len(reasons) > 0 {
			return reasons, true
		}
	}
	return nil, ok
}

var uuid = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)

func isUUID(text string) bool { return len(text) == 36 && uuid.MatchString(text) }

// checkUUID lets version 4 pass, whose 122 bits are drawn.
func checkUUID(text string) []string {
	if text[14] != '4' || !strings.ContainsRune("89ABab", rune(text[19])) {
		return []string{"it is a UUID that is not drawn at random, as version 4 is"}
	}
	if surprise(strings.ReplaceAll(text, "-", "")) < minSurprise {
		return []string{"it is a UUID with a pattern in it"}
	}
	return nil
}

// accessKeyID is what stands beside a secret access key of AWS. It is no secret.
var accessKeyID = regexp.MustCompile(`^A(KIA|SIA)[A-Z2-7]{16}$`)

func isAccessKeyID(text string) bool { return accessKeyID.MatchString(text) }

// signatureOf finds the last of the three parts of a JSON Web Token.
func signatureOf(text string) (string, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return "", false
	}
	header, ok := decodedText(parts[0])
	return parts[2], ok && strings.HasPrefix(header, "{")
}

// decodedText is the text that base64 or hexadecimal stands for, if it is text.
func decodedText(text string) (string, bool) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString, base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if decoded, err := decode(text); err == nil && len(decoded) > 0 && printable(decoded) {
			return string(decoded), true
		}
	}
	return "", false
}

// printable says whether bytes are a text of ASCII, which those of a key
// are not but by a chance of one in thousands of millions.
func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}
