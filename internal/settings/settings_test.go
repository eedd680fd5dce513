package settings

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

var comparePrefixes = cmpopts.EquateComparable(netip.Prefix{})

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func mustLoad(t *testing.T, flags map[string]string, environ ...string) Settings {
	t.Helper()
	s, err := Load(flags, environ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refuse(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("nothing was refused; expected %q", says)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the refusal does not say %q:\n%v", text, err)
		}
	}
}

func TestEveryZeroHasItsDefault(t *testing.T) {
	want := Settings{
		Data: ".llm-config", Listen: "127.0.0.1:8700", LogLevel: "info", LogFormat: "json",
		ClientAuth: "none", MaxConnections: 20000,
		MaxBody: 10 << 20, MaxDocument: 1 << 20, MaxInFlight: 1024, MaxWatchers: 10000, TenantWatchers: 1000, MaxWaiters: 1000,
		BodyTimeout: 30 * time.Second, ShutdownTimeout: 20 * time.Second,
		AuditCheckpointEvery: time.Minute, AuditHot: 7 * day, AuditWarm: 30 * day, AuditKeep: 2557 * day,
	}
	if diff := cmp.Diff(want, Settings{}.WithDefaults(), comparePrefixes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, want.WithDefaults(), comparePrefixes); diff != "" {
		t.Errorf("defaults changed what was set:\n%s", diff)
	}
}

func TestEveryFieldIsAnOption(t *testing.T) {
	var s Settings
	fields := reflect.ValueOf(&s).Elem()
	if fields.NumField() != len(options) {
		t.Errorf("Settings has %d fields and there are %d options", fields.NumField(), len(options))
	}
	for i := range fields.NumField() {
		name := strings.ToLower(fields.Type().Field(i).Name)
		switch name {
		case "file":
			name = SettingsFile
		case "trustedproxies":
			name = "trustedproxy"
		}
		matches := 0
		for _, o := range options {
			if strings.ReplaceAll(o.name, "-", "") == name {
				matches++
			}
		}
		if matches != 1 {
			t.Errorf("the field %s has %d options named after it", fields.Type().Field(i).Name, matches)
		}
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	name := file(t, "dev: true\nlisten: 127.0.0.1:1\nlog-level: warn\nmax-body: 2MiB\n")
	s := mustLoad(t, map[string]string{"settings": name, "listen": "127.0.0.1:3"},
		"LLM_CONFIG_SERVER_LISTEN=127.0.0.1:2", "LLM_CONFIG_SERVER_LOG_LEVEL=error", "LLM_CONFIG_SERVER_MAX_BODY=", "HOME=/root")
	want := Settings{File: name, Dev: true, Listen: "127.0.0.1:3", LogLevel: "error", MaxBody: 2 << 20}.WithDefaults()
	if diff := cmp.Diff(want, s, comparePrefixes); diff != "" {
		t.Error(diff)
	}
}

func TestTheFileMayBeNamedByTheEnvironment(t *testing.T) {
	name := file(t, "dev: true\nmax-watchers: 7\n")
	if s := mustLoad(t, nil, "LLM_CONFIG_SERVER_SETTINGS="+name); s.MaxWatchers != 7 || s.File != name {
		t.Errorf("got %+v", s)
	}
}

func TestListsAreWrittenWithCommasOrAsYAML(t *testing.T) {
	want := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.0.2.7/32")}
	name := file(t, "dev: true\ntrusted-proxy:\n  - 10.1.2.3/16\n  - 192.0.2.7\n")
	fromFile := mustLoad(t, map[string]string{"settings": name})
	fromFlag := mustLoad(t, map[string]string{"dev": "true", "trusted-proxy": "10.1.0.0/16, 192.0.2.7"})
	for _, s := range []Settings{fromFile, fromFlag} {
		if diff := cmp.Diff(want, s.TrustedProxies, comparePrefixes); diff != "" {
			t.Error(diff)
		}
	}
}

func TestListsOfTexts(t *testing.T) {
	name := file(t, "master-key: awskms://alias/new\nprevious-master-keys: [\"file:/old.key\", \"hashivault://a\"]\nwebhook-hosts:\n  - rotator.example.com\n  - \"*.hooks.example.com:8443\"\n")
	fromFile := mustLoad(t, map[string]string{"settings": name})
	fromEnvironment := mustLoad(t, nil, "LLM_CONFIG_SERVER_MASTER_KEY=awskms://alias/new",
		"LLM_CONFIG_SERVER_PREVIOUS_MASTER_KEYS=file:/old.key, hashivault://a", "LLM_CONFIG_SERVER_WEBHOOK_HOSTS=rotator.example.com,*.hooks.example.com:8443")
	fromEnvironment.File = name
	if diff := cmp.Diff(fromFile, fromEnvironment, comparePrefixes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"file:/old.key", "hashivault://a"}, fromFile.PreviousMasterKeys); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"rotator.example.com", "*.hooks.example.com:8443"}, fromFile.WebhookHosts); diff != "" {
		t.Error(diff)
	}
	for hosts, says := range map[string]string{
		"https://rotator.example.com": "without scheme", "*": `"*"`, "a b": `"a b"`,
		strings.Repeat("a.test,", 257): "257",
	} {
		_, err := Load(map[string]string{"dev": "true", "webhook-hosts": hosts}, nil)
		refuse(t, err, "webhook-hosts", says)
	}
}

// TestKeepersAreNotPrinted: what was mistyped may hold a credential.
func TestKeepersAreNotPrinted(t *testing.T) {
	for _, flags := range []map[string]string{
		{"master-key": "passphrase:hunter2", "master-key-file": "k"},
		{"master-key": "passphrase:hunter2", "previous-master-keys": strings.Repeat("vault://hunter2,", 17)},
		{"previous-master-keys": "hunter2"},
	} {
		_, err := Load(flags, nil)
		refuse(t, err, "master-key")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the refusal shows it: %v", err)
		}
	}
}

func TestAuditSettings(t *testing.T) {
	name := file(t, `dev: true
audit-hot: 36h
audit-warm: 14d
audit-archive: s3://audit/config?region=eu-central-1
audit-checkpoints:
  - file:///mnt/worm
  - https://anchor.example.com/notes
audit-sinks: [syslog+tls://logs.example.com:6514, "https://hooks.example.com/a%2Cb"]
audit-webhook-key-file: /run/secrets/hook
audit-alerts: ["reads: 200 different secret.read in 5m per actor", "logins: 3 authentication.* in 1m per address"]
alert-webhooks: http://127.0.0.1:9000/alerts
`)
	s := mustLoad(t, map[string]string{"settings": name, "audit-keep": "400d"})
	want := Settings{
		AuditHot: 36 * time.Hour, AuditWarm: 14 * day, AuditKeep: 400 * day, AuditArchive: "s3://audit/config?region=eu-central-1",
		AuditCheckpoints: []string{"file:///mnt/worm", "https://anchor.example.com/notes"}, AuditSinks: []string{"syslog+tls://logs.example.com:6514", "https://hooks.example.com/a%2Cb"},
		AuditWebhookKeyFile: "/run/secrets/hook", AlertWebhooks: []string{"http://127.0.0.1:9000/alerts"},
		AuditAlerts: []string{"reads: 200 different secret.read in 5m per actor", "logins: 3 authentication.* in 1m per address"},
		Dev:         true, File: name,
	}.WithDefaults()
	if diff := cmp.Diff(want, s, comparePrefixes); diff != "" {
		t.Error(diff)
	}
	for setting, test := range map[string]struct{ text, says string }{
		"audit-archive":          {"sftp://u:hunter2@host", `"sftp", which is none of file, s3, gs and azblob; write it like file:///`},
		"audit-checkpoints":      {"file:///mnt/worm,tape:hunter2", `"tape"`},
		"audit-sinks":            {"kafka://hunter2:9092", `"kafka", which is none of syslog+udp`},
		"alert-webhooks":         {"http://hooks.example.com/hunter2", "own machine"},
		"audit-alerts":           {"reads: 200 secret.raed in 5m per actor", "secret.raed"},
		"audit-hot":              {"7 days", "30d or 36h"},
		"audit-warm":             {"0d", "30d or 36h"},
		"audit-keep":             {"36501d", "36500"},
		"audit-checkpoint-every": {"1d", "30s or 2m"},
	} {
		_, err := Load(map[string]string{"dev": "true", setting: test.text}, nil)
		refuse(t, err, setting, test.says)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the refusal shows it: %v", err)
		}
	}
	_, err := Load(map[string]string{"dev": "true", "audit-sinks": strings.Repeat("https://hooks.example.com/hunter2,", 17)}, nil)
	refuse(t, err, "audit-sinks", "17", "16")
}

func TestDays(t *testing.T) {
	keep, _ := find("audit-keep")
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, int64(maxDays*day)).Draw(t, "time"))
		if rapid.Bool().Draw(t, "whole") {
			d = max(d.Truncate(day), day)
		}
		s := Settings{AuditKeep: d}
		var again Settings
		if err := keep.set(&again, keep.get(&s)); err != nil || again.AuditKeep != d {
			t.Fatalf("%d is printed as %q and read as %d (%v)", d, keep.get(&s), again.AuditKeep, err)
		}
	})
	for text, want := range map[string]time.Duration{"1d": day, "36500d": maxDays * day, "90m": 90 * time.Minute, "168h": 7 * day} {
		var s Settings
		if err := keep.set(&s, text); err != nil || s.AuditKeep != want {
			t.Errorf("%s is %v (%v)", text, s.AuditKeep, err)
		}
	}
	for _, text := range []string{"", "d", "0d", "-1d", "+1d", "1.5d", "1d12h", "36501d", "876001h", "99999999999999999999d"} {
		if err := keep.set(new(Settings), text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestAnEmptyFileSetsNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "---\n", "{}\n"} {
		if _, err := Load(map[string]string{"dev": "true", "settings": file(t, text)}, nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhatTheFileMayNotSay(t *testing.T) {
	for text, says := range map[string][]string{
		"dev: true\nmax-boddy: 1MiB\n":  {"settings.yaml:2", `"max-boddy"`, `did you mean "max-body"?`},
		"colour: blue\n":                {"settings.yaml:1", `"colour"`, "--help"},
		"dev: true\ndev: false\n":       {"settings.yaml:2", "settings.yaml:1", "keep one"},
		"settings: other.yaml\n":        {"settings.yaml:1", "cannot name another"},
		"max-body:\n":                   {"max-body", "has no value"},
		"max-body: {a: 1}\n":            {"max-body", "settings are flat"},
		"trusted-proxy: [[1]]\n":        {"trusted-proxy", "plain values"},
		"- dev\n":                       {"settings.yaml:1", "`name: value`"},
		"dev: true\n---\ndev: true\n":   {"more than one YAML document"},
		"dev: [true\n":                  {"settings.yaml", "not YAML"},
		"dev: true\nmax-body: enough\n": {"max-body", "settings.yaml:2", `"enough"`, "10MiB"},
		"dev: true\nmax-body: 2GiB\n":   {"max-body", "1GiB"},
		"max-watchers: 0\n":             {"max-watchers", "1 up", "default"},
		"body-timeout: 30\n":            {"body-timeout", "30s"},
		"body-timeout: -30s\n":          {"body-timeout", "30s"},
		"log-level: loud\n":             {"log-level", "debug, info, warn, error"},
		"dev: yes\n":                    {"dev", "true nor false"},
		"trusted-proxy: nearby\n":       {"trusted-proxy", `"nearby"`, "10.0.0.0/8"},
		"cors-origins: ['*']\n":         {"cors-origins", "wildcard", "list each origin"},
		"client-auth: maybe\n":          {"client-auth", "none, optional, required"},
		"max-connections: 0\n":          {"max-connections", "1 up"},
	} {
		_, err := Load(map[string]string{"settings": file(t, text)}, nil)
		t.Run(text, func(t *testing.T) { refuse(t, err, says...) })
	}
	_, err := Load(map[string]string{"settings": "/nowhere/settings.yaml"}, nil)
	refuse(t, err, "/nowhere/settings.yaml", "--settings")
	_, err = Load(map[string]string{"settings": file(t, strings.Repeat("#", maxFile+1))}, nil)
	refuse(t, err, "larger than 1MiB")
}

func TestUnknownNamesElsewhere(t *testing.T) {
	_, err := Load(nil, []string{"LLM_CONFIG_SERVER_LISTN=x", "LLM_CONFIG_SERVER_max_body=1"})
	refuse(t, err, "LLM_CONFIG_SERVER_LISTN", `did you mean "listen"?`, "LLM_CONFIG_SERVER_max_body")
	_, err = Load(map[string]string{"dat": "x"}, nil)
	refuse(t, err, `"dat"`, `did you mean "data"?`)
}

func TestAllThatIsWrongIsNamedAtOnce(t *testing.T) {
	_, err := Load(map[string]string{"max-body": "x", "log-level": "y"}, []string{"LLM_CONFIG_SERVER_MAX_WATCHERS=z"})
	refuse(t, err, "flag --max-body", "flag --log-level", "environment variable LLM_CONFIG_SERVER_MAX_WATCHERS")
	_, err = Load(map[string]string{"tls-cert": "c.pem", "listen": "nowhere"}, nil)
	refuse(t, err, "tls-key is missing", `"nowhere"`, "neither master-key nor master-key-file")
}

func TestValidate(t *testing.T) {
	type change = func(*Settings)
	allow := func(what string, with change) {
		t.Helper()
		s := Settings{MasterKeyFile: "key"}.WithDefaults()
		with(&s)
		if err := s.Validate(); err != nil {
			t.Errorf("%s is refused: %v", what, err)
		}
	}
	deny := func(what string, with change, says ...string) {
		t.Helper()
		s := Settings{MasterKeyFile: "key"}.WithDefaults()
		with(&s)
		t.Run(what, func(t *testing.T) { refuse(t, s.Validate(), says...) })
	}
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}

	allow("the default", func(*Settings) {})
	allow("development without a key file", func(s *Settings) { s.Dev, s.MasterKeyFile = true, "" })
	allow("localhost", func(s *Settings) { s.Listen = "localhost:0" })
	allow("loopback of IPv6", func(s *Settings) { s.Listen = "[::1]:8700" })
	allow("TLS off loopback", func(s *Settings) { s.Listen, s.TLSCert, s.TLSKey = ":8700", "c", "k" })
	allow("a proxy off loopback", func(s *Settings) { s.Listen, s.TrustedProxies = "0.0.0.0:8700", proxy })
	allow("an admin port", func(s *Settings) { s.AdminListen = ":8701" })

	deny("plain HTTP off loopback", func(s *Settings) { s.Listen = "0.0.0.0:8700" }, "listen", "0.0.0.0:8700", "tls-cert", "trusted-proxy")
	deny("plain HTTP everywhere", func(s *Settings) { s.Listen = ":8700" }, "listen", "tls-cert")
	deny("a host that is not an address", func(s *Settings) { s.Listen = "config.example:8700" }, "listen", "tls-cert")
	deny("development off loopback", func(s *Settings) { s.Dev, s.Listen, s.TLSCert, s.TLSKey = true, ":8700", "c", "k" }, "listen", "loopback", "leave dev out")
	deny("no port", func(s *Settings) { s.Listen = "127.0.0.1" }, "listen", "host:port")
	deny("a port too high", func(s *Settings) { s.Listen = "127.0.0.1:65536" }, "listen", "host:port")
	deny("a certificate alone", func(s *Settings) { s.TLSCert = "c" }, "tls-cert", `"c"`, "tls-key is missing")
	deny("a key alone", func(s *Settings) { s.TLSKey = "k" }, "tls-key", `"k"`, "tls-cert is missing")
	tls := func(s *Settings) { s.TLSCert, s.TLSKey = "c", "k" }
	allow("client certificates", func(s *Settings) { tls(s); s.ClientCA, s.ClientAuth = "ca", "required" })
	deny("client certificates of nobody", func(s *Settings) { tls(s); s.ClientAuth = "optional" }, "client-auth", `"optional"`, "client-ca is missing")
	deny("authorities for nothing", func(s *Settings) { tls(s); s.ClientCA = "ca" }, "client-ca", `"ca"`, "optional or required")
	deny("client certificates over plain HTTP", func(s *Settings) { s.ClientCA, s.ClientAuth = "ca", "required" }, "client-auth", "plain HTTP", "tls-cert")
	deny("no master key", func(s *Settings) { s.MasterKeyFile = "" }, "master-key", "master-key-file", "--dev")
	deny("two master keys", func(s *Settings) { s.MasterKey = "awskms://k" }, "both given", "previous-master-keys")
	allow("a keeper's URL", func(s *Settings) { s.MasterKey, s.MasterKeyFile = "awskms://k", "" })
	allow("development with a keeper's URL", func(s *Settings) { s.Dev, s.MasterKey, s.MasterKeyFile = true, "awskms://k", "" })
	deny("admin routes for everybody", func(s *Settings) { s.AdminListen = "0.0.0.0:8701" }, "admin-listen", "loopback")
	deny("one port for both", func(s *Settings) { s.AdminListen = ":8700" }, "admin-listen", "listen", "own port")
	deny("an admin address that is none", func(s *Settings) { s.AdminListen = "8701" }, "admin-listen", "host:port")
	deny("audit records that end before they are cold", func(s *Settings) { s.AuditKeep = 30 * day }, "audit-keep is 30d", "37d together", "raise audit-keep")
	allow("audit records that are never cold", func(s *Settings) { s.AuditKeep = 37 * day })
	deny("checkpoints all the time", func(s *Settings) { s.AuditCheckpointEvery = time.Millisecond }, "audit-checkpoint-every", "1ms", "from 1s")
	deny("checkpoints hardly ever", func(s *Settings) { s.AuditCheckpointEvery = 25 * time.Hour }, "audit-checkpoint-every", "25h")
	deny("an alert twice", func(s *Settings) {
		s.AuditAlerts = []string{"a: 1 secret.read in 1m per actor", "a: 2 secret.read in 1m per actor"}
	}, "audit-alerts", "twice")
	deny("a sink twice", func(s *Settings) { s.AuditSinks = []string{"file:a", "file:b", "file:a"} }, "entries 1 and 3 of audit-sinks", "file:a", "own file or folder")
	deny("a bucket twice", func(s *Settings) { s.AuditCheckpoints = []string{"s3://notes/a", "s3://notes/a?region=eu-central-1"} }, "entries 1 and 2 of audit-checkpoints", "own bucket")
	deny("two paths of a host", func(s *Settings) {
		s.AuditSinks = []string{"https://hooks.example.com/a", "https://hooks.example.com/b"}
	}, "audit-sinks", "https://hooks.example.com,", "own host name")
	allow("a place for each list", func(s *Settings) {
		s.AuditSinks, s.AuditCheckpoints, s.AlertWebhooks = []string{"https://hooks.example.com/a"}, []string{"https://hooks.example.com/b"}, []string{"https://hooks.example.com/c"}
	})
	deny("a key for no webhook", func(s *Settings) { s.AuditWebhookKeyFile, s.AuditSinks = "k", []string{"file:a"} }, "audit-webhook-key-file", `"k"`, "leave the file out")
	allow("a key for alerts", func(s *Settings) { s.AuditWebhookKeyFile, s.AlertWebhooks = "k", []string{"https://hooks.example.com"} })
	deny("documents larger than bodies", func(s *Settings) { s.MaxDocument = 20 << 20 }, "max-document", "20MiB", "max-body", "10MiB")
}

func TestDerived(t *testing.T) {
	for _, test := range []struct {
		settings     Settings
		keeper, file string
	}{
		{Settings{Dev: true, Data: "d"}, "file:d/master.key", "d/master.key"},
		{Settings{Dev: true, Data: "d", MasterKeyFile: "k"}, "file:k", "k"},
		{Settings{MasterKeyFile: "//etc//k"}, "file:/etc/k", "//etc//k"},
		{Settings{Dev: true, Data: "d", MasterKey: "awskms://k"}, "awskms://k", ""},
		{Settings{Data: "d"}, "", ""},
	} {
		if keeper, file := test.settings.Keeper(), test.settings.KeyFile(); keeper != test.keeper || file != test.file {
			t.Errorf("%+v: the keeper is %q and the file %q", test.settings, keeper, file)
		}
	}
	if got := (Settings{AdminListen: ":1"}).AdminAddress(); got != "127.0.0.1:1" {
		t.Errorf("the admin address is %q", got)
	}
}

func TestRateLimitDependsOnDev(t *testing.T) {
	for _, test := range []struct {
		settings Settings
		want     int
	}{
		{Settings{}, 1000},
		{Settings{Dev: true}, NoLimit},
		{Settings{RateLimit: 50}, 50},
		{Settings{RateLimit: 50, Dev: true}, 50},
		{Settings{RateLimit: NoLimit}, NoLimit},
	} {
		if got := test.settings.WithDefaults().RequestsPerMinute(); got != test.want {
			t.Errorf("%+v: %d requests a minute, want %d", test.settings, got, test.want)
		}
	}
}

func TestBoundsMayBeNone(t *testing.T) {
	s, err := Load(map[string]string{"rate-limit": "none", "tenant-connections": "7", "master-key-file": "k"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.RateLimit != NoLimit || s.TenantConnections != 7 {
		t.Errorf("%+v", s)
	}
	for _, wrong := range []string{"0", "-1", "unlimited", "1.5"} {
		_, err = Load(map[string]string{"rate-limit": wrong}, nil)
		refuse(t, err, "flag --rate-limit", "from 1 up nor none")
	}
}

func TestFlags(t *testing.T) {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.Bool("unrelated", false, "")
	AddFlags(flags)
	if err := flags.Parse([]string{"--dev", "--unrelated", "--max-body=3MiB", "--data", "d"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"dev": "true", "max-body": "3MiB", "data": "d"}
	if diff := cmp.Diff(want, FlagsOf(flags)); diff != "" {
		t.Error(diff)
	}
	if usage := flags.FlagUsages(); !strings.Contains(usage, "LLM_CONFIG_SERVER_MAX_BODY") || !strings.Contains(usage, "10MiB") {
		t.Errorf("the help names neither variable nor default:\n%s", usage)
	}
}

// What a setting prints is read back as the same setting.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, maxSize).Draw(t, "size")
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Fatalf("%d is printed as %q and read as %d, %v", n, formatSize(n), got, err)
		}
	})
	s := Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("10.0.0.1/32")}}.WithDefaults()
	var again Settings
	for _, o := range options {
		if text := o.get(&s); text != "" {
			if err := o.set(&again, text); err != nil {
				t.Errorf("%s: %q %v", o.name, text, err)
			}
		}
	}
	if diff := cmp.Diff(s, again, comparePrefixes); diff != "" {
		t.Error(diff)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		fallback, live := o.fallback, "restart"
		if fallback == "" {
			fallback = o.get(&Settings{})
		}
		if o.live {
			live = "live"
		}
		row := "| `" + o.name + "` | "
		if fallback != "" {
			row += "`" + fallback + "`"
		}
		if row += " | " + live + " | "; !strings.Contains(string(text), strings.Replace(row, "|  |", "| |", 1)) {
			t.Errorf("docs/settings.md has no row that begins %q", row)
		}
	}
}
