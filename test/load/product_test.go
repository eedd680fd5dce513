package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// TestOnlyAccessesAreLeftOut reads a secret from the product with and without
// records of that: all else is on record in both.
func TestOnlyAccessesAreLeftOut(t *testing.T) {
	for i, want := range []int{3, 0} {
		dir := productFolder(t.TempDir(), i)
		p, err := openProduct(t.Context(), dir, "127.0.0.1:0", wraps[i])
		if err != nil {
			t.Fatal(err)
		}
		token, err := os.ReadFile(filepath.Join(dir, tokenFile))
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, target, body string) {
			t.Helper()
			r := httptest.NewRequest(method, tenant+target, strings.NewReader(body))
			r.RemoteAddr = "127.0.0.1:1"
			r.Header.Set("Authorization", "Bearer "+string(token))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			p.server.Handler.ServeHTTP(w, r)
			if w.Code != http.StatusOK && w.Code != http.StatusCreated {
				t.Fatalf("%s %s is answered with %d: %s", method, target, w.Code, w.Body)
			}
		}
		ask("PUT", "production/secrets/a", string(secretBody()))
		for range 3 {
			ask("GET", "production/secrets/a?reveal=true", "")
		}
		reads, sets := events(t, p.data, "secret.read"), events(t, p.data, "secret.set")
		if reads != want || sets != 1 {
			t.Errorf("product %d has %d reads and %d writes on record, not %d and 1", i, reads, sets, want)
		}
		if err := errors.Join(p.listener.Close(), p.close()); err != nil {
			t.Error(err)
		}
	}
}

// events counts the records of an event on the chain of the development tenant.
func events(t *testing.T, data store.Store, event string) (n int) {
	t.Helper()
	of, err := data.TenantNamed(t.Context(), service.DevelopmentTenant)
	if err != nil {
		t.Fatal(err)
	}
	links, err := data.Audit(t.Context(), of.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.Contains(string(l.Record), `"event":"`+event+`"`) {
			n++
		}
	}
	return n
}

func TestProductsAreServedOnLoopbackOnly(t *testing.T) {
	if _, err := openProduct(t.Context(), t.TempDir(), "0.0.0.0:0", wraps[0]); err == nil {
		t.Error("the product is served to everybody")
	}
}
