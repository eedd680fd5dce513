package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// TestRecover lets back in who has lost every token: a tenant by the offline
// command, a server administrator by a restart.
func TestRecover(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	server := startServer(t, data)
	founded, err := server.client.CreateTenant(t.Context(), api.NewTenant{Name: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	acme := as(t, server, founded.Token.Value)
	write(t, acme, "base", "a", `{"b":1}`)
	if _, err := acme.RevokeToken(t.Context(), founded.Token.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := acme.Identity(t.Context()); err == nil {
		t.Fatal("the last token still stands")
	}
	stop(t, server)

	command := exec.CommandContext(t.Context(), "llm-config", "token", "recover", "acme", "--dev", "--data", data)
	command.Env = withoutRaceWait()
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	server = startServer(t, data)
	acme = as(t, server, strings.TrimSpace(string(out)))
	if doc, err := acme.Config(t.Context(), "production", "a", client.Read{}); err != nil || string(doc.Data) != `{"b":1}` {
		t.Errorf("with the recovered token: %v", err)
	}
	log, err := acme.Changes(t.Context(), client.Page{Limit: 1})
	if err != nil || !strings.Contains(log.Changes[0].Summary, "recovery") || log.Changes[0].Author != "server" {
		t.Errorf("the record does not show the recovery: %+v %v", log, err)
	}
	stop(t, server)

	command = exec.CommandContext(t.Context(), "llm-config", "token", "recover", "nobody", "--dev", "--data", data)
	command.Env = withoutRaceWait()
	if said, err := command.CombinedOutput(); err == nil || !strings.Contains(string(said), "no such tenant") {
		t.Errorf("a tenant that is not there: %s %v", said, err)
	}
}

// as is a client of the tenant acme with a token of its own.
func as(t *testing.T, server *runningServer, token string) *client.Client {
	t.Helper()
	c, err := client.New(server.client.Address(), client.WithToken(token), client.WithTenant("acme"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestFirstTokenComesBack starts a server whose only administrator's token was
// revoked: the next start leaves another.
func TestFirstTokenComesBack(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	server := startServer(t, data) // a development server's token is of its tenant, not of the server
	stop(t, server)
	first := filepath.Join(data, "first-token")
	for range 2 {
		token := firstToken(t, data, first)
		if token == "" {
			t.Fatal("no first token was left")
		}
		if again := firstToken(t, data, first); again != "" {
			t.Error("another token was left although one stands")
		}
		revoke(t, data, token)
	}
}

// firstToken starts a server that is no development server, and answers the
// token that it left, "" for none.
func firstToken(t *testing.T, data, file string) string {
	t.Helper()
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	stop(t, startProduction(t, data))
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func revoke(t *testing.T, data, token string) {
	t.Helper()
	server := startProduction(t, data)
	defer stop(t, server)
	c := as(t, server, token)
	me, err := c.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.RevokeServerToken(t.Context(), me.ID); err != nil {
		t.Fatal(err)
	}
}

// startProduction starts a server with a master key and waits until it serves.
func startProduction(t *testing.T, data string) *runningServer {
	t.Helper()
	address := freeAddress(t)
	c := exec.CommandContext(t.Context(), "llm-config", "serve", "--data", data, "--listen", address,
		"--master-key-file", filepath.Join(data, "master.key"), "--log-level", "error")
	c.Env = withoutRaceWait()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	waiting, err := client.New("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { _, err := waiting.Ready(t.Context()); return err == nil })
	return &runningServer{cmd: c, client: waiting}
}
