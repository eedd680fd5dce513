package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// provider is somebody else's API: it takes the keys that are valid now, which
// it asks the server for, as a provider that the secret is rotated at would.
type provider struct {
	*httptest.Server
	valid atomic.Pointer[map[string]bool]
}

func newProvider(t *testing.T, c *client.Client) *provider {
	t.Helper()
	p := &provider{}
	p.learn(t, c)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !(*p.valid.Load())[r.Header.Get("Authorization")] {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// learn takes over which keys are valid: all that are staged, active or in grace.
func (p *provider) learn(t *testing.T, c *client.Client) {
	t.Helper()
	valid := map[string]bool{}
	history, err := c.SecretHistory(t.Context(), "base", "llm/key")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range history.Versions {
		if v.State != "staged" && v.State != "active" && v.State != "grace" {
			continue
		}
		got, err := c.RevealSecret(t.Context(), "base", "llm/key", client.RevealOptions{Version: v.Version})
		if err != nil {
			t.Fatal(err)
		}
		text, err := got.Text("value")
		if err != nil {
			t.Fatal(err)
		}
		valid["Bearer "+text] = true
	}
	p.valid.Store(&valid)
}

// consumer calls the provider all the time with what its Store says, half of it
// by the secret's name and half by a document that refers to it.
type consumer struct {
	store  *client.Store
	header *client.Value[gatewayHeaders]
	calls  atomic.Int64
	failed atomic.Int64
}

type gatewayHeaders struct {
	Authorization string `json:"authorization"`
}

func newConsumer(t *testing.T, server *runningServer, name string) *consumer {
	t.Helper()
	store, err := client.OpenStore(t.Context(), server.client, client.StoreOptions{
		Environment: "production", Reveal: true, Secrets: []string{"llm/key"}, Client: name,
	}, "gateway/headers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	header, err := client.Bind[gatewayHeaders](store, "gateway/headers")
	if err != nil {
		t.Fatal(err)
	}
	return &consumer{store: store, header: header}
}

func (c *consumer) key(t *testing.T, n int) string {
	if n%2 == 0 {
		return c.header.Get().Authorization
	}
	pair, _ := c.store.Secret("llm/key")
	text, err := pair.Current.Text("value")
	if err != nil {
		t.Error(err)
	}
	return "Bearer " + text
}

func (c *consumer) run(ctx context.Context, t *testing.T, p *provider) {
	for n := 0; ctx.Err() == nil; n++ {
		r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, p.URL, nil)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Authorization", c.key(t, n))
		answer, err := p.Client().Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		_ = answer.Body.Close()
		c.calls.Add(1)
		if answer.StatusCode != http.StatusOK {
			c.failed.Add(1)
		}
	}
}

// TestRotationFailsNoRequest rotates a key that clients use all the time, with
// grace: no request of theirs fails before, during or after it. With --now the
// version before is gone from every client within a second.
func TestRotationFailsNoRequest(t *testing.T) {
	server := startServer(t, filepath.Join(t.TempDir(), "data"))
	put := api.SecretInput{Generate: &api.Generator{Kind: "hex"}, SecretMetadata: api.SecretMetadata{
		Rotation: &api.SecretRotation{Generator: &api.Generator{Kind: "hex"}, GraceSeconds: 3},
	}}
	if _, err := server.client.PutSecret(t.Context(), "base", "llm/key", put); err != nil {
		t.Fatal(err)
	}
	write(t, server.client, "production", "gateway/headers", `{"authorization":"Bearer ${secret:llm/key}"}`)
	p := newProvider(t, server.client)
	var consumers []*consumer
	for i := range 8 {
		consumers = append(consumers, newConsumer(t, server, fmt.Sprintf("gateway-%d", i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, c := range consumers {
		running.Go(func() { c.run(ctx, t, p) })
	}
	busy := func() { // every client has called again, twice
		for _, c := range consumers {
			before := c.calls.Load()
			until(t, func() bool { return c.calls.Load() > before+1 })
		}
	}
	busy()
	for range 2 {
		// The provider takes the new key before it is put to use.
		rotated, err := server.client.RotateSecret(t.Context(), "base", "llm/key", api.SecretRotate{Stage: true})
		if err != nil {
			t.Fatal(err)
		}
		p.learn(t, server.client)
		if _, err := server.client.ActivateSecret(t.Context(), "base", "llm/key", api.SecretActivate{}); err != nil {
			t.Fatal(err)
		}
		busy()
		until(t, func() bool { return versionsOf(t, server.client, "retired") == int(rotated.Version)-1 }) // its grace is over
		p.learn(t, server.client)
		busy()
	}
	cancel()
	running.Wait()
	for i, c := range consumers {
		if c.failed.Load() > 0 {
			t.Errorf("client %d: %d of %d requests failed", i, c.failed.Load(), c.calls.Load())
		}
	}
	wantRevokedEverywhere(t, server, consumers)
}

// versionsOf counts the versions in a state.
func versionsOf(t *testing.T, c *client.Client, state string) int {
	t.Helper()
	history, err := c.SecretHistory(t.Context(), "base", "llm/key")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range history.Versions {
		if v.State == state {
			n++
		}
	}
	return n
}

func wantRevokedEverywhere(t *testing.T, server *runningServer, consumers []*consumer) {
	t.Helper()
	rotated, err := server.client.RotateSecret(t.Context(), "base", "llm/key", api.SecretRotate{Now: true})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	got, err := server.client.RevealSecret(t.Context(), "base", "llm/key", client.RevealOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := got.Text("value")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range consumers {
		until(t, func() bool {
			pair, _ := c.store.Secret("llm/key")
			return pair.Current.Version == rotated.Version && pair.Previous == nil && c.header.Get().Authorization == "Bearer "+fresh
		})
		if took := time.Since(begin); took > time.Second {
			t.Errorf("client %d had the revoked version for %s", i, took)
		}
	}
	_, err = server.client.RevealSecret(t.Context(), "base", "llm/key", client.RevealOptions{Version: rotated.Version - 1})
	if problem := (*api.Problem)(nil); !errors.As(err, &problem) || problem.Code != api.CodeGone {
		t.Errorf("the revoked version is answered with %v", err)
	}
	adoption, err := server.client.SecretAdoption(t.Context(), "production", "llm/key")
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		adoption, err = server.client.SecretAdoption(t.Context(), "production", "llm/key")
		return err == nil && adoption.Adopted == len(consumers)
	})
	text, err := json.Marshal(adoption)
	if err != nil || adoption.Waiting != 0 {
		t.Errorf("adoption: %s, %v", text, err)
	}
}
