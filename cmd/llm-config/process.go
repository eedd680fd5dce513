package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/harden"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/limit"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/seal/keepers"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/settings"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
	"github.com/llm-devops/llm-config-manager/internal/transport"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// process is the server as a process: here, and only here, its parts are put
// together.
type process struct {
	live   *settings.Live
	load   func() (settings.Settings, error)
	stdout io.Writer
	stderr io.Writer

	hangups chan os.Signal // SIGHUP

	level  slog.LevelVar
	logs   *telemetry.Buffer
	logger *slog.Logger

	data    store.Store
	keys    store.Keys
	service *service.Service
	api     *httpapi.Server
	tls     *transport.TLS
	cors    transport.CORS

	identities *identity.Verifier            // nil where nothing is served
	known      atomic.Pointer[identity.File] // what identities goes by
	standard   atomic.Pointer[limit.Limits]  // of a tenant that has no quota
	metrics    *telemetry.Metrics            // nil where nothing is served
	auditing   auditing
}

// run serves until a signal or an error ends it, and then leaves in order:
// watchers are told where to resume, requests finish, the store closes last.
func (p *process) run(ctx context.Context) (err error) {
	s := p.live.Get()
	p.logs = telemetry.NewBuffer(p.stderr)
	p.logger = telemetry.NewLogger(p.logs, &p.level, telemetry.Format(s.WithDefaults().LogFormat))
	defer func() { err = errors.Join(err, p.logs.Close()) }()
	p.metrics = telemetry.NewMetrics(time.Now)
	p.tls = transport.NewTLS(transport.TLSOptions{Logger: telemetry.Component(p.logger, "tls"), Metrics: p.metrics})
	p.identities = identity.New(identity.Options{Logger: telemetry.Component(p.logger, "identity")})
	if err := p.configure(*s); err != nil {
		return err
	}
	p.logger.Info("process hardened", "state", harden.Process().String()) // before there is a key in memory
	if err := p.open(ctx); err != nil {
		return errors.Join(err, p.close())
	}
	defer func() { err = errors.Join(err, p.close()) }()

	// A hang-up must never end the server, not even before it can reload.
	p.hangups = make(chan os.Signal, 1)
	signal.Notify(p.hangups, syscall.SIGHUP)
	defer signal.Stop(p.hangups)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return p.serve(ctx)
}

// configure takes over what can change while the server runs.
func (p *process) configure(s settings.Settings) error {
	s = s.WithDefaults()
	if err := p.level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return err
	}
	p.cors.Allow(s.CORSOrigins)
	p.standard.Store(&limit.Limits{Requests: max(s.RequestsPerMinute(), 0), Watchers: s.TenantWatchers, Connections: max(s.ConnectionsPerTenant(), 0)})
	err := p.configureIdentities(s.Identities)
	if s.TLS() { // which a fault in the other file does not hold back
		err = errors.Join(err, p.tls.Load(transport.Files{Cert: s.TLSCert, Key: s.TLSKey, ClientCA: s.ClientCA, ClientAuth: s.ClientAuth}))
	}
	return err
}

// configureIdentities takes over who is known besides by tokens.
func (p *process) configureIdentities(file string) error {
	known := &identity.File{}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return failf("the identities cannot be read: %v", err).hint("check --identities")
		}
		if known, err = identity.ParseFile(text); err != nil {
			return err
		}
	}
	if err := p.identities.Use(known); err != nil {
		return err
	}
	p.known.Store(known)
	return nil
}

// open opens the stores and the keyring, and makes the service of them.
func (p *process) open(ctx context.Context) (err error) {
	s := p.live.Get().WithDefaults()
	opened, err := openKeepers(ctx, s) // first, so that a missing key leaves no empty folder behind
	if err != nil {
		return err
	}
	data, err := sqlite.Open(ctx, s.Data, sqlite.Options{Clock: time.Now})
	if err != nil {
		return err
	}
	p.data = data
	keys, err := sqlite.OpenKeys(ctx, s.Data)
	if err != nil {
		return err
	}
	p.keys = keys
	keyring, err := seal.OpenKeyring(ctx, opened, p.keys, p.data, seal.Options{})
	if err != nil {
		return err
	}
	if p.auditing, err = openAudit(ctx, s); err != nil {
		return err
	}
	var logger *slog.Logger // commands on the data alone have none
	if p.logger != nil {
		logger = telemetry.Component(p.logger, "service")
		for _, name := range p.auditing.anchorsBeside(s.Data) {
			logger.Warn("checkpoints are kept on the disk of the database: whoever can write to it can write both anew; use another mount, object storage or a webhook", "place", name)
		}
	}
	var identities service.Identities
	if p.identities != nil {
		identities = p.identities
	}
	var old service.Archive
	if p.auditing.archive != nil {
		old = p.auditing.archive
	}
	p.service = service.New(service.Options{
		Store: p.data, Keyring: keyring, Metrics: p.metrics, Logger: logger, Identities: identities,
		Archive: old, Audit: p.auditSetup, Posture: p.posture,
		Webhooks: webhook.New(webhook.Options{Allowed: func() []string { return p.live.Get().WebhookHosts }}),
		Limits: func() service.Limits {
			s := p.live.Get()
			return service.Limits{
				Document: int(s.MaxDocument), Watchers: s.MaxWatchers, Waiters: s.MaxWaiters,
				Documents: unbounded(s.TenantDocuments), Secrets: unbounded(s.TenantSecrets), Bytes: unbounded(s.TenantBytes),
			}
		},
	})
	return nil
}

// newAPI makes the routes over the service.
func (p *process) newAPI() *httpapi.Server {
	return httpapi.New(httpapi.Options{
		Service: p.service, Logger: telemetry.Component(p.logger, "http"), Version: buildVersion(),
		Logins: func() []identity.Issuer { return p.known.Load().Issuers },
		Limits: func() httpapi.Limits {
			s := p.live.Get()
			return httpapi.Limits{
				Body: s.MaxBody, InFlight: s.MaxInFlight, BodyTime: s.BodyTimeout,
				Document: int(s.MaxDocument), TrustedProxies: s.TrustedProxies,
				RequestsPerMinute: s.RequestsPerMinute(), TenantWatchers: s.TenantWatchers, TenantConnections: s.TenantConnections,
				Tenant: p.tenantLimits,
			}
		},
	})
}

// tenantLimits is what a tenant may do at once: what its quota says, else what
// the settings say for every tenant.
func (p *process) tenantLimits(tenant config.TenantID) limit.Limits {
	standard, quota := p.standard.Load(), p.service.TenantLimits(tenant)
	return limit.Limits{
		Requests: quotaOr(quota.RequestsPerMinute, standard.Requests), Watchers: quotaOr(quota.Watchers, standard.Watchers),
		Connections: quotaOr(quota.Connections, standard.Connections),
	}
}

// quotaOr is a limit that was set, else the standard one; 0 is none.
func quotaOr(set *int64, standard int) int {
	if set != nil {
		return int(*set)
	}
	return standard
}

// unbounded is a bound of the settings as the service takes it, 0 for none.
func unbounded(n int) int64 { return int64(max(n, 0)) }

// openKeepers opens the keeper of the master key and those that only read; a
// development server makes its own key.
func openKeepers(ctx context.Context, s settings.Settings) (opened seal.Keepers, err error) {
	if file := s.KeyFile(); s.Dev && file != "" {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			if err := errors.Join(os.MkdirAll(s.Data, 0o700), seal.CreateFileKey(file)); err != nil {
				return opened, err
			}
		}
	}
	if opened.Write, err = keepers.Open(ctx, s.Keeper()); err != nil {
		return opened, err
	}
	for i, url := range s.PreviousMasterKeys {
		keeper, err := keepers.Open(ctx, url)
		if err != nil {
			return opened, fmt.Errorf("previous-master-keys, entry %d: %w", i+1, err)
		}
		opened.Read = append(opened.Read, keeper)
	}
	return opened, nil
}

func (p *process) close() error {
	errs := []error{p.auditing.close()}
	if p.data != nil {
		errs = append(errs, p.data.Close())
	}
	if p.keys != nil {
		errs = append(errs, p.keys.Close())
	}
	return errors.Join(errs...)
}

// serve listens, and works until the context ends.
func (p *process) serve(ctx context.Context) error {
	s := p.live.Get().WithDefaults()
	p.api = p.newAPI()
	background, err := p.background()
	if err != nil {
		return err
	}
	main, err := p.listenAPI(ctx, s)
	if err != nil {
		return err
	}
	endpoints := []endpoint{main}
	if address := s.AdminAddress(); address != "" {
		admin, err := p.listen(ctx, "--admin-listen", address, p.adminRoutes())
		if err != nil {
			return errors.Join(err, main.listener.Close())
		}
		endpoints = append(endpoints, admin)
		p.logger.Info("operators' routes are served", "address", admin.listener.Addr().String())
	}
	if err := p.greet(ctx, main.url(s.TLS())); err != nil {
		for _, e := range endpoints {
			err = errors.Join(err, e.listener.Close())
		}
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	for _, e := range endpoints {
		work.Go(func() error { return ended(e.Serve(e.listener)) })
	}
	work.Go(func() error { return p.reloads(ctx) })
	work.Go(func() error { return p.counts(ctx) })
	work.Go(func() error {
		p.tls.WatchExpiry(ctx)
		return nil
	})
	work.Go(func() error {
		background.Run(ctx)
		return nil
	})
	work.Go(func() error {
		<-ctx.Done()
		return p.shutdown(endpoints)
	})
	return work.Wait()
}

// greet makes the first tokens, and says how to begin.
func (p *process) greet(ctx context.Context, address string) error {
	s := p.live.Get().WithDefaults()
	p.logger.Info("serving", "address", address, "data", s.Data, "version", buildVersion())
	if !s.Dev {
		file := filepath.Join(s.Data, "first-token")
		return p.service.FirstToken(ctx, func(token string) error {
			p.logger.Warn("a server administrator's token was made; use it to issue others, then delete the file", "file", file)
			return writePrivate(file, token)
		})
	}
	file := filepath.Join(s.Data, "dev-token")
	existing, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	token, err := p.service.DevelopmentToken(ctx, strings.TrimSpace(string(existing)))
	if err != nil {
		return err
	}
	if err := writePrivate(file, token); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "export LLM_CONFIG_ADDR=%s\nexport LLM_CONFIG_TOKEN=%s\nexport LLM_CONFIG_TENANT=%s\nexport LLM_CONFIG_ENV=development\n",
		address, token, service.DevelopmentTenant)
	return err
}

// writePrivate writes a file that only its owner reads, whole or not at all.
func writePrivate(file, text string) error {
	next := file + ".next"
	if err := os.WriteFile(next, []byte(text+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

// reloads takes over settings on SIGHUP and when their file or a certificate changes.
func (p *process) reloads(ctx context.Context) error {
	err := settings.Watch(ctx, func() []string {
		s := p.live.Get()
		return []string{s.File, s.TLSCert, s.TLSKey, s.ClientCA, s.Identities}
	}, p.hangups, p.reload)
	if err == nil {
		return nil
	}
	p.logger.Warn("files are not watched; settings and certificates are reloaded on SIGHUP alone", "error", err.Error())
	for {
		select {
		case <-p.hangups:
			p.reload()
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *process) reload() {
	next, err := p.load()
	if err != nil {
		p.logger.Error("the settings were not reloaded; the old ones stay", "error", err.Error())
		return
	}
	changed, refused, err := p.live.Reload(next)
	if err != nil {
		p.logger.Error("the settings were not reloaded; the old ones stay", "error", err.Error())
		return
	}
	if err := p.configure(*p.live.Get()); err != nil {
		p.logger.Error("files that the settings name were not reloaded; the old ones stay in force", "error", err.Error())
	}
	for _, sentence := range refused {
		p.logger.Warn("a setting needs a restart", "setting", sentence)
	}
	if len(changed) > 0 {
		p.logger.Info("the settings were reloaded", "changed", strings.Join(changed, ", "))
	}
}

// counts puts on record what this instance only counts, every minute and at the end.
func (p *process) counts(ctx context.Context) error {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-minute.C:
			p.flush(ctx, p.service.FlushCounts)
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *process) flush(ctx context.Context, counts func(context.Context) error) {
	if err := counts(ctx); err != nil {
		p.logger.Error("counts were not put on record", "error", err.Error())
	}
}

// shutdown ends watches, then lets requests finish.
func (p *process) shutdown(endpoints []endpoint) error {
	timeout := p.live.Get().WithDefaults().ShutdownTimeout
	p.logger.Info("stopping", "timeout", timeout.String())
	p.api.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var errs []error
	for _, e := range endpoints {
		if err := e.Shutdown(ctx); err != nil {
			errs = append(errs, failf("requests did not finish within %s", timeout).hint("raise --shutdown-timeout"), e.Close())
		}
	}
	p.service.EndWatches()
	p.flush(ctx, p.service.FlushLastCounts)
	p.lastCheckpoints(ctx)
	return errors.Join(errs...)
}
