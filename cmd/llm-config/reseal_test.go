package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// resealRounds is how often the server is killed while it wraps keys anew: 100
// times in a soak.
func resealRounds() int {
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		return 100
	}
	return 10
}

const (
	resealed       = 3000 // secrets
	resealsPerData = 50   // rounds before a server is founded anew: versions of a key are bounded
)

// resealedValue is the value of one secret, which nobody guesses.
func resealedValue(n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "value %d", n))
	return hex.EncodeToString(sum[:])
}

// TestKilledServerGoesOnReSealing kills the server at random moments after a
// tenant's key was rotated. When it comes back every value opens, the work goes
// on by itself, and in the end nothing is left under an older key.
func TestKilledServerGoesOnReSealing(t *testing.T) {
	var data string
	for round := range resealRounds() {
		if round%resealsPerData == 0 {
			data = filepath.Join(t.TempDir(), "data")
			putResealed(t, startServer(t, data))
		}
		server := startServer(t, data)
		rotating := make(chan struct{})
		go func() {
			defer close(rotating)
			_, _ = server.client.RotateTenantKey(t.Context(), api.KeyRotate{}) // it may be killed in the middle of that
		}()
		kill := time.NewTimer(time.Duration(rand.IntN(80)) * time.Millisecond)
		<-kill.C
		if err := server.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = server.cmd.Wait()
		<-rotating
		server = startServer(t, data)
		pending := pendingKeys(t, server.client)
		for range 20 {
			wantResealed(t, server.client, rand.IntN(resealed))
		}
		until(t, func() bool { return pendingKeys(t, server.client) == 0 })
		t.Logf("round %d: it came back with %d keys to go", round, pending)
		if round%resealsPerData == resealsPerData-1 || round == resealRounds()-1 {
			for n := range resealed {
				wantResealed(t, server.client, n)
			}
		}
		_ = server.cmd.Process.Kill()
		_ = server.cmd.Wait()
	}
}

func putResealed(t *testing.T, server *runningServer) {
	t.Helper()
	var writing sync.WaitGroup
	for w := range 32 {
		writing.Go(func() {
			for n := w; n < resealed; n += 32 {
				value, _ := json.Marshal(resealedValue(n))
				in := api.SecretInput{Fields: map[string]json.RawMessage{"value": value}}
				if _, err := server.client.PutSecret(t.Context(), "production", fmt.Sprintf("many/s%d", n), in); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	stop(t, server)
}

func wantResealed(t *testing.T, c *client.Client, n int) {
	t.Helper()
	got, err := c.RevealSecret(t.Context(), "production", fmt.Sprintf("many/s%d", n), client.RevealOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := got.Text("value"); err != nil || text != resealedValue(n) {
		t.Fatalf("secret %d is not what it was (%v)", n, err)
	}
}

func pendingKeys(t *testing.T, c *client.Client) int64 {
	t.Helper()
	status, err := c.TenantKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.Pending
}
