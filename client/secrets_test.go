package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
)

func TestSecretVerbs(t *testing.T) {
	const tenant = "/api/v1/tenants/acme"
	const env = tenant + "/environments/production"
	r := newRecording(t)
	ctx := t.Context()
	isolate := true
	r.answer = `{"id":"t1","value":"v","version":1}`
	for _, test := range []struct {
		want string // method, URI and body
		call func() (any, error)
	}{
		{"GET " + env + "/secrets/db/main ", func() (any, error) { return r.Secret(ctx, "production", "db/main") }},
		{"GET " + env + "/secrets/db/main?deleted=true ", func() (any, error) { return r.DeletedSecret(ctx, "production", "db/main") }},
		{"GET " + env + "/secrets/db/main?reveal=true ", func() (any, error) { return r.RevealSecret(ctx, "production", "db/main", RevealOptions{}) }},
		{"GET " + env + "/secrets/db/main?field=user&min_revision=9&reveal=true&version=3 ", func() (any, error) {
			return r.RevealSecret(ctx, "production", "db/main", RevealOptions{Version: 3, Field: "user", MinRevision: 9})
		}},
		{"PUT " + env + `/secrets/db/main {"fields":{"value":"<a>"},"message":"why"}`, func() (any, error) {
			return r.PutSecret(ctx, "production", "db/main", api.SecretInput{Fields: must(TextFields(map[string]string{"value": "<a>"})), Message: "why"})
		}},
		{"PATCH " + env + `/secrets/db/main {"owner":"me"}`, func() (any, error) {
			return r.UpdateSecret(ctx, "production", "db/main", api.SecretUpdate{SecretMetadata: api.SecretMetadata{Owner: new("me")}})
		}},
		{"DELETE " + env + "/secrets/db/main ", func() (any, error) { return r.DeleteSecret(ctx, "production", "db/main", SecretDelete{}) }},
		{"DELETE " + env + "/secrets/db/main?force=true ", func() (any, error) {
			return r.DeleteSecret(ctx, "production", "db/main", SecretDelete{Force: true})
		}},
		{"POST " + env + `/secret-undelete/db/main {"message":"oh"}`, func() (any, error) {
			return r.UndeleteSecret(ctx, "production", "db/main", api.SecretUndelete{Message: "oh"})
		}},
		{"POST " + env + `/secret-destroy/db/main {"versions":[1,2]}`, func() (any, error) {
			return r.DestroySecret(ctx, "production", "db/main", api.SecretDestroy{Versions: []int64{1, 2}})
		}},
		{"POST " + env + `/secret-rotate/db/main {"now":true}`, func() (any, error) {
			return r.RotateSecret(ctx, "production", "db/main", api.SecretRotate{Now: true})
		}},
		{"POST " + env + `/secret-activate/db/main {"version":4,"grace_seconds":0}`, func() (any, error) {
			return r.ActivateSecret(ctx, "production", "db/main", api.SecretActivate{Version: 4, GraceSeconds: new(int64(0))})
		}},
		{"POST " + env + `/secret-revoke/db/main {"version":3}`, func() (any, error) {
			return r.RevokeSecret(ctx, "production", "db/main", api.SecretRevoke{Version: 3})
		}},
		{"GET " + env + "/secret-history/db/main ", func() (any, error) { return r.SecretHistory(ctx, "production", "db/main") }},
		{"GET " + env + "/secret-diff/db/main?from=staging%403&to=4 ", func() (any, error) {
			return r.SecretDiff(ctx, "production", "db/main", SecretDiffQuery{From: "staging@3", To: "4"})
		}},
		{"GET " + env + "/secret-adoption/db/main ", func() (any, error) { return r.SecretAdoption(ctx, "production", "db/main") }},
		{"GET " + env + "/secrets?cursor=c&deleted=true&glob=db%2F%2A&label=a%3D1&label=b%3D&limit=5&own=true&prefix=db ", func() (any, error) {
			return r.Secrets(ctx, "production", SecretList{Prefix: "db", Glob: "db/*", Labels: map[string]string{"b": "", "a": "1"}, Own: true, Deleted: true, Page: Page{Limit: 5, Cursor: "c"}})
		}},
		{"GET " + env + "/acks ", func() (any, error) { return r.Acks(ctx, "production") }},
		{"GET " + env + "/bundle?prefix=a&reveal=true ", func() (any, error) {
			return r.Bundle(ctx, "production", BundleQuery{Prefix: "a", Reveal: true})
		}},
		{`PUT ` + tenant + `/environments/edge {"isolate_secrets":true}`, func() (any, error) {
			return r.PutEnvironment(ctx, "edge", api.EnvironmentInput{Isolate: &isolate})
		}},
		{"GET " + tenant + "/keys ", func() (any, error) { return r.TenantKeys(ctx) }},
		{"POST " + tenant + `/keys/rotate {"message":"due"}`, func() (any, error) { return r.RotateTenantKey(ctx, api.KeyRotate{Message: "due"}) }},
		{"POST " + tenant + `/keys/retire {"version":2}`, func() (any, error) { return r.RetireTenantKey(ctx, api.KeyRetire{Version: 2}) }},
		{"GET /api/v1/keys ", func() (any, error) { return r.MasterKeys(ctx) }},
		{"POST /api/v1/keys/rotate {}", func() (any, error) { return r.RotateMasterKey(ctx, api.KeyRotate{}) }},
		{"POST " + tenant + `/tokens/t1/rotate {"now":true}`, func() (any, error) { return r.RotateToken(ctx, "t1", api.TokenRotate{Now: true}) }},
		{`POST /api/v1/tokens/t1/rotate {"ttl_seconds":60}`, func() (any, error) { return r.RotateServerToken(ctx, "t1", api.TokenRotate{TTLSeconds: 60}) }},
	} {
		if _, err := test.call(); err != nil {
			t.Errorf("%s: %v", test.want, err)
		}
		// json.Marshal escapes what HTML would take for a tag.
		if got := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(r.last.line + " " + r.last.body); got != test.want {
			t.Errorf("sent %s\nwant %s", got, test.want)
		}
		writes := !strings.HasPrefix(test.want, "GET ")
		if key := r.last.header.Get(api.HeaderIdempotent); writes != (len(key) == 32) {
			t.Errorf("%s: Idempotency-Key %q", test.want, key)
		}
	}
}

func TestSecretConditions(t *testing.T) {
	r, ctx := newRecording(t), t.Context()
	in := api.SecretInput{Generate: &api.Generator{Kind: "hex"}}
	for _, test := range []struct {
		want       string
		conditions []Condition
	}{
		{"|", nil},
		{`"r7"|`, []Condition{IfRecord(7)}},
		{"|*", []Condition{IfRecord(0)}},
	} {
		for name, call := range map[string]func() error{
			"put": func() error { _, err := r.PutSecret(ctx, "e", "a", in, test.conditions...); return err },
			"update": func() error {
				_, err := r.UpdateSecret(ctx, "e", "a", api.SecretUpdate{}, test.conditions...)
				return err
			},
			"delete": func() error {
				_, err := r.DeleteSecret(ctx, "e", "a", SecretDelete{Message: "ü"}, test.conditions...)
				return err
			},
		} {
			if err := call(); err != nil {
				if name != "delete" || test.want != "|*" {
					t.Errorf("%s %s: %v", name, test.want, err)
				}
				wantError(t, err, "cannot be deleted")
				continue
			}
			h := r.last.header
			if got := h.Get("If-Match") + "|" + h.Get("If-None-Match"); got != test.want {
				t.Errorf("%s sent %s, want %s", name, got, test.want)
			}
			if message := h.Get(api.HeaderMessage); (name == "delete") != (message == "%C3%BC") {
				t.Errorf("%s sent the message %q", name, message)
			}
		}
	}
}

// What is wrong with a value is said without the value.
func TestSecretErrorsShowNoValue(t *testing.T) {
	r, ctx := newRecording(t), t.Context()
	put := func(fields map[string]json.RawMessage) error {
		_, err := r.PutSecret(ctx, "e", "a", api.SecretInput{Fields: fields})
		return err
	}
	reveal := func(answer string) error {
		r.answer = answer
		_, err := r.RevealSecret(ctx, "e", "a", RevealOptions{})
		return err
	}
	bundle := func(answer string) error {
		r.answer = answer
		_, err := r.Bundle(ctx, "e", BundleQuery{Reveal: true})
		return err
	}
	_, notText := TextFields(map[string]string{"value": "canary\xff"})
	for name, err := range map[string]error{
		"a field that is no JSON":         put(map[string]json.RawMessage{"value": json.RawMessage("canary")}),
		"a text that is no UTF-8":         notText,
		"an answer that does not parse":   reveal(`{"version":1,"fields":{"value":canary}}`),
		"an answer of other types":        reveal(`{"version":"canary","fields":{}}`),
		"bytes that are no base64":        reveal(`{"version":1,"fields":{"value":"canary!"},"base64":["value"]}`),
		"bytes that are no text":          reveal(`{"version":1,"fields":{"value":["canary"]},"base64":["value"]}`),
		"previous bytes, likewise":        reveal(`{"version":1,"fields":{},"previous":{"version":2,"fields":{"value":"canary!"},"base64":["value"]}}`),
		"no version":                      reveal(`{"fields":{"value":"canary"}}`),
		"a bundle that does not parse":    bundle(`{"configs":[{"document":canary}]}`),
		"an answer in another media type": func() error { r.header.Set("Content-Type", "text/html"); return reveal("canary") }(),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
	if r.last.body != "" {
		t.Errorf("sent %s", r.last.body)
	}
}

func TestRevealSecret(t *testing.T) {
	r := newRecording(t)
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	r.answer = `{"environment":"base","path":"db/main","revision":12,"version":3,"state":"active","fields":{
		"user":"app","key":"AP/+","pem":{"b":[1, 2]},"port":5432},"base64":["key"],
		"previous":{"version":2,"state":"grace","fields":{"user":"old"},"until":"2030-01-02T03:04:05Z"}}`
	s, err := r.RevealSecret(t.Context(), "production", "db/main", RevealOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Environment != "base" || s.Revision != 12 || s.Version != 3 || s.Previous.Version != 2 || !s.Previous.Until.Equal(until) || !s.Until.IsZero() {
		t.Errorf("%+v", s)
	}
	if got, want := s.Names(), []string{"key", "pem", "port", "user"}; !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
	if text, err := s.Text("user"); text != "app" || err != nil {
		t.Errorf("the text is %q, %v", text, err)
	}
	if text, err := s.Previous.Text("user"); text != "old" || err != nil {
		t.Errorf("the text before is %q, %v", text, err)
	}
	for name, want := range map[string]string{"key": "\x00\xff\xfe", "user": "app"} {
		if data, err := s.Bytes(name); string(data) != want || err != nil {
			t.Errorf("the bytes of %s are %q, %v", name, data, err)
		}
	}
	var port int
	var pem struct{ B []int }
	var key []byte
	if err := errors.Join(s.JSON("port", &port), s.JSON("pem", &pem), s.JSON("key", &key)); err != nil || port != 5432 || !slices.Equal(pem.B, []int{1, 2}) || len(key) != 3 {
		t.Errorf("JSON %d, %v, %x, %v", port, pem, key, err)
	}
	for _, test := range []struct {
		call func() error
		want []string
	}{
		{func() error { _, err := s.Text("token"); return err }, []string{`no field "token"`, "key, pem, port, user"}},
		{func() error { _, err := s.Text("key"); return err }, []string{"read it by Bytes"}},
		{func() error { _, err := s.Text("pem"); return err }, []string{"read it by JSON"}},
		{func() error { _, err := s.Bytes("pem"); return err }, []string{"read it by JSON"}},
		{func() error { _, err := s.Bytes("token"); return err }, []string{`no field "token"`}},
		{func() error { return s.JSON("token", &port) }, []string{`no field "token"`}},
		{func() error { return s.JSON("user", &port) }, []string{`"user" does not decode into *int`, "string where int belongs"}},
		{func() error { return s.JSON("port", new(bool)) }, []string{"number where bool belongs"}},
	} {
		err := test.call()
		wantError(t, err, test.want...)
		if strings.Contains(err.Error(), "app") || strings.Contains(err.Error(), "5432") {
			t.Errorf("the error shows the value: %v", err)
		}
	}
}

func TestReadSecretsHeader(t *testing.T) {
	r := newRecording(t)
	r.header.Set(api.HeaderRevision, "12")
	for text, want := range map[string]map[string]int64{
		"":                     nil,
		"db/main 3":            {"db/main": 3},
		"db/main 3, openai 12": {"db/main": 3, "openai": 12},
	} {
		r.header.Set(api.HeaderSecrets, text)
		d, err := r.Config(t.Context(), "e", "a", Read{Reveal: true})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, d.Secrets); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
	for _, text := range []string{
		"db/main", "db/main ", " 3", "3", "db/main 0", "db/main 03", "db/main +3", "db/main -3", "db/main 3,openai 7", "db/main 3, ", ", db/main 3",
		"db/main  3", "db/main 3 ", "db/main 3, db/main 4", "db main 3", "db/main 3; openai 7", `db"main 3`, "db/main 9223372036854775808", "db/mäin 3", "db/main three",
	} {
		if got, err := parseSecrets(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
	r.header.Set(api.HeaderSecrets, "db/main")
	_, err := r.Config(t.Context(), "e", "a", Read{Reveal: true})
	wantError(t, err, api.HeaderSecrets, "path version")
	var many []string
	for i := range maxSecrets + 1 {
		many = append(many, fmt.Sprintf("s%d 1", i))
	}
	if got, err := parseSecrets(strings.Join(many[1:], ", ")); len(got) != maxSecrets {
		t.Errorf("%d secrets, %v", len(got), err)
	}
	_, err = parseSecrets(strings.Join(many, ", "))
	wantError(t, err, "more than 1000")
}

// FuzzSecretsHeader checks that what is taken for the header prints back to the
// same text.
func FuzzSecretsHeader(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		secrets, err := parseSecrets(text)
		if err != nil {
			return
		}
		var entries []string
		for entry := range strings.SplitSeq(text, ", ") {
			path, _, _ := strings.Cut(entry, " ")
			printed, _ := json.Marshal(secrets[path])
			entries = append(entries, path+" "+string(printed))
		}
		if printed := strings.Join(entries, ", "); printed != text || len(entries) != len(secrets) {
			t.Errorf("%q prints back as %q", text, printed)
		}
	})
}

func TestRotatedTokenLost(t *testing.T) {
	r := newRecording(t)
	r.status, r.answer = http.StatusCreated, `{"id":"t1"}`
	if token, err := r.RotateToken(t.Context(), "t0", api.TokenRotate{}); !errors.Is(err, ErrTokenLost) || token.ID != "t1" {
		t.Errorf("%+v, %v", token, err)
	}
	if token, err := r.RotateServerToken(t.Context(), "t0", api.TokenRotate{}); !errors.Is(err, ErrTokenLost) || token.ID != "t1" {
		t.Errorf("%+v, %v", token, err)
	}
}
