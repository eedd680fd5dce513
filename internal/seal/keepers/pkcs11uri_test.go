package keepers

import (
	"strings"
	"testing"
	"time"
)

func TestTokenURI(t *testing.T) {
	cases := []struct {
		uri  string
		want tokenURI
		name string
	}{
		{"pkcs11:token=prod;object=master?module-path=/usr/lib/p.so&pin-source=file:/run/pin",
			tokenURI{token: "prod", object: "master", module: "/usr/lib/p.so", pinFile: "/run/pin", timeout: defaultTimeout}, "pkcs11 token=prod;object=master"},
		{"pkcs11:serial=12ab;id=%01%FF;type=secret-key?pin-source=file:///run/a%20pin&module-path=/p.so",
			tokenURI{serial: "12ab", id: "\x01\xff", module: "/p.so", pinFile: "/run/a pin", timeout: defaultTimeout}, "pkcs11 serial=12ab;id=01ff"},
		{"pkcs11:object=a%3Bb;token=My%20token;id=%00?module-path=/p.so&timeout=20s",
			tokenURI{token: "My token", object: "a;b", id: "\x00", module: "/p.so", timeout: 20 * time.Second}, "pkcs11 token=My token;object=a%3Bb;id=00"},
	}
	for _, c := range cases {
		got, err := parseTokenURI(c.uri)
		if err != nil || got != c.want || got.String() != c.name {
			t.Errorf("%s: %+v, %q, %v", c.uri, got, got.String(), err)
		}
	}
}

func TestTokenURIsThatAreRefused(t *testing.T) {
	cases := []struct{ uri, want string }{
		{"pkcs11:", "one of token= and serial="},
		{"pkcs11:token=t;object=o", "module-path="},
		{"pkcs11:token=t;object=o?module-path=p.so", "whole path"},
		{"pkcs11:object=o?module-path=/p.so", "one of token= and serial="},
		{"pkcs11:token=t;serial=1;object=o?module-path=/p.so", "one of token= and serial="},
		{"pkcs11:token=t?module-path=/p.so", "name the key by object="},
		{"pkcs11:token=t;object=o?module-path=/p.so&pin-value=hunter2", "put the PIN into a file of mode 0600"},
		{"pkcs11:token=t;object=o;pin-value=hunter2?module-path=/p.so", "put the PIN into a file of mode 0600"},
		{"pkcs11:token=t;object=o?module-path=/p.so&pin-source=%7Ccat%20hunter2", "programs are not run"},
		{"pkcs11:token=t;object=o?module-path=/p.so&pin-source=pin", "whole path"},
		{"pkcs11:token=t;object=o;slot-id=3?module-path=/p.so", `"slot-id", which is not used here`},
		{"pkcs11:token=t;object=o;model=m?module-path=/p.so", `"model"`},
		{"pkcs11:token=t;object=o?module-name=p&module-path=/p.so", `"module-name"`},
		{"pkcs11:token=t;token=u;object=o?module-path=/p.so", "names token twice"},
		{"pkcs11:token=;object=o?module-path=/p.so", "token in the pkcs11 URI is empty"},
		{"pkcs11:token=t%zz;object=o?module-path=/p.so", "wrongly escaped"},
		{"pkcs11:token=t%00;object=o?module-path=/p.so", "wrongly escaped"},
		{"pkcs11:token=t;object=" + strings.Repeat("o", 256) + "?module-path=/p.so", "too long"},
		{"pkcs11:token=t;object=o;type=private?module-path=/p.so", "type in the pkcs11 URI"},
		{"pkcs11:token=t;object=o;?module-path=/p.so", "has an attribute"},
		{"pkcs11:token=t;object=o;;?module-path=/p.so", "has an attribute"},
		{"pkcs11:token=t;object=o?module-path=/p.so&timeout=1h", "no duration"},
		{"pkcs11:token;object=o?module-path=/p.so", "has an attribute"},
	}
	for _, c := range cases {
		_, err := Open(t.Context(), c.uri)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.uri, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error %q shows the PIN", err)
		}
	}
}

func FuzzTokenURI(f *testing.F) {
	f.Add("token=prod;object=master?module-path=/usr/lib/p.so&pin-source=file:/run/pin")
	f.Add("serial=12ab;id=%01%FF;type=secret-key?module-path=/p.so")
	f.Add("token=t;object=o?module-path=/p.so&pin-value=1234")
	f.Fuzz(func(t *testing.T, rest string) {
		u, err := parseTokenURI("pkcs11:" + rest)
		if err != nil {
			return
		}
		_, query, _ := strings.Cut(rest, "?")
		if strings.Contains("&"+query, "&pin-value") {
			t.Errorf("%q was taken with a PIN in it", rest)
		}
		if (u.token == "") == (u.serial == "") || u.object == "" && u.id == "" || !strings.HasPrefix(u.module, "/") || len(u.id) > maxAttributeBytes {
			t.Errorf("%q was taken as %+v", rest, u)
		}
	})
}
