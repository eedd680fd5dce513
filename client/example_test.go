package client_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// Chat is what the example's service wants to know.
type Chat struct {
	Model       string  `json:"model"`
	Temperature float64 `json:"temperature"`
}

func Example() {
	ctx := context.Background()
	server, change := exampleServer()
	defer server.Close()

	c, err := client.New(server.URL, client.WithToken("example"), client.WithTenant("acme"))
	if err != nil {
		slog.Error("client", "error", err)
		return
	}
	store, err := client.OpenStore(ctx, c, client.StoreOptions{Environment: "production"}, "gateway/chat")
	if err != nil {
		slog.Error("store", "error", err)
		return
	}
	defer store.Close()
	chat, err := client.Bind[Chat](store, "gateway/chat")
	if err != nil {
		slog.Error("binding", "error", err)
		return
	}
	fmt.Println("starting with", chat.Get().Model)

	changed := make(chan string)
	chat.OnChange(func(old, updated *Chat) { changed <- old.Model + " became " + updated.Model })
	change(12, `{"model":"claude-sonnet","temperature":0.2}`)
	fmt.Println(<-changed)
	// Output:
	// starting with gpt-5-mini
	// gpt-5-mini became claude-sonnet
}

func ExampleStore_Secret() {
	server, _ := exampleServer()
	defer server.Close()
	c, err := client.New(server.URL, client.WithToken("example"), client.WithTenant("acme"))
	if err != nil {
		slog.Error("client", "error", err)
		return
	}
	store, err := client.OpenStore(context.Background(), c, client.StoreOptions{Environment: "production", Secrets: []string{"webhook"}})
	if err != nil {
		slog.Error("store", "error", err)
		return
	}
	defer store.Close()
	// A caller may still have the key from before the rotation.
	secret, _ := store.Secret("webhook")
	accepts := func(key string) bool {
		for _, version := range []*client.RevealedVersion{&secret.Current, secret.Previous} {
			if version != nil && subtle.ConstantTimeCompare([]byte(version.Fields["value"].Reveal()), []byte(key)) == 1 {
				return true
			}
		}
		return false
	}
	fmt.Println(accepts("key-of-may"), accepts("key-of-april"), accepts("key-of-march"))
	fmt.Println(secret.Current.Fields)
	// Output:
	// true true false
	// map[value:[secret]]
}

func ExampleClient_PutLayer() {
	server, _ := exampleServer()
	defer server.Close()
	c, err := client.New(server.URL, client.WithToken("example"), client.WithTenant("acme"))
	if err != nil {
		slog.Error("client", "error", err)
		return
	}
	_, err = c.PutLayer(context.Background(), "production", "gateway/chat", []byte(`{"model":"claude-sonnet"}`),
		client.Write{Message: "cheaper", IfVersion: client.IfVersion(2)})
	if errors.Is(err, client.ErrPreconditionFailed) {
		fmt.Println("somebody was faster:", err)
	}
	// Output:
	// somebody was faster: the layer is at version 3; read it again
}

// exampleServer holds one document, at revision 11 until it is changed, and one
// secret, whose rotation is under way.
func exampleServer() (server *httptest.Server, change func(revision int64, document string)) {
	events := make(chan string)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.RouteConfig, func(w http.ResponseWriter, _ *http.Request) {
		const document = `{"model":"gpt-5-mini","temperature":0.7}`
		w.Header().Set("Content-Type", api.TypeJSON)
		w.Header().Set(api.HeaderRevision, "11")
		w.Header().Set(api.HeaderDigest, digest(document))
		fmt.Fprint(w, document)
	})
	mux.HandleFunc("GET "+api.RouteWatch, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", api.TypeEvents)
		for {
			w.(http.Flusher).Flush()
			select {
			case event := <-events:
				fmt.Fprint(w, event)
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("GET "+api.RouteSecret, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeJSON)
		fmt.Fprint(w, `{"environment":"production","path":"webhook","revision":11,"version":5,"state":"active","fields":{"value":"key-of-may"},
			"previous":{"version":4,"state":"grace","fields":{"value":"key-of-april"},"until":"2100-01-01T00:00:00Z"}}`)
	})
	mux.HandleFunc("PUT "+api.RouteLayer, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(http.StatusPreconditionFailed)
		fmt.Fprint(w, `{"code":"precondition_failed","detail":"the layer is at version 3","next":"read it again"}`)
	})
	server = httptest.NewServer(mux)
	return server, func(revision int64, document string) {
		events <- fmt.Sprintf("event: change\nid: %d\ndata: {\"revision\":%d,\"changes\":[{\"path\":\"gateway/chat\",\"digest\":%q,\"document\":%s}]}\n\n",
			revision, revision, digest(document), document)
	}
}

func digest(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}
