package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
)

// canaryRule is a policy that harms nobody.
const canaryRule = `permit (principal in Role::"viewer", action == Action::"tag.read", resource);`

// stranger is call for credentials that are nobody's. Each comes from an address
// of its own, since the server holds back its answers to who fails again.
func (c *canaryRun) stranger(token, method, target string, body []byte, headers ...string) canaryAnswer {
	c.t.Helper()
	n := c.strangers.Add(1)
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}}
	transport := &http.Transport{DialContext: from.DialContext}
	defer transport.CloseIdleConnections()
	return c.callBy(transport, token, method, target, body, headers...)
}

// lookKept fails the test when a text holds what stands in policies and roles.
func (c *canaryRun) lookKept(where string, text []byte) bool {
	c.t.Helper()
	found := c.rules.in(text)
	if found != "" {
		c.t.Errorf("%s: what stands in policies (%s) in %.2000q", where, found, text)
	}
	return found == ""
}

// governs gives a tenant policies and a role of its own, in two versions each,
// whose texts hold the marker, and access that another server administrator
// asks for.
func (c *canaryRun) governs(h habitat) (grant string) {
	c.t.Helper()
	for _, version := range []string{"", " // again"} {
		c.must(h.token, "PUT", api.Build(api.RouteRole, h.tenant, "canary"), c.ruleText("description", c.rules.core+version))
		c.must(h.token, "PUT", api.Build(api.RoutePolicy, h.tenant, "canary"), c.ruleText("text", "// "+c.rules.core+"\n"+canaryRule+version))
	}
	var asked api.GrantResult
	answer := c.must(c.asker, "POST", api.Build(api.RouteGrants, h.tenant), `{"reason":"canary"}`)
	if err := json.Unmarshal(answer.body, &asked); err != nil {
		c.t.Fatal(err)
	}
	return asked.Grant.ID
}

// ruleText is a body with one text, and a message that holds the marker.
func (c *canaryRun) ruleText(member, text string) string {
	c.t.Helper()
	encoded, err := json.Marshal(map[string]string{member: text, "message": "a canary " + c.rules.core})
	if err != nil {
		c.t.Fatal(err)
	}
	return string(encoded)
}

// policies writes policies that are wrong in any way. Their author is told what
// he wrote; nobody else is.
func (c *canaryRun) policies(t *testing.T) {
	c = c.within(t)
	h := c.found("author")
	m := c.rules.core
	for name, text := range map[string]string{
		"no policy": m, "a comment": "// " + m + "\n" + canaryRule + " permit", "a text": `permit (principal in Role::"` + m + `", action, resource) when { 1 };`, "an action": `permit (principal, action == Action::"` + m + `", resource);`,
		"a place": `permit (principal, action, resource in Environment::"` + m + `") when { resource.x };`, "an attribute": `permit (principal, action, resource) when { context["` + m + `"] == 1 };`,
		"a kind": `permit (principal is ` + m + `, action, resource);`, "an id": `@id("` + m + `") permit (principal, action, resource) when { 1 };`, "an open text": `permit (principal, action, resource) when { "` + m,
		"a comparison": `forbid (principal, action, resource) when { context.method == "` + m + `" && context.method == 1 };`, "a test that fails": "//test deny role:viewer tag.read tenant claim.a=" + m + "\n" + canaryRule,
		"a test of nothing": "//test " + m + "\n" + canaryRule, "a test's action": "//test allow role:viewer " + m + " tenant\n" + canaryRule, "a test's place": "//test allow role:viewer config.read document " + m + "/" + m + "\n" + canaryRule,
	} {
		body := c.ruleText("text", text)
		if a := c.call(h.token, "PUT", api.Build(api.RoutePolicy, h.tenant, "wrong"), []byte(body)); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		encoded, _ := json.Marshal(map[string]string{"name": "wrong", "text": text})
		for _, route := range []string{api.RoutePolicyTest, api.RoutePolicyTry} {
			if a := c.call(h.token, "POST", api.Build(route, h.tenant), encoded); a.status >= 500 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
	}
	for _, target := range []string{api.RoutePolicy, api.RoutePolicyDiff} {
		if a := c.must(h.token, "GET", api.Build(target, h.tenant, "canary"), ""); c.rules.in(a.body) == "" {
			t.Errorf("%s does not show the text: %s", target, a.body)
		}
	}
	for target, id := range map[string]string{api.RoutePolicy: "canary", api.RouteRole: "canary", api.RouteGrant: h.grant} {
		c.must(h.token, "DELETE", api.Build(target, h.tenant, id)+"?message="+c.rules.core, "")
	}
}

// identities is the server's file of a local issuer at which browsers log in,
// and of another that answers nonsense.
func (c *canaryRun) identities() string {
	c.t.Helper()
	c.issuer = issuertest.New(c.t)
	c.issuer.Register("web", "")
	return c.put("identities.yaml", fmt.Sprintf("issuers:\n- name: corp\n  issuer: %s\n  ca: %s\n  audience: [web]\n  login: {client_id: web}\n  bindings:\n  - {when: {sub: bird}, tenant: default, roles: [viewer]}\n  - {when: {sub: approver}, server_admin: true}\n"+
		"- name: broken\n  issuer: http://%s\n  audience: [web]\n  login: {client_id: web}\n  bindings:\n  - {when: {sub: bird}, tenant: default, roles: [viewer]}\n",
		c.issuer.URL, c.issuer.CA, c.hooks.host))
}

// logins logs a browser in, and tries everything that logs nobody in.
func (c *canaryRun) logins(t *testing.T) {
	c = c.within(t)
	c.issuer.User(map[string]any{"sub": "bird", "nickname": c.stuffed.core})
	state, back := c.beginLogin()
	c.tokens = append(c.tokens, markerOf(back.Query().Get("code")), markerOf(state[strings.IndexByte(state, '=')+1:]))
	session := c.endLogin(back, state)
	if session == "" {
		t.Fatal("the login did not work")
	}
	jwt := session[strings.IndexByte(session, '=')+1:]
	c.tokens = append(c.tokens, markerOf(jwt[strings.LastIndexByte(jwt, '.')+1:]))
	for _, headers := range [][]string{{"Authorization", "", "Cookie", session}, {"Authorization", "Bearer " + jwt}} {
		if a := c.call("", "GET", api.RouteIdentity, nil, headers...); a.status != http.StatusOK {
			t.Errorf("who logged in is nobody: %d %s", a.status, a.body)
		}
		c.call("", "GET", c.at(api.RouteSecret, "base", canaryPath)+"?reveal=true", nil, headers...) // which a viewer may not
	}
	if a := c.stranger("", "GET", back.RequestURI(), nil, "Authorization", "", "Cookie", state); a.status < 400 {
		t.Errorf("a code is good twice: %d %s", a.status, a.body)
	}
	c.wrongLogins(session)
	c.wrongIssuers(session)
	c.wrongTokens(jwt)
}

// beginLogin goes to the issuer and comes back with a code; state is the cookie.
func (c *canaryRun) beginLogin() (state string, back *url.URL) {
	c.t.Helper()
	begun := c.call("", "GET", api.RouteLogin+"?issuer=corp", nil, "Authorization", "")
	browser := *c.issuer.Client
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := browser.Get(begun.header.Get("Location"))
	if err != nil {
		c.t.Fatalf("%v: %d %s", err, begun.status, begun.body)
	}
	_ = answer.Body.Close()
	if back, err = answer.Location(); err != nil {
		c.t.Fatal(err)
	}
	state, _, _ = strings.Cut(begun.header.Get("Set-Cookie"), ";")
	return state, back
}

// endLogin answers the session's cookie, "" when the login did not work.
func (c *canaryRun) endLogin(back *url.URL, state string) (session string) {
	c.t.Helper()
	a := c.stranger("", "GET", back.RequestURI(), nil, "Authorization", "", "Cookie", state)
	for _, line := range a.header.Values("Set-Cookie") {
		if cookie, _, _ := strings.Cut(line, ";"); a.status < 400 && !strings.HasSuffix(cookie, "=") {
			session = cookie
		}
	}
	return session
}

// wrongLogins puts the other marker wherever the routes of logins read something.
func (c *canaryRun) wrongLogins(session string) {
	c.t.Helper()
	name, jwt, _ := strings.Cut(session, "=")
	m := c.stuffed.core
	cookies := []string{"", name + "=" + m, name + "-login=" + m, name + "-login=" + m + "; " + name + "=" + m + "." + m + "." + m, name + "=" + jwt[:len(jwt)-8] + m, "__Host-" + name + "=" + m}
	queries := []string{"", "?issuer=" + m, "?to=/" + m + "%0a", "?to=//" + m, "?to=https://" + m, "?code=" + m + "&state=" + m, "?error=" + m + "&error_description=" + m, "?state=" + m + "&iss=" + m, "?" + m + "=1", "?a=%zz" + m, "?code=" + m + "&code=" + m}
	for _, route := range []string{api.RouteLogin, api.RouteLoginCallback, api.RouteLogout, api.RouteLoginMethods} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			for i, query := range queries {
				cookie := cookies[i%len(cookies)]
				for _, body := range malformedForms(m) {
					a := c.stranger("", method, route+query, []byte(body), "Authorization", "", "Cookie", cookie, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://"+m)
					c.lookStuffed(method+" "+route+query, a)
				}
			}
		}
		for _, cookie := range cookies {
			c.lookStuffed(route+" with a cookie", c.stranger("", "GET", route, nil, "Authorization", "", "Cookie", cookie))
		}
	}
	for _, cookie := range cookies {
		c.lookStuffed("a document, with a cookie", c.stranger("", "GET", c.at(api.RouteConfig, "base", canaryPath), nil, "Authorization", "", "Cookie", cookie))
	}
}

func malformedForms(core string) []string { return []string{"", "code=" + core + "&state=" + core} }

// wrongIssuers has issuers answer the marker where none belongs.
func (c *canaryRun) wrongIssuers(session string) {
	c.t.Helper()
	name, _, _ := strings.Cut(session, "=")
	c.lookRefused("an issuer that is none", c.stranger("", "GET", api.RouteLogin+"?issuer=broken", nil, "Authorization", ""))
	q := `"` + c.m.core + `"`
	for what, text := range map[string]string{
		"no JSON": c.m.core, "a list": "[" + q + "]", "cut short": `{"id_token":` + q, "no token": `{"access_token":` + q + `,"token_type":"Bearer"}`, "no JWT": `{"access_token":` + q + `,"token_type":"Bearer","id_token":` + q + `}`,
		"nobody's JWT": `{"access_token":` + q + `,"token_type":"Bearer","id_token":"` + c.m.core + "." + c.m.core + "." + c.m.core + `"}`, "a kind": `{"access_token":` + q + `,"token_type":` + q + `}`, "an error": `{"error":"invalid_grant","error_uri":` + q + `}`,
	} {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError} {
			state, back := c.beginLogin()
			c.issuer.Answer(issuertest.PathToken, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", api.TypeJSON)
				w.Header().Set("X-Why", c.m.core)
				w.WriteHeader(status)
				_, _ = w.Write([]byte(text))
			})
			if c.endLogin(back, state) != "" {
				c.t.Errorf("%s of an issuer logs somebody in", what)
			}
			c.issuer.Answer(issuertest.PathToken, nil)
		}
	}
	if a := c.stranger("", "POST", api.RouteLogout, nil, "Authorization", "", "Cookie", session); a.status >= 400 || !strings.Contains(a.header.Get("Set-Cookie"), name) {
		c.t.Errorf("logging out: %d %v", a.status, a.header)
	}
}

// wrongTokens are JWTs that hold the marker and let nobody in.
func (c *canaryRun) wrongTokens(good string) {
	c.t.Helper()
	m := c.stuffed.core
	claims := func(others map[string]any) map[string]any {
		all := c.issuer.Claims("bird", map[string]any{"aud": "web", "email": m, "jti": m})
		for name, value := range others {
			all[name] = value
		}
		return all
	}
	rsa := c.issuer.Key("RS256")
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"a signature": parts[0] + "." + parts[1] + "." + m, "a payload": parts[0] + "." + m + "." + parts[2], "a header": m + "." + parts[1] + "." + parts[2], "nothing else": m + "." + m + "." + m, "five parts": m + "." + m + "." + m + "." + m + "." + m,
		"expired": c.issuer.Sign(claims(map[string]any{"exp": 1})), "for another": c.issuer.Sign(claims(map[string]any{"aud": m})), "of nobody": c.issuer.Sign(claims(map[string]any{"sub": m})), "a number": c.issuer.Sign(claims(map[string]any{"exp": m, "nbf": m})),
		"an unknown key": c.issuer.Sign(claims(nil), issuertest.With(rsa), issuertest.Header("kid", m)), "a kind": c.issuer.Sign(claims(nil), issuertest.Header("typ", m)), "a condition": c.issuer.Sign(claims(nil), issuertest.Header("crit", []string{m})),
		"no JSON": c.issuer.SignText("{" + m), "a header that is no JSON": c.issuer.SignText("{}", issuertest.HeaderText("{"+m)), "a secret": c.issuer.Sign(claims(nil), issuertest.Secret([]byte(m)), issuertest.Header("alg", "HS256")),
		"of the broken issuer": c.issuer.Sign(claims(map[string]any{"iss": "http://" + c.hooks.host})),
	} {
		for _, headers := range [][]string{nil, {"Authorization", "", "Cookie", "llm-config-dev=" + token}} {
			a := c.stranger(token, "GET", c.at(api.RouteSecret, "base", canaryPath), nil, headers...)
			c.lookRefused("a token with "+name, a)
			if !slices.Contains([]int{http.StatusUnauthorized, http.StatusServiceUnavailable}, a.status) {
				c.t.Errorf("a token with %s: %d %s", name, a.status, a.body)
			}
		}
	}
}

// admins are two server administrators who have nothing of each other: that is
// what it takes to ask for access and to approve.
func (c *canaryRun) admins() {
	c.t.Helper()
	issued, err := c.server.client.CreateServerToken(c.t.Context(), api.NewToken{Name: "canary"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.asker = issued.Value
	c.approver = c.issuer.Sign(c.issuer.Claims("approver", map[string]any{"aud": "web", "exp": time.Now().Add(time.Hour).Unix()}))
	for _, value := range []string{c.asker[strings.LastIndexByte(c.asker, '_')+1:], c.approver[strings.LastIndexByte(c.approver, '.')+1:]} {
		c.tokens = append(c.tokens, markerOf(value))
	}
}
