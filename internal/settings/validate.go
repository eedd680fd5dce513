package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/sink"
	"github.com/llm-devops/llm-config-manager/internal/transport"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// Validate refuses combinations that cannot work or would be unsafe. The error
// names each setting, its value and the next step.
func (s Settings) Validate() error {
	return errors.Join(
		s.validateListen(),
		s.validateAdminListen(),
		s.validateTLS(),
		s.validateClientAuth(),
		s.validateKey(),
		s.validateLimits(),
		s.validateAudit(),
	)
}

// Keeper is the URL of the master key's keeper, wherever it was left to be.
func (s Settings) Keeper() string {
	if file := s.KeyFile(); file != "" {
		return "file:" + filepath.Clean(file)
	}
	return s.MasterKey
}

// KeyFile is the file that holds the master key; empty: a keeper's URL is given
// instead, or nothing.
func (s Settings) KeyFile() string {
	if s.MasterKey == "" && s.MasterKeyFile == "" && s.Dev {
		return filepath.Join(s.Data, "master.key")
	}
	return s.MasterKeyFile
}

// AdminAddress is AdminListen with loopback for a missing host; empty: none.
func (s Settings) AdminAddress() string {
	if strings.HasPrefix(s.AdminListen, ":") {
		return "127.0.0.1" + s.AdminListen
	}
	return s.AdminListen
}

// RequestsPerMinute is how many requests each tenant may make in a minute, or NoLimit.
func (s Settings) RequestsPerMinute() int {
	switch {
	case s.RateLimit != 0:
		return s.RateLimit
	case s.Dev:
		return NoLimit
	}
	return defaultRateLimit
}

// ConnectionsPerTenant is how many requests of each tenant are worked on at once,
// or NoLimit.
func (s Settings) ConnectionsPerTenant() int {
	if s.TenantConnections != 0 {
		return s.TenantConnections
	}
	return max(s.MaxInFlight/2, 1)
}

const defaultRateLimit = 1000

// TLS says whether the API is served over TLS.
func (s Settings) TLS() bool { return s.TLSCert != "" && s.TLSKey != "" }

// OnLoopback says whether only this machine reaches the API.
func (s Settings) OnLoopback() bool {
	host, err := splitAddress("listen", s.Listen)
	return err == nil && loopback(host)
}

func (s Settings) validateListen() error {
	host, err := splitAddress("listen", s.Listen)
	switch {
	case err != nil:
		return err
	case loopback(host):
		return nil
	case s.Dev:
		return fmt.Errorf("listen is %q, and a development server answers on loopback only; "+
			"use 127.0.0.1:8700, or leave dev out and give tls-cert, tls-key and a master key", s.Listen)
	case !s.TLS() && len(s.TrustedProxies) == 0:
		return fmt.Errorf("listen is %q, which others can reach, and tokens would travel as plain text; "+
			"give tls-cert and tls-key, or name in trusted-proxy the proxies that end TLS", s.Listen)
	}
	return nil
}

func (s Settings) validateAdminListen() error {
	if s.AdminListen == "" {
		return nil
	}
	host, err := splitAddress("admin-listen", s.AdminAddress())
	switch {
	case err != nil:
		return err
	case !loopback(host):
		return fmt.Errorf("admin-listen is %q, and the operators' routes ask for no token; use a loopback address", s.AdminListen)
	case s.AdminAddress() == s.Listen && !strings.HasSuffix(s.Listen, ":0"):
		return fmt.Errorf("admin-listen and listen are both %q; give each its own port", s.Listen)
	}
	return nil
}

func (s Settings) validateTLS() error {
	if (s.TLSCert == "") == (s.TLSKey == "") {
		return nil
	}
	has, value, lacks := "tls-cert", s.TLSCert, "tls-key"
	if s.TLSCert == "" {
		has, value, lacks = "tls-key", s.TLSKey, "tls-cert"
	}
	return fmt.Errorf("%s is %q and %s is missing; give both, or neither for plain HTTP on loopback", has, value, lacks)
}

func (s Settings) validateClientAuth() error {
	asked := s.ClientAuth != "" && s.ClientAuth != transport.ClientAuthNone
	switch {
	case asked && s.ClientCA == "":
		return fmt.Errorf("client-auth is %q and client-ca is missing, so no certificate could be checked; "+
			"name the file of the authorities in client-ca, or set client-auth to none", s.ClientAuth)
	case !asked && s.ClientCA != "":
		return fmt.Errorf("client-ca is %q and client-auth is none, so no client would be asked for a certificate; "+
			"set client-auth to optional or required, or leave client-ca out", s.ClientCA)
	case asked && !s.TLS():
		return fmt.Errorf("client-auth is %q, and plain HTTP has no certificates; give tls-cert and tls-key, or set client-auth to none", s.ClientAuth)
	}
	return nil
}

func (s Settings) validateKey() error {
	switch {
	case s.MasterKey != "" && s.MasterKeyFile != "":
		return errors.New("master-key and master-key-file are both given, and there is one master key; " +
			"keep the one that is right now, and move the other to previous-master-keys if it was used before")
	case s.Keeper() == "":
		return errors.New("neither master-key nor master-key-file is given, and without a master key nothing can be sealed; " +
			"name the file that holds it or the URL of its keeper, or try things out with --dev")
	}
	return nil
}

func (s Settings) validateLimits() error {
	if s.MaxDocument > s.MaxBody {
		return fmt.Errorf("max-document is %s and max-body only %s, so the largest documents could never arrive; "+
			"raise max-body or lower max-document", formatSize(s.MaxDocument), formatSize(s.MaxBody))
	}
	return nil
}

// The bounds of audit-checkpoint-every.
const (
	minCheckpointEvery = time.Second
	maxCheckpointEvery = day
)

func (s Settings) validateAudit() error {
	packed, every := s.AuditHot+s.AuditWarm, s.AuditCheckpointEvery
	_, rules := audit.ParseAlertRules(s.AuditAlerts)
	switch {
	case s.AuditKeep < packed:
		return fmt.Errorf("audit-keep is %s, and audit-hot and audit-warm are %s together, so records would be disposed of before they are in the archive; "+
			"raise audit-keep, or lower the others", formatDays(s.AuditKeep), formatDays(packed))
	case every != 0 && (every < minCheckpointEvery || every > maxCheckpointEvery):
		return fmt.Errorf("audit-checkpoint-every is %s, and may be from %s to %s; write it like 1m", every, minCheckpointEvery, maxCheckpointEvery)
	case rules != nil:
		return fmt.Errorf("audit-alerts cannot be used: %w", rules)
	case s.AuditWebhookKeyFile != "" && !slices.ContainsFunc(slices.Concat(s.AuditSinks, s.AuditCheckpoints, s.AlertWebhooks), isWebhook):
		return fmt.Errorf("audit-webhook-key-file is %q, and none of audit-sinks, audit-checkpoints and alert-webhooks names a webhook; "+
			"name one, or leave the file out", s.AuditWebhookKeyFile)
	}
	return errors.Join(alike("audit-sinks", s.AuditSinks, sink.NameOf), alike("audit-checkpoints", s.AuditCheckpoints, sink.AnchorNameOf),
		alike("alert-webhooks", s.AlertWebhooks, webhook.NameOf))
}

func isWebhook(url string) bool {
	return strings.HasPrefix(url, "https:") || strings.HasPrefix(url, "http:")
}

// alike refuses places of the same name: by its name the server knows how far it
// has delivered to a place. The names may be printed, the URLs not.
func alike(setting string, urls []string, nameOf func(string) (string, error)) error {
	first := map[string]int{} // name → number of the entry
	for i, url := range urls {
		name, err := nameOf(url)
		if err != nil {
			return fmt.Errorf("entry %d of %s cannot be used: %w", i+1, setting, err)
		}
		if j, there := first[name]; there {
			return fmt.Errorf("entries %d and %d of %s are both at %s, by which the server keeps how far it has delivered; "+
				"take one out, or give each its own %s", j, i+1, setting, name, ownPart(name))
		}
		first[name] = i + 1
	}
	return nil
}

// ownPart is what tells places of one kind apart.
func ownPart(name string) string {
	switch {
	case strings.HasPrefix(name, "file:"):
		return "file or folder"
	case isWebhook(name), strings.HasPrefix(name, "syslog"):
		return "host name"
	}
	return "bucket, or its own path in it"
}

// splitAddress answers the host of an address whose port is a number.
func splitAddress(setting, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", fmt.Errorf("%s is %q, which is no address; write host:port, like 127.0.0.1:8700", setting, address)
	}
	return host, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
