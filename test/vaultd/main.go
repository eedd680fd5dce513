// Vaultd is a real Vault server for tests: the last release under the MPL, in
// memory, on 127.0.0.1, with its transit engine and nothing else that stores.
// It starts uninitialised and sealed; a test initialises and unseals it over
// its own API, as an operator would. It is a module of its own, so that nothing
// of it can reach the product.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "vaultd:", err)
		os.Exit(1)
	}
}

func serve() error {
	log := hclog.New(&hclog.LoggerOptions{Name: "vaultd", Level: hclog.Warn, Output: os.Stderr})
	backend, err := inmem.NewInmem(nil, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := "http://" + listener.Addr().String()
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:        backend,
		RedirectAddr:    address,
		DisableMlock:    true,
		Logger:          log,
		BuiltinRegistry: registry{},
		LogicalBackends: map[string]logical.Factory{"transit": transit.Factory},
	})
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{Address: address}}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Println(address)
	select {
	case err := <-failed:
		return err
	case <-stop:
		return server.Close()
	}
}
