package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

const whole = `# who besides the holders of tokens is let in
issuers:
- name: corp
  issuer: https://accounts.example.com/realms/corp
  audience: [llm-config, "api"]
  algorithms: [RS512, ES384]
  ca: /etc/llm-config/corp.pem
  leeway: 10s
  replay: true
  max_age: 1h
  name_claim: preferred_username
  login:
    client_id: llm-config
    client_secret_file: /etc/llm-config/client
    scopes: [email, groups]
  bindings:
  - when: {team: platform, level: [1, 2], admin: true, "kubernetes.io.namespace": "ml"}
    tenant: acme
    roles: [operator, application]
  - when: {}
    server_admin: true
- name: kubernetes
  issuer: http://127.0.0.1:8080
  audience: [api]
certificates:
- spiffe: spiffe://example.org/teams/*
  tenant: acme
- spiffe: spiffe://example.org/*
  tenant: acme
- dns: gateway.example.com
  tenant: acme
  roles: [application]
  server_admin: false
`

func TestParseFile(t *testing.T) {
	got, err := ParseFile([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Issuers: []Issuer{
			{
				Name: "corp", URL: "https://accounts.example.com/realms/corp", Audience: []string{"llm-config", "api"},
				Algorithms: []string{"RS512", "ES384"}, CA: "/etc/llm-config/corp.pem", Leeway: 10 * time.Second, Replay: true,
				MaxAge: time.Hour, NameClaim: "preferred_username",
				Login: &Login{ClientID: "llm-config", ClientSecretFile: "/etc/llm-config/client", Scopes: []string{"email", "groups"}},
				Bindings: []Binding{
					{
						When:   map[string][]string{"team": {"platform"}, "level": {"1", "2"}, "admin": {"true"}, "kubernetes.io.namespace": {"ml"}},
						Tenant: "acme", Roles: []string{"application", "operator"},
					},
					{When: map[string][]string{}, ServerAdmin: true},
				},
			},
			{Name: "kubernetes", URL: "http://127.0.0.1:8080", Audience: []string{"api"}},
		},
		Certificates: []CertificateRule{
			{SPIFFE: "spiffe://example.org/teams/*", Tenant: "acme"},
			{SPIFFE: "spiffe://example.org/*", Tenant: "acme"},
			{DNS: "gateway.example.com", Tenant: "acme", Roles: []string{"application"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "{}", "---\n", "issuers: []", "null"} {
		got, err := ParseFile([]byte(text))
		if err != nil || len(got.Issuers)+len(got.Certificates) != 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// Each row changes one text of the whole file; the error names the line.
func TestParseFileRefuses(t *testing.T) {
	for _, row := range []struct {
		old, new string
		line     int
		wrong    string
	}{
		{"  replay: true", "  repaly: true", 9, `an issuer has no "repaly"`},
		{"issuers:", "issuer:", 3, `an identities file has no "issuer"`},
		{"    tenant: acme", "    tenants: acme", 18, `a binding has no "tenants"`},
		{"    scopes:", "    scope:", 15, `login has no "scope"`},
		{"- dns:", "- cn:", 30, `a certificate has no "cn"`},
		{"  replay: true", "  replay: true\n  replay: true", 10, `"replay" stands twice`},
		{"  replay: true", "  replay: yes", 9, "replay is neither true nor false"},
		{"  replay: true", `  replay: "true"`, 9, "replay is neither true nor false"},
		{"  replay: true", "  replay:", 9, `"replay" has no value`},
		{"  replay: true", "  replay: [true]", 9, "replay is not a plain value"},
		{"name: kubernetes", "name: corp", 22, `an issuer is named "corp" already at line 3`},
		{"name: corp", "name: Corp", 3, "is no name"},
		{"name: corp", "name: corp:x", 3, "is no name"},
		{"- name: corp\n  issuer", "- issuer", 3, "an issuer has no name"},
		{"http://127.0.0.1:8080", "https://accounts.example.com/realms/corp", 22, "stands already at line 3"},
		{"http://127.0.0.1:8080", "http://10.0.0.1", 23, "plain http"},
		{"http://127.0.0.1:8080", "http://127.0.0.1.example.com", 23, "plain http"},
		{"http://127.0.0.1:8080", "ftp://127.0.0.1", 23, "is not https"},
		{"http://127.0.0.1:8080", "accounts.example.com", 23, "is no URL with a host"},
		{"http://127.0.0.1:8080", "https://", 23, "is no URL with a host"},
		{"http://127.0.0.1:8080", "https://:443", 23, "is no URL with a host"},
		{"http://127.0.0.1:8080", "https://a:b@example.com", 23, "user name"},
		{"http://127.0.0.1:8080", "https://example.com/?a", 23, "query"},
		{"http://127.0.0.1:8080", `"https://example.com/#"`, 23, "fragment"},
		{"http://127.0.0.1:8080", `"https://example.com/\n"`, 23, "cannot be seen"},
		{"http://127.0.0.1:8080", "https://example.com/" + strings.Repeat("a", 512), 23, "1 to 512 bytes"},
		{`[llm-config, "api"]`, "[]", 5, "audience is empty"},
		{`[llm-config, "api"]`, "llm-config", 5, "audience is not a list"},
		{`[llm-config, "api"]`, `[""]`, 5, "1 to 256 bytes"},
		{`[llm-config, "api"]`, "[a, a]", 5, "the same twice"},
		{`  audience: [llm-config, "api"]` + "\n", "", 3, "an issuer has no audience"},
		{"RS512", "HS256", 6, "no signature that is taken"},
		{"RS512", "none", 6, "no signature that is taken"},
		{"RS512", "rs256", 6, "no signature that is taken"},
		{"RS512", "PS512", 6, "no signature that is taken"},
		{"leeway: 10s", "leeway: 301s", 8, "leeway is no time from 1s to 5m0s"},
		{"leeway: 10s", "leeway: 0s", 8, "leeway is no time"},
		{"leeway: 10s", "leeway: -1s", 8, "leeway is no time"},
		{"leeway: 10s", "leeway: 10", 8, "leeway is no time"},
		{"max_age: 1h", "max_age: 9000h", 10, "max_age is no time"},
		{"    client_id: llm-config\n", "", 13, "login has no client_id"},
		{"[email, groups]", `["email groups"]`, 15, "is no scope"},
		{"  - when: {}\n    server_admin", "  - server_admin", 20, "a binding has no when"},
		{"when: {}", "when:", 20, `"when" has no value`},
		{"when: {}", "when: []", 20, "when is not a mapping"},
		{"when: {}", "when: {a: []}", 20, "has no values"},
		{"when: {}", "when: {a: {b: c}}", 20, "a is not a plain value"},
		{"when: {}", `when: {a: ""}`, 20, "1 to 1024 bytes"},
		{"when: {}", "when: {a: [b, b]}", 20, "stands twice"},
		{"when: {}", "when: {a: 1.5}", 20, "not clearly text"},
		{"when: {}", "when: {a: 0x10}", 20, "not clearly text"},
		{"when: {}", "when: {a: 007}", 20, "not clearly text"},
		{"when: {}", "when: {a: 12345678901234567890}", 20, "not clearly text"},
		{"when: {}", "when: {a: True}", 20, "not clearly text"},
		{"when: {}", "when: {a: null}", 20, `"a" has no value`},
		{"when: {}", "when: {iss: x}", 20, "checked for every token"},
		{"when: {}", `when: {"": x}`, 20, "a claim's name"},
		{"when: {}", "when: {a: x, a: y}", 20, `"a" stands twice`},
		{"when: {}", "when: {a: &x b, c: *x}", 20, "alias"},
		{"    tenant: acme\n    roles", "    roles", 18, "roles are of a tenant"},
		{"    server_admin: true", "    server_admin: false", 20, "this gives nothing"},
		{"tenant: acme\n    roles", "tenant: Acme\n    roles", 18, "is no name"},
		{"[operator, application]", "[Operator]", 19, "is no role's name"},
		{"[operator, application]", `["*"]`, 19, "is no role's name"},
		{"[operator, application]", "[server-admin]", 19, "of the server"},
		{"[operator, application]", "[break-glass-admin]", 19, "asked for and approved"},
		{"[operator, application]", "[a, a]", 19, "the same twice"},
		{"[operator, application]", "[" + strings.Repeat("a", 65) + "]", 19, "is no role's name"},
		{"- dns: gateway.example.com", "- dns: gateway.example.com\n  spiffe: spiffe://a/b", 30, "one of the two"},
		{"- dns: gateway.example.com\n  tenant", "- tenant", 30, "one of the two"},
		{"gateway.example.com", `"*.example.com"`, 30, "has a wildcard"},
		{"gateway.example.com", "Gateway.example.com", 30, "no DNS name in lower case"},
		{"gateway.example.com", "gateway.example.com.", 30, "no DNS name in lower case"},
		{"gateway.example.com", "-gateway", 30, "no DNS name in lower case"},
		{"spiffe://example.org/teams/*", "spiffe://example.org/*/ml", 26, "not its last segment"},
		{"spiffe://example.org/teams/*", "spiffe://example.org/te*", 26, "not its last segment"},
		{"spiffe://example.org/teams/*", "spiffe://example.org/*/*", 26, "not its last segment"},
		{"spiffe://example.org/teams/*", "spiffe://*", 26, "does not begin with spiffe://"},
		{"spiffe://example.org/teams/*", "spiffe://*/a", 26, "not its last segment"},
		{"spiffe://example.org/teams/*", "spiffe://Example.org/a", 26, "trust domain"},
		{"spiffe://example.org/teams/*", "spiffe://example.org", 26, "has no path"},
		{"spiffe://example.org/teams/*", "spiffe://example.org/", 26, "a segment that is none"},
		{"spiffe://example.org/teams/*", "spiffe://example.org/a/../b", 26, "a segment that is none"},
		{"spiffe://example.org/teams/*", "spiffe://example.org:1/a", 26, "trust domain"},
		{"spiffe://example.org/teams/*", "https://example.org/a", 26, "does not begin"},
		{"spiffe://example.org/teams/*", "spiffe://example.org/*", 28, "stands already at line 26"},
		{"# who", "[", 0, ""},
		{"certificates:", "...\n---\ncertificates:", 0, "more than one"},
		{"issuers:", "\tissuers:", 2, "not YAML"},
	} {
		t.Run(row.new, func(t *testing.T) {
			text := strings.Replace(whole, row.old, row.new, 1)
			if text == whole {
				t.Fatal("the row changes nothing")
			}
			_, err := ParseFile([]byte(text))
			wantRefusal(t, config.KindBadRequest, "", err)
			if !strings.Contains(err.Error(), row.wrong) || row.line > 0 && !strings.Contains(err.Error(), fmt.Sprintf("line %d: ", row.line)) {
				t.Errorf("want line %d and %q, got %v", row.line, row.wrong, err)
			}
		})
	}
}

func TestAllThatIsWrongIsNamed(t *testing.T) {
	_, err := ParseFile([]byte(strings.NewReplacer("replay: true", "replay: maybe", "[email, groups]", "[]", "leeway: 10s", "leeway: 1h").Replace(whole)))
	var e *config.Error
	if !errors.As(err, &e) || len(e.Details) != 3 || !strings.HasPrefix(e.Message, "line 8: ") || !strings.HasPrefix(e.Details[2].Message, "line 15: scopes is empty; name one") {
		t.Errorf("got %+v", e)
	}
	_, err = ParseFile([]byte("issuers:\n" + strings.Repeat("- {}\n", 60)))
	if !errors.As(err, &e) || len(e.Details) != maxProblems {
		t.Errorf("got %d of them", len(e.Details))
	}
}

func TestBoundsOfFiles(t *testing.T) {
	issuers := func(n, each int) string {
		var b strings.Builder
		b.WriteString("issuers:\n")
		for i := range n {
			fmt.Fprintf(&b, "- name: i%d\n  issuer: https://i%d.example.com\n  audience: [a]\n  bindings:\n%s", i, i, strings.Repeat("  - {when: {}, tenant: a}\n", each))
		}
		return b.String()
	}
	certificates := func(n int) string {
		var b strings.Builder
		b.WriteString("certificates:\n")
		for i := range n {
			fmt.Fprintf(&b, "- {dns: n%d, tenant: a}\n", i)
		}
		return b.String()
	}
	conditions := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("c%d: x", i))
		}
		return "issuers:\n- name: i\n  issuer: https://i.example.com\n  audience: [a]\n  bindings:\n  - {when: {" + strings.Join(all, ", ") + "}, tenant: a}\n"
	}
	for name, row := range map[string]struct {
		text string
		kind config.Kind
	}{
		"64 issuers":        {issuers(64, 1), ""},
		"65 issuers":        {issuers(65, 1), config.KindBadRequest},
		"1000 bindings":     {issuers(2, 500), ""},
		"1002 bindings":     {issuers(2, 501), config.KindBadRequest},
		"1000 certificates": {certificates(1000), ""},
		"1001 certificates": {certificates(1001), config.KindBadRequest},
		"16 claims":         {conditions(16), ""},
		"17 claims":         {conditions(17), config.KindBadRequest},
		"1 MiB":             {"#" + strings.Repeat(" ", MaxFile-1), ""},
		"more than 1 MiB":   {"#" + strings.Repeat(" ", MaxFile), config.KindTooLarge},
		"nested deep":       {strings.Repeat("[", 1000), config.KindBadRequest},
	} {
		if _, err := ParseFile([]byte(row.text)); config.KindOf(err) != row.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilesThatAreNoMapping(t *testing.T) {
	for _, text := range []string{"- a", "a", "7", "[]"} {
		_, err := ParseFile([]byte(text))
		wantRefusal(t, config.KindBadRequest, "", err)
	}
}
