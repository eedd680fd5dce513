package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// strong is a value that nobody guesses.
const strong = "q7!Zr0-Vw#x9_Lk2@tB5"

// setSecret makes a version of a secret of one field.
func (n *tenant) setSecret(t testing.TB, environment, path, value string) (result api.SecretResult) {
	t.Helper()
	n.call(t, "PUT", n.path(api.RouteSecret, environment, path), map[string]any{"fields": map[string]any{"value": value}}).want(t, 200).into(t, &result)
	return result
}

func (n *tenant) secret(t testing.TB, environment, path string) (s api.Secret) {
	t.Helper()
	n.call(t, "GET", n.path(api.RouteSecret, environment, path), nil).want(t, 200).into(t, &s)
	return s
}

func (n *tenant) reveal(t testing.TB, environment, path, more string) (s api.RevealedSecret) {
	t.Helper()
	n.call(t, "GET", n.path(api.RouteSecret, environment, path)+"?reveal=true"+more, nil).want(t, 200).into(t, &s)
	return s
}

// step makes a step of a secret.
func (n *tenant) step(t testing.TB, route, environment, path string, body any) (result api.SecretResult) {
	t.Helper()
	n.call(t, "POST", n.path(route, environment, path), body).want(t, 200).into(t, &result)
	return result
}

// unkept checks that nobody keeps an answer with values, and that its length
// tells nothing.
func (a *answer) unkept(t testing.TB) *answer {
	t.Helper()
	return a.want(t, 200).wantHeaders(t, "Cache-Control", "no-store", "ETag", "", "Content-Encoding", "", "Vary", "")
}

func TestSecretIsSetAndRead(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteSecret, "base", "db/main")
	body := `{"fields":{"password":"` + strong + `","port":5432,"tls":{"ca":["a","b"],"on":true},"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},"base64":["key"],
		"description":"the database","owner":"platform","labels":{"team":"data"},"message":"first","expires_at":"2099-01-02T03:04:05Z"}`
	var result api.SecretResult
	put := n.call(t, "PUT", target, body).want(t, 200).wantHeaders(t, "ETag", `"r1"`)
	put.into(t, &result)
	if result.Status != api.StatusCommitted || result.Version != 1 || result.State != "active" || result.Current != 1 || result.Record != 1 || result.Environment != "base" || put.header.Get(api.HeaderRevision) != strconv.FormatInt(result.Revision, 10) {
		t.Errorf("%+v", result)
	}
	if bytes.Contains(put.body, []byte(strong)) {
		t.Errorf("%s", put.body)
	}
	got := n.call(t, "GET", target, nil).want(t, 200).wantHeaders(t, "ETag", `"r1"`, "Cache-Control", "no-cache")
	var s api.Secret
	got.into(t, &s)
	if s.Description != "the database" || s.Owner != "platform" || s.Labels["team"] != "data" || s.Current != 1 || len(s.Versions) != 1 || s.Versions[0].ExpiresAt == nil ||
		strings.Join(s.Versions[0].Fields, " ") != "key password port tls" || s.Versions[0].Message != "first" || bytes.Contains(got.body, []byte(strong)) {
		t.Errorf("%s", got.body)
	}
	n.call(t, "GET", target, nil, "If-None-Match", `"r1"`).want(t, 304).wantBody(t, "")
	revealed := n.call(t, "GET", target+"?reveal=true", nil, "Accept-Encoding", "gzip").unkept(t).wantHeaders(t, "Content-Type", api.TypeJSON)
	var compact bytes.Buffer
	if err := json.Compact(&compact, revealed.body); err != nil || compact.String()+"\n" != string(revealed.body) {
		t.Errorf("%v %q", err, revealed.body)
	}
	want := `"fields":{"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","password":"` + strong + `","port":5432,"tls":{"ca":["a","b"],"on":true}},"base64":["key"],"expires_at":"2099-01-02T03:04:05Z"}`
	if !strings.HasSuffix(string(revealed.body), want+"\n") || !strings.HasPrefix(string(revealed.body), `{"environment":"base","path":"db/main","revision":`) {
		t.Errorf("%s", revealed.body)
	}
	if yaml := n.call(t, "GET", target+"?reveal=true&format=yaml", nil).unkept(t).wantHeaders(t, "Content-Type", api.TypeYAML); !strings.Contains(string(yaml.body), "port: 5432\n") {
		t.Errorf("%s", yaml.body)
	}
	if toml := n.call(t, "GET", target+"?reveal=true&field=port", nil, "Accept", api.TypeTOML).unkept(t).wantHeaders(t, "Content-Type", api.TypeTOML); !strings.Contains(string(toml.body), "port = 5432\n") || strings.Contains(string(toml.body), "q7!Z") {
		t.Errorf("%s", toml.body)
	}
	if head := n.call(t, "HEAD", target+"?reveal=true", nil).want(t, 200); len(head.body) != 0 || head.header.Get("ETag") != "" {
		t.Errorf("%v %q", head.header, head.body)
	}
}

// A secret comes in YAML and TOML as well, and is the same.
func TestSecretInOtherFormats(t *testing.T) {
	n := newWorld(t).newTenant(t)
	for i, c := range []struct{ body, contentType string }{
		{"fields:\n  value: '" + strong + "'\n  port: 0x10\nlabels: {team: data}\n", api.TypeYAML},
		{"stage = false\n[fields]\nvalue = '" + strong + "'\nport = 16\n[labels]\nteam = 'data'\n", api.TypeTOML},
		{`{"fields":{"value":"` + strong + `","port":16},"labels":{"team":"data"}}`, ""},
		{" \t{ \"labels\" :{\"team\":\"data\"} ,\n\"fields\" : { \"value\"\t:\"" + strong + "\" , \"port\": 1.6e1 } } ", api.TypeJSON},
	} {
		path := fmt.Sprintf("p%d", i)
		n.call(t, "PUT", n.path(api.RouteSecret, "base", path), c.body, "Content-Type", c.contentType).want(t, 200)
		got := n.reveal(t, "base", path, "")
		if string(got.Fields["value"]) != `"`+strong+`"` || string(got.Fields["port"]) != "16" || n.secret(t, "base", path).Labels["team"] != "data" {
			t.Errorf("%s: %v", c.contentType, got)
		}
	}
	got := n.call(t, "PUT", n.path(api.RouteSecret, "base", "q")+"?format=yaml", `{"generate":{"kind":"rsa-4096"}}`).want(t, 200)
	if !strings.Contains(string(got.body), "status: committed\n") {
		t.Errorf("%s", got.body)
	}
	if pair := n.reveal(t, "base", "q", ""); len(pair.Fields) != 2 || !strings.Contains(string(pair.Fields["private_key"]), "PRIVATE KEY") {
		t.Errorf("%d fields", len(pair.Fields))
	}
}

// Preconditions are those of the record that the environment has itself.
func TestSecretPreconditions(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteSecret, "base", "p")
	put := func(code api.Code, headers ...string) {
		t.Helper()
		got := n.call(t, "PUT", target, `{"generate":{"kind":"hex"}}`, headers...)
		if code == "" {
			got.want(t, 200)
			return
		}
		if p := got.refused(t, code); p.Next == "" {
			t.Errorf("%v: %+v", headers, p)
		}
	}
	put(api.CodePreconditionFailed, "If-Match", "*")
	put(api.CodePreconditionFailed, "If-Match", `"r1"`)
	put("", "If-None-Match", "*")
	put(api.CodePreconditionFailed, "If-None-Match", "*")
	put("", "If-Match", `"r1"`)
	put(api.CodePreconditionFailed, "If-Match", `"r1"`)
	put("", "If-Match", "*")
	for _, tag := range []string{`"v3"`, `W/"r3"`, `"r03"`, `r3`, `"r3", "r4"`, `"r99999999999999999999"`} {
		put(api.CodeWrongETag, "If-Match", tag)
	}
	put(api.CodeBadRequest, "If-None-Match", `"r3"`)
	put(api.CodeBadRequest, "If-None-Match", "*", "If-Match", "*")
	n.call(t, "PATCH", target, `{"description":"x"}`, "If-Match", `"r1"`).refused(t, api.CodePreconditionFailed)
	n.call(t, "PATCH", target, `{"description":"x"}`, "If-Match", `"r3"`).want(t, 200).wantHeaders(t, "ETag", `"r4"`)
	n.call(t, "DELETE", target, nil, "If-Match", `"r3"`).refused(t, api.CodePreconditionFailed)
	n.call(t, "PUT", target, `{"generate":{"kind":"hex"},"if_version":2}`).refused(t, api.CodePreconditionFailed)
	n.call(t, "PUT", target, `{"generate":{"kind":"hex"},"if_version":3}`).want(t, 200)

	inherited := n.path(api.RouteSecret, "production", "p")
	n.call(t, "GET", inherited, nil, "If-None-Match", `"r5"`).want(t, 200).wantHeaders(t, "ETag", "")
	n.call(t, "PUT", inherited, `{"generate":{"kind":"hex"}}`, "If-None-Match", "*").want(t, 200).wantHeaders(t, "ETag", `"r1"`)
	n.call(t, "GET", inherited, nil).want(t, 200).wantHeaders(t, "ETag", `"r1"`)
	n.call(t, "PATCH", n.path(api.RouteSecret, "base", "none"), `{"description":"x"}`).refused(t, api.CodeNotFound)
}

// A write of a secret that comes again is answered as before, and what is kept
// of the body is of no use to anybody.
func TestSecretIdempotency(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target, key := n.path(api.RouteSecret, "base", "p"), []string{api.HeaderIdempotent, "key-1"}
	first := n.call(t, "PUT", target, `{"fields":{"value":"`+strong+`"}}`, key...).want(t, 200)
	again := n.call(t, "PUT", target, `{"fields":{"value":"`+strong+`"}}`, key...).want(t, 200).wantHeaders(t, api.HeaderReplayed, "true", "ETag", `"r1"`)
	if string(first.body) != string(again.body) {
		t.Errorf("%s\n%s", first.body, again.body)
	}
	n.call(t, "PUT", target, `{"fields":{"value":"`+strong+`x"}}`, key...).refused(t, api.CodeIdempotencyMismatch)
	n.call(t, "PUT", target, `{"fields":{"value":"`+strong+`"}}`, append(key, "If-Match", "*")...).refused(t, api.CodeIdempotencyMismatch)
	if s := n.secret(t, "base", "p"); s.Record != 1 {
		t.Errorf("%+v", s)
	}
}

func TestSecretVersions(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.setSecret(t, "base", "p", strong)
	n.call(t, "PUT", n.path(api.RouteSecret, "base", "p"), `{"fields":{"value":"`+strong+`2"},"grace_seconds":3600}`).want(t, 200)
	got := n.reveal(t, "base", "p", "")
	if got.Version != 2 || got.Previous == nil || got.Previous.Version != 1 || string(got.Previous.Fields["value"]) != `"`+strong+`"` || got.Previous.Until == nil || got.Previous.Until.Sub(n.clock.now()) > time.Hour {
		t.Errorf("%+v", got)
	}
	if got = n.reveal(t, "production", "p", "&version=1"); got.Version != 1 || got.State != "grace" || got.Previous != nil || got.Environment != "base" {
		t.Errorf("%+v", got)
	}
	staged := n.step(t, api.RouteSecretRotate, "base", "p", `{"generate":{"kind":"base64","length":48},"stage":true}`)
	if staged.Version != 3 || staged.State != "staged" || staged.Current != 2 {
		t.Errorf("%+v", staged)
	}
	if r := n.step(t, api.RouteSecretActive, "base", "p", nil); r.Version != 3 || r.State != "active" || r.Current != 3 || r.Previous != 2 {
		t.Errorf("%+v", r)
	}
	if r := n.step(t, api.RouteSecretRevoke, "base", "p", `{"message":"leaked"}`); r.Version != 2 || r.State != "revoked" || r.Previous != 0 {
		t.Errorf("%+v", r)
	}
	n.call(t, "GET", n.path(api.RouteSecret, "base", "p")+"?reveal=true&version=2", nil).refused(t, api.CodeGone)
	n.call(t, "GET", n.path(api.RouteSecret, "base", "p")+"?reveal=true&version=9", nil).refused(t, api.CodeNotFound)
	var d api.SecretDiff
	n.call(t, "GET", n.path(api.RouteSecretDiff, "base", "p")+"?from=1&to="+url.QueryEscape("production@"), nil).want(t, 200).into(t, &d)
	if diff := cmp.Diff(api.SecretDiff{
		From: api.SecretSide{Environment: "base", Version: 1}, To: api.SecretSide{Environment: "base", Version: 3}, Path: "p",
		Fields: []api.SecretFieldDiff{{Field: "value", Change: "changed"}},
	}, d); diff != "" {
		t.Error(diff)
	}
	if r := n.step(t, api.RouteSecretDestroy, "base", "p", `{"versions":[1]}`); r.Version != 1 || r.State != "destroyed" {
		t.Errorf("%+v", r)
	}
	n.call(t, "POST", n.path(api.RouteSecretDestroy, "base", "p"), `{"versions":[3]}`).refused(t, api.CodeInUse)
	var h api.SecretHistory
	n.call(t, "GET", n.path(api.RouteSecretHistory, "base", "p"), nil).want(t, 200).into(t, &h)
	states := ""
	for _, v := range h.Versions {
		states += fmt.Sprintf("%d %s %s; ", v.Version, v.State, v.Source)
	}
	if states != "3 active generated; 2 revoked set; 1 destroyed set; " {
		t.Error(states)
	}
	n.call(t, "DELETE", n.path(api.RouteSecret, "base", "p"), nil, api.HeaderMessage, "out%20of%20use").want(t, 200)
	n.call(t, "GET", n.path(api.RouteSecret, "base", "p"), nil).refused(t, api.CodeNotFound)
	n.call(t, "GET", n.path(api.RouteSecret, "base", "p")+"?reveal=true", nil).refused(t, api.CodeNotFound)
	var deleted api.Secret
	n.call(t, "GET", n.path(api.RouteSecret, "base", "p")+"?deleted=true", nil).want(t, 200).into(t, &deleted)
	if deleted.Deleted == nil || len(deleted.Versions) != 3 {
		t.Errorf("%+v", deleted)
	}
	n.step(t, api.RouteSecretUndo, "base", "p", nil)
	if s := n.secret(t, "base", "p"); s.Deleted != nil || s.Current != 3 {
		t.Errorf("%+v", s)
	}
	n.call(t, "PUT", n.path(api.RouteSecret, "base", "p"), `{"generate":{"kind":"ed25519"},"now":true}`).want(t, 200)
	if got = n.reveal(t, "base", "p", ""); got.Version != 4 || got.Previous != nil {
		t.Errorf("%+v", got)
	}
	var list api.LogList
	n.call(t, "GET", n.path(api.RouteChanges)+"?kind=secret&limit=1", nil).want(t, 200).into(t, &list)
	if len(list.Changes) != 1 || list.Changes[0].Kind != "secret" {
		t.Errorf("%+v", list)
	}
}

// Lists have no versions, and say all the same that the one in use is over.
func TestListsSayWhatIsRefused(t *testing.T) {
	n := newWorld(t).newTenant(t)
	end := n.clock.now().Add(time.Minute).UTC().Format(time.RFC3339)
	for path, more := range map[string]string{"ended": `,"expires_at":"` + end + `"`, "fine": "", "taken-back": ""} {
		n.call(t, "PUT", n.path(api.RouteSecret, "base", path), `{"generate":{"kind":"uuid"}`+more+`}`).want(t, 200)
	}
	n.step(t, api.RouteSecretRevoke, "base", "taken-back", `{"version":1}`)
	n.clock.advance(2 * time.Minute)
	var list api.SecretList
	n.call(t, "GET", n.path(api.RouteSecrets, "base"), nil).want(t, 200).into(t, &list)
	got := map[string]string{}
	for _, s := range list.Secrets {
		got[s.Path] = fmt.Sprint(s.Current, s.Refused)
	}
	if diff := cmp.Diff(map[string]string{"ended": "0expired", "fine": "1", "taken-back": "0revoked"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSecretLists(t *testing.T) {
	n := newWorld(t).newTenant(t)
	for path, labels := range map[string]string{"a/x": `{"team":"data","tier":"1"}`, "a/y": `{"team":"web"}`, "b": `{}`} {
		n.call(t, "PUT", n.path(api.RouteSecret, "base", path), `{"generate":{"kind":"uuid"},"labels":`+labels+`}`).want(t, 200)
	}
	n.call(t, "PUT", n.path(api.RouteSecret, "production", "a/x"), `{"generate":{"kind":"uuid"}}`).want(t, 200)
	n.call(t, "PUT", n.path(api.RouteSecret, "base", "gone"), `{"generate":{"kind":"uuid"}}`).want(t, 200)
	n.call(t, "DELETE", n.path(api.RouteSecret, "base", "gone"), nil).want(t, 200)
	for query, want := range map[string]string{
		"":                           "production:a/x base:a/y base:b",
		"?own=true":                  "production:a/x",
		"?prefix=a":                  "production:a/x base:a/y",
		"?glob=a/*":                  "production:a/x base:a/y",
		"?label=team":                "base:a/y",
		"?label=team=web":            "base:a/y",
		"?label=team=nobody":         "",
		"?label=team=web&label=tier": "",
	} {
		var list api.SecretList
		n.call(t, "GET", n.path(api.RouteSecrets, "production")+query, nil).want(t, 200).into(t, &list)
		found := ""
		for _, s := range list.Secrets {
			found += " " + s.Environment + ":" + s.Path
			if s.Versions != nil {
				t.Errorf("%+v", s)
			}
		}
		if strings.TrimSpace(found) != want {
			t.Errorf("%q: %s, want %s", query, found, want)
		}
	}
	n.call(t, "PUT", n.path(api.RouteEnvironment, "production"), `{"isolate_secrets":true}`).want(t, 200)
	var e api.Environment
	n.call(t, "GET", n.path(api.RouteEnvironment, "production"), nil).want(t, 200).into(t, &e)
	if !e.Isolate || e.Parent != "base" {
		t.Errorf("%+v", e)
	}
	n.call(t, "GET", n.path(api.RouteSecret, "production", "b"), nil).refused(t, api.CodeNotFound)
	n.call(t, "PUT", n.path(api.RouteEnvironment, "production"), `{"isolate_secrets":false}`).want(t, 200)
	n.secret(t, "production", "b")
}

// A document's secrets are revealed to who may read them, and to nobody's cache.
func TestRevealedDocuments(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.setSecret(t, "base", "openai", strong)
	n.put(t, "base", "gateway", `{"key":"${secret:openai}","text":"Bearer ${secret:openai#value}"}`)
	n.put(t, "base", "plain", `{"x":1}`)
	target := n.path(api.RouteConfig, "production", "gateway")
	left := n.call(t, "GET", target, nil).want(t, 200).wantBody(t, `{"key":"${secret:openai}","text":"Bearer ${secret:openai#value}"}`)
	got := n.call(t, "GET", target+"?reveal=true", nil, "Accept-Encoding", "zstd, gzip, br").unkept(t)
	got.wantBody(t, `{"key":"`+strong+`","text":"Bearer `+strong+`"}`)
	got.wantHeaders(t, api.HeaderSecrets, "openai 1", api.HeaderDigest, left.header.Get(api.HeaderDigest), api.HeaderRevision, "4")
	n.call(t, "GET", target+"?reveal=true&format=yaml", nil).unkept(t).wantBody(t, "key: "+strong+"\ntext: Bearer "+strong+"\n")
	n.call(t, "GET", target+"?reveal=false", nil).want(t, 200).wantBody(t, string(left.body))

	for _, format := range []string{"", "&format=yaml", "&format=toml"} {
		got = n.call(t, "GET", n.path(api.RouteBundle, "production")+"?reveal=true"+format, nil, "Accept-Encoding", "gzip").unkept(t)
		if strings.Count(string(got.body), strong) != 2 {
			t.Errorf("%s", got.body)
		}
	}
	var revealed, whole api.Bundle
	n.call(t, "GET", n.path(api.RouteBundle, "production")+"?reveal=true", nil).want(t, 200).into(t, &revealed)
	n.call(t, "GET", n.path(api.RouteBundle, "production"), nil).want(t, 200).into(t, &whole)
	if revealed.Secrets["openai"] != 1 || len(revealed.Secrets) != 1 || revealed.Digest != whole.Digest || len(revealed.Configs) != 2 || whole.Secrets != nil ||
		string(revealed.Configs[1].Document) != `{"x":1}` || revealed.Configs[0].Digest != whole.Configs[0].Digest {
		t.Errorf("%+v\n%+v", revealed, whole)
	}
	n.put(t, "base", "broken", `{"list":["${secret:nowhere}"]}`)
	p := n.call(t, "GET", n.path(api.RouteConfig, "base", "broken")+"?reveal=true", nil).refused(t, api.CodeSecretUnavailable)
	if p.Pointer != "/list/0" {
		t.Errorf("%+v", p)
	}
	n.call(t, "GET", n.path(api.RouteBundle, "base")+"?reveal=true", nil).want(t, 200).into(t, &revealed)
	if len(revealed.Errors) != 1 || revealed.Errors[0].Code != api.CodeSecretUnavailable || len(revealed.Configs) != 2 {
		t.Errorf("%+v", revealed)
	}
}

// A secret's change wakes who watches the documents that refer to it, and never
// carries a value.
func TestWatchTellsOfSecrets(t *testing.T) {
	t.Parallel()
	n := newWorld(t).newTenant(t)
	n.setSecret(t, "base", "openai", strong)
	n.put(t, "base", "gateway", `{"key":"${secret:openai}"}`)
	s, narrow := n.watch(t, "production", "?include=data"), n.watch(t, "production", "?prefix=elsewhere")
	s.next(t)
	narrow.next(t)
	result := n.setSecret(t, "base", "openai", strong+"-next")
	e := s.next(t)
	c := e.change(t)
	want := api.WatchEvent{
		Revision: result.Revision, Time: c.Time, Secrets: []api.SecretNotice{{Path: "openai", Version: 2}},
		Changes: []api.WatchChange{{
			Path: "gateway", Digest: digest(`{"key":"${secret:openai}"}`), Secret: &api.SecretRef{Environment: "base", Path: "openai", Version: 2},
			Document: json.RawMessage(`{"key":"${secret:openai}"}`),
		}},
	}
	if diff := cmp.Diff(want, c); diff != "" || strings.Contains(e.data, strong) {
		t.Errorf("%s\n%s", diff, e.data)
	}
	n.call(t, "PUT", n.path(api.RouteSecret, "production", "elsewhere/key"), `{"generate":{"kind":"hex"}}`).want(t, 200)
	for {
		if e := narrow.next(t); e.kind == api.EventChange {
			if c := e.change(t); len(c.Changes) != 0 || len(c.Secrets) != 1 || c.Secrets[0].Path != "elsewhere/key" {
				t.Errorf("%+v", c)
			}
			break
		}
	}
}

// Clients say what they run, as far as it was given to them, and the grace of
// an old version ends when all have the new one.
func TestAcksAndAdoption(t *testing.T) {
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteSecret, "base", "p")
	n.call(t, "PUT", target, `{"generate":{"kind":"hex"},"rotation":{"overlap":"adoption","generator":{"kind":"hex"}}}`).want(t, 200)
	acks := n.path(api.RouteAcks, "production")
	ack := func(version int64) *answer {
		t.Helper()
		return n.call(t, "POST", acks, api.Ack{Client: "web-1", Revision: 2, Secrets: map[string]int64{"p": version}})
	}
	if p := ack(1).refused(t, api.CodeBadRequest); p.Pointer != "/secrets/p" { // it was not given to anybody yet
		t.Errorf("%+v", p)
	}
	n.reveal(t, "production", "p", "")
	var held api.AckResult
	ack(1).want(t, 200).into(t, &held)
	if left := held.ExpiresAt.Sub(n.clock.now()); left < 80*time.Second || left > 90*time.Second {
		t.Errorf("it holds for %s", left)
	}
	n.step(t, api.RouteSecretRotate, "base", "p", nil)
	n.reveal(t, "production", "p", "")
	var a api.SecretAdoption
	n.call(t, "GET", n.path(api.RouteSecretAdopt, "base", "p"), nil).want(t, 200).into(t, &a)
	if a.Current != 2 || a.Previous != 1 || a.Waiting != 1 || a.Adopted != 0 || a.Overlap != "adoption" || a.GraceUntil == nil || len(a.Clients) != 1 || a.Clients[0].Environment != "production" || a.Clients[0].Client != "web-1" {
		t.Errorf("%+v", a)
	}
	var list api.AckList
	n.call(t, "GET", acks, nil).want(t, 200).into(t, &list)
	if len(list.Clients) != 1 || list.Clients[0].Secrets["p"] != 1 || list.Clients[0].Behind != list.Revision-2 || list.Environment != "production" {
		t.Errorf("%+v", list)
	}
	n.clock.advance(95 * time.Second)
	ack(2).want(t, 200)
	if s := n.secret(t, "base", "p"); s.Previous != 0 || s.Current != 2 || s.Versions[1].State != "retired" {
		t.Errorf("%+v", s)
	}
	stranger := &tenant{n.world, n.name, ""}
	var issued api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "other"}).want(t, 201).into(t, &issued)
	stranger.token = issued.Value
	stranger.call(t, "POST", acks, api.Ack{Client: "web-2", Revision: 2, Secrets: map[string]int64{"p": 2}}).refused(t, api.CodeBadRequest)
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.setSecret(t, "base", "p", strong)
	n.reveal(t, "base", "p", "") // keeps it at hand
	var before, after api.TenantKeys
	n.call(t, "GET", n.path(api.RouteKeys), nil).want(t, 200).into(t, &before)
	if len(before.Versions) != 1 || !before.Versions[0].Newest || before.Versions[0].Keys < 2 || before.Overdue || before.Pending != 0 || before.Due.Sub(before.Rotated) != 180*24*time.Hour {
		t.Errorf("%+v", before)
	}
	var result api.KeyResult
	n.call(t, "POST", n.path(api.RouteKeysRotate), `{"message":"yearly"}`).want(t, 200).into(t, &result)
	if result.Version != 2 || result.Status != api.StatusCommitted {
		t.Errorf("%+v", result)
	}
	n.call(t, "POST", n.path(api.RouteKeysRetire), `{"version":2}`).refused(t, api.CodeBadRequest)
	n.rewrap(t)
	n.call(t, "POST", n.path(api.RouteKeysRetire), `{"version":1}`).want(t, 200)
	n.call(t, "GET", n.path(api.RouteKeys), nil).want(t, 200).into(t, &after)
	if len(after.Versions) != 1 || after.Versions[0].Version != 2 || after.Pending != 0 {
		t.Errorf("%+v", after)
	}
	if got := n.reveal(t, "base", "p", ""); string(got.Fields["value"]) != `"`+strong+`"` {
		t.Errorf("%+v", got)
	}
	var masters api.MasterKeys
	w.call(t, w.root, "GET", api.RouteMasterKeys, nil).want(t, 200).into(t, &masters)
	if len(masters.Versions) == 0 || masters.Versions[len(masters.Versions)-1].Tenants == 0 || masters.Server.Versions == nil || masters.Overdue {
		t.Errorf("%+v", masters)
	}
	n.call(t, "GET", api.RouteMasterKeys, nil).refused(t, api.CodeForbidden)
}

// A token's successor has its name and rights; the old one ends after a grace,
// or at once.
func TestTokensRotate(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	for _, now := range []bool{false, true} {
		var old, next api.IssuedToken
		n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "ci"}).want(t, 201).into(t, &old)
		n.call(t, "POST", n.path(api.RouteTokenRotate, old.ID), api.TokenRotate{Now: now, TTLSeconds: 3600}).want(t, 201).wantHeaders(t, "Cache-Control", "no-store").into(t, &next)
		if next.ID == old.ID || next.Value == "" || next.Value == old.Value || next.Name != "ci" || !next.TenantAdmin || next.Expires.Sub(next.Created) != time.Hour {
			t.Errorf("%+v", next)
		}
		w.call(t, next.Value, "GET", n.path(api.RouteTags), nil).want(t, 200)
		got := w.call(t, old.Value, "GET", n.path(api.RouteTags), nil)
		if now {
			got.refused(t, api.CodeTokenRevoked)
			continue
		}
		got.want(t, 200)
		var who api.Identity
		w.call(t, old.Value, "GET", api.RouteIdentity, nil).want(t, 200).into(t, &who)
		if left := who.Expires.Sub(w.clock.now()); left > 7*24*time.Hour || left < 7*24*time.Hour-time.Minute {
			t.Errorf("the old one is valid for %s", left)
		}
	}
	var root, next api.IssuedToken
	w.call(t, w.root, "POST", api.RouteServerTokens, api.NewToken{Name: "root"}).want(t, 201).into(t, &root)
	w.call(t, w.root, "POST", api.Build(api.RouteServerRotate, root.ID), nil).want(t, 201).into(t, &next)
	w.call(t, next.Value, "GET", api.RouteServerTokens, nil).want(t, 200)
	n.call(t, "POST", n.path(api.RouteTokenRotate, root.ID), nil).refused(t, api.CodeNotFound)
}

// What came in a body is cleared when its request is over.
func TestBodiesAreCleared(t *testing.T) {
	w := newWorld(t)
	var body, fingerprint []byte
	w.server.Handle("POST", "/api/v1/kept", func(_ http.ResponseWriter, r *http.Request) {
		body, fingerprint = httpapi.BodyOf(r.Context())
		if string(body) != "canary" || !bytes.HasSuffix(fingerprint, body) {
			t.Errorf("%q %q", body, fingerprint)
		}
	})
	w.call(t, w.root, "POST", "/api/v1/kept", "canary", api.HeaderIdempotent, "k").want(t, 200)
	if len(bytes.Trim(body, "\x00")) != 0 || len(body) != 6 || len(bytes.Trim(fingerprint, "\x00")) != 0 || len(fingerprint) < 6 {
		t.Errorf("left are %q and %q", body, fingerprint)
	}
}
