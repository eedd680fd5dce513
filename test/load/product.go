package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/jobs"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
	"github.com/llm-devops/llm-config-manager/internal/transport"
)

// unrecorded is the real store, but that no access to a secret is appended. It is
// what an append is measured against, and stands in measurements only: no setting
// leads here.
type unrecorded struct{ store.Store }

func (unrecorded) AppendAccess(context.Context, config.TenantID, []store.Served, ...audit.Record) error {
	return nil
}

// wraps are what the two products put around the store.
var wraps = [2]func(store.Store) store.Store{
	func(s store.Store) store.Store { return s },
	func(s store.Store) store.Store { return unrecorded{s} },
}

// products serves the whole product twice in one process, with the same code but
// for the second one's store: accesses to secrets are on record, and are not.
// Folder has a folder of each, with the token of who may do everything there.
//
//	load products FOLDER ADDRESS ADDRESS
func products(args []string) (err error) {
	if len(args) != 3 {
		return errors.New("products takes FOLDER and two ADDRESSes")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	served := make([]*product, len(wraps))
	for i, address := range args[1:] {
		p, err := openProduct(ctx, productFolder(args[0], i), address, wraps[i])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.close()) }()
		served[i] = p
	}
	ended := make(chan error, len(served))
	for _, p := range served {
		go func() { ended <- p.serve(ctx) }()
	}
	for range served {
		failed := <-ended
		stop()
		err = errors.Join(err, failed)
	}
	return err
}

func productFolder(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("product-%d", i)) }

const tokenFile = "token"

// product is the server as the serve command makes it, for plain HTTP on loopback
// and without limits of tenants.
type product struct {
	opened   []io.Closer // to be closed, the last first
	data     store.Store
	service  *service.Service
	logger   *slog.Logger
	listener net.Listener
	server   *http.Server
}

func openProduct(ctx context.Context, dir, address string, wrap func(store.Store) store.Store) (p *product, err error) {
	if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("products are served on loopback only, not on %q", address)
	}
	logs := telemetry.NewBuffer(os.Stderr)
	p = &product{logger: telemetry.NewLogger(logs, slog.LevelInfo, telemetry.JSON), opened: []io.Closer{logs}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	master := filepath.Join(dir, "master.key")
	if err := errors.Join(os.MkdirAll(dir, 0o700), seal.CreateFileKey(master)); err != nil {
		return nil, err
	}
	data, err := sqlite.Open(ctx, dir, sqlite.Options{Clock: time.Now})
	if err != nil {
		return nil, err
	}
	p.data, p.opened = data, append(p.opened, data)
	keys, err := sqlite.OpenKeys(ctx, dir)
	if err != nil {
		return nil, err
	}
	p.opened = append(p.opened, keys)
	keeper, err := seal.OpenFileKeeper(master)
	if err != nil {
		return nil, err
	}
	keyring, err := seal.OpenKeyring(ctx, seal.Keepers{Write: keeper}, keys, data, seal.Options{})
	if err != nil {
		return nil, err
	}
	metrics := telemetry.NewMetrics(time.Now)
	p.service = service.New(service.Options{Store: wrap(data), Keyring: keyring, Metrics: metrics, Logger: telemetry.Component(p.logger, "service")})
	token, err := p.service.DevelopmentToken(ctx, "")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, tokenFile), []byte(token), 0o600)
	}
	if err != nil {
		return nil, err
	}
	return p, p.listen(ctx, address, metrics)
}

// listen puts around the routes what the serve command does.
func (p *product) listen(ctx context.Context, address string, metrics *telemetry.Metrics) (err error) {
	api := httpapi.New(httpapi.Options{
		Service: p.service, Logger: telemetry.Component(p.logger, "http"), Version: "load",
		Limits: func() httpapi.Limits { return httpapi.Limits{RequestsPerMinute: -1, TenantConnections: 100_000} },
	})
	var patterns []string
	for _, route := range api.Routes() {
		patterns = append(patterns, route.Method+" "+route.Pattern)
	}
	encrypted := transport.NewTLS(transport.TLSOptions{Logger: telemetry.Component(p.logger, "tls"), Metrics: metrics})
	var cors transport.CORS
	trusted := transport.OnlyTrusted(func() []netip.Prefix { return nil }, encrypted.StillTrusted(cors.Handler(api)))
	p.server = transport.NewServer(transport.ServerOptions{
		Handler: metrics.Requests(patterns, transport.SecurityHeaders(trusted)), Logger: telemetry.Component(p.logger, "http"),
	})
	var config net.ListenConfig
	if p.listener, err = config.Listen(ctx, "tcp", address); err != nil {
		return err
	}
	p.listener = transport.Bound(p.listener, func() int { return 10_000 }, metrics.ConnectionRefused)
	return nil
}

// serve serves until the context ends, with the jobs that see to the audit chains:
// what they cost is part of what being on record costs.
func (p *product) serve(ctx context.Context) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	runner := jobs.New(jobs.Options{
		Leases: p.data, Holder: "load", Logger: telemetry.Component(p.logger, "jobs"),
		Jobs: []jobs.Job{
			{Name: "audit-checkpoints", Every: time.Minute, Run: p.service.SignCheckpoints},
			{Name: "audit-index", Every: 2 * time.Second, Run: p.service.IndexAudit},
			{Name: "audit-alerts", Every: time.Second, Run: p.service.FollowAlerts},
		},
	})
	done := make(chan struct{})
	go func() { runner.Run(running); close(done) }()
	go func() { <-running.Done(); _ = p.server.Close() }() // its error is of connections that are measured no more
	err := p.server.Serve(p.listener)
	stop()
	<-done
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (p *product) close() error {
	var errs []error
	for _, opened := range slices.Backward(p.opened) {
		errs = append(errs, opened.Close())
	}
	return errors.Join(errs...)
}
