package keepers

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

const maxAttributeBytes = 255

// tokenURI is what a pkcs11: URI of RFC 7512 says, as far as it is used here.
type tokenURI struct {
	token, serial string // one of them
	object, id    string // one of them, or both
	module        string // absolute path
	pinFile       string // absolute path; "" for a token without login
	timeout       time.Duration
}

// parseTokenURI reads pkcs11:token=T;object=O?module-path=PATH&pin-source=file:PATH.
// An attribute that is not known is refused: it would narrow which key is meant.
func parseTokenURI(text string) (tokenURI, error) {
	path, rest, _ := strings.Cut(text[len("pkcs11:"):], "?")
	var u tokenURI
	err := eachAttribute(path, ";", map[string]*string{"token": &u.token, "serial": &u.serial, "object": &u.object, "id": &u.id, "type": new(string)})
	if err != nil {
		return tokenURI{}, err
	}
	timeout := defaultTimeout.String()
	if err := eachAttribute(rest, "&", map[string]*string{"module-path": &u.module, "pin-source": &u.pinFile, "timeout": &timeout}); err != nil {
		return tokenURI{}, err
	}
	u.timeout, err = query{"timeout": timeout}.timeout()
	if err != nil {
		return tokenURI{}, err
	}
	u.pinFile = strings.TrimPrefix(u.pinFile, "file:")
	if rest, slashes := strings.CutPrefix(u.pinFile, "//"); slashes {
		u.pinFile = rest
	}
	switch {
	case (u.token == "") == (u.serial == ""):
		return tokenURI{}, errors.New("the pkcs11 URI has to name the token by one of token= and serial=")
	case u.object == "" && u.id == "":
		return tokenURI{}, errors.New("the pkcs11 URI has to name the key by object= (its label), id= or both")
	case !filepath.IsAbs(u.module):
		return tokenURI{}, errors.New("the pkcs11 URI has to name the token's library by ?module-path= with its whole path")
	case u.pinFile != "" && !filepath.IsAbs(u.pinFile):
		return tokenURI{}, errors.New("pin-source in the pkcs11 URI has to be file:PATH with a whole path; programs are not run for it")
	}
	return u, nil
}

// eachAttribute fills known with the attributes of one part of a URI. Errors
// show no value: it may be a PIN.
func eachAttribute(part, separator string, known map[string]*string) error {
	seen := map[string]bool{}
	for attribute := range strings.SplitSeq(part, separator) {
		if attribute == "" && part == "" {
			return nil
		}
		name, escaped, given := strings.Cut(attribute, "=")
		target := known[name]
		switch {
		case name == "pin-value":
			return errors.New("pin-value in the pkcs11 URI would stand in settings and process lists: put the PIN into a file of mode 0600 and write pin-source=file:PATH; change the PIN if others could have read it")
		case target == nil || !given:
			return fmt.Errorf("the pkcs11 URI has an attribute %q, which is not used here: token, serial, object, id and type=secret-key are, and after the question mark module-path, pin-source and timeout", oneLine(name))
		case seen[name]:
			return fmt.Errorf("the pkcs11 URI names %s twice", name)
		}
		seen[name] = true
		value, err := url.PathUnescape(escaped)
		if err != nil || value == "" || len(value) > maxAttributeBytes && name != "module-path" && name != "pin-source" || name != "id" && strings.ContainsRune(value, 0) {
			return fmt.Errorf("%s in the pkcs11 URI is empty, too long or wrongly escaped: a byte is %%XX", name)
		}
		if name == "type" && value != "secret-key" {
			return errors.New("type in the pkcs11 URI has to be secret-key")
		}
		*target = value
	}
	return nil
}

func (u tokenURI) String() string {
	name := "pkcs11 token=" + u.token
	if u.serial != "" {
		name = "pkcs11 serial=" + u.serial
	}
	return name + ";" + u.key()
}

// key names the key within its token.
func (u tokenURI) key() string {
	var parts []string
	if u.object != "" {
		parts = append(parts, "object="+url.PathEscape(u.object))
	}
	if u.id != "" {
		parts = append(parts, fmt.Sprintf("id=%x", u.id))
	}
	return strings.Join(parts, ";")
}
