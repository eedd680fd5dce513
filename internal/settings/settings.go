// Package settings holds the server's own options. Each has one name and three
// places, a flag beating an environment variable beating the settings file:
//
//	--max-body   LLM_CONFIG_SERVER_MAX_BODY   max-body: (YAML)
//
// It trusts what the operator says only after Validate: a name nobody knows, a
// value that does not parse and a combination that would be unsafe are refused
// at the start, by name.
package settings

import (
	"net/netip"
	"time"
)

// EnvPrefix begins the environment variable of every setting.
const EnvPrefix = "LLM_CONFIG_SERVER_"

// Settings are the server's own options. The zero value is usable: WithDefaults
// says what stands for each zero.
type Settings struct {
	// File is the settings file they were read from; empty: none. It is given by
	// flag or environment variable only.
	File string

	// Dev serves plain HTTP on loopback with a master key and an administrator's
	// token made on the first start; false: neither is made.
	Dev bool
	// Data is the folder of the embedded database; empty: .llm-config.
	Data string
	// MasterKey is the URL of the keeper of the master key, such as
	// awskms://alias/llm-config; empty: MasterKeyFile says it.
	MasterKey string
	// MasterKeyFile holds the master key, the short form of MasterKey for a file;
	// both empty: master.key in Data with Dev, else the server refuses to start.
	MasterKeyFile string
	// PreviousMasterKeys are the URLs of keepers that still open what they
	// wrapped; empty: none.
	PreviousMasterKeys []string

	// Listen is where the API is served; empty: 127.0.0.1:8700.
	Listen string
	// AdminListen is where operators' routes are served; without a host it is
	// loopback; empty: nowhere.
	AdminListen string
	// TLSCert and TLSKey are files in PEM form; both empty: plain HTTP.
	TLSCert string
	TLSKey  string
	// ClientCA is a file of the authorities of clients in PEM form; empty: none.
	ClientCA string
	// ClientAuth says whether clients show a certificate: none, optional or
	// required; empty: none.
	ClientAuth string
	// TrustedProxies may speak plain HTTP from off loopback, and only their
	// X-Forwarded-For is believed; empty: nobody.
	TrustedProxies []netip.Prefix

	// CORSOrigins are the origins whose pages may use the API in a browser, as
	// transport.CheckOrigin takes them; empty: none.
	CORSOrigins []string

	// WebhookHosts are the hosts that rotation webhooks may be at, as
	// webhook.CheckPattern takes them; empty: no webhook is called.
	WebhookHosts []string

	// LogLevel is debug, info, warn or error; empty: info.
	LogLevel string
	// LogFormat is json or text; empty: json.
	LogFormat string

	// MaxConnections bounds the connections open at once; 0: 20000.
	MaxConnections int
	// MaxBody bounds a request's body in bytes; 0: 10 MiB.
	MaxBody int64
	// MaxDocument bounds a document in bytes of its canonical form; 0: 1 MiB.
	MaxDocument int64
	// MaxInFlight bounds the requests worked on at once; 0: 1024.
	MaxInFlight int
	// MaxWatchers bounds the watches open at once; 0: 10000.
	MaxWatchers int
	// Identities is the file that says which issuers' tokens and whose
	// certificates are taken; empty: API tokens alone are.
	Identities string

	// RateLimit is how many requests a minute each tenant may make; 0: 1000, with
	// Dev as many as it likes; NoLimit: as many as it likes.
	RateLimit int
	// TenantWatchers bounds the watches of each tenant that are open at once; 0: 1000.
	TenantWatchers int
	// TenantDocuments, TenantSecrets and TenantBytes bound what each tenant
	// stores, unless its quota says otherwise; 0 and NoLimit: nothing does.
	TenantDocuments int
	TenantSecrets   int
	TenantBytes     int
	// TenantConnections bounds the requests of each tenant that are worked on at
	// once; 0: half of MaxInFlight; NoLimit: all of them.
	TenantConnections int
	// MaxWaiters bounds the reads that wait for a min_revision; 0: 1000.
	MaxWaiters int
	// BodyTimeout is how long a request's body may take to arrive; 0: 30s.
	BodyTimeout time.Duration
	// ShutdownTimeout is how long requests in flight may take to finish; 0: 20s.
	ShutdownTimeout time.Duration

	// AuditCheckpointEvery is how often the audit chains are signed; 0: 1m.
	AuditCheckpointEvery time.Duration
	// AuditHot is how long audit records are kept one by one before they are packed;
	// 0: 7 days.
	AuditHot time.Duration
	// AuditWarm is how long what is packed stays in the database before it goes to
	// AuditArchive; 0: 30 days.
	AuditWarm time.Duration
	// AuditKeep is how long records are kept in all; 0: 2557 days, which are no
	// fewer than seven years.
	AuditKeep time.Duration
	// AuditArchive is where packed records go, as archive.Check takes it; empty:
	// they stay in the database.
	AuditArchive string
	// AuditCheckpoints are where checkpoints are kept, too, as sink.CheckAnchor takes
	// them; empty: in the database alone.
	AuditCheckpoints []string
	// AuditSinks are where records are streamed to, as sink.Check takes them; empty:
	// nowhere.
	AuditSinks []string
	// AuditWebhookKeyFile holds the key that signs the webhooks of AuditSinks,
	// AuditCheckpoints and AlertWebhooks; empty: they are not signed.
	AuditWebhookKeyFile string
	// AuditAlerts are rules, as audit.ParseAlertRule takes them, beside those that
	// are built in; empty: these alone.
	AuditAlerts []string
	// AlertWebhooks are where raised alerts are sent to, as webhook.CheckURL takes
	// them; empty: to the log and the metrics alone.
	AlertWebhooks []string
}

// WithDefaults puts the default in the place of each zero.
func (s Settings) WithDefaults() Settings {
	var zero Settings
	for _, o := range options {
		if o.fallback == "" || o.get(&s) != o.get(&zero) {
			continue
		}
		if err := o.set(&s, o.fallback); err != nil {
			panic("the default of " + o.name + " " + err.Error()) // a fault of the table, found by any test
		}
	}
	return s
}
