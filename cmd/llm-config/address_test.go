package main

import (
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// What the API calls by its members, a person reads by the flags that he gave.
func TestProblemsAreInFlags(t *testing.T) {
	for _, test := range []struct {
		line    string
		problem api.Problem
		want    string
	}{
		{"secret destroy x --all", api.Problem{Detail: "no", Pointer: "/all"}, "no (in --all)"},
		{"secret destroy x --version 3", api.Problem{Detail: "no", Pointer: "/versions"}, "no (in --version)"},
		{"secret activate x", api.Problem{Detail: "no", Pointer: "version"}, "no (in --version)"},
		{"secret update x --rotate-with hex", api.Problem{Detail: "no", Pointer: "/rotation/generator/length"}, "no (in --rotate-with)"},
		{"secret set x --generate hex", api.Problem{Detail: "no", Pointer: "/rotation/generator/kind"}, "no (in --generate)"},
		{"secret set x --rotate-webhook https://a.example", api.Problem{Detail: "no", Pointer: "/rotation/webhook/signing"}, "no (in --webhook-signing)"},
		{"secret set x", api.Problem{Detail: "no", Pointer: "/labels/team"}, "no (in --label)"},
		{"secret set x", api.Problem{Detail: "no", Pointer: "/expires_at"}, "no (in --expires)"},
		{"secret set x", api.Problem{Detail: "no", Pointer: "/fields/user"}, "no (at /fields/user)"},
		{"secret get x#y", api.Problem{Detail: "no", Pointer: "field"}, "no"},
		{"secret delete x", api.Problem{Detail: "no", Next: "delete it all the same with force"}, "no; delete it all the same with --force"},
		{"token rotate x", api.Problem{Detail: "no", Pointer: "ttl_seconds"}, "no (in --ttl)"},
		{"set x all=1", api.Problem{Detail: "no", Pointer: "/all"}, "no (at /all)"},
		{"set x version=1", api.Problem{Detail: "no", Pointer: "/version"}, "no (at /version)"},

		{"key status --master", api.Problem{Code: api.CodeForbidden, Detail: "no", Next: "ask an administrator of the tenant"}, "no; ask an administrator of the server"},
		{"token ls --server", api.Problem{Code: api.CodeForbidden, Detail: "no", Next: "ask an administrator of the tenant"}, "no; ask an administrator of the server"},
		{"tenant ls", api.Problem{Code: api.CodeForbidden, Detail: "no", Next: "ask an administrator of the tenant"}, "no; ask an administrator of the server"},
		{"key status", api.Problem{Code: api.CodeForbidden, Detail: "no", Next: "ask an administrator of the tenant"}, "no; ask an administrator of the tenant"},

		{"secret get x -e qa", api.Problem{Detail: "no", Next: "`llm-config secret history x` lists them"}, "no; `llm-config secret history -e qa x` lists them"},
		{"secret get x -e qa -t acme", api.Problem{Detail: "no", Next: "`llm-config secret ls` and `llm-config env ls`"}, "no; `llm-config secret ls -t acme -e qa` and `llm-config env ls -t acme`"},
		{"secret get x -e qa", api.Problem{Detail: "no", Next: "`llm-config ls -e base`, `llm-config get --help`, `llm-config COMMAND`"}, "no; `llm-config ls -e base`, `llm-config get --help`, `llm-config COMMAND`"},
		{"secret get x", api.Problem{Detail: "no", Next: "`llm-config secret ls` lists them"}, "no; `llm-config secret ls` lists them"},
	} {
		c, args, err := newRootCommand(&app{}).Find(strings.Fields(test.line))
		if err == nil {
			err = c.ParseFlags(args)
		}
		if err != nil {
			t.Fatal(test.line, err)
		}
		if got := addressed(c, &test.problem).Error(); got != test.want {
			t.Errorf("%s: %q, want %q", test.line, got, test.want)
		}
	}
}

func TestDurationsAreAsPeopleWriteThem(t *testing.T) {
	for _, text := range []string{"30d", "36h", "1h30m", "90s", "1m30s", "1h0m1s", "10m", "100h"} {
		var d days
		if err := d.Set(text); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"90s": "1m30s"}[text]
		if want == "" {
			want = text
		}
		if got := d.String(); got != want {
			t.Errorf("%s prints as %s", text, got)
		}
	}
}

// An update changes what it names, and nothing else of a rotation.
func TestRotationKeepsWhatIsNotNamed(t *testing.T) {
	hook := &api.SecretWebhook{URL: "https://a.example", Signing: "sign"}
	before := func() *api.SecretRotation {
		return &api.SecretRotation{EverySeconds: 60, GraceSeconds: 9, Overlap: "adoption", Generator: &api.Generator{Kind: "hex"}, Webhook: &api.SecretWebhook{URL: hook.URL, Signing: hook.Signing}}
	}
	for name, test := range map[string]struct {
		flags metadataFlags
		want  func(*api.SecretRotation)
	}{
		"the generator": {metadataFlags{with: generator{api.Generator{Kind: "uuid"}}}, func(r *api.SecretRotation) { r.Generator.Kind = "uuid" }},
		"the webhook":   {metadataFlags{webhook: "https://b.example"}, func(r *api.SecretRotation) { r.Webhook.URL = "https://b.example" }},
		"its signing":   {metadataFlags{signing: "other"}, func(r *api.SecretRotation) { r.Webhook.Signing = "other" }},
		"no webhook":    {metadataFlags{noWebhook: true}, func(r *api.SecretRotation) { r.Webhook = nil }},
		"the schedule":  {metadataFlags{every: span(time.Hour)}, func(r *api.SecretRotation) { r.EverySeconds = 3600 }},
		"the grace":     {metadataFlags{grace: span(time.Hour)}, func(r *api.SecretRotation) { r.GraceSeconds = 3600 }},
		"the overlap":   {metadataFlags{overlap: "deadline"}, func(r *api.SecretRotation) { r.Overlap = "deadline" }},
	} {
		got, want := before(), before()
		test.flags.over(got)
		test.want(want)
		if rotationText(got) != rotationText(want) {
			t.Errorf("%s: %s, want %s", name, rotationText(got), rotationText(want))
		}
	}
}

func TestListsTellWhatIsOver(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	past, later := now.Add(-time.Minute), now.Add(time.Hour)
	for _, test := range []struct {
		version api.SecretVersion
		want    string
	}{
		{api.SecretVersion{State: "active", ExpiresAt: &past}, "expired"},
		{api.SecretVersion{State: "grace", ExpiresAt: &now}, "expired"},
		{api.SecretVersion{State: "staged", ExpiresAt: &past}, "expired"},
		{api.SecretVersion{State: "active", ExpiresAt: &later}, "active"},
		{api.SecretVersion{State: "revoked", ExpiresAt: &past}, "revoked"},
		{api.SecretVersion{State: "active"}, "active"},
	} {
		if got := stateText(test.version, now); got != test.want {
			t.Errorf("%+v is %s", test.version, got)
		}
	}
	failed := api.Secret{Current: 2, Previous: 1, NextRotate: &later, Failure: &api.SecretFailure{Time: past}}
	if next, also := nextCell(failed).text, alsoCell(failed).text; next != when(later) || also != "1 in grace, rotation failed "+when(past) {
		t.Errorf("next %q, also %q", next, also)
	}
	if got := currentCell(api.Secret{Refused: "expired"}).text; got != "expired" {
		t.Errorf("the one in use is %q", got)
	}
}

// At a terminal a person is asked before the version in use is taken away.
func TestRevokingWhatIsInUseAsks(t *testing.T) {
	w := newSecretsWire(t)
	for _, test := range []struct {
		line, answer string
		asked        bool
		code         int
	}{
		{"--version 1", "n\n", true, exitFailed},
		{"--version 1", "y\n", true, 0},
		{"--version 1 --now", "", false, 0},
		{"--version 1 --yes", "", false, 0},
		{"--version 7", "", false, 0},
		{"", "y\n", true, 0},
	} {
		s := secretSession(t, w)
		s.interactive, s.stdin = true, strings.NewReader(test.answer)
		s.run(t, test.code, append([]string{"secret", "revoke", "openai"}, strings.Fields(test.line)...)...)
		if asked := strings.Contains(s.err.String(), "for ever?"); asked != test.asked {
			t.Errorf("%q: asked %t:\n%s", test.line, asked, &s.err)
		}
	}
}
