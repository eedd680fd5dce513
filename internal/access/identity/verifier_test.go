package identity

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func TestWhoIsClaimed(t *testing.T) {
	w := newWorld(t)
	got := w.allow(w.good("system:serviceaccount:ml:gateway", map[string]any{
		"email": "ada@example.com", "team": []string{"platform", "ml", "ml"}, "admin": true, "level": 3, "share": 0.50, "big": 1e21,
		"kubernetes.io": map[string]any{"namespace": "ml", "pod": map[string]any{"name": "x"}, "with.dot": "x"},
		"mixed":         []any{"a", []string{"b"}}, "nothing": nil, "none": []string{}, "jti": "x", "nbf": w.clock.time().Unix(),
	}))
	want := Claimed{
		Method: access.MethodIdentity, Issuer: "corp", ID: "corp:system:serviceaccount:ml:gateway", Name: "ada@example.com", Session: "x",
		Tenant: "acme", Roles: []string{"application", "operator"},
		Claims: map[string][]string{
			"sub": {"system:serviceaccount:ml:gateway"}, "email": {"ada@example.com"}, "team": {"ml", "platform"},
			"admin": {"true"}, "level": {"3"}, "share": {"0.5"}, "big": {"1e+21"}, "kubernetes.io.namespace": {"ml"},
		},
		Expires: w.clock.time().Add(10*time.Minute + defaultLeeway),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Claimed{})); diff != "" {
		t.Error(diff)
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("é", 100)
	for _, row := range []struct {
		settings string
		claims   map[string]any
		want     string
	}{
		{"", nil, "user-1"},
		{"", map[string]any{"email": ""}, "user-1"},
		{"", map[string]any{"email": []string{"a@b.c"}}, "user-1"},
		{"", map[string]any{"email": "a\nb\u202Ec"}, "a\uFFFDb\uFFFDc"},
		{"", map[string]any{"email": long}, long[:128]},
		{"", map[string]any{"email": "a" + long}, "a" + long[:126]},
		{"  name_claim: preferred_username", map[string]any{"email": "a@b.c", "preferred_username": "ada"}, "ada"},
	} {
		w.use(row.settings)
		if got := w.allow(w.good("user-1", row.claims)).Name; got != row.want {
			t.Errorf("%v: %q, not %q", row.claims, got, row.want)
		}
	}
}

func TestFirstBindingThatFitsCounts(t *testing.T) {
	w := newWorld(t)
	root := map[string]any{"realm_access": map[string]any{"roles": []string{"user", "boss"}}, "email_verified": true}
	for _, row := range []struct {
		claims map[string]any
		tenant string
		roles  []string
		admin  bool
	}{
		{map[string]any{"team": "platform"}, "acme", []string{"application", "operator"}, false},
		{map[string]any{"team": []string{"a", "platform"}}, "acme", []string{"application", "operator"}, false},
		{map[string]any{"team": "platform", "realm_access": root["realm_access"], "email_verified": true}, "acme", []string{"application", "operator"}, false},
		{root, "", nil, true},
		{map[string]any{"realm_access": root["realm_access"], "email_verified": "true"}, "", nil, true}, // a claim's value is its text
		{map[string]any{"realm_access": root["realm_access"]}, "acme", []string{"viewer"}, false},
		{map[string]any{"realm_access": root["realm_access"], "email_verified": false}, "acme", []string{"viewer"}, false},
		{map[string]any{"team": "Platform"}, "acme", []string{"viewer"}, false},
		{map[string]any{"team": "platform "}, "acme", []string{"viewer"}, false},
		{map[string]any{"team": "*"}, "acme", []string{"viewer"}, false},
		{map[string]any{"team": "platform,other"}, "acme", []string{"viewer"}, false},
		{map[string]any{"Team": "platform"}, "acme", []string{"viewer"}, false},
		{nil, "acme", []string{"viewer"}, false},
	} {
		got := w.allow(w.good("a", row.claims))
		if got.Tenant != row.tenant || got.ServerAdmin != row.admin || !slices.Equal(got.Roles, row.roles) {
			t.Errorf("%v: %q %v %t", row.claims, got.Tenant, got.Roles, got.ServerAdmin)
		}
	}
	w.useText(w.text("", "    - when: {team: platform}\n      tenant: acme\n"))
	w.deny(config.KindUnauthenticated, "no binding fits", w.good("a", nil))
	w.useText(strings.Replace(w.text("", ""), "  bindings:\n", "", 1))
	w.deny(config.KindUnauthenticated, "no binding fits", w.good("a", map[string]any{"team": "platform"}))
}

// Whatever a claim's value is, it matches the binding that says just that, and no
// other.
func TestPropertyValuesMatchOnlyThemselves(t *testing.T) {
	alphabet := rapid.SliceOfN(rapid.SampledFrom([]rune("ab*?/ .%\\[]{}|^$:,\"'\u00e9e\u0301")), 1, 6)
	rapid.Check(t, func(t *rapid.T) {
		wanted, said := string(alphabet.Draw(t, "wanted")), string(alphabet.Draw(t, "said"))
		i := Issuer{Bindings: []Binding{{When: map[string][]string{"c": {wanted}}, Tenant: "a"}}}
		claims, err := flatten(map[string]any{"c": said})
		if err != nil {
			t.Fatal(err)
		}
		if _, fits := i.place(claims); fits != (wanted == said) {
			t.Fatalf("%q wanted, %q said: %t", wanted, said, fits)
		}
		list, err := flatten(map[string]any{"c": []any{said, "x" + wanted, wanted + "x"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, fits := i.place(list); fits != (wanted == said) {
			t.Fatalf("%q wanted, %q said in a list: %t", wanted, said, fits)
		}
		rule := CertificateRule{SPIFFE: "spiffe://example.org/" + wanted}
		if wrongSPIFFE(rule.SPIFFE) == "" && rule.holds("spiffe://example.org/"+said) != (wanted == said) {
			t.Fatalf("%q wanted, %q came", wanted, said)
		}
	})
}

func TestGoodTokensAreRemembered(t *testing.T) {
	w := newWorld(t)
	token := w.good("a", nil)
	remembered := func() bool {
		w.Helper()
		before := w.verifier.current.Load().names["corp"].keys
		w.verifier.current.Load().names["corp"].keys = &keyring{clock: w.clock.time, failure: errUnknownKey, tried: w.clock.time()}
		defer func() { w.verifier.current.Load().names["corp"].keys = before }()
		_, err := w.verifier.JWT(t.Context(), token)
		return err == nil
	}
	if remembered() {
		t.Error("a token is remembered before it came")
	}
	w.allow(token)
	if !remembered() {
		t.Error("a good token is checked twice")
	}
	w.clock.add(tokenFresh - time.Nanosecond)
	if !remembered() {
		t.Error("a good token is checked twice within a minute")
	}
	w.clock.add(time.Nanosecond)
	if remembered() {
		t.Error("a good token is believed for longer than a minute")
	}
	w.allow(token)
	w.use("")
	if remembered() {
		t.Error("a new file does not make it forgotten")
	}
	token = w.good("short", map[string]any{"exp": w.clock.time().Unix()})
	w.allow(token)
	w.clock.add(defaultLeeway)
	if remembered() {
		t.Error("a token is believed after its end")
	}
	token = w.good("back", nil)
	w.allow(token)
	w.clock.add(-time.Second)
	if remembered() {
		t.Error("a token is believed though the clock was put back")
	}
}

func TestReplay(t *testing.T) {
	w := newWorld(t)
	w.use("  replay: true")
	token := func(jti any) string { return w.good("a", map[string]any{"jti": jti}) }
	first := token("1")
	w.allow(first)
	w.deny(config.KindUnauthenticated, "used before", first)
	w.allow(token("2"))
	w.deny(config.KindUnauthenticated, "used before", w.good("another", map[string]any{"jti": "1"}))
	w.use("  replay: true\n  leeway: 1m\n  max_age: 1h")
	w.deny(config.KindUnauthenticated, "used before", first)
	for _, jti := range []any{nil, "", 1, strings.Repeat("j", 257)} {
		w.deny(config.KindUnauthenticated, "jti is missing", token(jti))
	}
	stranger := &issuertest.Key{ID: w.issuer.Key("RS256").ID, Algorithm: "RS256", Private: issuertest.RSA(2048, 4)}
	w.deny(config.KindUnauthenticated, "signature", w.good("a", map[string]any{"jti": "3"}, issuertest.With(stranger)))
	w.allow(token("3")) // a forged token uses up nothing

	if err := w.verifier.Use(nil); err != nil {
		t.Fatal(err)
	}
	w.deny(config.KindUnauthenticated, "not in the file", token("4"))
	w.use("  replay: true")
	w.deny(config.KindUnauthenticated, "used before", first) // also after the issuer was gone
	w.clock.add(time.Hour)
	if err := w.verifier.Use(nil); err != nil {
		t.Fatal(err)
	}
	if len(w.verifier.used) != 0 {
		t.Error("tokens that have expired are remembered")
	}
}

func TestReplayOfOneTokenAtOnce(t *testing.T) {
	w := newWorld(t)
	w.use("  replay: true")
	token := w.good("a", map[string]any{"jti": "1"})
	w.allow(w.good("keys are there", map[string]any{"jti": "0"}))
	var all sync.WaitGroup
	taken := make(chan bool, 20)
	for range cap(taken) {
		all.Go(func() { _, err := w.verifier.JWT(t.Context(), token); taken <- err == nil })
	}
	all.Wait()
	close(taken)
	n := 0
	for ok := range taken {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("it was taken %d times", n)
	}
}

func TestUsedTokensAreBounded(t *testing.T) {
	now := newClock().time()
	u := newUsed()
	u.limit = 3
	for i := range 3 {
		if err := u.take(fmt.Sprint(i), now.Add(time.Duration(3-i)*time.Minute), now); err != nil {
			t.Fatal(err)
		}
	}
	wantRefusal(t, config.KindOverloaded, "", u.take("new", now.Add(time.Hour), now))
	wantRefusal(t, config.KindUnauthenticated, "used before", u.take("2", now.Add(time.Hour), now))
	now = now.Add(time.Minute)
	if err := u.take("new", now.Add(time.Hour), now); err != nil {
		t.Errorf("there is room once one has expired: %v", err)
	}
	wantRefusal(t, config.KindOverloaded, "", u.take("newer", now.Add(time.Hour), now))
	wantRefusal(t, config.KindUnauthenticated, "used before", u.take("1", now.Add(time.Hour), now))
}

func TestStill(t *testing.T) {
	for _, row := range []struct {
		name  string
		after func(w *world)
		kind  config.Kind
		cause string
	}{
		{"nothing changed", func(*world) {}, "", ""},
		{"the same file again", func(w *world) { w.use("") }, "", ""},
		{"another binding was added below", func(w *world) { w.useText(w.text("", bindings) + "    - {when: {a: b}, tenant: x}\n") }, "", ""},
		{"it ended", func(w *world) { w.clock.add(10*time.Minute + defaultLeeway) }, config.KindTokenExpired, ""},
		{"just before the end", func(w *world) { w.clock.add(10*time.Minute + defaultLeeway - 1) }, "", ""},
		{"no file", func(w *world) { _ = w.verifier.Use(nil) }, config.KindUnauthenticated, "issuer is not in the file"},
		{"no binding", func(w *world) { w.useText(strings.ReplaceAll(w.text("", bindings), "{team: platform}", "{team: x}")) }, config.KindUnauthenticated, "something else"},
		{"other roles", func(w *world) {
			w.useText(strings.ReplaceAll(w.text("", bindings), "[operator, application]", "[operator]"))
		}, config.KindUnauthenticated, "something else"},
		{"another tenant", func(w *world) { w.useText(strings.ReplaceAll(w.text("", bindings), "tenant: acme", "tenant: beta")) }, config.KindUnauthenticated, "something else"},
		{"more than before", func(w *world) {
			w.useText(strings.ReplaceAll(w.text("", bindings), "tenant: acme", "server_admin: true\n      tenant: acme"))
		}, config.KindUnauthenticated, "something else"},
		{"the issuer has another URL", func(w *world) {
			w.useText(strings.ReplaceAll(w.text("", bindings), w.issuer.URL, "https://else.example.com"))
		}, config.KindUnauthenticated, "another issuer"},
		{"the issuer has another name", func(w *world) { w.useText(strings.ReplaceAll(w.text("", bindings), "name: corp", "name: firm")) }, config.KindUnauthenticated, "not in the file"},
		{"another audience", func(w *world) { w.useText(strings.ReplaceAll(w.text("", bindings), "[llm-config, api]", "[api]")) }, config.KindUnauthenticated, "another audience"},
		{"other algorithms", func(w *world) { w.use("  algorithms: [ES256]") }, config.KindUnauthenticated, "do not take RS256"},
		{"an age that it has passed", func(w *world) { w.use("  max_age: 1s\n  leeway: 1s"); w.clock.add(2 * time.Second) }, config.KindUnauthenticated, "max_age"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.allow(w.good("a", map[string]any{"team": "platform"}))
			row.after(w)
			if err := w.verifier.Still(c); row.kind != "" {
				wantRefusal(t, row.kind, row.cause, err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNobodyIsNoLongerSomebody(t *testing.T) {
	v := New(Options{})
	wantRefusal(t, config.KindTokenExpired, "", v.Still(Claimed{}))
	wantRefusal(t, config.KindUnauthenticated, "", v.Still(Claimed{Method: access.MethodIdentity, Expires: time.Now().Add(time.Hour)}))
	wantRefusal(t, config.KindUnauthenticated, "", v.Still(Claimed{Method: access.MethodCertificate, Expires: time.Now().Add(time.Hour)}))
	_, err := v.JWT(t.Context(), "a.b.c")
	wantRefusal(t, config.KindUnauthenticated, "", err)
	_, err = v.Certificate(nil)
	wantRefusal(t, config.KindUnauthenticated, "", err)
}
