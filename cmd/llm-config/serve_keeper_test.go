package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// TestChangeOfKeeper hands the master key over to another keeper: the one before
// opens what it wrapped until all is wrapped anew, and is then needed no more.
func TestChangeOfKeeper(t *testing.T) {
	dir := t.TempDir()
	data, next := filepath.Join(dir, "data"), filepath.Join(dir, "next.key")
	server := startServer(t, data)
	write(t, server.client, "base", "a", `{"b":1}`)
	stop(t, server)
	if err := seal.CreateFileKey(next); err != nil {
		t.Fatal(err)
	}

	server = startServer(t, data, "--master-key", "file:"+next, "--previous-master-keys", "file:"+filepath.Join(data, "master.key"))
	until(t, func() bool {
		keys, err := server.client.MasterKeys(t.Context())
		return err == nil && len(keys.Versions) == 2 && keys.Pending == 0 && keys.Versions[0].Retired != nil
	})
	stop(t, server)
	if err := os.Remove(filepath.Join(data, "master.key")); err != nil {
		t.Fatal(err)
	}

	server = startServer(t, data, "--master-key", "file:"+next)
	if doc, err := server.client.Config(t.Context(), "base", "a", client.Read{}); err != nil || string(doc.Data) != `{"b":1}` {
		t.Errorf("under the new keeper alone: %v", err)
	}
}

func getText(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// TestMetrics are for operators only, and hold no value.
func TestMetrics(t *testing.T) {
	const canary = "CANARY-3d1c-Qx7-zebra-lamp-42-violin"
	admin := freeAddress(t)
	server := startServer(t, filepath.Join(t.TempDir(), "data"), "--admin-listen", admin)
	write(t, server.client, "base", "a", `{"b":1}`)
	fields := map[string]json.RawMessage{"value": json.RawMessage(`"` + canary + `"`)}
	if _, err := server.client.PutSecret(t.Context(), "base", "llm/key", api.SecretInput{Fields: fields}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.client.RevealSecret(t.Context(), "base", "llm/key", client.RevealOptions{}); err != nil {
		t.Fatal(err)
	}
	if status, _ := getText(t, server.client.Address()+"/metrics"); status != http.StatusUnauthorized && status != http.StatusNotFound {
		t.Errorf("the API answers /metrics with %d", status)
	}
	status, text := getText(t, "http://"+admin+"/metrics")
	for _, line := range []string{
		`llm_config_manager_requests_total{endpoint="/api/v1/tenants/{tenant}/environments/{environment}/layers/{path...}",method="PUT",status_code="200",tenant_id="default"} 1`,
		`llm_config_manager_secret_access_total{operation="read",tenant_id="default"} 1`,
		`llm_config_manager_key_rewrap_pending{level="master",tenant=""} 0`,
		`llm_config_manager_uptime_seconds `,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("there is no line %s", line)
		}
	}
	if status != http.StatusOK || strings.Contains(text, "CANARY") {
		t.Errorf("answered %d, and holds a value: %t", status, strings.Contains(text, "CANARY"))
	}
}

// TestWebhookHosts lists a host while the server runs, and then has it rotate a secret.
func TestWebhookHosts(t *testing.T) {
	calls := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct{ Type string }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		calls <- message.Type
	}))
	defer receiver.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "settings.yaml")
	if err := os.WriteFile(file, []byte("log-level: error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := startServer(t, filepath.Join(dir, "data"), "--settings", file)
	put := func(path string, in api.SecretInput) error {
		_, err := server.client.PutSecret(t.Context(), "base", path, in)
		return err
	}
	if err := put("hooks/key", api.SecretInput{Fields: map[string]json.RawMessage{"value": json.RawMessage(`"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD8vQ0ZMhTmqk="`)}}); err != nil {
		t.Fatal(err)
	}
	draw := &api.Generator{Kind: "hex"}
	rotated := api.SecretInput{Generate: draw, SecretMetadata: api.SecretMetadata{Rotation: &api.SecretRotation{
		Generator: draw, Webhook: &api.SecretWebhook{URL: receiver.URL + "/hook", Signing: "hooks/key"},
	}}}
	var problem *api.Problem
	if err := put("llm/key", rotated); !errors.As(err, &problem) || !strings.Contains(problem.Detail+problem.Next, "webhook-hosts") {
		t.Fatalf("a host that is not listed: %v", err)
	}
	if err := os.WriteFile(file, []byte("log-level: error\nwebhook-hosts: ["+receiver.Listener.Addr().String()+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return put("llm/key", rotated) == nil })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		server.client.Address()+api.Build(api.RouteSecretRotate, "default", "base", "llm/key"), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+server.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("answered %d: %s", answer.StatusCode, body)
	}
	if first, second := <-calls, <-calls; first != "secret.rotate" || second != "secret.probe" {
		t.Errorf("it was called for %s and %s", first, second)
	}
}
