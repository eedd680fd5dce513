package main

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

type gatewayLimits struct {
	Requests int    `json:"requests_per_minute"`
	Model    string `json:"model"`
}

// TestStoreOutlivesTheServer follows a document with a live copy: it takes up a
// change, also one of a document that its own refers to, goes on when the server
// is killed, and catches up with one that comes back at the same address.
func TestStoreOutlivesTheServer(t *testing.T) {
	data, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
	server := startServer(t, data, "--listen", address)
	write(t, server.client, "base", "models/default", `{"id":"gpt-5"}`)
	write(t, server.client, "base", "gateway/limits", `{"requests_per_minute":600,"model":"${config:models/default#/id}"}`)

	lost := make(chan struct{}, 16)
	store, err := client.OpenStore(t.Context(), server.client, client.StoreOptions{
		Environment: "production",
		OnStatus: func(s client.Status) {
			if !s.Connected {
				select {
				case lost <- struct{}{}:
				default:
				}
			}
		},
	}, "gateway/limits")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	value, err := client.Bind[gatewayLimits](store, "gateway/limits", client.Strict())
	if err != nil {
		t.Fatal(err)
	}
	wantLimits(t, value, gatewayLimits{600, "gpt-5"})

	follow(t, store, write(t, server.client, "production", "gateway/limits", `{"requests_per_minute":6000}`))
	wantLimits(t, value, gatewayLimits{6000, "gpt-5"})
	follow(t, store, write(t, server.client, "base", "models/default", `{"id":"claude-sonnet-4-5"}`))
	wantLimits(t, value, gatewayLimits{6000, "claude-sonnet-4-5"})

	if err := server.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.cmd.Wait()
	for store.Status().Connected {
		<-lost
	}
	wantLimits(t, value, gatewayLimits{6000, "claude-sonnet-4-5"})

	server = startServer(t, data, "--listen", address)
	follow(t, store, write(t, server.client, "production", "gateway/limits", `{"requests_per_minute":60}`))
	wantLimits(t, value, gatewayLimits{60, "claude-sonnet-4-5"})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func write(t *testing.T, c *client.Client, environment, path, document string) (revision int64) {
	t.Helper()
	result, err := c.PutLayer(t.Context(), environment, path, []byte(document), client.Write{})
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != api.StatusCommitted {
		t.Fatalf("%s: %s", path, result.Status)
	}
	return result.Revision
}

func follow(t *testing.T, store *client.Store, revision int64) {
	t.Helper()
	if err := store.Wait(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
}

func wantLimits(t *testing.T, value *client.Value[gatewayLimits], want gatewayLimits) {
	t.Helper()
	if got := *value.Get(); got != want {
		t.Errorf("the copy says %+v, want %+v", got, want)
	}
}
