package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const canary = "cAn4ry-q7Zt2mKx9LwPv4RbYc8"

// secretsWire answers as a server does that has one secret, whose value is the
// canary, two clients that use it, and keys that are being wrapped anew.
type secretsWire struct {
	t        *testing.T
	url      string
	revealed atomic.Int64
	pending  atomic.Int64 // keys to be wrapped anew; each look at them finds one less

	mu   sync.Mutex
	in   *api.SecretInput
	made []string // METHOD URL of all calls
}

func newSecretsWire(t *testing.T) *secretsWire {
	t.Helper()
	w := &secretsWire{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.RouteSecret, w.get)
	mux.HandleFunc("PUT "+api.RouteSecret, w.write)
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	mux.HandleFunc("POST "+api.RouteSecretDestroy, func(rw http.ResponseWriter, _ *http.Request) { answer(rw, w.result()) })
	mux.HandleFunc("POST "+api.RouteSecretRevoke, func(rw http.ResponseWriter, _ *http.Request) { answer(rw, w.result()) })
	mux.HandleFunc("GET "+api.RouteSecretAdopt, func(rw http.ResponseWriter, r *http.Request) {
		adoption := api.SecretAdoption{Environment: "staging", Path: r.PathValue("path"), Current: 2, Previous: 1, GraceUntil: &at, Overlap: "adoption", Adopted: 1, Waiting: 1}
		adoption.Clients = []api.SecretAdopter{
			{Client: "pod-2", Principal: "ci", Environment: "staging", Version: 2, Time: at},
			{Client: "pod-1", Principal: "ci", Environment: "staging", Version: 1, Time: at},
		}
		if r.PathValue("path") == "adopted" {
			adoption.Adopted, adoption.Waiting, adoption.Clients = 1, 0, adoption.Clients[:1]
		}
		answer(rw, adoption)
	})
	mux.HandleFunc("GET "+api.RouteAcks, func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, api.AckList{Environment: "staging", Revision: 9, Clients: []api.ClientState{
			{Client: "pod-1", Principal: "ci", Revision: 7, Behind: 2, Secrets: map[string]int64{"openai": 1, "db/main": 3}, Time: at},
		}})
	})
	mux.HandleFunc("GET "+api.RouteKeys, func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, api.TenantKeys{Due: at, Overdue: true, Pending: w.pending.Add(-1), Versions: []api.KeyVersion{{Version: 2, Created: at, Newest: true}, {Version: 1, Created: at}}})
	})
	mux.HandleFunc("POST "+api.RouteKeysRotate, func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, api.KeyResult{Committed: committed(), Version: 2, Pending: w.pending.Load()})
	})
	mux.HandleFunc("POST "+api.RouteKeysRetire, func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, api.KeyResult{Committed: committed(), Version: 1})
	})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.made = append(w.made, r.Method+" "+r.URL.String())
		w.mu.Unlock()
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func committed() api.Committed { return api.Committed{Status: api.StatusCommitted, Revision: 5} }

func (w *secretsWire) result() api.SecretResult {
	return api.SecretResult{Committed: committed(), Environment: "staging", Path: "openai", Version: 1, State: "active", Current: 1}
}

func (w *secretsWire) get(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("reveal") != "true" {
		answer(rw, api.Secret{Environment: "staging", Path: "openai", Current: 1, Record: 1, Versions: []api.SecretVersion{{Version: 1, State: "active", Source: "set", Fields: []string{"value"}}}})
		return
	}
	w.revealed.Add(1)
	answer(rw, api.RevealedSecret{Environment: "staging", Path: "openai", RevealedVersion: api.RevealedVersion{
		Version: 1, State: "active", Fields: map[string]json.RawMessage{"value": json.RawMessage(`"` + canary + `"`)},
	}})
}

func (w *secretsWire) write(rw http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	var in api.SecretInput
	if err := json.Unmarshal(text, &in); err != nil {
		w.t.Error(err)
	}
	if bytes.Contains(text, []byte("internal")) {
		problem(rw, api.Problem{Code: api.CodeInternal, Detail: "something broke", RequestID: "r1"})
		return
	}
	w.mu.Lock()
	w.in = &in
	w.mu.Unlock()
	answer(rw, w.result())
}

// put is the last write.
func (w *secretsWire) put() *api.SecretInput {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.in
}

func (w *secretsWire) calls(method string) (calls []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return keep(w.made, func(call string) bool { return strings.HasPrefix(call, method+" ") })
}

func secretSession(t *testing.T, w *secretsWire) *session {
	t.Helper()
	return newSession(t, &wire{url: w.url})
}

// A value goes out in the body of a write and nowhere else: not in URLs, not in
// what is printed, whatever is wrong with the command line or the server.
func TestValuesAreSaidNowhere(t *testing.T) {
	w := newSecretsWire(t)
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, []byte(strings.Repeat(canary, maxSecret/len(canary)+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
	}{
		{canary, []string{"openai"}, 0},
		{"", []string{"openai", "value=@" + file}, 0},
		{canary, []string{"openai", "value=-", "--bytes", "value"}, 0},
		{`{"a":"` + canary + `","b":{"c":["` + canary + `"]}}`, []string{"openai", "--json-file", "-"}, 0},
		{canary, []string{"openai", "internal=-"}, exitFailed},
		{canary, []string{"openai", "x/y=-"}, exitFailed},
		{canary, []string{"openai", canary}, exitFailed},
		{canary, []string{"openai", canary + "=" + canary}, exitFailed},
		{canary, []string{"openai", "value=" + canary}, exitFailed},
		{canary, []string{"openai", "value=@"}, exitFailed},
		{canary, []string{"openai=" + canary}, exitFailed},
		{canary, []string{"openai", "a=-", "b=-"}, exitFailed},
		{canary, []string{"openai", "--json-file", "-"}, exitFailed},
		{`{"a":"` + canary + `","a":1}`, []string{"openai", "--json-file", "-"}, exitFailed},
		{`["` + canary + `"]`, []string{"openai", "--json-file", "-"}, exitFailed},
		{`{"a":"` + canary + `"}`, []string{"openai", "--json-file", "-", "--bytes", "b"}, exitFailed},
		{canary, []string{"openai", "--bytes", "other"}, exitFailed},
		{"", []string{"openai", "value=@" + big}, exitFailed},
		{canary, []string{"openai", "-o", "yaml"}, 0},
	} {
		s := secretSession(t, w)
		s.stdin = strings.NewReader(c.stdin)
		s.run(t, c.code, append([]string{"secret", "set"}, c.args...)...)
		printed := s.out.String() + s.err.String()
		// One that looks like the name of a field is said as that.
		if strings.Contains(strings.ReplaceAll(printed, "field "+canary, ""), canary) && !strings.HasPrefix(c.args[len(c.args)-1], canary+"=") {
			t.Errorf("%q: printed was\n%s", c.args, printed)
		}
	}
	for _, call := range append(w.calls(http.MethodPut), w.calls(http.MethodGet)...) {
		if strings.Contains(call, canary) {
			t.Errorf("%s holds a value", call)
		}
	}
}

func TestSecretFields(t *testing.T) {
	w := newSecretsWire(t)
	for _, c := range []struct {
		name, stdin string
		args        []string
		want        string // the body's fields and base64
		said        string
	}{
		{"one newline is left out", "x\n\n", nil, `{"value":"x\n"} []`, "--keep-newline keeps it"},
		{"and its carriage return", "x\r\n", nil, `{"value":"x"} []`, "--keep-newline keeps it"},
		{"unless it is to be kept", "x\n", []string{"--keep-newline"}, `{"value":"x\n"} []`, ""},
		{"a field of a name", "x", []string{"--field", "key"}, `{"key":"x"} []`, ""},
		{"what is not UTF-8 is bytes, newline and all", "\xff\n", nil, `{"value":"/wo="} ["value"]`, ""},
		{"text as bytes", "x\n", []string{"--bytes", "value"}, `{"value":"eAo="} ["value"]`, ""},
		{"quotes and markup", `"<&>\`, nil, `{"value":"\"<&>\\"} []`, ""},
		{"json", `{"a":1.5,"b":{"d":2,"c":null},"e":"eA=="}`, []string{"--json-file", "-", "--bytes", "e"}, `{"a":1.5,"b":{"c":null,"d":2},"e":"eA=="} ["e"]`, ""},
	} {
		s := secretSession(t, w)
		s.stdin = strings.NewReader(c.stdin)
		s.run(t, 0, append([]string{"secret", "set", "openai"}, c.args...)...)
		fields := map[string]any{}
		for name, value := range w.put().Fields {
			decoded, err := config.ParseValue(string(value))
			if err != nil {
				t.Fatal(err)
			}
			fields[name] = decoded
		}
		base64, _ := json.Marshal(append([]string{}, w.put().Base64...))
		if got := string(canon.Append(nil, fields)) + " " + string(base64); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if !strings.Contains(s.err.String(), c.said) || c.said == "" && s.err.Len() > 0 {
			t.Errorf("%s: said was %q, want %q", c.name, s.err.String(), c.said)
		}
	}
}

func TestAdoptionTellsWhoWaits(t *testing.T) {
	w := newSecretsWire(t)
	s := secretSession(t, w)
	s.run(t, exitDifference, "secret", "adoption", "openai")
	want := `CLIENT  PRINCIPAL  ENVIRONMENT  VERSION  SEEN
pod-1   ci         staging      1        2026-11-01T12:00:00Z
pod-2   ci         staging      2        2026-11-01T12:00:00Z
1 client on version 2 of staging:openai, 1 waiting; version 1 is valid until nobody waits, at the latest 2026-11-01T12:00:00Z
`
	if got := s.out.String(); got != want {
		t.Errorf("printed was\n%s", got)
	}
	s = secretSession(t, w)
	s.run(t, exitDifference, "secret", "adoption", "openai", "-o", "value")
	if got := s.out.String(); got != "pod-1\n" {
		t.Errorf("-o value: %q", got)
	}
	s = secretSession(t, w)
	s.run(t, 0, "secret", "adoption", "adopted")

	s = secretSession(t, w)
	s.run(t, 0, "clients")
	want = `CLIENT  PRINCIPAL  REVISION  BEHIND  SECRETS                SEEN
pod-1   ci         7         2       db/main v3, openai v1  2026-11-01T12:00:00Z
`
	if got := s.out.String(); got != want {
		t.Errorf("printed was\n%s", got)
	}
}

func TestKeyRotateWaitsForTheEnd(t *testing.T) {
	w := newSecretsWire(t)
	w.pending.Store(5)
	s := secretSession(t, w)
	s.run(t, 0, "key", "rotate")
	if got := len(w.calls(http.MethodGet)); got != 5 || s.out.String() != "the key is version 2\n" {
		t.Errorf("%d looks, printed was %q", got, s.out.String())
	}
	w.pending.Store(5)
	s = secretSession(t, w)
	s.run(t, 0, "key", "rotate", "--no-wait")
	if got := len(w.calls(http.MethodGet)); got != 5 || !strings.Contains(s.out.String(), "5 keys still to be wrapped anew") {
		t.Errorf("%d looks, printed was %q", got, s.out.String())
	}
	s = secretSession(t, w)
	s.run(t, 0, "key", "retire", "--version", "1", "--yes")
	if got := s.out.String(); got != "revision 5: version 1 of the key of acme is taken away\n" {
		t.Errorf("printed was %q", got)
	}
	s = secretSession(t, w)
	s.run(t, 0, "key", "status")
	if !strings.Contains(s.out.String(), "a rotation was due 2026-11-01T12:00:00Z: `llm-config key rotate`") {
		t.Errorf("printed was %q", s.out.String())
	}
}
