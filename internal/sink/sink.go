// Package sink hands audit records on to places outside of the server: a syslog
// collector, a file, a webhook. It does not trust them to be there: whoever
// delivers keeps the records, and delivers again what was not taken. So a record
// may arrive more than once; its chain and sequence say which it is.
package sink

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/archive"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// deliverTime bounds a delivery.
const deliverTime = time.Minute

// Record is a record in its place in a chain.
type Record struct {
	Origin string // of the chain, as audit.Origin has it
	audit.Link
}

// Sink is a place that records are delivered to.
type Sink interface {
	// Name is the sink's URL without what may hold a credential; see NameOf.
	Name() string
	// Deliver hands over all records, in their order. After an error none counts
	// as delivered, though some may have arrived. It ends within a minute, and
	// sooner when ctx does. The error is a *config.Error.
	Deliver(ctx context.Context, records []Record) error
	Close() error
}

// Options are what sinks and anchors are opened with. Zero fields have the
// defaults noted.
type Options struct {
	WebhookKey []byte           // whsec_… as text, which signs webhooks; empty: they are not signed
	Transport  *http.Transport  // lends webhooks its TLS settings; nil for the system's roots
	Hostname   string           // of syslog messages; empty: the system's
	Clock      func() time.Time // nil for time.Now
}

// key is the signing key without the line end that its file has.
func (o Options) key() []byte {
	if key := bytes.TrimSpace(o.WebhookKey); len(key) > 0 {
		return key
	}
	return nil
}

func (o Options) webhook() webhook.Options {
	return webhook.Options{Transport: o.Transport, Clock: o.Clock}
}

// Open opens a sink: syslog+udp://HOST:PORT, syslog+tcp://HOST:PORT,
// syslog+tls://HOST:PORT, file:///FILE, https://…, and http://… on this machine.
// It connects to nothing yet. The error is a *config.Error.
func Open(url string, o Options) (Sink, error) {
	u, err := parse(url)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "file":
		path, err := filePath(u)
		if err != nil {
			return nil, err
		}
		return newFile(path), nil
	case "http", "https":
		sender, err := webhook.NewSender(url, o.key(), o.webhook())
		if err != nil {
			return nil, err
		}
		return &hook{sender}, nil
	default:
		to, err := parseCollector(u)
		if err != nil {
			return nil, err
		}
		return openSyslog(to, o)
	}
}

// Check says whether a text is the URL of a sink, and what would have to change.
// It reads no file and asks nobody. The error is a *config.Error that shows
// nothing of the URL but its scheme and the names of parameters.
func Check(url string) error {
	_, err := NameOf(url)
	return err
}

// NameOf is the Name of the sink that a URL would open. Different URLs may have
// the same one: it leaves out parameters, and the paths of webhooks.
func NameOf(url string) (string, error) {
	u, err := parse(url)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "file":
		path, err := filePath(u)
		return "file:" + path, err
	case "http", "https":
		return webhook.NameOf(url)
	default:
		c, err := parseCollector(u)
		return c.name, err
	}
}

var schemes = []string{"syslog+udp", "syslog+tcp", "syslog+tls", "file", "http", "https"}

func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "":
		return nil, badURL("is no URL")
	case !slices.Contains(schemes, u.Scheme):
		return nil, badURL("has the scheme %q, which is none of %s", u.Scheme, strings.Join(schemes, ", "))
	case u.User != nil:
		return nil, badURL("holds a user name or password").Hint("leave it out; a webhook is signed, and syslog+tls has client certificates")
	case u.Fragment != "":
		return nil, badURL("has a fragment")
	}
	return u, nil
}

func badURL(format string, args ...any) *config.Error {
	return config.Errorf(config.KindBadRequest, "the sink's URL "+format, args...).
		Hint("write it like syslog+tls://logs.example.com:6514, file:///var/log/llm-config/audit.ndjson or https://hooks.example.com/audit")
}

// filePath is the file of a URL, file:///FILE or file:FILE.
func filePath(u *url.URL) (string, error) {
	path := u.Path
	if u.Opaque != "" {
		path, _ = url.PathUnescape(u.Opaque)
	}
	if path == "" || strings.HasSuffix(path, "/") || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" {
		return "", badURL("names no file of this machine")
	}
	return filepath.Clean(filepath.FromSlash(path)), nil
}

// appendLine adds a record as a line of JSON, its members sorted.
func appendLine(b []byte, r Record) []byte {
	b = canon.AppendString(append(b, `{"chain":`...), strings.ToValidUTF8(r.Origin, "\ufffd"))
	b = append(hex.AppendEncode(append(b, `,"hash":"`...), r.Hash[:]), `","record":`...)
	b = append(append(b, r.Record...), `,"sequence":`...)
	return append(appendUint(b, r.Sequence), "}\n"...)
}

// unavailable is a delivery that failed; the cause goes to the log only.
func unavailable(name, what string, cause error) *config.Error {
	e := config.Errorf(config.KindUnavailable, "the audit sink %s %s", name, what)
	e.Cause = cause
	return e
}

// hostname is this machine's name, for messages that have to say it.
func (o Options) hostname() string {
	if o.Hostname != "" {
		return o.Hostname
	}
	name, err := os.Hostname()
	if err != nil {
		return "" // RFC 5424 has a dash for it
	}
	return name
}

var (
	_ Sink = (*hook)(nil)
	_ Sink = (*file)(nil)
	_ Sink = (*datagrams)(nil)
	_ Sink = (*stream)(nil)

	_ Anchor = (*archived)(nil)
	_ Anchor = (*posted)(nil)
	_ kept   = (*archive.Archive)(nil)
)
