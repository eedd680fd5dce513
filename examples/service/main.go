// Command service is an example of a service that follows its configuration
// without a restart: a gateway that answers whom it would call, and prints a
// line whenever that changes. It runs on the four variables that
// `llm-config serve --dev` prints:
//
//	go run ./examples/service
//	llm-config set gateway/chat temperature=0.9
//	llm-config set gateway/chat 'api_key=${secret:providers/anthropic#api_key}'
//	llm-config secret rotate providers/anthropic -e base --generate hex --now
//
// When the secret is rotated, the service has the new key at once; whatever
// prints the configuration prints "[secret]" in its place.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/llm-devops/llm-config-manager/client"
)

const path = "gateway/chat"

// Chat is what this service reads of its configuration. It is compared to tell
// what changed, so it holds plain values only.
type Chat struct {
	Model           string        `json:"model"`
	APIKey          client.Secret `json:"api_key,omitzero"`
	Temperature     float64       `json:"temperature"`
	MaxOutputTokens int           `json:"max_output_tokens"`
	Limits          struct {
		RequestsPerMinute int     `json:"requests_per_minute"`
		BudgetUSDPerDay   float64 `json:"budget_usd_per_day"`
	} `json:"limits"`
	Cache struct {
		Enabled    bool `json:"enabled"`
		TTLSeconds int  `json:"ttl_seconds"`
	} `json:"cache"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8710", "where to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *listen, os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, getenv func(string) string, out io.Writer) error {
	names := []string{"LLM_CONFIG_ADDR", "LLM_CONFIG_TOKEN", "LLM_CONFIG_TENANT", "LLM_CONFIG_ENV"}
	if i := slices.IndexFunc(names, func(name string) bool { return getenv(name) == "" }); i >= 0 {
		return fmt.Errorf("%s is not set; take the export lines that the server prints", names[i])
	}
	c, err := client.New(getenv(names[0]), client.WithToken(getenv(names[1])), client.WithTenant(getenv(names[2])))
	if err != nil {
		return err
	}
	store, err := client.OpenStore(ctx, c, client.StoreOptions{Environment: getenv(names[3]), Reveal: true}, path)
	if err != nil {
		return err
	}
	defer store.Close()
	chat, err := client.Bind[Chat](store, path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s of %s at revision %d: %+v\n", path, getenv(names[3]), chat.Revision(), *chat.Get())
	chat.OnChange(func(old, updated *Chat) {
		if *old != *updated {
			fmt.Fprintf(out, "%s at revision %d: %+v\n", path, chat.Revision(), *updated)
		}
	})
	return serve(ctx, listen, chat, store, out)
}

// serve answers until the context ends. Every request reads the configuration
// of its moment, which costs a few nanoseconds.
func serve(ctx context.Context, listen string, chat *client.Value[Chat], store *client.Store, out io.Writer) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { answer(w, chat.Get()) })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		s := store.Status()
		answer(w, map[string]any{"connected": s.Connected, "revision": s.Revision, "last_seen": s.LastSeen})
	})
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving on http://%s\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
