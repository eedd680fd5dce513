package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/archive"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/sink"
	"github.com/llm-devops/llm-config-manager/internal/transport"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// The most entries that lists may have.
const (
	maxPreviousKeys = 16
	maxWebhookHosts = 256
	maxCORSOrigins  = 256
	maxAuditPlaces  = 16
	maxAlertRules   = 64
)

// SettingsFile is the name of the option that says where the file is.
const SettingsFile = "settings"

// An option is one setting: its name, and how its text becomes a field.
type option struct {
	name     string
	usage    string
	value    string // what help calls the value
	fallback string // text of the default; empty: the zero value stands
	live     bool   // a reload may change it
	boolean  bool   // as a flag, the name alone means true
	hidden   bool   // its text may hold a credential, by mistake at least, and is printed nowhere
	get      func(*Settings) string
	set      func(*Settings, string) error
	copy     func(to, from *Settings)
}

// options are all settings, in the order in which help and docs show them.
var options = []option{
	text(SettingsFile, "FILE", "", "settings file (YAML); by flag or environment variable only", func(s *Settings) *string { return &s.File }),
	boolean("dev", "development server: plain HTTP on loopback, key and token made on the first start", func(s *Settings) *bool { return &s.Dev }),
	text("data", "DIR", ".llm-config", "folder of the embedded database", func(s *Settings) *string { return &s.Data }),
	text("master-key", "URL", "", "keeper of the master key: file:, passphrase:, awskms:, gcpkms:, azurekeyvault:, hashivault:, pkcs11:", func(s *Settings) *string { return &s.MasterKey }).unprinted(),
	text("master-key-file", "FILE", "", "file that holds the master key; short for --master-key file:FILE", func(s *Settings) *string { return &s.MasterKeyFile }),
	texts("previous-master-keys", "URLS", "keepers that still open what they wrapped", maxPreviousKeys, anything, func(s *Settings) *[]string { return &s.PreviousMasterKeys }).unprinted(),
	text("listen", "ADDR", "127.0.0.1:8700", "address of the API", func(s *Settings) *string { return &s.Listen }),
	text("admin-listen", "ADDR", "", "address of the operators' routes; loopback when it has no host", func(s *Settings) *string { return &s.AdminListen }),
	text("tls-cert", "FILE", "", "file of the TLS certificate chain (PEM)", func(s *Settings) *string { return &s.TLSCert }).reloadable(),
	text("tls-key", "FILE", "", "file of the TLS key (PEM)", func(s *Settings) *string { return &s.TLSKey }).reloadable(),
	text("client-ca", "FILE", "", "file of the authorities of client certificates (PEM)", func(s *Settings) *string { return &s.ClientCA }).reloadable(),
	choice("client-auth", transport.ClientAuthNone, "whether clients show a certificate", []string{transport.ClientAuthNone, transport.ClientAuthOptional, transport.ClientAuthRequired}, func(s *Settings) *string { return &s.ClientAuth }).reloadable(),
	prefixes("trusted-proxy", "addresses of proxies that may speak plain HTTP and name the client", func(s *Settings) *[]netip.Prefix { return &s.TrustedProxies }).reloadable(),
	text("identities", "FILE", "", "file that says whose tokens and certificates are taken, and what they are (YAML)", func(s *Settings) *string { return &s.Identities }).reloadable(),
	texts("cors-origins", "ORIGINS", "origins whose pages may use the API in a browser", maxCORSOrigins, transport.CheckOrigin, func(s *Settings) *[]string { return &s.CORSOrigins }).reloadable(),
	texts("webhook-hosts", "HOSTS", "hosts that rotation webhooks may be at", maxWebhookHosts, webhook.CheckPattern, func(s *Settings) *[]string { return &s.WebhookHosts }).reloadable(),
	choice("log-level", "info", "least level that is logged", []string{"debug", "info", "warn", "error"}, func(s *Settings) *string { return &s.LogLevel }).reloadable(),
	choice("log-format", "json", "form of a log line", []string{"json", "text"}, func(s *Settings) *string { return &s.LogFormat }),
	count("max-connections", "20000", "connections open at once", func(s *Settings) *int { return &s.MaxConnections }).reloadable(),
	size("max-body", "10MiB", "largest request body", func(s *Settings) *int64 { return &s.MaxBody }).reloadable(),
	size("max-document", "1MiB", "largest document", func(s *Settings) *int64 { return &s.MaxDocument }).reloadable(),
	count("max-in-flight", "1024", "requests worked on at once", func(s *Settings) *int { return &s.MaxInFlight }).reloadable(),
	count("max-watchers", "10000", "watches open at once", func(s *Settings) *int { return &s.MaxWatchers }).reloadable(),
	bound("rate-limit", "requests a minute of each tenant, or none (1000; none with dev)", func(s *Settings) *int { return &s.RateLimit }).reloadable(),
	count("tenant-watchers", "1000", "watches of each tenant open at once", func(s *Settings) *int { return &s.TenantWatchers }).reloadable(),
	bound("tenant-documents", "layers of each tenant, or none (none)", func(s *Settings) *int { return &s.TenantDocuments }).reloadable(),
	bound("tenant-secrets", "secrets of each tenant, or none (none)", func(s *Settings) *int { return &s.TenantSecrets }).reloadable(),
	bound("tenant-bytes", "bytes that each tenant stores, or none (none)", func(s *Settings) *int { return &s.TenantBytes }).reloadable(),
	bound("tenant-connections", "requests of each tenant worked on at once, or none (half of max-in-flight)", func(s *Settings) *int { return &s.TenantConnections }).reloadable(),
	count("max-waiters", "1000", "reads waiting for a min_revision at once", func(s *Settings) *int { return &s.MaxWaiters }).reloadable(),
	duration("body-timeout", "30s", "time for a request body to arrive", func(s *Settings) *time.Duration { return &s.BodyTimeout }).reloadable(),
	duration("shutdown-timeout", "20s", "time for requests in flight to finish at the end", func(s *Settings) *time.Duration { return &s.ShutdownTimeout }).reloadable(),
	duration("audit-checkpoint-every", "1m", "how often the audit chains are signed", func(s *Settings) *time.Duration { return &s.AuditCheckpointEvery }).reloadable(),
	days("audit-hot", "7d", "time that audit records are kept one by one, before they are packed", func(s *Settings) *time.Duration { return &s.AuditHot }).reloadable(),
	days("audit-warm", "30d", "time after it that packed ones stay in the database, before they go to the archive", func(s *Settings) *time.Duration { return &s.AuditWarm }).reloadable(),
	days("audit-keep", "2557d", "time that audit records are kept in all", func(s *Settings) *time.Duration { return &s.AuditKeep }).reloadable(),
	checked("audit-archive", "URL", "where packed audit records go: file:, s3:, gs:, azblob:", archive.Check, func(s *Settings) *string { return &s.AuditArchive }).unprinted(),
	texts("audit-checkpoints", "URLS", "where signed checkpoints are kept, too: an archive or a webhook", maxAuditPlaces, sentence(sink.CheckAnchor), func(s *Settings) *[]string { return &s.AuditCheckpoints }).unprinted(),
	texts("audit-sinks", "URLS", "where audit records are streamed to: syslog+udp:, syslog+tcp:, syslog+tls:, file:, https:", maxAuditPlaces, sentence(sink.Check), func(s *Settings) *[]string { return &s.AuditSinks }).unprinted(),
	text("audit-webhook-key-file", "FILE", "", "file of the key that signs the webhooks of audit-sinks, audit-checkpoints and alert-webhooks", func(s *Settings) *string { return &s.AuditWebhookKeyFile }),
	texts("audit-alerts", "RULES", "alerts beside the built-in ones: NAME: N [different] EVENT in TIME per actor|address|tenant|resource, or NAME: off", maxAlertRules, checkAlert, func(s *Settings) *[]string { return &s.AuditAlerts }).reloadable(),
	texts("alert-webhooks", "URLS", "where raised alerts are sent to", maxAuditPlaces, sentence(webhook.CheckURL), func(s *Settings) *[]string { return &s.AlertWebhooks }).unprinted(),
}

// quoted is a value as an error names it.
func (o option) quoted(text string) string {
	if o.hidden {
		return "the value"
	}
	return strconv.Quote(text)
}

// find is the option of a name.
func find(name string) (option, bool) {
	i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
	if i < 0 {
		return option{}, false
	}
	return options[i], true
}

// env is the option's environment variable.
func (o option) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

func (o option) reloadable() option { o.live = true; return o }

func (o option) unprinted() option { o.hidden = true; return o }

func copier[T any](field func(*Settings) *T) func(to, from *Settings) {
	return func(to, from *Settings) { *field(to) = *field(from) }
}

func text(name, value, fallback, usage string, field func(*Settings) *string) option {
	return option{name: name, fallback: fallback, usage: usage, value: value,
		copy: copier(field),
		get:  func(s *Settings) string { return *field(s) },
		set:  func(s *Settings, text string) error { *field(s) = text; return nil },
	}
}

func choice(name, fallback, usage string, choices []string, field func(*Settings) *string) option {
	o := text(name, "NAME", fallback, usage+": "+strings.Join(choices, ", "), field)
	o.set = func(s *Settings, text string) error {
		if !slices.Contains(choices, text) {
			return fmt.Errorf("is none of the choices; take one of %s", strings.Join(choices, ", "))
		}
		*field(s) = text
		return nil
	}
	return o
}

func boolean(name, usage string, field func(*Settings) *bool) option {
	return option{name: name, usage: usage, value: "bool", boolean: true,
		copy: copier(field),
		get:  func(s *Settings) string { return strconv.FormatBool(*field(s)) },
		set: func(s *Settings, text string) error {
			if text != "true" && text != "false" {
				return errors.New("is neither true nor false; write one of them")
			}
			*field(s) = text == "true"
			return nil
		},
	}
}

func count(name, fallback, usage string, field func(*Settings) *int) option {
	return option{name: name, fallback: fallback, usage: usage, value: "N",
		copy: copier(field),
		get:  func(s *Settings) string { return strconv.Itoa(*field(s)) },
		set: func(s *Settings, text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return errors.New("is not a whole number from 1 up; write one, or leave it out for the default")
			}
			*field(s) = n
			return nil
		},
	}
}

// NoLimit is what a bound is that was set to none.
const NoLimit = -1

// bound is a count that may be none, and whose default depends on other settings.
func bound(name, usage string, field func(*Settings) *int) option {
	o := count(name, "", usage, field)
	whole := o.set
	o.get = func(s *Settings) string {
		switch n := *field(s); n {
		case 0:
			return ""
		case NoLimit:
			return "none"
		default:
			return strconv.Itoa(n)
		}
	}
	o.set = func(s *Settings, text string) error {
		if text == "none" {
			*field(s) = NoLimit
			return nil
		}
		if whole(s, text) != nil {
			return errors.New("is neither a whole number from 1 up nor none; write one of them, or leave it out for the default")
		}
		return nil
	}
	return o
}

func duration(name, fallback, usage string, field func(*Settings) *time.Duration) option {
	return option{name: name, fallback: fallback, usage: usage, value: "TIME",
		copy: copier(field),
		get:  func(s *Settings) string { return field(s).String() },
		set: func(s *Settings, text string) error {
			d, err := time.ParseDuration(text)
			if err != nil || d <= 0 {
				return errors.New("is not a length of time; write it like 30s or 2m")
			}
			*field(s) = d
			return nil
		},
	}
}

const day = 24 * time.Hour

// maxDays keeps times far from overflow.
const maxDays = 36500

// days is a duration that may also be whole days.
func days(name, fallback, usage string, field func(*Settings) *time.Duration) option {
	o := duration(name, fallback, usage, field)
	exact := o.set
	o.get = func(s *Settings) string { return formatDays(*field(s)) }
	o.set = func(s *Settings, text string) error {
		if digits, ok := strings.CutSuffix(text, "d"); ok {
			n, err := strconv.ParseUint(digits, 10, 32)
			if err == nil && n > 0 && n <= maxDays {
				*field(s) = time.Duration(n) * day
				return nil
			}
		}
		if exact(s, text) != nil || *field(s) > maxDays*day {
			return fmt.Errorf("is not a length of time of at most %d days; write it like 30d or 36h", maxDays)
		}
		return nil
	}
	return o
}

func formatDays(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}

// checked is a text that is refused when it cannot be used.
func checked(name, value, usage string, check func(string) error, field func(*Settings) *string) option {
	o := text(name, value, "", usage, field)
	o.set = func(s *Settings, text string) error {
		if err := sentence(check)(text); err != nil {
			return fmt.Errorf("cannot be used: %w", err)
		}
		*field(s) = text
		return nil
	}
	return o
}

// sentence has a check's refusal say its next step within one text.
func sentence(check func(string) error) func(string) error {
	return func(text string) error {
		var e *config.Error
		if err := check(text); !errors.As(err, &e) {
			return err
		}
		return errors.New(e.Message + "; " + e.Next)
	}
}

func checkAlert(rule string) error {
	_, err := audit.ParseAlertRule(rule)
	return err
}

func prefixes(name, usage string, field func(*Settings) *[]netip.Prefix) option {
	return option{name: name, usage: usage, value: "ADDRS",
		copy: copier(field),
		get:  func(s *Settings) string { return joinPrefixes(*field(s)) },
		set: func(s *Settings, text string) (err error) {
			*field(s), err = parsePrefixes(text)
			return err
		},
	}
}

// texts is a list with commas between its entries, each of which is checked.
func texts(name, value, usage string, most int, check func(string) error, field func(*Settings) *[]string) option {
	return option{name: name, usage: usage, value: value,
		copy: copier(field),
		get:  func(s *Settings) string { return strings.Join(*field(s), ",") },
		set: func(s *Settings, text string) error {
			var all []string
			for part := range strings.SplitSeq(text, ",") {
				if part = strings.TrimSpace(part); part == "" {
					continue
				}
				if err := check(part); err != nil {
					return fmt.Errorf("holds an entry that cannot be used: %w", err)
				}
				all = append(all, part)
			}
			if len(all) > most {
				return fmt.Errorf("has %d entries, and may have %d; take some out", len(all), most)
			}
			*field(s) = all
			return nil
		},
	}
}

// anything leaves the check to whoever uses the entry.
func anything(string) error { return nil }

func joinPrefixes(all []netip.Prefix) string {
	texts := make([]string, len(all))
	for i, prefix := range all {
		texts[i] = prefix.String()
	}
	return strings.Join(texts, ",")
}

// parsePrefixes reads addresses and networks with commas between them.
func parsePrefixes(text string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if addr, addrErr := netip.ParseAddr(part); addrErr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("holds %q, which is no address or network; write them like 10.0.0.7 or 10.0.0.0/8, with commas between", part)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

func size(name, fallback, usage string, field func(*Settings) *int64) option {
	return option{name: name, fallback: fallback, usage: usage, value: "SIZE",
		copy: copier(field),
		get:  func(s *Settings) string { return formatSize(*field(s)) },
		set: func(s *Settings, text string) (err error) {
			*field(s), err = parseSize(text)
			return err
		},
	}
}

var units = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func formatSize(n int64) string {
	for _, unit := range units {
		if n != 0 && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// maxSize keeps a size within an int on every platform and far from overflow.
const maxSize = 1 << 30

func parseSize(text string) (int64, error) {
	digits, factor := text, int64(1)
	for _, unit := range units {
		if rest, ok := strings.CutSuffix(text, unit.suffix); ok {
			digits, factor = strings.TrimSpace(rest), unit.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > maxSize/factor {
		return 0, fmt.Errorf("is not a size between 1 and %s; write it like 512KiB, 10MiB or 1048576", formatSize(maxSize))
	}
	return n * factor, nil
}
