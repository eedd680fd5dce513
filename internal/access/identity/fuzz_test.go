package identity

import (
	"errors"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Whatever the text is, it is refused with a next step, or every line of the
// file gives something to somebody named.
func FuzzParseFile(f *testing.F) {
	for _, text := range []string{whole, rules, "", "issuers: [{name: a}]", "certificates: [{spiffe: 'spiffe://a/*', server_admin: true}]", "a: &a [*a]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ParseFile([]byte(text))
		if err != nil {
			var e *config.Error
			if !errors.As(err, &e) || e.Next == "" {
				t.Fatalf("%v has no next step", err)
			}
			return
		}
		for _, i := range file.Issuers {
			if wrong, _ := checkURL(i.URL); wrong != "" || config.CheckName(i.Name) != nil || len(i.Audience) == 0 {
				t.Fatalf("taken: %+v", i)
			}
			for _, b := range i.Bindings {
				if b.Tenant == "" && !b.ServerAdmin || b.Tenant == "" && len(b.Roles) > 0 {
					t.Fatalf("taken: %+v", b)
				}
			}
		}
		for _, r := range file.Certificates {
			if (r.SPIFFE == "") == (r.DNS == "") || strings.Contains(strings.TrimSuffix(r.SPIFFE, below), "*") || strings.Contains(r.DNS, "*") {
				t.Fatalf("taken: %+v", r)
			}
		}
		if err := New(Options{}).Use(file); err != nil && !strings.Contains(text, "ca") {
			t.Fatal(err)
		}
	})
}

// Nothing but a token that the issuer signed is taken, and what is looked at
// before the signature breaks nothing.
func FuzzJWT(f *testing.F) {
	w := issuertest.New(f)
	v := New(Options{HTTP: w.Client})
	file, err := ParseFile([]byte("issuers: [{name: corp, issuer: '" + w.URL + "', audience: [llm-config], bindings: [{when: {}, tenant: a}]}]"))
	if err != nil {
		f.Fatal(err)
	}
	if err := v.Use(file); err != nil {
		f.Fatal(err)
	}
	good := w.Sign(w.Claims("a", nil))
	if _, err := v.JWT(f.Context(), good); err != nil {
		f.Fatal(err)
	}
	for _, token := range []string{good, good + "A", strings.ToUpper(good), "e30.e30.e30", "..", w.SignText("[]"), w.Sign(w.Claims("", nil))} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.JWT(t.Context(), token); err == nil && token != good {
			t.Fatalf("taken: %q", token)
		}
	})
}
